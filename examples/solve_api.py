"""For users of solvers: limits, callbacks, warm starts, backends, a budget, and the proof, through the Python API.

python examples/solve_api.py
"""

from __future__ import annotations

import numpy as np

import palm_opt as palm
from palm_opt.wording import needed, plural


def anticorrelated(n: int, d: int, seed: int) -> palm.ValueMatrix:
    """Make a pool whose rewards compete: points near a sphere."""
    rng = np.random.default_rng(seed)
    points = np.abs(rng.normal(size=(n, d)))
    points *= rng.uniform(0.9, 1.0, (n, 1)) / np.linalg.norm(points, axis=1, keepdims=True)
    return palm.ValueMatrix(points, rewards=[f"reward {k}" for k in range(d)])


def main() -> None:
    """Solve one problem in several ways."""
    values = anticorrelated(1_000, 3, seed=0)
    print(values)

    # The cheapest portfolio. Every return carries a proved bound, also at a limit; the status says what is proved.
    seen: set[tuple[int, float]] = set()

    def watch(progress: palm.Progress) -> bool:
        state = len(progress.incumbent), progress.lower_bound
        if state not in seen:
            found = plural(state[0], "member") if state[0] else "no portfolio yet"
            print(f"  {progress.seconds:5.2f} s: {found}{', ' + needed(state[1]) if state[1] > 0 else ''}")
        seen.add(state)
        return False  # True would stop the solve and return the incumbent

    settings = palm.Settings(time_limit=10, seed=0)
    result = palm.solve(values, epsilon=0.0, delta=0.05, settings=settings, callback=watch)
    print(f"{result.status}, stopped because {result.stop}: {result.message}")
    print(f"worst regret {result.regret:.4f} at weight {np.round(result.worst_weight, 3)}; work {dict(result.info)}")

    # Other backends, started from what is known: each proposes, the exact checker disposes.
    for backend in palm.backends():
        again = palm.solve(
            values, delta=0.05, backend=backend, warm_start=result.members, settings=palm.Settings(time_limit=10)
        )
        print(f"  {backend:8} size {again.size}, proved at least {again.lower_bound:g}, claimed {again.claimed_bound}")

    # At most five members: the least delta, bracketed by proofs.
    budget = palm.solve(values, max_size=5, vary="delta", settings=palm.Settings(time_limit=10))
    print(f"5 members: delta {budget.tolerance:.4f}, and none below {budget.tolerance_lower_bound:.4f}")

    # The certificate stands by itself: verify() uses exact arithmetic and no solver.
    print(palm.verify(result.certificate, values))


if __name__ == "__main__":
    main()
