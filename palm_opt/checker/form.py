"""The forms of the values of a certificate: functions (where, value) that refuse, lists [form], objects {key: form}."""

import math
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .reading import RATIO, rational
from .refuse import INTEGER_LIMIT, MAX_DIGITS, CertificateParseError, expected, show

DECIMAL = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?")
HEX_FLOAT = re.compile(r"-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}")
HASH = re.compile(r"[0-9a-f]{64}")

Form = Any


def conform(where: str, value: Any, form: Form) -> None:
    """Refuse a JSON value that has not the form. Keys of an object that end in `?` are optional."""
    if isinstance(form, dict):
        if not isinstance(value, dict):
            expected(where or "certificate", "an object", value)
        keys = {key.removesuffix("?"): inner for key, inner in form.items()}
        for key in value:
            if key not in keys:
                raise CertificateParseError(f"{where or 'certificate'}: unknown key {show(key)}")
        for key in form:
            if key[-1] != "?" and key not in value:
                raise CertificateParseError(f"{where or 'certificate'}: the key {show(key)} is missing")
        for key, inner in keys.items():
            if key in value:
                conform(f"{where}.{key}" if where else key, value[key], inner)
    elif isinstance(form, list):
        if not isinstance(value, list):
            expected(where, "a list", value)
        for i, entry in enumerate(value):
            conform(f"{where}[{i}]", entry, form[0])
    else:
        form(where, value)


def a(what: str, test: Callable[[Any], Any]) -> Form:
    """The form of what passes a test."""

    def form(where: str, value: Any) -> None:
        if not test(value):
            expected(where, what, value)

    return form


def is_text(value: Any, pattern: re.Pattern[str] = re.compile("(?s).*")) -> bool:
    return type(value) is str and pattern.fullmatch(value) is not None


text = a("a string", is_text)
boolean = a("true or false", lambda value: type(value) is bool)
name = a("a non-empty string", lambda value: is_text(value) and value)
ratio = a(
    f'a ratio "p" or "p/q", q > 0, of integers of at most {MAX_DIGITS} digits', lambda value: is_text(value, RATIO)
)


bound = a('a ratio or "infinity"', lambda value: value == "infinity" or is_text(value, RATIO))


def word(*words: str) -> Form:
    return a(" or ".join(f'"{word}"' for word in words), lambda value: is_text(value) and value in words)


def nullable(inner: Form) -> Form:
    return lambda where, value: None if value is None else conform(where, value, inner)


def several(inner: Form, count: int) -> Form:
    """A list of so many."""

    def form(where: str, value: Any) -> None:
        conform(where, value, [inner])
        if len(value) != count:
            raise CertificateParseError(f"{where}: expected {count} entries, got {len(value)}")

    return form


def integer(least: int, most: int = INTEGER_LIMIT - 1) -> Form:
    ends = [str(end) if abs(end) < 1 << 64 else f"{'-' * (end < 0)}10^{MAX_DIGITS}" for end in (least, most)]
    what = f"an integer from {' to '.join(ends)}"
    return a(what, lambda value: type(value) is int and least <= value <= most)


def integers(least: int) -> Form:
    """A list of integers, compared all at once."""

    def form(where: str, value: Any) -> None:
        fine = isinstance(value, list) and set(map(type, value)) <= {int}
        if not fine or (value and not least <= min(value) <= max(value) < INTEGER_LIMIT):
            conform(where, value, [integer(least)])

    return form


def _is_hex_float(value: Any) -> bool:
    with suppress(OverflowError):
        return is_text(value, HEX_FLOAT) and float.fromhex(value).hex() == value
    return False


def number(version: int) -> Form:
    """A decimal; in version 1 a hex-float as float.hex() writes it."""
    if version == 1:
        return a("a hex-float as float.hex() writes it", _is_hex_float)
    return a("a decimal, finite as a float64", lambda value: is_text(value, DECIMAL) and math.isfinite(float(value)))


def interval(version: int) -> Form:
    """A pair low < high."""

    def form(where: str, value: Any) -> None:
        several(number(version), 2)(where, value)
        if not rational(value[0]) < rational(value[1]):
            raise CertificateParseError(f"{where}: expected low < high")

    return form


def head(version: int) -> dict[str, Form]:
    """The form of what all kinds share."""
    return {
        "format": word("palm_opt certificate"),
        "version": integer(1, 2),
        "kind": text,
        "sha256": a("64 digits 0-9a-f", lambda value: is_text(value, HASH)),
        "objective": word("reward", "reward_minus_kl"),
        "producer": {"name": text, "version": text},
        "epsilon": number(version),
        "delta": number(version),
    }
