"""Opening the table in a file or a frame: what reads it is loaded only then."""

from __future__ import annotations

from typing import Any

from palm_opt.tables.reading import File, Format, Table, TextTable

__all__ = ["frame_table", "open_table"]


def open_table(file: File, form: Format) -> Table:
    """The table in a CSV or Parquet file."""
    if file.kind == "csv":
        return TextTable(file, form)
    from palm_opt.tables.arrow import parquet_table

    return parquet_table(file)


def frame_table(frame: Any) -> Table:
    """The table in any dataframe that narwhals knows."""
    from palm_opt.tables.arrow import frame_table

    return frame_table(frame)
