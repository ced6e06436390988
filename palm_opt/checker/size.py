"""Proofs of size: packings of weights, and trees that branch on candidates.

For weights w_j and y_j >= 0 such that the y_j of the weights that i covers sum to at most cost_i, for every candidate
i, every portfolio costs at least sum y. A tree that branches on candidates (in, out) proves the least of its leaves.
Nothing recurses. Sets of rows are the bits of one long integer, sums over all rows at once are fields of another.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import compress
from operator import mul
from typing import Any

from . import form, refuse
from .reading import RATIO, over_common, top_and_bottom
from .refuse import BeyondLimits, InvalidCertificate, Work, expected, need, show

Proof = tuple[list[list[int]], list[list[Any]]]  # weights, and the nodes of a tree

_TOP_BIT_TO_DIGIT = b"0" * 128 + b"1" * 128
_DIGIT_TO_BIT = bytes(48) + b"\0\1" + bytes(206)
_MOST_FIELDS = 1 << 28  # bytes of fields held beside the bitsets


def node(where: str, value: Any) -> None:
    """The form of a node of a tree."""
    if not isinstance(value, list) or len(value) != 2 or value[0] not in ("branch", "packing", "uncovered"):
        expected(where, '["branch", i], ["packing", [...]] or ["uncovered", j]', value)
    if value[0] != "packing":
        form.integer(0)(where, value[1])
        return
    form.conform(where, value[1], [lambda _, pair: None])
    for pair in value[1]:
        if not isinstance(pair, list) or len(pair) != 2:
            expected(where, "pairs [j, ratio]", pair)
        if type(pair[0]) is not int or pair[0] < 0 or type(pair[1]) is not str or not RATIO.fullmatch(pair[1]):
            form.integer(0)(where, pair[0])
            form.ratio(where, pair[1])


PACKING = {"weights": [form.integers(0)], "y": [form.ratio]}
BRANCHING = {"weights": [form.integers(0)], "nodes": [node]}


def proof_of(document: dict[str, Any], d: int) -> Proof | None:
    """The weights and the tree of a proof of size; None where there is none."""
    where = next((key for key in ("packing", "branching", "answered") if key in document), None)
    if where is None:
        return None
    weights: list[list[int]] = document[where]["weights"]
    y = document[where].get("y", weights)
    need(len(y) == len(weights), f"{where}: {len(weights)} weights and {len(y)} y")
    if len(weights) > refuse.MAX_WEIGHTS:
        raise BeyondLimits(f"{where}: more than {refuse.MAX_WEIGHTS} weights are beyond this checker")
    for j, weight in enumerate(weights):
        need(len(weight) == d, f"{where}: weight {j} has {len(weight)} numbers, not {d}")
        need(any(weight), f"{where}: weight {j} is all 0")
    return weights, document[where].get("nodes", [["packing", [[j, share] for j, share in enumerate(y)]]])


class Tree:
    """A branching proof. `covers[j]` is the bitset of the rows that cover weight j; row `at` is `candidates[at]`."""

    def __init__(
        self, covers: list[int], candidates: list[int], costs: list[Fraction], whole: bool,
        label: Callable[[int], str], work: Work,
    ) -> None:  # fmt: skip
        self.covers, self.candidates, self.whole, self.label, self.work = covers, candidates, whole, label, work
        self.row = {i: at for at, i in enumerate(candidates)}
        self.cost, self.unit = over_common(cost.as_integer_ratio() for cost in costs)
        self.fields: dict[tuple[int, int], int] = {}  # of _field, those used last

    def bound(self, nodes: list[list[Any]], inside: int, undecided: int) -> Fraction | float:
        """What the tree proves, from the rows that are in and undecided at its root."""
        paid = sum(self.cost[row] for row in bits(inside))
        path: list[tuple[int, bool]] = []  # branchings: row, is it in
        least: Fraction | float = math.inf
        complete = False
        for at, (tag, content) in enumerate(nodes):
            where = f"leaf {at}" if at or tag != "packing" else "packing"
            self.work.spend(1_000 + len(self.candidates) // 4)
            need(not complete, f"branching: node {at} is left over after a complete tree")
            if tag == "branch":
                row = self.row.get(content, -1)
                if row < 0 or not undecided >> row & 1:
                    raise InvalidCertificate(f"branching: node {at}: {self.label(content)} is not undecided")
                if len(path) == refuse.MAX_TREE_DEPTH:
                    raise BeyondLimits(f"branching: deeper than {refuse.MAX_TREE_DEPTH}")
                path.append((row, True))
                inside, undecided, paid = inside | 1 << row, undecided ^ 1 << row, paid + self.cost[row]
                continue
            if tag == "packing":
                least = min(least, self._packing(where, content, inside, undecided, paid))
            else:
                self._uncovered(where, content, inside, undecided)
            while path and not path[-1][1]:
                undecided |= 1 << path.pop()[0]
            complete = not path
            if path:  # from the subtree with the candidate in to the one with it out
                row = path.pop()[0]
                path.append((row, False))
                inside, paid = inside ^ 1 << row, paid - self.cost[row]
        need(complete, "branching: the tree is not complete")
        return least

    def _packing(self, where: str, content: list[list[Any]], inside: int, undecided: int, paid: int) -> Fraction:
        """What a packing leaf proves."""
        y: dict[int, tuple[int, int]] = {}
        common = 1
        for j, share in content:
            above, below = top_and_bottom(share)
            if j >= len(self.covers):
                raise InvalidCertificate(f"{where}: weight {show(j)} is not listed")
            if j in y or above < 0:
                raise InvalidCertificate(f"{where}: weight {j} is repeated, or its y is below 0")
            if above and self.covers[j] & inside:
                raise InvalidCertificate(f"{where}: y of weight {j} is not 0, and a candidate that is in covers it")
            y[j] = above, below
            if common % below:
                common = math.lcm(common, below // math.gcd(above, below))
            if common.bit_length() > refuse.MAX_DENOMINATOR_BITS:
                raise BeyondLimits(f"{where}: the common denominator of y is beyond this checker")
            self.work.spend(1_000 + common.bit_length() * 4)
        amounts = {j: above * common // below for j, (above, below) in y.items() if above}
        over = self.exceeded(amounts, common, undecided)
        if over is not None:
            raise InvalidCertificate(f"{where}: the y that {self.label(self.candidates[over])} covers exceed its cost")
        proved = Fraction(paid, self.unit) + Fraction(sum(amounts.values()), common)
        return Fraction(math.ceil(proved)) if self.whole else proved

    def exceeded_plainly(self, amounts: dict[int, int], common: int, undecided: int) -> int | None:
        """The first undecided row whose covered y, amounts / common, exceed its cost, or None."""
        for row in bits(undecided):
            load = sum(amount for j, amount in amounts.items() if self.covers[j] >> row & 1)
            if load * self.unit > self.cost[row] * common:
                return row
        return None

    def exceeded(self, amounts: dict[int, int], common: int, undecided: int) -> int | None:
        """As `exceeded_plainly`, for all rows at once: each has a field of one long integer, wide enough for all y."""
        total, n = sum(amounts.values()), len(self.candidates)
        width = 4 * (total.bit_length() // 32 + 1)  # bytes; the top bit of a field stays free
        if n * width > refuse.MAX_PACKED_BYTES:
            raise BeyondLimits("packing: numbers as long as these are beyond this checker")
        limits = {c: min(c * common // self.unit, total).to_bytes(width, "little") for c in set(self.cost)}
        room = int.from_bytes(b"".join([limits[c] for c in self.cost]), "little")
        room |= int.from_bytes((bytes(width - 1) + b"\x80") * n, "little")
        for j, amount in amounts.items():
            self.work.spend(n * width * (1 + amount.bit_length() // 120) + 1_000)
            room -= self._field(j, width) * amount
        over = ~top_bits(room, n, width) & undecided
        return (over & -over).bit_length() - 1 if over else None

    def _field(self, j: int, width: int) -> int:
        """The rows that cover weight j, `width` bytes each: 1 where it does."""
        field = self.fields.get((j, width))
        if field is None:
            n = len(self.candidates)
            if (len(self.fields) + 1) * n * width > _MOST_FIELDS:
                self.fields.clear()
            spread = bytearray(width * n)
            spread[::width] = format(self.covers[j], f"0{n}b").encode("ascii")[::-1].translate(_DIGIT_TO_BIT)
            field = self.fields[j, width] = int.from_bytes(spread, "little")
            self.work.spend(n * (4 + width // 2))
        return field

    def _uncovered(self, where: str, j: int, inside: int, undecided: int) -> None:
        """Check a leaf in which no candidate that is in or undecided covers weight j."""
        need(j < len(self.covers), f"{where}: weight {show(j)} is not listed")
        need(not self.covers[j] & inside, f"{where}: a candidate that is in covers weight {j}")
        for row in bits(self.covers[j] & undecided):
            raise InvalidCertificate(f"{where}: {self.label(self.candidates[row])} covers weight {j}")


def bits(mask: int) -> Iterator[int]:
    """The positions of the bits that are set, ascending."""
    digits = format(mask, "b")[::-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)


def top_bits(fields: int, n: int, width: int) -> int:
    """The bitset of those of n fields, `width` bytes each, whose top bit is set."""
    return int(fields.to_bytes(n * width, "little")[width - 1 :: width][::-1].translate(_TOP_BIT_TO_DIGIT), 2)


class Packed:
    """Rows of integers, one long integer a column with a field for each row: one product scores all rows.

    A field holds the number less the least of its column, so it is not negative; the top bit of a field stays free.
    `factors` are the largest that each column will be multiplied with. The tests hold it to plain loops.
    """

    def __init__(self, columns: Sequence[Sequence[int]], factors: Sequence[int], work: Work) -> None:
        self.size, self.work = len(columns[0]), work
        self.least = [min(column) for column in columns]
        ranges = [max(column) - low for column, low in zip(columns, self.least, strict=True)]
        largest = sum(map(mul, ranges, [max(factor, 1) for factor in factors]))
        self.width = 8 * (largest.bit_length() // 64 + 1)  # bytes of a field
        if self.size * self.width > refuse.MAX_PACKED_BYTES:
            raise BeyondLimits("weights: numbers as long as these are beyond this checker")
        self.columns = []
        for column, low in zip(columns, self.least, strict=True):
            work.spend(self.size * (300 + self.width))
            content = b"".join([(number - low).to_bytes(self.width, "little") for number in column])
            self.columns.append(int.from_bytes(content, "little"))
        self.ones = int.from_bytes((b"\1" + bytes(self.width - 1)) * self.size, "little")
        self.tops = self.ones << (8 * self.width - 1)

    def scores(self, factors: Sequence[int]) -> tuple[int, int]:
        """Sums over the columns of number times factor >= 0: fields, and what is to be added to each of them."""
        used = [(f, column, low) for f, column, low in zip(factors, self.columns, self.least, strict=True) if f]
        self.work.spend(1_000 + sum(self.size * self.width * (f.bit_length() // 30 + 1) // 4 for f, _, _ in used))
        return sum(f * column for f, column, _ in used), sum(f * low for f, _, low in used)

    def reach(self, scores: tuple[int, int], least: int) -> int:
        """The bitset of the rows with a score of at least `least`."""
        fields, offset = scores
        need_ = least - offset
        if need_ <= 0:
            return (1 << self.size) - 1
        if need_ >> (8 * self.width - 1):
            return 0
        self.work.spend(self.size * (25 + self.width * (need_.bit_length() // 30 + 1) // 4))
        return top_bits((fields | self.tops) - need_ * self.ones, self.size, self.width)

    def largest(self, scores: tuple[int, int]) -> int:
        """The largest score."""
        fields, offset = scores
        content = fields.to_bytes(self.size * self.width, "little")
        words = array("Q", content)
        if sys.byteorder == "big":
            words.byteswap()
        self.work.spend(self.size * 120)
        top_words = words[self.width // 8 - 1 :: self.width // 8]
        high = max(top_words)
        starts = (at * self.width for at in compress(range(self.size), map(high.__eq__, top_words)))
        return max(int.from_bytes(content[start : start + self.width], "little") for start in starts) + offset
