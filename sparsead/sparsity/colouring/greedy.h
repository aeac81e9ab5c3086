/* Greedy colouring of a bipartite graph.
 *
 * What is coloured is called a vertex (say, a column of a pattern), what ties vertices together a net (then, a row):
 * two vertices that share a net need different colours. The same kernels colour rows, vertices and nets trade places.
 * Adjacency lists are sorted and without duplicates; callers have checked that. */
#ifndef SPARSEAD_GREEDY_H
#define SPARSEAD_GREEDY_H

#include "lists.h"

/* First-fit by one bitset per net; -1 when memory ran out, else 0. `colors` has one entry per vertex. */
int first_fit_by_nets(adjacency nets_of, int32_t n_nets, const int32_t *order, int32_t *colors);

/* First-fit of the n_order vertices in `order` by visiting all distance-2 neighbours. `colors` and `stamp` have one entry per
 * vertex, -1 to begin with, or colours (below their number) that others have already. */
void first_fit_by_vertices(adjacency nets_of, adjacency vertices_of, const int32_t *order, int32_t n_order, int32_t *colors,
                           int32_t *stamp);

/* Number of other vertices that share a net with each vertex; `stamp` as above. */
void distance2_degrees_of(adjacency nets_of, adjacency vertices_of, int32_t *degrees, int32_t *stamp);

/* Orders that look at degrees within what is left, or within what is ordered already. SMALLEST_LAST takes the smallest degree
 * among those that are left, and fills the order from its end; INCIDENCE_DEGREE the one with most neighbours that are ordered, in
 * the beginning one with most neighbours; DYNAMIC_LARGEST_FIRST the largest degree among those that are left. Of several it is
 * the one whose degree has changed last, else the one with the lowest number. `nets_of.items` are the neighbours themselves where
 * vertices_of.items is NULL. `degrees` has the number of neighbours of each vertex, and is used up. */
enum { SMALLEST_LAST, INCIDENCE_DEGREE, DYNAMIC_LARGEST_FIRST };
int dynamic_order_of(int kind, adjacency nets_of, adjacency vertices_of, int32_t *degrees, int32_t *order);

#endif
