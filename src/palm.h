/*
 * palm.h: the compiled kernels of palm_opt. This header is the manual.
 *
 * Kernels know nothing of Python, allocate nothing and keep no state: the caller passes all work space. Matrices are
 * row-major, contiguous, without padding. Inputs are const; everything else is written. All of them are re-entrant.
 */
#ifndef PALM_H
#define PALM_H

#include <stdint.h>

enum { PALM_MAX_D = 32 };        /* rewards that palm_game accepts */
enum { PALM_SKYLINE_LANES = 8 }; /* rows of the front that palm_skyline compares at once */

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && !defined(PALM_NO_CLONES)
#define PALM_CLONES __attribute__((target_clones("avx2", "default"))) /* same results: no fused multiply-add */
#else
#define PALM_CLONES
#endif

/*
 * Separation (docs/theory.md, L1): the weight where a portfolio serves a candidate worst.
 *
 *     maximise   b.w - s   over  w >= 0, sum w = 1,  s >= w.p_j  for j = 1..m           (b = (1 - epsilon) v_i)
 *
 * is a matrix game. Its dual is, with multipliers lambda on the members and surpluses mu on the rewards,
 *
 *     minimise   t   over  t + sum_j lambda_j p_jk - mu_k = b_k  for all k,  sum lambda = 1,  lambda, mu >= 0:
 *
 * the multipliers are the certificate of quality. Only the right side depends on the candidate, so the basis of one
 * candidate is dual feasible for the next, and a dual simplex walks over in a few pivots.
 *
 *   n, d, m     candidates, rewards (1..PALM_MAX_D), members (>= 1)
 *   targets     (n, d) the b of each candidate; magnitudes of targets and members are about 1 (tolerances are 1e-13)
 *   members     (d, m) TRANSPOSED: row k holds the k-th reward of all members
 *   regret      (n) optimum of each candidate
 *   weights     (n, d) a maximising w, >= 0, sum 1 up to rounding
 *   position    (n, d) positions of the members with a positive multiplier, -1 where unused
 *   multiplier  (n, d) their multipliers, > 0, sum 1 up to rounding; 0 where unused
 *   work        palm_game_work(d, m) doubles
 *   pivots      incremented by the pivots done
 * Returns the number of candidates solved; if it is c < n, candidate c did not converge: solve it exactly elsewhere and
 * call again from c + 1.
 */
int64_t palm_game_work(int64_t d, int64_t m);
int64_t palm_game(int64_t n, int64_t d, int64_t m, const double *targets, const double *members, double *regret,
                  double *weights, int32_t *position, double *multiplier, double *work, int64_t *pivots);

/*
 * Skyline: dominator[i] = -1 if row i is undominated, else an undominated row j with v_j >= v_i in every reward and
 * cost_j <= cost_i. Of equal rows the first in `order` is kept.
 *
 *   d           columns; values (n, d); costs (n)
 *   order       (n) all rows, such that a row never comes before one that dominates it
 *   first, stop places of `order` to do now: begin with 0, go on where the last call stopped
 *   size        undominated rows so far: begin with 0, then what the last call returned
 *   depth       compare a row with the first so many of them only: n for all; with fewer some dominated rows pass
 *   dominator   (n)
 *   front       work, (n + PALM_SKYLINE_LANES) * d doubles, of initialised memory, kept from call to call
 *   ids         (n) the undominated rows in `order`
 * Returns the number of undominated rows.
 */
int64_t palm_skyline(int64_t d, int64_t first, int64_t stop, int64_t size, int64_t depth, const double *values,
                     const double *costs, const int64_t *order, int64_t *dominator, double *front, int64_t *ids);

/*
 * Coverage (docs/theory.md, L3) in three values, for candidate i and weight j:
 *
 *     state[j, i] = 1 (covered) if w_j.v_i >= high_j,  0 (not covered) if w_j.v_i < low_j,  2 (doubtful) between.
 *
 *   n, d, m     candidates, rewards, weights
 *   values      (d, n) TRANSPOSED; weights (m, d); low, high (m)
 *   state       (m, n)
 */
