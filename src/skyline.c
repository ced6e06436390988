/* Skyline by sorted filtering (Chomicki, Godfrey, Gryz, Liang, ICDE 2003): a row is compared with the front only. The
 * front is kept in blocks of LANES rows, reward by reward, so that a block is compared at once. */
#include "palm.h"

enum { LANES = PALM_SKYLINE_LANES };

/* Whether some row of a block is at least `row` in every reward: bit l of the result for lane l. */
static inline unsigned above(int64_t d, const double *restrict block, const double *restrict row) {
    int64_t all[LANES];
    for (int l = 0; l < LANES; l++)
        all[l] = block[l] >= row[0] ? -1 : 0;
    for (int64_t k = 1; k < d; k++) {
        int64_t some = 0;
        for (int l = 0; l < LANES; l++) {
            all[l] &= block[k * LANES + l] >= row[k] ? -1 : 0;
            some |= all[l];
        }
        if (!some)
            return 0;
    }
    unsigned found = 0;
    for (int l = 0; l < LANES; l++)
        found |= all[l] ? 1u << l : 0u;
    return found;
}

PALM_CLONES
int64_t palm_skyline(int64_t d, int64_t first, int64_t stop, int64_t size, int64_t depth, const double *values,
                     const double *costs, const int64_t *order, int64_t *dominator, double *front, int64_t *ids) {
    for (int64_t r = first; r < stop; r++) {
        const int64_t i = order[r];
        const double *row = values + i * d;
        dominator[i] = -1;
        const int64_t last = size < depth ? size : depth;
        for (int64_t block = 0; block < last && dominator[i] < 0; block += LANES) {
            unsigned found = above(d, front + block * d, row);
            for (int l = 0; found; l++, found >>= 1)
                if (found & 1 && block + l < size && costs[ids[block + l]] <= costs[i]) {
                    dominator[i] = ids[block + l];
                    break;
                }
        }
        if (dominator[i] < 0) {
            double *block = front + size / LANES * LANES * d + size % LANES;
            for (int64_t k = 0; k < d; k++)
                block[k * LANES] = row[k];
            ids[size++] = i;
        }
    }
    return size;
}
