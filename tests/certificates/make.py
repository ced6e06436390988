"""Write the certificate files of this folder: python tests/certificates/make.py

Everything is built by enumeration in Fractions, from docs/certificate-format.md and nothing of palm_opt: multipliers
are searched among small integers, portfolios among all subsets, proofs of size by branching on a grid of weights. A
case is NAME.json with NAME.csv; `incorrect` and `malformed` also have NAME.expect, a fragment of the message. This file
makes those of kind exact; make_conditional.py, make_statistical.py and make_wrong.py make the others. All are of
version 2; those of version 1 lie in v1 as they once were made.
"""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MOST_PARTS = 6  # multipliers are searched among integers with at most this sum


class Pool:
    """A finite pool as the file has it, with its exact values."""

    def __init__(
        self,
        rows: Sequence[Sequence[float]],
        rewards: Sequence[str] | None = None,
        costs: Sequence[float] | None = None,
        scale: Any = "none",
        names: Sequence[str] | None = None,
    ) -> None:
        self.rows = [[float(x) for x in row] for row in rows]
        self.rewards = list(rewards) if rewards else list("abcdefgh")[: len(rows[0])]
        self.costs = None if costs is None else [float(c) for c in costs]
        self.scale = [scale] * len(rows[0]) if isinstance(scale, str) else list(scale)
        self.names = list(names) if names else [str(i) for i in range(len(rows))]
        self.named = names is not None

    def values(self) -> list[list[Fraction]]:
        columns = [
            scaled([row[k] for row in self.rows], reward.startswith("-"), self.scale[k])
            for k, reward in enumerate(self.rewards)
        ]
        return [list(row) for row in zip(*columns, strict=True)]

    def cost(self, i: int) -> Fraction:
        return Fraction(1) if self.costs is None else exact(self.costs[i])

    def subject(self) -> dict[str, Any]:
        return {
            "id": "name" if self.named else None,
            "rewards": self.rewards,
            "cost": None if self.costs is None else "cost",
            "candidates": len(self.rows),
        }

    def sha256(self) -> str:
        def canonical(data: Any) -> bytes:
            return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()

        head = {"candidates": len(self.rows), "costs": self.costs is not None}
        content = b"palm_opt problem 2\n"
        content += canonical({**head, "rewards": self.rewards, "scale": self.scale}) + b"\n"
        for row in [*self.rows, *([self.costs] if self.costs else [])]:
            content += line(row)
        return hashlib.sha256(content + canonical(self.names)).hexdigest()

    def csv(self) -> str:
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        columns = {reward.removeprefix("-"): k for k, reward in enumerate(self.rewards)}
        writer.writerow((["name"] if self.named else []) + [*columns] + (["cost"] if self.costs else []))
        for i, row in enumerate(self.rows):
            cost = [repr(self.costs[i])] if self.costs else []
            writer.writerow(([self.names[i]] if self.named else []) + [repr(row[k]) for k in columns.values()] + cost)
        return stream.getvalue()


def exact(x: float) -> Fraction:
    """What a float64 means: its shortest decimal."""
    return Fraction(repr(x))


def line(row: Sequence[float]) -> bytes:
    """A row of numbers in a hash."""
    return ",".join(repr(x if x else 0.0) for x in row).encode() + b"\n"


def log10(x: float) -> Fraction:
    """The logarithm with 15 digits."""
    return Fraction(Decimal(repr(x)).log10(Context(prec=15, rounding=ROUND_HALF_EVEN)))


def scaled(column: list[float], negated: bool, scale: Any) -> list[Fraction]:
    """One column of exact values."""
    numbers = [log10(x) if scale == "log" else exact(x) for x in column]
    signed = [-x for x in numbers] if negated else numbers
    if scale == "none":
        return signed
    if scale in ("minmax", "log"):
        low, high = min(signed), max(signed)
        return [(x - low) / (high - low) if high > low else Fraction(0) for x in signed]
    low, high = map(Fraction, scale)
    return [((high - x) if negated else (x - low)) / (high - low) for x in numbers]


def compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All tuples of `parts` integers >= 0 with this sum."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(total - first, parts - 1):
            yield (first, *rest)


def multipliers(
    v: list[list[Fraction]], members: Sequence[int], i: int, epsilon: Fraction, delta: Fraction
) -> list[int] | None:
    """The row of candidate i with the smallest sum that serves it, if there is one within MOST_PARTS."""
    for total in range(1, MOST_PARTS + 1):
        for amounts in compositions(total, len(members)):
            if all(
                sum(a * v[p][k] for a, p in zip(amounts, members, strict=True))
                >= total * ((1 - epsilon) * v[i][k] - delta)
                for k in range(len(v[i]))
            ):
                pairs = [(p, a) for p, a in enumerate(amounts) if a]
                return [i, *itertools.chain.from_iterable(pairs)]
    return None


