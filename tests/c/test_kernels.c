/*
 * Checks of the kernels in src/palm.h, built with ASan and UBSan by `make sanitize`.
 *
 * Every result is checked against its definition: a game by its two sides (strong duality), the skyline and the
 * coverage against plain loops. Work space is allocated to the byte, so that an overrun is seen.
 */
#include "palm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;
static uint64_t state = 0x9E3779B97F4A7C15u;

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            failures++;                                                                                                \
            printf("%s:%d: ", __FILE__, __LINE__);                                                                     \
            printf(__VA_ARGS__);                                                                                       \
            printf("\n");                                                                                              \
        }                                                                                                              \
    } while (0)

/* Uniform in [0, 1): xorshift64*, so that every run is the same. */
static double uniform(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (double)((state * 0x2545F4914F6CDD1Du) >> 11) / 9007199254740992.0;
}

static void *take(size_t bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory)
        exit(3);
    return memory;
}

/* Numbers of a kind: 0 uniform, 1 small integers (ties and degenerate bases), 2 wide signed range, 3 all equal. */
static double draw(int kind) {
    switch (kind) {
    case 1:
        return floor(4 * uniform());
    case 2:
        return 2e6 * (uniform() - 0.5);
    case 3:
        return 0.5;
    default:
        return uniform();
    }
}

static double scale_of(int kind) { return kind == 2 ? 1e6 : kind == 1 ? 4.0 : 1.0; }

/* Both sides of one game: w.b - max_j w.p_j from the weight, max_k (b - sum lambda p)_k from the multipliers. */
static void check_game(int64_t i, int64_t d, int64_t m, int kind, const double *b, const double *p, double regret,
                       const double *w, const int32_t *position, const double *multiplier) {
    const double tolerance = 1e-9 * scale_of(kind);
    double sum = 0, value = 0, best = -INFINITY, share = 0, worst = -INFINITY;
    for (int64_t k = 0; k < d; k++) {
        CHECK(w[k] >= 0, "game d=%d m=%d row %d: weight %g", (int)d, (int)m, (int)i, w[k]);
        sum += w[k];
        value += w[k] * b[k];
    }
    CHECK(fabs(sum - 1) < 1e-12, "game d=%d m=%d row %d: weights sum to %.17g", (int)d, (int)m, (int)i, sum);
    for (int64_t j = 0; j < m; j++) {
        double s = 0;
        for (int64_t k = 0; k < d; k++)
            s += w[k] * p[k * m + j];
        best = fmax(best, s);
    }
    CHECK(fabs(value - best - regret) <= tolerance, "game d=%d m=%d kind %d row %d: %.17g at the weight, not %.17g",
          (int)d, (int)m, kind, (int)i, value - best, regret);
    for (int64_t k = 0; k < d; k++) {
        double mixed = 0;
        for (int64_t r = 0; r < d; r++)
            if (position[r] >= 0)
                mixed += multiplier[r] * p[k * m + position[r]];
        worst = fmax(worst, b[k] - mixed);
    }
    for (int64_t r = 0; r < d; r++) {
        CHECK(position[r] < m, "game: position %d of %d members", (int)position[r], (int)m);
        CHECK(position[r] >= 0 ? multiplier[r] > 0 : multiplier[r] == 0, "game: multiplier %g", multiplier[r]);
        share += multiplier[r];
    }
    CHECK(fabs(share - 1) < 1e-12, "game d=%d m=%d: multipliers sum to %.17g", (int)d, (int)m, share);
    CHECK(fabs(worst - regret) <= tolerance, "game d=%d m=%d kind %d row %d: %.17g from the multipliers, not %.17g",
          (int)d, (int)m, kind, (int)i, worst, regret);
}

