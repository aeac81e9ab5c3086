/* x^y = exp(y log|x|), with the logarithm to 67 bits, as an error in it is multiplied by y log|x| < 745.
 *
 * log(1 + f) = 2 s + s^3 (2/3 + s^2 (2/5 + ...)) for s = f / (2 + f), all but the last bracket in twice the precision. */
#ifndef SPARSEAD_SIMD_POWER_H
#define SPARSEAD_SIMD_POWER_H

#include "exponential.h"
#include "logarithm.h"

/* The low parts, of 2^-50 at most, are multiplied as doubles. */
INLINE pair pair_product(pair a, pair b)
{
    const pair p = two_product(a.high, b.high);
    return (pair){p.high, muladd(a.low, b.high, muladd(a.high, b.low, p.low))};
}

/* x > 0, finite, and no subnormal if `ordinary` */
INLINE pair pair_log(double x, int ordinary)
{
    const scaled e = split_exponent(x, ordinary);
    const pair d = fast_two_sum(1.0, e.m); /* exact, as the two have one exponent, or e.m is the smaller */
    const double f = e.m - 1.0, inverse = 1.0 / d.high, high = f * inverse;
    const pair p = two_product(high, d.high);
    const pair s = {high, muladd(-high, d.low, (f - p.high) - p.low) * inverse};
    const pair square = two_product(high, high), z = {square.high, muladd(2.0 * high, s.low, square.low)};
    const pair sum = fast_two_sum(TWO_THIRDS_0, z.high * log_tail_long(z.high));
    const pair cube = pair_product(pair_product(s, z), (pair){sum.high, sum.low + TWO_THIRDS_1});
    const pair y = fast_two_sum(2.0 * high, cube.high), whole = fast_two_sum(e.k * LOG2_PARTS_0, y.high);
    const double rest = muladd(2.0, s.low, y.low + cube.low);
    return (pair){whole.high, whole.low + muladd(e.k, LOG2_PARTS_1, rest)};
}

/* 1 where y is an integer; 2^52 added to a smaller number leaves an integer */
INLINE uint64_t is_integer(double y)
{
    const double a = magnitude(y);
    return (uint64_t)(a >= 0x1p52) | (uint64_t)((a + 0x1p52) - 0x1p52 == a);
}

#define ORDINARY_POWER 0x1p60 /* so that a product with a logarithm is finite */

/* `ordinary`: x > 0 is finite and no subnormal, |y| <= ORDINARY_POWER */
INLINE double simd_power(double x, double y, int ordinary)
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
