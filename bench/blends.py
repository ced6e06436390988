"""Soups and mixtures against training: what each gives at the weights that a run trained.

    python bench/blends.py --out runs/bench-blends --json bench/results/blends.json

For every weight w that `palm-opt run` trained after its first round, with the policies that it had by then: the best of
them at w, the soup and the mixture at w of those that bounded OPT there, and the policy trained for w. All are measured
on the same held-out prompts with the same seeds; w.v is their mean of w.r. The folder is resumable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from align import read_options, show

from palm_opt.align import load_recipe, run
from palm_opt.align.loop import blend_at
from palm_opt.align.publish import table_of
from palm_opt.align.session import BLENDS, Blend, open_session
from palm_opt.align.steer import steer


def compare(recipe_file: Path, out: Path) -> list[dict[str, Any]]:
    """A row a weight."""
    run(recipe_file, out)
    recipe, rows = load_recipe(recipe_file), []
    plan, blends = recipe.plan, dict[str, list[Blend]]({kind: [] for kind in BLENDS})
    with open_session(recipe, out, None) as session:
        first, *later = session.rounds()
        pool = session.candidates(ask for asks in (first, *later) for ask in asks)
        measured = session.measure(pool)
        values = table_of(recipe, measured).array
        trained = [None if candidate.weight is None else np.array(candidate.weight) for candidate in pool]
        for k, candidate in enumerate(pool[1 + len(first) :], 1 + len(first)):
            state = steer(values[:k], trained[:k], plan.epsilon, plan.delta, plan.error)
            assert candidate.weight is not None
            for kind, wanted in blends.items():
                wanted.append(blend_at(candidate.weight, kind, state, pool))
        if not session.blended("mod"):
            session.blend(blends)
        made = session.blends(pool, BLENDS)
        session.train(made)
        reached = session.measure(made)
        blended = table_of(recipe, reached).array.reshape(len(blends), -1, len(recipe.rewards))
        kl = np.array([found.kl for found in reached.values()]).reshape(len(blends), -1)
        for i, (weight, parts) in enumerate(blends["mod"]):
            k = 1 + len(first) + i
            best = {"best before": values[:k], "soup": blended[0, i], "mixture": blended[1, i], "trained": values[k]}
            row: dict[str, Any] = {kind: round(float(np.max(v @ weight)), 4) for kind, v in best.items()}
            row["kl"] = {"soup": kl[0, i], "mixture": kl[1, i], "trained": measured[pool[k]].kl}
            rows.append({"weight": np.round(weight, 3).tolist(), "parts": len(parts), **row})
    return rows


def main() -> None:
    """Run, print, write."""
    options = read_options(__doc__ or "", "runs/bench-blends")
    rows = compare(options.recipe, options.out)
    gained = {
        kind: [row[kind] - row["best before"] for row in rows] for kind in ("soup", "mixture", "trained")
    }  # what each adds to the pool at w
    document = {
        "command": "python bench/blends.py --json bench/results/blends.json",
        "mean_gain": {kind: round(float(np.mean(gains)), 4) for kind, gains in gained.items()},
        "better_than_before": {kind: sum(gain > 0 for gain in gains) for kind, gains in gained.items()},
        "mixture_above_soup": sum(row["mixture"] > row["soup"] for row in rows),
        "rows": rows,
    }
    show(document, options.json)


if __name__ == "__main__":
    main()
