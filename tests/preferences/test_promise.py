"""Portfolios on a region: those of the values at its corners are those of the definition (docs/theory.md, L12)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palm_opt as palm
from tests.conftest import ROOT
from tests.preferences.test_region import dot, keeps, rows_of, solve

Vector = list[Fraction]
DELTA = Fraction("0.0917")  # no tie with values of three digits
TRAITS = ["positivity", "readability", "brevity", "relevance", "cleanliness"]


def regret(region: palm.Region, target: Vector, members: Sequence[Vector]) -> Fraction:
    """max over W of the least w.(target - member): at a point where enough of all constraints and ties are tight."""
    d = len(target)
    tight = [([Fraction(j == k) for j in range(d)], Fraction(0)) for k in range(d)]
    tight += [(list(c.coefficients), c.bound) for c in region.constraints]
    tight += [([x - y for x, y in zip(p, q, strict=True)], Fraction(0)) for p, q in itertools.combinations(members, 2)]
    found = []
    for chosen in itertools.combinations(tight, d - 1):
        w = solve([[Fraction(1)] * d, *(a for a, _ in chosen)], [Fraction(1), *(b for _, b in chosen)])
        if w is not None and min(w) >= 0 and keeps(rows_of(region.constraints), w):
            found.append(min(dot(w, target) - dot(w, member) for member in members))
    return max(found)


def least(region: palm.Region, values: Sequence[Vector]) -> int:
    """The size of the smallest portfolio on a region, by trying all."""
    for size in range(1, len(values) + 1):
        for members in itertools.combinations(values, size):
            if all(regret(region, target, members) <= DELTA for target in values):
                return size
    raise AssertionError("all candidates are a portfolio")


WHERE = {
    2: [[], ["a >= 0.2"], ["a = 0.35"], ["0.1 <= a <= 0.6"]],
    3: [
        [],
        ["a >= b >= c"],
        ["c = 0.2"],
        ["a + b <= 0.8", "a >= 0.1"],
        ["b <= 2 * a", "c <= 0.5", "a <= 0.6"],
        ["a = b", "b = c"],
    ],
}


@settings(max_examples=25)
@given(st.data(), st.integers(2, 3))
def test_the_least_size_on_a_region(data: st.DataObject, d: int) -> None:
    region = palm.Region(["a", "b", "c"][:d], data.draw(st.sampled_from(WHERE[d])))
    entry = st.integers(0, 1000).map(lambda x: Fraction(x, 1000))
    values = data.draw(st.lists(st.lists(entry, min_size=d, max_size=d), min_size=1, max_size=4))
    floats = region.transform(np.array(values, dtype=float))
    result = palm.solve(palm.ValueMatrix(floats), delta=float(DELTA))
    assert result.status is palm.Status.OPTIMAL and len(result.members) == least(region, values)
    members = [values[i] for i in result.indices]
    assert all(regret(region, target, members) <= DELTA for target in values)


@pytest.mark.parametrize(
    ("where", "size"),
    [
        ([], 6),
        ([f"{name} >= 5%" for name in TRAITS], 5),
        ([f"{name} >= 0.1" for name in TRAITS], 5),
        ([f"{name} >= 0.15" for name in TRAITS], 2),
        *([[f"{name} >= 0.5"], size] for name, size in zip(TRAITS, (2, 3, 3, 4, 4), strict=True)),
        ([" >= ".join(TRAITS)], 2),
    ],
)
def test_the_shipped_table_needs_fewer_members_for_fewer_preferences(where: list[str], size: int) -> None:
    file = ROOT / "examples" / "prompted_policies" / "values.csv"
    values = palm.ValueMatrix.read(file, id="policy", rewards=TRAITS, scale="minmax")
    region = palm.Region(TRAITS, where)
    assert region.simplex
    result = palm.solve(palm.ValueMatrix(region.transform(values.array)), delta=0.05)
    assert result.status is palm.Status.OPTIMAL and len(result.members) == size
