"""Constraints that no weight keeps: a few that contradict each other, none of them superfluous, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from palm_opt.errors import ProblemError
from palm_opt.preferences.cones import game
from palm_opt.preferences.grammar import Constraint, coprime, formula, number, shown

__all__ = ["refuse_empty"]


def refuse_empty(constraints: Sequence[Constraint]) -> None:
    """Raise if no weight keeps all constraints, naming some that contradict each other, none of them superfluous."""
    proof = _contradiction(constraints)
    if proof is None:
        return
    for constraint in list(proof):  # a deletion filter over the few constraints of a proof
        if len(proof) > 1 and (smaller := _contradiction([c for c in proof if c is not constraint])) is not None:
            proof = smaller
    listed = "; ".join(shown(str(constraint), 200)[1:-1] for constraint in proof)
    raise ProblemError(f"where: no weight is left by {listed}: {_reason(proof)}")


def _reason(proof: Mapping[Constraint, Fraction]) -> str:
    """Why the constraints contradict each other: what their sum says, and how far weights are from that."""
    factors = [abs(y) for y in proof.values()]
    total = [
        sum(terms, Fraction(0))
        for terms in zip(*([y * x for x in c.coefficients] for c, y in proof.items()), strict=True)
    ]
    bound = sum((y * c.bound for c, y in proof.items()), Fraction(0))
    rewards = next(iter(proof)).rewards
    said = "it says" if len(proof) == 1 else "together they say"
    if len(set(factors)) > 1:
        said += f", multiplied by {', '.join(map(_brief, factors))} and added,"
    if not any(total):
        return f"{said} 0 >= {_brief(bound)}"
    if max(total) <= 0:
        least = f"but that is at least {_brief(-max(total))}"
        return f"{said} {formula(rewards, [-x for x in total], _brief)} <= {_brief(-bound)}, {least}"
    lowest = min(*total, Fraction(0))  # the same for weights of sum 1, with no negative term
    left = formula(rewards, [x - lowest for x in total], _brief)
    most = f"but that is at most {_brief(max(total) - lowest)}, as weights sum to 1"
    return f"{said} {left} >= {_brief(bound - lowest)}, {most}"


def _brief(value: Fraction) -> str:
    """A number for a message: exact where that is short."""
    text = number(value)
    return text if len(text) <= 12 else f"about {float(value):.6g}"


def _contradiction(constraints: Sequence[Constraint]) -> dict[Constraint, Fraction] | None:
    """Multipliers (negative ones for equations only) whose sum no weight can keep, or None if some weight keeps all."""
    signed = [(c, s) for c in constraints for s in ((1, -1) if c.equation else (1,))]
    if not signed:
        return None
    value, y = game([[s * x for x in c.row] for c, s in signed])
    if value >= 0:
        return None
    found: dict[Constraint, Fraction] = {}
    for (c, s), share in zip(signed, y, strict=True):
        if share:  # of the row without common divisor; now of the constraint as it was written
            found[c] = found.get(c, Fraction(0)) + s * share * _scale(c)
    whole = coprime([*found.values()])
    size = max(map(abs, whole)) if max(map(abs, whole)) >= 10**6 else 1
    return {c: Fraction(y, size) for c, y in zip(found, whole, strict=True) if y}


def _scale(constraint: Constraint) -> Fraction:
    """The factor that makes a constraint's homogeneous coefficients its `row`."""
    k = next(k for k, x in enumerate(constraint.row) if x)
    return constraint.row[k] / (constraint.coefficients[k] - constraint.bound)
