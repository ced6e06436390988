"""Write the files of a portfolio directory from a measured pool; the manifest, with all hashes, last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palm_opt._version import __version__
from palm_opt.align.base import Base
from palm_opt.align.portfolio import FORMAT, MANIFEST, Portfolio
from palm_opt.align.recipe import Recipe
from palm_opt.align.store import Store
from palm_opt.report import portfolio_report
from palm_opt.result import Certificate
from palm_opt.storage import atomic_path, write_json, write_text
from palm_opt.values import ValueMatrix

__all__ = ["Candidate", "Choice", "publish", "table_of"]


@dataclass(frozen=True)
class Candidate:
    """A measured policy: its weight (None for the base model) and its line "measured" in the journal."""

    name: str
    weight: tuple[float, ...] | None
    entry: Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """The members that were chosen from a pool, and the proof."""

    members: tuple[str, ...]
    epsilon: float
    delta: float
    lower_bound: float
    certificate: Certificate


def table_of(recipe: Recipe, pool: Sequence[Candidate]) -> ValueMatrix:
    """Measured values of the pool, rewards scaled to [0, 1] by their declared ranges: what values.csv holds."""
    names = recipe.reward_names
    array = [[candidate.entry["value"][name] for name in names] for candidate in pool]
    scale = "none" if all(pair == (0.0, 1.0) for pair in recipe.ranges) else recipe.ranges
    values = ValueMatrix(array, names=[candidate.name for candidate in pool], rewards=names, scale=scale)
    values.id_column = "member"
    return values


def publish(store: Store, recipe: Recipe, base: Base, pool: Sequence[Candidate], choice: Choice | None) -> Portfolio:
    """Write values.csv, evaluation.parquet, certificate.json, report.html and the manifest; read it all back."""
    write_text(store.path / "values.csv", table_of(recipe, pool).to_csv())
    _write_evaluation(store, pool)
    if choice is None:
        (store.path / "certificate.json").unlink(missing_ok=True)
    else:
        choice.certificate.write(store.path / "certificate.json")
    (store.path / "report.html").unlink(missing_ok=True)
    write_json(store.path / MANIFEST, _manifest(store, recipe, base, pool, choice))
    portfolio_report(store.path)
    return Portfolio.load(store.path)


def _write_evaluation(store: Store, pool: Sequence[Candidate]) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    parts = [parquet.read_table(store.path / "evaluations" / f"{candidate.name}.parquet") for candidate in pool]
    with atomic_path(store.path / "evaluation.parquet") as temporary:
        parquet.write_table(pyarrow.concat_tables(parts), temporary, compression="zstd")


def _manifest(
    store: Store, recipe: Recipe, base: Base, pool: Sequence[Candidate], choice: Choice | None
) -> dict[str, Any]:
    names = recipe.reward_names
    chosen = [candidate for candidate in pool if choice is None or candidate.name in choice.members]
    adapters = [f"adapters/{candidate.name}" for candidate in chosen if candidate.weight is not None]
    first = pool[0].entry
    return {
        "format": FORMAT,
        "version": 1,
        "base_model": {"name": base.name, "revision": base.revision, "sha256": base.sha256},
        "rewards": [{"name": r.name, "function": r.function, "low": r.low, "high": r.high} for r in recipe.rewards],
        "beta": recipe.train.beta,
        "objective": "reward",
        "reference": "pool",
        "tolerances": {
            "epsilon": None if choice is None else choice.epsilon,
            "delta": None if choice is None else choice.delta,
        },
        "measured": {
            "split": "select",
            "prompts": first["prompts"],
            "generations": first["generations"],
            "candidates": len(pool),
            "clipped": {name: sum(candidate.entry["clipped"][name] for candidate in pool) for name in names},
            "note": "kind exact is about the table of sample means, on prompts that also chose the members",
        },
        "members": [
            {
                "name": candidate.name,
                "weight": None if candidate.weight is None else dict(zip(names, candidate.weight, strict=True)),
                "value": candidate.entry["value"],
                "standard_error": candidate.entry["standard_error"],
                "kl": candidate.entry["kl"],
                "adapter": None if candidate.weight is None else f"adapters/{candidate.name}",
            }
            for candidate in chosen
        ],
        "files": store.hashes([*adapters, "values.csv", "evaluation.parquet", "certificate.json"]),
        "producer": {"name": "palm_opt", "version": __version__},
    }
