"""Resuming within a training: kill -9, a flipped byte, and still the same adapter to the last bit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palm_opt.align import load_recipe
from palm_opt.align.training.checkpoints import MANIFEST, discard_checkpoints, newest_checkpoint, seal_checkpoint
from tests.align.tiny import RECIPE, make_recipe

for _library in ("torch", "trl", "peft", "datasets", "transformers", "filelock"):
    pytest.importorskip(_library)

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.align.test_checkpoints import train


def die(point):
    if point["step"] == 5:
        os.kill(os.getpid(), signal.SIGKILL)


train(Path(sys.argv[1]), Path(sys.argv[2]), checkpoints=Path(sys.argv[3]), progress=die)
"""


class Stop(Exception):
    """Ends a training from its progress callback."""


def train(recipe_file: Path, folder: Path, **options: Any) -> dict[str, Any]:
    from palm_opt.align.policies.base import quiet
    from palm_opt.align.training.setup import Setup
    from palm_opt.align.training.train import train_adapter

    recipe = load_recipe(recipe_file)
    folder.mkdir()
    with quiet(recipe.device):
        return train_adapter([0.25, 0.75], Setup.load(recipe, lambda line: None), folder, **options)


def stop_at(step: int) -> Callable[[dict[str, Any]], None]:
    def stop(point: dict[str, Any]) -> None:
        if point["step"] == step:
            raise Stop

    return stop


def saving(trainer: str) -> str:
    """The tiny recipe with six steps of a trainer and a checkpoint every second one."""
    before = "beta = 0.01\nsteps = 2\n"
    assert before in RECIPE
    return RECIPE.replace(before, f'trainer = "{trainer}"\nbeta = 0.05\nsteps = 6\nsave_every = 2\n')


@pytest.fixture(params=["grpo", "rloo", "dpo-rerank"])
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = make_recipe(tmp_path)
    path.write_text(saving(request.param))
    return path


def test_killed_and_corrupted_it_resumes_to_the_same_bits(recipe: Path, tmp_path: Path) -> None:
    store = tmp_path / "checkpoints"
    plain = train(recipe, tmp_path / "a", progress=lambda point: None)  # without checkpoints
    if 'trainer = "grpo"' in recipe.read_text():
        command = [sys.executable, "-c", KILLED, str(recipe), str(tmp_path / "b"), str(store)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=200)
        assert done.returncode == -signal.SIGKILL
    else:
        with pytest.raises(Stop):
            train(recipe, tmp_path / "b", checkpoints=store, progress=stop_at(5))
    (own,) = store.iterdir()
    assert sorted(item.name for item in own.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    weights = own / "checkpoint-4" / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    steps: list[int] = []
    resumed = train(recipe, tmp_path / "c", checkpoints=store, progress=lambda point: steps.append(point["step"]))
    assert steps == [3, 4, 5, 6]  # from checkpoint-2: the newer one was not whole
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "a" / name).read_bytes()
    assert resumed["curve"] == plain["curve"] and resumed["training_reward"] == plain["training_reward"]
    assert sorted(item.name for item in own.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-6"]
    # killed after the last checkpoint, before the adapter was acknowledged: no step is done again
    again = train(recipe, tmp_path / "d", checkpoints=store, progress=stop_at(1))
    assert (tmp_path / "d" / weights.name).read_bytes() == (tmp_path / "a" / weights.name).read_bytes()
    assert again["curve"] == plain["curve"]
    discard_checkpoints(store, own.name)
    assert not own.exists()


def test_the_newest_whole_checkpoint_of_the_same_key(tmp_path: Path) -> None:
    def make(step: int, key: str) -> Path:
        folder = tmp_path / f"checkpoint-{step}"
        (folder / "inner").mkdir(parents=True)
        (folder / "weights").write_text(f"{step}")
        (folder / "inner" / "state").write_text(f"state {step}")
        seal_checkpoint(folder, key)
        return folder

    assert newest_checkpoint(tmp_path / "none", "k") is None
    make(2, "k"), make(10, "k"), make(9, "k")
    assert newest_checkpoint(tmp_path, "k") == tmp_path / "checkpoint-10"
    assert not (tmp_path / "checkpoint-2").exists()  # two are kept
    (tmp_path / "checkpoint-10" / "more").write_text("not in the manifest")
    assert newest_checkpoint(tmp_path, "k") == tmp_path / "checkpoint-9"
    assert not (tmp_path / "checkpoint-10").exists()
    make(11, "another")
    assert newest_checkpoint(tmp_path, "k") == tmp_path / "checkpoint-9"
    spoils: list[Callable[[Path], object]] = [
        lambda bad: (bad / MANIFEST).write_text('{"key": "k", "files": {}'),
        lambda bad: (bad / MANIFEST).write_text('{"key": "k", "files": 3}'),
        lambda bad: (bad / MANIFEST).unlink(),
        lambda bad: (bad / "inner" / "state").write_text("state 8"),
        lambda bad: (bad / "weights").unlink(),
        lambda bad: ((bad / "weights").unlink(), (bad / "weights").symlink_to(tmp_path / "checkpoint-9" / "weights")),
    ]
    for spoil in spoils:
        bad = Path(shutil.copytree(tmp_path / "checkpoint-9", tmp_path / "checkpoint-12"))
        assert newest_checkpoint(tmp_path, "k") == bad
        spoil(bad)
        assert newest_checkpoint(tmp_path, "k") == tmp_path / "checkpoint-9"
        assert not bad.exists()
