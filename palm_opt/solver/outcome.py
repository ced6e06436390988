"""What a search ended with, and the certificate of it, checked before anyone sees it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from palm_opt import checker
from palm_opt.result import Result, Settings, Status, Stop
from palm_opt.solver.cover import Pool
from palm_opt.solver.exact import Weight
from palm_opt.solver.packing import SizeProof
from palm_opt.solver.quality import Quality, assemble, prove_quality

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a search ended with; `result` makes the certificate of it and has it checked.

    members, quality : the incumbent (none: empty) and why it keeps the promise; size : what is proved of its cost.
    weights : witness weights that a search at similar tolerances may begin with.
    began : on the clock of time.monotonic.
    """

    pool: Pool
    members: tuple[int, ...]
    quality: Quality | None
    size: SizeProof
    stop: Stop
    claimed: float | None
    backend: str
    settings: Settings
    began: float
    weights: tuple[Weight, ...]
    info: dict[str, int]

    def result(self) -> Result:
        """The result: its status says what the exact checker accepted."""
        pool, values, members = self.pool, self.pool.values, self.members
        impossible = self.size.bound == math.inf
        worst = np.full(values.d, 1 / values.d)
        document = None
        if members and self.quality is not None:
            worst = self.quality.weight
            document = assemble(pool, members, prove_quality(pool, members, self.settings.threads), self.size)
        elif impossible:
            weight = np.array(self.size.nodes[0][1], dtype=np.float64)
            worst = weight / weight.sum()
            document = assemble(pool, (), [], self.size)
        status = Status.UNKNOWN
        if document is not None:
            proved = checker.check(document, values.problem())  # raises if any claim fails: never returned unproved
            optimal = proved.lower_bound >= proved.cost
            status = Status.INFEASIBLE if impossible else Status.OPTIMAL if optimal else Status.FEASIBLE
        return Result(
            status=status,
            stop=self.stop,
            members=tuple(values.names[i] for i in members),
            indices=members,
            cost=float(pool.cost(members)) if members else math.inf,
            lower_bound=float(self.size.bound),
            epsilon=pool.epsilon,
            delta=pool.delta,
            regret=self.quality.regret if self.quality is not None else math.inf,
            worst_weight=worst,
            certificate=document,
            claimed_bound=self.claimed,
            backend=self.backend,
            seconds=time.monotonic() - self.began,
            info=self.info,
        )
