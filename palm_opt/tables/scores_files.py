"""Reading scores: npz arrays (mapped, not copied, where stored as such), long CSV and Parquet tables."""

from __future__ import annotations

import csv
import itertools
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from palm_opt import storage
from palm_opt.arguments import choices, repeated
from palm_opt.errors import ProblemError
from palm_opt.tables.values import _numbers

__all__ = ["Arrays", "Columns", "ParquetRows", "Rows", "Source", "read_csv", "read_npz", "read_parquet"]

_BATCH = 65_536  # rows read at a time


class Rows(Protocol):
    """Scores as in the file, prompt after prompt."""

    def slices(self, bounds: NDArray[np.int64]) -> Iterator[tuple[NDArray[Any], NDArray[np.float64] | None]]:
        """Rows bounds[i] .. bounds[i + 1] - 1 for each i, once and in order: (scores (rows, d), log weights)."""


@dataclass(frozen=True)
class Arrays:
    """Rows in memory or mapped from a file: scores (rows, columns) of floats, log_weights (rows,)."""

    scores: NDArray[Any]
    log_weights: NDArray[np.float64] | None = None
    columns: tuple[int, ...] | None = None  #: the columns meant, in order; None for all

    def slices(self, bounds: NDArray[np.int64]) -> Iterator[tuple[NDArray[Any], NDArray[np.float64] | None]]:
        """See Rows."""
        for first, last in itertools.pairwise(bounds.tolist()):
            scores = self.scores[first:last]
            if self.columns is not None:
                scores = scores[:, self.columns]
            yield scores, None if self.log_weights is None else self.log_weights[first:last]


@dataclass(frozen=True)
class ParquetRows:
    """Rows of a Parquet file that is read again on every pass, a batch at a time."""

    path: Path
    rewards: tuple[str, ...]
    log_weight: str | None

    def slices(self, bounds: NDArray[np.int64]) -> Iterator[tuple[NDArray[Any], NDArray[np.float64] | None]]:
        """See Rows."""
        names = [*self.rewards, *([self.log_weight] if self.log_weight else [])]
        batches = (_floats(batch, names) for batch in _batches(self.path, names))
        held = np.empty((0, len(names)))
        for rows in np.diff(bounds).tolist():
            parts = [held]
            while sum(map(len, parts)) < rows:
                part = next(batches, None)
                if part is None:
                    raise ProblemError(f"{self.path}: has fewer rows than when it was opened")
                parts.append(part)
            held = np.concatenate(parts)
            block, held = held[:rows], held[rows:]
            yield block[:, : len(self.rewards)], block[:, -1] if self.log_weight else None


