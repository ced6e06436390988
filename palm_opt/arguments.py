"""Checks of arguments: a wrong type or a number out of range is refused by name, in the same words everywhere."""

from __future__ import annotations

import difflib
import math
import numbers
import reprlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np

from palm_opt.errors import ProblemError

__all__ = ["choices", "counted", "integer", "items", "nearest", "real", "refusal", "repeated"]

_MOST = 2**63 - 1
_FEW = 12  # names that a message lists in full
_COMPARED = 20_000  # names that a misspelt one is compared with


def integer(name: str, value: object, least: int = 0, most: int = _MOST) -> int:
    """An int from `least` to `most`; bools and floats are refused."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        allowed = f"an integer from {least} to {most}" if most < _MOST else f"an integer of at least {least}"
        raise refusal(name, allowed, value)
    return int(value)


def real(name: str, value: object, expected: str, allowed: Callable[[float], bool]) -> float:
    """A float that is `allowed`; NaN, bools, texts and what no float can hold are refused."""
    number = math.nan
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    if math.isnan(number) or not allowed(number):
        raise refusal(name, expected, value)
    return number


def items(name: str, value: Any, expected: str) -> list[Any]:
    """The items of anything that can be iterated, but of no text."""
    if isinstance(value, str):
        raise ProblemError(f"{name}: expected {expected}, got the text {reprlib.repr(value)}")
    try:
        return list(value)
    except TypeError:
        raise refusal(name, expected, value) from None


def refusal(name: str, expected: str, value: object) -> ProblemError:
    """The error that says what was expected and what came, on one line."""
    return ProblemError(f"{name}: expected {expected}, got {' '.join(reprlib.repr(value).split())}")


def repeated(names: Iterable[str]) -> str | None:
    """The first name that occurs more than once."""
    return next((name for name, times in Counter(names).items() if times > 1), None)


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 gap", "3 gaps"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def nearest(name: str, known: Iterable[str], count: int = 1) -> list[str]:
    """The known names that look most like a misspelt one."""
    return difflib.get_close_matches(name, list(islice(known, _COMPARED)), n=count)


def choices(name: str, known: Collection[str]) -> str:
    """What ends a message about an unknown name: all there are, or of many the nearest few."""
    if len(known) <= _FEW:
        return f"it has {', '.join(known)}"
    near = nearest(name, known, 3)
    return f"of its {len(known)} the nearest: {', '.join(near)}" if near else f"it has {len(known)} others"
