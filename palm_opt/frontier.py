"""The budget problem and the frontier: the least tolerance for k members, bracketed by cover problems."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from palm_opt.backends import DEFAULT
from palm_opt.certify import certify
from palm_opt.errors import ProblemError
from palm_opt.result import Certificate, Progress, Result, Settings, Status, Stop
from palm_opt.separation import separate
from palm_opt.solve import Callback, solve
from palm_opt.values import ValueMatrix

__all__ = ["frontier", "least_tolerance"]

_CLOSE = 1e-2  # the bracket is bisected down to this relative width, then walked down from portfolio to portfolio
_WALK = 40  # steps of that walk


def frontier(
    values: ValueMatrix | ArrayLike,
    vary: str = "delta",
    max_size: int = 10,
    epsilon: float = 0.0,
    delta: float = 0.0,
    backend: str = DEFAULT,
    require: Iterable[str | int] = (),
    forbid: Iterable[str | int] = (),
    settings: Settings | None = None,
    callback: Callback | None = None,
) -> list[Result]:
    """The least tolerance for 1, 2, ... `max_size` members: system cost against personalisation.

    `vary` names the tolerance; the other one stays as given. Stops early when the tolerance 0 is reached. Each result
    has `tolerance` and the proved `tolerance_lower_bound`; the search for one size helps the next.
    """
    bracket = _Bracket(values, vary, epsilon, delta, backend, require, forbid, settings, callback)
    if max_size < 1:
        raise ProblemError(f"max_size: expected at least 1, got {max_size}")
    points = []
    for size in range(max(1, len(bracket.required)), max_size + 1):
        points.append(bracket.solve(size))
        if points[-1].tolerance == 0 or points[-1].stop in (Stop.INTERRUPTED, Stop.TIME_LIMIT):
            break
    return points


def least_tolerance(
    values: ValueMatrix,
    max_size: int,
    vary: str,
    epsilon: float,
    delta: float,
    backend: str,
    require: Iterable[str | int],
    forbid: Iterable[str | int],
    warm_start: Iterable[str | int],
    settings: Settings,
    callback: Callback | None,
) -> Result:
    """The portfolio of at most `max_size` members with the least tolerance `vary`; see `palm_opt.solve`."""
    if vary == "delta":
        delta = 0.0
    else:
        epsilon = 0.0
    bracket = _Bracket(values, vary, epsilon, delta, backend, require, forbid, settings, callback)
    if max_size < max(1, len(bracket.required)):
        raise ProblemError(f"max_size: expected at least {max(1, len(bracket.required))}, got {max_size}")
    warm = values.indices(warm_start, "warm_start")
    if warm:
        bracket.offer(tuple(sorted({*warm, *bracket.required} - set(bracket.forbidden))))
    return bracket.solve(max_size)


class _Bracket:
    """What is known: portfolios with the tolerance they keep, and tolerances that are proved to need more members."""

    def __init__(
        self,
        values: ValueMatrix | ArrayLike,
        vary: str,
        epsilon: float,
        delta: float,
        backend: str,
        require: Iterable[str | int],
        forbid: Iterable[str | int],
        settings: Settings | None,
        callback: Callback | None,
    ) -> None:
        self.values = values if isinstance(values, ValueMatrix) else ValueMatrix(values)
        if vary not in ("epsilon", "delta"):
            raise ProblemError(f"vary: expected 'epsilon' or 'delta', got {vary!r}")
        if not self.values.unit_costs:
            raise ProblemError("the budget problem counts members: it needs unit costs")
        self.vary, self.epsilon, self.delta, self.backend = vary, epsilon, delta, backend
        self.required = self.values.indices(require, "require")
        self.forbidden = self.values.indices(forbid, "forbid")
        self.settings = settings or Settings()
        self.callback = callback
        self.began = time.monotonic()
        self.reached: list[tuple[float, tuple[int, ...]]] = []  # (tolerance, members)
        self.needed: list[tuple[float, float, Certificate | None]] = []  # at this tolerance at least so many members
        self.work = {"solves": 0, "rounds": 0, "lps": 0, "pivots": 0}
        self.stopped: Stop | None = None
        if vary == "epsilon":
            self._check_signs()
        self._single()

    def _check_signs(self) -> None:
        game = separate(np.zeros((1, self.values.d)), self.values.array, 1)
        if game.regret[0] > 1e-12:
            raise ProblemError(
                "vary='epsilon' needs OPT(w) >= 0 at every weight;"
                f" it is {-game.regret[0]:.3g} at one: vary delta instead"
            )

    def _single(self) -> None:
        """The best single candidate beside the required ones, as a first upper end of the bracket."""
        allowed = np.ones(self.values.n, dtype=bool)
        allowed[list(self.forbidden)] = False
        if not allowed.any():
            return
        shortfall = (self.values.array.max(axis=0) - self.values.array).max(axis=1)
        best = int(np.where(allowed, shortfall, np.inf).argmin())
        self.offer(self.required or (best,))

    def offer(self, members: tuple[int, ...]) -> None:
        """Record a portfolio with the least tolerance it keeps."""
        fixed: dict[str, Any] = {"epsilon": self.epsilon} if self.vary == "delta" else {"delta": self.delta}
        try:
            kept = certify(self.values, members, threads=self.settings.threads, **fixed)
        except ProblemError:  # no epsilon < 1 serves: nothing to record
            return
        self.reached.append((kept.delta if self.vary == "delta" else kept.epsilon, kept.indices))

    def upper(self, size: int) -> tuple[float, tuple[int, ...]]:
        """The least tolerance known to be kept by at most `size` members."""
        return min((t, m) for t, m in [*self.reached, (math.inf, ())] if len(m) <= size)

    def lower(self, size: int) -> float:
        """The greatest tolerance at which more than `size` members are proved needed; -1 if none."""
        return max((t for t, least, _ in self.needed if least > size), default=-1.0)

    def solve(self, size: int) -> Result:
        """Narrow the bracket for `size` members until it closes or a limit is reached."""
        walked = 0
        while self.stopped is None:
            high, _ = self.upper(size)
            low = self.lower(size)
            below = math.nextafter(high, -1.0)
            if high == 0 or low >= below or (high == math.inf and low >= (0.99 if self.vary == "epsilon" else 0.0)):
                break
            wide = not math.isfinite(high) or high - max(low, 0.0) > _CLOSE * high
            if wide and low < 0:
                low = 0.0
                point = 0.0 if walked == 0 and size == self.values.n else min(high, 1.0) / 2 if high > 1e-9 else 0.0
            elif wide:
                point = (low + min(high, 1.0 if self.vary == "epsilon" else high)) / 2
            else:
                walked += 1
                point = below
            if walked > _WALK or not self._probe(point, size):
                break
        return self._result(size)

    def _probe(self, tolerance: float, size: int) -> bool:
        """Solve the cover at a tolerance; False if that moves neither end of the bracket for `size`."""
        result = self._cover(tolerance)
        if result.status is Status.INFEASIBLE or result.lower_bound > size:
            least = math.inf if result.status is Status.INFEASIBLE else result.lower_bound
            self.needed.append((tolerance, least, result.certificate))
            return True
        if not result.members:
            return False
        self.reached.append((tolerance, result.indices))
        before = self.upper(size)[0]
        if result.size <= size or before == math.inf:
            self.offer(result.indices)
        return result.size <= size and tolerance <= before

    def _cover(self, tolerance: float, warm: tuple[int, ...] = ()) -> Result:
        left = self.settings.time_limit - (time.monotonic() - self.began)
        result = solve(
            self.values,
            epsilon=tolerance if self.vary == "epsilon" else self.epsilon,
            delta=tolerance if self.vary == "delta" else self.delta,
            backend=self.backend,
            require=self.required,
            forbid=self.forbidden,
            warm_start=warm,
            settings=dataclasses.replace(self.settings, time_limit=max(0.0, left)),
            callback=self._report if self.callback is not None else None,
        )
        self.work["solves"] += 1
        for key in ("rounds", "lps", "pivots"):
            self.work[key] += result.info[key]
        if result.stop in (Stop.INTERRUPTED, Stop.TIME_LIMIT):
            self.stopped = result.stop
        return result

    def _report(self, progress: Progress) -> Any:
        assert self.callback is not None
        return self.callback(dataclasses.replace(progress, seconds=time.monotonic() - self.began))

    def _result(self, size: int) -> Result:
        tolerance, members = self.upper(size)
        low = self.lower(size)
        if not members:  # no tolerance is known that so few members keep
            result = self._cover(max(low, 0.0))
            if result.status is not Status.INFEASIBLE:
                result = dataclasses.replace(result, status=Status.UNKNOWN, members=(), indices=(), certificate=None)
            return dataclasses.replace(result, cost=math.inf, tolerance_lower_bound=max(low, 0.0))
        stopped, self.stopped = self.stopped, None
        result = self._cover(tolerance, members)
        if not result.members:  # no time left: the portfolio in hand, with its quality alone
            fixed: dict[str, Any] = {"epsilon": self.epsilon} if self.vary == "delta" else {"delta": self.delta}
            kept = certify(self.values, members, **fixed)
            result = dataclasses.replace(
                result,
                members=kept.members,
                indices=kept.indices,
                cost=kept.cost,
                regret=kept.regret,
                worst_weight=kept.worst_weight,
                certificate=kept.certificate,
            )
        closed = tolerance == 0 or low >= math.nextafter(tolerance, -1.0)
        proof = next((document for t, least, document in self.needed if t == low and least > size), None)
        self.stopped = stopped
        return dataclasses.replace(
            result,
            status=Status.OPTIMAL if closed else Status.FEASIBLE,
            stop=Stop.PROVED if closed else stopped or Stop.FINISHED,
            tolerance=tolerance,
            tolerance_lower_bound=tolerance if closed else max(low, 0.0),
            seconds=time.monotonic() - self.began,
            info={**self.work, "lower_certificate": proof},
        )
