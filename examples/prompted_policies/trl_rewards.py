"""The rewards of rewards.py as TRL calls them; train.toml names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rewards


def _texts(turns: Sequence[Any]) -> list[str]:
    """The text of prompts or completions, which are texts or lists of chat messages."""
    return [turn if isinstance(turn, str) else turn[-1]["content"] for turn in turns]


def positivity(prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float]:
    """Sentiment (VADER)."""
    return rewards.positivity(_texts(prompts), _texts(completions))


def brevity(prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float]:
    """Few words."""
    return rewards.brevity(_texts(prompts), _texts(completions))


def relevance(prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float]:
    """Likeness of request and answer (MiniLM)."""
    return rewards.relevance(_texts(prompts), _texts(completions))
