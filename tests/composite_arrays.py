"""Arrays for the tests of composites: stand-ins for traced arrays, and the arguments that cases ask for."""

import numpy as np

# -- stand-ins for traced arrays

REDUCED = {np.add, np.multiply, np.maximum, np.minimum, np.logaddexp, np.logical_and, np.logical_or}
PLAIN_RESULT = {"arange", "dtype", "is_active", "is_weak", "shape", "static", "strides"}


def wrap(x):
    if isinstance(x, tuple | list):
        return type(x)(wrap(item) for item in x)
    return Opaque(x) if isinstance(x, np.ndarray) else OpaqueScalar(x) if isinstance(x, np.generic) else x


def unwrap(x):
    if type(x) in (tuple, list):
        return type(x)(unwrap(item) for item in x)
    return x._value if isinstance(x, OpaqueScalar) else x


def method_of_arrays(name):
    return lambda self, *args, **kwargs: wrap(getattr(self._value, name)(*unwrap(args), **kwargs))


class OpaqueScalar(np.lib.mixins.NDArrayOperatorsMixin):
    """A NumPy scalar of which only ufuncs see the value."""

    def __init__(self, value):
        self._value = value

    def __array_ufunc__(self, ufunc, how, *inputs, out=(), **kwargs):
        assert how in ("__call__", "reduce", "accumulate", "outer") and (how != "reduce" or ufunc in REDUCED)
        assert not any(type(o) is np.ndarray for o in out), "a plain array cannot hold a traced result"
        if out:
            kwargs["out"] = unwrap(out)
        if "where" in kwargs:
            kwargs["where"] = unwrap(kwargs["where"])
        result = getattr(ufunc, how)(*unwrap(inputs), **kwargs)
        return out[0] if out else wrap(result)

    def __array_function__(self, function, types, args, kwargs):
        raise AssertionError(f"{function.__name__} is called on a traced array")

    def __array__(self, *args, **kwargs):
        raise AssertionError("a traced array is made a plain one")

    def __bool__(self):
        assert self._value.dtype == bool, "only conditions are guards"
        return bool(self._value)

    shape = property(lambda self: self._value.shape)
    dtype = property(lambda self: self._value.dtype)
    ndim = property(lambda self: self._value.ndim)
    size = property(lambda self: self._value.size)


class Opaque(OpaqueScalar):
    """An array of which only the primitives see the values."""

    def __getitem__(self, index):
        return wrap(self._value[unwrap(index)])

    def __setitem__(self, index, value):
        self._value[unwrap(index)] = unwrap(value)

    def __len__(self):
        return len(self._value)

    def __bool__(self):
        raise AssertionError("an array is taken for a condition")

    T = property(lambda self: Opaque(self._value.T))
    real = property(lambda self: Opaque(self._value.real))
    imag = property(lambda self: Opaque(self._value.imag))
    reshape, transpose, ravel = map(method_of_arrays, ("reshape", "transpose", "ravel"))
    swapaxes, squeeze, astype, copy = map(method_of_arrays, ("swapaxes", "squeeze", "astype", "copy"))


# -- arguments


class Arguments:
    """Source of arrays for a case: the same ones for every instance of the same kind."""

    def __init__(self, dtype="f8", layout="C", wrapped=False):
        self.dtype, self.layout, self.wrapped = np.dtype(dtype), layout, wrapped
        self.made, self._rng = [], np.random.default_rng(7)

    def __call__(self, *shape):
        """Numbers on a coarse lattice, so that some are equal and some are zero."""
        a = self._rng.integers(-8, 9, shape) / (1 if self.dtype.kind == "i" else 3)
        return self._add(a.astype(self.dtype))

    def scalar(self):
        """A NumPy scalar, which as a traced one has no index and no methods."""
        a = self.dtype.type(self._rng.integers(1, 7))
        return wrap(a) if self.wrapped else a

    def distinct(self, *shape):
        return self._add(self._rng.permutation(np.prod(shape, dtype=int)).reshape(shape).astype(self.dtype) - 3)

    def with_nan(self, *shape):
        a = self._rng.normal(size=shape)
        a[self._rng.random(shape) < 0.4] = np.nan
        return self._add(a.astype(self.dtype if self.dtype.kind == "f" else "f8"))

    def positive(self, *shape):
        return self._add((1 + self._rng.integers(0, 9, shape)).astype(self.dtype))

    def mask(self, *shape):
        return self._add(self._rng.random(shape) < 0.6)

    def integers(self, low, high, *shape):
        return self._add(self._rng.integers(low, high, shape))

    def out(self, *shape, dtype=None):
        return self._add(np.zeros(shape, dtype or self.dtype))

    def given(self, values, dtype=None):
        return self._add(np.array(values, dtype or self.dtype))

    def _add(self, a):
        a = LAYOUTS[self.layout](a) if a.ndim else np.array(a)  # random numbers without axes are scalars
        self.made.append(a)
        return wrap(a) if self.wrapped else a


def strided(a):
    """Gaps between the elements, and for three axes or more an order of memory that is neither C nor F."""
    if a.ndim < 3:
        return np.repeat(a, 2, axis=-1)[..., ::2]
    return np.moveaxis(np.moveaxis(a, 0, 1).copy(), 1, 0)


LAYOUTS = {
    "C": lambda a: a.copy("C"),
    "F": lambda a: a.copy("F"),
    "reversed": lambda a: np.flip(np.flip(a).copy()),
    "strided": strided,
}
