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
import stat
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, compress, pairwise, repeat
from operator import add, ge, le, lt, mul, sub, truediv
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

__all__ = ["CertificateParseError", "Document", "InvalidCertificate", "PalmError", "Problem", "Verified"]
__all__ += ["check", "main", "parse", "read_certificate", "read_values", "verify_files"]

# Limits on untrusted input; all are far above what a real certificate needs.
MAX_BYTES = 1 << 30  # of a certificate
MAX_VALUES_BYTES = 1 << 33  # of a values file
MAX_LINE = 1 << 24  # characters of one line of a values file
MAX_NESTING = 8  # of brackets in the JSON; the format needs 6
MAX_DIGITS = 4_000  # of one integer
MAX_NUMBER_TEXT = 4_096  # characters of one number in the values file
MAX_WEIGHTS = 100_000
MAX_COVERAGE_BITS = 1 << 32  # candidates times weights
MAX_TREE_DEPTH = 10_000
MAX_DENOMINATOR_BITS = 1 << 18  # of the common denominator of the y of one leaf
MAX_PACKED_BYTES = 1 << 29  # of one column of integers
_CORNER_BITS = 64  # to which the weight of a corner is rounded for the first comparison with all members
MAX_REWARDS = 64  # of a corner proof
MAX_EXPONENT = 4_000  # of the points of a corner proof
MAX_FIELDS = 1 << 26  # of candidates and weights, 4 bytes each, held beside the bitsets

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_NUMBER = re.compile(r"[ \t]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*")
_TOLERANCE = re.compile(r"-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}")
_RATIO = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}(?:/(?!0+\Z)[0-9]{{1,{MAX_DIGITS}}})?")
_HASH = re.compile(r"[0-9a-f]{64}")
_INTEGER_LIMIT = 10**MAX_DIGITS
_TOP_BIT_TO_DIGIT = b"0" * 128 + b"1" * 128
_DIGIT_TO_BIT = bytes(48) + b"\0\1" + bytes(206)

_KEYS = frozenset(
    {"format", "version", "kind", "sha256", "subject", "objective", "producer", "epsilon", "delta", "members"}
)
_EXACT_KEYS = _KEYS | {"scale", "required", "forbidden", "dominators", "multipliers", "lower_bound"}
_CORNER_KEYS = _KEYS | {"exponent", "points", "denominator", "corners"}
_ANSWERS_KEYS = _CORNER_KEYS | {"oracle_error", "floor"}
_SCORES_KEYS = _CORNER_KEYS | {"beta", "weights", "scale"}
_SAMPLES_KEYS = _KEYS | {"scale", "ranges", "alpha", "method", "simultaneous", "bets", "look"}
_SAMPLES_KEYS |= {"certification", "multipliers"}

# The bets of the betting bound, see docs/certificate-format.md: powers of two and three quarters of them.
_BETS = [x / (1 << g) for g in range(8) for x in (1.0, 0.75)][:15]


class PalmError(Exception):
    """Base of every error that palm_opt raises on purpose."""


class CertificateParseError(PalmError, ValueError):
    """A file or document is not what it should be: the message says where, and what was expected."""


class InvalidCertificate(PalmError, ValueError):
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
        except (TypeError, ValueError, OverflowError) as error:
            raise CertificateParseError(f"problem: expected numbers: {error}") from None
        if not all(map(math.isfinite, self.values)):
            raise CertificateParseError("problem: values: expected finite numbers")
        if self.costs is not None:
            if len(self.costs) != len(self.names):
                raise CertificateParseError(f"problem: costs: expected {len(self.names)} numbers")
            if not all(0 <= cost < math.inf for cost in self.costs):
                raise CertificateParseError("problem: costs: expected finite numbers >= 0")
        self.scale = _ranges("problem: scale", self.scale, len(self.rewards))

    def column(self, k: int) -> array[float]:
        """The n numbers of reward k as in the file, before sign and scale."""
        return cast("array[float]", self.values)[k :: len(self.rewards)]

    def sha256(self) -> str:
        """Hash of the canonical problem, 64 hex digits; see docs/certificate-format.md, "The problem"."""
        head = {"candidates": len(self.names), "costs": self.costs is not None, "rewards": self.rewards}
        head["scale"] = _plain_scale(self.scale)
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


def _ranges(where: str, scale: Any, d: int) -> str | list[tuple[float, float]]:
    """A scale as it should be: "none", "minmax" or d pairs of floats."""
    if isinstance(scale, str):
        if scale not in ("none", "minmax"):
            raise CertificateParseError(f'{where}: expected "none", "minmax" or a list of (low, high)')
        return scale
    try:
        pairs = [(float(low), float(high)) for low, high in scale]
    except (TypeError, ValueError, OverflowError) as error:
        raise CertificateParseError(f"{where}: expected pairs of numbers: {error}") from None
    if len(pairs) != d:
        raise CertificateParseError(f"{where}: expected {d} pairs")
    if not all(-math.inf < low < high < math.inf for low, high in pairs):
        raise CertificateParseError(f"{where}: expected finite low < high")
    return pairs


def _plain_scale(scale: str | list[tuple[float, float]]) -> str | list[list[str]]:
    return scale if isinstance(scale, str) else [[low.hex(), high.hex()] for low, high in scale]


def _canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _little_endian(numbers: Iterable[float]) -> bytes:
    clean = array("d", map(add, numbers, repeat(0.0)))  # -0.0 + 0.0 is 0.0
    if sys.byteorder == "big":
        clean.byteswap()
    return clean.tobytes()


def _table(kind: str, values: Any, n: int, d: int) -> array[float]:
    """`_flat`, with the errors of a subject made in memory."""
    try:
        flat = _flat(values, n, d)
    except (TypeError, ValueError, OverflowError) as error:
        raise CertificateParseError(f"{kind}: expected numbers: {error}") from None
    if not all(map(math.isfinite, flat)):
        raise CertificateParseError(f"{kind}: expected finite numbers")
    return flat


def _labels(kind: str, texts: Iterable[str]) -> list[str]:
    labels = list(texts)
    if not labels or not all(type(text) is str and text for text in labels) or len(set(labels)) != len(labels):
        raise CertificateParseError(f"{kind}: expected distinct non-empty names, at least one")
    return labels


def _indices(kind: str, numbers: Iterable[int], limit: int) -> array[int]:
    """Numbers below `limit` that first appear in the order 0, 1, .., limit - 1."""
    try:
        found = array("I", numbers)
    except (TypeError, ValueError, OverflowError) as error:
        raise CertificateParseError(f"{kind}: expected integers >= 0: {error}") from None
    if list(dict.fromkeys(found)) != list(range(limit)):
        raise CertificateParseError(f"{kind}: expected the numbers 0 to {limit - 1}, in this order where first used")
    return found


