"""The part of a report that is about a training run: what is promised against what, where it trained, how it learnt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from palm_opt import checker
from palm_opt.portfolio.directory import Portfolio
from palm_opt.report.drawing import FAINT, INK, colour, drawing, label, new_figure
from palm_opt.report.figures import gap_figure
from palm_opt.report.search_figures import coverage_figure, replay
from palm_opt.search import Search
from palm_opt.storage import read_bytes
from palm_opt.wording import REFERENCES, needed, on_new_prompts, plural, promise, stopped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curves_figure", "promises", "run_headline", "search_figures", "verify_commands"]

_LARGEST_CURVE = 1000  # points
_LARGEST = 2**26  # bytes of a training record
Picture = tuple["Figure", str, str]  #: figure, alternative text, caption


def run_headline(portfolio: Portfolio) -> str:
    """One sentence: what a training run promises, and how small the portfolio is proved to be."""
    size, how = len(portfolio.members), portfolio.run
    assert how is not None and portfolio.epsilon is not None and portfolio.delta is not None
    text = (
        f"{plural(size, 'policy serves', 'policies serve')} every preference "
        f"{promise(portfolio.epsilon, portfolio.delta)} {REFERENCES[portfolio.reference]}"
    )
    if size <= how["lower_bound"]:
        return f"{text}; no smaller portfolio of the measured policies does."
    return f"{text}; {needed(how['lower_bound'], 'measured policy', 'measured policies')}."


def promises(portfolio: Portfolio) -> list[tuple[str, str]]:
    """What the certificates of a directory prove, in plain rows (label, text); they were checked before."""
    how, statistical = portfolio.run, portfolio.statistical
    if how is None or portfolio.epsilon is None or portfolio.delta is None:
        return []
    size = len(portfolio.members)
    rows = [
        (
            "every preference",
            f"{promise(portfolio.epsilon, portfolio.delta)} {REFERENCES[portfolio.reference]}: certificate.json, about "
            f"the means measured in {'values.csv' if portfolio.reference == 'pool' else 'answers.csv'}",
        ),
        (
            "how small",
            f"{plural(size, 'member')}; {needed(how['lower_bound'], 'measured policy', 'measured policies')}",
        ),
        ("the run", stopped(how, portfolio.delta)),
    ]
    if statistical is not None:
        rows.append(
            ("new prompts", f"{on_new_prompts(statistical)} certificate-statistical.json, about evaluation.parquet")
        )
    return rows


def verify_commands(portfolio: Portfolio) -> list[str]:
    """The commands that check a directory's certificates, those about values.csv left out."""
    commands = []
    if portfolio.has("answers.csv"):
        commands.append("palm-opt verify certificate.json answers.csv")
    if portfolio.has("certificate-statistical.json"):
        commands.append("palm-opt verify certificate-statistical.json evaluation.parquet")
    return commands


def search_figures(portfolio: Portfolio) -> list[Picture]:
    """The certified gap against trainings, and for three rewards the map of it; none where no bound was proved."""
    search = _search(portfolio)
    if search is None:
        return []
    pictures: list[Picture] = [
        (
            gap_figure({"all measured policies": replay(search)[1]}, search.delta),
            "Certified worst regret after each training",
            "How far the measured policies can be from the best that training could reach, at the worst preference, "
            "after each training. It ends where the promise is kept or the budget spent.",
        )
    ]
    coverage = coverage_figure(search, portfolio.rewards)
    if coverage is not None:
        pictures.append(
            (
                coverage,
                "Where the promise is proved, as trainings are added",
                "White: the promise is proved at that preference. Dots: preferences that were trained for. Each new "
                "one is where the proved gap was widest.",
            )
        )
    return pictures


def _search(portfolio: Portfolio) -> Search | None:
    """The search behind a conditional certificate, told again from answers.csv."""
    if portfolio.reference != "oracle" or portfolio.run is None or not portfolio.has("answers.csv"):
        return None
    document = checker.read_certificate(portfolio.path / "certificate.json")
    answers = checker.read_answers(portfolio.path / "answers.csv", document["subject"])
    error = [float.fromhex(x) if "x" in x else float(x) for x in document["oracle_error"]]  # version 1: hex-floats
    d = len(portfolio.rewards)
    search = Search(
        d, epsilon=portfolio.epsilon or 0.0, delta=portfolio.run["target"], oracle_error=(error[0], error[1])
    )
    weights, values = (np.array(x, dtype=np.float64).reshape(-1, d) for x in (answers.weights, answers.values))
    for weight, value in zip(weights, values, strict=True):
        search.tell(weight if weight.any() else None, value, answer=bool(weight.any()))
    return search


def curves_figure(portfolio: Portfolio) -> Picture | None:
    """The mean reward of each member while it was trained, from the records beside the adapters."""
    curves = [(k, m.name, _curve(portfolio, m.adapter)) for k, m in enumerate(portfolio.members) if m.adapter]
    drawn = [(k, name, curve) for k, name, curve in curves if len(curve) > 1]
    if not drawn:
        return None
    with drawing():
        figure = new_figure(6.8, 3.4)
        axes = figure.subplots()
        for k, name, curve in drawn:
            axes.plot(*zip(*curve, strict=True), color=colour(k), lw=1.5, label=f"{k + 1}.  {label(name)}")
        axes.set(xlabel="optimiser step", ylabel="training reward at own weight")
        axes.grid(color=FAINT, lw=0.5, alpha=0.6)
        axes.tick_params(colors=INK)
        axes.legend(fontsize=8, ncols=2 if len(drawn) > 6 else 1)
    caption = "As logged while training, on the samples trained on. Values of members are measured apart, afterwards."
    return figure, "Training curves of the members", caption


def _curve(portfolio: Portfolio, adapter: str) -> Sequence[tuple[float, float]]:
    """(step, reward) of a training record; nothing where it has none that can be drawn."""
    if not portfolio.has(f"{adapter}/training.json"):
        return []
    try:
        record = json.loads(read_bytes(portfolio.path / adapter / "training.json", _LARGEST))
        points = record["training"]["curve"][:_LARGEST_CURVE]
        drawn = [(float(point["step"]), float(point["reward"])) for point in points if _drawable(point)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return drawn


def _drawable(point: Mapping[str, Any]) -> bool:
    return all(isinstance(point.get(key), (int, float)) and np.isfinite(point[key]) for key in ("step", "reward"))
