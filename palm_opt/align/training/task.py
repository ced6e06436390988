"""A training run to do, wherever it is done: what it is, where it reads and writes, how it is told in a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_opt.align.training.setup import Say, Setup

__all__ = ["FAULT", "Site", "Task", "checkpoints", "describe", "last_line", "log_file", "places"]

FAULT = "fault.txt"  #: in a workplace: what stopped a worker that another attempt would meet again


@dataclass(frozen=True)
class Task:
    """A training run to do: its key, the name of its adapter, its weight, and the adapter that it starts from."""

    key: str
    name: str
    weight: tuple[float, ...]
    start: str | None = None


@dataclass(frozen=True)
class Site:
    """Where the tasks of a call are done: what they share, the portfolio directory, who hears of it."""

    setup: Setup
    root: Path
    say: Say

    def announce(self, task: Task) -> None:
        """Say that a task is handed out to another process."""
        self.say(f"training {task.name} (its output: {log_file(self.root, task.name).relative_to(self.root)})")


def checkpoints(root: Path) -> Path:
    """The checkpoints of a portfolio directory, by training key."""
    return root / "checkpoints"


def log_file(root: Path, name: str) -> Path:
    """Where the output of the worker that trains an adapter goes."""
    return root / "logs" / f"{name}.log"


def places(root: Path, start: str | None) -> dict[str, Path | None]:
    """Where a training run of the portfolio directory `root` reads and writes besides its own folder."""
    return {
        "start": None if start is None else root / "adapters" / start,
        "checkpoints": checkpoints(root),
        "cache": root / "cache",
        "logs": root / "logs",
    }


def describe(point: Mapping[str, Any], steps: int) -> str:
    """A point of a training curve in one line: "step 10 of 24: reward 0.52 (safe 0.70, brief 0.34), kl 0.031"."""
    parts = ", ".join(f"{name} {mean:.2f}" for name, mean in point["rewards"].items())
    reward = "" if point["reward"] is None else f"reward {point['reward']:.2f} ({parts}), "
    kl = "" if point["kl"] is None else f", kl {point['kl']:.3f}"
    return f"step {point['step']} of {steps}: {reward}loss {point['loss']:.3f}{kl}"


def last_line(log: Path, beginning: str = "") -> str:
    """The last line of a worker's output that begins so."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((x.strip()[:200] for x in reversed(lines) if x.strip() and x.startswith(beginning)), "nothing said yet")