def quality(
    pool: Pool, members: Sequence[int], epsilon: Fraction, delta: Fraction, dominate: bool
) -> tuple[list[int], list[list[int]]] | None:
    """Dominators and multipliers of a portfolio, or None."""
    v = pool.values()
    n = len(v)
    dominators = [-1] * n
    if dominate:
        for i in range(n):
            for j in range(n):
                above = all(x >= y for x, y in zip(v[j], v[i], strict=True))
                if j != i and above and (v[j] != v[i] or j < i):
                    dominators[i] = j
                    break
    found = []
    for i in range(n):
        if dominators[i] < 0:
            row = multipliers(v, members, i, epsilon, delta)
            if row is None:
                return None
            found.append(row)
    return dominators, found


def covered_by(pool: Pool, weight: Sequence[int], epsilon: Fraction, delta: Fraction) -> set[int]:
    """The candidates that cover a weight."""
    scores = [sum(w * x for w, x in zip(weight, row, strict=True)) / Fraction(sum(weight)) for row in pool.values()]
    return {i for i, score in enumerate(scores) if score >= (1 - epsilon) * max(scores) - delta}


def tree(
    pool: Pool, covers: list[set[int]], inside: frozenset[int], outside: frozenset[int], target: Fraction
) -> list[list[Any]]:
    """Nodes of a proof that covering all weights costs at least `target`; endless only where it does not."""
    undecided = [i for i in range(len(pool.rows)) if i not in inside | outside]
    paid = sum((pool.cost(i) for i in inside), Fraction(0))
    open_weights = [j for j, c in enumerate(covers) if not c & inside]
    for j in open_weights:
        if not covers[j] & set(undecided):
            return [["uncovered", j]]
    apart: list[int] = []  # weights that no undecided candidate covers two of
    for j in sorted(open_weights, key=lambda j: len(covers[j] & set(undecided))):
        if all(not covers[j] & covers[other] & set(undecided) for other in apart):
            apart.append(j)
    y = {j: min(pool.cost(i) for i in covers[j] & set(undecided)) for j in apart}
    if paid + sum(y.values()) >= target:
        return [["packing", [[j, str(value)] for j, value in sorted(y.items())]]]
    branch = max(undecided, key=lambda i: sum(i in covers[j] for j in open_weights))
    left = tree(pool, covers, inside | {branch}, outside, target)
    return [["branch", branch], *left, *tree(pool, covers, inside, outside | {branch}, target)]


def build(
    pool: Pool,
    epsilon: float = 0.0,
    delta: float = 0.0,
    required: Sequence[int] = (),
    forbidden: Sequence[int] = (),
    proof: str | None = "branching",
    dominate: bool = True,
    grid: int = 4,
    members: Sequence[int] | None = None,
) -> dict[str, Any] | None:
    """A correct certificate of the cheapest portfolio that enumeration finds; None where it finds none."""
    e, t = exact(float(epsilon)), exact(float(delta))
    allowed = [i for i in range(len(pool.rows)) if i not in forbidden and i not in required]
    if members is None:
        subsets = itertools.chain.from_iterable(itertools.combinations(allowed, k) for k in range(len(allowed) + 1))
        portfolios = sorted(
            ((*required, *subset) for subset in subsets), key=lambda p: (sum(pool.cost(i) for i in p), len(p))
        )
        members = next((p for p in portfolios if p and quality(pool, p, e, t, True)), None)
        if members is None:
            return None
    proved = quality(pool, members, e, t, dominate)
    if proved is None:
        return None
    weights = [list(w) for w in compositions(grid, len(pool.rewards))]
    covers = [covered_by(pool, w, e, t) for w in weights]
    target = min(
        sum((pool.cost(i) for i in (*required, *subset)), Fraction(0))
        for k in range(len(allowed) + 1)
        for subset in itertools.combinations(allowed, k)
        if all(c & {*required, *subset} for c in covers)
    )
    document = skeleton(pool, epsilon, delta, required, forbidden)
    document |= {"members": [pool.names[i] for i in members], "dominators": proved[0], "multipliers": proved[1]}
    if proof == "branching":
        nodes = tree(pool, covers, frozenset(required), frozenset(forbidden), target)
        document |= {"lower_bound": str(target), "branching": {"weights": weights, "nodes": nodes}}
    elif proof == "packing":
        (node,) = tree(pool, covers, frozenset(required), frozenset(forbidden), Fraction(0))[:1]
        y = dict(map(tuple, node[1]))
        bound = sum(map(Fraction, y.values()), Fraction(0)) + sum((pool.cost(i) for i in required), Fraction(0))
        document["lower_bound"] = str(bound)
        document["packing"] = {"weights": weights, "y": [y.get(j, "0") for j in range(len(weights))]}
    return document


