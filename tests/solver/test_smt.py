"""The claim of a certificate as SMT-LIB, decided by a solver that shares nothing with this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import palm_opt as palm
from palm_opt import checker
from palm_opt.solver.certify import read_subject
from palm_opt.solver.smt import smt2
from palm_opt.tables.directions import meant

cvc5 = pytest.importorskip("cvc5")
SUITE = Path(__file__).parents[1] / "certificates"
LARGEST = 12  # candidates


def decided(text: str) -> str:
    """ "unsat" confirms a claim, "sat" refutes it."""
    solver = cvc5.Solver()
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "claim")
    symbols, answer = parser.getSymbolManager(), ""
    while not (command := parser.nextCommand()).isNull():
        answer += str(command.invoke(solver, symbols))
    return answer.strip()


def cases(folder: str) -> list[str]:
    found = []
    for path in sorted((SUITE / folder).glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        subject = document.get("subject", {})
        if document.get("kind") != "exact" or subject["candidates"] > LARGEST:
            continue
        once = len(set(subject["rewards"])) == len(subject["rewards"])  # a ValueMatrix has no reward twice,
        ends = [end for entry in document["scale"] if not isinstance(entry, str) for end in entry]
        if once and all(repr(float(end)) == end for end in ends):  # and ends of ranges are its floats as it writes them
            found.append(path.stem)
    return found


def claim(path: Path) -> str:
    """The claim of a certificate of the suite about the CSV beside it."""
    document = checker.read_certificate(path)
    subject = document["subject"]
    scale = [entry if isinstance(entry, str) else tuple(map(float, entry)) for entry in document["scale"]]
    table = path.with_suffix(".csv")
    values = palm.ValueMatrix.read(table, subject["id"], meant(subject["rewards"]), subject["cost"], scale)
    assert read_subject(table, document) is not None
    return smt2(document, values)


@pytest.mark.parametrize("name", cases("correct"))
def test_a_third_tool_confirms_what_the_checker_accepts(name: str) -> None:
    assert decided(claim(SUITE / "correct" / f"{name}.json")) == "unsat"


def test_a_third_tool_refutes_what_is_false() -> None:
    values = palm.ValueMatrix([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]], names=["a", "b", "c"])
    document = palm.solve(values, delta=0.1).certificate
    assert document is not None and decided(smt2(document, values)) == "unsat"
    assert decided(smt2({**document, "members": ["a", "c"]}, values)) == "sat"
    assert decided(smt2({**document, "lower_bound": "4"}, values)) == "sat"
    assert decided(smt2({**document, "delta": "0.0999", "lower_bound": "0"}, values)) == "sat"  # a, b: a tie at 0.1
    assert (
        decided(smt2({**document, "delta": "0.0999", "lower_bound": "0", "members": ["a", "b", "c"]}, values))
        == "unsat"
    )
    ties = palm.ValueMatrix([[1.0, 0.0], [0.7, 0.3]], names=["best", "tied"])
    tied = palm.solve(ties, delta=0.3, forbid=["best"]).certificate
    assert tied is not None and decided(smt2(tied, ties)) == "unsat"
    assert decided(smt2({**tied, "delta": "0.29999999999999999999"}, ties)) == "sat"


def test_the_command_writes_it(tmp_path: Path) -> None:
    table, certificate, out = tmp_path / "v.csv", tmp_path / "c.json", tmp_path / "claim.smt2"
    table.write_text("name,a,b\nx,1,0\ny,0,1\nz,0.8,0.1\n")
    run = [sys.executable, "-m", "palm_opt"]
    subprocess.run([*run, "solve", table, "--id", "name", "--delta", "0.3", "--certificate", certificate], check=True)
    subprocess.run([*run, "export", certificate, table, "--smt2", "--out", out], check=True)
    assert decided(out.read_text()) == "unsat"
    refused = subprocess.run([*run, "export", certificate, "--smt2"], capture_output=True, text=True)
    assert refused.returncode == 2 and "two files" in refused.stderr
