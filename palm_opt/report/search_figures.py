"""Figures of an oracle search: the simplex being covered, and the gaps that `figures.gap_figure` draws."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.preferences.simplex import lattice
from palm_opt.report.drawing import INK, colour, drawing, heat_map, label, new_figure
from palm_opt.search import Search
from palm_opt.wording import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["coverage_figure", "replay"]

_RESOLUTION = 48  #: of the lattice on which gaps are drawn


def replay(search: Search, answers: int | None = None) -> tuple[Search, list[float]]:
    """Tell the first `answers` answers (default all) of a search to a new one: (it, its gap after each call).

    Gaps are inf until the unit weights are answered.
    """
    told = search.answers
    copy = Search(
        search.d,
        epsilon=search.epsilon,
        delta=search.delta,
        oracle_error=told.oracle_error,
        seed=search.seed,
        floor=told.floor,
    )
    gaps: list[float] = []
    for weight, value in islice(told.told(), answers):
        copy.tell(weight, value, answer=weight is not None)
        gaps[copy.calls - 1 :] = [copy.gap] * (copy.calls > 0)
    return copy, gaps


def coverage_figure(search: Search, rewards: Sequence[str] | None = None, panels: int = 4) -> Figure | None:
    """Draw where the promise is kept after more and more answers, for three rewards; None for other numbers.

    White: (1 - epsilon) U - L <= delta there. Dots are the weights asked so far, the last one marked.
    """
    if search.d != 3:
        return None
    names = [label(name, 18) for name in rewards or ("r1", "r2", "r3")]
    first = max(search.answers.units.values()) + 1 if len(search.answers.units) == 3 else None
    if first is None:
        return None
    stages = np.unique(np.linspace(first, len(search.answers), panels).round().astype(int))
    weights = lattice(3, _RESOLUTION)
    gaps = [_gaps(replay(search, int(stage))[0], weights) for stage in stages]
    top = max(float(gaps[0].max()), search.delta * 1.01, 1e-12)
    with drawing():
        figure = new_figure(2.9 * len(stages), 3.1)
        for axes, stage, gap in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages, gaps, strict=True):
            drawn = _triangle(axes, search, int(stage), weights, gap, top, names)
        bar = figure.colorbar(drawn, ax=figure.axes, shrink=0.7, pad=0.01, format="%.2g")
        bar.set_label("certified gap beyond delta")
    return figure


def _gaps(search: Search, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 - epsilon) U - L at weights, shape (m, 3)."""
    bounds = np.array([search.parts[1].solve(weight).value for weight in weights])
    gaps: NDArray[np.float64] = (1 - search.epsilon) * bounds - (weights @ search.answers.values.T).max(axis=1)
    return gaps


def _flat(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of weights in an equilateral triangle."""
    return weights[:, 1] + weights[:, 2] / 2, weights[:, 2] * np.sqrt(0.75)


def _triangle(
    axes: Axes,
    search: Search,
    stage: int,
    weights: NDArray[np.float64],
    gap: NDArray[np.float64],
    top: float,
    names: Sequence[str],
) -> Any:
    """One panel: the gap, the questions, the kept share."""
    levels = np.linspace(search.delta, top, 12)
    drawn = axes.tricontourf(*_flat(weights), np.clip(gap, 0, top), levels=levels, cmap=heat_map())
    x, y = _flat(search.answers.weights[:stage][np.isfinite(search.answers.limits[:stage])])
    axes.scatter(x, y, s=9, color=INK, zorder=3)
    axes.scatter(x[-1:], y[-1:], s=34, facecolor="none", edgecolor=colour(6), lw=1.4, zorder=4)
    axes.plot([0, 1, 0.5, 0], [0, 0, np.sqrt(0.75), 0], color=INK, lw=0.9)
    for name, (x0, y0), side in zip(
        names, [(0, -0.05), (1, -0.05), (0.5, 0.9)], ("left", "right", "center"), strict=True
    ):
        axes.text(x0, y0, name, ha=side, va="top" if y0 < 0 else "bottom", fontsize=8)
    kept = float((gap <= search.delta).mean())
    axes.text(0.5, -0.16, f"{plural(len(x), 'call')}: {kept:.0%} kept", ha="center", va="top", fontsize=9)
    axes.set_ylim(-0.26, 1.0)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return drawn
