"""The journal of a portfolio directory: one JSON object a line, appended, never changed.

Each line carries a checksum of itself and of the line before it, so that a line that was changed, lost, doubled or
moved is noticed. A line is acknowledged when it is on the disk with its newline; what a crash tore off at the end is
dropped, and nothing else is forgiven.

That lines are missing at the end cannot be seen in the journal alone: a small file beside it, replaced atomically after
each line, has the number of lines and the checksum of the last one, and so has the manifest. A journal may be longer
than they say (a kill in between), never shorter.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palm_opt.errors import ProblemError, StoreError
from palm_opt.storage import read_bytes, sync, write_all, write_json

__all__ = ["HEAD", "JOURNAL", "Journal", "read_journal"]

JOURNAL, HEAD = "journal.jsonl", "journal.head"
_VERSION = 2  # of a journal with a head; said by its first line
_LARGEST = 2**30  # bytes
_MEND = f"put {JOURNAL} and {HEAD} back as they were, or use another --out"


def _checksum(entry: Mapping[str, Any], before: str) -> str:
    body = {key: value for key, value in entry.items() if key != "checksum"}
    text = before + json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_journal(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The entries of a journal, and the length in bytes of what is whole: the rest was torn off by a crash.

    Torn is what has no newline, or (file systems may grow a file before they fill it) a last line with zero bytes.

    Raises
    ------
    StoreError : any other line whose checksum does not hold.
    """
    entries: list[dict[str, Any]] = []
    whole, before = 0, ""
    try:
        lines = read_bytes(path, _LARGEST).split(b"\n")[:-1] if path.exists() else []
    except ProblemError as error:
        raise StoreError(str(error)) from error
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            good = isinstance(entry["event"], str) and entry["checksum"] == _checksum(entry, before)
        except (ValueError, KeyError, TypeError, RecursionError):
            good = False
        if not good and number == len(lines) and b"\0" in line:
            break
        if not good:
            raise StoreError(f"{path}, line {number}: damaged (its checksum does not hold)")
        entries.append(entry)
        before = entry["checksum"]
        whole += len(line) + 1
    return entries, whole


def _read_head(path: Path) -> dict[str, Any]:
    try:
        head = json.loads(read_bytes(path, 1000))
        if not isinstance(head, dict) or path.is_symlink():
            raise ValueError("expected the number of lines and a checksum")
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: damaged ({error}); {_MEND}") from error
    return head


class Journal:
    """A journal open for appending, by one writer at a time; what was torn off its end is cut away first.

    Parameters
    ----------
    path : its file; the head is beside it.
    vouched : what the manifest says of it, as `head`; None where there is none.

    Raises
    ------
    StoreError : damaged, or shorter than its head or the manifest say.
    """

    def __init__(self, path: Path, vouched: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.entries, whole = read_journal(path)
        self._headed = (path.parent / HEAD).exists() or (path.parent / HEAD).is_symlink()
        if self._headed:
            self._hold(_read_head(path.parent / HEAD), HEAD)
        elif self.entries and self.entries[0].get("version", 1) >= _VERSION:
            raise StoreError(f"{path}: {HEAD} is missing, which was written before its first line; {_MEND}")
        if vouched is not None:
            self._hold(vouched, "the manifest")
        if path.exists() and path.stat().st_size > whole:
            os.truncate(path, whole)
        self._broken = False

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        """Add a line; on return it is on the disk. A line that could not be written whole is taken back.

        Raises
        ------
        OSError : it could not be written; the error names the journal.
        """
        if self._broken:
            raise StoreError(f"{self.path}: an earlier line could not be taken back; run the same command again")
        if not self._headed:  # from now on it is missed
            self._write_head()
        entry = {"event": event, **({} if self.entries else {"version": _VERSION}), **fields}
        entry["checksum"] = _checksum(entry, self.entries[-1]["checksum"] if self.entries else "")
        line = json.dumps(entry, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        new = not self.path.exists()
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            if new:
                sync(self.path.parent)
            self._write(handle, line, entry)
            self._write_head()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        finally:
            os.close(handle)
        return entry

    def _write(self, handle: int, line: bytes, entry: dict[str, Any]) -> None:
        end = os.fstat(handle).st_size
        self._broken = True  # until the line is whole or taken back, whatever comes in between, Ctrl-C too
        try:
            write_all(handle, line)
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, end)  # else the next line would be glued to half a line
            self._broken = False
            raise
        self.entries.append(entry)
        self._broken = False

    @property
    def head(self) -> dict[str, Any]:
        """How many lines there are, and the checksum of the last one."""
        return {"lines": len(self.entries), "checksum": self.entries[-1]["checksum"] if self.entries else ""}

    def _write_head(self) -> None:
        write_json(self.path.parent / HEAD, self.head, compact=True)
        self._headed = True

    def _hold(self, head: Mapping[str, Any], where: str) -> None:
        """Refuse a journal that lacks lines of which `where` knows."""
        lines = head.get("lines")
        if type(lines) is not int or lines < 0 or set(head) != {"lines", "checksum"}:
            raise StoreError(f"{self.path.parent}: {where} has no number of lines and checksum of {JOURNAL}; {_MEND}")
        there = self.entries[lines - 1]["checksum"] if 0 < lines <= len(self.entries) else ""
        if lines > len(self.entries) or head["checksum"] != there:
            raise StoreError(
                f"{self.path}: {len(self.entries)} whole lines do not hold the {lines} that {where} has seen: lines "
                f"are missing or changed; {_MEND}"
            )

    def last(self, event: str, key: str) -> dict[str, Any] | None:
        """The newest line of that event and key."""
        found = (entry for entry in reversed(self.entries) if entry["event"] == event and entry.get("key") == key)
        return next(found, None)
