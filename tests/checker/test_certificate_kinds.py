"""The kinds conditional and statistical: subjects in memory and as files, hostile input, the command, single claims."""

from __future__ import annotations

import copy
import importlib
import json
import math
import random
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import palm_opt as palm
from palm_opt import checker
from palm_opt.checker import (
    Answers,
    CertificateParseError,
    InvalidCertificate,
    Samples,
    Scores,
    check,
    parse,
    refuse,
    statistical,
)

FOLDER = Path(__file__).parents[1] / "certificates"
sys.path.insert(0, str(FOLDER))
make_conditional, make_statistical = (
    importlib.import_module(f"make_{name}") for name in ("conditional", "statistical")
)

CASES = make_conditional.correct() | make_statistical.correct()


def subject_of(name: str) -> checker.Subject:
    return checker.read_subject(FOLDER / "correct" / f"{name}.csv", parse(CASES[name][1]))


# What is proved


def test_last_lines() -> None:
    """The whole line of each kind: what was proved, and on what it is conditional."""
    lines = {name: str(check(CASES[name][1], subject_of(name))) for name in CASES}
    hashes = {name: case[1]["sha256"] for name, case in CASES.items()}
    delta = {name: float(case[1]["delta"]) for name, case in CASES.items()}
    name = "answers-arc-pruned"
    assert lines[name] == (
        "VERIFIED kind=conditional members=2 cost=2 lower_bound=0 epsilon=0.0 delta=0.25 rewards=safe,helpful"
        " scale=none reference=oracle"
        f" oracle_error=0.0,0.0 floor=none answers=6 answered_lower_bound=2 sha256={hashes[name]}"
    )
    assert " floor=0.0,-0.25 answers=4 " in lines["answers-floor"]
    name = "scores-table"
    assert lines[name] == (
        f"VERIFIED kind=conditional members=3 cost=3 lower_bound=0 epsilon=0.0 delta={delta[name]} rewards=safe,helpful"
        f" scale=none reference=gibbs"
        f" beta=0.1 prompts=4 planned=5 sha256={hashes[name]}"
    )
    name = "samples-clusters"
    assert lines[name] == (
        f"VERIFIED kind=statistical members=3 cost=3 lower_bound=0 epsilon=0.0625 delta={delta[name]}"
        f" rewards=safe,helpful scale=none alpha=0.05"
        f" method=betting simultaneous=false look=0 clusters=8 prompts=16 clipped=12 reference=pool"
        f" sha256={hashes[name]}"
    )
    details = check(CASES["answers-floor"][1], subject_of("answers-floor")).as_dict()
    assert details["floor"] == [0.0, -0.25] and details["reference"] == "oracle" and details["verified"] is True
    json.dumps(details)


def test_a_tie_is_decided_exactly() -> None:
    """Regret 0 at delta 0 is proved; one unit in the last place of a value more is not."""
    weights, values = [[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.75], [0.5, 0.75]]
    base = make_conditional.build(make_conditional.Answers(weights, values), [0], delta=0.0)
    corners = [[0, 2, 1, 1 << 50], [1, 2, 0, 1 << 50]]
    document = base | {"points": [[1 << 29, 3 << 28]], "corners": corners}
    assert check(document, Answers(["safe", "helpful"], weights, values)).delta == 0
    values[1] = [0.5, math.nextafter(0.75, 1)]
    other = make_conditional.Answers(weights, values)
    with pytest.raises(InvalidCertificate, match=r"corners\[0\]: regret up to 1e-16, delta is 0"):
        check(document | {"sha256": other.sha256()}, Answers(["safe", "helpful"], weights, values))


def test_degenerate_envelopes_are_refused() -> None:
    """Three members through one corner: no choice of two of them is accepted, however large delta is."""
    weights, values = (
        [[1.0, 0.0], [0.0, 1.0], None, None, None],
        [[9.0, 9.0]] * 2 + [[3.0, 0.0], [2.0, 1.0], [1.0, 2.0]],
    )
    case = make_conditional.Answers(weights, values)
    answers = Answers(case.rewards, case.weights, case.values)
    document = make_conditional.build(make_conditional.Answers(weights[:2], values[:2]), [0], delta=99.0)
    document |= {"sha256": case.sha256(), "subject": case.subject(), "members": [2, 3, 4], "exponent": 0}
    for inner in ([2, 3], [3, 4], [2, 4]):
        corners = [[1, 2], inner, [0, 4]]
        for middle, proved in (([2, 1], False), ([1, 1], inner == [2, 4])):
            mutant = document | {"points": [[3, 0], middle, [1, 2]], "denominator": 1, "corners": corners}
            if proved:
                check(mutant, answers)
            else:
                with pytest.raises(InvalidCertificate, match="corners"):
                    check(mutant, answers)


