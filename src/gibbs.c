/*
 * The optimum under a KL penalty over a finite sample (docs/theory.md, L7; see palm.h).
 *
 * Weights are the lanes: up to LANES of them go through the responses of a prompt together, so that the inner loops are
 * vector code, while each weight sums in the order of the file, whatever its neighbours are. A prompt is read in chunks
 * of CHUNK responses with a running maximum (online softmax, Milakov and Gimelshein, arXiv 1805.02867).
 *
 * Only +, -, *, / and comparisons, without fused multiply-add: every clone gives the same bits.
 */
#include "palm.h"

#include <math.h>
#include <string.h>

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && !defined(PALM_NO_CLONES)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default"))) /* same results: no fused multiply-add */
#else
#define CLONES
#endif

enum { LANES = 64, CHUNK = 16 };

/* One prompt under at most LANES weights: with a_y = w.r_y / beta + log q_y and e_y = exp(a_y - top), */
typedef struct {
    double top[LANES];                /* max a_y */
    double sum[LANES];                /* sum e_y, at least 1 */
    double gain[LANES];               /* sum e_y (a_y - top - log q_y) */
    double reward[PALM_MAX_D][LANES]; /* sum e_y r_yk */
} Tilt;

INLINE uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

INLINE double double_of(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* exp(x) for x <= 0: x = k log 2 + r with |r| <= log 2 / 2, exp(r) by its minimax polynomial of degree 11 (relative
 * error 1.6e-17 before rounding). Below -708 it stays at exp(-708) = 3e-308: nothing beside a sum that is at least 1.
 */
INLINE double exponential(double x) {
    static const double round = 0x1.8p52, high = 0x1.62e42fefp-1, low = 0x1.473de6af278edp-34;
    const uint64_t magnitude = bits_of(x), most = bits_of(-708.0); /* in integers: no branch, so vector code */
    const double clamped = double_of(magnitude < most ? magnitude : most);
    const double shifted = clamped * 0x1.71547652b82fep+0 + round, k = shifted - round;
    const double r = (clamped - k * high) - k * low;
    const double r2 = r * r, r4 = r2 * r2;
    const double first =
        (0.5000000000000001 + 0.16666666666666669 * r) + r2 * (0.04166666666662413 + 0.008333333333330062 * r);
    const double second = (0.0013888888917213717 + 0.00019841269863053618 * r) +
                          r2 * (2.4801521295954376e-05 + 2.7557268459997064e-06 * r);
    const double third = 2.7620088445409746e-07 + 2.510038549551032e-08 * r;
    const double p = 1.0 + (r + r2 * (first + r4 * (second + r4 * third))); /* Estrin: short chains */
    return double_of(bits_of(p) + (bits_of(shifted) << 52));
}

/* exponent[y][l] = w.r_y / beta + log q_y for `lanes` weights of the (d, m) matrix `weights`; `top` rises to them. */
INLINE void exponents(int64_t count, int64_t d, int64_t m, int64_t lanes, const double *restrict scores,
                      const double *restrict log_q, const double *restrict weights, double exponent[CHUNK][LANES],
                      double *restrict top) {
    for (int64_t y = 0; y < count; y++)
        for (int64_t l = 0; l < lanes; l++) {
            double sum = weights[l] * scores[y * d];
            for (int64_t k = 1; k < d; k++)
                sum += weights[k * m + l] * scores[y * d + k];
            sum += log_q[y];
            exponent[y][l] = sum;
            top[l] = sum > top[l] ? sum : top[l];
        }
}

/* Rescale what was summed under the maximum `before` to the one in g->top. */
INLINE void rescale(int64_t d, int64_t lanes, const double *restrict before, Tilt *restrict g) {
    for (int64_t l = 0; l < lanes; l++) {
        const double fall = before[l] - g->top[l], factor = exponential(fall);
        g->gain[l] = factor * (g->gain[l] + fall * g->sum[l]);
        g->sum[l] *= factor;
        for (int64_t k = 0; k < d; k++)
            g->reward[k][l] *= factor;
    }
}

/* Sum over the n responses of one prompt. */
INLINE void tilt(int64_t n, int64_t d, int64_t m, int64_t lanes, const double *restrict scores,
                 const double *restrict log_q, const double *restrict weights, Tilt *restrict g) {
    double exponent[CHUNK][LANES], before[LANES];
    for (int64_t l = 0; l < lanes; l++) {
        g->top[l] = -INFINITY;
        g->sum[l] = g->gain[l] = 0.0;
        for (int64_t k = 0; k < d; k++)
            g->reward[k][l] = 0.0;
    }
    for (int64_t first = 0; first < n; first += CHUNK) {
        const int64_t count = n - first < CHUNK ? n - first : CHUNK;
        memcpy(before, g->top, sizeof(before));
        exponents(count, d, m, lanes, scores + first * d, log_q + first, weights, exponent, g->top);
        if (first > 0)
            rescale(d, lanes, before, g);
        for (int64_t y = 0; y < count; y++) {
            const double *restrict r = scores + (first + y) * d, q = log_q[first + y];
            for (int64_t l = 0; l < lanes; l++) {
                const double x = exponent[y][l] - g->top[l], e = exponential(x);
                g->sum[l] += e;
                g->gain[l] += e * (x - q);
                for (int64_t k = 0; k < d; k++)
                    g->reward[k][l] += e * r[k];
            }
        }
    }
}

/* sum += x, with the rounding errors in `carry` (Knuth's TwoSum) */
INLINE void add(int64_t lanes, double *restrict sum, double *restrict carry, const double *restrict x) {
    for (int64_t l = 0; l < lanes; l++) {
        const double s = sum[l] + x[l], part = s - sum[l];
        carry[l] += (sum[l] - (s - part)) + (x[l] - part);
        sum[l] = s;
    }
}

/* A tile of at most LANES weights over all prompts. The logarithms of the sums over responses are taken once, of their
 * product: its mantissa in [1, 2) and its exponent are kept apart. */
INLINE void run(int64_t prompts, int64_t d, int64_t m, int64_t lanes, const int64_t *offsets, const double *scores,
                const double *log_q, const double *weights, double *sums, double *carry) {
    double mantissa[LANES], exponent[LANES], mean[LANES], inverse[LANES];
    Tilt g;
    for (int64_t l = 0; l < lanes; l++)
        mantissa[l] = 1.0, exponent[l] = 0.0;
    for (int64_t x = 0; x < prompts; x++) {
        const int64_t first = offsets[x];
        tilt(offsets[x + 1] - first, d, m, lanes, scores + first * d, log_q + first, weights, &g);
        for (int64_t l = 0; l < lanes; l++) {
            const uint64_t bits = bits_of(mantissa[l] * g.sum[l]);
            mantissa[l] = double_of((bits & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u);
            exponent[l] += double_of((bits >> 52) | 0x4330000000000000u) - (0x1p52 + 1023.0);
            inverse[l] = 1.0 / g.sum[l];
            mean[l] = g.gain[l] * inverse[l];
        }
        add(lanes, sums, carry, g.top);
        add(lanes, sums + m, carry + m, mean);
        for (int64_t k = 0; k < d; k++) {
            for (int64_t l = 0; l < lanes; l++)
                mean[l] = g.reward[k][l] * inverse[l];
            add(lanes, sums + (2 + k) * m, carry + (2 + k) * m, mean);
        }
    }
    for (int64_t l = 0; l < lanes; l++)
        mean[l] = log(mantissa[l]) + exponent[l] * 0.69314718055994530942;
    add(lanes, sums, carry, mean);
    for (int64_t l = 0; l < lanes; l++)
        mean[l] = -mean[l];
    add(lanes, sums + m, carry + m, mean);
}

#define RUN(D) run(prompts, D, m, lanes, offsets, scores, log_q, weights + tile, sums + tile, carry + tile)

CLONES
void palm_gibbs(int64_t prompts, int64_t d, int64_t m, const int64_t *offsets, const double *scores,
                const double *log_q, const double *weights, double *sums, double *carry) {
    memset(sums, 0, sizeof(double) * (size_t)((d + 2) * m));
    memset(carry, 0, sizeof(double) * (size_t)((d + 2) * m));
    for (int64_t tile = 0; tile < m; tile += LANES) {
        const int64_t lanes = m - tile < LANES ? m - tile : LANES;
        if (d == 2)
            RUN(2);
        else if (d == 3)
            RUN(3);
        else if (d == 4)
            RUN(4);
        else
            RUN(d);
    }
}

/* total[l] = sum over the responses y of one prompt of log(1 - e_y / sum), the logarithms of products. Other than the
 * largest e_y are at most sum / 2, so that the difference loses nothing; without the largest, the others are summed. */
INLINE void jackknife(int64_t n, int64_t d, int64_t m, int64_t lanes, const double *restrict scores,
                      const double *restrict log_q, const double *restrict weights, Tilt *restrict g,
                      double *restrict total) {
    double exponent[CHUNK][LANES], product[LANES], rest[LANES], seen[LANES];
    for (int64_t l = 0; l < lanes; l++)
        total[l] = rest[l] = seen[l] = 0.0;
    for (int64_t first = 0; first < n; first += CHUNK) {
        const int64_t count = n - first < CHUNK ? n - first : CHUNK;
        exponents(count, d, m, lanes, scores + first * d, log_q + first, weights, exponent, g->top);
        for (int64_t l = 0; l < lanes; l++)
            product[l] = 1.0;
        for (int64_t y = 0; y < count; y++)
            for (int64_t l = 0; l < lanes; l++) {
                const double e = exponential(exponent[y][l] - g->top[l]);
                const int largest = exponent[y][l] == g->top[l] && seen[l] == 0.0;
                seen[l] += largest;
                rest[l] += largest ? 0.0 : e;
                product[l] *= largest ? 1.0 : 1.0 - e / g->sum[l];
            }
        for (int64_t l = 0; l < lanes; l++)
            total[l] += log(product[l]);
    }
    for (int64_t l = 0; l < lanes; l++)
        total[l] += log(rest[l] / g->sum[l]);
}

/* sum over y of log(1 - q_y), likewise */
static double reference(int64_t n, const double *restrict log_q) {
    int64_t largest = 0;
    double rest = 0.0, total = 0.0;
    for (int64_t y = 1; y < n; y++)
        largest = log_q[y] > log_q[largest] ? y : largest;
    for (int64_t y = 0; y < n; y++)
        if (y != largest) {
            const double q = exp(log_q[y]);
            rest += q;
            total += log1p(-q);
        }
    return total + log(rest);
}

CLONES
void palm_gibbs_bias(int64_t prompts, int64_t d, int64_t m, const int64_t *offsets, const double *scores,
                     const double *log_q, const double *weights, double *opt, double *bias) {
    for (int64_t x = 0; x < prompts; x++) {
        const int64_t first = offsets[x], n = offsets[x + 1] - first;
        const double *r = scores + first * d, *q = log_q + first;
        const double expected = n > 1 ? reference(n, q) : 0.0, share = (double)(n - 1) / (double)n;
        for (int64_t tile = 0; tile < m; tile += LANES) {
            const int64_t lanes = m - tile < LANES ? m - tile : LANES;
            Tilt g;
            double total[LANES];
            tilt(n, d, m, lanes, r, q, weights + tile, &g);
            if (n > 1)
                jackknife(n, d, m, lanes, r, q, weights + tile, &g, total);
            for (int64_t l = 0; l < lanes; l++) {
                opt[x * m + tile + l] = g.top[l] + log(g.sum[l]);
                bias[x * m + tile + l] = n > 1 ? share * (total[l] - expected) : NAN;
            }
        }
    }
}

CLONES
void palm_exp(int64_t n, const double *x, double *y) {
    for (int64_t i = 0; i < n; i++)
        y[i] = exponential(x[i]);
}
