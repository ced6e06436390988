"""Steering a training loop: what is promised holds against a simulated trainer whose error is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.align.steer import steer

BASE = np.array([0.55, 0.5, 0.45])


def trained(weight: np.ndarray, gamma: float, rng: np.random.Generator) -> np.ndarray:
    """A policy for a weight: the best point of the unit sphere, less a share of gamma in every reward."""
    best = weight / np.linalg.norm(weight)
    return best - rng.uniform(0, gamma)


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.01, 0.03]), st.sampled_from([0.0, 0.05]), st.integers(1, 3))
def test_the_promise_holds_against_every_policy(seed: int, gamma: float, epsilon: float, workers: int) -> None:
    rng = np.random.default_rng(seed)
    values, weights = [BASE], [None]
    asked = list(np.eye(3))
    while asked:
        for weight in asked:
            values.append(trained(weight, gamma, rng))
            weights.append(weight)
        state = steer(np.array(values), weights, epsilon, 0.08, (0.0, gamma))
        assert not state.missed
        asked = state.next(workers) if state.gap > 0.08 else []
    assert state.gap <= 0.08 and len(values) < 30
    result, members = state.result()
    assert result.kept and set(members) <= set(range(len(values)))
    palm.verify(result.certificate, state.search)
    w = rng.dirichlet(np.ones(3), size=5000)
    best = np.linalg.norm(w, axis=1)
    assert ((1 - epsilon) * best - (w @ np.array(values)[list(members)].T).max(axis=1) <= 0.08).all()


def test_nothing_is_known_before_the_unit_weights() -> None:
    state = steer(np.array([BASE, [0.9, 0.1, 0.1]]), [None, np.array([1.0, 0, 0])], 0.0, 0.05, (0.0, 0.01))
    assert state.gap == np.inf
    assert np.array_equal(np.array(state.next(2)), np.eye(3)[1:])


def test_a_run_below_its_declared_error_is_named_and_a_better_policy_answers() -> None:
    values = np.array([[0.9, 0.2], [0.95, 0.3], [0.1, 0.9]])
    weights = [np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.array([0.0, 1.0])]
    state = steer(values, weights, 0.0, 0.3, (0.0, 0.01))
    (missed,) = state.missed
    assert (missed.candidate, missed.better) == (0, 1) and missed.short == pytest.approx(0.04)
    assert state.told == (1, 1, 2, 0)
    _, members = state.result()
    assert members == (1, 2)
    palm.verify(state.result()[0].certificate, state.search)


def test_without_an_error_nothing_is_claimed() -> None:
    values, weights = np.eye(2), list(np.eye(2))
    state = steer(values, weights, 0.0, 0.1, None)
    assert len(state.next(1)) == 1
    assert state.result()[0].certificate is None


def test_a_trained_weight_is_not_asked_again() -> None:
    """Where the declared error alone is above the target, no training helps and nothing is asked."""
    values, weights = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]]), [*np.eye(2), np.array([0.5, 0.5])]
    for gamma in (0.2, 0.5):
        state = steer(values, weights, 0.0, 0.1, (0.0, gamma))
        for weight in state.next(4):
            assert min(np.abs(weight - w).max() for w in weights) > 1e-6


@pytest.mark.parametrize(("d", "delta", "gamma"), [(2, 0.02, 0.0), (2, 0.03, 0.01), (3, 0.06, 0.02), (3, 0.05, 0.0)])
def test_the_trainings_to_expect_are_about_those_it_takes(d: int, delta: float, gamma: float) -> None:
    weights = list(np.eye(d))
    guesses = []
    while True:
        values = np.array([weight / np.linalg.norm(weight) for weight in weights])
        state = steer(values, weights, 0.0, delta, (0.0, gamma))
        if state.gap <= delta:
            break
        guesses.append(len(weights) + state.expected(100))
        weights += state.next(1)
    needed = len(weights)
    assert all(abs(guess - needed) <= needed / 2 for guess in guesses)
    assert all(abs(guess - needed) <= needed / 10 for guess in guesses[needed // 2 :])
    assert state.expected(100) == 0
    assert steer(values[:d], weights[:d], 0.0, delta, (0.0, gamma)).expected(1) == 1
