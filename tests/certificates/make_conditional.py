"""Certificates of kind conditional for make.py, built by enumeration in Fractions and nothing of palm_opt.

Corners are found by solving every set of d facets, bounds by trying every basis of questions, the closed form by
decimal arithmetic with 60 digits.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

Vector = list[Fraction]


def canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def line(row: Sequence[float]) -> bytes:
    """A row of numbers in a hash."""
    return ",".join(repr(x if x else 0.0) for x in row).encode() + b"\n"


def meant(x: Any) -> Fraction:
    """What a float64 means: its shortest decimal; other numbers are what they are."""
    return Fraction(repr(x)) if isinstance(x, float) else Fraction(x)


def solve(matrix: list[Vector], right: Vector) -> Vector | None:
    """The solution of a square system, None where it is singular."""
    n = len(matrix)
    rows = [[*map(Fraction, row), Fraction(b)] for row, b in zip(matrix, right, strict=True)]
    for c in range(n):
        pivot = next((r for r in range(c, n) if rows[r][c]), None)
        if pivot is None:
            return None
        rows[c], rows[pivot] = rows[pivot], rows[c]
        rows[c] = [x / rows[c][c] for x in rows[c]]
        for r in range(n):
            if r != c:
                rows[r] = [x - rows[r][c] * y for x, y in zip(rows[r], rows[c], strict=True)]
    return [row[n] for row in rows]


def dot(a: Sequence[Any], b: Sequence[Any]) -> Fraction:
    return sum((meant(x) * meant(y) for x, y in zip(a, b, strict=True)), Fraction(0))


class Answers:
    """Answers of an oracle: weights asked (None where told without a question) and value vectors."""

    def __init__(self, weights: Sequence[Sequence[float] | None], values: Sequence[Sequence[float]]) -> None:
        self.weights = [None if w is None else [float(x) for x in w] for w in weights]
        self.values = [[float(x) for x in v] for v in values]
        self.d = len(values[0])
        self.rewards = ["safe", "helpful", "brief", "warm", "deep"][: self.d]

    def subject(self) -> dict[str, Any]:
        return {"type": "answers", "rewards": self.rewards, "answers": len(self.values)}

    def sha256(self) -> str:
        content = b"palm_opt answers 2\n" + canonical({"answers": len(self.values), "rewards": self.rewards}) + b"\n"
        content += b"".join(line(w or [0.0] * self.d) for w in self.weights)
        return hashlib.sha256(content + b"".join(map(line, self.values))).hexdigest()

    def csv(self) -> str:
        lines = [",".join([f"w_{name}" for name in self.rewards] + [f"v_{name}" for name in self.rewards])]
        for weight, value in zip(self.weights, self.values, strict=True):
            lines.append(",".join([repr(x) for x in weight] if weight else [""] * self.d) + "," + repr(value)[1:-1])
        return "\n".join(lines).replace(" ", "") + "\n"

    def limits(self, eta: float, gamma: float) -> dict[int, Fraction]:
        """For each question j the least bound u'_j on W_j.v that its answer proves."""
        found = {}
        for j, weight in enumerate(self.weights):
            if weight:
                loss = meant(gamma) * sum(map(meant, weight))
                found[j] = (dot(weight, self.values[j]) + loss) / (1 - meant(eta))
        return found


