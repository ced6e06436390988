"""The certificate of kind conditional: all corners of the members' envelope, and who can do with fewer (L5, L6)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.search.bounds import OuterBound
from palm_opt.search.envelope import GRID_BITS, Envelope, exact_corner
from palm_opt.search.size import fewer_are_too_few
from palm_opt.solver.exact import integer_weight
from palm_opt.tables.decimals import rational

__all__ = ["answered_part", "corner_part"]

DENOMINATOR = 2**53
_TIGHT = 1 - 2.0**-36  #: multipliers are scaled by it, so that they never exceed the weight
_INWARD = 2.0**-24  #: vertices of the outer bound are moved inwards by this share


def corner_part(envelope: Envelope, bounds: OuterBound, weights: NDArray[np.float64]) -> dict[str, Any]:
    """The keys `points`, `exponent`, `denominator` and `corners` of a certificate.

    Parameters
    ----------
    envelope : of the members, whose positions are its policies.
    weights : (n, d) the weight of each answer, as the file has it; NaN rows where there is none.
    """
    envelope.solve(bounds.outer)
    alive = envelope.alive()
    active, basis = (envelope.corners.arrays[name][alive] for name in ("active", "basis"))
    pairs = _multipliers(_corner_weights(envelope, active), basis, bounds, weights)
    rows = [[*codes, *shares] for codes, shares in zip(active.tolist(), pairs, strict=True)]
    lowest = int(envelope.exponents.min())
    shifts = (envelope.exponents - lowest).tolist()
    points = [[a << shift for a, shift in zip(point, shifts, strict=True)] for point in envelope.integers]
    return {
        "exponent": lowest - GRID_BITS,
        "points": points,
        "denominator": DENOMINATOR,
        "corners": sorted(rows),
    }


def _corner_weights(envelope: Envelope, active: NDArray[np.int32]) -> NDArray[np.float64]:
    """Scaled weights, shape (n, d) with sum 1, of corners, each entry right to a relative 2^-38 or so.

    Solved in floats and refined; in integers where refinement still moves them.
    """
    n, d = active.shape
    facet = active < d
    first = envelope.points[active[np.arange(n), facet.sum(axis=1)] - d]
    system = envelope.points[np.where(facet, 0, active - d)] - first[:, None]
    system[facet] = np.eye(d)[active[facet]]
    right = np.zeros((n, d))
    system[np.arange(n), facet.sum(axis=1)], right[np.arange(n), facet.sum(axis=1)] = 1.0, 1.0
    system = np.ldexp(system, -np.frexp(np.abs(system).max(axis=2))[1][..., None])
    right = np.where(right > 0, 0.5, 0.0)  # as their rows: 1 is 0.5 * 2^1
    try:
        inverse = np.linalg.inv(system)
    except np.linalg.LinAlgError:
        inverse = np.full_like(system, np.nan)
    weight = (inverse @ right[..., None])[..., 0]
    for _ in range(3):
        left = right - (system.astype(np.longdouble) * weight[:, None]).sum(axis=2)
        moved = (inverse @ left.astype(np.float64)[..., None])[..., 0]
        weight = weight + moved
    zero = np.zeros((n, d), dtype=bool)
    zero[np.nonzero(facet)[0], active[facet]] = True
    weight[zero] = 0.0
    sure = (zero | (np.abs(moved) < 2.0**-40 * weight)).all(axis=1)
    for i in np.flatnonzero(~sure):
        exact, _ = exact_corner(active[i].tolist(), envelope.integers)
        weight[i] = [float(Fraction(x, sum(exact))) for x in exact]
    return weight


def _multipliers(
    scaled: NDArray[np.float64], basis: NDArray[np.int32], bounds: OuterBound, weights: NDArray[np.float64]
) -> list[list[int]]:
    """For each corner pairs (answer, integer): multipliers whose mixture is below its weight by a hair, everywhere."""
    columns = bounds.outer.column[:, basis].transpose(1, 0, 2)
    share = np.linalg.solve(columns, scaled[..., None])[..., 0]
    answers = np.array(bounds.answers)[basis]
    size = np.array(bounds.sizes)[basis]
    true = scaled / bounds.scale
    asked = np.where(np.isnan(weights), 0.0, weights)[answers]  # (n, d, d): of each column of the basis
    used = (share > 0) & (answers >= 0)
    if bounds.floor is None:  # only rounding gives a multiplier to an answer that weighs what the corner does not
        used &= ~((asked > 0) & (true == 0)[:, None]).any(axis=2)
    mu = np.where(used, share / size, 0.0) / true.sum(axis=1)[:, None]
    true /= true.sum(axis=1)[:, None]
    if bounds.floor is None:
        mixed = (mu[..., None] * asked).sum(axis=1)
        room = np.divide(true, mixed, out=np.ones_like(true), where=mixed > 0)
        mu *= (np.minimum(1.0, room.min(axis=1)) * _TIGHT)[:, None]
    whole = np.floor(mu * DENOMINATOR).astype(np.int64)
    order = np.argsort(answers, axis=1)
    rows = zip(*(np.take_along_axis(table, order, axis=1).tolist() for table in (answers, whole)), strict=True)
    return [[x for pair in zip(*row, strict=True) if pair[1] > 0 for x in pair] for row in rows]


def answered_part(
    values: NDArray[np.float64],
    rows: NDArray[np.float64],
    asked: NDArray[np.float64],
    limits: NDArray[np.float64],
    bounds: OuterBound,
    epsilon: float,
    delta: float,
    exponent: int,
    target: int,
) -> dict[str, Any] | None:
    """The key `answered`: a proof that no fewer than `target` answers (or what can be proved) keep the promise.

    Parameters
    ----------
    values : (n, d) all answers; rows : (r, d) weights; asked, limits : (m, d), (m,) the half-spaces of the questions.
    """
    inner = values.mean(axis=0)
    unit = Fraction(2) ** exponent
    least = None if bounds.floor is None else [math.ceil(rational(x) / unit) for x in bounds.floor]
    points, integers = [], []
    for weight in rows:
        vertex = bounds.solve(weight).vertex
        vertex = vertex + _INWARD * (inner - vertex)
        over = float(((asked @ vertex - limits) / asked.sum(axis=1)).max())
        point = [math.floor(math.ldexp(x, -exponent)) for x in (vertex - max(0.0, over)).tolist()]
        points.append(point if least is None else [max(pair) for pair in zip(point, least, strict=True)])
        integers.append(integer_weight(weight.tolist()))
    heights = [
        sum(w * a for w, a in zip(weight, point, strict=True)) for weight, point in zip(integers, points, strict=True)
    ]
    exact = np.array([math.ldexp(h / sum(w), exponent) for h, w in zip(heights, integers, strict=True)])
    needed = (1 - epsilon) * exact - delta
    size = rows @ np.abs(values).max(axis=0) + delta
    covers = rows @ values.T >= (needed - 1e-12 * size)[:, None]  # where rounding leaves it open it counts as covered
    proof = fewer_are_too_few(covers, target)
    if proof is None:
        return None
    bound, used, nodes = proof
    return {
        "lower_bound": str(bound),
        "weights": [list(integers[j]) for j in used],
        "points": [points[j] for j in used],
        "nodes": nodes,
    }
