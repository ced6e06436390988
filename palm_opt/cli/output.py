"""What the command line prints: strict JSON, or aligned plain text."""

from __future__ import annotations

import enum
import functools
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ParamSpec, TextIO, TypeVar

import typer

from palm_opt.errors import TableWarning

__all__ = [
    "alone_on_stdout",
    "emit",
    "emit_error",
    "emit_json",
    "facts",
    "open_streams",
    "plain",
    "short",
    "table",
    "tell_warnings",
]

P = ParamSpec("P")
T = TypeVar("T")
_stream: list[TextIO] = []  # where `emit` writes while a command runs
_warned: list[str] = []  # what was warned of


def plain(value: Any) -> Any:
    """Turn a value into strict JSON data: infinities and NaN become None, arrays lists, paths and enums text."""
    if value is None or (isinstance(value, (bool, str, int)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy arrays and scalars, without importing numpy
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return str(value)


def emit_json(document: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of stdout; what was warned of is its entry `warnings`."""
    told = {"warnings": _warned} if _warned else {}
    emit(json.dumps(plain({**document, **told}), allow_nan=False, ensure_ascii=False))


def emit(text: str = "") -> None:
    """Print to stdout; characters that its encoding lacks are escaped, never fatal."""
    stream = _stream[-1] if _stream else sys.stdout
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def emit_error(message: str) -> None:
    """Print one line to stderr in the form of all errors: `palm-opt: error: ...`, in ASCII."""
    line = " ".join(message.split())
    sys.stderr.write(f"palm-opt: {line}\n".encode("ascii", "backslashreplace").decode("ascii"))


def tell_warnings() -> None:
    """From now on what is said of a table is one line on stderr; other warnings are as ever."""
    _warned.clear()
    warnings.simplefilter("always", TableWarning)
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
    if issubclass(category, TableWarning):
        _warned.append(str(message))
        emit_error(f"warning: {message}")
    else:
        sys.stderr.write(warnings.formatwarning(message, category, *where[:2]))


def alone_on_stdout(command: Callable[P, T]) -> Callable[P, T]:
    """Send whatever a command's libraries print, also from C, to stderr: stdout holds what `emit` writes, only."""

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> T:
        sys.stdout.flush()
        saved, python = os.dup(1), sys.stdout
        try:
            os.dup2(2, 1)
            sys.stdout = sys.stderr
            with os.fdopen(saved, "w", encoding=python.encoding, errors="backslashreplace", closefd=False) as stream:
                _stream.append(stream)
                return command(*args, **options)
        except BrokenPipeError:  # the reader (head, less) has gone: not an error; click would exit with 1
            raise typer.Exit(0) from None
        finally:
            _stream.clear()
            sys.stdout = python
            os.dup2(saved, 1)
            os.close(saved)

    return run


def open_streams() -> None:
    """Where a shell closed stdout or stderr (`>&-`), write to nowhere instead of to the next file opened."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], left: int = 1, last_left: bool = False) -> str:
    """Align columns: the first `left` ones (and the last, if `last_left`) to the left, the rest to the right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    flush = [k < left or (last_left and k == len(header) - 1) for k in range(len(header))]
    lines = []
    for row in cells:
        columns = zip(row, widths, flush, strict=True)
        parts = [cell.ljust(width) if to_left else cell.rjust(width) for cell, width, to_left in columns]
        lines.append(("  " + "  ".join(parts)).rstrip())
    return "\n".join(lines)


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Align label and text pairs."""
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join(f"  {label.ljust(width)}  {text}".rstrip() for label, text in rows)


def short(text: str, limit: int = 40) -> str:
    """Cut a long name in the middle, keeping it on one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else f"{line[: limit // 2]}...{line[len(line) - limit // 2 + 3 :]}"
