"""Whether the derivatives of a function are right at a point: against differences, and against one another."""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np

from sparsead.derivatives.gradients import grad
from sparsead.derivatives.inputs import at_place, is_under, rebuilt
from sparsead.derivatives.products import hvp, jvp, vjp
from sparsead.derivatives.verifying import DerivativeError
from sparsead.tracing.libraries import attributes
from sparsead.tracing.memory import Block, groups
from sparsead.tracing.record import bind, name_of
from sparsead.tracing.substitution import Walk, path_text, resolve

DIRECTIONS = 3
HALVINGS = 6  # of the step of the central differences
TAYLOR_STEPS = 10  # each a quarter of the one before
ABOVE_NOISE = 30.0  # a remainder counts while it is this many times the noise


@dataclass(frozen=True)
class Report:
    """What `check_derivatives` found; every check passed.

    Attributes
    ----------
    function : str
    order : int
        1 or 2: the derivatives that were checked.
    difference : float
        Largest error of a tangent against central differences, relative to its tolerance (below 1).
    dot : float
        Largest mismatch of tangent and adjoint, relative to the terms of the dot products.
    rate : float
        Smallest order at which the first Taylor remainder vanished: 2, or more; inf where it was rounding from the
        start.
    """

    function: str
    order: int
    difference: float
    dot: float
    rate: float

    def __repr__(self):
        return (
            f"<derivatives of {self.function} are right to order {self.order}: difference/tolerance "
            f"{self.difference:.1e}, adjoint mismatch {self.dot:.1e}, Taylor rate {self.rate:.2f}>"
        )


def check_derivatives(f, *args, wrt=0, of="return", order=2, seed=0, rtol=None, **kwargs):
    """Check the derivatives of a function at a point, along random directions.

    Three tests: the tangent against extrapolated central differences of `f` itself, element by element; the Taylor
    test, ``|f(x + h v) - f(x) - h J v| = O(h^2)``; and the agreement of tangent and adjoint, ``<w, J v> = <J^T w,
    v>``. For ``order=2`` and a function with one number as its result, Hessian-vector products are held against
    differences of the gradient, and ``<u, H v> = <H u, v>`` is checked.

    Parameters
    ----------
    f : callable
        Anything that `sparsead.jvp` takes. It is called many times.
    *args, **kwargs
        The point. Floats, arrays, and nested structures of them; neither they nor arrays that `f` captures are changed. A
        complex number is checked as its real and its imaginary part.
    wrt, of : int, str or tuple of these
        As in `sparsead.jvp`.
    order : {1, 2}
    seed : int
        Of the random directions, which are relative to the size of the numbers.
    rtol : float, optional
        Tolerance for an element of a tangent, added to the estimated error of the differences; 1e-6, and 5e-3 if any
        of the arguments or results is float32.

    Returns
    -------
    Report

    Raises
    ------
    DerivativeError
        A test failed, or a value or derivative is NaN or infinite. The message has the numbers, the arguments that a
        wrong derivative belongs to, and the first direction that shows it.
    TypeError, ValueError, TraceError
        As `sparsead.jvp` raises them.

    Notes
    -----
    Differences: Richardson extrapolation, as Ridders, Advances in Engineering Software 4 (1982). Noise of `f`: the
    difference table of Moré and Wild, SIAM J. Sci. Comput. 33 (2011).

    Examples
    --------
    >>> import numpy as np
    >>> from sparsead.testing import check_derivatives
    >>> report = check_derivatives(lambda x: np.sum(np.sin(x) ** 2), np.array([1.0, 2.0]))
    >>> report.order
    2

    """
    if order not in (1, 2):
        raise ValueError(f"check_derivatives: order={order!r} has to be 1 or 2")
    check = _Check(f, args, kwargs, wrt, of, seed, rtol)
    difference, dot, rate = check.first_order()
    if order == 2 and check.base.size == 1:
        more, symmetric = check.second_order()
        return Report(check.name, 2, max(difference, more), max(dot, symmetric), rate)
    return Report(check.name, 1, difference, dot, rate)


# ---- structures -----------------------------------------------------------------------------------------------------