def test_a_corner_where_a_weight_vanishes_has_its_facet() -> None:
    """Two members that tie at w = (0, 1): they meet there, but so does w_0 = 0, a third facet."""
    weights, values = [[1.0, 0.0], [0.0, 1.0], None, None], [[9.0, 9.0]] * 2 + [[3.0, 1.0], [0.0, 1.0]]
    case = make_conditional.Answers(weights, values)
    document = make_conditional.build(make_conditional.Answers(weights[:2], values[:2]), [0], delta=99.0)
    document |= {"sha256": case.sha256(), "subject": case.subject(), "members": [2, 3], "exponent": 0}
    document |= {"points": [[3, 1], [0, 1]], "denominator": 1, "corners": [[1, 2], [2, 3]]}
    with pytest.raises(InvalidCertificate, match=r"corners\[1\]: its weight is not above 0"):
        check(document, Answers(case.rewards, weights, values))


def test_a_mixed_question_bounds_one_reward_only_with_a_floor() -> None:
    """(3, -1) for the weight (1, 1) does not bound reward 0 by 2; with values >= -1 it bounds it by 3."""
    case = make_conditional.Answers([[1.0, 1.0], [0.0, 1.0]], [[3.0, -1.0], [0.0, -1.0]])
    subject = Answers(case.rewards, case.weights, case.values)
    document = make_conditional.build(make_conditional.Answers([[1.0, 0.0], [0.0, 1.0]], case.values), [0], delta=0.0)
    document |= {"sha256": case.sha256(), "subject": case.subject(), "exponent": 0, "denominator": 1}
    document |= {"points": [[3, -1]], "corners": [[0, 2, 1, 1], [1, 2]]}
    with pytest.raises(InvalidCertificate, match=r"corners\[1\]: .* above a question about it alone"):
        check(document, subject)
    assert check(document | {"floor": [repr(-5.0), repr(-1.0)]}, subject).delta == 0
    with pytest.raises(InvalidCertificate, match=r"corners\[1\]: regret up to 1, "):
        check(document | {"floor": [repr(-5.0), repr(-2.0)]}, subject)


def test_without_a_question_nothing_is_bounded() -> None:
    case = make_conditional.Answers([[1.0], None], [[1.0], [1.0]])
    document = make_conditional.build(case, [0])
    alone = make_conditional.Answers([None, None], [[1.0], [1.0]])
    with pytest.raises(InvalidCertificate, match="nothing bounds the optimum"):
        check(document | {"sha256": alone.sha256()}, Answers(["safe"], [None, None], [[1.0], [1.0]]))


def test_answered_bound_by_branching() -> None:
    """Three weights, each pair shared by one answer: a packing proves 3/2, rounded up to 2; so does a tree."""
    weights = [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], None, None, None]
    values = [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [1.0, 1, 0], [0, 1.0, 1], [1.0, 0, 1]]
    case = make_conditional.Answers(weights, values)
    document = make_conditional.build(case, [3, 4], delta=1.5)
    unit = 1 << 30
    answered: dict[str, Any] = {"weights": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "points": [[unit] * 3] * 3}
    document |= {"delta": repr(0.75), "epsilon": repr(0.0)}
    subject = Answers(case.rewards, weights, values)
    proofs: list[dict[str, Any]] = [{"y": ["1/2"] * 3}]
    proofs.append({"nodes": [["branch", 3], ["packing", [[2, "1"]]], ["packing", [[0, "1"], [1, "1"]]]]})
    for proof in proofs:
        accepted = document | {"answered": answered | proof | {"lower_bound": "2"}}
        assert check(accepted, subject).details["answered_lower_bound"] == 2
        with pytest.raises(InvalidCertificate, match="2 is proved"):
            check(document | {"answered": answered | proof | {"lower_bound": "3"}}, subject)
    with pytest.raises(InvalidCertificate, match="answer 6 does not exist"):
        nodes = [["branch", 6], ["packing", []], ["packing", []]]
        check(document | {"answered": answered | {"nodes": nodes, "lower_bound": "0"}}, subject)


def test_free_pairs_need_no_data() -> None:
    """A member that serves itself with rewards >= 0 is served surely; with negative rewards and epsilon it is not."""
    rows = [(f"p{x}", "a", [0.5]) for x in range(4)]
    samples = make_statistical.Samples(rows)
    rule = {"seed": 0, "selection": repr(0.0)}
    for low, epsilon, proved in ((0.0, 0.25, 0.0), (-1.0, 0.25, 0.25), (-1.0, 0.03125, 0.03125)):
        ranges = [[repr(low), repr(1.0)]]
        claims = {"epsilon": repr(epsilon), "ranges": ranges, "certification": rule, "delta": repr(proved)}
        document = make_statistical.build(samples, [0], [[0, 0, 1]], **claims) | {"delta": repr(proved)}
        subject = Samples(["safe"], ["a"], [f"p{x}" for x in range(4)], [[0.5]] * 4)
        assert check(document, subject).delta == proved
        if proved:
            with pytest.raises(InvalidCertificate, match="is not shown"):
                check(document | {"delta": repr(proved / 2)}, subject)


