"""A recipe: what to train, on what, with which rewards. Every key is declared here, once: type, text, default, range.

A recipe names Python functions and is code that you trust. A portfolio directory is not, and is never executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from math import inf
from pathlib import Path
from typing import Any, get_type_hints

from palm_opt.align.recipe.settings import Setting, choice, key, number, settings_of

__all__ = ["EMBEDDED", "HUB", "SECTIONS", "SETTINGS", "TRAINERS", "TRL_ARGUMENTS", "Recipe", "Reward"]

EMBEDDED = "embedded"
HUB = "hf:"  #: prefix of a data set on the hub
SAMPLING = ("top_k", "min_p", "repetition_penalty")  #: of `[train.trl]`: how to sample, also to measure
TRAINERS = {  #: trainer -> the TRL configuration that takes its `[train.trl]` arguments
    "grpo": "GRPOConfig",
    "rloo": "RLOOConfig",
    "dpo-rerank": "DPOConfig",
}
_ALL, _ONLINE, _GRPO, _DPO = tuple(TRAINERS), ("grpo", "rloo"), ("grpo",), ("dpo-rerank",)
TRL_ARGUMENTS: dict[str, tuple[type, tuple[str, ...]]] = {  #: what `[train.trl]` may set: its type, and for whom
    name: (kind, trainers)
    for kind, trainers, names in (
        (float, _ALL, "adam_beta1 adam_beta2 adam_epsilon max_grad_norm weight_decay"),
        (int, _ALL, "gradient_accumulation_steps warmup_steps"),
        (str, _ALL, "lr_scheduler_type optim"),
        (bool, _ALL, "use_liger_kernel"),
        (float, _ONLINE, "epsilon epsilon_high min_p repetition_penalty vllm_server_timeout"),
        (int, _ONLINE, "num_iterations steps_per_generation top_k"),
        (int, _ONLINE, "vllm_group_port vllm_max_model_length vllm_tensor_parallel_size"),
        (bool, _ONLINE, "mask_truncated_completions vllm_enable_sleep_mode"),
        (float, _GRPO, "delta top_entropy_quantile"),
        (str, _GRPO, "importance_sampling_level"),
        (bool, _GRPO, "cast_lm_head_to_fp32 use_bias_correction_kl vllm_importance_sampling_correction"),
        (float, _DPO, "label_smoothing"),
        (int, _DPO, "max_length"),
    )
    for name in names.split()
}


@dataclass(frozen=True)
class Reward:
    """A line of [rewards]: a TRL reward callable or a reward model, and its declared range. Either may be empty."""

    name: str
    function: str = key("TRL reward function `module:function`, beside the recipe or installed; or else `model`.", "")
    low: float = number("What counts as 0.", 0.0, -inf)
    high: float = number("What counts as 1.", 1.0, -inf)
    model: str = key("Reward model with one logit: a local folder (beside the recipe) or a hub name.", "")
    revision: str = key("Revision of a hub model.", "main")

    @property
    def source(self) -> str:
        """What the recipe names: the function or the model."""
        return self.function or self.model


@dataclass(frozen=True)
class Model:
    base: str = key("`embedded`, a local folder (beside the recipe), or a hub name.")
    revision: str = key("Revision of a hub model; the commit found is recorded.", "main")


@dataclass(frozen=True)
class Prompts:
    source: str = key(
        "`embedded`, a .jsonl or .parquet file, a folder written by `datasets.save_to_disk`, or `hf:owner/name`."
    )
    column: str = key("Column with the prompts.", "prompt")
    split: str = key("Split of a Hugging Face data set to read; all else is never read.", "train")
    subset: str = key("Configuration of a data set on the hub.", "default")
    select: float = number("Share of prompts held out to choose members.", 0.2, 0, 1)
    certify: float = number("Share of prompts held out for the statistical promise, opened last.", 0.2, 0, 1)


@dataclass(frozen=True)
class Train:
    trainer: str = choice("TRL trainer.", " ".join(TRAINERS))
    beta: float = number("KL penalty of the training objective, per token.", 0.0)
    steps: int = number("Optimiser steps a weight.", 100, 1)
    warm_steps: int = number(
        "After the first round, start from the nearest weight's adapter and train this many steps; 0: afresh.", 0
    )
    batch: int = number(
        "Completions (dpo-rerank: pairs) a step, over all processes; a multiple of `train.generations` if completions.",
        32,
        1,
    )
    generations: int = number("Completions a prompt.", 8, 2)
    pool: int = number("dpo-rerank: training prompts in the shared sample pool, at most.", 512, 1)
    learning_rate: float = number("Learning rate (TRL's own default, 1e-6, is too low for LoRA).", 1e-5, 1e-12)
    scale_rewards: str = choice(
        "`none` keeps the objective; `batch` rescales the step; `group` (grpo only) reweights prompts.",
        "none batch group",
    )
    aggregation: str = choice(
        "The second one (GDPO, grpo only) changes what a weight means.", "sum_then_normalize normalize_then_sum"
    )
    loss: str = choice("grpo: `dr_grpo` has no length bias.", "dr_grpo dapo bnpo grpo")
    save_every: int = number("Steps between the checkpoints of a training; 0 saves none.", 0)
    report_to: str = choice(
        "Where TRL also sends its training logs; files go to `logs/` of the run.", "none tensorboard trackio wandb"
    )
    trl: Mapping[str, Any] = field(default_factory=dict)

    def steps_from(self, start: object | None) -> int:
        """Optimiser steps of a training that begins from an adapter, or afresh (None)."""
        return self.warm_steps if start is not None and self.warm_steps else self.steps

    @property
    def samples_ahead(self) -> int:
        """Steps that TRL samples completions for at a time."""
        steps: int = self.trl.get("steps_per_generation", self.trl.get("gradient_accumulation_steps", 1))
        return max(1, steps)


@dataclass(frozen=True)
class Lora:
    r: int = number("Rank.", 8, 1)
    alpha: int = number("Scale.", 16, 1)
    dropout: float = number("Dropout.", 0.0, 0, 0.99)
    target: str = key("Modules to adapt: `all-linear`, or names joined by commas.", "all-linear")

    @property
    def targets(self) -> list[str]:
        """The modules to adapt, or `all-linear` alone."""
        return [name.strip() for name in self.target.split(",")]


@dataclass(frozen=True)
class Generation:
    max_new_tokens: int = number("Longest completion.", 256, 1)
    temperature: float = number("Sampling temperature, in training and measuring.", 1.0, 1e-12)
    top_p: float = number("Nucleus sampling, in training and measuring.", 1.0, 1e-6, 1)


@dataclass(frozen=True)
class Evaluation:
    prompts: int = number("Held-out prompts to measure on, at most; all if fewer.", 256, 2)
    generations: int = number("Completions a prompt.", 4, 1)
    batch: int = number("Completions at a time.", 64, 1)


@dataclass(frozen=True)
class Planning:
    reference: str = choice(
        "What the promise is against: every policy that training could reach, given the trainer error declared below; "
        "the closed form on samples of the base model, KL counted; the measured policies only.",
        "oracle gibbs pool",
    )
    trainer_eta: float = number("Declared relative error of the trainer (see What is promised).", 0.0, 0, 0.999999)
    trainer_gamma: float = number("Declared absolute error, rewards scaled to [0, 1].", 0.02)
    responses: int = number(
        "Responses a prompt that the base model gives once; the plan made from them is trained first. 0: no plan.", 0
    )
    soups: bool = key(
        "Before a weight is trained, measure the weighted sum of the adapters that bound OPT there (no training).",
        False,
    )
    decoding: bool = key(
        "Likewise the mixture of their next-token distributions (no training; a forward pass a part and token).", False
    )
    lattice: int = number("The first round trains all weights that are multiples of 1 / lattice.", 1, 1)
    epsilon: float = number("Relative tolerance that `run` promises.", 0.0, 0, 0.999999)
    delta: float = number("Absolute tolerance, in units of rewards scaled to [0, 1].", 0.05)
    alpha: float = number("Risk that the statistical promise about new prompts is false.", 0.05, 1e-12, 0.5)

    @property
    def error(self) -> tuple[float, float]:
        """(eta, gamma): a policy trained for w is declared to have w.v >= (1 - eta) OPT(w) - gamma."""
        return self.trainer_eta, self.trainer_gamma

    @property
    def blends(self) -> tuple[str, ...]:
        """Kinds of policies to make from trained ones before a weight is trained: "soup", "mod"."""
        return ("soup",) * self.soups + ("mod",) * self.decoding

    def reaches(self, epsilon: float, delta: float) -> bool:
        """Whether a trained weight can keep a promise at all: (1 - epsilon) (v + gamma) / (1 - eta) - v < delta."""
        keep = (1 - epsilon) / (1 - self.trainer_eta)
        return self.reference != "oracle" or min(keep * (v + self.trainer_gamma) - v for v in (0.0, 1.0)) < delta


@dataclass(frozen=True)
class TrainingBudget:
    trainings: int = number("Trainings at most, those of earlier runs included; 0: no limit.", 100)
    hours: float = number("Hours of training at most, likewise; 0: no limit.", 0.0)


@dataclass(frozen=True)
class Device:
    precision: str = choice("`auto`: bfloat16 on a GPU that has it, else float32.", "auto float32 bfloat16 float16")
    threads: int = number("Torch threads on a CPU; 0 leaves the choice to torch.", 0)
    gradient_checkpointing: str = choice(
        "Recompute activations instead of keeping them; `auto`: on a GPU.", "auto on off"
    )
    vllm: str = choice(
        "Generate with vLLM while training: in the training process, or by a server (`pip install vllm`, a GPU).",
        "off colocate server",
    )
    vllm_memory: float = number("Share of the GPU's memory that a colocated vLLM takes.", 0.3, 0.01, 1)
    vllm_server: str = key("Address of the vLLM server.", "http://127.0.0.1:8000")
    vllm_remote: bool = key("Accept a vLLM server on another machine.", False)


@dataclass(frozen=True)
class Launch:
    how: str = choice("Train in this process, in a process a weight, or in Ray tasks.", "inline process ray")
    workers: int = number("Trainings at once (`process`, `ray`).", 1, 1)
    processes: int = number("Processes a training, through `torchrun` if above 1; a divisor of `train.batch`.", 1, 1)
    gpus: float = number("GPUs a training takes from Ray (`num_gpus`).", 0.0)
    retries: int = number("Further attempts at a training whose worker died.", 2)
    address: str = key("Address of a Ray cluster; `local` starts one on this machine.", "local")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A checked recipe; the fields are the sections of the file (docs/alignment.md lists every key)."""

    path: Path
    seed: int = number("Seed of training and of measuring.", 0, 0, 2**31 - 1)
    model: Model
    prompts: Prompts
    rewards: tuple[Reward, ...]
    train: Train
    lora: Lora
    generation: Generation
    evaluation: Evaluation
    plan: Planning
    budget: TrainingBudget
    device: Device
    launch: Launch

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
    def offline(self) -> bool:
        """Whether the trainer learns from samples of the base model, not from its own."""
        return self.train.trainer == "dpo-rerank"

    @property
    def sampling(self) -> dict[str, Any]:
        """Arguments of transformers' `generate` with which every policy is measured."""
        generation, trl = asdict(self.generation), self.train.trl
        return {**generation, "top_k": 0, **{key: trl[key] for key in SAMPLING if key in trl}}


SECTIONS: dict[str, type[Any]] = {  #: the tables of the file that hold settings alone
    name: kind for name, kind in get_type_hints(Recipe).items() if isinstance(kind, type) and is_dataclass(kind)
}
_TABLES: dict[str, type[Any]] = {"": Recipe, **SECTIONS}
SETTINGS: tuple[Setting, ...] = tuple(x for name, holder in _TABLES.items() for x in settings_of(name, holder))
