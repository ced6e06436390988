"""The same adapters from this process, from processes and from a Ray cluster, also when workers die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from palm_opt.align import Portfolio, train
from palm_opt.align.recipe.declaration import SETTINGS
from palm_opt.align.training.launchers import REGISTRY, launcher, process
from palm_opt.errors import PalmError
from palm_opt.portfolio.journal import read_journal
from tests.align.faults import result_of
from tests.align.tiny import RECIPE, WEIGHTS

for _library in ("torch", "trl", "peft", "datasets", "transformers", "filelock"):
    pytest.importorskip(_library)

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # Ray's name for "the loopback device only"
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

ROOT = Path(__file__).resolve().parents[2]
MORTAL = """
import os, signal
from pathlib import Path

def early(completions, **_):
    with Path(__file__).with_name("ranks").open("a") as stream:
        print(os.environ.get("RANK", "-"), file=stream)
    for marker, victim in (("kill-worker", os.getpid()), ("kill-parent", os.getppid()), ("kill-always", os.getpid())):
        path = Path(__file__).with_name(marker)
        try:
            path.rename(path) if marker == "kill-always" else path.unlink()
        except FileNotFoundError:
            continue
        os.kill(victim, signal.SIGKILL)
    return [sum(c in "abcdefgh" for c in text.lower()) / max(1, len(text)) for text in completions]
"""


@pytest.fixture(scope="module")
def mortal(recipe: Path) -> Path:
    """The tiny recipe with a reward that kills its process, or the parent of it, where a file of that name says so."""
    recipe.with_name("mortal.py").write_text(MORTAL)
    return launched(recipe, "inline")


def launched(recipe: Path, how: str, **settings: float | str) -> Path:
    lines = [f"{key} = {value!r}" for key, value in settings.items()]
    path = recipe.with_name(f"mortal-{how}.toml")
    path.write_text("\n".join([RECIPE.replace("own:early", "mortal:early"), "[launch]", f'how = "{how}"', *lines]))
    return path


@pytest.fixture(scope="module")
def inline(mortal: Path, tmp_path_factory: pytest.TempPathFactory) -> Portfolio:
    return train(WEIGHTS, mortal, tmp_path_factory.mktemp("inline") / "p", progress=lambda line: None)


def assert_same(found: Portfolio, expected: Portfolio) -> None:
    names = ("portfolio.json", "values.csv", "evaluation.parquet")
    assert result_of(found.path, names) == result_of(expected.path, names)


def events(out: Path) -> list[tuple[str, str]]:
    return [(entry["event"], entry.get("name", "")) for entry in read_journal(out / "journal.jsonl")[0]]


def test_every_launcher_can_be_asked_for() -> None:
    (how,) = (setting for setting in SETTINGS if setting.key == "launch.how")
    assert how.allowed == tuple(REGISTRY) and all(callable(launcher(name)) for name in REGISTRY)


def test_a_worker_that_starts_while_the_launcher_stops_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race as it would be worst: everything is stopped after the last look at it, before the worker is listed."""
    workers, stops, begun = process.Workers(), list[threading.Thread](), list[subprocess.Popen[bytes]]()

    def slow(*arguments: Any, real: Any = subprocess.Popen, **options: Any) -> subprocess.Popen[bytes]:
        stops.append(threading.Thread(target=workers.stop))
        stops[0].start()
        stops[0].join(0.5)
        begun.append(real(*arguments, **options))
        return begun[0]

    monkeypatch.setattr(process.subprocess, "Popen", slow)
    command, log, codes = [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", list[int]()
    runner = threading.Thread(target=lambda: codes.append(workers.run(command, dict(os.environ), log)))
    runner.start()
    runner.join(30)
    alive = runner.is_alive()
    for worker in begun:
        worker.kill()
    runner.join()
    assert not alive and codes == [-signal.SIGKILL] and len(stops) == 1
    with pytest.raises(PalmError, match="stopped"):
        workers.run(command, dict(os.environ), log)


def test_processes_train_the_same_adapters_though_one_is_killed(
    mortal: Path, inline: Portfolio, tmp_path: Path
) -> None:
    recipe = launched(mortal, "process", workers=2, retries=1)
    mortal.with_name("kill-worker").touch()
    lines: list[str] = []
    found = train(WEIGHTS, recipe, tmp_path / "p", progress=lines.append)
    assert_same(found, inline)
    assert sum("SIGKILL" in line and "1 more to try" in line for line in lines) == 1
    assert [line.split()[1] for line in lines if line.startswith("training ")] == ["w-100-0", "w-50-50", "w-0-100"]
    assert sorted(name for event, name in events(found.path) if event == "result") == ["w-0-100", "w-100-0", "w-50-50"]
    assert sorted(item.name for item in (found.path / "adapters").iterdir()) == ["w-0-100", "w-100-0", "w-50-50"]
    train(WEIGHTS, mortal, tmp_path / "p", progress=lines.append)  # inline again: the same keys
    assert "3 trained before, 0 to train" in lines[-1]


def test_a_worker_that_always_dies_is_named_and_what_else_ran_is_kept(mortal: Path, tmp_path: Path) -> None:
    recipe = launched(mortal, "process", retries=1)
    mortal.with_name("kill-always").touch()
    out = tmp_path / "p"
    try:
        with pytest.raises(PalmError, match=r"w-100-0: SIGKILL .*logs/w-100-0\.log\), after 1 retries"):
            train(WEIGHTS, recipe, out, progress=lambda line: None)
    finally:
        mortal.with_name("kill-always").unlink()
    assert events(out) == [("open", ""), ("asked", ""), ("intent", "w-100-0")]
    assert list((out / "adapters").iterdir()) == []


def test_a_fault_is_told_in_one_line_and_not_tried_again(mortal: Path, tmp_path: Path) -> None:
    mortal.with_name("absent.py").write_text("def none(completions, **_):\n    return [None] * len(completions)\n")
    recipe = launched(mortal, "process")
    recipe.write_text(recipe.read_text().replace("mortal:early", "absent:none"))
    lines: list[str] = []
    with pytest.raises(PalmError, match=r"^w-100-0: reward 'early': expected a number, got None for the prompt.*\.log"):
        train([[1.0, 0.0]], recipe, tmp_path / "p", progress=lines.append)
    assert not any("more to try" in line for line in lines)


def test_a_ray_cluster_trains_the_same_adapters_though_workers_are_killed(
    mortal: Path, inline: Portfolio, tmp_path: Path
) -> None:
    """A real cluster on the loopback device: a Ray worker and a training process die, each in the middle of a run."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'palm_opt[ray]'")
    recipe = launched(mortal, "ray", workers=2)
    mortal.with_name("kill-worker").touch()
    mortal.with_name("kill-parent").touch()
    found = train(WEIGHTS, recipe, tmp_path / "p", progress=lambda line: None)
    assert not mortal.with_name("kill-worker").exists() and not mortal.with_name("kill-parent").exists()
    assert_same(found, inline)
    assert sorted(name for event, name in events(found.path) if event == "result") == ["w-0-100", "w-100-0", "w-50-50"]
    assert not ray.is_initialized()


def test_a_lost_node_costs_one_attempt(mortal: Path, inline: Portfolio, tmp_path: Path) -> None:
    """A Ray cluster of three nodes on this machine, joined by address; one is killed while it trains."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'palm_opt[ray]'")
    from ray.cluster_utils import Cluster

    settings = {"include_dashboard": False, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **settings})
    try:
        nodes = [cluster.add_node(num_cpus=1, **settings) for _ in range(2)]
        recipe = launched(mortal, "ray", workers=2, address=cluster.address)
        ranks = mortal.with_name("ranks")
        ranks.unlink(missing_ok=True)

        def lose_a_node() -> None:
            deadline = time.monotonic() + 300
            while not ranks.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            cluster.remove_node(nodes[0], allow_graceful=False)

        thread = threading.Thread(target=lose_a_node)
        thread.start()
        found = train(WEIGHTS, recipe, tmp_path / "p", progress=lambda line: None)
        thread.join()
        assert_same(found, inline)
        assert len(ranks.read_text().split()) > 3
    finally:
        cluster.shutdown()