# Subjects


def test_subjects_in_memory_are_those_of_the_files() -> None:
    for name, (case, document) in CASES.items():
        assert subject_of(name).sha256() == document["sha256"] == case.sha256(), name
    case = CASES["answers-octant-free"][0]
    weights = np.array([w or [0.0] * 3 for w in case.weights])
    values = np.array(case.values)
    for form in (Answers(case.rewards, case.weights, case.values), Answers(case.rewards, weights, values),
                 Answers(case.rewards, np.asfortranarray(weights), np.asfortranarray(values))):  # fmt: skip
        assert form.sha256() == case.sha256()
    table = CASES["scores-log-weights"][0]
    flat = np.array([row for prompt in table.rows for row in prompt])
    logs = np.array([x for prompt in table.log_weights for x in prompt])
    counts = np.array([len(prompt) for prompt in table.rows])
    assert Scores(table.rewards, counts, flat, logs).sha256() == table.sha256()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Answers([], [], []), lambda: Answers(["a", "a"], [[1, 0]], [[1, 0]]), lambda: Answers(["a"], [], []),
        lambda: Answers(["a"], [[-1.0]], [[1.0]]), lambda: Answers(["a"], [[1.0]], [[math.nan]]),
        lambda: Answers(["a"], [[1.0], [1.0]], [[1.0]]), lambda: Answers(["a"], [["x"]], [[1.0]]),
        lambda: Answers(["a"], None, [[1.0]]), lambda: Answers(["a"], [[1.0]], 3), lambda: Answers(["a"], [[1]], [1.0]),
        lambda: Scores(["a"], [], []), lambda: Scores(["a"], [0], []), lambda: Scores(["a"], [2], [[1.0]]),
        lambda: Scores(["a"], [-1], [[1.0]]), lambda: Scores(["a"], [1], [[1.0]], [1.0, 2.0]),
        lambda: Scores(["a"], [1], [[1.0]], ["x"]), lambda: Scores(["a"], [1], [[1.0]], None, "minmax"),
        lambda: Scores(["a"], [1], [[1.0]], None, [(1.0, 0.0)]), lambda: Scores(["a"], [1], [[1.0]], None, [1.0]),
        lambda: Samples(["a"], ["m"], ["p"], [[1.0], [1.0]]), lambda: Samples(["a"], ["m"], ["p"], [[1.0]], ["k", "l"]),
        lambda: Samples(["a"], ["m", "n"], ["p"], [[1.0]], None, [0], [0]),
        lambda: Samples(["a"], ["m", "n"], ["p"], [[1.0], [2.0]], None, [0, 0], [1, 0]),
        lambda: Samples(["a"], ["m"], ["p"], [[1.0]], None, [0]), lambda: Samples(["a"], ["m", "m"], ["p"], [[1.0]]),
        lambda: Samples(["a"], ["m"], ["p"], [[1.0]], None, [0], [-1]),
        lambda: Samples(["a"], ["m"], ["p"], [[1.0]], None, [0, 0], [0]),
    ],
)  # fmt: skip
def test_subjects_refuse(make: Any) -> None:
    with pytest.raises(CertificateParseError, match=r"(answers|scores|samples)"):
        make()


def test_a_certificate_is_about_its_own_kind_of_subject() -> None:
    values = checker.Problem(["a"], ["r"], [[1.0]])
    subjects: list[Any] = [values, subject_of("answers-arc"), subject_of("scores-table"), subject_of("samples")]
    for at, name in enumerate(("answers-arc", "scores-table", "samples")):
        for other, subject in enumerate(subjects):
            if other != at + 1:
                with pytest.raises(CertificateParseError, match="the certificate is about"):
                    check(CASES[name][1], subject)


def test_public_verify_takes_every_form(tmp_path: Path) -> None:
    for name in ("answers-arc", "scores-scaled", "samples-bets"):
        document, file = CASES[name][1], FOLDER / "correct" / f"{name}.csv"
        path = tmp_path / "c.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        lines = {str(palm.verify(form, file)) for form in (document, json.dumps(document).encode(), path, str(path))}
        lines.add(str(palm.verify(document, subject_of(name))))
        assert len(lines) == 1
        message = "checked against a CSV" if "answers" in name else "no such file"
        with pytest.raises((palm.errors.ProblemError, OSError), match=message):
            palm.verify(document, tmp_path / "scores.npz")


# Hostile input

