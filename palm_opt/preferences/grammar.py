"""Linear constraints on weights as text: "safe >= 0.3", "helpful >= 2 * humor", "a + b <= 80%" (docs/theory.md, L12).

    constraint := sum (relation sum)+              a chain holds link by link: a >= b >= c
    relation   := >= | <= | =                      also ==, ≥, ≤
    sum        := [+ | -] term ((+ | -) term)*
    term       := factor ((* | /) factor)*         at most one name, and never under a division
    factor     := number [%] | name                1/3 * b is a third of b

Numbers are decimals and mean exactly what is written. A name is a word, or anything in backticks, a backtick in it
doubled. The text is read from left to right without recursion, and nothing in it is ever evaluated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn

from palm_opt.arguments import choices, nearest, refusal
from palm_opt.errors import ProblemError

__all__ = ["LONGEST", "Constraint", "coprime", "formula", "number", "parse", "shown"]

LONGEST = 1_000  #: characters of one text
_DIGITS = 30  # of a number as written, and the largest power of ten behind its e
_SIZE = 10**60  # numerators and denominators of coefficients and bounds stay below
_WORD = re.compile(r"[^\W\d]\w*")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<word>[^\W\d]\w*)"
    r"|`(?P<quoted>(?:[^`]|``)*)`|(?P<relation>[<>=]=|=|≥|≤)|(?P<sign>[-+*/%])|(?P<end>\Z))"
)
_RELATIONS = {">=": ">=", "≥": ">=", "<=": "<=", "≤": "<=", "=": "=", "==": "="}
_HINTS = {
    "<": 'a set of weights has its border: write "<="',
    ">": 'a set of weights has its border: write ">="',
    "(": "there are no parentheses: write the sum out",
    ")": "there are no parentheses: write the sum out",
    ",": "decimals take a point, and each constraint is a text of its own",
    "`": "a name in backticks needs one at its end",
}


@dataclass(frozen=True)
class Constraint:
    """coefficients . w >= bound, or = bound for an equation, over the weights w of all rewards.

    Attributes
    ----------
    rewards : the d reward columns; a leading "-" is part of the column, not of the name in a constraint.
    coefficients, bound : d exact rationals, and one.
    equation : whether equality is asked for.
    """

    rewards: tuple[str, ...]
    coefficients: tuple[Fraction, ...]
    bound: Fraction
    equation: bool = False

    @property
    def integers(self) -> tuple[int, ...]:
        """The d coefficients and the bound as d + 1 integers without a common divisor."""
        return coprime([*self.coefficients, self.bound])

    @property
    def row(self) -> tuple[int, ...]:
        """d integers without a common divisor: row . w >= 0 (= 0) says the same of every w >= 0, whatever its sum."""
        *a, b = self.integers
        return coprime([x - b for x in a])

    @property
    def document(self) -> dict[str, object]:
        """The constraint for a certificate: texts of decimals or ratios, in the order of the rewards."""
        relation = "=" if self.equation else ">="
        return {"coefficients": [*map(number, self.coefficients)], "relation": relation, "bound": number(self.bound)}

    def __str__(self) -> str:
        """The constraint in the grammar, with positive numbers only: 'helpful >= 2 * humor'."""
        left, right = self._sides()
        return f"{left} {self._relation} {right}"

    @property
    def words(self) -> str:
        """The constraint in plain words: 'helpful at least 2 times humor'."""
        relation = {">=": "at least", "<=": "at most", "=": "exactly"}[self._relation]
        named = [(self._sign * c, name) for c, name in zip(self.coefficients, self.rewards, strict=True) if c]
        (first, name), rest = named[0], named[1:]
        if not rest:
            return f"{_quoted(name)} {relation} {number(self._sign * self.bound / first)}"
        if len(rest) == 1 and rest[0][0] < 0 and not self.bound:
            ratio = -rest[0][0] / first
            times = "" if ratio == 1 else f"{number(ratio)} times "
            return f"{_quoted(name)} {relation} {times}{_quoted(rest[0][1])}"
        left, right = self._sides()
        return f"{left} {relation} {right}"

    def _sides(self) -> tuple[str, str]:
        """The texts on both sides of the relation."""
        sign = self._sign
        left = formula(self.rewards, [max(sign * c, Fraction(0)) for c in self.coefficients])
        right = formula(self.rewards, [max(-sign * c, Fraction(0)) for c in self.coefficients])
        bound = sign * self.bound
        if right == "0":
            return left, number(bound)
        return left, right + (f" {'+' if bound > 0 else '-'} {number(abs(bound))}" if bound else "")

    @property
    def _sign(self) -> int:
        """-1 where the first coefficient is negative: then it reads better the other way round."""
        return -1 if next((c for c in self.coefficients if c), 1) < 0 else 1

    @property
    def _relation(self) -> str:
        return "=" if self.equation else ">=" if self._sign > 0 else "<="


def parse(text: object, rewards: Sequence[str], label: str = "where") -> list[Constraint]:
    """The constraints that a text means, one a link of its chain.

    Raises
    ------
    ProblemError : one line with the label, the text, the column, what was expected and what came.
    """
    if not isinstance(text, str):
        raise refusal(label, 'a text such as "safe >= 0.3"', text)
    if len(text) > LONGEST:
        raise ProblemError(f"{label}: expected at most {LONGEST} characters, got {len(text)}")
    return _Reader(text, tuple(rewards), label).constraints()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int  # of the first character, from 0


class _Reader:
    """One text, read from left to right; `at` is the next token."""

    def __init__(self, text: str, rewards: tuple[str, ...], label: str) -> None:
        self.text, self.rewards, self.label, self.at = text, rewards, label, 0
        self.names = {name.removeprefix("-"): k for k, name in enumerate(rewards)}
        self.tokens = list(self._split())

    def constraints(self) -> list[Constraint]:
        sums, relations = [self._sum()], []
        while (token := self._next("a relation (>=, <= or =) or an operator (+, -, * or /)", "relation", "end")).text:
            relations.append(token)
            sums.append(self._sum())
        if not relations:
            self._fail(token.place, "a relation (>=, <= or =)", "the end")
        links = zip(sums, relations, sums[1:], strict=False)
        return [self._link(left, relation, right) for left, relation, right in links]

    def _link(self, left: dict[int, Fraction], relation: _Token, right: dict[int, Fraction]) -> Constraint:
        sign = -1 if _RELATIONS[relation.text] == "<=" else 1
        d = len(self.rewards)
        total = [sign * (left.get(k, Fraction(0)) - right.get(k, Fraction(0))) for k in range(d + 1)]
        if not any(total[:d]):
            self._fail(relation.place, "a reward to stay in it", "a relation between numbers alone")
        if any(max(abs(x.numerator), x.denominator) >= _SIZE for x in total):
            self._fail(relation.place, "moderate numbers", f"ratios of more than {len(str(_SIZE)) - 1} digits")
        return Constraint(self.rewards, tuple(total[:d]), -total[d], _RELATIONS[relation.text] == "=")

    def _sum(self) -> dict[int, Fraction]:
        """Coefficients by the place of the reward; the place d is that of the constant."""
        total: dict[int, Fraction] = {}
        sign = -1 if self._take("-+") == "-" else 1
        while True:
            place, factor = self._term()
            total[place] = total.get(place, Fraction(0)) + sign * factor
            operator = self._take("+-")
            if not operator:
                return total
            sign = -1 if operator == "-" else 1

    def _term(self) -> tuple[int, Fraction]:
        place, product, operator = len(self.rewards), Fraction(1), "*"
        while operator:
            token = self._next("a number or the name of a reward", "number", "word", "quoted")
            if token.kind == "number":
                factor = self._number(token)
                if operator == "/" and not factor:
                    self._fail(token.place, "a divisor other than 0", token.text)
                product = product * factor if operator == "*" else product / factor
            elif operator == "/":
                self._fail(token.place, "a number to divide by", f"the reward {shown(token.text)}")
            elif place < len(self.rewards):
                self._fail(token.place, "at most one reward in a product", f"a second one, {shown(token.text)}")
            else:
                place = self._reward(token)
            operator = self._take("*/")
        return place, product

    def _number(self, token: _Token) -> Fraction:
        mantissa, _, exponent = token.text.lower().partition("e")
        if len(mantissa) > _DIGITS or len(exponent) > 4 or abs(int(exponent or 0)) > _DIGITS:
            self._fail(token.place, f"at most {_DIGITS} digits and powers of ten up to {_DIGITS}", shown(token.text))
        return Fraction(token.text) / (100 if self._take("%") else 1)

    def _reward(self, token: _Token) -> int:
        name = token.text.replace("``", "`") if token.kind == "quoted" else token.text
        if name not in self.names:
            near = nearest(name, self.names)
            mean = f"did you mean {_quoted(near[0])}? " if near else ""
            hint = shown(mean + choices(name, [_quoted(reward) for reward in self.rewards]), 400)[1:-1]
            self._fail(token.place, "the name of a reward", f"{shown(name)} ({hint})")
        return self.names[name]

    def _next(self, expected: str, *kinds: str) -> _Token:
        token = self.tokens[self.at]
        if token.kind not in kinds:
            self._fail(token.place, expected, "the end" if token.kind == "end" else shown(token.text))
        self.at += 1
        return token

    def _take(self, signs: str) -> str:
        """The next token if it is one of these signs, else nothing."""
        token = self.tokens[self.at]
        if token.kind != "sign" or token.text not in signs:
            return ""
        self.at += 1
        return token.text

    def _split(self) -> Iterable[_Token]:
        place = 0
        while True:
            found = _TOKEN.match(self.text, place)
            if found is None:
                place += len(self.text[place:]) - len(self.text[place:].lstrip())
                came = self.text[place]
                hint = f" ({_HINTS[came]})" if came in _HINTS else ""
                self._fail(place, "a number, a name, an operator or a relation", f"{shown(came)}{hint}")
            kind = found.lastgroup or "end"
            begin = found.start(kind) - (kind == "quoted")
            yield _Token(kind, found[kind], begin)
            if kind == "end":
                return
            place = found.end()

    def _fail(self, place: int, expected: str, came: str) -> NoReturn:
        where = f"{self.label} {shown(self.text)}, column {place + 1}"
        raise ProblemError(f"{where}: expected {expected}, got {came}")


def formula(
    rewards: Sequence[str], coefficients: Sequence[Fraction], written: Callable[[Fraction], str] | None = None
) -> str:
    """A sum of named terms, coefficients >= 0, as the grammar reads it; "0" if there are none."""
    text = written or number
    pairs = zip(coefficients, rewards, strict=True)
    terms = [_quoted(name) if c == 1 else f"{text(c)} * {_quoted(name)}" for c, name in pairs if c]
    return " + ".join(terms) or "0"


def number(value: Fraction) -> str:
    """An exact rational as a decimal if it is one, else as a ratio: "0.3", "-2", "1/3"."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def coprime(values: Sequence[Fraction | int]) -> tuple[int, ...]:
    """The integers without a common divisor that are proportional to these rationals, signs kept; zeros stay zeros."""
    common = math.lcm(*(x.denominator for x in values))
    whole = [x.numerator * (common // x.denominator) for x in values]
    divisor = math.gcd(*whole) or 1
    return tuple(x // divisor for x in whole)


def _quoted(reward: str) -> str:
    """The name of a reward column as a constraint calls it: without its sign, in backticks unless it is a word."""
    name = reward.removeprefix("-")
    return name if _WORD.fullmatch(name) else f"`{name.replace('`', '``')}`"


def shown(text: str, most: int = 80) -> str:
    """A text for a message: on one line, and not too long."""
    line = " ".join(text.split())
    return repr(line if len(line) <= most else f"{line[: most - 3]}...")
