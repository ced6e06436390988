/*
 * The outer bound of an oracle search: a linear program with d rows and one column a call,
 *
 *     minimise  sum_j mu_j cost_j   over  sum_j mu_j column_j = w,  mu >= 0,
 *
 * by the revised simplex method with an explicit inverse (d <= PALM_MAX_D). Another w keeps a basis dual feasible,
 * another column keeps it primal feasible: a solve first walks to the new w by the dual simplex over the columns that
 * its basis was optimal for, then prices all columns and goes on by the primal simplex.
 */
#include "invert.h"
#include "palm.h"

#include <math.h>
#include <string.h>

enum { MAX_STEPS = 400 };

static const double TINY = 1e-13;

typedef struct {
    int64_t d;
    double inverse[PALM_MAX_D * PALM_MAX_D];
    double x[PALM_MAX_D];     /* multipliers of the basis */
    double price[PALM_MAX_D]; /* dual solution: cost of the basis times the inverse */
} Basis;

static double entry(const palm_outer *o, int64_t column, int64_t row) { return o->column[row * o->stride + column]; }

/* x and price from the inverse */
static void refresh(const palm_outer *o, const double *w, const int32_t *basis, Basis *b) {
    const int64_t d = b->d;
    for (int64_t k = 0; k < d; k++)
        b->price[k] = 0;
    for (int64_t r = 0; r < d; r++) {
        double sum = 0;
        const double cost = o->cost[basis[r]];
        for (int64_t k = 0; k < d; k++) {
            sum += b->inverse[r * d + k] * w[k];
            b->price[k] += cost * b->inverse[r * d + k];
        }
        b->x[r] = sum;
    }
}

static int rebuild(const palm_outer *o, const double *w, const int32_t *basis, Basis *b) {
    double a[PALM_MAX_D * PALM_MAX_D];
    for (int64_t r = 0; r < b->d; r++)
        for (int64_t k = 0; k < b->d; k++)
            a[r * b->d + k] = entry(o, basis[k], r);
    if (!invert(b->d, a, TINY * TINY, b->inverse))
        return 0;
    refresh(o, w, basis, b);
    return 1;
}

static int cold_start(const palm_outer *o, const double *w, int32_t *basis, Basis *b) {
    for (int64_t k = 0; k < b->d; k++)
        basis[k] = (int32_t)k;
    return rebuild(o, w, basis, b);
}

static void pivot(const palm_outer *o, const double *w, int32_t *basis, Basis *b, int64_t row, int64_t column) {
    const int64_t d = b->d;
    double direction[PALM_MAX_D];
    for (int64_t r = 0; r < d; r++) {
        double sum = 0;
        for (int64_t k = 0; k < d; k++)
            sum += b->inverse[r * d + k] * entry(o, column, k);
        direction[r] = sum;
    }
    const double scale = 1 / direction[row];
    for (int64_t k = 0; k < d; k++)
        b->inverse[row * d + k] *= scale;
    for (int64_t r = 0; r < d; r++)
        for (int64_t k = 0; r != row && direction[r] != 0 && k < d; k++)
            b->inverse[r * d + k] -= direction[r] * b->inverse[row * d + k];
    basis[row] = (int32_t)column;
    refresh(o, w, basis, b);
}

/* Reduced cost of all of the first n columns in blocks; the smallest one's column, -1 if none is negative. With `first`
 * the first negative one (Bland). */
PALM_CLONES
static int64_t cheapest(const palm_outer *o, const double *price, int64_t n, int first) {
    enum { BLOCK = 256 };
    double reduced[BLOCK], best = -TINY;
    int64_t column = -1;
    for (int64_t from = 0; from < n; from += BLOCK) {
        const int64_t count = n - from < BLOCK ? n - from : BLOCK;
        for (int64_t j = 0; j < count; j++)
            reduced[j] = o->cost[from + j];
        for (int64_t k = 0; k < o->d; k++) {
            const double *row = o->column + k * o->stride + from;
            for (int64_t j = 0; j < count; j++)
                reduced[j] -= price[k] * row[j];
        }
        for (int64_t j = 0; j < count; j++)
            if (reduced[j] < best) {
                best = reduced[j];
                column = from + j;
                if (first)
                    return column;
            }
    }
    return column;
}

