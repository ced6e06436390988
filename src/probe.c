/*
 * Weights that few candidates cover: a hill-climb for many weights at once, see palm.h. A row of the cover that fewer
 * candidates satisfy implies more, so these weights make strong rows, and the masses of a fractional cover make this
 * the separation of its linear relaxation (which no exact method separates quickly: the sets are not convex).
 */
#include "palm.h"
#include "random.h"

#include <math.h>

enum { BLOCK = 64 };

static double uniform(uint64_t *state) { return (double)(random_bits(state) >> 11) * 0x1p-53; }

PALM_CLONES
static double largest(int64_t n, int64_t d, const double *restrict values, const double *restrict w) {
    double best[8] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        double dot[8] = {0};
        for (int64_t k = 0; k < d; k++)
            for (int64_t l = 0; l < 8; l++)
                dot[l] += w[k] * values[k * n + i + l];
        for (int64_t l = 0; l < 8; l++)
            best[l] = dot[l] > best[l] ? dot[l] : best[l];
    }
    for (; i < n; i++) {
        double dot = 0;
        for (int64_t k = 0; k < d; k++)
            dot += w[k] * values[k * n + i];
        best[0] = dot > best[0] ? dot : best[0];
    }
    for (int64_t l = 1; l < 8; l++)
        best[0] = best[l] > best[0] ? best[l] : best[0];
    return best[0];
}

PALM_CLONES
static double mass_above(int64_t n, int64_t d, const double *restrict values, const double *restrict mass,
                         const double *restrict w, double threshold) {
    double sum[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        double dot[8] = {0};
        for (int64_t k = 0; k < d; k++)
            for (int64_t l = 0; l < 8; l++)
                dot[l] += w[k] * values[k * n + i + l];
        for (int64_t l = 0; l < 8; l++)
            sum[l] += dot[l] >= threshold ? mass[i + l] : 0.0;
    }
    for (; i < n; i++) {
        double dot = 0;
        for (int64_t k = 0; k < d; k++)
            dot += w[k] * values[k * n + i];
        sum[0] += dot >= threshold ? mass[i] : 0.0;
    }
    for (int64_t l = 1; l < 8; l++)
        sum[0] += sum[l];
    return sum[0];
}

/* A random neighbour of w: every positive entry scaled a little, now and then mass moved between two entries. */
static void neighbour(int64_t d, const double *w, double step, uint64_t *random, double *out) {
    double total = 0;
    for (int64_t k = 0; k < d; k++) {
        out[k] = w[k] * (1 + step * (2 * uniform(random) - 1));
        total += out[k];
    }
    if (random_bits(random) % 4 == 0) {
        const int64_t from = (int64_t)(random_bits(random) % (uint64_t)d);
        const int64_t to = (int64_t)(random_bits(random) % (uint64_t)d);
        const double part = random_bits(random) % 8 == 0 ? out[from] : step * uniform(random) * out[from];
        out[from] -= part;
        out[to] += part;
    }
    for (int64_t k = 0; k < d; k++)
        out[k] = total > 0 && out[k] > 0 ? out[k] / total : 0;
}

int64_t palm_probe(int64_t m, int64_t d, int64_t h, int64_t s, const double *hull, const double *values,
                   const double *mass, double epsilon, double delta, int64_t tries, uint64_t *random, double *weights,
                   double *coverage) {
    double next[PALM_MAX_D];
    for (int64_t j = 0; j < m; j++) {
        double *w = weights + j * d, step = 0.25;
        double low = mass_above(s, d, values, mass, w, (1 - epsilon) * largest(h, d, hull, w) - delta);
        for (int64_t t = 0; t < tries; t++) {
            neighbour(d, w, step, random, next);
            const double found =
                mass_above(s, d, values, mass, next, (1 - epsilon) * largest(h, d, hull, next) - delta);
            if (found > low) {
                step = step > 1e-7 ? step * 0.85 : 0.25;
                continue;
            }
            if (found < low)
                step = step < 0.5 ? step * 2 : 0.5;
            low = found;
            for (int64_t k = 0; k < d; k++)
                w[k] = next[k];
        }
        coverage[j] = low;
    }
    return m * tries;
}
