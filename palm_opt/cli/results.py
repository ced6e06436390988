"""What the commands that solve say: JSON objects and text for people."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palm_opt.cli.output import emit, facts, short, table

if TYPE_CHECKING:
    from palm_opt.result import Certified, Result
    from palm_opt.tables.values import ValueMatrix

__all__ = [
    "certify_document",
    "notes",
    "point",
    "print_comparison",
    "print_frontier",
    "print_result",
    "solve_document",
]


def solve_document(values: ValueMatrix, result: Result, certificate: Path | None) -> dict[str, Any]:
    """The JSON object of `solve --json`."""
    from palm_opt import __version__

    return {
        "status": result.status,
        "stop": result.stop,
        "message": result.message,
        "members": result.members,
        "indices": result.indices,
        "size": result.size,
        "cost": result.cost,
        "lower_bound": result.lower_bound,
        "gap": result.gap,
        "epsilon": result.epsilon,
        "delta": result.delta,
        "tolerance": result.tolerance,
        "tolerance_lower_bound": result.tolerance_lower_bound,
        "regret": result.regret,
        "worst_weight": result.worst_weight,
        "rewards": values.rewards,
        "candidates": values.n,
        "backend": result.backend,
        "claimed_bound": result.claimed_bound,
        "seconds": result.seconds,
        "certificate": certificate,
        "info": result.info,
        "version": __version__,
    }


def certify_document(values: ValueMatrix, result: Certified, certificate: Path | None) -> dict[str, Any]:
    """The JSON object of `certify --json`."""
    from palm_opt import __version__

    return {
        "members": result.members,
        "indices": result.indices,
        "size": result.size,
        "cost": result.cost,
        "epsilon": result.epsilon,
        "delta": result.delta,
        "regret": result.regret,
        "worst_weight": result.worst_weight,
        "rewards": values.rewards,
        "candidates": values.n,
        "certificate": certificate,
        "version": __version__,
    }


def point(result: Result) -> dict[str, Any]:
    """One point of `frontier --json`."""
    return {
        "size": result.size,
        "max_size": result.info.get("max_size", result.size),
        "members": result.members,
        "indices": result.indices,
        "epsilon": result.epsilon,
        "delta": result.delta,
        "lower_bound": result.lower_bound,
        "tolerance": result.tolerance,
        "tolerance_lower_bound": result.tolerance_lower_bound,
        "status": result.status,
        "stop": result.stop,
        "regret": result.regret,
        "worst_weight": result.worst_weight,
        "seconds": result.seconds,
    }


def print_result(values: ValueMatrix, result: Result | Certified, written: Sequence[tuple[str, str]] = ()) -> None:
    """Print a portfolio for people: the headline, its members, what is proved, and the files `written`."""
    from palm_opt.report.wording import headline, number, proof, weight_text
    from palm_opt.result import Result

    status = getattr(result, "status", "CERTIFIED")
    emit(f"{status}: {headline(values, result)}")
    emit()
    if result.indices:
        emit(member_table(values, result.indices))
        emit()
    rows = []
    if result.indices:
        where = weight_text(result.worst_weight, values.rewards)
        rows.append(("worst regret", f"{number(result.regret, 6)} at {where}"))
    scale = values.scale if isinstance(values.scale, str) else ", ".join(f"{a:g}:{b:g}" for a, b in values.scale)
    rows.append(("rewards", f"{', '.join(short(name, 24) for name in values.rewards)}; scale {scale}"))
    rows.extend(proof(values, result))
    if isinstance(result, Result):
        rows.append(("stopped", f"{result.stop} after {result.seconds:.2f} s, backend {result.backend}"))
    emit(facts([*rows, *written]))


def member_table(values: ValueMatrix, indices: Sequence[int]) -> str:
    """The members with the share of preferences each serves best, their cost and their values."""
    from palm_opt.report.wording import number, shares

    usage = shares(values, indices)
    shown = values.rewards[:8]
    header = ["member", "serves", "cost", *(short(name, 24 if values.d <= 4 else 16) for name in shown)]
    rows = [
        [
            short(values.names[i]),
            f"{100 * share:.1f} %",
            number(values.costs[i]),
            *map(number, values.array[i, : len(shown)]),
        ]
        for i, share in zip(indices, usage, strict=True)
    ]
    return table(header, rows)


def notes(
    values: Path, result: Result | Certified, certificate: Path | None, plot: Path | None, report: Path | None
) -> list[tuple[str, str]]:
    """Say which files were written and how to check the certificate."""
    rows = []
    if certificate and result.certificate is None:
        rows.append(("certificate", "not written: nothing is proved"))
    elif certificate:
        check = shlex.join(["palm-opt", "verify", str(certificate), str(values)])
        rows.append(("certificate", f"{certificate}; to check it: {check}"))
    rows.extend((what, str(path)) for what, path in (("plot", plot), ("report", report)) if path)
    return rows


def print_frontier(results: Sequence[Result], vary: str) -> None:
    """Print the frontier for people."""
    from palm_opt.report.wording import at_least, at_most

    rows = []
    for result in results:
        bound = result.tolerance_lower_bound
        members = ", ".join(short(name, 24) for name in result.members[:6]) + (", ..." if result.size > 6 else "")
        least = "-" if bound is None else at_least(bound, 5)
        reached = at_most(getattr(result, vary), 5) if result.indices else "-"
        rows.append([result.info.get("max_size", result.size), reached, least, result.status.value, members])
    emit(table(["size", f"least {vary}", "proved at least", "status", "members"], rows, left=0, last_left=True))


_WORK = ("rounds", "rows", "lps", "pivots", "nodes", "backend_calls", "backend_nodes")  # of `Result.info`


def print_comparison(rows: Sequence[dict[str, Any]]) -> None:
    """Print the comparison of the backends for people: what each found and proved, and the work it took."""
    from palm_opt.report.wording import at_least, number

    good = [row for row in rows if "error" not in row]
    work = [name for name in _WORK if any(row["info"].get(name) for row in good)]
    cells = []
    for row in good:
        claimed = "-" if row["claimed_bound"] is None else number(row["claimed_bound"])
        size = row["certificate_bytes"]
        cells.append(
            [
                row["backend"],
                row["size"],
                number(row["cost"]),
                at_least(row["lower_bound"]),
                claimed,
                row["status"].value,
                f"{row['seconds']:.2f}",
                "-" if size is None else f"{size / 1024:.1f}",
                *(row["info"].get(name, "-") for name in work),
            ]
        )
    header = ["backend", "size", "cost", "proved bound", "claimed", "status", "seconds", "proof KiB"]
    emit(table([*header, *(name.replace("_", " ") for name in work)], cells))
    for row in rows:
        if "error" in row:
            emit(f"  {row['backend']}: {row['error']}")
