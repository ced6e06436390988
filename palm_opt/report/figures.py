"""Figures of a result, as matplotlib Figure objects."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.measures.regions import intervals, polygons, share
from palm_opt.portfolio.manifest import Member
from palm_opt.report.drawing import COLOURS, FAINT, INK, colour, drawing, heat_map, label, new_figure
from palm_opt.tables.values import ValueMatrix
from palm_opt.wording import number, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from palm_opt.result import Certified, Result

__all__ = ["describe", "edge_bars", "error_bars", "frontier_figure", "gap_figure", "heat_table", "preference_map"]

MAX_PAIRS, MAX_TRIANGLE_REWARDS, MAX_HEAT_ROWS, MAX_LEGEND = 28, 4, 40, 24


def preference_map(
    values: ValueMatrix, indices: Sequence[int], worst: NDArray[np.float64] | None = None
) -> Figure | None:
    """Draw which member serves which preference: lines for d = 2, a triangle for d = 3, panels beyond.

    `worst` is the weight of the worst regret, marked where the picture can show it. None for d = 1 or no members.
    """
    if values.d < 2 or not indices:
        return None
    with drawing():
        if values.d == 2:
            return _lines(values, indices, worst)
        if values.d == 3:
            return _triangles(values, indices, [(0, 1, 2)], worst)
        return _panels(values, indices)


def _lines(values: ValueMatrix, indices: Sequence[int], worst: NDArray[np.float64] | None) -> Figure:
    """Draw the value of each member along the only edge, the best of the pool, and the intervals below."""
    figure = new_figure(7.6, 4.4)
    axes, bar = figure.subplots(2, 1, sharex=True, height_ratios=[6, 1])
    members, t = values.array[list(indices)], np.array([0.0, 1.0])
    pool, best = _envelope(values.array), None
    if len(members) < values.n:
        (best,) = axes.plot(*pool, color=INK, lw=1.2, ls=(0, (4, 2)), label="best of all candidates", zorder=1)
    for k, v in enumerate(members):
        axes.plot(t, (1 - t) * v[0] + t * v[1], color=colour(k), lw=1.2, alpha=0.45)
    for k, low, high in intervals(members[:, 0], members[:, 1]):
        ends = np.array([low, high])
        axes.plot(ends, (1 - ends) * members[k, 0] + ends * members[k, 1], color=colour(k), lw=3.2, zorder=3)
    low_value = float(min(members.max(axis=0).min(), pool[1].min()))
    top = float(pool[1].max())
    margin = 0.25 * max(top - low_value, 1e-9)
    axes.set_ylim(low_value - 2 * margin, top + margin)
    axes.set_ylabel("value at the preference")
    _interval_bar(bar, members[:, 0], members[:, 1])
    bar.set_xlabel(f"weight of {label(values.rewards[1])}   (the rest on {label(values.rewards[0])})")
    if worst is not None:
        for panel in (axes, bar):
            panel.axvline(float(worst[1]), color=INK, lw=0.9, ls=":", zorder=4)
        at: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "xytext": (0, 3), "textcoords": "offset points"}
        axes.annotate("worst regret", (float(worst[1]), 1), ha="center", fontsize=8, **at)
    _legend(figure, values, indices, extra=best)
    return figure


def _envelope(array: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pieces = intervals(array[:, 0], array[:, 1])
    t = np.array([pieces[0][1], *(high for _, _, high in pieces)])
    rows = [pieces[0][0], *(k for k, _, _ in pieces)]
    return t, (1 - t) * array[rows, 0] + t * array[rows, 1]


def _interval_bar(axes: Axes, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
    """Draw one edge of the simplex as a bar cut into the members' intervals."""
    for k, low, high in intervals(first, second):
        axes.barh(0, high - low, left=low, height=1, color=colour(k), edgecolor="white", lw=0.8)
        if high - low > 0.045:
            axes.text((low + high) / 2, 0, str(k + 1), ha="center", va="center", fontsize=8.5, color=INK)
    axes.set(xlim=(0, 1), ylim=(-0.5, 0.5), yticks=[])
    axes.spines[:].set_visible(False)


def _triangles(
    values: ValueMatrix,
    indices: Sequence[int],
    triples: Sequence[tuple[int, ...]],
    worst: NDArray[np.float64] | None,
) -> Figure:
    columns = min(2, len(triples))
    rows = math.ceil(len(triples) / columns)
    figure = new_figure(6.6 if columns == 1 else 8.6, (4.6 if columns == 1 else 3.7) * rows)
    for place, triple in enumerate(triples):
        axes = figure.add_subplot(rows, columns, place + 1, projection="ternary")
        _triangle(axes, values, indices, triple, small=columns > 1)
        if worst is not None and values.d == 3:
            axes.plot(*([float(w)] for w in worst), marker="X", color=INK, ms=7, mec="white", clip_on=False)
    _legend(figure, values, indices, cross=worst is not None and values.d == 3)
    return figure


