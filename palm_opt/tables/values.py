"""The value matrix: n candidates x d rewards, higher is better, with exact scaling."""

from __future__ import annotations

import csv
import io
import numbers
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt import arguments, checker, storage
from palm_opt.errors import ProblemError
from palm_opt.tables import scales
from palm_opt.tables.decimals import rational
from palm_opt.tables.scales import Scale

__all__ = ["Scale", "ValueMatrix"]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PLAIN = re.compile(r"[0-9eE.+\- \t]*")
_MODERATE = 1e301  # of the scaled values in size: their sums and differences must not overflow
_DEAREST = 1e12  # cost: solvers add costs up as floats
_LARGEST = 2**31  # bytes of a file once unpacked: a small compressed file must not exhaust the memory


class _Problem(checker.Problem):
    """The problem of a matrix, which does not change: it is hashed once, for its certificate and for the checker."""

    def sha256(self, version: int = 2) -> str:
        known: dict[int, str] = self.__dict__.setdefault("_known", {})
        if version not in known:
            known[version] = super().sha256(version)
        return known[version]


class ValueMatrix:
    """Values of n candidates in d rewards.

    Parameters
    ----------
    array : (n, d) numbers as measured. NaN and infinities are refused.
    names : n distinct non-empty names; by default "0", "1", ...
    rewards : d distinct names; by default "r1", "r2", ... A leading "-" negates the column: "-latency".
    costs : n finite costs >= 0, by default 1 each.
    scale : one for all rewards, or a list with one per reward: "none"; "minmax" (the column to [0, 1] over all rows, a
        constant column to 0); "log" (the same of its logarithms, for prices and sizes; numbers > 0); (low, high) in
        the column's own units before negation: low maps to 0 and high to 1 (a negated column: high to 0 and low to 1).
        Scaling is defined in exact arithmetic on the numbers as written: the shortest decimal of each float64.

    Attributes
    ----------
    array : (n, d) float64, scaled, higher is better; each entry within a few ulp of the largest of its column.
    raw : (n, d) float64 as given. scale : d entries, one per reward.
    columns : the d rewards on their scales, exactly.

    Raises
    ------
    ProblemError : names the array or file, the row, what was expected and what came.
    """

    def __init__(
        self,
        array: ArrayLike,
        names: Iterable[Any] | None = None,
        rewards: Iterable[str] | None = None,
        costs: ArrayLike | None = None,
        scale: Scale = "none",
    ) -> None:
        self.raw = _matrix(array)
        n, d = self.raw.shape
        self.names = _labels("names", names, n, "candidate", map(str, range(n)))
        self.rewards = _labels("rewards", rewards, d, "reward", (f"r{k + 1}" for k in range(d)))
        self.id_column: str | None = None if names is None else "id"
        self.cost_column: str | None = None if costs is None else "cost"
        if any(name.removeprefix("-") == "" for name in self.rewards):
            raise ProblemError("rewards: '-' negates a column and needs its name, like '-latency'")
        _check_labels("rewards without their signs", [name.removeprefix("-") for name in self.rewards], d, "reward")
        self.costs = _costs(costs, n)
        self.scale = scales.declared(scale, d)
        self.columns = [
            scales.column(self.raw[:, k], entry, name.startswith("-"), name.removeprefix("-"))
            for k, (entry, name) in enumerate(zip(self.scale, self.rewards, strict=True))
        ]
        self.array = _moderate(self.scale, np.column_stack([column.floats() for column in self.columns]))
        self.raw.flags.writeable = self.array.flags.writeable = self.costs.flags.writeable = False

    @classmethod
    def read(
        cls,
        path: str | Path,
        id: str | None = None,
        rewards: Sequence[str] | None = None,
        cost: str | None = None,
        scale: Scale = "none",
    ) -> ValueMatrix:
        """Read a .csv, .parquet or .npz file (arrays `values`, and optionally `names`, `rewards`, `costs`).

        `id` names the column of candidate names (None: rows are numbered from 0); `rewards` the reward columns, with a
        leading "-" for those to negate (None: every other column); `cost` the cost column.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in (".csv", ".parquet", ".npz"):
            raise ProblemError(f"{path}: expected a .csv, .parquet or .npz file")
        if not path.is_file():
            what = "no such file" if not path.exists() else "expected a file, found something else"
            raise ProblemError(f"{path}: {'is a directory, expected a file' if path.is_dir() else what}")
        if suffix == ".npz":
            return cls._from_arrays(_read_npz(path), path, rewards, scale)
        if suffix == ".parquet":
            return cls._from_columns(_read_parquet(path), str(path), id, rewards, cost, scale, unit="row")
        columns, lines = _read_csv(path)
        return cls._from_columns(columns, str(path), id, rewards, cost, scale, lines=lines, unit="line")

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        id: str | None = None,
        rewards: Sequence[str] | None = None,
        cost: str | None = None,
        scale: Scale = "none",
    ) -> ValueMatrix:
        """From any dataframe that narwhals knows (pandas, polars, pyarrow, ...); arguments as in `read`."""
        import narwhals

        try:
            data = narwhals.from_native(frame, eager_only=True)
        except TypeError as error:
            raise arguments.refusal("frame", "a dataframe (pandas, polars, pyarrow, ...)", frame) from error
        columns = {name: data[name].to_list() for name in data.columns}
        return cls._from_columns(columns, "frame", id, rewards, cost, scale, unit="row")

    @classmethod
    def _from_arrays(
        cls, data: dict[str, NDArray[Any]], path: Path, rewards: Sequence[str] | None, scale: Scale
    ) -> ValueMatrix:
        if "values" not in data:
            raise ProblemError(f"{path}: expected an array 'values' of shape (n, d), found {sorted(data)}")
        array, have, names, costs = (data.get(key) for key in ("values", "rewards", "names", "costs"))
        assert array is not None
        for key in ("rewards", "names", "costs"):
            if key in data and data[key].ndim != 1:
                raise ProblemError(f"{path}: expected a one-dimensional array {key!r}, got shape {data[key].shape}")
        if rewards is not None and have is not None:
            order = {str(name): k for k, name in enumerate(have)}
            missing = [name for name in rewards if name.removeprefix("-") not in order]
            if missing:
                raise ProblemError(f"{path}: no reward {missing[0]!r}; {arguments.choices(missing[0], order)}")
            if array.ndim != 2 or array.shape[1] != len(order):
                raise ProblemError(f"{path}: expected values of shape (n, {len(order)}), got {array.shape}")
            array = array[:, [order[name.removeprefix("-")] for name in rewards]]
        try:
            return cls(array, names, have if rewards is None else rewards, costs, scale)
        except ProblemError as error:
            raise ProblemError(f"{path}: {error}") from None

    @classmethod
    def _from_columns(
        cls,
        columns: dict[str, list[Any]],
        source: str,
        id: str | None,
        rewards: Sequence[str] | None,
        cost: str | None,
        scale: Scale,
        lines: Sequence[int] | None = None,
        unit: str = "row",
    ) -> ValueMatrix:
        for role, column in (("id", id), ("cost", cost)):
            if column is not None and not isinstance(column, str):
                raise arguments.refusal(role, "the name of a column", column)
        wanted = [name for name in columns if name not in (id, cost)]
        if rewards is not None:
            wanted = [str(name) for name in arguments.items("rewards", rewards, "a sequence of column names")]
        if not wanted:
            raise ProblemError(f"{source}: no reward columns named")
        for name in [*(name.removeprefix("-") for name in wanted), *(x for x in (id, cost) if x is not None)]:
            if name in columns:
                continue
            if f"-{name}" in columns:
                raise ProblemError(f"{source}: column {f'-{name}'!r}: a leading '-' negates: rename the column")
            raise ProblemError(f"{source}: no column {name!r}; {arguments.choices(name, columns)}")

        def place(i: int) -> str:
            return f"{source}, {unit} {i if lines is None else lines[i]}"

        n = len(next(iter(columns.values())))
        if n == 0:
            raise ProblemError(f"{source}: expected at least one row, found none")
        names = None if id is None else _names(columns[id], place)
        array = np.empty((n, len(wanted)))
        for k, name in enumerate(wanted):
            array[:, k] = _numbers(columns[name.removeprefix("-")], name.removeprefix("-"), place)
        costs = None
        if cost is not None:
            costs = _numbers(columns[cost], cost, place)
            for i in np.flatnonzero(costs < 0):
                raise ProblemError(f"{place(int(i))}: cost {costs[i]} in column {cost!r}, expected a number >= 0")
        try:
            values = cls(array, names, wanted, costs, scale)
        except ProblemError as error:
            raise ProblemError(f"{source}: {error}") from None
        values.id_column, values.cost_column = id, cost
        return values

    @property
    def n(self) -> int:
        """Number of candidates."""
        return int(self.raw.shape[0])

    @property
    def d(self) -> int:
        """Number of rewards."""
        return int(self.raw.shape[1])

    @property
    def unit_costs(self) -> bool:
        """Whether every candidate costs 1."""
        return bool(np.all(self.costs == 1))

    def __repr__(self) -> str:
        rewards = f"{self.d} rewards: {', '.join(self.rewards)}"
        return f"ValueMatrix({self.n} candidates x {rewards}; scale={scales.show(self.scale)})"

    def index(self, item: str | int) -> int:
        """Row of a candidate: a str is a name, an int a row index."""
        if isinstance(item, bool) or not isinstance(item, (str, int, np.integer)):
            raise ProblemError(f"candidate {item!r}: expected a name (str) or a row index (int)")
        if isinstance(item, str):
            try:
                return self._rows[item]
            except KeyError:
                near = "".join(f"; did you mean {name!r}?" for name in arguments.nearest(item, self.names))
                raise ProblemError(f"no candidate named {item!r} among the {self.n}{near}") from None
        if not 0 <= item < self.n:
            raise ProblemError(f"candidate index {item}: expected 0 to {self.n - 1}")
        return int(item)

    def indices(self, items: Iterable[str | int], what: str = "members") -> tuple[int, ...]:
        """Sorted distinct rows of several candidates; a repeated candidate is refused."""
        rows = [self.index(item) for item in arguments.items(what, items, "a sequence of names or row indices")]
        if len(set(rows)) < len(rows):
            twice = next(row for row in rows if rows.count(row) > 1)
            raise ProblemError(f"{what}: candidate {self.names[twice]!r} is named twice")
        return tuple(sorted(rows))

    def exact(self, i: int) -> list[Fraction]:
        """The exact scaled value vector of row i."""
        return [(rational(c.numbers[i]) - c.offset) * c.factor for c in self.columns]

    @cached_property
    def _problem(self) -> checker.Problem:
        return _Problem(
            names=list(self.names),
            rewards=list(self.rewards),
            values=self.raw.data,
            costs=None if self.cost_column is None else self.costs.tolist(),
            scale=list(self.scale),
        )

    def problem(self) -> checker.Problem:
        """The canonical problem as the certificate checker sees it."""
        return self._problem

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the canonical problem, in hex (docs/certificate-format.md)."""
        return self.problem().sha256()

    def subject(self) -> dict[str, Any]:
        """How a checker reads these values from a file: the `subject` of a certificate."""
        return {
            "id": self.id_column,
            "rewards": list(self.rewards),
            "cost": self.cost_column,
            "candidates": self.n,
        }

    def to_csv(self) -> str:
        """The raw numbers as CSV with round-trip floats: the file that the standalone checker reads."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        plain = [name.removeprefix("-") for name in self.rewards]
        left = [] if self.id_column is None else [self.id_column]
        right = [] if self.cost_column is None else [self.cost_column]
        writer.writerow(left + plain + right)
        for i, row in enumerate(self.raw.tolist()):
            name = [] if self.id_column is None else [self.names[i]]
            cost = [] if self.cost_column is None else [repr(float(self.costs[i]))]
            writer.writerow(name + [repr(x) for x in row] + cost)
        return stream.getvalue()

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}


def _matrix(array: ArrayLike) -> NDArray[np.float64]:
    try:
        given = np.asarray(array)
        if np.iscomplexobj(given):
            raise TypeError("got complex ones")
        raw = np.array(given, dtype=np.float64, order="C", copy=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProblemError(f"values: expected an (n, d) array of numbers: {error}") from error
    if raw.ndim != 2 or 0 in raw.shape:
        raise ProblemError(f"values: expected an array of shape (n, d) with n, d >= 1, got shape {raw.shape}")
    for i, k in np.argwhere(~np.isfinite(raw))[:1]:
        raise ProblemError(f"values: row {i}, column {k} is {raw[i, k]}, expected a finite number")
    raw += 0.0  # -0.0 becomes 0.0
    return raw


def _moderate(scale: Sequence[scales.Entry], scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Refuse scaled values whose sums and differences would overflow."""
    largest = float(np.abs(scaled).max())
    if not largest <= _MODERATE:
        what = "values" if set(scale) == {"none"} else f"scale: {scales.show(scale)} is too narrow for these values"
        raise ProblemError(
            f"{what}: {largest:g} in size, expected at most {_MODERATE:g}: sums would overflow; choose another scale"
        )
    return scaled


