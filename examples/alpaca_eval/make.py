"""Make values.csv: the verified models of the AlpacaEval 2 leaderboard, from the PyPI package alpaca-eval.

    pip download --no-deps --dest cache alpaca-eval==0.6.6
    python make.py --wheel cache/alpaca_eval-0.6.6-py3-none-any.whl

Without `--wheel` the installed package is used; it is located and never imported. Standard library only.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEADERBOARD = "leaderboards/data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv"
VERIFIED = ("minimal", "verified")
"""Modes that the maintainers evaluated themselves ("minimal" is the part of "verified" that is printed by default)."""
COLUMNS = ("length_controlled_winrate", "win_rate", "avg_length")


def read_leaderboard(wheel: Path | None) -> str:
    """Text of the leaderboard in a wheel, or in the installed package where no wheel is given."""
    if wheel is not None:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(f"alpaca_eval/{LEADERBOARD}").decode()
    spec = importlib.util.find_spec("alpaca_eval")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            "error: alpaca-eval is not installed: pip install --no-deps alpaca-eval==0.6.6, or give --wheel"
        )
    return (Path(spec.submodule_search_locations[0]) / LEADERBOARD).read_text(encoding="utf-8")


def verified_rows(text: str) -> list[list[str]]:
    """Model and figures of the verified entries, best length-controlled win rate first, numbers as they are written."""
    rows = [r for r in csv.DictReader(io.StringIO(text)) if r["mode"] in VERIFIED]
    rows.sort(key=lambda r: (-float(r[COLUMNS[0]]), r[""]))
    return [[r[""], *(r[c] for c in COLUMNS)] for r in rows]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="wheel of alpaca-eval (default: the installed package)")
    parser.add_argument("--out", type=Path, default=HERE / "values.csv", help="file to write")
    options = parser.parse_args(argv)
    rows = verified_rows(read_leaderboard(options.wheel))
    with options.out.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([["model", *COLUMNS], *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
