"""Writing a portfolio directory so that a kill at any instant loses nothing that was acknowledged.

The journal has one JSON object a line: "open" (what the directory is about), "intent" before and "result" after each
training run, "measured" after each measurement. A line counts when its checksum holds; a torn last line does not.
An adapter is trained in a temporary folder, its own record (training.json, with the hashes) is written last, all is
synced, and one rename acknowledges it: an adapter in its place is a finished one even if the journal missed it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from palm_opt.errors import BackendNotFound, StoreError
from palm_opt.storage import sync_directory, write_json

__all__ = ["Store", "check_directory", "file_sha256", "read_journal"]

JOURNAL = "journal.jsonl"
RECORD = "training.json"
_TEMPORARY = ".training-"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum(entry: Mapping[str, Any]) -> str:
    body = {key: value for key, value in entry.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def read_journal(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The entries of a journal and the length in bytes of what is whole.

    Raises
    ------
    StoreError : a bad line that is not the last one.
    """
    entries: list[dict[str, Any]] = []
    whole = 0
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []  # what follows the last newline is torn
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            good = isinstance(entry["event"], str) and entry["checksum"] == _checksum(entry)
        except (ValueError, KeyError, TypeError, RecursionError):
            good = False
        if not good and number == len(lines):
            break  # torn by a crash: never acknowledged
        if not good:
            raise StoreError(f"{path}, line {number}: damaged (its checksum does not hold)")
        entries.append(entry)
        whole += len(line) + 1
    return entries, whole


def check_directory(path: str | Path) -> None:
    """Refuse a place where no directory can be written, before hours of training."""
    place = next(folder for folder in (Path(path), *Path(path).absolute().parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise StoreError(f"{path}: {place} is not a folder that can be written to")


class Store:
    """A portfolio directory open for writing, by one process at a time (`with Store.open(...) as store`)."""

    def __init__(self, path: Path, entries: list[dict[str, Any]]) -> None:
        self.path = path
        self._entries = entries

    @classmethod
    @contextmanager
    def open(cls, path: str | Path, subject: Mapping[str, Any]) -> Iterator[Store]:
        """Create or reopen a directory that is about `subject` (hashes of recipe, base model and data).

        Raises
        ------
        StoreError : another process has it open, or it is about something else, or it is damaged.
        """
        try:
            from filelock import FileLock, Timeout
        except ImportError as error:
            raise BackendNotFound("training needs filelock: pip install 'palm_opt[align]'") from error
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        if (path / "adapters").is_symlink() or (path / JOURNAL).is_symlink():
            raise StoreError(f"{path}: contains a link where a folder or file is expected")
        lock = FileLock(path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(f"{path}: another palm_opt run is writing to it") from error
        try:
            store = cls._opened(path, subject)
            yield store
        finally:
            lock.release()

    @classmethod
    def _opened(cls, path: Path, subject: Mapping[str, Any]) -> Store:
        entries, whole = read_journal(path / JOURNAL)
        if (path / JOURNAL).exists():
            os.truncate(path / JOURNAL, whole)
        store = cls(path, entries)
        opened = [entry for entry in entries if entry["event"] == "open"]
        if not opened:
            store.append("open", **subject)
        else:
            for key, value in subject.items():
                if opened[0].get(key) != value:
                    raise StoreError(
                        f"{path}: written by a run with another {key}; use another --out, or that recipe again"
                    )
        (path / "adapters").mkdir(exist_ok=True)
        for leftover in (path / "adapters").glob(f"{_TEMPORARY}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        return store

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        """Add a line to the journal; on return it is on the disk."""
        entry = {"event": event, **fields}
        entry["checksum"] = _checksum(entry)
        new = not (self.path / JOURNAL).exists()
        with (self.path / JOURNAL).open("ab") as stream:
            stream.write(json.dumps(entry, separators=(",", ":"), allow_nan=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        if new:
            sync_directory(self.path)
        self._entries.append(entry)
        return entry

    def entries(self, event: str) -> list[dict[str, Any]]:
        """The journal lines of an event, in order."""
        return [entry for entry in self._entries if entry["event"] == event]

    def entry(self, event: str, key: str) -> dict[str, Any] | None:
        """The newest journal line of that event and key."""
        found = [entry for entry in self._entries if entry["event"] == event and entry.get("key") == key]
        return found[-1] if found else None

    def name_for(self, weight: Sequence[float], key: str) -> str:
        """The name of a training run: its weight in percent; with a piece of its key where that name is taken."""
        if known := self.entry("intent", key):
            if not re.fullmatch(r"w-[0-9a-f-]{1,90}", str(known["name"])):
                raise StoreError(f"{self.path / JOURNAL}: unsafe name {known['name']!r}")
            return str(known["name"])
        name = "w-" + "-".join(f"{100 * x:.0f}" for x in weight)
        taken = {entry["name"] for entry in self._entries if entry["event"] == "intent"}
        return name if name not in taken and len(name) <= 80 else f"{name[:60]}-{key[:8]}"

    def finished(self, name: str, key: str) -> bool:
        """Whether the adapter of a training run is there, whole. Adopts one that a crash kept out of the journal.

        Raises
        ------
        StoreError : it is there but differs from its hashes.
        """
        folder = self.path / "adapters" / name
        if folder.is_symlink():
            raise StoreError(f"{folder}: expected a folder, no link")
        if not folder.is_dir():
            return False
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            whole = record["key"] == key and bool(record["files"])
            whole = whole and all(file_sha256(folder / Path(f).name) == h for f, h in record["files"].items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            whole = False
        result = self.entry("result", key)
        if whole and result is not None:
            whole = result["files"] == record["files"]
        if not whole:
            raise StoreError(f"{folder}: damaged or changed; delete that folder to train it again")
        if result is None:
            self.append("result", key=key, name=name, files=record["files"], **record["training"])
        return True

    def train(
        self, name: str, key: str, weight: Mapping[str, float], work: Callable[[Path], dict[str, Any]]
    ) -> dict[str, Any]:
        """Run `work(folder)` between an intent and a result; the folder becomes adapters/NAME in one rename."""
        folder = self.path / "adapters" / name
        self.append("intent", key=key, name=name, weight={reward: x.hex() for reward, x in weight.items()})
        temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder.parent))
        try:
            training = work(temporary)
            files = {item.name: file_sha256(item) for item in sorted(temporary.iterdir())}
            for file in temporary.iterdir():
                file.chmod(0o644)
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
            write_json(temporary / RECORD, {"key": key, "files": files, "training": training})
            temporary.chmod(0o755)
            temporary.rename(folder)
            sync_directory(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return self.append("result", key=key, name=name, files=files, **training)

    def hashes(self, names: Sequence[str]) -> dict[str, str]:
        """SHA-256 of files and of the files in folders, by path relative to the directory; missing ones left out."""
        result = {}
        for name in names:
            path = self.path / name
            files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
            for file in files:
                result[file.relative_to(self.path).as_posix()] = file_sha256(file)
        return result
