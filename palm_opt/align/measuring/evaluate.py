"""Measure a policy on held-out prompts: several completions a prompt, every reward, the KL to the base model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.align.measuring.prompts import Row, prompt_text
from palm_opt.align.measuring.rewards import RewardFunction
from palm_opt.align.policies.mixture import Part, attach
from palm_opt.align.policies.sampling import complete, decoded
from palm_opt.align.recipe.declaration import Recipe

__all__ = ["Measured", "Policies", "write_rows"]


@dataclass(frozen=True)
class Measured:
    """A measured policy: means over prompts of each prompt's mean over its completions, and their standard errors.

    `value`, `standard_error` and `clipped` (how many values were outside the declared range) are by reward.
    """

    value: dict[str, float]
    standard_error: dict[str, float]
    kl: float
    kl_standard_error: float
    prompts: int
    generations: int
    clipped: dict[str, int]

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[np.float64]], clipped: dict[str, int]) -> Measured:
        """From the columns of `Policies.measure`; the prompt is the unit, not the completion."""
        means = {name: column.mean(axis=1) for name, column in columns.items()}
        count, generations = columns["kl"].shape
        value = {name: float(x.mean()) for name, x in means.items()}
        error = {name: float(x.std(ddof=1) / math.sqrt(count)) for name, x in means.items()}
        return cls(
            kl=value.pop("kl"),
            kl_standard_error=error.pop("kl"),
            value=value,
            standard_error=error,
            prompts=count,
            generations=generations,
            clipped=clipped,
        )


class Policies:
    """The base model, and what becomes of it with adapters attached for a while."""

    def __init__(self, model: Any, tokenizer: Any, recipe: Recipe) -> None:
        self._plain, self._tokenizer, self._recipe = model, tokenizer, recipe

    def measure(
        self,
        parts: Sequence[Part],
        rows: Sequence[Row],
        rewards: Sequence[RewardFunction],
        generations: int | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Rewards and log-ratios of every completion: arrays of shape (prompts, generations) by column name.

        `parts` are those of the policy (see `attach`), none for the base model. `generations` completions a prompt, by
        default the recipe's. The same seed for every policy: differences between them are less noisy.
        """
        generations = generations or self._recipe.evaluation.generations
        model = attach(self._plain, parts)
        adapted = model is not self._plain
        columns: dict[str, list[NDArray[np.float64]]] = {name: [] for name in (*self._recipe.reward_names, "kl")}
        try:
            for batch, completions, ids, ratios in self._batches(
                model, rows, generations, self._recipe.seed + 1, adapted
            ):
                columns["kl"].append(ratios)
                for reward in rewards:
                    columns[reward.reward.name].append(_score(reward, batch, completions, ids))
        finally:
            if adapted:
                self._plain = model.unload()
        return {name: np.concatenate(parts).reshape(len(rows), generations) for name, parts in columns.items()}

    def sample(
        self, rows: Sequence[Row], rewards: Sequence[RewardFunction], generations: int, seed: int
    ) -> tuple[list[Any], NDArray[np.float64]]:
        """Completions of the base model, `generations` a row in a row, and their rewards scaled to [0, 1].

        Returns
        -------
        completions : a list of n = len(rows) * generations. scores : shape (n, d).
        """
        texts: list[Any] = []
        scores: list[NDArray[np.float64]] = []
        for batch, completions, ids, _ in self._batches(self._plain, rows, generations, seed, False):
            texts.extend(completions)
            columns = [
                (_score(reward, batch, completions, ids) - reward.reward.low) / (reward.reward.high - reward.reward.low)
                for reward in rewards
            ]
            scores.append(np.column_stack(columns))
        return texts, np.concatenate(scores)

    def _batches(
        self, model: Any, rows: Sequence[Row], generations: int, seed: int, adapted: bool
    ) -> Iterator[tuple[list[Row], list[Any], list[list[int]], NDArray[np.float64]]]:
        """Sample `generations` completions a row: batches of rows (repeated), completions, token ids, log-ratios."""
        import torch
        from transformers import set_seed

        size = max(1, self._recipe.evaluation.batch // generations)
        set_seed(seed)
        for start in range(0, len(rows), size):
            batch = [row for row in rows[start : start + size] for _ in range(generations)]
            with torch.inference_mode():
                completions, ids, ratios = self._generate(model, batch, adapted)
            yield batch, completions, ids, ratios

    def _generate(self, model: Any, batch: Sequence[Row], adapted: bool) -> tuple[list[Any], list[list[int]], Any]:
        """Completions, their token ids, and log pi - log pi_base of each: its mean is the KL."""
        import torch

        tokenizer, sampling = self._tokenizer, self._recipe.sampling
        output, mask, width = complete(model, tokenizer, [row["prompt"] for row in batch], sampling)
        kept = mask[:, width:].bool()
        ratios = torch.zeros(len(batch), dtype=torch.float64)
        if adapted:
            own = _log_probabilities(model, output, mask, width, sampling["temperature"])
            with model.disable_adapter():
                reference = _log_probabilities(model, output, mask, width, sampling["temperature"])
            ratios = ((own - reference) * kept).sum(1).double().cpu()
        ids, texts = decoded(tokenizer, output, mask, width)
        chat = not isinstance(batch[0]["prompt"], str)
        completions = [[{"role": "assistant", "content": text}] if chat else text for text in texts]
        return completions, ids, ratios.numpy()


def _log_probabilities(model: Any, ids: Any, mask: Any, width: int, temperature: float) -> Any:
    """Log-probability of each completion token under the sampling temperature, shape (n, completion length)."""
    import torch

    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, width - 1 : -1].float()
    scores = torch.log_softmax(logits / temperature, dim=-1)
    return scores.gather(2, ids[:, width:].unsqueeze(2)).squeeze(2)


def _score(
    reward: RewardFunction, batch: Sequence[Row], completions: list[Any], ids: list[list[int]]
) -> NDArray[np.float64]:
    """Call a reward as TRL does."""
    columns = {key: [row[key] for row in batch] for key in batch[0] if key not in ("prompt", "completion")}
    return reward.score(
        [row["prompt"] for row in batch],
        completions,
        completion_ids=ids,
        trainer_state=None,
        log_extra=lambda *_: None,
        log_metric=lambda *_: None,
        **columns,
    )


def write_rows(path: Path, member: str, rows: Sequence[Row], columns: dict[str, NDArray[np.float64]]) -> None:
    """One row a completion: prompt, member, generation, the rewards in their own units, kl (log-ratio)."""
    import pyarrow
    import pyarrow.parquet as parquet

    count, generations = columns["kl"].shape
    texts = [prompt_text(row) for row in rows]
    table = {
        "prompt": [text for text in texts for _ in range(generations)],
        "member": [member] * (count * generations),
        "generation": list(range(generations)) * count,
        **{name: column.ravel() for name, column in columns.items()},
    }
    parquet.write_table(pyarrow.table(table), path, compression="zstd")
