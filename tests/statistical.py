"""A slow twin of what a statistical certificate claims: from the rows and the document alone, means in rationals."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction
from typing import Any

import palm_opt as palm


def verify_statistical(document: dict[str, Any], samples: palm.Samples) -> float:
    """Assert that every pair of candidate and reward has its bound; return the least slack in the log of a test."""
    number = {key: Fraction(document[key]) for key in ("epsilon", "delta", "alpha")}
    values = _unit_values(document, samples)
    names = list(samples.names)
    members = [names.index(name) for name in document["members"]]
    n, d = len(names), len(document["ranges"])
    span = [(Fraction(0), Fraction(1))] * d
    if document["scale"] == "none":
        span = [(Fraction(low), Fraction(high)) for low, high in document["ranges"]]
    assert [row[0] for row in document["multipliers"]] == list(range(n))
    tests = []
    for row in document["multipliers"]:
        i, total = row[0], sum(row[2::2])
        coefficient = dict.fromkeys([i, *members], Fraction(0))
        for p, a in zip(row[1::2], row[2::2], strict=True):
            coefficient[members[p]] += Fraction(a, total)
        coefficient[i] -= 1 - number["epsilon"]
        for k, (low, high) in enumerate(span):
            least = sum(c * (low if c >= 0 else high) for c in coefficient.values())
            most = sum(c * (high if c >= 0 else low) for c in coefficient.values())
            if least < 0:
                x = [sum(c * unit[j][k] for j, c in coefficient.items()) for unit in values]
                scaled = [(v - least) / (most - least) for v in x]
                tests.append((i, k, scaled, (-number["delta"] - least) / (most - least)))
    look = document["look"]
    level = number["alpha"] / (1 if look == 0 else look * (look + 1))
    if document["simultaneous"] and tests:
        level /= len(tests)
    return min((_slack(document, level, *test) for test in tests), default=math.inf)


def _unit_values(document: dict[str, Any], samples: palm.Samples) -> list[list[list[Fraction]]]:
    """Value of every candidate and reward in each certification unit, exact."""
    ranges = [(Fraction(low), Fraction(high)) for low, high in document["ranges"]]
    cells: dict[tuple[int, int, int], list[Fraction]] = {}
    for p, i, row in zip(samples.prompt_of.tolist(), samples.candidate_of.tolist(), samples.rows.tolist(), strict=True):
        for k, (value, (low, high)) in enumerate(zip(row, ranges, strict=True)):
            inside = min(max(Fraction(repr(value)), low), high)
            if document["scale"] == "ranges":
                inside = (inside - low) / (high - low)
            cells.setdefault((p, i, k), []).append(inside)
    rule = document["certification"]
    share = Fraction(rule.get("selection", "0"))
    units: dict[str, list[int]] = {}
    for p, prompt in enumerate(samples.prompts):
        name = prompt if samples.clusters is None else samples.clusters[p]
        digest = hashlib.sha256(b"palm_opt split 1\n%d\n%s" % (rule.get("seed", 0), name.encode())).digest()
        hashed = Fraction(int.from_bytes(digest[:8], "big"), 2**64) >= share
        if name in rule["clusters"] if "clusters" in rule else hashed:
            units.setdefault(name, []).append(p)

    def mean(prompts: list[int], i: int, k: int) -> Fraction:
        return sum(sum(cells[p, i, k]) / len(cells[p, i, k]) for p in prompts) / len(prompts)

    n, d = len(samples.names), len(ranges)
    return [[[mean(prompts, i, k) for k in range(d)] for i in range(n)] for prompts in units.values()]


def _slack(document: dict[str, Any], level: Fraction, i: int, k: int, x: list[Fraction], needed: Fraction) -> float:
    """How far above the needed mean a bound is (>= 0 asserted)."""
    if needed <= 0:
        return math.inf
    count, mean = len(x), sum(x) / len(x)
    if document["method"] == "betting":
        bet = Fraction(document["bets"][i][k], 1024)
        logs = [math.log(1 - bet + bet * v / needed) for v in x]
        slack = math.fsum(logs) - math.log(1 / level)
    elif document["method"] == "bernstein":
        log = math.log(2 / level)
        variance = float(sum((v - mean) ** 2 for v in x) / (count - 1))
        slack = float(mean - needed) - math.sqrt(2 * variance * log / count) - 7 * log / (3 * (count - 1))
    else:
        slack = float(mean - needed) - math.sqrt(math.log(1 / level) / (2 * count))
    assert slack >= 0, f"candidate {i}, reward {k}: {slack}"
    return slack
