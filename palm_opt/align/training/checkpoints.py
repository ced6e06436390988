"""Checkpoints within one training: sealed by a manifest that is written last, resumed only if every hash holds.

transformers writes a checkpoint file by file: a kill leaves half of one, and resuming from that is wrong or fails. Here
a checkpoint counts once `manifest.json`, with the SHA-256 of all its files, has been renamed into place.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from palm_opt.storage import file_sha256, sync, write_json

__all__ = ["discard_checkpoints", "newest_checkpoint", "seal_checkpoint"]

MANIFEST = "manifest.json"
KEPT = 2  #: sealed checkpoints kept of a training
_NAME = re.compile(r"checkpoint-(\d{1,12})")


def seal_checkpoint(folder: Path, key: str) -> None:
    """Make a complete checkpoint of the training `key` count, and delete all but the newest ones."""
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    hashes = {name: file_sha256(file) for name, file in files.items()}
    for path in (*files.values(), *{file.parent for file in files.values()}, folder.parent):
        sync(path)
    write_json(folder / MANIFEST, {"key": key, "files": hashes})
    for old in _checkpoints(folder.parent)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def newest_checkpoint(folder: Path, key: str) -> Path | None:
    """The newest valid checkpoint of the training `key` in `folder`; invalid ones are deleted."""
    newest = None
    for path in _checkpoints(folder):
        if newest is None and _valid(path, key):
            newest = path
        elif newest is None:
            shutil.rmtree(path, ignore_errors=True)
    return newest


def discard_checkpoints(folder: Path, key: str) -> None:
    """Delete all checkpoints of the training `key`, whose result is safe elsewhere."""
    shutil.rmtree(folder / key, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    """Folders named like checkpoints, the newest first."""
    found = [(int(match[1]), item) for item in folder.glob("checkpoint-*") if (match := _NAME.fullmatch(item.name))]
    return [item for _, item in sorted(found, reverse=True)]


def _valid(path: Path, key: str) -> bool:
    """Whether the manifest is there, is about `key`, and names all files with their hashes; no links, nothing more."""
    if path.is_symlink() or any(item.is_symlink() for item in path.rglob("*")):
        return False
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"]
        there = {item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_file()} - {MANIFEST}
        return bool(
            manifest["key"] == key
            and there == set(files)
            and all(file_sha256(path / name) == digest for name, digest in files.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