class Scores:
    """Rewards of responses to prompts: rows[x] is a list of value rows, log_weights likewise or None."""

    def __init__(
        self,
        rows: Sequence[Sequence[Sequence[float]]],
        log_weights: Sequence[Sequence[float]] | None = None,
        rewards: Sequence[str] | None = None,
        scale: Any = "none",
    ) -> None:
        self.rows = [[[float(x) for x in row] for row in prompt] for prompt in rows]
        self.log_weights = None if log_weights is None else [[float(x) for x in prompt] for prompt in log_weights]
        self.d = len(rows[0][0])
        self.rewards = list(rewards) if rewards else ["safe", "helpful", "brief"][: self.d]
        self.scale = [scale] * self.d if isinstance(scale, str) else list(scale)

    def subject(self) -> dict[str, Any]:
        weighted = None if self.log_weights is None else "log_weight"
        head = {"type": "scores", "prompt": "prompt", "rewards": self.rewards, "prompts": len(self.rows)}
        return head | {"log_weight": weighted}

    def sha256(self) -> str:
        head = {"log_weight": self.log_weights is not None, "prompts": len(self.rows), "rewards": self.rewards}
        content = b"palm_opt scores 2\n" + canonical(head | {"scale": self.scale}) + b"\n"
        content += b"".join(len(prompt).to_bytes(8, "little") for prompt in self.rows)
        content += b"".join(line(row) for prompt in self.rows for row in prompt)
        return hashlib.sha256(
            content + b"".join(line([x]) for prompt in self.log_weights or [] for x in prompt)
        ).hexdigest()

    def csv(self) -> str:
        names = [name.removeprefix("-") for name in self.rewards]
        lines = [",".join(["prompt", "response", *names] + (["log_weight"] if self.log_weights else []))]
        for x, prompt in enumerate(self.rows):
            for y, row in enumerate(prompt):
                extra = [repr(self.log_weights[x][y])] if self.log_weights else []
                lines.append(",".join([f"p{x}", f"r{y}", *map(repr, row), *extra]))
        return "\n".join(lines) + "\n"

    def scaled(self, row: Sequence[float]) -> list[Fraction]:
        """The rewards of one response, after sign and scale."""
        found = []
        for k, (x, name) in enumerate(zip(map(meant, row), self.rewards, strict=True)):
            negated = name.startswith("-")
            if self.scale[k] == "none":
                found.append(-x if negated else x)
            else:
                low, high = (Fraction(end) for end in self.scale[k])
                found.append((high - x if negated else x - low) / (high - low))
        return found

    def evaluate(self, weight: Sequence[float], beta: float) -> tuple[Fraction, Vector]:
        """OPT(w) and the value vector of the Gibbs policy of w, right to 50 digits."""
        total = sum(map(meant, weight))
        w = [meant(x) / total for x in weight]
        optimum, rewards = Fraction(0), [Fraction(0)] * self.d
        with localcontext() as context:
            context.prec = 60

            def decimal(x: Fraction) -> Decimal:
                return Decimal(x.numerator) / Decimal(x.denominator)

            for x, prompt in enumerate(self.rows):
                logs = self.log_weights[x] if self.log_weights else [0.0] * len(prompt)
                reference = [Decimal(repr(log)).exp() for log in logs]
                rows = [self.scaled(row) for row in prompt]
                terms = [q * decimal(dot(w, row) / meant(beta)).exp() for q, row in zip(reference, rows, strict=True)]
                optimum += Fraction((sum(terms) / sum(reference)).ln()) * meant(beta) / len(self.rows)
                for k in range(self.d):
                    mean = sum(t * decimal(row[k]) for t, row in zip(terms, rows, strict=True)) / sum(terms)
                    rewards[k] += Fraction(mean) / len(self.rows)
        penalty = dot(w, rewards) - optimum
        return optimum, [r - penalty for r in rewards]


def bases(points: list[list[int]]) -> list[tuple[tuple[int, ...], Vector]]:
    """Every d facets of { (w, z): z >= w.point, w >= 0, sum w = 1 } that meet in one point, and all slacks there."""
    m, d = len(points), len(points[0])
    found = []
    for chosen in itertools.combinations(range(d + m), d):
        rows = []
        for facet in chosen:
            if facet < d:
                rows.append([Fraction(int(k == facet)) for k in range(d)] + [Fraction(0)])
            else:
                rows.append([Fraction(-a) for a in points[facet - d]] + [Fraction(1)])
        solution = solve([*rows, [Fraction(1)] * d + [Fraction(0)]], [Fraction(0)] * d + [Fraction(1)])
        if solution is not None:
            *w, z = solution
            found.append((chosen, [*w, *(z - dot(w, point) for point in points)]))
    return found


def all_corners(points: list[list[int]]) -> list[tuple[tuple[int, ...], Vector, Fraction]] | None:
    """Every corner with its facets, its weight and its height; None where one has more than d facets."""
    d = len(points[0])
    found = []
    for chosen, slack in bases(points):
        if min(slack) >= 0:
            if sum(s == 0 for s in slack) > d:
                return None
            w = slack[:d]
            found.append((chosen, w, max(dot(w, point) for point in points)))
    return found


class Unbounded(Exception):
    """Nothing bounds the optimum at some corner."""


def outer_bound(
    w: Vector, weights: dict[int, list[float]], limits: dict[int, Fraction], floor: Sequence[float] | None
) -> tuple[Fraction, dict[int, Fraction]] | None:
    """The least sum of mu_j u'_j (and rest times floor) over mu >= 0, by trying every basis; None if there is none."""
    d = len(w)
    columns = {j: [meant(x) for x in weight] for j, weight in weights.items()}
    best = None
    extra = list(range(d)) if floor is not None else []  # columns -e_k: the weights may exceed w, at -floor each
    for basis in itertools.combinations([*columns, *(-1 - k for k in extra)], d):
        matrix = [
            [columns[j][k] if j >= 0 else Fraction(-int(k == -1 - j)) for j in basis] for k in range(d)
        ]  # fmt: skip
        mu = solve(matrix, list(w))
        if mu is None or min(mu) < 0:
            continue
        prices = [limits[j] if j >= 0 else -meant(floor[-1 - j]) if floor else Fraction(0) for j in basis]
        cost = dot(mu, prices)
        if best is None or cost < best[0]:
            best = cost, {j: x for j, x in zip(basis, mu, strict=True) if j >= 0 and x}
    return best


