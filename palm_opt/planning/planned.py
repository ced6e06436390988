"""A plan: weights to train with what the closed form expects of them; plan.json."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt._version import __version__
from palm_opt.errors import ProblemError
from palm_opt.result import Certificate, Stop
from palm_opt.storage import read_bytes, write_json
from palm_opt.tables import scales

__all__ = ["Plan", "Planned"]

_FORMAT, _VERSION = "palm_opt plan", 1
_LARGEST = 2**28  # bytes of a plan.json


@dataclass(frozen=True)
class Planned:
    """A policy to train: one weight and its Gibbs policy over the table's responses (docs/theory.md, L7).

    weight : (d,) sum 1. reward : (d,) R, expected scaled rewards. kl : KL to the reference, nats a prompt.
    value : (d,) R - beta KL. opt : OPT(weight) = weight.value, the largest R.weight - beta KL.
    bias : jackknife estimate of the bias of `opt`, negative where more responses a prompt would raise it; NaN if no
        prompt has two responses. standard_error : of `opt` over the prompts; NaN for a single prompt.
    """

    weight: tuple[float, ...]
    value: tuple[float, ...]
    reward: tuple[float, ...]
    kl: float
    opt: float
    bias: float
    standard_error: float


@dataclass(frozen=True)
class Plan:
    """What to train, and what is proved of it (`palm_opt.plan`).

    Attributes
    ----------
    rewards, scale, beta : what the values are about: names, "none" or (low, high) of each, the KL penalty.
    epsilon, delta : the promise asked for.
    members : the policies to train.
    regret : CERTIFIED bound of the worst (1 - epsilon) OPT(w) - max over members of w.v over all weights, OPT and v
        those of the table's responses; inf without a certificate. worst_weight : (d,) where it is largest, or None.
    lower_bound : proved: no fewer of the evaluated policies keep this regret against the outer bound.
    calls : weights evaluated until the promise was certified, or the search ended. gaps : the certified gap after each
        of them, all as portfolio. evaluations : `calls`, and those after them that made the portfolio smaller.
    strategy, stop : how weights were chosen, and why the search ended.
    prompts, responses, single : size of the table; prompts with one response only.
    certificate : of kind `conditional`, or None.
    """

    rewards: tuple[str, ...]
    scale: tuple[scales.Entry, ...]
    beta: float
    epsilon: float
    delta: float
    members: tuple[Planned, ...]
    regret: float
    worst_weight: tuple[float, ...] | None
    lower_bound: int
    calls: int
    evaluations: int
    gaps: tuple[float, ...]
    strategy: str
    stop: Stop
    prompts: int
    responses: int
    single: int
    certificate: Certificate | None

    reference = "gibbs"  #: OPT is that of the closed form over the table's responses: an estimate, kind conditional

    @property
    def weights(self) -> NDArray[np.float64]:
        """(k, d) weights to train, each with sum 1."""
        return np.array([member.weight for member in self.members])

    @property
    def values(self) -> NDArray[np.float64]:
        """(k, d) planned value vectors."""
        return np.array([member.value for member in self.members])

    @property
    def kept(self) -> bool:
        """Whether the promise asked for is certified."""
        return self.certificate is not None and self.regret <= self.delta

    @property
    def audited(self) -> bool:
        """Whether the certificate is about the scores themselves, not about answers taken as given."""
        return self.certificate is not None and self.certificate["subject"]["type"] == "scores"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the promise is not about, in plain sentences."""
        mean = self.responses / self.prompts
        lines = [
            f"estimate: OPT is that of {self.prompts} prompts with {mean:.3g} sampled responses on average, not of all "
            "responses the model can give; the certificate says nothing about other prompts or responses, nor that "
            "training reaches what is planned"
        ]
        biases = [member.bias for member in self.members if not math.isnan(member.bias)]
        if biases:
            worst = min(biases)
            text = f"bias: by the jackknife, OPT at the members' weights is off by {worst:+.2g} to {max(biases):+.2g}"
            if max(map(abs, biases)) > self.delta:
                text += f", more than delta = {self.delta:g}: sample more responses a prompt, or use a larger beta"
            lines.append(text)
        errors = [member.standard_error for member in self.members if not math.isnan(member.standard_error)]
        if errors:
            lines.append(f"noise: its standard error over prompts is up to {max(errors):.2g}")
        if self.single:
            lines.append(f"{self.single} of {self.prompts} prompts have one response: nothing is to choose there")
        if self.epsilon > 0 and min(member.opt for member in self.members) < 0:
            lines.append("epsilon is relative and OPT is negative at some weights: use delta, or another scale")
        if self.certificate is not None and not self.audited:
            lines.append("the certificate takes the evaluated value vectors as given (audit: from the scores)")
        return tuple(lines)

    def write(self, path: str | Path) -> Path:
        """Write plan.json atomically."""
        return write_json(path, self.document())

    def document(self) -> dict[str, Any]:
        """The JSON object of plan.json."""
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "kind": "conditional",
            "reference": self.reference,
            "objective": "reward_minus_kl",
            "rewards": list(self.rewards),
            "scale": [entry if isinstance(entry, str) else list(entry) for entry in self.scale],
            "beta": self.beta,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "kept": self.kept,
            "regret": _or_none(self.regret),
            "worst_weight": None if self.worst_weight is None else self._named(self.worst_weight),
            "lower_bound": self.lower_bound,
            "calls": self.calls,
            "evaluations": self.evaluations,
            "gaps": [_or_none(gap) for gap in self.gaps],
            "strategy": self.strategy,
            "stop": self.stop.value,
            "table": {"prompts": self.prompts, "responses": self.responses, "single": self.single},
            "members": [
                {
                    "weight": self._named(member.weight),
                    "value": self._named(member.value),
                    "reward": self._named(member.reward),
                    "kl": member.kl,
                    "opt": member.opt,
                    "bias": _or_none(member.bias),
                    "standard_error": _or_none(member.standard_error),
                }
                for member in self.members
            ],
            "warnings": list(self.warnings),
            "certificate": self.certificate,
            "producer": {"name": "palm_opt", "version": __version__},
        }

    @classmethod
    def read(cls, path: str | Path) -> Plan:
        """Read a plan.json. It is checked as data; its certificate is not verified (`palm_opt.verify` does that).

        Raises
        ------
        ProblemError : names the file and the key.
        """
        path = Path(path)
        try:
            document = json.loads(read_bytes(path, _LARGEST), parse_constant=_no_constant)
        except ProblemError:
            raise
        except OSError as error:
            raise ProblemError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
        except (ValueError, RecursionError) as error:
            raise ProblemError(f"{path}: not a plan: {error}") from error
        try:
            return _plan(_Fields(document, ""))
        except ProblemError as error:
            raise ProblemError(f"{path}: {error}") from None

    def _named(self, numbers: tuple[float, ...]) -> dict[str, float]:
        return dict(zip(self.rewards, numbers, strict=True))


