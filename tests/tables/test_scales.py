"""Scales: one for all rewards or one each, exact on decimals, floats close to them, and what is refused."""

import itertools
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.errors import ProblemError
from palm_opt.tables import scales
from tests.verify import exact_rows

ENTRY = st.sampled_from(["none", "minmax", "log", (0.1, 0.3), (-5.0, 1e9)])
PRICE = st.floats(1e-300, 1e300) | st.floats(0.5, 2) | st.sampled_from([0.1, 1.0, 10.0, 1e16, 99.99, 5e-324])
OFFSET = st.builds(lambda k, base: base + k / 8, st.integers(0, 80), st.sampled_from([1.0, 1e6, 1e12, 1e15]))


@given(st.data())
def test_a_scale_per_reward_exactly_and_as_floats(data):
    n, d = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    kind = st.sampled_from([PRICE, OFFSET])
    array = np.array([[data.draw(x) for x in data.draw(st.lists(kind, min_size=d, max_size=d))] for _ in range(n)])
    rewards = [data.draw(st.sampled_from(["", "-"])) + f"r{k}" for k in range(d)]
    scale = [data.draw(ENTRY) for _ in range(d)]
    try:
        values = palm.ValueMatrix(array, rewards=rewards, scale=scale)
    except ProblemError as error:
        assert "sums would overflow" in str(error)
        return
    assert values.scale == tuple(scale)
    rows = exact_rows(values)
    assert [values.exact(i) for i in range(n)] == rows
    for k in range(d):
        column = [row[k] for row in rows]
        size = max(map(abs, column))
        wrong = max(abs(Fraction(float(x)) - y) for x, y in zip(values.array[:, k], column, strict=True))
        assert wrong <= size / 10**14 + Fraction(1, 10**320)
        order = sorted(range(n), key=lambda i: column[i])
        assert all(values.array[a, k] <= values.array[b, k] for a, b in itertools.pairwise(order))


def test_ties_that_a_person_sees_are_ties():
    values = palm.ValueMatrix([[0.82], [0.7], [1.0]], scale="minmax")
    assert values.exact(0) == [Fraction(12, 30)]
    assert palm.ValueMatrix([[0.3]]).exact(0) == [Fraction(3, 10)]


def test_differences_that_floats_lose():
    values = palm.ValueMatrix([[1e12 + 0.1], [1e12 + 0.2], [1e12 + 0.4]], scale="minmax")
    assert values.array[:, 0].tolist() == [0.0, float(Fraction(1, 3)), 1.0]


def test_logarithms_of_fifteen_digits():
    values = palm.ValueMatrix([[0.1], [1.0], [20.0], [1000.0]], rewards=["-price"], scale="log")
    t = Context(prec=15).log10(Decimal("20.0"))
    assert t == Decimal("1.30102999566398")
    assert [values.exact(i)[0] for i in range(4)] == [1, Fraction(3, 4), (3 - Fraction(t)) / 4, 0]
    assert palm.solve(values, delta=0.05).members == ("0",)


@pytest.mark.parametrize("text", ["none", "minmax", "log", "0.0:10.0", "minmax,log,0.0:10.0", "-1.5:1e+300,none"])
def test_scales_are_read_as_they_are_shown(text):
    found = scales.parse(text)
    d = text.count(",") + 1
    assert scales.show(scales.declared(found, d)) == text
    assert scales.declared(found, d) == tuple(found if d > 1 else [found])


@pytest.mark.parametrize(
    "scale, words",
    [
        ("max", "scale: expected 'none', 'minmax', 'log'"),
        (["minmax"], "one for all rewards or 2, one per reward, got 1"),
        (["minmax", "max"], "got 'max'"),
        ([(1, 0), "none"], "low < high, got (1.0, 0.0)"),
        (["minmax", 3], "scale: expected"),
        (["none", "log"], "scale: 'log' of 'b' needs numbers > 0, row 1 has 0.0"),
    ],
)
def test_refused(scale, words):
    with pytest.raises(ProblemError) as error:
        palm.ValueMatrix([[1.0, 2.0], [2.0, 0.0]], rewards=["a", "-b"], scale=scale)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "max", "1:x", "minmax,", "none,2:1", "inf:nan"])
def test_texts_that_are_no_scale(text):
    with pytest.raises(ProblemError, match="scale: expected"):
        scales.parse(text)


def test_scores_have_no_log():
    with pytest.raises(ProblemError, match="'log' is for tables of values"):
        palm.RewardTable(np.ones((1, 2, 1)), scale="log")
    table = palm.RewardTable(np.array([[[1.0, 5.0], [2.0, 5.0]]]), rewards=["a", "-b"], scale=["none", "minmax"])
    assert table.scale == ("none", (0.0, 5.0))
