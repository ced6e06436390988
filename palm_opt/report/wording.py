"""Plain words for results: what was found, what is proved, and what the proof is about. Shared by CLI and report."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from palm_opt.result import Certified, Result, Status
from palm_opt.tables.values import ValueMatrix

__all__ = [
    "REFERENCES",
    "at_least",
    "at_most",
    "confidence",
    "duration",
    "headline",
    "number",
    "on_new_prompts",
    "promise",
    "proof",
    "served",
    "shares",
    "stopped",
    "untrained",
    "weight_text",
]

REFERENCES = {  #: what a promise of a training run compares with
    "oracle": "of the best that training could reach, given the declared error of the trainer",
    "gibbs": "of the closed form on samples of the base model, KL counted",
    "pool": "of the best measured policy",
}
_STOPS = {
    "target": "The promise was reached",
    "trainings": "The budget of trainings ended",
    "hours": "The budget of hours ended",
    "stalled": "No further training is sure to help",
    "interrupted": "Interrupted",
    "running": "Still running",
}
_ROUNDING = 1e-9


def number(x: float, digits: int = 4) -> str:
    """Print a number with a few significant digits and no noise: 3, 0.0481, 12.5; whole numbers in full."""
    if math.isinf(x):
        return "infinity" if x > 0 else "-infinity"
    x += 0.0  # no -0
    return f"{x:.0f}" if x == round(x) and abs(x) < 1e15 else f"{x:.{digits}g}"


def at_most(x: float, digits: int = 4) -> str:
    """Print a tolerance that is promised: rounded up, so that the text is never stronger than the proof."""
    return _directed(x, digits, decimal.ROUND_CEILING)


def at_least(x: float, digits: int = 4) -> str:
    """Print a proved lower bound: rounded down."""
    return _directed(x, digits, decimal.ROUND_FLOOR)


def _directed(x: float, digits: int, rounding: str) -> str:
    if not math.isfinite(x):
        return number(x)
    return number(float(decimal.Context(prec=digits, rounding=rounding).create_decimal(repr(float(x)))), digits)


def duration(seconds: float) -> str:
    """Say a time in the unit that suits it, two digits: '40 s', '12 min', '3.4 h'."""
    for unit, length in (("s", 1.0), ("min", 60.0)):
        if seconds < 100 * length:
            return f"{number(seconds / length, 2)} {unit}"
    return f"{number(seconds / 3600, 2)} h"


def weight_text(weight: Iterable[float], rewards: Sequence[str]) -> str:
    """Name the entries of a weight vector, zeros left out: 'safe 0.62, helpful 0.38'."""
    parts = [f"{name} {w:.3f}" for name, w in zip(rewards, weight, strict=True) if abs(w) > 5e-4]
    return ", ".join(parts) or "none"


def untrained(adapter: object, parts: Mapping[str, float] | None) -> str:
    """What a policy is that was not trained; of a mixture also what it costs to serve."""
    if parts is not None:
        return f"a mixture of {weight_text(parts.values(), list(parts))}: {len(parts)} forward passes a token"
    return "the base model" if adapter is None else "a sum of adapters"


def shares(values: ValueMatrix, indices: Sequence[int]) -> tuple[float, ...]:
    """Share of the simplex that each member serves best."""
    from palm_opt.measures.metrics import usage

    return tuple(usage(values.array[list(indices)])[0].tolist())


def promise(epsilon: float, delta: float) -> str:
    """Say the tolerance: 'within 0.05', 'within 2 %', 'within 2 % plus 0.05'; 'of the best ...' is to follow."""
    parts = [f"{_percent(epsilon)} %"] if epsilon else []
    if delta or not epsilon:
        parts.append(at_most(delta))
    return f"within {' plus '.join(parts)}"


def served(epsilon: float, delta: float) -> str:
    """The same of the best of the pool: 'within 0.05', 'within 2 % plus 0.05 of the best'."""
    if epsilon == delta == 0:
        return "exactly as well as the best"
    return promise(epsilon, delta) + (" of the best" if epsilon else "")


def stopped(how: Mapping[str, Any], delta: float) -> str:
    """Say why a training run ended and what it assumed (`Portfolio.run`)."""
    count = how["trainings"]
    text = f"{_STOPS.get(how['stop'], how['stop'])} after {count} training{'s' * (count != 1)}"
    if delta > how["target"]:
        text += f" ({number(how['target'])} was wished)"
    if how["trainer_error"] is not None:
        eta, gamma = how["trainer_error"]
        relative = f"a share {number(eta)} and " if eta else ""
        text += f"; declared trainer error: {relative}{number(gamma)}"
        if how["missed"]:
            short, name = max((short, name) for name, short in how["missed"].items())
            text += (
                f", which {len(how['missed'])} of the runs missed, by up to {number(short, 2)} ({name}): "
                "there the best policy measured at that weight stands for it"
            )
    beaten = how.get("closed_form_error") or 0.0
    if beaten > _ROUNDING:
        text += (
            f"; a measured policy is better than the closed form, by up to {at_most(beaten)}, which the promise takes "
            "for an error of the closed form at every preference"
        )
    return text + f"; at least {at_least(how['lower_bound'])} of the measured policies are needed."


def confidence(alpha: float, unit: int = 1) -> str:
    """Say 1 - alpha as a share of `unit` (100: per cent), rounded down."""
    context = decimal.Context(prec=4, rounding=decimal.ROUND_FLOOR)
    return number(float(context.subtract(unit, unit * decimal.Decimal(repr(alpha)))))


def on_new_prompts(promised: Mapping[str, Any]) -> str:
    """Say what holds for prompts that were not seen (`Portfolio.statistical`)."""
    text = (
        f"On new prompts like these, with probability {confidence(promised['alpha'])}: "
        f"{promise(promised['epsilon'], promised['delta'])} of the best measured policy"
    )
    needed = promised["prompts_needed"]
    more = f"; about {needed:,.0f} would show the tolerance above" if needed is not None else ""
    return f"{text} ({promised['prompts']:,.0f} held-out prompts{more})."


def _percent(epsilon: float) -> str:
    """100 epsilon in decimal, rounded up: 0.07 is 7, not 7.0000000000000001."""
    context = decimal.Context(prec=4, rounding=decimal.ROUND_CEILING)
    return number(float(context.multiply(decimal.Decimal(repr(float(epsilon))), decimal.Decimal(100))))


def _limits(result: Result | Certified) -> str:
    """Name the side conditions that every bound is subject to."""
    document: Mapping[str, Any] = result.certificate or {}
    parts = []
    if document.get("required"):
        parts.append("holding every required candidate")
    if document.get("forbidden"):
        parts.append("without the forbidden candidates")
    return (" " + " and ".join(parts)) if parts else ""


def _rival(values: ValueMatrix, result: Result) -> str:
    """Say what an OPTIMAL status rules out."""
    if not values.unit_costs:
        return f"no portfolio{_limits(result)} costs less than {number(result.cost)}"
    if result.size == 1:
        return "there is no smaller portfolio"
    fewer = result.size - 1
    return f"no {fewer}{_limits(result)} can" if fewer > 1 else f"no single one{_limits(result)} can"


def headline(values: ValueMatrix, result: Result | Certified) -> str:
    """One sentence: what was found and what is proved about it.

    'no 2 can' is said only when the status is OPTIMAL, that is when the exact checker accepted the proof.
    """
    if isinstance(result, Certified):
        verb = "serves" if result.size == 1 else "serve"
        return (
            f"{result.size} of {values.n} candidates {verb} every preference "
            f"{served(result.epsilon, result.delta)}; nothing is said about smaller portfolios."
        )
    if result.status is Status.INFEASIBLE and result.needs_more:
        return f"{result.message.capitalize()}, one of them for {weight_text(result.worst_weight, values.rewards)}."
    if result.status is Status.INFEASIBLE:
        where = weight_text(result.worst_weight, values.rewards)
        return f"No admissible portfolio keeps this promise: at the weight {where} no candidate does."
    if not result.indices:
        return f"Stopped ({result.stop}) before any portfolio was proved."
    verb = "serves" if result.size == 1 else "serve"
    found = f"{result.size} of {values.n} candidates {verb} every preference {served(result.epsilon, result.delta)}"
    if result.status is Status.UNKNOWN:
        return f"{result.size} of {values.n} candidates were proposed, and nothing is proved about them."
    if result.tolerance is not None:
        if result.status is Status.OPTIMAL:
            return f"{found}, and no {_many(result)} better."
        bound = result.tolerance_lower_bound or 0.0
        return f"{found}; no {_many(result)} better than {at_least(bound)}."
    if result.status is Status.OPTIMAL:
        return f"{found}; {_rival(values, result)}."
    unit = "members are needed" if values.unit_costs else "is the least any portfolio costs"
    return f"{found}; a proved {at_least(result.lower_bound)} {unit}, so this may not be the {_best(values)}."


def _many(result: Result) -> str:
    """'3 do', 'single one does': the portfolios of this size that a sentence speaks of."""
    return f"{result.size}{_limits(result)} do" if result.size > 1 else f"single one{_limits(result)} does"


def _best(values: ValueMatrix) -> str:
    return "smallest" if values.unit_costs else "cheapest"


def proof(values: ValueMatrix, result: Result | Certified) -> list[tuple[str, str]]:
    """Rows (label, text): what is proved, what is only claimed, and what the proof is about."""
    document = result.certificate
    rows: list[tuple[str, str]] = []
    if document is None:
        rows.append(("proved", "nothing"))
    elif isinstance(result, Result) and result.needs_more:
        told = f"no fewer than {result.lower_bound:g} members keep epsilon = {result.epsilon!r} (exact arithmetic)"
        rows.append(("proved", told))
    elif not result.indices:
        rows.append(("proved", "no admissible portfolio exists at these tolerances (exact arithmetic)"))
    else:
        quality = f"every weight of the simplex is served {served(result.epsilon, result.delta)}"
        rows.append(("proved quality", f"{quality} (exact arithmetic, no grid)"))
    if isinstance(result, Result) and result.indices:
        rows.extend(_size_rows(values, result))
    if document is not None:
        rows.append(
            ("kind", f"{document.get('kind', 'exact')}: a finite pool, every claim checked in exact arithmetic")
        )
    rows.append(
        ("reference", f"pool: OPT is the best of these {values.n} candidates, not of all policies there could be")
    )
    rows.append(("about", "this table of numbers; where they are sample means, not the population behind them"))
    return rows


def _size_rows(values: ValueMatrix, result: Result) -> list[tuple[str, str]]:
    what = "members" if values.unit_costs else "cost"
    rows = []
    if result.tolerance is not None:
        bound = result.tolerance_lower_bound
        text = (
            "no bound"
            if bound is None
            else f"no portfolio of {result.size} reaches a tolerance below {at_least(bound, 6)}"
        )
        rows.append(("proved tolerance", text))
    else:
        optimal = ": optimal" if result.status is Status.OPTIMAL else ""
        text = f"at least {at_least(result.lower_bound)}{_limits(result)}; found {number(result.cost)}{optimal}"
        rows.append((f"proved {what}", text))
    claimed = result.claimed_bound
    if claimed is not None and claimed > max(result.lower_bound, 0) and result.tolerance is None:
        claim = f"backend {result.backend} claims at least {number(claimed)}: a claim, not a proof"
        rows.append(("only claimed", claim))
    return rows
