"""Separation against general solvers: microseconds per candidate of palm.regret, HiGHS in place, CVXPY with parameters.

    python bench/separation.py [--repeat 5] [--json FILE]

All methods run alternating in one process on the same instances (candidates on a sphere octant with radii 1 to 1.3,
members drawn from them), and must give the same regrets to 1e-9. HiGHS: one highspy model whose rows stay, the
objective changes. CVXPY: one parametrised problem (DPP) solved by Clarabel. Both loop over the first candidates only
(--loop), since they are slow; palm.regret is the whole call on all 3,000.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import cvxpy
import highspy
import numpy as np

import palm_opt as palm

SHAPES = [(3, 8), (3, 32), (4, 12), (6, 16), (8, 24), (8, 32)]


def instance(n: int, d: int, m: int, seed: int) -> tuple[np.ndarray, list[int]]:
    """n candidates, m of them members."""
    rng = np.random.default_rng(seed)
    values = np.abs(rng.normal(size=(n, d)))
    values *= rng.uniform(1, 1.3, (n, 1)) / np.linalg.norm(values, axis=1, keepdims=True)
    return values, rng.choice(n, m, replace=False).tolist()


def highs_loop(targets: np.ndarray, members: np.ndarray) -> np.ndarray:
    """max b.w - s over w in the simplex, s >= w.p: one model, the objective changed in place."""
    d, m = targets.shape[1], len(members)
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("presolve", "off")
    infinity = highspy.kHighsInf
    for _ in range(d):
        solver.addVar(0.0, infinity)
    solver.addVar(-infinity, infinity)
    columns = np.arange(d + 1, dtype=np.int32)
    solver.addRow(1.0, 1.0, d, columns[:d], np.ones(d))
    for member in members:
        solver.addRow(-infinity, 0.0, d + 1, columns, np.r_[member, -1.0])
    solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
    answers = np.empty(len(targets))
    for i, target in enumerate(targets):
        solver.changeColsCost(d + 1, columns, np.r_[target, -1.0])
        solver.run()
        answers[i] = solver.getInfo().objective_function_value
    assert m > 0
    return answers


def cvxpy_loop(targets: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The same LP as one parametrised CVXPY problem."""
    d = targets.shape[1]
    b, w, s = cvxpy.Parameter(d), cvxpy.Variable(d, nonneg=True), cvxpy.Variable()
    problem = cvxpy.Problem(cvxpy.Maximize(b @ w - s), [cvxpy.sum(w) == 1, members @ w <= s])
    answers = np.empty(len(targets))
    for i, target in enumerate(targets):
        b.value = target
        answers[i] = problem.solve(solver=cvxpy.CLARABEL)
    return answers


def timed(call, *arguments):
    """(seconds, answer)."""
    began = time.perf_counter()
    answer = call(*arguments)
    return time.perf_counter() - began, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--loop", type=int, default=100, help="candidates that the general solvers loop over")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    rows = []
    print("   d members   palm us   pivots   HiGHS us   CVXPY us    x HiGHS   x CVXPY   largest difference")
    for d, m in SHAPES:
        values, members = instance(3000, d, m, seed=d * 100 + m)
        pool, chosen = palm.ValueMatrix(values), values[sorted(members)]
        palm.regret(pool, members)
        ours, highs, convex, error = [], [], [], 0.0
        for _ in range(options.repeat):
            seconds, found = timed(palm.regret, pool, members)
            ours.append(seconds / len(values) * 1e6)
            seconds, answers = timed(highs_loop, values[: options.loop], chosen)
            highs.append(seconds / options.loop * 1e6)
            error = max(error, float(np.abs(answers - found.per_candidate[: options.loop]).max()))
            seconds, loose = timed(cvxpy_loop, values[: options.loop], chosen)
            convex.append(seconds / options.loop * 1e6)
            assert np.abs(loose - found.per_candidate[: options.loop]).max() < 1e-6  # an interior-point answer
        row = {
            "d": d,
            "members": m,
            "palm_us": statistics.median(ours),
            "pivots_per_lp": found.info["pivots"] / len(values),
            "highs_us": statistics.median(highs),
            "cvxpy_us": statistics.median(convex),
            "highs_ratio": statistics.median(b / a for a, b in zip(ours, highs, strict=True)),
            "cvxpy_ratio": statistics.median(b / a for a, b in zip(ours, convex, strict=True)),
            "largest_difference": error,
        }
        rows.append(row)
        print(
            f"{d:4d} {m:7d} {row['palm_us']:9.2f} {row['pivots_per_lp']:8.2f} {row['highs_us']:10.1f}"
            f" {row['cvxpy_us']:10.1f} {row['highs_ratio']:10.0f} {row['cvxpy_ratio']:9.0f}   {error:.1e}",
            flush=True,
        )
        assert error < 1e-9
    if options.json:
        Path(options.json).write_text(
            json.dumps({"command": "python bench/separation.py", "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
