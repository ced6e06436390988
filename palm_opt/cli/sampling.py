"""The command about samples of many prompts: certify-samples."""

from __future__ import annotations

import enum
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palm_opt.cli import options as opt
from palm_opt.cli.options import given
from palm_opt.cli.output import emit, emit_json, facts, short, table
from palm_opt.cli.results import said_of_rewards, subject_file, write_certificate
from palm_opt.cli.solving import CertificateFile, check_outputs
from palm_opt.wording import at_most, confidence, number, served, serving

if TYPE_CHECKING:
    from palm_opt.statistics.certify_samples import CertifiedSamples
    from palm_opt.tables.samples import Samples

__all__ = ["certify_samples"]


class Method(enum.StrEnum):
    """The confidence bound."""

    BETTING = "betting"
    BERNSTEIN = "bernstein"
    HOEFFDING = "hoeffding"


class Units(enum.StrEnum):
    """The units of delta."""

    NONE = "none"
    RANGES = "ranges"


@opt.reads_table
def certify_samples(
    file: Annotated[
        Path,
        typer.Argument(metavar="SAMPLES", help="One row a generation (.parquet, .csv, - for stdin), or arrays (.npz)."),
    ],
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="LO:HI", help="Declared bounds of the rewards: one for all, or one each."),
    ] = None,
    rewards: Annotated[
        str | None, typer.Option(metavar="A,B", help="Reward columns. Default: the numeric ones but generation and kl.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(metavar="COL", help="Column of prompts. Default: prompt.")] = None,
    id: Annotated[
        str | None,
        typer.Option("--id", metavar="COL", help="Column of candidates. Default: candidate, member or policy."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of clusters of related prompts. Default: cluster, if any.")
    ] = None,
    wide: opt.Wide = False,
    scale: Annotated[
        Units | None, typer.Option(help="Units of delta: those of the rewards, or of their ranges.")
    ] = None,
    members: Annotated[
        str | None, typer.Option(metavar="X,Y", help="A portfolio fixed in advance. Default: chosen on one half.")
    ] = None,
    max_size: Annotated[int | None, typer.Option(metavar="K", min=1, help="At most K members are chosen.")] = None,
    epsilon: opt.Epsilon = None,
    alpha: Annotated[float | None, typer.Option(metavar="A", help="Probability of a false certificate.")] = None,
    split: Annotated[float | None, typer.Option(metavar="F", help="Share of the prompts that chooses.")] = None,
    method: Annotated[Method | None, typer.Option(help="Confidence bound.")] = None,
    simultaneous: Annotated[
        bool, typer.Option("--simultaneous", help="Bounds for all candidates at once; delta does not need them.")
    ] = False,
    look: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="The number of this look at the same prompts: 1, 2, ...")
    ] = None,
    ledger: Annotated[Path | None, typer.Option(metavar="FILE", help="Count the looks in this file.")] = None,
    target: Annotated[
        float | None, typer.Option(metavar="D", help="Say how many prompts this delta would take. Default: half.")
    ] = None,
    seed: opt.Seed = None,
    time_limit: opt.TimeLimit = None,
    certificate: CertificateFile = None,
    form: opt.Form | None = None,
    json: opt.Json = False,
) -> None:
    """Certify a portfolio for all prompts like these.

    One half of the prompts chooses the members, the other half certifies delta with confidence 1 - alpha.
    """
    import palm_opt

    check_outputs(certificate, None, None)
    reading = given(prompt=prompt, candidate=id, cluster=cluster, scale=None if scale is None else scale.value)
    chosen = opt.names(rewards, "--rewards")
    samples = palm_opt.Samples.read(file, _ranges(ranges), chosen, **reading, wide=wide, **(form or {}))
    opt.warn_of_units(samples.rewards, samples.scale, samples.low, samples.high)
    result = palm_opt.certify_samples(
        samples,
        members=opt.names(members, "--members"),
        max_size=max_size,
        look=look,
        ledger=None if ledger is None else palm_opt.Ledger(ledger),
        simultaneous=simultaneous,
        settings=palm_opt.Settings(**given(time_limit=time_limit, seed=seed)),
        **given(epsilon=epsilon, alpha=alpha, split=split, seed=seed, method=None if method is None else method.value),
    )
    about = write_certificate(samples, file, result, certificate)
    goal = result.delta / 2 if target is None else target
    needed = result.prompts_needed(goal)
    if json:
        document = {**_document(result, certificate), "rewards": samples.rewards, "scale": samples.scale}
        document["subject"] = certificate and subject_file(samples, certificate)
        emit_json({**document, "prompts_needed": {"delta": goal, "prompts": needed}})
    else:
        _print(samples, about, result, goal, needed, certificate)