@dataclass(frozen=True)
class Columns:
    """What to read: column names, rewards without their signs; None where the file decides."""

    rewards: tuple[str, ...] | None
    prompt: str
    response: str | None
    log_weight: str | None

    def resolve(self, path: Path, header: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
        """Reward columns and log-weight column of a long table."""
        for name in (self.prompt, self.response, self.log_weight, *(self.rewards or ())):
            if name is not None and name not in header:
                raise ProblemError(f"{path}: no column {name!r}; {choices(name, header)}")
        log_weight = self.log_weight or ("log_weight" if "log_weight" in header else None)
        if self.rewards is not None and log_weight in self.rewards and self.log_weight is None:
            log_weight = None
        ids = {self.prompt, self.response or "response", log_weight}
        rewards = tuple(name for name in header if name not in ids) if self.rewards is None else self.rewards
        if not rewards:
            raise ProblemError(f"{path}: no reward columns beside {', '.join(header)}")
        for name in rewards:
            if name in (self.prompt, self.response, log_weight):
                raise ProblemError(f"{path}: column {name!r} is named as a reward and as something else")
        return rewards, log_weight


@dataclass(frozen=True)
class Source:
    """A file that was read once and found good."""

    rows: Rows
    counts: NDArray[np.int64]
    rewards: tuple[str, ...] | None
    prompts: tuple[str, ...] | None = None
    responses: tuple[str, ...] | None = None
    prompt_column: str = "prompt"  #: names of the other columns of a long table
    log_weight_column: str = "log_weight"


@dataclass
class _Long:
    """A long table, batch by batch: groups rows by prompt, in the order in which prompts appear."""

    path: Path
    prompt: str
    memory: int
    numbers: dict[str, int] = field(default_factory=dict)
    codes: list[NDArray[np.int32]] = field(default_factory=list)
    parts: list[NDArray[np.float64]] | None = field(default_factory=list)  # None: too large to keep
    rows: int = 0
    grouped: bool = True

    def add(self, prompts: Sequence[Any], index: NDArray[np.int64], table: NDArray[np.float64]) -> None:
        """Rows `table` with prompts[index]."""
        code = np.array([self.numbers.setdefault(str(p), len(self.numbers)) for p in prompts], dtype=np.int32)[index]
        previous = self.codes[-1][-1:] if self.codes else code[:1]
        self.grouped &= bool((np.diff(code, prepend=previous) >= 0).all())  # numbered in the order of appearance
        self.codes.append(code)
        self.rows += len(code)
        if self.parts is not None and table.shape[1] * 8 * self.rows > self.memory:
            self.parts = None
        if self.parts is not None:
            self.parts.append(table)

    def finish(self, rewards: tuple[str, ...], log_weight: str | None, stream: Rows | None) -> Source:
        """The grouped rows, in memory if they fit."""
        if not self.rows:
            raise ProblemError(f"{self.path}: expected at least one row, found none")
        codes = np.concatenate(self.codes)
        rows = stream
        if self.parts is not None:
            table = np.concatenate(self.parts)
            if not self.grouped:
                table = table[np.argsort(codes, kind="stable")]
            d = len(rewards)
            rows = Arrays(table[:, :d], np.ascontiguousarray(table[:, d]) if log_weight else None)
        elif stream is None or not self.grouped:
            mend = "sort its rows by prompt" if stream is not None else "write it as Parquet"
            raise ProblemError(f"{self.path}: {self.rows} rows do not fit in memory={self.memory} bytes; {mend}")
        assert rows is not None
        counts = np.bincount(codes, minlength=len(self.numbers))
        return Source(
            rows,
            counts.astype(np.int64),
            rewards,
            tuple(self.numbers),
            prompt_column=self.prompt,
            log_weight_column=log_weight or "log_weight",
        )


def read_csv(path: Path, columns: Columns, memory: int) -> Source:
    """A long CSV file, read into memory."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(storage.lines(stream, path), strict=True)
        try:
            header = next((row for row in reader if row), None)
            if header is None:
                raise ProblemError(f"{path}: empty, expected a header line and at least one row")
            twice = repeated(header)
            if twice is not None:
                raise ProblemError(f"{path}, line {reader.line_num}: column {twice!r} occurs twice")
            rewards, log_weight = columns.resolve(path, header)
            wanted = [*rewards, *([log_weight] if log_weight else [])]
            positions = [header.index(name) for name in wanted]
            long = _Long(path, columns.prompt, memory)
            while batch := list(itertools.islice(_rows(path, reader, len(header)), _BATCH)):
                lines, rows = [line for line, _ in batch], [row for _, row in batch]
                table = np.empty((len(rows), len(wanted)))
                place = _places(path, "line", lines)
                for k, position in enumerate(positions):
                    table[:, k] = _numbers([row[position] for row in rows], wanted[k], place)
                prompts = [row[header.index(columns.prompt)] for row in rows]
                if "" in prompts:
                    raise ProblemError(f"{place(prompts.index(''))}: the prompt in column {columns.prompt!r} is empty")
                long.add(prompts, np.arange(len(prompts)), table)
        except csv.Error as error:
            raise ProblemError(f"{path}, line {reader.line_num}: {error}") from error
        except UnicodeDecodeError as error:
            raise ProblemError(f"{path}: not UTF-8 text: {error}") from error
    return long.finish(rewards, log_weight, None)


def _rows(path: Path, reader: Any, width: int) -> Iterator[tuple[int, list[str]]]:
    for row in reader:
        if row and len(row) != width:
            raise ProblemError(f"{path}, line {reader.line_num}: {len(row)} cells, expected {width} as in the header")
        if row:
            yield reader.line_num, row


def _places(path: Path, unit: str, numbers: Sequence[int]) -> Callable[[int], str]:
    return lambda i: f"{path}, {unit} {numbers[i]}"


def read_parquet(path: Path, columns: Columns, memory: int) -> Source:
    """A long Parquet file; larger than `memory` bytes it stays on the disk and is read in batches on every pass."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        schema = parquet.read_schema(path)
        twice = repeated(schema.names)
        if twice is not None:
            raise ProblemError(f"{path}: column {twice!r} occurs twice")
        rewards, log_weight = columns.resolve(path, schema.names)
        wanted = [*rewards, *([log_weight] if log_weight else [])]
        for name in wanted:
            kind = schema.field(name).type
            if not (pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind)):
                raise ProblemError(f"{path}: column {name!r} holds {kind}, expected numbers")
        long = _Long(path, columns.prompt, memory)
        for batch in _batches(path, [columns.prompt, *wanted]):
            place = _places(path, "row", range(long.rows, long.rows + len(batch)))
            table = _floats(batch, wanted)
            for i, k in np.argwhere(~np.isfinite(table))[:1].tolist():
                cell = batch.column(wanted[k])[i].as_py()
                raise ProblemError(f"{place(i)}: {cell!r} in column {wanted[k]!r}, expected a finite number")
            prompts = batch.column(columns.prompt)
            if not pyarrow.types.is_dictionary(prompts.type):
                prompts = prompts.dictionary_encode()
            for i in np.flatnonzero(prompts.is_null().to_numpy(zero_copy_only=False))[:1].tolist():
                raise ProblemError(f"{place(i)}: the prompt in column {columns.prompt!r} is missing")
            used, index = np.unique(prompts.indices.to_numpy(), return_index=True)
            order = used[np.argsort(index)]  # those that occur, in the order of their first row
            rank = np.empty(int(used.max()) + 1, dtype=np.int64)
            rank[order] = np.arange(len(order))
            names = prompts.dictionary.take(pyarrow.array(order)).to_pylist()
            long.add(names, rank[prompts.indices.to_numpy()], table)
    except pyarrow.ArrowException as error:
        raise ProblemError(f"{path}: cannot be read as Parquet: {error}") from error
    return long.finish(rewards, log_weight, ParquetRows(path, rewards, log_weight))


