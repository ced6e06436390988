"""Runs: Ctrl-C is heard everywhere, no thread stays behind, a forked process can solve, limits are kept."""

import json
import math
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import palm_opt as palm
from palm_opt.solver import outcome
from palm_opt.solver.run import Run, Stopped, attended, parallel
from tests.verify import verify_result

PATIENCE = 60  # seconds: far beyond what a call takes to hear Ctrl-C on a loaded machine, far below what it would run

PREPARE = """
import json, os, signal, sys, threading, time
import numpy as np, palm_opt as palm

def sphere(n, d, seed=0):
    array = np.abs(np.random.default_rng(seed).normal(size=(n, d)))
    return array / np.linalg.norm(array, axis=1, keepdims=True)

def ready(*_):
    print("ready", flush=True)
"""
CALLS = {
    "solve": """
        values = palm.ValueMatrix(sphere(100_000, 3))
        ready()
        found = palm.solve(values, delta=0.001)
    """,
    "frontier": """
        values = palm.ValueMatrix(sphere(3_000, 5))
        ready()
        found = palm.frontier(values, max_size=100)[-1]
    """,
    "certify": """
        values = palm.ValueMatrix(sphere(200_000, 4))
        ready()
        found = palm.certify(values, range(0, 200_000, 100))
    """,
    "plan": """
        rng = np.random.default_rng(0)
        table = palm.RewardTable(rng.random((400, 16, 5)))
        found = palm.plan(table, beta=0.01, delta=0.0005, progress=ready)
    """,
    "certify_samples": """
        samples = palm.Samples(np.random.default_rng(0).random((400, 2_000, 5)), (0, 1))
        ready()
        found = palm.certify_samples(samples)
    """,
    "search": """
        search = palm.Search(5, delta=0.01, oracle_error=(0.0, 0.0), max_calls=400)
        points = sphere(20_000, 5)
        while (w := search.ask()) is not None:
            search.tell(w, points[(points @ w).argmax()])
        ready()
        found = search.result(time_limit=1e6)
    """,
}
TELL = """
except KeyboardInterrupt:
    found = None
stop = getattr(found, "stop", None)
print(json.dumps([stop, [t.name for t in threading.enumerate() if t is not threading.main_thread()]]))
"""


def process(code: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("delay", [0.0, 1.5])
@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_is_heard_everywhere(call, delay):
    body = textwrap.indent(textwrap.dedent(CALLS[call]), "    ")
    with process(f"{PREPARE}\ntry:\n{body}\n{TELL}") as child:
        assert child.stdout.readline() == "ready\n", child.stderr.read()
        time.sleep(delay)
        child.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, err
    stop, threads = json.loads(out.splitlines()[-1])
    assert stop in (None, "INTERRUPTED", "PROVED") and threads == []
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("during", [False, True])
def test_a_forked_process_can_solve(during):
    code = f"""
    {textwrap.indent(PREPARE, "    ")}
    values = palm.ValueMatrix(sphere(2_000, 3))
    worker = threading.Thread(target=palm.solve, args=(values,), kwargs={{"delta": 0.004, "time_limit": 8}})
    if {during}:
        worker.start()
        time.sleep(1)
    else:
        palm.solve(values, delta=0.02, time_limit=1)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if palm.solve(values, delta=0.02, time_limit=1).lower_bound >= 0 else 1)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status))
    """
    with process(textwrap.dedent(code)) as child:
        _, err = child.communicate(timeout=4 * PATIENCE)
    assert child.returncode == 0, err


INTERRUPTED = f"""
import signal, threading, time
from palm_opt.solver.run import Run, attended

ended = threading.Event()

def work():
    run.stop.wait({PATIENCE})
    time.sleep(0.3)
    ended.set()

run = Run()
threading.Timer(0.2, signal.raise_signal, (signal.SIGINT,)).start()
assert attended(work, run) and ended.is_set()
assert not [thread for thread in threading.enumerate() if thread.name == "palm_opt.solve"]
"""


def test_an_interrupted_call_waits_for_its_worker():
    subprocess.run([sys.executable, "-c", INTERRUPTED], check=True)  # not in a process of the test runner


def test_what_a_worker_raises_is_raised():
    with pytest.raises(KeyError):
        attended(lambda: {}["x"], Run())


def test_no_thread_outlives_a_kernel():
    def work(part):
        if part == 3:
            raise Stopped(palm.Stop.TIME_LIMIT)
        return part

    before = threading.active_count()
    assert parallel(work, [0, 1, 2], 2) == [0, 1, 2]
    with pytest.raises(Stopped):
        parallel(work, list(range(100)), 2)
    assert threading.active_count() == before


@pytest.mark.parametrize(("n", "d", "delta"), [(30_000, 3, 0.005), (25_000, 2, 0.001), (2_000, 4, 0.02)])
def test_a_short_limit_leaves_a_portfolio_with_its_bound(n, d, delta, monkeypatch):
    """Not the whole pool: what greedy finds, and a packing."""
    monkeypatch.setattr("palm_opt.solver.run._GRACE", PATIENCE)  # a loaded machine
    array = np.abs(np.random.default_rng(0).normal(size=(n, d)))
    values = palm.ValueMatrix(array / np.linalg.norm(array, axis=1, keepdims=True))
    result = palm.solve(values, delta=delta, time_limit=0.5)
    verify_result(result, values)
    assert result.stop in (palm.Stop.TIME_LIMIT, palm.Stop.PROVED)
    assert 1 < result.lower_bound <= result.size < n / 10


def test_the_twin_checks_where_the_checker_takes_too_long(monkeypatch):
    monkeypatch.setattr(outcome, "_CHECK", math.inf)
    values = palm.ValueMatrix(np.random.default_rng(1).random((300, 3)))
    result = palm.solve(values, delta=0.05, time_limit=60)
    verify_result(result, values)
    assert result.status is palm.Status.OPTIMAL


def test_limits_reach_the_set_up(monkeypatch):
    """Rows that there was no time to compare pass for undominated: more to prove, nothing wrong."""
    array = np.abs(np.random.default_rng(2).normal(size=(600, 3)))
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    values = palm.ValueMatrix(np.vstack([array, 0.9999 * array]))  # each row dominates its copy, and hardly another one
    whole = palm.solve(values, delta=0.1)
    monkeypatch.setattr("palm_opt.solver.cover._SET_UP", -1.0)
    result = palm.solve(values, delta=0.1, time_limit=120)
    assert result.info["front"] > whole.info["front"] and result.status is palm.Status.OPTIMAL
    verify_result(result, values)
    assert result.size == whole.size
