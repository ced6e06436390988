"""Branch and bound on candidates, in before out: the tree is the proof (docs/theory.md, L4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from palm_opt.solver.cover import Pool
from palm_opt.solver.packing import Node, SizeProof
from palm_opt.solver.relaxation import Point, Relaxation

__all__ = ["Tree"]

_MARGIN = 1e-6  # by which a float bound must pass before the exact leaf is made
_NEAR = 1e-9  # share of the target within which floats cannot tell a bound from it
_TRIED, _TRY_STEPS = 10, 50  # candidates tried before branching, and dual simplex steps of each
_PRICINGS, _WORTH = 6, 0.02  # pricing rounds at a node; share of the open gap that one must close to be repeated

Members = tuple[int, ...]


@dataclass
class Tree:
    """Prove that every portfolio costs at least `target`, or find a portfolio that costs less.

    Parameters
    ----------
    check : is called with a cover of all rows; returns True if it is a portfolio, else adds rows that it violates.
    pause : is called at every node: True if the proof is no longer wanted; raises to stop.
    """

    pool: Pool
    relaxation: Relaxation
    check: Callable[[Members], bool]
    pause: Callable[[], bool]
    nodes: int = 0
    _done: list[Node] = field(default_factory=list)

    def prove(self, target: Fraction) -> SizeProof | None:
        """The proof; None where a portfolio that costs less was found, or the proof is no longer wanted."""
        self._done = []
        bound: Fraction | float = math.inf
        stack: list[tuple[frozenset[int], frozenset[int]]] = [(frozenset(self.pool.required), self.pool.forbidden)]
        while stack:
            if self.pause():
                return None
            inside, outside = stack.pop()
            self.relaxation.move(inside, outside)
            self.nodes += 1
            outcome = self._node(target)
            if outcome is None:
                return None
            if isinstance(outcome, int):
                self._done.append(("branch", outcome))
                stack.append((inside, outside | {outcome}))
                stack.append((inside | {outcome}, outside))
            else:
                bound = min(bound, outcome)
        return SizeProof(bound, tuple(self._done))

    def _node(self, target: Fraction) -> Fraction | float | int | None:
        """The exact bound of a leaf (a Fraction or inf), the candidate to branch on (an int), None as in `prove`."""
        relaxation = self.relaxation
        need = float(target) - 1 + _MARGIN if self.pool.whole_costs else float(target) * (1 - _NEAR)
        before, pricings = -math.inf, 0
        while True:
            point = relaxation.solve()
            if point.value >= need or not len(relaxation.candidates()):
                bound, leaf = relaxation.leaf(point, target)
                if bound >= target:
                    self._done.append(leaf)
                    return bound
            members = tuple(sorted({*point.chosen, *relaxation.inside}))
            if point.integral and self.pool.cost(members) < target:
                if relaxation.overlooked(members) or not self.check(members):
                    relaxation.add_rows(relaxation.overlooked(members))
                    continue
                return None
            worth = _WORTH * max(need - point.value, 0.0)
            if pricings < _PRICINGS and point.value - before > worth:
                before, pricings = point.value, pricings + 1
                if relaxation.price(point):
                    continue
            return self._choose(point, need)

    def _choose(self, point: Point, need: float) -> int:
        """The undecided candidate whose two sides raise the bound most (strong branching)."""
        decided = self.relaxation.inside | self.relaxation.outside
        distance = np.minimum(point.x, 1 - point.x)
        order = np.lexsort((-point.x, -distance.round(9)))  # where all shares are whole, one that is 1
        able = [j for j in order.tolist() if int(point.columns[j]) not in decided]
        if not able:  # floats cannot tell what the costs of the others are worth
            return int(self.relaxation.candidates()[0])
        tried = [j for j in able[:_TRIED] if distance[j] > _MARGIN] or able[:1]
        if len(tried) == 1:
            return int(point.columns[tried[0]])
        best, chosen = -1.0, tried[0]
        for j in tried:
            gains = [
                min(value, need + 0.1) - point.value
                for value in self.relaxation.try_bounds(int(point.columns[j]), _TRY_STEPS)
            ]
            score = max(gains[0], 1e-4) * max(gains[1], 1e-4)
            if score > best:
                best, chosen = score, j
        return int(point.columns[chosen])
