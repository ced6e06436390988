"""Writing a portfolio directory so that a kill at any instant loses nothing that was acknowledged.

The journal says what the directory is about ("open"), and has a line before ("intent") and after ("result") each
training run, after each measurement ("measured") and after each look at the certify split ("look"). A training run
works in a workplace, a temporary folder beside the adapters: `seal` syncs what was trained and writes its record
(training.json, with the hashes) last, `Store.adopt` checks it, moves it to its place in one rename, and acknowledges
it. What is sealed is finished, even if the process that waited for it was killed: the next one finds it in its
workplace or in its place, and adopts it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from palm_opt.errors import ProblemError, StoreError
from palm_opt.portfolio.journal import HEAD, JOURNAL, Journal
from palm_opt.portfolio.manifest import read_manifest
from palm_opt.statistics.looks import Ledger
from palm_opt.storage import TEMPORARY, file_sha256, fingerprint, locked, read_bytes, sync, write_json

__all__ = ["Store", "check_directory", "discard", "disk_faults", "new_workplace", "seal"]

RECORD, LEDGER = "training.json", "looks.json"
_LARGEST = 2**26  # bytes of a record
_WORKPLACE, _ADAPTER, _SECONDS = ".training-", "adapter", "seconds.json"
_NAME = re.compile(r"(w|soup)-[0-9a-f-]{1,90}")  # mixtures have no adapter


def check_directory(path: str | Path) -> None:
    """Refuse a place where no directory can be written, before hours of training."""
    place = next(folder for folder in (Path(path), *Path(path).absolute().parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise StoreError(f"{path}: {place} is not a folder that can be written to")


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn a full or failing disk, whichever library meets it, into a StoreError of one line."""
    try:
        yield
    except Exception as error:
        number = getattr(error, "errno", None)
        if not isinstance(error, OSError):  # safetensors has an error of its own with the number in its text
            found = re.search(r"\(os error (\d+)\)", str(error))
            number = int(found[1]) if found else None
        if number not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO):
            raise
        where = getattr(error, "filename", None) or path
        reason = os.strerror(number).lower()
        raise StoreError(
            f"{where}: {reason}; what is finished is kept: mend that, then the same command again"
        ) from error


def new_workplace(root: Path) -> Path:
    """A folder for one attempt at a training run in the portfolio directory `root`: train in its subfolder adapter/."""
    place = Path(tempfile.mkdtemp(prefix=_WORKPLACE, dir=root / "adapters"))
    (place / _ADAPTER).mkdir()
    return place


def seal(place: Path, key: str, training: Mapping[str, Any]) -> None:
    """Declare the training run in a workplace finished: sync its files, then write their hashes as its record.

    `training` is what the trainer returned; its `seconds` go to the journal only, so that the same training run makes
    the same files.
    """
    folder = place / _ADAPTER
    files = {}
    for item in sorted(folder.iterdir()):
        item.chmod(0o644)
        sync(item)
        files[item.name] = file_sha256(item)
    write_json(place / _SECONDS, {"key": key, "seconds": training.get("seconds")})
    facts = {name: value for name, value in training.items() if name != "seconds"}
    folder.chmod(0o755)
    write_json(folder / RECORD, {"key": key, "files": files, "training": facts})


def discard(place: Path) -> None:
    """Remove a workplace whose training run failed; what is sealed stays, for the next run to adopt."""
    if not (place / _ADAPTER / RECORD).is_file():
        shutil.rmtree(place, ignore_errors=True)


