/* ---- what runs the kernels: the part of the tiled engine that needs no threads and no Python ------------------------------ */

typedef void (*kernel_t)(char *const *base, const intptr_t *sizes, char *const *numbers, const call_t *calls, char *sums,
                         intptr_t first, intptr_t last);

typedef struct {
    int slot;
    char type; /* of the integer: NumPy's dtype.char */
    intptr_t offset, step, low, high;
} index_t;

typedef struct {
    int slot;
    intptr_t offset;
    int n;
    const index_t *indices;
} window_t;

typedef struct {
    int window, call;
} sum_t;

typedef struct {
    kernel_t run;
    const intptr_t *sizes;
    char *const *numbers;
    const call_t *calls;
    int n_windows;
    const window_t *windows;
    int n_sums;
    const sum_t *sums;
    intptr_t rows, chunk;
    int alternating; /* even chunks before odd ones */
} kernel_step_t;

/* Rows from `first` on, `lag` rows behind the strip that is run; `before` and `behind` wait until all bands are through. */
typedef struct {
    const kernel_step_t *kernel;
    intptr_t first, lag, before, behind;
} member_t;

typedef struct {
    int n, n_bands, n_sums, n_windows;
    const member_t *members;
    const intptr_t *bounds;
    intptr_t height, low, high, lag;
} strips_t;

typedef struct {
    int (*run)(work_t *work);
} step_t;

struct work {
    char **slots;
    char *sums;         /* NUMBER bytes for each sum of each chunk */
    intptr_t low, high; /* rows of kernels that are run, if high is not 0 */
    int failed;         /* the guard that does not hold, from 1 on */
};

static intptr_t integer(const char *at, char type)
{
    switch (type) {
    case '?': return *(const uint8_t *)at;
    case 'b': return *(const signed char *)at;
    case 'B': return *(const unsigned char *)at;
    case 'h': return *(const short *)at;
    case 'H': return *(const unsigned short *)at;
    case 'i': return *(const int *)at;
    case 'I': return (intptr_t)*(const unsigned *)at;
    case 'l': return *(const long *)at;
    case 'L': return (intptr_t)*(const unsigned long *)at;
    case 'q': return (intptr_t)*(const long long *)at;
    default: return (intptr_t)*(const unsigned long long *)at;
    }
}

/* Where a window is now. */
static int place(const window_t *window, const work_t *work, char **base)
{
    *base = work->slots[window->slot] + window->offset;
    for (int k = 0; k < window->n; k++) {
        const index_t *index = window->indices + k;
        const intptr_t value = integer(work->slots[index->slot] + index->offset, index->type);
        if (value < index->low || value >= index->high)
            return OUT_OF_BOUNDS;
        *base += value * index->step;
    }
    return DONE;
}

static void clear_sums(const kernel_step_t *k, char *sums)
{
    if (k->n_sums)
        memset(sums, 0, (size_t)k->n_sums * NUMBER);
}

/* Add `n` sums of parts, which are `apart` from each other, one after the other. */
static void add_sums(const kernel_step_t *k, char *const *base, char *sums, intptr_t n, intptr_t apart)
{
    for (int j = 0; j < k->n_sums; j++)
        for (intptr_t part = 0; part < n; part++)
            add(k->calls + k->sums[j].call, base[k->sums[j].window], sums + (part * apart + j) * NUMBER, 0, 1);
}

static int run_kernel(const kernel_step_t *k, work_t *work)
{
    char *base[k->n_windows + 1];
    for (int j = 0; j < k->n_windows; j++)
        if (k->windows[j].slot >= 0 && place(k->windows + j, work, base + j))
            return OUT_OF_BOUNDS;
    if (work->high) {
        clear_sums(k, work->sums);
        k->run(base, k->sizes, k->numbers, k->calls, work->sums, work->low, work->high);
        add_sums(k, base, work->sums, 1, 0);
        return DONE;
    }
    const intptr_t chunks = (k->rows + k->chunk - 1) / k->chunk, by = k->alternating ? 2 : 1;
    for (intptr_t begin = 0; begin < by; begin++)
        for (intptr_t c = begin; c < chunks; c += by) {
            const intptr_t first = c * k->chunk, last = first + k->chunk < k->rows ? first + k->chunk : k->rows;
            char *sums = work->sums + c * k->n_sums * NUMBER;
            clear_sums(k, sums);
            k->run(base, k->sizes, k->numbers, k->calls, sums, first, last);
        }
    add_sums(k, base, work->sums, chunks, k->n_sums);
    return DONE;
}

