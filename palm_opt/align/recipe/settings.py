"""The one table of recipe settings: name, default, what is allowed, text. Validation and docs are made from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["REQUIRED", "SETTINGS", "TRAINERS", "TRL_ARGUMENTS", "Setting", "markdown", "trl_markdown"]

REQUIRED = object()  #: default of a setting that has none
TRAINERS = {  #: trainer -> the TRL configuration that takes its `[train.trl]` arguments
    "grpo": "GRPOConfig",
    "rloo": "RLOOConfig",
    "dpo-rerank": "DPOConfig",
}


@dataclass(frozen=True)
class Setting:
    """One key of a recipe. `allowed`: the choices of a text, or the (low, high) of a number, both included."""

    key: str
    kind: type[str] | type[int] | type[float] | type[bool]
    default: Any
    allowed: tuple[Any, ...]
    text: str

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return "one of " + ", ".join(map(repr, self.allowed)) if self.allowed else "a non-empty text"
        noun = "an integer" if self.kind is int else "a number"
        low, high = self.allowed
        return f"{noun} >= {low}" if high == math.inf else f"{noun} from {low} to {high}"

    def accepts(self, value: Any) -> bool:
        """Whether a value from TOML is of the right type and allowed."""
        if self.kind is bool:
            return isinstance(value, bool)
        if self.kind is str:
            return isinstance(value, str) and bool(value.strip()) and (not self.allowed or value in self.allowed)
        types = int if self.kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, types):
            return False
        low, high = self.allowed
        return bool(math.isfinite(value) and low <= value <= high)


_MANY = (1, math.inf)
_COUNT = (0, math.inf)
_POSITIVE = (1e-12, math.inf)

SETTINGS: tuple[Setting, ...] = (
    Setting("seed", int, 0, (0, 2**31 - 1), "Seed of training and of measuring."),
    Setting("model.base", str, REQUIRED, (), "`embedded`, a local folder (beside the recipe), or a hub name."),
    Setting("model.revision", str, "main", (), "Revision of a hub model; the commit found is recorded."),
    Setting(
        "prompts.source",
        str,
        REQUIRED,
        (),
        "`embedded`, a .jsonl or .parquet file, a folder written by `datasets.save_to_disk`, or `hf:owner/name`.",
    ),
    Setting("prompts.column", str, "prompt", (), "Column with the prompts."),
    Setting("prompts.split", str, "train", (), "Split of a Hugging Face data set to read; all else is never read."),
    Setting("prompts.subset", str, "default", (), "Configuration of a data set on the hub."),
    Setting("prompts.select", float, 0.2, (0, 1), "Share of prompts held out to choose members."),
    Setting(
        "prompts.certify", float, 0.2, (0, 1), "Share of prompts held out for the statistical promise, opened last."
    ),
    Setting("train.trainer", str, "grpo", tuple(TRAINERS), "TRL trainer."),
    Setting("train.beta", float, 0.0, (0, math.inf), "KL penalty of the training objective, per token."),
    Setting("train.steps", int, 100, _MANY, "Optimiser steps a weight."),
    Setting(
        "train.warm_steps",
        int,
        0,
        _COUNT,
        "After the first round, start from the nearest weight's adapter and train this many steps; 0: afresh.",
    ),
    Setting(
        "train.batch",
        int,
        32,
        _MANY,
        "Completions (dpo-rerank: pairs) a step, over all processes; a multiple of `train.generations` if completions.",
    ),
    Setting("train.generations", int, 8, (2, math.inf), "Completions a prompt."),
    Setting("train.pool", int, 512, _MANY, "dpo-rerank: training prompts in the shared sample pool, at most."),
    Setting(
        "train.learning_rate", float, 1e-5, _POSITIVE, "Learning rate (TRL's own default, 1e-6, is too low for LoRA)."
    ),
    Setting(
        "train.scale_rewards",
        str,
        "none",
        ("none", "batch", "group"),
        "`none` keeps the objective; `batch` rescales the step; `group` (grpo only) reweights prompts.",
    ),
    Setting(
        "train.aggregation",
        str,
        "sum_then_normalize",
        ("sum_then_normalize", "normalize_then_sum"),
        "The second one (GDPO, grpo only) changes what a weight means.",
    ),
    Setting("train.loss", str, "dr_grpo", ("dr_grpo", "dapo", "bnpo", "grpo"), "grpo: `dr_grpo` has no length bias."),
    Setting("train.save_every", int, 0, _COUNT, "Steps between the checkpoints of a training; 0 saves none."),
    Setting(
        "train.report_to",
        str,
        "none",
        ("none", "tensorboard", "trackio", "wandb"),
        "Where TRL also sends its training logs; files go to `logs/` of the run.",
    ),
    Setting("lora.r", int, 8, _MANY, "Rank."),
    Setting("lora.alpha", int, 16, _MANY, "Scale."),
    Setting("lora.dropout", float, 0.0, (0, 0.99), "Dropout."),
    Setting("lora.target", str, "all-linear", (), "Modules to adapt: `all-linear`, or names joined by commas."),
    Setting("generation.max_new_tokens", int, 256, _MANY, "Longest completion."),
    Setting("generation.temperature", float, 1.0, _POSITIVE, "Sampling temperature, in training and measuring."),
    Setting("generation.top_p", float, 1.0, (1e-6, 1), "Nucleus sampling, in training and measuring."),
    Setting("evaluation.prompts", int, 256, (2, math.inf), "Held-out prompts to measure on, at most; all if fewer."),
    Setting("evaluation.generations", int, 4, _MANY, "Completions a prompt."),
    Setting("evaluation.batch", int, 64, _MANY, "Completions at a time."),
    Setting(
        "plan.reference",
        str,
        "oracle",
        ("oracle", "gibbs", "pool"),
        "What the promise is against: every policy that training could reach, given the trainer error declared below; "
        "the closed form on samples of the base model, KL counted; the measured policies only.",
    ),
    Setting(
        "plan.trainer_eta", float, 0.0, (0, 0.999999), "Declared relative error of the trainer (see What is promised)."
    ),
    Setting("plan.trainer_gamma", float, 0.02, (0, math.inf), "Declared absolute error, rewards scaled to [0, 1]."),
    Setting(
        "plan.responses",
        int,
        0,
        _COUNT,
        "Responses a prompt that the base model gives once; the plan made from them is trained first. 0: no plan.",
    ),
    Setting(
        "plan.soups",
        bool,
        False,
        (),
        "Before a weight is trained, measure the weighted sum of the adapters that bound OPT there (no training).",
    ),
    Setting(
        "plan.decoding",
        bool,
        False,
        (),
        "Likewise the mixture of their next-token distributions (no training; a forward pass a part and token).",
    ),
    Setting("plan.lattice", int, 1, _MANY, "The first round trains all weights that are multiples of 1 / lattice."),
    Setting("plan.epsilon", float, 0.0, (0, 0.999999), "Relative tolerance that `run` promises."),
    Setting("plan.delta", float, 0.05, (0, math.inf), "Absolute tolerance, in units of rewards scaled to [0, 1]."),
    Setting("plan.alpha", float, 0.05, (1e-12, 0.5), "Risk that the statistical promise about new prompts is false."),
    Setting("budget.trainings", int, 100, _COUNT, "Trainings at most, those of earlier runs included; 0: no limit."),
    Setting("budget.hours", float, 0.0, (0, math.inf), "Hours of training at most, likewise; 0: no limit."),
    Setting(
        "device.precision",
        str,
        "auto",
        ("auto", "float32", "bfloat16", "float16"),
        "`auto`: bfloat16 on a GPU that has it, else float32.",
    ),
    Setting("device.threads", int, 0, _COUNT, "Torch threads on a CPU; 0 leaves the choice to torch."),
    Setting(
        "device.gradient_checkpointing",
        str,
        "auto",
        ("auto", "on", "off"),
        "Recompute activations instead of keeping them; `auto`: on a GPU.",
    ),
    Setting(
        "device.vllm",
        str,
        "off",
        ("off", "colocate", "server"),
        "Generate with vLLM while training: in the training process, or by a server (`pip install vllm`, a GPU).",
    ),
    Setting("device.vllm_memory", float, 0.3, (0.01, 1), "Share of the GPU's memory that a colocated vLLM takes."),
    Setting("device.vllm_server", str, "http://127.0.0.1:8000", (), "Address of the vLLM server."),
    Setting("device.vllm_remote", bool, False, (), "Accept a vLLM server on another machine."),
    Setting(
        "launch.how",
        str,
        "inline",
        ("inline", "process", "ray"),
        "Train in this process, in a process a weight, or in Ray tasks.",
    ),
    Setting("launch.workers", int, 1, _MANY, "Trainings at once (`process`, `ray`)."),
    Setting(
        "launch.processes",
        int,
        1,
        _MANY,
        "Processes a training, through `torchrun` if above 1; a divisor of `train.batch`.",
    ),
    Setting("launch.gpus", float, 0.0, _COUNT, "GPUs a training takes from Ray (`num_gpus`)."),
    Setting("launch.retries", int, 2, _COUNT, "Further attempts at a training whose worker died."),
    Setting("launch.address", str, "local", (), "Address of a Ray cluster; `local` starts one on this machine."),
)

_ONLINE = ("grpo", "rloo")
_ALL = tuple(TRAINERS)
TRL_ARGUMENTS: dict[str, tuple[type, tuple[str, ...]]] = {  #: what `[train.trl]` may set: its type, and for whom
    "adam_beta1": (float, _ALL),
    "adam_beta2": (float, _ALL),
    "adam_epsilon": (float, _ALL),
    "cast_lm_head_to_fp32": (bool, ("grpo",)),
    "delta": (float, ("grpo",)),
    "epsilon": (float, _ONLINE),
    "epsilon_high": (float, _ONLINE),
    "gradient_accumulation_steps": (int, _ALL),
    "importance_sampling_level": (str, ("grpo",)),
    "label_smoothing": (float, ("dpo-rerank",)),
    "lr_scheduler_type": (str, _ALL),
    "mask_truncated_completions": (bool, _ONLINE),
    "max_grad_norm": (float, _ALL),
    "max_length": (int, ("dpo-rerank",)),
    "min_p": (float, _ONLINE),
    "num_iterations": (int, _ONLINE),
    "optim": (str, _ALL),
    "repetition_penalty": (float, _ONLINE),
    "steps_per_generation": (int, _ONLINE),
    "top_entropy_quantile": (float, ("grpo",)),
    "top_k": (int, _ONLINE),
    "use_bias_correction_kl": (bool, ("grpo",)),
    "use_liger_kernel": (bool, _ALL),
    "vllm_enable_sleep_mode": (bool, _ONLINE),
    "vllm_group_port": (int, _ONLINE),
    "vllm_importance_sampling_correction": (bool, ("grpo",)),
    "vllm_max_model_length": (int, _ONLINE),
    "vllm_server_timeout": (float, _ONLINE),
    "vllm_tensor_parallel_size": (int, _ONLINE),
    "warmup_steps": (int, _ALL),
    "weight_decay": (float, _ALL),
}


def markdown() -> str:
    """The table of settings as Markdown (docs/alignment.md holds it; a test compares)."""
    lines = ["| key | default | allowed | |", "|---|---|---|---|"]
    for s in SETTINGS:
        default = "required" if s.default is REQUIRED else f"`{s.default!r}`".replace("'", '"')
        if s.kind is bool:
            default = f"`{str(s.default).lower()}`"
        lines.append(f"| `{s.key}` | {default} | {s.expected.replace(chr(39), chr(96))} | {s.text} |")
    return "\n".join(lines) + "\n"


def trl_markdown() -> str:
    """The arguments of `[train.trl]` as Markdown, by the trainers that take them (docs/alignment.md holds it)."""
    lines = ["| `[train.trl]` | trainers |", "|---|---|"]
    for trainers in dict.fromkeys(trainers for _, trainers in TRL_ARGUMENTS.values()):
        names = ", ".join(f"`{name}`" for name, (_, those) in TRL_ARGUMENTS.items() if those == trainers)
        lines.append(f"| {names} | {', '.join(trainers)} |")
    return "\n".join(lines) + "\n"
