"""The cheapest portfolio for given tolerances, or the least tolerance for a given size, with proof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import ArrayLike

from palm_opt.errors import ProblemError
from palm_opt.result import Result, Settings
from palm_opt.solver.backends import load
from palm_opt.solver.cover import Pool
from palm_opt.solver.frontier import least_tolerance
from palm_opt.solver.generation import RowGeneration
from palm_opt.solver.run import DEFAULT, Callback, Run
from palm_opt.tables.values import ValueMatrix

__all__ = ["solve"]

_DELTA = 0.02


def solve(
    values: ValueMatrix | ArrayLike,
    *,
    epsilon: float = 0.0,
    delta: float | None = None,
    backend: str = DEFAULT,
    max_size: int | None = None,
    vary: str | None = None,
    require: Iterable[str | int] = (),
    forbid: Iterable[str | int] = (),
    warm_start: Iterable[str | int] = (),
    settings: Settings | Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    seed: int | None = None,
    callback: Callback | None = None,
) -> Result:
    """The cheapest portfolio P with max over P of w.v >= (1 - epsilon) OPT(w) - delta at EVERY weight w.

    Parameters
    ----------
    values : the pool, or an (n, d) array; OPT ranges over all of it, forbidden candidates included.
    epsilon, delta : relative tolerance (0 <= epsilon < 1) and absolute one (>= 0, in units of the scaled values; 0.02
        by default, but 0 beside `vary="epsilon"`, where it would be part of the answer).
    backend : who proposes covers: see `palm_opt.backends()`.
    max_size, vary : instead of the cheapest portfolio, the least "delta" (the default) or "epsilon" for at most
        `max_size` members.
    require, forbid : candidates that must, may not be members; a str is a name, an int a row index.
    warm_start : a portfolio to start from.
    settings : limits and seed, also as a mapping; time_limit, seed : the most wanted of them, given directly.
    callback : called with a `Progress` now and then, from a worker thread; return True to stop.

    Returns
    -------
    Result : also at limits and Ctrl-C, with the incumbent, a proved bound and the certificate of both. A time limit is
        kept within a tenth of it and a second; status UNKNOWN where not even a heuristic portfolio and its proof fit.

    Raises
    ------
    ProblemError : bad input. BackendNotFound, BackendError : a backend is missing or broke.
    """
    load(backend)  # a library may take seconds: before the clock starts
    run = Run.of(settings, backend, callback, time_limit=time_limit, seed=seed)
    if max_size is None and vary is not None:
        raise ProblemError("vary: the tolerance to minimise for at most max_size members: give max_size too")
    given = epsilon != 0 if vary == "epsilon" else delta is not None
    if max_size is not None and given:
        raise ProblemError(f"{vary or 'delta'}: it is what max_size={max_size!r} finds the least of: leave it out")
    if max_size is None:
        pool = Pool(values, epsilon, _DELTA if delta is None else delta, require, forbid, run)
        return RowGeneration(pool, run, pool.values.indices(warm_start, "warm_start")).search().result()
    pool = Pool(values, epsilon, 0.0 if delta is None else delta, require, forbid, run)
    return least_tolerance(pool, run, max_size, vary or "delta", warm_start)
