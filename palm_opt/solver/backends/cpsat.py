"""OR-Tools CP-SAT on the master cover."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from ortools.sat.python import cp_model

from palm_opt.errors import BackendError
from palm_opt.solver.backends import Proposal, reduced
from palm_opt.solver.cover import Cover
from palm_opt.solver.run import Run

__all__ = ["model", "solve_cover"]

_WORKERS = 8  # CP-SAT's linear-programming workers start only from 8 on, whatever the number of cores


def model(cover: Cover, names: Sequence[str]) -> tuple[Any, list[Any]]:
    """The cover as a CpModel: (model, one Boolean variable a column). CP-SAT rounds costs that are not integers."""
    problem = cp_model.CpModel()
    x = [problem.new_bool_var(str(name)) for name in names]
    for j in cover.fixed:
        problem.add(x[j] == 1)
    for row in cover.matrix:
        problem.add_bool_or([x[j] for j in np.flatnonzero(row)])
    costs = [int(cost) if cost.is_integer() else cost for cost in cover.costs.tolist()]
    problem.minimize(cp_model.LinearExpr.weighted_sum(x, costs))
    return problem, x


def _whole(cover: Cover) -> bool:
    """Whether CP-SAT counts the costs exactly."""
    return bool(np.all(cover.costs == np.rint(cover.costs)) and cover.costs.sum() < 2**53)


@reduced
def solve_cover(cover: Cover, start: tuple[int, ...], run: Run) -> Proposal:
    """Solve the cover with CP-SAT."""
    problem, x = model(cover, [str(j) for j in range(len(cover.costs))])
    for j, variable in enumerate(x):
        problem.add_hint(variable, j in start)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = max(_WORKERS, run.settings.threads)
    solver.parameters.random_seed = run.seed
    solver.parameters.catch_sigint_signal = False
    solver.parameters.interleave_search = run.settings.deterministic
    solver.parameters.max_time_in_seconds = run.allowance
    with run.stopping(solver.stop_search):
        status = solver.solve(problem)
    if status == cp_model.INFEASIBLE:
        return Proposal(None, math.inf, True, int(solver.num_branches))
    if status == cp_model.UNKNOWN:
        return Proposal(None, solver.best_objective_bound, False, int(solver.num_branches))
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise BackendError(f"CP-SAT answered {solver.status_name(status)}")
    chosen = tuple(j for j, variable in enumerate(x) if solver.boolean_value(variable))
    optimal = status == cp_model.OPTIMAL and _whole(cover)
    return Proposal(chosen, solver.best_objective_bound, optimal, int(solver.num_branches))
