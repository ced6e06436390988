"""Weights from a file, an array, or whatever has `.weights`: one row a weight, one column a reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.errors import ProblemError
from palm_opt.tables.grammar import array
from palm_opt.tables.opening import open_table
from palm_opt.tables.reading import File, Format, Gaps

__all__ = ["read_weights"]


def read_weights(source: Any, rewards: Sequence[str], normalise: bool = True) -> NDArray[np.float64]:
    """Weights as (k, d): numbers >= 0, not all 0 in a row, divided by their sum if it is not 1 to rounding.

    source : an array, something with `.weights`, or a table with one column a reward (a leading "-" of the reward's
        name left out).
    """
    where, place = "weights", None
    if isinstance(source, (str, Path)):
        table = open_table(File.find(source, "csv"), Format())
        where, columns = table.source, [table.find("rewards", name.removeprefix("-")) for name in rewards]
        gaps = Gaps(where)
        found = table.collect({}, columns, gaps)
        gaps.refuse()
        weights, place = found.numbers, found.place
    else:
        given = array(where, getattr(source, "weights", source), f"an array of shape (k, {len(rewards)})")
        weights = np.array(given, dtype=np.float64, ndmin=2)
    if weights.ndim != 2 or weights.shape[1] != len(rewards) or not len(weights):
        raise ProblemError(f"{where}: expected shape (k, {len(rewards)}), one column a reward, got {weights.shape}")
    for i in np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)).all(axis=1) | ~weights.any(axis=1))[:1].tolist():
        at = where if place is None else place(i)
        raise ProblemError(f"{at}: weight {i} is {weights[i].tolist()}, expected numbers >= 0, not all 0")
    with np.errstate(over="ignore"):
        total = weights.sum(axis=1, keepdims=True)
    for i in np.flatnonzero(np.isinf(total))[:1].tolist():
        raise ProblemError(f"{where}, row {i}: too large to be summed")
    return np.where(normalise & (np.abs(total - 1) > 1e-12), weights / total, weights) + 0.0
