"""Reading scores: npz arrays (mapped, not copied, where stored as such), long tables with one row a response."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from palm_opt.arguments import counted
from palm_opt.errors import ProblemError, TableWarning
from palm_opt.tables.candidates import fill
from palm_opt.tables.directions import choose
from palm_opt.tables.npz import npz_names, read_npz, texts
from palm_opt.tables.opening import open_table
from palm_opt.tables.reading import File, Format, Gaps, Table

__all__ = ["Arrays", "Columns", "ParquetRows", "Rows", "Source", "read_arrays", "read_long"]


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

    file: File
    form: Format
    rewards: tuple[str, ...]
    log_weight: str | None

    def slices(self, bounds: NDArray[np.int64]) -> Iterator[tuple[NDArray[Any], NDArray[np.float64] | None]]:
        """See Rows."""
        names = [*self.rewards, *([self.log_weight] if self.log_weight else [])]
        batches = open_table(self.file, self.form).batches({}, names, Gaps(self.file.name))
        held = np.empty((0, len(names)))
        for rows in np.diff(bounds).tolist():
            parts = [held]
            while sum(map(len, parts)) < rows:
                part = next(batches, None)
                if part is None:
                    raise ProblemError(f"{self.file.name}: has fewer rows than when it was opened")
                parts.append(part.numbers)
            held = np.concatenate(parts)
            block, held = held[:rows], held[rows:]
            yield block[:, : len(self.rewards)], block[:, -1] if self.log_weight else None


@dataclass(frozen=True)
class Columns:
    """What to read: column names, rewards with their signs; None where the file decides."""

    rewards: Sequence[str] | None
    prompt: str
    response: str | None
    log_weight: str | None

    def resolve(self, table: Table) -> tuple[list[str], str | None]:
        """Reward columns, with their signs, and log-weight column of a long table."""
        for role in ("prompt", "response", "log_weight"):
            if getattr(self, role) is not None:
                table.find(role, getattr(self, role))
        log_weight = self.log_weight or ("log_weight" if "log_weight" in table.header else None)
        if self.log_weight is None and log_weight in [_plain(name) for name in self.rewards or ()]:
            log_weight = None
        others = [name for name in (self.prompt, self.response or "response", log_weight, *table.index) if name]
        wanted = choose(table.source, table.header, self.rewards, others)
        for name in map(_plain, wanted):
            if name in (self.prompt, self.response, log_weight):
                raise ProblemError(f"{table.source}: column {name!r} is named as a reward and as something else")
        return wanted, log_weight


def _plain(name: str) -> str:
    return name.removeprefix("-").removeprefix("+")


@dataclass(frozen=True)
class Source:
    """A file that was read once and found good. plain : whether a checker reads the same from the file as it stands."""

    rows: Rows
    counts: NDArray[np.int64]
    rewards: tuple[str, ...] | None
    prompts: tuple[str, ...] | None = None
    responses: tuple[str, ...] | None = None
    prompt_column: str = "prompt"  #: names of the other columns of a long table
    log_weight_column: str = "log_weight"
    plain: bool = False


def read_long(file: File, form: Format, columns: Columns, memory: int) -> Source:
    """A long table, grouped by prompt in the order in which prompts appear.

    A Parquet file larger than `memory` bytes stays on the disk and is read in batches on every pass.
    """
    table = open_table(file, form)
    wanted, log_weight = columns.resolve(table)
    names = [*map(_plain, wanted), *([log_weight] if log_weight else [])]
    gaps, codes, rows, grouped = Gaps(table.source), [np.empty(0, np.int32)], 0, True
    parts: list[NDArray[np.float64]] | None = []  # None: too large to keep
    for batch in table.batches({"prompt": columns.prompt}, names, gaps):
        code = batch.codes["prompt"].astype(np.int32)
        previous = codes[-1][-1:] if rows else code[:1]
        grouped &= bool((np.diff(code, prepend=previous) >= 0).all())  # numbered in the order of appearance
        codes.append(code)
        rows += len(code)
        if parts is not None and len(names) * 8 * rows > memory:
            parts = None
        if parts is not None:
            parts.append(batch.numbers)
    if not rows:
        raise ProblemError(f"{table.source}: expected at least one row, found none")
    if form.missing == "error":
        gaps.refuse()
    prompts, code = np.array(table.names("prompt"), dtype=object), np.concatenate(codes)
    if parts is None:
        if file.kind == "csv" or not grouped or gaps.count:
            mend = (
                "write it as Parquet"
                if file.kind == "csv"
                else "sort its rows by prompt"
                if not grouped
                else "mend its gaps"
            )
            raise ProblemError(f"{file.name}: {rows} rows do not fit in memory={memory} bytes; {mend}")
        found: Rows = ParquetRows(file, form, tuple(map(_plain, wanted)), log_weight)
    else:
        array = np.concatenate(parts)
        if not grouped:
            order = np.argsort(code, kind="stable")
            array, code = array[order], code[order]
        if gaps.count:
            array, code, prompts = _without_gaps(table.source, form, array, code, prompts, wanted, log_weight)
        d = len(wanted)
        found = Arrays(array[:, :d], np.ascontiguousarray(array[:, d]) if log_weight else None)
    counts = np.bincount(code, minlength=len(prompts)).astype(np.int64)
    return Source(
        found,
        counts,
        tuple(wanted),
        tuple(prompts.tolist()),
        prompt_column=columns.prompt,
        log_weight_column=log_weight or "log_weight",
        plain=file.plain(form) and (grouped or file.kind != "csv"),
    )


def _without_gaps(
    source: str,
    form: Format,
    array: NDArray[np.float64],
    code: NDArray[np.int32],
    prompts: NDArray[Any],
    rewards: Sequence[str],
    log_weight: str | None,
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[Any]]:
    """The rows (ordered by prompt) whose gaps are left out or filled, the codes of their prompts, and the prompts."""
    missing = np.isnan(array)
    rows: NDArray[np.bool_] = np.any(missing, axis=1)
    of = ", ".join(repr(str(name)[:40]) for name in prompts[np.unique(code[rows])][:6])
    if form.missing == "worst":
        if log_weight is not None and missing[:, -1].any():
            raise ProblemError(
                f"{source}: a gap in the log-weights {log_weight!r}: --missing drop leaves the response out"
            )
        signs = np.array([-1.0 if name.startswith("-") else 1.0 for name in rewards] + [1.0] * (log_weight is not None))
        said = f"{counted(int(missing.sum()), 'gap')} taken for the worst of the column (prompts {of})"
        warnings.warn(f"{source}: {said}", TableWarning, stacklevel=4)
        return fill(source, array, signs, rewards), code, prompts
    if rows.all():
        raise ProblemError(f"{source}: every response has a gap; --missing worst keeps them (missing=)")
    kept, fresh = np.unique(code[~rows], return_inverse=True)
    gone = counted(len(prompts) - len(kept), "prompt")
    said = (
        f"left out for their gaps, {int(rows.sum())} of {counted(len(rows), 'response')} (prompts {of}), {gone} whole: "
    )
    said += "the reference is what remains"
    warnings.warn(f"{source}: {said}", TableWarning, stacklevel=4)
    return array[~rows], fresh.astype(np.int32), prompts[kept]


def read_arrays(file: File, form: Format, rewards: Sequence[str] | None, memory: int) -> Source:
    """Arrays `rewards` (prompts, responses, d), or (rows, d) with `counts` (prompts,); optional `log_weights`, `dims`
    (names of the rewards; also `reward_names`), `prompt_ids` and `responses` (names)."""
    labels = ("dims", "reward_names", "prompt_ids", "responses")
    larger = f"does not fit in memory={memory} bytes; save it with np.savez, without compression"
    data = read_npz(file.handle, file.name, ("rewards", "counts", "log_weights"), labels, memory, larger)
    if "rewards" not in data:
        found = ", ".join(sorted(npz_names(file.handle, file.name)))
        raise ProblemError(f"{file.name}: expected an array 'rewards', found {found or 'nothing'}")
    scores, counts, weights = data["rewards"], data.get("counts"), data.get("log_weights")
    if scores.ndim == 3 and counts is None:
        counts = np.full(len(scores), scores.shape[1])
        scores = scores.reshape(-1, scores.shape[2])
    elif scores.ndim != 2 or counts is None:
        raise ProblemError(
            f"{file.name}: rewards: expected shape (prompts, responses, d), or (rows, d) with an array 'counts', "
            f"got {scores.shape}" + (" with counts" if counts is not None else "")
        )
    if form.missing != "error":
        raise ProblemError(f"{file.name}: missing={form.missing} mends long tables only, not arrays")
    have = texts(data.get("dims", data.get("reward_names")))
    wanted = None if rewards is None or list(rewards) == ["+"] else [name.removeprefix("+") for name in rewards]
    columns = None
    if have is not None:
        if len(have) != scores.shape[-1]:
            raise ProblemError(f"{file.name}: rewards: expected one per reward, {scores.shape[-1]}, got {len(have)}")
        wanted = choose(file.name, have, rewards, noun="reward")
        columns = None if rewards is None else tuple(have.index(_plain(name)) for name in wanted)
    return Source(
        Arrays(scores, None if weights is None else weights.reshape(-1), columns),
        counts,
        None if wanted is None else tuple(wanted),
        _labels(texts(data.get("prompt_ids"))),
        _labels(texts(data.get("responses"))),
        plain=file.plain(form),
    )


def _labels(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)
