"""Packings: made exact, written as documents, accepted as they are and refused once a share is too large."""

import copy
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import linprog

import palm_opt as palm
from palm_opt import checker
from palm_opt.solver.cover import Pool, Witnesses
from palm_opt.solver.packing import SizeProof, exact_packing, infeasible, packing_leaf, vertex_packing
from palm_opt.solver.quality import assemble, check_quality, prove_quality
from palm_opt.solver.run import Run
from tests.solver.tiny import integer_weights, tiny
from tests.verify import rational, verify_certificate

# ---- numbers ---------------------------------------------------------------------------------------------------------

COST = st.sampled_from([0.0, 0.1, 0.3, 1.0, 1.0, 2.0, 1e-7, 1e12]) | st.floats(0, 10)


@st.composite
def covers(draw, cost=COST):
    """Coverage (rows, columns), and the costs of the columns."""
    rows, columns = draw(st.integers(0, 6)), draw(st.integers(1, 8))
    entries = draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    costs = draw(st.lists(cost, min_size=columns, max_size=columns))
    return np.array(entries, dtype=bool).reshape(rows, columns), np.array(costs)


def best_packing(coverage, costs):
    """A vertex of the packings by HiGHS; rows that nothing covers get 0."""
    if not len(coverage):
        return np.zeros(0)
    bounds = [(0, None if row.any() else 0) for row in coverage]
    return np.maximum(linprog(-np.ones(len(coverage)), coverage.T, costs, bounds=bounds, method="highs-ds").x, 0.0)


def fits(coverage, costs, shares):
    """Whether shares (row -> share) keep within the cost of every column, exactly."""
    loads = [sum(share for row, share in shares.items() if column[row]) for column in coverage.T]
    return all(load <= rational(cost) for load, cost in zip(loads, costs, strict=True))


@given(st.data(), covers(), st.sampled_from([Fraction(2**12), Fraction(2**40), Fraction(1, 2**30)]))
def test_whatever_is_asked_for_becomes_a_packing(data, cover, unit):
    coverage, costs = cover
    y = np.array([data.draw(st.floats(-1, 1e13) | st.floats(0, 2)) for _ in coverage])
    units = exact_packing(coverage, costs, y, unit)
    assert units.shape == y.shape and (units >= 0).all()
    assert fits(coverage, costs, {row: int(count) / unit for row, count in enumerate(units)})


@given(st.data(), covers(st.sampled_from([0.0, 0.5, 1.0, 2.25])))
def test_a_packing_on_the_grid_stays_as_it_is(data, cover):
    coverage, costs = cover
    y = np.array([data.draw(st.integers(0, 16)) / 16 for _ in coverage])
    if fits(coverage, costs, {row: Fraction(share) for row, share in enumerate(y)}):
        assert exact_packing(coverage, costs, y, Fraction(2**12)).tolist() == (y * 2**12).tolist()


@given(covers(), st.sampled_from([Fraction(0), Fraction(3), Fraction(1, 3)]))
def test_a_leaf_proves_what_it_says_and_nearly_all_that_can_be(cover, paid):
    coverage, costs = cover
    y, weights = best_packing(coverage, costs), [(1, row) for row in range(len(coverage))]
    loose = math.inf
    for target in (Fraction(0), Fraction(1), math.inf):
        for whole in (False, True):
            bound, (kind, content) = packing_leaf(weights, coverage, costs, y, paid, whole, target)
            shares = {weight[1]: share for weight, share in content}
            assert kind == "packing" and len(shares) == len(content) and all(x > 0 for x in shares.values())
            assert fits(coverage, costs, shares)
            proved = paid + sum(shares.values())
            assert bound == (math.ceil(proved) if whole else proved)
            if target == math.inf and not whole:
                loose = float(paid) + y.sum() - float(bound)
    assert loose <= 1e-6 * max(1.0, costs.max())


@given(st.data())
def test_a_vertex_proves_the_optimum_of_intervals_to_the_last_bit(data):
    """Each column covers consecutive rows: the linear program has whole solutions, and its dual meets their cost."""
    rows, columns = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))
    ends = [sorted(data.draw(st.tuples(st.integers(0, rows), st.integers(0, rows)))) for _ in range(columns)]
    ends.append([0, rows])
    coverage = np.array([[a <= row < b for a, b in ends] for row in range(rows)])
    costs = np.array([data.draw(st.sampled_from([0.1, 0.2, 0.3, 0.7]) | st.floats(0.5, 1.5)) for _ in ends])
    least = [Fraction(0), *[None] * rows]  # of a cover of the first rows
    for row in range(1, rows + 1):
        options = zip(ends, costs.tolist(), strict=True)
        least[row] = min(least[a] + rational(cost) for (a, b), cost in options if a < row <= b)
    weights = [(1, row) for row in range(rows)]
    y = best_packing(coverage, costs)
    bound, (_, content) = packing_leaf(weights, coverage, costs, y, Fraction(0), False, least[rows])
    assert bound == least[rows]
    assert fits(coverage, costs, {weight[1]: share for weight, share in content})


@given(st.data(), covers())
def test_a_vertex_is_a_packing_or_nothing(data, cover):
    coverage, costs = cover
    y = best_packing(coverage, costs) * data.draw(st.sampled_from([1.0, 1.0, 1 - 1e-9, 1 + 1e-9, 1.5]))
    shares = vertex_packing(coverage, costs, y)
    assert all(share > 0 for share in shares.values()) and fits(coverage, costs, shares)


