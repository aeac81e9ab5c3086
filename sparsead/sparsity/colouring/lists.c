#include "lists.h"

#include <string.h>

int32_t first_bad_list(adjacency lists, int32_t bound)
{
    for (int32_t k = 0; k < lists.count; k++) {
        int32_t previous = -1;
        for (int32_t p = lists.start[k]; p < lists.start[k + 1]; p++) {
            if (lists.items[p] <= previous || lists.items[p] >= bound)
                return k;
            previous = lists.items[p];
        }
    }
    return -1;
}

void transpose_lists(adjacency lists, int32_t bound, int32_t *start, int32_t *items, int32_t *position)
{
    const int32_t n_items = lists.start[lists.count];
    for (int32_t p = 0; p < n_items; p++)
        start[lists.items[p] + 1]++;
    for (int32_t j = 0; j < bound; j++)
        start[j + 1] += start[j];
    for (int32_t k = 0; k < lists.count; k++)
        for (int32_t p = lists.start[k]; p < lists.start[k + 1]; p++) {
            const int32_t at = start[lists.items[p]]++;
            items[at] = k;
            if (position)
                position[at] = p;
        }
    /* Every start[j] has moved to where the next list begins: put it back. */
    memmove(start + 1, start, (size_t)bound * sizeof *start);
    start[0] = 0;
}