def _timed(place: Path) -> tuple[str, float | None]:
    """The key of the training run that was sealed in a workplace, and its seconds; they outlast the move to its place.

    The key is empty, and the seconds None, where the workplace does not say.
    """
    try:
        found = json.loads(read_bytes(place / _SECONDS, _LARGEST))
        return str(found["key"]), float(found["seconds"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "", None


def _record(folder: Path) -> dict[str, Any] | None:
    """The record of an adapter's folder, if every file that it lists is there and whole, and no other."""
    try:
        record = json.loads(read_bytes(folder / RECORD, _LARGEST))
        files, names = record["files"], {item.name for item in folder.iterdir()}
        whole = bool(files) and names == {*files, RECORD} and not any(item.is_symlink() for item in folder.iterdir())
        whole = whole and isinstance(record["key"], str) and isinstance(record["training"], dict)
        whole = whole and all(file_sha256(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return record if whole else None


class Store:
    """A portfolio directory open for writing, by one process at a time (`with Store.open(...) as store`)."""

    def __init__(self, path: Path, journal: Journal) -> None:
        self.path = path
        self._journal = journal

    @classmethod
    @contextmanager
    def open(cls, path: str | Path, subject: Mapping[str, Any]) -> Iterator[Store]:
        """Create or reopen a directory that is about `subject`: hashes, and tables of settings, by name.

        Raises
        ------
        StoreError : another process has it open, or it is about something else (what differs is listed), or it is
            damaged, or the disk is full.
        """
        path = Path(path)
        with disk_faults(path):
            path.mkdir(parents=True, exist_ok=True)
        for name in ("adapters", "evaluations", "logs", JOURNAL, HEAD, LEDGER, ".lock"):
            if (path / name).is_symlink():
                raise StoreError(f"{path}: {name} is a link, expected a file or folder")
        with ExitStack() as stack:
            try:
                with disk_faults(path):
                    stack.enter_context(locked(path / ".lock", wait=False))
            except BlockingIOError as error:
                raise StoreError(f"{path}: another palm_opt run is writing to it") from error
            with disk_faults(path):
                store = cls(path, Journal(path / JOURNAL, _vouched(path)))
                store._begin(json.loads(json.dumps(dict(subject))))
            yield store

    def _begin(self, subject: Mapping[str, Any]) -> None:
        opened = next((entry for entry in self._journal.entries if entry["event"] == "open"), None)
        if opened is None:
            self._journal.append("open", **subject)
        else:
            for key, value in subject.items():
                if opened.get(key) != value:
                    raise StoreError(
                        f"{self.path}: written by a run with another {key}{_difference(opened.get(key), value)}; "
                        "use another --out, or that recipe again"
                    )
        (self.path / "adapters").mkdir(exist_ok=True)
        for place in sorted((self.path / "adapters").glob(f"{_WORKPLACE}*")):
            self._recover(place)
            shutil.rmtree(place, ignore_errors=True)
        for file in (*self.path.glob(f"{TEMPORARY}*"), *(self.path / "evaluations").rglob(f"{TEMPORARY}*")):
            file.unlink(missing_ok=True)

    def _recover(self, place: Path) -> None:
        """Adopt what was sealed in a workplace that nobody watched any more, or was moved and not acknowledged."""
        record = _record(place / _ADAPTER)
        timed, seconds = _timed(place)
        key = record["key"] if record else timed
        intent = self.entry("intent", key)
        if intent is None or self.entry("result", key):
            return
        name = self._safe_name(intent)
        folder = self.path / "adapters" / name
        if record is not None and not folder.exists():
            self.adopt(name, key, place)
        elif record is None and not folder.is_symlink() and (moved := _record(folder)) and moved["key"] == key:
            self._acknowledge(name, moved, seconds)

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        """Add a line to the journal; on return it is on the disk."""
        with disk_faults(self.path):
            return self._journal.append(event, **fields)

    @property
    def head(self) -> dict[str, Any]:
        """What the manifest says of the journal: how many lines it has, and the checksum of the last one."""
        return self._journal.head

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger of looks at the certify split. Its looks are journaled, so that the file cannot be forgotten.

        Raises
        ------
        StoreError : a look that the journal has is missing there.
        """
        try:
            ledger = Ledger(self.path / LEDGER)
        except ProblemError as error:
            raise StoreError(str(error)) from error
        known = {entry["sha256"] for entry in self.entries("look")}
        if not known <= set(map(_look_sha256, ledger.looks)):
            raise StoreError(
                f"{ledger.path}: looks that the journal has are missing; put it back, or use another --out"
            )
        try:
            yield ledger
        finally:  # a look that was interrupted was one
            for look in ledger.looks:
                if (digest := _look_sha256(look)) not in known:
                    self.append("look", look=look["look"], sha256=digest)

    def entries(self, event: str) -> list[dict[str, Any]]:
        """The journal lines of an event, in order."""
        return [entry for entry in self._journal.entries if entry["event"] == event]

    def entry(self, event: str, key: str) -> dict[str, Any] | None:
        """The newest journal line of that event and key."""
        return self._journal.last(event, key)

    def name_for(self, weight: Sequence[float], key: str, kind: str = "w") -> str:
        """The name of an adapter: its weight in percent; with a piece of its key where that name is taken."""
        if known := self.entry("intent", key):
            return self._safe_name(known)
        name = f"{kind}-" + "-".join(f"{100 * x:.0f}" for x in weight)
        taken = {entry["name"] for entry in self._journal.entries if entry["event"] == "intent"}
        return name if name not in taken and len(name) <= 80 else f"{name[:60]}-{key[:8]}"

    def _safe_name(self, intent: Mapping[str, Any]) -> str:
        if not _NAME.fullmatch(str(intent["name"])):
            raise StoreError(f"{self._journal.path}: unsafe name {intent['name']!r}")
        return str(intent["name"])

    def finished(self, name: str, key: str) -> bool:
        """Whether the adapter of a training run is there, whole. Adopts one that a crash kept out of the journal.

        Raises
        ------
        StoreError : it is there but differs from its hashes.
        """
        folder = self.path / "adapters" / name
        if folder.is_symlink():
            raise StoreError(f"{folder}: expected a folder, no link")
        result = self.entry("result", key)
        if not folder.is_dir():
            return False
        record = _record(folder)
        changed = result is not None and result["record"] != file_sha256(folder / RECORD)
        if record is None or record["key"] != key or changed:
            raise StoreError(f"{folder}: damaged or changed; delete that folder to train it again")
        if result is None:  # and its workplace is gone: its seconds are not known any more
            self._acknowledge(name, record, None)
        return True

    def intend(self, name: str, key: str, weight: Mapping[str, float]) -> None:
        """Journal that a training run begins."""
        self.append("intent", key=key, name=name, weight={reward: x.hex() for reward, x in weight.items()})

    def adopt(self, name: str, key: str, place: Path) -> dict[str, Any]:
        """Move the sealed training run in a workplace to adapters/NAME in one rename; returns its journal line.

        Raises
        ------
        StoreError : it is not sealed, or not whole, or of another key.
        """
        record = _record(place / _ADAPTER)
        if record is None or record["key"] != key:
            raise StoreError(f"{place}: not a finished training run of {name}, or damaged")
        _, seconds = _timed(place)
        folder = self.path / "adapters" / name
        with disk_faults(folder):
            (place / _ADAPTER).rename(folder)
            sync(folder.parent)
        return self._acknowledge(name, record, seconds)

    def _acknowledge(self, name: str, record: Mapping[str, Any], seconds: float | None) -> dict[str, Any]:
        digest = file_sha256(self.path / "adapters" / name / RECORD)  # it lists the hashes of the others
        return self.append("result", key=record["key"], name=name, record=digest, seconds=seconds, **record["training"])

    def train(
        self, name: str, key: str, weight: Mapping[str, float], work: Callable[[Path], dict[str, Any]]
    ) -> dict[str, Any]:
        """Run `work(folder)` in this process, between an intent and a result; its folder becomes adapters/NAME."""
        self.intend(name, key, weight)
        with disk_faults(self.path):
            place = new_workplace(self.path)
            try:
                seal(place, key, work(place / _ADAPTER))
            except BaseException:
                discard(place)
                raise
            result = self.adopt(name, key, place)
            shutil.rmtree(place, ignore_errors=True)
            return result

    def fingerprints(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Size and SHA-256 of files, and of files in folders, by path in the directory; missing ones left out."""
        result = {}
        for name in names:
            path = self.path / name
            files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
            for file in files:
                result[file.relative_to(self.path).as_posix()] = fingerprint(file)
        return result


def _look_sha256(look: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(look, sort_keys=True).encode()).hexdigest()


def _vouched(path: Path) -> Mapping[str, Any] | None:
    """What the manifest says of the journal; None without a manifest that can be read: the head says it too."""
    try:
        vouched = read_manifest(path).get("journal")
    except (StoreError, OSError):
        return None
    return vouched if isinstance(vouched, dict) else None


def _difference(was: Any, now: Any) -> str:
    """What differs between two tables of settings, key by key; nothing to show for hashes."""
    if not (isinstance(was, dict) and isinstance(now, dict)):
        return ""
    old, new = _flat(was), _flat(now)
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return (
        " ("
        + "; ".join(f"{key}: {old.get(key, 'not set')} then, {new.get(key, 'not set')} now" for key in changed)
        + ")"
    )


def _flat(value: Any, key: str = "") -> dict[str, str]:
    """A nested table as text by dotted key."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {name: text for k, v in items for name, text in _flat(v, f"{key}.{k}" if key else str(k)).items()}
    return {key: json.dumps(value)}
