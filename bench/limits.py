"""Limits hold: by how much a solve overruns its time limit, and what it returns then.

python -m bench.limits --out bench/results/limits.jsonl
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import palm_opt as palm

CASES = [  # kind, candidates, rewards, delta, time limit
    ("arc", 8_000, 2, 0.0, 2.0),
    ("arc", 100_000, 2, 1e-6, 2.0),
    ("cube", 1_000_000, 2, 0.001, 2.0),
    ("sphere", 2_000, 3, 0.005, 1.0),
    ("sphere", 100_000, 3, 0.001, 1.0),
    ("sphere", 100_000, 3, 0.001, 5.0),
    ("cube", 1_000_000, 3, 0.01, 2.0),
    ("sphere", 20_000, 4, 0.02, 2.0),
    ("sphere", 5_000, 5, 0.05, 2.0),
    ("cube", 1_000_000, 5, 0.05, 5.0),
    ("sphere", 100_000, 6, 0.1, 5.0),
    ("sphere", 1_000_000, 6, 0.2, 5.0),
    ("sphere", 1_000_000, 6, 0.2, 60.0),
]


def values(kind: str, n: int, d: int) -> NDArray[np.float64]:
    """Points of an arc, of a sphere's octant (all undominated), of a cube."""
    if kind == "arc":
        angle = np.linspace(0.0, np.pi / 2, n)
        return np.column_stack([np.cos(angle), np.sin(angle)])
    rng = np.random.default_rng(0)
    if kind == "cube":
        return rng.random((n, d))
    points = np.abs(rng.normal(size=(n, d)))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def main() -> None:
    """Print a line a case: what was asked, the overrun in seconds, what came back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = []
    for kind, n, d, delta, limit in CASES:
        matrix = palm.ValueMatrix(values(kind, n, d))
        began = time.monotonic()
        result = palm.solve(matrix, delta=delta, time_limit=limit)
        over = time.monotonic() - began - limit
        line = {
            "case": f"{kind}-{n}-{d}",
            "delta": delta,
            "limit": limit,
            "overrun": round(max(0.0, over), 2),
            "allowed": round(0.1 * limit + 1, 2),
            "status": result.status,
            "stop": result.stop,
            "size": result.size,
            "lower_bound": result.lower_bound,
        }
        lines.append(line)
        print(json.dumps(line), flush=True)
    if options.out:
        options.out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
