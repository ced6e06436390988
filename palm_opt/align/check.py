"""Everything that is wrong with a recipe, in one go, before anything is trained; and what a good one will take."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_opt.align.estimate import Estimate, ModelSize, embedded_size, estimate, model_size
from palm_opt.align.measuring.prompts import PromptSet, read_rows, small_splits, split
from palm_opt.align.measuring.rewards import resolve_reward
from palm_opt.align.policies.hub import find_model
from palm_opt.align.recipe.declaration import EMBEDDED, Recipe
from palm_opt.align.recipe.reading import read_draft
from palm_opt.errors import BackendNotFound, ProblemError, RecipeError

__all__ = ["Check", "check_recipe"]

_REPORTERS = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",), "wandb": ("wandb",)}


@dataclass(frozen=True)
class Check:
    """What `check_recipe` found. `recipe`, `prompts` and `estimate` are None where there are errors."""

    path: Path
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    recipe: Recipe | None = None
    prompts: PromptSet | None = None
    estimate: Estimate | None = None


def check_recipe(path: str | Path) -> Check:
    """Read a recipe, its prompts, its reward functions and its base model, and list all that is wrong.

    What must still be downloaded is a warning; so is what needs a GPU where there is none. Imports the reward modules
    (a recipe is code that you trust), loads no model and trains nothing.
    """
    try:
        draft = read_draft(path)
    except RecipeError as error:
        return Check(Path(path), error.faults, ())
    errors, warnings = draft.faults, list[str]()
    recipe = draft.recipe  # where settings are wrong they are None
    _check_rewards(recipe, errors, warnings)
    prompts = _check_prompts(recipe, errors)
    base = _check_base(recipe, errors, warnings)
    _check_libraries(recipe, errors, warnings)
    gpu = _check_gpu(recipe, warnings)
    if not errors and recipe.train.trl:
        _check_trl(recipe, errors)
    if errors or prompts is None:
        return Check(recipe.path, tuple(errors), tuple(warnings))
    work = estimate(recipe, prompts, base, gpu)
    return Check(recipe.path, (), tuple(warnings), recipe, prompts, work)


def _check_rewards(recipe: Recipe, errors: list[str], warnings: list[str]) -> None:
    for reward in recipe.rewards:
        try:
            resolve_reward(reward, recipe.folder, recipe.device, offline=True)
        except RecipeError as error:
            if reward.model and not _here(reward.model, recipe.folder):
                warnings.append(f"rewards.{reward.name}.model: {reward.model} is not on this machine yet")
            else:
                errors.extend(error.faults)


def _here(name: str, folder: Path) -> bool:
    """Whether a model is named by a path, or is a folder."""
    return name.startswith((".", "/", "~")) or (folder / name).is_dir()


def _check_prompts(recipe: Recipe, errors: list[str]) -> PromptSet | None:
    p = recipe.prompts
    if None in (p.source, p.column, p.split, p.subset) or any(f.startswith("prompts.source") for f in errors):
        return None
    try:
        rows = read_rows(p.source, p.column, p.split, p.subset, recipe.folder)
    except (ProblemError, BackendNotFound) as error:
        errors.append(f"prompts: {error}")
        return None
    if not rows:
        errors.append(f"prompts: {p.source} has none")
    if not rows or None in (p.select, p.certify):
        return None
    prompts = split(rows, p.select, p.certify)
    if None not in (recipe.train.batch, recipe.train.generations):
        errors.extend(f"prompts: {fault}" for fault in small_splits(prompts, recipe))
    return prompts


def _check_base(recipe: Recipe, errors: list[str], warnings: list[str]) -> ModelSize | None:
    name = recipe.model.base
    if name is None or any(fault.startswith("model.base") for fault in errors):
        return None
    try:
        if name == EMBEDDED:
            size = embedded_size()
        else:
            folder, _ = find_model(name, recipe.model.revision or "main", recipe.folder, offline=True)
            size = model_size(folder)
    except RecipeError as error:
        if _here(name, recipe.folder):
            errors.append(f"model.base: {error}")
        else:
            warnings.append(f"model.base: {name} is not on this machine yet, so its size is unknown")
        return None
    target = recipe.lora.target
    modules = [] if target in (None, "all-linear") else recipe.lora.targets
    experts = size.number("num_experts", "num_local_experts", "n_routed_experts")
    if recipe.plan.decoding and target == "all-linear" and experts:
        warnings.append("plan.decoding: PEFT mixes no adapters of experts; name the attention modules in lora.target")
    unknown = [module for module in modules if module.rpartition(".")[2] != "lm_head" and not size.matrices_of(module)]
    errors.extend(f"lora.target: the base model has no module {module!r} with a matrix" for module in unknown)
    return size


def _check_libraries(recipe: Recipe, errors: list[str], warnings: list[str]) -> None:
    missing = [name for name in ("torch", "transformers", "trl", "peft", "datasets") if not _found(name)]
    if missing:
        warnings.append(f"training needs {', '.join(missing)}: pip install 'palm_opt[align]'")
    reporters = _REPORTERS.get(recipe.train.report_to)
    if reporters and not any(map(_found, reporters)):
        errors.append(f"train.report_to: {recipe.train.report_to} is not installed: pip install {reporters[-1]}")
    if recipe.device.vllm in ("colocate", "server") and not _found("vllm"):
        warnings.append("device.vllm: vllm is not installed here: pip install vllm")


def _check_trl(recipe: Recipe, errors: list[str]) -> None:
    """Have TRL itself look at further arguments: it knows their values."""
    if not all(map(_found, ("torch", "trl"))):
        return
    from palm_opt.align.policies.base import quiet
    from palm_opt.align.training.setup import Setup
    from palm_opt.align.training.trainers import Job, make_config

    nothing: Any = None
    setup, weight = Setup(recipe, nothing, nothing, (), nothing), [1.0] * len(recipe.rewards)
    try:
        with quiet(recipe.device), tempfile.TemporaryDirectory() as folder:
            make_config(Job(setup, weight, Path(folder), recipe.train.steps))
    except RecipeError as error:
        errors.extend(error.faults)


def _found(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _check_gpu(recipe: Recipe, warnings: list[str]) -> bool:
    """Whether there is a GPU; torch is loaded only if the recipe asks for one."""
    wanted = []
    if recipe.device.precision in ("bfloat16", "float16"):
        wanted.append(f"device.precision = {recipe.device.precision}")
    if recipe.device.vllm in ("colocate", "server"):
        wanted.append(f"device.vllm = {recipe.device.vllm}")
    if not wanted and not Path("/dev/nvidiactl").exists():
        return False
    try:
        import torch
    except ImportError:
        return False
    if torch.cuda.is_available():
        return True
    warnings.extend(f"{setting}: made for a GPU, and this machine has none" for setting in wanted)
    return False
