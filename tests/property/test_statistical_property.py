"""Kind statistical: the bounds against Fractions and decimals, and their error probability by full enumeration."""

from __future__ import annotations

import copy
import importlib
import itertools
import math
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from palm_opt import checker
from palm_opt.checker import CertificateParseError, InvalidCertificate, check, statistical

sys.path.insert(0, str(Path(__file__).parents[1] / "certificates"))
make = importlib.import_module("make_statistical")

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
CLOSE = Fraction(1, 10**7)
CASES = make.correct()


def subject_of(case: Any) -> checker.Samples:
    prompts = [case.prompts.index(row[0]) for row in case.rows]
    candidates = [case.candidates.index(row[1]) for row in case.rows]
    clusters = None if case.clusters is None else [case.clusters[prompt] for prompt in case.prompts]
    values = [row[2] for row in case.rows]
    return checker.Samples(case.rewards, case.candidates, case.prompts, values, clusters, prompts, candidates)


def agree(document: dict[str, Any], case: Any) -> bool:
    """What is accepted is shown in exact arithmetic; what is refused is not, at a delta that is a little smaller."""
    try:
        check(document, subject_of(case))
    except CertificateParseError:
        assume(False)
    except InvalidCertificate as error:
        if "is not shown" in str(error):
            assert not make.shown(document, case, Fraction(document["delta"]) - CLOSE)
        return False
    assert make.shown(document, case, Fraction(document["delta"]))
    return True


@st.composite
def built(draw: st.DrawFn) -> Any:
    """Samples of random shape, and claims about them."""
    d, n, m = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(3, 14))
    number = st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.9, 1.5, -1.0])
    rows = []
    for x, i in itertools.product(range(m), range(n)):
        count = draw(st.sampled_from([1, 1, 1, 2, 3]))
        rows += [(f"p{x}", f"c{i}", draw(st.lists(number, min_size=d, max_size=d))) for _ in range(count)]
    clusters = {f"p{x}": f"k{draw(st.integers(0, m - 1))}" for x in range(m)} if draw(st.booleans()) else None
    case = make.Samples(rows, clusters)
    members = draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))
    multipliers = []
    for i in range(n):
        places = draw(st.lists(st.integers(0, len(members) - 1), min_size=1, unique=True))
        multipliers.append([i, *itertools.chain.from_iterable((p, draw(st.integers(1, 3))) for p in places)])
    low, high = draw(st.sampled_from([(0.0, 1.0), (-1.0, 1.5), (0.25, 1.0), (-3.0, -0.5)]))
    method = draw(st.sampled_from(["betting", "betting", "bernstein", "hoeffding"]))
    bet = st.lists(st.integers(1, 1023), min_size=d, max_size=d)
    claims = {
        "scale": draw(st.sampled_from(["none", "ranges"])),
        "ranges": [[repr(low), repr(high)]] * d,
        "epsilon": repr(draw(st.sampled_from([0.0, 0.0, 0.25]))),
        "alpha": repr(draw(st.sampled_from([0.05, 0.5, 0.875]))),
        "method": method,
        "bets": draw(st.none() | st.lists(bet, min_size=n, max_size=n)) if method == "betting" else None,
        "simultaneous": draw(st.booleans()),
        "look": draw(st.sampled_from([0, 0, 1, 2])),
        "certification": {"seed": draw(st.integers(0, 9)), "selection": repr(draw(st.sampled_from([0.0, 0.25])))},
    }
    assume(len(case.certifying(claims["certification"])) >= 2)
    return case, make.build(case, members, multipliers, **claims)


@SETTINGS
@given(built())
def test_least_delta_is_accepted_and_less_is_not(case_and_document: Any) -> None:
    case, document = case_and_document
    delta = float(document["delta"])
    assert agree(document, case)
    if delta > 2.0**-18:
        assert not agree(document | {"delta": repr(delta - 2.0**-18)}, case)


