"""What the solver has in hand at ten times the time of one plain greedy run.

    python -m bench.early --out bench/results/early.jsonl
    python -m bench.early --table bench/results/early.jsonl bench/results/cells.jsonl

Plain greedy covers a lattice of 4,000 weights (bench/peers.py, greedy-lattice); its set may break the tolerance between
them. The solver's time limit is ten times the time, by the clock, of the greedy run just before it. The least size is
what any of the files proves, or at least the greatest bound in them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from typing import Any

import palm_opt as palm
from bench import compare, instances, peers
from bench.run import environment, warm_up

RUNS, FACTOR, POINTS = 1, 10, 4_000


def measure(problem: instances.Problem) -> dict[str, Any]:
    """One problem: greedy and the solver in turn, `RUNS` times."""
    values = problem.load()
    asked = problem.epsilon, problem.delta
    clock, used, greedy, found = [], [], 0, []
    for seed in range(RUNS):
        began = time.perf_counter()
        greedy = len(peers.solve("greedy-lattice", values.array, *asked, 600.0, POINTS).members)
        clock.append(time.perf_counter() - began)
        settings = palm.Settings(time_limit=FACTOR * clock[-1], seed=seed)
        began = time.perf_counter()
        found.append(palm.solve(values, epsilon=asked[0], delta=asked[1], settings=settings))
        used.append(time.perf_counter() - began)
    return {
        "problem": str(problem),
        "greedy": greedy,
        "greedy_seconds": statistics.median(clock),
        "seconds": statistics.median(used),
        "sizes": [result.size for result in found],
        "statuses": [result.status.value for result in found],
        "bound": max(result.lower_bound for result in found),
    }


def table(paths: list[str]) -> str:
    """One row for the seeds of an instance (or a suite of real sets) at a tolerance, in markdown."""
    runs = compare.read(paths)[1]
    known = compare.best([run for run in runs if "method" in run])
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        if "greedy" not in run:
            continue
        name, *tolerance = run["problem"].split(" ")
        real = name in instances.REAL and tolerance[0] == "delta"  # those of the suite real
        pool = "real sets" if real else name.rpartition("-")[0] or name
        groups.setdefault((pool, " ".join(tolerance)), []).append(run)
    rows = []
    for (pool, tolerance), group in groups.items():
        least = {run["problem"]: max(run["bound"], known.get(run["problem"], (0, 0))[1]) for run in group}
        pairs = [(run["problem"], size or math.inf) for run in group for size in run["sizes"]]  # 0: none in time
        best = {problem: min(size, known.get(problem, (math.inf, 0))[0]) for problem, size in pairs}
        statuses = [status for run in group for status in run["statuses"]]
        rows.append(
            [
                pool,
                tolerance,
                len(group),
                *(f"{statistics.median(run[key] for run in group):.2g}" for key in ("greedy_seconds", "seconds")),
                _span(run["greedy"] for run in group),
                _span(size for run in group for size in run["sizes"]),
                _span(best.values()),
                _span(least.values()),
                f"{max(size / best[problem] for problem, size in pairs):.2f}",
                f"{max(size / least[problem] for problem, size in pairs):.2f}",
                f"{statuses.count('OPTIMAL')}/{len(statuses)}",
            ]
        )
    header = ["pool", "tolerance", "problems", "greedy, s", "solver, s", "greedy members", "members"]
    return compare.table([*header, "best known", "proved least", "/ best", "/ least", "proved in time"], rows)


def _span(numbers: Any) -> str:
    low, high = (f"{x:g}" for x in (lambda xs: (min(xs), max(xs)))(list(numbers)))
    return low if low == high else f"{low} to {high}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="a file of JSON lines, written anew; default: stdout")
    parser.add_argument("--suites", default="cells,nba,real")
    parser.add_argument("--table", nargs="+", help="make the table from results files instead of measuring")
    options = parser.parse_args()
    if options.table:
        print(table(options.table))
        return
    options.threads = 0
    warm_up("palm-native")
    warm_up("greedy-lattice")
    with open(options.out, "w") if options.out else sys.stdout as stream:  # noqa: PTH123
        stream.write(json.dumps(environment(options, "bench.early")) + "\n")
        for name in options.suites.split(","):
            for problem in instances.suite(name):
                line = measure(problem)
                stream.write(json.dumps(line) + "\n")
                stream.flush()
                print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
