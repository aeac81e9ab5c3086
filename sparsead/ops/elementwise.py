"""The table of elementwise ops: each states its partial derivatives once, as an expression of other ops.

Everything else about a derivative (tangent, adjoint, broadcasting, sparsity, higher order) follows from these
expressions. They are written for real operands; a record whose oracle is "complex" holds for complex ones as well, and some
have others for these.
The formulas are those of any table of derivatives, for example Abramowitz and Stegun, Handbook of Mathematical
Functions, chapters 3 and 4; what needs thought is rounding, overflow and kinks, and the comments are about these.

Conventions at kinks, those of JAX where it has the function: ties of maximum, minimum, fmax and fmin share 1/2 each,
and clip is ``minimum(maximum(x, lo), hi)``; the derivative of a modulus at 0 is 0 (absolute, fabs, copysign, and hypot
and arctan2 at the origin); steps (sign, floor, heaviside in its first operand, ...) have derivative 0 everywhere, and
what wraps around (remainder, fmod, modf, frexp) has the derivative of the piece; x**0 is flat even at x = 0. NaN
operands of a partial give NaN, except that fmax and fmin pass over NaN as their primals do.

Not here: the generalized ufuncs of NumPy (matmul, vecdot, vecmat, matvec: those with a ``signature``), which belong to
the contractions, and the ufuncs on strings (those private to `numpy.strings`), which take no floating operands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy._core.umath import clip as _clip_ufunc  # type: ignore[attr-defined]  # np.clip is a function around it

from sparsead.ops.record import Elementwise, Range, overridable

__all__ = ["BY_NAME", "RECORDS", "TABLE", "Elementwise", "Range", "select", "stop_gradient", "strong_multiply"]

LN2, LN10, DEGREE = math.log(2.0), math.log(10.0), math.pi / 180.0
ANY = Range(-2, 2)
POSITIVE = Range(0.25, 2)
NONZERO = Range(0.25, 2, mirrored=True)
UNIT = Range(-0.875, 0.875)
# Quotients of these two stay between 2 and 3 in size.
DIVIDEND, DIVISOR = Range(2.25, 2.625, mirrored=True), Range(0.875, 1.125, mirrored=True)
INTEGER = Range(-9, 9, dtype="int64")
SHIFT = Range(0, 5, dtype="int64")
BOOLEAN = Range(0, 1, dtype="bool")
TIME = Range(-9, 9, dtype="m8[s]")


def _analytic(ufunc: np.ufunc, partials: Callable[..., tuple], *domain: Range) -> Elementwise:
    return Elementwise(ufunc.__name__, ufunc, ufunc.nin, ufunc.nout, partials, domain, "complex")


def _real(ufunc: np.ufunc, partials: Callable[..., tuple], *domain: Range, by_complex: Any = None) -> Elementwise:
    return Elementwise(
        ufunc.__name__, ufunc, ufunc.nin, ufunc.nout, partials, domain, "difference", complex_partials=by_complex
    )


def _inactive(ufunc: np.ufunc, *domain: Range) -> Elementwise:
    return Elementwise(ufunc.__name__, ufunc, ufunc.nin, ufunc.nout, None, domain, None)


# ---- Ops that are no ufuncs -----------------------------------------------------------------------------------


@overridable
def select(condition: Any, a: Any, b: Any) -> Any:
    """`a` where `condition` holds, else `b`, elementwise: ``np.where`` with three operands."""
    return np.where(condition, a, b)[()]


@overridable
def strong_multiply(g: Any, p: Any) -> Any:
    """``g * p``, but exactly 0 where `g` is 0, also if `p` is infinite or NaN there."""
    with np.errstate(invalid="ignore"):
        return np.where(g == 0, 0.0, np.multiply(g, p))[()]


@overridable
def stop_gradient(x: Any) -> Any:
    """`x` with derivative 0."""
    return np.array(x)[()]


EXTRA = [
    Elementwise("select", select, 3, 1, None, (BOOLEAN, ANY, ANY), None, kind="select"),
    # d(g * p) = strong(dg, p) + strong(g, dp): the zero that wins is that of the operand which came first.
    Elementwise(
        "strong_multiply", strong_multiply, 2, 1, lambda g, p, z: (p, g), (NONZERO, ANY), "complex", strong=True
    ),
    Elementwise(
        "stop_gradient", stop_gradient, 1, 1, lambda x, z: (0,), (ANY,), None, complex_partials=lambda x, z: (0,)
    ),
]


# ---- Arithmetic -----------------------------------------------------------------------------------------------


def _power(x: Any, y: Any, z: Any) -> tuple:
    # y * x**(y - 1) is 0 * inf only where both vanish. Guarding all of y == 0 would lose d2z/dxdy = 1/x there.
    base = select(np.logical_and(x == 0.0, y == 0.0), 1.0, x)
    # z is 0 where x is (y > 0), and where it underflows: log(1) stands in. For x < 0 the logarithm is NaN, rightly.
    return y * base ** (y - 1.0), z * np.log(select(z == 0.0, 1.0, x))


def _wraps(x: Any, y: Any, z: Any) -> tuple:
    # z = x + n * y. Not n = -floor(x / y): a rounded quotient may reach the next integer before x does.
    return 1, np.rint((z - x) / y)


ARITHMETIC = [
    _analytic(np.add, lambda x, y, z: (1, 1), ANY, ANY),
    _analytic(np.subtract, lambda x, y, z: (1, -1), ANY, ANY),
    _analytic(np.multiply, lambda x, y, z: (y, x), ANY, ANY),
    _analytic(np.divide, lambda x, y, z: (1 / y, -z / y), ANY, NONZERO),
    _analytic(np.power, _power, POSITIVE, Range(-2, 3)),
    _analytic(np.float_power, _power, POSITIVE, Range(-2, 3)),
    _analytic(np.negative, lambda x, z: (-1,), ANY),
    _analytic(np.positive, lambda x, z: (1,), ANY),
    _analytic(np.reciprocal, lambda x, z: (-z * z,), NONZERO),
    _analytic(np.square, lambda x, z: (2 * x,), ANY),
    _analytic(np.sqrt, lambda x, z: (0.5 / z,), POSITIVE),
    _real(np.cbrt, lambda x, z: ((1 / 3) / (z * z),), NONZERO),
    _real(np.conjugate, lambda x, z: (1,), ANY, by_complex=lambda x, z: (1,)),
    _real(np.remainder, _wraps, DIVIDEND, DIVISOR),
    _real(np.fmod, _wraps, DIVIDEND, DIVISOR),
    _real(np.divmod, lambda x, y, q, r: ((0, 0), (1, -q)), DIVIDEND, DIVISOR),
]


# ---- Exponentials and logarithms --------------------------------------------------------------------------------


def _log_of_sum(exp: Callable[[Any], Any], log_half: float) -> Callable[..., tuple]:
    # The partials are the shares exp(x - z) and exp(y - z) of the sum; the exponents are never positive, so that no
    # order of derivative overflows. x - z is NaN for an infinite x = z. Where x == z, x has it all (to rounding),
    # unless y == z as well: equal infinities, or too large for z = x + log(2) to be seen; then each has half.
    def partials(x: Any, y: Any, z: Any) -> tuple:
        x_all, y_all = x == z, y == z
        both = np.logical_and(x_all, y_all)
        return (
            exp(select(both, log_half, select(x_all, 0.0, x - z))),
            exp(select(both, log_half, select(y_all, 0.0, y - z))),
        )

    return partials


EXPONENTIAL = [
    _analytic(np.exp, lambda x, z: (z,), ANY),
    _analytic(np.exp2, lambda x, z: (LN2 * z,), ANY),
    # Not z + 1, which cancels: at x = -30 it has four digits, from -38 on it is 0.
    _analytic(np.expm1, lambda x, z: (np.exp(x),), ANY),
    _analytic(np.log, lambda x, z: (1 / x,), POSITIVE),
    _analytic(np.log2, lambda x, z: ((1 / LN2) / x,), POSITIVE),
    _analytic(np.log10, lambda x, z: ((1 / LN10) / x,), POSITIVE),
    _analytic(np.log1p, lambda x, z: (1 / (1 + x),), Range(-0.75, 2)),
    _real(np.logaddexp, _log_of_sum(np.exp, -LN2), ANY, ANY),
    _real(np.logaddexp2, _log_of_sum(np.exp2, -1.0), ANY, ANY),
]


# ---- Trigonometric and hyperbolic functions, and their inverses ---------------------------------------------------


def _ratio(a: Any, b: Any) -> Any:
    """``a / b``, and flat 0 where `b` is 0; no order of derivative divides by 0."""
    origin = b == 0.0
    return select(origin, 0.0, a / select(origin, 1.0, b))


def _hypot(x: Any, y: Any, z: Any) -> tuple:
    return _ratio(x, z), _ratio(y, z)


def _arctan2(y: Any, x: Any, z: Any) -> tuple:
    # Dividing twice by r, not once by x*x + y*y, which underflows in float32 for coordinates below 1e-19.
    r = np.hypot(x, y)
    return _ratio(_ratio(x, r), r), -_ratio(_ratio(y, r), r)


# (1 - x) * (1 + x) is exact to rounding near +-1, where 1 - x * x cancels.
TRIGONOMETRIC = [
    _analytic(np.sin, lambda x, z: (np.cos(x),), ANY),
    _analytic(np.cos, lambda x, z: (-np.sin(x),), ANY),
    _analytic(np.tan, lambda x, z: (1 + z * z,), Range(-1.25, 1.25)),
    _analytic(np.arcsin, lambda x, z: (1 / np.sqrt((1 - x) * (1 + x)),), UNIT),
    _analytic(np.arccos, lambda x, z: (-1 / np.sqrt((1 - x) * (1 + x)),), UNIT),
    _analytic(np.arctan, lambda x, z: (1 / (1 + x * x),), ANY),
    _real(np.arctan2, _arctan2, NONZERO, NONZERO),
    _real(np.hypot, _hypot, NONZERO, NONZERO),
    _analytic(np.sinh, lambda x, z: (np.cosh(x),), ANY),
    _analytic(np.cosh, lambda x, z: (np.sinh(x),), ANY),
    _analytic(np.tanh, lambda x, z: (1 - z * z,), ANY),
    _analytic(np.arcsinh, lambda x, z: (1 / np.sqrt(1 + x * x),), ANY),
    _analytic(np.arccosh, lambda x, z: (1 / (np.sqrt(x - 1) * np.sqrt(x + 1)),), Range(1.25, 3)),
    _analytic(np.arctanh, lambda x, z: (1 / ((1 - x) * (1 + x)),), UNIT),
    _real(np.degrees, lambda x, z: (1 / DEGREE,), ANY),
    _real(np.rad2deg, lambda x, z: (1 / DEGREE,), ANY),
    _real(np.radians, lambda x, z: (DEGREE,), ANY),
    _real(np.deg2rad, lambda x, z: (DEGREE,), ANY),
]


# ---- Kinks and steps ----------------------------------------------------------------------------------------------


def _step(a: Any, b: Any) -> Any:
    """1 where ``a > b``, 1/2 at ties, 0 where ``a < b``; equality is asked first because inf - inf is NaN."""
    return select(a == b, 0.5, np.heaviside(a - b, 0.5))


def _shared(share: Any) -> tuple:
    return share, 1.0 - share


def _fmax(x: Any, y: Any, z: Any) -> tuple:
    # To fmax a NaN is minus infinity; two NaN tie.
    return _shared(_step(np.fmax(x, -np.inf), np.fmax(y, -np.inf)))


def _fmin(x: Any, y: Any, z: Any) -> tuple:
    return _shared(_step(np.fmin(y, np.inf), np.fmin(x, np.inf)))


def _clip(x: Any, lo: Any, hi: Any, z: Any) -> tuple:
    raised = np.maximum(x, lo)
    above, below = _step(x, lo), _step(hi, raised)
    return above * below, (1.0 - above) * below, 1.0 - below


def _power_of_two(x: Any, n: Any) -> Any:
    # ldexp(1.0, n) would be float64 whatever the loop: n is an integer and 1.0 is weak. copysign has x's dtype.
    return np.absolute(np.ldexp(np.copysign(1.0, x), n))


KINKS = [
    _real(np.absolute, lambda x, z: (np.sign(x),), NONZERO, by_complex=lambda x, z: (_ratio(np.conjugate(x), z),)),
    _real(np.fabs, lambda x, z: (np.sign(x),), NONZERO),
    _real(np.copysign, lambda x, y, z: (np.sign(x) * np.copysign(1.0, y), 0), NONZERO, NONZERO),
    _real(np.maximum, lambda x, y, z: _shared(_step(x, y)), ANY, ANY),
    _real(np.minimum, lambda x, y, z: _shared(_step(y, x)), ANY, ANY),
    _real(np.fmax, _fmax, ANY, ANY),
    _real(np.fmin, _fmin, ANY, ANY),
    _real(_clip_ufunc, _clip, ANY, ANY, ANY),
    _real(np.modf, lambda x, fraction, whole: ((1,), (0,)), ANY),
    _real(np.frexp, lambda x, mantissa, n: ((_power_of_two(x, -n),), (0,)), NONZERO),
    _real(np.ldexp, lambda x, n, z: (_power_of_two(x, n), 0), ANY, Range(-3, 3, dtype="int32")),
    # The neighbour of x moves with x.
    _real(np.nextafter, lambda x, y, z: (1, 0), ANY, ANY),
    # -|x| is negative but at 0, where the result is the second operand.
    _real(np.heaviside, lambda x, h, z: (0, np.heaviside(-np.absolute(x), 1.0)), NONZERO, ANY),
    _real(np.sign, lambda x, z: (0,), NONZERO),
    _real(np.spacing, lambda x, z: (0,), NONZERO),
    _real(np.floor, lambda x, z: (0,), ANY),
    _real(np.ceil, lambda x, z: (0,), ANY),
    _real(np.rint, lambda x, z: (0,), ANY, by_complex=lambda x, z: (0,)),
    _real(np.trunc, lambda x, z: (0,), ANY),
    _real(np.floor_divide, lambda x, y, z: (0, 0), DIVIDEND, DIVISOR),
]


# ---- Results without a derivative: truth values and integers ------------------------------------------------------

COMPARISONS = (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)
LOGIC = (np.logical_and, np.logical_or, np.logical_xor)
BITS = (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.gcd, np.lcm)

INACTIVE = [
    *(_inactive(ufunc, ANY, ANY) for ufunc in COMPARISONS + LOGIC),
    *(_inactive(ufunc, ANY) for ufunc in (np.logical_not, np.isnan, np.isinf, np.isfinite, np.signbit)),
    *(_inactive(ufunc, INTEGER, INTEGER) for ufunc in BITS),
    *(_inactive(ufunc, INTEGER, SHIFT) for ufunc in (np.left_shift, np.right_shift)),
    *(_inactive(ufunc, INTEGER) for ufunc in (np.invert, np.bitwise_count)),
    _inactive(np.isnat, TIME),
]


RECORDS: list[Elementwise] = [*EXTRA, *ARITHMETIC, *EXPONENTIAL, *TRIGONOMETRIC, *KINKS, *INACTIVE]
# By function object, so that aliases (np.abs, np.conj, np.true_divide, np.mod, ...) need no entry.
TABLE: dict[Callable[..., Any], Elementwise] = {record.ufunc: record for record in RECORDS}
BY_NAME: dict[str, Elementwise] = {record.name: record for record in RECORDS}