def _labels(what: str, labels: Iterable[Any] | None, count: int, noun: str, default: Iterable[str]) -> tuple[str, ...]:
    if labels is None:
        return tuple(default)
    result = tuple(map(str, arguments.items(what, labels, f"one name per {noun}")))
    _check_labels(what, result, count, noun)
    return result


def _check_labels(what: str, labels: Sequence[str], count: int, noun: str) -> None:
    if len(labels) != count:
        raise ProblemError(f"{what}: expected one per {noun}, {count}, got {len(labels)}")
    seen: dict[str, int] = {}
    for i, label in enumerate(labels):
        if not label:
            raise ProblemError(f"{what}: entry {i} is empty")
        if label in seen:
            raise ProblemError(f"{what}: {label!r} occurs twice, as entries {seen[label]} and {i}")
        seen[label] = i


def _costs(costs: ArrayLike | None, n: int) -> NDArray[np.float64]:
    if costs is None:
        return np.ones(n)
    try:
        result = np.array(costs, dtype=np.float64, copy=True) + 0.0
    except (TypeError, ValueError, OverflowError) as error:
        raise ProblemError(f"costs: expected {n} numbers: {error}") from error
    if result.shape != (n,):
        raise ProblemError(f"costs: expected shape ({n},), one per candidate, got {result.shape}")
    for i in np.flatnonzero(~(np.isfinite(result) & (result >= 0)))[:1]:
        raise ProblemError(f"costs: entry {i} is {result[i]}, expected a finite number >= 0")
    for i in np.flatnonzero(result > _DEAREST)[:1]:
        raise ProblemError(f"costs: entry {i} is {result[i]}, expected at most {_DEAREST:g}; choose a larger unit")
    return result


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
                raise ProblemError(f"{path}: more than {_LARGEST} bytes once unpacked")
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data}
    except ProblemError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise what they like over a damaged file
        raise ProblemError(f"{path}: cannot be read as npz: {' '.join(str(error).split())}") from error


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path)
        if file.metadata.num_rows * file.metadata.num_columns * 8 > _LARGEST:
            raise ProblemError(f"{path}: more than {_LARGEST} bytes once unpacked")
        twice = arguments.repeated(file.schema_arrow.names)
        if twice is not None:
            raise ProblemError(f"{path}: column {twice!r} occurs twice")
        table = file.read()
        return {name: table.column(k).to_pylist() for k, name in enumerate(table.column_names)}
    except ProblemError:
        raise
    except Exception as error:  # as above, and pyarrow's own
        raise ProblemError(f"{path}: cannot be read as parquet: {' '.join(str(error).split())}") from error