void palm_coverage(int64_t n, int64_t d, int64_t m, const double *values, const double *weights, const double *low,
                   const double *high, uint8_t *state);

/* The best value of each weight: opt[j] = max_i w_j.v_i, attained at best[j]. Shapes as in palm_coverage. */
void palm_support(int64_t n, int64_t d, int64_t m, const double *values, const double *weights, double *opt,
                  int64_t *best);

/*
 * Optimum under a KL penalty (docs/theory.md, L7). Of prompt x with responses y, reference probabilities q and rewards
 * r the best policy for weight w is pi(y) = q(y) exp(w.r(y) / beta) / Z with Z = sum_y q(y) exp(w.r(y) / beta).
 * palm_gibbs adds up over the prompts, for every weight,
 *
 *     log Z,  KL(pi || q) = sum_y pi(y) log(pi(y) / q(y)),  R_k = sum_y pi(y) r_k(y):
 *
 * beta log Z is the optimum of w.R - beta KL. One pass over the scores for 64 weights; nothing overflows, whatever the
 * size of w.r / beta. Each sum is in the order of the prompts, its rounding errors apart.
 *
 *   prompts     number of prompts (>= 0)
 *   d, m        rewards (1..PALM_MAX_D), weights (a multiple of PALM_GIBBS_LANES; pad with zeros)
 *   offsets     (prompts + 1) rows of prompt x: offsets[x] .. offsets[x + 1] - 1, at least one
 *   scores      (offsets[prompts], d) rewards r, finite
 *   log_q       (offsets[prompts]) log q, finite, sum of q is 1 for every prompt
 *   weights     (d, m) TRANSPOSED and divided by beta
 *   sums        (d + 2, m) log Z, KL, R_1 .. R_d, summed over the prompts
 *   carry       (d + 2, m) rounding errors of sums: sums + carry is the better sum
 */
enum { PALM_GIBBS_LANES = 4 };
void palm_gibbs(int64_t prompts, int64_t d, int64_t m, const int64_t *offsets, const double *scores,
                const double *log_q, const double *weights, double *sums, double *carry);

/*
 * The same log Z prompt by prompt, and its delete-one jackknife bias (n - 1) (mean_y log Z_y - log Z), where Z_y leaves
 * out response y and divides the other q by their sum (Quenouille 1956); NaN with a single response.
 *
 *   opt, bias   (prompts, m); the other arguments as in palm_gibbs
 */
void palm_gibbs_bias(int64_t prompts, int64_t d, int64_t m, const int64_t *offsets, const double *scores,
                     const double *log_q, const double *weights, double *opt, double *bias);

/* y_i = 2^-x_i for x_i >= 0, within two units in the last place; 2^-1020 above 1020. The exponential of palm_gibbs, for
 * tests. */
void palm_power(int64_t n, const double *x, double *y);

/*
 * Local search for a set cover within a budget: row weighting, one column out and others in a step.
 *
 *   rows, columns          the cover; row_words >= rows / 64 and column_words >= columns / 64 are the strides below
 *   by_row, by_column      the same 0/1 matrix twice: (rows, column_words) and (columns, row_words), bit b of word a is
 *                          entry 64 a + b; bits beyond the matrix are 0
 *   costs (columns) > 0    fixed (columns): 1 for columns that stay chosen
 *   budget                 looks for a cover that costs at most this
 *   steps                  at most so many; every PALM_LOCAL_LONG changes of gains count as one at least
 *   chosen (columns)       in: where to start, out: where it ended
 *   weight (rows)          in and out: weights of rows, >= 1; keep them from call to call
 *   random                 in and out: state of the random numbers
 *   work                   palm_local_work(rows, columns) int64
 *   uncovered              number of rows that `chosen` leaves uncovered: 0 when a cover was found
 * Returns the number of steps done.
 */
