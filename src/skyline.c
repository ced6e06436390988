/* Skyline by sorted filtering (Chomicki, Godfrey, Gryz, Liang, ICDE 2003): a row is compared with the front only. */
#include "palm.h"

static int dominates(int64_t d, const double *restrict a, const double *restrict b) {
    int all = 1;
    for (int64_t k = 0; k < d; k++)
        all &= a[k] >= b[k];
    return all;
}

int64_t palm_skyline(int64_t n, int64_t d, const double *values, const double *costs, const int64_t *order,
                     int64_t *dominator, double *front, int64_t *ids) {
    int64_t size = 0;
    for (int64_t r = 0; r < n; r++) {
        const int64_t i = order[r];
        const double *row = values + i * d;
        dominator[i] = -1;
        for (int64_t f = 0; f < size; f++)
            if (front[f * d] >= row[0] && dominates(d, front + f * d, row) && costs[ids[f]] <= costs[i]) {
                dominator[i] = ids[f];
                break;
            }
        if (dominator[i] < 0) {
            for (int64_t k = 0; k < d; k++)
                front[size * d + k] = row[k];
            ids[size++] = i;
        }
    }
    return size;
}
