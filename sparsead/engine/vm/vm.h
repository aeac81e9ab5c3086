/* The tiled engine: kernels run tile by tile, instruction by instruction, each by one inner loop over the points of the tile.

   What is here is filled in by _vm.pyx from a schedule (sparsead/schedule/form.py), which says what the parts mean; nothing here
   allocates, and nothing needs Python but what is called back. */

#ifndef SPARSEAD_VM_H
#define SPARSEAD_VM_H

#include "../native/abi.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define VM_AXES 32  /* NumPy's arrays have at most 64, joined ones seldom more than 3 */
#define VM_ARGS 16

typedef loop_t vm_loop;

typedef struct {
    int slot, kind; /* kind: index into the table of integer types */
    intptr_t offset, step, low, high;
} vm_index;

typedef struct {
    int slot, n_index;
    intptr_t offset, step, hop; /* step: from point to point of a row; hop: to the next row of a tile */
    vm_index *index;
    intptr_t stride[VM_AXES];
} vm_window;

enum { VM_SEE, VM_FETCH, VM_AIM, VM_STORE, VM_ADD, VM_SUM, VM_APPLY, VM_INDEXED };
/* SEE: a register is a window. FETCH: it is copied from one. AIM: what is computed next into a register goes to a window.
   ADD: a register is added to a window. SUM: it is added up into one number. INDEXED: one of these by index numbers, which are
   the first register. */

/* Rows of points: `step` from point to point, `hop` from row to row. */
typedef struct {
    char *at;
    intptr_t step, hop;
} vm_rows;

/* The same as a loop for each of `rows` rows of `n` points, from which and to which; no row is longer than VM_SHORT. */
typedef void (*vm_rows_loop)(const vm_rows *from, const vm_rows *to, intptr_t rows, intptr_t n);
#define VM_SHORT 64

enum { VM_ANY_ORDER, VM_ALTERNATING, VM_IN_ORDER, VM_DEFERRED };

typedef struct vm_instr vm_instr;

/* What moves rows of `n` points between a window and a register, or adds them there, by index numbers. */
typedef void (*vm_indexed)(const vm_instr *in, vm_rows window, vm_rows numbers, vm_rows reg, intptr_t rows, intptr_t n);

struct vm_instr {
    int kind, window, nargs;
    int args[VM_ARGS];
    int bent; /* some register of it is a window whose rows do not follow each other */
    vm_loop loop;
    void *data;
    vm_rows_loop short_rows; /* of what moves between a window and a register; NULL: there is none */
    vm_loop sum; /* adds all points of a register to one number, as NumPy's loop of `add` does where nothing moves but the second operand */
    void *sum_data;
    int number; /* of the sum among those of the kernel */
    vm_indexed indexed;
    intptr_t by, count; /* bytes for each unit of an index number; what is added to negative ones */
    int kept; /* whether it is put off, in a kernel whose order is DEFERRED: numbers and values are kept until then */
    intptr_t kept_numbers, kept_values, number_item, value_item; /* where in what a kernel keeps, for all its points; bytes of one */
    vm_loop keep_number, keep_value;
};

/* A kernel in compiled code (sparsead/engine/native): rows `first` to `last` - 1 of the first axis. */
typedef void (*vm_compiled)(char *const *base, const intptr_t *sizes, char *const *numbers, const call_t *calls, char *sums,
                            intptr_t first, intptr_t last);

typedef struct {
    int n_axes, axis, n_instrs, n_windows, n_registers;
    intptr_t extent[VM_AXES];
    intptr_t rows, inner, points;
    /* Chunks of rows of the first axis are what threads take, the same for any number of threads. ALTERNATING: chunks that are neighbours add to the
       same places, so that even ones come first. IN_ORDER: one after the other. DEFERRED: on any thread, but for what is stored or added by
       index numbers, which is put off until all chunks before have done it. */
    intptr_t chunk, n_chunks;
    int order, n_sums;
    vm_instr *instrs;
    vm_window *windows;
    char **constant;   /* by register: the number, or NULL */
    intptr_t *home;    /* by register: byte offset of its memory, or -1 */
    intptr_t *stride;  /* by register: between points */
    _Atomic(vm_compiled) compiled; /* NULL: there is none, or not yet */
    intptr_t *sizes;               /* what it is given */
    char **numbers;
    call_t *calls;
} vm_kernel;

/* A kernel of several that are run together (sparsead/schedule/strips.py). */
typedef struct {
    vm_kernel *kernel;
    int number, first_window, first_sum;
    intptr_t first, lag, before, behind;
} vm_member;

/* A slot of which some rows are kept, in memory of the thread; `live` bytes are wanted after a strip. */
typedef struct {
    int slot, n_windows, *windows; /* among those of all members */
    intptr_t pitch, low, high, gap_low, gap_high;
    intptr_t nbytes, live, offset, size; /* of the slot; of the ring, from the end of the thread's scratch memory */
} vm_ring;

typedef struct {
    int n, n_windows, n_sums, n_rings;
    intptr_t height, low, high, lag; /* of a strip; where the first begins and the last ends; the greatest of members */
    intptr_t n_bands, *bounds, ring_bytes;
    vm_member *members;
    vm_ring *rings;
} vm_strips;

typedef struct vm_block vm_block;

