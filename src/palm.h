/*
 * palm.h: the compiled kernels of palm_opt. This header is the manual.
 *
 * Kernels know nothing of Python, allocate nothing and keep no state: the caller passes all work space. Matrices are
 * row-major, contiguous, without padding. Inputs are const; everything else is written. All of them are re-entrant.
 */
#ifndef PALM_H
#define PALM_H

#include <stdint.h>

enum { PALM_MAX_D = 32 }; /* rewards that palm_game accepts */

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
 *   front       work, n * d doubles
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
enum { PALM_GIBBS_LANES = 8 };
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

/* y_i = exp(x_i) for x_i <= 0, within 4e-16 of its value; exp(-708) below -708. The exponential of palm_gibbs, for
 * tests. */
void palm_exp(int64_t n, const double *x, double *y);

#endif
