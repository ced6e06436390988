"""What all readers share: the errors, the limits, the grammar of numbers, JSON, and the types of its values.

A number of a subject is a float64. In certificates of version 2 it means its shortest decimal (what `repr` writes), in
version 1 its exact binary fraction; the texts of a certificate mean what they say. Every input is taken as hostile: the
only exceptions are `CertificateParseError` and `InvalidCertificate` (and OSError where a file cannot be opened).
"""

import json
import math
import re
from collections.abc import Iterable
from contextlib import suppress
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NoReturn

# Limits on untrusted input; all are far above what a real certificate needs.
MAX_BYTES = 1 << 28  # of a certificate
MAX_VALUES_BYTES = 1 << 31  # of a subject file
MAX_LINE = 1 << 24  # characters of one line of it
MAX_DIGITS = 4_000  # of one integer
MAX_NUMBER_TEXT = 4_096  # characters of one number in a subject file
MAX_WEIGHTS = 100_000
MAX_COVERAGE_BITS = 1 << 32  # candidates times weights
MAX_TREE_DEPTH = 10_000
MAX_DENOMINATOR_BITS = 1 << 18  # of the common denominator of the y of one leaf
MAX_PACKED_BYTES = 1 << 29  # of one column of integers
MAX_REWARDS = 64  # of the kinds conditional and statistical
MAX_EXPONENT = 4_000  # of the points of a corner proof
MAX_WORK = 40_000_000_000  # of reading a subject, and again of checking a certificate; about a nanosecond each

DECIMAL = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?")
HEX_FLOAT = re.compile(r"-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}")
RATIO = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}(?:/(?!0+\Z)[0-9]{{1,{MAX_DIGITS}}})?")
CELL = re.compile(r"[ \t]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*")
HASH = re.compile(r"[0-9a-f]{64}")
INTEGER_LIMIT = 10**MAX_DIGITS


class PalmError(Exception):
    """Base of every error that palm_opt raises on purpose."""


class CertificateParseError(PalmError, ValueError):
    """A file or document is not what it should be, or beyond this checker: the message says where and what."""


class InvalidCertificate(PalmError, ValueError):
    """A claim of a well-formed certificate does not hold: the message says which, with indices and names."""


class Document(dict[str, Any]):
    """A certificate whose syntax and types `parse` has checked. The claims in it are still only claims."""


class Work:
    """A budget of counted operations, so that no file costs more than a minute or so."""

    def __init__(self) -> None:
        self.left = MAX_WORK

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise CertificateParseError(f"more than {MAX_WORK} operations of work: beyond this checker")


# Numbers


def rational(text: str) -> Fraction:
    """What a decimal, a hex-float of version 1 or a ratio means."""
    return Fraction(float.fromhex(text)) if "x" in text else Fraction(text)


def float_above(text: str) -> float:
    """The least float64 that means at least what a decimal or hex-float does."""
    if "x" in text:
        return float.fromhex(text) + 0.0
    near = float(text) + 0.0
    return near if Fraction(repr(near)) >= Fraction(text) else math.nextafter(near, math.inf)


def shown(text: str) -> float | str:
    """A decimal or hex-float as a float64 that means the same; the text itself where there is none."""
    near = float_above(text)
    return near if "x" in text or Fraction(repr(near)) == Fraction(text) else text


def plain(number: Fraction) -> int | float | str:
    """A number as an int, as a float64 that means it (in either version), or as "p/q"."""
    if number.denominator == 1:
        return number.numerator
    with suppress(OverflowError):
        near = float(number)
        if number in (Fraction(repr(near)), Fraction(near)):
            return near
    return f"{number.numerator}/{number.denominator}"


def brief(number: Fraction | float) -> str:
    """A number in a message, exact where that is short."""
    if isinstance(number, float):
        return "infinity"
    if max(number.numerator.bit_length(), number.denominator.bit_length()) <= 200:
        return str(plain(number))
    return f"about {about(number)}"


def about(number: Fraction) -> str:
    """Four digits, rounded up."""
    found = Context(prec=4, rounding=ROUND_CEILING).divide(Decimal(number.numerator), Decimal(number.denominator))
    return f"{found.normalize():g}"


def ratios(numbers: Iterable[float], version: int) -> list[tuple[int, int]]:
    """The exact rationals that float64 mean, as integer ratios."""
    if version == 1:
        return [x.as_integer_ratio() for x in numbers]
    return [Decimal(text).as_integer_ratio() for text in map(repr, numbers)]


