"""One-sided confidence bounds for means of bounded variables (docs/statistics.md).

Every function works on the last axis of an array x of shape (..., T): T independent observations in [0, 1] of each of
several variables, and returns lower bounds of shape (...) for their means, each of which alone holds with probability
at least 1 - level. No distribution is assumed beyond the range.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["METHODS", "bernstein", "best_bet", "betting", "hoeffding", "observations_needed"]

Array = NDArray[np.float64]
METHODS = ("betting", "bernstein", "hoeffding")

_STEPS = 200  # of Newton's method at most: it takes about ten
_LEAST = 2.0**-15  # least bound that betting gives: the checker's, too
_PSEUDO = 0.5  # observations at 0 added before a bet is chosen: the lowest value may just not have been seen


def hoeffding(x: ArrayLike, level: float) -> Array:
    """Lower bound from the range alone: mean - sqrt(log(1 / level) / (2 T)), at least 0.

    Source: Hoeffding, Probability inequalities for sums of bounded random variables, JASA 1963, Theorem 1.
    """
    x = _checked(x, level)
    width = np.sqrt(np.log(1 / level) / (2 * x.shape[-1]))
    return np.asarray(np.maximum(x.mean(axis=-1) - width, 0.0))


def bernstein(x: ArrayLike, level: float) -> Array:
    """Lower bound from the sample variance V: mean - sqrt(2 V log(2 / level) / T) - 7 log(2 / level) / (3 (T - 1)).

    V divides by T - 1; the bound is at least 0, and 0 for T = 1.
    Source: Maurer and Pontil, Empirical Bernstein bounds and sample variance penalization, COLT 2009, Theorem 4.
    """
    x = _checked(x, level)
    count = x.shape[-1]
    if count == 1:
        return np.zeros(x.shape[:-1])
    log = np.log(2 / level)
    width = np.sqrt(2 * x.var(axis=-1, ddof=1) * log / count) + 7 * log / (3 * (count - 1))
    return np.asarray(np.maximum(x.mean(axis=-1) - width, 0.0))


def betting(x: ArrayLike, level: float, bet: ArrayLike, repeat: float = 1.0) -> Array:
    """Lower bound by betting a fixed share c of the capital against "the mean is at most m".

    The capital prod_t (1 - c + c x_t / m) is non-negative, has expectation at most 1 if the mean is at most m, and
    falls in m: by Markov's inequality the m at which it is 1 / level lies below the mean with probability 1 - level.

    Parameters
    ----------
    bet : shares 0 < c < 1, of shape (...) or a scalar; chosen without looking at x.
    repeat : as if x had been seen so many times; for estimates of what more data would give, 1 for a bound.

    Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 2024
    (arXiv 2010.09686), section 4; here with a constant share, so that the order of the observations does not matter.
    """
    x = _checked(x, level)
    c = np.broadcast_to(np.asarray(bet, dtype=np.float64), x.shape[:-1])
    if not ((c > 0) & (c < 1)).all():
        raise ValueError("bet: expected shares between 0 and 1")
    rows = x.reshape(-1, x.shape[-1])
    return _root(rows, c.ravel(), np.log(1 / level) / repeat).reshape(c.shape)


def best_bet(x: ArrayLike, level: float, repeat: float = 1.0) -> Array:
    """Shares of capital for `betting` that would give the greatest bounds on these observations seen `repeat` times.

    For bets on other observations of the same variables: x must not be what is then bounded. A little weight on the
    value 0, which may just not have been seen, keeps shares below 1.
    """
    x = _checked(x, level)
    shape, count = x.shape[:-1], x.shape[-1]
    rows = np.concatenate([x.reshape(-1, count), np.zeros((int(np.prod(shape)), 1))], axis=1)
    weight = np.append(np.ones(count), _PSEUDO)
    goal = np.log(1 / level) / repeat
    c = np.full(len(rows), 0.5)
    for _ in range(4):  # best mean for the share, best share for the mean: each step raises the bound
        m = np.maximum(_root(rows, c, goal, weight), _LEAST)
        c = _best_share(rows / m[:, None] - 1.0, weight)
    return c.reshape(shape)


def observations_needed(x: ArrayLike, goal: ArrayLike, level: float, method: str) -> float:
    """How many observations distributed as these would lift every bound to its goal; inf where a mean is not above.

    An estimate: for betting from the growth rate of the capital at the best share, for the others from mean and
    variance. x has shape (b, T), goal (b,).
    """
    x = _checked(x, level)
    target = np.asarray(goal, dtype=np.float64)
    open_ = target > 0  # a goal of at most 0 needs nothing
    x, target = x[open_], target[open_]
    if len(x) == 0:
        return 0.0
    above = x.mean(axis=1) - target
    if not (above > 0).all():
        return float(np.inf)
    if method == "hoeffding":
        return float((np.log(1 / level) / (2 * above**2)).max())
    if method == "bernstein":
        log = np.log(2 / level)
        root = (np.sqrt(2 * x.var(axis=1) * log) + np.sqrt(2 * x.var(axis=1) * log + 28 * log * above / 3)) / (
            2 * above
        )
        return float((root**2).max()) + 1
    gain = x / target[:, None] - 1
    share = _best_share(gain, np.ones(x.shape[1]))
    return float((np.log(1 / level) / np.log1p(share[:, None] * gain).mean(axis=1)).max())


def _root(rows: Array, c: Array, goal: float, weight: Array | None = None) -> Array:
    """The m with sum_t log(1 - c + c x_t / m) = goal, from below: every row has a positive entry.

    The sum is convex and falls in m, so Newton's method from a point below the root climbs to it monotonically. A root
    below 2^-15 is taken as 0.
    """
    m = rows.mean(axis=1)
    low = m > 0
    while low.any():
        low = (m > 0) & (_log_capital(rows, c, m, weight) < goal)
        m = np.where(low, np.where(m > _LEAST, m / 2, 0.0), m)
    live = np.flatnonzero(m > 0)
    rows, c, climb = rows[live], c[live], m[live]
    for _ in range(_STEPS):
        part = c[:, None] * rows
        slope = part / ((1 - c)[:, None] * climb[:, None] + part)
        slope = (slope if weight is None else slope * weight).sum(axis=1) / climb
        step = np.maximum((_log_capital(rows, c, climb, weight) - goal) / slope, 0.0)
        climb += step
        if (step <= 1e-13 * climb).all():
            break
    m[live] = np.where(climb >= _LEAST, climb, 0.0)
    return np.asarray(m)


def _log_capital(rows: Array, c: Array, m: Array, weight: Array | None) -> Array:
    logs = np.log1p(c[:, None] * (rows / np.where(m > 0, m, 1.0)[:, None] - 1))
    return np.asarray((logs if weight is None else logs * weight).sum(axis=1))


def _best_share(gain: Array, weight: Array) -> Array:
    """The c in [1/1024, 1023/1024] that maximises sum of weight * log(1 + c gain), by bisection on the derivative."""
    low, high = np.full(len(gain), 1 / 1024), np.full(len(gain), 1023 / 1024)
    for _ in range(16):
        middle = (low + high) / 2
        rising = (weight * gain / (1 + middle[:, None] * gain)).sum(axis=1) > 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return np.asarray((low + high) / 2)


def _checked(x: ArrayLike, level: float) -> Array:
    array = np.asarray(x, dtype=np.float64)
    if not 0 < level < 1:
        raise ValueError(f"level: expected 0 < level < 1, got {level}")
    if array.ndim < 1 or array.shape[-1] < 1 or not ((array >= 0) & (array <= 1)).all():
        raise ValueError("x: expected at least one observation, all in [0, 1]")
    return array
