"""Train, measure and keep a portfolio with TRL. Importing this loads neither torch nor TRL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from numpy.typing import ArrayLike

from palm_opt.align.policies.member import load_member
from palm_opt.align.recipe.declaration import Recipe
from palm_opt.align.recipe.reading import load_recipe
from palm_opt.errors import ProblemError
from palm_opt.planning.planned import Plan
from palm_opt.portfolio.directory import Portfolio
from palm_opt.portfolio.manifest import Member
from palm_opt.solver.separation import check_tolerances

__all__ = ["Member", "Portfolio", "Recipe", "load_member", "load_recipe", "run", "train"]


def train(
    plan_or_weights: Plan | ArrayLike | str | Path,
    recipe: Recipe | str | Path,
    out: str | Path,
    progress: Callable[[str], None] | None = None,
) -> Portfolio:
    """Train one adapter a weight, measure them and the base model, and write a portfolio directory. Resumable.

    Parameters
    ----------
    plan_or_weights : a `palm_opt.Plan` or its plan.json, which must be about the recipe's rewards, ranges and beta; or
        (k, d) weights, entries >= 0, each row divided by its sum; or a table (CSV, Parquet) with one column a reward.
    recipe : a recipe or its file.
    out : portfolio directory. The same call again trains and measures only what is missing.
    progress : called with one line at a time; by default lines, and bars on a terminal, go to stderr.

    Returns
    -------
    Portfolio : everything measured: the base model and one member a weight.

    Raises
    ------
    RecipeError, ProblemError : bad input. StoreError : the directory is damaged, in use, or of another recipe.
    BackendNotFound : a training library is missing.
    """
    from palm_opt.align.publish import publish
    from palm_opt.align.session import open_session
    from palm_opt.align.weights import weights_for

    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    asks = [(tuple(row), None) for row in weights_for(plan_or_weights, recipe).tolist()]
    with open_session(recipe, out, progress) as session:
        known = {ask for asked in session.rounds() for ask in asked}
        if new := [ask for ask in asks if ask not in known]:
            session.ask(new)
        pool = session.candidates(asks)
        session.train(pool)
        return publish(session, session.measure(pool), None)


def run(
    recipe: Recipe | str | Path,
    out: str | Path,
    epsilon: float | None = None,
    delta: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> Portfolio:
    """Train, measure and prove in rounds, each at the worst weight, until the promise holds or the budget is spent.

    `epsilon` and `delta` replace the recipe's. The promise is against the recipe's `plan.reference`: "oracle", every
    policy that training could reach, given the declared trainer error (certificate.json of kind conditional, about
    answers.csv), or "pool", the measured policies (kind exact, about values.csv). Members are the fewest policies that
    keep it. At the end the prompts of the certify split are opened for a statistical promise about new prompts
    (certificate-statistical.json, about evaluation.parquet). After every round the directory holds what is proved so
    far. Trained adapters stay on disk and in the journal: another promise does not train them again.

    Returns
    -------
    Portfolio : the chosen members, with the promise in `epsilon` and `delta`. Raises as `align`.
    """
    from palm_opt.align.loop import Loop
    from palm_opt.align.session import open_session

    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    epsilon = recipe.plan.epsilon if epsilon is None else epsilon
    delta = recipe.plan.delta if delta is None else delta
    check_tolerances(epsilon, delta)
    if not recipe.plan.reaches(epsilon, delta):
        eta, gamma = recipe.plan.error
        raise ProblemError(f"delta: {delta:g} is out of reach with the declared trainer error ({eta:g}, {gamma:g})")
    with open_session(recipe, out, progress) as session:
        return Loop(session, epsilon, delta).run()
