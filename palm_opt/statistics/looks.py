"""Looks at certification prompts: what is left of alpha when the same prompts certify again (docs/theory.md, L10)."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from palm_opt.errors import ProblemError
from palm_opt.storage import locked, read_bytes, write_json

__all__ = ["Ledger", "level_of_look"]

_FORMAT = "palm_opt ledger"
_LARGEST = 2**30  # bytes
_UNDECLARED = (
    "these samples have certified before: certificates on the same prompts hold with probability 1 - alpha each, not"
    " together; declare look=1, 2, ... or give a ledger"
)


def level_of_look(alpha: float, look: int) -> float:
    """The part of alpha that a look may spend: all of it for look 0, the only one; else alpha / (look (look + 1)).

    The parts of looks 1, 2, 3, ... sum to alpha, however many there will be.
    """
    return alpha if look == 0 else alpha / (look * (look + 1))


class Ledger:
    """Which prompts (or clusters) have certified, at which look, and what.

    A second claim on prompts that have certified before needs a greater look number, and so a smaller part of alpha:
    all claims then hold together with probability 1 - alpha, as long as what earlier looks showed did not shape what is
    claimed at later ones (docs/statistics.md). The same claim on the same data again is no new look: it has the same
    answer.

    Parameters
    ----------
    path : a JSON file that is read again, under a lock (PATH.lock), and rewritten before each new look is taken: a look
        counts even if the program dies on it, and for all who have the file open; None keeps the ledger in memory. One
        ledger for one set of prompts: it knows them by name.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.looks: list[dict[str, Any]] = []
        self._read_again()

    def _read_again(self) -> None:
        if self.path is not None and self.path.exists():
            self.looks = _read(self.path)
        elif self.path is not None and self.looks:
            raise ProblemError(f"{self.path}: removed, with looks that were taken; put it back")

    def open(self, names: Iterable[str], claim: str, look: int | None, undeclared: bool = False) -> int:
        """Record a look at the named prompts or clusters before it is taken, and return its number.

        `claim` is a text that says what is asked of which data. `look` None takes the next number; 0 says that these
        prompts are opened once and never again; where the user did not say so (`undeclared`) a second such look warns.

        Raises
        ------
        ProblemError : the number is not above that of an earlier look at some of these prompts.
        """
        units = sorted(hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16] for name in names)
        digest = hashlib.sha256(claim.encode("utf-8", "surrogatepass")).hexdigest()
        with ExitStack() as stack:
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(f"{self.path}.lock"))
                self._read_again()
            known = set(units)
            before = [entry for entry in self.looks if not known.isdisjoint(entry["units"])]
            for entry in before:
                if entry["claim"] == digest and look in (None, entry["look"]):
                    return int(entry["look"])
            last = max((entry["look"] for entry in before), default=None)
            if look is None:
                look = 1 if last is None else last + 1
            if last == 0 or (last is not None and look <= last):
                if last == 0 and undeclared:
                    warnings.warn(_UNDECLARED, stacklevel=3)
                    return 0
                done = "were opened once and for all (look 0)" if last == 0 else f"had look {last}"
                raise ProblemError(
                    f"look: some of these certification prompts {done}; count the looks from the first one on (look=1,"
                    " 2, ..., or a ledger), each greater than the last, or certify on other prompts"
                )
            looks = [*self.looks, {"look": look, "claim": digest, "units": units}]
            if self.path is not None:
                document = {"format": _FORMAT, "version": 1, "looks": looks, "sha256": _sha256(looks)}
                write_json(self.path, document, compact=True)
            self.looks = looks
            return look


def _sha256(looks: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(looks, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(read_bytes(path, _LARGEST))
        looks = list(document["looks"])
        good = document["format"] == _FORMAT and document["version"] == 1 and document["sha256"] == _sha256(looks)
        for entry in looks:
            good = good and type(entry["look"]) is int and entry["look"] >= 0 and isinstance(entry["claim"], str)
            good = good and all(isinstance(unit, str) for unit in entry["units"])
    except ProblemError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        good, looks = False, []
    if not good:
        raise ProblemError(f"{path}: expected a ledger of looks written by palm_opt, and whole")
    return looks
