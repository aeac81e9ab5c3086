#include "windows.h"

#include <stdlib.h>
#include <string.h>

/* ---- windows ------------------------------------------------------------------------------------------------------- */

static void swap_axes(window_pair *w, int i, int j)
{
    ptrdiff_t *rows[3] = {w->shape, w->dst, w->src};
    for (int r = 0; r < 3; r++) {
        const ptrdiff_t kept = rows[r][i];
        rows[r][i] = rows[r][j];
        rows[r][j] = kept;
    }
}

static int is_outside(const window_pair *w, int i, int j)
{
    const ptrdiff_t a = llabs(w->dst[i]), b = llabs(w->dst[j]);
    return a != b ? a > b : llabs(w->src[i]) > llabs(w->src[j]);
}

int64_t window_simplify(window_pair *w)
{
    int64_t size = 1;
    int n = 0;
    for (int k = 0; k < w->ndim; k++) {
        size *= w->shape[k];
        if (w->shape[k] == 1)
            continue;
        swap_axes(w, n, k);
        for (int j = n++; j > 0 && is_outside(w, j, j - 1); j--)
            swap_axes(w, j, j - 1);
    }
    int kept = 0; /* the axis that the next one may continue */
    for (int k = 1; k < n; k++) {
        const int joins = w->dst[kept] == w->dst[k] * w->shape[k] && w->src[kept] == w->src[k] * w->shape[k];
        if (joins) {
            w->shape[k] *= w->shape[kept];
            swap_axes(w, kept, k);
        } else {
            swap_axes(w, ++kept, k);
        }
    }
    w->ndim = n ? kept + 1 : 0;
    return size;
}

static void copy_line(int32_t *dst, ptrdiff_t to, const int32_t *src, ptrdiff_t from, ptrdiff_t n)
{
    if (to == 1 && from == 1) {
        memmove(dst, src, (size_t)n * sizeof *dst);
    } else if (to == 1 && from == 0) {
        ids_fill(dst, *src, n);
    } else {
        for (ptrdiff_t i = 0; i < n; i++)
            dst[i * to] = src[i * from];
    }
}

static int unite_line(row_table *table, int32_t *dst, ptrdiff_t to, const int32_t *src, ptrdiff_t from, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        const int32_t both = rows_unite(table, dst[i * to], src[i * from]);
        if (both < 0)
            return both;
        dst[i * to] = both;
    }
    return 0;
}

static int line(row_table *table, int32_t *dst, ptrdiff_t to, const int32_t *src, ptrdiff_t from, ptrdiff_t n)
{
    if (table)
        return unite_line(table, dst, to, src, from, n);
    copy_line(dst, to, src, from, n);
    return 0;
}

/* Line by line over the innermost axis; copies where there is no table. */
static int walk(const window_pair *w, row_table *table, int32_t *dst, const int32_t *src)
{
    ptrdiff_t at[WINDOW_DIMS] = {0};
    const int inner = w->ndim - 1;
    if (inner < 0)
        return line(table, dst, 1, src, 1, 1);
    for (int k = 0; k <= inner; k++)
        if (w->shape[k] == 0)
            return 0;
    for (;;) {
        const int code = line(table, dst, w->dst[inner], src, w->src[inner], w->shape[inner]);
        if (code < 0)
            return code;
        int k = inner - 1;
        for (; k >= 0; k--) {
            dst += w->dst[k];
            src += w->src[k];
            if (++at[k] < w->shape[k])
                break;
            dst -= w->dst[k] * w->shape[k];
            src -= w->src[k] * w->shape[k];
            at[k] = 0;
        }
        if (k < 0)
            return 0;
    }
}

void window_copy(const window_pair *w, int32_t *dst, const int32_t *src)
{
    walk(w, NULL, dst, src);
}

int window_unite(const window_pair *w, row_table *table, int32_t *dst, const int32_t *src)
{
    return walk(w, table, dst, src);
}

/* ---- arrays ---------------------------------------------------------------------------------------------------------- */

void ids_fill(int32_t *ids, int32_t id, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ids[i] = id;
}

int ids_unite_groups(row_table *table, int32_t *dst, const int32_t *src, int64_t n, int64_t size)
{
    for (int64_t i = 0; i < n; i++) {
        const int32_t row = rows_unite_many(table, src + i * size, size);
        if (row < 0)
            return row;
        dst[i] = row;
    }
    return 0;
}

/* Walks a chain of equal positions and ends it; returns the number of its members, with dst's own row the first. */
static int64_t take_group(const int32_t *dst, const int32_t *src, int64_t *head, const int64_t *next, int32_t *group)
{
    int64_t members = 1;
    group[0] = *dst;
    for (int64_t i = *head; i >= 0; i = next[i])
        group[members++] = src[i];
    *head = -1;
    return members;
}

int ids_scatter_unite(row_table *table, int32_t *dst, const int64_t *pos, const int32_t *src, int64_t n,
                      int64_t *head, int64_t *next, int32_t *group)
{
    int code = 0;
    for (int64_t i = n - 1; i >= 0; i--) { /* chains of equal positions, in order */
        next[i] = head[pos[i]];
        head[pos[i]] = i;
    }
    for (int64_t i = 0; i < n; i++) {
        if (head[pos[i]] < 0)
            continue;
        const int64_t members = take_group(dst + pos[i], src, head + pos[i], next, group);
        const int32_t row = code < 0 ? code : rows_unite_many(table, group, members);
        if (row < 0)
            code = row;
        else
            dst[pos[i]] = row;
    }
    return code;
}