def skeleton(
    pool: Pool, epsilon: float, delta: float, required: Sequence[int], forbidden: Sequence[int]
) -> dict[str, Any]:
    """A certificate that claims nothing yet."""
    return {
        "format": "palm_opt certificate",
        "version": 2,
        "kind": "exact",
        "sha256": pool.sha256(),
        "subject": pool.subject(),
        "scale": pool.scale,
        "objective": "reward",
        "epsilon": repr(float(epsilon)),
        "delta": repr(float(delta)),
        "required": [pool.names[i] for i in required],
        "forbidden": [pool.names[i] for i in forbidden],
        "members": [],
        "dominators": [],
        "multipliers": [],
        "lower_bound": "0",
        "producer": {"name": "make.py", "version": "1"},
    }


def infeasible(pool: Pool, epsilon: float, delta: float, forbidden: Sequence[int], nodes: Any, weights: Any) -> Any:
    """A proof that there is no portfolio."""
    document = skeleton(pool, epsilon, delta, (), forbidden)
    return document | {"lower_bound": "infinity", "branching": {"weights": weights, "nodes": nodes}}


FAN = [[0.0, 1.0], [0.5, 0.875], [0.75, 0.75], [0.875, 0.5], [1.0, 0.0], [0.25, 0.25], [0.75, 0.5]]
CUBE = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.625, 0.625, 0], [0, 0.625, 0.625], [0.625, 0, 0.625], [0.375, 0.375, 0.375]]
PENTAGON = [[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 1], [1, 0, 0, 0, 1]]
RANGES = [[repr(-1.0), repr(2.0)], [repr(0.0), repr(0.5)]]


