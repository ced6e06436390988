"""The fewest answered policies that keep a promise against the outer bound at every weight.

A cover problem: rows are weights, a policy covers a weight where it keeps the promise against U. Rows are generated:
the corners of the envelope of a proposed portfolio are the only weights where it can fail (docs/theory.md, L5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palm_opt import _core
from palm_opt.result import Settings
from palm_opt.search.bounds import OuterBound
from palm_opt.search.envelope import Envelope, margin
from palm_opt.solver.backends import load
from palm_opt.solver.cover import Cover
from palm_opt.solver.run import DEFAULT, Run

__all__ = ["Selection", "fewest"]

_ROWS = 1000  # violated corners added in a round
_START = 400  # questions, and corners of all answers, to start with


@dataclass(frozen=True)
class Selection:
    """A portfolio, and the rows of the cover that chose it.

    members : numbers of answers, ascending; envelope : theirs, in this order.
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

    def __init__(self, values: NDArray[np.float64], bounds: OuterBound, keep: float, delta: float) -> None:
        self.values, self.outer, self.keep, self.delta = values, bounds, keep, delta
        self.weights, self.bounds = np.empty((0, values.shape[1])), np.empty(0)
        self.matrix = np.empty((0, len(values)), dtype=bool)
        self.solved = _Solved(values.shape[1])

    def add(self, weights: NDArray[np.float64]) -> None:
        """Add weights, shape (m, d)."""
        bounds = np.array([self.outer.solve(weight).value for weight in weights])
        covers = weights @ self.values.T >= (self.keep * bounds - self.delta)[:, None]
        new = covers.any(axis=1)  # a row that none covers is one that rounding cannot tell from kept
        self.weights = np.concatenate([self.weights, weights[new]])
        self.bounds = np.concatenate([self.bounds, bounds[new]])
        self.matrix = np.concatenate([self.matrix, covers[new]])


class _Solved:
    """Bounds at corners by the facets and policies that meet there: successive portfolios share most of them."""

    def __init__(self, d: int) -> None:
        self.place: dict[bytes, int] = {}
        self.bound, self.basis = np.empty(0), np.empty((0, d), dtype=np.int32)

    def solve(self, envelope: Envelope, outer: _core.Outer) -> None:
        """Solve the linear programs of all corners of an envelope that are not known yet."""
        arrays, alive = envelope.corners.arrays, envelope.alive()
        alive = alive[arrays["exact"][alive] != outer.count]
        active, d = arrays["active"][alive], self.basis.shape[1]
        answers = np.array(envelope.policies, dtype=np.int32)
        ids = np.sort(np.where(active < d, active, d + answers[np.maximum(active - d, 0)]), axis=1)
        names = np.ascontiguousarray(ids).view(f"V{ids.itemsize * d}")[:, 0].tolist()
        place = np.array([self.place.get(name, -1) for name in names], dtype=np.int64)
        known = place >= 0
        arrays["bound"][alive[known]], arrays["basis"][alive[known]] = (
            self.bound[place[known]],
            self.basis[place[known]],
        )
        arrays["known"][alive[known]] = arrays["exact"][alive[known]] = outer.count
        envelope.solve(outer)
        envelope.corners.rekey()
        new = alive[~known]
        for name, known_already in zip(names, known.tolist(), strict=True):
            if not known_already:
                self.place[name] = len(self.place)
        self.bound = np.concatenate([self.bound, arrays["bound"][new]])
        self.basis = np.concatenate([self.basis, arrays["basis"][new]])