typedef struct {
    int counter, n_turning;
    intptr_t trips, first, by;
    intptr_t rows, height; /* height: all trips are run for so many of the rows of its kernels at a time; 0: for all */
    int *turning; /* pairs of slots */
    vm_block *body;
} vm_repeat;

typedef struct {
    int n_bodies, *n_turning, **turning;
    vm_block **bodies;
    vm_window which;
    int kind;
    intptr_t known; /* the body to run if `which` is no memory (slot -1) */
} vm_choose;

/* What instructions on single numbers do. Those from ADDS to ACCUMULATES are for doubles. */
enum {
    VM_ADDS, VM_SUBTRACTS, VM_MULTIPLIES, VM_DIVIDES, VM_STRONG, VM_NEGATES, VM_SQUARES, VM_ROOTS, VM_INVERTS, VM_MODULUS, VM_COPIES,
    VM_LESS, VM_LESS_EQUAL, VM_GREATER, VM_GREATER_EQUAL, VM_EQUAL, VM_NOT_EQUAL, VM_SELECTS, VM_LOADS, VM_STORES, VM_ACCUMULATES,
    VM_LOADS_ANY, VM_STORES_ANY, VM_ACCUMULATES_ANY, VM_LOADS_AT, VM_STORES_AT, VM_ACCUMULATES_AT, VM_INDEXES, VM_GUARDS, VM_APPLIES,
    VM_PAUSES, VM_ENDS
};

typedef struct {
    int op, nargs;
    int item, kind; /* bytes of the number; which integer it is, or -1 */
    vm_loop loop;
    void *data;
    intptr_t steps[VM_ARGS];
} vm_form;

typedef struct {
    intptr_t step, low, high;
} vm_limits;

#define VM_PAUSE 8192 /* instructions between two pauses */

/* See `Scalars` in sparsead/schedule/form.py. */
typedef struct {
    const int32_t *code;
    vm_form *forms;
    const char *numbers;
    intptr_t n_numbers;
    int registers, rest; /* rest: instructions behind the last pause */
    vm_limits *indices;
    double *expected; /* by guards */
} vm_scalars;

/* Whether index numbers in a window are in range. */
typedef struct {
    vm_window window;
    int n_axes, wide; /* wide: numbers have 8 bytes, else 4 */
    intptr_t extent[VM_AXES], count, chunk;
} vm_bounds;

typedef work_t vm_work;

typedef struct {
    int (*function)(const frame_t *frame);
    intptr_t *sizes;
    char **numbers;
    call_t *calls;
    const void **steps;
} vm_unit;

enum { VM_KERNEL, VM_SCALARS, VM_CALL, VM_FILL, VM_REPEAT, VM_CHOOSE, VM_STRIPS, VM_BOUNDS };

typedef struct {
    int kind, number; /* number: of the step, for what is called back */
    int slot;
    intptr_t nbytes;
    vm_kernel *kernel;
    vm_scalars *scalars;
    vm_repeat *repeat;
    vm_choose *choose;
    vm_strips *strips;
    vm_bounds *bounds;
    _Atomic(vm_unit *) compiled; /* NULL: it is not, or not yet */
} vm_step;

struct vm_block {
    int n_steps;
    vm_step *steps;
};

typedef struct {
    double seconds, runs;
} vm_time;

struct work {
    char **slots;
    char *scratch;
    intptr_t scratch_bytes; /* of each thread */
    char *sums;             /* NUMBER bytes for each sum of each chunk */
    char *kept;             /* what is put off; none where one thread does all */
    int threads;
    intptr_t low, high; /* rows of kernels that are run, if high is not 0 */
    intptr_t *turned; /* room for as many pointers as change hands at once */
    double until_look; /* point instructions until the caller's thread looks at the clock */
    double checked;    /* when it last asked whether the user wants to stop, in seconds of the clock; 0: not yet in this run */
    atomic_int stopped; /* the user does */
    vm_time *times;     /* by number of step, added up; NULL: no clock is taken */
    int (*call)(void *owner, int number); /* not 0: an exception is set */
    void *owner;
    int failed_step, failed_window, failed_index; /* what was out of bounds; index -1: the number of a body */
    intptr_t failed_value;
};


int vm_run(const vm_block *block, vm_work *work);
void vm_attach(vm_kernel *kernel, vm_compiled function);
void vm_attach_step(vm_step *step, vm_unit *unit);
int vm_interrupted(vm_work *work, double done); /* whether the user wants to stop; asked after so many point instructions */
int vm_run_scalars(const vm_scalars *program, int step, vm_work *work);
int vm_place(const vm_window *w, int number, int which, vm_work *work, char **base); /* -1: an index is out of bounds */
int vm_check_bounds(const vm_bounds *bounds, int number, vm_work *work);
vm_indexed vm_gather(int item, int wide);
vm_indexed vm_scatter(int item, int wide);
vm_indexed vm_scatter_add(char type, int wide);
vm_loop vm_cast(char from, char to);      /* NULL if there is none */
vm_loop vm_copy(int item);
vm_loop vm_copy_past(int item); /* past the caches, where the machine can do that */
vm_loop vm_select(int item);
vm_rows_loop vm_copy_rows(int item); /* NULL if there is none */
vm_rows_loop vm_add_rows(char type); /* the same */
intptr_t vm_integer(const char *at, int kind);
int vm_integer_kind(char type); /* -1: no integer */

#endif
