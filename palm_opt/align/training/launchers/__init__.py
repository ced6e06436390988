"""Launchers: where training runs happen. Each is one file here and one line in `REGISTRY`.

To add one, write NAME.py with a context manager `launch(site)`. Its value hands out a task: `submit(task)` gives a
future whose result is the sealed workplace of the training run, a folder that `store.new_workplace(site.root)` made,
perhaps on another machine that sees the same files; `process.attempt` does one in a fresh process. The future raises
PalmError for a fault that would come again; what may pass (a worker was killed) the launcher tries `launch.retries`
times more. On leaving, nothing that it started may still run. Then add its line here, and its name to the choices of
`launch.how` in recipe/declaration.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path

from palm_opt.align.training.task import Site, Task

__all__ = ["REGISTRY", "Launcher", "Submit", "launcher"]

REGISTRY = {
    "inline": "palm_opt.align.training.launchers.inline",
    "process": "palm_opt.align.training.launchers.process",
    "ray": "palm_opt.align.training.launchers.ray",
}
Submit = Callable[[Task], "Future[Path]"]
Launcher = Callable[[Site], AbstractContextManager[Submit]]


def launcher(name: str) -> Launcher:
    """The `launch` function of a launcher."""
    launch: Launcher = importlib.import_module(REGISTRY[name]).launch
    return launch
