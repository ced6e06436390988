"""`train_adapter` in two processes under torchrun (gloo, CPU): one adapter, the same result everywhere, resumable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.align.test_checkpoints import saving
from tests.align.tiny import make_recipe

for _library in ("torch", "trl", "peft", "datasets", "transformers", "filelock"):
    pytest.importorskip(_library)

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import json, os, shutil, sys
from pathlib import Path

import torch.distributed as dist

from palm_opt.align import load_recipe
from palm_opt.align.policies.base import quiet
from palm_opt.align.training.setup import Setup
from palm_opt.align.training.train import train_adapter

root, rank = Path(sys.argv[1]), os.environ["RANK"]
results = {}


def train(recipe_name, name):
    recipe = load_recipe(root / recipe_name)
    with quiet(recipe.device):
        setup = Setup.load(recipe, lambda line: None)
        result = train_adapter(
            [0.25, 0.75], setup, root / name,
            checkpoints=root / "checkpoints" / recipe_name, cache=root / "pool",
        )
    results[name] = {key: value for key, value in result.items() if key != "seconds"}
    results[name]["scored"] = setup.rewards[0].scored


train("grpo.toml", "a")
if rank == "0":
    for folder in (root / "checkpoints" / "grpo.toml").glob("*/checkpoint-6"):
        shutil.rmtree(folder)
dist.barrier()
train("grpo.toml", "b")
train("dpo-rerank.toml", "c")
(root / f"rank{rank}.json").write_text(json.dumps(results))
dist.destroy_process_group()
"""


def test_two_processes_train_one_adapter(tmp_path: Path) -> None:
    make_recipe(tmp_path)
    for trainer in ("grpo", "dpo-rerank"):
        (tmp_path / f"{trainer}.toml").write_text(saving(trainer) + "[launch]\nprocesses = 2\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    for name in "abc":
        (tmp_path / name).mkdir()
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, str(tmp_path / "script.py"), str(tmp_path)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in "01")
    for name in "abc":
        assert first[name]["curve"] == second[name]["curve"]
        adapter = sorted(item.name for item in (tmp_path / name).iterdir())
        assert adapter == ["adapter_config.json", "adapter_model.safetensors"]
    assert first["a"]["scored"] == second["a"]["scored"] == 6 * 4  # half of the batch each
    assert first["b"]["scored"] == second["b"]["scored"] == 2 * 4  # resumed from step 4
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1] and first["a"]["curve"] == first["b"]["curve"]
    # the pool is sampled by the first process only
    assert first["c"]["scored"] > 0 and second["c"]["scored"] == 0
    (checkpoint,) = (tmp_path / "checkpoints" / "grpo.toml").glob("*/checkpoint-6")
    assert {"manifest.json", "rng_state_0.pth", "rng_state_1.pth"} <= {item.name for item in checkpoint.iterdir()}
