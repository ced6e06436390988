"""Kind exact: the values of a finite pool, and the check that a portfolio serves every preference.

Quality: for every candidate i there is lambda >= 0 on the members with sum 1 and
sum_p lambda_p v_p >= (1 - epsilon) v_i - delta in every component. By the minimax theorem the portfolio then serves
every weight in the simplex. Size: see size.py. All arithmetic is on integers: column k holds integers A_ik and a
positive rational unit u_k with v_ik = u_k A_ik, so no comparison is rounded.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from itertools import compress
from operator import ge, le, mul, not_
from pathlib import Path
from typing import Any

from . import form, size
from .reading import over_common, rational, ratios
from .refuse import CertificateParseError, Document, InvalidCertificate, Work, need, show
from .statement import (
    Verified,
    brief,
    counted,
    directions,
    float_above,
    listed,
    plain,
    promise,
    scale_in_words,
)
from .table import Digest, Table

_LOG = Context(prec=15, rounding=ROUND_HALF_EVEN)


@dataclass
class Pool:
    """The finite pool of candidates that a certificate speaks of, as in the file: before sign and scale."""

    names: list[str]
    rewards: list[str]
    values: Any  # row by row: an array of n d float64
    costs: Any = None  # an array of n float64
    scale: Any = "none"  # d entries: a word or a pair of texts
    unused: list[str] = field(default_factory=list)  # columns of the file beside them

    def column(self, k: int) -> array[float]:
        """The n numbers of reward k."""
        found: array[float] = self.values[k :: len(self.rewards)]
        return found

    def sha256(self, version: int = 2) -> str:
        """Hash of the canonical problem, 64 hex digits."""
        head = {"candidates": len(self.names), "costs": self.costs is not None, "rewards": self.rewards}
        digest = Digest("problem", version, head | {"scale": written(self.scale, version)})
        digest.numbers(self.values, len(self.rewards))
        if self.costs is not None:
            digest.numbers(self.costs, len(self.costs))
        return digest.names(self.names)


def written(scale: list[Any], version: int) -> Any:
    """A scale as a certificate has it: in version 1 one word for all rewards, or ranges of hex-floats."""
    if version == 1 and scale[0] in ("none", "minmax") and scale.count(scale[0]) == len(scale):
        return scale[0]
    if version == 1:
        return [x if type(x) is str else [e if "x" in e else float(e).hex() for e in x] for x in scale]
    return scale


def read_values(path: str | Path, subject: dict[str, Any], scale: Any) -> Pool:
    """Read the values file that a certificate of kind exact speaks of; subject and scale as in the certificate.

    Raises CertificateParseError with the line, where the file is not such a table; OSError where it cannot be opened.
    """
    rewards, id_column, cost_column = subject["rewards"], subject["id"], subject["cost"]
    scale = [scale] * len(rewards) if isinstance(scale, str) else scale
    table = Table(path)
    columns = [table.find(name.removeprefix("-")) for name in rewards]
    logs = [at for at, entry in zip(columns, scale, strict=True) if entry == "log"]
    costs_at = None if cost_column is None else table.find(cost_column)
    names_at = None if id_column is None else table.find(id_column)
    names: dict[str, None] = {}
    numbers, costs = array("d"), array("d")
    for row in table.rows("candidate"):
        numbers.extend(table.numbers(row, columns))
        if logs:
            table.numbers(row, logs, least=5e-324)
        if costs_at is not None:
            costs.extend(table.numbers(row, [costs_at], least=0))
        name = str(len(names)) if names_at is None else row[names_at]
        if not name or name in names:
            what = "is repeated" if name else "is empty"
            raise CertificateParseError(f"{table.where()}: the name {show(name)} {what}")
        names[name] = None
    unused = [name for name in table.header if name not in table.used]
    return Pool(list(names), rewards, numbers, None if costs_at is None else costs, scale, unused)


def multiplier_row(where: str, value: Any) -> None:
    """The form of a row of multipliers."""
    form.integers(0)(where, value)
    if len(value) < 3 or len(value) % 2 == 0 or min(value[2::2]) < 1:
        raise CertificateParseError(f"{where}: expected [i, p, a, p, a, ...], positive integers a")


def entry(version: int, *words: str) -> form.Form:
    """The form of an entry of a scale; in version 1 a range."""
    inner = form.interval(version)
    return lambda where, value: (form.word(*words) if type(value) is str and version == 2 else inner)(where, value)


def parse_exact(document: Document) -> None:
    """Check the keys and types of a certificate of kind exact."""
    version = document["version"]
    single, column = version == 1 and type(document.get("scale")) is str, form.nullable(form.name)
    form.conform("", document, form.head(version) | {
        "subject": {"id": column, "rewards": [form.name], "cost": column, "candidates": form.integer(1)},
        "scale": form.word("none", "minmax") if single else [entry(version, "none", "minmax", "log")],
        "required": [form.name], "forbidden": [form.name], "members": [form.name], "dominators": form.integers(-1),
        "multipliers": [multiplier_row], "lower_bound": form.bound,
        "packing?": size.PACKING, "branching?": size.BRANCHING,
    })  # fmt: skip
    rewards = document["subject"]["rewards"]
    if not rewards or "-" in rewards:
        raise CertificateParseError("subject.rewards: expected column names, at least one")
    if not single and len(document["scale"]) != len(rewards):
        raise CertificateParseError(f"scale: expected {len(rewards)} entries, got {len(document['scale'])}")
    if "packing" in document and "branching" in document:
        raise CertificateParseError("certificate: expected packing or branching, not both")


@dataclass(frozen=True)
class Claim:
    """A document beside its pool, the names looked up: row numbers throughout."""

    document: Document
    pool: Pool
    epsilon: Fraction
    delta: Fraction
    required: frozenset[int]
    forbidden: frozenset[int]
    members: list[int]
    costs: list[Any]  # int or Fraction
    work: Work = field(default_factory=Work)

    def label(self, i: int) -> str:
        return f"candidate {i} ({show(self.pool.names[i])})"

    def named(self, rows: Any) -> str:
        return listed([self.pool.names[i] for i in rows])


def check_exact(document: Document, pool: Pool) -> Verified:
    """Check every claim of a certificate of kind exact."""
    claim = _resolve(document, pool)
    n = len(pool.names)
    lower = math.inf if document["lower_bound"] == "infinity" else rational(document["lower_bound"])
    paired = (lower == math.inf) == (not claim.members)
    need(paired, 'lower_bound: "infinity" goes with an empty list of members, and only with it')
    order = _check_dominators(claim)
    proof = size.proof_of(document, len(pool.rewards))
    branched = frozenset(node[1] for node in proof[1] if node[0] == "branch") if proof else frozenset()
    most = max(branched, default=0)
    need(most < n, f"branching: candidate {show(most)} is not in the file")
    selectable = _selectable(claim, order, branched) if proof else []
    rows = {row[0] for row in document["multipliers"] if row[0] < n} if claim.members else set(range(n))
    values = Values(claim, sorted(rows.union(claim.members, selectable)))
    _check_multipliers(claim, values)
    proved = _proved(claim, values, proof, selectable) if proof else Fraction(0)
    need(lower <= proved, f"lower_bound: {brief(lower)} is claimed, {brief(proved)} is proved")
    cost = sum((claim.costs[i] for i in claim.members), Fraction(0))
    details = {"rewards": pool.rewards, "scale": scale_of(pool.scale), "required": len(claim.required)}
    details |= {"forbidden": len(claim.forbidden), "where": 0}
    levels = float_above(document["epsilon"]), float_above(document["delta"])
    statement = _statement(claim, cost, lower, proof)
    return Verified("exact", len(claim.members), cost, lower, *levels, document["sha256"], details, statement)


def _resolve(document: Document, pool: Pool) -> Claim:
    """Match the document with the pool and look its names up."""
    subject, version, n = document["subject"], document["version"], len(pool.names)
    claimed = show(subject["candidates"])
    need(subject["candidates"] == n, f"subject.candidates: {claimed} claimed, the values have {n}")
    need(subject["rewards"] == pool.rewards, "subject.rewards: not the rewards of the values")
    both = (subject["cost"] is None) == (pool.costs is None)
    need(both, "subject.cost: the certificate and the values do not both have costs")
    need(document["scale"] == written(pool.scale, version), "scale: not the scale of the values")
    index = {name: i for i, name in enumerate(pool.names)}
    listed_names = ((key, name) for key in ("required", "forbidden", "members") for name in document[key])
    unknown = next((f"{key}: {show(name)} is not in the values" for key, name in listed_names if name not in index), "")
    found = pool.sha256(version)
    if found != document["sha256"]:
        what = f"sha256: the certificate is about {document['sha256']}, the values are {found}"
        raise InvalidCertificate(f"{what}: {unknown or _difference(pool, document)}")
    need(not unknown, unknown)
    epsilon, delta = tolerances(document)
    required, forbidden = (frozenset(index[name] for name in document[key]) for key in ("required", "forbidden"))
    members = [index[name] for name in document["members"]]
    costs: list[Any] = [1] * n
    if pool.costs is not None:
        costs = [Fraction(top, bottom) if bottom > 1 else top for top, bottom in ratios(pool.costs, version)]
    claim = Claim(document, pool, epsilon, delta, required, forbidden, members, costs)
    need(len(set(members)) == len(members), "members: a name is repeated")
    for i in required & forbidden:
        raise InvalidCertificate(f"required: {claim.label(i)} is also forbidden")
    for i in required.difference(members) if members else ():
        raise InvalidCertificate(f"members: {claim.label(i)} is required and missing")
    for i in forbidden.intersection(members):
        raise InvalidCertificate(f"members: {claim.label(i)} is forbidden")
    return claim


def tolerances(document: Document) -> tuple[Fraction, Fraction]:
    """epsilon and delta."""
    epsilon, delta = rational(document["epsilon"]), rational(document["delta"])
    need(0 <= epsilon < 1, f"epsilon: {brief(epsilon)} is not in [0, 1)")
    need(delta >= 0, f"delta: {brief(delta)} is below 0")
    return epsilon, delta


def _difference(pool: Pool, document: Document) -> str:
    """How the values came to differ from those of the certificate, where that can be seen."""
    n, d = len(pool.names), len(pool.rewards)
    for how, order in (("sorted by name", sorted(range(n), key=pool.names.__getitem__)), ("reversed", range(n)[::-1])):
        values = array("d", [x for i in order for x in pool.values[i * d : i * d + d]])
        costs = pool.costs and array("d", [pool.costs[i] for i in order])
        other = Pool([pool.names[i] for i in order], pool.rewards, values, costs, pool.scale)
        if other.sha256(document["version"]) == document["sha256"]:
            return f"it is about the same rows {how}"
    return "a number, a name or the order of the rows was changed"


def _check_dominators(claim: Claim) -> list[int]:
    """Check the dominators; the dominated rows in an order in which each comes after its dominator."""
    document, pool, n = claim.document, claim.pool, len(claim.pool.names)
    dominators: list[int] = document["dominators"]
    if not claim.members:
        need(not dominators and not document["multipliers"], "dominators, multipliers: expected none without members")
        return []
    need(len(dominators) == n, f"dominators: expected {n} entries, got {len(dominators)}")
    need(max(dominators) < n, f"dominators: row {show(max(dominators))} is not in the file")
    claim.work.spend(300 * n * len(pool.rewards))
    target = [i if j < 0 else j for i, j in enumerate(dominators)]
    for k, reward in enumerate(pool.rewards):
        raw = pool.column(k)  # meaning, sign and scale are monotone: the float64 compare as the values do
        fine = list(map(le if reward[0] == "-" else ge, map(raw.__getitem__, target), raw))
        for i in compress(range(n), map(not_, fine)):  # equal logarithms of unequal numbers are left to see
            if pool.scale[k] != "log" or _log10(raw[i]) != _log10(raw[target[i]]):
                raise InvalidCertificate(f"dominators: row {target[i]} is below {claim.label(i)} in {show(reward)}")
    order: list[int] = []
    known = [j < 0 for j in dominators]  # to end at a row with multipliers of its own
    for start in compress(range(n), map(not_, known[:])):
        if known[dominators[start]]:
            known[start] = True
            order.append(start)
            continue
        path: dict[int, None] = {}
        i = start
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
        for k, (reward, scale) in enumerate(zip(claim.pool.rewards, claim.pool.scale, strict=True)):
            raw, negated = claim.pool.column(k), reward[0] == "-"
            numbers = [*map(raw.__getitem__, rows), *((min(raw), max(raw)) if scale in ("minmax", "log") else ())]
            claim.work.spend((20_000 if scale == "log" else 3_000) * len(numbers))
            if scale == "log":
                known = {x: _log10(x).as_integer_ratio() for x in set(numbers)}
                pairs = [known[x] for x in numbers]
            else:
                pairs = ratios(numbers, claim.document["version"])
            if type(scale) is not str:
                pairs += [rational(end).as_integer_ratio() for end in scale]
            column, denominator = over_common(pairs)
            if scale == "none":
                self.columns.append([-x for x in column] if negated else column)
                self.units.append(Fraction(1, denominator))
                continue
            high, low = column.pop(), column.pop()
            self.columns.append([high - x for x in column] if negated else [x - low for x in column])
            self.units.append(Fraction(1, high - low or 1))  # a column of zero width is 0


def _check_multipliers(claim: Claim, values: Values) -> None:
    """Check that every row without a dominator has multipliers, and that they serve it."""
    dominators, n, count = claim.document["dominators"], len(claim.pool.names), len(claim.members)
    keep = 1 - claim.epsilon
    columns = []
    for column, unit in zip(values.columns, values.units, strict=True):
        allowed = claim.delta / unit  # delta in the integers of this column
        common = math.lcm(keep.denominator, allowed.denominator)
        served = [common * column[values.position[i]] for i in claim.members]
        columns.append((served, int(keep * common), int(allowed * common), column))
    seen = bytearray(n)
    for at, (i, *pairs) in enumerate(claim.document["multipliers"]):
        where, places, amounts = f"multipliers[{at}]", pairs[::2], pairs[1::2]
        need(i < n, f"{where}: row {show(i)} is not in the file")
        if seen[i] or dominators[i] >= 0:
            what = "multipliers already" if seen[i] else "a dominator too"
            raise InvalidCertificate(f"{where}: {claim.label(i)} has {what}")
        seen[i] = 1
        if max(places) >= count or len(set(places)) != len(places):
            raise InvalidCertificate(f"{where}: expected distinct positions below {count}")
        total, position = sum(amounts), values.position[i]
        claim.work.spend((1_000 + len(places) * (100 + total.bit_length())) * len(columns))
        for k, (served, kept, slack, column) in enumerate(columns):
            if sum(map(mul, amounts, map(served.__getitem__, places))) < total * (kept * column[position] - slack):
                reward = show(claim.pool.rewards[k])
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
    cheapest: list[Any] = [math.inf] * len(costs)  # cost of the cheapest such dominator
    for i in order:
        j = dominators[i]
        if j in claim.required:
            cheapest[i] = -1
        elif j in claim.forbidden or j in branched or cheapest[j] < costs[j]:
            cheapest[i] = cheapest[j]
        else:
            cheapest[i] = costs[j]
    looked_at = claim.required | branched
    rest = (i for i, (own, least) in enumerate(zip(costs, cheapest, strict=True)) if own < least or i in looked_at)
    return [i for i in rest if i not in claim.forbidden]


def _proved(claim: Claim, values: Values, proof: size.Proof, selectable: list[int]) -> Fraction | float:
    """What the proof of size proves."""
    weights, nodes = proof
    shared = math.lcm(*(unit.denominator for unit in values.units))
    units = [int(unit * shared) for unit in values.units]
    keep, delta = 1 - claim.epsilon, claim.delta * shared
    largest = [unit * max((weight[k] for weight in weights), default=0) for k, unit in enumerate(units)]
    packed = size.Packed(values.columns, largest, claim.work)
    covers = []
    for weight in weights:  # i covers w = W / S when W.v_i >= (1 - epsilon) max_j W.v_j - delta S
        scores = packed.scores(list(map(mul, units, weight)))
        covers.append(packed.reach(scores, math.ceil(keep * packed.largest(scores) - delta * sum(weight))))
    rows = list(values.position)
    required = sum(1 << values.position[i] for i in claim.required)
    undecided = sum(1 << values.position[i] for i in selectable) & ~required
    priced = enumerate(claim.costs) if claim.pool.costs is not None else ()
    whole = all(cost.denominator == 1 for i, cost in priced if i not in claim.forbidden)
    tree = size.Tree(covers, rows, [claim.costs[i] for i in rows], whole, claim.label, claim.work)
    return tree.bound(nodes, required, undecided)


# The statement


def scale_of(scale: list[Any]) -> list[Any]:
    """A scale for JSON and the last line."""
    return [entry if type(entry) is str else [plain(rational(end), whole=False) for end in entry] for entry in scale]


def in_words(pool: Any, delta: Fraction) -> str:
    """The sentence on the scale of a pool, or of scores."""
    ends = []
    for k, entry in enumerate(pool.scale):
        column = pool.values[k :: len(pool.rewards)]
        low, high = min(column), max(column)
        if type(entry) is not str:
            ends.append([rational(end) for end in entry])
        else:
            ends.append([Fraction(_log10(x) if entry == "log" else repr(x)) for x in (low, high)])
    return scale_in_words(pool.rewards, pool.scale, ends, delta)


def members_in_words(names: list[str]) -> str:
    return f"the best of the {counted(len(names), 'member')} ({listed(names)})"


def _statement(claim: Claim, cost: Fraction, lower: Fraction | float, proof: size.Proof | None) -> tuple[str, ...]:
    """What was proved, in plain words."""
    pool, n = claim.pool, len(claim.pool.names)
    best = f"the best of the {counted(n, 'candidate')} of the file"
    about = [
        directions(pool.rewards),
        in_words(pool, claim.delta),
        f"Columns of the file that were not used: {listed(pool.unused)}.",
        f"Required: {claim.named(sorted(claim.required))}. Forbidden: {claim.named(sorted(claim.forbidden))}."
        " Preferences: all.",
    ]
    rules = " with the required and without the forbidden candidates" if claim.required or claim.forbidden else ""
    if not claim.members and proof:
        weight = proof[0][next(node[1] for node in proof[1] if node[0] == "uncovered")]
        at = listed([f"{a}/{sum(weight)} {reward}" for a, reward in zip(weight, pool.rewards, strict=True) if a])
        some = promise("no candidate that may be a member", best, claim.epsilon, claim.delta)
        nothing = f"There is no portfolio{rules}, at any cost. {some.replace('every', 'some', 1)}"
        return (nothing, f"One such preference: {at}.", *about)
    quality = promise(members_in_words(claim.document["members"]), best, claim.epsilon, claim.delta)
    one = pool.costs is None
    these = f"These members {'are' if one else 'cost'} {plain(cost)}"
    if lower >= cost:
        size_ = f"{these}; no portfolio{rules} that keeps this promise {'is smaller' if one else 'costs less'}."
    elif lower > 0:
        least = f"{'has' if one else 'costs'} at least {brief(lower)}"
        size_ = f"{these}; a portfolio{rules} that keeps this promise {least}."
    else:
        size_ = f"{these}; nothing is proved about how {'few would do' if one else 'cheap others can be'}."
    return (quality, *about, size_)