JUNK: list[Any] = [None, True, 0, -1, 1, 10**4001, 1 << 70, "", "x", "1/0", repr(1.0), repr(-1e308), repr(5e-324)]
JUNK += ["\ud800", [], [[]], [None], {}, {"a": 1}, [0, 1, 2, 3], 0.5, math.nan, [True], ["a"], b"x", {1: 2}]


@pytest.mark.parametrize("name", ["answers-arc-pruned", "answers-floor", "scores-scaled", "samples-bets", "samples"])
def test_junk_anywhere_raises_only_the_two_errors(name: str) -> None:
    document, subject = CASES[name][1], subject_of(name)

    def places(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else []
        return [path, *(found for key, item in inner for found in places(item, (*path, key)))]

    for path in places(document, ())[1:]:
        for junk in JUNK:
            mutant = copy.deepcopy(document)
            place: Any = mutant
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = junk
            try:
                check(mutant, subject)
            except (CertificateParseError, InvalidCertificate) as error:
                assert str(error).isprintable() and len(str(error)) < 400


@pytest.mark.parametrize("name", ["answers-arc-pruned", "scores-table", "samples-clusters"])
def test_random_bytes_and_truncations(name: str) -> None:
    generator = random.Random(1)
    subject = subject_of(name)
    text = json.dumps(CASES[name][1]).encode()
    for _ in range(400):
        damaged = bytearray(text[: generator.randrange(len(text))] if generator.random() < 0.3 else text)
        for _ in range(generator.randrange(1, 4)):
            if damaged:
                damaged[generator.randrange(len(damaged))] = generator.choice(b'0[]{}",:\\-eN\xff\x00 ')
        with suppress(CertificateParseError, InvalidCertificate):
            check(parse(bytes(damaged)), subject)


def test_numbers_at_the_ends_are_exact_and_bounded() -> None:
    """Values of 1e308 and 5e-324 side by side, exponents and integers at their limits."""
    weights, values = [[1.0, 0.0], [0.0, 1.0]], [[1e308, 5e-324], [5e-324, 1e308]]
    case = make_conditional.Answers(weights, values)
    document = make_conditional.build(case, [0, 1], exponent=990, delta=6e307)
    subject = Answers(case.rewards, weights, values)
    assert check(document, subject).members == 2
    for exponent in (4_000, -4_000):
        for a in (10**3_999, -(10**3_999), 0):
            mutant = document | {"exponent": exponent, "points": [[a, a], [a, -a]]}
            with pytest.raises(InvalidCertificate):
                check(mutant, subject)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refuse, "MAX_PACKED_BYTES", 8)
    with pytest.raises(CertificateParseError, match="beyond this checker"):
        check(CASES["answers-arc"][1], subject_of("answers-arc"))
    monkeypatch.setattr(refuse, "MAX_WEIGHTS", 3)
    with pytest.raises(CertificateParseError, match="more than 3 are beyond"):
        check(CASES["scores-table"][1], subject_of("scores-table"))


def test_many_corners_and_no_recursion() -> None:
    """Two thousand members on a parabola: a corner between each two neighbours; one left out is noticed."""
    m = 2_000
    values = [[float(i * (2 * m - i)), float((m - i) * (m + i))] for i in range(m + 1)]
    weights: list[Any] = [[1.0, 0.0], [0.0, 1.0], *[None] * (m - 1)]
    order = [m, 0, *range(1, m)]
    case = make_conditional.Answers(weights, [values[i] for i in order])
    place = {i: p for p, i in enumerate(order)}
    corners = [sorted((2 + place[i], 2 + place[i + 1])) for i in range(m)] + [[0, 2 + place[0]], [1, 2 + place[m]]]
    small = make_conditional.build(make_conditional.Answers(weights[:2], values[:2]), [0], delta=1e9)
    document = small | {"sha256": case.sha256(), "subject": case.subject(), "members": list(range(m + 1))}
    document |= {"points": [[int(a) for a in row] for row in case.values], "exponent": 0, "corners": corners}
    subject = Answers(case.rewards, weights, case.values)
    assert check(document, subject).members == m + 1
    for at in (0, m // 2, m - 1):
        with pytest.raises(InvalidCertificate, match="one end only"):
            check(document | {"corners": corners[:at] + corners[at + 1 :]}, subject)


def test_betting_needs_no_logarithm_of_its_level() -> None:
    """A level below the smallest float is still exact."""
    level = Fraction(1, 10**400)
    y = [1.0] * 3_000
    assert statistical._betting(y, Fraction(1, 2), level, statistical._BETS)
    assert not statistical._betting(y[:1_000], Fraction(1, 2), level, statistical._BETS)
    assert statistical._hoeffding(y, Fraction(1, 2), level) and not statistical._hoeffding(
        y[:900], Fraction(1, 2), level
    )
