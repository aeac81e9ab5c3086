/* Loops of the vector functions: whole vectors from memory, what is left over or strided through a padded block. */
#ifndef SPARSEAD_SIMD_FUNCTIONS_H
#define SPARSEAD_SIMD_FUNCTIONS_H

#include "elementwise.h"
#include "exponential.h"
#include "inverse.h"
#include "logarithm.h"
#include "power.h"
#include "trigonometric.h"

#include <float.h>

enum { LANES = 8, BLOCK = 128 };

/* n is a multiple of LANES, which the loop says again for the compiler's sake. */
typedef void (*unary_run)(const d_at *x, d_at *r, intptr_t n);

#define RUN(name, value)                                                                                              \
    static void name(const d_at *x, d_at *r, intptr_t n)                                                              \
    {                                                                                                                 \
        INDEPENDENT for (intptr_t i = 0; i < (n & -LANES); i++) r[i] = value;                                         \
    }

static void gather_block(const char *p, intptr_t step, intptr_t m, double *block)
{
    for (intptr_t i = 0; i < m; i++, p += step) {
        ONE_BY_ONE;
        block[i] = *(const d_at *)p;
    }
    for (intptr_t i = m; i & (LANES - 1); i++)
        block[i] = 1.0;
}

static void scatter_block(const double *block, intptr_t m, char *p, intptr_t step)
{
    if (step == sizeof(double)) {
        memcpy(p, block, m * sizeof(double));
        return;
    }
    for (intptr_t i = 0; i < m; i++, p += step) {
        ONE_BY_ONE;
        *(d_at *)p = block[i];
    }
}

static void apply_unary(unary_run run, char **args, intptr_t n, const intptr_t *steps)
{
    const char *x = args[0];
    char *r = args[1];
    intptr_t whole = 0;
    if (steps[0] == sizeof(double) && steps[1] == sizeof(double) && (whole = n & -LANES))
        run((const d_at *)x, (d_at *)r, whole);
    for (intptr_t i = whole; i < n; i += BLOCK) {
        const intptr_t m = n - i < BLOCK ? n - i : BLOCK;
        double block[BLOCK];
        gather_block(x + i * steps[0], steps[0], m, block);
        run(block, block, m + (-m & (LANES - 1)));
        scatter_block(block, m, r + i * steps[1], steps[1]);
    }
}

enum { FEW = 3 }; /* elements that take longer to go through a block than one by one */

