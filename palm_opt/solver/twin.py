"""The compiled twin of the checker: it stands in for it where a time limit leaves too little for the pure Python.

It decides the claims of a portfolio with a packing anew: in floats where these are beyond doubt, in rationals where
they are not. Trees are left to the checker. Tests hold the two together.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.errors import InvalidCertificate
from palm_opt.result import Certificate
from palm_opt.solver.cover import DOUBT, TINY, Pool, Witnesses
from palm_opt.solver.packing import SizeProof
from palm_opt.solver.run import Run

__all__ = ["check", "trimmed"]


def trimmed(pool: Pool, size: SizeProof, entries: float) -> SizeProof:
    """The part of a packing for which the twin looks at no more entries of the coverage."""
    most = int(entries // max(1, len(pool.columns)))
    if not size.nodes or len(size.nodes[0][1]) <= most:
        return size
    shares = tuple(sorted(size.nodes[0][1], key=lambda pair: -pair[1])[:most])
    bound = pool.cost(pool.required) + sum((share for _, share in shares), Fraction(0))
    return SizeProof(Fraction(math.ceil(bound)) if pool.whole_costs else bound, (("packing", shares),))


def check(document: Certificate, pool: Pool, run: Run) -> Fraction:
    """The lower bound of a certificate without branching; InvalidCertificate names the claim that fails."""
    values = pool.values
    members = [values.index(name) for name in document["members"]]
    if set(pool.required) - set(members) or pool.forbidden.intersection(members):
        raise InvalidCertificate("members: a required one is missing, or a forbidden one among them")
    front = _check_dominators(pool, np.array(document["dominators"], dtype=np.int64))
    rows = document["multipliers"]
    if sorted(row[0] for row in rows) != front.tolist():
        raise InvalidCertificate("multipliers: expected one row for every candidate without a dominator")
    _check_multipliers(pool, members, rows, run)
    if "packing" not in document:
        return Fraction(0)
    bound = _check_packing(pool, document["packing"], run)
    if bound < Fraction(document["lower_bound"]):
        raise InvalidCertificate(f"lower_bound: {document['lower_bound']} is claimed, {bound} is proved")
    return Fraction(document["lower_bound"])


def _check_dominators(pool: Pool, dominators: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each row with a dominator is nowhere above it, and that one has none; returns the rows without."""
    below = np.flatnonzero(dominators >= 0)
    above = dominators[below]
    if (dominators[above] >= 0).any() or not pool.dominates(above, below).all():
        raise InvalidCertificate("dominators: a row is above its dominator, or that has one too")
    return np.flatnonzero(dominators < 0)


def _check_multipliers(pool: Pool, members: list[int], rows: list[list[int]], run: Run) -> None:
    values, length = pool.values.array, np.array([len(row) for row in rows])
    table = np.zeros((len(rows), length.max()), dtype=np.int64)
    filled = np.arange(length.max()) < length[:, None]
    try:
        table[filled] = np.fromiter(itertools.chain.from_iterable(rows), dtype=np.int64, count=length.sum())
    except OverflowError:  # shares of rational games: all of them are decided in rationals
        filled[:] = False
    places, shares = table[:, 1::2], table[:, 2::2].astype(np.float64)
    if table.min() < 0 or places.max() >= len(members) or (filled[:, 2::2] & (shares == 0)).any():
        raise InvalidCertificate("multipliers: expected positions of members with shares above 0")
    total = np.maximum(shares.sum(axis=1), 1)[:, None]
    mixed = np.einsum("rj,rjk->rk", shares / total, values[members][places])
    doubt = DOUBT * (2 * np.abs(values).max(axis=0) + pool.delta) + TINY
    spare = mixed - (1 - pool.epsilon) * values[table[:, 0]] + pool.delta
    sure = np.all(spare > doubt, axis=1) & (shares.sum(axis=1) > 0)
    for line in np.flatnonzero(~sure).tolist():
        run.pause()
        row = rows[line]
        if not pool.exact.proves(row[0], members, dict(zip(row[1::2], row[2::2], strict=True))):
            raise InvalidCertificate(f"multipliers: the members so mixed do not serve row {row[0]}")


def _check_packing(pool: Pool, packing: dict[str, Any], run: Run) -> Fraction:
    """The bound of a packing: what its weights cover costs at least their shares."""
    shares = [Fraction(text) for text in packing["y"]]
    if min(shares, default=0) < 0:
        raise InvalidCertificate("packing: a share is below 0")
    rows = Witnesses(pool, run.pause)
    rows.add([tuple(weight) for weight in packing["weights"]])
    coverage = rows.coverage(pool.columns)
    unit = math.lcm(*(share.denominator for share in shares))
    units = [int(share * unit) for share in shares]
    exact = np.array(units, dtype=np.int64 if sum(units) < 2**62 else object)
    load = exact @ coverage.astype(exact.dtype)
    _, first, which = np.unique(pool.values.costs[pool.columns], return_index=True, return_inverse=True)
    for k, place in enumerate(first.tolist()):
        if load[which == k].max() > pool.cost([int(pool.columns[place])]) * unit:
            raise InvalidCertificate("packing: a candidate covers more than it costs")
    if rows.coverage(pool.required)[np.flatnonzero(exact > 0)].any():
        raise InvalidCertificate("packing: a required candidate covers a weight with a share")
    bound = pool.cost(pool.required) + sum(shares, Fraction(0))
    return Fraction(math.ceil(bound)) if pool.whole_costs else bound
