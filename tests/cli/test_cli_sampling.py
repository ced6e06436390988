"""`palm-opt certify-samples` and the export of samples, as users and scripts see them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

from tests.cli.test_cli import ROOT, output, palm, refused


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """A table as `palm-opt run` writes it: 120 prompts, 5 members, 2 generations."""
    rng = np.random.default_rng(0)
    rows = [(p, m, g) for m in range(5) for p in range(120) for g in range(2)]
    lean = np.linspace(0.2, 0.8, 5)[[m for _, m, _ in rows]]
    table = pyarrow.table(
        {
            "prompt": [f"Why {p}?" for p, _, _ in rows],
            "member": [f"w-{m}" for _, m, _ in rows],
            "generation": [g for _, _, g in rows],
            "kind": np.clip(lean + 0.1 * rng.normal(size=len(rows)), 0, 1),
            "brief": 3 * np.clip(1 - lean + 0.1 * rng.normal(size=len(rows)), -0.1, 1),
            "kl": rng.normal(size=len(rows)),
        }
    )
    parquet.write_table(table, tmp_path / "evaluation.parquet")
    return tmp_path / "evaluation.parquet"


RANGES = ("--range", "0:1", "--range", "0:3")


def test_certify_samples_writes_a_certificate_that_an_auditor_can_check(evaluation: Path) -> None:
    certificate, samples = evaluation.with_name("c.json"), evaluation.with_name("samples.csv")
    found = output("certify-samples", evaluation, *RANGES, "--max-size", 3, "--certificate", certificate)
    assert found["size"] == 3 and set(found["members"]) <= {f"w-{m}" for m in range(5)}
    assert found["selection"] + found["certification"] == 120
    assert found["clipped"]["kind"] == 0 < found["clipped"]["brief"]
    assert set(found["worst"]) == {"candidate", "reward"}
    assert found["prompts_needed"]["delta"] == found["delta"] / 2
    assert found["delta"] > found["estimate"] >= 0
    assert (found["alpha"], found["level"], found["method"], found["look"]) == (0.05, 0.05, "betting", 0)
    exported = output("export", evaluation, "--csv", "--out", samples)
    assert (exported["rows"], exported["prompts"], exported["candidates"]) == (1200, 120, 5)
    for file in (evaluation, samples):
        assert output("verify", certificate, file)["kind"] == "statistical"
    alone = [sys.executable, "-I", str(ROOT / "palm_opt" / "checker"), str(certificate), str(samples)]
    done = subprocess.run(alone, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("VERIFIED kind=statistical members=3 ")
    document = json.loads(certificate.read_text())
    document["delta"] = repr(found["delta"] / 2)
    certificate.write_text(json.dumps(document))
    false = palm("verify", certificate, samples)
    assert (false.returncode, false.stdout[:14]) == (1, "NOT VERIFIED: ")


def test_the_promise_says_both_tolerances_and_rounds_up(evaluation: Path) -> None:
    command = ("certify-samples", evaluation, *RANGES, "--members", "w-0,w-4", "--epsilon", "0.1")
    delta = output(*command)["delta"]
    said = re.search(r"every preference within 10 % plus (\S+) of the best, confidence 95 %", palm(*command).stdout)
    assert said is not None and delta <= float(said[1]) <= 1.001 * delta


def test_text_for_people(evaluation: Path) -> None:
    done = palm("certify-samples", evaluation, *RANGES, "--members", "w-0,w-4", "--target", "0.5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("CERTIFIED: 2 of 5 candidates serve every preference within ")
    for text in (
        "confidence 95 %",
        "w-0",
        "decided by",
        "for delta 0.5",
        "certification prompts, an estimate",
        "clipped",
    ):
        assert text in done.stdout
    unreachable = palm("certify-samples", evaluation, *RANGES, "--members", "w-0", "--target", "0.01")
    assert "no number of prompts like these would do, an estimate" in unreachable.stdout


def test_options_reach_the_certificate(evaluation: Path) -> None:
    common = ("certify-samples", evaluation, *RANGES, "--members", "w-0,w-2,w-4")
    base = output(*common)["delta"]
    assert output(*common, "--scale", "ranges")["delta"] < base
    assert output(*common, "--alpha", "0.2")["delta"] < base
    assert output(*common, "--simultaneous")["delta"] > base
    assert output(*common, "--method", "hoeffding")["method"] == "hoeffding"
    assert output(*common, "--split", "0.3")["selection"] < 60
    assert output(*common, "--seed", "1")["delta"] != base
    assert output(*common, "--epsilon", "0.1")["epsilon"] == 0.1
    one = output("certify-samples", evaluation, "--rewards", "kind", "--range", "0:1", "--members", "w-0")
    assert one["worst"] == {"candidate": "w-4", "reward": "kind"}
    ledger = evaluation.with_name("looks.json")
    assert output(*common, "--ledger", ledger)["look"] == 1
    assert output(*common, "--ledger", ledger)["look"] == 1
    assert output(*common, "--ledger", ledger, "--alpha", "0.1")["look"] == 2
    assert refused(*common, "--ledger", ledger, "--alpha", "0.2", "--look", "2").startswith("palm-opt: error: look: ")


def test_bad_input_is_one_line(evaluation: Path, tmp_path: Path) -> None:
    assert "ranges: expected the declared bounds" in refused("certify-samples", evaluation)
    assert "--range: expected LO:HI" in refused("certify-samples", evaluation, "--range", "0-1")
    assert "expected one (low, high) or 2" in refused("certify-samples", evaluation, *RANGES, "--range", "0:1")
    assert "no candidate named 'w-9'" in refused("certify-samples", evaluation, *RANGES, "--members", "w-9")
    assert "no column 'safe'" in refused("certify-samples", evaluation, *RANGES, "--rewards", "safe")
    assert "no such file" in refused("certify-samples", tmp_path / "none.csv", "--range", "0:1")
    assert "--method" in refused("certify-samples", evaluation, *RANGES, "--method", "normal")
    assert "is a directory" in refused("certify-samples", evaluation, *RANGES, "--certificate", tmp_path)
