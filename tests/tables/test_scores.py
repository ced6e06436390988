"""Reading and checking score tables: formats, scales, streaming, bad files."""

import csv
import io
import math
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palm_opt.errors import ProblemError
from palm_opt.planning.gibbs import gibbs
from palm_opt.tables.scores import RewardTable
from palm_opt.tables.scores_files import ParquetRows
from palm_opt.tables.values import ValueMatrix


def contents(table):
    """Everything that planning reads: counts, scaled scores, log q."""
    blocks = list(table.blocks())
    return table.counts, np.concatenate([b.scores for b in blocks]), np.concatenate([b.log_q for b in blocks])


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(contents(a), contents(b), strict=True))


def ragged(seed, weighted=True):
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=(int(rng.integers(1, 9)), 3)) for _ in range(int(rng.integers(1, 30)))]
    return scores, [rng.normal(size=len(part)) for part in scores] if weighted else None


def columns(scores, logs, order=None):
    """The long table as columns, rows in the order given."""
    prompt = [f"p{x}" for x, part in enumerate(scores) for _ in part]
    flat = np.concatenate(scores)
    table = {"prompt": prompt, "response": [f"text {i}" for i in range(len(flat))]}
    table |= {name: flat[:, k].tolist() for k, name in enumerate(["a", "b", "c"])}
    if logs is not None:
        table["log_weight"] = np.concatenate(logs).tolist()
    return table if order is None else {name: [column[i] for i in order] for name, column in table.items()}


def write_csv(path, table):
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table)
        writer.writerows(zip(*(map(repr, c) if isinstance(c[0], float) else c for c in table.values()), strict=True))
    return path


@given(st.integers(0, 10**6), st.booleans())
def test_every_way_in_gives_the_same_table(tmp_path_factory, seed, weighted):
    folder = tmp_path_factory.mktemp("scores")
    scores, logs = ragged(seed, weighted)
    rng = np.random.default_rng(seed)
    table = RewardTable(scores, rewards=["a", "b", "c"], log_weights=logs)
    long = columns(scores, logs)
    write_csv(folder / "scores.csv", long)
    pq.write_table(pa.table(long), folder / "scores.parquet", row_group_size=int(rng.integers(1, 40)))
    arrays = {"rewards": np.concatenate(scores), "counts": [len(p) for p in scores], "dims": ["a", "b", "c"]}
    if weighted:
        arrays["log_weights"] = np.concatenate(logs)
    np.savez(folder / "scores.npz", **arrays)
    np.savez_compressed(folder / "packed.npz", **arrays)
    for name in ("scores.csv", "scores.parquet", "scores.npz", "packed.npz"):
        assert same(RewardTable.read(folder / name), table), name
    streamed = RewardTable.read(folder / "scores.parquet", memory=0)
    assert isinstance(streamed._rows, ParquetRows) and same(streamed, table)
    assert (streamed.surprise, streamed.largest) == (table.surprise, table.largest)
    lines = "".join(table.csv_lines())
    (folder / "again.csv").write_text(lines)
    assert same(RewardTable.read(folder / "again.csv"), table)
    assert "".join(streamed.csv_lines()).splitlines()[0] == lines.splitlines()[0]


def test_rows_of_a_prompt_need_not_be_together_in_memory(tmp_path):
    scores, logs = ragged(3)
    n = sum(map(len, scores))
    order = np.random.default_rng(0).permutation(n)
    shuffled = columns(scores, logs, order)
    pq.write_table(pa.table(shuffled), tmp_path / "s.parquet")
    write_csv(tmp_path / "s.csv", shuffled)
    a, b = RewardTable.read(tmp_path / "s.parquet"), RewardTable.read(tmp_path / "s.csv")
    assert same(a, b) and a.prompts == tuple(dict.fromkeys(shuffled["prompt"]))
    weights = np.full((1, 3), 1 / 3)
    whole = RewardTable(scores, log_weights=logs)
    np.testing.assert_allclose(gibbs(a, weights, 0.1).opt, gibbs(whole, weights, 0.1).opt, rtol=1e-13)
    with pytest.raises(ProblemError, match=r"s\.parquet: .* rows do not fit in memory=100 bytes; sort its rows"):
        RewardTable.read(tmp_path / "s.parquet", memory=100)
    with pytest.raises(ProblemError, match=r"s\.csv: .* rows do not fit in memory=100 bytes; write it as Parquet"):
        RewardTable.read(tmp_path / "s.csv", memory=100)


