"""Foreign tables on the command line: the refusal names the option, the option reads it, the certificate holds."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from palm_opt.cli import main
from tests.tables.test_reading import APIS, GAPS, SEMICOLONS, TABS

Run = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def palm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in a folder with the tables: exit code, stdout, lines of stderr."""
    for name, text in (("apis.csv", APIS), ("gaps.csv", GAPS), ("semi.csv", SEMICOLONS), ("tab.tsv", TABS)):
        (tmp_path / name).write_text(text)
    (tmp_path / "noheader.csv").write_text("10,1\n1,10\n6,6\n")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return int(caught.value.code or 0), out, err.splitlines()

    return run


def test_directions_are_asked_for_told_and_shown(palm: Run) -> None:
    code, out, err = palm("solve", "apis.csv", "--id", "model", "--delta", "0.05")
    assert (code, out, len(err)) == (2, "", 1) and "--rewards quality,-cost,-latency,safety" in err[0]
    code, out, err = palm("solve", "apis.csv", "--id", "model", "--rewards", "quality,cost")
    assert code == 0 and [line[:18] for line in err] == ["palm-opt: warning:"] * 2
    assert (
        "'cost' is taken as written" in err[0] and "times as wide as 'quality'" in err[1] and "--scale minmax" in err[1]
    )
    _, out, err = palm("solve", "apis.csv", "--id", "model", "--rewards", "quality,+cost", "--json")
    assert len(err) == 1 and json.loads(out)["warnings"] == [err[0].removeprefix("palm-opt: warning: ")]
    code, out, err = palm("solve", "apis.csv", "--id", "model", "--rewards", "quality,-latency", "--scale", "minmax")
    assert code == 0 and not err
    assert "rewards         quality (higher is better), latency (lower is better); scale minmax; values are in" in out
    assert "0.91 (1)" in out and "2.9 (0)" in out  # in its own units, and on the scale


def test_a_certificate_of_a_foreign_table_has_its_csv_beside_it(palm: Run) -> None:
    code, out, err = palm("solve", "gaps.csv", "--id", "model")
    assert code == 2 and "3 gaps" in err[0] and "--missing drop" in err[0]
    drop = ("gaps.csv", "--id", "model", "--missing", "drop")
    code, out, err = palm("solve", *drop, "--certificate", "c.json")
    assert code == 0 and "3 of 5 candidates: b (quality), c (safety), e (brevity)" in err[0]
    assert "to check it: palm-opt verify c.json c.json.csv" in out and "2 of 2 candidates" in out
    assert Path("c.json.csv").read_text() == "model,quality,safety,brevity\na,0.91,0.8,0.2\nd,0.6,0.7,0.95\n"
    assert palm("verify", "c.json", "c.json.csv")[0] == 0
    found = json.loads(palm("certify", *drop, "--members", "a,d", "--certificate", "d.json", "--json")[1])
    assert found["subject"] == "d.json.csv" and len(found["warnings"]) == 1
    assert palm("export", *drop, "--csv", "--out", "e.csv")[0] == 0
    assert Path("e.csv").read_text() == Path("c.json.csv").read_text()
    semi = ("semi.csv", "--id", "model", "--separator", ";", "--decimal", ",", "--certificate", "s.json", "--json")
    assert json.loads(palm("solve", *semi)[1])["subject"] == "s.json.csv"
    plain = json.loads(palm("solve", "e.csv", "--id", "model", "--certificate", "p.json", "--json")[1])
    assert plain["subject"] is None and not Path("p.json.csv").exists()


@pytest.mark.parametrize(
    ("file", "refusal", "options"),
    [
        ("semi.csv", "--separator ';' --decimal ,", ["--separator", ";", "--decimal", ","]),
        ("noheader.csv", "--no-header", ["--no-header"]),
        ("tab.tsv", "--rewards quality,-price", ["--rewards", "quality,-price"]),
        ("gaps.csv", "--missing worst", ["--missing", "worst"]),
    ],
)
@pytest.mark.parametrize("command", ["frontier", "metrics"])
def test_the_option_that_a_refusal_names_reads_the_file(
    palm: Run, command: str, file: str, refusal: str, options: list[str]
) -> None:
    names = ("--id", "c1" if file == "noheader.csv" else "model")
    more = ("--members", "10" if file == "noheader.csv" else "A" if file == "tab.tsv" else "a")
    rest = more if command == "metrics" else ("--max-size", "1")
    code, out, err = palm(command, file, *names, *rest)
    assert (code, out) == (2, "") and refusal in err[0]
    code, out, _ = palm(command, file, *names, *rest, *options)
    assert code == 0 and "is better); scale none" in out


def test_stdin_and_its_certificate(palm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABS.encode())))
    options = ("--id", "model", "--rewards", "quality,-price", "--separator", "tab", "--certificate", "c.json")
    code, out, _ = palm("solve", "-", *options)
    assert code == 0 and "palm-opt verify c.json c.json.csv" in out
    assert palm("verify", "c.json", "c.json.csv")[0] == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABS.encode())))
    code, out, _ = palm("export", "-", "--csv", "--id", "model", "--separator", "tab")  # passed on as written
    assert (code, out) == (0, "model,quality,price\nA,0.91,5.0\nB,0.78,0.25\n")


def test_wide_samples_are_certified(palm: Run) -> None:
    rng = np.random.default_rng(0)
    rows = [f"p{p},{r},{','.join(map(str, rng.random(3).round(3)))}" for p in range(60) for r in ("safe", "fun")]
    Path("w.csv").write_text("prompt,reward,a,b,c\n" + "\n".join(rows) + "\n")
    code, _, err = palm("certify-samples", "w.csv", "--range", "0:1")
    assert code == 2 and "--wide" in err[0]
    code, out, _ = palm("certify-samples", "w.csv", "--range", "0:1", "--wide", "--certificate", "w.json")
    assert code == 0 and "safe, fun (higher is better); scale none" in out and "verify w.json w.json.csv" in out
    assert palm("verify", "w.json", "w.json.csv")[0] == 0
    assert palm("export", "w.csv", "--csv", "--wide", "--out", "x.csv")[0] == 0
    assert Path("x.csv").read_text() == Path("w.json.csv").read_text()
