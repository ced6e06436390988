"""Search for a portfolio with as few oracle calls (training runs) as possible, as ask and tell."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from palm_opt.arguments import integer, items, real
from palm_opt.errors import ProblemError
from palm_opt.search import state
from palm_opt.search.asking import Asking
from palm_opt.search.finish import conclude
from palm_opt.search.result import SearchResult
from palm_opt.storage import write_text

__all__ = ["Search"]


class Search(Asking):
    """Ask where to train next, tell the value vector, until one portfolio serves every weight.

    ::

        search = palm.Search(n_rewards=3, delta=0.02, oracle_error=(0.0, 0.0))
        while (w := search.ask()) is not None:
            search.tell(w, train_and_measure(w))
        search.result().members

    Parameters
    ----------
    n_rewards : d, at least 1; up to about 8 is practical (corners multiply with d).
    epsilon, delta : the promise; delta in units of the values.
    oracle_error : (eta, gamma): an answer at w has w.v >= (1 - eta) OPT(w) - gamma, for weights of sum 1. None: the
        search steers as if answers were exact, and claims nothing against OPT.
    strategy : "adaptive" asks at the worst corner of the certified gap (lazy estimate refinement); the baselines are
        "grid" (all of the hybrid grid of docs/theory.md, L8), "lazy-grid" (the same, skipping weights that are
        certified already), "uniform" (lattices of doubling resolution until one certifies), "random".
    seed : of the random strategy, and of the shifts in rounding.
    floor : a number or (d,) numbers that no admissible value vector, seen or not, is below. It tightens bounds
        (0 for rewards that are not negative; KL-penalised values can be negative).
    resolution : for the grids and "uniform": the one lattice of multiples of 1 / resolution instead.
    max_calls : questions to ask at most.
    rewards : d names, for the file of answers; by default "r1", "r2", ...

    Raises
    ------
    ProblemError : bad arguments.

    Notes
    -----
    All strategies ask the d unit weights first: no bound is finite without them. Source: docs/theory.md, L5, L6.
    """

    def result(self, time_limit: float = 60.0, among: Sequence[int] | None = None) -> SearchResult:
        """The fewest answered policies that keep the promise against the outer bound, and the proof.

        May be asked at any time: an early stop returns what is proved so far.

        Parameters
        ----------
        time_limit : seconds for choosing the members; a portfolio that may not be the smallest is returned at its end.
        among : numbers of the answers that may be members, by default all: answers of an ideal that cannot be deployed
            then bound OPT without being chosen.

        Raises
        ------
        ProblemError : bad arguments.
        """
        time_limit = real("time_limit", time_limit, "a number of seconds >= 0", lambda x: x >= 0)
        if among is not None:
            numbers = items("among", among, "a sequence of numbers of answers")
            among = sorted({integer("among", number, 0, len(self.answers) - 1) for number in numbers})
            if not among:
                raise ProblemError("among: expected at least one number of an answer")
        return conclude(self, time_limit, among)

    def write_answers(self, path: str | Path, policies: Sequence[str] | None = None) -> Path:
        """Write the answers as the CSV file that a certificate is about (docs/certificate-format.md), atomically.

        `policies` names the policy of each answer, in a column that no claim rests on.
        """
        lines = [[f"{kind}_{name}" for kind in "wv" for name in self.rewards]]
        for weight, value in zip(self.answers.weights.tolist(), self.answers.values.tolist(), strict=True):
            lines.append([*("" if math.isnan(x) else repr(x) for x in weight), *map(repr, value)])
        if policies is not None:
            lines = [[name, *line] for name, line in zip(["policy", *policies], lines, strict=True)]
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows(lines)
        return write_text(path, stream.getvalue())

    def serialise(self) -> str:
        """The state as JSON with numbers as hex floats; `Search.restore` goes on with the same next weight."""
        return state.write(self)

    @classmethod
    def restore(cls, text: str) -> Search:
        """The search of a `serialise`; ProblemError says where the text is not one."""
        return state.read(text, cls)