def fewest(
    values: NDArray[np.float64],
    everything: Envelope,
    bounds: OuterBound,
    asked: NDArray[np.float64],
    delta: float,
    seconds: float,
    seed: int,
) -> Selection:
    """The fewest policies of `everything` with keep U(w) - max w.v <= delta for all w.

    Parameters
    ----------
    values : (n, d) all answers; everything : their envelope, whose gap is at most delta - 2 margin.
    asked : (m, d) weights to start with.
    seconds : after them the best portfolio so far is returned.
    """
    room = margin(everything.exponents)
    candidates = sorted(everything.policies)
    rows = _Rows(values[candidates], bounds, everything.keep, delta - 1.5 * room)
    rows.add(asked[:_START])
    rows.add(_corners(everything, _START))
    run = Run.of(Settings(seconds, seed=seed, deterministic=True))
    quick, exact = load("greedy"), load(DEFAULT)
    best, claimed, rounds = None, 1, 0
    while not run.over:
        known = () if best is None else tuple(candidates.index(i) for i in best[0])
        proposal = (quick if best is None else exact)(Cover(rows.matrix, np.ones(len(candidates))), known, run)
        rounds += 1
        if proposal.columns is None:
            break
        if best is not None:
            claimed = max(claimed, int(np.ceil(proposal.bound - 1e-6)))
            if len(best[0]) <= claimed:
                break
        members = [candidates[j] for j in proposal.columns]
        envelope = _envelope(values, members, everything, bounds, delta - room, seed)
        proposed = len(members)
        most = len(candidates) if best is None else len(best[0])
        if not _repair(members, envelope, rows, candidates, delta - room, most):
            break
        if best is None or len(members) < len(best[0]):
            best = members, envelope
        elif len(members) == proposed:
            break
    members, envelope = best or (candidates, everything)
    if best is None or members != sorted(members):
        members = sorted(members)
        envelope = _envelope(values, members, everything, bounds, delta - room, seed)
    return Selection(tuple(members), envelope, rows.weights, rows.bounds, claimed, rounds)


def _repair(
    members: list[int], envelope: Envelope, rows: _Rows, candidates: list[int], delta: float, most: int
) -> bool:
    """Add policies to a portfolio until it keeps the promise or has `most`; False where rounding stands in the way."""
    while len(members) < most and len(violated := _violated(envelope, rows, delta)):
        before = len(rows.matrix)
        rows.add(violated)
        left = rows.matrix[before:]
        if not len(left):
            return False
        while len(left):
            j = int(left.sum(axis=0).argmax())
            members.append(candidates[j])
            envelope.add(candidates[j], rows.values[j], rows.outer.outer)
            left = left[~left[:, j]]
    return True


def _envelope(
    values: NDArray[np.float64],
    members: list[int],
    everything: Envelope,
    bounds: OuterBound,
    delta: float,
    seed: int,
) -> Envelope:
    """The envelope of some members, with keys that are positive where it fails."""
    envelope = Envelope(everything.exponents, everything.keep, delta, 1 - everything.keep, 0.0, seed)
    for i in members:
        envelope.add(i, values[i], bounds.outer)
    return envelope


def _violated(envelope: Envelope, rows: _Rows, delta: float) -> NDArray[np.float64]:
    """Up to _ROWS corners where the promise is broken, the worst first: weights, shape (m, d).

    What is broken against the answers comes first; linear programs are solved where nothing is.
    """
    alive, arrays = envelope.alive(), envelope.corners.arrays
    weights, value = envelope.weights(alive), arrays["value"][alive] / arrays["mass"][alive]
    excess = envelope.keep * _core.support(rows.values, weights)[0] - value - delta
    if not (excess > 0).any():
        rows.solved.solve(envelope, rows.outer.outer)
        excess = arrays["key"][alive]
    worst = np.argsort(-excess, kind="stable")[:_ROWS]
    found: NDArray[np.float64] = weights[worst[excess[worst] > 0]]
    return found


def _corners(envelope: Envelope, limit: int) -> NDArray[np.float64]:
    """The corners with the largest gaps: weights, shape (m, d)."""
    alive = envelope.alive()
    return envelope.weights(alive[np.argsort(-envelope.corners.arrays["key"][alive], kind="stable")[:limit]])