def correct() -> dict[str, tuple[Pool, dict[str, Any] | None]]:
    """Name -> pool and certificate."""
    fan, cube = Pool(FAN), Pool(CUBE)
    costly = Pool(FAN, costs=[2, 1, 1, 3, 1, 1, 1])
    odd_costs = Pool(FAN, costs=[0.1, 0.2, 0.3, 0.4, 0.5, 0.0, 0.7])
    negative = Pool([[x - 2 for x in row] for row in FAN])
    latency = Pool([[a, 10 - 8 * b] for a, b in FAN], rewards=["a", "-latency"], scale="minmax", names=list("ABCDEFG"))
    negated = Pool([[a, -b] for a, b in FAN], rewards=["a", "-b"])
    ranged = Pool(FAN, rewards=["a", "-b"], scale=RANGES)
    wide = Pool([[1e300, 5e-324], [5e-324, 1e300], [1e299, 1e299]])
    triangle = Pool([[1, 1, 0], [0, 1, 1], [1, 0, 1]])
    triangle_costs = Pool([[1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 1, 0]], costs=[0.5, 0.25, 0.75, 0.125])
    pentagon = Pool(PENTAGON)
    dominated = Pool(
        [*PENTAGON, PENTAGON[0], [0.5, 0.75, 0, 0, 0], [0, 0.5, 1, 0.5, 0]], costs=[2, 3, 2, 1, 1, 2, 1, 2]
    )
    logs = Pool([[0.5, 1.0], [0.7, 10.0], [0.9, 100.0], [0.6, 30.0]], ["a", "-price"], None, ["minmax", "log"])
    equal_logs = Pool([[1.0, 10.0], [1.0, math.nextafter(10.0, 11.0)], [0.5, 2.0]], ["a", "b"], None, "log")
    mixed = Pool(FAN, ["a", "-b"], None, ["none", ("0.0", "0.5")])
    tie = Pool([[1.0, 0.5], [0.7, 0.9], [0.1, 0.2]], names=["p1", "p2", "p3"])
    twice = Pool([[x, x, x] for x in (0.25, 0.5)], ["a", "a", "-a"])
    by_hand = Pool([[1, 0], [0, 1], [0.8, 0.1]], names=["left", "right", "middle"])
    plain = Pool([[0.5, 1.0], [0.3, -2.0]], names=["x, y", "\u00e9"])
    wide_log = Pool([[0.5, 1.0], [0.7, 10.0], [0.9, 100.0], [0.6, 30.0]], ["a", "-b"], None, ["minmax", "log"])
    part_costs = Pool(FAN, costs=[2, 1, 1, 3, 1, 0.5, 1])
    ends = Pool(FAN, scale=[("0", "1"), ("0.0", "1.0")])
    far = Pool(FAN, scale=[("-1", "123456789012345678901234"), ("0", "1")])
    extremes = Pool([[a, 10 * b] for a, b in FAN], scale="minmax")
    uses = Pool([[1.0], [2.0]], ["x"], [1.0, 2.0], names=["1", "2"])
    unicode_names = Pool(FAN[:3], names=["é", "a,b", 'quote"d'])
    return {
        "fan": (fan, build(fan, delta=0.1)),
        "fan-ties": (fan, build(fan)),
        "fan-epsilon": (fan, build(fan, epsilon=0.125)),
        "fan-both": (fan, build(fan, epsilon=0.0625, delta=0.0625)),
        "fan-packing": (fan, build(fan, delta=0.0625, proof="packing")),
        "fan-no-bound": (fan, build(fan, delta=0.1, proof=None)),
        "fan-no-dominators": (fan, build(fan, delta=0.1, dominate=False)),
        "fan-required": (fan, build(fan, delta=0.1, required=[2])),
        "fan-required-dominated": (fan, build(fan, delta=0.1, required=[5], proof="packing")),
        "fan-forbidden": (fan, build(fan, delta=0.25, forbidden=[2, 1])),
        "fan-minmax": (Pool(FAN, scale="minmax"), build(Pool(FAN, scale="minmax"), delta=0.1)),
        "costs": (costly, build(costly, delta=0.1)),
        "costs-packing": (costly, build(costly, delta=0.0625, proof="packing")),
        "costs-not-integers": (odd_costs, build(odd_costs, delta=0.1)),
        "costs-required-forbidden": (costly, build(costly, delta=0.25, required=[3], forbidden=[2])),
        "negative-values": (negative, build(negative, delta=0.1)),
        "negative-epsilon": (negative, build(negative, epsilon=0.03125, delta=0.1)),
        "negated-minmax-names": (latency, build(latency, delta=0.125)),
        "negated": (negated, build(negated, delta=0.1)),
        "ranges": (ranged, build(ranged, delta=0.1)),
        "wide-exponents": (wide, build(wide)),
        "unicode-names": (unicode_names, build(unicode_names, delta=0.1)),
        "one-row": (Pool([[0.3, 0.7]]), build(Pool([[0.3, 0.7]]))),
        "one-reward": (Pool([[1.0], [2.0], [2.0]]), build(Pool([[1.0], [2.0], [2.0]]))),
        "duplicates": (Pool(FAN[:2] * 2), build(Pool(FAN[:2] * 2))),
        "zero-width": (Pool([[3, 1], [3, 2]], scale="minmax"), build(Pool([[3, 1], [3, 2]], scale="minmax"))),
        "cube": (cube, build(cube, delta=0.25)),
        "cube-branching": (cube, build(cube, delta=0.34)),
        "rounding": rounding(),
        "triangle-branching": (triangle, build(triangle, delta=0.5)),
        "triangle-costs": (triangle_costs, build(triangle_costs, delta=0.5)),
        "pentagon": (pentagon, build(pentagon, delta=0.5, grid=1)),
        "pentagon-dominated": (dominated, build(dominated, delta=0.5, grid=1)),
        "pentagon-required": (dominated, build(dominated, delta=0.5, grid=1, required=[6])),
        "pentagon-forbidden": (dominated, build(dominated, delta=0.75, grid=1, forbidden=[0, 7])),
        "log": (logs, build(logs, delta=0.3)),
        "log-equal": (
            equal_logs,
            build(equal_logs) | {"dominators": [1, -1, -1], "multipliers": [[1, 0, 1], [2, 0, 1]]},
        ),
        "scales-mixed": (mixed, build(mixed, delta=0.1)),
        "tie": (tie, build(tie, delta=0.3)),
        "rewards-twice": (twice, build(twice)),
        "by-hand": (by_hand, skeleton(by_hand, 0.0, 0.3, (), ()) | BY_HAND),
        "decimal-forms": (fan, build(fan, delta=0.1) | {"epsilon": "-0", "delta": "0010.00E-2"}),
        "required-packing": (fan, build(fan, delta=0.0625, required=[2], proof="packing")),
        "required-twice": (fan, build(fan, delta=0.1, required=[2]) | {"required": ["2", "2"]}),
        "required-packing-empty": (
            fan,
            build(fan, delta=0.1, required=[2], proof=None) | {"lower_bound": "1", "packing": {"weights": [], "y": []}},
        ),
        "delta-between-floats": (fan, build(fan, delta=0.1) | {"delta": "0.10000000000000000000001"}),
        "label-half-surrogate": (fan, build(fan, delta=0.1) | {"producer": {"name": "\ud800", "version": ""}}),
        "costs-forbidden-fraction": (part_costs, build(part_costs, delta=0.1, forbidden=[5])),
        "scale-texts": (ends, build(ends, delta=0.1)),
        "range-beyond-digits": (far, build(far)),
        "minmax-forbidden-extreme": (extremes, build(extremes, delta=0.3, forbidden=[4])),
        "log-forbidden-extreme": (wide_log, build(wide_log, delta=0.5, forbidden=[0])),
        "csv-fields": (fan, build(fan, delta=0.1)),
        "bound-negative": (fan, build(fan, delta=0.1, proof=None) | {"lower_bound": "-01/2"}),
        "csv-forms": (plain, build(plain)),
        "csv-carriage-returns": (plain, build(plain)),
        "one-column": (uses, build(uses) | {"subject": {"id": "x", "rewards": ["x"], "cost": "x", "candidates": 2}}),
        "infeasible": (fan, infeasible(fan, 0.0, 0.0, [4], [["uncovered", 0]], [[1, 0]])),
        "infeasible-required": (
            fan,
            infeasible(fan, 0.0, 0.0, [4], [["uncovered", 0]], [[1, 0]]) | {"required": ["1"]},
        ),
        "infeasible-negative": (
            negative,
            infeasible(negative, 0.5, 0.0, [], [["branch", 2], ["uncovered", 0], ["uncovered", 0]], [[1, 1]]),
        ),
        "all-forbidden": (fan, infeasible(fan, 0.0, 0.0, range(7), [["uncovered", 0]], [[1, 3]])),
    }