def _swapped(numbers: array[Any]) -> bytes:
    """The bytes of integers, little-endian."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


@dataclass
class Answers:
    """Value vectors that an oracle told, most of them for a weight that it was asked (kind conditional).

    Parameters
    ----------
    rewards : list of str, length d
    weights : n rows of d floats >= 0, or a C-contiguous buffer of float64 of shape (n, d)
        The weights asked; a row of zeros, or None, for an answer told without a question. Kept as a flat array.
    values : n rows of d floats, or such a buffer
        The value vectors told. Kept as a flat array.

    Raises
    ------
    CertificateParseError
        Where shapes do not fit, a number is not finite, or a weight is negative.
    """

    rewards: list[str]
    weights: Any
    values: Any

    def __post_init__(self) -> None:
        self.rewards = _labels("answers: rewards", self.rewards)
        d = len(self.rewards)
        if isinstance(self.weights, (list, tuple)):
            self.weights = [(0.0,) * d if row is None else row for row in self.weights]
        try:
            self.count = len(self.values)
        except TypeError:
            raise CertificateParseError("answers: values: expected rows") from None
        if not self.count:
            raise CertificateParseError("answers: expected at least one answer")
        self.values = _table("answers: values", self.values, self.count, d)
        self.weights = _table("answers: weights", self.weights, self.count, d)
        if min(self.weights) < 0:
            raise CertificateParseError("answers: weights: expected numbers >= 0")

    def subject(self) -> dict[str, Any]:
        """What a certificate has under `subject`."""
        return {"type": "answers", "rewards": self.rewards, "answers": self.count}

    def sha256(self) -> str:
        """Hash of the canonical answers, 64 hex digits; see docs/certificate-format.md."""
        digest = hashlib.sha256(b"palm_opt answers 1\n")
        digest.update(_canonical({"answers": self.count, "rewards": self.rewards}) + b"\n")
        digest.update(_little_endian(self.weights))
        digest.update(_little_endian(self.values))
        return digest.hexdigest()


@dataclass
class Scores:
    """Rewards of responses that a reference policy gave to prompts (kind conditional, planned from the closed form).

    Parameters
    ----------
    rewards : list of str, length d
    counts : the number of responses to each prompt, >= 1
    values : N rows of d floats, or a C-contiguous buffer of float64 of shape (N, d)
        The rewards of all responses, prompt after prompt; N is the sum of `counts`. Kept as a flat array.
    log_weights : N floats or None
        Logarithms of the reference's weights, up to a constant for each prompt; None means equal weights.
    scale : "none" or list of (low, high)
        As for kind exact; a leading ``-`` of a reward negates its column.

    Raises
    ------
    CertificateParseError
        Where shapes do not fit or a number is not finite.
    """

    rewards: list[str]
    counts: Sequence[int]
    values: Any
    log_weights: Any = None
    scale: str | list[tuple[float, float]] = "none"

    def __post_init__(self) -> None:
        self.rewards = _labels("scores: rewards", self.rewards)
        try:
            self.counts = array("Q", self.counts)
        except (TypeError, ValueError, OverflowError) as error:
            raise CertificateParseError(f"scores: counts: expected integers >= 0: {error}") from None
        if not self.counts or min(self.counts) < 1:
            raise CertificateParseError("scores: counts: expected at least one prompt, and a response to each")
        self.values = _table("scores: values", self.values, sum(self.counts), len(self.rewards))
        if self.log_weights is not None:
            flat = [(x,) for x in self.log_weights]
            self.log_weights = _table("scores: log_weights", flat, sum(self.counts), 1)
        self.scale = _ranges("scores: scale", self.scale, len(self.rewards))
        if self.scale == "minmax":
            raise CertificateParseError('scores: scale: expected "none" or a list of (low, high)')

    def subject(self) -> dict[str, Any]:
        """What a certificate has under `subject`, the names of columns apart."""
        return {"type": "scores", "rewards": self.rewards, "prompts": len(self.counts)}

    def column(self, k: int) -> Sequence[float]:
        """Reward k of all responses, after sign and scale, within a relative 2^-51."""
        column: Sequence[float] = self.values[k :: len(self.rewards)]
        negated = self.rewards[k].startswith("-")
        if isinstance(self.scale, str):
            return [-x for x in column] if negated else column
        low, high = self.scale[k]
        return [(high - x if negated else x - low) / (high - low) for x in column]

    def sha256(self) -> str:
        """Hash of the canonical scores, 64 hex digits; see docs/certificate-format.md."""
        head = self.subject() | {"log_weight": self.log_weights is not None, "scale": _plain_scale(self.scale)}
        del head["type"]
        digest = hashlib.sha256(b"palm_opt scores 1\n")
        digest.update(_canonical(head) + b"\n")
        digest.update(_swapped(cast("array[int]", self.counts)))
        digest.update(_little_endian(self.values))
        if self.log_weights is not None:
            digest.update(_little_endian(self.log_weights))
        return digest.hexdigest()


@dataclass
class Samples:
    """Rewards of generations of candidates on prompts (kind statistical).

    Parameters
    ----------
    rewards : list of str, length d
    candidates, prompts : distinct names, n and m of them, in the order in which they first occur in the rows
    values : N rows of d floats, or a C-contiguous buffer of float64 of shape (N, d)
        One row a generation. Kept as a flat array.
    clusters : list of str, length m, or None
        The cluster of each prompt; None means that each prompt is one of its own, of the same name.
    prompt_of, candidate_of : N integers each
        The prompt and the candidate of each row, by position; without both of them N is m * n and row t is prompt
        t // n and candidate t % n.

    Raises
    ------
    CertificateParseError
        Where shapes do not fit, a number is not finite, or names repeat.
    """

    rewards: list[str]
    candidates: list[str]
    prompts: list[str]
    values: Any
    clusters: list[str] | None = None
    prompt_of: Iterable[int] | None = None
    candidate_of: Iterable[int] | None = None

    def __post_init__(self) -> None:
        for name in ("rewards", "candidates", "prompts"):
            setattr(self, name, _labels(f"samples: {name}", getattr(self, name)))
        n, m = len(self.candidates), len(self.prompts)
        if self.clusters is not None:
            self.clusters = list(self.clusters)
            if len(self.clusters) != m or not all(type(name) is str and name for name in self.clusters):
                raise CertificateParseError(f"samples: clusters: expected {m} non-empty names")
        if self.prompt_of is None or self.candidate_of is None:
            if self.prompt_of is not None or self.candidate_of is not None:
                raise CertificateParseError("samples: expected prompt_of and candidate_of, or neither")
            self.prompt_of = (x for x in range(m) for _ in range(n))
            self.candidate_of = (i for _ in range(m) for i in range(n))
        self.prompt_of = _indices("samples: prompt_of", self.prompt_of, m)
        self.candidate_of = _indices("samples: candidate_of", self.candidate_of, n)
        if len(self.prompt_of) != len(self.candidate_of):
            raise CertificateParseError("samples: prompt_of and candidate_of: expected the same length")
        self.values = _table("samples: values", self.values, len(self.prompt_of), len(self.rewards))

    def subject(self) -> dict[str, Any]:
        """What a certificate has under `subject`."""
        head = {"type": "samples", "rewards": self.rewards, "candidates": len(self.candidates)}
        rows = len(cast("array[int]", self.prompt_of))
        return head | {"prompts": len(self.prompts), "rows": rows, "cluster": self.clusters is not None}

    def sha256(self) -> str:
        """Hash of the canonical samples, 64 hex digits; see docs/certificate-format.md."""
        head = self.subject()
        del head["type"]
        digest = hashlib.sha256(b"palm_opt samples 1\n")
        digest.update(_canonical(head) + b"\n")
        digest.update(_swapped(cast("array[int]", self.prompt_of)))
        digest.update(_swapped(cast("array[int]", self.candidate_of)))
        digest.update(_little_endian(self.values))
        digest.update(_canonical([self.candidates, self.prompts, self.clusters]))
        return digest.hexdigest()


Subject = Problem | Answers | Scores | Samples


# The files


def read_subject(path: str | Path, document: Document) -> Subject:
    """Read the file that a certificate of any kind speaks of; raises as `read_values` does."""
    subject = document["subject"]
    if document["kind"] == "exact":
        return read_values(path, subject, document["scale"])
    read: dict[str, Callable[[str | Path, dict[str, Any]], Subject]] = {
        "answers": read_answers, "samples": read_samples,
    }  # fmt: skip
    if subject["type"] == "scores":
        return read_scores(path, subject, document["scale"])
    return read[subject["type"]](path, subject)


def read_values(path: str | Path, subject: dict[str, Any], scale: str | list[Any]) -> Problem:
    """Read the values file that a certificate of kind exact speaks of.

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
    table = _Table(path)
    columns = [table.find(name.removeprefix("-")) for name in rewards]
    costs_at = None if cost_column is None else table.find(cost_column)
    names_at = None if id_column is None else table.find(id_column)
    names: dict[str, None] = {}
    numbers, costs = array("d"), array("d")
    for row in table.rows("candidate"):
        numbers.extend([table.number(row, at) for at in columns])
        if costs_at is not None:
            costs.append(table.number(row, costs_at, least=0))
        name = str(len(names)) if names_at is None else row[names_at]
        if not name or name in names:
            what = "is repeated" if name else "is empty"
            raise CertificateParseError(f"{table.where()}: the name {_show(name)} {what}")
        names[name] = None
    return Problem(list(names), rewards, numbers, None if costs_at is None else list(costs), _from_hex(scale))


def _from_hex(scale: str | list[Any]) -> str | list[Any]:
    if isinstance(scale, str):
        return scale
    return [tuple(float.fromhex(end) if isinstance(end, str) else end for end in pair) for pair in scale]


def read_answers(path: str | Path, subject: dict[str, Any]) -> Answers:
    """Read the answers that a conditional certificate speaks of: columns w_REWARD (empty where not asked), v_REWARD."""
    table = _Table(path)
    asked_at = [table.find(f"w_{name}") for name in subject["rewards"]]
    values_at = [table.find(f"v_{name}") for name in subject["rewards"]]
    weights, values = [], []
    for row in table.rows("answer"):
        values.append([table.number(row, at) for at in values_at])
        if any(row[at] for at in asked_at):
            weights.append([table.number(row, at, least=0) for at in asked_at])
            if not any(weights[-1]):
                raise CertificateParseError(f"{table.where()}: expected a weight that is not all 0")
        else:
            weights.append([0.0] * len(asked_at))
    return Answers(subject["rewards"], weights, values)


