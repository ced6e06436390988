"""The loop that certifies: measure, prove, train at the worst weight, until the promise holds or the budget is spent.

Steering sees the `select` split only. The `certify` split is opened when the loop has ended, for a statistical promise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.align.measuring.evaluate import Measured
from palm_opt.align.publish import Promise, mark_interrupted, publish, statistical, table_of
from palm_opt.align.recipe.declaration import Recipe
from palm_opt.align.session import Ask, Blend, Candidate, Session, TrainedWeight
from palm_opt.align.steer import APART, Steering, steer, steer_to
from palm_opt.errors import StoreError
from palm_opt.planning.gibbs import gibbs
from palm_opt.planning.plan import plan
from palm_opt.portfolio.directory import Portfolio
from palm_opt.preferences.simplex import lattice
from palm_opt.result import Certificate, Stop
from palm_opt.search import Search
from palm_opt.solver.certify import certify
from palm_opt.solver.solve import solve
from palm_opt.tables.values import ValueMatrix
from palm_opt.wording import at_most, duration, number, plural, weight_text

__all__ = ["Loop", "blend_at", "first_round"]

Array = NDArray[np.float64]
_ROUNDING = 1e-9
_IDEAL = 0.1  # of delta: what is lost by bounding the closed form from finitely many weights
_FINEST = 1e-4  # a finer bound of the closed form would need too many weights; delta = 0 endlessly many
_AHEAD = 200  # trainings that the outlook looks ahead without a budget
_CHOOSING = 60.0  # seconds for choosing the fewest members; longer proves nothing that a user waits for


@dataclass(frozen=True)
class State:
    """The measured pool between two rounds."""

    pool: Mapping[Candidate, Measured]
    values: ValueMatrix
    steering: Steering

    @property
    def candidates(self) -> list[Candidate]:
        """The policies, in the order of the rows of `values`."""
        return list(self.pool)


class Loop:
    """One run in an open session.

    Parameters
    ----------
    epsilon, delta : the promise to reach, against the recipe's `plan.reference`.
    """

    def __init__(self, session: Session, epsilon: float, delta: float) -> None:
        self.session, self.recipe = session, session.recipe
        self.epsilon, self.delta = epsilon, delta

    def run(self) -> Portfolio:
        """Rounds until the promise is proved, training cannot help, or the budget is spent; then certify and publish.

        Ctrl-C publishes what is proved so far, without a statistical promise, and raises KeyboardInterrupt.
        """
        state: State | None = None
        try:
            if not self.session.rounds():
                first = first_round(self.recipe, self._planned() if self.recipe.plan.responses else ())
                self.session.ask((weight, None) for weight in first[: self.recipe.budget.trainings or None])
            while True:
                state = self._measured()
                weights, stop = self._next(state)
                if stop is not None:
                    break
                if self._blended(state, weights):
                    continue
                self._publish(state, self._promise(state, "running"))
                self.session.ask((weight, self._start(state, weight)) for weight in weights)
            promise = self._promise(state, stop)
            self.session.say(promise.summary)
            if len(self.session.held_out("certify")) >= 2:
                promise = statistical(self.session, state.candidates, promise)
            return self._publish(state, promise)
        except KeyboardInterrupt:
            self._interrupted(state)
            raise

    def _publish(self, state: State, promise: Promise) -> Portfolio:
        return publish(self.session, state.pool, promise)

    def _interrupted(self, state: State | None) -> None:
        """Leave a directory that says so, unless it says how an earlier run ended, with its promise and its proofs."""
        root, say = self.session.store.path, self.session.say
        try:
            said = Portfolio.load(root, check=False).run
        except StoreError:  # nothing was published yet, or it was being replaced
            said = None
        if said is not None and said["stop"] != "running":
            return
        if state is not None:
            say("interrupted: writing what is proved so far; Ctrl-C again stops at once")
            self._publish(state, self._promise(state, "interrupted"))
        elif said is not None:
            mark_interrupted(root)
        else:
            say("interrupted before anything was proved; the same command goes on from here")

    def _measured(self) -> State:
        """Train and measure whatever has been asked, and see what it proves."""
        session = self.session
        asks, rounds = list[Ask](), session.rounds()
        for round_ in rounds:  # in order: an adapter may start from one of an earlier round
            asks += round_
            candidates = session.candidates(asks)
            if round_ is not rounds[-1]:
                session.train(candidates, quiet=True)
        candidates += session.blends(candidates, self.recipe.plan.blends)
        session.train(candidates)
        pool = session.measure(candidates)
        values = table_of(self.recipe, pool)
        state = self._steering(values.array, pool)
        for missed in state.missed:
            session.say(
                f"warning: {candidates[missed.candidate].name} falls {at_most(missed.short, 2)} short of the declared "
                f"trainer error: {candidates[missed.better].name} is better at its weight"
            )
        return State(pool, values, state)

    def _start(self, state: State, weight: TrainedWeight) -> str | None:
        """The adapter trained for the nearest weight, where the recipe wants warm starts."""
        trained = [c for c in state.candidates if c.weight is not None]
        if not self.recipe.train.warm_steps or not trained:
            return None
        distance = [float(np.abs(np.array(c.weight) - np.array(weight)).sum()) for c in trained]
        return trained[int(np.argmin(distance))].name

    def _blended(self, state: State, weights: Sequence[TrainedWeight]) -> bool:
        """Write down the soups and mixtures, as the recipe wants, of weights that have none; whether there are any."""
        if state.steering.own is not None or not math.isfinite(state.steering.gap):
            return False
        blends: dict[str, list[Blend]] = {kind: [] for kind in self.recipe.plan.blends}
        for kind, wanted in blends.items():
            done = self.session.blended(kind)
            for weight in weights:
                blend = blend_at(weight, kind, state.steering, state.candidates)
                if len(blend[1]) > 1 and not any(_alike(blend, other) for other in done):
                    wanted.append(blend)
        if any(blends.values()):
            self.session.blend(blends)  # all in one line: a kill in between would leave half a round
        return any(blends.values())

    def _steering(self, array: Array, pool: Mapping[Candidate, Measured]) -> Steering:
        terms, names = self.recipe.plan, self.recipe.reward_names
        weights = [None if c.weight is None else np.array(c.weight) for c in pool]
        if terms.reference == "gibbs":
            kl = np.array([[found.kl] for found in pool.values()])
            beta = self.recipe.train.beta
            steering = steer_to(self._ideal, array - beta * kl, weights, self.epsilon, self.delta, names)
            _, gamma = steering.search.answers.oracle_error or (0.0, 0.0)
            if gamma > _ROUNDING:
                self.session.say(
                    f"warning: a measured policy is better than the closed form, by {at_most(gamma, 2)}: the promise "
                    "takes that for an error of the closed form; sample more responses (plan.responses)"
                )
            return steering
        return steer(
            array, weights, self.epsilon, self.delta, terms.error if terms.reference == "oracle" else None, names
        )

    @cached_property
    def _ideal(self) -> list[tuple[Array, Array]]:
        """Weights and Gibbs policies that bound the closed form everywhere to a fraction of delta."""
        table, beta = self.session.reference(), self.recipe.train.beta
        search = Search(table.d, epsilon=self.epsilon, delta=max(_IDEAL * self.delta, _FINEST), oracle_error=(0.0, 0.0))
        told = []
        while (weight := search.ask()) is not None:
            value = gibbs(table, weight[None], beta).values[0]
            search.tell(weight, value)
            told.append((weight, value))
        return told

    def _planned(self) -> list[TrainedWeight]:
        """The weights of the plan that the closed form makes from samples of the base model; plan.json."""
        delta = max(self.delta, _FINEST)
        made = plan(self.session.reference(), self.recipe.train.beta, epsilon=self.epsilon, delta=delta, audit=False)
        if made.stop == Stop.INTERRUPTED:
            raise KeyboardInterrupt
        made.write(self.session.store.path / "plan.json")
        self.session.say(
            f"plan from {made.responses} responses of the base model: {plural(len(made.members), 'weight')} would do "
            "(an estimate); they are trained first, beside the single rewards"
        )
        return list(map(tuple, made.weights.tolist()))

    def _next(self, state: State) -> tuple[list[TrainedWeight], str | None]:
        """The weights of the next round, or why there is none."""
        budget, steering = self.recipe.budget, state.steering
        trained = sum(candidate.weight is not None for candidate in state.candidates)
        spent = sum(self._seconds("result")) / 3600
        if steering.gap <= self.delta:
            return [], "target"
        if budget.trainings and trained >= budget.trainings:
            return [], "trainings"
        if budget.hours and spent >= budget.hours:
            return [], "hours"
        wanted = self.recipe.launch.workers
        if budget.trainings:
            wanted = min(wanted, budget.trainings - trained)
        weights = steering.next(wanted)
        if not weights:
            return [], "stalled"
        if math.isfinite(steering.gap):
            names = self.recipe.reward_names
            where = "; ".join(weight_text(weight, names) for weight in weights)
            least = "if trained policies were optimal" if self.recipe.plan.reference == "pool" else "at most"
            self.session.say(
                f"{trained} trained: worst regret {at_most(steering.gap)} {least}, {number(self.delta)} wanted; "
                f"next: {where}; {self._outlook(state, trained, spent)}"
            )
        return [tuple(weight.tolist()) for weight in weights], None

    def _seconds(self, event: str) -> list[float]:
        """How long trainings ("result") or measurements to steer by ("measured") took, where the journal knows."""
        entries = (e for e in self.session.store.entries(event) if e.get("seconds") and e.get("split") != "certify")
        return [float(entry["seconds"]) for entry in entries]

    def _outlook(self, state: State, trained: int, spent: float) -> str:
        """What is left to do: trainings that may be expected, those that the budget leaves, and the time of both.

        A training counts with the mean seconds so far, its own and those of its measurement; the end with a
        measurement of every policy on the certify split.
        """
        budget, session = self.recipe.budget, self.session
        training, measuring = (float(np.mean(self._seconds(event) or [0.0])) for event in ("result", "measured"))
        share = len(session.held_out("certify")) / max(1, len(session.held_out("select")))

        def after(more: int) -> str:
            seconds = more * (training / self.recipe.launch.workers + measuring)
            seconds += (len(state.candidates) + more) * measuring * share
            return f"{plural(more, 'more training')} in {duration(seconds)}"

        left = [budget.trainings - trained] if budget.trainings else []
        if budget.hours and training > 0:
            left.append(math.ceil(3600 * (budget.hours - spent) / training))
        most = min(left, default=_AHEAD)
        more = state.steering.expected(most)
        if more is not None and not session.outlook:
            session.say(
                "what is left is an estimate: as if each training came half-way to the best that is possible at its "
                "weight; times are means so far"
            )
        if more is None:
            session.outlook = f"at most {after(most)}" if left else "how much is left is not known"
        elif more < most:
            session.outlook = f"about {after(max(1, more))}" + (f", at most {after(most)}" if left else "")
        else:
            session.outlook = f"the budget ends after {after(most)}" if left else f"{after(most)} or more"
        return session.outlook

    def _promise(self, state: State, stop: str) -> Promise:
        """The fewest members of the pool, and the proof: against the reference, or against the pool while d unit
        weights are not trained."""
        steering, reference, names = state.steering, self.recipe.plan.reference, state.values.names
        terms: Any = {"epsilon": self.epsilon, "target": self.delta, "stop": stop, "values": state.values}
        if reference != "pool" and math.isfinite(steering.gap):
            result, chosen = steering.result(_CHOOSING)
            if result.certificate is not None:
                about = {"objective": "reward_minus_kl"} if reference == "gibbs" else {}
                return Promise(
                    members=tuple(names[i] for i in chosen),
                    reference=reference,
                    lower_bound=result.lower_bound,
                    certificate=Certificate({**result.certificate, **about}),
                    error=result.oracle_error,
                    search=steering.search,
                    told=tuple(names[i] if i >= 0 else "closed form" for i in steering.told),
                    missed=tuple((names[m.candidate], m.short) for m in steering.missed),
                    **terms,
                )
        found = solve(state.values, epsilon=self.epsilon, delta=self.delta)
        if found.stop is Stop.INTERRUPTED:
            raise KeyboardInterrupt
        members, certificate = found.members, found.certificate
        if certificate is None:  # stopped before anything was proved
            members, certificate = names, certify(state.values, names, epsilon=self.epsilon).certificate
        bound = max(1.0, found.lower_bound)
        return Promise(members=members, reference="pool", lower_bound=bound, certificate=certificate, **terms)


def blend_at(weight: TrainedWeight, kind: str, steering: Steering, candidates: Sequence[Candidate]) -> Blend:
    """The soup ("soup") or mixture ("mod", shares of sum 1) at a weight of the policies that bound OPT there."""
    parts = [(candidates[i].name, share) for i, share in steering.blend(np.array(weight))]
    total = math.fsum(share for _, share in parts) if kind == "mod" else 1.0
    return weight, [(name, share / total) for name, share in parts]


def _alike(one: Blend, other: Blend) -> bool:
    """Whether two blends have the same parts and nearly the same weight: no use to measure both."""
    near = max(abs(x - y) for x, y in zip(one[0], other[0], strict=True)) <= APART
    return near and {name for name, _ in one[1]} == {name for name, _ in other[1]}


def first_round(recipe: Recipe, planned: Sequence[TrainedWeight] = ()) -> list[TrainedWeight]:
    """The weights to begin with: the unit weights, without which nothing bounds OPT, those of a plan, and a lattice."""
    d = len(recipe.rewards)
    weights = [*np.eye(d).tolist(), *planned, *lattice(d, recipe.plan.lattice).tolist()]
    return list(dict.fromkeys(tuple(row) for row in weights))