BY_HAND = {  # the worked example of docs/certificate-format.md
    "members": ["left", "right"],
    "dominators": [-1, -1, -1],
    "multipliers": [[0, 0, 1], [1, 1, 1], [2, 0, 1, 1, 1]],
    "lower_bound": "2",
    "packing": {"weights": [[1, 0], [0, 1]], "y": ["1", "1"]},
    "producer": {"name": "by hand", "version": "1"},
}
FILES = {  # subject files that are not as Pool.csv writes them
    "by-hand": "name,a,b\nleft,1,0\nright,0,1\nmiddle,0.8,0.1\n",
    "csv-forms": '\ufeff"a",skip,"name",b\r\n\r\n .5\t,"a ""b""\n","x, y",+1.\r\n0.30000000000000001,a"b,\u00e9,-20E-1',
    "csv-carriage-returns": 'name,a,b\r"x, y",5e-1,1\r\r\u00e9,.3,-2\r',
    "csv-fields": "a,b,\n" + "".join(f'\n"{a}",{b},\n' for a, b in FAN[:-1]) + '0.75,0.5,"""\r,\n\u2028"',
    "one-column": "x\n1\n2\n",
}


def rounding() -> tuple[Pool, dict[str, Any]]:
    """Three weights, each pair covered by one candidate: y = 1/2 each, 3/2 is rounded up to 2."""
    pool = Pool([[1, 1, 0], [0, 1, 1], [1, 0, 1]])
    document = build(pool, proof=None, delta=0.5)
    assert document is not None
    weights = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    return pool, document | {"lower_bound": "2", "packing": {"weights": weights, "y": ["1/2", "1/2", "2/4"]}}


Change = Callable[[dict[str, Any]], Any]


