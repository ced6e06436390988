"""Properties of the problem itself (docs/theory.md, L1, L3, L11), through the one verifier."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import palm_opt as palm
from tests.verify import verify_result

POOLS = st.tuples(st.integers(2, 30), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1, width=32))
)
DELTA = st.sampled_from([0.0, 0.01, 0.05, 0.2])
EPSILON = st.sampled_from([0.0, 0.02, 0.1])


def solve(array, epsilon, delta, **options):
    values = palm.ValueMatrix(array)
    result = palm.solve(values, epsilon=epsilon, delta=delta, **options)
    verify_result(result, values)
    return result


@given(POOLS, EPSILON, DELTA, st.randoms(use_true_random=False))
def test_permuting_candidates_and_rewards_changes_nothing(array, epsilon, delta, random):
    n, d = array.shape
    rows, columns = random.sample(range(n), n), random.sample(range(d), d)
    assert solve(array, epsilon, delta).cost == solve(array[rows][:, columns], epsilon, delta).cost


@given(POOLS, EPSILON, DELTA, st.sampled_from([0.5, 4.0, 1024.0]))
def test_scaling_values_and_delta(array, epsilon, delta, factor):
    assert solve(array, epsilon, delta).cost == solve(array * factor, epsilon, delta * factor).cost


@given(POOLS, st.data())
def test_larger_tolerances_never_need_more(array, data):
    small, large = sorted([data.draw(DELTA), data.draw(DELTA)])
    assert solve(array, 0.0, large).cost <= solve(array, 0.0, small).cost
    small, large = sorted([data.draw(EPSILON), data.draw(EPSILON)])
    assert solve(array, large, 0.01).cost <= solve(array, small, 0.01).cost


@given(POOLS, DELTA, st.data())
def test_duplicates_and_dominated_candidates_change_nothing(array, delta, data):
    i = data.draw(st.integers(0, len(array) - 1))
    worse = array[i] * data.draw(st.sampled_from([1.0, 0.5]))
    assert solve(array, 0.0, delta).cost == solve(np.vstack([array, worse]), 0.0, delta).cost


@given(POOLS, EPSILON, st.data())
def test_regret_of_a_portfolio(array, epsilon, data):
    n = len(array)
    members = data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=6))
    found = palm.regret(array, members, epsilon=epsilon)
    assert found.per_candidate.shape == (n,)
    weights = np.random.default_rng(0).dirichlet(np.ones(array.shape[1]), 200)
    served = (weights @ array[sorted(members)].T).max(axis=1)
    sampled = ((1 - epsilon) * weights @ array.T - served[:, None]).max(axis=0)
    assert (sampled <= found.per_candidate + 1e-9).all()
    subset = set(list(members)[:1])
    assert palm.regret(array, subset, epsilon=epsilon).worst >= found.worst - 1e-9
    shifted = palm.regret(array + 0.5, members, epsilon=epsilon)
    assert abs(shifted.worst - (found.worst - 0.5 * epsilon)) <= 1e-9
    kept = palm.certify(array, members, epsilon=epsilon)
    assert abs(kept.regret - found.worst) <= 1e-9
    palm.verify(kept.certificate, palm.ValueMatrix(array))


@given(POOLS, EPSILON)
def test_the_least_delta_is_least(array, epsilon):
    values = palm.ValueMatrix(array)
    kept = palm.certify(values, [0], epsilon=epsilon)
    below = dict(kept.certificate) | {"delta": float(np.nextafter(kept.delta, -1)).hex()}
    if kept.delta > 0:
        try:
            palm.verify(below, values)
        except palm.InvalidCertificate:
            return
        raise AssertionError("a smaller delta was accepted with the same multipliers")


@given(st.integers(2, 40), st.integers(2, 4), st.integers(0, 10**6))
def test_planted_optimum(n, d, seed):
    """d far apart specialists, each alone near its corner, and mediocre others: the optimum is known to be d."""
    rng = np.random.default_rng(seed)
    array = np.vstack([np.eye(d), rng.uniform(0, 0.2 / d, (n, d))])
    assert solve(array, 0.0, 0.05).cost == d
