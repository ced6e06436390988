"""Regions of weights: what users may prefer, as linear constraints or corners, exact (docs/theory.md, L12)."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_opt.arguments import items, refusal, repeated
from palm_opt.errors import ProblemError
from palm_opt.preferences.cones import Ray, echelon, extreme_rays
from palm_opt.preferences.contradiction import refuse_empty
from palm_opt.preferences.grammar import Constraint, coprime, number, parse
from palm_opt.tables.decimals import rational

__all__ = ["MOST_CONSTRAINTS", "MOST_CORNERS", "Region"]

MOST_CONSTRAINTS = 200  #: links of all chains together
MOST_CORNERS = 1_000  #: of a region
_NAMED = 10  # constraints that a sentence lists
_CLOSE = 1e-9  # a row of corners may miss the sum 1 by this
_DOUBT = 1e-12  # floats decide where a product is larger than this share of its terms


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Region:
    """The weights w >= 0 with sum 1 that keep linear constraints: W = { w : A w >= b }, never empty.

    Parameters
    ----------
    rewards : d distinct reward columns. The column "-latency" is called latency in a constraint: its weight is that of
        the negated reward.
    where : texts such as "safe >= 0.3", "helpful >= 2 * humor", "a + b <= 80%", "x = 0.2", "a >= b >= c" (or one text).
        Without any the region is the whole simplex.
    corners : (k, d) numbers >= 0 instead of `where`: the region is their convex hull. A float is the decimal that it
        prints as; a row misses the sum 1 by at most 1e-9 and is divided by its sum.

    Attributes
    ----------
    constraints : what was asked for, redundant ones included (of corners: the constraints that they satisfy).
    exact_corners : k tuples of d rationals, the corners of W, in falling order: e_1, e_2, .. of the simplex.
    facets : the inequalities that bound W within the weights of `equations`, each once; with those of w >= 0.
    equations : independent equations that hold on W, beside sum w = 1.

    Raises
    ------
    ProblemError : a fault in a text; no weight is left (the message names constraints that contradict each other, none
        of them superfluous, and why); more than 1,000 corners (with their number) or 200 constraints.
    """

    rewards: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    exact_corners: tuple[tuple[Fraction, ...], ...]
    facets: tuple[Constraint, ...]
    equations: tuple[Constraint, ...]
    _rays: tuple[Ray, ...] = field(repr=False)

    def __init__(
        self, rewards: Iterable[str], where: str | Iterable[str] = (), *, corners: ArrayLike | None = None
    ) -> None:
        names = _names(rewards)
        texts = [where] if isinstance(where, str) else items("where", where, 'texts such as "safe >= 0.3"')
        if corners is not None and texts:
            raise ProblemError("region: expected where or corners, got both")
        if corners is None:
            constraints = _given(names, texts)
            refuse_empty(constraints)
            rays = _enumerate(len(names), constraints)
        else:
            points = _points(corners, len(names))
            constraints = _hull(names, points)
            rays = _extreme(points, constraints)
        rays.sort(key=lambda ray: [Fraction(x, sum(ray.x)) for x in ray.x], reverse=True)
        facets, equations = _borders(names, constraints, rays)
        found = {
            "rewards": names,
            "constraints": tuple(constraints),
            "exact_corners": tuple(tuple(Fraction(x, sum(ray.x)) for x in ray.x) for ray in rays),
            "facets": facets,
            "equations": equations,
            "_rays": tuple(rays),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @cached_property
    def corners(self) -> NDArray[np.float64]:
        """The corners U as floats, shape (k, d), read-only; each entry is nearest to the exact one."""
        array = np.array(self.exact_corners, dtype=np.float64)
        array.flags.writeable = False
        return array

    @property
    def dimension(self) -> int:
        """d - 1 for a region with an interior, 0 for a single weight."""
        return len(self.rewards) - 1 - len(self.equations)

    @property
    def simplex(self) -> bool:
        """Whether W has exactly d corners, affinely independent: then it is the simplex in other coordinates."""
        return len(self.exact_corners) == len(self.rewards) == self.dimension + 1

    @property
    def whole(self) -> bool:
        """Whether W is the whole simplex."""
        return self.simplex and all(corner.count(1) for corner in self.exact_corners)

    @cached_property
    def redundant(self) -> tuple[Constraint, ...]:
        """The constraints that follow from the others and w >= 0: neither facets nor equations on W."""
        return tuple(
            constraint
            for constraint in self.constraints
            if not constraint.equation
            and constraint not in self.facets
            and any(_dot(constraint.row, ray.x) for ray in self._rays)
        )

    @cached_property
    def center(self) -> NDArray[np.float64]:
        """The mean of the corners, shape (d,), read-only: a weight in the relative interior."""
        k = len(self.exact_corners)
        array = np.array([float(sum(column) / k) for column in zip(*self.exact_corners, strict=True)])
        array.flags.writeable = False
        return array

    @property
    def canonical(self) -> list[dict[str, object]]:
        """The constraints for a certificate, in the order given: {"coefficients", "relation", "bound"} in texts."""
        return [constraint.document for constraint in self.constraints]

    @property
    def words(self) -> str:
        """The region in one plain phrase."""
        if not self.constraints:
            return f"all weights of {', '.join(name.removeprefix('-') for name in self.rewards)}"
        told = [constraint.words for constraint in self.constraints[:_NAMED]]
        if len(self.constraints) > _NAMED:
            told.append(f"{len(self.constraints) - _NAMED} more")
        return f"all weights with {', '.join(told[:-1])}{' and ' if len(told) > 1 else ''}{told[-1]}"

    def contains(self, weight: ArrayLike | Mapping[str, float]) -> Any:
        """Whether a weight is in W: one bool for d numbers or {reward: number}, an array (m,) for the shape (m, d).

        A weight is divided by its sum and a float is the decimal that it prints as; the answer is exact. A negative
        number is outside. Rewards left out of a mapping count 0.

        Raises
        ------
        ProblemError : a wrong shape, an unknown reward, a number that is not finite, nothing but zeros.
        """
        if isinstance(weight, Mapping):
            unknown = [name for name in weight if name not in self.rewards]
            if unknown:
                raise ProblemError(f"weight: expected rewards of {', '.join(self.rewards)}, got {unknown[0]!r}")
            weight = [weight.get(name, 0.0) for name in self.rewards]
        table = np.asarray(weight)
        if table.ndim not in (1, 2) or table.shape[-1] != len(self.rewards):
            raise ProblemError(f"weight: expected {len(self.rewards)} numbers in a row, got the shape {table.shape}")
        inside = self._inside(np.atleast_2d(table))
        return bool(inside[0]) if table.ndim == 1 else inside

    def transform(self, values: ArrayLike) -> NDArray[np.float64]:
        """v' = U v, shape (n, k), of value vectors (n, d): their values at the corners.

        w = U^T mu turns the weights mu of k rewards into the weights of W, and w.v = mu.v'.
        """
        result: NDArray[np.float64] = np.asarray(values, dtype=np.float64) @ self.corners.T
        return result

    def transform_exact(self, values: Sequence[Sequence[Fraction | int]]) -> list[tuple[Fraction, ...]]:
        """`transform` in rationals."""
        return [
            tuple(sum((u * v for u, v in zip(corner, row, strict=True)), Fraction(0)) for corner in self.exact_corners)
            for row in values
        ]

    def describe(self) -> str:
        """Some lines of text: the region in words, its constraints, and its corners."""
        k = len(self.exact_corners)
        lines = [f"{self.words}: dimension {self.dimension}, {k} corner{'s' * (k > 1)}"]
        idle = self.redundant
        lines.extend(f"  {c}{'  (follows from the others)' if c in idle else ''}" for c in self.constraints)
        lines.extend(f"  corner {' '.join(map(number, corner))}" for corner in self.exact_corners)
        return "\n".join(lines)

    def __repr__(self) -> str:
        where = ", ".join(map(str, self.constraints[:3])) + (", ..." if len(self.constraints) > 3 else "")
        return f"Region({', '.join(self.rewards)}; {where or 'no constraint'}; {len(self.exact_corners)} corners)"

    def __eq__(self, other: object) -> bool:
        """The same weights of the same rewards, however they were described."""
        if not isinstance(other, Region):
            return NotImplemented
        return (self.rewards, self.exact_corners) == (other.rewards, other.exact_corners)

    def __hash__(self) -> int:
        return hash((self.rewards, self.exact_corners))

    def _inside(self, table: NDArray[Any]) -> NDArray[np.bool_]:
        """Rows decided by floats where they can, in rationals where they are close to a border."""
        floats = _floats("weight", table)
        largest = np.abs(floats).max(axis=1, initial=0.0)
        if not largest.all():
            raise ProblemError(f"weight, row {int(np.argmin(largest))}: expected a number above 0, got zeros only")
        scaled = floats / largest[:, None]
        inside = np.asarray((floats >= 0).all(axis=1))
        doubtful = np.zeros(len(inside), dtype=bool)
        for constraint in self.constraints:
            top = max(map(abs, constraint.row)) or 1
            row = np.array([float(Fraction(x, top)) for x in constraint.row])
            product, size = scaled @ row, scaled @ np.abs(row)
            close = np.abs(product) <= _DOUBT * size + 1e-290
            doubtful |= close
            inside &= close | ((product > 0) & (not constraint.equation))
        for r in np.flatnonzero(doubtful & inside):
            weight = [_exact(x) for x in table[r]]
            inside[r] = all(_keeps(constraint, weight) for constraint in self.constraints)
        return inside


def _keeps(constraint: Constraint, weight: Sequence[Fraction]) -> bool:
    product = _dot(constraint.row, weight)
    return product == 0 or (product > 0 and not constraint.equation)


def _dot(row: Sequence[int], x: Sequence[Any]) -> Any:
    return sum(a * b for a, b in zip(row, x, strict=True) if a)


def _exact(x: Any) -> Fraction:
    """The rational meant by a number: a float is the decimal that it prints as."""
    return Fraction(x) if isinstance(x, numbers.Rational) else rational(x)


def _floats(name: str, table: NDArray[Any]) -> NDArray[np.float64]:
    try:
        floats = table.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise refusal(name, "numbers", table) from None
    if not np.isfinite(floats).all():
        row = int(np.argmin(np.isfinite(floats).all(axis=1)))
        raise ProblemError(f"{name}, row {row}: expected finite numbers, got {floats[row].tolist()}")
    return floats


def _names(rewards: Iterable[str]) -> tuple[str, ...]:
    names = items("rewards", rewards, "names of rewards")
    for name in names:
        if not isinstance(name, str) or not name.removeprefix("-"):
            raise refusal("rewards", "names of rewards", name)
    if not names:
        raise ProblemError("rewards: expected at least one name, got none")
    twice = repeated(name.removeprefix("-") for name in names)
    if twice is not None:
        raise ProblemError(f"rewards: expected distinct names, got {twice!r} twice")
    return tuple(names)


def _given(names: tuple[str, ...], texts: Sequence[object]) -> list[Constraint]:
    """The constraints of all texts, in their order."""
    found: list[Constraint] = []
    for place, text in enumerate(texts):
        found.extend(parse(text, names, f"where[{place}]"))
        if len(found) > MOST_CONSTRAINTS:
            raise ProblemError(f"where: expected at most {MOST_CONSTRAINTS} constraints, got more by where[{place}]")
    return found


def _enumerate(d: int, constraints: Sequence[Constraint]) -> list[Ray]:
    """The corners of a region as rays, in falling order of the weights."""
    most = max(MOST_CORNERS, d)
    try:
        rays = extreme_rays(d, [(c.row, c.equation) for c in constraints], 4 * most)
    except OverflowError as error:
        raise ProblemError(f"where: expected a region of at most {most} corners, got {error}") from None
    if len(rays) > most:
        raise ProblemError(f"where: expected a region of at most {most} corners, got {len(rays)}")
    return rays


def _extreme(points: Sequence[tuple[int, ...]], constraints: Sequence[Constraint]) -> list[Ray]:
    """The corners among points: no other one has all their active constraints."""
    rays = []
    for point in points:
        products = [*point, *(_dot(constraint.row, point) for constraint in constraints)]
        rays.append(Ray(point, sum(1 << place for place, product in enumerate(products) if not product)))
    return [r for r in rays if not any(r is not other and r.active & other.active == r.active for other in rays)]


def _borders(
    names: tuple[str, ...], constraints: Sequence[Constraint], rays: Sequence[Ray]
) -> tuple[tuple[Constraint, ...], tuple[Constraint, ...]]:
    """Facets and independent equations: each constraint is 0 on a face, and facets are the largest proper faces."""
    unit = [tuple(Fraction(j == k) for j in range(len(names))) for k in range(len(names))]
    every = [*(Constraint(names, u, Fraction(0)) for u in unit), *constraints]
    faces: dict[int, Constraint] = {}
    flat: list[Constraint] = []
    for place, constraint in enumerate(every):
        face = sum(1 << j for j, ray in enumerate(rays) if ray.active >> place & 1)
        if face == (1 << len(rays)) - 1:
            flat.append(constraint)
        elif face and not constraint.equation:
            faces.setdefault(face, constraint)
    facets = [c for face, c in faces.items() if not any(face != other and face & other == face for other in faces)]
    pivots = echelon(list(zip(*(c.row for c in flat), strict=True)))[1] if flat else []
    equations = [Constraint(names, flat[j].coefficients, flat[j].bound, True) for j in pivots]
    return tuple(facets), tuple(equations)


def _points(corners: ArrayLike, d: int) -> list[tuple[int, ...]]:
    """The rows of an array of corners as coprime integers, each once."""
    table = np.asarray(corners)
    if table.ndim != 2 or not len(table) or table.shape[1] != d:
        raise ProblemError(f"corners: expected an array of shape (k, {d}) with k >= 1, got {table.shape}")
    if len(table) > MOST_CORNERS:
        raise ProblemError(f"corners: expected at most {MOST_CORNERS}, got {len(table)}")
    floats = _floats("corners", table)
    for r, row in enumerate(floats):
        if row.min() < 0 or abs(math.fsum(row) - 1) > _CLOSE:
            raise ProblemError(f"corners, row {r}: expected numbers >= 0 with sum 1, got {row.tolist()}")
    return list(dict.fromkeys(coprime([_exact(x) for x in row]) for row in table))


def _hull(names: tuple[str, ...], points: Sequence[tuple[int, ...]]) -> list[Constraint]:
    """The constraints of a convex hull: the rays of the cone of all rows that are >= 0 at every point."""
    d = len(names)
    spanned, basis = echelon(list(zip(*points, strict=True)))  # every point as a sum of points of a basis
    rank = len(basis)
    rows = [coprime([line[j] for line in spanned]) for j in range(len(points)) if j not in basis]
    try:
        found = extreme_rays(rank, [(row, False) for row in rows], 4 * MOST_CORNERS)
    except OverflowError as error:
        raise ProblemError(f"corners: expected a hull of at most {MOST_CONSTRAINTS} facets, got {error}") from None
    solved, pivots = echelon([[*points[j], *(int(i == k) for k in range(rank))] for i, j in enumerate(basis)])
    normals: list[tuple[list[Fraction], bool]] = []
    for free in sorted(set(range(d)) - set(pivots)):
        row = [Fraction(0)] * d
        row[free] = Fraction(1)
        for line, pivot in zip(solved, pivots, strict=True):
            row[pivot] = -line[free]
        normals.append((row, True))
    for ray in found:
        row = [Fraction(0)] * d
        for line, pivot in zip(solved, pivots, strict=True):
            row[pivot] = _dot(ray.x, line[d:])
        if min(row) < 0:  # else it follows from w >= 0
            normals.append((row, False))
    if len(normals) > MOST_CONSTRAINTS:
        raise ProblemError(f"corners: expected a hull of at most {MOST_CONSTRAINTS} facets, got {len(normals)}")
    return [_readable(names, row, equation) for row, equation in normals]


def _readable(names: tuple[str, ...], row: Sequence[Fraction], equation: bool) -> Constraint:
    """row . w >= 0 with its most frequent number subtracted, as sum w = 1: "a >= 0.3" where it can be that."""
    whole = coprime(row)
    common = max(whole, key=lambda x: (whole.count(x), x == 0, -abs(x)))
    shifted = [x - common for x in whole]
    named = [abs(x) for x in shifted if x]
    size = math.gcd(*named) if len(named) != 1 else named[0]
    return Constraint(names, tuple(Fraction(x, size) for x in shifted), Fraction(-common, size), equation)
