"""The budget problem and the frontier: the least tolerance for k members, bracketed by cover problems."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from palm_opt.arguments import integer
from palm_opt.errors import ProblemError
from palm_opt.result import Progress, Result, Settings, Status, Stop
from palm_opt.solver.backends import DEFAULT
from palm_opt.solver.certify import certify, least_kept
from palm_opt.solver.cover import DOUBT, TINY, Pool
from palm_opt.solver.exact import Weight, game_exact
from palm_opt.solver.generation import Callback, RowGeneration
from palm_opt.solver.outcome import Outcome
from palm_opt.solver.separation import separate
from palm_opt.tables.values import ValueMatrix

__all__ = ["frontier", "least_tolerance"]

_CLOSE = 1e-2  # the bracket is bisected down to this relative width, then walked down from portfolio to portfolio
_WALK = 40  # steps of that walk
_WORK = ("rounds", "lps", "pivots", "relaxations", "lp_iterations", "nodes", "steps")  # counts summed over the searches


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
    max_size = integer("max_size", max_size, 1)
    points = []
    for size in range(max(1, len(bracket.pool.required)), max_size + 1):
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
    max_size = integer("max_size", max_size, max(1, len(bracket.pool.required)))
    warm = values.indices(warm_start, "warm_start")
    if warm:
        bracket.offer(tuple(sorted({*warm, *bracket.pool.required} - bracket.pool.forbidden)))
    return bracket.solve(max_size)


class _Bracket:
    """What is known: portfolios with the tolerance they keep, and tolerances that are proved to need more members.

    Every cover problem begins with the witness weights of the one before, and with what is known of its size.
    """

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
        self.vary, self.backend, self.callback = vary, backend, callback
        self.settings = Settings.of(settings)
        self.began = time.monotonic()
        self.pool = Pool(self.values, epsilon, delta, require, forbid)
        self.weights: tuple[Weight, ...] = ()
        self.reached: list[tuple[float, tuple[int, ...]]] = []  # (tolerance, members)
        self.needed: list[tuple[float, Outcome]] = []  # at this tolerance at least so many members
        self.work = {"solves": 0, **dict.fromkeys(_WORK, 0)}
        self.stopped: Stop | None = None
        if vary == "epsilon":
            self._check_signs()
        self._single()

    def _check_signs(self) -> None:
        array, pool = self.values.array, self.pool
        if (array >= 0).all(axis=1).any():
            return
        least = -float(separate(np.zeros((1, self.values.d)), array[pool.front], 1).regret[0])
        if abs(least) <= DOUBT * float(np.abs(array).max()) + TINY:
            rows = [pool.exact.row(i) for i in pool.front.tolist()]
            least = -float(game_exact([0] * self.values.d, rows)[0] / pool.exact.denominator)
        if least < 0:
            raise ProblemError(
                f"vary='epsilon' needs OPT(w) >= 0 at every weight; it is {least:.3g} at one: vary delta instead"
            )

    def _single(self) -> None:
        """The best single candidate beside the required ones, as a first upper end of the bracket."""
        allowed = np.ones(self.values.n, dtype=bool)
        allowed[list(self.pool.forbidden)] = False
        if not allowed.any():
            return
        shortfall = (self.values.array.max(axis=0) - self.values.array).max(axis=1)
        best = int(np.where(allowed, shortfall, np.inf).argmin())
        self.offer(self.pool.required or (best,))

    def offer(self, members: tuple[int, ...]) -> None:
        """Record a portfolio with the least tolerance it keeps."""
        try:
            kept, _, _ = least_kept(self.pool, members, self.vary, self.settings.threads)
        except ProblemError:  # no epsilon < 1 serves: nothing to record
            return
        self.reached.append((kept.delta if self.vary == "delta" else kept.epsilon, members))

    def upper(self, size: int) -> tuple[float, tuple[int, ...]]:
        """The least tolerance known to be kept by at most `size` members."""
        return min((t, m) for t, m in [*self.reached, (math.inf, ())] if len(m) <= size)

    def lower(self, size: int) -> tuple[float, Outcome | None]:
        """The greatest tolerance at which more than `size` members are proved needed, and who proves it; -1 if none."""
        proofs = [(t, outcome) for t, outcome in self.needed if outcome.size.bound > size]
        return max(proofs, key=lambda proof: proof[0], default=(-1.0, None))

    def solve(self, size: int) -> Result:
        """Narrow the bracket for `size` members until it closes or a limit is reached.

        While it is wide it is bisected without branching, and what that leaves undecided is taken for out of reach.
        Then tolerances just below the best one known are decided for good, until none below is possible.
        """
        walked, doubtful = 0, -1.0
        while self.stopped is None:
            high, _ = self.upper(size)
            low, _ = self.lower(size)
            below = math.nextafter(high, -1.0)
            if high == 0 or low >= below or (high == math.inf and low >= (0.99 if self.vary == "epsilon" else 0.0)):
                break
            hope = max(low, doubtful if doubtful < high else -1.0)
            wide = not math.isfinite(high) or high - max(hope, 0.0) > _CLOSE * high
            if wide and hope < 0:
                point = 0.0 if walked == 0 and size == self.values.n else min(high, 1.0) / 2 if high > 1e-9 else 0.0
            elif wide:
                point = (hope + min(high, 1.0 if self.vary == "epsilon" else high)) / 2
            else:
                walked += 1
                point = below
            moved = self._probe(point, size, branch=not wide)
            if not moved and wide:
                doubtful = point
            elif not moved or walked > _WALK:
                break
        return self._result(size)

    def _probe(self, tolerance: float, size: int, branch: bool) -> bool:
        """Solve the cover at a tolerance; False if that moves neither end of the bracket for `size`."""
        outcome = self._search(tolerance, enough=size, nodes=self.settings.node_limit if branch else 0)
        if outcome.size.bound > size:
            self.needed.append((tolerance, outcome))
            return True
        if not outcome.members:
            return False
        before, _ = self.upper(size)
        self.reached.append((tolerance, outcome.members))
        if len(outcome.members) <= size or before == math.inf:
            self.offer(outcome.members)
        return len(outcome.members) <= size and tolerance <= before

    def _search(
        self, tolerance: float, warm: tuple[int, ...] = (), enough: int | None = None, nodes: int | None = None
    ) -> Outcome:
        left = self.settings.time_limit - (time.monotonic() - self.began)
        epsilon = tolerance if self.vary == "epsilon" else self.pool.epsilon
        delta = tolerance if self.vary == "delta" else self.pool.delta
        nodes = self.settings.node_limit if nodes is None else nodes
        settings = dataclasses.replace(self.settings, time_limit=max(0.0, left), node_limit=nodes)
        report = self._report if callable(self.callback) else self.callback
        self.pool = self.pool.at(epsilon, delta)
        proved = max((o.size for t, o in self.needed if t >= tolerance), key=lambda size: size.bound, default=None)
        outcome = RowGeneration(self.pool, self.backend, warm, settings, report, self.weights, proved, enough).run()
        self.weights = outcome.weights
        self.work["solves"] += 1
        for key in _WORK:
            self.work[key] += outcome.info[key]
        if outcome.stop in (Stop.INTERRUPTED, Stop.TIME_LIMIT):
            self.stopped = outcome.stop
        return outcome

    def _report(self, progress: Progress) -> Any:
        assert self.callback is not None
        return self.callback(dataclasses.replace(progress, seconds=time.monotonic() - self.began))

    def _result(self, size: int) -> Result:
        tolerance, members = self.upper(size)
        low, proof = self.lower(size)
        if not members:  # no tolerance is known that so few members keep
            result = self._search(max(low, 0.0)).result()
            if result.status is not Status.INFEASIBLE:
                result = dataclasses.replace(result, status=Status.UNKNOWN, members=(), indices=(), certificate=None)
            return dataclasses.replace(result, cost=math.inf, tolerance_lower_bound=max(low, 0.0))
        stopped, self.stopped = self.stopped, None
        result = self._search(tolerance, members).result()
        if not result.members:  # no time left: the portfolio in hand, with its quality alone
            fixed: dict[str, Any] = (
                {"epsilon": self.pool.epsilon} if self.vary == "delta" else {"delta": self.pool.delta}
            )
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
        self.stopped = stopped
        return dataclasses.replace(
            result,
            status=Status.OPTIMAL if closed else Status.FEASIBLE,
            stop=Stop.PROVED if closed else stopped or Stop.FINISHED,
            tolerance=tolerance,
            tolerance_lower_bound=tolerance if closed else max(low, 0.0),
            seconds=time.monotonic() - self.began,
            info={**self.work, "lower_certificate": proof.result().certificate if proof is not None else None},
        )
