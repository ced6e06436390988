"""Which member serves which preference best: exact shapes of the regions on edges and triangles of the simplex."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["intervals", "polygons", "share"]


def intervals(first: NDArray[np.float64], second: NDArray[np.float64]) -> list[tuple[int, float, float]]:
    """Upper envelope of the lines t * second + (1 - t) * first over t in [0, 1].

    Parameters
    ----------
    first, second : (m,) values of the members in the two rewards.

    Returns
    -------
    list of (member, from, to) in order of t; ties go to the first member.
    """
    t, result = 0.0, []
    slope = second - first
    current = int(np.lexsort((np.arange(len(first)), -slope, -first))[0])
    while True:
        rising = np.flatnonzero(slope > slope[current])
        meets = (first[current] - first[rising]) / (slope[rising] - slope[current])
        ahead = meets[meets < 1] if len(rising) else meets
        if not len(ahead):
            result.append((current, t, 1.0))
            return [(member, low, high) for member, low, high in result if high > low]
        end = max(t, float(ahead.min()))
        result.append((current, t, end))
        tied = rising[meets <= ahead.min()]
        t, current = end, int(tied[np.argmax(slope[tied])])


def polygons(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Region of each member on the triangle of three rewards.

    Parameters
    ----------
    values : (m, 3) values of the members.

    Returns
    -------
    list of m arrays (corners, 3): the weights w at the corners of { w : w.v_p >= w.v_q for all q }, in order around
    the polygon; empty where the region has no area. Of equal members the first has the region.
    """
    result = []
    for p in range(len(values)):
        corners = np.eye(3)
        for q in range(len(values)):
            if q == p or not len(corners):
                continue
            difference = values[p] - values[q]
            if difference.any():
                corners = _clip(corners, difference)
            elif q < p:
                corners = corners[:0]
        result.append(corners)
    return result


def share(corners: NDArray[np.float64]) -> float:
    """Share of the triangle of three rewards that a polygon of weights, shape (corners, 3), takes."""
    x, y = corners[:, 1], corners[:, 2]
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def _clip(corners: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut a convex polygon to { w : normal.w >= 0 } (Sutherland and Hodgman 1974)."""
    side = corners @ normal
    kept: list[NDArray[np.float64]] = []
    for k in range(len(corners)):
        before = k - 1
        if (side[before] >= 0) != (side[k] >= 0):
            share = side[before] / (side[before] - side[k])
            kept.append(corners[before] + share * (corners[k] - corners[before]))
        if side[k] >= 0:
            kept.append(corners[k])
    return np.array(kept) if len(kept) >= 3 else corners[:0]
