"""Kind conditional against a slow twin: the format written down once more, corners and bounds by enumeration."""

from __future__ import annotations

import copy
import importlib
import itertools
import math
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from palm_opt import checker
from palm_opt.checker import CertificateParseError, InvalidCertificate, check, gibbs

sys.path.insert(0, str(Path(__file__).parents[1] / "certificates"))
make = importlib.import_module("make_conditional")

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


class Refused(Exception):
    """The twin says no."""


def need(condition: bool) -> None:
    if not condition:
        raise Refused


def subject_of(case: Any) -> checker.Answers | checker.Scores:
    if isinstance(case, make.Answers):
        return checker.Answers(case.rewards, case.weights, case.values)
    flat = [row for prompt in case.rows for row in prompt]
    logs = None if case.log_weights is None else [x for prompt in case.log_weights for x in prompt]
    return checker.Scores(case.rewards, [len(prompt) for prompt in case.rows], flat, logs, case.scale)


def twin(document: dict[str, Any], case: Any, margin: Fraction = Fraction(0)) -> None:
    """Refused where any claim fails; with a margin, where it would fail with everything that much worse."""
    d = case.d
    need(document["sha256"] == case.sha256() and document["subject"] == case.subject())
    epsilon, delta = (Fraction(document[key]) for key in ("epsilon", "delta"))
    need(0 <= epsilon < 1 and delta >= 0)
    floor = None
    if isinstance(case, make.Answers):
        eta, gamma = (float(text) for text in document["oracle_error"])
        need(0 <= eta < 1 and gamma >= 0)
        values: list[Any] = case.values
        asked = {j: w for j, w in enumerate(case.weights) if w}
        limits = spare = case.limits(eta, gamma)
        need(bool(asked))
        need(all(make.dot(asked[j], v) <= limits[j] for j in asked for v in values))
        if document["floor"] is not None:
            floor = [Fraction(text) for text in document["floor"]]
            need(all(x >= low for v in values for x, low in zip(v, floor, strict=True)))
    else:
        beta = float(document["beta"])
        need(beta > 0 and document["scale"] == case.scale)
        asked = {j: [float(text) for text in w] for j, w in enumerate(document["weights"])}
        need(all(min(w) >= 0 and any(w) for w in asked.values()))
        exact = [case.evaluate(w, beta) for w in asked.values()]
        limits = {j: (exact[j][0] + margin) * sum(map(make.meant, w)) for j, w in asked.items()}
        spare = {j: (exact[j][0] - margin) * sum(map(make.meant, w)) for j, w in asked.items()}
        values = [[x - margin for x in pair[1]] for pair in exact]
    members = document["members"]
    need(bool(members) and len(set(members)) == len(members) and all(i < len(values) for i in members))
    unit = Fraction(2) ** document["exponent"]
    points = document["points"]
    need(len(points) == len(members))
    for point, i in zip(points, members, strict=True):
        need(all(a * unit <= make.meant(x) for a, x in zip(point, values[i], strict=True)))
    corners = make.all_corners(points)
    need(corners is not None)
    assert corners is not None
    expected = {active: (w, z * unit) for active, w, z in corners}
    listed = [tuple(row[:d]) for row in document["corners"]]
    need(len(set(listed)) == len(listed) and set(listed) == set(expected))
    ceiling = [least_ceiling(k, asked, limits, floor) for k in range(d)]
    for row in document["corners"]:
        w, z = expected[tuple(row[:d])]
        pairs = list(zip(row[d::2], row[d + 1 :: 2], strict=True))
        need(len({j for j, _ in pairs}) == len(pairs) and all(j in asked for j, _ in pairs))
        mu = {j: Fraction(m, document["denominator"]) for j, m in pairs}
        bound = sum((x * limits[j] for j, x in mu.items()), Fraction(0))
        for k in range(d):
            rest = w[k] - sum(x * make.meant(asked[j][k]) for j, x in mu.items())
            if rest:
                end = ceiling[k] if rest > 0 else floor[k] if floor else None
                need(end is not None)
                bound += rest * end
        need((1 - epsilon) * bound - z <= delta - margin)
    if "answered" in document:
        twin_answered(document, d, values, asked, spare, floor, epsilon, delta, unit)


def least_ceiling(k: int, asked: Any, limits: Any, floor: Any) -> Fraction | None:
    found = []
    for j, w in asked.items():
        rest = [i for i in range(len(w)) if i != k and w[i]]
        if w[k] and (floor or not rest):
            found.append((limits[j] - sum(make.meant(w[i]) * floor[i] for i in rest)) / make.meant(w[k]))
    return min(found, default=None)


