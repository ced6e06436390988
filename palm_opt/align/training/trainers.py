"""The TRL trainers of a recipe: one function each, from a training job to a trainer that is ready to train."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_opt.align.policies.base import load_model, precision
from palm_opt.align.recipe.declaration import TRAINERS, Recipe
from palm_opt.align.training.setup import Setup
from palm_opt.errors import RecipeError

__all__ = ["CURVE", "Job", "arguments", "make_config", "make_trainer"]

CURVE = 50  #: logged points of a training, about


@dataclass(frozen=True)
class Job:
    """One weight to train for. `output`: where TRL writes; `steps`: optimiser's; `cache`: of all weights."""

    setup: Setup
    weight: Sequence[float]
    output: Path
    steps: int
    name: str = "training"
    cache: Path | None = None
    save: bool = False
    report: bool = False

    @property
    def recipe(self) -> Recipe:
        """The recipe of the setup."""
        return self.setup.recipe


def make_trainer(job: Job) -> Any:
    """The TRL trainer of a job, around a fresh base model (TRL changes the one it gets) with a new LoRA adapter."""
    import trl
    from datasets import Dataset

    args, recipe, setup = make_config(job), job.recipe, job.setup  # the configuration first: it sets up the processes
    rows = _pairs(job, args) if recipe.offline else list(setup.prompts.train)
    called = {} if recipe.offline else {"reward_funcs": list(setup.rewards)}
    return getattr(trl, TRAINERS[recipe.train.trainer].replace("Config", "Trainer"))(
        model=load_model(setup.base, recipe.device.precision),
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=setup.tokenizer,
        peft_config=_lora(recipe),
        **called,
    )


def arguments(job: Job) -> dict[str, Any]:
    """Arguments of the trainer's TRL configuration (GRPOConfig, RLOOConfig or DPOConfig)."""
    return {**_common(job), **_ARGUMENTS[job.recipe.train.trainer](job), **job.recipe.train.trl}


def make_config(job: Job) -> Any:
    """The TRL configuration of a job; needs its recipe, weight, steps and output only.

    Raises
    ------
    RecipeError : TRL or transformers refuse a value.
    """
    import trl

    try:
        return getattr(trl, TRAINERS[job.recipe.train.trainer])(**arguments(job))
    except (ValueError, TypeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"train.trl: TRL refuses these settings: {reason}") from error


def _pairs(job: Job, args: Any) -> Any:
    """The shared pool, re-ranked by w.r, from the first process: cheaper, but of samples of the base model only."""
    from accelerate.utils import broadcast_object_list

    pairs: list[Any] = [None]
    if args.process_index == 0:
        from palm_opt.align.training.pairs import sample_pool

        pairs = [sample_pool(job.setup, job.cache).pairs(job.weight)]
    broadcast_object_list(pairs)
    return pairs[0]


def _lora(recipe: Recipe) -> Any:
    from peft import LoraConfig

    targets = recipe.lora.targets
    return LoraConfig(
        r=recipe.lora.r,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=targets if targets != ["all-linear"] else targets[0],
        task_type="CAUSAL_LM",
    )


def _common(job: Job) -> dict[str, Any]:
    """What all trainers share."""
    import torch

    gpu = torch.cuda.is_available()
    recipe, train, device = job.recipe, job.recipe.train, job.recipe.device
    number = precision(device.precision)
    settings: dict[str, Any] = {
        "output_dir": str(job.output),
        "beta": train.beta,
        "max_steps": job.steps,
        "per_device_train_batch_size": train.batch // int(os.environ.get("WORLD_SIZE", "1")),  # torchrun's
        "learning_rate": train.learning_rate,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "use_cpu": not gpu,
        "bf16": gpu and number == "bfloat16",
        "fp16": gpu and number == "float16",
        "gradient_checkpointing": device.gradient_checkpointing == "on"
        or (device.gradient_checkpointing == "auto" and gpu),
        "dataloader_pin_memory": gpu,
        "save_strategy": "steps" if job.save else "no",
        "logging_strategy": "steps",
        "logging_steps": -(-job.steps // CURVE),
        "report_to": train.report_to if job.report else "none",
        "run_name": job.name,
        "disable_tqdm": True,
        "log_level": "error",
    }
    if job.save:
        settings["save_steps"] = train.save_every
    if job.report and train.report_to == "trackio":  # stays on this machine
        settings.update(project="palm_opt", trackio_space_id=None, trackio_static_space_id=False)
    return settings


def _sampling(job: Job) -> dict[str, Any]:
    """What grpo and rloo share. `reward_weights` lists every reward, zeros too; rewards come scaled to [0, 1]."""
    train, generation, device = job.recipe.train, job.recipe.generation, job.recipe.device
    settings: dict[str, Any] = {
        "reward_weights": [float(x) for x in job.weight],
        "num_generations": train.generations,
        "max_completion_length": generation.max_new_tokens,
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "use_vllm": device.vllm != "off",
        "remove_unused_columns": False,
    }
    if device.vllm == "colocate":
        settings.update(vllm_mode="colocate", vllm_gpu_memory_utilization=device.vllm_memory)
    elif device.vllm == "server":
        settings.update(vllm_mode="server", vllm_server_base_url=device.vllm_server)
    return settings


def _of_grpo(job: Job) -> dict[str, Any]:
    train = job.recipe.train
    return {
        **_sampling(job),
        "multi_objective_aggregation": train.aggregation,
        "scale_rewards": train.scale_rewards,
        "loss_type": train.loss,
    }


def _of_rloo(job: Job) -> dict[str, Any]:
    return {**_sampling(job), "normalize_advantages": job.recipe.train.scale_rewards == "batch"}


def _of_dpo(job: Job) -> dict[str, Any]:
    """The sigmoid loss wants better than worse; the sft term keeps the better likely in itself. Nothing is cut off."""
    return {"loss_type": ["sigmoid", "sft"], "max_length": None}


_ARGUMENTS: dict[str, Callable[[Job], dict[str, Any]]] = {"grpo": _of_grpo, "rloo": _of_rloo, "dpo-rerank": _of_dpo}