def test_streaming_crosses_batches_and_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("palm_opt.tables.arrow.BATCH", 7)
    scores, logs = ragged(11)
    pq.write_table(pa.table(columns(scores, logs)), tmp_path / "s.parquet", row_group_size=10)
    streamed, table = RewardTable.read(tmp_path / "s.parquet", memory=0), RewardTable(scores, log_weights=logs)
    for rows in (1, 5, 16, 10**6):
        one, two = list(streamed.blocks(rows)), list(table.blocks(rows))
        assert [b.first for b in one] == [b.first for b in two]
        assert all(np.array_equal(a.scores, b.scores) for a, b in zip(one, two, strict=True))
        assert sum(len(b.offsets) - 1 for b in one) == len(scores)
    assert max(len(b.scores) for b in table.blocks(16)) <= 16


def test_a_table_by_policies_is_read_with_its_column_names(tmp_path):
    table = {
        "prompt": pa.array([1, 1, 2, 2], pa.int32()),
        "policy": pa.array(["x", "y", "x", "y"]).dictionary_encode(),
        "brief": pa.array([0.5, 1, 0, 0.25], pa.float32()),
        "kind": pa.array([1, 2, 3, 4], pa.int64()),
    }
    pq.write_table(pa.table(table), tmp_path / "s.parquet")
    found = RewardTable.read(tmp_path / "s.parquet", response="policy")
    assert found.rewards == ("brief", "kind") and found.prompts == ("1", "2") and found.counts.tolist() == [2, 2]
    only = RewardTable.read(tmp_path / "s.parquet", rewards=["-brief"])
    assert contents(only)[1].ravel().tolist() == [-0.5, -1, 0, -0.25]
    with pytest.raises(ProblemError, match=r"column 'policy' holds dictionary.*expected numbers"):
        RewardTable.read(tmp_path / "s.parquet")
    with pytest.raises(ProblemError, match="no column 'question'; it has prompt, policy, brief, kind"):
        RewardTable.read(tmp_path / "s.parquet", prompt="question")


def test_dictionaries_with_unused_entries_and_other_prompts_in_each_batch(tmp_path, monkeypatch):
    monkeypatch.setattr("palm_opt.tables.arrow.BATCH", 2)
    prompts = pa.DictionaryArray.from_arrays(pa.array([2, 2, 0, 0, 2]), pa.array(["z", "unused", "a"]))
    pq.write_table(pa.table({"prompt": prompts, "r": [1.0, 2, 3, 4, 5]}), tmp_path / "s.parquet")
    found = RewardTable.read(tmp_path / "s.parquet")
    assert found.prompts == ("a", "z") and found.counts.tolist() == [3, 2]
    assert contents(found)[1].ravel().tolist() == [1, 2, 5, 3, 4]


@given(st.integers(0, 10**6))
def test_scales_are_those_of_a_value_matrix(seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(3, 4, 2)) * 10
    scores[..., 1] = rng.integers(0, 2) * scores[..., 1]
    flat, names = scores.reshape(-1, 2), ["a", "-b"]
    for scale in ("none", "minmax", (-5, 7), [(-1, 2), (0, 30)]):
        mine = contents(RewardTable(scores, rewards=names, scale=scale))[1]
        np.testing.assert_allclose(mine, ValueMatrix(flat, rewards=names, scale=scale).array, rtol=1e-13, atol=1e-14)


def test_log_q_is_normalised_per_prompt():
    table = RewardTable([np.zeros((3, 1)), np.zeros((2, 1))], log_weights=[[0, 0, 700.0], [5.0, 5.0]])
    log_q = contents(table)[2]
    np.testing.assert_allclose(log_q, [-700, -700, 0, -math.log(2), -math.log(2)], atol=1e-13)
    assert table.surprise == 700
    plain = RewardTable(np.zeros((4, 5, 1)))
    np.testing.assert_allclose(contents(plain)[2], -math.log(5))
    assert plain.surprise == math.log(5) and not plain.weighted


