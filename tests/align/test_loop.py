"""What the loop can do besides training afresh: adapter soups (the sums that PEFT makes), warm starts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from palm_opt.align import Portfolio, run, train
from tests.align.tiny import restless

ROOT = Path(__file__).resolve().parents[2]
for _library in ("torch", "trl", "peft", "datasets", "transformers", "filelock"):
    pytest.importorskip(_library)


def test_a_soup_is_what_peft_makes_of_its_parts(recipe: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from palm_opt.align.policies.adapters import blend

    portfolio = train([[1.0, 0.0], [0.0, 1.0]], recipe, tmp_path / "p", progress=lambda line: None)
    first, second = (portfolio.path / member.adapter for member in portfolio.members[1:])
    (tmp_path / "soup").mkdir()
    blend([(first, 0.7), (second, 0.3)], tmp_path / "soup")
    ids = torch.tensor([[3, 4, 5, 6]])

    def logits(model: PeftModel) -> torch.Tensor:
        with torch.inference_mode():
            return model.eval()(input_ids=ids).logits

    def base() -> AutoModelForCausalLM:
        return AutoModelForCausalLM.from_pretrained(recipe.parent / "base")

    theirs = PeftModel.from_pretrained(base(), first, adapter_name="a")
    theirs.load_adapter(second, adapter_name="b")
    theirs.add_weighted_adapter(["a", "b"], [0.7, 0.3], "soup", combination_type="cat")
    theirs.set_adapter("soup")
    ours = PeftModel.from_pretrained(base(), tmp_path / "soup")
    torch.testing.assert_close(logits(ours), logits(theirs), rtol=1e-4, atol=1e-5)
    one = PeftModel.from_pretrained(base(), first)
    assert (logits(one) - logits(ours)).abs().max() > 1e-4


def assert_finished(file: Path, portfolio: Portfolio) -> None:
    """The same command again changes nothing."""
    journal = portfolio.path / "journal.jsonl"
    before = journal.read_bytes()
    assert run(file, portfolio.path, progress=lambda line: None).members == portfolio.members
    assert journal.read_bytes() == before


def test_the_loop_measures_soups_before_it_trains(recipe: Path, tmp_path: Path) -> None:
    file, out = recipe.with_name("soups.toml"), tmp_path / "p"
    file.write_text(restless("soups = true"))
    portfolio = run(file, out, progress=lambda line: None)
    entries, _ = read_journal(out / "journal.jsonl")
    blended = [soup for entry in entries if entry["event"] == "blended" for soup in entry["soups"]]
    made = {entry["name"] for entry in entries if entry["event"] == "result" and entry["name"].startswith("soup-")}
    assert blended and made and all(len(entry["parts"]) > 1 for entry in blended)
    values = (out / "values.csv").read_text()
    assert all(name in values for name in made)
    assert portfolio.run["trainings"] <= 4 and Portfolio.load(out).members == portfolio.members
    assert_finished(file, portfolio)


def test_later_rounds_start_from_the_nearest_adapter(recipe: Path, tmp_path: Path) -> None:
    file, out = recipe.with_name("warm.toml"), tmp_path / "p"
    file.write_text(restless("").replace("[train]", "[train]\nwarm_steps = 2"))
    portfolio = run(file, out, progress=lambda line: None)
    entries, _ = read_journal(out / "journal.jsonl")
    first, *later = [entry["starts"] for entry in entries if entry["event"] == "asked"]
    trained = [entry["name"] for entry in entries if entry["event"] == "result"]
    assert first == [None, None] and later and all(start in trained[:2] for start in later[0])
    steps = {entry["name"]: entry["curve"][-1]["step"] for entry in entries if entry["event"] == "result"}
    assert [steps[name] for name in trained] == [8, 8, *[2] * len(later)]
    assert_finished(file, portfolio)


def test_ctrl_c_leaves_what_is_proved_and_the_certify_split_unopened(recipe: Path, tmp_path: Path) -> None:
    file, out = recipe.with_name("interrupted.toml"), tmp_path / "p"
    file.write_text(restless("").replace("trainings = 4", "trainings = 9"))
    command = [sys.executable, "-m", "palm_opt", "run", str(file), "--out", str(out), "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 240
        while not (out / "portfolio.json").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=240)
    assert process.returncode == 130, complaint
    document = json.loads(said)
    assert document["run"]["stop"] == "interrupted" and document["statistical"] is None
    assert not (out / "looks.json").exists() and Portfolio.load(out).has("certificate.json")
