"""Real TRL runs, tiny: train, measure, certify, route; kill -9 and resume; refuse what is damaged."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import palm_opt as palm
from palm_opt.align import Portfolio, load_recipe, run, train
from palm_opt.portfolio.journal import read_journal
from tests.align.tiny import RECIPE, WEIGHTS, changed

for _library in ("torch", "trl", "peft", "datasets", "transformers", "filelock"):
    pytest.importorskip(_library)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def aligned(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Portfolio:
    return train(np.array(WEIGHTS), recipe, tmp_path_factory.mktemp("out") / "p", progress=lambda line: None)


def palm_opt_cli(*arguments: str, cwd: Path) -> str:
    """Standard output of the command line, which must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "palm_opt", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True).stdout


def results(path: Path) -> list[str]:
    entries, _ = read_journal(path / "journal.jsonl")
    return [entry["name"] for entry in entries if entry["event"] == "result"]


def test_align_measures_everything(aligned: Portfolio, recipe: Path) -> None:
    import pyarrow.parquet as parquet

    assert [member.name for member in aligned.members] == ["base", "w-100-0", "w-50-50", "w-0-100"]
    assert aligned.members[0].adapter is None and aligned.members[0].kl == 0.0
    assert aligned.members[1].weight == {"early": 1.0, "length": 0.0}
    assert aligned.ranges == ((0.0, 1.0), (0.0, 20.0)) and aligned.delta is None
    rows = parquet.read_table(aligned.path / "evaluation.parquet").to_pylist()
    assert set(rows[0]) == {"prompt", "member", "generation", "early", "length", "kl", "split"}
    for member in aligned.members:
        own = [row for row in rows if row["member"] == member.name]
        prompts = sorted({row["prompt"] for row in own})
        assert len(own) == len(prompts) * 3 and len(prompts) == aligned.manifest["measured"]["prompts"]
        for name in ("early", "length"):
            means = [np.mean([row[name] for row in own if row["prompt"] == prompt]) for prompt in prompts]
            assert member.value[name] == pytest.approx(np.mean(means))
            assert member.standard_error[name] == pytest.approx(np.std(means, ddof=1) / np.sqrt(len(means)))
    values = palm.ValueMatrix.read(aligned.path / "values.csv", id="member")
    assert values.names == tuple(member.name for member in aligned.members)
    assert values.raw[2].tolist() == list(aligned.members[2].value.values())


def test_adapters_differ_and_are_plain(aligned: Portfolio) -> None:
    from safetensors.numpy import load_file

    tensors = []
    for member in aligned.members[1:]:
        assert member.adapter is not None
        folder = aligned.path / member.adapter
        names = ["adapter_config.json", "adapter_model.safetensors", "training.json"]
        assert sorted(item.name for item in folder.iterdir()) == names
        text = (folder / "adapter_config.json").read_text()
        assert "/tmp" not in text and str(Path.home()) not in text
        tensors.append(np.concatenate([x.ravel() for _, x in sorted(load_file(folder / names[1]).items())]))
    assert not np.array_equal(tensors[0], tensors[2]) and np.abs(tensors[0]).max() > 0


def test_same_call_again_trains_and_measures_nothing(aligned: Portfolio, recipe: Path) -> None:
    before = (aligned.path / "journal.jsonl").read_bytes()
    lines: list[str] = []
    again = train(WEIGHTS, recipe, aligned.path, progress=lines.append)
    assert again.members == aligned.members and "3 trained before, 0 to train" in lines[0]
    assert (aligned.path / "journal.jsonl").read_bytes() == before


def test_run_reuses_and_certifies(aligned: Portfolio, recipe: Path) -> None:
    chosen = run(recipe, aligned.path, progress=lambda line: None)  # its lattice has the same three weights
    assert len(results(aligned.path)) == 3
    assert chosen.delta == 0.02 and chosen.reference == "pool" and chosen.run["stop"] == "target"
    assert {m.name for m in chosen.members} <= {m.name for m in aligned.members}
    checker = [sys.executable, ROOT / "palm_opt" / "checker", "certificate.json", "values.csv"]
    said = subprocess.run(checker, cwd=aligned.path, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1].startswith(f"VERIFIED kind=exact members={len(chosen.members)} ")
    values = palm.ValueMatrix.read(aligned.path / "values.csv", id="member", scale=chosen.ranges)
    for weight in np.random.default_rng(0).dirichlet(np.ones(2), size=50):
        found = palm.route(aligned.path, dict(zip(chosen.rewards, map(float, weight), strict=True)))
        assert found.regret <= 0.02 and found.member in {m.name for m in chosen.members}
        assert found.regret == pytest.approx(max(0.0, (values.array @ weight).max() - found.value), abs=1e-12)
    assert (chosen.statistical["look"], chosen.statistical["alpha"]) == (1, 0.05)
    command = ["verify", "certificate-statistical.json", "evaluation.parquet"]
    said = palm_opt_cli(*command, cwd=aligned.path)
    assert said.splitlines()[-1].startswith(f"VERIFIED kind=statistical members={len(chosen.members)} ")
    tighter = run(recipe, aligned.path, delta=0.0, progress=lambda line: None)
    assert len(tighter.members) >= len(chosen.members) and len(results(aligned.path)) == 3
    one = run(recipe, aligned.path, delta=1.0, progress=lambda line: None)
    assert len(one.members) == 1


