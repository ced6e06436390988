"""Killed, interrupted or out of disk at any call, a run loses nothing: the next one ends the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("filelock")

from tests.align.tiny import RECIPE, REWARDS, changed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crash")
    (folder / "own.py").write_text(REWARDS)
    (folder / "base").mkdir()
    prompts = [json.dumps({"prompt": f"Say something about {i}:", "hint": str(i)}) for i in range(40)]
    (folder / "prompts.jsonl").write_text("\n".join(prompts))
    oracle = ('reference = "pool"\nlattice = 2', 'reference = "oracle"\ntrainer_gamma = 0.005\ndecoding = true')
    (folder / "recipe.toml").write_text(changed(RECIPE, ("prompts = 12", "prompts = 6"), oracle))
    return folder / "recipe.toml"


@pytest.mark.parametrize(
    ("mode", "most"), [("kill", 90), ("torn", 20), ("full", 60), ("interrupt", 80), ("damage", 60)]
)
def test_nothing_is_lost_done_twice_or_used_damaged(mode: str, most: int, recipe: Path, tmp_path: Path) -> None:
    """At every kind of call of a run that changes the disk, and in every file of a finished directory.

    The run has two rounds and publishes twice, so that one portfolio replaces another.
    """
    command = [sys.executable, "-m", "tests.align.faults", mode, str(recipe), str(tmp_path), str(most)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(f"{mode}: {done.stdout.strip()}")  # shown by pytest -rP
    assert int(done.stdout.split()[0]) >= most