def read_scores(path: str | Path, subject: dict[str, Any], scale: str | list[Any]) -> Scores:
    """Read the scores that a conditional certificate speaks of: a column of prompts, the rewards, maybe log weights."""
    table = _Table(path)
    prompt_at = table.find(subject["prompt"])
    columns = [table.find(name.removeprefix("-")) for name in subject["rewards"]]
    weight_at = None if subject["log_weight"] is None else table.find(subject["log_weight"])
    counts: dict[str, int] = {}
    values, log_weights = array("d"), array("d")
    last = None
    for row in table.rows("response"):
        prompt = row[prompt_at]
        if prompt != last and prompt in counts:
            raise CertificateParseError(f"{table.where()}: prompt {_show(prompt)} comes again after another prompt")
        last = prompt
        counts[prompt] = counts.get(prompt, 0) + 1
        values.extend([table.number(row, at) for at in columns])
        if weight_at is not None:
            log_weights.append(table.number(row, weight_at))
    log_weights_read = None if weight_at is None else log_weights
    return Scores(subject["rewards"], list(counts.values()), values, log_weights_read, _from_hex(scale))


def read_samples(path: str | Path, subject: dict[str, Any]) -> Samples:
    """Read the samples that a statistical certificate speaks of: prompt, candidate, the rewards, maybe cluster."""
    table = _Table(path)
    prompt_at, candidate_at = table.find("prompt"), table.find("candidate")
    cluster_at = table.find("cluster") if subject["cluster"] else None
    columns = [table.find(name) for name in subject["rewards"]]
    prompts: dict[str, int] = {}
    candidates: dict[str, int] = {}
    clusters: list[str] = []
    prompt_of, candidate_of, values = array("I"), array("I"), array("d")
    for row in table.rows("generation"):
        prompt = prompts.setdefault(row[prompt_at], len(prompts))
        prompt_of.append(prompt)
        candidate_of.append(candidates.setdefault(row[candidate_at], len(candidates)))
        values.extend([table.number(row, at) for at in columns])
        if cluster_at is not None:
            if prompt == len(clusters):
                clusters.append(row[cluster_at])
            elif clusters[prompt] != row[cluster_at]:
                raise CertificateParseError(f"{table.where()}: the prompt has another cluster further up")
    named = None if cluster_at is None else clusters
    try:
        return Samples(subject["rewards"], list(candidates), list(prompts), values, named, prompt_of, candidate_of)
    except CertificateParseError as error:
        raise CertificateParseError(f"{path}: {error}") from None


