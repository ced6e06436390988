"""The one verifier that every test of a solve calls: exact, by Fractions, sharing nothing with the solver."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np

import palm_opt as palm


def rational(number: float) -> Fraction:
    """What a float64 means: its shortest decimal."""
    return Fraction(repr(float(number)))


def exact_rows(values: palm.ValueMatrix) -> list[list[Fraction]]:
    """Scaled values straight from the definition, column by column."""
    columns = []
    for k, (name, scale) in enumerate(zip(values.rewards, values.scale, strict=True)):
        raw = [rational(x) for x in values.raw[:, k]]
        negated = name.startswith("-")
        if scale == "none":
            columns.append([-x if negated else x for x in raw])
            continue
        if scale == "log":
            raw = [Fraction(Context(prec=15).log10(Decimal(repr(float(x))))) for x in values.raw[:, k]]
        low, high = (min(raw), max(raw)) if isinstance(scale, str) else map(rational, scale)
        if low == high:
            columns.append([Fraction(0)] * len(raw))
        else:
            columns.append([((high - x) if negated else (x - low)) / (high - low) for x in raw])
    return [list(row) for row in zip(*columns, strict=True)]


def verify_certificate(document: dict[str, Any], values: palm.ValueMatrix) -> Fraction | float:
    """Every claim of an exact certificate, from the definitions; returns the lower bound that it proves."""
    rows, place = exact_rows(values), {name: i for i, name in enumerate(values.names)}
    keep, delta = 1 - Fraction(document["epsilon"]), Fraction(document["delta"])
    members, required, forbidden = ([place[name] for name in document[k]] for k in ("members", "required", "forbidden"))
    assert set(required) <= set(members) or not members
    assert not set(forbidden) & set(members)
    own = {row[0]: list(zip(row[1::2], row[2::2], strict=True)) for row in document["multipliers"]}
    for i in range(values.n if members else 0):
        assert (document["dominators"][i] < 0) == (i in own)  # a dominator has multipliers of its own here
        if i not in own:
            j = document["dominators"][i]
            assert j in own and all(a >= b for a, b in zip(rows[j], rows[i], strict=True))
            continue
        total = sum(a for _, a in own[i])
        for k, x in enumerate(rows[i]):
            assert sum(a * rows[members[p]][k] for p, a in own[i]) >= total * (keep * x - delta)
    proof = document.get("branching") or document.get("packing")
    if proof is None:
        assert document["lower_bound"] == "0"
        return Fraction(0)
    common = math.lcm(keep.denominator, delta.denominator, *(x.denominator for row in rows for x in row))
    whole_rows = [[int(x * common) for x in row] for row in rows]
    covers = []
    for w in proof["weights"]:
        products = [sum(a * x for a, x in zip(w, row, strict=True)) for row in whole_rows]
        needed = math.ceil(keep * max(products) - delta * common * sum(w))
        covers.append({i for i, x in enumerate(products) if x >= needed})
    nodes = proof.get("nodes") or [["packing", list(enumerate(proof["y"]))]]
    free = frozenset(range(values.n)) - {*required, *forbidden}
    whole = all(float(values.costs[i]).is_integer() for i in range(values.n) if i not in forbidden)
    bound = _least(iter(nodes), [rational(c) for c in values.costs], covers, frozenset(required), free, whole)
    claimed = math.inf if document["lower_bound"] == "infinity" else Fraction(document["lower_bound"])
    assert claimed <= bound and (claimed == math.inf) == (not members)
    return claimed


def _least(
    nodes: Iterator[list[Any]],
    costs: list[Fraction],
    covers: list[set[int]],
    inside: frozenset[int],
    free: frozenset[int],
    whole: bool,
) -> Fraction | float:
    """What the next subtree proves."""
    kind, content = next(nodes)
    if kind == "branch":
        assert content in free
        rest = free - {content}
        left = _least(nodes, costs, covers, inside | {content}, rest, whole)
        return min(left, _least(nodes, costs, covers, inside, rest, whole))
    if kind == "uncovered":
        assert not covers[content] & (inside | free)
        return math.inf
    y = {j: Fraction(ratio) for j, ratio in content}
    assert len(y) == len(content) and min(y.values(), default=Fraction(0)) >= 0
    assert not any(share and covers[j] & inside for j, share in y.items())
    for i in free:
        assert sum((share for j, share in y.items() if i in covers[j]), Fraction(0)) <= costs[i]
    bound = sum((costs[i] for i in inside), Fraction(0)) + sum(y.values(), Fraction(0))
    return Fraction(math.ceil(bound)) if whole else bound


def verify_result(result: palm.Result, values: palm.ValueMatrix) -> None:
    """Everything a result says, checked: certificate, names, cost, bounds, status, regret at its worst weight."""
    assert result.members == tuple(values.names[i] for i in result.indices)
    assert list(result.indices) == sorted(set(result.indices))
    if result.status is palm.Status.UNKNOWN:
        assert result.certificate is None and not result.members
        return
    proved = palm.verify(result.certificate, values)
    assert float(proved.lower_bound) == result.lower_bound == float(verify_certificate(result.certificate, values))
    if result.status is palm.Status.INFEASIBLE:
        assert result.certificate["members"] == [] and result.lower_bound == float("inf")
        return
    cost = sum((rational(values.costs[i]) for i in result.indices), Fraction(0))
    assert proved.cost == cost and result.cost == float(cost)
    assert result.lower_bound <= result.cost
    if result.tolerance is None:
        assert (result.status is palm.Status.OPTIMAL) == (proved.lower_bound == proved.cost)
    assert (proved.epsilon, proved.delta) == (result.epsilon, result.delta)
    document = result.certificate
    assert (document["epsilon"], document["delta"]) == (repr(result.epsilon), repr(result.delta))
    array, w = values.array, np.asarray(result.worst_weight)
    at_worst = (1 - result.epsilon) * (array @ w).max() - (array[list(result.indices)] @ w).max()
    size = np.abs(array).max() + 1e-300  # the regret is a float, and says so: the certificate above is what is proved
    assert abs(at_worst - result.regret) <= 1e-9 * size
    assert result.regret <= result.delta + 1e-9 * size


def corners(rows: list[list[Fraction]]) -> list[list[Fraction]]:
    """Every weight that can be a corner of a cell where some regret is linear: brute force for tiny problems.

    The worst regret of any portfolio is attained where d - 1 of the equations w.(v_a - v_b) = 0, w_k = 0 hold.
    """
    d = len(rows[0])
    planes = [[Fraction(int(i == k)) for i in range(d)] for k in range(d)]
    planes += [[a - b for a, b in zip(p, q, strict=True)] for p, q in itertools.combinations(rows, 2)]
    found = set()
    for chosen in itertools.combinations(planes, d - 1):
        w = _solve([*map(list, chosen), [Fraction(1)] * d])
        if w is not None and min(w) >= 0:
            found.add(tuple(w))
    return [list(w) for w in sorted(found)]


def _solve(matrix: list[list[Fraction]]) -> list[Fraction] | None:
    """The solution of matrix . w = (0, .., 0, 1), or None if the matrix is singular."""
    n = len(matrix)
    a = [[*row, Fraction(int(r == n - 1))] for r, row in enumerate(matrix)]
    for c in range(n):
        pivot = next((r for r in range(c, n) if a[r][c]), None)
        if pivot is None:
            return None
        a[c], a[pivot] = a[pivot], a[c]
        a[c] = [x / a[c][c] for x in a[c]]
        for r in range(n):
            if r != c and a[r][c]:
                a[r] = [x - a[r][c] * y for x, y in zip(a[r], a[c], strict=True)]
    return [row[-1] for row in a]


def worst_regret(values: palm.ValueMatrix, members: tuple[int, ...], epsilon: float) -> Fraction:
    """Exact worst regret of a portfolio of a tiny problem, over all corners (d <= 3, n <= 9)."""
    rows = exact_rows(values)
    keep = 1 - rational(epsilon)
    # regret is convex on each cell of the portfolio's envelope: its maximum is at a corner of the envelope
    best = None
    for w in corners([rows[i] for i in members]):
        opt = max(sum(a * b for a, b in zip(w, row, strict=True)) for row in rows)
        served = max(sum(a * b for a, b in zip(w, rows[i], strict=True)) for i in members)
        value = keep * opt - served
        best = value if best is None else max(best, value)
    assert best is not None
    return best


def brute_force(
    values: palm.ValueMatrix,
    epsilon: float,
    delta: float,
    require: tuple[int, ...] = (),
    forbid: tuple[int, ...] = (),
) -> Fraction | None:
    """The least cost of a portfolio by trying all subsets, or None if there is none."""
    allowed = [i for i in range(values.n) if i not in forbid]
    costs = [rational(c) for c in values.costs]
    best = None
    for size in range(1, len(allowed) + 1):
        for members in itertools.combinations(allowed, size):
            if not set(require) <= set(members):
                continue
            cost = sum((costs[i] for i in members), Fraction(0))
            if (best is None or cost < best) and worst_regret(values, members, epsilon) <= rational(delta):
                best = cost
    return best