def _read_csv(path: Path) -> tuple[dict[str, list[Any]], list[int]]:
    try:
        stream = path.open(newline="", encoding="utf-8-sig")
    except OSError as error:
        raise ProblemError(f"{path}: {error.strerror}") from error
    with stream:
        reader = csv.reader(storage.lines(stream, path), strict=True)
        try:
            filled = _nonblank(reader)
            header = next(filled)
            rows, lines = [], []
            for row in filled:
                if len(row) != len(header):
                    raise ProblemError(
                        f"{path}, line {reader.line_num}: {len(row)} cells, expected {len(header)} as in the header"
                    )
                rows.append(row)
                lines.append(reader.line_num)
        except StopIteration:
            raise ProblemError(f"{path}: empty, expected a header line and at least one row") from None
        except csv.Error as error:
            raise ProblemError(f"{path}, line {reader.line_num}: {error}") from error
        except UnicodeDecodeError as error:
            raise ProblemError(f"{path}: not UTF-8 text: {error}") from error
    twice = arguments.repeated(header)
    if twice is not None:
        raise ProblemError(f"{path}, line 1: column {twice!r} occurs twice")
    if not rows:
        raise ProblemError(f"{path}: expected at least one row below the header, found none")
    return {name: list(cells) for name, cells in zip(header, zip(*rows, strict=True), strict=True)}, lines


