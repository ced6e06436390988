"""Scales of rewards, declared once: what is done to a column before values are compared, exactly and as floats.

Every scale is linear, v = (x - offset) * factor, in exact arithmetic on numbers x: those of the column as written, or
their logarithms. To add one: give it a word in `WORDS`, its numbers in `_numbers`, its ends (what becomes 0 and what 1)
in `_ends`, and the same meaning in the checker (docs/certificate-format.md, "The problem").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.arguments import refusal
from palm_opt.errors import ProblemError
from palm_opt.tables.decimals import integer, places, rational

__all__ = ["WORDS", "Column", "Entry", "Scale", "column", "declared", "parse", "show", "written"]

Entry = str | tuple[float, float]  #: of one reward
Scale = Entry | Sequence[Entry]  #: one for all rewards, or one per reward

WORDS = ("none", "minmax", "log")
_EXPECTED = "'none', 'minmax', 'log', (low, high), or one of these per reward"
_DIGITS = 15  # of a logarithm: so many are the shortest decimal of their float64
_CANCELS = 16  # numbers so much larger than their differences from the offset are subtracted as integers
_SAFE = 1e290  # beyond it, or below its inverse, float64 loses digits


def declared(scale: Any, d: int) -> tuple[Entry, ...]:
    """A scale as d entries, one per reward. Raises ProblemError."""
    if isinstance(scale, str):
        return (_entry(scale),) * d
    try:
        parts = list(scale)
        if len(parts) == 2 and all(not isinstance(x, str) and np.ndim(x) == 0 for x in parts):
            parts = [tuple(parts)] * d
        entries = tuple(map(_entry, parts))
    except ProblemError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise refusal("scale", _EXPECTED, scale) from error
    if len(entries) != d:
        raise ProblemError(f"scale: expected one for all rewards or {d}, one per reward, got {len(entries)}")
    return entries


def _entry(entry: Any) -> Entry:
    if isinstance(entry, str):
        if entry not in WORDS:
            raise ProblemError(f"scale: expected {_EXPECTED}, got {entry!r}")
        return entry
    low, high = (float(end) + 0.0 for end in entry)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ProblemError(f"scale: expected finite low < high, got ({low}, {high})")
    return low, high


def parse(text: str) -> Scale:
    """Read none, minmax, log or LOW:HIGH, or one of them per reward with commas in between. Raises ProblemError."""
    entries: list[Entry] = []
    for part in map(str.strip, text.split(",")):
        low, colon, high = part.partition(":")
        try:
            entry: Entry = (float(low), float(high)) if colon else part
        except ValueError as error:
            raise ProblemError(f"scale: expected none, minmax, log or LOW:HIGH, got {part!r}") from error
        entries.append(_entry(entry))
    return entries[0] if len(entries) == 1 else entries


def show(entries: Sequence[Entry]) -> str:
    """One word where all rewards have the same scale, else one per reward; a range is low:high."""
    words = [entry if isinstance(entry, str) else f"{entry[0]!r}:{entry[1]!r}" for entry in entries]
    return words[0] if len(set(words)) == 1 else ",".join(words)


def written(entries: Sequence[Entry]) -> list[str | list[str]]:
    """The entry `scale` of a certificate."""
    return [entry if isinstance(entry, str) else [repr(end) for end in entry] for entry in entries]


@dataclass(frozen=True)
class Column:
    """One reward on its scale: v = (x - offset) * factor, where x are the decimals of `numbers`, shape (n,)."""

    numbers: NDArray[np.float64]
    offset: Fraction
    factor: Fraction

    @property
    def sign(self) -> float:
        """1.0 where higher numbers are better, -1.0 where lower ones are, 0.0 where all are the same."""
        return float((self.factor > 0) - (self.factor < 0))

    def floats(self) -> NDArray[np.float64]:
        """v as floats, right to a few ulp of the largest; infinite where float64 does not reach."""
        numbers, sign = self.numbers, self.sign
        if sign == 0:
            return np.zeros_like(numbers)
        if abs(self.factor) == 1 and self.offset == 0:
            return numbers * sign + 0.0
        zero, size = float(self.offset), float(np.abs(numbers).max())
        with np.errstate(over="ignore"):
            spread = float(np.abs(numbers - zero).max())
        size = max(size, abs(zero))
        if 1 / _SAFE < size <= min(_SAFE, _CANCELS * spread) and 1 / _SAFE < abs(self.factor) < _SAFE:
            width = float(1 / abs(self.factor))
            if math.isclose(width, spread, rel_tol=1e-15):
                width = spread  # the other end becomes 1 to the last bit
            with np.errstate(over="ignore"):
                scaled: NDArray[np.float64] = (numbers - zero) * sign / width + 0.0
            return scaled
        return self._divided()

    def _divided(self) -> NDArray[np.float64]:
        """The same by integers, for columns whose differences floats lose."""
        count = places(self.numbers)
        share = self.factor / 10**count
        move = self.offset * self.factor
        common = math.lcm(share.denominator, move.denominator)
        times, less = int(share * common), int(move * common)
        result = np.empty(len(self.numbers))
        for i, number in enumerate(self.numbers.tolist()):
            try:
                result[i] = (integer(number, count) * times - less) / common
            except OverflowError:
                result[i] = math.inf
        return result


def column(raw: NDArray[np.float64], entry: Entry, negated: bool, name: str) -> Column:
    """The column of a reward, shape (n,), on its scale. Raises ProblemError where the scale does not suit it."""
    numbers = _logarithms(raw, name) if entry == "log" else raw
    ends = _ends(numbers, entry)
    if ends is None:
        return Column(numbers, Fraction(0), Fraction(-1 if negated else 1))
    low, high = map(rational, ends)
    if low == high:
        return Column(numbers, low, Fraction(0))
    return Column(numbers, high, 1 / (low - high)) if negated else Column(numbers, low, 1 / (high - low))


def _ends(numbers: NDArray[np.float64], entry: Entry) -> tuple[float, float] | None:
    """What becomes 0 and 1 of a reward that is not negated; None where numbers stay as they are."""
    if entry == "none":
        return None
    return (float(numbers.min()), float(numbers.max())) if isinstance(entry, str) else entry


def _logarithms(raw: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """log10 to 15 significant digits, correctly rounded, of the decimals of a column; of distinct numbers once."""
    for i in np.flatnonzero(raw <= 0)[:1]:
        raise ProblemError(f"scale: 'log' of {name!r} needs numbers > 0, row {i} has {raw[i]!s}")
    context = Context(prec=_DIGITS)
    distinct, which = np.unique(raw, return_inverse=True)
    found = np.array([float(context.log10(Decimal(repr(x)))) for x in distinct.tolist()])
    return found[which] + 0.0
