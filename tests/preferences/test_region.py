"""Regions of weights against their definition: corners by brute force in rationals, membership, facets, refusals."""

from __future__ import annotations

import itertools
import pickle
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.preferences import region as region_module
from palm_opt.preferences.cones import extreme_rays, game
from palm_opt.preferences.grammar import Constraint, parse

Row = tuple[list[Fraction], Fraction, bool]  # coefficients, bound, whether it is an equation
NAMES = ("r1", "r2", "r3", "r4")


def solve(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction] | None:
    """The only solution of a square system, or None: Gauss and Jordan, by the book."""
    n = len(matrix)
    table = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    for k in range(n):
        pivot = next((r for r in range(k, n) if table[r][k]), None)
        if pivot is None:
            return None
        table[k], table[pivot] = table[pivot], table[k]
        table[k] = [x / table[k][k] for x in table[k]]
        for r in range(n):
            if r != k:
                table[r] = [x - table[r][k] * y for x, y in zip(table[r], table[k], strict=True)]
    return [row[-1] for row in table]


def dot(a: Any, b: Any) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def keeps(rows: list[Row], w: list[Fraction]) -> bool:
    """Whether a point of sum 1 keeps all rows, by definition."""
    return all(dot(row, w) == b if equation else dot(row, w) >= b for row, b, equation in rows)


def corners(d: int, rows: list[Row]) -> set[tuple[Fraction, ...]]:
    """Every point of W where d - 1 independent constraints are tight, beside the sum."""
    tight = [([Fraction(j == k) for j in range(d)], Fraction(0)) for k in range(d)] + [(a, b) for a, b, _ in rows]
    found = set()
    for chosen in itertools.combinations(tight, d - 1):
        w = solve([[Fraction(1)] * d, *(a for a, _ in chosen)], [Fraction(1), *(b for _, b in chosen)])
        if w is not None and min(w) >= 0 and keeps(rows, w):
            found.add(tuple(w))
    return found


def rows_of(constraints: Any) -> list[Row]:
    return [(list(c.coefficients), c.bound, c.equation) for c in constraints]


@st.composite
def problems(draw: st.DrawFn, most: int = 4) -> tuple[int, list[str]]:
    """Few constraints with ties, redundant rows, equations and empty regions, as texts."""
    d = draw(st.integers(1, 4))
    entry = draw(st.sampled_from([st.integers(-1, 1).map(Fraction), st.fractions(-2, 2, max_denominator=6)]))
    texts = []
    for _ in range(draw(st.integers(0, most))):
        row = draw(st.lists(entry, min_size=d, max_size=d).filter(any))
        bound = draw(st.sampled_from([Fraction(0), Fraction(1, 5), Fraction(1, 2), Fraction(-1, 3), Fraction(1)]))
        texts.append(str(Constraint(NAMES[:d], tuple(row), bound, draw(st.integers(0, 4)) == 0)))
    return d, texts


@settings(max_examples=300)
@given(problems())
def test_corners_are_those_of_the_definition(problem: tuple[int, list[str]]) -> None:
    d, texts = problem
    constraints = [c for text in texts for c in parse(text, NAMES[:d])]
    expected = corners(d, rows_of(constraints))
    if not expected:
        with pytest.raises(palm.ProblemError, match="no weight is left by"):
            palm.Region(NAMES[:d], texts)
        return
    region = palm.Region(NAMES[:d], texts)
    assert set(region.exact_corners) == expected and len(region.exact_corners) == len(expected)
    assert list(region.exact_corners) == sorted(expected, reverse=True)
    assert list(region.constraints) == constraints
    assert np.array_equal(region.corners, [[float(x) for x in corner] for corner in region.exact_corners])
    assert region.contains(region.center) or region.dimension < d - 1
    rank = np.linalg.matrix_rank(region.corners)
    assert region.dimension == rank - 1
    assert region.simplex == (len(expected) == d == rank)
    assert region.whole == (region == palm.Region(NAMES[:d]))


