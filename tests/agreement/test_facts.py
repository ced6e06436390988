"""Facts that need no second solver (docs/theory.md, L11), on every complete backend, with costs and negative values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palm_opt as palm
from tests.verify import verify_result

COMPLETE = [name for name in palm.backends() if name != "greedy"]
every_backend = pytest.mark.parametrize("backend", COMPLETE)


@st.composite
def pools(draw, low=-4):
    """Values in sixteenths (all arithmetic below is exact), whole costs or none."""
    n, d = draw(st.integers(2, 12)), draw(st.integers(1, 4))
    array = np.array(draw(st.lists(st.integers(low, 16), min_size=n * d, max_size=n * d))).reshape(n, d) / 16
    costs = draw(st.none() | st.lists(st.integers(0, 4), min_size=n, max_size=n))
    return array, None if costs is None else np.array(costs, dtype=float)


EPSILON, DELTA = st.sampled_from([0.0, 0.0625, 0.25]), st.sampled_from([0.0, 0.03125, 0.125, 0.5])


def cost(array, costs, epsilon, delta, backend, **options):
    """The least cost, infinite if there is no portfolio; proved."""
    values = palm.ValueMatrix(array, costs=costs)
    result = palm.solve(values, epsilon=epsilon, delta=delta, backend=backend, **options)
    verify_result(result, values)
    assert result.status in (palm.Status.OPTIMAL, palm.Status.INFEASIBLE)
    return result.cost


@every_backend
@given(pools(), EPSILON, DELTA, st.randoms(use_true_random=False))
def test_permutations(backend, pool, epsilon, delta, random):
    array, costs = pool
    rows, columns = (random.sample(range(k), k) for k in array.shape)
    moved = cost(array[rows][:, columns], None if costs is None else costs[rows], epsilon, delta, backend)
    assert moved == cost(array, costs, epsilon, delta, backend)


@every_backend
@given(pools(), EPSILON, DELTA, st.sampled_from([0.25, 64.0]))
def test_scaling_values_with_delta(backend, pool, epsilon, delta, factor):
    array, costs = pool
    expected = cost(array, costs, epsilon, delta, backend)
    assert cost(array * factor, costs, epsilon, delta * factor, backend) == expected
    if costs is not None:
        assert cost(array, costs * 2, epsilon, delta, backend) == 2 * expected


@every_backend
@given(pools(), EPSILON, DELTA, st.sampled_from([0.5, 1.0]))
def test_adding_a_constant_lowers_regret_by_epsilon_times_it(backend, pool, epsilon, delta, constant):
    array, costs = pool
    looser = cost(array + constant, costs, epsilon, delta, backend)
    assert looser == cost(array, costs, epsilon, delta + epsilon * constant, backend)


@every_backend
@given(pools(), EPSILON, DELTA)
def test_larger_delta_never_needs_more(backend, pool, epsilon, delta):
    array, costs = pool
    assert cost(array, costs, epsilon, 2 * delta + 0.0625, backend) <= cost(array, costs, epsilon, delta, backend)


@every_backend
@given(pools(low=0), EPSILON, DELTA)
def test_larger_epsilon_never_needs_more_on_values_that_are_not_negative(backend, pool, epsilon, delta):
    array, costs = pool
    assert cost(array, costs, epsilon + 0.125, delta, backend) <= cost(array, costs, epsilon, delta, backend)


@every_backend
def test_larger_epsilon_can_be_infeasible_on_negative_values(backend):
    array = -np.eye(2) - 1
    assert cost(array, None, 0.0, 0.25, backend) < np.inf
    assert cost(array, None, 0.5, 0.25, backend) == np.inf  # (1 - epsilon) OPT - delta exceeds OPT


@every_backend
@given(pools(), DELTA, st.data())
def test_a_duplicated_or_dominated_candidate_changes_nothing(backend, pool, delta, data):
    array, _ = pool
    copy = array[data.draw(st.integers(0, len(array) - 1))] - data.draw(st.sampled_from([0.0, 0.125]))
    assert cost(np.vstack([array, copy]), None, 0.0, delta, backend) == cost(array, None, 0.0, delta, backend)


@every_backend
@given(pools(), EPSILON, DELTA, st.data())
def test_a_requirement_or_a_ban_never_helps(backend, pool, epsilon, delta, data):
    array, costs = pool
    i = data.draw(st.integers(0, len(array) - 1))
    free = cost(array, costs, epsilon, delta, backend)
    required = cost(array, costs, epsilon, delta, backend, require=(i,))
    forbidden = cost(array, costs, epsilon, delta, backend, forbid=(i,))
    assert free <= min(required, forbidden)
    assert free == min(required, forbidden)  # every portfolio holds the candidate or does not
    own = 1.0 if costs is None else costs[i]
    assert required <= free + own


@every_backend
@given(pools(low=0))
def test_one_member_is_enough_for_one_reward_and_for_a_wide_tolerance(backend, pool):
    array, _ = pool
    assert cost(array[:, :1], None, 0.0, 0.0, backend) == 1
    assert cost(array, None, 0.0, float(np.ptp(array, axis=0).max()), backend) == 1
