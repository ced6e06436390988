"""Weights: points of the simplex { w >= 0, sum w = 1 }, kept exact on a dyadic grid."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["GRID", "hybrid_grid", "lattice", "sample", "snap", "start"]

GRID = 2**40  #: weights are snapped to multiples of 1 / GRID: exact as float64 and short in a certificate


def lattice(d: int, resolution: int) -> NDArray[np.float64]:
    """All weights whose entries are multiples of 1 / resolution, shape (C(resolution + d - 1, d - 1), d)."""
    if d < 1 or resolution < 1:
        raise ValueError("lattice: d and resolution must be at least 1")
    bars = itertools.combinations(range(resolution + d - 1), d - 1)
    points = [np.diff([-1, *bar, resolution + d - 1]) - 1 for bar in bars]
    return np.array(points[::-1], dtype=np.float64) / resolution


def sample(rng: np.random.Generator, count: int, d: int) -> NDArray[np.float64]:
    """Independent uniform weights, shape (count, d)."""
    return rng.dirichlet(np.ones(d), size=count)


def hybrid_grid(d: int, epsilon: float, delta: float, limit: int = 2_000_000) -> NDArray[np.float64]:
    """The multiplicative + additive grid of weights of the PALM paper, as reconstructed in docs/theory.md (L8).

    Entries are 0 or (1 + epsilon)^-k down to delta / (d - 1), the largest is 1, then normalised. Raises ValueError
    beyond `limit` weights.
    """
    if d == 1:
        return np.ones((1, 1))
    tau = delta / (d - 1)
    steps = max(0, math.ceil(math.log(1 / tau) / math.log1p(epsilon)))
    if (steps + 2) ** d - (steps + 1) ** d > limit:
        raise ValueError(f"the hybrid grid has more than {limit} weights; use larger tolerances")
    levels = np.array([0.0, *((1 + epsilon) ** -k for k in range(steps, -1, -1))])
    blocks = []
    for top in range(d):  # the first entry that is 1 is `top`
        axes = [levels[:-1]] * top + [levels[-1:]] + [levels] * (d - top - 1)
        blocks.append(np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1))
    grid: NDArray[np.float64] = np.concatenate(blocks)
    grid /= grid.sum(axis=1, keepdims=True)
    return grid


def snap(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round weights, shape (m, d), to multiples of 1 / GRID with sum exactly 1 (the largest entry absorbs the rest)."""
    units = np.rint(np.clip(weights, 0.0, None) / weights.sum(axis=1, keepdims=True) * GRID).astype(np.int64)
    rows = np.arange(len(units))
    units[rows, units.argmax(axis=1)] += GRID - units.sum(axis=1)
    snapped: NDArray[np.float64] = units / GRID
    return snapped


def start(rng: np.random.Generator, d: int, per_reward: int = 60) -> NDArray[np.float64]:
    """Weights to start row generation with: corners, centre, sparse and uniform random ones."""
    corners, centre = np.eye(d), np.full((1, d), 1 / d)
    if d == 1:
        return corners
    dense = sample(rng, per_reward * d, d)
    sparse = sample(rng, per_reward * d, d) * (rng.random((per_reward * d, d)) < 2 / d)
    sparse = sparse[sparse.sum(axis=1) > 0]
    return snap(np.concatenate([corners, centre, dense, sparse]))
