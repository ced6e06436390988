"""What one would write without palm_opt, with what pip installs. None of it proves anything; bench/run.py checks each.

- greedy-lattice, greedy-random: plain greedy set cover over a fine grid of weights, or over random ones (the recipe of
  hitting-set heuristics for regret-minimising sets).
- cpsat-lattice, highs-lattice, scip-lattice: the same grid as one integer program. Optimal on the grid; between its
  points the set may break the tolerance, and a set that keeps it everywhere may need more members.
- highs-loop, cvxpy-loop: row generation as a textbook has it: a HiGHS cover of the weights so far, then one linear
  program a candidate (changed in place in highspy, or a CVXPY problem with parameters) for the weight that is violated
  most; all violated weights are added. Stops when none is. Its bound is the solver's word.

All get the skyline (candidates that no other dominates) from palm_opt. Costs are 1 each.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.preferences.simplex import lattice
from palm_opt.solver.cover import skyline

__all__ = ["PEERS", "Answer"]

Array = NDArray[np.float64]
VIOLATED = 1e-9  # of the largest value: what the loops call a violation


@dataclass(frozen=True)
class Answer:
    """What a peer returns: rows of the skyline, its own claim of a lower bound (None: it makes none), work counts."""

    members: tuple[int, ...]
    claimed_bound: float | None
    finished: bool
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A cover problem for a peer: front values (n, d), tolerances, a deadline, how many weights the grids have."""

    front: Array
    epsilon: float
    delta: float
    deadline: float
    points: int
    seed: int
    threads: int

    @property
    def seconds(self) -> float:
        return max(0.1, self.deadline - time.monotonic())


def grid(task: Task) -> Array:
    """The finest lattice of the simplex with at most `points` weights."""
    d = task.front.shape[1]
    if d == 1:
        return np.ones((1, 1))
    resolution = 1
    while math.comb(resolution + d, d - 1) <= task.points:
        resolution += 1
    return lattice(d, resolution)


def coverage(task: Task, weights: Array) -> NDArray[np.bool_]:
    """Which candidate covers which weight, in floats."""
    products = weights @ task.front.T
    best = products.max(axis=1, keepdims=True)
    covered: NDArray[np.bool_] = products >= (1 - task.epsilon) * best - task.delta
    return covered


def greedy(matrix: NDArray[np.bool_]) -> tuple[int, ...]:
    """Plain greedy set cover: the column that covers most uncovered rows, until all are."""
    open_rows = np.ones(len(matrix), dtype=bool)
    chosen = []
    while open_rows.any():
        chosen.append(int(matrix[open_rows].sum(axis=0).argmax()))
        open_rows &= ~matrix[:, chosen[-1]]
    return tuple(chosen)


def greedy_lattice(task: Task) -> Answer:
    weights = grid(task)
    return Answer(greedy(coverage(task, weights)), None, True, {"rows": len(weights)})


def greedy_random(task: Task) -> Answer:
    rng = np.random.default_rng(task.seed)
    weights = rng.dirichlet(np.ones(task.front.shape[1]), task.points)
    return Answer(greedy(coverage(task, weights)), None, True, {"rows": len(weights)})


def cpsat_lattice(task: Task) -> Answer:
    from ortools.sat.python import cp_model

    matrix = coverage(task, grid(task))
    model = cp_model.CpModel()
    x = [model.new_bool_var(f"x{j}") for j in range(matrix.shape[1])]
    for row in matrix:
        model.add_bool_or([x[j] for j in np.flatnonzero(row)])
    model.minimize(sum(x))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = task.seconds
    solver.parameters.num_workers = max(8, task.threads)  # below 8 CP-SAT leaves its linear relaxations out
    solver.parameters.random_seed = task.seed
    status = solver.solve(model)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    members = tuple(j for j, variable in enumerate(x) if found and solver.boolean_value(variable))
    info = {"rows": len(matrix), "nodes": solver.num_branches}
    return Answer(members, solver.best_objective_bound, status == cp_model.OPTIMAL, info)


def highs_model(matrix: NDArray[np.bool_], task: Task) -> Any:
    """A HiGHS instance with the cover in it."""
    import highspy

    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("random_seed", task.seed)
    solver.setOptionValue("mip_rel_gap", 0.0)
    n = matrix.shape[1]
    solver.addVars(n, np.zeros(n), np.ones(n))
    solver.changeColsCost(n, np.arange(n, dtype=np.int32), np.ones(n))
    solver.changeColsIntegrality(n, np.arange(n, dtype=np.int32), np.full(n, highspy.HighsVarType.kInteger))
    for row in matrix:
        index = np.flatnonzero(row).astype(np.int32)
        solver.addRow(1.0, highspy.kHighsInf, len(index), index, np.ones(len(index)))
    return solver


def run_highs(solver: Any, task: Task) -> tuple[tuple[int, ...], float, bool, int]:
    """(columns, claimed bound, whether it claims an optimum, nodes); no columns where it found none in time."""
    import highspy

    # its clock runs over all solves of an instance
    solver.setOptionValue("time_limit", solver.getRunTime() + task.seconds)
    solver.run()
    info = solver.getInfo()
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    members = tuple(np.flatnonzero(np.array(solver.getSolution().col_value) > 0.5).tolist()) if found else ()
    optimal = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return members, float(info.mip_dual_bound), optimal, max(0, int(info.mip_node_count))


