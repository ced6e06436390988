"""Proofs of size: packings and branching trees for whatever backend found the portfolio (docs/theory.md, L3, L4)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from palm_opt.backends import Budget
from palm_opt.cover import Cover, Pool, Witnesses
from palm_opt.exact import Weight

__all__ = ["Cheaper", "SizeProof", "branch", "infeasible", "packing"]

_UNIT = 2**40  # multipliers of a packing are multiples of 1 / _UNIT


@dataclass(frozen=True)
class SizeProof:
    """A proved lower bound on the cost of every admissible portfolio.

    nodes : the tree in preorder, as in docs/certificate-format.md, with row indices of a `Witnesses`.
    """

    bound: Fraction | float
    nodes: list[list[Any]]
    work: int  #: linear programs solved

    def document(self, witnesses: Witnesses) -> dict[str, Any]:
        """The entries `lower_bound` and `packing` or `branching` of a certificate."""
        if not self.nodes or self.bound == 0:
            return {"lower_bound": "0"}
        used = sorted({row for node in self.nodes for row in _rows_of(node)})
        place = {row: k for k, row in enumerate(used)}
        weights: list[list[int]] = [list(_short(witnesses.integer[row])) for row in used]
        bound = "infinity" if self.bound == math.inf else str(self.bound)
        if len(self.nodes) == 1 and self.nodes[0][0] == "packing":
            shares = dict(self.nodes[0][1])
            return {"lower_bound": bound, "packing": {"weights": weights, "y": [str(shares[row]) for row in used]}}
        nodes: list[list[Any]] = []
        for kind, content in self.nodes:
            if kind == "packing":
                nodes.append([kind, [[place[row], str(share)] for row, share in content]])
            else:
                nodes.append([kind, place[content] if kind == "uncovered" else content])
        return {"lower_bound": bound, "branching": {"weights": weights, "nodes": nodes}}


@dataclass(frozen=True)
class Cheaper:
    """A cover of all rows that costs less than the bound that was to be proved."""

    members: tuple[int, ...]


def _rows_of(node: list[Any]) -> Iterable[int]:
    if node[0] == "packing":
        return [row for row, _ in node[1]]
    return [node[1]] if node[0] == "uncovered" else []


def _short(weight: Weight) -> Weight:
    divisor = math.gcd(*weight)
    return tuple(x // divisor for x in weight)


def relaxation(cover: Cover) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Linear relaxation of a cover without fixed columns: (x (columns,), dual y (rows,), objective)."""
    rows, columns = cover.matrix.shape
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = rows, columns
    model.col_cost_ = cover.costs
    model.col_lower_, model.col_upper_ = np.zeros(columns), np.full(columns, highspy.kHighsInf)
    model.row_lower_, model.row_upper_ = np.ones(rows), np.full(rows, highspy.kHighsInf)
    entries = cover.matrix.T.nonzero()
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.concatenate([[0], np.cumsum(cover.matrix.sum(axis=0))]).astype(np.int32)
    model.a_matrix_.index_ = entries[1].astype(np.int32)
    model.a_matrix_.value_ = np.ones(len(entries[1]))
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return np.zeros(columns), np.zeros(rows), 0.0
    solution = solver.getSolution()
    return np.array(solution.col_value), np.array(solution.row_dual), float(solver.getObjectiveValue())


def _repair(cover: Cover, y: NDArray[np.float64]) -> NDArray[np.int64]:
    """Multiples of 1 / _UNIT near y that satisfy every column exactly."""
    room = [int(Fraction(cost) * _UNIT) for cost in cover.costs.tolist()]
    units = np.floor(np.clip(y, 0.0, None) * _UNIT).astype(np.int64)
    units[cover.matrix[:, np.array(room) == 0].any(axis=1)] = 0  # rows that a free candidate covers carry nothing
    for attempt in range(50):
        load = cover.matrix.T.astype(np.int64) @ units
        over = max((int(used) / max(room[j], 1) for j, used in enumerate(load.tolist()) if used > room[j]), default=1.0)
        if over == 1.0:
            return units
        units = np.floor(units / (over * (1 + 2.0 ** (attempt - 50)))).astype(np.int64)
    return np.zeros_like(units)