def rounded(values: Sequence[Sequence[Any]], exponent: int) -> list[list[int]]:
    """Integers whose product with 2^exponent is just below each value, shifted until no corner is degenerate."""
    for salt in range(100):
        points = []
        for p, value in enumerate(values):
            shift = [(7 * p + 3 * k + salt * (p + 1) * (k + 2)) % 61 for k in range(len(value))]
            points.append([int(meant(x) / Fraction(2) ** exponent // 1) - s for x, s in zip(value, shift, strict=True)])
        if all_corners(points) is not None:
            return points
    raise AssertionError("no shift removes the degeneracy")


def build(
    subject: Any,
    members: Sequence[int],
    epsilon: float = 0.0,
    delta: float | None = None,
    error: tuple[float, float] = (0.0, 0.0),
    floor: Sequence[float] | None = None,
    beta: float = 0.1,
    weights: Sequence[Sequence[float]] = (),
    exponent: int = -30,
) -> dict[str, Any]:
    """A correct certificate; `delta` None: the regret that is proved, and a little more."""
    head: dict[str, Any] = {"oracle_error": [repr(float(x)) for x in error]}
    head["floor"] = None if floor is None else [repr(float(x)) for x in floor]
    if isinstance(subject, Answers):
        asked = {j: w for j, w in enumerate(subject.weights) if w}
        limits = subject.limits(*error)
        values: list[Any] = [subject.values[i] for i in members]
    else:
        head = {"beta": repr(float(beta)), "weights": [[repr(float(x)) for x in w] for w in weights]}
        head["scale"] = subject.scale
        asked = {j: [float(x) for x in w] for j, w in enumerate(weights)}
        exact = {j: subject.evaluate(w, beta) for j, w in asked.items()}
        limits = {j: exact[j][0] * sum(map(meant, w)) + Fraction(1, 10**9) for j, w in asked.items()}
        values = [[x - Fraction(1, 10**9) for x in exact[i][1]] for i in members]
    points = rounded(values, exponent)
    corners = all_corners(points)
    assert corners
    q = 1 << 50
    rows, worst = [], Fraction(0)
    for active, w, z in corners:
        found = outer_bound(w, asked, limits, floor)
        if found is None:
            raise Unbounded
        worst = max(worst, (1 - meant(float(epsilon))) * found[0] - z * Fraction(2) ** exponent)
        pairs = [(j, int(mu * q)) for j, mu in sorted(found[1].items()) if int(mu * q)]
        rows.append([*active, *itertools.chain.from_iterable(pairs)])
    return head | {
        "format": "palm_opt certificate",
        "version": 2,
        "kind": "conditional",
        "sha256": subject.sha256(),
        "subject": subject.subject(),
        "objective": "reward" if isinstance(subject, Answers) else "reward_minus_kl",
        "epsilon": repr(float(epsilon)),
        "delta": repr(float(worst) + 1e-6 if delta is None else float(delta)),
        "members": list(members),
        "exponent": exponent,
        "points": points,
        "denominator": q,
        "corners": rows,
        "producer": {"name": "make.py", "version": "1"},
    }


ARC = [[1.0, 0.0], [0.96, 0.28], [0.8, 0.6], [0.6, 0.8], [0.28, 0.96], [0.0, 1.0]]  # on the unit circle


def arc() -> Answers:
    """Exact answers on the quarter circle: the best value for w is w over its length."""
    return Answers(ARC, ARC)


def octant(free: bool = False) -> Answers:
    """Exact answers on the positive octant of the sphere, with an inner point told without a question."""
    rows = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0], [0, 0.6, 0.8], [0.8, 0, 0.6], [2 / 3, 2 / 3, 1 / 3]]
    rows += [[2 / 3, 1 / 3, 2 / 3], [1 / 3, 2 / 3, 2 / 3]]
    weights: list[list[float] | None] = [list(map(float, row)) for row in rows]
    if free:
        return Answers([*weights, None], [*rows, [0.55, 0.55, 0.55]])
    return Answers(weights, rows)


def table(log_weights: bool = False, **options: Any) -> Scores:
    """Four prompts with 3, 4, 5 and 1 responses and two rewards."""
    rows = [
        [[((7 * x + 5 * y) % 11) / 10, ((3 * x + 8 * y + 4) % 11) / 10] for y in range(count)]
        for x, count in enumerate((3, 4, 5, 1))
    ]
    logs = [[-0.5 * y - x for y in range(len(prompt))] for x, prompt in enumerate(rows)] if log_weights else None
    return Scores(rows, logs, **options)


def answered(document: dict[str, Any], subject: Any, weights: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Add the proof that so many answered policies are needed: y = 1 on weights that no answer covers two of."""
    if isinstance(subject, Answers):
        limits = subject.limits(*map(float, document["oracle_error"]))
        asked = {j: w for j, w in enumerate(subject.weights) if w}
    else:
        asked = {j: [float(x) for x in w] for j, w in enumerate(document["weights"])}
        exact = {j: subject.evaluate(w, float(document["beta"]))[0] for j, w in asked.items()}
        limits = {j: (exact[j] - Fraction(1, 10**9)) * sum(map(meant, w)) for j, w in asked.items()}
    exponent = document["exponent"]
    points = []
    for weight in weights:  # the point of the outer set that is best for the weight, by trying every corner of it
        best: tuple[Fraction, Vector] | None = None
        for basis in itertools.combinations(asked, subject.d):
            point = solve([[meant(x) for x in asked[j]] for j in basis], [limits[j] for j in basis])
            if point and all(dot(asked[j], point) <= limits[j] for j in asked):
                value = dot(weight, point)
                if best is None or value > best[0]:
                    best = value, point
        assert best
        points.append([int(x / Fraction(2) ** exponent // 1) for x in best[1]])
    proof = {"lower_bound": str(len(weights)), "weights": [list(w) for w in weights], "points": points}
    return document | {"answered": proof | {"y": ["1"] * len(weights)}}


def very_low(document: dict[str, Any]) -> dict[str, Any]:
    """With one member more, at a point of integers as long as may be."""
    points = [*document["points"], [-(10**4000 - 1)] * 2]
    return document | {"members": [*document["members"], 1], "points": points}


def correct() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Name -> subject and certificate."""
    noisy = Answers(ARC, [[c * x, c * y] for c, (x, y) in zip((1, 0.9, 1, 0.95, 0.98, 1), ARC, strict=True)])
    lower = Answers(ARC, [[x - 2, y - 2] for x, y in ARC])
    floored = Answers(ARC[1:5], ARC[1:5])
    apart = Answers([[x * 2.0**-40, y * 1024] for x, y in ARC], [[x * 2.0**40, y / 1024] for x, y in ARC])
    weighted = [[4 * x for x in w] for w in ARC]
    planned = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.75, 0.25], [0.2, 0.6]]
    ranges = [[repr(-0.5), repr(1.5)], [repr(0.0), repr(2.0)]]
    scaled = table(rewards=["safe", "-slow"], scale=ranges)
    one = Answers([[1.0], None, [2.0]], [[0.5], [0.25], [0.5]])
    return {
        "answers-arc": (arc(), build(arc(), [0, 2, 3, 5])),
        "answers-arc-epsilon": (arc(), build(arc(), [1, 4], epsilon=0.0625)),
        "answers-arc-pruned": (arc(), answered(build(arc(), [1, 4], delta=0.25), arc(), [[2, 0], [0, 3]])),
        "answers-octant": (octant(), build(octant(), range(9))),
        "answers-octant-free": (octant(True), build(octant(True), [0, 1, 2, 9])),
        "answers-oracle-error": (noisy, build(noisy, [0, 2, 3, 5], error=(0.09375, 0.015625))),
        "answers-negative": (lower, build(lower, [0, 2, 3, 5], epsilon=0.03125)),
        "answers-floor": (floored, build(floored, [0, 1, 3], floor=[0.0, -0.25])),
        "answers-floor-pruned": (
            floored,
            answered(build(floored, [0, 1, 3], floor=[0.0, -0.25]), floored, [[1, 1]]),
        ),
        "answers-units-apart": (apart, build(apart, [0, 2, 3, 5], exponent=-40)),
        "answers-weights-scaled": (Answers(weighted, ARC), build(Answers(weighted, ARC), [0, 2, 3, 5])),
        "answers-point-very-low": (arc(), very_low(build(arc(), [0, 2, 3, 5]))),
        "answers-one-reward": (one, build(one, [0, 1])),
        "scores-table": (table(), build(table(), [0, 1, 2], weights=planned)),
        "scores-log-weights": (table(True), build(table(True), [0, 1, 3, 4], epsilon=0.125, weights=planned, beta=0.5)),
        "scores-pruned": (
            table(),
            answered(build(table(), [0, 1, 2], weights=planned, delta=0.02), table(), [[3, 0], [0, 3]]),
        ),
        "scores-scaled": (scaled, build(scaled, [0, 2, 1], weights=planned, beta=0.25)),
    }
