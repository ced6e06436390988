"""Multipliers (docs/theory.md, L1) that leave the most slack when values are noisy means (L10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palm_opt.solver.separation import separate

__all__ = ["Noisy", "hedged", "rounded"]

Array = NDArray[np.float64]

_STEPS = 300  # of mirror descent
_GRAIN = 1 << 16  # multipliers are integers over about this
_LEAST = 1e-3  # multipliers below are dropped


@dataclass(frozen=True)
class Noisy:
    """Multipliers chosen on a sample, and the regret that they let one expect there.

    shares : (n, m) rows >= 0 with sum 1 over the members.
    expected : (n,) greatest over rewards of minus the mean difference plus the price of noise.
    """

    shares: Array
    expected: Array


def hedged(sample: Array, members: Sequence[int], keep: float, price: float) -> Noisy:
    """Multipliers of every candidate against the members, with noise in view.

    For candidate i they minimise, over lambda >= 0 with sum 1, the greatest over rewards k of

        keep * mean r_ik - sum_p lambda_p mean r_pk + price * sd of (sum_p lambda_p r_pk - keep * r_ik):

    a mixture of members that serves i a little worse on average may serve it with less noise. Entropic mirror descent
    on a smoothed maximum, started from the multipliers of L1; the best point seen is kept, so that it is never worse
    than those. A member serves itself: its difference is (1 - keep) r >= 0 for rewards >= 0, without noise.

    Parameters
    ----------
    sample : (S, n, d) independent observations, S >= 2.
    members : the portfolio, m row indices.
    keep : 1 - epsilon.
    price : what one unit of standard deviation costs in the bound to come.
    """
    rows = list(members)
    mean = sample.mean(axis=0)
    found = separate(keep * mean, mean[rows], 1)
    shares = np.zeros((len(mean), len(rows)))
    for slot in range(found.position.shape[1]):
        used = np.flatnonzero(found.position[:, slot] >= 0)
        shares[used, found.position[used, slot]] += found.multiplier[used, slot]
    shares[rows] = np.eye(len(rows))
    goal = _Goal(sample, rows, keep, price)
    best, least = shares.copy(), goal.value(shares)[0].max(axis=1)
    point = 0.9 * shares + 0.1 / len(rows)
    spread = max(float(np.ptp(mean, axis=0).max()), 1e-300)  # of the values: the unit of temperature and steps
    for step in range(_STEPS):
        value, gradient = goal.value(point)
        top = value.max(axis=1)
        better = top < least
        best[better], least[better] = point[better], top[better]
        heat = 0.1 * spread * 1e-3 ** (step / _STEPS)
        soft = np.exp((value - top[:, None]) / heat)
        slope = np.einsum("ik,ikp->ip", soft / soft.sum(axis=1, keepdims=True), gradient)
        point = point * np.exp((slope.min(axis=1, keepdims=True) - slope) * (4 / (1 + step / 50) / spread))
        point /= point.sum(axis=1, keepdims=True)
    best[rows] = np.eye(len(rows))
    return Noisy(best, goal.value(best)[0].max(axis=1))


class _Goal:
    """Value (n, d) and gradient (n, d, m) of the regret with its price of noise, for all candidates at once."""

    def __init__(self, sample: Array, rows: list[int], keep: float, price: float) -> None:
        centred = sample - sample.mean(axis=0)
        count = len(sample) - 1
        self.keep, self.price = keep, price
        self.mean = sample.mean(axis=0)
        among = centred[:, rows]
        self.members = np.einsum("spk,sqk->kpq", among, among, optimize=True) / count
        self.cross = np.einsum("spk,sik->ikp", among, centred, optimize=True) / count
        self.own = np.einsum("sik,sik->ik", centred, centred) / count
        self.rows = rows

    def value(self, shares: Array) -> tuple[Array, Array]:
        served = self.mean[self.rows]
        half = np.einsum("ip,kpq->ikq", shares, self.members, optimize=True) - self.keep * self.cross
        variance = (
            np.einsum("ikq,iq->ik", half, shares)
            - self.keep * np.einsum("ikp,ip->ik", self.cross, shares)
            + self.keep**2 * self.own
        )
        deviation = np.sqrt(np.maximum(variance, 1e-18))
        value = self.keep * self.mean - shares @ served + self.price * deviation
        gradient = (self.price / deviation)[:, :, None] * half - served.T
        return value, gradient


def rounded(shares: Array) -> list[dict[int, int]]:
    """Integer multipliers, one dict from position to a positive integer a candidate; tiny ones are dropped."""
    result = []
    for row in shares:
        kept = np.where(row >= _LEAST, row, 0.0)
        whole = np.rint(kept / kept.sum() * _GRAIN).astype(np.int64)
        whole //= np.gcd.reduce(whole)
        result.append({int(p): int(whole[p]) for p in np.flatnonzero(whole)})
    return result
