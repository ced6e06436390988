"""CVXPY on the master cover: a mixed-integer model solved by HiGHS, and its linear relaxation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cvxpy
import numpy as np
from scipy import sparse

from palm_opt.errors import BackendError
from palm_opt.solver.backends import Proposal, reduced
from palm_opt.solver.backends.highs import options, own_threads
from palm_opt.solver.cover import Cover
from palm_opt.solver.run import Run

__all__ = ["model", "solve_cover"]


def model(cover: Cover, names: Sequence[str], relaxed: bool = False) -> tuple[Any, Any]:
    """The cover as a cvxpy Problem: (problem, variable x of shape (columns,)); `relaxed` for 0 <= x <= 1."""
    x = cvxpy.Variable(len(names), name="x", **({"nonneg": True} if relaxed else {"boolean": True}))
    constraints = [sparse.csr_array(cover.matrix.astype(float)) @ x >= 1]
    if relaxed:
        constraints.append(x <= 1)
    if cover.fixed:
        constraints.append(x[list(cover.fixed)] == 1)
    return cvxpy.Problem(cvxpy.Minimize(cover.costs @ x), constraints), x


@reduced
def solve_cover(cover: Cover, start: tuple[int, ...], run: Run) -> Proposal:
    """Solve the linear relaxation, and the mixed-integer model unless the relaxation is already integral."""
    names = [str(j) for j in range(len(cover.costs))]
    problem, x = model(cover, names, relaxed=True)
    bound, optimal, nodes = 0.0, False, 0
    if _solve(problem, run) == cvxpy.OPTIMAL:
        bound = float(problem.value)
        optimal = bool(np.all(np.abs(x.value - np.rint(x.value)) < 1e-7))
    if not optimal:
        problem, x = model(cover, names)
        status = _solve(problem, run)
        if status == cvxpy.INFEASIBLE:
            return Proposal(None, math.inf, True)
        stats = getattr(problem.solver_stats, "extra_stats", None)
        claimed = float(getattr(stats, "mip_dual_bound", -math.inf))
        nodes = int(getattr(stats, "mip_node_count", 0) or 0)
        if math.isfinite(claimed):
            bound = max(bound, claimed)
        optimal = status == cvxpy.OPTIMAL
    if x.value is None:
        return Proposal(None, bound, False, nodes)
    return Proposal(tuple(np.flatnonzero(x.value > 0.5).tolist()), bound, optimal, nodes)


def _solve(problem: Any, run: Run) -> str:
    try:
        with own_threads():
            problem.solve(solver=cvxpy.HIGHS, **options(run))
    except cvxpy.SolverError as error:
        if run.seconds > 0:
            raise BackendError(f"CVXPY with HiGHS failed: {error}") from error
    return str(problem.status)
