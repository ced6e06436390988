"""The journal is anchored: missing last lines are noticed, and what a kill leaves is not taken for that."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palm_opt.errors import StoreError
from palm_opt.portfolio.journal import Journal, read_journal
from palm_opt.portfolio.manifest import write_manifest
from palm_opt.portfolio.store import Store
from tests.portfolio.finished import SUBJECT, make_finished

Work = Callable[[Path], Any]


def write(root: Path) -> None:
    """A run of a few lines, with a look; done again, it adds nothing."""
    with Store.open(root, SUBJECT) as store:
        for key in ("one", "two", "three"):
            if store.entry("measured", key) is None:
                store.append("measured", key=key)
        with store.ledger() as ledger:
            ledger.open(["a prompt"], "a claim", None)


def lines(root: Path) -> list[bytes]:
    return (root / "journal.jsonl").read_bytes().splitlines(keepends=True)


def head_of(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"lines": len(entries), "checksum": entries[-1]["checksum"] if entries else ""}


def test_missing_last_lines_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    whole = lines(tmp_path)
    assert len(whole) == 5
    for kept in range(5):
        (tmp_path / "journal.jsonl").write_bytes(b"".join(whole[:kept]))
        with pytest.raises(StoreError, match=rf"{kept} whole lines do not hold the 5 that journal\.head has seen"):
            write(tmp_path)
    (tmp_path / "journal.jsonl").unlink()
    with pytest.raises(StoreError, match="0 whole lines"):
        write(tmp_path)


def test_a_journal_without_its_head_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    whole = lines(tmp_path)
    (tmp_path / "journal.head").unlink()
    for kept in range(1, 6):
        (tmp_path / "journal.jsonl").write_bytes(b"".join(whole[:kept]))
        with pytest.raises(StoreError, match=r"journal\.head is missing"):
            write(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"lines": -1, "checksum": ""}', '{"lines": "5", "checksum": ""}']
)
def test_a_damaged_head_is_refused(text: str, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "journal.head").write_text(text)
    with pytest.raises(StoreError, match=r"journal\.head: damaged|journal\.head has no number of lines"):
        write(tmp_path)


def test_the_manifest_vouches_for_the_journal_too(tmp_path: Path) -> None:
    root = make_finished(tmp_path / "p")
    whole, (entries, _) = lines(root), read_journal(root / "journal.jsonl")
    (root / "journal.jsonl").write_bytes(b"".join(whole[:-1]))
    (root / "journal.head").write_text(json.dumps(head_of(entries[:-1])))
    with pytest.raises(StoreError, match="that the manifest has seen"):
        write(root)
    (root / "journal.jsonl").unlink()
    (root / "journal.head").unlink()
    with pytest.raises(StoreError, match="0 whole lines do not hold the 8 that the manifest has seen"):
        write(root)


def test_a_look_that_the_ledger_forgot_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "looks.json").rename(tmp_path / "kept.json")
    with pytest.raises(StoreError, match=r"looks\.json: looks that the journal has are missing"):
        write(tmp_path)
    (tmp_path / "kept.json").rename(tmp_path / "looks.json")
    write(tmp_path)
    assert len(lines(tmp_path)) == 5


def test_a_journal_from_before_there_were_heads_gets_one(tmp_path: Path) -> None:
    before = ""
    for key in ("one", "two"):  # the first line says no version, and there is no head
        body = json.dumps({"event": "measured", "key": key}, sort_keys=True, separators=(",", ":"))
        before = hashlib.sha256((before + body).encode()).hexdigest()[:16]
        with (tmp_path / "journal.jsonl").open("a") as stream:
            stream.write(f'{body[:-1]},"checksum":"{before}"}}\n')
    journal = Journal(tmp_path / "journal.jsonl")
    assert len(journal.entries) == 2 and not (tmp_path / "journal.head").exists()
    journal.append("measured", key="three")
    assert json.loads((tmp_path / "journal.head").read_bytes()) == head_of(journal.entries)
    (tmp_path / "journal.jsonl").write_bytes(b"".join(lines(tmp_path)[:2]))
    with pytest.raises(StoreError, match="2 whole lines do not hold the 3"):
        Journal(tmp_path / "journal.jsonl")


@pytest.mark.parametrize("mode", ["kill", "torn", "interrupt", "full"])
def test_disturbed_at_any_call_it_goes_on(mode: str, tmp_path: Path) -> None:
    """Nothing acknowledged is lost, and what a crash leaves is never taken for damage."""
    from tests.align.faults import ENDS, disturbed

    write(tmp_path / "whole")
    expected = lines(tmp_path / "whole")
    root = tmp_path / "p"
    for k in range(1, 200):
        code = disturbed(mode, k, lambda: write(root))
        if code == 0:
            break
        assert code in ENDS[mode], f"{mode} {k}: ended with {code}"
        left = lines(root)[: len(read_journal(root / "journal.jsonl")[0])] if (root / "journal.jsonl").exists() else []
        write(root)
        assert lines(root)[: len(left)] == left, f"{mode} {k}: lost an acknowledged line"
        assert lines(root) == expected, f"{mode} {k}: ended otherwise"
        shutil.rmtree(root)
    assert k > 12


def test_a_manifest_without_an_anchor_asks_for_none(tmp_path: Path) -> None:
    root = make_finished(tmp_path / "p")
    document = json.loads((root / "portfolio.json").read_bytes())
    del document["journal"]
    write_manifest(root / "portfolio.json", document)
    write(root)
