"""Whatever call a run is killed at, or finds the disk full at: the next run loses nothing and ends the same."""

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
    (folder / "recipe.toml").write_text(
        changed(RECIPE, ("prompts = 12", "prompts = 6"), ("lattice = 2", "lattice = 1\ndecoding = true"))
    )
    return folder / "recipe.toml"


@pytest.mark.parametrize(("mode", "least"), [("kill", 100), ("torn", 20), ("full", 50), ("damage", 100)])
def test_nothing_is_lost_done_twice_or_used_damaged(mode: str, least: int, recipe: Path, tmp_path: Path) -> None:
    """Each call of a run that changes the disk, and each file of a finished directory."""
    command = [sys.executable, "-m", "tests.align.faults", mode, str(recipe), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least
