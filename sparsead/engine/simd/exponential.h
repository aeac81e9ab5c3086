/* exp, expm1, sinh, cosh, tanh: x = n log(2) + r with |r| <= log(2) / 2, and both halves of exp(r) by polynomials.
 *
 * With r rounded to a double, and c and q so that cosh r = 1 + c and sinh r = r + q (W. J. Cody and W. Waite, Software
 * Manual for the Elementary Functions), each function is a sum of exact multiples of 1 and r, added without
 * loss, and of small terms. */
#ifndef SPARSEAD_SIMD_EXPONENTIAL_H
#define SPARSEAD_SIMD_EXPONENTIAL_H

#include "coefficients.h"

typedef struct {
    double n, rounded; /* the exponent, and ROUNDER + n */
    double r, c, q;
} reduced_exponent;

/* x + low; |x| < 1500 */
static inline reduced_exponent reduce_exponent(double x, double low)
{
    reduced_exponent e;
    e.rounded = muladd(x, INV_LOG2, ROUNDER);
    e.n = e.rounded - ROUNDER;
    e.r = x - e.n * LOG2_PARTS_0;
    const double rest = low - e.n * LOG2_PARTS_1, r = e.r + rest, z = r * r;
    e.c = z * cosh_tail(z);
    e.q = muladd(r * z, sinh_tail(z), rest);
    return e;
}

/* NaN goes through, as in all functions here. */
static inline double at_least(double x, double bound)
{
    return x < bound ? bound : x;
}

static inline double at_most(double x, double bound)
{
    return x > bound ? bound : x;
}

/* exp(x + low), |low| small against x */
static inline double exp_of_sum(double x, double low)
{
    const reduced_exponent e = reduce_exponent(at_most(at_least(x, -746.0), 710.0), low);
    const pair s = fast_two_sum(1.0, e.r);
    /* 2^n in two factors, as n may be beyond the exponents of doubles; the second rounds a subnormal result, once */
    const uint64_t n = bits_of(e.rounded + 2048.0), half = (n & 0xfff) >> 1;
    const double first = of_bits((half - 1) << 52), second = of_bits(((n & 0xfff) - half - 1) << 52);
    return (s.high + (s.low + (e.c + e.q))) * first * second;
}

static inline double simd_exp(double x)
{
    return exp_of_sum(x, 0.0);
}

static inline double simd_expm1(double x)
{
    const reduced_exponent e = reduce_exponent(at_most(at_least(x, -40.0), 710.0), 0.0);
    const double half = power_of_2(e.rounded - 1.0); /* of 2^n, which may overflow */
    const pair s = fast_two_sum(half - 0.5, half * e.r);
    const double y = 2.0 * (s.high + muladd(half, e.c + e.q, s.low));
    return magnitude(x) < 0x1p-54 ? x : y;
}

typedef struct {
    pair sinh, cosh; /* halved, normalised but for rounding */
} hyperbolic_pair;

/* x >= 0. Halved, so that nothing overflows too soon; cosh x = B cosh r + A sinh r, sinh x = A cosh r + B sinh r. */
static inline hyperbolic_pair hyperbolic(double x)
{
    const reduced_exponent e = reduce_exponent(x, 0.0);
    const double plus = power_of_2(e.rounded - 2.0), minus = power_of_2(ROUNDER - 2.0 - at_most(e.n, 100.0));
    const pair A = fast_two_sum(plus, -minus), B = fast_two_sum(plus, minus);
    const pair s = fast_two_sum(A.high, plus * e.r), c = fast_two_sum(B.high, plus * e.r);
    const double s_rest = (s.low + A.low) + muladd(minus, e.r, muladd(A.high, e.c, B.high * e.q));
    const double c_rest = (c.low + B.low) + muladd(-minus, e.r, muladd(B.high, e.c, A.high * e.q));
    return (hyperbolic_pair){fast_two_sum(s.high, s_rest), fast_two_sum(c.high, c_rest)};
}

static inline double simd_sinh(double x)
{
    const double a = magnitude(x), y = 2.0 * hyperbolic(at_most(a, 710.6)).sinh.high;
    return signed_as(a < 0x1p-28 ? a : y, x);
}

static inline double simd_cosh(double x)
{
    return 2.0 * hyperbolic(at_most(magnitude(x), 710.6)).cosh.high;
}

static inline double simd_tanh(double x)
{
    const double a = magnitude(x);
    const hyperbolic_pair h = hyperbolic(at_most(a, 22.0));
    const double y = quotient(h.sinh, h.cosh);
    return signed_as(a < 0x1p-28 ? a : y, x);
}

#endif
