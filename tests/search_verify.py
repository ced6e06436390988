"""What every test of a search checks: the result against the certificate, exact bounds, and a known truth."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

import palm_opt as palm
from tests.envelope_twins import corners, exact_outer_bound, random_weights
from tests.verify import rational

Oracle = Callable[[np.ndarray], np.ndarray]


def run(search: palm.Search, oracle: Oracle, limit: int = 2000) -> palm.SearchResult:
    """Ask and tell to the end."""
    for _ in range(limit):
        weight = search.ask()
        if weight is None:
            return search.result()
        search.tell(weight, oracle(weight))
    raise AssertionError(f"no end after {limit} calls")


def verify_search(search: palm.Search, result: palm.SearchResult, points: int = 2000) -> None:
    """Certificate by the exact checker, regret against the outer bound at its corners and at random weights."""
    assert result.indices == tuple(sorted(set(result.indices))) and result.members == tuple(map(str, result.indices))
    assert np.array_equal(result.values, search.answers.values[list(result.indices)])
    assert result.calls == np.isfinite(search.answers.limits).sum()
    if search.answers.oracle_error is None:
        assert result.certificate is None and result.reference == "pool" and result.lower_bound == 1
        return
    assert result.reference == "oracle" and result.certificate is not None
    proved = palm.verify(result.certificate, search)
    assert proved.kind == "conditional" and proved.members == result.size and proved.epsilon == result.epsilon
    assert proved.delta >= result.regret >= 0 and (proved.delta == result.delta) == (result.regret <= result.delta)
    assert proved.details.get("answered_lower_bound", 1) == result.lower_bound <= result.size
    keep, rng = 1 - result.epsilon, np.random.default_rng(0)
    bounds = search.parts[1]
    size = np.abs(search.answers.values).max()
    for weight in random_weights(rng, points, search.d):
        gap = keep * bounds.solve(weight).value - (result.values @ weight).max()
        assert gap <= result.regret + 1e-9 * size


def exact_gap(search: palm.Search, result: palm.SearchResult) -> Fraction:
    """The worst gap against the outer bound in rationals, by enumeration: for few answers."""
    answers = search.answers
    eta, gamma = map(rational, result.oracle_error)
    weights = [list(map(rational, row)) for row in answers.weights[answers.asked].tolist()]
    values = [list(map(rational, row)) for row in answers.values[answers.asked].tolist()]
    limits = [
        (sum(a * b for a, b in zip(w, v, strict=True)) + gamma * sum(w)) / (1 - eta)
        for w, v in zip(weights, values, strict=True)
    ]
    members = [list(map(rational, row)) for row in result.values.tolist()]
    keep = 1 - rational(result.epsilon)
    return max(keep * exact_outer_bound(weights, limits, w) - z for w, z in corners(members).values())
