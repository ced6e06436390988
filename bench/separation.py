"""Separation against general solvers: microseconds per candidate of palm.regret, HiGHS in place, CVXPY with parameters.

    python bench/separation.py [--repeat 5] [--json FILE]

All methods run alternating in one process on the same instances (3,000 candidates on a sphere octant with radii 1 to
1.3, members drawn from them), and must give the same regrets to 1e-9. HiGHS: one highspy model whose rows stay, the
objective changes. CVXPY: one parametrised problem (DPP) solved by Clarabel. Both loop over the first candidates only
(--loop), since they are slow; palm.regret is the whole call on all 3,000.

Times are CPU seconds of the process, all threads together, so that other work on the machine counts little; "wall" is
the same ratio by the clock, where palm.regret gains from a second core if one is free. Medians over the repeats.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cvxpy
import highspy
import numpy as np

import palm_opt as palm

SHAPES = [(d, m) for d in range(3, 9) for m in (8, 16, 24, 32)]


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
    """(CPU seconds, seconds by the clock, answer)."""
    cpu, began = time.process_time(), time.perf_counter()
    answer = call(*arguments)
    return time.process_time() - cpu, time.perf_counter() - began, answer


def measure(d: int, m: int, repeat: int, loop: int) -> dict[str, float]:
    """One row of the table."""
    values, members = instance(3000, d, m, seed=d * 100 + m)
    pool, chosen = palm.ValueMatrix(values), values[sorted(members)]
    palm.regret(pool, members)
    times: dict[str, list[np.ndarray]] = {"palm": [], "highs": [], "cvxpy": []}
    error = 0.0
    for _ in range(repeat):
        *spent, found = timed(palm.regret, pool, members)
        times["palm"].append(np.array(spent) / len(values) * 1e6)
        *spent, answers = timed(highs_loop, values[:loop], chosen)
        times["highs"].append(np.array(spent) / loop * 1e6)
        error = max(error, float(np.abs(answers - found.per_candidate[:loop]).max()))
        *spent, loose = timed(cvxpy_loop, values[:loop], chosen)
        times["cvxpy"].append(np.array(spent) / loop * 1e6)
        assert np.abs(loose - found.per_candidate[:loop]).max() < 1e-6  # an interior-point answer
    assert error < 1e-9
    row = {"d": d, "members": m, "pivots_per_lp": found.info["pivots"] / len(values), "largest_difference": error}
    for name, spent in times.items():
        row[f"{name}_us"] = float(np.median(spent, axis=0)[0])
    for name in ("highs", "cvxpy"):
        ratio = np.median(np.array(times[name]) / np.array(times["palm"]), axis=0)
        row[f"{name}_ratio"], row[f"{name}_ratio_wall"] = map(float, ratio)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--loop", type=int, default=100, help="candidates that the general solvers loop over")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    columns = [
        ("d", "4d"), ("members", "9d"), ("palm_us", "9.2f"), ("pivots_per_lp", "15.2f"), ("highs_us", "10.1f"),
        ("cvxpy_us", "10.1f"), ("highs_ratio", "13.0f"), ("cvxpy_ratio", "13.0f"), ("highs_ratio_wall", "18.0f"),
        ("cvxpy_ratio_wall", "18.0f"), ("largest_difference", "20.1e"),
    ]  # fmt: skip
    print("".join(name.rjust(int(layout.split(".")[0].rstrip("d"))) for name, layout in columns))
    rows = []
    for d, m in SHAPES:
        rows.append(measure(d, m, options.repeat, options.loop))
        print("".join(format(rows[-1][name], layout) for name, layout in columns), flush=True)
    if options.json:
        document = {"command": f"python bench/separation.py --repeat {options.repeat}", "rows": rows}
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
