"""Arrays of an npz file: only those named, checked by their headers before anything is decoded, never unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from palm_opt.arguments import repeated
from palm_opt.errors import ProblemError

__all__ = ["npz_names", "read_npz", "texts"]

_NUMBERS, _TEXTS = "fiub", "USfiub"  # kinds of dtype


def npz_names(source: Path | IO[bytes], name: str) -> list[str]:
    """The names of the arrays in an npz file."""
    try:
        with zipfile.ZipFile(source) as archive:
            return _entries(archive, name)
    except ProblemError:
        raise
    except Exception as error:  # zipfile raises what it likes over a damaged file
        raise _damaged(name, error) from error


def read_npz(
    source: Path | IO[bytes], name: str, numbers: Collection[str], labels: Iterable[str], most: int, larger: str
) -> dict[str, NDArray[Any]]:
    """Those arrays of an npz file that are there.

    Parameters
    ----------
    source, name : the file, and what messages call it.
    numbers, labels : arrays that may hold numbers only, or also texts. Of `numbers` the first is mapped, not copied,
        where it is stored without compression in a file on disk.
    most : bytes that an array may have; `larger` says so of one that has more.
    """
    found: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            have = _entries(archive, name)
            for key in (*numbers, *labels):
                if key not in have:
                    continue
                entry = archive.getinfo(f"{key}.npy")
                mapped = key == next(iter(numbers)) and isinstance(source, Path) and _stored(entry)
                if entry.file_size > most and not mapped:
                    raise ProblemError(f"{name}: {key}: {larger}")
                with archive.open(entry) as stream:
                    shape, order, dtype, offset = _header(stream, key)
                    if dtype.kind not in (_NUMBERS if key in numbers else _TEXTS):
                        raise ProblemError(f"{name}: {key}: expected numbers, got {dtype}" + _complex(dtype))
                    if offset + _size(shape) * dtype.itemsize != entry.file_size:
                        raise ValueError(f"{key} is not {shape} of {dtype}, as its header says")
                    if mapped and _size(shape):
                        start = _start(source, entry) + offset  # type: ignore[arg-type]
                        found[key] = np.memmap(source, dtype, "r", start, shape, "F" if order else "C")
                        continue
                    data = stream.read()
                flat = np.frombuffer(data, dtype)
                found[key] = flat.reshape(shape[::-1]).T if order else flat.reshape(shape)
    except ProblemError:
        raise
    except Exception as error:
        raise _damaged(name, error) from error
    return found


def texts(labels: NDArray[Any] | None) -> list[str] | None:
    """An array of names as a list."""
    if labels is None:
        return None
    return [
        item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in labels.ravel().tolist()
    ]


def _damaged(name: str, error: Exception) -> ProblemError:
    return ProblemError(f"{name}: cannot be read as npz: {' '.join(str(error).split())}")


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _stored(entry: zipfile.ZipInfo) -> bool:
    return entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1


def _complex(dtype: np.dtype[Any]) -> str:
    return " (complex)" if dtype.kind == "c" else ""


def _entries(archive: zipfile.ZipFile, name: str) -> list[str]:
    names = archive.namelist()
    twice = repeated(names)
    if twice is not None:
        raise ProblemError(f"{name}: the entry {twice!r} occurs twice")
    return [entry.removesuffix(".npy") for entry in names]


def _header(stream: IO[bytes], key: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether in Fortran order, dtype, and where the numbers begin."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{key} has format {version}, expected (1, 0) or (2, 0)")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, order, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError(f"{key} holds Python objects, which are never unpickled (allow_pickle=False)")
    if min(shape, default=1) < 0:
        raise ValueError(f"{key} has shape {shape}")
    return shape, order, dtype, stream.tell()


def _start(path: Path, entry: zipfile.ZipInfo) -> int:
    """Where the bytes of an entry that is stored without compression begin."""
    with path.open("rb") as stream:
        stream.seek(entry.header_offset + 26)
        lengths = stream.read(4)
    return entry.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
