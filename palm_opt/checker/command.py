"""The command: two files in, the statement and one line out."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import form, refuse
from .conditional import Answers, check_answers, parse_answers, read_answers
from .exact import Pool, check_exact, parse_exact, read_values
from .gibbs import Scores, check_scores, parse_scores, read_scores
from .reading import load
from .refuse import CertificateParseError, Document, InvalidCertificate
from .statement import Verified
from .statistical import Samples, check_samples, parse_samples, read_samples
from .table import check_file

Subject = Pool | Answers | Scores | Samples

_KINDS: dict[str, tuple[type, Callable[..., None], Callable[..., Subject], Callable[..., Verified]]] = {
    "values": (Pool, parse_exact, read_values, check_exact),
    "answers": (Answers, parse_answers, read_answers, check_answers),
    "scores": (Scores, parse_scores, read_scores, check_scores),
    "samples": (Samples, parse_samples, read_samples, check_samples),
}


def _about(document: dict[str, Any]) -> str:
    """What a certificate speaks of, a key of _KINDS."""
    kind = document.get("kind")
    form.word("exact", "conditional", "statistical")("kind", kind)
    subject = document.get("subject")
    scores = isinstance(subject, dict) and subject.get("type") == "scores"
    return {"exact": "values", "conditional": "scores" if scores else "answers"}.get(str(kind), "samples")


def parse(source: bytes | bytearray | str | dict[str, Any]) -> Document:
    """Check the syntax, the keys and the types of a certificate, the JSON text or the object loaded from it.

    Raises
    ------
    CertificateParseError
        Whatever is wrong; the message says where in the document and what was expected.
    """
    loaded = load(source) if isinstance(source, (bytes, bytearray, str)) else source
    if not isinstance(loaded, dict):
        refuse.expected("certificate", "an object", loaded)
    document = Document(loaded)
    about = _about(document)
    form.integer(1, 2)("version", document.get("version"))
    _KINDS[about][1](document)
    return document


def read_certificate(path: str | Path) -> Document:
    """Read and `parse` a certificate file; the message of a `CertificateParseError` starts with its path."""
    check_file(Path(path), refuse.MAX_BYTES, "certificate: ", pipe=True)
    with Path(path).open("rb") as file:
        content = file.read(refuse.MAX_BYTES + 1)
    try:
        return parse(content)
    except CertificateParseError as error:
        raise CertificateParseError(f"{path}: {error}") from None


def read_subject(path: str | Path, document: Document) -> Subject:
    """Read the file that a certificate of any kind speaks of; raises as `read_values` does."""
    about = _about(document)
    scale = [document["scale"]] if about in ("values", "scores") else []
    return _KINDS[about][2](path, document["subject"], *scale)


def check(document: Document | dict[str, Any], subject: Subject) -> Verified:
    """Check every claim of a certificate, in exact arithmetic or with rounding to the safe side.

    Parameters
    ----------
    document : Document or dict
        The certificate; a dict that does not come from `parse` is parsed first.
    subject : Problem, Answers, Scores or Samples
        What it speaks of, from `read_subject` or made by hand.

    Raises
    ------
    InvalidCertificate
        The first claim that fails. `CertificateParseError` where the document is not a certificate at all, is one
        about another kind of subject, or costs more than the budget of work.
    """
    document = document if type(document) is Document else parse(document)
    about = _about(document)
    kind, _, _, check_kind = _KINDS[about]
    if not isinstance(subject, kind):
        raise CertificateParseError(f"subject: the certificate is about {about}, not about {type(subject).__name__}")
    return check_kind(document, subject)


def verify_files(certificate: str | Path, subject: str | Path) -> Verified:
    """Read both files and `check`; raises as those do."""
    document = read_certificate(certificate)
    return check(document, read_subject(subject, document))


def main(argv: list[str] | None = None) -> int:
    """Check the two files named on the command line; exit code 0 verified, 1 not verified, 2 not checked."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 2 or "-h" in arguments or "--help" in arguments:
        print("usage: python -I checker CERTIFICATE SUBJECT.csv", file=sys.stderr)
        return 2
    try:
        verified = verify_files(*arguments)
    except InvalidCertificate as error:
        print(f"NOT VERIFIED: {error}")
        return 1
    except (CertificateParseError, OSError, MemoryError) as error:
        message = f"NOT CHECKED: {str(error) or 'out of memory'}"
        print(message.encode("ascii", "backslashreplace").decode("ascii").replace("\n", " "), file=sys.stderr)
        return 2
    print(*verified.statement, verified, sep="\n")
    return 0
