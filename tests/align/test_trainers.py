"""Every trainer trains the embedded model for real; warm starts keep the reference; every argument exists in TRL."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palm_opt.align import load_recipe
from palm_opt.align.measuring.prompts import sample_of
from palm_opt.align.policies.base import load_model, quiet
from palm_opt.align.recipe.declaration import TRAINERS, TRL_ARGUMENTS
from palm_opt.align.training.pairs import SamplePool, sample_pool
from palm_opt.align.training.setup import Setup
from palm_opt.align.training.train import train_adapter
from palm_opt.align.training.trainers import Job, arguments
from palm_opt.errors import ProblemError

for _library in ("torch", "trl", "peft", "datasets", "transformers", "filelock"):
    pytest.importorskip(_library)

ROOT = Path(__file__).resolve().parents[2]
TRAIN = {
    "grpo": {"steps": 8, "beta": 0.002},
    "rloo": {"steps": 8, "beta": 0.002},
    "dpo-rerank": {"steps": 10, "batch": 16, "beta": 0.1, "pool": 96, "generations": 6},
}


@dataclasses.dataclass(frozen=True)
class Task(Setup):
    """The embedded task, ready to train on."""

    def with_train(self, **train: Any) -> Task:
        recipe = dataclasses.replace(self.recipe, train=dataclasses.replace(self.recipe.train, **train))
        return dataclasses.replace(self, recipe=recipe)

    def train(self, weight: list[float], folder: Path, **options: Any) -> dict[str, Any]:
        folder.mkdir(parents=True)
        with quiet(self.recipe.device):
            return train_adapter(weight, self, folder, **options)

    def value(self, adapter: Path | None) -> np.ndarray:
        """Mean rewards on held-out prompts."""
        from palm_opt.align.measuring.evaluate import Policies

        with quiet(self.recipe.device):
            policies = Policies(load_model(self.base, self.recipe.device.precision), self.tokenizer, self.recipe)
            columns = policies.measure([(adapter, 1.0)], sample_of(self.prompts.select, 96), self.rewards)
        return np.array([columns[name].mean() for name in self.recipe.reward_names])


@pytest.fixture(scope="module")
def task(embedded_cache: Path) -> Task:
    recipe = load_recipe(ROOT / "examples" / "embedded.toml")
    with quiet(recipe.device):
        return Task.load(recipe, lambda line: None)


@pytest.fixture(scope="module")
def base_value(task: Task) -> np.ndarray:
    return task.value(None)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_trainer_moves_the_value(trainer: str, task: Task, base_value: np.ndarray, tmp_path: Path) -> None:
    weight = [0.2, 0.8, 0.0]
    mine = task.with_train(trainer=trainer, **TRAIN[trainer])
    points: list[dict[str, Any]] = []
    result = mine.train(weight, tmp_path / "a", cache=tmp_path / "cache", progress=points.append)
    gain = (mine.value(tmp_path / "a") - base_value) @ weight
    assert gain > 0.04, gain
    assert result["curve"] == points and [point["step"] for point in points] == list(range(1, 1 + len(points)))
    if trainer == "dpo-rerank":
        assert result["training_reward"] is None and points[-1]["loss"] < points[0]["loss"]
        assert len(list((tmp_path / "cache").glob("pool-*.parquet"))) == 1
    else:
        assert result["training_reward"] == points[-1]["reward"]
        assert set(points[0]["rewards"]) == set(task.recipe.reward_names) and points[0]["kl"] is not None
        parts = [points[0]["rewards"][name] for name in task.recipe.reward_names]
        assert points[0]["reward"] == pytest.approx(np.dot(parts, weight), abs=1e-6)


def test_warm_start_goes_on_from_the_neighbour(task: Task, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    mine = task.with_train(steps=4, warm_steps=1)
    mine.train([0.0, 1.0, 0.0], tmp_path / "a")
    again = mine.with_train(learning_rate=1e-12).train([0.1, 0.9, 0.0], tmp_path / "b", start=tmp_path / "a")
    assert len(again["curve"]) == 1
    a, b = (load_file(tmp_path / name / "adapter_model.safetensors") for name in "ab")
    assert all(np.allclose(a[name], b[name], atol=1e-9) for name in a)
    # the KL is that to the base model, not to the adapter it started from
    assert again["curve"][0]["kl"] > 1e-3
    assert mine.key([0.1, 0.9, 0.0]) != mine.key([0.1, 0.9, 0.0], tmp_path / "a")
    other = dataclasses.replace(mine.recipe, lora=dataclasses.replace(mine.recipe.lora, r=2))
    with pytest.raises(ProblemError, match="expected an adapter with the recipe's rank"):
        dataclasses.replace(mine, recipe=other).train([0.1, 0.9, 0.0], tmp_path / "c", start=tmp_path / "a")


def test_pool_is_sampled_once_and_ranked_by_the_weight(task: Task, tmp_path: Path) -> None:

    mine = task.with_train(trainer="dpo-rerank", pool=5, generations=4, beta=0.1)

    def sample() -> SamplePool:
        with quiet(mine.recipe.device):
            return sample_pool(mine, tmp_path)

    first = sample()
    (file,) = tmp_path.glob("pool-*.parquet")
    again = sample()
    assert again.completions == first.completions and np.array_equal(again.scores, first.scores)
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    assert sample().completions == first.completions  # damaged: sampled again, from the same seed
    assert first.scores.shape == (5, 4, 3)
    for pair in first.pairs([0.0, 1.0, 0.0]):
        words = [len(pair[side].split()) for side in ("chosen", "rejected")]
        assert words[0] < words[1]
    tied = SamplePool(["p"], [["a", "b"]], np.zeros((1, 2, 3)))
    with pytest.raises(ProblemError, match="nothing to learn from"):
        tied.pairs([0.0, 1.0, 0.0])


def configs() -> dict[str, set[str]]:
    import trl

    return {name: {f.name for f in dataclasses.fields(getattr(trl, config))} for name, config in TRAINERS.items()}


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("vllm", ["off", "colocate", "server"])
def test_every_argument_exists_in_the_installed_trl(trainer: str, vllm: str, task: Task, tmp_path: Path) -> None:
    import trl

    mine = task.with_train(trainer=trainer, report_to="trackio", beta=0.1)
    recipe = dataclasses.replace(mine.recipe, device=dataclasses.replace(mine.recipe.device, vllm=vllm))
    mine = dataclasses.replace(mine, recipe=recipe)
    job = Job(mine, [1.0, 0.0, 0.0], tmp_path, 3, save=True, report=True)
    passed = arguments(job)
    assert set(passed) <= configs()[trainer]
    made = getattr(trl, TRAINERS[trainer])(**{**passed, "report_to": "none"})
    assert made.beta == 0.1 and made.report_to == [] and not made.push_to_hub
    if vllm == "server" and trainer != "dpo-rerank":
        assert made.vllm_server_base_url.startswith("http://127.0.0.1:")  # TRL's own default is 0.0.0.0


def test_trl_arguments_are_listed_for_the_trainers_that_have_them() -> None:
    fields = configs()
    for name, (_, trainers) in TRL_ARGUMENTS.items():
        assert set(trainers) == {trainer for trainer in TRAINERS if name in fields[trainer]}, name


def test_reports_go_to_the_folder_of_the_run(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not any(importlib.util.find_spec(name) for name in ("tensorboard", "tensorboardX")):
        pytest.skip("neither tensorboard nor tensorboardX is installed")
    monkeypatch.chdir(tmp_path)
    mine = task.with_train(steps=1, batch=4, generations=4, report_to="tensorboard")
    mine.train([0.0, 1.0, 0.0], tmp_path / "a", name="w-0-100-0", logs=tmp_path / "logs")
    (written,) = (tmp_path / "logs").rglob("events.out.tfevents.*")
    assert written.parent.name == "w-0-100-0" and written.stat().st_size > 100
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a", "logs"]
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ
    mine.train([0.0, 1.0, 0.0], tmp_path / "b")  # no folder, no reports
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a", "b", "logs"]
