"""Oracle search: calls, members, linear programs and seconds without the oracle, for every strategy and a peer.

    python bench/search.py [--quick] [--seeds 0,1,2,3,4] [--data DIR] [--json FILE]
                           [--only SET,d,delta | --parallel | --robust | --peer-only]

Sets are those of bench/oracle_sets.py. "adaptive", "uniform" and "random" are `palm.Search` strategies (random: the
median over the seeds); "tuned lattice" is the coarsest lattice that certifies, found after the fact, and "lazy" scans
that lattice in its order. "LinearSupport" is morl-baselines 1.3.0 (optimistic linear support), run only where it can be
imported (pip install morl-baselines pycddlib==2.1.6), under a time limit; it stops by its own floats,
`gap_with_them` is that of its answers (and of the unit weights that it did not ask) by our bound; --peer-only adds it
to the results in --json. Seconds are CPU seconds of this process without the oracle, of ask and tell; `result_seconds`
those of choosing the members, both proofs and the exact check of the certificate. Every adaptive stop is certified by
the exact checker; `violations` counts what another check finds: HiGHS at up to 300 corners, and 10^6 random weights
over the seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from oracle_sets import make, table

import palm_opt as palm

EXACT = (0.0, 0.0)
SETS = [
    ("sphere", 3, 0.02),
    ("sphere", 4, 0.05),
    ("L1.5", 3, 0.02),
    ("L4", 3, 0.02),
    ("ellipsoid", 4, 0.02),
    ("pool", 2, 0.01),
    ("pool", 3, 0.05),
    ("pool", 3, 0.02),
    ("pool", 3, 0.01),
    ("pool", 4, 0.05),
    ("pool", 4, 0.02),
    ("pool", 5, 0.05),
    ("pool", 5, 0.02),
    ("pool", 6, 0.05),
    ("kl", 3, 0.02),
    ("kl", 4, 0.02),
    ("kl", 5, 0.05),
]
LARGE = [("kl", 7, 0.05), ("pool", 7, 0.05)]
PARALLEL = [("sphere", 3, 0.02), ("pool", 4, 0.02), ("kl", 4, 0.02)]
PEER = {("sphere", 3, 0.02), ("pool", 3, 0.05), ("pool", 3, 0.02), ("kl", 3, 0.02), ("pool", 4, 0.05)}
TABLES = [("toolemu_agents", 0.1, 0.02), ("toolemu_agents", 0.1, 0.01)]


class Clock:
    """CPU seconds of a loop without those of its oracle."""

    def __init__(self, oracle: Callable[[np.ndarray], np.ndarray]) -> None:
        self.oracle, self.began, self.inside = oracle, time.process_time(), 0.0

    def __call__(self, weight: np.ndarray) -> np.ndarray:
        before = time.process_time()
        value = self.oracle(weight)
        self.inside += time.process_time() - before
        return value

    @property
    def seconds(self) -> float:
        return time.process_time() - self.began - self.inside


def search(oracle: Callable[..., Any], d: int, delta: float, calls: int = 3000, **options: Any) -> tuple[Any, float]:
    """Run a strategy to its end: (search, seconds)."""
    clock, run = Clock(oracle), palm.Search(d, delta=delta, oracle_error=EXACT, max_calls=calls, **options)
    while (weight := run.ask()) is not None:
        run.tell(weight, clock(weight))
    return run, clock.seconds


def violations(run: Any, result: Any, points: int) -> int:
    """Weights where the bound breaks the promise, by HiGHS at corners of the members and in bulk at random ones."""
    from scipy.optimize import linprog

    envelope, bounds = run.parts
    columns, costs = bounds.outer.column[:, : bounds.outer.count], bounds.outer.cost[: bounds.outer.count]
    allowed = max(result.delta, result.regret) + 1e-9 * float(np.abs(result.values).max())
    corners = envelope.weights(envelope.alive())
    rng = np.random.default_rng(0)
    bad = 0
    for weight in corners[rng.permutation(len(corners))[:300]]:
        scaled = weight * envelope.scale
        bound = linprog(costs, A_eq=columns, b_eq=scaled, method="highs").fun
        bad += (1 - result.epsilon) * bound - float((run.answers.values @ weight).max()) > allowed
    weights = rng.dirichlet(np.ones(run.d), points)
    optimum = np.full(points, -np.inf)
    for block in np.array_split(np.arange(points), max(1, points // 20_000)):
        optimum[block] = (weights[block] @ run.answers.values.T).max(axis=1)
        best = (weights[block] @ result.values.T).max(axis=1)
        bad += int(((1 - result.epsilon) * optimum[block] - best > allowed).sum())
    return bad


def adaptive(oracle: Callable[..., Any], d: int, delta: float, seeds: list[int], limit: float) -> dict[str, Any]:
    """The adaptive strategy over seeds: the worst of everything."""
    rows = []
    for seed in seeds:
        run, seconds = search(oracle, d, delta, seed=seed)
        before = time.process_time()
        result = run.result(time_limit=limit)
        rows.append(
            {
                "calls": result.calls,
                "members": result.size,
                "lower_bound": result.lower_bound,
                "lps": run.parts[1].outer.lps,
                "corners": result.info["corners"],
                "regret": result.regret,
                "certified": result.kept,
                "seconds": seconds,
                "result_seconds": time.process_time() - before,
                "violations": violations(run, result, 1_000_000 // len(seeds)),
            }
        )
        rows[-1]["lps"] = result.info["lps"]
    worst = {key: max(row[key] for row in rows) for key in rows[0]}
    worst["certified"] = all(row["certified"] for row in rows)
    worst["lower_bound"] = min(row["lower_bound"] for row in rows)
    worst["seconds"] = statistics.median(row["seconds"] for row in rows)
    return worst


def robust(seeds: list[int]) -> list[dict[str, Any]]:
    """Answers that nearly repeat, and scaled values: the worst over sets and seeds of each disturbance."""
    rows = []
    for noise, scale in ((1e-10, 1.0), (1e-6, 1.0), (0.0, 1e-3), (0.0, 1e6)):
        found = []
        for name, d, delta in (("sphere", 3, 0.02), ("pool", 3, 0.02), ("pool", 4, 0.05), ("kl", 4, 0.05)):
            for seed in seeds:
                exact, rng = make(name, d), np.random.default_rng(seed)
                run = palm.Search(d, delta=delta * scale, oracle_error=(0.0, 2 * noise), seed=seed)
                while (weight := run.ask()) is not None:
                    run.tell(weight, scale * exact(weight) + rng.uniform(-noise, noise, d))
                result = run.result()
                found.append((result.kept, violations(run, result, 100_000)))
        row = {"noise": noise, "scale": scale, "runs": len(found), "certified": sum(kept for kept, _ in found)}
        rows.append({**row, "violations": sum(bad for _, bad in found)})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def parallel(seeds: list[int]) -> list[dict[str, Any]]:
    """Calls, and rounds of calls at once, where n questions are asked and answered together: the worst over seeds."""
    rows = []
    for name, d, delta in PARALLEL:
        for n in (1, 4, 8):
            found = []
            for seed in seeds:
                oracle, rounds = make(name, d), 0
                run = palm.Search(d, delta=delta, oracle_error=EXACT, seed=seed)
                while weights := run.ask(n):
                    rounds += 1
                    for weight in weights:
                        run.tell(weight, oracle(weight))
                found.append((run.calls, rounds, run.result().kept))
            calls, rounds, kept = zip(*found, strict=True)
            row = {"set": name, "d": d, "delta": delta, "n": n, "calls": max(calls), "rounds": max(rounds)}
            rows.append({**row, "certified": all(kept)})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def tuned_lattice(oracle: Callable[..., Any], d: int, delta: float, most: int) -> dict[str, Any]:
    """The coarsest lattice that certifies: calls of all its points, and of a lazy scan; None beyond `most` points."""
    for resolution in range(1, 200):
        run, seconds = search(oracle, d, delta, most + 1, strategy="uniform", resolution=resolution)
        if run.calls > most:
            break
        if run.gap <= delta:
            lazy, lazy_seconds = search(oracle, d, delta, strategy="lazy-grid", resolution=resolution)
            return {
                "resolution": resolution,
                "calls": run.calls,
                "seconds": seconds,
                "lazy_calls": lazy.calls,
                "lazy_gap": lazy.gap,
                "lazy_seconds": lazy_seconds,
            }
    return {"calls": None, "more_than": most}


def doubling(oracle: Callable[..., Any], d: int, delta: float, most: int) -> dict[str, Any]:
    run, seconds = search(oracle, d, delta, most, strategy="uniform")
    return {"calls": run.calls, "certified": run.gap <= delta, "seconds": seconds}


def random(oracle: Callable[..., Any], d: int, delta: float, seeds: list[int], most: int) -> dict[str, Any]:
    rows = []
    for seed in seeds:
        run, seconds = search(oracle, d, delta, most, strategy="random", seed=seed)
        rows.append((run.calls, run.gap <= delta, seconds))
    return {
        "calls": statistics.median(row[0] for row in rows),
        "certified": all(row[1] for row in rows),
        "seconds": statistics.median(row[2] for row in rows),
    }


def linear_support(oracle: Callable[..., Any], d: int, delta: float, limit: float) -> dict[str, Any] | None:
    """Optimistic linear support of morl-baselines with epsilon = delta."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from morl_baselines.multi_policy.linear_support.linear_support import LinearSupport
    except ImportError as error:
        return {"missing": str(error).splitlines()[0]}
    clock = Clock(oracle)
    judge = palm.Search(d, delta=delta, oracle_error=EXACT)
    with contextlib.redirect_stdout(io.StringIO()):
        peer, calls = LinearSupport(d, epsilon=delta, verbose=False), []
        while clock.seconds < limit and (weight := peer.next_weight()) is not None:
            value = clock(np.asarray(weight, dtype=float))
            peer.add_solution(value, np.asarray(weight, dtype=float))
            calls.append((np.asarray(weight, dtype=float), value))
    seconds = clock.seconds
    for weight, value in calls:
        unit = np.count_nonzero(weight) == 1 and int(weight.argmax()) in judge.answers.units
        judge.tell(None if unit else np.maximum(weight, 0), value, answer=not unit)
    without = [k + 1 for k in range(d) if k not in judge.answers.units]
    for k in without:  # it never asks some unit weights; without them no gap is finite
        judge.tell(np.eye(d)[k - 1], oracle(np.eye(d)[k - 1]), answer=True)
    answer = {"calls": len(calls), "unit_weights_not_asked": len(without), "gap_with_them": judge.gap}
    return {**answer, "ended": peer.ended(), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="d <= 4, one seed, no peer")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--robust", action="store_true", help="add noise and scales to the results in --json")
    parser.add_argument("--parallel", action="store_true", help="add questions asked together to the results in --json")
    parser.add_argument("--only", help="SET,d,delta: measure this row alone, in place of its row in --json")
    parser.add_argument("--peer-only", action="store_true", help="add the peer to the results in --json")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--most", type=int, default=600, help="calls of a baseline at most")
    parser.add_argument("--peer-seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.robust:
        document = json.loads(options.json.read_text())
        document["robust"] = robust([int(x) for x in options.seeds.split(",")])
        options.json.write_text(json.dumps(document, indent=1) + "\n")
        return
    if options.parallel:
        document = json.loads(options.json.read_text())
        document["parallel"] = parallel([int(x) for x in options.seeds.split(",")])
        options.json.write_text(json.dumps(document, indent=1) + "\n")
        return
    if options.peer_only:
        document = json.loads(options.json.read_text())
        for row in document["rows"]:
            if (row["set"], row["d"], row["delta"]) in PEER:
                oracle = make(row["set"], row["d"])
                row["LinearSupport"] = linear_support(oracle, row["d"], row["delta"], options.peer_seconds)
                print(row["set"], row["d"], row["delta"], row["LinearSupport"], flush=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n")
        return
    seeds = [int(x) for x in options.seeds.split(",")][: 1 if options.quick else None]
    problems: list[tuple[str, int, float, Callable[..., Any]]] = [
        (name, d, delta, make(name, d)) for name, d, delta in SETS + LARGE if not options.quick or d <= 4
    ]
    for name, beta, delta in TABLES:
        path = options.data / "rewards" / name / "rewards.npz"
        if path.is_file():
            d, oracle = table(path, beta)
            problems.append((f"{name} beta {beta}", d, delta, oracle))
    results: list[dict[str, Any]] = []
    if options.only:
        problems = [row for row in problems if f"{row[0]},{row[1]},{row[2]}" == options.only]
    for name, d, delta, oracle in problems:
        row: dict[str, Any] = {"set": name, "d": d, "delta": delta}
        row["adaptive"] = adaptive(oracle, d, delta, seeds, 60.0)
        if d <= 4:
            row["tuned lattice"] = tuned_lattice(oracle, d, delta, options.most)
            row["uniform"] = doubling(oracle, d, delta, options.most)
            row["random"] = random(oracle, d, delta, seeds, options.most)
        if (name, d, delta) in PEER and not options.quick:
            row["LinearSupport"] = linear_support(oracle, d, delta, options.peer_seconds)
        results.append(row)
        print(json.dumps(row), flush=True)
        if options.json and options.only:
            document = json.loads(options.json.read_text())
            same = [(old["set"], old["d"], old["delta"]) == (name, d, delta) for old in document["rows"]]
            document["rows"][same.index(True)] = row
            options.json.write_text(json.dumps(document, indent=1) + "\n")
        elif options.json:
            options.json.write_text(json.dumps({"command": "python bench/search.py", "rows": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
