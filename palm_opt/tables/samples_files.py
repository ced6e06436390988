"""Reading the long tables of `palm_opt.Samples`: one row a generation."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.arguments import choices, repeated
from palm_opt.errors import ProblemError
from palm_opt.storage import lines

__all__ = ["Ranges", "holds_samples", "read_csv", "read_npz", "read_parquet"]

Ranges = tuple[float, float] | Sequence[tuple[float, float]]

_CANDIDATE = ("candidate", "member", "policy")  # columns of candidates that are known by name
_NO_REWARDS = ("prompt", "generation", "cluster", "kl", *_CANDIDATE)
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")


def holds_samples(path: Path) -> bool:
    """Whether a file looks like samples: columns `prompt` and of candidates, or an array `rewards` and no `values`."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return False
    try:
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as data:
                return "rewards" in data and "values" not in data and data["rewards"].ndim in (3, 4)
        if suffix == ".parquet":
            import pyarrow.parquet as parquet

            header = parquet.read_schema(path).names
        else:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                header = next(csv.reader(lines(stream, path)), [])
    except (OSError, ValueError, csv.Error):
        return False
    return "prompt" in header and any(name in header for name in _CANDIDATE)


def read_npz(path: Path, ranges: Ranges | None, rewards: Sequence[str] | None) -> dict[str, Any]:
    """Arguments of `Samples` from arrays."""
    with np.load(path, allow_pickle=False) as data:
        if "rewards" not in data:
            raise ProblemError(
                f"{path}: expected an array 'rewards' of shape (prompts, candidates, d), found {sorted(data)}"
            )
        found: dict[str, Any] = {"rewards": data["rewards"]}
        for key in ("names", "reward_names", "prompts", "clusters"):
            if key in data:
                found[key] = data[key].tolist()
        if ranges is None and "ranges" in data:
            ranges = [(float(low), float(high)) for low, high in data["ranges"]]
    if ranges is None:
        raise ProblemError(f"{path}: ranges: expected the declared bounds of each reward, (low, high)")
    if rewards is not None:
        have = [str(name) for name in found.get("reward_names", ())]
        for name in rewards:
            if name not in have:
                raise ProblemError(f"{path}: no reward {name!r}; {choices(name, have)}")
        found["rewards"] = found["rewards"][..., [have.index(name) for name in rewards]]
        found["reward_names"] = list(rewards)
    return {**found, "ranges": ranges}


def read_parquet(
    path: Path, rewards: Sequence[str] | None, prompt: str, candidate: str | None, cluster: str | None
) -> dict[str, Any]:
    """The long table in a Parquet file."""
    import pyarrow
    import pyarrow.parquet as parquet

    file = parquet.ParquetFile(path)
    schema = file.schema_arrow
    keys = _keys(path, schema.names, prompt, candidate, cluster)
    numeric = [
        field.name for field in schema if pyarrow.types.is_floating(field.type) or pyarrow.types.is_integer(field.type)
    ]
    wanted = _wanted(path, schema.names, numeric, keys, rewards)
    table = file.read(columns=[*dict.fromkeys([*keys.values(), *wanted])])
    columns = {name: _codes(path, table.column(column), column) for name, column in keys.items()}
    rows = np.empty((table.num_rows, len(wanted)))
    for k, name in enumerate(wanted):
        rows[:, k] = table.column(name).to_numpy().astype(np.float64)  # a missing number becomes NaN
    return _long(path, columns, rows, wanted)


