"""Subject files: CSV read row by row, and tables of numbers made in memory."""

from __future__ import annotations

import csv
import hashlib
import math
import stat
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import repeat
from operator import add
from pathlib import Path
from typing import Any, TextIO

from . import reading
from .reading import CELL, MAX_LINE, MAX_NUMBER_TEXT, CertificateParseError, Work, canonical, show


def check_file(path: Path, most: int, what: str = "", pipe: bool = False) -> None:
    """Refuse what may never end: a device, a pipe (unless allowed), a file of more than `most` bytes."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not (pipe and stat.S_ISFIFO(found.st_mode)):
        raise CertificateParseError(f"{path}: expected a regular file")
    if found.st_size > most:
        raise CertificateParseError(f"{path}: {what}expected at most {most} bytes")


class Table:
    """A CSV file, read row by row; errors name the file and the line."""

    def __init__(self, path: str | Path) -> None:
        self.path, self.line, self.work = Path(path), 0, Work()
        check_file(self.path, reading.MAX_VALUES_BYTES)
        self.lines = self._read()
        self.header = next(self.lines, [])
        self.used: set[int] = set()  # columns
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
            if len(line) > MAX_LINE or "\0" in line:
                what = f"longer than {MAX_LINE} characters" if len(line) > MAX_LINE else "a NUL character"
                raise CertificateParseError(f"{self.path}: after line {self.line}: {what}")
            self.work.spend(1_000 + 40 * len(line))
            yield line

    def where(self) -> str:
        return f"{self.path}: line {self.line}"

    def find(self, name: str) -> int:
        """The position of a column."""
        if self.header.count(name) != 1:
            found = "is missing" if name not in self.header else "occurs twice"
            raise CertificateParseError(f"{self.path}: line 1: the column {show(name)} {found}")
        self.used.add(self.header.index(name))
        return self.header.index(name)

    def unused(self) -> list[str]:
        """The names of the columns that nothing looked for."""
        return [name for at, name in enumerate(self.header) if at not in self.used]

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
        number = float(text) if len(text) <= MAX_NUMBER_TEXT and CELL.fullmatch(text) else math.nan
        if not least <= number < math.inf or number == -math.inf:
            what = "a finite number" if least < 0 else "a finite number >= 0"
            raise CertificateParseError(
                f"{self.where()}: column {show(self.header[at])}: expected {what}, got {show(text)}"
            )
        return number


def flat(where: str, values: Any, n: int, d: int) -> array[float]:
    """n rows of d finite numbers, from rows or from a C-contiguous buffer of float64, as one array row by row."""
    found = array("d")
    try:
        with suppress(TypeError):  # from memoryview, of what is not a buffer
            view = memoryview(values)
            if view.format == "d" and view.c_contiguous and view.shape in ((n, d), (n * d,)):
                found.frombytes(view.cast("B"))
        for at, row in enumerate(() if found else values):
            found.extend(row)
            if len(found) != (at + 1) * d:
                raise ValueError(f"row {at} has {len(found) - at * d} values, not {d}")
        if len(found) != n * d:
            raise ValueError(f"{len(found)} values came, not {n} rows of {d}")
    except (TypeError, ValueError, OverflowError) as error:
        raise CertificateParseError(f"{where}: expected numbers: {error}") from None
    if not all(map(math.isfinite, found)):
        raise CertificateParseError(f"{where}: expected finite numbers")
    return found


def labels(where: str, texts: Iterable[str], distinct: bool = True) -> list[str]:
    """Non-empty names, at least one."""
    found = list(texts)
    if not found or not all(type(text) is str and text for text in found):
        raise CertificateParseError(f"{where}: expected non-empty strings, at least one")
    if distinct and len(set(found)) != len(found):
        raise CertificateParseError(f"{where}: expected distinct non-empty names")
    return found


class Digest:
    """The SHA-256 of a canonical subject, see docs/certificate-format.md."""

    def __init__(self, kind: str, version: int, head: dict[str, Any]) -> None:
        self.version = version
        self.hash = hashlib.sha256(f"palm_opt {kind} {version}\n".encode() + canonical(head) + b"\n")

    def numbers(self, numbers: Sequence[float], d: int) -> None:
        """Rows of d numbers: lines of shortest decimals; in version 1 float64, little-endian."""
        for start in range(0, len(numbers), 4096 * d):
            clean = array("d", map(add, numbers[start : start + 4096 * d], repeat(0.0)))  # -0.0 + 0.0 is 0.0
            if self.version == 1:
                self.integers(clean)
            else:
                lines = map(",".join, zip(*[map(repr, clean)] * d, strict=True))
                self.hash.update(("\n".join(lines) + "\n").encode("ascii"))

    def integers(self, numbers: array[Any]) -> None:
        """Machine numbers, little-endian."""
        if sys.byteorder == "big":
            numbers = numbers[:]
            numbers.byteswap()
        self.hash.update(numbers.tobytes())

    def names(self, data: Any) -> str:
        """Add canonical JSON; the digest in hex."""
        self.hash.update(canonical(data))
        return self.hash.hexdigest()
