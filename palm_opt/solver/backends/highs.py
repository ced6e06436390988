"""HiGHS on the master cover: its mixed-integer solver in place, warm-started, stopped from outside at any time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import highspy
import numpy as np

from palm_opt.errors import BackendError
from palm_opt.solver.backends import Proposal, reduced
from palm_opt.solver.backends.greedy import prune
from palm_opt.solver.backends.greedy import solve_cover as greedy
from palm_opt.solver.cover import Cover
from palm_opt.solver.run import Run

__all__ = ["model", "options", "own_threads", "simplex", "solve_cover"]

_STOPPED = {
    highspy.HighsModelStatus.kTimeLimit,
    highspy.HighsModelStatus.kInterrupt,
    highspy.HighsModelStatus.kSolutionLimit,
    highspy.HighsModelStatus.kObjectiveBound,
    highspy.HighsModelStatus.kHighsInterrupt,
}


def model(cover: Cover, relaxed: bool = False) -> highspy.HighsLp:
    """The cover as a HighsLp: one binary variable a column (`relaxed`: >= 0), the sum at least 1 in each row."""
    rows, columns = cover.matrix.shape
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = rows, columns
    lp.col_cost_ = cover.costs
    lower = np.zeros(columns)
    lower[list(cover.fixed)] = 1.0
    lp.col_lower_, lp.col_upper_ = lower, np.full(columns, highspy.kHighsInf if relaxed else 1.0)
    lp.row_lower_, lp.row_upper_ = np.ones(rows), np.full(rows, highspy.kHighsInf)
    _, index = cover.matrix.T.nonzero()
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(cover.matrix.sum(axis=0))]).astype(np.int32)
    lp.a_matrix_.index_ = index.astype(np.int32)
    lp.a_matrix_.value_ = np.ones(len(index))
    if not relaxed:
        lp.integrality_ = [highspy.HighsVarType.kInteger] * columns
    return lp


def options(run: Run) -> dict[str, Any]:
    """The options of HiGHS' mixed-integer solver for a run."""
    return {
        "time_limit": run.allowance,
        "threads": run.settings.threads,
        "random_seed": run.seed,
        "mip_rel_gap": 0.0,
    }


def simplex() -> highspy.Highs:
    """HiGHS for linear programs that are changed in place and solved again."""
    solver = highspy.Highs()
    for name, value in (("output_flag", False), ("threads", 1), ("presolve", "off"), ("solver", "simplex")):
        solver.setOptionValue(name, value)
    return solver


@contextlib.contextmanager
def own_threads() -> Iterator[None]:
    """Let HiGHS start its own number of threads.

    It keeps the pool of threads of its first solve and refuses to solve with another number of them later.
    """
    highspy.Highs.resetGlobalScheduler(True)
    try:
        yield
    finally:
        highspy.Highs.resetGlobalScheduler(True)


@reduced
def solve_cover(cover: Cover, start: tuple[int, ...], run: Run) -> Proposal:
    """Solve the cover with HiGHS."""
    solver = highspy.Highs()
    for name, value in {"output_flag": False, **options(run)}.items():
        solver.setOptionValue(name, value)
    solver.passModel(model(cover))
    if start:
        solver.setSolution(_complete(cover, start, run))
    solver.HandleUserInterrupt = True
    with run.stopping(solver.cancelSolve), own_threads():
        if run.stop.is_set():
            return Proposal(None, 0.0, False)
        solver.run()
    status, info = solver.getModelStatus(), solver.getInfo()
    nodes = max(0, int(info.mip_node_count))
    if status == highspy.HighsModelStatus.kInfeasible:
        return Proposal(None, math.inf, True, nodes)
    optimal = status == highspy.HighsModelStatus.kOptimal
    if not optimal and status not in _STOPPED:
        raise BackendError(f"HiGHS answered {solver.modelStatusToString(status)}")
    bound = float(info.mip_dual_bound) if math.isfinite(info.mip_dual_bound) else 0.0
    chosen = np.flatnonzero(np.array(solver.getSolution().col_value) > 0.5)
    return Proposal(tuple(chosen.tolist()), bound, optimal, nodes)


def _complete(cover: Cover, known: tuple[int, ...], run: Run) -> highspy.HighsSolution:
    """A cover that holds some columns, as far as they are needed."""
    columns = greedy(Cover(cover.matrix, cover.costs, known), (), run).columns
    solution = highspy.HighsSolution()
    value = np.zeros(len(cover.costs))
    value[list(prune(cover, list(columns or ())))] = 1.0
    solution.col_value = value
    return solution
