"""The checker against a slow twin: docs/certificate-format.md written down once more, in Fractions and recursion."""

from __future__ import annotations

import copy
import importlib.util
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from palm_opt.checker import CertificateParseError, InvalidCertificate, Problem, check

FOLDER = Path(__file__).parents[1] / "certificates"
spec = importlib.util.spec_from_file_location("make_certificates", FOLDER / "make.py")
assert spec is not None and spec.loader is not None
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

SETTINGS = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


class Refused(Exception):
    """The twin says no."""


def need(condition: bool) -> None:
    if not condition:
        raise Refused


def twin(document: dict[str, Any], pool: Any) -> Fraction | float:
    """The bound that is proved, at least `lower_bound`; Refused where any claim fails."""
    n, d, v = len(pool.rows), len(pool.rewards), pool.values()
    need(document["sha256"] == pool.sha256() and document["scale"] == pool.scale)
    subject = document["subject"]
    need(subject["candidates"] == n and subject["rewards"] == pool.rewards)
    need((subject["cost"] is None) == (pool.costs is None))
    epsilon, delta = (Fraction(document[key]) for key in ("epsilon", "delta"))
    need(0 <= epsilon < 1 and delta >= 0)
    for key in ("required", "forbidden", "members"):
        need(all(name in pool.names for name in document[key]))
    required, forbidden, members = (
        [pool.names.index(x) for x in document[k]] for k in ("required", "forbidden", "members")
    )
    need(not set(required) & set(forbidden))
    dominators, multipliers = document["dominators"], document["multipliers"]
    need((document["lower_bound"] == "infinity") == (not members))
    if members:
        need(len(set(members)) == len(members))
        need(set(required) <= set(members) and not set(forbidden) & set(members))
        need(len(dominators) == n and all(-1 <= j < n for j in dominators))
        need(all(0 <= row[0] < n for row in multipliers))
        for i in range(n):
            own = [row for row in multipliers if row[0] == i]
            if dominators[i] >= 0:
                need(not own and all(x >= y for x, y in zip(v[dominators[i]], v[i], strict=True)))
                end, steps = i, 0
                while dominators[end] >= 0:
                    end, steps = dominators[end], steps + 1
                    need(steps <= n)
            else:
                need(len(own) == 1)
                places, amounts = own[0][1::2], own[0][2::2]
                need(len(set(places)) == len(places) and max(places) < len(members) and min(amounts) > 0)
                for k in range(d):
                    mixed = sum(
                        Fraction(a, sum(amounts)) * v[members[p]][k] for p, a in zip(places, amounts, strict=True)
                    )
                    need(mixed >= (1 - epsilon) * v[i][k] - delta)
    else:
        need(dominators == [] and multipliers == [])
    proved = twin_size(document, pool, set(required), set(forbidden), epsilon, delta)
    claimed = math.inf if document["lower_bound"] == "infinity" else Fraction(document["lower_bound"])
    need(claimed <= proved)
    return proved


def twin_size(
    document: dict[str, Any], pool: Any, required: set[int], forbidden: set[int], epsilon: Fraction, delta: Fraction
) -> Fraction | float:
    """What the proof of size proves."""
    n, d = len(pool.rows), len(pool.rewards)
    if "packing" in document:
        weights, y = document["packing"]["weights"], document["packing"]["y"]
        need(len(weights) == len(y))
        nodes: list[Any] = [["packing", [[j, y[j]] for j in range(len(y))]]]
    elif "branching" in document:
        weights, nodes = document["branching"]["weights"], document["branching"]["nodes"]
    else:
        return Fraction(0)
    need(all(len(w) == d and any(w) for w in weights))
    covers = [make.covered_by(pool, w, epsilon, delta) for w in weights]
    whole = all(pool.cost(i).denominator == 1 for i in range(n) if i not in forbidden)
    rest = list(nodes)

    def subtree(inside: set[int], outside: set[int]) -> Fraction | float:
        need(bool(rest))
        tag, content = rest.pop(0)
        undecided = set(range(n)) - inside - outside
        if tag == "branch":
            need(content in undecided)
            return min(subtree(inside | {content}, outside), subtree(inside, outside | {content}))
        if tag == "uncovered":
            need(content < len(weights) and not covers[content] & (inside | undecided))
            return math.inf
        need(all(j < len(weights) for j, _ in content) and len({j for j, _ in content}) == len(content))
        y = {j: Fraction(ratio) for j, ratio in content}
        need(all(value >= 0 for value in y.values()))
        need(not any(value > 0 and covers[j] & inside for j, value in y.items()))
        for i in undecided:  # the inequality of an excused candidate follows from that of its dominator
            need(sum(value for j, value in y.items() if i in covers[j]) <= pool.cost(i))
        bound = sum((pool.cost(i) for i in inside), Fraction(0)) + sum(y.values())
        return Fraction(math.ceil(bound)) if whole else bound

    proved = subtree(set(required), set(forbidden))
    need(not rest)
    return proved


