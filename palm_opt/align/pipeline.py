"""From weights to a portfolio directory: train what is missing, measure what is missing, choose, publish."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt.align.base import Base, find_base, load_model, load_tokenizer, quiet, require_libraries
from palm_opt.align.data import PromptSet, Row, load_prompts
from palm_opt.align.launch import Task, train_all
from palm_opt.align.portfolio import Portfolio
from palm_opt.align.publish import Candidate, Choice, publish, table_of
from palm_opt.align.recipe import Recipe, load_recipe
from palm_opt.align.rewards import RewardFunction, resolve_rewards
from palm_opt.align.store import Store, check_directory, file_sha256
from palm_opt.errors import PalmError, ProblemError
from palm_opt.planned import Plan
from palm_opt.storage import atomic_path

__all__ = ["align", "check_plan", "read_weights", "run"]

BASE = "base"  #: name of the base model as a candidate
Say = Callable[[str], None]
T = TypeVar("T")


@dataclass
class _Session:
    """What all steps of one call share, with the directory locked."""

    recipe: Recipe
    base: Base
    prompts: PromptSet
    rewards: list[RewardFunction]
    tokenizer: Any
    store: Store
    say: Say
    bars: bool
    _model: Any = field(default=None)

    def pool(self, weights: NDArray[np.float64]) -> list[Candidate]:
        """The base model and one candidate a weight, all trained and measured."""
        from palm_opt.align.train import training_key

        runs: dict[str, tuple[str, tuple[float, ...]]] = {}
        todo: list[Task] = []
        for row in weights.tolist():
            key = training_key(row, self.recipe, self.base, self.prompts)
            if key in runs:
                continue  # the same weight twice
            name = self.store.name_for(row, key)
            while name in {other for other, _ in runs.values()}:
                name = f"{name}-{key[:8]}"
            runs[key] = (name, tuple(row))
            if not self.store.finished(name, key):
                todo.append(Task(key, name, tuple(row)))
        self.say(f"{len(runs)} weights: {len(runs) - len(todo)} trained before, {len(todo)} to train")
        for task, result in self._steps(train_all(self, todo), "train", len(todo)):
            self.say(f"trained {task.name} in {result['seconds']:.1f} s")
        rows = self._held_out()
        keys = {BASE: hashlib.sha256(f"{self.base.sha256} {self.prompts.sha256}".encode()).hexdigest()}
        keys.update({name: key for key, (name, _) in runs.items()})
        weight_of = dict(runs.values())
        missing = [name for name, key in keys.items() if self._measurement(name, key) is None]
        for name in self._steps(missing, "measure", len(missing)):
            self._measure(name, keys[name], rows)
        return [self._candidate(name, key, weight_of.get(name)) for name, key in keys.items()]

    def _steps(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        from tqdm import tqdm

        off = not (self.bars and total)
        yield from tqdm(items, desc=what, unit="policy", file=sys.stderr, disable=off, total=total)

    def _held_out(self) -> list[Row]:
        from palm_opt.align.evaluate import sample_of

        return sample_of(self.prompts.select, self.recipe.evaluation.prompts)

    def _measure_key(self, key: str) -> str:
        return hashlib.sha256(f"{key} {self.recipe.measuring_sha256}".encode()).hexdigest()

    def _measurement(self, name: str, key: str) -> dict[str, Any] | None:
        entry = self.store.entry("measured", self._measure_key(key))
        path = self.store.path / "evaluations" / f"{name}.parquet"
        return entry if entry and path.is_file() and file_sha256(path) == entry["sha256"] else None

    def _measure(self, name: str, key: str, rows: Sequence[Row]) -> None:
        from palm_opt.align.evaluate import Policies, measured, write_rows

        if self._model is None:
            self._model = Policies(load_model(self.base, self.recipe.device), self.tokenizer, self.recipe)
        for reward in self.rewards:
            reward.clipped = reward.scored = 0
        adapter = None if name == BASE else self.store.path / "adapters" / name
        columns = self._model.measure(adapter, rows, self.rewards)
        result = measured(columns, self.recipe.reward_names)
        path = self.store.path / "evaluations" / f"{name}.parquet"
        with atomic_path(path) as temporary:
            write_rows(temporary, name, rows, columns)
        names = self.recipe.reward_names
        self.store.append(
            "measured",
            key=self._measure_key(key),
            name=name,
            value=dict(zip(names, result.value, strict=True)),
            standard_error=dict(zip(names, result.standard_error, strict=True)),
            kl=result.kl,
            kl_standard_error=result.kl_standard_error,
            prompts=result.prompts,
            generations=result.generations,
            clipped={reward.reward.name: reward.clipped for reward in self.rewards},
            sha256=file_sha256(path),
        )
        values = ", ".join(f"{n} {v:.3f}" for n, v in zip(names, result.value, strict=True))
        self.say(f"measured {name}: {values}, kl {result.kl:.2f}")

    def _candidate(self, name: str, key: str, weight: tuple[float, ...] | None) -> Candidate:
        entry = self._measurement(name, key)
        assert entry is not None
        return Candidate(name, weight, entry)


@contextlib.contextmanager
def _session(recipe: Recipe | str | Path, out: str | Path, progress: Say | None) -> Iterator[_Session]:
    """Check everything that can be checked, then lock the directory."""
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    require_libraries()
    check_directory(out)
    bars = progress is None and sys.stderr.isatty()
    with contextlib.redirect_stdout(sys.stderr), quiet(recipe.device):  # stdout belongs to the caller
        rewards, prompts = resolve_rewards(recipe), load_prompts(recipe)
        say = progress or _say
        base = find_base(recipe, say)
        subject = {"recipe": recipe.training, "base model": base.sha256, "data": prompts.sha256}
        with Store.open(out, subject) as store:
            yield _Session(recipe, base, prompts, rewards, load_tokenizer(base), store, say, bars)


def _say(line: str) -> None:
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)  # keeps a bar in one piece
    sys.stderr.flush()


def align(plan_or_weights: Any, recipe: Recipe | str | Path, out: str | Path, progress: Say | None = None) -> Portfolio:
    """See `palm_opt.align.align`."""
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    weights = _weights(plan_or_weights, recipe)
    with _session(recipe, out, progress) as session:
        pool = session.pool(weights)
        return publish(session.store, session.recipe, session.base, pool, None)


def run(
    recipe: Recipe | str | Path,
    out: str | Path,
    epsilon: float | None = None,
    delta: float | None = None,
    progress: Say | None = None,
) -> Portfolio:
    """See `palm_opt.align.run`."""
    from palm_opt.separation import check_tolerances
    from palm_opt.simplex import lattice

    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    epsilon = recipe.plan.epsilon if epsilon is None else epsilon
    delta = recipe.plan.delta if delta is None else delta
    check_tolerances(epsilon, delta)
    weights = lattice(len(recipe.rewards), recipe.plan.lattice)
    with _session(recipe, out, progress) as session:
        pool = session.pool(read_weights(weights, recipe.reward_names))
        choice = _choose(recipe, pool, epsilon, delta)
        session.say(
            f"{len(choice.members)} of {len(pool)} serve every preference: {', '.join(choice.members)} "
            f"(at least {choice.lower_bound:g} are needed)"
        )
        return publish(session.store, recipe, session.base, pool, choice)


def _choose(recipe: Recipe, pool: Sequence[Candidate], epsilon: float, delta: float) -> Choice:
    """The fewest candidates that keep the promise over the pool, with their certificate."""
    from palm_opt.solve import solve

    result = solve(table_of(recipe, pool), epsilon=epsilon, delta=delta)
    if not result.members or result.certificate is None:
        raise PalmError(f"no portfolio was proved for epsilon {epsilon}, delta {delta}: {result.message}")
    return Choice(result.members, epsilon, delta, result.lower_bound, result.certificate)


def _weights(source: Any, recipe: Recipe) -> NDArray[np.float64]:
    """The weights to train: of a plan (or plan.json) that was made for this recipe, or as `read_weights` takes them."""
    where = "plan"
    if isinstance(source, (str, Path)) and Path(source).suffix.lower() == ".json":
        where, source = str(source), Plan.read(source)
    if isinstance(source, Plan):
        check_plan(source, recipe, where)
        source = source.weights[:, [source.rewards.index(name) for name in recipe.reward_names]]
    return read_weights(source, recipe.reward_names)


def check_plan(plan: Plan, recipe: Recipe, where: str = "plan") -> None:
    """Refuse a plan for other rewards, another scale or another KL penalty than the recipe trains with."""
    if sorted(plan.rewards) != sorted(recipe.reward_names):
        ours = ", ".join(recipe.reward_names)
        raise ProblemError(f"{where}: is about the rewards {', '.join(plan.rewards)}; {recipe.path} has {ours}")
    ranges = dict(zip(recipe.reward_names, recipe.ranges, strict=True))
    for k, name in enumerate(plan.rewards):
        pair = (0.0, 1.0) if isinstance(plan.scale, str) else plan.scale[k]
        if pair != ranges[name]:
            raise ProblemError(
                f"{where}: planned {name!r} on the scale {pair[0]:g} to {pair[1]:g}, {recipe.path} trains it on "
                f"{ranges[name][0]:g} to {ranges[name][1]:g}; plan with the recipe's ranges as --scale"
            )
    if plan.beta != recipe.train.beta:
        raise ProblemError(
            f"{where}: planned for beta = {plan.beta!r}, {recipe.path} trains with beta = {recipe.train.beta!r}; set "
            "train.beta to the plan's, or plan again with --beta"
        )


def read_weights(source: Any, rewards: Sequence[str]) -> NDArray[np.float64]:
    """Weights as (k, d), rows with sum 1: from an array, a CSV file with one column a reward, or `.weights`."""
    where = "weights"
    if isinstance(source, (str, Path)):
        where, source = str(source), _read_csv(Path(source), rewards)
    data: ArrayLike = getattr(source, "weights", source)
    try:
        weights = np.array(data, dtype=np.float64, ndmin=2)
    except (TypeError, ValueError) as error:
        raise ProblemError(f"{where}: expected an array of shape (k, {len(rewards)}): {error}") from error
    if weights.ndim != 2 or weights.shape[1] != len(rewards) or not len(weights):
        raise ProblemError(f"{where}: expected shape (k, {len(rewards)}), one column a reward, got {weights.shape}")
    for i, row in enumerate(weights):
        if not np.isfinite(row).all() or row.min() < 0 or not row.sum() > 0:
            raise ProblemError(f"{where}, row {i}: expected numbers >= 0, not all 0, got {row.tolist()}")
        if abs(row.sum() - 1) > 1e-12:
            weights[i] = row / row.sum()
    return weights + 0.0


def _read_csv(path: Path, rewards: Sequence[str]) -> list[list[float]]:
    if not path.is_file():
        raise ProblemError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProblemError(f"{path}: not UTF-8 text: {error}") from error
    with io.StringIO(text, newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in rewards if name not in (reader.fieldnames or [])]
        if missing:
            raise ProblemError(f"{path}: no column {missing[0]!r}; it has {', '.join(reader.fieldnames or [])}")
        rows = []
        for row in reader:
            try:
                rows.append([float(row[name]) for name in rewards])
            except (TypeError, ValueError) as error:
                raise ProblemError(f"{path}, line {reader.line_num}: expected a number a reward: {error}") from error
    if not rows:
        raise ProblemError(f"{path}: expected at least one row below the header, found none")
    return rows
