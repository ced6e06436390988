"""The master cover model for other tools: as a CP-SAT or CVXPY model, or as free-format MPS (docs/theory.md, L2).

One binary column a candidate worth selecting, one row a witness weight: at least one chosen candidate covers it. Its
optimum is a lower bound on the cost of a portfolio; with the weights of a certificate of status OPTIMAL it is the cost
itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from palm_opt import checker
from palm_opt.arguments import integer
from palm_opt.errors import BackendNotFound, ProblemError
from palm_opt.preferences.simplex import start
from palm_opt.solver.cover import Cover, Pool, Witnesses
from palm_opt.solver.exact import Weight, integer_weight
from palm_opt.tables.decimals import rational
from palm_opt.tables.values import ValueMatrix

__all__ = ["certificate_weights", "formulate", "master", "mps"]

_LONGEST = 200  #: letters of a column's name: some readers refuse names of 256 and lines of 1,024


def formulate(
    values: ValueMatrix | ArrayLike,
    library: str = "cpsat",
    *,
    epsilon: float = 0.0,
    delta: float = 0.02,
    require: Iterable[str | int] = (),
    forbid: Iterable[str | int] = (),
    weights: ArrayLike | None = None,
    seed: int = 0,
) -> Any:
    """The master cover model over witness weights, for other tools to extend.

    Its optimum is a lower bound on the size of a portfolio until `regret` finds no violated weight.

    Parameters
    ----------
    library : "cpsat" (an ortools CpModel) or "cvxpy" (a cvxpy Problem).
    weights : (m, d) witness weights; by default the starting set of row generation.

    Returns
    -------
    The model. Variable x[name] of each candidate worth selecting says whether it is a member.
    """
    from palm_opt.solver.backends import cpsat, cvxpy

    makers: dict[str, Any] = {"cpsat": cpsat.model, "cvxpy": cvxpy.model}
    if not isinstance(library, str) or library not in makers:
        raise BackendNotFound(f"formulate: no library {library!r}; it knows {', '.join(makers)}")
    pool = Pool(values, epsilon, delta, require, forbid)
    cover = master(pool, weights, integer("seed", seed))
    return makers[library](cover, [pool.values.names[i] for i in pool.columns])[0]


def master(pool: Pool, weights: ArrayLike | None = None, seed: int = 0, exact: Sequence[Weight] | None = None) -> Cover:
    """The cover of given witness weights, by default of the starting set of row generation.

    Parameters
    ----------
    weights : (m, d) numbers >= 0, no row all zero (a weight is divided by its sum).
    exact : exact weights, in their stead.

    Returns
    -------
    Cover : its columns are the rows `pool.columns` of the values.
    """
    rows = Witnesses(pool)
    rows.add(_witnesses(pool.values.d, weights, seed) if exact is None else list(exact))
    fixed = tuple(int(np.searchsorted(pool.columns, i)) for i in pool.required)
    return Cover(rows.coverage(pool.columns), pool.values.costs[pool.columns], fixed)


def _witnesses(d: int, weights: ArrayLike | None, seed: int) -> list[Weight]:
    if weights is None:
        return list(map(integer_weight, start(np.random.default_rng(seed), d).tolist()))
    points = np.atleast_2d(np.asarray(weights))
    if points.shape[1] != d or not (np.isfinite(points).all() and (points >= 0).all() and points.any(1).all()):
        raise ProblemError(f"weights: expected shape (m, {d}), entries >= 0, no row all zero")
    return [integer_weight(list(map(rational, point))) for point in points.tolist()]


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


def certificate_weights(document: checker.Document) -> list[Weight]:
    """The weights on which a certificate's lower bound rests; none where it claims no bound."""
    proof = document.get("packing") or document.get("branching") or {"weights": []}
    return [tuple(weight) for weight in proof["weights"]]
