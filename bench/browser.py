"""Both checkers on the same mutants: python -m bench.browser --count 100000 --out bench/results/browser.json

Certificates of kind exact for random small pools (bench/mutants.py) are changed in one to three places and given to the
checker in Python and to the one in JavaScript (node). Any difference in what is accepted, or in the last line of what
is, is printed and ends the run with exit code 1. CPU seconds of node are those of the child process.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.mutants import mutant, pool_case, subject_of
from palm_opt import checker

RUNNER = Path(__file__).parents[1] / "tests" / "report" / "browser" / "cli.mjs"


def cases(count: int, seed: int) -> Iterator[tuple[str, str, int, str]]:
    """Certificate and table as texts, with exit code and last line of the checker in Python."""
    random_ = random.Random(seed)
    left = count
    while left:
        pool, document = pool_case(random_)
        subject, text = subject_of(pool), pool.csv()
        for k in range(min(left, 20)):
            changed = mutant(document, random_) if k else document
            try:
                code, line = 0, str(checker.check(changed, subject))
            except checker.InvalidCertificate as error:
                code, line = 1, str(error)
            except checker.CertificateParseError as error:
                code, line = 2, str(error)
            left -= 1
            yield json.dumps(changed), text, code, line


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print one JSON object, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    before = time.process_time()
    made = list(cases(options.count, options.seed))
    python = time.process_time() - before
    lines = "".join(json.dumps([certificate, text]) + "\n" for certificate, text, _, _ in made)
    done = subprocess.run(["node", str(RUNNER), "--texts"], input=lines, capture_output=True, text=True, check=True)
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    verdicts: Counter[str] = Counter()
    different = 0
    for (certificate, text, code, said), answer in zip(made, done.stdout.splitlines(), strict=True):
        other, _, line = answer.partition("\t")
        verdicts[f"python {code}, javascript {other}"] += 1
        if (code == 0) != (other == "0") or (code == 0 and line != said):
            different += 1
            print(json.dumps({"certificate": certificate, "table": text, "python": said, "javascript": line}))
    found = {
        "command": f"python -m bench.browser --count {options.count} --seed {options.seed}",
        "different": different,
        **dict(sorted(verdicts.items())),
        "cpu_python_with_making": round(python, 1),
        "cpu_javascript": round(child.ru_utime + child.ru_stime, 1),
    }
    print(json.dumps(found))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