static void test_game(int64_t n, int64_t d, int64_t m, int kind) {
    double *b = take(sizeof(double) * (size_t)(n * d)), *p = take(sizeof(double) * (size_t)(d * m));
    double *regret = take(sizeof(double) * (size_t)n), *weights = take(sizeof(double) * (size_t)(n * d));
    double *multiplier = take(sizeof(double) * (size_t)(n * d));
    double *work = take(sizeof(double) * (size_t)palm_game_work(d, m));
    int32_t *position = take(sizeof(int32_t) * (size_t)(n * d));
    int64_t pivots = 0;
    for (int64_t i = 0; i < n * d; i++)
        b[i] = draw(kind);
    for (int64_t i = 0; i < d * m; i++)
        p[i] = draw(kind);
    for (int64_t k = 0; n && k < d; k++) /* one candidate is a member: regret at most 0 */
        b[k] = p[k * m];
    const int64_t done = palm_game(n, d, m, b, p, regret, weights, position, multiplier, work, &pivots);
    CHECK(done == n, "game d=%d m=%d kind %d: %d of %d solved", (int)d, (int)m, kind, (int)done, (int)n);
    for (int64_t i = 0; i < done; i++)
        check_game(i, d, m, kind, b + i * d, p, regret[i], weights + i * d, position + i * d, multiplier + i * d);
    if (n && done)
        CHECK(regret[0] <= 1e-9 * scale_of(kind), "game: a member has regret %g", regret[0]);
    free(b), free(p), free(regret), free(weights), free(multiplier), free(work), free(position);
}

typedef struct {
    double key;
    int64_t row;
} Ranked;

static int descending(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    return x->key != y->key ? (x->key < y->key) - (x->key > y->key) : (x->row > y->row) - (x->row < y->row);
}

static int dominates(int64_t d, const double *a, double cost_a, const double *b, double cost_b) {
    int strictly = cost_a < cost_b;
    if (cost_a > cost_b)
        return 0;
    for (int64_t k = 0; k < d; k++) {
        if (a[k] < b[k])
            return 0;
        strictly |= a[k] > b[k];
    }
    return 1 + strictly; /* 1: equal, 2: better */
}

static void test_skyline(int64_t n, int64_t d) {
    double *values = take(sizeof(double) * (size_t)(n * d)), *costs = take(sizeof(double) * (size_t)n);
    double *front = take(sizeof(double) * (size_t)((n + PALM_SKYLINE_LANES) * d));
    for (int64_t f = 0; f < (n + PALM_SKYLINE_LANES) * d; f++)
        front[f] = 0;
    int64_t *order = take(sizeof(int64_t) * (size_t)n), *dominator = take(sizeof(int64_t) * (size_t)n);
    int64_t *ids = take(sizeof(int64_t) * (size_t)n);
    Ranked *ranked = take(sizeof(Ranked) * (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        costs[i] = floor(3 * uniform());
        ranked[i] = (Ranked){-costs[i], i}; /* integers: the sum is exact, and a dominator has the greater one */
        for (int64_t k = 0; k < d; k++)
            ranked[i].key += values[i * d + k] = floor(6 * uniform());
    }
    qsort(ranked, (size_t)n, sizeof(Ranked), descending);
    for (int64_t i = 0; i < n; i++)
        order[i] = ranked[i].row;
    int64_t count = 0;
    for (int64_t first = 0; first < n; first += 100) /* in pieces, as a caller with a time limit does */
        count = palm_skyline(d, first, first + 100 < n ? first + 100 : n, count, n, values, costs, order, dominator,
                             front, ids);
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        int best = 0, earlier = 0;
        for (int64_t j = 0; j < n; j++) {
            const int how = j == i ? 0 : dominates(d, values + j * d, costs[j], values + i * d, costs[i]);
            best = how > best ? how : best;
            earlier |= how == 1 && j < i;
        }
        const int out = best == 2 || earlier;
        kept += !out;
        CHECK(out == (dominator[i] >= 0), "skyline n=%d d=%d: row %d", (int)n, (int)d, (int)i);
        if (dominator[i] >= 0) {
            const int64_t j = dominator[i];
            CHECK(dominates(d, values + j * d, costs[j], values + i * d, costs[i]), "skyline: false dominator");
            CHECK(dominator[j] == -1, "skyline: the dominator is dominated");
        }
    }
    CHECK(count == kept, "skyline n=%d d=%d: %d kept, expected %d", (int)n, (int)d, (int)count, (int)kept);
    for (int64_t i = 0; i < count; i++)
        CHECK(dominator[ids[i]] == -1, "skyline: ids holds a dominated row");
    free(values), free(costs), free(front), free(order), free(dominator), free(ids), free(ranked);
}

