"""A guarantee over prompts: choose on some of them, certify on the others (docs/theory.md, L10; docs/statistics.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palm_opt import certificate as checker
from palm_opt import confidence
from palm_opt._version import __version__
from palm_opt.errors import InvalidCertificate, ProblemError
from palm_opt.looks import Ledger, level_of_look
from palm_opt.multipliers import hedged, rounded
from palm_opt.result import Certificate, Settings
from palm_opt.samples import Samples
from palm_opt.separation import check_tolerances

__all__ = ["CertifiedSamples", "certify_samples"]

Array = NDArray[np.float64]

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
    _needed: Callable[[float], float] = field(repr=False, compare=False)

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
        check_tolerances(self.epsilon, delta)
        return self._needed(delta)


def certify_samples(
    samples: Samples,
    members: Iterable[str | int] | None = None,
    epsilon: float = 0.0,
    max_size: int | None = None,
    alpha: float = 0.05,
    split: float = 0.5,
    method: str = "betting",
    seed: int = 0,
    look: int | None = None,
    ledger: Ledger | None = None,
    simultaneous: bool = False,
    settings: Settings | None = None,
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
    split : share of the prompts that chooses; a hash of `seed` and the prompt's (cluster's) name says which.
    method : "betting", "bernstein" (empirical) or "hoeffding": bounds from the narrowest to the widest, as a rule.
    look, ledger : where the same prompts certify more than once: the number of this look (1, 2, ...), or a
        `palm_opt.Ledger` that counts them. The default is the only look, with all of alpha.
    simultaneous : bounds that hold for all candidates and rewards at once. delta does not need that, and is larger.
    settings : of the solver that chooses members.

    Raises
    ------
    ProblemError : bad input, too few prompts, or no portfolio exists.
    """
    if method not in confidence.METHODS:
        raise ProblemError(f"method: expected one of {', '.join(confidence.METHODS)}, got {method!r}")
    if not 0 < alpha < 1:
        raise ProblemError(f"alpha: expected 0 < alpha < 1, got {alpha}")
    if max_size is not None and (members is not None or max_size < 1):
        raise ProblemError(f"max_size: expected at least 1, and no members beside it, got {max_size}")
    if look is not None and (isinstance(look, bool) or not isinstance(look, int) or look < 0):
        raise ProblemError(f"look: expected an integer >= 0, got {look!r}")
    check_tolerances(epsilon, 0.0)
    chooses, certifies = samples.split(split, seed)
    plan = _Plan(samples, epsilon, method, int(certifies.sum()), simultaneous)
    chosen = None if members is None else samples.values(chooses).indices(members)
    if members is not None and not chosen:
        raise ProblemError("members: expected at least one candidate")
    sample = samples.unit_means(chooses)
    if chosen is None:
        chosen = plan.choose(sample, alpha, max_size, settings or Settings(seed=seed))
    claim = repr((samples.sha256, chosen, epsilon, alpha, split, method, seed, simultaneous))
    units = [name for name, used in zip(samples.units[0], certifies, strict=True) if used]
    undeclared = ledger is None and look is None
    counted = (ledger or samples.ledger).open(units, claim, 0 if undeclared else look, undeclared)
    plan.fix(sample, chosen, alpha, counted)
    return plan.certify(samples.unit_means(certifies), split, seed)


