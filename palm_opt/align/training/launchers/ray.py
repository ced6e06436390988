"""Each training run as a task of a Ray cluster, on which `process.attempt` starts a fresh process."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from palm_opt.align.training.launchers.process import Crash, attempt, specification
from palm_opt.align.training.task import Site, Task
from palm_opt.errors import BackendNotFound, PalmError

__all__ = ["launch"]

_OBJECT_STORE = 100 * 2**20  # bytes; tasks pass a few hundred bytes each


@contextmanager
def launch(site: Site) -> Iterator[Callable[[Task], Future[Path]]]:
    """A Ray task a training run, on the cluster at `launch.address` or one of this machine for the time being."""
    terms = site.setup.recipe.launch
    local = terms.address == "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if local:  # Ray's name for "listen on the loopback device only"; read when ray is imported
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise BackendNotFound("launch.how = \"ray\" needs ray: pip install 'palm_opt[ray]'") from error
    cpus = terms.processes * max(1, site.setup.recipe.device.threads)
    ours = not ray.is_initialized()
    if ours:
        own = {"num_cpus": cpus * terms.workers, "object_store_memory": _OBJECT_STORE, "include_dashboard": False}
        _join(terms.address, own if local else {})
    needs = {"num_cpus": cpus, "num_gpus": terms.gpus, "max_retries": terms.retries, "retry_exceptions": [Crash]}
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
        site.announce(task)
        references.append(remote.options(name=task.name).remote(specification(site, task)))
        return pool.submit(collect, references[-1], task.name)

    pool = ThreadPoolExecutor(terms.workers)  # each thread waits for one task
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
