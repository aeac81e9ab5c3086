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

static inline pair pair_log(double x)
{
    const scaled e = split_exponent(x);
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
static inline int is_integer(double y)
{
    const double a = magnitude(y);
    return a >= 0x1p52 || (a + 0x1p52) - 0x1p52 == a;
}

static inline double simd_power(double x, double y)
{
    const double a = magnitude(x);
    /* Where log|x| or y is no number to calculate with, its sign decides. */
    const pair l = pair_log(a);
    const double log_high = log_everywhere(a, l.high);
    const double large = log_high * y; /* 0, infinite or NaN where it has to be */
    const pair p = pair_product((pair){log_high, l.low}, (pair){y, 0.0});
    const double ordinary = magnitude(large) < 1000.0 ? p.high : large, low = magnitude(large) < 1000.0 ? p.low : 0.0;
    double r = exp_of_sum(ordinary, low);
    /* of the sign of x, if y is odd */
    const double odd_sign = is_integer(y) && !is_integer(0.5 * y) ? x : 1.0;
    r = signed_as(magnitude(r), odd_sign);
    r = x < 0.0 && a < INFINITY && !is_integer(y) ? NAN : r;
    r = a == 1.0 && magnitude(y) == INFINITY ? 1.0 : r;
    return y == 0.0 || x == 1.0 ? 1.0 : x == x && y == y ? r : NAN;
}

#endif