def test_single_precision_is_kept_and_large_arrays_are_mapped(tmp_path):
    scores = np.random.default_rng(0).random((50, 4, 3)).astype(np.float32)
    np.savez(tmp_path / "s.npz", rewards=scores, dims=["a", "b", "c"], responses=["w", "x", "y", "z"])
    table = RewardTable.read(tmp_path / "s.npz", rewards=["c", "-a"])
    assert isinstance(table._rows.scores, np.memmap) and table._rows.scores.dtype == np.float32
    assert table.rewards == ("c", "-a")
    expected = scores.astype(np.float64).reshape(-1, 3)[:, [2, 0]] * [1, -1]
    assert (contents(table)[1] == expected).all()
    rows = list(csv.DictReader(io.StringIO("".join(table.csv_lines()))))
    assert [row["response"] for row in rows[:5]] == ["w", "x", "y", "z", "w"]
    assert [float(row["a"]) for row in rows] == scores[..., 0].ravel().tolist()


CSV_FAULTS = {
    "": "empty, expected a header line",
    "prompt,a\n": "at least one row",
    "prompt,a\n1,x\n": r"line 2: 'x' in column 'a', expected a finite number",
    "prompt,a\n1,2\n1,nan\n": r"line 3: 'nan' in column 'a'",
    "prompt,a\n1,2\n\n1,inf\n": r"line 4: 'inf' in column 'a'",
    "prompt,a\n1,0x10\n": r"line 2: '0x10'",
    "prompt,a\n1,2,3\n": r"line 2: 3 cells, expected 2",
    "prompt,a\n,2\n": r"line 2: the prompt in column 'prompt' is empty",
    "prompt,a,a\n1,2,3\n": "column 'a' occurs twice",
    "question,a\n1,2\n": "no column 'prompt'; it has question, a",
    "prompt,response\n1,2\n": "no reward columns",
    'prompt,a\n1,"2\n': r"line \d: unexpected end of data",
    "prompt,a,log_weight\n1,2,\n": r"line 2: '' in column 'log_weight'",
}


@pytest.mark.parametrize("text", CSV_FAULTS)
def test_bad_csv_names_the_line(tmp_path, text):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ProblemError, match=r"bad\.csv.*" + CSV_FAULTS[text]):
        RewardTable.read(path)


def test_bad_files_of_other_kinds(tmp_path):
    with pytest.raises(ProblemError, match="no such file"):
        RewardTable.read(tmp_path / "none.csv")
    with pytest.raises(ProblemError, match=r"expected a \.npz, \.parquet or \.csv"):
        RewardTable.read(tmp_path / "scores.json")
    for name in ("bad.npz", "bad.parquet", "bad.csv"):
        (tmp_path / name).write_bytes(b"\x00\xffnonsense" * 9)
        with pytest.raises(ProblemError, match=name):
            RewardTable.read(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ProblemError, match="is a directory"):
        RewardTable.read(tmp_path / "folder.csv")
    pq.write_table(pa.table({"prompt": ["x", None], "a": [1.0, 2.0]}), tmp_path / "p.parquet")
    with pytest.raises(ProblemError, match=r"p\.parquet, row 1: the prompt in column 'prompt' is missing"):
        RewardTable.read(tmp_path / "p.parquet")
    pq.write_table(pa.table({"prompt": ["x", "x"], "a": pa.array([1, None], pa.int64())}), tmp_path / "q.parquet")
    with pytest.raises(ProblemError, match=r"q\.parquet, row 1: None in column 'a', expected a finite number"):
        RewardTable.read(tmp_path / "q.parquet")


NPZ_FAULTS = {
    "expected an array 'rewards', found dims": {"dims": np.array(["a"])},
    "rewards: expected shape": {"rewards": np.zeros((3, 2))},
    "rewards: expected numbers, got <U1": {"rewards": np.full((2, 2, 1), "x")},
    "prompt 1, response 0, column 1 is nan": {"rewards": np.array([[[0, 0.0]], [[1, np.nan]]])},
    "counts: sum to 3, rewards have shape": {"rewards": np.zeros((4, 2)), "counts": np.array([1, 2])},
    "counts: prompt 1 has 0 responses": {"rewards": np.zeros((4, 2)), "counts": np.array([4, 0])},
    "counts: expected one integer a prompt": {"rewards": np.zeros((4, 2)), "counts": np.array([4.0])},
    "log_weights: expected 4, one a response, got 3": {"rewards": np.zeros((2, 2, 1)), "log_weights": np.zeros(3)},
    "log weight is -inf, expected a finite number": {
        "rewards": np.zeros((1, 2, 1)),
        "log_weights": np.array([[0.0, -np.inf]]),
    },
    "rewards: expected one per reward, 2, got 1": {"rewards": np.zeros((1, 2, 2)), "dims": np.array(["a"])},
    "rewards: 'a' occurs twice": {"rewards": np.zeros((1, 2, 2)), "dims": np.array(["a", "a"])},
    "'prompt' is the name of another column": {"rewards": np.zeros((1, 2, 1)), "dims": np.array(["prompt"])},
    "responses: expected 2 names, got 1": {"rewards": np.zeros((1, 2, 1)), "responses": np.array(["x"])},
    "prompts: expected one per prompt, 1, got 2": {"rewards": np.zeros((1, 2, 1)), "prompt_ids": np.array([1, 2])},
}


