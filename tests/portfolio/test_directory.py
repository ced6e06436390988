"""The portfolio directory: what is written survives a crash, what is read is not trusted."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palm_opt.align import Portfolio
from palm_opt.errors import StoreError
from palm_opt.portfolio.journal import read_journal
from palm_opt.portfolio.store import Store, new_workplace, seal

SUBJECT = {"recipe": "r", "base model": "b", "data": "d"}
WEIGHT = {"a": 0.25, "b": 0.75}


def named(path: Path) -> dict[str, Any]:
    """Size and hash of a file, as a manifest has them."""
    return {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def write_sealed(root: Path, document: dict[str, Any]) -> None:
    """Write a manifest with its own hash, whatever it says: the slow twin of `write_manifest`."""
    lines = json.dumps({key: x for key, x in document.items() if key != "sha256"}, indent=1).splitlines(keepends=True)
    before = "".join([*lines[:-2], lines[-2].replace("\n", ",\n")])
    seal = hashlib.sha256(before.encode()).hexdigest()
    (root / "portfolio.json").write_text(f'{before} "sha256": "{seal}"\n}}\n')


def make_portfolio(root: Path, change: Callable[[dict[str, Any]], Any] | None = None) -> Path:
    """A small, valid portfolio directory; `change` edits the manifest before it is written."""
    table = "member,a,b\nbase,0.5,5.0\nmod-50-50,0.1,9.0\nw-0-100,0.1,9.0\nw-100-0,0.9,1.0\nw-50-50,0.6,6.5\n"
    (root / "adapters" / "w-0-100").mkdir(parents=True)
    (root / "adapters" / "w-100-0").mkdir()
    (root / "values.csv").write_text(table)
    members = []
    files = {"values.csv": named(root / "values.csv")}
    for name, weight, value in (("w-0-100", (0, 1), (0.1, 9.0)), ("w-100-0", (1, 0), (0.9, 1.0))):
        folder = root / "adapters" / name
        (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "auto_mapping": null}')
        (folder / "adapter_model.safetensors").write_bytes(name.encode())
        files.update({f"adapters/{name}/{file.name}": named(file) for file in sorted(folder.iterdir())})
        members.append(
            {
                "name": name,
                "weight": dict(zip("ab", weight, strict=True)),
                "value": dict(zip("ab", value, strict=True)),
                "standard_error": {"a": 0.01, "b": 0.1},
                "kl": 1.5,
                "adapter": f"adapters/{name}",
            }
        )
    document: dict[str, Any] = {
        "format": "palm_opt portfolio",
        "version": 2,
        "base_model": {"name": "embedded", "revision": None, "sha256": "0" * 64},
        "rewards": [{"name": "a", "low": 0.0, "high": 1.0}, {"name": "b", "low": 0.0, "high": 10.0}],
        "beta": 0.1,
        "objective": "reward",
        "reference": "pool",
        "tolerances": {"epsilon": 0.0, "delta": 0.125},
        "measured": {"split": "select", "prompts": 10, "generations": 2},
        "members": members,
        "files": files,
        "producer": {"name": "palm_opt", "version": "0"},
    }
    if change is not None:
        change(document)
    write_sealed(root, document)
    return root


def test_load(tmp_path: Path) -> None:
    portfolio = Portfolio.load(make_portfolio(tmp_path))
    assert portfolio.rewards == ("a", "b") and portfolio.ranges == ((0.0, 1.0), (0.0, 10.0))
    assert [member.name for member in portfolio.members] == ["w-0-100", "w-100-0"]
    assert portfolio.member("w-100-0").value == {"a": 0.9, "b": 1.0}
    assert (portfolio.epsilon, portfolio.delta, portfolio.beta) == (0.0, 0.125, 0.1)
    with pytest.raises(StoreError, match="no member 'x'"):
        portfolio.member("x")


def _set(*keys: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = to

    return change


H = {"size": 0, "sha256": "0" * 64}
RUN = {"stop": "target", "target": 0.1, "trainings": 2, "lower_bound": 1.0, "trainer_error": None, "missed": {}}


@pytest.mark.parametrize(
    "change",
    [
        _set("format", to="other"),
        _set("version", to=3),
        _set("version", to=True),
        _set("extra", to=1),
        _set("members", to=[]),
        _set("members", to={}),
        _set("members", 0, "name", to="w-100-0"),
        _set("members", 0, "name", to="../x"),
        _set("members", 0, "adapter", to="../../etc"),
        _set("members", 0, "adapter", to="/etc"),
        _set("members", 0, "adapter", to="adapters/w-100-0"),
        _set("members", 0, "adapter", to=3),
        _set("members", 0, "weight", to={"a": 1.0}),
        _set("members", 0, "weight", to={"a": 1.0, "b": 1.0}),
        _set("members", 0, "weight", to={"a": -1.0, "b": 2.0}),
        _set("members", 0, "value", to=None),
        _set("members", 0, "value", "a", to="0.5"),
        _set("members", 0, "value", "a", to=True),
        _set("members", 0, "value", "a", to=float("nan")),
        _set("members", 0, "value", "a", to=10**400),
        _set("members", 0, to=None),
        _set("rewards", to=[]),
        _set("rewards", 0, "high", to=0.0),
        _set("rewards", 0, "name", to=["a"]),
        _set("tolerances", to={}),
        _set("beta", to="0"),
        _set("files", "values.csv", to=H),
        _set("files", "values.csv", to=7),
        _set("files", "values.csv", to=H["sha256"]),
        _set("files", "values.csv", "size", to=-1),
        _set("files", "values.csv", "size", to=True),
        _set("files", "values.csv", "size", to=10**30),
        _set("files", "values.csv", "more", to=1),
        _set("files", "/etc/passwd", to=H),
        _set("files", "../values.csv", to=H),
        _set("files", "adapters/../values.csv", to=H),
        _set("files", "adapters/w-0-100/missing.json", to=H),
        _set("files", "adapters\\x", to=H),
        _set("files", "journal.jsonl", to=H),
        _set("reference", to="heaven"),
        _set("objective", to="<b>"),
        _set("tolerances", to={"epsilon": 1.0, "delta": 0.1}),
        _set("tolerances", to={"epsilon": 0.0, "delta": -0.1}),
        _set("base_model", to={}),
        _set("measured", "clipped", to=[1]),
        _set("run", to={**RUN, "trainer_error": []}),
        _set("run", to={**RUN, "missed": []}),
        _set("run", to={**RUN, "stop": "<script>"}),
        _set("statistical", to={}),
        lambda document: document["files"].pop("adapters/w-0-100/adapter_model.safetensors"),
        lambda document: document.pop("objective"),
    ],
)
def test_bad_manifests_are_refused(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(StoreError):
        Portfolio.load(make_portfolio(tmp_path, change))


def mixture(parts: Any, name: str = "mod-50-50", **changes: Any) -> Callable[[dict[str, Any]], None]:
    """Make the first member a mixture."""

    def change(document: dict[str, Any]) -> None:
        document["members"][0].update({"name": name, "weight": None, "adapter": None, "parts": parts, **changes})

    return change


def test_a_mixture_brings_its_adapters_along(tmp_path: Path) -> None:
    parts = {"w-100-0": 0.5, "w-0-100": 0.25, "base": 0.25}
    portfolio = Portfolio.load(make_portfolio(tmp_path, mixture(parts)))
    mixed, trained = portfolio.members
    assert (mixed.parts, mixed.served, mixed.adapter) == (parts, parts, None)
    assert (trained.parts, trained.served) == (None, {"w-100-0": 1.0})
    (tmp_path / "adapters" / "w-0-100" / "adapter_model.safetensors").write_bytes(b"another")
    with pytest.raises(StoreError, match="SHA-256"):
        Portfolio.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        mixture({}),
        mixture([]),
        mixture({"w-100-0": 0.5}),
        mixture({"w-100-0": 0.5, "w-0-100": 0.5 + 1e-8}),
        mixture({"w-100-0": 1.5, "w-0-100": -0.5}),
        mixture({"w-100-0": float("nan"), "w-0-100": 0.5}),
        mixture({"w-100-0": 10**400, "w-0-100": 0.5}),
        mixture({"w-100-0": "0.5", "w-0-100": 0.5}),
        mixture({"w-100-0": True}),
        mixture({"w-100-0": 0.5, "w-0-50": 0.5}),
        mixture({"w-100-0": 0.5, "mod-50-50": 0.5}),
        mixture({"w-100-0": 0.5, "..": 0.5}),
        mixture({"w-100-0": 0.5, "/etc": 0.5}),
        mixture({"w-100-0": 0.5, "w-0-100/": 0.5}),
        mixture({"w-100-0": 0.5, "w-0-100": 0.5}, adapter="adapters/mod-50-50"),
        mixture({"w-100-0": 0.5, "w-0-100": 0.5}, weight={"a": 0.5, "b": 0.5}),
        mixture({"w-100-0": 0.5, "w-0-100": 0.5}, name="base"),
        mixture({"w-100-0": 0.5, "w-0-100": 0.5}, name="w-0-100"),
        _set("generation", to={"num_beams": 3}),
        _set("generation", to={"temperature": "1"}),
        _set("generation", to={"max_new_tokens": 8.5}),
        _set("generation", to=[]),
    ],
)
def test_mixtures_that_are_none_are_refused(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(StoreError):
        Portfolio.load(make_portfolio(tmp_path, change))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"[" * 200_000, b'{"a": 1, "a": 2}', b"\xff", b'{"beta": NaN}', b" " * (17 * 2**20)],
    ids=["empty", "list", "deep", "twice", "bytes", "nan", "large"],
)
def test_malformed_manifests_are_refused(tmp_path: Path, data: bytes) -> None:
    (make_portfolio(tmp_path) / "portfolio.json").write_bytes(data)
    with pytest.raises(StoreError):
        Portfolio.load(tmp_path)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such portfolio"):
        Portfolio.load(tmp_path / "none")
    with pytest.raises(StoreError, match=r"no portfolio\.json"):
        Portfolio.load(tmp_path)


def test_damage_and_links_are_refused(tmp_path: Path) -> None:
    root = make_portfolio(tmp_path / "p")
    weights = root / "adapters" / "w-0-100" / "adapter_model.safetensors"
    original = weights.read_bytes()
    weights.write_bytes(b"another")
    with pytest.raises(StoreError, match="SHA-256"):
        Portfolio.load(root)
    outside = tmp_path / "outside"
    outside.write_bytes(original)
    weights.unlink()
    weights.symlink_to(outside)
    for check in (True, False):
        with pytest.raises(StoreError, match="no link"):
            Portfolio.load(root, check=check)


def test_a_linked_folder_or_manifest_is_refused(tmp_path: Path) -> None:
    root = make_portfolio(tmp_path / "p")
    (root / "adapters").rename(tmp_path / "elsewhere")
    (root / "adapters").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="no link"):
        Portfolio.load(root)
    other = make_portfolio(tmp_path / "q")
    (other / "portfolio.json").rename(tmp_path / "manifest")
    (other / "portfolio.json").symlink_to(tmp_path / "manifest")
    with pytest.raises(StoreError, match="no link"):
        Portfolio.load(other)


@pytest.mark.parametrize("name", ["adapter_model.bin", "code.py", ".hidden", "training.json"])
def test_unlisted_files_in_an_adapter_are_refused(tmp_path: Path, name: str) -> None:
    root = make_portfolio(tmp_path)
    (root / "adapters" / "w-0-100" / name).write_bytes(b"x")
    with pytest.raises(StoreError, match="unexpected file"):
        Portfolio.load(root)


@pytest.mark.parametrize(
    "text", ['{"peft_type": "LORA", "auto_mapping": {"parent_library": "os"}}', '{"peft_type": "X"}', "[]", "{"]
)
def test_adapter_configurations_that_load_code_are_refused(tmp_path: Path, text: str) -> None:
    root = make_portfolio(tmp_path)
    file = root / "adapters" / "w-0-100" / "adapter_config.json"
    file.write_text(text)
    document = json.loads((root / "portfolio.json").read_text())
    document["files"]["adapters/w-0-100/adapter_config.json"] = named(file)
    write_sealed(root, document)
    with pytest.raises(StoreError, match="LoRA"):
        Portfolio.load(root)


def work(folder: Path) -> dict[str, Any]:
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return {"seconds": 1.0}


def write_head(root: Path) -> None:
    """The head that goes with the whole lines of a journal."""
    entries, _ = read_journal(root / "journal.jsonl")
    head = {"lines": len(entries), "checksum": entries[-1]["checksum"] if entries else ""}
    (root / "journal.head").write_text(json.dumps(head))


def events(root: Path) -> list[str]:
    return [entry["event"] for entry in read_journal(root / "journal.jsonl")[0]]


def test_a_run_is_recorded_and_never_repeated(tmp_path: Path) -> None:
    with Store.open(tmp_path, SUBJECT) as store:
        assert store.name_for((0.25, 0.75), "k") == "w-25-75"
        assert not store.finished("w-25-75", "k")
        store.train("w-25-75", "k", WEIGHT, work)
        assert store.finished("w-25-75", "k")
        assert store.name_for((0.2501, 0.7499), "other") == "w-25-75-other"
    with Store.open(tmp_path, SUBJECT) as store:
        assert store.finished("w-25-75", "k") and store.name_for((0.25, 0.75), "k") == "w-25-75"
        intent = store.entry("intent", "k")
        assert intent is not None and intent["weight"] == {"a": (0.25).hex(), "b": (0.75).hex()}
    assert events(tmp_path) == ["open", "intent", "result"]


def test_a_failed_run_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        work(folder)
        raise RuntimeError("stopped")

    with Store.open(tmp_path, SUBJECT) as store:
        with pytest.raises(RuntimeError):
            store.train("w-25-75", "k", WEIGHT, fail)
        assert not store.finished("w-25-75", "k") and not list((tmp_path / "adapters").iterdir())


def test_an_adapter_that_the_journal_missed_is_adopted(tmp_path: Path) -> None:
    with Store.open(tmp_path, SUBJECT) as store:
        store.train("w-25-75", "k", WEIGHT, work)
    journal = tmp_path / "journal.jsonl"
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join(lines[:2]) + b"\n" + lines[2][: len(lines[2]) // 2])  # killed while writing "result"
    write_head(tmp_path)
    (tmp_path / "adapters" / ".training-left").mkdir()
    with Store.open(tmp_path, SUBJECT) as store:
        assert events(tmp_path) == ["open", "intent"]
        assert store.finished("w-25-75", "k")
    assert events(tmp_path) == ["open", "intent", "result"]
    assert [item.name for item in (tmp_path / "adapters").iterdir()] == ["w-25-75"]


def test_a_changed_adapter_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path, SUBJECT) as store:
        store.train("w-25-75", "k", WEIGHT, work)
        (tmp_path / "adapters" / "w-25-75" / "adapter_model.safetensors").write_bytes(b"others")
        with pytest.raises(StoreError, match="delete that folder"):
            store.finished("w-25-75", "k")


def test_a_damaged_journal_line_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path, SUBJECT) as store:
        store.train("w-25-75", "k", WEIGHT, work)
    journal = tmp_path / "journal.jsonl"
    text = journal.read_text()
    for end in range(len(text)):  # cut anywhere: never an error, never a line that was not written
        journal.write_text(text[:end])
        entries, whole = read_journal(journal)
        assert whole <= end and len(entries) == text[:end].count("\n")
    journal.write_text(text.replace('"event":"intent"', '"event":"extent"'))
    with pytest.raises(StoreError, match="line 2"), Store.open(tmp_path, SUBJECT):
        pass


def test_a_line_that_is_lost_doubled_or_moved_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path, SUBJECT) as store:
        store.train("w-25-75", "k", WEIGHT, work)
    journal = tmp_path / "journal.jsonl"
    one, two, three = journal.read_text().splitlines(keepends=True)
    for lines, number in (((one, three), 2), ((one, two, two, three), 3), ((one, three, two), 2), ((two, three), 1)):
        journal.write_text("".join(lines))
        with pytest.raises(StoreError, match=f"line {number}: damaged"):
            read_journal(journal)


def test_what_a_power_failure_leaves_at_the_end_is_dropped_and_nothing_else(tmp_path: Path) -> None:
    with Store.open(tmp_path, SUBJECT) as store:
        store.train("w-25-75", "k", WEIGHT, work)
    journal = tmp_path / "journal.jsonl"
    data = journal.read_bytes()
    last = data.rindex(b"\n", 0, -1) + 1
    journal.write_bytes(data[:last] + b"\0" * (len(data) - last - 1) + b"\n")  # grown before it was filled
    assert read_journal(journal)[1] == last
    journal.write_bytes(data.replace(b'"event":"result"', b'"event":"resume"'))
    with pytest.raises(StoreError, match="line 3: damaged"):
        read_journal(journal)


def test_a_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, signal\nfrom palm_opt.portfolio.store import Store\n"
        f"with Store.open({str(tmp_path)!r}, {SUBJECT!r}): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == -9
    with Store.open(tmp_path, SUBJECT):
        pass


def test_a_training_that_nobody_adopted_is_adopted_by_the_next_run(tmp_path: Path) -> None:
    with Store.open(tmp_path, SUBJECT) as store:
        store.intend("w-25-75", "k", WEIGHT)
        place, other = new_workplace(tmp_path), new_workplace(tmp_path)
        seal(place, "k", work(place / "adapter"))
        seal(other, "unknown", work(other / "adapter"))  # no intent: nothing is known about it
        (new_workplace(tmp_path) / "adapter" / "adapter_model.safetensors").write_bytes(b"unfinished")
    with Store.open(tmp_path, SUBJECT) as store:
        result = store.entry("result", "k")
        assert result is not None and result["seconds"] == 1.0
        assert store.finished("w-25-75", "k")
    assert [item.name for item in (tmp_path / "adapters").iterdir()] == ["w-25-75"]


@pytest.mark.parametrize("at", ["adopt", "_acknowledge"])
def test_a_finished_training_that_is_interrupted_is_kept_with_its_seconds(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with Store.open(tmp_path, SUBJECT) as store, monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Store, at, interrupted)
        store.train("w-25-75", "k", WEIGHT, work)
    with Store.open(tmp_path, SUBJECT) as store:
        assert store.finished("w-25-75", "k")
        result = store.entry("result", "k")
        assert result is not None and result["seconds"] == 1.0
    assert [item.name for item in (tmp_path / "adapters").iterdir()] == ["w-25-75"]


def test_nothing_follows_a_journal_line_that_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with Store.open(tmp_path, SUBJECT) as store:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "fsync", interrupted)
            store.append("measured", key="k")
        with pytest.raises(StoreError, match="run the same command again"):
            store.append("measured", key="k")
    assert events(tmp_path) == ["open", "measured"]  # a later line would not follow from it: damaged


def test_a_changed_recipe_is_shown_key_by_key(tmp_path: Path) -> None:
    settings = {"seed": 0, "train": {"steps": 24, "beta": 0.1}, "rewards": [{"name": "a"}]}
    with Store.open(tmp_path, {**SUBJECT, "recipe": settings}):
        pass
    changed = {"seed": 0, "train": {"steps": 30, "beta": 0.1, "warm": 5}, "rewards": [{"name": "b"}]}
    with (
        pytest.raises(StoreError) as caught,
        Store.open(tmp_path, {**SUBJECT, "recipe": changed}),
    ):
        pass
    assert str(caught.value) == (
        f"{tmp_path}: written by a run with another recipe (train.steps: 24 then, 30 now; "
        'rewards.0.name: "a" then, "b" now; train.warm: not set then, 5 now); use another --out, or that recipe again'
    )


def test_another_recipe_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path, SUBJECT):
        pass
    with pytest.raises(StoreError, match="another data"), Store.open(tmp_path, {**SUBJECT, "data": "x"}):
        pass


def test_an_unsafe_name_in_the_journal_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path, SUBJECT) as store:
        store.append("intent", key="k", name="../../elsewhere")
        with pytest.raises(StoreError, match="unsafe name"):
            store.name_for((0.25, 0.75), "k")


def test_two_runs_are_refused(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom palm_opt.portfolio.store import Store\nfrom palm_opt.errors import StoreError\n"
        f"try:\n    with Store.open({str(tmp_path)!r}, {SUBJECT!r}): pass\n"
        "except StoreError as error:\n    sys.exit(str(error))\n"
    )
    root = Path(__file__).resolve().parents[2]
    with Store.open(tmp_path, SUBJECT):
        other = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
        assert other.returncode == 1 and "another palm_opt run" in other.stderr
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
