"""A key of a recipe: its text, default and range stand as metadata of the dataclass field that holds it."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Any

__all__ = ["REQUIRED", "Setting", "choice", "key", "number", "settings_of"]

REQUIRED = dataclasses.MISSING  #: default of a setting that has none
_KINDS = {"str": str, "int": int, "float": float, "bool": bool}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key of a recipe. `allowed`: the choices of a text, or the (low, high) of a number, both included."""

    key: str
    kind: type[str] | type[int] | type[float] | type[bool]
    default: Any
    allowed: tuple[Any, ...]
    text: str

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return "one of " + ", ".join(map(repr, self.allowed)) if self.allowed else "a non-empty text"
        noun = "an integer" if self.kind is int else "a number"
        low, high = self.allowed
        if math.inf in (-low, high):
            return f"{noun} >= {low}" if low > -math.inf else f"a finite {noun[2:]}"
        return f"{noun} from {low} to {high}"

    @property
    def name(self) -> str:
        """The key without its section."""
        return self.key.rpartition(".")[2]

    @property
    def shown(self) -> str:
        """The default as it would stand in the file."""
        if self.default is REQUIRED:
            return "required"
        return str(self.default).lower() if self.kind is bool else repr(self.default).replace("'", '"')

    def accepts(self, value: Any) -> bool:
        """Whether a value from TOML is of the right type and allowed."""
        if self.kind is bool:
            return isinstance(value, bool)
        if self.kind is str:
            return isinstance(value, str) and bool(value.strip()) and (not self.allowed or value in self.allowed)
        types = int if self.kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, types):
            return False
        low, high = self.allowed
        return bool(low <= value <= high and abs(value) <= sys.float_info.max)


def key(text: str, default: Any = REQUIRED, allowed: tuple[Any, ...] = ()) -> Any:
    """A field that is a key of the recipe: a text or a truth value, unless `allowed` says more (see `Setting`)."""
    return dataclasses.field(default=default, metadata={"text": text, "allowed": allowed})


def choice(text: str, names: str) -> Any:
    """A key with one of a few words, the first by default."""
    allowed = tuple(names.split())
    return key(text, allowed[0], allowed)


def number(text: str, default: float, low: float = 0, high: float = math.inf) -> Any:
    """A key with an integer or a number from `low` to `high`, both included."""
    return key(text, default, (low, high))


def settings_of(section: str, holder: type) -> list[Setting]:
    """The settings among the fields of a dataclass, in their order; `section` is empty for keys at the top."""
    return [
        Setting(f"{section}.{x.name}".lstrip("."), _KINDS[str(x.type)], x.default, **x.metadata)
        for x in dataclasses.fields(holder)
        if x.metadata
    ]
