"""Commands that train and deploy: recipe check, align, run, route, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from palm_opt.cli import options as opt
from palm_opt.cli.output import emit, emit_json, facts, short, table

__all__ = ["align", "check", "report", "route", "run"]

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file (.toml).")]
OutDirectory = Annotated[Path, typer.Option("--out", metavar="DIR", help="Portfolio directory; resumed if it exists.")]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Portfolio directory.")]


def check(recipe: RecipeFile, json: opt.Json = False) -> None:
    """Check a recipe without training: every fault with its key."""
    from palm_opt.align import Recipe

    loaded = Recipe.load(recipe)
    emit_json({"recipe": recipe, "ok": True}) if json else emit(f"{recipe}: ok")


