"""What a check has proved: in plain words, as the last line of the checker, and for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from typing import Any

from .refuse import show

MOST_NAMED = 10  # names in one sentence
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True)
class Verified:
    """What an exact check has proved. `str()` is the last line of the checker, `statement` says it in plain words."""

    kind: str  # "exact": about a finite pool; "conditional": under `details`; "statistical": with confidence 1 - alpha
    members: int  # size of the portfolio; 0 where it is proved that there is none
    cost: Fraction  # sum of the costs of the members
    lower_bound: Fraction | float  # what every portfolio costs at least; math.inf where there is none
    epsilon: float  # the tolerances at which the portfolio serves every weight, rounded up where they are no float64
    delta: float
    sha256: str  # of the subject
    details: dict[str, Any] = field(default_factory=dict)  # rewards, scale; what it is conditional on, how sampled
    statement: tuple[str, ...] = ()  # sentences

    def __str__(self) -> str:
        fields = {name: value for name, value in self.as_dict().items() if name not in ("verified", "statement")}
        return "VERIFIED " + " ".join(f"{name}={_word(name, value)}" for name, value in fields.items())

    def as_dict(self) -> dict[str, Any]:
        """The fields for JSON: a number is an int, a float that means exactly it, or a text."""
        return {
            "verified": True, "kind": self.kind, "members": self.members, "cost": plain(self.cost),
            "lower_bound": plain(self.lower_bound), "epsilon": self.epsilon, "delta": self.delta, **self.details,
            "sha256": self.sha256, "statement": list(self.statement),
        }  # fmt: skip


def _word(name: str, value: Any) -> str:
    """A value in the last line: unambiguous, ASCII, without blanks."""
    if name == "scale" and isinstance(value, list) and value.count(value[0]) == len(value):
        value = value[:1]
    if isinstance(value, list):
        return ",".join(":".join(map(str, x)) if isinstance(x, list) else _word(name[:-1], x) for x in value)
    if name == "reward":
        octets = ((c, c.encode("utf-8", "surrogatepass")) for c in value)
        return "".join(c if c in _UNRESERVED else "".join(f"%{octet:02X}" for octet in code) for c, code in octets)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


# Numbers


def float_above(text: str) -> float:
    """The least float64 that means at least what a decimal does; what a hex-float of version 1 is."""
    near = float.fromhex(text) if "x" in text else float(text)
    return near + 0.0 if "x" in text or Fraction(repr(near)) >= Fraction(text) else math.nextafter(near, math.inf)


def plain(number: Fraction | float, whole: bool = True) -> int | float | str:
    """A number as an int (if `whole`), as a float64 that means it (in either version), or as "p/q" ("p" if q = 1);
    infinity as that word."""
    if isinstance(number, float):
        return "infinity"
    if whole and number.denominator == 1:
        return number.numerator
    with suppress(OverflowError):
        near = float(number)
        if number in (Fraction(repr(near)), Fraction(near)):
            return near
    return str(number)


def brief(number: Fraction | float) -> str:
    """A number in a message, exact where that is short, else four digits, rounded up."""
    if isinstance(number, float) or max(map(int.bit_length, number.as_integer_ratio())) <= 200:
        return str(plain(number))
    return f"about {about(number)}"


def about(number: Fraction) -> str:
    """Four digits, rounded up."""
    found = Context(prec=4, rounding=ROUND_CEILING).divide(Decimal(number.numerator), Decimal(number.denominator))
    return f"{found.normalize():g}"


# Words


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence; of many how many, and the first ten."""
    words = [name if name.isascii() and name.isprintable() and len(name) <= 60 else show(name) for name in names]
    if len(words) > MOST_NAMED:
        return f"{', '.join(words[:MOST_NAMED])} and {len(words) - MOST_NAMED} more"
    return " and ".join([", ".join(words[:-1]), words[-1]][len(words) < 2 :]) if words else "none"


def promise(who: str, best: str, epsilon: Fraction, delta: Fraction) -> str:
    """The sentence on quality."""
    share = f"{plain(1 - epsilon)} times " if epsilon else ""
    less = f", less {plain(delta)}" if delta else ""
    every = "For every preference (weights of the rewards, at least 0 and with sum 1)"
    return f"{every}, {who} has at least {share}the weighted value of {best}{less}."


def directions(rewards: Sequence[str]) -> str:
    """The rewards, with their direction: a `-` in front negates the column named by the rest."""
    words = [f"{name.removeprefix('-')} ({'lower' if name[0] == '-' else 'higher'} is better)" for name in rewards]
    return f"Rewards: {listed(words)}."


def scale_in_words(rewards: Sequence[str], scale: Sequence[Any], ends: Sequence[Any], delta: Fraction) -> str:
    """The scale of each reward, and what delta is in its own units; `ends` are what the scale maps to 0 and 1."""
    parts = []
    for reward, entry, (low, high) in zip(rewards, scale, ends, strict=True):
        own = listed([reward.removeprefix("-")])
        if entry == "none":
            parts.append(f"{own} as in the file, delta {brief(delta)}")
            continue
        own = f"log10 of {own}" if entry == "log" else own
        how = "its extremes" if type(entry) is str else "declared"
        size = about(delta * (high - low))
        parts.append(f"{own} from {brief(low)} to {brief(high)} ({how}) as 0 to 1, delta {size} of its own")
    return f"Scale: {'; '.join(parts[:MOST_NAMED])}{'; ...' if len(parts) > MOST_NAMED else ''}."
