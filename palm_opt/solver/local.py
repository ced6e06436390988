"""Incumbents by local search on the witness weights, with rows for what the search overlooked (docs/theory.md, L2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palm_opt import _core
from palm_opt.solver.cover import Pool, Witnesses

__all__ = ["LocalSearch"]

_FREE = 1e-9  # cost of a free candidate in the search, as a share of the largest cost


def bit_matrix(matrix: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Rows of booleans as rows of 64-bit words, bit b of word a being entry 64 a + b."""
    packed = np.packbits(matrix, axis=1, bitorder="little")
    words = np.zeros((matrix.shape[0], -(-matrix.shape[1] // 64) * 8), dtype=np.uint8)
    words[:, : packed.shape[1]] = packed
    return words.view(np.uint64)


@dataclass
class LocalSearch:
    """Row-weighting local search for covers of the current rows that cost at most a budget; keeps its state."""

    pool: Pool
    witnesses: Witnesses
    seed: int

    def __post_init__(self) -> None:
        columns = self.pool.columns
        self.costs = np.maximum(self.pool.values.costs[columns], _FREE * max(1.0, float(self.pool.values.costs.max())))
        self.fixed = np.isin(columns, self.pool.required).astype(np.uint8)
        self.chosen = self.fixed.copy()
        self.weight = np.ones(0, dtype=np.int64)
        self._by_row = np.zeros((0, -(-len(columns) // 64)), dtype=np.uint64)
        self._by_column = np.zeros((len(columns), 0), dtype=np.uint64)
        self.random = np.array([self.seed + 1], dtype=np.uint64)
        self.steps = 0

    def start(self, members: tuple[int, ...]) -> None:
        """Go on from a portfolio."""
        self.chosen = np.maximum(np.isin(self.pool.columns, members), self.fixed).astype(np.uint8)

    def run(self, budget: float, steps: int) -> tuple[int, ...] | None:
        """A cover of all current rows that costs at most `budget`, or None after so many steps."""
        have = len(self.weight)
        if have < len(self.witnesses):
            fresh = max(1, int(self.weight.mean())) if have else 1
            self.weight = np.concatenate([self.weight, np.full(len(self.witnesses) - have, fresh, dtype=np.int64)])
            matrix = self.witnesses.coverage(self.pool.columns)
            whole = have // 64  # words of rows that are full
            self._by_row = np.concatenate([self._by_row, bit_matrix(matrix[have:])])
            self._by_column = np.hstack([self._by_column[:, :whole], bit_matrix(matrix[64 * whole :].T)])
        done, uncovered = _core.local(
            self._by_row, self._by_column, self.costs, self.fixed, self.chosen, self.weight, self.random, budget, steps
        )
        self.steps += done
        if uncovered or float(self.costs @ self.chosen) > budget * (1 + 1e-12):
            return None
        return tuple(self.pool.columns[self.chosen.astype(bool)].tolist())

    def forget(self, moved: NDArray[np.int64]) -> None:
        """Follow `Witnesses.keep`."""
        kept = np.flatnonzero(moved[: len(self.weight)] >= 0)
        self.weight, self._by_row = self.weight[kept], self._by_row[kept]
        matrix = self.witnesses.coverage(self.pool.columns)[: len(kept)]
        self._by_column = bit_matrix(matrix.T)
