"""Kind conditional, from reward scores of a reference policy: the closed form of the optimum under a KL penalty.

The theory is in docs/theory.md: L7. Bounds on OPT come from its evaluation in floats, with a stated error; the check of
the promise is that of conditional.py.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise, repeat
from operator import add, mul, sub
from pathlib import Path
from typing import Any

from . import form, refuse
from .conditional import Outer, Promise, check_members, corner_form, count_rewards, match, verified
from .exact import entry, in_words, scale_of, written
from .memory import flat, labels, scales
from .reading import over_common, rational, ratios
from .refuse import BeyondLimits, CertificateParseError, Document, InvalidCertificate, Work, need, show
from .statement import Verified, directions, plain
from .table import Digest, Table


@dataclass
class Scores:
    """Rewards of responses that a reference policy gave to prompts.

    Parameters
    ----------
    rewards : list of str, length d
    counts : the number of responses to each prompt, >= 1
    values : N rows of d floats, or a C-contiguous buffer of float64 of shape (N, d)
        The rewards of all responses, prompt after prompt; N is the sum of `counts`. Kept as a flat array.
    log_weights : N floats or None
        Logarithms of the reference's weights, up to a constant for each prompt; None means equal weights.
    scale : "none" or (low, high), or a list of d of these
        As for kind exact; a leading ``-`` of a reward negates its column.

    Raises
    ------
    CertificateParseError
        Where shapes do not fit or a number is not finite.
    """

    rewards: list[str]
    counts: Any
    values: Any
    log_weights: Any = None
    scale: Any = "none"

    def __post_init__(self) -> None:
        self.rewards = labels("scores: rewards", self.rewards)
        try:
            self.counts = array("Q", self.counts)
        except (TypeError, ValueError, OverflowError) as error:
            raise CertificateParseError(f"scores: counts: expected integers >= 0: {error}") from None
        if not self.counts or min(self.counts) < 1:
            raise CertificateParseError("scores: counts: expected at least one prompt, and a response to each")
        self.values = flat("scores: values", self.values, sum(self.counts), len(self.rewards))
        if self.log_weights is not None:
            self.log_weights = flat("scores: log_weights", [(x,) for x in self.log_weights], sum(self.counts), 1)
        self.scale = scales("scores: scale", self.scale, len(self.rewards), "none")

    def subject(self) -> dict[str, Any]:
        """What a certificate has under `subject`, the names of columns apart."""
        return {"type": "scores", "rewards": self.rewards, "prompts": len(self.counts)}

    def column(self, k: int, version: int = 2) -> Sequence[float]:
        """Reward k of all responses, after sign and scale, within a relative 2^-51."""
        column: array[float] = self.values[k :: len(self.rewards)]
        negated, scale = self.rewards[k].startswith("-"), self.scale[k]
        if scale == "none":
            return [-x for x in column] if negated else column
        ends = [rational(end).as_integer_ratio() for end in scale]
        *integers, low, high = over_common(ratios(column, version) + ends)[0]
        try:
            return [(high - x if negated else x - low) / (high - low) for x in integers]
        except OverflowError:
            raise BeyondLimits(f"scale: the reward {show(self.rewards[k])} is beyond float64 on it") from None

    def sha256(self, version: int = 2) -> str:
        """Hash of the canonical scores, 64 hex digits; see docs/certificate-format.md."""
        head = {"log_weight": self.log_weights is not None, "prompts": len(self.counts), "rewards": self.rewards}
        digest = Digest("scores", version, head | {"scale": written(self.scale, version)})
        digest.integers(self.counts)
        digest.numbers(self.values, len(self.rewards))
        if self.log_weights is not None:
            digest.numbers(self.log_weights, 1)
        return digest.hash.hexdigest()


def read_scores(path: str | Path, subject: dict[str, Any], scale: Any) -> Scores:
    """Read the scores that a conditional certificate speaks of: a column of prompts, the rewards, maybe log weights."""
    table = Table(path)
    prompt_at = table.find(subject["prompt"])
    columns = [table.find(name.removeprefix("-")) for name in subject["rewards"]]
    weight_at = None if subject["log_weight"] is None else table.find(subject["log_weight"])
    counts: dict[str, int] = {}
    values, log_weights = array("d"), array("d")
    last = None
    for row in table.rows("response"):
        prompt = row[prompt_at]
        if prompt != last and prompt in counts:
            raise CertificateParseError(f"{table.where()}: prompt {show(prompt)} comes again after another prompt")
        last = prompt
        counts[prompt] = counts.get(prompt, 0) + 1
        values.extend(table.numbers(row, columns))
        if weight_at is not None:
            log_weights.extend(table.numbers(row, [weight_at]))
    read = None if weight_at is None else log_weights
    return Scores(subject["rewards"], list(counts.values()), values, read, scale)


def parse_scores(document: Document) -> None:
    """Check the keys and types of a certificate about scores."""
    version, d = document["version"], count_rewards(document)
    single = version == 1 and type(document.get("scale")) is str
    form.conform("", document, form.head(version) | corner_form(document, d) | {
        "subject": {
            "type": form.word("scores"), "prompt": form.name, "rewards": [form.name], "prompts": form.integer(0),
            "log_weight": form.nullable(form.name),
        },
        "scale": form.word("none") if single else form.several(entry(version, "none"), d),
        "beta": form.number(version), "weights": [form.several(form.number(version), d)],
    })  # fmt: skip


def check_scores(document: Document, scores: Scores) -> Verified:
    """Check every claim of a certificate about scores."""
    need(document["scale"] == written(scores.scale, document["version"]), "scale: not the scale of the scores")
    both = (document["subject"]["log_weight"] is None) == (scores.log_weights is None)
    need(both, "subject.log_weight: the certificate and the scores do not both have log weights")
    epsilon, delta = match(document, scores)
    count, beta, prompts = len(document["weights"]), plain(rational(document["beta"]), whole=False), len(scores.counts)
    check_members(document["members"], count)
    claim = _promise(document, scores, epsilon, delta)
    details = {
        "scale": scale_of(scores.scale),
        "reference": "gibbs",
        "beta": beta,
        "prompts": prompts,
        "planned": count,
    }
    lines = [
        f"{directions(scores.rewards)} Preferences: all.",
        in_words(scores, delta),
        f"Values are mean rewards less {beta} times the KL divergence from the reference policy, over the {prompts}"
        " prompts and the responses of the file only: an estimate of what training reaches.",
    ]
    return verified(claim, count, details, "every policy over these responses", "planned weight", lines)


def _promise(document: Document, scores: Scores, epsilon: Fraction, delta: Fraction) -> Promise:
    """The bounds of the closed form at the planned weights, with their rounding margins."""
    if rational(document["beta"]) <= 0:
        raise InvalidCertificate("beta: expected a number > 0")
    if len(document["weights"]) > refuse.MAX_WEIGHTS:
        raise BeyondLimits(f"weights: more than {refuse.MAX_WEIGHTS} are beyond this checker")
    work = Work()
    gibbs = Gibbs(scores, float(rational(document["beta"])), document["version"])
    needed = range(len(document["weights"])) if "answered" in document else frozenset(document["members"])
    asked: dict[int, list[Fraction]] = {}
    upper, spare = {}, {}
    lower: dict[int, list[Fraction]] = {}
    values: list[tuple[int, int]] = []
    for j, texts in enumerate(document["weights"]):
        weight = [rational(text) for text in texts]
        if min(weight) < 0 or not any(weight):
            raise InvalidCertificate(f"weights: weight {j} is not >= 0, or all 0")
        total = sum(weight)
        work.spend(200 * len(scores.values) + 300 * len(scores.counts))
        optimum, vector = gibbs.evaluate([float(x / total) for x in weight], j in needed)
        asked[j] = weight
        upper[j] = total * (Fraction(optimum) + gibbs.margin)
        spare[j] = total * (Fraction(optimum) - gibbs.margin)
        lower[j] = [Fraction(math.nextafter(x - gibbs.value_margin, -math.inf)) for x in vector]
        values += [math.nextafter(x + gibbs.value_margin, math.inf).as_integer_ratio() for x in vector]
    outer = Outer(asked, upper, None, work)
    return Promise(document, epsilon, delta, outer, lower, over_common(values), spare, None, work)


class Gibbs:
    """OPT(w) = mean_x beta log sum_y q exp(w.r / beta) of the closed form, and the value vectors of its policies.

    Floats, rounded to nearest; `margin` bounds the error of OPT(w), `value_margin` that of each value. The error is
    that of sums of at most d + 1 terms of size A = max |r| / beta + max |log q| in the exponents, and of `math.exp` and
    `math.log`, which are taken to be right to a relative 2^-46 (docs/theory.md, L7).
    """

    def __init__(self, scores: Scores, beta: float, version: int = 2) -> None:
        self.d, self.beta = len(scores.rewards), beta
        self.columns = [scores.column(k, version) for k in range(self.d)]
        self.log_weights = scores.log_weights
        self.prompts = [slice(a, b) for a, b in pairwise([0, *accumulate(scores.counts)])]
        largest = max(max(map(abs, column)) for column in self.columns)
        size = largest / beta if 1e-100 < beta < 1e100 else math.inf
        if self.log_weights:
            size += max(max(self.log_weights), -min(self.log_weights))
        if not size < 2.0**30:
            raise BeyondLimits("beta: it, or the rewards beside it, are too large or too small for this checker")
        error = (self.d + 8) * size * 2.0**-49 + 2.0**-38
        self.margin = Fraction(beta * error) + Fraction(largest * 2.0**-48)
        self.value_margin = 4 * (largest + beta) * error
        self.norms = [math.log(piece.stop - piece.start) for piece in self.prompts]
        if self.log_weights:
            self.norms = [self._sum(self.log_weights[piece])[0] for piece in self.prompts]

    @staticmethod
    def _sum(exponents: Sequence[float]) -> tuple[float, list[float], float]:
        """log sum exp, the terms over the largest of them, and their sum."""
        top = max(exponents)
        terms = list(map(math.exp, map(sub, exponents, repeat(top))))
        total = math.fsum(terms)
        return top + math.log(total), terms, total

    def evaluate(self, weight: list[float], with_value: bool) -> tuple[float, list[float]]:
        """OPT at a weight with sum 1, and the value vector of its policy (zeros where it is not asked for)."""
        exponents = self.log_weights or [0.0] * len(self.columns[0])
        for column, w in zip(self.columns, weight, strict=True):
            if w:
                exponents = list(map(add, exponents, map(mul, column, repeat(w / self.beta))))
        logs = []
        parts: list[list[float]] = [[] for _ in self.columns]
        for piece, norm in zip(self.prompts, self.norms, strict=True):
            log, terms, total = self._sum(exponents[piece])
            logs.append(log - norm)
            for part, column in zip(parts, self.columns, strict=True) if with_value else ():
                part.append(math.fsum(map(mul, terms, column[piece])) / total)
        optimum = self.beta * (math.fsum(logs) / len(logs))
        if not with_value:
            return optimum, [0.0] * self.d
        rewards = [math.fsum(part) / len(part) for part in parts]
        penalty = math.fsum(map(mul, weight, rewards)) - optimum  # beta KL, since w.v = OPT(w)
        return optimum, [reward - penalty for reward in rewards]
