"""What the commands that solve say: JSON objects and text for people."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palm_opt.cli.output import emit, facts, short, table
from palm_opt.storage import atomic_path
from palm_opt.wording import at_least, at_most, number, weight_text

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
    "said_of_rewards",
    "solve_document",
    "subject_file",
    "write_certificate",
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
        "scale": values.scale,
        "candidates": values.n,
        "backend": result.backend,
        "claimed_bound": result.claimed_bound,
        "seconds": result.seconds,
        "certificate": certificate,
        "subject": certificate and subject_file(values, certificate),
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
        "scale": values.scale,
        "candidates": values.n,
        "certificate": certificate,
        "subject": certificate and subject_file(values, certificate),
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
    from palm_opt.report.claims import headline, proof
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
        rows.append(("worst regret", f"{at_most(result.regret, 6)} at {where}"))
    units = "" if _as_measured(values).all() else "; values are in their own units (and on the scale)"
    rows.append(("rewards", said_of_rewards(values.rewards, values.scale) + units))
    rows.extend(proof(values, result))
    if isinstance(result, Result):
        rows.append(("stopped", f"{result.stop} after {result.seconds:.2f} s, backend {result.backend}"))
    emit(facts([*rows, *written]))


def member_table(values: ValueMatrix, indices: Sequence[int]) -> str:
    """The members with the share of preferences each serves best, their cost and their values: in their own units,
    and on the scale where that is another."""
    from palm_opt.report.claims import shares

    usage = shares(values, indices)
    shown = [name.removeprefix("-") for name in values.rewards[:8]]
    plain = _as_measured(values)
    header = ["member", "serves", "cost", *(short(name, 24 if values.d <= 4 else 16) for name in shown)]
    rows = [
        [
            short(values.names[i]),
            f"{100 * share:.1f} %",
            number(values.costs[i]),
            *(
                number(values.raw[i, k]) if plain[k] else f"{number(values.raw[i, k])} ({number(values.array[i, k])})"
                for k in range(len(shown))
            ),
        ]
        for i, share in zip(indices, usage, strict=True)
    ]
    return table(header, rows)


def _as_measured(values: ValueMatrix) -> Any:
    """Of which rewards the values on the scale are those measured."""
    return (values.array == values.raw).all(axis=0)


def said_of_rewards(rewards: Sequence[str], scale: Any) -> str:
    """Rewards with direction and scale: "safe, fun (higher is better), cost (lower is better); scale minmax".

    Where scales differ, each reward has its own beside it.
    """
    each = [scale] if isinstance(scale, str) else list(scale)
    words = [entry if isinstance(entry, str) else f"{entry[0]:g}:{entry[1]:g}" for entry in each]
    if len(set(words)) > 1:
        sides = ["lower" if name.startswith("-") else "higher" for name in rewards]
        rows = zip(rewards, sides, words, strict=True)
        return ", ".join(f"{short(name.removeprefix('-'), 24)} ({b} is better, scale {w})" for name, b, w in rows)
    parts = []
    for sign, better in (("", "higher"), ("-", "lower")):
        names = [short(name.removeprefix("-"), 24) for name in rewards if name.startswith("-") == bool(sign)]
        parts += [f"{', '.join(names)} ({better} is better)"] if names else []
    return f"{', '.join(parts)}; scale {words[0]}"


def subject_file(subject: Any, certificate: Path) -> Path | None:
    """The CSV beside a certificate to check it against, where no checker reads the file it came from as it stands."""
    return None if subject.plain else certificate.with_name(f"{certificate.name}.csv")


def write_certificate(subject: Any, file: Path, found: Any, certificate: Path | None) -> Path:
    """Write a result's certificate, if it has one, and its subject where that is needed; the file to check with."""
    if certificate is None or found.certificate is None:
        return file
    found.certificate.write(certificate)
    beside = subject_file(subject, certificate)
    if beside is None:
        return file
    with atomic_path(beside) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        stream.writelines(subject.csv_lines())
    return beside


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


def print_frontier(values: ValueMatrix, results: Sequence[Result], vary: str) -> None:
    """Print the frontier for people."""
    rows = []
    for result in results:
        bound = result.tolerance_lower_bound
        members = ", ".join(short(name, 24) for name in result.members[:6]) + (", ..." if result.size > 6 else "")
        least = "-" if bound is None else at_least(bound, 5)
        reached = at_most(getattr(result, vary), 5) if result.indices else "-"
        rows.append([result.info.get("max_size", result.size), reached, least, result.status.value, members])
    emit(table(["size", f"least {vary}", "proved at least", "status", "members"], rows, left=0, last_left=True))
    emit()
    emit(facts([("rewards", said_of_rewards(values.rewards, values.scale))]))


_WORK = ("rounds", "rows", "lps", "pivots", "nodes", "backend_calls", "backend_nodes")  # of `Result.info`


def print_comparison(rows: Sequence[dict[str, Any]]) -> None:
    """Print the comparison of the backends for people: what each found and proved, and the work it took."""
    good = [row for row in rows if "error" not in row]
    work = [name for name in _WORK if any(row["info"].get(name) for row in good)]
    cells = []
    for row in good:
        claimed = "-" if row["claimed_bound"] is None else at_least(row["claimed_bound"])
        size = row["certificate_bytes"]
        cells.append(
            [
                row["backend"],
                row["size"],
                at_most(row["cost"]) if row["size"] else "-",
                at_least(row["lower_bound"]) if row["lower_bound"] > 0 else "-",
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
