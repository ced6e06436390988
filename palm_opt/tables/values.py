"""The value matrix: n candidates x d rewards, higher is better, with exact scaling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt import arguments, checker
from palm_opt.errors import ProblemError
from palm_opt.tables import grammar, scales
from palm_opt.tables.candidates import Candidates, frame_candidates, read_candidates
from palm_opt.tables.decimals import rational
from palm_opt.tables.reading import File, Format
from palm_opt.tables.scales import Scale
from palm_opt.tables.writing import csv_lines

__all__ = ["Scale", "ValueMatrix"]

_MODERATE = 1e301  # of the scaled values in size: their sums and differences must not overflow
_DEAREST = 1e12  # cost: solvers add costs up as floats


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
    plain : whether a checker reads the same numbers from the file that was read, as it stands; else from `to_csv`.

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
        self.plain = False
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
        path: str | Path | File,
        id: str | None = None,
        rewards: Sequence[str] | None = None,
        cost: str | None = None,
        scale: Scale = "none",
        *,
        missing: str = "error",
        header: bool = True,
        separator: str | None = None,
        decimal: str = ".",
    ) -> ValueMatrix:
        """Read a .csv, .tsv, .parquet or .npz file (arrays `values`, and optionally `names`, `rewards`, `costs`).

        Parameters
        ----------
        path : "-" is stdin.
        id : column of candidate names; None: rows are numbered from 0 (a Parquet file that pandas wrote with an index:
            the index).
        rewards : reward columns, with a leading "-" for those to negate. None: every other column, and a name that says
            that lower is better (cost, latency, error, ...) is refused. Such a name without a sign is taken as written,
            with a warning; "+cost" says that it is meant; "+" alone stands for all columns not named, as written.
        cost : column of costs.
        missing : "error" refuses gaps (empty cells, NA, NaN, ...) and lists them, "drop" leaves their candidates out,
            "worst" counts a gap as the worst of its column over the rest (a cost: as the dearest). The last two warn.
        header : whether the first line names the columns; else they are called c1, c2, ...
        separator, decimal : of a CSV file; by default a comma (a tab in .tsv files) and ".".
        """
        form = Format(missing, header, separator, decimal)
        return cls._made(read_candidates(File.find(path), form, id, rewards, cost), scale)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        id: str | None = None,
        rewards: Sequence[str] | None = None,
        cost: str | None = None,
        scale: Scale = "none",
        *,
        missing: str = "error",
    ) -> ValueMatrix:
        """From any dataframe that narwhals knows (pandas, polars, pyarrow, ...); arguments as in `read`.

        The index of a pandas frame is the names, unless it only counts the rows or `id` names a column.
        """
        return cls._made(frame_candidates(frame, Format(missing), id, rewards, cost), scale)

    @classmethod
    def _made(cls, found: Candidates, scale: Scale) -> ValueMatrix:
        try:
            values = cls(found.array, found.names, found.rewards, found.costs, scale)
        except ProblemError as error:
            raise ProblemError(f"{found.source}: {error}") from None
        values.id_column, values.cost_column, values.plain = found.id, found.cost, found.plain
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

    def csv_lines(self) -> Iterator[str]:
        """The raw numbers as CSV with round-trip floats: the file that the standalone checker reads."""
        left = [] if self.id_column is None else [[name] for name in self.names]
        right = [] if self.cost_column is None else [[cost] for cost in self.costs.tolist()]
        header = [self.id_column, *(name.removeprefix("-") for name in self.rewards), self.cost_column]
        rows = (
            list(chain.from_iterable(cells))
            for cells in zip(*filter(None, (left, self.raw.tolist(), right)), strict=True)
        )
        return csv_lines([name for name in header if name is not None], rows)

    def to_csv(self) -> str:
        """`csv_lines` as one text."""
        return "".join(self.csv_lines())

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}


def _matrix(array: ArrayLike) -> NDArray[np.float64]:
    raw = np.array(grammar.array("values", array, "an (n, d) array of numbers"), dtype=np.float64, order="C", copy=True)
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
    result = np.array(grammar.array("costs", costs, f"{n} numbers"), dtype=np.float64, copy=True) + 0.0
    if result.shape != (n,):
        raise ProblemError(f"costs: expected shape ({n},), one per candidate, got {result.shape}")
    for i in np.flatnonzero(~(np.isfinite(result) & (result >= 0)))[:1]:
        raise ProblemError(f"costs: entry {i} is {result[i]}, expected a finite number >= 0")
    for i in np.flatnonzero(result > _DEAREST)[:1]:
        raise ProblemError(f"costs: entry {i} is {result[i]}, expected at most {_DEAREST:g}; choose a larger unit")
    return result