def test_a_vertex_that_breaks_a_column_is_none():
    """Both columns are nearly full, and what fills the one that is nearer breaks the other."""
    coverage, costs = np.ones((1, 2), dtype=bool), np.array([1.0, 1.000000001])
    assert vertex_packing(coverage, costs, np.array([1.000000001])) == {}
    assert vertex_packing(coverage, costs, np.array([1.0])) == {0: 1}


# ---- documents -------------------------------------------------------------------------------------------------------


@st.composite
def proofs(draw):
    """A problem, weights with a best packing of them, its exact leaf, and the certificate of a portfolio with it."""
    problem = draw(tiny())
    pool = problem.pool
    members = tuple(pool.columns.tolist())
    assume(members and problem.keeps(members))
    rows = Witnesses(pool)
    rows.add(draw(st.lists(integer_weights(problem.values.d), min_size=1, max_size=5)))
    undecided = np.array([i for i in pool.columns.tolist() if i not in problem.require], dtype=np.int64)
    bare = ~rows.coverage(problem.require).any(axis=1) if problem.require else np.ones(len(rows), dtype=bool)
    coverage, costs = rows.coverage(undecided)[bare], problem.values.costs[undecided]
    weights = [weight for weight, wanted in zip(rows.integer, bare.tolist(), strict=True) if wanted]
    paid = problem.cost(problem.require)
    if not len(undecided):
        coverage = np.zeros((0, 0), dtype=bool)
        weights = []
    y = best_packing(coverage, costs)
    bound, leaf = packing_leaf(weights, coverage, costs, y, paid, pool.whole_costs, math.inf)
    multipliers = prove_quality(pool, members, check_quality(pool, members, Run()), Run())
    return problem, SizeProof(bound, (leaf,)), assemble(pool, members, multipliers, SizeProof(bound, (leaf,)))


@given(proofs())
def test_documents_are_accepted_and_no_more_than_they_prove(case):
    problem, size, document = case
    proved = checker.check(document, problem.values.problem())
    assert proved.lower_bound == size.bound == verify_certificate(document, problem.values)
    cheapest = problem.cheapest()
    assert size.bound <= cheapest <= proved.cost
    if size.bound > 0:
        packing = document["packing"]
        assert [tuple(w) for w in packing["weights"]] == [weight for weight, _ in size.nodes[0][1]]
        assert [Fraction(share) for share in packing["y"]] == [share for _, share in size.nodes[0][1]]
        more = copy.deepcopy(document)
        more["lower_bound"] = str(size.bound + Fraction(1, 10**12))
        refused(more, problem)


@given(proofs(), st.data())
def test_a_share_is_accepted_up_to_its_room_and_refused_beyond(case, data):
    problem, _, document = case
    assume("packing" in document and document["packing"]["y"])
    packing = document["packing"]
    covering = [problem.covering(weight) for weight in packing["weights"]]
    shares = [Fraction(share) for share in packing["y"]]
    j = data.draw(st.integers(0, len(shares) - 1))
    free = covering[j] - {*problem.require, *problem.forbid}
    loads = {i: sum(x for x, found in zip(shares, covering, strict=True) if i in found) for i in free}
    room = min(rational(problem.values.costs[i]) - load for i, load in loads.items())
    assert room >= 0
    for part, accepted in ((room, True), (room + Fraction(1, 10**15), False), (-2 * shares[j], False)):
        changed = copy.deepcopy(document)
        changed["packing"]["y"][j] = str(shares[j] + part)
        changed["lower_bound"] = document["lower_bound"] if part > 0 else "0"
        if accepted:
            checker.check(changed, problem.values.problem())
        else:
            refused(changed, problem)


def refused(document, problem):
    """Both the checker and the verifier of the tests say no."""
    with pytest.raises(palm.InvalidCertificate):
        checker.check(document, problem.values.problem())
    with pytest.raises(AssertionError):
        verify_certificate(document, problem.values)


@given(st.data(), tiny())
def test_a_weight_that_nothing_covers_is_a_proof_and_others_are_not(data, problem):
    n = problem.values.n
    forbid = data.draw(st.sets(st.integers(0, n - 1), min_size=max(0, n - 2))) - set(problem.require)
    pool = Pool(problem.values, problem.epsilon, problem.delta, problem.require, sorted(forbid))
    weight = data.draw(integer_weights(problem.values.d))
    size = infeasible(weight)
    assert size.document()["lower_bound"] == "infinity"
    document = assemble(pool, (), [], size)
    if problem.covering(weight) <= forbid:
        assert checker.check(document, problem.values.problem()).lower_bound == math.inf
        assert verify_certificate(document, problem.values) == math.inf
    else:
        refused(document, problem)


def test_documents_list_every_weight_once():
    half, third = Fraction(1, 2), Fraction(1, 3)
    a, b, c = (1, 0), (0, 1), (1, 1)
    nodes = (
        ("branch", 4),
        ("packing", ((a, half), (b, third))),
        ("branch", 2),
        ("uncovered", c),
        ("packing", ((b, 1),)),
    )
    document = SizeProof(Fraction(5, 2), nodes).document()
    assert document == {
        "lower_bound": "5/2",
        "branching": {
            "weights": [[1, 0], [0, 1], [1, 1]],
            "nodes": [
                ["branch", 4],
                ["packing", [[0, "1/2"], [1, "1/3"]]],
                ["branch", 2],
                ["uncovered", 2],
                ["packing", [[1, "1"]]],
            ],
        },
    }
    assert SizeProof(Fraction(0), nodes).document() == SizeProof(Fraction(3)).document() == {"lower_bound": "0"}
