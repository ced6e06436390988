/*
 * The optimum under a KL penalty over a finite sample (docs/theory.md, L7; see palm.h).
 *
 * Weights are the lanes of vectors: WIDTH of them go through the responses of a prompt together, while each weight sums
 * in the order of the file, whatever its neighbours are; a prompt serves up to BLOCKS vectors while it is in the cache.
 * It is read in chunks of CHUNK responses with a running maximum (online softmax, Milakov and Gimelshein, arXiv
 * 1805.02867), and a chunk in groups of GROUP, whose numbers stay in registers. Rewards are taken relative to those of
 * the first response of their prompt, so that only differences between responses are rounded; exponents are in units of
 * log 2.
 *
 * Only +, -, *, / and comparisons, without fused multiply-add: every clone gives the same bits.
 */
#include "palm.h"

#include <math.h>
#include <string.h>

#if defined(__GNUC__) && !defined(PALM_SCALAR)
#define INLINE static inline __attribute__((always_inline))
enum { WIDTH = PALM_GIBBS_LANES };
typedef double Vector __attribute__((vector_size(8 * PALM_GIBBS_LANES)));
typedef int64_t Bits __attribute__((vector_size(8 * PALM_GIBBS_LANES)));
INLINE Bits choose(Bits which, Bits a, Bits b) { return (which & a) | (~which & b); }
#else /* one lane: the same numbers, more slowly; PALM_SCALAR is for tests */
#define INLINE static inline
enum { WIDTH = 1 };
typedef double Vector;
typedef int64_t Bits;
INLINE Bits choose(int which, Bits a, Bits b) { return which ? a : b; }
#endif

enum { BLOCKS = 16, CHUNK = 16, GROUP = 4 };

static const double LOG2E = 1.4426950408889634, LN2 = 0.6931471805599453;

/* At most CHUNK responses of a prompt; those that fill up the last group have probability 0. */
typedef struct {
    int first;     /* whether it is the first of its prompt */
    int64_t count; /* a multiple of GROUP */
    double log2_q[CHUNK];
    double reward[CHUNK * PALM_MAX_D]; /* (count, d) rewards less those of the first response of the prompt */
} Chunk;

/* One prompt under WIDTH weights: with a_y = log2 (q_y exp(w.(r_y - r_0) / beta)) and e_y = 2^(a_y - top), */
typedef struct {
    Vector top;                /* max a_y */
    Vector sum;                /* sum e_y, at least 1 */
    Vector reward[PALM_MAX_D]; /* sum e_y (r_yk - r_0k) */
} Tilt;

/* Sums over prompts with their rounding errors, and a product: of its mantissa in [1, 2) and 2^exponent. */
typedef struct {
    Vector top, top_error, mantissa, exponent, reward[PALM_MAX_D], reward_error[PALM_MAX_D];
} Total;

