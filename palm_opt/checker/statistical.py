"""Kind statistical: a promise over all prompts like those sampled, with a stated confidence.

The theory is in docs/theory.md: L10. Means of differences are bounded from below on clusters that certify.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat
from operator import add, mul, truediv
from pathlib import Path
from typing import Any, cast

from . import form
from .conditional import count_rewards, match, power
from .exact import members_in_words, multiplier_row, scale_of
from .memory import flat, labels
from .reading import over_common, rational, ratios
from .refuse import BeyondLimits, CertificateParseError, Document, InvalidCertificate, Work, need, show
from .statement import Verified, counted, float_above, listed, plain, promise
from .table import Digest, Table

# The bets of the betting bound, see docs/certificate-format.md: powers of two and three quarters of them.
_BETS = [x / (1 << g) for g in range(8) for x in (1.0, 0.75)][:15]


@dataclass
class Samples:
    """Rewards of generations of candidates on prompts (kind statistical).

    Parameters
    ----------
    rewards : list of str, length d
    candidates, prompts : distinct names, n and m of them, in the order in which they first occur in the rows
    values : N rows of d floats, or a C-contiguous buffer of float64 of shape (N, d)
        One row a generation. Kept as a flat array.
    clusters : list of str, length m, or None
        The cluster of each prompt; None means that each prompt is one of its own, of the same name.
    prompt_of, candidate_of : N integers each
        The prompt and the candidate of each row, by position; without both of them N is m * n and row t is prompt
        t // n and candidate t % n.

    Raises
    ------
    CertificateParseError
        Where shapes do not fit, a number is not finite, or names repeat.
    """

    rewards: list[str]
    candidates: list[str]
    prompts: list[str]
    values: Any
    clusters: list[str] | None = None
    prompt_of: Iterable[int] | None = None
    candidate_of: Iterable[int] | None = None

    def __post_init__(self) -> None:
        for key in ("rewards", "candidates", "prompts"):
            setattr(self, key, labels(f"samples: {key}", getattr(self, key)))
        n, m = len(self.candidates), len(self.prompts)
        if self.clusters is not None:
            self.clusters = list(self.clusters)
            if len(self.clusters) != m or not all(type(name) is str and name for name in self.clusters):
                raise CertificateParseError(f"samples: clusters: expected {m} non-empty names")
        if self.prompt_of is None or self.candidate_of is None:
            if self.prompt_of is not None or self.candidate_of is not None:
                raise CertificateParseError("samples: expected prompt_of and candidate_of, or neither")
            self.prompt_of = (x for x in range(m) for _ in range(n))
            self.candidate_of = (i for _ in range(m) for i in range(n))
        self.prompt_of = _indices("samples: prompt_of", self.prompt_of, m)
        self.candidate_of = _indices("samples: candidate_of", self.candidate_of, n)
        if len(self.prompt_of) != len(self.candidate_of):
            raise CertificateParseError("samples: prompt_of and candidate_of: expected the same length")
        self.values = flat("samples: values", self.values, len(self.prompt_of), len(self.rewards))

    def subject(self) -> dict[str, Any]:
        """What a certificate has under `subject`."""
        head = {"type": "samples", "rewards": self.rewards, "candidates": len(self.candidates)}
        rows = len(cast("array[int]", self.prompt_of))
        return head | {"prompts": len(self.prompts), "rows": rows, "cluster": self.clusters is not None}

    def sha256(self, version: int = 2) -> str:
        """Hash of the canonical samples, 64 hex digits; see docs/certificate-format.md."""
        head = {key: value for key, value in self.subject().items() if key != "type"}
        digest = Digest("samples", version, head)
        digest.integers(cast("array[int]", self.prompt_of))
        digest.integers(cast("array[int]", self.candidate_of))
        digest.numbers(self.values, len(self.rewards))
        return digest.names([self.candidates, self.prompts, self.clusters])


def _indices(kind: str, numbers: Iterable[int], limit: int) -> array[int]:
    """Numbers below `limit` that first appear in the order 0, 1, .., limit - 1."""
    try:
        found = array("I", numbers)
    except (TypeError, ValueError, OverflowError) as error:
        raise CertificateParseError(f"{kind}: expected integers >= 0: {error}") from None
    if list(dict.fromkeys(found)) != list(range(limit)):
        raise CertificateParseError(f"{kind}: expected the numbers 0 to {limit - 1}, in this order where first used")
    return found


def read_samples(path: str | Path, subject: dict[str, Any]) -> Samples:
    """Read the samples that a statistical certificate speaks of: prompt, candidate, the rewards, maybe cluster."""
    table = Table(path)
    prompt_at, candidate_at = table.find("prompt"), table.find("candidate")
    cluster_at = table.find("cluster") if subject["cluster"] else None
    columns = [table.find(name) for name in subject["rewards"]]
    prompts: dict[str, int] = {}
    candidates: dict[str, int] = {}
    clusters: list[str] = []
    prompt_of, candidate_of, values = array("I"), array("I"), array("d")
    for row in table.rows("generation"):
        prompt = prompts.setdefault(row[prompt_at], len(prompts))
        prompt_of.append(prompt)
        candidate_of.append(candidates.setdefault(row[candidate_at], len(candidates)))
        values.extend(table.numbers(row, columns))
        if cluster_at is not None:
            if prompt == len(clusters):
                clusters.append(row[cluster_at])
            elif clusters[prompt] != row[cluster_at]:
                raise CertificateParseError(f"{table.where()}: the prompt has another cluster further up")
    named = None if cluster_at is None else clusters
    try:
        return Samples(subject["rewards"], list(candidates), list(prompts), values, named, prompt_of, candidate_of)
    except CertificateParseError as error:
        raise CertificateParseError(f"{path}: {error}") from None


def parse_samples(document: Document) -> None:
    """Check the keys and types of a certificate of kind statistical."""
    version, d = document["version"], count_rewards(document)
    bets = form.word("null, since the method is not betting")
    if document.get("method") == "betting":
        bets = [form.several(form.integer(1, 1023), d)]
    rule = {"seed": form.integer(0), "selection": form.number(version)}
    if isinstance(document.get("certification"), dict) and "clusters" in document["certification"]:
        rule = {"clusters": [form.name]}
    count = form.integer(0)
    form.conform("", document, form.head(version) | {
        "subject": {
            "type": form.word("samples"), "rewards": [form.name], "candidates": count, "prompts": count, "rows": count,
            "cluster": form.boolean,
        },
        "objective": form.word("reward"), "scale": form.word("none", "ranges"),
        "ranges": form.several(form.interval(version), d), "alpha": form.number(version),
        "method": form.word("betting", *_METHODS), "look": count, "simultaneous": form.boolean,
        "bets": form.nullable(bets), "members": [form.name], "multipliers": [multiplier_row], "certification": rule,
    })  # fmt: skip


# The check


def check_samples(document: Document, samples: Samples) -> Verified:
    """Check every claim of a certificate of kind statistical."""
    epsilon, delta = match(document, samples)
    alpha, look, work = rational(document["alpha"]), document["look"], Work()
    if not 0 < alpha < 1:
        raise InvalidCertificate("alpha: expected a number between 0 and 1")
    index = {name: i for i, name in enumerate(samples.candidates)}
    for member in document["members"]:
        need(member in index, f"members: {show(member)} is not in the file")
    members = [index[name] for name in document["members"]]
    if not members or len(set(members)) < len(members):
        raise InvalidCertificate("members: expected distinct names, at least one")
    mixes = _mixes(document, samples, members, epsilon)
    clusters, prompts = _certification(document["certification"], samples)
    means, clipped = _cluster_means(document, samples, clusters, work)
    tests = []
    for i, mix in mixes.items():
        for k, pair in enumerate(document["ranges"]):
            low, high = map(rational, pair)
            if document["scale"] == "ranges":
                low, high = Fraction(0), Fraction(1)
            down = sum((c for c in mix.values() if c < 0), Fraction(0))
            width = sum(map(abs, mix.values()), Fraction(0))
            least = low * sum(mix.values()) + (high - low) * down  # of X
            if least < 0:
                tests.append((i, k, (-delta - least) / ((high - low) * width)))
    level = alpha / (look * (look + 1) or 1) / (len(tests) or 1 if document["simultaneous"] else 1)
    bets = document["bets"]
    if bets is not None and len(bets) != len(samples.candidates):
        raise InvalidCertificate(f"bets: expected {len(samples.candidates)} rows, got {len(bets)}")
    for i, k, needed in tests:
        if needed <= 0:
            continue
        work.spend(300 * len(clusters) * (len(mixes[i]) + 10))
        y = _differences(mixes[i], means[k])
        if document["method"] == "betting":
            held = _betting(y, needed, level, _BETS if bets is None else [bets[i][k] / 1024])
        else:
            held = _METHODS[document["method"]](y, needed, level)
        if not held:
            where = f"candidate {i} ({show(samples.candidates[i])}) in {show(samples.rewards[k])}"
            raise InvalidCertificate(f"multipliers: delta is not shown for {where}")
    details = {"rewards": samples.rewards, "scale": "none", "alpha": float_above(document["alpha"])}
    if document["scale"] == "ranges":
        details["scale"] = scale_of(document["ranges"])
    details |= {"method": document["method"], "simultaneous": document["simultaneous"], "look": look}
    details |= {"clusters": len(clusters), "prompts": prompts, "clipped": clipped, "reference": "pool"}
    size, levels = len(members), (float_above(document["epsilon"]), float_above(document["delta"]))
    head = "statistical", size, Fraction(size), Fraction(0), *levels, document["sha256"]
    return Verified(*head, details, _statement(document, samples, epsilon, delta, details))


def _statement(
    document: Document, samples: Samples, epsilon: Fraction, delta: Fraction, details: dict[str, Any]
) -> tuple[str, ...]:
    """What was proved, in plain words."""
    ranges = [
        f"{listed([reward])} to {plain(rational(low))} .. {plain(rational(high))}"
        for reward, (low, high) in zip(samples.rewards, document["ranges"], strict=True)
    ]
    best = f"the best of the {counted(len(samples.candidates), 'candidate')} of the file"
    tested = f"{counted(details['clusters'], 'cluster')} with {counted(details['prompts'], 'prompt')}"
    look = f", as look {document['look']} of any number" if document["look"] else ""
    own = "these as 0 to 1" if document["scale"] == "ranges" else "the units of each"
    unit = "clusters of prompts" if document["subject"]["cluster"] else "prompts"
    return (
        promise(members_in_words(document["members"]), best, epsilon, delta),
        "It is about mean rewards over all prompts of the kind sampled, not only those of the file, and false with"
        f" probability at most {plain(rational(document['alpha']))}{look}; tested on {tested}.",
        f"Rewards (higher is better): each generation is clipped, {listed(ranges)}; delta is in {own}."
        f" {counted(details['clipped'], 'generation')} clipped. Preferences: all.",
        f"Taken on trust: the {unit} were drawn independently; candidates, members, multipliers, bets, tolerances,"
        " ranges and method were fixed without looking at those that certify.",
        "Nothing is proved about how few candidates would do.",
    )


def _mixes(
    document: Document, samples: Samples, members: list[int], epsilon: Fraction
) -> dict[int, dict[int, Fraction]]:
    """For each candidate i the coefficients c of sum_p lambda_p r_p - (1 - epsilon) r_i, by candidate."""
    mixes: dict[int, dict[int, Fraction]] = {}
    for entry, row in enumerate(document["multipliers"]):
        i, places, amounts = row[0], row[1::2], row[2::2]
        if i >= len(samples.candidates) or i in mixes:
            raise InvalidCertificate(f"multipliers[{entry}]: expected another candidate, by number")
        if max(places) >= len(members) or len(set(places)) != len(places):
            raise InvalidCertificate(f"multipliers[{entry}]: expected distinct positions below {len(members)}")
        mix = {members[p]: Fraction(a, sum(amounts)) for p, a in zip(places, amounts, strict=True)}
        mix[i] = mix.get(i, Fraction(0)) - (1 - epsilon)
        mixes[i] = mix
    for i in range(len(samples.candidates)):
        if i not in mixes:
            raise InvalidCertificate(f"multipliers: candidate {i} ({show(samples.candidates[i])}) has none")
    return mixes


def _certification(rule: dict[str, Any], samples: Samples) -> tuple[dict[str, list[int]], int]:
    """The prompts of each cluster that certifies, and their number."""
    names = samples.prompts if samples.clusters is None else samples.clusters
    clusters: dict[str, list[int]] = {}
    for x, cluster in enumerate(names):
        clusters.setdefault(cluster, []).append(x)
    if "clusters" in rule:
        for name in rule["clusters"]:
            if name not in clusters:
                raise InvalidCertificate(f"certification: the cluster {show(name)} is not in the file")
        chosen = dict.fromkeys(rule["clusters"])
        if len(chosen) < len(rule["clusters"]):
            raise InvalidCertificate("certification: a cluster is repeated")
    else:
        selection = rational(rule["selection"])
        if not 0 <= selection < 1:
            raise InvalidCertificate("certification: expected a selection from 0 to below 1")
        start = hashlib.sha256(b"palm_opt split 1\n" + str(rule["seed"]).encode("ascii") + b"\n")
        chosen = {}
        for name in clusters:
            digest = start.copy()
            digest.update(name.encode("utf-8", "surrogatepass"))
            if int.from_bytes(digest.digest()[:8], "big") >= selection * 2**64:
                chosen[name] = None
    if len(chosen) < 2:
        raise InvalidCertificate("certification: expected at least two clusters")
    return {name: clusters[name] for name in chosen}, sum(len(clusters[name]) for name in chosen)


def _cluster_means(
    document: Document, samples: Samples, clusters: dict[str, list[int]], work: Work
) -> tuple[list[list[array[float]]], int]:
    """means[k][i]: the mean of each cluster, clipped and mapped to [0, 1], within 2^-39; and how many were clipped.

    Generations are summed in multiples of 2^-40, rounded down.
    """
    n, d = len(samples.candidates), len(samples.rewards)
    place = {x: at for at, x in enumerate(x for prompts in clusters.values() for x in prompts)}
    cells = [at * n + i if (at := place.get(x, -1)) >= 0 else -1 for x, i in _cells(samples)]
    work.spend(500 * n * len(place))
    counts = array("Q", bytes(8 * n * len(place)))
    for cell in cells:
        if cell >= 0:
            counts[cell] += 1
    if max(counts) >= 1 << 22:
        raise BeyondLimits("certification: more generations of one prompt than this checker can take")
    if not all(counts):
        at, i = divmod(counts.index(0), n)
        prompt = next(x for x, other in place.items() if other == at)
        who = f"candidate {i} ({show(samples.candidates[i])})"
        raise InvalidCertificate(f"certification: {who} has no generation for prompt {show(samples.prompts[prompt])}")
    means = []
    outside = bytearray(len(cells))
    for k, pair in enumerate(document["ranges"]):
        work.spend(4_000 * len(cells))
        ends = [rational(end).as_integer_ratio() for end in pair]
        *column, low, high = over_common(ratios(samples.values[k::d], document["version"]) + ends)[0]
        sums = array("q", bytes(8 * len(counts)))
        for at, (cell, x) in enumerate(zip(cells, column, strict=True)):
            if cell >= 0:
                if not low <= x <= high:
                    outside[at] = 1
                    x = min(max(x, low), high)
                sums[cell] += (x - low << 40) // (high - low)
        cell_means = array("d", map(truediv, sums, map(mul, counts, repeat(1 << 40))))
        means.append([array("d") for _ in range(n)])
        start = 0
        for prompts in clusters.values():
            stop = start + len(prompts) * n
            for i, mean in enumerate(means[-1]):
                mean.append(math.fsum(cell_means[start + i : stop : n]) / len(prompts))
            start = stop
    return means, sum(outside)


def _cells(samples: Samples) -> Iterator[tuple[int, int]]:
    return zip(cast("array[int]", samples.prompt_of), cast("array[int]", samples.candidate_of), strict=True)


def _differences(mix: dict[int, Fraction], means: list[array[float]]) -> list[float]:
    """Lower bounds of Y = (X - least X) / (greatest X - least X) in [0, 1], a cluster each."""
    width = sum(map(abs, mix.values()), Fraction(0))
    down = sum((c for c in mix.values() if c < 0), Fraction(0)) / width
    margin = 2.0**-36 + len(mix) * 2.0**-52  # more than the error of the means, the coefficients and the sums
    total: list[float] = [-float(down) - margin] * len(means[0])
    for i, c in mix.items():
        if c:
            total = list(map(add, total, map(mul, means[i], repeat(float(c / width)))))
    return [min(max(y, 0.0), 1.0) for y in total]


def _betting(y: list[float], needed: Fraction, level: Fraction, bets: list[float]) -> bool:
    """Whether bets against a mean of at most `needed` multiply the capital by 1 / level.

    The capital is the average over the bets b of prod_t (1 - b + b y_t / needed). It is computed in floats; each of
    its factors is right to a relative 2^-51, products are kept in range by their exponents.
    """
    mean = _round_up(max(needed, Fraction(1, 1 << 15)))
    if mean >= 1:
        return False
    spread = math.fsum(map(mul, y, y)) / len(y)
    edge = math.fsum(y) / len(y) - mean
    best = mean * edge / (spread - 2 * mean * (edge + mean) + mean * mean + 1e-300)  # of the growth, to second order
    goal = len(bets) / level / (1 - Fraction(len(y), 1 << 48))
    capital = Fraction(0)
    for bet in sorted(bets, key=lambda bet: abs(bet - best)):
        factors = list(map(add, map(mul, y, repeat(bet / mean)), repeat(1 - bet)))
        if min(factors) < 2.0**-15:
            continue  # a bet of nearly all, that lost nearly all: nothing is counted
        mantissa, exponent = 1.0, 0
        for start in range(0, len(factors), 32):
            mantissa, more = math.frexp(mantissa * math.prod(factors[start : start + 32]))
            exponent += more
        if exponent > -10_000:
            capital += Fraction(mantissa) * power(exponent)
        if capital >= goal:
            return True
    return False


def _bernstein(y: list[float], needed: Fraction, level: Fraction) -> bool:
    """Whether the empirical Bernstein bound (Maurer and Pontil, 2009) puts the mean above `needed`."""
    count, mean = len(y), math.fsum(y) / len(y)
    variance = math.fsum((x - mean) ** 2 for x in y) / (count - 1)
    log = _log(2 / level)
    return mean - math.sqrt(2 * variance * log / count) - 7 * log / (3 * (count - 1)) - 2.0**-30 >= _round_up(needed)


def _hoeffding(y: list[float], needed: Fraction, level: Fraction) -> bool:
    """Whether Hoeffding's inequality puts the mean above `needed`."""
    return math.fsum(y) / len(y) - math.sqrt(_log(1 / level) / (2 * len(y))) - 2.0**-30 >= _round_up(needed)


_METHODS: dict[str, Callable[[list[float], Fraction, Fraction], bool]]
_METHODS = {"bernstein": _bernstein, "hoeffding": _hoeffding}


def _round_up(number: Fraction) -> float:
    """A float at or just above a number of moderate size."""
    near = float(number)
    return near if near >= number else math.nextafter(near, math.inf)


def _log(number: Fraction) -> float:
    """A float just above the logarithm of a number > 1."""
    return (math.log(number.numerator) - math.log(number.denominator)) * (1 + 2.0**-40) + 2.0**-40
