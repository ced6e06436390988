"""Answers of a policy: sampled in a batch, and read back as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["complete", "decoded"]


def complete(model: Any, tokenizer: Any, prompts: Sequence[Any], sampling: Mapping[str, Any]) -> tuple[Any, Any, int]:
    """Sample a completion of each prompt.

    Parameters
    ----------
    prompts : n texts, or n lists of chat messages.
    sampling : arguments of `generate`, as `Recipe.sampling` has them.

    Returns
    -------
    ids, mask : (n, width + length) tokens, and 1 where they are of a prompt or completion: up to its first end, itself
        included. width : where completions begin.
    """
    import torch
    from trl.data_utils import is_conversational, maybe_apply_chat_template

    texts = [maybe_apply_chat_template({"prompt": prompt}, tokenizer)["prompt"] for prompt in prompts]
    chat = is_conversational({"prompt": prompts[0]})
    inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=not chat).to(model.device)
    inputs.pop("token_type_ids", None)
    ids = model.generate(**inputs, do_sample=True, pad_token_id=tokenizer.pad_token_id, **sampling)
    width = inputs["input_ids"].shape[1]
    end = model.generation_config.eos_token_id
    ends = torch.tensor(end if isinstance(end, list) else [tokenizer.eos_token_id if end is None else end])
    ended = torch.isin(ids[:, width:], ends.to(ids.device)).int()
    kept = (ended.cumsum(1) - ended) == 0
    return ids, torch.cat([inputs["attention_mask"], kept.long()], dim=1), width


def decoded(tokenizer: Any, ids: Any, mask: Any, width: int) -> tuple[list[list[int]], list[str]]:
    """The tokens of each completion that `complete` made, up to its end, and its text."""
    kept = mask[:, width:].bool()
    tokens = [row[keep].tolist() for row, keep in zip(ids[:, width:], kept, strict=True)]
    return tokens, list(tokenizer.batch_decode(tokens, skip_special_tokens=True))
