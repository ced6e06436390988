"""Write the files of a portfolio directory from a measured pool; the manifest, with all hashes, last."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palm_opt._version import __version__
from palm_opt.align.measuring.evaluate import Measured
from palm_opt.align.measuring.prompts import prompt_text
from palm_opt.align.recipe.declaration import Recipe
from palm_opt.align.session import SPLITS, Candidate, Session
from palm_opt.errors import ProblemError
from palm_opt.portfolio.directory import Portfolio
from palm_opt.portfolio.manifest import BASE, FORMAT, MANIFEST, VERSION, read_manifest, write_manifest
from palm_opt.report import portfolio_report
from palm_opt.result import Certificate
from palm_opt.search import Search
from palm_opt.statistics.certify_samples import CertifiedSamples, certify_samples
from palm_opt.storage import TEMPORARY, atomic_path, fingerprint, sync, write_text
from palm_opt.tables.directions import meant
from palm_opt.tables.samples import Samples
from palm_opt.tables.values import ValueMatrix
from palm_opt.wording import REFERENCES, at_most, confidence, needed, number, plural, promise, serving

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Promise", "mark_interrupted", "publish", "statistical", "table_of"]

Measurements = Mapping[Candidate, Measured]
_TABLES = frozenset({"answers.csv", "certificate.json", "certificate-statistical.json", "report.html"})  # not always


@dataclass(frozen=True)
class Promise:
    """The members chosen from a pool, and what is proved of them.

    Attributes
    ----------
    members : names. epsilon : with `delta`, the promise that `certificate` proves against `reference`.
    reference : "oracle" or "gibbs" (kind conditional, about answers.csv) or "pool" (kind exact, about values.csv).
    lower_bound : no fewer policies of the pool keep it.
    target, stop : the delta that was wished, and why the run ended: "target", "trainings", "hours", "stalled"
        (no training is sure to help), "interrupted", "running".
    error : (eta, gamma) that a conditional promise assumes of the trainer or, found by comparing, of the closed form;
        missed : runs that fell short of the trainer's.
    search, told : the answers behind a conditional certificate, and the name of the policy of each.
    samples : the statistical promise, about new prompts, once the certify split is opened.
    """

    members: tuple[str, ...]
    epsilon: float
    reference: str
    lower_bound: float
    certificate: Certificate
    target: float
    stop: str
    values: ValueMatrix
    error: tuple[float, float] | None = None
    search: Search | None = None
    told: tuple[str, ...] = ()
    missed: tuple[tuple[str, float], ...] = ()
    samples: CertifiedSamples | None = None
    needed: float | None = None

    @property
    def delta(self) -> float:
        """The absolute tolerance that the certificate proves."""
        return float(self.certificate["delta"])

    @property
    def summary(self) -> str:
        """One sentence for the log."""
        return (
            f"{serving(len(self.members), self.values.n, 'policy', 'policies')} "
            f"{promise(self.epsilon, self.delta)} {REFERENCES[self.reference]}: {', '.join(self.members)} "
            f"({needed(self.lower_bound)})"
        )


def table_of(recipe: Recipe, pool: Measurements) -> ValueMatrix:
    """Measured values of the pool, rewards scaled to [0, 1] by their declared ranges: what values.csv holds."""
    names = recipe.reward_names
    array = [[found.value[name] for name in names] for found in pool.values()]
    scale = "none" if all(pair == (0.0, 1.0) for pair in recipe.ranges) else recipe.ranges
    values = ValueMatrix(array, names=[candidate.name for candidate in pool], rewards=names, scale=scale)
    values.id_column = "member"
    return values


def statistical(session: Session, pool: Sequence[Candidate], promise: Promise) -> Promise:
    """Open the certify split: measure the pool there, and certify the members, fixed before, for new prompts.

    Every opening with another claim is a look of its own (looks.json counts them) and costs a part of alpha.
    """
    session.say("opening the certify split: members are fixed, every policy is measured on it")
    session.measure(pool, "certify")
    recipe = session.recipe
    with tempfile.NamedTemporaryFile(prefix=TEMPORARY, suffix=".parquet", dir=session.store.path) as file:
        _write_evaluation(session, pool, SPLITS, Path(file.name))  # the directory stays as its manifest says
        samples = Samples.read(file.name, ranges=recipe.ranges, rewards=meant(recipe.reward_names), scale="ranges")
    held_out = {prompt_text(row) for row in session.held_out("certify")}
    try:
        with session.store.ledger() as ledger:
            found = certify_samples(
                samples,
                promise.members,
                epsilon=promise.epsilon,
                alpha=recipe.plan.alpha,
                split=sorted(held_out),
                ledger=ledger,
            )
    except ProblemError as error:
        session.say(f"no statistical certificate: {error}")
        return promise
    compared = promise.reference != "gibbs"  # its delta counts the KL, which this one does not
    wanted = found.prompts_needed(promise.delta) if compared else float("inf")
    session.say(
        f"on new prompts, with probability {confidence(found.alpha)}: within {at_most(found.delta)} of the best "
        f"measured policy ({plural(found.certification, 'prompt')}"
        + (f"; about {number(wanted, 3)} would show {number(promise.delta)})" if compared else ")")
    )
    return replace(promise, samples=found, needed=wanted)


def publish(session: Session, pool: Measurements, promise: Promise | None) -> Portfolio:
    """Write the tables, the certificates, the manifest and the report of a pool and its measurements; read it all back.

    Without a promise every policy of the pool is a member.
    """
    root, recipe = session.store.path, session.recipe
    samples = None if promise is None else promise.samples
    splits = SPLITS if samples is not None else SPLITS[:1]
    table = table_of(recipe, pool).to_csv()
    writers: dict[str, Callable[[Path], Any]] = {
        "values.csv": lambda path: write_text(path, table),
        "evaluation.parquet": lambda path: _write_evaluation(session, list(pool), splits, path),
    }
    if promise is not None and (search := promise.search) is not None:
        writers["answers.csv"] = lambda path: search.write_answers(path, policies=promise.told)
    if promise is not None:
        writers["certificate.json"] = promise.certificate.write
    if samples is not None:
        writers["certificate-statistical.json"] = samples.certificate.write
    _replace(root, writers, lambda hashes: _manifest(session, pool, promise, hashes))
    if promise is None or promise.stop != "running":
        portfolio_report(root)
    return Portfolio.load(root)


def mark_interrupted(root: Path) -> None:
    """Have a manifest that says "running" say "interrupted"; its promise is that of the last round, and holds."""
    document = read_manifest(root)
    document["run"]["stop"] = "interrupted"
    write_manifest(root / MANIFEST, document)
    portfolio_report(root)


def _replace(
    root: Path, writers: Mapping[str, Callable[[Path], Any]], manifest: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Replace all tables at once: they are written in full beside the old ones first.

    A kill while they are renamed leaves no manifest, that is an unfinished directory: never one that looks damaged.
    """
    with ExitStack() as stack:
        last = stack.enter_context(atomic_path(root / MANIFEST))  # on leaving: the last one first
        hashes = {}
        for name, write in writers.items():
            path = stack.enter_context(atomic_path(root / name))
            write(path)
            sync(path)
            hashes[name] = fingerprint(path)
        write_manifest(last, manifest(hashes))
        for name in _TABLES - writers.keys() | {MANIFEST}:
            stack.callback((root / name).unlink, missing_ok=True)


