"""The exact checker of certificates: standard library only, shares no code with the solver, runs from a copy alone."""

from .command import Subject, check, main, parse, read_certificate, read_subject, verify_files
from .conditional import Answers, read_answers
from .exact import read_values
from .gibbs import Scores, read_scores
from .memory import Problem
from .refuse import BeyondLimits, CertificateParseError, Document, InvalidCertificate, PalmError
from .statement import Verified
from .statistical import Samples, read_samples

__all__ = ["Answers", "BeyondLimits", "CertificateParseError", "Document", "InvalidCertificate", "PalmError", "Problem"]
__all__ += ["Samples", "Scores", "Subject", "Verified", "check", "main", "parse", "read_answers"]
__all__ += ["read_certificate", "read_samples", "read_scores", "read_subject", "read_values", "verify_files"]
