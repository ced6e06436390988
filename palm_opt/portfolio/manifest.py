"""The manifest of a portfolio directory, portfolio.json: what it may say, how it is sealed, and how it is read.

It names every file of the portfolio with size and SHA-256, and ends with its own: the hash of all bytes before the last
two lines, `head -n -2 portfolio.json | sha256sum` (docs/portfolio-directory.md).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_opt.errors import StoreError
from palm_opt.storage import read_bytes, write_text

__all__ = [
    "BASE",
    "FORMAT",
    "GENERATION",
    "MANIFEST",
    "VERSION",
    "Member",
    "contents",
    "read_manifest",
    "safe_file",
    "write_manifest",
]

BASE = "base"  #: name of the base model as a policy
FORMAT = "palm_opt portfolio"
VERSION = 2  #: version 1 had no sizes and no hash of its own; it is read, and written again as version 2
MANIFEST = "portfolio.json"
LARGEST = 16 * 2**20  #: bytes of a manifest
_ROUNDING = 1e-9  # of a mean of numbers in a range, as a share of it
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
_PROOFS = ("certificate.json", "certificate-statistical.json")
_TABLES = ("values.csv", "answers.csv", "evaluation.parquet", "plan.json", "scores.parquet")
_TOP = frozenset({*_TABLES, *_PROOFS, "report.html"})
_REFERENCES, _OBJECTIVES = ("pool", "oracle", "gibbs"), ("reward", "reward_minus_kl")
_OPTIONAL = ("run", "statistical", "generation", "journal", "sha256")  # null or left out (of version 1)
GENERATION = {  #: settings of sampling
    "max_new_tokens": int, "temperature": float, "top_p": float, "top_k": int, "min_p": float,
    "repetition_penalty": float,
}  # fmt: skip
_KEYS = {
    "format": str, "base_model": dict, "rewards": list, "beta": float, "objective": str,
    "reference": str, "tolerances": dict, "run": dict, "statistical": dict, "measured": dict, "members": list,
    "files": dict, "producer": dict, "generation": dict, "journal": dict, "sha256": str,
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


def write_manifest(path: Path, document: Mapping[str, Any]) -> None:
    """Write a manifest atomically, sealed by its own hash."""
    body = {key: value for key, value in document.items() if key != "sha256"}
    text = json.dumps(body, indent=1, allow_nan=False).removesuffix("\n}") + ",\n"
    write_text(path, text + _seal(text.encode()))


def _seal(body: bytes) -> str:
    """The last two lines of a manifest."""
    return f' "sha256": "{hashlib.sha256(body).hexdigest()}"\n}}\n'


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a directory, strict JSON that holds its seal, as version 2; what it says is not checked.

    Raises
    ------
    StoreError : there is none, or it was damaged or changed.
    """
    if not path.is_dir():
        raise StoreError(f"{path}: no such portfolio directory")
    if not (path / MANIFEST).exists() and not (path / MANIFEST).is_symlink():
        raise StoreError(f"{path}: no {MANIFEST}: not a portfolio directory, or its run has not finished")
    file = safe_file(path, MANIFEST)

    def refuse(text: str) -> Any:
        raise ValueError(f"{text} is not a number")

    try:
        data = read_bytes(file, LARGEST)
        document = json.loads(data, parse_constant=refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{file}: not a manifest: {error or 'nested too deep'}") from error
    if not isinstance(document, dict):
        raise StoreError(f"{file}: expected a JSON object")
    version = document.get("version")
    if document.get("format") != FORMAT or isinstance(version, bool) or version not in (1, VERSION):
        raise StoreError(f'{file}: expected format "{FORMAT}", version {VERSION}')
    if version == 1:
        return _upgraded(path, document)
    seal = len(_seal(b""))
    if data[-seal:] != _seal(data[:-seal]).encode():
        raise StoreError(f"{file}: damaged or changed: its last lines are not the hash of all before them")
    return document


def _upgraded(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """A manifest of version 1 as one of version 2: the sizes are those of the files, whose hashes it has."""
    files, new = document.get("files"), set(document) & {"journal", "sha256"}
    if not isinstance(files, dict) or new or not all(isinstance(digest, str) for digest in files.values()):
        raise StoreError(f"{path / MANIFEST}: expected files with one SHA-256 each, as version 1 has them")
    sized = {name: {"size": safe_file(path, name).stat().st_size, "sha256": digest} for name, digest in files.items()}
    return {**document, "version": VERSION, "files": sized}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def contents(where: Path, document: dict[str, Any]) -> dict[str, Any]:
    """What a manifest says, checked: the fields of a `Portfolio` by name.

    Raises
    ------
    StoreError : a wrong type, an unexpected key or file, numbers that mean nothing.
    """
    for key, kind in _KEYS.items():
        value = document.get(key)
        if value is None and key in _OPTIONAL:
            continue
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
            raise StoreError(f"{where}: {key}: expected {kind.__name__}, got {str(value)[:60]!r}")
    if unknown := sorted(set(document) - set(_KEYS) - {"version"}):
        raise StoreError(f"{where}: unknown key {unknown[0][:60]!r}")
    for name, entry in document["files"].items():
        if not (name in _TOP or re.fullmatch(r"adapters/[^/]+/[^/]+", name)) or not _is_fingerprint(entry):
            raise StoreError(f"{where}: files: unexpected entry {name[:100]!r}")
    try:
        names = [_text(entry["name"]) for entry in document["rewards"]]
        ranges = tuple((_number(entry["low"]), _number(entry["high"])) for entry in document["rewards"])
        if not names or len(set(names)) < len(names) or any(not low < high for low, high in ranges):
            raise ValueError("rewards: expected distinct names with low < high")
        members = tuple(_member(entry, dict(zip(names, ranges, strict=True))) for entry in document["members"])
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
    return {
        "rewards": tuple(names), "ranges": ranges, "beta": beta, "members": members,
        "base_model": document["base_model"], "epsilon": epsilon, "delta": delta, "objective": document["objective"],
        "reference": document["reference"], "run": how, "statistical": statistical, "generation": generation,
    }  # fmt: skip


def _is_fingerprint(entry: Any) -> bool:
    """Whether an entry of `files` is a size and a SHA-256."""
    if not isinstance(entry, dict) or set(entry) != {"size", "sha256"}:
        return False
    size, digest = entry["size"], entry["sha256"]
    return type(size) is int and size >= 0 and isinstance(digest, str) and bool(re.fullmatch(r"[0-9a-f]{64}", digest))


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


def _member(entry: dict[str, Any], ranges: Mapping[str, tuple[float, float]]) -> Member:
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
        elif not isinstance(table, dict) or list(table) != list(ranges):
            raise ValueError(f"member {name}: {key}: expected one number a reward, in their order")
        else:
            tables[key] = {reward: _number(x) for reward, x in table.items()}
    weight, value, error = tables["weight"], tables["value"], tables["standard_error"]
    assert value is not None and error is not None
    for reward, (low, high) in ranges.items():
        margin = _ROUNDING * (high - low)
        if not low - margin <= value[reward] <= high + margin:
            raise ValueError(
                f"member {name}: value: {reward}: expected {low} to {high}, its range, got {value[reward]}"
            )
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
