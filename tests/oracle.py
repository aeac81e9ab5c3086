"""Derivatives by numbers alone, of functions run by plain NumPy: complex steps and central differences.

A tested function may write into its arguments and into arrays that it captures, and its arguments may overlap. So
every run here works in a `World` of copies that keeps strides, order and overlaps, and a perturbation goes into memory:
if two arguments share it, both change.
"""

import copy
import inspect
import types

import numpy as np

STEP = 1e-30  # of the complex step: no subtraction, so no cancellation, and still a normal number in float32
COMPLEX = {np.dtype(np.float64): np.dtype(np.complex128), np.dtype(np.float32): np.dtype(np.complex64)}
ATOMS = (type, types.ModuleType, types.BuiltinFunctionType, np.ufunc)


def by_real_part(compare):
    return lambda a, b: compare(np.asarray(a).real, np.asarray(b).real)


class Stepped(np.ndarray):
    """Complex array compared by real parts: a step at x == 0 stays on the side where the primal is."""

    __lt__, __le__, __gt__ = by_real_part(np.less), by_real_part(np.less_equal), by_real_part(np.greater)
    __eq__, __ne__, __ge__ = by_real_part(np.equal), by_real_part(np.not_equal), by_real_part(np.greater_equal)


class ComplexNumpy:
    """NumPy as a function sees it under a complex step: new arrays can hold the step, kinks follow the real part."""

    float32, float64, pi, newaxis = np.complex64, np.complex128, np.pi, None
    CREATES = "zeros ones empty full zeros_like ones_like empty_like eye identity arange linspace array".split()

    def __getattr__(self, name):
        return self._creating(getattr(np, name)) if name in self.CREATES else getattr(np, name)

    @staticmethod
    def _creating(function):
        def create(*args, **kwargs):
            kwargs["dtype"] = {float: complex, np.float64: complex}.get(kwargs.get("dtype"), kwargs.get("dtype"))
            made = function(*args, **kwargs)
            return made if made.dtype not in COMPLEX else made.astype(COMPLEX[made.dtype])

        return create

    def absolute(self, x):
        return x * np.where(np.real(x) < 0, -1, 1)

    abs = fabs = absolute

    def hypot(self, x, y):
        return np.sqrt(x * x + y * y)

    def clip(self, x, low, high, out=None):
        return np.minimum(np.maximum(x, low), high, out=out)


class World:
    """Copies of arguments and captured data for one run, overlapping in memory as the originals do."""

    def __init__(self, to_complex=False):
        self.to_complex, self.memo, self.roots = to_complex, {}, {}

    def __call__(self, value):
        if id(value) not in self.memo:
            self.memo[id(value)] = (value, self._copied(value))  # the original is kept, so that its id stays its own
        return self.memo[id(value)][1]

    def _copied(self, value):
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, types.FunctionType):
            return value if (value.__module__ or "").startswith("numpy") else self._function(value)
        if isinstance(value, types.MethodType):
            return types.MethodType(self(value.__func__), self(value.__self__))
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            return type(value)(self(v) for v in value)
        if type(value) is dict:
            return {k: self(v) for k, v in value.items()}
        if self.to_complex and (value is np or getattr(np, getattr(value, "__name__", ""), self) is value):
            return ComplexNumpy() if value is np else getattr(ComplexNumpy(), value.__name__)
        return self._object(value) if hasattr(value, "__dict__") and not isinstance(value, ATOMS) else value

    def _array(self, a):
        root = owner(a)
        if id(root) not in self.roots:
            self.roots[id(root)] = (root, self._root(root))
        new = self.roots[id(root)][1]
        if a is not root:
            new = same_view(a, root, new)
        new.flags.writeable = a.flags.writeable
        return new

    def _root(self, root):
        complex_ = self.to_complex and root.dtype in COMPLEX
        return root.astype(COMPLEX[root.dtype], order="K").view(Stepped) if complex_ else root.copy(order="K")

    def _function(self, f):
        names = {n for code in codes(f.__code__) for n in code.co_names} & f.__globals__.keys()
        namespace = {**f.__globals__}
        cells = tuple(types.CellType() for _ in f.__closure__ or ())
        new = types.FunctionType(f.__code__, namespace, f.__name__, f.__defaults__, cells)
        self.memo[id(f)] = (f, new)  # before the walk: a recursive function reaches itself
        new.__kwdefaults__, new.__defaults__ = f.__kwdefaults__, f.__defaults__ and self(f.__defaults__)
        namespace.update({n: self(f.__globals__[n]) for n in names})
        for old_cell, cell in zip(f.__closure__ or (), cells, strict=True):
            cell.cell_contents = self(old_cell.cell_contents)
        return new

    def _object(self, value):
        new = copy.copy(value)
        self.memo[id(value)] = (value, new)
        for name, attribute in vars(value).items():
            object.__setattr__(new, name, self(attribute))
        return new


def codes(code):
    """The code object and those of the functions defined in it."""
    return [code, *(c for const in code.co_consts if isinstance(const, types.CodeType) for c in codes(const))]


def owner(a):
    """The array that owns the memory of `a`."""
    base = getattr(a, "base", None)  # as_strided puts a holder that is no array in between
    return a if base is None or not hasattr(base, "base") else owner(base)


def address(a):
    return a.__array_interface__["data"][0]


def same_view(a, root, new):
    """The view of `new` that `a` is of `root`."""
    flat = new.ravel(order="K")
    assert np.shares_memory(flat, new) or new.size == 0
    scale = new.itemsize // root.itemsize
    strides = tuple(s * scale for s in a.strides)
    return type(new)(a.shape, new.dtype, flat, (address(a) - address(root)) * scale, strides)


