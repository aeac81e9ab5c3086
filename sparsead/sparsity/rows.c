#include "rows.h"

#include <stdlib.h>
#include <string.h>

enum { MEMO_BITS = 12, MERGE_AT = 1 << 16 };

#define RETURN_IF_FAILED(code) do { const int32_t failed_ = (code); if (failed_ < 0) return failed_; } while (0)

/* Makes room for `needed` items; capacities grow by half, so that appending costs O(1). */
static int reserve(void **items, int64_t *capacity, int64_t needed, size_t item)
{
    if (needed <= *capacity)
        return 0;
    int64_t larger = *capacity + *capacity / 2;
    larger = larger > needed ? larger : needed;
    if (larger < 64)
        larger = 64;
    if ((uint64_t)larger > SIZE_MAX / item)
        return ROWS_NO_MEMORY;
    void *moved = realloc(*items, (size_t)larger * item);
    if (!moved)
        return ROWS_NO_MEMORY;
    *items = moved;
    *capacity = larger;
    return 0;
}

static int reserve_runs(row_table *t, int64_t more)
{
    return reserve((void **)&t->runs, &t->cap_runs, t->n_runs + more, sizeof *t->runs);
}

static int reserve_rows(row_table *t, int64_t more)
{
    if (more > INT32_MAX - 1 - (int64_t)t->n_rows)
        return ROWS_TOO_MANY;
    return reserve((void **)&t->start, &t->cap_rows, t->n_rows + 1 + more, sizeof *t->start);
}

/* The runs that were written behind the last one become a row. Room is reserved. */
static int32_t close_row(row_table *t, int64_t n)
{
    t->n_runs += n;
    t->start[t->n_rows + 1] = t->n_runs;
    return t->n_rows++;
}

int rows_init(row_table *t)
{
    memset(t, 0, sizeof *t);
    t->memo = calloc((size_t)1 << MEMO_BITS, sizeof *t->memo);
    if (!t->memo || reserve_rows(t, 1) < 0)
        return ROWS_NO_MEMORY;
    t->start[0] = 0;
    return close_row(t, 0);
}

void rows_free(row_table *t)
{
    free(t->runs);
    free(t->start);
    free(t->memo);
    free(t->scratch[0]);
    free(t->scratch[1]);
    free(t->segment);
    memset(t, 0, sizeof *t);
}

int rows_units(row_table *t, int32_t first, int64_t n, int32_t *ids)
{
    RETURN_IF_FAILED(reserve_rows(t, n));
    RETURN_IF_FAILED(reserve_runs(t, n));
    for (int64_t i = 0; i < n; i++) {
        const int32_t column = first + (int32_t)i;
        t->runs[t->n_runs] = (run){column, column + 1};
        ids[i] = close_row(t, 1);
    }
    return 0;
}

/* ---- unions ------------------------------------------------------------------------------------------------------ */

/* The union of two lists that are not empty, written to `out`; returns its length. */
static int64_t merge(const run *p, const run *p_end, const run *q, const run *q_end, run *out)
{
    run *last = out;
    *last = p->lo <= q->lo ? *p++ : *q++;
    while (p < p_end || q < q_end) {
        const run next = q == q_end || (p < p_end && p->lo <= q->lo) ? *p++ : *q++;
        if (next.lo > last->hi)
            *++last = next;
        else if (next.hi > last->hi)
            last->hi = next.hi;
    }
    return last + 1 - out;
}

static int same_runs(const run *p, int64_t n_p, const run *q, int64_t n_q)
{
    if (n_p != n_q)
        return 0;
    for (int64_t i = 0; i < n_p; i++) /* short lists, for which a call of memcmp costs more */
        if (p[i].lo != q[i].lo || p[i].hi != q[i].hi)
            return 0;
    return 1;
}

/* The `n` runs behind the table's end as a row: a new one, or a or b if they are the same. */
static int32_t row_of_tail(row_table *t, int64_t n, int32_t a, int32_t b)
{
    const run *tail = t->runs + t->n_runs;
    const int64_t *start = t->start;
    if (same_runs(tail, n, t->runs + start[a], start[a + 1] - start[a]))
        return a;
    if (same_runs(tail, n, t->runs + start[b], start[b + 1] - start[b]))
        return b;
    RETURN_IF_FAILED(reserve_rows(t, 1));
    return close_row(t, n);
}

int32_t rows_unite(row_table *t, int32_t a, int32_t b)
{
    if (a == b || b == 0)
        return a;
    if (a == 0)
        return b;
    if (a > b) {
        const int32_t other = a;
        a = b;
        b = other;
    }
    /* The same pairs come back where rows were broadcast or an expression is evaluated again. */
    union_memo *memo = t->memo + (((uint32_t)a + 7 * (uint32_t)b) & ((1 << MEMO_BITS) - 1));
    if (memo->a == a && memo->b == b)
        return memo->both;
    const int64_t n_a = t->start[a + 1] - t->start[a], n_b = t->start[b + 1] - t->start[b];
    RETURN_IF_FAILED(reserve_runs(t, n_a + n_b));
    const run *p = t->runs + t->start[a], *q = t->runs + t->start[b];
    const int64_t n = merge(p, p + n_a, q, q + n_b, t->runs + t->n_runs);
    const int32_t both = row_of_tail(t, n, a, b);
    if (both >= 0)
        *memo = (union_memo){a, b, both};
    return both;
}