def _or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


class _Fields:
    """A JSON object that is read key by key."""

    def __init__(self, document: Any, where: str) -> None:
        if not isinstance(document, Mapping):
            raise ProblemError(f"{where or 'plan'}: expected an object, got {_show(document)}")
        self.document, self.where = document, where

    def raw(self, key: str) -> Any:
        if key not in self.document:
            raise ProblemError(f"{self.where}{key}: missing")
        return self.document[key]

    def fail(self, key: str, expected: str) -> ProblemError:
        return ProblemError(f"{self.where}{key}: expected {expected}, got {_show(self.document[key])}")

    def number(self, key: str, low: float = -math.inf, missing: float | None = None) -> float:
        value = self.raw(key)
        if value is None and missing is not None:
            return missing
        if not _finite(value) or value < low:
            raise self.fail(key, "a finite number" + (f" >= {low:g}" if low > -math.inf else ""))
        return float(value)

    def count(self, key: str) -> int:
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
            raise self.fail(key, "an integer >= 0")
        return value

    def text(self, key: str, allowed: tuple[str, ...] | None = None) -> str:
        value = self.raw(key)
        if not isinstance(value, str) or (allowed is not None and value not in allowed):
            raise self.fail(key, " or ".join(map(repr, allowed)) if allowed else "a text")
        return value

    def array(self, key: str) -> list[Any]:
        value = self.raw(key)
        if not isinstance(value, list):
            raise self.fail(key, "a list")
        return value

    def vector(self, key: str, rewards: tuple[str, ...], low: float = -math.inf) -> tuple[float, ...]:
        inner = _Fields(self.raw(key), f"{self.where}{key}.")
        if set(inner.document) != set(rewards):
            raise self.fail(key, f"one number for each of {', '.join(rewards)}")
        return tuple(inner.number(name, low) for name in rewards)


