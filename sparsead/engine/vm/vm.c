#define _POSIX_C_SOURCE 200809L /* declares clock_gettime */

#include "vm.h"

#include "../parallel.h"

#include <string.h>
#include <time.h>

#define CHECK_EVERY 0.05 /* seconds: who asks Python may have to wait for its lock */

/* ---- interrupts --------------------------------------------------------------------------------------------------------- */

static double seconds(void) {
    struct timespec now;
#ifdef CLOCK_MONOTONIC
    clock_gettime(CLOCK_MONOTONIC, &now);
#else
    timespec_get(&now, TIME_UTC);
#endif
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Whether the user wants to stop; asked by the caller's thread after so many point instructions. */
int vm_interrupted(vm_work *work, double done) {
    work->until_look -= done;
    if (work->until_look > 0) return 0;
    work->until_look = LOOK_EVERY;
    const double now = seconds();
    if (!work->checked) work->checked = now;
    if (now < work->checked + CHECK_EVERY) return 0;
    if (work->call(work->owner, -1)) atomic_store(&work->stopped, 1);
    work->checked = seconds();
    return atomic_load(&work->stopped);
}

/* ---- integers in memory ------------------------------------------------------------------------------------------------- */

static const char INTEGERS[] = "?bBhHiIlLqQ";

int vm_integer_kind(char type) {
    const char *at = type ? strchr(INTEGERS, type) : NULL;
    return at ? (int)(at - INTEGERS) : -1;
}

intptr_t vm_integer(const char *at, int kind) {
    switch (INTEGERS[kind]) {
#define CASE(letter, type)           \
    case letter: {                   \
        type x;                      \
        memcpy(&x, at, sizeof x);    \
        return (intptr_t)x;          \
    }
        CASE('?', unsigned char)
        CASE('b', signed char)
        CASE('B', unsigned char)
        CASE('h', short)
        CASE('H', unsigned short)
        CASE('i', int)
        CASE('I', unsigned)
        CASE('l', long)
        CASE('L', unsigned long)
        CASE('q', long long)
        CASE('Q', unsigned long long)
#undef CASE
    }
    return 0;
}

/* ---- kernels -------------------------------------------------------------------------------------------------------------- */

/* Where a window is now; -1 if an index is out of bounds. */
int vm_place(const vm_window *w, int number, int which, vm_work *work, char **base) {
    intptr_t offset = w->offset;
    for (int k = 0; k < w->n_index; k++) {
        const vm_index *index = w->index + k;
        intptr_t value = vm_integer(work->slots[index->slot] + index->offset, index->kind);
        if (value < index->low || value >= index->high) {
            work->failed_step = number;
            work->failed_window = which;
            work->failed_index = k;
            work->failed_value = value;
            return -1;
        }
        offset += value * index->step;
    }
    *base = work->slots[w->slot] + offset;
    return 0;
}

/* at += all points of a register, or each to its place. */
static void add(const vm_instr *in, char *at, intptr_t step, char *reg, intptr_t stride, intptr_t n) {
    _Alignas(16) char number[NUMBER] = {0};
    char *args[3] = {at, reg, at};
    intptr_t steps[3] = {step, stride, step}, one = 1;
    if (step || n == 1) {
        in->loop(args, &n, steps, in->data);
        return;
    }
    args[0] = args[2] = number;
    in->sum(args, &n, steps, in->sum_data);
    args[0] = args[2] = at;
    args[1] = number;
    in->loop(args, &one, steps, in->data);
}

/* Move `count` rows of `n` points between a window and a register. */
static void move_rows(const vm_instr *in, vm_rows window, vm_rows reg, intptr_t count, intptr_t n) {
    const vm_rows *from = in->kind == VM_FETCH ? &window : &reg, *to = in->kind == VM_FETCH ? &reg : &window;
    if (in->short_rows && n <= VM_SHORT) {
        in->short_rows(from, to, count, n);
        return;
    }
    for (intptr_t row = 0; row < count; row++) {
        if (in->kind == VM_ADD) {
            add(in, window.at + row * window.hop, window.step, reg.at + row * reg.hop, reg.step, n);
            continue;
        }
        char *args[2] = {from->at + row * from->hop, to->at + row * to->hop};
        intptr_t steps[2] = {from->step, to->step};
        in->loop(args, &n, steps, in->data);
    }
}

/* The same for all of a tile, of a window or register without one stride along it: axes of the window that can be joined are,
   unless the register has gaps between its rows, and what is left is gone through block by block of two of them. */
static void move_bent(const vm_kernel *kernel, const vm_instr *in, const vm_window *w, vm_rows window, vm_rows reg, intptr_t rows) {
    const int last = kernel->n_axes - 1, axis = kernel->axis, gaps = reg.hop != reg.step * kernel->extent[last];
    intptr_t extent[2] = {kernel->extent[last], 1};
    int k = last - 1; /* the axes up to this one are still to be joined */
    for (int level = 0; level < 2; level++) {
        if (level && k >= axis) {
            window.hop = w->stride[k];
            extent[1] = k == axis ? rows : kernel->extent[k];
            k--;
        }
        while (k >= axis && !gaps && w->stride[k] == w->stride[k + 1] * kernel->extent[k + 1]) {
            extent[level] *= k == axis ? rows : kernel->extent[k];
            k--;
        }
    }
    reg.hop = gaps ? reg.hop : reg.step * extent[0];
    intptr_t index[VM_AXES] = {0}, blocks = 1;
    for (int j = axis; j <= k; j++) blocks *= j == axis ? rows : kernel->extent[j];
    for (intptr_t block = 0; block < blocks; block++) {
        move_rows(in, window, reg, extent[1], extent[0]);
        reg.at += extent[1] * reg.hop;
        for (int j = k; j >= axis; j--) { /* the odometer of the other axes */
            window.at += w->stride[j];
            if (j == axis || ++index[j] < kernel->extent[j]) break;
            window.at -= w->stride[j] * kernel->extent[j];
            index[j] = 0;
        }
    }
}

/* Move or add what is in a tile by index numbers. Rows of a window or register that do not follow each other are gone through two
   axes at a time. */
static void move_indexed(const vm_kernel *kernel, const vm_instr *in, const vm_window *w, vm_rows window, vm_rows numbers, vm_rows reg,
                         intptr_t rows) {
    const int last = kernel->n_axes - 1, axis = kernel->axis;
    if (!in->bent) {
        in->indexed(in, window, numbers, reg, 1, rows * kernel->inner);
        return;
    }
    const intptr_t count = last - 1 == axis ? rows : kernel->extent[last - 1];
    intptr_t index[VM_AXES] = {0}, blocks = 1;
    for (int j = axis; j < last - 1; j++) blocks *= j == axis ? rows : kernel->extent[j];
    window.hop = w->stride[last - 1];
    for (intptr_t block = 0; block < blocks; block++) {
        in->indexed(in, window, numbers, reg, count, kernel->extent[last]);
        numbers.at += count * numbers.hop;
        reg.at += count * reg.hop;
        for (int j = last - 2; j >= axis; j--) { /* the odometer of the other axes */
            window.at += w->stride[j];
            if (j == axis || ++index[j] < kernel->extent[j]) break;
            window.at -= w->stride[j] * kernel->extent[j];
            index[j] = 0;
        }
    }
}

/* Whether a thread is to stop what it does, which was so many point instructions since it asked last. */
static int stopping(vm_work *work, int thread, double done) {
    return thread ? atomic_load(&work->stopped) : vm_interrupted(work, done);
}

enum { PASS_ALL, PASS_KEEP, PASS_KEPT }; /* do all; keep what is put off; do that */

/* The same for what is put off: `point` is the first of the tile, of all points of the kernel. */
static void put_off(const vm_instr *in, int pass, char *kept, intptr_t point, vm_rows window, vm_rows numbers, vm_rows reg, intptr_t n) {
    vm_rows own_numbers = {kept + in->kept_numbers + point * in->number_item, in->number_item, 0};
    vm_rows own_values = {kept + in->kept_values + point * in->value_item, in->value_item, 0};
    if (pass == PASS_KEPT) {
        in->indexed(in, window, own_numbers, own_values, 1, n);
        return;
    }
    char *of_numbers[2] = {numbers.at, own_numbers.at}, *of_values[2] = {reg.at, own_values.at};
    const intptr_t number_steps[2] = {numbers.step, own_numbers.step}, value_steps[2] = {reg.step, own_values.step};
    in->keep_number(of_numbers, &n, number_steps, NULL);
    in->keep_value(of_values, &n, value_steps, NULL);
}

/* Run rows `first` to `last` - 1 of the first axis; a kernel of one point has one row. Not 0: the user wants to stop. */
static int run_rows(const vm_kernel *kernel, vm_work *work, int thread, char *const *base, char *sums, intptr_t first, intptr_t last,
                    int pass) {
    const vm_compiled compiled = pass == PASS_ALL ? atomic_load_explicit(&kernel->compiled, memory_order_acquire) : NULL;
    if (compiled) {
        compiled(base, kernel->sizes, kernel->numbers, kernel->calls, sums, first, last);
        const double points = kernel->n_axes ? (double)(kernel->points / kernel->extent[0]) : 1;
        return stopping(work, thread, points * (double)((last - first) * kernel->n_instrs));
    }
    char *scratch = work->scratch + thread * work->scratch_bytes;
    const int axis = kernel->axis;
    const intptr_t row = kernel->n_axes ? kernel->extent[kernel->n_axes - 1] : 1; /* points of a row, where there are several */
    char *ptr[kernel->n_registers + 1];
    intptr_t stride[kernel->n_registers + 1], hop[kernel->n_registers + 1];
    for (int r = 0; r < kernel->n_registers; r++) {
        ptr[r] = kernel->constant[r] ? kernel->constant[r] : scratch + kernel->home[r];
        stride[r] = kernel->stride[r];
        hop[r] = row * stride[r];
    }
    const intptr_t low = axis ? 0 : first, high = axis ? kernel->extent[axis] : last; /* of the axis that is cut */
    const intptr_t cuts = (high - low + kernel->rows - 1) / kernel->rows;
    intptr_t tiles = axis ? cuts * (last - first) : cuts;
    for (int k = 1; k < axis; k++) tiles *= kernel->extent[k];
    double done = 0; /* point instructions */
    for (intptr_t tile = 0; tile < tiles; tile++) {
        intptr_t begin = low + tile % cuts * kernel->rows, outer = tile / cuts;
        const intptr_t rows = begin + kernel->rows > high ? high - begin : kernel->rows;
        const intptr_t n = rows * kernel->inner;
        intptr_t index[VM_AXES];
        for (int k = axis - 1; k > 0; k--) {
            index[k] = outer % kernel->extent[k];
            outer /= kernel->extent[k];
        }
        index[0] = first + outer;
        intptr_t point = 0; /* the first one of the tile, of all points in C order */
        for (int k = 0; k < axis; k++) point = (point + index[k]) * kernel->extent[k + 1];
        point = (point + begin) * kernel->inner;
        for (const vm_instr *in = kernel->instrs, *end = in + kernel->n_instrs; in < end; in++) {
            char *args[VM_ARGS];
            intptr_t steps[VM_ARGS];
            if (pass == PASS_KEPT && !in->kept) continue;
            if (in->kind == VM_APPLY) {
                for (int k = 0; k < in->nargs; k++) {
                    args[k] = ptr[in->args[k]];
                    steps[k] = stride[in->args[k]];
                }
                if (!in->bent) {
                    in->loop(args, &n, steps, in->data);
                    continue;
                }
                for (intptr_t k = 0; k < rows; k++) {
                    in->loop(args, &row, steps, in->data);
                    for (int a = 0; a < in->nargs; a++) args[a] += hop[in->args[a]];
                }
                continue;
            }
            const vm_window *w = kernel->windows + in->window;
            const int r = in->args[in->nargs - 1];
            char *at = base[in->window];
            if (kernel->n_axes) {
                at += begin * w->stride[axis];
                for (int k = 0; k < axis; k++) at += index[k] * w->stride[k];
            }
            switch (in->kind) {
            case VM_SEE:
            case VM_AIM:
                ptr[r] = at;
                stride[r] = w->step;
                hop[r] = w->hop;
                break;
            case VM_FETCH:
            case VM_STORE:
            case VM_ADD:
            case VM_INDEXED:
                if (in->kind == VM_INDEXED) {
                    const int k = in->args[0];
                    const vm_rows window = {at, w->step, w->hop}, numbers = {ptr[k], stride[k], hop[k]}, reg = {ptr[r], stride[r], hop[r]};
                    if (pass != PASS_ALL && in->kept)
                        put_off(in, pass, work->kept, point, window, numbers, reg, n);
                    else
                        move_indexed(kernel, in, w, window, numbers, reg, rows);
                } else if (in->bent) {
                    move_bent(kernel, in, w, (vm_rows){at, w->step, w->hop}, (vm_rows){ptr[r], stride[r], hop[r]}, rows);
                } else if (in->kind == VM_FETCH) {
                    args[0] = at, args[1] = ptr[r], steps[0] = w->step, steps[1] = stride[r];
                    in->loop(args, &n, steps, in->data);
                } else if (in->kind == VM_STORE) {
                    args[0] = ptr[r], args[1] = at, steps[0] = stride[r], steps[1] = w->step;
                    in->loop(args, &n, steps, in->data);
                } else {
                    add(in, at, w->step, ptr[r], stride[r], n);
                }
                break;
            case VM_SUM:
                if (!in->bent) {
                    add(in, sums + in->number * NUMBER, 0, ptr[r], stride[r], n);
                    break;
                }
                for (intptr_t k = 0; k < rows; k++) add(in, sums + in->number * NUMBER, 0, ptr[r] + k * hop[r], stride[r], row);
                break;
            }
        }
        done += (double)n * kernel->n_instrs;
        if (done > LOOK_EVERY) {
            if (stopping(work, thread, done)) return 1;
            done = 0;
        }
    }
    return stopping(work, thread, done);
}

/* From now on the function runs the kernel, in runs that are under way too: it does the same. */
void vm_attach(vm_kernel *kernel, vm_compiled function) { atomic_store_explicit(&kernel->compiled, function, memory_order_release); }

typedef struct {
    const vm_kernel *kernel;
    vm_work *work;
    char *const *base;
    intptr_t first, by; /* of the chunks that are run */
    /* Of a kernel that puts off: chunks that have kept theirs, by bits; whether a thread is at what is put off; the next chunk of that. */
    atomic_uint_least64_t ready;
    atomic_int busy;
    atomic_intptr_t next;
} span;

static int run_rows_of(const span *s, intptr_t chunk, int thread, int pass) {
    const vm_kernel *kernel = s->kernel;
    const intptr_t first = chunk * kernel->chunk, all = kernel->n_axes ? kernel->extent[0] : 1;
    const intptr_t last = first + kernel->chunk < all ? first + kernel->chunk : all;
    return run_rows(kernel, s->work, thread, s->base, s->work->sums + chunk * kernel->n_sums * NUMBER, first, last, pass);
}

static int run_chunk(void *context, intptr_t part, int thread) {
    const span *s = context;
    const vm_kernel *kernel = s->kernel;
    const intptr_t chunk = s->first + part * s->by;
    memset(s->work->sums + chunk * kernel->n_sums * NUMBER, 0, (size_t)kernel->n_sums * NUMBER);
    return run_rows_of(s, chunk, thread, PASS_ALL);
}

static int is_ready(span *s) {
    const intptr_t next = atomic_load(&s->next);
    return next < s->kernel->n_chunks && (atomic_load(&s->ready) >> next & 1);
}

/* Run a chunk but for what is put off; then do that for all chunks whose turn it is, unless another thread is at it. Nobody waits: who
   is at it looks for more before it leaves, and once more when it has left. */
static int run_deferred(void *context, intptr_t chunk, int thread) {
    span *s = context;
    memset(s->work->sums + chunk * s->kernel->n_sums * NUMBER, 0, (size_t)s->kernel->n_sums * NUMBER);
    if (run_rows_of(s, chunk, thread, PASS_KEEP)) return 1;
    atomic_fetch_or(&s->ready, (uint_least64_t)1 << chunk);
    while (is_ready(s) && !atomic_exchange(&s->busy, 1)) {
        int stop = 0;
        for (; !stop && is_ready(s); atomic_fetch_add(&s->next, 1)) stop = run_rows_of(s, atomic_load(&s->next), thread, PASS_KEPT);
        atomic_store(&s->busy, 0);
        if (stop) return 1;
    }
    return 0;
}

/* Add `n` sums of parts, which begin at `sums` and are `apart` from each other, one after the other. */
static void add_sums(const vm_kernel *kernel, char *const *base, char *sums, intptr_t n, intptr_t apart) {
    for (const vm_instr *in = kernel->instrs, *end = in + kernel->n_instrs; in < end; in++)
        if (in->kind == VM_SUM)
            for (intptr_t k = 0; k < n; k++)
                add(in, base[in->window], 0, sums + (k * apart + in->number) * NUMBER, 0, 1);
}

static int run_kernel(const vm_step *step, vm_work *work) {
    const vm_kernel *kernel = step->kernel;
    char *base[kernel->n_windows + 1];
    for (int k = 0; k < kernel->n_windows; k++)
        if (vm_place(kernel->windows + k, step->number, k, work, base + k)) return OUT_OF_BOUNDS;
    if (work->high) {
        memset(work->sums, 0, (size_t)kernel->n_sums * NUMBER);
        if (run_rows(kernel, work, 0, base, work->sums, work->low, work->high, PASS_ALL)) return RAISED;
        if (kernel->n_sums) add_sums(kernel, base, work->sums, 1, 0);
        return DONE;
    }
    span all = {.kernel = kernel, .work = work, .base = base, .by = 1}, even = {.kernel = kernel, .work = work, .base = base, .by = 2};
    span odd = {.kernel = kernel, .work = work, .base = base, .first = 1, .by = 2};
    atomic_init(&all.ready, 0);
    atomic_init(&all.busy, 0);
    atomic_init(&all.next, 0);
    /* Compiled code does all in order, some three times as fast. */
    const int puts_off = kernel->order == VM_DEFERRED && kernel->n_chunks > 1 && work->threads > (atomic_load(&kernel->compiled) ? 3 : 1);
    if (puts_off) {
        if (parallel_for(kernel->n_chunks, work->threads, run_deferred, &all)) return RAISED;
    } else if (kernel->order == VM_ALTERNATING) {
        if (parallel_for((kernel->n_chunks + 1) / 2, work->threads, run_chunk, &even)) return RAISED;
        if (parallel_for(kernel->n_chunks / 2, work->threads, run_chunk, &odd)) return RAISED;
    } else {
        const int threads = kernel->order == VM_ANY_ORDER ? work->threads : 1;
        if (parallel_for(kernel->n_chunks, threads, run_chunk, &all)) return RAISED;
    }
    if (kernel->n_sums) add_sums(kernel, base, work->sums, kernel->n_chunks, kernel->n_sums);
    return DONE;
}

/* ---- strips ---------------------------------------------------------------------------------------------------------------- */

typedef struct {
    const vm_strips *strips;
    vm_work *work;
    char *const *base;
} group;

/* Run the rows of a member that are from `low` to `high` in the group. */
static int run_member(char *const *base, const vm_member *m, intptr_t low, intptr_t high, vm_work *work, int thread, char *sums) {
    const intptr_t rows = m->kernel->extent[0];
    low = low < m->first ? 0 : low - m->first;
    high = high > m->first + rows ? rows : high - m->first;
    if (low >= high) return 0;
    vm_time *time = thread || !work->times ? NULL : work->times + m->number;
    if (time) time->seconds -= seconds();
    const int stop = run_rows(m->kernel, work, thread, base + m->first_window, sums + m->first_sum * NUMBER, low, high, PASS_ALL);
    if (time) time->seconds += seconds(), time->runs++;
    return stop;
}

enum { RING_NEW, RING_IN_USE, RING_NOT_USED };

/* Copy what is wanted of a slot from byte `from` on, between its own memory and the ring. */
static void copy_live(const vm_ring *r, char *slot, char *ring, intptr_t from, int into_ring) {
    intptr_t low = from < 0 ? 0 : from, high = from + r->live > r->nbytes ? r->nbytes : from + r->live;
    if (low >= high) return;
    if (into_ring)
        memcpy(ring + (low - from), slot + low, (size_t)(high - low));
    else
        memcpy(slot + low, ring + (low - from), (size_t)(high - low));
}

/* Let the windows of a ring be where its rows are during the strip at row `at`: in the ring, or, near the bounds of the band, where
   what is left out there will look for them, in the slot itself. */
static void turn_ring(const group *g, const vm_ring *r, char **base, char *ring, intptr_t at, intptr_t band, int *state, intptr_t *pos) {
    const vm_strips *s = g->strips;
    const intptr_t from = at * r->pitch + r->low, to = (at + s->height - 1) * r->pitch + r->high;
    char *const slot = g->work->slots[r->slot];
    int near = 0;
    for (intptr_t k = band > 0 ? band : 1; k <= band + 1 && k < s->n_bands; k++)
        near |= from < s->bounds[k] * r->pitch + r->gap_high && s->bounds[k] * r->pitch + r->gap_low < to;
    if (near) {
        if (*state == RING_IN_USE) copy_live(r, slot, ring + *pos, from, 0);
        *state = RING_NOT_USED;
    } else {
        if (*state != RING_IN_USE) *pos = 0;
        if (*state == RING_NOT_USED) copy_live(r, slot, ring, from, 1);
        *state = RING_IN_USE;
    }
    const intptr_t shift = near ? 0 : (intptr_t)ring + *pos - from - (intptr_t)slot;
    for (int k = 0; k < r->n_windows; k++) base[r->windows[k]] = (char *)((intptr_t)g->base[r->windows[k]] + shift);
}

static void advance_ring(const vm_strips *s, const vm_ring *r, char *ring, intptr_t *pos) {
    *pos += s->height * r->pitch;
    if (*pos + r->live + s->height * r->pitch > r->size) {
        memmove(ring, ring + *pos, (size_t)r->live);
        *pos = 0;
    }
}

static char *cleared_sums(const group *g, intptr_t part) {
    char *sums = g->work->sums + part * g->strips->n_sums * NUMBER;
    memset(sums, 0, (size_t)g->strips->n_sums * NUMBER);
    return sums;
}

static int run_band(void *context, intptr_t band, int thread) {
    const group *g = context;
    const vm_strips *s = g->strips;
    char *sums = cleared_sums(g, band), *base[s->n_windows + 1];
    memcpy(base, g->base, s->n_windows * sizeof *base);
    char *const rings = g->work->scratch + (thread + 1) * g->work->scratch_bytes;
    int state[s->n_rings + 1];
    intptr_t pos[s->n_rings + 1];
    for (int k = 0; k < s->n_rings; k++) state[k] = RING_NEW;
    const int first = band == 0, last = band == s->n_bands - 1;
    for (intptr_t at = first ? s->low : s->bounds[band]; at < (last ? s->high : s->bounds[band + 1] + s->lag); at += s->height) {
        for (int k = 0; k < s->n_rings; k++)
            turn_ring(g, s->rings + k, base, rings - s->rings[k].offset, at, band, state + k, pos + k);
        for (const vm_member *m = s->members, *end = m + s->n; m < end; m++) {
            const intptr_t begin = first ? INTPTR_MIN / 2 : s->bounds[band] + m->before;
            const intptr_t stop = last ? INTPTR_MAX / 2 : s->bounds[band + 1] - m->behind;
            const intptr_t low = at - m->lag, high = low + s->height;
            if (run_member(base, m, low < begin ? begin : low, high > stop ? stop : high, g->work, thread, sums)) return 1;
        }
        for (int k = 0; k < s->n_rings; k++)
            if (state[k] == RING_IN_USE) advance_ring(s, s->rings + k, rings - s->rings[k].offset, pos + k);
    }
    return 0;
}

/* What two bands that are neighbours have left out. */
static int run_gap(void *context, intptr_t gap, int thread) {
    const group *g = context;
    const vm_strips *s = g->strips;
    char *sums = cleared_sums(g, s->n_bands + gap);
    for (const vm_member *m = s->members, *end = m + s->n; m < end; m++)
        if (run_member(g->base, m, s->bounds[gap + 1] - m->behind, s->bounds[gap + 1] + m->before, g->work, thread, sums)) return 1;
    return 0;
}

static int run_strips(const vm_strips *s, vm_work *work) {
    char *base[s->n_windows + 1];
    for (const vm_member *m = s->members, *end = m + s->n; m < end; m++)
        for (int k = 0; k < m->kernel->n_windows; k++)
            if (vm_place(m->kernel->windows + k, m->number, k, work, base + m->first_window + k)) return OUT_OF_BOUNDS;
    group g = {s, work, base};
    if (parallel_for(s->n_bands, work->threads, run_band, &g)) return RAISED;
    if (parallel_for(s->n_bands - 1, work->threads, run_gap, &g)) return RAISED;
    for (const vm_member *m = s->members, *end = m + s->n; m < end; m++)
        if (m->kernel->n_sums)
            add_sums(m->kernel, base + m->first_window, work->sums + m->first_sum * NUMBER, 2 * s->n_bands - 1, s->n_sums);
    return DONE;
}

/* ---- blocks ---------------------------------------------------------------------------------------------------------------- */

/* The first slot of each pair gets the memory of the second, all at once. */
static void turn(const int *pairs, int n, vm_work *work) {
    for (int k = 0; k < n; k++) work->turned[k] = (intptr_t)work->slots[pairs[2 * k + 1]];
    for (int k = 0; k < n; k++) work->slots[pairs[2 * k]] = (char *)work->turned[k];
}

static int run_trips(const vm_repeat *repeat, vm_work *work) {
    int64_t trip = repeat->first;
    for (intptr_t k = 0; k < repeat->trips; k++, trip += repeat->by) {
        memcpy(work->slots[repeat->counter], &trip, sizeof trip);
        int status = vm_run(repeat->body, work);
        if (status) return status;
        turn(repeat->turning, repeat->n_turning, work);
        if (vm_interrupted(work, TRIP)) return RAISED;
    }
    return DONE;
}

static int run_repeat(const vm_repeat *repeat, vm_work *work) {
    if (!repeat->height) return run_trips(repeat, work);
    int status = DONE;
    char *before[repeat->n_turning + 1];
    for (int k = 0; k < repeat->n_turning; k++) before[k] = work->slots[repeat->turning[2 * k]];
    for (work->low = 0; !status && work->low < repeat->rows; work->low = work->high) {
        work->high = work->low + repeat->height < repeat->rows ? work->low + repeat->height : repeat->rows;
        for (int k = 0; k < repeat->n_turning; k++) work->slots[repeat->turning[2 * k]] = before[k];
        status = run_trips(repeat, work);
    }
    work->high = 0;
    return status;
}

static int run_choose(const vm_step *step, vm_work *work) {
    const vm_choose *choose = step->choose;
    intptr_t which = choose->known;
    if (choose->which.slot >= 0) {
        char *at;
        if (vm_place(&choose->which, step->number, 0, work, &at)) return OUT_OF_BOUNDS;
        which = vm_integer(at, choose->kind);
    }
    if (which < 0) which += choose->n_bodies;
    if (which < 0 || which >= choose->n_bodies) {
        work->failed_step = step->number;
        work->failed_index = -1;
        work->failed_value = which;
        return OUT_OF_BOUNDS;
    }
    int status = vm_run(choose->bodies[which], work);
    if (status) return status;
    turn(choose->turning[which], choose->n_turning[which], work);
    return DONE;
}

static int run_known(const vm_step *step, vm_work *work) {
    switch (step->kind) {
    case VM_KERNEL: return run_kernel(step, work);
    case VM_SCALARS: return vm_run_scalars(step->scalars, step->number, work);
    case VM_CALL: return work->call(work->owner, step->number) ? RAISED : DONE;
    case VM_FILL: memset(work->slots[step->slot], 0, (size_t)step->nbytes); return DONE;
    case VM_STRIPS: return run_strips(step->strips, work);
    case VM_BOUNDS: return vm_check_bounds(step->bounds, step->number, work);
    case VM_REPEAT: return run_repeat(step->repeat, work);
    case VM_CHOOSE: return run_choose(step, work);
    }
    return DONE;
}

/* ---- steps in compiled code ------------------------------------------------------------------------------------------------ */

static int run_step(const void *step, vm_work *work);

static int look_at_guard(vm_work *work, int step, int guard, intptr_t at) {
    work->failed_index = guard;
    work->failed_value = at;
    return work->call(work->owner, step);
}

static int fail(vm_work *work, int step, int window, int index, intptr_t value) {
    work->failed_step = step;
    work->failed_window = window;
    work->failed_index = index;
    work->failed_value = value;
    return OUT_OF_BOUNDS;
}

static const tools_t TOOLS = {run_step, vm_interrupted, look_at_guard, fail};

static int run_compiled(const vm_unit *unit, vm_work *work) {
    const frame_t frame = {work->slots, work, &TOOLS, unit->sizes, unit->numbers, unit->calls, unit->steps};
    return unit->function(&frame);
}

/* From now on the unit runs the step: it does the same. */
void vm_attach_step(vm_step *step, vm_unit *unit) { atomic_store_explicit(&step->compiled, unit, memory_order_release); }

static int run_step(const void *which, vm_work *work) {
    const vm_step *step = which;
    const vm_unit *unit = atomic_load_explicit(&step->compiled, memory_order_acquire);
    const double begin = work->times ? seconds() : 0;
    const int status = unit ? run_compiled(unit, work) : run_known(step, work);
    if (!status && work->times) {
        work->times[step->number].seconds += seconds() - begin;
        work->times[step->number].runs++;
    }
    return status;
}

int vm_run(const vm_block *block, vm_work *work) {
    for (const vm_step *step = block->steps, *end = step + block->n_steps; step < end; step++) {
        const int status = run_step(step, work);
        if (status) return status;
    }
    return DONE;
}
