"""A portfolio directory, read with suspicion: hashes checked, no links, nothing outside, nothing that executes."""

from __future__ import annotations

import csv
import json
import math
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palm_opt import checker
from palm_opt.errors import StoreError
from palm_opt.portfolio.store import file_sha256
from palm_opt.storage import lines, read_bytes

__all__ = [
    "BASE",
    "FORMAT",
    "GENERATION",
    "MANIFEST",
    "Member",
    "Portfolio",
    "read_manifest",
    "read_policies",
    "safe_file",
]

BASE = "base"  #: name of the base model as a policy
FORMAT = "palm_opt portfolio"
MANIFEST = "portfolio.json"
LARGEST = 16 * 2**20  #: bytes of a manifest
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
_ADAPTER = frozenset({"adapter_config.json", "adapter_model.safetensors", "training.json"})
_PROOFS = ("certificate.json", "certificate-statistical.json")
_TOP = frozenset({"values.csv", "answers.csv", "evaluation.parquet", *_PROOFS, "report.html"})
_REFERENCES, _OBJECTIVES = ("pool", "oracle", "gibbs"), ("reward", "reward_minus_kl")
_OPTIONAL = ("run", "statistical", "generation")  # tables, or null, or left out
GENERATION = {  #: settings of sampling
    "max_new_tokens": int, "temperature": float, "top_p": float, "top_k": int, "min_p": float,
    "repetition_penalty": float,
}  # fmt: skip
_KEYS = {
    "format": str, "version": int, "base_model": dict, "rewards": list, "beta": float, "objective": str,
    "reference": str, "tolerances": dict, "run": dict, "statistical": dict, "measured": dict, "members": list,
    "files": dict, "producer": dict, "generation": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A policy of the portfolio; `value` and `standard_error` are in the rewards' own units.

    `weight` is None for what was not trained, `adapter` for the base model and mixtures. A mixture has `parts`, names
    of adapters, or "base" for the base model, and their shares, which sum to 1; to serve it takes a forward pass a part
    and token. `kl` is the measured KL to the base model, in nats a completion.
    """

    name: str
    weight: Mapping[str, float] | None
    value: Mapping[str, float]
    standard_error: Mapping[str, float]
    kl: float
    adapter: str | None
    parts: Mapping[str, float] | None = None

    @property
    def served(self) -> dict[str, float]:
        """Names of the policies whose next-token distributions it mixes, and their shares: itself, if it is no mixture.

        "base" is the base model, any other name that of an adapter.
        """
        return dict(self.parts) if self.parts is not None else {BASE if self.adapter is None else self.name: 1.0}


@dataclass(frozen=True)
class Portfolio:
    """A portfolio directory.

    Attributes
    ----------
    path : the directory.
    rewards, ranges : names of the rewards and their declared (low, high).
    beta : KL penalty of the training.
    members : the policies. After `run` the certified portfolio, after `align` everything measured.
    base_model : {"name", "revision", "sha256"}.
    epsilon, delta : the promise that certificate.json proves against `reference`, or None.
    objective, reference : what the promise is about ("reward", or "reward_minus_kl") and what OPT ranges over: "pool",
        the measured candidates, "oracle", every policy that training could reach, given the declared error of the
        trainer, or "gibbs", the closed form on samples of the base model.
    run : how the run ended (why, its target, trainings, lower bound, trainer error, and by how much measured policies
        were better than the closed form); None after `align`.
    statistical : the promise for new prompts that certificate-statistical.json proves, or None.
    generation : how completions were sampled to measure the members: arguments of transformers' `generate`; empty where
        the directory does not say.
    manifest : the whole document.
    """

    path: Path
    rewards: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    beta: float
    members: tuple[Member, ...]
    base_model: Mapping[str, Any]
    epsilon: float | None
    delta: float | None
    objective: str
    reference: str
    run: Mapping[str, Any] | None
    statistical: Mapping[str, Any] | None
    generation: Mapping[str, Any]
    manifest: Mapping[str, Any] = field(repr=False)

    @classmethod
    def load(cls, path: str | Path, check: bool = True) -> Portfolio:
        """Read a portfolio directory that may come from anyone. `check=False` skips hashing the adapters.

        Raises
        ------
        StoreError : no manifest, a wrong type, an unsafe path, a link, an unexpected file, or a hash that differs.
        """
        path = Path(path)
        document = read_manifest(path)
        portfolio = _parse(path, document)
        for name, digest in document["files"].items():
            file = safe_file(path, name)
            if (check or not name.startswith("adapters/")) and file_sha256(file) != digest:
                raise StoreError(
                    f"{file}: its SHA-256 is not the one in {MANIFEST}: damaged or changed; if a run was killed "
                    "here, run it again"
                )
        for name in sorted({name for member in portfolio.members for name in member.served} - {BASE}):
            _check_adapter(path, f"adapters/{name}", document["files"])
        if check and portfolio.has("certificate.json"):
            _check_members(portfolio)
        return portfolio

    def member(self, name: str) -> Member:
        """The member of that name."""
        for member in self.members:
            if member.name == name:
                return member
        raise StoreError(f"{self.path}: no member {name!r}; it has {', '.join(m.name for m in self.members)}")

    def has(self, name: str) -> bool:
        """Whether the manifest lists a file, such as values.csv: only then is it vouched for."""
        return name in self.manifest["files"]


def safe_file(root: Path, name: str) -> Path:
    """`root/name` for a relative path without tricks that names a regular file; no link on the way.

    Raises
    ------
    StoreError : otherwise.
    """
    parts = name.split("/")
    if not parts or any(not _SAFE.fullmatch(part) or part.startswith(".") for part in parts):
        raise StoreError(f"{root}: unsafe path {name[:100]!r}: expected a relative path of plain names")
    current = root
    for i, part in enumerate(parts):
        current = current / part
        try:
            mode = current.lstat().st_mode
        except OSError as error:
            raise StoreError(f"{current}: listed in {MANIFEST} but {(error.strerror or 'missing').lower()}") from error
        wanted = stat.S_ISREG if i == len(parts) - 1 else stat.S_ISDIR
        if not wanted(mode):
            raise StoreError(f"{current}: expected a regular {'file' if wanted is stat.S_ISREG else 'folder'}, no link")
    return current


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a directory as it is, strict JSON; what is in it is not checked."""
    if not path.is_dir():
        raise StoreError(f"{path}: no such portfolio directory")
    if not (path / MANIFEST).exists() and not (path / MANIFEST).is_symlink():
        raise StoreError(f"{path}: no {MANIFEST}: not a portfolio directory, or its run has not finished")
    file = safe_file(path, MANIFEST)

    def refuse(text: str) -> Any:
        raise ValueError(f"{text} is not a number")

    try:
        document = json.loads(read_bytes(file, LARGEST), parse_constant=refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{file}: not a manifest: {error or 'nested too deep'}") from error
    if not isinstance(document, dict):
        raise StoreError(f"{file}: expected a JSON object")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _parse(path: Path, document: dict[str, Any]) -> Portfolio:
    where = path / MANIFEST
    if document.get("format") != FORMAT or document.get("version") != 1:
        raise StoreError(f'{where}: expected format "{FORMAT}", version 1')
    for key, kind in _KEYS.items():
        value = document.get(key)
        if value is None and key in _OPTIONAL:
            continue
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
            raise StoreError(f"{where}: {key}: expected {kind.__name__}, got {str(value)[:60]!r}")
    if unknown := sorted(set(document) - set(_KEYS)):
        raise StoreError(f"{where}: unknown key {unknown[0][:60]!r}")
    for name, digest in document["files"].items():
        allowed = name in _TOP or re.fullmatch(r"adapters/[^/]+/[^/]+", name) is not None
        if not allowed or not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise StoreError(f"{where}: files: unexpected entry {name[:100]!r}")
    try:
        names = [_text(entry["name"]) for entry in document["rewards"]]
        ranges = tuple((_number(entry["low"]), _number(entry["high"])) for entry in document["rewards"])
        if not names or len(set(names)) < len(names) or any(not low < high for low, high in ranges):
            raise ValueError("rewards: expected distinct names with low < high")
        members = tuple(_member(entry, names) for entry in document["members"])
        if not members or len({member.name for member in members}) < len(members):
            raise ValueError("members: expected at least one, with distinct names")
        _check_parts(members)
        promise = document["tolerances"]
        epsilon, delta = (None if promise[key] is None else _number(promise[key]) for key in ("epsilon", "delta"))
        if not 0 <= (epsilon or 0.0) < 1 or (delta or 0.0) < 0:
            raise ValueError("tolerances: expected 0 <= epsilon < 1 and delta >= 0")
        if document["reference"] not in _REFERENCES or document["objective"] not in _OBJECTIVES:
            raise ValueError("expected another reference or objective")
        if not isinstance(document["base_model"]["name"], str):
            raise ValueError("base_model: expected a name")
        if not isinstance(document["measured"].get("clipped", {}), dict):
            raise ValueError("measured: clipped: expected one number a reward")
        beta = _number(document["beta"])
        how = None if document.get("run") is None else _how(document["run"])
        statistical = None if document.get("statistical") is None else _statistical(document["statistical"])
        generation = {key: _setting(key, x) for key, x in (document.get("generation") or {}).items()}
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StoreError(f"{where}: {type(error).__name__}: {error}") from error
    return Portfolio(
        path, tuple(names), ranges, beta, members, document["base_model"], epsilon, delta,
        document["objective"], document["reference"], how, statistical, generation, document,
    )  # fmt: skip


def _how(entry: dict[str, Any]) -> dict[str, Any]:
    """How a run ended, checked."""
    error, closed = entry["trainer_error"], entry.get("closed_form_error")
    return {
        "stop": _text(entry["stop"]),
        "target": _number(entry["target"]),
        "trainings": int(_number(entry["trainings"])),
        "lower_bound": _number(entry["lower_bound"]),
        "trainer_error": None if error is None else (_number(error[0]), _number(error[1])),
        "closed_form_error": None if closed is None else _number(closed),
        "missed": {_text(name): _number(short) for name, short in entry["missed"].items()},
    }


def _statistical(entry: dict[str, Any]) -> dict[str, Any]:
    """A promise for new prompts, checked."""
    needed = entry["prompts_needed"]
    return {
        **{key: _number(entry[key]) for key in ("epsilon", "delta", "alpha", "look", "prompts")},
        "prompts_needed": None if needed is None else _number(needed),
        "reference": _text(entry["reference"]),
    }


def _member(entry: dict[str, Any], rewards: list[str]) -> Member:
    name, adapter = entry["name"], entry["adapter"]
    if not isinstance(name, str) or not _SAFE.fullmatch(name):
        raise ValueError(f"member name {str(name)[:60]!r}: expected letters, digits, '.', '_', '+', '-'")
    if adapter is not None and adapter != f"adapters/{name}":
        raise ValueError(f"member {name}: unsafe adapter path {str(adapter)[:60]!r}, expected adapters/{name}")
    tables: dict[str, dict[str, float] | None] = {}
    for key in ("weight", "value", "standard_error"):
        table = entry[key]
        if table is None and key == "weight":
            tables[key] = None
        elif not isinstance(table, dict) or list(table) != rewards:
            raise ValueError(f"member {name}: {key}: expected one number a reward, in their order")
        else:
            tables[key] = {reward: _number(x) for reward, x in table.items()}
    weight, value, error = tables["weight"], tables["value"], tables["standard_error"]
    assert value is not None and error is not None
    if weight is not None and (min(weight.values()) < 0 or not math.isclose(sum(weight.values()), 1, abs_tol=1e-9)):
        raise ValueError(f"member {name}: weight: expected numbers >= 0 with sum 1")
    parts = entry.get("parts")
    if parts is not None:
        if not isinstance(parts, dict) or adapter is not None or weight is not None:
            raise ValueError(f"member {name}: parts: expected one share a part, and neither adapter nor weight")
        parts = {_text(part): _number(share) for part, share in parts.items()}
        if not parts or min(parts.values()) < 0 or not math.isclose(math.fsum(parts.values()), 1, abs_tol=1e-9):
            raise ValueError(f"member {name}: parts: expected shares >= 0 with sum 1")
    return Member(name, weight, value, error, _number(entry["kl"]), adapter, parts)


def _check_parts(members: tuple[Member, ...]) -> None:
    """A part is an adapter or the base model, never a mixture; no name stands for two policies."""
    mixtures = {member.name for member in members if member.parts is not None}
    for member in members:
        if member.name == BASE and member.served != {BASE: 1.0}:
            raise ValueError(f"member {BASE}: expected the base model itself")
        if member.parts is not None and (mixed := mixtures & member.parts.keys()):
            raise ValueError(f"member {member.name}: {min(mixed)} is a mixture, expected adapters as parts")


def read_policies(path: Path) -> list[tuple[str, dict[str, str]]]:
    """The policy that each answer in an answers.csv is of, and its row. No certificate rests on these names."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(lines(stream, path)))
        return [(row["policy"], row) for row in rows]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise StoreError(f"{path}: expected answers with a column 'policy': {error}") from error


def _check_members(portfolio: Portfolio) -> None:
    """The members that certificate.json speaks of are the manifest's, by name, and for answers by value too."""
    try:
        document = checker.read_certificate(portfolio.path / "certificate.json")
        chosen = list(document["members"])
        if portfolio.has("answers.csv"):
            told = read_policies(portfolio.path / "answers.csv")
            chosen = [told[i] for i in chosen]
            for name, row in chosen:
                _check_answer(portfolio, portfolio.member(name), row)
            chosen = [name for name, _ in chosen]
    except (checker.CertificateParseError, LookupError, TypeError) as error:
        raise StoreError(f"{portfolio.path}: certificate.json and answers.csv do not fit: {error}") from error
    names = {member.name for member in portfolio.members}
    if names != set(chosen):
        odd = ", ".join(sorted(map(str, names.symmetric_difference(chosen))))[:200]
        raise StoreError(f"{portfolio.path}: certificate.json speaks of other members than {MANIFEST}: {odd}")


def _check_answer(portfolio: Portfolio, member: Member, row: Mapping[str, str]) -> None:
    """An answer has the values that the manifest has for its policy, on the scale of the promise."""
    off = portfolio.beta * member.kl if portfolio.objective == "reward_minus_kl" else 0.0
    for name, (low, high) in zip(portfolio.rewards, portfolio.ranges, strict=True):
        value = (member.value[name] - low) / (high - low) - off
        try:
            same = math.isclose(float(row[f"v_{name}"]), value, rel_tol=1e-9, abs_tol=1e-9)
        except ValueError:
            same = False
        if not same:
            raise StoreError(
                f"{portfolio.path}: answers.csv has {name} {row[f'v_{name}'][:40]} for {member.name}, "
                f"{MANIFEST} {value:.6g}: its column 'policy' names another"
            )


def _check_adapter(path: Path, adapter: str, files: Mapping[str, str]) -> None:
    """Only the files of a PEFT LoRA adapter, each of them listed, and nothing in its configuration that loads code."""
    folder = path / adapter
    if not folder.is_dir() or folder.is_symlink():
        raise StoreError(f"{folder}: expected a folder, no link")
    for item in folder.iterdir():
        if item.name not in _ADAPTER or f"{adapter}/{item.name}" not in files:
            raise StoreError(f"{item}: unexpected file in an adapter; expected {', '.join(sorted(_ADAPTER))}")
        safe_file(path, f"{adapter}/{item.name}")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if f"{adapter}/{name}" not in files:
            raise StoreError(f"{folder}: {name} is not listed in {MANIFEST}")
    file = folder / "adapter_config.json"
    try:
        config = json.loads(read_bytes(file, 2**20))
        if config.get("peft_type") != "LORA" or config.get("auto_mapping") is not None:
            raise ValueError("expected peft_type LORA and no auto_mapping")
    except (ValueError, AttributeError, RecursionError) as error:
        raise StoreError(f"{file}: not a LoRA configuration: {error}") from error


def _setting(key: str, value: Any) -> int | float:
    """A setting of `generation`, checked."""
    number = _number(value)
    if key not in GENERATION or number < 0 or (GENERATION[key] is int and not isinstance(value, int)):
        raise ValueError(f"generation: {key[:60]}: unexpected {str(value)[:60]!r}")
    return value if isinstance(value, int) else number


def _text(value: Any) -> str:
    if not isinstance(value, str) or not _SAFE.fullmatch(value):
        raise ValueError(f"expected a plain name, got {str(value)[:60]!r}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {str(value)[:60]!r}")
    return float(value)
