/*
 * Row-weighting local search for set cover (Gao, Yao, Weise, Li, European Journal of Operational Research 246, 2015),
 * on bitsets, with costs: see palm.h.
 *
 * gain[j] is the weight of the rows that column j alone would newly cover (j not chosen), or alone covers (j chosen).
 */
#include "palm.h"
#include "random.h"

#include <math.h>

typedef struct {
    int64_t rows, columns, row_words, column_words;
    const uint64_t *by_row;    /* (rows, column_words) */
    const uint64_t *by_column; /* (columns, row_words) */
    int32_t *covered;          /* (rows) chosen columns that cover the row */
    int64_t *weight;           /* (rows) */
    int64_t *gain;             /* (columns) */
    int64_t *moved;            /* (columns) step of the last change */
    uint8_t *chosen, *free;    /* (columns); free: may be added again */
    int32_t *open, *place;     /* (rows) uncovered rows, and where each stands among them */
    int64_t opened, updates;   /* uncovered rows; entries of gain changed so far */
} Search;

#define FOR_BITS(word_count, words, bit)                                                                               \
    for (int64_t at_ = 0; at_ < (word_count); at_++)                                                                   \
        for (uint64_t left_ = (words)[at_]; left_ && ((bit) = at_ * 64 + __builtin_ctzll(left_), 1); left_ &= left_ - 1)

static void add_gain(Search *s, int64_t row, int64_t change) {
    int64_t j;
    FOR_BITS(s->column_words, s->by_row + row * s->column_words, j) {
        s->gain[j] += change;
        s->updates++;
    }
}

/* The only chosen column that covers a row. */
static int64_t sole(const Search *s, int64_t row) {
    int64_t j;
    FOR_BITS(s->column_words, s->by_row + row * s->column_words, j) if (s->chosen[j]) return j;
    return -1;
}

static void open_row(Search *s, int64_t row) {
    s->place[row] = (int32_t)s->opened;
    s->open[s->opened++] = (int32_t)row;
}

static void close_row(Search *s, int64_t row) {
    const int32_t last = s->open[--s->opened], at = s->place[row];
    s->open[at] = last;
    s->place[last] = at;
}

static void add(Search *s, int64_t column) {
    int64_t row, j;
    s->chosen[column] = 1;
    FOR_BITS(s->row_words, s->by_column + column * s->row_words, row) {
        const int32_t count = ++s->covered[row];
        if (count == 1) { /* nobody else gains it now, and the column alone covers it */
            close_row(s, row);
            add_gain(s, row, -s->weight[row]);
            s->gain[column] += s->weight[row];
            FOR_BITS(s->column_words, s->by_row + row * s->column_words, j) s->free[j] = 1;
        } else if (count == 2) {
            s->chosen[column] = 0;
            s->gain[sole(s, row)] -= s->weight[row];
            s->chosen[column] = 1;
        }
    }
}

static void drop(Search *s, int64_t column) {
    int64_t row, j;
    s->chosen[column] = 0;
    FOR_BITS(s->row_words, s->by_column + column * s->row_words, row) {
        const int32_t count = --s->covered[row];
        if (count == 0) {
            open_row(s, row);
            s->gain[column] -= s->weight[row];
            add_gain(s, row, s->weight[row]);
            FOR_BITS(s->column_words, s->by_row + row * s->column_words, j) s->free[j] = 1;
        } else if (count == 1) {
            s->gain[sole(s, row)] += s->weight[row];
        }
    }
    s->free[column] = 0;
}

/* The chosen column that is missed least for its cost, neither fixed nor `kept`; -1 if none. */
static int64_t cheapest_loss(const Search *s, const double *costs, const uint8_t *fixed, int64_t kept) {
    int64_t best = -1;
    for (int64_t j = 0; j < s->columns; j++) {
        if (!s->chosen[j] || fixed[j] || j == kept)
            continue;
        const double mine = (double)s->gain[j] * (best < 0 ? 0 : costs[best]);
        const double other = best < 0 ? INFINITY : (double)s->gain[best] * costs[j];
        if (mine < other || (mine == other && s->moved[j] < s->moved[best]))
            best = j;
    }
    return best;
}

/* The free column of a row that gains most for its cost; -1 if none. */
static int64_t best_gain(const Search *s, const double *costs, int64_t row) {
    int64_t best = -1, j;
    FOR_BITS(s->column_words, s->by_row + row * s->column_words, j) {
        if (!s->free[j])
            continue;
        if (best < 0) {
            best = j;
            continue;
        }
        const double mine = (double)s->gain[j] * costs[best], other = (double)s->gain[best] * costs[j];
        if (mine > other || (mine == other && s->moved[j] < s->moved[best]))
            best = j;
    }
    return best;
}

int64_t palm_local_work(int64_t rows, int64_t columns) { return 2 * columns + columns / 8 + 1 + rows * 2; }

int64_t palm_local(int64_t rows, int64_t columns, int64_t row_words, int64_t column_words, const uint64_t *by_row,
                   const uint64_t *by_column, const double *costs, const uint8_t *fixed, double budget, int64_t steps,
                   uint8_t *chosen, int64_t *weight, uint64_t *random, int64_t *work, int64_t *uncovered) {
    int64_t *gain = work, *moved = gain + columns;
    uint8_t *free = (uint8_t *)(moved + columns);
    int32_t *covered = (int32_t *)(moved + columns + columns / 8 + 1), *open = covered + rows, *place = open + rows;
    Search s = {rows, columns, row_words, column_words, by_row, by_column, covered, weight,
                gain, moved,   chosen,    free,         open,   place,     0,       0};
    double spent = 0;
    int64_t j, step = 0, kept = -1;
    for (j = 0; j < columns; j++) {
        gain[j] = moved[j] = 0;
        free[j] = 1;
        if (chosen[j])
            spent += costs[j];
    }
    for (int64_t row = 0; row < rows; row++) {
        covered[row] = 0;
        FOR_BITS(column_words, by_row + row * column_words, j) covered[row] += chosen[j];
        if (covered[row] == 0) {
            open_row(&s, row);
            add_gain(&s, row, weight[row]);
        } else if (covered[row] == 1) {
            gain[sole(&s, row)] += weight[row];
        }
    }
    for (; step < steps && (s.opened > 0 || spent > budget); step++) {
        if (step < s.updates / PALM_LOCAL_LONG)
            continue; /* columns that cover much make steps long */
        j = cheapest_loss(&s, costs, fixed, kept);
        if (j < 0)
            break;
        drop(&s, j);
        spent -= costs[j];
        moved[j] = step;
        while (s.opened > 0) {
            const int64_t row = open[random_bits(random) % (uint64_t)s.opened];
            j = best_gain(&s, costs, row);
            if (j < 0 || spent + costs[j] > budget)
                break;
            add(&s, j);
            spent += costs[j];
            moved[j] = step;
            kept = j;
            for (int64_t r = 0; r < s.opened; r++) {
                weight[open[r]]++;
                add_gain(&s, open[r], 1);
            }
        }
    }
    *uncovered = s.opened;
    return step;
}
