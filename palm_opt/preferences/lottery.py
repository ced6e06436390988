"""The best lottery over members for a utility of mean rewards that is not linear (docs/theory.md, L14)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import highspy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt.arguments import items, real, refusal
from palm_opt.errors import ProblemError

__all__ = ["Lottery", "best_lottery", "power_mean"]

_ROUNDS = 200
_CLOSED = 1e-9  # relative gap at which the search ends
_ROUNDING = 1e-12  # relative; what floats lose in a bound
_MODERATE = 1e300  # of values in size
_LEAST = 1e-9  # share of the best single reward that a point of tangency has in every reward


@dataclass(frozen=True, eq=False)
class Lottery:
    """Draw member j with probability shares[j]; the utility is that of the mean rewards.

    Attributes
    ----------
    members : rows of the values, as given.
    shares : (m,) float64 >= 0, sum 1, read-only.
    value : utility of the lottery's mean rewards.
    upper_bound : no lottery over these members has a utility above this.
    weight : (d,) float64, sum 1, read-only: the preference that proves the bound (see `best_lottery`).
    best_member, best_value : the row of the best single member (ties to the first) and its utility.
    """

    members: tuple[int, ...]
    shares: NDArray[np.float64]
    value: float
    upper_bound: float
    weight: NDArray[np.float64]
    best_member: int
    best_value: float

    @property
    def gap(self) -> float:
        """How much better than this lottery another could be."""
        return max(0.0, self.upper_bound - self.value)


def best_lottery(values: ArrayLike, members: Sequence[int], utility: str | float) -> Lottery:
    """The lottery over members with the largest utility of mean rewards.

    If the members keep the promise (epsilon, 0) on the whole simplex, the utility is at least 1 - epsilon times that
    of any candidate, and of any lottery over candidates, of the pool. For "maxmin" a promise (epsilon, delta) gives at
    least 1 - epsilon times that, minus delta; for other means delta > 0 promises nothing near 0, where they are steep.
    A promise on a part of the simplex only says nothing of this.

    Parameters
    ----------
    values : (n, d) finite values, higher is better; for p-means >= 0, on a common scale such as [0, 1].
    members : rows of `values`, at least one.
    utility : "maxmin", the least reward, or a number p <= 1: (mean of reward^p)^(1/p), with 0 for the geometric mean
        (Nash) and -inf for "maxmin". With p <= 0 a reward of 0 makes the utility 0.

    Raises
    ------
    ProblemError : a wrong shape, row or utility; a negative value under a p-mean.

    Notes
    -----
    Every weight w bounds the utility of all lotteries by max_j w.v_j / (d M_q(w)), q = p / (p - 1): reverse Hoelder.
    Tangent planes of the utility are added to a linear program until such a bound meets the lottery's utility.
    """
    table, rows = _checked(values, members)
    p = _power(utility)
    if p > -math.inf and table.size and table.min() < 0:
        row, k = (int(x) for x in np.argwhere(table < 0)[0])
        raise ProblemError(
            f"values, row {rows[row]}, reward {k}: expected a number >= 0 for a p-mean, got {table[row, k]}"
        )
    single = power_mean(table, p)
    best = int(np.argmax(single))
    front = _front(table)
    shares = np.zeros(len(rows))
    search = _maxmin if p == -math.inf else partial(_concave, p=p)
    shares[front], weight, bound = search(table[front])
    value = float(power_mean(shares @ table, p))
    if single[best] >= value:
        shares[:], shares[best], value = 0.0, 1.0, float(single[best])
    shares.flags.writeable = weight.flags.writeable = False
    return Lottery(rows, shares, value, max(bound, value), weight, rows[best], float(single[best]))


def power_mean(rewards: NDArray[np.float64], p: float) -> NDArray[np.float64]:
    """(mean of x^p)^(1/p) over the last axis of x >= 0; p = 0: the geometric mean, p = -inf: the least (of any x)."""
    least: NDArray[np.float64] = rewards.min(axis=-1)
    if p == -math.inf:
        return least
    with np.errstate(divide="ignore"):  # logarithms of 0
        logs = np.log(rewards)
    if p <= 0:
        logs = np.where((least > 0)[..., None], logs, 0.0)  # where one is 0 so is the mean
    top = (logs.max(axis=-1) if p > 0 else logs.min(axis=-1))[..., None]
    top = np.where(np.isfinite(top), top, 0.0)
    if p == 0:
        mean = np.mean(logs - top, axis=-1)
    else:
        with np.errstate(divide="ignore", over="ignore"):
            mean = np.log1p(np.mean(np.expm1(p * (logs - top)), axis=-1)) / p
    result: NDArray[np.float64] = np.exp(top[..., 0] + mean)
    return np.where(least > 0, result, 0.0) if p <= 0 else np.where(rewards.max(axis=-1) > 0, result, 0.0)


def _checked(values: ArrayLike, members: Any) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise refusal("values", "an (n, d) array of numbers", values) from None
    if table.ndim != 2 or not table.size:
        raise ProblemError(f"values: expected shape (n, d) with n, d >= 1, got {table.shape}")
    rows = items("members", members, "rows of the values")
    for row in rows:
        if isinstance(row, bool) or not isinstance(row, (int, np.integer)) or not 0 <= row < len(table):
            raise refusal("members", f"rows from 0 to {len(table) - 1}", row)
    if not rows:
        raise ProblemError("members: expected at least one row, got none")
    chosen = table[rows]
    if not (np.abs(chosen) < _MODERATE).all():
        row = int(np.argmin((np.abs(chosen) < _MODERATE).all(axis=1)))
        raise ProblemError(f"values, row {rows[row]}: expected finite, moderate numbers, got {chosen[row].tolist()}")
    return chosen, tuple(int(row) for row in rows)


def _power(utility: object) -> float:
    if isinstance(utility, str):
        if utility != "maxmin":
            raise refusal("utility", '"maxmin" or a number p <= 1', utility)
        return -math.inf
    return real("utility", utility, '"maxmin" or a number p <= 1', lambda p: p <= 1)


def _front(table: NDArray[np.float64]) -> list[int]:
    """The rows that no other row dominates, of equal ones the first: no lottery needs more, and w >= 0 sees no more."""
    front: list[int] = []
    for row in np.argsort(-table.sum(axis=1), kind="stable").tolist():
        if not (table[front] >= table[row]).all(axis=1).any():
            front.append(row)
    return sorted(front)


def _maxmin(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Shares, weight and bound by one linear program: its planes are the rewards themselves."""
    low, width = float(table.min()), float(table.max() - table.min()) or 1.0
    master = _Master((table - low) / width)
    for k in range(table.shape[1]):
        master.add(np.eye(table.shape[1])[k])
    shares, dual = master.solve()
    weight = dual / dual.sum()
    bound = float((table @ weight).max())
    return shares, weight, bound + _ROUNDING * float((np.abs(table) @ weight).max())


