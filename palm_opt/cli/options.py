"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import enum
import functools
import inspect
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from palm_opt.tables.reading import File
    from palm_opt.tables.scales import Scale
    from palm_opt.tables.values import ValueMatrix

__all__ = [
    "Cost",
    "DefaultDelta",
    "Delta",
    "Epsilon",
    "Form",
    "Id",
    "Json",
    "Members",
    "Rewards",
    "ScaleText",
    "Seed",
    "Threads",
    "TimeLimit",
    "Values",
    "Vary",
    "Wide",
    "candidates",
    "check_outputs",
    "check_vary",
    "given",
    "names",
    "of_a_column",
    "read_values",
    "reads_table",
    "scale",
    "warn_of_units",
    "weight",
]


class Vary(enum.StrEnum):
    """The tolerance to minimise; the other one stays fixed."""

    EPSILON = "epsilon"
    DELTA = "delta"


class Missing(enum.StrEnum):
    """What becomes of gaps."""

    ERROR = "error"
    DROP = "drop"
    WORST = "worst"


Form = dict[str, Any]  #: how a table is written: keywords of the readers
Values = Annotated[
    Path, typer.Argument(metavar="VALUES", help="Values file: .csv, .tsv, .parquet or .npz; - for stdin.")
]
Rewards = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Reward columns, higher is better; -latency negates, +cost says that it is meant, + stands for all "
        "others. Default: all but id and cost, unless a name says that lower is better.",
    ),
]
Id = Annotated[str | None, typer.Option("--id", metavar="COL", help="Column of names. Default: rows numbered from 0.")]
ScaleText = Annotated[
    str | None,
    typer.Option(
        "--scale",
        metavar="SCALE",
        help="none, minmax, log (minmax of logarithms) or LO:HI in the column's own units before a leading - negates"
        " it: one for all rewards, or one per reward with commas in between.",
    ),
]
Cost = Annotated[str | None, typer.Option(metavar="COL", help="Column of costs >= 0. Default: each costs 1.")]
Epsilon = Annotated[float | None, typer.Option(metavar="E", help="Relative tolerance, 0 <= E < 1.")]
Delta = Annotated[float | None, typer.Option(metavar="D", help="Absolute tolerance in units of the scale.")]
DefaultDelta = Annotated[
    float | None,
    typer.Option(
        "--delta", metavar="D", help="Absolute tolerance in units of the scale. Default: 0.02, also beside --epsilon."
    ),
]
TimeLimit = Annotated[float | None, typer.Option(metavar="S", help="Seconds; the incumbent is returned then.")]
Seed = Annotated[int | None, typer.Option(metavar="N", min=0, max=2**31 - 1, help="Seed of every random choice.")]
Threads = Annotated[int | None, typer.Option(metavar="N", min=0, help="Threads; 0 for all cores.")]
Members = Annotated[str, typer.Option(metavar="X,Y", help="Names of the portfolio's members.")]
Wide = Annotated[
    bool,
    typer.Option(
        "--wide", help="Samples with one column a candidate, and a row for each prompt and reward (column reward)."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]


def given(**options: Any) -> dict[str, Any]:
    """Keep the options that the user gave: defaults live in the Python functions, in one place."""
    return {name: value for name, value in options.items() if value is not None}


def names(text: str | None, option: str) -> list[str] | None:
    """Split a comma-separated list; a name that holds a comma is put in double quotes, as in CSV."""
    if text is None:
        return None
    import csv

    try:
        row = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error:
        row = []
    result = [cell.strip() for cell in row if cell.strip()]
    if not result:
        raise typer.BadParameter(f"{option}: expected comma-separated names, got {text!r}")
    return result


def scale(text: str | None) -> Scale | None:
    """Read none, minmax, log or LO:HI, or one of them per reward with commas in between."""
    from palm_opt.errors import ProblemError
    from palm_opt.tables import scales

    try:
        return None if text is None else scales.parse(text)
    except ProblemError as error:
        raise typer.BadParameter(f"--{error}") from None


def _form(
    missing: Annotated[
        Missing | None,
        typer.Option(
            help="Gaps: refuse them, drop their candidates (of scores: responses), or count them as the worst."
        ),
    ] = None,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="The columns have no names: they are c1, c2, ...")
    ] = False,
    separator: Annotated[
        str | None, typer.Option(metavar="CHAR", help="Between cells of a CSV file, like ';' or tab. Default: a comma.")
    ] = None,
    decimal: Annotated[str | None, typer.Option(metavar="CHAR", help="Decimal mark of a CSV file: . or ,")] = None,
) -> Form:
    found = given(missing=None if missing is None else missing.value, separator=separator, decimal=decimal)
    return found | ({"header": False} if no_header else {})


