"""What a run that dies while it writes leaves behind; trainings and sampling are stand-ins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("filelock")
pytest.importorskip("pyarrow")

from palm_opt.align import Portfolio, publish, train
from palm_opt.align.store import read_journal
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
