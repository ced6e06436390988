"""A recipe file as it is read: every setting checked against the table, every fault listed, nothing imported or run."""

from __future__ import annotations

import ipaddress
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from palm_opt.align.recipe.declaration import (
    EMBEDDED,
    HUB,
    Budget,
    Device,
    Evaluation,
    Generation,
    Launch,
    Lora,
    Model,
    Planning,
    Prompts,
    Recipe,
    Reward,
    Train,
)
from palm_opt.align.recipe.settings import REQUIRED, SETTINGS, TRAINERS, TRL_ARGUMENTS
from palm_opt.errors import ProblemError, RecipeError
from palm_opt.storage import read_bytes

__all__ = ["Draft", "reachable", "read_draft"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_LARGEST = 2**24  # bytes of a recipe
_RESERVED = ("member", "prompt", "generation", "completion", "kl", "id")


@dataclass
class Draft:
    """A recipe file as far as it could be read. Settings and TRL arguments that are wrong are None."""

    path: Path
    sections: dict[str, dict[str, Any]]
    rewards: tuple[Reward, ...]
    faults: list[str]

    def get(self, key: str) -> Any:
        """The value of a setting; None if it is wrong."""
        section, _, name = key.rpartition(".")
        return self.sections[section][name]

    def recipe(self) -> Recipe:
        """The recipe of a draft without faults."""
        sections = self.sections
        return Recipe(
            path=self.path,
            seed=sections[""]["seed"],
            model=Model(**sections["model"]),
            prompts=Prompts(**sections["prompts"]),
            rewards=self.rewards,
            train=Train(**sections["train"]),
            lora=Lora(**sections["lora"]),
            generation=Generation(**sections["generation"]),
            evaluation=Evaluation(**sections["evaluation"]),
            plan=Planning(**sections["plan"]),
            budget=Budget(**sections["budget"]),
            device=Device(**sections["device"]),
            launch=Launch(**sections["launch"]),
        )


def read_draft(path: str | Path) -> Draft:
    """Read a recipe and list its faults; raises RecipeError where it is no TOML at all."""
    path = Path(path)
    try:
        document = tomllib.loads(read_bytes(path, _LARGEST).decode())
    except ProblemError as error:
        raise RecipeError.of(path, [str(error).removeprefix(f"{path}: ")]) from error
    except OSError as error:
        raise RecipeError.of(path, [(error.strerror or "cannot be read").lower()]) from error
    except UnicodeDecodeError as error:
        raise RecipeError.of(path, [f"expected UTF-8 text: {error}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError.of(path, [f"not TOML: {error}"]) from error
    faults: list[str] = []
    sections = _settings(document, faults)
    rewards = _rewards(document.get("rewards"), faults)
    train = document["train"] if isinstance(document.get("train"), dict) else {}
    sections["train"]["trl"] = _trl(train.get("trl", {}), sections["train"]["trainer"], faults)
    draft = Draft(path, sections, rewards, faults)
    _together(draft, train)
    return draft


def _settings(document: dict[str, Any], faults: list[str]) -> dict[str, dict[str, Any]]:
    """The values of all settings by section, defaults filled in."""
    sections: dict[str, dict[str, Any]] = {}
    for setting in SETTINGS:
        section, _, name = setting.key.rpartition(".")
        table = document.get(section, {}) if section else document
        values = sections.setdefault(section, {})
        values[name] = None
        if not isinstance(table, dict):
            continue
        if name not in table:
            if setting.default is REQUIRED:
                faults.append(f"{setting.key}: expected {setting.expected}, it is missing")
            else:
                values[name] = setting.default
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


def _unknown(key: str, known: Iterable[str]) -> str:
    return f"{key}: unknown key" + _near(key, known)


def _near(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, [item for item in known if item], n=1)
    return f", did you mean {near[0]}?" if near else ""


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
        before = len(faults)
        key = f"rewards.{name}"
        if not _NAME.fullmatch(name) or name in _RESERVED:
            faults.append(f"{key}: expected letters, digits and '_' and none of {', '.join(_RESERVED)} as its name")
        if not isinstance(entry, dict):
            faults.append(f'{key}: expected a table {{function = "module:function"}}, got {_show(entry)}')
            continue
        reward = _reward(name, entry, faults)
        if len(faults) == before:
            rewards.append(reward)
    return tuple(rewards)


def _reward(name: str, entry: dict[str, Any], faults: list[str]) -> Reward:
    key = f"rewards.{name}"
    known = ("function", "model", "revision", "low", "high")
    faults.extend(f"{key}.{item}: unknown key" + _near(item, known) for item in sorted(set(entry) - set(known)))
    function, model, revision = entry.get("function", ""), entry.get("model", ""), entry.get("revision", "main")
    if ("function" in entry) == ("model" in entry):
        faults.append(f'{key}: expected function = "module:function" or model = "folder or hub name", one of them')
    elif "function" in entry and not (isinstance(function, str) and _FUNCTION.fullmatch(function)):
        faults.append(f'{key}.function: expected "module:function", got {_show(function)}')
    elif "model" in entry and not (isinstance(model, str) and model.strip()):
        faults.append(f"{key}.model: expected a folder or a hub name, got {_show(model)}")
    if not isinstance(revision, str) or not revision.strip():
        faults.append(f"{key}.revision: expected a non-empty text, got {_show(revision)}")
    low, high = entry.get("low", 0.0), entry.get("high", 1.0)
    numbers = [x for x in (low, high) if isinstance(x, (int, float)) and not isinstance(x, bool)]
    if len(numbers) < 2 or not all(map(math.isfinite, numbers)) or not low < high:
        faults.append(f"{key}: expected finite numbers low < high, got low {_show(low)}, high {_show(high)}")
        return Reward(name, "", 0.0, 1.0)
    return Reward(name, str(function), float(low), float(high), str(model), str(revision))


def _trl(table: Any, trainer: str | None, faults: list[str]) -> dict[str, Any]:
    if not isinstance(table, dict):
        faults.append(f"train.trl: expected a table, got {_show(table)}")
        return {}
    for name, value in table.items():
        if name not in TRL_ARGUMENTS:
            near = _near(name, TRL_ARGUMENTS) or " (docs/alignment.md lists them)"
            faults.append(f"train.trl.{name}: not an argument that may be passed on{near}")
            continue
        kind, trainers = TRL_ARGUMENTS[name]
        types: Any = (int, float) if kind is float else kind
        if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
            faults.append(f"train.trl.{name}: expected {kind.__name__}, got {_show(value)}")
        if trainer is not None and trainer not in trainers:
            faults.append(f"train.trl.{name}: {TRAINERS[trainer]} has no such argument (trainer {trainer})")
    return dict(sorted(table.items()))


def _together(draft: Draft, given: Mapping[str, Any]) -> None:
    """Faults of settings that depend on each other or on files. `given`: the table [train] of the file."""
    faults = draft.faults
    _of_the_trainer(draft, given)
    select, certify = draft.get("prompts.select"), draft.get("prompts.certify")
    if select == 0:
        faults.append(f"prompts.select: expected a share above 0, got {select}")
    if select is not None and certify is not None and select + certify >= 1:
        faults.append("prompts.select: expected select + certify below 1, so that some prompts are left to train on")
    plan = draft.sections["plan"]
    if plan["reference"] == "oracle" and None not in plan.values() and not reachable(**plan):
        faults.append(
            f"plan.delta: {plan['delta']:g} is out of reach with plan.trainer_gamma {plan['trainer_gamma']:g} and "
            f"plan.trainer_eta {plan['trainer_eta']:g}: even where it trains, nothing better is proved"
        )
    if plan["reference"] == "gibbs" and plan["responses"] == 0:
        faults.append("plan.responses: expected at least 1 with plan.reference 'gibbs', got 0")
    if plan["responses"] and draft.get("train.beta") == 0:
        faults.append("train.beta: expected a number above 0 for a plan (plan.responses), got 0.0")
    folder = draft.path.resolve().parent
    source = draft.get("prompts.source")
    if source is not None and source != EMBEDDED and not source.startswith(HUB):
        place = folder / Path(source).expanduser()
        if Path(source).suffix.lower() in (".jsonl", ".parquet"):
            if not place.is_file():
                faults.append(f"prompts.source: no such file: {source} (looked beside the recipe)")
        elif not place.is_dir():
            faults.append(
                "prompts.source: expected 'embedded' or a .jsonl or .parquet file, a data set's folder, or "
                f"'hf:owner/name', got {_show(source)}"
            )
    base = draft.get("model.base")
    if base is not None and base.startswith((".", "/", "~")) and not (folder / Path(base).expanduser()).is_dir():
        faults.append(f"model.base: no such folder: {base} (looked beside the recipe)")
    target = draft.get("lora.target")
    if target is not None and "lm_head" in [name.strip().rpartition(".")[2] for name in target.split(",")]:
        faults.append("lora.target: TRL does not train an adapter of lm_head; leave it out")
    server = draft.get("device.vllm_server")
    if draft.get("device.vllm") == "server":
        if server is not None and draft.get("device.vllm_remote") is False:
            _local(server, faults)
        if (draft.get("launch.workers") or 1) > 1:
            faults.append("launch.workers: expected 1, as the vLLM server holds the weights of one training")


def _of_the_trainer(draft: Draft, given: Mapping[str, Any]) -> None:
    """Settings of [train] that do not fit the trainer or each other."""
    faults, trainer = draft.faults, draft.get("train.trainer")
    batch, generations = draft.get("train.batch"), draft.get("train.generations")
    if trainer != "dpo-rerank" and batch and generations and batch % generations:
        faults.append(f"train.batch: expected a multiple of train.generations ({generations}), got {batch}")
    if batch and (processes := draft.get("launch.processes")) and batch % processes:
        faults.append(f"launch.processes: expected a divisor of train.batch ({batch}), got {processes}")
    if trainer in ("rloo", "dpo-rerank"):
        for name in ("loss", "aggregation", *(["scale_rewards"] if trainer == "dpo-rerank" else [])):
            if name in given:
                faults.append(f"train.{name}: the trainer {trainer} has no such choice; leave it out")
    if trainer == "rloo" and draft.get("train.scale_rewards") == "group":
        faults.append("train.scale_rewards: expected 'none' or 'batch' with the trainer rloo, got 'group'")
    if trainer == "dpo-rerank" and draft.get("train.beta") == 0:
        faults.append("train.beta: expected a number above 0 with the trainer dpo-rerank, got 0.0")
    if trainer == "dpo-rerank" and draft.get("device.vllm") not in (None, "off"):
        faults.append("device.vllm: the trainer dpo-rerank generates nothing while it trains; set it to 'off'")
    trl, every = draft.get("train.trl"), draft.get("train.save_every")
    counts = {
        name: trl.get(name, 1) for name in ("gradient_accumulation_steps", "steps_per_generation", "num_iterations")
    }
    if every and trainer != "dpo-rerank" and all(isinstance(n, int) and n > 0 for n in counts.values()):
        accumulated = counts["gradient_accumulation_steps"]
        reused = max(counts["steps_per_generation"], accumulated if "steps_per_generation" not in trl else 1)
        reused *= counts["num_iterations"]
        if every * accumulated % reused:
            faults.append(
                f"train.save_every: expected a multiple of {math.lcm(reused, accumulated) // accumulated} (steps that "
                f"share completions, which no checkpoint keeps), got {every}"
            )


def reachable(trainer_eta: float, trainer_gamma: float, epsilon: float, delta: float, **_: Any) -> bool:
    """Whether a trained weight can keep the promise at all: (1 - epsilon) (v + gamma) / (1 - eta) - v < delta."""
    keep = (1 - epsilon) / (1 - trainer_eta)
    return min(keep * (v + trainer_gamma) - v for v in (0.0, 1.0)) < delta


def _local(server: str, faults: list[str]) -> None:
    """A vLLM server takes weights and code paths from whoever reaches it: on this machine unless said otherwise."""
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        faults.append(f"device.vllm_server: expected http://HOST:PORT, got {_show(server)}")
    elif parts.hostname != "localhost" and not _loopback(parts.hostname):
        faults.append(
            f"device.vllm_server: expected localhost or 127.0.0.1, got {parts.hostname}; vllm_remote = true allows it"
        )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
