"""The baselines of the PALM paper: policies trained at weights chosen without looking at the values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt import _core
from palm_opt.arguments import integer, real
from palm_opt.errors import ProblemError
from palm_opt.preferences.simplex import hybrid_grid, lattice, sample
from palm_opt.result import Baseline
from palm_opt.solver.backends.greedy import solve_cover
from palm_opt.solver.cover import Cover
from palm_opt.solver.run import Run
from palm_opt.solver.separation import matrix
from palm_opt.tables.values import ValueMatrix

__all__ = ["baseline"]


def baseline(
    values: ValueMatrix | ArrayLike,
    kind: str = "uniform",
    size: int = 5,
    seed: int = 0,
    *,
    epsilon: float = 0.05,
    delta: float = 0.05,
) -> Baseline:
    """A portfolio of at most `size` members as a baseline would choose it: the best candidate at each of some weights.

    Parameters
    ----------
    kind : "uniform", the first `size` points of an evenly spread sequence of lattice weights; "random", `size`
        independent uniform weights; "grid", every point of the paper's hybrid grid for (epsilon, delta), then a greedy
        cover of the grid with as many members as `size` allows.
    seed : for "random".
    epsilon, delta : for "grid", both above 0.

    Returns
    -------
    Baseline : its distinct members, and the number of oracle calls (training runs) it takes.
    """
    pool = matrix(values)
    size, seed = integer("size", size, 1), integer("seed", seed)
    if kind == "uniform":
        weights = _spread(pool.d, size)
    elif kind == "random":
        weights = sample(np.random.default_rng(seed), size, pool.d)
    elif kind == "grid":
        epsilon, delta = (
            real(name, x, "a finite number > 0 for the grid", lambda x: 0 < x < math.inf)
            for name, x in (("epsilon", epsilon), ("delta", delta))
        )
        try:
            weights = hybrid_grid(pool.d, epsilon, delta)
        except (ValueError, ZeroDivisionError, OverflowError) as error:
            raise ProblemError(f"baseline 'grid': {error}") from error
    else:
        raise ProblemError(f"kind: expected 'uniform', 'random' or 'grid', got {kind!r}")
    opt, best = _core.support(pool.array, weights)
    chosen = np.unique(best)
    if kind == "grid":
        chosen = _prune(pool, weights, opt, chosen, epsilon, delta, size)
    rows = tuple(int(i) for i in chosen)
    return Baseline(kind, tuple(pool.names[i] for i in rows), rows, weights, len(weights))


def _spread(d: int, size: int) -> NDArray[np.float64]:
    """`size` lattice weights, each as far as possible from those before it, starting at the centre's neighbour."""
    if d == 1:
        return np.ones((1, 1))
    resolution = 1
    while math.comb(resolution + d - 1, d - 1) < size:
        resolution += 1
    points = lattice(d, resolution)
    order = [int(((points - 1 / d) ** 2).sum(axis=1).argmin())]
    distance = np.full(len(points), np.inf)
    while len(order) < size:
        distance = np.minimum(distance, np.abs(points - points[order[-1]]).sum(axis=1))
        order.append(int(distance.argmax()))
    return points[order]


def _prune(
    pool: ValueMatrix,
    weights: NDArray[np.float64],
    opt: NDArray[np.float64],
    chosen: NDArray[np.int64],
    epsilon: float,
    delta: float,
    size: int,
) -> NDArray[np.int64]:
    """Greedy set cover over the grid, at the least tolerance (by doubling) for which `size` members suffice."""
    products = weights @ pool.array[chosen].T
    factor = 1.0
    while True:
        threshold = np.minimum(opt, (1 - min(1.0, epsilon * factor)) * opt - delta * factor)
        cover = Cover(products >= threshold[:, None] - 1e-12, np.ones(len(chosen)))
        columns = solve_cover(cover, (), Run()).columns
        if columns is not None and len(columns) <= size:
            return chosen[list(columns)]
        factor *= 1.25
