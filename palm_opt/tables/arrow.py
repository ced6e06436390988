"""Parquet files and dataframes as tables: types and sizes are looked at before anything is decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from palm_opt.arguments import refusal, repeated
from palm_opt.errors import ProblemError
from palm_opt.tables.grammar import number
from palm_opt.tables.reading import BATCH, LARGEST, Batch, Codes, File, Gaps, Table, places

__all__ = ["frame_table", "parquet_table"]

_DENSEST = 1_000  # bytes that a byte of a large file may hold: texts are packed to a tenth, not to a thousandth


class ArrowTable(Table):
    """A Parquet file or a frame: `stream` gives record batches of some columns."""

    def __init__(
        self, source: str, schema: Any, rows: int, stream: Callable[[list[str], list[str]], Iterator[Any]]
    ) -> None:
        super().__init__(source, schema.names)
        self.schema, self.rows, self.stream = schema, rows, stream
        keys = (schema.pandas_metadata or {}).get("index_columns") or []
        self.index = tuple(key for key in keys if isinstance(key, str) and key in self.header)

    @property
    def numeric(self) -> list[str]:
        """Columns of numbers."""
        kinds = (pyarrow.types.is_floating, pyarrow.types.is_integer, pyarrow.types.is_decimal)
        return [name for name in self.header if any(kind(self.schema.field(name).type) for kind in kinds)]

    def batches(
        self, roles: Mapping[str, str], numbers: Sequence[str], gaps: Gaps, who: bool = False
    ) -> Iterator[Batch]:
        """See Table; the types of the columns are looked at first."""
        numeric = set(self.numeric)
        for name in numbers:
            if name not in numeric and self.schema.field(name).type != pyarrow.null():
                kind = str(self.schema.field(name).type)
                raise ProblemError(f"{self.source}: column {name!r} holds {kind[:60]}, expected numbers")
        for name in roles.values():
            if pyarrow.types.is_nested(self.schema.field(name).type):
                raise ProblemError(f"{self.source}: column {name!r} holds lists or records, expected names")
        yield from super().batches(roles, numbers, gaps, who)

    def _read(self, columns: list[str]) -> Iterator[tuple[dict[str, Any], Callable[[int], str]]]:
        kinds = (pyarrow.types.is_string, pyarrow.types.is_large_string)
        words = [name for name in columns if any(kind(self.schema.field(name).type) for kind in kinds)]
        row, stream = 0, self.stream(columns, words)
        while True:
            try:
                batch = next(stream, None)
                if batch is None:
                    return
                found = {name: batch.column(batch.schema.get_field_index(name)) for name in columns}
            except Exception as error:  # pyarrow raises what it likes over a damaged file
                raise _unreadable(self.source, error) from error
            if len(batch):
                yield found, places(self.source, "row", range(row, row + len(batch)))
            row += len(batch)

    def _codes(self, role: str, name: str, column: Any, place: Callable[[int], str]) -> Codes:
        try:
            encoded = column if pyarrow.types.is_dictionary(column.type) else column.dictionary_encode()
            for i in np.flatnonzero(encoded.is_null().to_numpy(zero_copy_only=False))[:1].tolist():
                raise ProblemError(f"{place(i)}: the {role} in column {name!r} is missing")
            index = encoded.indices.to_numpy(zero_copy_only=False)
            used, first = np.unique(index, return_index=True)
            order = used[np.argsort(first)]  # those that occur, in the order of their first row
            rank = np.zeros(int(used.max()) + 1, dtype=np.int64)
            rank[order] = np.arange(len(order))
            names = [str(item) for item in encoded.dictionary.take(pyarrow.array(order)).to_pylist()]
        except ProblemError:
            raise
        except Exception as error:
            raise _unreadable(self.source, error) from error
        codes = rank[index]
        if "" in names:
            raise ProblemError(
                f"{place(int((codes == names.index('')).argmax()))}: the {role} in column {name!r} is empty"
            )
        return self.coders[role].codes(names, codes)

    def _numbers(self, column: Any) -> NDArray[np.float64]:
        if pyarrow.types.is_floating(column.type) or pyarrow.types.is_integer(column.type):
            return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)  # a missing number becomes NaN
        return np.array([number(cell) for cell in column.to_pylist()], dtype=np.float64)

    def _cell(self, column: Any, i: int) -> Any:
        return column[i].as_py()


def parquet_table(file: File) -> Table:
    def stream(columns: list[str], words: list[str]) -> Iterator[Any]:
        with parquet.ParquetFile(file.handle, read_dictionary=words) as opened:
            yield from opened.iter_batches(batch_size=BATCH, columns=columns, use_threads=False)

    try:
        with parquet.ParquetFile(file.handle) as opened:
            schema, rows = opened.schema_arrow, opened.metadata.num_rows
            groups = range(opened.metadata.num_row_groups)  # of columns pyarrow cannot say more of a damaged file
            unpacked = sum(opened.metadata.row_group(g).total_byte_size for g in groups)
        if unpacked > max(LARGEST, _DENSEST * file.size) or rows > 2 * LARGEST:
            raise ProblemError(f"{file.name}: more than {LARGEST} bytes once unpacked")
        return ArrowTable(file.name, schema, rows, stream)
    except ProblemError:
        raise
    except Exception as error:
        raise _unreadable(file.name, error) from error


def frame_table(frame: Any) -> Table:
    """The table in any dataframe that narwhals knows."""
    import narwhals

    try:
        data = narwhals.from_native(frame, eager_only=True)
        names = list(data.columns)
        for name in names:
            if not isinstance(name, (str, int, np.integer)) or isinstance(name, bool):
                raise ProblemError(
                    f"frame: column {name!r}: expected names that are texts; join several levels into one text each"
                )
        if repeated(map(str, names)) is not None:
            raise ProblemError(f"frame: column {repeated(map(str, names))!r} occurs twice")
        table = data.to_arrow()
    except ProblemError:
        raise
    except TypeError as error:
        raise refusal("frame", "a dataframe (pandas, polars, pyarrow, ...) with one type a column", frame) from error
    except Exception as error:  # pyarrow's, over columns of mixed types
        raise ProblemError(f"frame: cannot be read: {' '.join(str(error).split())}") from error

    def stream(columns: list[str], words: list[str]) -> Iterator[Any]:
        return iter(table.select(columns).to_batches(BATCH))

    return ArrowTable("frame", table.schema, table.num_rows, stream)


def _unreadable(name: str, error: Exception) -> ProblemError:
    """The refusal of a damaged Parquet file."""
    return ProblemError(f"{name}: cannot be read as parquet: {' '.join(str(error).split())}")
