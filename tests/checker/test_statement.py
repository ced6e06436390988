"""What the checker says in plain words, its fast sums beside plain loops, and files that cost too much."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import pytest

import palm_opt as palm
from palm_opt import checker
from palm_opt.checker import CertificateParseError, InvalidCertificate, refuse, size, statement
from palm_opt.report import write_report
from tests.checker.test_certificate import CASES, make, problem_of

FOLDER = Path(__file__).parents[1] / "certificates" / "correct"


def said(name: str) -> list[str]:
    verified = checker.verify_files(FOLDER / f"{name}.json", FOLDER / f"{name}.csv")
    assert verified.as_dict()["statement"] == list(verified.statement)
    return list(verified.statement)


def test_the_whole_statement_of_a_small_proof() -> None:
    assert said("by-hand") == [
        "For every preference (weights of the rewards, at least 0 and with sum 1), the best of the 2 members (left and"
        " right) has at least the weighted value of the best of the 3 candidates of the file, less 0.3.",
        "Rewards: a (higher is better) and b (higher is better).",
        "Scale: a as in the file, delta 0.3; b as in the file, delta 0.3.",
        "Columns of the file that were not used: none.",
        "Required: none. Forbidden: none. Preferences: all.",
        "These members are 2; no portfolio that keeps this promise is smaller.",
    ]


def test_direction_scale_and_delta_in_own_units() -> None:
    lines = said("negated-minmax-names")
    assert "Rewards: a (higher is better) and latency (lower is better)." in lines
    assert "latency from 2 to 10 (its extremes) as 0 to 1, delta 1 of its own" in lines[2]
    assert "log10 of price from 0 to 2 (its extremes) as 0 to 1, delta 0.6 of its own" in said("log")[2]
    assert "a from -1 to 2 (declared) as 0 to 1, delta 0.3 of its own" in said("ranges")[2]


def test_what_is_required_forbidden_and_not_used() -> None:
    lines = said("costs-required-forbidden")
    assert "Required: 3. Forbidden: 2. Preferences: all." in lines
    assert "with the required and without the forbidden candidates" in lines[-1]
    assert "Columns of the file that were not used: skip." in said("csv-forms")
    assert said("fan-no-bound")[-1] == "These members are 3; nothing is proved about how few would do."
    assert "costs at least" in said("costs-packing")[-1] or "costs less" in said("costs-packing")[-1]


def test_that_no_portfolio_exists_and_where() -> None:
    first, second, *_ = said("infeasible")
    assert first.startswith(
        "There is no portfolio with the required and without the forbidden candidates, at any cost."
    )
    assert second == "One such preference: 1/1 a."


@pytest.mark.parametrize("name", ["answers-floor-pruned", "scores-scaled", "samples-clusters"])
def test_what_is_taken_on_trust(name: str) -> None:
    text = " ".join(said(name))
    wanted = {
        "answers-floor-pruned": [
            "Taken on trust: every answer",
            "has at least 0 in safe and -0.25 in helpful",
            "1 are needed",
        ],
        "scores-scaled": ["slow (lower is better)", "0.25 times the KL divergence", "an estimate"],
        "samples-clusters": ["probability at most 0.05", "drawn independently", "fixed without looking"],
    }[name]
    assert all(part in text for part in wanted)


def test_names_stay_on_one_line_of_ascii() -> None:
    pool = make.Pool([[1.0], [0.5]], ["r\u00e9 w=1,2"], names=["a\nb", "x" * 100])
    verified = checker.check(make.build(pool), problem_of(pool))
    assert " rewards=r%C3%A9%20w%3D1%2C2 " in str(verified) and str(verified).isascii()
    assert all(line.isascii() and "\n" not in line for line in verified.statement)


def test_many_names_are_counted() -> None:
    assert statement.listed([str(i) for i in range(12)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    assert statement.listed(["a", "b", "c"]) == "a, b and c" and statement.listed([]) == "none"


def test_a_decimal_that_is_no_float_is_rounded_up() -> None:
    assert statement.float_above("0.1") == 0.1 and statement.float_above("-0") == 0.0
    assert statement.float_above("0.10000000000000000001") == 0.10000000000000002
    assert statement.about(Fraction(1, 3)) == "0.3334" and statement.about(Fraction(-1, 3)) == "-0.3333"


def test_a_hash_that_differs_says_why() -> None:
    pool, document = CASES["by-hand"]
    problem = problem_of(pool)

    def message(rows: list[int], names: list[str] | None = None) -> str:
        other = checker.Problem(
            names or [pool.names[i] for i in rows], pool.rewards, [pool.rows[i] for i in rows], None, "none"
        )
        with pytest.raises(InvalidCertificate, match="sha256") as caught:
            checker.check(document, other)
        return str(caught.value)

    checker.check(document, problem)
    assert "it is about the same rows reversed" in message([2, 1, 0])
    assert "was changed" in message([1, 0, 2])
    assert "members: 'left' is not in the values" in message([0, 1, 2], ["l", "right", "middle"])


def test_sums_of_all_rows_at_once_are_those_of_plain_loops() -> None:
    generator = random.Random(3)
    for _ in range(200):
        n, m = generator.randint(1, 70), generator.randint(1, 8)
        big = generator.choice([1, 7, 2**31, 10**30])
        covers = [generator.getrandbits(n) for _ in range(m)]
        costs = [Fraction(generator.randint(0, 5), generator.choice([1, 3])) for _ in range(n)]
        tree = size.Tree(covers, list(range(n)), costs, False, str, refuse.Work())
        amounts = {j: generator.randint(1, big) for j in range(m)}
        common, undecided = generator.randint(1, big), generator.getrandbits(n)
        assert tree.exceeded(amounts, common, undecided) == tree.exceeded_plainly(amounts, common, undecided)
        columns = [[generator.randint(-big, big) for _ in range(n)] for _ in range(3)]
        factors = [generator.randint(0, big) for _ in range(3)]
        packed = size.Packed(columns, factors, refuse.Work())
        plain = [sum(f * x for f, x in zip(factors, row, strict=True)) for row in zip(*columns, strict=True)]
        scores, least = packed.scores(factors), generator.choice(plain) + generator.randint(-1, 1)
        assert packed.largest(scores) == max(plain)
        assert packed.reach(scores, least) == sum(1 << at for at, score in enumerate(plain) if score >= least)


def test_a_subject_beyond_the_budget_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refuse, "MAX_READING", 5_000)
    pool, document = CASES["fan"]
    (tmp_path / "v.csv").write_text(pool.csv(), encoding="utf-8")
    with pytest.raises(CertificateParseError, match="longer than this checker can take"):
        checker.read_values(tmp_path / "v.csv", document["subject"], document["scale"])


def test_what_a_solve_returns_carries_the_checkers_words(tmp_path: Path) -> None:
    values = palm.ValueMatrix([[1.0, 0.0], [0.0, 1.0], [0.7, 0.3]], rewards=["safe", "fun"])
    found = palm.solve(values, delta=0.1).certificate
    assert found is not None and found.statement == palm.verify(found, values).statement
    assert found.statement[0].startswith("For every preference")
    page = write_report(tmp_path / "r.html", values, palm.solve(values, delta=0.1)).read_text("utf-8")
    assert "In the words of the checker" in page and "safe (higher is better)" in page
    certified = palm.certify(values, ["0", "1"], epsilon=0.0).certificate
    assert certified.statement == palm.verify(certified, values).statement
