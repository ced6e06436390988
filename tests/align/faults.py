"""A real run whose training and sampling are stand-ins, and a way to stop it at any call that changes the disk.

Only tests use this. The run is the loop that certifies with all it writes: journal, adapters, evaluations, tables,
certificates, manifest. `disturbed` runs it in a forked child that dies before its k-th call of `os` on files ("kill"),
in the middle of its k-th write ("torn"), or finds the disk full at its k-th call that needs room ("full"). `scan` does
so for every k and looks at what is left: `python -m tests.align.faults MODE RECIPE FOLDER`, a process of its own, since
a process with threads must not fork.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from palm_opt.align import publish, train
from palm_opt.align.base import Base
from palm_opt.align.data import load_prompts
from palm_opt.align.journal import read_journal
from palm_opt.align.loop import Loop
from palm_opt.align.recipe import load_recipe
from palm_opt.align.rewards import resolve_rewards
from palm_opt.align.session import Session
from palm_opt.align.store import Store, _record
from palm_opt.errors import PalmError

KILLED, SURVIVED, REFUSED, BROKEN = 137, 3, 2, 1
CHANGES = ("open", "write", "ftruncate", "truncate", "rename", "replace", "mkdir", "chmod", "unlink", "rmdir")
COUNTED = {  # a kill before a sync leaves the same files as a kill before the change that follows
    "kill": CHANGES,
    "torn": ("write",),
    "full": ("open", "write", "fsync", "rename", "replace", "mkdir"),
}
RESULT = ("portfolio.json", "certificate.json", "certificate-statistical.json", "values.csv", "evaluation.parquet")
ONCE = ("measured", "blended")
Answer = dict[str, Any]


class Policies:
    """Stand-in for sampling: rewards that follow from the adapters' bytes."""

    def measure(self, parts: list[tuple[Path, float]], rows: list[Answer], rewards: list[Any]) -> dict[str, Any]:
        data = [(folder / "adapter_model.safetensors").read_bytes() for folder, _ in parts]
        random = np.random.default_rng(list(hashlib.sha256(b"".join(data)).digest()))
        weights = [[float.fromhex(x) for x in file.decode().split()] for file in data]
        weight = np.array([share for _, share in parts]) @ weights if parts else [0.3, 0.3]
        shape = (len(rows), 2)
        early = np.clip(0.6 * np.sqrt(weight[0]) + random.uniform(0, 0.3, shape), 0, 1)
        length = np.clip(12 * np.sqrt(weight[1]) + random.uniform(0, 6, shape), 0, 20)
        return {"early": early, "length": length, "kl": random.uniform(0, 1, shape)}


def run(recipe_path: Path, out: Path, trained: Path) -> None:
    """The loop over `out`; every training appends its key to `trained`."""
    recipe = load_recipe(recipe_path)

    def train_adapter(weight: Any, *arguments: Any, **_: Any) -> Answer:
        folder = arguments[-1]
        with trained.open("a") as stream:
            stream.write(train.training_key(weight, *arguments[:3]) + "\n")
        (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "auto_mapping": null}')
        (folder / "adapter_model.safetensors").write_text(" ".join(x.hex() for x in weight))
        return {"seconds": 1.0, "training_reward": float(weight[0])}

    train.train_adapter = train_adapter
    publish.portfolio_report = lambda root: root  # pictures are slow and prove nothing here
    base, prompts = Base("base", None, recipe.folder / "base", "0" * 64), load_prompts(recipe)
    subject = {"recipe": recipe.training, "base model": base.sha256, "data": prompts.sha256}
    with Store.open(out, subject) as store:
        rewards: list[Any] = resolve_rewards(recipe)
        session = Session(recipe, base, prompts, rewards, None, store, lambda line: None, False, Policies())
        Loop(session, 0.0, 0.05).run()


