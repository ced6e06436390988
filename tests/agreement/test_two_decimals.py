"""Numbers as written: ties in decimals against brute force without a tolerance; extreme floats; on every backend."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import palm_opt as palm
from bench import decimals, extreme
from tests.verify import brute_force, verify_certificate, verify_result

TIE = "id,a,b\np0,0.82,0.16\np1,1.0,0.38\np2,0.7,0.55\np3,0.78,0.38\np4,0.26,0.16\np5,0.48,0.45\np6,0.36,0.72\n"
HUNDREDTHS = st.integers(-40, 100).map(lambda k: k / 100)
COSTS = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.7, 1.0])
SCALES = st.sampled_from(["none", "none", "minmax", "log", (-0.5, 0.7)])


@pytest.mark.parametrize("backend", palm.backends())
def test_a_value_of_one_is_covered_by_seven_tenths(backend, tmp_path):
    path = tmp_path / "tie.csv"
    path.write_text(TIE)
    values = palm.ValueMatrix.read(path, id="id")
    result = palm.solve(values, delta=0.3, backend=backend)
    verify_result(result, values)
    assert (result.members, result.certificate["delta"]) == (("p2",), "0.3")
    assert palm.verify(result.certificate, path).lower_bound == 1
    assert palm.solve(values.raw, delta=0.3, backend=backend).indices == result.indices


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_two_decimals_against_brute_force_in_integers(first):
    for k in range(first, first + 20):
        assert decimals.one([1, k])[1] == []


@st.composite
def tables(draw):
    n, d = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    scale = [draw(SCALES) for _ in range(d)]
    array = np.array([[draw(HUNDREDTHS) for _ in range(d)] for _ in range(n)])
    for k in range(d):
        if scale[k] == "log":
            array[:, k] = np.abs(array[:, k]) + 0.01
    costs = draw(st.none() | st.lists(COSTS, min_size=n, max_size=n))
    rewards = [draw(st.sampled_from(["", "-"])) + f"r{k}" for k in range(d)]
    return palm.ValueMatrix(array, rewards=rewards, costs=costs, scale=scale)


@given(tables(), st.sampled_from([0.0, 0.0, 0.05, 0.1]), st.integers(0, 30).map(lambda k: k / 100))
def test_scales_and_costs_against_brute_force_in_rationals(values, epsilon, delta):
    best = brute_force(values, epsilon, delta)
    for backend in palm.backends():
        result = palm.solve(values, epsilon=epsilon, delta=delta, backend=backend)
        verify_result(result, values)
        if best is None:
            assert result.status is palm.Status.INFEASIBLE
        elif backend != "greedy":
            assert (result.status, result.cost) == (palm.Status.OPTIMAL, float(best))


@given(st.lists(HUNDREDTHS, min_size=6, max_size=6), st.integers(1, 3))
def test_the_least_tolerance_is_the_decimal_of_the_table(numbers, size):
    values = palm.ValueMatrix(np.array(numbers).reshape(3, 2))
    result = palm.solve(values, max_size=size, vary="delta")
    verify_result(result, values)
    assert result.status is palm.Status.OPTIMAL
    below = float(np.nextafter(result.tolerance, -1))
    assert below < 0 or brute_force(values, 0.0, below) > size
    if size == 1:
        assert result.tolerance == round(result.tolerance, 2)  # a difference of two entries: 0.3, not its neighbour


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_extreme_floats_are_proved_or_refused(first):
    ends = [extreme.outcome(seed) for seed in range(first, first + 50)]
    assert [end for end in ends if end.startswith("ERROR")] == []


@pytest.mark.parametrize("seed", [129, 784, 1581, 4192])
def test_extreme_floats_that_once_failed(seed):
    assert extreme.outcome(seed) in ("OPTIMAL, proved", "INFEASIBLE, proved")


def test_values_of_all_sizes_beside_each_other():
    values = palm.ValueMatrix([[5.631872377824933e99, 5.361148487845482e-11], [5.5530162334287704e-11, 0.419608544947]])
    result = palm.solve(values, epsilon=0.1, delta=1e-320)
    verify_result(result, values)
    assert (result.status, result.size) == (palm.Status.OPTIMAL, 2)
    assert result.regret < 0


@pytest.mark.parametrize("backend", palm.backends())
@given(st.integers(1, 6), st.integers(1, 3), st.data())
def test_multiples_of_the_smallest_float(backend, n, d, data):
    array = np.array([[data.draw(st.integers(0, 60)) for _ in range(d)] for _ in range(n)]) * 5e-324
    values = palm.ValueMatrix(array, scale=data.draw(st.sampled_from(["none", "minmax"])))
    delta = data.draw(st.sampled_from([0.0, 5e-324, 1e-322])) if values.scale[0] == "none" else 0.1
    result = palm.solve(values, delta=delta, backend=backend)
    verify_certificate(result.certificate, values)
    best = brute_force(values, 0.0, delta)
    assert result.lower_bound <= float(best) <= result.cost
    assert backend == "greedy" or result.cost == float(best)
    kept = palm.certify(values, result.members)
    assert kept.delta <= delta


@example(1e300)
@example(1e13)
@given(st.floats(1.1e12, 1e308))
def test_costs_beyond_what_floats_add_up_are_refused(cost):
    with pytest.raises(palm.ProblemError, match=r"costs: entry 1 is .*, expected at most 1e\+12; choose a larger unit"):
        palm.ValueMatrix([[1.0], [2.0]], costs=[1.0, cost])
