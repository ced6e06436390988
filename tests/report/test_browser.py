"""The checker in JavaScript: its own tests, its verdicts beside Python's, and the report in a real browser."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import palm_opt as palm
from palm_opt import checker
from palm_opt.report import write_report
from palm_opt.report.browser import POLICY

HERE = Path(__file__).parent
CERTIFICATES = HERE.parent / "certificates"
NODE = shutil.which("node")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


def judged(pairs: list[tuple[Path, Path]]) -> list[tuple[int, str]]:
    """Exit code and last line of the checker in JavaScript, for many files in one process."""
    assert NODE is not None
    command = [NODE, str(HERE / "browser" / "cli.mjs"), "--batch"]
    text = "".join(f"{certificate}\t{subject}\n" for certificate, subject in pairs)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    answers = [line.split("\t", 1) for line in done.stdout.splitlines()]
    assert len(answers) == len(pairs)
    return [(int(code), line) for code, line in answers]


def proved(certificate: Path, subject: Path) -> tuple[int, str]:
    """The same of the checker in Python."""
    try:
        return 0, str(checker.verify_files(certificate, subject))
    except checker.InvalidCertificate as error:
        return 1, str(error)
    except (checker.CertificateParseError, OSError, MemoryError) as error:
        return 2, str(error)


def exact(path: Path) -> bool:
    return bool(re.search(r'"kind":\s*"exact"', path.read_text("utf-8", "replace")))


@needs_node
def test_its_own_tests_pass() -> None:
    assert NODE is not None
    done = subprocess.run([NODE, str(HERE / "browser" / "test.mjs"), "40", "3"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_node
def test_both_checkers_agree_on_every_file_of_the_suite() -> None:
    pairs = [(path, path.with_suffix(".csv")) for path in sorted(CERTIFICATES.rglob("*.json")) if exact(path)]
    assert len(pairs) > 100
    for (certificate, subject), (code, line) in zip(pairs, judged(pairs), strict=True):
        expected, said = proved(certificate, subject)
        assert (code == 0) == (expected == 0), (certificate, line, said)
        if code == 0 and "/v1/" not in str(certificate):
            assert line == said, certificate


@needs_node
def test_both_checkers_agree_on_mutants(tmp_path: Path) -> None:
    random.seed(7)
    pairs = []
    sound = [path for path in sorted((CERTIFICATES / "correct").glob("*.json")) if exact(path)]
    for number in range(300):
        path = random.choice(sound)
        text = path.read_text("utf-8")
        numbers = list(re.finditer(r"\d+", text[text.index('"epsilon"') :]))
        chosen = random.choice(numbers)
        start = text.index('"epsilon"') + chosen.start()
        other = str(max(0, int(chosen[0]) + random.choice((-1, 1, 2))))
        mutant = tmp_path / f"{number}.json"
        mutant.write_text(text[:start] + other + text[start + len(chosen[0]) :], "utf-8")
        pairs.append((mutant, path.with_suffix(".csv")))
    verdicts = []
    for (certificate, subject), (code, line) in zip(pairs, judged(pairs), strict=True):
        expected, said = proved(certificate, subject)
        assert (code == 0) == (expected == 0), (certificate.read_text("utf-8"), line, said)
        verdicts.append(code)
    assert {0, 1} <= set(verdicts)


@needs_node
@pytest.mark.parametrize(
    ("length", "end", "expected"),
    [(1 << 24, "", 0), (1 << 24, "\r", 0), (1 << 24, "\r\n", 0), ((1 << 24) + 1, "", 2), ((1 << 24) + 1, "\r\n", 2)],
)
def test_both_checkers_agree_on_the_longest_line(tmp_path: Path, length: int, end: str, expected: int) -> None:
    """Its end does not count, and its fields may be as long as any."""
    certificate, table = CERTIFICATES / "correct" / "by-hand.json", tmp_path / "long.csv"
    header, *rows, last = (CERTIFICATES / "correct" / "by-hand.csv").read_text("utf-8").splitlines()
    commas = ["," * 128, *["," * 128] * len(rows)]
    last += ("," + "x" * (1 << 17)) * 127 + ","
    last += "y" * (length - len(last))
    lines = [line + more for line, more in zip((header, *rows), commas, strict=True)]
    table.write_bytes(("\n".join([*lines, last]) + end).encode())
    ((code, line),) = judged([(certificate, table)])
    assert (proved(certificate, table)[0], code) == (expected, expected), line


def report(tmp_path: Path) -> Path:
    values = palm.ValueMatrix([[0.3, 0.9], [0.9, 0.3], [0.7, 0.7], [0.1, 0.2]], names=["a", "</script>", "c", "é"])
    return write_report(tmp_path / "report.html", values, palm.solve(values, delta=0.1))


def test_the_report_admits_one_script(tmp_path: Path) -> None:
    text = report(tmp_path).read_text("utf-8")
    assert POLICY in text and len(re.findall(r"<script", text)) == len(re.findall(r"</script>", text)) == 3
    found = re.search(r'<script type="application/json" id="proof">(.*?)</script>', text, re.DOTALL)
    assert found is not None and set(json.loads(found[1])) == {"certificate", "table"}


class Browser:
    """A headless Chromium without a network, spoken to through its debugging pipe (file descriptors 3 and 4)."""

    def __init__(self, folder: Path) -> None:
        assert BROWSER is not None
        ours, theirs = os.pipe(), os.pipe()
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command += ["--remote-debugging-pipe", f"--user-data-dir={folder}", "--host-resolver-rules=MAP * ~NOTFOUND"]

        def plug() -> None:
            high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ours[0], theirs[1])]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(command, preexec_fn=plug, close_fds=False, stderr=subprocess.DEVNULL)
        os.close(ours[0])
        os.close(theirs[1])
        self.out, self.back = os.fdopen(ours[1], "wb"), os.fdopen(theirs[0], "rb")
        self.number, self.rest = 0, b""

    def ask(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        self.out.write(json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        self.out.flush()
        while True:
            while b"\0" not in self.rest:
                self.rest += os.read(self.back.fileno(), 1 << 20) or pytest.fail("the browser has gone")
            text, _, self.rest = self.rest.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == self.number:
                found: dict[str, Any] = answer["result"]
                return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.out.close()
        self.back.close()


def shown(path: Path, folder: Path) -> str:
    """The browser's verdict on the proof in a report: the class and the text of its line."""
    browser = Browser(folder)
    try:
        target = browser.ask("Target.createTarget", url=path.as_uri())["targetId"]
        session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        line = "(e => e ? `${e.className}: ${e.textContent}` : 'note')(document.getElementById('checked'))"
        for _ in range(600):
            found = browser.ask("Runtime.evaluate", session, expression=line)["result"]["value"]
            if not found.startswith("note"):
                return str(found)
            time.sleep(0.1)
        pytest.fail("no verdict in a minute")
    finally:
        browser.close()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_browser_checks_the_proof(tmp_path: Path) -> None:
    path = report(tmp_path)
    assert re.match(
        r"good: Checked in this browser in [0-9.]+ s: VERIFIED kind=exact members=", shown(path, tmp_path / "profile")
    )
    text = path.read_text("utf-8")
    start = text.index('id="proof"')
    altered = text[:start] + text[start:].replace('\\"delta\\":\\"0.1\\"', '\\"delta\\":\\"0.01\\"', 1)
    assert altered != text
    path.write_text(altered, "utf-8")
    assert re.match(r"bad: Checked in this browser in [0-9.]+ s: NOT VERIFIED: ", shown(path, tmp_path / "profile"))
