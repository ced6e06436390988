"""Kill -9 a run of the embedded recipe at random times, again and again until it finishes; compare with a quiet run.

    python bench/kill.py --runs 50 --json bench/results/kill.json

The recipe is examples/embedded.toml with fewer steps, prompts and tokens, and a budget of four weights: three unit
weights, then the worst one. Every attempt is a process of its own, forked from one that has loaded the libraries (to
load them takes longer than the run). An attempt is killed after a time drawn uniformly between 0 and that of the quiet
run; the next one resumes. Exit code 1 if a run did not finish, a finished adapter was trained again, or a certificate
or manifest differs by a byte.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from palm_opt.align import run
from palm_opt.align.store import read_journal

ROOT = Path(__file__).resolve().parents[1]
CHANGES = {
    "steps = 24": "steps = 4", "batch = 32": "batch = 16", "max_new_tokens = 48": "max_new_tokens = 24",
    "prompts = 256": "prompts = 48", "batch = 512": "batch = 96",
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


def attempt(recipe: Path, out: Path, limit: float) -> bool | None:
    """Run in a fork, killed after `limit` seconds. True: finished; False: failed; None: killed."""
    child = os.fork()
    if not child:
        with (out.parent / "output.txt").open("a") as stream:
            os.dup2(stream.fileno(), 2)
        code = 1
        try:
            run(recipe, out, progress=lambda line: print(line, file=sys.stderr, flush=True))
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    import datasets  # noqa: F401
    import peft  # noqa: F401
    import torch  # noqa: F401
    import trl  # noqa: F401
    from peft import PeftModel  # noqa: F401
    from trl import GRPOConfig, GRPOTrainer  # noqa: F401

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = write_recipe(folder)
        (folder / "first").mkdir()
        assert attempt(recipe, folder / "first" / "p", 3600), (folder / "first" / "output.txt").read_text()
        (folder / "quiet").mkdir()
        begin = time.monotonic()
        assert attempt(recipe, folder / "quiet" / "p", 3600)
        quiet = time.monotonic() - begin
        expected = {item: (folder / "quiet" / "p" / item).read_bytes() for item in COMPARED}
        print(f"quiet run: {quiet:.1f} s", flush=True)
        found: dict[str, int] = {"finished": 0, "kills": 0, "trained_twice": 0}
        identical, phases = dict.fromkeys(COMPARED, 0), dict[str, int]()
        for number in range(options.runs):
            out = folder / f"run-{number}" / "p"
            out.parent.mkdir()
            kills, ended = 0, None
            while ended is None and kills < LONGEST:
                ended = attempt(recipe, out, draw.uniform(0, quiet))
                if ended is None:
                    kills += 1
                    phases[phase(out)] = phases.get(phase(out), 0) + 1
            found["finished"] += ended is True
            found["kills"] += kills
            found["trained_twice"] += len(trained_twice(out))
            for item in COMPARED:
                identical[item] += (out / item).is_file() and (out / item).read_bytes() == expected[item]
            print(f"run {number}: {kills} kills, {found}, identical {min(identical.values())}", flush=True)
    good = found["finished"] == min(identical.values()) == options.runs and not found["trained_twice"]
    result = {"runs": options.runs, "seed": options.seed, "quiet_seconds": round(quiet, 1), **found}
    result.update(killed_after=dict(sorted(phases.items())), identical=identical, good=good)
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps({"command": "python " + " ".join(sys.argv), **result}, indent=1) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
