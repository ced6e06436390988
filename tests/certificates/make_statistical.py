"""Certificates of kind statistical for make.py: bounds in Fractions, of the betting kind without any rounding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

BETS = [Fraction(b) for b in ("1", "3/4", "1/2", "3/8", "1/4", "3/16", "1/8", "3/32", "1/16", "3/64", "1/32", "3/128")]
BETS += [Fraction(1, 64), Fraction(3, 256), Fraction(1, 128)]


class Samples:
    """One row a generation: (prompt, candidate, rewards); the cluster of each prompt, or None."""

    def __init__(
        self, rows: Sequence[tuple[str, str, Sequence[float]]], clusters: dict[str, str] | None = None
    ) -> None:
        self.rows = [(prompt, candidate, [float(x) for x in values]) for prompt, candidate, values in rows]
        self.d = len(rows[0][2])
        self.rewards = ["safe", "helpful", "brief"][: self.d]
        self.prompts = list(dict.fromkeys(row[0] for row in rows))
        self.candidates = list(dict.fromkeys(row[1] for row in rows))
        self.clusters = clusters

    def subject(self) -> dict[str, Any]:
        head = {"type": "samples", "rewards": self.rewards, "candidates": len(self.candidates)}
        return head | {"prompts": len(self.prompts), "rows": len(self.rows), "cluster": self.clusters is not None}

    def sha256(self) -> str:
        def canonical(data: Any) -> bytes:
            return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()

        head = {key: value for key, value in self.subject().items() if key != "type"}
        content = b"palm_opt samples 2\n" + canonical(head) + b"\n"
        content += b"".join(self.prompts.index(row[0]).to_bytes(4, "little") for row in self.rows)
        content += b"".join(self.candidates.index(row[1]).to_bytes(4, "little") for row in self.rows)
        content += b"".join(",".join(repr(x if x else 0.0) for x in row[2]).encode() + b"\n" for row in self.rows)
        clusters = None if self.clusters is None else [self.clusters[prompt] for prompt in self.prompts]
        return hashlib.sha256(content + canonical([self.candidates, self.prompts, clusters])).hexdigest()

    def csv(self) -> str:
        lines = [",".join(["prompt", "candidate", *self.rewards] + (["cluster"] if self.clusters else []))]
        for prompt, candidate, values in self.rows:
            extra = [self.clusters[prompt]] if self.clusters else []
            lines.append(",".join([prompt, candidate, *map(repr, values), *extra]))
        return "\n".join(lines) + "\n"

    def certifying(self, rule: dict[str, Any]) -> dict[str, list[str]]:
        """The clusters that certify, with their prompts."""
        groups: dict[str, list[str]] = {}
        for prompt in self.prompts:
            groups.setdefault(self.clusters[prompt] if self.clusters else prompt, []).append(prompt)
        if "clusters" in rule:
            return {name: groups[name] for name in rule["clusters"]}
        limit = Fraction(rule["selection"]) * 2**64

        def number(name: str) -> int:
            digest = hashlib.sha256(f"palm_opt split 1\n{rule['seed']}\n{name}".encode()).digest()
            return int.from_bytes(digest[:8], "big")

        return {name: prompts for name, prompts in groups.items() if number(name) >= limit}

    def means(self, document: dict[str, Any]) -> list[list[list[Fraction]]]:
        """means[t][i][k]: the values of candidate i over cluster t, clipped and scaled."""
        ranges = [[Fraction(end) for end in pair] for pair in document["ranges"]]
        found = []
        for prompts in self.certifying(document["certification"]).values():
            total = [[Fraction(0)] * self.d for _ in self.candidates]
            for prompt in prompts:
                for i, candidate in enumerate(self.candidates):
                    rows = [row[2] for row in self.rows if row[:2] == (prompt, candidate)]
                    for k, (low, high) in enumerate(ranges):
                        clipped = [min(max(Fraction(repr(row[k])), low), high) for row in rows]
                        if document["scale"] == "ranges":
                            clipped = [(x - low) / (high - low) for x in clipped]
                        total[i][k] += sum(clipped, Fraction(0)) / len(rows) / len(prompts)
            found.append(total)
        return found


def pairs(document: dict[str, Any], samples: Samples) -> list[tuple[int, int, list[Fraction], Fraction, Fraction]]:
    """What is to be tested: candidate, reward, X of each cluster, the least and the greatest that X can be."""
    epsilon = Fraction(document["epsilon"])
    means = samples.means(document)
    found = []
    for i, *flat in document["multipliers"]:
        places, amounts = flat[::2], flat[1::2]
        mix = [Fraction(0)] * len(samples.candidates)
        for p, a in zip(places, amounts, strict=True):
            mix[samples.candidates.index(document["members"][p])] = Fraction(a, sum(amounts))
        mix[i] -= 1 - epsilon
        for k, pair in enumerate(document["ranges"]):
            low, high = (Fraction(end) for end in pair)
            if document["scale"] == "ranges":
                low, high = Fraction(0), Fraction(1)
            least = sum((c * (low if c > 0 else high) for c in mix), Fraction(0))
            greatest = sum((c * (high if c > 0 else low) for c in mix), Fraction(0))
            if least < 0:
                x = [sum((c * row[k] for c, row in zip(mix, cluster, strict=True)), Fraction(0)) for cluster in means]
                found.append((i, k, x, least, greatest))
    return found


def shown(document: dict[str, Any], samples: Samples, delta: Fraction) -> bool:
    """Whether every mean of X is shown to be at least -delta, as docs/certificate-format.md says it."""
    tests = pairs(document, samples)
    look = document["look"]
    level = Fraction(document["alpha"]) / (look * (look + 1) or 1)
    if document["simultaneous"]:
        level /= len(tests) or 1
    for i, k, x, least, greatest in tests:
        y = [(value - least) / (greatest - least) for value in x]
        needed = (-delta - least) / (greatest - least)
        if needed > 0 and not above(document, y, needed, level, i, k):
            return False
    return True


def above(document: dict[str, Any], y: list[Fraction], needed: Fraction, level: Fraction, i: int, k: int) -> bool:
    """Whether the mean of Y is shown to be at least `needed`."""
    count = len(y)
    if document["method"] == "betting":
        needed = max(needed, Fraction(1, 1 << 15))
        bets = BETS if document["bets"] is None else [Fraction(document["bets"][i][k], 1024)]
        capital = Fraction(0)
        for bet in bets:
            product = Fraction(1)
            for value in y:
                product *= 1 - bet + bet * value / needed
            capital += product / len(bets)
        return capital >= 1 / level
    mean = sum(y, Fraction(0)) / count
    with localcontext() as context:
        context.prec = 50

        def decimal(x: Fraction) -> Decimal:
            return Decimal(x.numerator) / Decimal(x.denominator)

        if document["method"] == "hoeffding":
            return decimal(mean - needed) >= (decimal(1 / level).ln() / (2 * count)).sqrt()
        variance = sum(((value - mean) ** 2 for value in y), Fraction(0)) / (count - 1)
        log = decimal(2 / level).ln()
        return decimal(mean - needed) >= (2 * decimal(variance) * log / count).sqrt() + 7 * log / (3 * (count - 1))


def build(samples: Samples, members: Sequence[int], multipliers: list[list[int]], **claims: Any) -> dict[str, Any]:
    """A correct certificate at the least delta that is shown, to 2^-20, and a little more."""
    document: dict[str, Any] = {
        "format": "palm_opt certificate",
        "version": 2,
        "kind": "statistical",
        "sha256": samples.sha256(),
        "subject": samples.subject(),
        "scale": "none",
        "ranges": [[repr(0.0), repr(1.0)]] * samples.d,
        "objective": "reward",
        "epsilon": repr(0.0),
        "delta": repr(0.0),
        "alpha": repr(0.05),
        "method": "betting",
        "simultaneous": False,
        "bets": None,
        "look": 0,
        "certification": {"seed": 0, "selection": repr(0.5)},
        "members": [samples.candidates[i] for i in members],
        "multipliers": multipliers,
        "producer": {"name": "make.py", "version": "1"},
    }
    document |= claims
    low, high = 0, 1 << 23
    while low < high:
        middle = (low + high) // 2
        if shown(document, samples, Fraction(middle, 1 << 20)):
            high = middle
        else:
            low = middle + 1
    return document | {"delta": repr(low / (1 << 20) + 2.0**-20)}


def grid(prompts: int, generations: int, spread: float = 0.2, clusters: int = 0) -> Samples:
    """Four candidates and two rewards; a fixed pattern in the place of noise, a few numbers outside [0, 1]."""
    centres = [(0.9, 0.3), (0.3, 0.9), (0.65, 0.65), (0.6, 0.55)]
    rows = []
    for x in range(prompts):
        for i, centre in enumerate(centres):
            for g in range(generations):
                noise = [((31 * x + 17 * i + 7 * g + 13 * k + x * x * (k + 1)) % 23 - 11) / 22 for k in (0, 1)]
                values = [round(c + 2 * spread * e, 4) for c, e in zip(centre, noise, strict=True)]
                rows.append((f"prompt {x}", "abcd"[i], values))
    named = {f"prompt {x}": f"topic {x % clusters}" for x in range(prompts)} if clusters else None
    return Samples(rows, named)


MIX = [[0, 0, 1], [1, 1, 1], [2, 2, 1], [3, 2, 1]]  # each served by a member; the last one by the third


def correct() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Name -> samples and certificate."""
    plain, two = grid(60, 1), grid(24, 2, clusters=12)
    ranges = [[repr(-1.0), repr(1.5)], [repr(0.25), repr(0.75)]]
    uneven = Samples([*two.rows, ("prompt 3", "b", [0.25, 0.5])], two.clusters)
    listed = {"clusters": [f"topic {t}" for t in range(12) if t % 3]}
    without = Samples([row for row in plain.rows if (row[0], row[1]) != (selecting(plain), "c")])
    mixed = [[0, 0, 3, 1, 1], [1, 1, 1], [2, 0, 1, 1, 1], [3, 0, 2, 1, 1]]
    bets = [[512, 256], [128, 1], [1023, 64], [300, 200]]
    return {
        "samples": (plain, build(plain, [0, 1, 2], MIX)),
        "samples-bernstein": (plain, build(plain, [0, 1, 2], MIX, method="bernstein")),
        "samples-hoeffding": (plain, build(plain, [0, 1, 2], MIX, method="hoeffding")),
        "samples-simultaneous": (plain, build(plain, [0, 1, 2], MIX, simultaneous=True, look=2)),
        "samples-bets": (plain, build(plain, [0, 1], mixed, bets=bets, epsilon=repr(0.125))),
        "samples-clusters": (two, build(two, [0, 1, 2], MIX, certification=listed, epsilon=repr(0.0625))),
        "samples-generations": (uneven, build(uneven, [0, 1], mixed, certification=listed)),
        "samples-ranges": (plain, build(plain, [0, 1], mixed, scale="ranges", ranges=ranges, epsilon=repr(0.25))),
        "samples-raw-ranges": (plain, build(plain, [0, 1], mixed, ranges=ranges, epsilon=repr(0.25))),
        "samples-holes-in-selection": (without, build(without, [0, 1, 2], MIX)),
    }


def selecting(samples: Samples) -> str:
    """A prompt of the selection half at seed 0."""
    chosen = samples.certifying({"seed": 0, "selection": repr(0.5)})
    return next(prompt for prompt in samples.prompts if prompt not in chosen)
