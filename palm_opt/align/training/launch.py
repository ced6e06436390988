"""Where training runs happen: in this process, each in a process of its own, or as tasks of a Ray cluster.

A training run is the same idempotent task everywhere: it trains in a workplace of its own (`store.new_workplace`) and
seals it. This process alone writes the journal: a line before a run is handed out, in the order given, and a line when
it has adopted what came back, in whatever order that was. Names and keys are fixed before, so the order shows nowhere
else.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palm_opt.align.training.checkpoints import discard_checkpoints
from palm_opt.errors import BackendNotFound, PalmError
from palm_opt.portfolio.store import discard, disk_faults, new_workplace
from palm_opt.storage import write_json

if TYPE_CHECKING:
    from palm_opt.align.session import Session

__all__ = ["CHECKPOINTS", "FAULT", "Crash", "Task", "attempt", "describe", "places", "train_all"]

CHECKPOINTS = "checkpoints"  #: folder of a portfolio directory, by training key
FAULT = "fault.txt"  #: in a workplace: what stopped a worker that another attempt would meet again
_SOURCES = Path(__file__).resolve().parents[2]
_QUIET = 30.0  # seconds without a word about what runs
_OBJECT_STORE = 100 * 2**20  # bytes; tasks pass a few hundred bytes each


@dataclass(frozen=True)
class Task:
    """A training run to do: its key, the name of its adapter, its weight, and the adapter that it starts from."""

    key: str
    name: str
    weight: tuple[float, ...]
    start: str | None = None


class Crash(Exception):
    """A worker died (killed, out of memory, its node lost): worth another attempt."""


Submit = Callable[[Task], "Future[Path]"]  #: hands a task out; the future's value is the sealed workplace


def train_all(session: Session, tasks: Sequence[Task]) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Train every task as the recipe's [launch] says; yields each with its journal line when it is acknowledged.

    After a fault nothing new is begun, but what runs is waited for and kept.

    Raises
    ------
    PalmError : the first fault: a reward that fails, a full disk, a worker that died more often than `launch.retries`.
    """
    launch = session.recipe.launch
    if launch.how == "inline":
        yield from ((task, _inline(session, task)) for task in tasks)
        return
    queue, running, faults = deque(tasks), dict[Future[Path], Task](), list[PalmError]()
    with _ray(session) if launch.how == "ray" else _processes(session) as submit:
        while running or (queue and not faults):
            while queue and not faults and len(running) < launch.workers:
                task = queue.popleft()
                session.store.intend(task.name, task.key, _named(session, task))
                running[submit(task)] = task
                session.say(f"training {task.name} (its output: logs/{task.name}.log)")
            done = wait(running, _QUIET, FIRST_COMPLETED).done
            if not done:
                for task in running.values():
                    session.say(f"{task.name}: {_last_line(_log(session.store.path, task.name), 'step ')}")
            for future in done:
                task = running.pop(future)
                try:
                    place = session.store.path / "adapters" / future.result().name
                    result = session.store.adopt(task.name, task.key, place)
                    discard_checkpoints(session.store.path / CHECKPOINTS, task.key)
                except PalmError as error:
                    faults.append(error)
                    continue
                shutil.rmtree(place, ignore_errors=True)
                yield task, result
    if faults:
        raise faults[0]


def _named(session: Session, task: Task) -> dict[str, float]:
    return dict(zip(session.recipe.reward_names, task.weight, strict=True))


def _inline(session: Session, task: Task) -> dict[str, Any]:
    """In this process: the libraries and the model's files are loaded already."""
    from palm_opt.align.training.train import train_adapter

    root, said = session.store.path, time.monotonic()

    def progress(point: dict[str, Any]) -> None:
        nonlocal said
        if time.monotonic() - said >= _QUIET:
            session.say(f"{task.name}: {describe(point, session.recipe.train.steps_from(task.start))}")
            said = time.monotonic()

    def work(folder: Path) -> dict[str, Any]:
        recipe, base, prompts, rewards = session.recipe, session.base, session.prompts, session.rewards
        options: Any = {"name": task.name, **places(root, task.start), "progress": progress}
        return train_adapter(task.weight, recipe, base, prompts, rewards, session.tokenizer, folder, **options)

    result = session.store.train(task.name, task.key, _named(session, task), work)
    discard_checkpoints(root / CHECKPOINTS, task.key)
    return result


def places(root: Path, start: str | None) -> dict[str, Path | None]:
    """Where a training run of the portfolio directory `root` reads and writes besides its own folder."""
    return {
        "start": None if start is None else root / "adapters" / start,
        "checkpoints": root / CHECKPOINTS,
        "cache": root / "cache",
        "logs": root / "logs",
    }


def describe(point: Mapping[str, Any], steps: int) -> str:
    """A point of a training curve in one line: "step 10 of 24: reward 0.52 (safe 0.70, brief 0.34), kl 0.031"."""
    parts = ", ".join(f"{name} {mean:.2f}" for name, mean in point["rewards"].items())
    reward = "" if point["reward"] is None else f"reward {point['reward']:.2f} ({parts}), "
    kl = "" if point["kl"] is None else f", kl {point['kl']:.3f}"
    return f"step {point['step']} of {steps}: {reward}loss {point['loss']:.3f}{kl}"


