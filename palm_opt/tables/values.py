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

__all__ = ["Scale", "ValueMatrix"]

Scale = str | tuple[float, float] | Sequence[tuple[float, float]]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PLAIN = re.compile(r"[0-9eE.+\- \t]*")
_MODERATE = 1e301  # of the scaled values in size: their sums and differences must not overflow
_LARGEST = 2**31  # bytes of a file once unpacked: a small compressed file must not exhaust the memory


class ValueMatrix:
    """Values of n candidates in d rewards.

    Parameters
    ----------
    array : (n, d) numbers as measured. NaN and infinities are refused.
    names : n distinct non-empty names; by default "0", "1", ...
    rewards : d distinct names; by default "r1", "r2", ... A leading "-" negates the column: "-latency".
    costs : n finite costs >= 0, by default 1 each.
    scale : "none"; "minmax" (each column to [0, 1] over all rows, a constant column to 0); (low, high), or one such
        pair per reward, in the column's own units before negation: low maps to 0 and high to 1 (a negated column:
        high to 0 and low to 1). Scaling is defined in exact arithmetic on the float64 numbers given.

    Attributes
    ----------
    array : (n, d) float64, scaled, higher is better; each entry within a few ulp of its exact value.
    raw : (n, d) float64 as given.

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
        self.scale: str | tuple[tuple[float, float], ...] = _scale(scale, d)
        self.signs = np.array([-1.0 if name.startswith("-") else 1.0 for name in self.rewards])
        self.array = self._scaled()
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
        return f"ValueMatrix({self.n} candidates x {self.d} rewards: {', '.join(self.rewards)}; scale={self.scale!r})"

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
        row = [Fraction(float(x)) for x in self.raw[i]]
        return [(x - offset) * factor for x, (offset, factor) in zip(row, self.exact_scale, strict=True)]

    @cached_property
    def exact_scale(self) -> list[tuple[Fraction, Fraction]]:
        """(offset, factor) per reward: the exact value is (raw - offset) * factor."""
        result = []
        for k, sign in enumerate(self.signs):
            low, high = self._bounds(k)
            if low is None or high is None:
                result.append((Fraction(0), Fraction(int(sign))))
            elif low == high:
                result.append((Fraction(0), Fraction(0)))
            else:
                width = Fraction(high) - Fraction(low)
                offset = Fraction(low) if sign > 0 else Fraction(high)
                result.append((offset, int(sign) / width))
        return result

    @cached_property
    def _problem(self) -> checker.Problem:
        return checker.Problem(
            names=list(self.names),
            rewards=list(self.rewards),
            values=self.raw.data,
            costs=None if self.cost_column is None else self.costs.tolist(),
            scale=self.scale if isinstance(self.scale, str) else [(low, high) for low, high in self.scale],
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

    def _bounds(self, k: int) -> tuple[float | None, float | None]:
        if self.scale == "none":
            return None, None
        if isinstance(self.scale, str):
            return float(self.raw[:, k].min()), float(self.raw[:, k].max())
        low, high = self.scale[k]
        return float(low), float(high)

    def _scaled(self) -> NDArray[np.float64]:
        if self.scale == "none":
            return _moderate("values", np.ascontiguousarray(self.raw * self.signs + 0.0))
        result = np.zeros_like(self.raw)
        for k, sign in enumerate(self.signs):
            low, high = self._bounds(k)
            assert low is not None and high is not None
            if low < high:
                unit = 1.0 if np.isfinite(high - low) else 0.5  # halved where high - low overflows
                column, start, end = self.raw[:, k] * unit, low * unit, high * unit
                with np.errstate(over="ignore"):  # refused below
                    result[:, k] = ((column - start) if sign > 0 else (end - column)) / (end - start)
        return _moderate(f"scale: the range {self.scale!r} is too narrow for these values", result)


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


def _moderate(what: str, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Refuse scaled values whose sums and differences would overflow."""
    largest = float(np.abs(scaled).max())
    if not largest <= _MODERATE:
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
    return result


def _scale(scale: Scale, d: int) -> str | tuple[tuple[float, float], ...]:
    if isinstance(scale, str):
        if scale in ("none", "minmax"):
            return scale
        raise ProblemError(f"scale: expected 'none', 'minmax', (low, high) or one pair per reward, got {scale!r}")
    try:
        pairs: tuple[Any, ...] = tuple(scale)
        if len(pairs) == 2 and all(np.ndim(x) == 0 for x in pairs):
            pairs = (pairs,) * d
        result = tuple((float(low), float(high)) for low, high in pairs)
    except (TypeError, ValueError, OverflowError) as error:
        raise arguments.refusal("scale", "(low, high) or one pair per reward", scale) from error
    if len(result) != d:
        raise ProblemError(f"scale: expected one (low, high) or {d} of them, got {len(result)}")
    for low, high in result:
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ProblemError(f"scale: expected finite low < high, got ({low}, {high})")
    return tuple((low + 0.0, high + 0.0) for low, high in result)


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
