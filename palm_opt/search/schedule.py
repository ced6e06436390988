"""Weights that baselines ask at, in order; none of them looks at the gap (docs/theory.md, L8)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from palm_opt.errors import ProblemError
from palm_opt.preferences.simplex import hybrid_grid, lattice, sample

__all__ = ["STRATEGIES", "Schedule"]

STRATEGIES = ("adaptive", "grid", "lazy-grid", "uniform", "random")


class Schedule:
    """The list of a baseline, in levels.

    grid, lazy-grid : one level, the hybrid grid, or the lattice of a resolution.
    uniform : lattices of doubling resolution without the points seen, or one level for a given resolution.
    random : independent uniform weights, each a level: every other one on a random face, since weights inside the
        simplex alone bound nothing on its faces. Without end.

    Parameters
    ----------
    delta : relative to the largest value (the hybrid grid is made for values in [0, 1]).

    Attributes
    ----------
    taken : weights handed out; open_ended : whether there is always another level.
    """

    def __init__(self, strategy: str, d: int, epsilon: float, delta: float, resolution: int | None, seed: int) -> None:
        self.taken = 0
        self.open_ended = d > 1 and (strategy == "random" or (strategy == "uniform" and resolution is None))
        self._levels = _levels(strategy, d, epsilon, delta, resolution, seed)
        self._level, self._at = np.empty((0, d)), 0

    @property
    def between_levels(self) -> bool:
        """Whether a level is complete."""
        return self._at == len(self._level)

    def next(self) -> NDArray[np.float64] | None:
        """The next weight, shape (d,), or None at the end."""
        while self.between_levels:
            level = next(self._levels, None)
            if level is None:
                return None
            self._level, self._at = level, 0
        self._at += 1
        self.taken += 1
        weight: NDArray[np.float64] = self._level[self._at - 1].copy()
        return weight


def _levels(
    strategy: str, d: int, epsilon: float, delta: float, resolution: int | None, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Levels of weights, each (m, d), without the unit weights."""
    if d == 1:
        return
    if strategy == "random":
        for i in itertools.count():
            rng = np.random.default_rng([seed, i])
            weight = np.zeros(d)
            support = rng.choice(d, d if i % 2 or d == 2 else rng.integers(2, d), replace=False)
            weight[support] = sample(rng, 1, len(support))[0]
            yield weight[None]
    elif strategy == "uniform" and resolution is None:
        for level in itertools.count():
            points = lattice(d, 2**level)
            seen = (np.rint(points * 2**level) % 2 == 0).all(axis=1) if level else np.zeros(len(points), dtype=bool)
            yield _inner(points[~seen])
    elif resolution is not None:
        yield _inner(lattice(d, resolution))
    else:
        # with epsilon = 0 the tolerance is split: 1 / (1 + e) >= 1 - e, so that e = delta / 2 costs at most delta / 2
        relative, absolute = (epsilon / (1 - epsilon), delta) if epsilon > 0 else (delta / 2, delta / 2)
        if not (relative > 0 and absolute > 0):
            raise ProblemError(f"strategy {strategy!r}: the hybrid grid needs delta > 0; or give a resolution")
        try:
            yield _inner(hybrid_grid(d, relative, absolute))
        except ValueError as error:
            raise ProblemError(f"strategy {strategy!r}: {error}, or a resolution for a lattice") from error


def _inner(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points that are not unit weights."""
    inner: NDArray[np.float64] = points[(points > 0).sum(axis=1) > 1]
    return inner
