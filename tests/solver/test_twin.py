"""The twin of the checker and the checker agree: on what solves prove, and on what is made wrong in it."""

import copy
from fractions import Fraction

import numpy as np
import pytest

import palm_opt as palm
from palm_opt import checker
from palm_opt.solver import twin
from palm_opt.solver.cover import Pool
from palm_opt.solver.packing import SizeProof
from palm_opt.solver.run import Run


def case(seed):
    """A problem without branching: (pool, certificate)."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(3, 40)), int(rng.integers(1, 5))
    array = rng.random((n, d)).round(int(rng.integers(1, 12)))
    costs = rng.integers(0, 4, n) / 2 if seed % 3 == 0 else None
    values = palm.ValueMatrix(array, costs=costs, scale="minmax" if seed % 2 else "none")
    promise = {"epsilon": float(rng.choice([0.0, 0.05])), "delta": float(rng.choice([0.0, 0.03, 0.1]))}
    sides = {"require": [int(rng.integers(n))] if seed % 5 == 0 else [], "forbid": []}
    result = palm.solve(values, **promise, **sides, settings={"node_limit": 0})
    return Pool(values, *promise.values(), *sides.values()), result.certificate


def verdicts(pool, document):
    """What the twin and the checker say: a bound, or None for refused."""
    found = []
    for check in (lambda: twin.check(document, pool, Run()), lambda: told(document, pool)):
        try:
            found.append(check())
        except palm.InvalidCertificate:
            found.append(None)
    return found


def told(document, pool):
    return Fraction(checker.check(document, pool.values.problem()).lower_bound)


@pytest.mark.parametrize("seed", range(60))
def test_they_agree(seed):
    pool, document = case(seed)
    ours, theirs = verdicts(pool, document)
    assert ours == theirs is not None
    rng = np.random.default_rng(seed)
    for wrong in spoiled(document, pool, rng):
        ours, theirs = verdicts(pool, wrong)
        assert (ours is None) == (theirs is None) and (ours is None or ours == theirs)


def spoiled(document, pool, rng):
    """Copies of a certificate with one thing changed, which may or may not make it false."""
    for _ in range(3):
        wrong = copy.deepcopy(document)
        row = wrong["multipliers"][int(rng.integers(len(wrong["multipliers"])))]
        row[2 * int(rng.integers(len(row) // 2)) + 2] *= int(rng.integers(2, 9))
        yield wrong
    if len(document["multipliers"]) > 1:
        wrong = copy.deepcopy(document)
        del wrong["multipliers"][0]
        yield wrong
    if len(document["members"]) > 1:
        wrong = copy.deepcopy(document)
        wrong["members"][0], wrong["members"][1] = wrong["members"][1], wrong["members"][0]
        yield wrong
    if any(j >= 0 for j in document["dominators"]):
        wrong = copy.deepcopy(document)
        i = next(i for i, j in enumerate(document["dominators"]) if j >= 0)
        wrong["dominators"][i] = int(rng.choice([j for j in pool.front.tolist() if j != i]))
        yield wrong
    if "packing" in document:
        wrong = copy.deepcopy(document)
        y = wrong["packing"]["y"]
        k = int(rng.integers(len(y)))
        y[k] = str(Fraction(y[k]) * Fraction(int(rng.integers(1, 30)), 20))
        yield wrong
        wrong = copy.deepcopy(document)
        wrong["lower_bound"] = str(Fraction(document["lower_bound"]) + 1)
        yield wrong


def test_a_packing_is_trimmed_to_what_can_be_looked_at():
    pool, document = next(found for found in map(case, range(60)) if len(found[1].get("packing", {"y": ()})["y"]) > 4)
    packing = document["packing"]
    shares = tuple((tuple(w), Fraction(y)) for w, y in zip(packing["weights"], packing["y"], strict=True))
    size = SizeProof(Fraction(document["lower_bound"]), (("packing", shares),))
    assert twin.trimmed(pool, size, 1e9) is size
    less = twin.trimmed(pool, size, 2 * len(pool.columns))
    assert len(less.nodes[0][1]) == 2 and less.bound <= size.bound
