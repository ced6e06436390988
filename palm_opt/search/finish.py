"""From answers to a result: choose the members, prove the promise, have the proof checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt import checker
from palm_opt._version import __version__
from palm_opt.result import Certificate
from palm_opt.search.asking import Asking
from palm_opt.search.conditional import answered_part, corner_part
from palm_opt.search.envelope import margin
from palm_opt.search.prune import Selection, fewest
from palm_opt.search.result import SearchResult
from palm_opt.solver.separation import separate

__all__ = ["conclude"]


def conclude(search: Asking, time_limit: float, among: Sequence[int] | None = None) -> SearchResult:
    """The result of a search at any time; members are chosen `among` the answers of these numbers (all by default)."""
    answers = search.answers
    if len(answers.units) < search.d:
        members = tuple(range(len(answers)) if among is None else among)
        return _result(search, members, np.inf, None, None, 1, 1, {})
    envelope, bounds = search.parts
    if among is not None:
        envelope = search.restricted(among)
    gap, _ = envelope.worst(bounds.outer)
    promise = max(search.delta, gap + 2 * margin(envelope.exponents))
    portfolio = fewest(
        answers.values, envelope, bounds, answers.weights[answers.asked], promise, time_limit, search.seed
    )
    info = {
        "gap": gap,
        "lps": bounds.outer.lps,
        "pivots": bounds.outer.pivots,
        "corners": len(envelope.alive()),
        "corners_made": envelope.corners.births,
        "sides_decided_exactly": envelope.open_sides,
        "points_shifted_again": envelope.shifts,
        "covers": portfolio.rounds,
        "rows": len(portfolio.weights),
    }
    worst, weight = portfolio.envelope.worst(bounds.outer)
    if answers.oracle_error is None:
        targets = (1 - search.epsilon) * answers.values
        games = separate(targets, answers.values[list(portfolio.members)])
        top = int(games.regret.argmax())
        regret, weight = float(games.regret[top]), games.weights[top]
        return _result(search, portfolio.members, max(0.0, regret), weight, None, 1, portfolio.claimed, info)
    worst = max(0.0, worst + margin(envelope.exponents))  # what rounding of points and multipliers can take
    level = search.delta if worst <= search.delta else math.nextafter(worst, math.inf)
    document, proved = _certify(search, portfolio, level)
    regret = worst if document is not None else np.inf
    return _result(search, portfolio.members, regret, weight, document, proved, portfolio.claimed, info)


def _certify(search: Asking, portfolio: Selection, delta: float) -> tuple[Certificate | None, int]:
    """The certificate that the exact checker accepted, and the lower bound in it; (None, 1) where it did not."""
    answers, (_, bounds) = search.answers, search.parts
    subject = search.problem()
    error = answers.consistent_error()
    assert error is not None
    document: dict[str, Any] = {
        "format": "palm_opt certificate",
        "version": 2,
        "kind": "conditional",
        "sha256": subject.sha256(),
        "subject": subject.subject(),
        "objective": "reward",
        "epsilon": repr(search.epsilon),
        "delta": repr(delta),
        "oracle_error": [repr(x) for x in error],
        "floor": None if answers.floor is None else list(map(repr, answers.floor.tolist())),
        "members": list(portfolio.members),
        **corner_part(portfolio.envelope, bounds, answers.weights),
        "producer": {"name": "palm_opt", "version": __version__},
    }
    answered = answered_part(
        answers.values,
        portfolio.weights,
        answers.weights[answers.asked],
        answers.limits[answers.asked],
        bounds,
        search.epsilon,
        delta,
        document["exponent"],
        len(portfolio.members),
    )
    if answered is not None and (found := _accepted({**document, "answered": answered}, subject)):
        return found, int(answered["lower_bound"])
    return _accepted(document, subject), 1


def _accepted(document: dict[str, Any], subject: checker.Answers) -> Certificate | None:
    """The certificate of a document that the checker accepts."""
    found = Certificate(document)
    try:
        found.statement = checker.check(checker.parse(document), subject).statement
    except checker.InvalidCertificate:
        return None
    return found


def _result(
    search: Asking,
    members: tuple[int, ...],
    regret: float,
    weight: NDArray[np.float64] | None,
    certificate: Certificate | None,
    lower_bound: int,
    claimed: int,
    info: dict[str, Any],
) -> SearchResult:
    answers, chosen = search.answers, list(members)
    return SearchResult(
        members=tuple(map(str, members)),
        indices=members,
        weights=answers.weights[chosen],
        values=answers.values[chosen],
        calls=search.calls,
        epsilon=search.epsilon,
        delta=search.delta,
        reference="pool" if answers.oracle_error is None else "oracle",
        oracle_error=answers.consistent_error(),
        regret=regret,
        worst_weight=weight,
        certificate=certificate,
        lower_bound=lower_bound,
        claimed_bound=claimed,
        outstanding=len(search.outstanding),
        info=info,
    )