def reads_table(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of how a table is written; it gets them as `form`."""
    own, shared = inspect.signature(command, eval_str=True), inspect.signature(_form, eval_str=True)

    @functools.wraps(command)
    def run(**options: Any) -> None:
        form = _form(**{name: options.pop(name) for name in shared.parameters})
        command(**options, form=form)

    *first, last = (parameter for name, parameter in own.parameters.items() if name != "form")  # --json stays the last
    parameters = [*first, *shared.parameters.values(), last]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__
    return run


def check_vary(vary: Vary, epsilon: float | None, delta: float | None) -> None:
    """Refuse a value for the tolerance that is to be found."""
    if (epsilon if vary is Vary.EPSILON else delta) is not None:
        raise typer.BadParameter(f"--{vary.value} is what --vary {vary.value} finds: leave it out")


def check_outputs(*paths: Path | None) -> None:
    """Refuse files that cannot be written, before a long solve."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise typer.BadParameter(f"{path} is a directory, expected a file name")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise typer.BadParameter(f"{path}: {folder} is not a folder that can be written to")


def weight(text: str) -> dict[str, float]:
    """Read helpful=0.6,harmless=0.4."""
    result: dict[str, float] = {}
    for part in names(text, "--weight") or []:
        name, equals, amount = part.rpartition("=")
        try:
            if not equals or name in result:
                raise ValueError
            result[name] = float(amount)
        except ValueError:
            raise typer.BadParameter(f"--weight: expected helpful=0.6,harmless=0.4, got {text!r}") from None
    return result


def read_values(
    path: Path | File,
    id: str | None,
    rewards: str | None,
    cost: str | None,
    scale_text: str | None,
    form: Form | None = None,
    as_written: bool = False,
) -> ValueMatrix:
    """Read the values file as the options say; rewards whose units differ too much are warned of.

    as_written : the numbers are only passed on: in which direction they are better plays no part.
    """
    from palm_opt.errors import ProblemError
    from palm_opt.tables.values import ValueMatrix

    chosen = names(rewards, "--rewards") or (["+"] if as_written else None)
    options = given(id=id, rewards=chosen, cost=cost, scale=scale(scale_text))
    try:
        values = ValueMatrix.read(path, **options, **(form or {}))
    except ProblemError as error:
        if rewards is None and of_a_column(error):
            ids = " and the names with --id" if id is None else ""
            raise ProblemError(f"{error}; name the reward columns with --rewards{ids}") from None
        raise
    if not as_written:
        warn_of_units(values.rewards, values.scale, values.array.min(axis=0), values.array.max(axis=0))
    return values


def of_a_column(error: Exception) -> bool:
    """Whether a refusal says that a column holds no numbers."""
    return re.search("column '.*expected (a finite number|numbers)$", str(error)) is not None


def warn_of_units(rewards: Sequence[str], scale: Any, low: Any, high: Any) -> None:
    """Warn of rewards that are weighed as they are although their ranges (d lows, d highs) differ a hundredfold."""
    import warnings

    from palm_opt.errors import TableWarning
    from palm_opt.tables.directions import uneven

    told = uneven(rewards, low, high) if "none" in (scale if isinstance(scale, tuple) else (scale,)) else None
    if told is not None:
        warnings.warn(told, TableWarning, stacklevel=3)


def candidates(values: ValueMatrix, text: str | None, option: str) -> Sequence[str] | None:
    """Names of candidates from an option; checked, so that the message names the values file's candidates."""
    items = names(text, option)
    if items is not None:
        for item in items:
            values.index(item)
    return items
