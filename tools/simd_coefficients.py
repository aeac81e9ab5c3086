"""Writes sparsead/engine/simd/coefficients.h: polynomials and split constants of the vector functions.

    python tools/simd_coefficients.py

Needs mpmath. A polynomial interpolates its function in 60 digits at roots of a Chebyshev polynomial, which is within a bit
of the best there is (L. N. Trefethen, Approximation Theory and Approximation Practice, chapter 16), and is then rounded
coefficient by coefficient; what its degree leaves is printed beside it.
"""

from pathlib import Path

import mpmath as mp

mp.mp.dps = 60
HEADER = Path(__file__).resolve().parents[1] / "sparsead" / "engine" / "simd" / "coefficients.h"
INTRODUCTION = """/* Written by tools/simd_coefficients.py: edit that. */
#ifndef SPARSEAD_SIMD_COEFFICIENTS_H
#define SPARSEAD_SIMD_COEFFICIENTS_H

#include "doubles.h"
"""


def series(coefficients):
    """A function of z by its Taylor series, for arguments where the closed form cancels."""
    return lambda z: mp.fsum(coefficients(k) * z**k for k in range(60))


def arcsin_coefficient(k):
    return mp.binomial(2 * k, k) / (mp.mpf(4) ** k * (2 * k + 1))


EXP_END, TRIG_END = (mp.log(2) / 2) ** 2, (mp.pi / 4) ** 2
LOG_END = (3 - 2 * mp.sqrt(2)) ** 2

# name, what it is, coefficients of its series in z, end of the range of z, degree, power of z that errors are multiplied by
POLYNOMIALS = [
    ("cosh_tail", "(cosh r - 1) / z, z = r^2, |r| <= log(2) / 2", lambda k: 1 / mp.factorial(2 * k + 2), EXP_END, 5, 1),
    ("sinh_tail", "(sinh r / r - 1) / z", lambda k: 1 / mp.factorial(2 * k + 3), EXP_END, 4, 1),
    (
        "log_tail",
        "(log((1 + s) / (1 - s)) / s - 2) / z, z = s^2, s = f / (2 + f)",
        lambda k: mp.mpf(2) / (2 * k + 3),
        LOG_END,
        6,
        1,
    ),
    ("log_tail_long", "(log((1 + s) / (1 - s)) / s - 2 - 2/3 z) / z^2", lambda k: mp.mpf(2) / (2 * k + 5), LOG_END, 8, 2),
    ("sin_tail", "(sin r / r - 1) / z, |r| <= pi / 4", lambda k: (-1) ** (k + 1) / mp.factorial(2 * k + 3), TRIG_END, 5, 1),
    ("cos_tail", "(cos r - 1 + z / 2) / z^2", lambda k: (-1) ** k / mp.factorial(2 * k + 4), TRIG_END, 5, 2),
    (
        "arctan_tail",
        "(arctan t / t - 1) / z, |t| <= 7/16",
        lambda k: mp.mpf(-1) ** (k + 1) / (2 * k + 3),
        mp.mpf(7) ** 2 / 256,
        10,
        1,
    ),
    ("arcsin_tail", "(arcsin t / t - 1) / z, |t| <= 1/2", lambda k: arcsin_coefficient(k + 1), mp.mpf(1) / 4, 12, 1),
]


def interpolate(function, end, degree):
    """Coefficients, lowest first, of a polynomial on [0, end] whose error times z has equal extremes.

    z times the product of all z - node is then a Chebyshev polynomial, on an interval that begins before 0 so that one of
    its roots is 0 itself; the other roots are the nodes.
    """
    cosines = [mp.cos((2 * i + 1) * mp.pi / (2 * degree + 4)) for i in range(degree + 2)]
    nodes = [end * (c + cosines[0]) / (1 + cosines[0]) for c in cosines[:-1]]
    powers = mp.matrix([[x**k for k in range(degree + 1)] for x in nodes])
    return [float(c) for c in mp.lu_solve(powers, mp.matrix([function(x) for x in nodes]))]


