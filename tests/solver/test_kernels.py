"""Fast kernels against obvious slow twins."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from palm_opt import _core
from palm_opt.solver.cover import skyline
from palm_opt.solver.exact import game_exact
from palm_opt.solver.local import bit_matrix
from palm_opt.solver.separation import separate


def game_slow(target, members):
    """The separation game by scipy: max b.w - s over w in the simplex, s >= w.p."""
    m, d = members.shape
    answer = linprog(
        np.r_[-target, 1.0],
        A_ub=np.c_[members, -np.ones(m)],
        b_ub=np.zeros(m),
        A_eq=[np.r_[np.ones(d), 0.0]],
        b_eq=[1.0],
        bounds=[(0, None)] * d + [(None, None)],
    )
    return -answer.fun


def random_game(seed, n=4):
    """Games with many ties, duplicates and signs."""
    rng = np.random.default_rng(seed)
    d, m = int(rng.integers(1, 9)), int(rng.integers(1, 33))
    members, targets = rng.random((m, d)), rng.random((n, d))
    if seed % 3 == 0:
        members, targets = np.round(members * 4) / 4, np.round(targets * 4) / 4
    if seed % 5 == 0:
        members, targets = members - 0.5, targets - 0.5
    if seed % 7 == 0:
        targets[: min(m, n)] = members[: min(m, n)]
    return targets, members


@given(st.integers(0, 10**6))
def test_game_against_scipy_and_its_own_proof(seed):
    targets, members = random_game(seed)
    found = separate(targets, members, threads=1)
    for i, target in enumerate(targets):
        used = found.position[i] >= 0
        share, rows = found.multiplier[i][used], members[found.position[i][used]]
        w = found.weights[i]
        assert abs(found.regret[i] - game_slow(target, members)) < 1e-8
        assert abs(share.sum() - 1) < 1e-9 and (share > 0).all()
        assert abs(w.sum() - 1) < 1e-9 and (w >= 0).all()
        assert (target - share @ rows).max() <= found.regret[i] + 1e-9  # multipliers prove it from above
        assert abs(target @ w - (members @ w).max() - found.regret[i]) < 1e-9  # the weight from below


@given(st.integers(0, 10**6))
def test_exact_game_against_the_float_one(seed):
    targets, members = random_game(seed, n=1)
    members = members[:8]
    value, weight, mixture = game_exact(targets[0].tolist(), members.tolist())
    assert abs(float(value) - separate(targets, members, 1).regret[0]) < 1e-9
    assert sum(mixture.values()) == 1 and min(mixture.values()) > 0 and sum(weight) == 1 and min(weight) >= 0
    exact = [[Fraction(x) for x in row] for row in members.tolist()]
    goal = [Fraction(x) for x in targets[0].tolist()]
    reached = [sum(share * exact[j][k] for j, share in mixture.items()) for k in range(len(goal))]
    assert max(g - r for g, r in zip(goal, reached, strict=True)) == value
    served = max(sum(a * b for a, b in zip(weight, row, strict=True)) for row in exact)
    assert sum(a * b for a, b in zip(weight, goal, strict=True)) - served == value


@given(st.integers(0, 10**6))
def test_threads_change_nothing(seed):
    rng = np.random.default_rng(seed)
    targets, members = rng.random((3000, 4)), rng.random((30, 4))
    one, two = separate(targets, members, 1), separate(targets, members, 2)
    np.testing.assert_allclose(one.regret, two.regret, atol=1e-12)


@given(st.integers(0, 10**6), st.booleans())
def test_skyline_against_all_pairs(seed, with_costs):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 40)), int(rng.integers(1, 5))
    values = np.round(rng.random((n, d)) * 4) / 4
    costs = rng.integers(0, 3, n).astype(float) if with_costs else np.zeros(n)
    dominator, front = skyline(values, costs)
    for i in range(n):
        better = (values >= values[i]).all(1) & (costs <= costs[i])
        strictly = better & ((values > values[i]).any(1) | (costs < costs[i]))
        if strictly.any():
            assert dominator[i] >= 0
        if dominator[i] >= 0:
            assert better[dominator[i]] and dominator[dominator[i]] == -1
    assert sorted(front) == [i for i in range(n) if dominator[i] == -1]
    distinct = {(*values[i], costs[i]) for i in front}
    assert len(distinct) == len(front)  # of equal rows one is kept


@given(st.integers(0, 10**6))
def test_coverage_and_support_against_numpy(seed):
    rng = np.random.default_rng(seed)
    n, d, m = (int(x) for x in rng.integers(1, [3000, 9, 20]))
    values, weights = rng.random((n, d)), rng.dirichlet(np.ones(d), m)
    products = weights @ values.T
    opt, best = _core.support(values, weights)
    np.testing.assert_allclose(opt, products.max(1), rtol=1e-14)
    np.testing.assert_allclose(products[np.arange(m), best], opt, rtol=1e-14)
    low, high = opt - 0.2, opt - 0.1
    state = _core.coverage(values, weights, low, high)
    clear = (np.abs(products - low[:, None]) > 1e-12) & (np.abs(products - high[:, None]) > 1e-12)
    expected = np.where(products >= high[:, None], 1, np.where(products < low[:, None], 0, 2))
    assert (state[clear] == expected[clear]).all()


def test_strides_and_shapes_are_respected():
    rng = np.random.default_rng(0)
    wide = rng.random((50, 8))
    np.testing.assert_array_equal(
        _core.game(wide[:, ::2], wide[::5, ::2])[0], _core.game(wide[:, ::2].copy(), wide[::5, ::2].copy())[0]
    )
    with pytest.raises(ValueError, match="members"):
        _core.game(wide, wide[:, :3])
    with pytest.raises(ValueError, match="non-empty"):
        _core.game(wide[:0], wide)
    with pytest.raises(ValueError, match="permutation"):
        _core.skyline(wide, np.zeros(50), np.zeros(50, dtype=int))


@given(st.integers(0, 10_000), st.integers(1, 90), st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_local_search_counts_what_it_leaves_uncovered(seed, rows, columns):
    """Whatever it does, the state it returns is what it says: uncovered rows, fixed columns, the budget."""
    rng = np.random.default_rng(seed)
    matrix = rng.random((rows, columns)) < rng.uniform(0.05, 0.6)
    matrix[np.arange(rows), rng.integers(0, columns, rows)] = True
    costs = rng.integers(1, 4, columns).astype(float)
    fixed = (rng.random(columns) < 0.1).astype(np.uint8)
    chosen = np.maximum(fixed, rng.random(columns) < 0.3).astype(np.uint8)
    weight, random = np.ones(rows, dtype=np.int64), np.array([seed], dtype=np.uint64)
    budget = float(costs @ fixed) + rng.integers(1, 12)
    words = bit_matrix(matrix), bit_matrix(np.ascontiguousarray(matrix.T))
    done, uncovered = _core.local(*words, costs, fixed, chosen, weight, random, budget, 300)
    assert 0 <= done <= 300 and (weight >= 1).all()
    assert uncovered == np.count_nonzero(~matrix[:, chosen.astype(bool)].any(axis=1))
    assert (chosen >= fixed).all()
    if done < 300 and uncovered == 0 and costs @ chosen > budget:
        assert (chosen == fixed).all()  # it gives up only when nothing is left to drop


def test_local_search_finds_the_least_cover():
    rng = np.random.default_rng(5)
    for _ in range(10):
        matrix = rng.random((40, 14)) < 0.3
        matrix[np.arange(40), rng.integers(0, 14, 40)] = True
        sizes = [
            size for size in range(1, 15) for c in itertools.combinations(range(14), size) if matrix[:, c].any(1).all()
        ]
        least, none = sizes[0], np.zeros(14, dtype=np.uint8)
        words = bit_matrix(matrix), bit_matrix(np.ascontiguousarray(matrix.T))
        for budget, covered in ((least, True), (least - 1, False)):
            chosen, weight = np.ones(14, dtype=np.uint8), np.ones(40, dtype=np.int64)
            random = np.array([1], dtype=np.uint64)
            uncovered = _core.local(*words, np.ones(14), none, chosen, weight, random, float(budget), 5_000)[1]
            assert (uncovered == 0) is covered


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_probe_returns_weights_that_fewer_cover(seed, d):
    rng = np.random.default_rng(seed)
    values, mass = rng.random((37, d)), rng.random(37)
    weights = rng.dirichlet(np.ones(d), 9)
    epsilon, delta = rng.choice([0.0, 0.05]), rng.choice([0.0, 0.03])

    def covered(w):
        products = w @ values.T
        return (products >= (1 - epsilon) * products.max(axis=1, keepdims=True) - delta) @ mass

    random = np.array([seed], dtype=np.uint64)
    found, coverage = _core.probe(weights, values, values, mass, random, epsilon, delta + 1e-12, 50)
    assert found.shape == (9, d) and (found >= 0).all() and np.allclose(found.sum(axis=1), 1)
    assert np.allclose(coverage, covered(found), atol=1e-9) and (coverage <= covered(weights) + 1e-9).all()


def test_separation_does_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(0)
    targets, members = rng.integers(0, 4, (9_000, 4)) / 4, rng.integers(0, 4, (12, 4)) / 4  # many ties
    one, three = separate(targets, members, 1), separate(targets, members, 3)
    assert np.array_equal(one.weights, three.weights) and np.array_equal(one.position, three.position)
    assert np.array_equal(one.multiplier, three.multiplier) and one.pivots == three.pivots


@pytest.mark.parametrize("seed", range(20))
def test_skyline_of_one_or_two_columns_is_that_of_the_kernel(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 6, (40, 1 + seed % 2)).astype(float)
    dominator, front = skyline(values)
    _, kernel = skyline(np.column_stack([values, values[:, :1], values[:, :1]]))  # more columns, the same order
    assert front.tolist() == kernel.tolist()
    assert (dominator[front] == -1).all() and (dominator[np.setdiff1d(np.arange(40), front)] >= 0).all()
    for i in np.flatnonzero(dominator >= 0):
        assert dominator[dominator[i]] == -1 and (values[dominator[i]] >= values[i]).all()
