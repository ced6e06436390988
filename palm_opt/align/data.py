"""Prompts: read, and split by hash, so that a prompt stays in its split whatever the file's order or size."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_opt.align import embedded
from palm_opt.align.recipe import EMBEDDED, Recipe
from palm_opt.errors import ProblemError

__all__ = ["PromptSet", "load_prompts"]

Row = dict[str, Any]  #: `prompt` (a text, or a list of chat messages) and whatever else the rewards ask for


@dataclass(frozen=True)
class PromptSet:
    """Rows of the three splits, and the hash of all of them."""

    train: tuple[Row, ...]
    select: tuple[Row, ...]
    certify: tuple[Row, ...]
    sha256: str


def load_prompts(recipe: Recipe) -> PromptSet:
    """Read the prompts of a recipe and split them: u = SHA-256 of the prompt in [0, 1) decides."""
    rows = [{"prompt": text} for text in embedded.prompts()]
    source = recipe.folder / recipe.prompts.source
    if recipe.prompts.source != EMBEDDED:
        rows = _read(source)
    splits: dict[str, list[Row]] = {"train": [], "select": [], "certify": []}
    overall = hashlib.sha256()
    for row in rows:
        digest = hashlib.sha256(_canonical(row["prompt"])).digest()
        share = int.from_bytes(digest[:7], "big") / 2**56
        held_out = recipe.prompts.select + recipe.prompts.certify
        name = "select" if share < recipe.prompts.select else "certify" if share < held_out else "train"
        splits[name].append(row)
        overall.update(_canonical(row) + b"\n")
    trl = recipe.train.trl
    rounds = max(1, trl.get("gradient_accumulation_steps", 1), trl.get("steps_per_generation", 1))
    batch = math.ceil(recipe.train.batch * rounds / recipe.train.generations)  # prompts that TRL samples at a time
    for name, least in (("train", batch), ("select", 2)):
        if len(splits[name]) < least:
            raise ProblemError(
                f"{source}: {len(rows)} prompts leave {len(splits[name])} to the split {name!r}, expected >= {least}"
            )
    parts = {name: tuple(split) for name, split in splits.items()}
    return PromptSet(sha256=overall.hexdigest(), **parts)


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()


def _read(path: Path) -> list[Row]:
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as parquet

        try:
            rows = parquet.read_table(path).to_pylist()
        except (OSError, ValueError) as error:
            raise ProblemError(f"{path}: cannot be read as Parquet: {error}") from error
        return [_checked(row, f"{path}, row {i}") for i, row in enumerate(rows)]
    result = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ProblemError(f"{path}, line {number}: not JSON: {error}") from error
        result.append(_checked(row, f"{path}, line {number}"))
    return result


def _checked(row: Any, where: str) -> Row:
    if not isinstance(row, dict) or "prompt" not in row:
        raise ProblemError(f"{where}: expected an object with a 'prompt', got {str(row)[:60]!r}")
    prompt = row["prompt"]
    messages = isinstance(prompt, list) and prompt and all(isinstance(m, dict) and "content" in m for m in prompt)
    if not messages and not (isinstance(prompt, str) and prompt.strip()):
        raise ProblemError(
            f"{where}: expected 'prompt' to be a non-empty text or chat messages, got {str(prompt)[:60]!r}"
        )
    return row
