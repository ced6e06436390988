"""Reading the samples of `palm_opt.Samples`: long tables with one row a generation, wide ones, and arrays."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.arguments import counted
from palm_opt.errors import ProblemError, TableWarning
from palm_opt.tables.directions import choose
from palm_opt.tables.npz import npz_names, read_npz, texts
from palm_opt.tables.opening import open_table
from palm_opt.tables.reading import LARGEST, Batch, File, Format, Gaps, Table

__all__ = ["Ranges", "flatten", "holds_samples", "read_arrays", "read_long", "read_wide", "without_gaps"]

Ranges = tuple[float, float] | Sequence[tuple[float, float]]

_CANDIDATE = ("candidate", "member", "policy")  # columns of candidates that are known by name
_NO_REWARDS = ("prompt", "generation", "cluster", "kl", *_CANDIDATE)


def holds_samples(path: str | Path | File, form: Format | None = None) -> bool:
    """Whether a file looks like samples: columns `prompt` and of candidates, or an array `rewards` and no `values`."""
    try:
        file = File.find(path)
        if file.kind == "npz":
            names = npz_names(file.handle, file.name)
            if "rewards" not in names or "values" in names:
                return False
            return read_npz(file.handle, file.name, ("rewards",), (), LARGEST, "too large")["rewards"].ndim in (3, 4)
        header = open_table(file, form or Format()).header
    except ProblemError:
        return False
    return "prompt" in header and any(name in header for name in _CANDIDATE)


def flatten(array: NDArray[np.float64]) -> dict[str, Any]:
    """Rows, and the prompt and candidate of each, of an array (prompts, candidates, [generations,] d)."""
    m, n = array.shape[:2]
    generations = array.shape[2] if array.ndim == 4 else 1
    return {
        "rows": array.reshape(-1, array.shape[-1]),
        "prompt_of": np.repeat(np.arange(m), n * generations),
        "candidate_of": np.tile(np.repeat(np.arange(n), generations), m),
    }


def read_arrays(file: File, rewards: Sequence[str] | None) -> dict[str, Any]:
    """What samples are made of, from arrays; also the declared `ranges`, if there are any."""
    labels = ("names", "reward_names", "prompts", "clusters")
    larger = f"more than {LARGEST} bytes once unpacked"
    data = read_npz(file.handle, file.name, ("rewards", "ranges"), labels, LARGEST, larger)
    if "rewards" not in data:
        have = sorted(npz_names(file.handle, file.name))
        raise ProblemError(f"{file.name}: expected an array 'rewards' of shape (prompts, candidates, d), found {have}")
    array = np.array(data["rewards"], dtype=np.float64)
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ProblemError(
            f"{file.name}: rewards: expected shape (prompts, candidates, [generations,] d), got {array.shape}"
        )
    known = texts(data.get("reward_names")) or [f"r{k + 1}" for k in range(array.shape[-1])]
    if len(known) == array.shape[-1]:
        wanted = choose(file.name, known, rewards, signed=False, noun="reward")
        array = array[..., [known.index(name) for name in wanted]]
    else:
        wanted = known  # refused where the samples are made
    ranges = data.get("ranges")
    if ranges is not None and (ranges.ndim != 2 or ranges.shape[1] != 2):
        raise ProblemError(f"{file.name}: ranges: expected shape (d, 2), got {ranges.shape}")
    return {
        **flatten(array),
        "names": texts(data.get("names")) or range(array.shape[1]),
        "prompts": texts(data.get("prompts")) or range(array.shape[0]),
        "clusters": texts(data.get("clusters")),
        "rewards": wanted,
        "ranges": None if ranges is None else [(float(low), float(high)) for low, high in ranges],
        "plain": file.plain(Format()),
    }


def read_long(
    file: File, form: Format, rewards: Sequence[str] | None, prompt: str, candidate: str | None, cluster: str | None
) -> dict[str, Any]:
    """What samples are made of, from a long table."""
    table = open_table(file, form)
    if candidate is None:
        candidate = next((name for name in _CANDIDATE if name in table.header), _CANDIDATE[0])
        if candidate not in table.header and prompt in table.header:
            try:
                table.find("candidate", candidate, " of candidates")
            except ProblemError as error:
                raise ProblemError(f"{error}; --wide (wide=True) reads one column a candidate") from None
    roles = _roles(table, prompt, cluster, {"candidate": candidate})
    others = [name for name in table.header if name in (*_NO_REWARDS, *roles.values()) or name not in table.numeric]
    if rewards is None and len(others) == len(table.header):
        raise ProblemError(f"{table.source}: no numeric columns of rewards; it has {', '.join(table.header[:12])}")
    wanted = choose(table.source, table.header, rewards, others, signed=False)
    _refuse_negated(table.source, wanted)
    gaps = Gaps(table.source)
    found = table.collect(roles, wanted, gaps)
    if form.missing == "error":
        gaps.refuse()
    standard = ["prompt", "candidate", *(["cluster"] if "cluster" in roles else [])]
    usual = (
        list(roles.values()) == standard if file.kind == "csv" else not {prompt, candidate} - {"prompt", *_CANDIDATE}
    )
    return {
        "rows": found.numbers,
        "prompt_of": found.codes["prompt"],
        "candidate_of": found.codes["candidate"],
        "names": table.names("candidate"),
        "prompts": table.names("prompt"),
        "clusters": _clusters(table, found),
        "rewards": wanted,
        "plain": usual and file.plain(form),
    }


def read_wide(
    file: File, form: Format, rewards: Sequence[str] | None, prompt: str, cluster: str | None
) -> dict[str, Any]:
    """What samples are made of, from a wide table: a row a prompt and reward (column `reward`), a column a candidate.

    Without the column `reward` it is about one reward, which `rewards` names.
    """
    table = open_table(file, form)
    roles = _roles(table, prompt, cluster, {"reward": "reward"} if "reward" in table.header else {})
    names = [name for name in table.numeric if name not in roles.values() and name not in ("generation", "kl")]
    if not names:
        raise ProblemError(f"{table.source}: no columns of candidates; it has {', '.join(table.header[:12])}")
    gaps = Gaps(table.source)
    found = table.collect(roles, names, gaps)
    if form.missing == "error":
        gaps.refuse()
    known = table.names("reward") if "reward" in roles else ["reward"] if rewards is None else [*rewards][:1]
    wanted = choose(table.source, [name.removeprefix("+") for name in known], rewards, signed=False)
    _refuse_negated(table.source, wanted)
    m, d = len(table.names("prompt")), len(known)
    cell = found.codes["prompt"] * d + (found.codes["reward"] if "reward" in roles else 0)
    times = np.bincount(cell, minlength=m * d)
    for i in np.flatnonzero(times[cell] > 1)[1:2].tolist():
        raise ProblemError(f"{found.place(i)}: a second row of its prompt and reward: generations need a long table")
    for at in np.flatnonzero(times == 0)[:1].tolist():
        asked, name = table.names("prompt")[at // d], known[at % d]
        raise ProblemError(f"{table.source}: no row for prompt {asked[:60]!r} and reward {name!r}")
    array = np.empty((m * d, len(names)))
    array[cell] = found.numbers
    places = [[name.removeprefix("+") for name in known].index(name) for name in wanted]
    return {
        **flatten(np.ascontiguousarray(array.reshape(m, d, len(names)).transpose(0, 2, 1)[..., places])),
        "names": names,
        "prompts": table.names("prompt"),
        "clusters": _clusters(table, found),
        "rewards": wanted,
        "plain": False,
    }


def _refuse_negated(source: str, wanted: Sequence[str]) -> None:
    for name in wanted:
        if name.startswith("-"):
            raise ProblemError(
                f"{source}: reward {name!r}: higher is better in samples; negate the numbers and the range"
            )


def _roles(table: Table, prompt: str, cluster: str | None, more: dict[str, str]) -> dict[str, str]:
    """The columns of names by what they name; `cluster` only where there is one."""
    if cluster is None and "cluster" in table.header:
        cluster = "cluster"
    roles = {"prompt": prompt, **more} | ({} if cluster is None else {"cluster": cluster})
    return {role: table.find(role, column, f" of {role}s") for role, column in roles.items()}


def _clusters(table: Table, found: Batch) -> list[str] | None:
    """The cluster of each prompt; a prompt in two is refused."""
    if "cluster" not in found.codes:
        return None
    prompt_of, of = found.codes["prompt"], found.codes["cluster"]
    labels, prompts = table.names("cluster"), table.names("prompt")
    first = np.full(len(prompts), len(labels))
    np.minimum.at(first, prompt_of, of)
    for row in np.flatnonzero(of != first[prompt_of])[:1]:
        raise ProblemError(f"{table.source}: prompt {prompts[prompt_of[row]]!r} is in more than one cluster")
    return [labels[c] for c in first]


def without_gaps(source: str, missing: str, found: dict[str, Any], low: Sequence[float]) -> dict[str, Any]:
    """Samples whose candidates with a gap (or without an answer to a prompt) are left out; or the gaps filled.

    low : the declared lower end of each reward's range: it is what "worst" puts in a gap, whatever the other rows say.
    """
    rows, names, candidate_of = found["rows"], list(found["names"]), found["candidate_of"]
    gaps = np.isnan(rows)
    if missing == "worst":
        if not gaps.any():
            return found
        said = f"{counted(int(gaps.sum()), 'gap')} taken for the low end of the reward's range"
        warnings.warn(f"{source}: {said}", TableWarning, stacklevel=3)
        return {**found, "rows": np.where(gaps, low, rows), "plain": False}
    m, n = len(found["prompts"]), len(names)
    answered = np.zeros((m, n), dtype=bool)
    answered[found["prompt_of"], candidate_of] = True
    bad: NDArray[np.bool_] = np.logical_not(answered.all(axis=0))
    bad[np.unique(candidate_of[gaps.any(axis=1)])] = True
    if not bad.any():
        return found
    if bad.all():
        raise ProblemError(f"{source}: every candidate has a gap; --missing worst keeps them (missing=)")
    dropped = [str(names[i]) for i in np.flatnonzero(bad)]
    shown = ", ".join(dropped[:12]) + (f" and {len(dropped) - 12} more" if len(dropped) > 12 else "")
    warnings.warn(
        f"{source}: left out for their gaps, {len(dropped)} of {n} candidates: {shown}", TableWarning, stacklevel=3
    )
    keep, place = ~bad[candidate_of], np.cumsum(~bad) - 1
    return {
        **found,
        "rows": rows[keep],
        "prompt_of": found["prompt_of"][keep],
        "candidate_of": place[candidate_of[keep]],
        "names": [name for name, gone in zip(names, bad.tolist(), strict=True) if not gone],
        "plain": False,
    }
