"""The proof checked by the reader's own browser: a checker in JavaScript, certificate and table, all in the report.

`checker.mjs` was written from docs/certificate-format.md alone and shares nothing with the checker in Python; tests
hold the two together. `checking.js` runs it in a worker; the report's policy names its hash and admits no other script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files

__all__ = ["POLICY", "checked_in_browser"]


def _source(name: str) -> str:
    return files("palm_opt.report").joinpath(name).read_text("utf-8")


_RUN = _source("checking.js")
_HASH = base64.b64encode(hashlib.sha256(_RUN.encode()).digest()).decode()
POLICY = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{_HASH}'; worker-src blob:"


def checked_in_browser(certificate: str, table: str) -> str:
    """A line that says what the browser found, and all that it needs; texts of the user cannot end the data block."""
    proof = json.dumps({"certificate": certificate, "table": table}).replace("<", "\\u003c")
    return (
        '<p id="checked" class="note">Where scripts may run, this line says what your browser finds of the proof.</p>\n'
        f'<script type="application/json" id="proof">{proof}</script>\n'
        f'<script type="text/plain" id="checker">{_source("checker.mjs")}</script>\n'
        f"<script>{_RUN}</script>"
    )
