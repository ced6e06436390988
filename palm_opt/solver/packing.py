"""Proofs of size: packings and trees as they stand in a certificate (docs/theory.md, L3, L4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.solver.exact import Weight
from palm_opt.tables.decimals import rational

__all__ = ["SizeProof", "exact_packing", "infeasible", "packing_leaf"]

_NEAR = 1e-7  # columns that a packing fills to this share are taken for full, and bounds this near for equal
_LARGEST = 64  # weights of a packing that is made exact by solving for it
_UNITS = (2**12, 2**24, 2**40)  # multipliers of a packing are multiples of 1 / unit, coarse first: short certificates
_USUAL = 8  # binary digits up to which costs count in units of 1
_MOST = 2**62  # of integers that are added up in int64

Node = tuple[str, Any]  #: ("branch", candidate), ("packing", ((weight, y), ...)) or ("uncovered", weight)


@dataclass(frozen=True)
class SizeProof:
    """A proved lower bound on the cost of every admissible portfolio.

    nodes : the tree in preorder, as in docs/certificate-format.md, with the weights themselves in its leaves.
    """

    bound: Fraction | float
    nodes: tuple[Node, ...] = ()

    def document(self) -> dict[str, Any]:
        """The entries `lower_bound` and `packing` or `branching` of a certificate."""
        if not self.nodes or self.bound == 0:
            return {"lower_bound": "0"}
        place: dict[Weight, int] = {}
        nodes: list[list[Any]] = []
        for kind, content in self.nodes:
            if kind == "packing":
                pairs = [[place.setdefault(weight, len(place)), str(share)] for weight, share in content]
                nodes.append([kind, pairs])
            else:
                nodes.append([kind, place.setdefault(content, len(place)) if kind == "uncovered" else content])
        weights = [list(weight) for weight in place]
        bound = "infinity" if self.bound == math.inf else str(self.bound)
        if len(nodes) == 1 and nodes[0][0] == "packing":
            return {"lower_bound": bound, "packing": {"weights": weights, "y": [share for _, share in nodes[0][1]]}}
        return {"lower_bound": bound, "branching": {"weights": weights, "nodes": nodes}}


def exact_packing(
    coverage: NDArray[np.bool_], costs: NDArray[np.float64], y: NDArray[np.float64], unit: Fraction
) -> NDArray[np.int64]:
    """Multiples of 1 / unit near y that satisfy every column of coverage, shape (rows, columns), exactly."""
    different, which = np.unique(costs, return_inverse=True)
    room = np.array([min(int(rational(cost) * unit), _MOST) for cost in different.tolist()], dtype=np.int64)[which]
    units = np.rint(np.clip(y * float(unit), 0.0, _MOST / max(1, len(y)))).astype(np.int64)
    units[coverage[:, room == 0].any(axis=1)] = 0  # rows that a free candidate covers carry nothing
    for _ in range(200):
        load = units @ coverage  # int64, exact
        over = load - room
        worst = int(over.argmax()) if len(over) else 0
        if not len(over) or over[worst] <= 0:
            return units
        rows = np.flatnonzero(coverage[:, worst] & (units > 0))
        excess = int(over[worst])
        for row in rows[np.argsort(-units[rows], kind="stable")].tolist():  # from the largest share: least distortion
            part = min(excess, int(units[row]))
            units[row] -= part
            excess -= part
            if excess == 0:
                break
    return np.zeros_like(units)


def packing_leaf(
    weights: Sequence[Weight],
    coverage: NDArray[np.bool_],
    costs: NDArray[np.float64],
    y: NDArray[np.float64],
    paid: Fraction,
    whole: bool,
    target: Fraction | float,
) -> tuple[Fraction, Node]:
    """The packing leaf near y, on the coarsest grid of multipliers that proves `target`, else on the finest.

    Returns the proved bound (costs `paid` of what is in, plus the packing, rounded up where costs are `whole`) and the
    leaf. Where rounding y leaves a bound just short of the target, the vertex near y may prove it.
    """
    best: tuple[Fraction, Node] = (paid, ("packing", ()))
    for unit in _units(costs):
        units = exact_packing(coverage, costs, y, unit)
        bound = paid + int(units.sum()) / unit
        bound = Fraction(math.ceil(bound)) if whole else bound
        shares = tuple((weights[j], int(units[j]) / unit) for j in np.flatnonzero(units).tolist())
        best = max(best, (bound, ("packing", shares)), key=lambda found: found[0])
        if best[0] >= target:
            break
    if not whole and target * (1 - Fraction(_NEAR)) <= best[0] < target < math.inf:
        shares = tuple((weights[j], share) for j, share in vertex_packing(coverage, costs, y).items())
        best = max(best, (paid + sum(share for _, share in shares), ("packing", shares)), key=lambda found: found[0])
    return best


def _units(costs: NDArray[np.float64]) -> list[Fraction]:
    """The grids of multipliers, in units of the largest cost where that is far from 1."""
    _, exponent = math.frexp(float(costs.max(initial=0.0)))
    shift = max(exponent, -900) if abs(exponent) > _USUAL else 0  # float64 holds 2^40 times 2^900
    return [unit / Fraction(2) ** shift for unit in _UNITS]


def vertex_packing(
    coverage: NDArray[np.bool_], costs: NDArray[np.float64], y: NDArray[np.float64]
) -> dict[int, Fraction]:
    """The packing (row -> share) that fills exactly the columns that y nearly fills; empty if that breaks a column."""
    rows = np.flatnonzero(y > 0)
    used = coverage[rows]
    spare = costs - y[rows] @ used
    full = np.flatnonzero(spare <= _NEAR * costs)
    full = full[np.argsort(np.abs(spare[full]), kind="stable")]
    if not 0 < len(rows) <= _LARGEST:
        return {}
    echelon: dict[int, list[Fraction]] = {}  # place of the leading 1 -> equation, with its right side behind
    for column in full.tolist():
        equation = [*(Fraction(int(x)) for x in used[:, column]), rational(costs[column])]
        for place, known in echelon.items():
            if factor := equation[place]:
                equation = [a - factor * b for a, b in zip(equation, known, strict=True)]
        lead = next((place for place in range(len(rows)) if equation[place]), None)
        if lead is not None:
            pivot = equation[lead]
            echelon[lead] = [x / pivot for x in equation]
            if len(echelon) == len(rows):
                break
    if len(echelon) < len(rows):
        return {}
    shares: dict[int, Fraction] = {}
    for place, equation in reversed(echelon.items()):
        rest = sum((equation[at] * share for at, share in shares.items()), Fraction(0))
        shares[place] = equation[-1] - rest
    if min(shares.values()) < 0:
        return {}
    common = math.lcm(*(share.denominator for share in shares.values()))
    units = np.array([int(shares[place] * common) for place in range(len(rows))], dtype=object)
    loads = (units @ used.astype(object)).tolist()
    if any(load > rational(cost) * common for load, cost in zip(loads, costs.tolist(), strict=True)):
        return {}
    return {int(rows[place]): share for place, share in shares.items() if share}


def infeasible(weight: Weight) -> SizeProof:
    """The proof that no admissible candidate covers a weight."""
    return SizeProof(math.inf, (("uncovered", weight),))
