"""A number means what is written: the shortest decimal that reads back as the float64 (docs/theory.md, Exactness)."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

__all__ = ["ceil_float", "integer", "places", "rational"]

_DIGITS = 17  # significant decimal digits that a float64 needs at most
_SHORT = 1e15  # below it an integer over a power of ten up to 10^22 is the only decimal so short near its float64
_PEEK = 1_000  # numbers looked at before all are


def rational(number: float) -> Fraction:
    """The exact rational meant by a float64: 0.3 is three tenths."""
    return Fraction(Decimal(repr(float(number))))


def ceil_float(number: Fraction) -> float:
    """The least float64 whose decimal is at least `number`. Raises OverflowError beyond the largest."""
    found = float(number)
    while rational(found) < number:
        found = math.nextafter(found, math.inf)
    while found > -math.inf and rational(below := math.nextafter(found, -math.inf)) >= number:
        found = below
    return found


def places(numbers: NDArray[np.float64]) -> int:
    """Decimal places that suffice for all `numbers`, at least 1; the least where 15 digits write each."""
    sizes = np.abs(numbers[numbers != 0])
    if not len(sizes) or len(_longer(sizes[:_PEEK], 15)[1]) == 0:
        least, sizes = _longer(sizes, 15)
        if not len(sizes):
            return max(1, least)
    smallest = Decimal(repr(float(sizes.min()))).adjusted()
    return max(15, _DIGITS - 1 - smallest)


def _longer(sizes: NDArray[np.float64], most: int) -> tuple[int, NDArray[np.float64]]:
    """The least number of places, up to `most`, that short decimals need, and the sizes that are none."""
    for count in range(most + 1):
        with np.errstate(over="ignore"):
            whole = np.rint(np.minimum(sizes * 10.0**count, _SHORT))
        sizes = sizes[(whole >= _SHORT) | (whole / 10.0**count != sizes)]
        if not len(sizes):
            return count, sizes
    return most, sizes


def integer(number: float, count: int) -> int:
    """A float times 10^count, exactly; `count` as `places` says."""
    text = repr(number)
    if "e" in text:
        return int(Decimal(text).scaleb(count))
    whole, _, part = text.partition(".")
    return int(whole + part) * 10 ** (count - len(part))
