/*
 * Corners of the upper envelope of found policies, by incremental double description (Motzkin et al. 1953) on a simple
 * polyhedron: the corners that a new policy cuts off go, and each edge between one that goes and one that stays gets a
 * new corner. Edges are known from neighbour lists, so that adjacency is never tested; new corners find each other by
 * the d - 2 constraints that they share. Which corners go is the caller's: exact, hence so are the lists.
 */
#include "invert.h"
#include "palm.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define UNIT_ROUNDOFF (DBL_EPSILON / 2)

/* Of (nearly) equal keys those on more facets come first, then those that weigh later rewards more: fewer calls on
 * symmetric problems, and the same ones whatever the rounding. */
static const double FACE = 1e-3, LATER = 1e-6;

static void update_key(palm_corners *c, int64_t i, const palm_promise *p) {
    const double bound = c->bound[i] / c->mass[i], value = c->value[i] / c->mass[i];
    const double error = (p->keep - (1 - p->eta)) * bound + p->gamma;
    double target = error < p->delta ? p->delta : 1.05 * error;
    if (target < p->resolution / c->mass[i])
        target = p->resolution / c->mass[i];
    double preference = 1;
    for (int64_t k = 0; k < c->d; k++)
        preference += (c->active[i * c->d + k] < c->d ? FACE : 0.0) +
                      LATER * (double)(k + 1) * c->weight[i * c->d + k] * p->unit[k] / c->mass[i];
    c->key[i] = (p->keep * bound - value - target) * preference;
}

/* The heap. */

static int before(const palm_corners *c, int32_t a, int32_t b) {
    return c->key[a] > c->key[b] || (c->key[a] == c->key[b] && c->birth[a] < c->birth[b]);
}

static void put(palm_corners *c, int64_t at, int32_t slot) {
    c->heap[at] = slot;
    c->place[slot] = (int32_t)at;
}

static void sift_down(palm_corners *c, int64_t at) {
    const int32_t slot = c->heap[at];
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= c->heap_size)
            break;
        if (child + 1 < c->heap_size && before(c, c->heap[child + 1], c->heap[child]))
            child++;
        if (!before(c, c->heap[child], slot))
            break;
        put(c, at, c->heap[child]);
        at = child;
    }
    put(c, at, slot);
}

