"""How numbers and JSON are read: docs/certificate-format.md, "Numbers" and "The document"."""

import json
import math
import re
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NoReturn

from .refuse import MAX_BYTES, MAX_DIGITS, BeyondLimits, CertificateParseError, show

RATIO = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}(?:/(?!0+\Z)[0-9]{{1,{MAX_DIGITS}}})?")
is_cell = re.compile(r"[ \t]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*").fullmatch


def rational(text: str) -> Fraction:
    """What a decimal or a ratio means, or a hex-float of version 1."""
    return Fraction(float.fromhex(text)) if "x" in text else Fraction(text)


def ratios(numbers: Iterable[float], version: int) -> list[tuple[int, int]]:
    """What float64 of a subject mean, as integer ratios: shortest decimals, in version 1 binary fractions."""
    if version == 1:
        return [x.as_integer_ratio() for x in numbers]
    return [Decimal(text).as_integer_ratio() for text in map(repr, numbers)]


def over_common(pairs: Iterable[tuple[int, int]]) -> tuple[list[int], int]:
    """Integers a and q > 0 with p_i / q_i = a_i / q for pairs (p_i, q_i)."""
    pairs = list(pairs)
    common = math.lcm(*{below for _, below in pairs})
    return [above * (common // below) for above, below in pairs], common


def to_int(text: str) -> int:
    with suppress(ValueError):  # from an interpreter told to refuse more than a few hundred digits
        if len(text.removeprefix("-")) <= MAX_DIGITS:
            return int(text)
    raise CertificateParseError(f"an integer has more than {MAX_DIGITS} digits, or more than this Python may read")


def top_and_bottom(ratio: str) -> tuple[int, int]:
    top, _, bottom = ratio.partition("/")
    return to_int(top), to_int(bottom) if bottom else 1


def load(source: bytes | bytearray | str) -> Any:
    """The JSON value, with nesting, numbers and repeated keys under control."""
    if len(source) > MAX_BYTES:
        raise BeyondLimits(f"certificate: expected at most {MAX_BYTES} bytes")
    hooks: dict[str, Any] = {"parse_int": to_int, "parse_float": _no_float, "parse_constant": _no_float}
    try:
        text = source if isinstance(source, str) else source.decode("utf-8")
        return json.loads(text, object_pairs_hook=_unique_keys, **hooks)
    except UnicodeDecodeError as error:
        raise CertificateParseError(f"byte {error.start}: expected UTF-8") from None
    except json.JSONDecodeError as error:
        raise CertificateParseError(f"line {error.lineno} column {error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise CertificateParseError("certificate: brackets are nested deeper than 8") from None
    except MemoryError:
        raise BeyondLimits("certificate: too large for the memory of this machine") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        key = next(one for one, other in pairwise(sorted(key for key, _ in pairs)) if one == other)
        raise CertificateParseError(f"the key {show(key)} is repeated in one object")
    return found


def _no_float(text: str) -> NoReturn:
    raise CertificateParseError(f"the number {show(text)}: expected integers only")


def canonical(data: Any) -> bytes:
    """Canonical JSON."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
