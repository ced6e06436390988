"""The exceptions of palm_opt. Misuse raises; limits and infeasibility are statuses of a result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from palm_opt.checker import CertificateParseError, InvalidCertificate, PalmError

__all__ = [
    "BackendError",
    "BackendNotFound",
    "CertificateParseError",
    "InvalidCertificate",
    "PalmError",
    "ProblemError",
    "RecipeError",
    "StoreError",
    "TableWarning",
]


class ProblemError(PalmError, ValueError):
    """The input is not a problem: the message names the array or file and row, what was expected, what came."""


class BackendNotFound(PalmError, ImportError):
    """A backend's library is not installed: the message gives the pip command."""


class BackendError(PalmError):
    """A backend failed; the library's own exception is chained."""


class RecipeError(PalmError, ValueError):
    """A recipe is wrong: the message lists every fault with its key; `faults` has them one by one."""

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults) or (message,)

    @classmethod
    def of(cls, path: Path, faults: Sequence[str]) -> RecipeError:
        """The error for the faults of one file."""
        return cls(f"{path}: " + "; ".join(faults), faults)


class StoreError(PalmError):
    """A portfolio directory is damaged, unsafe or written by a different recipe."""


class TableWarning(UserWarning):
    """What reading a table assumed, dropped or filled: one line that names the file."""