def highs_lattice(task: Task) -> Answer:
    matrix = coverage(task, grid(task))
    members, bound, optimal, nodes = run_highs(highs_model(matrix, task), task)
    return Answer(members, bound, optimal, {"rows": len(matrix), "nodes": nodes})


def scip_lattice(task: Task) -> Answer:
    import pyscipopt

    matrix = coverage(task, grid(task))
    model = pyscipopt.Model()
    model.hideOutput()
    model.setParam("limits/time", task.seconds)
    model.setParam("randomization/randomseedshift", task.seed)
    x = [model.addVar(vtype="B", obj=1.0) for _ in range(matrix.shape[1])]
    for row in matrix:
        model.addCons(pyscipopt.quicksum(x[j] for j in np.flatnonzero(row)) >= 1)
    model.optimize()
    best = model.getBestSol() if model.getNSols() else None
    members = () if best is None else tuple(j for j, variable in enumerate(x) if model.getSolVal(best, variable) > 0.5)
    info = {"rows": len(matrix), "nodes": model.getNTotalNodes()}
    return Answer(members, model.getDualbound(), model.getStatus() == "optimal", info)


def highs_games(task: Task) -> Callable[[Array], Iterator[tuple[float, Array]]]:
    """Worst regret and its weight for each candidate: max b.w - s over w in the simplex and s >= w.p, in place."""
    import highspy

    def games(members: Array) -> Iterator[tuple[float, Array]]:
        d = members.shape[1]
        solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        for _ in range(d):
            solver.addVar(0.0, highspy.kHighsInf)
        solver.addVar(-highspy.kHighsInf, highspy.kHighsInf)
        columns = np.arange(d + 1, dtype=np.int32)
        solver.addRow(1.0, 1.0, d, columns[:d], np.ones(d))
        for member in members:
            solver.addRow(-highspy.kHighsInf, 0.0, d + 1, columns, np.r_[member, -1.0])
        solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
        for target in (1 - task.epsilon) * task.front:
            solver.changeColsCost(d + 1, columns, np.r_[target, -1.0])
            solver.run()
            yield solver.getInfo().objective_function_value, np.array(solver.getSolution().col_value[:d])

    return games


def cvxpy_games(task: Task) -> Callable[[Array], Iterator[tuple[float, Array]]]:
    """The same as one CVXPY problem with a parameter, solved by Clarabel."""
    import cvxpy

    def games(members: Array) -> Iterator[tuple[float, Array]]:
        d = members.shape[1]
        target, w, s = cvxpy.Parameter(d), cvxpy.Variable(d, nonneg=True), cvxpy.Variable()
        problem = cvxpy.Problem(cvxpy.Maximize(target @ w - s), [cvxpy.sum(w) == 1, members @ w <= s])
        for row in (1 - task.epsilon) * task.front:
            target.value = row
            problem.solve(solver=cvxpy.CLARABEL)
            yield float(problem.value), np.asarray(w.value)

    return games


def row_generation(task: Task, games: Callable[[Array], Iterator[tuple[float, Array]]], slack: float) -> Answer:
    """Cover, separate candidate by candidate, add what is violated; the last cover where time runs out."""
    d = task.front.shape[1]
    weights = np.concatenate([np.eye(d), np.full((1, d), 1 / d)])
    members: tuple[int, ...] = ()
    bound, programs, nodes = 0.0, 0, 0
    limit = task.delta + slack * max(1.0, float(np.abs(task.front).max()))
    for rounds in itertools.count(1):
        found, claimed, optimal, more = run_highs(highs_model(coverage(task, weights), task), task)
        nodes += more
        members, bound = found or members, max(bound, claimed)
        violated, complete = [], optimal
        for value, weight in games(task.front[list(members)]) if members else ():
            programs += 1
            if value > limit:
                violated.append(np.clip(weight, 0, None) / np.clip(weight, 0, None).sum())
            if time.monotonic() > task.deadline:
                complete = False
                break
        if not violated or not complete:
            info = {"rows": len(weights), "rounds": rounds, "lps": programs, "nodes": nodes}
            return Answer(members, bound, complete and not violated, info)
        weights = np.unique(np.concatenate([weights, np.array(violated)]).round(12), axis=0)
    raise AssertionError("unreachable")


def highs_loop(task: Task) -> Answer:
    return row_generation(task, highs_games(task), VIOLATED)


def cvxpy_loop(task: Task) -> Answer:
    return row_generation(task, cvxpy_games(task), 1e-6)  # an interior-point answer


PEERS: dict[str, Callable[[Task], Answer]] = {
    "greedy-lattice": greedy_lattice,
    "greedy-random": greedy_random,
    "cpsat-lattice": cpsat_lattice,
    "highs-lattice": highs_lattice,
    "scip-lattice": scip_lattice,
    "highs-loop": highs_loop,
    "cvxpy-loop": cvxpy_loop,
}


def solve(
    name: str, values: Array, epsilon: float, delta: float, seconds: float, points: int, seed: int = 0, threads: int = 0
) -> Answer:
    """Run a peer on values (n, d); the answer's members are rows of `values`."""
    deadline = time.monotonic() + seconds
    _, front = skyline(values)
    answer = PEERS[name](Task(values[front], epsilon, delta, deadline, points, seed, threads))
    members = tuple(sorted(int(front[j]) for j in answer.members))
    return Answer(members, answer.claimed_bound, answer.finished, {**answer.info, "front": len(front)})
