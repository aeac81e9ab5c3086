/* x^y = exp(y log|x|), with the logarithm to 67 bits, as an error in it is multiplied by y log|x| < 745.
 *
 * log(1 + f) = 2/3 s (3 + s^2 + s^4 (3/5 + ...)) for s = f / (2 + f), all but the last in twice the precision. */
#ifndef SPARSEAD_SIMD_POWER_H
#define SPARSEAD_SIMD_POWER_H

#include "exponential.h"
#include "logarithm.h"

/* high * high of two numbers of twice the precision, their products with the low parts rounded */
static inline pair pair_product(pair a, pair b)
{
    const pair p = two_product(a.high, b.high);
    return fast_two_sum(p.high, p.low + muladd(a.high, b.low, a.low * b.high));
}

static inline pair pair_log(double x, int ordinary)
{
    const scaled e = split_exponent(x, ordinary);
    const pair d = two_sum(e.m, 1.0);
    const double f = e.m - 1.0, inverse = 1.0 / d.high, high = f * inverse;
    const pair p = two_product(high, d.high), s = {high, ((f - p.high) - p.low - high * d.low) * inverse};
    const pair square = pair_product(s, s);
    const double z = square.high;
    const pair three = fast_two_sum(3.0, z);
    const pair sum = fast_two_sum(three.high, three.low + muladd(z * z, log_tail_long(z), square.low));
    const pair third = pair_product(s, (pair){TWO_THIRDS_0, TWO_THIRDS_1}), y = pair_product(third, sum);
    const pair whole = fast_two_sum(e.k * LOG2_PARTS_0, y.high);
    return fast_two_sum(whole.high, whole.low + muladd(e.k, LOG2_PARTS_1, y.low));
}

/* 1 where y is an integer; 2^52 added to a smaller number leaves an integer */
static inline uint64_t is_integer(double y)
{
    const double a = magnitude(y);
    return (uint64_t)(a >= 0x1p52) | (uint64_t)((a + 0x1p52) - 0x1p52 == a);
}

#define ORDINARY_POWER 0x1p60 /* so that a product with a logarithm is finite */

/* `ordinary`: x > 0 is finite and no subnormal, |y| <= ORDINARY_POWER */
static inline double simd_power(double x, double y, int ordinary)
{
    const double a = ordinary ? x : magnitude(x);
    const pair l = pair_log(a, ordinary), p = pair_product(l, (pair){y, 0.0});
    if (ordinary)
        return exp_of_sum(p.high, p.low, 0);
    /* Where log|x| or y is no number to calculate with, their product is: 0, infinite or NaN. */
    const double product = log_everywhere(a, l.high, 0) * y;
    const uint64_t small = magnitude(product) < 1400.0;
    const double r = exp_of_sum(choose(small, p.high, product), choose(small, p.low, 0.0), 0);
    const uint64_t integer = is_integer(y), odd = integer & ~is_integer(0.5 * y);
    const uint64_t negative = x < 0.0, infinite = a == INFINITY;
    const double with_sign = of_bits(bits_of(r) | ((bits_of(x) & SIGN) & -odd));
    const double real = choose(negative & ~integer & ~infinite, NAN, with_sign);
    const uint64_t one = (y == 0.0) | (x == 1.0) | ((uint64_t)(x == -1.0) & (uint64_t)(magnitude(y) == INFINITY));
    return choose(one, 1.0, real);
}

#endif
