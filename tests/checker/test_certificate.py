"""The standalone checker: the files of tests/certificates, its reading of hostile input, its command line."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import importlib.util
import json
import math
import random
import re
import shutil
import subprocess
import sys
from array import array
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from palm_opt import checker
from palm_opt.checker import (
    CertificateParseError,
    InvalidCertificate,
    Problem,
    check,
    parse,
    read_values,
    reading,
    refuse,
    statement,
)

FOLDER = Path(__file__).parents[1] / "certificates"


def load_make() -> Any:
    """tests/certificates/make.py as a module."""
    spec = importlib.util.spec_from_file_location("make_certificates", FOLDER / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load_make()
CASES = make.correct()


def files(kind: str) -> list[Any]:
    """The files of version 2 and of version 1 in one of the three folders."""
    new, old = (sorted(folder.glob("*.json")) for folder in (FOLDER / kind, FOLDER / "v1" / kind))
    return [pytest.param(path, id=path.stem) for path in new] + [
        pytest.param(path, id=f"v1-{path.stem}") for path in old
    ]


def fragment(path: Path) -> str:
    return path.with_suffix(".expect").read_text(encoding="utf-8").rstrip("\n")


def problem_of(pool: Any) -> Problem:
    return Problem(pool.names, pool.rewards, pool.rows, pool.costs, pool.scale)


# The files


@pytest.mark.parametrize("path", files("correct"))
def test_correct(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checker.main([str(path), str(path.with_suffix(".csv"))]) == 0
    out, err = capsys.readouterr()
    document = json.loads(path.read_text(encoding="utf-8"))
    *statement, last = out.splitlines()
    assert err == "" and len(statement) >= 4 and out.isascii()
    assert all(line[0].isupper() and line.endswith(".") for line in statement)
    assert last.startswith(f"VERIFIED kind={document['kind']} members={len(document['members'])} cost=")
    assert last.endswith(f" sha256={document['sha256']}")


@pytest.mark.parametrize("path", files("incorrect"))
def test_incorrect(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checker.main([str(path), str(path.with_suffix(".csv"))]) == 1
    out, err = capsys.readouterr()
    last = out.splitlines()[-1]
    assert err == "" and last.startswith("NOT VERIFIED: ") and fragment(path) in last


@pytest.mark.parametrize("path", files("malformed"))
def test_malformed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checker.main([str(path), str(path.with_suffix(".csv"))]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("NOT CHECKED: ") and fragment(path) in err


def test_files_are_as_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "HERE", tmp_path)
    make.main()
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.*")}
    kept = {
        path.relative_to(FOLDER): path.read_bytes()
        for kind in ("correct", "incorrect", "malformed")
        for path in (FOLDER / kind).iterdir()
    }
    assert made == kept
    assert sum(path.suffix == ".json" and path.parts[0] == "correct" for path in made) >= 30


def test_the_examples_of_the_page_are_these_files() -> None:
    page = (FOLDER.parents[1] / "docs" / "certificate-format.md").read_text(encoding="utf-8")
    blocks = [re.sub("(?m)^    ", "", block) for block in re.findall(r"(?m)(?:^    .*\n)+", page)]
    document = next(json.loads(block) for block in blocks if block.startswith('{"format"'))
    assert document == json.loads((FOLDER / "correct" / "by-hand.json").read_text(encoding="utf-8"))
    assert (FOLDER / "correct" / "by-hand.csv").read_text(encoding="utf-8") in blocks
    hashed = next(block for block in blocks if block.startswith("palm_opt problem 2")).rstrip("\n").encode()
    assert len(hashed) == 143 and hashlib.sha256(hashed).hexdigest() == document["sha256"]
    data = {"b": ['\u00e9"\\/\t\x7f\u2028\U0001f600', None, True], "a": -3}
    assert reading.canonical(data).hex() in page and hashlib.sha256(reading.canonical(data)).hexdigest() in page


# What is proved


def test_bounds_are_the_optimum_of_enumeration() -> None:
    for name in ("fan", "cube", "triangle-branching", "triangle-costs", "pentagon", "pentagon-dominated"):
        pool, document = CASES[name]
        verified = check(document, problem_of(pool))
        assert verified.lower_bound == Fraction(document["lower_bound"]) <= verified.cost, name


def test_verified_line_and_dict() -> None:
    sha256 = "0" * 64
    verified = checker.Verified("exact", 8, Fraction(8), Fraction(7), 0.0, 0.05, sha256)
    line = f"VERIFIED kind=exact members=8 cost=8 lower_bound=7 epsilon=0.0 delta=0.05 sha256={sha256}"
    assert str(verified) == line
    assert verified.as_dict() == {
        "verified": True, "kind": "exact", "members": 8, "cost": 8, "lower_bound": 7,
        "epsilon": 0.0, "delta": 0.05, "sha256": sha256, "statement": [],
    }  # fmt: skip
    other = dataclasses.replace(verified, cost=Fraction(5, 2), lower_bound=Fraction(7, 3))
    assert "cost=2.5 lower_bound=7/3 " in str(other)
    assert dataclasses.replace(verified, lower_bound=math.inf).as_dict()["lower_bound"] == "infinity"
    assert "cost=100/3 " in str(dataclasses.replace(verified, cost=Fraction(100, 3)))
    assert statement.plain(Fraction(10**400)) == 10**400
    assert statement.plain(Fraction(10**400, 3)) == f"{10**400}/3"
    with pytest.raises(dataclasses.FrozenInstanceError):
        verified.members = 1  # type: ignore[misc]


def test_every_leaf_counts() -> None:
    """The tree proves its least leaf, also where that one comes first or last."""
    pool, document = CASES["triangle-branching"]
    nodes = document["branching"]["nodes"]
    leaves = [at for at, node in enumerate(nodes) if node[0] == "packing"]
    assert len(leaves) >= 2
    for at in leaves:
        weaker = copy.deepcopy(document)
        weaker["branching"]["nodes"][at] = ["packing", []]
        with pytest.raises(InvalidCertificate, match=r"lower_bound: 2 is claimed, [01] is proved"):
            check(weaker, problem_of(pool))


def test_rounding_needs_integer_costs_of_the_selectable() -> None:
    rows = [[1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0]]
    for cost, forbidden, proved in ((1, [], True), (0.5, [], False), (0.5, [3], True)):
        pool = make.Pool(rows, costs=[1, 1, 1, cost])
        document = make.build(pool, delta=0.5, forbidden=forbidden, proof=None)
        y = ["1/2", "1/2", "1/2"]
        document |= {"lower_bound": "2", "packing": {"weights": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "y": y}}
        if proved:
            assert check(document, problem_of(pool)).lower_bound == 2
        else:
            with pytest.raises(InvalidCertificate, match=r"1\.5 is proved"):
                check(document, problem_of(pool))


def test_dominator_excuses_only_where_it_is_undecided_and_costs_no_more() -> None:
    """Row 1 is below row 0. Two weights that both cover; y = 1 each where row 0 costs 2."""
    rows = [[1, 1], [0.75, 0.75]]

    def verify(costs: list[float], **changes: Any) -> None:
        pool = make.Pool(rows, costs=costs)
        document = make.build(pool, delta=0.5, proof=None, members=changes.pop("members", [0]))
        document |= {"lower_bound": "2", "packing": {"weights": [[1, 0], [0, 1]], "y": ["1", "1"]}} | changes
        check(document, problem_of(pool))

    verify([2, 2])
    verify([2, 3])
    with pytest.raises(InvalidCertificate, match=r"candidate 1 .* exceed its cost"):
        verify([2, 1])
    with pytest.raises(InvalidCertificate, match=r"candidate 1 .* exceed its cost"):
        verify([1, 1], members=[1], forbidden=["0"], required=[])
    out = {"weights": [[1, 0], [0, 1]], "nodes": [["branch", 0], ["packing", []], ["packing", [[0, "1"], [1, "1"]]]]}
    pool = make.Pool(rows, costs=[2, 1.0])
    document = make.build(pool, delta=0.5, proof=None, members=[0]) | {"lower_bound": "2", "branching": out}
    with pytest.raises(InvalidCertificate, match="leaf 2: the y that candidate 1 "):
        check(document, problem_of(pool))
    out["nodes"][2] = ["packing", [[0, "2"], [1, "2"]]]  # row 0 costs no more, and is out
    pool = make.Pool(rows, costs=[2, 2])
    document = make.build(pool, delta=0.5, proof=None, members=[0]) | {"lower_bound": "2", "branching": out}
    with pytest.raises(InvalidCertificate, match="leaf 2: the y that candidate 1 "):
        check(document, problem_of(pool))


def test_minmax_is_over_all_rows_the_dominated_too() -> None:
    """Without the last row the columns would be half as wide, and delta half as large in their units."""
    pool = make.Pool([[0.5, 1], [1, 0.5], [0, 0]], scale="minmax")
    document = make.build(pool, delta=0.5)
    assert document is not None and document["dominators"][2] >= 0
    assert check(document, problem_of(pool)).members == 1


def test_optimum_ranges_over_forbidden_rows() -> None:
    """Without row 0 the rest would cover everything; it is forbidden as a member and still sets the optimum."""
    pool = make.Pool([[2, 2], [1, 1]])
    document = make.infeasible(pool, 0.0, 0.5, [0], [["uncovered", 0]], [[1, 1]])
    assert check(document, problem_of(pool)).lower_bound == math.inf


def test_tiny_and_huge_numbers_are_exact() -> None:
    """One unit in the last place decides, at both ends of the range of float64."""
    for low, high in ((1e308, math.nextafter(1e308, math.inf)), (5e-324, 1e-323), (1.0, math.nextafter(1.0, 2.0))):
        for rows in ([[low, 1e-300], [high, 1e-300]], [[low, 1e300], [high, 1e300]]):
            pool = make.Pool(rows)
            check(make.build(pool, members=[1], proof=None), problem_of(pool))
            document = make.skeleton(pool, 0.0, 0.0, (), ()) | {
                "members": ["0"], "dominators": [-1, -1], "multipliers": [[0, 0, 1], [1, 0, 1]],
            }  # fmt: skip
            with pytest.raises(InvalidCertificate, match=r"do not serve candidate 1 .* in 'a'"):
                check(document, problem_of(pool))


def test_long_dominator_chain_and_deep_tree_need_no_recursion() -> None:
    n = 5_000
    pool = make.Pool([[float(i)] for i in range(n)], costs=[float(i % 7 + 1) for i in range(n)])
    document = make.skeleton(pool, 0.0, 0.0, (), ())
    document |= {"members": [str(n - 1)], "dominators": [*range(1, n), -1], "multipliers": [[n - 1, 0, 1]]}
    nodes: list[Any] = []
    for i in range(2_000):
        nodes += [["branch", i], ["packing", []]]
    document["branching"] = {"weights": [[1]], "nodes": [*nodes, ["packing", [[0, str((n - 1) % 7 + 1)]]]]}
    assert check(document | {"lower_bound": "1"}, problem_of(pool)).lower_bound == 1
    document["dominators"][-1] = 0
    with pytest.raises(InvalidCertificate, match=r"dominators"):
        check(document, problem_of(pool))


def test_tree_deeper_than_the_cap_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refuse, "MAX_TREE_DEPTH", 0)
    pool, document = CASES["pentagon"]
    with pytest.raises(CertificateParseError, match="deeper than 0"):
        check(document, problem_of(pool))


@pytest.mark.parametrize(
    ("limit", "value", "match"),
    [
        ("MAX_WEIGHTS", 4, "than 4 weights"), ("MAX_PACKED_BYTES", 24, "beyond"), ("MAX_DENOMINATOR_BITS", 0, "denom"),
        ("MAX_WORK", 10_000, "more than 10000 operations"),
    ],
)  # fmt: skip
def test_limits(limit: str, value: int, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refuse, limit, value)
    pool, document = CASES["pentagon"]
    with pytest.raises(CertificateParseError, match=match):
        check(document, problem_of(pool))


def test_size_cap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pool, document = CASES["fan"]
    (tmp_path / "c.json").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "v.csv").write_text(pool.csv(), encoding="utf-8")
    checker.verify_files(tmp_path / "c.json", tmp_path / "v.csv")
    with monkeypatch.context() as patch:
        patch.setattr(refuse, "MAX_VALUES_BYTES", 10)
        with pytest.raises(CertificateParseError, match=r"v\.csv: expected at most 10 bytes"):
            checker.verify_files(tmp_path / "c.json", tmp_path / "v.csv")
    monkeypatch.setattr(refuse, "MAX_BYTES", 10)
    with pytest.raises(CertificateParseError, match=r"c\.json: certificate: expected at most 10 bytes"):
        checker.verify_files(tmp_path / "c.json", tmp_path / "v.csv")


def test_a_leaf_is_exact_beyond_its_fixed_point_pass() -> None:
    """All candidates are first compared at once, to 2^-29: ties and excesses below that are decided exactly."""
    n = 40
    rewards = [f"r{k}" for k in range(n)]
    rows = [[float(i == k) for k in range(n)] for i in range(n)]
    pool = make.Pool(rows, rewards, costs=[float(i % 5 + 1) for i in range(n)])
    document = make.skeleton(pool, 0.0, 0.0, (), ()) | {
        "members": pool.names, "dominators": [-1] * n, "multipliers": [[i, i, 1] for i in range(n)],
    }  # fmt: skip
    unit = [[int(i == k) for k in range(n)] for i in range(n)]
    thirds = [[0, f"{3 * 10**40 - 1}/{3 * 10**40}"], [1, "4/2"], *([k, f"{k % 5 * 3 + 3}/3"] for k in range(2, n))]
    total = sum(i % 5 + 1 for i in range(n))
    document |= {"lower_bound": str(total), "branching": {"weights": unit, "nodes": [["packing", thirds]]}}
    assert check(document, problem_of(pool)).lower_bound == total
    thirds[1] = [1, f"{2 * 10**40 + 1}/{10**40}"]
    with pytest.raises(InvalidCertificate, match="packing: the y that candidate 1 "):
        check(document, problem_of(pool))


# Systematic mutation

WRONG: list[tuple[str, str, list[Any]]] = [  # case, path of the key, values that make a claim false
    ("triangle-branching", "sha256", ["1" * 64]),
    ("triangle-branching", "scale", [["minmax", "none", "none"]]),
    ("triangle-branching", "epsilon", [repr(1.0), repr(-0.25), repr(2.0**-1074 * -1), repr(0.5)]),
    ("triangle-branching", "delta", [repr(0.49999999999999994), repr(-1.0), repr(0.0), repr(1.0)]),
    ("triangle-branching", "members", [["0"], ["1", "0"], ["0", "0"], ["0", "9"], []]),
    ("triangle-branching", "required", [["2"], ["x"], ["0", "1", "2"]]),
    ("triangle-branching", "forbidden", [["0"], ["1"], ["y"]]),
    ("triangle-branching", "lower_bound", ["3", "9/4", "infinity", "200000000000000000001/100000000000000000000"]),
    ("triangle-branching", "dominators", [[], [-1, -1], [1, -1, -1], [-1, 0, -1], [-1, -1, -1, -1], [-1, -1, 3]]),
    ("triangle-branching", "branching.nodes", [[], [["packing", []]], [["uncovered", 0]]]),
    ("triangle-branching", "subject.candidates", [2, 4]),
    ("triangle-branching", "subject.rewards", [["a", "c", "b"], ["a", "b", "d"], ["-a", "b", "c"]]),
    ("triangle-branching", "subject.cost", ["a"]),
    ("rounding", "packing.y", [["1"] * 3, ["1/2"] * 2, ["1/2"] * 4, ["1/2", "1/2", "0"], ["1", "1/2", "-1/2"]]),
    ("rounding", "packing.weights.0", [[0, 0, 0], [0, 1, 0], [1, 0], [1, 0, 0, 0]]),
    ("triangle-costs", "lower_bound", ["1", "4/5", "infinity"]),
    ("infeasible", "lower_bound", ["0", "1"]),
    ("infeasible", "forbidden", [[], ["3"]]),
    ("infeasible", "members", [["4"], ["3"]]),
    ("infeasible", "multipliers", [[[0, 0, 1]]]),
    ("infeasible", "branching.weights", [[], [[1, 1]], [[0, 1]], [[1]]]),
]


@pytest.mark.parametrize(("case", "path", "values"), WRONG, ids=[f"{case}-{path}" for case, path, _ in WRONG])
def test_single_field_mutations_are_refused(case: str, path: str, values: list[Any]) -> None:
    pool, document = CASES[case]
    problem = problem_of(pool)
    check(document, problem)
    *steps, last = path.split(".")
    for value in values:
        mutant = copy.deepcopy(document)
        place: Any = mutant
        for step in steps:
            place = place[step]
        place[int(last) if isinstance(place, list) else last] = value
        with pytest.raises(InvalidCertificate):
            check(mutant, problem)


@pytest.mark.parametrize("case", ["fan-ties", "cube-branching", "wide-exponents", "negated-minmax-names"])
def test_every_multiplier_matters_where_it_is_tight(case: str) -> None:
    """Leave one row of multipliers out, repeat one, or point it at another member: each is refused or still true."""
    pool, document = CASES[case]
    problem, v = problem_of(pool), pool.values()
    index = {name: i for i, name in enumerate(pool.names)}
    members = [index[name] for name in document["members"]]
    epsilon, delta = (Fraction(document[key]) for key in ("epsilon", "delta"))
    refused = 0
    for at, row in enumerate(document["multipliers"]):
        for mutated in ([], [row, row]):
            mutant = document | {"multipliers": [*document["multipliers"]]}
            mutant["multipliers"][at : at + 1] = mutated
            with pytest.raises(InvalidCertificate):
                check(mutant, problem)
        for p, member in enumerate(members):
            mutant = document | {"multipliers": [*document["multipliers"]]}
            mutant["multipliers"][at] = [row[0], p, 3]
            served = all(x >= (1 - epsilon) * y - delta for x, y in zip(v[member], v[row[0]], strict=True))
            if served:
                check(mutant, problem)
            else:
                refused += 1
                with pytest.raises(InvalidCertificate, match="do not serve"):
                    check(mutant, problem)
    assert refused


# Hostile input

JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    10**4001,
    "",
    "x",
    "1/0",
    "1e-5",
    "\ud800",
    [],
    [[]],
    [None],
    {},
]
JUNK += [{"a": 1}, [0, 0, 1], [["branch", 0]], 0.5, math.nan, [True], ["a"], [10**5000], b"x", {1: 2}]


@pytest.mark.parametrize("case", ["fan", "rounding", "ranges", "infeasible", "costs"])
def test_junk_anywhere_raises_only_the_two_errors(case: str) -> None:
    pool, document = CASES[case]
    problem = problem_of(pool)

    def places(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else []
        return [path, *(found for key, item in inner for found in places(item, (*path, key)))]

    for path in places(document, ())[1:]:
        for junk in JUNK:
            mutant = copy.deepcopy(document)
            place: Any = mutant
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = junk
            try:
                check(mutant, problem)
            except (CertificateParseError, InvalidCertificate) as error:
                assert str(error).isprintable() and len(str(error)) < 400


def test_random_bytes_and_truncations() -> None:
    generator = random.Random(0)
    text = json.dumps(CASES["rounding"][1]).encode()
    for _ in range(1_500):
        damaged = bytearray(text[: generator.randrange(len(text))] if generator.random() < 0.3 else text)
        for _ in range(generator.randrange(1, 4)):
            if damaged:
                damaged[generator.randrange(len(damaged))] = generator.choice(b'0[]{}",:\\-eN\xff\x00 ')
        with suppress(CertificateParseError, InvalidCertificate):
            check(parse(bytes(damaged)), problem_of(CASES["rounding"][0]))


def test_nesting_and_quotes_are_scanned_in_linear_time() -> None:
    for text in ("[" * 10**6, '{"a":' * 10**5, '"' + '\\"' * 10**6, "]" * 10**6, '"[[[[[[[[[[[[', '"\\'):
        with pytest.raises(CertificateParseError):
            parse(text)
    name = "[" * 20  # brackets inside of a string nest nothing
    assert parse(CASES["fan"][1] | {"members": [name]})["members"] == [name]
    assert parse(json.dumps(CASES["fan"][1] | {"members": [name + '"\\']}))["members"] == [name + '"\\']


def test_parse_takes_bytes_text_and_dict() -> None:
    document = CASES["fan"][1]
    text = json.dumps(document)
    assert parse(text) == parse(text.encode()) == parse(bytearray(text.encode())) == parse(document) == document
    for source in (None, 3, [document]):
        with pytest.raises(CertificateParseError, match="expected"):
            parse(source)  # type: ignore[arg-type]


# The problem and its file


def test_problem_takes_rows_arrays_and_buffers() -> None:
    rows = [[1.0, -0.0], [2.5, 3.0]]
    flat = array("d", [1.0, 0.0, 2.5, 3.0])
    view = memoryview(flat).cast("B").cast("d", (2, 2))
    hashes = {Problem(["x", "y"], ["a", "b"], values).sha256() for values in (rows, flat, view, [(1, 0), [2.5, 3]])}
    assert hashes == {make.Pool(rows, names=["x", "y"]).sha256()}
    numpy = pytest.importorskip("numpy")
    for values in (numpy.array(rows), numpy.array(rows, order="F"), numpy.array(rows)[:, ::1]):
        assert {Problem(["x", "y"], ["a", "b"], values).sha256()} == hashes


@pytest.mark.parametrize("case", sorted(CASES))
def test_sha256_is_that_of_the_format(case: str) -> None:
    pool, document = CASES[case]
    assert problem_of(pool).sha256() == document["sha256"] == pool.sha256()


def test_sha256_tells_problems_apart() -> None:
    base = {"names": ["x", "y"], "rewards": ["a"], "values": [[1.0], [2.0]], "costs": None, "scale": "none"}
    changes: list[dict[str, Any]] = [
        {}, {"names": ["y", "x"]}, {"rewards": ["-a"]}, {"values": [[2.0], [1.0]]}, {"costs": [1.0, 1.0]},
        {"costs": [1.0, 2.0]}, {"scale": "minmax"}, {"scale": [(0.0, 1.0)]}, {"scale": [(0.0, 2.0)]}, {"scale": "log"},
    ]  # fmt: skip
    assert len({Problem(**(base | change)).sha256() for change in changes}) == len(changes)


@pytest.mark.parametrize(
    "change",
    [
        {"names": []}, {"names": ["x", "x"]}, {"names": ["x", ""]}, {"names": ["x", 1]}, {"names": ["x"]},
        {"rewards": []}, {"values": [[1.0]]}, {"values": [[1.0], [2.0, 3.0]]}, {"values": [[1.0], [math.nan]]},
        {"values": [[1.0], ["2"]]}, {"values": array("d", [1.0])}, {"values": None}, {"values": [[1.0], [10**400]]},
        {"values": [[1.0], [math.inf]]}, {"costs": [1.0]}, {"costs": [1.0, -1.0]}, {"costs": [1.0, math.inf]},
        {"costs": [1.0, math.nan]}, {"costs": [1.0, None]}, {"scale": "zscore"}, {"scale": []},
        {"scale": [(1.0, 1.0)]}, {"scale": [(0.0, math.inf)]}, {"scale": [(1.0,)]}, {"scale": None},
        {"scale": ["none", "none"]}, {"scale": [("a", "b")]}, {"scale": "log", "values": [[1.0], [0.0]]},
    ],
)  # fmt: skip
def test_problem_refuses(change: dict[str, Any]) -> None:
    base = {"names": ["x", "y"], "rewards": ["a"], "values": [[1.0], [2.0]], "costs": None, "scale": "none"}
    with pytest.raises(CertificateParseError, match="problem: "):
        Problem(**(base | change))


def test_read_values(tmp_path: Path) -> None:
    path = tmp_path / "values.csv"
    path.write_bytes('\ufeff"n",a,skip,b,c\r\n"x, y",1e0,?,-.5,2\r\n\r\né, +3. ,,-0.0,0\r\n'.encode())
    subject = {"id": "n", "rewards": ["b", "-a"], "cost": "c", "candidates": 2}
    problem = read_values(path, subject, [["0.0", "1.0"], "none"])
    assert problem.names == ["x, y", "é"] and list(problem.costs) == [2.0, 0.0] and problem.unused == ["skip"]
    assert list(problem.values) == [-0.5, 1.0, -0.0, 3.0]
    assert problem.scale == [["0.0", "1.0"], "none"]
    unnamed = read_values(path, subject | {"id": None, "cost": None}, "none")
    assert unnamed.names == ["0", "1"] and unnamed.costs is None
    path.write_bytes(b"n,a\n\xff,1\n")
    with pytest.raises(CertificateParseError, match="expected UTF-8"):
        read_values(path, {"id": "n", "rewards": ["a"], "cost": None}, "none")
    path.write_text("a\n" + "1" * 5_000 + "\n", encoding="utf-8")
    with pytest.raises(CertificateParseError, match="line 2: column 'a': expected a finite number"):
        read_values(path, {"id": None, "rewards": ["a"], "cost": None}, "none")


# The command


HOSTILE = ["json", "csv", "fractions", "decimal", "re", "hashlib", "pathlib", "array", "dataclasses", "math", "stat"]


def test_runs_alone_beside_and_around_hostile_files(tmp_path: Path) -> None:
    """A copy of the folder, with files named like standard modules beside it, where it is run, and inside of it."""
    folder = tmp_path / "below" / "checker"
    shutil.copytree(Path(checker.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for place in (tmp_path, tmp_path / "below", folder):
        for name in HOSTILE:
            (place / f"{name}.py").write_text("raise SystemExit('hostile')\n")

    def run(flags: str, cwd: Path, *arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, *flags.split(), str(folder.relative_to(cwd))]
        done = subprocess.run([*command, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    for kind, name, code in (
        ("correct", "cube", 0), ("incorrect", "bound-too-high", 1), ("malformed", "float", 2),
        ("correct", "answers-octant", 0), ("correct", "scores-table", 0), ("correct", "samples", 0),
        ("incorrect", "answers-corner-missing", 1), ("malformed", "samples-look-negative", 2),
    ):  # fmt: skip
        base = FOLDER / kind / name
        for flags, cwd in (("-I", tmp_path), ("-I -S", tmp_path / "below")):
            returned, out, err = run(flags, cwd, f"{base}.json", f"{base}.csv")
            assert returned == code and "hostile" not in out + err
            last = (out + err).splitlines()[-1]
            assert last.startswith(("VERIFIED kind=", "NOT VERIFIED: ", "NOT CHECKED: ")[code]) and bool(err) == (
                code == 2
            )
            assert code == 0 or (out + err).count("\n") == 1
    for arguments in ((), ("no such.json", "no such.csv"), (".", "."), ("--help",)):
        returned, out, err = run("-I", tmp_path, *arguments)
        assert returned == 2 and out == "" and err.count("\n") == 1


def test_missing_values_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert checker.main([str(FOLDER / "correct" / "fan.json"), "no\nsuch é.csv"]) == 2
    err = capsys.readouterr().err
    assert "such" in err and err.count("\n") == 1 and err.isascii()


def test_no_dependency_beyond_the_standard_library() -> None:
    for path in sorted(Path(checker.__file__).parent.glob("*.py")):
        names = {
            line.split()[1]
            for line in path.read_text(encoding="utf-8").splitlines()
            if re.match("(import|from) ", line)
        }
        foreign = {name for name in names if name[0] != "." and name.split(".")[0] not in sys.stdlib_module_names}
        assert foreign <= ({"palm_opt.checker"} if path.name == "__main__.py" else set())
        assert path.stem not in sys.stdlib_module_names
