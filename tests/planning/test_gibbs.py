"""The Gibbs optimum under KL (docs/theory.md, L7): kernel against slow twins, derivatives, invariances, extremes."""

import ctypes
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palm_opt import _core
from palm_opt.errors import ProblemError
from palm_opt.planning.gibbs import gibbs, jackknife, rounding
from palm_opt.tables.scores import RewardTable

SOURCE = Path(__file__).resolve().parents[2] / "src"


def random_table(seed, weighted=None, most=40):
    """Ragged scores, sometimes with log weights, ties and single responses; (table, scores, log weights)."""
    rng = np.random.default_rng(seed)
    d, prompts = int(rng.integers(1, 7)), int(rng.integers(1, 8))
    scores = [rng.normal(size=(int(rng.integers(1, most)), d)) for _ in range(prompts)]
    if seed % 3 == 0:
        scores = [np.round(part) for part in scores]
    weighted = bool(seed % 2) if weighted is None else weighted
    logs = [rng.normal(0, 3, len(part)) for part in scores] if weighted else None
    return RewardTable(scores, log_weights=logs), scores, logs, rng


def slow(scores, logs, w, beta):
    """(OPT, R, KL) of one weight by the definition, in plain Python."""
    opts, kls, rewards = [], [], []
    for x, part in enumerate(scores):
        raw = [0.0] * len(part) if logs is None else logs[x].tolist()
        top = max(raw)
        norm = top + math.log(math.fsum(math.exp(a - top) for a in raw))
        log_q = [a - norm for a in raw]
        a = [math.fsum(u * v for u, v in zip(w, r, strict=True)) / beta + q for r, q in zip(part, log_q, strict=True)]
        peak = max(a)
        log_z = peak + math.log(math.fsum(math.exp(b - peak) for b in a))
        p = [math.exp(b - log_z) for b in a]
        opts.append(beta * log_z)
        kls.append(math.fsum(u * (b - log_z - q) for u, b, q in zip(p, a, log_q, strict=True)))
        rewards.append([math.fsum(u * r[k] for u, r in zip(p, part, strict=True)) for k in range(len(w))])
    n = len(scores)
    return math.fsum(opts) / n, np.array(rewards).sum(0) / n, math.fsum(kls) / n


@given(st.lists(st.floats(0, 1020), min_size=1, max_size=100))
def test_power_is_within_two_units_in_the_last_place(x):
    expected = np.array([math.exp2(-a) for a in x])
    assert (np.abs(_core.power(x) - expected) <= 4.5e-16 * expected).all()


def test_power_at_its_ends():
    assert _core.power([0.0, 5e-324, 1.0, 7.0]).tolist() == [1.0, 1.0, 0.5, 2.0**-7]
    assert (_core.power([1021.0, 1e300, np.inf]) == 2.0**-1020).all()
    dense = np.linspace(0, 60, 200_001)
    assert (np.abs(_core.power(dense) / [math.exp2(-a) for a in dense] - 1) <= 4.5e-16).all()


@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.1, 1.0, 30.0]))
def test_against_the_definition(seed, beta):
    table, scores, logs, rng = random_table(seed)
    weights = rng.dirichlet(np.ones(table.d), 3)
    found = gibbs(table, weights, beta)
    for j, w in enumerate(weights.tolist()):
        opt, rewards, kl = slow(scores, logs, w, beta)
        margin = rounding(table, beta)
        assert abs(found.opt[j] - opt) <= margin
        assert np.abs(found.rewards[j] - rewards).max() <= margin
        assert beta * abs(found.kl[j] - kl) <= margin
        assert 0 <= found.kl[j] <= table.surprise + 1e-12
        assert abs(w @ found.values[j] - found.opt[j]) <= margin


@given(st.integers(0, 10**6), st.sampled_from([0.1, 1.0]))
def test_gradient_of_opt_is_the_reward_vector(seed, beta):
    table, _, _, rng = random_table(seed)
    w, step = rng.dirichlet(np.ones(table.d)) + 0.1, 1e-5
    around = np.concatenate([w + step * np.eye(table.d), w - step * np.eye(table.d)])
    opt = gibbs(table, around, beta).opt
    difference = (opt[: table.d] - opt[table.d :]) / (2 * step)
    np.testing.assert_allclose(difference, gibbs(table, w, beta).rewards[0], atol=2e-7)


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_opt_is_convex_and_no_value_vector_beats_it(seed, t):
    table, _, _, rng = random_table(seed)
    weights = rng.dirichlet(np.ones(table.d), 6)
    found = gibbs(table, weights, 0.1)
    margin = 2 * rounding(table, 0.1)
    assert (weights @ found.values.T <= found.opt[:, None] + margin).all()
    between = gibbs(table, t * weights[0] + (1 - t) * weights[1], 0.1).opt[0]
    assert between <= t * found.opt[0] + (1 - t) * found.opt[1] + margin


