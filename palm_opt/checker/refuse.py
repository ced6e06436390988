"""What a checker refuses with: its errors, its limits, its budget of work, and values in messages.

Every input is taken as hostile: the only exceptions are `CertificateParseError` and `InvalidCertificate` (and OSError
where a file cannot be opened).
"""

from typing import Any, NoReturn

MAX_BYTES = 1 << 27  # of a certificate
MAX_VALUES_BYTES = 1 << 31  # of a subject file
MAX_LINE = 1 << 24  # characters of one line of it
MAX_DIGITS = 4_000  # of one integer
MAX_NUMBER_TEXT = 4_096  # characters of one number in a subject file
MAX_WEIGHTS = 100_000
MAX_TREE_DEPTH = 10_000
MAX_DENOMINATOR_BITS = 1 << 18  # of the common denominator of the y of one leaf
MAX_PACKED_BYTES = 1 << 29  # of one long integer with a field for each row
MAX_WORK = 40_000_000_000  # of reading a subject, and again of a check: about a nanosecond each

INTEGER_LIMIT = 10**MAX_DIGITS


class PalmError(Exception):
    """Base of every error that palm_opt raises on purpose."""


class CertificateParseError(PalmError, ValueError):
    """A file or document is not what it should be: the message says where and what was expected."""


class BeyondLimits(CertificateParseError):
    """More than this checker does: a cap on sizes, or the budget of work."""


class InvalidCertificate(PalmError, ValueError):
    """A claim of a well-formed certificate does not hold: the message says which, with indices and names."""


class Document(dict[str, Any]):
    """A certificate whose syntax and types `parse` has checked. The claims in it are still only claims."""


class Work:
    """A budget of counted operations, so that no file takes more than a minute or so."""

    def __init__(self) -> None:
        self.left = MAX_WORK

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise BeyondLimits(f"it takes more than {MAX_WORK} operations, which is beyond this checker")


def need(holds: bool, message: str) -> None:
    """Refuse a certificate with a claim that does not hold."""
    if not holds:
        raise InvalidCertificate(message)


def show(value: Any) -> str:
    """A value in a message: short, one line, ASCII, whatever it is."""
    if isinstance(value, str):
        return ascii(value) if len(value) <= 60 else ascii(value[:60]) + "..."
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 64):
        return str(value)
    return f"a {type(value).__name__}"


def expected(where: str, what: str, got: Any) -> NoReturn:
    raise CertificateParseError(f"{where}: expected {what}, got {show(got)}")
