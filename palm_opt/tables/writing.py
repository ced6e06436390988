"""Tables as CSV that reads back exactly: what the standalone checker reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

__all__ = ["csv_lines"]

_ROWS = 4_096


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The text, some thousand rows at a time; floats are written so that they read back exactly."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    remaining: Iterator[Sequence[Any]] = chain([header], rows)
    while batch := list(islice(remaining, _ROWS)):
        writer.writerows(batch)  # of a float its repr
        yield stream.getvalue()
        stream.seek(0)
        stream.truncate()
