"""palm_opt: the smallest portfolio of aligned LLMs that serves every preference, with proof.

A preference is a weight vector w >= 0 with sum 1 over d rewards; a policy has a value vector v; a portfolio P keeps
the promise (epsilon, delta) when max over P of w.v >= (1 - epsilon) OPT(w) - delta for EVERY w. `solve` finds the
cheapest such portfolio and a certificate that anyone can check; `align` trains the policies with TRL.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
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
    "ValueMatrix": "values",
    "Plan": "planned",
    "RewardTable": "rewards",
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
    "Ledger": "looks",
    "Samples": "samples",
    "CertifiedSamples": "certify_samples",
    "certify_samples": "certify_samples",
    "solve": "solve",
    "certify": "certify",
    "verify": "certify",
    "regret": "separation",
    "formulate": "cover",
    "frontier": "frontier",
    "Search": "search",
    "SearchResult": "search",
    "baseline": "baseline",
    "metrics": "metrics",
    "plan": "plan",
    "align": "align",
    "route": "route",
    "backends": "backends",
}
__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from palm_opt.align import align as align
    from palm_opt.baseline import baseline as baseline
    from palm_opt.certify import certify as certify
    from palm_opt.certify import verify as verify
    from palm_opt.certify_samples import CertifiedSamples as CertifiedSamples
    from palm_opt.certify_samples import certify_samples as certify_samples
    from palm_opt.cover import formulate as formulate
    from palm_opt.errors import BackendError as BackendError
    from palm_opt.errors import BackendNotFound as BackendNotFound
    from palm_opt.errors import CertificateParseError as CertificateParseError
    from palm_opt.errors import InvalidCertificate as InvalidCertificate
    from palm_opt.errors import PalmError as PalmError
    from palm_opt.errors import ProblemError as ProblemError
    from palm_opt.errors import RecipeError as RecipeError
    from palm_opt.errors import StoreError as StoreError
    from palm_opt.frontier import frontier as frontier
    from palm_opt.looks import Ledger as Ledger
    from palm_opt.metrics import metrics as metrics
    from palm_opt.plan import plan as plan
    from palm_opt.planned import Plan as Plan
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
    from palm_opt.rewards import RewardTable as RewardTable
    from palm_opt.route import route as route
    from palm_opt.samples import Samples as Samples
    from palm_opt.search import Search as Search
    from palm_opt.search import SearchResult as SearchResult
    from palm_opt.separation import regret as regret
    from palm_opt.solve import solve as solve
    from palm_opt.values import ValueMatrix as ValueMatrix


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'palm_opt' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"palm_opt.{_HOME[name]}"), name)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """`palm_opt.solve` is the function, also after something imported the module `palm_opt.solve`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _HOME.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted(__all__)
