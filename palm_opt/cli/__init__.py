"""The command line `palm-opt`. Exit codes: 0 done, 1 the claim does not hold, 2 bad usage or input, 130 interrupted."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import typer

from palm_opt.cli import alignment, measures, planning, sampling, solving
from palm_opt.cli.output import alone_on_stdout, emit_error, open_streams, tell_warnings
from palm_opt.errors import InvalidCertificate, PalmError

__all__ = ["app", "main"]

_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]  # ClickException, whichever click typer carries

app = typer.Typer(
    name="palm-opt",
    help="The smallest portfolio of LLMs that serves every preference, with proof.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
recipe_app = typer.Typer(help="Check training recipes.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def _root(context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        from palm_opt import __version__

        typer.echo(f"palm-opt {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _command in (
    solving.solve,
    solving.certify,
    solving.verify,
    solving.frontier,
    solving.compare,
    measures.metrics,
    measures.baseline,
    measures.export,
    planning.plan,
    sampling.certify_samples,
    alignment.align,
    alignment.run,
    alignment.route,
    alignment.report,
):
    app.command()(alone_on_stdout(_command))
recipe_app.command("check", cls=alignment.WithKeys)(alone_on_stdout(alignment.check))
app.add_typer(recipe_app, name="recipe")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    open_streams()
    tell_warnings()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started it with SIGINT ignored
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name="palm-opt", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has gone: not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        code = _fail("interrupted", 130)
    except typer.Abort:
        code = _fail("interrupted", 130)
    except InvalidCertificate as error:
        code = _fail(f"not verified: {error}", 1)
    except (PalmError, OSError) as error:
        code = _fail(_message(error), 2)
    except MemoryError:
        code = _fail("not enough memory for this input", 2)
    except _USAGE_ERROR as error:
        code = _fail(f"{_usage(error)} (palm-opt COMMAND --help lists the options)", 2)
    except Exception as error:
        if os.environ.get("PALM_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}"
        code = _fail(f"internal error: {what} (please report it; PALM_DEBUG=1 shows where it happened)", 2)
    sys.exit(code or 0)


def _usage(error: Exception) -> str:
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return "missing command" if message.startswith("Usage:") else message.rstrip(".")


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{'output' if error.filename is None else error.filename}: {error.strerror.lower()}"
    return str(error) or type(error).__name__


def _fail(message: str, code: int) -> int:
    emit_error(f"error: {message}")
    return code
