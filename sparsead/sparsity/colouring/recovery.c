#include "recovery.h"

#include <stdlib.h>
#include <string.h>

#include "../../engine/parallel.h"

void find_alone(adjacency lists, const int32_t *colors, int32_t *count, uint8_t *alone)
{
    for (int32_t k = 0; k < lists.count; k++) {
        const int32_t begin = lists.start[k], end = lists.start[k + 1];
        for (int32_t p = begin; p < end; p++)
            if (colors[lists.items[p]] >= 0)
                count[colors[lists.items[p]]]++;
        for (int32_t p = begin; p < end; p++) {
            const int32_t color = colors[lists.items[p]];
            alone[p] = color >= 0 && count[color] == 1;
        }
        for (int32_t p = begin; p < end; p++)
            if (colors[lists.items[p]] >= 0)
                count[colors[lists.items[p]]] = 0;
    }
}

/* ---- substitution ------------------------------------------------------------------------------------------------ */

/* Nodes of the trees are the sums: of vertex `vertex` over its neighbours of one colour. An edge ties the sums of its two ends.
 * `link` is the exclusive or of the edges that a node still has: with one left, it is that edge. */
typedef struct {
    int32_t *vertex, *degree, *link, *queue, *next, *tree; /* by node */
    int32_t (*ends)[2];                                    /* by edge: its nodes */
    int32_t n_nodes, n_steps;
} forest;

static int open_forest(forest *f, int32_t n_edges)
{
    const size_t n = 2 * (size_t)n_edges + 1;
    *f = (forest){.vertex = malloc(6 * n * sizeof(int32_t)), .ends = malloc(n * sizeof(int32_t))};
    if (!f->vertex || !f->ends)
        return -1;
    memset(f->vertex, 0, 6 * n * sizeof(int32_t));
    memset(f->ends, -1, n * sizeof(int32_t));
    f->degree = f->vertex + n, f->link = f->degree + n, f->queue = f->link + n, f->next = f->queue + n, f->tree = f->next + n;
    return 0;
}

/* Neighbours without a colour have no sum: each makes a node of its own, which can never be the leaf of a step (degree
 * counts from a large number there). */
enum { NO_SUM = 1 << 30 };

static void plant(forest *f, graph g, const int32_t *colors, int32_t *node_of)
{
    for (int32_t v = 0; v < g.count; v++) {
        const int32_t first = f->n_nodes;
        for (int32_t p = g.start[v]; p < g.start[v + 1]; p++) {
            const int32_t color = colors[g.items[p]], edge = g.edge[p];
            int32_t node = color < 0 ? -1 : node_of[color];
            if (node < first) {
                node = f->n_nodes++;
                f->vertex[node] = v;
                f->degree[node] = color < 0 ? NO_SUM : 0;
                if (color >= 0)
                    node_of[color] = node;
            }
            f->degree[node]++;
            f->link[node] ^= edge;
            f->ends[edge][f->ends[edge][0] >= 0] = node;
        }
    }
}

/* Takes leaves away in the order in which they appear; `queue` has them, `next` the node at the other end of each. */
static void fell(forest *f)
{
    int32_t n_queue = 0;
    for (int32_t node = 0; node < f->n_nodes; node++)
        if (f->degree[node] == 1)
            f->queue[n_queue++] = node;
    for (int32_t k = 0; k < n_queue; k++) {
        const int32_t leaf = f->queue[k];
        if (f->degree[leaf] != 1)
            continue; /* the last one of its tree */
        const int32_t edge = f->link[leaf], *ends = f->ends[edge], other = ends[ends[0] == leaf];
        f->degree[leaf] = 0;
        f->next[leaf] = other;
        f->link[other] ^= edge;
        f->queue[f->n_steps++] = leaf;
        if (--f->degree[other] == 1)
            f->queue[n_queue++] = other;
    }
}

/* Numbers the trees, from their roots, which come last: a node that no step has taken away is one. */
static int32_t number_trees(forest *f, int32_t *node_step)
{
    int32_t n_trees = 0;
    for (int32_t node = 0; node < f->n_nodes; node++)
        node_step[node] = -1, f->tree[node] = -1;
    for (int32_t k = 0; k < f->n_steps; k++)
        node_step[f->queue[k]] = k;
    for (int32_t k = f->n_steps - 1; k >= 0; k--) {
        const int32_t leaf = f->queue[k], other = f->next[leaf];
        if (f->tree[other] < 0)
            f->tree[other] = n_trees++;
        f->tree[leaf] = f->tree[other];
    }
    return n_trees;
}

