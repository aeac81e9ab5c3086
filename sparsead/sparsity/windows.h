/* Row ids of arrays: copied and united through windows on their memory. Steps count elements, not bytes. */
#ifndef SPARSEAD_WINDOWS_H
#define SPARSEAD_WINDOWS_H

#include <stddef.h>

#include "rows.h"

enum { WINDOW_DIMS = 64 }; /* MAX_NDIM of _layouts.pxd */

/* Two windows of one shape. */
typedef struct {
    int ndim;
    ptrdiff_t shape[WINDOW_DIMS], dst[WINDOW_DIMS], src[WINDOW_DIMS];
} window_pair;

/* The same elements in fewer axes, those with the largest steps in `dst` outermost. Returns the number of elements. */
int64_t window_simplify(window_pair *w);

/* Both want a simplified pair; elements are visited in no particular order. */
void window_copy(const window_pair *w, int32_t *dst, const int32_t *src);
int window_unite(const window_pair *w, row_table *table, int32_t *dst, const int32_t *src);

void ids_fill(int32_t *ids, int32_t id, int64_t n);
/* Unions of n groups of `size` neighbours. */
int ids_unite_groups(row_table *table, int32_t *dst, const int32_t *src, int64_t n, int64_t size);

/* dst[pos[i]] = its union with src[i], repeated positions at once, in O(n). `head` covers `dst`; it is all -1 and left
 * so. `next` and `group` have n and n + 1 entries. */
int ids_scatter_unite(row_table *table, int32_t *dst, const int64_t *pos, const int32_t *src, int64_t n,
                      int64_t *head, int64_t *next, int32_t *group);

#endif
