"""The two ways to a portfolio directory: train given weights, or the loop that certifies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.align.loop import Loop
from palm_opt.align.publish import publish
from palm_opt.align.recipe.declaration import Recipe, load_recipe
from palm_opt.align.recipe.reading import reachable
from palm_opt.align.session import Ask, Say, open_session
from palm_opt.errors import ProblemError
from palm_opt.planning.planned import Plan
from palm_opt.portfolio.directory import Portfolio
from palm_opt.solver.separation import check_tolerances
from palm_opt.tables.weights import read_weights

__all__ = ["check_plan", "read_weights", "run", "train"]


def train(plan_or_weights: Any, recipe: Recipe | str | Path, out: str | Path, progress: Say | None = None) -> Portfolio:
    """See `palm_opt.align.train`."""
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    weights = _weights(plan_or_weights, recipe)
    with open_session(recipe, out, progress) as session:
        known = {ask for asks in session.rounds() for ask in asks}
        asks: list[Ask] = [(tuple(row), None) for row in weights.tolist()]
        if new := [ask for ask in asks if ask not in known]:
            session.ask(new)
        pool = session.candidates(asks)
        session.train(pool)
        return publish(session, pool, session.measure(pool), None)


def run(
    recipe: Recipe | str | Path,
    out: str | Path,
    epsilon: float | None = None,
    delta: float | None = None,
    progress: Say | None = None,
) -> Portfolio:
    """See `palm_opt.align.run`."""
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    epsilon = recipe.plan.epsilon if epsilon is None else epsilon
    delta = recipe.plan.delta if delta is None else delta
    check_tolerances(epsilon, delta)
    eta, gamma = recipe.plan.error
    if recipe.plan.reference == "oracle" and not reachable(eta, gamma, epsilon, delta):
        raise ProblemError(f"delta: {delta:g} is out of reach with the declared trainer error ({eta:g}, {gamma:g})")
    with open_session(recipe, out, progress) as session:
        return Loop(session, epsilon, delta).run()


def _weights(source: Any, recipe: Recipe) -> NDArray[np.float64]:
    """The weights to train: of a plan (or plan.json) that was made for this recipe, or as `read_weights` takes them."""
    where = "plan"
    if isinstance(source, (str, Path)) and Path(source).suffix.lower() == ".json":
        where, source = str(source), Plan.read(source)
    if isinstance(source, Plan):
        check_plan(source, recipe, where)
        source = source.weights[:, [source.rewards.index(name) for name in recipe.reward_names]]
    return read_weights(source, recipe.reward_names)


def check_plan(plan: Plan, recipe: Recipe, where: str = "plan") -> None:
    """Refuse a plan for other rewards, another scale or another KL penalty than the recipe trains with."""
    if sorted(plan.rewards) != sorted(recipe.reward_names):
        ours = ", ".join(recipe.reward_names)
        raise ProblemError(f"{where}: is about the rewards {', '.join(plan.rewards)}; {recipe.path} has {ours}")
    ranges = dict(zip(recipe.reward_names, recipe.ranges, strict=True))
    for k, name in enumerate(plan.rewards):
        pair = (0.0, 1.0) if isinstance(plan.scale, str) else plan.scale[k]
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
