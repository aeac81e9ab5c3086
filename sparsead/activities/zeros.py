"""Shadows made from arguments: zeros of the same structure, and unit seeds."""

from __future__ import annotations

import copy
import types

import numpy as np
from scipy.sparse import issparse

from sparsead.activities.structures import ATOMS, is_frozen, is_number, parts_of_any, set_part, walked
from sparsead.tracing._traced import CURRENT, Traced, TracedArray, concrete_of
from sparsead.tracing.libraries import attributes, bare, is_user_function
from sparsead.tracing.memory import Block, groups
from sparsead.tracing.substitution import is_user_object, same_kind_of_dict


def make_zero(x):
    """A copy of a structure with zeros for all floating numbers: a shadow.

    Parameters
    ----------
    x : object
        Arrays, floats, and any nesting of lists, tuples, dicts, dataclasses, objects, functions with captured variables and
        `scipy.sparse` arrays.

    Returns
    -------
    object
        Of the same types. What is one object in `x` is one in the copy, arrays that share memory share it there, and cycles
        stay cycles. Strides are kept. What carries no derivative (integers, index arrays, strings) is copied.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> u = np.array([1.0, 2.0])
    >>> shadow = sparsead.make_zero({"u": u, "same": u, "n": 3})
    >>> shadow
    {'u': array([0., 0.]), 'same': array([0., 0.]), 'n': 3}
    >>> shadow["u"] is shadow["same"]
    True

    """
    if isinstance(x, TracedArray):
        return traced_zeros(x)
    if isinstance(x, np.ndarray) and x.dtype.kind in "fc":
        return _zeros_for([x])[id(x)]
    arrays: dict = {}
    for part in walked(x):
        _note(part, arrays)
    return _Zeros(_zeros_for(list(arrays.values())))(x)


def _note(part, arrays):
    if isinstance(part, TracedArray):
        if part.storage.shape != part.shape:
            raise NotImplementedError(
                "make_zero inside a traced function: a structure has a view; make its shadow from the array"
            )
    elif isinstance(part, np.ndarray) and part.dtype.kind in "fc":
        arrays[id(part)] = part


def traced_zeros(x):
    """Zeros like a traced array, in the trace."""
    return CURRENT.get().fresh(np.zeros(x.shape, x.dtype), True)


def _zeros_for(arrays):
    """id of an array -> its zeros; those of arrays that share memory share it too."""
    found = {}
    for members in groups(arrays) if arrays else []:
        base, views = Block(members, arrays).private(arrays)
        base[...] = 0
        found.update((id(arrays[k]), view) for k, view in zip(members, views, strict=True))
    return found


class _Zeros:
    """Copies of a structure with zeros in it."""

    def __init__(self, arrays):
        self.memo, self.alive, self.arrays = {}, [], arrays

    def __call__(self, x):
        if isinstance(x, (bool, np.bool_, int, np.integer)):
            return x
        if isinstance(x, (float, complex, np.inexact)):
            return type(x)(0)
        if isinstance(x, TracedArray):
            return self._memoized(x, traced_zeros)
        if isinstance(x, Traced):
            return 0j if x.dtype.kind == "c" else 0.0
        if isinstance(x, ATOMS):
            return x
        if isinstance(x, np.ndarray):
            return self.arrays[id(x)] if id(x) in self.arrays else self._memoized(x, np.copy)
        if id(x) not in self.memo:
            self.alive.append(x)
            self.memo[id(x)] = self._made(x)
        return self.memo[id(x)]

    def _memoized(self, x, make):
        if id(x) not in self.memo:
            self.alive.append(x)
            self.memo[id(x)] = make(x)
        return self.memo[id(x)]

    def _made(self, x):
        if isinstance(x, tuple):
            new = [self(part) for part in x]
            return tuple.__new__(type(x), new) if hasattr(x, "_fields") else type(x)(new)
        if type(x) is list:
            self.memo[id(x)] = new = []
            new.extend(self(part) for part in x)
            return new
        if type(x) is dict:
            self.memo[id(x)] = new = {}
            new.update((k, self(part)) for k, part in x.items())
            return new
        if isinstance(x, dict):
            return same_kind_of_dict(x, {k: self(part) for k, part in x.items()})
        if isinstance(x, list):
            return type(x)(self(part) for part in x)
        if issparse(x):
            new = x.copy()
            new.data = np.zeros_like(x.data)
            return new
        if isinstance(x, types.MethodType):
            return types.MethodType(x.__func__, self(x.__self__))
        if isinstance(x, types.FunctionType):
            return self._function(x) if is_user_function(x) else x
        return self._object(x) if is_user_object(x) else copy.copy(x)

    def _object(self, x):
        self.memo[id(x)] = new = bare(type(x))
        for name, part in attributes(x).items():
            object.__setattr__(new, name, self(part))
        return new

    def _function(self, f):
        cells = tuple(types.CellType() for _ in f.__closure__ or ())
        new = types.FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, cells or None)
        self.memo[id(f)] = new
        new.__kwdefaults__ = f.__kwdefaults__
        for cell, old in zip(cells, f.__closure__ or (), strict=True):
            try:
                cell.cell_contents = self(old.cell_contents)
            except ValueError:  # an empty cell
                continue
        new.__defaults__ = f.__defaults__ and tuple(self(x) for x in f.__defaults__)
        return new


