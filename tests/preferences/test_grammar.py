"""Constraints as text: what is read, what is written back, and refusals of one line."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.preferences.grammar import LONGEST, Constraint, number, parse

REWARDS = ("safe", "-latency", "two words", "tick`s", "größe")
NAMES = ["safe", "latency", "`two words`", "`tick``s`", "größe", "`safe`"]


def read(text: str, rewards: tuple[str, ...] = ("a", "b", "c")) -> tuple[list[Fraction], Fraction, bool]:
    (constraint,) = parse(text, rewards)
    return list(constraint.coefficients), constraint.bound, constraint.equation


@pytest.mark.parametrize(
    ("text", "coefficients", "bound", "equation"),
    [
        ("a >= 0.3", "1 0 0", "3/10", False),
        ("b >= 2 * c", "0 1 -2", "0", False),
        ("a + b <= 0.8", "-1 -1 0", "-4/5", False),
        ("a = 0.2", "1 0 0", "1/5", True),
        ("a == 20%", "1 0 0", "1/5", True),
        ("0.5*a - 1/3*b >= 0", "1/2 -1/3 0", "0", False),
        ("a*2/3 >= .5e-1", "2/3 0 0", "1/20", False),
        ("  a>=30 %  ", "1 0 0", "3/10", False),
        ("-a >= -0.5", "-1 0 0", "-1/2", False),
        ("0.3 <= a", "1 0 0", "3/10", False),
        ("1 - a ≥ b + 0.25 + b", "-1 -2 0", "-3/4", False),
        ("a ≤ 1.", "-1 0 0", "-1", False),
        ("`a` >= 0.1000000000000000055511151231", "1 0 0", "0.1000000000000000055511151231", False),
        ("a + b + c >= 1", "1 1 1", "1", False),
        ("2 * 3 * a / 4 >= 1 * 0.5", "3/2 0 0", "1/2", False),
    ],
)
def test_what_a_text_means(text: str, coefficients: str, bound: str, equation: bool) -> None:
    assert read(text) == ([Fraction(x) for x in coefficients.split()], Fraction(bound), equation)


def test_a_chain_holds_link_by_link() -> None:
    links = parse("0.5 >= a >= 2*b = c", ("a", "b", "c"))
    assert [str(link) for link in links] == ["a <= 0.5", "a >= 2 * b", "2 * b = c"]
    assert [link.equation for link in links] == [False, False, True]


def test_names_are_called_without_their_sign() -> None:
    (constraint,) = parse("latency >= 0.1 + `tick``s`", REWARDS)
    assert constraint.coefficients == (0, 1, 0, -1, 0)
    assert str(constraint) == "latency >= `tick``s` + 0.1"


@pytest.mark.parametrize(
    ("text", "column", "part"),
    [
        ("", 1, "expected a number or the name of a reward, got the end"),
        ("a", 2, "expected a relation (>=, <= or =), got the end"),
        ("a >=", 5, "expected a number or the name of a reward, got the end"),
        ("a > 0.3", 3, 'write ">="'),
        ("a < 0.3", 3, 'write "<="'),
        ("a => 0.3", 4, 'write ">="'),
        ("(a + b) >= 0.3", 1, "no parentheses"),
        ("a >= 0,3", 7, "decimals take a point"),
        ("2a >= 0.3", 2, "an operator (+, -, * or /), got 'a'"),
        ("a b >= 1", 3, "an operator (+, -, * or /), got 'b'"),
        ("a * b >= 1", 5, "at most one reward in a product"),
        ("1 / a >= 1", 5, "a number to divide by, got the reward 'a'"),
        ("a / 0 >= 1", 5, "a divisor other than 0"),
        ("a >= 1.2.3", 9, "an operator"),
        ("a - a >= 0", 7, "a reward to stay in it"),
        ("0.1 <= 0.2 <= a", 5, "a reward to stay in it"),
        ("safee >= 1", 1, "did you mean safe?"),
        ("`-latency` >= 1", 1, "did you mean latency?"),
        ("safe >= `two word`", 9, "did you mean `two words`?"),
        ("safe + `two >= 1", 8, "a name in backticks needs one at its end"),
        ("a >= 1e31", 6, "at most 30 digits"),
        ("a >= 0.1234567890123456789012345678901", 6, "at most 30 digits"),
        ("a >= 1e25*1e25*1e25", 3, "moderate numbers"),
        ("a >= --1", 7, "a number or the name"),
        ("a >= 2 * -1", 10, "a number or the name"),
        ("__import__('os') >= 1", 11, "no parentheses"),
        ("a >= 0.3; b >= 1", 9, "got ';'"),
    ],
)
def test_what_is_refused(text: str, column: int, part: str) -> None:
    with pytest.raises(palm.ProblemError) as caught:
        parse(text, (*REWARDS, "a", "b"), "where[2]")
    message = str(caught.value)
    assert "\n" not in message and message.startswith("where[2] ")
    assert f", column {column}: expected " in message and part in message


def test_texts_are_texts_of_moderate_length() -> None:
    with pytest.raises(palm.ProblemError, match=r'where: expected a text such as "safe >= 0\.3", got 0\.3'):
        parse(0.3, ("a",))
    with pytest.raises(palm.ProblemError, match="where: expected at most 1000 characters, got 1001"):
        parse("a >= 0.1".ljust(LONGEST + 1), ("a",))
    assert parse("a >= 0.1".ljust(LONGEST), ("a",))


def test_an_error_is_one_short_line_whatever_the_names() -> None:
    rewards = tuple(f"reward\n{k} {'x' * 100}" for k in range(30))
    with pytest.raises(palm.ProblemError) as caught:
        parse("`reward\n1` + nothing >= 1", rewards)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


@given(st.fractions(max_denominator=10**6))
def test_numbers_are_written_exactly(value: Fraction) -> None:
    text = number(value)
    assert Fraction(text) == value
    assert ("/" in text) == bool(set(_primes(value.denominator)) - {2, 5})


def _primes(n: int) -> list[int]:
    found, p = [], 2
    while n > 1:
        while n % p == 0:
            found.append(p)
            n //= p
        p += 1 if p * p <= n else max(n - p, 1)
    return found


coefficient = st.fractions(-5, 5, max_denominator=60)


@given(st.lists(coefficient, min_size=5, max_size=5).filter(any), coefficient, st.booleans())
def test_a_constraint_is_written_in_its_own_grammar(row: list[Fraction], bound: Fraction, equation: bool) -> None:
    constraint = Constraint(REWARDS, tuple(row), bound, equation)
    (again,) = parse(str(constraint), REWARDS)
    sign = -1 if equation and again.coefficients != constraint.coefficients else 1
    assert [sign * x for x in again.coefficients] == row and sign * again.bound == bound
    assert again.equation == equation
    *a, b = constraint.integers
    assert all(x * bound == y * b for x, y in zip(a, row, strict=True)) and (b == 0) == (bound == 0)
    assert constraint.words


tokens = st.sampled_from(
    [
        *NAMES,
        "0.3",
        "2",
        "1e3",
        "30%",
        "0",
        "*",
        "/",
        "+",
        "-",
        "%",
        ">=",
        "<=",
        "=",
        "==",
        " ",
        "`",
        "``",
        "(",
        "e5",
        ".",
    ]
)


@given(
    st.one_of(
        st.text(max_size=60), st.lists(tokens, max_size=12).map(" ".join), st.lists(tokens, max_size=9).map("".join)
    )
)
def test_nothing_but_problem_errors_leaves(text: str) -> None:
    try:
        found = parse(text, REWARDS)
    except palm.ProblemError as error:
        assert "\n" not in str(error) and "expected" in str(error)
    else:
        assert found and all(any(c.coefficients) for c in found)
