"""Rewards of reference samples: prompts x responses x d scores, from which portfolios are planned (L7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt import checker
from palm_opt.arguments import items
from palm_opt.errors import ProblemError
from palm_opt.tables import scales
from palm_opt.tables.grammar import array
from palm_opt.tables.reading import File, Format
from palm_opt.tables.scales import Scale
from palm_opt.tables.scores_files import Arrays, Columns, Rows, Source, read_arrays, read_long
from palm_opt.tables.values import _check_labels
from palm_opt.tables.writing import csv_lines

__all__ = ["Block", "RewardTable"]

_EXPECTED = "numbers, (prompts, responses, d) or one (n, d) a prompt"
BLOCK_ROWS = 16_384  #: responses in a block, but at least one prompt


@dataclass(frozen=True)
class Block:
    """Some consecutive prompts: what a kernel works on at a time.

    first : number of its first prompt.
    offsets : (prompts + 1,) prompt i has the rows offsets[i] .. offsets[i + 1] - 1.
    scores : (rows, d) scaled rewards. log_q : (rows,) log reference probabilities, normalised per prompt.
    """

    first: int
    offsets: NDArray[np.int64]
    scores: NDArray[np.float64]
    log_q: NDArray[np.float64]


class RewardTable:
    """Scores of reference responses: for every prompt some responses, for every response d rewards, higher is better.

    Parameters
    ----------
    scores : (prompts, responses, d) array, or a sequence of (responses, d) arrays, one a prompt, of any lengths >= 1.
        float32 stays float32. NaN and infinities are refused.
    rewards : d distinct names; by default "r1", "r2", ... A leading "-" negates: "-latency".
    log_weights : logarithms of the reference weights, shaped like `scores` without its last axis; finite. They are
        normalised per prompt: only differences within a prompt matter. By default every response of a prompt weighs
        1 / n, as independent samples of the reference do (repeated responses must stay: they are what gives a likely
        response its weight).
    prompts, responses : names of the prompts, and of the responses (the same of all prompts); by default numbers.
    scale : one for all rewards, or a list with one per reward: "none"; "minmax" (to [0, 1] over the whole table, a
        constant reward to 0); (low, high) in its own units before negation: low maps to 0 and high to 1 (negated: high
        to 0). Rewards are scaled before any KL is subtracted, so beta and delta are in these units. Nothing is clipped.

    Attributes
    ----------
    counts : (prompts,) number of responses of each prompt.
    scale : "none" or the d pairs (low, high) in use.
    prompt_column, log_weight_column : their names in a long table.
    plain : whether a checker reads the same from the file that was read, as it stands; else from `csv_lines`.

    Raises
    ------
    ProblemError : names the array or file, the row, what was expected and what came.
    """

    def __init__(
        self,
        scores: ArrayLike | Sequence[ArrayLike],
        rewards: Sequence[str] | None = None,
        log_weights: ArrayLike | Sequence[ArrayLike] | None = None,
        prompts: Sequence[Any] | None = None,
        responses: Sequence[Any] | None = None,
        scale: Scale = "none",
    ) -> None:
        flat, counts = _flat(scores)
        weights = None if log_weights is None else _flat_weights(log_weights, counts)
        named, asked, given = (
            None if labels is None else tuple(map(str, items(what, labels, "a sequence of names")))
            for what, labels in (("rewards", rewards), ("prompts", prompts), ("responses", responses))
        )
        self._set(Source(Arrays(flat, weights), counts, named, asked, given), scale)

    @classmethod
    def read(
        cls,
        path: str | Path | File,
        rewards: Sequence[str] | None = None,
        prompt: str = "prompt",
        response: str | None = None,
        log_weight: str | None = None,
        scale: Scale = "none",
        memory: int = 2**30,
        missing: str = "error",
        header: bool = True,
        separator: str | None = None,
        decimal: str = ".",
    ) -> RewardTable:
        """Read a .npz, .parquet, .csv or .tsv file; "-" is stdin.

        npz: `rewards` (prompts, responses, d), or (rows, d) with `counts` (prompts,); optional `log_weights` of the
        same shape without the last axis, `dims` (names of the rewards), `prompt_ids`, `responses`. Stored without
        compression, rewards are mapped, not copied.
        Parquet and CSV: long, one row a response, with columns for the prompt, the rewards and, where there is one,
        the log-weight. Rows of one prompt need not be consecutive in a table that fits in memory.

        Parameters
        ----------
        rewards : reward columns, a leading "-" for those to negate; None: all but the other columns named here. Signs
            and names that say that lower is better are treated as in `ValueMatrix.read`.
        prompt, response, log_weight : column names; None: "response" and "log_weight" where they exist. The column of
            responses is not read.
        scale : as for the class.
        memory : bytes. Larger Parquet files stay on the disk and are read in batches on every pass; other larger
            files are refused.
        missing : "error" refuses gaps, "drop" leaves out the responses that have one, "worst" counts a gap as the worst
            of its column over the rest. The last two warn.
        header, separator, decimal : of a CSV file, as in `ValueMatrix.read`.
        """
        file = File.find(path)
        form = Format(missing, header, separator, decimal)
        if rewards is not None:
            rewards = [str(name) for name in items("rewards", rewards, "a sequence of column names")]
        if file.kind == "npz":
            source = read_arrays(file, form, rewards, memory)
        else:
            source = read_long(file, form, Columns(rewards, prompt, response, log_weight), memory)
        table = cls.__new__(cls)
        try:
            table._set(source, scale)
        except ProblemError as error:
            raise ProblemError(f"{file.name}: {error}") from None
        return table

    def _set(self, source: Source, scale: Scale) -> None:
        """Check everything in one pass over the rows."""
        self.counts = _counts(source)
        self._rows: Rows = source.rows
        self._prompts, self.responses, self.plain = source.prompts, source.responses, source.plain
        self.prompt_column, self.log_weight_column = source.prompt_column, source.log_weight_column
        self._low, self._high, self._surprise, self.weighted = _survey(source.rows, self.counts, self._bounds())
        d = len(self._low)
        self.rewards: tuple[str, ...] = source.rewards or tuple(f"r{k + 1}" for k in range(d))
        _check_labels("rewards", self.rewards, d, "reward")
        plain = [name.removeprefix("-") for name in self.rewards]
        _check_labels("rewards without their signs", plain, d, "reward")
        for name in plain:
            if name in (self.prompt_column, "response", self.log_weight_column):
                raise ProblemError(f"rewards: {name!r} is the name of another column of a long table; rename it")
        if self._prompts is not None:
            _check_labels("prompts", self._prompts, len(self.counts), "prompt")
        if self.responses is not None and (self.counts != len(self.responses)).any():
            raise ProblemError(f"responses: expected {int(self.counts.max())} names, got {len(self.responses)}")
        self.signs = np.array([-1.0 if name.startswith("-") else 1.0 for name in self.rewards])
        self.scale = self._resolve(scales.declared(scale, d))
        if not np.isfinite(self.largest):
            shown = scales.show(self.scale)
            raise ProblemError(f"scale: the range {shown} is too narrow for these rewards: they overflow")

    def _resolve(self, entries: tuple[scales.Entry, ...]) -> tuple[scales.Entry, ...]:
        """The scale with the ends of "minmax" in place of the word: a certificate of scores holds ranges."""
        if "log" in entries:
            raise ProblemError("scale: 'log' is for tables of values; scores have 'none', 'minmax' or (low, high)")
        ends = zip(entries, self._low.tolist(), self._high.tolist(), self.signs.tolist(), strict=True)
        return tuple(
            entry if entry != "minmax" else (low, high) if low < high else _around(low, sign)
            for entry, low, high, sign in ends
        )

    @property
    def d(self) -> int:
        """Number of rewards."""
        return len(self.rewards)

    @property
    def rows(self) -> int:
        """Number of responses of all prompts together."""
        return int(self.counts.sum())

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """Names of the prompts."""
        return self._prompts or tuple(map(str, range(len(self.counts))))

    @property
    def largest(self) -> float:
        """Largest |scaled reward| of the table."""
        return float(np.abs(self.ends).max())

    @property
    def ends(self) -> NDArray[np.float64]:
        """(2, d) the least and the largest of each reward, after sign and scale."""
        return np.sort(self._scaled(np.stack([self._low, self._high])), axis=0)

    @property
    def surprise(self) -> float:
        """Largest log 1/q of a response: no policy over these responses has a larger KL."""
        return self._surprise

    def __repr__(self) -> str:
        return (
            f"RewardTable({len(self.counts)} prompts, {self.rows} responses, {self.d} rewards: "
            f"{', '.join(self.rewards)}; scale={scales.show(self.scale)})"
        )

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[Block]:
        """The table block by block, in the order of the prompts; the cuts depend on `rows` and the counts only."""
        cuts = self._cuts(rows)
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        slices = self._rows.slices(ends[cuts])
        for first, last, (scores, weights) in zip(cuts[:-1], cuts[1:], slices, strict=True):
            offsets = ends[first : last + 1] - ends[first]
            yield Block(int(first), offsets, self._scaled(scores), _log_q(weights, offsets))

    def raw(self, rows: int = BLOCK_ROWS) -> Iterator[tuple[NDArray[Any], NDArray[np.float64] | None]]:
        """Scores (rows, d) and log weights as in the file, block by block."""
        yield from self._rows.slices(self._bounds(rows))

    def problem(self) -> checker.Scores:
        """The scores as the certificate checker sees them: all in memory."""
        parts = list(self.raw())
        values = np.concatenate([np.asarray(scores, dtype=np.float64) for scores, _ in parts])
        weights = [w for _, w in parts if w is not None]
        return checker.Scores(
            rewards=list(self.rewards),
            counts=self.counts.tolist(),
            values=np.ascontiguousarray(values).data,
            log_weights=np.concatenate(weights).tolist() if weights else None,
            scale=list(self.scale),
        )

    def subject(self) -> dict[str, Any]:
        """How a checker reads these scores from a file: the `subject` of a certificate."""
        return {
            "type": "scores",
            "prompt": self.prompt_column,
            "rewards": list(self.rewards),
            "prompts": len(self.counts),
            "log_weight": self.log_weight_column if self.weighted else None,
        }

    def csv_lines(self) -> Iterator[str]:
        """The long table as CSV with round-trip floats: prompt, response, rewards, log weight if there is one.

        Numbers are those of the file, before sign and scale. It is what the standalone checker reads.
        """
        extra = [self.log_weight_column] if self.weighted else []
        header = [self.prompt_column, "response", *(name.removeprefix("-") for name in self.rewards), *extra]
        return csv_lines(header, self._cells())

    def _cells(self) -> Iterator[list[Any]]:
        names = ((x, y) for x, count in zip(self.prompts, self.counts.tolist(), strict=True) for y in range(count))
        for scores, weights in self.raw():
            for i, row in enumerate(scores.tolist()):
                x, y = next(names)
                last = [] if weights is None else [float(weights[i])]
                yield [x, y if self.responses is None else self.responses[y], *row, *last]

    def _cuts(self, rows: int) -> NDArray[np.int64]:
        """Numbers of the prompts at which blocks of about `rows` rows begin, and their number at the end."""
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        cuts = [0]
        while cuts[-1] < len(self.counts):
            following = int(np.searchsorted(ends, ends[cuts[-1]] + rows, side="right")) - 1
            cuts.append(max(following, cuts[-1] + 1))
        return np.array(cuts, dtype=np.int64)

    def _bounds(self, rows: int = BLOCK_ROWS) -> NDArray[np.int64]:
        ends: NDArray[np.int64] = np.concatenate([[0], np.cumsum(self.counts)])
        return ends[self._cuts(rows)]

    def _scaled(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Rewards of some rows after sign and scale."""
        numbers = np.asarray(scores, dtype=np.float64)
        if set(self.scale) == {"none"}:
            return numbers if (self.signs > 0).all() else numbers * self.signs
        none = [(0.0, 1.0) if sign > 0 else (-1.0, 0.0) for sign in self.signs]
        low, high = np.array([a if b == "none" else b for a, b in zip(none, self.scale, strict=True)]).T
        width = high / 2 - low / 2  # halves: high - low may overflow
        zero = np.where(self.signs > 0, low, high) / 2
        with np.errstate(over="ignore", invalid="ignore"):  # refused when the table is made
            scaled: NDArray[np.float64] = (numbers / 2 - zero) * self.signs / width
        return scaled