static void test_coverage(int64_t n, int64_t d, int64_t m) {
    double *values = take(sizeof(double) * (size_t)(d * n)), *weights = take(sizeof(double) * (size_t)(m * d));
    double *low = take(sizeof(double) * (size_t)m), *high = take(sizeof(double) * (size_t)m);
    double *opt = take(sizeof(double) * (size_t)m);
    int64_t *best = take(sizeof(int64_t) * (size_t)m);
    uint8_t *covered = take((size_t)(m * n));
    for (int64_t i = 0; i < d * n; i++)
        values[i] = floor(8 * uniform()); /* integers over 16ths: every product and sum is exact */
    for (int64_t j = 0; j < m * d; j++)
        weights[j] = floor(16 * uniform()) / 16;
    palm_support(n, d, m, values, weights, opt, best);
    for (int64_t j = 0; j < m; j++)
        high[j] = opt[j] - 1, low[j] = opt[j] - 2;
    palm_coverage(n, d, m, values, weights, low, high, covered);
    for (int64_t j = 0; j < m; j++) {
        double most = -INFINITY;
        for (int64_t i = 0; i < n; i++) {
            double s = 0;
            for (int64_t k = 0; k < d; k++)
                s += weights[j * d + k] * values[k * n + i];
            most = fmax(most, s);
            const int expected = s >= high[j] ? 1 : s < low[j] ? 0 : 2;
            CHECK(covered[j * n + i] == expected, "coverage n=%d d=%d m=%d: %d, expected %d", (int)n, (int)d, (int)m,
                  covered[j * n + i], expected);
            if (i == best[j])
                CHECK(s == opt[j], "support: %g at the best row, not %g", s, opt[j]);
        }
        CHECK(best[j] >= 0 && best[j] < n, "support: row %d of %d", (int)best[j], (int)n);
        CHECK(most == opt[j], "support: %g, expected %g", opt[j], most);
    }
    free(values), free(weights), free(low), free(high), free(opt), free(best), free(covered);
}

/* log Z, KL and rewards of one prompt from their definitions; the jackknife by leaving out each response in turn. */
static double log_sum(int64_t n, int64_t d, const double *r, const double *q, const double *w, int64_t stride,
                      int64_t without) {
    double top = -INFINITY, norm = -INFINITY, sum = 0, mass = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t y = 0; y < n; y++) {
            double a = q[y];
            for (int64_t k = 0; k < d; k++)
                a += w[k * stride] * r[y * d + k];
            if (y == without)
                continue;
            if (pass) {
                sum += exp(a - top);
                mass += exp(q[y] - norm);
            } else {
                top = fmax(top, a);
                norm = fmax(norm, q[y]);
            }
        }
    return top + log(sum) - norm - log(mass);
}

