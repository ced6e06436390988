# cython: language_level=3, boundscheck=False, wraparound=False, binding=True, autotestdict=False
"""Bindings of the C kernels: check shapes, make contiguous, release the GIL, map return codes. See src/palm.h."""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t


cdef extern from "palm.h" nogil:
    enum:
        PALM_MAX_D
    int64_t palm_game_work(int64_t d, int64_t m)
    int64_t palm_game(int64_t n, int64_t d, int64_t m, const double *targets, const double *members, double *regret,
                      double *weights, int32_t *position, double *multiplier, double *work, int64_t *pivots)
    int64_t palm_skyline(int64_t n, int64_t d, const double *values, const double *costs, const int64_t *order,
                         int64_t *dominator, double *front, int64_t *ids)
    void palm_coverage(int64_t n, int64_t d, int64_t m, const double *values, const double *weights,
                       const double *low, const double *high, uint8_t *state)
    void palm_support(int64_t n, int64_t d, int64_t m, const double *values, const double *weights, double *opt,
                      int64_t *best)
    enum:
        PALM_GIBBS_LANES
    void palm_gibbs(int64_t prompts, int64_t d, int64_t m, const int64_t *offsets, const double *scores,
                    const double *log_q, const double *weights, double *sums, double *carry)
    void palm_gibbs_bias(int64_t prompts, int64_t d, int64_t m, const int64_t *offsets, const double *scores,
                         const double *log_q, const double *weights, double *opt, double *bias)
    void palm_exp(int64_t n, const double *x, double *y)


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
    cdef double[::1] front = np.empty(n * d)
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


def _sample(offsets, scores, log_q, weights):
    """Contiguous arguments of the Gibbs kernels, weights transposed and padded to whole lanes, checked."""
    r = _matrix(scores, "scores")
    w = _matrix(weights, "weights", r.shape[1])
    q = np.ascontiguousarray(log_q, dtype=np.float64)
    o = np.ascontiguousarray(offsets, dtype=np.int64)
    if r.shape[1] > PALM_MAX_D:
        raise ValueError(f"scores: at most {PALM_MAX_D} rewards are supported, got {r.shape[1]}")
    if o.ndim != 1 or len(o) < 2 or o[0] != 0 or o[-1] != len(r) or np.any(np.diff(o) < 1):
        raise ValueError(f"offsets: expected increasing row numbers from 0 to {len(r)}")
    if q.shape != (len(r),):
        raise ValueError(f"log_q: expected shape ({len(r)},), one per response, got {q.shape}")
    padded = np.zeros((r.shape[1], -(-len(w) // PALM_GIBBS_LANES) * PALM_GIBBS_LANES))
    padded[:, :len(w)] = w.T
    return o, r, q, padded


def gibbs(offsets, scores, log_q, weights):
    """Gibbs optima summed over prompts, see palm_gibbs: returns (sums, carry), both (m, d + 2): log Z, KL, rewards.

    offsets (prompts + 1,), scores (rows, d), log_q (rows,), weights (m, d) divided by beta.
    """
    order, rewards, reference, padded = _sample(offsets, scores, log_q, weights)
    cdef const int64_t[::1] o = order
    cdef const double[:, ::1] r = rewards
    cdef const double[::1] q = reference
    cdef const double[:, ::1] w = padded
    cdef int64_t prompts = o.shape[0] - 1, d = r.shape[1], m = w.shape[1]
    sums, carry = np.empty((d + 2, m)), np.empty((d + 2, m))
    cdef double[:, ::1] s = sums
    cdef double[:, ::1] c = carry
    with nogil:
        palm_gibbs(prompts, d, m, &o[0], &r[0, 0], &q[0], &w[0, 0], &s[0, 0], &c[0, 0])
    return sums[:, :len(weights)].T, carry[:, :len(weights)].T


def gibbs_bias(offsets, scores, log_q, weights):
    """log Z of every prompt and its jackknife bias, see palm_gibbs_bias: returns (opt, bias), both (prompts, m)."""
    order, rewards, reference, padded = _sample(offsets, scores, log_q, weights)
    cdef const int64_t[::1] o = order
    cdef const double[:, ::1] r = rewards
    cdef const double[::1] q = reference
    cdef const double[:, ::1] w = padded
    cdef int64_t prompts = o.shape[0] - 1, d = r.shape[1], m = w.shape[1]
    opt, bias = np.empty((prompts, m)), np.empty((prompts, m))
    cdef double[:, ::1] s = opt
    cdef double[:, ::1] b = bias
    with nogil:
        palm_gibbs_bias(prompts, d, m, &o[0], &r[0, 0], &q[0], &w[0, 0], &s[0, 0], &b[0, 0])
    return opt[:, :len(weights)], bias[:, :len(weights)]


def exp(x):
    """exp of numbers x <= 0, shape (n,), as the Gibbs kernels compute it, see palm_exp."""
    cdef const double[::1] a = np.ascontiguousarray(x, dtype=np.float64)
    result = np.empty(a.shape[0])
    cdef double[::1] y = result
    if a.shape[0]:
        with nogil:
            palm_exp(a.shape[0], &a[0], &y[0])
    return result
