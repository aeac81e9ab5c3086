"""The record of an elementwise op: what it computes, its partial derivatives, and where a test may try it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

CELL = 1 / 8  # the lattice that sampled operands stay away from


class Range(NamedTuple):
    """Values that a test may give to one operand.

    Parameters
    ----------
    lo, hi : float
        Bounds; multiples of 1/8 for floating operands. Integers include `hi`.
    mirrored : bool
        Take ``-x`` as often as ``x``.
    dtype : str or None
        A fixed dtype (integers, booleans, time); None is the floating dtype under test.
    """

    lo: float
    hi: float
    mirrored: bool = False
    dtype: str | None = None

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, slot: float, jitter: float) -> Any:
        """Random array of `shape`; floating values sit at ``slot +- jitter`` of a random cell of width 1/8."""
        if self.dtype is not None:
            return np.asarray(rng.integers(int(self.lo), int(self.hi), shape, endpoint=True)).astype(self.dtype)
        cell = rng.integers(round(self.lo / CELL), round(self.hi / CELL), shape)
        values = CELL * (cell + slot + jitter * rng.uniform(-1, 1, shape))
        signs = rng.choice([-1.0, 1.0], shape) if self.mirrored else 1.0
        return np.asarray(signs * values).astype(dtype)


@dataclass(frozen=True, eq=False, repr=False)
class Elementwise:
    """One elementwise op: its primal, its partial derivatives, and how to test it.

    Parameters
    ----------
    name : str
        Unique; the ``__name__`` of `ufunc`.
    ufunc : callable
        The primal: a NumPy ufunc, or a function of arrays made `overridable`.
    nin, nout : int
        Numbers of operands and results.
    partials : callable or None
        ``partials(*operands, *results)``: a tuple with one entry per operand, or for ``nout > 1`` one such tuple per
        result. An entry is an expression made of Python operators, ufuncs and functions of the op table, and Python
        numbers; or it is a plain Python number, which is then a structural constant: it holds everywhere, and 0 says
        that the result does not depend on the operand. None: the op is inactive, its results carry no derivative
        (or, for `kind` "select", the drivers know it).
    domain : tuple of Range
        One per operand, away from poles; lattice points (see `sample`) may be kinks.
    oracle : {"complex", "difference", None}
        How tests differentiate the primal: complex step (the primal is analytic and has a complex loop, so that the
        partials hold for complex operands too), extrapolated central differences, or not at all (inactive ops, and
        `stop_gradient`, whose derivative is not that of its primal).
    kind : {"plain", "select"}
        "select": a choice among operands, differentiated by choosing among tangents.
    complex_partials : callable or None
        Like `partials`, by complex operands, where `oracle` is not "complex": ``dz = p * dx``, or its real part if the
        result is real (`conjugate` apart: its tangent is the conjugate one). None: no derivative is known there.
    strong : bool
        Products of tangents with the partials are strong as the primal is, and the factor whose zero wins stands
        first: ``d strong_multiply(g, p) = strong_multiply(dg, p) + strong_multiply(g, dp)``.

    Notes
    -----
    Operands are assumed to be broadcast and cast to the dtype of the op's loop. Python numbers in an expression
    are weak (NEP 50), so that the partials of a float32 op are float32.

    An op of another library is one more record::

        Elementwise("erf", scipy.special.erf, 1, 1, lambda x, z: (1.1283791670955126 * np.exp(-x * x),),
                    (Range(-2, 2),), "complex")
    """

    name: str
    ufunc: Callable[..., Any]
    nin: int
    nout: int
    partials: Callable[..., tuple] | None
    domain: tuple[Range, ...]
    oracle: Literal["complex", "difference"] | None
    kind: Literal["plain", "select"] = "plain"
    strong: bool = False
    complex_partials: Callable[..., tuple] | None = None

    def __post_init__(self) -> None:
        if len(self.domain) != self.nin:
            raise ValueError(f"{self.name} has {self.nin} operands but a domain for {len(self.domain)}")
        if self.partials is None and self.oracle is not None:
            raise ValueError(f"{self.name} has no partials, so its oracle must be None, not {self.oracle!r}")

    def __repr__(self) -> str:
        return f"<elementwise {self.name}: {self.nin} -> {self.nout}>"

    @property
    def active(self) -> bool:
        """Whether results can carry a derivative."""
        return self.partials is not None or self.kind == "select"

    @property
    def of_complex(self) -> Callable[..., tuple] | None:
        """The partials by complex operands; None if there are none."""
        return self.partials if self.oracle == "complex" else self.complex_partials

    def rows(self, operands: tuple, results: tuple) -> tuple[tuple, ...]:
        """The partials as one tuple per result, whatever `nout`; each has one entry per operand.

        Raises
        ------
        TypeError
            The op has no partials.
        """
        if self.partials is None:
            raise TypeError(f"{self.name} has no partial derivatives")
        partials = self.partials(*operands, *results)
        return (partials,) if self.nout == 1 else partials

    def sample(self, rng: np.random.Generator, *shapes: tuple[int, ...], dtype: Any = np.float64) -> tuple:
        """Random operands inside the domain, one per shape.

        The floating values of operand `k` keep to their own part of each cell of width 1/8. So they are at least 1/64
        away from multiples of 1/8 and, for up to three operands, from each other: away from the kinks of rounding
        and from ties, though not from those which depend on a quotient.
        """
        step = 1 / (self.nin + 1)
        slots = [(k + 1) * step for k in range(self.nin)]
        places = zip(self.domain, shapes, slots, strict=True)
        return tuple(values.sample(rng, shape, dtype, slot, step / 4) for values, shape, slot in places)


def overridable(primal: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of arrays honour ``__array_ufunc__`` of its operands, as a ufunc does."""

    @functools.wraps(primal)
    def function(*operands: Any) -> Any:
        for operand in operands:
            override = getattr(type(operand), "__array_ufunc__", None)
            if override is not None and override is not np.ndarray.__array_ufunc__:
                return override(operand, function, "__call__", *operands)
        return primal(*operands)

    return function