static void test_gibbs(int64_t prompts, int64_t most, int64_t d, int64_t m) {
    int64_t *offsets = take(sizeof(int64_t) * (size_t)(prompts + 1));
    offsets[0] = 0;
    for (int64_t x = 0; x < prompts; x++)
        offsets[x + 1] = offsets[x] + 1 + (int64_t)((double)most * uniform());
    const int64_t rows = offsets[prompts];
    double *r = take(sizeof(double) * (size_t)(rows * d)), *q = take(sizeof(double) * (size_t)rows);
    double *w = take(sizeof(double) * (size_t)(d * m)), *sums = take(sizeof(double) * (size_t)((d + 2) * m));
    double *carry = take(sizeof(double) * (size_t)((d + 2) * m));
    double *opt = take(sizeof(double) * (size_t)(prompts * m)), *bias = take(sizeof(double) * (size_t)(prompts * m));
    for (int64_t i = 0; i < rows * d; i++)
        r[i] = 2 * uniform() - 1;
    for (int64_t i = 0; i < d * m; i++)
        w[i] = 20 * uniform();
    for (int64_t x = 0; x < prompts; x++) {
        double mass = 0;
        for (int64_t y = offsets[x]; y < offsets[x + 1]; y++)
            mass += exp(q[y] = 3 * uniform());
        for (int64_t y = offsets[x]; y < offsets[x + 1]; y++)
            q[y] -= log(mass);
    }
    palm_gibbs(prompts, d, m, offsets, r, q, w, sums, carry);
    palm_gibbs_bias(prompts, d, m, offsets, r, q, w, opt, bias);
    for (int64_t j = 0; j < m; j++) {
        double total = 0, kl = 0, reward = 0;
        for (int64_t x = 0; x < prompts; x++) {
            const int64_t first = offsets[x], n = offsets[x + 1] - first;
            const double z = log_sum(n, d, r + first * d, q + first, w + j, m, -1);
            double left = 0;
            for (int64_t y = 0; y < n; y++) {
                double a = q[first + y] - z;
                for (int64_t k = 0; k < d; k++)
                    a += w[k * m + j] * r[(first + y) * d + k];
                kl += exp(a) * (a - q[first + y]);
                reward += exp(a) * r[(first + y) * d + d - 1];
                if (n > 1)
                    left += log_sum(n, d, r + first * d, q + first, w + j, m, y) - z;
            }
            total += z;
            CHECK(fabs(opt[x * m + j] - z) < 1e-12, "gibbs: log Z %g, expected %g", opt[x * m + j], z);
            const double expected = left * (double)(n - 1) / (double)n;
            CHECK(n == 1 ? isnan(bias[x * m + j]) : fabs(bias[x * m + j] - expected) < 1e-9 * (double)n,
                  "gibbs: bias %g of %d responses, expected %g", bias[x * m + j], (int)n, expected);
        }
        const double tolerance = 1e-12 * (double)(prompts + 1);
        CHECK(fabs(sums[j] + carry[j] - total) < tolerance, "gibbs: sum of log Z %g, expected %g", sums[j], total);
        CHECK(fabs(sums[m + j] + carry[m + j] - kl) < tolerance, "gibbs: KL %g, expected %g", sums[m + j], kl);
        const int64_t last = (d + 1) * m + j;
        CHECK(fabs(sums[last] + carry[last] - reward) < tolerance, "gibbs: reward %g, not %g", sums[last], reward);
    }
    free(offsets), free(r), free(q), free(w), free(sums), free(carry), free(opt), free(bias);
}

static void test_power(void) {
    double x[3] = {0, 0.3, 1e9}, y[3];
    palm_power(3, x, y);
    CHECK(y[0] == 1 && fabs(y[1] * pow(2.0, 0.3) - 1) < 1e-15 && y[2] > 0 && y[2] < 1e-306, "power: %g %g %g", y[0],
          y[1], y[2]);
}

/* Local search: the uncovered rows that it reports are those that its state leaves uncovered. */
static void test_local(int64_t rows, int64_t columns) {
    const int64_t row_words = (rows + 63) / 64, column_words = (columns + 63) / 64;
    uint64_t *by_row = take(sizeof(uint64_t) * (size_t)(rows * column_words)), random = 1;
    uint64_t *by_column = take(sizeof(uint64_t) * (size_t)(columns * row_words));
    double *costs = take(sizeof(double) * (size_t)columns);
    uint8_t *fixed = take((size_t)columns), *chosen = take((size_t)columns);
    int64_t *weight = take(sizeof(int64_t) * (size_t)rows), uncovered = -1;
    int64_t *work = take(sizeof(int64_t) * (size_t)palm_local_work(rows, columns));
    memset(by_row, 0, sizeof(uint64_t) * (size_t)(rows * column_words));
    memset(by_column, 0, sizeof(uint64_t) * (size_t)(columns * row_words));
    for (int64_t j = 0; j < columns; j++) {
        costs[j] = 1 + floor(3 * uniform());
        fixed[j] = uniform() < 0.05;
        chosen[j] = fixed[j] || uniform() < 0.5;
    }
    for (int64_t r = 0; r < rows; r++) {
        weight[r] = 1;
        for (int64_t j = 0; j < columns; j++)
            if (uniform() < 0.2 || j == r % columns) {
                by_row[r * column_words + j / 64] |= UINT64_C(1) << (j % 64);
                by_column[j * row_words + r / 64] |= UINT64_C(1) << (r % 64);
            }
    }
    const int64_t done = palm_local(rows, columns, row_words, column_words, by_row, by_column, costs, fixed, 6.0, 400,
                                    chosen, weight, &random, work, &uncovered);
    int64_t bare = 0;
    for (int64_t r = 0; r < rows; r++) {
        int covered = 0;
        for (int64_t j = 0; j < columns; j++)
            covered |= chosen[j] && by_row[r * column_words + j / 64] >> (j % 64) & 1;
        bare += !covered;
    }
    CHECK(bare == uncovered && done <= 400, "local search: %lld uncovered, reported %lld", (long long)bare,
          (long long)uncovered);
    free(by_row), free(by_column), free(costs), free(fixed), free(chosen), free(weight), free(work);
}

