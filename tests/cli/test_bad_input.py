"""Damaged and hostile input: one clear line with exit code 2, whatever the file, the option or the command."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.errors import StoreError
from palm_opt.portfolio.store import check_directory
from palm_opt.storage import atomic_path
from palm_opt.tables.weights import read_weights

ROOT = Path(__file__).resolve().parents[2]
TABLE = "model,a,b\nx,1,0\ny,0,1\nz,0.6,0.6\n"


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def table(**columns: Any) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


def bomb() -> bytes:
    """A small file that claims to hold more than the memory of most machines."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("values.npy", "w") as entry:
        entry.write(b"\x93NUMPY")
    data = bytearray(stream.getvalue())
    central = data.rindex(b"PK\x01\x02")
    data[central + 24 : central + 28] = (2**32 - 2).to_bytes(4, "little")  # the size once unpacked
    return bytes(data)


BAD: dict[str, tuple[bytes, str]] = {
    "empty.csv": (b"", "empty"),
    "blank.csv": (b"\n\n", "empty"),
    "binary.csv": (bytes(range(256)), "not UTF-8"),
    "utf16.csv": (TABLE.encode("utf-16"), "not UTF-8"),
    "quote.csv": (b'model,a\n"x,1\n', "line 2"),
    "long.csv": (b"model,a\nx," + b"1" * 200_000 + b"\n", "line 2"),
    "signed.csv": (b"model,-a\nx,1\n", "column '-a': a leading '-' negates: rename"),
    "space.csv": ("model,a\nx,\u00a01\n".encode(), "line 2"),  # the standalone checker reads no such number
    "digits.csv": ("model,a\nx,\u0661\n".encode(), "line 2"),
    "empty.npz": (b"", "cannot be read as npz"),
    "junk.npz": (b"PK\x03\x04junk", "cannot be read as npz"),
    "pickle.npz": (npz(values=np.array([[object()]])), "allow_pickle"),
    "other.npz": (npz(x=np.eye(2)), r"expected an array 'values'.*found \['x'\]"),
    "complex.npz": (npz(values=np.eye(2) * 1j), "complex"),
    "names.npz": (npz(values=np.eye(2), names=np.eye(2)), "one-dimensional array 'names'"),
    "scalar.npz": (npz(values=3.0), "shape"),
    "bomb.npz": (bomb(), "bytes once unpacked"),
    "empty.parquet": (b"", "cannot be read as parquet"),
    "junk.parquet": (b"PAR1" + bytes(100) + b"PAR1", "cannot be read as parquet"),
    "lists.parquet": (table(model=["x"], a=[[1.0]]), "column 'a' holds list<element: double>, expected numbers"),
    "null.parquet": (table(model=["x"], a=pa.array([None], pa.float64())), "row 0"),
    "flag.parquet": (table(model=["x"], a=[True]), "column 'a' holds bool, expected numbers"),
    "twice.csv": (b"model,a,a\nx,1,2\n", "column 'a' occurs twice"),
    "huge.csv": (b"model,a,b\nx,1.7e308,-1.7e308\n", "1.7e\\+308 in size"),
    "wide.csv": (f"model,{','.join(f'c{k}' for k in range(100_000))},c7\n".encode(), "column 'c7' occurs twice"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("error")
def test_bad_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    data, message = BAD[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(palm.ProblemError, match=message) as caught:
        palm.ValueMatrix.read(path, id=None if name.endswith("npz") else "model")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_column_of_many_gets_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(f"model,{','.join(f'score_{k}' for k in range(200))}\nx{',1' * 200}\n")
    with pytest.raises(palm.ProblemError) as caught:
        palm.ValueMatrix.read(path, id="model", rewards=["scoer_17"])
    text = str(caught.value)
    assert text.startswith(f"{path}: no column 'scoer_17'; of its 201 the nearest: score_17, ") and len(text) < 250
    with pytest.raises(palm.ProblemError, match="it has 201 others"):
        palm.ValueMatrix.read(path, id="model", rewards=["harmless"])
    for options in ({"rewards": "score_1"}, {"rewards": 3}, {"id": ["model"]}, {"cost": 3}):
        with pytest.raises(palm.ProblemError, match=f"{next(iter(options))}: expected"):
            palm.ValueMatrix.read(path, **{"id": "model", **options})
    with pytest.raises(palm.ProblemError, match="frame: expected a dataframe"):
        palm.ValueMatrix.from_frame([1])


def test_places_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(palm.ProblemError, match="is a directory"):
        palm.ValueMatrix.read(tmp_path / "folder.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(palm.ProblemError, match="something else"):
        palm.ValueMatrix.read(tmp_path / "pipe.csv")


@pytest.mark.parametrize("kind", ["npz", "parquet", "csv"])
@given(st.data())
def test_files_with_damaged_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    good = {"npz": npz(values=np.eye(3)), "parquet": table(a=[1.0, 2.0], b=[2.0, 1.0]), "csv": b"a,b\n1,2\n2,1\n"}[kind]
    damaged = bytearray(good)
    for at in data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged.{kind}"
    try:
        path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
        palm.ValueMatrix.read(path)
    except palm.ProblemError as error:
        assert str(path) in str(error)


def test_what_the_reader_accepts_the_standalone_checker_reads(tmp_path: Path) -> None:
    path = tmp_path / "values.csv"
    path.write_text("\n\nmodel,a,b\n\nx, 1 ,\t0\ny,+0.0,1.\n\nz,.6,6E-1\n")
    values = palm.ValueMatrix.read(path, id="model")
    result = palm.solve(values, delta=0.02)
    assert result.certificate is not None
    checker = Path(palm.__file__).with_name("checker")
    result.certificate.write(tmp_path / "certificate.json")
    command = [sys.executable, "-I", "-S", str(checker), str(tmp_path / "certificate.json"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1].startswith("VERIFIED"), done


def refused(run: Callable[[], Any], code: int, capfd: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        run()
    captured = capfd.readouterr()
    assert caught.value.code == code, captured
    lines = captured.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("palm-opt: error: ") and "internal" not in lines[0], captured
    return lines[0]


VALUES = ["--id", "model", "--rewards", "a,b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["certify", "V", *VALUES, "--members", "x\ny"], "--members: expected comma-separated names"),
        (["certify", "V", *VALUES, "--members", '"x'], "--members: expected comma-separated names"),
        (["solve", "V", *VALUES, "--require", ","], "--require: expected comma-separated names"),
        (["solve", "V", "--rewards", ""], "--rewards: expected comma-separated names"),
        (["solve", "V", *VALUES, "--seed", "-1"], "--seed"),
        (["solve", "V", *VALUES, "--seed", "99999999999999999999"], "--seed"),
        (["baseline", "V", *VALUES, "--kind", "random", "--seed", "-1"], "--seed"),
        (
            ["baseline", "V", *VALUES, "--kind", "grid", "--delta", "0"],
            "delta: expected a finite number > 0 for the grid",
        ),
        (
            ["baseline", "V", *VALUES, "--kind", "grid", "--epsilon", "nan"],
            "epsilon: expected a finite number > 0 for the grid",
        ),
        (["frontier", "V", *VALUES, "--delta", "nan"], "--delta is what --vary delta finds"),
        (["solve", "V", *VALUES, "--max-size", "2", "--vary", "epsilon", "--epsilon", "0.1"], "--epsilon is what"),
        (["solve", "V", *VALUES, "--certificate", "V/c.json"], "not a folder that can be written to"),
        (["export", "V", "--csv", "--id", "model", "--out", "V/c.csv"], "not a folder that can be written to"),
        (["verify", "V", "bomb.npz"], "line 1"),
        (["metrics", "junk.npz", "--members", "x"], "cannot be read as npz"),
        (["certify-samples", "junk.npz", "--range", "0:1"], "cannot be read as npz"),
        (["plan", "junk.npz"], "cannot be read as npz"),
        (["report", "."], "no portfolio.json"),
        (["align", "examples/embedded.toml", "--weights", "binary.csv", "--out", "o"], "not UTF-8"),
    ],
)
def test_commands_refuse_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from palm_opt.cli import main

    (tmp_path / "V.csv").write_text(TABLE)
    for name in ("binary", "binary.csv"):
        (tmp_path / name).write_bytes(bytes(range(256)))
    (tmp_path / "junk.npz").write_bytes(BAD["junk.npz"][0])
    recipe = Path("examples/embedded.toml").resolve()
    monkeypatch.chdir(tmp_path)
    words = [str(recipe) if word.endswith(".toml") else word.replace("V", "V.csv", 1) for word in arguments]
    words = [words[0], *words[1:]]
    assert message in refused(lambda: main(words), 2, capfd)


def test_weights_files_are_refused(tmp_path: Path) -> None:
    for data, message in ((b"a,b\n", "at least one row"), (bytes(range(256)), "UTF-8"), (b"a,b\n1\n", "line 2")):
        (tmp_path / "w.csv").write_bytes(data)
        with pytest.raises(palm.ProblemError, match=message):
            read_weights(tmp_path / "w.csv", ["a", "b"])


def test_a_place_for_a_portfolio_is_checked_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_directory(tmp_path / "new" / "deeper")
    for place in ("file", "file/below"):
        with pytest.raises(StoreError, match="not a folder that can be written to"):
            check_directory(tmp_path / place)


def test_json_says_that_another_table_is_not_verified(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from palm_opt.cli import main

    (tmp_path / "v.csv").write_text(TABLE)
    (tmp_path / "w.csv").write_text(TABLE.replace("0.6", "0.5"))
    palm.solve(palm.ValueMatrix.read(tmp_path / "v.csv", id="model")).certificate.write(tmp_path / "c.json")
    with pytest.raises(SystemExit) as caught:
        main(["verify", str(tmp_path / "c.json"), str(tmp_path / "w.csv"), "--json"])
    assert caught.value.code == 1
    assert json.loads(capfd.readouterr().out)["verified"] is False


ENDLESS = """
import os, pathlib, resource, sys
import palm_opt as palm
from palm_opt import checker
from palm_opt.align import Portfolio
from palm_opt.align.measuring.prompts import read_rows
from palm_opt.portfolio.journal import read_journal
from palm_opt.align.recipe.reading import load_recipe
from palm_opt.tables.weights import read_weights
from palm_opt.statistics.looks import Ledger
from palm_opt.planning.planned import Plan
from palm_opt.tables.samples_files import holds_samples

folder, good = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
document = checker.read_certificate(good)
(folder / "portfolio").mkdir()
for name in ("zero", "pipe", "line"):  # a device, a pipe that nobody writes to, and one line of 4 GB (a sparse file)
    file = {"zero": pathlib.Path("/dev/zero")}.get(name, folder / f"{name}.csv")
    if name == "pipe":
        os.mkfifo(file)
    if name == "line":
        with file.open("wb") as stream:
            stream.truncate(4 * 10**9)
    link = folder / "portfolio" / "portfolio.json"
    link.unlink(missing_ok=True)
    link.symlink_to(file)
    table = folder / f"table-{name}.csv"
    table.symlink_to(file)
    assert not holds_samples(table)
    for read in (
        *([] if name == "pipe" else [lambda: checker.read_certificate(file)]),  # it waits for the writer of a pipe
        lambda: checker.read_subject(file, document),
        lambda: palm.ValueMatrix.read(table),
        lambda: palm.RewardTable.read(table),
        lambda: palm.Samples.read(table, ranges=(0, 1)),
        lambda: Plan.read(file),
        lambda: Ledger(file),
        lambda: read_weights(str(file), ["a", "b"]),
        lambda: load_recipe(file),
        lambda: read_rows(str(file), "prompt", "train", "default", folder),
        lambda: read_journal(file),
        lambda: Portfolio.load(folder / "portfolio"),
        lambda: palm.route(folder / "portfolio", {"a": 1.0}),
    ):
        try:
            read()
        except (palm.PalmError, palm.CertificateParseError) as error:
            assert "\\n" not in str(error)
        else:
            raise AssertionError(f"{name} was read")
print("all refused")
"""


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="no /dev/zero")
def test_files_that_never_end_are_refused_before_memory_does(tmp_path: Path) -> None:
    good = ROOT / "tests" / "certificates" / "correct" / "answers-arc-epsilon.json"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ENDLESS, str(tmp_path), str(good)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "all refused", done.stderr
    for device in ("/dev/zero", str(tmp_path / "line.csv")):
        command = [sys.executable, str(ROOT / "palm_opt" / "checker"), str(good), device]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 2 and re.search(
            r"expected a regular file|longer than \d+ characters|expected at most \d+ bytes", done.stderr
        )


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder where nobody can write")
def test_what_cannot_be_written_is_named() -> None:
    """Not the temporary file beside it, which nobody knows."""
    with pytest.raises(OSError, match=r"/proc/x\.csv"), atomic_path("/proc/x.csv"):
        pass