INLINE Bits bits_of(Vector x) {
    Bits bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

INLINE Vector vector_of(Bits bits) {
    Vector x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

INLINE Vector all(double x) { return (Vector){0} + x; }

INLINE Vector larger(Vector a, Vector b) { return vector_of(choose(a > b, bits_of(a), bits_of(b))); }

/* 2^-x for x >= 0: x = k - f with |f| <= 1/2, and 2^f by its minimax polynomial of degree 11 that is 1 at 0 (relative
 * error 1.8e-17 before rounding). Above 1020 it stays at 2^-1020 = 9e-308: nothing beside a sum that is at least 1.
 */
INLINE Vector power(Vector x) {
    const double round = 0x1.8p52;
    const Bits bits = bits_of(x), most = bits_of(all(1020.0)); /* integers are in the order of doubles >= 0 */
    const Vector clamped = vector_of(choose(bits < most, bits, most));
    const Vector shifted = clamped + round, f = (shifted - round) - clamped;
    const Vector f2 = f * f, f4 = f2 * f2;
    const Vector first =
        (0.6931471805599457 + 0.24022650695910097 * f) + f2 * (0.055504108664790386 + 0.009618129107607003 * f);
    const Vector second = (0.0013333558153441334 + 0.00015403530441572598 * f) +
                          f2 * (1.5252727383872463e-05 + 1.3215442675115585e-06 * f);
    const Vector third = (1.0180648196555812e-07 + 7.072570445469294e-09 * f) + f2 * 4.077993856246354e-10;
    const Vector p = 1.0 + f * (first + f4 * (second + f4 * third)); /* Estrin: short chains */
    return vector_of(bits_of(p) - (bits_of(shifted) << 52));
}

INLINE void load(Chunk *c, int64_t first, int64_t n, int64_t d, const double *restrict scores,
                 const double *restrict log_q) {
    const int64_t count = n - first < CHUNK ? n - first : CHUNK;
    c->first = first == 0;
    c->count = (count + GROUP - 1) / GROUP * GROUP;
    for (int64_t y = 0; y < c->count; y++) {
        c->log2_q[y] = y < count ? log_q[first + y] * LOG2E : -INFINITY;
        for (int64_t k = 0; k < d; k++)
            c->reward[y * d + k] = y < count ? scores[(first + y) * d + k] - scores[k] : 0.0;
    }
}

/* a_y of a chunk; `top` rises to them. `weight` is w / (beta log 2). */
INLINE void exponents(int64_t d, const Chunk *c, const Vector *restrict weight, Vector *restrict exponent,
                      Vector *restrict top) {
    for (int64_t first = 0; first < c->count; first += GROUP) {
        const double *restrict r = c->reward + first * d;
        Vector a[GROUP];
        for (int y = 0; y < GROUP; y++)
            a[y] = all(c->log2_q[first + y]);
        for (int64_t k = 0; k < d; k++)
            for (int y = 0; y < GROUP; y++)
                a[y] += weight[k] * r[y * d + k];
        for (int y = 0; y < GROUP; y++) {
            exponent[first + y] = a[y];
            *top = larger(a[y], *top);
        }
    }
}

/* Add a chunk to the sums of its prompt. */
INLINE void gather(int64_t d, const Chunk *restrict c, const Vector *restrict weight, Tilt *restrict g) {
    const Vector before = g->top;
    Vector exponent[CHUNK];
    exponents(d, c, weight, exponent, &g->top);
    if (!c->first) {
        const Vector factor = power(g->top - before);
        g->sum *= factor;
        for (int64_t k = 0; k < d; k++)
            g->reward[k] *= factor;
    }
    for (int64_t first = 0; first < c->count; first += GROUP) {
        const double *restrict r = c->reward + first * d;
        Vector e[GROUP];
        for (int y = 0; y < GROUP; y++) {
            e[y] = power(g->top - exponent[first + y]);
            g->sum += e[y];
        }
        for (int64_t k = 0; k < d; k++)
            for (int y = 0; y < GROUP; y++)
                g->reward[k] += e[y] * r[y * d + k];
    }
}

/* Sum over the n responses of one prompt, for `blocks` vectors of weights. */
INLINE void prompt(int64_t n, int64_t d, int64_t blocks, const double *restrict scores, const double *restrict log_q,
                   Vector weight[][PALM_MAX_D], Tilt *restrict g) {
    Chunk c;
    for (int64_t b = 0; b < blocks; b++) {
        g[b].top = all(-INFINITY);
        g[b].sum = all(0.0);
        for (int64_t k = 0; k < d; k++)
            g[b].reward[k] = all(0.0);
    }
    for (int64_t first = 0; first < n; first += CHUNK) {
        load(&c, first, n, d, scores, log_q);
        for (int64_t b = 0; b < blocks; b++)
            gather(d, &c, weight[b], g + b);
    }
}

/* weight[b][k] = weights / log 2 */
INLINE void scale(int64_t d, int64_t m, int64_t blocks, const double *restrict weights, Vector weight[][PALM_MAX_D]) {
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t k = 0; k < d; k++) {
            memcpy(&weight[b][k], weights + k * m + b * WIDTH, sizeof(Vector));
            weight[b][k] *= LOG2E;
        }
}

/* sum += x, with the rounding errors in `error` (Knuth's TwoSum) */
INLINE void add(Vector *restrict sum, Vector *restrict error, Vector x) {
    const Vector s = *sum + x, part = s - *sum;
    *error += (*sum - (s - part)) + (x - part);
    *sum = s;
}

/* The logarithm of the sums over responses is left to the end, as that of their product. */
INLINE void add_prompt(int64_t d, const Tilt *restrict g, Total *restrict t) {
    const Bits low = bits_of(all(0.0)) + 0x000FFFFFFFFFFFFF, one = bits_of(all(1.0)), whole = bits_of(all(0x1p52));
    const Bits bits = bits_of(t->mantissa * g->sum);
    const Vector inverse = 1.0 / g->sum;
    t->mantissa = vector_of((bits & low) | one);
    t->exponent += vector_of((bits >> 52) | whole) - (0x1p52 + 1023.0);
    add(&t->top, &t->top_error, g->top);
    for (int64_t k = 0; k < d; k++)
        add(&t->reward[k], &t->reward_error[k], g->reward[k] * inverse);
}

/* The results of palm_gibbs: `t` is relative to the first responses, whose rewards add up to `origin`. KL is
 * w.R / beta - log Z, whatever constants the rewards of each prompt are relative to. */
INLINE void finish(int64_t d, int64_t m, Total *restrict t, const Total *restrict origin,
                   const double *restrict weights, double *restrict sums, double *restrict carry) {
    double mantissa[WIDTH];
    Vector z = t->top * LN2, z_error = t->top_error * LN2, product;
    memcpy(mantissa, &t->mantissa, sizeof(mantissa));
    for (int l = 0; l < WIDTH; l++)
        mantissa[l] = log(mantissa[l]);
    memcpy(&product, mantissa, sizeof(product));
    add(&z, &z_error, product + t->exponent * LN2);
    Vector kl = -z, kl_error = -z_error;
    for (int64_t k = 0; k < d; k++) {
        Vector w;
        memcpy(&w, weights + k * m, sizeof(w));
        add(&kl, &kl_error, w * (t->reward[k] + t->reward_error[k]));
        add(&z, &z_error, w * (origin->reward[k] + origin->reward_error[k]));
        t->reward_error[k] += origin->reward_error[k];
        add(&t->reward[k], &t->reward_error[k], origin->reward[k]);
        memcpy(sums + (2 + k) * m, &t->reward[k], sizeof(Vector));
        memcpy(carry + (2 + k) * m, &t->reward_error[k], sizeof(Vector));
    }
    memcpy(sums, &z, sizeof(z));
    memcpy(carry, &z_error, sizeof(z));
    memcpy(sums + m, &kl, sizeof(kl));
    memcpy(carry + m, &kl_error, sizeof(kl));
}

INLINE void clear(int64_t d, Total *t) {
    t->top = t->top_error = t->exponent = all(0.0);
    t->mantissa = all(1.0);
    for (int64_t k = 0; k < d; k++)
        t->reward[k] = t->reward_error[k] = all(0.0);
}

PALM_CLONES
void palm_gibbs(int64_t prompts, int64_t d, int64_t m, const int64_t *offsets, const double *scores,
                const double *log_q, const double *weights, double *sums, double *carry) {
    Vector weight[BLOCKS][PALM_MAX_D];
    Total total[BLOCKS], origin;
    Tilt g[BLOCKS];
    for (int64_t at = 0; at < m; at += BLOCKS * WIDTH) {
        const int64_t blocks = m - at < BLOCKS * WIDTH ? (m - at) / WIDTH : BLOCKS;
        scale(d, m, blocks, weights + at, weight);
        clear(d, &origin);
        for (int64_t b = 0; b < blocks; b++)
            clear(d, total + b);
        for (int64_t x = 0; x < prompts; x++) {
            const double *first = scores + offsets[x] * d;
            prompt(offsets[x + 1] - offsets[x], d, blocks, first, log_q + offsets[x], weight, g);
            for (int64_t b = 0; b < blocks; b++)
                add_prompt(d, g + b, total + b);
            for (int64_t k = 0; k < d; k++)
                add(&origin.reward[k], &origin.reward_error[k], all(first[k]));
        }
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t to = at + b * WIDTH;
            finish(d, m, total + b, &origin, weights + to, sums + to, carry + to);
        }
    }
}

