"""The exceptions of palm_opt. Misuse raises; limits and infeasibility are statuses of a result."""

from palm_opt.certificate import CertificateParseError, InvalidCertificate

__all__ = [
    "BackendError",
    "BackendNotFound",
    "CertificateParseError",
    "InvalidCertificate",
    "PalmError",
    "ProblemError",
    "RecipeError",
    "StoreError",
]


class PalmError(Exception):
    """Base of every error that palm_opt raises on purpose."""


class ProblemError(PalmError, ValueError):
    """The input is not a problem: the message names the array or file and row, what was expected, what came."""


class BackendNotFound(PalmError, ImportError):
    """A backend's library is not installed: the message gives the pip command."""


class BackendError(PalmError):
    """A backend failed; the library's own exception is chained."""


class RecipeError(PalmError, ValueError):
    """A recipe is wrong: the message lists every fault with its key."""


class StoreError(PalmError):
    """A portfolio directory is damaged, unsafe or written by a different recipe."""
