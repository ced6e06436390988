"""A recipe: what to train, on what, with which rewards. Read from TOML, checked in full before anything runs.

A recipe names Python functions and is code that you trust. A portfolio directory is not, and is never executed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from palm_opt.errors import RecipeError

__all__ = ["EMBEDDED", "HUB", "Recipe", "Reward", "load_recipe"]

EMBEDDED = "embedded"
HUB = "hf:"  #: prefix of a data set on the hub
SAMPLING = (
    "top_k",
    "min_p",
    "repetition_penalty",
)  #: arguments of `[train.trl]` that say how to sample, also to measure


@dataclass(frozen=True)
class Reward:
    """A TRL reward callable `module:function`, or a reward model (a folder or hub name), and its declared range.

    Low counts as 0 and high as 1. Either `function` or `model` is empty.
    """

    name: str
    function: str
    low: float
    high: float
    model: str = ""
    revision: str = "main"

    @property
    def source(self) -> str:
        """What the recipe names: the function or the model."""
        return self.function or self.model


@dataclass(frozen=True)
class Model:
    base: str
    revision: str


@dataclass(frozen=True)
class Prompts:
    source: str
    column: str
    split: str
    subset: str
    select: float
    certify: float


@dataclass(frozen=True)
class Train:
    trainer: str
    beta: float
    steps: int
    warm_steps: int
    batch: int
    generations: int
    pool: int
    learning_rate: float
    scale_rewards: str
    aggregation: str
    loss: str
    save_every: int
    report_to: str
    trl: Mapping[str, Any]

    def steps_from(self, start: object | None) -> int:
        """Optimiser steps of a training that begins from an adapter, or afresh (None)."""
        return self.warm_steps if start is not None and self.warm_steps else self.steps


@dataclass(frozen=True)
class Lora:
    r: int
    alpha: int
    dropout: float
    target: str


@dataclass(frozen=True)
class Generation:
    max_new_tokens: int
    temperature: float
    top_p: float


@dataclass(frozen=True)
class Evaluation:
    prompts: int
    generations: int
    batch: int


@dataclass(frozen=True)
class Planning:
    reference: str
    trainer_eta: float
    trainer_gamma: float
    responses: int
    soups: bool
    decoding: bool
    lattice: int
    epsilon: float
    delta: float
    alpha: float

    @property
    def error(self) -> tuple[float, float]:
        """(eta, gamma): a policy trained for w is declared to have w.v >= (1 - eta) OPT(w) - gamma."""
        return self.trainer_eta, self.trainer_gamma

    @property
    def blends(self) -> tuple[str, ...]:
        """Kinds of policies to make from trained ones before a weight is trained: "soup", "mod"."""
        return ("soup",) * self.soups + ("mod",) * self.decoding


@dataclass(frozen=True)
class Budget:
    trainings: int
    hours: float


@dataclass(frozen=True)
class Device:
    precision: str
    threads: int
    gradient_checkpointing: str
    vllm: str
    vllm_memory: float
    vllm_server: str
    vllm_remote: bool


@dataclass(frozen=True)
class Launch:
    how: str
    workers: int
    processes: int
    gpus: float
    retries: int
    address: str


@dataclass(frozen=True)
class Recipe:
    """A checked recipe; the fields are the sections of the file (docs/alignment.md lists every key)."""

    path: Path
    seed: int
    model: Model
    prompts: Prompts
    rewards: tuple[Reward, ...]
    train: Train
    lora: Lora
    generation: Generation
    evaluation: Evaluation
    plan: Planning
    budget: Budget
    device: Device
    launch: Launch

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Same as `load_recipe`."""
        return load_recipe(path)

    @property
    def folder(self) -> Path:
        """The recipe's own folder: relative paths and reward modules are looked up there."""
        return self.path.resolve().parent

    @property
    def reward_names(self) -> tuple[str, ...]:
        """Names of the rewards, in the order of the file."""
        return tuple(reward.name for reward in self.rewards)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Declared (low, high) of each reward."""
        return tuple((reward.low, reward.high) for reward in self.rewards)

    @property
    def sampling(self) -> dict[str, Any]:
        """Arguments of transformers' `generate` with which every policy is measured."""
        generation, trl = asdict(self.generation), self.train.trl
        return {**generation, "top_k": 0, **{key: trl[key] for key in SAMPLING if key in trl}}

    @property
    def training(self) -> dict[str, Any]:
        """All that an adapter depends on but for its weight, the base model and the data."""
        train = {key: value for key, value in asdict(self.train).items() if key not in ("save_every", "report_to")}
        return {
            "seed": self.seed,
            "rewards": [asdict(reward) for reward in self.rewards],
            "reward_sources": _sources(self),
            "train": train,
            "lora": asdict(self.lora),
            "generation": asdict(self.generation),
            "precision": self.device.precision,
            "split": [self.prompts.select, self.prompts.certify],
        }

    @property
    def training_sha256(self) -> str:
        """Hash of `training`."""
        return _sha256(self.training)

    @property
    def measuring_sha256(self) -> str:
        """Hash of all that a measurement depends on but for the adapter (`evaluation.batch` is not noise-free)."""
        return _sha256({"training": self.training_sha256, "evaluation": asdict(self.evaluation)})


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    RecipeError : one line with EVERY fault that shows without importing or reading what the recipe names: the file,
        the key, what was expected and what came. `faults` has them one by one; `palm-opt recipe check` finds the rest.
    """
    from palm_opt.align.recipe.reading import read_draft

    draft = read_draft(path)
    if draft.faults:
        raise RecipeError.of(draft.path, draft.faults)
    return draft.recipe()


def _sources(recipe: Recipe) -> dict[str, str]:
    """SHA-256 of each reward module's source, or of a model's files: another reward is another training run."""
    from palm_opt.align.measuring.rewards import module_file
    from palm_opt.align.policies.hub import find_model, folder_sha256

    hashes = {}
    for reward in recipe.rewards:
        if reward.model:
            folder, _ = find_model(reward.model, reward.revision, recipe.folder)
            hashes[reward.model] = folder_sha256(folder)
            continue
        module = reward.function.partition(":")[0]
        file = module_file(module, recipe.folder)
        hashes[module] = hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
    return hashes


def _sha256(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
