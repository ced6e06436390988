"""The master cover model as free-format MPS, for anyone's exact solver (docs/theory.md, L2).

One binary column a candidate worth selecting, one row a witness weight: at least one chosen candidate covers it. Its
optimum is a lower bound on the cost of a portfolio; with the weights of a certificate of status OPTIMAL it is the cost
itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt import certificate as checker
from palm_opt.cover import Cover, Pool, Witnesses
from palm_opt.errors import ProblemError
from palm_opt.exact import Weight, integer_weight
from palm_opt.simplex import start
from palm_opt.values import ValueMatrix

__all__ = ["certificate_weights", "master", "mps", "read_weights"]

_LONGEST = 200  #: letters of a column's name: some readers refuse names of 256 and lines of 1,024


def master(pool: Pool, weights: NDArray[np.float64] | Sequence[Weight] | None = None, seed: int = 0) -> Cover:
    """The cover of given witness weights, by default of the starting set of row generation.

    Parameters
    ----------
    weights : (m, d) numbers >= 0, no row all zero (a weight is divided by its sum), or exact integer tuples.

    Returns
    -------
    Cover : its columns are the rows `pool.columns` of the values.
    """
    points: Iterable[Any] = start(np.random.default_rng(seed), pool.values.d) if weights is None else weights
    rows = Witnesses(pool)
    rows.add([point if isinstance(point, tuple) else integer_weight(point.tolist()) for point in points])
    fixed = tuple(int(np.searchsorted(pool.columns, i)) for i in pool.required)
    return Cover(rows.coverage(pool.columns), pool.values.costs[pool.columns], fixed)


def mps(cover: Cover, names: Sequence[str], title: str = "palm_opt", comments: Iterable[str] = ()) -> str:
    """A cover as the text of a free-format MPS file.

    Objective `cost`, to be minimised; rows w1, w2, ...; a column is named x_ and the candidate's name, in which
    characters other than letters, digits and _ . + - become _, with its number behind it where that is not unique.
    Costs are written so that they read back exactly. Required candidates are fixed at 1.
    """
    return "\n".join(_lines(cover, _safe(names), re.sub(r"\s", "_", title), comments)) + "\n"


def _lines(cover: Cover, names: Sequence[str], title: str, comments: Iterable[str]) -> Iterator[str]:
    yield from (f"* {' '.join(text.split())}" for text in comments)
    yield f"NAME {title}"
    yield "ROWS"
    yield " N cost"
    yield from (f" G w{row + 1}" for row in range(len(cover.matrix)))
    yield "COLUMNS"
    yield " MARKER 'MARKER' 'INTORG'"
    for j, name in enumerate(names):
        yield f" {name} cost {float(cover.costs[j])!r}"
        yield from (f" {name} w{row + 1} 1" for row in np.flatnonzero(cover.matrix[:, j]).tolist())
    yield " MARKER 'MARKER' 'INTEND'"
    yield "RHS"
    yield from (f" RHS w{row + 1} 1" for row in range(len(cover.matrix)))
    yield "BOUNDS"
    fixed = set(cover.fixed)
    yield from (f" FX BOUND {name} 1" if j in fixed else f" BV BOUND {name}" for j, name in enumerate(names))
    yield "ENDATA"


def _safe(names: Sequence[str]) -> list[str]:
    """Distinct names without blanks."""
    plain = [re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[:_LONGEST] for name in names]
    taken: set[str] = set()
    result = []
    for j, name in enumerate(plain):
        own = f"x_{name}"
        while own in taken:
            own = f"{own}_{j}"
        taken.add(own)
        result.append(own)
    return result


def read_weights(path: str | Path, values: ValueMatrix) -> NDArray[np.float64]:
    """Weights from a CSV file with one column a reward (a leading "-" of the reward's name left out)."""
    plain = [name.removeprefix("-") for name in values.rewards]
    weights = ValueMatrix.read(path, rewards=plain).raw
    for i in np.flatnonzero((weights < 0).any(axis=1) | ~weights.any(axis=1))[:1]:
        raise ProblemError(f"{path}: weight {i} is {weights[i].tolist()}, expected numbers >= 0, not all 0")
    return weights


def certificate_weights(document: checker.Document) -> list[Weight]:
    """The weights on which a certificate's lower bound rests; none where it claims no bound."""
    proof = document.get("packing") or document.get("branching") or {"weights": []}
    return [tuple(weight) for weight in proof["weights"]]