def _mapped(obj, function):
    """`obj` with ``function(number or array)`` in place of its numbers and arrays, in a fixed order."""
    if isinstance(obj, (np.ndarray, np.number)) or (isinstance(obj, (float, int, complex)) and not isinstance(obj, bool)):
        return function(obj)
    if isinstance(obj, dict):
        return {k: _mapped(x, function) for k, x in obj.items()}
    if isinstance(obj, tuple) and hasattr(obj, "_fields"):
        return type(obj)(*(_mapped(x, function) for x in obj))
    if isinstance(obj, (list, tuple)):
        return type(obj)(_mapped(x, function) for x in obj)
    if is_dataclass(obj) and not isinstance(obj, type):
        return replace(obj, **{f.name: _mapped(getattr(obj, f.name), function) for f in fields(obj)})
    return obj


def _flat(obj):
    """All numbers of a structure as one vector; a complex one is two."""
    found = []
    _mapped(obj, lambda x: found.append(_reals(x)))
    return np.concatenate(found) if found else np.zeros(0)


def _reals(x):
    """A vector of numbers, each complex one as its real and its imaginary part."""
    x = np.array(x).ravel()
    return x.view(x.real.dtype) if x.dtype.kind == "c" else x


def _is_floating(x):
    return isinstance(x, (float, complex, np.inexact)) or (isinstance(x, np.ndarray) and x.dtype.kind in "fc")


class _Point:
    """The differentiated arguments: their leaves, and moving along a direction with all aliasing kept.

    A direction is a dict from paths to arrays. Leaves that share memory move together.
    """

    def __init__(self, bound, places):
        self.bound, self.places, self.leaves = bound, places, {}
        for place in places:
            self._find(at_place(place, "wrt", bound.arguments), place)
        walk = Walk()
        for name, value in bound.arguments.items():
            walk.scan(value, (("argument", name),), True)
        self.arrays = [leaf.value for leaf in walk.leaves if leaf.kind == "array"]
        self.blocks = [Block(members, self.arrays, True) for members in groups(self.arrays)] if self.arrays else []

    def _find(self, obj, path):
        if _is_floating(obj):
            self.leaves[path] = obj
        elif isinstance(obj, dict):
            for k, x in obj.items():
                self._find(x, (*path, ("item", k)))
        elif isinstance(obj, (list, tuple)):
            for k, x in enumerate(obj):
                self._find(x, (*path, ("item", k)))
        elif attributes(obj) and not callable(obj):
            for k, x in attributes(obj).items():
                self._find(x, (*path, ("attribute", k)))

    def direction(self, rng, only=None):
        """Random, of the size of each number; zero outside the leaf `only` (and others that are the same array)."""
        result = {path: _direction_of(rng, x) for path, x in self.leaves.items()}
        if only is not None:
            result = {p: v if self.leaves[p] is self.leaves[only] else 0 * v for p, v in result.items()}
        memory = {id(self.leaves[path]): v for path, v in result.items()}
        for block in self.blocks:
            given = {k: memory[id(self.arrays[m])] for k, m in enumerate(block.members) if id(self.arrays[m]) in memory}
            base = block.seed(given)
            for place, m in enumerate(block.members):
                for path, x in self.leaves.items():
                    if x is self.arrays[m]:
                        result[path] = np.array(block.member(base, place), order="C")
        return result

    def tangent(self, direction):
        """`direction` in the structure of the differentiated arguments."""
        return tuple(rebuilt(resolve(place, self.bound.arguments), place, direction) for place in self.places)

    def moved(self, direction, h):
        """Arguments and keywords at ``x + h * direction``, on memory of their own."""
        memo, moving = {}, {id(self.leaves[path]): v for path, v in direction.items()}
        for block in self.blocks:
            _, views = block.private(self.arrays)
            for m, view in zip(block.members, views, strict=True):
                if id(self.arrays[m]) in moving:
                    view[...] = self.arrays[m] + h * moving[id(self.arrays[m])]
                memo[id(self.arrays[m])] = view
        new = copy.deepcopy(dict(self.bound.arguments), memo)
        leaves = {path: resolve(path, new) for path in self.leaves}
        leaves |= {path: type(x)(x + h * direction[path]) for path, x in leaves.items() if not isinstance(x, np.ndarray)}
        for argument in {place[0] for place in self.places}:
            new[argument[1]] = rebuilt(new[argument[1]], (argument,), leaves)
        return new

    def product(self, gradient, direction):
        """<gradient, direction>, with each element of shared memory once; and the sum of the terms' sizes."""
        own = {id(self.leaves[path]): g for path, g in gradient.items()}
        pairs = [(gradient[p], direction[p]) for p, x in self.leaves.items() if not isinstance(x, np.ndarray)]
        for block in self.blocks:
            places = [k for k, m in enumerate(block.members) if id(self.arrays[m]) in own]
            toward = {id(self.leaves[p]): v for p, v in direction.items()}
            pairs.append(tuple(block.seed({k: table[id(self.arrays[block.members[k]])] for k in places})
                               for table in (own, toward)))  # fmt: skip
        terms = [np.multiply(_reals(g), _reals(v), dtype=np.float64) for g, v in pairs]
        return sum(float(np.sum(t)) for t in terms), sum(float(np.sum(np.abs(t))) for t in terms)


