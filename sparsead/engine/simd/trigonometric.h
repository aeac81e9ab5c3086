/* sin, cos, tan: |x| = n pi / 2 + r with |r| <= pi / 4 (W. J. Cody and W. Waite), r to twice the precision of a double.
 *
 * pi / 2 comes in four parts, of which the first three times n are exact, or in three of full length. No double below 2^20
 * is within 2^-61 of a multiple of pi / 2, so r keeps its relative accuracy. Above, TRIGONOMETRIC_LIMIT, callers take the C
 * library's functions. */
#ifndef SPARSEAD_SIMD_TRIGONOMETRIC_H
#define SPARSEAD_SIMD_TRIGONOMETRIC_H

#include "coefficients.h"

#define TRIGONOMETRIC_LIMIT 0x1p20

typedef struct {
    uint64_t quadrant; /* in its last two bits */
    pair sin, cos;     /* of r, normalised */
} quadrant_pair;

/* x - n pi / 2, normalised, where that is below 1 */
INLINE pair minus_quadrants(double x, double n)
{
#ifdef FUSED
    /* The first difference is a multiple of 2^-53, as x is if n is not 0, and so exact without room for n. */
    const pair p = two_product(n, PI_2_TRIPLE_1), a = two_sum(FUSED(-n, PI_2_TRIPLE_0, x), -p.high);
    return fast_two_sum(a.high, FUSED(-n, PI_2_TRIPLE_2, a.low - p.low));
#else
    const pair a = two_sum(x - n * PI_2_PARTS_0, -n * PI_2_PARTS_1), b = two_sum(a.high, -n * PI_2_PARTS_2);
    return fast_two_sum(b.high, (a.low + b.low) - n * PI_2_PARTS_3);
#endif
}

/* 0 <= x <= TRIGONOMETRIC_LIMIT */
INLINE quadrant_pair quadrant_of(double x)
{
    const double rounded = muladd(x, INV_PI_2, ROUNDER);
    const pair r = minus_quadrants(x, rounded - ROUNDER);
    const double z = r.high * r.high, half = 0.5 * z;
    const pair c = fast_two_sum(1.0, -half);
    /* sin (r + e) = sin r + e cos r, cos (r + e) = cos r - e sin r */
    const double sin_rest = muladd(r.high * z, sin_tail(z), r.low * c.high);
    const double cos_rest = muladd(z * z, cos_tail(z), muladd(-r.high, r.low, c.low));
    return (quadrant_pair){bits_of(rounded), fast_two_sum(r.high, sin_rest), fast_two_sum(c.high, cos_rest)};
}

INLINE double simd_sin(double x)
{
    const quadrant_pair p = quadrant_of(magnitude(x));
    const double y = choose(p.quadrant & 1, p.cos.high, p.sin.high);
    return of_bits(bits_of(y) ^ ((p.quadrant & 2) << 62) ^ (bits_of(x) & SIGN));
}

INLINE double simd_cos(double x)
{
    const quadrant_pair p = quadrant_of(magnitude(x));
    const double y = choose(p.quadrant & 1, p.sin.high, p.cos.high);
    return of_bits(bits_of(y) ^ (((p.quadrant + 1) & 2) << 62));
}

INLINE double simd_tan(double x)
{
    const quadrant_pair p = quadrant_of(magnitude(x));
    const uint64_t odd = p.quadrant & 1;
    const pair above = {choose(odd, p.cos.high, p.sin.high), choose(odd, p.cos.low, p.sin.low)};
    const pair below = {choose(odd, p.sin.high, p.cos.high), choose(odd, p.sin.low, p.cos.low)};
    const double y = quotient(above, below);
    const double exact = magnitude(x) < 0x1p-28 ? magnitude(x) : y; /* nothing to gain, and 0 / 1 loses no sign */
    return of_bits(bits_of(exact) ^ (odd << 63) ^ (bits_of(x) & SIGN));
}

#endif
