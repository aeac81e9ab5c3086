/* exp, expm1, sinh, cosh, tanh: x = n log(2) + r with |r| <= log(2) / 2, and both halves of exp(r) by polynomials.
 *
 * (W. J. Cody and W. Waite, Software Manual for the Elementary Functions.) Where terms cancel, a function is a sum of
 * exact multiples of 1 and r, added without loss, and of small terms. */
#ifndef SPARSEAD_SIMD_EXPONENTIAL_H
#define SPARSEAD_SIMD_EXPONENTIAL_H

#include "coefficients.h"

typedef struct {
    double n, rounded;         /* the exponent, and ROUNDER + n */
    double r, rest, z;         /* r + rest is the argument reduced, z its square */
    double cosh_part, sinh_part; /* cosh (r + rest) = 1 + z cosh_part, sinh (r + rest) = r + rest + r z sinh_part */
} reduced_exponent;

/* x + low; |x| < 1500 */
INLINE reduced_exponent reduce_exponent(double x, double low)
{
    reduced_exponent e;
    e.rounded = muladd(x, INV_LOG2, ROUNDER);
    e.n = e.rounded - ROUNDER;
    e.r = muladd(-e.n, LOG2_PARTS_0, x);
    e.rest = muladd(-e.n, LOG2_PARTS_1, low);
    const double r = e.r + e.rest;
    e.z = r * r;
    e.cosh_part = cosh_tail(e.z);
    e.sinh_part = r * sinh_tail(e.z);
    return e;
}

/* NaN goes through, as in all functions here. */
INLINE double at_least(double x, double bound)
{
    return x < bound ? bound : x;
}

INLINE double at_most(double x, double bound)
{
    return x > bound ? bound : x;
}

/* exp(x + low) - 1 - r, but for the factor 2^n */
INLINE double exp_rest(reduced_exponent e)
{
    return muladd(e.z, e.cosh_part + e.sinh_part, e.rest);
}

#define ORDINARY_EXPONENT 708.0 /* up to here results are no subnormals and do not overflow */

/* exp(x + low), |low| small against x; |x| <= ORDINARY_EXPONENT if `ordinary` */
INLINE double exp_of_sum(double x, double low, int ordinary)
{
    const double within = ordinary ? x : signed_as(at_most(magnitude(x), 1400.0), x);
    const reduced_exponent e = reduce_exponent(within, low);
    const double y = 1.0 + (e.r + exp_rest(e));
    if (ordinary)
        return of_bits(bits_of(y) + (bits_of(e.rounded) << 52));
    /* 2^n in two factors, as n may be beyond the exponents of doubles; the second rounds a subnormal result, once */
    const uint64_t n = bits_of(e.rounded + 2048.0) & 0xfff, half = n >> 1;
    return y * of_bits((half - 1) << 52) * of_bits((n - half - 1) << 52);
}

INLINE double simd_exp(double x, int ordinary)
{
    return exp_of_sum(x, 0.0, ordinary);
}

INLINE double simd_expm1(double x)
{
    const reduced_exponent e = reduce_exponent(at_most(at_least(x, -40.0), 710.0), 0.0);
    const double half = power_of_2(e.rounded - 1.0); /* of 2^n, which may overflow */
    const pair s = fast_two_sum(half - 0.5, half * e.r);
    const double y = 2.0 * (s.high + muladd(half, exp_rest(e), s.low));
    return magnitude(x) < 0x1p-54 ? x : y;
}

typedef struct {
    double sinh, cosh;
} halves;

/* For x >= 0, halved so that nothing overflows too soon; cosh x = B cosh r + A sinh r, sinh x = A cosh r + B sinh r. */
INLINE halves hyperbolic(double x)
{
    const reduced_exponent e = reduce_exponent(x, 0.0);
    const double plus = power_of_2(e.rounded - 2.0), minus = power_of_2(ROUNDER - 2.0 - at_most(e.n, 100.0));
    const double A = plus - minus, B = plus + minus;
    const pair s = fast_two_sum(A, plus * e.r), t = fast_two_sum(B, plus * e.r);
    const double c = e.z * e.cosh_part, q = muladd(e.z, e.sinh_part, e.rest);
    const double sinh_rest = s.low + muladd(minus, e.r, muladd(A, c, B * q));
    const double cosh_rest = t.low + muladd(-minus, e.r, muladd(B, c, A * q));
    return (halves){s.high + sinh_rest, t.high + cosh_rest};
}

INLINE double simd_sinh(double x)
{
    const double a = magnitude(x), y = 2.0 * hyperbolic(at_most(a, 710.6)).sinh;
    return signed_as(a < 0x1p-28 ? a : y, x);
}

INLINE double simd_cosh(double x)
{
    return 2.0 * hyperbolic(at_most(magnitude(x), 710.6)).cosh;
}

/* (exp(2 x) - 1) / (exp(2 x) + 1), both to twice the precision */
INLINE double simd_tanh(double x)
{
    const double a = magnitude(x);
    const reduced_exponent e = reduce_exponent(2.0 * at_most(a, 22.0), 0.0);
    const double power = power_of_2(e.rounded), first = power * e.r, rest = power * exp_rest(e);
    const pair minus = fast_two_sum(power, -1.0), plus = fast_two_sum(power, 1.0);
    const pair above = fast_two_sum(minus.high, first), below = fast_two_sum(plus.high, first);
    const double y = quotient(fast_two_sum(above.high, above.low + (minus.low + rest)),
                              fast_two_sum(below.high, below.low + (plus.low + rest)));
    return signed_as(a < 0x1p-28 ? a : y, x);
}

#endif
