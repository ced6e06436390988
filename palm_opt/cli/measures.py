"""Commands that measure and convert: metrics, baseline, export."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palm_opt.cli import options as opt
from palm_opt.cli.options import given
from palm_opt.cli.output import emit, emit_json, facts, short, table
from palm_opt.cli.results import said_of_rewards
from palm_opt.wording import at_most, number, plural, weight_text

if TYPE_CHECKING:
    from palm_opt.result import Metrics
    from palm_opt.tables.reading import File
    from palm_opt.tables.values import ValueMatrix

__all__ = ["baseline", "export", "metrics"]


class Kind(enum.StrEnum):
    """The paper's baselines."""

    UNIFORM = "uniform"
    RANDOM = "random"
    GRID = "grid"


@opt.reads_table
def metrics(
    values: opt.Values,
    members: opt.Members,
    rewards: opt.Rewards = None,
    id: opt.Id = None,
    scale: opt.ScaleText = None,
    cost: opt.Cost = None,
    form: opt.Form | None = None,
    json: opt.Json = False,
) -> None:
    """Measure a portfolio.

    Worst gaps over every preference (exact on the whole simplex), and how evenly its members are used.
    """
    import palm_opt

    matrix = opt.read_values(values, id, rewards, cost, scale, form)
    result = palm_opt.metrics(matrix, opt.candidates(matrix, members, "--members") or [])
    if json:
        emit_json({**metrics_document(result), "rewards": matrix.rewards, "scale": matrix.scale})
    else:
        print_metrics(matrix, result)


@opt.reads_table
def baseline(
    values: opt.Values,
    kind: Annotated[Kind, typer.Option(help="How the weights are chosen at which the best candidate is taken.")],
    size: Annotated[int | None, typer.Option(metavar="K", min=1, help="Number of members.")] = None,
    rewards: opt.Rewards = None,
    id: opt.Id = None,
    scale: opt.ScaleText = None,
    cost: opt.Cost = None,
    epsilon: Annotated[float | None, typer.Option(metavar="E", help="--kind grid: its relative tolerance.")] = None,
    delta: Annotated[float | None, typer.Option(metavar="D", help="--kind grid: its absolute tolerance.")] = None,
    seed: opt.Seed = None,
    form: opt.Form | None = None,
    json: opt.Json = False,
) -> None:
    """Choose a portfolio by a simple rule.

    The baselines of the PALM paper: the best candidates at uniform, random or grid weights; then measured.
    """
    import palm_opt

    matrix = opt.read_values(values, id, rewards, cost, scale, form)
    result = palm_opt.baseline(matrix, kind=kind.value, **given(size=size, epsilon=epsilon, delta=delta, seed=seed))
    measured = palm_opt.metrics(matrix, result.indices)
    if json:
        document: dict[str, Any] = {
            "kind": result.kind,
            "members": result.members,
            "indices": result.indices,
            "size": result.size,
            "calls": result.calls,
            "rewards": matrix.rewards,
            "scale": matrix.scale,
        }
        emit_json({**metrics_document(measured), **document})
    else:
        emit(f"{result.kind}: {plural(result.size, 'member')} from {plural(result.calls, 'weight')}")
        emit()
        print_metrics(matrix, measured)


@opt.reads_table
def export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Values, samples or scores: .csv, .parquet or .npz; a certificate.")
    ],
    subject: Annotated[
        Path | None, typer.Argument(metavar="[VALUES]", help="With --smt2: what the certificate FILE is about.")
    ] = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="As CSV with round-trip floats, for the standalone checker.")
    ] = False,
    mps: Annotated[
        bool, typer.Option("--mps", help="The master cover model as free-format MPS, for any exact solver.")
    ] = False,
    smt2: Annotated[
        bool, typer.Option("--smt2", help="The claim of a certificate as SMT-LIB: a solver must find it unsat.")
    ] = False,
    rewards: opt.Rewards = None,
    id: opt.Id = None,
    cost: opt.Cost = None,
    scale: opt.ScaleText = None,
    epsilon: opt.Epsilon = None,
    delta: opt.DefaultDelta = None,
    require: Annotated[str | None, typer.Option(metavar="A,B", help="Candidates that must be members.")] = None,
    forbid: Annotated[str | None, typer.Option(metavar="C", help="Candidates that may not be members.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For --mps: witness weights (CSV), or a certificate (.json) for its own."),
    ] = None,
    seed: opt.Seed = None,
    scores: Annotated[bool, typer.Option("--scores", help="FILE holds scores of responses, as plan reads.")] = False,
    wide: opt.Wide = False,
    prompt: Annotated[
        str | None, typer.Option(metavar="COL", help="Of scores or samples: the column of prompts.")
    ] = None,
    log_weight: Annotated[
        str | None, typer.Option(metavar="COL", help="With --scores: the column of log-weights.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write. Default: stdout.")] = None,
    form: opt.Form | None = None,
    json: opt.Json = False,
) -> None:
    """Convert values, samples or scores to CSV, or write a problem or a claim for other tools.

    CSV: the numbers read back exactly: the file that a certificate is checked against. MPS: the set cover over witness
    weights, whose optimum is a lower bound on the cost of a portfolio. With --weights CERTIFICATE.json the problem and
    the weights are the certificate's, and an exact solver finds at least its lower bound. SMT-LIB: what a certificate
    of kind exact claims, negated, in linear real arithmetic: z3, cvc5 and others confirm it by answering unsat.
    """
    from palm_opt.cli.master import claim_text, master_text
    from palm_opt.storage import atomic_path
    from palm_opt.tables.reading import File as Found

    if csv + mps + smt2 != 1:
        raise typer.BadParameter("say what to write: one of --csv, --mps and --smt2")
    if smt2 != (subject is not None):
        raise typer.BadParameter("--smt2 takes two files, a certificate and what it is about; --csv and --mps take one")
    opt.check_outputs(out)
    chosen = given(
        scale=scale, epsilon=epsilon, delta=delta, require=require, forbid=forbid, weights=weights, seed=seed
    )
    for name in () if mps else chosen:
        raise typer.BadParameter(f"--{name} goes with --mps; --csv writes the numbers, --smt2 the claim as they are")
    lines: Iterable[str]
    if csv:
        columns = {"rewards": rewards, "id": id, "cost": cost, "prompt": prompt, "log_weight": log_weight}
        lines, said, summary = _table(Found.find(file), columns, scores, wide, form or {})
    elif subject is not None:
        text, said = claim_text(subject, file)
        lines, summary = [text], f"the claim of {file}"
    else:
        text, said = master_text(file, given(rewards=rewards, id=id, cost=cost) | chosen, form)
        lines = [text]
        summary = f"{plural(said['columns'], 'column')} x {plural(said['rows'], 'row')}"
    if out:
        with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            stream.writelines(lines)
    if json:
        document = {**said, "out": out}
        emit_json(document if out else {**document, "csv" if csv else "mps" if mps else "smt2": "".join(lines)})
    elif out:
        emit(f"{summary} written to {out}")
    else:
        for part in lines:
            emit(part.removesuffix("\n"))


