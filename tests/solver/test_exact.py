"""Exact arithmetic against its definitions in Fractions of decimals."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.solver.exact import ExactValues, integer_weight
from tests.solver.tiny import integer_weights, tiny
from tests.verify import corners, exact_rows, rational

NUMBER = st.floats(-1e6, 1e6) | st.floats(-1, 1, width=16) | st.sampled_from([0.1, -0.3, 1e-300, 5e-324, 1e22, 123.456])
SCALES = ["none", "minmax", (0.1, 0.7), (-3.0, 1e-3)]


@st.composite
def matrices(draw):
    """Numbers of any length on any scale, those on log scales positive."""
    n, d = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    scale = [draw(st.sampled_from([*SCALES, "log"])) for _ in range(d)]
    columns = [[draw(st.floats(1e-9, 1e9) if s == "log" else NUMBER) for _ in range(n)] for s in scale]
    names = [draw(st.sampled_from(["", "-"])) + f"r{k}" for k in range(d)]
    return palm.ValueMatrix(np.array(columns).T, scale=scale, rewards=names)


@given(matrices())
def test_rows_are_what_the_decimals_mean(values):
    exact = ExactValues(values, 0.0, 0.0)
    for i, row in enumerate(exact_rows(values)):
        assert [Fraction(x, exact.denominator) for x in exact.row(i)] == row


@given(st.lists(st.floats(0, 1e300) | st.fractions(0, 10), min_size=1, max_size=6).filter(any))
def test_integer_weight_is_proportional_and_in_lowest_terms(weight):
    found = integer_weight(weight)
    exact = [Fraction(x) for x in weight]
    assert all(type(x) is int and x >= 0 for x in found) and np.gcd.reduce(np.array(found, dtype=object)) == 1
    assert [Fraction(x, sum(found)) for x in found] == [x / sum(exact) for x in exact]


@given(st.data(), tiny(), st.sampled_from([0.0, 0.1, 1 / 3, 1 - 2**-53]), st.sampled_from([0.0, 0.1, 1e-17, 2.5]))
def test_dot_best_and_covers_are_the_definitions(data, problem, epsilon, delta):
    values = problem.values
    exact, weight = ExactValues(values, epsilon, delta), data.draw(integer_weights(values.d))
    products = [sum(w * x for w, x in zip(weight, row, strict=True)) for row in problem.rows]
    assert [Fraction(exact.dot(weight, i), exact.denominator) for i in range(values.n)] == products
    best = exact.best(weight, range(values.n))
    assert Fraction(best, exact.denominator) == max(products)
    least = (1 - rational(epsilon)) * max(products) - rational(delta) * sum(weight)
    assert [exact.covers(weight, i, best) for i in range(values.n)] == [x >= least for x in products]


@given(st.data(), tiny(), st.integers(1, 2**60))
def test_proves_is_the_definition_to_the_last_tie(data, problem, unit):
    values, rows = problem.values, problem.rows
    members = data.draw(st.lists(st.integers(0, values.n - 1), min_size=1, max_size=4, unique=True))
    i = data.draw(st.integers(0, values.n - 1))
    shares = data.draw(st.lists(st.integers(0, 5), min_size=len(members), max_size=len(members)))
    total = max(1, sum(shares))
    mixed = [sum(a * rows[j][k] for a, j in zip(shares, members, strict=True)) / total for k in range(values.d)]
    short = max(x - y for x, y in zip(rows[i], mixed, strict=True))  # without epsilon: the least delta
    mixture = {p: a * unit for p, a in enumerate(shares)}
    for delta in {0.0, 0.0625, 0.1, max(0.0, float(short)), max(0.0, float(np.nextafter(float(short), -1)))}:
        exact = ExactValues(values, 0.0, delta)
        assert exact.proves(i, members, mixture) == (any(shares) and short <= rational(delta))


@given(st.data(), tiny())
def test_game_has_the_value_of_all_corners_and_both_its_proofs(data, problem):
    values, rows, exact = problem.values, problem.rows, problem.pool.exact
    members = data.draw(st.lists(st.integers(0, values.n - 1), min_size=1, max_size=4, unique=True))
    i = data.draw(st.integers(0, values.n - 1))
    value, weight, mixture = exact.game(i, members)
    keep = 1 - rational(problem.epsilon)

    def lost(w):
        served = max(sum(a * x for a, x in zip(w, rows[j], strict=True)) for j in members)
        return (keep * sum(a * x for a, x in zip(w, rows[i], strict=True)) - served) / sum(w)

    assert value == max(map(lost, corners([rows[j] for j in members]))) == lost(weight)
    total = sum(mixture.values())
    assert all(type(share) is int and share > 0 for share in mixture.values())
    mixed = [sum(a * rows[members[p]][k] for p, a in mixture.items()) / total for k in range(values.d)]
    assert max(keep * x - y for x, y in zip(rows[i], mixed, strict=True)) == value
    assert exact.proves(i, members, mixture) == (value <= rational(problem.delta))
    other = {p: data.draw(st.integers(0, 3)) for p in range(len(members))}
    assert not exact.proves(i, members, other) or value <= rational(problem.delta)  # no mixture does better


@given(st.data(), tiny())
def test_other_tolerances_change_the_promise_and_not_the_rows(data, problem):
    values, weight = problem.values, data.draw(integer_weights(problem.values.d))
    before = ExactValues(values, 0.3, 0.25)
    after, fresh = before.at(problem.epsilon, problem.delta), problem.pool.exact
    best = fresh.best(weight, range(values.n))
    for i in range(values.n):
        assert after.row(i) == before.row(i) == fresh.row(i)
        assert after.covers(weight, i, best) == fresh.covers(weight, i, best) == (i in problem.covering(weight))
    assert (before.keep, before.delta) == (Fraction(7, 10), Fraction(1, 4))
