"""The upper envelope of found policies with exact combinatorics (docs/theory.md, L5).

Value vectors are rounded down to a fine dyadic grid with a small random shift: the envelope of the rounded points is
below the true one, so claims about it are sound, and no d + 1 constraints meet in one corner, so every corner has
exactly d active ones. Which corners a new point cuts off is decided by floats with a proved error bound, and in
integers where they leave it open; a point that would pass through a corner exactly is shifted again. No tolerance is
involved.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from palm_opt import _core

__all__ = ["GRID_BITS", "Envelope", "exact_corner", "margin", "scale_exponents"]

GRID_BITS = 44  #: points are multiples of 2^-GRID_BITS in units of the scale of each reward
SHIFT = 2**13  #: and are moved down by SHIFT to 3 SHIFT - 1 grid steps, at random
RESOLUTION = 2.0**-29  #: more than rounding can take from a value, in units of the scale
_LEAST = -500  # of the exponents of scales: their reciprocals must be finite
ROOM = 2.0**7  #: points larger than this need another scale


def scale_exponents(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Exponents of the powers of two just above the largest magnitude of each column of values, shape (n, d)."""
    size = np.abs(values).max(axis=0)
    size[size == 0] = size.max() or 1.0
    exponents: NDArray[np.int64] = np.maximum(np.frexp(size)[1], _LEAST).astype(np.int64)
    return exponents


def margin(exponents: NDArray[np.int64]) -> float:
    """Twice what rounding can take from a value at any weight."""
    return float(2 * RESOLUTION * np.ldexp(1.0, int(exponents.max())))


class Envelope:
    """Corners of L(w) = max_p w.a_p over rounded points, with an upper bound of U at each.

    Parameters
    ----------
    exponents : (d,) powers of two s_k = 2^exponents[k] that bring reward k to magnitude about 1.
    keep, delta, eta, gamma : the promise and the oracle error that the keys measure (src/palm.h, palm_promise).
    seed : of the random shifts.

    Attributes
    ----------
    corners : the kernel's corners, in scaled coordinates; integers : the points in units of 2^-GRID_BITS.
    policies : the caller's number of each point; a value vector that is there already is not added again.
    open_sides : decisions that floats left open; shifts : points that had to be shifted again.
    """

    def __init__(
        self, exponents: NDArray[np.int64], keep: float, delta: float, eta: float, gamma: float, seed: int
    ) -> None:
        self.exponents, self.seed = exponents, seed
        self.scale = np.ldexp(1.0, exponents)
        self.corners = _core.Corners(1 / self.scale, keep, delta, eta, gamma, RESOLUTION)
        self.keep = keep
        self.points = np.empty((0, len(exponents)))
        self.integers: list[tuple[int, ...]] = []
        self.policies: list[int] = []
        self._known: set[bytes] = set()
        self.open_sides = self.shifts = 0
        self._size = 0.0

    def fits(self, value: NDArray[np.float64]) -> bool:
        """Whether the scale suits a value vector, shape (d,)."""
        return bool((np.abs(value) < ROOM * self.scale).all())

    def add(self, number: int, value: NDArray[np.float64], outer: _core.Outer) -> bool:
        """Add the value vector, shape (d,), of a policy; returns whether it rises above the envelope anywhere."""
        if value.tobytes() in self._known:
            return False
        self._known.add(value.tobytes())
        self.policies.append(number)
        policy, attempt = len(self.points), 0
        while True:
            steps = np.floor(np.ldexp(value / self.scale, GRID_BITS)).astype(np.int64)
            steps -= np.random.default_rng([self.seed, number, attempt]).integers(SHIFT, 3 * SHIFT, len(steps))
            point, whole = np.ldexp(steps.astype(np.float64), -GRID_BITS), tuple(steps.tolist())
            self._size = max(self._size, float(np.abs(point).max()))
            if policy == 0:
                self._append(point, whole)
                self.corners.start(point)
                self.corners.solve(outer, range(len(value)))
                self.corners.rekey()
                return True
            state, left = self.corners.side(point, self._size)
            if left == 0 or self._decide(state, whole):
                break
            attempt += 1
            self.shifts += 1
        self._append(point, whole)
        new = self.corners.cut(policy, self.points, state)
        if new < 0:
            raise AssertionError("the corners of the envelope are not those of a polyhedron")
        return bool(new > 0)

    def weights(self, slots: NDArray[np.integer] | Sequence[int]) -> NDArray[np.float64]:
        """True weights, shape (m, d), of corners; each sums to 1 up to rounding."""
        scaled = self.corners.arrays["weight"][slots] / self.scale
        weights: NDArray[np.float64] = scaled / scaled.sum(axis=1, keepdims=True)
        return weights

    def alive(self) -> NDArray[np.int64]:
        """Slots of the corners."""
        return np.flatnonzero(self.corners.arrays["place"][: self.corners.used] != -2)

    def worst(self, outer: _core.Outer) -> tuple[float, NDArray[np.float64]]:
        """The largest keep U(w) - L(w), and a weight, shape (d,), where it is attained."""
        alive, arrays, many = self.alive(), self.corners.arrays, 64
        while True:
            gaps = (self.keep * arrays["bound"][alive] - arrays["value"][alive]) / arrays["mass"][alive]
            exact = arrays["exact"][alive] == outer.count
            best = gaps[exact].max(initial=-np.inf)
            above = np.flatnonzero(~exact & (gaps > best))
            if not len(above):
                top = np.flatnonzero(exact)[gaps[exact].argmax()]
                return float(best), self.weights([alive[top]])[0]
            self.corners.solve(outer, alive[above[np.argsort(-gaps[above], kind="stable")[:many]]])
            many *= 2

    def solve(self, outer: _core.Outer) -> None:
        """Solve the linear programs of all corners, each from the basis of a neighbour."""
        arrays, alive = self.corners.arrays, self.alive()
        solved = arrays["exact"][: self.corners.used] == outer.count
        front = alive[solved[alive]]
        if not len(front):
            front = alive[:1]
            self.corners.solve(outer, front)
            solved[front] = True
        while len(front):
            near, source = arrays["neighbour"][front].ravel(), np.repeat(front, len(self.scale))
            new = np.flatnonzero((near >= 0) & ~solved[near])
            front, first = np.unique(near[new], return_index=True)
            arrays["basis"][front] = arrays["basis"][source[new[first]]]
            arrays["known"][front] = outer.count
            self.corners.solve(outer, front)
            solved[front] = True

    def _append(self, point: NDArray[np.float64], whole: tuple[int, ...]) -> None:
        self.points = np.concatenate([self.points, point[None]])
        self.integers.append(whole)

    def _decide(self, state: NDArray[np.uint8], point: tuple[int, ...]) -> bool:
        """Decide in integers what floats left open; False where the point passes through a corner."""
        for slot in np.flatnonzero(state == 2):
            self.open_sides += 1
            weight, value = exact_corner(self.corners.arrays["active"][slot].tolist(), self.integers)
            over = sum(w * a for w, a in zip(weight, point, strict=True)) - value
            if over == 0:
                return False
            state[slot] = over > 0
        return True