def _table(
    file: File, columns: dict[str, str | None], scores: bool, wide: bool, form: opt.Form
) -> tuple[Iterable[str], dict[str, Any], str]:
    """The lines of a table as CSV, what `--json` says of it, and what is said to people."""
    from palm_opt.cli.planning import read_scores
    from palm_opt.tables.reading import Format
    from palm_opt.tables.samples import Samples
    from palm_opt.tables.samples_files import holds_samples

    rewards = columns["rewards"]
    if scores:
        table = read_scores(file, rewards, columns["prompt"], None, columns["log_weight"], form=form, as_written=True)
        said = {"prompts": len(table.counts), "rows": table.rows, "rewards": table.rewards}
        shape = f"{len(table.counts)} prompts, {table.rows} responses x {table.d} rewards"
        return table.csv_lines(), said, shape
    if wide or holds_samples(file, Format(**form)):
        anything = (0.0, 1.0)  # the range plays no part in the file
        chosen = opt.names(rewards, "--rewards") or (None if wide else ["+"])
        named = given(prompt=columns["prompt"], candidate=columns["id"])
        samples = Samples.read(file, anything, chosen, **named, wide=wide, **form)
        said = {"candidates": samples.n, "prompts": len(samples.prompts), "rows": len(samples.rows)}
        shape = f"{len(samples.prompts)} prompts x {samples.n} candidates x {samples.d} rewards"
        return samples.csv_lines(), {**said, "rewards": samples.rewards}, shape
    matrix = opt.read_values(file, columns["id"], rewards, columns["cost"], None, form, as_written=True)
    said = {"candidates": matrix.n, "rewards": matrix.rewards, "id": matrix.id_column}
    return matrix.csv_lines(), said, f"{matrix.n} candidates x {matrix.d} rewards"


def metrics_document(result: Metrics) -> dict[str, Any]:
    """The JSON object of `metrics --json`."""
    from palm_opt import __version__

    return {
        "members": result.members,
        "multiplicative_gap": result.multiplicative_gap,
        "multiplicative_weight": result.multiplicative_weight,
        "additive_gap": result.additive_gap,
        "additive_weight": result.additive_weight,
        "usage": result.usage,
        "perplexity": result.perplexity,
        "perplexity_error": result.perplexity_error,
        "version": __version__,
    }


def print_metrics(values: ValueMatrix, result: Metrics) -> None:
    """Print the measures for people."""

    if result.multiplicative_gap is None or result.multiplicative_weight is None:
        relative = "no meaning: the best value is not positive everywhere"
    else:
        where = weight_text(result.multiplicative_weight, values.rewards)
        relative = f"{at_most(result.multiplicative_gap, 6)} at {where}"
    absolute = f"{at_most(result.additive_gap, 6)} at {weight_text(result.additive_weight, values.rewards)}"
    error = f" +- {number(result.perplexity_error, 2)}" if result.perplexity_error else ""
    emit(
        table(
            ["member", "serves"],
            [[short(m), f"{100 * u:.1f} %"] for m, u in zip(result.members, result.usage, strict=True)],
        )
    )
    emit()
    emit(
        facts(
            [
                ("worst multiplicative gap", relative),
                ("worst additive gap", absolute),
                ("usage perplexity", f"{number(result.perplexity)}{error} of {len(result.members)}"),
                ("rewards", said_of_rewards(values.rewards, values.scale)),
            ]
        )
    )
