"""What a check has proved: in plain words, as the last line of the checker, and for JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .reading import about, plain, rational, show

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
MOST_NAMED = 10  # names in one sentence


@dataclass(frozen=True)
class Verified:
    """What an exact check has proved. `str()` is the last line of the checker, `statement` says it in plain words."""

    kind: str  # "exact": about a finite pool; "conditional": under `details`; "statistical": with confidence 1 - alpha
    members: int  # size of the portfolio; 0 where it is proved that there is none
    cost: Fraction  # sum of the costs of the members
    lower_bound: Fraction | float  # what every portfolio costs at least; math.inf where there is none
    epsilon: float  # the tolerances at which the portfolio serves every weight
    delta: float
    sha256: str  # of the subject
    details: dict[str, Any] = field(
        default_factory=dict
    )  # rewards, scale; on what it is conditional, how it was sampled
    statement: tuple[str, ...] = ()  # sentences

    def __str__(self) -> str:
        fields = {name: value for name, value in self.as_dict().items() if name not in ("verified", "statement")}
        return "VERIFIED " + " ".join(f"{name}={_word(name, value)}" for name, value in fields.items())

    def as_dict(self) -> dict[str, Any]:
        """The fields for JSON: a number is an int, a float that means exactly it, or else a text."""
        return {
            "verified": True,
            "kind": self.kind,
            "members": self.members,
            "cost": plain(self.cost),
            "lower_bound": "infinity" if self.lower_bound == math.inf else plain(Fraction(self.lower_bound)),
            "epsilon": self.epsilon,
            "delta": self.delta,
            **self.details,
            "sha256": self.sha256,
            **({"statement": list(self.statement)} if self.statement else {}),
        }


def _word(name: str, value: Any) -> str:
    """A value in the last line: unambiguous, ASCII, without blanks."""
    if isinstance(value, list):
        if name == "scale" and value.count(value[0]) == len(value):
            value = value[:1]
        return ",".join(":".join(map(str, x)) if isinstance(x, list) else _word(name, x) for x in value)
    if isinstance(value, str):
        octets = ((c, c.encode("utf-8", "surrogatepass")) for c in value)
        return "".join(c if c in _UNRESERVED else "".join(f"%{octet:02X}" for octet in code) for c, code in octets)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


# Words


def listed(names: Sequence[str], none: str = "none") -> str:
    """Names in a sentence; of many how many, and the first ten."""
    words = [name if name.isascii() and name.isprintable() and len(name) <= 60 else show(name) for name in names]
    if len(words) > MOST_NAMED:
        return f"{len(words)}: {', '.join(words[:MOST_NAMED])} and {len(words) - MOST_NAMED} more"
    return " and ".join([", ".join(words[:-1]), words[-1]][len(words) < 2 :]) if words else none


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def rewards_in_words(rewards: Sequence[str]) -> str:
    """The rewards, with their direction where a `-` negates them."""
    plus = [f"{name} (higher is better)" for name in rewards if not name.startswith("-")]
    minus = [f"{name[1:]} (lower is better)" for name in rewards if name.startswith("-")]
    return listed(plus + minus)


def promise(size: str, epsilon: Fraction, delta: Fraction, best: str) -> str:
    """The sentence on quality."""
    share = "" if not epsilon else f"{plain(1 - epsilon)} times "
    less = f", less {plain(delta)}" if delta else ""
    return (
        f"For every preference (weights of the rewards, at least 0 and with sum 1), {size} has at least"
        f" {share}the weighted value of {best}{less}."
    )


def scale_in_words(
    rewards: Sequence[str], scale: Sequence[Any], ends: Sequence[tuple[Fraction, Fraction]], delta: Fraction
) -> str:
    """The scale of each reward, and what delta is in its own units; `ends` are those of minmax columns."""
    parts = []
    for name, entry, (low, high) in zip(rewards, scale, ends, strict=True):
        own = listed([name.removeprefix("-")])
        if entry == "none":
            parts.append(f"{own} as it is (delta is {plain(delta)} of it)")
        elif entry == "log":
            factor = 10.0 ** float(delta * (high - low)) if high - low < 300 and delta < 1 else math.inf
            parts.append(
                f"log10 {own} from {plain(low)} to {plain(high)} as 0 to 1 (delta is a factor of about {factor:.4g})"
            )
        else:
            low, high = (low, high) if entry == "minmax" else map(rational, entry)
            how = "its extremes" if entry == "minmax" else "declared"
            parts.append(
                f"{own} from {plain(low)} to {plain(high)} ({how}) as 0 to 1 (delta is {about(delta * (high - low))} of it)"
            )
    return f"Scale: {'; '.join(parts[:MOST_NAMED])}{'; ...' if len(parts) > MOST_NAMED else ''}."
