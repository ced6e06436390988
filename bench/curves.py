"""How the cost of a solve grows with candidates, rewards, tolerance and members: figures from the suite `curves`.

    python -m bench.run --suite curves --methods palm-native --out bench/results/curves.jsonl
    python -m bench.curves bench/results/curves.jsonl --plot docs/figures/curves.png

Anti-correlated pools, three seeds each. Points are runs, lines go through the medians.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import compare

WORK = ("front", "rows", "lp_iterations", "nodes")

Line = dict[str, Any]


def sizes(run: Line) -> tuple[int, int]:
    """Candidates and rewards of a run."""
    _, n, d, _ = run["instance"].split("-")
    return int(n), int(d)


def panels(runs: Sequence[Line]) -> list[tuple[str, list[Line], Callable[[Line], float]]]:
    """(label of the x axis, runs, x of a run), one thing varying in each."""

    def some(n: int | None, d: int | None, epsilon: float | None) -> list[Line]:
        wanted = (n, d, epsilon)
        return [
            run
            for run in runs
            if all(w is None or w == x for w, x in zip(wanted, (*sizes(run), run["epsilon"]), strict=True))
        ]

    fine = some(10_000, 4, None)
    return [
        ("candidates n (d = 4, epsilon = 0.1)", some(None, 4, 0.1), lambda run: sizes(run)[0]),
        ("rewards d (n = 1,000, epsilon = 0.1)", some(1_000, None, 0.1), lambda run: sizes(run)[1]),
        ("epsilon (n = 10,000, d = 4)", fine, lambda run: run["epsilon"]),
        ("members |P| (n = 10,000, d = 4, epsilon from 0.2 to 0.005)", fine, lambda run: run["size"]),
    ]


def medians(runs: Sequence[Line], x: Callable[[Line], float], y: str) -> tuple[list[float], list[float]]:
    """The medians of y over the runs of each x, by x."""
    groups: dict[float, list[float]] = {}
    for run in runs:
        groups.setdefault(x(run), []).append(run[y])
    points = sorted(groups)
    return points, [statistics.median(groups[point]) for point in points]


def draw(runs: Sequence[Line], path: Path) -> None:
    """Four panels of CPU seconds, of the solve and of the standalone checker."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    series = (("cpu", "C0", "o", "-", "solve"), ("verify_cpu", "C1", "s", "--", "standalone checker"))
    grid = figure.subplots(2, 2, sharey=True)
    for axes, (label, own, x) in zip(grid.flat, panels(runs), strict=True):
        single = label.startswith("members")  # hardly two runs have the same number
        for y, color, marker, style, name in series:
            axes.plot([x(run) for run in own], [run[y] for run in own], marker, color=color, alpha=0.5, markersize=4)
            axes.plot([], [], f"{marker}{style}", color=color, label=name)
            if not single:
                axes.plot(*medians(own, x, y), style, color=color)
        axes.set(xlabel=label, ylabel="CPU seconds", yscale="log")
        if label.startswith(("candidates", "epsilon")):
            axes.set_xscale("log")
        if label.startswith("epsilon"):
            axes.invert_xaxis()
        for point, members in [] if single else zip(*medians(own, x, "size"), strict=True):
            at = max(run["cpu"] for run in own if x(run) == point)
            axes.annotate(f"{members:g}", (point, at), (0, 7), textcoords="offset points", fontsize=8, ha="center")
        axes.margins(y=0.12)
        axes.grid(alpha=0.3)
    grid[0, 0].legend(fontsize=8)
    figure.suptitle("Proved portfolios of anti-correlated pools; numbers: members of the portfolio", fontsize=10)
    figure.savefig(path, dpi=110)


def table(runs: Sequence[Line]) -> str:
    """Medians of every point, in markdown."""
    groups: dict[tuple[int, int, float], list[Line]] = {}
    for run in runs:
        groups.setdefault((*sizes(run), run["epsilon"]), []).append(run)
    rows = []
    for (n, d, epsilon), own in groups.items():
        middle = {
            key: statistics.median(run[key] for run in own) for key in ("size", "cpu", "verify_cpu", "memory_mib")
        }
        work = [statistics.median(run["work"][key] for run in own) for key in WORK]
        proved = sum(run["status"] == "OPTIMAL" for run in own)
        counts = [f"{x:,.0f}" for x in (middle["size"], *work, middle["memory_mib"])]
        seconds = [f"{middle[key]:.2g}" for key in ("cpu", "verify_cpu")]
        rows.append([f"{n:,}", d, f"{epsilon:g}", f"{proved}/{len(own)}", *counts, *seconds])
    header = ["n", "d", "epsilon", "proved", "members", "undominated", "rows", "LP iterations", "nodes", "memory, MiB"]
    return compare.table([*header, "solve, CPU s", "checker, CPU s"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="results of bench/run.py on the suite curves")
    parser.add_argument("--plot", help="draw the figure to this PNG file")
    options = parser.parse_args()
    _, runs = compare.read(options.files)
    print(table(runs))
    if options.plot:
        draw(runs, Path(options.plot))


if __name__ == "__main__":
    main()
