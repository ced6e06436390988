"""Search for a portfolio with as few oracle calls (training runs) as possible, as ask and tell."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt import _core
from palm_opt import certificate as checker
from palm_opt.arguments import integer, items, real
from palm_opt.errors import ProblemError
from palm_opt.search.answers import Answers, OracleError, vector
from palm_opt.search.bounds import OuterBound
from palm_opt.search.envelope import Envelope, margin, scale_exponents
from palm_opt.search.questions import STRATEGIES, Questions
from palm_opt.search.result import SearchResult
from palm_opt.separation import check_tolerances
from palm_opt.storage import write_text

__all__ = ["Search"]

_SAME = 1e-6  #: a told weight this near to a question answers it
_LOOKAHEAD = 16  #: corners compared for each question that is outstanding


class Search:
    """Ask where to train next, tell the value vector, until one portfolio serves every weight.

    ::

        search = palm.Search(n_rewards=3, delta=0.02, oracle_error=(0.0, 0.0))
        while (w := search.ask()) is not None:
            search.tell(w, train_and_measure(w))
        search.result().members

    Parameters
    ----------
    n_rewards : d, at least 1; up to about 8 is practical (corners multiply with d).
    epsilon, delta : the promise; delta in units of the values.
    oracle_error : (eta, gamma): an answer at w has w.v >= (1 - eta) OPT(w) - gamma, for weights of sum 1. None: the
        search steers as if answers were exact, and claims nothing against OPT.
    strategy : "adaptive" asks at the worst corner of the certified gap (lazy estimate refinement); the baselines are
        "grid" (all of the hybrid grid of docs/theory.md, L8), "lazy-grid" (the same, skipping weights that are
        certified already), "uniform" (lattices of doubling resolution until one certifies), "random".
    seed : of the random strategy, and of the shifts in rounding.
    floor : a number or (d,) numbers that no admissible value vector, seen or not, is below. It tightens bounds
        (0 for rewards that are not negative; KL-penalised values can be negative).
    resolution : for the grids and "uniform": the one lattice of multiples of 1 / resolution instead.
    max_calls : questions to ask at most.
    rewards : d names, for the file of answers; by default "r1", "r2", ...

    Raises
    ------
    ProblemError : bad arguments.

    Notes
    -----
    All strategies ask the d unit weights first: no bound is finite without them. Source: docs/theory.md, L5, L6.
    """

    def __init__(
        self,
        n_rewards: int,
        epsilon: float = 0.0,
        delta: float = 0.02,
        oracle_error: OracleError | None = None,
        strategy: str = "adaptive",
        seed: int = 0,
        *,
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
        self.questions: Questions | None = None
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
        if self.questions is None:
            self.questions = self.new_questions()
        while not (self.questions.open_ended and self.questions.between_levels and self._settled()):
            weight = self.questions.next()
            if weight is None or self.strategy != "lazy-grid" or not self._certified(weight):
                return weight
        return None

    def new_questions(self) -> Questions:
        """The list of a baseline from its start."""
        units = self.answers.values[list(self.answers.units.values())]
        size = float(np.abs(units).max()) or 1.0
        return Questions(self.strategy, self.d, self.epsilon, self.delta / size, self.resolution, self.seed)

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

    def result(self, time_limit: float = 60.0, among: Sequence[int] | None = None) -> SearchResult:
        """The fewest answered policies that keep the promise against the outer bound, and the proof.

        May be asked at any time: an early stop returns what is proved so far.

        Parameters
        ----------
        time_limit : seconds for choosing the members; a portfolio that may not be the smallest is returned at its end.
        among : numbers of the answers that may be members, by default all: answers of an ideal that cannot be deployed
            then bound OPT without being chosen.

        Raises
        ------
        ProblemError : bad arguments.
        """
        from palm_opt.search.finish import conclude

        time_limit = real("time_limit", time_limit, "a number of seconds >= 0", lambda x: x >= 0)
        if among is not None:
            numbers = items("among", among, "a sequence of numbers of answers")
            among = sorted({integer("among", number, 0, len(self.answers) - 1) for number in numbers})
            if not among:
                raise ProblemError("among: expected at least one number of an answer")
        return conclude(self, time_limit, among)

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

    def write_answers(self, path: str | Path, policies: Sequence[str] | None = None) -> Path:
        """Write the answers as the CSV file that a certificate is about (docs/certificate-format.md), atomically.

        `policies` names the policy of each answer, in a column that no claim rests on.
        """
        lines = [[f"{kind}_{name}" for kind in "wv" for name in self.rewards]]
        for weight, value in zip(self.answers.weights.tolist(), self.answers.values.tolist(), strict=True):
            lines.append([*("" if math.isnan(x) else repr(x) for x in weight), *map(repr, value)])
        if policies is not None:
            lines = [[name, *line] for name, line in zip(["policy", *policies], lines, strict=True)]
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows(lines)
        return write_text(path, stream.getvalue())

    def serialise(self) -> str:
        """The state as JSON with numbers as hex floats; `Search.restore` goes on with the same next weight."""
        from palm_opt.search.state import write

        return write(self)

    @classmethod
    def restore(cls, text: str) -> Search:
        """The search of a `serialise`; ProblemError says where the text is not one."""
        from palm_opt.search.state import read

        return read(text)


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
