"""Structures of arrays and numbers, and their shadows: what they are made of, whether two match, and zeros like one.

Arrays, floats, and lists, tuples, dicts, dataclasses and objects that hold them, nested, shared and in cycles; functions with
what they captured; `scipy.sparse` arrays, whose stored entries are what carries a derivative. What else there is carries none.
"""

from __future__ import annotations

import copy
import types

import numpy as np
from scipy.sparse import issparse

from sparsead.tracing._traced import Traced, TracedArray, concrete_of
from sparsead.tracing.libraries import attributes, is_user_function
from sparsead.tracing.memory import Block, bounds, groups
from sparsead.tracing.substitution import is_user_object, path_text, same_kind_of_dict

ATOMS = (bool, int, str, bytes, complex, type(None), np.generic, type, types.ModuleType)


def is_array(x):
    """Whether `x` is a floating array, traced or not."""
    return isinstance(x, (np.ndarray, TracedArray)) and concrete_of(x).dtype.kind == "f"


def is_number(x):
    """Whether `x` is a floating number, traced or not."""
    if isinstance(x, Traced) and not isinstance(x, TracedArray):
        return x.dtype.kind == "f"
    return isinstance(x, (float, np.floating))


def parts(obj):
    """(step, part) for each part of a structure; nothing for what has none. A step is that of a path."""
    if isinstance(obj, (*ATOMS, float, np.ndarray, Traced)):
        return []
    if isinstance(obj, (list, tuple)):
        return [(("item", k), x) for k, x in enumerate(obj)]
    if isinstance(obj, dict):
        return [(("item", k), x) for k, x in obj.items()]
    if issparse(obj):
        return [(("attribute", "data"), obj.data)]
    if isinstance(obj, types.MethodType):
        return [(("attribute", "__self__"), obj.__self__)]
    if is_user_object(obj):
        return [(("attribute", name), x) for name, x in attributes(obj).items()]
    return []


def function_parts(f):
    """(path, part) for each variable that a function of the user has captured; paths begin at the function."""
    if not is_user_function(f):
        return
    for k, cell in enumerate(f.__closure__ or ()):
        try:
            yield (("function", f), ("attribute", "__closure__"), ("item", k), ("cell", None)), cell.cell_contents
        except ValueError:  # an empty cell
            continue
    for k, default in enumerate(f.__defaults__ or ()):
        yield (("function", f), ("attribute", "__defaults__"), ("item", k)), default


def _parts_of_any(obj):
    if isinstance(obj, types.FunctionType):
        return [(path[1:], part) for path, part in function_parts(obj)]
    return parts(obj)


def holds(obj, found, seen=None):
    """Whether ``found(x)`` for `obj` or a part of it, however deep."""
    seen = {} if seen is None else seen
    if found(obj):
        return True
    if id(obj) in seen:
        return False
    seen[id(obj)] = obj
    return any(holds(x, found, seen) for _, x in _parts_of_any(obj))


def is_differentiable(obj):
    """Whether there are floating numbers in `obj`, functions and what they captured aside."""
    if isinstance(obj, (types.FunctionType, types.MethodType)) or (callable(obj) and not is_user_object(obj)):
        return False
    return holds(obj, lambda x: is_array(x) or is_number(x))


def mutable_number(obj, what="it"):
    """Where in `obj` the first floating number is that can change, in words; None if all are for good."""
    if is_array(obj):
        return f"an array in {what}"
    if isinstance(obj, (list, dict)) or issparse(obj) or (is_user_object(obj) and not is_frozen(obj)):
        return f"the {type(obj).__name__} in {what}" if is_differentiable(obj) else None
    if isinstance(obj, tuple) or is_user_object(obj):
        return next((place for _, x in parts(obj) if (place := mutable_number(x, what)) is not None), None)
    return None


def is_frozen(obj):
    """Whether the parts of `obj` cannot be exchanged: a tuple, a frozen dataclass."""
    params = getattr(type(obj), "__dataclass_params__", None)
    return isinstance(obj, tuple) or (params is not None and params.frozen)


