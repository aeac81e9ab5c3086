#include "greedy.h"

#include <stdlib.h>
#include <string.h>

#ifdef _MSC_VER
#include <intrin.h>
static int lowest_bit(uint64_t word)
{
    unsigned long position;
    _BitScanForward64(&position, word);
    return (int)position;
}
#define INLINE static __forceinline
#else
#define lowest_bit __builtin_ctzll
#define INLINE static inline __attribute__((always_inline))
#endif

/* There is no parallel version, as this one has to give the colours of first-fit: each vertex waits for those before it that
 * share a net. The longest such chain has 79 801 of 80 000 columns of a Brusselator (200 x 200, periodic), all columns of a band
 * matrix, 838 of 20 000 random ones; where it is short (1597 of 160 000 columns of a 9-point stencil), a link of it is 3 us of
 * serial work, which no barrier is worth. */

/* WIDE words per net once 64 colours did not do: 20 000 random columns with 200 entries each (4036 colours) take 95 ms
 * with 1 word, 71 with 2, 37 with 4, 58 with 8 (gcc 12, x86-64); with 32-bit words the first visit is no faster. */
enum { BITS = 64, WIDE = 4 };

/* Visits all waiting vertices once and gives out the colours base .. base + 64 * width - 1. words[net * width ..] has
 * the colours of this range that are taken in a net, so the union over the nets of a vertex is what it must avoid. A
 * vertex that finds the whole range taken waits for the next one, where it meets only vertices that waited as well, and
 * in the same order: the outcome is that of first-fit one vertex at a time. Inlining is forced because `width` is a
 * constant at every call. Returns how many still wait; they are at the front of `waiting`, in order. */
INLINE int32_t visit(const int width, adjacency nets_of, int32_t *waiting, int32_t n_waiting, int32_t base,
                     uint64_t *words, int32_t *colors)
{
    int32_t n_left = 0;
    for (int32_t i = 0; i < n_waiting; i++) {
        const int32_t vertex = waiting[i], begin = nets_of.start[vertex], end = nets_of.start[vertex + 1];
        uint64_t taken[WIDE] = {0};
        for (int32_t p = begin; p < end; p++)
            for (int w = 0; w < width; w++)
                taken[w] |= words[(size_t)nets_of.items[p] * width + w];
        int w = 0;
        while (w < width && taken[w] == UINT64_MAX)
            w++;
        if (w == width) {
            waiting[n_left++] = vertex;
            continue;
        }
        const uint64_t bit = ~taken[w] & (taken[w] + 1);
        colors[vertex] = base + BITS * w + lowest_bit(bit);
        for (int32_t p = begin; p < end; p++)
            words[(size_t)nets_of.items[p] * width + w] |= bit;
    }
    return n_left;
}

/* Whether some net holds all the waiting vertices: the intersection of sorted lists, which as a rule is empty soon. */
static int all_share_a_net(adjacency nets_of, const int32_t *waiting, int32_t n_waiting, int32_t *common)
{
    const int32_t begin = nets_of.start[waiting[0]];
    int32_t n_common = nets_of.start[waiting[0] + 1] - begin;
    memcpy(common, nets_of.items + begin, (size_t)n_common * sizeof *common);
    for (int32_t i = 1; i < n_waiting && n_common; i++) {
        int32_t p = nets_of.start[waiting[i]], n_kept = 0;
        const int32_t end = nets_of.start[waiting[i] + 1];
        for (int32_t k = 0; k < n_common; k++) {
            while (p < end && nets_of.items[p] < common[k])
                p++;
            if (p < end && nets_of.items[p] == common[k])
                common[n_kept++] = common[k];
        }
        n_common = n_kept;
    }
    return n_common > 0;
}

/* Colours from `base` on. Waiting vertices that all share a net need as many colours as they are, and first-fit deals
 * these out in order: a dense row with a million columns would take 4000 visits without this short cut. */
static int visit_rest(adjacency nets_of, int32_t n_nets, int32_t *waiting, int32_t n_waiting, int32_t base,
                      int32_t *colors)
{
    const size_t n_bytes = (size_t)n_nets * WIDE * sizeof(uint64_t);
    uint64_t *words = malloc(n_bytes);
    int32_t *common = malloc((size_t)n_nets * sizeof *common);
    const int failed = !words || !common;
    for (; n_waiting && !failed; base += BITS * WIDE) {
        if (all_share_a_net(nets_of, waiting, n_waiting, common)) {
            for (int32_t i = 0; i < n_waiting; i++)
                colors[waiting[i]] = base + i;
            break;
        }
        memset(words, 0, n_bytes);
        n_waiting = visit(WIDE, nets_of, waiting, n_waiting, base, words, colors);
    }
    free(words);
    free(common);
    return failed ? -1 : 0;
}

int first_fit_by_nets(adjacency nets_of, int32_t n_nets, const int32_t *order, int32_t *colors)
{
    const size_t n_vertices = (size_t)nets_of.count;
    uint64_t *words = calloc((size_t)n_nets + 1, sizeof *words); /* never of size 0, which may return NULL */
    int32_t *waiting = malloc((n_vertices + 1) * sizeof *waiting);
    int status = words && waiting ? 0 : -1;
    if (status == 0) {
        memcpy(waiting, order, n_vertices * sizeof *waiting);
        const int32_t n_waiting = visit(1, nets_of, waiting, nets_of.count, 0, words, colors);
        if (n_waiting)
            status = visit_rest(nets_of, n_nets, waiting, n_waiting, BITS, colors);
    }
    free(words);
    free(waiting);
    return status;
}

