"""The main job, end to end: `make run`.

(a) Real tables of LLMs: the smallest portfolio, its proof, and how it compares with greedy, uniform and random choice.
(b) The embedded recipe: train a small real language model where the proved gap is widest, until every preference is
    served; measure, prune, prove, certify for new prompts, route.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import palm_opt as palm
from palm_opt.wording import at_most, confidence, plural

HERE = Path(__file__).resolve().parent
CHECKER = HERE.parent / "palm_opt" / "checker"
TABLES = [
    {
        "title": "Prompted policies of SmolLM2-135M-Instruct (this project's own sample)",
        "file": HERE / "prompted_policies" / "values.csv",
        "id": "policy",
        "rewards": None,
        "delta": 0.05,
    },
    {
        "title": "AlpacaEval 2, verified entries: quality against length",
        "file": HERE / "alpaca_eval" / "values.csv",
        "id": "model",
        "rewards": ["length_controlled_winrate", "win_rate", "-avg_length"],
        "delta": 0.12,  # three models serve everyone exactly: only with fewer is there anything to choose
    },
]


def solve_table(table: dict, out: Path) -> list[Path]:
    """Solve one table, write and verify the certificate, print the comparison; returns the paths written."""
    values = palm.ValueMatrix.read(table["file"], id=table["id"], rewards=table["rewards"], scale="minmax")
    result = palm.solve(values, delta=table["delta"])
    print(f"\n== {table['title']}")
    print(f"{values.n} policies, {values.d} rewards: {', '.join(values.rewards)}; each scaled to [0, 1]")
    print(f"{result.status}: {result.message} (within {at_most(result.delta)} of the best of this pool).")
    print(f"  members: {', '.join(result.members)}")
    out.mkdir(parents=True, exist_ok=True)
    certificate = result.certificate.write(out / "certificate.json")
    check = subprocess.run(
        [sys.executable, "-I", "-S", str(CHECKER), str(certificate), str(table["file"])], capture_output=True, text=True
    )
    print(f"  {check.stdout.strip() or check.stderr.strip()}")
    if check.returncode:
        raise SystemExit("the certificate was not verified")
    print("  The proof is exact for this table of sample means, not for the population behind it.")
    compare(values, result)
    from palm_opt.report import write_report

    report = out / "report.html"
    write_report(
        report, values, result, frontier=palm.frontier(values, max_size=min(8, values.n)), title=table["title"]
    )
    return [certificate, report]


def compare(values: palm.ValueMatrix, result: palm.Result) -> None:
    """Print what greedy, uniform and random choice achieve with as many members, and what they need for the promise."""
    greedy = palm.solve(values, delta=result.delta, backend="greedy")
    draws = [palm.baseline(values, "random", result.size, seed=seed).indices for seed in range(25)]
    draws.sort(key=lambda members: palm.regret(values, members).worst)
    rows = [
        ("palm_opt", result.indices, "proved least"),
        ("greedy cover", greedy.indices, "same size" if greedy.size == result.size else "larger"),
        ("uniform weights", palm.baseline(values, "uniform", result.size).indices, needed(values, "uniform", result)),
        ("random weights *", draws[len(draws) // 2], needed(values, "random", result, seeds=25)),
    ]
    print("  chosen by         members  worst regret over all preferences   to keep the promise")
    for name, members, need in rows:
        print(f"  {name:<17} {len(members):7d}  {at_most(palm.certify(values, members).delta):<35} {need}")
    print("  * the median of 25 draws; a weight whose best policy is already there adds no member")
    if greedy.size == result.size:
        print("  Greedy finds as few members here, without knowing it: what palm_opt adds is the proof.")


def needed(values: palm.ValueMatrix, kind: str, result: palm.Result, seeds: int = 1, most: int = 100) -> str:
    """How many weights a baseline has to try until it keeps the promise (the median over seeds), as text."""
    found = []
    for seed in range(seeds):
        for size in range(result.size, most + 1):
            members = palm.baseline(values, kind, size, seed).indices
            if size == most or palm.regret(values, members).worst <= result.delta:
                found.append((size, len(members)))
                break
    weights, size = sorted(found)[len(found) // 2]
    return f"not with {most} weights" if weights == most else f"{plural(weights, 'weight')}, {plural(size, 'member')}"


def embedded(out: Path) -> list[Path]:
    """Train, measure, prune, certify and route the embedded recipe."""
    from palm_opt.align import run

    print(
        "\n== Embedded recipe: a small causal LM, three rewards, GRPO + LoRA where the proved gap is widest", flush=True
    )
    portfolio = run(HERE / "embedded.toml", out)
    how = portfolio.run
    serve = plural(len(portfolio.members), "policy serves", "policies serve")
    print(f"{serve} every preference within {at_most(portfolio.delta)} of what training could reach at best")
    print(f"  ({plural(how['trainings'], 'training')}; declared trainer error {how['trainer_error'][1]})")
    if portfolio.statistical is not None:
        print(
            f"  on new prompts, with probability {confidence(portfolio.statistical['alpha'])}: within "
            f"{at_most(portfolio.statistical['delta'])} of the best measured policy"
        )
    check = subprocess.run(
        [sys.executable, "-I", "-S", str(CHECKER), str(out / "certificate.json"), str(out / "answers.csv")],
        capture_output=True,
        text=True,
    )
    print(f"  {check.stdout.strip() or check.stderr.strip()}")
    if check.returncode:
        raise SystemExit("the certificate was not verified")
    names = portfolio.rewards
    for weight in ({names[0]: 1.0}, {names[0]: 0.5, names[1]: 0.5}, dict.fromkeys(names, 1.0)):
        route = palm.route(portfolio, weight)
        text = ", ".join(f"{name} {share:g}" for name, share in weight.items())
        print(f"  preference {text}: {route.member}, value {route.value:.3f}, regret at most {at_most(route.regret)}")
    return [out / "portfolio.json", out / "certificate.json", out / "report.html"]


def main() -> None:
    """Run both halves; end with the paths written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    began, written = time.monotonic(), []
    for table in TABLES:
        if table["file"].exists():
            written += solve_table(table, options.out / table["file"].parent.name)
    written += embedded(options.out / "embedded")
    print(f"\nWritten in {time.monotonic() - began:.0f} s:")
    for path in written:
        print(f"  {path}")


if __name__ == "__main__":
    main()
