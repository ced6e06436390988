"""Kind exact: the values of a finite pool, and the check that a portfolio serves every preference.

Quality: for every candidate i there is lambda >= 0 on the members with sum 1 and
sum_p lambda_p v_p >= (1 - epsilon) v_i - delta in every component. By the minimax theorem the portfolio then serves
every weight in the simplex. Size: see size.py. All arithmetic is on integers: column k holds integers A_ik and a
positive rational unit u_k with v_ik = u_k A_ik, so no comparison is rounded.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from itertools import compress
from operator import ge, le, mul, not_
from pathlib import Path
from typing import Any

from . import size
from .reading import (
    CertificateParseError,
    Document,
    InvalidCertificate,
    Work,
    as_integer,
    as_integers,
    as_list,
    as_range,
    as_ratio,
    as_text,
    as_texts,
    brief,
    expected,
    float_above,
    keys,
    over_common,
    parse_head,
    plain,
    rational,
    ratios,
    show,
    shown,
)  # fmt: skip
from .statement import Verified, counted, listed, promise, rewards_in_words, scale_in_words
from .table import Digest, Table, flat, labels

_LOG = Context(prec=15, rounding=ROUND_HALF_EVEN)


# The problem


@dataclass
class Problem:
    """The finite pool of candidates that a certificate speaks of, as in the file: before sign and scale.

    Parameters
    ----------
    names : list of str, length n
        Distinct names of the candidates.
    rewards : list of str, length d
        Names of the reward columns; a leading ``-`` negates the column named by the rest.
    values : rows of d floats, or a flat ``array('d')`` of n*d, or a C-contiguous buffer of float64 of shape (n, d)
        Kept as a flat ``array('d')``, row by row.
    costs : list of float, length n, or None
        Finite and >= 0; None means 1 each.
    scale : "none", "minmax", "log" or (low, high) for all rewards, or a list of d of these
        The ends of a range are floats, which mean their shortest decimals, or texts. Kept as a list.
    unused : list of str
        Columns of the file beside them, for the statement only.

    Raises
    ------
    CertificateParseError
        Where shapes do not fit, a number is not finite, not above 0 in a log column, or a name occurs twice.
    """

    names: list[str]
    rewards: list[str]
    values: Any
    costs: list[float] | None = None
    scale: Any = "none"
    unused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = labels("problem: names", self.names)
        self.rewards = labels("problem: rewards", self.rewards, distinct=False)
        n, d = len(self.names), len(self.rewards)
        self.values = flat("problem: values", self.values, n, d)
        if self.costs is not None:
            self.costs = list(flat("problem: costs", [(cost,) for cost in self.costs], n, 1))
            if min(self.costs) < 0:
                raise CertificateParseError("problem: costs: expected finite numbers >= 0")
        self.scale = scales("problem: scale", self.scale, d, "none", "minmax", "log")
        for k, entry in enumerate(self.scale):
            if entry == "log" and min(self.column(k)) <= 0:
                raise CertificateParseError(
                    f"problem: values: expected numbers > 0 in the log column {show(self.rewards[k])}"
                )

    def column(self, k: int) -> array[float]:
        """The n numbers of reward k as in the file, before sign and scale."""
        found: array[float] = self.values[k :: len(self.rewards)]
        return found

    def sha256(self, version: int = 2) -> str:
        """Hash of the canonical problem, 64 hex digits; see docs/certificate-format.md, "The problem"."""
        head = {"candidates": len(self.names), "costs": self.costs is not None, "rewards": self.rewards}
        digest = Digest("problem", version, head | {"scale": written(self.scale, version)})
        digest.numbers(self.values, len(self.rewards))
        if self.costs is not None:
            digest.numbers(array("d", self.costs), len(self.costs))
        return digest.names(self.names)


def scales(where: str, scale: Any, d: int, *words: str) -> list[Any]:
    """A scale as a list of d entries, each a word or a pair of texts."""
    if isinstance(scale, str):
        scale = [scale] * d
    found: list[Any] = []
    try:
        for entry in scale:
            if isinstance(entry, str):
                found.append(entry)
            else:
                low, high = (end if isinstance(end, str) else repr(float(end) + 0.0) for end in entry)
                found.append((low, high))
                if not (
                    math.isfinite(float_above(low))
                    and math.isfinite(float_above(high))
                    and rational(low) < rational(high)
                ):
                    raise ValueError("low < high, both finite, came out wrong")
    except (TypeError, ValueError, OverflowError) as error:
        raise CertificateParseError(f"{where}: expected words or pairs of numbers: {error}") from None
    if len(found) != d or not all(entry in words for entry in found if isinstance(entry, str)):
        raise CertificateParseError(f"{where}: expected {d} entries, each {', '.join(words)} or a pair (low, high)")
    return found


def scale_of(scale: list[Any]) -> list[Any]:
    """A scale for JSON and the last line."""
    return [entry if isinstance(entry, str) else [shown(end) for end in entry] for entry in scale]


def written(scale: list[Any], version: int) -> Any:
    """A scale as a certificate has it."""
    if version == 2:
        return [x if isinstance(x, str) else [repr(float.fromhex(e)) if "x" in e else e for e in x] for x in scale]
    if scale[0] in ("none", "minmax") and scale.count(scale[0]) == len(scale):
        return scale[0]
    return [x if isinstance(x, str) else [e if "x" in e else float(e).hex() for e in x] for x in scale]


def read_values(path: str | Path, subject: dict[str, Any], scale: Any) -> Problem:
    """Read the values file that a certificate of kind exact speaks of.

    Parameters
    ----------
    path : str or Path
        CSV, UTF-8, with a header; see docs/certificate-format.md, "The subject file".
    subject, scale
        As in a parsed certificate; the scale may also be as for `Problem`.

    Raises
    ------
    CertificateParseError
        With the line, where the file is not such a table. OSError where it cannot be opened.
    """
    rewards, id_column, cost_column = subject["rewards"], subject["id"], subject["cost"]
    table = Table(path)
    columns = [table.find(name.removeprefix("-")) for name in rewards]
    costs_at = None if cost_column is None else table.find(cost_column)
    names_at = None if id_column is None else table.find(id_column)
    names: dict[str, None] = {}
    numbers, costs = array("d"), array("d")
    for row in table.rows("candidate"):
        numbers.extend([table.number(row, at) for at in columns])
        if costs_at is not None:
            costs.append(table.number(row, costs_at, least=0))
        name = str(len(names)) if names_at is None else row[names_at]
        if not name or name in names:
            what = "is repeated" if name else "is empty"
            raise CertificateParseError(f"{table.where()}: the name {show(name)} {what}")
        names[name] = None
    return Problem(list(names), rewards, numbers, None if costs_at is None else list(costs), scale, table.unused())


# The document


def parse_exact(document: Document) -> None:
    """Check the keys and types of a certificate of kind exact."""
    needed = "scale required forbidden dominators multipliers lower_bound"
    version = parse_head(document, needed, "packing branching")
    subject = document["subject"]
    keys("subject", subject, "id rewards cost candidates")
    for key in ("id", "cost"):
        if subject[key] is not None and not as_text(f"subject.{key}", subject[key]):
            expected(f"subject.{key}", "a column name or null", subject[key])
    rewards = as_texts("subject.rewards", subject["rewards"])
    if not rewards or not all(name.removeprefix("-") for name in rewards):
        expected("subject.rewards", "column names, at least one", "-" if rewards else [])
    as_integer("subject.candidates", subject["candidates"], 1)
    parse_scale("scale", document["scale"], len(rewards), version, "none", "minmax", "log")
    for key in ("required", "forbidden", "members"):
        as_texts(key, document[key])
    as_integers("dominators", document["dominators"], -1)
    parse_multipliers(document["multipliers"])
    if document["lower_bound"] != "infinity":
        as_ratio("lower_bound", document["lower_bound"])
    if "packing" in document and "branching" in document:
        raise CertificateParseError("certificate: expected packing or branching, not both")
    for key, last in (("packing", "y"), ("branching", "nodes")):
        if key in document:
            keys(key, document[key], f"weights {last}")
            size.parse_proof(key, document[key])


def parse_scale(where: str, scale: Any, d: int, version: int, *words: str) -> None:
    """A list of d words or ranges; in version 1 "none", "minmax" or a list of ranges."""
    if version == 1 and isinstance(scale, str):
        if scale not in words or scale == "log":
            expected(where, "another word", scale)
        return
    for k, entry in enumerate(as_list(where, scale, d)):
        if version == 1 or not isinstance(entry, str):
            as_range(f"{where}[{k}]", entry, version)
        elif entry not in words:
            expected(f"{where}[{k}]", f"{', '.join(words)} or [low, high]", entry)


def parse_multipliers(multipliers: Any) -> None:
    for i, row in enumerate(as_list("multipliers", multipliers)):
        as_integers("multipliers", row, 0, i)
        if len(row) < 3 or len(row) % 2 == 0:
            expected(f"multipliers[{i}]", "[i, p, a, p, a, ...]", row)
        if min(row[2::2]) < 1:
            expected(f"multipliers[{i}]", "positive integers a", row)


# The check


@dataclass(frozen=True)
class Claim:
    """A document beside its problem, the names looked up: row numbers throughout."""

    document: Document
    problem: Problem
    epsilon: Fraction
    delta: Fraction
    required: frozenset[int]
    forbidden: frozenset[int]
    members: list[int]
    costs: list[Fraction]
    work: Work

    def label(self, i: int) -> str:
        return f"candidate {i} ({show(self.problem.names[i])})"


def check_exact(document: Document, problem: Problem) -> Verified:
    """Check every claim of a certificate of kind exact."""
    claim = _resolve(document, problem)
    n = len(problem.names)
    infinite = document["lower_bound"] == "infinity"
    lower_bound = math.inf if infinite else as_ratio("lower_bound", document["lower_bound"])
    if infinite != (not claim.members):
        raise InvalidCertificate('lower_bound: "infinity" goes with an empty list of members, and only with it')
    order = _check_dominators(claim)
    proof = size.proof_of(document, len(problem.rewards))
    branched = frozenset(node[1] for node in proof[1] if node[0] == "branch") if proof else frozenset()
    if max(branched, default=0) >= n:
        raise InvalidCertificate(f"branching: candidate {show(max(branched))} is not in the file")
    selectable = _selectable(claim, order, branched) if proof else []
    rows = {row[0] for row in document["multipliers"] if row[0] < n} if claim.members else set(range(n))
    values = Values(claim, sorted(rows.union(claim.members, selectable)))
    _check_multipliers(claim, values)
    proved = _proved(claim, values, proof, selectable) if proof else Fraction(0)
    if lower_bound > proved:
        raise InvalidCertificate(f"lower_bound: {brief(lower_bound)} is claimed, {brief(proved)} is proved")
    cost = sum((claim.costs[i] for i in claim.members), Fraction(0))
    details = {"rewards": problem.rewards, "scale": scale_of(problem.scale), "required": len(claim.required)}
    details |= {"forbidden": len(claim.forbidden), "where": 0}
    return Verified(
        "exact", len(claim.members), cost, lower_bound, float_above(document["epsilon"]), float_above(document["delta"]),
        document["sha256"], details, _statement(claim, cost, lower_bound, proof),
    )  # fmt: skip


def _resolve(document: Document, problem: Problem) -> Claim:
    """Match the document with the problem and look its names up."""
    subject, version = document["subject"], document["version"]
    if subject["candidates"] != len(problem.names):
        what = f"{show(subject['candidates'])} claimed, the values have {len(problem.names)}"
        raise InvalidCertificate(f"subject.candidates: {what}")
    if subject["rewards"] != problem.rewards:
        raise InvalidCertificate("subject.rewards: not the rewards of the values")
    if (subject["cost"] is None) != (problem.costs is None):
        raise InvalidCertificate("subject.cost: the certificate and the values do not both have costs")
    if document["scale"] != written(problem.scale, version):
        raise InvalidCertificate("scale: not the scale of the values")
    index = {name: i for i, name in enumerate(problem.names)}
    named = [(key, name) for key in ("required", "forbidden", "members") for name in document[key]]
    unknown = next((f"{key}: {show(name)} is not in the values" for key, name in named if name not in index), "")
    found = problem.sha256(version)
    if found != document["sha256"]:
        why = unknown or _difference(problem, document)
        raise InvalidCertificate(
            f"sha256: the certificate is about {document['sha256']}, the values are {found}{why and '; '}{why}"
        )
    if unknown:
        raise InvalidCertificate(unknown)
    epsilon, delta = tolerances(document)
    required, forbidden = (frozenset(index[name] for name in document[key]) for key in ("required", "forbidden"))
    members = [index[name] for name in document["members"]]
    costs = [Fraction(1)] * len(index)
    if problem.costs is not None:
        costs = [Fraction(*pair) for pair in ratios(problem.costs, version)]
    claim = Claim(document, problem, epsilon, delta, required, forbidden, members, costs, Work())
    for i in required & forbidden:
        raise InvalidCertificate(f"required: {claim.label(i)} is also forbidden")
    if len(set(members)) != len(members):
        raise InvalidCertificate("members: a name is repeated")
    for i in required.difference(members) if members else ():
        raise InvalidCertificate(f"members: {claim.label(i)} is required and missing")
    for i in forbidden.intersection(members):
        raise InvalidCertificate(f"members: {claim.label(i)} is forbidden")
    return claim


def tolerances(document: Document) -> tuple[Fraction, Fraction]:
    """epsilon and delta."""
    epsilon, delta = (rational(document[key]) for key in ("epsilon", "delta"))
    if not 0 <= epsilon < 1:
        raise InvalidCertificate(f"epsilon: {brief(epsilon)} is not in [0, 1)")
    if delta < 0:
        raise InvalidCertificate(f"delta: {brief(delta)} is below 0")
    return epsilon, delta


def _difference(problem: Problem, document: Document) -> str:
    """How the values came to differ from those of the certificate, if by something common: the order of the rows."""
    n, d = len(problem.names), len(problem.rewards)
    orders = {"sorted by name": sorted(range(n), key=problem.names.__getitem__), "reversed": range(n)[::-1]}
    for how, order in orders.items():
        rows = [x for i in order for x in problem.values[i * d : i * d + d]]
        costs = problem.costs and [problem.costs[i] for i in order]
        other = Problem([problem.names[i] for i in order], problem.rewards, array("d", rows), costs, problem.scale)
        if other.sha256(document["version"]) == document["sha256"]:
            return f"it is about the same rows in another order ({how})"
    return "rows in another order, or a name or number changed, make it another problem"


def _check_dominators(claim: Claim) -> list[int]:
    """Check the dominators; the dominated rows in an order in which each comes after its dominator."""
    document, problem, n = claim.document, claim.problem, len(claim.problem.names)
    dominators: list[int] = document["dominators"]
    if not claim.members:
        if dominators or document["multipliers"]:
            raise InvalidCertificate("dominators, multipliers: expected none without members")
        return []
    if len(dominators) != n:
        raise InvalidCertificate(f"dominators: expected {n} entries, got {len(dominators)}")
    if max(dominators) >= n:
        raise InvalidCertificate(f"dominators: row {show(max(dominators))} is not in the file")
    claim.work.spend(300 * n * len(problem.rewards))
    target = [i if j < 0 else j for i, j in enumerate(dominators)]
    for k, reward in enumerate(problem.rewards):
        raw = problem.column(k)  # meaning, sign and scale are monotone: the float64 compare as the values do
        at_least = le if reward.startswith("-") else ge
        fine = list(map(at_least, map(raw.__getitem__, target), raw))
        for i in () if all(fine) else compress(range(n), map(not_, fine)):
            if problem.scale[k] != "log" or _log10(raw[i]) != _log10(raw[target[i]]):
                raise InvalidCertificate(f"dominators: row {target[i]} is below {claim.label(i)} in {show(reward)}")
    order: list[int] = []
    known = [j < 0 for j in dominators]  # to end at a row with multipliers of its own
    for start in range(n):
        if known[start]:
            continue
        path = {start: None}
        i = dominators[start]
        while not known[i]:
            if i in path:
                raise InvalidCertificate(f"dominators: {claim.label(i)} is reached from itself")
            path[i] = None
            i = dominators[i]
        for i in reversed(path):
            known[i] = True
            order.append(i)
    return order


def _log10(x: float) -> Decimal:
    return _LOG.log10(Decimal(repr(x)))


class Values:
    """The value vectors of some rows as integers: v_ik = units[k] * columns[k][position[i]], all units positive."""

    def __init__(self, claim: Claim, rows: list[int]) -> None:
        self.position = {i: at for at, i in enumerate(rows)}
        self.columns: list[list[int]] = []
        self.units: list[Fraction] = []
        version, problem = claim.document["version"], claim.problem
        for k, (reward, scale) in enumerate(zip(problem.rewards, problem.scale, strict=True)):
            raw = problem.column(k)
            numbers = [*map(raw.__getitem__, rows), *((min(raw), max(raw)) if scale in ("minmax", "log") else ())]
            claim.work.spend((20_000 if scale == "log" else 3_000) * len(numbers))
            if scale == "log":
                known = {x: _log10(x).as_integer_ratio() for x in set(numbers)}
                pairs = [known[x] for x in numbers]
            else:
                pairs = ratios(numbers, version)
            if not isinstance(scale, str):
                pairs += [rational(end).as_integer_ratio() for end in scale]
            column, denominator = over_common(pairs)
            negated = reward.startswith("-")
            if scale == "none":
                self.columns.append([-x for x in column] if negated else column)
                self.units.append(Fraction(1, denominator))
                continue
            high, low = column.pop(), column.pop()
            self.columns.append([high - x for x in column] if negated else [x - low for x in column])
            self.units.append(Fraction(1, high - low or 1))  # a column of zero width is 0


def _check_multipliers(claim: Claim, values: Values) -> None:
    """Check that every row without a dominator has multipliers, and that they serve it."""
    dominators, n, count = claim.document["dominators"], len(claim.problem.names), len(claim.members)
    keep = 1 - claim.epsilon
    columns = []
    for column, unit in zip(values.columns, values.units, strict=True):
        allowed = claim.delta / unit  # delta in the integers of this column
        common = math.lcm(keep.denominator, allowed.denominator)
        served = [common * column[values.position[i]] for i in claim.members]
        columns.append((served, int(keep * common), int(allowed * common), column))
    seen = bytearray(n)
    for entry, row in enumerate(claim.document["multipliers"]):
        i, places, amounts = row[0], row[1::2], row[2::2]
        where = f"multipliers[{entry}]"
        if i >= n:
            raise InvalidCertificate(f"{where}: row {show(i)} is not in the file")
        if seen[i]:
            raise InvalidCertificate(f"{where}: {claim.label(i)} has multipliers already")
        if dominators[i] >= 0:
            raise InvalidCertificate(f"{where}: {claim.label(i)} has a dominator too")
        seen[i] = 1
        if max(places) >= count or len(set(places)) != len(places):
            raise InvalidCertificate(f"{where}: expected distinct positions below {count}")
        total, at = sum(amounts), values.position[i]
        claim.work.spend((1_000 + len(places) * (100 + total.bit_length())) * len(columns))
        for k, (served, kept, slack, column) in enumerate(columns):
            if sum(map(mul, amounts, map(served.__getitem__, places))) < total * (kept * column[at] - slack):
                reward = show(claim.problem.rewards[k])
                raise InvalidCertificate(f"{where}: the members so mixed do not serve {claim.label(i)} in {reward}")
    for i, j in enumerate(dominators):
        if j < 0 and not seen[i]:
            raise InvalidCertificate(f"multipliers: {claim.label(i)} has neither multipliers nor a dominator")


def _selectable(claim: Claim, order: list[int], branched: frozenset[int]) -> list[int]:
    """The candidates whose coverage a proof of size must look at.

    All but the forbidden ones and those with a dominator further on (see `_check_dominators`) that is undecided in
    every leaf and costs no more: what such a candidate covers, its dominator covers, so the inequality of the
    dominator implies its own. One with a required dominator covers nothing that is not covered already.
    """
    dominators, costs = claim.document["dominators"], claim.costs
    cheapest: list[Fraction | float] = [math.inf] * len(costs)  # cost of the cheapest such dominator
    for i in order:
        j = dominators[i]
        if j in claim.required:
            cheapest[i] = -1.0
        elif j in claim.forbidden or j in branched or cheapest[j] < costs[j]:
            cheapest[i] = cheapest[j]
        else:
            cheapest[i] = costs[j]
    looked_at = claim.required | branched
    rest = (i for i, (own, least) in enumerate(zip(costs, cheapest, strict=True)) if own < least or i in looked_at)
    return [i for i in rest if i not in claim.forbidden]


def _proved(
    claim: Claim, values: Values, proof: tuple[list[list[int]], list[list[Any]]], selectable: list[int]
) -> Fraction | float:
    """What the proof of size proves."""
    weights, nodes = proof
    shared = math.lcm(*(unit.denominator for unit in values.units))
    units = [int(unit * shared) for unit in values.units]
    keep, delta = 1 - claim.epsilon, claim.delta * shared
    packed = size.Packed(
        values.columns, [u * max((w[k] for w in weights), default=0) for k, u in enumerate(units)], claim.work
    )
    covers = []
    for weight in weights:  # i covers w = W / S when W.v_i >= (1 - epsilon) max_j W.v_j - delta S
        scores = packed.scores(list(map(mul, units, weight)))
        covers.append(packed.reach(scores, math.ceil(keep * packed.largest(scores) - delta * sum(weight))))
    rows = list(values.position)
    required = sum(1 << values.position[i] for i in claim.required)
    undecided = sum(1 << values.position[i] for i in selectable) & ~required
    whole = all(cost.denominator == 1 for i, cost in enumerate(claim.costs) if i not in claim.forbidden)
    tree = size.Tree(covers, rows, [claim.costs[i] for i in rows], whole, claim.label, claim.work)
    return tree.bound(nodes, required, undecided)


def in_words(rewards: list[str], scale: list[Any], columns: Sequence[Sequence[float]], delta: Fraction) -> str:
    """The sentence on the scale, with the extremes of the columns."""
    ends = []
    for entry, column in zip(scale, columns, strict=True):
        low, high = min(column), max(column)
        exact = (_log10(low), _log10(high)) if entry == "log" else (repr(low), repr(high))
        ends.append((Fraction(exact[0]), Fraction(exact[1])))
    return scale_in_words(rewards, scale, ends, delta)


def members_in_words(names: list[str]) -> str:
    return f"the {counted(len(names), 'member')} ({listed(names)})"


def _statement(
    claim: Claim, cost: Fraction, lower_bound: Fraction | float, proof: tuple[list[list[int]], list[list[Any]]] | None
) -> tuple[str, ...]:
    """What was proved, in plain words."""
    problem, names = claim.problem, claim.problem.names
    columns = [problem.column(k) for k in range(len(problem.rewards))]
    best = f"the best of the {counted(len(names), 'candidate')} of the file"
    pool = [
        f"Rewards: {rewards_in_words(problem.rewards)}.",
        in_words(problem.rewards, problem.scale, columns, claim.delta),
        f"Columns of the file that were not used: {listed(problem.unused)}.",
        f"Required: {listed([names[i] for i in sorted(claim.required)])}."
        f" Forbidden: {listed([names[i] for i in sorted(claim.forbidden)])}. Preferences: all.",
    ]
    rules = "with the required and without the forbidden candidates " if claim.required or claim.forbidden else ""
    if not claim.members:
        assert proof is not None
        weight = proof[0][next(node[1] for node in proof[1] if node[0] == "uncovered")]
        at = listed([f"{a}/{sum(weight)} {r}" for a, r in zip(weight, problem.rewards, strict=True) if a])
        no = f"No portfolio {rules}serves every preference within the tolerance, at any cost: at the preference {at}"
        sentence = promise("no candidate that may be a member", claim.epsilon, claim.delta, best)
        return (*pool, f"{no} none has what is promised. Promised would be: {sentence}")
    quality = promise(
        f"the best of {members_in_words([names[i] for i in claim.members])}", claim.epsilon, claim.delta, best
    )
    if lower_bound >= cost:
        bound = f"No portfolio {rules}that keeps this promise costs less than these members, {plain(cost)}."
    elif lower_bound > 0:
        bound = f"No portfolio {rules}that keeps this promise costs less than {brief(lower_bound)}; these members cost {plain(cost)}."
    else:
        bound = f"These members cost {plain(cost)}; nothing is proved about how cheap a portfolio can be."
    return (quality, *pool, bound)
