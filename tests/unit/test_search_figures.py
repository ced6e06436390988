"""Figures of a search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import palm_opt as palm
from bench.oracle_sets import make

pytest.importorskip("matplotlib")
from palm_opt.report.figures import svg
from palm_opt.report.search_figures import coverage_figure, gap_figure, replay


def finished(d: int, strategy: str = "adaptive") -> palm.Search:
    search, oracle = palm.Search(d, delta=0.1, oracle_error=(0.0, 0.0), strategy=strategy), make("sphere", d)
    search.tell(None, oracle(np.ones(d)))
    while (weight := search.ask()) is not None:
        search.tell(weight, oracle(weight))
    return search


def test_replay_gives_the_falling_gap() -> None:
    search = finished(3)
    copy, history = replay(search)
    calls, gaps = zip(*history, strict=True)
    assert copy.serialise() == search.serialise()
    assert calls[-1] == search.calls and gaps[-1] == pytest.approx(search.gap, abs=1e-12)
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(gaps))


def test_gap_against_calls() -> None:
    figure = gap_figure({"adaptive": finished(3), "$uniform$": finished(3, "uniform")}, delta=0.1)
    (axes,) = figure.axes
    assert len(axes.get_legend().get_texts()) == 2 and axes.get_yscale() == "log"
    assert svg(figure) == svg(gap_figure({"adaptive": finished(3), "$uniform$": finished(3, "uniform")}, delta=0.1))


def test_map_of_the_simplex() -> None:
    figure = coverage_figure(finished(3), ["safe", "helpful", "brief"], panels=3)
    assert figure is not None and len(figure.axes) == 4
    texts = [text.get_text() for text in figure.axes[2].texts]
    assert {"safe", "helpful", "brief"} < set(texts) and "100% kept" in texts[-1]
    assert coverage_figure(finished(2)) is None
    assert coverage_figure(palm.Search(3)) is None