def disturbed(mode: str, k: int, work: Callable[[], object]) -> int:
    """Do `work` in a forked child with the fault; 0 if it ended undisturbed, else how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = BROKEN
    try:
        with _fault(mode, k) as count:
            work()
        code = SURVIVED if 0 < k <= count() else 0
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


@contextlib.contextmanager
def _fault(mode: str, k: int) -> Iterator[Callable[[], int]]:
    seen = 0

    def wrap(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal seen
            if name != "open" or (len(arguments) > 1 and arguments[1] & os.O_CREAT):  # reading changes nothing
                seen += 1
                if seen == k and mode == "full":
                    path = [] if isinstance(arguments[0], int) else [str(arguments[0])]
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *path)
                if seen == k:
                    if mode == "torn":
                        real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                    os._exit(KILLED)
            return real(*arguments, **options)

        return call

    for name in COUNTED[mode]:
        setattr(os, name, wrap(name))
    yield lambda: seen


def scan(mode: str, recipe: Path, folder: Path) -> int:
    """Disturb at every call and run again; returns how many calls there are.

    Raises
    ------
    AssertionError : an acknowledged line is gone, a training or measurement was done again, or the files differ.
    """
    out, trained, whole = folder / "p", folder / "trained", folder / "undisturbed"

    def work() -> None:
        run(recipe, out, trained)

    expected = _prepared(folder, out, work)
    out.rename(whole)
    for k in range(1, 10_000):
        trained.write_text("")
        code = disturbed(mode, k, work)
        if "-v" in sys.argv:
            print(k, os.times()[:4], flush=True)
        if code == 0:
            assert expected == {name: (out / name).read_bytes() for name in RESULT}
            return k - 1
        assert code in ((REFUSED, SURVIVED) if mode == "full" else (KILLED,)), f"{mode} {k}: ended with {code}"
        journal = out / "journal.jsonl"
        acknowledged = journal.read_bytes()[: read_journal(journal)[1]] if journal.exists() else b""
        sealed, before = _sealed(out), trained.read_text().split()
        assert disturbed("kill", -1, work) == 0, f"{mode} {k}: cannot be resumed"
        assert journal.read_bytes().startswith(acknowledged), f"{mode} {k}: lost an acknowledged line"
        assert sealed.isdisjoint(trained.read_text().split()[len(before) :]), f"{mode} {k}: a finished training again"
        done = [(e["event"], e.get("key") or str(e)) for e in read_journal(journal)[0] if e["event"] in ONCE]
        assert len(set(done)) == len(done), f"{mode} {k}: measured or mixed again"
        different = [name for name in RESULT if (out / name).read_bytes() != expected[name]]
        assert not different, f"{mode} {k}: {different} differ from those of the undisturbed run"
        left = [str(item) for item in out.rglob(".*") if item.name != ".lock"]
        assert not left, f"{mode} {k}: left {left}"
        shutil.rmtree(out)
    raise AssertionError("no end")


def damage(recipe: Path, folder: Path) -> int:
    """Flip a bit or cut, in each file of a finished directory: refused in one line, or done again; never used."""
    out, trained, whole = folder / "p", folder / "trained", folder / "undisturbed"

    def work() -> None:
        run(recipe, out, trained)

    expected = _prepared(folder, out, work)
    out.rename(whole)
    cases = 0
    for name in sorted(str(item.relative_to(whole)) for item in whole.rglob("*") if item.is_file()):
        data = (whole / name).read_bytes()
        for place in sorted({0, len(data) // 3, 2 * len(data) // 3, len(data) - 1} if data else ()):
            flipped = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
            for changed in (flipped, data[:place]):
                shutil.copytree(whole, out)
                (out / name).write_bytes(changed)
                code = disturbed("kill", -1, work)
                same = all((out / item).is_file() and (out / item).read_bytes() == expected[item] for item in RESULT)
                assert code == REFUSED or (code == 0 and same), f"{name}, byte {place}, {len(changed)} left: used"
                shutil.rmtree(out)
                cases += 1
    return cases


def _prepared(folder: Path, out: Path, work: Callable[[], None]) -> dict[str, bytes]:
    """The files of an undisturbed run, after which all modules that it loads are loaded here, once for all forks."""
    modules = folder / "modules"
    assert disturbed("kill", -1, lambda: (work(), modules.write_text("\n".join(sys.modules)))) == 0
    for name in modules.read_text().split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    assert b"\nmod-" in (out / "values.csv").read_bytes(), "no mixture on the way"
    return {name: (out / name).read_bytes() for name in RESULT}


def _sealed(out: Path) -> set[str]:
    """Keys of the trainings that are finished: their record, written last, is there and holds."""
    folders = [*out.glob("adapters/w-*"), *out.glob("adapters/.training-*/adapter")]
    return {record["key"] for folder in folders if (record := _record(folder))}


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[2:]]
    print(damage(*paths) if sys.argv[1] == "damage" else scan(sys.argv[1], *paths))
