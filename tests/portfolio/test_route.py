"""Routing a preference to a member: the best one, with the regret against everything measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import palm_opt as palm
from palm_opt.align import Portfolio
from palm_opt.errors import StoreError
from palm_opt.portfolio.route import route
from tests.cli.test_cli import output
from tests.cli.test_cli import palm as command_line
from tests.portfolio.test_directory import make_portfolio, mixture, write_sealed

POOL = np.array([[0.5, 0.5], [0.1, 0.9], [0.9, 0.1], [0.6, 0.65]])  # as in make_portfolio, scaled
MEMBERS = {"w-0-100": POOL[1], "w-100-0": POOL[2]}


def test_best_member_and_regret_everywhere(tmp_path: Path) -> None:
    def no_promise(document: dict[str, object]) -> None:
        document["tolerances"] = {"epsilon": None, "delta": None}

    portfolio = Portfolio.load(make_portfolio(tmp_path, no_promise))
    for x in np.linspace(0, 1, 21):
        w = np.array([x, 1 - x])
        found = palm.route(portfolio, {"a": float(3 * x), "b": float(3 * (1 - x))})
        best = max(MEMBERS, key=lambda name: w @ MEMBERS[name])
        assert found.value == pytest.approx(w @ MEMBERS[best])
        assert found.value == pytest.approx(w @ MEMBERS[found.member])
        assert found.regret == pytest.approx(max(0.0, (POOL @ w).max() - found.value))
        assert found.weight == pytest.approx({"a": x, "b": 1 - x})


def test_fields_and_directory(tmp_path: Path) -> None:
    found = route(make_portfolio(tmp_path), {"a": 2})
    assert found.member == "w-100-0" and found.weight == {"a": 1.0, "b": 0.0}
    assert found.expected == {"a": 0.9, "b": 1.0} and found.value == 0.9 and found.regret == 0.0
    assert found.adapter == tmp_path / "adapters" / "w-100-0" and found.adapter.is_dir()


def test_a_mixture_says_what_it_costs(tmp_path: Path) -> None:
    parts = {"w-100-0": 0.75, "base": 0.25}
    root = make_portfolio(tmp_path, mixture(parts))
    found = route(root, {"b": 1})
    assert (found.member, found.adapter, found.parts) == ("mod-50-50", None, parts)
    assert route(root, {"a": 1}).parts is None
    text = command_line("route", root, "--weight", "b=1").stdout
    assert "a mixture of w-100-0 0.750, base 0.250: 2 forward passes a token" in text
    document = output("route", root, "--weight", "b=1")
    assert document["parts"] == parts and document["adapter"] is None


def test_regret_never_exceeds_the_promise(tmp_path: Path) -> None:
    root = make_portfolio(tmp_path)
    assert route(root, {"a": 1, "b": 1}).regret == 0.125  # exactly (0.6 + 0.65) / 2 - 0.5
    document = json.loads((root / "portfolio.json").read_text())
    del document["files"]["values.csv"]  # without the table: what the promise allows
    write_sealed(root, document)
    assert route(root, {"a": 1, "b": 1}).regret == 0.125


@pytest.mark.parametrize(
    ("weight", "piece"),
    [
        ({"c": 1.0}, "unknown reward 'c'; this portfolio knows a, b"),
        ({"a": -1.0}, "a: expected a number >= 0"),
        ({"a": float("inf")}, "a: expected a number >= 0"),
        ({"a": 0.0, "b": 0.0}, "at least one number above 0"),
        ({}, "at least one number above 0"),
        ({"a": "1"}, "expected a number"),
    ],
)
def test_bad_weights(tmp_path: Path, weight: dict[str, float], piece: str) -> None:
    with pytest.raises(palm.ProblemError, match=piece.replace("(", r"\(")):
        route(make_portfolio(tmp_path), weight)


def test_a_promise_that_the_table_contradicts_is_refused(tmp_path: Path) -> None:
    def boast(document: dict[str, object]) -> None:
        document["tolerances"] = {"epsilon": 0.0, "delta": 0.01}

    with pytest.raises(palm.StoreError, match="not certified"):
        route(make_portfolio(tmp_path, boast), {"a": 1, "b": 1})


def test_extreme_weights(tmp_path: Path) -> None:
    root = make_portfolio(tmp_path)
    assert route(root, {"a": 1e308, "b": 1e308}).weight == {"a": 0.5, "b": 0.5}
    assert route(root, {"a": 5e-324}).weight == {"a": 1.0, "b": 0.0}


def test_a_changed_table_is_refused(tmp_path: Path) -> None:
    root = make_portfolio(tmp_path)
    text = (root / "values.csv").read_text()
    (root / "values.csv").write_text(text.replace("0.6,6.5", "0.5,6.5"))
    with pytest.raises(palm.StoreError, match="SHA-256"):
        route(root, {"a": 1})


def test_a_promise_with_the_kl_states_no_regret_of_rewards(tmp_path: Path) -> None:
    def change(document: dict[str, object]) -> None:
        document.update(objective="reward_minus_kl", reference="gibbs")
        del document["files"]["values.csv"]  # type: ignore[attr-defined]

    with pytest.raises(StoreError, match="no regret can be stated"):
        route(make_portfolio(tmp_path, change), {"a": 1.0})
