"""A number means what is written: the shortest decimal that reads back as the float64 (docs/theory.md, Exactness)."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

__all__ = ["ceil_float", "integer", "places", "rational"]

_DIGITS = 17  # significant decimal digits that a float64 needs at most
_SHORT_DIGITS = 15
_SHORT = 10.0**_SHORT_DIGITS  # a float64 near an integer below it, over a power of ten up to 10^22, means just that
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
    """Decimal places that suffice for all `numbers`, at least 1; nearly the least where 15 digits write each."""
    sizes = np.abs(numbers[numbers != 0])
    for count in range(1, _SHORT_DIGITS + 1):
        if not len(_longer(sizes[:_PEEK], count)):
            sizes = _longer(sizes, count)
        if not len(sizes):
            return count
    smallest = Decimal(repr(float(sizes.min()))).adjusted()
    return max(_SHORT_DIGITS, _DIGITS - 1 - smallest)


def _longer(sizes: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The sizes that are no decimals of at most 15 digits with so many places."""
    with np.errstate(over="ignore"):
        whole = np.rint(np.minimum(sizes * 10.0**count, _SHORT))
    longer: NDArray[np.float64] = sizes[(whole >= _SHORT) | (whole / 10.0**count != sizes)]
    return longer


def integer(number: float, count: int) -> int:
    """A float times 10^count, exactly; `count` as `places` says."""
    text = repr(number)
    if "e" in text:
        return int(Decimal(text).scaleb(count))
    whole, _, part = text.partition(".")
    scale: int = 10 ** (count - len(part))
    return int(whole + part) * scale
