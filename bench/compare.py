"""Tables and performance profiles from the lines of bench/run.py.

    python -m bench.compare bench/results/small.jsonl --markdown bench/results/small.md --plot bench/results/small.png

A run is *valid* if the exact checker found that its set keeps the tolerance at every weight, *proved* if a certificate
says that no smaller set does, *solved* if it is valid and of the least size, which some run of the problem proved.
Seconds are CPU seconds; a run that did not solve its problem counts with the time limit (or its CPU seconds, if more).
Means over problems are shifted geometric means, exp(mean(log(x + s))) - s. A performance profile (Dolan, More 2002)
shows for each factor the share of problems that a method solves within that factor of the fastest method.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["cell", "profile", "read", "shifted_geometric_mean", "summary"]

Line = dict[str, Any]


def read(paths: Iterable[str | Path]) -> tuple[list[Line], list[Line]]:
    """(environments, runs) of several files; of a run that occurs again the later one counts."""
    environments, runs = [], {}
    for path in paths:
        for text in Path(path).read_text().splitlines():
            line = json.loads(text)
            if "problem" in line:
                runs[line["problem"], line.get("method"), line.get("seed")] = line
            else:
                environments.append(line)
    return environments, list(runs.values())


def shifted_geometric_mean(numbers: Sequence[float], shift: float) -> float:
    """exp(mean(log(x + shift))) - shift."""
    return math.exp(statistics.fmean(math.log(x + shift) for x in numbers)) - shift


def best(runs: Sequence[Line]) -> dict[str, tuple[float, float]]:
    """Of every problem (the least valid size, the greatest proved bound)."""
    result: dict[str, tuple[float, float]] = {}
    for run in runs:
        size, bound = result.get(run["problem"], (math.inf, 0.0))
        if run.get("valid"):
            size = min(size, run["size"])
        result[run["problem"]] = (size, max(bound, run.get("bound") or 0.0))
    return result


def solved(run: Line, known: dict[str, tuple[float, float]]) -> bool:
    """Whether a run found a valid set of the least size, and that size is proved by some run."""
    size, bound = known[run["problem"]]
    return bool(run.get("valid")) and run["size"] == size and bound >= size


def seconds(run: Line, known: dict[str, tuple[float, float]]) -> float:
    """CPU seconds; at least the time limit where the problem was not solved."""
    used = run.get("cpu") or 0.0
    return used if solved(run, known) else max(used, run["time_limit"])


def cell(run: Line | None) -> str:
    """A run in a few letters: size, what is proved or broken, CPU seconds."""
    if run is None:
        return ""
    if run["status"] in ("ERROR", "KILLED"):
        return run["status"].lower()
    used = f"{run['cpu']:.2g} s" if run["cpu"] < 10 else f"{run['cpu']:.0f} s"
    if not run["size"]:
        return f"none {used}"
    if not run["valid"]:
        return f"{run['size']}\\* {used}"
    if run["status"] == "OPTIMAL":
        return f"**{run['size']}** {used}"
    return f"{run['size']} (>= {run['bound']:g}) {used}" if run.get("bound") else f"{run['size']} {used}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(x) for x in line) + " |" for line in lines)


def by_problem(runs: Sequence[Line], methods: Sequence[str]) -> str:
    """One row a problem, one column a method."""
    known = best(runs)
    found = {(run["problem"], run["method"]): run for run in runs}
    rows = []
    for problem, (size, bound) in known.items():
        least = "-" if size == math.inf else f"{size:g}" if bound >= size else f"{bound:g} to {size:g}"
        rows.append([problem, least, *(cell(found.get((problem, method))) for method in methods)])
    return table(["problem", "least size", *methods], rows)


def summary(runs: Sequence[Line], methods: Sequence[str], shift: float) -> list[list[str]]:
    """One row a method: counts, mean CPU seconds, mean size over the least, certificates."""
    known = best(runs)
    rows = []
    for method in methods:
        own = [run for run in runs if run["method"] == method]
        valid = [run for run in own if run.get("valid")]
        ratios = [run["size"] / known[run["problem"]][0] for run in valid]
        bytes_ = [run["certificate_bytes"] for run in own if run.get("certificate_bytes")]
        checks = [run["verify_cpu"] for run in own if run.get("verify_cpu") is not None]
        rows.append(
            [
                method,
                f"{len(valid)}/{len(own)}",
                str(sum(solved(run, known) for run in own)),
                str(sum(run["status"] == "OPTIMAL" for run in own)),
                f"{shifted_geometric_mean([seconds(run, known) for run in own], shift):.3g}",
                f"{math.exp(statistics.fmean(map(math.log, ratios))):.3f}" if ratios else "-",
                f"{statistics.median(bytes_) / 1024:.1f}" if bytes_ else "-",
                f"{statistics.median(checks):.2g}" if checks else "-",
            ]
        )
    return rows


SUMMARY = ["method", "valid", "solved", "proved", "CPU s", "size / least", "certificate KiB", "CPU s to verify"]


def budgets(runs: Sequence[Line]) -> str:
    """The budget problem: tolerance reached, proved bound on it, their ratio."""
    rows = []
    for run in runs:
        reached, bound = run.get("tolerance"), run.get("tolerance_bound")
        gap = f"{100 * (reached / bound - 1):.2g} %" if reached and bound else "-"
        shown = ["-" if x is None else f"{x:.6g}" for x in (reached, bound)]
        rows.append([run["problem"], run["method"], run["size"], *shown, gap, f"{run.get('cpu') or 0:.2g}"])
    return table(["problem", "method", "size", "tolerance", "proved at least", "gap", "CPU s"], rows)


def profile(runs: Sequence[Line], methods: Sequence[str], path: Path) -> None:
    """Draw performance profiles: time to a solved problem, and size of valid sets."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = best(runs)
    problems = list(known)
    fastest = {
        problem: min((run["cpu"] for run in runs if run["problem"] == problem and solved(run, known)), default=math.inf)
        for problem in problems
    }
    last = 10 * max(
        (run["cpu"] / max(fastest[run["problem"]], 1e-3) for run in runs if solved(run, known)), default=1.0
    )
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for k, method in enumerate(methods):
        own = [run for run in runs if run["method"] == method]
        times = [max(run["cpu"], 1e-3) / max(fastest[run["problem"]], 1e-3) for run in own if solved(run, known)]
        sizes = [run["size"] / known[run["problem"]][0] for run in own if run.get("valid")]
        style = {
            "where": "post",
            "label": method,
            "linestyle": ("-", "--", ":", "-.")[k // 6 % 4],
            "color": f"C{k % 6}",
        }
        for axes, ratios in ((left, sorted(times)), (right, sorted(sizes))):
            share = [j / len(problems) for j in range(1, len(ratios) + 1)]
            axes.step([1.0, *ratios, last], [0.0, *share, share[-1] if share else 0.0], **style)
    left.set(
        xscale="log",
        xlabel="CPU seconds / those of the fastest",
        ylabel="share of problems",
        xlim=(1, last),
        ylim=(0, 1.02),
    )
    left.set_title("smallest size found (proved by some run)", fontsize=10)
    right.set(xlabel="size / least size known", xlim=(1, 2.5), ylim=(0, 1.02))
    right.set_title("sets that keep the tolerance at every weight", fontsize=10)
    figure.legend(*left.get_legend_handles_labels(), fontsize=8, loc="outside right center")
    figure.savefig(path, dpi=110)


def report(environments: Sequence[Line], runs: Sequence[Line], shift: float) -> str:
    """The whole comparison in markdown."""
    methods = list(dict.fromkeys(run["method"] for run in runs))
    covers = [run for run in runs if run["max_size"] is None]
    parts = []
    for line in environments:
        rest = ", ".join(f"{key} {value}" for key, value in line.items() if key not in ("command", "load"))
        parts.append(f"`{line['command']}` on a machine with load {line['load'][0]} at the start; {rest}")
    if covers:
        count = len({run["problem"] for run in covers})
        parts.append(
            f"{count} problems; CPU seconds: shifted geometric mean (shift {shift:g} s), unsolved at the time limit."
        )
        parts.append(
            table(SUMMARY, summary(covers, [m for m in methods if any(r["method"] == m for r in covers)], shift))
        )
        parts.append(
            "Bold: proved least by the run's own certificate; (>= b): the bound it proved; \\*: the set breaks the"
            " tolerance somewhere. Seconds are CPU seconds."
        )
        parts.append(by_problem(covers, methods))
    if len(covers) < len(runs):
        parts.append(budgets([run for run in runs if run["max_size"] is not None]))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="results of bench/run.py")
    parser.add_argument("--shift", type=float, default=1.0, help="seconds added before the geometric mean")
    parser.add_argument("--markdown", help="write the tables to this file; default: stdout")
    parser.add_argument("--plot", help="draw the performance profiles to this PNG file")
    options = parser.parse_args()
    environments, runs = read(options.files)
    text = report(environments, runs, options.shift)
    if options.markdown:
        Path(options.markdown).write_text(text)
    else:
        print(text, end="")
    if options.plot:
        methods = list(dict.fromkeys(run["method"] for run in runs))
        profile([run for run in runs if run["max_size"] is None], methods, Path(options.plot))


if __name__ == "__main__":
    main()
