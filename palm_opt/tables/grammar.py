"""The one grammar of numbers, that of the checker, and arrays of numbers from whatever holds them."""

from __future__ import annotations

import numbers
import re
import reprlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.errors import ProblemError

__all__ = ["array", "is_gap", "number", "parse"]

_NUMBER = re.compile(r"[ \t]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*")
_PLAIN = re.compile(r"[0-9eE.+\- \t]*")  # of these characters, float() reads what _NUMBER does
_LONGEST = 4_096  # characters of a number
_GAPS = frozenset(["", "-", "--", "?", ".", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "missing"])


def is_gap(cell: Any) -> bool:
    """Whether a cell says that there is no number: empty, None, NaN or a word for it; a mistyped number is no gap."""
    if isinstance(cell, str):
        return cell.strip().lower() in _GAPS
    return (
        cell is None or (isinstance(cell, numbers.Real | Decimal) and cell != cell) or type(cell).__name__ == "NAType"
    )


def number(cell: Any, decimal: str = ".") -> float:
    """The float64 nearest to the number in a cell; NaN where there is none, infinite where it is too large."""
    if isinstance(cell, str):
        if decimal != ".":
            cell = "" if "." in cell else cell.replace(decimal, ".")
        return float(cell) if len(cell) <= _LONGEST and _NUMBER.fullmatch(cell) else np.nan
    if not isinstance(cell, numbers.Real | Decimal) or isinstance(cell, bool):
        return np.nan
    try:
        return float(cell)
    except (OverflowError, ValueError):
        return np.nan


def parse(cells: Sequence[str], decimal: str = ".") -> NDArray[np.float64]:
    """`number` of every cell, at once where the column is clean."""
    text, clean = "".join(cells), cells
    if decimal != ".":
        text = "x" if "." in text else text.replace(decimal, ".")
        clean = [cell.replace(decimal, ".") for cell in cells]
    if _PLAIN.fullmatch(text) and (len(text) <= _LONGEST or max(map(len, clean)) <= _LONGEST):
        try:
            return np.fromiter(map(float, clean), np.float64, len(clean))
        except ValueError:
            pass
    return np.array([number(cell, decimal) for cell in cells], dtype=np.float64)


def array(what: str, data: Any, expected: str = "an array of numbers") -> NDArray[Any]:
    """The numbers of an array, a nested sequence or a tensor, as float32 where they are that, else as float64.

    Raises
    ------
    ProblemError : a masked entry (with its place), dates, texts, objects, complex numbers, a dataframe, a ragged list.
        NaN and infinities are left to the caller, who knows what their places are called.
    """
    if hasattr(data, "columns") and hasattr(data, "dtypes"):
        raise ProblemError(f"{what}: expected {expected}, got a dataframe: from_frame reads it, names and all")
    try:
        given = _given(data)
    except Exception as error:  # tensors on a device, ragged lists, objects that pretend to be arrays
        raise ProblemError(f"{what}: expected {expected}: {' '.join(str(error).split())}") from error
    if isinstance(given, np.ma.MaskedArray):
        for place in np.argwhere(np.ma.getmaskarray(given))[:1].tolist():
            raise ProblemError(f"{what}: entry {place} is masked, expected a finite number")
        given = given.data
    if given.dtype.kind == "O":
        return _objects(what, given, expected)
    if given.dtype.kind not in "fiub":
        raise ProblemError(
            f"{what}: expected {expected}: got {given.dtype}" + " complex ones" * (given.dtype.kind == "c")
        )
    return given if given.dtype == np.float32 else given.astype(np.float64)


def _given(data: Any) -> NDArray[Any]:
    if hasattr(data, "detach"):  # a torch tensor, also one that requires a gradient
        data = data.detach().cpu()
        data = data.float() if str(data.dtype) == "torch.bfloat16" else data
    elif isinstance(data, (list, tuple)) and any(isinstance(part, np.ma.MaskedArray) for part in data):
        return np.ma.stack([np.ma.asarray(part) for part in data])
    return np.asanyarray(data)


def _objects(what: str, given: NDArray[Any], expected: str) -> NDArray[np.float64]:
    result = np.array([number(cell) for cell in given.ravel().tolist()]).reshape(given.shape)
    for place in np.argwhere(np.isnan(result)).tolist():
        cell = given[tuple(place)]
        if not is_gap(cell):
            shown = " ".join(reprlib.repr(cell).split())
            raise ProblemError(f"{what}: expected {expected} (no objects), got {shown} at {place}")
    return result