def _nonblank(reader: Iterable[list[str]]) -> Iterator[list[str]]:
    return (row for row in reader if row)


def _names(column: Sequence[Any], place: Any) -> list[str]:
    names: list[str] = []
    seen: dict[str, int] = {}
    for i, cell in enumerate(column):
        name = "" if cell is None else str(cell)
        if not name:
            raise ProblemError(f"{place(i)}: the name of the candidate is empty")
        if name in seen:
            raise ProblemError(f"{place(i)}: candidate {name!r} occurs twice, first at {place(seen[name])}")
        seen[name] = i
        names.append(name)
    return names


def _numbers(column: Sequence[Any], name: str, place: Any) -> NDArray[np.float64]:
    """Floats of a column; the first cell that is no finite number is refused with its place."""
    kinds = set(map(type, column))
    result = np.empty(len(column))
    if kinds == {float} or (kinds == {str} and _PLAIN.fullmatch("".join(column))):
        try:  # whole columns at once: of these characters, float() reads what _number() does
            result[:] = np.fromiter(map(float, column), np.float64, len(column))
        except ValueError:
            result[:] = np.nan
        if np.isfinite(result).all():
            return result
    for i, cell in enumerate(column):
        result[i] = _number(cell)
        if not np.isfinite(result[i]):
            raise ProblemError(f"{place(i)}: {cell!r} in column {name!r}, expected a finite number")
    return result


def _number(cell: Any) -> float:
    """The number in a cell, NaN where there is none."""
    if isinstance(cell, str):
        text = cell.strip(" \t")  # as the standalone checker reads it
        return float(text) if _NUMBER.fullmatch(text) else np.nan
    if not isinstance(cell, (numbers.Real, Decimal)) or isinstance(cell, bool):
        return np.nan
    try:
        return float(cell)
    except (OverflowError, ValueError):
        return np.nan
