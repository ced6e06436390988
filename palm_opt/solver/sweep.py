"""Two rewards exactly: a cheapest cover of [0, 1] by intervals, with its proof of size (docs/theory.md, L2, L3).

A weight is (1 - t, t). Candidate i covers the t with v_i.w >= (1 - epsilon) OPT(w) - delta: a closed interval, since
OPT is convex and v_i.w linear in t. The cheapest chain of intervals from 0 to 1 is a shortest path over their ends; its
dual is a packing: with D(x) the least cost of covering [0, x], a weight just beyond every jump of D carries the jump.

Ends are floats with error bounds; what these leave in doubt is decided by exact ends, so that ties are ties.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palm_opt.solver.cover import TINY, Pool
from palm_opt.solver.exact import Weight, between
from palm_opt.tables.decimals import rational

__all__ = ["Sweep", "sweep"]

_ERROR = 4e-14  # bound on errors of scaled values, products and sums, relative to the largest value
_POINT = 1e-14  # of a difference of two scaled values, relative to the largest: both are right to 20 ulp
_TURN = 4e-16  # of an orientation determinant, relative to its two products (Shewchuk 1997: 3.33e-16)

Line = tuple[int, int]  #: values at t = 0 and t = 1, as integers over the pool's denominator


class Sweep(NamedTuple):
    """A cheapest portfolio for one or two rewards.

    members : sorted rows, required ones included; None if no portfolio keeps the promise.
    weights : exact weights. With members: those of the packing, none of which a required member covers. Without: one
        weight that no admissible candidate covers.
    y : a share for each weight, else None. For every candidate the shares of the weights it covers sum to at most its
        cost; all shares and the required members' costs sum to the cost of `members`.
    """

    members: tuple[int, ...] | None
    weights: list[Weight]
    y: list[Fraction] | None


def sweep(pool: Pool, pause: Callable[[], None] = lambda: None) -> Sweep:
    """The cheapest portfolio of a pool with one or two rewards, in O(n log n). Raises ValueError for more rewards.

    `pause` is called now and then, and may raise to stop.
    """
    if pool.values.d > 2:
        raise ValueError(f"sweep: expected one or two rewards, got {pool.values.d}")
    if pool.values.d == 1:
        return _single(pool)
    ends = _Ends(pool, pause)
    left, right, count = ends.ranks()
    n = len(ends.rows) + 1
    price, unit = _prices(pool, ends.rows, n)
    chain = _Chain(left, right, price, count - 1)
    chosen = chain.path()
    if chosen is None:
        return Sweep(None, [_weight(_uncovered(ends, left, right))], None)
    shares: dict[Weight, Fraction] = {}
    order = np.argsort(left, kind="stable")
    for after, jump in chain.jumps(n):
        weight = _weight(Fraction(0) if after is None else _beyond(ends, after, left, right, order))
        shares[weight] = shares.get(weight, Fraction(0)) + Fraction(jump, unit)
    members = tuple(sorted({*pool.required, *(int(ends.rows[j]) for j in chosen)}))
    return Sweep(members, list(shares), list(shares.values()))


def _prices(pool: Pool, rows: NDArray[np.int64], n: int) -> tuple[list[int], int]:
    """Costs as integers: (price, unit), price = cost * unit * n + 1; the last place counts members, to break ties."""
    different, which = np.unique(pool.values.costs[rows], return_inverse=True)
    exact = [rational(cost) for cost in different.tolist()]
    unit = math.lcm(*(cost.denominator for cost in exact))
    prices = [int(cost * unit) * n + 1 for cost in exact]
    price = [prices[k] for k in which.tolist()]
    for j in np.flatnonzero(np.isin(rows, pool.required)).tolist():
        price[j] = 0  # paid already
    return price, unit


def _single(pool: Pool) -> Sweep:
    """One reward: one weight, so one member."""
    best = pool.exact.best((1,), pool.front.tolist())
    if any(pool.exact.covers((1,), i, best) for i in pool.required):
        return Sweep(pool.required, [], [])
    covering = [i for i in pool.columns.tolist() if pool.exact.covers((1,), i, best)]
    if not covering:
        return Sweep(None, [(1,)], None)
    chosen = min(covering, key=lambda i: pool.values.costs[i])
    cost = rational(pool.values.costs[chosen])
    return Sweep(tuple(sorted({*pool.required, chosen})), [(1,)] if cost else [], [cost] if cost else [])


# ---- shortest path ---------------------------------------------------------------------------------------------------


class _Chain:
    """The least price of covering [0, x], for all ranks x: a chain of intervals with rising ends and rising prices."""

    def __init__(self, left: NDArray[np.int64], right: NDArray[np.int64], price: list[int], last: int) -> None:
        self.last = last
        self.ends: list[int] = []  # right ranks, rising
        self.best: list[int] = []  # prices of the cheapest chain to there, rising
        self.owner: list[int] = []
        self.before: dict[int, int] = {}
        starts, stops = left.tolist(), right.tolist()
        ends, best, owner = self.ends, self.best, self.owner
        for j in np.lexsort([left, right]).tolist():
            total, start = price[j], starts[j]
            if start > 0:
                k = bisect.bisect_left(ends, start)
                if k == len(ends):
                    continue  # nothing reaches its start
                total += best[k]
                self.before[j] = owner[k]
            else:
                self.before[j] = -1
            if ends and ends[-1] == stops[j] and best[-1] <= total:
                continue
            while best and best[-1] >= total:
                del ends[-1], best[-1], owner[-1]
            ends.append(stops[j])
            best.append(total)
            owner.append(j)

    def path(self) -> list[int] | None:
        """Intervals of a cheapest cover of everything, or None if there is none."""
        if not self.ends or self.ends[-1] < self.last:
            return None
        chain = [self.owner[bisect.bisect_left(self.ends, self.last)]]
        while self.before[chain[-1]] >= 0:
            chain.append(self.before[chain[-1]])
        return chain

    def jumps(self, unit: int) -> list[tuple[int | None, int]]:
        """Where the whole part of price / unit jumps: (interval after whose end, None for the point 0; the jump)."""
        stop = bisect.bisect_left(self.ends, self.last) + 1
        whole = [0, *(price // unit for price in self.best[:stop])]
        after: list[int | None] = [None, *self.owner[: stop - 1]]
        return [(j, high - low) for j, low, high in zip(after, whole, whole[1:], strict=False) if high > low]


def _uncovered(ends: _Ends, left: NDArray[np.int64], right: NDArray[np.int64]) -> Fraction:
    """A point that no interval covers, where there is one."""
    order = np.argsort(left, kind="stable")
    if not len(order) or left[order[0]] > 0:
        return Fraction(0)
    reach = np.maximum.accumulate(right[order])
    gaps = np.flatnonzero(left[order][1:] > reach[:-1])
    stop = int(gaps[0]) if len(gaps) else len(order) - 1
    furthest = int(order[: stop + 1][right[order[: stop + 1]].argmax()])
    return _beyond(ends, furthest, left, right, order)


def _beyond(
    ends: _Ends, j: int, left: NDArray[np.int64], right: NDArray[np.int64], order: NDArray[np.int64]
) -> Fraction:
    """A short fraction just beyond the end of interval j: no interval begins in between or there."""
    k = int(np.searchsorted(left, right[j], side="right", sorter=order))
    if k == len(order):
        return Fraction(1)
    return between(ends.exact(j, True), ends.exact(int(order[k]), False))


def _weight(t: Fraction) -> Weight:
    return (t.denominator - t.numerator, t.numerator)


# ---- ends of the intervals -------------------------------------------------------------------------------------------


class _Ends:
    """The intervals of the selectable candidates that cover anything: one a row of `rows`."""

    def __init__(self, pool: Pool, pause: Callable[[], None]) -> None:
        self.pool, self.pause = pool, pause
        self._unit = math.lcm(pool.exact.keep.denominator, pool.exact.delta.denominator)
        self._keep = int(pool.exact.keep * self._unit)
        self._allowance = int(pool.exact.delta * self._unit) * pool.exact.denominator
        hull = _hull(pool, pause)
        ascending = [self._line(i) for i in hull]
        self._hulls = {True: ascending, False: [(b, a) for a, b in reversed(ascending)]}
        self._known: dict[tuple[int, bool], Fraction] = {}
        values, keep = pool.values.array, 1 - pool.epsilon
        size = float(np.abs(values).max())
        delta = min(pool.delta, 4 * size)  # from 2 * size on everything is covered
        error = _ERROR * (size + delta) + TINY
        if size < 1e-200:  # a power of two scales without rounding, away from the denormal numbers
            values, delta, error = values * 2.0**1000, delta * 2.0**1000, error * 2.0**1000
        ends = {
            True: _last_floats(values[hull], values[pool.columns], keep, delta, error),
            False: _last_floats(values[hull[::-1], ::-1], values[pool.columns, ::-1], keep, delta, error),
        }
        covers = ~(ends[True].empty | ends[False].empty)
        self.rows, self._ends = pool.columns, ends
        for j in np.flatnonzero(covers & (ends[True].doubtful | ends[False].doubtful)).tolist():
            covers[j] = self._find(j, True) is not None
        self.rows = pool.columns[covers]
        self._ends = {side: floats.part(covers) for side, floats in ends.items()}

    def _line(self, i: int) -> Line:
        a, b = self.pool.exact.row(i)
        return a, b

    def exact(self, j: int, right: bool) -> Fraction:
        """The right or left end of interval j."""
        end = self._known.get((j, right))
        if end is None:
            end = self._find(j, right)
            if end is None:
                raise AssertionError("an interval that covers something has two ends")
            self._known[j, right] = end
        return end

    def _find(self, j: int, right: bool) -> Fraction | None:
        self.pause()
        a, b = self._line(int(self.rows[j]))
        guess = int(self._ends[right].piece[j])
        if right:
            return self._last(a, b, self._hulls[True], guess)
        end = self._last(b, a, self._hulls[False], guess)
        return None if end is None else 1 - end

    def _last(self, a: int, b: int, hull: list[Line], guess: int) -> Fraction | None:
        """The last t in [0, 1] that the candidate (a, b) covers: Newton's method on its concave slack, from the right.

        The slack is the least, over the lines of the hull, of unit (a + (b - a) t) - keep OPT line + allowance.
        """
        unit, keep, allowance, last = self._unit, self._keep, self._allowance, len(hull) - 1
        if unit * b - keep * hull[last][1] + allowance >= 0:
            return Fraction(1)
        h, guessed = guess, True
        while True:
            start = unit * a - keep * hull[h][0] + allowance
            fall = keep * (hull[h][1] - hull[h][0]) - unit * (b - a)
            if fall <= 0 or start > fall:  # no root in front of 1
                if not guessed or h == last:
                    return None  # negative at and beyond here, and not falling: negative everywhere
                h = last
                continue
            if start < 0:
                return None
            top = _top(hull, start, fall, h)
            if top == h:
                return Fraction(start, fall)
            h, guessed = top, False

    def ranks(self) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Left and right ends as ranks in the exact order of all ends with 0 and 1: (left, right, number of ranks)."""
        m = len(self.rows)
        left, right = self._ends[False], self._ends[True]
        low = np.concatenate([[0.0, 1.0], 1 - left.high, right.low])
        high = np.concatenate([[0.0, 1.0], 1 - left.low, right.high])
        doubtful = np.concatenate([[False, False], left.doubtful, right.doubtful])
        for place in np.flatnonzero(doubtful).tolist():
            end = float(self._at(place, m))
            low[place], high[place] = math.nextafter(end, -math.inf), math.nextafter(end, math.inf)
        rank = np.full(len(low), -1, dtype=np.int64)
        at_corner = (low == high) & ((low == 0) | (low == 1))
        at_corner[:2] = False
        places = np.flatnonzero(~at_corner)
        order = places[np.argsort(low[places], kind="stable")]
        reach = np.maximum.accumulate(high[order])
        step = np.ones(len(order), dtype=np.int64)
        step[1:] = low[order][1:] > reach[:-1]  # 0: floats cannot tell it from the ends before it
        for first, stop in _runs(step):
            group = sorted((self._at(place, m), place) for place in order[first:stop].tolist())
            order[first:stop] = [place for _, place in group]
            step[first + 1 : stop] = [group[k][0] > group[k - 1][0] for k in range(1, len(group))]
        rank[order] = np.cumsum(step) - 1
        rank[at_corner] = np.where(low[at_corner] == 0, rank[0], rank[1])
        return rank[2 : 2 + m], rank[2 + m :], int(rank[1]) + 1

    def _at(self, place: int, m: int) -> Fraction:
        """The exact end at a place of the concatenation 0, 1, left ends, right ends."""
        if place < 2:
            return Fraction(place)
        right, j = divmod(place - 2, m)
        return self.exact(j, bool(right))