void first_fit_by_vertices(adjacency nets_of, adjacency vertices_of, const int32_t *order, int32_t n_order, int32_t *colors,
                           int32_t *stamp)
{
    for (int32_t i = 0; i < n_order; i++) {
        const int32_t vertex = order[i];
        for (int32_t p = nets_of.start[vertex]; p < nets_of.start[vertex + 1]; p++) {
            const int32_t net = nets_of.items[p];
            for (int32_t q = vertices_of.start[net]; q < vertices_of.start[net + 1]; q++) {
                const int32_t color = colors[vertices_of.items[q]];
                if (color >= 0)
                    stamp[color] = vertex;
            }
        }
        int32_t color = 0;
        while (stamp[color] == vertex)
            color++;
        colors[vertex] = color;
    }
}

void distance2_degrees_of(adjacency nets_of, adjacency vertices_of, int32_t *degrees, int32_t *stamp)
{
    for (int32_t vertex = 0; vertex < nets_of.count; vertex++) {
        int32_t degree = 0;
        stamp[vertex] = vertex;
        for (int32_t p = nets_of.start[vertex]; p < nets_of.start[vertex + 1]; p++) {
            const int32_t net = nets_of.items[p];
            for (int32_t q = vertices_of.start[net]; q < vertices_of.start[net + 1]; q++) {
                const int32_t other = vertices_of.items[q];
                degree += stamp[other] != vertex;
                stamp[other] = vertex;
            }
        }
        degrees[vertex] = degree;
    }
}

/* Vertices that are not ordered yet, by degree: `first[d]` is one of degree d or -1, `next` and `before` lead to others. */
typedef struct {
    int32_t *degrees, *first, *next, *before;
} buckets;

static void put(buckets *b, int32_t vertex)
{
    const int32_t other = b->first[b->degrees[vertex]];
    b->next[vertex] = other;
    b->before[vertex] = -1;
    if (other >= 0)
        b->before[other] = vertex;
    b->first[b->degrees[vertex]] = vertex;
}

static void take(buckets *b, int32_t vertex)
{
    const int32_t next = b->next[vertex], before = b->before[vertex];
    if (before >= 0)
        b->next[before] = next;
    else
        b->first[b->degrees[vertex]] = next;
    if (next >= 0)
        b->before[next] = before;
}

/* Moves a neighbour of the vertex that was ordered last to the bucket beside; those that are ordered have degree -1. */
static void move(buckets *b, int32_t vertex, int32_t by)
{
    if (b->degrees[vertex] < 0)
        return;
    take(b, vertex);
    b->degrees[vertex] += by;
    put(b, vertex);
}

static void move_neighbors(buckets *b, adjacency nets_of, adjacency vertices_of, int32_t vertex, int32_t by, int32_t *stamp)
{
    for (int32_t p = nets_of.start[vertex]; p < nets_of.start[vertex + 1]; p++) {
        const int32_t net = nets_of.items[p];
        if (!vertices_of.items) {
            move(b, net, by);
            continue;
        }
        for (int32_t q = vertices_of.start[net]; q < vertices_of.start[net + 1]; q++) {
            const int32_t other = vertices_of.items[q];
            if (stamp[other] == vertex)
                continue;
            stamp[other] = vertex;
            move(b, other, by);
        }
    }
}

/* Puts all vertices, which are in buckets by degree, into bucket 0: those with the largest degree first. */
static void forget_degrees(buckets *b, int32_t n, int32_t *scratch)
{
    int32_t k = 0;
    for (int32_t degree = n - 1; degree >= 0; degree--) {
        for (int32_t vertex = b->first[degree]; vertex >= 0; vertex = b->next[vertex])
            scratch[k++] = vertex;
        b->first[degree] = -1;
    }
    memset(b->degrees, 0, (size_t)n * sizeof *b->degrees);
    while (k > 0)
        put(b, scratch[--k]);
}

int dynamic_order_of(int kind, adjacency nets_of, adjacency vertices_of, int32_t *degrees, int32_t *order)
{
    const int32_t n = nets_of.count, by = kind == INCIDENCE_DEGREE ? 1 : -1;
    int32_t *memory = malloc(4 * ((size_t)n + 1) * sizeof *memory), *stamp = memory;
    if (!memory)
        return -1;
    buckets b = {degrees, memory + n + 1, memory + 2 * ((size_t)n + 1), memory + 3 * ((size_t)n + 1)};
    memset(stamp, -1, 2 * ((size_t)n + 1) * sizeof *memory);
    for (int32_t vertex = n - 1; vertex >= 0; vertex--)
        put(&b, vertex);
    if (kind == INCIDENCE_DEGREE)
        forget_degrees(&b, n, order);
    int32_t degree = kind == SMALLEST_LAST ? 0 : n - 1;
    for (int32_t k = 0; k < n; k++) {
        while (b.first[degree] < 0)
            degree += kind == SMALLEST_LAST ? 1 : -1;
        const int32_t vertex = b.first[degree];
        take(&b, vertex);
        degrees[vertex] = -1;
        order[kind == SMALLEST_LAST ? n - 1 - k : k] = vertex;
        move_neighbors(&b, nets_of, vertices_of, vertex, by, stamp);
        /* Only neighbours have moved, by one: the next bucket is no further. */
        if (kind == SMALLEST_LAST && degree > 0)
            degree--;
        if (kind == INCIDENCE_DEGREE && degree < n - 1)
            degree++;
    }
    free(memory);
    return 0;
}