def make_zero_inplace(x):
    """Set all floating numbers of a structure to zero where they are.

    Parameters
    ----------
    x : object
        Like that of `make_zero`.

    Raises
    ------
    ValueError
        There is a number where it cannot be changed, in a tuple for example; nothing has been changed then. `remake_zero` leaves
        such numbers as they are.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> shadow = {"u": np.ones(2), "t": 3.0}
    >>> sparsead.make_zero_inplace(shadow)
    >>> shadow
    {'u': array([0., 0.]), 't': 0.0}

    """
    fixed = _fixed_number(x, {})
    if fixed is not None:
        raise ValueError(
            f"make_zero_inplace: {fixed}, where it cannot be changed; remake_zero leaves it as it is, make_zero makes a new one"
        )
    remake_zero(x)


def remake_zero(x):
    """Set all floating numbers of a structure to zero that can be changed where they are; for shadows that `make_zero` made.

    Parameters
    ----------
    x : object

    Examples
    --------
    >>> import sparsead
    >>> shadow = (0.0, [3.0])
    >>> sparsead.remake_zero(shadow)
    >>> shadow
    (0.0, [0.0])

    """
    _clear(x, {})


def _fixed_number(x, seen):
    if is_number(x):
        return "the value itself is a number"
    if isinstance(x, (np.ndarray, TracedArray)) or id(x) in seen:
        return None
    seen[id(x)] = x
    frozen = is_frozen(x) or isinstance(x, types.FunctionType)
    for _, part in parts_of_any(x):
        if frozen and is_number(part):
            return f"a number stands in a {type(x).__name__}"
        found = None if is_number(part) else _fixed_number(part, seen)
        if found is not None:
            return found
    return None


def _clear(x, seen):
    if isinstance(x, (np.ndarray, TracedArray)):
        if concrete_of(x).dtype.kind in "fc":
            x[...] = 0
        return
    if id(x) in seen:
        return
    seen[id(x)] = x
    for steps, part in parts_of_any(x):
        if not is_number(part):
            _clear(part, seen)
        elif not is_frozen(x) and not isinstance(x, types.FunctionType):
            set_part(x, steps, part * 0 if isinstance(part, Traced) else type(part)(0))


def onehot(x, start=None, stop=None):
    """Unit vectors like `x`: the seeds of all directions.

    Parameters
    ----------
    x : ndarray, tuple of float, or float
    start, stop : int, optional
        Only those of elements `start` to `stop` - 1 in C order.

    Returns
    -------
    tuple
        One seed for each element, each of the shape, dtype and type of `x`; arrays are plain ones, in C order.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> sparsead.onehot(np.zeros(2))
    (array([1., 0.]), array([0., 1.]))

    """
    n = np.size(x) if isinstance(x, np.ndarray) else len(x) if isinstance(x, tuple) else 1
    return tuple(_unit(x, k, n) for k in range(n)[slice(start, stop)])


def _unit(x, k, n):
    if isinstance(x, np.ndarray):
        unit = np.zeros(x.shape, x.dtype)
        unit.reshape(-1)[k] = 1
        return unit
    if isinstance(x, tuple):
        return tuple(float(j == k) for j in range(n))
    return type(x)(1)


def chunked_onehot(x, size):
    """The seeds of `onehot` in groups of `size`; the last one may be smaller.

    Parameters
    ----------
    x : ndarray, tuple of float, or float
    size : int

    Returns
    -------
    tuple of tuple

    Raises
    ------
    ValueError
        `size` is not positive.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.chunked_onehot((0.0, 0.0, 0.0), 2)
    (((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), ((0.0, 0.0, 1.0),))

    """
    if size < 1:
        raise ValueError(f"chunked_onehot needs a positive size, not {size}")
    seeds = onehot(x)
    return tuple(seeds[k : k + size] for k in range(0, len(seeds), size))
