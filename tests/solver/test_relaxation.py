"""The linear relaxation against a general solver on all weights of a fine grid, and its leaves against brute force."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

import palm_opt as palm
from palm_opt.preferences.simplex import lattice
from palm_opt.result import Settings
from palm_opt.solver.cover import Pool, Witnesses
from palm_opt.solver.exact import integer_weight
from palm_opt.solver.relaxation import Point, Relaxation
from palm_opt.solver.run import Run
from tests.solver.tiny import tiny
from tests.verify import rational

FINE = {1: 1, 2: 40, 3: 9}  # resolution of the grid, by rewards


def grid(d):
    """All weights of a grid, in lowest terms."""
    return [integer_weight([Fraction(round(x * FINE[d]), FINE[d]) for x in w]) for w in lattice(d, FINE[d]).tolist()]


def relaxation_of(pool, weights):
    """A relaxation that holds the rows of some weights."""
    rows = Witnesses(pool)
    relaxation = Relaxation(pool, rows, Run(settings=Settings(threads=1)))
    relaxation.add_rows(rows.add(weights))
    relaxation.move(frozenset(pool.required), pool.forbidden)
    return relaxation


def general(problem, weights, inside, outside):
    """The least cost of shares with a sum of 1 or more at every weight, by a general solver: inf if there are none."""
    sets = [problem.covering(weight) for weight in weights]
    matrix = np.array([[-float(i in found) for i in range(problem.values.n)] for found in sets])
    bounds = [(float(i in inside), 0.0 if i in outside else None) for i in range(problem.values.n)]
    found = linprog(problem.values.costs, matrix, -np.ones(len(sets)), bounds=bounds, method="highs")
    return found.fun if found.status == 0 else math.inf


@st.composite
def nodes(draw):
    """A problem, and candidates that are in and out at a node of a tree."""
    problem = draw(tiny())
    sides = draw(st.lists(st.sampled_from("   +-"), min_size=problem.values.n, max_size=problem.values.n))
    inside = frozenset(i for i, side in enumerate(sides) if side == "+") - set(problem.forbid) | set(problem.require)
    outside = frozenset(i for i, side in enumerate(sides) if side == "-") - set(problem.require) | set(problem.forbid)
    return problem, frozenset(inside), frozenset(outside)


@given(nodes())
def test_the_value_at_every_node_is_that_of_a_general_solver(case):
    problem, inside, outside = case
    pool, weights = problem.pool, grid(problem.values.d)
    relaxation = relaxation_of(pool, weights)
    root = frozenset(pool.required), pool.forbidden
    for sides in (root, (inside, outside), root):  # one program, changed in place
        relaxation.move(*sides)
        point, expected = relaxation.solve(), general(problem, weights, *sides)
        assert point.value == pytest.approx(expected, abs=1e-6)
        if point.uncovered >= 0:
            assert expected == math.inf
            assert not problem.covering(relaxation.witnesses.integer[point.uncovered]) - sides[1]
            continue
        shares = dict(zip(point.columns.tolist(), point.x.tolist(), strict=True))
        assert all(shares[i] >= 1 - 1e-7 for i in sides[0]) and all(shares.get(i, 0) <= 1e-7 for i in sides[1])
        for weight in weights:
            assert sum(shares.get(i, 0.0) for i in problem.covering(weight)) >= 1 - 1e-6


@given(nodes())
def test_a_leaf_is_an_exact_packing_below_every_portfolio_that_agrees(case):
    problem, inside, outside = case
    relaxation = relaxation_of(problem.pool, grid(problem.values.d))
    relaxation.move(inside, outside)
    point = relaxation.solve()
    for target in (Fraction(1), math.inf):
        bound, (kind, content) = relaxation.leaf(point, target)
        cheapest = problem.cheapest(inside, outside)
        if point.value == math.inf:
            assert (bound, kind, cheapest) == (math.inf, "uncovered", None)
            assert not problem.covering(content) - outside
            continue
        assert cheapest is None or bound <= cheapest
        covering = [(problem.covering(weight), share) for weight, share in content]
        assert all(share > 0 and not covers & inside for covers, share in covering)
        for i in set(range(problem.values.n)) - inside - outside:
            assert sum(share for covers, share in covering if i in covers) <= rational(problem.values.costs[i])
        proved = problem.cost(inside) + sum(share for _, share in content)
        assert bound == (math.ceil(proved) if problem.pool.whole_costs else proved)
    if point.value < math.inf:  # nothing of the value is lost but to rounding
        assert point.value - 1e-6 <= bound


@given(nodes(), st.data())
def test_a_leaf_at_any_multipliers_is_a_packing(case, data):
    problem, inside, outside = case
    relaxation = relaxation_of(problem.pool, grid(problem.values.d))
    relaxation.move(inside, outside)
    rows, none = relaxation.rows, np.empty(0)
    share = st.sampled_from([0.0, 0.25, 0.7, 2.0])
    y = np.array(data.draw(st.lists(share, min_size=len(rows), max_size=len(rows))))
    bound, (_, content) = relaxation.leaf(Point(0.0, none.astype(np.int64), none, rows, y), math.inf)
    covering = [(problem.covering(weight), part) for weight, part in content]
    assert not any(covers & inside for covers, _ in covering)
    if all(covers - outside for covers, _ in covering):
        cheapest = problem.cheapest(inside, outside)
        assert cheapest is None or bound <= cheapest


@given(nodes())
def test_candidates_beat_all_that_is_undecided(case):
    problem, inside, outside = case
    relaxation = relaxation_of(problem.pool, grid(problem.values.d)[:1])
    relaxation.move(inside, outside)
    found, costs = set(relaxation.candidates().tolist()), problem.values.costs
    assert not found & (inside | outside)
    for i in set(range(problem.values.n)) - inside - outside:
        better = [j for j in found | inside if (problem.pool.numbers[j] >= problem.pool.numbers[i]).all()]
        assert any(costs[j] <= costs[i] or j in inside for j in better)


@given(nodes())
def test_trying_a_bound_tells_both_sides_and_changes_nothing(case):
    problem, inside, outside = case
    relaxation = relaxation_of(problem.pool, grid(problem.values.d))
    relaxation.move(inside, outside)
    point = relaxation.solve()
    undecided = [i for i in relaxation.place if i not in inside | outside]
    if point.value == math.inf or not undecided:
        return
    for i in undecided:
        tried = relaxation.try_bounds(i, 10_000)
        assert relaxation.solve().value == pytest.approx(point.value, abs=1e-6)
        relaxation.move(inside | {i}, outside)
        assert tried[0] >= relaxation.solve().value - 1e-6  # with the columns that are there: no less than with all
        relaxation.move(inside, outside | {i})
        assert tried[1] >= relaxation.solve().value - 1e-6
        relaxation.move(inside, outside)


@given(tiny())
def test_dual_ascent_is_a_packing_at_once(problem):
    weights = grid(problem.values.d)
    relaxation = relaxation_of(problem.pool, weights)
    cheapest = problem.cheapest()
    if cheapest is None:
        return
    point = relaxation.ascent()
    assert point.value <= general(problem, weights, {*problem.require}, {*problem.forbid}) + 1e-9
    bound, _ = relaxation.leaf(point, math.inf)
    assert float(problem.cost(problem.require)) + point.value - 1e-6 <= bound <= cheapest


@given(tiny(sides=False))
def test_pricing_reaches_the_value_of_the_grid_and_stays_below_the_optimum(problem):
    """Rows that are found one after the other raise the bound as far as a fine grid of them does."""
    pool, d = problem.pool, problem.values.d
    relaxation = relaxation_of(pool, [tuple(row) for row in np.eye(d, dtype=int).tolist()])
    values, idle = [], 0
    cheapest = problem.cheapest()
    if cheapest is None:  # OPT < 0 somewhere: a share of it is more than anything
        return
    while idle < 3:
        point = relaxation.solve()
        values.append(point.value)
        idle = 0 if relaxation.price(point) else idle + 1
    assert all(b >= a - 1e-6 for a, b in itertools.pairwise(values))
    assert values[-1] <= cheapest + 1e-6
    bound, _ = relaxation.leaf(point, math.inf)
    assert values[-1] - 1e-6 <= bound <= cheapest
    assert values[-1] >= general(problem, grid(d), set(), set()) - 1e-3


@given(st.data(), tiny())
def test_overlooked_are_the_known_rows_that_members_miss(data, problem):
    rows = Witnesses(problem.pool)
    relaxation = Relaxation(problem.pool, rows, Run())
    rows.add(grid(problem.values.d))
    members = tuple(sorted(data.draw(st.sets(st.integers(0, problem.values.n - 1), min_size=1))))
    missed = [row for row, weight in enumerate(rows.integer) if not problem.covering(weight) & set(members)]
    assert relaxation.overlooked(members) == missed


def test_rows_that_are_forgotten_elsewhere_leave_the_program_as_it_is():
    pool = Pool(palm.ValueMatrix(np.random.default_rng(2).random((30, 3))), 0.0, 0.05)
    relaxation = relaxation_of(pool, grid(3))
    before = relaxation.solve()
    rows = relaxation.witnesses
    weights = [rows.integer[row] for row in relaxation.rows]
    rows.add([(1, 2, 10**6 + k) for k in range(20)])
    kept = np.union1d(relaxation.rows, np.arange(len(rows) - 5, len(rows)))
    relaxation.forget(rows.keep(kept))
    assert [rows.integer[row] for row in relaxation.rows] == weights
    after = relaxation.solve()
    assert after.value == pytest.approx(before.value, abs=1e-9)
    assert relaxation.leaf(after, math.inf)[0] >= before.value - 1e-6
    last = len(rows) - 1
    relaxation.add_rows([last, last])
    assert relaxation.rows.tolist().count(last) == 1 and relaxation.solve().value >= before.value - 1e-9


def test_columns_of_many_candidates_are_generated():
    """The program begins with few of them, and ends with the value of all."""
    rng = np.random.default_rng(7)
    pool = Pool(palm.ValueMatrix(rng.dirichlet(np.ones(3), 400) ** 0.5), 0.0, 0.01)
    relaxation = relaxation_of(pool, grid(3))
    relaxation.begin(())
    relaxation.move(frozenset(), frozenset())
    started = len(relaxation.columns)
    point = relaxation.solve()
    matrix = relaxation.witnesses.coverage(np.arange(400))
    expected = linprog(np.ones(400), -matrix.astype(float), -np.ones(len(matrix)), method="highs").fun
    assert point.value == pytest.approx(expected, abs=1e-6)
    assert started < len(pool.columns) and len(relaxation.columns) < len(pool.columns)
    assert relaxation.leaf(point, math.inf)[0] == math.ceil(expected - 1e-6)
