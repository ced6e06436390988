"""The command about scores of reference responses: plan."""

from __future__ import annotations

import enum
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palm_opt.cli import options as opt
from palm_opt.cli.options import given
from palm_opt.cli.output import emit, emit_json, facts, short, table
from palm_opt.cli.results import said_of_rewards, subject_file, write_certificate
from palm_opt.wording import at_most, number, plural, promise, served, weight_text

if TYPE_CHECKING:
    from palm_opt.planning.planned import Plan
    from palm_opt.tables.reading import File
    from palm_opt.tables.scores import RewardTable

__all__ = ["plan", "read_scores"]

Scores = Annotated[
    Path, typer.Argument(metavar="SCORES", help="Scores of reference responses: .npz, .parquet, .csv; - for stdin.")
]


class Strategy(enum.StrEnum):
    """How weights are chosen."""

    ADAPTIVE = "adaptive"
    GRID = "grid"
    LAZY_GRID = "lazy-grid"
    UNIFORM = "uniform"
    RANDOM = "random"


@opt.reads_table
def plan(
    scores: Scores,
    beta: Annotated[float | None, typer.Option(metavar="B", help="KL penalty, scaled reward per nat.")] = None,
    epsilon: opt.Epsilon = None,
    delta: opt.DefaultDelta = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write plan.json, for align.")] = None,
    rewards: opt.Rewards = None,
    prompt: Annotated[str | None, typer.Option(metavar="COL", help="Column of prompts. Default: prompt.")] = None,
    response: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of responses, not read. Default: response, if any.")
    ] = None,
    log_weight: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of reference log-weights. Default: log_weight, if any.")
    ] = None,
    scale: opt.ScaleText = None,
    strategy: Annotated[Strategy | None, typer.Option(help="How weights are chosen.")] = None,
    resolution: Annotated[
        int | None, typer.Option(metavar="H", min=1, help="For the grids: the lattice of multiples of 1 / H.")
    ] = None,
    refine: Annotated[
        float | None, typer.Option(metavar="F", help="Search on to tolerances / F, for fewer members; 1: do not.")
    ] = None,
    max_calls: Annotated[int | None, typer.Option(metavar="N", min=1, help="Weights to evaluate at most.")] = None,
    time_limit: Annotated[
        float | None, typer.Option(metavar="S", help="Seconds for choosing the fewest members.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also search with every strategy, and print how they fare.")
    ] = False,
    seed: opt.Seed = None,
    threads: opt.Threads = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE", help="Write the certificate.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw who serves whom (with --compare: gap against calls)."),
    ] = None,
    form: opt.Form | None = None,
    json: opt.Json = False,
) -> None:
    """Choose the weights to train before training.

    From scores of reference responses alone: the fewest weights whose KL-regularised optimal policies serve every
    preference, by the closed form.
    """
    import palm_opt
    from palm_opt.cli.solving import check_outputs

    check_outputs(certificate, plot, None)
    opt.check_outputs(out)
    loaded = read_scores(scores, rewards, prompt, response, log_weight, scale, form)
    name = strategy.value if strategy else "adaptive"
    common = given(beta=beta, epsilon=epsilon, delta=delta, seed=seed, threads=threads, time_limit=time_limit)
    limits = given(resolution=resolution, max_calls=max_calls)
    own = {key: limit for key, limit in limits.items() if not (compare and strategy is None and key == "resolution")}
    with _Bar(name) as bar:
        found = palm_opt.plan(loaded, strategy=name, **common, **own, **given(refine=refine), progress=bar.update)
    rivals = _compare(loaded, common, limits, found.calls) if compare and found.stop != "INTERRUPTED" else []
    if out:
        found.write(out)
    about = write_certificate(loaded, scores, found, certificate)
    if plot:
        from palm_opt.report import write_gaps, write_plan

        if rivals:
            write_gaps(plot, {each.strategy: each.gaps for each in rivals}, found.delta)
        else:
            write_plan(plot, found)
    made = certificate if found.certificate is not None else None
    written = {"out": out, "certificate": made, "subject": made and subject_file(loaded, made), "plot": plot}
    if json:
        emit_json(_document(found, written, rivals))
    else:
        _print(found, about, written)
        if rivals:
            emit()
            _print_comparison(rivals)
    if "INTERRUPTED" in (found.stop, *(each.stop for each in rivals)):
        raise typer.Exit(130)
    if not found.kept:
        raise typer.Exit(1)


_LEAST_CALLS = 300  # what the baselines of a comparison may always evaluate
_LATTICE = 10  # resolution of their grids from three rewards on


def _compare(loaded: RewardTable, common: dict[str, Any], limits: dict[str, Any], calls: int) -> list[Plan]:
    """Every strategy until the promise is certified; the baselines, which may never get there, for a limited time."""
    import palm_opt

    plans = []
    for strategy in Strategy:
        options = {"max_calls": max(_LEAST_CALLS, 10 * calls)} | limits
        if strategy in ("adaptive", "random"):
            options.pop("resolution", None)
        elif strategy in ("grid", "lazy-grid") and loaded.d > 2:
            options.setdefault("resolution", _LATTICE)  # the hybrid grid has many thousands of weights
        with _Bar(strategy.value) as bar:
            plan = palm_opt.plan(loaded, strategy=strategy.value, refine=1, **common, **options, progress=bar.update)
        plans.append(plan)
        if plan.stop == "INTERRUPTED":
            break
    return plans


