"""The one reader of tables, a batch of rows at a time: numbers, names and gaps by place (Parquet and frames: arrow).

A table has a `header` of column names. `batches` gives the rows of some columns: names as codes, numbers as float64
with NaN for a gap. Whatever else is no finite number is refused at once, with its place; nothing but ProblemError
leaves this module, and types and sizes are looked at before anything is decoded.
"""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from palm_opt import storage
from palm_opt.arguments import choices, refusal, repeated
from palm_opt.errors import ProblemError
from palm_opt.tables.grammar import is_gap, number, parse

__all__ = ["BATCH", "LARGEST", "Batch", "Codes", "File", "Format", "Gaps", "Table", "TextTable", "brief", "places"]

LARGEST = 2**31  #: bytes of a table once unpacked: a small file must not exhaust the memory
BATCH = 65_536  #: rows read at a time
_TEXT_BATCH = 4_096  # lists of cells that die young: the garbage collector never sees more
_FEW = 12
_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".npz": "npz"}
_FOREIGN = (";", "\t", "|", ",")  # separators of files that were taken for files of one column
_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
_DROP = "--missing drop leaves such rows out, --missing worst counts a gap as the worst of its column (missing=)"

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Format:
    """How a text table is written, and what becomes of gaps.

    missing : "error" refuses gaps, "drop" leaves out the rows (of samples: the candidates) that have one, "worst"
        counts a gap as the worst of its column over the rest.
    header : whether the first line names the columns; else they are called c1, c2, ...
    separator : the character between cells; None: a comma, in .tsv files a tab. decimal : the decimal mark.
    """

    missing: str = "error"
    header: bool = True
    separator: str | None = None
    decimal: str = "."

    def __post_init__(self) -> None:
        if self.missing not in ("error", "drop", "worst"):
            raise refusal("missing", "error, drop or worst", self.missing)
        if self.separator is not None:
            mark = _SEPARATORS.get(self.separator, self.separator)
            if (
                not isinstance(mark, str)
                or len(mark) != 1
                or mark.isalnum()
                or mark in '"\r\n.+-'
                or not mark.isascii()
            ):
                raise refusal("separator", "one character like ';', or tab", self.separator)
            object.__setattr__(self, "separator", mark)
        if self.decimal not in (".", ",") or self.decimal == self.separator:
            raise refusal("decimal", "'.' or ',', and not the separator", self.decimal)

    @property
    def plain(self) -> bool:
        """Whether the checker reads such a CSV file as it is."""
        return (self.header, self.separator or ",", self.decimal, self.missing) == (True, ",", ".", "error")


@dataclass(frozen=True)
class File:
    """A file of a table, or all of stdin. name : what messages call it. kind : csv, parquet or npz."""

    name: str
    kind: str
    source: Path | bytes

    @classmethod
    def find(cls, path: str | Path | File, otherwise: str | None = None) -> File:
        """The file at a path, of the kind that its suffix says (`otherwise` where that says none); "-" is stdin, of the
        kind that its bytes say."""
        if isinstance(path, File):
            return path
        if not isinstance(path, (str, Path)):
            raise refusal("file", "the path of a table (ValueMatrix.from_frame reads frames)", path)
        if str(path) == "-":
            data = sys.stdin.buffer.read(LARGEST + 1)
            if len(data) > LARGEST:
                raise ProblemError(f"stdin: more than {LARGEST} bytes")
            return cls("stdin", {b"PAR1": "parquet", b"PK\x03\x04": "npz"}.get(data[:4], "csv"), data)
        path = Path(path)
        kind = _SUFFIXES.get(path.suffix.lower(), otherwise)
        if kind is None:
            raise ProblemError(f"{path}: expected a .npz, .parquet or .csv file (or .tsv, or - for stdin)")
        if not path.is_file():
            what = "no such file" if not path.exists() else "expected a file, found something else"
            raise ProblemError(f"{path}: {'is a directory, expected a file' if path.is_dir() else what}")
        return cls(str(path), kind, path)

    @property
    def handle(self) -> Path | IO[bytes]:
        """What libraries open."""
        return self.source if isinstance(self.source, Path) else io.BytesIO(self.source)

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.source.stat().st_size if isinstance(self.source, Path) else len(self.source)

    def plain(self, form: Format) -> bool:
        """Whether it can be read again without any option, by the checker or by `palm-opt verify`."""
        if self.name == "stdin" or form.missing != "error":
            return False
        return self.kind != "csv" or (form.plain and self.name[-4:].lower() != ".tsv")

    def open(self) -> IO[bytes]:
        """A stream of them."""
        try:
            return self.source.open("rb") if isinstance(self.source, Path) else io.BytesIO(self.source)
        except OSError as error:
            raise ProblemError(f"{self.name}: {error.strerror}") from error


