"""A recipe: what to train, on what, with which rewards. Read from TOML, checked in full before anything runs.

A recipe names Python functions and is code that you trust. A portfolio directory is not, and is never executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from palm_opt.align.settings import REQUIRED, SETTINGS, TRL_ARGUMENTS
from palm_opt.errors import RecipeError

__all__ = ["Recipe", "Reward", "load_recipe"]

EMBEDDED = "embedded"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_RESERVED = ("member", "prompt", "generation", "completion", "kl", "id")


@dataclass(frozen=True)
class Reward:
    """A TRL reward callable `module:function` and its declared range: low counts as 0 and high as 1."""

    name: str
    function: str
    low: float
    high: float


@dataclass(frozen=True)
class Model:
    base: str
    revision: str


@dataclass(frozen=True)
class Prompts:
    source: str
    select: float
    certify: float


@dataclass(frozen=True)
class Train:
    trainer: str
    beta: float
    steps: int
    batch: int
    generations: int
    learning_rate: float
    scale_rewards: str
    aggregation: str
    loss: str
    trl: Mapping[str, Any]


@dataclass(frozen=True)
class Lora:
    r: int
    alpha: int
    dropout: float
    target: str


@dataclass(frozen=True)
class Generation:
    max_new_tokens: int
    temperature: float
    top_p: float


@dataclass(frozen=True)
class Evaluation:
    prompts: int
    generations: int
    batch: int


@dataclass(frozen=True)
class Plan:
    reference: str
    trainer_eta: float
    trainer_gamma: float
    lattice: int
    epsilon: float
    delta: float
    alpha: float

    @property
    def error(self) -> tuple[float, float]:
        """(eta, gamma): a policy trained for w is declared to have w.v >= (1 - eta) OPT(w) - gamma."""
        return self.trainer_eta, self.trainer_gamma


@dataclass(frozen=True)
class Budget:
    trainings: int
    hours: float


@dataclass(frozen=True)
class Device:
    precision: str
    threads: int
    vllm: bool


@dataclass(frozen=True)
class Launch:
    how: str
    workers: int
    processes: int
    gpus: float
    retries: int
    address: str


@dataclass(frozen=True)
class Recipe:
    """A checked recipe; the fields are the sections of the file (docs/alignment.md lists every key)."""

    path: Path
    seed: int
    model: Model
    prompts: Prompts
    rewards: tuple[Reward, ...]
    train: Train
    lora: Lora
    generation: Generation
    evaluation: Evaluation
    plan: Plan
    budget: Budget
    device: Device
    launch: Launch

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Same as `load_recipe`."""
        return load_recipe(path)

    @property
    def folder(self) -> Path:
        """The recipe's own folder: relative paths and reward modules are looked up there."""
        return self.path.resolve().parent

    @property
    def reward_names(self) -> tuple[str, ...]:
        """Names of the rewards, in the order of the file."""
        return tuple(reward.name for reward in self.rewards)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Declared (low, high) of each reward."""
        return tuple((reward.low, reward.high) for reward in self.rewards)

    @property
    def training(self) -> dict[str, Any]:
        """All that an adapter depends on but for its weight, the base model and the data."""
        return {
            "seed": self.seed,
            "rewards": [asdict(reward) for reward in self.rewards],
            "reward_sources": _sources(self),
            "train": asdict(self.train),
            "lora": asdict(self.lora),
            "generation": asdict(self.generation),
            "precision": self.device.precision,
            "split": [self.prompts.select, self.prompts.certify],
        }

    @property
    def training_sha256(self) -> str:
        """Hash of `training`."""
        return _sha256(self.training)

    @property
    def measuring_sha256(self) -> str:
        """Hash of all that a measurement depends on but for the adapter (`evaluation.batch` is not noise-free)."""
        return _sha256({"training": self.training_sha256, "evaluation": asdict(self.evaluation)})


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    RecipeError : one line with EVERY fault: the file, the key, what was expected and what came.
    """
    path = Path(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: expected UTF-8 text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error
    faults: list[str] = []
    sections = _settings(document, faults)
    rewards = _rewards(document.get("rewards"), faults)
    trl = document.get("train", {}).get("trl", {}) if isinstance(document.get("train", {}), dict) else {}
    sections["train"]["trl"] = _trl(trl, faults)
    if not faults:
        _together(path.resolve().parent, sections, faults)
    if faults:
        raise RecipeError(f"{path}: " + "; ".join(faults))
    return Recipe(
        path=path,
        seed=sections[""]["seed"],
        model=Model(**sections["model"]),
        prompts=Prompts(**sections["prompts"]),
        rewards=rewards,
        train=Train(**sections["train"]),
        lora=Lora(**sections["lora"]),
        generation=Generation(**sections["generation"]),
        evaluation=Evaluation(**sections["evaluation"]),
        plan=Plan(**sections["plan"]),
        budget=Budget(**sections["budget"]),
        device=Device(**sections["device"]),
        launch=Launch(**sections["launch"]),
    )


def _settings(document: dict[str, Any], faults: list[str]) -> dict[str, dict[str, Any]]:
    """The values of all settings by section, defaults filled in."""
    sections: dict[str, dict[str, Any]] = {}
    for setting in SETTINGS:
        section, _, name = setting.key.rpartition(".")
        table = document.get(section, {}) if section else document
        values = sections.setdefault(section, {})
        if not isinstance(table, dict):
            values[name] = None
        elif name not in table:
            values[name] = setting.default
            if setting.default is REQUIRED:
                faults.append(f"{setting.key}: expected {setting.expected}, it is missing")
        elif setting.accepts(table[name]):
            values[name] = setting.kind(table[name])
        else:
            faults.append(f"{setting.key}: expected {setting.expected}, got {_show(table[name])}")
    known = {setting.key for setting in SETTINGS} | {"rewards", "train.trl"}
    for top, value in document.items():
        if top in sections and not isinstance(value, dict):
            faults.append(f"{top}: expected a table [{top}], got {_show(value)}")
        elif top in sections:
            faults.extend(_unknown(f"{top}.{name}", known) for name in value if f"{top}.{name}" not in known)
        elif top not in known:
            faults.append(_unknown(top, known | set(sections)))
    return sections


def _unknown(key: str, known: set[str]) -> str:
    import difflib

    near = difflib.get_close_matches(key, [name for name in known if name], n=1)
    return f"{key}: unknown key" + (f", did you mean {near[0]}?" if near else "")


def _show(value: Any) -> str:
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _rewards(table: Any, faults: list[str]) -> tuple[Reward, ...]:
    if not isinstance(table, dict) or not table:
        got = "nothing" if table in (None, {}) else _show(table)
        faults.append(f'rewards: expected at least one line like safe = {{function = "module:function"}}, got {got}')
        return ()
    rewards = []
    for name, entry in table.items():
        key = f"rewards.{name}"
        if not _NAME.fullmatch(name) or name in _RESERVED:
            faults.append(f"{key}: expected letters, digits and '_' and none of {', '.join(_RESERVED)} as its name")
        if not isinstance(entry, dict):
            faults.append(f'{key}: expected a table {{function = "module:function"}}, got {_show(entry)}')
            continue
        extra = sorted(set(entry) - {"function", "low", "high"})
        faults.extend(f"{key}.{item}: unknown key, expected function, low, high" for item in extra)
        function, low, high = entry.get("function"), entry.get("low", 0.0), entry.get("high", 1.0)
        if not isinstance(function, str) or not _FUNCTION.fullmatch(function):
            faults.append(f'{key}.function: expected "module:function", got {_show(function)}')
        numbers = [x for x in (low, high) if isinstance(x, (int, float)) and not isinstance(x, bool)]
        if len(numbers) < 2 or not all(map(math.isfinite, numbers)) or not low < high:
            faults.append(f"{key}: expected finite numbers low < high, got low {_show(low)}, high {_show(high)}")
            continue
        rewards.append(Reward(name, str(function), float(low), float(high)))
    return tuple(rewards)


def _trl(table: Any, faults: list[str]) -> dict[str, Any]:
    if not isinstance(table, dict):
        faults.append(f"train.trl: expected a table, got {_show(table)}")
        return {}
    for name, value in table.items():
        kind = TRL_ARGUMENTS.get(name)
        if kind is None:
            faults.append(f"train.trl.{name}: not an argument that may be passed on (docs/alignment.md lists them)")
            continue
        types: Any = (int, float) if kind is float else kind
        if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
            faults.append(f"train.trl.{name}: expected {kind.__name__}, got {_show(value)}")
    return dict(sorted(table.items()))


def _together(folder: Path, sections: dict[str, dict[str, Any]], faults: list[str]) -> None:
    """Faults of settings that depend on each other or on files."""
    train, prompts, model = sections["train"], sections["prompts"], sections["model"]
    if train["batch"] % train["generations"]:
        faults.append(
            f"train.batch: expected a multiple of train.generations ({train['generations']}), got {train['batch']}"
        )
    if not prompts["select"] > 0:
        faults.append(f"prompts.select: expected a share above 0, got {prompts['select']}")
    if prompts["select"] + prompts["certify"] >= 1:
        faults.append("prompts.select: expected select + certify below 1, so that some prompts are left to train on")
    plan = sections["plan"]
    if plan["reference"] == "oracle" and not _reachable(**plan):
        faults.append(
            f"plan.delta: {plan['delta']:g} is out of reach with plan.trainer_gamma {plan['trainer_gamma']:g} and "
            f"plan.trainer_eta {plan['trainer_eta']:g}: even where it trains, nothing better is proved"
        )
    source = prompts["source"]
    if source != EMBEDDED and Path(source).suffix.lower() not in (".jsonl", ".parquet"):
        faults.append(f"prompts.source: expected 'embedded' or a .jsonl or .parquet file, got {_show(source)}")
    elif source != EMBEDDED and not (folder / source).is_file():
        faults.append(f"prompts.source: no such file: {source} (looked beside the recipe)")
    base = model["base"]
    if base.startswith((".", "/", "~")) and not (folder / Path(base).expanduser()).is_dir():
        faults.append(f"model.base: no such folder: {base} (looked beside the recipe)")


def _reachable(trainer_eta: float, trainer_gamma: float, epsilon: float, delta: float, **_: Any) -> bool:
    """Whether a trained weight can keep the promise at all: (1 - epsilon) (v + gamma) / (1 - eta) - v < delta."""
    keep = (1 - epsilon) / (1 - trainer_eta)
    return min(keep * (v + trainer_gamma) - v for v in (0.0, 1.0)) < delta


def _sources(recipe: Recipe) -> dict[str, str]:
    """SHA-256 of each reward module's source: another reward under the same name is another training run."""
    from palm_opt.align.rewards import module_file

    hashes = {}
    for reward in recipe.rewards:
        module = reward.function.partition(":")[0]
        file = module_file(module, recipe)
        hashes[module] = hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
    return hashes


def _sha256(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
