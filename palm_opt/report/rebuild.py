"""The report of a portfolio directory, rebuilt from its files; the manifest then vouches for the new one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palm_opt import checker
from palm_opt.errors import StoreError
from palm_opt.portfolio.directory import Portfolio, read_policies
from palm_opt.portfolio.manifest import MANIFEST, read_manifest, write_manifest
from palm_opt.report.html import write_report
from palm_opt.result import Certificate, Certified, Result, Settings, Status, Stop
from palm_opt.solver.certify import certify
from palm_opt.solver.frontier import frontier
from palm_opt.solver.separation import regret
from palm_opt.storage import fingerprint
from palm_opt.tables.directions import meant
from palm_opt.tables.samples import Samples
from palm_opt.tables.values import ValueMatrix

__all__ = ["portfolio_report", "quick_frontier"]

_FRONTIER_ROWS, _FRONTIER_SIZES, _FRONTIER_SECONDS = 500, 10, 20.0


def portfolio_report(directory: str | Path) -> Path:
    """Write report.html into a portfolio directory and its hash into portfolio.json.

    Without matplotlib the report is written without figures and says so: a training run is not lost for a picture.
    The certificate is checked again here; a report never repeats a claim that does not hold.

    Raises
    ------
    StoreError : the directory is damaged or unsafe. InvalidCertificate : its certificate does not hold.
    """
    root = Path(directory)
    _forget_report(root)
    portfolio = Portfolio.load(root)
    values = _values(portfolio)
    result = _result(portfolio, values)
    points = quick_frontier(values, result, certified=portfolio.run is not None)
    title = f"{root.resolve().name}: policies trained from {portfolio.base_model['name']}"
    path = write_report(root / "report.html", values, result, points, portfolio, title)
    document = read_manifest(root)
    document["files"]["report.html"] = fingerprint(path)
    write_manifest(root / MANIFEST, document)
    return path


def _forget_report(root: Path) -> None:
    """Strike the old report from the manifest first: a crash then leaves a directory that still loads."""
    document = read_manifest(root)
    try:
        listed = document["files"].pop("report.html", None) is not None
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{root / MANIFEST}: not a manifest: {error}") from None
    if listed:
        write_manifest(root / MANIFEST, document)


def _values(portfolio: Portfolio) -> ValueMatrix:
    """The table of all measured candidates, on the scale that the certificate is about."""
    path = portfolio.path / "values.csv"
    if not portfolio.has("values.csv"):
        raise StoreError(f"{path}: not listed in the manifest; there is nothing to report on")
    plain = all(pair == (0.0, 1.0) for pair in portfolio.ranges)
    return ValueMatrix.read(path, "member", meant(portfolio.rewards), None, "none" if plain else portfolio.ranges)


def _agrees(portfolio: Portfolio, what: str, claimed: Any, proved: Any) -> None:
    """Refuse a manifest that claims other than what the certificate proves."""
    if claimed != proved:
        raise StoreError(f"{portfolio.path}: the manifest has {what} {str(claimed)[:60]}, proved is {str(proved)[:60]}")


def _promised(portfolio: Portfolio, checked: checker.Verified, members: Sequence[str], bound: Any) -> None:
    """The promise of the manifest is that of the certificate."""
    _agrees(portfolio, "the members", sorted(m.name for m in portfolio.members), sorted(set(members)))
    if portfolio.epsilon is not None:
        _agrees(portfolio, "epsilon", portfolio.epsilon, checked.epsilon)
        _agrees(portfolio, "delta", portfolio.delta, checked.delta)
    if portfolio.run is not None and portfolio.run["lower_bound"] > bound:
        _agrees(portfolio, "the lower bound", portfolio.run["lower_bound"], bound)


def _result(portfolio: Portfolio, values: ValueMatrix) -> Result | Certified:
    """What the directory proves of the measured pool, checked again.

    A certificate against another reference than the pool is checked too; of the pool it then says what `certify` finds.
    """
    names = [member.name for member in portfolio.members]
    if portfolio.has("certificate-statistical.json"):
        path = portfolio.path / "evaluation.parquet"
        samples = Samples.read(path, ranges=portfolio.ranges, rewards=meant(portfolio.rewards), scale="ranges")
        document = checker.read_certificate(portfolio.path / "certificate-statistical.json")
        checked = checker.check(document, samples.problem())
        found = {"epsilon": checked.epsilon, "delta": checked.delta, "reference": "pool"}
        found |= {"alpha": checked.details["alpha"], "look": checked.details["look"]}
        found["prompts"] = checked.details["clusters"]
        for key, proved in found.items():
            _agrees(portfolio, f"statistical {key}", (portfolio.statistical or found)[key], proved)
        _agrees(portfolio, "the members", sorted(names), sorted(document["members"]))
    elif portfolio.statistical is not None:
        raise StoreError(f"{portfolio.path}: a statistical promise without certificate-statistical.json")
    if not portfolio.has("certificate.json"):
        if portfolio.run is not None:
            raise StoreError(f"{portfolio.path}: a promise without certificate.json")
        return certify(values, names, epsilon=0.0)
    document = checker.read_certificate(portfolio.path / "certificate.json")
    if document["kind"] == "conditional":
        answers = checker.read_answers(portfolio.path / "answers.csv", document["subject"])
        checked = checker.check(document, answers)
        told = read_policies(portfolio.path / "answers.csv")
        chosen = [told[i][0] for i in document["members"]]
        _promised(portfolio, checked, chosen, checked.details.get("answered_lower_bound", 1))
        _agrees(portfolio, "the objective", portfolio.objective, document["objective"])
        how, assumed = portfolio.run or {}, tuple(checked.details["oracle_error"])
        if portfolio.reference == "oracle":
            _agrees(portfolio, "the trainer error", how.get("trainer_error"), assumed)
        elif portfolio.reference == "gibbs":
            _agrees(portfolio, "the error of the closed form", how.get("closed_form_error") or 0.0, assumed[1])
        elif portfolio.reference == "pool":
            raise StoreError(f"{portfolio.path}: a conditional certificate, and the reference pool")
        return certify(values, names, epsilon=checked.epsilon)
    proved = checker.check(document, values.problem())
    _promised(portfolio, proved, document["members"], max(1, proved.lower_bound))
    _agrees(portfolio, "the reference", portfolio.reference, "pool")
    certificate = Certificate(document)
    certificate.statement = proved.statement
    members = values.indices(document["members"])
    worst = regret(values, members, epsilon=proved.epsilon)
    closed = proved.lower_bound == proved.cost
    return Result(
        status=Status.OPTIMAL if closed else Status.FEASIBLE,
        stop=Stop.PROVED if closed else Stop.FINISHED,
        members=tuple(values.names[i] for i in members),
        indices=members,
        cost=float(proved.cost),
        lower_bound=float(proved.lower_bound),
        epsilon=proved.epsilon,
        delta=proved.delta,
        regret=worst.worst,
        worst_weight=np.asarray(worst.weight),
        certificate=certificate,
        claimed_bound=None,
        backend="",
        seconds=0.0,
    )


def quick_frontier(values: ValueMatrix, result: Result | Certified, certified: bool = False) -> list[Result] | None:
    """Return the size-quality trade-off of the pool at the result's epsilon, where that is a matter of seconds.

    For a given portfolio (`palm_opt.certify`), which is no answer to the question of size, only if `certified` is set.
    """
    if values.n > _FRONTIER_ROWS or not values.unit_costs or not result.indices:
        return None
    if isinstance(result, Certified) and not certified:
        return None
    document: dict[str, Any] = dict(result.certificate or {})
    points = frontier(
        values,
        "delta",
        max(2, min(result.size + 3, _FRONTIER_SIZES, values.n)),
        epsilon=result.epsilon,
        require=document.get("required", ()),
        forbid=document.get("forbidden", ()),
        settings=Settings(time_limit=_FRONTIER_SECONDS, threads=1),
    )
    if points and points[-1].stop is Stop.INTERRUPTED:
        raise KeyboardInterrupt
    return points