@given(problems())
def test_facets_and_equations_describe_the_region_and_none_is_superfluous(problem: tuple[int, list[str]]) -> None:
    d, texts = problem
    try:
        region = palm.Region(NAMES[:d], texts)
    except palm.ProblemError:
        assume(False)
    flat, facets = list(region.equations), list(region.facets)
    within = [[Fraction(1)] * d, *(list(c.coefficients) for c in flat)]
    seen = set()
    for chosen in itertools.combinations(facets, d - len(within)):  # w >= 0 only where it is a facet
        rows = within + [list(c.coefficients) for c in chosen]
        w = solve(rows, [Fraction(1), *(c.bound for c in flat), *(c.bound for c in chosen)])
        if w is not None and keeps(rows_of(facets), w):
            seen.add(tuple(w))
    assert seen == set(region.exact_corners)
    without = [str(c) for c in region.constraints if c not in region.redundant]
    assert palm.Region(NAMES[:d], without) == region
    inner = [sum(column) / len(seen) for column in zip(*seen, strict=True)]
    for facet in facets if region.dimension > 1 else ():
        active = [w for w in seen if dot(facet.row, w) == 0]
        middle = [sum(column) / len(active) for column in zip(*active, strict=True)]
        beyond = [m + (m - x) / 10**9 for m, x in zip(middle, inner, strict=True)]
        assert dot(facet.row, beyond) < 0
        assert keeps(rows_of([*flat, *(c for c in facets if c is not facet)]), beyond)


@settings(max_examples=200)
@given(problems(most=6))
def test_constraints_that_contradict_each_other_are_named_and_none_too_many(problem: tuple[int, list[str]]) -> None:
    d, texts = problem
    try:
        palm.Region(NAMES[:d], texts)
        assume(False)
    except palm.ProblemError as error:
        message = str(error)
    assert "\n" not in message
    found = re.fullmatch(r"where: no weight is left by (.*?): (it says|together they say).*", message)
    assert found
    named = [parse(text, NAMES[:d])[0] for text in found[1].split("; ")]
    given_rows = [c.row for text in texts for c in parse(text, NAMES[:d])]
    assert all(c.row in given_rows or tuple(-x for x in c.row) in given_rows for c in named)
    assert not corners(d, rows_of(named))
    for constraint in named:
        assert corners(d, rows_of([c for c in named if c is not constraint]))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            ["safe >= 60%", "humor >= 0", "helpful >= 0.5"],
            "safe >= 0.6; helpful >= 0.5: together they say safe + helpful >= 1.1, but that is at most 1, as weights "
            "sum to 1",
        ),
        (["safe >= 1.2"], "safe >= 1.2: it says safe >= 1.2, but that is at most 1, as weights sum to 1"),
        (["safe <= -0.1"], "safe <= -0.1: it says safe <= -0.1, but that is at least 0"),
        (
            ["safe >= helpful >= humor >= safe + 0.1"],
            "safe >= helpful; helpful >= humor; safe <= humor - 0.1: together they say 0 >= 0.1",
        ),
        (
            ["safe >= 2 * helpful", "humor = 0.1", "helpful >= 0.35"],
            "safe >= 2 * helpful; helpful >= 0.35: together they say, multiplied by 1, 3 and added, "
            "safe + helpful >= 1.05, but that is at most 1, as weights sum to 1",
        ),
    ],
)
def test_why_a_region_is_empty(where: list[str], message: str) -> None:
    with pytest.raises(palm.ProblemError) as caught:
        palm.Region(["safe", "helpful", "humor"], where)
    assert message in str(caught.value)


