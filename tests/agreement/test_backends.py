"""Every backend of the registry on covers themselves: brute force, warm starts, limits, threads, cancellation."""

import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.solver.backends import load
from palm_opt.solver.cover import Cover
from palm_opt.solver.run import Run

BACKENDS = palm.backends()
COMPLETE = [name for name in BACKENDS if name != "greedy"]
INTERRUPTIBLE = [name for name in COMPLETE if name != "cvxpy"]  # CVXPY has no way to stop a solve


@st.composite
def covers(draw):
    rows, columns = draw(st.integers(1, 8)), draw(st.integers(1, 7))
    matrix = np.array(draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns)))
    costs = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.0, 3.0]), min_size=columns, max_size=columns))
    fixed = tuple(draw(st.lists(st.integers(0, columns - 1), max_size=2, unique=True)))
    start = tuple(draw(st.lists(st.integers(0, columns - 1), max_size=columns, unique=True)))
    return Cover(matrix.reshape(rows, columns), np.array(costs), tuple(sorted(fixed))), tuple(sorted(start))


def least(cover):
    """Least cost by trying all sets of columns, None if none is a cover."""
    best = None
    for size in range(cover.matrix.shape[1] + 1):
        for chosen in itertools.combinations(range(cover.matrix.shape[1]), size):
            if set(cover.fixed) <= set(chosen) and cover.matrix[:, list(chosen)].any(axis=1).all():
                cost = cover.cost(chosen)
                best = cost if best is None else min(best, cost)
    return best


@pytest.mark.parametrize("backend", BACKENDS)
@given(case=covers())
def test_covers_against_brute_force(backend, case):
    cover, start = case
    answer = load(backend)(cover, start, Run())
    best = least(cover)
    if best is None:
        assert answer.columns is None
        return
    assert set(cover.fixed) <= set(answer.columns)
    assert list(answer.columns) == sorted(set(answer.columns))
    assert cover.matrix[:, list(answer.columns)].any(axis=1).all()
    assert answer.bound <= best + 1e-6 <= cover.cost(answer.columns) + 2e-6
    if backend != "greedy":
        assert abs(cover.cost(answer.columns) - best) <= 1e-5
        assert answer.optimal or not np.all(cover.costs == np.rint(cover.costs))


def hard(size=220, seed=0):
    """A random cover that no backend closes in minutes."""
    rng = np.random.default_rng(seed)
    return Cover(rng.random((size, size)) < 0.08, np.ones(size))


@pytest.mark.parametrize("backend", INTERRUPTIBLE)
def test_cancelled_from_another_thread(backend):
    cover, budget = hard(), Run(deadline=time.monotonic() + 240)
    start = load("greedy")(cover, (), Run()).columns
    timer = threading.Timer(1.0, budget.cancel)
    timer.start()
    answer = load(backend)(cover, start, budget)
    timer.join()
    assert budget.seconds > 0, "the backend went on to its deadline"
    assert not answer.optimal
    assert answer.columns is None or cover.matrix[:, list(answer.columns)].any(axis=1).all()
    assert budget.on_stop == []


@pytest.mark.parametrize("backend", ["highs", "cpsat"])
def test_a_start_is_never_lost(backend):
    cover = hard()
    best = load(backend)(cover, (), Run(settings=palm.Settings(threads=1), deadline=time.monotonic() + 3)).columns
    again = load(backend)(cover, best, Run(settings=palm.Settings(threads=1), deadline=time.monotonic() + 1))
    assert again.columns is None or cover.cost(again.columns) <= cover.cost(best)


@pytest.mark.parametrize("backend", COMPLETE)
def test_a_passed_deadline_is_no_error(backend):
    cover = hard()
    answer = load(backend)(cover, (), Run(deadline=time.monotonic() - 1))
    assert not answer.optimal


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_number_of_threads_one_after_the_other(backend):
    """HiGHS refuses another number of threads than that of the first solve in a thread: it is reset in between."""
    values = palm.ValueMatrix(np.random.default_rng(3).random((60, 3)))
    promise = {"epsilon": 0.02, "delta": 0.0, "backend": backend}
    results = [palm.solve(values, **promise, settings={"threads": k}) for k in (1, 2, 3, 1)]
    assert {(r.status, r.lower_bound) for r in results} == {(results[0].status, results[0].lower_bound)}
