"""Proofs of quality (docs/theory.md, L1) and the certificate that carries them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt._version import __version__
from palm_opt.preferences.simplex import snap
from palm_opt.result import Certificate
from palm_opt.solver.cover import DOUBT, TINY, Pool
from palm_opt.solver.exact import Weight
from palm_opt.solver.packing import SizeProof
from palm_opt.solver.run import Run
from palm_opt.solver.separation import Separation, separate
from palm_opt.tables import scales

__all__ = ["Quality", "assemble", "at_least", "at_most", "check_quality", "games", "prove_quality"]

_GRAINS = (2**20, 2**36, 2**52)  # multipliers are rounded to these, coarse first: short certificates
_CELLS = 1 << 22  # products held at a time
_WORST = 64  # games looked at for the worst regret


@dataclass(frozen=True)
class Quality:
    """Whether a portfolio keeps the promise at every weight.

    kept : whether it does; where floats are in doubt this was decided in rationals.
    violated : weights at which it does not: floats (m, d), or exact ones where floats cannot tell.
    regret, weight : the worst regret found, as floats.
    games : matrix games solved; pivots of them; exact : those solved in rationals.
    found : the games of the undominated candidates.
    """

    kept: bool
    violated: NDArray[np.float64] | list[Weight]
    regret: float
    weight: NDArray[np.float64]
    games: int
    pivots: int
    exact: int
    found: Separation | None = None


def games(pool: Pool, members: Sequence[int], run: Run) -> Separation:
    """The games of all undominated candidates against a portfolio."""
    targets = pool.values.array[pool.front]
    return separate((1 - pool.epsilon) * targets, pool.values.array[list(members)], run.settings.threads, run.pause)


def check_quality(pool: Pool, members: Sequence[int], run: Run, limit: int = 200) -> Quality:
    """Whether `members` keep the promise of the pool; if not, up to `limit` weights at which they do not."""
    found, place = games(pool, members, run), {i: p for p, i in enumerate(members)}
    order = np.argsort(-found.regret, kind="stable")
    attained, _ = _attained(pool, members, found, order[:_WORST])
    regret, weight = float(attained.max()) + 0.0, found.weights[order[int(attained.argmax())]]
    over = order[(found.regret > pool.delta)[order]]
    bad = over[at_least(pool, members, found, over) > pool.delta * (1 + DOUBT)]
    if len(bad):
        violated = _spread(found.weights[bad[: 20 * limit]], limit)
        return Quality(False, violated, regret, weight, len(pool.front), found.pivots, 0)
    sure = at_most(pool, members, found) < pool.delta * (1 - DOUBT)
    exact = 0
    for row in order[~sure[order]].tolist():
        run.pause()
        i = int(pool.front[row])
        own = {place[i]: 1} if i in place else None
        if not (own and pool.exact.proves(i, members, own)) and _round(pool, i, members, found, row) is None:
            exact += 1
            value, point, _ = pool.exact.game(i, members)
            if value > pool.exact.delta:
                return Quality(False, [point], regret, weight, len(pool.front), found.pivots, exact)
            if float(value) > regret:
                regret, weight = float(value), np.array([w / sum(point) for w in point])
    return Quality(True, [], min(regret, pool.delta), weight, len(pool.front), found.pivots, exact, found)


def _attained(
    pool: Pool, members: Sequence[int], found: Separation, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The regret of some undominated rows at the weights found for them, and how far it is in doubt."""
    array, weights, front = pool.values.array, found.weights[rows], pool.front[rows]
    served = array[list(members)].T
    best = np.empty(len(front))
    step = max(1, _CELLS // len(members))
    for first in range(0, len(front), step):
        best[first : first + step] = (weights[first : first + step] @ served).max(axis=1)
    own = (1 - pool.epsilon) * np.einsum("ik,ik->i", weights, array[front])
    return own - best, DOUBT * 2 * (weights @ np.abs(array).max(axis=0)) + TINY


def at_least(pool: Pool, members: Sequence[int], found: Separation, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """What the regret of the games of some undominated rows is at least: it is attained at the weights found."""
    regret, doubt = _attained(pool, members, found, rows)
    low: NDArray[np.float64] = regret - doubt
    return low


def at_most(pool: Pool, members: Sequence[int], found: Separation) -> NDArray[np.float64]:
    """What the regret of the games of all undominated rows is at most: the multipliers found prove it."""
    array, share = pool.values.array, np.where(found.position >= 0, np.maximum(found.multiplier, 0.0), 0.0)
    share = share / share.sum(axis=1, keepdims=True)
    mixed = np.einsum("is,isk->ik", share, array[np.array(members)[found.position]])
    above = (1 - pool.epsilon) * array[pool.front] - mixed + DOUBT * 2 * np.abs(array).max(axis=0)
    high: NDArray[np.float64] = above.max(axis=1) + TINY
    return high


def prove_quality(pool: Pool, members: Sequence[int], quality: Quality, run: Run) -> list[list[int]]:
    """The rows `multipliers` of the certificate of members that keep the promise of the pool."""
    place = {i: p for p, i in enumerate(members)}
    proved = {
        i: [i, place[i], 1] for i in pool.front.tolist() if i in place and pool.exact.proves(i, members, {place[i]: 1})
    }
    found = quality.found or games(pool, members, run)
    for row, (i, mixture) in enumerate(zip(pool.front.tolist(), _plain(pool, members, found), strict=True)):
        if i not in proved:
            if mixture is None:
                run.pause()
                exact = _round(pool, i, members, found, row) or pool.exact.game(i, members)[2]
                divisor = math.gcd(*exact.values())
                mixture = [x for j, share in sorted(exact.items()) for x in (j, share // divisor)]
            proved[i] = [i, *mixture]
    return [proved[i] for i in pool.front.tolist()]


def _plain(pool: Pool, members: Sequence[int], found: Separation) -> list[list[int] | None]:
    """Positions and shares on the coarsest grid where these serve a candidate beyond doubt; None for the others."""
    values = pool.values.array
    units = np.rint(found.multiplier * _GRAINS[0]).astype(np.int64) * (found.position >= 0)
    shares = units / np.maximum(units.sum(axis=1), 1)[:, None]
    mixed = np.einsum("rj,rjk->rk", shares, values[list(members)][found.position])
    doubt = DOUBT * (2 * np.abs(values).max(axis=0) + pool.delta) + TINY
    clear = (mixed - (1 - pool.epsilon) * values[pool.front] + pool.delta > doubt).all(axis=1) & units.any(axis=1)
    order = np.argsort(np.where(units > 0, found.position, len(members)), axis=1)
    pairs = np.stack([found.position, units // np.maximum(np.gcd.reduce(units, axis=1), 1)[:, None]], axis=2)
    lines = np.take_along_axis(pairs, order[:, :, None], axis=1).reshape(len(order), -1).tolist()
    used = 2 * (units > 0).sum(axis=1)
    return [
        line[:count] if sure else None for line, count, sure in zip(lines, used.tolist(), clear.tolist(), strict=True)
    ]


def _round(pool: Pool, i: int, members: Sequence[int], found: Separation, row: int) -> dict[int, int] | None:
    """Integer multipliers for candidate i from the float solution, or None if rounding breaks the promise."""
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
    return Certificate(
        {
            "format": "palm_opt certificate",
            "version": 2,
            "kind": "exact",
            "sha256": values.sha256,
            "subject": values.subject(),
            "scale": scales.written(values.scale),
            "objective": objective,
            "epsilon": repr(pool.epsilon),
            "delta": repr(pool.delta),
            "required": [values.names[i] for i in pool.required],
            "forbidden": [values.names[i] for i in sorted(pool.forbidden)],
            "members": [values.names[i] for i in members],
            "dominators": pool.dominator.tolist() if members else [],
            "multipliers": multipliers,
            **bound,
            "producer": {"name": "palm_opt", "version": __version__},
        }
    )
