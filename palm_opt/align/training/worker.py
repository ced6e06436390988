"""One training run in a process of its own: `python -m palm_opt.align.training.worker TASK.json FOLDER [--watch]`.

TASK.json says which recipe, weight and key (`launchers.process.attempt` writes it); FOLDER is the adapter's folder in a
workplace, which is sealed at the end. Under torchrun every rank trains and the first one seals. With `--watch` the
process ends when its standard input does: a worker does not outlive who started it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from palm_opt.align.training.task import FAULT, describe, places
from palm_opt.errors import PalmError, ProblemError
from palm_opt.portfolio.store import disk_faults, seal

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Train; exit code 0 if the workplace is sealed, 2 after a fault that another attempt would meet again."""
    parser = argparse.ArgumentParser(prog="python -m palm_opt.align.training.worker", description=__doc__)
    parser.add_argument("task", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--watch", action="store_true")
    options = parser.parse_args(arguments)
    if options.watch:
        threading.Thread(target=_watch, daemon=True).start()
    try:
        with disk_faults(options.folder):
            _train(json.loads(options.task.read_text(encoding="utf-8")), options.folder)
    except PalmError as error:
        print(error, file=sys.stderr)
        (options.folder.parent / FAULT).write_text(" ".join(str(error).split()), encoding="utf-8")
        return 2
    return 0


def _watch() -> None:
    while os.read(0, 1):  # nothing is ever sent: it returns when whoever holds the other end is gone
        pass
    os._exit(1)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _train(task: dict[str, Any], folder: Path) -> None:
    from palm_opt.align.policies.base import quiet, require_libraries
    from palm_opt.align.recipe.reading import load_recipe
    from palm_opt.align.training.setup import Setup
    from palm_opt.align.training.train import train_adapter

    recipe, weight = load_recipe(task["recipe"]), [float.fromhex(x) for x in task["weight"]]
    steps = recipe.train.steps_from(task["start"])
    options: dict[str, Any] = {"name": task["name"], **places(Path(task["out"]), task["start"])}
    options["progress"] = lambda point: _say(describe(point, steps))
    require_libraries()
    with contextlib.redirect_stdout(sys.stderr), quiet(recipe.device):
        setup = Setup.load(recipe, _say)
        if setup.key(weight, options["start"]) != task["key"]:
            raise ProblemError(
                f"{recipe.path}: the recipe, its rewards, the prompts or the base model are not those that the run "
                "began with: changed since, or this machine sees other files"
            )
        training = train_adapter(weight, setup, folder, **options)
    if os.environ.get("RANK", "0") == "0":
        seal(folder.parent, task["key"], training)


if __name__ == "__main__":
    sys.exit(main())
