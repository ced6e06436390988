"""Whether portfolios keep the promise, and its proof, against all corners in Fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt import checker
from palm_opt.solver.cover import Pool
from palm_opt.solver.quality import assemble, at_least, at_most, check_quality, games, prove_quality
from palm_opt.solver.run import Run
from palm_opt.tables.decimals import ceil_float
from tests.solver.tiny import Tiny, tiny
from tests.verify import corners, rational, verify_certificate, worst_regret


@st.composite
def portfolios(draw, most=7):
    """A problem, some of its candidates, and the worst that they lose."""
    problem = draw(tiny(most, sides=False))
    rows = st.integers(0, problem.values.n - 1)
    members = tuple(sorted(draw(st.sets(rows, min_size=1, max_size=4))))
    return problem, members, worst_regret(problem.values, members, problem.epsilon)


def promising(problem, delta) -> Pool:
    return Pool(problem.values, problem.epsilon, delta)


@given(portfolios())
def test_check_quality_decides_as_all_corners_do(case):
    problem, members, worst = case
    delta = rational(problem.delta)
    quality = check_quality(problem.pool, members, Run())
    size = max(abs(x) for row in problem.rows for x in row)
    assert quality.kept == (worst <= delta) == problem.keeps(members)
    assert abs(quality.regret - worst) <= 1e-9 * size
    at_weight = problem.regret(members, [Fraction(x) for x in quality.weight.tolist()])
    assert abs(at_weight - worst) <= 1e-9 * size
    assert quality.games == len(problem.pool.front)
    assert (len(quality.violated) == 0) == quality.kept
    for weight in quality.violated:
        exact = [Fraction(x) for x in weight]
        if isinstance(quality.violated, list):  # where floats cannot tell: exactly
            assert problem.regret(members, exact) > delta
        else:
            assert sum(exact) == 1 and min(exact) >= 0
            assert problem.regret(members, exact) > delta - Fraction(1, 10**9) * size


@given(portfolios())
def test_the_least_delta_is_kept_and_the_float_below_is_not(case):
    problem, members, worst = case
    least = max(0.0, ceil_float(worst))
    quality = check_quality(promising(problem, least), members, Run())
    assert quality.kept and quality.regret <= least
    if least > 0:
        below = check_quality(promising(problem, math.nextafter(least, 0.0)), members, Run())
        assert not below.kept and below.exact >= 1
        exact = Tiny(problem.values, problem.epsilon, math.nextafter(least, 0.0))
        assert all(problem.regret(members, weight) > rational(exact.delta) for weight in below.violated)


@given(portfolios(), st.booleans())
def test_every_undominated_candidate_has_multipliers_that_prove_it(case, tight):
    problem, members, worst = case
    pool = promising(problem, max(0.0, ceil_float(worst)) if tight else max(problem.delta, float(worst) + 0.01))
    quality = check_quality(pool, members, Run())
    rows = prove_quality(pool, members, quality, Run())
    assert [row[0] for row in rows] == pool.front.tolist()
    for row in rows:
        positions, shares = row[1::2], row[2::2]
        assert positions == sorted(set(positions)) and set(positions) <= set(range(len(members)))
        assert min(shares) > 0 and math.gcd(*shares) == 1
        assert pool.exact.proves(row[0], members, dict(zip(positions, shares, strict=True)))
        if row[0] in members and pool.exact.proves(row[0], [row[0]], {0: 1}):
            assert row[1:] == [members.index(row[0]), 1]
    document = assemble(pool, members, rows)
    assert verify_certificate(document, problem.values) == 0
    proved = checker.check(document, problem.values.problem())
    assert proved.cost == problem.cost(members)


@given(portfolios(), st.data())
def test_multipliers_of_a_tight_proof_bear_no_less_delta(case, data):
    problem, members, worst = case
    least = max(0.0, ceil_float(worst))
    assume(least > 0)
    pool = promising(problem, least)
    document = assemble(pool, members, prove_quality(pool, members, check_quality(pool, members, Run()), Run()))
    document["delta"] = repr(data.draw(st.sampled_from([math.nextafter(least, 0.0), least / 2, 0.0])))
    with pytest.raises(palm.InvalidCertificate):
        checker.check(document, problem.values.problem())


@given(portfolios())
def test_bounds_of_games_enclose_their_values(case):
    problem, members, _ = case
    pool, keep = problem.pool, 1 - rational(problem.epsilon)
    found = games(pool, members, Run())
    low = at_least(pool, members, found, np.arange(len(pool.front)))
    high = at_most(pool, members, found)
    points = corners([problem.rows[j] for j in members])
    size = max(abs(x) for row in problem.rows for x in row)
    for i, below, above in zip(pool.front.tolist(), low.tolist(), high.tolist(), strict=True):
        served = [max(sum(a * x for a, x in zip(w, problem.rows[j], strict=True)) for j in members) for w in points]
        own = [keep * sum(a * x for a, x in zip(w, problem.rows[i], strict=True)) for w in points]
        value = max(a - b for a, b in zip(own, served, strict=True))
        assert below <= value <= above
        assert above - below <= 1e-7 * size + Fraction(1, 10**290)


def test_no_more_violated_weights_than_asked_for():
    array = np.random.default_rng(0).random((300, 3))
    pool = Pool(palm.ValueMatrix(array), 0.0, 0.01)
    for limit in (1, 7):
        quality = check_quality(pool, (0,), Run(), limit)
        assert not quality.kept and 1 <= len(quality.violated) <= limit


def test_assemble_names_what_was_asked():
    values = palm.ValueMatrix([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], names=["a", "b", "c"], rewards=["x", "-y"])
    pool = Pool(values, 0.05, 0.1, ("b",), ("c",))
    document = assemble(pool, (0, 1), [[0, 0, 1]], objective="reward")
    assert (document["members"], document["required"], document["forbidden"]) == (["a", "b"], ["b"], ["c"])
    assert (document["epsilon"], document["delta"], document["lower_bound"]) == ("0.05", "0.1", "0")
    assert document["subject"]["rewards"] == ["x", "-y"] and document["sha256"] == values.sha256
    assert document["dominators"] == pool.dominator.tolist()
    assert assemble(pool, (), [])["dominators"] == []


def test_a_tie_that_only_rationals_can_prove():
    """Halves and thirds of the members serve the last candidate to the last bit."""
    for members, best, shares, exact in (([2.0, 2.0], 1.25, [1, 1], 0), ([3.0, 6.0], 2.25, [2, 1], 1)):
        pool = Pool(palm.ValueMatrix([*np.diag(members).tolist(), [best, best]]), 0.0, 0.25)
        quality = check_quality(pool, (0, 1), Run())
        assert quality.kept and quality.exact == exact and quality.regret == 0.25
        assert prove_quality(pool, (0, 1), quality, Run())[2] == [2, 0, shares[0], 1, shares[1]]
