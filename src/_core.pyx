# cython: language_level=3, boundscheck=False, wraparound=False, binding=True, autotestdict=False
"""Bindings of the C kernels: check shapes, make contiguous, release the GIL, map return codes. See src/palm.h."""

import numpy as np

cimport cython

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t


cdef extern from "palm.h" nogil:
    enum:
        PALM_MAX_D
        PALM_SKYLINE_LANES
    int64_t palm_game_work(int64_t d, int64_t m)
    int64_t palm_game(int64_t n, int64_t d, int64_t m, const double *targets, const double *members, double *regret,
                      double *weights, int32_t *position, double *multiplier, double *work, int64_t *pivots)
    int64_t palm_skyline(int64_t d, int64_t first, int64_t stop, int64_t size, int64_t depth, const double *values,
                         const double *costs, const int64_t *order, int64_t *dominator, double *front, int64_t *ids)
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
    void palm_power(int64_t n, const double *x, double *y)
    int64_t palm_local_work(int64_t rows, int64_t columns)
    int64_t palm_local(int64_t rows, int64_t columns, int64_t row_words, int64_t column_words, const uint64_t *by_row,
                       const uint64_t *by_column, const double *costs, const uint8_t *fixed, double budget,
                       int64_t steps, uint8_t *chosen, int64_t *weight, uint64_t *random, int64_t *work,
                       int64_t *uncovered)
    int64_t palm_probe(int64_t m, int64_t d, int64_t h, int64_t s, const double *hull, const double *values,
                       const double *mass, double epsilon, double delta, int64_t tries, uint64_t *random,
                       double *weights, double *coverage)
    ctypedef struct palm_corners:
        int64_t d, capacity, used, spare, heap_size, births
        double *weight
        double *value
        double *radius
        double *mass
        double *bound
        double *key
        int32_t *active
        int32_t *neighbour
        int32_t *basis
        int32_t *known
        int32_t *exact
        int32_t *heap
        int32_t *place
        int64_t *birth
    ctypedef struct palm_promise:
        double keep, delta, eta, gamma, resolution
        const double *unit
    ctypedef struct palm_outer:
        int64_t d, count, stride, lps, pivots
        const double *column
        const double *cost
    void palm_corners_start(palm_corners *c, const double *point, const palm_promise *promise)
    int64_t palm_corners_side(const palm_corners *c, const double *point, double size, uint8_t *state)
    int64_t palm_corners_crossings(const palm_corners *c, const uint8_t *state)
    int64_t palm_corners_cut(palm_corners *c, int64_t policy, const double *points, const uint8_t *state,
                             const palm_promise *promise, int64_t *table, int64_t table_size, int32_t *edge)
    void palm_corners_rekey(palm_corners *c, const palm_promise *promise)
    void palm_corners_remove(palm_corners *c, int64_t slot)
    void palm_corners_insert(palm_corners *c, int64_t slot)
    double palm_outer_solve(palm_outer *o, const double *w, int32_t *basis, int64_t known, double *share,
                            double *price)
    void palm_outer_corners(palm_outer *o, palm_corners *c, const palm_promise *promise, int64_t count,
                            const int32_t *corners)
    int64_t palm_refine(palm_outer *o, palm_corners *c, const palm_promise *promise, double stop)


MAX_REWARDS = PALM_MAX_D
cdef int64_t DEPTH = 256  # undominated rows that are compared with where time is short
cdef int64_t CORNERS_AT_ONCE = 1000
cdef int64_t WORK = 200_000_000  # operations of a kernel between two looks for a signal: about a tenth of a second


def _matrix(array, name, columns=None):
    result = np.ascontiguousarray(array, dtype=np.float64)
    if result.ndim != 2 or 0 in result.shape or (columns is not None and result.shape[1] != columns):
        raise ValueError(f"{name}: expected a non-empty matrix with {columns or 'any'} columns, got {result.shape}")
    return result