/* Dual ratio test over the first n columns: the entering column for a leaving row, -1 if there is none. */
PALM_CLONES
static int64_t entering(const palm_outer *o, const double *price, const double *row, int64_t n) {
    enum { BLOCK = 256 };
    double reduced[BLOCK], alpha[BLOCK], best = INFINITY, largest = 0;
    int64_t column = -1;
    for (int64_t from = 0; from < n; from += BLOCK) {
        const int64_t count = n - from < BLOCK ? n - from : BLOCK;
        for (int64_t j = 0; j < count; j++) {
            reduced[j] = o->cost[from + j];
            alpha[j] = 0;
        }
        for (int64_t k = 0; k < o->d; k++) {
            const double *line = o->column + k * o->stride + from;
            for (int64_t j = 0; j < count; j++) {
                reduced[j] -= price[k] * line[j];
                alpha[j] -= row[k] * line[j];
            }
        }
        for (int64_t j = 0; j < count; j++) {
            if (alpha[j] <= 1e-11)
                continue;
            const double ratio = reduced[j] > 0 ? reduced[j] / alpha[j] : 0.0;
            if (ratio < best || (ratio == best && alpha[j] > largest)) {
                best = ratio;
                largest = alpha[j];
                column = from + j;
            }
        }
    }
    return column;
}

/* Walk to a primal feasible basis over the first n columns; 0 if rounding or degeneracy stands in the way. */
static int dual_simplex(palm_outer *o, const double *w, int32_t *basis, Basis *b, int64_t n) {
    for (int64_t step = 0; step < MAX_STEPS; step++) {
        int64_t row = -1;
        double worst = -TINY;
        for (int64_t r = 0; r < b->d; r++)
            if (b->x[r] < worst) {
                worst = b->x[r];
                row = r;
            }
        if (row < 0)
            return 1;
        const int64_t column = entering(o, b->price, b->inverse + row * b->d, n);
        if (column < 0)
            return 0;
        pivot(o, w, basis, b, row, column);
        o->pivots++;
    }
    return 0;
}

static void primal_simplex(palm_outer *o, const double *w, int32_t *basis, Basis *b) {
    const int64_t d = b->d;
    for (int64_t step = 0; step < MAX_STEPS; step++) {
        const int64_t column = cheapest(o, b->price, o->count, step > MAX_STEPS / 4);
        if (column < 0)
            return;
        int64_t row = -1;
        double best = INFINITY, largest = 0;
        for (int64_t r = 0; r < d; r++) {
            double sum = 0;
            for (int64_t k = 0; k < d; k++)
                sum += b->inverse[r * d + k] * entry(o, column, k);
            if (sum <= 1e-11)
                continue;
            const double ratio = b->x[r] > 0 ? b->x[r] / sum : 0.0;
            if (ratio < best || (ratio == best && sum > largest)) {
                best = ratio;
                largest = sum;
                row = r;
            }
        }
        if (row < 0)
            return;
        pivot(o, w, basis, b, row, column);
        o->pivots++;
    }
}

double palm_outer_solve(palm_outer *o, const double *w, int32_t *basis, int64_t known, double *share, double *price) {
    const int64_t d = o->d;
    Basis b = {.d = d};
    if (known == 0 || !rebuild(o, w, basis, &b) || !dual_simplex(o, w, basis, &b, known))
        cold_start(o, w, basis, &b);
    primal_simplex(o, w, basis, &b);
    double worst = 0;
    if (rebuild(o, w, basis, &b)) /* the answer is that of the basis, not of the path to it */
        for (int64_t r = 0; r < d; r++)
            worst = fmin(worst, b.x[r]);
    else
        worst = -1;
    if (worst < -1e-11) {
        cold_start(o, w, basis, &b);
        primal_simplex(o, w, basis, &b);
    }
    double bound = 0;
    for (int64_t r = 0; r < d; r++) {
        share[r] = b.x[r] > 0 ? b.x[r] : 0.0;
        price[r] = b.price[r];
        bound += share[r] * o->cost[basis[r]];
    }
    o->lps++;
    return bound;
}