def _check_file(path: Path, most: int, what: str = "", pipe: bool = False) -> None:
    """Refuse what may never end: a device, a pipe (unless allowed), a file of more than `most` bytes."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not (pipe and stat.S_ISFIFO(found.st_mode)):
        raise CertificateParseError(f"{path}: expected a regular file")
    if found.st_size > most:
        raise CertificateParseError(f"{path}: {what}expected at most {most} bytes")


class _Table:
    """A CSV file, read row by row; errors name the file and the line."""

    def __init__(self, path: str | Path) -> None:
        self.path, self.line = Path(path), 0
        _check_file(self.path, MAX_VALUES_BYTES)
        self.lines = self._read()
        self.header = next(self.lines, [])
        if not self.header:
            raise CertificateParseError(f"{self.path}: line 1: expected a header")

    def _read(self) -> Iterator[list[str]]:
        with self.path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(self._lines(stream), strict=True)
            try:
                for row in reader:
                    self.line = reader.line_num
                    if row:
                        yield row
            except UnicodeDecodeError as error:
                raise CertificateParseError(f"{self.path}: after line {self.line}: expected UTF-8: {error}") from None
            except csv.Error as error:
                raise CertificateParseError(f"{self.path}: line {reader.line_num}: not CSV: {error}") from None

    def _lines(self, stream: TextIO) -> Iterator[str]:
        while line := stream.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise CertificateParseError(f"{self.path}: after line {self.line}: longer than {MAX_LINE} characters")
            yield line

    def where(self) -> str:
        return f"{self.path}: line {self.line}"

    def find(self, name: str) -> int:
        """The position of a column."""
        if self.header.count(name) != 1:
            found = "is missing" if name not in self.header else "occurs twice"
            raise CertificateParseError(f"{self.path}: line 1: the column {_show(name)} {found}")
        return self.header.index(name)

    def rows(self, what: str) -> Iterator[list[str]]:
        """The rows after the header, at least one."""
        row = None
        for row in self.lines:
            if len(row) != len(self.header):
                raise CertificateParseError(f"{self.where()}: expected {len(self.header)} fields, got {len(row)}")
            yield row
        if row is None:
            raise CertificateParseError(f"{self.path}: line {self.line + 1}: expected at least one {what}")

    def number(self, row: list[str], at: int, least: float = -math.inf) -> float:
        """The number in one field."""
        text = row[at]
        number = float(text) if len(text) <= MAX_NUMBER_TEXT and _NUMBER.fullmatch(text) else math.nan
        if not (math.isfinite(number) and number >= least):
            what = "a finite number" if least < 0 else "a finite number >= 0"
            column = _show(self.header[at])
            raise CertificateParseError(f"{self.where()}: column {column}: expected {what}, got {_show(text)}")
        return number


# The document


def read_certificate(path: str | Path) -> Document:
    """Read and `parse` a certificate file; the message of a `CertificateParseError` starts with its path."""
    _check_file(Path(path), MAX_BYTES, "certificate: ", pipe=True)
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
    if not isinstance(loaded, dict):
        _expected("certificate", "an object", loaded)
    kind = loaded.get("kind", "exact")
    if type(kind) is not str or kind not in _PARSERS:
        _expected("kind", '"exact", "conditional" or "statistical"', kind)
    document = Document(loaded)
    _PARSERS[kind](document)
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


def _boolean(where: str, value: Any) -> bool:
    if type(value) is not bool:
        _expected(where, "true or false", value)
    return value


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
            what = "an integer" if least < -1 else f"an integer >= {least}"
            _expected(f"{place}[{i}]", f"{what} of at most {MAX_DIGITS} digits", number)


def _tolerance(where: str, value: Any) -> float:
    text = _text(where, value)
    number = math.nan
    if _TOLERANCE.fullmatch(text):
        with suppress(OverflowError):
            number = float.fromhex(text)
    if number.hex() != text:
        _expected(where, "a hex-float as float.hex() writes it", value)
    return number


def _tolerances(where: str, value: Any, count: int) -> list[float]:
    if len(_list(where, value)) != count:
        _expected(where, f"{count} hex-floats", value)
    return [_tolerance(f"{where}[{k}]", text) for k, text in enumerate(value)]


def _ratio(where: str, value: Any) -> Fraction:
    text = _text(where, value)
    if not _RATIO.fullmatch(text):
        _expected(where, f'a ratio "p" or "p/q", q > 0, of integers of at most {MAX_DIGITS} digits', value)
    return Fraction(*_top_and_bottom(text))


def _top_and_bottom(ratio: str) -> tuple[int, int]:
    top, _, bottom = ratio.partition("/")
    return _to_int(top), _to_int(bottom) if bottom else 1


def _parse_labels(document: Document) -> None:
    if _text("format", document["format"]) != "palm_opt certificate":
        _expected("format", '"palm_opt certificate"', document["format"])
    if _text("objective", document["objective"]) not in ("reward", "reward_minus_kl"):
        _expected("objective", '"reward" or "reward_minus_kl"', document["objective"])
    if type(document["version"]) is not int or document["version"] != 1:
        _expected("version", "1", document["version"])
    if not _HASH.fullmatch(_text("sha256", document["sha256"])):
        _expected("sha256", "64 digits 0-9a-f", document["sha256"])
    _keys("producer", document["producer"], frozenset({"name", "version"}))
    for key in ("name", "version"):
        _text(f"producer.{key}", document["producer"][key])
    for key in ("epsilon", "delta"):
        _tolerance(key, document[key])


def _parse_exact(document: Document) -> None:
    _keys("certificate", document, _EXACT_KEYS, frozenset({"packing", "branching"}))
    _parse_labels(document)
    subject = document["subject"]
    _keys("subject", subject, frozenset({"id", "rewards", "cost", "candidates"}))
    for key in ("id", "cost"):
        if subject[key] is not None and not _text(f"subject.{key}", subject[key]):
            _expected(f"subject.{key}", "a column name or null", subject[key])
    if not all(name.removeprefix("-") for name in _texts("subject.rewards", subject["rewards"])):
        _expected("subject.rewards", "column names", "-")
    if not subject["rewards"] or _integer("subject.candidates", subject["candidates"]) < 1:
        raise CertificateParseError("subject: expected at least one reward and one candidate")
    _parse_scale(document["scale"], len(subject["rewards"]))
    for key in ("required", "forbidden", "members"):
        _texts(key, document[key])
    _integers("dominators", document["dominators"], -1)
    _parse_multipliers(document["multipliers"])
    if document["lower_bound"] != "infinity":
        _ratio("lower_bound", document["lower_bound"])
    if "packing" in document and "branching" in document:
        raise CertificateParseError("certificate: expected packing or branching, not both")
    if "packing" in document:
        _keys("packing", document["packing"], frozenset({"weights", "y"}))
        _parse_proof("packing", document["packing"])
    if "branching" in document:
        _keys("branching", document["branching"], frozenset({"weights", "nodes"}))
        _parse_proof("branching", document["branching"])


def _parse_multipliers(multipliers: Any) -> None:
    for i, row in enumerate(_list("multipliers", multipliers)):
        _integers("multipliers", row, 0, i)
        if len(row) < 3 or len(row) % 2 == 0:
            _expected(f"multipliers[{i}]", "[i, p, a, p, a, ...]", row)
        if min(row[2::2]) < 1:
            _expected(f"multipliers[{i}]", "positive integers a", row)


def _parse_conditional(document: Document) -> None:
    subject = document.get("subject")
    scores = isinstance(subject, dict) and subject.get("type") == "scores"
    _keys("certificate", document, _SCORES_KEYS if scores else _ANSWERS_KEYS, frozenset({"answered"}))
    _parse_labels(document)
    names: dict[str, type] = {"prompts": int, "prompt": str, "log_weight": str}
    d = _parse_subject(document, names if scores else {"answers": int})
    if scores:
        if document["scale"] == "minmax":
            _expected("scale", '"none" or a list', document["scale"])
        _parse_scale(document["scale"], d)
        _tolerance("beta", document["beta"])
        for j, weight in enumerate(_list("weights", document["weights"])):
            _tolerances(f"weights[{j}]", weight, d)
    else:
        _tolerances("oracle_error", document["oracle_error"], 2)
        if document["floor"] is not None:
            _tolerances("floor", document["floor"], d)
    _integers("members", document["members"], 0)
    if type(document["exponent"]) is not int or abs(document["exponent"]) > MAX_EXPONENT:
        _expected("exponent", f"an integer from {-MAX_EXPONENT} to {MAX_EXPONENT}", document["exponent"])
    _parse_points("points", document["points"], d)
    if _integer("denominator", document["denominator"]) < 1:
        _expected("denominator", "an integer >= 1", document["denominator"])
    for at, row in enumerate(_list("corners", document["corners"])):
        _integers("corners", row, 0, at)
        if len(row) < d or (len(row) - d) % 2:
            _expected(f"corners[{at}]", f"{d} numbers of facets and members, and pairs j, m", row)
    if "answered" in document:
        answered = document["answered"]
        keys = frozenset({"lower_bound", "weights", "points"})
        last = "nodes" if isinstance(answered, dict) and "nodes" in answered else "y"
        _keys("answered", answered, keys | {last})
        _ratio("answered.lower_bound", answered["lower_bound"])
        _parse_points("answered.points", answered["points"], d)
        _parse_proof("answered", answered)


def _parse_statistical(document: Document) -> None:
    _keys("certificate", document, _SAMPLES_KEYS)
    _parse_labels(document)
    d = _parse_subject(document, {"candidates": int, "prompts": int, "rows": int, "cluster": bool})
    if document["objective"] != "reward":
        _expected("objective", '"reward"', document["objective"])
    if _text("scale", document["scale"]) not in ("none", "ranges"):
        _expected("scale", '"none" or "ranges"', document["scale"])
    _list("ranges", document["ranges"])
    _parse_scale(document["ranges"], d, "ranges")
    _tolerance("alpha", document["alpha"])
    if _text("method", document["method"]) not in ("betting", *_METHODS):
        _expected("method", '"betting", "bernstein" or "hoeffding"', document["method"])
    _integer("look", document["look"])
    _boolean("simultaneous", document["simultaneous"])
    if document["bets"] is not None:
        if document["method"] != "betting":
            _expected("bets", "null, since the method is not betting", document["bets"])
        for i, row in enumerate(_list("bets", document["bets"])):
            _integers("bets", row, 1, i)
            if len(row) != d or max(row) > 1023:
                _expected(f"bets[{i}]", f"{d} integers from 1 to 1023", row)
    certification = document["certification"]
    if isinstance(certification, dict) and "clusters" in certification:
        _keys("certification", certification, frozenset({"clusters"}))
        _texts("certification.clusters", certification["clusters"])
    else:
        _keys("certification", certification, frozenset({"seed", "selection"}))
        _integer("certification.seed", certification["seed"])
        _tolerance("certification.selection", certification["selection"])
    _texts("members", document["members"])
    _parse_multipliers(document["multipliers"])


def _parse_subject(document: Document, types: dict[str, type]) -> int:
    """Check `subject` of the kinds that name its type; the number of rewards."""
    subject = document["subject"]
    expected = {"conditional": ("answers", "scores"), "statistical": ("samples",)}[document["kind"]]
    _keys("subject", subject, frozenset({"type", "rewards", *types}))
    if _text("subject.type", subject["type"]) not in expected:
        _expected("subject.type", " or ".join(f'"{name}"' for name in expected), subject["type"])
    rewards = _texts("subject.rewards", subject["rewards"])
    if not 1 <= len(rewards) <= MAX_REWARDS or len(set(rewards)) < len(rewards):
        raise CertificateParseError(f"subject.rewards: expected 1 to {MAX_REWARDS} distinct names")
    for key, kind in types.items():
        if kind is int:
            _integer(f"subject.{key}", subject[key])
        elif kind is str and (key == "prompt" or subject[key] is not None):
            _texts(f"subject.{key}", [subject[key]])
        elif kind is bool:
            _boolean(f"subject.{key}", subject[key])
    return len(rewards)


def _parse_points(where: str, points: Any, d: int) -> None:
    for at, row in enumerate(_list(where, points)):
        _integers(where, row, 1 - _INTEGER_LIMIT, at)
        if len(row) != d:
            _expected(f"{where}[{at}]", f"{d} integers", row)


_PARSERS = {"exact": _parse_exact, "conditional": _parse_conditional, "statistical": _parse_statistical}


def _parse_scale(scale: Any, d: int, where: str = "scale") -> None:
    if isinstance(scale, str):
        if scale not in ("none", "minmax"):
            _expected(where, '"none", "minmax" or a list', scale)
        return
    if len(_list(where, scale)) != d:
        raise CertificateParseError(f"{where}: expected {d} pairs, got {len(scale)}")
    for k, pair in enumerate(scale):
        if len(_list(f"{where}[{k}]", pair)) != 2:
            _expected(f"{where}[{k}]", "[low, high]", pair)
        if not _tolerance(f"{where}[{k}][0]", pair[0]) < _tolerance(f"{where}[{k}][1]", pair[1]):
            raise CertificateParseError(f"{where}[{k}]: expected low < high")


def _parse_proof(where: str, proof: dict[str, Any]) -> None:
    """Check the types of the weights, and of the y or the nodes, of a proof of size."""
    for j, weight in enumerate(_list(f"{where}.weights", proof["weights"])):
        _integers(f"{where}.weights", weight, 0, j)
    for j, y in enumerate(_list(f"{where}.y", proof.get("y", []))):
        _ratio(f"{where}.y[{j}]", y)
    for at, node in enumerate(_list(f"{where}.nodes", proof.get("nodes", []))):
        place = f"{where}.nodes[{at}]"
        if not isinstance(node, list) or len(node) != 2:
            _expected(place, '["branch", i], ["packing", [...]] or ["uncovered", j]', node)
        if type(node[0]) is str and node[0] in ("branch", "uncovered"):
            _integer(place, node[1])
        elif type(node[0]) is str and node[0] == "packing":
            for pair in _list(place, node[1]):
                if not isinstance(pair, list) or len(pair) != 2:
                    _expected(place, "pairs [j, ratio]", pair)
                _integer(place, pair[0])
                if type(pair[1]) is not str or not _RATIO.fullmatch(pair[1]):
                    _ratio(place, pair[1])  # says what is wrong
        else:
            _expected(place, '"branch", "packing" or "uncovered"', node[0])


# The check


@dataclass(frozen=True)
class Verified:
    """What an exact check has proved. `str()` is the last line of the checker."""

    kind: str  # "exact": about a finite pool; "conditional": under `details`; "statistical": with confidence 1 - alpha
    members: int  # size of the portfolio; 0 where it is proved that there is none
    cost: Fraction  # sum of the costs of the members
    lower_bound: Fraction | float  # what every portfolio costs at least; math.inf where there is none
    epsilon: float  # the tolerances at which the portfolio serves every weight
    delta: float
    sha256: str  # of the subject
    details: dict[str, Any] = field(default_factory=dict)  # on what it is conditional, or how it was sampled

    def __str__(self) -> str:
        fields = {name: value for name, value in self.as_dict().items() if name != "verified"}
        return "VERIFIED " + " ".join(f"{name}={_word(value)}" for name, value in fields.items())

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
            **self.details,
            "sha256": self.sha256,
        }


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


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
    return f"about {_about(number)}"


def _about(number: Fraction) -> str:
    try:
        return repr(float(number))
    except OverflowError:
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


def check(document: Document | dict[str, Any], subject: Subject) -> Verified:
    """Check every claim of a certificate, in exact arithmetic or with rounding to the safe side.

    Parameters
    ----------
    document : Document or dict
        The certificate; a dict that does not come from `parse` is parsed first.
    subject : Problem, Answers, Scores or Samples
        What it speaks of, from `read_subject` or made by hand.

    Raises
    ------
    InvalidCertificate
        The first claim that fails. `CertificateParseError` where the document is not a certificate at all, or is one
        about another kind of subject.
    """
    document = document if type(document) is Document else parse(document)
    if document["kind"] == "exact" and isinstance(subject, Problem):
        return _check_exact(document, subject)
    if document["kind"] == "statistical" and isinstance(subject, Samples):
        return _check_statistical(document, subject)
    about = document["subject"].get("type", "values")
    if isinstance(subject, (Answers, Scores)) and subject.subject()["type"] == about:
        return _check_conditional(document, subject)
    raise CertificateParseError(f"subject: the certificate is about {about}, not about {type(subject).__name__}")


def _check_exact(document: Document, problem: Problem) -> Verified:
    claim = _resolve(document, problem)
    lower_bound: Fraction | float = math.inf
    if document["lower_bound"] != "infinity":
        lower_bound = _ratio("lower_bound", document["lower_bound"])
    if (lower_bound == math.inf) != (not claim.members):
        raise InvalidCertificate('lower_bound: "infinity" goes with an empty list of members, and only with it')
    order = _check_dominators(claim)
    proof = _proof(document, len(problem.rewards))
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


def _match(document: Document, subject: Answers | Scores | Samples) -> tuple[Fraction, Fraction]:
    """Match the document with its subject; epsilon and delta."""
    for key, found in subject.subject().items():
        if document["subject"][key] != found:
            what = f"{_show(document['subject'][key])} claimed, the file has {_show(found)}"
            raise InvalidCertificate(f"subject.{key}: {what}")
    found = subject.sha256()
    if found != document["sha256"]:
        raise InvalidCertificate(f"sha256: the certificate is about {document['sha256']}, the file is {found}")
    epsilon, delta = _levels(document)
    return Fraction(epsilon), Fraction(delta)


def _levels(document: Document) -> tuple[float, float]:
    epsilon, delta = (float.fromhex(document[key]) + 0.0 for key in ("epsilon", "delta"))
    if not 0 <= epsilon < 1:
        raise InvalidCertificate(f"epsilon: {epsilon!r} is not in [0, 1)")
    if delta < 0:
        raise InvalidCertificate(f"delta: {delta!r} is below 0")
    return epsilon, delta


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
    if _from_hex(scale) != problem.scale:
        raise InvalidCertificate("scale: not the scale of the values")
    found = problem.sha256()
    if found != document["sha256"]:
        raise InvalidCertificate(f"sha256: the certificate is about {document['sha256']}, the values are {found}")
    epsilon, delta = _levels(document)
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
    for start, above in enumerate(dominators):
        if state[start]:
            continue
        if state[above] == 1:
            state[start] = 1
            order.append(start)
            continue
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


def _proof(document: dict[str, Any], d: int) -> tuple[list[list[int]], list[list[Any]]] | None:
    """The weights and the tree of a proof of size; None where there is none."""
    where = next((key for key in ("packing", "branching", "answered") if key in document), None)
    if where is None:
        return None
    weights: list[list[int]] = document[where]["weights"]
    if "y" in document[where]:
        y = document[where]["y"]
        if len(y) != len(weights):
            raise InvalidCertificate(f"{where}: {len(weights)} weights and {len(y)} y")
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
    costs = claim.problem.costs or [1.0] * n
    cheapest = [math.inf] * n  # cost of the cheapest such dominator
    for i in order:
        j = dominators[i]
        if j in claim.required:
            cheapest[i] = -1.0
        elif j in claim.forbidden or j in branched or cheapest[j] < costs[j]:
            cheapest[i] = cheapest[j]
        else:
            cheapest[i] = costs[j]
    looked_at = claim.required | branched
    rest = [i for i, (own, least) in enumerate(zip(costs, cheapest, strict=True)) if own < least or i in looked_at]
    return [i for i in rest if i not in claim.forbidden]


def _tree(claim: _Claim, exact: _Exact, weights: list[list[int]], selectable: list[int]) -> _Tree:
    """The root of the proof of size."""
    rows = list(exact.position)
    required = sum(1 << exact.position[i] for i in claim.required)
    undecided = sum(1 << exact.position[i] for i in selectable) & ~required
    costs = enumerate(claim.problem.costs or ())
    whole = all(cost.is_integer() for i, cost in costs if i not in claim.forbidden)
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


# Kind conditional


class _Outer:
    """Upper bounds on OPT from questions: W_j.v <= upper_j for all admissible v, and v >= floor where that is known.

    For w = sum mu_j W_j + r with mu >= 0, OPT(w) <= sum mu_j upper_j + sum_k r_k b_k, where b_k is an upper bound of
    all v_k (`ceiling`) if r_k > 0 and a lower bound (`floor`) if r_k < 0. Weights are integers over `unit`, all bounds
    integers over `scale`.
    """

    def __init__(self, asked: dict[int, Sequence[float]], upper: dict[int, Fraction], floor: list[Fraction] | None):
        d = len(next(iter(asked.values()), ()))
        flat, self.unit = _common_integers([x for weight in asked.values() for x in weight])
        self.weights = {j: flat[at * d : at * d + d] for at, j in enumerate(asked)}
        ceiling: list[Fraction | None] = []
        for k in range(d):
            found = []
            for j, weight in self.weights.items():
                rest = [i for i in range(d) if i != k and weight[i]]
                if weight[k] and (floor or not rest):
                    others = sum((weight[i] * floor[i] for i in rest), Fraction(0)) if floor else Fraction(0)
                    found.append((upper[j] * self.unit - others) / weight[k])
            ceiling.append(min(found, default=None))
        bounds = [*upper.values(), *(floor or ()), *(b for b in ceiling if b is not None)]
        self.scale = math.lcm(*(b.denominator for b in bounds))
        self.upper = {j: int(b * self.scale) for j, b in upper.items()}
        self.ceiling = [None if b is None else int(b * self.scale) for b in ceiling]
        self.floor = None if floor is None else [int(b * self.scale) for b in floor]

    def bound(self, where: str, x: list[int], pairs: list[int], denominator: int) -> int:
        """A bound on OPT(x / sum x) times (sum x) denominator unit scale; mu_j = m / denominator for the pairs j, m."""
        if len(set(pairs[::2])) < len(pairs) // 2:
            raise InvalidCertificate(f"{where}: an answer is repeated")
        total, whole = sum(x), denominator * self.unit
        left = [whole * a for a in x]
        spent = 0
        for j, m in zip(pairs[::2], pairs[1::2], strict=True):
            weight = self.weights.get(j)
            if weight is None:
                raise InvalidCertificate(f"{where}: answer {_show(j)} is not one to a weight")
            spent += m * self.upper[j]
            taken = m * total
            left = [a - taken * b for a, b in zip(left, weight, strict=True)]
        spent *= total * self.unit
        for k, rest in enumerate(left):
            if rest:
                end = self.ceiling[k] if rest > 0 else self.floor[k] if self.floor else None
                if end is None:
                    what = "above a question about it alone" if rest > 0 else "below 0, and there is no floor"
                    raise InvalidCertificate(f"{where}: the rest of the weight in reward {k} is {what}")
                spent += rest * end
        return spent


@dataclass(frozen=True)
class _Promise:
    """What a conditional certificate claims, in exact numbers."""

    document: Document
    d: int
    epsilon: Fraction
    delta: Fraction
    outer: _Outer
    lower: dict[int, Sequence[float]]  # lower bounds of the value vectors of the members, by row
    values: array[float]  # upper bounds of all value vectors, flat; only read with `answered`
    spare: dict[int, Fraction]  # lower bounds of the least upper bounds that the questions prove; only with `answered`
    floor: list[Fraction] | None


def _check_conditional(document: Document, subject: Answers | Scores) -> Verified:
    epsilon, delta = _match(document, subject)
    count = subject.count if isinstance(subject, Answers) else len(document["weights"])
    members: list[int] = document["members"]
    if not members or len(set(members)) < len(members) or max(members) >= count:
        raise InvalidCertificate(f"members: expected distinct numbers below {count}, at least one")
    details: dict[str, Any]
    if isinstance(subject, Answers):
        promise = _promise_of_answers(document, subject, epsilon, delta)
        error, floor = document["oracle_error"], document["floor"]
        details = {"reference": "oracle", "oracle_error": [float.fromhex(x) for x in error]}
        details["floor"] = None if floor is None else [float.fromhex(x) for x in floor]
        details["answers"] = count
    else:
        promise = _promise_of_scores(document, subject, epsilon, delta)
        details = {"reference": "gibbs", "beta": float.fromhex(document["beta"])}
        details |= {"prompts": len(subject.counts), "planned": count}
    _check_corners(promise)
    if "answered" in document:
        details["answered_lower_bound"] = _plain(_check_answered(promise, count))
    size, levels = len(members), (float(epsilon), float(delta))
    return Verified("conditional", size, Fraction(size), Fraction(0), *levels, document["sha256"], details)


def _promise_of_answers(document: Document, answers: Answers, epsilon: Fraction, delta: Fraction) -> _Promise:
    """The bounds that answers prove under the stated error of the oracle, checked against each other."""
    d, n = len(answers.rewards), answers.count
    eta, gamma = (Fraction(float.fromhex(text)) for text in document["oracle_error"])
    if not 0 <= eta < 1 or gamma < 0:
        raise InvalidCertificate("oracle_error: expected 0 <= eta < 1 and gamma >= 0")
    floor = None
    if document["floor"] is not None:
        floor = [Fraction(float.fromhex(text)) for text in document["floor"]]
        for k, low in enumerate(floor):
            column = answers.values[k::d]
            if min(column) < low:
                i = column.index(min(column))
                raise InvalidCertificate(f"floor: answer {i} is below it in {_show(answers.rewards[k])}")
    weights = [answers.weights[j * d : j * d + d] for j in range(n)]
    asked: dict[int, Sequence[float]] = {j: weight for j, weight in enumerate(weights) if any(weight)}
    if not asked:
        raise InvalidCertificate("answers: none is to a weight, so nothing bounds the optimum")
    integers, unit = _common_integers(list(answers.values))
    columns = [integers[k::d] for k in range(d)]
    questions, question_unit = _common_integers([x for weight in asked.values() for x in weight])
    packed = _Packed(columns, [max(questions[k::d]) for k in range(d)])
    upper: dict[int, Fraction] = {}
    for at, j in enumerate(asked):
        question = questions[at * d : at * d + d]
        told = Fraction(sum(map(mul, question, integers[j * d : j * d + d])), unit * question_unit)
        upper[j] = (told + gamma * Fraction(sum(question), question_unit)) / (1 - eta)
        scores, most = packed.scores(question), math.floor(upper[j] * unit * question_unit)
        if packed.largest(scores) > most:
            i = next(_bits(packed.reach(scores, most + 1))).bit_length() - 1
            raise InvalidCertificate(f"oracle_error: answer {i} is better for the weight of answer {j} than it allows")
    lower = {i: answers.values[i * d : i * d + d] for i in document["members"]}
    outer = _Outer(asked, upper, floor)
    return _Promise(document, d, epsilon, delta, outer, lower, answers.values, upper, floor)


def _promise_of_scores(document: Document, scores: Scores, epsilon: Fraction, delta: Fraction) -> _Promise:
    """The bounds of the closed form at the planned weights, with their rounding margins."""
    if _from_hex(document["scale"]) != scores.scale:
        raise InvalidCertificate("scale: not the scale of the scores")
    if (document["subject"]["log_weight"] is None) != (scores.log_weights is None):
        raise InvalidCertificate("subject.log_weight: the certificate and the scores do not both have log weights")
    beta = float.fromhex(document["beta"])
    if beta <= 0:
        raise InvalidCertificate("beta: expected a number > 0")
    if len(document["weights"]) > MAX_WEIGHTS:
        raise InvalidCertificate(f"weights: more than {MAX_WEIGHTS} are beyond this checker")
    gibbs = _Gibbs(scores, beta)
    needed = range(len(document["weights"])) if "answered" in document else frozenset(document["members"])
    asked: dict[int, Sequence[float]] = {}
    upper, spare = {}, {}
    lower: dict[int, Sequence[float]] = {}
    values = array("d")
    for j, texts in enumerate(document["weights"]):
        weight = [float.fromhex(text) for text in texts]
        if min(weight) < 0 or not any(weight):
            raise InvalidCertificate(f"weights: weight {j} is not >= 0, or all 0")
        total = sum(map(Fraction, weight))
        optimum, vector = gibbs.evaluate([float(Fraction(x) / total) for x in weight], j in needed)
        asked[j] = weight
        upper[j] = total * (Fraction(optimum) + gibbs.margin)
        spare[j] = total * (Fraction(optimum) - gibbs.margin)
        lower[j] = [math.nextafter(x - gibbs.value_margin, -math.inf) for x in vector]
        values.extend(math.nextafter(x + gibbs.value_margin, math.inf) for x in vector)
    return _Promise(document, gibbs.d, epsilon, delta, _Outer(asked, upper, None), lower, values, spare, None)


class _Gibbs:
    """OPT(w) = mean_x beta log sum_y q exp(w.r / beta) of the closed form, and the value vectors of its policies.

    Floats, rounded to nearest; `margin` bounds the error of OPT(w), `value_margin` that of each value. The error is
    that of sums of at most d + 1 terms of size A = max |r| / beta + max |log q| in the exponents, and of `math.exp` and
    `math.log`, which are taken to be right to a relative 2^-46 (docs/theory.md, L7).
    """

    def __init__(self, scores: Scores, beta: float) -> None:
        self.d, self.beta = len(scores.rewards), beta
        self.columns = [scores.column(k) for k in range(self.d)]
        self.log_weights = scores.log_weights
        ends = [0, *accumulate(scores.counts)]
        self.prompts = [slice(a, b) for a, b in pairwise(ends)]
        largest = max(max(map(abs, column)) for column in self.columns)
        size = largest / beta
        if self.log_weights:
            size += max(max(self.log_weights), -min(self.log_weights))
        finite = isinstance(scores.scale, str) or all(high - low < math.inf for low, high in scores.scale)
        if not (finite and size < 2.0**30):
            raise InvalidCertificate("beta: rewards are too large, beside it or at all, for this checker")
        error = (self.d + 8) * size * 2.0**-49 + 2.0**-38
        self.margin = Fraction(beta * error) + Fraction(largest * 2.0**-48)
        self.value_margin = 4 * (largest + beta) * error
        self.norms = [math.log(piece.stop - piece.start) for piece in self.prompts]
        if self.log_weights:
            self.norms = [self._sum(self.log_weights[piece])[0] for piece in self.prompts]

    @staticmethod
    def _sum(exponents: Sequence[float]) -> tuple[float, list[float], float]:
        """log sum exp, the terms over the largest of them, and their sum."""
        top = max(exponents)
        terms = list(map(math.exp, map(sub, exponents, repeat(top))))
        total = math.fsum(terms)
        return top + math.log(total), terms, total

    def evaluate(self, weight: list[float], with_value: bool) -> tuple[float, list[float]]:
        """OPT at a weight with sum 1, and the value vector of its policy (zeros where it is not asked for)."""
        exponents = self.log_weights or [0.0] * len(self.columns[0])
        for column, w in zip(self.columns, weight, strict=True):
            if w:
                exponents = list(map(add, exponents, map(mul, column, repeat(w / self.beta))))
        logs = []
        parts: list[list[float]] = [[] for _ in self.columns]
        for piece, norm in zip(self.prompts, self.norms, strict=True):
            log, terms, total = self._sum(exponents[piece])
            logs.append(log - norm)
            for part, column in zip(parts, self.columns, strict=True) if with_value else ():
                part.append(math.fsum(map(mul, terms, column[piece])) / total)
        optimum = self.beta * (math.fsum(logs) / len(logs))
        if not with_value:
            return optimum, [0.0] * self.d
        rewards = [math.fsum(part) / len(part) for part in parts]
        penalty = math.fsum(map(mul, weight, rewards)) - optimum  # beta KL, since w.v = OPT(w)
        return optimum, [reward - penalty for reward in rewards]


def _power(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def _check_corners(promise: _Promise) -> None:
    """Check that all corners of the members' envelope are listed, and that the promise holds at each of them.

    The envelope is of points v' <= v: Q = { (w, z): z >= w.v'_p for all p, w >= 0, sum w = 1 }. Facet k < d is w_k = 0,
    facet d + p is z = w.v'_p. See docs/theory.md, L5, for why a list that is closed under its edges is complete.
    """
    document, d = promise.document, promise.d
    points, members = document["points"], document["members"]
    power = _power(document["exponent"])
    if len(points) != len(members):
        raise InvalidCertificate(f"points: expected {len(members)}, got {len(points)}")
    for p, (point, i) in enumerate(zip(points, members, strict=True)):
        if any(power * a > Fraction(x) for a, x in zip(point, promise.lower[i], strict=True)):
            raise InvalidCertificate(f"points[{p}]: it is not below the value vector of row {i}")
    above = [sum(a for a in point if a > 0) for point in points]
    packed = _Packed([*zip(*points, strict=True), above], [1 << _CORNER_BITS] * d + [1])
    outer, q = promise.outer, document["denominator"]
    shared = math.lcm(promise.delta.denominator, power.denominator)
    delta, rise = int(promise.delta * shared), int(power * shared)
    keep = 1 - promise.epsilon
    left, right = keep.numerator * shared, keep.denominator * q * outer.unit * outer.scale
    seen: set[tuple[int, ...]] = set()
    edges: set[tuple[int, ...]] = set()  # those with one end so far
    for at, row in enumerate(document["corners"]):
        where = f"corners[{at}]"
        active = tuple(row[:d])
        if active in seen or any(map(ge, active, active[1:])) or not d <= active[-1] < d + len(points):
            raise InvalidCertificate(f"{where}: expected another set of {d} facets, ascending, the last of a member")
        seen.add(active)
        x, height = _solve_corner(where, points, active, d)
        total = sum(x)
        bent = [(a << _CORNER_BITS) // total for a in x]
        near = packed.reach(packed.scores([*bent, 1]), -(-(height << _CORNER_BITS) // total))
        for bit in _bits(near):  # all others are strictly below the corner
            p = bit.bit_length() - 1
            if sum(map(mul, x, points[p])) >= height and d + p not in active:
                raise InvalidCertificate(f"{where}: member {p} is not below it")
        for s in range(d):
            edge = active[:s] + active[s + 1 :]
            if edge and edge[-1] >= d:
                edges ^= {edge}
        bound = outer.bound(where, x, row[d:], q)
        if left * bound > right * (delta * total + rise * height):
            proved = Fraction(bound, total * q * outer.unit * outer.scale)
            lost = keep * proved - power * Fraction(height, total)
            raise InvalidCertificate(f"{where}: regret up to {_about(lost)}, delta is {float(promise.delta)!r}")
    if edges or not seen:
        edge = min(edges, default=())
        what = f"the edge {list(edge)} has one end only" if seen else "the list is empty"
        raise InvalidCertificate(f"corners: {what}: a corner is missing")


def _solve_corner(where: str, points: list[list[int]], active: tuple[int, ...], d: int) -> tuple[list[int], int]:
    """The corner of d facets: x >= 0 and z with w = x / sum x and height z / sum x, in units of the points."""
    free = [k for k in range(d) if k not in active]
    first, *others = [points[facet - d] for facet in active if facet >= d]
    rows = [[point[k] - first[k] for k in free] for point in others]
    left, last = list(free), 1
    steps: list[tuple[int, int, list[int], list[int]]] = []
    while rows:  # fraction-free elimination (Bareiss): all divisions are exact
        row, *rows = rows
        at = next((c for c, a in enumerate(row) if a), None)
        if at is None:
            raise InvalidCertificate(f"{where}: its facets do not meet in one point")
        pivot = row.pop(at)
        steps.append((left.pop(at), pivot, row, left[:]))
        for i, other in enumerate(rows):
            f = other.pop(at)
            rows[i] = [(pivot * a - f * b) // last for a, b in zip(other, row, strict=True)]
        last = pivot
    x = [0] * d
    x[left[0]] = last
    for column, pivot, row, columns in reversed(steps):
        x[column] = -sum(map(mul, row, [x[k] for k in columns])) // pivot
    if last < 0:
        x = [-a for a in x]
    if any(x[k] <= 0 for k in free):
        raise InvalidCertificate(f"{where}: its weight is not above 0 in each reward that has no facet there")
    return x, sum(map(mul, x, first))


def _check_answered(promise: _Promise, count: int) -> Fraction:
    """Check the least number of answered policies that can keep the promise against the outer bound."""
    answered, d, outer = promise.document["answered"], promise.d, promise.outer
    proof = _proof(promise.document, d)
    assert proof is not None
    weights, nodes = proof
    power = _power(promise.document["exponent"])
    if len(answered["points"]) != len(weights):
        raise InvalidCertificate(f"answered: {len(weights)} weights and {len(answered['points'])} points")
    limits = {j: promise.spare[j] * outer.unit / power for j in outer.weights}
    least = [math.ceil(low / power) for low in promise.floor] if promise.floor else None
    for at, point in enumerate(answered["points"]):
        for j, weight in outer.weights.items():
            if sum(map(mul, weight, point)) > limits[j]:
                raise InvalidCertificate(f"answered.points[{at}]: answer {j} rules it out")
        if least and any(map(lt, point, least)):
            raise InvalidCertificate(f"answered.points[{at}]: it is below the floor")
    for at, node in enumerate(nodes):
        if node[0] == "branch" and node[1] >= count:
            raise InvalidCertificate(f"answered: node {at}: answer {_show(node[1])} does not exist")
    integers, unit = _common_integers(list(promise.values))
    packed = _Packed(
        [integers[k::d] for k in range(d)], [max((weight[k] for weight in weights), default=0) for k in range(d)]
    )
    keep = 1 - promise.epsilon
    covers = []
    for weight, point in zip(weights, answered["points"], strict=True):
        best = keep * power * sum(map(mul, weight, point)) - promise.delta * sum(weight)
        covers.append(packed.reach(packed.scores(weight), math.ceil(best * unit)))
    roles = (0, (1 << count) - 1, True)
    proved = _Tree(covers, list(range(count)), [1.0] * count, roles, "answer {}".format).bound(nodes)
    claimed = _ratio("answered.lower_bound", answered["lower_bound"])
    if claimed > proved:
        raise InvalidCertificate(f"answered.lower_bound: {_brief(claimed)} is claimed, {_brief(proved)} is proved")
    return claimed


# Kind statistical


def _check_statistical(document: Document, samples: Samples) -> Verified:
    epsilon, delta = _match(document, samples)
    alpha, look = Fraction(float.fromhex(document["alpha"])), document["look"]
    if not 0 < alpha < 1:
        raise InvalidCertificate("alpha: expected a number between 0 and 1")
    index = {name: i for i, name in enumerate(samples.candidates)}
    for name in document["members"]:
        if name not in index:
            raise InvalidCertificate(f"members: {_show(name)} is not in the file")
    members = [index[name] for name in document["members"]]
    if not members or len(set(members)) < len(members):
        raise InvalidCertificate("members: expected distinct names, at least one")
    mixes = _mixes(document, samples, members, epsilon)
    clusters, prompts = _certification(document["certification"], samples)
    means, clipped = _cluster_means(document, samples, clusters)
    tests = []
    for i, mix in mixes.items():
        for k, pair in enumerate(document["ranges"]):
            low, high = (Fraction(float.fromhex(end)) for end in pair)
            if document["scale"] == "ranges":
                low, high = Fraction(0), Fraction(1)
            down = sum((c for c in mix.values() if c < 0), Fraction(0))
            width = sum(map(abs, mix.values()), Fraction(0))
            least = low * sum(mix.values()) + (high - low) * down  # of X
            if least < 0:
                tests.append((i, k, (-delta - least) / ((high - low) * width)))
    level = alpha / (look * (look + 1) or 1) / (len(tests) or 1 if document["simultaneous"] else 1)
    bets = document["bets"]
    if bets is not None and len(bets) != len(samples.candidates):
        raise InvalidCertificate(f"bets: expected {len(samples.candidates)} rows, got {len(bets)}")
    for i, k, needed in tests:
        if needed <= 0:
            continue
        y = _differences(mixes[i], means[k])
        if document["method"] == "betting":
            shown = _betting(y, needed, level, _BETS if bets is None else [bets[i][k] / 1024])
        else:
            shown = _METHODS[document["method"]](y, needed, level)
        if not shown:
            where = f"candidate {i} ({_show(samples.candidates[i])}) in {_show(samples.rewards[k])}"
            raise InvalidCertificate(f"multipliers: delta is not shown for {where}")
    details = {"alpha": float(alpha), "method": document["method"], "simultaneous": document["simultaneous"]}
    details["look"] = look
    details |= {"clusters": len(clusters), "prompts": prompts, "clipped": clipped, "reference": "pool"}
    size, levels = len(members), (float(epsilon), float(delta))
    return Verified("statistical", size, Fraction(size), Fraction(0), *levels, document["sha256"], details)


def _mixes(
    document: Document, samples: Samples, members: list[int], epsilon: Fraction
) -> dict[int, dict[int, Fraction]]:
    """For each candidate i the coefficients c of sum_p lambda_p r_p - (1 - epsilon) r_i, by candidate."""
    mixes: dict[int, dict[int, Fraction]] = {}
    for entry, row in enumerate(document["multipliers"]):
        i, places, amounts = row[0], row[1::2], row[2::2]
        if i >= len(samples.candidates) or i in mixes:
            raise InvalidCertificate(f"multipliers[{entry}]: expected another candidate, by number")
        if max(places) >= len(members) or len(set(places)) != len(places):
            raise InvalidCertificate(f"multipliers[{entry}]: expected distinct positions below {len(members)}")
        mix = {members[p]: Fraction(a, sum(amounts)) for p, a in zip(places, amounts, strict=True)}
        mix[i] = mix.get(i, Fraction(0)) - (1 - epsilon)
        mixes[i] = mix
    for i in range(len(samples.candidates)):
        if i not in mixes:
            raise InvalidCertificate(f"multipliers: candidate {i} ({_show(samples.candidates[i])}) has none")
    return mixes


def _certification(rule: dict[str, Any], samples: Samples) -> tuple[dict[str, list[int]], int]:
    """The prompts of each cluster that certifies, and their number."""
    names = samples.prompts if samples.clusters is None else samples.clusters
    clusters: dict[str, list[int]] = {}
    for x, name in enumerate(names):
        clusters.setdefault(name, []).append(x)
    if "clusters" in rule:
        for name in rule["clusters"]:
            if name not in clusters:
                raise InvalidCertificate(f"certification: the cluster {_show(name)} is not in the file")
        chosen = dict.fromkeys(rule["clusters"])
        if len(chosen) < len(rule["clusters"]):
            raise InvalidCertificate("certification: a cluster is repeated")
    else:
        selection = Fraction(float.fromhex(rule["selection"]))
        if not 0 <= selection < 1:
            raise InvalidCertificate("certification: expected a selection from 0 to below 1")
        start = hashlib.sha256(b"palm_opt split 1\n" + str(rule["seed"]).encode("ascii") + b"\n")
        chosen = {}
        for name in clusters:
            digest = start.copy()
            digest.update(name.encode("utf-8", "surrogatepass"))
            if int.from_bytes(digest.digest()[:8], "big") >= selection * 2**64:
                chosen[name] = None
    if len(chosen) < 2:
        raise InvalidCertificate("certification: expected at least two clusters")
    return {name: clusters[name] for name in chosen}, sum(len(clusters[name]) for name in chosen)


def _cluster_means(
    document: Document, samples: Samples, clusters: dict[str, list[int]]
) -> tuple[list[list[array[float]]], int]:
    """means[k][i]: the mean of each cluster, clipped and mapped to [0, 1], within 2^-39; and how many were clipped.

    Generations are summed in multiples of 2^-40, rounded down.
    """
    n, d = len(samples.candidates), len(samples.rewards)
    place = {x: at for at, x in enumerate(x for prompts in clusters.values() for x in prompts)}
    cells = [at * n + i if (at := place.get(x, -1)) >= 0 else -1 for x, i in _cells(samples)]
    counts = array("Q", bytes(8 * n * len(place)))
    for cell in cells:
        if cell >= 0:
            counts[cell] += 1
    if max(counts) >= 1 << 22:
        raise InvalidCertificate("certification: more generations of one prompt than this checker can take")
    if not all(counts):
        at, i = divmod(counts.index(0), n)
        prompt = next(x for x, other in place.items() if other == at)
        who = f"candidate {i} ({_show(samples.candidates[i])})"
        raise InvalidCertificate(f"certification: {who} has no generation for prompt {_show(samples.prompts[prompt])}")
    means = []
    outside = bytearray(len(cells))
    for k, pair in enumerate(document["ranges"]):
        low, high = map(float.fromhex, pair)
        width = high - low
        if width == math.inf:
            raise InvalidCertificate(f"ranges[{k}]: wider than this checker can take")
        sums = array("q", bytes(8 * len(counts)))
        for t, (cell, x) in enumerate(zip(cells, samples.values[k::d], strict=True)):
            if cell >= 0:
                if not low <= x <= high:
                    outside[t] = 1
                    x = min(max(x, low), high)
                sums[cell] += int((x - low) / width * 2.0**40)
        cell_means = array("d", map(truediv, sums, map(mul, counts, repeat(1 << 40))))
        means.append([array("d") for _ in range(n)])
        start = 0
        for prompts in clusters.values():
            stop = start + len(prompts) * n
            for i, column in enumerate(means[-1]):
                column.append(math.fsum(cell_means[start + i : stop : n]) / len(prompts))
            start = stop
    return means, sum(outside)


def _cells(samples: Samples) -> Iterator[tuple[int, int]]:
    return zip(cast("array[int]", samples.prompt_of), cast("array[int]", samples.candidate_of), strict=True)


def _differences(mix: dict[int, Fraction], means: list[array[float]]) -> list[float]:
    """Lower bounds of Y = (X - least X) / (greatest X - least X) in [0, 1], a cluster each."""
    width = sum(map(abs, mix.values()), Fraction(0))
    down = sum((c for c in mix.values() if c < 0), Fraction(0)) / width
    margin = 2.0**-36 + len(mix) * 2.0**-52  # more than the error of the means, the coefficients and the sums
    total: list[float] = [-float(down) - margin] * len(means[0])
    for i, c in mix.items():
        if c:
            total = list(map(add, total, map(mul, means[i], repeat(float(c / width)))))
    return [min(max(y, 0.0), 1.0) for y in total]


def _betting(y: list[float], needed: Fraction, level: Fraction, bets: list[float]) -> bool:
    """Whether bets against a mean of at most `needed` multiply the capital by 1 / level.

    The capital is the average over the bets b of prod_t (1 - b + b y_t / needed). It is computed in floats; each of
    its factors is right to a relative 2^-51, products are kept in range by their exponents.
    """
    mean = _round_up(max(needed, Fraction(1, 1 << 15)))
    if mean >= 1:
        return False
    spread = math.fsum(map(mul, y, y)) / len(y)
    edge = math.fsum(y) / len(y) - mean
    best = mean * edge / (spread - 2 * mean * (edge + mean) + mean * mean + 1e-300)  # of the growth, to second order
    goal = len(bets) / level / (1 - Fraction(len(y), 1 << 48))
    capital = Fraction(0)
    for bet in sorted(bets, key=lambda bet: abs(bet - best)):
        factors = list(map(add, map(mul, y, repeat(bet / mean)), repeat(1 - bet)))
        if min(factors) < 2.0**-15:
            continue  # a bet of nearly all, that lost nearly all: nothing is counted
        mantissa, exponent = 1.0, 0
        for start in range(0, len(factors), 32):
            mantissa, more = math.frexp(mantissa * math.prod(factors[start : start + 32]))
            exponent += more
        if exponent > -10_000:
            capital += Fraction(mantissa) * _power(exponent)
        if capital >= goal:
            return True
    return False


def _bernstein(y: list[float], needed: Fraction, level: Fraction) -> bool:
    """Whether the empirical Bernstein bound (Maurer and Pontil, 2009) puts the mean above `needed`."""
    count, mean = len(y), math.fsum(y) / len(y)
    variance = math.fsum((x - mean) ** 2 for x in y) / (count - 1)
    log = _log(2 / level)
    return mean - math.sqrt(2 * variance * log / count) - 7 * log / (3 * (count - 1)) - 2.0**-30 >= _round_up(needed)


def _hoeffding(y: list[float], needed: Fraction, level: Fraction) -> bool:
    """Whether Hoeffding's inequality puts the mean above `needed`."""
    return math.fsum(y) / len(y) - math.sqrt(_log(1 / level) / (2 * len(y))) - 2.0**-30 >= _round_up(needed)


_METHODS: dict[str, Callable[[list[float], Fraction, Fraction], bool]]
_METHODS = {"bernstein": _bernstein, "hoeffding": _hoeffding}


def _round_up(number: Fraction) -> float:
    """A float at or just above a number of moderate size."""
    near = float(number)
    return near if near >= number else math.nextafter(near, math.inf)


def _log(number: Fraction) -> float:
    """A float just above the logarithm of a number > 1."""
    return (math.log(number.numerator) - math.log(number.denominator)) * (1 + 2.0**-40) + 2.0**-40


# The command


def verify_files(certificate: str | Path, subject: str | Path) -> Verified:
    """Read both files and `check`; raises as those do."""
    document = read_certificate(certificate)
    return check(document, read_subject(subject, document))


def main(argv: list[str] | None = None) -> int:
    """Check the two files named on the command line; exit code 0 verified, 1 not verified, 2 cannot be read."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 2 or "-h" in arguments or "--help" in arguments:
        print("usage: python -I checker CERTIFICATE SUBJECT.csv", file=sys.stderr)
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
