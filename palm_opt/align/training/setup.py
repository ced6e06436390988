"""What all trainings and measurements of one recipe share, and the hashes that name them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from palm_opt.align.measuring.prompts import PromptSet, load_prompts
from palm_opt.align.measuring.rewards import RewardFunction, module_file, resolve_rewards
from palm_opt.align.policies.adapters import ADAPTER_FILES
from palm_opt.align.policies.base import Base, find_base, load_tokenizer
from palm_opt.align.policies.hub import find_model, folder_sha256
from palm_opt.align.recipe.declaration import Recipe
from palm_opt.storage import file_sha256

__all__ = ["Say", "Setup", "measuring_sha256", "training_settings", "training_sha256"]

Say = Callable[[str], None]  #: takes one line for whoever watches


@dataclass(frozen=True)
class Setup:
    """A recipe with all that it names, ready: base model, prompts, rewards, tokenizer."""

    recipe: Recipe
    base: Base
    prompts: PromptSet
    rewards: Sequence[RewardFunction]
    tokenizer: Any

    @classmethod
    def load(cls, recipe: Recipe, say: Say) -> Setup:
        """Find everything; what is cheap to refuse comes first."""
        rewards, prompts = resolve_rewards(recipe), load_prompts(recipe)
        base = find_base(recipe, say)
        return cls(recipe, base, prompts, rewards, load_tokenizer(base))

    @property
    def subject(self) -> dict[str, Any]:
        """What a directory of trainings is about."""
        return {
            "recipe": training_settings(self.recipe),
            "base model": self.base.sha256,
            "data": self.prompts.sha256,
        }

    def key(self, weight: Sequence[float], start: Path | None = None) -> str:
        """Name of a training run: a hash of the weight (hex floats), base model, data, recipe, seed, start adapter."""
        parts = {
            "weight": [float(x).hex() for x in weight],
            "base": self.base.sha256,
            "data": self.prompts.sha256,
            "recipe": training_sha256(self.recipe),
            "seed": self.recipe.seed,
        }
        if start is not None:
            parts["start"] = file_sha256(start / ADAPTER_FILES[1])
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def training_settings(recipe: Recipe) -> dict[str, Any]:
    """All of a recipe that an adapter depends on but for its weight, the base model and the data."""
    return {
        "seed": recipe.seed,
        "rewards": [asdict(reward) for reward in recipe.rewards],
        "reward_sources": _sources(recipe),
        "train": {key: x for key, x in asdict(recipe.train).items() if key not in ("save_every", "report_to")},
        "lora": asdict(recipe.lora),
        "generation": asdict(recipe.generation),
        "precision": recipe.device.precision,
        "split": [recipe.prompts.select, recipe.prompts.certify],
    }


def training_sha256(recipe: Recipe) -> str:
    """Hash of `training_settings`."""
    return _sha256(training_settings(recipe))


def measuring_sha256(recipe: Recipe) -> str:
    """Hash of all that a measurement depends on but for the adapter (`evaluation.batch` is not noise-free)."""
    return _sha256({"training": training_sha256(recipe), "evaluation": asdict(recipe.evaluation)})


def _sources(recipe: Recipe) -> dict[str, str]:
    """SHA-256 of each reward module's source, or of a model's files: another reward is another training run."""
    hashes = {}
    for reward in recipe.rewards:
        if reward.model:
            folder, _ = find_model(reward.model, reward.revision, recipe.folder)
            hashes[reward.model] = folder_sha256(folder)
        else:
            module = reward.function.partition(":")[0]
            file = module_file(module, recipe.folder)
            hashes[module] = file_sha256(file) if file else ""
    return hashes


def _sha256(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
