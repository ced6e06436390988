"""Greedy cover by price per newly covered row, then removal of redundant columns (Chvatal 1979). Claims no bound."""

from __future__ import annotations

import numpy as np

from palm_opt.solver.backends import Proposal
from palm_opt.solver.cover import Cover
from palm_opt.solver.run import Run

__all__ = ["solve_cover"]


def solve_cover(cover: Cover, start: tuple[int, ...], run: Run) -> Proposal:
    """A cover by plain greedy; `start` is ignored so that the result is the heuristic's own."""
    matrix, costs = cover.matrix, np.maximum(cover.costs, 1e-12)
    chosen = list(cover.fixed)
    open_rows = ~matrix[:, chosen].any(axis=1)
    gain = matrix[open_rows].sum(axis=0)
    while open_rows.any():
        best = int((gain / costs).argmax())
        if gain[best] == 0:
            return Proposal(None, float("inf"), False)
        chosen.append(best)
        newly = open_rows & matrix[:, best]
        gain -= matrix[newly].sum(axis=0)
        open_rows &= ~newly
    return Proposal(prune(cover, chosen), 0.0, False)


def prune(cover: Cover, chosen: list[int]) -> tuple[int, ...]:
    """Drop redundant columns, the dearest first, then the last chosen."""
    count = cover.matrix[:, chosen].sum(axis=1)
    kept = set(chosen)
    for position in sorted(range(len(chosen)), key=lambda p: (-cover.costs[chosen[p]], -p)):
        j = chosen[position]
        if j not in cover.fixed and (count[cover.matrix[:, j]] > 1).all():
            kept.remove(j)
            count -= cover.matrix[:, j]
    return tuple(sorted(kept))
