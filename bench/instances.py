"""Instances of the benchmarks: synthetic pools by name, real sets from PALM_DATA, and the problems asked of them.

    python -m bench.instances --list
    python -m bench.instances anti-10000-4-1004 > anti.csv      # KIND-N-D-SEED: any n, d and seed

Kinds, each column scaled to a largest value of 1 and rounded to 9 decimals:

- anti: anti-correlated values in the unit cube (Borzsonyi, Kossmann, Stocker: The skyline operator, ICDE 2001): a level
  near 1/2, moved between neighbouring coordinates; what leaves the cube is drawn again.
- sphere: uniform on the positive octant of the unit sphere: every candidate is best somewhere.
- indep: independent uniform coordinates.

The rounded numbers are those of the CSV: an instance is the same problem, with the same SHA-256, from the file or from
`load`. Real sets lie in the folder named by PALM_DATA, or in ../shared/data beside the checkout.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import palm_opt as palm
from palm_opt.tables.directions import meant

__all__ = ["PROBLEMS", "REAL", "SUITES", "Problem", "data_folder", "load", "real", "suite", "synthetic"]

Array = NDArray[np.float64]
SEEDS = {"anti": 1000, "sphere": 7, "indep": 17}  # the first seed of an instance is this plus d
REAL = {  # name -> reward columns, higher is better; read with scale="minmax"
    "alpacaeval2": ("win_rate", "length_controlled_winrate", "neg_avg_length_chars"),
    "alpacaeval_judges": ("human_agreement_pct", "neg_price_usd_per_1000", "neg_seconds_per_1000"),
    "dpo_safety_help_sweep": ("safe_gpt5mini", "help_gpt5mini", "safe_qwen3_32b", "help_qwen3_32b"),
    "map_gibbs_sweep": (
        "value_humor",
        "value_gpt2-helpful",
        "value_gpt2-harmless",
        "value_diversity",
        "value_coherence",
        "value_perplexity",
    ),
    "morl_fruit_tree_d5": ("protein", "carbs", "fats", "vitamins", "minerals", "water"),
    "morl_fruit_tree_d6": ("protein", "carbs", "fats", "vitamins", "minerals", "water"),
    "morl_fruit_tree_d7": ("protein", "carbs", "fats", "vitamins", "minerals", "water"),
    "morl_pgmorl_ant2": ("x_speed", "y_speed"),
    "morl_pgmorl_halfcheetah2": ("forward_speed", "energy_saving"),
    "morl_pgmorl_walker2d2": ("forward_speed", "energy_saving"),
    "nba_5d": ("r1", "r2", "r3", "r4", "r5"),
    "open_llm_v1": ("arc", "hellaswag", "mmlu", "truthfulqa", "winogrande", "gsm8k"),
    "safety_chat_llms": (
        "mt_bench",
        "mmlu",
        "truthfulqa_mc1",
        "harmbench_direct",
        "harmbench_jailbreak",
        "non_sycophancy",
    ),
    "toolemu_base_agents": ("safe_gpt5mini", "help_gpt5mini", "safe_qwen3_32b", "help_qwen3_32b"),
}


@dataclass(frozen=True)
class Problem:
    """One cell of a benchmark: an instance, its tolerances, and what is asked.

    instance : a synthetic name KIND-N-D-SEED or the name of a real set.
    scale : of a real set; synthetic pools are used as they are.
    time_limit : seconds allowed.
    max_size, vary : the budget problem, if given.
    """

    instance: str
    epsilon: float = 0.0
    delta: float = 0.0
    scale: str = "none"
    time_limit: float = 60.0
    max_size: int | None = None
    vary: str | None = None

    def __str__(self) -> str:
        if self.max_size is not None:
            return f"{self.instance} {self.max_size} members least {self.vary}"
        parts = [f"{name} {x:g}" for name, x in (("epsilon", self.epsilon), ("delta", self.delta)) if x]
        return " ".join([self.instance, *(parts or ["exact"])])

    def load(self) -> palm.ValueMatrix:
        """The values."""
        return load(self.instance, self.scale)


def _anti(rng: np.random.Generator, n: int, d: int) -> Array:
    kept: list[Array] = []
    while sum(map(len, kept)) < n:
        level = 0.25 + 0.5 * rng.random((4 * n, 12)).mean(axis=1)  # nearly normal around 1/2
        reach = np.minimum(level, 1 - level)
        points = np.tile(level[:, None], d)
        for k in range(d):
            moved = rng.uniform(-1, 1, 4 * n) * reach
            points[:, k] += moved
            points[:, (k + 1) % d] -= moved
        kept.append(points[((points >= 0) & (points <= 1)).all(axis=1)])
    return np.concatenate(kept)[:n]


def _sphere(rng: np.random.Generator, n: int, d: int) -> Array:
    points = np.abs(rng.normal(size=(n, d)))
    unit: Array = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit


def _indep(rng: np.random.Generator, n: int, d: int) -> Array:
    return rng.random((n, d))


KINDS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {"anti": _anti, "sphere": _sphere, "indep": _indep}


def synthetic(kind: str, n: int, d: int, seed: int) -> Array:
    """The numbers of a synthetic instance, shape (n, d), in [0, 1] with 9 decimals."""
    points = KINDS[kind](np.random.default_rng(seed), n, d)
    return _nine_decimals(points / points.max(axis=0))


def _nine_decimals(x: Array) -> Array:
    """Numbers of [0, 1] as their text with 9 decimals reads: numpy rounds 1e9 x, whose own rounding can make a tie."""
    rounded: Array = np.rint(x * 1e9) / 1e9
    doubtful = np.abs(x * 1e9 - np.floor(x * 1e9) - 0.5) < 1e-6
    rounded[doubtful] = [float(f"{value:.9f}") for value in x[doubtful]]
    return rounded


def data_folder() -> Path | None:
    """The folder of real data, or None where there is none."""
    folder = Path(os.environ.get("PALM_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    return folder if (folder / "values").is_dir() else None


def real(name: str, scale: str = "minmax") -> palm.ValueMatrix:
    """A real set; FileNotFoundError where the data is absent."""
    folder = data_folder()
    if folder is None:
        raise FileNotFoundError(f"{name}: no real data here; set PALM_DATA to its folder")
    return palm.ValueMatrix.read(folder / "values" / name / "values.csv", rewards=meant(REAL[name]), scale=scale)


def load(name: str, scale: str = "none") -> palm.ValueMatrix:
    """An instance by name: KIND-N-D-SEED or a real set."""
    if name in REAL:
        return real(name, scale)
    kind, *numbers = name.split("-")
    if kind not in KINDS or len(numbers) != 3 or not all(x.isdecimal() for x in numbers):
        known = ", ".join([*KINDS, *REAL])
        raise ValueError(f"instance {name!r}: expected KIND-N-D-SEED or the name of a real set; there are {known}")
    return palm.ValueMatrix(synthetic(kind, *map(int, numbers)))


def _synthetic_cells() -> Iterator[Problem]:
    """The cells whose sizes are published or known, with five seeds each."""
    for kind, n, d, epsilon, seconds in (
        ("anti", 100_000, 4, 0.1, 10),
        ("anti", 10_000, 4, 0.1, 10),
        ("anti", 10_000, 5, 0.05, 60),
        ("anti", 10_000, 5, 0.1, 300),
        ("anti", 10_000, 6, 0.1, 300),
        ("sphere", 500, 3, 0.02, 120),
        ("sphere", 500, 4, 0.05, 120),
    ):
        first = SEEDS[kind] + d
        for seed in (first, *(first + 1000 * k for k in range(1, 5))):
            yield Problem(f"{kind}-{n}-{d}-{seed}", epsilon=epsilon, time_limit=seconds)


def _small() -> Iterator[Problem]:
    """Problems that general solvers mostly finish in a minute: where methods can be compared to the end."""
    for kind, n, d, tolerances in (
        ("anti", 10_000, 2, (0.05, 0.01)),
        ("anti", 10_000, 3, (0.1, 0.05)),
        ("anti", 10_000, 4, (0.1, 0.05)),
        ("anti", 1_000, 5, (0.1, 0.05)),
        ("sphere", 200, 3, (0.05,)),
        ("sphere", 200, 4, (0.1,)),
        ("indep", 10_000, 4, (0.05, 0.02)),
    ):
        for epsilon in tolerances:
            for k in range(2):
                yield Problem(f"{kind}-{n}-{d}-{SEEDS[kind] + d + 1000 * k}", epsilon=epsilon)


def _curves() -> Iterator[Problem]:
    """One thing varies at a time: candidates, rewards, tolerance (and with it the members)."""
    cells = [(n, 4, 0.1) for n in (1_000, 10_000, 100_000, 1_000_000)]
    cells += [(1_000, d, 0.1) for d in range(2, 9)]
    cells += [(10_000, 4, epsilon) for epsilon in (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)]
    for n, d, epsilon in dict.fromkeys(cells):
        for k in range(3):
            yield Problem(f"anti-{n}-{d}-{SEEDS['anti'] + d + 1000 * k}", epsilon=epsilon, time_limit=300)


SUITES: dict[str, list[Problem]] = {
    "curves": list(_curves()),
    "small": list(_small()),
    "cells": list(_synthetic_cells()),
    "nba": [Problem("nba_5d", epsilon=epsilon) for epsilon in (0.1, 0.05, 0.02)],
    "budget": [Problem("nba_5d", max_size=k, vary="epsilon") for k in (5, 10)],
    "real": [Problem(name, delta=delta, scale="minmax", time_limit=10) for name in REAL for delta in (0.05, 0.02)],
}
PROBLEMS: dict[str, Problem] = {str(problem): problem for problems in SUITES.values() for problem in problems}


def suite(name: str) -> list[Problem]:
    """The problems of a suite that can be loaded here: real sets need their data."""
    here = data_folder() is not None
    return [problem for problem in SUITES[name] if here or problem.instance not in REAL]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("instance", nargs="?", help="KIND-N-D-SEED or the name of a real set")
    parser.add_argument("--list", action="store_true", help="list the problems of every suite")
    options = parser.parse_args()
    if options.list or not options.instance:
        for name, problems in SUITES.items():
            for problem in problems:
                print(f"{name:8s} {problem} ({problem.time_limit:g} s)")
        return
    try:
        values = load(options.instance)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    print(",".join(["id", *values.rewards]))
    for i, row in enumerate(values.raw):
        sys.stdout.write(",".join([str(i), *(f"{x:.9f}" for x in row)]) + "\n")


if __name__ == "__main__":
    main()
