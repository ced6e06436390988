"""Random small problems with random options: every backend against enumeration of all portfolios in exact arithmetic.

Integers make ties common; values may be negative, costs zero or fractional, candidates required or forbidden,
tolerances zero, and the problem infeasible. The models for other solvers (formulate, MPS) must have optima that agree.
"""

import itertools
import math
import tempfile
from fractions import Fraction
from pathlib import Path

import cvxpy
import numpy as np
from hypothesis import given, note
from hypothesis import strategies as st
from ortools.sat.python import cp_model

import palm_opt as palm
from palm_opt.solver.cover import Pool
from palm_opt.solver.exact import game_exact
from palm_opt.solver.master import certificate_weights, master, mps
from tests.solver.test_master import optimum_highs
from tests.verify import exact_rows, verify_result

SMALL = st.integers(-2, 4)
MIXED = st.integers(-3, 9).map(lambda k: k / 8) | st.floats(-1, 2, width=16) | st.sampled_from([0.1, 0.3, 1 / 3])
COSTS = st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.0, 2.0, 2.5])


@st.composite
def problems(draw, most=9):
    n, d = draw(st.integers(1, most)), draw(st.integers(1, 4))
    entry = draw(st.sampled_from([SMALL, SMALL, MIXED]))
    array = np.array([[draw(entry) for _ in range(d)] for _ in range(n)], dtype=float)
    costs = draw(st.none() | st.lists(COSTS, min_size=n, max_size=n))
    scale = draw(st.sampled_from(["none", "none", "minmax", (-2.0, 2.0)]))
    rewards = [draw(st.sampled_from(["", "", "-"])) + f"r{k}" for k in range(d)]
    values = palm.ValueMatrix(array, costs=costs, scale=scale, rewards=rewards)
    rows = st.integers(0, n - 1)
    require = tuple(draw(st.lists(rows, max_size=2, unique=True)))
    forbid = tuple({i for i in draw(st.lists(rows, max_size=3)) if i not in require})
    epsilon = draw(st.sampled_from([0.0, 0.0, 0.05, 0.125, 0.3, 0.75]))
    delta = draw(st.sampled_from([0.0, 0.0, 0.02, 0.125, 0.25, 1.0]))
    return values, epsilon, delta, require, forbid


@st.composite
def options(draw, n):
    settings = palm.Settings(
        seed=draw(st.sampled_from([0, 1, 2**31 + 5])),
        threads=draw(st.integers(0, 2)),
        node_limit=draw(st.sampled_from([20_000, 20_000, 1])),
    )
    return {"warm_start": tuple(draw(st.lists(st.integers(0, n - 1), max_size=3, unique=True))), "settings": settings}


def keeps(rows, members, epsilon, delta):
    """Whether members keep the promise: the exact game of every candidate against them (L1)."""
    portfolio = [rows[i] for i in members]
    targets = [[(1 - Fraction(epsilon)) * x for x in row] for row in rows]
    return all(game_exact(target, portfolio)[0] <= Fraction(delta) for target in targets)


def cheapest(values, epsilon, delta, require, forbid):
    """The least cost of a portfolio by enumeration, or None."""
    rows = exact_rows(values)
    free = [i for i in range(values.n) if i not in forbid and i not in require]
    costs = [Fraction(float(cost)) for cost in values.costs]
    paid = sum((costs[i] for i in require), Fraction(0))
    if not (free or require) or not keeps(rows, [*require, *free], epsilon, delta):
        return None
    subsets = itertools.chain.from_iterable(itertools.combinations(free, k) for k in range(len(free) + 1))
    ranked = sorted(((sum((costs[i] for i in s), paid), s) for s in subsets if s or require), key=lambda pair: pair[0])
    return next(cost for cost, s in ranked if keeps(rows, [*require, *s], epsilon, delta))


def uncovered(values, weight, epsilon, delta, forbid):
    """Whether no admissible candidate covers an exact weight."""
    w = [Fraction(x, sum(weight)) for x in weight]
    products = [sum(a * b for a, b in zip(w, row, strict=True)) for row in exact_rows(values)]
    needed = (1 - Fraction(epsilon)) * max(products) - Fraction(delta)
    return all(products[i] < needed for i in range(values.n) if i not in forbid)


@given(st.data())
def test_every_backend_against_enumeration(data):
    values, epsilon, delta, require, forbid = data.draw(problems())
    best = cheapest(values, epsilon, delta, require, forbid)
    for backend in palm.backends():
        chosen = data.draw(options(values.n))
        note(f"{backend} {chosen}")
        result = palm.solve(
            values, epsilon=epsilon, delta=delta, backend=backend, require=require, forbid=forbid, **chosen
        )
        verify_result(result, values)
        if best is None:
            assert result.status is palm.Status.INFEASIBLE and result.stop is palm.Stop.PROVED
            [weight] = certificate_weights(result.certificate)
            assert uncovered(values, weight, epsilon, delta, forbid)
            assert np.allclose(result.worst_weight, np.array(weight, dtype=float) / sum(weight))
            continue
        assert result.lower_bound <= float(best) <= result.cost  # rounding keeps the order
        assert set(require) <= set(result.indices) and not set(forbid) & set(result.indices)
        if backend != "greedy" and chosen["settings"].node_limit > 1:
            assert result.status is palm.Status.OPTIMAL and result.stop is palm.Stop.PROVED
            assert result.cost == float(best)


def optimum(model):
    """Optimum of a formulated model, None if infeasible."""
    if isinstance(model, cvxpy.Problem):
        model.solve(solver=cvxpy.HIGHS)
        return None if model.status == cvxpy.INFEASIBLE else model.value
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    status = solver.solve(model)
    assert status in (cp_model.OPTIMAL, cp_model.INFEASIBLE)
    return None if status == cp_model.INFEASIBLE else solver.objective_value


@given(problems(7))
def test_models_for_other_solvers_agree(problem):
    values, epsilon, delta, require, forbid = problem
    result = palm.solve(values, epsilon=epsilon, delta=delta, require=require, forbid=forbid)
    options = {"epsilon": epsilon, "delta": delta, "require": require, "forbid": forbid}
    pool = Pool(values, epsilon, delta, require, forbid)
    if not len(pool.columns):
        return  # everything is forbidden; CVXPY refuses a model without variables
    proved = certificate_weights(result.certificate)
    for weights in (None, proved):
        if weights is not None and (not weights or max(map(max, weights)) >= 2**53):
            continue
        found = [optimum(palm.formulate(values, library, **options, weights=weights)) for library in ("cpsat", "cvxpy")]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "master.mps"
            path.write_text(mps(master(pool, weights), [values.names[i] for i in pool.columns]))
            found.append(optimum_highs(path))
        least = [math.inf if x is None else x for x in found]
        assert max(least) - min(least) <= 1e-6 or min(least) == math.inf
        assert min(least) <= (math.inf if result.status is palm.Status.INFEASIBLE else result.cost) + 1e-6
        if weights is not None:  # the weights that the proof rests on give all of the bound
            assert min(least) >= result.lower_bound - 1e-6
