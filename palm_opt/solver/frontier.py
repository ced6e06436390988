"""The budget problem and the frontier: the least tolerance for k members, bracketed by cover problems."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from palm_opt.arguments import integer
from palm_opt.errors import ProblemError
from palm_opt.result import Result, Settings, Status, Stop
from palm_opt.solver.backends import load
from palm_opt.solver.certify import least_kept
from palm_opt.solver.cover import DOUBT, TINY, Pool
from palm_opt.solver.exact import Weight, game_exact
from palm_opt.solver.generation import RowGeneration
from palm_opt.solver.outcome import Outcome, proof_seconds
from palm_opt.solver.packing import SizeProof
from palm_opt.solver.quality import Quality, check_quality
from palm_opt.solver.run import DEFAULT, Callback, Run
from palm_opt.solver.separation import separate
from palm_opt.tables.values import ValueMatrix

__all__ = ["frontier", "least_tolerance"]

_CLOSE = 1e-2  # the bracket is bisected down to this relative width, then walked down from portfolio to portfolio
_WALK = 40  # steps of that walk
_PROOFS = 3  # proofs that an answer takes, for which time is kept
_TOP = {"epsilon": math.nextafter(1.0, 0.0), "delta": 0.0}  # where no portfolio keeps it, none keeps any tolerance
_WORK = ("rounds", "lps", "pivots", "relaxations", "lp_iterations", "nodes", "steps")  # counts summed over the searches


def frontier(
    values: ValueMatrix | ArrayLike,
    vary: str = "delta",
    max_size: int = 10,
    *,
    epsilon: float = 0.0,
    delta: float = 0.0,
    backend: str = DEFAULT,
    require: Iterable[str | int] = (),
    forbid: Iterable[str | int] = (),
    settings: Settings | Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    seed: int | None = None,
    callback: Callback | None = None,
) -> list[Result]:
    """The least tolerance for 1, 2, ... `max_size` members: system cost against personalisation.

    `vary` names the tolerance; the other one stays as given. Stops early when the tolerance 0 is reached. Each result
    has `tolerance` and the proved `tolerance_lower_bound`; the search for one size helps the next. A size for which no
    tolerance is enough is INFEASIBLE. Limits are those of all sizes together, as in `palm_opt.solve`.
    """
    load(backend)  # a library may take seconds: before the clock starts
    run = Run.of(settings, backend, callback, time_limit=time_limit, seed=seed)
    if vary in ("epsilon", "delta") and (epsilon if vary == "epsilon" else delta):
        raise ProblemError(f"{vary}: it is what the frontier finds the least of: leave it out")
    bracket = _Bracket(Pool(values, epsilon, delta, require, forbid, run), run, vary)
    max_size = integer("max_size", max_size, 1)
    points = []
    for size in range(max(1, len(bracket.pool.required)), max_size + 1):
        points.append(bracket.solve(size))
        if points[-1].tolerance == 0 or points[-1].stop in (Stop.INTERRUPTED, Stop.TIME_LIMIT):
            break
    return points


def least_tolerance(pool: Pool, run: Run, max_size: int, vary: str, warm_start: Iterable[str | int]) -> Result:
    """The portfolio of at most `max_size` members with the least tolerance `vary`; see `palm_opt.solve`."""
    bracket = _Bracket(pool, run, vary)
    max_size = integer("max_size", max_size, max(1, len(pool.required)))
    warm = pool.values.indices(warm_start, "warm_start")
    if warm:
        bracket.offer(tuple(sorted({*warm, *pool.required} - pool.forbidden)))
    return bracket.solve(max_size)


class _Bracket:
    """What is known: portfolios with the tolerance they keep, and tolerances that are proved to need more members.

    Every cover problem begins with the witness weights of the one before, and with what is known of its size.
    """

    def __init__(self, pool: Pool, run: Run, vary: str) -> None:
        if vary not in _TOP:
            raise ProblemError(f"vary: expected 'epsilon' or 'delta', got {vary!r}")
        if not pool.values.unit_costs:
            raise ProblemError("the budget problem counts members: it needs unit costs")
        self.pool, self.vary, self.top = pool, vary, _TOP[vary]
        self.weights: tuple[Weight, ...] = ()
        self.reached: list[tuple[float, tuple[int, ...]]] = []  # (tolerance, members)
        self.needed: list[tuple[float, Outcome]] = []  # at this tolerance at least so many members
        self.work = {"solves": 0, **dict.fromkeys(_WORK, 0)}
        self.stopped: Stop | None = None
        self.whole = self.run = run
        if vary == "epsilon":
            self._check_signs()
        self._single()
        self.run = run.until(run.deadline - _PROOFS * proof_seconds(pool))

    def _check_signs(self) -> None:
        array, pool = self.pool.values.array, self.pool
        if (array >= 0).all(axis=1).any():
            return
        least = -float(separate(np.zeros((1, array.shape[1])), array[pool.front], 1).regret[0])
        if abs(least) <= DOUBT * float(np.abs(array).max()) + TINY:
            rows = [pool.exact.row(i) for i in pool.front.tolist()]
            least = -float(game_exact([0] * array.shape[1], rows)[0] / pool.exact.denominator)
        if least < 0:
            raise ProblemError(
                f"vary='epsilon' needs OPT(w) >= 0 at every weight; it is {least:.3g} at one: vary delta instead"
            )

    def _single(self) -> None:
        """The best single candidate beside the required ones, as a first upper end of the bracket."""
        array = self.pool.values.array
        allowed = np.ones(len(array), dtype=bool)
        allowed[list(self.pool.forbidden)] = False
        if not allowed.any():
            return
        shortfall = (array.max(axis=0) - array).max(axis=1)
        best = int(np.where(allowed, shortfall, np.inf).argmin())
        self.offer(self.pool.required or (best,))

    def offer(self, members: tuple[int, ...]) -> None:
        """Record a portfolio with the least tolerance it keeps."""
        try:
            kept, _, _ = least_kept(self.pool, members, self.vary, self.run.ending(math.inf))
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
            if high == 0 or low >= below or (high == math.inf and low >= self.top):
                break
            hope = max(low, doubtful if doubtful < high else -1.0)
            wide = high - max(hope, 0.0) > _CLOSE * high
            if high == math.inf:
                wide, point = False, self.top
            elif wide and hope < 0:
                every = walked == 0 and size == self.pool.values.n
                point = 0.0 if every or high <= 1e-9 else min(high, 1.0) / 2
            elif wide:
                point = (hope + high) / 2
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
        outcome = self._search(tolerance, enough=size, nodes=None if branch else 0)
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
        run = self.run
        if nodes is not None:
            run = dataclasses.replace(run, settings=dataclasses.replace(run.settings, node_limit=nodes))
        self._move(tolerance)
        proved = max((o.size for t, o in self.needed if t >= tolerance), key=lambda size: size.bound, default=None)
        outcome = RowGeneration(self.pool, run, warm, self.weights, proved, enough).search()
        self.weights = outcome.weights
        self.work["solves"] += 1
        for key in _WORK:
            self.work[key] += outcome.info[key]
        if outcome.stop in (Stop.INTERRUPTED, Stop.TIME_LIMIT):
            self.stopped = outcome.stop
        return outcome

    def _move(self, tolerance: float) -> None:
        epsilon, delta = self.pool.epsilon, self.pool.delta
        self.pool = self.pool.at(*((tolerance, delta) if self.vary == "epsilon" else (epsilon, tolerance)))

    def _result(self, size: int) -> Result:
        tolerance, members = self.upper(size)
        low, proof = self.lower(size)
        if not members:
            return self._none(size, low, proof)
        closed = tolerance == 0 or low >= math.nextafter(tolerance, -1.0)
        stopped, self.stopped = self.stopped, None
        outcome = None if stopped else self._search(tolerance, members)
        if outcome is None or not outcome.members:  # no time left: the portfolio in hand, with its quality alone
            self._move(tolerance)
            quality = check_quality(self.pool, members, self.run.ending(math.inf))
            outcome = self._outcome(members, quality, stopped or Stop.FINISHED)
        result = outcome.result()
        self.stopped = stopped
        if not result.indices:
            closed = False
        status = Status.OPTIMAL if closed else Status.FEASIBLE if result.indices else Status.UNKNOWN
        return dataclasses.replace(
            result,
            status=status,
            stop=Stop.PROVED if closed else stopped or Stop.FINISHED,
            tolerance=tolerance if result.indices else None,
            tolerance_lower_bound=tolerance if closed else max(low, 0.0),
            seconds=time.monotonic() - self.run.began,
            info={
                **self.work,
                "max_size": size,
                "lower_certificate": None if proof is None or stopped else proof.result().certificate,
            },
        )

    def _outcome(self, members: tuple[int, ...], quality: Quality | None, stop: Stop) -> Outcome:
        size = SizeProof(Fraction(0))
        return Outcome(self.pool, self.whole, members, quality, size, size, stop, None, (), {})

    def _none(self, size: int, low: float, proof: Outcome | None) -> Result:
        """No portfolio of the size is known: INFEASIBLE where no tolerance is enough for one."""
        if proof is None or low < self.top:
            result = self._outcome((), None, self.stopped or Stop.FINISHED).result()
            info = {**self.work, "max_size": size}
            return dataclasses.replace(result, tolerance_lower_bound=max(low, 0.0), info=info)
        told = (proof if proof.members or proof.size.bound == math.inf else self._search(low)).result()
        kind, content = next(node for node in proof.size.nodes if node[0] != "branch")
        weight = np.array(content[0][0] if kind == "packing" else content, dtype=np.float64)
        return dataclasses.replace(
            told,
            status=Status.INFEASIBLE,
            stop=Stop.PROVED,
            members=(),
            indices=(),
            cost=math.inf,
            lower_bound=float(proof.size.bound),
            regret=math.inf,
            worst_weight=weight / weight.sum(),
            info={**told.info, **self.work, "max_size": size},
        )
