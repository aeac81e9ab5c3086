/* Compressed adjacency lists. */
#ifndef SPARSEAD_LISTS_H
#define SPARSEAD_LISTS_H

#include <stdint.h>

typedef struct {
    int32_t count;        /* number of lists */
    const int32_t *start; /* list k is items[start[k]] .. items[start[k + 1] - 1] */
    const int32_t *items;
} adjacency;

/* First list that is not strictly increasing within [0, bound), or -1. */
int32_t first_bad_list(adjacency lists, int32_t bound);

/* Counting sort: item -> lists that contain it. `start` has bound + 1 entries, all zero. `position`, which may be NULL, gets where
 * each entry of the result stands in lists.items. */
void transpose_lists(adjacency lists, int32_t bound, int32_t *start, int32_t *items, int32_t *position);

#endif
