"""The measures of the PALM paper, exact on the whole simplex where the paper samples."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt import _core
from palm_opt.errors import ProblemError
from palm_opt.measures.regions import intervals, polygons, share
from palm_opt.result import Metrics
from palm_opt.solver.certify import certify
from palm_opt.solver.separation import matrix, portfolio
from palm_opt.tables.values import ValueMatrix

__all__ = ["metrics", "usage"]

_BATCHES, _POINTS = 16, 8192  # randomly shifted quasi-random point sets, and points in each, for d > 3


def metrics(values: ValueMatrix | ArrayLike, members: Iterable[str | int], *, threads: int = 0) -> Metrics:
    """Worst multiplicative and additive gap over the whole simplex, and the perplexity of the usage of the members."""
    pool = matrix(values)
    rows = portfolio(pool, members)
    additive = certify(pool, rows, epsilon=0.0, threads=threads)
    try:
        relative = certify(pool, rows, delta=0.0, threads=threads)
        gap, where = relative.epsilon, relative.worst_weight
    except ProblemError:
        gap, where = None, None
    shares, error = usage(pool.array[list(rows)])
    return Metrics(
        members=additive.members,
        multiplicative_gap=gap,
        multiplicative_weight=where,
        additive_gap=additive.delta,
        additive_weight=additive.worst_weight,
        usage=tuple(shares.tolist()),
        perplexity=_perplexity(shares),
        perplexity_error=error,
    )


def usage(members: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Share of the simplex that each member, shape (m, d), serves best, and the standard error of the perplexity.

    Ties go to the first member. Exact (lengths and polygon areas, in floats) for d <= 3, else quasi-random with a fixed
    seed.
    """
    m, d = members.shape
    if d == 1:
        return np.eye(m)[int(members[:, 0].argmax())], 0.0
    if d == 2:
        lengths = np.zeros(m)
        for member, low, high in intervals(members[:, 0], members[:, 1]):
            lengths[member] += high - low
        return lengths / lengths.sum(), 0.0
    if d == 3:
        areas = np.array([share(corners) for corners in polygons(members)])
        return areas / areas.sum(), 0.0
    counts = np.zeros((_BATCHES, m))
    base = _quasi_random(_POINTS, d - 1)
    for batch, shift in enumerate(np.random.default_rng(0).random((_BATCHES, d - 1))):
        cube = np.sort((base + shift) % 1.0, axis=1)  # spacings of sorted uniforms are uniform on the simplex
        weights = np.diff(cube, axis=1, prepend=0.0, append=1.0)
        _, best = _core.support(members, weights)
        counts[batch] = np.bincount(best, minlength=m) / _POINTS
    perplexities = [_perplexity(count) for count in counts]
    return counts.mean(axis=0), float(np.std(perplexities, ddof=1) / math.sqrt(_BATCHES))


def _perplexity(shares: NDArray[np.float64]) -> float:
    used = shares[shares > 0]
    return float(np.exp(-(used * np.log(used)).sum()))


def _quasi_random(count: int, dimensions: int) -> NDArray[np.float64]:
    """Roberts' additive recurrence: generalised golden ratio, shape (count, dimensions)."""
    ratio = 2.0
    for _ in range(60):
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    steps = ratio ** -np.arange(1.0, dimensions + 1)
    return np.outer(np.arange(1, count + 1), steps) % 1.0
