"""Kind conditional: a promise against every policy, seen or not, from upper bounds on the optimum at some weights.

The bounds come from the answers of an oracle (this file) or from the closed form on reward scores (gibbs.py). The
theory is in docs/theory.md: L5 (corners), L6 (bounds from questions).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from operator import ge, lt, mul
from pathlib import Path
from typing import Any

from . import form, refuse
from .exact import tolerances
from .memory import flat, labels
from .reading import over_common, rational, ratios
from .refuse import CertificateParseError, Document, InvalidCertificate, Work, need, show
from .size import BRANCHING, PACKING, Packed, Tree, bits, proof_of
from .statement import Verified, about, brief, counted, float_above, listed, plain, promise
from .table import Digest, Table

MAX_REWARDS = 64  # of the kinds conditional and statistical
MAX_EXPONENT = 4_000  # of the points of a corner proof
_CORNER_BITS = 64  # to which the weight of a corner is rounded for the first comparison with all members


@dataclass
class Answers:
    """Value vectors that an oracle told, most of them for a weight that it was asked.

    Parameters
    ----------
    rewards : list of str, length d
    weights : n rows of d floats >= 0, or a C-contiguous buffer of float64 of shape (n, d)
        The weights asked; a row of zeros, or None, for an answer told without a question. Kept as a flat array.
    values : n rows of d floats, or such a buffer
        The value vectors told. Kept as a flat array.

    Raises
    ------
    CertificateParseError
        Where shapes do not fit, a number is not finite, or a weight is negative.
    """

    rewards: list[str]
    weights: Any
    values: Any

    def __post_init__(self) -> None:
        self.rewards = labels("answers: rewards", self.rewards)
        d = len(self.rewards)
        if isinstance(self.weights, (list, tuple)):
            self.weights = [(0.0,) * d if row is None else row for row in self.weights]
        try:
            self.count = len(self.values)
        except TypeError:
            raise CertificateParseError("answers: values: expected rows") from None
        if not self.count:
            raise CertificateParseError("answers: expected at least one answer")
        self.values = flat("answers: values", self.values, self.count, d)
        self.weights = flat("answers: weights", self.weights, self.count, d)
        if min(self.weights) < 0:
            raise CertificateParseError("answers: weights: expected numbers >= 0")

    def subject(self) -> dict[str, Any]:
        """What a certificate has under `subject`."""
        return {"type": "answers", "rewards": self.rewards, "answers": self.count}

    def sha256(self, version: int = 2) -> str:
        """Hash of the canonical answers, 64 hex digits; see docs/certificate-format.md."""
        digest = Digest("answers", version, {"answers": self.count, "rewards": self.rewards})
        digest.numbers(self.weights, len(self.rewards))
        digest.numbers(self.values, len(self.rewards))
        return digest.hash.hexdigest()


def read_answers(path: str | Path, subject: dict[str, Any]) -> Answers:
    """Read the answers that a conditional certificate speaks of: columns w_REWARD (empty where not asked), v_REWARD."""
    table = Table(path)
    asked_at = [table.find(f"w_{name}") for name in subject["rewards"]]
    values_at = [table.find(f"v_{name}") for name in subject["rewards"]]
    weights, values = [], []
    for row in table.rows("answer"):
        values.append(table.numbers(row, values_at))
        if any(row[at] for at in asked_at):
            weights.append(table.numbers(row, asked_at, least=0))
            if not any(weights[-1]):
                raise CertificateParseError(f"{table.where()}: expected a weight that is not all 0")
        else:
            weights.append([0.0] * len(asked_at))
    return Answers(subject["rewards"], weights, values)


# The document


def parse_answers(document: Document) -> None:
    """Check the keys and types of a certificate about answers."""
    version, d = document["version"], count_rewards(document)
    form.conform("", document, form.head(version) | corner_form(document, d) | {
        "subject": {"type": form.word("answers"), "rewards": [form.name], "answers": form.integer(0)},
        "oracle_error": form.several(form.number(version), 2),
        "floor": form.nullable(form.several(form.number(version), d)),
    })  # fmt: skip


def count_rewards(document: Document) -> int:
    """The number of rewards of the kinds that name the type of their subject."""
    subject = document.get("subject")
    rewards = subject.get("rewards") if isinstance(subject, dict) else None
    form.conform("subject.rewards", rewards, [form.name])
    assert isinstance(rewards, list)
    if not 1 <= len(rewards) <= MAX_REWARDS or len(set(rewards)) < len(rewards):
        raise CertificateParseError(f"subject.rewards: expected 1 to {MAX_REWARDS} distinct names")
    return len(rewards)


def corner_form(document: Document, d: int) -> dict[str, form.Form]:
    """The form of what both subjects share."""

    def corner(where: str, value: Any) -> None:
        form.integers(0)(where, value)
        if len(value) < d or (len(value) - d) % 2:
            raise CertificateParseError(f"{where}: expected {d} numbers of facets and members, and pairs j, m")

    points = [form.several(form.integer(1 - refuse.INTEGER_LIMIT), d)]
    answered = document.get("answered")
    proof = BRANCHING if isinstance(answered, dict) and "nodes" in answered else PACKING
    return {
        "members": form.integers(0), "exponent": form.integer(-MAX_EXPONENT, MAX_EXPONENT), "points": points,
        "denominator": form.integer(1), "corners": [corner],
        "answered?": {"lower_bound": form.ratio, "points": points} | proof,
    }  # fmt: skip


def match(document: Document, subject: Any) -> tuple[Fraction, Fraction]:
    """Match the document with its subject; epsilon and delta."""
    for key, found in subject.subject().items():
        claimed = document["subject"][key]
        need(claimed == found, f"subject.{key}: {show(claimed)} claimed, the file has {show(found)}")
    found = subject.sha256(document["version"])
    need(found == document["sha256"], f"sha256: the certificate is about {document['sha256']}, the file is {found}")
    return tolerances(document)


# The check


class Outer:
    """Upper bounds on OPT from questions: W_j.v <= upper_j for all admissible v, and v >= floor where that is known.

    For w = sum mu_j W_j + r with mu >= 0, OPT(w) <= sum mu_j upper_j + sum_k r_k b_k, where b_k is an upper bound of
    all v_k (`ceiling`) if r_k > 0 and a lower bound (`floor`) if r_k < 0. Weights are integers over `unit`, all bounds
    integers over `scale`.
    """

    def __init__(
        self, asked: dict[int, list[Fraction]], upper: dict[int, Fraction], floor: list[Fraction] | None, work: Work
    ) -> None:
        d = len(next(iter(asked.values()), ()))
        work.spend(len(asked) * d * d * (1_500 if floor else 100))
        together, self.unit = over_common(x.as_integer_ratio() for weight in asked.values() for x in weight)
        self.weights = {j: together[at * d : at * d + d] for at, j in enumerate(asked)}
        ceiling: list[Fraction | None] = []
        for k in range(d):
            found = []
            for j, weight in self.weights.items():
                rest = [i for i in range(d) if i != k and weight[i]]
                if weight[k] and (floor or not rest):
                    others = sum((weight[i] * floor[i] for i in rest), Fraction(0)) if floor else Fraction(0)
                    found.append((upper[j] * self.unit - others) / weight[k])
            ceiling.append(min(found, default=None))
        bounds = [*upper.values(), *(floor or ()), *(b for b in ceiling if b is not None)]
        self.scale = math.lcm(*{b.denominator for b in bounds})
        self.upper = {j: int(b * self.scale) for j, b in upper.items()}
        self.ceiling = [None if b is None else int(b * self.scale) for b in ceiling]
        self.floor = None if floor is None else [int(b * self.scale) for b in floor]
        self.work, self.bits = work, self.scale.bit_length() + self.unit.bit_length()

    def bound(self, where: str, x: list[int], pairs: list[int], denominator: int) -> int:
        """A bound on OPT(x / sum x) times (sum x) denominator unit scale; mu_j = m / denominator for the pairs j, m."""
        if len(set(pairs[::2])) < len(pairs) // 2:
            raise InvalidCertificate(f"{where}: an answer is repeated")
        total, whole = sum(x), denominator * self.unit
        self.work.spend((len(pairs) + 2) * len(x) * (500 + self.bits + total.bit_length() + denominator.bit_length()))
        left = [whole * a for a in x]
        spent = 0
        for j, m in zip(pairs[::2], pairs[1::2], strict=True):
            weight = self.weights.get(j)
            if weight is None:
                raise InvalidCertificate(f"{where}: answer {show(j)} is not one to a weight")
            spent += m * self.upper[j]
            taken = m * total
            left = [a - taken * b for a, b in zip(left, weight, strict=True)]
        spent *= total * self.unit
        for k, rest in enumerate(left):
            if rest:
                end = self.ceiling[k] if rest > 0 else self.floor[k] if self.floor else None
                if end is None:
                    what = "above a question about it alone" if rest > 0 else "below 0, and there is no floor"
                    raise InvalidCertificate(f"{where}: the rest of the weight in reward {k} is {what}")
                spent += rest * end
        return spent


@dataclass(frozen=True)
class Promise:
    """What a conditional certificate claims, in exact numbers."""

    document: Document
    epsilon: Fraction
    delta: Fraction
    outer: Outer
    lower: dict[int, list[Fraction]]  # lower bounds of the value vectors of the members, by row
    values: tuple[
        list[int], int
    ]  # upper bounds of all value vectors, flat, over a common unit; only read with `answered`
    spare: dict[int, Fraction]  # lower bounds of the least upper bounds that the questions prove; only with `answered`
    floor: list[Fraction] | None
    work: Work


def check_answers(document: Document, answers: Answers) -> Verified:
    """Check every claim of a certificate about answers."""
    epsilon, delta = match(document, answers)
    check_members(document["members"], answers.count)
    claim = _promise(document, answers, epsilon, delta)
    eta, gamma = (plain(rational(text), whole=False) for text in document["oracle_error"])
    floor = None if document["floor"] is None else [plain(rational(text), whole=False) for text in document["floor"]]
    details: dict[str, Any] = {"scale": ["none"] * len(answers.rewards), "reference": "oracle"}
    details |= {"oracle_error": [eta, gamma], "floor": floor, "answers": answers.count}
    share = f"{plain(1 - rational(document['oracle_error'][0]))} times "
    slack = plain(rational(document["oracle_error"][1]))
    trust = f"every answer to a preference has at least {share if eta else ''}what is possible there, less {slack}"
    lines = [f"Rewards: {listed(answers.rewards)} (higher is better). Preferences: all.", f"Taken on trust: {trust}."]
    if floor is not None:
        floors = zip(document["floor"], answers.rewards, strict=True)
        least = listed([f"{plain(rational(low))} in {reward}" for low, reward in floors])
        lines.append(f"Taken on trust: every admissible policy, seen or not, has at least {least}.")
    return verified(claim, answers.count, details, "every admissible policy, seen or not", "answer", lines)


def check_members(members: list[int], count: int) -> None:
    fine = members and len(set(members)) == len(members) and max(members) < count
    need(bool(fine), f"members: expected distinct numbers below {count}, at least one")


def verified(claim: Promise, count: int, details: dict[str, Any], best: str, row: str, lines: list[str]) -> Verified:
    """Check the corners and what is answered; what is proved."""
    document, size = claim.document, len(claim.document["members"])
    _check_corners(claim)
    who = f"the best of the {counted(size, 'member')} ({row} {listed(list(map(str, document['members'])))}, from 0)"
    lines = [promise(who, best, claim.epsilon, claim.delta), *lines]
    if "answered" in document:
        details["answered_lower_bound"] = plain(_check_answered(claim, count))
        least = details["answered_lower_bound"]
        lines.append(f"Of the {counted(count, row)} at least {least} are needed, whatever the policies not seen are.")
    lines.append("Nothing is proved about how few policies would do.")
    levels = float_above(document["epsilon"]), float_above(document["delta"])
    details = {"rewards": document["subject"]["rewards"], **details}
    cost = Fraction(size)
    return Verified("conditional", size, cost, Fraction(0), *levels, document["sha256"], details, tuple(lines))


def _promise(document: Document, answers: Answers, epsilon: Fraction, delta: Fraction) -> Promise:
    """The bounds that answers prove under the stated error of the oracle, checked against each other."""
    d, n, version, work = len(answers.rewards), answers.count, document["version"], Work()
    eta, gamma = (rational(text) for text in document["oracle_error"])
    if not 0 <= eta < 1 or gamma < 0:
        raise InvalidCertificate("oracle_error: expected 0 <= eta < 1 and gamma >= 0")
    integers, unit = over_common(ratios(answers.values, version))
    columns = [integers[k::d] for k in range(d)]
    floor = None if document["floor"] is None else [rational(text) for text in document["floor"]]
    for k, low in enumerate(floor or ()):
        if min(columns[k]) < low * unit:
            i = columns[k].index(min(columns[k]))
            raise InvalidCertificate(f"floor: answer {i} is below it in {show(answers.rewards[k])}")
    questions, question_unit = over_common(ratios(answers.weights, version))
    rows = {j: questions[j * d : j * d + d] for j in range(n) if any(questions[j * d : j * d + d])}
    if not rows:
        raise InvalidCertificate("answers: none is to a weight, so nothing bounds the optimum")
    packed = Packed(columns, [max(questions[k::d]) for k in range(d)], work)
    upper: dict[int, Fraction] = {}
    for j, question in rows.items():
        told = Fraction(sum(map(mul, question, integers[j * d : j * d + d])), unit * question_unit)
        upper[j] = (told + gamma * Fraction(sum(question), question_unit)) / (1 - eta)
        scores, most = packed.scores(question), math.floor(upper[j] * unit * question_unit)
        if packed.largest(scores) > most:
            i = next(bits(packed.reach(scores, most + 1)))
            raise InvalidCertificate(f"oracle_error: answer {i} is better for the weight of answer {j} than it allows")
    lower = {i: [Fraction(a, unit) for a in integers[i * d : i * d + d]] for i in document["members"]}
    asked = {j: [Fraction(a, question_unit) for a in question] for j, question in rows.items()}
    outer = Outer(asked, upper, floor, work)
    return Promise(document, epsilon, delta, outer, lower, (integers, unit), upper, floor, work)


def power(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def _check_corners(claim: Promise) -> None:
    """Check that all corners of the members' envelope are listed, and that the promise holds at each of them.

    The envelope is of points v' <= v: Q = { (w, z): z >= w.v'_p for all p, w >= 0, sum w = 1 }. Facet k < d is w_k = 0,
    facet d + p is z = w.v'_p. See docs/theory.md, L5, for why a list that is closed under its edges is complete.
    """
    document = claim.document
    points, members = document["points"], document["members"]
    d, unit = len(document["subject"]["rewards"]), power(document["exponent"])
    if len(points) != len(members):
        raise InvalidCertificate(f"points: expected {len(members)}, got {len(points)}")
    for p, (point, i) in enumerate(zip(points, members, strict=True)):
        if any(unit * a > x for a, x in zip(point, claim.lower[i], strict=True)):
            raise InvalidCertificate(f"points[{p}]: it is not below the value vector of row {i}")
    above = [sum(a for a in point if a > 0) for point in points]
    packed = Packed([*zip(*points, strict=True), above], [1 << _CORNER_BITS] * d + [1], claim.work)
    size = max(abs(a).bit_length() for point in points for a in point)
    outer, q = claim.outer, document["denominator"]
    shared = math.lcm(claim.delta.denominator, unit.denominator)
    delta, rise = int(claim.delta * shared), int(unit * shared)
    keep = 1 - claim.epsilon
    left, right = keep.numerator * shared, keep.denominator * q * outer.unit * outer.scale
    seen: set[tuple[int, ...]] = set()
    edges: set[tuple[int, ...]] = set()  # those with one end so far
    for at, row in enumerate(document["corners"]):
        where = f"corners[{at}]"
        active = tuple(row[:d])
        if active in seen or any(map(ge, active, active[1:])) or not d <= active[-1] < d + len(points):
            raise InvalidCertificate(f"{where}: expected another set of {d} facets, ascending, the last of a member")
        seen.add(active)
        claim.work.spend(d * d * d * (300 + (d * size) ** 2 // 900) + 20_000)
        x, height = _solve_corner(where, points, active, d)
        total = sum(x)
        bent = [(a << _CORNER_BITS) // total for a in x]
        near = packed.reach(packed.scores([*bent, 1]), -(-(height << _CORNER_BITS) // total))
        for p in bits(near):  # all others are strictly below the corner
            if sum(map(mul, x, points[p])) >= height and d + p not in active:
                raise InvalidCertificate(f"{where}: member {p} is not below it")
        for s in range(d):
            edge = active[:s] + active[s + 1 :]
            if edge and edge[-1] >= d:
                edges ^= {edge}
        bound = outer.bound(where, x, row[d:], q)
        if left * bound > right * (delta * total + rise * height):
            proved = Fraction(bound, total * q * outer.unit * outer.scale)
            lost = keep * proved - unit * Fraction(height, total)
            raise InvalidCertificate(f"{where}: regret up to {about(lost)}, delta is {brief(claim.delta)}")
    if edges or not seen:
        edge = min(edges, default=())
        what = f"the edge {list(edge)} has one end only" if seen else "the list is empty"
        raise InvalidCertificate(f"corners: {what}: a corner is missing")


def _solve_corner(where: str, points: list[list[int]], active: tuple[int, ...], d: int) -> tuple[list[int], int]:
    """The corner of d facets: x >= 0 and z with w = x / sum x and height z / sum x, in units of the points."""
    free = [k for k in range(d) if k not in active]
    first, *others = [points[facet - d] for facet in active if facet >= d]
    rows = [[point[k] - first[k] for k in free] for point in others]
    left, last = list(free), 1
    steps: list[tuple[int, int, list[int], list[int]]] = []
    while rows:  # fraction-free elimination (Bareiss): all divisions are exact
        row, *rows = rows
        at = next((c for c, a in enumerate(row) if a), None)
        if at is None:
            raise InvalidCertificate(f"{where}: its facets do not meet in one point")
        pivot = row.pop(at)
        steps.append((left.pop(at), pivot, row, left[:]))
        for i, other in enumerate(rows):
            f = other.pop(at)
            rows[i] = [(pivot * a - f * b) // last for a, b in zip(other, row, strict=True)]
        last = pivot
    x = [0] * d
    x[left[0]] = last
    for column, pivot, row, columns in reversed(steps):
        x[column] = -sum(map(mul, row, [x[k] for k in columns])) // pivot
    if last < 0:
        x = [-a for a in x]
    if any(x[k] <= 0 for k in free):
        raise InvalidCertificate(f"{where}: its weight is not above 0 in each reward that has no facet there")
    return x, sum(map(mul, x, first))


def _check_answered(claim: Promise, count: int) -> Fraction:
    """Check the least number of answered policies that can keep the promise against the outer bound."""
    answered, outer = claim.document["answered"], claim.outer
    d, unit = len(claim.document["subject"]["rewards"]), power(claim.document["exponent"])
    proof = proof_of(claim.document, d)
    assert proof is not None
    weights, nodes = proof
    points = answered["points"]
    if len(points) != len(weights):
        raise InvalidCertificate(f"answered: {len(weights)} weights and {len(points)} points")
    most = {j: math.floor(claim.spare[j] * outer.unit / unit) for j in outer.weights}
    least = [math.ceil(low / unit) for low in claim.floor] if claim.floor else None
    for at, point in enumerate(points):
        claim.work.spend(len(outer.weights) * d * (200 + sum(map(int.bit_length, point))))
        for j, weight in outer.weights.items():
            if sum(map(mul, weight, point)) > most[j]:
                raise InvalidCertificate(f"answered.points[{at}]: answer {j} rules it out")
        if least and any(map(lt, point, least)):
            raise InvalidCertificate(f"answered.points[{at}]: it is below the floor")
    for at, node in enumerate(nodes):
        if node[0] == "branch" and node[1] >= count:
            raise InvalidCertificate(f"answered: node {at}: answer {show(node[1])} does not exist")
    integers, whole = claim.values
    most_of = [max((weight[k] for weight in weights), default=0) for k in range(d)]
    packed = Packed([integers[k::d] for k in range(d)], most_of, claim.work)
    covers = []
    for weight, point in zip(weights, points, strict=True):
        best = (1 - claim.epsilon) * unit * sum(map(mul, weight, point)) - claim.delta * sum(weight)
        covers.append(packed.reach(packed.scores(weight), math.ceil(best * whole)))
    tree = Tree(covers, list(range(count)), [Fraction(1)] * count, True, "answer {}".format, claim.work)
    proved = tree.bound(nodes, 0, (1 << count) - 1)
    claimed = rational(answered["lower_bound"])
    if claimed > proved:
        raise InvalidCertificate(f"answered.lower_bound: {brief(claimed)} is claimed, {brief(proved)} is proved")
    return claimed
