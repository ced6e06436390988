"""Covers of witness weights until one is a portfolio: the loop that every search of a portfolio rests on."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from palm_opt import _core
from palm_opt.preferences.simplex import sample, snap, start
from palm_opt.result import Progress, Stop
from palm_opt.solver.backends import SolveCover, load
from palm_opt.solver.backends.greedy import solve_cover as greedy
from palm_opt.solver.certify import worst_exact
from palm_opt.solver.cover import DOUBT, TINY, Cover, Pool, Witnesses
from palm_opt.solver.exact import Weight
from palm_opt.solver.packing import SizeProof, infeasible
from palm_opt.solver.quality import Quality, check_quality
from palm_opt.solver.run import Run, Stopped
from palm_opt.solver.separation import separate
from palm_opt.tables.values import ValueMatrix

__all__ = ["Covering"]

_RESTARTS = 8  # rounds in which the first heuristic covers all rows anew
_SKETCH_WORK, _SKETCH = 50_000_000, (200, 2_000)  # candidates x rewards x weights that choose these few; weights
_SKETCHES = 2  # times that greedy covers them anew
_LOOKED = 10_000  # candidates at which it is looked first
_MISSED = 1_000  # candidates that a portfolio of these few does not serve and that join them


class Covering:
    """Covers of witness weights: a cover that fails somewhere adds rows there, until one is a portfolio.

    Attributes
    ----------
    rows : the witness weights; members, quality : the best portfolio found; size : what is proved of its cost.
    claimed : what the backend claims of it.
    """

    def __init__(self, pool: Pool, run: Run) -> None:
        self.pool, self.run = pool, run
        self.propose: SolveCover = load(run.backend)
        self.rows = Witnesses(pool, lambda: self.run.pause())
        self.members: tuple[int, ...] = ()
        self.quality: Quality | None = None
        self.size = SizeProof(Fraction(0))
        self.claimed: float | None = None
        self.stop = Stop.FINISHED
        self.counts = {"rounds": 0, "lps": 0, "pivots": 0, "exact_games": 0, "backend_calls": 0, "backend_nodes": 0}

    def _check_limits(self) -> None:
        if self.run.callback is not None and self.run.callback(self._progress()):
            raise Stopped(Stop.INTERRUPTED)
        self.run.pause()

    def _progress(self) -> Progress:
        names = self.pool.values.names
        return Progress(
            seconds=time.monotonic() - self.run.began,
            rounds=self.counts["rounds"],
            rows=len(self.rows),
            incumbent=tuple(names[i] for i in self.members),
            cost=float(self.pool.cost(self.members)) if self.members else math.inf,
            lower_bound=float(self.size.bound),
        )

    def _converge(self, propose: SolveCover) -> bool:
        """Solve covers and add what they violate until the cover is a portfolio; False if none can exist.

        After `_RESTARTS` rounds of the heuristic a cover is only extended, no longer started anew.
        """
        kept: tuple[int, ...] = ()
        for attempt in itertools.count():
            self._check_limits()
            self.counts["rounds"] += 1
            cover, columns = self._cover()
            if propose is greedy and attempt > _RESTARTS:
                cover = dataclasses.replace(cover, fixed=tuple(sorted({*cover.fixed, *kept})))
            start_columns = tuple(np.flatnonzero(np.isin(columns, self.members)).tolist())
            answer = propose(cover, start_columns, self.run)
            self.counts["backend_nodes"] += answer.nodes
            if propose is self.propose:
                self.counts["backend_calls"] += 1
                self.claimed = max(self.claimed or 0.0, answer.bound)
            if answer.columns is None:
                self._check_limits()
                return not self._impossible()
            kept = answer.columns
            if self._improve(tuple(int(columns[j]) for j in answer.columns)):
                return True
            if self._impossible():
                return False
        raise AssertionError("unreachable")

    def _cover(self) -> tuple[Cover, NDArray[np.int64]]:
        pool = self.pool
        fixed = tuple(int(np.searchsorted(pool.columns, i)) for i in pool.required)
        return Cover(self.rows.coverage(pool.columns), pool.values.costs[pool.columns], fixed), pool.columns

    def _improve(self, members: tuple[int, ...]) -> bool:
        """Whether members keep the promise: then they may become the incumbent; else rows are added."""
        if not members:
            return False
        quality = self._check(members)
        if quality.kept:
            return True
        rows = self.rows.add(quality.violated)
        if self.rows.coverage(members)[rows].any(axis=1).all():  # snapping lost the violation: take the exact weight
            exact = self._exact_violation(members)
            if exact is not None:
                self.rows.add([exact])
        return False

    def _check(self, members: tuple[int, ...], limit: int = 200) -> Quality:
        """The quality of members; if they keep the promise, they may become the incumbent."""
        quality = check_quality(self.pool, members, self.run, limit)
        self.counts["lps"] += quality.games
        self.counts["pivots"] += quality.pivots
        self.counts["exact_games"] += quality.exact
        if quality.kept and (not self.members or self.pool.cost(members) < self.pool.cost(self.members)):
            self.members, self.quality = members, quality
        return quality

    def _exact_violation(self, members: tuple[int, ...]) -> tuple[int, ...] | None:
        value, weight = worst_exact(self.pool, members, self.run)
        return weight if value > self.pool.exact.delta else None

    def _impossible(self) -> bool:
        """Whether some row is covered by no admissible candidate; then that is the proof."""
        empty = np.flatnonzero(~self.rows.coverage(self.pool.columns).any(axis=1))
        if len(empty):
            self.size = infeasible(self.rows.integer[int(empty[0])])
            self.members, self.quality, self.stop = (), None, Stop.PROVED
        return bool(len(empty))

    def _sketch(self) -> bool:
        """A first portfolio of many candidates; False if there is none.

        Greedy sees those that are best at some weights, then also at those where its portfolio fails, and in the end
        only adds what is missing.
        """
        pool, rng = self.pool, np.random.default_rng(self.run.settings.seed)
        values, known = pool.values.array, list[Weight]()
        count = int(np.clip(_SKETCH_WORK / values.size, *_SKETCH))
        weights = np.concatenate([np.eye(pool.values.d), sample(rng, count, pool.values.d)])
        few, members = np.array(pool.required, dtype=np.int64), ()
        for attempt in itertools.count():
            if attempt < _SKETCHES:
                few = np.union1d(few, self._best(pool.columns, weights))
                if pool.forbidden or not pool.values.unit_costs:
                    few = np.union1d(few, self._best(pool.front, weights))
                inner = self._inner(few, known)
                if not inner._converge(greedy):
                    weights = snap(inner.rows.floats[-1:])
                    self.rows.add(weights)
                    if self._impossible():
                        return False
                    continue
                known, members = inner.rows.integer, tuple(few[list(inner.members)].tolist())
            else:
                able = np.setdiff1d(self._best(pool.columns, weights), members)
                promised = (1 - pool.epsilon) * _core.support(values[pool.front], weights)[0] - pool.delta
                cover = Cover(weights @ values[able].T >= promised[:, None], pool.values.costs[able])
                cover = Cover(cover.matrix[cover.matrix.any(axis=1)], cover.costs)
                members = tuple(sorted({*members, *able[list(greedy(cover, (), self.run).columns or ())].tolist()}))
            self._check_limits()
            weights = self._missed(members)
            if len(weights):
                continue
            quality = self._check(members, _MISSED)
            if quality.kept:
                self.rows.add([inner.rows.integer[row] for row in inner._apart().tolist()])
                return True
            weights = np.array([np.array(w, dtype=np.float64) / sum(w) for w in quality.violated])
        raise AssertionError("unreachable")

    def _missed(self, members: tuple[int, ...]) -> NDArray[np.float64]:
        """Weights, shape (m, d), at which members fail some candidates among a few: a look before the whole check."""
        pool, run, values = self.pool, self.run, self.pool.values.array
        targets = (1 - pool.epsilon) * values[pool.front[:: max(1, len(pool.front) // _LOOKED)]]
        found = separate(targets, values[list(members)], run.settings.threads, run.pause)
        bad = np.flatnonzero(found.regret > pool.delta + DOUBT * (2 * float(np.abs(values).max()) + pool.delta) + TINY)
        return found.weights[bad[np.argsort(-found.regret[bad], kind="stable")[:_MISSED]]]

    def _best(self, rows: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
        """Those of some rows that are best at some weights."""
        return np.unique(rows[_core.support(self.pool.values.array[rows], weights)[1]]) if len(rows) else rows

    def _inner(self, few: NDArray[np.int64], known: Sequence[Weight]) -> Covering:
        """The same problem of a few candidates, for greedy."""
        pool, seed = self.pool, self.run.settings.seed
        small = Pool(
            ValueMatrix(pool.values.array[few], costs=pool.values.costs[few]),
            pool.epsilon,
            pool.delta,
            np.searchsorted(few, pool.required),
            np.flatnonzero(np.isin(few, list(pool.forbidden))),
        )
        inner = Covering(small, dataclasses.replace(self.run, backend="greedy", callback=None))
        inner.rows.add(known or start(np.random.default_rng(seed), pool.values.d))
        return inner

    def _apart(self) -> NDArray[np.int64]:
        """Rows no two of which a candidate covers, those that fewest cover first: the start of a packing."""
        matrix = self.rows.coverage(self.pool.columns)
        free, found = np.ones(matrix.shape[1], dtype=bool), list[int]()
        for row in np.argsort(matrix.sum(axis=1), kind="stable").tolist():
            if free[matrix[row]].all():
                found.append(row)
                free &= ~matrix[row]
        return np.array(found, dtype=np.int64)
