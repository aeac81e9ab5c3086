/* Runs of ops on single numbers: a switch over the forms of instructions, each of which is its number and a few words.

   Registers are counted in eights of bytes. What is not arithmetic on doubles goes through the inner loops of kernels, one point
   at a time: their bits do not depend on the number of points. */

#include "vm.h"

#include <math.h>
#include <string.h>

#define WORTH 10.0 /* point instructions that an instruction counts as */

static inline double number(const char *at) {
    double x;
    memcpy(&x, at, sizeof x);
    return x;
}

static inline void put(char *at, double x) { memcpy(at, &x, sizeof x); }

static inline intptr_t bytes(const char *at) {
    int64_t x;
    memcpy(&x, at, sizeof x);
    return (intptr_t)x;
}

static inline intptr_t offset(const int32_t *words) { return (intptr_t)(((int64_t)words[1] << 32) + (uint32_t)words[0]); }

static inline void move(char *to, const char *from, int item) {
    switch (item) {
    case 1: *to = *from; break;
    case 2: memcpy(to, from, 2); break;
    case 4: memcpy(to, from, 4); break;
    case 8: memcpy(to, from, 8); break;
    default: memmove(to, from, (size_t)item);
    }
}

/* x += y, through the loop of `add`. */
static void accumulate(const vm_form *form, char *x, char *y) {
    const intptr_t one = 1, steps[3] = {form->item, form->item, form->item};
    char *args[3] = {x, y, x};
    form->loop(args, &one, steps, form->data);
}

static int in_bounds(const vm_limits *index, intptr_t value, int row, int step, vm_work *work) {
    if (value >= index->low && value < index->high) return 1;
    work->failed_step = step;
    work->failed_index = row;
    work->failed_value = value;
    return 0;
}

/* Whether a guard sees the number that the trace saw. */
static int as_traced(const vm_form *form, const char *at, double expected) {
    if (form->kind >= 0) return (double)vm_integer(at, form->kind) == expected;
    const double x = number(at);
    return x == expected || (x != x && expected != expected);
}

int vm_run_scalars(const vm_scalars *program, int step, vm_work *work) {
    static const intptr_t one = 1;
    char **slots = work->slots, *registers = slots[program->registers];
    const vm_form *forms = program->forms;
    memcpy(registers, program->numbers, (size_t)program->n_numbers);
    if (vm_interrupted(work, WORTH * (double)program->rest)) return RAISED;

#define AT(k) (registers + 8 * (intptr_t)word[k])
#define X number(AT(1))
#define Y number(AT(2))
#define MEMORY (slots[word[2]] + offset(word + 3))
#define UNARY(name, expression) \
    case name: put(AT(2), expression); word += 3; break;
#define BINARY(name, expression) \
    case name: put(AT(3), expression); word += 4; break;
#define COMPARISON(name, sign) \
    case name: *AT(3) = X sign Y; word += 4; break;

    for (const int32_t *word = program->code;;) {
        const vm_form *form = forms + *word;
        switch (form->op) {
        BINARY(VM_ADDS, X + Y)
        BINARY(VM_SUBTRACTS, X - Y)
        BINARY(VM_MULTIPLIES, X * Y)
        BINARY(VM_DIVIDES, X / Y)
        BINARY(VM_STRONG, X == 0 ? 0 : X * Y)
        UNARY(VM_NEGATES, -X)
        UNARY(VM_SQUARES, X * X)
        UNARY(VM_ROOTS, sqrt(X))
        UNARY(VM_INVERTS, 1.0 / X)
        UNARY(VM_MODULUS, fabs(X))
        UNARY(VM_COPIES, X)
        COMPARISON(VM_LESS, <)
        COMPARISON(VM_LESS_EQUAL, <=)
        COMPARISON(VM_GREATER, >)
        COMPARISON(VM_GREATER_EQUAL, >=)
        COMPARISON(VM_EQUAL, ==)
        COMPARISON(VM_NOT_EQUAL, !=)
        case VM_SELECTS:
            put(AT(4), *AT(1) ? Y : number(AT(3)));
            word += 5;
            break;
        case VM_LOADS:
            put(AT(1), number(MEMORY));
            word += 5;
            break;
        case VM_STORES:
            put(MEMORY, number(AT(1)));
            word += 5;
            break;
        case VM_ACCUMULATES:
            put(MEMORY, number(MEMORY) + X);
            word += 5;
            break;
        case VM_LOADS_ANY:
            move(AT(1), MEMORY, form->item);
            word += 5;
            break;
        case VM_STORES_ANY:
            move(MEMORY, AT(1), form->item);
            word += 5;
            break;
        case VM_ACCUMULATES_ANY:
            accumulate(form, MEMORY, AT(1));
            word += 5;
            break;
        case VM_LOADS_AT:
            move(AT(1), MEMORY + bytes(AT(5)), form->item);
            word += 6;
            break;
        case VM_STORES_AT:
            move(MEMORY + bytes(AT(5)), AT(1), form->item);
            word += 6;
            break;
        case VM_ACCUMULATES_AT:
            accumulate(form, MEMORY + bytes(AT(5)), AT(1));
            word += 6;
            break;
        case VM_INDEXES: {
            const vm_limits *index = program->indices + word[4];
            const intptr_t value = vm_integer(AT(1), form->kind);
            if (!in_bounds(index, value, word[4], step, work)) return OUT_OF_BOUNDS;
            const int64_t moved = value * index->step + (word[2] < 0 ? 0 : bytes(AT(2)));
            memcpy(AT(3), &moved, sizeof moved);
            word += 5;
            break;
        }
        case VM_GUARDS:
            if (!as_traced(form, AT(1), program->expected[word[2]])) {
                work->failed_index = word[2];
                work->failed_value = 8 * (intptr_t)word[1];
                if (work->call(work->owner, step)) return RAISED;
            }
            word += 3;
            break;
        case VM_APPLIES: {
            char *args[VM_ARGS];
            for (int k = 0; k < form->nargs; k++) args[k] = AT(k + 1);
            form->loop(args, &one, form->steps, form->data);
            word += 1 + form->nargs;
            break;
        }
        case VM_PAUSES:
            if (vm_interrupted(work, WORTH * VM_PAUSE)) return RAISED;
            word += 1;
            break;
        case VM_ENDS:
            return DONE;
        }
    }
}
