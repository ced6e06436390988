"""What a search ended with, and the certificate of it, checked before anyone sees it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from palm_opt import checker
from palm_opt.errors import ProblemError
from palm_opt.result import Certificate, Result, Status, Stop
from palm_opt.solver import twin
from palm_opt.solver.cover import Pool
from palm_opt.solver.exact import Weight
from palm_opt.solver.packing import SizeProof
from palm_opt.solver.quality import Quality, assemble, prove_quality
from palm_opt.solver.run import Run, Stopped

__all__ = ["Outcome", "proof_seconds"]

_ROW = 8e-6  # seconds that the proof of an undominated candidate takes, about, its check by the twin included
_CHECK, _CHECK_ENTRY = 6e-6, 4e-7  # seconds of the checker: of a candidate and reward, of an entry of the coverage
_CHECK_LOAD = 1e-7  # and of a term of a load in a leaf
_ENTRIES = 2e8  # entries of the coverage that the twin may look at
_INTERRUPTED = 0.5  # seconds for the checker after Ctrl-C


def proof_seconds(pool: Pool) -> float:
    """About what the proof of a portfolio will take."""
    return _ROW * len(pool.front)


@dataclass(frozen=True)
class Outcome:
    """What a search ended with; `result` makes the certificate of it and has it checked.

    members, quality : the incumbent (none: empty) and why it keeps the promise; size : what is proved of its cost, by
        branching or by a packing; packed : what is proved by a packing.
    weights : witness weights that a search at similar tolerances may begin with.
    safe : an earlier incumbent with its certificate: the result where there is no time for another.
    """

    pool: Pool
    run: Run
    members: tuple[int, ...]
    quality: Quality | None
    size: SizeProof
    packed: SizeProof
    stop: Stop
    claimed: float | None
    weights: tuple[Weight, ...]
    info: dict[str, int]
    safe: Result | None = None

    def _checked(self, document: Certificate) -> checker.Verified:
        """What the checker says; ProblemError where numbers so far apart make a proof that it does not read."""
        problem = self.pool.values.problem()
        try:
            return checker.check(document, problem)
        except checker.CertificateParseError as error:
            sizes = np.abs(self.pool.values.raw[self.pool.values.raw != 0])
            if not len(sizes) or sizes.max() * 1e-30 < sizes.min():
                raise  # not for the range of the values
            raise ProblemError(
                f"values: from {sizes.min():g} to {sizes.max():g} in size: their proof is more than the checker reads"
                f" ({error}); choose another scale"
            ) from error

    def result(self) -> Result:
        """The result: its status says what the exact checker accepted."""
        run = self.run.ending()
        nothing = dataclasses.replace(self, members=(), quality=None, size=SizeProof(Fraction(0)))
        stop = self.stop
        try:
            found = self._proved(run) if self.size.bound == math.inf or self.members else nothing._told(Status.UNKNOWN)
        except Stopped as stopped:  # no time for the proof
            found, stop = self.safe or nothing._told(Status.UNKNOWN), stopped.stop
        return dataclasses.replace(found, stop=stop, seconds=time.monotonic() - self.run.began, info=self.info)

    def _proved(self, run: Run) -> Result:
        pool, impossible, size = self.pool, self.size.bound == math.inf, self.size
        multipliers = prove_quality(pool, self.members, self.quality, run) if self.quality is not None else []
        if not impossible and self._check_seconds() > (_INTERRUPTED if self.stop is Stop.INTERRUPTED else run.seconds):
            size = twin.trimmed(pool, size if len(size.nodes) < 2 else self.packed, _ENTRIES)
            document = assemble(pool, self.members, multipliers, size)
            bound: Fraction | float = twin.check(document, pool, run)
        else:
            document = assemble(pool, self.members, multipliers, size)
            checked = self._checked(document)  # raises if any claim fails
            bound, document.statement = checked.lower_bound, checked.statement
        optimal = not impossible and bound >= pool.cost(self.members)
        status = Status.INFEASIBLE if impossible else Status.OPTIMAL if optimal else Status.FEASIBLE
        return dataclasses.replace(self, size=size)._told(status, document)

    def _check_seconds(self) -> float:
        """About what the checker would take for the certificate of the incumbent."""
        leaves = [[weight for weight, _ in content] for kind, content in self.size.nodes if kind == "packing"]
        rows, d = len(set(itertools.chain(*leaves))), self.pool.values.d
        columns = len(self.pool.columns)
        loads = sum(map(len, leaves)) * columns
        return d * (_CHECK * len(self.pool.front) + _CHECK_ENTRY * rows * columns) + _CHECK_LOAD * loads

    def _told(self, status: Status, document: Certificate | None = None) -> Result:
        pool, values, members, quality = self.pool, self.pool.values, self.members, self.quality
        worst = np.full(values.d, 1 / values.d)
        if quality is not None:
            worst = quality.weight
        elif status is Status.INFEASIBLE:
            weight = self.size.nodes[0][1]
            worst = np.array([x / sum(weight) for x in weight])
        return Result(
            status=status,
            stop=self.stop,
            members=tuple(values.names[i] for i in members),
            indices=members,
            cost=float(pool.cost(members)) if members else math.inf,
            lower_bound=float(self.size.bound),
            epsilon=pool.epsilon,
            delta=pool.delta,
            regret=quality.regret if quality is not None else math.inf,
            worst_weight=worst,
            certificate=document,
            claimed_bound=self.claimed,
            backend=self.run.backend,
            seconds=time.monotonic() - self.run.began,
            info=self.info,
        )
