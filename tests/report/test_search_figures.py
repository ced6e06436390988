"""Figures of a search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import palm_opt as palm
from bench.oracle_sets import make

pytest.importorskip("matplotlib")
from palm_opt.report.drawing import svg
from palm_opt.report.figures import gap_figure
from palm_opt.report.search_figures import coverage_figure, replay


def finished(d: int, strategy: str = "adaptive") -> palm.Search:
    search, oracle = palm.Search(d, delta=0.1, oracle_error=(0.0, 0.0), strategy=strategy), make("sphere", d)
    search.tell(None, oracle(np.ones(d)))
    while (weight := search.ask()) is not None:
        search.tell(weight, oracle(weight))
    return search


def test_replay_gives_the_falling_gap() -> None:
    search = finished(3)
    copy, gaps = replay(search)
    assert copy.serialise() == search.serialise()
    assert len(gaps) == search.calls and gaps[-1] == pytest.approx(search.gap, abs=1e-12)
    assert gaps[:3] == [np.inf, np.inf, gaps[2]] and np.isfinite(gaps[2:]).all()
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(gaps[2:]))
    assert replay(search, 0)[1] == replay(search, 1)[1] == []  # the first answer is a free point: no call yet


def test_gap_against_calls() -> None:
    gaps = {"adaptive": replay(finished(3))[1], "$uniform$": replay(finished(3, "uniform"))[1]}
    figure = gap_figure(gaps, delta=0.1)
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["adaptive", r"\$uniform\$", "delta = 0.1"] and axes.get_yscale() == "log"
    assert svg(figure) == svg(gap_figure(gaps, delta=0.1))


def test_map_of_the_simplex() -> None:
    figure = coverage_figure(finished(3), ["safe", "helpful", "brief"], panels=3)
    assert figure is not None and len(figure.axes) == 4
    texts = [text.get_text() for text in figure.axes[2].texts]
    assert {"safe", "helpful", "brief"} < set(texts) and "100% kept" in texts[-1]
    assert coverage_figure(finished(2)) is None
    assert coverage_figure(palm.Search(3)) is None
