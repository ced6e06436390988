"""Polyhedral cones in exact integers: the extreme rays of { x >= 0 : rows . x >= 0 }, and proofs that there are none.

The double description method (Motzkin, Raiffa, Thompson, Thrall 1953; Fukuda and Prodon 1996): rows are added one by
one, and a new ray stands between every two adjacent rays that a row parts. A region of weights is such a cone cut at
sum 1, and its facets are the rays of the dual cone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from palm_opt.preferences.grammar import coprime

__all__ = ["Ray", "echelon", "extreme_rays", "game"]


class Ray(NamedTuple):
    """An extreme ray: coprime integers, and the bits of the constraints that are 0 there: d signs, then the rows."""

    x: tuple[int, ...]
    active: int


def extreme_rays(d: int, rows: Sequence[tuple[Sequence[int], bool]], most: int) -> list[Ray]:
    """The extreme rays of the x in R^d with x >= 0 and, for each (row, equation), row . x >= 0, or = 0.

    Raises
    ------
    OverflowError : more than `most` rays after some row; the message is "N from the first K of M constraints".
    """
    every = (1 << d) - 1
    rays = [Ray(tuple(int(j == k) for j in range(d)), every & ~(1 << k)) for k in range(d)]
    for number, (row, equation) in enumerate(rows, d):
        values = [sum(a * x for a, x in zip(row, ray.x, strict=True)) for ray in rays]
        bit = 1 << number
        kept = [
            Ray(r.x, r.active | bit if not v else r.active)
            for r, v in zip(rays, values, strict=True)
            if not v or (v > 0 and not equation)
        ]
        kept.extend(_between(d, rays, values, bit))
        if len(kept) > most:
            raise OverflowError(f"{len(kept)} from the first {number - d + 1} of {len(rows)} constraints")
        rays = kept
    return rays


def _between(d: int, rays: list[Ray], values: list[int], bit: int) -> Iterable[Ray]:
    """The rays on the border of a row: one for each pair of adjacent rays on its two sides."""
    below = [(ray, -value) for ray, value in zip(rays, values, strict=True) if value < 0]
    if not below:
        return
    for ray, value in zip(rays, values, strict=True):
        if value <= 0:
            continue
        for other, depth in below:
            common = ray.active & other.active
            if common.bit_count() >= d - 2 and _adjacent(common, rays):
                mixed = [value * y + depth * x for x, y in zip(ray.x, other.x, strict=True)]
                yield Ray(coprime(mixed), common | bit)


def _adjacent(common: int, rays: list[Ray]) -> bool:
    """Whether two rays span a face of dimension 2: no third ray has all their common constraints."""
    found = 0
    for ray in rays:
        if ray.active & common == common:
            found += 1
            if found > 2:
                return False
    return True


def game(rows: Sequence[Sequence[int]]) -> tuple[Fraction, list[Fraction]]:
    """The largest t such that some w >= 0 with sum 1 has every row . w >= t, and multipliers y >= 0 that prove it.

    y has one entry a row, sum 1, and every component of sum_i y_i row_i is at most t: below 0 it is the proof that no
    weight has all rows . w >= 0 (Farkas). At most d entries are not 0. The matrix game is made positive, so that its
    linear program starts from a feasible basis; Bland's rule, in rationals.
    """
    m, d = len(rows), len(rows[0])
    shift = 1 - min(min(row) for row in rows)
    table = [
        [Fraction(row[k] + shift) for row in rows] + [Fraction(j == k) for j in range(d)] + [Fraction(1)]
        for k in range(d)
    ]
    cost = [Fraction(-1)] * m + [Fraction(0)] * (d + 1)
    basis = [m + k for k in range(d)]
    while (column := next((j for j, c in enumerate(cost[:-1]) if c < 0), None)) is not None:
        rising = [k for k in range(d) if table[k][column] > 0]
        row = min(rising, key=lambda k: (table[k][-1] / table[k][column], basis[k]))
        _pivot([*table, cost], row, column)
        basis[row] = column
    y = [Fraction(0)] * m
    for k, j in enumerate(basis):
        if j < m:
            y[j] = table[k][-1] / cost[-1]
    return 1 / cost[-1] - shift, y


def echelon(matrix: Sequence[Sequence[Fraction | int]]) -> tuple[list[list[Fraction]], list[int]]:
    """The reduced row echelon form without its zero rows, and the column of each row's leading 1."""
    table = [[Fraction(x) for x in row] for row in matrix]
    pivots: list[int] = []
    for column in range(len(table[0])):
        row = next((r for r in range(len(pivots), len(table)) if table[r][column]), None)
        if row is None:
            continue
        table[row], table[len(pivots)] = table[len(pivots)], table[row]
        _pivot(table, len(pivots), column)
        pivots.append(column)
    return table[: len(pivots)], pivots


def _pivot(table: list[list[Fraction]], row: int, column: int) -> None:
    """Make a column that of the row's unit vector, in place."""
    scale = table[row][column]
    line = table[row]
    line[:] = [x / scale for x in line]
    for other in table:
        if other is not line and (factor := other[column]):
            other[:] = [x - factor * y if y else x for x, y in zip(other, line, strict=True)]