enum { PALM_LOCAL_LONG = 1 << 13 };
int64_t palm_local_work(int64_t rows, int64_t columns);
int64_t palm_local(int64_t rows, int64_t columns, int64_t row_words, int64_t column_words, const uint64_t *by_row,
                   const uint64_t *by_column, const double *costs, const uint8_t *fixed, double budget, int64_t steps,
                   uint8_t *chosen, int64_t *weight, uint64_t *random, int64_t *work, int64_t *uncovered);

/*
 * Weights that few candidates cover: each weight takes `tries` random steps and keeps those that do not raise
 *
 *     coverage(w) = sum of mass_i over the i with w.v_i >= (1 - epsilon) max over the hull of w.v - delta.
 *
 *   m, d, h, s             weights, rewards (<= PALM_MAX_D), candidates that attain the maximum, candidates with mass
 *   hull (d, h)            TRANSPOSED; values (d, s) TRANSPOSED; mass (s)
 *   random                 in and out: state of the random numbers
 *   weights (m, d)         in: where to start, >= 0, sum 1; out: where they ended
 *   coverage (m)           at the weights returned
 * Returns the number of steps done.
 */
int64_t palm_probe(int64_t m, int64_t d, int64_t h, int64_t s, const double *hull, const double *values,
                   const double *mass, double epsilon, double delta, int64_t tries, uint64_t *random, double *weights,
                   double *coverage);

/*
 * Corners of an upper envelope (docs/theory.md, L5): L(w) = max_p w.a_p over found policies a_p, on the simplex of
 * weights, in homogeneous scaled coordinates. A caller with values v and powers of two s_k passes a_pk = v_pk / s_k
 * (magnitudes about 1), so that here w_k = s_k times the weight of reward k, and w.a = weight.v. A corner is an extreme
 * ray of { (w, z): w >= 0, z >= w.a_p for all p }, kept with sum w = 1. No d + 1 of the constraints may meet in one ray
 * (the caller shifts the points until `palm_corners_side` has no exact zero), so each corner has d active constraints
 * and d edges, one for each constraint that is dropped. Constraint k < d is w_k = 0; constraint d + p is policy p.
 *
 *   d          rewards, 1..PALM_MAX_D
 *   capacity   corners that the arrays have room for
 *   used       slots taken so far, alive or free
 *   spare      first free slot or -1 (the next one is in neighbour[slot, 0])
 *   heap_size  corners in the heap
 *   births     corners ever made
 *   weight     (capacity, d) w
 *   value      (capacity) z
 *   radius     (capacity) proved bound of |error| of each w_k
 *   mass       (capacity) sum_k w_k / s_k: dividing by it gives the true weight, value and bound
 *   bound      (capacity) an upper bound of U(w), see palm_outer
 *   key        (capacity) what is left to improve, see palm_promise
 *   active     (capacity, d) constraints, ascending
 *   neighbour  (capacity, d) the corner across the edge that drops the constraint, -1 for the vertical ray
 *   basis      (capacity, d) columns of an outer bound to start from
 *   known      (capacity) the number of columns that `basis` was optimal for, 0 for none
 *   exact      (capacity) the number of columns for which `bound` is the optimum, 0 if it is interpolated
 *   heap       (capacity) slots, a max-heap on key, of equal keys the older corner first
 *   place      (capacity) position in the heap, -1 alive outside it, -2 free
 *   birth      (capacity) number of the corner
 */
typedef struct {
    int64_t d, capacity, used, spare, heap_size, births;
    double *weight, *value, *radius, *mass, *bound, *key;
    int32_t *active, *neighbour, *basis, *known, *exact, *heap, *place;
    int64_t *birth;
} palm_corners;

