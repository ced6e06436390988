"""Dominance, exact coverage and the reduction of covers, each against an obvious slow twin."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.preferences.simplex import snap
from palm_opt.solver.cover import Cover, Pool, Witnesses, skyline
from tests.solver.tiny import integer_weights, tiny
from tests.verify import rational

# ---- dominance -------------------------------------------------------------------------------------------------------

LEVELS = [
    st.integers(0, 3).map(float),
    st.sampled_from([0.0, -0.0, 1e-16, 1.0, 1.0 + 2**-52, 1e16]),  # sums of these round to ties
    st.sampled_from([-1.7e308, 0.0, 1e308, 1.7e308]),  # and of these overflow
]


@st.composite
def tables(draw):
    n, d = draw(st.integers(1, 14)), draw(st.integers(1, 5))
    level = draw(st.sampled_from(LEVELS))
    rows = draw(st.lists(st.lists(level, min_size=d, max_size=d), min_size=n, max_size=n))
    costs = draw(st.none() | st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=n, max_size=n))
    return np.array(rows), None if costs is None else np.array(costs)


def beats(values, costs, a, b):
    """Whether row a is at least row b at no greater cost."""
    return all(x >= y for x, y in zip(values[a], values[b], strict=True)) and costs[a] <= costs[b]


@given(tables())
def test_skyline_keeps_one_of_what_nothing_beats(table):
    values, given_costs = table
    costs = np.zeros(len(values)) if given_costs is None else given_costs
    dominator, front = skyline(values, given_costs)
    rows = range(len(values))
    best = [i for i in rows if all(beats(values, costs, i, j) for j in rows if beats(values, costs, j, i))]
    kinds = [{j for j in best if beats(values, costs, i, j) and beats(values, costs, j, i)} for i in best]
    assert front.tolist() == sorted(front.tolist()) and set(front.tolist()) <= set(best)
    assert all(len(kind & set(front.tolist())) == 1 for kind in kinds)
    for i in rows:
        assert (dominator[i] == -1) == (i in front)
        assert i in front or (dominator[i] in front and beats(values, costs, dominator[i], i))


@given(tables())
def test_skyline_that_has_had_enough_is_right_in_what_it_says(table):
    values, given_costs = table
    costs = np.zeros(len(values)) if given_costs is None else given_costs
    dominator, front = skyline(values, given_costs, lambda: True)
    assert set(skyline(values, given_costs)[1].tolist()) <= set(front.tolist())
    for i, j in enumerate(dominator.tolist()):
        assert (j == -1) == (i in front) and (j == -1 or (j in front and beats(values, costs, j, i)))


@given(st.data(), tiny())
def test_every_row_that_may_be_selected_has_a_column_as_good(data, problem):
    pool, n = problem.pool, problem.values.n
    out = frozenset(data.draw(st.sets(st.integers(0, n - 1)))) - set(problem.require)
    less = pool.forbidden | out
    for gone, columns in ((pool.forbidden, pool.columns), (less, pool.selectable(less))):
        able = [i for i in range(n) if i not in gone]
        assert set(problem.require) <= set(columns.tolist()) <= set(able)
        for i in able:
            assert any(beats(pool.numbers, problem.values.costs, j, i) for j in columns)
    left = set(pool.columns.tolist()).union(*(pool.revealed(i, out).tolist() for i in out)) - out
    assert not left & pool.forbidden
    for i in set(range(n)) - out - pool.forbidden:
        assert any(beats(pool.numbers, problem.values.costs, j, i) for j in left)


@given(st.data(), tiny())
def test_cost_and_dominance_of_a_pool(data, problem):
    pool, n = problem.pool, problem.values.n
    members = data.draw(st.sets(st.integers(0, n - 1)))
    assert pool.cost(members) == sum((rational(problem.values.costs[i]) for i in members), Fraction(0))
    able = [problem.values.costs[i] for i in range(n) if i not in problem.forbid]
    assert pool.whole_costs == all(cost == int(cost) for cost in able)
    pairs = np.array([(a, b) for a in range(n) for b in range(n)])
    expected = [all(x >= y for x, y in zip(problem.rows[a], problem.rows[b], strict=True)) for a, b in pairs]
    constant = {k for k in range(problem.values.d) if len({row[k] for row in problem.rows}) == 1}
    if not constant:  # a constant column on minmax is 0 whatever it held
        assert pool.dominates(pairs[:, 0], pairs[:, 1]).tolist() == expected
    for i, j in enumerate(pool.dominator.tolist()):
        assert j == -1 or all(x >= y for x, y in zip(problem.rows[j], problem.rows[i], strict=True))


# ---- witnesses -------------------------------------------------------------------------------------------------------


@given(st.data(), tiny())
def test_coverage_is_that_of_rationals_as_rows_come_and_go(data, problem):
    d, n, rows = problem.values.d, problem.values.n, Witnesses(problem.pool)

    def agree():
        for wanted in (list(range(n)), problem.pool.columns):
            found = rows.coverage(wanted)
            assert found.shape == (len(rows), len(wanted))
            for line, weight in zip(found.tolist(), rows.integer, strict=True):
                covering = problem.covering(weight)
                assert line == [i in covering for i in wanted]

    weights = data.draw(st.lists(integer_weights(d), min_size=1, max_size=6))
    first = rows.add(weights)
    assert [rows.integer[row] for row in first] == weights and len(rows) == len(set(weights))
    rows.coverage([n - 1])
    floats = snap(np.array(data.draw(st.lists(integer_weights(d), min_size=1, max_size=4)), dtype=np.float64))
    second = rows.add(floats)
    for row, weight in zip(second, floats.tolist(), strict=True):
        exact = [Fraction(x) for x in weight]
        assert [Fraction(x, sum(rows.integer[row])) for x in rows.integer[row]] == exact and sum(exact) == 1
    agree()
    some = np.array(sorted(set(second)))
    assert np.array_equal(rows.coverage([0, n - 1], some), rows.coverage([0, n - 1])[some])
    kept = np.array(sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1))))
    before = list(rows.integer)
    moved = rows.keep(kept)
    assert rows.integer == [before[j] for j in kept]
    assert moved.tolist() == [kept.tolist().index(j) if j in kept else -1 for j in range(len(before))]
    agree()
    rows.add(weights)
    agree()


@pytest.mark.parametrize("magnitude", [1e-200, 1.0, 1e200])
def test_coverage_at_ties_of_any_magnitude_is_decided_exactly(magnitude):
    """Candidates on a line tie at one weight; one decimal less or more decides."""
    array = np.array([[3.0, 0.0], [0.0, 1.0], [0.3, 0.9], [0.3, 0.89999999999999], [1.5, 0.50000000000001]])
    values = palm.ValueMatrix([[float(f"{x!r}e{round(np.log10(magnitude))}") for x in row] for row in array.tolist()])
    pool = Pool(values, 0.0, 0.0)
    rows = Witnesses(pool)
    rows.add([(1, 3)])
    assert rows.coverage(range(5)).tolist() == [[False, False, False, False, True]]
    assert rows.doubtful > 0
    rows = Witnesses(Pool(palm.ValueMatrix(values.raw[:4]), 0.0, 0.0))
    rows.add([(1, 3)])
    assert rows.coverage(range(4)).tolist() == [[True, True, True, False]]


# ---- covers ----------------------------------------------------------------------------------------------------------


def least(cover: Cover) -> Fraction | None:
    """The least cost of a cover, by the set of rows that are covered so far; None if there is none."""
    bits = [sum(1 << r for r in np.flatnonzero(column).tolist()) for column in cover.matrix.T]
    every = (1 << len(cover.matrix)) - 1
    paid = sum((rational(cover.costs[j]) for j in set(cover.fixed)), Fraction(0))
    covered = 0
    for j in cover.fixed:
        covered |= bits[j]
    best = {covered: paid}
    for cost, column in sorted({(rational(c), b) for c, b in zip(cover.costs, bits, strict=True)}):
        for known, price in list(best.items()):
            both = known | column
            if both not in best or price + cost < best[both]:
                best[both] = price + cost
    return best.get(every)


@st.composite
def covers(draw):
    rows, columns = draw(st.integers(0, 6)), draw(st.integers(1, 8))
    dense = draw(st.integers(1, 3))
    entries = draw(st.lists(st.integers(0, 3), min_size=rows * columns, max_size=rows * columns))
    costs = draw(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0, 2.5]), min_size=columns, max_size=columns))
    fixed = tuple(sorted(draw(st.sets(st.integers(0, columns - 1), max_size=2))))
    return Cover(np.array(entries).reshape(rows, columns) < dense, np.array(costs), fixed)


@given(covers())
def test_a_reduced_cover_has_the_same_optimum(cover):
    small, columns, rows = cover.reduced()
    assert small.fixed == () and small.matrix.shape == (len(rows), len(columns))
    assert np.array_equal(small.costs, cover.costs[columns])
    assert np.array_equal(small.matrix, cover.matrix[np.ix_(rows, columns)])
    assert not set(columns.tolist()) & set(cover.fixed)
    paid = sum((rational(cover.costs[j]) for j in cover.fixed), Fraction(0))
    found, expected = least(small), least(cover)
    assert (found is None) == (expected is None) and (found is None or found + paid == expected)


@given(covers())
def test_what_covers_the_reduced_rows_covers_all(cover):
    small, columns, _ = cover.reduced()
    for chosen in range(1 << len(columns)):
        part = [j for j in range(len(columns)) if chosen >> j & 1]
        if small.matrix[:, part].any(axis=1).all():
            whole = [*columns[part].tolist(), *cover.fixed]
            assert cover.matrix[:, whole].any(axis=1).all()
            assert small.cost(part) == pytest.approx(cover.cost(columns[part].tolist()))


def test_of_very_many_columns_equal_ones_go():
    rng = np.random.default_rng(0)
    cover = Cover(rng.random((6, 10_300)) < 0.4, rng.integers(1, 9, 10_300) / 10)
    small, columns, _ = cover.reduced()
    assert small.matrix.shape[1] < 64 and least(small) == least(cover)
    assert np.array_equal(small.costs, cover.costs[columns])
