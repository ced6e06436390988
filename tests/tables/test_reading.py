"""The one reader: foreign tables, gaps, directions, frames, arrays of every make, and files that mean harm."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
import zipfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.errors import TableWarning
from palm_opt.tables.directions import _TURNED, LOWER, lower_is_better, uneven
from palm_opt.tables.samples_files import holds_samples
from palm_opt.tables.weights import read_weights

GAPS = (
    "model,quality,safety,brevity\na,0.91,0.80,0.20\nb,,0.90,0.50\nc,0.70,n/a,0.90\nd,0.60,0.70,0.95\ne,0.88,0.85,-\n"
)
SEMICOLONS = "model;quality;safety\na;0,91;0,80\nb;0,70;0,95\n"
TABS = "model\tquality\tprice\nA\t0.91\t5.00\nB\t0.78\t0.25\n"
APIS = (
    "model,quality,cost,latency,safety\nlarge,0.91,37.50,2.9,0.97\nsmall,0.74,2.40,0.8,0.93\nnano,0.66,0.15,0.3,0.84\n"
)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Gaps


def test_gaps_are_refused_all_together(tmp_path: Path) -> None:
    path = write(tmp_path / "gaps.csv", GAPS)
    with pytest.raises(palm.ProblemError) as caught:
        palm.ValueMatrix.read(path, id="model")
    text = str(caught.value)
    assert text.startswith(f"{path}: 3 gaps, expected finite numbers: line 3 (candidate 'b'): '' in column 'quality'; ")
    assert "line 4 (candidate 'c'): 'n/a' in column 'safety'; line 6 (candidate 'e'): '-' in" in text
    assert "--missing drop" in text and "--missing worst" in text and "\n" not in text
    rows = "".join(f"m{i},,1\n" for i in range(9_000))
    with pytest.raises(palm.ProblemError, match=r"9000 gaps.*line 13 .*; and 8988 more; ") as caught:
        palm.ValueMatrix.read(write(tmp_path / "many.csv", f"model,a,b\n{rows}"), id="model")
    assert len(str(caught.value)) < 1500


def test_gaps_are_dropped_or_count_as_the_worst_and_both_say_so(tmp_path: Path) -> None:
    path = write(tmp_path / "gaps.csv", GAPS)
    with pytest.warns(
        TableWarning, match=r"left out for their gaps, 3 of 5 candidates: b \(quality\), c \(safety\), e \(brevity\)"
    ):
        values = palm.ValueMatrix.read(path, id="model", missing="drop")
    assert values.names == ("a", "d") and not values.plain
    with pytest.warns(TableWarning, match="3 gaps taken for the worst of the column: b"):
        values = palm.ValueMatrix.read(path, id="model", rewards=["quality", "-safety", "brevity"], missing="worst")
    assert values.raw.tolist()[1:3] == [[0.6, 0.9, 0.5], [0.7, 0.9, 0.9]] and values.raw[4, 2] == 0.2
    with pytest.warns(TableWarning):  # rows without names keep their numbers
        unnamed = palm.ValueMatrix.read(path, rewards=["quality", "safety"], missing="drop")
    assert unnamed.names == ("0", "3", "4") and unnamed.to_csv().startswith("id,quality,safety\n0,0.91,0.8\n3,")
    with pytest.warns(TableWarning):  # a cost that is not known is the dearest
        costly = palm.ValueMatrix.read(path, id="model", rewards=["safety"], cost="quality", missing="worst")
    assert costly.costs[1] == 0.91
    np.savez(tmp_path / "v.npz", values=[[1, np.nan], [2, 3.0], [0, 1]], names=["x", "y", "z"])
    with pytest.raises(palm.ProblemError, match="row 0: nan in column '1'"):
        palm.ValueMatrix.read(tmp_path / "v.npz")
    with pytest.warns(TableWarning, match=r"1 of 3 .*: x \(column 1\)"):
        assert palm.ValueMatrix.read(tmp_path / "v.npz", missing="drop").names == ("y", "z")


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e999", "1_000", "0x1p3", "\u0661", "abc", "0,5"])
@pytest.mark.parametrize("missing", ["drop", "worst"])
def test_what_is_no_gap_is_refused_whatever_becomes_of_gaps(tmp_path: Path, cell: str, missing: str) -> None:
    path = write(tmp_path / "v.csv", f'model,a,b\nx,1,2\ny,"{cell}",\n')
    with pytest.raises(
        palm.ProblemError, match=r"line 3 \(candidate 'y'\): .* in column 'a', expected a finite number"
    ):
        palm.ValueMatrix.read(path, id="model", missing=missing)


def test_a_long_cell_is_shown_in_short(tmp_path: Path) -> None:
    with pytest.raises(palm.ProblemError, match=r"line 2: 'x+\.\.\. in column 'a'") as caught:
        palm.ValueMatrix.read(write(tmp_path / "v.csv", f"a\n{'x' * 100_000}\n"))
    assert len(str(caught.value)) < 300


def test_nothing_left_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "v.csv", "model,a\nx,\ny,NA\n")
    with pytest.raises(palm.ProblemError, match="every candidate has a gap"):
        palm.ValueMatrix.read(path, id="model", missing="drop")
    with pytest.raises(palm.ProblemError, match="column 'a' has no number at all"):
        palm.ValueMatrix.read(path, id="model", missing="worst")


def test_gaps_in_scores(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", "prompt,a,b\np,1,2\np,,4\nq,NA,6\np,7,8\n")
    with pytest.raises(palm.ProblemError, match=r"2 gaps.*line 3: '' in column 'a'; line 4: 'NA'"):
        palm.RewardTable.read(path)
    with pytest.warns(TableWarning, match=r"left out for their gaps, 2 of 4 responses .*, 1 prompt whole"):
        table = palm.RewardTable.read(path, missing="drop")
    assert (table.prompts, table.counts.tolist()) == (("p",), [2]) and not table.plain
    with pytest.warns(TableWarning, match="2 gaps taken for the worst"):
        table = palm.RewardTable.read(path, rewards=["-a", "b"], missing="worst")
    assert np.concatenate([scores for scores, _ in table.raw()])[:, 0].tolist() == [1, 7, 7, 7]
    with pytest.raises(palm.ProblemError, match="do not fit in memory=8 bytes"):
        palm.RewardTable.read(path, missing="drop", memory=8)


def test_gaps_in_samples(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", "prompt,candidate,safe\np,a,0.5\np,b,\nq,a,1\nq,b,0\nq,c,0\n")
    with pytest.raises(palm.ProblemError, match=r"line 3 \(prompt 'p', candidate 'b'\): '' in column 'safe'"):
        palm.Samples.read(path, (0, 1))
    with pytest.warns(TableWarning, match="left out for their gaps, 2 of 3 candidates: b, c"):
        samples = palm.Samples.read(path, (0, 1), missing="drop")
    assert samples.names == ("a",) and not samples.plain
    whole = write(tmp_path / "t.csv", "prompt,candidate,safe\np,a,0.5\np,b,\n")
    with pytest.warns(TableWarning, match="1 gap taken for the low end"):
        assert palm.Samples.read(whole, (-1, 1), missing="worst").means.ravel().tolist() == [0.5, -1]


# Foreign tables


def test_each_foreign_file_is_told_the_option_that_reads_it(tmp_path: Path) -> None:
    path = write(tmp_path / "v.csv", SEMICOLONS)
    with pytest.raises(
        palm.ProblemError, match="separator seems to be ';' and the decimal mark a comma: --separator ';' "
    ):
        palm.ValueMatrix.read(path, id="model")
    values = palm.ValueMatrix.read(path, id="model", separator=";", decimal=",")
    assert values.raw.tolist() == [[0.91, 0.8], [0.7, 0.95]] and not values.plain
    with pytest.raises(palm.ProblemError, match=r"separator seems to be tab: --separator tab \(separator='\\t'\)"):
        palm.ValueMatrix.read(write(tmp_path / "t.csv", TABS), id="model")
    for options in ({"path": tmp_path / "t.csv", "separator": "tab"}, {"path": write(tmp_path / "t.tsv", TABS)}):
        values = palm.ValueMatrix.read(**options, id="model", rewards=["quality", "-price"])
        assert values.names == ("A", "B") and values.raw[1].tolist() == [0.78, 0.25] and not values.plain
    with pytest.raises(palm.ProblemError, match=r"'0,91' in column 'a'.*--decimal , \(decimal=','\) reads it"):
        palm.ValueMatrix.read(write(tmp_path / "d.csv", 'm,a\nx,"0,91"\n'), id="m")
    with pytest.raises(palm.ProblemError, match=r"line 2: 'x' in column 'm'"):  # one column whose name has a comma
        palm.ValueMatrix.read(write(tmp_path / "e.csv", 'm,"a;b"\nx,1\n'))
    assert palm.ValueMatrix.read(write(tmp_path / "f.csv", '"a,b"\n1\n')).rewards == ("a,b",)


def test_a_header_of_numbers_is_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "v.csv", "10,1\n1,10\n6,6\n")
    with pytest.raises(
        palm.ProblemError, match=r"line 1: a header of numbers only \('10', '1'\).*--no-header \(header=False\)"
    ):
        palm.ValueMatrix.read(path)
    values = palm.ValueMatrix.read(path, header=False)
    assert values.rewards == ("c1", "c2") and values.raw.tolist() == [[10, 1], [1, 10], [6, 6]]
    with pytest.raises(palm.ProblemError, match="line 3: '' in column 'c2'"):
        palm.ValueMatrix.read(write(path, "10,1\n1,10\n6,\n"), header=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": "skip"}, "missing: expected error, drop or worst"),
        ({"separator": ";;"}, "separator: expected one character"),
        ({"separator": "\n"}, "separator: expected"),
        ({"separator": 3}, "separator: expected"),
        ({"decimal": "x"}, "decimal: expected"),
        ({"decimal": ",", "separator": ","}, "decimal: expected"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    for reader in (palm.ValueMatrix.read, palm.RewardTable.read, palm.Samples.read):
        with pytest.raises(palm.ProblemError, match=message):
            reader(write(tmp_path / "v.csv", "a\n1\n"), **options)


def test_stdin_is_a_table_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, packed = pd.DataFrame({"a": [1.0, 2.0]}), io.BytesIO()
    np.savez(packed, values=[[1.0], [2.0]])
    for data in (b"a\n1\n2\n", frame.to_parquet(), packed.getvalue()):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        values = palm.ValueMatrix.read("-")
        assert values.raw.tolist() == [[1], [2]] and not values.plain
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\nx\n")))
    with pytest.raises(palm.ProblemError, match=r"^stdin, line 2: 'x'"):
        palm.ValueMatrix.read("-")


def test_a_plain_file_is_known_as_such(tmp_path: Path) -> None:
    assert palm.ValueMatrix.read(write(tmp_path / "v.csv", "a\n1\n")).plain
    assert palm.RewardTable.read(write(tmp_path / "s.csv", "prompt,a\np,1\n")).plain
    assert not palm.RewardTable.read(write(tmp_path / "r.csv", "prompt,a\np,1\nq,1\np,2\n")).plain  # to be sorted
    assert palm.Samples.read(write(tmp_path / "g.csv", "prompt,candidate,a\np,x,1\n"), (0, 1)).plain
    assert not palm.Samples.read(write(tmp_path / "h.csv", "prompt,member,a\np,x,1\n"), (0, 1)).plain


# Directions


def test_names_that_say_that_lower_is_better() -> None:
    lower = "cost price_usd latencyMs log_loss TTFT time_to_first_token Toxicity error-rate perplexity logloss CostUSD"
    assert all(map(lower_is_better, lower.split()))
    plain = "quality win_rate neg_price time_saved cost_efficiency x_speed truthfulqa r1 costume lossless error_free"
    assert not any(map(lower_is_better, plain.split()))


def test_the_words_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    for words in (LOWER, _TURNED):
        assert ", ".join(sorted(words)) in " ".join(text.split()).replace("> ", "")


def test_a_direction_that_is_not_plain_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "apis.csv", APIS)
    with pytest.raises(palm.ProblemError, match=r"'cost', 'latency': .* --rewards quality,-cost,-latency,safety \("):
        palm.ValueMatrix.read(path, id="model")
    with pytest.raises(palm.ProblemError, match="--rewards quality,-cost"):
        palm.ValueMatrix.from_frame(pd.DataFrame({"quality": [1.0], "cost": [2.0]}))
    with pytest.warns(TableWarning, match="'cost' is taken as written, higher is better: write -cost or \\+cost"):
        values = palm.ValueMatrix.read(path, id="model", rewards=["quality", "cost"])
    assert values.rewards == ("quality", "cost")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert palm.ValueMatrix.read(path, "model", ["quality", "+cost", "-latency"]).rewards[1:] == (
            "cost",
            "-latency",
        )
        assert palm.ValueMatrix.read(path, "model", ["-cost", "+"]).rewards == ("-cost", "quality", "latency", "safety")
        assert palm.ValueMatrix([[1.0]], rewards=["cost"]).rewards == ("cost",)  # an array is named by its owner
    np.savez(tmp_path / "s.npz", rewards=np.ones((1, 2, 2)), dims=["safe", "cost"])
    with pytest.raises(palm.ProblemError, match="--rewards safe,-cost"):
        palm.RewardTable.read(tmp_path / "s.npz")
    long = write(tmp_path / "s.csv", "prompt,candidate,latency\np,a,1\n")
    with pytest.raises(palm.ProblemError, match=r"--rewards \+latency \(if higher is better; else negate numbers"):
        palm.Samples.read(long, (0, 1))
    assert palm.Samples.read(long, (0, 1), rewards=["+latency"]).rewards == ("latency",)
    wide = "model," + ",".join(f"q{k}" for k in range(300)) + ",cost\nx" + ",1" * 301 + "\n"
    with pytest.raises(palm.ProblemError, match=r"--rewards \+,-cost \(") as caught:
        palm.ValueMatrix.read(write(tmp_path / "w.csv", wide), id="model")
    assert len(str(caught.value)) < 300


def test_units_that_differ_a_hundredfold_are_told() -> None:
    assert uneven(["a", "b"], [0, 0], [1, 99]) is None
    assert "'b' ranges 200 times as wide as 'a'" in str(uneven(["a", "b"], [0, 0], [1, 200]))
    assert uneven(["a", "b"], [0, 0], [0, 200]) is None  # one that is the same everywhere
    assert "times as wide" in str(uneven(["a", "b"], [-1.7e308, 0], [1.7e308, 5e-324]))


# Frames and arrays


def test_frames() -> None:
    read = palm.ValueMatrix.from_frame
    assert read(pd.DataFrame({0: [1.0], 1: [2.0]}), rewards=["-1", "0"]).raw.tolist() == [[2, 1]]
    named = pd.DataFrame({"a": [1.0, 2.0], "m": ["p", "q"]}, index=["x", "y"])
    assert read(named[["a"]]).names == ("x", "y") and read(named, id="m").names == ("p", "q")
    assert read(named[["a"]].rename_axis("model")).to_csv() == "model,a\nx,1.0\ny,2.0\n"
    assert read(pd.DataFrame({"a": [1.0, 2.0, 3.0]})[::2]).names == ("0", "1")
    assert read(pa.table({"a": [1.0, 2.0], "m": ["x", "y"]}), id="m").names == ("x", "y")
    assert read(pd.DataFrame({"a": [Decimal("0.1"), Decimal("2")]})).raw.ravel().tolist() == [0.1, 2]
    for frame, message in [
        (pd.DataFrame({("a", "b"): [1.0]}), "frame: column .*join several levels"),
        (pd.DataFrame([[1, 2.0]], columns=["a", "a"]), "unique column names"),
        (pd.DataFrame({"a": [1.0, 2.0]}, index=["x", "x"]), "row 1: candidate 'x' occurs twice, first at frame, row 0"),
        (named.set_index(["m", "a"], drop=False), "frame: .*"),
        (named[["a"]].set_index([["x", "y"], [0, 1]]), "an index of several levels"),
        (pd.DataFrame({"a": [1, "x"]}), "frame: cannot be read"),
        (pd.DataFrame({"a": ["1", "2"]}), "column 'a' holds .*string, expected numbers"),
        (pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}), "column 'a' holds timestamp"),
        (pd.DataFrame({"a": [True]}), "column 'a' holds bool"),
        (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), "row 1: None in column 'a'"),
        (pd.DataFrame({"a": [1.0, np.inf]}), "row 1: inf in column 'a'"),
        (pd.DataFrame(), "no reward columns"),
        (np.eye(2), "frame: expected a dataframe"),
    ]:
        with pytest.raises(palm.ProblemError, match=message) as caught:
            read(frame)
        assert "\n" not in str(caught.value)
    with pytest.raises(palm.ProblemError, match="from_frame reads it, names and all"):
        palm.solve(named[["a"]])


def test_a_parquet_file_of_pandas_keeps_its_index(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1.0, 2.0]}, index=["x", "y"]).to_parquet(tmp_path / "v.parquet")
    values = palm.ValueMatrix.read(tmp_path / "v.parquet")
    assert values.names == ("x", "y") and values.rewards == ("a",) and values.plain


def test_arrays_of_every_make() -> None:
    torch = pytest.importorskip("torch")
    make = palm.ValueMatrix
    tensor = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert make(tensor).raw.tolist() == make(tensor.bfloat16()).raw.tolist() == [[1, 2], [3, 4]]
    assert make(np.arange(8.0).reshape(2, 4)[:, ::2]).raw.tolist() == [[0, 2], [4, 6]]
    assert make([[Decimal("0.1"), Fraction(1, 4)]]).raw.tolist() == [[0.1, 0.25]]
    masked = np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], mask=[[0, 0], [1, 0]])
    for array, message in [
        (masked, r"entry \[1, 0\] is masked"),
        (list(masked), r"entry \[1, 0\] is masked"),
        ([tensor[0], tensor[1]], "values: expected an"),
        (np.array([["2020-01-01"]], dtype="M8[D]"), r"got datetime64\[D\]"),
        (np.array([["1"]]), "got <U1"),
        ([[10**400]], "no objects"),
        ([[object()]], "no objects"),
        ([[1], [1, 2]], "inhomogeneous"),
        ([[None]], "row 0, column 0 is nan"),
    ]:
        with pytest.raises(palm.ProblemError, match=message) as caught:
            make(array)
        assert "\n" not in str(caught.value)
    assert make(np.ma.masked_array([[1.0]], mask=False)).raw.tolist() == [[1]]
    cube = np.ma.masked_array(np.zeros((2, 2, 1)), mask=[[[0], [1]], [[0], [0]]])
    for call in (lambda: palm.Samples(cube, (0, 1)), lambda: palm.RewardTable(cube)):
        with pytest.raises(palm.ProblemError, match=r"entry \[0, 1, 0\] is masked"):
            call()
    with pytest.raises(palm.ProblemError, match=r"weight: entry \[1\] is masked"):
        palm.Search(n_rewards=2).tell(np.ma.masked_array([0.5, 0.5], mask=[0, 1]), [1, 2])
    with pytest.raises(palm.ProblemError, match=r"weights: entry \[0, 0\] is masked"):
        read_weights(np.ma.masked_array([[1.0, 2.0]], mask=[[1, 0]]), ["a", "b"])


# Samples, one column a candidate


def test_wide_samples(tmp_path: Path) -> None:
    text = "prompt,reward,a,b\np,safe,0.1,0.2\nq,fun,0.7,0.8\np,fun,0.3,0.4\nq,safe,0.5,0.6\n"
    path = write(tmp_path / "w.csv", text)
    assert not holds_samples(path)
    with pytest.raises(
        palm.ProblemError, match=r"no column 'candidate'.*--wide \(wide=True\) reads one column a candidate"
    ):
        palm.Samples.read(path, (0, 1))
    samples = palm.Samples.read(path, (0, 1), wide=True)
    assert (samples.names, samples.rewards, samples.prompts) == (("a", "b"), ("safe", "fun"), ("p", "q"))
    assert samples.means.tolist() == [[[0.1, 0.3], [0.2, 0.4]], [[0.5, 0.7], [0.6, 0.8]]]
    assert palm.Samples.read(path, (0, 1), rewards=["fun"], wide=True).means[..., 0].tolist() == [
        [0.3, 0.4],
        [0.7, 0.8],
    ]
    one = write(tmp_path / "o.csv", "prompt,cluster,a,b\np,k,0.1,0.2\nq,k,0.5,\n")
    with pytest.warns(TableWarning, match="left out for their gaps, 1 of 2 candidates: b"):
        single = palm.Samples.read(one, (0, 1), rewards=["safe"], wide=True, missing="drop")
    assert (single.names, single.rewards, single.clusters) == (("a",), ("safe",), ("k", "k"))
    for bad, message in [
        (text + "p,safe,1,1\n", "line 6: a second row of its prompt and reward"),
        (text + "r,safe,1,1\n", "no row for prompt 'r' and reward 'fun'"),
        ("prompt,reward\np,safe\n", "no columns of candidates"),
        (text.replace("0.8", ""), r"line 3 \(prompt 'q', reward 'fun'\): '' in column 'b'"),
    ]:
        with pytest.raises(palm.ProblemError, match=message):
            palm.Samples.read(write(path, bad), (0, 1), wide=True)


# Files that mean harm


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def test_dates_and_repeated_entries_are_no_arrays(tmp_path: Path) -> None:
    dates = write(tmp_path / "dt.npz", npz(values=np.array([["2020", "2021"]], dtype="M8[s]")))
    with pytest.raises(palm.ProblemError, match=r"dt\.npz: values: expected numbers, got datetime64\[s\]"):
        palm.ValueMatrix.read(dates)
    entry = io.BytesIO()
    np.save(entry, np.eye(2))
    with zipfile.ZipFile(tmp_path / "dup.npz", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the name is repeated
        archive.writestr("values.npy", entry.getvalue())
        archive.writestr("values.npy", entry.getvalue())
    with pytest.raises(palm.ProblemError, match=r"dup\.npz: the entry 'values.npy' occurs twice"):
        palm.ValueMatrix.read(tmp_path / "dup.npz")


BOMBS = """
import pathlib, re, resource, sys
import palm_opt as palm, pyarrow.parquet, numpy
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for file in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    for read in (palm.ValueMatrix.read, lambda path: palm.Samples.read(path, (0, 1)), palm.RewardTable.read):
        try:
            read(file)
        except palm.ProblemError as error:
            assert str(file) in str(error) and "\\n" not in str(error), error
        else:
            raise AssertionError(f"{file} was read")
