"""Incorrect and malformed certificates of the kinds conditional and statistical for make.py."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

Cases = dict[str, tuple[Any, dict[str, Any]]]


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one value replaced or added; a callable is given the old one."""
    document = copy.deepcopy(document)
    *steps, last = path.split(".")
    place: Any = document
    for step in steps:
        place = place[int(step) if isinstance(place, list) else step]
    key: Any = int(last) if isinstance(place, list) else last
    place[key] = value(copy.deepcopy(place[key])) if callable(value) else value
    return document


def raised(points: list[list[int]]) -> list[list[int]]:
    return [[a + (1 << 8) for a in points[0]], *points[1:]]


def halved(row: list[int]) -> list[int]:
    """A corner of two facets whose multipliers are halved."""
    return [*row[:2], *(x // 2 if at % 2 else x for at, x in enumerate(row[2:]))]


Table = list[tuple[str, str, str, Any, str]]


def answers_table(cases: Cases) -> Table:
    arc = cases["answers-arc"][1]
    corners = arc["corners"]
    inner = next(row for row in corners if row[0] >= 2)
    delta = cases["answers-arc"][1]["delta"]
    return [
        ("answers-sha256", "answers-arc", "sha256", "0" * 64, "sha256"),
        ("answers-count", "answers-arc", "subject.answers", 7, "subject.answers"),
        ("answers-epsilon-one", "answers-arc", "epsilon", repr(1.0), "epsilon"),
        ("answers-delta-negative", "answers-arc", "delta", repr(-0.5), "delta"),
        ("answers-delta-less", "answers-arc", "delta", repr(float(delta) - 2e-6), "regret up to"),
        ("answers-delta-zero", "answers-arc", "delta", repr(0.0), "regret up to"),
        ("answers-members-empty", "answers-arc", "members", [], "members"),
        ("answers-member-repeated", "answers-arc", "members", [0, 2, 2, 5], "members"),
        ("answers-member-beyond", "answers-arc", "members", [0, 2, 3, 6], "members"),
        ("answers-other-member", "answers-arc", "members", [0, 1, 3, 5], "points[1]: it is not below"),
        ("answers-eta-one", "answers-arc", "oracle_error", [repr(1.0), repr(0.0)], "oracle_error"),
        ("answers-gamma-negative", "answers-arc", "oracle_error", [repr(0.0), repr(-0.1)], "oracle_error"),
        (
            "answers-error-refuted",
            "answers-oracle-error",
            "oracle_error",
            [repr(0.0)] * 2,
            "better for the weight of answer 1",
        ),
        ("answers-error-larger", "answers-arc", "oracle_error", [repr(0.0), repr(0.01)], "regret up to"),
        ("answers-floor-refuted", "answers-arc", "floor", [repr(0.5)] * 2, "floor: answer"),
        ("answers-floor-missing", "answers-floor", "floor", None, "corners[0]: the rest of the weight"),
        ("answers-floor-lower", "answers-floor", "floor", [repr(-1.0)] * 2, "regret up to"),
        ("answers-points-short", "answers-arc", "points", lambda x: x[:-1], "points: expected 4, got 3"),
        ("answers-points-above", "answers-arc", "points", raised, "points[0]: it is not below"),
        ("answers-points-larger-unit", "answers-arc", "exponent", -29, "points[0]: it is not below"),
        ("answers-points-smaller-unit", "answers-arc", "exponent", -31, "regret up to"),
        ("answers-corners-empty", "answers-arc", "corners", [], "the list is empty"),
        ("answers-corner-missing", "answers-arc", "corners", lambda x: x[1:], "a corner is missing"),
        ("answers-corner-missing-inside", "answers-arc", "corners", [x for x in corners if x != inner], "one end only"),
        ("answers-corner-twice", "answers-arc", "corners", lambda x: [*x, x[0]], "expected another set"),
        ("answers-corner-below", "answers-arc", "corners.0", lambda x: [0, 3, *x[2:]], "is not below it"),
        ("answers-corner-outside", "answers-arc", "corners.2", lambda x: [0, 1, *x[2:]], "the last of a member"),
        ("answers-corner-beyond", "answers-arc", "corners.2", lambda x: [0, 6, *x[2:]], "the last of a member"),
        ("answers-corner-unsorted", "answers-arc", "corners.2", lambda x: [x[1], x[0], *x[2:]], "ascending"),
        ("answers-corner-repeated-facet", "answers-arc", "corners.2", lambda x: [x[1], x[1], *x[2:]], "ascending"),
        ("answers-bound-missing", "answers-arc", "corners.2", lambda x: x[:2], "regret up to"),
        ("answers-bound-halved", "answers-arc", "corners.2", halved, "regret up to"),
        ("answers-bound-too-much", "answers-arc", "denominator", 1 << 49, "below 0, and there is no floor"),
        ("answers-bound-beyond", "answers-arc", "corners.0", lambda x: [*x, 6, 1], "answer 6 is not"),
        ("answers-bound-repeated", "answers-arc", "corners.0", lambda x: [*x, x[2], 1], "an answer is repeated"),
        ("answers-bound-not-asked", "answers-octant-free", "corners.0", lambda x: [*x, 9, 1], "answer 9 is not"),
        ("answers-pruned-bound", "answers-arc-pruned", "answered.lower_bound", "5/2", "2 is proved"),
        ("answers-pruned-y", "answers-arc-pruned", "answered.y", ["1", "3/2"], "exceed its cost"),
        ("answers-pruned-weight-scaled", "answers-arc-pruned", "delta", repr(1.0), "exceed its cost"),
        ("answers-pruned-floor", "answers-floor-pruned", "answered.points", [[0, -(1 << 29)]], "it is below the floor"),
        ("answers-pruned-short", "answers-arc-pruned", "answered.y", ["1"], "2 weights and 1 y"),
        ("answers-pruned-points", "answers-arc-pruned", "answered.points", lambda x: x[1:], "2 weights and 1 points"),
        ("answers-pruned-point-impossible", "answers-arc-pruned", "answered.points", raised, "rules it out"),
        ("answers-pruned-point-low", "answers-arc-pruned", "answered.points", [[0, 0], [0, 0]], "exceed its cost"),
        ("answers-pruned-weight", "answers-arc-pruned", "answered.weights.0", [0, 0], "is all 0"),
        ("answers-pruned-weight-near", "answers-arc-pruned", "answered.weights.0", [1, 20], "exceed its cost"),
    ]


def scores_table(cases: Cases) -> Table:
    delta = cases["scores-table"][1]["delta"]
    return [
        ("scores-sha256", "scores-table", "sha256", "0" * 64, "sha256"),
        ("scores-beta", "scores-table", "beta", repr(0.2), "points"),
        ("scores-beta-smaller", "scores-table", "beta", repr(0.05), "regret up to"),
        ("scores-beta-zero", "scores-table", "beta", repr(0.0), "beta"),
        ("scores-delta-less", "scores-table", "delta", repr(float(delta) - 2e-6), "regret up to"),
        ("scores-weight-negative", "scores-table", "weights.3.0", repr(-0.1), "weights: weight 3"),
        ("scores-weight-zero", "scores-table", "weights.3", [repr(0.0)] * 2, "weights: weight 3"),
        ("scores-weight-other", "scores-table", "weights.2", [repr(0.25), repr(0.75)], "points[2]"),
        ("scores-weight-missing", "scores-table", "weights", lambda x: x[:2], "members"),
        ("scores-pruned-point-impossible", "scores-pruned", "answered.points", raised, "rules it out"),
        ("scores-pruned-bound", "scores-pruned", "answered.lower_bound", "3", "2 is proved"),
        ("scores-points-above", "scores-table", "points", raised, "points[0]: it is not below"),
        ("scores-scale", "scores-scaled", "scale", ["none", "none"], "sha256"),
        ("scores-log-weight", "scores-log-weights", "subject.log_weight", None, "sha256"),
        ("scores-corner-missing", "scores-table", "corners", lambda x: x[1:], "a corner is missing"),
    ]


def samples_table(cases: Cases) -> Table:
    def lower(name: str) -> str:
        return repr(float(cases[name][1]["delta"]) - 2.0**-18)

    table: Table = [
        (f"{name}-delta-less", name, "delta", lower(name), "delta is not shown for candidate")
        for name in cases
        if name.startswith("samples")
    ]
    tight = "samples-simultaneous"
    return [
        *table,
        ("samples-sha256", "samples", "sha256", "0" * 64, "sha256"),
        ("samples-rows", "samples", "subject.rows", 239, "subject.rows"),
        ("samples-epsilon-negative", "samples", "epsilon", repr(-0.5), "epsilon"),
        ("samples-alpha-zero", "samples", "alpha", repr(0.0), "alpha"),
        ("samples-alpha-one", "samples", "alpha", repr(1.0), "alpha"),
        ("samples-alpha-less", "samples", "alpha", repr(0.04), "is not shown"),
        ("samples-look-later", "samples", "look", 1, "is not shown"),
        ("samples-look-third", tight, "look", 3, "is not shown"),
        ("samples-method", "samples", "method", "hoeffding", "is not shown"),
        ("samples-all-at-once", "samples", "simultaneous", True, "is not shown"),
        ("samples-member-unknown", "samples", "members", ["a", "b", "x"], "members: 'x' is not in the file"),
        ("samples-member-repeated", "samples", "members", ["a", "b", "b"], "distinct names"),
        ("samples-members-empty", "samples", "members", [], "distinct names"),
        ("samples-members-swapped", "samples", "members", ["b", "a", "c"], "is not shown"),
        ("samples-multipliers-missing", "samples", "multipliers", lambda x: x[:-1], "candidate 3 ('d') has none"),
        ("samples-multipliers-twice", "samples", "multipliers", lambda x: [*x, x[0]], "expected another candidate"),
        ("samples-multipliers-beyond", "samples", "multipliers.3", [4, 0, 1], "expected another candidate"),
        ("samples-multipliers-position", "samples", "multipliers.3", [3, 3, 1], "distinct positions below 3"),
        ("samples-multipliers-other", "samples", "multipliers.3", [3, 0, 1], "is not shown"),
        ("samples-bets-short", "samples-bets", "bets", lambda x: x[1:], "bets: expected 4 rows"),
        ("samples-bets-other", "samples-bets", "bets", [[1, 1]] * 4, "is not shown"),
        ("samples-cluster-unknown", "samples-clusters", "certification.clusters.0", "topic x", "'topic x' is not"),
        ("samples-cluster-twice", "samples-clusters", "certification.clusters.0", "topic 2", "is repeated"),
        ("samples-one-cluster", "samples-clusters", "certification.clusters", ["topic 2"], "at least two clusters"),
        ("samples-selection-all", "samples", "certification.selection", repr(1.0), "certification"),
        ("samples-hole", "samples-holes-in-selection", "certification.selection", repr(0.0), "has no generation"),
        ("samples-wide", "samples", "ranges.0", [repr(-1e308), repr(1e308)], "is not shown"),
    ]


def incorrect(cases: Cases) -> Iterator[tuple[str, Any, dict[str, Any], str]]:
    """Name, subject, certificate and fragment of the message."""
    for name, base, path, value, fragment in [*answers_table(cases), *scores_table(cases), *samples_table(cases)]:
        subject, document = cases[base]
        yield name, subject, changed(document, path, value), fragment


MALFORMED: list[tuple[str, str, str, Any, str]] = [
    ("answers-type", "answers-arc", "subject.type", "pool", "subject.type"),
    ("answers-type-samples", "answers-arc", "subject.type", "samples", "subject.type"),
    ("answers-kind-exact", "answers-arc", "kind", "exact", "unknown key"),
    ("answers-kind-statistical", "answers-arc", "kind", "statistical", "unknown key"),
    ("answers-error-one", "answers-arc", "oracle_error", [repr(0.0)], "oracle_error: expected 2"),
    ("answers-error-null", "answers-arc", "oracle_error", None, "oracle_error: expected a list"),
    ("answers-floor-short", "answers-floor", "floor", [repr(0.0)], "floor: expected 2"),
    ("answers-floor-infinite", "answers-floor", "floor", ["-inf", "-inf"], "floor[0]"),
    ("answers-members-names", "answers-arc", "members", ["0"], "members[0]"),
    ("answers-exponent-huge", "answers-arc", "exponent", -5000, "exponent"),
    ("answers-exponent-true", "answers-arc", "exponent", True, "exponent"),
    ("answers-points-ragged", "answers-arc", "points.0", [1], "points[0]: expected 2 entries"),
    ("answers-points-text", "answers-arc", "points.0", ["1", "2"], "points[0][0]"),
    ("answers-denominator-zero", "answers-arc", "denominator", 0, "denominator"),
    ("answers-corner-odd", "answers-arc", "corners.0", lambda x: x[:-1], "corners[0]"),
    ("answers-corner-negative", "answers-arc", "corners.0", [-1, 2], "corners[0][0]"),
    ("answers-corner-short", "answers-octant", "corners.0", [1, 2], "corners[0]"),
    ("answers-pruned-both", "answers-arc-pruned", "answered.nodes", [["packing", []]], "unknown key 'y'"),
    ("answers-pruned-points", "answers-arc-pruned", "answered.points", [[1]], "answered.points[0]"),
    ("answers-pruned-ratio", "answers-arc-pruned", "answered.y", ["1/0", "1"], "answered.y[0]"),
    ("answers-rewards-twice", "answers-arc", "subject.rewards", ["safe", "safe"], "distinct names"),
    ("answers-rewards-many", "answers-arc", "subject.rewards", [f"r{k}" for k in range(65)], "1 to 64 distinct"),
    ("answers-unknown-key", "answers-arc", "lower_bound", "0", "unknown key 'lower_bound'"),
    ("scores-beta-number", "scores-table", "beta", 1, "beta: expected a decimal"),
    ("scores-beta-denormal", "scores-table", "beta", "5e-324", "too large or too small"),
    ("scores-beta-huge", "scores-table", "beta", "1.7e308", "too large or too small"),
    ("scores-delta-nan", "scores-table", "delta", "nan", "delta: expected a decimal"),
    ("answers-delta-nan", "answers-arc", "delta", "nan", "delta: expected a decimal"),
    ("samples-alpha-nan", "samples", "alpha", "nan", "alpha: expected a decimal"),
    ("scores-minmax", "scores-table", "scale", ["minmax", "none"], "scale[0]"),
    ("scores-weight-short", "scores-table", "weights.0", [repr(1.0)], "weights[0]: expected 2"),
    ("scores-prompt-null", "scores-table", "subject.prompt", None, "subject.prompt"),
    ("scores-log-weight-true", "scores-table", "subject.log_weight", True, "subject.log_weight"),
    ("samples-objective", "samples", "objective", "reward_minus_kl", "objective"),
    ("samples-scale", "samples", "scale", "minmax", "scale"),
    ("samples-ranges-word", "samples", "ranges", "none", "ranges: expected a list"),
    ("samples-ranges-empty", "samples", "ranges.0", [repr(1.0), repr(1.0)], "ranges[0]: expected low < high"),
    ("samples-method", "samples", "method", "bootstrap", "method"),
    ("samples-look-negative", "samples", "look", -1, "look"),
    ("samples-simultaneous-null", "samples", "simultaneous", None, "simultaneous: expected true or false"),
    ("samples-bets-hoeffding", "samples-hoeffding", "bets", [[1, 1]] * 4, "null, since the method is not betting"),
    ("samples-bets-whole", "samples-bets", "bets.0", [1024, 1], "bets[0][0]: expected an integer from 1 to 1023"),
    ("samples-bets-zero", "samples-bets", "bets.0", [0, 1], "bets[0][0]"),
    ("samples-seed-negative", "samples", "certification.seed", -1, "certification.seed"),
    ("samples-both-rules", "samples", "certification.clusters", [], "unknown key"),
    ("samples-cluster-null", "samples-clusters", "subject.cluster", None, "subject.cluster: expected true or false"),
]


def malformed(cases: Cases) -> Iterator[tuple[str, bytes, str, str]]:
    """Name, certificate, subject file and fragment of the message."""
    for name, base, path, value, fragment in MALFORMED:
        subject, document = cases[base]
        yield name, json.dumps(changed(document, path, value)).encode(), subject.csv(), fragment
    answers, document = cases["answers-octant-free"]
    certificate, table = json.dumps(document).encode(), answers.csv()
    yield "answers-file-missing", certificate, table.replace("w_brief", "x"), "the column 'w_brief' is missing"
    yield "answers-file-half-asked", certificate, table + "1,,0,1,1,1\n", "line 12: column 'w_helpful'"
    yield "answers-file-blank", certificate, table + " , , ,1,1,1\n", "line 12: column 'w_safe'"
    yield "answers-file-negative", certificate, table + "1,-1,0,1,1,1\n", "finite number >= 0"
    yield "answers-file-zero", certificate, table + "0,0,0,1,1,1\n", "line 12: expected a weight that is not all 0"
    yield "answers-file-no-value", certificate, table + "1,0,0,1,1,\n", "column 'v_brief': expected a finite number"
    yield "answers-file-empty", certificate, table.splitlines()[0] + "\n", "expected at least one answer"
    scores, document = cases["scores-log-weights"]
    certificate, table = json.dumps(document).encode(), scores.csv()
    yield "scores-file-apart", certificate, table + "p0,r9,0,0,0\n", "'p0' comes again"
    yield "scores-file-missing", certificate, table.replace("log_weight", "x"), "'log_weight' is missing"
    yield "scores-file-nan", certificate, table + "p9,r0,nan,0,0\n", "column 'safe': expected a finite number"
    samples, document = cases["samples-clusters"]
    certificate, table = json.dumps(document).encode(), samples.csv()
    yield "samples-file-cluster", certificate, table + "prompt 3,a,0,0,topic 7\n", "another cluster further up"
    yield "samples-file-no-name", certificate, table + "prompt 99,,0,0,topic 7\n", "expected non-empty strings"
    yield "samples-file-none", certificate, table + "prompt 3,a,None,0,topic 3\n", "column 'safe': expected a finite"