@settings(SETTINGS, max_examples=200)
@given(st.data())
def test_agrees_on_mutations(data: st.DataObject) -> None:
    case, document = data.draw(st.sampled_from(sorted(CASES.items())))[1]
    mutant = copy.deepcopy(document)
    key = data.draw(st.sampled_from(["epsilon", "delta", "alpha", "multipliers", "bets", "members", "look", "ranges"]))
    if key in ("epsilon", "delta", "alpha"):
        old = float(mutant[key])
        mutant[key] = repr(data.draw(st.sampled_from([old / 2, old * 1.01, math.nextafter(old, 1), old * 0.999])))
    elif key == "multipliers":
        row = mutant[key][data.draw(st.integers(0, 3))]
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(st.integers(0, 4))
    elif key == "bets" and mutant[key]:
        mutant[key][data.draw(st.integers(0, 3))][data.draw(st.integers(0, 1))] = data.draw(st.integers(1, 1023))
    elif key == "members":
        mutant[key] = data.draw(st.permutations(mutant[key]))
    elif key == "look":
        mutant[key] = data.draw(st.integers(0, 3))
    elif key == "ranges":
        mutant[key][data.draw(st.integers(0, 1))][data.draw(st.integers(0, 1))] = data.draw(
            st.sampled_from([repr(0.0), repr(1.0), repr(-0.5), repr(0.75)])
        )
    if document["method"] == mutant["method"] and agree_or_malformed(mutant, case):
        assert make.shown(mutant, case, Fraction(mutant["delta"]))


def agree_or_malformed(document: dict[str, Any], case: Any) -> bool:
    try:
        return agree(document, case)
    except CertificateParseError:
        return False


def accept(method: str, y: list[float], needed: Fraction, level: Fraction, bets: list[float]) -> bool:
    if method == "betting":
        return statistical._betting(y, needed, level, bets)
    return statistical._METHODS[method](y, needed, level)


@pytest.mark.parametrize("method", ["betting", "one bet", "bernstein", "hoeffding"])
@pytest.mark.parametrize("level", ["1/2", "1/5", "1/20"])
def test_error_probability_by_enumeration(method: str, level: str) -> None:
    """Y in {0, 1/2, 1} with every probability on a grid, all outcomes of n draws: P(accept a mean above the true one)
    is at most the level, for all means that could be accepted."""
    bets = [0.625] if method == "one bet" else statistical._BETS
    name = "betting" if method == "one bet" else method
    worst = Fraction(0)
    for count in (2, 5, 9):
        outcomes = list(itertools.combinations_with_replacement((0.0, 0.5, 1.0), count))
        for a, b in itertools.product(range(5), repeat=2):
            if a + b > 4:
                continue
            chance = {0.0: Fraction(4 - a - b, 4), 0.5: Fraction(a, 4), 1.0: Fraction(b, 4)}
            mean = chance[0.5] / 2 + chance[1.0]
            if not 0 < mean < 1:
                continue
            wrong = Fraction(0)
            for y in outcomes:
                if accept(name, list(y), mean * Fraction(1000001, 1000000), Fraction(level), bets):
                    ways = math.factorial(count)
                    for value in chance:
                        ways //= math.factorial(y.count(value))
                    wrong += ways * math.prod(chance[value] for value in y)
            worst = max(worst, wrong)
            assert wrong <= Fraction(level)
    if method == "betting" and level == "1/2":
        assert worst > 0  # it does accept something


def test_the_capital_falls_as_the_needed_mean_rises() -> None:
    y = [((7 * t) % 11) / 10 for t in range(40)]
    for bets in (statistical._BETS, [0.25], [1023 / 1024]):
        accepted = [statistical._betting(y, Fraction(k, 64), Fraction(1, 20), bets) for k in range(1, 64)]
        assert accepted == sorted(accepted, reverse=True) and any(accepted)


def test_products_neither_overflow_nor_vanish() -> None:
    """Long runs at both ends of float64, against Fractions."""
    for y, needed, expected in (
        ([1.0] * 40_000, Fraction(1, 40_000), True),
        ([1.0] * 200, Fraction(1, 1 << 200), True),
        ([0.0] * 40_000 + [1.0] * 4_000, Fraction(1, 10), False),
        ([0.5] * 10_000, Fraction(1, 2), False),
        ([0.51] * 40_000, Fraction(1, 2), True),
        ([0.0, 1.0] * 5_000, Fraction(49, 100), False),
    ):
        assert statistical._betting(y, needed, Fraction(1, 10**6), statistical._BETS) is expected


def test_samples_in_memory_are_those_of_the_file(tmp_path: Path) -> None:
    """Dense and long form, with and without clusters, hash alike; the reading order of the file is kept."""
    for case, document in CASES.values():
        path = tmp_path / "samples.csv"
        path.write_text(case.csv(), encoding="utf-8")
        assert checker.read_samples(path, document["subject"]).sha256() == document["sha256"]
        assert subject_of(case).sha256() == document["sha256"]
    plain, document = CASES["samples"]
    numpy = pytest.importorskip("numpy")
    values = numpy.array([row[2] for row in plain.rows])
    dense = checker.Samples(plain.rewards, plain.candidates, plain.prompts, values)
    assert dense.sha256() == document["sha256"] and check(document, dense).members == 3