def _triangle(axes: Any, values: ValueMatrix, indices: Sequence[int], triple: tuple[int, ...], small: bool) -> None:
    """Draw the regions of the members on one triangle of the simplex; its corners are single rewards."""
    for k, corners in enumerate(polygons(values.array[np.ix_(indices, triple)])):
        if not len(corners):
            continue
        axes.fill(*corners.T, facecolor=colour(k), edgecolor="white", lw=0.9)
        if share(corners) > 0.004:
            axes.text(*corners.mean(axis=0), str(k + 1), ha="center", va="center", fontsize=8.5)
    size = 8 if small else 9
    below = -0.09 if small else -0.07
    places = ((1.03, -0.015, -0.015), (below, 1 - below / 2, -below / 2), (below, -below / 2, 1 - below / 2))
    for place, reward, side in zip(places, triple, ("bottom", "top", "top"), strict=True):
        name = label(values.rewards[reward], 22 if small else 30)
        axes.text(*place, name, ha="center", va=side, fontsize=size)
    for axis in (axes.taxis, axes.laxis, axes.raxis):
        axis.set_ticks([0.2, 0.4, 0.6, 0.8])
        axis.set_tick_params(labelsize=7, length=2)


def _panels(values: ValueMatrix, indices: Sequence[int]) -> Figure:
    """Draw every edge of the simplex as a bar, for d = 4 also its four triangles; other rewards have weight 0."""
    if values.d <= MAX_TRIANGLE_REWARDS:
        return _triangles(values, indices, list(itertools.combinations(range(values.d), 3)), None)
    return edge_bars(values, indices)


def edge_bars(values: ValueMatrix, indices: Sequence[int]) -> Figure:
    """Draw every edge of the simplex (two rewards share all weight) as a bar cut into the members' intervals."""
    pairs = list(itertools.combinations(range(values.d), 2))[:MAX_PAIRS]
    with drawing():
        columns = 1 if len(pairs) <= 3 else 2
        rows = math.ceil(len(pairs) / columns)
        figure = new_figure(8.6, 0.9 + 0.68 * rows, pad=0.09)
        grid = figure.subplots(rows, columns, squeeze=False)
        members = values.array[list(indices)]
        for axes, pair in itertools.zip_longest(grid.ravel(), pairs):
            if pair is None:
                axes.set_visible(False)
                continue
            _interval_bar(axes, members[:, pair[0]], members[:, pair[1]])
            axes.set_xticks([])
            axes.set_title(label(values.rewards[pair[0]], 24), loc="left", fontsize=8, pad=2)
            axes.set_title(label(values.rewards[pair[1]], 24), loc="right", fontsize=8, pad=2)
        _legend(figure, values, indices)
    return figure


