"""What a search returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.result import Certificate
from palm_opt.wording import at_most, plural

__all__ = ["SearchResult"]


@dataclass(frozen=True)
class SearchResult:
    """A portfolio of answered policies, and what is proved of it.

    Attributes
    ----------
    members, indices : the portfolio: names (the numbers as text) and numbers of answers, in the order they were told.
    weights : (m, d) where each member was asked; NaN for one that was told without a question.
    values : (m, d) their value vectors.
    calls : answers to questions (training runs); free inner points do not count.
    epsilon, delta : the promise asked for.
    reference : "oracle": regret is against OPT, given that the stated oracle error holds; "pool": no oracle error was
        stated, regret is against the best of the answers told, and NOTHING is claimed against OPT.
    oracle_error : (eta, gamma) that the certificate assumes, or None. gamma can exceed the stated one by rounding,
        where answers contradict the stated one by no more than that.
    regret : with reference "oracle" a CERTIFIED bound of the worst regret max over w of (1 - epsilon) OPT(w) - max over
        members of w.v; with "pool" the worst regret against the answers, as a float; inf before the d unit weights
        are answered.
    worst_weight : (d,) where `regret` is attained or the bound is largest, or None.
    certificate : accepted by the exact checker; None with reference "pool" or without a finite bound.
    lower_bound : no fewer of the answered policies keep this promise against the outer bound: proved in the
        certificate ("answered") where there is one. It says nothing about policies that were never trained.
    claimed_bound : the same as claimed by the cover solver.
    outstanding : questions asked and not answered.
    info : work counts.
    """

    members: tuple[str, ...]
    indices: tuple[int, ...]
    weights: NDArray[np.float64]
    values: NDArray[np.float64]
    calls: int
    epsilon: float
    delta: float
    reference: str
    oracle_error: tuple[float, float] | None
    regret: float
    worst_weight: NDArray[np.float64] | None
    certificate: Certificate | None
    lower_bound: int
    claimed_bound: int
    outstanding: int
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.indices)

    @property
    def kept(self) -> bool:
        """Whether the promise asked for is kept against `reference` (certified where that is "oracle")."""
        return self.regret <= self.delta and (self.reference == "pool" or self.certificate is not None)

    @property
    def message(self) -> str:
        """One plain sentence about what is proved."""
        members = f"{plural(self.size, 'member')} of {plural(self.calls, 'call')}"
        if math.isinf(self.regret):
            return f"{members}; nothing is proved before the unit weights are answered"
        if self.reference == "pool":
            return (
                f"{members}, worst regret {at_most(self.regret, 6)} against the answers; nothing is claimed against OPT"
            )
        if self.certificate is None:
            return f"{members}, worst regret at most {at_most(self.regret, 6)} in floats; no certificate"
        return (
            f"{members}, worst regret proved at most {at_most(self.regret, 6)} for every weight, given the oracle error"
        )