class Coder:
    """Numbers names in the order in which they appear."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def codes(self, names: Sequence[str], index: Codes | None = None) -> Codes:
        """The numbers of names[index], by default of all."""
        place = self.numbers
        own = np.fromiter((place.setdefault(name, len(place)) for name in names), np.int64, len(names))
        return own if index is None else own[index]


@dataclass(frozen=True)
class Batch:
    """Some rows. codes : by role, (rows,). numbers : (rows, columns), NaN for gaps. place : says where a row stands."""

    codes: Mapping[str, Codes]
    numbers: NDArray[np.float64]
    place: Callable[[int], str]


@dataclass
class Gaps:
    """Cells without a number, to be refused together: the first dozen by place, and how many there are."""

    source: str
    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, place: Callable[[int], str], row: int, cell: Any, column: str) -> None:
        """Note one."""
        self.count += 1
        if len(self.first) < _FEW:
            self.first.append(f"{place(row).removeprefix(f'{self.source}, ')}: {brief(cell)} in column {column!r}")

    def refuse(self) -> None:
        """Raise if there is any."""
        if self.count == 1:
            raise ProblemError(f"{self.source}, {self.first[0]}, expected a finite number; {_DROP}")
        if self.count:
            rest = f"; and {self.count - _FEW} more" if self.count > _FEW else ""
            raise ProblemError(
                f"{self.source}: {self.count} gaps, expected finite numbers: {'; '.join(self.first)}{rest}; {_DROP}"
            )


class Table:
    """Named columns, read once from top to bottom.

    Attributes
    ----------
    source : what messages call it. header : the names of its columns. numeric : those that may hold numbers by type.
    index : the columns of the index of a pandas frame: one names the rows unless told otherwise.
    rows : their number, where it is known before they are read.
    coders : by role, after `batches`: the names found.
    """

    index: tuple[str, ...] = ()
    rows: int | None = None

    def __init__(self, source: str, header: Sequence[str]) -> None:
        self.source, self.header = source, list(header)
        self.coders: dict[str, Coder] = {}
        twice = repeated(self.header)
        if twice is not None:
            raise ProblemError(f"{source}: column {twice!r} occurs twice")

    @property
    def numeric(self) -> list[str]:
        """Columns that may hold numbers."""
        return self.header

    def find(self, role: str, column: Any, noun: str = "") -> str:
        """The column that an argument names; `noun` says of what, like " of prompts"."""
        if not isinstance(column, str):
            raise refusal(role, "the name of a column", column)
        if column not in self.header:
            raise ProblemError(f"{self.source}: no column {column!r}{noun}; {choices(column, self.header)}")
        return column

    def batches(
        self, roles: Mapping[str, str], numbers: Sequence[str], gaps: Gaps, who: bool = False
    ) -> Iterator[Batch]:
        """The rows, batch by batch.

        Parameters
        ----------
        roles : the column of names of each role, like {"candidate": "model"}. numbers : columns of numbers.
        gaps : where cells without a number are noted. who : whether places also say the names.
        """
        self.coders = {role: Coder() for role in roles}
        for columns, place in self._read([*dict.fromkeys([*roles.values(), *numbers])]):
            codes = {role: self._codes(role, name, columns[name], place) for role, name in roles.items()}
            where = _with_names(place, codes, self.coders) if who else place
            table = np.empty((len(next(iter(columns.values()))), len(numbers)))
            for k, name in enumerate(numbers):
                table[:, k] = values = self._numbers(columns[name])
                for i in np.flatnonzero(~np.isfinite(values)).tolist():
                    cell = self._cell(columns[name], i)
                    if not is_gap(cell):
                        raise ProblemError(self._no_number(where(i), cell, name))
                    table[i, k] = np.nan
                    gaps.add(where, i, cell, name)
            yield Batch(codes, table, place)

    def collect(self, roles: Mapping[str, str], numbers: Sequence[str], gaps: Gaps) -> Batch:
        """All rows, in memory."""
        self._fits(len(roles) + len(numbers))
        parts = list(self.batches(roles, numbers, gaps, who=True))
        if not parts:
            raise ProblemError(f"{self.source}: expected at least one row{self._below}, found none")
        starts = np.cumsum([0, *(len(part.numbers) for part in parts)])

        def place(i: int) -> str:
            at = int(np.searchsorted(starts, i, side="right")) - 1
            return parts[at].place(i - int(starts[at]))

        codes = {role: np.concatenate([part.codes[role] for part in parts]) for role in roles}
        return Batch(codes, np.concatenate([part.numbers for part in parts]), place)

    def names(self, role: str) -> list[str]:
        """The names of a role, in the order of their numbers."""
        return list(self.coders[role].numbers)

    _below = ""

    def _fits(self, columns: int) -> None:
        if self.rows is not None and self.rows * columns * 8 > LARGEST:
            raise ProblemError(f"{self.source}: more than {LARGEST} bytes once unpacked")

    def _read(self, columns: list[str]) -> Iterator[tuple[dict[str, Any], Callable[[int], str]]]:
        raise NotImplementedError

    def _codes(self, role: str, name: str, column: Any, place: Callable[[int], str]) -> Codes:
        raise NotImplementedError

    def _numbers(self, column: Any) -> NDArray[np.float64]:
        raise NotImplementedError

    def _cell(self, column: Any, i: int) -> Any:
        raise NotImplementedError

    def _no_number(self, place: str, cell: Any, name: str) -> str:
        return f"{place}: {brief(cell)} in column {name!r}, expected a finite number"


class TextTable(Table):
    """A CSV file."""

    _below = " below the header"

    def __init__(self, file: File, form: Format) -> None:
        tab = isinstance(file.source, Path) and file.source.suffix.lower() == ".tsv"
        self.form, self.file = form, file
        self.separator = form.separator or ("\t" if tab else ",")
        self._lines: list[int] = []  # of the rows that were read ahead
        self._rows: Iterator[list[str]] = self._cells()
        header = next(self._rows, None)
        if header is None:
            raise ProblemError(f"{file.name}: empty, expected a header line and at least one row")
        if form.header:
            self._check_header(header)
            self._lines = self._lines[1:]
        else:
            self._rows = itertools.chain([header], self._rows)
            header, self._below = [f"c{k + 1}" for k in range(len(header))], ""
        super().__init__(file.name, header)

    def _check_header(self, header: list[str]) -> None:
        if all(np.isfinite(number(cell, self.form.decimal)) for cell in header):
            shown = ", ".join(map(repr, header[:3])) + (", ..." if len(header) > 3 else "")
            raise ProblemError(
                f"{self.file.name}, line {self._lines[0]}: a header of numbers only ({shown}): if it is a row of the "
                "table, --no-header (header=False)"
            )
        found = [mark for mark in _FOREIGN if mark in header[0] and mark != self.separator]
        if self.form.separator is None and len(header) == 1 and found:
            self._refuse_separator(found[0], next(self._rows, [""]))

    def _refuse_separator(self, mark: str, row: list[str]) -> None:
        cells = self.separator.join(row).split(mark)
        name = "tab" if mark == "\t" else f"'{mark}'"
        more = ("", "", "")
        if any("," in cell and np.isfinite(number(cell, ",")) for cell in cells):
            more = (" and the decimal mark a comma", " --decimal ,", ", decimal=','")
        raise ProblemError(
            f"{self.file.name}: the separator seems to be {name}{more[0]}: --separator {name}{more[1]} "
            f"(separator={mark!r}{more[2]})"
        )

    def _cells(self) -> Iterator[list[str]]:
        name = self.file.name
        with io.TextIOWrapper(self.file.open(), encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(storage.lines(stream, name), delimiter=self.separator, strict=True)
            try:
                for row in reader:
                    if row:
                        self._lines.append(reader.line_num)
                        yield row
            except csv.Error as error:
                raise ProblemError(f"{name}, line {reader.line_num}: {error}") from error
            except UnicodeDecodeError as error:
                raise ProblemError(f"{name}: not UTF-8 text: {error}") from error
            except OSError as error:
                raise ProblemError(f"{name}: cannot be read: {error}") from error

    def _read(self, columns: list[str]) -> Iterator[tuple[dict[str, Any], Callable[[int], str]]]:
        at, width = [self.header.index(name) for name in columns], len(self.header)
        while rows := list(itertools.islice(self._rows, _TEXT_BATCH)):
            place = places(self.source, "line", self._lines)
            self._lines = []
            if set(map(len, rows)) != {width}:
                i = next(i for i, row in enumerate(rows) if len(row) != width)
                raise ProblemError(f"{place(i)}: {len(rows[i])} cells, expected {width} as in the header")
            yield {name: [row[k] for row in rows] for name, k in zip(columns, at, strict=True)}, place

    def _codes(self, role: str, name: str, column: Any, place: Callable[[int], str]) -> Codes:
        if "" in column:
            raise ProblemError(f"{place(column.index(''))}: the {role} in column {name!r} is empty")
        return self.coders[role].codes(column)

    def _numbers(self, column: Any) -> NDArray[np.float64]:
        return parse(column, self.form.decimal)

    def _cell(self, column: Any, i: int) -> Any:
        return column[i]

    def _no_number(self, place: str, cell: Any, name: str) -> str:
        comma = self.form.decimal == "." and np.isfinite(number(cell, ","))
        return super()._no_number(place, cell, name) + ("; --decimal , (decimal=',') reads it" if comma else "")


def brief(cell: Any) -> str:
    """A cell as a message shows it."""
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}..."


def places(source: str, unit: str, numbers: Sequence[int]) -> Callable[[int], str]:
    return lambda i: f"{source}, {unit} {numbers[i]}"


def _with_names(
    place: Callable[[int], str], codes: Mapping[str, Codes], coders: Mapping[str, Coder]
) -> Callable[[int], str]:
    def where(i: int) -> str:
        names = {role: next(itertools.islice(coders[role].numbers, int(codes[role][i]), None)) for role in codes}
        shown = ", ".join(f"{role} {brief(name)}" for role, name in names.items())
        return f"{place(i)} ({shown})" if names else place(i)

    return where