/* The kernel that calls run_name; `value` is the function for one x. */
#define UNARY_FUNCTION(name, value)                                                                                   \
    KERNEL(name##_d)                                                                                                  \
    {                                                                                                                 \
        (void)data;                                                                                                   \
        if (dimensions[0] > FEW) {                                                                                    \
            apply_unary(run_##name, args, dimensions[0], steps);                                                      \
            return;                                                                                                   \
        }                                                                                                             \
        for (intptr_t i = 0; i < dimensions[0]; i++) {                                                                \
            ONE_BY_ONE;                                                                                               \
            const double x = *(const d_at *)(args[0] + i * steps[0]);                                                 \
            *(d_at *)(args[1] + i * steps[1]) = value;                                                                \
        }                                                                                                             \
    }

#define FUNCTION(name)                                                                                                \
    RUN(run_##name, simd_##name(x[i]))                                                                                \
    UNARY_FUNCTION(name, simd_##name(x))

/* Whether lowest <= value <= highest for all elements, for positive bounds, by bits; NaN is not. */
#define ALL_BETWEEN(name, value, lowest, highest)                                                                     \
    static int name(const d_at *x, intptr_t n)                                                                        \
    {                                                                                                                 \
        uint64_t beyond = 0;                                                                                          \
        for (intptr_t i = 0; i < (n & -LANES); i++) {                                                                 \
            const uint64_t bits = bits_of(value);                                                                     \
            beyond |= (bits - bits_of(lowest)) | (bits_of(highest) - bits);                                           \
        }                                                                                                             \
        return !(beyond & SIGN);                                                                                      \
    }

/* Blocks of ordinary arguments take fewer instructions; an ordinary element has the same bits in any block. */
#define GUARDED(name, value, lowest, highest)                                                                         \
    ALL_BETWEEN(all_ordinary_##name, value, lowest, highest)                                                          \
    RUN(run_ordinary_##name, simd_##name(x[i], 1))                                                                    \
    RUN(run_any_##name, simd_##name(x[i], 0))                                                                         \
    static void run_##name(const d_at *x, d_at *r, intptr_t n)                                                        \
    {                                                                                                                 \
        for (intptr_t i = 0; i < n; i += BLOCK) {                                                                     \
            const intptr_t m = n - i < BLOCK ? n - i : BLOCK;                                                         \
            if (all_ordinary_##name(x + i, m))                                                                        \
                run_ordinary_##name(x + i, r + i, m);                                                                 \
            else                                                                                                      \
                run_any_##name(x + i, r + i, m);                                                                      \
        }                                                                                                             \
    }                                                                                                                 \
    UNARY_FUNCTION(name, simd_##name(x, 0))

/* Elements beyond TRIGONOMETRIC_LIMIT, which are rare, by the C library. */
ALL_BETWEEN(all_within_limit, magnitude(x[i]), 0.0, TRIGONOMETRIC_LIMIT)

#define TRIGONOMETRIC(name)                                                                                           \
    RUN(run_ordinary_##name, simd_##name(x[i]))                                                                       \
    static void run_##name(const d_at *x, d_at *r, intptr_t n)                                                        \
    {                                                                                                                 \
        for (intptr_t i = 0; i < n; i += BLOCK) {                                                                     \
            const intptr_t m = n - i < BLOCK ? n - i : BLOCK;                                                         \
            double arguments[BLOCK];                                                                                  \
            if (all_within_limit(x + i, m)) {                                                                         \
                run_ordinary_##name(x + i, r + i, m);                                                                 \
                continue;                                                                                             \
            }                                                                                                         \
            memcpy(arguments, x + i, m * sizeof(double)); /* r may be x */                                            \
            run_ordinary_##name(arguments, r + i, m);                                                                 \
            for (intptr_t j = 0; j < m; j++)                                                                          \
                if (!(magnitude(arguments[j]) <= TRIGONOMETRIC_LIMIT))                                                \
                    r[i + j] = name(arguments[j]);                                                                    \
        }                                                                                                             \
    }                                                                                                                 \
    UNARY_FUNCTION(name, magnitude(x) <= TRIGONOMETRIC_LIMIT ? simd_##name(x) : name(x))

/* Powers that are one rounding of an elementary operation, as in NumPy. */
INLINE int is_elementary(double y)
{
    return y == 2.0 || y == 0.5 || y == -1.0;
}

INLINE double elementary_power(double x, double y)
{
    const double root = x == -INFINITY ? INFINITY : sqrt(x) + 0.0; /* of -0.0 it is 0.0 */
    return y == 2.0 ? x * x : y == -1.0 ? 1.0 / x : root;
}

static int any_elementary(const d_at *y, intptr_t n)
{
    int any = 0;
    for (intptr_t i = 0; i < n; i++)
        any |= is_elementary(y[i]);
    return any;
}

ALL_BETWEEN(all_ordinary_bases, x[i], SMALLEST_NORMAL, DBL_MAX)
ALL_BETWEEN(all_ordinary_exponents, magnitude(x[i]), 0.0, ORDINARY_POWER)

static void run_power(const d_at *x, const d_at *y, double *r, intptr_t n)
{
    if (all_ordinary_bases(x, n) && all_ordinary_exponents(y, n)) {
        INDEPENDENT for (intptr_t i = 0; i < (n & -LANES); i++) r[i] = simd_power(x[i], y[i], 1);
    }
    else {
        INDEPENDENT for (intptr_t i = 0; i < (n & -LANES); i++) r[i] = simd_power(x[i], y[i], 0);
    }
}

/* The m elements at p where they are whole vectors, else a padded copy of them. */
static const d_at *vectors_of(const char *p, intptr_t step, intptr_t m, double *block)
{
    if (step == sizeof(double) && (m & (LANES - 1)) == 0)
        return (const d_at *)p;
    gather_block(p, step, m, block);
    return block;
}

INLINE double any_power(double x, double y)
{
    return is_elementary(y) ? elementary_power(x, y) : simd_power(x, y, 0);
}

KERNEL(power_d)
{
    (void)data;
    for (intptr_t i = 0; dimensions[0] <= FEW && i < dimensions[0]; i++) {
        ONE_BY_ONE;
        const double x = *(const d_at *)(args[0] + i * steps[0]), y = *(const d_at *)(args[1] + i * steps[1]);
        *(d_at *)(args[2] + i * steps[2]) = any_power(x, y);
    }
    if (dimensions[0] <= FEW)
        return;
    for (intptr_t i = 0; i < dimensions[0]; i += BLOCK) {
        const intptr_t m = dimensions[0] - i < BLOCK ? dimensions[0] - i : BLOCK;
        double x_block[BLOCK], y_block[BLOCK], r[BLOCK]; /* args[2] may be an operand */
        const d_at *x = vectors_of(args[0] + i * steps[0], steps[0], m, x_block);
        const d_at *y = vectors_of(args[1] + i * steps[1], steps[1], m, y_block);
        if (steps[1] != 0 || !is_elementary(y[0]))
            run_power(x, y, r, m + (-m & (LANES - 1)));
        if (any_elementary(y, m))
            for (intptr_t j = 0; j < m; j++)
                r[j] = is_elementary(y[j]) ? elementary_power(x[j], y[j]) : r[j];
        scatter_block(r, m, args[2] + i * steps[2], steps[2]);
    }
}

GUARDED(exp, magnitude(x[i]), 0.0, ORDINARY_EXPONENT)
FUNCTION(expm1)
FUNCTION(sinh)
FUNCTION(cosh)
FUNCTION(tanh)
GUARDED(log, x[i], SMALLEST_NORMAL, DBL_MAX)
GUARDED(log1p, 1.0 + x[i], SMALLEST_NORMAL, DBL_MAX)
GUARDED(log2, x[i], SMALLEST_NORMAL, DBL_MAX)
GUARDED(log10, x[i], SMALLEST_NORMAL, DBL_MAX)
TRIGONOMETRIC(sin)
TRIGONOMETRIC(cos)
TRIGONOMETRIC(tan)
FUNCTION(arctan)
FUNCTION(arcsin)
FUNCTION(arccos)

#define FUNCTION_ROWS                                                                                                 \
    ROW(exp, d, 'd', 1), ROW(expm1, d, 'd', 1), ROW(sinh, d, 'd', 1), ROW(cosh, d, 'd', 1), ROW(tanh, d, 'd', 1),     \
        ROW(log, d, 'd', 1), ROW(log1p, d, 'd', 1), ROW(log2, d, 'd', 1), ROW(log10, d, 'd', 1),                      \
        ROW(sin, d, 'd', 1), ROW(cos, d, 'd', 1), ROW(tan, d, 'd', 1), ROW(arctan, d, 'd', 1),                        \
        ROW(arcsin, d, 'd', 1), ROW(arccos, d, 'd', 1), ROW(power, d, 'd', 2)

#endif
