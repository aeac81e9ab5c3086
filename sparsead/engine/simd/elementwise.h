/* Loops of elementwise operations, from one expression each.
 *
 * BINARY(add, T, R, e) defines a kernel with operands a, b, c of type T and the result e of type R. The operands are
 * vectors or single values, one loop for each combination; what is short or strided goes through the last loop, one by one. */
#ifndef SPARSEAD_SIMD_ELEMENTWISE_H
#define SPARSEAD_SIMD_ELEMENTWISE_H

#include "memory.h"

enum { SHORT = 8 };

#define KERNEL(name) static void name(char **args, const intptr_t *dimensions, const intptr_t *steps, void *data)

/* 1 for a vector of T, 0 for a single value, at least 2 for any other step. */
#define KIND(step, T) ((uintptr_t)(step) / sizeof(T) | ((uintptr_t)(step) % sizeof(T) ? 2 : 0))

#define EACH(statement)                                                                                               \
    INDEPENDENT for (intptr_t i = 0; i < n; i++) { statement; }                                                       \
    return;

#define UNARY(name, T, R, e)                                                                                          \
    KERNEL(name)                                                                                                      \
    {                                                                                                                 \
        (void)data;                                                                                                   \
        const intptr_t n = dimensions[0];                                                                             \
        const char *pa = args[0];                                                                                     \
        char *pr = args[1];                                                                                           \
        if (n > SHORT && steps[1] == sizeof(R)) {                                                                     \
            const T *va = (const T *)pa;                                                                              \
            R *r = (R *)pr;                                                                                           \
            if (steps[0] == sizeof(T)) {                                                                              \
                EACH(const T a = va[i]; r[i] = e)                                                                     \
            }                                                                                                         \
            if (steps[0] == 0) {                                                                                      \
                const T a = *va;                                                                                      \
                const R value = e;                                                                                    \
                EACH(r[i] = value)                                                                                    \
            }                                                                                                         \
        }                                                                                                             \
        for (intptr_t i = 0; i < n; i++, pa += steps[0], pr += steps[1]) {                                            \
            ONE_BY_ONE;                                                                                               \
            const T a = *(const T *)pa;                                                                               \
            *(R *)pr = e;                                                                                             \
        }                                                                                                             \
    }

#define BINARY(name, T, R, e)                                                                                         \
    KERNEL(name)                                                                                                      \
    {                                                                                                                 \
        (void)data;                                                                                                   \
        const intptr_t n = dimensions[0];                                                                             \
        const char *pa = args[0], *pb = args[1];                                                                      \
        char *pr = args[2];                                                                                           \
        if (n > SHORT && steps[2] == sizeof(R)) {                                                                     \
            const T *va = (const T *)pa, *vb = (const T *)pb;                                                         \
            R *r = (R *)pr;                                                                                           \
            const uintptr_t kind_a = KIND(steps[0], T), kind_b = KIND(steps[1], T);                                   \
            if (kind_a == 1 && kind_b == 1) {                                                                         \
                EACH(const T a = va[i]; const T b = vb[i]; r[i] = e)                                                  \
            }                                                                                                         \
            if (kind_a == 1 && kind_b == 0) {                                                                         \
                const T b = *vb;                                                                                      \
                EACH(const T a = va[i]; r[i] = e)                                                                     \
            }                                                                                                         \
            if (kind_a == 0 && kind_b == 1) {                                                                         \
                const T a = *va;                                                                                      \
                EACH(const T b = vb[i]; r[i] = e)                                                                     \
            }                                                                                                         \
        }                                                                                                             \
        for (intptr_t i = 0; i < n; i++, pa += steps[0], pb += steps[1], pr += steps[2]) {                            \
            ONE_BY_ONE;                                                                                               \
            const T a = *(const T *)pa, b = *(const T *)pb;                                                           \
            *(R *)pr = e;                                                                                             \
        }                                                                                                             \
    }

/* A is the type of the first operand: of the numbers, or of the mask of a selection. */
#define TERNARY(name, A, T, e)                                                                                        \
    KERNEL(name)                                                                                                      \
    {                                                                                                                 \
        (void)data;                                                                                                   \
        const intptr_t n = dimensions[0];                                                                             \
        const char *pa = args[0], *pb = args[1], *pc = args[2];                                                       \
        char *pr = args[3];                                                                                           \
        const uintptr_t kind_a = KIND(steps[0], A), kind_b = KIND(steps[1], T), kind_c = KIND(steps[2], T);           \
        if (n > SHORT && steps[3] == sizeof(T) && (kind_a | kind_b | kind_c) == 1) {                                  \
            const A *va = (const A *)pa, a0 = *va;                                                                    \
            const T *vb = (const T *)pb, b0 = *vb, *vc = (const T *)pc, c0 = *vc;                                     \
            T *r = (T *)pr;                                                                                           \
            switch (kind_a | kind_b << 1 | kind_c << 2) {                                                             \
            case 1:                                                                                                   \
                EACH(const A a = va[i]; const T b = b0; const T c = c0; r[i] = e)                                     \
            case 2:                                                                                                   \
                EACH(const A a = a0; const T b = vb[i]; const T c = c0; r[i] = e)                                     \
            case 3:                                                                                                   \
                EACH(const A a = va[i]; const T b = vb[i]; const T c = c0; r[i] = e)                                  \
            case 4:                                                                                                   \
                EACH(const A a = a0; const T b = b0; const T c = vc[i]; r[i] = e)                                     \
            case 5:                                                                                                   \
                EACH(const A a = va[i]; const T b = b0; const T c = vc[i]; r[i] = e)                                  \
            case 6:                                                                                                   \
                EACH(const A a = a0; const T b = vb[i]; const T c = vc[i]; r[i] = e)                                  \
            case 7:                                                                                                   \
                EACH(const A a = va[i]; const T b = vb[i]; const T c = vc[i]; r[i] = e)                               \
            }                                                                                                         \
        }                                                                                                             \
        for (intptr_t i = 0; i < n; i++, pa += steps[0], pb += steps[1], pc += steps[2], pr += steps[3]) {            \
            ONE_BY_ONE;                                                                                               \
            const A a = *(const A *)pa;                                                                               \
            const T b = *(const T *)pb, c = *(const T *)pc;                                                           \
            *(T *)pr = e;                                                                                             \
        }                                                                                                             \
    }

#endif
