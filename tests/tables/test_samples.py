"""Samples: shapes, means, clipping, files, the split, and what is refused."""

from __future__ import annotations

import csv
import hashlib
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

import palm_opt as palm

RANGES = [(0, 1), (-1, 3)]
RNG = np.random.default_rng(5)
ARRAY = np.stack([RNG.uniform(0, 1, (12, 3)), RNG.uniform(-1, 3, (12, 3))], axis=-1)


def small(**options: object) -> palm.Samples:
    given: dict[str, object] = {"names": ["a", "b", "c"], "reward_names": ["safe", "fun"]}
    return palm.Samples(ARRAY, RANGES, **(given | options))  # type: ignore[arg-type]


def test_means_are_clipped_then_averaged_over_generations() -> None:
    array = np.array([[[[0.5, 5.0], [0.25, 1.0]]], [[[-2.0, 0.0], [0.5, 0.0]]]])  # 2 prompts, 1 candidate, 2 each
    samples = palm.Samples(array, RANGES)
    assert samples.means.tolist() == [[[0.375, 2.0]], [[0.25, 0.0]]]
    assert samples.clipped == {"r1": 1, "r2": 1}
    scaled = palm.Samples(array, RANGES, scale="ranges")
    assert scaled.means.tolist() == [[[0.375, 0.75]], [[0.25, 0.25]]]
    assert (scaled.low.tolist(), scaled.high.tolist()) == ([0, 0], [1, 1])
    assert (samples.low.tolist(), samples.high.tolist()) == ([0, -1], [1, 3])


def test_clusters_count_once_and_are_never_split() -> None:
    names = [f"c{i // 5}" for i in range(12)]
    samples = small(clusters=names)
    assert samples.units[0] == ("c0", "c1", "c2")
    every = samples.unit_means(np.ones(3, dtype=bool))
    for u, rows in enumerate((slice(0, 5), slice(5, 10), slice(10, 12))):
        assert np.allclose(every[u], ARRAY[rows].mean(axis=0))
    assert np.array_equal(samples.unit_means(np.array([False, True, False])), every[1:2])
    many = palm.Samples(np.repeat(ARRAY, 5, axis=0), RANGES, clusters=[f"c{i // 5}" for i in range(60)])
    chooses, certifies = many.split(0.5, seed=1)
    assert len(chooses) == 12
    assert (chooses ^ certifies).all()


def test_the_split_is_the_documented_hash() -> None:
    samples = palm.Samples(np.zeros((400, 1, 1)), (0, 1), prompts=[f"prompt {i}" for i in range(400)])
    for seed, share in ((0, 0.5), (17, 0.3)):
        chooses, certifies = samples.split(share, seed)
        for name, chosen in zip(samples.prompts, chooses, strict=True):
            digest = hashlib.sha256(b"palm_opt split 1\n%d\n%s" % (seed, name.encode())).digest()
            assert chosen == (Fraction(int.from_bytes(digest[:8], "big"), 2**64) < Fraction(share))
        assert abs(chooses.mean() - share) < 0.1
        assert (chooses != certifies).all()


def test_the_split_knows_names_only() -> None:
    order = np.random.default_rng(0).permutation(12)
    samples, mixed = small(), palm.Samples(RNG.uniform(0, 1, (12, 3, 2)), RANGES, prompts=order)
    chosen = {name for name, yes in zip(samples.prompts, samples.split(0.5, 3)[0], strict=True) if yes}
    assert chosen == {name for name, yes in zip(mixed.prompts, mixed.split(0.5, 3)[0], strict=True) if yes}


@pytest.mark.parametrize("clusters", [None, [f"k{i // 2}" for i in range(12)]])
def test_files_read_back_exactly(tmp_path: Path, clusters: list[str] | None) -> None:
    array = RNG.normal(0.5, 0.5, (12, 3, 4, 2))
    prompts = [f'p"{i}",\n' for i in range(12)]
    names = ["a", "b b", "ü"]
    samples = palm.Samples(array, RANGES, names, clusters, ["safe", "fun"], prompts)
    path = tmp_path / "samples.csv"
    path.write_text(samples.to_csv(), encoding="utf-8")
    read = palm.Samples.read(path, RANGES)
    assert read.sha256 == samples.sha256
    assert np.array_equal(read.means, samples.means)
    assert (read.names, read.prompts, read.clusters) == (samples.names, samples.prompts, samples.clusters)
    assert read.to_csv() == samples.to_csv()
    np.savez(
        tmp_path / "samples.npz",
        rewards=array,
        names=names,
        reward_names=["safe", "fun"],
        prompts=prompts,
        ranges=RANGES,
        **({} if clusters is None else {"clusters": clusters}),  # type: ignore[arg-type]
    )
    assert palm.Samples.read(tmp_path / "samples.npz").sha256 == samples.sha256


