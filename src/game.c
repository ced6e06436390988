/*
 * The matrix game of separation by a dual simplex on d + 1 rows with an explicit inverse (see palm.h).
 *
 * Columns: 0..m-1 lambda_j with entries (p_j, 1); m..m+d-1 mu_k with entry -1 in row k; m+d the free variable t with
 * entries (1, .., 1, 0), always basic in row 0. Rows 0..d-1 belong to the rewards, row d is sum lambda = 1. Row 0 of
 * the inverse is (w, -s): a corner of the portfolio's envelope. The slack of a nonbasic column is s - w.p_j, or w_k:
 * never negative. Corners found are kept with their inverses; a candidate starts from the one that is best for it, and
 * is done without a pivot when that one is optimal.
 *
 * Everything is inlined into one function per small d, so that the short loops have constant lengths.
 */
#include "invert.h"
#include "palm.h"

#include <math.h>
#include <string.h>

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

enum {
    REFRESH = 64, /* pivots between rebuilds of an inverse */
    CORNERS = 96, /* corners kept */
    ROWS = PALM_MAX_D + 1
};

static const double TINY = 1e-13; /* negativity of a basic variable that counts as rounding: values are O(1) */

typedef struct {
    int64_t m, age, kept, next;
    const double *members; /* (d, m) */
    double *slack, *alpha; /* (m + d) each */
    double *inverse;       /* (rows, rows) of the current basis */
    double *corner;        /* (rows, CORNERS): row 0 of the inverses kept, transposed */
    double *inverses;      /* (CORNERS, rows, rows) */
    double *score;         /* (CORNERS) */
    int64_t *bases;        /* (CORNERS, rows + 1): basis and age */
    int64_t basis[ROWS];   /* column that is basic in each row; the row of t is 0 */
    double x[ROWS];        /* values of the basic variables */
    double b[ROWS];        /* right side */
} Game;

int64_t palm_game_work(int64_t d, int64_t m) {
    const int64_t rows = d + 1;
    return 2 * (m + d) + rows * rows + CORNERS * (rows + rows * rows + 1);
}

INLINE double entry(const Game *g, int64_t d, int64_t column, int64_t row) {
    if (column < g->m)
        return row < d ? g->members[row * g->m + column] : 1.0;
    if (column < g->m + d)
        return row == column - g->m ? -1.0 : 0.0;
    return row < d ? 1.0 : 0.0;
}

/* product_j = row . column j for all columns but t */
INLINE void price(const Game *g, int64_t d, const double *restrict row, double *restrict product) {
    const int64_t m = g->m;
    const double *restrict p = g->members;
    for (int64_t j = 0; j < m; j++) {
        double sum = row[d];
        for (int64_t k = 0; k < d; k++)
            sum += row[k] * p[k * m + j];
        product[j] = sum;
    }
    for (int64_t k = 0; k < d; k++)
        product[m + k] = -row[k];
}

INLINE void refresh_slacks(Game *g, int64_t d) {
    price(g, d, g->inverse, g->slack);
    for (int64_t j = 0; j < g->m + d; j++)
        g->slack[j] = g->slack[j] < 0 ? -g->slack[j] : 0.0;
    for (int64_t r = 1; r <= d; r++)
        g->slack[g->basis[r]] = 0.0;
}

/* x = inverse . b */
INLINE void refresh_values(Game *g, int64_t d, const double *restrict inverse) {
    for (int64_t r = 0; r <= d; r++) {
        double sum = 0;
        for (int64_t k = 0; k <= d; k++)
            sum += inverse[r * (d + 1) + k] * g->b[k];
        g->x[r] = sum;
    }
}

/* The basis of the corner w = e_0: t, the best member there, and mu_1 .. mu_{d-1}. */
INLINE void cold_start(Game *g, int64_t d) {
    const int64_t rows = d + 1;
    int64_t best = 0;
    for (int64_t j = 1; j < g->m; j++)
        if (g->members[j] > g->members[best])
            best = j;
    memset(g->inverse, 0, sizeof(double) * (size_t)(rows * rows));
    g->basis[0] = g->m + d; /* t = b_0 - p_0 */
    g->inverse[0] = 1;
    g->inverse[d] = -g->members[best];
    g->basis[d] = best; /* lambda = 1 */
    g->inverse[d * rows + d] = 1;
    for (int64_t k = 1; k < d; k++) { /* mu_k = t + p_k - b_k */
        g->basis[k] = g->m + k;
        g->inverse[k * rows] = 1;
        g->inverse[k * rows + k] = -1;
        g->inverse[k * rows + d] = g->members[k * g->m + best] - g->members[best];
    }
    g->age = 0;
}

