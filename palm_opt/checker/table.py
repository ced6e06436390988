"""Subject files: CSV read row by row, and the hash of what was read."""

from __future__ import annotations

import csv
import hashlib
import math
import stat
import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import repeat
from operator import add
from pathlib import Path
from typing import Any, TextIO

from . import refuse
from .reading import canonical, is_cell
from .refuse import MAX_LINE, MAX_NUMBER_TEXT, CertificateParseError, show


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
        self.path, self.line = Path(path), 0
        check_file(self.path, refuse.MAX_VALUES_BYTES)
        self.lines = self._read()
        self.header = next(self.lines, [])
        self.used: set[str] = set()  # columns
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
        left = refuse.MAX_READING
        while line := stream.readline(MAX_LINE + 2):  # with its end, which does not count
            left -= 2_000 + 40 * len(line)
            long = len(line) > MAX_LINE and len(line.rstrip("\r\n")) > MAX_LINE
            if left < 0 or long or "\0" in line:
                what = "a NUL character" if "\0" in line else "longer than this checker can take"
                raise CertificateParseError(f"{self.path}: after line {self.line}: {what}")
            yield line

    def where(self) -> str:
        return f"{self.path}: line {self.line}"

    def find(self, name: str) -> int:
        """The position of a column."""
        if self.header.count(name) != 1:
            found = "is missing" if name not in self.header else "occurs twice"
            raise CertificateParseError(f"{self.path}: line 1: the column {show(name)} {found}")
        self.used.add(name)
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

    def numbers(self, row: list[str], columns: Sequence[int], least: float = -sys.float_info.max) -> list[float]:
        """The numbers in some fields."""
        found = []
        for at in columns:
            text = row[at]
            number = float(text) if len(text) <= MAX_NUMBER_TEXT and is_cell(text) else math.nan
            if not least <= number < math.inf:
                what = f"a finite number{'' if least < 0 else ' > 0' if least else ' >= 0'}, got {show(text)}"
                raise CertificateParseError(f"{self.where()}: column {show(self.header[at])}: expected {what}")
            found.append(number)
        return found


class Digest:
    """The SHA-256 of a canonical subject."""

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