def read_csv(
    path: Path, rewards: Sequence[str] | None, prompt: str, candidate: str | None, cluster: str | None
) -> dict[str, Any]:
    """The long table in a CSV file."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(lines(stream, path), strict=True)
        try:
            header = next((row for row in reader if row), None)
            if header is None:
                raise ProblemError(f"{path}: empty, expected a header line and at least one row")
            keys = _keys(path, header, prompt, candidate, cluster)
            wanted = _wanted(path, header, header, keys, rewards)
            at = {name: header.index(column) for name, column in keys.items()}
            places = [header.index(name) for name in wanted]
            labels: dict[str, list[str]] = {name: [] for name in keys}
            numbers: list[float] = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise ProblemError(
                        f"{path}, line {reader.line_num}: {len(row)} cells, expected {len(header)} as in the header"
                    )
                for name, place in at.items():
                    labels[name].append(row[place])
                for name, place in zip(wanted, places, strict=True):
                    if not _NUMBER.fullmatch(row[place]):
                        who = ", ".join(f"{key} {row[at[key]]!r}" for key in ("prompt", "candidate"))
                        raise ProblemError(
                            f"{path}, line {reader.line_num}: {row[place]!r} in column {name!r} ({who}), expected a"
                            " finite number"
                        )
                    numbers.append(float(row[place]))
        except csv.Error as error:
            raise ProblemError(f"{path}, line {reader.line_num}: {error}") from error
        except UnicodeDecodeError as error:
            raise ProblemError(f"{path}: not UTF-8 text: {error}") from error
    columns = {name: _numbered(cells) for name, cells in labels.items()}
    return _long(path, columns, np.array(numbers).reshape(-1, len(wanted)), wanted)


def _keys(path: Path, header: Sequence[str], prompt: str, candidate: str | None, cluster: str | None) -> dict[str, str]:
    """The columns of names by what they name; `cluster` only where there is one."""
    twice = repeated(header)
    if twice is not None:
        raise ProblemError(f"{path}: column {twice!r} occurs twice")
    if candidate is None:
        candidate = next((name for name in _CANDIDATE if name in header), _CANDIDATE[0])
    if cluster is None and "cluster" in header:
        cluster = "cluster"
    keys = {"prompt": prompt, "candidate": candidate} | ({} if cluster is None else {"cluster": cluster})
    for what, column in keys.items():
        if column not in header:
            raise ProblemError(f"{path}: no column {column!r} of {what}s; {choices(column, header)}")
    return keys


def _wanted(
    path: Path, header: Sequence[str], numeric: Sequence[str], keys: dict[str, str], rewards: Sequence[str] | None
) -> list[str]:
    """The reward columns."""
    if rewards is None:
        found = [name for name in numeric if name not in _NO_REWARDS and name not in keys.values()]
        if not found:
            raise ProblemError(f"{path}: no numeric columns of rewards; it has {', '.join(header)}")
        return found
    for name in rewards:
        if name not in header:
            raise ProblemError(f"{path}: no column {name!r}; {choices(name, header)}")
        if name not in numeric:
            raise ProblemError(f"{path}: column {name!r} has no numbers")
    return list(rewards)


def _long(
    path: Path, columns: dict[str, tuple[NDArray[np.int64], list[str]]], rows: NDArray[np.float64], names: list[str]
) -> dict[str, Any]:
    """The arguments of the long table."""
    if len(rows) == 0:
        raise ProblemError(f"{path}: expected at least one row below the header, found none")
    prompt_of, prompts = columns["prompt"]
    clusters = None
    if "cluster" in columns:
        of, labels = columns["cluster"]
        first = np.full(len(prompts), len(labels))
        np.minimum.at(first, prompt_of, of)
        for row in np.flatnonzero(of != first[prompt_of])[:1]:
            raise ProblemError(f"{path}: prompt {prompts[prompt_of[row]]!r} is in more than one cluster")
        clusters = [labels[c] for c in first]
    return {
        "rows": rows,
        "prompt_of": prompt_of,
        "candidate_of": columns["candidate"][0],
        "names": columns["candidate"][1],
        "prompts": prompts,
        "clusters": clusters,
        "rewards": names,
    }


def _codes(path: Path, column: Any, name: str) -> tuple[NDArray[np.int64], list[str]]:
    """The codes and labels of a column of names, numbered as they appear."""
    import pyarrow

    if column.null_count:
        row = column.is_null().to_numpy().argmax()
        raise ProblemError(f"{path}, row {row}: column {name!r} is empty")
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), [str(item) for item in encoded.dictionary.to_pylist()]


def _numbered(cells: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    place: dict[str, int] = {}
    codes = [place.setdefault(cell, len(place)) for cell in cells]
    return np.array(codes, dtype=np.int64), list(place)
