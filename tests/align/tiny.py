"""A recipe that trains in a second or two: a random base model of one small layer, two rewards, three weights."""

from __future__ import annotations

import json
from pathlib import Path

WEIGHTS = [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
REWARDS = """
def early(completions, **_):
    return [sum(c in "abcdefgh" for c in text.lower()) / max(1, len(text)) for text in completions]


def late(completions, **_):
    return [1 - score for score in early(completions)]


def length(prompts, completions, hint, trainer_state, **_):
    assert len(hint) == len(prompts)
    return [float(len(text)) for text in completions]
"""
RECIPE = """
seed = 3
[model]
base = "./base"
[prompts]
source = "prompts.jsonl"
[rewards]
early = { function = "own:early" }
length = { function = "own:length", low = 0, high = 20 }
[train]
beta = 0.01
steps = 2
batch = 8
generations = 4
learning_rate = 1e-2
[train.trl]
max_grad_norm = 0.5
[lora]
r = 2
[generation]
max_new_tokens = 8
[evaluation]
prompts = 12
generations = 3
batch = 10
[plan]
reference = "pool"
lattice = 2
delta = 0.02
[budget]
trainings = 3
[device]
threads = 1
"""


def changed(text: str, *pairs: tuple[str, str]) -> str:
    """A recipe's text with settings replaced, each of which must be there."""
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def restless(option: str) -> str:
    """A recipe with rewards of sum 1, so that no policy beats another at every weight: a second round is sure."""
    return changed(
        RECIPE,
        ('"pool"', '"oracle"'),
        ('length = { function = "own:length", low = 0, high = 20 }', 'late = { function = "own:late" }'),
        ("lattice = 2", f"trainer_gamma = 0.0005\n{option}"),
        ("trainings = 3", "trainings = 4"),
        ("delta = 0.02", "delta = 0.001"),
        ("rate = 1e-2", "rate = 0.1"),
        ("steps = 2", "steps = 8"),
    )


def save_tiny_model(folder: Path, chat: bool = False) -> None:
    """A random Llama of one small layer with its tokenizer, as a base model."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from palm_opt.align.policies import pretrain

    tokenizer = pretrain._tokenizer(["say something about the number of things"] * 3)
    if chat:
        tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1, bos_token_id=None, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_recipe(folder: Path) -> Path:
    """Write recipe.toml, its rewards, prompts and base model."""
    (folder / "own.py").write_text(REWARDS)
    prompts = [json.dumps({"prompt": f"Say something about {i}:", "hint": str(i)}) for i in range(60)]
    (folder / "prompts.jsonl").write_text("\n".join(prompts))
    (folder / "recipe.toml").write_text(RECIPE)
    save_tiny_model(folder / "base")
    return folder / "recipe.toml"
