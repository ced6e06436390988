"""Trainings that a promise costs: the loop against lattices, random weights and the grid of the PALM paper.

    python bench/align.py --out runs/bench-align --json bench/results/align.json

All policies are really trained (examples/embedded.toml, some ten seconds each on one core) and measured on the same
held-out prompts; the folder is resumable. Each strategy keeps the fewest of its own policies that serve everyone as
well as it can prove, against the oracle with the recipe's declared trainer error. Gaps of the members are against
the best of ALL policies that any strategy trained. The paper's grid for the same target is counted, not trained.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import palm_opt as palm
from palm_opt.align import load_recipe, run
from palm_opt.align.publish import table_of
from palm_opt.align.session import TrainedWeight, open_session
from palm_opt.align.steer import steer
from palm_opt.preferences.simplex import hybrid_grid, lattice

RECIPE = Path(__file__).resolve().parents[1] / "examples" / "embedded.toml"


def strategies(ours: list[TrainedWeight], d: int) -> dict[str, list[TrainedWeight]]:
    """The weights that each strategy trains."""
    uniform = {f"lattice of 1/{h}": list(map(tuple, lattice(d, h).tolist())) for h in (3, 4, 5)}
    rng = np.random.default_rng(0)
    units = list(map(tuple, np.eye(d).tolist()))  # without them nothing is proved
    random = [*units, *map(tuple, rng.dirichlet(np.ones(d), size=len(ours) - d).tolist())]
    return {"palm-opt run": ours, **uniform, "random, units first": random}


def measure(recipe_file: Path, out: Path) -> tuple[Any, dict[str, list[TrainedWeight]], list[TrainedWeight | None]]:
    """Train and measure what all strategies need: the value matrix, weights by strategy, weight of each policy."""
    run(recipe_file, out)
    recipe = load_recipe(recipe_file)
    with open_session(recipe, out, None) as session:
        asked = strategies([weight for asks in session.rounds() for weight, _ in asks], len(recipe.rewards))
        pool = session.candidates((weight, None) for weights in asked.values() for weight in weights)
        session.train(pool)  # a weight that two strategies ask is trained once and counted for both
        values = table_of(recipe, session.measure(pool))
    return values, asked, [candidate.weight for candidate in pool]


def compare(
    values: palm.ValueMatrix, asked: dict[str, list[TrainedWeight]], weights: list[TrainedWeight | None], recipe: Any
) -> list[dict[str, Any]]:
    """A row a strategy."""
    rows = []
    for name, own in asked.items():
        chosen = [i for i, w in enumerate(weights) if w is None or w in set(own)]
        told = [None if weights[i] is None else np.array(weights[i]) for i in chosen]
        state = steer(values.array[chosen], told, recipe.plan.epsilon, recipe.plan.delta, recipe.plan.error)
        result, members = state.result()
        portfolio = [chosen[i] for i in members]
        metrics = palm.metrics(values, portfolio)
        rows.append(
            {
                "strategy": name,
                "trainings": len(own),
                "certified": result.regret,
                "kept": bool(result.kept),
                "members": len(portfolio),
                "at_least": result.lower_bound,
                "additive_gap": metrics.additive_gap,
                "multiplicative_gap": metrics.multiplicative_gap,
                "perplexity": metrics.perplexity,
                "missed": len(state.missed),
            }
        )
    return rows


def grids(delta: float, d: int) -> dict[str, int]:
    """Sizes of the paper's grid that keep a relative and an absolute tolerance with the sum delta (values up to 1)."""
    shares = (0.25, 0.5, 0.75)
    return {f"{share:g} of delta relative": len(hybrid_grid(d, share * delta, (1 - share) * delta)) for share in shares}


def read_options(description: str, out: str) -> argparse.Namespace:
    """The command line of a benchmark that trains: recipe, folder, JSON file."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def show(document: dict[str, Any], file: Path | None) -> None:
    """Print a result, and write it where a file is named."""
    text = json.dumps(document, indent=1, default=float)
    print(text)
    if file:
        file.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Run, print, write."""
    options = read_options(__doc__, "runs/bench-align")
    recipe = load_recipe(options.recipe)
    values, asked, weights = measure(options.recipe, options.out)
    rows = compare(values, asked, weights, recipe)
    slack = recipe.plan.delta - recipe.plan.trainer_gamma
    document = {
        "command": "python bench/align.py --json bench/results/align.json",
        "delta": recipe.plan.delta,
        "trainer_error": recipe.plan.error,
        "policies": values.n,
        "rows": rows,
        "grids": {"for": slack, "weights": grids(slack, len(recipe.rewards))},
    }
    show(document, options.json)


if __name__ == "__main__":
    main()
