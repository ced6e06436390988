"""Small models for the tests that train: made once a session, offline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def embedded_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of the embedded base model: $PALM_CACHE, or a new one for this session."""
    before = os.environ.get("PALM_CACHE")
    folder = Path(before) if before else tmp_path_factory.mktemp("cache")
    os.environ["PALM_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["PALM_CACHE"]


def save_tiny_model(folder: Path, chat: bool = False) -> None:
    """A random Llama of one small layer with its tokenizer, as a base model."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from palm_opt.align import pretrain

    tokenizer = pretrain._tokenizer(["say something about the number of things"] * 3)
    if chat:
        tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1, bos_token_id=None, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
