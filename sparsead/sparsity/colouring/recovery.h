/* Which sums of entries to read, and how entries follow from them. */
#ifndef SPARSEAD_RECOVERY_H
#define SPARSEAD_RECOVERY_H

#include "graph.h"

/* alone[p] = whether the color of entry p occurs only once in its list; -1 is no colour. `count` has n_colors zeros. */
void find_alone(adjacency lists, const int32_t *colors, int32_t *count, uint8_t *alone);

/* Steps that solve for the entries at the edges, where vertex i comes with the sum of its entries at neighbours of colour d, for
 * each d >= 0. Edges that share such a sum hang together, as trees: a leaf of a tree is known at once; taken away, it makes
 * another leaf. Step k finds edge edges[k] from vertices[k] and from the sum for the colour of the other end, less what the
 * steps k' with next[k'] == k found. next[k] > k, or -1. Steps of one tree stand together and trees[t] is where tree t begins:
 * there are returned that many, `trees` has one entry more (n_edges + 1 at most). -1 where edges make a cycle or a sum that
 * is needed does not exist: edge *culprit. NO_MEMORY - 1 without memory. n_colors bounds the colours. */
int32_t plan_substitution(graph g, const int32_t *colors, int32_t n_colors, int32_t *vertices, int32_t *edges, int32_t *next,
                          int32_t *trees, int32_t *culprit);

typedef struct {
    const int32_t *at;     /* where the entry of step k goes */
    const int32_t *mirror; /* and once more; equal to at[k] for nowhere else */
    const int32_t *next;   /* from where it is to be taken away, or -1 */
    const int32_t *chunks; /* first steps of pieces that have nothing to do with each other */
    int32_t n_chunks;
    const void *values; /* by step */
    void *out;
} substitution;

enum { FLOATS, DOUBLES, COMPLEX_FLOATS, COMPLEX_DOUBLES };

void substitute(const substitution *s, int kind, int threads);

#endif
