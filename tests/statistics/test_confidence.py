"""Confidence bounds: exact coverage by enumeration, a slow twin in rationals, and how they move."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from palm_opt.statistics import confidence

BETS = (1 / 1024, 0.1, 0.35, 0.8, 1023 / 1024)
METHODS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "hoeffding": confidence.hoeffding,
    "bernstein": confidence.bernstein,
    **{f"betting {c:.3g}": lambda x, level, c=c: confidence.betting(x, level, c) for c in BETS},
}
unit = st.floats(0, 1, width=32)
samples = hnp.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(2, 40)), elements=unit)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 2, 5, 17, 60])
def test_coverage_of_coins_is_exactly_at_least_what_is_promised(method: str, count: int) -> None:
    """All outcomes of `count` coins, summed: P(bound <= p) >= 1 - level, also at and around the bounds themselves."""
    outcomes = np.arange(count)[None, :] < np.arange(count + 1)[:, None]  # k ones
    for level in (0.3, 0.05, 0.001):
        bounds = METHODS[method](outcomes.astype(float), level)
        near = [float(b) + s for b in bounds for s in (-1e-9, 1e-9)]  # coverage jumps at the bounds
        for p in [x for x in (*near, 0.01, 0.3, 0.5, 0.9, 0.999) if 0 < x < 1]:
            chance = [math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(count + 1)]
            missed = math.fsum(c for c, b in zip(chance, bounds, strict=True) if b > p)
            assert missed <= level * (1 + 1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [(0.0, 0.5, 1.0), (0.2, 0.25, 1.0), (0.0, 0.9, 1.0)])
def test_coverage_of_three_values(method: str, values: tuple[float, ...]) -> None:
    """Multinomial enumeration."""
    count = 9
    draws = [counts for counts in itertools.product(range(count + 1), repeat=3) if sum(counts) == count]
    x = np.array([np.repeat(values, counts) for counts in draws])
    for level in (0.2, 0.02):
        bounds = METHODS[method](x, level)
        for weights in itertools.product((1, 5, 40), repeat=3):
            share = [w / sum(weights) for w in weights]
            mean = math.fsum(s * v for s, v in zip(share, values, strict=True))
            missed = 0.0
            for counts, bound in zip(draws, bounds, strict=True):
                ways = math.factorial(count) / math.prod(map(math.factorial, counts))
                missed += (bound > mean) * ways * math.prod(s**c for s, c in zip(share, counts, strict=True))
            assert missed <= level * (1 + 1e-9)


@given(samples, st.sampled_from(BETS), st.sampled_from([0.3, 0.05, 1e-4]))
def test_betting_is_where_the_exact_capital_is_one_over_level(x: np.ndarray, c: float, level: float) -> None:
    bounds = confidence.betting(x, level, c)
    share, wanted = Fraction(c), 1 / Fraction(level)

    def capital(row: np.ndarray, m: Fraction) -> Fraction:
        return math.prod((1 - share + share * Fraction(float(v)) / m for v in row), start=Fraction(1))

    for row, bound in zip(x, bounds, strict=True):
        if bound == 0:  # no mean of 2^-15 or more is refuted
            assert capital(row, Fraction(1, 1 << 15)) <= wanted
            continue
        assert capital(row, Fraction(float(bound)) * (1 - Fraction(1, 10**10))) >= wanted
        assert capital(row, Fraction(float(bound)) * (1 + Fraction(1, 10**10))) <= wanted


@given(samples, st.sampled_from(list(METHODS)))
def test_bounds_lie_below_the_mean_and_follow_level_and_number(x: np.ndarray, method: str) -> None:
    bound = METHODS[method]
    at = bound(x, 0.05)
    slack = 1e-9
    assert (at >= 0).all()
    assert (at <= x.mean(axis=1) + slack).all()
    assert (bound(x, 0.01) <= at + slack).all()
    assert (bound(x, 0.2) >= at - slack).all()
    assert (bound(np.tile(x, 3), 0.05) >= at - slack).all()  # the same, seen more often
    assert np.allclose(bound(x[:, ::-1], 0.05), at, rtol=1e-9)  # order does not matter


@given(samples, st.sampled_from([0.5, 0.05]))
def test_bounds_rise_with_the_observations(x: np.ndarray, level: float) -> None:
    raised = np.minimum(x + 0.1, 1)
    for c in BETS:
        assert (confidence.betting(raised, level, c) >= confidence.betting(x, level, c) - 1e-9).all()
    assert (confidence.hoeffding(raised, level) >= confidence.hoeffding(x, level)).all()


@pytest.mark.parametrize("deviation", [0.05, 0.15, 0.3])
@pytest.mark.parametrize("count", [100, 1000])
def test_betting_is_narrowest_on_what_it_meets_in_practice(deviation: float, count: int) -> None:
    rng = np.random.default_rng(7)
    strength = 0.48 * 0.52 / deviation**2 - 1
    draw = rng.beta(0.48 * strength, 0.52 * strength, (2, 40, count))
    bet = confidence.best_bet(draw[0], 0.05)
    betting = confidence.betting(draw[1], 0.05, bet).mean()
    assert betting > confidence.bernstein(draw[1], 0.05).mean()
    assert betting > confidence.hoeffding(draw[1], 0.05).mean()
    ideal = confidence.betting(draw[1], 0.05, confidence.best_bet(draw[1], 0.05)).mean()
    width = draw[1].mean() - ideal
    assert ideal - betting < 0.03 * width  # a bet chosen on other observations costs next to nothing
    assert width < 2.6 * deviation / math.sqrt(count) + 6 / count  # sqrt(2 log 20) = 2.45


@given(samples)
def test_best_bet_beats_every_fixed_bet(x: np.ndarray) -> None:
    padded = np.concatenate([x, np.zeros((len(x), 1))], axis=1)  # the value 0 that it reckons with
    best = confidence.betting(padded, 0.05, confidence.best_bet(padded, 0.05))
    for c in (1 / 1024, 0.05, 0.2, 0.5, 0.8):
        assert (confidence.betting(padded, 0.05, c) <= best + 0.02).all()


@pytest.mark.parametrize("method", confidence.METHODS)
def test_observations_needed_reach_the_goal(method: str) -> None:
    x = np.random.default_rng(3).beta(4, 4, (3, 200))
    goal = x.mean(axis=1) - np.array([0.02, 0.03, 0.05])
    count = confidence.observations_needed(x, goal, 0.05, method)
    for times, reached in ((0.9, False), (1.1, True)):
        repeat = times * count / x.shape[1]
        if method == "betting":
            bound = confidence.betting(x, 0.05, confidence.best_bet(x, 0.05, repeat), repeat)
        else:
            tiled = np.tile(x, round(repeat))
            bound = METHODS[method](tiled, 0.05)
        assert bool((bound >= goal - (2e-4 if method != "betting" else 0)).all()) == reached
    assert confidence.observations_needed(x, x.mean(axis=1), 0.05, method) == math.inf
    assert confidence.observations_needed(x, np.full(3, -0.1), 0.05, method) == 0


@pytest.mark.parametrize("x", [[[0.5, 1.1]], [[-0.1, 0.5]], [[math.nan, 0.5]], np.zeros((2, 0)), 0.5])
def test_observations_outside_the_unit_interval_are_refused(x: object) -> None:
    for bound in METHODS.values():
        with pytest.raises(ValueError, match="observation"):
            bound(x, 0.05)  # type: ignore[arg-type]


def test_levels_and_bets_outside_their_range_are_refused() -> None:
    for level in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="level"):
            confidence.hoeffding([0.5, 0.5], level)
    for bet in (0.0, 1.0, 1.5, math.nan):
        with pytest.raises(ValueError, match="bet"):
            confidence.betting([0.5, 0.5], 0.05, bet)
