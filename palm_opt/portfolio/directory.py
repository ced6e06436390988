"""A portfolio directory, read with suspicion: sizes and hashes checked, values held to the tables, nothing executes."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palm_opt import checker
from palm_opt.errors import StoreError
from palm_opt.portfolio.manifest import BASE, MANIFEST, Member, contents, read_manifest, safe_file
from palm_opt.storage import file_sha256, lines, read_bytes

__all__ = ["Portfolio", "read_policies"]

_ADAPTER = frozenset({"adapter_config.json", "adapter_model.safetensors", "training.json"})


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
    pool : the measured values of every candidate by its name, a number a reward, as values.csv has them; None where
        the directory has no such table.
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
    pool: Mapping[str, tuple[float, ...]] | None = field(repr=False)
    manifest: Mapping[str, Any] = field(repr=False)

    @classmethod
    def load(cls, path: str | Path, check: bool = True) -> Portfolio:
        """Read a portfolio directory that may come from anyone. `check=False` skips hashing the adapters.

        Raises
        ------
        StoreError : no manifest, a wrong type, an unsafe path, a link, an unexpected file, a size or hash that differs,
            or members with other values than the tables have.
        """
        path = Path(path)
        document = read_manifest(path)
        found = contents(path / MANIFEST, document)
        _check_files(path, document["files"], check)
        for name in sorted({name for member in found["members"] for name in member.served} - {BASE}):
            _check_adapter(path, f"adapters/{name}", document["files"])
        pool = _read_pool(path / "values.csv", found["rewards"]) if "values.csv" in document["files"] else None
        portfolio = cls(path=path, pool=pool, manifest=document, **found)
        if pool is not None:
            _check_values(portfolio, pool)
        if portfolio.has("certificate.json"):
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


def read_policies(path: Path) -> list[tuple[str, dict[str, str]]]:
    """The policy that each answer in an answers.csv is of, and its row. No certificate rests on these names."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(lines(stream, path)))
        return [(row["policy"], row) for row in rows]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise StoreError(f"{path}: expected answers with a column 'policy': {error}") from error


def _check_files(path: Path, files: Mapping[str, Any], adapters: bool) -> None:
    """Every file has its size; and its hash: what has a wrong size, however large, is never read."""
    mend = f"not as in {MANIFEST}: damaged or changed; if a run was killed here, run it again"
    for name, entry in files.items():
        if (size := safe_file(path, name).stat().st_size) != entry["size"]:
            raise StoreError(f"{path / name}: its size, {size} bytes and not {entry['size']}, is {mend}")
    for name, entry in files.items():
        if (adapters or not name.startswith("adapters/")) and file_sha256(path / name) != entry["sha256"]:
            raise StoreError(f"{path / name}: its SHA-256 is {mend}")


def _read_pool(path: Path, rewards: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """The values of all measured candidates, by name."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(lines(stream, path)))
        pool = {row["member"]: tuple(float(row[name]) for name in rewards) for row in rows}
        if len(pool) < max(1, len(rows)) or not all(math.isfinite(x) for row in pool.values() for x in row):
            raise ValueError("expected distinct members and finite numbers")
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error
    return pool


def _check_values(portfolio: Portfolio, pool: Mapping[str, tuple[float, ...]]) -> None:
    """The members have the values that the table has for them."""
    for member in portfolio.members:
        if member.name not in pool:
            raise StoreError(f"{portfolio.path}: values.csv has no row for the member {member.name} of {MANIFEST}")
        for reward, x in zip(portfolio.rewards, pool[member.name], strict=True):
            if member.value[reward] != x:
                raise StoreError(
                    f"{portfolio.path}: {member.name} has {reward} {member.value[reward]!r} in {MANIFEST}, {x!r} in "
                    "values.csv"
                )


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
