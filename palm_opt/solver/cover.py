"""The cover problem: witness weights against candidates, exact to the last tie (docs/theory.md, L2, L3)."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt import _core
from palm_opt.errors import ProblemError
from palm_opt.preferences.simplex import sample
from palm_opt.solver.exact import ExactValues, Weight, integer_weight
from palm_opt.solver.run import Run
from palm_opt.solver.separation import check_tolerances, matrix, separate
from palm_opt.tables.decimals import rational
from palm_opt.tables.values import ValueMatrix

__all__ = ["DOUBT", "TINY", "Cover", "Pool", "Witnesses", "skyline"]

DOUBT = 1e-9  #: comparisons with a relative slack below this are decided in exact arithmetic
TINY = 1e-300  #: and so are those with an absolute slack below this: there products of floats lose their digits
_SET_UP = 0.15  # share of the time limit after which rows are compared with a few others only
_PAIRED = 10_000  # columns of a cover that are compared with each other
_BLOCK = 20_000_000  # entries of the coverage matrix decided at once
_SUPPORT_WORK = 100_000_000  # candidates x supported ones x rewards that a look for more of those may take


def skyline(
    values: NDArray[np.float64],
    costs: NDArray[np.float64] | None = None,
    enough: Callable[[], bool] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dominators and undominated rows.

    Returns (dominator, front): dominator[i] is -1, or an undominated row that is at least row i in every column at no
    greater cost; front holds the undominated rows in increasing order. Of equal rows one is kept. Once `enough` says
    so, rows are compared with a few others only, and some dominated ones pass for undominated.
    """
    n, d = values.shape
    keys = [-values[:, k] for k in range(d - 1, -1, -1)]  # ties go by row: the sort is stable
    if d <= 2 and (costs is None or not np.ptp(costs)):
        return _staircase(values[:, -1], np.lexsort(keys))
    cost = np.zeros(n) if costs is None else costs
    total = -(values / 2**10).sum(axis=1)  # numbers near the largest must not overflow
    order = np.argsort(total, kind="stable")
    if not np.diff(total[order]).all():
        order = np.lexsort([cost, *keys, total])
    dominator, front = _core.skyline(values, cost, order, enough)
    return dominator, np.sort(front)


