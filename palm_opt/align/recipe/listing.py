"""All keys of a recipe, for people: Markdown for docs/alignment.md, which a test compares, and pairs for --help."""

from __future__ import annotations

from palm_opt.align.recipe.declaration import SETTINGS, TRL_ARGUMENTS, Reward
from palm_opt.align.recipe.settings import settings_of

__all__ = ["markdown", "pairs", "trl_markdown"]

_EVERY = (*SETTINGS, *settings_of("rewards.NAME", Reward))


def markdown() -> str:
    """The table of settings."""
    lines = ["| key | default | allowed | |", "|---|---|---|---|"]
    for s in _EVERY:
        default = s.shown if s.shown == "required" else f"`{s.shown}`"
        lines.append(f"| `{s.key}` | {default} | {s.expected.replace(chr(39), chr(96))} | {s.text} |")
    return "\n".join(lines) + "\n"


def pairs() -> list[tuple[str, str]]:
    """Each setting, and its text with what is expected and the default."""
    return [(s.key, f"{s.text.replace('`', '')} ({s.expected}; {s.shown})") for s in _EVERY]


def trl_markdown() -> str:
    """The arguments of `[train.trl]`, by the trainers that take them."""
    lines = ["| `[train.trl]` | trainers |", "|---|---|"]
    for trainers in dict.fromkeys(trainers for _, trainers in TRL_ARGUMENTS.values()):
        names = sorted(name for name, (_, those) in TRL_ARGUMENTS.items() if those == trainers)
        lines.append(f"| `{'`, `'.join(names)}` | {', '.join(trainers)} |")
    return "\n".join(lines) + "\n"