def test_the_loop_trains_where_the_promise_is_worst(recipe: Path, tmp_path: Path) -> None:
    """Against the oracle: unit weights first, then the worst ones, within the budget; resumed with a larger one."""
    text = RECIPE.replace('"pool"', '"oracle"').replace("lattice = 2", "trainer_gamma = 0.001")
    file = recipe.with_name("oracle.toml")
    out = tmp_path / "p"
    looks = []
    for trainings in (3, 5, 5):
        file.write_text(text.replace("trainings = 3", f"trainings = {trainings}"))
        lines: list[str] = []
        portfolio = run(file, out, progress=lines.append)
        assert portfolio.reference == "oracle" and len(results(out)) == portfolio.run["trainings"] <= trainings
        assert portfolio.run["stop"] in ("target", "trainings", "stalled") and portfolio.delta >= 0.02
        said = palm_opt_cli("verify", "certificate.json", "answers.csv", cwd=out)
        assert said.splitlines()[-1].startswith("VERIFIED kind=conditional ") and "reference=oracle" in said
        assert "VERIFIED" in palm_opt_cli("verify", "certificate-statistical.json", "evaluation.parquet", cwd=out)
        looks.append(portfolio.statistical["look"])
    assert results(out)[:2] == ["w-100-0", "w-0-100"] and len(set(results(out))) == len(results(out))
    assert lines[0].endswith("0 to train") and looks[1:] == [looks[1]] * 2  # the same claim is no new look


def test_training_is_reproducible(aligned: Portfolio, recipe: Path, tmp_path: Path) -> None:
    again = train([[0.5, 0.5]], recipe, tmp_path / "again", progress=lambda line: None)
    first = aligned.manifest["files"]["adapters/w-50-50/adapter_model.safetensors"]
    assert again.manifest["files"]["adapters/w-50-50/adapter_model.safetensors"] == first
    assert again.member("w-50-50").value == aligned.member("w-50-50").value


def test_a_plan_from_the_base_model_is_what_gets_trained(aligned: Portfolio, recipe: Path, tmp_path: Path) -> None:
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    rows = parquet.read_table(aligned.path / "evaluation.parquet")
    scores = tmp_path / "scores.parquet"
    parquet.write_table(rows.filter(compute.equal(rows["member"], "base")), scores)
    table = palm.RewardTable.read(scores, ["early", "length"], scale=[(0, 1), (0, 20)])
    assert set(table.counts.tolist()) == {3}
    plan = palm.plan(table, beta=0.01, delta=0.3)
    assert plan.kept and plan.weights.shape[1] == 2
    path = plan.write(tmp_path / "plan.json")
    said = palm_opt_cli("align", str(recipe), "--plan", str(path), "--out", "p", "--json", cwd=tmp_path)
    assert json.loads(said)["size"] == 1 + len(plan.members)
    trained = [list(m.weight.values()) for m in Portfolio.load(tmp_path / "p").members if m.weight is not None]
    np.testing.assert_array_equal(sorted(trained), sorted(plan.weights.tolist()))
    with pytest.raises(palm.ProblemError, match=r"planned for beta = 0\.5, .* trains with beta = 0\.01"):
        train(palm.plan(table, beta=0.5, delta=0.3), recipe, tmp_path / "q", progress=lambda line: None)


def test_other_recipe_is_refused(aligned: Portfolio, recipe: Path, tmp_path: Path) -> None:
    other = recipe.with_name("other.toml")
    other.write_text(RECIPE.replace("seed = 3", "seed = 4"))
    with pytest.raises(palm.StoreError, match="another recipe"):
        train(WEIGHTS, other, aligned.path, progress=lambda line: None)


