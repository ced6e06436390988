"""Search: ask and tell, strategies, oracle errors, saving, and what is claimed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import palm_opt as palm
from bench.oracle_sets import make, pool_values, table
from tests.search_verify import run, verify_search

EXACT = (0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "d", "delta", "calls", "members"),
    [
        ("pool", 2, 0.01, 11, None),
        ("pool", 3, 0.02, 35, 18),
        ("kl", 3, 0.02, 25, 15),
        ("sphere", 3, 0.02, 49, 29),
        ("sphere", 4, 0.05, 74, 39),
        ("pool", 4, 0.02, 87, 54),
        ("kl", 4, 0.02, 76, 42),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_calls_and_members(name: str, d: int, delta: float, calls: int, members: int | None, seed: int) -> None:
    search = palm.Search(d, delta=delta, oracle_error=EXACT, seed=seed)
    result = run(search, make(name, d))
    assert result.calls <= calls and result.kept
    assert members is None or members - 1 <= result.lower_bound <= result.size <= members
    verify_search(search, result)


def test_calls_on_a_real_table(palm_data: Path) -> None:
    d, oracle = table(palm_data / "rewards" / "toolemu_agents" / "rewards.npz", 0.1)
    for delta, calls in ((0.02, 37), (0.01, 77)):
        search = palm.Search(d, delta=delta, oracle_error=EXACT)
        result = run(search, oracle)
        assert result.calls <= calls and result.kept
        verify_search(search, result)


@pytest.mark.parametrize("d", range(1, 6))
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_dimensions_and_scales(d: int, scale: float) -> None:
    oracle = make("pool", d)
    search = palm.Search(d, delta=0.1 * scale, oracle_error=EXACT)
    result = run(search, lambda w: scale * oracle(w))
    assert result.kept
    verify_search(search, result, 500)


def test_scaling_changes_no_decision() -> None:
    oracle = make("kl", 4)
    counts = set()
    for scale in (1e-3, 1.0, 1e6):
        counts.add(run(palm.Search(4, delta=0.05 * scale, oracle_error=EXACT), lambda w, c=scale: c * oracle(w)).calls)
    assert len(counts) == 1


def test_rewards_of_different_magnitudes() -> None:
    """Twelve orders of magnitude between columns: weights of 1e-12 decide, and none is rounded away."""
    oracle, column = make("sphere", 3), np.array([1e-6, 1.0, 1e6])
    search = palm.Search(3, epsilon=0.05, delta=1e-8, oracle_error=EXACT)

    def scaled(w: np.ndarray) -> np.ndarray:
        return column * oracle(column * w)

    result = run(search, scaled)
    assert result.regret < 1e-2  # 1e-8 of the largest value
    verify_search(search, result, 300)


@pytest.mark.parametrize("noise", [1e-10, 1e-6])
@pytest.mark.parametrize("name", ["sphere", "pool"])
def test_near_duplicates(name: str, noise: float) -> None:
    """An oracle that measures with noise gives many policies that nearly repeat."""
    oracle, rng = make(name, 3), np.random.default_rng(0)
    search = palm.Search(3, delta=0.02, oracle_error=(0.0, 2 * noise))
    result = run(search, lambda w: oracle(w) + rng.uniform(-noise, noise, 3))
    assert result.kept and result.calls <= 55
    verify_search(search, result)


def test_ties_and_repeated_answers() -> None:
    """A cube: flat faces, and one policy is the answer to every question."""
    search = palm.Search(3, delta=0.01, oracle_error=EXACT)
    result = run(search, lambda w: np.ones(3))
    assert result.size == 1 and result.calls <= 4
    verify_search(search, result)


def test_multiplicative_promise() -> None:
    for epsilon, delta in ((0.05, 0.0), (0.03, 0.01)):
        search = palm.Search(3, epsilon=epsilon, delta=delta, oracle_error=EXACT)
        result = run(search, make("sphere", 3))
        assert result.kept
        verify_search(search, result)


def test_zero_tolerance_ends_with_what_rounding_leaves() -> None:
    values = pool_values(3, n=40)
    search = palm.Search(3, delta=0.0, oracle_error=EXACT)
    result = run(search, lambda w: values[(values @ w).argmax()].copy())
    assert 0 < result.regret < 1e-7 and not result.kept
    verify_search(search, result)


def adversary(exact, eta: float, gamma: float, seed: int):
    """An oracle that is as bad as its stated error allows."""
    rng = np.random.default_rng(seed)

    def answer(w: np.ndarray) -> np.ndarray:
        best = exact(w)
        worst = (1 - eta) * float(w @ best) - gamma
        for candidate in (exact(np.abs(w + 0.3 * rng.standard_normal(len(w)))), best):
            value = float(w @ candidate)
            if value >= worst:
                return candidate * max(0.0, worst / value + 1e-12)
        return best

    return answer


@pytest.mark.parametrize("seed", range(3))
def test_inexact_oracle(seed: int) -> None:
    """(eta, gamma) = (0.02, 0.01), adversarial: the bound holds, and reaches 0.08 on 3,000 points of a sphere."""
    rng = np.random.default_rng(seed)
    points = np.abs(rng.standard_normal((3000, 3)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    oracle = adversary(lambda w: points[(points @ w).argmax()], 0.02, 0.01, seed)
    for delta in (0.08, 0.02):
        search = palm.Search(3, delta=delta, oracle_error=(0.02, 0.01), seed=seed)
        result = run(search, oracle)
        assert result.regret <= 0.08 and result.kept == (delta == 0.08)
        assert palm.regret(np.vstack([result.values, points]), range(result.size)).worst <= result.regret
        verify_search(search, result)


def test_refuted_error_and_floor() -> None:
    search = palm.Search(2, delta=0.01, oracle_error=(0.0, 0.05), floor=0.0)
    search.tell(search.ask(), [1.0, 0.0])
    with pytest.raises(palm.ProblemError, match=r"answer 1 has value 1\.06.* answer 0.*refuted"):
        search.tell(None, [1.06, 0.0])
    search.tell(None, [1.05, 0.0])
    with pytest.raises(palm.ProblemError, match=r"below the stated floor 0\.0"):
        search.tell(search.ask(), [-0.1, 1.0])
    with pytest.raises(palm.ProblemError, match="answer 1 has value"):  # what was told before is better there
        search.tell([0.5, 0.5], [0.2, 0.2], answer=True)
    assert len(search.answers) == 2 and len(search.outstanding) == 1


def test_rounding_is_no_refutation() -> None:
    """Answers beat each other by a few ulp: the certificate then states the error that they need."""
    search = palm.Search(2, delta=0.01, oracle_error=EXACT)
    search.tell(search.ask(), [1.0, 0.0])
    search.tell(search.ask(), [1.0 + 1e-15, 1.0])
    result = search.result()
    assert result.oracle_error is not None and 0 < result.oracle_error[1] < 2e-15
    verify_search(search, result)


def test_without_a_stated_error_nothing_is_claimed() -> None:
    rng, oracle = np.random.default_rng(0), make("sphere", 3)
    search = palm.Search(3, delta=0.05)
    result = run(search, lambda w: oracle(w) + rng.uniform(-1e-3, 1e-3, 3))
    assert result.certificate is None and result.reference == "pool" and "nothing is claimed" in result.message
    assert result.regret == pytest.approx(max(0, palm.regret(search.answers.values, result.indices).worst))
    assert result.regret <= result.delta
    verify_search(search, result)


@pytest.mark.parametrize("strategy", ["uniform", "lazy-grid", "random", "grid"])
def test_baselines_are_certified_like_the_rest(strategy: str) -> None:
    delta = 0.4 if strategy == "grid" else 0.15
    search = palm.Search(3, delta=delta, oracle_error=EXACT, strategy=strategy)
    result = run(search, make("sphere", 3), 100_000)
    assert result.kept
    verify_search(search, result, 300)


def test_lattices_of_one_resolution() -> None:
    asked = {}
    for strategy in ("uniform", "grid", "lazy-grid"):
        search = palm.Search(3, delta=0.05, oracle_error=EXACT, strategy=strategy, resolution=8)
        asked[strategy] = run(search, make("sphere", 3)).calls
    assert asked["uniform"] == asked["grid"] == 45 > asked["lazy-grid"]


def test_grid_without_tolerance_needs_a_resolution() -> None:
    search = palm.Search(2, delta=0.0, oracle_error=EXACT, strategy="grid")
    search.tell(search.ask(), [1.0, 0.0])
    search.tell(search.ask(), [0.0, 1.0])
    with pytest.raises(palm.ProblemError, match="resolution"):
        search.ask()


def test_several_questions_outstanding() -> None:
    oracle = make("sphere", 3)
    search = palm.Search(3, delta=0.03, oracle_error=EXACT)
    assert len(search.ask(8)) == 3 and search.ask(8) == [] and search.ask() is None
    for weight in reversed(search.outstanding.copy()):
        search.tell(weight, oracle(weight))
    rng = np.random.default_rng(0)
    while search.ask(5 - len(search.outstanding)) or search.outstanding:
        assert len(np.unique(search.outstanding, axis=0)) == len(search.outstanding) <= 5
        weight = search.outstanding[rng.integers(len(search.outstanding))]
        search.tell(weight, oracle(weight))
    result = search.result()
    assert result.kept and result.outstanding == 0 and result.calls <= 60
    verify_search(search, result)


def test_free_points_raise_the_envelope_and_bound_nothing() -> None:
    oracle = make("pool", 3)
    plain = run(palm.Search(3, delta=0.05, oracle_error=EXACT), oracle)
    search = palm.Search(3, delta=0.05, oracle_error=EXACT)
    for value in plain.values:
        search.tell(None, value)
    assert search.calls == 0 and search.gap == np.inf
    result = run(search, oracle)
    assert result.calls <= plain.calls and result.kept
    assert np.isnan(search.answers.weights[: plain.size]).all()
    verify_search(search, result)


def test_a_weight_that_was_not_asked_is_a_free_point() -> None:
    search = palm.Search(2, delta=0.05, oracle_error=EXACT)
    search.tell([0.5, 0.5], [0.6, 0.6])
    assert search.calls == 0
    search.tell([0.5, 0.5], [0.7, 0.7], answer=True)
    assert search.calls == 1


def test_early_stop_returns_what_is_proved() -> None:
    oracle = make("sphere", 3)
    search = palm.Search(3, delta=0.01, oracle_error=EXACT, max_calls=12)
    before = search.result()
    assert before.regret == np.inf and before.certificate is None and "unit weights" in before.message
    result = run(search, oracle)
    assert result.calls == 12 and 0.01 < result.regret < 0.2 and not result.kept
    verify_search(search, result)


@pytest.mark.parametrize("strategy", ["adaptive", "uniform", "random", "lazy-grid"])
@pytest.mark.parametrize("stop", [0, 2, 3, 9, 17])
def test_restore_goes_on_with_the_same_weights(strategy: str, stop: int) -> None:
    oracle = make("sphere", 4)
    resolution = 6 if strategy == "lazy-grid" else None
    first = palm.Search(4, delta=0.1, oracle_error=(0.0, 1e-9), strategy=strategy, resolution=resolution, floor=0.0)
    for _ in range(stop):
        weight = first.ask()
        first.tell(weight, oracle(weight))
    first.ask()
    text = first.serialise()
    second = palm.Search.restore(text)
    assert second.serialise() == text and json.loads(text)["version"] == 1
    for _ in range(6):
        assert np.array_equal(first.outstanding, second.outstanding)
        for search in (first, second):
            weight = search.outstanding[0]
            search.tell(weight, oracle(weight))
            search.ask()
            search.gap  # noqa: B018 (a look changes nothing)
    assert first.serialise() == second.serialise()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:-5], "not JSON"),
        (lambda s: "[" * 100_000, "not JSON"),
        (lambda s: "[]", "an object with the keys"),
        (lambda s: s.replace('"version":1', '"version":2'), "version 1"),
        (lambda s: s.replace('"seed":0', '"seed":-1'), "seed"),
        (lambda s: s.replace('"seed":0', '"seed":true'), "seed"),
        (lambda s: s.replace('"adaptive"', '"other"'), "strategy"),
        (lambda s: s.replace('"delta":"0x', '"delta":"x'), "delta: expected a hex float"),
        (lambda s: s.replace('"taken":0', '"taken":5'), "taken"),
        (lambda s: s.replace('"outstanding":[', '"outstanding":[["0x1.0p+0"],'), "outstanding"),
        (lambda s: s.replace('"answers":[', '"answers":[3,'), r"answers\[0\]"),
        (lambda s: s.replace("0x1.0000000000000p+0", "0x1.0p+2000"), "finite"),
    ],
)
def test_damaged_state_is_refused(change, message: str) -> None:
    search = palm.Search(2, delta=0.1)
    search.tell(search.ask(), [1.0, 0.0])
    search.ask()
    with pytest.raises(palm.ProblemError, match=message):
        palm.Search.restore(change(search.serialise()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_rewards": 0}, "n_rewards"),
        ({"delta": -1.0}, "delta"),
        ({"epsilon": 1.0}, "epsilon"),
        ({"strategy": "bayes"}, "strategy"),
        ({"oracle_error": (1.0, 0.0)}, "oracle_error"),
        ({"oracle_error": (0.0, -1.0)}, "oracle_error"),
        ({"resolution": 4}, "resolution"),
        ({"seed": -1}, "seed"),
        ({"floor": [0.0, 0.0, 0.0]}, "floor"),
        ({"floor": np.nan}, "floor"),
    ],
)
def test_bad_arguments(options, message: str) -> None:
    with pytest.raises(palm.ProblemError, match=message):
        palm.Search(**{"n_rewards": 2, **options})


def test_bad_answers() -> None:
    search = palm.Search(2)
    for weight, value, message in [
        (None, [1.0], "value: expected shape"),
        (None, [1.0, np.inf], "value: expected finite"),
        (None, "ab", "value: expected 2 numbers"),
        ([1.0, -1.0], [1.0, 1.0], "weight: expected entries >= 0"),
        ([0.0, 0.0], [1.0, 1.0], "not all 0"),
    ]:
        with pytest.raises(palm.ProblemError, match=message):
            search.tell(weight, value)
    with pytest.raises(palm.ProblemError, match="needs the weight"):
        search.tell(None, [1.0, 1.0], answer=True)
    with pytest.raises(palm.ProblemError, match="at least 0, got -1"):
        search.ask(-1)
    search.tell([1.0, 0.0], [1.0, 0.0], answer=True)
    with pytest.raises(palm.ProblemError, match="answered already"):
        search.tell([2.0, 0.0], [1.0, 0.0], answer=True)


def test_larger_values_than_at_the_start_change_the_scale() -> None:
    """The second reward is 0 at first, then a thousand times the first."""
    values = np.array([[1.0, 0.0, 0.0], [0.5, 1000.0, 0.0], [0.2, 0.0, 1e-6], [0.9, 900.0, 1e-7]])
    search = palm.Search(3, epsilon=0.05, delta=1e-3, oracle_error=EXACT)
    search.tell(None, values[0])
    result = run(search, lambda w: values[(values @ w).argmax()].copy())
    assert result.kept
    verify_search(search, result)


def test_same_bytes_twice() -> None:
    documents = [
        json.dumps(run(palm.Search(3, delta=0.03, oracle_error=EXACT), make("pool", 3)).certificate) for _ in range(2)
    ]
    assert documents[0] == documents[1]


def test_a_million_weights_and_all_corners() -> None:
    """The promise at random weights against the true optimum, not only against the bound."""
    values = pool_values(4)
    search = palm.Search(4, delta=0.05, oracle_error=EXACT)
    result = run(search, make("pool", 4))
    rng = np.random.default_rng(0)
    for _ in range(10):
        weights = rng.dirichlet(np.full(4, 0.6), 100_000)
        assert ((weights @ values.T).max(axis=1) - (weights @ result.values.T).max(axis=1)).max() <= result.regret
    assert palm.regret(np.vstack([result.values, values]), range(result.size)).worst <= result.regret


def test_the_file_of_answers_checks_alone(tmp_path: Path) -> None:
    search = palm.Search(2, delta=0.02, oracle_error=EXACT, rewards=["safe, sound", 'a "b"'])
    search.tell(None, [0.3, 0.3])
    result = run(search, make("sphere", 2))
    path = result.certificate.write(tmp_path / "certificate.json")
    csv = search.write_answers(tmp_path / "answers.csv")
    proved = palm.verify(path, csv)
    assert proved.sha256 == search.problem().sha256() and proved.members == result.size
    assert palm.Search.restore(search.serialise()).rewards == search.rewards
    with pytest.raises(palm.ProblemError, match="rewards"):
        palm.Search(2, rewards=["a", "a"])


def test_members_among_some_answers() -> None:
    """Answers of an ideal bound OPT; only the policies that can be deployed are chosen, and the bound is about them."""
    oracle = make("pool", 3)
    search = palm.Search(3, delta=0.02, oracle_error=EXACT)
    while (w := search.ask()) is not None:
        search.tell(w, oracle(w))
    ideal, rng = len(search.answers), np.random.default_rng(0)
    for value in search.answers.values[:ideal].copy():
        search.tell(None, value - rng.uniform(0, 0.05, 3))
    own = range(ideal, len(search.answers))
    result = search.result(among=own)
    assert set(result.indices) <= set(own)
    palm.verify(result.certificate, search)
    assert 0.02 < result.regret < 0.1 and result.lower_bound <= result.size
    weights = rng.dirichlet(np.ones(3), 2000)
    best = np.array([weight @ oracle(weight) for weight in weights])
    assert (best - (weights @ result.values.T).max(axis=1) <= result.regret).all()
    assert search.result().regret <= 0.02  # all of them


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("n_rewards", [0, 33, 2.5, True, "3", None]),
        ("epsilon", [-0.1, 1.0, float("nan"), "0.1", None, True]),
        ("delta", [-0.1, float("inf"), "0.1", None]),
        ("oracle_error", [(1.0, 0.0), (0.0, -1.0), (0.0,), (0.0, 0.0, 0.0), 0.1, "ab"]),
        ("seed", [-1, 0.5, "1", None, 2**70]),
        ("max_calls", [-1, 2.5, "9"]),
        ("floor", ["x", [0.0], float("nan")]),
        ("strategy", ["bayes", None, ["adaptive"]]),
        ("rewards", [3, "ab", ["a", "a"]]),
        ("floor", [10**400, 1j]),
    ],
)
def test_bad_arguments_are_named(name: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(palm.ProblemError, match=name):
            palm.Search(**{"n_rewards": 2, name: value})


def test_bad_arguments_of_a_result_are_named() -> None:
    search = palm.Search(1, oracle_error=(0.0, 0.0))
    search.tell(search.ask(), [1.0])
    for value in ("x", None, -1, float("nan"), True):
        with pytest.raises(palm.ProblemError, match="time_limit: expected a number of seconds"):
            search.result(time_limit=value)
    for among in (0, [], [1], [-1], ["0"], [0.0], "0"):
        with pytest.raises(palm.ProblemError, match="among"):
            search.result(among=among)
    assert search.result(time_limit=0, among=[0, 0]).indices == (0,)
    with pytest.raises(palm.ProblemError, match="search state"):
        palm.Search.restore(None)


def test_bad_questions_and_resolutions() -> None:
    for value in (-1, 2.5, "2", True):
        with pytest.raises(palm.ProblemError, match="ask"):
            palm.Search(2).ask(value)
        with pytest.raises(palm.ProblemError, match="resolution"):
            palm.Search(2, strategy="uniform", resolution=value)
    assert palm.Search(3).ask(0) == [] and len(palm.Search(3).ask(np.int64(2))) == 2
