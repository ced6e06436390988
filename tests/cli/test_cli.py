"""The command line as users and scripts see it: subprocesses, exit codes, JSON keys, one line for bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = """model,safe,helpful,latency,price
careful,0.95,0.20,9,2
balanced,0.70,0.70,5,1
bold,0.15,0.98,3,1
slow,0.60,0.60,20,1
"""


def palm(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "palm_opt", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False, **options)


def output(*arguments: object) -> dict[str, Any]:
    """The JSON object of a command that must end well; strict: no NaN, no Infinity, nothing else on stdout."""
    done = palm(*arguments, "--json")
    assert done.returncode == 0, done.stderr

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is not strict JSON")

    assert done.stdout.count("\n") == 1
    document = json.loads(done.stdout, parse_constant=refuse)
    assert isinstance(document, dict)
    return document


def refused(*arguments: object, code: int = 2) -> str:
    """The one line on stderr of a command that must be refused."""
    done = palm(*arguments)
    assert done.returncode == code, done
    assert done.stdout == "" and "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("palm-opt: error: "), done.stderr
    return lines[0]


@pytest.fixture
def values(tmp_path: Path) -> Path:
    path = tmp_path / "values.csv"
    path.write_text(TABLE)
    return path


COLUMNS = ("--id", "model", "--rewards", "safe,helpful")


def test_help_is_complete_and_light() -> None:
    done = palm("--help")
    assert done.returncode == 0
    commands = re.findall(r"^  (\w[\w-]*) ", done.stdout.partition("Commands:")[2], flags=re.MULTILINE)
    expected = {"solve", "certify", "verify", "frontier", "compare", "metrics", "baseline", "export", "recipe"}
    assert expected | {"plan", "align", "run", "route", "report"} <= set(commands)
    assert not {"serve", "search"} & set(commands)
    code = (
        "import sys; sys.argv[1:] = ['--help']; from palm_opt.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    )
    code += "print([m for m in ('numpy', 'ortools', 'cvxpy', 'pandas', 'torch', 'matplotlib') if m in sys.modules])"
    light = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert light.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "command", ["solve", "certify", "verify", "frontier", "compare", "metrics", "baseline", "export", "align", "run"]
)
def test_every_command_has_help_and_json(command: str) -> None:
    done = palm(command, "--help")
    assert done.returncode == 0 and "--json" in done.stdout


def test_version() -> None:
    assert re.fullmatch(r"palm-opt \d+\.\d+\.\d+\n", palm("--version").stdout)


def test_solve_json(values: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "c.json"
    result = output("solve", values, *COLUMNS, "--delta", 0.1, "--seed", 1, "--certificate", certificate)
    keys = "status stop members indices size cost lower_bound epsilon delta regret worst_weight backend claimed_bound"
    assert set(keys.split()) | {"seconds", "certificate", "version"} <= set(result)
    assert result["status"] == "OPTIMAL" and result["stop"] == "PROVED"
    assert result["members"] == ["careful", "balanced", "bold"] and result["indices"] == [0, 1, 2]
    assert result["size"] == result["cost"] == result["lower_bound"] == 3
    assert (result["epsilon"], result["delta"]) == (0.0, 0.1)
    assert sum(result["worst_weight"]) == pytest.approx(1)
    assert result["certificate"] == str(certificate)
    first = certificate.read_bytes()
    output("solve", values, *COLUMNS, "--delta", 0.1, "--seed", 1, "--certificate", certificate)
    assert certificate.read_bytes() == first


def test_solve_for_people(values: Path) -> None:
    done = palm("solve", values, *COLUMNS, "--delta", 0.1)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("OPTIMAL: 3 of 4 candidates serve every preference within 0.1; no 2 can.\n")
    assert "not the population" in done.stdout


def test_both_tolerances_are_said_where_one_is_a_default(values: Path) -> None:
    document = output("solve", values, *COLUMNS, "--epsilon", "0.1")
    assert (document["epsilon"], document["delta"]) == (0.1, 0.02)
    assert "within 10 % plus 0.02 of the best; " in palm("solve", values, *COLUMNS, "--epsilon", "0.1").stdout
    for command in ("solve", "compare", "plan", "export"):
        assert "Default: 0.02, also beside --epsilon." in " ".join(palm(command, "--help").stdout.split())


def test_solve_options(values: Path) -> None:
    budget = output("solve", values, *COLUMNS, "--max-size", 2, "--vary", "delta")
    assert budget["size"] == 2 and budget["tolerance"] == budget["delta"] >= budget["tolerance_lower_bound"]
    required = output("solve", values, *COLUMNS, "--delta", 0.5, "--require", "slow", "--forbid", "balanced")
    assert "slow" in required["members"] and "balanced" not in required["members"]
    costly = output(
        "solve", values, *COLUMNS, "--delta", 0.1, "--cost", "price", "--warm-start", "careful,balanced,bold"
    )
    assert costly["cost"] == 4
    negated = output(
        "solve", values, "--id", "model", "--rewards", "-latency,safe", "--scale", "minmax", "--delta", 0.9
    )
    assert negated["rewards"] == ["-latency", "safe"]
    ranged = output("solve", values, *COLUMNS, "--scale", "0:2", "--epsilon", 0.05, "--delta", 0.0, "--threads", 1)
    assert ranged["epsilon"] == 0.05 and ranged["status"] == "OPTIMAL"


def test_a_scale_per_reward(values: Path, tmp_path: Path) -> None:
    certificate, columns = tmp_path / "c.json", ("--id", "model", "--rewards", "safe,-price,-latency")
    output("solve", values, *columns, "--scale", "minmax,log,0:40", "--delta", 0.3, "--certificate", certificate)
    document = json.loads(certificate.read_text())
    assert (document["scale"], document["delta"]) == (["minmax", "log", ["0.0", "40.0"]], "0.3")
    done = palm("verify", certificate, values)
    assert " delta=0.3 rewards=safe,-price,-latency scale=minmax,log,0.0:40.0 " in done.stdout
    assert "expected one for all rewards or 3" in refused("solve", values, *columns, "--scale", "minmax,log")
    assert "'inches'" in refused("solve", values, *columns, "--scale", "minmax,inches,log")


def test_solve_without_id_numbers_the_rows(values: Path) -> None:
    assert output("solve", values, "--rewards", "safe,helpful", "--delta", 0.1)["members"] == ["0", "1", "2"]


def test_solve_plot_and_report(values: Path, tmp_path: Path) -> None:
    plot, report = tmp_path / "p.svg", tmp_path / "r.html"
    done = palm("solve", values, *COLUMNS, "--delta", 0.1, "--plot", plot, "--report", report)
    assert done.returncode == 0, done.stderr
    assert plot.read_bytes().startswith(b"<?xml") and b"balanced" in report.read_bytes()


def test_infeasible_and_stopped_exit_with_1(values: Path) -> None:
    done = palm("solve", values, *COLUMNS, "--delta", 0.01, "--forbid", "bold", "--json")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert result["status"] == "INFEASIBLE" and result["members"] == [] and result["cost"] is None
    done = palm("solve", values, *COLUMNS, "--delta", 0.1, "--time-limit", 0, "--json")
    result = json.loads(done.stdout)
    assert done.returncode == (0 if result["members"] else 1)


def test_verify(values: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "c.json"
    output("solve", values, *COLUMNS, "--delta", 0.1, "--certificate", certificate)
    done = palm("verify", certificate, values)
    line = done.stdout.splitlines()[-1]
    assert done.returncode == 0
    assert re.fullmatch(
        r"VERIFIED kind=exact members=3 cost=3 lower_bound=3 epsilon=0\.0 delta=0\.1 "
        r"rewards=safe,helpful scale=none required=0 forbidden=0 where=0 sha256=[0-9a-f]{64}",
        line,
    )
    alone = [sys.executable, ROOT / "palm_opt" / "checker", certificate, values]
    assert subprocess.run(alone, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == line
    document = output("verify", certificate, values)
    assert document["verified"] is True
    assert {"kind", "members", "cost", "lower_bound", "epsilon", "delta", "sha256"} <= set(document)


@pytest.mark.parametrize("name", ["answers-arc-pruned", "scores-table", "samples-clusters"])
def test_verify_other_kinds(name: str) -> None:
    base = ROOT / "tests" / "certificates" / "correct" / name
    files = base.with_suffix(".json"), base.with_suffix(".csv")
    line = palm("verify", *files).stdout.splitlines()[-1]
    document = output("verify", *files)
    assert line.startswith(f"VERIFIED kind={document['kind']} ") and document["verified"] is True
    assert {"members", "cost", "lower_bound", "epsilon", "delta", "reference", "sha256"} <= set(document)
    assert f" reference={document['reference']} " in line
    assert ("export" if "answers" in name else "no such file") in refused("verify", files[0], "scores.npz")


def test_verify_refuses_a_false_claim(values: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "c.json"
    output("solve", values, *COLUMNS, "--delta", 0.1, "--certificate", certificate)
    document = json.loads(certificate.read_text())
    document["lower_bound"] = "4"
    certificate.write_text(json.dumps(document))
    done = palm("verify", certificate, values)
    assert done.returncode == 1 and done.stdout.splitlines()[-1].startswith("NOT VERIFIED: ")
    done = palm("verify", certificate, values, "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["verified"] is False
    values.write_text(TABLE.replace("0.95", "0.94"))
    assert palm("verify", certificate, values).returncode == 1


def test_verify_refuses_what_is_no_certificate(values: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "c.json"
    certificate.write_text('{"format": 1')
    assert str(certificate) in refused("verify", certificate, values)
    assert "nowhere.json" in refused("verify", tmp_path / "nowhere.json", values)


def test_verify_other_formats(values: Path, tmp_path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    parquet, numbers = tmp_path / "v.parquet", tmp_path / "v.npz"
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(values), parquet)
    np.savez(numbers, values=np.random.default_rng(0).random((9, 3)))
    for path, columns in ((parquet, COLUMNS), (numbers, ())):
        certificate = tmp_path / "c.json"
        output("solve", path, *columns, "--delta", 0.1, "--certificate", certificate)
        assert output("verify", certificate, path)["verified"] is True
        exported = tmp_path / f"{path.suffix[1:]}.csv"
        palm("export", path, "--csv", *columns, "--out", exported)
        assert output("verify", certificate, exported)["verified"] is True


def test_certify(values: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "c.json"
    arguments = ("certify", values, *COLUMNS, "--members", "careful,bold")
    result = output(*arguments, "--epsilon", 0, "--certificate", certificate)
    assert {"members", "epsilon", "delta", "regret", "worst_weight", "certificate"} <= set(result)
    assert 0 < result["regret"] <= result["delta"] < result["regret"] + 1e-9
    assert output("verify", certificate, values)["members"] == 2
    assert output(*arguments, "--delta", 0.05)["epsilon"] > 0
    assert "not both" in refused(*arguments, "--delta", 0.05, "--epsilon", 0)
    assert palm(*arguments).stdout.startswith("CERTIFIED: 2 of 4 candidates serve every preference within ")


def test_frontier(values: Path, tmp_path: Path) -> None:
    result = output("frontier", values, *COLUMNS, "--vary", "delta", "--max-size", 3, "--plot", tmp_path / "f.png")
    points = result["points"]
    assert [p["size"] for p in points] == [1, 2, 3]
    assert all({"size", "members", "epsilon", "delta", "lower_bound", "status"} <= set(p) for p in points)
    assert [p["delta"] for p in points] == sorted((p["delta"] for p in points), reverse=True)
    assert (tmp_path / "f.png").stat().st_size > 0
    assert palm("frontier", values, *COLUMNS, "--max-size", 2).returncode == 0


def test_compare_metrics_baseline(values: Path) -> None:
    rows = output("compare", values, *COLUMNS, "--delta", 0.1)["results"]
    assert {"cpsat", "cvxpy", "greedy"} <= {row["backend"] for row in rows}
    assert all(row["cost"] == 3 for row in rows)
    assert all(row["certificate_bytes"] > 100 and row["info"]["lps"] > 0 for row in rows)
    rows = output("compare", values, *COLUMNS, "--delta", 0.1, "--require", "slow", "--forbid", "balanced")["results"]
    assert all("slow" in row["members"] and "balanced" not in row["members"] for row in rows)
    shown = palm("compare", values, *COLUMNS, "--delta", 0.1, "--backends", "cpsat,greedy").stdout
    header, *lines = shown.splitlines()
    assert all(word in header for word in ("size", "proved bound", "claimed", "status", "seconds", "lps", "pivots"))
    assert [line.split()[:2] for line in lines] == [["cpsat", "3"], ["greedy", "3"]]
    assert "no backend 'nothing'" in refused("compare", values, *COLUMNS, "--backends", "cpsat,nothing")
    measured = output("metrics", values, *COLUMNS, "--members", "careful,bold")
    assert measured["additive_gap"] > 0 and sum(measured["usage"]) == pytest.approx(1)
    for kind in ("uniform", "random", "grid"):
        chosen = output("baseline", values, *COLUMNS, "--kind", kind, "--size", 2, "--seed", 3)
        assert chosen["kind"] == kind and 1 <= chosen["size"] <= 2 and "additive_gap" in chosen
    for command in (["compare", "--delta", 0.1], ["metrics", "--members", "bold"], ["baseline", "--kind", "uniform"]):
        done = palm(command[0], values, *COLUMNS, *command[1:])
        assert done.returncode == 0 and done.stdout and done.stderr == "", done


def test_export_round_trips(values: Path) -> None:
    done = palm("export", values, "--csv", *COLUMNS, "--cost", "price")
    assert done.stdout.splitlines()[:2] == ["model,safe,helpful,price", "careful,0.95,0.2,2.0"]
    assert output("export", values, "--csv", *COLUMNS)["csv"].startswith("model,safe,helpful\n")


@pytest.mark.parametrize(
    ("cell", "line"),
    [("nan", 3), ("inf", 3), ("", 3), ("n/a", 3), ("1e999", 3)],
    ids=["nan", "inf", "empty", "n/a", "big"],
)
def test_bad_numbers_name_file_row_and_column(values: Path, cell: str, line: int) -> None:
    values.write_text(TABLE.replace("balanced,0.70", f"balanced,{cell}"))
    message = refused("solve", values, *COLUMNS)
    assert str(values) in message and f"line {line}" in message and "'safe'" in message


def test_bad_tables(values: Path, tmp_path: Path) -> None:
    assert "no such file" in refused("solve", tmp_path / "none.csv")
    assert "'speed'" in refused("solve", values, "--rewards", "speed")
    assert "--rewards" in refused("solve", values)  # the names are read as rewards: the message says what to do
    values.write_text(TABLE.replace("bold", "careful"))
    message = refused("solve", values, *COLUMNS)
    assert "line 4" in message and "'careful'" in message and "twice" in message
    values.write_text("model,safe,helpful\n")
    assert "at least one row" in refused("solve", values, *COLUMNS)
    values.write_text("model,safe,helpful\na,1\n")
    assert "line 2" in refused("solve", values, *COLUMNS)
    values.write_bytes(b"model,safe,helpful\n\xff\xfe,1,2\n")
    assert "UTF-8" in refused("solve", values, *COLUMNS)
    values.write_text(TABLE.replace("price\ncareful,0.95,0.20,9,2", "price\ncareful,0.95,0.20,9,-2"))
    assert "line 2" in refused("solve", values, *COLUMNS, "--cost", "price")


def test_bad_usage_is_one_line(values: Path, tmp_path: Path) -> None:
    solve = ("solve", values, *COLUMNS)
    assert "No such command" in refused("slove")
    assert "--detla" in refused(*solve, "--detla", 1)
    assert "--epsilon" in refused(*solve, "--epsilon", "much")
    assert "epsilon" in refused(*solve, "--epsilon", 1.5)
    assert "delta" in refused(*solve, "--delta", -1)
    assert "delta" in refused(*solve, "--delta", "nan")
    assert "max_size" in refused(*solve, "--vary", "delta")
    assert "--delta" in refused(*solve, "--max-size", 2, "--delta", 0.1)
    assert "careful" in refused(*solve, "--require", "carefull")  # did you mean
    assert "scale" in refused(*solve, "--scale", "1:0")
    assert "scale" in refused(*solve, "--scale", "max")
    assert "cpsat" in refused(*solve, "--backend", "gurobi")
    assert ".svg" in refused(*solve, "--plot", tmp_path / "p.gif")
    assert "directory" in refused(*solve, "--certificate", tmp_path)
    assert "members" in refused("certify", values, *COLUMNS)
    assert "nobody" in refused("certify", values, *COLUMNS, "--members", "nobody")
    assert "--csv" in refused("export", values)


def test_alignment_commands_refuse_in_one_line(tmp_path: Path) -> None:
    assert "none.toml" in refused("recipe", "check", tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("seed = 'x'\n[train]\nbetta = 1\n")
    many = palm("recipe", "check", bad)  # a line a fault
    assert many.returncode == 2 and many.stdout == "" and len(many.stderr.splitlines()) == 5
    assert all(line.startswith(f"palm-opt: error: {bad}: ") for line in many.stderr.splitlines())
    assert "betta" in refused("run", bad, "--out", tmp_path / "out")
    assert "portfolio" in refused("route", tmp_path, "--weight", "a=1")
    assert "--weight" in refused("route", tmp_path, "--weight", "a")
    assert str(tmp_path) in refused("report", tmp_path)


def test_recipe_check() -> None:
    document = output("recipe", "check", "examples/embedded.toml")
    assert document["ok"] is True and document["rewards"] == ["helpfulness", "brevity", "courtesy"]


def test_names_with_commas_spaces_and_escapes(tmp_path: Path) -> None:
    path = tmp_path / "odd name.csv"
    path.write_text('id,a,b\n"x, y",1,0\n"\x1b[31mred",0,1\nplain,0.4,0.4\n')
    result = output("solve", path, "--id", "id", "--delta", 0.1, "--require", '"x, y"')
    assert "x, y" in result["members"]
    assert "\x1b" not in palm("solve", path, "--id", "id", "--delta", 0.1).stdout


def test_output_into_a_closed_pipe_and_an_ascii_terminal(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_text("id,a,b\nnaïve 名前,1,0\nother,0,1\n")
    done = palm("solve", path, "--id", "id", "--delta", 0.1, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and "other" in done.stdout
    solve = f"{sys.executable} -m palm_opt solve '{path}' --id id --delta 0.1"
    for command, code in (
        (f"{solve} | true; exit ${{PIPESTATUS[0]}}", 0),
        (f"{solve} >&-", 0),
        (f"{solve} --backend nope >&- 2>&-", 2),
        (f"{solve} > /dev/full", 2),
    ):
        closed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
        assert closed.returncode == code, (command, closed)
        assert closed.stderr == ("palm-opt: error: output: no space left on device\n" if "full" in command else "")


def hard_table(path: Path) -> Path:
    """A problem that keeps any backend busy for a good while."""
    points = np.abs(np.random.default_rng(0).normal(size=(20_000, 7)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    np.savez(path, values=points)
    return path


def test_interrupt_prints_the_incumbent(tmp_path: Path) -> None:
    path = hard_table(tmp_path / "hard.npz")
    command = [sys.executable, "-m", "palm_opt", "solve", str(path), "--delta", "0.03", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        time.sleep(6)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, (process.returncode, stderr)
    assert "Traceback" not in stderr
    result = json.loads(stdout)
    assert result["stop"] == "INTERRUPTED" and result["status"] in ("FEASIBLE", "UNKNOWN")


def test_interrupt_before_the_solve(values: Path) -> None:
    command = [sys.executable, "-m", "palm_opt", "verify", "/dev/stdin", str(values)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr is not None and "Traceback" not in process.stderr.read()


def test_sigterm_ends_a_training_run_as_ctrl_c_does() -> None:
    from palm_opt.cli.alignment import _terminable

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), _terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_each_reward_has_its_own_scale_beside_it(tmp_path: Path) -> None:
    table = tmp_path / "v.csv"
    table.write_text("m,a,latency,c\nx,1,10,0.2\ny,2,30,0.9\n")
    done = palm("solve", table, "--id", "m", "--rewards", "a,-latency,c", "--scale", "minmax,log,0:1", "--delta", 0.1)
    own = "a (higher is better, scale minmax), latency (lower is better, scale log), c (higher is better, scale 0:1)"
    assert own in done.stdout


def test_verify_reads_stdin_and_says_what_was_proved(tmp_path: Path) -> None:
    table, certificate = tmp_path / "v.csv", tmp_path / "c.json"
    table.write_text("m,a,b\nx,1,0\ny,0,1\n")
    assert palm("solve", table, "--id", "m", "--certificate", certificate).returncode == 0
    command = [sys.executable, "-m", "palm_opt", "verify", str(certificate), "-"]
    done = subprocess.run(command, input=table.read_text(), capture_output=True, text=True)
    assert done.stdout.startswith("For every preference ") and done.stdout.splitlines()[-1].startswith("VERIFIED ")


def test_a_forbidden_candidate_is_not_said_to_fail(tmp_path: Path) -> None:
    table = tmp_path / "v.csv"
    table.write_text("m,a,b\nx,-1,-2\ny,-2,-1\nz,-3,-3\n")
    done = palm("solve", table, "--id", "m", "--forbid", "x,y")
    assert "no candidate that is not forbidden does" in done.stdout
