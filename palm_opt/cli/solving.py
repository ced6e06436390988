"""Commands that solve and check: solve, certify, verify, frontier, compare."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palm_opt.cli import options as opt
from palm_opt.cli.options import given
from palm_opt.cli.output import emit, emit_json
from palm_opt.cli.results import (
    certify_document,
    notes,
    point,
    print_comparison,
    print_frontier,
    print_result,
    solve_document,
    write_certificate,
)
from palm_opt.wording import at_least, at_most, plural

if TYPE_CHECKING:
    from palm_opt.result import Certified, Result
    from palm_opt.tables.values import ValueMatrix

__all__ = ["certify", "compare", "frontier", "solve", "verify"]

CertificateFile = Annotated[Path | None, typer.Option("--certificate", metavar="FILE", help="Write the certificate.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw a figure: .png, .svg or .pdf.")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write a self-contained HTML report.")
]
Backend = Annotated[str | None, typer.Option(metavar="B", help="Backend that proposes portfolios.")]


@opt.reads_table
def solve(
    values: opt.Values,
    rewards: opt.Rewards = None,
    id: opt.Id = None,
    scale: opt.ScaleText = None,
    cost: opt.Cost = None,
    epsilon: opt.Epsilon = None,
    delta: opt.DefaultDelta = None,
    max_size: Annotated[int | None, typer.Option(metavar="K", min=1, help="At most K members; see --vary.")] = None,
    vary: Annotated[
        opt.Vary | None, typer.Option(help="With --max-size: the tolerance to minimise. Default: delta.")
    ] = None,
    require: Annotated[str | None, typer.Option(metavar="A,B", help="Candidates that must be members.")] = None,
    forbid: Annotated[str | None, typer.Option(metavar="C", help="Candidates that may not be members.")] = None,
    warm_start: Annotated[str | None, typer.Option(metavar="A,B", help="A known portfolio to start from.")] = None,
    backend: Backend = None,
    time_limit: opt.TimeLimit = None,
    seed: opt.Seed = None,
    threads: opt.Threads = None,
    certificate: CertificateFile = None,
    plot: PlotFile = None,
    report: ReportFile = None,
    form: opt.Form | None = None,
    json: opt.Json = False,
) -> None:
    """Find the smallest portfolio, with proof.

    The members serve every preference nearly as well as the best candidate for that preference alone.
    """
    import palm_opt

    check_outputs(certificate, plot, report)
    if vary is not None or max_size is not None:
        opt.check_vary(vary or opt.Vary.DELTA, epsilon, delta)
    matrix = opt.read_values(values, id, rewards, cost, scale, form)
    chosen = given(
        epsilon=epsilon,
        delta=delta,
        max_size=max_size,
        vary=None if vary is None else vary.value,
        require=opt.candidates(matrix, require, "--require"),
        forbid=opt.candidates(matrix, forbid, "--forbid"),
        warm_start=opt.candidates(matrix, warm_start, "--warm-start"),
        backend=backend,
    )
    settings = palm_opt.Settings(**given(time_limit=time_limit, seed=seed, threads=threads))
    with Bar("solve") as bar:
        result = palm_opt.solve(matrix, **chosen, settings=settings, callback=bar.update)
    about = write_certificate(matrix, values, result, certificate)
    written = certificate if result.certificate is not None else None
    draw(matrix, result, plot, report)
    if json:
        emit_json(solve_document(matrix, result, written))
    else:
        print_result(matrix, result, notes(about, result, certificate, plot, report))
    if result.stop == "INTERRUPTED":
        raise typer.Exit(130)
    if not result.indices:
        raise typer.Exit(1)


@opt.reads_table
def certify(
    values: opt.Values,
    members: opt.Members,
    rewards: opt.Rewards = None,
    id: opt.Id = None,
    scale: opt.ScaleText = None,
    cost: opt.Cost = None,
    epsilon: opt.Epsilon = None,
    delta: opt.Delta = None,
    certificate: CertificateFile = None,
    report: ReportFile = None,
    form: opt.Form | None = None,
    json: opt.Json = False,
) -> None:
    """Prove what given members achieve.

    Finds the least delta (at --epsilon) or the least epsilon (at --delta) that they keep for every preference.
    """
    import palm_opt

    if epsilon is not None and delta is not None:
        raise typer.BadParameter("give --epsilon or --delta, not both: the other one is found")
    check_outputs(certificate, None, report)
    matrix = opt.read_values(values, id, rewards, cost, scale, form)
    chosen = opt.candidates(matrix, members, "--members") or []
    known = given(epsilon=epsilon, delta=delta) or {"epsilon": 0.0}
    result = palm_opt.certify(matrix, chosen, **known)
    about = write_certificate(matrix, values, result, certificate)
    draw(matrix, result, None, report)
    if json:
        emit_json(certify_document(matrix, result, certificate))
    else:
        print_result(matrix, result, notes(about, result, certificate, None, report))


def verify(
    certificate: Annotated[Path, typer.Argument(metavar="CERTIFICATE", help="Certificate file (JSON).")],
    values: opt.Values,
    json: opt.Json = False,
) -> None:
    """Check a certificate of any kind.

    No solver is used. The last line is VERIFIED and what was proved, or NOT VERIFIED and the first claim that fails.
    """
    from palm_opt import checker

    try:
        document = checker.read_certificate(certificate)
        verified = checker.check(document, read_problem(values, document))
    except checker.InvalidCertificate as error:
        if json:
            emit_json({"verified": False, "error": str(error)})
        else:
            emit(f"NOT VERIFIED: {' '.join(str(error).split())}")
        raise typer.Exit(1) from None
    if json:
        emit_json(verified.as_dict())
    else:
        for line in (*verified.statement, str(verified)):
            emit(line)


@opt.reads_table
def frontier(
    values: opt.Values,
    rewards: opt.Rewards = None,
    id: opt.Id = None,
    scale: opt.ScaleText = None,
    cost: opt.Cost = None,
    vary: Annotated[opt.Vary | None, typer.Option(help="The tolerance to minimise at each size.")] = None,
    max_size: Annotated[int | None, typer.Option(metavar="K", min=1, help="Largest size.")] = None,
    epsilon: opt.Epsilon = None,
    delta: opt.Delta = None,
    backend: Backend = None,
    time_limit: opt.TimeLimit = None,
    seed: opt.Seed = None,
    threads: opt.Threads = None,
    plot: PlotFile = None,
    form: opt.Form | None = None,
    json: opt.Json = False,
) -> None:
    """Show what each further member buys.

    For every size up to --max-size, the least tolerance that a portfolio of that size reaches.
    """
    import palm_opt

    check_outputs(None, plot, None)
    kind = vary or opt.Vary.DELTA
    opt.check_vary(kind, epsilon, delta)
    matrix = opt.read_values(values, id, rewards, cost, scale, form)
    settings = palm_opt.Settings(**given(time_limit=time_limit, seed=seed, threads=threads))
    chosen = given(max_size=max_size, epsilon=epsilon, delta=delta, backend=backend)
    results = palm_opt.frontier(matrix, vary=kind.value, **chosen, settings=settings)
    if plot:
        from palm_opt.report import write_frontier

        write_frontier(plot, results, kind.value)
    if json:
        emit_json(
            {
                "vary": kind.value,
                "rewards": matrix.rewards,
                "scale": matrix.scale,
                "points": [point(result) for result in results],
            }
        )
    else:
        print_frontier(matrix, results, kind.value)
    if any(result.stop == "INTERRUPTED" for result in results):
        raise typer.Exit(130)


@opt.reads_table
def compare(
    values: opt.Values,
    rewards: opt.Rewards = None,
    id: opt.Id = None,
    scale: opt.ScaleText = None,
    cost: opt.Cost = None,
    epsilon: opt.Epsilon = None,
    delta: opt.DefaultDelta = None,
    require: Annotated[str | None, typer.Option(metavar="A,B", help="Candidates that must be members.")] = None,
    forbid: Annotated[str | None, typer.Option(metavar="C", help="Candidates that may not be members.")] = None,
    backends: Annotated[str | None, typer.Option(metavar="A,B", help="Backends to compare. Default: all.")] = None,
    time_limit: opt.TimeLimit = None,
    seed: opt.Seed = None,
    threads: opt.Threads = None,
    form: opt.Form | None = None,
    json: opt.Json = False,
) -> None:
    """Solve with every backend.

    One problem, every installed backend: size, proved bound, claimed bound, seconds, work.
    """
    import palm_opt
    from palm_opt.solver.backends import backends as registered
    from palm_opt.solver.backends import load

    matrix = opt.read_values(values, id, rewards, cost, scale, form)
    settings = palm_opt.Settings(**given(time_limit=time_limit, seed=seed, threads=threads))
    problem = given(
        epsilon=epsilon,
        delta=delta,
        require=opt.candidates(matrix, require, "--require"),
        forbid=opt.candidates(matrix, forbid, "--forbid"),
    )
    chosen = opt.names(backends, "--backends") or list(registered())
    for name in set(chosen) - set(registered()):
        load(name)  # raises: no such backend
    rows: list[dict[str, Any]] = []
    interrupted = False
    for name in chosen:
        try:
            result = palm_opt.solve(matrix, backend=name, settings=settings, **problem)
        except (palm_opt.BackendNotFound, palm_opt.BackendError) as error:
            rows.append({"backend": name, "status": "ERROR", "error": str(error)})
            continue
        rows.append({**solve_document(matrix, result, None), "certificate_bytes": certificate_bytes(result)})
        interrupted = result.stop == "INTERRUPTED"
        if interrupted:
            break
    if json:
        emit_json({"results": rows})
    else:
        print_comparison(rows)
    if interrupted:
        raise typer.Exit(130)


def certificate_bytes(result: Result) -> int | None:
    """Size of a result's certificate as a file."""
    import json

    if result.certificate is None:
        return None
    return len(json.dumps(result.certificate, separators=(",", ":")).encode()) + 1