/*
 * What is promised: (keep, delta) with keep = 1 - epsilon, about an oracle whose answers are (eta, gamma)-optimal.
 * With U and L the true bound and value at a corner, key = keep U - L - target, where the target is delta, or
 * 1.05 ((eta - epsilon) U + gamma) where that is larger (no further call is sure to do better there), and never below
 * resolution / mass (the rounding of the points). It is raised by 0.1 % for each facet (what is learnt on a face bounds
 * more of the simplex) and by some parts in a million that depend on w (ties do not hang on rounding). unit (d): 1 /
 * s_k
 */
typedef struct {
    double keep, delta, eta, gamma, resolution;
    const double *unit;
} palm_promise;

/*
 * The outer bound U(w) = min sum_j mu_j cost_j over sum_j mu_j column_j = w, mu >= 0 (docs/theory.md, L6): a linear
 * program with d rows. Columns 0..d-1 are positive multiples of the unit vectors. Magnitudes are about 1.
 *
 *   column     (d, stride) TRANSPOSED; cost (stride); the first `count` are in use
 *   lps, pivots  incremented by the work done
 */
typedef struct {
    int64_t d, count, stride, lps, pivots;
    const double *column, *cost;
} palm_outer;

/* The d corners of a single policy with the point `point` (d), id 0; bounds 0, keys 0, nothing in the heap. */
void palm_corners_start(palm_corners *c, const double *point, const palm_promise *promise);

/*
 * Where a new point lies: state[i] = 1 if it cuts corner i off (w.point > z), 0 if not (or slot i is free), 2 if
 * rounding leaves it open. `size` bounds the magnitude of all points. Returns the number of open ones.
 *
 *   point (d); state (used)
 */
int64_t palm_corners_side(const palm_corners *c, const double *point, double size, uint8_t *state);

/* Edges between corners with state 1 and others: the new corners that palm_corners_cut will make. */
int64_t palm_corners_crossings(const palm_corners *c, const uint8_t *state);

/*
 * Cut off the corners with state 1 by policy number `policy`, whose id must exceed all before it. New corners get an
 * interpolated bound and a key, and go into the heap.
 *
 *   points     (policy + 1, d) all points so far; state (used), 0 or 1
 *   table      (table_size) work, table_size a power of two >= 2 d crossings; edge (crossings) work
 * The caller has made room for the new corners: capacity >= used + crossings.
 * Returns the number of new corners, or -1 if the states are those of no polyhedron.
 */
int64_t palm_corners_cut(palm_corners *c, int64_t policy, const double *points, const uint8_t *state,
                         const palm_promise *promise, int64_t *table, int64_t table_size, int32_t *edge);

/* Recompute all keys from the bounds, and build the heap of all corners. */
void palm_corners_rekey(palm_corners *c, const palm_promise *promise);

/* Take a corner out of the heap, or put one back. */
void palm_corners_remove(palm_corners *c, int64_t slot);
void palm_corners_insert(palm_corners *c, int64_t slot);

/*
 * Solve the linear program of an outer bound at w, warm: a dual simplex from `basis` over the first `known` columns it
 * was optimal for, then a primal simplex over all. known = 0 starts from the unit columns.
 *
 *   w (d); basis (d) in and out; share (d) the multipliers of the basis, >= 0; price (d) the dual solution
 * Returns the bound.
 */
double palm_outer_solve(palm_outer *o, const double *w, int32_t *basis, int64_t known, double *share, double *price);

/* Solve at corners (count), and update their bounds and keys. */
void palm_outer_corners(palm_outer *o, palm_corners *c, const palm_promise *promise, int64_t count,
                        const int32_t *corners);

/*
 * The corner with the largest key, its bound solved to optimality: linear programs are solved at the top of the heap
 * only, until the top needs none or its key is at most `stop`. Returns its slot, -1 if the heap is empty.
 */
int64_t palm_refine(palm_outer *o, palm_corners *c, const palm_promise *promise, double stop);

#endif
