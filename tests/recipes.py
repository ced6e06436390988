"""The smallest recipe, and a file of one, for the tests of recipes."""

from __future__ import annotations

from pathlib import Path

MINIMAL = """
[model]
base = "embedded"
[prompts]
source = "embedded"
[rewards]
short = { function = "palm_opt.align.embedded:brevity" }
"""


def write(folder: Path, text: str) -> Path:
    """Write a recipe's text as recipe.toml."""
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path
