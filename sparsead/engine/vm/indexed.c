/* Elements that are moved, or added, by index numbers: gathers and scatters. And the check that such numbers are in range. */

#include "vm.h"

#include "../parallel.h"

#include <string.h>

/* ---- gathers and scatters ----------------------------------------------------------------------------------------------------- */

/* For each point the element `e` of the window and the one `r` of the register. */
#define INDEXED(name, type, statement)                                                                                       \
    static void name(const vm_instr *in, vm_rows window, vm_rows numbers, vm_rows reg, intptr_t rows, intptr_t n) {          \
        const intptr_t by = in->by, count = in->count;                                                                       \
        for (intptr_t row = 0; row < rows; row++) {                                                                          \
            char *at = window.at + row * window.hop, *r = reg.at + row * reg.hop;                                            \
            const char *i = numbers.at + row * numbers.hop;                                                                  \
            for (intptr_t k = 0; k < n; k++, at += window.step, i += numbers.step, r += reg.step) {                          \
                const intptr_t number = *(const type *)i;                                                                    \
                char *const e = at + (number + (number < 0 ? count : 0)) * by;                                               \
                statement;                                                                                                   \
            }                                                                                                                \
        }                                                                                                                    \
    }

#define MOVES(item)                                                      \
    INDEXED(gather_##item##_narrow, int32_t, memcpy(r, e, item))         \
    INDEXED(gather_##item##_wide, int64_t, memcpy(r, e, item))           \
    INDEXED(scatter_##item##_narrow, int32_t, memcpy(e, r, item))        \
    INDEXED(scatter_##item##_wide, int64_t, memcpy(e, r, item))

MOVES(1)
MOVES(2)
MOVES(4)
MOVES(8)
MOVES(16)
MOVES(32)

/* One point after the other, so that numbers that are equal add up in their order. */
INDEXED(add_d_narrow, int32_t, *(double *)e += *(const double *)r)
INDEXED(add_d_wide, int64_t, *(double *)e += *(const double *)r)
INDEXED(add_f_narrow, int32_t, *(float *)e += *(const float *)r)
INDEXED(add_f_wide, int64_t, *(float *)e += *(const float *)r)

static void add_one(const vm_instr *in, char *e, char *r) {
    char *args[3] = {e, r, e};
    const intptr_t one = 1, steps[3] = {0, 0, 0};
    in->loop(args, &one, steps, in->data);
}

INDEXED(add_any_narrow, int32_t, add_one(in, e, r))
INDEXED(add_any_wide, int64_t, add_one(in, e, r))

#define FIND(what, size) \
    case size: return wide ? what##_##size##_wide : what##_##size##_narrow;
#define FIND_ANY(what) \
    switch (item) { FIND(what, 1) FIND(what, 2) FIND(what, 4) FIND(what, 8) FIND(what, 16) FIND(what, 32) } \
    return NULL;

vm_indexed vm_gather(int item, int wide) { FIND_ANY(gather) }

vm_indexed vm_scatter(int item, int wide) { FIND_ANY(scatter) }

vm_indexed vm_scatter_add(char type, int wide) {
    if (type == 'd') return wide ? add_d_wide : add_d_narrow;
    if (type == 'f') return wide ? add_f_wide : add_f_narrow;
    return wide ? add_any_wide : add_any_narrow;
}

/* ---- checks -------------------------------------------------------------------------------------------------------------------- */

#define OUTSIDE(type)                                                                                            \
    static int outside_##type(const char *at, intptr_t step, intptr_t n, intptr_t count) {                       \
        int outside = 0;                                                                                         \
        if (step == (intptr_t)sizeof(type)) { /* so that the compiler sees a plain array */                      \
            const type *numbers = (const type *)at;                                                              \
            for (intptr_t k = 0; k < n; k++) outside |= (numbers[k] < -count) | (numbers[k] >= count);           \
        } else {                                                                                                 \
            for (intptr_t k = 0; k < n; k++, at += step)                                                         \
                outside |= (*(const type *)at < -count) | (*(const type *)at >= count);                          \
        }                                                                                                        \
        return outside;                                                                                          \
    }

OUTSIDE(int32_t)
OUTSIDE(int64_t)

static int row_outside(const vm_bounds *b, const char *at, intptr_t step, intptr_t n) {
    return b->wide ? outside_int64_t(at, step, n, b->count) : outside_int32_t(at, step, n, b->count);
}

/* Whether a number in rows `first` to `last` - 1 of the first axis is out of range; the first such row of the last axis is noted. */
static int rows_outside(const vm_bounds *b, char *at, intptr_t first, intptr_t last, char **row, intptr_t *points) {
    const int inner = b->n_axes - 1;
    const intptr_t *stride = b->window.stride;
    intptr_t index[VM_AXES] = {first};
    at += b->n_axes ? first * stride[0] : 0;
    *points = inner < 0 ? 1 : inner == 0 ? last - first : b->extent[inner];
    for (int k = 0; k >= 0;) {
        *row = at;
        if (row_outside(b, at, inner < 0 ? 0 : stride[inner], *points)) return 1;
        for (k = inner - 1; k >= 0; k--) {
            at += stride[k];
            if (++index[k] < (k ? b->extent[k] : last)) break;
            at -= stride[k] * b->extent[k];
            index[k] = 0;
        }
    }
    return 0;
}

typedef struct {
    const vm_bounds *bounds;
    char *base;
    atomic_int outside;
} check;

static intptr_t rows_of(const vm_bounds *b) { return b->n_axes ? b->extent[0] : 1; }

static int check_chunk(void *context, intptr_t part, int thread) {
    (void)thread;
    check *c = context;
    const intptr_t first = part * c->bounds->chunk, all = rows_of(c->bounds), last = first + c->bounds->chunk;
    char *row;
    intptr_t points;
    if (rows_outside(c->bounds, c->base, first, last < all ? last : all, &row, &points)) atomic_store(&c->outside, 1);
    return atomic_load(&c->outside);
}

int vm_check_bounds(const vm_bounds *b, int number, vm_work *work) {
    check c = {.bounds = b};
    if (vm_place(&b->window, number, 0, work, &c.base)) return OUT_OF_BOUNDS;
    atomic_init(&c.outside, 0);
    if (!parallel_for((rows_of(b) + b->chunk - 1) / b->chunk, work->threads, check_chunk, &c)) return DONE;
    char *at;
    intptr_t points;
    rows_outside(b, c.base, 0, rows_of(b), &at, &points); /* the first one, whatever thread has found one */
    const intptr_t step = b->n_axes ? b->window.stride[b->n_axes - 1] : 0;
    while (points > 1 && !row_outside(b, at, step, 1)) at += step, points--;
    work->failed_step = number;
    work->failed_index = -1;
    work->failed_value = b->wide ? (intptr_t)*(const int64_t *)at : *(const int32_t *)at;
    return OUT_OF_BOUNDS;
}