def _legend(
    figure: Figure, values: ValueMatrix, indices: Sequence[int], extra: Any = None, cross: bool = False
) -> None:
    """Name the members by number and colour below the picture."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown = list(indices)[:MAX_LEGEND]
    handles: list[Any] = [
        Patch(facecolor=colour(k), label=f"{k + 1}.  {label(values.names[i])}") for k, i in enumerate(shown)
    ]
    if len(shown) < len(indices):
        handles.append(Patch(facecolor="none", label=f"and {len(indices) - len(shown)} more"))
    if cross:
        handles.append(Line2D([], [], marker="X", ls="", color=INK, ms=7, label="worst regret"))
    if extra is not None:
        handles.append(extra)
    longest = max(len(handle.get_label()) for handle in handles)
    columns = max(1, min(3 if longest < 26 else 2, len(handles)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8.5, handlelength=1.2)


def gap_figure(gaps: Mapping[str, Sequence[float]], delta: float) -> Figure:
    """Draw the certified gap of all answers after each oracle call, a line a strategy; `delta` is the goal."""
    with drawing():
        figure = new_figure(6.4, 3.8)
        axes = figure.subplots()
        for k, (name, trace) in enumerate(gaps.items()):
            known = [(call, gap) for call, gap in enumerate(trace, 1) if math.isfinite(gap) and gap > 0]
            if known:
                axes.step(*zip(*known, strict=True), where="post", color=colour(k), lw=1.6, label=label(name))
        if delta > 0:
            axes.axhline(delta, color=INK, lw=0.9, ls=":", label=f"delta = {number(delta)}")
        axes.set(xlabel="oracle calls (training runs)", ylabel="certified gap over all preferences")
        axes.set(xscale="log", yscale="log")
        axes.grid(color=FAINT, lw=0.5, alpha=0.6)
        axes.legend()
    return figure


def frontier_figure(results: Sequence[Result], vary: str) -> Figure:
    """Draw the least tolerance at every size, and the proved bound below it."""
    from matplotlib.ticker import MaxNLocator

    points = [(result.size, float(getattr(result, vary)), result) for result in results if result.indices]
    with drawing():
        figure = new_figure(6.8, 3.6)
        axes = figure.subplots()
        sizes = [size for size, _, _ in points]
        found = np.array([tolerance for _, tolerance, _ in points])
        bounds = np.array([_proved(result, tolerance) for _, tolerance, result in points])
        if (found - bounds).max() > 0.004 * found.max():
            style: dict[str, Any] = {"color": COLOURS[0], "alpha": 0.25, "lw": 0}
            axes.fill_between(sizes, bounds, found, label="between found and proved", **style)
        axes.plot(sizes, found, color=COLOURS[0], lw=2, zorder=2)
        closed = [result.status == "OPTIMAL" for _, _, result in points]
        for done, marker, text in ((True, "o", "proved least"), (False, "D", "found, gap open")):
            chosen = [k for k, flag in enumerate(closed) if flag is done]
            if chosen:
                face = COLOURS[0] if done else "white"
                axes.plot(
                    [sizes[k] for k in chosen], found[chosen], marker, color=COLOURS[0], mfc=face, ms=6, label=text
                )
        axes.set(xlabel="number of members", ylabel=f"worst-case {vary}")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color=FAINT, lw=0.5, alpha=0.6)
        axes.legend(fontsize=8.5)
    return figure


def _proved(result: Result, tolerance: float) -> float:
    bound = result.tolerance_lower_bound
    return tolerance if result.status == "OPTIMAL" else min(tolerance, bound or 0.0)


def heat_table(values: ValueMatrix, indices: Sequence[int]) -> Figure | None:
    """Draw the members' values as a table, coloured within each reward from the pool's least to its greatest."""
    rows = list(indices)[:MAX_HEAT_ROWS]
    if not rows or values.d > 24:
        return None
    with drawing():
        low, high = values.array.min(axis=0), values.array.max(axis=0)
        shade = (values.array[rows] - low) / np.where(high > low, high - low, 1)
        figure = new_figure(min(10, 2.6 + 1.05 * values.d), 1.0 + 0.32 * len(rows))
        axes = figure.subplots()
        places = np.arange(values.d + 1) - 0.5, np.arange(len(rows) + 1) - 0.5
        axes.pcolormesh(*places, shade, cmap=heat_map(), vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
        axes.invert_yaxis()
        for (i, k), x in np.ndenumerate(values.array[rows]):
            axes.text(
                k, i, f"{x:.3g}", ha="center", va="center", fontsize=8.5, color="white" if shade[i, k] > 0.72 else INK
            )
        names = [f"{k + 1}.  {label(values.names[i])}" for k, i in enumerate(rows)]
        axes.set_yticks(range(len(rows)), names)
        heads = [label(name, 18) for name in values.rewards]
        wide = max(map(len, heads)) > 13
        turned: dict[str, Any] = {"rotation": 30, "ha": "left"} if wide else {}
        axes.set_xticks(range(values.d), heads, **turned)
        axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
        axes.spines[:].set_visible(False)
    return figure


def error_bars(members: Sequence[Member], rewards: Sequence[str]) -> Figure | None:
    """Draw measured values with two standard errors; None where no member has standard errors."""
    shown = [member for member in members if member.standard_error][:MAX_HEAT_ROWS]
    if not shown:
        return None
    with drawing():
        figure = new_figure(7.6, 1.1 + 0.30 * len(shown) * max(1, len(rewards)) ** 0.5)
        panels = figure.subplots(1, len(rewards), sharey=True, squeeze=False)[0]
        y = np.arange(len(shown))
        for axes, reward in zip(panels, rewards, strict=True):
            mean = np.array([member.value[reward] for member in shown])
            error = np.array([member.standard_error[reward] for member in shown])
            axes.errorbar(mean, y, xerr=2 * error, fmt="none", ecolor="#8b96a1", elinewidth=1.4, capsize=2.5, zorder=1)
            axes.scatter(mean, y, s=26, c=[colour(k) for k in range(len(shown))], zorder=2)
            axes.set_title(label(reward, 22), fontsize=9)
            axes.grid(axis="x", color=FAINT, lw=0.5, alpha=0.6)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(y, [f"{k + 1}.  {label(member.name)}" for k, member in enumerate(shown)])
        panels[0].set_ylim(len(shown) - 0.5, -0.5)
    return figure


def describe(result: Result | Certified) -> str:
    """Alternative text of the preference map."""
    return f"Which of {plural(result.size, 'member')} serves which preference best"
