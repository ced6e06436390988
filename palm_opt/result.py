"""What a solve returns: frozen values that say what is proved and what is only claimed."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.arguments import integer, real, refusal
from palm_opt.storage import write_json
from palm_opt.wording import at_least, at_most, plural

__all__ = [
    "Baseline",
    "Certificate",
    "Certified",
    "Metrics",
    "Progress",
    "Regret",
    "Result",
    "Settings",
    "Status",
    "Stop",
]


class Status(enum.StrEnum):
    """What is PROVED by the exact checker about a result, never what a backend claims."""

    OPTIMAL = (
        "OPTIMAL"  #: the portfolio keeps its promise everywhere and no cheaper one exists (or: the least tolerance)
    )
    FEASIBLE = (
        "FEASIBLE"  #: the portfolio keeps its promise everywhere; `lower_bound` says how much smaller one could be
    )
    INFEASIBLE = "INFEASIBLE"  #: no admissible portfolio keeps the promise; `worst_weight` is a witness
    UNKNOWN = "UNKNOWN"  #: stopped before any portfolio was proved


class Stop(enum.StrEnum):
    """Why the solver stopped."""

    PROVED = "PROVED"  #: incumbent and bound met, or infeasibility was proved
    FINISHED = "FINISHED"  #: the method ran to its end without closing the gap
    TIME_LIMIT = "TIME_LIMIT"
    NODE_LIMIT = "NODE_LIMIT"
    INTERRUPTED = "INTERRUPTED"  #: Ctrl-C, or the callback returned True


class Certificate(dict[str, Any]):
    """A certificate document (docs/certificate-format.md): a dict that can write itself.

    statement : in plain words what the exact checker found proved, a sentence each; empty for a document that it has
        not checked in this process (one that was read, or one that the checker's compiled twin accepted).
    """

    statement: tuple[str, ...] = ()

    def write(self, path: str | Path) -> Path:
        """Write the document to `path` atomically (temporary file, fsync, rename) and return the path."""
        return write_json(path, self, compact=True)

    def __repr__(self) -> str:
        """Short: the document has an entry for every candidate."""
        members = self.get("members", ())
        return f"Certificate(kind={self.get('kind')!r}, members={len(members)}, sha256={str(self.get('sha256'))[:8]!r})"


@dataclass(frozen=True)
class Settings:
    """Limits and options of a solve.

    Parameters
    ----------
    time_limit : seconds of wall clock for the whole solve; the incumbent is returned when it runs out.
    node_limit : branching nodes of the size proof.
    seed : seed of every random choice.
    threads : threads of kernels and backends; 0 for all cores.
    deterministic : same input, same bytes, also from parallel backends; CP-SAT is many times slower this way.

    Raises
    ------
    ProblemError : a number is out of range or of a wrong type.
    """

    time_limit: float = math.inf
    node_limit: int = 20_000
    seed: int = 0
    threads: int = 0
    deterministic: bool = False

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "time_limit": real("time_limit", self.time_limit, "a number of seconds >= 0", lambda x: x >= 0),
            "node_limit": integer("node_limit", self.node_limit),
            "seed": integer("seed", self.seed),
            "threads": integer("threads", self.threads, most=1024),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if not isinstance(self.deterministic, bool):
            raise refusal("deterministic", "True or False", self.deterministic)

    @classmethod
    def of(cls, settings: Settings | Mapping[str, Any] | None, **given: Any) -> Settings:
        """The settings, also of a mapping of some of them, or the defaults; those `given` that are not None instead."""
        if isinstance(settings, Mapping):
            known = {each.name for each in fields(cls)}
            for name in [name for name in settings if name not in known][:1]:
                raise refusal("settings", f"some of {', '.join(sorted(known))}", name)
            settings = cls(**settings)
        if not isinstance(settings, Settings | None):
            raise refusal("settings", "a palm_opt.Settings or a mapping", settings)
        return replace(settings or cls(), **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class Progress:
    """What a callback gets while a solve runs. Return True from the callback to stop."""

    seconds: float
    rounds: int
    rows: int
    incumbent: tuple[str, ...]
    cost: float
    lower_bound: float


@dataclass(frozen=True)
class Result:
    """A portfolio, its proof, and how it came about.

    Attributes
    ----------
    status, stop : what is proved, and why the solve stopped.
    members, indices : names and row indices of the portfolio, by row index.
    cost : sum of the members' costs (their number with unit costs); inf without a portfolio.
    lower_bound : PROVED: no admissible portfolio costs less.
    epsilon, delta : the tolerances the certificate is about.
    regret : worst regret max over w of (1 - epsilon) OPT(w) - max over members of w.v, as a float.
    worst_weight : (d,) a weight where that regret is attained; for INFEASIBLE the witness.
    certificate : the document that `palm_opt.verify` accepts; None for UNKNOWN.
    claimed_bound : what the backend claims as a bound: a claim, not a proof; None if it was not asked, because a first
        heuristic portfolio was proved optimal before.
    backend : name of the backend that proposed the portfolio.
    seconds : wall clock.
    tolerance, tolerance_lower_bound : for the budget problem (`max_size` with `vary`): the tolerance reached, and
        a PROVED lower bound on the least tolerance of any portfolio of that size.
    info : work counts: rounds, rows, lps, pivots, nodes.
    """

    status: Status
    stop: Stop
    members: tuple[str, ...]
    indices: tuple[int, ...]
    cost: float
    lower_bound: float
    epsilon: float
    delta: float
    regret: float
    worst_weight: NDArray[np.float64]
    certificate: Certificate | None
    claimed_bound: float | None
    backend: str
    seconds: float
    tolerance: float | None = None
    tolerance_lower_bound: float | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.indices)

    @property
    def gap(self) -> float:
        """Cost minus proved lower bound, 0 when optimal."""
        return self.cost - self.lower_bound if self.indices else math.inf

    @property
    def needs_more(self) -> bool:
        """Whether it is infeasible only with so few members: `lower_bound` says how many are needed at least."""
        return self.status is Status.INFEASIBLE and math.isfinite(self.lower_bound)

    @property
    def message(self) -> str:
        """One plain sentence about what is proved."""
        found = f"{plural(self.size, 'member serves', 'members serve')} every preference"
        if self.tolerance is not None and self.indices and self.status is not Status.UNKNOWN:
            bound = self.tolerance if self.status is Status.OPTIMAL else self.tolerance_lower_bound or 0.0
            found += f" at the tolerance {at_most(self.tolerance, 6)}"
            none = "and no portfolio of that size reaches a tolerance below"
            return f"{found}, {none} {at_least(bound, 6)}" if bound > 0 else found
        if self.status is Status.OPTIMAL:
            return f"{found}, and no portfolio of lower cost than {at_least(self.lower_bound, 6)} exists"
        if self.status is Status.FEASIBLE:
            found += f"; cost {at_most(self.cost, 6)}, "
            if not self.lower_bound > 0:
                return f"{found}and nothing is proved about cheaper ones"
            return f"{found}at least {at_least(self.lower_bound, 6)} is needed"
        if self.needs_more:
            most = plural(int(self.info.get("max_size", 0)), "member serves", "members serve")
            return f"no {most} every preference, whatever the epsilon: at least {at_least(self.lower_bound)} are needed"
        if self.status is Status.INFEASIBLE:
            return "no portfolio keeps this promise: no candidate that may be a member serves the witness weight"
        return f"stopped ({self.stop}) before any portfolio was proved"


@dataclass(frozen=True)
class Certified:
    """The least tolerance that a given portfolio keeps, with its certificate (`palm_opt.certify`)."""

    members: tuple[str, ...]
    indices: tuple[int, ...]
    cost: float
    epsilon: float
    delta: float
    regret: float
    worst_weight: NDArray[np.float64]
    certificate: Certificate
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.indices)


@dataclass(frozen=True)
class Regret:
    """Float regret of a portfolio (`palm_opt.regret`), no certificate.

    per_candidate[i] = max over w of (1 - epsilon) w.v_i - max over members of w.v, unclipped, shape (n,).
    """

    per_candidate: NDArray[np.float64]
    weights: NDArray[np.float64]  #: (n, d) the maximising weight of each candidate
    worst: float
    weight: NDArray[np.float64]  #: (d,) where `worst` is attained
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metrics:
    """The measures of the PALM paper, exact on the whole simplex.

    multiplicative_gap : least epsilon with delta = 0; None where OPT(w) <= 0 makes a relative gap meaningless.
    additive_gap : least delta with epsilon = 0.
    usage : share of the simplex that each of `members` (by row index) serves best; ties to the first.
    perplexity : exp of the entropy of `usage`, between 1 and the number of members.
    perplexity_error : standard error of the perplexity; 0.0 where it is exact (d <= 3).
    """

    members: tuple[str, ...]
    multiplicative_gap: float | None
    multiplicative_weight: NDArray[np.float64] | None
    additive_gap: float
    additive_weight: NDArray[np.float64]
    usage: tuple[float, ...]
    perplexity: float
    perplexity_error: float


@dataclass(frozen=True)
class Baseline:
    """A portfolio chosen by one of the paper's baselines (`palm_opt.baseline`)."""

    kind: str
    members: tuple[str, ...]
    indices: tuple[int, ...]
    weights: NDArray[np.float64]  #: (calls, d) the weights at which the oracle was asked
    calls: int

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.indices)