def twin_answered(
    document: Any, d: int, values: Any, asked: Any, spare: Any, floor: Any, epsilon: Any, delta: Any, unit: Any
) -> None:
    """The number of answered policies: all subsets are tried, y is only asked to be a packing."""
    answered = document["answered"]
    weights, points, y = answered["weights"], answered["points"], [Fraction(text) for text in answered["y"]]
    need(len(weights) == len(points) == len(y))
    need(all(len(w) == d and any(w) for w in weights) and min(y, default=Fraction(0)) >= 0)
    covers = []
    for w, point in zip(weights, points, strict=True):
        exact = [a * unit for a in point]
        need(all(make.dot(asked[j], exact) <= spare[j] for j in asked))
        need(floor is None or all(a >= low for a, low in zip(exact, floor, strict=True)))
        least = (1 - epsilon) * make.dot(w, exact) - delta * sum(w)
        covers.append({i for i, v in enumerate(values) if make.dot(w, v) >= least})
    for i in range(len(values)):
        need(sum((amount for amount, c in zip(y, covers, strict=True) if i in c), Fraction(0)) <= 1)
    need(Fraction(answered["lower_bound"]) <= math.ceil(sum(y, Fraction(0))))


def agree(document: dict[str, Any], case: Any) -> bool:
    """Assert that checker and twin agree, the rounding of the closed form apart; the verdict."""
    closed = isinstance(case, make.Scores)
    try:
        check(document, subject_of(case))
    except CertificateParseError:
        assume(False)
    except InvalidCertificate as error:
        try:
            twin(document, case, Fraction(1, 10**8) if closed else Fraction(0))
        except Refused:
            return False
        raise AssertionError(f"the twin accepts what the checker refuses: {error}") from None
    twin(document, case)
    return True


@st.composite
def answers(draw: st.DrawFn) -> Any:
    """Answers of an oracle over a small hidden pool, best within its stated error, and that pool."""
    d = draw(st.integers(1, 3))
    number = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 0.3, -0.5, 1.5])
    pool = draw(st.lists(st.lists(number, min_size=d, max_size=d), min_size=1, max_size=6))
    eta, gamma = draw(st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.0, 0.125), (0.25, 0.125), (0.1, 0.5)]))
    unit = [[float(i == k) for k in range(d)] for i in range(d)]
    asked = draw(st.sampled_from([unit, unit, unit[1:]]))
    asked = asked + draw(
        st.lists(st.lists(st.integers(0, 4).map(float), min_size=d, max_size=d).filter(any), max_size=4)
    )
    assume(asked)
    weights: list[Any] = []
    values = []
    for w in draw(st.permutations(asked)):
        scores = [make.dot(w, v) for v in pool]
        least = (1 - make.meant(eta)) * max(scores) - make.meant(gamma) * sum(map(make.meant, w))
        assume(max(scores) >= least)
        values.append(draw(st.sampled_from([v for v, score in zip(pool, scores, strict=True) if score >= least])))
        weights.append(w)
    for v in draw(st.lists(st.sampled_from(pool), max_size=2)):
        weights.append(None)
        values.append(v)
    assume(all(make.dot(w, v) >= 0 or eta == 0 for w in asked for v in pool))
    return make.Answers(weights, values), pool, (eta, gamma)


@st.composite
def built(draw: st.DrawFn) -> Any:
    """Answers, their hidden pool and a correct checker."""
    case, pool, error = draw(answers())
    members = draw(st.lists(st.integers(0, len(case.values) - 1), min_size=1, max_size=5, unique=True))
    floor = draw(st.none() | st.just([min(v[k] for v in pool) - 0.25 for k in range(case.d)]))
    epsilon = draw(st.sampled_from([0.0, 0.0, 0.125, 0.5]))
    try:
        document = make.build(case, members, epsilon=epsilon, error=error, floor=floor, exponent=-12)
    except make.Unbounded:
        assume(False)
    assume(float(document["delta"]) >= 0)
    return case, pool, document


@SETTINGS
@given(built())
def test_correct_certificates_hold_for_the_hidden_pool(case_and_more: Any) -> None:
    """Accepted by both; and true of a pool of policies that neither has seen, at every corner of the envelope."""
    case, pool, document = case_and_more
    assert agree(document, case)
    epsilon, delta = (Fraction(document[key]) for key in ("epsilon", "delta"))
    members = [case.values[i] for i in document["members"]]
    rows = [[make.meant(x) for x in v] for v in members]
    for chosen in itertools.combinations(range(case.d + len(rows)), case.d):  # all corners of the envelope
        matrix = [
            [Fraction(int(k == f)) for k in range(case.d)] + [Fraction(0)]
            if f < case.d
            else [-x for x in rows[f - case.d]] + [Fraction(1)]
            for f in chosen
        ]
        solution = make.solve([*matrix, [Fraction(1)] * case.d + [Fraction(0)]], [Fraction(0)] * case.d + [Fraction(1)])
        if solution is not None and min(solution[:-1]) >= 0:
            w = solution[:-1]
            best = max(make.dot(w, v) for v in pool)
            assert (1 - epsilon) * best - max(make.dot(w, v) for v in rows) <= delta


CASES = {
    name: case for name, case in make.correct().items() if name != "answers-octant" and not name.startswith("scores")
}
SCORES = {name: case for name, case in make.correct().items() if name.startswith("scores")}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [path, *(found for key, item in inner for found in places(item, (*path, key)))]