/* Probes stay in the simplex, and the coverage reported is the coverage there. */
static void test_probe(int64_t n, int64_t d, int64_t m) {
    double *values = take(sizeof(double) * (size_t)(n * d)), *mass = take(sizeof(double) * (size_t)n);
    double *weights = take(sizeof(double) * (size_t)(m * d)), *coverage = take(sizeof(double) * (size_t)m);
    uint64_t random = 7;
    for (int64_t i = 0; i < n * d; i++)
        values[i] = uniform();
    for (int64_t i = 0; i < n; i++)
        mass[i] = uniform();
    for (int64_t j = 0; j < m * d; j++)
        weights[j] = 1.0 / (double)d;
    palm_probe(m, d, n, n, values, values, mass, 0.05, 0.01, 60, &random, weights, coverage);
    for (int64_t j = 0; j < m; j++) {
        double total = 0, best = -1e300, sum = 0;
        for (int64_t k = 0; k < d; k++)
            total += weights[j * d + k];
        for (int pass = 0; pass < 2; pass++)
            for (int64_t i = 0; i < n; i++) {
                double dot = 0;
                for (int64_t k = 0; k < d; k++)
                    dot += weights[j * d + k] * values[k * n + i];
                if (pass == 0)
                    best = dot > best ? dot : best;
                else
                    sum += dot >= 0.95 * best - 0.01 ? mass[i] : 0;
            }
        CHECK(fabs(total - 1) < 1e-12 && fabs(sum - coverage[j]) < 1e-9, "probe: sum %g, coverage %g, reported %g",
              total, sum, coverage[j]);
    }
    free(values), free(mass), free(weights), free(coverage);
}

/* The bound at w: feasible multipliers and feasible prices of the same value (strong duality). */
static void check_bound(palm_outer *o, const double *w, int64_t known, int32_t *basis) {
    double share[PALM_MAX_D], price[PALM_MAX_D], paid = 0;
    const double bound = palm_outer_solve(o, w, basis, known, share, price);
    for (int64_t k = 0; k < o->d; k++) {
        double sum = 0;
        for (int64_t r = 0; r < o->d; r++)
            sum += share[r] * o->column[k * o->stride + basis[r]];
        CHECK(share[k] >= 0 && fabs(sum - w[k]) < 1e-10, "outer d=%d: entry %d is %g, not %g", (int)o->d, (int)k, sum,
              w[k]);
        paid += price[k] * w[k];
    }
    for (int64_t j = 0; j < o->count; j++) {
        double cost = 0;
        for (int64_t k = 0; k < o->d; k++)
            cost += price[k] * o->column[k * o->stride + j];
        CHECK(cost <= o->cost[j] + 1e-10, "outer d=%d: column %d is worth %g at cost %g", (int)o->d, (int)j, cost,
              o->cost[j]);
    }
    CHECK(fabs(paid - bound) < 1e-10, "outer d=%d: bound %.17g, prices %.17g", (int)o->d, bound, paid);
}

