"""The closed form of a plan against reading its table: 100,000 prompts x 16 responses x 4 rewards, synthetic.

    python bench/gibbs.py [--prompts 100000] [--repeat 7] [--json FILE]

One process, one thread, alternating: a plain read of the scores (their sum by numpy), one evaluation of 64 weights, of
8 weights and of 1 weight; medians of CPU seconds, and their ratios to the read. Peak resident memory (Linux) of child
processes: one that only imports, one that reads the table (mapped from npz), one that evaluates 64 weights, and one
that evaluates them from a Parquet file in batches.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from palm_opt.planning.gibbs import gibbs
from palm_opt.tables.scores import RewardTable

BETA, RESPONSES, REWARDS = 0.1, 16, 4


def scores(prompts: int) -> np.ndarray:
    """Opposed rewards in [0, 1]."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal((prompts, RESPONSES, 1), dtype=np.float32)
    own = rng.standard_normal((prompts, RESPONSES, REWARDS), dtype=np.float32)
    slope = np.linspace(1, -1, REWARDS, dtype=np.float32)
    return (1 / (1 + np.exp(-own - common * slope))).astype(np.float64)


def child(what: str, prompts: int, folder: Path) -> float:
    """Peak memory in MiB of a process that does `what`."""
    command = [sys.executable, __file__, "--child", what, "--prompts", str(prompts), "--folder", str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def work(what: str, prompts: int, folder: Path) -> None:
    """The children: print peak memory in MiB."""
    weights = np.random.default_rng(1).dirichlet(np.ones(REWARDS), 64)
    if what == "write":
        import pyarrow
        import pyarrow.parquet as parquet

        flat = scores(prompts).reshape(-1, REWARDS)
        columns = {"prompt": np.repeat(np.arange(prompts), RESPONSES)} | {f"r{k}": flat[:, k] for k in range(REWARDS)}
        parquet.write_table(pyarrow.table(columns), folder / "scores.parquet")
        np.savez(folder / "scores.npz", rewards=flat.reshape(prompts, RESPONSES, REWARDS))
    elif what == "streamed":
        table = RewardTable.read(folder / "scores.parquet", memory=0)
        gibbs(table, weights, BETA)
    elif what != "nothing":
        table = RewardTable.read(folder / "scores.npz")
        if what == "evaluated":
            gibbs(table, weights, BETA)
        else:
            float(table._rows.scores.sum())
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        work(options.child, options.prompts, options.folder)
        return
    raw = scores(options.prompts)
    table = RewardTable(raw)
    flat = raw.reshape(-1)
    weights = np.random.default_rng(1).dirichlet(np.ones(REWARDS), 64)
    calls = {"read": lambda: flat.sum()} | {str(m): lambda m=m: gibbs(table, weights[:m], BETA, 1) for m in (64, 8, 1)}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.repeat):
        for name, call in calls.items():
            began = time.process_time()
            call()
            seconds[name].append(time.process_time() - began)
    read = statistics.median(seconds["read"])
    row: dict[str, object] = {"prompts": options.prompts, "table_mib": flat.nbytes / 2**20, "read_ms": 1e3 * read}
    print(f"table {row['table_mib']:.0f} MiB, one read {row['read_ms']:.2f} ms ({flat.nbytes / read / 1e9:.0f} GB/s)")
    for m in (64, 8, 1):
        median = statistics.median(seconds[str(m)])
        row[f"weights_{m}_ms"], row[f"weights_{m}_reads"] = 1e3 * median, median / read
        nanoseconds = 1e9 * median / (m * options.prompts * RESPONSES)
        print(
            f"{m:3d} weights: {1e3 * median:7.1f} ms = {median / read:6.1f} reads, {median / read / m:5.2f} a weight; "
            f"{nanoseconds:.2f} ns a weight and response"
        )
    with tempfile.TemporaryDirectory() as name:
        child("write", options.prompts, Path(name))
        peaks = {
            what: child(what, options.prompts, Path(name)) for what in ("nothing", "read", "evaluated", "streamed")
        }
    row |= {f"peak_{what}_mib": peak for what, peak in peaks.items()}
    print(", ".join(f"peak {what} {peak:.0f} MiB" for what, peak in peaks.items()))
    if options.json:
        Path(options.json).parent.mkdir(parents=True, exist_ok=True)
        Path(options.json).write_text(json.dumps({"command": "python bench/gibbs.py", "rows": [row]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