def exact_corner(active: Sequence[int], points: Sequence[Sequence[int]]) -> tuple[list[int], int]:
    """The corner with an active set, in integers: (w, z) up to a positive factor, w >= 0.

    Code k < d is the facet w_k = 0, code d + p is point p.
    """
    d = len(active)
    facets = {k for k in active if k < d}
    support = [k for k in range(d) if k not in facets]
    first, *others = (points[p - d] for p in active if p >= d)
    rows = [[other[k] - first[k] for k in support] for other in others]
    inner = _kernel(rows, len(support))
    weight = [0] * d
    for k, w in zip(support, inner, strict=True):
        weight[k] = w
    return weight, sum(w * a for w, a in zip(weight, first, strict=True))


def _kernel(rows: list[list[int]], width: int) -> list[int]:
    """A vector of positive sum that is orthogonal to width - 1 independent rows (fraction-free, Bareiss 1968)."""
    order, last = list(range(width)), 1
    for p in range(width - 1):
        r, column = next((r, k) for k in range(p, width) for r in range(p, width - 1) if rows[r][order[k]])
        order[p], order[column] = order[column], order[p]
        rows[p], rows[r] = rows[r], rows[p]
        line, pivot = rows[p], rows[p][order[p]]
        for s, row in enumerate(rows):
            if s != p:
                factor = row[order[p]]
                rows[s] = [(pivot * a - factor * b) // last for a, b in zip(row, line, strict=True)]
        last = pivot
    solution = [0] * width
    solution[order[-1]] = last
    for p, row in enumerate(rows):
        solution[order[p]] = -row[order[-1]]
    return solution if sum(solution) > 0 else [-x for x in solution]
