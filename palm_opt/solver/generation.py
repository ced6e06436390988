"""Row generation over the simplex: the cheapest portfolio with its proof, or whether one of a given cost exists."""

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
from palm_opt.result import Progress, Result, Stop
from palm_opt.solver.backends import SolveCover, load
from palm_opt.solver.backends.greedy import solve_cover as greedy
from palm_opt.solver.certify import worst_exact
from palm_opt.solver.cover import DOUBT, Cover, Pool, Witnesses
from palm_opt.solver.exact import Weight
from palm_opt.solver.local import LocalSearch
from palm_opt.solver.outcome import Outcome, proof_seconds
from palm_opt.solver.packing import SizeProof, infeasible
from palm_opt.solver.quality import Quality, check_quality
from palm_opt.solver.relaxation import Point, Relaxation
from palm_opt.solver.run import Run, Stopped, attended
from palm_opt.solver.separation import separate
from palm_opt.solver.sweep import sweep
from palm_opt.solver.tree import Tree
from palm_opt.tables.values import ValueMatrix

__all__ = ["RowGeneration"]

_SHORT, _LONG, _SLICE = 10_000, 100_000, 2_000  # steps of local search without success: before, after the bound; a call
_VIOLATED = 10  # rows that a cover which is no portfolio adds
_MANY = 3_000  # rows beyond twice the early ones from which those are dropped that do not bind
_NODES = 20  # nodes of the tree between two looks for a cheaper portfolio
_ROUNDS, _WINDOW = 400, 25  # pricing rounds at the root; rounds in which the bound must move
_RESTARTS = 8  # rounds in which the first heuristic covers all rows anew
_CROWD = 20_000  # undominated candidates from which the first heuristic sees a few of them
_SKETCH_WORK, _SKETCH = 50_000_000, (200, 2_000)  # candidates x rewards x weights that choose these few; weights
_SKETCHES = 2  # times that greedy covers them anew
_LOOKED = 10_000  # candidates at which it is looked first
_MISSED = 1_000  # candidates that a portfolio of these few does not serve and that join them
_LENGTHY = 0.05  # seconds of a proof from which the first portfolio is proved at once where time is limited
_SWEEP = 0.5  # share of the time limit for the sweep


