"""A portfolio directory at work: rounds of weights are asked, trained and measured; what was done is not done again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from palm_opt.align.measuring.prompts import PromptSet, Row, load_prompts
from palm_opt.align.measuring.rewards import RewardFunction, resolve_rewards
from palm_opt.align.policies.base import Base, find_base, load_model, load_tokenizer, quiet, require_libraries
from palm_opt.align.policies.mixture import Part
from palm_opt.align.recipe.declaration import Recipe, load_recipe
from palm_opt.align.training.launch import Task, train_all
from palm_opt.errors import StoreError
from palm_opt.portfolio.directory import BASE
from palm_opt.portfolio.store import Store, check_directory, file_sha256
from palm_opt.storage import atomic_path
from palm_opt.tables.directions import meant
from palm_opt.tables.scores import RewardTable

__all__ = ["BASE", "BLENDS", "SPLITS", "Ask", "Blend", "Candidate", "Say", "Session", "TrainedWeight", "open_session"]

SPLITS = ("select", "certify")
BLENDS = {"soup": "soups", "mod": "mixtures"}  #: kinds of policies made without training: their field in the journal
Say = Callable[[str], None]
TrainedWeight = tuple[float, ...]
Ask = tuple[TrainedWeight, str | None]  #: a weight to train for, and the adapter to start from, None for a fresh one
Blend = tuple[
    TrainedWeight, Sequence[tuple[str, float]]
]  #: a weight, and the (name, share) of policies to blend for it
T = TypeVar("T")


@dataclass(frozen=True)
class Candidate:
    """A policy: its name and its key; the weight it was trained for and the adapter it started from, or the
    (name, share) of the adapters it blends: their sum, an adapter too (a soup), or `mixed` at every token (a mixture).
    The base model has neither."""

    name: str
    key: str
    weight: TrainedWeight | None
    start: str | None = None
    parts: tuple[tuple[str, float], ...] = ()
    mixed: bool = False

    @property
    def adapted(self) -> bool:
        """Whether it has an adapter of its own."""
        return self.weight is not None or (bool(self.parts) and not self.mixed)

    @property
    def served(self) -> tuple[tuple[str, float], ...]:
        """(name, share) of the adapters that are loaded to serve it."""
        return ((self.name, 1.0),) if self.adapted else self.parts


@dataclass
class Session:
    """What all steps of one call share, with the directory locked."""

    recipe: Recipe
    base: Base
    prompts: PromptSet
    rewards: list[RewardFunction]
    tokenizer: Any
    store: Store
    say: Say
    bars: bool
    outlook: str = field(default="", init=False)  # what is left to do, beside every bar
    _model: Any = field(default=None)
    _there: set[str] = field(default_factory=set)  # keys of adapters that were found whole or were made here

    # ---- rounds ------------------------------------------------------------------------------------------------------

    def rounds(self) -> list[list[Ask]]:
        """What was asked so far, round by round: every later step follows from it and from the measurements."""
        try:
            return [
                [(_weight(row), start) for row, start in zip(entry["weights"], entry["starts"], strict=True)]
                for entry in self.store.entries("asked")
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{self.store.path}: the journal has a round that is none: {error}") from error

    def ask(self, asks: Iterable[Ask]) -> None:
        """Write down a round before any of it is trained; an adapter to start from is one of an earlier round."""
        asks = list(asks)
        self.store.append(
            "asked",
            weights=[[float(x).hex() for x in weight] for weight, _ in asks],
            starts=[start for _, start in asks],
        )

    def blend(self, blends: Mapping[str, Sequence[Blend]]) -> None:
        """Write down the blends of a round by kind, in one line, before any of them is made or measured."""
        lines = {
            BLENDS[kind]: [
                {"weight": [x.hex() for x in weight], "parts": [[name, share.hex()] for name, share in parts]}
                for weight, parts in those
            ]
            for kind, those in blends.items()
        }
        self.store.append("blended", **lines)

    def blended(self, kind: str) -> list[Blend]:
        """The blends of a kind written down so far."""
        try:
            return [
                (_weight(line["weight"]), tuple((str(name), float.fromhex(share)) for name, share in line["parts"]))
                for entry in self.store.entries("blended")
                for line in entry.get(BLENDS[kind], [])
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{self.store.path}: the journal has a blend that is none: {error}") from error

    def blends(self, trained: Sequence[Candidate], kinds: Iterable[str]) -> list[Candidate]:
        """The blends of some kinds written down so far, of the candidates `trained`."""
        keys = {candidate.name: candidate.key for candidate in trained}
        found = dict[str, Candidate]()
        for kind in kinds:
            for weight, parts in self.blended(kind):
                if unknown := [name for name, _ in parts if name not in keys]:
                    raise StoreError(f"{self.store.path}: the journal blends {unknown[0]!r}, which is not there")
                text = json.dumps([[keys[name], share.hex()] for name, share in parts])
                key = hashlib.sha256((text if kind == "soup" else f"{kind} {text}").encode()).hexdigest()
                name = self.store.name_for(weight, key, kind)
                if name in found and found[name].key != key:
                    name = f"{name}-{key[:8]}"
                found.setdefault(name, Candidate(name, key, None, parts=tuple(parts), mixed=kind == "mod"))
        return list(found.values())

    def candidates(self, asks: Iterable[Ask]) -> list[Candidate]:
        """The base model and one candidate an ask, in this order; the same one twice counts once."""
        from palm_opt.align.training.train import training_key

        found = {BASE: Candidate(BASE, hashlib.sha256(self._subject().encode()).hexdigest(), None)}
        for weight, start in asks:
            place = None if start is None else self.adapter(start)
            key = training_key(weight, self.recipe, self.base, self.prompts, place)
            name = self.store.name_for(weight, key)
            if name in found and found[name].key != key:
                name = f"{name}-{key[:8]}"
            found.setdefault(name, Candidate(name, key, weight, start))
        return list(found.values())

    def _subject(self) -> str:
        return f"{self.base.sha256} {self.prompts.sha256}"

    # ---- training ----------------------------------------------------------------------------------------------------

    def train(self, candidates: Sequence[Candidate], quiet: bool = False) -> None:
        """Train those that are not trained yet, and make the soups that are not made yet."""
        wanted = [candidate for candidate in candidates if candidate.weight is not None]
        todo = [
            Task(candidate.key, candidate.name, candidate.weight, candidate.start)
            for candidate in wanted
            if candidate.weight is not None and not self._finished(candidate)
        ]
        if todo or not quiet:
            self.say(f"{len(wanted)} weights: {len(wanted) - len(todo)} trained before, {len(todo)} to train")
        for task, result in self._steps(train_all(self, todo), "train", len(todo)):
            self._there.add(task.key)
            seconds = result["seconds"]
            self.say(f"trained {task.name}" + ("" if seconds is None else f" in {seconds:.1f} s"))
        for soup in (candidate for candidate in candidates if candidate.parts and candidate.adapted):
            if not self._finished(soup):
                self._cook(soup)

    def _finished(self, candidate: Candidate) -> bool:
        """Whether the adapter is there, whole; its files are hashed once a session."""
        if candidate.key not in self._there and self.store.finished(candidate.name, candidate.key):
            self._there.add(candidate.key)
        return candidate.key in self._there

    def _cook(self, soup: Candidate) -> None:
        from palm_opt.align.policies.soup import blend

        folders = [(self.adapter(name), share) for name, share in soup.parts]
        self.store.train(soup.name, soup.key, {}, lambda folder: blend(folders, folder))

    def adapter(self, name: str) -> Path:
        """Where the adapter of that name is."""
        return self.store.path / "adapters" / name

    def _steps(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        from tqdm import tqdm

        off = not (self.bars and total)
        style: dict[str, Any] = {"desc": what, "unit": "policy", "file": sys.stderr, "postfix": self.outlook}
        yield from tqdm(items, disable=off, total=total, **style)

    # ---- sampling the base model -------------------------------------------------------------------------------------

    def reference(self) -> RewardTable:
        """`plan.responses` completions of the base model a prompt of the select split with their rewards, made once."""
        path = self.store.path / "scores.parquet"
        count = self.recipe.plan.responses
        key = hashlib.sha256(f"{self._subject()} {self.recipe.measuring_sha256} {count}".encode()).hexdigest()
        entry = self.store.entry("sampled", key)
        if entry is None or not path.is_file() or file_sha256(path) != entry["sha256"]:
            from palm_opt.align.measuring.evaluate import write_rows

            rows = self.held_out("select")
            self.say(f"sampling the base model once: {len(rows)} prompts, {count} responses each")
            columns = self._policies().measure((), rows, self.rewards, count)
            with atomic_path(path) as temporary:
                write_rows(temporary, BASE, rows, columns)
            self.store.append("sampled", key=key, responses=count, sha256=file_sha256(path))
        return RewardTable.read(path, meant(self.recipe.reward_names), scale=self.recipe.ranges)

    def _policies(self) -> Any:
        """The base model, loaded once, to which adapters are attached for a while."""
        from palm_opt.align.measuring.evaluate import Policies

        if self._model is None:
            self._model = Policies(load_model(self.base, self.recipe.device.precision), self.tokenizer, self.recipe)
        return self._model

    # ---- measuring ---------------------------------------------------------------------------------------------------

    def measure(self, candidates: Sequence[Candidate], split: str = "select") -> list[dict[str, Any]]:
        """The line "measured" of each candidate on a split; only what is missing is measured."""
        missing = [candidate for candidate in candidates if self._measurement(candidate, split) is None]
        if missing:
            rows = self.held_out(split)
            for candidate in self._steps(missing, f"measure ({split})", len(missing)):
                self._measure(candidate, split, rows)
        entries = [self._measurement(candidate, split) for candidate in candidates]
        return [entry for entry in entries if entry is not None]

    def held_out(self, split: str) -> list[Row]:
        """The prompts that measurements on a split use."""
        from palm_opt.align.measuring.evaluate import sample_of

        return sample_of(getattr(self.prompts, split), self.recipe.evaluation.prompts)

    def evaluation(self, candidate: Candidate, split: str) -> Path:
        """Where the rewards of a candidate on a split are, one row a completion."""
        return self.store.path / "evaluations" / split / f"{candidate.name}.parquet"

    def _measure_key(self, candidate: Candidate, split: str) -> str:
        text = f"{candidate.key} {self.recipe.measuring_sha256} {split}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _measurement(self, candidate: Candidate, split: str) -> dict[str, Any] | None:
        entry = self.store.entry("measured", self._measure_key(candidate, split))
        path = self.evaluation(candidate, split)
        return entry if entry and path.is_file() and file_sha256(path) == entry["sha256"] else None

    def _measure(self, candidate: Candidate, split: str, rows: Sequence[Row]) -> None:
        from palm_opt.align.measuring.evaluate import measured, write_rows

        for reward in self.rewards:
            reward.clipped = reward.scored = 0
        began = time.perf_counter()
        parts: list[Part] = [(None if name == BASE else self.adapter(name), share) for name, share in candidate.served]
        columns = self._policies().measure(parts, rows, self.rewards)
        result = measured(columns, self.recipe.reward_names)
        path = self.evaluation(candidate, split)
        with atomic_path(path) as temporary:
            write_rows(temporary, candidate.name, rows, columns)
        names = self.recipe.reward_names
        self.store.append(
            "measured",
            key=self._measure_key(candidate, split),
            name=candidate.name,
            split=split,
            value=dict(zip(names, result.value, strict=True)),
            standard_error=dict(zip(names, result.standard_error, strict=True)),
            kl=result.kl,
            kl_standard_error=result.kl_standard_error,
            prompts=result.prompts,
            generations=result.generations,
            seconds=time.perf_counter() - began,
            clipped={reward.reward.name: reward.clipped for reward in self.rewards},
            sha256=file_sha256(path),
        )
        values = ", ".join(f"{n} {v:.3f}" for n, v in zip(names, result.value, strict=True))
        self.say(f"measured {candidate.name} ({split}): {values}, kl {result.kl:.2f}")


def _weight(row: Sequence[str]) -> TrainedWeight:
    if not all(isinstance(x, str) and re.fullmatch(r"0x[0-9a-f.]{1,20}p[+-]?\d{1,5}", x) for x in row):
        raise ValueError(f"expected hex floats, got {str(row)[:60]}")
    return tuple(float.fromhex(x) for x in row)


@contextlib.contextmanager
def open_session(recipe: Recipe | str | Path, out: str | Path, progress: Say | None) -> Iterator[Session]:
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
            yield Session(recipe, base, prompts, rewards, load_tokenizer(base), store, say, bars)


def _say(line: str) -> None:
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)  # keeps a bar in one piece
    sys.stderr.flush()
