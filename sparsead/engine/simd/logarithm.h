/* log, log2, log10, log1p: x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), and log(1 + f) = 2 artanh(f / (2 + f)).
 *
 * log(1 + f) = f - f^2 / 2 + s (f^2 / 2 + t) with s = f / (2 + f) and t = log((1 + s) / (1 - s)) / s - 2, where the small
 * last term takes the error of the division (P. T. P. Tang, Table-driven implementation of the logarithm function). */
#ifndef SPARSEAD_SIMD_LOGARITHM_H
#define SPARSEAD_SIMD_LOGARITHM_H

#include "coefficients.h"

typedef struct {
    double k, m; /* x = 2^k m */
} scaled;

#define SMALLEST_NORMAL 0x1p-1022

/* x > 0 and finite, and no subnormal if `ordinary` */
INLINE scaled split_exponent(double x, int ordinary)
{
    const double normal = ordinary || !(x < SMALLEST_NORMAL) ? x : x * 0x1p54;
    const double shift = ordinary || !(x < SMALLEST_NORMAL) ? -1023.0 : -1077.0;
    const uint64_t above = bits_of(normal) - bits_of(SQRT_HALF) + (UINT64_C(1023) << 52), biased = above >> 52;
    scaled s;
    s.k = (of_bits(biased | bits_of(0x1p52)) - 0x1p52) + shift;
    s.m = of_bits(bits_of(normal) - (biased << 52) + (UINT64_C(1023) << 52));
    return s;
}

/* What log(1 + f) is besides f - f^2 / 2. */
INLINE double log_rest(double f, double half_square)
{
    const double s = f / (2.0 + f), z = s * s;
    return s * muladd(z, log_tail(z), half_square);
}

/* y = log(x) for x > 0; what it is for infinities, NaN, zeros and negative numbers */
INLINE double log_everywhere(double x, double y, int ordinary)
{
    if (ordinary)
        return y;
    const double finite = x < INFINITY ? y : x, edge = x == 0.0 ? -INFINITY : NAN;
    return x > 0.0 ? finite : edge;
}

/* log(x (1 + e)), e small */
INLINE double log_near(double x, double k, double f, double e, int ordinary)
{
    const double half_square = 0.5 * f * f;
    const double low = muladd(k, LOG2_PARTS_1, e) + log_rest(f, half_square);
    return log_everywhere(x, k * LOG2_PARTS_0 + (f - (half_square - low)), ordinary);
}

INLINE double simd_log(double x, int ordinary)
{
    const scaled s = split_exponent(x, ordinary);
    return log_near(x, s.k, s.m - 1.0, 0.0, ordinary);
}

INLINE double simd_log1p(double x, int ordinary)
{
    const pair u = two_sum(1.0, x);
    const scaled s = split_exponent(u.high, ordinary);
    /* u.low / u.high, where u.high is 2^k (1 + f); it matters for small k and f only */
    const double f = s.m - 1.0, unscale = power_of_2(ROUNDER - at_most(s.k, 100.0));
    const double y = log_near(u.high, s.k, f, u.low * unscale * muladd(f, f - 1.0, 1.0), ordinary);
    return magnitude(x) < 0x1p-54 ? x : y;
}

/* log(1 + f) in another base, as a product without loss of leading bits: of f - f^2 / 2, and of the inverse of log(base). */
INLINE pair log_in_base(double f, double inverse, double inverse_low)
{
    const double half_square = 0.5 * f * f;
    const double high = of_bits(bits_of(f - half_square) & UINT64_C(0xffffffff00000000));
    const double low = ((f - high) - half_square) + log_rest(f, half_square);
    return (pair){high * inverse, muladd(low + high, inverse_low, low * inverse)};
}

INLINE double simd_log2(double x, int ordinary)
{
    const scaled s = split_exponent(x, ordinary);
    const pair y = log_in_base(s.m - 1.0, INV_LOG2_PARTS_0, INV_LOG2_PARTS_1), sum = fast_two_sum(s.k, y.high);
    return log_everywhere(x, sum.high + (sum.low + y.low), ordinary);
}

INLINE double simd_log10(double x, int ordinary)
{
    const scaled s = split_exponent(x, ordinary);
    const pair y = log_in_base(s.m - 1.0, INV_LOG10_PARTS_0, INV_LOG10_PARTS_1);
    const pair sum = fast_two_sum(s.k * LOG10_2_PARTS_0, y.high);
    return log_everywhere(x, sum.high + (sum.low + muladd(s.k, LOG10_2_PARTS_1, y.low)), ordinary);
}

#endif
