"""Proof that a set cover needs many columns: a tree of packings over columns of cost 1 (docs/theory.md, L3, L4)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

__all__ = ["fewer_are_too_few"]

_UNIT = 2**40  # shares of a packing are multiples of 1 / _UNIT
_NODES = 400  # of the tree before it is given up
_FIRST = 300  # rows to begin with, and that enter at once
_SLACK = 1e-6  # of linear programs in floats
_Nodes = list[list[Any]]


def fewer_are_too_few(covers: NDArray[np.bool_], target: int) -> tuple[int, list[int], _Nodes] | None:
    """Prove that every cover has at least `target` columns, or one less, or as many as the packing of all rows proves.

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
    tree = _Tree(covers[:, first], [np.flatnonzero(group == g).tolist() for g in range(len(first))])
    bound, nodes = target, tree.prove(target)
    if nodes is None:
        bound, nodes = target - 1, tree.prove(target - 1)
    if nodes is None:
        rows, shares = tree.root
        bound, nodes = max(1, math.ceil(sum(shares) / _UNIT)), [_leaf(rows, shares)]
    used = sorted({j for kind, content in nodes for j in _rows(kind, content)})
    place = {j: k for k, j in enumerate(used)}
    for node in nodes:
        if node[0] == "packing":
            node[1] = [[place[j], share] for j, share in node[1]]
        elif node[0] == "uncovered":
            node[1] = place[node[1]]
    return bound, used, nodes


class _Tree:
    """Branch on groups of equal columns until every leaf needs the columns that are to be proved.

    root : the packing of all rows: (rows, shares in units of 1 / _UNIT).
    """

    def __init__(self, covers: NDArray[np.bool_], groups: list[list[int]]) -> None:
        self.covers, self.groups = covers, groups
        self.target = self.left = 0  # columns to prove; nodes that the tree may still have
        self.relaxation = _Relaxation(covers)
        self.root = self.relaxation.packing(np.arange(covers.shape[0]), np.arange(covers.shape[1]))

    def prove(self, target: int) -> _Nodes | None:
        """A tree whose every leaf needs `target` columns, or None where it is given up."""
        self.target, self.left = target, _NODES
        return self.grow((), ())

    def grow(self, inside: tuple[int, ...], outside: tuple[int, ...]) -> _Nodes | None:
        """The subtree below a node, or None where it is given up; depth is at most the target times the groups."""
        self.left -= 1
        if self.left < 0:
            return None
        rows = np.flatnonzero(~self.covers[:, list(inside)].any(axis=1))
        able = np.ones(self.covers.shape[1], dtype=np.float32)
        able[[*inside, *outside]] = 0.0
        free = np.flatnonzero(able)
        bare = np.flatnonzero(self.relaxation.dense[rows] @ able == 0)
        if len(bare):
            return [["uncovered", int(rows[bare[0]])]]
        if len(inside) >= self.target:
            return [["packing", []]]
        if not len(rows):
            return None  # a cover with fewer columns
        chosen, shares = self.relaxation.packing(rows, free)
        if len(inside) + math.ceil(sum(shares) / _UNIT) >= self.target:
            return [_leaf(chosen, shares)]
        pick = int(free[np.abs(self.relaxation.x[free] - 0.5).argmin()])
        with self.relaxation.fixed(pick, 1.0, np.inf):
            first = self.grow((*inside, pick), outside)
        if first is None:
            return None
        with self.relaxation.fixed(pick, 0.0, 0.0):
            second = self.grow(inside, (*outside, pick))
        if second is None:
            return None
        nodes: _Nodes = []
        for i in self.groups[pick]:  # with one of some equal columns in, the others cover nothing that is left
            nodes += [["branch", i], *([kind, content] for kind, content in first)]
        self.left -= (len(self.groups[pick]) - 1) * (1 + len(first))
        return nodes + second


class _Relaxation:
    """Linear relaxation of a cover with columns of cost 1, changed in place; rows enter where a solution breaks them.

    x : (columns,) the last solution; active : rows of the cover in the order of the program.
    """

    def __init__(self, covers: NDArray[np.bool_]) -> None:
        self.covers, self.dense = covers, covers.astype(np.float32)
        count = covers.shape[1]
        self.x, self.active = np.zeros(count), np.empty(0, dtype=np.int64)
        solver = self.solver = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("presolve", "off"), ("solver", "simplex")):
            solver.setOptionValue(option, value)
        solver.addVars(count, np.zeros(count), np.full(count, highspy.kHighsInf))
        solver.changeColsCost(count, np.arange(count, dtype=np.int32), np.ones(count))
        self._add(np.argsort(covers.sum(axis=1), kind="stable")[:_FIRST])

    @contextmanager
    def fixed(self, column: int, low: float, high: float) -> Iterator[None]:
        """With other limits of a column."""
        self.solver.changeColBounds(column, low, high)
        yield
        self.solver.changeColBounds(column, 0.0, highspy.kHighsInf)

    def packing(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
        """Solve; some of `rows` and their shares, in units of 1 / _UNIT: no one of `columns` covers more than 1 in all.

        `rows` are those that no column fixed to 1 covers: the dual variables of others add nothing to the bound.
        """
        while True:
            self.solver.run()
            if self.solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
                return np.empty(0, dtype=np.int64), []
            solution = self.solver.getSolution()
            self.x = np.array(solution.col_value)
            lack = 1 - self.dense @ self.x.astype(np.float32)
            broken = np.flatnonzero(lack > _SLACK)
            broken = np.setdiff1d(broken[np.argsort(-lack[broken], kind="stable")[:_FIRST]], self.active)
            if not len(broken):
                break
            self._add(broken)
        dual = np.array(solution.row_dual)
        used = np.flatnonzero((dual > 0) & np.isin(self.active, rows))
        block = self.covers[np.ix_(self.active[used], columns)].T.astype(np.int64)
        units = np.floor(np.minimum(dual[used], 1.0) * _UNIT).astype(np.int64)
        while (load := int((block @ units).max(initial=0))) > _UNIT:
            units = np.maximum(units * _UNIT // load - 1, 0)
        return self.active[used], units.tolist()

    def _add(self, rows: NDArray[np.int64]) -> None:
        block, many = self.covers[rows], len(rows)
        starts = np.concatenate([[0], np.cumsum(block.sum(axis=1))])[:-1].astype(np.int32)
        entries = block.nonzero()[1].astype(np.int32)
        above = np.full(many, highspy.kHighsInf)
        self.solver.addRows(many, np.ones(many), above, len(entries), starts, entries, np.ones(len(entries)))
        self.active = np.concatenate([self.active, rows])


def _rows(kind: str, content: Any) -> list[int]:
    return [j for j, _ in content] if kind == "packing" else [content] if kind == "uncovered" else []


def _leaf(rows: NDArray[np.int64], shares: list[int]) -> list[Any]:
    return ["packing", [[int(j), f"{share}/{_UNIT}"] for j, share in zip(rows, shares, strict=True) if share]]


def _distinct(matrix: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First occurrences of distinct rows in order of their bits, and which of them each row is."""
    packed = np.ascontiguousarray(np.packbits(matrix, axis=1))
    _, first, group = np.unique(packed.view(f"V{packed.shape[1]}")[:, 0], return_index=True, return_inverse=True)
    return first, group
