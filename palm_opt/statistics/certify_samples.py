"""A guarantee over prompts: choose on some of them, certify on the others (docs/theory.md, L10; docs/statistics.md)."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from palm_opt import checker
from palm_opt._version import __version__
from palm_opt.arguments import integer, items, real, refusal
from palm_opt.errors import InvalidCertificate, ProblemError
from palm_opt.result import Certificate, Result, Settings, Stop
from palm_opt.solver.separation import check_tolerances
from palm_opt.solver.solve import solve
from palm_opt.statistics import confidence
from palm_opt.statistics.looks import Ledger, level_of_look
from palm_opt.statistics.multipliers import hedged, rounded
from palm_opt.tables.samples import Samples
from palm_opt.tables.values import ValueMatrix

__all__ = ["CertifiedSamples", "certify_samples"]

Array = NDArray[np.float64]

_LEDGERS: WeakKeyDictionary[Samples, Ledger] = WeakKeyDictionary()  # of the looks taken in this process
_BETS = 1024  # bets are integers over this
_HAIR = 2.0**-26  # of the range of a reward: delta is so much above the float answer, for the checker's margins
_CHUNK = 1 << 22  # numbers in one batch of differences


@dataclass(frozen=True)
class CertifiedSamples:
    """A portfolio that serves every preference within (epsilon, delta) with probability at least 1 - alpha.

    Attributes
    ----------
    members, indices : the portfolio, by row index.
    epsilon, delta, alpha : the promise, about the clipped rewards averaged over all prompts like these.
    method : of the confidence bounds.
    look : 0 for the only look at the certification prompts, else its number; `level` is what it may spend of alpha.
    simultaneous : whether all of `bounds` hold at once with probability 1 - alpha, or each with probability 1 - alpha,
        which is what delta needs.
    bounds : (n, d) lower bounds of the means of sum_p lambda_p r_p - (1 - epsilon) r_i; delta is minus the least.
    worst : names of the candidate and of the reward where the least is.
    estimate : the same delta without confidence: a plug-in estimate on the certification prompts, not a promise.
    selection, certification : number of prompts (clusters where there are some) that chose, that certified.
    clipped : number of clipped entries by name of the reward, in all samples.
    certificate : the document that `palm_opt.verify` accepts with these samples.
    """

    members: tuple[str, ...]
    indices: tuple[int, ...]
    epsilon: float
    delta: float
    alpha: float
    level: float
    method: str
    look: int
    simultaneous: bool
    bounds: Array = field(repr=False)
    worst: tuple[str, str]
    estimate: float
    selection: int
    certification: int
    clipped: Mapping[str, int]
    certificate: Certificate = field(repr=False)
    _plan: _Plan = field(repr=False, compare=False)
    _units: Array = field(repr=False, compare=False)

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.indices)

    def prompts_needed(self, delta: float) -> float:
        """About how many certification prompts (clusters) this portfolio would need for a target delta.

        An estimate, not a promise: as if more prompts repeated the certification half, with the same multipliers.
        `math.inf` where the plug-in regret on the certification half is not below the target: the noise of that
        half, or this portfolio, is in the way.
        """
        _, delta = check_tolerances(self.epsilon, delta)
        return self._plan.needed(self._units, delta)


def certify_samples(
    samples: Samples,
    members: Iterable[str | int] | None = None,
    *,
    epsilon: float = 0.0,
    max_size: int | None = None,
    alpha: float = 0.05,
    split: float | Iterable[str] = 0.5,
    method: str = "betting",
    seed: int = 0,
    look: int | None = None,
    ledger: Ledger | None = None,
    simultaneous: bool = False,
    settings: Settings | Mapping[str, Any] | None = None,
) -> CertifiedSamples:
    """The least delta that a portfolio keeps at every weight, with probability at least 1 - alpha over the prompts.

    A share `split` of the prompts (by cluster) chooses everything: the members, the multipliers and the bets. The
    others are then opened once, and certify. Choosing and certifying on the same prompts would favour lucky candidates.

    Parameters
    ----------
    members : a portfolio fixed without the certification prompts; a str is a name, an int a row index. None: chosen on
        the selection prompts, by `palm_opt.solve` with max_size members at most; without max_size the smallest
        portfolio whose regret there is at most what noise will add to it.
    epsilon : relative tolerance, 0 <= epsilon < 1.
    split : share of the prompts that chooses; a hash of `seed` and the prompt's (cluster's) name says which. Or the
        names of the prompts (clusters) that certify, where they were held out beforehand.
    method : "betting", "bernstein" (empirical) or "hoeffding": bounds from the narrowest to the widest, as a rule.
    look, ledger : where the same prompts certify more than once: the number of this look (1, 2, ...), or a
        `palm_opt.Ledger` that counts them. The default is the only look, with all of alpha. What earlier looks showed
        must not have shaped the portfolio of a later one.
    simultaneous : bounds that hold for all candidates and rewards at once. delta does not need that, and is larger.
    settings : of the solver that chooses members.

    Raises
    ------
    ProblemError : bad input, too few prompts, or no portfolio exists.
    """
    if not isinstance(samples, Samples):
        raise refusal("samples", "a palm_opt.Samples", samples)
    if not isinstance(method, str) or method not in confidence.METHODS:
        raise ProblemError(f"method: expected one of {', '.join(confidence.METHODS)}, got {method!r}")
    alpha = real("alpha", alpha, "0 < alpha < 1", lambda x: 0 < x < 1)
    if max_size is not None:
        max_size = integer("max_size", max_size, 1)
        if members is not None:
            raise ProblemError("max_size: expected no members beside it: they have a size")
    look = None if look is None else integer("look", look)
    epsilon, _ = check_tolerances(epsilon, 0.0)
    settings = Settings.of(settings, seed=integer("seed", seed) if settings is None else None)
    if ledger is not None and not isinstance(ledger, Ledger):
        raise refusal("ledger", "a palm_opt.Ledger", ledger)
    if isinstance(split, numbers.Real):
        rule: float | tuple[str, ...] = real("split", split, "a share between 0 and 1", lambda x: 0 < x < 1)
    else:
        rule = tuple(items("split", split, "a share between 0 and 1, or a list of names that certify"))
    chooses, certifies = samples.split(rule, seed)
    terms = _Terms(float(epsilon), float(alpha), method, simultaneous, int(certifies.sum()))
    sample = samples.unit_means(chooses)
    if members is None:
        chosen = _choose(samples, sample, terms, max_size, settings)
        samples.chose[chosen] = chooses | samples.chose.get(chosen, chooses)
    else:
        chosen = samples.values(chooses).indices(members)
        if not chosen:
            raise ProblemError("members: expected at least one candidate")
        if (samples.chose.get(chosen, chooses) & certifies).any():
            raise ProblemError(
                "members: these were chosen on prompts that would now certify them; keep the split and the seed that"
                " chose them"
            )
    claim = repr((samples.sha256, chosen, terms, rule, seed))
    units = [name for name, used in zip(samples.units[0], certifies, strict=True) if used]
    undeclared = ledger is None and look is None
    counted = (ledger or _LEDGERS.setdefault(samples, Ledger())).open(
        units, claim, 0 if undeclared else look, undeclared
    )
    plan = _Plan(samples, sample, chosen, terms, counted)
    if isinstance(rule, float):
        return plan.certify(samples.unit_means(certifies), {"seed": int(seed), "selection": repr(rule)})
    return plan.certify(samples.unit_means(certifies), {"clusters": units})


@dataclass(frozen=True)
class _Terms:
    """What is asked for: the promise but for delta, and the number of observations that will certify it."""

    epsilon: float
    alpha: float
    method: str
    simultaneous: bool
    count: int

    @property
    def keep(self) -> float:
        return 1 - self.epsilon

    def level(self, look: int, pairs: int) -> float:
        """The level of each bound where `pairs` of them are needed."""
        return level_of_look(self.alpha, look) / (pairs if self.simultaneous and pairs else 1)

    def price(self, level: float) -> float:
        """What a unit of standard deviation costs in a bound to come, about."""
        log = {"betting": math.log(1 / level), "bernstein": math.log(2 / level), "hoeffding": 0.0}[self.method]
        return math.sqrt(2 * log / self.count)


def _choose(
    samples: Samples, sample: Array, terms: _Terms, max_size: int | None, settings: Settings
) -> tuple[int, ...]:
    """Members, by the exact solver on the selection half."""
    values = ValueMatrix(sample.mean(axis=0), names=samples.names, rewards=samples.rewards)
    if max_size is not None:
        found = solve(values, epsilon=terms.epsilon, max_size=min(max_size, values.n), settings=settings)
        _go_on(found)
    else:
        price = terms.price(terms.level(0, values.n * values.d))
        noise = price * float(np.median(sample.std(axis=0, ddof=1)))
        for _ in range(2):  # the noise depends on the members, which depend on the noise
            found = solve(values, epsilon=terms.epsilon, delta=noise, settings=settings)
            _go_on(found)
            if not found.indices:
                break
            expected = hedged(sample, found.indices, terms.keep, price).expected.max()
            noise = max(float(expected) - max(found.regret, 0.0), 0.0)
    if not found.indices:
        raise ProblemError(
            f"certify_samples: no portfolio on the selection prompts: {found.message}; give members, or epsilon=0"
        )
    return found.indices


def _go_on(found: Result) -> None:
    """Ctrl-C ends the choice of members, and with it everything."""
    if found.stop is Stop.INTERRUPTED:
        raise KeyboardInterrupt


class _Plan:
    """Everything that is fixed without the certification half: members, multipliers, bets; and then the bounds."""

    def __init__(self, samples: Samples, sample: Array, members: tuple[int, ...], terms: _Terms, look: int) -> None:
        self.samples, self.members, self.terms, self.look = samples, members, terms, look
        n, keep = samples.n, terms.keep
        price = terms.price(terms.level(look, n * samples.d)) + 1 / math.sqrt(len(sample))
        self.multipliers = rounded(hedged(sample, members, keep, price).shares)
        self.shares = np.zeros((n, len(members)))
        for i, row in enumerate(self.multipliers):
            for p, a in row.items():
                self.shares[i, p] = a / sum(row.values())
        own = self.shares.copy()  # coefficients of the difference, but for that of a candidate that is no member
        own[list(members), np.arange(len(members))] -= keep
        below = np.minimum(own, 0.0).sum(axis=1) - keep * ~np.isin(np.arange(n), members)
        above = np.maximum(own, 0.0).sum(axis=1)
        self.least = np.outer(above, samples.low) + np.outer(below, samples.high)
        self.width = np.outer(above, samples.high) + np.outer(below, samples.low) - self.least
        self.pairs = np.argwhere(self.least < 0)  # where the difference may be negative
        self.level = terms.level(look, len(self.pairs))
        self.bets = np.full((n, samples.d), _BETS // 2)
        if terms.method == "betting":
            for at, x in self.observations(sample):
                bet = confidence.best_bet(x, self.level, terms.count / len(sample))
                self.bets[tuple(at.T)] = np.clip(np.rint(bet * _BETS), 1, _BETS - 1)

    def observations(self, units: Array) -> Iterator[tuple[NDArray[np.int64], Array]]:
        """Batches of pairs (candidate, reward), shape (b, 2), and their differences scaled to [0, 1], shape (b, T)."""
        served = units[:, list(self.members)]
        step = max(1, _CHUNK // (len(units) * self.samples.d))
        for first in range(0, self.samples.n, step):
            rows = slice(first, first + step)
            at = self.pairs[(self.pairs[:, 0] >= first) & (self.pairs[:, 0] < first + step)]
            if len(at):
                mixed = np.einsum("tpk,ip->ikt", served, self.shares[rows], optimize=True)
                difference = mixed - self.terms.keep * units[:, rows].transpose(1, 2, 0)
                x = difference[at[:, 0] - first, at[:, 1]] - self.least[tuple(at.T)][:, None]
                yield at, np.clip(x / self.width[tuple(at.T)][:, None], 0.0, 1.0)

    def bound(self, at: NDArray[np.int64], x: Array) -> Array:
        """Lower bounds of the means of scaled differences."""
        if self.terms.method == "betting":
            return confidence.betting(x, self.level, self.bets[tuple(at.T)] / _BETS)
        return (confidence.bernstein if self.terms.method == "bernstein" else confidence.hoeffding)(x, self.level)

    def certify(self, units: Array, rule: Mapping[str, Any]) -> CertifiedSamples:
        """Bounds on the certification half, and the certificate that the checker accepts; `rule` says which half."""
        samples = self.samples
        bounds, means = self.least.copy(), self.least.copy()
        for at, x in self.observations(units):
            where = tuple(at.T)
            bounds[where] += self.width[where] * self.bound(at, x)
            means[where] += self.width[where] * x.mean(axis=1)
        candidate, reward = np.unravel_index(int(bounds.argmin()), bounds.shape)
        document, delta = self.document(-float(bounds.min()), rule)
        bounds.flags.writeable = False
        return CertifiedSamples(
            members=tuple(samples.names[i] for i in self.members),
            indices=self.members,
            epsilon=self.terms.epsilon,
            delta=delta,
            alpha=self.terms.alpha,
            level=self.level,
            method=self.terms.method,
            look=self.look,
            simultaneous=self.terms.simultaneous,
            bounds=bounds,
            worst=(samples.names[candidate], samples.rewards[reward]),
            estimate=max(0.0, -float(means.min())),
            selection=len(samples.units[0]) - len(units),
            certification=len(units),
            clipped=samples.clipped,
            certificate=document,
            _plan=self,
            _units=units,
        )

    def document(self, loss: float, rule: Mapping[str, Any]) -> tuple[Certificate, float]:
        """The certificate for the least delta above `loss` that the checker accepts, and that delta; see `certify`."""
        samples = self.samples
        document = Certificate(
            {
                "format": "palm_opt certificate",
                "version": 2,
                "kind": "statistical",
                "sha256": samples.sha256,
                "subject": samples.subject(),
                "scale": samples.scale,
                "ranges": [[repr(low), repr(high)] for low, high in samples.ranges],
                "objective": "reward",
                "epsilon": repr(self.terms.epsilon),
                "delta": "0.0",
                "alpha": repr(self.terms.alpha),
                "method": self.terms.method,
                "look": self.look,
                "simultaneous": self.terms.simultaneous,
                "certification": dict(rule),
                "members": [samples.names[i] for i in self.members],
                "multipliers": [
                    [i, *(x for pair in row.items() for x in pair)] for i, row in enumerate(self.multipliers)
                ],
                "bets": self.bets.tolist() if self.terms.method == "betting" else None,
                "producer": {"name": "palm_opt", "version": __version__},
            }
        )
        hair = _HAIR * float((samples.high - samples.low).max())
        delta = 0.0 if loss <= 0 else loss + hair
        for _ in range(8):
            document["delta"] = repr(delta)
            try:
                document.statement = checker.check(document, samples.problem()).statement
            except InvalidCertificate as error:
                delta, hair, failed = max(loss, 0.0) + 4 * hair, 4 * hair, error
            else:
                return document, delta
        raise AssertionError("the checker does not accept the bound") from failed

    def needed(self, units: Array, delta: float) -> float:
        """Observations that the empirical distribution would need for the bound -delta in every pair."""
        most = 2.0
        for at, x in self.observations(units):
            where = tuple(at.T)
            goal = (-delta - self.least[where]) / self.width[where]
            most = max(most, confidence.observations_needed(x, goal, self.level, self.terms.method))
        return most if math.isinf(most) else math.ceil(most)
