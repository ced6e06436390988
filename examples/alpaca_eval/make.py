"""Make values.csv from the AlpacaEval 2 leaderboard inside PyPI's alpaca-eval 0.6.6 (Apache-2.0).

pip download --no-deps -d . alpaca-eval==0.6.6 && python make.py alpaca_eval-0.6.6-py3-none-any.whl
"""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from pathlib import Path

LEADERBOARD = "alpaca_eval/leaderboards/data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv"
COLUMNS = ["model", "length_controlled_winrate", "discrete_win_rate", "avg_length"]


def main(wheel: str) -> None:
    """Keep the verified entries: the community part holds a cheating model with one constant output."""
    text = zipfile.ZipFile(wheel).read(LEADERBOARD).decode()
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["mode"] == "verified"]
    with Path(__file__).with_name("values.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([row[""], *(row[column] for column in COLUMNS[1:])] for row in rows)
    print(f"{len(rows)} verified entries")


if __name__ == "__main__":
    main(sys.argv[1])