def test_no_cluster_at_the_address_is_told_at_once(mortal: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'palm_opt[ray]'")
    recipe = launched(mortal, "ray", address="127.0.0.1:7")
    with pytest.raises(PalmError, match=r"^launch\.address: no Ray cluster at 127\.0\.0\.1:7: "):
        train(WEIGHTS[:1], recipe, tmp_path / "p", progress=lambda line: None)


def test_workers_end_with_the_process_that_was_killed(mortal: Path, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    recipe, out = launched(mortal, "process", workers=2), tmp_path / "p"
    ranks = mortal.with_name("ranks")
    ranks.unlink(missing_ok=True)
    code = f"import palm_opt\npalm_opt.align.train({WEIGHTS[:2]!r}, {str(recipe)!r}, {str(out)!r})\n"

    def workers() -> list[int]:
        found = psutil.process_iter(["pid", "cmdline"])
        return [p.info["pid"] for p in found if any(str(out / "adapters") in part for part in p.info["cmdline"] or ())]

    deadline = time.monotonic() + 300
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE) as process:
        while not ranks.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        assert len(workers()) >= 2
        process.kill()
    while workers():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    train(WEIGHTS[:2], mortal, out, progress=lambda line: None)
    assert sorted(item.name for item in (out / "adapters").iterdir()) == ["w-100-0", "w-50-50"]


def test_torchrun_trains_one_adapter_in_two_processes(mortal: Path, tmp_path: Path) -> None:
    recipe = launched(mortal, "process", processes=2)
    ranks = mortal.with_name("ranks")
    ranks.unlink(missing_ok=True)
    found = train(WEIGHTS[:1], recipe, tmp_path / "p", progress=lambda line: None)
    assert set(ranks.read_text().split()) == {"0", "1", "-"}  # this process measures
    assert [item.name for item in (found.path / "adapters").iterdir()] == ["w-100-0"]
    lines: list[str] = []
    train(WEIGHTS[:1], mortal, tmp_path / "p", progress=lines.append)
    assert "1 trained before, 0 to train" in lines[0]
