/* Arithmetic, comparisons and logic. Each product and sum is rounded by itself (compile with -ffp-contract=off). */
#ifndef SPARSEAD_SIMD_ARITHMETIC_H
#define SPARSEAD_SIMD_ARITHMETIC_H

#include "elementwise.h"

/* The loops of one type of numbers: suffix d or f of names and of the functions of the C library. */
#define ARITHMETIC(T, s, sqrt_of, abs_of, one)                                                                        \
    UNARY(copy_##s, T, T, a)                                                                                          \
    UNARY(negative_##s, T, T, -a)                                                                                     \
    UNARY(square_##s, T, T, a * a)                                                                                     \
    UNARY(sqrt_##s, T, T, sqrt_of(a))                                                                                 \
    UNARY(reciprocal_##s, T, T, one / a)                                                                              \
    UNARY(absolute_##s, T, T, abs_of(a))                                                                              \
    BINARY(add_##s, T, T, a + b)                                                                                      \
    BINARY(subtract_##s, T, T, a - b)                                                                                 \
    BINARY(multiply_##s, T, T, a * b)                                                                                  \
    BINARY(divide_##s, T, T, a / b)                                                                                   \
    BINARY(strong_multiply_##s, T, T, a == 0 ? 0 : a * b)                                                             \
    /* a NaN wins, the first one of two; of two equal numbers, which differ in sign if they are zeros, the second */  \
    BINARY(maximum_##s, T, T, a > b ? a : a != a ? a : b)                                                             \
    BINARY(minimum_##s, T, T, a < b ? a : a != a ? a : b)                                                             \
    BINARY(less_##s, T, b_at, a < b)                                                                                  \
    BINARY(less_equal_##s, T, b_at, a <= b)                                                                           \
    BINARY(greater_##s, T, b_at, a > b)                                                                               \
    BINARY(greater_equal_##s, T, b_at, a >= b)                                                                        \
    BINARY(equal_##s, T, b_at, a == b)                                                                                \
    BINARY(not_equal_##s, T, b_at, a != b)                                                                            \
    TERNARY(select_##s, b_at, T, a ? b : c)                                                                           \
    TERNARY(muladd_##s, T, T, a * b + c)                                                                               \
    TERNARY(mulsub_##s, T, T, a * b - c)                                                                               \
    TERNARY(negmuladd_##s, T, T, c - a * b)                                                                           \
    TERNARY(add3_##s, T, T, a + b + c)

ARITHMETIC(d_at, d, __builtin_sqrt, __builtin_fabs, 1.0)
ARITHMETIC(f_at, f, __builtin_sqrtf, __builtin_fabsf, 1.0f)

UNARY(copy_b, b_at, b_at, a)
UNARY(logical_not_b, b_at, b_at, a == 0)
BINARY(logical_and_b, b_at, b_at, (a != 0) & (b != 0))
BINARY(logical_or_b, b_at, b_at, (a | b) != 0)
BINARY(logical_xor_b, b_at, b_at, (a != 0) ^ (b != 0))
TERNARY(select_b, b_at, b_at, a ? b : c)

#define ROW(name, s, type, operands) {#name, type, operands, name##_##s}
#define ARITHMETIC_ROWS(s, t)                                                                                         \
    ROW(copy, s, t, 1), ROW(negative, s, t, 1), ROW(square, s, t, 1), ROW(sqrt, s, t, 1), ROW(reciprocal, s, t, 1),   \
        ROW(absolute, s, t, 1), ROW(add, s, t, 2), ROW(subtract, s, t, 2), ROW(multiply, s, t, 2),                    \
        ROW(divide, s, t, 2), ROW(strong_multiply, s, t, 2), ROW(maximum, s, t, 2), ROW(minimum, s, t, 2),            \
        ROW(less, s, t, 2),                                                                                           \
        ROW(less_equal, s, t, 2), ROW(greater, s, t, 2), ROW(greater_equal, s, t, 2), ROW(equal, s, t, 2),            \
        ROW(not_equal, s, t, 2), ROW(select, s, t, 3), ROW(muladd, s, t, 3), ROW(mulsub, s, t, 3),                    \
        ROW(negmuladd, s, t, 3), ROW(add3, s, t, 3)
#define LOGIC_ROWS                                                                                                    \
    ROW(copy, b, '?', 1), ROW(logical_not, b, '?', 1), ROW(logical_and, b, '?', 2), ROW(logical_or, b, '?', 2),       \
        ROW(logical_xor, b, '?', 2), ROW(select, b, '?', 3)

#endif
