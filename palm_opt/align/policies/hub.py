"""Models by folder or hub name: always a local folder in the end, always hashed, never with code or pickles."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from palm_opt.errors import RecipeError
from palm_opt.storage import file_sha256

__all__ = ["find_model", "folder_sha256"]

_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]  # nothing that is unpickled


def find_model(name: str, revision: str, beside: Path, offline: bool = False) -> tuple[Path, str | None]:
    """Folder of a model, and its commit where it came from the hub.

    A folder is looked up in `beside` first. With `offline` only what was downloaded before is found.

    Raises
    ------
    RecipeError : there is neither such a folder nor such a model, or it has no .safetensors file.
    """
    folder, commit = beside / Path(name).expanduser(), None
    if not folder.is_dir():
        try:
            folder = _download(name, revision, offline)
        except Exception as error:
            reason = str(error).split("\n")[0]
            raise RecipeError(f"no folder {name}, and the hub gave none: {reason}") from error
        commit = folder.name
    if not list(folder.glob("*.safetensors")):
        raise RecipeError(f"no .safetensors file in {folder}")
    return folder, commit


@lru_cache(maxsize=64)
def _download(name: str, revision: str, offline: bool) -> Path:
    """Folder of a hub model; once a process, so that a branch that moves does not change the model in between."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, revision=revision, allow_patterns=_PATTERNS, local_files_only=offline))


def folder_sha256(folder: Path) -> str:
    """SHA-256 of the names and bytes of a model's files."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.is_file() and any(file.match(pattern) for pattern in _PATTERNS):
            status = file.stat()
            digest.update(f"{file.name}\n{_hash(file, status.st_size, status.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=4096)
def _hash(file: Path, _size: int, _time: int) -> str:
    """Hash of a file, once a process as long as its size and time stay: models are large and asked for often."""
    return file_sha256(file)
