"""What is proved about a result, in sentences and rows: the command line and the report say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palm_opt.measures.metrics import usage
from palm_opt.result import Certified, Result, Status
from palm_opt.tables.values import ValueMatrix
from palm_opt.wording import at_least, at_most, needed, plural, served, serving, weight_text

__all__ = ["headline", "proof", "shares"]


def shares(values: ValueMatrix, indices: Sequence[int]) -> tuple[float, ...]:
    """Share of the simplex that each member serves best."""
    return tuple(usage(values.array[list(indices)])[0].tolist())


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
        return f"no portfolio{_limits(result)} costs less than {at_least(result.lower_bound)}"
    if result.size == 1:
        return "there is no smaller portfolio"
    fewer = result.size - 1
    return f"no {fewer}{_limits(result)} can" if fewer > 1 else f"no single one{_limits(result)} can"


def headline(values: ValueMatrix, result: Result | Certified) -> str:
    """One sentence: what was found and what is proved about it.

    'no 2 can' is said only when the status is OPTIMAL, that is when the exact checker accepted the proof.
    """
    found = f"{serving(result.size, values.n)} {served(result.epsilon, result.delta)}"
    if isinstance(result, Certified):
        return f"{found}; nothing is said about smaller portfolios."
    if result.status is Status.INFEASIBLE:
        where = weight_text(result.worst_weight, values.rewards)
        if result.needs_more:
            return f"{result.message.capitalize()}, one of them for {where}."
        who = (
            "no candidate that is not forbidden"
            if result.certificate is not None and result.certificate["forbidden"]
            else "no candidate"
        )
        return f"No admissible portfolio keeps this promise: at the weight {where} {who} does."
    if not result.indices:
        return f"Stopped ({result.stop}) before any portfolio was proved."
    if result.status is Status.UNKNOWN:
        proposed = "was proposed, and nothing is proved about it" if result.size == 1 else ""
        proposed = proposed or "were proposed, and nothing is proved about them"
        return f"{result.size} of {plural(values.n, 'candidate')} {proposed}."
    if result.tolerance is not None:
        if result.status is Status.OPTIMAL:
            return f"{found}, and no {_many(result)} better."
        bound = result.tolerance_lower_bound or 0.0
        return f"{found}; no {_many(result)} better than {at_least(bound)}." if bound > 0 else f"{found}."
    if result.status is Status.OPTIMAL:
        return f"{found}; {_rival(values, result)}."
    return f"{found}; {_bound(values, result)}, so this may not be the {_best(values)}."


def _bound(values: ValueMatrix, result: Result) -> str:
    """Say the proved lower bound of a portfolio that may not be the best."""
    if values.unit_costs or not result.lower_bound > 0:
        return needed(result.lower_bound) + _limits(result) * (result.lower_bound > 0)
    return f"a cost of at least {at_least(result.lower_bound)} is needed{_limits(result)}"


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
        fewer = f"no fewer than {plural(int(result.lower_bound), 'member')}"
        rows.append(("proved", f"{fewer} keep epsilon = {result.epsilon!r} (exact arithmetic)"))
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
        (
            "reference",
            f"pool: OPT is the best of the {plural(values.n, 'candidate')}, not of all policies there could be",
        )
    )
    rows.append(("about", "this table of numbers; where they are sample means, not the population behind them"))
    return rows


def _size_rows(values: ValueMatrix, result: Result) -> list[tuple[str, str]]:
    what = "members" if values.unit_costs else "cost"
    rows = []
    if result.tolerance is not None:
        bound = result.tolerance_lower_bound
        text = f"no portfolio of {result.size} reaches a tolerance below {at_least(bound or 0.0, 6)}"
        rows.append(("proved tolerance", text if bound else "no bound"))
    else:
        optimal = ": optimal" if result.status is Status.OPTIMAL else ""
        least = f"at least {at_least(result.lower_bound)}" if result.lower_bound > 0 else "no bound"
        text = f"{least}{_limits(result)}; found {at_most(result.cost)}{optimal}"
        rows.append((f"proved {what}", text))
    claimed = result.claimed_bound
    if claimed is not None and claimed > max(result.lower_bound, 0) and result.tolerance is None:
        claim = f"backend {result.backend} claims at least {at_least(claimed)}: a claim, not a proof"
        rows.append(("only claimed", claim))
    return rows
