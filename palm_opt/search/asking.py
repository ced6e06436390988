"""The core of a search: what to ask next, and what an answer tells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt import _core, checker
from palm_opt.arguments import integer, items
from palm_opt.errors import ProblemError
from palm_opt.search.answers import Answers, OracleError, vector
from palm_opt.search.bounds import OuterBound
from palm_opt.search.envelope import Envelope, margin, scale_exponents
from palm_opt.search.schedule import STRATEGIES, Schedule
from palm_opt.solver.separation import check_tolerances

__all__ = ["Asking"]

_SAME = 1e-6  #: a told weight this near to a question answers it
_LOOKAHEAD = 16  #: corners compared for each question that is outstanding


class Asking:
    """Questions, answers, and the two bounds between which OPT lies; `Search` adds what a user calls at the end."""

    def __init__(
        self,
        n_rewards: int,
        *,
        epsilon: float = 0.0,
        delta: float = 0.02,
        oracle_error: OracleError | None = None,
        strategy: str = "adaptive",
        seed: int = 0,
        floor: ArrayLike | None = None,
        resolution: int | None = None,
        max_calls: int | None = None,
        rewards: Iterable[str] | None = None,
    ) -> None:
        self.epsilon, self.delta = check_tolerances(epsilon, delta)
        self.d = integer("n_rewards", n_rewards, 1, _core.MAX_REWARDS)
        if strategy not in STRATEGIES:
            raise ProblemError(f"strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
        if resolution is not None and strategy in ("adaptive", "random"):
            raise ProblemError(f"resolution: strategy {strategy!r} has no grid")
        self.strategy = strategy
        self.seed = integer("seed", seed, 0)
        self.resolution = None if resolution is None else integer("resolution", resolution, 1)
        self.max_calls = None if max_calls is None else integer("max_calls", max_calls, 0)
        level = None
        if floor is not None:
            every: Any = floor if np.ndim(floor) else [floor] * self.d
            level = vector("floor", every, self.d)
        self.answers = Answers(self.d, _oracle_error(oracle_error), level)
        labels = (f"r{k + 1}" for k in range(self.d)) if rewards is None else rewards
        self.rewards = tuple(map(str, items("rewards", labels, f"{self.d} distinct names")))
        if len(set(self.rewards)) != self.d or not all(self.rewards):
            raise ProblemError(f"rewards: expected {self.d} distinct non-empty names, got {list(self.rewards)}")
        self.outstanding: list[NDArray[np.float64]] = []
        self.schedule: Schedule | None = None
        self._envelope: Envelope | None = None
        self._bounds: OuterBound | None = None

    # ---- asking ----------------------------------------------------------------------------------------------------

    @overload
    def ask(self, n: None = None) -> NDArray[np.float64] | None: ...
    @overload
    def ask(self, n: int) -> list[NDArray[np.float64]]: ...
    def ask(self, n: int | None = None) -> NDArray[np.float64] | list[NDArray[np.float64]] | None:
        """The next weight to train at, shape (d,), or None where nothing is left to ask.

        With `n`: a list of up to n weights for runs in parallel. Questions can be answered in any order; with answers
        outstanding, None or an empty list means "nothing before one of them is told".
        """
        if n is None:
            one = self.ask(1)
            return one[0] if one else None
        n = integer("ask", n, 0)
        if self.max_calls is not None:
            n = min(n, max(0, self.max_calls - self.calls - len(self.outstanding)))
        new: list[NDArray[np.float64]] = []
        while len(new) < n and (weight := self._next()) is not None:
            new.append(weight)
            self.outstanding.append(weight)
        return [weight.copy() for weight in new]

    def _next(self) -> NDArray[np.float64] | None:
        asked = {int(weight.argmax()) for weight in self.outstanding if np.count_nonzero(weight) == 1}
        for k in range(self.d):
            if k not in self.answers.units and k not in asked:
                unit: NDArray[np.float64] = np.eye(self.d)[k]
                return unit
        if self._envelope is None:
            return None
        return self._corner() if self.strategy == "adaptive" else self._listed()

    def _corner(self) -> NDArray[np.float64] | None:
        """The corner with the worst gap; with answers outstanding, the worst if those turn out as good as they can."""
        envelope, bounds = self.parts
        corners, found = envelope.corners, list[int]()
        wanted = 1 if not self.outstanding else _LOOKAHEAD * (1 + len(self.outstanding))
        while len(found) < wanted:
            slot = corners.top(bounds.outer, 0.0)
            if slot < 0 or corners.arrays["key"][slot] <= 0:
                break
            corners.remove(slot)
            found.append(slot)
        for slot in found:
            corners.insert(slot)
        if not found:
            return None
        weights = envelope.weights(found)
        if not self.outstanding:
            first: NDArray[np.float64] = weights[0]
            return first
        value = corners.arrays["value"][found] / corners.arrays["mass"][found]
        hoped = np.max([weights @ bounds.solve(weight).vertex for weight in self.outstanding], axis=0)
        left = corners.arrays["key"][found] - np.maximum(0.0, hoped - value)
        near = np.abs(weights[:, None] - np.array(self.outstanding)).max(axis=2).min(axis=1) <= _SAME
        left[near] = -np.inf
        best: NDArray[np.float64] = weights[left.argmax()]
        return None if near.all() else best

    def _listed(self) -> NDArray[np.float64] | None:
        """The next weight of a baseline's list."""
        if self.schedule is None:
            self.schedule = self.new_schedule()
        while not (self.schedule.open_ended and self.schedule.between_levels and self._settled()):
            weight = self.schedule.next()
            if weight is None or self.strategy != "lazy-grid" or not self._certified(weight):
                return weight
        return None

    def new_schedule(self) -> Schedule:
        """The list of a baseline from its start."""
        units = self.answers.values[list(self.answers.units.values())]
        size = float(np.abs(units).max()) or 1.0
        return Schedule(self.strategy, self.d, self.epsilon, self.delta / size, self.resolution, self.seed)

    def _settled(self) -> bool:
        """Whether no corner is left that a call is sure to improve."""
        envelope, bounds = self.parts
        slot = envelope.corners.top(bounds.outer, 0.0)
        return slot < 0 or bool(envelope.corners.arrays["key"][slot] <= 0)

    def _certified(self, weight: NDArray[np.float64]) -> bool:
        """Whether the promise is kept at one weight."""
        envelope, bounds = self.parts
        best = float((self.answers.values @ weight).max())
        return (1 - self.epsilon) * bounds.solve(weight).value - best <= self.target(envelope.exponents)

    # ---- telling ---------------------------------------------------------------------------------------------------

    def tell(self, weight: ArrayLike | None, value: ArrayLike, *, answer: bool | None = None) -> None:
        """Tell the value vector, shape (d,), of a policy.

        Parameters
        ----------
        weight : the weight the policy was trained for; None for a free inner point (a checkpoint, a merged adapter).
        answer : whether it is the oracle's answer at this weight, to which the stated error applies. By default it is
            if the weight was asked; a weight that was not asked gives a free inner point.

        Raises
        ------
        ProblemError : wrong shapes, or the value refutes the stated oracle error or floor (nothing is recorded then).
        """
        v = vector("value", value, self.d)
        w = None if weight is None else vector("weight", weight, self.d)
        question = None
        if w is not None:
            if (w < 0).any() or not w.any():
                raise ProblemError("weight: expected entries >= 0, not all 0")
            if np.count_nonzero(w) == 1:
                w = w / w.sum()
            distance = [float(np.abs(w - other).max()) for other in self.outstanding]
            question = int(np.argmin(distance)) if distance and min(distance) <= _SAME else None
        if answer is True and w is None:
            raise ProblemError("tell: an answer needs the weight that it was asked at")
        if answer is False or (answer is None and question is None):
            w, question = None, None
        raised = self.answers.append(w, v)
        if question is not None:
            del self.outstanding[question]
        self._record(raised)

    def _record(self, raised: NDArray[np.int64]) -> None:
        """Bring envelope and bounds up to the last answer."""
        answers, number = self.answers, len(self.answers) - 1
        if self._envelope is None or self._bounds is None or not self._envelope.fits(answers.values[number]):
            if len(answers.units) == self.d:
                self._start()
            return
        for j in raised.tolist():
            self._bounds.loosen(j, float(answers.limits[j]), self._envelope.corners)
        if len(raised):
            self._envelope.corners.rekey()
        if np.isfinite(answers.limits[number]):
            self._bounds.add(number, answers.weights[number], float(answers.limits[number]))
        self._envelope.add(number, answers.values[number], self._bounds.outer)

    def _start(self) -> None:
        """Choose the scales, and put all answers in."""
        answers = self.answers
        exponents = scale_exponents(answers.values)
        eta, gamma = answers.oracle_error or (0.0, 0.0)
        envelope = Envelope(exponents, 1 - self.epsilon, self.target(exponents), eta, gamma, self.seed)
        units = [answers.units[k] for k in range(self.d)]
        bounds = OuterBound(envelope.scale, units, answers.limits[units], answers.floor)
        for number in answers.asked.tolist():
            if number not in units:
                bounds.add(number, answers.weights[number], float(answers.limits[number]))
        for number, value in enumerate(answers.values):
            envelope.add(number, value, bounds.outer)
        self._envelope, self._bounds = envelope, bounds

    def target(self, exponents: NDArray[np.int64]) -> float:
        """The delta to stop at: the promised one, less what rounding in the certificate may take."""
        return self.delta - min(2 * margin(exponents), self.delta / 2)

    # ---- state -----------------------------------------------------------------------------------------------------

    @property
    def calls(self) -> int:
        """Questions answered so far."""
        return len(self.answers.asked)

    @property
    def gap(self) -> float:
        """Worst (1 - epsilon) U(w) - L(w) of all weights with all answers as portfolio, as a float.

        inf before the unit weights are answered. It is about OPT only if an oracle error is stated.
        """
        return np.inf if self._envelope is None else self.worst()[0]

    def worst(self) -> tuple[float, NDArray[np.float64]]:
        """The gap, and a weight, shape (d,), where it is attained."""
        envelope, bounds = self.parts
        return envelope.worst(bounds.outer)

    @property
    def parts(self) -> tuple[Envelope, OuterBound]:
        """The inner and the outer bound."""
        if self._envelope is None or self._bounds is None:
            raise ProblemError("search: nothing is known before the d unit weights are answered")
        return self._envelope, self._bounds

    def restricted(self, among: Sequence[int]) -> Envelope:
        """The envelope of some answers, with the bounds of all: where a portfolio chosen among them must fail."""
        envelope, bounds = self.parts
        eta, gamma = self.answers.oracle_error or (0.0, 0.0)
        own = Envelope(envelope.exponents, envelope.keep, self.target(envelope.exponents), eta, gamma, self.seed)
        for number in among:
            own.add(number, self.answers.values[number], bounds.outer)
        return own

    def problem(self) -> checker.Answers:
        """The answers as the exact checker takes them: `palm_opt.verify(result.certificate, search)`."""
        weights = np.where(np.isfinite(self.answers.weights), self.answers.weights, 0.0)
        return checker.Answers(list(self.rewards), weights, self.answers.values)


def _oracle_error(pair: OracleError | None) -> OracleError | None:
    if pair is None:
        return None
    try:
        eta, gamma = (float(x) for x in pair)
    except (TypeError, ValueError):
        eta = gamma = math.nan
    if not (0 <= eta < 1 and 0 <= gamma < np.inf):
        raise ProblemError(f"oracle_error: expected (eta, gamma) with 0 <= eta < 1 and gamma >= 0, got {pair!r}")
    return eta, gamma
