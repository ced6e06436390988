"""Numbers and words for people. A figure that is proved is rounded to the side on which the sentence stays true."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

__all__ = [
    "REFERENCES",
    "at_least",
    "at_most",
    "confidence",
    "duration",
    "needed",
    "number",
    "on_new_prompts",
    "plural",
    "promise",
    "served",
    "serving",
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
_WHOLE = 10**15  # whole numbers below it are printed in full


def number(x: float, digits: int = 4) -> str:
    """Print a number with a few significant digits and no noise: 3, 0.0481, 12.5; whole numbers in full.

    Rounded to the nearest, for what is measured or given. What is proved goes through `at_most` or `at_least`.
    """
    if not math.isfinite(x):
        return "unknown" if math.isnan(x) else "infinity" if x > 0 else "-infinity"
    x += 0.0  # no -0
    return f"{x:.0f}" if x == round(x) and abs(x) < _WHOLE else f"{x:.{digits}g}"


def at_most(x: float | Fraction, digits: int = 4) -> str:
    """Print what is promised not to be exceeded: rounded up, so that the text is never stronger than the proof."""
    return _directed(x, digits, decimal.ROUND_CEILING)


def at_least(x: float | Fraction, digits: int = 4) -> str:
    """Print a proved lower bound: rounded down."""
    return _directed(x, digits, decimal.ROUND_FLOOR)


def _directed(x: float | Fraction, digits: int, rounding: str) -> str:
    """Round to significant digits in one direction; a float stands for its shortest decimal, as in a certificate."""
    if not isinstance(x, Fraction):
        if not math.isfinite(x):
            return number(x)
        x = Fraction(repr(float(x)))
    if x.denominator == 1 and abs(x) < _WHOLE:
        return str(x.numerator)
    context = decimal.Context(prec=digits, rounding=rounding, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
    rounded = context.divide(decimal.Decimal(x.numerator), decimal.Decimal(x.denominator)).normalize(context)
    return f"{rounded:f}" if -5 <= rounded.adjusted() < 15 else f"{rounded:e}"


def plural(count: float, one: str, many: str | None = None) -> str:
    """Count things: '1 member', '2 members', '1 policy' (`many`: 'policies'); the count printed as `number` does."""
    return f"{number(count)} {one if count == 1 else many or f'{one}s'}"


def needed(bound: float, one: str = "member", many: str | None = None) -> str:
    """Say a proved lower bound on a size: 'at least 3 members are needed'; of one that says nothing, that it does."""
    if not bound > 0:
        return "nothing is proved about smaller sizes"
    noun = f"{one} is" if bound == 1 else f"{many or f'{one}s'} are"
    return f"at least {at_least(bound)} {noun} needed"


def serving(size: int, of: int, one: str = "candidate", many: str | None = None) -> str:
    """Say who serves everyone: '2 of 5 candidates serve every preference'; how well is to follow."""
    return f"{size} of {plural(of, one, many)} serve{'s' * (size == 1)} every preference"


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
        passes = plural(len(parts), "forward pass", "forward passes")
        return f"a mixture of {weight_text(parts.values(), list(parts))}: {passes} a token"
    return "the base model" if adapter is None else "a sum of adapters"


def promise(epsilon: float, delta: float) -> str:
    """Say the tolerance: 'within 0.05', 'within 2 %', 'within 2 % plus 0.05'; 'of the best ...' is to follow."""
    parts = [f"{at_most(100 * Fraction(repr(float(epsilon))))} %"] if epsilon else []
    if delta or not epsilon:
        parts.append(at_most(delta))
    return f"within {' plus '.join(parts)}"


def served(epsilon: float, delta: float) -> str:
    """The same of the best of the pool: 'within 0.05', 'within 2 % plus 0.05 of the best'."""
    if epsilon == delta == 0:
        return "exactly as well as the best"
    return promise(epsilon, delta) + (" of the best" if epsilon else "")


def confidence(alpha: float, unit: int = 1) -> str:
    """Say 1 - alpha as a share of `unit` (100: per cent), rounded down."""
    return at_least(unit * (1 - Fraction(repr(float(alpha)))))


def stopped(how: Mapping[str, Any], delta: float) -> str:
    """Say why a training run ended and what it assumed (`Portfolio.run`)."""
    text = f"{_STOPS.get(how['stop'], how['stop'])} after {plural(how['trainings'], 'training')}"
    if delta > how["target"]:
        text += f" ({number(how['target'])} was wished)"
    if how["trainer_error"] is not None:
        eta, gamma = how["trainer_error"]
        relative = f"a share {at_most(eta)} and " if eta else ""
        text += f"; declared trainer error: {relative}{at_most(gamma)}"
        if how["missed"]:
            short, name = max((short, name) for name, short in how["missed"].items())
            text += (
                f", which {plural(len(how['missed']), 'run')} missed, by up to {at_most(short, 2)} ({name}): "
                "there the best policy measured at that weight stands for it"
            )
    beaten = how.get("closed_form_error") or 0.0
    if beaten > _ROUNDING:
        text += (
            f"; a measured policy is better than the closed form, by up to {at_most(beaten)}, which the promise takes "
            "for an error of the closed form at every preference"
        )
    return f"{text}; {needed(how['lower_bound'], 'measured policy', 'measured policies')}."


def on_new_prompts(promised: Mapping[str, Any]) -> str:
    """Say what holds for prompts that were not seen (`Portfolio.statistical`)."""
    text = (
        f"On new prompts like these, with probability {confidence(promised['alpha'])}: "
        f"{promise(promised['epsilon'], promised['delta'])} of the best measured policy"
    )
    wanted = promised["prompts_needed"]
    more = f"; about {wanted:,.0f} would show the tolerance above" if wanted is not None else ""
    return f"{text} ({promised['prompts']:,.0f} held-out prompts{more})."
