"""Ties as a person sees them: random tables with two decimals, every backend against all subsets in integers.

    python -m bench.decimals --count 10000 --out bench/results/decimals.md

Values are hundredths from 0 to 1 (some from -0.4 on, some with one decimal), tolerances hundredths too: ties are
common. A set is a portfolio if it covers every weight at which d - 1 of the equations w.(v_i - v_j) = 0, w_k = 0 hold:
regret is convex between them. That is decided in 64-bit integers without a tolerance, and the least size is found by
trying all 2^n sets.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import multiprocessing
import operator
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import palm_opt as palm

Integers = NDArray[np.int64]


def weights(table: Integers) -> Integers:
    """All weights, as integers, at which the regret of some subset of the rows of `table` can be largest; d <= 3."""
    n, d = table.shape
    planes = [*np.eye(d, dtype=np.int64), *(table[i] - table[j] for i, j in itertools.combinations(range(n), 2))]
    if d == 1:
        return np.ones((1, 1), dtype=np.int64)
    if d == 2:
        found = [np.array([plane[1], -plane[0]]) for plane in planes]
    else:
        found = [np.cross(a, b) for a, b in itertools.combinations(planes, 2)]
    points = np.array([w if w.sum() > 0 else -w for w in found])
    points = points[(points >= 0).all(axis=1) & points.any(axis=1)]
    return np.unique(points // np.gcd.reduce(points, axis=1)[:, None], axis=0)


def least_size(table: Integers, epsilon: int, delta: int) -> int | None:
    """The least number of rows that serve every weight, None if no set does; everything in hundredths."""
    points = weights(table)
    products = points @ table.T
    needed = (100 - epsilon) * products.max(axis=1) - 100 * delta * points.sum(axis=1)
    covered = 100 * products >= needed[:, None]
    masks = [sum(1 << j for j in np.flatnonzero(column).tolist()) for column in covered.T]
    everything = (1 << len(points)) - 1
    for size in range(1, len(table) + 1):
        for chosen in itertools.combinations(masks, size):
            if functools.reduce(operator.or_, chosen) == everything:
                return size
    return None


def problem(rng: np.random.Generator) -> tuple[Integers, int, int]:
    """A table of hundredths, and tolerances in hundredths."""
    n, d = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    table = rng.integers(0 if rng.random() < 0.7 else -40, 101, (n, d))
    if rng.random() < 0.3:
        table = table // 10 * 10
    return table, int(rng.choice([0, 0, 0, 5, 10, 25])), int(rng.integers(0, rng.choice([6, 16, 41])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    began, sizes = time.perf_counter(), Counter[str]()
    wrong: Counter[str] = Counter()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as workers:
        for wanted, bad in workers.imap(one, ([options.seed, k] for k in range(options.count)), chunksize=20):
            sizes["none" if wanted is None else str(wanted)] += 1
            wrong.update(bad)
    text = report(options.count, sizes, wrong, time.perf_counter() - began)
    print(text, end="")
    if options.out is not None:
        options.out.write_text(text)
    sys.exit(1 if wrong else 0)


def one(seed: list[int]) -> tuple[int | None, list[str]]:
    """The least size of a problem, and the backends that find another."""
    table, epsilon, delta = problem(np.random.default_rng(seed))
    wanted, bad = least_size(table, epsilon, delta), []
    for backend in palm.backends():
        settings = palm.Settings(threads=1)
        result = palm.solve(table / 100, epsilon=epsilon / 100, delta=delta / 100, backend=backend, settings=settings)
        if not agrees(result, wanted, backend):
            bad.append(backend)
            print(f"problem {seed}, {backend}: {result.status} {result.size}, wanted {wanted}", file=sys.stderr)
    return wanted, bad


def agrees(result: Any, wanted: int | None, backend: str) -> bool:
    """Whether a result is right about the least size: greedy need not find it, but must not contradict it."""
    if wanted is None:
        return result.status is palm.Status.INFEASIBLE
    if backend == "greedy":
        return bool(result.lower_bound <= wanted <= result.size)
    return result.status is palm.Status.OPTIMAL and result.size == wanted


def report(count: int, sizes: Counter[str], wrong: Counter[str], seconds: float) -> str:
    """The figures as Markdown."""
    lines = [
        f"# {count} random tables with two decimals, n <= 8, d <= 3, tolerances with two decimals",
        "",
        f"    python -m bench.decimals --count {count}",
        "",
        "| least size by brute force in integers | tables |",
        "|---|---|",
        *(f"| {size} | {sizes[size]} |" for size in sorted(sizes)),
        "",
        "| backend | solved | size (greedy: bounds) other than brute force |",
        "|---|---|---|",
        *(f"| {backend} | {count} | {wrong[backend]} |" for backend in palm.backends()),
        "",
        f"{seconds:.0f} s; every result carries a certificate that the exact checker accepted.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