/* The rows of a member that are from `low` to `high` in the group. */
static void run_member(const member_t *m, char *const *base, char *sums, intptr_t low, intptr_t high)
{
    const kernel_step_t *k = m->kernel;
    low = low < m->first ? 0 : low - m->first;
    high = high > m->first + k->rows ? k->rows : high - m->first;
    if (low < high)
        k->run(base, k->sizes, k->numbers, k->calls, sums, low, high);
}

static void run_band(const strips_t *s, char *const *base, char *sums, int band)
{
    const int first = band == 0, last = band == s->n_bands - 1;
    const intptr_t end = last ? s->high : s->bounds[band + 1] + s->lag;
    for (intptr_t at = first ? s->low : s->bounds[band]; at < end; at += s->height) {
        int windows = 0, n_sums = 0;
        for (const member_t *m = s->members; m < s->members + s->n; m++) {
            const intptr_t begin = first ? INTPTR_MIN / 2 : s->bounds[band] + m->before;
            const intptr_t stop = last ? INTPTR_MAX / 2 : s->bounds[band + 1] - m->behind;
            const intptr_t low = at - m->lag, high = low + s->height;
            run_member(m, base + windows, sums + n_sums * NUMBER, low < begin ? begin : low, high > stop ? stop : high);
            windows += m->kernel->n_windows;
            n_sums += m->kernel->n_sums;
        }
    }
}

/* What two bands that are neighbours have left out. */
static void run_gap(const strips_t *s, char *const *base, char *sums, int gap)
{
    const intptr_t bound = s->bounds[gap + 1];
    int windows = 0, n_sums = 0;
    for (const member_t *m = s->members; m < s->members + s->n; m++) {
        run_member(m, base + windows, sums + n_sums * NUMBER, bound - m->behind, bound + m->before);
        windows += m->kernel->n_windows;
        n_sums += m->kernel->n_sums;
    }
}

/* Kernels that are run together, strip of rows by strip of rows. */
static int run_strips(const strips_t *s, work_t *work)
{
    char *base[s->n_windows + 1], **at = base;
    for (const member_t *m = s->members; m < s->members + s->n; m++)
        for (int k = 0; k < m->kernel->n_windows; k++, at++)
            if (m->kernel->windows[k].slot >= 0 && place(m->kernel->windows + k, work, at))
                return OUT_OF_BOUNDS;
    const int parts = 2 * s->n_bands - 1;
    if (s->n_sums)
        memset(work->sums, 0, (size_t)(parts * s->n_sums) * NUMBER);
    for (int band = 0; band < s->n_bands; band++)
        run_band(s, base, work->sums + band * s->n_sums * NUMBER, band);
    for (int gap = 0; gap < s->n_bands - 1; gap++)
        run_gap(s, base, work->sums + (s->n_bands + gap) * s->n_sums * NUMBER, gap);
    int windows = 0, n_sums = 0;
    for (const member_t *m = s->members; m < s->members + s->n; m++) {
        add_sums(m->kernel, base + windows, work->sums + n_sums * NUMBER, parts, s->n_sums);
        windows += m->kernel->n_windows;
        n_sums += m->kernel->n_sums;
    }
    return DONE;
}

/* The first slot of each pair gets the memory of the second, all at once. */
static void turn(const int *pairs, int n, work_t *work)
{
    char *turned[n + 1];
    for (int k = 0; k < n; k++)
        turned[k] = work->slots[pairs[2 * k + 1]];
    for (int k = 0; k < n; k++)
        work->slots[pairs[2 * k]] = turned[k];
}

/* What functions for loops and runs of single numbers ask for. */
static int run_step(const void *step, work_t *work)
{
    return ((const step_t *)step)->run(work);
}

static int look(work_t *work, double done)
{
    (void)work, (void)done;
    return 0;
}

static int fail(work_t *work, int step, int window, int index, intptr_t value)
{
    (void)work, (void)step, (void)window, (void)index, (void)value;
    return OUT_OF_BOUNDS;
}
