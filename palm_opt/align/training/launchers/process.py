"""Each training run in a fresh process of this machine, `launch.workers` at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from palm_opt.align.training.task import FAULT, Site, Task, last_line, log_file
from palm_opt.errors import PalmError
from palm_opt.portfolio.store import discard, disk_faults, new_workplace
from palm_opt.storage import write_json

__all__ = ["Crash", "Workers", "attempt", "launch", "specification"]

_SOURCES = Path(__file__).resolve().parents[4]


class Crash(Exception):
    """A worker died (killed, out of memory, its node lost): worth another attempt."""


@contextmanager
def launch(site: Site) -> Iterator[Callable[[Task], Future[Path]]]:
    """A process a task, `launch.workers` at once, each watched by a thread of this one."""
    workers, terms = Workers(), site.setup.recipe.launch

    def run(task: dict[str, Any]) -> Path:
        for left in range(terms.retries, 0, -1):
            try:
                return attempt(task, workers)
            except Crash as crash:
                site.say(f"{crash}: {left} more to try")
        try:
            return attempt(task, workers)
        except Crash as crash:
            raise PalmError(f"{crash}, after {terms.retries} retries") from crash

    def submit(task: Task) -> Future[Path]:
        site.announce(task)
        return pool.submit(run, specification(site, task))

    pool = ThreadPoolExecutor(terms.workers)
    try:
        yield submit
    finally:
        workers.stop()
        pool.shutdown(cancel_futures=True)


def specification(site: Site, task: Task) -> dict[str, Any]:
    """A task as JSON, for a worker on any machine that sees the same files under the same paths."""
    recipe, launch = site.setup.recipe, site.setup.recipe.launch
    share = (os.cpu_count() or 1) // (launch.workers * launch.processes)
    return {
        "recipe": str(recipe.path.resolve()),
        "out": str(site.root.resolve()),
        "key": task.key,
        "name": task.name,
        "weight": [x.hex() for x in task.weight],
        "start": task.start,
        "processes": launch.processes,
        "threads": recipe.device.threads or max(1, share),
    }


class Workers:
    """The worker processes that run at a moment; `stop` ends them and lets no further one begin."""

    def __init__(self) -> None:
        self._alive: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._lock = threading.Lock()  # a worker begins and is listed, or is refused: `stop` sees nothing in between

    def run(self, command: Sequence[str], environment: dict[str, str], log: Path) -> int:
        """Run a command to its end, its output appended to a file; returns its exit code."""
        with self._lock, log.open("ab") as stream:
            if self._stopped:
                raise PalmError("stopped")
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # never written to: it closes when this process dies, and the worker then stops
                stdout=stream,
                stderr=stream,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches this process only, which then ends its workers
            )
            self._alive.add(process)
        try:
            return process.wait()
        finally:
            self._end(process)
            self._alive.discard(process)

    def stop(self) -> None:
        """End what runs."""
        with self._lock:
            self._stopped = True
            alive = list(self._alive)
        for process in alive:
            self._end(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        process.stdin.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def attempt(task: dict[str, Any], workers: Workers | None = None) -> Path:
    """Do a training run in a fresh process on this machine (`torchrun` if `processes` > 1): its sealed workplace.

    Raises
    ------
    PalmError : it met a fault. Crash : it died. Both name the adapter and the file with the worker's output.
    """
    out, name = Path(task["out"]), task["name"]
    with disk_faults(out):
        place, log = new_workplace(out), log_file(out, name)
        try:
            write_json(place / "task.json", task)
            log.parent.mkdir(exist_ok=True)
            code = (workers or Workers()).run(_command(task, place), _environment(task), log)
            if code == 0:
                return place
            where = f"its output: {log}"
            if (place / FAULT).is_file():
                raise PalmError(f"{name}: {(place / FAULT).read_text(encoding='utf-8')} ({where})")
            raise Crash(f"{name}: {last_line(log) if code > 0 else signal.Signals(-code).name} ({where})")
        except BaseException:
            discard(place)
            raise


def _command(task: dict[str, Any], place: Path) -> list[str]:
    launcher = ["-m", "palm_opt.align.training.worker"]
    if task["processes"] > 1:  # torchrun
        count = str(task["processes"])
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", count, "-m", launcher[1]]
    return [sys.executable, *launcher, str(place / "task.json"), str(place / "adapter"), "--watch"]


def _environment(task: dict[str, Any]) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(_SOURCES), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(task["threads"]), "PYTHONUNBUFFERED": "1"}
