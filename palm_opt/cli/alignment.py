"""Commands that train and deploy: recipe check, align, run, route, report."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from palm_opt.cli import options as opt
from palm_opt.cli.output import emit, emit_error, emit_json, facts, table
from palm_opt.wording import (
    REFERENCES,
    at_most,
    number,
    on_new_prompts,
    plural,
    promise,
    stopped,
    untrained,
    weight_text,
)

if TYPE_CHECKING:
    from palm_opt.align import Portfolio

__all__ = ["WithKeys", "align", "check", "report", "route", "run"]

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file (.toml).")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Portfolio directory; resumed where it exists.")]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Portfolio directory.")]


class WithKeys(typer.core.TyperCommand):
    """A command whose help ends with all keys of a recipe."""

    def format_epilog(self, context: Any, formatter: Any) -> None:
        from palm_opt.align.recipe.listing import pairs

        with formatter.section("Keys of a recipe"):
            formatter.write_dl(pairs())


def check(recipe: RecipeFile, json: opt.Json = False) -> None:
    """Check a recipe without training, and estimate its work.

    Every fault is named with its key, one a line: the prompts are read and the reward functions imported. A good recipe
    gets an estimate of what `run` takes at most: trainings, completions, tokens, memory and disk.
    """
    from palm_opt.align.check import check_recipe
    from palm_opt.align.training.setup import training_sha256

    found = check_recipe(recipe)
    document: dict[str, Any] = {"recipe": recipe, "ok": not found.errors, "errors": found.errors}
    document["warnings"] = found.warnings
    for kind, lines in (("warning", found.warnings), ("error", found.errors)):
        for line in lines:
            emit_error(f"{kind}: {recipe}: {line}")
    if found.recipe is None or found.prompts is None or found.estimate is None:
        if json:
            emit_json(document)
        raise typer.Exit(2)
    splits = {name: len(getattr(found.prompts, name)) for name in ("train", "select", "certify")}
    if json:
        document.update(rewards=found.recipe.reward_names, prompts=splits, estimate=found.estimate.document())
        document["training_sha256"] = training_sha256(found.recipe)
        emit_json(document)
        return
    emit(f"{recipe}: ok")
    emit()
    emit(
        facts(
            [
                ("rewards", ", ".join(found.recipe.reward_names)),
                ("prompts", ", ".join(f"{name} {count:,}" for name, count in splits.items())),
                *found.estimate.lines(),
            ]
        )
    )


def align(
    recipe: RecipeFile,
    out: Out,
    plan: Annotated[Path | None, typer.Option(metavar="FILE", help="What palm-opt plan wrote: plan.json.")] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights to train: a table, one column a reward.")
    ] = None,
    json: opt.Json = False,
) -> None:
    """Train and measure planned or given weights.

    One adapter a weight, with TRL. Kill it anywhere and run the same command again: it goes on where it was.
    """
    from palm_opt.align import train
    from palm_opt.planning.planned import Plan

    source = weights if plan is None else Plan.read(plan)
    if source is None or (plan is not None and weights is not None):
        raise typer.BadParameter("give --plan or --weights, one of them")
    with _terminable():
        portfolio = train(source, recipe, out)
    _print_portfolio(portfolio, json)


def run(
    recipe: RecipeFile, out: Out, epsilon: opt.Epsilon = None, delta: opt.Delta = None, json: opt.Json = False
) -> None:
    """Train, measure, prove, and train again where the promise is worst.

    The whole way from a recipe to a certified portfolio directory, with as few trainings as the promise needs.
    --epsilon and --delta replace the recipe's. Resumable; Ctrl-C (or SIGTERM) leaves what is proved so far.
    """
    from palm_opt.align import Portfolio
    from palm_opt.align import run as run_recipe

    try:
        with _terminable():
            portfolio = run_recipe(recipe, out, epsilon, delta)
    except KeyboardInterrupt:
        if (out / "portfolio.json").is_file():
            _print_portfolio(Portfolio.load(out), json)
        raise
    _print_portfolio(portfolio, json)


def route(
    directory: Directory,
    weight: Annotated[str, typer.Option(metavar="A=X,B=Y", help="The preference: helpful=0.6,harmless=0.4.")],
    json: opt.Json = False,
) -> None:
    """Find the member for a preference.

    The weights are divided by their sum; a reward left out counts 0.
    """
    from palm_opt.portfolio.route import route as find

    found = find(directory, opt.weight(weight))
    if json:
        emit_json(
            {
                "member": found.member,
                "value": found.value,
                "regret": found.regret,
                "expected": found.expected,
                "weight": found.weight,
                "adapter": found.adapter,
                "parts": found.parts,
            }
        )
        return
    adapter = untrained(found.adapter, found.parts) if found.adapter is None else str(found.adapter)
    emit(found.member)
    emit()
    emit(
        facts(
            [
                ("weight", weight_text(found.weight.values(), list(found.weight))),
                ("value", f"{number(found.value)}: the weighted mean of its rewards, each on its scale 0..1"),
                ("regret", f"{at_most(found.regret)} against the best of all measured candidates"),
                *((name, number(x)) for name, x in found.expected.items()),
                ("adapter", adapter),
            ]
        )
    )


def report(directory: Directory, json: opt.Json = False) -> None:
    """Rebuild report.html of a portfolio."""
    from palm_opt.report import portfolio_report, require_plot_libraries

    require_plot_libraries()
    path = portfolio_report(directory)
    if json:
        emit_json({"report": path})
    else:
        emit(str(path))


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Take SIGTERM, which schedulers send some time before they kill, for Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_portfolio(portfolio: Portfolio, json: bool) -> None:
    """Print what a training run left behind."""

    files = {
        name: portfolio.path / name
        for name in ("certificate.json", "certificate-statistical.json", "values.csv", "answers.csv", "report.html")
        if portfolio.has(name)
    }
    how, statistical = portfolio.run, portfolio.statistical
    if json:
        emit_json(
            {
                "portfolio": portfolio.path,
                "members": [member.name for member in portfolio.members],
                "size": len(portfolio.members),
                "candidates": portfolio.manifest["measured"].get("candidates"),
                "rewards": portfolio.rewards,
                "epsilon": portfolio.epsilon,
                "delta": portfolio.delta,
                "reference": portfolio.reference,
                "objective": portfolio.objective,
                "run": how,
                "statistical": statistical,
                "certificate": files.get("certificate.json"),
                "report": files.get("report.html"),
            }
        )
        return
    if how is not None and portfolio.epsilon is not None and portfolio.delta is not None:
        serve = plural(len(portfolio.members), "member serves", "members serve")
        kept = promise(portfolio.epsilon, portfolio.delta)
        emit(f"{serve} every preference {kept} {REFERENCES[portfolio.reference]}")
        emit(stopped(how, portfolio.delta))
    else:
        emit(f"{plural(len(portfolio.members), 'policy', 'policies')} measured")
    if statistical is not None:
        emit(on_new_prompts(statistical))
    emit()
    rows = []
    for member in portfolio.members:
        weight = "/".join(number(x, 3) for x in member.weight.values()) if member.weight else ""
        values = [f"{member.value[name]:.3f} +- {member.standard_error[name]:.3f}" for name in portfolio.rewards]
        rows.append([member.name, weight or untrained(member.adapter, member.parts), *values, f"{member.kl:.3g}"])
    emit(table(["member", "trained for", *portfolio.rewards, "KL, nats"], rows, left=2))
    emit()
    emit(facts([("directory", str(portfolio.path)), *((name, str(path)) for name, path in files.items())]))
    emit()
    if "certificate.json" in files:
        about = files.get("answers.csv", files.get("values.csv"))
        emit(f"  palm-opt verify {shlex.quote(str(files['certificate.json']))} {shlex.quote(str(about))}")
    emit(f"  palm-opt route {shlex.quote(str(portfolio.path))} --weight {portfolio.rewards[0]}=1")
