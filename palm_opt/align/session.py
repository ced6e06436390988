"""A portfolio directory at work: rounds of weights are asked, trained and measured; what was done is not done again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from palm_opt.align.measuring.evaluate import Measured, Policies, write_rows
from palm_opt.align.measuring.prompts import Row, sample_of
from palm_opt.align.policies.adapters import blend
from palm_opt.align.policies.base import load_model, quiet, require_libraries
from palm_opt.align.policies.mixture import Part
from palm_opt.align.recipe.declaration import Recipe
from palm_opt.align.recipe.reading import load_recipe
from palm_opt.align.training.launch import train_all
from palm_opt.align.training.setup import Say, Setup, measuring_sha256
from palm_opt.align.training.task import Site, Task
from palm_opt.errors import StoreError
from palm_opt.portfolio.manifest import BASE
from palm_opt.portfolio.store import Store, check_directory
from palm_opt.storage import atomic_path, file_sha256
from palm_opt.tables.directions import meant
from palm_opt.tables.scores import RewardTable
from palm_opt.wording import plural

__all__ = ["BLENDS", "SPLITS", "Ask", "Blend", "Candidate", "Session", "TrainedWeight", "open_session"]

SPLITS = ("select", "certify")
BLENDS = {"soup": "soups", "mod": "mixtures"}  #: kinds of policies made without training: their field in the journal
TrainedWeight = tuple[float, ...]
Ask = tuple[TrainedWeight, str | None]  #: a weight to train for, and the adapter to start from, None for a fresh one
Parts = Sequence[tuple[str, float]]  #: (name, share) of policies to blend
Blend = tuple[TrainedWeight, Parts]  #: a weight, and what to blend for it
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

    setup: Setup
    store: Store
    say: Say
    bars: bool
    outlook: str = field(default="", init=False)  # what is left to do, beside every bar
    _model: Policies | None = field(default=None)
    _there: set[str] = field(default_factory=set)  # keys of adapters that were found whole or were made here

    @property
    def recipe(self) -> Recipe:
        """The recipe of the setup."""
        return self.setup.recipe

    # ---- rounds ------------------------------------------------------------------------------------------------------

    def rounds(self) -> list[list[Ask]]:
        """What was asked so far, round by round: every later step follows from it and from the measurements."""
        return self._journaled(
            "asked", lambda e: [[(_weight(w), start) for w, start in zip(e["weights"], e["starts"], strict=True)]]
        )

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

        def read(line: Mapping[str, Any]) -> Blend:
            return _weight(line["weight"]), tuple((str(name), float.fromhex(share)) for name, share in line["parts"])

        return self._journaled("blended", lambda entry: [read(line) for line in entry.get(BLENDS[kind], [])])

    def _journaled(self, event: str, read: Callable[[dict[str, Any]], list[T]]) -> list[T]:
        try:
            return [item for entry in self.store.entries(event) for item in read(entry)]
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{self.store.path}: a line {event!r} of the journal cannot be read: {error}") from error

    def blends(self, trained: Sequence[Candidate], kinds: Iterable[str]) -> list[Candidate]:
        """The blends of some kinds written down so far, of the candidates `trained`."""
        keys = {candidate.name: candidate.key for candidate in trained}
        found = dict[str, Candidate]()
        for kind in kinds:
            for weight, parts in self.blended(kind):
                if unknown := [name for name, _ in parts if name not in keys]:
                    raise StoreError(f"{self.store.path}: the journal blends {unknown[0]!r}, which is not there")
                text = json.dumps([[keys[name], share.hex()] for name, share in parts])
                key = _sha256(text if kind == "soup" else f"{kind} {text}")
                name = self._name(found, weight, key, kind)
                found.setdefault(name, Candidate(name, key, None, parts=tuple(parts), mixed=kind == "mod"))
        return list(found.values())

    def candidates(self, asks: Iterable[Ask]) -> list[Candidate]:
        """The base model and one candidate an ask, in this order; the same one twice counts once."""
        found = {BASE: Candidate(BASE, _sha256(self._subject), None)}
        for weight, start in asks:
            key = self.setup.key(weight, None if start is None else self.adapter(start))
            name = self._name(found, weight, key)
            found.setdefault(name, Candidate(name, key, weight, start))
        return list(found.values())

    def _name(self, taken: Mapping[str, Candidate], weight: TrainedWeight, key: str, kind: str = "w") -> str:
        name = self.store.name_for(weight, key, kind)
        return f"{name}-{key[:8]}" if name in taken and taken[name].key != key else name

    @property
    def _subject(self) -> str:
        return f"{self.setup.base.sha256} {self.setup.prompts.sha256}"

    # ---- training ----------------------------------------------------------------------------------------------------

    def train(self, candidates: Sequence[Candidate], quiet: bool = False) -> None:
        """Train those that are not trained yet, and make the soups that are not made yet."""
        wanted = [(candidate, candidate.weight) for candidate in candidates if candidate.weight is not None]
        todo = [Task(c.key, c.name, weight, c.start) for c, weight in wanted if not self._finished(c)]
        if todo or not quiet:
            self.say(f"{plural(len(wanted), 'weight')}: {len(wanted) - len(todo)} trained before, {len(todo)} to train")
        training = train_all(self.store, Site(self.setup, self.store.path, self.say), todo)
        for task, result in self._steps(training, "train", len(todo)):
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

    # ---- measuring ---------------------------------------------------------------------------------------------------

    def reference(self) -> RewardTable:
        """`plan.responses` completions of the base model a prompt of the select split with their rewards, made once."""
        path, count = self.store.path / "scores.parquet", self.recipe.plan.responses
        key = _sha256(f"{self._subject} {measuring_sha256(self.recipe)} {count}")
        entry = self.store.entry("sampled", key)
        if entry is None or not _whole(path, entry):
            rows = self.held_out("select")
            self.say(f"sampling the base model once: {plural(len(rows), 'prompt')}, {plural(count, 'response')} each")
            columns = self._policies().measure((), rows, self.setup.rewards, count)
            with atomic_path(path) as temporary:
                write_rows(temporary, BASE, rows, columns)
            self.store.append("sampled", key=key, responses=count, sha256=file_sha256(path))
        return RewardTable.read(path, meant(self.recipe.reward_names), scale=self.recipe.ranges)

    def _policies(self) -> Policies:
        """The base model, loaded once, to which adapters are attached for a while."""
        if self._model is None:
            model = load_model(self.setup.base, self.recipe.device.precision)
            self._model = Policies(model, self.setup.tokenizer, self.recipe)
        return self._model

    def measure(self, candidates: Sequence[Candidate], split: str = "select") -> dict[Candidate, Measured]:
        """What each candidate reaches on a split; only what is missing is measured."""
        found = {candidate: self._measurement(candidate, split) for candidate in candidates}
        missing = [candidate for candidate, entry in found.items() if entry is None]
        for candidate in self._steps(missing, f"measure ({split})", len(missing)):
            found[candidate] = self._measure(candidate, split)
        names = [x.name for x in fields(Measured)]
        return {c: Measured(**{name: entry[name] for name in names}) for c, entry in found.items() if entry}

    def held_out(self, split: str) -> list[Row]:
        """The prompts that measurements on a split use."""
        return sample_of(getattr(self.setup.prompts, split), self.recipe.evaluation.prompts)

    def evaluation(self, candidate: Candidate, split: str) -> Path:
        """Where the rewards of a candidate on a split are, one row a completion."""
        return self.store.path / "evaluations" / split / f"{candidate.name}.parquet"

    def _measure_key(self, candidate: Candidate, split: str) -> str:
        return _sha256(f"{candidate.key} {measuring_sha256(self.recipe)} {split}")

    def _measurement(self, candidate: Candidate, split: str) -> dict[str, Any] | None:
        entry = self.store.entry("measured", self._measure_key(candidate, split))
        return entry if entry and _whole(self.evaluation(candidate, split), entry) else None

    def _measure(self, candidate: Candidate, split: str) -> dict[str, Any]:
        """Measure a candidate; returns its journal line."""
        began, rows, rewards = time.perf_counter(), self.held_out(split), self.setup.rewards
        for reward in rewards:
            reward.clipped = reward.scored = 0
        parts: list[Part] = [(None if name == BASE else self.adapter(name), share) for name, share in candidate.served]
        columns = self._policies().measure(parts, rows, rewards)
        result = Measured.of(columns, {reward.reward.name: reward.clipped for reward in rewards})
        path = self.evaluation(candidate, split)
        with atomic_path(path) as temporary:
            write_rows(temporary, candidate.name, rows, columns)
        values = ", ".join(f"{name} {value:.3f}" for name, value in result.value.items())
        self.say(f"measured {candidate.name} ({split}): {values}, kl {result.kl:.2f}")
        return self.store.append(
            "measured",
            key=self._measure_key(candidate, split),
            name=candidate.name,
            split=split,
            seconds=time.perf_counter() - began,
            sha256=file_sha256(path),
            **asdict(result),
        )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _whole(path: Path, entry: Mapping[str, Any]) -> bool:
    """Whether a file is there as its journal line says."""
    return path.is_file() and file_sha256(path) == entry["sha256"]


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
        setup = Setup.load(recipe, progress or _say)
        with Store.open(out, setup.subject) as store:
            yield Session(setup, store, progress or _say, bars)


def _say(line: str) -> None:
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)  # keeps a bar in one piece
    sys.stderr.flush()