static palm_corners take_corners(int64_t d, int64_t capacity) {
    const size_t c = (size_t)capacity, cd = (size_t)(capacity * d);
    palm_corners corners = {.d = d, .capacity = capacity, .spare = -1};
    double **doubles[] = {&corners.value, &corners.radius, &corners.mass, &corners.bound, &corners.key};
    int32_t **integers[] = {&corners.known, &corners.exact, &corners.heap, &corners.place};
    int32_t **tables[] = {&corners.active, &corners.neighbour, &corners.basis};
    for (int i = 0; i < 5; i++)
        *doubles[i] = take(sizeof(double) * c);
    for (int i = 0; i < 4; i++)
        *integers[i] = take(sizeof(int32_t) * c);
    for (int i = 0; i < 3; i++) {
        *tables[i] = take(sizeof(int32_t) * cd);
        memset(*tables[i], 0, sizeof(int32_t) * cd);
    }
    corners.weight = take(sizeof(double) * cd);
    corners.birth = take(sizeof(int64_t) * c);
    return corners;
}

static void free_corners(palm_corners *c) {
    free(c->value), free(c->radius), free(c->mass), free(c->bound), free(c->key), free(c->known), free(c->exact);
    free(c->heap), free(c->place), free(c->active), free(c->neighbour), free(c->basis), free(c->weight), free(c->birth);
}

/* Every corner lies on its active constraints and below no policy, edges go both ways, the heap is in order, and bounds
 * are the optimum where they say so. */
static void check_corners(palm_corners *c, palm_outer *o, int64_t policies, const double *points) {
    const int64_t d = c->d;
    int64_t alive = 0;
    for (int64_t i = 0; i < c->used; i++) {
        if (c->place[i] == -2)
            continue;
        alive++;
        const double *w = c->weight + i * d;
        for (int64_t p = 0; p < policies; p++) {
            double dot = 0;
            int on = 0;
            for (int64_t k = 0; k < d; k++) {
                dot += w[k] * points[p * d + k];
                on |= c->active[i * d + k] == d + p;
            }
            CHECK(on ? fabs(dot - c->value[i]) < 1e-9 : dot < c->value[i] + 1e-9, "corners d=%d: policy %d at %d",
                  (int)d, (int)p, (int)i);
        }
        for (int64_t k = 0; k < d; k++) {
            const int32_t a = c->active[i * d + k], b = c->neighbour[i * d + k];
            int back = b < 0;
            CHECK(a >= d || w[a] == 0, "corners d=%d: corner %d leaves its facet", (int)d, (int)i);
            for (int64_t r = 0; b >= 0 && r < d; r++)
                back |= c->neighbour[b * d + r] == i;
            CHECK(back && (b < 0 || c->place[b] != -2), "corners d=%d: edge %d of %d", (int)d, (int)k, (int)i);
        }
        const int32_t at = c->place[i];
        CHECK(at >= 0 && c->heap[at] == i && (at == 0 || c->key[c->heap[(at - 1) / 2]] >= c->key[i]),
              "corners d=%d: place of %d in the heap", (int)d, (int)i);
        int32_t basis[PALM_MAX_D];
        double share[PALM_MAX_D], price[PALM_MAX_D];
        const double bound = palm_outer_solve(o, w, basis, 0, share, price);
        CHECK(c->exact[i] == o->count ? fabs(bound - c->bound[i]) < 1e-9 : bound < c->bound[i] + 1e-9,
              "corners d=%d: bound %.17g of %d, best %.17g", (int)d, c->bound[i], (int)i, bound);
    }
    CHECK(alive == c->heap_size, "corners d=%d: %d alive, %d in the heap", (int)d, (int)alive, (int)c->heap_size);
}

/* Policies on a sphere octant, each with its half-space; sides that floats leave open are taken as kept, which skips
 * the policy (none is left open for points in general position). */
