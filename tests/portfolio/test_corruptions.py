"""A finished directory is bent in hundreds of ways: each is refused in one line or changes nothing that is said."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import palm_opt as palm
from palm_opt.align import Portfolio
from palm_opt.errors import PalmError, StoreError
from palm_opt.portfolio.store import Store
from palm_opt.report import portfolio_report
from palm_opt.wording import at_most
from tests.portfolio.finished import MEMBERS, REWARDS, SUBJECT, change_manifest, make_finished

TEBIBYTE = 2**40
WORK = {"journal.jsonl", "journal.head", "looks.json"}  # what a run goes on from; a reader needs none of it

WHITESPACE = {"one byte less", "a newline more"}  # at the end of JSON it may go or come


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_finished(tmp_path_factory.mktemp("finished") / "p")
    portfolio_report(root)
    return root


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "p")


def read(root: Path) -> Any:
    """What a reader is told."""
    portfolio = Portfolio.load(root)
    weights = [{reward: 1.0} for reward in REWARDS] + [dict.fromkeys(REWARDS, 1.0)]
    return portfolio.members, portfolio.delta, [palm.route(root, weight) for weight in weights]


def resume(root: Path) -> Any:
    """What a run goes on from: a look with another claim is the second one."""
    with Store.open(root, SUBJECT) as store, store.ledger() as ledger:
        return store._journal.entries, ledger.looks


def told(function: Callable[[Path], Any], root: Path) -> Any:
    """What is said, or that it is refused: in one line and soon."""
    began = time.monotonic()
    try:
        return function(root)
    except PalmError as error:
        assert str(error) and "\n" not in str(error)
        return "refused"
    finally:
        assert time.monotonic() - began < 5


def files(root: Path) -> list[str]:
    names = (item.relative_to(root).as_posix() for item in sorted(root.rglob("*")) if item.is_file())
    return [name for name in names if not name.endswith(".lock")]


def cut(length: Callable[[int], int]) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        os.truncate(file, length(file.stat().st_size))

    return change


def flip(place: Callable[[int], int], bit: int) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[place(len(data))] ^= 1 << bit
        file.write_bytes(data)

    return change


def linked(file: Path) -> None:
    file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent / "elsewhere")


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "emptied": cut(lambda size: 0),
    "halved": cut(lambda size: size // 2),
    "one byte less": cut(lambda size: size - 1),
    "one line less": lambda file: file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1])),
    "first byte": flip(lambda size: 0, 0),
    "a byte at a third": flip(lambda size: size // 3, 2),
    "a byte at two thirds": flip(lambda size: 2 * size // 3, 0),
    "last byte": flip(lambda size: size - 1, 1),
    "a newline more": lambda file: file.write_bytes(file.read_bytes() + b"\n"),
    "doubled": lambda file: file.write_bytes(2 * file.read_bytes()),
    "grown to a tebibyte": cut(lambda size: TEBIBYTE),
    "removed": Path.unlink,
    "a link": linked,
    "a folder": folder,
}


def corrupted(root: Path, backup: Path) -> Iterator[tuple[set[str], str]]:
    """Bend a file of a directory, then the next: (files, what was done). It is mended in between."""

    def mend() -> None:
        shutil.rmtree(root)
        shutil.copytree(backup, root)

    names = files(root)
    for name in names:
        for what, change in CHANGES.items():
            change(root / name)
            yield {name}, what
            mend()
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        if (root / name).read_bytes() != (root / other).read_bytes():
            (root / name).rename(root / "third")
            (root / other).rename(root / name)
            (root / "third").rename(root / other)
            yield {name, other}, "swapped"
            mend()


def test_every_corruption_is_refused_or_harmless(finished: Path, tmp_path: Path) -> None:
    root = shutil.copytree(finished, tmp_path / "p")
    said, state = read(root), resume(root)
    count = 0
    for names, what in corrupted(root, finished):
        count += 1
        answers, goes_on = told(read, root), told(resume, root)
        assert answers in (said, "refused"), f"{names}, {what}: believed"
        assert goes_on in (state, "refused"), f"{names}, {what}: gone on from"
        if not names <= WORK:
            assert answers == "refused", f"{names}, {what}: not noticed by a reader"
        if names & WORK and what not in WHITESPACE:
            assert goes_on == "refused", f"{names}, {what}: not noticed by a run"
    assert count >= 200


@pytest.mark.parametrize("name", ["values.csv", "evaluation.parquet", "adapters/w-100-0-0/adapter_model.safetensors"])
def test_a_tebibyte_is_refused_before_it_is_hashed(name: str, copy: Path) -> None:
    os.truncate(copy / name, TEBIBYTE)
    with pytest.raises(StoreError, match=rf"{name.rpartition('/')[2]}: its size, {TEBIBYTE} bytes and not \d+, is not"):
        palm.route(copy, {"brevity": 1.0})


def test_a_digit_changed_by_hand_is_noticed_with_and_without_its_seal(copy: Path) -> None:
    text = (copy / "portfolio.json").read_text()
    assert text.count("0.6962427083333335") == 1
    (copy / "portfolio.json").write_text(text.replace("0.6962427083333335", "0.9962427083333335"))
    with pytest.raises(StoreError, match="not the hash of all before them"):
        palm.route(copy, {"positivity": 1.0})
    (copy / "portfolio.json").write_text(text)
    change_manifest(copy, "members", 0, "value", "positivity", to=0.9962427083333335)
    for function in (Portfolio.load, portfolio_report, lambda root: palm.route(root, {"positivity": 1.0})):
        with pytest.raises(StoreError, match=r"positivity 0\.9962427083333335 in portfolio\.json, 0\.69624"):
            function(copy)


@pytest.mark.parametrize(
    ("keys", "to", "said"),
    [
        (("members", 0, "name"), "w-79-21-0", "unsafe adapter path"),
        (("members", 0, "value", "brevity"), 0.0377604166666666, "in values.csv"),
        (("members", 0, "value", "brevity"), 7.0, "its range"),
        (("members", 0, "value", "brevity"), -0.1, "its range"),
        (("files", "values.csv", "size"), 5, "its size"),
        (("files", "values.csv", "size"), True, "unexpected entry"),
        (("files", "values.csv"), "0" * 64, "unexpected entry"),
        (("files", "journal.jsonl"), {"size": 1, "sha256": "0" * 64}, "unexpected entry"),
    ],
)
def test_a_sealed_lie_is_held_against_the_files(keys: tuple[Any, ...], to: Any, said: str, copy: Path) -> None:
    change_manifest(copy, *keys, to=to)
    with pytest.raises(StoreError, match=said):
        Portfolio.load(copy, check=False)


def test_a_member_that_is_not_in_the_table_is_refused(copy: Path) -> None:
    rows = (copy / "values.csv").read_text().splitlines(keepends=True)
    (copy / "values.csv").write_text("".join(row for row in rows if not row.startswith("w-0-100-0,")))
    data = (copy / "values.csv").read_bytes()
    change_manifest(copy, "files", "values.csv", to={"size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    with pytest.raises(StoreError, match=r"values\.csv has no row for the member w-0-100-0"):
        Portfolio.load(copy)


def test_the_seal_is_the_hash_of_all_lines_but_the_last_two(copy: Path) -> None:
    lines = (copy / "portfolio.json").read_bytes().splitlines(keepends=True)
    seal = hashlib.sha256(b"".join(lines[:-2])).hexdigest()  # head -n -2 portfolio.json | sha256sum
    assert lines[-2:] == [f' "sha256": "{seal}"\n'.encode(), b"}\n"]
    assert list(json.loads(b"".join(lines)))[-1] == "sha256"


def test_a_directory_of_version_1_still_loads_and_its_report_makes_it_version_2(copy: Path) -> None:
    document = json.loads((copy / "portfolio.json").read_bytes())
    said = read(copy)
    del document["journal"], document["sha256"]
    document["version"] = 1
    document["files"] = {name: entry["sha256"] for name, entry in document["files"].items()}
    (copy / "portfolio.json").write_text(json.dumps(document, indent=1))
    assert read(copy) == said
    portfolio_report(copy)
    assert json.loads((copy / "portfolio.json").read_bytes())["version"] == 2 and read(copy) == said
    document["members"][0]["value"]["positivity"] = 0.99
    (copy / "portfolio.json").write_text(json.dumps(document, indent=1))
    with pytest.raises(StoreError, match=r"values\.csv"):
        palm.route(copy, {"positivity": 1.0})
    document["journal"] = {"lines": 0, "checksum": ""}
    (copy / "portfolio.json").write_text(json.dumps(document, indent=1))
    with pytest.raises(StoreError, match="as version 1 has them"):
        Portfolio.load(copy)


def test_the_report_says_what_the_directory_proves(copy: Path) -> None:
    text = portfolio_report(copy).read_text("utf-8")
    delta = at_most(Portfolio.load(copy).delta or 0.0)
    assert f"3 policies serve every preference within {delta} of the best that training could reach" in text
    assert all(name in text for name in MEMBERS) and "at least 3 measured policies are needed" in text
