#include "graph.h"

#include <stdlib.h>
#include <string.h>

int32_t graph_of_symmetric(adjacency rows, int32_t *start, int32_t *items, int32_t *edge, int32_t *next)
{
    int32_t n_edges = 0, at = 0;
    for (int32_t i = 0; i < rows.count; i++) {
        start[i] = next[i] = at;
        for (int32_t p = rows.start[i]; p < rows.start[i + 1]; p++) {
            const int32_t j = rows.items[p];
            if (j == i)
                continue;
            items[at] = j;
            if (j < i) { /* its mirror image is the next one of row j that has had none */
                const int32_t mirror = next[j]++;
                if (mirror >= start[j + 1] || items[mirror] != i)
                    return -1;
                edge[at] = edge[mirror] = n_edges++;
                next[i] = at + 1;
            }
            at++;
        }
        start[i + 1] = at;
    }
    for (int32_t i = 0; i < rows.count; i++)
        if (next[i] != start[i + 1])
            return -1;
    return n_edges;
}

void graph_of_any(adjacency rows, int32_t bound, int32_t *start, int32_t *items, int32_t *edge)
{
    const int32_t nnz = rows.start[rows.count];
    transpose_lists(rows, bound, start, items, edge);
    for (int32_t p = 0; p < nnz; p++) {
        items[p] += bound;
        items[nnz + p] = rows.items[p];
        edge[nnz + p] = p;
    }
    for (int32_t i = 0; i < rows.count; i++)
        start[bound + i + 1] = nnz + rows.start[i + 1];
}

/* ---- what both colourings keep ------------------------------------------------------------------------------------- */

enum { BITS = 64, LONG = 64 };

typedef struct {
    int32_t color, edge;
} met; /* a colour among the neighbours of a vertex, and the first edge to it */

/* The colours around a coloured vertex w are a list of `met`: near[start[w]] .. near[start[w] + n_near[w] - 1]. To search this
 * list instead of all neighbours keeps a hub with a million neighbours as cheap as any vertex. Where the list itself gets
 * LONG, a bitset of its colours (`sets[w]`, of n_words[w]) says at once what is not there. */
typedef struct {
    graph g;
    int32_t *colors, *n_near, *n_words;
    met *near;
    uint64_t **sets;
    uint64_t *forbidden; /* colours that the vertex at hand must not take */
    int32_t *seen_by, *first_vertex, *first_edge; /* by colour: last vertex with such a neighbour, which, the edge to it */
    int32_t *often;                               /* by colour: last vertex with two such neighbours */
    int32_t n_colors;
} state;

static void forbid(state *s, int32_t color) { s->forbidden[color / BITS] |= UINT64_C(1) << color % BITS; }

static int is_forbidden(const state *s, int32_t color) { return s->forbidden[color / BITS] >> color % BITS & 1; }

static void forbid_all_near(state *s, int32_t w)
{
    if (s->sets[w]) {
        const int32_t in_use = s->n_colors / BITS + 1;
        for (int32_t k = 0; k < s->n_words[w] && k < in_use; k++)
            s->forbidden[k] |= s->sets[w][k];
        return;
    }
    const met *near = s->near + s->g.start[w];
    for (int32_t k = 0; k < s->n_near[w]; k++)
        forbid(s, near[k].color);
}

/* The first edge from w to a neighbour of this colour, or -1. */
static int32_t edge_to(const state *s, int32_t w, int32_t color)
{
    const met *near = s->near + s->g.start[w];
    if (s->sets[w] && (color / BITS >= s->n_words[w] || !(s->sets[w][color / BITS] >> color % BITS & 1)))
        return -1;
    for (int32_t k = 0; k < s->n_near[w]; k++)
        if (near[k].color == color)
            return near[k].edge;
    return -1;
}

/* Make a bitset of the colours in the list of w, with room for twice as many colours as there are. One that would take more words
 * than w has neighbours is not kept: all of them together then take no more memory than the graph. */
static void widen(state *s, int32_t w)
{
    const int32_t degree = s->g.start[w + 1] - s->g.start[w], needed = 2 * (s->n_colors / BITS + 1);
    const met *near = s->near + s->g.start[w];
    free(s->sets[w]);
    s->sets[w] = needed <= degree ? calloc((size_t)needed, sizeof **s->sets) : NULL;
    s->n_words[w] = needed;
    if (s->sets[w])
        for (int32_t k = 0; k < s->n_near[w]; k++)
            s->sets[w][near[k].color / BITS] |= UINT64_C(1) << near[k].color % BITS;
}