def worst_error(function, coefficients, end, factor):
    """log2 of the largest error on the range, times that power of z."""
    points = [end * i / 500 for i in range(1, 501)]
    error = max(abs(x**factor * (function(x) - mp.polyval([mp.mpf(c) for c in coefficients[::-1]], x))) for x in points)
    return float(mp.log(error, 2))


def print_polynomial(name, comment, coefficient, end, degree, factor):
    """A C function that evaluates by Horner's rule."""
    function = series(coefficient)
    coefficients = interpolate(function, end, degree)
    error = worst_error(function, coefficients, end, factor)
    lines = [f"/* {comment}; error of the result 2^{error:.1f} */", f"INLINE double {name}(double z)", "{"]
    lines += [f"    double p = {coefficients[-1].hex()};"]
    lines += [f"    p = muladd(p, z, {c.hex()});" for c in coefficients[-2::-1]]
    return "\n".join([*lines, "    return p;", "}", ""])


def parts(x, *bits):
    """`x` as a sum of doubles, of so many bits each, rounded towards zero, and of what is left."""
    result = []
    for b in bits:
        unit = mp.mpf(2) ** (int(mp.floor(mp.log(abs(x), 2))) + 1 - b)
        result.append(float(mp.floor(x / unit) * unit if x > 0 else mp.ceil(x / unit) * unit))
        x -= mp.mpf(result[-1])
    return [*result, float(x)]


# A product of a part of b bits and an integer of 53 - b bits is exact.
CONSTANTS = {
    "LOG2_PARTS": ("log(2); the first times an exponent is exact", parts(mp.log(2), 32)),
    "PI_2_PARTS": ("pi / 2; the first three times a quadrant below 2^20 are exact", parts(mp.pi / 2, 33, 33, 33)),
    "PI_2_TRIPLE": ("pi / 2 in parts of full length", parts(mp.pi / 2, 53, 53)),
    "PI_2_PAIR": ("pi / 2 as a double, and what that leaves", parts(mp.pi / 2, 53)),
    "INV_LOG2_PARTS": ("1 / log(2); the first times a number of 32 bits is exact", parts(1 / mp.log(2), 21)),
    "INV_LOG10_PARTS": ("1 / log(10); likewise", parts(1 / mp.log(10), 21)),
    "LOG10_2_PARTS": ("log10(2); the first times an exponent is exact", parts(mp.log10(2), 32)),
    "INV_LOG2": ("1 / log(2)", [float(1 / mp.log(2))]),
    "INV_PI_2": ("2 / pi", [float(2 / mp.pi)]),
    "SQRT_HALF": ("sqrt(1/2)", [float(mp.sqrt(mp.mpf(1) / 2))]),
    "TWO_THIRDS": ("2 / 3 as a double, and what that leaves", parts(mp.mpf(2) / 3, 53)),
    "ARCTAN_HALF": ("arctan(1/2) as a double, and what that leaves", parts(mp.atan(mp.mpf(1) / 2), 53)),
    "ARCTAN_1": ("arctan(1)", parts(mp.atan(1), 53)),
    "ARCTAN_3_HALVES": ("arctan(3/2)", parts(mp.atan(mp.mpf(3) / 2), 53)),
}


def print_constant(name, comment, values):
    names = [name] if len(values) == 1 else [f"{name}_{i}" for i in range(len(values))]
    return "\n".join([f"/* {comment} */", *(f"#define {n} {v.hex()}" for n, v in zip(names, values, strict=True)), ""])


def main():
    constants = [print_constant(name, *row) for name, row in CONSTANTS.items()]
    polynomials = [print_polynomial(*row) for row in POLYNOMIALS]
    HEADER.write_text("\n".join([INTRODUCTION, *constants, *polynomials, "#endif\n"]))


if __name__ == "__main__":
    main()
