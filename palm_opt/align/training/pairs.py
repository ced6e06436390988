"""One sample pool of the base model for all weights, re-ranked for each: what dpo-rerank learns from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.align.measuring.evaluate import Policies
from palm_opt.align.measuring.prompts import sample_of
from palm_opt.align.policies.base import load_model
from palm_opt.align.training.setup import Setup, training_sha256
from palm_opt.errors import ProblemError
from palm_opt.storage import atomic_path, locked

__all__ = ["SamplePool", "sample_pool"]


@dataclass(frozen=True)
class SamplePool:
    """Completions of the base model, shape (prompts, generations), and their scores, (prompts, generations, d)."""

    prompts: list[Any]
    completions: list[list[Any]]
    scores: NDArray[np.float64]

    def pairs(self, weight: Sequence[float]) -> list[dict[str, Any]]:
        """The best and the worst completion of each prompt by w.r; prompts whose completions all tie are left out.

        Raises
        ------
        ProblemError : all of them tie.
        """
        values = self.scores @ np.asarray(weight, dtype=np.float64)
        best, worst = values.argmax(axis=1), values.argmin(axis=1)
        pairs = [
            {"prompt": prompt, "chosen": answers[b], "rejected": answers[w]}
            for prompt, answers, b, w, row in zip(self.prompts, self.completions, best, worst, values, strict=True)
            if row[b] > row[w]
        ]
        if not pairs:
            raise ProblemError(
                f"the {values.shape[1]} completions of each of {len(values)} prompts tie at the weight "
                f"{[round(float(x), 4) for x in weight]}: nothing to learn from"
            )
        return pairs


def sample_pool(setup: Setup, cache: Path | None = None) -> SamplePool:
    """The pool of a recipe: sampled once, from its seed; found again in the folder `cache`."""
    recipe = setup.recipe
    parts = [training_sha256(recipe), setup.base.sha256, setup.prompts.sha256]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    file = cache / f"pool-{key[:32]}.parquet" if cache else None
    with _alone(file):
        pool = _read(file) if file and file.is_file() else None
        if pool is None:
            rows = sample_of(setup.prompts.train, recipe.train.pool)
            policies = Policies(load_model(setup.base, recipe.device.precision), setup.tokenizer, recipe)
            flat, scores = policies.sample(rows, setup.rewards, recipe.train.generations, recipe.seed + 2)
            shape = (len(rows), recipe.train.generations)
            completions = [flat[i * shape[1] : (i + 1) * shape[1]] for i in range(shape[0])]
            pool = SamplePool([row["prompt"] for row in rows], completions, scores.reshape(*shape, -1))
            if file:
                _write(file, pool)
    return pool


@contextmanager
def _alone(file: Path | None) -> Iterator[None]:
    """One process at a time, so that workers that begin together sample one pool."""
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.with_suffix(".lock")):
        yield


def _write(file: Path, pool: SamplePool) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    table = pyarrow.table(
        {
            "prompt": [json.dumps(prompt) for prompt in pool.prompts],
            "completions": [json.dumps(answers) for answers in pool.completions],
            "scores": [row.ravel().tolist() for row in pool.scores],
        }
    )
    with atomic_path(file) as temporary:
        parquet.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def _read(file: Path) -> SamplePool | None:
    """The pool in a file; None if it is damaged, to be sampled again."""
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(file, page_checksum_verification=True).to_pydict()
        completions = [json.loads(text) for text in table["completions"]]
        scores = np.array(table["scores"], dtype=np.float64).reshape(len(completions), len(completions[0]), -1)
        return SamplePool([json.loads(text) for text in table["prompt"]], completions, scores)
    except (OSError, ValueError, KeyError, IndexError):
        return None
