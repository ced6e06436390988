# cython: language_level=3, boundscheck=False, wraparound=False, binding=True, autotestdict=False
"""Bindings of the C kernels: check shapes, make contiguous, release the GIL, map return codes. See src/palm.h."""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t


cdef extern from "palm.h" nogil:
    enum:
        PALM_MAX_D
        PALM_SKYLINE_LANES
    int64_t palm_game_work(int64_t d, int64_t m)
    int64_t palm_game(int64_t n, int64_t d, int64_t m, const double *targets, const double *members, double *regret,
                      double *weights, int32_t *position, double *multiplier, double *work, int64_t *pivots)
    int64_t palm_skyline(int64_t n, int64_t d, const double *values, const double *costs, const int64_t *order,
                         int64_t *dominator, double *front, int64_t *ids)
    void palm_coverage(int64_t n, int64_t d, int64_t m, const double *values, const double *weights,
                       const double *low, const double *high, uint8_t *state)
    void palm_support(int64_t n, int64_t d, int64_t m, const double *values, const double *weights, double *opt,
                      int64_t *best)
    int64_t palm_local_work(int64_t rows, int64_t columns)
    int64_t palm_local(int64_t rows, int64_t columns, int64_t row_words, int64_t column_words, const uint64_t *by_row,
                       const uint64_t *by_column, const double *costs, const uint8_t *fixed, double budget,
                       int64_t steps, uint8_t *chosen, int64_t *weight, uint64_t *random, int64_t *work,
                       int64_t *uncovered)
    int64_t palm_probe(int64_t m, int64_t d, int64_t h, int64_t s, const double *hull, const double *values,
                       const double *mass, double epsilon, double delta, int64_t tries, uint64_t *random,
                       double *weights, double *coverage)


MAX_REWARDS = PALM_MAX_D


def _matrix(array, name, columns=None):
    result = np.ascontiguousarray(array, dtype=np.float64)
    if result.ndim != 2 or 0 in result.shape or (columns is not None and result.shape[1] != columns):
        raise ValueError(f"{name}: expected a non-empty matrix with {columns or 'any'} columns, got {result.shape}")
    return result


def game(targets, members):
    """Separation games, see palm_game: returns (regret, weights, position, multiplier, solved, pivots).

    targets (n, d), members (m, d); `solved` < n means that candidate number `solved` did not converge.
    """
    cdef const double[:, ::1] b = _matrix(targets, "targets")
    cdef const double[:, ::1] p = np.ascontiguousarray(_matrix(members, "members", b.shape[1]).T)
    cdef int64_t n = b.shape[0], d = b.shape[1], m = p.shape[1], solved, pivots = 0
    if d > PALM_MAX_D:
        raise ValueError(f"targets: at most {PALM_MAX_D} rewards are supported, got {d}")
    regret, weights = np.empty(n), np.empty((n, d))
    position, multiplier = np.empty((n, d), dtype=np.int32), np.empty((n, d))
    cdef double[::1] r = regret
    cdef double[:, ::1] w = weights
    cdef int32_t[:, ::1] q = position
    cdef double[:, ::1] a = multiplier
    cdef double[::1] work = np.empty(palm_game_work(d, m))
    with nogil:
        solved = palm_game(n, d, m, &b[0, 0], &p[0, 0], &r[0], &w[0, 0], &q[0, 0], &a[0, 0], &work[0], &pivots)
    return regret, weights, position, multiplier, solved, pivots


def skyline(values, costs, order):
    """Dominators and undominated rows, see palm_skyline: returns (dominator (n,), front (f,))."""
    cdef const double[:, ::1] v = _matrix(values, "values")
    cdef int64_t n = v.shape[0], d = v.shape[1], size
    cdef const double[::1] c = np.ascontiguousarray(costs, dtype=np.float64)
    cdef const int64_t[::1] o = np.ascontiguousarray(order, dtype=np.int64)
    if c.shape[0] != n or o.shape[0] != n:
        raise ValueError(f"costs, order: expected {n} entries each, got {c.shape[0]} and {o.shape[0]}")
    if not np.array_equal(np.sort(order), np.arange(n)):
        raise ValueError("order: expected a permutation of the rows")
    dominator, ids = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    cdef int64_t[::1] dom = dominator
    cdef int64_t[::1] front_ids = ids
    cdef double[::1] front = np.zeros((n + PALM_SKYLINE_LANES) * d)
    with nogil:
        size = palm_skyline(n, d, &v[0, 0], &c[0], &o[0], &dom[0], &front[0], &front_ids[0])
    return dominator, ids[:size].copy()


