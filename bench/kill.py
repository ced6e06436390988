"""Kill -9 a run of the embedded recipe at random times, again and again until it finishes; compare with a quiet run.

    python bench/kill.py --runs 50 --json bench/results/kill.json

The recipe is examples/embedded.toml with fewer steps, prompts and tokens, and a budget of four weights. An attempt is
a process of its own, forked from one that has loaded the libraries (to load them takes longer than the run), and draws
no figures (they would take as long as all else). It is killed after a time drawn uniformly between 0 and that of the
quiet run, in CPU seconds, for the machine may be busy; the next one resumes. Exit code 1 if a run did not finish, a
finished adapter was trained again, or a certificate or manifest differs by a byte.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import psutil

from palm_opt.align import run
from palm_opt.portfolio.journal import read_journal

ROOT = Path(__file__).resolve().parents[1]
CHANGES = {
    "steps = 24": "steps = 2", "batch = 32": "batch = 8", "max_new_tokens = 48": "max_new_tokens = 16",
    "prompts = 256": "prompts = 24", "batch = 512": "batch = 48",
}  # fmt: skip
LOOP = "[plan]\nlattice = 1\ndelta = 0.05\n[budget]\ntrainings = 4\n"
COMPARED = ("portfolio.json", "certificate.json", "certificate-statistical.json", "values.csv", "evaluation.parquet")
LONGEST = 50  # attempts at a run


def write_recipe(folder: Path) -> Path:
    """A variant of the embedded recipe that takes seconds."""
    text = (ROOT / "examples" / "embedded.toml").read_text()
    for old, new in CHANGES.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    sections = re.split(r"\n(?=\[)", text)
    kept = [section for section in sections if not section.startswith(("[plan]", "[budget]"))]
    (folder / "recipe.toml").write_text("\n".join([*kept, LOOP]))
    return folder / "recipe.toml"


def attempt(recipe: Path, out: Path, limit: float, modules: Path | None = None) -> tuple[bool | None, float]:
    """Run in a fork, killed after `limit` CPU seconds, and list in `modules` what it has loaded.

    Returns
    -------
    True if it finished, False if it failed, None if it was killed; and the CPU seconds that it took.
    """
    child = os.fork()
    if not child:
        code = 1
        try:
            with (out.parent / "output.txt").open("a") as stream:
                os.dup2(stream.fileno(), 2)
            run(recipe, out, progress=lambda line: print(line, file=sys.stderr, flush=True))
            if modules:
                modules.write_text("\n".join(sys.modules))
            code = 0
        finally:
            os._exit(code)
    process, ended = psutil.Process(child), None
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            ended = None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status) == 0
            return ended, usage.ru_utime + usage.ru_stime
        times = process.cpu_times()
        if times.user + times.system >= limit:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def trained_twice(out: Path) -> list[str]:
    """Names of trainings with two results, or with an intent after a result."""
    finished: set[str] = set()
    twice = []
    for entry in read_journal(out / "journal.jsonl")[0]:
        if entry["event"] in ("intent", "result") and entry["key"] in finished:
            twice.append(entry["name"])
        if entry["event"] == "result":
            finished.add(entry["key"])
    return twice


def phase(out: Path) -> str:
    """What the journal of a killed run says last."""
    entries = read_journal(out / "journal.jsonl")[0] if (out / "journal.jsonl").exists() else []
    return entries[-1]["event"] if entries else "nothing"


def ended_with(out: Path, item: str) -> bytes | None:
    """A file that a run ends with; of the manifest all but what it has of the journal, which tells the way there."""
    if not (out / item).is_file():
        return None
    if item != "portfolio.json":
        return (out / item).read_bytes()
    manifest = json.loads((out / item).read_bytes())
    return json.dumps({key: x for key, x in manifest.items() if key not in ("journal", "sha256")}).encode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe, modules = write_recipe(folder), folder / "modules"
        sys.modules["matplotlib"] = None  # type: ignore[assignment]
        for part in ("torch", "datasets", "trl", "peft"):
            importlib.import_module(part)
        (folder / "first").mkdir()
        assert attempt(recipe, folder / "first" / "p", 3600, modules)[0], (folder / "first" / "output.txt").read_text()
        for part in modules.read_text().split():
            with contextlib.suppress(Exception):
                importlib.import_module(part)
        (folder / "quiet").mkdir()
        ended, quiet = attempt(recipe, folder / "quiet" / "p", 3600)
        assert ended
        expected = {item: ended_with(folder / "quiet" / "p", item) for item in COMPARED}
        print(f"quiet run: {quiet:.1f} CPU seconds", flush=True)
        found: dict[str, int] = {"finished": 0, "kills": 0, "trained_twice": 0}
        identical, phases = dict.fromkeys(COMPARED, 0), dict[str, int]()
        for number in range(options.runs):
            out = folder / f"run-{number}" / "p"
            out.parent.mkdir()
            kills, ended = 0, None
            while ended is None and kills < LONGEST:
                ended, _ = attempt(recipe, out, draw.uniform(0, quiet))
                if ended is None:
                    kills += 1
                    phases[phase(out)] = phases.get(phase(out), 0) + 1
            found["finished"] += ended is True
            found["kills"] += kills
            found["trained_twice"] += len(trained_twice(out))
            for item in COMPARED:
                identical[item] += ended_with(out, item) == expected[item]
            good = found["finished"] == min(identical.values()) == number + 1 and not found["trained_twice"]
            result = {"runs": number + 1, "seed": options.seed, "quiet_cpu_seconds": round(quiet, 1), **found}
            result.update(killed_after=dict(sorted(phases.items())), identical=identical, good=good)
            print(json.dumps(result), flush=True)
            if options.json:
                command = "python " + " ".join(sys.argv)
                options.json.write_text(json.dumps({"command": command, **result}, indent=1) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