def _ranges(texts: list[str] | None) -> Any:
    """Read LO:HI, once for all rewards or once each, also with commas between."""
    if not texts:
        return None
    pairs = []
    for text in ",".join(texts).split(","):
        low, _, high = text.partition(":")
        try:
            pairs.append((float(low), float(high)))
        except ValueError:
            raise typer.BadParameter(f"--range: expected LO:HI, got {text!r}") from None
    return pairs[0] if len(pairs) == 1 else pairs


def _document(result: CertifiedSamples, certificate: Path | None) -> dict[str, Any]:
    """The JSON object of `certify-samples --json`."""
    from palm_opt import __version__

    return {
        "members": result.members,
        "indices": result.indices,
        "size": result.size,
        "epsilon": result.epsilon,
        "delta": result.delta,
        "alpha": result.alpha,
        "level": result.level,
        "method": result.method,
        "look": result.look,
        "simultaneous": result.simultaneous,
        "worst": dict(zip(("candidate", "reward"), result.worst, strict=True)),
        "estimate": result.estimate,
        "selection": result.selection,
        "certification": result.certification,
        "clipped": result.clipped,
        "certificate": certificate,
        "version": __version__,
    }


def _print(
    samples: Samples, file: Path, result: CertifiedSamples, goal: float, needed: float, certificate: Path | None
) -> None:
    """Print the certificate for people."""

    kept, sure = served(result.epsilon, result.delta), confidence(result.alpha, 100)
    emit(f"CERTIFIED: {serving(result.size, samples.n)} {kept}, confidence {sure} %.")
    emit()
    means = samples.values().array
    rows = [[short(samples.names[i]), *map(number, means[i, :8])] for i in result.indices]
    emit(table(["member", *(short(name, 24) for name in samples.rewards[:8])], rows))
    emit()
    unit = "prompts" if samples.clusters is None else "clusters"
    many = f"about {needed:,.0f} certification {unit}"
    if not math.isfinite(needed):
        many = f"no number of {unit} like these would do"
    notes = [
        ("delta", f"{at_most(result.delta, 6)}; epsilon {at_most(result.epsilon)}, {result.method} bound"),
        ("without confidence", f"{number(result.estimate, 6)} on the certification half: no promise"),
        ("rewards", said_of_rewards(samples.rewards, samples.scale)),
        ("decided by", f"candidate {short(result.worst[0])}, reward {short(result.worst[1])}"),
        (unit, f"{result.selection} chose, {result.certification} certified"),
        (f"for delta {number(goal)}", f"{many}, an estimate"),
    ]
    if result.look:
        notes.append(("look", f"{result.look}, at level {at_most(result.level)}"))
    if any(result.clipped.values()):
        told = ", ".join(f"{name} {count}" for name, count in result.clipped.items() if count)
        notes.append(("clipped", f"{told} of {len(samples.rows)} each; the promise is about clipped rewards"))
    if certificate:
        check = shlex.join(["palm-opt", "verify", str(certificate), str(file)])
        notes.append(("certificate", f"{certificate}; to check it: {check}"))
    emit(facts(notes))
