"""The embedded base model: a tokenizer and a small Llama, trained offline on the embedded task, then cached."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from palm_opt.align import embedded

__all__ = ["cache_folder", "embedded_base"]

STEPS = 320
BATCH = 32
RATE = 4e-3
VOCABULARY = 384
SHAPE = {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}


def cache_folder() -> Path:
    """$PALM_CACHE, or ~/.cache/palm_opt."""
    return Path(os.environ.get("PALM_CACHE") or Path.home() / ".cache" / "palm_opt").expanduser()


def embedded_base(say: Callable[[str], None]) -> Path:
    """Folder of the embedded base model; trains it the first time (under a minute), then finds it in the cache.

    The folder is named by a hash of the code that makes it, and renamed into place when complete.
    """
    sources = (Path(embedded.__file__), Path(__file__))
    key = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = cache_folder() / f"embedded-{key}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    say("pre-training the embedded base model (once; then cached)")
    temporary = Path(tempfile.mkdtemp(prefix=".embedded-", dir=folder.parent))
    try:
        _build(temporary)
        try:
            temporary.rename(folder)
        except OSError:  # another process was first
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _corpus(count: int, rng: random.Random) -> list[tuple[str, str]]:
    every = embedded.prompts()
    pairs = []
    for _ in range(count):
        prompt = rng.choice(every)
        pairs.append((prompt, embedded.answer(embedded.animal_of(prompt), rng)))
    return pairs


def _tokenizer(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", padding_side="left", model_max_length=256
    )


def _build(folder: Path) -> None:
    """Train and save; the same machine and thread count give the same bytes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    rng = random.Random(0)
    pairs = _corpus(STEPS * BATCH, rng)
    tokenizer = _tokenizer([prompt + answer for prompt, answer in pairs[:4000]])
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=256,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            **SHAPE,
        )
        model = LlamaForCausalLM(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.1)
        for step in range(STEPS):
            rows = pairs[step * BATCH : (step + 1) * BATCH]
            ids, labels = _batch(tokenizer, rows)
            loss = model(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        model.eval()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)


def _batch(tokenizer: Any, rows: list[tuple[str, str]]) -> tuple[Any, Any]:
    """Right-padded ids (pad is 0) and labels that score the answers only."""
    import torch

    left = [tokenizer.encode(prompt) for prompt, _ in rows]
    right = [[*tokenizer.encode(answer), tokenizer.eos_token_id] for _, answer in rows]
    width = max(len(a) + len(b) for a, b in zip(left, right, strict=True))
    ids, labels = torch.zeros(len(rows), width, dtype=torch.long), torch.full((len(rows), width), -100)
    for i, (a, b) in enumerate(zip(left, right, strict=True)):
        ids[i, : len(a) + len(b)] = torch.tensor(a + b)
        labels[i, len(a) : len(a) + len(b)] = torch.tensor(b)
    return ids, labels