/* Rebuild the inverse from the basis; 0 if the basis is singular. */
static int rebuild(Game *g, int64_t d) {
    const int64_t rows = d + 1;
    double a[ROWS * ROWS];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < rows; c++)
            a[r * rows + c] = entry(g, d, g->basis[c], r);
    if (!invert(rows, a, 0, g->inverse))
        return 0;
    g->age = 0;
    refresh_slacks(g, d);
    refresh_values(g, d, g->inverse);
    return 1;
}

/* The row of the most negative basic variable (with `bland`: of the smallest column), -1 if there is none. */
INLINE int64_t leaving(const Game *g, int64_t d, int bland) {
    double worst = -TINY;
    int64_t row = -1;
    for (int64_t r = 1; r <= d; r++)
        if (bland ? g->x[r] < -TINY && (row < 0 || g->basis[r] < g->basis[row]) : g->x[r] < worst) {
            worst = g->x[r];
            row = r;
        }
    return row;
}

/* Dual ratio test over the nonbasic columns: the smallest slack / -alpha, ties to the largest pivot or, with `bland`,
 * to the smallest column; -1 if none (rounding: the dual is bounded). */
INLINE int64_t entering(const Game *g, int64_t d, const double *row, int bland) {
    double best = INFINITY, pivot = 0, tolerance = fabs(row[d]);
    for (int64_t k = 0; k < d; k++)
        tolerance += fabs(row[k]);
    tolerance *= 1e-12;
    int64_t column = -1;
    for (int64_t j = 0; j < g->m + d; j++) {
        const double a = -g->alpha[j], s = g->slack[j];
        if (a <= tolerance || s > best * a)
            continue;
        if (s < best * a * (1 - 1e-12) || (!bland && a > pivot)) {
            best = s / a;
            pivot = a;
            column = j;
        }
    }
    return column;
}

INLINE void pivot(Game *g, int64_t d, int64_t row, int64_t column) {
    const int64_t rows = d + 1;
    double direction[ROWS], source[ROWS], a[ROWS];
    for (int64_t k = 0; k <= d; k++)
        a[k] = entry(g, d, column, k);
    for (int64_t r = 0; r <= d; r++) {
        double sum = 0;
        for (int64_t k = 0; k <= d; k++)
            sum += g->inverse[r * rows + k] * a[k];
        direction[r] = sum;
    }
    const double scale = 1 / direction[row], step = g->x[row] * scale;
    const double dual = g->slack[column] / g->alpha[column]; /* <= 0 */
    for (int64_t k = 0; k <= d; k++)
        source[k] = g->inverse[row * rows + k] * scale;
    for (int64_t r = 0; r <= d; r++) {
        const double factor = direction[r];
        for (int64_t k = 0; k <= d; k++)
            g->inverse[r * rows + k] -= factor * source[k];
        g->x[r] -= factor * step;
    }
    for (int64_t k = 0; k <= d; k++)
        g->inverse[row * rows + k] = source[k];
    g->x[row] = step;
    for (int64_t j = 0; j < g->m + d; j++) {
        const double s = g->slack[j] - dual * g->alpha[j];
        g->slack[j] = s > 0 ? s : 0.0;
    }
    g->basis[row] = column;
    for (int64_t r = 1; r <= d; r++)
        g->slack[g->basis[r]] = 0.0;
    g->age++;
}

/* Dual simplex from the current basis, slacks and values; 1 when optimal. */
INLINE int optimise(Game *g, int64_t d, int64_t *pivots) {
    const int64_t patience = 20 + 4 * (g->m + d);
    for (int64_t count = 0; count < 50 * patience; count++) {
        const int bland = count > patience;
        const int64_t row = leaving(g, d, bland);
        if (row < 0)
            return 1;
        const double *line = g->inverse + row * (d + 1);
        price(g, d, line, g->alpha);
        for (int64_t r = 1; r <= d; r++)
            g->alpha[g->basis[r]] = r == row ? 1.0 : 0.0;
        const int64_t column = entering(g, d, line, bland);
        if (column < 0)
            return 0;
        pivot(g, d, row, column);
        ++*pivots;
        if (g->age >= REFRESH && !rebuild(g, d))
            return 0;
    }
    return 0;
}