class _Bar:
    """A progress line on stderr, on a terminal only."""

    def __init__(self, what: str) -> None:
        from tqdm import tqdm

        self.line: Any = tqdm(
            desc=what, unit=" calls", disable=None, leave=False, bar_format="{desc} {elapsed}{postfix}"
        )

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def update(self, calls: int, gap: float) -> None:
        """Show where the search is (progress of `palm_opt.plan`)."""
        if not self.line.disable:
            known = f", gap {at_most(gap)}" if math.isfinite(gap) else ""
            self.line.set_postfix_str(f"{plural(calls, 'call')}{known}")


def read_scores(
    path: Path | File,
    rewards: str | None,
    prompt: str | None = None,
    response: str | None = None,
    log_weight: str | None = None,
    scale: str | None = None,
    form: opt.Form | None = None,
    as_written: bool = False,
) -> RewardTable:
    """Read a file of scores as the options say; arguments as of `options.read_values`."""
    import palm_opt
    from palm_opt.errors import ProblemError

    chosen = opt.names(rewards, "--rewards") or (["+"] if as_written else None)
    columns = given(rewards=chosen, prompt=prompt, response=response, log_weight=log_weight, scale=opt.scale(scale))
    try:
        loaded = palm_opt.RewardTable.read(path, **columns, **(form or {}))
    except ProblemError as error:
        if rewards is None and opt.of_a_column(error):
            raise ProblemError(
                f"{error}; name the reward columns with --rewards, or its role with --response"
            ) from None
        raise
    if not as_written:
        opt.warn_of_units(loaded.rewards, loaded.scale, *loaded.ends)
    return loaded


def _document(found: Plan, written: dict[str, Path | None], rivals: Sequence[Plan]) -> dict[str, Any]:
    """The JSON object of `plan --json`: that of plan.json, with paths in place of the certificate."""
    document = found.document() | written
    document["version"] = document.pop("producer")["version"]
    document["size"] = len(found.members)
    if rivals:
        document["comparison"] = [
            {
                "strategy": each.strategy,
                "calls": each.calls,
                "size": len(each.members),
                "regret": each.regret,
                "kept": each.kept,
                "gaps": each.gaps,
            }
            for each in rivals
        ]
    return document


def _print(plan: Plan, scores: Path, written: dict[str, Path | None]) -> None:
    """Print a plan for people."""

    many = plural(len(plan.members), "weight serves", "weights serve")
    if plan.kept:
        emit(f"PLANNED: {many} every preference {served(plan.epsilon, plan.delta)}, by the closed form.")
    else:
        emit(f"STOPPED ({plan.stop}): the promise {promise(plan.epsilon, plan.delta)} of the best is not certified.")
    emit()
    rows = [
        [i, "/".join(number(x, 3) for x in member.weight[:8]), *map(number, (*member.value[:8], member.kl, member.opt))]
        for i, member in enumerate(plan.members, 1)
    ]
    emit(table(["", "weight", *(short(name, 24) for name in plan.rewards[:8]), "KL", "OPT"], rows, left=2))
    emit()
    lines = [("rewards", said_of_rewards(plan.rewards, plan.scale))]
    lines.append(("values", f"expected reward minus {number(plan.beta)} KL, in scaled rewards"))
    if plan.certificate is not None:
        where = "" if plan.worst_weight is None else f" at {weight_text(plan.worst_weight, plan.rewards)}"
        lines.append(("certified regret", f"at most {at_most(plan.regret, 6)}{where}"))
    evaluated = plural(plan.evaluations, "weight")
    if plan.evaluations > plan.calls:
        evaluated += f", of which {plan.calls} until the promise was certified"
    if plan.lower_bound > 1:
        evaluated += f"; fewer than {plan.lower_bound} of them would not do"
    lines.append(("evaluated", evaluated))
    lines += [("note", warning) for warning in plan.warnings]
    if path := written["certificate"]:
        check = shlex.join(["palm-opt", "verify", str(path), str(scores)])
        lines.append(("certificate", f"{path}; to check it: {check}"))
    if path := written["out"]:
        lines.append(("plan", f"{path}; to train it: palm-opt align RECIPE --plan {shlex.quote(str(path))} --out DIR"))
    if path := written["plot"]:
        lines.append(("plot", str(path)))
    emit(facts(lines))


def _print_comparison(plans: Sequence[Plan]) -> None:
    """Print strategy, calls, members and certified gap."""

    rows = [
        [each.strategy, each.calls, len(each.members), at_most(each.regret, 5), "yes" if each.kept else "no"]
        for each in plans
    ]
    emit(table(["strategy", "calls", "members", "certified gap", "promise kept"], rows))