def incorrect(cases: dict[str, tuple[Pool, Any]]) -> Iterator[tuple[str, Pool, dict[str, Any], str]]:
    """Name, pool, certificate and fragment of the message."""

    def change(base: str, key: str, value: Any) -> tuple[Pool, dict[str, Any]]:
        pool, document = cases[base]
        document = copy.deepcopy(document)
        *path, last = key.split(".")
        place: Any = document
        for step in path:
            place = place[int(step) if isinstance(place, list) else step]
        last_key: Any = int(last) if isinstance(place, list) else last
        place[last_key] = value(copy.deepcopy(place[last_key])) if callable(value) else value
        return pool, document

    none = [[1, 0]]
    in_covers = [["branch", 0], ["packing", [[14, "1"]]], ["packing", []]]
    in_uncovered = [["branch", 0], ["branch", 2], *[["uncovered", 14]] * 3]
    table: list[tuple[str, str, str, Any, str]] = [
        ("sha256", "fan", "sha256", "0" * 64, "sha256"),
        ("other-scale", "fan", "scale", ["minmax", "none"], "sha256"),
        ("other-negation", "ranges", "subject.rewards", ["a", "b"], "sha256"),
        ("candidates", "fan", "subject.candidates", 8, "subject.candidates"),
        ("epsilon-one", "fan", "epsilon", repr(1.0), "epsilon"),
        ("epsilon-negative", "fan", "epsilon", repr(-0.5), "epsilon"),
        ("delta-negative", "fan", "delta", repr(-0.5), "delta"),
        ("delta-one-ulp-less", "rounding", "delta", repr(0.49999999999999994), "do not serve"),
        ("tie-broken", "tie", "delta", "0.2999999999999999999999", "do not serve"),
        ("log-equal-broken", "log-equal", "dominators", [1, 2, -1], "row 2 is below"),
        ("log-as-minmax", "log", "scale", ["minmax", "minmax"], "sha256"),
        ("delta-larger-breaks-bound", "fan", "delta", repr(0.5), "exceed its cost"),
        ("member-unknown", "fan", "members", lambda m: [*m, "no such"], "members"),
        ("member-repeated", "fan", "members", lambda m: [*m, m[0]], "members: a name is repeated"),
        ("member-forbidden", "fan", "forbidden", lambda _: cases["fan"][1]["members"][:1], "is forbidden"),
        ("required-missing", "fan", "required", ["5"], "is required and missing"),
        ("required-unknown", "fan", "required", ["x"], "required"),
        ("required-and-forbidden", "all-forbidden", "required", ["1"], "also forbidden"),
        ("dominators-short", "fan", "dominators", lambda x: x[:-1], "dominators: expected 7 entries"),
        ("dominator-beyond", "fan", "dominators.5", 7, "dominators: row 7"),
        ("dominator-below", "fan", "dominators.6", 5, "dominators: row 5 is below"),
        ("dominator-itself", "fan", "dominators.5", 5, "reached from itself"),
        ("dominators-cyclic", "duplicates", "dominators", [2, 3, 0, 1], "reached from itself"),
        ("multipliers-missing", "fan", "multipliers", lambda m: m[1:], "neither multipliers nor a dominator"),
        ("multipliers-twice", "fan", "multipliers", lambda m: [*m, m[0]], "has multipliers already"),
        ("multipliers-and-dominator", "fan", "multipliers", lambda m: [*m, [5, 0, 1]], "has a dominator too"),
        ("multipliers-beyond", "fan", "multipliers.0", [7, 0, 1], "row 7"),
        ("multipliers-position-beyond", "fan", "multipliers.0", [0, 9, 1], "positions below"),
        ("multipliers-position-twice", "fan", "multipliers.0", lambda m: [*m, m[1], 1], "distinct positions"),
        ("multipliers-wrong", "fan", "multipliers.0", [0, 1, 1], "do not serve"),
        ("multipliers-one-ulp-short", "wide-exponents", "multipliers.0", [0, 0, 10**300, 1, 1], "do not serve"),
        ("bound-too-high", "fan", "lower_bound", "7/2", "lower_bound"),
        ("bound-infinity-with-members", "fan", "lower_bound", "infinity", "lower_bound"),
        ("bound-without-proof", "fan-no-bound", "lower_bound", "1", "0 is proved"),
        ("bound-rounded-too-far", "rounding", "lower_bound", "2001/1000", "2 is proved"),
        ("bound-not-rounded", "costs-not-integers", "lower_bound", "1", "is proved"),
        ("infeasible-finite", "infeasible", "lower_bound", "3", "lower_bound"),
        ("infeasible-covered", "infeasible", "forbidden", [], "covers weight 0"),
        ("infeasible-dominators", "infeasible", "dominators", [-1] * 7, "expected none without members"),
        ("packing-lengths", "rounding", "packing.y", ["1/2", "1/2"], "3 weights and 2 y"),
        ("packing-negative", "rounding", "packing.y", ["1/2", "1/2", "-1/2"], "below 0"),
        ("packing-exceeds", "rounding", "packing.y.1", "501/1000", "exceed its cost"),
        ("packing-weight-zero", "rounding", "packing.weights.0", [0, 0, 0], "is all 0"),
        ("tree-weight-unused-zero", "fan", "branching.weights", lambda w: [*w, [0, 0]], "weight 5 is all 0"),
        ("tree-weight-unused-short", "fan", "branching.weights", lambda w: [*w, [1]], "1 numbers, not 2"),
        ("packing-weight-short", "rounding", "packing.weights.0", [1, 1], "2 numbers, not 3"),
        ("packing-required-covers", "rounding", "required", lambda _: cases["rounding"][1]["members"], "covers it"),
        ("tree-empty", "infeasible", "branching.nodes", [], "not complete"),
        ("tree-missing-leaf", "infeasible", "branching.nodes", [["branch", 2], ["uncovered", 0]], "not complete"),
        ("tree-left-over", "fan", "branching.nodes", lambda x: [*x, x[-1]], "left over"),
        ("tree-branch-beyond", "fan", "branching.nodes", lambda x: [["branch", 7], *x, *x], "candidate 7"),
        (
            "tree-branch-twice",
            "infeasible",
            "branching.nodes",
            [["branch", 2]] * 2 + [["uncovered", 0]] * 3,
            "undecided",
        ),
        (
            "tree-branch-forbidden",
            "infeasible",
            "branching.nodes",
            [["branch", 4]] + [["uncovered", 0]] * 2,
            "undecided",
        ),
        ("tree-packing-in", "triangle-branching", "branching.nodes", in_covers, "a candidate that is in covers it"),
        (
            "tree-uncovered-covered-in",
            "triangle-branching",
            "branching.nodes",
            in_uncovered,
            "that is in covers weight",
        ),
        ("tree-weight-beyond", "infeasible", "branching.nodes", [["uncovered", 1]], "not listed"),
        ("tree-packing-beyond", "fan", "branching.nodes", [["packing", [[9, "1"]]]], "not listed"),
        ("tree-packing-repeated", "fan", "branching.nodes", [["packing", [[0, "1/2"], [0, "1/2"]]]], "repeated"),
        (
            "tree-uncovered-in",
            "infeasible",
            "branching",
            {"weights": none, "nodes": [["uncovered", 0]] * 2},
            "left over",
        ),
        (
            "tree-deletes-out",
            "fan-ties",
            "branching.nodes",
            [["branch", 5], ["packing", []], ["uncovered", 0]],
            "covers",
        ),
    ]
    for name, base, key, value, fragment in table:
        yield name, *change(base, key, value), fragment