/* Merges neighbouring segments of scratch[0] until one is left: a natural merge sort that unites. */
static int64_t merge_segments(row_table *t, int64_t n_segments)
{
    while (n_segments > 1) {
        const run *from = t->scratch[0];
        run *to = t->scratch[1];
        int64_t *s = t->segment, kept = 0, end = 0;
        for (int64_t i = 0; i < n_segments; i += 2) {
            const int64_t begin = s[i], middle = s[i + 1];
            s[kept++] = end;
            if (i + 1 < n_segments) {
                end += merge(from + begin, from + middle, from + middle, from + s[i + 2], to + end);
            } else {
                memcpy(to + end, from + begin, (size_t)(middle - begin) * sizeof *to);
                end += middle - begin;
            }
        }
        s[kept] = end;
        n_segments = kept;
        t->scratch[1] = t->scratch[0];
        t->scratch[0] = to;
    }
    return t->segment[1];
}

static int reserve_scratch(row_table *t, int64_t runs, int64_t segments)
{
    if (runs > t->cap_scratch) {
        int64_t second = t->cap_scratch;
        RETURN_IF_FAILED(reserve((void **)&t->scratch[1], &second, runs, sizeof(run)));
        RETURN_IF_FAILED(reserve((void **)&t->scratch[0], &t->cap_scratch, runs, sizeof(run)));
    }
    return reserve((void **)&t->segment, &t->cap_segments, segments, sizeof *t->segment);
}

/* Appends the runs of a row to the segments: to the last one as long as they ascend, so that sorted input is one. */
static int64_t append_runs(row_table *t, int32_t row, int64_t n_segments)
{
    run *runs = t->scratch[0];
    int64_t end = t->segment[n_segments];
    for (int64_t k = t->start[row]; k < t->start[row + 1]; k++) {
        const run next = t->runs[k];
        const int fits = n_segments > 0 && end > t->segment[n_segments - 1] && next.lo >= runs[end - 1].lo;
        if (fits && next.lo <= runs[end - 1].hi) {
            if (next.hi > runs[end - 1].hi)
                runs[end - 1].hi = next.hi;
            continue;
        }
        if (!fits)
            t->segment[n_segments++] = end;
        runs[end++] = next;
    }
    t->segment[n_segments] = end;
    return n_segments;
}

int32_t rows_unite_many(row_table *t, const int32_t *ids, int64_t n)
{
    int32_t first = 0, second = 0;
    int64_t i = 0;
    for (; i < n; i++) {
        if (ids[i] == 0 || ids[i] == first || ids[i] == second)
            continue;
        if (first && second)
            break;
        if (first)
            second = ids[i];
        else
            first = ids[i];
    }
    if (i == n)
        return rows_unite(t, first, second);
    RETURN_IF_FAILED(reserve_scratch(t, 64, 64));
    int64_t n_segments = 0, merge_at = MERGE_AT;
    t->segment[0] = 0;
    for (int32_t previous = i = 0; i < n; previous = ids[i++]) {
        if (ids[i] == 0 || ids[i] == previous)
            continue;
        const int64_t used = t->segment[n_segments], more = t->start[ids[i] + 1] - t->start[ids[i]];
        if (used > merge_at) { /* rows that overlap: what is held stays within a few times the union */
            merge_at = 4 * merge_segments(t, n_segments) + MERGE_AT;
            n_segments = 1;
        }
        RETURN_IF_FAILED(reserve_scratch(t, used + more, n_segments + 2));
        n_segments = append_runs(t, ids[i], n_segments);
    }
    const int64_t n_runs = merge_segments(t, n_segments);
    RETURN_IF_FAILED(reserve_runs(t, n_runs));
    memcpy(t->runs + t->n_runs, t->scratch[0], (size_t)n_runs * sizeof(run));
    return row_of_tail(t, n_runs, first, second);
}

int rows_unite_prefixes(row_table *t, int32_t *ids, const int32_t *more, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        int32_t row = rows_unite(t, ids[i - 1], ids[i]);
        if (row >= 0 && more)
            row = rows_unite(t, row, more[i]);
        RETURN_IF_FAILED(row);
        ids[i] = row;
    }
    return 0;
}

/* ---- compressed rows ----------------------------------------------------------------------------------------------- */

int64_t rows_count(const row_table *t, const int32_t *ids, int64_t n, int64_t *counts)
{
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t count = 0;
        for (int64_t k = t->start[ids[i]]; k < t->start[ids[i] + 1]; k++)
            count += t->runs[k].hi - t->runs[k].lo;
        counts[i] = count;
        total += count;
    }
    return total;
}

int32_t *rows_expand(const row_table *t, const int32_t *ids, int64_t n, int32_t *columns)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = t->start[ids[i]]; k < t->start[ids[i] + 1]; k++)
            for (int32_t column = t->runs[k].lo; column < t->runs[k].hi; column++)
                *columns++ = column;
    return columns;
}

/* ---- dropping rows that are no longer named ------------------------------------------------------------------------ */

void rows_mark(int32_t *new_id, const int32_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        new_id[ids[i]] = 1;
}

void rows_squeeze(row_table *t, int32_t *new_id)
{
    const int32_t n_rows = t->n_rows;
    int64_t begin = 0;
    t->n_rows = 1;
    t->n_runs = 0;
    new_id[0] = 0;
    for (int32_t r = 1; r < n_rows; r++) {
        const int64_t end = t->start[r + 1], n = end - begin;
        if (new_id[r]) {
            memmove(t->runs + t->n_runs, t->runs + begin, (size_t)n * sizeof *t->runs);
            new_id[r] = close_row(t, n);
        }
        begin = end;
    }
    memset(t->memo, 0, sizeof *t->memo << MEMO_BITS);
}

void rows_rename(const int32_t *new_id, int32_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ids[i] = new_id[ids[i]];
}
