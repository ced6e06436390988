"""A number means its shortest decimal: rationals, places, integers, and the least float above a rational."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palm_opt.tables.decimals import ceil_float, integer, places, rational

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SHORT = st.builds(lambda k, p: k / 10**p, st.integers(-(10**6), 10**6), st.integers(0, 6))


def test_a_float_means_what_is_written():
    assert rational(0.3) == Fraction(3, 10) != Fraction(0.3)
    assert rational(np.float64(1e-07)) == Fraction(1, 10**7)
    assert rational(5e-324) == Fraction(5, 10**324)


@given(FINITE | SHORT)
@example(5e-324)
@example(9007199254740992.0)
@example(1e23)
def test_the_least_float_above_a_rational(number):
    assert ceil_float(rational(number)) == number
    for q in (Fraction(number), rational(number) + Fraction(1, 10**400), rational(number) - Fraction(1, 10**400)):
        if q > rational(1.7e308):
            continue
        found = ceil_float(q)
        assert rational(found) >= q > rational(math.nextafter(found, -math.inf))


@given(st.lists(FINITE | SHORT, min_size=1, max_size=8))
def test_places_and_integers_are_exact(numbers):
    array = np.array(numbers) + 0.0
    count = places(array)
    assert [Fraction(integer(x, count), 10**count) for x in array.tolist()] == [rational(x) for x in array]


@given(st.lists(SHORT, min_size=1, max_size=8))
def test_short_decimals_are_small_integers(numbers):
    least = max(-Decimal(repr(x)).normalize().as_tuple().exponent if x else 0 for x in numbers)
    assert places(np.array(numbers)) == max(1, least)


@pytest.mark.parametrize("n", [999, 1000, 1001, 5000])
def test_one_long_number_among_many_short_ones(n):
    numbers = np.arange(n) / 100
    assert places(numbers) == 2
    numbers[n - 1] = 1 / 3e5
    count = places(numbers)
    assert Fraction(integer(float(numbers[n - 1]), count), 10**count) == rational(1 / 3e5)