def malformed(cases: dict[str, tuple[Pool, Any]]) -> Iterator[tuple[str, bytes, str, str]]:
    """Name, certificate, values file and fragment of the message."""
    pool, document = cases["costs"]
    table = pool.csv()
    whole = json.dumps(document)

    def text(**changes: Any) -> bytes:
        return json.dumps({**document, **changes}).encode()

    def swap(old: str, new: str) -> bytes:
        assert old in whole
        return whole.replace(old, new, 1).encode()

    yield "empty", b"", table, "not JSON"
    yield "truncated", whole[: len(whole) // 2].encode(), table, "not JSON"
    yield "binary", bytes(range(256)), table, "expected UTF-8"
    yield "utf-16", whole.encode("utf-16"), table, "expected UTF-8"
    yield "byte-order-mark", b"\xef\xbb\xbf" + whole.encode(), table, "not JSON"
    yield "nesting-list", b"[" * 100_000, table, "nested deeper"
    yield "nesting-object", b'{"format":' * 20_000, table, "nested deeper"
    yield "nesting-after-string", b'{"\\"]]]]]]]]]]":' + b"[" * 9 + b"]" * 9 + b"}", table, "kind: expected"
    yield "not-an-object", b"[1, 2]", table, "expected an object"
    yield "null", b"null", table, "expected an object"
    yield "huge-integer", swap('"version": 2', '"version": ' + "9" * 50_000), table, "digits"
    yield "long-integer", swap('"version": 2', '"version": ' + "9" * 4_100), table, "more than 4000 digits"
    yield "huge-ratio", text(lower_bound="1/" + "9" * 5_000), table, "lower_bound: expected a ratio"
    yield "nan", swap('"version": 2', '"version": NaN'), table, "expected integers only"
    yield "infinity", swap('"version": 2', '"version": -Infinity'), table, "expected integers only"
    yield "float", swap('"version": 2', '"version": 2.0'), table, "expected integers only"
    yield "repeated-key", swap('"kind"', '"version": 2, "kind"'), table, "repeated"
    yield "repeated-key-inside", swap('"id"', '"cost": null, "id"'), table, "repeated"
    yield "unknown-key", text(checksum="0"), table, "unknown key 'checksum'"
    yield "unknown-key-inside", text(producer={"name": "", "version": "", "time": ""}), table, "unknown key 'time'"
    missing = {key: value for key, value in document.items() if key != "delta"}
    yield "missing-key", json.dumps(missing).encode(), table, "'delta' is missing"
    null = {key: value for key, value in document.items() if key != "branching"} | {"packing": None}
    yield "packing-null", json.dumps(null).encode(), table, "packing: expected an object"
    yield "both-proofs", text(packing={"weights": [], "y": []}), table, "not both"
    yield "format", text(format="palm certificate"), table, "format"
    yield "version", text(version=3), table, "version"
    yield "version-true", text(version=True), table, "version"
    yield "kind", text(kind="heuristic"), table, "kind"
    yield "objective", text(objective="loss"), table, "objective"
    yield "sha256-upper", text(sha256="A" * 64), table, "sha256"
    for name, word in {
        "hex": (0.1).hex(), "nan": "nan", "infinity": "inf", "overflow": "1e400", "plus": "+0.1", "blank": " 0.1",
        "point": "0.", "no-digit": ".5", "underscore": "1_0", "arabic": "\u0663", "empty": "", "ratio": "1/10",
        "exponent": "1e-1000", "long": "0." + "1" * 401,
    }.items():  # fmt: skip
        yield f"tolerance-{name}", text(delta=word), table, "delta: expected a decimal"
    yield "tolerance-exponent-zeros", swap('"delta": "0.1"', '"delta": "0.1e0000"'), table, "delta: expected a decimal"
    yield "tolerance-number", text(epsilon=0), table, "epsilon: expected a decimal"
    yield "scale-one-word", text(scale="minmax"), table, "scale: expected a list"
    yield "scale-word", text(scale=["none", "zscore"]), table, "scale[1]"
    yield "scale-short", text(scale=RANGES[:1]), table, "scale: expected 2 entries"
    yield (
        "scale-empty-range",
        text(scale=[RANGES[0], [RANGES[1][1], RANGES[1][1]]]),
        table,
        "scale[1]: expected low < high",
    )
    yield "members-object", text(members={"0": 1}), table, "members: expected a list"
    yield "members-integers", text(members=[0]), table, "members[0]: expected a non-empty string"
    yield "members-empty-name", text(members=[""]), table, "members[0]: expected a non-empty string"
    yield "dominators-true", text(dominators=[True] * 7), table, "dominators[0]"
    yield "dominators-minus-two", text(dominators=[-2] * 7), table, "dominators[0]"
    yield "multipliers-odd", text(multipliers=[[0, 0]]), table, "multipliers[0]: expected [i, p, a"
    yield "multipliers-none", text(multipliers=[[0]]), table, "multipliers[0]: expected [i, p, a"
    yield "multipliers-zero", text(multipliers=[[0, 0, 0]]), table, "positive integers"
    yield "multipliers-string", text(multipliers=["0"]), table, "multipliers[0]: expected a list"
    yield "ratio-zero-denominator", text(lower_bound="1/0"), table, "lower_bound: expected a ratio"
    yield "ratio-spaces", text(lower_bound=" 1"), table, "lower_bound: expected a ratio"
    yield "ratio-arabic-digits", text(lower_bound="\u0663"), table, "lower_bound: expected a ratio"
    yield "weights-negative", text(branching={"weights": [[-1, 2]], "nodes": []}), table, "branching.weights[0][0]"
    for name, node in {
        "word": ["leaf", 0], "short": ["branch"], "text": ["branch", "0"], "pairs": ["packing", [[0]]],
        "ratio": ["packing", [[0, 1]]], "list": [["branch"], 0], "string": "uncovered", "true": ["uncovered", True],
    }.items():  # fmt: skip
        yield f"node-{name}", text(branching={"weights": [], "nodes": [node]}), table, "branching.nodes[0]"
    yield "subject-rewards-empty", text(subject={**document["subject"], "rewards": []}), table, "subject"
    yield "subject-rewards-dash", text(subject={**document["subject"], "rewards": ["-"]}), table, "subject.rewards"
    yield "subject-cost-list", text(subject={**document["subject"], "cost": ["cost"]}), table, "subject.cost"
    good = whole.encode()
    yield "values-empty", good, "", "line 1: expected a header"
    yield "values-no-rows", good, "a,b,cost\n", "line 2: expected at least one candidate"
    yield "values-missing-column", good, table.replace("b,cost", "x,cost"), "the column 'b' is missing"
    yield "values-repeated-column", good, "a,b,cost,b\n0,1,2,3\n", "the column 'b' occurs twice"
    yield "values-ragged", good, table + "1,2\n", "line 9: expected 3 fields, got 2"
    for name, number in {
        "nan": "nan", "infinity": "inf", "overflow": "1e999", "hex": "0x10", "underscore": "1_0", "word": "x",
        "blank": "", "arabic": "\u0663",
    }.items():  # fmt: skip
        yield (
            f"values-{name}",
            good,
            table.replace("0.5,0.875", f"0.5,{number}"),
            "line 3: column 'b': expected a finite",
        )
    yield "values-negative-cost", good, table + "1,2,-1\n", "line 9: column 'cost': expected a finite number >= 0"
    yield "values-quote", good, table + '"1"2,3,4\n', "not CSV"
    yield "values-quote-open", good, table + '1,2,"3\n', "unexpected end of data"
    yield "values-two-byte-order-marks", good, "\ufeff\ufeff" + table, "the column 'a' is missing"
    yield "values-blank-line", good, table + "  \n", "line 9: expected 3 fields, got 1"
    yield "values-nul", good, table + "1,2,\0\n", "a NUL character"
    yield "values-header-blank", good, table.replace("a,b", "a, b"), "the column 'b' is missing"
    logs, logs_document = cases["log"]
    certificate = json.dumps(logs_document).encode()
    yield "values-log-zero", certificate, logs.csv().replace("100.0", "0.0"), "expected a finite number > 0"
    yield "subject-id-empty", text(subject={**document["subject"], "id": ""}), table, "subject.id"
    named, named_document = cases["negated-minmax-names"]
    certificate = json.dumps(named_document).encode()
    yield "values-repeated-name", certificate, named.csv().replace("B,", "A,"), "line 3: the name 'A' is repeated"
    yield "values-empty-name", certificate, named.csv().replace("B,", ","), "line 3: the name '' is empty"


def main() -> None:
    """Write all files anew."""
    cases = correct()
    sys.path.insert(0, str(Path(__file__).parent))
    import make_conditional
    import make_statistical
    import make_wrong

    others = make_conditional.correct() | make_statistical.correct()
    for kind in ("correct", "incorrect", "malformed"):
        (HERE / kind).mkdir(exist_ok=True)
        for old in (HERE / kind).iterdir():
            old.unlink()

    def write(kind: str, name: str, certificate: bytes, table: str, fragment: str | None = None) -> None:
        (HERE / kind / f"{name}.json").write_bytes(certificate)
        (HERE / kind / f"{name}.csv").write_bytes(table.encode("utf-8"))
        if fragment is not None:
            (HERE / kind / f"{name}.expect").write_text(fragment + "\n", encoding="utf-8")

    for name, (pool, document) in {**cases, **others}.items():
        assert document is not None, name
        write("correct", name, json.dumps(document, indent=1).encode() + b"\n", FILES.get(name) or pool.csv())
    for name, pool, document, fragment in itertools.chain(incorrect(cases), make_wrong.incorrect(others)):
        write("incorrect", name, json.dumps(document).encode() + b"\n", pool.csv(), fragment)
    for name, certificate, table, fragment in itertools.chain(malformed(cases), make_wrong.malformed(others)):
        write("malformed", name, certificate, table, fragment)


if __name__ == "__main__":
    main()