@settings(max_examples=200)
@given(problems(), st.data())
def test_membership_is_exact_about_decimals(problem: tuple[int, list[str]], data: st.DataObject) -> None:
    d, texts = problem
    try:
        region = palm.Region(NAMES[:d], texts)
    except palm.ProblemError:
        assume(False)
    entry = st.one_of(
        st.integers(0, 10).map(lambda x: x / 10), st.floats(0, 1), st.sampled_from([0.1 + 2**-56, 1e-300])
    )
    table = data.draw(st.lists(st.lists(entry, min_size=d, max_size=d).filter(any), min_size=1, max_size=6))
    table += [[float(x) for x in corner] for corner in region.exact_corners]
    rows = rows_of(region.constraints)
    expected = []
    for weight in table:
        exact = [Fraction(repr(x)) for x in weight]
        expected.append(keeps(rows, [x / sum(exact) for x in exact]))  # no entry is negative
    assert region.contains(table).tolist() == expected
    assert [region.contains(weight) for weight in table] == expected
    assert region.contains(dict(zip(NAMES, table[0], strict=False))) == expected[0]
    assert all(region.contains(np.array(corner, dtype=object)) for corner in region.exact_corners)


def test_membership_at_a_border_of_decimals() -> None:
    region = palm.Region(["a", "b", "c"], ["a + b >= 0.3", "c = 0.7"])
    assert region.contains([0.1, 0.2, 0.7])  # in binary 0.1 + 0.2 is not 0.3, and the sum is not 1
    assert region.contains([1, 2, 7]) and region.contains({"a": 0.3, "c": 0.7})
    assert not region.contains([0.1, 0.2, np.nextafter(0.7, 1)])
    assert not region.contains([-0.1, 0.4, 0.7])
    assert palm.Region(["a", "b", "c"], ["a = 1/3"]).contains([1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([0.5, 0.5], r"weight: expected 3 numbers in a row, got the shape \(2,\)"),
        ([[0.5, 0.5, float("nan")]], "weight, row 0: expected finite numbers"),
        ([[1, 0, 0], [0, 0, 0]], "weight, row 1: expected a number above 0, got zeros only"),
        ({"a": 1, "d": 2}, "weight: expected rewards of a, b, c, got 'd'"),
        (["x", "y", "z"], "weight: expected numbers"),
    ],
)
def test_what_is_no_weight(weight: Any, message: str) -> None:
    with pytest.raises(palm.ProblemError, match=message):
        palm.Region(["a", "b", "c"]).contains(weight)


@given(problems(), st.data())
def test_values_at_the_corners_turn_the_region_into_a_simplex(
    problem: tuple[int, list[str]], data: st.DataObject
) -> None:
    d, texts = problem
    try:
        region = palm.Region(NAMES[:d], texts)
    except palm.ProblemError:
        assume(False)
    k = len(region.exact_corners)
    vector = [data.draw(st.fractions(-3, 3, max_denominator=20)) for _ in range(d)]
    mu = [Fraction(data.draw(st.integers(0, 9))) for _ in range(k)]
    mu = [x / sum(mu) for x in mu] if any(mu) else [Fraction(1, k)] * k
    w = [sum(m * corner[j] for m, corner in zip(mu, region.exact_corners, strict=True)) for j in range(d)]
    (turned,) = region.transform_exact([vector])
    assert sum(m * x for m, x in zip(mu, turned, strict=True)) == sum(a * x for a, x in zip(w, vector, strict=True))
    assert region.contains(np.array(w, dtype=object))
    floats = region.transform([[float(x) for x in vector]])
    assert floats.shape == (1, k) and np.allclose(floats[0], [float(x) for x in turned], rtol=0, atol=1e-12)