class Bar:
    """A progress line on stderr while a solve runs; silent unless stderr is a terminal."""

    def __init__(self, what: str) -> None:
        from tqdm import tqdm

        self.line: Any = tqdm(
            desc=what, unit=" rounds", disable=None, leave=False, bar_format="{desc} {elapsed}{postfix}"
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def update(self, progress: Any) -> None:
        """Show the state of the solve (callback of `palm_opt.solve`)."""
        if not self.line.disable:
            found = "none yet"
            if size := len(progress.incumbent):
                found = f"{plural(size, 'member')} of cost {at_most(progress.cost)}"
            proved = f", at least {at_least(progress.lower_bound)} needed" if progress.lower_bound > 0 else ""
            self.line.set_postfix_str(f"round {progress.rounds}: {found}{proved}")


def check_outputs(certificate: Path | None, plot: Path | None, report: Path | None) -> None:
    """Refuse output files that cannot be written, and missing plot libraries, before a long solve."""
    opt.check_outputs(certificate, plot, report)
    if plot is not None and plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise typer.BadParameter(f"--plot: expected a .png, .svg or .pdf file, got {plot}")
    if plot is not None or report is not None:
        from palm_opt.report import require_plot_libraries

        require_plot_libraries()


def read_problem(values: Path, document: Any) -> Any:
    """Read what a certificate speaks of; CSV without anything but the checker; "-" is a CSV on stdin."""
    if str(values) == "-":
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
            return read_problem(Path(file.name), document)
    if values.suffix.lower() not in (".parquet", ".npz"):
        from palm_opt.checker import read_subject
    else:
        from palm_opt.solver.certify import read_subject
    return read_subject(values, document)


def draw(values: ValueMatrix, result: Result | Certified, plot: Path | None, report: Path | None) -> None:
    """Write the figure and the report that were asked for."""
    if plot or report:
        from palm_opt.report import quick_frontier, write_plot, write_report

        if plot:
            write_plot(plot, values, result)
        if report:
            write_report(report, values, result, quick_frontier(values, result))
