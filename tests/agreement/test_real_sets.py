"""Real value sets: proven sizes, all backends, the checker as a separate program with no packages."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import palm_opt as palm
from tests.conftest import ROOT
from tests.verify import verify_result

NOT_REWARDS = {"model", "mode", "judge", "base", "recipe", "train_judge", "beta", "n_seeds", "agent", "id"}
NOT_REWARDS |= {"model_id", "precision", "params_b", "flagged", "merged"}
SETS = {  # name -> least number of members at minmax, delta 0.05
    "alpacaeval2": 2,
    "alpacaeval_judges": 1,
    "dpo_safety_help_sweep": 3,
    "map_gibbs_sweep": 8,
    "morl_fruit_tree_d5": 27,
    "morl_fruit_tree_d6": 40,
    "morl_fruit_tree_d7": 47,
    "morl_pgmorl_ant2": 3,
    "morl_pgmorl_halfcheetah2": 2,
    "morl_pgmorl_walker2d2": 3,
    "nba_5d": 10,
    "open_llm_v1": 5,
    "safety_chat_llms": 9,
    "toolemu_base_agents": 2,
}


def load(folder: Path, name: str) -> palm.ValueMatrix:
    path = folder / "values" / name / "values.csv"
    with path.open(newline="") as stream:
        header = next(csv.reader(stream))
    rewards = [c for c in header if c not in NOT_REWARDS and not c.startswith("lam_")]
    return palm.ValueMatrix.read(path, rewards=rewards, scale="minmax")


@pytest.mark.parametrize("backend", ["cpsat", "cvxpy"])
@pytest.mark.parametrize("name", SETS)
def test_least_size(palm_data, name, backend):
    values = load(palm_data, name)
    result = palm.solve(values, delta=0.05, backend=backend, settings=palm.Settings(time_limit=60))
    verify_result(result, values)
    assert (result.status, result.size) == (palm.Status.OPTIMAL, SETS[name])


@pytest.mark.parametrize("name", SETS)
def test_greedy_never_beats_the_bound(palm_data, name):
    values = load(palm_data, name)
    result = palm.solve(values, delta=0.05, backend="greedy")
    verify_result(result, values)
    assert result.lower_bound <= SETS[name] <= result.size


def test_standalone_checker_on_a_real_certificate(palm_data, tmp_path):
    values = load(palm_data, "dpo_safety_help_sweep")
    result = palm.solve(values, delta=0.02)
    path = result.certificate.write(tmp_path / "c.json")
    shutil.copytree(ROOT / "palm_opt" / "checker", tmp_path / "checker")
    table = palm_data / "values" / "dpo_safety_help_sweep" / "values.csv"
    command = [sys.executable, "-I", "-S", str(tmp_path / "checker"), str(path), str(table)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(
        "VERIFIED kind=exact members=6 cost=6 lower_bound=6 epsilon=0.0 delta=0.02"
    )