def _around(number: float, sign: float) -> tuple[float, float]:
    """A range that maps a reward that is the same everywhere to 0."""
    width = max(1.0, abs(number))
    return (number, number + width) if sign > 0 else (number - width, number)


def _flat(scores: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Rows (rows, d) and counts of dense or ragged scores."""
    parts: Any = scores
    if isinstance(scores, (list, tuple)) or (isinstance(scores, np.ndarray) and scores.dtype == object):
        parts = [np.asarray(array("scores", part, _EXPECTED), dtype=np.float64) for part in scores]
        if len({part.shape for part in parts}) <= 1:
            parts = np.array(parts)
    else:
        parts = array("scores", scores, _EXPECTED)
    if isinstance(parts, np.ndarray):
        if parts.ndim != 3 or 0 in parts.shape:
            raise ProblemError(f"scores: expected shape (prompts, responses, d), none of them 0, got {parts.shape}")
        return np.array(parts, order="C").reshape(-1, parts.shape[2]), np.full(len(parts), parts.shape[1])
    for x, part in enumerate(parts):
        if part.ndim != 2 or 0 in part.shape or part.shape[1] != parts[0].shape[-1]:
            raise ProblemError(
                f"scores: prompt {x} has shape {part.shape}, expected (responses, {parts[0].shape[-1]}), at least one"
            )
    return np.concatenate(parts), np.array([len(part) for part in parts])


def _flat_weights(weights: Any, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    expected = "numbers, one a response"
    parts = [np.asarray(array("log_weights", part, expected), dtype=np.float64) for part in weights]
    if len(parts) != len(counts):
        raise ProblemError(f"log_weights: expected one row for each of {len(counts)} prompts, got {len(parts)}")
    for x, part in enumerate(parts):
        if part.shape != (counts[x],):
            raise ProblemError(f"log_weights: prompt {x} has shape {part.shape}, expected ({counts[x]},)")
    return np.concatenate(parts)


def _counts(source: Source) -> NDArray[np.int64]:
    """The numbers of responses, checked against the rows where these are arrays."""
    counts = np.asarray(source.counts)
    if counts.ndim != 1 or not len(counts) or not np.issubdtype(counts.dtype, np.integer):
        raise ProblemError(f"counts: expected one integer a prompt, got shape {counts.shape} of {counts.dtype}")
    for x in np.flatnonzero(counts < 1)[:1]:
        raise ProblemError(f"counts: prompt {x} has {counts[x]} responses, expected at least 1")
    if isinstance(source.rows, Arrays):
        scores, weights = source.rows.scores, source.rows.log_weights
        if len(scores) != sum(counts.tolist()) or 0 in scores.shape:
            raise ProblemError(f"counts: sum to {sum(counts.tolist())}, rewards have shape {scores.shape}")
        for name, array in (("rewards", scores), ("log_weights", weights)):
            if array is not None and array.dtype.kind not in "fiu":
                raise ProblemError(f"{name}: expected numbers, got {array.dtype}")
        if weights is not None and len(weights) != len(scores):
            raise ProblemError(f"log_weights: expected {len(scores)}, one a response, got {len(weights)}")
    return counts.astype(np.int64)


def _survey(
    rows: Rows, counts: NDArray[np.int64], bounds: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, bool]:
    """One pass: all numbers are finite; least and largest score of each column, largest log 1/q, log weights or not."""
    ends = np.concatenate([[0], np.cumsum(counts)])
    low = high = np.empty(0)
    surprise, weighted = float(np.log(counts.max())), False
    for begin, end, (scores, weights) in zip(bounds[:-1], bounds[1:], rows.slices(bounds), strict=True):
        for row, k in np.argwhere(~np.isfinite(scores))[:1]:
            raise ProblemError(f"{_where(ends, begin + row)}, column {k} is {scores[row, k]}, expected a finite number")
        low = np.minimum(low, scores.min(axis=0)) if len(low) else scores.min(axis=0).astype(np.float64)
        high = np.maximum(high, scores.max(axis=0)) if len(high) else scores.max(axis=0).astype(np.float64)
        if weights is not None:
            for row in np.flatnonzero(~np.isfinite(weights))[:1]:
                what = f"log weight is {weights[row]}, expected a finite number (leave out a response of weight 0)"
                raise ProblemError(f"{_where(ends, begin + row)}: {what}")
            first, last = np.searchsorted(ends, [begin, end])
            log_q = _log_q(weights, ends[first : last + 1] - begin)
            surprise, weighted = max(surprise if weighted else 0.0, float(-log_q.min())), True
    return low, high, surprise, weighted


def _where(ends: NDArray[np.int64], row: int) -> str:
    x = int(np.searchsorted(ends, row, side="right")) - 1
    return f"rewards: prompt {x}, response {row - ends[x]}"


def _log_q(weights: NDArray[np.float64] | None, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log reference probabilities: normalised within each prompt; 1 / n without weights."""
    counts = np.diff(offsets)
    if weights is None:
        return np.repeat(-np.log(counts), counts)
    given = np.asarray(weights, dtype=np.float64)
    top = np.maximum.reduceat(given, offsets[:-1])
    total = np.add.reduceat(np.exp(given - np.repeat(top, counts)), offsets[:-1])
    log_q: NDArray[np.float64] = (given - np.repeat(top, counts)) - np.repeat(np.log(total), counts)
    return log_q
