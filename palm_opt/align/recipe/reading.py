"""A recipe file as it is read: every setting checked against its declaration, every fault listed, nothing run."""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from palm_opt.align.recipe.declaration import (
    EMBEDDED,
    HUB,
    SECTIONS,
    SETTINGS,
    TRAINERS,
    TRL_ARGUMENTS,
    Recipe,
    Reward,
)
from palm_opt.align.recipe.settings import REQUIRED, settings_of
from palm_opt.errors import ProblemError, RecipeError
from palm_opt.storage import read_bytes

__all__ = ["Draft", "load_recipe", "read_draft"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_LARGEST = 2**24  # bytes of a recipe
_RESERVED = ("member", "prompt", "generation", "completion", "kl", "id")


@dataclass(frozen=True)
class Draft:
    """A recipe as far as it could be read: settings that are wrong are None, rewards that are wrong are left out."""

    recipe: Recipe
    faults: list[str]


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    RecipeError : one line with EVERY fault that shows without importing or reading what the recipe names: the file,
        the key, what was expected and what came. `faults` has them one by one; `palm-opt recipe check` finds the rest.
    """
    draft = read_draft(path)
    if draft.faults:
        raise RecipeError.of(draft.recipe.path, draft.faults)
    return draft.recipe


def read_draft(path: str | Path) -> Draft:
    """Read a recipe and list its faults; raises RecipeError where it is no TOML at all."""
    path = Path(path)
    try:
        document = tomllib.loads(read_bytes(path, _LARGEST).decode())
    except (ProblemError, OSError, ValueError) as error:
        raise RecipeError.of(path, [_unreadable(path, error)]) from error
    faults: list[str] = []
    top = _settings("", Recipe, document, faults, ("rewards", *SECTIONS))
    tables: dict[str, dict[str, Any]] = {}
    for section, holder in SECTIONS.items():
        tables[section] = _settings(section, holder, document.get(section, {}), faults, ("trl",)[: section == "train"])
    given = document["train"] if isinstance(document.get("train"), dict) else {}
    tables["train"]["trl"] = _trl(given.get("trl", {}), tables["train"]["trainer"], faults)
    made: Any = {section: holder(**tables[section]) for section, holder in SECTIONS.items()}
    recipe = Recipe(path=path, rewards=_rewards(document.get("rewards"), faults), **top, **made)
    _of_the_trainer(recipe, given, faults)
    _of_the_data(recipe, faults)
    _of_the_plan(recipe, faults)
    _of_the_machine(recipe, faults)
    return Draft(recipe, faults)


def _unreadable(path: Path, error: Exception) -> str:
    """Why a file is no TOML."""
    if isinstance(error, ProblemError):
        return str(error).removeprefix(f"{path}: ")
    if isinstance(error, OSError):
        return (error.strerror or "cannot be read").lower()
    return f"expected UTF-8 text: {error}" if isinstance(error, UnicodeDecodeError) else f"not TOML: {error}"


def _settings(section: str, holder: type, table: Any, faults: list[str], others: Iterable[str] = ()) -> dict[str, Any]:
    """The values of a table's settings, defaults filled in, None where they are wrong; `others` are known keys too."""
    settings = settings_of(section, holder)
    if not isinstance(table, dict):
        faults.append(f"{section}: expected a table [{section}], got {_show(table)}")
        return {setting.name: None for setting in settings}
    values: dict[str, Any] = {}
    for setting in settings:
        value = table.get(setting.name, setting.default)
        values[setting.name] = None
        if value is REQUIRED:
            faults.append(f"{setting.key}: expected {setting.expected}, it is missing")
        elif setting.name in table and not setting.accepts(value):
            faults.append(f"{setting.key}: expected {setting.expected}, got {_show(value)}")
        else:
            values[setting.name] = setting.kind(value)
    known = {*values, *others}
    keys = {setting.key for setting in (*settings, *SETTINGS)} | set(others)
    unknown = [f"{section}.{name}".lstrip(".") for name in table if name not in known]
    faults += [f"{key}: unknown key" + _near(key, keys) for key in unknown]
    return values


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {near[0]}?" if near else ""


def _show(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _rewards(table: Any, faults: list[str]) -> tuple[Reward, ...]:
    if not isinstance(table, dict) or not table:
        got = "nothing" if table in (None, {}) else _show(table)
        faults.append(f'rewards: expected at least one line like safe = {{function = "module:function"}}, got {got}')
        return ()
    rewards = []
    for name, entry in table.items():
        before, key = len(faults), f"rewards.{name}"
        if not _NAME.fullmatch(name) or name in _RESERVED:
            faults.append(f"{key}: expected letters, digits and '_' and none of {', '.join(_RESERVED)} as its name")
        if not isinstance(entry, dict):
            faults.append(f'{key}: expected a table {{function = "module:function"}}, got {_show(entry)}')
            continue
        reward = Reward(name, **_settings(key, Reward, entry, faults))
        if ("function" in entry) == ("model" in entry):
            faults.append(f'{key}: expected function = "module:function" or model = "folder or hub name", one of them')
        elif reward.function and not _FUNCTION.fullmatch(reward.function):
            faults.append(f'{key}.function: expected "module:function", got {_show(reward.function)}')
        if None not in (reward.low, reward.high) and not reward.low < reward.high:
            low, high = entry.get("low", reward.low), entry.get("high", reward.high)
            faults.append(f"{key}: expected finite numbers low < high, got low {_show(low)}, high {_show(high)}")
        rewards += [reward] * (len(faults) == before)
    return tuple(rewards)


def _trl(table: Any, trainer: str | None, faults: list[str]) -> dict[str, Any]:
    """The further arguments for TRL that are right."""
    if not isinstance(table, dict):
        faults.append(f"train.trl: expected a table, got {_show(table)}")
        return {}
    found = {}
    for name, value in sorted(table.items()):
        kind, trainers = TRL_ARGUMENTS.get(name, (object, ()))
        types: Any = (int, float) if kind is float else kind
        right = isinstance(value, types) and (kind is bool) == isinstance(value, bool)
        if name not in TRL_ARGUMENTS:
            near = _near(name, TRL_ARGUMENTS) or " (docs/alignment.md lists them)"
            faults.append(f"train.trl.{name}: not an argument that may be passed on{near}")
        elif not right or (kind is float and not abs(value) <= sys.float_info.max):
            faults.append(f"train.trl.{name}: expected {kind.__name__}, got {_show(value)}")
        elif trainer is not None and trainer not in trainers:
            faults.append(f"train.trl.{name}: {TRAINERS[trainer]} has no such argument (trainer {trainer})")
        else:
            found[name] = value
    return found


def _of_the_trainer(recipe: Recipe, given: Mapping[str, Any], faults: list[str]) -> None:
    """Settings that do not fit the trainer or each other. `given`: the table [train] of the file."""
    train, trainer = recipe.train, recipe.train.trainer
    batch, generations, processes = train.batch, train.generations, recipe.launch.processes
    if not recipe.offline and batch and generations and batch % generations:
        faults.append(f"train.batch: expected a multiple of train.generations ({generations}), got {batch}")
    if batch and processes and batch % processes:
        faults.append(f"launch.processes: expected a divisor of train.batch ({batch}), got {processes}")
    if trainer in ("rloo", "dpo-rerank"):
        none = ("loss", "aggregation", "scale_rewards") if recipe.offline else ("loss", "aggregation")
        faults += [f"train.{x}: the trainer {trainer} has no such choice; leave it out" for x in none if x in given]
    if trainer == "rloo" and train.scale_rewards == "group":
        faults.append("train.scale_rewards: expected 'none' or 'batch' with the trainer rloo, got 'group'")
    if recipe.offline and train.beta == 0:
        faults.append("train.beta: expected a number above 0 with the trainer dpo-rerank, got 0.0")
    if recipe.offline and recipe.device.vllm not in (None, "off"):
        faults.append("device.vllm: the trainer dpo-rerank generates nothing while it trains; set it to 'off'")
    accumulated, iterations = (train.trl.get(name, 1) for name in ("gradient_accumulation_steps", "num_iterations"))
    ahead = train.trl.get("steps_per_generation", accumulated)
    if train.save_every and not recipe.offline and min(accumulated, ahead, iterations) > 0:
        reused = ahead * iterations
        if train.save_every * accumulated % reused:
            faults.append(
                f"train.save_every: expected a multiple of {math.lcm(reused, accumulated) // accumulated} (steps that "
                f"share completions, which no checkpoint keeps), got {train.save_every}"
            )


def _of_the_data(recipe: Recipe, faults: list[str]) -> None:
    """Prompts and the base model: what must be there beside the recipe, and the shares of the splits."""
    prompts, base = recipe.prompts, recipe.model.base
    select, certify, source = prompts.select, prompts.certify, prompts.source
    if select == 0:
        faults.append(f"prompts.select: expected a share above 0, got {select}")
    if None not in (select, certify) and select + certify >= 1:
        faults.append("prompts.select: expected select + certify below 1, so that some prompts are left to train on")
    if source is not None and source != EMBEDDED and not source.startswith(HUB):
        place = recipe.folder / Path(source).expanduser()
        if Path(source).suffix.lower() in (".jsonl", ".parquet"):
            if not place.is_file():
                faults.append(f"prompts.source: no such file: {source} (looked beside the recipe)")
        elif not place.is_dir():
            faults.append(
                "prompts.source: expected 'embedded' or a .jsonl or .parquet file, a data set's folder, or "
                f"'hf:owner/name', got {_show(source)}"
            )
    if base is not None and base.startswith((".", "/", "~")) and not (recipe.folder / Path(base).expanduser()).is_dir():
        faults.append(f"model.base: no such folder: {base} (looked beside the recipe)")
    if recipe.lora.target is not None and "lm_head" in [name.rpartition(".")[2] for name in recipe.lora.targets]:
        faults.append("lora.target: TRL does not train an adapter of lm_head; leave it out")


def _of_the_plan(recipe: Recipe, faults: list[str]) -> None:
    plan = recipe.plan
    if None not in vars(plan).values() and not plan.reaches(plan.epsilon, plan.delta):
        faults.append(
            f"plan.delta: {plan.delta:g} is out of reach with plan.trainer_gamma {plan.trainer_gamma:g} and "
            f"plan.trainer_eta {plan.trainer_eta:g}: even where it trains, nothing better is proved"
        )
    if plan.reference == "gibbs" and plan.responses == 0:
        faults.append("plan.responses: expected at least 1 with plan.reference 'gibbs', got 0")
    if plan.responses and recipe.train.beta == 0:
        faults.append("train.beta: expected a number above 0 for a plan (plan.responses), got 0.0")


def _of_the_machine(recipe: Recipe, faults: list[str]) -> None:
    """A vLLM server takes weights and code paths from whoever reaches it: on this machine unless said otherwise."""
    device = recipe.device
    if device.vllm != "server":
        return
    if device.vllm_server is not None and device.vllm_remote is False:
        host = _host(device.vllm_server)
        if not host:
            faults.append(f"device.vllm_server: expected http://HOST:PORT, got {_show(device.vllm_server)}")
        elif host != "localhost" and not _loopback(host):
            faults.append(
                f"device.vllm_server: expected localhost or 127.0.0.1, got {host}; vllm_remote = true allows it"
            )
    if (recipe.launch.workers or 1) > 1:
        faults.append("launch.workers: expected 1, as the vLLM server holds the weights of one training")


def _host(address: str) -> str | None:
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in ("http", "https") else None


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