def _vector(array, name, length):
    result = np.ascontiguousarray(array, dtype=np.float64)
    if result.shape != (length,):
        raise ValueError(f"{name}: expected shape ({length},), got {result.shape}")
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


def skyline(values, costs, order, enough=None):
    """Dominators and undominated rows, see palm_skyline: returns (dominator (n,), front (f,)).

    `enough` is called between pieces of work; once it is True the rows left in `order` are compared with the first few
    undominated ones only: some that are dominated may pass for undominated.
    """
    cdef const double[:, ::1] v = _matrix(values, "values")
    cdef int64_t n = v.shape[0], d = v.shape[1], size = 0, first = 0, stop, depth = n
    cdef const double[::1] c = _vector(costs, "costs", n)
    cdef const int64_t[::1] o = np.ascontiguousarray(order, dtype=np.int64)
    if o.shape[0] != n or not np.array_equal(np.sort(order), np.arange(n)):
        raise ValueError(f"order: expected a permutation of the {n} rows")
    dominator, ids = np.full(n, -1, dtype=np.int64), np.empty(n, dtype=np.int64)
    cdef int64_t[::1] dom = dominator
    cdef int64_t[::1] front_ids = ids
    cdef double[::1] front = np.zeros((n + PALM_SKYLINE_LANES) * d)
    while first < n:
        PyErr_CheckSignals()
        if depth == n and enough is not None and enough():
            depth = min(n - 1, DEPTH)
        stop = min(n, first + max(256, min(first, WORK // ((min(size, depth) + 1) * d))))  # the front at most doubles
        with nogil:
            size = palm_skyline(d, first, stop, size, depth, &v[0, 0], &c[0], &o[0], &dom[0], &front[0], &front_ids[0])
        first = stop
    return dominator, ids[:size].copy()


def coverage(values, weights, low, high):
    """Three-valued coverage, see palm_coverage: values (n, d), weights (m, d) to state (m, n) of uint8."""
    cdef const double[:, ::1] v = np.ascontiguousarray(_matrix(values, "values").T)
    cdef const double[:, ::1] w = _matrix(weights, "weights", v.shape[0])
    cdef int64_t n = v.shape[1], d = v.shape[0], m = w.shape[0]
    cdef const double[::1] lo = _vector(low, "low", m)
    cdef const double[::1] hi = _vector(high, "high", m)
    state = np.empty((m, n), dtype=np.uint8)
    cdef uint8_t[:, ::1] s = state
    with nogil:
        palm_coverage(n, d, m, &v[0, 0], &w[0, 0], &lo[0], &hi[0], &s[0, 0])
    return state


def support(values, weights):
    """Best value of each weight, see palm_support: values (n, d), weights (m, d) to (opt (m,), best (m,))."""
    cdef const double[:, ::1] v = np.ascontiguousarray(_matrix(values, "values").T)
    cdef const double[:, ::1] w = _matrix(weights, "weights", v.shape[0])
    cdef int64_t n = v.shape[1], d = v.shape[0], m = w.shape[0], first, step
    opt, best = np.empty(m), np.empty(m, dtype=np.int64)
    cdef double[::1] o = opt
    cdef int64_t[::1] k = best
    step = 1 + WORK // (n * d)
    for first in range(0, m, step):
        PyErr_CheckSignals()
        with nogil:
            palm_support(n, d, min(step, m - first), &v[0, 0], &w[first, 0], &o[first], &k[first])
    return opt, best


def _sample(offsets, scores, log_q, weights):
    """Contiguous arguments of the Gibbs kernels, weights transposed and padded to whole lanes, checked."""
    r = _matrix(scores, "scores")
    w = _matrix(weights, "weights", r.shape[1])
    q = np.ascontiguousarray(log_q, dtype=np.float64)
    o = np.ascontiguousarray(offsets, dtype=np.int64)
    if r.shape[1] > PALM_MAX_D:
        raise ValueError(f"scores: at most {PALM_MAX_D} rewards are supported, got {r.shape[1]}")
    if o.ndim != 1 or len(o) < 2 or o[0] != 0 or o[len(o) - 1] != len(r) or np.any(np.diff(o) < 1):
        raise ValueError(f"offsets: expected increasing row numbers from 0 to {len(r)}")
    if q.shape != (len(r),):
        raise ValueError(f"log_q: expected shape ({len(r)},), one per response, got {q.shape}")
    padded = np.zeros((r.shape[1], -(-len(w) // PALM_GIBBS_LANES) * PALM_GIBBS_LANES))
    padded[:, :len(w)] = w.T
    return o, r, q, padded


def _gibbs(bint by_prompt, offsets, scores, log_q, weights):
    """The two results of a Gibbs kernel at all weights, those of the padding cut off."""
    order, rewards, reference, padded = _sample(offsets, scores, log_q, weights)
    cdef const int64_t[::1] o = order
    cdef const double[:, ::1] r = rewards
    cdef const double[::1] q = reference
    cdef const double[:, ::1] w = padded
    cdef int64_t prompts = o.shape[0] - 1, d = r.shape[1], m = w.shape[1]
    shape = (prompts if by_prompt else d + 2, m)
    first, second = np.empty(shape), np.empty(shape)
    cdef double[:, ::1] a = first
    cdef double[:, ::1] b = second
    with nogil:
        if by_prompt:
            palm_gibbs_bias(prompts, d, m, &o[0], &r[0, 0], &q[0], &w[0, 0], &a[0, 0], &b[0, 0])
        else:
            palm_gibbs(prompts, d, m, &o[0], &r[0, 0], &q[0], &w[0, 0], &a[0, 0], &b[0, 0])
    return first[:, :len(weights)], second[:, :len(weights)]


def gibbs(offsets, scores, log_q, weights):
    """Gibbs optima summed over prompts, see palm_gibbs: returns (sums, carry), both (m, d + 2): log Z, KL, rewards.

    offsets (prompts + 1,), scores (rows, d), log_q (rows,), weights (m, d) divided by beta.
    """
    sums, carry = _gibbs(False, offsets, scores, log_q, weights)
    return sums.T, carry.T


def gibbs_bias(offsets, scores, log_q, weights):
    """log Z of every prompt and its jackknife bias, see palm_gibbs_bias: returns (opt, bias), both (prompts, m)."""
    return _gibbs(True, offsets, scores, log_q, weights)


def power(x):
    """2^-x of numbers x >= 0, shape (n,), as the Gibbs kernels compute it, see palm_power."""
    cdef const double[::1] a = np.ascontiguousarray(x, dtype=np.float64)
    result = np.empty(a.shape[0])
    cdef double[::1] y = result
    if a.shape[0]:
        with nogil:
            palm_power(a.shape[0], &a[0], &y[0])
    return result


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


@cython.auto_pickle(False)
cdef class Outer:
    """The linear program of an outer bound, see palm_outer. It grows by `add`; its first d columns come first."""

    cdef palm_outer o
    cdef readonly object column, cost

    def __init__(self, d):
        if not 1 <= d <= PALM_MAX_D:
            raise ValueError(f"d: expected 1 to {PALM_MAX_D} rewards, got {d}")
        self.o.d, self.o.count, self.o.lps, self.o.pivots = d, 0, 0, 0
        self.column, self.cost = np.zeros((d, 64)), np.zeros(64)
        self._point()

    cdef _point(self):
        cdef double[:, ::1] column = self.column
        cdef double[::1] cost = self.cost
        self.o.stride, self.o.column, self.o.cost = column.shape[1], &column[0, 0], &cost[0]

    @property
    def count(self):
        """Columns so far."""
        return self.o.count

    @property
    def lps(self):
        """Linear programs solved."""
        return self.o.lps

    @property
    def pivots(self):
        """Pivots done."""
        return self.o.pivots

    def add(self, column, cost):
        """Add a column, shape (d,), with its cost; the first d must be positive multiples of the unit vectors."""
        if self.o.count == self.o.stride:
            self.column = np.concatenate([self.column, np.zeros_like(self.column)], axis=1)
            self.cost = np.concatenate([self.cost, np.zeros_like(self.cost)])
            self._point()
        self.column[:, self.o.count] = column
        self.cost[self.o.count] = cost
        self.o.count += 1

    def solve(self, weight):
        """The bound at a weight, shape (d,): (bound, basis (d,), share (d,), price (d,))."""
        cdef int64_t d = self.o.d
        cdef const double[::1] w = _vector(weight, "weight", d)
        if self.o.count < d:
            raise ValueError(f"weight: expected at least {d} columns")
        basis, share, price = np.zeros(d, dtype=np.int32), np.empty(d), np.empty(d)
        cdef int32_t[::1] b = basis
        cdef double[::1] s = share
        cdef double[::1] p = price
        cdef double bound
        with nogil:
            bound = palm_outer_solve(&self.o, &w[0], &b[0], 0, &s[0], &p[0])
        return bound, basis, share, price


cdef double *_doubles(array):
    cdef double[::1] flat = array.reshape(-1)
    return &flat[0]


cdef int32_t *_integers(array):
    cdef int32_t[::1] flat = array.reshape(-1)
    return &flat[0]


@cython.auto_pickle(False)
cdef class Corners:
    """Corners of an upper envelope, see palm_corners.

    `arrays` holds the arrays of the struct by name; they grow, so look them up again after `cut`.
    """

    cdef palm_corners c
    cdef palm_promise promise
    cdef readonly dict arrays
    cdef object unit

    def __init__(self, unit, keep, delta, eta, gamma, resolution):
        self.unit = np.array(unit, dtype=np.float64)
        d = len(self.unit)
        if not 1 <= d <= PALM_MAX_D:
            raise ValueError(f"unit: expected 1 to {PALM_MAX_D} rewards, got {d}")
        self.promise.keep, self.promise.delta, self.promise.eta = keep, delta, eta
        self.promise.gamma, self.promise.resolution, self.promise.unit = gamma, resolution, _doubles(self.unit)
        self.c.d, self.c.used, self.c.heap_size, self.c.births, self.c.spare = d, 0, 0, 0, -1
        self.arrays = {}
        self._grow(max(64, d))

    @property
    def used(self):
        """Slots taken so far; place[slot] == -2 says that one is free."""
        return self.c.used

    @property
    def births(self):
        """Corners ever made."""
        return self.c.births

    def _grow(self, capacity):
        cdef int64_t[::1] birth
        d, used = self.c.d, self.c.used
        shapes = {name: capacity for name in ("value", "radius", "mass", "bound", "key")}
        shapes |= {name: capacity for name in ("known", "exact", "heap", "place", "birth")}
        shapes |= {name: (capacity, d) for name in ("weight", "active", "neighbour", "basis")}
        for name, shape in shapes.items():
            doubles = name in ("weight", "value", "radius", "mass", "bound", "key")
            array = np.zeros(shape, dtype=np.float64 if doubles else np.int64 if name == "birth" else np.int32)
            if used:
                array[:used] = self.arrays[name][:used]
            self.arrays[name] = array
        self.c.capacity = capacity
        self.c.weight, self.c.value = _doubles(self.arrays["weight"]), _doubles(self.arrays["value"])
        self.c.radius, self.c.mass = _doubles(self.arrays["radius"]), _doubles(self.arrays["mass"])
        self.c.bound, self.c.key = _doubles(self.arrays["bound"]), _doubles(self.arrays["key"])
        self.c.active, self.c.neighbour = _integers(self.arrays["active"]), _integers(self.arrays["neighbour"])
        self.c.basis, self.c.known = _integers(self.arrays["basis"]), _integers(self.arrays["known"])
        self.c.exact, self.c.heap = _integers(self.arrays["exact"]), _integers(self.arrays["heap"])
        self.c.place = _integers(self.arrays["place"])
        birth = self.arrays["birth"]
        self.c.birth = &birth[0]

    cdef int64_t _slot(self, slot) except -1:
        if not 0 <= slot < self.c.used or self.arrays["place"][slot] == -2:
            raise ValueError(f"slot: expected a corner, got {slot}")
        return slot

    def start(self, point):
        """The corners of one policy, shape (d,); call `rekey` once bounds are known."""
        cdef const double[::1] a = _vector(point, "point", self.c.d)
        palm_corners_start(&self.c, &a[0], &self.promise)

    def side(self, point, double size):
        """Where a point, shape (d,), lies: (state (used,) of uint8, number left open)."""
        cdef const double[::1] a = _vector(point, "point", self.c.d)
        if self.c.used == 0:
            raise ValueError(f"point: expected {self.c.d} entries after start, got {a.shape[0]}")
        state = np.empty(self.c.used, dtype=np.uint8)
        cdef uint8_t[::1] s = state
        cdef int64_t left
        with nogil:
            left = palm_corners_side(&self.c, &a[0], size, &s[0])
        return state, left

    def cut(self, int64_t policy, points, state):
        """Cut off the corners whose state is 1; returns the number of new ones, -1 for states of no polyhedron."""
        cdef const double[:, ::1] a = _matrix(points, "points", self.c.d)
        cdef const uint8_t[::1] s = np.ascontiguousarray(state, dtype=np.uint8)
        if s.shape[0] != self.c.used or not 0 < policy < a.shape[0]:
            raise ValueError(f"state, policy: expected {self.c.used} states and a policy with a point")
        cdef int64_t crossings = palm_corners_crossings(&self.c, &s[0]), size = 16, new
        if crossings == 0:
            return 0
        while size < 2 * self.c.d * crossings:
            size *= 2
        if self.c.used + crossings > self.c.capacity:
            self._grow(max(2 * self.c.capacity, self.c.used + crossings))
        cdef int64_t[::1] table = np.empty(size, dtype=np.int64)
        cdef int32_t[::1] edge = np.empty(crossings, dtype=np.int32)
        with nogil:
            new = palm_corners_cut(&self.c, policy, &a[0, 0], &s[0], &self.promise, &table[0], size, &edge[0])
        return new

    def rekey(self):
        """Recompute all keys and the heap from the bounds."""
        palm_corners_rekey(&self.c, &self.promise)

    def remove(self, slot):
        """Take a corner out of the heap, if it is there."""
        if self.arrays["place"][self._slot(slot)] >= 0:
            palm_corners_remove(&self.c, slot)

    def insert(self, slot):
        """Put a corner back into the heap, if it is not there."""
        if self.arrays["place"][self._slot(slot)] == -1:
            palm_corners_insert(&self.c, slot)

    def solve(self, Outer outer, slots):
        """Solve the linear programs of some corners, and update their bounds and keys."""
        cdef const int32_t[::1] i = np.ascontiguousarray(slots, dtype=np.int32)
        for slot in slots:
            self._slot(slot)
        self._check(outer)
        cdef int64_t first
        for first in range(0, i.shape[0], CORNERS_AT_ONCE):
            PyErr_CheckSignals()
            with nogil:
                palm_outer_corners(&outer.o, &self.c, &self.promise, min(CORNERS_AT_ONCE, i.shape[0] - first),
                                   &i[first])

    def top(self, Outer outer, double stop):
        """The corner with the largest key, see palm_refine; -1 if the heap is empty."""
        cdef int64_t slot
        self._check(outer)
        with nogil:
            slot = palm_refine(&outer.o, &self.c, &self.promise, stop)
        return slot

    cdef _check(self, Outer outer):
        if outer.o.d != self.c.d or outer.o.count < self.c.d:
            raise ValueError("outer: expected as many rewards as the corners have, and the unit columns")
