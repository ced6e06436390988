"""Run methods on problems, one process a run, one JSON line a run.

    python -m bench.run --suite small --methods palm-cpsat,highs-loop --out bench/results/small.jsonl
    python -m bench.run --problem "anti-10000-4-1004 epsilon 0.1" --time-limit 10        # every method, to stdout

A method is palm-BACKEND or a peer of bench/peers.py. Of every run the line says what the exact checker says:
`kept`, the least tolerance that the returned set keeps at every weight (palm.certify), and `valid`, whether that is as
asked. `bound` is proved by a certificate (its bytes, and the CPU seconds that the standalone checker takes for
it, are there too); `claimed` is a solver's word. `cpu` and `wall` are seconds of the solve alone: no reading, no
imports, no checking of peers. A run that outlives its limit by far is killed and says so.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import palm_opt as palm
from bench import instances, peers
from palm_opt.solver.backends import load

GRACE = 120.0  # seconds beyond its limit after which a run is killed
ROOT = Path(__file__).resolve().parents[1]


METHODS = [*(f"palm-{name}" for name in palm.backends()), *peers.PEERS]


def backend(method: str) -> str:
    """The backend that a method of palm_opt uses."""
    return method.removeprefix("palm-")


def cpu() -> float:
    """CPU seconds of this process so far, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def warm_up(method: str) -> None:
    """Import and start what a solve needs, so that the clock sees the solve alone."""
    tiny = palm.ValueMatrix([[1.0, 0.0, 0.2], [0.0, 1.0, 0.2], [0.6, 0.6, 0.3], [0.1, 0.2, 1.0]])
    if method in peers.PEERS:
        peers.solve(method, tiny.array, 0.0, 0.01, 5.0, 100)
    else:
        palm.solve(tiny, delta=0.01, backend=backend(method))
        load(backend(method))


def run_palm(problem: instances.Problem, values: palm.ValueMatrix, options: argparse.Namespace) -> dict[str, Any]:
    """A backend inside `palm.solve`."""
    settings = palm.Settings(time_limit=options.time_limit, seed=options.seed, threads=options.threads)
    budget = {} if problem.max_size is None else {"max_size": problem.max_size, "vary": problem.vary}
    delta = None if problem.vary == "delta" else problem.delta
    wall, before = time.perf_counter(), cpu()
    result = palm.solve(
        values, epsilon=problem.epsilon, delta=delta, backend=backend(options.method), settings=settings, **budget
    )
    line: dict[str, Any] = {
        "cpu": cpu() - before,
        "wall": time.perf_counter() - wall,
        "status": result.status.value,
        "stop": result.stop.value,
        "size": result.size,
        "bound": result.lower_bound,
        "claimed": result.claimed_bound,
        "tolerance": result.tolerance,
        "tolerance_bound": result.tolerance_lower_bound,
        "work": dict(result.info),
    }
    if result.indices:
        kept = {"epsilon": result.epsilon, "delta": result.delta}
        line |= {"members": list(result.indices), "kept": kept, "valid": True}
    if result.certificate is not None:
        line |= checked(result.certificate, values)
    return line


def checked(certificate: palm.Certificate, values: palm.ValueMatrix) -> dict[str, Any]:
    """Size of a certificate, and what the standalone checker takes for it: a process of the standard library alone."""
    with tempfile.TemporaryDirectory() as folder:
        path, table = certificate.write(Path(folder) / "c.json"), Path(folder) / "values.csv"
        table.write_text(values.to_csv())
        checker = str(ROOT / "palm_opt" / "checker")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-I", checker, path, table], capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        last = done.stdout.splitlines()[-1] if done.stdout else done.stderr
        return {"certificate_bytes": path.stat().st_size, "verify_cpu": seconds, "verified": last.split(" ")[0]}


