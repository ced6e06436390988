"""Slow twins of the search kernels: corners by enumeration, outer bounds by a general solver or over all bases."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

Rational = list[Fraction]


def solve_exactly(matrix: list[Rational], right: Rational) -> Rational | None:
    """The solution of a square system by Gauss-Jordan elimination, None if it is singular."""
    n = len(matrix)
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    for p in range(n):
        pivot = next((r for r in range(p, n) if rows[r][p]), None)
        if pivot is None:
            return None
        rows[p], rows[pivot] = rows[pivot], rows[p]
        rows[p] = [a / rows[p][p] for a in rows[p]]
        for r in range(n):
            if r != p and rows[r][p]:
                rows[r] = [a - rows[r][p] * b for a, b in zip(rows[r], rows[p], strict=True)]
    return [row[-1] for row in rows]


def corners(points: Sequence[Sequence[int]]) -> dict[tuple[int, ...], tuple[Rational, Fraction]]:
    """All corners of { (w, z): w >= 0, sum w = 1, z >= w.a_p }: active set -> (w, z), from the definition."""
    d, found = len(points[0]), {}
    for active in itertools.combinations(range(d + len(points)), d):
        matrix = [[Fraction(int(c == k)) for c in range(d)] + [Fraction(0)] for k in active if k < d]
        matrix += [[Fraction(a) for a in points[k - d]] + [Fraction(-1)] for k in active if k >= d]
        matrix.append([Fraction(1)] * d + [Fraction(0)])
        solution = solve_exactly(matrix, [Fraction(0)] * d + [Fraction(1)])
        if solution is None:
            continue
        *w, z = solution
        if min(w) >= 0 and all(sum(x * a for x, a in zip(w, point, strict=True)) <= z for point in points):
            found[active] = (w, z)
    return found


def outer_bound(columns: np.ndarray, costs: np.ndarray, w: np.ndarray) -> float:
    """min costs.mu over columns mu = w, mu >= 0, by HiGHS; columns (d, n)."""
    return float(linprog(costs, A_eq=columns, b_eq=w, method="highs").fun)


def exact_outer_bound(weights: Sequence[Rational], limits: Rational, w: Rational) -> Fraction:
    """The same in rationals, over all bases."""
    best = None
    for basis in itertools.combinations(range(len(weights)), len(w)):
        matrix = [[weights[j][k] for j in basis] for k in range(len(w))]
        mu = solve_exactly(matrix, w)
        if mu is not None and min(mu) >= 0:
            value = sum((m * limits[j] for m, j in zip(mu, basis, strict=True)), Fraction(0))
            best = value if best is None else min(best, value)
    assert best is not None
    return best


def random_weights(rng: np.random.Generator, count: int, d: int) -> np.ndarray:
    """Weights inside the simplex and on its faces."""
    weights = rng.dirichlet(np.ones(d), count) * (rng.random((count, d)) < rng.uniform(0.3, 1.0, (count, 1)))
    weights[weights.sum(axis=1) == 0, 0] = 1.0
    return weights / weights.sum(axis=1, keepdims=True)