def test_evaluation_files_are_read_as_written(tmp_path: Path) -> None:
    """Member after member, uneven numbers of generations, `kl` is no reward; also names as dictionaries."""
    rows = [(p, m, g) for m in ("base", "w-50-50") for p in range(4) for g in range(2 + (p == 1))]
    scores = RNG.uniform(0, 1, (len(rows), 2))
    table = pyarrow.table(
        {
            "prompt": [f"question {p}" for p, _, _ in rows],
            "member": pyarrow.array([m for _, m, _ in rows]).dictionary_encode(),
            "generation": [g for _, _, g in rows],
            "safe": pyarrow.array(scores[:, 0], type=pyarrow.float32()),
            "fun": scores[:, 1],
            "kl": RNG.normal(0, 9, len(rows)),
        }
    )
    parquet.write_table(table, tmp_path / "evaluation.parquet")
    samples = palm.Samples.read(tmp_path / "evaluation.parquet", (0, 1))
    assert (samples.names, samples.rewards) == (("base", "w-50-50"), ("safe", "fun"))
    for p in range(4):
        for i, m in enumerate(samples.names):
            own = [t for t, row in enumerate(rows) if row[:2] == (p, m)]
            assert np.allclose(samples.means[p, i], scores[own].mean(axis=0), atol=1e-7)
    assert palm.Samples.read(tmp_path / "evaluation.parquet", (0, 1), rewards=["fun"]).rewards == ("fun",)
    cells = list(csv.reader(io.StringIO(samples.to_csv())))
    assert cells[0] == ["prompt", "candidate", "safe", "fun"]
    assert len(cells) == len(rows) + 1


def test_missing_numbers_are_refused_by_name(tmp_path: Path) -> None:
    array = ARRAY.copy()
    array[7, 1, 0] = np.nan
    with pytest.raises(palm.ProblemError, match=r"prompt '7', candidate 'b', reward 'safe' is nan, expected a finite"):
        palm.Samples(array, RANGES, ["a", "b", "c"], reward_names=["safe", "fun"])
    with pytest.raises(palm.ProblemError, match=r"prompt '0', candidate '1', reward 'r1' is nan"):
        palm.Samples([[[0.5], [None]]], (0, 1))  # type: ignore[list-item]
    table = {"prompt": ["x", "x"], "policy": ["a", "b"], "safe": [0.1, None]}
    parquet.write_table(pyarrow.table(table), tmp_path / "t.parquet")
    with pytest.raises(
        palm.ProblemError, match=r"t\.parquet, row 1 \(prompt 'x', candidate 'b'\): None in column 'safe'"
    ):
        palm.Samples.read(tmp_path / "t.parquet", (0, 1))
    for cell in ("nan", "inf", "", "0x1p3", "1_0", "1e999"):
        (tmp_path / "t.csv").write_text(f"prompt,candidate,safe\nx,a,0.5\nx,b,{cell}\n")
        with pytest.raises(palm.ProblemError, match=r"candidate '?b'?.*expected a finite number"):
            palm.Samples.read(tmp_path / "t.csv", (0, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["a", "b"]}, "names: expected one per candidate, 3, got 2"),
        ({"names": ["a", "b", "a"]}, "names: 'a' occurs twice"),
        ({"names": ["a", "", "c"]}, "names: entry 1 is empty"),
        ({"prompts": range(11)}, "prompts: expected one per prompt, 12, got 11"),
        ({"clusters": ["x"] * 3}, "clusters: expected one per prompt, 12, got 3"),
        ({"reward_names": ["safe", "-slow"]}, "reward '-slow': higher is better"),
        ({"scale": "minmax"}, "scale: expected 'none' or 'ranges', got 'minmax'"),
    ],
)
def test_bad_labels_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(palm.ProblemError, match=message):
        small(**options)