def _concave(table: NDArray[np.float64], p: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Shares, weight and bound by tangent planes; rewards that are 0 for all members leave the program."""
    d, size = table.shape[1], float(table.max())
    active = table.max(axis=0) > 0
    shares = np.full(len(table), 1 / len(table))
    if not active.any() or (p <= 0 and not active.all()):
        return shares, np.full(d, 1 / d), 0.0
    part = table[:, active] / size
    count = part.shape[1]
    scale = size * (count / d) ** (1 / p) if count < d else size
    master, bound, weight = _Master(part), math.inf, np.full(count, 1 / count)
    point = shares @ part
    for _ in range(_ROUNDS):
        for normal in (_slope(part, point, p), master.dual):
            if normal is not None and (reached := _bound(part, normal, p)) < bound:
                bound, weight = reached, normal / normal.sum()
        value = float(power_mean(shares @ part, p))
        if bound - value <= _CLOSED * bound:
            break
        master.add(_slope(part, point, p))
        proposal, _ = master.solve()
        step = _line(shares @ part, proposal @ part, p)
        moved = (1 - step) * shares + step * proposal
        point = (moved @ part + proposal @ part) / 2 if step == 0 else moved @ part
        shares = moved
    full = np.zeros(d)
    full[active] = weight
    return shares / shares.sum(), full, bound * scale * (1 + _ROUNDING)


def _slope(table: NDArray[np.float64], point: NDArray[np.float64], p: float) -> NDArray[np.float64]:
    """The gradient of the mean at a point (at its entries lifted from 0), up to a factor."""
    x = np.maximum(point, np.maximum(_LEAST * table.max(axis=0), 1e-300))
    logs = np.log(x)
    slope: NDArray[np.float64] = np.exp((p - 1) * (logs - logs.min()))
    return slope / _conjugate(slope, p)


def _conjugate(weight: NDArray[np.float64], p: float) -> float:
    """d M_q(weight), q = p / (p - 1): the largest c with c M_p(x) <= weight.x for every x >= 0."""
    q = -math.inf if p == 1 else p / (p - 1)
    return len(weight) * float(power_mean(weight, q))


def _bound(table: NDArray[np.float64], weight: NDArray[np.float64], p: float) -> float:
    """An upper bound of the mean over all lotteries."""
    divisor = _conjugate(weight, p)
    return float((table @ weight).max()) / divisor if divisor > 0 else math.inf


def _line(start: NDArray[np.float64], end: NDArray[np.float64], p: float) -> float:
    """The best step from start to end by golden section: the mean is concave."""
    ratio = (math.sqrt(5) - 1) / 2
    low, high = 0.0, 1.0

    def at(step: float) -> float:
        return float(power_mean((1 - step) * start + step * end, p))

    left, right = high - ratio, low + ratio
    at_left, at_right = at(left), at(right)
    for _ in range(60):
        if at_left < at_right:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = at(right)
        else:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = at(left)
    return max((0.0, 1.0, (low + high) / 2), key=at)


class _Master:
    """max t over shares s >= 0 with sum 1 and t <= plane.(sum_j s_j v_j) for each plane added.

    dual : the planes mixed by the last solution's multipliers, or None before the first.
    """

    def __init__(self, table: NDArray[np.float64]) -> None:
        self.table, self.planes = table, [np.empty((0, table.shape[1]))]
        self.dual: NDArray[np.float64] | None = None
        m = len(table)
        solver = self.solver = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("presolve", "off"), ("solver", "simplex")):
            solver.setOptionValue(option, value)
        for option in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            solver.setOptionValue(option, 1e-10)
        solver.addVars(m + 1, np.append(np.zeros(m), -highspy.kHighsInf), np.full(m + 1, highspy.kHighsInf))
        solver.changeColCost(m, -1.0)
        solver.addRow(1.0, 1.0, m, np.arange(m, dtype=np.int32), np.ones(m))

    def add(self, plane: NDArray[np.float64]) -> None:
        """One more plane, d numbers >= 0."""
        m = len(self.table)
        entries = np.append(self.table @ plane, -1.0)
        self.solver.addRow(0.0, highspy.kHighsInf, m + 1, np.arange(m + 1, dtype=np.int32), entries)
        self.planes.append(plane[None])

    def solve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The best shares for the planes, and `dual`."""
        self.solver.run()
        solution = self.solver.getSolution()
        shares = np.clip(np.array(solution.col_value[:-1]), 0.0, None)
        multipliers = np.abs(np.array(solution.row_dual[1:]))
        self.dual = multipliers @ np.concatenate(self.planes)
        return shares / shares.sum(), self.dual
