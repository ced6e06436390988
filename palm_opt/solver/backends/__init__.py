"""Backends: each proposes a cover of the current rows; the package separates, checks and proves.

To add one, write a module with a `solve_cover` function of this signature and add its line to `REGISTRY`.
"""

from __future__ import annotations

import functools
import importlib
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from palm_opt.errors import BackendNotFound
from palm_opt.solver.cover import Cover
from palm_opt.solver.run import Run

__all__ = ["REGISTRY", "Proposal", "SolveCover", "backends", "load", "reduced"]

REGISTRY = {
    "native": ("palm_opt.solver.backends.native", ""),
    "cpsat": ("palm_opt.solver.backends.cpsat", "pip install ortools"),
    "cvxpy": ("palm_opt.solver.backends.cvxpy", "pip install cvxpy highspy"),
    "greedy": ("palm_opt.solver.backends.greedy", ""),
    "highs": ("palm_opt.solver.backends.highs", "pip install highspy"),
}


@dataclass(frozen=True)
class Proposal:
    """What a backend says about a cover.

    columns : a cover, or None if it found none in time.
    bound : a claimed lower bound on the cost of every cover of these rows.
    optimal : whether it claims that no cheaper cover exists.
    """

    columns: tuple[int, ...] | None
    bound: float
    optimal: bool
    nodes: int = 0


class SolveCover(Protocol):
    """Solve a cover within the limits of a run, starting from a known cover."""

    def __call__(self, cover: Cover, start: tuple[int, ...], run: Run) -> Proposal: ...


def reduced(solve: SolveCover) -> SolveCover:
    """A backend that gets covers without fixed columns and without rows and columns that others make superfluous.

    Its columns are mapped back and checked: a solver's word is none.
    """

    @functools.wraps(solve)
    def solve_cover(cover: Cover, start: tuple[int, ...], run: Run) -> Proposal:
        small, places, _ = cover.reduced()
        base = cover.cost(cover.fixed)
        if not len(small.matrix):
            return Proposal(tuple(sorted(cover.fixed)), base, True)
        if not small.matrix.any(axis=1).all():
            return Proposal(None, math.inf, True)
        found = solve(small, tuple(np.flatnonzero(np.isin(places, start)).tolist()), run)
        if found.columns is None or not small.matrix[:, list(found.columns)].any(axis=1).all():
            return Proposal(None, base + found.bound, found.optimal and found.columns is None, found.nodes)
        columns = tuple(sorted({*places[list(found.columns)].tolist(), *cover.fixed}))
        return Proposal(columns, base + found.bound, found.optimal, found.nodes)

    return solve_cover


def backends() -> tuple[str, ...]:
    """Names of the backends."""
    return tuple(REGISTRY)


def load(name: str) -> SolveCover:
    """The `solve_cover` function of a backend."""
    if not isinstance(name, str) or name not in REGISTRY:
        raise BackendNotFound(f"no backend {name!r}; palm_opt has {', '.join(REGISTRY)}")
    module, command = REGISTRY[name]
    try:
        solve_cover: SolveCover = importlib.import_module(module).solve_cover
    except ImportError as error:
        raise BackendNotFound(f"backend {name!r} needs a library that is missing ({error}): {command}") from error
    return solve_cover
