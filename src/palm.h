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
 *   n, d        rows and columns; values (n, d); costs (n)
 *   order       (n) all rows, such that a row never comes before one that dominates it
 *   dominator   (n)
 *   front       work, (n + PALM_SKYLINE_LANES) * d doubles, of initialised memory
 *   ids         (n) the undominated rows in `order`
 * Returns the number of undominated rows.
 */
int64_t palm_skyline(int64_t n, int64_t d, const double *values, const double *costs, const int64_t *order,
                     int64_t *dominator, double *front, int64_t *ids);

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
 * Local search for a set cover within a budget: row weighting, one column out and others in a step.
 *
 *   rows, columns          the cover; row_words >= rows / 64 and column_words >= columns / 64 are the strides below
 *   by_row, by_column      the same 0/1 matrix twice: (rows, column_words) and (columns, row_words), bit b of word a is
 *                          entry 64 a + b; bits beyond the matrix are 0
 *   costs (columns) > 0    fixed (columns): 1 for columns that stay chosen
 *   budget                 looks for a cover that costs at most this
 *   steps                  at most so many
 *   chosen (columns)       in: where to start, out: where it ended
 *   weight (rows)          in and out: weights of rows, >= 1; keep them from call to call
 *   random                 in and out: state of the random numbers
 *   work                   palm_local_work(rows, columns) int64
 *   uncovered              number of rows that `chosen` leaves uncovered: 0 when a cover was found
 * Returns the number of steps done.
 */
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

#endif