class _Plan:
    """What is fixed without the certification half, and then the bounds on it."""

    def __init__(self, samples: Samples, epsilon: float, method: str, count: int, simultaneous: bool) -> None:
        self.samples, self.epsilon, self.method = samples, epsilon, method
        self.count, self.simultaneous = count, simultaneous
        self.keep = 1 - epsilon

    def price(self, level: float) -> float:
        """What a unit of standard deviation costs in a bound on the certification half, about."""
        log = {"betting": math.log(1 / level), "bernstein": math.log(2 / level), "hoeffding": 0.0}[self.method]
        return math.sqrt(2 * log / self.count)

    def choose(self, sample: Array, alpha: float, max_size: int | None, settings: Settings) -> tuple[int, ...]:
        """Members, by the exact solver on the selection half."""
        from palm_opt.solve import solve
        from palm_opt.values import ValueMatrix

        values = ValueMatrix(sample.mean(axis=0), names=self.samples.names, rewards=self.samples.rewards)
        if max_size is not None:
            size = min(max_size, values.n)
            found = solve(values, self.epsilon, max_size=size, vary="delta", settings=settings)
        else:
            level = alpha / (values.n * values.d if self.simultaneous else 1)
            noise = self.price(level) * float(np.median(sample.std(axis=0, ddof=1)))
            for _ in range(2):  # the noise depends on the members, which depend on the noise
                found = solve(values, self.epsilon, noise, settings=settings)
                if not found.indices:
                    break
                expected = hedged(sample, found.indices, self.keep, self.price(level)).expected.max()
                noise = max(float(expected) - max(found.regret, 0.0), 0.0)
        if not found.indices:
            raise ProblemError(
                f"certify_samples: no portfolio on the selection prompts: {found.message}; give members, or epsilon=0"
            )
        return found.indices

    def fix(self, sample: Array, members: tuple[int, ...], alpha: float, look: int) -> None:
        """Choose multipliers and bets on the selection half, and with them the pairs that need a bound."""
        samples = self.samples
        self.members, self.alpha, self.look = members, alpha, look
        spent = level_of_look(alpha, look)
        guess = spent / (samples.n * samples.d if self.simultaneous else 1)
        noisy = hedged(sample, members, self.keep, self.price(guess) + 1 / math.sqrt(len(sample)))
        self.multipliers = rounded(noisy.shares)
        self.shares = np.zeros((samples.n, len(members)))
        for i, row in enumerate(self.multipliers):
            for p, a in row.items():
                self.shares[i, p] = a / sum(row.values())
        own = self.shares.copy()
        own[list(members), np.arange(len(members))] -= self.keep
        below = np.minimum(own, 0.0).sum(axis=1) - self.keep * ~np.isin(np.arange(samples.n), members)
        above = np.maximum(own, 0.0).sum(axis=1)
        self.least = np.outer(above, samples.low) + np.outer(below, samples.high)
        self.width = np.outer(above, samples.high) + np.outer(below, samples.low) - self.least
        self.pairs = np.argwhere(self.least < 0)  # where the difference may be negative
        self.level = spent / max(len(self.pairs) if self.simultaneous else 1, 1)
        self.bets = np.full((samples.n, samples.d), _BETS // 2)
        if self.method == "betting":
            repeat = self.count / len(sample)
            for at, x in self.observations(sample):
                bet = confidence.best_bet(x, self.level, repeat)
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
                difference = mixed - self.keep * units[:, rows].transpose(1, 2, 0)
                difference = (difference - self.least[rows, :, None]) / np.where(self.width > 0, self.width, 1.0)[
                    rows, :, None
                ]
                yield at, np.clip(difference[at[:, 0] - first, at[:, 1]], 0.0, 1.0)

    def bound(self, at: NDArray[np.int64], x: Array) -> Array:
        """Lower bounds of the means of scaled differences."""
        if self.method == "betting":
            return confidence.betting(x, self.level, self.bets[tuple(at.T)] / _BETS)
        return (confidence.bernstein if self.method == "bernstein" else confidence.hoeffding)(x, self.level)

    def certify(self, units: Array, split: float, seed: int) -> CertifiedSamples:
        """Bounds on the certification half, and the certificate that the checker accepts."""
        samples = self.samples
        bounds, means = self.least.copy(), self.least.copy()
        for at, x in self.observations(units):
            where = tuple(at.T)
            bounds[where] += self.width[where] * self.bound(at, x)
            means[where] += self.width[where] * x.mean(axis=1)
        candidate, reward = np.unravel_index(int(bounds.argmin()), bounds.shape)
        document, delta = self.document(-float(bounds.min()), split, seed)
        bounds.flags.writeable = False
        return CertifiedSamples(
            members=tuple(samples.names[i] for i in self.members),
            indices=self.members,
            epsilon=self.epsilon,
            delta=delta,
            alpha=self.alpha,
            level=self.level,
            method=self.method,
            look=self.look,
            simultaneous=self.simultaneous,
            bounds=bounds,
            worst=(samples.names[candidate], samples.rewards[reward]),
            estimate=max(0.0, -float(means.min())),
            selection=len(samples.units[0]) - len(units),
            certification=len(units),
            clipped=samples.clipped,
            certificate=document,
            _needed=lambda target: self.needed(units, target),
        )

    def document(self, loss: float, split: float, seed: int) -> tuple[Certificate, float]:
        """The certificate for the least delta above `loss` that the checker accepts, and that delta."""
        samples = self.samples
        document = Certificate(
            {
                "format": "palm_opt certificate",
                "version": 1,
                "kind": "statistical",
                "sha256": samples.sha256,
                "subject": samples.subject(),
                "scale": samples.scale,
                "ranges": [[low.hex(), high.hex()] for low, high in samples.ranges],
                "objective": "reward",
                "epsilon": float(self.epsilon).hex(),
                "delta": (0.0).hex(),
                "alpha": float(self.alpha).hex(),
                "method": self.method,
                "look": self.look,
                "simultaneous": self.simultaneous,
                "certification": {"seed": int(seed), "selection": float(split).hex()},
                "members": [samples.names[i] for i in self.members],
                "multipliers": [
                    [i, *(x for pair in row.items() for x in pair)] for i, row in enumerate(self.multipliers)
                ],
                "bets": self.bets.tolist() if self.method == "betting" else None,
                "producer": {"name": "palm_opt", "version": __version__},
            }
        )
        hair = _HAIR * float((samples.high - samples.low).max())
        delta = 0.0 if loss <= 0 else loss + hair
        for _ in range(8):
            document["delta"] = delta.hex()
            try:
                checker.check(document, samples.problem())
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
            most = max(most, confidence.observations_needed(x, goal, self.level, self.method))
        return most if math.isinf(most) else math.ceil(most)