def test_a_reward_that_returns_none_stops_training(recipe: Path, tmp_path: Path) -> None:
    bad = recipe.with_name("bad.toml")
    recipe.with_name("bad_rewards.py").write_text("def none(completions, **_):\n    return [None] * len(completions)\n")
    bad.write_text(RECIPE.replace("own:early", "bad_rewards:none"))
    with pytest.raises(palm.ProblemError, match=r"reward 'early': expected a number, got None for the prompt 'Say"):
        train([[1.0, 0.0]], bad, tmp_path / "p", progress=lambda line: None)
    assert results(tmp_path / "p") == []


def test_kill_9_then_the_same_command_trains_only_what_is_missing(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "p"
    code = f"import palm_opt\npalm_opt.align.train({WEIGHTS!r}, {str(recipe)!r}, {str(out)!r})\n"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not (out / "journal.jsonl").exists() or not results(out):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    done = results(out)
    assert 1 <= len(done) < 3
    weights = out / "adapters" / done[0] / "adapter_model.safetensors"
    before = weights.stat().st_mtime_ns
    lines: list[str] = []
    portfolio = train(WEIGHTS, recipe, out, progress=lines.append)
    assert f"{len(done)} trained before, {3 - len(done)} to train" in lines[0]
    assert weights.stat().st_mtime_ns == before
    assert len(results(out)) == len(set(results(out))) == 3 and len(portfolio.members) == 4
    assert not [item for item in (out / "adapters").iterdir() if item.name.startswith(".")]


def test_stdout_stays_empty(recipe: Path, tmp_path: Path) -> None:
    code = f"import palm_opt\npalm_opt.align.train([[0.5, 0.5]], {str(recipe)!r}, {str(tmp_path / 'p')!r})\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "1 weight: 0 trained before, 1 to train"
    assert [line.split()[0] for line in lines[1:]] == ["trained", "measured", "measured"]


def test_embedded_recipe_shows_a_trade_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded default, its training cut to the three corners and a few steps."""
    monkeypatch.setenv("PALM_CACHE", str(tmp_path / "cache"))
    text = (ROOT / "examples" / "embedded.toml").read_text()
    text = changed(
        text, ("steps = 24", "steps = 10"), ("trainings = 24", "trainings = 3"), ("prompts = 256", "prompts = 64")
    )
    (tmp_path / "recipe.toml").write_text(text)
    assert load_recipe(tmp_path / "recipe.toml").train.steps == 10
    run(tmp_path / "recipe.toml", tmp_path / "p", delta=0.03, progress=lambda line: None)
    with (tmp_path / "p" / "values.csv").open() as stream:
        rows = {row["member"]: row for row in csv.DictReader(stream)}
    for name, corner in (("helpfulness", "w-100-0-0"), ("brevity", "w-0-100-0"), ("courtesy", "w-0-0-100")):
        gain = float(rows[corner][name]) - float(rows["base"][name])
        assert gain > 0.05, (name, gain)
        assert max(rows, key=lambda member: float(rows[member][name])) == corner


def test_a_plan_first_and_the_closed_form_as_reference(recipe: Path, tmp_path: Path) -> None:
    """The base model is sampled once; the plan's weights come with the first round; the KL counts."""
    text = (
        RECIPE.replace('"pool"', '"gibbs"')
        .replace("lattice = 2", "responses = 4")
        .replace("delta = 0.02", "delta = 0.2")
    )
    file, out = recipe.with_name("gibbs.toml"), tmp_path / "p"
    file.write_text(text.replace("trainings = 3", "trainings = 4"))
    lines: list[str] = []
    portfolio = run(file, out, progress=lines.append)
    assert (portfolio.reference, portfolio.objective) == ("gibbs", "reward_minus_kl")
    assert any("sampling the base model once" in line for line in lines)
    plan = palm.Plan.read(out / "plan.json")
    entries, _ = read_journal(out / "journal.jsonl")
    asked = [[float.fromhex(x) for x in row] for row in next(e for e in entries if e["event"] == "asked")["weights"]]
    assert asked[:2] == [[1.0, 0.0], [0.0, 1.0]] and all(weight in asked for weight in plan.weights.tolist())
    said = palm_opt_cli("verify", "certificate.json", "answers.csv", cwd=out)
    assert said.splitlines()[-1].startswith("VERIFIED kind=conditional ")
    assert json.loads((out / "certificate.json").read_text())["objective"] == "reward_minus_kl"
    assert palm.route(portfolio, {"early": 1.0}).member in {member.name for member in portfolio.members}
    again = run(file, out, progress=lines.append)
    assert again.members == portfolio.members and lines.count("opening the certify split") <= 2
    assert len([line for line in lines if "sampling the base model once" in line]) == 1
    file.write_text(file.read_text().replace("responses = 4", "responses = 5"))
    run(file, out, progress=lines.append)
    assert lines.count("sampling the base model once: 12 prompts, 5 responses each") == 1
