"""A run: who proposes, what it may spend, how it hears that it should stop; and threads for its kernels."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from palm_opt.arguments import refusal
from palm_opt.result import Progress, Settings, Stop

__all__ = ["DEFAULT", "Callback", "Run", "Stopped", "attended", "parallel"]

Callback = Callable[[Progress], Any]
Item = TypeVar("Item")
Answer = TypeVar("Answer")

DEFAULT = "native"
_OVER, _GRACE = 0.1, 1.0  # what a call may take beyond its time limit: a share of it, and seconds
_KEPT = 0.3  # of that, for what cannot be stopped
_LOOK, _PATIENCE = 0.05, 5.0  # seconds between looks at a worker, and for one that was asked to stop


class Stopped(Exception):
    """A limit was reached, or the run is no longer wanted."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop)
        self.stop = stop


@dataclass(frozen=True)
class Run:
    """What a call may spend.

    backend : who proposes covers.
    settings, callback : as in `palm_opt.solve`.
    began, deadline : on the clock of time.monotonic.
    stop, on_stop : an event that asks for an end, and what else is called when it is set.
    """

    backend: str = DEFAULT
    settings: Settings = field(default_factory=Settings)
    callback: Callback | None = None
    began: float = field(default_factory=time.monotonic)
    deadline: float = math.inf
    stop: threading.Event = field(default_factory=threading.Event)
    on_stop: list[Callable[[], None]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        settings: Settings | Mapping[str, Any] | None = None,
        backend: str = DEFAULT,
        callback: Callback | None = None,
        **given: Any,
    ) -> Run:
        """The run that the arguments of a public function ask for; of `given` settings those that are not None."""
        if callback is not None and not callable(callback):
            raise refusal("callback", "a function of a palm_opt.Progress, or None", callback)
        began = time.monotonic()
        chosen = Settings.of(settings, **given)
        return cls(backend, chosen, callback, began, began + chosen.time_limit)

    @property
    def seconds(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def last(self) -> float:
        """When the call must have returned: a little after its time limit."""
        return self.began + self.settings.time_limit * (1 + _OVER) + _GRACE - _KEPT

    def ending(self, deadline: float | None = None) -> Run:
        """A run for the last words, by default as long as the call may take; Ctrl-C before them is not heard again."""
        return dataclasses.replace(
            self, deadline=self.last if deadline is None else deadline, stop=threading.Event(), on_stop=[]
        )

    def until(self, deadline: float) -> Run:
        """The same run with another deadline."""
        return dataclasses.replace(self, deadline=deadline)

    @property
    def allowance(self) -> float:
        """Seconds that a library may take; some take 0 for no limit."""
        return max(0.01, self.seconds)

    @property
    def seed(self) -> int:
        """The seed, as libraries take it."""
        return self.settings.seed % 2**31

    @property
    def over(self) -> bool:
        """Whether the run is to end."""
        return self.stop.is_set() or self.seconds <= 0

    @contextlib.contextmanager
    def stopping(self, call: Callable[[], None]) -> Iterator[None]:
        """Have `call` called should the run be cancelled in between."""
        self.on_stop.append(call)
        try:
            yield
        finally:
            self.on_stop.remove(call)

    def cancel(self) -> None:
        """Ask everything that runs under this run to stop."""
        self.stop.set()
        for call in self.on_stop:
            call()

    def pause(self) -> None:
        """Raise Stopped where the run is over: to be called often."""
        if self.stop.is_set():
            raise Stopped(Stop.INTERRUPTED)
        if time.monotonic() >= self.deadline:
            raise Stopped(Stop.TIME_LIMIT)


def attended(work: Callable[[], None], run: Run) -> bool:
    """Do `work` in a thread of its own, so that Ctrl-C reaches this one and cancels the run; whether it did.

    The thread has ended when this returns, but for a library that cannot be stopped: that is left behind.
    """
    failure: list[BaseException] = []
    done = threading.Event()  # not `join`: on Python 3.11 a thread whose join was interrupted passes for dead

    def body() -> None:
        try:
            work()
        except BaseException as error:  # handed to the caller below
            failure.append(error)
        finally:
            done.set()

    worker = threading.Thread(target=body, name="palm_opt.solve", daemon=True)
    worker.start()
    patience, interrupted = math.inf, False
    while True:
        try:
            while not done.wait(_LOOK) and time.monotonic() < patience:
                pass
            break
        except KeyboardInterrupt:
            interrupted = True
            run.cancel()
            patience = time.monotonic() + _PATIENCE
    if done.is_set():
        worker.join()
    if failure:
        raise failure[0]
    return interrupted


def parallel(work: Callable[[Item], Answer], parts: Sequence[Item], threads: int = 0) -> list[Answer]:
    """`work` of each part, in threads (0: all cores) that have ended when this returns or raises.

    The threads live for one call: none is left behind, and a process that is forked in between has none to miss.
    """
    workers = min(threads or os.cpu_count() or 1, len(parts))
    if workers == 1:
        return [work(part) for part in parts]
    pool = ThreadPoolExecutor(workers, thread_name_prefix="palm_opt")
    try:
        return list(pool.map(work, parts))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
