"""Numbers for people: what is proved is printed on the side on which the sentence stays true; words agree."""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.report.claims import headline, proof
from palm_opt.wording import (
    at_least,
    at_most,
    confidence,
    duration,
    needed,
    number,
    plural,
    promise,
    served,
    serving,
    stopped,
    untrained,
)  # fmt: skip

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(FLOATS, st.integers(1, 15))
def test_a_printed_bound_is_never_stronger_than_the_proved_one(x: float, digits: int) -> None:
    upper, lower = at_most(x, digits), at_least(x, digits)
    assert Decimal(lower) <= Decimal(repr(x)) <= Decimal(upper)
    assert float(lower) <= x <= float(upper)
    if x != round(x):  # and not by more than a unit of the last digit
        unit = Fraction(10) ** (Decimal(repr(abs(x))).adjusted() - digits + 1)
        assert Fraction(upper) - Fraction(lower) <= unit


@given(st.fractions(), st.integers(1, 15))
def test_a_fraction_is_rounded_as_it_is(x: Fraction, digits: int) -> None:
    assert Fraction(at_least(x, digits)) <= x <= Fraction(at_most(x, digits))


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1e6))
def test_a_promise_and_a_confidence_are_never_stronger(epsilon: float, delta: float) -> None:
    said = promise(epsilon, delta).removeprefix("within ").split(" plus ")
    if epsilon:
        assert Fraction(said[0].removesuffix(" %")) >= 100 * Fraction(repr(epsilon))
    if delta:
        assert Fraction(said[-1]) >= Fraction(repr(delta))
    assert Fraction(confidence(epsilon)) <= 1 - Fraction(repr(epsilon))
    assert Fraction(confidence(epsilon, 100)) <= 100 * (1 - Fraction(repr(epsilon)))


def test_numbers_are_short_and_whole_ones_in_full() -> None:
    assert [number(x) for x in (0.0481234, 12.5, -0.0, 12345.0, math.inf, -math.inf, math.nan)] == [
        "0.04812", "12.5", "0", "12345", "infinity", "-infinity", "unknown",
    ]  # fmt: skip
    assert at_most(12345.0) == at_least(12345.0) == "12345" and at_most(12345.6) == "12350"
    assert at_most(math.inf) == "infinity" and at_least(-math.inf) == "-infinity"
    assert at_most(5e-324) == "5e-324" and at_most(1.7976931348623157e308) == "1.798e+308"
    assert at_most(-0.048561) == "-0.04856" and at_least(-0.048561) == "-0.04857"
    assert at_most(np.float64(0.1)) == at_least(np.float64(0.1)) == "0.1"


def test_words_agree_with_their_numbers() -> None:
    assert [plural(k, "member") for k in (0, 1, 2)] == ["0 members", "1 member", "2 members"]
    assert plural(1, "policy", "policies") == "1 policy" and plural(3.0, "policy", "policies") == "3 policies"
    assert serving(1, 4) == "1 of 4 candidates serves every preference"
    assert serving(1, 1) == "1 of 1 candidate serves every preference"
    assert serving(2, 4, "policy", "policies") == "2 of 4 policies serve every preference"
    assert needed(1) == "at least 1 member is needed" and needed(2.0) == "at least 2 members are needed"
    assert needed(0) == needed(-math.inf) == "nothing is proved about smaller sizes"
    assert untrained(None, {"a": 1.0}) == "a mixture of a 1.000: 1 forward pass a token"
    assert duration(61) == "61 s" and duration(600) == "10 min" and duration(6000) == "1.7 h"
    assert served(0.0, 0.0) == "exactly as well as the best"


def test_a_run_of_one_training_is_said_so() -> None:
    how = {"stop": "target", "target": 0.1, "trainings": 1, "lower_bound": 1.0, "trainer_error": (0.0, 0.030001)}
    said = stopped({**how, "missed": {"w-1": 0.01234}}, 0.1)
    assert "after 1 training;" in said and "0.03001, which 1 run missed, by up to 0.013 (w-1)" in said
    assert said.endswith("; at least 1 measured policy is needed.")


def solved(n: int = 3, **options: float) -> tuple[palm.ValueMatrix, palm.Result]:
    values = palm.ValueMatrix(np.eye(3)[:n])
    return values, palm.solve(values, **options)


def test_messages_and_headlines_have_no_false_plural_and_no_bound_of_nothing() -> None:
    values, one = solved(1, delta=0.1)
    assert one.message == "1 member serves every preference, and no portfolio of lower cost than 1 exists"
    assert (
        headline(values, one) == "1 of 1 candidate serves every preference within 0.1; there is no smaller portfolio."
    )
    values, three = solved(delta=0.1)
    assert three.message == "3 members serve every preference, and no portfolio of lower cost than 3 exists"
    for bound in (0.0, -math.inf):
        unproved = dataclasses.replace(three, status=palm.Status.FEASIBLE, lower_bound=bound)
        assert unproved.message.endswith("; cost 3, and nothing is proved about cheaper ones")
        assert headline(values, unproved).endswith(
            "nothing is proved about smaller sizes, so this may not be the smallest."
        )
        assert ("proved members", "no bound; found 3") in proof(values, unproved)
    for bound, said in ((1.0, "at least 1 member is needed"), (2.0, "at least 2 members are needed")):
        loose = dataclasses.replace(three, status=palm.Status.FEASIBLE, lower_bound=bound)
        assert said in headline(values, loose)


@pytest.mark.parametrize("bound", [None, 0.0, 0.1234567])
def test_a_budget_is_said_with_its_bound(bound: float | None) -> None:
    values, result = solved(delta=0.1)
    loose = dataclasses.replace(
        result, status=palm.Status.FEASIBLE, tolerance=0.1234561, tolerance_lower_bound=bound, delta=0.1234561
    )
    said = "3 members serve every preference at the tolerance 0.123457"
    assert loose.message == said + (
        ", and no portfolio of that size reaches a tolerance below 0.123456" if bound else ""
    )
    assert ("no 3 do better than 0.1234." in headline(values, loose)) is bool(bound)


def test_a_cost_that_is_found_is_rounded_up_and_one_that_is_needed_down() -> None:
    values = palm.ValueMatrix(np.eye(2), costs=[1.23456, 2.34567])
    result = palm.solve(values, delta=0.1)
    assert headline(values, result).endswith("; no portfolio costs less than 3.58.")
    loose = dataclasses.replace(result, status=palm.Status.FEASIBLE, lower_bound=1.99999)
    assert "a cost of at least 1.999 is needed" in headline(values, loose)
    assert loose.message.endswith("; cost 3.58023, at least 1.99999 is needed")
    assert ("proved cost", "at least 1.999; found 3.581") in proof(values, loose)