def problem_of(pool: Any) -> Problem:
    return Problem(pool.names, pool.rewards, pool.rows, pool.costs, pool.scale)


def agree(document: dict[str, Any], pool: Any) -> bool:
    """Assert that checker and twin agree, on the verdict and on how much is proved; the verdict."""
    problem = problem_of(pool)
    try:
        verified = check(document, problem)
    except CertificateParseError:
        assume(False)
    except InvalidCertificate as error:
        try:
            twin(document, pool)
        except Refused:
            return False
        raise AssertionError(f"the twin accepts what the checker refuses: {error}") from None
    proved = twin(document, pool)
    assert verified.members == len(document["members"])
    assert verified.cost == sum(pool.cost(pool.names.index(name)) for name in document["members"])
    if isinstance(proved, Fraction):
        assert check(document | {"lower_bound": str(proved)}, problem).lower_bound == proved
        more = document | {"lower_bound": str(proved + Fraction(1, 10**30))}
        try:
            check(more, problem)
        except InvalidCertificate:
            return True
        raise AssertionError("more was accepted than is proved")
    return True


NUMBERS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 0.1, 0.3, -0.5, -0.0, 2.0, 1e-300, 1e300])
PLAIN = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
RANGE = st.sampled_from([[repr(0.0), repr(1.0)], [repr(-0.1), repr(0.7)], [repr(0.5), repr(0.75)]])
EPSILONS = st.sampled_from([0.0, 0.0, 0.125, 0.1, 0.5])
DELTAS = st.sampled_from([0.0, 0.125, 0.25, 0.3, 0.5, 1.0])


@st.composite
def pools(draw: st.DrawFn, largest: int = 5) -> Any:
    d = draw(st.integers(1, 3))
    n = draw(st.integers(1, largest))
    numbers = draw(st.sampled_from([PLAIN, PLAIN, NUMBERS]))
    rows = draw(st.lists(st.lists(numbers, min_size=d, max_size=d), min_size=n, max_size=n))
    rewards = [draw(st.sampled_from(["", "", "-"])) + "abc"[k] for k in range(d)]
    cost = st.sampled_from(draw(st.sampled_from([[1.0, 2.0, 3.0], [0.5, 0.1, 1.0, 0.0]])))
    costs = draw(st.none() | st.lists(cost, min_size=n, max_size=n))
    entries = [st.sampled_from(["none", "minmax"]), RANGE]
    if min(map(min, rows)) > 0:
        entries.append(st.just("log"))
    scale = draw(st.sampled_from(["none", "minmax"]) | st.lists(st.one_of(entries), min_size=d, max_size=d))
    return make.Pool(rows, rewards, costs, scale)


@st.composite
def built(draw: st.DrawFn) -> Any:
    """A pool and a correct checker."""
    pool = draw(pools())
    n = len(pool.rows)
    roles = draw(st.lists(st.sampled_from(["", "", "", "in", "out"]), min_size=n, max_size=n))
    document = make.build(
        pool,
        draw(EPSILONS),
        draw(DELTAS),
        required=[i for i in range(n) if roles[i] == "in"],
        forbidden=[i for i in range(n) if roles[i] == "out"],
        proof=draw(st.sampled_from(["branching", "branching", None])),
        dominate=draw(st.booleans()),
        grid=draw(st.integers(1, 3)),
    )
    assume(document is not None)
    return pool, document