@given(st.integers(0, 10**6), st.floats(-50, 50))
def test_a_constant_per_prompt_moves_values_by_its_mean(seed, c):
    table, scores, logs, rng = random_table(seed)
    weights = rng.dirichlet(np.ones(table.d), 2)
    moved = RewardTable([part + (c if x == 0 else 0) for x, part in enumerate(scores)], log_weights=logs)
    a, b = gibbs(table, weights, 0.1), gibbs(moved, weights, 0.1)
    margin = 2 * rounding(moved, 0.1)
    np.testing.assert_allclose(b.values, a.values + c / len(scores), atol=margin)
    np.testing.assert_allclose(b.kl, a.kl, atol=10 * margin)


@given(st.integers(0, 10**6), st.floats(-300, 300))
def test_log_weights_count_only_up_to_a_constant_per_prompt(seed, c):
    table, scores, logs, rng = random_table(seed, weighted=True)
    moved = RewardTable(scores, log_weights=[part + c for part in logs])
    weights = rng.dirichlet(np.ones(table.d), 2)
    np.testing.assert_allclose(gibbs(moved, weights, 0.2).values, gibbs(table, weights, 0.2).values, atol=1e-11)


@given(st.integers(0, 10**6))
def test_duplicates_with_halved_weights_change_nothing(seed):
    table, scores, logs, rng = random_table(seed)
    logs = logs or [np.zeros(len(part)) for part in scores]
    twice = [np.concatenate([part, part[:1]]) for part in scores]
    halved = [np.concatenate([part[:1] - math.log(2), part[1:], part[:1] - math.log(2)]) for part in logs]
    weights = rng.dirichlet(np.ones(table.d), 2)
    a, b = gibbs(table, weights, 0.1), gibbs(RewardTable(twice, log_weights=halved), weights, 0.1)
    np.testing.assert_allclose(a.values, b.values, atol=2 * rounding(table, 0.1))


@given(st.integers(0, 10**6), st.sampled_from([1e-4, 1e4]))
def test_extreme_rewards_over_beta(seed, size):
    table, scores, logs, rng = random_table(seed, most=100)
    scaled = RewardTable([part * size for part in scores], log_weights=logs)
    weights = rng.dirichlet(np.ones(table.d), 2)
    found = gibbs(scaled, weights, 1.0)
    assert np.isfinite(found.values).all() and np.isfinite(found.opt).all()
    for j, w in enumerate(weights.tolist()):
        assert abs(found.opt[j] - slow([part * size for part in scores], logs, w, 1.0)[0]) <= rounding(scaled, 1.0)


def test_a_single_response_is_its_own_optimum():
    found = gibbs(RewardTable([[[1.0, -2.0]], [[3.0, 4.0]]]), [[1, 0], [0.5, 0.5]], 0.1)
    np.testing.assert_allclose(found.values, [[2, 1], [2, 1]], atol=1e-14)
    np.testing.assert_allclose(found.kl, 0, atol=1e-15)


def test_small_beta_finds_the_best_response_and_large_beta_the_reference():
    scores = np.random.default_rng(0).random((5, 9, 2))
    table = RewardTable(scores)
    best = scores.max(axis=1).mean(axis=0)
    np.testing.assert_allclose(gibbs(table, np.eye(2), 1e-6).opt, best, atol=1e-5)
    np.testing.assert_allclose(
        gibbs(table, np.eye(2), 1e6).rewards, np.tile(scores.mean(axis=(0, 1)), (2, 1)), atol=1e-5
    )


def test_threads_and_company_change_no_bit():
    rng = np.random.default_rng(1)
    table = RewardTable(rng.random((9000, 11, 3)))
    weights = rng.dirichlet(np.ones(3), 77)
    together = gibbs(table, weights, 0.1, threads=1)
    for threads in (2, 3, 8):
        again = gibbs(table, weights, 0.1, threads=threads)
        assert (again.opt == together.opt).all() and (again.values == together.values).all()
    alone = gibbs(table, weights[70:71], 0.1)
    assert alone.opt[0] == together.opt[70] and (alone.values[0] == together.values[70]).all()
    one, two = jackknife(table, together, 1), jackknife(table, together, 4)
    assert (one.bias == two.bias).all() and (one.standard_error == two.standard_error).all()


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler as `cc`")
@pytest.mark.parametrize("flags", [["-O1"], ["-O3", "-march=native"], ["-O2", "-DPALM_SCALAR"]])
def test_every_build_gives_the_same_bits(tmp_path, flags):
    library = tmp_path / "gibbs.so"
    base = ["cc", "-std=c11", "-ffp-contract=off", "-Wno-psabi", "-DPALM_NO_CLONES", "-shared", "-fPIC", f"-I{SOURCE}"]
    subprocess.run([*base, *flags, str(SOURCE / "gibbs.c"), "-lm", "-o", str(library)], check=True)
    other = ctypes.CDLL(str(library))
    rng = np.random.default_rng(2)
    d, counts = 5, rng.integers(1, 40, 60)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    scores, log_q = rng.normal(size=(offsets[-1], d)), rng.normal(-3, 1, offsets[-1])
    weights = rng.dirichlet(np.ones(d), 72) / 0.05
    sums, carry = _core.gibbs(offsets, scores, log_q, weights)
    a, b = np.empty((d + 2, 72)), np.empty((d + 2, 72))
    arrays = [offsets, scores, log_q, np.ascontiguousarray(weights.T), a, b]
    other.palm_gibbs(*map(ctypes.c_int64, (60, d, 72)), *(ctypes.c_void_p(array.ctypes.data) for array in arrays))
    assert (sums == a.T).all() and (carry == b.T).all()