def _finite(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plan(fields: _Fields) -> Plan:
    fields.text("format", (_FORMAT,))
    if fields.raw("version") != _VERSION:
        raise fields.fail("version", str(_VERSION))
    rewards = tuple(fields.array("rewards"))
    if not rewards or not all(isinstance(name, str) and name for name in rewards) or len(set(rewards)) < len(rewards):
        raise fields.fail("rewards", "distinct names")
    certificate = fields.raw("certificate")
    if certificate is not None and not isinstance(certificate, dict):
        raise fields.fail("certificate", "an object or null")
    table = _Fields(fields.raw("table"), "table.")
    worst, gaps = fields.raw("worst_weight"), fields.array("gaps")
    if not all(gap is None or _finite(gap) for gap in gaps):
        raise fields.fail("gaps", "finite numbers or null")
    return Plan(
        rewards=rewards,
        scale=_scale(fields, len(rewards)),
        beta=fields.number("beta", 0.0),
        epsilon=fields.number("epsilon", 0.0),
        delta=fields.number("delta", 0.0),
        members=_members(fields, rewards),
        regret=fields.number("regret", missing=math.inf),
        worst_weight=None if worst is None else fields.vector("worst_weight", rewards, 0.0),
        lower_bound=fields.count("lower_bound"),
        calls=fields.count("calls"),
        evaluations=fields.count("evaluations"),
        gaps=tuple(math.inf if gap is None else float(gap) for gap in gaps),
        strategy=fields.text("strategy"),
        stop=Stop(fields.text("stop", tuple(stop.value for stop in Stop))),
        prompts=table.count("prompts"),
        responses=table.count("responses"),
        single=table.count("single"),
        certificate=None if certificate is None else Certificate(certificate),
    )


def _scale(fields: _Fields, d: int) -> tuple[scales.Entry, ...]:
    scale = fields.raw("scale")
    if scale == "none":  # as plans were written before
        return ("none",) * d
    if not isinstance(scale, list) or len(scale) != d or not all(map(_is_entry, scale)):
        raise fields.fail("scale", f'a list of {d}, each "none" or [low, high]')
    return scales.declared(scale, d)


def _is_entry(entry: Any) -> bool:
    pair = isinstance(entry, list) and len(entry) == 2 and all(map(_finite, entry)) and entry[0] < entry[1]
    return entry == "none" or pair


def _members(fields: _Fields, rewards: tuple[str, ...]) -> tuple[Planned, ...]:
    members = []
    for i, entry in enumerate(fields.array("members")):
        one = _Fields(entry, f"members[{i}].")
        weight = one.vector("weight", rewards, 0.0)
        if abs(math.fsum(weight) - 1) > 1e-9:
            raise one.fail("weight", "numbers with sum 1")
        members.append(
            Planned(
                weight=weight,
                value=one.vector("value", rewards),
                reward=one.vector("reward", rewards),
                kl=one.number("kl", 0.0),
                opt=one.number("opt"),
                bias=one.number("bias", missing=math.nan),
                standard_error=one.number("standard_error", missing=math.nan),
            )
        )
    if not members:
        raise fields.fail("members", "at least one")
    return tuple(members)
