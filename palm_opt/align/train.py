"""One weight, one adapter: GRPO with LoRA on the scalarised objective w.r - beta KL, as recipe and weight say."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palm_opt.align.base import Base, load_model, precision
from palm_opt.align.data import PromptSet
from palm_opt.align.recipe import Recipe
from palm_opt.align.rewards import RewardFunction

__all__ = ["ADAPTER_FILES", "train_adapter", "training_key"]

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def training_key(weight: Sequence[float], recipe: Recipe, base: Base, prompts: PromptSet) -> str:
    """Name of a training run: a hash of the weight (hex floats), base model, data, recipe and seed."""
    parts = {
        "weight": [float(x).hex() for x in weight],
        "base": base.sha256,
        "data": prompts.sha256,
        "recipe": recipe.training_sha256,
        "seed": recipe.seed,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def train_adapter(
    weight: Sequence[float],
    recipe: Recipe,
    base: Base,
    prompts: PromptSet,
    rewards: Sequence[RewardFunction],
    tokenizer: Any,
    folder: Path,
) -> dict[str, Any]:
    """Train one adapter and save it in `folder`, which exists; returns seconds and the mean training reward at the end.

    A fresh base model is loaded each time: TRL changes the one it gets.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback, ProgressCallback, set_seed
    from trl import GRPOTrainer

    start = time.perf_counter()
    set_seed(recipe.seed)
    target = recipe.lora.target
    lora = LoraConfig(
        r=recipe.lora.r,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=target if target == "all-linear" else [name.strip() for name in target.split(",")],
        task_type="CAUSAL_LM",
    )
    trainer = GRPOTrainer(
        model=load_model(base, recipe.device),
        reward_funcs=list(rewards),
        args=_arguments(weight, recipe, folder),
        train_dataset=Dataset.from_list(list(prompts.train)),
        processing_class=tokenizer,
        peft_config=lora,
    )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout
    trainer.remove_callback(ProgressCallback)
    trainer.train()
    trainer.model.save_pretrained(folder, safe_serialization=True)
    _tidy(folder, base)
    logged = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    del trainer
    gc.collect()  # the next run needs the memory
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return {"seconds": time.perf_counter() - start, "training_reward": logged[-1] if logged else None}


def _arguments(weight: Sequence[float], recipe: Recipe, folder: Path) -> Any:
    """GRPOConfig of one run. `reward_weights` lists every reward, zeros too; rewards come scaled to [0, 1]."""
    import torch
    from trl import GRPOConfig

    gpu = torch.cuda.is_available()
    train, generation, device = recipe.train, recipe.generation, recipe.device
    settings: dict[str, Any] = {
        "output_dir": str(folder / "trainer"),
        "reward_weights": [float(x) for x in weight],
        "multi_objective_aggregation": train.aggregation,
        "scale_rewards": train.scale_rewards,
        "loss_type": train.loss,
        "beta": train.beta,
        "max_steps": train.steps,
        "per_device_train_batch_size": train.batch,
        "num_generations": train.generations,
        "learning_rate": train.learning_rate,
        "max_completion_length": generation.max_new_tokens,
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "use_cpu": not gpu,
        "bf16": gpu and precision(device) == "bfloat16",
        "gradient_checkpointing": gpu,
        "dataloader_pin_memory": gpu,
        "use_vllm": device.vllm,
        "save_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": max(1, min(10, train.steps)),
        "report_to": "none",
        "disable_tqdm": True,
        "log_level": "error",
        "remove_unused_columns": False,
    }
    if device.vllm:
        settings["vllm_mode"] = "colocate"
    return GRPOConfig(**{**settings, **train.trl})


def _tidy(folder: Path, base: Base) -> None:
    """Leave the adapter alone in its folder, and no machine path in its configuration."""
    for item in folder.iterdir():
        if item.is_dir():
            shutil.rmtree(item)
        elif item.name not in ADAPTER_FILES:
            item.unlink()
    path = folder / ADAPTER_FILES[0]
    config = json.loads(path.read_text(encoding="utf-8"))
    config.update(base_model_name_or_path=base.name, revision=base.revision, auto_mapping=None)
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # peft writes a set, in an order that changes from process to process
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