class RowGeneration:
    """Row generation: a cover of the witness weights is a portfolio once no weight is left that it violates.

    Parameters
    ----------
    warm : a portfolio to begin with, or ().
    weights : witness weights to begin with, from an earlier `Outcome`; none: the starting set.
    size : what is proved already.
    enough : stop as soon as it is known whether a portfolio of this cost exists; None: find the cheapest.
    """

    def __init__(
        self,
        pool: Pool,
        run: Run,
        warm: tuple[int, ...] = (),
        weights: Sequence[Weight] = (),
        size: SizeProof | None = None,
        enough: int | None = None,
    ) -> None:
        self.pool, self.run = pool, run
        self.propose: SolveCover = load(run.backend)
        self.warm, self.weights, self.enough = warm, weights, enough
        self.rows = Witnesses(pool, lambda: self.run.pause())
        self.relaxation = Relaxation(pool, self.rows, run)
        self.tree = Tree(pool, self.relaxation, self._improve, self._node)
        self.local = LocalSearch(pool, self.rows, run.settings.seed)
        self.members: tuple[int, ...] = ()
        self.quality: Quality | None = None
        self.size = size or SizeProof(Fraction(0))
        self.packed = SizeProof(Fraction(0))
        self.claimed: float | None = None
        self.early = 0  # rows known before the relaxation adds its own
        self.stop = Stop.FINISHED
        self.safe: Result | None = None  # the first portfolio with its proof, where time is limited
        self.counts = {"rounds": 0, "lps": 0, "pivots": 0, "exact_games": 0, "backend_calls": 0, "backend_nodes": 0}

    # ---- running -------------------------------------------------------------------------------------------------

    def search(self) -> Outcome:
        """Search in a worker thread, so that Ctrl-C always gets the incumbent."""
        run = self.run
        if attended(self._work, run):
            self.stop = Stop.INTERRUPTED
        return self._outcome(run)

    def _work(self) -> None:
        try:
            self._generate()
        except Stopped as stopped:
            self.stop = stopped.stop

    def _outcome(self, run: Run) -> Outcome:
        bind = self.relaxation.rows if len(self.relaxation.rows) else np.arange(len(self.rows))
        return Outcome(
            self.pool,
            run,
            self.members,
            self.quality,
            self.size,
            self.packed,
            self.stop,
            self.claimed,
            tuple(self.rows.integer[row] for row in bind.tolist()),
            {
                **self.counts,
                **self.relaxation.work,
                "nodes": self.tree.nodes,
                "steps": self.local.steps,
                "rows": len(self.rows),
                "front": len(self.pool.front),
                "doubtful": self.rows.doubtful,
            },
            self.safe,
        )

    def _until(self, deadline: float) -> None:
        self.run = self.relaxation.run = self.run.until(deadline)

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

    # ---- row generation --------------------------------------------------------------------------------------------

    def _generate(self) -> None:
        limited, limit = self.run, self.run.settings.time_limit
        crowd = len(self.pool.front) > _CROWD
        if self.enough is None:
            self._until(limited.last - proof_seconds(self.pool))  # a first portfolio is worth a little more
        starts = start(np.random.default_rng(limited.settings.seed), self.pool.values.d)
        self.rows.add(self.weights or starts[: self.pool.values.d + 1 if crowd else None])
        if self._impossible():
            return
        if limited.backend == "native" and self.pool.values.d <= 2:
            if self._sweep(limited.began + _SWEEP * limit):
                return
            crowd = True
        if self.warm:
            self._improve(tuple(sorted({*self.warm, *self.pool.required} - self.pool.forbidden)))
        if not (self._proved() or (self._sketch() if crowd and not self.members else self._converge(greedy))):
            return
        self._record(self.relaxation.ascent())
        self._until(limited.deadline - self._secure())
        if self._proved():
            self.stop = Stop.PROVED
            return
        self._check_limits()
        if crowd:
            self.rows.add(starts)
        if limited.backend != "native":
            self._trim()
        if limited.backend == "greedy":
            self._root(0)
        elif limited.backend == "native":
            self._native()
        else:
            self._with_backend()
        if self._proved():
            self.stop = Stop.PROVED

    def _secure(self) -> float:
        """Prove the first portfolio at once where time is limited and proofs are long; the seconds to keep for one."""
        if self.run.settings.time_limit == math.inf or self.enough is not None:
            return 0.0
        expected, began = proof_seconds(self.pool), time.monotonic()
        if expected < _LENGTHY:
            return expected
        self.safe = self._outcome(self.run).result()
        return 1.2 * (time.monotonic() - began)

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
                self.rows.add([inner.rows.integer[row] for row in inner.relaxation.ascent().rows.tolist()])
                return True
            weights = np.array([np.array(w, dtype=np.float64) / sum(w) for w in quality.violated])
        raise AssertionError("unreachable")

    def _missed(self, members: tuple[int, ...]) -> NDArray[np.float64]:
        """Weights, shape (m, d), at which members fail some candidates among a few: a look before the whole check."""
        pool, run, values = self.pool, self.run, self.pool.values.array
        targets = (1 - pool.epsilon) * values[pool.front[:: len(pool.front) // _LOOKED]]
        found = separate(targets, values[list(members)], run.settings.threads, run.pause)
        bad = np.flatnonzero(found.regret > pool.delta + DOUBT * (2 * float(np.abs(values).max()) + pool.delta))
        return found.weights[bad[np.argsort(-found.regret[bad], kind="stable")[:_MISSED]]]

    def _best(self, rows: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
        """Those of some rows that are best at some weights."""
        return np.unique(rows[_core.support(self.pool.values.array[rows], weights)[1]]) if len(rows) else rows

    def _inner(self, few: NDArray[np.int64], known: Sequence[Weight]) -> RowGeneration:
        """The same problem of a few candidates, for greedy."""
        pool, seed = self.pool, self.run.settings.seed
        small = Pool(
            ValueMatrix(pool.values.array[few], costs=pool.values.costs[few]),
            pool.epsilon,
            pool.delta,
            np.searchsorted(few, pool.required),
            np.flatnonzero(np.isin(few, list(pool.forbidden))),
        )
        inner = RowGeneration(small, dataclasses.replace(self.run, backend="greedy", callback=None))
        inner.rows.add(known or start(np.random.default_rng(seed), pool.values.d))
        return inner

    def _sweep(self, until: float) -> bool:
        """One or two rewards: the cheapest portfolio and its packing at once; False where it takes too long."""
        try:
            found = sweep(self.pool, self.run.until(min(until, self.run.deadline)).pause)
        except Stopped as stopped:
            if stopped.stop is Stop.TIME_LIMIT and self.enough is None:
                return False
            raise
        if found.members is None:
            self.rows.add(found.weights)
            if not self._impossible():
                raise AssertionError("the sweep named a weight that is covered")
            return True
        if not self._improve(found.members):
            raise AssertionError("the sweep found a portfolio that breaks the promise")
        shares = tuple(zip(found.weights, found.y or (), strict=True))
        bound = self.pool.cost(self.pool.required) + sum((share for _, share in shares), Fraction(0))
        proved = Fraction(math.ceil(bound)) if self.pool.whole_costs else bound
        self.size = self.packed = SizeProof(proved, (("packing", shares),))
        self.stop = Stop.PROVED
        return True

    def _native(self) -> None:
        """Local search and the linear bound in turn, then branching, until they meet."""
        if self.weights and self._root(0):
            return
        self._local(_SHORT)
        if not self._root(_ROUNDS):
            self._forget()
            self._local(_LONG if self.enough is None else _SHORT)
            self._close()

    def _with_backend(self) -> None:
        """Covers from the backend until one is a portfolio; branching proves it, or finds rows that rule it out."""
        if not self._converge(self.propose):
            return
        if not self._root(_ROUNDS):
            self._close()

    def _root(self, rounds: int) -> bool:
        """Raise the linear bound by up to so many rounds of new rows; whether it meets the incumbent."""
        relaxation, pool = self.relaxation, self.pool
        self.early = len(self.rows)
        relaxation.begin(self.members)
        relaxation.move(frozenset(pool.required), pool.forbidden)
        history: list[float] = []
        idle = 0
        for _ in range(rounds + 1):
            self._check_limits()
            point = relaxation.solve()
            history.append(point.value)
            self._record(point)
            if self._proved():
                return True
            ahead = math.ceil(point.value - 1e-6) - point.value if pool.whole_costs else point.value
            if len(history) > _WINDOW and point.value - history[-_WINDOW] < 0.02 * max(ahead, 0.05):
                break
            idle = 0 if relaxation.price(point) else idle + 1
            if idle >= 3:
                break
        return False

    def _record(self, point: Point) -> None:
        """Keep the packing of a point if it proves more than is proved."""
        whole = self.pool.whole_costs
        goal = math.ceil(point.value - 1e-6) if whole else point.value * (1 - 1e-9)
        if goal > self.size.bound:
            bound, leaf = self.relaxation.leaf(point, goal if whole else self.pool.cost(self.members))
            if bound > self.size.bound:
                self.size = self.packed = SizeProof(bound, (leaf,))

    def _close(self) -> None:
        """Close the gap by branching, one unit of cost at a time where costs are integers."""
        while not self._proved():
            goal = self.pool.cost(self.members)
            if self.enough is not None:
                goal = min(goal, Fraction(self.enough) + 1)
            elif self.pool.whole_costs:
                goal = min(goal, Fraction(self.size.bound) + 1)
            self.size = self.tree.prove(goal) or self.size

    def _local(self, patience: int) -> None:
        """Local search for cheaper portfolios until none was found for so many steps."""
        search = self.local
        search.start(self.members)
        unit = Fraction(1) if self.pool.whole_costs else self.pool.cost(self.members) / 10**6
        left = patience
        while left > 0 and not self._proved():
            self._check_limits()
            before = search.steps
            found = search.run(float(self.pool.cost(self.members) - unit), _SLICE)
            left -= search.steps - before + _SLICE // 20
            if found is not None and self._promising(found) and self._improve(found):
                left = patience

    def _forget(self) -> None:
        """Drop the rows found since the relaxation began, but for those that are in it."""
        kept = np.union1d(self.relaxation.rows, np.arange(self.early))
        moved = self.rows.keep(kept)
        self.relaxation.forget(moved)
        self.local.forget(moved)

    def _promising(self, members: tuple[int, ...]) -> bool:
        """Whether a quick look finds no weight that members violate; else such weights become rows."""
        pool = self.pool
        hull = (1 - pool.epsilon) * pool.supported(self.run)
        found = separate(hull, pool.values.array[list(members)], self.run.settings.threads, self.run.pause)
        self.counts["lps"] += len(hull)
        self.counts["pivots"] += found.pivots
        order = np.argsort(-found.regret, kind="stable")
        bad = order[
            found.regret[order] > pool.delta + DOUBT * (2 * float(np.abs(pool.values.array).max()) + pool.delta)
        ]
        if not len(bad):
            return True
        _, first = np.unique(np.round(found.weights[bad], 5), axis=0, return_index=True)
        before = len(self.rows)
        self.rows.add(snap(found.weights[bad[np.sort(first)[:_VIOLATED]]]))
        return len(self.rows) == before  # all known and covered: only the exact check can tell

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

    def _trim(self) -> None:
        """Drop members without which the incumbent still keeps its promise."""
        for i in sorted(self.members, key=lambda i: -self.pool.values.costs[i]):
            rest = tuple(j for j in self.members if j != i)
            if i not in self.pool.required and rest:
                self._check_limits()
                self._improve(rest)

    # ---- bounds ----------------------------------------------------------------------------------------------------

    def _proved(self) -> bool:
        """Whether the incumbent is proved to be cheapest, or what was asked about `enough` is known."""
        cost = self.pool.cost(self.members) if self.members else math.inf
        known = self.enough is not None and (cost <= self.enough or self.size.bound > self.enough)
        return known or (bool(self.members) and cost <= self.size.bound)

    def _node(self) -> bool:
        """Before every node of the tree: limits, and now and then a look for a cheaper portfolio."""
        self._check_limits()
        if self.tree.nodes >= self.run.settings.node_limit:
            raise Stopped(Stop.NODE_LIMIT)
        cost = self.pool.cost(self.members)
        if self.tree.nodes % _NODES == _NODES - 1:
            if len(self.rows) > 2 * self.early + _MANY:
                self._forget()
            if self.run.backend == "native":
                self._local(_SHORT)
        return self.pool.cost(self.members) < cost
