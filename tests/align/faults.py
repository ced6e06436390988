"""A real run whose training and sampling are stand-ins, and a way to stop it at any call that changes the disk.

Only tests use this. The run is the loop that certifies with all it writes: journal, adapters, evaluations, tables,
certificates, manifest. `disturbed` runs it in a forked child that dies before its k-th call of `os` on files ("kill"),
in the middle of its k-th write ("torn"), finds the disk full at its k-th call that needs room ("full"), or gets Ctrl-C
at its k-th call ("interrupt"). `scan` does so for some k and looks at what is left: the first call of every kind, which
is what is called, from where in palm_opt, and whether there is a file to replace; and further calls, evenly spread.
`python -m tests.align.faults MODE RECIPE FOLDER MOST` prints how many were disturbed, of how many, and their kinds; it
is a process of its own, since a process with threads must not fork.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palm_opt import checker
from palm_opt.align import Portfolio, load_recipe, publish
from palm_opt.align.loop import Loop
from palm_opt.align.measuring.prompts import load_prompts
from palm_opt.align.measuring.rewards import resolve_rewards
from palm_opt.align.policies.base import Base
from palm_opt.align.session import Session
from palm_opt.align.training import train
from palm_opt.align.training.setup import Setup
from palm_opt.errors import PalmError
from palm_opt.portfolio.journal import read_journal
from palm_opt.portfolio.store import Store, _record

KILLED, INTERRUPTED, SURVIVED, REFUSED, BROKEN = 137, 130, 3, 2, 1
CHANGES = ("open", "write", "ftruncate", "truncate", "rename", "replace", "mkdir", "chmod", "unlink", "rmdir")
COUNTED = {  # a kill before a sync leaves the same files as a kill before the change that follows
    "kill": CHANGES,
    "torn": ("write",),
    "full": ("open", "write", "fsync", "rename", "replace", "mkdir"),
    "interrupt": CHANGES,
}
ENDS = {"kill": (KILLED,), "torn": (KILLED,), "full": (REFUSED, SURVIVED), "interrupt": (INTERRUPTED,)}
RESULT = ("portfolio.json", "certificate.json", "certificate-statistical.json", "values.csv", "evaluation.parquet")
ONCE = ("measured", "blended")
Answer = dict[str, Any]
Kind = tuple[Any, ...]


class Policies:
    """Stand-in for sampling: rewards that follow from the adapters' bytes."""

    def measure(
        self, parts: list[tuple[Path, float]], rows: list[Answer], rewards: list[Any], count: int = 2
    ) -> dict[str, Any]:
        data = [(folder / "adapter_model.safetensors").read_bytes() for folder, _ in parts]
        random = np.random.default_rng(list(hashlib.sha256(b"".join(data)).digest()))
        weights = [[float.fromhex(x) for x in file.decode().split()] for file in data]
        weight = np.array([share for _, share in parts]) @ weights if parts else [0.3, 0.3]
        shape = (len(rows), count)
        early = np.clip(0.6 * np.sqrt(weight[0]) + random.uniform(0, 0.3, shape), 0, 1)
        length = np.clip(12 * np.sqrt(weight[1]) + random.uniform(0, 6, shape), 0, 20)
        return {"early": early, "length": length, "kl": random.uniform(0, 1, shape)}


def run(
    recipe_path: Path,
    out: Path,
    trained: Path,
    say: Callable[[str], None] = lambda line: None,
    report: Callable[[Path], Any] = lambda root: None,  # pictures are slow and prove nothing here
) -> None:
    """The loop over `out`; every training appends its key to `trained`."""
    recipe = load_recipe(recipe_path)

    def train_adapter(weight: Any, setup: Setup, folder: Path, **_: Any) -> Answer:
        with trained.open("a") as stream:
            stream.write(setup.key(weight) + "\n")
        (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "auto_mapping": null}')
        (folder / "adapter_model.safetensors").write_text(" ".join(x.hex() for x in weight))
        return {"seconds": 1.0, "training_reward": float(weight[0])}

    train.train_adapter = train_adapter
    publish.portfolio_report = report
    base = Base("base", None, recipe.folder / "base", "0" * 64)
    setup = Setup(recipe, base, load_prompts(recipe), resolve_rewards(recipe), None)
    policies: Any = Policies()
    with Store.open(out, setup.subject) as store:
        session = Session(setup, store, say, False, policies)
        Loop(session, recipe.plan.epsilon, recipe.plan.delta).run()


