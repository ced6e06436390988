"""What a run that dies while it writes leaves behind; trainings and sampling are stand-ins."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("filelock")
pytest.importorskip("pyarrow")

from palm_opt.align import Portfolio, load_recipe, loop, publish, session
from palm_opt.align import run as align_run
from palm_opt.align.loop import Loop
from palm_opt.align.measuring.prompts import load_prompts
from palm_opt.align.policies.base import Base
from palm_opt.align.session import Session
from palm_opt.align.steer import Steering
from palm_opt.align.training import train
from palm_opt.align.training.setup import Setup
from palm_opt.errors import ProblemError, StoreError
from palm_opt.portfolio import store
from palm_opt.portfolio.journal import read_journal
from palm_opt.portfolio.manifest import write_manifest
from palm_opt.portfolio.store import Store
from palm_opt.report.rebuild import portfolio_report
from palm_opt.result import Certificate, Stop
from palm_opt.solver.solve import solve
from palm_opt.statistics.looks import Ledger
from palm_opt.storage import fingerprint
from palm_opt.wording import at_most
from tests.align import faults
from tests.align.tiny import RECIPE, REWARDS

ORACLE = RECIPE.replace('"pool"', '"oracle"\ntrainer_gamma = 0.005').replace("lattice = 2", "lattice = 1")


TWO_ROUNDS = ORACLE.replace("delta = 0.02", "delta = 0.006")  # and as many more as there are trainings
GIBBS = RECIPE.replace('"pool"', '"gibbs"\nresponses = 2').replace("lattice = 2", "lattice = 1")


def write_task(folder: Path) -> Path:
    (folder / "own.py").write_text(REWARDS)
    (folder / "base").mkdir()
    prompts = [json.dumps({"prompt": f"Say something about {i}:", "hint": str(i)}) for i in range(40)]
    (folder / "prompts.jsonl").write_text("\n".join(prompts))
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module, name in ((train, "train_adapter"), (publish, "portfolio_report")):
        monkeypatch.setattr(module, name, getattr(module, name))  # put back at the end
    return write_task(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a run that ended, with its report."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((train, "train_adapter"), (publish, "portfolio_report")):
            patch.setattr(module, name, getattr(module, name))
        folder = write_task(tmp_path_factory.mktemp("finished"))
        assert len(run(folder, 3).members) > 1
        assert portfolio_report(folder / "p").is_file()
        yield folder


def run(folder: Path, trainings: int, recipe: str = ORACLE, **options: Any) -> Portfolio:
    (folder / "recipe.toml").write_text(recipe.replace("trainings = 3", f"trainings = {trainings}"))
    faults.run(folder / "recipe.toml", folder / "p", folder / "trained", **options)
    return Portfolio.load(folder / "p")


def left_behind(folder: Path) -> dict[str, bytes]:
    return faults.result_of(folder / "p", (*faults.RESULT, "answers.csv"))


class Once:
    """Ctrl-C in the middle of a function, once a portfolio is published."""

    def __init__(self, real: Callable[..., Any], manifest: Path) -> None:
        self.real, self.manifest, self.calls = real, manifest, 0

    def __get__(self, instance: Any, _: type) -> Callable[..., Any]:
        return functools.partial(self, instance)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self.manifest.exists():
            self.calls += 1
            if self.calls == 1:
                raise KeyboardInterrupt
        return self.real(*arguments, **options)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        (store, "seal"),  # while it trains
        (session, "write_rows"),  # measures
        (Steering, "result"),  # chooses the members
        (publish, "_write_evaluation"),  # publishes a round
        (Session, "ask"),
        (publish, "certify_samples"),
        (Ledger, "open"),
        (Loop, "_publish"),
    ],
)
def test_an_interrupted_run_says_so_and_what_is_proved(
    where: Any, what: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, 3, TWO_ROUNDS)
    expected = left_behind(folder)
    shutil.rmtree(folder / "p")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(where, what, Once(getattr(where, what), folder / "p" / "portfolio.json"))
        run(folder, 3, TWO_ROUNDS)
    faults.assert_sound(folder / "p")
    left = Portfolio.load(folder / "p")
    assert left.run is not None and left.run["stop"] == "interrupted" and left.statistical is None
    assert run(folder, 3, TWO_ROUNDS).run["stop"] == "trainings"
    assert left_behind(folder) == expected


def test_ctrl_c_in_the_report_leaves_a_run_that_ended(folder: Path) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, 3, report=interrupted)
    faults.assert_sound(folder / "p")
    left, before = Portfolio.load(folder / "p"), left_behind(folder)
    assert left.run is not None and left.run["stop"] == "trainings" and left.statistical is not None
    run(folder, 3)
    assert left_behind(folder) == before


def test_ctrl_c_that_a_solver_answers_with_its_incumbent_ends_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        return dataclasses.replace(solve(*arguments, **options), stop=Stop.INTERRUPTED)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "solve", interrupted)
        run(folder, 3, RECIPE)
    shutil.rmtree(folder / "p")
    said = list[str]()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "plan", lambda *_, **__: SimpleNamespace(stop=Stop.INTERRUPTED))
        run(folder, 3, GIBBS, say=said.append)
    assert said[-1] == "interrupted before anything was proved; the same command goes on from here"


def test_a_directory_of_a_killed_run_does_not_say_for_ever_that_it_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (MemoryError, KeyboardInterrupt):  # the first one stands for a kill

        def dies(*_: Any, error: type[BaseException] = error, real: Any = store.seal) -> Any:
            if (folder / "p" / "portfolio.json").exists():
                raise error
            return real(*_)

        with monkeypatch.context() as patch, pytest.raises(error):
            patch.setattr(store, "seal", dies)
            run(folder, 3, TWO_ROUNDS)
        how = Portfolio.load(folder / "p").run
        assert how is not None and how["stop"] == ("running" if error is MemoryError else "interrupted")


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


def test_a_closed_form_that_training_beats_is_said_so(folder: Path) -> None:
    portfolio = run(folder, 3, GIBBS, report=portfolio_report)
    assert portfolio.run is not None and portfolio.run["closed_form_error"] > 0.01
    certificate = json.loads((folder / "p" / "certificate.json").read_text())
    assert portfolio.run["closed_form_error"] == float.fromhex(certificate["oracle_error"][1])
    said = f"better than the closed form, by up to {at_most(portfolio.run['closed_form_error'])}"
    assert said in (folder / "p" / "report.html").read_text()
    manifest = json.loads((folder / "p" / "portfolio.json").read_text())
    manifest["run"]["closed_form_error"] = None
    write_manifest(folder / "p" / "portfolio.json", manifest)
    with pytest.raises(StoreError, match="error of the closed form"):
        portfolio_report(folder / "p")


def test_what_is_left_is_said_after_each_round(folder: Path) -> None:
    said = list[str]()
    run(folder, 6, ORACLE, say=said.append)
    (how,) = [line for line in said if line.startswith("what is left is an estimate")]
    rounds = [line for line in said if " wanted; next: " in line]
    assert said.index(how) < said.index(rounds[0])
    times = r"\d+ more trainings? in [\d.]+ (s|min|h)"
    assert all(
        re.search(rf"; (about {times}, at most {times}|the budget ends after {times})$", line) for line in rounds
    )


@pytest.mark.parametrize("change", ["swapped", "unknown", "no column"])
def test_answers_that_name_other_policies_are_refused(change: str, finished: Path, tmp_path: Path) -> None:
    root = shutil.copytree(finished / "p", tmp_path / "p")
    text = (root / "answers.csv").read_text()
    first, second = (member.name for member in Portfolio.load(root).members[:2])
    if change == "swapped":
        text = text.replace(first, "X").replace(second, first).replace("X", second)
    text = text.replace(first, "w-1-99") if change == "unknown" else text
    text = text.replace("policy", "who") if change == "no column" else text
    (root / "answers.csv").write_text(text)
    manifest = json.loads((root / "portfolio.json").read_text())
    manifest["files"]["answers.csv"] = fingerprint(root / "answers.csv")
    write_manifest(root / "portfolio.json", manifest)
    with pytest.raises(StoreError, match=r"'policy'|no member"):
        Portfolio.load(root)


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
    table: str, key: str, claim: Any, finished: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(finished / "p", tmp_path / "p")
    manifest = json.loads((root / "portfolio.json").read_text())
    if key == "members":
        manifest[key].pop()
    elif key == "statistical":
        del manifest["files"]["certificate-statistical.json"]
    else:
        (manifest[table] if table else manifest)[key] = claim
    write_manifest(root / "portfolio.json", manifest)
    with pytest.raises(StoreError):
        portfolio_report(root)


def test_blends_of_a_round_are_one_line_and_have_different_names(folder: Path) -> None:
    run(folder, 2)
    recipe = load_recipe(folder / "recipe.toml")
    prompts = load_prompts(recipe)
    with Store.open(folder / "p", {}) as store:
        base = Base("base", None, folder / "base", "0" * 64)
        opened = Session(Setup(recipe, base, prompts, [], None), store, lambda line: None, False)
        trained = opened.candidates(ask for asks in opened.rounds() for ask in asks)
        parts = [[("w-100-0", 0.501), ("w-0-100", 0.499)], [("w-100-0", 0.502), ("w-0-100", 0.498)]]
        blends = [((share, 1 - share), part) for share, part in zip((0.501, 0.502), parts, strict=True)]
        opened.blend({"soup": blends, "mod": blends})
        assert len(store.entries("blended")) == 1
        blended = opened.blends(trained, ("soup", "mod"))
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