static void add_near(state *s, int32_t w, int32_t color, int32_t edge)
{
    const int32_t k = s->n_near[w]++;
    s->near[s->g.start[w] + k] = (met){color, edge};
    if (k + 1 == LONG || (s->sets[w] && color / BITS >= s->n_words[w]))
        widen(s, w);
    else if (s->sets[w])
        s->sets[w][color / BITS] |= UINT64_C(1) << color % BITS;
}

/* Forbids the colours of the neighbours of v and notes where each was met first. */
static void look_around(state *s, int32_t v)
{
    memset(s->forbidden, 0, ((size_t)s->n_colors / BITS + 1) * sizeof *s->forbidden);
    for (int32_t p = s->g.start[v]; p < s->g.start[v + 1]; p++) {
        const int32_t w = s->g.items[p], color = s->colors[w];
        if (color < 0)
            continue;
        if (s->seen_by[color] == v) {
            s->often[color] = v;
            continue;
        }
        forbid(s, color);
        s->seen_by[color] = v;
        s->first_vertex[color] = w;
        s->first_edge[color] = s->g.edge[p];
        s->near[s->g.start[v] + s->n_near[v]++] = (met){color, s->g.edge[p]};
    }
    if (s->n_near[v] >= LONG)
        widen(s, v);
}

/* The colour that v takes: the forced one, or the first that is free; or what keeps it from doing so. */
static int32_t choose(state *s, int32_t v, const int32_t *forced, int32_t limit)
{
    int32_t color = 0;
    if (forced && forced[v] >= 0) {
        color = forced[v];
        if (color < s->n_colors && is_forbidden(s, color))
            return IMPOSSIBLE;
    } else {
        int32_t k = 0;
        while (s->forbidden[k] == UINT64_MAX)
            k++;
        for (uint64_t bits = s->forbidden[k]; bits & 1; bits >>= 1)
            color++;
        color += BITS * k;
    }
    if (color >= limit)
        return TOO_MANY;
    if (color >= s->n_colors)
        s->n_colors = color + 1;
    s->colors[v] = color;
    return color;
}

static void close_state(state *s)
{
    if (s->sets)
        for (int32_t k = 0; k < s->g.count; k++)
            free(s->sets[k]);
    free(s->n_near);
    free(s->n_words);
    free(s->near);
    free(s->sets);
    free(s->forbidden);
    free(s->seen_by);
}

static int open_state(state *s, graph g, int32_t *colors)
{
    const size_t n = (size_t)g.count + 1;
    *s = (state){.g = g, .colors = colors};
    s->n_near = calloc(n, sizeof *s->n_near);
    s->n_words = malloc(n * sizeof *s->n_words);
    s->near = malloc(((size_t)g.start[g.count] + 1) * sizeof *s->near);
    s->sets = calloc(n, sizeof *s->sets);
    s->forbidden = calloc(n / BITS + 2, sizeof *s->forbidden);
    s->seen_by = malloc(4 * n * sizeof *s->seen_by);
    if (!s->n_near || !s->n_words || !s->near || !s->sets || !s->forbidden || !s->seen_by)
        return NO_MEMORY;
    memset(s->seen_by, -1, 4 * n * sizeof *s->seen_by);
    s->often = s->seen_by + n;
    s->first_vertex = s->often + n;
    s->first_edge = s->first_vertex + n;
    memset(colors, -1, (size_t)g.count * sizeof *colors);
    return 0;
}

/* ---- star -------------------------------------------------------------------------------------------------------- */

/* Every edge belongs to one maximal 2-coloured star; hub[star] is its centre, or -1 as long as it has a single edge. */
typedef struct {
    int32_t *star, *hub, n_stars;
} stars;

/* Colours that would continue a star through w, whose only neighbour of its colour v is to be: v - w - hub - another one. */
static void forbid_hubs(state *s, const stars *of, int32_t w)
{
    const met *near = s->near + s->g.start[w];
    for (int32_t k = 0; k < s->n_near[w]; k++) {
        const int32_t hub = of->hub[of->star[near[k].edge]];
        if (hub >= 0 && hub != w)
            forbid(s, near[k].color);
    }
}

static void join_stars(state *s, stars *of, int32_t v, int32_t color)
{
    for (int32_t p = s->g.start[v]; p < s->g.start[v + 1]; p++) {
        const int32_t w = s->g.items[p], d = s->colors[w], edge = s->g.edge[p];
        if (d < 0)
            continue;
        const int32_t other = edge_to(s, w, color);
        if (other >= 0) {
            of->star[edge] = of->star[other];
            of->hub[of->star[edge]] = w;
            continue;
        }
        add_near(s, w, color, edge);
        if (s->first_vertex[d] != w) {
            of->star[edge] = of->star[s->first_edge[d]];
            of->hub[of->star[edge]] = v;
        } else {
            of->star[edge] = of->n_stars;
            of->hub[of->n_stars++] = -1;
        }
    }
}

