"""Exact arithmetic behind every claim: rational values, coverage, and the matrix game (docs/theory.md, Exactness)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from fractions import Fraction

from palm_opt.tables.decimals import integer, places, rational
from palm_opt.tables.values import ValueMatrix

__all__ = ["ExactValues", "Weight", "game_exact", "integer_weight"]

Weight = tuple[int, ...]  #: a weight as non-negative integers; the weight meant is the tuple divided by its sum


def integer_weight(weight: Sequence[float | Fraction]) -> Weight:
    """The exact weight proportional to non-negative floats or fractions, in lowest terms."""
    parts = [x.as_integer_ratio() for x in weight]
    common = math.lcm(*(bottom for _, bottom in parts))
    whole = [top * (common // bottom) for top, bottom in parts]
    divisor = math.gcd(*whole)
    return tuple(x // divisor for x in whole)


class ExactValues:
    """The scaled values as integers over one denominator; rows are made when asked for.

    v_ik = row(i)[k] / denominator. A column on a scale is (number 10^places - start) / width in integers, so the
    denominator is a power of ten times the least common multiple of the widths.
    """

    def __init__(self, values: ValueMatrix, epsilon: float, delta: float) -> None:
        self._columns = values.columns
        self._rows: dict[int, tuple[int, ...]] = {}
        self._places = [places(column.numbers) for column in values.columns]
        shares = [column.factor / 10**count for column, count in zip(self._columns, self._places, strict=True)]
        moves = [column.offset * column.factor for column in self._columns]
        self.denominator = math.lcm(*(x.denominator for x in (*shares, *moves)))
        self._factors = [int(share * self.denominator) for share in shares]
        self._moves = [int(move * self.denominator) for move in moves]
        self._promise(epsilon, delta)

    def _promise(self, epsilon: float, delta: float) -> None:
        self.keep = 1 - rational(epsilon)  # the share of OPT that is promised
        self.delta = rational(delta)
        unit = math.lcm(self.keep.denominator, self.delta.denominator)
        self._unit, self._keep = unit, int(self.keep * unit)
        self._allowance = int(self.delta * unit) * self.denominator

    def at(self, epsilon: float, delta: float) -> ExactValues:
        """The same values at other tolerances."""
        other = copy.copy(self)
        other._promise(epsilon, delta)
        return other

    def row(self, i: int) -> tuple[int, ...]:
        """Integers whose quotients by `denominator` are the exact values of row i."""
        found = self._rows.get(i)
        if found is None:
            numbers = zip(self._columns, self._places, self._factors, self._moves, strict=True)
            found = self._rows[i] = tuple(
                integer(float(column.numbers[i]), count) * factor - move for column, count, factor, move in numbers
            )
        return found

    def dot(self, weight: Weight, i: int) -> int:
        """sum_k weight_k v_ik, times `denominator`."""
        return sum(w * x for w, x in zip(weight, self.row(i), strict=True))

    def best(self, weight: Weight, candidates: Sequence[int]) -> int:
        """Largest `dot` among candidates."""
        return max(self.dot(weight, i) for i in candidates)

    def covers(self, weight: Weight, i: int, best: int) -> bool:
        """Whether candidate i covers a weight whose best value is `best` (as returned by `best`)."""
        return self.dot(weight, i) * self._unit >= self._keep * best - self._allowance * sum(weight)

    def proves(self, i: int, members: Sequence[int], mixture: dict[int, int]) -> bool:
        """Whether integer multipliers (position in members -> share) serve candidate i within the tolerances."""
        total = sum(mixture.values())
        rows = [(share * self._unit, self.row(members[j])) for j, share in mixture.items()]
        for k, value in enumerate(self.row(i)):
            if sum(share * row[k] for share, row in rows) < total * (self._keep * value - self._allowance):
                return False
        return total > 0

    def game(self, i: int, members: Sequence[int]) -> tuple[Fraction, Weight, dict[int, int]]:
        """The exact game of candidate i against members: (worst regret, weight, integer multipliers)."""
        target = [self.keep * x for x in self.row(i)]
        value, weight, mixture = game_exact(target, [self.row(j) for j in members])
        common = math.lcm(*(share.denominator for share in mixture.values()))
        return (
            value / self.denominator,
            integer_weight(weight),
            {j: int(share * common) for j, share in mixture.items()},
        )


def game_exact(
    target: Sequence[float | Fraction | int], members: Sequence[Sequence[float | int]]
) -> tuple[Fraction, list[Fraction], dict[int, Fraction]]:
    """The matrix game of one candidate in rational arithmetic, by a dual simplex with Bland's rule.

    Returns the value max over w of target.w - max over members of w.p, a weight that attains it, and multipliers
    (position -> share > 0, sum exactly 1) that prove it. See src/palm.h for the linear program.
    """
    d, m = len(target), len(members)
    goal = [Fraction(x) for x in target]
    columns = [[*(Fraction(x) for x in member), Fraction(1)] for member in members]
    one, zero = Fraction(1), Fraction(0)
    columns.extend([-one if row == k else zero for row in range(d)] + [zero] for k in range(d))
    first = max(range(m), key=lambda j: members[j][0])
    basis = [m + d, *range(m + 1, m + d), first]
    inverse = [[zero] * (d + 1) for _ in range(d + 1)]
    inverse[0][0], inverse[0][d] = one, -columns[first][0]
    for k in range(1, d):
        inverse[k][0], inverse[k][k] = one, -one
        inverse[k][d] = columns[first][k] - columns[first][0]
    inverse[d][d] = one
    x = [sum((a * b for a, b in zip(row, [*goal, one], strict=True)), zero) for row in inverse]
    while True:
        negative = [r for r in range(1, d + 1) if x[r] < 0]
        if not negative:
            break
        row = min(negative, key=lambda r: basis[r])
        column = _entering(inverse[0], inverse[row], columns, set(basis))
        _pivot(inverse, x, row, [_dot(line, columns[column]) for line in inverse])
        basis[row] = column
    weight = inverse[0][:d]
    mixture = {j: x[r] for r, j in enumerate(basis) if j < m and x[r] > 0}
    return x[0], weight, dict(sorted(mixture.items()))


def _dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((p * q for p, q in zip(a, b, strict=True) if q), Fraction(0))


def _entering(dual: list[Fraction], row: list[Fraction], columns: list[list[Fraction]], basic: set[int]) -> int:
    """Column with the smallest ratio of slack to pivot, ties to the smallest column."""
    best: tuple[Fraction, int] | None = None
    for j, column in enumerate(columns):
        if j in basic:
            continue
        alpha = _dot(row, column)
        if alpha < 0:
            ratio = (_dot(dual, column) / alpha, j)  # slack is minus the product: both signs are negative
            if best is None or ratio < best:
                best = ratio
    if best is None:  # the game always has a value
        raise AssertionError("the dual of a matrix game is bounded")
    return best[1]


def _pivot(inverse: list[list[Fraction]], x: list[Fraction], row: int, direction: list[Fraction]) -> None:
    scale = 1 / direction[row]
    inverse[row] = [a * scale for a in inverse[row]]
    x[row] *= scale
    for r, factor in enumerate(direction):
        if r != row and factor:
            inverse[r] = [a - factor * b for a, b in zip(inverse[r], inverse[row], strict=True)]
            x[r] -= factor * x[row]
