"""One training run after the other in this process: the libraries and the model's files are loaded already."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from palm_opt.align.training.task import Site, Task, describe, places
from palm_opt.errors import PalmError
from palm_opt.portfolio import store

__all__ = ["launch"]

_QUIET = 30.0  # seconds between two lines about a training


@contextmanager
def launch(site: Site) -> Iterator[Callable[[Task], Future[Path]]]:
    """Handing a task out does it."""

    def submit(task: Task) -> Future[Path]:
        future = Future[Path]()
        try:
            future.set_result(_train(site, task))
        except PalmError as error:
            future.set_exception(error)
        return future

    yield submit


def _train(site: Site, task: Task) -> Path:
    from palm_opt.align.training.train import train_adapter

    said, steps = time.monotonic(), site.setup.recipe.train.steps_from(task.start)

    def progress(point: dict[str, Any]) -> None:
        nonlocal said
        if time.monotonic() - said >= _QUIET:
            site.say(f"{task.name}: {describe(point, steps)}")
            said = time.monotonic()

    with store.disk_faults(site.root):
        place = store.new_workplace(site.root)
        try:
            options: dict[str, Any] = {"name": task.name, **places(site.root, task.start), "progress": progress}
            store.seal(place, task.key, train_adapter(task.weight, site.setup, place / "adapter", **options))
        except BaseException:
            store.discard(place)
            raise
        return place