class _Node:
    """Linear bound of one node of the tree: `inside` chosen, `outside` excluded."""

    def __init__(self, pool: Pool, witnesses: Witnesses, inside: tuple[int, ...], outside: frozenset[int]) -> None:
        self.columns = np.array([i for i in _selectable(pool, outside) if i not in inside], dtype=np.int64)
        rows = np.arange(len(witnesses))
        if inside:
            rows = np.flatnonzero(~witnesses.coverage(inside).any(axis=1))
        matrix = witnesses.coverage(self.columns)[rows]
        self.paid = pool.cost(inside)
        self.x = np.zeros(0)
        empty = np.flatnonzero(~matrix.any(axis=1))
        if len(empty):
            self.leaf: list[Any] = ["uncovered", int(rows[empty[0]])]
            self.bound: Fraction | float = math.inf
            return
        cover, columns, kept = Cover(matrix, pool.values.costs[self.columns]).reduced()
        shares: list[tuple[int, Fraction]] = []
        if cover.matrix.size:
            self.x, y, _ = relaxation(cover)
            self.columns = self.columns[columns]
            units = _repair(cover, y)
            shares = [(int(rows[kept[r]]), Fraction(int(units[r]), _UNIT)) for r in np.flatnonzero(units)]
        self.leaf = ["packing", [[row, share] for row, share in sorted(shares)]]
        bound = self.paid + sum((share for _, share in shares), Fraction(0))
        self.bound = Fraction(math.ceil(bound)) if pool.whole_costs else bound


def _selectable(pool: Pool, outside: frozenset[int]) -> NDArray[np.int64]:
    if outside == pool.forbidden:
        return pool.columns
    return pool.selectable(outside)


def packing(pool: Pool, witnesses: Witnesses) -> SizeProof:
    """The best packing bound on the current rows, from the linear relaxation made rational."""
    node = _Node(pool, witnesses, pool.required, pool.forbidden)
    return SizeProof(node.bound, [node.leaf], 1)


def branch(
    pool: Pool, witnesses: Witnesses, target: Fraction, budget: Budget, node_limit: int
) -> SizeProof | Cheaper | None:
    """Prove that every portfolio costs at least `target` by branching on candidates, in before out.

    Returns the proof, a cheaper cover of the rows if there is one, or None when time or nodes ran out.
    """
    nodes: list[list[Any]] = []
    stack: list[tuple[tuple[int, ...], frozenset[int]]] = [(pool.required, pool.forbidden)]
    bound: Fraction | float = math.inf
    work = 0
    while stack:
        if budget.stop.is_set() or time.monotonic() > budget.deadline or work >= node_limit:
            return None
        inside, outside = stack.pop()
        node = _Node(pool, witnesses, inside, outside)
        work += 1
        if node.bound >= target:
            nodes.append(node.leaf)
            bound = min(bound, node.bound)
            continue
        chosen = np.flatnonzero(node.x > 0.5)
        if not len(node.x) or (np.abs(node.x - np.rint(node.x)) < 1e-7).all():
            members = tuple(sorted({*inside, *(int(node.columns[j]) for j in chosen)}))
            if pool.cost(members) < target and witnesses.coverage(members).any(axis=1).all():
                return Cheaper(members)
        if not len(node.x):
            return None
        pick = int(node.columns[_branching_column(node.x)])
        nodes.append(["branch", pick])
        stack.append((inside, outside | {pick}))
        stack.append(((*inside, pick), outside))
    return SizeProof(bound, nodes, work)


def _branching_column(x: NDArray[np.float64]) -> int:
    """The column nearest to a half; among integral ones the largest."""
    fractional = np.minimum(x, 1 - x)
    return int(fractional.argmax()) if fractional.max() > 1e-6 else int(x.argmax())


def infeasible(row: int) -> SizeProof:
    """The proof that no admissible candidate covers a row."""
    return SizeProof(math.inf, [["uncovered", row]], 0)
