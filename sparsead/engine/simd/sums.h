/* Sum of a block, and of the products of two: 16 partial sums, added in pairs at the end. The order is fixed by n. */
#ifndef SPARSEAD_SIMD_SUMS_H
#define SPARSEAD_SIMD_SUMS_H

#include "elementwise.h"

/* -0.0 is what a sum starts from: it leaves every number as it is, -0.0 included. The sum of no elements is +0.0. */
#define SUMS(T, s, zero)                                                                                              \
    typedef T lanes_##s __attribute__((vector_size(8 * sizeof(T))));                                                  \
    typedef T lanes_##s##_at __attribute__((vector_size(8 * sizeof(T)), aligned(1), may_alias));                      \
                                                                                                                      \
    static T in_pairs_##s(const lanes_##s *low, const lanes_##s *high)                                                \
    {                                                                                                                 \
        const lanes_##s t = *low + *high;                                                                             \
        return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));                                     \
    }                                                                                                                 \
                                                                                                                      \
    /* m <= 16 elements, padded to 16 */                                                                              \
    static void gather_##s(const char *p, intptr_t step, intptr_t m, T padding, T *block)                             \
    {                                                                                                                 \
        for (intptr_t i = 0; i < 16; i++, p += step)                                                                  \
            block[i] = i < m ? *(const s##_at *)p : padding;                                                          \
    }                                                                                                                 \
                                                                                                                      \
    KERNEL(sum_##s)                                                                                                   \
    {                                                                                                                 \
        (void)data;                                                                                                   \
        intptr_t n = dimensions[0];                                                                                   \
        const char *p = args[0];                                                                                      \
        lanes_##s low = zero - (lanes_##s){0}, high = low;                                                            \
        const intptr_t whole = steps[0] == sizeof(T) ? n & -16 : 0;                                                   \
        for (intptr_t i = 0; i < whole; i += 16, p += 16 * sizeof(T)) {                                               \
            low += ((const lanes_##s##_at *)p)[0];                                                                    \
            high += ((const lanes_##s##_at *)p)[1];                                                                   \
        }                                                                                                             \
        for (intptr_t left = n - whole; left > 0; left -= 16, p += 16 * steps[0]) {                                   \
            T block[16];                                                                                              \
            gather_##s(p, steps[0], left, -0.0, block);                                                               \
            low += ((const lanes_##s##_at *)block)[0];                                                                \
            high += ((const lanes_##s##_at *)block)[1];                                                               \
        }                                                                                                             \
        *(s##_at *)args[1] = n > 0 ? in_pairs_##s(&low, &high) : 0;                                                   \
    }                                                                                                                 \
                                                                                                                      \
    KERNEL(dot_##s)                                                                                                   \
    {                                                                                                                 \
        (void)data;                                                                                                   \
        intptr_t n = dimensions[0];                                                                                   \
        const char *p = args[0], *q = args[1];                                                                        \
        lanes_##s low = zero - (lanes_##s){0}, high = low;                                                            \
        const intptr_t whole = steps[0] == sizeof(T) && steps[1] == sizeof(T) ? n & -16 : 0;                          \
        for (intptr_t i = 0; i < whole; i += 16, p += 16 * sizeof(T), q += 16 * sizeof(T)) {                          \
            low += ((const lanes_##s##_at *)p)[0] * ((const lanes_##s##_at *)q)[0];                                   \
            high += ((const lanes_##s##_at *)p)[1] * ((const lanes_##s##_at *)q)[1];                                  \
        }                                                                                                             \
        for (intptr_t left = n - whole; left > 0; left -= 16, p += 16 * steps[0], q += 16 * steps[1]) {               \
            T a[16], b[16];                                                                                           \
            gather_##s(p, steps[0], left, -0.0, a);                                                                   \
            gather_##s(q, steps[1], left, 1, b);                                                                      \
            low += ((const lanes_##s##_at *)a)[0] * ((const lanes_##s##_at *)b)[0];                                   \
            high += ((const lanes_##s##_at *)a)[1] * ((const lanes_##s##_at *)b)[1];                                  \
        }                                                                                                             \
        *(s##_at *)args[2] = n > 0 ? in_pairs_##s(&low, &high) : 0;                                                   \
    }

SUMS(double, d, -0.0)
SUMS(float, f, -0.0f)

#define SUM_ROWS(s, t) ROW(sum, s, t, 1), ROW(dot, s, t, 2)

#endif