/* Steps sorted by tree; within a tree they keep their order. node_step is used up. */
static void write_steps(const forest *f, int32_t *node_step, int32_t n_trees, int32_t *vertices, int32_t *edges, int32_t *next,
                        int32_t *trees)
{
    memset(trees, 0, ((size_t)n_trees + 1) * sizeof *trees);
    for (int32_t k = 0; k < f->n_steps; k++)
        trees[n_trees - 1 - f->tree[f->queue[k]] + 1]++;
    for (int32_t t = 0; t < n_trees; t++)
        trees[t + 1] += trees[t];
    for (int32_t k = 0; k < f->n_steps; k++) {
        const int32_t leaf = f->queue[k], at = trees[n_trees - 1 - f->tree[leaf]]++;
        node_step[leaf] = at;
        vertices[at] = f->vertex[leaf];
        edges[at] = f->link[leaf];
    }
    memmove(trees + 1, trees, (size_t)n_trees * sizeof *trees);
    trees[0] = 0;
    for (int32_t k = 0; k < f->n_steps; k++)
        next[node_step[f->queue[k]]] = node_step[f->next[f->queue[k]]];
}

int32_t plan_substitution(graph g, const int32_t *colors, int32_t n_colors, int32_t *vertices, int32_t *edges, int32_t *next,
                          int32_t *trees, int32_t *culprit)
{
    forest f;
    int32_t result = NO_MEMORY - 1;
    const size_t n_nodes = 2 * (size_t)g.n_edges + 1, n = n_nodes > (size_t)n_colors ? n_nodes : (size_t)n_colors;
    int32_t *scratch = malloc(n * sizeof *scratch);
    if (open_forest(&f, g.n_edges) == 0 && scratch) {
        memset(scratch, -1, n * sizeof *scratch);
        plant(&f, g, colors, scratch);
        fell(&f);
        if (f.n_steps == g.n_edges) {
            result = number_trees(&f, scratch);
            write_steps(&f, scratch, result, vertices, edges, next, trees);
        } else {
            result = -1;
            for (int32_t node = 0; node < f.n_nodes; node++)
                if (f.degree[node] % NO_SUM > 0)
                    *culprit = f.link[node];
            for (int32_t e = 0; e < g.n_edges; e++)
                if (f.degree[f.ends[e][0]] % NO_SUM > 0 && f.degree[f.ends[e][1]] % NO_SUM > 0)
                    *culprit = e;
        }
    }
    free(f.vertex);
    free(f.ends);
    free(scratch);
    return result;
}

/* A complex number is two real ones: they are only added and subtracted. */
#define SUBSTITUTE(NAME, TYPE, PARTS)                                                                                            \
    static int NAME(void *context, intptr_t part, int thread)                                                                   \
    {                                                                                                                            \
        const substitution *s = context;                                                                                         \
        const TYPE(*values)[PARTS] = s->values;                                                                                  \
        TYPE(*out)[PARTS] = s->out;                                                                                              \
        const int32_t begin = s->chunks[part], end = s->chunks[part + 1];                                                        \
        (void)thread;                                                                                                            \
        for (int32_t k = begin; k < end; k++)                                                                                    \
            for (int c = 0; c < PARTS; c++)                                                                                      \
                out[s->at[k]][c] = values[k][c];                                                                                 \
        for (int32_t k = begin; k < end; k++) {                                                                                  \
            for (int c = 0; c < PARTS; c++) {                                                                                    \
                const TYPE value = out[s->at[k]][c];                                                                             \
                out[s->mirror[k]][c] = value;                                                                                    \
                if (s->next[k] >= 0)                                                                                             \
                    out[s->at[s->next[k]]][c] -= value;                                                                          \
            }                                                                                                                    \
        }                                                                                                                        \
        return 0;                                                                                                                \
    }

SUBSTITUTE(floats, float, 1)
SUBSTITUTE(doubles, double, 1)
SUBSTITUTE(complex_floats, float, 2)
SUBSTITUTE(complex_doubles, double, 2)

void substitute(const substitution *s, int kind, int threads)
{
    static const parallel_body body[] = {floats, doubles, complex_floats, complex_doubles};
    parallel_for(s->n_chunks, threads, body[kind], (void *)s);
}