static void test_corners(int64_t d, int64_t policies) {
    const int64_t capacity = 60000, stride = policies + d, crossings = 20000;
    palm_corners c = take_corners(d, capacity);
    double *points = take(sizeof(double) * (size_t)(policies * d)), *unit = take(sizeof(double) * (size_t)d);
    double *column = take(sizeof(double) * (size_t)(d * stride)), *cost = take(sizeof(double) * (size_t)stride);
    uint8_t *state = take((size_t)capacity);
    int64_t *table = take(sizeof(int64_t) * 524288);
    int32_t *edge = take(sizeof(int32_t) * (size_t)crossings);
    palm_outer o = {.d = d, .count = d, .stride = stride, .column = column, .cost = cost};
    for (int64_t k = 0; k < d; k++) {
        unit[k] = cost[k] = 1;
        for (int64_t j = 0; j < d; j++)
            column[k * stride + j] = k == j;
    }
    const palm_promise promise = {.keep = 0.98, .delta = 0.01, .unit = unit};
    for (int64_t p = 0; p < policies; p++) {
        double norm = 0, size = 0;
        for (int64_t k = 0; k < d; k++) {
            points[p * d + k] = 0.05 + uniform();
            norm += points[p * d + k] * points[p * d + k];
            size += points[p * d + k];
        }
        for (int64_t k = 0; k < d; k++) {
            column[k * stride + o.count] = points[p * d + k] / size;
            points[p * d + k] /= sqrt(norm);
        }
        cost[o.count++] = sqrt(norm) / size;
        if (p == 0) {
            palm_corners_start(&c, points, &promise);
            for (int32_t i = 0; i < d; i++)
                palm_outer_corners(&o, &c, &promise, 1, &i);
            palm_corners_rekey(&c, &promise);
            continue;
        }
        const int64_t open = palm_corners_side(&c, points + p * d, 1.0, state);
        const int64_t new = palm_corners_crossings(&c, state);
        CHECK(open == 0 && new <= crossings && c.used + new <= capacity, "corners d=%d: no room", (int)d);
        const int64_t made = palm_corners_cut(&c, p, points, state, &promise, table, 524288, edge);
        CHECK(made == new, "corners d=%d: %d made, %d crossings", (int)d, (int)made, (int)new);
        const int64_t top = palm_refine(&o, &c, &promise, -INFINITY);
        CHECK(top >= 0 && c.exact[top] == o.count, "corners d=%d: the top is not exact", (int)d);
        palm_corners_remove(&c, top);
        palm_corners_insert(&c, top);
    }
    check_corners(&c, &o, policies, points);
    int32_t basis[PALM_MAX_D];
    for (int64_t i = 0; i < c.used; i += 7)
        if (c.place[i] != -2) {
            check_bound(&o, c.weight + i * d, 0, basis);
            check_bound(&o, c.weight + i * d, o.count, basis);
            check_bound(&o, c.weight, o.count, basis); /* from the basis of another weight */
        }
    free_corners(&c);
    free(points), free(unit), free(column), free(cost), free(state), free(table), free(edge);
}

int main(void) {
    const int64_t sizes[] = {1, 2, 3, 5, 17, 64};
    for (int64_t d = 1; d <= 8; d++)
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
            for (int kind = 0; kind < 4; kind++)
                test_game(40, d, sizes[k], kind);
    test_game(5, PALM_MAX_D, 3, 0);
    test_game(20, PALM_MAX_D, 100, 0);
    test_game(0, 3, 2, 0);
    for (int64_t d = 1; d <= 5; d++)
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
            test_skyline(sizes[k], d);
            test_coverage(sizes[k], d, 1 + (int64_t)k);
            test_coverage(301, d, sizes[k]);
        }
    test_skyline(500, 3);
    for (int64_t d = 1; d <= 5; d++)
        for (int64_t m = PALM_GIBBS_LANES; m <= 80; m += 24)
            test_gibbs(7, 40, d, m);
    test_gibbs(0, 1, 2, PALM_GIBBS_LANES);
    test_gibbs(30, 1, 3, PALM_GIBBS_LANES);
    test_gibbs(2, 70, PALM_MAX_D, PALM_GIBBS_LANES);
    test_power();
    for (int64_t rows = 1; rows < 140; rows += 23)
        for (int64_t columns = 1; columns < 140; columns += 31)
            test_local(rows, columns);
    for (int64_t d = 1; d <= 7; d++)
        test_probe(29 + d, d, 5);
    for (int64_t d = 2; d <= 6; d++)
        test_corners(d, d < 5 ? 30 : 14);
    printf("kernels: %d failed checks\n", failures);
    return failures != 0;
}
