"""Multi-objective decoding: a mixture is the policy that it says, in the loop, in the directory and when it answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palm_opt.align import Portfolio, load_member, load_recipe, run, train
from palm_opt.errors import ProblemError, StoreError
from palm_opt.portfolio.journal import read_journal
from palm_opt.portfolio.manifest import write_manifest
from palm_opt.portfolio.route import route
from tests.align.tiny import RECIPE, changed, restless

for _library in ("torch", "trl", "peft", "datasets", "transformers", "filelock"):
    pytest.importorskip(_library)

PROMPTS = ["Say something about 3:", "Say:", "Say something about the number of things"]


@pytest.fixture(scope="module")
def trained(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Portfolio:
    """Two adapters that differ, and the base model."""
    file = recipe.with_name("apart.toml")
    file.write_text(changed(RECIPE, ("rate = 1e-2", "rate = 0.1"), ("steps = 2", "steps = 8")))
    out = tmp_path_factory.mktemp("trained") / "p"
    return train([[1.0, 0.0], [0.0, 1.0]], file, out, progress=lambda line: None)


@pytest.fixture
def model(recipe: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(recipe.parent / "base").eval()


@pytest.fixture
def tokenizer(recipe: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(recipe.parent / "base", padding_side="left")


@pytest.fixture
def folders(trained: Portfolio) -> list[Path]:
    return [trained.path / member.adapter for member in trained.members if member.adapter]


@pytest.fixture
def no_gradients() -> Iterator[None]:
    import torch

    with torch.inference_mode():
        yield


def alone(recipe: Path, folder: Path | None) -> Any:
    """A part by itself, loaded by PEFT."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(recipe.parent / "base").eval()
    return model if folder is None else PeftModel.from_pretrained(model, folder).eval()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.usefixtures("no_gradients")
