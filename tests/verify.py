"""The one verifier that every test of a solve calls: exact, by Fractions, sharing nothing with the solver."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np

import palm_opt as palm


def exact_rows(values: palm.ValueMatrix) -> list[list[Fraction]]:
    """Scaled values straight from the definition, column by column."""
    columns = []
    for k, name in enumerate(values.rewards):
        raw = [Fraction(float(x)) for x in values.raw[:, k]]
        negated = name.startswith("-")
        if values.scale == "none":
            columns.append([-x if negated else x for x in raw])
            continue
        low, high = (min(raw), max(raw)) if values.scale == "minmax" else map(Fraction, values.scale[k])
        if low == high:
            columns.append([Fraction(0)] * len(raw))
        else:
            columns.append([((high - x) if negated else (x - low)) / (high - low) for x in raw])
    return [list(row) for row in zip(*columns, strict=True)]


def verify_result(result: palm.Result, values: palm.ValueMatrix) -> None:
    """Everything a result says, checked: certificate, names, cost, bounds, status, regret at its worst weight."""
    assert result.members == tuple(values.names[i] for i in result.indices)
    assert list(result.indices) == sorted(set(result.indices))
    if result.status is palm.Status.UNKNOWN:
        assert result.certificate is None and not result.members
        return
    proved = palm.verify(result.certificate, values)
    assert float(proved.lower_bound) == result.lower_bound
    if result.status is palm.Status.INFEASIBLE:
        assert result.certificate["members"] == [] and result.lower_bound == float("inf")
        return
    cost = sum((Fraction(float(values.costs[i])) for i in result.indices), Fraction(0))
    assert proved.cost == cost and result.cost == float(cost)
    assert result.lower_bound <= result.cost
    if result.tolerance is None:
        assert (result.status is palm.Status.OPTIMAL) == (proved.lower_bound == proved.cost)
    assert (proved.epsilon, proved.delta) == (result.epsilon, result.delta)
    array, w = values.array, np.asarray(result.worst_weight)
    at_worst = (1 - result.epsilon) * (array @ w).max() - (array[list(result.indices)] @ w).max()
    size = np.abs(array).max() + 1e-300
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
    keep = 1 - Fraction(epsilon)
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
    costs = [Fraction(float(c)) for c in values.costs]
    best = None
    for size in range(1, len(allowed) + 1):
        for members in itertools.combinations(allowed, size):
            if not set(require) <= set(members):
                continue
            cost = sum((costs[i] for i in members), Fraction(0))
            if (best is None or cost < best) and worst_regret(values, members, epsilon) <= Fraction(delta):
                best = cost
    return best