# ---- pairs -----------------------------------------------------------------------------------------------------------


class Pairs:
    """The shadows of arrays and numbers, by the path that leads to them.

    Attributes
    ----------
    arrays : dict
        path -> (array, its shadow in each lane)
    numbers : dict
        path -> its shadow in each lane
    owners : dict
        path of a number -> (what holds it, what holds its shadow in each lane)
    structures : dict
        id of a list, dict or object -> (the object, its shadow in each lane)
    """

    def __init__(self):
        self.arrays, self.numbers, self.owners, self.structures = {}, {}, {}, {}

    def enter(self, obj, shadows, path, owner=None, owners=()):
        """Pair `obj` with its shadows, and their parts."""
        if is_array(obj):
            for shadow in shadows:
                _check_array(obj, shadow, path)
            self.arrays[path] = (obj, shadows)
        elif is_number(obj):
            for shadow in shadows:
                if not isinstance(shadow, (float, int, np.floating, np.integer, Traced)) or isinstance(shadow, bool):
                    raise ValueError(f"{path_text(path)} is a number, its shadow {_described(shadow)}")
            self.numbers[path], self.owners[path] = shadows, (owner, owners)
        elif isinstance(obj, np.ndarray):
            for shadow in shadows:
                _check_alike(obj, shadow, path)
        elif isinstance(obj, types.FunctionType):
            self._function(obj, shadows, path)
        else:
            self._structure(obj, shadows, path)

    def _structure(self, obj, shadows, path):
        found = parts(obj)
        if not found and not isinstance(obj, (list, dict)):
            return
        if id(obj) in self.structures:
            if any(a is not b for a, b in zip(self.structures[id(obj)][1], shadows, strict=True)) and is_differentiable(obj):
                raise ValueError(f"{path_text(path)} can be reached in two ways, but its shadows there are two different objects")
            return
        self.structures[id(obj)] = (obj, shadows)
        for shadow in shadows:
            _check_structure(obj, shadow, path)
        for step, part in found:
            self.enter(part, tuple(part_of(shadow, step) for shadow in shadows), (*path, step), obj, shadows)

    def _function(self, f, shadows, path):
        if id(f) in self.structures:
            return
        self.structures[id(f)] = (f, shadows)
        for shadow in shadows:
            if getattr(shadow, "__code__", None) is not f.__code__:
                raise ValueError(f"the shadow of function {f.__name__} has to be one of the same code, as make_zero makes it")
        captured = [dict((p[1:], x) for p, x in function_parts(shadow)) for shadow in shadows]
        for inner, part in function_parts(f):
            if is_number(part):
                raise TypeError(f"{path_text(inner)} is a captured number, which has no shadow; make it an array, or an argument")
            if all(inner[1:] in shadow for shadow in captured):
                self.enter(part, tuple(shadow[inner[1:]] for shadow in captured), inner)


def part_of(shadow, step):
    """The part of a structure that a step leads to."""
    kind, name = step
    return getattr(shadow, name) if kind == "attribute" else shadow[name]


def _check_alike(x, shadow, path):
    if not isinstance(shadow, (np.ndarray, TracedArray)):
        raise ValueError(f"{path_text(path)} is an array, its shadow {_described(shadow)}")
    a, b = concrete_of(x), concrete_of(shadow)
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(
            f"{path_text(path)} has shape {a.shape} and dtype {a.dtype}, its shadow {b.shape} and {b.dtype}: not alike"
        )


def _check_array(x, shadow, path):
    _check_alike(x, shadow, path)
    a, b = concrete_of(x), concrete_of(shadow)
    if a.strides != b.strides and a.size > 1 and not same_order(a, b):
        raise ValueError(
            f"{path_text(path)} has strides {a.strides}, its shadow {b.strides}: np.zeros_like and sparsead.make_zero keep the "
            "order in memory"
        )


