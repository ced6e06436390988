"""The certificate of kind conditional: all corners of the members' envelope, and who can do with fewer (L5, L6)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.exact import integer_weight
from palm_opt.search.bounds import OuterBound
from palm_opt.search.envelope import GRID_BITS, Envelope, exact_corner
from palm_opt.search.size import fewer_are_too_few

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
    d, corners = len(envelope.scale), envelope.corners
    alive = envelope.alive()
    scaled, radius, active = (corners.arrays[name][alive] for name in ("weight", "radius", "active"))
    rows = []
    for w, doubt, codes in zip(scaled, radius, active.tolist(), strict=True):
        support = w > 0
        if support.sum() + sum(code < d for code in codes) < d or doubt > 2.0**-44 * w[support].min():
            exact, _ = exact_corner(codes, envelope.integers)
            top = sum(exact)
            w = np.array([float(Fraction(x, top)) for x in exact])
        true = w / envelope.scale
        true /= true.sum()
        pairs = _multipliers(true, bounds, weights)
        rows.append([*codes, *(x for pair in pairs for x in pair)])
    lowest = int(envelope.exponents.min())
    shifts = (envelope.exponents - lowest).tolist()
    points = [[a << shift for a, shift in zip(point, shifts, strict=True)] for point in envelope.integers]
    return {
        "exponent": lowest - GRID_BITS,
        "points": points,
        "denominator": DENOMINATOR,
        "corners": sorted(rows),
    }


def _multipliers(
    weight: NDArray[np.float64], bounds: OuterBound, weights: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Pairs (answer, integer): multipliers whose mixture is below the weight by a hair, in every reward."""
    found = [
        (j, mu)
        for j, mu in bounds.solve(weight).multipliers
        if bounds.floor is not None or not _leaves(weights[j], weight)
    ]
    mixed = sum((mu * weights[j] for j, mu in found), np.zeros(len(weight)))
    used = mixed > 0
    factor = min(1.0, float((weight[used] / mixed[used]).min())) * _TIGHT if bounds.floor is None and found else 1.0
    pairs = [(j, math.floor(mu * factor * DENOMINATOR)) for j, mu in found]
    return sorted((j, m) for j, m in pairs if m > 0)


def _leaves(asked: NDArray[np.float64], weight: NDArray[np.float64]) -> bool:
    """Whether an answer weighs a reward that the weight does not: only rounding gave it a multiplier."""
    return bool((asked[weight == 0] > 0).any())


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
    least = None if bounds.floor is None else [math.ceil(Fraction(x) / Fraction(2) ** exponent) for x in bounds.floor]
    points, integers = [], []
    for weight in rows:
        vertex = bounds.solve(weight).vertex
        vertex = vertex + _INWARD * (inner - vertex)
        over = float(((asked @ vertex - limits) / asked.sum(axis=1)).max())
        point = [math.floor(Fraction(x) / Fraction(2) ** exponent) for x in (vertex - max(0.0, over)).tolist()]
        points.append(point if least is None else [max(pair) for pair in zip(point, least, strict=True)])
        integers.append(integer_weight(weight.tolist()))
    heights = [
        sum(w * a for w, a in zip(weight, point, strict=True)) for weight, point in zip(integers, points, strict=True)
    ]
    exact = np.array(
        [float(Fraction(h, sum(w)) * Fraction(2) ** exponent) for h, w in zip(heights, integers, strict=True)]
    )
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
