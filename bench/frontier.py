"""What a frontier costs: CPU seconds and counts of work for 1, 2, ... members.

python -m bench.frontier
"""

from __future__ import annotations

import palm_opt as palm
from bench import compare, instances
from bench.run import cpu, warm_up

CASES = (("nba_5d", "none", "epsilon", 10), ("map_gibbs_sweep", "minmax", "delta", 10))
CASES += (("anti-10000-4-1004", "none", "epsilon", 8),)
WORK = ("solves", "rounds", "lps", "pivots", "relaxations", "lp_iterations", "nodes", "steps")


def measure(name: str, scale: str, vary: str, size: int) -> list[str]:
    """One frontier; every certificate is checked once more, outside the time."""
    values = instances.load(name, scale)
    before = cpu()
    points = palm.frontier(values, vary, size)
    used = cpu() - before
    for point in points:
        palm.verify(point.certificate or {}, values)
    proved = sum(point.status is palm.Status.OPTIMAL for point in points)
    work = points[-1].info
    return [name, vary, f"1 to {points[-1].size}", f"{proved}", f"{used:.1f}", *(f"{work[key]:,}" for key in WORK)]


def main() -> None:
    warm_up("palm-native")
    print(compare.table(["pool", "vary", "members", "proved", "CPU s", *WORK], [measure(*case) for case in CASES]))


if __name__ == "__main__":
    main()
