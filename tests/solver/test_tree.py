"""Branch and bound against brute force: the proof at the optimum, a cheaper portfolio above it."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt import checker
from palm_opt.result import Settings, Stop
from palm_opt.solver.cover import Witnesses
from palm_opt.solver.exact import integer_weight
from palm_opt.solver.packing import SizeProof
from palm_opt.solver.quality import assemble, check_quality, prove_quality
from palm_opt.solver.relaxation import Relaxation
from palm_opt.solver.run import Run, Stopped
from palm_opt.solver.tree import Tree
from tests.solver.tiny import Tiny, tiny
from tests.verify import verify_certificate


class Search:
    """A tree of a problem, with the few rows that it begins with; `found` are the covers that it asked about."""

    def __init__(self, problem, pause=lambda: False):
        self.problem, self.found = problem, []
        self.rows = Witnesses(problem.pool)
        self.relaxation = Relaxation(problem.pool, self.rows, Run(settings=Settings(threads=1)))
        self.relaxation.add_rows(self.rows.add([tuple(row) for row in np.eye(problem.values.d, dtype=int).tolist()]))
        self.tree = Tree(problem.pool, self.relaxation, self.check, pause)

    def check(self, members):
        """Whether members are a portfolio, by all corners; if not, one that they miss becomes a row."""
        assert set(self.problem.require) <= set(members) and not set(self.problem.forbid) & set(members)
        assert not self.relaxation.overlooked(members)  # what is known is not asked again
        self.found.append(members)
        missed = self.problem.missed(members)
        self.rows.add([integer_weight(weight) for weight in missed[:1]])
        return not missed


def certificate(problem, size):
    """The certificate of all columns with a proof of size."""
    pool = problem.pool
    members = tuple(pool.columns.tolist()) if size.bound < math.inf else ()
    if not members:
        return assemble(pool, (), [], size)
    return assemble(pool, members, prove_quality(pool, members, check_quality(pool, members, Run()), Run()), size)


def proves(problem, size, bound):
    """Assert that the checker and the verifier of the tests read the bound from the proof."""
    document = certificate(problem, size)
    assert checker.check(document, problem.values.problem()).lower_bound == bound == size.bound
    assert verify_certificate(document, problem.values) == bound


@given(tiny())
def test_prove_at_the_optimum_and_just_above_it(problem):
    optimum, search = problem.cheapest(), Search(problem)
    if optimum is None:
        size = search.tree.prove(Fraction(problem.values.n + 1) * 10)
        proves(problem, size, math.inf)
        return
    size = search.tree.prove(optimum)
    assert isinstance(size, SizeProof)
    proves(problem, size, optimum)
    for target in (optimum + Fraction(1, 10), optimum + 2):
        again = Search(problem)
        assert again.tree.prove(target) is None
        assert problem.keeps(again.found[-1]) and optimum <= problem.cost(again.found[-1]) < target


@given(tiny(), st.fractions(0, 1, max_denominator=7))
def test_prove_below_the_optimum(problem, share):
    optimum = problem.cheapest()
    if optimum is None:
        return
    size = Search(problem).tree.prove(optimum * share)
    assert optimum * share <= size.bound <= optimum
    proves(problem, size, size.bound)


@st.composite
def odd_cycles(draw):
    """Problems whose relaxation leaves a gap: any two of three kinds of candidates do, at half a share of each.

    A kind lacks one reward. Beside the three there are some that are a little worse in places, at other costs.
    """
    kinds = [0, 1, 2, *draw(st.lists(st.integers(0, 2), max_size=3))]
    worse = st.sampled_from([0.0, 0.0, 0.01, 0.02])
    array = [[float(k != kind) - (draw(worse) if at > 2 else 0.0) for k in range(3)] for at, kind in enumerate(kinds)]
    choice = draw(st.sampled_from([(0.7,), (0.7, 0.8), (2.0,), (2.0, 3.0), (1.5, 1.6)]))
    costs = [draw(st.sampled_from(choice)) for _ in kinds]
    forbid = draw(st.sampled_from([(), (), (1,)]))
    return Tiny(palm.ValueMatrix(array, costs=costs), 0.0, draw(st.sampled_from([0.5, 0.52])), (), forbid)


@given(odd_cycles())
def test_a_gap_is_closed_by_branching(problem):
    optimum, search = problem.cheapest(), Search(problem)
    if optimum is None:  # the third kind is forbidden, and nothing like it is there
        assert search.tree.prove(Fraction(100)).bound == math.inf
        return
    size = search.tree.prove(optimum)
    proves(problem, size, optimum)
    assert search.tree.nodes >= len(size.nodes) and len(size.nodes) % 2 == 1
    branched = [content for kind, content in size.nodes if kind == "branch"]
    assert len(branched) == len(size.nodes) // 2


@given(odd_cycles())
def test_one_unit_of_cost_after_the_other(problem):
    """As a search does where costs are whole: the same tree, rows and program again, each time for a little more."""
    optimum, search, unit = problem.cheapest(), Search(problem), Fraction(1, 2)
    if optimum is None:
        return
    proved = SizeProof(Fraction(0))
    while proved.bound < optimum:
        nodes = search.tree.nodes
        proved = search.tree.prove(min(optimum, proved.bound + unit))
        proves(problem, proved, proved.bound)
        assert search.tree.nodes > nodes
    assert proved.bound == optimum
    assert search.tree.prove(optimum + unit) is None
    assert problem.keeps(search.found[-1]) and problem.cost(search.found[-1]) < optimum + unit


def test_the_pause_before_every_node_ends_a_proof():
    problem = Tiny(palm.ValueMatrix(1 - np.eye(3), costs=[0.7, 0.8, 0.7]), 0.0, 0.5)
    whole = Search(problem)
    size = whole.tree.prove(Fraction(7, 5))
    assert size.bound == Fraction(7, 5) and whole.tree.nodes > 1
    for allowed in range(whole.tree.nodes):
        answers = iter([False] * allowed + [True])
        search = Search(problem, lambda answers=answers: next(answers))
        assert search.tree.prove(Fraction(7, 5)) is None and search.tree.nodes == allowed

    def over():
        raise Stopped(Stop.NODE_LIMIT)

    with pytest.raises(Stopped):
        Search(problem, over).tree.prove(Fraction(7, 5))


def test_a_required_candidate_is_in_and_a_forbidden_one_out_at_the_root():
    array = np.concatenate([1 - np.eye(3), [[0.4, 0.4, 0.4]]])
    values = palm.ValueMatrix(array, costs=[0.7, 0.7, 0.7, 0.1])
    for require, forbid, expected in (((3,), (), "3/2"), ((3, 0), (), "3/2"), ((), (0,), "7/5"), ((), (0, 1), None)):
        problem = Tiny(values, 0.0, 0.5, require, forbid)
        size = Search(problem).tree.prove(Fraction(expected or 100))
        assert problem.cheapest() == (expected and Fraction(expected))
        proves(problem, size, Fraction(expected) if expected else math.inf)
