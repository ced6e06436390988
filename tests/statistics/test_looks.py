"""The ledger of looks: every look has a number of its own, whoever else has the file open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import palm_opt as palm
from palm_opt.statistics.looks import level_of_look

ROOT = Path(__file__).resolve().parents[2]


def test_two_ledgers_on_one_file_get_two_looks(tmp_path: Path) -> None:
    first, second = palm.Ledger(tmp_path / "looks.json"), palm.Ledger(tmp_path / "looks.json")
    assert first.open(["a", "b"], "one claim", None) == 1
    assert second.open(["b", "c"], "another", None) == 2
    assert first.open(["a", "b"], "a third", None) == 3
    assert second.open(["a", "b"], "one claim", None) == 1  # the same claim again is no new look
    document = json.loads((tmp_path / "looks.json").read_bytes())
    assert [look["look"] for look in document["looks"]] == [1, 2, 3] and document["looks"] == second.looks
    with pytest.raises(palm.ProblemError, match="had look 3"):
        palm.Ledger(tmp_path / "looks.json").open(["a"], "a fourth", 3)


def test_processes_that_look_at_once_get_a_look_each(tmp_path: Path) -> None:
    code = (
        "import sys, palm_opt\nledger = palm_opt.Ledger(sys.argv[1])\nsys.stdin.readline()\n"
        "for k in range(10): print(ledger.open(['a'], f'{sys.argv[2]} {k}', None))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "looks.json")]
    workers = [
        subprocess.Popen([*command, name], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in "xyz"
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    looks = [int(line) for worker in workers for line in worker.communicate()[0].split()]
    assert sorted(looks) == list(range(1, 31))


def test_a_ledger_that_is_removed_while_it_is_open_is_missed(tmp_path: Path) -> None:
    ledger = palm.Ledger(tmp_path / "looks.json")
    ledger.open(["a"], "one claim", None)
    (tmp_path / "looks.json").unlink()
    with pytest.raises(palm.ProblemError, match="removed, with looks that were taken"):
        ledger.open(["a"], "another", None)


def test_a_ledger_in_memory_counts_alone() -> None:
    first, second = palm.Ledger(), palm.Ledger()
    assert [first.open(["a"], claim, None) for claim in "xyx"] == [1, 2, 1] and second.open(["a"], "z", None) == 1


def test_the_levels_of_all_looks_sum_to_alpha() -> None:
    assert level_of_look(0.05, 0) == 0.05
    assert sum(level_of_look(0.05, look) for look in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)
