"""The best policies under a KL penalty over sampled responses, in closed form (docs/theory.md, L7)."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt import _core
from palm_opt.arguments import real
from palm_opt.errors import ProblemError
from palm_opt.tables.scores import Block, RewardTable

__all__ = ["Bias", "Gibbs", "check_beta", "gibbs", "jackknife", "rounding"]

T = TypeVar("T")


@dataclass(frozen=True)
class Gibbs:
    """Gibbs policies pi_w(y|x) = q(y|x) exp(w.r(x, y) / beta) / Z(x), one a weight; means over the prompts.

    opt : (m,) OPT(w) = mean of beta log Z(x), the largest w.R - beta KL of any policy over these responses.
    rewards : (m, d) R, the gradient of OPT. kl : (m,) mean KL(pi_w(.|x) || q(.|x)) in nats, at most `table.surprise`.
    values : (m, d) value vectors v = R - beta KL: w.v = OPT(w) for weights with sum 1.
    """

    weights: NDArray[np.float64]
    beta: float
    opt: NDArray[np.float64]
    rewards: NDArray[np.float64]
    kl: NDArray[np.float64]

    @property
    def values(self) -> NDArray[np.float64]:
        """(m, d) value vectors."""
        result: NDArray[np.float64] = self.rewards - self.beta * self.kl[:, None]
        return result


@dataclass(frozen=True)
class Bias:
    """How far a table says OPT is from that of the reference it was sampled from.

    bias : (m,) delete-one-response jackknife estimate of the bias of OPT(w), mean over the prompts with two or more
        responses: negative where more responses would give a larger OPT; NaN if there is no such prompt. An estimate;
        it is small where beta is not small against the spread of the rewards, and unreliable elsewhere.
    standard_error : (m,) of OPT(w) over the prompts; NaN for a single prompt.
    single : number of prompts with one response, of which nothing can be said.
    """

    bias: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    single: int


def gibbs(table: RewardTable, weights: ArrayLike, beta: float, threads: int = 0) -> Gibbs:
    """The Gibbs policies of weights, shape (m, d), entries >= 0: one pass over the table.

    Numbers are the same whatever the number of threads, and whether a weight is asked alone or with others. Their
    rounding errors are below `rounding(table, beta)`.

    Raises
    ------
    ProblemError : bad weights, or beta that is not a finite number above 0.
    """
    w = _checked(table, weights, beta)
    tilted = w / beta
    sums = carry = np.zeros((len(w), table.d + 2))
    for part, rest in _map(lambda b: _core.gibbs(b.offsets, b.scores, b.log_q, tilted), table.blocks(), threads):
        total = sums + part
        error = total - sums
        carry = carry + ((sums - (total - error)) + (part - error) + rest)
        sums = total
    means = (sums + carry) / len(table.counts)
    kl = np.maximum(means[:, 1], 0.0)  # rounding may leave -1e-16
    return Gibbs(w, beta, beta * means[:, 0], np.ascontiguousarray(means[:, 2:]), kl)


def jackknife(table: RewardTable, found: Gibbs, threads: int = 0) -> Bias:
    """Jackknife bias of OPT over responses, and its standard error over prompts, at the weights of `found`."""
    tilted, centre = found.weights / found.beta, found.opt / found.beta

    def one(block: Block) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        opt, bias = _core.gibbs_bias(block.offsets, block.scores, block.log_q, tilted)
        known = np.diff(block.offsets) > 1
        return bias[known].sum(axis=0), ((opt - centre) ** 2).sum(axis=0), int(known.sum())

    total, squares, known = np.zeros(len(tilted)), np.zeros(len(tilted)), 0
    for bias, square, count in _map(one, table.blocks(), threads):
        total, squares, known = total + bias, squares + square, known + count
    prompts = len(table.counts)
    nothing = np.full(len(tilted), np.nan)
    return Bias(
        found.beta * total / known if known else nothing,
        found.beta * np.sqrt(squares / (prompts - 1) / prompts) if prompts > 1 else nothing,
        prompts - known,
    )


def rounding(table: RewardTable, beta: float) -> float:
    """A bound, with a margin of hundreds, on the rounding errors of OPT and value vectors for weights with sum 1."""
    return float(2.0**-42 * (table.largest + beta * (1 + table.surprise)))


def check_beta(beta: float) -> float:
    """The strength of the KL penalty as a float; what is no finite number > 0 is refused."""
    return real("beta", beta, "a finite number > 0", lambda x: 0 < x < np.inf)


def _checked(table: RewardTable, weights: ArrayLike, beta: float) -> NDArray[np.float64]:
    beta = check_beta(beta)
    try:
        w = np.array(weights, dtype=np.float64, ndmin=2)
    except (TypeError, ValueError) as error:
        raise ProblemError(f"weights: expected numbers of shape (m, {table.d}): {error}") from None
    if w.ndim != 2 or w.shape[1] != table.d or not len(w):
        raise ProblemError(f"weights: expected shape (m, {table.d}), got {w.shape}")
    for i in np.flatnonzero(~(np.isfinite(w).all(axis=1) & (w >= 0).all(axis=1)))[:1]:
        raise ProblemError(f"weights: row {i} is {w[i].tolist()}, expected finite numbers >= 0")
    largest = float(w.max(initial=0.0)) * table.largest * table.d / beta
    if not largest < 1e300:
        raise ProblemError(f"beta: {beta!r} is too small for these rewards: w.r / beta overflows")
    return w


def _map(work: Callable[[Block], T], blocks: Iterable[Block], threads: int) -> Iterator[T]:
    """Results in the order of the blocks, with few blocks in flight."""
    workers = threads or os.cpu_count() or 1
    source = iter(blocks)
    begun = list(itertools.islice(source, 2))
    if workers == 1 or len(begun) < 2:
        yield from map(work, itertools.chain(begun, source))
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[T]] = deque()
        for block in itertools.chain(begun, source):
            waiting.append(pool.submit(work, block))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
