"""Statistical certificates: verified twice, no leak from the certification half, metamorphic facts, looks."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.statistics.multipliers import hedged
from tests.statistical import verify_statistical

METHODS = ("betting", "bernstein", "hoeffding")


def portfolio(seed: int, prompts: int = 80, n: int = 8, d: int = 3) -> np.ndarray:
    """Rewards in [0, 1] of candidates on a front, with a part that the prompt shares."""
    rng = np.random.default_rng(seed)
    front = np.abs(rng.normal(size=(n, d)))
    mean = 0.2 + 0.6 * front / np.linalg.norm(front, axis=1, keepdims=True)
    shared = 0.15 * rng.normal(size=(prompts, 1, d))
    return np.clip(mean + shared + 0.2 * rng.normal(size=(prompts, n, d)), 0, 1)


def certify(array: np.ndarray, ranges: Any = (0, 1), scale: str = "none", **options: Any) -> palm.CertifiedSamples:
    keep = {key: options.pop(key) for key in ("names", "clusters", "prompts") if key in options}
    samples = palm.Samples(array, ranges, scale=scale, **keep)
    result = palm.certify_samples(samples, **options)
    verify_statistical(result.certificate, samples)
    proved = palm.verify(json.loads(json.dumps(result.certificate)), samples)
    assert proved.delta == result.delta
    return result


@settings(max_examples=15)
@given(
    st.integers(0, 10**6),
    st.sampled_from(METHODS),
    st.sampled_from([0.0, 0.07]),
    st.booleans(),
    st.integers(0, 2),
    st.sampled_from(["none", "ranges"]),
)
def test_every_certificate_is_verified(
    seed: int, method: str, epsilon: float, simultaneous: bool, look: int, scale: str
) -> None:
    array = 3 * portfolio(seed, prompts=30, n=5, d=2) - 1
    result = certify(
        array,
        ranges=[(-1, 2), (-0.5, 1.75)],
        scale=scale,
        max_size=2,
        method=method,
        epsilon=epsilon if scale == "ranges" else 0.0,
        simultaneous=simultaneous,
        look=look,
    )
    assert result.size <= 2
    assert result.delta >= result.estimate
    assert result.delta == pytest.approx(max(0.0, -float(result.bounds.min())), abs=1e-6)
    assert sum(result.clipped.values()) > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_smaller_delta_is_refused(method: str) -> None:
    samples = palm.Samples(portfolio(1), (0, 1))
    result = palm.certify_samples(samples, max_size=3, method=method)
    document = dict(result.certificate)
    document["delta"] = repr(result.delta * (1 - 1e-6))
    with pytest.raises(palm.InvalidCertificate):
        palm.verify(document, samples)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_leaks_from_the_certification_half(method: str) -> None:
    """Whatever the certification half holds: members, multipliers and bets stay as they are."""
    array = portfolio(2)
    certifies = palm.Samples(array, (0, 1)).split(0.5, 0)[1]
    first = certify(array, method=method, max_size=3).certificate
    rng = np.random.default_rng(0)
    for change in (lambda rows: rng.permutation(rows), lambda rows: rng.uniform(size=rows.shape), np.zeros_like):
        other = array.copy()
        other[certifies] = change(array[certifies])
        second = certify(other, method=method, max_size=3).certificate
        for key in ("members", "multipliers", "bets", "certification"):
            assert first.get(key) == second.get(key)
    free = certify(array, method=method).certificate
    other[certifies] = 0.5
    assert certify(other, method=method).certificate["members"] == free["members"]


def test_the_order_of_the_certification_half_does_not_matter() -> None:
    array = portfolio(3)
    certifies = palm.Samples(array, (0, 1)).split(0.5, 0)[1]
    other = array.copy()
    other[certifies] = np.random.default_rng(0).permutation(array[certifies])
    for method in METHODS:
        one, two = (certify(a, method=method, max_size=3).delta for a in (array, other))
        assert one == pytest.approx(two, abs=1e-7)


def test_order_of_rows_seed_and_bytes() -> None:
    array = portfolio(4)
    prompts = [f"question {p}" for p in range(len(array))]
    one = certify(array, max_size=3, prompts=prompts, seed=5)
    again = certify(array, max_size=3, prompts=prompts, seed=5)
    assert json.dumps(one.certificate) == json.dumps(again.certificate)
    order = np.random.default_rng(1).permutation(len(array))
    mixed = certify(array[order], max_size=3, prompts=[prompts[p] for p in order], seed=5)
    assert mixed.members == one.members
    assert mixed.delta == pytest.approx(one.delta, abs=1e-7)
    assert certify(array, max_size=3, prompts=prompts, seed=6).delta != one.delta


@pytest.mark.parametrize("method", METHODS)
def test_units(method: str) -> None:
    """Rewards and ranges times 3 plus 1: delta times 3; in units of the ranges nothing changes."""
    array, members = portfolio(5), [0, 2, 5]
    one = certify(array, members=members, method=method)
    stretched = certify(3 * array + 1, ranges=(1, 4), members=members, method=method)
    assert stretched.delta == pytest.approx(3 * one.delta, rel=1e-6)
    relative = certify(3 * array + 1, ranges=(1, 4), scale="ranges", members=members, method=method)
    assert relative.delta == pytest.approx(one.delta, rel=1e-6)


def test_permutations_of_candidates_and_rewards() -> None:
    array = portfolio(6)
    one = certify(array, members=["1", "3", "4"], names=range(8))
    order = np.random.default_rng(2).permutation(8)
    two = certify(array[:, order][:, :, [2, 0, 1]], members=["1", "3", "4"], names=order)
    assert two.delta == pytest.approx(one.delta, rel=1e-2)  # multipliers are found by descent
    assert set(two.members) == set(one.members)


def test_how_delta_moves() -> None:
    array, members = portfolio(7, prompts=200), [0, 1, 2, 6]
    base = certify(array, members=members)
    assert certify(array, members=members, alpha=0.2).delta < base.delta
    assert certify(array, members=members, alpha=0.001).delta > base.delta
    assert certify(array, members=members, simultaneous=True).delta > base.delta
    assert certify(array, members=members, epsilon=0.1).delta < base.delta
    assert certify(array, members=members, look=1).delta > base.delta
    assert certify(array, members=range(8)).delta == 0  # everyone serves himself
    deltas = [certify(array, members=members, method=method).delta for method in METHODS]
    assert deltas[0] < min(deltas[1:])


def test_a_duplicated_prompt_is_no_evidence_within_its_cluster() -> None:
    array, members = portfolio(8), [0, 3, 5]
    clusters = [f"{p}" for p in range(len(array))]
    one = certify(array, members=members)
    two = certify(np.tile(array, (4, 1, 1)), members=members, clusters=clusters * 4)
    assert (two.selection, two.certification) == (one.selection, one.certification)
    assert two.delta == pytest.approx(one.delta, rel=1e-6)
    loose = certify(np.tile(array, (4, 1, 1)), members=members)  # as if they were independent: a smaller, false delta
    assert loose.delta < one.delta


def test_generations_are_averaged_first() -> None:
    rng = np.random.default_rng(9)
    array = rng.uniform(size=(60, 4, 5, 2))
    several, averaged = (certify(a, members=[1, 2]) for a in (array, array.mean(axis=2)))
    assert several.delta == pytest.approx(averaged.delta, abs=1e-7)
    assert several.indices == averaged.indices


def test_clipped_rewards_are_what_is_certified() -> None:
    array = portfolio(10)
    wild = array.copy()
    wild[::7, 2, 1] = 50.0
    tame = np.clip(wild, 0, 1)
    one, two = certify(wild, members=[0, 2]), certify(tame, members=[0, 2])
    assert one.delta == two.delta
    assert one.clipped == {"r1": 0, "r2": len(array[::7]), "r3": 0}


def test_false_certificates_are_rare() -> None:
    """150 portfolios with known means; at alpha = 0.2 the greatest mean shortfall exceeds delta in at most 20 %."""
    false = dict.fromkeys(METHODS, 0)
    runs = 150
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        mean = rng.uniform(0.3, 0.7, (4, 2))
        array = (rng.uniform(size=(40, 4, 2)) < mean).astype(float)
        samples = palm.Samples(array, (0, 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for method in METHODS:
                result = palm.certify_samples(samples, members=[0, 1], alpha=0.2, method=method, seed=seed)
                false[method] += palm.regret(mean, [0, 1]).worst > result.delta
    assert all(count <= runs * 0.2 + 3 * (runs * 0.16) ** 0.5 for count in false.values()), false


def test_prompts_needed() -> None:
    result = certify(portfolio(11, prompts=400), max_size=4)
    at = result.prompts_needed(result.delta)
    assert abs(at - result.certification) <= 0.05 * result.certification
    assert result.prompts_needed(result.delta * 2) < at < result.prompts_needed(result.delta * 0.8)
    assert result.prompts_needed(result.estimate) == float("inf")
    with pytest.raises(palm.ProblemError, match="delta"):
        result.prompts_needed(-0.1)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 0.9]), st.sampled_from([0.0, 0.1, 1.0]))
def test_multipliers_under_noise_are_no_worse_than_without(seed: int, keep: float, price: float) -> None:
    sample = portfolio(seed, prompts=20, n=6)
    members = [0, 2, 3]
    found = hedged(sample, members, keep, price)
    assert (found.shares >= 0).all() and np.allclose(found.shares.sum(axis=1), 1)
    assert np.array_equal(found.shares[members], np.eye(3))
    plain = hedged(sample, members, keep, 0.0)
    difference = np.einsum("spk,ip->sik", sample[:, members], plain.shares) - keep * sample
    loss = (price * difference.std(axis=0, ddof=1) - difference.mean(axis=0)).max(axis=1)
    others = [1, 4, 5]
    assert (found.expected[others] <= loss[others] + 1e-9).all()


def test_looks_are_counted(tmp_path: Path) -> None:
    array = portfolio(12)
    samples = palm.Samples(array, (0, 1))
    first = palm.certify_samples(samples, members=[0, 1], look=1)
    assert (first.look, first.level) == (1, 0.025)
    assert palm.certify_samples(samples, members=[0, 1], look=1).delta == first.delta  # the same claim: no new look
    with pytest.raises(palm.ProblemError, match="had look 1"):
        palm.certify_samples(samples, members=[0, 2], look=1)
    with pytest.raises(palm.ProblemError, match="had look 1"):
        palm.certify_samples(samples, members=[0, 2], look=0)
    assert palm.certify_samples(samples, members=[0, 2], look=2).level == pytest.approx(0.05 / 6)
    ledger = palm.Ledger(tmp_path / "looks.json")
    assert palm.certify_samples(palm.Samples(array, (0, 1)), members=[0, 1], ledger=ledger).look == 1
    reopened = palm.Ledger(tmp_path / "looks.json")
    assert palm.certify_samples(palm.Samples(array, (0, 1)), members=[0, 1], ledger=reopened).look == 1
    assert palm.certify_samples(palm.Samples(array, (0, 1)), members=[0, 3], ledger=reopened).look == 2
    assert palm.certify_samples(palm.Samples(array**2, (0, 1)), members=[0, 3], ledger=reopened).look == 3
    fresh = palm.Samples(array, (0, 1), prompts=[f"new {p}" for p in range(len(array))])
    assert palm.certify_samples(fresh, members=[0, 1], ledger=palm.Ledger(tmp_path / "looks.json")).look == 1


def test_prompts_that_chose_can_never_certify() -> None:
    samples = palm.Samples(portfolio(15), (0, 1))
    first = palm.certify_samples(samples, max_size=3)
    assert palm.certify_samples(samples, members=first.members).delta == first.delta
    for options in ({"seed": 1}, {"split": 0.3}):
        with pytest.raises(palm.ProblemError, match="chosen on prompts that would now certify them"):
            palm.certify_samples(samples, members=first.members, **options)  # type: ignore[arg-type]


def test_an_undeclared_second_look_warns() -> None:
    samples = palm.Samples(portfolio(13), (0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        palm.certify_samples(samples, members=[0, 1])
        palm.certify_samples(samples, members=[0, 1])
    with pytest.warns(UserWarning, match="certified before"):
        palm.certify_samples(samples, members=[0, 2])
    with pytest.raises(palm.ProblemError, match="opened once and for all"):
        palm.certify_samples(samples, members=[0, 2], look=1)


@pytest.mark.parametrize(
    "text", ["", "{}", "[", '{"format": "palm_opt ledger", "version": 1, "looks": [{"look": -1}]}']
)
def test_a_damaged_ledger_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "looks.json").write_text(text)
    with pytest.raises(palm.ProblemError, match="expected a ledger"):
        palm.Ledger(tmp_path / "looks.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": []}, "members: expected at least one"),
        ({"members": ["nobody"]}, "no candidate named 'nobody'"),
        ({"members": [0, 0]}, "named twice"),
        ({"members": [0], "max_size": 2}, "max_size: expected"),
        ({"max_size": 0}, "max_size: expected"),
        ({"epsilon": 1.0}, "epsilon: expected"),
        ({"alpha": 0.0}, "alpha: expected"),
        ({"alpha": float("nan")}, "alpha: expected"),
        ({"split": 1.0}, "split: expected"),
        ({"method": "normal"}, "method: expected one of betting, bernstein, hoeffding"),
        ({"look": -1}, "look: expected"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(palm.ProblemError, match=message):
        palm.certify_samples(palm.Samples(portfolio(0, prompts=20), (0, 1)), **options)


def test_relative_tolerance_with_negative_values_may_have_no_portfolio() -> None:
    array = -portfolio(14, prompts=40)
    with pytest.raises(palm.ProblemError, match="no portfolio on the selection prompts"):
        palm.certify_samples(palm.Samples(array, (-1, 0)), epsilon=0.9)
    given = certify(array, ranges=(-1, 0), members=[0, 1], epsilon=0.5)  # a given one is certified all the same
    assert given.delta > 0


def test_prompted_policies() -> None:
    """The example that ships: 24 policies of a real model on 420 prompts, five rewards in [0, 1]."""
    file = Path(__file__).parents[2] / "examples" / "prompted_policies" / "scores.parquet"
    samples = palm.Samples.read(file, (0, 1))
    assert (len(samples.prompts), samples.n, samples.d) == (420, 24, 5)
    result = palm.certify_samples(samples, max_size=6)
    assert palm.verify(result.certificate, file).delta == result.delta
    assert verify_statistical(result.certificate, samples) < 1e-3  # no slack is given away

    def other(**options: Any) -> float:
        return palm.certify_samples(palm.Samples.read(file, (0, 1)), result.members, **options).delta

    simultaneous, bernstein, hoeffding = other(simultaneous=True), other(method="bernstein"), other(method="hoeffding")
    assert result.delta < simultaneous < bernstein < hoeffding


def test_real_rewards(palm_data: Path) -> None:
    """27 agents judged on 144 test cases in four rewards on the scale 0 to 3."""
    with np.load(palm_data / "rewards" / "toolemu_agents" / "rewards.npz") as data:
        array, names, rewards = data["rewards"], data["responses"], data["dims"]
    samples = palm.Samples(array, (0, 3), names=names, reward_names=rewards)
    result = palm.certify_samples(samples, max_size=4)
    verify_statistical(result.certificate, samples)
    assert result.size <= 4
    assert result.estimate < result.delta < 1.5
    wider = palm.certify_samples(palm.Samples(array, (0, 3), names=names), result.members, method="hoeffding")
    assert wider.delta > result.delta


@pytest.mark.parametrize("clusters", [None, [f"topic {i // 4}" for i in range(80)]])
def test_held_out_names_give_what_the_hash_would(clusters: list[str] | None) -> None:
    """The split by name is the split by hash where the names are those that the hash holds out."""
    options: dict[str, Any] = {"clusters": clusters}
    samples = palm.Samples(portfolio(3), (0, 1), **options)
    certifies = samples.split(0.5, 4)[1]
    names = [name for name, used in zip(samples.units[0], certifies, strict=True) if used]
    hashed = certify(portfolio(3), max_size=3, seed=4, split=0.5, **options)
    named = certify(portfolio(3), max_size=3, seed=4, split=names, **options)
    assert named.certificate["certification"] == {"clusters": names}
    assert (named.members, named.delta) == (hashed.members, hashed.delta)


@pytest.mark.parametrize(
    ("split", "message"),
    [("7", "a list of names"), (["7", "8", "80"], "no prompt or cluster is named '80'"), (["7"], "1 of 80")],
)
def test_bad_names_are_refused(split: Any, message: str) -> None:
    with pytest.raises(palm.ProblemError, match=message):
        palm.certify_samples(palm.Samples(portfolio(3), (0, 1)), split=split)
