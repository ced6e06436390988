"""Single figures as files: what `--plot` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from palm_opt.errors import ProblemError
from palm_opt.report import figures
from palm_opt.report.drawing import require_plot_libraries, save
from palm_opt.tables.values import ValueMatrix

if TYPE_CHECKING:
    from palm_opt.planning.planned import Plan
    from palm_opt.result import Certified, Result

__all__ = ["write_frontier", "write_gaps", "write_plan", "write_plot"]


def write_plot(path: str | Path, values: ValueMatrix, result: Result | Certified) -> Path:
    """Draw which member serves which preference: .png, .svg or .pdf.

    With one reward, or without a portfolio, the heat table of values is drawn instead.

    Raises
    ------
    BackendNotFound : matplotlib or mpltern is missing; the message gives the pip command.
    ProblemError : there is nothing to draw, or the file name has another ending.
    """
    _check(path)
    figure = figures.preference_map(values, result.indices, result.worst_weight)
    figure = figure or figures.heat_table(values, result.indices)
    if figure is None:
        raise ProblemError(f"{path}: no portfolio was found, so there is nothing to draw")
    save(figure, path)
    return Path(path)


def write_frontier(path: str | Path, results: Sequence[Result], vary: str = "delta") -> Path:
    """Draw the least tolerance at every size: .png, .svg or .pdf. Raises as `write_plot`."""
    _check(path)
    if not any(result.indices for result in results):
        raise ProblemError(f"{path}: no portfolio was found, so there is nothing to draw")
    save(figures.frontier_figure(results, vary), path)
    return Path(path)


def write_plan(path: str | Path, plan: Plan) -> Path:
    """Draw which planned policy serves which preference: .png, .svg or .pdf. Raises as `write_plot`."""
    _check(path)
    names = ["/".join(f"{100 * x:.0f}" for x in member.weight) for member in plan.members]
    names = [f"{name} ({i + 1})" if names.count(name) > 1 else name for i, name in enumerate(names)]
    values = ValueMatrix(plan.values, names=names, rewards=[name.removeprefix("-") for name in plan.rewards])
    worst = None if plan.worst_weight is None else np.array(plan.worst_weight)
    figure = figures.preference_map(values, range(len(names)), worst)
    if figure is None:
        raise ProblemError(f"{path}: one reward needs one policy, so there is nothing to draw")
    save(figure, path)
    return Path(path)


def write_gaps(path: str | Path, gaps: Mapping[str, Sequence[float]], delta: float) -> Path:
    """Draw the certified gap against oracle calls, a line a strategy: .png, .svg or .pdf. Raises as `write_plot`."""
    _check(path)
    save(figures.gap_figure(gaps, delta), path)
    return Path(path)


def _check(path: str | Path) -> None:
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ProblemError(f"{path}: expected a .png, .svg or .pdf file")
    require_plot_libraries()