def _batches(path: Path, names: Sequence[str]) -> Iterator[Any]:
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH, columns=list(names), use_threads=False):
            if len(batch):
                yield batch


def _floats(batch: Any, names: Sequence[str]) -> NDArray[np.float64]:
    """Columns of a batch as float64, missing numbers as NaN."""
    table = np.empty((len(batch), len(names)))
    for k, name in enumerate(names):
        table[:, k] = batch.column(name).to_numpy(zero_copy_only=False)
    return table


def read_npz(path: Path, rewards: Sequence[str] | None, memory: int) -> Source:
    """Arrays `rewards` (prompts, responses, d), or (rows, d) with `counts` (prompts,); optional `log_weights`, `dims`
    (names of the rewards; also `reward_names`), `prompt_ids` and `responses` (names)."""
    try:
        data = _arrays(path, memory)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ProblemError(f"{path}: cannot be read as npz: {error}") from error
    if "rewards" not in data:
        raise ProblemError(f"{path}: expected an array 'rewards', found {', '.join(sorted(data)) or 'nothing'}")
    scores, counts, weights = data["rewards"], data.get("counts"), data.get("log_weights")
    if scores.ndim == 3 and counts is None:
        counts = np.full(len(scores), scores.shape[1])
        scores = scores.reshape(-1, scores.shape[2])
    elif scores.ndim != 2 or counts is None:
        raise ProblemError(
            f"{path}: rewards: expected shape (prompts, responses, d), or (rows, d) with an array 'counts', "
            f"got {scores.shape}" + (" with counts" if counts is not None else "")
        )
    names = data.get("dims", data.get("reward_names"))
    have = None if names is None else tuple(map(str, names.tolist()))
    columns = None
    if rewards is not None and have is not None:
        for name in rewards:
            if name not in have:
                raise ProblemError(f"{path}: no reward {name!r}; {choices(name, have)}")
        columns = tuple(have.index(name) for name in rewards)
        have = tuple(rewards)
    return Source(
        Arrays(scores, None if weights is None else weights.reshape(-1), columns),
        counts,
        have if rewards is None else tuple(rewards),
        _labels(data.get("prompt_ids")),
        _labels(data.get("responses")),
    )


def _labels(array: NDArray[Any] | None) -> tuple[str, ...] | None:
    return None if array is None else tuple(map(str, array.reshape(-1).tolist()))


_KEYS = ("rewards", "counts", "log_weights", "dims", "reward_names", "prompt_ids", "responses")


def _arrays(path: Path, memory: int) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file: mapped where they are stored uncompressed, else read if they fit."""
    found: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(path) as archive:
        for key in _KEYS:
            if f"{key}.npy" not in archive.namelist():
                continue
            entry = archive.getinfo(f"{key}.npy")
            if key == "rewards" and entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1:
                found[key] = _mapped(path, entry)
            elif entry.file_size > memory:
                raise ProblemError(
                    f"{path}: {key} does not fit in memory={memory} bytes; save it with np.savez, without compression"
                )
            else:
                with archive.open(entry) as stream:
                    found[key] = np.lib.format.read_array(stream, allow_pickle=False)
    return found


def _mapped(path: Path, entry: zipfile.ZipInfo) -> NDArray[Any]:
    with path.open("rb") as stream:
        stream.seek(entry.header_offset + 26)
        lengths = stream.read(4)
        stream.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
        begin = stream.tell()
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        offset = stream.tell()
    if (
        dtype.hasobject
        or fortran
        or offset - begin + int(np.prod(shape, dtype=object)) * dtype.itemsize != entry.file_size
    ):
        raise ValueError(f"{entry.filename} is not a plain array in C order")
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)
