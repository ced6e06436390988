/*
 * The matrix game of separation by a dual simplex on d + 1 rows with an explicit inverse (see palm.h).
 *
 * Columns: 0..m-1 lambda_j with entries (p_j, 1); m..m+d-1 mu_k with entry -1 in row k; m+d the free variable t with
 * entries (1, .., 1, 0), always basic. Rows 0..d-1 belong to the rewards, row d is sum lambda = 1. The row of the
 * inverse where t is basic is (w, -s). The slack of a nonbasic column is s - w.p_j, or w_k: never negative.
 */
#include "palm.h"

#include <math.h>
#include <string.h>

enum { REFRESH = 64 }; /* pivots between rebuilds of the inverse */
enum { ROWS = PALM_MAX_D + 1 };

typedef struct {
    int64_t d, m, rows, columns, age;
    const double *members; /* (d, m) */
    double *slack, *alpha; /* (m + d) each */
    double *inverse;       /* (rows, rows) */
    int64_t basis[ROWS];   /* column that is basic in each row; the row of t is 0 */
    double x[ROWS];        /* values of the basic variables */
    double b[ROWS];        /* right side */
    double size;           /* largest magnitude in the members: the unit of tolerances on x */
} Game;

int64_t palm_game_work(int64_t d, int64_t m) { return 2 * (m + d) + (d + 1) * (d + 1); }

static double entry(const Game *g, int64_t column, int64_t row) {
    if (column < g->m)
        return row < g->d ? g->members[row * g->m + column] : 1.0;
    if (column < g->m + g->d)
        return row == column - g->m ? -1.0 : 0.0;
    return row < g->d ? 1.0 : 0.0;
}

/* alpha_j = (row . column j) for all columns but t */
PALM_CLONES
static void price(int64_t d, int64_t m, const double *restrict members, const double *restrict row,
                  double *restrict alpha) {
    const double last = row[d];
    for (int64_t j = 0; j < m; j++)
        alpha[j] = last;
    for (int64_t k = 0; k < d; k++) {
        const double r = row[k], *p = members + k * m;
        for (int64_t j = 0; j < m; j++)
            alpha[j] += r * p[j];
        alpha[m + k] = -r;
    }
}

static void refresh_slacks(Game *g) {
    price(g->d, g->m, g->members, g->inverse, g->slack);
    for (int64_t j = 0; j < g->columns; j++)
        g->slack[j] = g->slack[j] < 0 ? -g->slack[j] : 0.0;
    for (int64_t r = 1; r < g->rows; r++)
        g->slack[g->basis[r]] = 0.0;
}

/* x = inverse . b */
static void refresh_values(Game *g) {
    for (int64_t r = 0; r < g->rows; r++) {
        double sum = 0;
        for (int64_t k = 0; k < g->rows; k++)
            sum += g->inverse[r * g->rows + k] * g->b[k];
        g->x[r] = sum;
    }
}

/* The basis of the corner w = e_0: t, the best member there, and mu_1 .. mu_{d-1}. */
static void cold_start(Game *g) {
    const int64_t d = g->d, rows = g->rows;
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
    refresh_slacks(g);
}

/* Rebuild the inverse from the basis by Gauss-Jordan with partial pivoting; 0 if the basis is singular. */
static int rebuild(Game *g) {
    const int64_t rows = g->rows;
    double a[ROWS][2 * ROWS];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < rows; c++) {
            a[r][c] = entry(g, g->basis[c], r);
            a[r][rows + c] = r == c;
        }
    for (int64_t c = 0; c < rows; c++) {
        int64_t best = c;
        for (int64_t r = c + 1; r < rows; r++)
            if (fabs(a[r][c]) > fabs(a[best][c]))
                best = r;
        if (a[best][c] == 0)
            return 0;
        for (int64_t k = 0; best != c && k < 2 * rows; k++) {
            const double swap = a[c][k];
            a[c][k] = a[best][k];
            a[best][k] = swap;
        }
        const double scale = 1 / a[c][c];
        for (int64_t k = c; k < 2 * rows; k++)
            a[c][k] *= scale;
        for (int64_t r = 0; r < rows; r++) {
            const double factor = a[r][c];
            for (int64_t k = c; r != c && factor != 0 && k < 2 * rows; k++)
                a[r][k] -= factor * a[c][k];
        }
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < rows; c++)
            g->inverse[r * rows + c] = a[r][rows + c];
    g->age = 0;
    refresh_slacks(g);
    refresh_values(g);
    return 1;
}

/* The row of the most negative basic variable (with `bland`: of the smallest column), -1 if there is none. */
static int64_t leaving(const Game *g, int bland) {
    double worst = -1e-13 * g->size;
    int64_t row = -1;
    for (int64_t r = 1; r < g->rows; r++) {
        const double limit = g->basis[r] < g->m ? -1e-13 : -1e-13 * g->size;
        const double scaled = g->basis[r] < g->m ? g->x[r] * g->size : g->x[r];
        if (g->x[r] < limit && (bland ? row < 0 || g->basis[r] < g->basis[row] : scaled < worst)) {
            worst = scaled;
            row = r;
        }
    }
    return row;
}