def _specification(session: Session, task: Task) -> dict[str, Any]:
    """A task as JSON, for a worker on any machine that sees the same files under the same paths."""
    recipe, launch = session.recipe, session.recipe.launch
    share = (os.cpu_count() or 1) // (launch.workers * launch.processes)
    return {
        "recipe": str(recipe.path.resolve()),
        "out": str(session.store.path.resolve()),
        "key": task.key,
        "name": task.name,
        "weight": [x.hex() for x in task.weight],
        "start": task.start,
        "processes": launch.processes,
        "threads": recipe.device.threads or max(1, share),
    }


class _Workers:
    """The worker processes that run at a moment; `stop` ends them and lets no further one begin."""

    def __init__(self) -> None:
        self._alive: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(self, command: Sequence[str], environment: dict[str, str], log: Path) -> int:
        """Run a command to its end, its output appended to a file; returns its exit code."""
        if self._stopped:
            raise PalmError("stopped")
        with log.open("ab") as stream:
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
        self._stopped = True
        for process in list(self._alive):
            self._end(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        process.stdin.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def attempt(task: dict[str, Any], workers: _Workers | None = None) -> Path:
    """Do a training run in a fresh process on this machine (`torchrun` if `processes` > 1): its sealed workplace.

    Raises
    ------
    PalmError : it met a fault. Crash : it died. Both name the adapter and the file with the worker's output.
    """
    out, name = Path(task["out"]), task["name"]
    with disk_faults(out):
        place, log = new_workplace(out), _log(out, name)
        try:
            write_json(place / "task.json", task)
            log.parent.mkdir(exist_ok=True)
            code = (workers or _Workers()).run(_command(task, place), _environment(task), log)
            if code == 0:
                return place
            where = f"its output: {log}"
            if (place / FAULT).is_file():
                raise PalmError(f"{name}: {(place / FAULT).read_text(encoding='utf-8')} ({where})")
            raise Crash(f"{name}: {_last_line(log) if code > 0 else signal.Signals(-code).name} ({where})")
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


def _log(root: Path, name: str) -> Path:
    return root / "logs" / f"{name}.log"


def _last_line(log: Path, beginning: str = "") -> str:
    """The last line of a worker's output that begins so."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((x.strip()[:200] for x in reversed(lines) if x.strip() and x.startswith(beginning)), "nothing said yet")


@contextmanager
def _processes(session: Session) -> Iterator[Submit]:
    """A process a task, `launch.workers` at once, each watched by a thread of this one."""
    workers, retries = _Workers(), session.recipe.launch.retries

    def run(task: dict[str, Any]) -> Path:
        for left in range(retries, 0, -1):
            try:
                return attempt(task, workers)
            except Crash as crash:
                session.say(f"{crash}: {left} more to try")
        try:
            return attempt(task, workers)
        except Crash as crash:
            raise PalmError(f"{crash}, after {retries} retries") from crash

    pool = ThreadPoolExecutor(session.recipe.launch.workers)
    try:
        yield lambda task: pool.submit(run, _specification(session, task))
    finally:
        workers.stop()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _ray(session: Session) -> Iterator[Submit]:
    """A Ray task a training run, on the cluster at `launch.address` or one of this machine for the time being."""
    launch = session.recipe.launch
    local = launch.address == "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if local:  # Ray's name for "listen on the loopback device only"; read when ray is imported
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise BackendNotFound("launch.how = \"ray\" needs ray: pip install 'palm_opt[ray]'") from error
    cpus = launch.processes * max(1, session.recipe.device.threads)
    ours = not ray.is_initialized()
    if ours:
        own = {"num_cpus": cpus * launch.workers, "object_store_memory": _OBJECT_STORE, "include_dashboard": False}
        _join(launch.address, own if local else {})
    needs = {"num_cpus": cpus, "num_gpus": launch.gpus, "max_retries": launch.retries, "retry_exceptions": [Crash]}
    remote = ray.remote(**needs)(attempt)
    references: list[Any] = []

    def collect(reference: Any, name: str) -> Path:
        try:
            return Path(ray.get(reference))
        except ray.exceptions.RayTaskError as error:
            reason = str(error.cause) if isinstance(error.cause, (PalmError, Crash)) else f"{name}: {error.cause!r}"
            raise PalmError(reason) from error
        except ray.exceptions.RayError as error:
            raise PalmError(f"{name}: {type(error).__name__}: {str(error).strip().splitlines()[0]}") from error

    def submit(task: Task) -> Future[Path]:
        references.append(remote.options(name=task.name).remote(_specification(session, task)))
        return pool.submit(collect, references[-1], task.name)

    pool = ThreadPoolExecutor(launch.workers)  # each thread waits for one task
    try:
        yield submit
    finally:
        for reference in references:
            ray.cancel(reference, force=True)
        if ours:
            ray.shutdown()
        pool.shutdown(cancel_futures=True)


def _join(address: str, options: dict[str, Any]) -> None:
    import ray

    try:
        if match := re.fullmatch(r"([\w.-]+):(\d{1,5})", address):  # ray waits for minutes, then ends the process
            socket.create_connection((match[1], int(match[2])), timeout=10).close()
        handler = signal.getsignal(signal.SIGTERM)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)  # ray puts one of its own there
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        raise PalmError(f"launch.address: no Ray cluster at {address}: {str(error).splitlines()[0]}") from error
