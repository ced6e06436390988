/* Coverage of weights by candidates and the best value of each weight: blocked products against thresholds. */
#include "palm.h"

enum { BLOCK = 1024 };

/* dot[i] = w . v_i for `count` candidates of the transposed matrix `values` with leading dimension n */
PALM_CLONES
static void products(int64_t count, int64_t d, int64_t n, const double *restrict values, const double *restrict weight,
                     double *restrict dot) {
    for (int64_t i = 0; i < count; i++)
        dot[i] = weight[0] * values[i];
    for (int64_t k = 1; k < d; k++)
        for (int64_t i = 0; i < count; i++)
            dot[i] += weight[k] * values[k * n + i];
}

void palm_coverage(int64_t n, int64_t d, int64_t m, const double *values, const double *weights, const double *low,
                   const double *high, uint8_t *state) {
    double dot[BLOCK];
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t count = n - first < BLOCK ? n - first : BLOCK;
        for (int64_t j = 0; j < m; j++) {
            products(count, d, n, values + first, weights + j * d, dot);
            uint8_t *row = state + j * n + first;
            for (int64_t i = 0; i < count; i++)
                row[i] = dot[i] >= high[j] ? 1 : dot[i] < low[j] ? 0 : 2;
        }
    }
}

void palm_support(int64_t n, int64_t d, int64_t m, const double *values, const double *weights, double *opt,
                  int64_t *best) {
    double dot[BLOCK];
    for (int64_t j = 0; j < m; j++)
        best[j] = -1;
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t count = n - first < BLOCK ? n - first : BLOCK;
        for (int64_t j = 0; j < m; j++) {
            products(count, d, n, values + first, weights + j * d, dot);
            for (int64_t i = 0; i < count; i++)
                if (best[j] < 0 || dot[i] > opt[j]) {
                    opt[j] = dot[i];
                    best[j] = first + i;
                }
        }
    }
}
