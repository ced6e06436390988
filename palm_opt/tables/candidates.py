"""A table of candidates from a file or a frame: names, rewards, costs, and what becomes of gaps."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.arguments import counted
from palm_opt.errors import ProblemError, TableWarning
from palm_opt.tables.directions import choose
from palm_opt.tables.npz import npz_names, read_npz, texts
from palm_opt.tables.opening import frame_table, open_table
from palm_opt.tables.reading import LARGEST, File, Format, Gaps, Table, places

__all__ = ["Candidates", "fill", "frame_candidates", "read_candidates"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """What a value matrix is made of. plain : whether the checker reads the same from the file as it stands."""

    source: str
    array: Array
    names: list[str] | None
    rewards: list[str] | None
    costs: Array | None
    id: str | None
    cost: str | None
    plain: bool


def read_candidates(
    file: File, form: Format, id: str | None, rewards: Sequence[str] | None, cost: str | None
) -> Candidates:
    """The candidates of a file; arguments as of `ValueMatrix.read`."""
    if file.kind == "npz":
        return _from_arrays(file, form, rewards)
    return _from_table(open_table(file, form), form, id, rewards, cost, file.plain(form))


def frame_candidates(
    frame: Any, form: Format, id: str | None, rewards: Sequence[str] | None, cost: str | None
) -> Candidates:
    """The candidates of a frame; its index is their names unless `id` says otherwise."""
    return _from_table(frame_table(frame), form, id, rewards, cost, False)


def _from_table(
    table: Table, form: Format, id: str | None, rewards: Sequence[str] | None, cost: str | None, plain: bool
) -> Candidates:
    own = id is None and bool(table.index)
    if own and len(table.index) > 1:
        levels = ", ".join(map(repr, table.index))
        raise ProblemError(f"{table.source}: an index of several levels ({levels}): id= names the one that is distinct")
    id = table.index[0] if own else id if id is None else table.find("id", id)
    cost = None if cost is None else table.find("cost", cost)
    wanted = choose(
        table.source, table.header, rewards, [name for name in (id, cost, *table.index) if name is not None]
    )
    columns = [name.removeprefix("-") for name in wanted] + ([] if cost is None else [cost])
    gaps = Gaps(table.source)
    found = table.collect({} if id is None else {"candidate": id}, columns, gaps)
    n = len(found.numbers)
    names = None
    if id is not None:
        names, codes = table.names("candidate"), found.codes["candidate"]
        for i in np.flatnonzero(codes != np.arange(n))[:1].tolist():
            first = found.place(int(codes[i]))
            raise ProblemError(f"{found.place(i)}: candidate {names[codes[i]]!r} occurs twice, first at {first}")
    if cost is not None:
        for i in np.flatnonzero(found.numbers[:, -1] < 0)[:1].tolist():
            amount = found.numbers[i, -1]
            raise ProblemError(f"{found.place(i)}: cost {amount} in column {cost!r}, expected a number >= 0")
    if own and id == "__index_level_0__" and table.source == "frame" and "id" not in table.header:
        id = "id"  # what pandas calls an index without a name
    array, costs = found.numbers[:, : len(wanted)], None if cost is None else found.numbers[:, -1]
    return _without_gaps(gaps, form, Candidates(table.source, array, names, wanted, costs, id, cost, plain))


def _from_arrays(file: File, form: Format, rewards: Sequence[str] | None) -> Candidates:
    have = npz_names(file.handle, file.name)
    if "values" not in have:
        raise ProblemError(f"{file.name}: expected an array 'values' of shape (n, d), found {sorted(have)}")
    larger = f"more than {LARGEST} bytes once unpacked"
    data = read_npz(file.handle, file.name, ("values", "costs"), ("names", "rewards"), LARGEST, larger)
    array = np.array(data["values"], dtype=np.float64)
    for key in ("rewards", "names", "costs"):
        if key in data and data[key].ndim != 1:
            raise ProblemError(f"{file.name}: expected a one-dimensional array {key!r}, got shape {data[key].shape}")
    known, wanted = texts(data.get("rewards")), None if rewards is None else [str(name) for name in rewards]
    if known is not None:
        if array.ndim != 2 or array.shape[1] != len(known):
            raise ProblemError(f"{file.name}: expected values of shape (n, {len(known)}), got {array.shape}")
        wanted = choose(file.name, known, rewards, noun="reward")
        array = array[:, [known.index(name.removeprefix("-")) for name in wanted]]
    elif wanted is not None:
        wanted = None if wanted == ["+"] else [name.removeprefix("+") for name in wanted]
    gaps, place = Gaps(file.name), places(file.name, "row", range(len(array) if array.ndim else 0))
    if array.ndim == 2:
        labels = wanted if wanted is not None else [str(k) for k in range(array.shape[1])]
        for i, k in np.argwhere(np.isnan(array)).tolist():
            gaps.add(place, i, float(array[i, k]), labels[k] if k < len(labels) else str(k))
    costs = None if "costs" not in data else np.array(data["costs"], dtype=np.float64)
    made = Candidates(
        file.name,
        array,
        texts(data.get("names")),
        wanted,
        costs,
        None if "names" not in data else "id",
        None if costs is None else "cost",
        file.plain(form),
    )
    return _without_gaps(gaps, form, made)


def _without_gaps(gaps: Gaps, form: Format, found: Candidates) -> Candidates:
    """The candidates with their gaps refused, left out or filled."""
    if form.missing == "error" or not gaps.count:
        gaps.refuse()
        return found
    rewards = found.rewards or [f"column {k}" for k in range(found.array.shape[1])]
    costs = np.zeros(len(found.array)) if found.costs is None else found.costs
    whole = np.column_stack([found.array, costs])
    signs = np.array([-1.0 if name.startswith("-") else 1.0 for name in rewards] + [-1.0])  # the dearest is the worst
    names = found.names or [str(i) for i in range(len(whole))]
    missing = np.isnan(whole)
    rows = np.flatnonzero(missing.any(axis=1)).tolist()
    labels = [*(name.removeprefix("-") for name in rewards), found.cost or "costs"]
    shown = [f"{names[i]} ({', '.join(labels[k] for k in np.flatnonzero(missing[i]))})" for i in rows[:12]]
    listed = ", ".join(shown) + (f" and {len(rows) - 12} more" if len(rows) > 12 else "")
    keep = np.ones(len(whole), dtype=bool)
    if form.missing == "drop":
        keep[rows] = False
        if not keep.any():
            raise ProblemError(f"{found.source}: every candidate has a gap; --missing worst keeps them (missing=)")
        said = f"left out for their gaps, {len(rows)} of {counted(len(whole), 'candidate')}: {listed}"
    else:
        whole = fill(found.source, whole, signs, labels)
        said = f"{counted(int(missing.sum()), 'gap')} taken for the worst of the column: {listed}; who is worse gains"
    warnings.warn(f"{found.source}: {said}", TableWarning, stacklevel=5)
    return Candidates(
        found.source,
        whole[keep, :-1],
        [name for name, kept in zip(names, keep.tolist(), strict=True) if kept],
        found.rewards,
        None if found.costs is None else whole[keep, -1],
        found.id or next(name for name in ("id", "name", "candidate", *names) if name not in labels),
        found.cost,
        False,
    )


def fill(source: str, numbers: Array, signs: Array, labels: Sequence[str]) -> Array:
    """Numbers (rows, columns) in which a gap (NaN) is the worst of its column: the least, or the largest where its
    sign is negative."""
    missing = np.isnan(numbers)
    for k in np.flatnonzero(missing.all(axis=0))[:1].tolist():
        raise ProblemError(f"{source}: column {labels[k]!r} has no number at all")
    worst = np.nanmin(numbers * signs, axis=0) * signs
    return np.where(missing, worst, numbers)
