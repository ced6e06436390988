"""Reward models by name: one logit, safetensors only, the same scores whatever the batch, chat templates."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from palm_opt.align import load_recipe
from palm_opt.align.check import check_recipe
from palm_opt.align.measuring.rewards import resolve_rewards
from palm_opt.align.training.setup import training_sha256
from palm_opt.errors import ProblemError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

RECIPE = """
[model]
base = "embedded"
[prompts]
source = "embedded"
[rewards]
judge = { model = "judge", low = -0.2, high = 0.2 }
brevity = { function = "palm_opt.align.embedded:brevity" }
[train]
beta = 0.002
steps = 2
learning_rate = 5e-3
[generation]
max_new_tokens = 24
[device]
threads = 1
"""


def save_judge(folder: Path, labels: int = 1, chat: bool = False) -> None:
    """A random sequence classifier of one small layer."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    from palm_opt.align import embedded
    from palm_opt.align.policies import pretrain

    tokenizer = pretrain._tokenizer(embedded.prompts()[:200])
    if chat:
        tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), num_labels=labels, pad_token_id=0, max_position_embeddings=64, **shape
    )
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    save_judge(tmp_path / "judge")
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_scores_do_not_depend_on_the_batch(recipe: Path) -> None:
    judge = resolve_rewards(load_recipe(recipe))[0]
    prompts = [f"Q: what is {i}?\nA:" for i in range(70)]
    answers = [" It can fly." * (1 + i % 9) for i in range(70)]
    together = judge.score(prompts, answers, trainer_state=None)
    alone = [judge.score([p], [a])[0] for p, a in zip(prompts, answers, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.unique(together).size > 5 and judge.__name__ == "judge"
    scaled = judge(prompts, answers)
    np.testing.assert_allclose(scaled, (together + 0.2) / 0.4, atol=1e-12)
    # a text that is too long loses its beginning, not the answer
    long = judge.score(["x" * 5000, "y" * 5000], [" It can fly.", " It can dig."])
    assert long[0] == pytest.approx(judge.score(["x" * 6000], [" It can fly."])[0], abs=1e-5) and long[0] != long[1]


def test_messages_go_through_the_chat_template(tmp_path: Path) -> None:
    save_judge(tmp_path / "judge", chat=True)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    judge = resolve_rewards(load_recipe(tmp_path / "recipe.toml"))[0]
    messages = judge.score([[{"role": "user", "content": "hi"}]], [[{"role": "assistant", "content": "well"}]])
    assert messages[0] == pytest.approx(judge.score(["[user]hi"], ["[assistant]well"])[0], abs=1e-6)


def test_the_model_is_part_of_the_training_key(recipe: Path) -> None:
    before = training_sha256(load_recipe(recipe))
    assert before == training_sha256(load_recipe(recipe))
    save_judge(recipe.parent / "judge", chat=True)
    assert training_sha256(load_recipe(recipe)) != before


@pytest.mark.parametrize(
    ("spoil", "piece"),
    [
        ("labels", "expected a model with one logit, got 3"),
        ("pickle", "no .safetensors file"),
        ("config", "no readable config.json"),
        ("causal", "expected a sequence classification model, got LlamaForCausalLM"),
        ("both", 'expected function = "module:function" or model = "folder or hub name", one of them'),
    ],
)
def test_other_models_are_refused_before_anything_runs(recipe: Path, spoil: str, piece: str) -> None:
    judge = recipe.parent / "judge"
    config = json.loads((judge / "config.json").read_text())
    if spoil == "labels":
        save_judge(judge, labels=3)
    elif spoil == "pickle":
        (judge / "model.safetensors").rename(judge / "pytorch_model.bin")
    elif spoil == "config":
        (judge / "config.json").write_text("{")
    elif spoil == "causal":
        (judge / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForCausalLM"]}))
    else:
        recipe.write_text(RECIPE.replace('model = "judge"', 'model = "judge", function = "m:f"'))
    errors = check_recipe(recipe).errors
    assert len(errors) == 1 and piece in errors[0] and errors[0].startswith("rewards.judge"), errors


def test_a_model_without_a_trained_head_is_refused(recipe: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = recipe.parent / "judge" / "model.safetensors"
    save_file({k: x for k, x in load_file(file).items() if not k.startswith("score")}, file, {"format": "pt"})
    judge = resolve_rewards(load_recipe(recipe))[0]
    with pytest.raises(ProblemError, match=r"reward 'judge' .*weights are missing: score\.weight"):
        judge.score(["a"], ["b"])


def test_training_with_a_reward_model(recipe: Path, embedded_cache: Path, tmp_path: Path) -> None:
    for library in ("trl", "peft", "datasets", "filelock"):
        pytest.importorskip(library)
    from palm_opt.align.policies.base import quiet
    from palm_opt.align.training.setup import Setup
    from palm_opt.align.training.train import train_adapter

    loaded = load_recipe(recipe)
    with quiet(loaded.device):
        setup = Setup.load(loaded, lambda line: None)
        (tmp_path / "a").mkdir()
        result = train_adapter([0.5, 0.5], setup, tmp_path / "a")
    assert set(result["curve"][0]["rewards"]) == {"judge", "brevity"}
    assert 0 < result["curve"][0]["rewards"]["judge"] < 1 and setup.rewards[0].scored == 64
    assert dataclasses.asdict(loaded.rewards[0])["model"] == "judge"
