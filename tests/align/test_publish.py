"""What a run that dies while it writes leaves behind; trainings and sampling are stand-ins."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("filelock")
pytest.importorskip("pyarrow")

from palm_opt.align import Portfolio, loop, publish, train
from palm_opt.align.base import Base
from palm_opt.align.data import load_prompts
from palm_opt.align.pipeline import run as align_run
from palm_opt.align.recipe import load_recipe
from palm_opt.align.session import Session
from palm_opt.align.store import Store, read_journal
from palm_opt.errors import ProblemError, StoreError
from palm_opt.report.portfolio import portfolio_report
from palm_opt.result import Certificate
from tests.align import faults
from tests.align.tiny import RECIPE, REWARDS

ORACLE = RECIPE.replace('"pool"', '"oracle"\ntrainer_gamma = 0.005').replace("lattice = 2", "lattice = 1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module, name in ((train, "train_adapter"), (publish, "portfolio_report")):
        monkeypatch.setattr(module, name, getattr(module, name))  # put back at the end
    (tmp_path / "own.py").write_text(REWARDS)
    (tmp_path / "base").mkdir()
    prompts = [json.dumps({"prompt": f"Say something about {i}:", "hint": str(i)}) for i in range(40)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(prompts))
    return tmp_path


def run(folder: Path, trainings: int, recipe: str = ORACLE) -> Portfolio:
    (folder / "recipe.toml").write_text(recipe.replace("trainings = 3", f"trainings = {trainings}"))
    faults.run(folder / "recipe.toml", folder / "p", folder / "trained")
    return Portfolio.load(folder / "p")


@pytest.mark.parametrize("at", ["certifying", "writing"])
def test_a_run_that_dies_while_it_publishes_leaves_the_promise_before(
    at: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run(folder, 2)

    def dies(*_: Any, **__: Any) -> None:
        raise MemoryError

    if at == "certifying":
        monkeypatch.setattr(publish, "certify_samples", dies)
    else:
        monkeypatch.setattr(Certificate, "write", dies)
    with pytest.raises(MemoryError):
        run(folder, 4)
    left = Portfolio.load(folder / "p")
    assert left.delta is not None and before.delta is not None and left.delta <= before.delta


def test_the_first_round_keeps_the_budget(folder: Path) -> None:
    portfolio = run(folder, 3, RECIPE.replace("lattice = 2", "lattice = 6"))
    assert portfolio.run is not None and portfolio.run["trainings"] == 3
    asked = [entry for entry in read_journal(folder / "p" / "journal.jsonl")[0] if entry["event"] == "asked"]
    assert [len(entry["weights"]) for entry in asked] == [3]


@pytest.mark.parametrize(
    ("table", "key", "claim"),
    [
        ("tolerances", "delta", 1e-3),
        ("tolerances", "epsilon", 0.01),
        ("run", "lower_bound", 9.0),
        ("run", "trainer_error", [0.0, 0.0]),
        ("statistical", "delta", 1e-3),
        ("statistical", "alpha", 1e-6),
        ("statistical", "prompts", 1e6),
        ("", "reference", "pool"),
        ("", "objective", "reward_minus_kl"),
        ("", "statistical", None),
        ("", "members", None),
    ],
)
def test_a_report_refuses_claims_that_the_certificates_do_not_prove(
    table: str, key: str, claim: Any, folder: Path
) -> None:
    portfolio = run(folder, 3)
    assert portfolio_report(folder / "p").is_file()
    manifest = json.loads((folder / "p" / "portfolio.json").read_text())
    if key == "members":
        manifest[key].pop()
    elif key == "statistical":
        del manifest["files"]["certificate-statistical.json"]
    else:
        (manifest[table] if table else manifest)[key] = claim
    (folder / "p" / "portfolio.json").write_text(json.dumps(manifest))
    assert len(portfolio.members) > 1
    with pytest.raises(StoreError):
        portfolio_report(folder / "p")


def test_blends_of_a_round_are_one_line_and_have_different_names(folder: Path) -> None:
    run(folder, 2)
    recipe = load_recipe(folder / "recipe.toml")
    prompts = load_prompts(recipe)
    with Store.open(folder / "p", {}) as store:
        base = Base("base", None, folder / "base", "0" * 64)
        session = Session(recipe, base, prompts, [], None, store, lambda line: None, False)
        trained = session.candidates(ask for asks in session.rounds() for ask in asks)
        parts = [[("w-100-0", 0.501), ("w-0-100", 0.499)], [("w-100-0", 0.502), ("w-0-100", 0.498)]]
        blends = [((share, 1 - share), part) for share, part in zip((0.501, 0.502), parts, strict=True)]
        session.blend({"soup": blends, "mod": blends})
        assert len(store.entries("blended")) == 1
        blended = session.blends(trained, ("soup", "mod"))
        assert len({blend.name for blend in blended}) == len({blend.key for blend in blended}) == 4
        assert [blend.adapted for blend in blended] == [True, True, False, False]


def test_mixtures_are_made_once_and_left_out_where_the_recipe_has_none(folder: Path) -> None:
    """The worst weight then moves a little; blends of the same policies there would go on for ever."""
    run(folder, 4, ORACLE.replace("lattice = 1", "lattice = 1\ndecoding = true"))
    entries = read_journal(folder / "p" / "journal.jsonl")[0]
    mixtures = [line for entry in entries if entry["event"] == "blended" for line in entry["mixtures"]]
    made = [({name for name, _ in line["parts"]}, float.fromhex(line["weight"][0])) for line in mixtures]
    assert len(made) > 1
    for i, (parts, weight) in enumerate(made):
        assert all(parts != others or abs(weight - other) > 0.05 for others, other in made[:i])
    with_mixtures, without = (folder / "p" / "values.csv").read_text(), run(folder, 4)
    assert "mod-" in with_mixtures and "mod-" not in (folder / "p" / "values.csv").read_text()
    assert all(not member.name.startswith("mod-") for member in without.members)
    shares = [sum(float.fromhex(share) for _, share in line["parts"]) for line in mixtures]
    assert shares == pytest.approx([1.0] * len(shares), abs=1e-12)


def test_the_closed_form_is_bounded_in_the_end_without_a_tolerance(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_FINEST", 0.05)
    finest: list[float] = []

    def planned(table: Any, beta: float, epsilon: float, delta: float, **_: Any) -> None:
        finest.append(delta)
        raise MemoryError

    monkeypatch.setattr(loop, "plan", planned)
    made = SimpleNamespace(reference=lambda: None, recipe=SimpleNamespace(train=SimpleNamespace(beta=0.1)))
    with pytest.raises(MemoryError):
        loop.Loop(made, 0.0, 0.0)._planned()
    assert finest == [0.05]


def test_a_tolerance_that_no_training_can_reach_is_refused_before_any(folder: Path) -> None:
    (folder / "recipe.toml").write_text(ORACLE)
    with pytest.raises(ProblemError, match=r"delta: 0\.004 is out of reach"):
        align_run(folder / "recipe.toml", folder / "p", delta=0.004)
    assert not (folder / "p").exists()