def _direction_of(rng, x):
    """Every element between half and all of its own size, so that domains are kept; zeros and rounding move by the "
    "typical size."""
    x = np.asarray(x)
    if x.dtype.kind == "c":
        return (_direction_of(rng, x.real) + 1j * _direction_of(rng, x.imag)).astype(x.dtype)
    typical = np.sqrt(np.mean(np.square(x, dtype=np.float64))) if x.size else 0.0
    scale = np.where(np.abs(x) > 1e-8 * typical, np.abs(x), typical or 1.0)
    return (rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1, x.shape) * scale).astype(x.dtype)


# ---- the tests ------------------------------------------------------------------------------------------------------


class _Check:
    def __init__(self, f, args, kwargs, wrt, of, seed, rtol):
        self.f, self.args, self.kwargs, self.wrt, self.of = f, args, kwargs, wrt, of
        self.name = name_of(f)
        self.jvp = jvp(f, wrt, of)
        self.point = _Point(bind(f, args, kwargs), self.jvp.wrt)
        if not self.point.leaves:
            self.jvp.prepare(*args, **kwargs)  # raises the error that names the argument
        self.rng = np.random.default_rng(seed)
        self.captured = _Captured(f)
        self.base = self._values({p: 0 * np.asarray(x) for p, x in self.point.leaves.items()}, 0.0)
        self._finite(self.base, f"{self.name} gives")
        self.eps = self._eps()
        self.rtol = rtol if rtol is not None else (1e-6 if self.eps < 1e-10 else 5e-3)

    def _eps(self):
        dtypes = [np.asarray(x).dtype for x in self.point.leaves.values()] + [self.base.dtype]
        return max(np.finfo(d).eps for d in dtypes if d.kind in "fc")

    # ---- evaluations ------------------------------------------------------------------------------------------------

    def _result(self, direction, h):
        """What `f` itself gives at x + h * direction."""
        new = self.point.moved(direction, h)
        bound = self._bound(new)
        with self.captured.kept(), np.errstate(all="ignore"):
            returned = self.f(*bound.args, **bound.kwargs)
        picked = tuple(returned if item == "return" else resolve(item, new) for item in self.jvp.of)
        return copy.deepcopy(picked if isinstance(self.of, tuple) else picked[0])

    def _bound(self, arguments):
        bound = copy.copy(self.point.bound)
        bound.arguments = arguments
        return bound

    def _values(self, direction, h):
        return _flat(self._result(direction, h))

    def _tangent(self, direction):
        value, dot = self.jvp(*self.args, self._as_given(self.point.tangent(direction)), **self.kwargs)
        self._finite(_flat(value), f"the tape of {self.name} gives")
        return _flat(dot)

    def _gradient(self, direction, h):
        bound = self._bound(self.point.moved(direction, h))
        gradient = grad(self.f, self.wrt, self.of)(*bound.args, **bound.kwargs)
        return _flat(list(self._by_path(gradient).values()))

    def _as_given(self, per_name):
        return per_name if isinstance(self.wrt, tuple) else per_name[0]

    def _by_path(self, structure):
        """A result in the structure of the arguments, by the paths of their leaves."""
        parts = structure if isinstance(self.wrt, tuple) else (structure,)
        found = {}
        for place, part in zip(self.point.places, parts, strict=True):
            paths = [path for path in self.point.leaves if is_under(path, place)]
            found |= {path: resolve((("argument", ""), *path[len(place) :]), {"": part}) for path in paths}
        return found

    def _finite(self, values, what):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise DerivativeError(f"{what} {values[bad[0]]} at element {bad[0]} of {values.size} ({bad.size} not finite)")

    # ---- first order ------------------------------------------------------------------------------------------------

    def first_order(self):
        difference, mismatch, rate = 0.0, 0.0, np.inf
        for k in range(DIRECTIONS):
            v = self.point.direction(self.rng)
            dot = self._tangent(v)
            self._finite(dot, f"the tangent of {self.name} (direction {k}) is")
            difference = max(difference, self._against_differences(k, v, dot))
            rate = min(rate, self._taylor(k, v, dot))
            mismatch = max(mismatch, self._against_adjoint(k, v, dot))
        return difference, mismatch, rate

    def _against_differences(self, k, v, dot):
        errors = self._errors(v, dot, self._values)
        if np.max(errors, initial=0.0) <= 1:
            return np.max(errors, initial=0.0)
        i = int(np.argmax(errors))
        estimate, _, _ = self._differences(v, self._values, dot)
        raise DerivativeError(
            f"the tangent of {self.name}{self._culprit()} is wrong: element {i} of {dot.size} is {dot[i]:.10g}, "
            "central "
            f"differences give {estimate[i]:.10g} ({errors[i]:.3g} times the tolerance of "
            f"{self.rtol:.1g}){self._shown(k, v)}"
        )

    def _errors(self, v, dot, function):
        estimate, noise, size = self._differences(v, function, dot)
        scale = np.maximum(np.abs(dot), np.abs(estimate))
        vague = np.max(noise, initial=0.0) > np.sqrt(self.rtol) * max(np.max(scale, initial=0.0), np.finfo(float).tiny)
        if vague and np.max(noise) > np.sqrt(self.eps) * size:
            raise DerivativeError(
                f"central differences of {self.name} do not converge (estimated error {np.max(noise):.2g}, derivative "
                f"{np.max(scale):.2g}): at this point it has a kink or a jump, or is noise; choose another point"
            )
        return np.abs(dot - estimate) / np.maximum(self.rtol * scale + 10 * noise, np.finfo(float).tiny)

    def _differences(self, v, function, like):
        """Extrapolated central differences along `v`, an estimate of their error, elementwise, and the size of the "
        "values."""
        h = 2.0**-6 if self.eps < 1e-10 else 2.0**-4
        for _ in range(6):  # smaller steps until the function is defined on both sides
            ahead, back = function(v, h), function(v, -h)
            if np.isfinite(ahead).all() and np.isfinite(back).all():
                break
            h /= 8
        if ahead.shape != like.shape:
            raise DerivativeError(f"{self.name} gives {ahead.size} numbers, its derivative {like.size}")
        best, error, previous = None, np.full(like.shape, np.inf), []
        for level in range(HALVINGS):
            step = h / 2**level
            ahead, back = function(v, step).astype(float), function(v, -step).astype(float)
            row = [(ahead - back) / (2 * step)]
            rounding = 4 * self.eps * (np.abs(ahead) + np.abs(back)) / step
            for j, coarse in enumerate(previous):
                row.append(row[j] + (row[j] - coarse) / (4 ** (j + 1) - 1))
                found = np.maximum(np.abs(row[-1] - row[-2]), np.abs(row[-1] - coarse)) + rounding
                best = row[-1] if best is None else np.where(found < error, row[-1], best)
                error = np.minimum(error, found)
            previous = row
        return best, error, np.max(np.abs(ahead), initial=0.0)

    def _taylor(self, k, v, dot):
        """The order at which |f(x + h v) - f(x) - h J v| vanishes, seen at the smallest steps above the noise."""
        noise, rate, before = self._noise(v), np.inf, None
        h = 2.0**-6
        for _ in range(TAYLOR_STEPS):
            remainder = np.linalg.norm(self._values(v, h).astype(float) - self.base - h * dot.astype(float))
            if not remainder > ABOVE_NOISE * (noise + self.eps * h * np.linalg.norm(dot)):
                break
            if before is not None:
                rate = np.log(before / remainder) / np.log(4)
            before, h = remainder, h / 4
        if rate < 1.5:
            raise DerivativeError(
                f"the Taylor remainder of {self.name}{self._culprit()} vanishes at order {rate:.2f} instead of 2 "
                "(remainder "
                f"{before:.3g} at h = {4 * h:.2g}): the derivative is not that of the function{self._shown(k, v)}"
            )
        return rate

    def _noise(self, v):
        """Rounding of `f` near the point, as a norm over its results."""
        spacing = 16 * self.eps
        table = np.stack([self._values(v, j * spacing).astype(float) for j in range(-3, 4)])
        level = 0.0
        for j in range(1, 6):
            table = np.diff(table, axis=0)
            gamma = np.prod([(j - i) / (2 * j - i) for i in range(j)])  # (j!)^2 / (2j)!
            level = np.sqrt(gamma * np.mean(np.sum(table**2, axis=1)))
        return level + self.eps * np.linalg.norm(self.base)

    def _against_adjoint(self, k, v, dot):
        w = _mapped(self._result(v, 0.0), lambda x: _direction_of(self.rng, np.ones(np.shape(x), np.asarray(x).dtype
                    if np.asarray(x).dtype.kind in "fc" else float)))  # fmt: skip
        _, pullback = vjp(self.f, self.wrt, self.of)(*self.args, **self.kwargs)
        gradient = self._by_path(pullback(w))
        self._finite(_flat(list(gradient.values())), f"the adjoint of {self.name} is")
        right, size = self.point.product(gradient, v)
        terms = _flat(w).astype(float) * dot
        left, size = float(np.sum(terms)), size + float(np.sum(np.abs(terms)))
        mismatch = abs(left - right) / size if size else 0.0
        if mismatch > self.eps**0.6:
            raise DerivativeError(
                f"tangent and adjoint of {self.name} disagree: <w, J v> = {left:.12g}, <J^T w, v> = {right:.12g} "
                "(relative to "
                f"their terms {mismatch:.2g}){self._shown(k, v)}"
            )
        return mismatch

    # ---- second order -----------------------------------------------------------------------------------------------

    def second_order(self):
        difference, mismatch, last = 0.0, 0.0, None
        for k in range(DIRECTIONS):
            v = self.point.direction(self.rng)
            given = hvp(self.f, self.wrt, self.of)(*self.args, self._as_given(self.point.tangent(v)), **self.kwargs)
            by_path = self._by_path(given)
            product = _flat(list(by_path.values()))
            self._finite(product, f"the product of the Hessian of {self.name} with direction {k} is")
            errors = self._errors(v, product, self._gradient)
            difference = max(difference, np.max(errors, initial=0.0))
            if difference > 1:
                i = int(np.argmax(errors))
                raise DerivativeError(
                    f"the product of the Hessian of {self.name} with a vector is wrong: element {i} of "
                    f"{product.size} is "
                    f"{product[i]:.10g}, {errors[i]:.3g} times the tolerance from differences of the "
                    f"gradient{self._shown(k, v)}"
                )
            if last is not None:
                mismatch = max(mismatch, self._symmetric(k, v, by_path, *last))
            last = v, by_path
        return difference, mismatch

    def _symmetric(self, k, v, product_v, u, product_u):
        (left, size), (right, more) = self.point.product(product_v, u), self.point.product(product_u, v)
        mismatch = abs(left - right) / (size + more) if size + more else 0.0
        if mismatch > self.eps**0.6:
            raise DerivativeError(
                f"the Hessian of {self.name} is not symmetric: <u, H v> = {left:.12g}, <H u, v> = {right:.12g}{self._shown(k, v)}"
            )
        return mismatch

    # ---- messages ---------------------------------------------------------------------------------------------------

    def _culprit(self):
        """By which arguments it is wrong, found by moving one leaf at a time."""
        wrong = []
        for path in self.point.leaves:
            v = self.point.direction(self.rng, only=path)
            if np.max(self._errors(v, self._tangent(v), self._values), initial=0.0) > 1:
                wrong.append(path_text(path))
        return " by " + ", ".join(wrong) if wrong else ""

    def _shown(self, k, v):
        path, first = next(iter(v.items()))
        numbers = ", ".join(f"{x:.6g}" for x in np.ravel(first)[:4])
        more = ", ..." if np.size(first) > 4 else ""
        return f"; direction {k}: {path_text(path)} moves by ({numbers}{more})"


class _Captured:
    """Arrays that the function reaches: what its own calls write there is undone."""

    def __init__(self, f):
        walk = Walk()
        walk.scan(f, (("function", f),), False)
        self.arrays = [resolve(leaf.path, {}) for leaf in walk.leaves if leaf.kind in ("array", "contents")]

    def kept(self):
        return _Kept(self.arrays)


class _Kept:
    def __init__(self, arrays):
        self.arrays, self.copies = arrays, [a.copy() for a in arrays]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for array, before in zip(self.arrays, self.copies, strict=True):
            if array.flags.writeable:
                array[...] = before
