"""Plan before training: the weights that are worth a training run, from scores of reference responses alone (L7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palm_opt import checker
from palm_opt.arguments import integer, real, refusal
from palm_opt.errors import InvalidCertificate, ProblemError
from palm_opt.planning.gibbs import check_beta, gibbs, jackknife, rounding
from palm_opt.planning.planned import Plan, Planned
from palm_opt.result import Certificate, Stop
from palm_opt.search import Search, SearchResult
from palm_opt.solver.separation import check_tolerances
from palm_opt.tables import scales
from palm_opt.tables.scores import RewardTable

__all__ = ["Plan", "Planned", "plan"]

_INTERRUPTED = 0.2  # seconds for choosing the members after Ctrl-C
_AUDIT_WORK = 20_000_000  # responses x weights that the exact checker evaluates again in seconds


def plan(
    table: RewardTable,
    beta: float = 0.1,
    *,
    epsilon: float = 0.0,
    delta: float = 0.02,
    strategy: str = "adaptive",
    seed: int = 0,
    refine: float = 2.0,
    resolution: int | None = None,
    max_calls: int | None = None,
    batch: int = 1,
    time_limit: float = 60.0,
    audit: bool | None = None,
    threads: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> Plan:
    """The fewest weights whose KL-regularised optimal policies serve every weight, and their planned value vectors.

    A search (`palm_opt.Search`) whose oracle is the closed form: no training. Each weight it asks is answered by the
    Gibbs policy over the table's responses, v = R - beta KL; at the end the fewest answers that keep the promise
    against the outer bound are kept. Train these weights with the same beta, then measure what came out.

    Parameters
    ----------
    table : scores of responses that the reference policy gave.
    beta : strength of the KL penalty, in units of the scaled rewards per nat.
    epsilon, delta : the promise max over members of w.v >= (1 - epsilon) OPT(w) - delta, in units of scaled rewards.
    strategy, seed, resolution : as for `Search`.
    refine : at least 1. Once the promise is certified, the adaptive search goes on to epsilon / refine, delta / refine:
        with more policies to choose from and a tighter bound fewer members are needed, and members are what is trained.
        It takes about refine^((d - 1) / 2) times the evaluations. 1 stops when the promise is certified.
    max_calls : weights to evaluate at most.
    batch : weights evaluated in one pass over the table; above 1 for tables that are read from the disk.
    time_limit : seconds for choosing the members; after them the portfolio may not be the smallest.
    audit : whether the certificate is about the scores themselves, all closed forms evaluated again by the exact
        checker (pure Python, about a microsecond per response and weight), or takes the answers as given. None: about
        the scores where that takes seconds.
    threads : 0 for all cores.
    progress : called with (weights evaluated, certified gap) after every answer.

    Returns
    -------
    Plan : of kind `conditional`: the promise is about OPT of this table, an estimate of the reference's (L7). Ctrl-C
        ends the search early with what is proved so far, about the scores themselves only where that
        takes no time.

    Raises
    ------
    ProblemError : bad arguments.

    Source: docs/theory.md, L5 to L7.
    """
    if not isinstance(table, RewardTable):
        raise refusal("table", "a palm_opt.RewardTable", table)
    epsilon, delta = check_tolerances(epsilon, delta)
    if not (epsilon or delta or max_calls is not None):
        raise ProblemError("delta: 0 beside epsilon 0 asks for endlessly many weights; give a tolerance, or max_calls")
    beta = check_beta(beta)
    batch, threads = integer("batch", batch, 1), integer("threads", threads)
    refine = real("refine", refine, "a finite number of at least 1", lambda x: 1 <= x < np.inf)
    time_limit = real("time_limit", time_limit, "a number of seconds >= 0", lambda x: x >= 0)

    def search(share: float) -> Search:
        """A search for a share of the tolerances that knows all answers so far."""
        new = Search(
            table.d,
            epsilon=epsilon * share,
            delta=delta * share,
            oracle_error=(0.0, rounding(table, beta)),
            strategy=strategy,
            seed=seed,
            resolution=resolution,
            max_calls=max_calls,
        )
        for weight, value in oracle.answers:
            new.tell(weight, value, answer=True)
        return new

    oracle = _Oracle(table, beta, batch, threads, progress)
    gaps: list[float] = []
    interrupted = False
    try:
        oracle.answer(search(1.0), gaps)
        if strategy == "adaptive" and refine > 1:
            oracle.answer(search(1 / refine), [])
    except KeyboardInterrupt:
        if len(oracle.answers) < table.d:
            raise
        interrupted = True
    ended = search(1.0)
    result = ended.result(min(time_limit, _INTERRUPTED) if interrupted else time_limit)
    stop = Stop.INTERRUPTED if interrupted else Stop.PROVED if result.kept else Stop.FINISHED
    return _conclude(oracle, ended, result, stop, gaps, audit)


@dataclass
class _Oracle:
    """The closed form in place of training; remembers what it answered."""

    table: RewardTable
    beta: float
    batch: int
    threads: int
    progress: Callable[[int, float], None] | None
    answers: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=list)

    def answer(self, search: Search, gaps: list[float]) -> None:
        """Answer a search until it asks no more, and append its gap after each answer to `gaps`."""
        while weights := search.ask(self.batch):
            values = gibbs(self.table, weights, self.beta, self.threads).values
            for weight, value in zip(weights, values, strict=True):
                search.tell(weight, value)
                self.answers.append((weight, value))
                gaps.append(search.gap)
                if self.progress is not None:
                    self.progress(len(self.answers), gaps[-1])


def _conclude(
    oracle: _Oracle, search: Search, result: SearchResult, stop: Stop, gaps: list[float], audit: bool | None
) -> Plan:
    """The plan of a search that has ended."""
    table, beta = oracle.table, oracle.beta
    found = gibbs(table, result.weights, beta, oracle.threads)
    bias = jackknife(table, found, oracle.threads)
    certificate = result.certificate
    work = table.rows * result.calls
    if stop is Stop.INTERRUPTED:
        audit = audit is not False and work <= _AUDIT_WORK // 50
    elif audit is None:
        audit = work <= _AUDIT_WORK
    if certificate is not None and audit:
        certificate = _about_scores(certificate, table, beta, search.answers.weights)
    members = tuple(
        Planned(
            weight=tuple((found.weights[i] / found.weights[i].sum()).tolist()),
            value=tuple(result.values[i].tolist()),
            reward=tuple(found.rewards[i].tolist()),
            kl=float(found.kl[i]),
            opt=float(found.opt[i] / found.weights[i].sum()),
            bias=float(bias.bias[i]),
            standard_error=float(bias.standard_error[i]),
        )
        for i in range(len(result.indices))
    )
    return Plan(
        rewards=table.rewards,
        scale=table.scale,
        beta=float(beta),
        epsilon=result.epsilon,
        delta=result.delta,
        members=members,
        regret=result.regret,
        worst_weight=None if result.worst_weight is None else tuple(result.worst_weight.tolist()),
        lower_bound=1 if certificate is None else int(certificate.get("answered", {}).get("lower_bound", 1)),
        calls=len(gaps),
        evaluations=result.calls,
        gaps=tuple(gaps),
        strategy=search.strategy,
        stop=stop,
        prompts=len(table.counts),
        responses=table.rows,
        single=bias.single,
        certificate=certificate,
    )


def _about_scores(answers: Certificate, table: RewardTable, beta: float, weights: NDArray[np.float64]) -> Certificate:
    """The certificate whose subject is the table: the same corners, the answers evaluated again by the checker.

    Where the checker does not accept it, `answers` as it is.
    """
    scores = table.problem()
    document = {key: value for key, value in answers.items() if key not in ("oracle_error", "floor")}
    document |= {
        "sha256": scores.sha256(),
        "subject": table.subject(),
        "scale": scales.written(table.scale),
        "objective": "reward_minus_kl",
        "beta": repr(beta),
        "weights": [list(map(repr, row)) for row in weights.tolist()],
    }
    for omitted in ((), ("answered",)):  # the checker's own margins are wider than the search's: a close call may fail
        tried = Certificate({key: value for key, value in document.items() if key not in omitted})
        try:
            tried.statement = checker.check(tried, scores).statement
        except (InvalidCertificate, checker.BeyondLimits):
            continue
        return tried
    return answers
