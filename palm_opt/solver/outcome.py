"""What a search ended with, and the certificate of it, checked before anyone sees it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from palm_opt import checker
from palm_opt.errors import ProblemError
from palm_opt.result import Certificate, Result, Settings, Status, Stop
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
        pool, values, members = self.pool, self.pool.values, self.members
        impossible = self.size.bound == math.inf
        worst = np.full(values.d, 1 / values.d)
        document = None
        if members and self.quality is not None:
            worst = self.quality.weight
            document = assemble(pool, members, prove_quality(pool, members, self.settings.threads), self.size)
        elif impossible:
            weight = self.size.nodes[0][1]
            worst = np.array([x / sum(weight) for x in weight])
            document = assemble(pool, (), [], self.size)
        status = Status.UNKNOWN
        if document is not None:
            proved = self._checked(document)  # raises if any claim fails: never returned unproved
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
