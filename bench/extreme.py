"""Extreme floats: random small tables of denormal, huge and mixed numbers, every answer proved or refused by its range.

    python -m bench.extreme --count 10000 --out bench/results/extreme.md

Entries are multiples of 5e-324, powers of ten from 1e-320 to 1e300, and neighbours of 2^-1022, 1e16 and 1e300, all in
one table; so are tolerances, and costs up to 1e12. What is not proved (OPTIMAL, INFEASIBLE; by greedy: FEASIBLE) must
be a `ProblemError` that names the range. Anything else is counted as an error.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import palm_opt as palm

KINDS = ("denormal", "spread", "corner", "wide", "near", "power")


def entry(rng: np.random.Generator, kind: str) -> float:
    """A number >= 0 that floats find hard."""
    if kind == "denormal":
        return float(rng.integers(0, 50)) * 5e-324
    if kind == "corner":
        return float(rng.choice([0.0, 1.0, 1e300, 1e-300, 5e-324, 2.2250738585072014e-308, 1e16, 1 / 3]))
    if kind == "near":
        return float(1e15 + rng.integers(0, 100) / 8)
    exponent = rng.integers(-20, 20) if kind == "wide" else rng.integers(-320, 301)
    return float((1.0 if kind == "power" else rng.random()) * 10.0**exponent)


def problem(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of a ValueMatrix and of `solve`."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 9)), int(rng.integers(1, 5))
    kinds = [str(rng.choice(KINDS)) for _ in range(d)] if rng.random() < 0.5 else [str(rng.choice(KINDS))] * d
    array = [[entry(rng, kind) * (-1 if rng.random() < 0.1 else 1) for kind in kinds] for _ in range(n)]
    scales: list[Any] = ["none", "none", "none", "minmax", (0.0, 1e-300), (-1e308, 1e308)]
    costs = [min(1e12, entry(rng, str(rng.choice(KINDS)))) for _ in range(n)] if rng.random() < 0.3 else None
    deltas = [0.0, 1e-320, 5e-324, 0.1, 1e-300, 1e300, entry(rng, "spread"), 1e308]
    table = {"array": array, "costs": costs, "scale": scales[int(rng.integers(len(scales)))]}
    asked = {
        "epsilon": float(rng.choice([0.0, 0.0, 0.1, 0.5, 1e-300, 1 - 2.0**-53])),
        "delta": float(rng.choice(deltas)),
    }
    return table, asked | {"backend": str(rng.choice(palm.backends()))}


def outcome(seed: int) -> str:
    """How a problem ends, in a few words; unexpected ends begin with ERROR."""
    table, asked = problem(seed)
    try:
        values = palm.ValueMatrix(**table)
        result = palm.solve(values, **asked, settings=palm.Settings(time_limit=20, threads=1))
        if result.certificate is not None:
            palm.verify(result.certificate, values)
    except palm.ProblemError as error:
        text = str(error)
        return f"refused: {'values' if text.startswith('values') else 'scale'}, with the range"
    except Exception as error:  # the bench counts them
        return f"ERROR {type(error).__name__}: {error}"
    if result.status is palm.Status.FEASIBLE and asked["backend"] == "greedy":
        return "FEASIBLE, with what greedy proves"
    proved = result.status in (palm.Status.OPTIMAL, palm.Status.INFEASIBLE)
    return f"{result.status}, proved" if proved else f"ERROR {result.status} {result.stop} of {asked['backend']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first problem; the others follow")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("error")
    began, ends = time.perf_counter(), Counter[str]()
    for seed in range(options.seed, options.seed + options.count):
        end = outcome(seed)
        ends[end] += 1
        if end.startswith("ERROR"):
            print(seed, end, file=sys.stderr)
    lines = [
        f"# {options.count} random tables of extreme floats, n <= 8, d <= 4, every backend in turn",
        "",
        f"    python -m bench.extreme --count {options.count}",
        "",
        "| end | problems |",
        "|---|---|",
        *(f"| {end} | {count} |" for end, count in ends.most_common()),
        "",
        f"{time.perf_counter() - began:.0f} s",
    ]
    print("\n".join(lines))
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n")
    sys.exit(any(end.startswith("ERROR") for end in ends))


if __name__ == "__main__":
    main()
