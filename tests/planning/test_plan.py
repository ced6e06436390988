"""Planning from score tables: promises checked against the closed form at random weights and by the exact checker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt import checker
from palm_opt.planning.gibbs import gibbs
from palm_opt.planning.planned import Plan
from palm_opt.result import Stop

ROOT = Path(__file__).resolve().parents[2]


def opposed(prompts=40, responses=12, d=3, seed=0):
    """Scores in [0, 1] of rewards that compete."""
    rng = np.random.default_rng(seed)
    own, common = rng.normal(size=(prompts, responses, d)), rng.normal(size=(prompts, responses, 1))
    return 1 / (1 + np.exp(-own - common * np.linspace(1, -1, d)))


def confirm(plan: Plan, table: palm.RewardTable, count: int = 2000) -> None:
    """The certified regret holds at random weights, and the certificate is true of the table."""
    weights = np.random.default_rng(7).dirichlet(np.full(table.d, 0.7), count)
    opt = gibbs(table, weights, plan.beta).opt
    worst = ((1 - plan.epsilon) * opt - (weights @ plan.values.T).max(axis=1)).max()
    assert worst <= plan.regret + 1e-12
    assert plan.certificate is not None
    verified = checker.check(plan.certificate, table.problem())
    assert verified.as_dict()["reference"] == "gibbs"
    again = gibbs(table, plan.weights, plan.beta)
    np.testing.assert_allclose(again.values, plan.values, atol=1e-12)
    np.testing.assert_allclose([m.opt for m in plan.members], again.opt, atol=1e-12)
    np.testing.assert_allclose(plan.weights.sum(axis=1), 1, atol=1e-12)


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.02]))
def test_promises_hold_on_any_table(seed, epsilon):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 5))
    scores = [rng.random((int(rng.integers(1, 9)), d)) for _ in range(int(rng.integers(1, 9)))]
    logs = [rng.normal(size=len(part)) for part in scores] if seed % 2 else None
    names = [f"-r{k}" if rng.random() < 0.3 else f"r{k}" for k in range(d)]
    table = palm.RewardTable(scores, rewards=names, log_weights=logs, scale=(0, 1))
    plan = palm.plan(table, beta=float(rng.choice([0.05, 0.3])), epsilon=epsilon, delta=0.03)
    assert plan.kept and plan.audited and plan.stop is Stop.PROVED
    confirm(plan, table)


@pytest.mark.parametrize("strategy", ["adaptive", "grid", "lazy-grid", "uniform", "random"])
def test_every_strategy_ends_in_the_same_certificate(strategy):
    table = palm.RewardTable(opposed(), scale=(0, 1))
    limits = {"resolution": 16} if "grid" in strategy else {}
    plan = palm.plan(table, beta=0.1, delta=0.03, strategy=strategy, seed=3, max_calls=400, **limits)
    assert plan.kept and plan.strategy == strategy and plan.calls >= len(plan.members)
    assert len(plan.gaps) == plan.calls and plan.gaps[-1] <= 0.03
    confirm(plan, table)


def test_the_adaptive_search_needs_the_fewest_calls():
    table = palm.RewardTable(opposed(seed=5))
    calls = {
        strategy: palm.plan(table, delta=0.02, strategy=strategy, max_calls=2000).calls
        for strategy in ("adaptive", "uniform", "random")
    }
    assert calls["adaptive"] < min(calls["uniform"], calls["random"])


def test_same_input_same_bytes_whatever_the_threads_and_wherever_the_table_is(tmp_path):
    scores = opposed(prompts=2000, responses=10)
    flat = scores.reshape(-1, 3)
    columns = {"prompt": np.repeat(np.arange(2000), 10)} | {name: flat[:, k] for k, name in enumerate("abc")}
    pq.write_table(pa.table(columns), tmp_path / "s.parquet", row_group_size=777)
    streamed = palm.RewardTable.read(tmp_path / "s.parquet", memory=1000)
    whole = palm.RewardTable(scores, rewards=["a", "b", "c"])
    documents = [
        json.dumps(palm.plan(table, delta=0.05, threads=threads).document())
        for table, threads in [(whole, 1), (whole, 3), (streamed, 2)]
    ]
    assert documents[0] == documents[1] == documents[2]


def test_refining_needs_fewer_members_and_no_more_calls():
    table = palm.RewardTable(opposed(seed=2))
    plain, refined = (palm.plan(table, delta=0.02, refine=refine) for refine in (1, 4))
    assert plain.calls == plain.evaluations == refined.calls < refined.evaluations
    assert plain.gaps == refined.gaps and len(plain.gaps) == plain.calls
    assert refined.kept and len(refined.members) < len(plain.members)
    assert 1 <= refined.lower_bound <= len(refined.members)
    confirm(refined, table)
    with pytest.raises(palm.ProblemError, match="refine"):
        palm.plan(table, refine=0.5)


def test_interrupted_while_refining_the_promise_is_kept():
    table = palm.RewardTable(opposed())
    calls = palm.plan(table, delta=0.02, refine=1).calls

    def stop(count: int, gap: float) -> None:
        if count == calls + 2:
            raise KeyboardInterrupt

    plan = palm.plan(table, delta=0.02, refine=8, progress=stop)
    assert plan.stop is Stop.INTERRUPTED and plan.kept and plan.evaluations == plan.calls + 2
    confirm(plan, table)


def test_several_weights_in_one_pass():
    table = palm.RewardTable(opposed())
    plan = palm.plan(table, delta=0.02, batch=8)
    assert plan.kept
    confirm(plan, table)
    assert plan.calls <= 2 * palm.plan(table, delta=0.02).calls
    with pytest.raises(palm.ProblemError, match="batch"):
        palm.plan(table, batch=0)


def test_limits_and_interruption_keep_what_is_proved():
    table = palm.RewardTable(opposed())
    limited = palm.plan(table, delta=0.001, max_calls=12)
    assert limited.evaluations == 12
    assert limited.calls == 12 and limited.stop is Stop.FINISHED and not limited.kept
    assert 0.001 < limited.regret < 0.2
    confirm(limited, table)

    def stop(calls: int, gap: float) -> None:
        if calls == 9:
            raise KeyboardInterrupt

    interrupted = palm.plan(table, delta=0.001, progress=stop)
    assert interrupted.calls == 9 and interrupted.stop is Stop.INTERRUPTED
    confirm(interrupted, table)

    def at_once(calls: int, gap: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        palm.plan(table, progress=at_once)


def test_without_audit_the_answers_are_taken_as_given():
    table = palm.RewardTable(opposed())
    plan = palm.plan(table, delta=0.03, audit=False)
    assert plan.kept and not plan.audited and plan.certificate is not None
    assert plan.certificate["subject"]["type"] == "answers"
    assert any("as given" in warning for warning in plan.warnings)


def test_the_certificate_is_about_this_table_and_this_beta():
    scores = opposed()
    table = palm.RewardTable(scores)
    plan = palm.plan(table, delta=0.03)
    assert plan.certificate is not None
    changed = scores.copy()
    changed[3, 2, 1] += 0.25
    with pytest.raises(palm.InvalidCertificate):
        checker.check(plan.certificate, palm.RewardTable(changed).problem())
    with pytest.raises(palm.InvalidCertificate):
        checker.check(plan.certificate | {"beta": "0.05"}, table.problem())
    with pytest.raises(palm.InvalidCertificate):
        checker.check(plan.certificate | {"delta": "0.0001"}, table.problem())


def test_scores_certificates_check_alone_on_the_exported_file(tmp_path):
    scores = opposed(prompts=15)
    table = palm.RewardTable(
        scores, rewards=["safe", "-cost", "brief"], log_weights=scores[..., 0], scale=[(0, 1), (-1, 2), (0, 3)]
    )
    plan = palm.plan(table, delta=0.02)
    assert plan.certificate is not None
    plan.certificate.write(tmp_path / "c.json")
    (tmp_path / "s.csv").write_text("".join(table.csv_lines()))
    command = [
        sys.executable,
        str(ROOT / "palm_opt" / "checker"),
        str(tmp_path / "c.json"),
        str(tmp_path / "s.csv"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0 and "kind=conditional" in done.stdout and "reference=gibbs" in done.stdout, done
    assert checker.check(
        plan.certificate,
        palm.RewardTable.read(
            tmp_path / "s.csv", ["safe", "-cost", "brief"], scale=[(0, 1), (-1, 2), (0, 3)]
        ).problem(),
    )


def test_one_reward_needs_one_weight():
    plan = palm.plan(palm.RewardTable(opposed(d=1)), delta=1e-6)
    assert plan.kept and plan.weights.tolist() == [[1.0]]


@pytest.mark.parametrize(("delta", "most"), [(0.02, 37), (0.01, 77)])
def test_real_table_takes_no_more_calls_than_the_best_known(palm_data, delta, most):
    table = palm.RewardTable.read(palm_data / "rewards" / "toolemu_agents" / "rewards.npz", scale="minmax")
    plan = palm.plan(table, beta=0.1, delta=delta, refine=1)
    assert plan.kept and plan.audited and plan.calls <= most
    confirm(plan, table)


@pytest.mark.parametrize(
    ("size", "shift", "beta"), [(1.0, 0.0, 1e-4), (1e6, 0.0, 1e5), (1e-3, 0.0, 1e-4), (1.0, -5.0, 0.1)]
)
def test_other_sizes_and_signs(size: float, shift: float, beta: float) -> None:
    table = palm.RewardTable(opposed() * size + shift)
    plan = palm.plan(table, beta=beta, delta=0.05 * size)
    assert plan.kept
    weights = np.random.default_rng(7).dirichlet(np.ones(3), 2000)
    gap = (gibbs(table, weights, beta).opt - (weights @ plan.values.T).max(axis=1)).max()
    assert gap <= plan.regret + 1e-12 * size
    if plan.audited:
        confirm(plan, table, 10)
    else:  # the checker's margin is wider than the shift of the points: the answers are taken as given, and said to be
        assert beta == 1e-4 and size == 1.0 and any("as given" in warning for warning in plan.warnings)


def test_what_would_never_end_is_refused() -> None:
    """The closed form changes with every weight: no finite set of its policies is as good everywhere."""
    table = palm.RewardTable(np.random.default_rng(0).random((3, 4, 2)))
    with pytest.raises(palm.ProblemError, match="endlessly many weights"):
        palm.plan(table, epsilon=0.0, delta=0.0)
    assert palm.plan(table, delta=0.0, max_calls=4).calls == 4
