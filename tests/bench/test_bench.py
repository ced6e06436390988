"""The benchmark itself: peers on problems whose answer is known, one run as a process, the tables made of lines."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

import palm_opt as palm
from bench import compare, instances, peers
from tests.conftest import ROOT

LOOPS = ["highs-loop", "cvxpy-loop"]
GRIDS = [name for name in peers.PEERS if name not in LOOPS and name != "scip-lattice"]


@pytest.mark.parametrize("epsilon", [0.1, 0.03])
def test_peers_answer_what_they_claim(epsilon):
    values = instances.load("anti-300-3-1003")
    least = palm.solve(values, epsilon=epsilon, delta=0.0)
    assert least.status is palm.Status.OPTIMAL
    for name in LOOPS:
        answer = peers.solve(name, values.array, epsilon, 0.0, 60.0, 300)
        assert answer.finished and len(answer.members) == least.size == round(answer.claimed_bound)
        assert palm.certify(values, answer.members, delta=0.0).epsilon <= epsilon + 1e-5
    for name in GRIDS:
        answer = peers.solve(name, values.array, epsilon, 0.0, 60.0, 300)
        valid = palm.certify(values, answer.members, delta=0.0).epsilon <= epsilon
        assert len(answer.members) >= least.size if valid else len(answer.members) > 0
        if answer.claimed_bound is not None:  # an optimum of fewer constraints
            assert round(answer.claimed_bound) == len(answer.members) <= least.size


def test_scip_agrees_with_cpsat_on_the_same_grid():
    pytest.importorskip("pyscipopt", reason="SCIP is not installed; it is no dependency")
    values = instances.load("anti-300-4-1004").array
    one, two = (peers.solve(name, values, 0.05, 0.0, 60.0, 200) for name in ("scip-lattice", "cpsat-lattice"))
    assert len(one.members) == len(two.members) and one.finished and two.finished


def test_a_run_is_one_line(tmp_path):
    out = tmp_path / "lines.jsonl"
    problem = "anti-10000-3-1003 epsilon 0.1"
    command = [sys.executable, "-m", "bench.run", "--problem", problem, "--methods", "palm-cpsat,greedy-random"]
    subprocess.run([*command, "--points", "50", "--out", out], cwd=ROOT, check=True, capture_output=True, timeout=120)
    first, ours, greedy = map(json.loads, out.read_text().splitlines())
    assert first["command"].startswith("python -m bench.run --problem")
    assert ours["status"] == "OPTIMAL" and ours["valid"] and ours["bound"] == ours["size"]
    assert ours["verified"] == "VERIFIED" and ours["certificate_bytes"] > 1000 and ours["work"]["lps"] > 0
    assert greedy["bound"] is None and greedy["valid"] == (greedy["kept"]["epsilon"] <= 0.1)
    environments, runs = compare.read([out])
    text = compare.report(environments, runs, 1.0)
    assert first["command"] in text and f"**{ours['size']}**" in text
    picture = tmp_path / "profile.png"
    compare.profile(runs, ["palm-cpsat", "greedy-random"], picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def line(problem, method, size, valid=True, bound=None, status="FEASIBLE", cpu=1.0):
    values = {"problem": problem, "method": method, "size": size, "valid": valid, "bound": bound, "status": status}
    return values | {"cpu": cpu, "time_limit": 60.0, "max_size": None, "seed": 0}


def test_who_solved_what():
    runs = [
        line("p", "a", 4, bound=4.0, status="OPTIMAL"),
        line("p", "b", 4),
        line("p", "c", 3, valid=False),
        line("p", "d", 5, bound=3.0),
        line("q", "a", 7, bound=6.0),
    ]
    known = compare.best(runs)
    assert known == {"p": (4, 4.0), "q": (7, 6.0)}
    assert [compare.solved(run, known) for run in runs] == [True, True, False, False, False]
    assert [compare.seconds(run, known) for run in runs] == [1.0, 1.0, 60.0, 60.0, 60.0]
    assert [compare.cell(run) for run in runs] == ["**4** 1 s", "4 1 s", "3\\* 1 s", "5 (>= 3) 1 s", "7 (>= 6) 1 s"]
    assert "| p | 4 |" in compare.by_problem(runs, list("abcd")) and "| q | 6 to 7 |" in compare.by_problem(runs, ["a"])


def test_shifted_geometric_mean():
    assert math.isclose(compare.shifted_geometric_mean([1.0, 4.0], 0.0), 2.0)
    assert math.isclose(compare.shifted_geometric_mean([0.0, 8.0], 1.0), 2.0)
    assert math.isclose(compare.shifted_geometric_mean([3.0] * 5, 10.0), 3.0)


def test_the_finest_lattice_within_the_points():
    task = peers.Task(np.eye(3), 0.0, 0.0, math.inf, 300, 0, 0)
    assert len(peers.grid(task)) == 300 == math.comb(25, 2)