def coverage(values, weights, low, high):
    """Three-valued coverage, see palm_coverage: values (n, d), weights (m, d) to state (m, n) of uint8."""
    cdef const double[:, ::1] v = np.ascontiguousarray(_matrix(values, "values").T)
    cdef const double[:, ::1] w = _matrix(weights, "weights", v.shape[0])
    cdef const double[::1] lo = np.ascontiguousarray(low, dtype=np.float64)
    cdef const double[::1] hi = np.ascontiguousarray(high, dtype=np.float64)
    cdef int64_t n = v.shape[1], d = v.shape[0], m = w.shape[0]
    if lo.shape[0] != m or hi.shape[0] != m:
        raise ValueError(f"low, high: expected {m} entries each, got {lo.shape[0]} and {hi.shape[0]}")
    state = np.empty((m, n), dtype=np.uint8)
    cdef uint8_t[:, ::1] s = state
    with nogil:
        palm_coverage(n, d, m, &v[0, 0], &w[0, 0], &lo[0], &hi[0], &s[0, 0])
    return state


def support(values, weights):
    """Best value of each weight, see palm_support: values (n, d), weights (m, d) to (opt (m,), best (m,))."""
    cdef const double[:, ::1] v = np.ascontiguousarray(_matrix(values, "values").T)
    cdef const double[:, ::1] w = _matrix(weights, "weights", v.shape[0])
    cdef int64_t n = v.shape[1], d = v.shape[0], m = w.shape[0]
    opt, best = np.empty(m), np.empty(m, dtype=np.int64)
    cdef double[::1] o = opt
    cdef int64_t[::1] k = best
    with nogil:
        palm_support(n, d, m, &v[0, 0], &w[0, 0], &o[0], &k[0])
    return opt, best


def local(by_row, by_column, costs, fixed, chosen, weight, random, double budget, int64_t steps):
    """Local search for a cover, see palm_local: writes into chosen (columns,) uint8, weight (rows,) int64 and
    random (1,) uint64; returns (steps done, rows left uncovered). by_row (rows, words), by_column (columns, words)."""
    cdef const uint64_t[:, ::1] r = by_row
    cdef const uint64_t[:, ::1] c = by_column
    cdef int64_t rows = r.shape[0], columns = c.shape[0], done, uncovered = 0
    cdef const double[::1] p = np.ascontiguousarray(costs, dtype=np.float64)
    cdef const uint8_t[::1] f = np.ascontiguousarray(fixed, dtype=np.uint8)
    cdef uint8_t[::1] x = chosen
    cdef int64_t[::1] y = weight
    cdef uint64_t[::1] state = random
    if rows == 0 or columns == 0 or r.shape[1] * 64 < columns or c.shape[1] * 64 < rows:
        raise ValueError("by_row, by_column: expected bit matrices (rows, words) and (columns, words) of one cover")
    if not p.shape[0] == f.shape[0] == x.shape[0] == columns or y.shape[0] != rows or state.shape[0] != 1:
        raise ValueError("costs, fixed, chosen: expected one entry a column; weight: one a row; random: one")
    cdef int64_t[::1] work = np.empty(palm_local_work(rows, columns), dtype=np.int64)
    with nogil:
        done = palm_local(rows, columns, c.shape[1], r.shape[1], &r[0, 0], &c[0, 0], &p[0], &f[0], budget, steps, &x[0],
                          &y[0], &state[0], &work[0], &uncovered)
    return done, uncovered


def probe(weights, hull, values, mass, random, double epsilon, double delta, int64_t tries):
    """Weights that few candidates cover, see palm_probe: weights (m, d), hull (h, d), values (s, d), mass (s,),
    random (1,) uint64 (written); returns (weights (m, d), coverage (m,))."""
    found = np.array(_matrix(weights, "weights"))
    cdef double[:, ::1] w = found
    cdef const double[:, ::1] u = np.ascontiguousarray(_matrix(hull, "hull", w.shape[1]).T)
    cdef const double[:, ::1] v = np.ascontiguousarray(_matrix(values, "values", w.shape[1]).T)
    cdef const double[::1] x = np.ascontiguousarray(mass, dtype=np.float64)
    cdef uint64_t[::1] state = random
    cdef int64_t m = w.shape[0], d = w.shape[1]
    if d > PALM_MAX_D or x.shape[0] != v.shape[1] or state.shape[0] != 1:
        raise ValueError(f"expected at most {PALM_MAX_D} rewards, one mass a value vector, and one random state")
    coverage = np.empty(m)
    cdef double[::1] c = coverage
    with nogil:
        palm_probe(m, d, u.shape[1], v.shape[1], &u[0, 0], &v[0, 0], &x[0], epsilon, delta, tries, &state[0], &w[0, 0],
                   &c[0])
    return found, coverage
