"""The fewest answered policies that keep a promise against the outer bound at every weight.

A cover problem: rows are weights, a policy covers a weight where it keeps the promise against U. Rows are generated:
the corners of the envelope of a proposed portfolio are the only weights where it can fail (docs/theory.md, L5).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palm_opt.backends import DEFAULT, Budget, load
from palm_opt.cover import Cover
from palm_opt.search.bounds import OuterBound
from palm_opt.search.envelope import Envelope, margin

__all__ = ["Portfolio", "fewest"]

_ROWS = 200  # violated corners added in a round
_START = 400  # questions, and corners of all answers, to start with


@dataclass(frozen=True)
class Portfolio:
    """A portfolio, and the rows of the cover that chose it.

    members : numbers of answers, ascending; envelope : theirs, positions as policies.
    weights : (rows, d) the weights, bounds : (rows,) U there.
    claimed : what the cover solver claims as a lower bound of the size; rounds : covers solved.
    """

    members: tuple[int, ...]
    envelope: Envelope
    weights: NDArray[np.float64]
    bounds: NDArray[np.float64]
    claimed: int
    rounds: int


class _Rows:
    """Weights with their bounds, and who keeps the promise there."""

    def __init__(self, values: NDArray[np.float64], keep: float, delta: float) -> None:
        self.values, self.keep, self.delta = values, keep, delta
        self.weights, self.bounds = np.empty((0, values.shape[1])), np.empty(0)
        self.matrix = np.empty((0, len(values)), dtype=bool)

    def add(self, weights: NDArray[np.float64], bounds: NDArray[np.float64]) -> None:
        covers = weights @ self.values.T >= (self.keep * bounds - self.delta)[:, None]
        new = covers.any(axis=1)  # a row that none covers is one that rounding cannot tell from kept
        self.weights = np.concatenate([self.weights, weights[new]])
        self.bounds = np.concatenate([self.bounds, bounds[new]])
        self.matrix = np.concatenate([self.matrix, covers[new]])


def fewest(
    values: NDArray[np.float64],
    everything: Envelope,
    bounds: OuterBound,
    asked: NDArray[np.float64],
    delta: float,
    seconds: float,
    seed: int,
) -> Portfolio:
    """The fewest policies of `everything` with keep U(w) - max w.v <= delta for all w.

    Parameters
    ----------
    values : (n, d) all answers; everything : their envelope, whose gap is at most delta - 2 margin.
    asked : (m, d) weights to start with.
    seconds : after them the best portfolio so far is returned.
    """
    room = margin(everything.exponents)
    candidates = sorted(everything.policies)
    rows = _Rows(values[candidates], everything.keep, delta - 1.5 * room)
    rows.add(asked[:_START], np.array([bounds.solve(weight).value for weight in asked[:_START]]))
    rows.add(*_corners(everything, bounds, _START))
    budget = Budget(time.monotonic() + seconds, seed=seed, deterministic=True)
    quick, exact = load("greedy"), load(DEFAULT)
    best, claimed, rounds = None, 1, 0
    columns: tuple[int, ...] = ()
    while budget.seconds > 0:
        cover = Cover(rows.matrix, np.ones(len(candidates)))
        proposal = (quick if best is None else exact)(cover, columns, budget)
        rounds += 1
        if proposal.columns is None:
            break
        if best is not None:
            claimed = max(claimed, int(np.ceil(proposal.bound - 1e-6)))
            if len(best[0]) <= claimed:
                break
        members = tuple(candidates[j] for j in proposal.columns)
        envelope = _envelope(values, members, everything, bounds, delta - room, seed)
        violated = _violated(envelope, bounds, _ROWS)
        if len(violated[0]):
            rows.add(*violated)
        elif best is None or len(members) < len(best[0]):
            best, columns = (members, envelope), proposal.columns
            if len(members) <= claimed:
                break
        else:
            break
    if best is None:
        members = tuple(candidates)
        best = members, _envelope(values, members, everything, bounds, delta - room, seed)
    return Portfolio(*best, rows.weights, rows.bounds, claimed, rounds)


def _envelope(
    values: NDArray[np.float64],
    members: tuple[int, ...],
    everything: Envelope,
    bounds: OuterBound,
    delta: float,
    seed: int,
) -> Envelope:
    """The envelope of some members, with keys that are positive where it fails."""
    envelope = Envelope(everything.exponents, everything.keep, delta, 1 - everything.keep, 0.0, seed)
    for position, i in enumerate(members):
        envelope.add(position, values[i], bounds.outer)
    return envelope


def _violated(envelope: Envelope, bounds: OuterBound, limit: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Up to `limit` corners with a positive key, the worst first: (weights, bounds there)."""
    corners, slots = envelope.corners, list[int]()
    while len(slots) < limit:
        slot = corners.top(bounds.outer, 0.0)
        if slot < 0 or corners.arrays["key"][slot] <= 0:
            break
        corners.remove(slot)
        slots.append(slot)
    return _at(envelope, slots)


def _corners(envelope: Envelope, bounds: OuterBound, limit: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The corners with the largest gaps: (weights, bounds there)."""
    alive = envelope.alive()
    slots = alive[np.argsort(-envelope.corners.arrays["key"][alive], kind="stable")[:limit]]
    envelope.corners.solve(bounds.outer, slots)
    return _at(envelope, slots.tolist())


def _at(envelope: Envelope, slots: list[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    arrays = envelope.corners.arrays
    weights = envelope.weights(slots) if slots else np.empty((0, len(envelope.scale)))
    return weights, arrays["bound"][slots] / arrays["mass"][slots]