def positions(f, which):
    """Names and positions of parameters, one or several, as a list of positions ("return" stays)."""
    names = list(inspect.signature(f).parameters)
    which = which if isinstance(which, tuple) else (which,)
    return [w if w == "return" or not isinstance(w, str) else names.index(w) for w in which]


def values(f, args, of="return", world=None, bump=None):
    """What `of` holds after plain NumPy has run f on copies of args, `bump = (argument, element, step)` added."""
    world = world or World()
    own = list(world(tuple(args)))
    if bump:
        own[bump[0]] = bumped(own[bump[0]], *bump[1:])
    result = world(f)(*own)
    found = tuple(result if o == "return" else own[o] for o in positions(f, of))
    return found if isinstance(of, tuple) else found[0]


def bumped(a, k, step):
    if not isinstance(a, np.ndarray):
        return a + step
    writeable = a.flags.writeable
    a.flags.writeable = True
    a.flat[k] += step
    a.flags.writeable = writeable
    return a


def flat(outputs):
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return np.concatenate([np.ravel(o) for o in outputs]) if outputs else np.zeros(0)


def jacobian(f, args, wrt=0, of="return", method="cs", step=None):
    """Dense Jacobian of the raveled `of` by the raveled `wrt`: "cs" complex step, "fd" fourth-order differences."""
    column = {"cs": by_complex_step, "fd": by_differences}[method]
    where = [(w, k) for w in positions(f, wrt) for k in range(np.size(args[w]))]
    rows = flat(values(f, args, of)).size
    columns = [column(f, args, of, w, k, step) for w, k in where]
    return np.array(columns, dtype=float).T.reshape(rows, len(where))


def by_complex_step(f, args, of, w, k, step=None):
    h = step or STEP
    return np.imag(flat(values(f, args, of, World(to_complex=True), (w, k, 1j * h))).astype(complex)) / h


def by_differences(f, args, of, w, k, step=None):
    def slope(h):
        up, down = (flat(values(f, args, of, bump=(w, k, s))).astype(float) for s in (h, -h))
        return (up - down) / (2 * h)

    h = step or 2e-3
    return (4 * slope(h / 2) - slope(h)) / 3


def hessian_product(f, args, v, wrt=0, step=1e-3):
    """H v of a scalar function, by fourth-order differences of complex-step gradients."""

    def gradient(h):
        at = World()(tuple(args))
        at[wrt][...] += h * v
        return jacobian(f, at, wrt)[0]

    def slope(h):
        return (gradient(h) - gradient(-h)) / (2 * h)

    return ((4 * slope(step / 2) - slope(step)) / 3).reshape(np.shape(args[wrt]))


def moved(args):
    """The same arguments (strides, overlaps) with other numbers in them; integers stay."""
    world = World()
    new = list(world(tuple(args)))
    for root, twin in world.roots.values():
        if root.dtype.kind == "f":
            writeable, twin.flags.writeable = twin.flags.writeable, True
            twin[...] = twin * twin.dtype.type(1.125) + twin.dtype.type(0.0625)
            twin.flags.writeable = writeable
    return tuple(1.125 * a + 0.0625 if isinstance(a, float) else a for a in new)


def fingerprint(*reached):
    """The bytes of every array reachable from some values and functions."""
    world = World()
    for value in reached:
        world(value)
    return [root.tobytes() for root, _ in world.roots.values()]


def basis(example):
    """Unit seeds shaped like an array, a number, or a tuple of these."""
    if not isinstance(example, tuple):
        for k in range(np.size(example)):
            seed = np.zeros(np.shape(example), np.asarray(example).dtype)
            seed.flat[k] = 1
            yield seed if isinstance(example, np.ndarray) else float(seed)
        return
    zeros = [z * 0 if isinstance(z, np.ndarray) else 0.0 for z in example]
    for i, part in enumerate(example):
        yield from (tuple([*zeros[:i], seed, *zeros[i + 1 :]]) for seed in basis(part))


def alike(value, expected):
    """Pairs of arrays of two results; they have to have the same structure, shapes and dtypes."""
    if isinstance(expected, tuple):
        assert isinstance(value, tuple) and len(value) == len(expected)
        for v, e in zip(value, expected, strict=True):
            yield from alike(v, e)
        return
    value, expected = np.asarray(value), np.asarray(expected)
    assert (value.shape, value.dtype) == (expected.shape, expected.dtype)
    yield value, expected


def same_bits(value, expected):
    """Assert equal shape, dtype and bits (any NaN equals any NaN)."""
    for v, e in alike(value, expected):
        np.testing.assert_array_equal(v, e)
        numbers = ~np.isnan(e)
        np.testing.assert_array_equal(np.signbit(v)[numbers], np.signbit(e)[numbers])


def same_values(value, expected):
    """Assert equal shape and dtype, and numbers equal up to the order in which sums are taken."""
    for v, e in alike(value, expected):
        scale = np.nanmax(np.abs(e), initial=1.0, where=np.isfinite(e)) if e.dtype.kind in "fc" else 0
        eps = np.finfo(e.dtype).eps if e.dtype.kind in "fc" else 0
        np.testing.assert_allclose(v, e, rtol=0, atol=32 * eps * scale)


def close(value, expected, tol=1e-10):
    """Assert equal shape, and entries equal within tol of the largest one (at least 1)."""
    value, expected = np.asarray(value), np.asarray(expected)
    assert value.shape == expected.shape
    scale = max(1.0, np.abs(expected).max()) if expected.size else 1.0
    np.testing.assert_allclose(value, expected, rtol=0, atol=tol * scale)