@st.composite
def invented(draw: st.DrawFn) -> Any:
    """A pool and a well-formed certificate whose claims are anything."""
    pool = draw(pools(largest=4))
    n, d = len(pool.rows), len(pool.rewards)
    row = st.integers(0, n - 1)
    document = make.skeleton(pool, draw(EPSILONS), draw(DELTAS), (), ())
    members = draw(st.lists(row, unique=True))
    document["members"] = [pool.names[i] for i in members]
    decided = draw(st.lists(row, unique=True, max_size=1).filter(lambda x: not set(x) & set(members)))
    document["forbidden"] = [pool.names[i] for i in decided]
    if members:
        exact = make.quality(pool, members, *(Fraction(document[k]) for k in ("epsilon", "delta")), True)
        assume(exact is not None)
        document["dominators"], document["multipliers"] = exact
    else:
        document["lower_bound"] = "infinity"
    weights = draw(st.lists(st.lists(st.integers(0, 3), min_size=d, max_size=d).filter(any), min_size=1, max_size=4))
    y = st.sampled_from(["0", "1/2", "1", "1/4", "2", "1/10"])
    nodes: list[Any] = []

    def grow(undecided: list[int], depth: int) -> None:
        tags = ["packing", "uncovered"] if members else ["uncovered"]
        tag = draw(st.sampled_from(tags + (["branch"] * 2 if undecided and depth < 3 else [])))
        if tag == "branch":
            i = draw(st.sampled_from(undecided))
            nodes.append(["branch", i])
            for _ in range(2):
                grow([other for other in undecided if other != i], depth + 1)
        elif tag == "uncovered":
            nodes.append(["uncovered", draw(st.integers(0, len(weights) - 1))])
        else:
            chosen = draw(st.lists(st.integers(0, len(weights) - 1), unique=True))
            nodes.append(["packing", [[j, draw(y)] for j in chosen]])

    grow([i for i in range(n) if i not in decided], 0)
    document["branching"] = {"weights": weights, "nodes": nodes}
    return pool, document


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [path, *(found for key, item in inner for found in places(item, (*path, key)))]


def mutate(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """The document with one value changed, an entry of a list left out, repeated or swapped."""
    mutant = copy.deepcopy(document)
    keys = [key for key in mutant if key in ("packing", "branching", "members", "multipliers", "dominators")]
    keys += ["epsilon", "delta", "lower_bound", "required", "forbidden"]
    key = draw(st.sampled_from(sorted(keys)))
    path = draw(st.sampled_from([(key, *rest) for rest in places(mutant[key])]))
    place: Any = mutant
    for step in path[:-1]:
        place = place[step]
    old = place[path[-1]]
    if isinstance(old, list) and old:
        at = draw(st.integers(0, len(old) - 1))
        new = draw(st.sampled_from([old[:at] + old[at + 1 :], [*old, old[at]], [*old[at:], *old[:at]], old[::-1]]))
    elif isinstance(old, int):
        new = max(-1, old + draw(st.sampled_from([-2, -1, 1, 2])))
    elif path[-1] in ("epsilon", "delta"):
        number = float(old)
        new = repr(draw(st.sampled_from([math.nextafter(number, -1), math.nextafter(number, 2), number / 2, 0.25])))
    elif isinstance(old, str) and path[0] in ("packing", "branching", "lower_bound"):
        new = draw(st.sampled_from(["0", "1", "1/2", "3", "2/3", "-1", "1000001/1000000", "infinity"]))
    else:
        new = draw(st.sampled_from(["0", "1", "2", "3"]))
    place[path[-1]] = new
    return mutant


@SETTINGS
@given(built())
def test_correct_certificates_are_accepted(case: Any) -> None:
    pool, document = case
    assert agree(document, pool)


@SETTINGS
@given(invented())
def test_agrees_with_the_twin_on_invented_certificates(case: Any) -> None:
    pool, document = case
    agree(document, pool)


@settings(SETTINGS, max_examples=800)
@given(st.data())
def test_agrees_with_the_twin_on_mutations(data: st.DataObject) -> None:
    pool, document = (
        data.draw(st.sampled_from(sorted(CASES.items())))[1] if data.draw(st.booleans()) else data.draw(built())
    )
    for _ in range(data.draw(st.integers(1, 2))):
        document = mutate(data.draw, document)
    agree(document, pool)


CASES = {name: case for name, case in make.correct().items() if len(case[1]["members"]) < 6}


@settings(SETTINGS, max_examples=200)
@given(built())
def test_bound_is_at_most_the_cost_of_every_portfolio(case: Any) -> None:
    """Soundness, apart from the proof: no portfolio that enumeration finds is cheaper than what was proved."""
    pool, document = case
    problem = problem_of(pool)
    verified = check(document, problem)
    assert verified.lower_bound <= verified.cost
    epsilon, delta = (Fraction(document[key]) for key in ("epsilon", "delta"))
    required, forbidden = ({pool.names.index(x) for x in document[key]} for key in ("required", "forbidden"))
    n = len(pool.rows)
    for mask in range(1, 1 << n):
        members = [i for i in range(n) if mask >> i & 1]
        if required <= set(members) and not forbidden & set(members):
            found = make.quality(pool, members, epsilon, delta, True)
            if found is not None:
                assert sum(pool.cost(i) for i in members) >= verified.lower_bound