int32_t star_first_fit(graph g, const int32_t *order, const int32_t *forced, int32_t limit, int32_t *colors, int32_t *culprit)
{
    state s;
    const size_t n_bytes = ((size_t)g.n_edges + 1) * sizeof(int32_t);
    stars of = {.star = malloc(n_bytes), .hub = malloc(n_bytes)};
    int32_t status = open_state(&s, g, colors);
    if (!of.star || !of.hub)
        status = NO_MEMORY;
    for (int32_t i = 0; i < g.count && status >= 0; i++) {
        const int32_t v = order[i];
        look_around(&s, v);
        for (int32_t p = g.start[v]; p < g.start[v + 1]; p++) {
            const int32_t w = g.items[p], color = colors[w];
            if (color < 0)
                continue;
            if (s.often[color] == v) /* v becomes the hub of a star with w: no other neighbour of w may have its colour */
                forbid_all_near(&s, w);
            else
                forbid_hubs(&s, &of, w);
        }
        status = choose(&s, v, forced, limit);
        if (status >= 0)
            join_stars(&s, &of, v, status);
        else
            *culprit = v;
    }
    free(of.star);
    free(of.hub);
    close_state(&s);
    return status < 0 ? status : s.n_colors;
}

/* ---- acyclic ----------------------------------------------------------------------------------------------------- */

/* Edges of one 2-coloured tree, as disjoint sets. */
static int32_t root_of(int32_t *parent, int32_t edge)
{
    while (parent[edge] != edge)
        edge = parent[edge] = parent[parent[edge]];
    return edge;
}

static void unite(int32_t *parent, int32_t *size, int32_t a, int32_t b)
{
    a = root_of(parent, a), b = root_of(parent, b);
    if (a == b)
        return;
    if (size[a] < size[b]) {
        const int32_t larger = b;
        b = a, a = larger;
    }
    parent[b] = a;
    size[a] += size[b];
}

/* Colours of which v would close a cycle: of trees that it would touch at two of its neighbours. */
static void forbid_cycles(state *s, int32_t *parent, int32_t *touched_by, int32_t v)
{
    for (int32_t p = s->g.start[v]; p < s->g.start[v + 1]; p++) {
        const int32_t w = s->g.items[p];
        if (s->colors[w] < 0)
            continue;
        const met *near = s->near + s->g.start[w];
        for (int32_t k = 0; k < s->n_near[w]; k++) {
            if (is_forbidden(s, near[k].color))
                continue;
            const int32_t tree = root_of(parent, near[k].edge);
            if (touched_by[tree] == v)
                forbid(s, near[k].color);
            touched_by[tree] = v;
        }
    }
}

static void join_trees(state *s, int32_t *parent, int32_t *size, int32_t v, int32_t color)
{
    for (int32_t p = s->g.start[v]; p < s->g.start[v + 1]; p++) {
        const int32_t w = s->g.items[p], d = s->colors[w], edge = s->g.edge[p];
        if (d < 0)
            continue;
        unite(parent, size, s->first_edge[d], edge);
        const int32_t other = edge_to(s, w, color);
        if (other >= 0)
            unite(parent, size, other, edge);
        else
            add_near(s, w, color, edge);
    }
}

int32_t acyclic_first_fit(graph g, const int32_t *order, const int32_t *forced, int32_t limit, int32_t *colors, int32_t *culprit)
{
    const size_t n = (size_t)g.n_edges + 1;
    state s;
    int32_t *parent = malloc(n * sizeof *parent), *size = malloc(n * sizeof *size), *touched_by = malloc(n * sizeof *touched_by);
    int32_t status = open_state(&s, g, colors);
    if (!parent || !size || !touched_by)
        status = NO_MEMORY;
    for (int32_t e = 0; e < g.n_edges && status >= 0; e++)
        parent[e] = e, size[e] = 1, touched_by[e] = -1;
    for (int32_t i = 0; i < g.count && status >= 0; i++) {
        const int32_t v = order[i];
        look_around(&s, v);
        forbid_cycles(&s, parent, touched_by, v);
        status = choose(&s, v, forced, limit);
        if (status >= 0)
            join_trees(&s, parent, size, v, status);
        else
            *culprit = v;
    }
    free(parent);
    free(size);
    free(touched_by);
    close_state(&s);
    return status < 0 ? status : s.n_colors;
}
