"""Plan before training: the weights that are worth a training run, from scores of reference responses alone (L7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from palm_opt import certificate as checker
from palm_opt.errors import InvalidCertificate, ProblemError
from palm_opt.gibbs import gibbs, jackknife, rounding
from palm_opt.planned import Plan, Planned
from palm_opt.result import Certificate, Stop
from palm_opt.rewards import RewardTable
from palm_opt.search import Search, SearchResult

__all__ = ["Plan", "Planned", "plan"]

_AUDIT_WORK = 20_000_000  # responses x weights that the exact checker evaluates again in seconds


def plan(
    table: RewardTable,
    beta: float = 0.1,
    epsilon: float = 0.0,
    delta: float = 0.02,
    strategy: str = "adaptive",
    seed: int = 0,
    *,
    resolution: int | None = None,
    max_calls: int | None = None,
    batch: int = 1,
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
    strategy, seed, resolution, max_calls : as for `Search`.
    batch : weights evaluated in one pass over the table; above 1 for tables that are read from the disk.
    audit : whether the certificate is about the scores themselves, all closed forms evaluated again by the exact
        checker (pure Python, about a microsecond per response and weight), or takes the answers as given. None: about
        the scores where that takes seconds.
    threads : 0 for all cores.
    progress : called with (calls, certified gap) after every answer.

    Returns
    -------
    Plan : of kind `conditional`: the promise is about OPT of this table, an estimate of the reference's (L7). Ctrl-C
        ends the search early with what is proved so far.

    Raises
    ------
    ProblemError : bad arguments.

    Source: docs/theory.md, L5 to L7.
    """
    if batch < 1:
        raise ProblemError(f"batch: expected at least 1, got {batch}")
    error = (0.0, rounding(table, beta))
    search = Search(
        table.d, epsilon, delta, error, strategy=strategy, seed=seed, resolution=resolution, max_calls=max_calls
    )
    gaps: list[float] = []
    interrupted = False
    try:
        for weights in _questions(search, batch):
            found = gibbs(table, weights, beta, threads)
            for weight, value in zip(weights, found.values, strict=True):
                search.tell(weight, value)
                gaps.append(search.gap)
                if progress is not None:
                    progress(search.calls, gaps[-1])
    except KeyboardInterrupt:
        if search.calls < table.d:
            raise
        interrupted = True
    result = search.result()
    stop = Stop.INTERRUPTED if interrupted else Stop.PROVED if result.kept else Stop.FINISHED
    return _conclude(table, beta, search, result, stop, gaps, audit, threads)


def _questions(search: Search, batch: int) -> Iterator[NDArray[np.float64]]:
    """Weights (m, d) to evaluate next, at most `batch` together."""
    while weights := search.ask(batch):
        yield np.array(weights)


def _conclude(
    table: RewardTable,
    beta: float,
    search: Search,
    result: SearchResult,
    stop: Stop,
    gaps: list[float],
    audit: bool | None,
    threads: int,
) -> Plan:
    """The plan of a search that has ended."""
    found = gibbs(table, result.weights, beta, threads)
    bias = jackknife(table, found, threads)
    certificate = result.certificate
    if audit is None:
        audit = table.rows * result.calls <= _AUDIT_WORK
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
        calls=result.calls,
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
    scores, scale = table.problem(), table.scale
    document = {key: value for key, value in answers.items() if key not in ("oracle_error", "floor")}
    document |= {
        "sha256": scores.sha256(),
        "subject": table.subject(),
        "scale": scale if isinstance(scale, str) else [[x.hex() for x in pair] for pair in scale],
        "objective": "reward_minus_kl",
        "beta": float(beta).hex(),
        "weights": [[x.hex() for x in row] for row in weights.tolist()],
    }
    for omitted in ((), ("answered",)):  # the checker's own margins are wider than the search's: a close call may fail
        tried = {key: value for key, value in document.items() if key not in omitted}
        try:
            checker.check(tried, scores)
        except InvalidCertificate:
            continue
        return Certificate(tried)
    return answers
