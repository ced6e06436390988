"""The sweep for one and two rewards against brute force, and its packing checked candidate by candidate, exactly."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.solver import sweep as module
from palm_opt.solver.cover import Pool
from palm_opt.solver.sweep import sweep
from tests.verify import brute_force, exact_rows, worst_regret

ENTRY = st.integers(-3, 6) | st.integers(-20, 60).map(lambda k: k / 10) | st.floats(0, 1, width=32)
COSTS = st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 2.5, 7.0])


@st.composite
def pools(draw, most=8):
    n, d = draw(st.integers(1, most)), draw(st.sampled_from([1, 2, 2, 2]))
    entry = draw(st.sampled_from([ENTRY, st.integers(0, 3)]))
    array = np.array([[draw(entry) for _ in range(d)] for _ in range(n)], dtype=float)
    costs = draw(st.none() | st.lists(COSTS, min_size=n, max_size=n))
    scale = draw(st.sampled_from(["none", "none", "minmax", (-1.0, 1.0)]))
    rewards = [draw(st.sampled_from(["", "", "-"])) + f"r{k}" for k in range(d)]
    values = palm.ValueMatrix(array, costs=costs, scale=scale, rewards=rewards)
    require = tuple(draw(st.lists(st.integers(0, n - 1), max_size=2, unique=True)))
    forbid = tuple({i for i in draw(st.lists(st.integers(0, n - 1), max_size=3)) if i not in require})
    epsilon = draw(st.sampled_from([0.0, 0.0, 0.05, 0.125, 0.3]))
    delta = draw(st.sampled_from([0.0, 0.0, 0.02, 0.1, 0.25, 0.5, 1.0]))
    return Pool(values, epsilon, delta, require, forbid)


def coverage(pool, weight, rows):
    """Whether each candidate covers an integer weight, from the definition."""
    products = [sum(Fraction(x, sum(weight)) * a for x, a in zip(weight, row, strict=True)) for row in rows]
    needed = (1 - Fraction(pool.epsilon)) * max(products) - Fraction(pool.delta)
    return [product >= needed for product in products]


def check(pool, answer):
    """Cost, packing or witness of an answer, exactly; that its members are a portfolio is checked by the caller."""
    values, rows = pool.values, exact_rows(pool.values)
    allowed = [i for i in range(values.n) if i not in pool.forbidden]
    assert all(min(weight) >= 0 and sum(weight) > 0 for weight in answer.weights)
    if answer.members is None:
        assert len(answer.weights) == 1 and answer.y is None
        covered = coverage(pool, answer.weights[0], rows)
        assert not any(covered[i] for i in allowed)
        return
    assert set(pool.required) <= set(answer.members) <= set(allowed)
    assert all(y > 0 for y in answer.y) and len(answer.y) == len(answer.weights) == len(set(answer.weights))
    assert pool.cost(pool.required) + sum(answer.y, Fraction(0)) == pool.cost(answer.members)
    covered = [coverage(pool, weight, rows) for weight in answer.weights]
    for i in allowed:
        load = sum((y for row, y in zip(covered, answer.y, strict=True) if row[i]), Fraction(0))
        assert load <= (0 if i in pool.required else Fraction(float(values.costs[i])))


@given(pools())
def test_sweep_agrees_with_brute_force(pool):
    answer = sweep(pool)
    check(pool, answer)
    best = brute_force(pool.values, pool.epsilon, pool.delta, pool.required, tuple(pool.forbidden))
    assert (None if answer.members is None else pool.cost(answer.members)) == best
    if answer.members is not None:
        assert worst_regret(pool.values, answer.members, pool.epsilon) <= Fraction(pool.delta)


@given(pools(30))
def test_sweep_where_floats_decide_nothing(pool):
    """With an error bound so large that every comparison is made exactly, the answer is the same."""
    quick = sweep(pool)
    normal, module._ERROR = module._ERROR, 10.0
    try:
        exact = sweep(pool)
    finally:
        module._ERROR = normal
    assert quick == exact
    check(pool, quick)


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 40), st.integers(1, 40))
def test_shortest_fraction_in_between(a, b, c, d):
    low, high = sorted([Fraction(a, b), Fraction(c, d)])
    if low == high:
        return
    found = module._between(low, high)
    assert low < found < high
    for denominator in range(1, found.denominator):  # no shorter one
        assert Fraction(low * denominator // 1 + 1, denominator) >= high


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.0), (0.02, 0.0), (0.0, 0.001)])
def test_an_arc_of_candidates(epsilon, delta):
    """Every candidate on a circle is best somewhere: the least size grows like the inverse root of the tolerance."""
    angle = np.linspace(0, np.pi / 2, 100)
    pool = Pool(palm.ValueMatrix(np.c_[np.cos(angle), np.sin(angle)].round(9)), epsilon, delta)
    answer = sweep(pool)
    check(pool, answer)
    assert palm.regret(pool.values, answer.members, epsilon=epsilon).worst <= delta + 1e-12
    assert len(answer.members) == {(0.0, 0.0): 100, (0.02, 0.0): 4, (0.0, 0.001): 18}[epsilon, delta]


@given(st.integers(0, 2**32), st.sampled_from([1e-300, 1e-160, 1e-9, 1.0, 1e150, 1e300]), st.sampled_from([0.0, 0.25]))
def test_any_magnitude(seed, size, epsilon):
    """Products that over- or underflow, values that nearly tie: exact arithmetic decides."""
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 4, (6, 2)) * size * rng.choice([1.0, 1.0 + 2**-52, 1e-5], (6, 2))
    pool = Pool(palm.ValueMatrix(array), epsilon, size * 0.5)
    answer = sweep(pool)
    check(pool, answer)
    assert (None if answer.members is None else len(answer.members)) == brute_force(pool.values, epsilon, size * 0.5)


def test_more_rewards_are_refused():
    with pytest.raises(ValueError, match="one or two rewards"):
        sweep(Pool(palm.ValueMatrix(np.eye(3)), 0.0, 0.0))
