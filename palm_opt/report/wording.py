"""Plain words for results: what was found, what is proved, and what the proof is about. Shared by CLI and report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from palm_opt.result import Certified, Result, Status
from palm_opt.values import ValueMatrix

__all__ = ["headline", "number", "promise", "proof", "shares", "weight_text"]


def number(x: float, digits: int = 4) -> str:
    """Print a number with a few significant digits and no noise: 3, 0.0481, 12.5."""
    return f"{x:.{digits}g}"


def weight_text(weight: Iterable[float], rewards: Sequence[str]) -> str:
    """Name the entries of a weight vector, zeros left out: 'safe 0.62, helpful 0.38'."""
    parts = [f"{name} {w:.3f}" for name, w in zip(rewards, weight, strict=True) if abs(w) > 5e-4]
    return ", ".join(parts) or "none"


def shares(values: ValueMatrix, indices: Sequence[int]) -> tuple[float, ...]:
    """Share of the simplex that each member serves best."""
    import palm_opt

    return palm_opt.metrics(values, indices).usage


def promise(epsilon: float, delta: float) -> str:
    """Say the tolerance: 'within 0.05', 'within 2 % of the best', 'within 2 % of the best plus 0.05'."""
    if epsilon == 0:
        return f"within {number(delta)}" if delta else "exactly as well as the best"
    relative = f"within {number(100 * epsilon)} % of the best"
    return relative if delta == 0 else f"{relative} plus {number(delta)}"


def _limits(result: Result | Certified) -> str:
    """Name the side conditions that every bound is subject to."""
    document = result.certificate or {}
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
            f"{promise(result.epsilon, result.delta)}; nothing is said about smaller portfolios."
        )
    if result.status is Status.INFEASIBLE:
        where = weight_text(result.worst_weight, values.rewards)
        return f"No admissible portfolio keeps this promise: at the weight {where} no candidate does."
    if not result.indices:
        return f"Stopped ({result.stop}) before any portfolio was proved."
    verb = "serves" if result.size == 1 else "serve"
    found = f"{result.size} of {values.n} candidates {verb} every preference {promise(result.epsilon, result.delta)}"
    if result.status is Status.UNKNOWN:
        return f"{result.size} of {values.n} candidates were proposed, and nothing is proved about them."
    if result.tolerance is not None:
        if result.status is Status.OPTIMAL:
            return f"{found}, and no {result.size}{_limits(result)} do better."
        bound = result.tolerance_lower_bound or 0.0
        return f"{found}; no {result.size}{_limits(result)} do better than {number(bound)}."
    if result.status is Status.OPTIMAL:
        return f"{found}; {_rival(values, result)}."
    unit = "members are needed" if values.unit_costs else "is the least any portfolio costs"
    return f"{found}; a proved {number(result.lower_bound)} {unit}, so this may not be the {_best(values)}."


def _best(values: ValueMatrix) -> str:
    return "smallest" if values.unit_costs else "cheapest"


def proof(values: ValueMatrix, result: Result | Certified) -> list[tuple[str, str]]:
    """Rows (label, text): what is proved, what is only claimed, and what the proof is about."""
    document = result.certificate
    rows: list[tuple[str, str]] = []
    if document is None:
        rows.append(("proved", "nothing"))
    elif not result.indices:
        rows.append(("proved", "no admissible portfolio exists at these tolerances (exact arithmetic)"))
    else:
        quality = f"every weight of the simplex is served {promise(result.epsilon, result.delta)}"
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
        text = "no bound" if bound is None else f"no {result.size} members reach a tolerance below {number(bound, 6)}"
        rows.append(("proved tolerance", text))
    else:
        optimal = ": optimal" if result.status is Status.OPTIMAL else ""
        text = f"at least {number(result.lower_bound)}{_limits(result)}; found {number(result.cost)}{optimal}"
        rows.append((f"proved {what}", text))
    if result.claimed_bound > max(result.lower_bound, 0) and result.tolerance is None:
        claim = f"backend {result.backend} claims at least {number(result.claimed_bound)}: a claim, not a proof"
        rows.append(("only claimed", claim))
    return rows
