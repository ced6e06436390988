"""Separation: the weight where a portfolio serves a candidate worst (docs/theory.md, L1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt import _core
from palm_opt.arguments import real
from palm_opt.errors import ProblemError
from palm_opt.result import Regret
from palm_opt.solver.exact import game_exact
from palm_opt.solver.run import parallel
from palm_opt.tables.values import ValueMatrix

__all__ = ["Separation", "check_tolerances", "matrix", "portfolio", "regret", "separate"]

_CHUNKS = 4  # at least, of the candidates that threads take one after the other
_PARALLEL_WORK = 300_000  # candidates x members x rewards from which a second thread pays
_CHUNK_WORK = 20_000_000  # of a chunk at most: a kernel at work hears nothing


@dataclass(frozen=True)
class Separation:
    """Games of many candidates against one portfolio.

    regret : (n,) max over w of target.w - max over members of w.p.
    weights : (n, d) where it is attained.
    position, multiplier : (n, d) the members (positions in the portfolio, -1 unused) whose mixture proves it.
    pivots : simplex pivots done.
    """

    regret: NDArray[np.float64]
    weights: NDArray[np.float64]
    position: NDArray[np.int32]
    multiplier: NDArray[np.float64]
    pivots: int


def separate(
    targets: NDArray[np.float64],
    members: NDArray[np.float64],
    threads: int = 0,
    pause: Callable[[], None] = lambda: None,
) -> Separation:
    """Solve the games of `targets`, shape (n, d), against `members`, shape (m, d).

    `pause` is called now and then, also from other threads, and may raise to stop.
    """
    n, d = targets.shape
    size = max(float(np.abs(members).max()), float(np.abs(targets).max(initial=0.0)))
    if not 0.1 <= size <= 10:  # the kernel works at magnitude 1; a power of two scales without rounding
        unit = 2.0 ** min(1000, -round(math.log2(size or 1.0)))  # twice for denormal numbers
        found = separate(targets * unit, members * unit, threads, pause) if unit != 1 else _separate(targets, members)
        return Separation(found.regret / unit, found.weights, found.position, found.multiplier, found.pivots)
    work = n * d * len(members)
    if work < _PARALLEL_WORK:
        return _separate(targets, members)

    def part(chunk: NDArray[np.float64]) -> Separation:
        pause()
        return _separate(chunk, members)

    chunks = max(_CHUNKS, work // _CHUNK_WORK)  # the same for any number of threads: ties come out the same
    parts = parallel(part, np.array_split(targets, min(chunks, n)), threads)
    return Separation(
        np.concatenate([part.regret for part in parts]),
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.position for part in parts]),
        np.concatenate([part.multiplier for part in parts]),
        sum(part.pivots for part in parts),
    )


def _separate(targets: NDArray[np.float64], members: NDArray[np.float64]) -> Separation:
    regret, weights, position, multiplier, solved, pivots = _core.game(targets, members)
    while solved < len(targets):  # a game that did not converge in floats is solved in rationals
        value, weight, mixture = game_exact(targets[solved].tolist(), members.tolist())
        regret[solved], weights[solved] = float(value), [float(x) for x in weight]
        position[solved], multiplier[solved] = -1, 0.0
        for slot, (j, share) in enumerate(mixture.items()):
            position[solved, slot], multiplier[solved, slot] = j, float(share)
        first = solved + 1
        if first == len(targets):
            break
        r, w, p, a, more, steps = _core.game(targets[first:], members)
        regret[first:], weights[first:], position[first:], multiplier[first:] = r, w, p, a
        solved, pivots = first + more, pivots + steps
    return Separation(regret, weights, position, multiplier, pivots)


def regret(values: ValueMatrix | ArrayLike, members: Iterable[str | int], *, epsilon: float = 0.0) -> Regret:
    """Regret of a portfolio against each candidate, as floats and without a certificate.

    Parameters
    ----------
    values : the pool, or an (n, d) array.
    members : the portfolio; a str is a name, an int a row index.
    epsilon : relative tolerance, 0 <= epsilon < 1.

    Returns
    -------
    Regret : per_candidate[i] = max over w of (1 - epsilon) w.v_i - max over members of w.v, unclipped.

    Raises
    ------
    ProblemError : unknown or repeated members, epsilon out of range.
    """
    pool = matrix(values)
    rows = portfolio(pool, members)
    epsilon, _ = check_tolerances(epsilon, 0.0)
    games = separate(pool.array if epsilon == 0 else (1 - epsilon) * pool.array, pool.array[list(rows)])
    worst = int(games.regret.argmax())
    info = {"lps": pool.n, "pivots": games.pivots}
    return Regret(games.regret, games.weights, float(games.regret[worst]), games.weights[worst], info)


def matrix(values: ValueMatrix | ArrayLike) -> ValueMatrix:
    """The values, also of a plain array."""
    return values if isinstance(values, ValueMatrix) else ValueMatrix(values)


def portfolio(values: ValueMatrix, members: Iterable[str | int]) -> tuple[int, ...]:
    """Rows of at least one member."""
    rows = values.indices(members)
    if not rows:
        raise ProblemError("members: expected at least one candidate")
    return rows


def check_tolerances(epsilon: float, delta: float) -> tuple[float, float]:
    """The tolerances as floats; those outside 0 <= epsilon < 1, 0 <= delta < infinity are refused."""
    return (
        real("epsilon", epsilon, "0 <= epsilon < 1", lambda x: 0 <= x < 1),
        real("delta", delta, "a finite number >= 0", lambda x: 0 <= x < np.inf),
    )
