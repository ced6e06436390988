"""What an oracle answered: value vectors, the weights they were asked at, and what they say about OPT (L6)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt.errors import ProblemError
from palm_opt.tables import grammar
from palm_opt.tables.decimals import ceil_float, rational

__all__ = ["Answers", "OracleError", "vector"]

OracleError = tuple[float, float]

_LARGEST = 2.0**400
_ROUNDING = 2.0**-30  #: an answer may exceed a limit by this share of the magnitudes: rounding, not a refutation


class Answers:
    """Answers in the order told.

    Attributes
    ----------
    weights : (n, d) the weights asked, NaN rows for free inner points; values : (n, d).
    limits : (n,) u_j with OPT(W_j) <= u_j, inf for free points; at least the best value told at W_j.
    """

    def __init__(self, d: int, oracle_error: OracleError | None, floor: NDArray[np.float64] | None) -> None:
        self.oracle_error, self.floor = oracle_error, floor
        self.weights, self.values, self.limits = np.empty((0, d)), np.empty((0, d)), np.empty(0)
        self.units: dict[int, int] = {}  # reward -> the answer at its unit weight

    def __len__(self) -> int:
        return len(self.values)

    def told(self) -> Iterator[tuple[NDArray[np.float64] | None, NDArray[np.float64]]]:
        """What was told, in order: (weight, value), the weight None for a free inner point."""
        for weight, limit, value in zip(self.weights, self.limits, self.values, strict=True):
            yield weight if np.isfinite(limit) else None, value

    @property
    def asked(self) -> NDArray[np.int64]:
        """Numbers of the answers to questions."""
        return np.flatnonzero(np.isfinite(self.limits))

    def append(self, weight: NDArray[np.float64] | None, value: NDArray[np.float64]) -> NDArray[np.int64]:
        """Record an answer; returns the earlier answers whose limits had to be raised.

        Limits are raised by rounding, or because no oracle error is stated. Raises ProblemError, and records nothing,
        where the answer contradicts the stated error or the floor.
        """
        number = len(self)
        self._check_floor(number, value)
        asked = self.asked
        reached = self.weights[asked] @ value
        over = reached > self.limits[asked]
        limit = np.inf
        if self.oracle_error is not None:
            allowance = _ROUNDING * (self.weights[asked] @ np.abs(value) + np.abs(self.limits[asked]))
            bad = np.flatnonzero(reached > self.limits[asked] + allowance)
            if len(bad):
                self._refuse(int(asked[bad[0]]), number, float(reached[bad[0]]), float(self.limits[asked[bad[0]]]))
        if weight is not None:
            limit = self.limit(weight, value)
            others = self.values @ weight
            best = int(others.argmax()) if number else 0
            if number and others[best] > limit:
                room = _ROUNDING * (abs(limit) + float(weight @ np.abs(self.values[best])))
                if self.oracle_error is not None and others[best] > limit + room:
                    self._refuse(number, best, float(others[best]), limit)
                limit = float(others[best])
            support = np.flatnonzero(weight)
            if len(support) == 1:
                if int(support[0]) in self.units:
                    raise ProblemError(
                        f"answer {number}: the unit weight of reward {support[0] + 1} is answered already; tell it "
                        "with weight None"
                    )
                self.units[int(support[0])] = number
        self.weights = np.concatenate([self.weights, [np.full_like(value, np.nan) if weight is None else weight]])
        self.values = np.concatenate([self.values, [value]])
        self.limits[asked[over]] = reached[over]
        self.limits = np.concatenate([self.limits, [limit]])
        return asked[over]

    def limit(self, weight: NDArray[np.float64], value: NDArray[np.float64]) -> float:
        """What an answer proves: OPT(weight) <= (weight.value + gamma sum(weight)) / (1 - eta)."""
        eta, gamma = self.oracle_error or (0.0, 0.0)
        return (float(weight @ value) + gamma * float(weight.sum())) / (1 - eta)

    def consistent_error(self) -> OracleError | None:
        """The stated oracle error, gamma raised to what the answers need exactly (they exceed it by rounding only)."""
        if self.oracle_error is None:
            return None
        eta, gamma = self.oracle_error
        asked, (values, group) = self.asked, np.unique(self.values, axis=0, return_inverse=True)
        weights = self.weights[asked]
        reached, own = weights @ values.T, np.einsum("jk,jk->j", weights, self.values[asked])
        excess = (1 - eta) * reached - own[:, None] - gamma * weights.sum(axis=1)[:, None]
        excess[np.arange(len(asked)), group[asked]] = -np.inf  # an answer does not exceed itself
        size = weights @ np.abs(values).T + gamma
        keep, needed = 1 - rational(eta), rational(gamma)
        for j, i in np.argwhere(excess > -1e-12 * size):
            w, best, ours = (list(map(rational, x)) for x in (weights[j], values[i], self.values[asked[j]]))
            top = sum((a * (keep * b - c) for a, b, c in zip(w, best, ours, strict=True)), Fraction(0))
            needed = max(needed, top / sum(w))
        return eta, ceil_float(needed)

    def _check_floor(self, number: int, value: NDArray[np.float64]) -> None:
        if self.floor is not None and (value < self.floor).any():
            k = int((value < self.floor).argmax())
            raise ProblemError(
                f"answer {number}: its value {float(value[k])!r} of reward {k + 1} is below the stated floor "
                f"{float(self.floor[k])!r}"
            )

    def _refuse(self, j: int, i: int, reached: float, limit: float) -> None:
        raise ProblemError(
            f"answer {i} has value {reached!r} at the weight of answer {j}, which proves OPT <= {limit!r} there if the "
            f"oracle error is {self.oracle_error}: that error is refuted; state a larger one"
        )


def vector(name: str, array: ArrayLike, d: int) -> NDArray[np.float64]:
    """A finite vector of length d."""
    result = np.array(grammar.array(name, array, f"{d} numbers"), dtype=np.float64)
    if result.shape != (d,):
        raise ProblemError(f"{name}: expected shape ({d},), got {result.shape}")
    if not (np.abs(result) < _LARGEST).all():
        raise ProblemError(f"{name}: expected finite numbers (below {_LARGEST:g}), got {result.tolist()}")
    return result + 0.0  # no negative zeros
