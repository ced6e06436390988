"""palm_opt: the smallest portfolio of aligned LLMs that serves every preference, with proof.

A preference is a weight vector w >= 0 with sum 1 over d rewards; a policy has a value vector v; a portfolio P keeps
the promise (epsilon, delta) when max over P of w.v >= (1 - epsilon) OPT(w) - delta for EVERY w. `solve` finds the
cheapest such portfolio and a certificate that anyone can check; `align` trains the policies with TRL.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from palm_opt._version import __version__

_HOME = {  # public name -> module; loaded on first use, so that `import palm_opt` stays light
    "BackendError": "errors",
    "BackendNotFound": "errors",
    "CertificateParseError": "errors",
    "InvalidCertificate": "errors",
    "PalmError": "errors",
    "ProblemError": "errors",
    "RecipeError": "errors",
    "StoreError": "errors",
    "TableWarning": "errors",
    "ValueMatrix": "tables.values",
    "Region": "preferences.region",
    "Plan": "planning.planned",
    "RewardTable": "tables.scores",
    "Baseline": "result",
    "Certificate": "result",
    "Certified": "result",
    "Metrics": "result",
    "Progress": "result",
    "Regret": "result",
    "Result": "result",
    "Settings": "result",
    "Status": "result",
    "Stop": "result",
    "Ledger": "statistics.looks",
    "Samples": "tables.samples",
    "CertifiedSamples": "statistics.certify_samples",
    "certify_samples": "statistics.certify_samples",
    "solve": "solver.solve",
    "certify": "solver.certify",
    "verify": "solver.certify",
    "regret": "solver.separation",
    "formulate": "solver.master",
    "frontier": "solver.frontier",
    "Search": "search",
    "SearchResult": "search",
    "baseline": "measures.baseline",
    "metrics": "measures.metrics",
    "plan": "planning.plan",
    "route": "portfolio.route",
    "backends": "solver.backends",
}
__all__ = ["__version__", *sorted([*_HOME, "align"])]

if TYPE_CHECKING:
    import palm_opt.align as align  # noqa: F401
    from palm_opt.errors import BackendError as BackendError
    from palm_opt.errors import BackendNotFound as BackendNotFound
    from palm_opt.errors import CertificateParseError as CertificateParseError
    from palm_opt.errors import InvalidCertificate as InvalidCertificate
    from palm_opt.errors import PalmError as PalmError
    from palm_opt.errors import ProblemError as ProblemError
    from palm_opt.errors import RecipeError as RecipeError
    from palm_opt.errors import StoreError as StoreError
    from palm_opt.errors import TableWarning as TableWarning
    from palm_opt.measures.baseline import baseline as baseline
    from palm_opt.measures.metrics import metrics as metrics
    from palm_opt.planning.plan import plan as plan
    from palm_opt.planning.planned import Plan as Plan
    from palm_opt.portfolio.route import route as route
    from palm_opt.preferences.region import Region as Region
    from palm_opt.result import Baseline as Baseline
    from palm_opt.result import Certificate as Certificate
    from palm_opt.result import Certified as Certified
    from palm_opt.result import Metrics as Metrics
    from palm_opt.result import Progress as Progress
    from palm_opt.result import Regret as Regret
    from palm_opt.result import Result as Result
    from palm_opt.result import Settings as Settings
    from palm_opt.result import Status as Status
    from palm_opt.result import Stop as Stop
    from palm_opt.search import Search as Search
    from palm_opt.search import SearchResult as SearchResult
    from palm_opt.solver.certify import certify as certify
    from palm_opt.solver.certify import verify as verify
    from palm_opt.solver.frontier import frontier as frontier
    from palm_opt.solver.master import formulate as formulate
    from palm_opt.solver.separation import regret as regret
    from palm_opt.solver.solve import solve as solve
    from palm_opt.statistics.certify_samples import CertifiedSamples as CertifiedSamples
    from palm_opt.statistics.certify_samples import certify_samples as certify_samples
    from palm_opt.statistics.looks import Ledger as Ledger
    from palm_opt.tables.samples import Samples as Samples
    from palm_opt.tables.scores import RewardTable as RewardTable
    from palm_opt.tables.values import ValueMatrix as ValueMatrix


def __getattr__(name: str) -> Any:
    if name == "align":
        return importlib.import_module("palm_opt.align")
    if name not in _HOME:
        raise AttributeError(f"module 'palm_opt' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"palm_opt.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
