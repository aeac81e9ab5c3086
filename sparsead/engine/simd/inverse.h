/* arctan, arcsin, arccos: a polynomial on a short interval, and a change of the argument elsewhere. */
#ifndef SPARSEAD_SIMD_INVERSE_H
#define SPARSEAD_SIMD_INVERSE_H

#include "coefficients.h"

/* arctan x = arctan c + arctan ((x - c) / (1 + c x)) for c = 0, 1/2, 1, 3/2 and infinity, so that the last is below 7/16 */
INLINE double simd_arctan(double x)
{
    const double a = magnitude(x);
    double c = 0.5, base = ARCTAN_HALF_0, low = ARCTAN_HALF_1;
    c = a < 0.6875 ? c : 1.0, base = a < 0.6875 ? base : ARCTAN_1_0, low = a < 0.6875 ? low : ARCTAN_1_1;
    c = a < 1.1875 ? c : 1.5, base = a < 1.1875 ? base : ARCTAN_3_HALVES_0, low = a < 1.1875 ? low : ARCTAN_3_HALVES_1;
    double above = a - c, below = muladd(a, c, 1.0);
    above = a < 2.4375 ? above : -1.0, below = a < 2.4375 ? below : a;
    base = a < 2.4375 ? base : PI_2_PAIR_0, low = a < 2.4375 ? low : PI_2_PAIR_1;
    above = a < 0.4375 ? a : above, below = a < 0.4375 ? 1.0 : below;
    base = a < 0.4375 ? 0.0 : base, low = a < 0.4375 ? 0.0 : low;
    const double t = above / below, z = t * t;
    const pair s = fast_two_sum(base, t);
    return signed_as(magnitude(s.high + (s.low + muladd(t * z, arctan_tail(z), low))), x);
}

/* For a = |x|: arcsin of t, and what t is: a itself up to 1/2, above that sqrt((1 - a) / 2), as arccos a = 2 arcsin t. */
typedef struct {
    pair t;
    double rest; /* arcsin t = t + rest */
} half_angle;

INLINE half_angle half_angle_of(double a)
{
    const uint64_t small = a < 0.5;
    const double z = choose(small, a * a, 0.5 * (1.0 - a)), root = sqrt(z);
    const pair square = two_product(root, root);
    const double twice = root + root + 0x1p-1022; /* not 0 */
    half_angle h;
    h.t.high = choose(small, a, root);
    h.t.low = choose(small, 0.0, ((z - square.high) - square.low) / twice);
    h.rest = h.t.high * z * arcsin_tail(z);
    return h;
}

INLINE double simd_arcsin(double x)
{
    const double a = magnitude(x);
    const half_angle h = half_angle_of(a);
    const pair s = fast_two_sum(PI_2_PAIR_0, -2.0 * h.t.high);
    const double near_1 = s.high + (s.low + (PI_2_PAIR_1 - 2.0 * (h.rest + h.t.low)));
    return signed_as(a < 0.5 ? h.t.high + h.rest : near_1, x);
}

INLINE double simd_arccos(double x)
{
    const double a = magnitude(x);
    const half_angle h = half_angle_of(a);
    const pair right = fast_two_sum(PI_2_PAIR_0, -x), left = fast_two_sum(2.0 * PI_2_PAIR_0, -2.0 * h.t.high);
    const double middle = right.high + (right.low + (PI_2_PAIR_1 - signed_as(magnitude(h.rest), x)));
    const double near_1 = 2.0 * (h.t.high + (h.t.low + h.rest));
    const double near_minus_1 = left.high + (left.low + 2.0 * (PI_2_PAIR_1 - (h.rest + h.t.low)));
    return choose(a < 0.5, middle, choose(x > 0.0, near_1, near_minus_1));
}

#endif
