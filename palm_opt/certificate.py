"""The exact checker of portfolio certificates. One file, standard library only; it runs on its own:

    python certificate.py CERTIFICATE VALUES.csv

The format is in docs/certificate-format.md; the statements checked are these (P the portfolio, v_i the value vector of
candidate i, w a weight in the simplex, epsilon and delta the tolerances):

- quality: for every candidate i there is lambda >= 0 on P with sum 1 and
  sum_p lambda_p v_p >= (1 - epsilon) v_i - delta in every component. By the minimax theorem P then serves every weight.
- size: for weights w_j and y_j >= 0 such that the y_j of the weights that i covers sum to at most cost_i, for every i,
  every portfolio costs at least sum y. A tree that branches on candidates (in, out) proves the least of its leaves.

All arithmetic is on integers: a float64 is a dyadic rational. A column k holds integers A_ik and a positive rational
unit u_k with v_ik = u_k A_ik, so no comparison below is rounded. Nothing recurses, and every input is taken as hostile:
the only exceptions are `CertificateParseError` and `InvalidCertificate` (and OSError where a file cannot be opened).
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import compress, repeat
from operator import add, ge, le, mul
from pathlib import Path
from typing import Any, NoReturn, cast

__all__ = ["CertificateParseError", "Document", "InvalidCertificate", "Problem", "Verified"]
__all__ += ["check", "main", "parse", "read_certificate", "read_values", "verify_files"]

# Limits on untrusted input; all are far above what a real certificate needs.
MAX_BYTES = 1 << 30  # of a certificate
MAX_VALUES_BYTES = 1 << 33  # of a values file
MAX_NESTING = 8  # of brackets in the JSON; the format needs 6
MAX_DIGITS = 4_000  # of one integer
MAX_NUMBER_TEXT = 4_096  # characters of one number in the values file
MAX_WEIGHTS = 100_000
MAX_COVERAGE_BITS = 1 << 32  # candidates times weights
MAX_TREE_DEPTH = 10_000
MAX_DENOMINATOR_BITS = 1 << 18  # of the common denominator of the y of one leaf
MAX_PACKED_BYTES = 1 << 29  # of one column of integers
MAX_FIELDS = 1 << 26  # of candidates and weights, 4 bytes each, held beside the bitsets

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_NUMBER = re.compile(r"[ \t]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*")
_TOLERANCE = re.compile(r"-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}")
_RATIO = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}(?:/(?!0+\Z)[0-9]{{1,{MAX_DIGITS}}})?")
_HASH = re.compile(r"[0-9a-f]{64}")
_INTEGER_LIMIT = 10**MAX_DIGITS
_TOP_BIT_TO_DIGIT = b"0" * 128 + b"1" * 128
_DIGIT_TO_BIT = bytes(48) + b"\0\1" + bytes(206)

_KEYS = frozenset({"format", "version", "kind", "sha256", "subject", "scale", "objective", "producer"})
_KEYS |= {"epsilon", "delta", "required", "forbidden", "members", "dominators", "multipliers", "lower_bound"}
_OPTIONAL_KEYS = frozenset({"packing", "branching"})


class CertificateParseError(ValueError):
    """A file or document is not what it should be: the message says where, and what was expected."""


class InvalidCertificate(ValueError):
    """A claim of a well-formed certificate does not hold: the message says which, with indices and names."""


class Document(dict[str, Any]):
    """A certificate whose syntax and types `parse` has checked. The claims in it are still only claims."""


# The problem


@dataclass
class Problem:
    """The finite pool of candidates that a certificate speaks of.

    Parameters
    ----------
    names : list of str, length n
        Distinct names of the candidates.
    rewards : list of str, length d
        Names of the reward columns; a leading ``-`` negates the column named by the rest.
    values : rows of d floats, or a flat ``array('d')`` of n*d, or a C-contiguous buffer of float64 of shape (n, d)
        The numbers as in the file, before sign and scale. Kept as a flat ``array('d')``, row by row.
    costs : list of float, length n, or None
        Finite and >= 0; None means 1 each.
    scale : "none", "minmax" or list of (low, high)
        See docs/certificate-format.md, "The problem".

    Raises
    ------
    CertificateParseError
        Where shapes do not fit, a number is not finite, or a name occurs twice.
    """

    names: list[str]
    rewards: list[str]
    values: Sequence[Sequence[float]] | array[float] | memoryview
    costs: list[float] | None = None
    scale: str | list[tuple[float, float]] = "none"

    def __post_init__(self) -> None:
        self.names = list(self.names)
        self.rewards = list(self.rewards)
        if not self.names or not self.rewards:
            raise CertificateParseError("problem: expected at least one candidate and one reward")
        for label, texts in (("names", self.names), ("rewards", self.rewards)):
            if not all(type(text) is str and text for text in texts):
                raise CertificateParseError(f"problem: {label}: expected non-empty strings")
        if len(set(self.names)) != len(self.names):
            raise CertificateParseError("problem: names: expected distinct names")
        try:
            self.values = _flat(self.values, len(self.names), len(self.rewards))
            self.costs = None if self.costs is None else [float(cost) for cost in self.costs]
            if not isinstance(self.scale, str):
                self.scale = [(float(low), float(high)) for low, high in self.scale]
        except (TypeError, ValueError, OverflowError) as error:
            raise CertificateParseError(f"problem: expected numbers: {error}") from None
        if not all(map(math.isfinite, self.values)):
            raise CertificateParseError("problem: values: expected finite numbers")
        if self.costs is not None:
            if len(self.costs) != len(self.names):
                raise CertificateParseError(f"problem: costs: expected {len(self.names)} numbers")
            if not all(0 <= cost < math.inf for cost in self.costs):
                raise CertificateParseError("problem: costs: expected finite numbers >= 0")
        if isinstance(self.scale, str):
            if self.scale not in ("none", "minmax"):
                raise CertificateParseError('problem: scale: expected "none", "minmax" or a list of (low, high)')
        elif len(self.scale) != len(self.rewards):
            raise CertificateParseError(f"problem: scale: expected {len(self.rewards)} pairs")
        elif not all(-math.inf < low < high < math.inf for low, high in self.scale):
            raise CertificateParseError("problem: scale: expected finite low < high")

    def column(self, k: int) -> array[float]:
        """The n numbers of reward k as in the file, before sign and scale."""
        return cast("array[float]", self.values)[k :: len(self.rewards)]

    def sha256(self) -> str:
        """Hash of the canonical problem, 64 hex digits; see docs/certificate-format.md, "The problem"."""
        scale = self.scale if isinstance(self.scale, str) else [[low.hex(), high.hex()] for low, high in self.scale]
        head = {"candidates": len(self.names), "costs": self.costs is not None, "rewards": self.rewards, "scale": scale}
        digest = hashlib.sha256(b"palm_opt problem 1\n")
        digest.update(_canonical(head) + b"\n")
        digest.update(_little_endian(cast("array[float]", self.values)))
        if self.costs is not None:
            digest.update(_little_endian(self.costs))
        digest.update(_canonical(self.names))
        return digest.hexdigest()


def _flat(values: Any, n: int, d: int) -> array[float]:
    """The n*d numbers row by row; ValueError or TypeError where they are not."""
    flat = array("d")
    with suppress(TypeError):  # from memoryview, of what is not a buffer
        view = memoryview(values)
        if view.format == "d" and view.c_contiguous and view.shape in ((n, d), (n * d,)):
            flat.frombytes(view.cast("B"))
            return flat
    for row in values:
        before = len(flat)
        flat.extend(row)
        if len(flat) - before != d:
            raise ValueError(f"row {before // d} has {len(flat) - before} values, not {d}")
    if len(flat) != n * d:
        raise ValueError(f"{len(flat)} values came, not {n} rows of {d}")
    return flat


def _canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _little_endian(numbers: Iterable[float]) -> bytes:
    clean = array("d", map(add, numbers, repeat(0.0)))  # -0.0 + 0.0 is 0.0
    if sys.byteorder == "big":
        clean.byteswap()
    return clean.tobytes()


def read_values(path: str | Path, subject: dict[str, Any], scale: str | list[Any]) -> Problem:
    """Read the values file that a certificate speaks of.

    Parameters
    ----------
    path : str or Path
        CSV, UTF-8 (a byte-order mark is allowed), with a header. Blank lines are skipped.
    subject, scale
        As in a parsed certificate; the ends of a range may also be floats.

    Raises
    ------
    CertificateParseError
        With the line, where the file is not such a table. OSError where it cannot be opened.
    """
    rewards, id_column, cost_column = subject["rewards"], subject["id"], subject["cost"]
    if not isinstance(scale, str):
        scale = [tuple(float.fromhex(end) if isinstance(end, str) else end for end in pair) for pair in scale]
    place = str(path)
    if Path(path).stat().st_size > MAX_VALUES_BYTES:
        raise CertificateParseError(f"{place}: expected at most {MAX_VALUES_BYTES} bytes")
    with Path(path).open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        try:
            header = next((row for row in reader if row), None)
            if header is None:
                raise CertificateParseError(f"{place}: line 1: expected a header")
            columns = [_find(header, name.removeprefix("-"), place) for name in rewards]
            costs_at = None if cost_column is None else _find(header, cost_column, place)
            names_at = None if id_column is None else _find(header, id_column, place)
            names, numbers, costs = _read_rows(reader, header, columns, costs_at, names_at, place)
        except UnicodeDecodeError as error:
            raise CertificateParseError(f"{place}: after line {reader.line_num}: expected UTF-8: {error}") from None
        except csv.Error as error:
            raise CertificateParseError(f"{place}: line {reader.line_num}: not CSV: {error}") from None
    if not names:
        raise CertificateParseError(f"{place}: line {reader.line_num + 1}: expected at least one candidate")
    return Problem(names, rewards, numbers, costs, scale)


def _find(header: list[str], name: str, place: str) -> int:
    if header.count(name) != 1:
        found = "is missing" if name not in header else "occurs twice"
        raise CertificateParseError(f"{place}: line 1: the column {_show(name)} {found}")
    return header.index(name)


def _read_rows(
    reader: Any, header: list[str], columns: list[int], costs_at: int | None, names_at: int | None, place: str
) -> tuple[list[str], array[float], list[float] | None]:
    """The names, the flat numbers and the costs of the rows after the header."""
    names: list[str] = []
    seen: set[str] = set()
    numbers = array("d")
    costs = array("d")
    wanted = columns if costs_at is None else [*columns, costs_at]
    for row in reader:
        if not row:
            continue
        where = f"{place}: line {reader.line_num}"
        if len(row) != len(header):
            raise CertificateParseError(f"{where}: expected {len(header)} fields, got {len(row)}")
        for at in wanted:
            text = row[at]
            number = float(text) if len(text) <= MAX_NUMBER_TEXT and _NUMBER.fullmatch(text) else math.nan
            if not math.isfinite(number) or (at == costs_at and number < 0):
                what = "a finite number >= 0" if at == costs_at else "a finite number"
                raise CertificateParseError(f"{where}: column {_show(header[at])}: expected {what}, got {_show(text)}")
            numbers.append(number)
        if costs_at is not None:
            costs.append(numbers.pop())
        name = str(len(names)) if names_at is None else row[names_at]
        if not name or name in seen:
            what = "is repeated" if name else "is empty"
            raise CertificateParseError(f"{where}: the name {_show(name)} {what}")
        seen.add(name)
        names.append(name)
    return names, numbers, None if costs_at is None else list(costs)


# The document


def read_certificate(path: str | Path) -> Document:
    """Read and `parse` a certificate file; the message of a `CertificateParseError` starts with its path."""
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    try:
        return parse(content)
    except CertificateParseError as error:
        raise CertificateParseError(f"{path}: {error}") from None


def parse(source: bytes | str | dict[str, Any]) -> Document:
    """Check the syntax, the keys and the types of a certificate.

    Parameters
    ----------
    source : bytes, str or dict
        The JSON text, or the object already loaded from it.

    Raises
    ------
    CertificateParseError
        Whatever is wrong; the message says where in the document and what was expected.
    """
    if isinstance(source, (bytes, bytearray, str)):
        loaded = _load(source)
    elif isinstance(source, dict):
        loaded = source
    else:
        _expected("certificate", "bytes, a str or a dict", source)
    _keys("certificate", loaded, _KEYS, _OPTIONAL_KEYS)
    document = Document(loaded)
    _parse_labels(document)
    rewards = document["subject"]["rewards"]
    _parse_scale(document["scale"], len(rewards))
    for key in ("epsilon", "delta"):
        _tolerance(key, document[key])
    for key in ("required", "forbidden", "members"):
        _texts(key, document[key])
    _integers("dominators", document["dominators"], -1)
    for i, row in enumerate(_list("multipliers", document["multipliers"])):
        _integers("multipliers", row, 0, i)
        if len(row) < 3 or len(row) % 2 == 0:
            _expected(f"multipliers[{i}]", "[i, p, a, p, a, ...]", row)
        if min(row[2::2]) < 1:
            _expected(f"multipliers[{i}]", "positive integers a", row)
    if document["lower_bound"] != "infinity":
        _ratio("lower_bound", document["lower_bound"])
    if "packing" in document and "branching" in document:
        raise CertificateParseError("certificate: expected packing or branching, not both")
    if "packing" in document:
        packing = document["packing"]
        _keys("packing", packing, frozenset({"weights", "y"}))
        _parse_weights("packing.weights", packing["weights"])
        for j, y in enumerate(_list("packing.y", packing["y"])):
            _ratio(f"packing.y[{j}]", y)
    if "branching" in document:
        _parse_branching(document["branching"])
    return document


def _load(source: bytes | bytearray | str) -> Any:
    """The JSON object, with nesting, numbers and repeated keys under control."""
    if len(source) > MAX_BYTES:
        raise CertificateParseError(f"certificate: expected at most {MAX_BYTES} bytes")
    try:
        text = source if isinstance(source, str) else source.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CertificateParseError(f"byte {error.start}: expected UTF-8") from None
    depth = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_NESTING:
                line = text.count("\n", 0, token.start()) + 1
                raise CertificateParseError(f"line {line}: brackets are nested deeper than {MAX_NESTING}")
        elif first != '"':
            depth -= 1
    try:
        refuse = _json_refuse
        hooks: dict[str, Any] = {"parse_int": _to_int, "parse_float": refuse, "parse_constant": refuse}
        return json.loads(text, object_pairs_hook=_unique_keys, **hooks)
    except json.JSONDecodeError as error:
        raise CertificateParseError(f"line {error.lineno} column {error.colno}: not JSON: {error.msg}") from None
    except MemoryError:
        raise CertificateParseError("certificate: too large for the memory of this machine") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise CertificateParseError(f"the key {_show(key)} is repeated in one object")
        found[key] = value
    return found


def _json_refuse(text: str) -> NoReturn:
    raise CertificateParseError(f"the number {_show(text)}: expected integers only")


def _to_int(text: str) -> int:
    with suppress(ValueError):  # from an interpreter told to refuse more than a few hundred digits
        if len(text) <= MAX_DIGITS:
            return int(text)
    raise CertificateParseError(f"an integer has more than {MAX_DIGITS} digits, or more than this Python may read")


def _show(value: Any) -> str:
    """A value in a message: short, one line, ASCII, whatever it is."""
    if isinstance(value, str):
        return ascii(value) if len(value) <= 60 else ascii(value[:60]) + "..."
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 64):
        return str(value)
    return f"a {type(value).__name__}"


def _expected(where: str, what: str, got: Any) -> NoReturn:
    raise CertificateParseError(f"{where}: expected {what}, got {_show(got)}")


def _keys(where: str, value: Any, needed: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
    if not isinstance(value, dict):
        _expected(where, "an object", value)
    for key in value:
        if key not in needed and key not in optional:
            raise CertificateParseError(f"{where}: unknown key {_show(key)}")
    for key in sorted(needed):
        if key not in value:
            raise CertificateParseError(f"{where}: the key {_show(key)} is missing")


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        _expected(where, "a list", value)
    return value


def _text(where: str, value: Any) -> str:
    if type(value) is not str:
        _expected(where, "a string", value)
    return value


def _texts(where: str, value: Any) -> list[str]:
    for i, text in enumerate(_list(where, value)):
        if type(text) is not str or not text:
            _expected(f"{where}[{i}]", "a non-empty string", text)
    return list(value)


def _integer(where: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value < _INTEGER_LIMIT:
        _expected(where, f"an integer >= 0 of at most {MAX_DIGITS} digits", value)
    return value


def _integers(where: str, value: Any, least: int, entry: int | None = None) -> None:
    """A list of integers >= least; `entry` is its place in `where`, spelled out only in a message."""
    place = where if entry is None else f"{where}[{entry}]"
    numbers = _list(place, value)
    if set(map(type, numbers)) <= {int} and (not numbers or (min(numbers) >= least and max(numbers) < _INTEGER_LIMIT)):
        return
    for i, number in enumerate(numbers):
        if type(number) is not int or not least <= number < _INTEGER_LIMIT:
            _expected(f"{place}[{i}]", f"an integer >= {least} of at most {MAX_DIGITS} digits", number)


def _tolerance(where: str, value: Any) -> float:
    text = _text(where, value)
    number = math.nan
    if _TOLERANCE.fullmatch(text):
        with suppress(OverflowError):
            number = float.fromhex(text)
    if number.hex() != text:
        _expected(where, "a hex-float as float.hex() writes it", value)
    return number


def _ratio(where: str, value: Any) -> Fraction:
    text = _text(where, value)
    if not _RATIO.fullmatch(text):
        _expected(where, f'a ratio "p" or "p/q", q > 0, of integers of at most {MAX_DIGITS} digits', value)
    return Fraction(*_top_and_bottom(text))


def _top_and_bottom(ratio: str) -> tuple[int, int]:
    top, _, bottom = ratio.partition("/")
    return _to_int(top), _to_int(bottom) if bottom else 1


def _parse_labels(document: Document) -> None:
    for key, known in ("format", "palm_opt certificate"), ("kind", "exact"):
        if _text(key, document[key]) != known:
            _expected(key, f'"{known}"', document[key])
    if _text("objective", document["objective"]) not in ("reward", "reward_minus_kl"):
        _expected("objective", '"reward" or "reward_minus_kl"', document["objective"])
    if type(document["version"]) is not int or document["version"] != 1:
        _expected("version", "1", document["version"])
    if not _HASH.fullmatch(_text("sha256", document["sha256"])):
        _expected("sha256", "64 digits 0-9a-f", document["sha256"])
    subject = document["subject"]
    _keys("subject", subject, frozenset({"id", "rewards", "cost", "candidates"}))
    for key in ("id", "cost"):
        if subject[key] is not None and not _text(f"subject.{key}", subject[key]):
            _expected(f"subject.{key}", "a column name or null", subject[key])
    if not all(name.removeprefix("-") for name in _texts("subject.rewards", subject["rewards"])):
        _expected("subject.rewards", "column names", "-")
    if not subject["rewards"] or _integer("subject.candidates", subject["candidates"]) < 1:
        raise CertificateParseError("subject: expected at least one reward and one candidate")
    _keys("producer", document["producer"], frozenset({"name", "version"}))
    for key in ("name", "version"):
        _text(f"producer.{key}", document["producer"][key])


def _parse_scale(scale: Any, d: int) -> None:
    if isinstance(scale, str):
        if scale not in ("none", "minmax"):
            _expected("scale", '"none", "minmax" or a list', scale)
        return
    if len(_list("scale", scale)) != d:
        raise CertificateParseError(f"scale: expected {d} pairs, got {len(scale)}")
    for k, pair in enumerate(scale):
        if len(_list(f"scale[{k}]", pair)) != 2:
            _expected(f"scale[{k}]", "[low, high]", pair)
        if not _tolerance(f"scale[{k}][0]", pair[0]) < _tolerance(f"scale[{k}][1]", pair[1]):
            raise CertificateParseError(f"scale[{k}]: expected low < high")


def _parse_weights(where: str, weights: Any) -> None:
    for j, weight in enumerate(_list(where, weights)):
        _integers(where, weight, 0, j)


def _parse_branching(branching: Any) -> None:
    _keys("branching", branching, frozenset({"weights", "nodes"}))
    _parse_weights("branching.weights", branching["weights"])
    for at, node in enumerate(_list("branching.nodes", branching["nodes"])):
        where = f"branching.nodes[{at}]"
        if not isinstance(node, list) or len(node) != 2:
            _expected(where, '["branch", i], ["packing", [...]] or ["uncovered", j]', node)
        if type(node[0]) is str and node[0] in ("branch", "uncovered"):
            _integer(where, node[1])
        elif type(node[0]) is str and node[0] == "packing":
            for pair in _list(where, node[1]):
                if not isinstance(pair, list) or len(pair) != 2:
                    _expected(where, "pairs [j, ratio]", pair)
                _integer(where, pair[0])
                if type(pair[1]) is not str or not _RATIO.fullmatch(pair[1]):
                    _ratio(where, pair[1])  # says what is wrong
        else:
            _expected(where, '"branch", "packing" or "uncovered"', node[0])


# The check


@dataclass(frozen=True)
class Verified:
    """What an exact check has proved. `str()` is the last line of the checker."""

    kind: str  # "exact": about a finite pool
    members: int  # size of the portfolio; 0 where it is proved that there is none
    cost: Fraction  # sum of the costs of the members
    lower_bound: Fraction | float  # what every portfolio costs at least; math.inf where there is none
    epsilon: float  # the tolerances at which the portfolio serves every weight
    delta: float
    sha256: str  # of the problem

    def __str__(self) -> str:
        fields = {name: value for name, value in self.as_dict().items() if name != "verified"}
        return "VERIFIED " + " ".join(f"{name}={value}" for name, value in fields.items())

    def as_dict(self) -> dict[str, Any]:
        """The fields for JSON: a number is an int, a float that is exactly it, or else the string "p/q"."""
        return {
            "verified": True,
            "kind": self.kind,
            "members": self.members,
            "cost": _plain(self.cost),
            "lower_bound": "infinity" if self.lower_bound == math.inf else _plain(Fraction(self.lower_bound)),
            "epsilon": self.epsilon,
            "delta": self.delta,
            "sha256": self.sha256,
        }


def _plain(number: Fraction) -> int | float | str:
    if number.denominator == 1:
        return number.numerator
    with suppress(OverflowError):
        if Fraction(float(number)) == number:
            return float(number)
    return f"{number.numerator}/{number.denominator}"


def _brief(number: Fraction | float) -> str:
    """A number in a message, exact where that is short."""
    if isinstance(number, float):
        return "infinity"
    if max(number.numerator.bit_length(), number.denominator.bit_length()) <= 200:
        return str(_plain(number))
    with suppress(OverflowError):
        return f"about {float(number)!r}"
    return "a number beyond float64"


@dataclass(frozen=True)
class _Claim:
    """A document beside its problem, the names looked up: row numbers throughout."""

    document: Document
    problem: Problem
    epsilon: float
    delta: float
    required: frozenset[int]
    forbidden: frozenset[int]
    members: list[int]

    def label(self, i: int) -> str:
        return f"candidate {i} ({_show(self.problem.names[i])})"

    def cost(self, i: int) -> float:
        return 1.0 if self.problem.costs is None else self.problem.costs[i]


def check(document: Document | dict[str, Any], problem: Problem) -> Verified:
    """Check every claim of a certificate in exact arithmetic.

    Parameters
    ----------
    document : Document or dict
        The certificate; a dict that does not come from `parse` is parsed first.
    problem : Problem
        The pool, from `read_values` or made by hand.

    Raises
    ------
    InvalidCertificate
        The first claim that fails. `CertificateParseError` where the document is not a certificate at all.
    """
    document = document if type(document) is Document else parse(document)
    claim = _resolve(document, problem)
    lower_bound: Fraction | float = math.inf
    if document["lower_bound"] != "infinity":
        lower_bound = _ratio("lower_bound", document["lower_bound"])
    if (lower_bound == math.inf) != (not claim.members):
        raise InvalidCertificate('lower_bound: "infinity" goes with an empty list of members, and only with it')
    order = _check_dominators(claim)
    proof = _proof(claim)
    branched = frozenset(node[1] for node in proof[1] if node[0] == "branch") if proof else frozenset()
    if max(branched, default=0) >= len(problem.names):
        raise InvalidCertificate(f"branching: candidate {_show(max(branched))} is not in the file")
    selectable = _selectable(claim, order, branched) if proof else []
    n = len(problem.names)
    rows = {row[0] for row in document["multipliers"] if row[0] < n} if claim.members else set(range(n))
    exact = _Exact(problem, sorted(rows.union(claim.members, selectable)))
    _check_multipliers(claim, exact)
    proved: Fraction | float = Fraction(0)
    if proof:
        proved = _tree(claim, exact, proof[0], selectable).bound(proof[1])
    if lower_bound > proved:
        raise InvalidCertificate(f"lower_bound: {_brief(lower_bound)} is claimed, {_brief(proved)} is proved")
    cost = sum((Fraction(claim.cost(i)) for i in claim.members), Fraction(0))
    return Verified(
        document["kind"], len(claim.members), cost, lower_bound, claim.epsilon, claim.delta, document["sha256"]
    )


def _resolve(document: Document, problem: Problem) -> _Claim:
    """Match the document with the problem and look its names up."""
    subject, scale = document["subject"], document["scale"]
    if subject["candidates"] != len(problem.names):
        raise InvalidCertificate(
            f"subject.candidates: {_show(subject['candidates'])} claimed, the values have {len(problem.names)}"
        )
    if subject["rewards"] != problem.rewards:
        raise InvalidCertificate("subject.rewards: not the rewards of the values")
    if (subject["cost"] is None) != (problem.costs is None):
        raise InvalidCertificate("subject.cost: the certificate and the values do not both have costs")
    if not isinstance(scale, str):
        scale = [tuple(map(float.fromhex, pair)) for pair in scale]
    if scale != problem.scale:
        raise InvalidCertificate("scale: not the scale of the values")
    found = problem.sha256()
    if found != document["sha256"]:
        raise InvalidCertificate(f"sha256: the certificate is about {document['sha256']}, the values are {found}")
    epsilon, delta = (float.fromhex(document[key]) + 0.0 for key in ("epsilon", "delta"))
    if not 0 <= epsilon < 1:
        raise InvalidCertificate(f"epsilon: {epsilon!r} is not in [0, 1)")
    if delta < 0:
        raise InvalidCertificate(f"delta: {delta!r} is below 0")
    index = {name: i for i, name in enumerate(problem.names)}
    for key in ("required", "forbidden", "members"):
        for name in document[key]:
            if name not in index:
                raise InvalidCertificate(f"{key}: {_show(name)} is not in the values")
    required, forbidden = (frozenset(index[name] for name in document[key]) for key in ("required", "forbidden"))
    members = [index[name] for name in document["members"]]
    claim = _Claim(document, problem, epsilon, delta, required, forbidden, members)
    for i in required & forbidden:
        raise InvalidCertificate(f"required: {claim.label(i)} is also forbidden")
    if len(set(members)) != len(members):
        raise InvalidCertificate("members: a name is repeated")
    for i in required.difference(members) if members else ():
        raise InvalidCertificate(f"members: {claim.label(i)} is required and missing")
    for i in forbidden.intersection(members):
        raise InvalidCertificate(f"members: {claim.label(i)} is forbidden")
    return claim


def _check_dominators(claim: _Claim) -> list[int]:
    """Check the dominators; the dominated rows in an order in which each comes after its dominator."""
    document, n = claim.document, len(claim.problem.names)
    dominators: list[int] = document["dominators"]
    if not claim.members:
        if dominators or document["multipliers"]:
            raise InvalidCertificate("dominators, multipliers: expected none without members")
        return []
    if len(dominators) != n:
        raise InvalidCertificate(f"dominators: expected {n} entries, got {len(dominators)}")
    if max(dominators) >= n:
        raise InvalidCertificate(f"dominators: row {_show(max(dominators))} is not in the file")
    target = [i if j < 0 else j for i, j in enumerate(dominators)]
    for k, reward in enumerate(claim.problem.rewards):
        raw = claim.problem.column(k)  # sign and scale are monotone: the numbers of the file compare as the values do
        at_least: Callable[[Any, Any], bool] = le if reward.startswith("-") else ge
        compared = list(map(at_least, map(raw.__getitem__, target), raw))
        if not all(compared):
            i = compared.index(False)
            raise InvalidCertificate(f"dominators: row {target[i]} is below {claim.label(i)} in {_show(reward)}")
    order: list[int] = []
    state = bytearray(j < 0 for j in dominators)  # 0 not seen, 1 known to end well, 2 on the path from `start`
    for start in range(n):
        path = []
        i = start
        while state[i] == 0:
            state[i] = 2
            path.append(i)
            i = dominators[i]
        if state[i] == 2:
            raise InvalidCertificate(f"dominators: {claim.label(i)} is reached from itself")
        for i in reversed(path):
            state[i] = 1
            order.append(i)
    return order


class _Exact:
    """The value vectors of some rows as integers: v_ik = units[k] * columns[k][position[i]], all units positive."""

    def __init__(self, problem: Problem, rows: list[int]) -> None:
        self.position = {i: at for at, i in enumerate(rows)}
        self.columns: list[list[int]] = []
        self.units: list[Fraction] = []
        for k, reward in enumerate(problem.rewards):
            raw = problem.column(k)
            picked = [raw[i] for i in rows]
            negated = reward.startswith("-")
            if problem.scale == "none":
                column, denominator = _common_integers(picked)
                self.columns.append([-x for x in column] if negated else column)
                self.units.append(Fraction(1, denominator))
                continue
            ends = (min(raw), max(raw)) if isinstance(problem.scale, str) else problem.scale[k]
            column, _ = _common_integers([*picked, *ends])
            high, low = column.pop(), column.pop()
            if high == low:  # only minmax: a column of zero width is 0
                self.columns.append([0] * len(column))
                self.units.append(Fraction(1))
                continue
            self.columns.append([high - x for x in column] if negated else [x - low for x in column])
            self.units.append(Fraction(1, high - low))


def _common_integers(numbers: list[float]) -> tuple[list[int], int]:
    """Integers a and a power of two q with numbers[i] = a[i] / q exactly."""
    denominator = max((x.as_integer_ratio()[1] for x in numbers), default=1)
    integers = []
    for x in numbers:
        top, bottom = x.as_integer_ratio()
        integers.append(top * (denominator // bottom))
    return integers, denominator


def _check_multipliers(claim: _Claim, exact: _Exact) -> None:
    """Check that every row without a dominator has multipliers, and that they serve it."""
    dominators, n, size = claim.document["dominators"], len(claim.problem.names), len(claim.members)
    keep, delta = 1 - Fraction(claim.epsilon), Fraction(claim.delta)
    columns = []
    for column, unit in zip(exact.columns, exact.units, strict=True):
        allowed = delta / unit  # delta in the integers of this column
        common = math.lcm(keep.denominator, allowed.denominator)
        served = [common * column[exact.position[i]] for i in claim.members]
        columns.append((served, int(keep * common), int(allowed * common), column))
    seen = bytearray(n)
    for entry, row in enumerate(claim.document["multipliers"]):
        i, places, amounts = row[0], row[1::2], row[2::2]
        where = f"multipliers[{entry}]"
        if i >= n:
            raise InvalidCertificate(f"{where}: row {_show(i)} is not in the file")
        if seen[i]:
            raise InvalidCertificate(f"{where}: {claim.label(i)} has multipliers already")
        if dominators[i] >= 0:
            raise InvalidCertificate(f"{where}: {claim.label(i)} has a dominator too")
        seen[i] = 1
        if max(places) >= size or len(set(places)) != len(places):
            raise InvalidCertificate(f"{where}: expected distinct positions below {size}")
        total = sum(amounts)
        at = exact.position[i]
        for k, (served, kept, slack, column) in enumerate(columns):
            if sum(map(mul, amounts, map(served.__getitem__, places))) < total * (kept * column[at] - slack):
                reward = _show(claim.problem.rewards[k])
                raise InvalidCertificate(f"{where}: the members so mixed do not serve {claim.label(i)} in {reward}")
    for i, j in enumerate(dominators):
        if j < 0 and not seen[i]:
            raise InvalidCertificate(f"multipliers: {claim.label(i)} has neither multipliers nor a dominator")


def _proof(claim: _Claim) -> tuple[list[list[int]], list[list[Any]]] | None:
    """The weights and the tree of a proof of size; None where there is none."""
    document, d = claim.document, len(claim.problem.rewards)
    where = next((key for key in ("packing", "branching") if key in document), None)
    if where is None:
        return None
    weights: list[list[int]] = document[where]["weights"]
    if where == "packing":
        y = document[where]["y"]
        if len(y) != len(weights):
            raise InvalidCertificate(f"packing: {len(weights)} weights and {len(y)} y")
        nodes: list[list[Any]] = [["packing", [[j, ratio] for j, ratio in enumerate(y)]]]
    else:
        nodes = document[where]["nodes"]
    if len(weights) > MAX_WEIGHTS:
        raise InvalidCertificate(f"{where}: more than {MAX_WEIGHTS} weights are beyond this checker")
    for j, weight in enumerate(weights):
        if len(weight) != d:
            raise InvalidCertificate(f"{where}: weight {j} has {len(weight)} numbers, not {d}")
        if not any(weight):
            raise InvalidCertificate(f"{where}: weight {j} is all 0")
    return weights, nodes


def _selectable(claim: _Claim, order: list[int], branched: frozenset[int]) -> list[int]:
    """The candidates whose coverage a proof of size must look at.

    All but the forbidden ones and those with a dominator further on (see `_check_dominators`) that is undecided in
    every leaf and costs no more: what such a candidate covers, its dominator covers, so the inequality of the
    dominator implies its own. One with a required dominator covers nothing that is not covered already.
    """
    n = len(claim.problem.names)
    dominators = claim.document["dominators"]
    cheapest = [math.inf] * n  # cost of the cheapest such dominator
    for i in order:
        j = dominators[i]
        cheapest[i] = cheapest[j]
        if j in claim.required:
            cheapest[i] = -1.0
        elif j not in claim.forbidden and j not in branched:
            cheapest[i] = min(cheapest[i], claim.cost(j))
    looked_at = claim.required | branched
    return [i for i in range(n) if i not in claim.forbidden and (claim.cost(i) < cheapest[i] or i in looked_at)]


def _tree(claim: _Claim, exact: _Exact, weights: list[list[int]], selectable: list[int]) -> _Tree:
    """The root of the proof of size."""
    rows = list(exact.position)
    required = sum(1 << exact.position[i] for i in claim.required)
    undecided = sum(1 << exact.position[i] for i in selectable) & ~required
    whole = all(claim.cost(i).is_integer() for i in range(len(claim.problem.names)) if i not in claim.forbidden)
    covers = _coverage(claim, exact, weights) if weights else []
    return _Tree(covers, rows, [claim.cost(i) for i in rows], (required, undecided, whole), claim.label)


class _Tree:
    """A branching proof over weights that are listed once.

    `covers[j]` is the bitset of the rows that cover weight j, row `at` being candidate `candidates[at]`. `inside` and
    `undecided` are bitsets of rows too; costs are integers over `unit`.
    """

    def __init__(
        self,
        covers: list[int],
        candidates: list[int],
        costs: list[float],
        roles: tuple[int, int, bool],
        label: Callable[[int], str],
    ) -> None:
        self.covers = covers
        self.candidates = candidates
        self.row = {i: at for at, i in enumerate(candidates)}
        self.cost, self.unit = _common_integers(costs)
        self.inside, self.undecided, self.whole = roles
        self.label = label
        self.tops = int.from_bytes(b"\0\0\0\x80" * len(candidates), "little")
        self.fields: dict[int, int] = {}  # of _field, those used last

    def bound(self, nodes: list[list[Any]]) -> Fraction | float:
        """What the tree proves: the least of its leaves."""
        inside, undecided = self.inside, self.undecided
        paid = sum(self.cost[bit.bit_length() - 1] for bit in _bits(inside))
        path: list[tuple[int, bool]] = []  # branchings: row, is it in
        least: Fraction | float = math.inf
        complete = False
        for at, (tag, content) in enumerate(nodes):
            where = f"leaf {at}" if at or tag != "packing" else "packing"
            if complete:
                raise InvalidCertificate(f"branching: node {at} is left over after a complete tree")
            if tag == "branch":
                row = self.row.get(content, -1)
                if row < 0 or not undecided >> row & 1:
                    raise InvalidCertificate(f"branching: node {at}: {self.label(content)} is not undecided")
                if len(path) == MAX_TREE_DEPTH:
                    raise InvalidCertificate(f"branching: deeper than {MAX_TREE_DEPTH}")
                path.append((row, True))
                inside, undecided, paid = inside | 1 << row, undecided ^ 1 << row, paid + self.cost[row]
                continue
            if tag == "packing":
                least = min(least, self._packing(where, content, inside, undecided, paid))
            else:
                self._uncovered(where, content, inside, undecided)
            while path and not path[-1][1]:
                undecided |= 1 << path.pop()[0]
            complete = not path
            if path:  # from the subtree with the candidate in to the one with it out
                row = path.pop()[0]
                path.append((row, False))
                inside, paid = inside ^ 1 << row, paid - self.cost[row]
        if not complete:
            raise InvalidCertificate("branching: the tree is not complete")
        return least

    def _packing(self, where: str, content: list[list[Any]], inside: int, undecided: int, paid: int) -> Fraction:
        """What a packing leaf proves."""
        y: dict[int, tuple[int, int]] = {}
        common = 1
        for j, text in content:
            above, below = _top_and_bottom(text)
            if j >= len(self.covers):
                raise InvalidCertificate(f"{where}: weight {_show(j)} is not listed")
            if j in y:
                raise InvalidCertificate(f"{where}: weight {j} is repeated")
            if above < 0:
                raise InvalidCertificate(f"{where}: y of weight {j} is below 0")
            if above and self.covers[j] & inside:
                raise InvalidCertificate(f"{where}: y of weight {j} is not 0, and a candidate that is in covers it")
            y[j] = above, below
            if common % below:
                common = math.lcm(common, below // math.gcd(above, below))
            if common.bit_length() > MAX_DENOMINATOR_BITS:
                raise InvalidCertificate(f"{where}: the common denominator of y is beyond this checker")
        scaled = {j: above * common // below for j, (above, below) in y.items() if above}
        over = self._exceeded(scaled, common, undecided)
        if over is not None:
            name = self.label(self.candidates[over])
            raise InvalidCertificate(f"{where}: the y that {name} covers exceed its cost")
        proved = Fraction(paid, self.unit) + Fraction(sum(scaled.values()), common)
        return Fraction(math.ceil(proved)) if self.whole else proved

    def _exceeded(self, y: dict[int, int], common: int, undecided: int) -> int | None:
        """An undecided row whose covered y / common exceed its cost, or None.

        First for all rows at once, y rounded up and costs down to 2^-29 of the sum of y: each row has 32 bits of one
        long integer. What is in doubt then is summed exactly.
        """
        total = sum(y.values())
        if not total:
            return None
        size = len(self.candidates)
        limits = {c: min((c * common << 29) // (self.unit * total), (1 << 31) - 1) for c in set(self.cost)}
        if len(limits) == 1:
            room = (self.tops >> 31) * next(iter(limits.values())) | self.tops
        else:
            spread = b"".join([limits[c].to_bytes(4, "little") for c in self.cost])
            room = int.from_bytes(spread, "little") | self.tops
        for j, amount in y.items():
            room -= self._field(j) * -(-(amount << 29) // total)
        doubtful = ~_top_bits(room, size, 4) & undecided
        sums: dict[int, int] = {}
        for j, amount in y.items() if doubtful else ():
            for bit in _bits(self.covers[j] & doubtful):
                sums[bit] = sums.get(bit, 0) + amount
        rows = ((bit.bit_length() - 1, load) for bit, load in sums.items())
        return min((row for row, load in rows if load * self.unit > self.cost[row] * common), default=None)

    def _field(self, j: int) -> int:
        """The rows that cover weight j, 32 bits each: 1 where it does."""
        field = self.fields.get(j)
        if field is None:
            size = len(self.candidates)
            if len(self.fields) * size > MAX_FIELDS:
                self.fields.clear()
            spread = bytearray(4 * size)
            spread[::4] = format(self.covers[j], f"0{size}b").encode("ascii")[::-1].translate(_DIGIT_TO_BIT)
            field = self.fields[j] = int.from_bytes(spread, "little")
        return field

    def _uncovered(self, where: str, j: int, inside: int, undecided: int) -> None:
        """Check a leaf in which no candidate that is in or undecided covers weight j."""
        if j >= len(self.covers):
            raise InvalidCertificate(f"{where}: weight {_show(j)} is not listed")
        if self.covers[j] & inside:
            raise InvalidCertificate(f"{where}: a candidate that is in covers weight {j}")
        for bit in _bits(self.covers[j] & undecided):
            name = self.label(self.candidates[bit.bit_length() - 1])
            raise InvalidCertificate(f"{where}: {name} covers weight {j}")


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low
        mask ^= low


def _top_bits(fields: int, size: int, width: int) -> int:
    """The bitset of those of `size` fields, `width` bytes each, whose top bit is set."""
    return int(fields.to_bytes(size * width, "little")[width - 1 :: width][::-1].translate(_TOP_BIT_TO_DIGIT), 2)


class _Packed:
    """Rows of integers, one long integer a column with a field for each row: one product scores all rows.

    A field holds the number less the least of its column, so it is not negative; the top bit of a field stays free.
    """

    def __init__(self, columns: Sequence[Sequence[int]], factors: Sequence[int]) -> None:
        """`factors`: the largest that each column will be multiplied with."""
        self.size = len(columns[0])
        self.least = [min(column) for column in columns]
        ranges = [max(column) - low for column, low in zip(columns, self.least, strict=True)]
        largest = sum(map(mul, ranges, [max(factor, 1) for factor in factors]))
        self.width = 8 * (largest.bit_length() // 64 + 1)  # bytes of a field
        if self.size * self.width > MAX_PACKED_BYTES:
            raise InvalidCertificate("weights: numbers as long as these are beyond this checker")
        self.columns = []
        for column, low in zip(columns, self.least, strict=True):
            content = b"".join([(a - low).to_bytes(self.width, "little") for a in column])
            self.columns.append(int.from_bytes(content, "little"))
        self.ones = int.from_bytes((b"\1" + bytes(self.width - 1)) * self.size, "little")
        self.tops = self.ones << (8 * self.width - 1)

    def scores(self, factors: Sequence[int]) -> tuple[int, int]:
        """Sums over the columns of number times factor >= 0: fields, and what is to be added to each of them."""
        used = [(f, column, low) for f, column, low in zip(factors, self.columns, self.least, strict=True) if f]
        return sum(f * column for f, column, _ in used), sum(f * low for f, _, low in used)

    def reach(self, scores: tuple[int, int], least: int) -> int:
        """The bitset of the rows with a score of at least `least`."""
        fields, offset = scores
        need = least - offset
        if need <= 0:
            return (1 << self.size) - 1
        if need >> (8 * self.width - 1):
            return 0
        return _top_bits((fields | self.tops) - need * self.ones, self.size, self.width)

    def largest(self, scores: tuple[int, int]) -> int:
        """The largest score."""
        fields, offset = scores
        content = fields.to_bytes(self.size * self.width, "little")
        words = array("Q", content)
        if sys.byteorder == "big":
            words.byteswap()
        top_words = words[self.width // 8 - 1 :: self.width // 8]
        high = max(top_words)
        starts = (at * self.width for at in compress(range(self.size), map(high.__eq__, top_words)))
        return max(int.from_bytes(content[start : start + self.width], "little") for start in starts) + offset


def _coverage(claim: _Claim, exact: _Exact, weights: list[list[int]]) -> list[int]:
    """For each weight the bitset of the rows of `exact` that cover it.

    With w = W / S, i covers w when W.v_i >= (1 - epsilon) max_j W.v_j - delta S. The rows of `exact` hold a row of
    greatest W.v, because every other row has a dominator among them.
    """
    if len(exact.position) * len(weights) > MAX_COVERAGE_BITS:
        raise InvalidCertificate("weights: weights times candidates are beyond this checker")
    shared = math.lcm(*(unit.denominator for unit in exact.units))
    units = [int(unit * shared) for unit in exact.units]
    keep, delta = 1 - Fraction(claim.epsilon), Fraction(claim.delta) * shared
    packed = _Packed(exact.columns, [unit * max(weight[k] for weight in weights) for k, unit in enumerate(units)])
    covers = []
    for weight in weights:
        scores = packed.scores(list(map(mul, units, weight)))
        covers.append(packed.reach(scores, math.ceil(keep * packed.largest(scores) - delta * sum(weight))))
    return covers


# The command


def verify_files(certificate: str | Path, values: str | Path) -> Verified:
    """Read both files and `check`; raises as those do."""
    document = read_certificate(certificate)
    return check(document, read_values(values, document["subject"], document["scale"]))


def main(argv: list[str] | None = None) -> int:
    """Check the two files named on the command line; exit code 0 verified, 1 not verified, 2 cannot be read."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 2 or "-h" in arguments or "--help" in arguments:
        print("usage: python certificate.py CERTIFICATE VALUES.csv", file=sys.stderr)
        return 2
    try:
        print(verify_files(*arguments))
    except InvalidCertificate as error:
        print(f"NOT VERIFIED: {error}")
        return 1
    except (CertificateParseError, OSError, MemoryError) as error:
        message = str(error) or "out of memory"
        print(message.encode("ascii", "backslashreplace").decode("ascii").replace("\n", " "), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
