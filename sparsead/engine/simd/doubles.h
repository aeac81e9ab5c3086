/* Doubles by their bits, and sums that keep what rounding loses.
 *
 * The vector functions are scalar ones without branches, so that a loop over one of them becomes vectors on any machine and
 * every element has the same bits wherever it stands. A choice computes both values. */
#ifndef SPARSEAD_SIMD_DOUBLES_H
#define SPARSEAD_SIMD_DOUBLES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* A call left in a loop keeps it from becoming vectors. */
#define INLINE static inline __attribute__((always_inline))

INLINE uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE double of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* One rounding of a * b + c, defined only where the machine has an instruction for it. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define FUSED __builtin_fma
#endif

/* For terms whose rounding does not matter: one rounding where the machine has that, two elsewhere. */
INLINE double muladd(double a, double b, double c)
{
#ifdef FUSED
    return FUSED(a, b, c);
#else
    return a * b + c;
#endif
}

#define SIGN UINT64_C(0x8000000000000000)

INLINE double magnitude(double x)
{
    return of_bits(bits_of(x) & ~SIGN);
}

/* x >= 0 or NaN with the sign of y */
INLINE double signed_as(double x, double y)
{
    return of_bits(bits_of(x) | (bits_of(y) & SIGN));
}

/* a where `condition` is 1, b where it is 0. Where several choices hang on one condition, a compiler would make
 * branches of ?:, and then no vectors. */
INLINE double choose(uint64_t condition, double a, double b)
{
    const uint64_t mask = -condition;
    return of_bits((bits_of(a) & mask) | (bits_of(b) & ~mask));
}

/* Added to a number below 2^51, it leaves the nearest integer in the last bits of the sum. */
#define ROUNDER 0x1.8p52

/* 2^n for -1022 <= n <= 1023; `rounded` is ROUNDER + n */
INLINE double power_of_2(double rounded)
{
    return of_bits((bits_of(rounded) + 1023) << 52);
}

/* The first 26 or so bits. */
INLINE double leading(double x)
{
    return of_bits(bits_of(x) & UINT64_C(0xfffffffff8000000));
}

/* An unevaluated sum; `low` is at most half a unit in the last place of `high` where a function says "normalised". */
typedef struct {
    double high, low;
} pair;

/* a + b exactly, for |a| >= |b| or a = 0 (T. J. Dekker, A floating-point technique for extending the available precision). */
INLINE pair fast_two_sum(double a, double b)
{
    pair s;
    s.high = a + b;
    s.low = b - (s.high - a);
    return s;
}

/* a + b exactly (D. E. Knuth, The Art of Computer Programming 2, 4.2.2). */
INLINE pair two_sum(double a, double b)
{
    pair s;
    s.high = a + b;
    const double b_part = s.high - a;
    s.low = (a - (s.high - b_part)) + (b - b_part);
    return s;
}

/* a * b exactly, by halves of the factors where there is no fused multiply-add. */
INLINE pair two_product(double a, double b)
{
    pair p;
    p.high = a * b;
#ifdef FUSED
    p.low = FUSED(a, b, -p.high);
#else
    const double a0 = leading(a), a1 = a - a0, b0 = leading(b), b1 = b - b0;
    p.low = ((a0 * b0 - p.high) + (a0 * b1 + a1 * b0)) + a1 * b1;
#endif
    return p;
}

/* (a.high + a.low) / (b.high + b.low), rounded at the last addition; the approximation before that errs by 2^-51. */
INLINE double quotient(pair a, pair b)
{
    const double inverse = 1.0 / b.high, q = a.high * inverse;
    const pair p = two_product(q, b.high);
    return q + (((a.high - p.high) - p.low) + (a.low - q * b.low)) * inverse;
}

#endif
