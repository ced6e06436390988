"""Proof that a set cover needs many columns: a tree of packings over columns of cost 1 (docs/theory.md, L3, L4)."""

from __future__ import annotations

import math
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

__all__ = ["fewer_are_too_few"]

_UNIT = 2**40  # shares of a packing are multiples of 1 / _UNIT
_NODES = 400  # of the tree before it is given up
_Nodes = list[list[Any]]


def fewer_are_too_few(covers: NDArray[np.bool_], target: int) -> tuple[int, list[int], _Nodes] | None:
    """Prove that every cover has at least `target` columns, or as many as the packing of all rows proves.

    Parameters
    ----------
    covers : (rows, columns); equal columns are told apart only in the tree that is returned.

    Returns
    -------
    (bound, rows used, nodes in preorder with positions among these rows), or None without rows.
    """
    if not covers.size:
        return None
    first, group = _distinct(covers.T)
    patterns = covers[:, first]
    groups = [np.flatnonzero(group == g).tolist() for g in range(len(first))]
    nodes: _Nodes | None = _Tree(patterns, groups, target).grow((), ())
    bound = target
    if nodes is None:
        rows, shares = _packing(patterns, np.arange(len(patterns)), np.arange(patterns.shape[1]))
        bound = max(1, math.ceil(sum(shares) / _UNIT))
        nodes = [_leaf(rows, shares)]
    used = sorted({j for kind, content in nodes for j in _rows(kind, content)})
    place = {j: k for k, j in enumerate(used)}
    for node in nodes:
        if node[0] == "packing":
            node[1] = [[place[j], share] for j, share in node[1]]
        elif node[0] == "uncovered":
            node[1] = place[node[1]]
    return bound, used, nodes


class _Tree:
    """Branch on groups of equal columns until every leaf needs `target` columns."""

    def __init__(self, covers: NDArray[np.bool_], groups: list[list[int]], target: int) -> None:
        self.covers, self.groups, self.target = covers, groups, target
        self.left = _NODES

    def grow(self, inside: tuple[int, ...], outside: tuple[int, ...]) -> _Nodes | None:
        """The subtree below a node, or None where it is given up; depth is at most the target times the groups."""
        self.left -= 1
        if self.left < 0:
            return None
        rows = np.flatnonzero(~self.covers[:, list(inside)].any(axis=1))
        free = np.setdiff1d(np.arange(self.covers.shape[1]), [*inside, *outside])
        bare = np.flatnonzero(~self.covers[np.ix_(rows, free)].any(axis=1))
        if len(bare):
            return [["uncovered", int(rows[bare[0]])]]
        if len(inside) >= self.target:
            return [["packing", []]]
        if not len(rows):
            return None  # a cover with fewer columns
        chosen, shares = _packing(self.covers, rows, free)
        if len(inside) + math.ceil(sum(shares) / _UNIT) >= self.target:
            return [_leaf(chosen, shares)]
        x = _relaxation(self.covers[np.ix_(rows, free)])[0]
        pick = int(free[np.abs(x - 0.5).argmin()])
        first = self.grow((*inside, pick), outside)
        second = None if first is None else self.grow(inside, (*outside, pick))
        if first is None or second is None:
            return None
        nodes: _Nodes = []
        for i in self.groups[pick]:  # with one of some equal columns in, the others cover nothing that is left
            nodes += [["branch", i], *([kind, content] for kind, content in first)]
        self.left -= len(nodes)
        return nodes + second


def _rows(kind: str, content: Any) -> list[int]:
    return [j for j, _ in content] if kind == "packing" else [content] if kind == "uncovered" else []


def _leaf(rows: NDArray[np.int64], shares: list[int]) -> list[Any]:
    return ["packing", [[int(j), f"{share}/{_UNIT}"] for j, share in zip(rows, shares, strict=True) if share]]


def _packing(
    covers: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[int]]:
    """Shares of rows, in units of 1 / _UNIT, of which no column covers more than 1 in all."""
    block = covers[np.ix_(rows, columns)]
    first, _ = _distinct(block)
    block = block[first]
    units = np.floor(np.clip(_relaxation(block)[1], 0.0, 1.0) * _UNIT).astype(np.int64)
    while (load := int((block.T.astype(np.int64) @ units).max(initial=0))) > _UNIT:
        units = units * _UNIT // load - 1
        units = np.maximum(units, 0)
    return rows[first], units.tolist()


def _distinct(matrix: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First occurrences of distinct rows in order of their bits, and which of them each row is."""
    packed = np.ascontiguousarray(np.packbits(matrix, axis=1))
    _, first, group = np.unique(packed.view(f"V{packed.shape[1]}")[:, 0], return_index=True, return_inverse=True)
    return first, group


def _relaxation(block: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Linear relaxation of a cover with columns of cost 1: (x (columns,), dual y (rows,))."""
    rows, columns = block.shape
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = rows, columns
    model.col_cost_ = np.ones(columns)
    model.col_lower_, model.col_upper_ = np.zeros(columns), np.full(columns, highspy.kHighsInf)
    model.row_lower_, model.row_upper_ = np.ones(rows), np.full(rows, highspy.kHighsInf)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.concatenate([[0], np.cumsum(block.sum(axis=0))]).astype(np.int32)
    model.a_matrix_.index_ = block.T.nonzero()[1].astype(np.int32)
    model.a_matrix_.value_ = np.ones(int(block.sum()))
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return np.zeros(columns), np.zeros(rows)
    solution = solver.getSolution()
    return np.array(solution.col_value), np.array(solution.row_dual)
