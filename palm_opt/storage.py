"""Files: written so that a crash leaves the old one or the new one; read with a limit; named by their bytes; locked."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from palm_opt.errors import ProblemError

__all__ = [
    "TEMPORARY",
    "atomic_path",
    "file_sha256",
    "fingerprint",
    "lines",
    "locked",
    "read_bytes",
    "sync",
    "write_bytes",
    "write_json",
    "write_text",
]

LONGEST_LINE = 2**24  # characters
TEMPORARY = ".palm-"  #: how the name of an unfinished file begins: whoever owns the folder may delete it


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed to `path`, else removed.

    Raises
    ------
    OSError : it cannot be written (a full disk, say); the error names `path`.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix, name = f"{TEMPORARY}{target.name[:80]}.", None
    try:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=target.suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        sync(temporary)
        temporary.replace(target)
        sync(target.parent)
    except OSError as error:
        own = name is None or error.filename in (None, name)
        if error.errno is None or not own:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        if name is not None:
            Path(name).unlink(missing_ok=True)


def read_bytes(path: str | Path, limit: int) -> bytes:
    """The bytes of a file; what may never end is refused: a device, a pipe, a file of more than `limit` bytes.

    Raises
    ------
    ProblemError : it is one of these, or a folder. OSError : it is not there.
    """
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode):
        raise ProblemError(f"{path}: expected a regular file")
    if found.st_size > limit:
        raise ProblemError(f"{path}: expected at most {limit} bytes")
    with Path(path).open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ProblemError(f"{path}: expected at most {limit} bytes")
    return data


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(path: Path) -> dict[str, Any]:
    """What names a file by its bytes: {"size": bytes, "sha256": hex}."""
    return {"size": path.stat().st_size, "sha256": file_sha256(path)}


@contextmanager
def locked(path: str | Path, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on a file made for that purpose; the kernel frees it when the process ends, also killed.

    Raises
    ------
    BlockingIOError : another holds it, and `wait` is false. OSError : the file cannot be made; no link is followed.
    """
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def lines(stream: TextIO, path: str | Path) -> Iterator[str]:
    """The lines of a text file; ProblemError where one is longer than any table's, before it fills the memory."""
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise ProblemError(f"{path}: a line has more than {LONGEST_LINE} characters")
        yield line


def sync(path: Path) -> None:
    """Make a file's bytes, or a directory's names, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, data: bytes) -> None:
    """Write bytes to a file descriptor, all of them: `os.write` may stop early."""
    while data:
        data = data[os.write(handle, data) :]


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_TRUNC)
        try:
            write_all(handle, data)
        finally:
            os.close(handle)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text atomically."""
    return write_bytes(path, text.encode())


def write_json(path: str | Path, document: Any, compact: bool = False) -> Path:
    """Write a JSON document atomically: strict JSON (no NaN), keys in the order given."""
    style: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 1}
    return write_text(path, json.dumps(document, allow_nan=False, **style) + "\n")
