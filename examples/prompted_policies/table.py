"""scores.parquet -> values.csv: the mean of every reward under every policy (pyarrow and numpy only, no model).

    python table.py [SCORES [VALUES]]
    python table.py --summary

The file of scores is long: one row a (prompt, policy) with columns `prompt` (id in prompts.jsonl), `policy`, and one
float column a reward. Scores are stored as 32-bit floats; means are taken in 64 bits by `math.fsum` (correctly rounded,
so they do not depend on the order of the rows) and written so that reading them back gives the same numbers.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
KEYS = ("prompt", "policy")


def write_scores(
    path: Path, prompts: Sequence[int] | np.ndarray, policies: Sequence[str], scores: Mapping[str, np.ndarray]
) -> None:
    """Write the long table: 32-bit floats, dictionary names, zstd."""
    columns = {
        "prompt": pa.array(np.asarray(prompts, dtype=np.int32)),
        "policy": pa.array(policies).dictionary_encode(),
        **{name: pa.array(np.asarray(value, dtype=np.float32)) for name, value in scores.items()},
    }
    pq.write_table(pa.table(columns), path, compression="zstd", compression_level=19)


def read_scores(path: Path) -> tuple[np.ndarray, list[str], dict[str, np.ndarray]]:
    """Prompt ids, policy names and reward columns (float64), row by row."""
    table = pq.read_table(path)
    names = [name for name in table.column_names if name not in KEYS]
    scores = {name: table[name].to_numpy().astype(np.float64) for name in names}
    return table["prompt"].to_numpy(), table["policy"].to_pylist(), scores


def read_tensor(path: Path) -> tuple[list[int], list[str], list[str], np.ndarray]:
    """Prompt ids, policies, reward names and the scores as one array (prompts, policies, rewards).

    Raises ValueError unless every policy has exactly one answer to every prompt.
    """
    prompts, policies, scores = read_scores(path)
    ids, names = sorted(set(prompts.tolist())), list(dict.fromkeys(policies))
    row, column = {p: i for i, p in enumerate(ids)}, {p: j for j, p in enumerate(names)}
    where = [row[p] for p in prompts.tolist()], [column[p] for p in policies]
    tensor = np.full((len(ids), len(names), len(scores)), np.nan)
    tensor[where] = np.stack(list(scores.values()), axis=1)
    if len(policies) != len(ids) * len(names) or np.isnan(tensor).any():
        raise ValueError(f"{path}: expected one row for each of {len(ids)} prompts x {len(names)} policies")
    return ids, names, list(scores), tensor


def policy_means(path: Path) -> dict[str, dict[str, float]]:
    """policy -> reward -> mean over its answers, policies in the order of the file."""
    _, names, columns, tensor = read_tensor(path)
    return {
        name: {reward: math.fsum(tensor[:, j, k].tolist()) / len(tensor) for k, reward in enumerate(columns)}
        for j, name in enumerate(names)
    }


def write_values(scores: Path, values: Path) -> None:
    """Write the table of candidates: one row a policy, round-trip decimals."""
    means = policy_means(scores)
    with values.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["policy", *next(iter(means.values()))])
        writer.writerows([name, *map(repr, row.values())] for name, row in means.items())


def summary(path: Path) -> str:
    """Per reward: the least and the greatest mean of a policy, and the largest standard error of a mean."""
    ids, names, columns, tensor = read_tensor(path)
    means, errors = tensor.mean(axis=0), tensor.std(axis=0, ddof=1) / math.sqrt(len(ids))
    lines = [f"{len(ids)} prompts x {len(names)} policies", f"{'reward':<14}least  greatest  standard error at most"]
    lines += [
        f"{name:<14}{means[:, k].min():.3f}  {means[:, k].max():8.3f}  {errors[:, k].max():.4f}"
        for k, name in enumerate(columns)
    ]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Derive one file from the other, or print what the scores are like."""
    if list(argv) == ["--summary"]:
        print(summary(HERE / "scores.parquet"))
        return 0
    scores = Path(argv[0]) if argv else HERE / "scores.parquet"
    write_values(scores, Path(argv[1]) if len(argv) > 1 else scores.with_name("values.csv"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
