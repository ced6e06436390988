"""The package's own heuristic on the master cover: greedy, then row-weighting local search. Claims no bound.

`solve` gives this backend more than covers of fixed rows: see `palm_opt.local`, `palm_opt.relaxation`, `palm_opt.tree`.
"""

from __future__ import annotations

from palm_opt.backends.greedy import solve_cover

__all__ = ["solve_cover"]
