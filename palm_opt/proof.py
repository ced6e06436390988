"""Proofs of quality (docs/theory.md, L1) and the certificate that carries them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt._version import __version__
from palm_opt.bounds import SizeProof
from palm_opt.cover import DOUBT, Pool
from palm_opt.exact import Weight
from palm_opt.result import Certificate
from palm_opt.separation import Separation, separate
from palm_opt.simplex import snap

__all__ = ["Quality", "assemble", "ceil_float", "check_quality", "everything", "games"]

_GRAINS = (2**20, 2**36, 2**52)  # multipliers are rounded to these, coarse first: short certificates


@dataclass(frozen=True)
class Quality:
    """Whether a portfolio keeps the promise at every weight.

    multipliers : rows of the certificate, if it does; else None.
    violated : weights at which it does not: floats (m, d), or exact ones where floats cannot tell.
    regret, weight : the worst regret found, as floats.
    games : matrix games solved; pivots of them; exact : those solved in rationals.
    """

    multipliers: list[list[int]] | None
    violated: NDArray[np.float64] | list[Weight]
    regret: float
    weight: NDArray[np.float64]
    games: int
    pivots: int
    exact: int


def games(pool: Pool, members: Sequence[int], threads: int = 0) -> Separation:
    """The games of all undominated candidates against a portfolio."""
    front = pool.values.array[pool.front]
    return separate((1 - pool.epsilon) * front, pool.values.array[list(members)], threads)


def check_quality(pool: Pool, members: Sequence[int], threads: int = 0, limit: int = 200) -> Quality:
    """Prove that `members` keep the promise of the pool, or find up to `limit` weights at which they do not."""
    found = games(pool, members, threads)
    worst = int(found.regret.argmax())
    facts = (float(found.regret[worst]), found.weights[worst], len(pool.front), found.pivots)
    doubt = DOUBT * (2 * found.weights @ np.abs(pool.values.array).max(axis=0) + pool.delta)
    order = np.argsort(-found.regret, kind="stable")
    bad = order[(found.regret > pool.delta + doubt)[order]]
    if len(bad):
        return Quality(None, _spread(found.weights[bad], limit), *facts, 0)
    multipliers, exact = [], 0
    place = {i: k for k, i in enumerate(members)}
    for row, i in enumerate(pool.front.tolist()):
        mixture = _round(pool, i, members, found, row, place)
        if mixture is None:
            exact += 1
            value, weight, mixture = pool.exact.game(i, members)
            if value > pool.exact.delta:
                return Quality(None, [weight], *facts, exact)
        divisor = math.gcd(*mixture.values())
        multipliers.append([i, *(x for j, share in sorted(mixture.items()) for x in (j, share // divisor))])
    return Quality(multipliers, [], *facts, exact)


def everything(pool: Pool) -> tuple[tuple[int, ...], Quality] | None:
    """All columns as a portfolio, if each undominated candidate is among them and serves itself."""
    members = tuple(pool.columns.tolist())
    place = {i: k for k, i in enumerate(members)}
    front = pool.front.tolist()
    if not all(i in place and pool.exact.proves(i, members, {place[i]: 1}) for i in front):
        return None
    lowest = separate(np.zeros((1, pool.values.d)), pool.values.array[pool.front], 1)  # max over w of -OPT(w)
    return members, Quality(
        [[i, place[i], 1] for i in front],
        [],
        pool.epsilon * float(lowest.regret[0]),
        lowest.weights[0],
        1,
        lowest.pivots,
        0,
    )


def _round(
    pool: Pool, i: int, members: Sequence[int], found: Separation, row: int, place: dict[int, int]
) -> dict[int, int] | None:
    """Integer multipliers for candidate i from the float solution, or None if rounding breaks the promise."""
    if i in place and pool.exact.proves(i, members, {place[i]: 1}):
        return {place[i]: 1}
    used = found.position[row] >= 0
    positions, shares = found.position[row][used].tolist(), found.multiplier[row][used]
    for grain in _GRAINS:
        units = np.rint(shares * grain).astype(np.int64).tolist()
        mixture = {j: share for j, share in zip(positions, units, strict=True) if share > 0}
        if mixture and pool.exact.proves(i, members, mixture):
            return mixture
    return None


def _spread(weights: NDArray[np.float64], limit: int) -> NDArray[np.float64]:
    """The first `limit` distinct weights, snapped to the exact grid."""
    _, first = np.unique(np.round(weights, 7), axis=0, return_index=True)
    return snap(weights[np.sort(first)[:limit]])


def ceil_float(number: Fraction) -> float:
    """The least float that is at least `number`."""
    nearest = float(number)
    return nearest if Fraction(nearest) >= number else math.nextafter(nearest, math.inf)


def assemble(
    pool: Pool,
    members: Sequence[int],
    multipliers: list[list[int]],
    size: SizeProof | None = None,
    objective: str = "reward",
) -> Certificate:
    """The certificate of docs/certificate-format.md; empty `members` for a proof of infeasibility."""
    values = pool.values
    bound: dict[str, Any] = {"lower_bound": "0"} if size is None else size.document()
    scale: Any = values.scale
    if not isinstance(scale, str):
        scale = [[float(low).hex(), float(high).hex()] for low, high in scale]
    return Certificate(
        {
            "format": "palm_opt certificate",
            "version": 1,
            "kind": "exact",
            "sha256": values.sha256,
            "subject": values.subject(),
            "scale": scale,
            "objective": objective,
            "epsilon": pool.epsilon.hex(),
            "delta": pool.delta.hex(),
            "required": [values.names[i] for i in pool.required],
            "forbidden": [values.names[i] for i in sorted(pool.forbidden)],
            "members": [values.names[i] for i in members],
            "dominators": pool.dominator.tolist() if members else [],
            "multipliers": multipliers,
            **bound,
            "producer": {"name": "palm_opt", "version": __version__},
        }
    )
