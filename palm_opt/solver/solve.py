"""The cheapest portfolio for given tolerances, or the least tolerance for a given size, with proof."""

from __future__ import annotations

from collections.abc import Iterable

from numpy.typing import ArrayLike

from palm_opt.errors import ProblemError
from palm_opt.result import Result, Settings
from palm_opt.solver.backends import DEFAULT
from palm_opt.solver.cover import Pool
from palm_opt.solver.frontier import least_tolerance
from palm_opt.solver.generation import Callback, RowGeneration
from palm_opt.tables.values import ValueMatrix

__all__ = ["solve"]

_DELTA = 0.02


def solve(
    values: ValueMatrix | ArrayLike,
    epsilon: float = 0.0,
    delta: float | None = None,
    backend: str = DEFAULT,
    max_size: int | None = None,
    vary: str | None = None,
    require: Iterable[str | int] = (),
    forbid: Iterable[str | int] = (),
    warm_start: Iterable[str | int] = (),
    settings: Settings | None = None,
    callback: Callback | None = None,
) -> Result:
    """The cheapest portfolio P with max over P of w.v >= (1 - epsilon) OPT(w) - delta at EVERY weight w.

    Parameters
    ----------
    values : the pool, or an (n, d) array; OPT ranges over all of it, forbidden candidates included.
    epsilon, delta : relative tolerance (0 <= epsilon < 1) and absolute one (>= 0, in units of the scaled values; 0.02
        by default, but 0 beside `vary="epsilon"`, where it would be part of the answer).
    backend : who proposes covers: see `palm_opt.backends()`.
    max_size, vary : instead of the cheapest portfolio, the least "epsilon" or "delta" for at most `max_size` members.
    require, forbid : candidates that must, may not be members; a str is a name, an int a row index.
    warm_start : a portfolio to start from.
    settings : limits and seed.
    callback : called with a `Progress` now and then, from a worker thread; return True to stop.

    Returns
    -------
    Result : also at limits and Ctrl-C, with the incumbent, a proved bound and the certificate of both.

    Raises
    ------
    ProblemError : bad input. BackendNotFound, BackendError : a backend is missing or broke.
    """
    pool_values = values if isinstance(values, ValueMatrix) else ValueMatrix(values)
    settings = Settings.of(settings)
    other = 0.0 if vary == "epsilon" else _DELTA  # beside `vary` a default would be part of the answer
    delta = other if delta is None else delta
    if (max_size is None) != (vary is None):
        raise ProblemError("max_size and vary go together: the least tolerance `vary` for at most `max_size` members")
    if max_size is not None and vary is not None:
        return least_tolerance(
            pool_values, max_size, vary, epsilon, delta, backend, require, forbid, warm_start, settings, callback
        )
    pool = Pool(pool_values, epsilon, delta, require, forbid)
    search = RowGeneration(pool, backend, pool_values.indices(warm_start, "warm_start"), settings, callback)
    return search.run().result()