def same_order(a, b):
    """Whether the elements of `a`, a view, and of `b`, a plain array, lie in the same order."""
    strides = [[s for s, n in zip(x.strides, x.shape, strict=True) if n > 1] for x in (a, b)]
    if strides[0] == strides[1]:
        return True
    dense = (a.flags.c_contiguous, a.flags.f_contiguous)
    return not any(dense) and (b.flags.c_contiguous or b.flags.f_contiguous) and 0 not in strides[1]


def _check_structure(obj, shadow, path):
    if type(shadow) is not type(obj):
        raise ValueError(f"{path_text(path)} is a {type(obj).__name__}, its shadow {_described(shadow)}")
    if shadow is obj and is_differentiable(obj):
        raise ValueError(f"{path_text(path)} is its own shadow")
    if isinstance(obj, (list, tuple)) and len(obj) != len(shadow):
        raise ValueError(f"{path_text(path)} has {len(obj)} items, its shadow {len(shadow)}")
    if isinstance(obj, dict) and obj.keys() != shadow.keys():
        keys = ", ".join(sorted(map(repr, obj.keys() ^ shadow.keys())))
        raise ValueError(f"{path_text(path)} and its shadow have different keys: {keys}")
    if issparse(obj):
        _check_sparse(obj, shadow, path)
    elif is_user_object(obj) and not attributes(obj).keys() <= attributes(shadow).keys():
        missing = sorted(attributes(obj).keys() - attributes(shadow).keys())
        raise ValueError(f"{path_text(path)} has attributes that its shadow lacks: {', '.join(missing)}")


def _check_sparse(a, b, path):
    for name in ("shape", "indptr", "indices", "row", "col", "offsets", "coords"):
        if not np.array_equal(getattr(a, name, ()), getattr(b, name, ())):
            raise ValueError(
                f"{path_text(path)} and its shadow have different patterns ({name}): a shadow has all stored entries, zeros "
                "included, as sparsead.make_zero makes it"
            )


def _described(x):
    if isinstance(x, (np.ndarray, TracedArray)):
        return f"is an array of shape {x.shape} and dtype {x.dtype}"
    return f"is {x!r:.40}" if isinstance(x, ATOMS) else f"is a {type(x).__name__}"


def check_pair(value, shadows, name):
    """ValueError if a shadow does not match `value`."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        for shadow in shadows:
            _check_array(value, shadow, (("argument", f"the value of {name}"),))
    else:
        Pairs().enter(value, tuple(shadows), (("argument", f"the value of {name}"),))


# ---- memory ----------------------------------------------------------------------------------------------------------


def overlap(a, b):
    """Whether two arrays have an element in common."""
    (low, high), (begin, end) = bounds(a), bounds(b)
    return low < end and begin < high and np.shares_memory(a, b)


# ---- zeros -----------------------------------------------------------------------------------------------------------


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
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return _zeros_for([x])[id(x)]
    arrays: dict = {}
    holds(x, lambda part: bool(_note(part, arrays)))
    return _Zeros(_zeros_for(list(arrays.values())))(x)


def _note(part, arrays):
    if isinstance(part, TracedArray):
        raise TypeError("make_zero inside a traced function takes arrays; make the shadows of structures outside")
    if isinstance(part, np.ndarray) and part.dtype.kind in "fc":
        arrays[id(part)] = part


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
        if isinstance(x, Traced):
            return 0.0 * x
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
        self.memo[id(x)] = new = type(x)() if type(x) is types.SimpleNamespace else object.__new__(type(x))
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
    for _, part in _parts_of_any(x):
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
    for steps, part in _parts_of_any(x):
        if not is_number(part):
            _clear(part, seen)
        elif not is_frozen(x) and not isinstance(x, types.FunctionType):
            set_part(x, steps, part * 0 if isinstance(part, Traced) else type(part)(0))


def set_part(owner, step, value):
    """Exchange a part of a list, dict or object."""
    kind, name = step
    if kind == "attribute":
        setattr(owner, name, value)
    else:
        owner[name] = value


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
