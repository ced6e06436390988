"""The package's own solver of the master cover: dominance, greedy and local search, then branch and bound.

Linear bounds with reduced-cost fixing. `solve` gives the backend of this name more than covers of fixed rows: local
search and branching that generate rows as they go (`palm_opt.local`, `palm_opt.relaxation`, `palm_opt.tree`).
"""

from __future__ import annotations

import math

import highspy
import numpy as np
from numpy.typing import NDArray

from palm_opt import _core
from palm_opt.solver.backends import Proposal, reduced
from palm_opt.solver.backends.greedy import solve_cover as greedy
from palm_opt.solver.backends.highs import model, simplex
from palm_opt.solver.cover import Cover
from palm_opt.solver.local import bit_matrix
from palm_opt.solver.run import Run

__all__ = ["solve_cover"]

_STEPS = 5_000  # of local search without success
_SLACK = 1e-7


@reduced
def solve_cover(cover: Cover, start: tuple[int, ...], run: Run) -> Proposal:
    """Solve the cover; `start` is a cover to improve on."""
    search = _BranchAndBound(cover, run)
    if cover.matrix[:, list(start)].any(axis=1).all():
        search.offer(np.array(start, dtype=np.int64))
    search.offer(np.array(greedy(cover, (), run).columns, dtype=np.int64))
    search.improve()
    bound = search.branch()
    optimal = bound >= search.cost - _SLACK * max(1.0, search.cost)
    return Proposal(tuple(search.best.tolist()), bound, optimal, search.nodes)


class _BranchAndBound:
    """Depth first, the column in before out; HiGHS solves the linear relaxations in place."""

    def __init__(self, cover: Cover, run: Run) -> None:
        self.cover, self.run = cover, run
        self.best, self.cost = np.arange(len(cover.costs)), float(cover.costs.sum())
        self.whole = bool(np.all(cover.costs == np.rint(cover.costs)))
        self.nodes = 0

    def offer(self, columns: NDArray[np.int64]) -> None:
        """Record a cover if it is cheaper than the best."""
        cost = float(self.cover.costs[columns].sum())
        if cost < self.cost:
            self.best, self.cost = columns, cost

    def improve(self) -> None:
        """Row-weighting local search from the best cover."""
        costs = np.maximum(self.cover.costs, 1e-9 * max(1.0, float(self.cover.costs.max())))
        by_row, by_column = bit_matrix(self.cover.matrix), bit_matrix(np.ascontiguousarray(self.cover.matrix.T))
        chosen = np.zeros(len(costs), dtype=np.uint8)
        chosen[self.best] = 1
        fixed, weight = np.zeros_like(chosen), np.ones(len(self.cover.matrix), dtype=np.int64)
        random = np.array([self.run.seed], dtype=np.uint64)
        found = True
        while found and not self.run.over:
            goal = self.cost - 1 if self.whole else self.cost * (1 - 1e-6)
            done, open_rows = _core.local(by_row, by_column, costs, fixed, chosen, weight, random, goal, _STEPS)
            found = done > 0 and open_rows == 0 and float(self.cover.costs[chosen > 0].sum()) < self.cost
            if found:
                self.offer(np.flatnonzero(chosen))

    def branch(self) -> float:
        """Search until done or stopped; returns a lower bound on the cost of every cover."""
        solver, count = simplex(), len(self.cover.costs)
        solver.passModel(model(self.cover, relaxed=True))
        every, infinity = np.arange(count, dtype=np.int32), highspy.kHighsInf
        low, high = np.zeros(count), np.full(count, infinity)
        stack = [(0.0, low, high)]
        while stack:
            if self.run.over:
                return min(self.cost, *(bound for bound, _, _ in stack))
            bound, low, high = stack.pop()
            if not self._worth(bound):
                continue
            self.nodes += 1
            solver.changeColsBounds(count, every, low, high)
            solver.run()
            if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
                if solver.getModelStatus() != highspy.HighsModelStatus.kInfeasible:
                    return min(bound, self.cost)
                continue
            bound, solution = float(solver.getObjectiveValue()), solver.getSolution()
            if not self._worth(bound):
                continue
            x, reduced = np.array(solution.col_value), np.array(solution.col_dual)
            split = np.abs(x - np.rint(x))
            j = int(split.argmax())
            if split[j] < 1e-6:
                self.offer(np.flatnonzero(x > 0.5))
                continue
            out = (x < 1e-9) & (bound + reduced > self.cost - (1 - 1e-6 if self.whole else 0)) & (low == 0)
            rest = np.where(out, 0.0, high)
            without, within = rest.copy(), low.copy()
            without[j], within[j] = 0.0, 1.0
            stack += [(bound, low, without), (bound, within, rest)]
        return self.cost

    def _worth(self, bound: float) -> bool:
        """Whether a node with this linear bound may hold a cheaper cover."""
        return (math.ceil(bound - 1e-6) if self.whole else bound + _SLACK) < self.cost