def jackknife_slow(part, logs, w, beta):
    """(n - 1) (mean of the estimates that leave one response out - the estimate)."""
    q = np.zeros(len(part)) if logs is None else np.asarray(logs)

    def estimate(keep):
        a, b = part[keep] @ w / beta + q[keep], q[keep]
        return beta * (a.max() + np.log(np.exp(a - a.max()).sum()) - b.max() - np.log(np.exp(b - b.max()).sum()))

    n = len(part)
    without = [estimate(np.arange(n) != y) for y in range(n)]
    return (n - 1) * (np.mean(without) - estimate(np.arange(n) >= 0))


@given(st.integers(0, 10**6), st.sampled_from([0.05, 1.0]))
def test_jackknife_against_leaving_out(seed, beta):
    table, scores, logs, rng = random_table(seed)
    w = rng.dirichlet(np.ones(table.d))
    found = jackknife(table, gibbs(table, w, beta))
    slow_ones = [
        jackknife_slow(part, None if logs is None else logs[x], w, beta)
        for x, part in enumerate(scores)
        if len(part) > 1
    ]
    assert found.single == len(scores) - len(slow_ones)
    if slow_ones:
        assert abs(found.bias[0] - np.mean(slow_ones)) <= 1e-9 * max(map(len, scores)) * table.largest
    else:
        assert np.isnan(found.bias[0])


def test_jackknife_sees_the_bias_of_small_samples():
    rng = np.random.default_rng(3)
    everything = rng.normal(size=(4000, 2))
    true = gibbs(RewardTable([everything]), [[0.5, 0.5]], 1.0).opt[0]
    samples = [everything[rng.integers(0, 4000, 8)] for _ in range(4000)]
    found = gibbs(RewardTable(samples), [[0.5, 0.5]], 1.0)
    estimate = jackknife(RewardTable(samples), found)
    error = 4 * estimate.standard_error[0]
    assert found.opt[0] < true - error  # biased low
    assert estimate.bias[0] < 0 and abs(found.opt[0] - estimate.bias[0] - true) < error


def test_standard_error_is_that_of_the_mean_over_prompts():
    table, scores, logs, rng = random_table(5)
    w = rng.dirichlet(np.ones(table.d))
    each = [slow([part], None if logs is None else [logs[x]], w, 0.3)[0] for x, part in enumerate(scores)]
    found = jackknife(table, gibbs(table, w, 0.3))
    np.testing.assert_allclose(found.standard_error[0], np.std(each, ddof=1) / math.sqrt(len(each)), rtol=1e-9)


def test_misuse():
    table = RewardTable(np.zeros((2, 3, 2)))
    for beta in (0, -1.0, np.inf, np.nan, True, "0.1"):
        with pytest.raises(ProblemError, match="beta"):
            gibbs(table, [[1, 0]], beta)
    for weights in ([[1, 0, 0]], [[-1, 2]], [[np.nan, 1]], np.empty((0, 2)), "x"):
        with pytest.raises(ProblemError, match="weights"):
            gibbs(table, weights, 0.1)
    with pytest.raises(ProblemError, match="overflows"):
        gibbs(RewardTable(np.full((1, 2, 1), 1e200)), [[1]], 1e-120)
    with pytest.raises(ValueError, match="offsets"):
        _core.gibbs([0, 2, 2, 3], np.zeros((3, 1)), np.zeros(3), [[1.0]])
    with pytest.raises(ValueError, match="log_q"):
        _core.gibbs([0, 3], np.zeros((3, 1)), np.zeros(2), [[1.0]])
    with pytest.raises(ValueError, match="at most"):
        _core.gibbs([0, 1], np.zeros((1, 40)), np.zeros(1), np.zeros((1, 40)))
