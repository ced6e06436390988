"""The linear relaxation of the cover of all weights: rows and columns are generated (docs/theory.md, L3).

The relaxation asks that at every weight w of the simplex the shares x of the candidates that cover w sum to 1 or more.
Its dual is the best packing. Rows are weights: those that a fractional solution serves worst are found by `palm_probe`,
and moved to where few candidates cover them. Columns enter when the packing overloads them.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

import highspy
import numpy as np
from numpy.typing import NDArray

from palm_opt import _core
from palm_opt.preferences.simplex import sample, snap
from palm_opt.solver.backends.highs import simplex
from palm_opt.solver.cover import Pool, Witnesses
from palm_opt.solver.packing import Node, packing_leaf
from palm_opt.solver.run import Run

__all__ = ["Point", "Relaxation"]

_DUAL, _PRIMAL = 1, 4  # HiGHS' numbers for its simplex methods
_INFEASIBLE = (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kModelEmpty)  # empty: without columns
_NEW_COLUMNS = 100  # that enter at once
_FIRST, _EACH = 400, 3  # rows to begin with, and candidates for each of them
_SLACK = 1e-7  # of linear programs in floats
_IDLE = 15  # solves after which a row that does not bind is dropped
_PROBE_WORK = 200_000_000  # of one call of the kernel, which hears nothing
_STARTS, _TRIES, _LIFTS, _NEW = 300, 150, 60, 60  # probes of a pricing round, steps of each, steps of lifting, rows


@dataclass(frozen=True)
class Point:
    """An optimum of the relaxation at a node of the tree.

    value : its objective; inf if some weight is covered by no candidate left, then `uncovered` is its row.
    columns, x : candidates and their shares; rows, y : rows of the `Witnesses` and their multipliers.
    """

    value: float
    columns: NDArray[np.int64]
    x: NDArray[np.float64]
    rows: NDArray[np.int64]
    y: NDArray[np.float64]
    uncovered: int = -1

    @property
    def integral(self) -> bool:
        """Whether all shares are 0 or 1."""
        return bool((np.abs(self.x - np.rint(self.x)) < 1e-6).all())

    @property
    def chosen(self) -> tuple[int, ...]:
        """Candidates with a share of at least a half."""
        return tuple(sorted(self.columns[self.x > 0.5].tolist()))


class Relaxation:
    """One linear program in HiGHS, changed in place from node to node."""

    def __init__(self, pool: Pool, witnesses: Witnesses, run: Run) -> None:
        self.pool, self.witnesses, self.run = pool, witnesses, run
        self.rng = np.random.default_rng(run.settings.seed)
        self.random = np.array([run.settings.seed], dtype=np.uint64)
        self.rows = np.empty(0, dtype=np.int64)
        self.idle = np.empty(0, dtype=np.int64)
        self.columns = np.empty(0, dtype=np.int64)
        self.place: dict[int, int] = {}
        self.inside = frozenset(pool.required)
        self.outside: frozenset[int] = frozenset(pool.forbidden)
        self.work = {"relaxations": 0, "lp_iterations": 0, "pricings": 0}
        self.solver = simplex()

    # ---- the program -----------------------------------------------------------------------------------------------

    def add_rows(self, rows: Collection[int]) -> None:
        """Add rows of the `Witnesses` that are not in the program yet."""
        new = np.setdiff1d(np.fromiter(rows, dtype=np.int64, count=len(rows)), self.rows)
        if not len(new):
            return
        block = self.witnesses.coverage(self.columns, new) if len(self.columns) else np.zeros((len(new), 0), dtype=bool)
        starts = np.concatenate([[0], np.cumsum(block.sum(axis=1))])[:-1].astype(np.int32)
        entries = block.nonzero()[1].astype(np.int32)
        many = len(new)
        self.solver.addRows(
            many, np.ones(many), np.full(many, highspy.kHighsInf), len(entries), starts, entries, np.ones(len(entries))
        )
        self.rows = np.concatenate([self.rows, new])
        self.idle = np.concatenate([self.idle, np.zeros(many, dtype=np.int64)])

    def add_columns(self, columns: NDArray[np.int64]) -> None:
        """Add candidates that are not in the program yet."""
        columns = np.array([i for i in columns.tolist() if i not in self.place], dtype=np.int64)
        if not len(columns):
            return
        block = self.witnesses.coverage(columns, self.rows).T
        starts = np.concatenate([[0], np.cumsum(block.sum(axis=1))])[:-1].astype(np.int32)
        entries = block.nonzero()[1].astype(np.int32)
        low = np.array([1.0 if i in self.inside else 0.0 for i in columns.tolist()])
        high = np.array([0.0 if i in self.outside else highspy.kHighsInf for i in columns.tolist()])
        self.solver.addCols(
            len(columns),
            self.pool.values.costs[columns],
            low,
            high,
            len(entries),
            starts,
            entries,
            np.ones(len(entries)),
        )
        for i in columns.tolist():
            self.place[i] = len(self.place)
        self.columns = np.concatenate([self.columns, columns])

    def forget(self, moved: NDArray[np.int64]) -> None:
        """Follow `Witnesses.keep`, which keeps all rows of this program."""
        self.rows = moved[self.rows]

    def _drop_idle(self) -> None:
        old = np.flatnonzero(self.idle > _IDLE)
        if len(old) > 200:
            self.solver.deleteRows(len(old), old.astype(np.int32))
            kept = self.idle <= _IDLE
            self.rows, self.idle = self.rows[kept], self.idle[kept]

    def move(self, inside: frozenset[int], outside: frozenset[int]) -> None:
        """Fix candidates in and out."""
        changed = (self.inside ^ inside) | (self.outside ^ outside)
        self.inside, self.outside = inside, outside
        self.add_columns(np.array(sorted(inside), dtype=np.int64))
        for i in changed:
            if i in self.place:
                low = 1.0 if i in inside else 0.0
                self.solver.changeColBounds(self.place[i], low, 0.0 if i in outside else highspy.kHighsInf)

    def candidates(self) -> NDArray[np.int64]:
        """Undecided candidates that matter: the columns of the pool, and what those that are out dominated."""
        out = self.outside - self.pool.forbidden
        columns = self.pool.columns
        if out:
            columns = np.union1d(columns, np.concatenate([self.pool.revealed(i, out) for i in out]))
        decided = np.fromiter(self.inside | self.outside, dtype=np.int64)
        return np.setdiff1d(columns, decided) if len(decided) else columns

    def solve(self) -> Point:
        """The optimum with the candidates that are in and out now; columns are generated."""
        candidates = self.candidates()
        if not len(self.columns):
            self.add_columns(candidates[:1])
        strategy = _DUAL
        for _ in range(200):
            self.run.pause()
            self.solver.setOptionValue("simplex_strategy", strategy)
            self.solver.run()
            self.work["relaxations"] += 1
            self.work["lp_iterations"] += max(0, self.solver.getInfo().simplex_iteration_count)
            status = self.solver.getModelStatus()
            if status in _INFEASIBLE:
                lacking = self._uncovered(candidates)
                if lacking >= 0:
                    empty = np.empty(0, dtype=np.int64)
                    return Point(math.inf, self.columns, np.zeros(len(self.columns)), empty, np.empty(0), lacking)
                continue
            if status != highspy.HighsModelStatus.kOptimal:
                self.solver.clearSolver()
                continue
            solution = self.solver.getSolution()
            y = np.array(solution.row_dual)
            active = np.flatnonzero(y > 1e-9)
            load = (
                y[active] @ self.witnesses.coverage(candidates, self.rows[active]) - self.pool.values.costs[candidates]
            )
            over = np.flatnonzero(load > _SLACK)
            missing = np.array([j for j in over.tolist() if int(candidates[j]) not in self.place], dtype=np.int64)
            if not len(missing):
                self.idle = np.where(y > 1e-9, 0, self.idle + 1)
                x = np.array(solution.col_value)
                point = Point(self.solver.getObjectiveValue(), self.columns, x, self.rows[active], y[active])
                self._drop_idle()
                return point
            self.add_columns(candidates[missing[np.argsort(-load[missing], kind="stable")[:_NEW_COLUMNS]]])
            strategy = _PRIMAL  # new columns leave the basis primal feasible, new rows and bounds dual feasible
        empty = np.empty(0, dtype=np.int64)
        return Point(0.0, self.columns, np.zeros(len(self.columns)), empty, np.empty(0))

    def _uncovered(self, candidates: NDArray[np.int64]) -> int:
        """A row that nothing covers, or -1 after adding candidates for the rows that lack columns."""
        usable = np.array([i for i in self.columns.tolist() if i not in self.outside], dtype=np.int64)
        bare = self.rows[~self.witnesses.coverage(usable, self.rows).any(axis=1)] if len(usable) else self.rows
        for row in bare.tolist():
            able = candidates[self.witnesses.coverage(candidates, np.array([row]))[0]]
            if not len(able):
                return int(row)
            self.add_columns(able[:5])
        return -1

    def try_bounds(self, candidate: int, limit: int) -> tuple[float, float]:
        """Objectives after a few dual simplex steps with a candidate in and out: for choosing where to branch."""
        solver, place = self.solver, self.place[candidate]
        basis = solver.getBasis()
        solver.setOptionValue("simplex_strategy", _DUAL)
        solver.setOptionValue("simplex_iteration_limit", limit)
        found = []
        for low, high in ((1.0, highspy.kHighsInf), (0.0, 0.0)):
            solver.changeColBounds(place, low, high)
            solver.run()
            self.work["relaxations"] += 1
            bad = solver.getModelStatus() == highspy.HighsModelStatus.kInfeasible
            found.append(math.inf if bad else solver.getObjectiveValue())
            solver.changeColBounds(place, 0.0, highspy.kHighsInf)
            solver.setBasis(basis)
        solver.setOptionValue("simplex_iteration_limit", 2**31 - 1)
        return found[0], found[1]

    def begin(self, members: tuple[int, ...]) -> None:
        """Start with the rows that fewest candidates cover, and with candidates that cover many of them."""
        matrix = self.witnesses.coverage(self.pool.columns)
        rows = np.argsort(matrix.sum(axis=1), kind="stable")[:_FIRST]
        gain = matrix[rows].sum(axis=0) / np.maximum(self.pool.values.costs[self.pool.columns], 1e-12)
        order = np.argsort(-gain, kind="stable")
        best = [order[np.flatnonzero(matrix[row, order])[:_EACH]] for row in rows]
        self.add_rows(rows.tolist())
        self.add_columns(np.union1d(np.array(members, dtype=np.int64), self.pool.columns[np.concatenate(best)]))

    def ascent(self) -> Point:
        """A packing by dual ascent over the known rows, those that fewest candidates cover first: a bound at once."""
        columns = self.candidates()
        matrix = self.witnesses.coverage(columns)
        room = self.pool.values.costs[columns].copy()
        y = np.zeros(len(matrix))
        order = np.argsort(matrix.sum(axis=1), kind="stable")
        order = order[~self.witnesses.coverage(sorted(self.inside))[order].any(axis=1)]
        for row in order.tolist():
            self.run.pause()
            y[row] = room[matrix[row]].min(initial=math.inf)
            room[matrix[row]] -= y[row]
        rows = np.flatnonzero(y > 0)
        return Point(float(y.sum()), self.columns, np.zeros(len(self.columns)), rows, y[rows])

    # ---- rows ------------------------------------------------------------------------------------------------------

    def price(self, point: Point) -> int:
        """Add weights that the shares of a point cover too little; returns how many."""
        d = self.pool.values.d
        self.work["pricings"] += 1
        support = np.flatnonzero(point.x > 1e-9)
        shares = point.x[support]
        known = self.witnesses.coverage(point.columns[support]) @ shares
        worst = np.argsort(known, kind="stable")[:_NEW]
        worst = worst[known[worst] < 1 - 1e-5]
        if len(worst) >= _NEW // 2:
            self.add_rows(worst.tolist())
            return len(worst)
        active = self.witnesses.floats[point.rows]
        starts = np.repeat(active, max(2, _STARTS // max(1, len(active))), axis=0)
        starts = np.concatenate([starts, sample(self.rng, _STARTS // 2, d)])
        found, covered = self._probe(starts, point.columns[support], shares, _TRIES)
        order = np.argsort(covered, kind="stable")[:_NEW]
        order = order[covered[order] < 1 - 1e-5]
        if not len(order):
            return 0
        columns = np.union1d(self.candidates(), point.columns[support])
        mass = np.full(len(columns), 1e-4)
        mass[np.searchsorted(columns, point.columns[support])] += shares
        lifted, _ = self._probe(found[order], columns, mass, _LIFTS)
        before = len(self.witnesses)
        rows = sorted(set(self.witnesses.add(snap(lifted))))
        new = [row for row in rows if row >= before]
        if not new:
            return 0
        block = self.witnesses.coverage(point.columns, np.array(new))
        _, first = np.unique(block, axis=0, return_index=True)
        useful = [new[k] for k in sorted(first.tolist()) if float(block[k] @ point.x) < 1 - 1e-6]
        self.add_rows(useful)
        return len(useful)

    def overlooked(self, members: tuple[int, ...]) -> list[int]:
        """Known rows that members do not cover."""
        bare: list[int] = np.flatnonzero(~self.witnesses.coverage(members).any(axis=1)).tolist()
        return bare

    def _probe(
        self, weights: NDArray[np.float64], columns: NDArray[np.int64], mass: NDArray[np.float64], tries: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        values = self.pool.values.array
        delta = self.pool.delta + 2e-9 * float(np.abs(values).max())  # what is in doubt counts as covered
        hull, pool = self.pool.supported(self.run), self.pool
        step = max(1, _PROBE_WORK // (tries * (len(hull) + len(columns)) * values.shape[1]))
        found, covered = np.empty_like(weights), np.empty(len(weights))
        for first in range(0, len(weights), step):
            self.run.pause()
            part = slice(first, first + step)
            found[part], covered[part] = _core.probe(
                weights[part], hull, values[columns], mass, self.random, pool.epsilon, delta, tries
            )
        return found, covered

    # ---- proof -----------------------------------------------------------------------------------------------------

    def leaf(self, point: Point, target: Fraction | float) -> tuple[Fraction | float, Node]:
        """The exact leaf of the tree at a point, and the bound that it proves."""
        integer = self.witnesses.integer
        if point.uncovered >= 0:
            return math.inf, ("uncovered", integer[point.uncovered])
        paid = self.pool.cost(self.inside)
        rows, y = point.rows, point.y
        if self.inside:
            open_rows = ~self.witnesses.coverage(sorted(self.inside), rows).any(axis=1)
            rows, y = rows[open_rows], y[open_rows]
        columns = self.candidates()
        coverage = self.witnesses.coverage(columns, rows)
        weights = [integer[row] for row in rows.tolist()]
        return packing_leaf(weights, coverage, self.pool.values.costs[columns], y, paid, self.pool.whole_costs, target)