@pytest.mark.parametrize("message", NPZ_FAULTS)
def test_bad_npz_names_the_array(tmp_path, message):
    np.savez(tmp_path / "bad.npz", **NPZ_FAULTS[message])
    with pytest.raises(ProblemError, match=r"bad\.npz: .*" + message.replace("<", "")[:20].replace("(", r"\(")):
        RewardTable.read(tmp_path / "bad.npz")


def test_npz_is_never_unpickled_nor_read_past_its_member(tmp_path):
    np.savez(tmp_path / "o.npz", rewards=np.array([[[object()]]], dtype=object))
    with pytest.raises(ProblemError, match=r"o\.npz: cannot be read as npz"):
        RewardTable.read(tmp_path / "o.npz")
    good = io.BytesIO()
    np.save(good, np.zeros((2, 2, 1)))
    lying = good.getvalue().replace(b"(2, 2, 1)", b"(9, 2, 1)")
    with zipfile.ZipFile(tmp_path / "l.npz", "w") as archive:
        archive.writestr("rewards.npy", lying)
        archive.writestr("dims.npy", b"x" * 4000)
    with pytest.raises(ProblemError, match=r"l\.npz: cannot be read as npz"):
        RewardTable.read(tmp_path / "l.npz")
    np.savez_compressed(tmp_path / "big.npz", rewards=np.zeros((1000, 10, 4)))
    with pytest.raises(ProblemError, match="does not fit in memory=1000 bytes"):
        RewardTable.read(tmp_path / "big.npz", memory=1000)


def test_bad_arrays():
    for scores, message in [
        (np.zeros((2, 3)), "expected shape"),
        (np.zeros((0, 3, 1)), "none of them 0"),
        ([[[1.0]], [[1.0, 2.0]]], "prompt 1 has shape"),
        ([np.zeros((2, 1)), np.zeros((0, 1))], "prompt 1 has shape"),
        ([[["x"]]], "expected numbers"),
        (np.zeros((1, 1, 1), dtype=complex), "expected numbers"),
        (np.full((1, 1, 1), np.inf), "prompt 0, response 0, column 0 is inf"),
    ]:
        with pytest.raises(ProblemError, match=message):
            RewardTable(scores)
    with pytest.raises(ProblemError, match="log_weights: prompt 0 has shape"):
        RewardTable(np.zeros((1, 2, 1)), log_weights=[[0.0]])
    with pytest.raises(ProblemError, match="log_weights: expected one row for each of 1 prompts"):
        RewardTable(np.zeros((1, 2, 1)), log_weights=[[0.0], [0.0]])
    with pytest.raises(ProblemError, match="rewards without their signs"):
        RewardTable(np.zeros((1, 2, 2)), rewards=["a", "-a"])
    with pytest.raises(ProblemError, match="too narrow"):
        RewardTable(np.full((1, 2, 1), 1e300), scale=(0, 1e-300))


def test_a_file_that_shrinks_between_passes_is_noticed(tmp_path):
    pq.write_table(pa.table({"prompt": ["x"] * 9, "a": [1.0] * 9}), tmp_path / "s.parquet")
    table = RewardTable.read(tmp_path / "s.parquet", memory=0)
    pq.write_table(pa.table({"prompt": ["x"] * 3, "a": [1.0] * 3}), tmp_path / "s.parquet")
    with pytest.raises(ProblemError, match="fewer rows than when it was opened"):
        list(table.blocks())


@pytest.mark.parametrize("name", ["toolemu_agents", "summeval", "topical_chat_usr", "map_anthropic_harmless"])
def test_real_sets(palm_data, name):
    table = RewardTable.read(palm_data / "rewards" / name / "rewards.npz", rewards=["+"], scale="minmax")
    scores = contents(table)[1]
    assert scores.min() == 0 and scores.max() == 1 and len(scores) == table.rows