status = pathlib.Path("/proc/self/status")
print(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1] if status.exists() else 0)
"""


def test_bombs_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """Gigabytes in a few kilobytes: lists, one repeated number, one repeated long name, packed zeros."""
    wide = pa.ListArray.from_arrays(pa.array([0, 20_000_000]), pa.array(np.ones(20_000_000)))
    pq.write_table(
        pa.table({"prompt": ["x"], "candidate": ["y"], "a": wide}), tmp_path / "list.parquet", compression="zstd"
    )
    ones, count = pa.array(np.ones(4_000_000)), 16
    with pq.ParquetWriter(
        tmp_path / "rows.parquet", pa.schema({f"a{k}": pa.float64() for k in range(count)})
    ) as writer:
        for _ in range(5):
            writer.write_table(pa.table({f"a{k}": ones for k in range(count)}))
    with zipfile.ZipFile(tmp_path / "zeros.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for key in ("values", "rewards"):
            with archive.open(f"{key}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array_header_1_0(
                    entry, {"descr": "<f8", "fortran_order": False, "shape": (1, 300 * 2**20)}
                )
                for _ in range(300 * 8):
                    entry.write(bytes(2**20))
    environment = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", BOMBS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 400_000  # kB at most, libraries included


GOOD: dict[str, bytes] = {
    "values.csv": b"model,a,b\nx,1,2\ny,2,1\n",
    "long.csv": b"prompt,candidate,a\np,x,1\nq,x,2\n",
    "values.npz": npz(values=np.eye(3), names=["x", "y", "z"]),
    "long.npz": npz(rewards=np.ones((2, 3, 1)), ranges=[(0, 1)], log_weights=np.zeros((2, 3))),
    "values.parquet": pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 1.0]}, index=["x", "y"]).to_parquet(),
    "long.parquet": pd.DataFrame({"prompt": ["p", "q"], "candidate": ["x", "x"], "a": [1.0, 2.0]}).to_parquet(),
}


@pytest.mark.filterwarnings("ignore::palm_opt.errors.TableWarning")
@pytest.mark.parametrize("name", GOOD)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_but_a_refusal_leaves_the_reader(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """Damaged, truncated and arbitrary bytes, in other encodings, under any option, to every reader."""
    good = GOOD[name]
    kind = data.draw(st.sampled_from(["damaged", "damaged", "truncated", "random", "encoded"]))
    raw = bytearray(good)
    if kind == "damaged":
        for at in data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=6)):
            raw[at] = data.draw(st.integers(0, 255))
    elif kind == "truncated":
        raw = raw[: data.draw(st.integers(0, len(good)))]
    elif kind == "random":
        raw = bytearray(data.draw(st.binary(max_size=200)))
    else:
        raw = bytearray(
            good.decode("latin-1").encode(data.draw(st.sampled_from(["utf-16", "utf-32", "cp500", "utf-7"])))
        )
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(raw)
    form = {
        "missing": data.draw(st.sampled_from(["error", "drop", "worst"])),
        "header": data.draw(st.booleans()),
        "separator": data.draw(st.sampled_from([None, ";", "tab", "\x00"])),
    }
    for read in (
        lambda: palm.ValueMatrix.read(path, **form),
        lambda: palm.ValueMatrix.read(path, id="model", **form),
        lambda: list(palm.RewardTable.read(path, memory=data.draw(st.sampled_from([0, 2**30])), **form).blocks()),
        lambda: palm.Samples.read(path, (0, 1), **form),
        lambda: palm.Samples.read(path, (0, 1), wide=True, **form),
        lambda: read_weights(path, ["a", "b"]),
        lambda: holds_samples(path),
    ):
        try:
            read()
        except palm.PalmError as error:
            assert "\n" not in str(error)