/* Dual ratio test over the nonbasic columns: the smallest slack / -alpha, ties to the largest pivot or, with `bland`,
 * to the smallest column; -1 if none (rounding: the dual is bounded). */
static int64_t entering(const Game *g, int bland) {
    double best = INFINITY, pivot = 0, tolerance = 0;
    for (int64_t j = 0; j < g->columns; j++)
        tolerance = fmax(tolerance, fabs(g->alpha[j]));
    tolerance *= 1e-11;
    int64_t column = -1;
    for (int64_t j = 0; j < g->columns; j++) {
        const double a = -g->alpha[j];
        if (a <= tolerance)
            continue;
        const double s = g->slack[j];
        if (s < best * a * (1 - 1e-12) || (s <= best * a * (1 + 1e-12) && !bland && a > pivot)) {
            best = s / a;
            pivot = a;
            column = j;
        }
    }
    return column;
}

static void pivot(Game *g, int64_t row, int64_t column) {
    const int64_t rows = g->rows;
    double direction[ROWS];
    for (int64_t r = 0; r < rows; r++) {
        const double *line = g->inverse + r * rows;
        double sum = 0;
        if (column < g->m) {
            sum = line[g->d];
            for (int64_t k = 0; k < g->d; k++)
                sum += line[k] * g->members[k * g->m + column];
        } else {
            sum = -line[column - g->m];
        }
        direction[r] = sum;
    }
    const double scale = 1 / direction[row], step = g->x[row] * scale;
    const double dual = g->slack[column] / g->alpha[column]; /* <= 0 */
    double *source = g->inverse + row * rows;
    for (int64_t k = 0; k < rows; k++)
        source[k] *= scale;
    for (int64_t r = 0; r < rows; r++) {
        if (r == row)
            continue;
        const double factor = direction[r];
        double *line = g->inverse + r * rows;
        for (int64_t k = 0; k < rows; k++)
            line[k] -= factor * source[k];
        g->x[r] -= factor * step;
    }
    g->x[row] = step;
    for (int64_t j = 0; j < g->columns; j++) {
        const double s = g->slack[j] - dual * g->alpha[j];
        g->slack[j] = s > 0 ? s : 0.0;
    }
    g->basis[row] = column;
    for (int64_t r = 1; r < rows; r++)
        g->slack[g->basis[r]] = 0.0;
    g->age++;
}

/* Dual simplex for the right side in g->b; 1 when optimal. */
static int optimise(Game *g, int64_t *pivots) {
    const int64_t patience = 20 + 4 * (g->m + g->d);
    refresh_values(g);
    for (int64_t count = 0; count < 50 * patience; count++) {
        const int bland = count > patience;
        const int64_t row = leaving(g, bland);
        if (row < 0)
            return 1;
        price(g->d, g->m, g->members, g->inverse + row * g->rows, g->alpha);
        for (int64_t r = 1; r < g->rows; r++)
            g->alpha[g->basis[r]] = r == row ? 1.0 : 0.0;
        const int64_t column = entering(g, bland);
        if (column < 0)
            return 0;
        pivot(g, row, column);
        ++*pivots;
        if (g->age >= REFRESH && !rebuild(g))
            return 0;
    }
    return 0;
}

int64_t palm_game(int64_t n, int64_t d, int64_t m, const double *targets, const double *members, double *regret,
                  double *weights, int32_t *position, double *multiplier, double *work, int64_t *pivots) {
    Game g = {.d = d, .m = m, .rows = d + 1, .columns = m + d, .members = members};
    g.slack = work;
    g.alpha = work + (m + d);
    g.inverse = work + 2 * (m + d);
    g.size = 1e-300;
    for (int64_t j = 0; j < d * m; j++)
        g.size = fmax(g.size, fabs(members[j]));
    cold_start(&g);
    for (int64_t i = 0; i < n; i++) {
        memcpy(g.b, targets + i * d, sizeof(double) * (size_t)d);
        g.b[d] = 1.0;
        if (!optimise(&g, pivots)) {
            cold_start(&g);
            if (!optimise(&g, pivots))
                return i;
        }
        regret[i] = g.x[0];
        for (int64_t k = 0; k < d; k++) {
            const double w = g.inverse[k];
            weights[i * d + k] = w > 0 ? w : 0.0;
            position[i * d + k] = -1;
            multiplier[i * d + k] = 0.0;
        }
        int64_t used = 0;
        for (int64_t r = 1; r < g.rows; r++)
            if (g.basis[r] < m && g.x[r] > 0) {
                position[i * d + used] = (int32_t)g.basis[r];
                multiplier[i * d + used++] = g.x[r];
            }
    }
    return n;
}
