"""Lotteries against grids of all shares, their bounds against the definition, and what a portfolio promises of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.preferences.lottery import best_lottery, power_mean
from palm_opt.preferences.simplex import lattice, sample
from tests.agreement.test_real_sets import load

POWERS = ["maxmin", -math.inf, -1e6, -20.0, -1.0, -1e-9, 0, 1e-9, 0.3, 0.97, 1]


def mean(rewards: list[float], p: float) -> float:
    """The p-mean by definition, in moderate cases."""
    if p == -math.inf:
        return min(rewards)
    if p <= 0 and min(rewards) == 0:
        return 0.0
    if p == 0:
        return math.prod(rewards) ** (1 / len(rewards))
    return (sum(x**p for x in rewards) / len(rewards)) ** (1 / p)


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1)), min_size=1, max_size=5),
    st.sampled_from([-math.inf, -20.0, -1.0, -0.1, 0, 0.1, 0.5, 1]),
)
def test_the_mean_is_that_of_the_definition(rewards: list[float], p: float) -> None:
    assert power_mean(np.array(rewards), p) == pytest.approx(mean(rewards, p), rel=1e-9, abs=0)
    assert power_mean(np.array([rewards, rewards]), p).tolist() == [power_mean(np.array(rewards), p)] * 2


@pytest.mark.parametrize("p", [-1e308, -1e4, -1e-200, 1e-200, 1 - 1e-16])
def test_the_mean_of_extreme_powers_stays_between_the_least_and_the_largest(p: float) -> None:
    for rewards in ([0.2, 0.7, 1.0], [1e-300, 1.0, 1.0], [0.3, 0.3, 0.3]):
        assert min(rewards) * (1 - 1e-9) <= float(power_mean(np.array(rewards), p)) <= max(rewards) * (1 + 1e-9)


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray:
    """Values in [0, 1] with zeros, ties and rewards that nobody has."""
    d, n = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    entry = draw(st.sampled_from([st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.001, 1), st.floats(0, 1)]))
    return np.array(draw(st.lists(st.lists(entry, min_size=d, max_size=d), min_size=n, max_size=n)))


@settings(max_examples=150)
@given(tables(), st.sampled_from(POWERS))
def test_no_lottery_of_a_grid_is_better(table: np.ndarray, utility: Any) -> None:
    n, d = table.shape
    p = -math.inf if utility == "maxmin" else float(utility)
    found = best_lottery(table, range(n), utility)
    assert found.members == tuple(range(n))
    assert found.shares.min() >= 0 and found.shares.sum() == pytest.approx(1, abs=1e-12)
    reached = float(power_mean(found.shares @ table, p))
    assert found.value == pytest.approx(reached, rel=1e-12, abs=0)
    grid = power_mean(lattice(n, 24) @ table, p).max()
    assert grid <= found.upper_bound
    assert found.gap <= 3e-9
    single = power_mean(table, p)
    assert found.best_value == single.max() <= found.value and single[found.best_member] == single.max()
    assert found.weight.shape == (d,) and found.weight.min() >= 0 and found.weight.sum() == pytest.approx(1)


wide = tables().map(lambda table: np.where(table < 1e-6, 0, table)).filter(lambda table: (table.max(axis=0) > 0).all())


@settings(max_examples=60)
@given(wide, st.sampled_from([-30.0, -1.0, 0, 0.4, 0.9]))
def test_the_weight_proves_the_bound(table: np.ndarray, p: float) -> None:
    found = best_lottery(table, range(len(table)), p)
    q = p / (p - 1)
    spread = len(found.weight) * mean(found.weight.tolist(), q)
    assert found.upper_bound == pytest.approx((table @ found.weight).max() / spread, rel=1e-9)
    for x in np.random.default_rng(0).random((50, table.shape[1])):  # reverse Hoelder
        assert mean(x.tolist(), p) <= x @ found.weight / spread * (1 + 1e-9)


@settings(max_examples=60)
@given(st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=1, max_size=4))
def test_max_min_takes_any_values(rows: list[list[float]]) -> None:
    table = np.array(rows)
    found = best_lottery(table, range(len(rows)), "maxmin")
    assert (lattice(len(rows), 20) @ table).min(axis=1).max() <= found.upper_bound
    assert found.gap <= 1e-8
    assert (table @ found.weight).max() <= found.upper_bound


def test_a_lottery_can_be_better_than_every_member() -> None:
    table = [[9.0, 9.0], [1.0, 0.0], [0.0, 1.0]]
    found = best_lottery(table, [2, 1], "maxmin")
    assert found.shares == pytest.approx([0.5, 0.5]) and found.value == pytest.approx(0.5)
    assert (found.best_member, found.best_value, found.members) == (2, 0.0, (2, 1))
    assert best_lottery(table, [2, 1], 0.5).value == pytest.approx(0.5)
    for utility in (0, -1, -math.inf):
        assert best_lottery([[0.5, 0.0], [1.0, 0.0]], [0, 1], utility).upper_bound == 0
    assert best_lottery([[0.5, 0.0], [1.0, 0.0]], [0, 1], 0.5).value == pytest.approx(0.25)


@pytest.mark.parametrize("epsilon", [0.05, 0.2])
def test_lotteries_over_a_portfolio_keep_its_promise(epsilon: float) -> None:
    rng = np.random.default_rng(5)
    for d in (2, 3, 4):
        directions = np.abs(rng.standard_normal((14, d)))
        array = np.round(directions / np.linalg.norm(directions, axis=1, keepdims=True), 3)
        solved = palm.solve(palm.ValueMatrix(array), epsilon=epsilon, delta=0)
        for utility in ["maxmin", *np.linspace(-6, 1, 15)]:
            pool = best_lottery(array, range(len(array)), utility)
            kept = best_lottery(array, solved.indices, utility)
            assert kept.upper_bound >= (1 - epsilon) * pool.value
            assert kept.value >= (1 - epsilon) * pool.value * (1 - 1e-8)


@pytest.mark.parametrize("delta", [0.02, 0.1])
def test_max_min_over_a_portfolio_loses_no_more_than_delta(delta: float) -> None:
    array = np.round(sample(np.random.default_rng(1), 20, 3), 3)
    solved = palm.solve(palm.ValueMatrix(array), delta=delta)
    pool, kept = (best_lottery(array, rows, "maxmin") for rows in (range(20), solved.indices))
    assert kept.value >= pool.value - delta - 1e-9


@pytest.mark.parametrize("name", ["dpo_safety_help_sweep", "safety_chat_llms", "open_llm_v1"])
def test_on_real_values_no_mean_is_below_the_promise(palm_data: Path, name: str) -> None:
    values = load(palm_data, name)
    solved = palm.solve(values, epsilon=0.05, delta=0)
    for utility in ("maxmin", -3.0, 0, 0.5):
        pool = best_lottery(values.array, range(len(values.names)), utility)
        assert best_lottery(values.array, solved.indices, utility).value >= 0.95 * pool.value * (1 - 1e-8)


@pytest.mark.parametrize(
    ("values", "members", "utility", "message"),
    [
        ([[1.0, 2.0]], [0], 2, 'utility: expected "maxmin" or a number p <= 1, got 2'),
        ([[1.0, 2.0]], [0], "minmax", 'utility: expected "maxmin" or a number p <= 1'),
        ([[1.0, 2.0]], [0], math.nan, "utility: expected"),
        ([[1.0, 2.0]], [0], True, "utility: expected"),
        ([[1.0, 2.0]], [], 0, "members: expected at least one row"),
        ([[1.0, 2.0]], [1], 0, "members: expected rows from 0 to 0, got 1"),
        ([[1.0, 2.0]], "0", 0, "members: expected rows of the values"),
        ([[1.0, -2.0]], [0], 0, "values, row 0, reward 1: expected a number >= 0 for a p-mean, got -2.0"),
        ([[1.0, math.nan]], [0], 0, "values, row 0: expected finite, moderate numbers"),
        ([1.0, 2.0], [0], 0, "values: expected shape"),
        ([["a"]], [0], 0, "values: expected an"),
    ],
)
def test_what_is_refused(values: Any, members: Any, utility: Any, message: str) -> None:
    with pytest.raises(palm.ProblemError, match=message):
        best_lottery(values, members, utility)
