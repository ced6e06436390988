"""Which reward columns are meant, and in which direction: higher is better, unless a name says otherwise."""

from __future__ import annotations

import csv
import io
import re
import shlex
import warnings
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from palm_opt import arguments
from palm_opt.errors import ProblemError, TableWarning

__all__ = ["LOWER", "choose", "lower_is_better", "meant", "uneven"]

#: Words of a column's name that say that lower is better ("price_usd", "latencyMs", "log_loss").
LOWER = frozenset(
    re.findall(
        r"\w+",
        """
    cost costs price prices pricing fee fees expense expenses usd eur dollar dollars cents
    latency delay delays lag time times runtime walltime duration elapsed ttft
    second seconds sec secs ms millis milliseconds minute minutes hours
    error errors err loss losses logloss perplexity ppl nll crossentropy rmse mse mae wer cer fpr fnr
    toxicity toxic hallucination hallucinations violation violations penalty penalties risk
    regret sycophancy harmfulness
    """,
    )
)
#: Words that turn such a name round, or leave it open no more: "neg_price", "time_saved", "cost_efficiency".
_TURNED = frozenset(
    re.findall(
        r"\w+",
        """
    neg negative negated minus inverse inverted reciprocal no non not anti free saved saving savings reduction reduced
    efficiency avoidance avoided resistance robustness
    """,
    )
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_FEW = 12
_SIGNS = {"-": "negates", "+": "says that it is meant"}


def lower_is_better(name: str) -> bool:
    """Whether a column's name says that lower is better."""
    words = {word.lower() for word in _WORD.findall(name)}
    return bool(words & LOWER) and not words & _TURNED


def meant(rewards: Iterable[str]) -> list[str]:
    """Names of rewards, each with its sign: "quality" becomes "+quality", so that no warning is due."""
    return [name if name[:1] in ("-", "+") else f"+{name}" for name in rewards]


def choose(
    source: str,
    known: Sequence[str],
    rewards: Sequence[str] | None,
    others: Sequence[str] = (),
    signed: bool = True,
    noun: str = "column",
) -> list[str]:
    """The rewards of a table, a leading "-" for those to negate.

    Parameters
    ----------
    known : names of all columns. others : those that are no rewards unless named.
    rewards : None: all but the others, if the direction of each is plain. Else names: "-cost" negates, "+cost" is
        taken as written, "cost" too, with a warning; "+" stands for all that are not named, as written.
    signed : whether the table's rewards may be negated, noun : what they are called: both for what messages say.

    Raises
    ------
    ProblemError : a direction is not plain, an unknown name, no rewards at all.
    """
    rest = [name for name in known if name not in others]
    if rewards is None:
        _refuse_lower(source, rest, signed)
        wanted = rest
    else:
        named = [str(name) for name in arguments.items("rewards", rewards, "a sequence of column names")]
        taken = {name.removeprefix("-").removeprefix("+") for name in named}
        rest = [name for name in rest if name not in taken]
        wanted = [plain for name in named for plain in (rest if name == "+" else [name.removeprefix("+")])]
        for name in named:
            if lower_is_better(name) and name[0] not in "+-":
                text = f"{source}: {name!r} is taken as written, higher is better: write -{name} or +{name}"
                warnings.warn(text, TableWarning, stacklevel=5)
    if not wanted:
        raise ProblemError(f"{source}: no reward columns named")
    have = set(known)
    for name in wanted:
        plain = name.removeprefix("-")
        if plain not in have or (rewards is None and name[:1] in ("-", "+")):
            for odd in (plain, f"-{plain}", f"+{plain}"):
                if odd in have and odd[:1] in ("-", "+"):
                    raise ProblemError(
                        f"{source}: column {odd!r}: a leading {odd[0]!r} {_SIGNS[odd[0]]}: rename the column"
                    )
            raise ProblemError(f"{source}: no {noun} {plain!r}; {arguments.choices(plain, known)}")
    return wanted


def _refuse_lower(source: str, names: Sequence[str], signed: bool) -> None:
    lower = [name for name in names if lower_is_better(name)]
    if not lower:
        return
    shown = ", ".join(map(repr, lower[:_FEW])) + (", ..." if len(lower) > _FEW else "")
    sign = "-" if signed else "+"
    line = [f"{sign}{name}" if name in lower else name for name in names]
    if len(names) > _FEW:
        line = ["+", *(f"{sign}{name}" for name in lower[:_FEW])]
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(line)
    mend = "+ for - where higher is better" if signed else "if higher is better; else negate numbers and range"
    raise ProblemError(
        f"{source}: by its name lower is better in {shown}: name the rewards with their signs, --rewards "
        f"{shlex.quote(stream.getvalue())} ({mend})"
    )


def uneven(rewards: Sequence[str], low: ArrayLike, high: ArrayLike) -> str | None:
    """What to say of rewards that are weighed against each other although their ranges differ a hundredfold."""
    with np.errstate(over="ignore"):
        width = np.minimum(np.asarray(high, dtype=np.float64) - np.asarray(low, dtype=np.float64), 1e308)
    if not (width > 0).any():
        return None
    narrow, wide = int(np.where(width > 0, width, np.inf).argmin()), int(width.argmax())
    if not width[wide] / 100 >= width[narrow]:
        return None
    times = float(f"{1 / max(width[narrow] / width[wide], 1e-300):.2g}")
    return (
        f"{rewards[wide]!r} ranges {times:g} times as wide as {rewards[narrow]!r}, and weights treat a unit of both "
        "alike: --scale minmax (scale=) puts them on one scale"
    )
