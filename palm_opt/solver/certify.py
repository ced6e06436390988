"""Certify a given portfolio: the least tolerance that it keeps at every weight; and verify any certificate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from palm_opt import checker
from palm_opt.errors import ProblemError
from palm_opt.result import Certified
from palm_opt.solver.cover import Pool
from palm_opt.solver.exact import Weight
from palm_opt.solver.quality import assemble, at_least, at_most, check_quality, games, prove_quality
from palm_opt.solver.run import Run
from palm_opt.solver.separation import matrix, portfolio
from palm_opt.tables.decimals import ceil_float
from palm_opt.tables.directions import meant
from palm_opt.tables.samples import Samples
from palm_opt.tables.scores import RewardTable
from palm_opt.tables.values import ValueMatrix

__all__ = ["certify", "verify"]

_ROUNDS = 200  # Newton steps to the least epsilon; it takes a handful


def certify(
    values: ValueMatrix | ArrayLike,
    members: Iterable[str | int],
    *,
    epsilon: float | None = None,
    delta: float | None = None,
    threads: int = 0,
) -> Certified:
    """The least delta (epsilon given) or the least epsilon (delta given) of a portfolio, with its certificate.

    Parameters
    ----------
    values : the pool, or an (n, d) array.
    members : the portfolio; a str is a name, an int a row index.
    epsilon, delta : at most one; neither means epsilon = 0.

    Returns
    -------
    Certified : `regret` is the worst regret at its epsilon (unclipped), `delta` the float just above it, at least 0.

    Raises
    ------
    ProblemError : bad members or tolerances, or no epsilon < 1 exists.
    """
    if epsilon is not None and delta is not None:
        raise ProblemError("certify: give epsilon or delta, not both; the other one is what is computed")
    pool_values = matrix(values)
    rows = portfolio(pool_values, members)
    run = Run.of(threads=threads)
    vary = "delta" if delta is None else "epsilon"
    given = (0.0 if epsilon is None else epsilon, 0.0 if delta is None else delta)
    pool, worst, weight = least_kept(Pool(pool_values, *given), rows, vary, run)
    quality = check_quality(pool, rows, run)
    if not quality.kept:
        raise AssertionError("the least tolerance was not kept")
    document = assemble(pool, rows, prove_quality(pool, rows, quality, run))
    document.statement = checker.check(document, pool_values.problem()).statement
    return Certified(
        members=tuple(pool_values.names[i] for i in rows),
        indices=rows,
        cost=float(pool.cost(rows)),
        epsilon=pool.epsilon,
        delta=pool.delta,
        regret=float(worst),
        worst_weight=np.array([w / sum(weight) for w in weight]),
        certificate=document,
        info={"lps": 2 * len(pool.front), "pivots": quality.pivots, "exact_games": quality.exact},
    )


def worst_exact(pool: Pool, rows: tuple[int, ...], run: Run) -> tuple[Fraction, Weight]:
    """The exact worst regret (before delta) and a weight where it is attained."""
    found = games(pool, rows, run)
    near = np.flatnonzero(at_most(pool, rows, found) >= at_least(pool, rows, found, np.arange(len(pool.front))).max())
    exact = [pool.exact.game(int(pool.front[row]), rows) for row in near]
    value, weight, _ = max(exact, key=lambda game: game[0])
    return value, weight


def least_kept(pool: Pool, rows: tuple[int, ...], vary: str, run: Run) -> tuple[Pool, Fraction, Weight]:
    """The pool at the least `vary` that a portfolio keeps, its exact worst regret there, and a weight that attains it.

    The other tolerance stays as it is. Raises ProblemError where no epsilon < 1 serves.
    """
    if vary == "delta":
        worst, weight = worst_exact(pool, rows, run)
        return pool.at(pool.epsilon, ceil_float(max(worst, Fraction(0)))), worst, weight
    pool = pool.at(0.0, pool.delta)
    for _ in range(_ROUNDS):  # Newton's method on the worst regret as a function of epsilon, exact at every step
        worst, weight = worst_exact(pool, rows, run)
        if worst <= pool.exact.delta:
            return pool, worst, weight
        total = sum(weight) * pool.exact.denominator
        served = Fraction(pool.exact.best(weight, rows), total)
        opt = Fraction(pool.exact.best(weight, pool.front.tolist()), total)
        if opt <= 0:
            raise ProblemError(
                f"certify: no epsilon keeps delta={pool.delta:g}: OPT is {float(opt):g} at a weight where the portfolio"
                " falls short, and a relative tolerance needs OPT > 0; use delta, or a scale with non-negative values"
            )
        following = ceil_float(1 - (served + pool.exact.delta) / opt)
        if following >= 1:
            raise ProblemError(f"certify: no epsilon < 1 keeps delta={pool.delta:g} with these members")
        pool = pool.at(max(following, float(np.nextafter(pool.epsilon, 1))), pool.delta)
    raise ProblemError("certify: the least epsilon was not found; values are too close to 0 for a relative tolerance")


class Checkable(Protocol):
    """What a certificate can be about: a ValueMatrix, or another table that the checker knows a form of."""

    def problem(self) -> checker.Subject: ...


def verify(
    certificate: dict[str, Any] | str | bytes | Path, values: Checkable | checker.Subject | ArrayLike | str | Path
) -> checker.Verified:
    """Check a certificate of any kind.

    Parameters
    ----------
    certificate : a document, or the path of one.
    values : what it is about: values, answers, scores or samples (as the checker has them, or with a method `problem()`
        that gives them), an (n, d) array that was solved as such, or the path of their file; of a path to a CSV only
        what the certificate names is read.

    Returns
    -------
    Verified : what was proved; its text is the checker's last line.

    Raises
    ------
    InvalidCertificate : a claim fails. CertificateParseError : a file is not what it should be.
    """
    if isinstance(certificate, (str, Path)):
        document = checker.read_certificate(certificate)
    else:
        document = checker.parse(certificate)
    if isinstance(values, (str, Path)):
        return checker.check(document, read_subject(values, document))
    if isinstance(values, checker.Subject):
        return checker.check(document, values)
    about: Any = values if hasattr(values, "problem") else ValueMatrix(values)
    return checker.check(document, about.problem())


def read_subject(path: str | Path, document: checker.Document) -> checker.Subject:
    """Read the file that a certificate is about; a CSV without anything but the checker."""
    if Path(path).suffix.lower() not in (".parquet", ".npz"):
        return checker.read_subject(path, document)
    subject, rewards = document["subject"], document["subject"]["rewards"]
    if document["kind"] == "statistical":
        return Samples.read(path, (0.0, 1.0), meant(rewards)).problem()  # nothing is clipped in it
    if document["kind"] == "exact":
        values = ValueMatrix.read(path, id=subject["id"], rewards=meant(rewards), cost=subject["cost"])
        return dataclasses.replace(values.problem(), scale=document["scale"])
    if subject["type"] == "scores":
        columns = {"prompt": subject["prompt"], "log_weight": subject["log_weight"]}
        table = RewardTable.read(path, meant(rewards), **columns)
        return dataclasses.replace(table.problem(), scale=document["scale"])
    raise ProblemError(f"{path}: answers are checked against a CSV file; export this one first")
