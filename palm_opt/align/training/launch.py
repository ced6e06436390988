"""Training runs, done where the recipe says, by a launcher: in this process, in processes, in Ray tasks.

A training run is the same idempotent task everywhere: it trains in a workplace of its own (`store.new_workplace`) and
seals it. This process alone writes the journal: a line before a run is handed out, in the order given, and a line when
it has adopted what came back, in whatever order that was. Names and keys are fixed before, so the order shows nowhere
else.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from palm_opt.align.training.checkpoints import discard_checkpoints
from palm_opt.align.training.launchers import launcher
from palm_opt.align.training.task import Site, Task, checkpoints, last_line, log_file
from palm_opt.errors import PalmError
from palm_opt.portfolio.store import Store

__all__ = ["train_all"]

_QUIET = 30.0  # seconds without a word about what runs


def train_all(store: Store, site: Site, tasks: Sequence[Task]) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Train every task as the recipe's [launch] says; yields each with its journal line when it is acknowledged.

    After a fault nothing new is begun, but what runs is waited for and kept.

    Raises
    ------
    PalmError : the first fault: a reward that fails, a full disk, a worker that died more often than `launch.retries`.
    """
    if not tasks:
        return
    launch, names = site.setup.recipe.launch, site.setup.recipe.reward_names
    queue, running, faults = deque(tasks), dict[Future[Path], Task](), list[PalmError]()
    with launcher(launch.how)(site) as submit:
        while running or (queue and not faults):
            while queue and not faults and len(running) < launch.workers and not any(x.done() for x in running):
                task = queue.popleft()
                store.intend(task.name, task.key, dict(zip(names, task.weight, strict=True)))
                running[submit(task)] = task
            done = wait(running, _QUIET, FIRST_COMPLETED).done
            if not done:
                for task in running.values():
                    site.say(f"{task.name}: {last_line(log_file(site.root, task.name), 'step ')}")
            for future in done:
                task = running.pop(future)
                try:
                    place = site.root / "adapters" / future.result().name
                    result = store.adopt(task.name, task.key, place)
                    discard_checkpoints(checkpoints(site.root), task.key)
                except PalmError as error:
                    faults.append(error)
                    continue
                shutil.rmtree(place, ignore_errors=True)
                yield task, result
    if faults:
        raise faults[0]