def disturbed(mode: str, k: int, work: Callable[[], object], kinds: Path | None = None) -> int:
    """Do `work` in a forked child with the fault; 0 if it ended undisturbed, else how it ended.

    `kinds` : where to write the kind of every call that counts.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = BROKEN
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _fault(mode, k) as seen:
            work()
        code = SURVIVED if 0 < k <= len(seen) else 0
        if kinds is not None:
            kinds.write_text("\n".join(map(repr, seen)))
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (PalmError, OSError) as error:
        lines = str(error).strip().splitlines()
        if len(lines) == 1 and (isinstance(error, PalmError) or error.filename):
            code = REFUSED
        else:
            traceback.print_exc()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _kind(name: str, arguments: tuple[Any, ...]) -> Kind:
    """What is called, whether it finds a file, and the functions of palm_opt that call it."""
    frame, callers = sys._getframe(2), []
    while frame is not None:
        if "/palm_opt/" in frame.f_code.co_filename:
            callers.append(frame.f_code.co_name)
        frame = frame.f_back
    target = arguments[1] if name in ("rename", "replace") else arguments[0]
    return name, not isinstance(target, int) and Path(target).exists(), " ".join(callers)


@contextlib.contextmanager
def _fault(mode: str, k: int) -> Iterator[list[Kind]]:
    seen: list[Kind] = []

    def wrap(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if name != "open" or (len(arguments) > 1 and arguments[1] & os.O_CREAT):  # reading changes nothing
                seen.append(_kind(name, arguments))
                if len(seen) == k and mode == "full":
                    path = [] if isinstance(arguments[0], int) else [str(arguments[0])]
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *path)
                if len(seen) == k and mode == "interrupt":
                    signal.raise_signal(signal.SIGINT)
                elif len(seen) == k:
                    if mode == "torn":
                        real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                    os._exit(KILLED)
            return real(*arguments, **options)

        return call

    for name in COUNTED[mode]:
        setattr(os, name, wrap(name))
    yield seen


def _chosen(kinds: list[str], most: int) -> list[int]:
    """The first call of each kind, and more, evenly spread, until there are `most`; numbered from 1."""
    first = {kind: k for k, kind in reversed(list(enumerate(kinds, start=1)))}
    others = [k for k in range(1, len(kinds) + 1) if k not in first.values()]
    count = min(len(others), max(0, most - len(first)))
    return sorted([*first.values(), *(others[i * len(others) // count] for i in range(count))])


def scan(mode: str, recipe: Path, folder: Path, most: int) -> str:
    """Disturb at calls of every kind and run again; returns what was disturbed.

    Raises
    ------
    AssertionError : an acknowledged line is gone, a training or measurement was done again, the directory that is left
        does not load or says that it still runs after Ctrl-C, a certificate in it does not hold, or the files differ.
    """
    out, trained, whole = folder / "p", folder / "trained", folder / "undisturbed"

    def work() -> None:
        run(recipe, out, trained)

    expected = _prepared(folder, out, work)
    out.rename(whole)
    assert disturbed(mode, 0, work, folder / "kinds") == 0
    assert expected == result_of(out)
    shutil.rmtree(out)
    kinds = (folder / "kinds").read_text().splitlines()
    chosen = _chosen(kinds, most)
    # From here on the first round is measured, so that Ctrl-C publishes.
    measured = next(k for k, kind in enumerate(kinds, start=1) if "blend" in kind)
    for k in chosen:
        trained.write_text("")
        code = disturbed(mode, k, work)
        if "-v" in sys.argv:
            print(k, kinds[k - 1], os.times()[:4], flush=True)
        assert code in ENDS[mode], f"{mode} {k}: ended with {code}"
        if mode == "interrupt":
            assert (out / "portfolio.json").exists() == (k >= measured), f"{mode} {k}: published?"
        if (out / "portfolio.json").exists():
            assert_sound(out, running=mode != "interrupt")
        journal = out / "journal.jsonl"
        acknowledged = journal.read_bytes()[: read_journal(journal)[1]] if journal.exists() else b""
        sealed, before = _sealed(out), trained.read_text().split()
        assert disturbed("kill", -1, work) == 0, f"{mode} {k}: cannot be resumed"
        assert journal.read_bytes().startswith(acknowledged), f"{mode} {k}: lost an acknowledged line"
        assert sealed.isdisjoint(trained.read_text().split()[len(before) :]), f"{mode} {k}: a finished training again"
        done = [(e["event"], e.get("key") or str(e)) for e in read_journal(journal)[0] if e["event"] in ONCE]
        assert len(set(done)) == len(done), f"{mode} {k}: measured or mixed again"
        different = [name for name, data in result_of(out).items() if data != expected[name]]
        assert not different, f"{mode} {k}: {different} differ from those of the undisturbed run"
        left = [str(item) for item in out.rglob(".*") if item.name != ".lock"]
        assert not left, f"{mode} {k}: left {left}"
        shutil.rmtree(out)
    return f"{len(chosen)} of {len(kinds)} calls, {len(set(kinds))} kinds"


def assert_sound(out: Path, running: bool = False) -> None:
    """A directory loads, does not say that it still runs (unless it may), and its certificates hold."""
    from palm_opt.tables.samples import Samples

    portfolio = Portfolio.load(out)
    assert portfolio.run is not None and (running or portfolio.run["stop"] != "running")
    about = "answers.csv" if portfolio.has("answers.csv") else "values.csv"
    checker.verify_files(out / "certificate.json", out / about)
    if portfolio.has("certificate-statistical.json"):
        samples = Samples.read(
            out / "evaluation.parquet", ranges=portfolio.ranges, rewards=portfolio.rewards, scale="ranges"
        )
        checker.check(checker.read_certificate(out / "certificate-statistical.json"), samples.problem())


def damage(recipe: Path, folder: Path, most: int) -> str:
    """Flip a bit or cut, in each file of a finished directory: refused in one line, or done again; never used.

    Of the places in the files, `most` evenly spread, and one at least in each file.
    """
    out, trained, whole = folder / "p", folder / "trained", folder / "undisturbed"

    def work() -> None:
        run(recipe, out, trained)

    expected = _prepared(folder, out, work)
    out.rename(whole)
    cases = []
    for name in sorted(str(item.relative_to(whole)) for item in whole.rglob("*") if item.is_file()):
        size = (whole / name).stat().st_size
        places = sorted({0, size // 3, 2 * size // 3, size - 1} if size else ())
        cases += [(name, place, cut) for place in places for cut in (False, True)]
    chosen = _chosen([name for name, *_ in cases], most)
    for name, place, cut in (cases[k - 1] for k in chosen):
        data = (whole / name).read_bytes()
        rest = b"" if cut else bytes([data[place] ^ 4]) + data[place + 1 :]
        shutil.copytree(whole, out)
        (out / name).write_bytes(data[:place] + rest)
        code = disturbed("kill", -1, work)
        same = all((out / item).is_file() for item in RESULT) and result_of(out) == expected
        assert code == REFUSED or (code == 0 and same), f"{name}, byte {place}, {len(rest)} left: used"
        shutil.rmtree(out)
    return f"{len(chosen)} of {len(cases)} damages"


def _prepared(folder: Path, out: Path, work: Callable[[], None]) -> dict[str, bytes]:
    """The files of an undisturbed run, after which all modules that it loads are loaded here, once for all forks."""
    modules = folder / "modules"
    assert disturbed("kill", -1, lambda: (work(), modules.write_text("\n".join(sys.modules)))) == 0
    for name in modules.read_text().split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    assert b"\nmod-" in (out / "values.csv").read_bytes(), "no mixture on the way"
    return result_of(out)


def result_of(out: Path, names: Sequence[str] = RESULT) -> dict[str, bytes]:
    """What a run ends with: some files, the manifest without what it has of the journal, which tells the way there."""
    found = {name: (out / name).read_bytes() for name in names}
    manifest = json.loads(found["portfolio.json"])
    told = {key: value for key, value in manifest.items() if key not in ("journal", "sha256")}
    return {**found, "portfolio.json": json.dumps(told).encode()}


def _sealed(out: Path) -> set[str]:
    """Keys of the trainings that are finished: their record, written last, is there and holds."""
    folders = [*out.glob("adapters/w-*"), *out.glob("adapters/.training-*/adapter")]
    return {record["key"] for folder in folders if (record := _record(folder))}


if __name__ == "__main__":
    mode, *paths, most = (argument for argument in sys.argv[1:] if argument != "-v")
    recipe, folder = map(Path, paths)
    print(damage(recipe, folder, int(most)) if mode == "damage" else scan(mode, recipe, folder, int(most)))