def over_common(pairs: Iterable[tuple[int, int]]) -> tuple[list[int], int]:
    """Integers a and q > 0 with p_i / q_i = a_i / q."""
    pairs = list(pairs)
    common = math.lcm(*{below for _, below in pairs})
    return [above * (common // below) for above, below in pairs], common


def canonical(data: Any) -> bytes:
    """Canonical JSON, see docs/certificate-format.md."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


# JSON


def load(source: bytes | bytearray | str) -> Any:
    """The JSON value, with nesting, numbers and repeated keys under control."""
    if len(source) > MAX_BYTES:
        raise CertificateParseError(f"certificate: expected at most {MAX_BYTES} bytes")
    try:
        text = source if isinstance(source, str) else source.decode("utf-8")
        hooks: dict[str, Any] = {"parse_int": to_int, "parse_float": _no_float, "parse_constant": _no_float}
        return json.loads(text, object_pairs_hook=_unique_keys, **hooks)
    except UnicodeDecodeError as error:
        raise CertificateParseError(f"byte {error.start}: expected UTF-8") from None
    except json.JSONDecodeError as error:
        raise CertificateParseError(f"line {error.lineno} column {error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise CertificateParseError("certificate: brackets are nested deeper than 8") from None
    except MemoryError:
        raise CertificateParseError("certificate: too large for the memory of this machine") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        key = next(one for one, other in pairwise(sorted(key for key, _ in pairs)) if one == other)
        raise CertificateParseError(f"the key {show(key)} is repeated in one object")
    return found


def _no_float(text: str) -> NoReturn:
    raise CertificateParseError(f"the number {show(text)}: expected integers only")


def to_int(text: str) -> int:
    with suppress(ValueError):  # from an interpreter told to refuse more than a few hundred digits
        if len(text.removeprefix("-")) <= MAX_DIGITS:
            return int(text)
    raise CertificateParseError(f"an integer has more than {MAX_DIGITS} digits, or more than this Python may read")


# Types


def show(value: Any) -> str:
    """A value in a message: short, one line, ASCII, whatever it is."""
    if isinstance(value, str):
        return ascii(value) if len(value) <= 60 else ascii(value[:60]) + "..."
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 64):
        return str(value)
    return f"a {type(value).__name__}"


def expected(where: str, what: str, got: Any) -> NoReturn:
    raise CertificateParseError(f"{where}: expected {what}, got {show(got)}")


def keys(where: str, value: Any, needed: str, optional: str = "") -> None:
    """Refuse an object without exactly these keys, separated by blanks."""
    if not isinstance(value, dict):
        expected(where, "an object", value)
    for key in value:
        if key not in needed.split() and key not in optional.split():
            raise CertificateParseError(f"{where}: unknown key {show(key)}")
    for key in sorted(needed.split()):
        if key not in value:
            raise CertificateParseError(f"{where}: the key {show(key)} is missing")


def as_list(where: str, value: Any, length: int | None = None, what: str = "entries") -> list[Any]:
    if not isinstance(value, list):
        expected(where, "a list", value)
    if length is not None and len(value) != length:
        raise CertificateParseError(f"{where}: expected {length} {what}, got {len(value)}")
    return value


def as_text(where: str, value: Any) -> str:
    if type(value) is not str:
        expected(where, "a string", value)
    return value


def as_word(where: str, value: Any, *words: str) -> str:
    if type(value) is not str or value not in words:
        expected(where, " or ".join(f'"{word}"' for word in words), value)
    return value


def as_texts(where: str, value: Any) -> list[str]:
    for i, text in enumerate(as_list(where, value)):
        if type(text) is not str or not text:
            expected(f"{where}[{i}]", "a non-empty string", text)
    return list(value)


def as_integer(where: str, value: Any, least: int = 0) -> int:
    if type(value) is not int or not least <= value < INTEGER_LIMIT:
        expected(where, f"an integer >= {least} of at most {MAX_DIGITS} digits", value)
    return value


def as_integers(where: str, value: Any, least: int, entry: int | None = None) -> None:
    """A list of integers >= least; `entry` is its place in `where`, spelled out only in a message."""
    place = where if entry is None else f"{where}[{entry}]"
    numbers = as_list(place, value)
    if set(map(type, numbers)) <= {int} and (not numbers or (min(numbers) >= least and max(numbers) < INTEGER_LIMIT)):
        return
    for i, number in enumerate(numbers):
        as_integer(f"{place}[{i}]", number, least)


def as_number(where: str, value: Any, version: int) -> Fraction:
    """A decimal; in version 1 a hex-float as float.hex() writes it."""
    text = as_text(where, value)
    with suppress(OverflowError):
        if version == 1 and HEX_FLOAT.fullmatch(text) and float.fromhex(text).hex() == text:
            return rational(text)
        if version == 2 and DECIMAL.fullmatch(text) and math.isfinite(float(text)):
            return rational(text)
    return expected(where, "a decimal" if version == 2 else "a hex-float as float.hex() writes it", value)


def as_range(where: str, value: Any, version: int) -> None:
    """A pair low < high."""
    low, high = as_list(where, value, 2, "numbers: [low, high]")
    if not as_number(f"{where}[0]", low, version) < as_number(f"{where}[1]", high, version):
        raise CertificateParseError(f"{where}: expected low < high")


def as_ratio(where: str, value: Any) -> Fraction:
    if not RATIO.fullmatch(as_text(where, value)):
        expected(where, f'a ratio "p" or "p/q", q > 0, of integers of at most {MAX_DIGITS} digits', value)
    return Fraction(*top_and_bottom(value))


def top_and_bottom(ratio: str) -> tuple[int, int]:
    top, _, bottom = ratio.partition("/")
    return to_int(top), to_int(bottom) if bottom else 1


def parse_head(document: dict[str, Any], needed: str, optional: str = "") -> int:
    """Check the keys of the document, and those that all kinds share; the version."""
    keys(
        "certificate",
        document,
        f"format version kind sha256 subject objective producer epsilon delta members {needed}",
        optional,
    )
    as_word("format", document["format"], "palm_opt certificate")
    as_word("objective", document["objective"], "reward", "reward_minus_kl")
    version = document["version"]
    if type(version) is not int or version not in (1, 2):
        expected("version", "1 or 2", version)
    if not HASH.fullmatch(as_text("sha256", document["sha256"])):
        expected("sha256", "64 digits 0-9a-f", document["sha256"])
    keys("producer", document["producer"], "name version")
    for key in ("name", "version"):
        as_text(f"producer.{key}", document["producer"][key])
    for key in ("epsilon", "delta"):
        as_number(key, document[key], version)
    return version