@pytest.mark.parametrize(
    "ranges", [(1, 0), [(0, 1)], [(0, 1)] * 3, [(0, np.inf), (0, 1)], (-1e308, 1e308), "ab", [(0, 1, 2), (0, 1)]]
)
def test_bad_ranges_are_refused(ranges: object) -> None:
    with pytest.raises(palm.ProblemError, match="ranges: expected"):
        palm.Samples(ARRAY, ranges)  # type: ignore[arg-type]


@pytest.mark.parametrize("array", [np.zeros((2, 3)), np.zeros((0, 3, 1)), [[["x"]]], np.zeros((1, 1, 1, 1, 1))])
def test_bad_arrays_are_refused(array: object) -> None:
    with pytest.raises(palm.ProblemError, match="rewards: expected"):
        palm.Samples(array, (0, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty, expected a header"),
        ("prompt,candidate,safe\n", "expected at least one row"),
        ("prompt,candidate,safe\nx,a,1\nx,b\n", "line 3: 2 cells, expected 3"),
        ("prompt,candidate,safe,safe\nx,a,1,1\n", "column 'safe' occurs twice"),
        ("question,candidate,safe\nx,a,1\n", "no column 'prompt' of prompts"),
        ("prompt,model,safe\nx,a,1\n", "no column 'candidate' of candidates; it has prompt, model, safe"),
        ("prompt,candidate\nx,a\n", "no numeric columns of rewards"),
        ("prompt,candidate,safe\nx,a,1\ny,a,1\ny,b,1\n", "no row for prompt 'x' and candidate 'b'"),
        ("prompt,candidate,safe\nx,a,1\nx,b,1\ny,a,1\n", "no row for prompt 'y' and candidate 'b'"),
        ("prompt,candidate,cluster,safe\nx,a,k,1\nx,a,l,1\n", "prompt 'x' is in more than one cluster"),
        ("prompt,candidate,safe\n,a,1\n", "line 2: the prompt in column 'prompt' is empty"),
        ('prompt,candidate,safe\n"x,a,1\n', "line"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(palm.ProblemError, match=message) as caught:
        palm.Samples.read(path, (0, 1))
    assert str(caught.value).startswith(str(path))


def test_bad_files_are_refused(tmp_path: Path) -> None:
    for name in ("none.csv", "none.txt"):
        with pytest.raises(palm.ProblemError, match=name):
            palm.Samples.read(tmp_path / name, (0, 1))
    for name in ("bad.npz", "bad.parquet", "bad.csv"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00 nonsense")
        with pytest.raises(palm.ProblemError, match=name):
            palm.Samples.read(tmp_path / name, (0, 1))
    np.savez(tmp_path / "object.npz", rewards=np.array([[[None]]], dtype=object))
    with pytest.raises(palm.ProblemError, match="object"):
        palm.Samples.read(tmp_path / "object.npz", (0, 1))
    np.savez(tmp_path / "bare.npz", rewards=ARRAY)
    with pytest.raises(palm.ProblemError, match="ranges: expected the declared bounds"):
        palm.Samples.read(tmp_path / "bare.npz")
    (tmp_path / "t.csv").write_text("prompt,candidate,safe\nx,a,1\n")
    with pytest.raises(palm.ProblemError, match="ranges: expected the declared bounds"):
        palm.Samples.read(tmp_path / "t.csv")


def test_samples_do_not_change() -> None:
    array = ARRAY.copy()
    samples = palm.Samples(array, RANGES)
    before = samples.sha256
    array[:] = 0
    assert samples.means[0, 0, 0] == ARRAY[0, 0, 0]
    for held in (samples.means, samples.rows):
        with pytest.raises(ValueError, match="read-only"):
            held[0] = 1
    assert samples.sha256 == before


def test_a_split_needs_two_on_each_side() -> None:
    with pytest.raises(palm.ProblemError, match="expected at least 2; give more prompts"):
        palm.Samples(np.zeros((3, 1, 1)), (0, 1)).split(0.5)
    for share in (0, 1, -1, float("nan")):
        with pytest.raises(palm.ProblemError, match="split: expected a share between 0 and 1"):
            small().split(share)
    for seed in (-1, True, "x"):
        with pytest.raises(palm.ProblemError, match="seed: expected an integer"):
            small().split(0.5, seed)  # type: ignore[arg-type]