/* Remember the current corner in place of the oldest. */
INLINE void keep(Game *g, int64_t d) {
    const int64_t rows = d + 1, slot = g->next;
    g->next = (slot + 1) % CORNERS;
    g->kept = g->kept < CORNERS ? g->kept + 1 : CORNERS;
    for (int64_t k = 0; k <= d; k++)
        g->corner[k * CORNERS + slot] = g->inverse[k];
    memcpy(g->inverses + slot * rows * rows, g->inverse, sizeof(double) * (size_t)(rows * rows));
    for (int64_t r = 0; r <= d; r++)
        g->bases[slot * (rows + 1) + r] = g->basis[r];
    g->bases[slot * (rows + 1) + rows] = g->age;
}

/* The kept corner with the largest b.w - s. */
INLINE int64_t best_corner(Game *g, int64_t d) {
    double *restrict score = g->score;
    for (int64_t c = 0; c < CORNERS; c++) {
        double sum = g->corner[d * CORNERS + c];
        for (int64_t k = 0; k < d; k++)
            sum += g->b[k] * g->corner[k * CORNERS + c];
        score[c] = sum;
    }
    int64_t best = 0;
    for (int64_t c = 1; c < g->kept; c++)
        if (score[c] > score[best])
            best = c;
    return best;
}

/* Solve for the right side g->b; points *inverse at the optimal basis' inverse; 0 if it does not converge. */
INLINE int solve_one(Game *g, int64_t d, const double **inverse, int64_t *pivots) {
    const int64_t rows = d + 1;
    if (g->kept > 0) {
        const int64_t start = best_corner(g, d);
        *inverse = g->inverses + start * rows * rows;
        for (int64_t r = 0; r <= d; r++)
            g->basis[r] = g->bases[start * (rows + 1) + r];
        refresh_values(g, d, *inverse);
        if (leaving(g, d, 0) < 0)
            return 1;
        memcpy(g->inverse, *inverse, sizeof(double) * (size_t)(rows * rows));
        g->age = g->bases[start * (rows + 1) + rows];
    } else {
        cold_start(g, d);
        refresh_values(g, d, g->inverse);
    }
    *inverse = g->inverse;
    refresh_slacks(g, d);
    if (!optimise(g, d, pivots)) {
        cold_start(g, d);
        refresh_slacks(g, d);
        refresh_values(g, d, g->inverse);
        if (!optimise(g, d, pivots))
            return 0;
    }
    keep(g, d);
    return 1;
}

INLINE int64_t run(int64_t n, int64_t d, int64_t m, const double *targets, const double *members, double *regret,
                   double *weights, int32_t *position, double *multiplier, double *work, int64_t *pivots) {
    const int64_t rows = d + 1;
    int64_t bases[CORNERS * (ROWS + 1)];
    Game g = {.m = m, .members = members, .bases = bases};
    g.slack = work;
    g.alpha = g.slack + (m + d);
    g.inverse = g.alpha + (m + d);
    g.corner = g.inverse + rows * rows;
    g.inverses = g.corner + CORNERS * rows;
    g.score = g.inverses + CORNERS * rows * rows;
    memset(g.corner, 0, sizeof(double) * (size_t)(CORNERS * rows));
    for (int64_t i = 0; i < n; i++) {
        const double *inverse;
        for (int64_t k = 0; k < d; k++)
            g.b[k] = targets[i * d + k];
        g.b[d] = 1.0;
        if (!solve_one(&g, d, &inverse, pivots))
            return i;
        regret[i] = g.x[0];
        for (int64_t k = 0; k < d; k++) {
            const double w = inverse[k];
            weights[i * d + k] = w > 0 ? w : 0.0;
            position[i * d + k] = -1;
            multiplier[i * d + k] = 0.0;
        }
        int64_t used = 0;
        for (int64_t r = 1; r <= d; r++)
            if (g.basis[r] < m && g.x[r] > 0) {
                position[i * d + used] = (int32_t)g.basis[r];
                multiplier[i * d + used++] = g.x[r];
            }
    }
    return n;
}

#define GAME(D) run(n, D, m, targets, members, regret, weights, position, multiplier, work, pivots)

PALM_CLONES
int64_t palm_game(int64_t n, int64_t d, int64_t m, const double *targets, const double *members, double *regret,
                  double *weights, int32_t *position, double *multiplier, double *work, int64_t *pivots) {
    switch (d) {
    case 2:
        return GAME(2);
    case 3:
        return GAME(3);
    case 4:
        return GAME(4);
    case 5:
        return GAME(5);
    case 6:
        return GAME(6);
    case 7:
        return GAME(7);
    case 8:
        return GAME(8);
    default:
        return GAME(d);
    }
}
