"""Proofs of size: packings of weights, and trees that branch on candidates.

For weights w_j and y_j >= 0 such that the y_j of the weights that i covers sum to at most cost_i, for every candidate i,
every portfolio costs at least sum y. A tree that branches on candidates (in, out) proves the least of its leaves.
Nothing recurses. Sets of rows are the bits of one long integer, sums over all rows at once its fields.
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

from . import reading
from .reading import (
    RATIO,
    CertificateParseError,
    InvalidCertificate,
    Work,
    as_integer,
    as_integers,
    as_list,
    as_ratio,
    expected,
    over_common,
    show,
    top_and_bottom,
)  # fmt: skip

_TOP_BIT_TO_DIGIT = b"0" * 128 + b"1" * 128
_DIGIT_TO_BIT = bytes(48) + b"\0\1" + bytes(206)
_MOST_FIELDS = 1 << 28  # bytes of fields held beside the bitsets


def parse_proof(where: str, proof: dict[str, Any]) -> None:
    """Check the types of the weights, and of the y or the nodes, of a proof of size."""
    for j, weight in enumerate(as_list(f"{where}.weights", proof["weights"])):
        as_integers(f"{where}.weights", weight, 0, j)
    for j, y in enumerate(as_list(f"{where}.y", proof.get("y", []))):
        as_ratio(f"{where}.y[{j}]", y)
    for at, node in enumerate(as_list(f"{where}.nodes", proof.get("nodes", []))):
        place = f"{where}.nodes[{at}]"
        if not isinstance(node, list) or len(node) != 2 or node[0] not in ("branch", "packing", "uncovered"):
            expected(place, '["branch", i], ["packing", [...]] or ["uncovered", j]', node)
        if node[0] != "packing":
            as_integer(place, node[1])
            continue
        for pair in as_list(place, node[1]):
            if not isinstance(pair, list) or len(pair) != 2:
                expected(place, "pairs [j, ratio]", pair)
            as_integer(place, pair[0])
            if type(pair[1]) is not str or not RATIO.fullmatch(pair[1]):
                as_ratio(place, pair[1])  # says what is wrong


def proof_of(document: dict[str, Any], d: int) -> tuple[list[list[int]], list[list[Any]]] | None:
    """The weights and the tree of a proof of size; None where there is none."""
    where = next((key for key in ("packing", "branching", "answered") if key in document), None)
    if where is None:
        return None
    weights: list[list[int]] = document[where]["weights"]
    if "y" in document[where]:
        y = document[where]["y"]
        if len(y) != len(weights):
            raise InvalidCertificate(f"{where}: {len(weights)} weights and {len(y)} y")
        nodes: list[list[Any]] = [["packing", [[j, ratio] for j, ratio in enumerate(y)]]]
    else:
        nodes = document[where]["nodes"]
    if len(weights) > reading.MAX_WEIGHTS:
        raise CertificateParseError(f"{where}: more than {reading.MAX_WEIGHTS} weights are beyond this checker")
    for j, weight in enumerate(weights):
        if len(weight) != d:
            raise InvalidCertificate(f"{where}: weight {j} has {len(weight)} numbers, not {d}")
        if not any(weight):
            raise InvalidCertificate(f"{where}: weight {j} is all 0")
    return weights, nodes


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
        """What the tree proves, from bitsets of the rows that are in and undecided at its root."""
        paid = sum(self.cost[row] for row in bits(inside))
        path: list[tuple[int, bool]] = []  # branchings: row, is it in
        least: Fraction | float = math.inf
        complete = False
        for at, (tag, content) in enumerate(nodes):
            where = f"leaf {at}" if at or tag != "packing" else "packing"
            self.work.spend(1_000 + len(self.candidates) // 4)
            if complete:
                raise InvalidCertificate(f"branching: node {at} is left over after a complete tree")
            if tag == "branch":
                row = self.row.get(content, -1)
                if row < 0 or not undecided >> row & 1:
                    raise InvalidCertificate(f"branching: node {at}: {self.label(content)} is not undecided")
                if len(path) == reading.MAX_TREE_DEPTH:
                    raise CertificateParseError(f"branching: deeper than {reading.MAX_TREE_DEPTH}")
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
        if not complete:
            raise InvalidCertificate("branching: the tree is not complete")
        return least

    def _packing(self, where: str, content: list[list[Any]], inside: int, undecided: int, paid: int) -> Fraction:
        """What a packing leaf proves."""
        y: dict[int, tuple[int, int]] = {}
        common = 1
        for j, text in content:
            above, below = top_and_bottom(text)
            if j >= len(self.covers):
                raise InvalidCertificate(f"{where}: weight {show(j)} is not listed")
            if j in y:
                raise InvalidCertificate(f"{where}: weight {j} is repeated")
            if above < 0:
                raise InvalidCertificate(f"{where}: y of weight {j} is below 0")
            if above and self.covers[j] & inside:
                raise InvalidCertificate(f"{where}: y of weight {j} is not 0, and a candidate that is in covers it")
            y[j] = above, below
            if common % below:
                common = math.lcm(common, below // math.gcd(above, below))
            if common.bit_length() > reading.MAX_DENOMINATOR_BITS:
                raise CertificateParseError(f"{where}: the common denominator of y is beyond this checker")
            self.work.spend(1_000 + common.bit_length() * 4)
        scaled = {j: above * common // below for j, (above, below) in y.items() if above}
        over = self.exceeded(scaled, common, undecided)
        if over is not None:
            name = self.label(self.candidates[over])
            raise InvalidCertificate(f"{where}: the y that {name} covers exceed its cost")
        proved = Fraction(paid, self.unit) + Fraction(sum(scaled.values()), common)
        return Fraction(math.ceil(proved)) if self.whole else proved

    def exceeded_plainly(self, y: dict[int, int], common: int, undecided: int) -> int | None:
        """The first undecided row whose covered y / common exceed its cost, or None."""
        for row in bits(undecided):
            if (
                sum(amount for j, amount in y.items() if self.covers[j] >> row & 1) * self.unit
                > self.cost[row] * common
            ):
                return row
        return None

    def exceeded(self, y: dict[int, int], common: int, undecided: int) -> int | None:
        """As `exceeded_plainly`, for all rows at once: each has a field of one long integer, wide enough for all y."""
        total, n = sum(y.values()), len(self.candidates)
        width = 4 * (total.bit_length() // 32 + 1)  # bytes; the top bit of a field stays free
        tops = int.from_bytes((bytes(width - 1) + b"\x80") * n, "little")
        limits = {c: min(c * common // self.unit, total).to_bytes(width, "little") for c in set(self.cost)}
        room = int.from_bytes(b"".join([limits[c] for c in self.cost]), "little") | tops
        for j, amount in y.items():
            self.work.spend(n * width // 2 + 1_000)
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
        if j >= len(self.covers):
            raise InvalidCertificate(f"{where}: weight {show(j)} is not listed")
        if self.covers[j] & inside:
            raise InvalidCertificate(f"{where}: a candidate that is in covers weight {j}")
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
    """

    def __init__(self, columns: Sequence[Sequence[int]], factors: Sequence[int], work: Work) -> None:
        """`factors`: the largest that each column will be multiplied with."""
        self.size, self.work = len(columns[0]), work
        self.least = [min(column) for column in columns]
        ranges = [max(column) - low for column, low in zip(columns, self.least, strict=True)]
        largest = sum(map(mul, ranges, [max(factor, 1) for factor in factors]))
        self.width = 8 * (largest.bit_length() // 64 + 1)  # bytes of a field
        if self.size * self.width > reading.MAX_PACKED_BYTES:
            raise CertificateParseError("weights: numbers as long as these are beyond this checker")
        self.columns = []
        for column, low in zip(columns, self.least, strict=True):
            work.spend(self.size * (300 + self.width))
            content = b"".join([(a - low).to_bytes(self.width, "little") for a in column])
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
        need = least - offset
        if need <= 0:
            return (1 << self.size) - 1
        if need >> (8 * self.width - 1):
            return 0
        self.work.spend(self.size * (10 + self.width * (need.bit_length() // 30 + 1) // 4))
        return top_bits((fields | self.tops) - need * self.ones, self.size, self.width)

    def largest(self, scores: tuple[int, int]) -> int:
        """The largest score."""
        fields, offset = scores
        content = fields.to_bytes(self.size * self.width, "little")
        words = array("Q", content)
        if sys.byteorder == "big":
            words.byteswap()
        self.work.spend(self.size * 20)
        top_words = words[self.width // 8 - 1 :: self.width // 8]
        high = max(top_words)
        starts = (at * self.width for at in compress(range(self.size), map(high.__eq__, top_words)))
        return max(int.from_bytes(content[start : start + self.width], "little") for start in starts) + offset
