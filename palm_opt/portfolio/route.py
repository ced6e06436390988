"""Route a user's preference to the member that serves it best. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from palm_opt.errors import ProblemError, StoreError
from palm_opt.portfolio.directory import Portfolio
from palm_opt.portfolio.manifest import Member
from palm_opt.wording import at_least, at_most

__all__ = ["Route", "route"]

_ROUNDING = 1e-9  # of sums of d products, each side on its own


@dataclass(frozen=True)
class Route:
    """Where a preference goes.

    Attributes
    ----------
    member : name of the member with the largest w.v, v scaled to [0, 1] by the declared ranges; ties to the first.
    expected : its measured value in each reward, in the rewards' own units.
    value : w.v of that member.
    regret : the best w.v of all measured candidates minus `value`; never more than the certificate promises.
    weight : the weight meant: every reward, sum 1.
    adapter : folder of the adapter, or None for the base model and mixtures.
    parts : {part: share} of a mixture, which takes a forward pass a part and token to serve; else None.
        `palm_opt.align.load_member` loads a member of any kind.
    """

    member: str
    expected: Mapping[str, float]
    value: float
    regret: float
    weight: Mapping[str, float]
    adapter: Path | None
    parts: Mapping[str, float] | None = None


def route(portfolio: Portfolio | str | Path, weight: Mapping[str, float]) -> Route:
    """The member of a portfolio that serves a preference best, and what that costs against the best measured policy.

    Parameters
    ----------
    portfolio : a portfolio, or its directory (read with all checks but the adapters' hashes).
    weight : {reward: number >= 0}, not all 0; divided by the sum; a reward left out counts 0.

    Raises
    ------
    ProblemError : an unknown reward, a negative or infinite number, or nothing above 0.
    StoreError : the directory is damaged or unsafe.
    """
    if not isinstance(portfolio, Portfolio):
        portfolio = Portfolio.load(portfolio, check=False)
    w = _normalised(portfolio, weight)
    scores = [_score(portfolio, w, [member.value[name] for name in w]) for member in portfolio.members]
    best = max(range(len(scores)), key=scores.__getitem__)
    member, value = portfolio.members[best], scores[best]
    return Route(
        member=member.name,
        expected=dict(member.value),
        value=value,
        regret=_regret(portfolio, w, value),
        weight=w,
        adapter=_adapter(portfolio, member),
        parts=member.parts,
    )


def _normalised(portfolio: Portfolio, weight: Mapping[str, float]) -> dict[str, float]:
    known = portfolio.rewards
    for name, x in weight.items():
        if name not in known:
            raise ProblemError(f"weight: unknown reward {name!r}; this portfolio knows {', '.join(known)}")
        if isinstance(x, bool) or not isinstance(x, (int, float)) or not math.isfinite(x) or x < 0:
            raise ProblemError(f"weight: {name}: expected a number >= 0, got {x!r}")
    largest = max(weight.values(), default=0)
    if not largest > 0:
        raise ProblemError(f"weight: expected at least one number above 0 for {', '.join(known)}")
    scaled = {name: weight.get(name, 0) / largest for name in known}  # first by the largest: the sum cannot overflow
    total = math.fsum(scaled.values())
    return {name: x / total for name, x in scaled.items()}


def _score(portfolio: Portfolio, w: Mapping[str, float], value: Iterable[float]) -> float:
    pairs = zip(w.values(), value, portfolio.ranges, strict=True)
    return math.fsum(x * (v - low) / (high - low) for x, v, (low, high) in pairs)


def _adapter(portfolio: Portfolio, member: Member) -> Path | None:
    return None if member.adapter is None else portfolio.path / member.adapter


def _regret(portfolio: Portfolio, w: Mapping[str, float], value: float) -> float:
    """Regret against the measured pool; without its table, the most that the promise allows."""
    epsilon, delta = portfolio.epsilon, portfolio.delta
    if portfolio.pool is not None:
        best = max(_score(portfolio, w, row) for row in portfolio.pool.values())
        if value > best + _ROUNDING:
            raise StoreError(f"{portfolio.path}: a member has {value!r} at this weight, values.csv at most {best!r}")
        regret = max(0.0, best - value)
        if epsilon is None or delta is None or portfolio.objective != "reward":
            return regret  # a promise with the KL counted says nothing about rewards alone
        promised = epsilon * max(best, 0.0) + delta
        if regret > promised + _ROUNDING:
            raise StoreError(
                f"{portfolio.path}: regret {at_least(regret, 6)} in values.csv, promised {at_most(promised, 6)}: not "
                "certified"
            )
        return min(regret, promised)  # the same up to rounding
    if epsilon is None or delta is None or portfolio.objective != "reward":
        raise StoreError(f"{portfolio.path}: neither values.csv nor a promise of rewards: no regret can be stated")
    return max(0.0, (value + delta) / (1 - epsilon) - value)
