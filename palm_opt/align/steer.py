"""What the measured policies prove about OPT, and where to train next. No training here: numbers in, numbers out."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palm_opt.search import Search, SearchResult
from palm_opt.search.envelope import Envelope

__all__ = ["APART", "Missed", "Steering", "steer", "steer_to"]

Array = NDArray[np.float64]
APART = 0.05  #: weights of one round, where an ideal tells the gap, and of blends of one set of policies differ by more
_TRAINED = 1e-6  #: a weight this near to one that was trained is not trained again


@dataclass(frozen=True)
class Missed:
    """A training run that stayed below what the declared trainer error allows, by what another policy shows.

    candidate, better : positions in the pool; short : by how much, beyond the declared error.
    """

    candidate: int
    better: int
    short: float


@dataclass(frozen=True)
class Steering:
    """A pool of measured policies seen as answers of the trainer.

    Attributes
    ----------
    search : the search that has been told all of them. told : the policy of each of its answers, -1 for an ideal's.
    trained : (t, d) the weights that policies were trained for. own_policy : (t,) the policy trained for each.
    missed : training runs that refute the declared error. The answer at a weight is the best policy MEASURED there,
        so that the promise rests on less: that at each trained weight one policy of the pool is within the error.
    """

    search: Search
    told: tuple[int, ...]
    trained: Array
    missed: tuple[Missed, ...] = field(default=())
    own: Envelope | None = None
    own_policy: tuple[int, ...] = ()

    @property
    def gap(self) -> float:
        """The worst regret that the whole pool can have, inf while a unit weight is not trained."""
        if self.own is None:
            return self.search.gap
        return self.own.worst(self.search.parts[1].outer)[0]

    def expected(self, most: int, seconds: float = 5.0) -> int | None:
        """Further trainings until the gap may be expected to be delta, `most` or fewer: an estimate, no bound.

        The search goes on alone: each training lands half-way from the best policy measured at its weight to the best
        that is possible there, the trainer's error left out, as the arc of a circle does between chord and tangents.
        None against an ideal (how near training comes to it is not known), or where `seconds` do not suffice.
        """
        if self.own is not None or not math.isfinite(self.gap):
            return None
        end = time.monotonic() + seconds
        shift = self.gap - self._without_error(self.search.delta).gap
        if shift >= self.search.delta:
            return most
        ahead = self._without_error(self.search.delta - max(0.0, shift))
        for count in range(most):
            weight = ahead.ask()
            if weight is None:
                return count
            if time.monotonic() > end:
                return None
            values = ahead.answers.values
            ahead.tell(weight, (values[(values @ weight).argmax()] + ahead.parts[1].solve(weight).vertex) / 2)
        return most

    def _without_error(self, delta: float) -> Search:
        """The same answers as if they were exact."""
        old = self.search
        new = Search(old.d, epsilon=old.epsilon, delta=delta, oracle_error=(0.0, 0.0), seed=old.seed)
        for weight, value in old.answers.told():
            new.tell(weight, value, answer=weight is not None)
        return new

    def next(self, n: int) -> list[Array]:
        """Up to n weights that are worth training at once, the worst first; none where training cannot help."""
        if self.own is None:
            return [weight for weight in self.search.ask(n) if not self._is_trained(weight)]
        self.own.worst(self.search.parts[1].outer)  # the largest keys are up to date now
        slots, arrays = self.own.alive(), self.own.corners.arrays
        slots = slots[arrays["key"][slots] > 0]
        order = slots[np.argsort(-arrays["key"][slots], kind="stable")]
        found: list[Array] = []
        for weight in self.own.weights(order):
            apart = all(np.abs(weight - other).max() > APART for other in found)
            if len(found) < n and apart and not self._is_trained(weight):
                found.append(weight)
        return found

    def _is_trained(self, weight: Array) -> bool:
        return bool((np.abs(self.trained - weight).max(axis=1) <= _TRAINED).any())

    def blend(self, weight: Array) -> list[tuple[int, float]]:
        """(policy, share) of the trained policies whose half-spaces give the bound of OPT at a weight.

        The shares of their weights sum to `weight`.
        """
        bound = self.search.parts[1].solve(weight)
        return [(self.own_policy[j], mu) for j, mu in bound.multipliers if mu > APART]

    def result(self, time_limit: float = 60.0) -> tuple[SearchResult, tuple[int, ...]]:
        """The fewest policies that keep the promise, and their positions in the pool, ascending and distinct."""
        own = None if self.own is None else [number for number, i in enumerate(self.told) if i >= 0]
        result = self.search.result(time_limit, own)
        return result, tuple(sorted({self.told[i] for i in result.indices}))


def steer(
    values: Array,
    weights: Sequence[Array | None],
    epsilon: float,
    delta: float,
    error: tuple[float, float] | None,
    rewards: Sequence[str] | None = None,
    seed: int = 0,
) -> Steering:
    """What a pool proves.

    Parameters
    ----------
    values : (n, d) measured values, on the scale of the promise.
    weights : the weight of sum 1 that each policy was trained for, None for others (the base model, merged adapters).
    epsilon, delta : the promise.
    error : (eta, gamma): at every trained weight w the best policy of the pool has w.v >= (1 - eta) OPT(w) - gamma.
        None: nothing is assumed and nothing is claimed against OPT; trained policies steer as if they were optimal.
    """
    search = Search(values.shape[1], epsilon=epsilon, delta=delta, oracle_error=error, seed=seed, rewards=rewards)
    eta, gamma = error or (0.0, 0.0)
    told, missed, seen, own_policy = list[int](), list[Missed](), list[Array](), list[int]()
    for i, weight in enumerate(weights):
        if weight is None or any(np.abs(weight - other).max() <= _TRAINED for other in seen):
            continue
        seen.append(weight)
        own_policy.append(i)
        reached = values @ weight
        best = int(reached.argmax())
        if reached[i] >= reached[best]:
            best = i
        short = float((1 - eta) * reached[best] - gamma - reached[i])
        if error is not None and short > 0:
            missed.append(Missed(i, best, short))
        search.tell(weight, values[best], answer=True)
        told.append(best)
    for i in sorted(set(range(len(values))) - set(told)):
        search.tell(None, values[i])
        told.append(i)
    trained = np.array(seen) if seen else np.empty((0, values.shape[1]))
    return Steering(search, tuple(told), trained, tuple(missed), own_policy=tuple(own_policy))


def steer_to(
    ideal: Sequence[tuple[Array, Array]],
    values: Array,
    weights: Sequence[Array | None],
    epsilon: float,
    delta: float,
    rewards: Sequence[str] | None = None,
    seed: int = 0,
) -> Steering:
    """What a pool proves against an ideal: policies known to be optimal, that nobody can deploy.

    Parameters
    ----------
    ideal : (weight, value vector of the best policy there), the d unit weights among them.
    values, weights, epsilon, delta : as for `steer`.

    A measured policy may be better than the ideal (which was estimated from samples). The error of the ideal that is
    assumed is then what that needs; see `SearchResult.oracle_error`.
    """
    asked, best = (np.array(rows) for rows in zip(*ideal, strict=True))
    everyone = np.concatenate([best, values])
    own = np.einsum("jk,jk->j", asked, best)
    gamma = max(0.0, float(((asked @ everyone.T).max(axis=1) - own).max()))
    search = Search(
        values.shape[1], epsilon=epsilon, delta=delta, oracle_error=(0.0, gamma), seed=seed, rewards=rewards
    )
    for weight, value in ideal:
        search.tell(weight, value, answer=True)
    for value in values:
        search.tell(None, value)
    numbers = range(len(ideal), len(search.answers))
    trained = np.array([weight for weight in weights if weight is not None])
    return Steering(
        search,
        (*(-1 for _ in ideal), *range(len(values))),
        trained if len(trained) else np.empty((0, values.shape[1])),
        own=search.restricted(numbers),
    )