def _runs(step: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(first, stop) of every group of more than one: a 1 and the 0s behind it."""
    starts = np.flatnonzero(step == 1)
    stops = np.append(starts[1:], len(step))
    several = stops - starts > 1
    return list(zip(starts[several].tolist(), stops[several].tolist(), strict=True))


def _top(hull: list[Line], numerator: int, denominator: int, h: int) -> int:
    """A line that is highest at t = numerator / denominator: h if it is one."""

    def value(k: int) -> int:
        a, b = hull[k]
        return a * (denominator - numerator) + b * numerator

    low, high = 0, len(hull) - 1
    own = value(h)
    if (h == 0 or value(h - 1) <= own) and (h == high or value(h + 1) <= own):
        return h
    while low < high:
        middle = (low + high) // 2
        if value(middle) >= value(middle + 1):
            high = middle
        else:
            low = middle + 1
    return low


def _hull(pool: Pool, pause: Callable[[], None]) -> list[int]:
    """The rows that are best for some weight, strictly convex, from t = 0 to t = 1 (monotone chain, Andrew 1979)."""
    points = pool.values.array[pool.front]
    order = np.argsort(-pool.numbers[pool.front, 0], kind="stable")
    rows = pool.front[order].tolist()
    x, y = points[order, 0].tolist(), points[order, 1].tolist()
    wrong_x, wrong_y = (_POINT * np.abs(points).max(axis=0) + 1e-322).tolist()
    chain: list[int] = []
    for p in range(len(rows)):
        if p % 256 == 0:
            pause()
        while len(chain) > 1:
            a, b = chain[-2], chain[-1]
            right, far, up, high = x[b] - x[a], x[p] - x[a], y[b] - y[a], y[p] - y[a]
            one, two = right * high, up * far
            turn, size = one - two, abs(one) + abs(two)
            doubt = wrong_x * (abs(high) + abs(up)) + wrong_y * (abs(right) + abs(far)) + wrong_x * wrong_y
            if not (abs(turn) > _TURN * size + doubt and size > 1e-280):  # also where something overflowed
                turn = _turn(*(pool.exact.row(rows[k]) for k in (a, b, p)))
            if turn > 0:
                break
            chain.pop()
        chain.append(p)
    return [rows[k] for k in chain]


def _turn(a: tuple[int, ...], b: tuple[int, ...], p: tuple[int, ...]) -> int:
    """Sign of the turn a, b, p, exactly."""
    turn = (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
    return (turn > 0) - (turn < 0)


class _Floats(NamedTuple):
    """Last covered t of each candidate: low <= t <= high unless doubtful, on `piece` of the hull; empty for certain."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    piece: NDArray[np.int64]
    doubtful: NDArray[np.bool_]
    empty: NDArray[np.bool_]

    def part(self, keep: NDArray[np.bool_]) -> _Floats:
        """Some of the candidates."""
        return _Floats(self.low[keep], self.high[keep], self.piece[keep], self.doubtful[keep], self.empty[keep])


def _last_floats(
    hull: NDArray[np.float64], own: NDArray[np.float64], keep: float, delta: float, error: float
) -> _Floats:
    """Bisection for the zero of each candidate's concave slack behind its peak; hull (m, 2), own (n, 2)."""
    m = len(hull)
    there, ahead = hull[:-1, 0] - hull[1:, 0], hull[1:, 1] - hull[:-1, 1]
    t = np.zeros(m + 1)  # piece h of OPT reaches from t[h] to t[h + 1]
    t[-1] = 1.0
    t[1:m] = np.maximum.accumulate(there / np.maximum(there + ahead, 1e-300))
    piece = np.minimum(np.arange(m + 1), m - 1)
    opt = hull[piece, 0] * (1 - t) + hull[piece, 1] * t
    opt[1:] = np.maximum(opt[1:], hull[:, 0] * (1 - t[1:]) + hull[:, 1] * t[1:])
    needed = keep * opt - delta
    slopes = np.maximum.accumulate(keep * (hull[:, 1] - hull[:, 0]))
    rise = own[:, 1] - own[:, 0]

    def slack(k: NDArray[np.int64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = own[:, 0] * (1 - t[k]) + own[:, 1] * t[k] - needed[k]
        return result

    low = np.searchsorted(slopes, rise)  # the peak is at t[low]
    peak, end = slack(low), slack(np.full(len(own), m))
    high = np.full(len(own), m)
    for _ in range(int(m).bit_length() + 1):
        middle = (low + high) // 2
        inside = slack(middle) >= 0
        low, high = np.where(inside, middle, low), np.where(inside, high, np.maximum(middle, low + 1))
    low = np.minimum(low, m - 1)
    at_low, at_high = slack(low), slack(low + 1)
    fall = slopes[low] - rise
    whole = end > error
    doubtful = ~whole & (
        (np.abs(at_low) <= error) | (np.abs(at_high) <= error) | (fall <= error) | (np.abs(peak) <= error)
    )
    fall = np.where(whole | doubtful, 1.0, fall)
    zero, width = t[low] + at_low / fall, error / fall + 1e-15
    ends = np.where(whole, 1.0, zero - width), np.where(whole, 1.0, zero + width)
    return _Floats(*ends, np.where(whole, m - 1, low), doubtful, ~whole & (peak < -error))
