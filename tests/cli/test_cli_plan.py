"""The commands plan and export --scores as users and scripts see them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from palm_opt.planning.planned import Plan
from tests.cli.test_cli import output, palm, refused


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    own, common = rng.normal(size=(20, 9, 3)), rng.normal(size=(20, 9, 1))
    rewards = 3 / (1 + np.exp(-own - common * np.array([1, 0, -1])))
    path = tmp_path_factory.mktemp("plan") / "scores.npz"
    np.savez(path, rewards=rewards, dims=["safe", "helpful", "cost"])
    return path


COMMON = ("--scale", "0:3", "--rewards", "safe,helpful,-cost", "--delta", "0.03")


def test_plan_writes_what_align_reads_and_verify_accepts(scores: Path, tmp_path: Path) -> None:
    plan, certificate, plot = (tmp_path / name for name in ("plan.json", "c.json", "map.png"))
    document = output("plan", scores, *COMMON, "--out", plan, "--certificate", certificate, "--plot", plot)
    assert document["kept"] and document["kind"] == "conditional" and document["reference"] == "gibbs"
    assert document["rewards"] == ["safe", "helpful", "-cost"] and document["beta"] == 0.1
    assert document["size"] == len(document["members"]) and document["certificate"] == str(certificate)
    assert plot.stat().st_size > 1000
    read = Plan.read(plan)
    assert read.kept and len(read.members) == document["size"] and read.audited
    assert json.loads(certificate.read_text()) == read.certificate
    verified = output("verify", certificate, scores)
    assert verified["verified"] and verified["reference"] == "gibbs"
    table = tmp_path / "scores.csv"
    assert output("export", scores, "--scores", "--csv", "--out", table)["rows"] == 180
    assert output("verify", certificate, table) == verified
    with table.open() as stream:
        assert next(csv.reader(stream)) == ["prompt", "response", "safe", "helpful", "cost"]
    table.write_text(table.read_text().replace("\n0,1,", "\n0,1,9", 1))
    done = palm("verify", certificate, table)
    assert done.returncode == 1 and done.stdout.startswith("NOT VERIFIED: ")


def test_plan_for_people(scores: Path, tmp_path: Path) -> None:
    done = palm("plan", scores, *COMMON, "--out", tmp_path / "plan.json")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("PLANNED: ") and "certified regret" in done.stdout
    assert "palm-opt align RECIPE --plan" in done.stdout and "jackknife" in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.lstrip().startswith("evaluated"))
    assert re.search(r"evaluated +\d+ weights, of which \d+ until the promise was certified; fewer than", line)
    once = palm("plan", scores, *COMMON, "--refine", "1").stdout
    assert re.search(r"evaluated +\d+ weights; fewer than \d+ of them would not do", once)


def test_compare_certifies_every_strategy(scores: Path, tmp_path: Path) -> None:
    plot = tmp_path / "gaps.svg"
    document = output("plan", scores, *COMMON, "--compare", "--plot", plot)
    rows = {row["strategy"]: row for row in document["comparison"]}
    assert list(rows) == ["adaptive", "grid", "lazy-grid", "uniform", "random"]
    assert all(row["regret"] is not None and row["calls"] >= row["size"] for row in rows.values())
    assert rows["adaptive"]["kept"] and rows["adaptive"]["calls"] == min(row["calls"] for row in rows.values())
    assert plot.read_text().startswith("<?xml")
    done = palm("plan", scores, *COMMON, "--compare")
    header = next(line for line in done.stdout.splitlines() if "certified gap" in line)
    assert header.split() == ["strategy", "calls", "members", "certified", "gap", "promise", "kept"]


def test_limits_end_with_one(scores: Path) -> None:
    done = palm("plan", scores, *COMMON, "--max-calls", "4")
    assert done.returncode == 1 and "not certified" in done.stdout and "at most" in done.stdout


def test_bad_input_is_one_line(scores: Path, tmp_path: Path) -> None:
    assert "no reward 'wit'" in refused("plan", scores, "--rewards", "safe,wit")
    assert "--rewards safe,helpful,-cost" in refused("plan", scores)  # a name that says that lower is better
    assert "beta: expected a finite number > 0" in refused("plan", scores, "--rewards", "+", "--beta", "0")
    assert "delta" in refused("plan", scores, "--rewards", "+", "--delta", "-1")
    assert "is a directory" in refused("plan", scores, "--plot", tmp_path)
    assert "expected a .npz, .parquet or .csv file" in refused("plan", tmp_path / "x.json")
    long = tmp_path / "long.csv"
    long.write_text("prompt,policy,a\n1,x,0.5\n1,y,0.7\n")
    message = refused("plan", long)
    assert "line 2: 'x' in column 'policy'" in message and "--response" in message
    assert output("plan", long, "--response", "policy")["kept"]
    assert "--csv" in refused("export", scores, "--scores")
    recipe = Path(__file__).resolve().parents[2] / "examples" / "embedded.toml"
    assert "give --plan or --weights" in refused("align", recipe, "--out", tmp_path / "o")
    wrong = tmp_path / "plan.json"
    wrong.write_text("{}")
    assert "plan.json: format: missing" in refused("align", recipe, "--plan", wrong, "--out", tmp_path / "o")
