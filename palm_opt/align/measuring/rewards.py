"""Reward functions: found by name, called as TRL calls them, clipped to their range, never silently missing."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.align.recipe.declaration import Device, Recipe, Reward
from palm_opt.errors import ProblemError, RecipeError

__all__ = ["RewardFunction", "module_file", "resolve_reward", "resolve_rewards"]


class RewardFunction:
    """One reward of a recipe, callable as a TRL reward function.

    Called, it returns rewards scaled to [0, 1] by the declared range: what a weight multiplies. `score` returns them in
    their own units. Both clip to the range; `clipped` counts how many of `scored` values were outside.
    """

    def __init__(self, reward: Reward, function: Callable[..., Any]) -> None:
        self.reward = reward
        self.function = function
        self.__name__ = reward.name  # TRL keys its logs by it
        self.clipped = self.scored = 0

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
        low, high = self.reward.low, self.reward.high
        scores = self.score(prompts, completions, **columns)
        scaled: list[float] = ((scores - low) / (high - low)).tolist()
        return scaled

    def score(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> NDArray[np.float64]:
        """Rewards of completions, shape (n,), in their own units, clipped to the declared range.

        Raises
        ------
        ProblemError : the function failed, or returned None, NaN or the wrong number of rewards; names the prompt.
        """
        name = self.reward.name
        try:
            returned = list(self.function(prompts=prompts, completions=completions, **columns))
        except Exception as error:
            raise ProblemError(f"reward {name!r} ({self.reward.source}): {type(error).__name__}: {error}") from error
        if len(returned) != len(prompts):
            raise ProblemError(
                f"reward {name!r}: expected {len(prompts)} rewards, one a completion, got {len(returned)}"
            )
        scores = np.empty(len(returned))
        for i, (value, prompt) in enumerate(zip(returned, prompts, strict=True)):
            try:
                scores[i] = math.nan if value is None else float(value)
            except (TypeError, ValueError):
                scores[i] = math.nan
            if math.isnan(scores[i]):
                raise ProblemError(f"reward {name!r}: expected a number, got {value!r} for the prompt {_brief(prompt)}")
        inside = np.clip(scores, self.reward.low, self.reward.high)
        self.scored += len(scores)
        self.clipped += int((inside != scores).sum())
        return inside


def resolve_rewards(recipe: Recipe) -> list[RewardFunction]:
    """Find the rewards of a recipe: functions in its own folder first, then in installed packages; models by name.

    Raises
    ------
    RecipeError : with all faults at once.
    """
    faults: list[str] = []
    found = []
    for reward in recipe.rewards:
        try:
            found.append(resolve_reward(reward, recipe.folder, recipe.device))
        except RecipeError as error:
            faults.extend(error.faults)
    if faults:
        raise RecipeError.of(recipe.path, faults)
    return found


def resolve_reward(reward: Reward, folder: Path, device: Device, offline: bool = False) -> RewardFunction:
    """One reward, ready to be called; `folder` is the recipe's. A reward model is loaded by its first call."""
    key = f"rewards.{reward.name}"
    if reward.model:
        from palm_opt.align.measuring.reward_models import RewardModel

        try:
            return RewardFunction(reward, RewardModel.find(reward.model, reward.revision, folder, device, offline))
        except RecipeError as error:
            raise RecipeError(f"{key}.model: {error}") from error
    module_name, _, attribute = reward.function.partition(":")
    try:
        function = getattr(_import(module_name, folder), attribute, None)
    except Exception as error:
        raise RecipeError(f"{key}.function: cannot import {module_name}: {_line(error)}") from error
    if not callable(function):
        raise RecipeError(f"{key}.function: {module_name} has no function {attribute}")
    if inspect.iscoroutinefunction(function):
        raise RecipeError(f"{key}.function: expected a plain function, got a coroutine function")
    return RewardFunction(reward, function)


def module_file(module: str, folder: Path) -> Path | None:
    """Source file of a reward module, without running it; None if there is none. `folder` is the recipe's."""
    own = folder / (module.replace(".", "/") + ".py")
    if own.is_file():
        return own
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None


def _import(module: str, folder: Path) -> ModuleType:
    own = folder / (module.replace(".", "/") + ".py")
    if not own.is_file():
        return importlib.import_module(module)
    # under a name of its own: another recipe may have a module of the same name
    digest = hashlib.sha256(str(own).encode() + own.read_bytes()).hexdigest()[:12]
    name = f"palm_recipe_{digest}_{own.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, own)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    sys.path.append(str(folder))  # so that it can import its neighbours
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(folder))
    return loaded


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _brief(prompt: Any) -> str:
    text = repr(prompt if isinstance(prompt, str) else prompt[-1].get("content", prompt[-1]))
    return text if len(text) <= 80 else text[:77] + "..."
