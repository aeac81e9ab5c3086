/* Undirected graphs without loops, whose edges are numbered: of a symmetric pattern, or of any pattern seen as bipartite.
 *
 * Each edge stands in the lists of both its ends, under one number. */
#ifndef SPARSEAD_GRAPH_H
#define SPARSEAD_GRAPH_H

#include "lists.h"

typedef struct {
    int32_t count, n_edges; /* vertices, edges */
    const int32_t *start;   /* vertex k has neighbours items[start[k]] .. items[start[k + 1] - 1] */
    const int32_t *items;
    const int32_t *edge; /* numbers of the edges to them */
} graph;

/* The graph of a symmetric pattern without its diagonal: `start` has rows.count + 1 entries, `items` and `edge` as many as the
 * pattern, `next` rows.count (scratch). Edges are numbered as they come below the diagonal. Returns their number, or -1 if an
 * entry has no mirror image. */
int32_t graph_of_symmetric(adjacency rows, int32_t *start, int32_t *items, int32_t *edge, int32_t *next);

/* The bipartite graph of a pattern: its columns are vertices 0 .. bound - 1, then come its rows; entry p is edge p. `start` has
 * bound + rows.count + 1 entries, all zero, `items` and `edge` twice as many as the pattern. */
void graph_of_any(adjacency rows, int32_t bound, int32_t *start, int32_t *items, int32_t *edge);

enum { NO_MEMORY = -1, TOO_MANY = -2, IMPOSSIBLE = -3 };

/* Greedy star or acyclic colouring in the given order. A vertex with forced[v] >= 0 takes that colour (forced may be NULL).
 * `colors` has one entry per vertex. Returns the number of colours; TOO_MANY when there would be more than `limit`; IMPOSSIBLE
 * when a forced colour does not fit, of vertex *culprit. */
int32_t star_first_fit(graph g, const int32_t *order, const int32_t *forced, int32_t limit, int32_t *colors, int32_t *culprit);
int32_t acyclic_first_fit(graph g, const int32_t *order, const int32_t *forced, int32_t limit, int32_t *colors, int32_t *culprit);

#endif
