"""Problems small enough for rationals: a strategy that draws them, and their cheapest portfolio by trying all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import strategies as st

import palm_opt as palm
from palm_opt.solver.cover import Pool
from tests.verify import corners, exact_rows, rational

ENTRY = st.integers(-2, 8).map(lambda k: k / 8) | st.integers(0, 10).map(lambda k: k / 10) | st.floats(0, 1, width=16)
COSTS = {"unit": None, "whole": (0.0, 1.0, 2.0, 3.0), "decimal": (0.1, 0.2, 0.3, 0.7, 1.0)}


@dataclass(frozen=True)
class Tiny:
    """A problem of a few candidates."""

    values: palm.ValueMatrix
    epsilon: float
    delta: float
    require: tuple[int, ...] = ()
    forbid: tuple[int, ...] = ()

    @cached_property
    def pool(self) -> Pool:
        """The problem, made ready by the package."""
        return Pool(self.values, self.epsilon, self.delta, self.require, self.forbid)

    @cached_property
    def rows(self) -> list[list[Fraction]]:
        """The values from their definition."""
        return exact_rows(self.values)

    def covering(self, weight: Collection[Fraction | int]) -> set[int]:
        """The candidates that cover a weight, from the definition."""
        products = [sum(w * x for w, x in zip(weight, row, strict=True)) for row in self.rows]
        least = (1 - rational(self.epsilon)) * max(products) - rational(self.delta) * sum(weight)
        return {i for i, product in enumerate(products) if product >= least}

    def regret(self, members: Collection[int], weight: Collection[Fraction | int]) -> Fraction:
        """What members lose at a weight, to be held against delta."""
        products = [sum(w * x for w, x in zip(weight, row, strict=True)) for row in self.rows]
        lost = (1 - rational(self.epsilon)) * max(products) - max(products[i] for i in members)
        return Fraction(lost) / sum(weight)

    @cached_property
    def weights(self) -> list[list[Fraction]]:
        """Weights that decide about every portfolio: its regret is largest at a corner of its own envelope."""
        return corners([list(row) for row in {tuple(row) for row in self.rows}])

    @cached_property
    def covers(self) -> list[int]:
        """What each candidate covers of them, as bits."""
        sets = [self.covering(weight) for weight in self.weights]
        return [sum(1 << j for j, found in enumerate(sets) if i in found) for i in range(self.values.n)]

    def keeps(self, members: Collection[int]) -> bool:
        """Whether members are a portfolio."""
        covered = 0
        for i in members:
            covered |= self.covers[i]
        return covered == (1 << len(self.weights)) - 1

    def missed(self, members: Collection[int]) -> list[list[Fraction]]:
        """Those of the weights that members do not cover."""
        return [weight for j, weight in enumerate(self.weights) if not any(self.covers[i] >> j & 1 for i in members)]

    def cost(self, members: Collection[int]) -> Fraction:
        """The cost of members."""
        return sum((rational(self.values.costs[i]) for i in members), Fraction(0))

    def cheapest(self, inside: Collection[int] = (), outside: Collection[int] = ()) -> Fraction | None:
        """The least cost of a portfolio with some candidates in and some out, by trying all; None if there is none."""
        inside, outside = {*self.require, *inside}, {*self.forbid, *outside}
        free = [i for i in range(self.values.n) if i not in inside | outside]
        best = None
        for chosen in range(1 << len(free)):
            members = inside | {i for k, i in enumerate(free) if chosen >> k & 1}
            if self.keeps(members):
                cost = self.cost(members)
                best = cost if best is None else min(best, cost)
        return best


@st.composite
def tiny(draw: Any, most: int = 6, rewards: int = 3, sides: bool = True, costs: tuple[str, ...] = tuple(COSTS)) -> Tiny:
    """Problems with ties, signs, scales and costs; with `sides`, some candidates are required or forbidden."""
    n, d = draw(st.integers(1, most)), draw(st.integers(1, rewards))
    array = np.array([[draw(ENTRY) for _ in range(d)] for _ in range(n)])
    choice = COSTS[draw(st.sampled_from(costs))]
    values = palm.ValueMatrix(
        array,
        costs=None if choice is None else draw(st.lists(st.sampled_from(choice), min_size=n, max_size=n)),
        scale=draw(st.sampled_from(["none", "none", "minmax", (-1.0, 1.0)])),
        rewards=[draw(st.sampled_from(["", "", "-"])) + f"r{k}" for k in range(d)],
    )
    require, forbid = (), ()
    if sides:
        require = tuple(draw(st.lists(st.integers(0, n - 1), max_size=1)))
        forbid = tuple(sorted(set(draw(st.lists(st.integers(0, n - 1), max_size=2))) - set(require)))
    epsilon = draw(st.sampled_from([0.0, 0.0, 0.05, 0.125, 0.3]))
    return Tiny(values, epsilon, draw(st.sampled_from([0.0, 0.02, 0.0625, 0.1, 0.25])), require, forbid)


def integer_weights(d: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Weights as integers in lowest terms, small ones above all: many ties."""
    entry = st.integers(0, 8) | st.integers(0, 2**40)
    return st.lists(entry, min_size=d, max_size=d).filter(any).map(_lowest)


def _lowest(weight: list[int]) -> tuple[int, ...]:
    divisor = int(np.gcd.reduce(np.array(weight, dtype=object)))
    return tuple(w // divisor for w in weight)