def _write_evaluation(session: Session, pool: Sequence[Candidate], splits: Sequence[str], path: Path) -> None:
    """evaluation.parquet: one row a completion of every policy, with its split."""
    import pyarrow
    import pyarrow.parquet as parquet

    parts: list[pyarrow.Table] = []
    for split in splits:
        for candidate in pool:
            table = parquet.read_table(session.evaluation(candidate, split))
            parts.append(table.append_column("split", pyarrow.array([split] * table.num_rows)))
    parquet.write_table(pyarrow.concat_tables(parts), path, compression="zstd")


def _manifest(
    session: Session, pool: Measurements, promise: Promise | None, hashes: Mapping[str, Any]
) -> dict[str, Any]:
    recipe, store, base = session.recipe, session.store, session.setup.base
    names, first = recipe.reward_names, next(iter(pool.values()))
    chosen = {c: found for c, found in pool.items() if promise is None or c.name in promise.members}
    served = dict.fromkeys(name for candidate in chosen for name, _ in candidate.served if name != BASE)
    adapters = [f"adapters/{name}" for name in served]
    return {
        "format": FORMAT,
        "version": VERSION,
        "base_model": {"name": base.name, "revision": base.revision, "sha256": base.sha256},
        "rewards": [{"name": r.name, "function": r.source, "low": r.low, "high": r.high} for r in recipe.rewards],
        "beta": recipe.train.beta,
        "generation": recipe.sampling,
        "objective": "reward_minus_kl" if promise is not None and promise.reference == "gibbs" else "reward",
        "reference": "pool" if promise is None else promise.reference,
        "tolerances": {
            "epsilon": None if promise is None else promise.epsilon,
            "delta": None if promise is None else promise.delta,
        },
        "run": None if promise is None else _run(pool, promise),
        "statistical": None if promise is None or promise.samples is None else _statistical(promise),
        "measured": {
            "split": "select",
            "prompts": first.prompts,
            "generations": first.generations,
            "candidates": len(pool),
            "clipped": {name: sum(found.clipped[name] for found in pool.values()) for name in names},
            "note": "sample means, on the prompts that also chose the members",
        },
        "members": [
            {
                "name": candidate.name,
                "weight": None if candidate.weight is None else dict(zip(names, candidate.weight, strict=True)),
                "value": found.value,
                "standard_error": found.standard_error,
                "kl": found.kl,
                "adapter": None if not candidate.adapted else f"adapters/{candidate.name}",
                "parts": dict(candidate.parts) if candidate.mixed else None,
            }
            for candidate, found in chosen.items()
        ],
        "files": {**store.fingerprints([*adapters, "plan.json", "scores.parquet"]), **hashes},
        "journal": store.head,
        "producer": {"name": "palm_opt", "version": __version__},
    }


def _run(pool: Iterable[Candidate], promise: Promise) -> dict[str, Any]:
    """How the run ended."""
    return {
        "stop": promise.stop,
        "target": promise.target,
        "trainings": sum(candidate.weight is not None for candidate in pool),
        "lower_bound": promise.lower_bound,
        "trainer_error": list(promise.error) if promise.error and promise.reference == "oracle" else None,
        "closed_form_error": promise.error[1] if promise.error and promise.reference == "gibbs" else None,
        "missed": dict(promise.missed),
    }


def _statistical(promise: Promise) -> dict[str, Any]:
    found = promise.samples
    assert found is not None and promise.needed is not None
    return {
        "delta": found.delta,
        "epsilon": found.epsilon,
        "alpha": found.alpha,
        "look": found.look,
        "prompts": found.certification,
        "prompts_needed": promise.needed if promise.needed < float("inf") else None,
        "reference": "pool",
    }
