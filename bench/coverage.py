"""How often statistical certificates are false: simulation with known means.

    python bench/coverage.py [--portfolios 1000] [--prompts 200,1000] [--processes 1] [--json FILE]

One portfolio: 100 candidates with mean rewards in d = 3 near a front, rewards of every prompt drawn independently from
beta distributions of standard deviation 0.25. `certify_samples` chooses at most 6 members on half of the prompts and
certifies delta on the other half, once with each method (each on its own at alpha = 0.05). Counted are
- false: the regret of the members, with the true means, exceeds delta: what the certificate promises does not hold;
- above: the greatest true shortfall sum_p lambda_p v_p - v_i of the certificate's multipliers exceeds delta: the event
  whose probability the theory bounds by alpha (it includes the first).
Beside it the plug-in certificate: members chosen by `solve(delta=0.02)` on the means over ALL prompts, with its exact
proof about that table. It is true of the table, and read as a promise about other prompts it is false where the regret
with the true means exceeds 0.02. Last, one pair alone (one member, one other candidate, d = 1): no slack is left
between "above" and the bound itself.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import palm_opt as palm

warnings.filterwarnings("ignore", "these samples have certified before")  # each method is judged on its own
METHODS = ("betting", "bernstein", "hoeffding")
ALPHA, SIZE, PLUG_IN, DEVIATION = 0.05, 6, 0.02, 0.25


def means(rng: np.random.Generator, n: int = 100, d: int = 3) -> np.ndarray:
    """Value vectors near a front, between 0.2 and 0.8."""
    front = np.abs(rng.normal(size=(n, d)))
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    return 0.35 + 0.3 * front * rng.uniform(0.8, 1, (n, 1))


def rewards(rng: np.random.Generator, mean: np.ndarray, prompts: int) -> np.ndarray:
    """Independent beta variables with these means and one standard deviation."""
    strength = mean * (1 - mean) / DEVIATION**2 - 1
    return rng.beta(mean * strength, (1 - mean) * strength, (prompts, *mean.shape))


def shortfall(result: palm.CertifiedSamples, mean: np.ndarray) -> float:
    """Greatest true loss over candidates and rewards under the multipliers of the certificate."""
    served = mean[list(result.indices)]
    worst = 0.0
    for i, *pairs in result.certificate["multipliers"]:
        share = np.zeros(len(served))
        share[pairs[0::2]] = pairs[1::2]
        worst = max(worst, float((mean[i] - share / share.sum() @ served).max()))
    return worst


def portfolio(seed: int, prompts: int) -> dict[str, Any]:
    """Certificates of one simulated portfolio."""
    rng = np.random.default_rng([seed, prompts])
    mean = means(rng)
    array = rewards(rng, mean, prompts)
    samples = palm.Samples(array, (0, 1))
    options: dict[str, Any] = {"max_size": SIZE, "settings": palm.Settings(time_limit=20, seed=seed)}
    row: dict[str, Any] = {}
    for method in METHODS:
        result = palm.certify_samples(samples, alpha=ALPHA, method=method, seed=seed, **options)
        options = {"members": result.members}  # the same for the others
        regret = palm.regret(mean, result.indices).worst
        row[method] = (result.delta, regret > result.delta, shortfall(result, mean) > result.delta, regret)
    plain = palm.solve(array.mean(axis=0), delta=PLUG_IN, settings=palm.Settings(seed=seed), backend="greedy")
    row["plug-in"] = (PLUG_IN, palm.regret(mean, plain.indices).worst > PLUG_IN)
    return row


def pair(seed: int, prompts: int) -> list[bool]:
    """One member and one other candidate, d = 1: is the bound above the true shortfall?"""
    rng = np.random.default_rng([seed, prompts, 1])
    mean = np.array([[0.5], [0.6]])
    samples = palm.Samples(rewards(rng, mean, prompts), (0, 1))
    found = []
    for method in METHODS:
        result = palm.certify_samples(samples, members=[0], alpha=ALPHA, method=method, seed=seed)
        found.append(result.delta < 0.1)
    return found


def runs(function: Any, count: int, prompts: int, processes: int) -> Iterator[Any]:
    """All runs in the order of their seeds."""
    bar = {"total": count, "desc": f"{function.__name__}, {prompts} prompts", "disable": None, "leave": False}
    if processes == 1:
        yield from tqdm((function(seed, prompts) for seed in range(count)), **bar)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from tqdm(pool.map(function, range(count), [prompts] * count, chunksize=10), **bar)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--portfolios", type=int, default=1000)
    parser.add_argument("--prompts", default="200,1000")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    count = options.portfolios
    allowed = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / count)
    rows = []
    print(f"{count} portfolios; false certificates allowed at alpha = {ALPHA}: {allowed:.3f} (three standard errors)")
    print("  prompts  method       median delta   median regret   false    above   one pair")
    for prompts in map(int, options.prompts.split(",")):
        found = list(runs(portfolio, count, prompts, options.processes))
        alone = np.mean(list(runs(pair, count, prompts, options.processes)), axis=0)
        for method, single in zip(METHODS, alone.tolist(), strict=True):
            row = {
                "prompts": prompts,
                "method": method,
                "median_delta": statistics.median(f[method][0] for f in found),
                "median_regret": statistics.median(f[method][3] for f in found),
                "false": sum(f[method][1] for f in found) / count,
                "above": sum(f[method][2] for f in found) / count,
                "one_pair": single,
            }
            rows.append(row)
            figures = [row[key] for key in ("median_delta", "median_regret", "false", "above", "one_pair")]
            print(f"{prompts:9d}  {method:10s} {figures[0]:14.4f} {figures[1]:15.4f}", end="")
            print(f" {figures[2]:7.3f} {figures[3]:8.3f} {figures[4]:10.3f}", flush=True)
            assert max(row["false"], row["above"], row["one_pair"]) <= allowed, "a method does not keep its level"
        plain = sum(f["plug-in"][1] for f in found) / count
        rows.append({"prompts": prompts, "method": "plug-in", "median_delta": PLUG_IN, "false": plain})
        print(f"{prompts:9d}  {'plug-in':10s} {PLUG_IN:14.4f} {'':15s} {plain:7.3f}", flush=True)
    if options.json:
        command = f"python bench/coverage.py --portfolios {count} --prompts {options.prompts}"
        Path(options.json).parent.mkdir(parents=True, exist_ok=True)
        Path(options.json).write_text(json.dumps({"command": command, "alpha": ALPHA, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