@settings(max_examples=150)
@given(problems(), st.randoms(use_true_random=False))
def test_a_region_comes_back_from_its_corners(problem: tuple[int, list[str]], random: Any) -> None:
    d, texts = problem
    try:
        region = palm.Region(NAMES[:d], texts)
    except palm.ProblemError:
        assume(False)
    points = [list(corner) for corner in region.exact_corners]
    points += [[(x + y) / 2 for x, y in zip(p, q, strict=True)] for p, q in itertools.combinations(points, 2)]
    random.shuffle(points)
    again = palm.Region(NAMES[:d], corners=np.array(points, dtype=object))
    assert again == region and hash(again) == hash(region) and again.exact_corners == region.exact_corners
    assert again.dimension == region.dimension
    told = palm.Region(NAMES[:d], [str(c) for c in again.constraints])
    assert told == region
    assert faces(again) == faces(region)


def faces(region: palm.Region) -> set[frozenset[tuple[Fraction, ...]]]:
    """The corners on each facet."""
    return {frozenset(w for w in region.exact_corners if dot(facet.row, w) == 0) for facet in region.facets}


def test_corners_are_decimals_and_are_brought_to_sum_one() -> None:
    region = palm.Region(
        ["a", "b", "c"], corners=[[0.1, 0.2, 0.7], [0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.2, 0.3]]
    )
    assert region.exact_corners == (
        (Fraction(7, 10), Fraction(1, 5), Fraction(1, 10)),
        (Fraction(1, 3),) * 3,
        (Fraction(1, 10), Fraction(1, 5), Fraction(7, 10)),
    )
    assert region.simplex and "b >= 0.2" in map(str, region.constraints)


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        ([[0.5, 0.6]], "corners, row 0: expected numbers >= 0 with sum 1"),
        ([[0.5, 0.5], [-0.5, 1.5]], "corners, row 1: expected numbers >= 0 with sum 1"),
        ([[np.nan, 1.0]], "corners, row 0: expected finite numbers"),
        ([0.5, 0.5], r"corners: expected an array of shape \(k, 2\) with k >= 1"),
        (np.empty((0, 2)), "corners: expected an array of shape"),
        ([["x", "y"]], "corners: expected numbers"),
        (np.full((1001, 2), 0.5), "corners: expected at most 1000, got 1001"),
    ],
)
def test_what_are_no_corners(corners: Any, message: str) -> None:
    with pytest.raises(palm.ProblemError, match=message):
        palm.Region(["a", "b"], corners=corners)


@pytest.mark.parametrize(
    ("rewards", "arguments", "message"),
    [
        ([], {}, "rewards: expected at least one name"),
        ("ab", {}, "rewards: expected names of rewards, got the text"),
        (["a", "-a"], {}, "rewards: expected distinct names, got 'a' twice"),
        (["a", "-"], {}, "rewards: expected names of rewards, got '-'"),
        (["a"], {"where": 3}, "where: expected texts"),
        (["a"], {"where": [3]}, r"where\[0\]: expected a text"),
        (["a", "b"], {"where": ["a >= 0.1", "a >= 0.2 b"]}, r"where\[1\] 'a >= 0.2 b', column 10"),
        (["a"], {"where": ["a >= 0"], "corners": [[1]]}, "region: expected where or corners, got both"),
        (["a"], {"where": ["a >= 0"] * 201}, "where: expected at most 200 constraints"),
    ],
)
def test_what_is_no_region(rewards: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(palm.ProblemError, match=message):
        palm.Region(rewards, **arguments)


def test_too_many_corners_are_refused_with_their_number() -> None:
    names = [f"r{k}" for k in range(12)]
    where = [f"{name} <= 0.3" for name in names]
    with pytest.raises(palm.ProblemError, match="where: expected a region of at most 1000 corners, got 1980"):
        palm.Region(names, where)
    assert len(palm.Region(names[:10], where[:10]).exact_corners) == 840  # three at 0.3, one at 0.1
    names = [f"r{k}" for k in range(14)]
    with pytest.raises(palm.ProblemError, match=r"corners, got \d+ from the first \d+ of 14 constraints"):
        palm.Region(names, [f"{name} <= 0.3" for name in names])


def test_a_simplex_may_have_as_many_corners_as_rewards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_module, "MOST_CORNERS", 3)
    names = ["a", "b", "c", "d", "e"]
    assert palm.Region(names).whole and palm.Region(names, "a >= 0.2").simplex
    with pytest.raises(palm.ProblemError, match="where: expected a region of at most 5 corners, got 12"):
        palm.Region(names, ["a + b >= 0.2", "c + d + e >= 0.2"])