static void sift(palm_corners *c, int64_t at) {
    const int32_t slot = c->heap[at];
    while (at > 0 && before(c, slot, c->heap[(at - 1) / 2])) {
        put(c, at, c->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(c, at, slot);
    sift_down(c, at);
}

void palm_corners_insert(palm_corners *c, int64_t slot) {
    put(c, c->heap_size, (int32_t)slot);
    sift(c, c->heap_size++);
}

void palm_corners_remove(palm_corners *c, int64_t slot) {
    const int64_t at = c->place[slot];
    c->place[slot] = -1;
    if (at == --c->heap_size)
        return;
    put(c, at, c->heap[c->heap_size]);
    sift(c, at);
}

void palm_corners_rekey(palm_corners *c, const palm_promise *promise) {
    c->heap_size = 0;
    for (int64_t i = 0; i < c->used; i++)
        if (c->place[i] != -2) {
            update_key(c, i, promise);
            put(c, c->heap_size++, (int32_t)i);
        }
    for (int64_t at = c->heap_size / 2 - 1; at >= 0; at--)
        sift_down(c, at);
}

/* Coordinates. */

/* Rows of the m x m system of a corner: differences of its policies to the first one, each scaled by a power of two to
 * magnitude 1, on the rewards without a facet; then sum w = 1. Entries are exact. */
static void system_of(int64_t d, int64_t m, const int32_t *policy, const int32_t *support, const double *points,
                      double *a) {
    const double *first = points + (policy[0] - d) * d;
    for (int64_t r = 0; r + 1 < m; r++) {
        const double *point = points + (policy[r + 1] - d) * d;
        double size = 0;
        for (int64_t k = 0; k < m; k++) {
            a[r * m + k] = point[support[k]] - first[support[k]];
            size = fmax(size, fabs(a[r * m + k]));
        }
        int exponent;
        frexp(size, &exponent);
        const double scale = ldexp(1.0, -exponent);
        for (int64_t k = 0; k < m; k++)
            a[r * m + k] *= scale;
    }
    for (int64_t k = 0; k < m; k++)
        a[(m - 1) * m + k] = 1.0;
}

/* Solve for w of a corner from its active set, with a proved bound of the error (a verified inverse); the radius is
 * infinite where the inverse cannot be verified. */
static void locate(palm_corners *c, int64_t i, const double *points, const double *unit) {
    const int64_t d = c->d;
    int32_t support[PALM_MAX_D];
    double a[PALM_MAX_D * PALM_MAX_D], inverse[PALM_MAX_D * PALM_MAX_D], x[PALM_MAX_D], residual[PALM_MAX_D];
    int64_t m = 0, facets = 0;
    const int32_t *active = c->active + i * d;
    while (facets < d && active[facets] < d)
        facets++;
    for (int64_t k = 0, f = 0; k < d; k++) {
        if (f < facets && active[f] == k)
            f++;
        else
            support[m++] = (int32_t)k;
    }
    const int32_t *policy = active + facets; /* ids d + p */
    system_of(d, m, policy, support, points, a);
    double radius = INFINITY;
    for (int64_t k = 0; k < m; k++)
        x[k] = 1.0 / (double)m;
    if (m == 1) {
        radius = 0;
    } else if (invert(m, a, 0, inverse)) {
        double largest = 0, defect = 0, left = 0, size = 0;
        for (int64_t r = 0; r < m; r++)
            x[r] = inverse[r * m + m - 1];
        for (int pass = 0; pass < 2; pass++) { /* one step of refinement, then the residual that is left */
            left = size = 0;
            for (int64_t r = 0; r < m; r++) {
                double sum = r == m - 1 ? 1.0 : 0.0;
                for (int64_t k = 0; k < m; k++)
                    sum -= a[r * m + k] * x[k];
                residual[r] = sum;
                left = fmax(left, fabs(sum));
            }
            for (int64_t r = 0; pass == 0 && r < m; r++)
                for (int64_t k = 0; k < m; k++)
                    x[r] += inverse[r * m + k] * residual[k];
        }
        for (int64_t r = 0; r < m; r++) {
            double sum = 0, off = 0;
            for (int64_t k = 0; k < m; k++) {
                double product = r == k ? -1.0 : 0.0;
                for (int64_t j = 0; j < m; j++)
                    product += inverse[r * m + j] * a[j * m + k];
                off += fabs(product);
                sum += fabs(inverse[r * m + k]);
            }
            largest = fmax(largest, sum);
            defect = fmax(defect, off);
            size += fabs(x[r]);
        }
        const double rounding = 2 * (double)(m + 2) * UNIT_ROUNDOFF;
        defect += rounding * (double)m * (largest + 1);
        left += rounding * (size + 1);
        if (defect < 0.5)
            radius = 2.01 * largest * left;
    }
    double *w = c->weight + i * d, mass = 0, value = 0;
    memset(w, 0, sizeof(double) * (size_t)d);
    for (int64_t k = 0; k < m; k++) {
        w[support[k]] = x[k] > 0 ? x[k] : 0.0; /* the exact one is positive: clipping moves it nearer */
        mass += w[support[k]] * unit[support[k]];
        value += w[support[k]] * points[(policy[0] - d) * d + support[k]];
    }
    c->mass[i] = mass;
    c->value[i] = value;
    c->radius[i] = radius;
}

void palm_corners_start(palm_corners *c, const double *point, const palm_promise *promise) {
    const int64_t d = c->d;
    c->used = c->births = d;
    c->heap_size = 0;
    c->spare = -1;
    for (int64_t i = 0; i < d; i++) {
        for (int64_t k = 0, at = 0; k < d; k++)
            if (k != i) {
                c->active[i * d + at] = (int32_t)k;
                c->neighbour[i * d + at++] = (int32_t)k;
            }
        c->active[i * d + d - 1] = (int32_t)d;
        c->neighbour[i * d + d - 1] = -1;
        locate(c, i, point, promise->unit);
        c->bound[i] = c->key[i] = 0;
        c->known[i] = c->exact[i] = 0;
        c->place[i] = -1;
        c->birth[i] = i;
    }
}

PALM_CLONES
int64_t palm_corners_side(const palm_corners *c, const double *point, double size, uint8_t *state) {
    const int64_t d = c->d;
    const double rounding = (double)(4 * d + 8) * UNIT_ROUNDOFF * size;
    int64_t open = 0;
    for (int64_t i = 0; i < c->used; i++) {
        const double *w = c->weight + i * d;
        double over = -c->value[i];
        for (int64_t k = 0; k < d; k++)
            over += w[k] * point[k];
        const double doubt = 2 * (double)d * size * c->radius[i] + rounding;
        const int alive = c->place[i] != -2;
        state[i] = (uint8_t)(!alive ? 0 : over > doubt ? 1 : over < -doubt ? 0 : 2);
        open += state[i] == 2;
    }
    return open;
}

int64_t palm_corners_crossings(const palm_corners *c, const uint8_t *state) {
    const int64_t d = c->d;
    int64_t count = 0;
    for (int64_t i = 0; i < c->used; i++)
        for (int64_t k = 0; state[i] && k < d; k++) {
            const int32_t b = c->neighbour[i * d + k];
            count += b < 0 || !state[b];
        }
    return count;
}

/* Interpolate the bound of corner i on the edge from a (cut off) to b (kept, or -1 for the vertical ray above a). */
static void inherit(palm_corners *c, int64_t i, int64_t a, int64_t b) {
    const int64_t d = c->d;
    double share = 0;
    if (b >= 0) {
        const double *from = c->weight + a * d, *to = c->weight + b * d, *at = c->weight + i * d;
        double dot = 0, norm = 0;
        for (int64_t k = 0; k < d; k++) {
            dot += (at[k] - from[k]) * (to[k] - from[k]);
            norm += (to[k] - from[k]) * (to[k] - from[k]);
        }
        share = norm > 0 ? fmin(1.0, fmax(0.0, dot / norm)) : 0.0;
    }
    c->bound[i] = b < 0 ? c->bound[a] : c->bound[a] + share * (c->bound[b] - c->bound[a]);
    const int64_t source = share > 0.5 ? b : a;
    c->known[i] = c->known[source];
    c->exact[i] = b < 0 ? c->exact[a] : 0;
    memcpy(c->basis + i * d, c->basis + source * d, sizeof(int32_t) * (size_t)d);
}

static uint64_t mix(uint64_t x) { /* splitmix64 (Steele, Lea, Flood 2014) */
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* Whether two active sets without one constraint each, the last (new) one left aside, are the same. */
static int same_face(int64_t d, const int32_t *a, int64_t skip_a, const int32_t *b, int64_t skip_b) {
    for (int64_t count = 0, i = 0, j = 0; count < d - 2; count++, i++, j++) {
        i += i == skip_a;
        j += j == skip_b;
        if (a[i] != b[j])
            return 0;
    }
    return 1;
}

/* Link the new corners that share a two-dimensional face; the number of links, each counted at both ends. */
static int64_t link_new(palm_corners *c, int64_t count, const int32_t *edge, int64_t *table, int64_t size) {
    const int64_t d = c->d;
    int64_t linked = 0;
    for (int64_t t = 0; t < size; t++)
        table[t] = -1;
    for (int64_t e = 0; e < count; e++) {
        const int64_t i = edge[e];
        const int32_t *active = c->active + i * d;
        uint64_t sum = 0;
        for (int64_t k = 0; k < d - 1; k++)
            sum += mix((uint64_t)active[k]);
        for (int64_t k = 0; k < d - 1; k++) {
            uint64_t at = mix(sum - mix((uint64_t)active[k])) & (uint64_t)(size - 1);
            for (; table[at] >= 0; at = (at + 1) & (uint64_t)(size - 1)) {
                const int64_t j = table[at] / d, skip = table[at] % d;
                if (c->neighbour[j * d + skip] == -2 && same_face(d, active, k, c->active + j * d, skip)) {
                    c->neighbour[j * d + skip] = (int32_t)i;
                    c->neighbour[i * d + k] = (int32_t)j;
                    linked += 2;
                    break;
                }
            }
            if (table[at] < 0)
                table[at] = i * d + k;
        }
    }
    return linked;
}

static int64_t take(palm_corners *c) {
    if (c->spare < 0)
        return c->used++;
    const int64_t slot = c->spare;
    c->spare = c->neighbour[slot * c->d];
    return slot;
}

int64_t palm_corners_cut(palm_corners *c, int64_t policy, const double *points, const uint8_t *state,
                         const palm_promise *promise, int64_t *table, int64_t table_size, int32_t *edge) {
    const int64_t d = c->d, before_cut = c->used;
    int64_t count = 0;
    for (int64_t a = 0; a < before_cut; a++)
        for (int64_t k = 0; state[a] && k < d; k++) {
            const int32_t b = c->neighbour[a * d + k];
            if (b >= 0 && state[b])
                continue;
            const int64_t i = take(c);
            int32_t *active = c->active + i * d, *neighbour = c->neighbour + i * d;
            for (int64_t at = 0, from = 0; from < d; from++)
                if (from != k)
                    active[at++] = c->active[a * d + from];
            active[d - 1] = (int32_t)(d + policy);
            for (int64_t at = 0; at < d - 1; at++)
                neighbour[at] = -2;
            neighbour[d - 1] = b;
            for (int64_t at = 0; b >= 0 && at < d; at++)
                if (c->neighbour[b * d + at] == a)
                    c->neighbour[b * d + at] = (int32_t)i;
            locate(c, i, points, promise->unit);
            inherit(c, i, a, b);
            c->birth[i] = c->births++;
            edge[count++] = (int32_t)i;
        }
    if (link_new(c, count, edge, table, table_size) != count * (d - 1))
        return -1;
    for (int64_t a = 0; a < before_cut; a++)
        if (state[a]) {
            if (c->place[a] >= 0)
                palm_corners_remove(c, a);
            c->place[a] = -2;
            c->neighbour[a * d] = (int32_t)c->spare;
            c->spare = a;
        }
    for (int64_t e = 0; e < count; e++) {
        update_key(c, edge[e], promise);
        palm_corners_insert(c, edge[e]);
    }
    return count;
}

void palm_outer_corners(palm_outer *o, palm_corners *c, const palm_promise *promise, int64_t count,
                        const int32_t *corners) {
    double share[PALM_MAX_D], price[PALM_MAX_D];
    for (int64_t e = 0; e < count; e++) {
        const int64_t i = corners[e], d = c->d;
        if (c->exact[i] == o->count)
            continue;
        const double bound = palm_outer_solve(o, c->weight + i * d, c->basis + i * d, c->known[i], share, price);
        if (c->exact[i] == 0 || bound < c->bound[i])
            c->bound[i] = bound;
        c->known[i] = c->exact[i] = (int32_t)o->count;
        update_key(c, i, promise);
        if (c->place[i] >= 0)
            sift(c, c->place[i]);
    }
}

int64_t palm_refine(palm_outer *o, palm_corners *c, const palm_promise *promise, double stop) {
    while (c->heap_size > 0) {
        const int32_t top = c->heap[0];
        if (c->key[top] <= stop || c->exact[top] == o->count)
            return top;
        palm_outer_corners(o, c, promise, 1, &top);
    }
    return -1;
}
