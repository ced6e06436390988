"""Subjects made in Python rather than read from a file: their numbers and names are looked at here."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .exact import Pool
from .reading import rational
from .refuse import CertificateParseError, show


def flat(where: str, values: Any, n: int, d: int) -> array[float]:
    """n rows of d finite numbers, from rows or from a C-contiguous buffer of float64, as one array row by row."""
    found = array("d")
    try:
        with suppress(TypeError):  # from memoryview, of what is not a buffer
            view = memoryview(values)
            if view.format == "d" and view.c_contiguous and view.shape in ((n, d), (n * d,)):
                found.frombytes(view.cast("B"))
        for at, row in enumerate(() if found else values):
            found.extend(row)
            if len(found) != (at + 1) * d:
                raise ValueError(f"row {at} has {len(found) - at * d} values, not {d}")
        if len(found) != n * d:
            raise ValueError(f"{len(found)} values came, not {n} rows of {d}")
    except (TypeError, ValueError, OverflowError) as error:
        raise CertificateParseError(f"{where}: expected numbers: {error}") from None
    if not all(map(math.isfinite, found)):
        raise CertificateParseError(f"{where}: expected finite numbers")
    return found


def labels(where: str, texts: Iterable[str], distinct: bool = True) -> list[str]:
    """Non-empty names, at least one."""
    found = list(texts)
    if not found or not all(type(text) is str and text for text in found):
        raise CertificateParseError(f"{where}: expected non-empty strings, at least one")
    if distinct and len(set(found)) != len(found):
        raise CertificateParseError(f"{where}: expected distinct non-empty names")
    return found


def scales(where: str, scale: Any, d: int, *words: str) -> list[Any]:
    """A scale as a list of d entries, each a word or a pair of texts; one word or pair of numbers may stand for all."""
    found: list[Any] = []
    try:
        for entry in [scale] * d if isinstance(scale, str) else scale:
            if isinstance(entry, str):
                found.append(entry)
                continue
            low, high = (end if isinstance(end, str) else repr(float(end) + 0.0) for end in entry)
            if not -math.inf < rational(low) < rational(high) < math.inf:
                raise ValueError("low is not below high")
            found.append([low, high])
    except (TypeError, ValueError, OverflowError) as error:
        raise CertificateParseError(f"{where}: expected words or pairs of numbers: {error}") from None
    if len(found) != d or not all(entry in words for entry in found if isinstance(entry, str)):
        raise CertificateParseError(f"{where}: expected {d} entries, each {', '.join(words)} or a pair (low, high)")
    return found


@dataclass
class Problem(Pool):
    """A pool of candidates made in Python, for certificates of kind exact.

    Parameters
    ----------
    names : list of str, length n
        Distinct names of the candidates.
    rewards : list of str, length d
        Names of the reward columns; a leading ``-`` negates the column named by the rest.
    values : rows of d floats, or a flat ``array('d')`` of n*d, or a C-contiguous buffer of float64 of shape (n, d)
        As in the file, before sign and scale. Kept as a flat ``array('d')``, row by row.
    costs : list of float, length n, or None
        Finite and >= 0; None means 1 each.
    scale : "none", "minmax" or "log" for all rewards, or a list of d of these or of (low, high)
        The ends of a range are floats, which mean their shortest decimals, or texts. Kept as a list.
    unused : list of str
        Columns of the file beside them, for the statement only.

    Raises
    ------
    CertificateParseError
        Where shapes do not fit, a number is not finite, not above 0 in a log column, or a name occurs twice.
    """

    def __post_init__(self) -> None:
        self.names = labels("problem: names", self.names)
        self.rewards = labels("problem: rewards", self.rewards, distinct=False)
        n, d = len(self.names), len(self.rewards)
        self.values = flat("problem: values", self.values, n, d)
        if self.costs is not None:
            self.costs = flat("problem: costs", [(cost,) for cost in self.costs], n, 1)
            if min(self.costs) < 0:
                raise CertificateParseError("problem: costs: expected finite numbers >= 0")
        self.scale = scales("problem: scale", self.scale, d, "none", "minmax", "log")
        for k, entry in enumerate(self.scale):
            if entry == "log" and min(self.column(k)) <= 0:
                reward = show(self.rewards[k])
                raise CertificateParseError(f"problem: values: expected numbers > 0 in the log column {reward}")