def test_a_hull_of_too_many_facets_is_refused() -> None:
    points = np.random.default_rng(0).dirichlet(np.ones(6), size=40)
    with pytest.raises(palm.ProblemError, match="corners: expected a hull of at most 200 facets, got "):
        palm.Region([f"r{k}" for k in range(6)], corners=points)


def test_a_region_in_words_and_documents() -> None:
    region = palm.Region(
        ["safe", "helpful", "-cost of use"],
        ["safe >= 30%", "helpful >= 2 * `cost of use`", "safe + `cost of use` <= 0.8", "helpful >= 0.1"],
    )
    assert region.words == (
        "all weights with safe at least 0.3, helpful at least 2 times `cost of use`, "
        "safe + `cost of use` at most 0.8 and helpful at least 0.1"
    )
    assert region.canonical[1:3] == [
        {"coefficients": ["0", "1", "-2"], "relation": ">=", "bound": "0"},
        {"coefficients": ["-1", "0", "-1"], "relation": ">=", "bound": "-0.8"},
    ]
    assert region.redundant == region.constraints[3:]
    assert "helpful >= 0.1  (follows from the others)" in region.describe()
    assert "corner 0.8 0.2 0" in region.describe() and region.describe().count("follows") == 1
    assert repr(region) == (
        "Region(safe, helpful, -cost of use; safe >= 0.3, helpful >= 2 * `cost of use`, "
        "safe + `cost of use` <= 0.8, ...; 4 corners)"
    )
    assert [str(c) for c in region.facets] == ["`cost of use` >= 0", *map(str, region.constraints[:3])]
    many = palm.Region(["a", "b"], ["a >= 0.1"] * 13)
    assert many.words.endswith(" and 3 more") and len(many.canonical) == 13 and len(many.facets) == 2
    assert palm.Region(["a", "-b"]).words == "all weights of a, b"
    assert palm.Region(["a", "b"], "a = 1/3").canonical == [
        {"coefficients": ["1", "0"], "relation": "=", "bound": "1/3"}
    ]


def test_a_region_is_a_frozen_value() -> None:
    region = palm.Region(["a", "b", "c"], "a >= b >= c")
    assert region == palm.Region(["a", "b", "c"], ["b >= c", "2*a >= 2*b", "a >= 0"]) != palm.Region(["a", "b", "c"])
    assert region != palm.Region(["a", "b", "-c"], "a >= b >= c") and region != "a >= b >= c"
    assert pickle.loads(pickle.dumps(region)) == region
    assert np.allclose(region.center, [11 / 18, 5 / 18, 2 / 18])
    for array in (region.corners, region.center):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        region.facets = ()  # type: ignore[misc]


def test_the_plain_simplex() -> None:
    for d in (1, 2, 5):
        region = palm.Region([f"r{k}" for k in range(d)])
        assert np.array_equal(region.corners, np.eye(d)) and region.whole and region.simplex
        assert region.canonical == [] and region.equations == () and len(region.facets) == (d if d > 1 else 0)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_game_is_proved_from_both_sides(rows: list[list[int]]) -> None:
    value, y = game(rows)
    assert sum(y) == 1 and min(y) >= 0
    assert max(sum(s * row[k] for s, row in zip(y, rows, strict=True)) for k in range(3)) == value
    lifted = [([x * value.denominator - value.numerator for x in row], False) for row in rows]
    assert extreme_rays(3, lifted, 100)  # some weight reaches the value
    above = [([x * value.denominator * 1000 - value.numerator * 1000 - 1 for x in row], False) for row in rows]
    assert not extreme_rays(3, above, 100)
