"""Prompts: read, and split by hash, so that a prompt stays in its split whatever the file's order or size."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_opt.align import embedded
from palm_opt.align.recipe.declaration import EMBEDDED, HUB, Recipe
from palm_opt.errors import BackendNotFound, ProblemError
from palm_opt.storage import read_bytes

__all__ = [
    "PromptSet",
    "load_prompts",
    "prompt_text",
    "prompts_at_a_time",
    "read_rows",
    "sample_of",
    "small_splits",
    "split",
]

_LARGEST = 2**31  # bytes of a file of prompts
Row = dict[str, Any]  #: `prompt` (a text, or a list of chat messages) and whatever else the rewards ask for


@dataclass(frozen=True)
class PromptSet:
    """Rows of the three splits, and the hash of all of them."""

    train: tuple[Row, ...]
    select: tuple[Row, ...]
    certify: tuple[Row, ...]
    sha256: str


def load_prompts(recipe: Recipe) -> PromptSet:
    """Read the prompts of a recipe and split them.

    Raises
    ------
    ProblemError : they cannot be read, or a split is too small.
    """
    rows = read_rows(
        recipe.prompts.source, recipe.prompts.column, recipe.prompts.split, recipe.prompts.subset, recipe.folder
    )
    found = split(rows, recipe.prompts.select, recipe.prompts.certify)
    faults = small_splits(found, recipe)
    if faults:
        raise ProblemError(f"{recipe.prompts.source}: " + "; ".join(faults))
    return found


def split(rows: Sequence[Row], select: float, certify: float) -> PromptSet:
    """Put each row in a split: u = SHA-256 of the prompt in [0, 1) decides."""
    splits: dict[str, list[Row]] = {"train": [], "select": [], "certify": []}
    overall = hashlib.sha256()
    for row in rows:
        digest = hashlib.sha256(_canonical(row["prompt"])).digest()
        share = int.from_bytes(digest[:7], "big") / 2**56
        name = "select" if share < select else "certify" if share < select + certify else "train"
        splits[name].append(row)
        overall.update(_canonical(row) + b"\n")
    return PromptSet(sha256=overall.hexdigest(), **{name: tuple(part) for name, part in splits.items()})


def small_splits(prompts: PromptSet, recipe: Recipe) -> list[str]:
    """What is wrong with the sizes of the splits."""
    total = sum(len(part) for part in (prompts.train, prompts.select, prompts.certify))
    return [
        f"{total} prompts leave {len(part)} to the split {name!r}, expected >= {least}"
        for name, part, least in (
            ("train", prompts.train, prompts_at_a_time(recipe)),
            ("select", prompts.select, 2),
            ("certify", prompts.certify, 2 if recipe.prompts.certify else 0),
        )
        if len(part) < least
    ]


def prompts_at_a_time(recipe: Recipe) -> int:
    """How many different prompts TRL samples completions for at a time; it wants as many at least."""
    if recipe.offline:
        return 1
    return math.ceil(recipe.train.batch * recipe.train.samples_ahead / recipe.train.generations)


def sample_of(prompts: Sequence[Row], count: int) -> list[Row]:
    """The first `count` rows in the order of their hashes: a fixed pseudo-random sample."""
    keyed = [
        (hashlib.sha256(json.dumps(row["prompt"], sort_keys=True).encode()).digest(), i)
        for i, row in enumerate(prompts)
    ]
    return [prompts[i] for _, i in sorted(keyed)[:count]]


def prompt_text(row: Row) -> str:
    """A prompt as one text, chats as JSON: its name in the tables of completions."""
    prompt = row["prompt"]
    return prompt if isinstance(prompt, str) else json.dumps(prompt)


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()


def read_rows(source: str, column: str, part: str, subset: str, folder: Path) -> list[Row]:
    """All prompts of a source, with `column` renamed to `prompt`; `part` and `subset` are those of a data set.

    Raises
    ------
    ProblemError : in one line, with the file and the row.
    """
    if source == EMBEDDED:
        return [{"prompt": text} for text in embedded.prompts()]
    if source.startswith(HUB):
        return _read_hub(source, column, part, subset)
    path = folder / Path(source).expanduser()
    if path.is_dir():
        return _read_folder(path, column, part)
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, column)
    return _read_lines(path, column)


def _read_parquet(path: Path, column: str) -> list[Row]:
    import pyarrow.parquet as parquet

    try:
        rows = parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as error:
        raise ProblemError(f"{path}: cannot be read as Parquet: {error}") from error
    return _one_schema(_numbered(rows, path), column)


def _read_lines(path: Path, column: str) -> list[Row]:
    try:
        lines = read_bytes(path, _LARGEST).decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(f"{path}: cannot be read as UTF-8 text: {error}") from error

    def parsed() -> Iterator[tuple[str, Any]]:
        for number, line in enumerate(lines, start=1):
            try:
                if line.strip():
                    yield f"{path}, line {number}", json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ProblemError(f"{path}, line {number}: not JSON: {error}") from error

    return _one_schema(parsed(), column)


def _read_folder(path: Path, column: str, part: str) -> list[Row]:
    """A folder written by `datasets.save_to_disk`: a data set, or one with splits."""
    datasets = _datasets()
    try:
        data = datasets.load_from_disk(str(path))
    except Exception as error:
        raise ProblemError(f"{path}: cannot be read as a data set: {_brief(error)}") from error
    if isinstance(data, datasets.DatasetDict):
        if part not in data:
            raise ProblemError(f"{path}: no split {part!r}; it has {', '.join(data)}")
        data = data[part]
    return _one_schema(_numbered(data, path), column)


def _read_hub(source: str, column: str, part: str, subset: str) -> list[Row]:
    datasets = _datasets()
    name = source.removeprefix(HUB)
    try:
        data = datasets.load_dataset(name, None if subset == "default" else subset, split=part)
    except Exception as error:
        raise ProblemError(f"{source}: the hub gave no split {part!r}: {_brief(error)}") from error
    return _one_schema(_numbered(data, source), column)


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise BackendNotFound("Hugging Face data sets need datasets: pip install 'palm_opt[align]'") from error
    return datasets


def _brief(error: BaseException) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 200 else text[:197] + "..."


def _numbered(rows: Iterable[Any], where: str | Path) -> Iterator[tuple[str, Any]]:
    return ((f"{where}, row {i}", row) for i, row in enumerate(rows))


def _one_schema(rows: Iterable[tuple[str, Any]], column: str) -> list[Row]:
    """Rows with the same columns each: what a row has not is None, so that rewards see the same in every batch.

    Raises
    ------
    ProblemError : a row without a prompt, or texts and chats in one source; names the place, given with each row.
    """
    found = list[Row]()
    for where, row in rows:
        found.append(_checked(row, where, column))
        if isinstance(found[-1]["prompt"], str) != isinstance(found[0]["prompt"], str):
            kinds = ("a text", "chat messages")[:: 1 if isinstance(found[0]["prompt"], str) else -1]
            raise ProblemError(f"{where}: expected {column!r} to be {kinds[0]} as in the rows before, got {kinds[1]}")
    columns = dict.fromkeys(name for row in found for name in row)
    return [{name: row.get(name) for name in columns} for row in found]


def _checked(row: Any, where: str, column: str) -> Row:
    if not isinstance(row, dict) or column not in row:
        raise ProblemError(f"{where}: expected an object with a {column!r}, got {str(row)[:60]!r}")
    prompt = row[column]
    messages = isinstance(prompt, list) and prompt and all(isinstance(m, dict) and "content" in m for m in prompt)
    if not messages and not (isinstance(prompt, str) and prompt.strip()):
        raise ProblemError(
            f"{where}: expected {column!r} to be a non-empty text or chat messages, got {str(prompt)[:60]!r}"
        )
    return {"prompt": prompt, **{key: value for key, value in row.items() if key not in ("prompt", column)}}
