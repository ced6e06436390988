"""Row generation over the simplex: the cheapest portfolio with its proof, or whether one of a given cost exists."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from palm_opt.preferences.simplex import snap, start
from palm_opt.result import Result, Stop
from palm_opt.solver.backends.greedy import solve_cover as greedy
from palm_opt.solver.cover import DOUBT, TINY, Pool
from palm_opt.solver.covering import Covering
from palm_opt.solver.exact import Weight
from palm_opt.solver.local import LocalSearch
from palm_opt.solver.outcome import Outcome, proof_seconds
from palm_opt.solver.packing import SizeProof
from palm_opt.solver.relaxation import Point, Relaxation
from palm_opt.solver.run import Run, Stopped, attended
from palm_opt.solver.separation import separate
from palm_opt.solver.sweep import sweep
from palm_opt.solver.tree import Tree

__all__ = ["RowGeneration"]

_SHORT, _LONG, _SLICE = 10_000, 100_000, 2_000  # steps of local search without success: before, after the bound; a call
_VIOLATED = 10  # rows that a cover which is no portfolio adds
_MANY = 3_000  # rows beyond twice the early ones from which those are dropped that do not bind
_NODES = 20  # nodes of the tree between two looks for a cheaper portfolio
_ROUNDS, _WINDOW = 400, 25  # pricing rounds at the root; rounds in which the bound must move
_CROWD = 20_000  # undominated candidates from which the first heuristic sees a few of them
_LENGTHY = 0.05  # seconds of a proof from which the first portfolio is proved at once where time is limited
_SWEEP = 0.5  # share of the time limit for the sweep


class RowGeneration(Covering):
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
        super().__init__(pool, run)
        self.warm, self.weights, self.enough = warm, weights, enough
        self.relaxation = Relaxation(pool, self.rows, run)
        self.tree = Tree(pool, self.relaxation, self._improve, self._node)
        self.local = LocalSearch(pool, self.rows, run.settings.seed)
        self.size = size or self.size
        self.packed = SizeProof(Fraction(0))
        self.early = 0  # rows known before the relaxation adds its own
        self.safe: Result | None = None  # the first portfolio with its proof, where time is limited

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
            found.regret[order] > pool.delta + DOUBT * (2 * float(np.abs(pool.values.array).max()) + pool.delta) + TINY
        ]
        if not len(bad):
            return True
        _, first = np.unique(np.round(found.weights[bad], 5), axis=0, return_index=True)
        before = len(self.rows)
        self.rows.add(snap(found.weights[bad[np.sort(first)[:_VIOLATED]]]))
        return len(self.rows) == before  # all known and covered: only the exact check can tell

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