/* The logarithms of products of (1 - e_y / sum) over the responses y of one prompt, added up. Other than the largest
 * e_y are at most sum / 2, so that the difference loses nothing; without the largest, the others are summed. */
INLINE void jackknife(int64_t n, int64_t d, const double *restrict scores, const double *restrict log_q,
                      const Vector *restrict weight, Tilt *restrict g, double *restrict total) {
    Chunk c;
    Vector exponent[CHUNK], rest = all(0.0);
    Bits seen = bits_of(rest);
    double part[WIDTH];
    memset(total, 0, sizeof(part));
    for (int64_t first = 0; first < n; first += CHUNK) {
        Vector product = all(1.0);
        load(&c, first, n, d, scores, log_q);
        exponents(d, &c, weight, exponent, &g->top);
        for (int64_t y = 0; y < CHUNK && first + y < n; y++) {
            const Vector e = power(g->top - exponent[y]);
            const Bits largest = (exponent[y] == g->top) & (seen == 0);
            seen |= largest;
            rest += vector_of(choose(largest, bits_of(all(0.0)), bits_of(e)));
            product *= vector_of(choose(largest, bits_of(all(1.0)), bits_of(1.0 - e / g->sum)));
        }
        memcpy(part, &product, sizeof(part));
        for (int l = 0; l < WIDTH; l++)
            total[l] += log(part[l]);
    }
    rest /= g->sum;
    memcpy(part, &rest, sizeof(part));
    for (int l = 0; l < WIDTH; l++)
        total[l] += log(part[l]);
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

PALM_CLONES
void palm_gibbs_bias(int64_t prompts, int64_t d, int64_t m, const int64_t *offsets, const double *scores,
                     const double *log_q, const double *weights, double *opt, double *bias) {
    Vector weight[1][PALM_MAX_D];
    double top[WIDTH], sum[WIDTH], total[WIDTH];
    Tilt g;
    for (int64_t at = 0; at < m; at += WIDTH) {
        scale(d, m, 1, weights + at, weight);
        for (int64_t x = 0; x < prompts; x++) {
            const int64_t first = offsets[x], n = offsets[x + 1] - first;
            const double *r = scores + first * d, *q = log_q + first;
            const double expected = n > 1 ? reference(n, q) : 0.0, share = (double)(n - 1) / (double)n;
            prompt(n, d, 1, r, q, weight, &g);
            if (n > 1)
                jackknife(n, d, r, q, weight[0], &g, total);
            memcpy(top, &g.top, sizeof(top));
            memcpy(sum, &g.sum, sizeof(sum));
            for (int l = 0; l < WIDTH; l++) {
                double log_z = top[l] * LN2 + log(sum[l]);
                for (int64_t k = 0; k < d; k++)
                    log_z += weights[k * m + at + l] * r[k];
                opt[x * m + at + l] = log_z;
                bias[x * m + at + l] = n > 1 ? share * (total[l] - expected) : NAN;
            }
        }
    }
}

PALM_CLONES
void palm_power(int64_t n, const double *x, double *y) {
    for (int64_t i = 0; i < n; i++) {
        const Vector p = power(all(x[i]));
        memcpy(y + i, &p, sizeof(*y));
    }
}
