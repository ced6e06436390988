"""Rewards of many policies on the same prompts: the data of a statistical certificate (docs/statistics.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt import checker
from palm_opt.arguments import integer, items, refusal, repeated
from palm_opt.errors import ProblemError
from palm_opt.tables import grammar
from palm_opt.tables import samples_files as files
from palm_opt.tables.decimals import rational
from palm_opt.tables.reading import File, Format, brief
from palm_opt.tables.samples_files import Ranges
from palm_opt.tables.values import ValueMatrix
from palm_opt.tables.writing import csv_lines

__all__ = ["Samples"]

Array = NDArray[np.float64]


class Samples:
    """Rewards of n candidates in d rewards on m prompts, one or more generations of each candidate a prompt.

    Parameters
    ----------
    rewards : (prompts, candidates, d), or (prompts, candidates, generations, d). NaN and infinities are refused.
    ranges : (low, high), or one such pair per reward: declared bounds. What lies outside is clipped, and counted.
    names : n distinct non-empty names of candidates; by default "0", "1", ...
    clusters : the name of each prompt's cluster of related prompts; by default each prompt is its own. A cluster is
        one observation, whatever its size, and is never split.
    reward_names : d distinct names; by default "r1", "r2", ...
    prompts : distinct non-empty names of the prompts; by default "0", "1", ...
    scale : "none": values are the rewards as they are; "ranges": scaled so that low is 0 and high is 1.

    Attributes
    ----------
    means : (prompts, candidates, d) clipped, scaled, averaged over generations.
    clipped : number of clipped entries by name of the reward.
    plain : whether a checker reads the same from the file that was read, as it stands; else from `to_csv`.

    Raises
    ------
    ProblemError : names the array or file, the prompt, candidate and reward, what was expected and what came.
    """

    def __init__(
        self,
        rewards: ArrayLike,
        ranges: Ranges,
        names: Iterable[Any] | None = None,
        clusters: Iterable[Any] | None = None,
        reward_names: Iterable[str] | None = None,
        prompts: Iterable[Any] | None = None,
        scale: str = "none",
    ) -> None:
        given = _numbers(rewards)
        m, n, d = given.shape[0], given.shape[1], given.shape[-1]
        self._fill(
            **files.flatten(given),
            names=range(n) if names is None else names,
            prompts=range(m) if prompts is None else prompts,
            clusters=clusters,
            rewards=[f"r{k + 1}" for k in range(d)] if reward_names is None else reward_names,
            ranges=ranges,
            scale=scale,
        )

    def _fill(
        self,
        rows: Array,
        prompt_of: NDArray[np.int64],
        candidate_of: NDArray[np.int64],
        names: Iterable[Any],
        prompts: Iterable[Any],
        clusters: Iterable[Any] | None,
        rewards: Iterable[str],
        ranges: Ranges,
        scale: str,
        plain: bool = False,
    ) -> None:
        self.plain = plain
        self.names = _labels("names", names, int(candidate_of.max()) + 1, "candidate")
        self.prompts = _labels("prompts", prompts, int(prompt_of.max()) + 1, "prompt")
        self.rewards = _labels("reward_names", rewards, rows.shape[1], "reward")
        self.clusters: tuple[str, ...] | None = None
        if clusters is not None:
            self.clusters = _labels("clusters", clusters, len(self.prompts), "prompt", distinct=False)
        self.ranges = _ranges(ranges, rows.shape[1])
        if scale not in ("none", "ranges"):
            raise ProblemError(f"scale: expected 'none' or 'ranges', got {scale!r}")
        self.scale = scale
        for name in self.rewards:
            if name.startswith("-"):
                raise ProblemError(f"reward {name!r}: higher is better in samples; negate the numbers and the range")
        self.rows = np.ascontiguousarray(rows + 0.0)
        self.prompt_of, self.candidate_of = prompt_of, candidate_of
        for t, k in np.argwhere(~np.isfinite(rows))[:1]:
            raise ProblemError(f"rewards: {self._place(t, k)} is {rows[t, k]}, expected a finite number")
        self._check_pairs()
        low, high = np.array(self.ranges).T
        inside = np.clip(self.rows, low, high)
        outside = (inside != self.rows).sum(axis=0).tolist()
        self.clipped = dict(zip(self.rewards, outside, strict=True))
        self.means = self._means((inside - low) / (high - low) if scale == "ranges" else inside)
        self.chose: dict[tuple[int, ...], NDArray[np.bool_]] = {}  # members chosen here, and the units that chose them
        for array in (self.rows, self.prompt_of, self.candidate_of, self.means):
            array.flags.writeable = False

    def _place(self, row: int, k: int) -> str:
        prompt, name = self.prompts[self.prompt_of[row]], self.names[self.candidate_of[row]]
        return f"prompt {brief(prompt)}, candidate {brief(name)}, reward {brief(self.rewards[k])}"

    def _check_pairs(self) -> None:
        """Every candidate must have answered every prompt."""
        m, n = len(self.prompts), len(self.names)
        found = np.unique(self.prompt_of * n + self.candidate_of)
        if len(found) < m * n:
            gap = np.flatnonzero(found != np.arange(len(found)))
            prompt, candidate = divmod(int(gap[0]) if len(gap) else len(found), n)
            raise ProblemError(
                f"rewards: no row for prompt {brief(self.prompts[prompt])} and candidate"
                f" {brief(self.names[candidate])}: every candidate must answer every prompt"
            )

    def _means(self, scaled: Array) -> Array:
        m, n = len(self.prompts), len(self.names)
        pair = self.prompt_of * n + self.candidate_of
        count = np.bincount(pair, minlength=m * n)
        sums = [np.bincount(pair, weights=column, minlength=m * n) / count for column in scaled.T]
        return np.stack(sums, axis=-1).reshape(m, n, -1)

    @property
    def n(self) -> int:
        """Number of candidates."""
        return len(self.names)

    @property
    def d(self) -> int:
        """Number of rewards."""
        return len(self.rewards)

    @property
    def low(self) -> Array:
        """(d,) least value of each reward, in the scale."""
        return np.zeros(self.d) if self.scale == "ranges" else np.array(self.ranges)[:, 0]

    @property
    def high(self) -> Array:
        """(d,) greatest value of each reward, in the scale."""
        return np.ones(self.d) if self.scale == "ranges" else np.array(self.ranges)[:, 1]

    def __repr__(self) -> str:
        shape = f"{len(self.prompts)} prompts x {self.n} candidates x {self.d} rewards"
        kinds = "" if self.clusters is None else f" in {len(self.units[0])} clusters"
        return f"Samples({shape}{kinds}: {', '.join(self.rewards)})"

    @cached_property
    def units(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The names of the independent observations (clusters, else prompts), and the one of each prompt."""
        if self.clusters is None:
            return self.prompts, np.arange(len(self.prompts))
        place = {name: u for u, name in enumerate(dict.fromkeys(self.clusters))}
        return tuple(place), np.array([place[name] for name in self.clusters])

    def unit_means(self, chosen: NDArray[np.bool_]) -> Array:
        """Means of the chosen units over their prompts, shape (units chosen, candidates, d)."""
        of = self.units[1]
        order = np.flatnonzero(chosen[of])
        place = np.cumsum(chosen) - 1
        total = np.zeros((int(chosen.sum()), self.n, self.d))
        np.add.at(total, place[of[order]], self.means[order])
        return np.asarray(total / np.bincount(place[of[order]])[:, None, None])

    def split(
        self, selection: float | Iterable[str] = 0.5, seed: int = 0
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which units choose, and which certify.

        With a share, a hash of seed and name decides, so that about a share `selection` chooses: the numbers and the
        order of the rows play no part, and anyone can repeat the split. Else `selection` names the units that CERTIFY
        (prompts, or clusters where there are some), held out by whoever made the samples; `seed` plays no part.
        """
        if isinstance(selection, (int, float, np.number)):
            if not 0 < selection < 1:
                raise ProblemError(f"split: expected a share between 0 and 1, got {selection}")
            chooses = _selects(self.units[0], float(selection), integer("seed", seed))
        else:
            chooses = ~self._named(selection)
        for side, noun in ((chooses, "choosing"), (~chooses, "certifying")):
            if side.sum() < 2:
                raise ProblemError(
                    f"split: {int(side.sum())} of {len(chooses)} prompts or clusters are left for {noun}, expected at"
                    " least 2; give more prompts, another split or another seed"
                )
        return chooses, ~chooses

    def _named(self, names: Iterable[str]) -> NDArray[np.bool_]:
        """Which units have one of these names."""
        listed = items("split", names, "a share between 0 and 1, or a list of names that certify")
        wanted, known = set(map(str, listed)), set(self.units[0])
        for name in sorted(wanted - known)[:1]:
            raise ProblemError(f"split: no prompt or cluster is named {brief(name)}")
        return np.array([name in wanted for name in self.units[0]])

    def values(self, chosen: NDArray[np.bool_] | None = None) -> ValueMatrix:
        """Means over the chosen units (None: all) as a value matrix: a plug-in estimate, for choosing only."""
        if chosen is None:
            chosen = np.ones(len(self.units[0]), dtype=bool)
        return ValueMatrix(self.unit_means(chosen).mean(axis=0), names=self.names, rewards=self.rewards)

    @cached_property
    def _subject(self) -> checker.Samples:
        return checker.Samples(
            rewards=list(self.rewards),
            candidates=list(self.names),
            prompts=list(self.prompts),
            values=self.rows,
            clusters=None if self.clusters is None else list(self.clusters),
            prompt_of=self.prompt_of.tolist(),
            candidate_of=self.candidate_of.tolist(),
        )

    def problem(self) -> checker.Samples:
        """The samples as the certificate checker sees them."""
        return self._subject

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the samples, in hex (docs/certificate-format.md)."""
        return self.problem().sha256()

    def subject(self) -> dict[str, Any]:
        """How a checker reads these samples from a file: the `subject` of a certificate."""
        return {
            "type": "samples",
            "rewards": list(self.rewards),
            "candidates": self.n,
            "prompts": len(self.prompts),
            "rows": len(self.rows),
            "cluster": self.clusters is not None,
        }

    def csv_lines(self) -> Iterator[str]:
        """The rows as given, one row a generation, with round-trip floats: the file that the checker reads."""
        cluster = [] if self.clusters is None else ["cluster"]
        of = [[name] for name in self.clusters or ()] or [[]] * len(self.prompts)
        rows = zip(self.prompt_of.tolist(), self.candidate_of.tolist(), self.rows.tolist(), strict=True)
        cells = ([self.prompts[p], self.names[i], *of[p], *row] for p, i, row in rows)
        return csv_lines(["prompt", "candidate", *cluster, *self.rewards], cells)

    def to_csv(self) -> str:
        """`csv_lines` as one text."""
        return "".join(self.csv_lines())

    @classmethod
    def read(
        cls,
        path: str | Path | File,
        ranges: Ranges | None = None,
        rewards: Sequence[str] | None = None,
        prompt: str = "prompt",
        candidate: str | None = None,
        cluster: str | None = None,
        scale: str = "none",
        *,
        wide: bool = False,
        missing: str = "error",
        header: bool = True,
        separator: str | None = None,
        decimal: str = ".",
    ) -> Samples:
        """Read a long .parquet, .csv or .tsv table, one row a generation, a wide one, or an .npz file; "-" is stdin.

        Parameters
        ----------
        ranges : declared bounds; an .npz file may have its own.
        rewards : names of the reward columns; by default all numeric columns but the others named here, `generation`
            and `kl` (log-ratios are not bounded).
        prompt, candidate, cluster : columns of names. By default the candidate is in the first of `candidate`,
            `member` and `policy`, and the cluster in `cluster` if the file has it.
        wide : the table has one row for each prompt and reward, which the column `reward` names, and one column a
            candidate (every numeric column but the prompt, reward and cluster). Without the column `reward` it is about
            one reward, which `rewards` names.
        missing : "error" refuses gaps, "drop" leaves out the candidates that have one or did not answer every prompt,
            "worst" counts a gap as the low end of its reward's range. The last two warn.
        header, separator, decimal : of a CSV file, as in `ValueMatrix.read`.

        A name that says that lower is better (cost, latency, ...) needs a "+" before it, or its column to be negated.
        An .npz file has `rewards` as in the constructor and optionally `names`, `reward_names`, `prompts`, `clusters`
        and `ranges`. `evaluation.parquet` of a portfolio directory is such a table.
        """
        file, form = File.find(path), Format(missing, header, separator, decimal)
        if file.kind == "npz":
            found = files.read_arrays(file, rewards)
        elif wide:
            found = files.read_wide(file, form, rewards, prompt, cluster)
        else:
            found = files.read_long(file, form, rewards, prompt, candidate, cluster)
        declared = found.pop("ranges", None)
        try:
            if ranges is None and declared is None:
                raise ProblemError("ranges: expected the declared bounds of each reward, (low, high)")
            pairs = _ranges(declared if ranges is None else ranges, found["rows"].shape[1])
            if missing != "error":
                found = files.without_gaps(file.name, missing, found, [low for low, _ in pairs])
            made = cls.__new__(cls)
            made._fill(**found, ranges=pairs, scale=scale)
        except ProblemError as error:
            raise ProblemError(str(error) if str(error).startswith(file.name) else f"{file.name}: {error}") from None
        return made


def _selects(names: Sequence[str], share: float, seed: int) -> NDArray[np.bool_]:
    """Which units choose: the first 64 bits of a hash of seed and name are below `share` of their range."""
    head = b"palm_opt split 1\n" + str(seed).encode() + b"\n"
    limit = rational(share) * 2**64
    return np.array(
        [
            int.from_bytes(hashlib.sha256(head + name.encode("utf-8", "surrogatepass")).digest()[:8], "big") < limit
            for name in names
        ]
    )


def _numbers(rewards: ArrayLike) -> Array:
    array = np.array(grammar.array("rewards", rewards), dtype=np.float64, order="C", copy=True)  # None becomes NaN
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ProblemError(
            "rewards: expected shape (prompts, candidates, d) or (prompts, candidates, generations, d),"
            f" none of them 0, got {array.shape}"
        )
    return array


def _ranges(ranges: Ranges, d: int) -> tuple[tuple[float, float], ...]:
    try:
        pairs: tuple[Any, ...] = tuple(ranges)
        if len(pairs) == 2 and all(np.ndim(x) == 0 for x in pairs):
            pairs = (pairs,) * d
        result = tuple((float(low) + 0.0, float(high) + 0.0) for low, high in pairs)
    except (TypeError, ValueError, OverflowError) as error:
        raise refusal("ranges", "(low, high) or one pair per reward", ranges) from error
    if len(result) != d:
        raise ProblemError(f"ranges: expected one (low, high) or {d} of them, one per reward, got {len(result)}")
    for low, high in result:
        if not (low < high and np.isfinite(high - low)):
            raise ProblemError(f"ranges: expected finite low < high, got ({low}, {high})")
    return result


def _labels(what: str, labels: Iterable[Any], count: int, noun: str, distinct: bool = True) -> tuple[str, ...]:
    result = tuple(map(str, items(what, labels, f"one per {noun}")))
    if len(result) != count:
        raise ProblemError(f"{what}: expected one per {noun}, {count}, got {len(result)}")
    if "" in result:
        raise ProblemError(f"{what}: entry {result.index('')} is empty")
    twice = repeated(result) if distinct else None
    if twice is not None:
        raise ProblemError(f"{what}: {brief(twice)} occurs twice")
    return result
