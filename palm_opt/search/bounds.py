"""The outer bound U of an oracle search: what the answers prove about OPT (docs/theory.md, L6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palm_opt import _core

__all__ = ["Bound", "OuterBound"]


@dataclass(frozen=True)
class Bound:
    """OPT(weight) <= value, by multipliers on answers.

    multipliers : (answer, mu > 0): weight = sum of mu times the answers' weights (at most that, with a floor).
    vertex : (d,) a value vector y with weight.y = value that no answer rules out (up to rounding).
    """

    value: float
    multipliers: list[tuple[int, float]]
    vertex: NDArray[np.float64]


class OuterBound:
    """Half-spaces { v : W_j.v <= u_j } of answers at weights W_j, and a floor, in scaled coordinates.

    Parameters
    ----------
    scale : (d,) powers of two, see `Envelope`.
    units : the d answers at the unit weights, by reward; they are the first columns. limits : (d,) their u_j.
    floor : (d,) what no admissible value vector is below, or None.

    Attributes
    ----------
    outer : the kernel's linear program; answers : answer of each column, -1 for the floor; sizes : what the scaled
    weight of each column was divided by.
    """

    def __init__(
        self,
        scale: NDArray[np.float64],
        units: list[int],
        limits: NDArray[np.float64],
        floor: NDArray[np.float64] | None,
    ) -> None:
        d = len(scale)
        self.scale, self.floor = scale, floor
        self.outer = _core.Outer(d)
        self.answers: list[int] = []
        self.sizes: list[float] = []
        for k in range(d):
            self.add(units[k], np.eye(d)[k], float(limits[k]))
        for k in range(d if floor is not None else 0):
            assert floor is not None
            self.outer.add(-np.eye(d)[k], -floor[k] / scale[k])
            self.answers.append(-1)
            self.sizes.append(1.0)

    def add(self, answer: int, weight: NDArray[np.float64], limit: float) -> None:
        """Add the half-space of an answer."""
        scaled = weight * self.scale
        size = float(scaled.sum())
        self.outer.add(scaled / size, limit / size)
        self.answers.append(answer)
        self.sizes.append(size)

    def loosen(self, answer: int, limit: float, corners: _core.Corners) -> None:
        """Raise the limit of an answer, and the bounds at corners by what that can cost them; rekey them afterwards."""
        column = self.answers.index(answer)
        rise = limit / self.sizes[column] - float(self.outer.cost[column])
        self.outer.cost[column] += rise
        direction, used = self.outer.column[:, column], corners.used
        support = np.flatnonzero(direction > 0)
        largest = (corners.arrays["weight"][:used, support] / direction[support]).min(axis=1)  # of its multiplier
        corners.arrays["bound"][:used] += rise * largest
        corners.arrays["exact"][:used] = 0

    def solve(self, weight: NDArray[np.float64]) -> Bound:
        """The best bound at a weight, shape (d,)."""
        scaled = weight * self.scale
        size = float(scaled.sum())
        value, basis, share, price = self.outer.solve(scaled / size)
        multipliers = [
            (self.answers[j], mu * size / self.sizes[j])
            for j, mu in zip(basis.tolist(), share.tolist(), strict=True)
            if mu > 0 and self.answers[j] >= 0
        ]
        return Bound(value * size, multipliers, price * self.scale)