def _staircase(last: NDArray[np.float64], order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same for one or two columns in one pass: rows in falling order of the first, then of the last column."""
    y = last[order]
    step = np.ones(len(y), dtype=bool)
    step[1:] = y[1:] > np.maximum.accumulate(y)[:-1]  # higher than all before
    above = order[np.maximum.accumulate(np.where(step, np.arange(len(y)), 0))]
    dominator = np.empty(len(y), dtype=np.int64)
    dominator[order] = np.where(step, -1, above)
    return dominator, np.sort(order[step])


class Pool:
    """A problem made ready for covering.

    Attributes
    ----------
    numbers : (n, d) the numbers before scaling, higher is better: exactly in the order of the values.
    front : undominated rows: OPT and quality need no others.
    dominator : (n,) an undominated row at least as good, or -1.
    required, forbidden : rows.
    columns : rows worth selecting: not forbidden, and undominated at no greater cost among such, or required.

    Where a `run` has a time limit, some dominated rows may be left in front and columns: bounds stay bounds.
    """

    def __init__(
        self,
        values: ValueMatrix | ArrayLike,
        epsilon: float,
        delta: float,
        require: Iterable[str | int] = (),
        forbid: Iterable[str | int] = (),
        run: Run | None = None,
    ) -> None:
        values = matrix(values)
        epsilon, delta = check_tolerances(epsilon, delta)
        until = math.inf if run is None else run.began + _SET_UP * run.settings.time_limit
        self._enough = None if until == math.inf else lambda: time.monotonic() >= until
        if values.d > _core.MAX_REWARDS:
            raise ProblemError(f"values: at most {_core.MAX_REWARDS} rewards are supported, got {values.d}")
        self.values, self.epsilon, self.delta = values, epsilon, delta
        self.required = values.indices(require, "require")
        self.forbidden = frozenset(values.indices(forbid, "forbid"))
        both = self.forbidden.intersection(self.required)
        if both:
            raise ProblemError(f"candidate {values.names[min(both)]!r} is both required and forbidden")
        self.exact = ExactValues(values, epsilon, delta)
        # dominance is decided on the numbers given: scaling keeps their order
        self.numbers = np.column_stack([column.numbers * column.sign for column in values.columns])
        self.dominator, self.front = skyline(self.numbers, None, self._enough)
        self._supported: NDArray[np.float64] | None = None
        self._shadow: NDArray[np.int64] | None = None
        self._revealed: dict[tuple[int, frozenset[int]], NDArray[np.int64]] = {}
        self.columns = self.selectable(self.forbidden)

    def at(self, epsilon: float, delta: float) -> Pool:
        """The same pool at other tolerances: dominance does not depend on them."""
        epsilon, delta = check_tolerances(epsilon, delta)
        other = copy.copy(self)
        other.epsilon, other.delta = epsilon, delta
        other.exact = self.exact.at(epsilon, delta)
        return other

    def selectable(self, out: Iterable[int]) -> NDArray[np.int64]:
        """Rows worth selecting when those in `out` may not be selected; the required ones among them always."""
        allowed = np.ones(self.values.n, dtype=bool)
        allowed[list(out)] = False
        rows = np.flatnonzero(allowed)
        best, shadow = rows, self.dominator
        if self.values.unit_costs and allowed[self.front].all():
            best = self.front
        elif len(rows):
            above, front = skyline(self.numbers[rows], self.values.costs[rows], self._enough)
            best, shadow = rows[front], np.full(self.values.n, -1, dtype=np.int64)
            shadow[rows] = np.where(above >= 0, rows[above], -1)
        if self._shadow is None:
            self._shadow = shadow
        kept = [i for i in self.required if allowed[i]]
        return np.union1d(best, np.array(kept, dtype=np.int64)) if kept else best

    def revealed(self, i: int, out: frozenset[int]) -> NDArray[np.int64]:
        """Rows that become worth selecting when column i, among all of `out`, may not be selected."""
        rows = np.flatnonzero(self._shadow == i)
        key = (i, out.intersection(rows.tolist()) if len(rows) else frozenset())
        found = self._revealed.get(key)
        if found is None:
            rows = np.setdiff1d(rows, np.fromiter(key[1] | self.forbidden, dtype=np.int64))
            if len(rows):
                rows = rows[skyline(self.numbers[rows], self.values.costs[rows])[1]]
            found = self._revealed[key] = rows
        return found

    def supported(self, run: Run) -> NDArray[np.float64]:
        """Value vectors (m, d) that attain OPT at one of many weights: enough of the pool for heuristics."""
        if self._supported is None:
            self._supported = self._support(run)
        return self._supported

    def _support(self, run: Run) -> NDArray[np.float64]:
        rng = np.random.default_rng(0)
        front = self.values.array[self.front]
        count = int(min(20_000, max(1_000, 2e8 / front.size)))
        weights = np.concatenate([np.eye(self.values.d), sample(rng, count, self.values.d)])
        found = np.unique(_core.support(front, weights)[1])
        for _ in range(8):
            if front.size * len(found) > _SUPPORT_WORK:
                break
            games = separate(front, front[found], run.settings.threads, run.pause)
            short = np.argsort(-games.regret, kind="stable")[:2_000]
            short = short[games.regret[short] > 1e-9 * float(np.abs(front).max())]
            more = np.setdiff1d(_core.support(front, games.weights[short])[1], found) if len(short) else short
            if not len(more):
                break
            found = np.union1d(found, more)
        return front[found]

    def dominates(self, above: NDArray[np.int64], below: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether rows are at least other rows in every reward."""
        return np.asarray((self.numbers[above] >= self.numbers[below]).all(axis=1))

    @property
    def whole_costs(self) -> bool:
        """Whether every candidate that may be selected has an integer cost: size bounds may be rounded up."""
        allowed = np.ones(self.values.n, dtype=bool)
        allowed[list(self.forbidden)] = False
        costs = self.values.costs[allowed]
        return bool(np.all(costs == np.rint(costs)))

    def cost(self, rows: Collection[int]) -> Fraction:
        """Exact cost of a portfolio."""
        if self.values.unit_costs:
            return Fraction(len(rows))
        return sum((rational(self.values.costs[i]) for i in rows), Fraction(0))


class Witnesses:
    """Weights that every portfolio must cover, with their exact coverage of candidates.

    The coverage is one matrix of weights by candidates that grows both ways; candidates enter when asked for.
    """

    def __init__(self, pool: Pool, pause: Callable[[], None] = lambda: None) -> None:
        self.pool, self.pause = pool, pause
        self.integer: list[Weight] = []
        self.floats = np.empty((0, pool.values.d))
        self._known: dict[Weight, int] = {}
        self._opt = np.empty(0)
        self._best: list[int] = []  # exact OPT in units of 1 / denominator
        self._front_values = pool.values.array[pool.front]
        self._size = np.abs(pool.values.array).max(axis=0)
        self._tiny = TINY + 1e-320 * float(self._size.sum())  # weights below 1e-308 have few digits
        self._matrix = np.zeros((0, 0), dtype=bool)  # (capacity, capacity)
        self._columns = np.empty(0, dtype=np.int64)
        self._place = np.full(pool.values.n, -1, dtype=np.int64)  # candidate -> column of the matrix
        self.doubtful = 0
        self._enter(pool.columns)

    def __len__(self) -> int:
        return len(self.integer)

    def add(self, weights: NDArray[np.float64] | Sequence[Weight]) -> list[int]:
        """Add weights (floats with exact sum 1, or integer tuples); returns their row indices, known ones included."""
        exact = [w if isinstance(w, tuple) else integer_weight(np.asarray(w).tolist()) for w in weights]
        new = [weight for weight in dict.fromkeys(exact) if weight not in self._known]
        step = max(1, _BLOCK // max(1, len(self._columns)))
        for first in range(0, len(new), step):
            self._append(new[first : first + step])
        return [self._known[weight] for weight in exact]

    def _append(self, new: list[Weight]) -> None:
        floats = np.array([[w / sum(weight) for w in weight] for weight in new])
        opt, _ = _core.support(self._front_values, floats)
        best = [self._exact_best(weight, w, o) for weight, w, o in zip(new, floats, opt, strict=True)]
        first, last = len(self), len(self) + len(new)
        self._known.update(zip(new, range(first, last), strict=True))
        self.integer.extend(new)
        self._best.extend(best)
        self.floats, self._opt = np.concatenate([self.floats, floats]), np.concatenate([self._opt, opt])
        self._reserve(last, len(self._columns))
        self._matrix[first:last, : len(self._columns)] = self._decide(self._columns, first, last)

    def coverage(
        self, columns: Sequence[int] | NDArray[np.int64], rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.bool_]:
        """(rows, columns): whether each candidate covers each weight (all weights by default), exactly."""
        wanted = np.asarray(columns, dtype=np.int64)
        if columns is self.pool.columns:  # asked for in every round
            block = self._matrix[: len(self), : len(wanted)]
            return block if rows is None else block[rows]
        self._enter(wanted)
        places = self._place[wanted]
        return self._matrix[: len(self)][:, places] if rows is None else self._matrix[np.ix_(rows, places)]

    def keep(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Forget all weights but `rows` (increasing); returns the new index of every old row, -1 where forgotten."""
        moved = np.full(len(self), -1, dtype=np.int64)
        moved[rows] = np.arange(len(rows))
        self.integer = [self.integer[j] for j in rows.tolist()]
        self._known = {weight: j for j, weight in enumerate(self.integer)}
        self.floats, self._opt = self.floats[rows], self._opt[rows]
        self._best = [self._best[j] for j in rows.tolist()]
        self._matrix[: len(rows)] = self._matrix[rows]
        return moved

    def _enter(self, candidates: NDArray[np.int64]) -> None:
        """Give candidates a column of the matrix."""
        unknown = candidates[self._place[candidates] < 0] if len(candidates) else candidates
        if not len(unknown):
            return
        fresh = np.zeros(len(self._place), dtype=bool)
        fresh[unknown] = True
        new = np.flatnonzero(fresh)
        first = len(self._columns)
        self._place[new] = first + np.arange(len(new))
        self._columns = np.concatenate([self._columns, new])
        self._reserve(len(self), len(self._columns))
        self._matrix[: len(self), first : len(self._columns)] = self._decide(new, 0, len(self))

    def _reserve(self, rows: int, columns: int) -> None:
        have = self._matrix.shape
        if rows > have[0] or columns > have[1]:
            height = have[0] if rows <= have[0] else max(rows, have[0] * 3 // 2)
            width = have[1] if columns <= have[1] else max(columns, have[1] * 3 // 2)
            matrix = np.zeros((height, width), dtype=bool)
            matrix[: have[0], : have[1]] = self._matrix
            self._matrix = matrix

    def _exact_best(self, weight: Weight, w: NDArray[np.float64], opt: float) -> int:
        self.pause()
        products = self._front_values @ w
        near = np.flatnonzero(products >= opt - DOUBT * 2 * float(w @ self._size) - self._tiny)
        return self.pool.exact.best(weight, [int(i) for i in self.pool.front[near]])

    def _decide(self, candidates: NDArray[np.int64], first: int, last: int) -> NDArray[np.bool_]:
        pool = self.pool
        if not len(candidates) or first == last:
            return np.zeros((last - first, len(candidates)), dtype=bool)
        weights, opt = self.floats[first:last], self._opt[first:last]
        threshold = (1 - pool.epsilon) * opt - pool.delta
        doubt = DOUBT * (2 * weights @ self._size + pool.delta) + self._tiny
        state = _core.coverage(pool.values.array[candidates], weights, threshold - doubt, threshold + doubt)
        for j, k in np.argwhere(state == 2).tolist():
            state[j, k] = pool.exact.covers(self.integer[first + j], int(candidates[k]), self._best[first + j])
            self.doubtful += 1
        return state.view(np.bool_)


@dataclass(frozen=True)
class Cover:
    """A set cover: choose columns of least cost such that every row has a chosen one.

    matrix : (rows, columns) of bool; costs : (columns,); fixed : columns that must be chosen.
    """

    matrix: NDArray[np.bool_]
    costs: NDArray[np.float64]
    fixed: tuple[int, ...] = ()

    def reduced(self) -> tuple[Cover, NDArray[np.int64], NDArray[np.int64]]:
        """An equivalent smaller cover without `fixed`, and the places of its columns and rows in this one.

        Rows that a fixed column covers go; of rows one of which implies the other the implied one goes; of columns
        one of which covers no more at no lower cost that one goes; until nothing changes.
        """
        matrix = self.matrix
        rows = np.flatnonzero(~matrix[:, list(self.fixed)].any(axis=1))
        columns = np.setdiff1d(np.arange(matrix.shape[1]), self.fixed)
        matrix = matrix[np.ix_(rows, columns)]
        while matrix.size:
            before = matrix.shape
            _, unique = np.unique(np.packbits(matrix, axis=1), axis=0, return_index=True)
            unique = np.sort(unique)
            unique = unique[_minimal(matrix[unique])]
            matrix, rows = matrix[unique], rows[unique]
            keep = _maximal(matrix.T, self.costs[columns])
            matrix, columns = matrix[:, keep], columns[keep]
            if matrix.shape == before:
                break
        return Cover(matrix, self.costs[columns]), columns, rows

    def cost(self, columns: Iterable[int]) -> float:
        """Sum of the costs of columns."""
        return float(sum(self.costs[j] for j in columns))


def _minimal(sets: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Indices of distinct sets (rows) that contain no other."""
    ones = sets.astype(np.float32)
    size = ones.sum(axis=1)
    inside = (ones @ ones.T) >= size[None, :]  # [a, b]: b is a subset of a
    np.fill_diagonal(inside, False)
    return np.flatnonzero(~inside.any(axis=1))


def _maximal(sets: NDArray[np.bool_], costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of sets (rows) that no other contains at no greater cost; of equals the first stays.

    Of too many sets only the equal ones are looked at.
    """
    if len(sets) > _PAIRED:
        order = np.argsort(costs, kind="stable")
        _, first = np.unique(np.packbits(sets[order], axis=1), axis=0, return_index=True)
        distinct = np.sort(order[first])
        return distinct[sets[distinct].any(axis=1)]
    ones = sets.astype(np.float32)
    size = ones.sum(axis=1)
    beaten = ((ones @ ones.T) >= size[:, None]) & (costs[None, :] <= costs[:, None])  # [a, b]: b beats a
    both = beaten & beaten.T
    beaten &= ~(both & (np.arange(len(sets))[:, None] <= np.arange(len(sets))[None, :]))
    return np.flatnonzero(~beaten.any(axis=1) & (size > 0))
