"""A Hugging Face reward model as a reward function: sequence classification with one logit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palm_opt.align.policies.hub import find_model
from palm_opt.align.recipe.declaration import Device
from palm_opt.errors import RecipeError

__all__ = ["RewardModel"]

_BATCH = 32  #: texts at a time
_LONGEST = 100_000  #: a `model_max_length` above this means that the tokenizer states none


class RewardModel:
    """Callable as a TRL reward function: the logit of prompt and completion, by the chat template for messages.

    The model is loaded by the first call. A text that is longer than the model reads loses its beginning.
    """

    def __init__(self, folder: Path, device: Device) -> None:
        self.folder = folder
        self._device = device
        self._loaded: tuple[Any, Any, int] | None = None

    @classmethod
    def find(cls, name: str, revision: str, beside: Path, device: Device, offline: bool = False) -> RewardModel:
        """A reward model by folder (looked up in `beside`) or hub name; raises RecipeError unless it has one logit."""
        folder, _ = find_model(name, revision, beside, offline)
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            logits = len(config["id2label"]) if "id2label" in config else int(config.get("num_labels", 2))
            kinds = list(config.get("architectures") or [])
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise RecipeError(f"no readable config.json in {folder}: {error}") from error
        if not any(str(kind).endswith("ForSequenceClassification") for kind in kinds):
            raise RecipeError(f"expected a sequence classification model, got {', '.join(map(str, kinds)) or 'none'}")
        if logits != 1:
            raise RecipeError(f"expected a model with one logit, got {logits}")
        return cls(folder, device)

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float]:
        """One logit a completion."""
        import torch

        model, tokenizer, longest = self._loaded = self._loaded or self._load()
        scores: list[float] = []
        for start in range(0, len(prompts), _BATCH):
            pairs = list(zip(prompts[start : start + _BATCH], completions[start : start + _BATCH], strict=True))
            chat = not isinstance(pairs[0][0], str)
            texts = [
                tokenizer.apply_chat_template([*prompt, *answer], tokenize=False) if chat else prompt + answer
                for prompt, answer in pairs
            ]
            inputs = tokenizer(
                texts,
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=longest,
                add_special_tokens=not chat,  # a template writes its own
            ).to(model.device)
            with torch.inference_mode():
                scores.extend(model(**inputs).logits[:, 0].float().tolist())
        return scores

    def _load(self) -> tuple[Any, Any, int]:
        """Model, tokenizer, and the most tokens that the model reads."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from palm_opt.align.policies.base import place, precision

        model, info = AutoModelForSequenceClassification.from_pretrained(
            self.folder,
            dtype=getattr(torch, precision(self._device.precision)),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        if info["missing_keys"]:
            raise RecipeError(f"{self.folder}: weights are missing: {', '.join(sorted(info['missing_keys'])[:3])}")
        tokenizer = AutoTokenizer.from_pretrained(
            self.folder, padding_side="right", truncation_side="left", trust_remote_code=False
        )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id  # the last real token carries the logit
        limits = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
        longest = min(limit for limit in (*limits, _LONGEST) if limit)
        return model.to(place()).eval(), tokenizer, longest