def test_every_token_comes_from_the_product_of_the_parts(
    recipe: Path, folders: list[Path], model: Any, tokenizer: Any, temperature: float
) -> None:
    """Sampled with one cache for all parts, against the definition: each part by itself, in full, in float64."""
    import torch

    from palm_opt.align.policies.mixture import Mixture

    shares = (0.5, 0.3, 0.2)
    parts = [*folders, None]
    mixture = Mixture(model, list(zip(parts, shares, strict=True)))
    inputs = tokenizer(PROMPTS, return_tensors="pt", padding=True)
    inputs.pop("token_type_ids", None)
    assert inputs["attention_mask"].min() == 0
    torch.manual_seed(0)
    found = mixture.generate(
        **inputs, do_sample=True, temperature=temperature, top_k=0, max_new_tokens=6, eos_token_id=-1,
        pad_token_id=0, output_scores=True, return_dict_in_generate=True,
    )  # fmt: skip
    ids, width = found.sequences, inputs["input_ids"].shape[1]
    assert ids.shape[1] == width + 6
    mask = torch.cat([inputs["attention_mask"], torch.ones(3, 6, dtype=torch.long)], dim=1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logs = []
    for part in parts:
        logits = alone(recipe, part)(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        logs.append(torch.log_softmax(logits[:, width - 1 : -1].double() / temperature, dim=-1))
    assert min((logs[0] - logs[1]).abs().max(), (logs[0] - logs[2]).abs().max()) > 1e-2
    expected = torch.softmax(sum(share * log for share, log in zip(shares, logs, strict=True)), dim=-1)
    sampled = torch.softmax(torch.stack(found.scores, dim=1).double(), dim=-1)
    torch.testing.assert_close(sampled, expected, rtol=0, atol=1e-5)
    whole = mixture(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, width - 1 : -1].double()
    torch.testing.assert_close(torch.softmax(whole / temperature, dim=-1), expected, rtol=0, atol=1e-5)
    with mixture.disable_adapter():
        base = mixture(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, width - 1 : -1]
    torch.testing.assert_close(torch.log_softmax(base.double() / temperature, dim=-1), logs[2], rtol=0, atol=1e-5)
    plain = mixture.unload()(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, width - 1 : -1]
    torch.testing.assert_close(plain, base)


@pytest.mark.usefixtures("no_gradients")
def test_with_all_of_the_share_a_part_answers_as_by_itself(
    recipe: Path, folders: list[Path], model: Any, tokenizer: Any
) -> None:
    import torch

    from palm_opt.align.policies.mixture import Mixture
    from palm_opt.align.policies.sampling import complete

    sampling = {"max_new_tokens": 8, "temperature": 0.9, "top_p": 0.9, "top_k": 0, "repetition_penalty": 1.2}
    mixture = Mixture(model, [(folders[0], 1.0), (folders[1], 0.0)])
    answers = []
    for policy in (mixture, alone(recipe, folders[0])):
        torch.manual_seed(1)
        answers.append(complete(policy, tokenizer, PROMPTS, sampling)[0].tolist())
    assert answers[0] == answers[1]


def test_a_mixture_is_measured_as_an_adapter_is(
    recipe: Path, trained: Portfolio, folders: list[Path], model: Any, tokenizer: Any
) -> None:
    """The same rewards and log-ratios where it is that adapter; where it is the base model, log-ratios of 0."""
    from palm_opt.align.measuring.evaluate import Policies
    from palm_opt.align.measuring.prompts import load_prompts
    from palm_opt.align.measuring.rewards import resolve_rewards

    loaded = load_recipe(recipe.with_name("apart.toml"))
    rows, rewards = load_prompts(loaded).select[:4], resolve_rewards(loaded)
    policies = Policies(model, tokenizer, loaded)
    one = policies.measure([(folders[0], 1.0)], rows, rewards)
    same = policies.measure([(folders[0], 1.0), (None, 0.0)], rows, rewards)
    none = policies.measure([(folders[0], 0.0), (None, 1.0)], rows, rewards)
    base = policies.measure([], rows, rewards)
    for name in loaded.reward_names:
        np.testing.assert_array_equal(one[name], same[name])
        np.testing.assert_array_equal(base[name], none[name])
    np.testing.assert_allclose(one["kl"], same["kl"], atol=1e-4)
    np.testing.assert_allclose(none["kl"], 0, atol=1e-4)
    assert np.abs(one["kl"]).max() > 1e-2


def test_the_loop_measures_mixtures_and_any_member_answers(recipe: Path, tmp_path: Path) -> None:
    file, out = recipe.with_name("decoding.toml"), tmp_path / "p"
    file.write_text(restless("decoding = true\nsoups = true"))
    portfolio = run(file, out, progress=lambda line: None)
    entries, _ = read_journal(out / "journal.jsonl")
    events = [(entry["event"], entry.get("name", "")) for entry in entries]
    line = next(entry for entry in entries if entry["event"] == "blended")
    assert line["soups"] and line["mixtures"] and line["mixtures"][0]["weight"] == line["soups"][0]["weight"]
    names = [name for event, name in events if event == "measured" and name.startswith("mod-")]
    assert names and events.index(("blended", "")) < events.index(("measured", names[0]))
    assert all(not name.startswith("mod-") for event, name in events if event in ("intent", "result"))
    assert all(name in (out / "values.csv").read_text() for name in names)
    assert portfolio.generation == load_recipe(file).sampling

    before = (out / "journal.jsonl").read_bytes()
    again = run(file, out, progress=lambda line: None)
    assert (out / "journal.jsonl").read_bytes() == before and again.members == portfolio.members
    for member in portfolio.members:
        answers = load_member(out, member.name, base=recipe.parent / "base").generate(PROMPTS, seed=1)
        assert len(answers) == 3 and all(isinstance(answer, str) for answer in answers)


@pytest.mark.usefixtures("no_gradients")
def test_a_mixture_in_a_directory_is_routed_to_and_answers(
    recipe: Path, trained: Portfolio, folders: list[Path], model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    import torch

    from palm_opt.align.policies.mixture import Mixture
    from palm_opt.align.policies.sampling import complete

    root = tmp_path / "p"
    shutil.copytree(trained.path, root)
    manifest = json.loads((root / "portfolio.json").read_text())
    parts = {folders[0].name: 0.75, folders[1].name: 0.25}
    best = {"early": 1.0, "length": 20.0}
    member = {**manifest["members"][-1], "name": "mod-75-25", "weight": None, "adapter": None, "parts": parts}
    manifest["members"] = [manifest["members"][0], {**member, "value": best}]
    del manifest["files"]["values.csv"]
    manifest["tolerances"] = {"epsilon": 0.0, "delta": 0.1}
    write_manifest(root / "portfolio.json", manifest)
    found = route(root, {"early": 1})
    assert (found.member, found.parts, found.adapter) == ("mod-75-25", parts, None)
    loaded = load_member(root, found.member, base=recipe.parent / "base")
    assert loaded.generate(PROMPTS, seed=5) == loaded.generate(PROMPTS, seed=5)
    assert loaded.generate(PROMPTS, seed=5) != loaded.generate(PROMPTS, seed=6)
    mixture = Mixture(model, [(folders[0], 0.75), (folders[1], 0.25)])
    torch.manual_seed(5)
    ids, mask, width = complete(mixture, tokenizer, PROMPTS, loaded.generation)
    expected = [row[keep.bool()].tolist() for row, keep in zip(ids[:, width:], mask[:, width:], strict=True)]
    assert loaded.generate(PROMPTS, seed=5) == tokenizer.batch_decode(expected, skip_special_tokens=True)
    for wrong in ("one text", [], ["a", [{"role": "user", "content": "b"}]]):
        with pytest.raises(ProblemError, match="prompts"):
            loaded.generate(wrong)
    with pytest.raises(ProblemError, match="num_beams"):
        loaded.generate(PROMPTS, num_beams=2)
    with pytest.raises(StoreError, match="not the base model"):
        (tmp_path / "other").mkdir()
        shutil.copytree(recipe.parent / "base", tmp_path / "other", dirs_exist_ok=True)
        (tmp_path / "other" / "generation_config.json").write_text("{}")
        load_member(root, found.member, base=tmp_path / "other")
    file = root / "adapters" / folders[1].name / "adapter_model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(StoreError, match="SHA-256"):
        load_member(root, found.member, base=recipe.parent / "base")