def run_peer(problem: instances.Problem, values: palm.ValueMatrix, options: argparse.Namespace) -> dict[str, Any]:
    """A peer, and the exact check of what it returned."""
    wall, before = time.perf_counter(), cpu()
    answer = peers.solve(
        options.method,
        values.array,
        problem.epsilon,
        problem.delta,
        options.time_limit,
        options.points,
        options.seed,
        options.threads,
    )
    line: dict[str, Any] = {
        "cpu": cpu() - before,
        "wall": time.perf_counter() - wall,
        "status": "CLAIMS OPTIMAL" if answer.finished and answer.claimed_bound is not None else "CLAIMS NOTHING",
        "stop": "FINISHED" if answer.finished else "TIME_LIMIT",
        "size": len(answer.members),
        "bound": None,
        "claimed": answer.claimed_bound,
        "work": answer.info,
    }
    if answer.members:
        fixed = {"delta": problem.delta} if problem.epsilon else {"epsilon": 0.0}
        kept = palm.certify(values, answer.members, **fixed)
        line |= {
            "members": list(answer.members),
            "kept": {"epsilon": kept.epsilon, "delta": kept.delta},
            "valid": kept.epsilon <= problem.epsilon and kept.delta <= problem.delta,
        }
    return line


def child(options: argparse.Namespace) -> dict[str, Any]:
    """One run in this process."""
    problem = instances.PROBLEMS[options.problem]
    values = problem.load()
    warm_up(options.method)
    run = run_peer if options.method in peers.PEERS else run_palm
    line = run(problem, values, options)
    return {**line, "memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def spawn(problem: instances.Problem, method: str, options: argparse.Namespace) -> dict[str, Any]:
    """One run in a process of its own."""
    limit = options.time_limit or problem.time_limit
    arguments = {"problem": str(problem), "method": method, "time-limit": limit, "seed": options.seed}
    arguments |= {"threads": options.threads, "points": options.points}
    command = [sys.executable, "-m", "bench.run", "--child", *(f"--{name}={x}" for name, x in arguments.items())]
    line: dict[str, Any] = {**dataclasses.asdict(problem), "problem": str(problem), "method": method}
    line |= {"time_limit": limit, "seed": options.seed, "points": options.points if method in peers.PEERS else None}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit + GRACE, check=False, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return {**line, "status": "KILLED", "stop": "TIME_LIMIT", "size": 0, "cpu": None, "wall": limit + GRACE}
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {**line, "status": "ERROR", "stop": "ERROR", "size": 0, "error": reason}
    return {**line, **json.loads(done.stdout)}


def environment(options: argparse.Namespace, module: str = "bench.run") -> dict[str, Any]:
    """What the figures were made with: the first line of a results file."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for name in ("numpy", "ortools", "highspy", "cvxpy", "clarabel", "pyscipopt"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    words = [word for word in sys.argv[1:] if word]
    return {
        "command": " ".join([f"python -m {module}", *(f'"{word}"' if " " in word else word for word in words)]),
        "palm_opt": palm.__version__,
        "python": platform.python_version(),
        **versions,
        "cores": os.cpu_count(),
        "load": [round(x, 1) for x in os.getloadavg()],
        "threads": options.threads,
    }


def plain(value: Any) -> Any:
    """Strict JSON: infinities become null."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="small", choices=instances.SUITES)
    parser.add_argument("--problem", help="one problem instead of a suite, as bench.instances --list writes it")
    parser.add_argument("--methods", help="comma-separated; default: every backend and every peer")
    parser.add_argument("--time-limit", type=float, help="seconds of every run; default: the problem's own")
    parser.add_argument("--points", type=int, default=4000, help="weights of the peers' grids")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--out", help="a file of JSON lines, written anew; default: stdout")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--method", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(plain(child(options))))
        return
    methods = options.methods.split(",") if options.methods else METHODS
    for name in methods:
        if name not in METHODS:
            parser.error(f"no method {name!r}; there are {', '.join(METHODS)}")
    if options.problem is not None and options.problem not in instances.PROBLEMS:
        parser.error(f"no problem {options.problem!r}; python -m bench.instances --list shows them")
    chosen = instances.suite(options.suite) if options.problem is None else [instances.PROBLEMS[options.problem]]
    with open(options.out, "w") if options.out else os.fdopen(os.dup(1), "w") as stream:  # noqa: PTH123
        stream.write(json.dumps(environment(options)) + "\n")
        for problem in chosen:
            for method in methods:
                if problem.max_size is not None and method in peers.PEERS:
                    continue  # the peers answer the cover problem only
                line = spawn(problem, method, options)
                stream.write(json.dumps(plain(line)) + "\n")
                stream.flush()
                show = (line.get(key) for key in ("size", "bound", "claimed", "status", "valid", "cpu"))
                print(problem, method, *show, line.get("error", ""), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
