/* The inverse of a small matrix by Gauss-Jordan elimination with partial pivoting. */
#ifndef PALM_INVERT_H
#define PALM_INVERT_H

#include "palm.h"

#include <math.h>
#include <string.h>

/* inverse of a, both (m, m) with m <= PALM_MAX_D + 1; 0 where a pivot is at most `smallest` in magnitude */
static inline int invert(int64_t m, const double *a, double smallest, double *inverse) {
    double b[(PALM_MAX_D + 1) * 2 * (PALM_MAX_D + 1)];
    const int64_t width = 2 * m;
    for (int64_t r = 0; r < m; r++)
        for (int64_t k = 0; k < m; k++) {
            b[r * width + k] = a[r * m + k];
            b[r * width + m + k] = r == k;
        }
    for (int64_t p = 0; p < m; p++) {
        int64_t best = p;
        for (int64_t r = p + 1; r < m; r++)
            if (fabs(b[r * width + p]) > fabs(b[best * width + p]))
                best = r;
        if (fabs(b[best * width + p]) <= smallest)
            return 0;
        for (int64_t k = p; best != p && k < width; k++) {
            const double swap = b[p * width + k];
            b[p * width + k] = b[best * width + k];
            b[best * width + k] = swap;
        }
        const double scale = 1 / b[p * width + p];
        for (int64_t k = p; k < width; k++)
            b[p * width + k] *= scale;
        for (int64_t r = 0; r < m; r++) {
            const double factor = b[r * width + p];
            if (r == p || factor == 0)
                continue;
            for (int64_t k = p; k < width; k++)
                b[r * width + k] -= factor * b[p * width + k];
        }
    }
    for (int64_t r = 0; r < m; r++)
        memcpy(inverse + r * m, b + r * width + m, sizeof(double) * (size_t)m);
    return 1;
}

#endif