def mutate(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """The document with one value changed, or an entry of a list left out, repeated or moved."""
    mutant = copy.deepcopy(document)
    keys = {"epsilon", "delta", "oracle_error", "floor", "members", "exponent", "points", "denominator", "corners"}
    keys |= {"answered", "beta", "weights"}
    key = draw(st.sampled_from(sorted(keys & set(mutant))))
    path = draw(st.sampled_from([(key, *rest) for rest in places(mutant[key])]))
    place: Any = mutant
    for step in path[:-1]:
        place = place[step]
    old = place[path[-1]]
    if isinstance(old, list) and old:
        at = draw(st.integers(0, len(old) - 1))
        new: Any = draw(st.sampled_from([old[:at] + old[at + 1 :], [*old, old[at]], [*old[at:], *old[:at]]]))
        if key == "corners" and len(path) == 2:
            d = len(document["points"][0])
            new = draw(st.sampled_from([new, old[:d], [*old[:d], *old[d + 2 :]], [*sorted(old[:d]), *old[d:]]]))
    elif isinstance(old, int):
        new = max(-(1 << 60) if key in ("points", "exponent", "answered") else 0, old + draw(
            st.sampled_from([-(1 << 20), -4, -1, 1, 4, 1 << 20, old]))
        )  # fmt: skip
    elif isinstance(old, str) and old.startswith(("0x", "-0x")):
        number = float(old)
        new = repr(draw(st.sampled_from([math.nextafter(number, -1), math.nextafter(number, 9), number / 2, 0.25])))
    elif isinstance(old, str):
        new = draw(st.sampled_from(["0", "1", "1/2", "3", "3/2", "1000001/1000000"]))
    else:
        new = None if old is not None else [repr(-2.0)] * len(document["points"][0])
    place[path[-1]] = new
    return mutant


@settings(SETTINGS, max_examples=500)
@given(st.data())
def test_agrees_with_the_twin_on_mutations(data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        case, document = data.draw(st.sampled_from(sorted(CASES.items())))[1]
    else:
        case, _, document = data.draw(built())
    for _ in range(data.draw(st.integers(1, 2))):
        document = mutate(data.draw, document)
    agree(document, case)


@st.composite
def invented(draw: st.DrawFn) -> Any:
    """Points with many ties, and a list of what may be corners: only the list is in question, delta is large."""
    d = draw(st.integers(1, 3))
    points = draw(st.lists(st.lists(st.integers(0, 3), min_size=d, max_size=d), min_size=1, max_size=4))
    unit = [[float(i == k) for k in range(d)] for i in range(d)]
    case = make.Answers([*unit, *[None] * len(points)], [[9.0] * d] * d + [[float(a) for a in row] for row in points])
    document = make.build(make.Answers(unit, [[9.0] * d] * d), [0], delta=99.0)
    document |= {"sha256": case.sha256(), "subject": case.subject(), "members": list(range(d, d + len(points)))}
    document |= {"points": points, "exponent": 0, "denominator": 1}
    feasible = [facets for facets, slack in make.bases(points) if min(slack) >= 0]
    document["corners"] = [list(facets) for facets in feasible]
    if feasible and draw(st.booleans()):
        document["corners"] = [list(x) for x in draw(st.lists(st.sampled_from(feasible), unique=True))]
    return case, document


@settings(SETTINGS, max_examples=400)
@given(invented())
def test_agrees_with_the_twin_on_lists_of_corners_of_tied_points(case_and_document: Any) -> None:
    case, document = case_and_document
    agree(document, case)


@settings(SETTINGS, max_examples=60)
@given(st.data())
def test_agrees_with_the_twin_on_mutated_plans(data: st.DataObject) -> None:
    case, document = data.draw(st.sampled_from(sorted(SCORES.items())))[1]
    agree(mutate(data.draw, document), case)


@settings(SETTINGS, max_examples=60)
@given(
    st.lists(st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=4), min_size=1, max_size=3),
    st.sampled_from([0.03125, 0.25, 2.0]),
    st.lists(st.integers(0, 9).map(float), min_size=2, max_size=2).filter(any),
    st.booleans(),
)  # fmt: skip
def test_closed_form_is_within_its_margins(rows: Any, beta: float, weight: Any, weighted: bool) -> None:
    """OPT and values against decimal arithmetic with 60 digits, and the gradient is the value vector."""
    logs = [[-3.0 * y for y in range(len(prompt))] for prompt in rows] if weighted else None
    case = make.Scores(rows, logs)
    form = gibbs.Gibbs(subject_of(case), beta)
    total = sum(weight)
    optimum, vector = form.evaluate([x / total for x in weight], True)
    exact, exact_vector = case.evaluate(weight, beta)
    assert abs(Fraction(optimum) - exact) <= form.margin < Fraction(1, 10**9)
    for x, y in zip(vector, exact_vector, strict=True):
        assert abs(Fraction(x) - y) <= Fraction(form.value_margin) < Fraction(1, 10**8)
