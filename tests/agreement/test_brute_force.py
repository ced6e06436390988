"""Every backend against brute force over all subsets, with random options: costs, require, forbid, negative values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.errors import ProblemError
from tests.verify import brute_force, verify_result

ENTRY = st.integers(-2, 8).map(lambda k: k / 8) | st.floats(0, 1, width=16)


@st.composite
def problems(draw):
    n, d = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    array = np.array([[draw(ENTRY) for _ in range(d)] for _ in range(n)])
    costs = draw(st.none() | st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 2.5]), min_size=n, max_size=n))
    scale = draw(st.sampled_from(["none", "none", "minmax", (-1.0, 1.0)]))
    rewards = [draw(st.sampled_from(["", "", "-"])) + f"r{k}" for k in range(d)]
    values = palm.ValueMatrix(array, costs=costs, scale=scale, rewards=rewards)
    rows = list(range(n))
    require = tuple(draw(st.lists(st.sampled_from(rows), max_size=1)))
    forbid = tuple({i for i in draw(st.lists(st.sampled_from(rows), max_size=2)) if i not in require})
    epsilon = draw(st.sampled_from([0.0, 0.0, 0.05, 0.125, 0.3]))
    delta = draw(st.sampled_from([0.0, 0.02, 0.0625, 0.125, 0.25, 0.5]))
    return values, epsilon, delta, require, forbid


@pytest.mark.parametrize("backend", palm.backends())
@given(problem=problems())
def test_backends_agree_with_brute_force(backend, problem):
    values, epsilon, delta, require, forbid = problem
    result = palm.solve(values, epsilon=epsilon, delta=delta, backend=backend, require=require, forbid=forbid)
    verify_result(result, values)
    best = brute_force(values, epsilon, delta, require, forbid)
    if best is None:
        assert result.status is palm.Status.INFEASIBLE
    elif backend == "greedy":
        assert result.lower_bound <= best <= result.cost
    else:
        assert result.cost == best
        assert result.status is palm.Status.OPTIMAL


@given(problem=problems(), size=st.integers(1, 3), vary=st.sampled_from(["delta", "epsilon"]))
def test_budget_problem_against_brute_force(problem, size, vary):
    values, _, _, require, forbid = problem
    values = palm.ValueMatrix(values.raw, scale=values.scale, rewards=values.rewards)
    if len(forbid) == values.n:
        return
    try:
        result = palm.solve(values, max_size=size, vary=vary, require=require, forbid=forbid)
    except ProblemError as error:
        assert vary == "epsilon" and "OPT" in str(error)
        return
    if result.tolerance is None:
        assert not result.members
        return
    verify_result(result, values)
    assert result.size <= size
    assert result.tolerance_lower_bound <= result.tolerance
    for factor in (0.5, 0.99):  # brute force: no portfolio of that size keeps a smaller tolerance than the bound
        less = factor * result.tolerance_lower_bound
        if less > 0:
            tolerances = {"epsilon": 0.0, "delta": 0.0, vary: less}
            best = brute_force(values, **tolerances, require=require, forbid=forbid)
            assert best is None or best > size


COST = st.floats(0, 1e6) | st.floats(0.5, 1.5) | st.sampled_from([0.1, 0.2, 0.3, 0.7])


@pytest.mark.parametrize("backend", ["native", "cpsat", "highs"])
@given(data=st.data())
def test_costs_that_are_no_integers_are_proved_to_the_last_bit(backend, data):
    n, d = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3 if backend == "native" else 2))
    array = np.array([[data.draw(ENTRY) for _ in range(d)] for _ in range(n)])
    values = palm.ValueMatrix(array, costs=[data.draw(COST) for _ in range(n)])
    delta = data.draw(st.sampled_from([0.0, 0.0625, 0.125, 0.25]))
    result = palm.solve(values, delta=delta, backend=backend)
    verify_result(result, values)
    assert result.status is palm.Status.OPTIMAL
    assert result.cost == float(brute_force(values, 0.0, delta))
