"""The weights to train for: from an array, a table with one column a reward, or a plan that was made for the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.align.recipe.declaration import Recipe
from palm_opt.errors import ProblemError
from palm_opt.planning.planned import Plan
from palm_opt.tables.weights import read_weights

__all__ = ["weights_for"]


def weights_for(source: Any, recipe: Recipe) -> NDArray[np.float64]:
    """The weights of a plan (or plan.json) that was made for this recipe, or of anything that `read_weights` takes."""
    where = "plan"
    if isinstance(source, (str, Path)) and Path(source).suffix.lower() == ".json":
        where, source = str(source), Plan.read(source)
    if isinstance(source, Plan):
        _check_plan(source, recipe, where)
        source = source.weights[:, [source.rewards.index(name) for name in recipe.reward_names]]
    return read_weights(source, recipe.reward_names)


def _check_plan(plan: Plan, recipe: Recipe, where: str) -> None:
    """Refuse a plan for other rewards, another scale or another KL penalty than the recipe trains with."""
    if sorted(plan.rewards) != sorted(recipe.reward_names):
        ours = ", ".join(recipe.reward_names)
        raise ProblemError(f"{where}: is about the rewards {', '.join(plan.rewards)}; {recipe.path} has {ours}")
    ranges = dict(zip(recipe.reward_names, recipe.ranges, strict=True))
    for k, name in enumerate(plan.rewards):
        entry = plan.scale[k]
        pair = (0.0, 1.0) if isinstance(entry, str) else entry
        if pair != ranges[name]:
            raise ProblemError(
                f"{where}: planned {name!r} on the scale {pair[0]:g} to {pair[1]:g}, {recipe.path} trains it on "
                f"{ranges[name][0]:g} to {ranges[name][1]:g}; plan with the recipe's ranges as --scale"
            )
    if plan.beta != recipe.train.beta:
        raise ProblemError(
            f"{where}: planned for beta = {plan.beta!r}, {recipe.path} trains with beta = {recipe.train.beta!r}; set "
            "train.beta to the plan's, or plan again with --beta"
        )
