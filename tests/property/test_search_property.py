"""Search on random finite pools, whose truth is known exactly; random orders of asking and telling."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import palm_opt as palm
from tests.search_verify import exact_gap, run, verify_search
from tests.verify import rational

POOLS = st.tuples(st.integers(1, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays(
        np.float64, shape, elements=st.one_of(st.floats(0, 1, width=32), st.integers(0, 2).map(float), st.just(0.5))
    )
)
DELTA = st.sampled_from([0.0, 0.02, 0.1, 0.3])
EPSILON = st.sampled_from([0.0, 0.05])


def best(pool: np.ndarray, w: np.ndarray) -> np.ndarray:
    """An exactly best row."""
    rows = [list(map(rational, row)) for row in pool.tolist()]
    weight = list(map(rational, w))
    return pool[max(range(len(rows)), key=lambda i: sum(a * b for a, b in zip(weight, rows[i], strict=True)))].copy()


@settings(max_examples=60)
@given(POOLS, EPSILON, DELTA, st.sampled_from(["adaptive", "lazy-grid"]), st.sampled_from([1.0, 1e-3, 1e6]))
def test_the_certified_gap_is_no_less_than_the_true_regret(pool, epsilon, delta, strategy, scale):
    pool = pool * scale
    search = palm.Search(
        pool.shape[1],
        epsilon=epsilon,
        delta=delta * scale,
        oracle_error=(0.0, 0.0),
        strategy=strategy,
        resolution=4 if strategy == "lazy-grid" else None,
    )
    result = run(search, lambda w: best(pool, w))
    verify_search(search, result, 50)
    members = [int(np.flatnonzero((pool == value).all(axis=1))[0]) for value in result.values]
    truth = palm.regret(pool, sorted(set(members)), epsilon=epsilon).worst
    assert truth <= result.regret + 1e-12 * scale
    if strategy == "adaptive" and delta > 0:
        assert result.kept


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 3), st.integers(0, 3))
def test_the_certified_regret_against_enumeration_in_rationals(seed, d, more):
    """All corners and all bases by brute force: nothing of the search is used."""
    rng = np.random.default_rng(seed)
    pool = np.abs(rng.standard_normal((6, d)))
    search = palm.Search(d, delta=0.3, oracle_error=(0.0, 0.0), max_calls=d + more)
    result = run(search, lambda w: best(pool, w))
    gap = exact_gap(search, result)
    assert gap <= rational(result.regret) and float(gap) >= result.regret - 1e-7


@settings(max_examples=30)
@given(st.data(), st.integers(1, 4), st.integers(0, 5))
def test_any_order_of_asking_and_telling_can_be_saved_and_replayed(data, d, seed):
    rng = np.random.default_rng(seed)
    pool = np.abs(rng.standard_normal((15, d)))
    search = palm.Search(d, delta=0.1, oracle_error=(0.0, 0.0))
    for _ in range(data.draw(st.integers(0, 25))):
        action = data.draw(st.sampled_from(["ask", "tell", "free", "save", "result"]))
        if action == "ask":
            search.ask(data.draw(st.integers(0, 3)))
        elif action == "tell" and search.outstanding:
            weight = search.outstanding[data.draw(st.integers(0, len(search.outstanding) - 1))]
            search.tell(weight, best(pool, weight))
        elif action == "free":
            search.tell(None, pool[data.draw(st.integers(0, 14))])
        elif action == "save":
            other = palm.Search.restore(search.serialise())
            mine, theirs = palm.Search.restore(search.serialise()).ask(2), other.ask(2)
            assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
        elif action == "result" and len(search.answers):
            result = search.result()
            if result.certificate is not None:
                palm.verify(result.certificate, search)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.data())
def test_a_mutated_certificate_is_refused(seed, data):
    """Less delta than is needed, a lost corner, a raised point, a larger bound."""
    rng = np.random.default_rng(seed)
    pool = np.abs(rng.standard_normal((12, 3)))
    search = palm.Search(3, delta=0.05, oracle_error=(0.0, 0.0))
    result = run(search, lambda w: best(pool, w))
    document = {**result.certificate}
    change = data.draw(st.sampled_from(["delta", "corner", "point", "bound"]))
    if change == "delta":
        document["delta"] = repr(float(exact_gap(search, result)) * 0.999 - 1e-9) if result.size < 8 else "0.0"
    elif change == "corner":
        document["corners"] = document["corners"][1:]
    elif change == "point":
        document["points"] = [[a + 2**24 for a in row] for row in document["points"]]
    else:
        document["answered"] = {**document["answered"], "lower_bound": str(result.size + 1)}
    try:
        palm.verify(document, search)
    except (palm.InvalidCertificate, palm.CertificateParseError):
        return
    raise AssertionError(f"accepted with another {change}")
