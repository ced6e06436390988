"""Corners of the envelope and outer bounds, against their slow twins."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_opt import _core
from palm_opt.search.bounds import OuterBound
from palm_opt.search.conditional import _corner_weights
from palm_opt.search.envelope import Envelope, exact_corner, scale_exponents
from tests import envelope_twins as twins


def build(values: np.ndarray, seed: int = 0) -> tuple[Envelope, OuterBound]:
    """The envelope of values, with unit bounds."""
    d = values.shape[1]
    exponents = scale_exponents(values)
    envelope = Envelope(exponents, 1.0, 0.0, 0.0, 0.0, seed)
    bounds = OuterBound(envelope.scale, list(range(d)), np.abs(values).max(axis=0), None)
    for number, value in enumerate(values):
        envelope.add(number, value, bounds.outer)
    return envelope, bounds


@st.composite
def value_vectors(draw: st.DrawFn) -> np.ndarray:
    """Few value vectors with ties, duplicates, dominated rows, signs and wide scales."""
    d = draw(st.integers(1, 4))
    n = draw(st.integers(1, 9 - d))
    entry = draw(
        st.sampled_from(
            [st.integers(0, 2).map(float), st.floats(-1, 1), st.sampled_from([0.5, 0.5 + 1e-10, 0.5 + 1e-6, 0.25])]
        )
    )
    rows = draw(st.lists(st.lists(entry, min_size=d, max_size=d), min_size=n, max_size=n))
    scale = draw(st.sampled_from([1.0, 1e-3, 1e6]))
    column = 10.0 ** np.array(draw(st.lists(st.integers(-6, 6), min_size=d, max_size=d)))
    return np.array(rows) * scale * (column if draw(st.booleans()) else 1.0)


@settings(max_examples=150, deadline=None)
@given(value_vectors(), st.integers(0, 3))
def test_corners_are_those_of_the_definition(values: np.ndarray, seed: int) -> None:
    envelope, _ = build(values, seed)
    arrays, alive = envelope.corners.arrays, envelope.alive()
    expected = twins.corners(envelope.integers)
    active = {tuple(codes) for codes in arrays["active"][alive].tolist()}
    assert active == set(expected)
    for slot in alive:
        w, _ = expected[tuple(arrays["active"][slot].tolist())]
        error = max(abs(Fraction(float(x)) - y) for x, y in zip(arrays["weight"][slot], w, strict=True))
        assert error <= arrays["radius"][slot]
        for position, other in enumerate(arrays["neighbour"][slot].tolist()):
            edge = set(arrays["active"][slot].tolist()) - {int(arrays["active"][slot][position])}
            if other < 0:
                assert max(edge, default=0) < values.shape[1]  # a vertical ray: facets only
            else:
                assert slot in arrays["neighbour"][other] and edge < set(arrays["active"][other].tolist())


@settings(max_examples=60, deadline=None)
@given(value_vectors())
def test_points_are_below_the_values_by_little(values: np.ndarray) -> None:
    envelope, _ = build(values)
    for number, point in zip(envelope.policies, envelope.integers, strict=True):
        for k, a in enumerate(point):
            lost = Fraction(float(values[number, k])) - Fraction(a) * Fraction(2) ** (int(envelope.exponents[k]) - 44)
            assert 0 < lost <= Fraction(2) ** (int(envelope.exponents[k]) - 29)


def test_exact_corner_solves_its_constraints() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        d = int(rng.integers(1, 6))
        facets = int(rng.integers(0, d))
        points = rng.integers(-50, 50, (d - facets, d)).tolist()
        active = [*sorted(rng.choice(d, facets, replace=False).tolist()), *range(d, d + len(points))]
        try:
            w, z = exact_corner(active, points)
        except StopIteration:  # singular
            continue
        if sum(w) == 0:  # not a corner of an envelope
            continue
        assert all(w[k] == 0 for k in active if k < d) and sum(w) > 0
        assert all(sum(a * b for a, b in zip(w, point, strict=True)) == z for point in points)


@pytest.mark.parametrize("d", range(1, 9))
def test_outer_bound_against_a_general_solver(d: int) -> None:
    rng = np.random.default_rng(d)
    outer = _core.Outer(d)
    directions = twins.random_weights(rng, 60, d)
    for direction in [*np.eye(d), *directions]:
        outer.add(direction, float(np.linalg.norm(direction) * rng.uniform(1.0, 1.2)))
    columns, costs = outer.column[:, : outer.count], outer.cost[: outer.count]
    for w in [*np.eye(d), *directions[:10], *twins.random_weights(rng, 40, d)]:
        value, basis, share, price = outer.solve(w)
        assert value == pytest.approx(twins.outer_bound(columns, costs, w), abs=1e-11)
        assert np.abs(columns[:, basis] @ share - w).max() < 1e-12 and share.min() >= 0
        assert (price @ columns <= costs + 1e-10).all() and price @ w == pytest.approx(value, abs=1e-11)


@pytest.mark.parametrize("d", [2, 3, 5, 7])
def test_warm_bounds_are_the_cold_ones(d: int) -> None:
    """Columns and policies come by turns; bounds solved lazily from inherited bases are optimal, others valid."""
    rng = np.random.default_rng(d)
    values = np.abs(rng.standard_normal((40, d)))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    exponents = scale_exponents(values)
    envelope = Envelope(exponents, 1.0, 0.0, 0.0, 0.0, 0)
    bounds = OuterBound(envelope.scale, list(range(d)), np.ones(d), None)
    for number, value in enumerate(values):
        if number:
            bounds.add(d + number, value, float(np.linalg.norm(value)))
        envelope.add(number, value, bounds.outer)
        envelope.corners.top(bounds.outer, 0.0)
    arrays = envelope.corners.arrays
    alive = envelope.alive()
    sample = alive[rng.permutation(len(alive))[:60]]
    for solved in (False, True):
        if solved:
            envelope.corners.solve(bounds.outer, sample)
        for slot in sample:
            best = bounds.outer.solve(arrays["weight"][slot])[0]
            assert arrays["bound"][slot] >= best - 1e-11
            assert not solved or arrays["bound"][slot] <= best + 1e-11


def heap_is_in_order(envelope: Envelope) -> bool:
    arrays, alive = envelope.corners.arrays, envelope.alive()
    size = int((arrays["place"][alive] >= 0).sum())
    heap, key = arrays["heap"][:size], arrays["key"]
    places = all(arrays["place"][slot] == at for at, slot in enumerate(heap))
    return places and all(key[heap[(at - 1) // 2]] >= key[heap[at]] for at in range(1, size))


def test_the_heap_stays_in_order() -> None:
    """Also after limits were raised and all keys computed anew (once that broke the order)."""
    rng = np.random.default_rng(0)
    values = np.abs(rng.standard_normal((60, 4)))
    envelope, bounds = build(values)
    assert heap_is_in_order(envelope)
    for answer in range(4):
        bounds.loosen(answer, float(values[:, answer].max()) * 1.3, envelope.corners)
        envelope.corners.rekey()
        assert heap_is_in_order(envelope)
    while (slot := envelope.corners.top(bounds.outer, 0.0)) >= 0 and envelope.corners.arrays["key"][slot] > 0.3:
        envelope.corners.remove(slot)
        assert heap_is_in_order(envelope)


def test_a_point_through_a_corner_is_shifted_again() -> None:
    """State 2 everywhere forces the integer decision; an exact tie gets another shift."""
    envelope, bounds = build(np.eye(3))
    alive = envelope.alive()
    inner = next(i for i in alive if min(envelope.corners.arrays["active"][i]) >= 3)
    w, z = exact_corner(envelope.corners.arrays["active"][inner].tolist(), envelope.integers)
    state = np.full(envelope.corners.used, 2, dtype=np.uint8)
    through = tuple(z // sum(w) for _ in range(3))
    if sum(a * b for a, b in zip(w, through, strict=True)) == z:
        assert not envelope._decide(state, through)
    above = tuple(x + 1 for x in through)
    state[:] = 0
    state[inner] = 2
    assert envelope._decide(state, above) and state[inner] == 1
    assert bounds.outer.lps > 0


def test_bindings_check_shapes() -> None:
    outer = _core.Outer(2)
    with pytest.raises(ValueError, match="weight"):
        outer.solve([1.0, 0.0])
    with pytest.raises(ValueError, match="d: expected"):
        _core.Outer(0)
    corners = _core.Corners(np.ones(2), 1.0, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="point"):
        corners.start([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="point"):
        corners.side([1.0, 2.0], 1.0)
    corners.start([1.0, 2.0])
    with pytest.raises(ValueError, match="state, policy"):
        corners.cut(1, np.ones((1, 2)), np.zeros(2, dtype=np.uint8))
    with pytest.raises(ValueError, match="slot"):
        corners.remove(7)
    with pytest.raises(ValueError, match="outer"):
        corners.top(outer, 0.0)


def test_weights_of_corners_are_right_to_the_last_bits() -> None:
    """What the certificate's multipliers are made of: solved in floats for all corners, against integers."""
    rng = np.random.default_rng(0)
    for d in (1, 2, 4, 6):
        envelope, _ = build(np.abs(rng.normal(size=(12, d))))
        active = envelope.corners.arrays["active"][envelope.alive()]
        for row, weight in zip(active, _corner_weights(envelope, active), strict=True):
            exact, _ = exact_corner(row.tolist(), envelope.integers)
            np.testing.assert_allclose(weight, [float(Fraction(x, sum(exact))) for x in exact], rtol=1e-11, atol=0)
