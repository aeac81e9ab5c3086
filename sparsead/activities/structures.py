"""Structures of arrays and numbers, and their shadows: what they are made of, whether two match, and zeros like one.

Arrays, floats, and lists, tuples, dicts, dataclasses and objects that hold them, nested, shared and in cycles; functions with
what they captured; `scipy.sparse` arrays, whose stored entries are what carries a derivative. What else there is carries none.
"""

from __future__ import annotations

import types

import numpy as np
from scipy.sparse import issparse

from sparsead.tracing._traced import Traced, TracedArray, concrete_of
from sparsead.tracing.libraries import attributes, is_user_function
from sparsead.tracing.memory import bounds
from sparsead.tracing.substitution import is_user_object, path_text

ATOMS = (bool, int, str, bytes, complex, type(None), np.generic, type, types.ModuleType)


def is_array(x):
    """Whether `x` is a floating array, real or complex, traced or not."""
    return isinstance(x, (np.ndarray, TracedArray)) and concrete_of(x).dtype.kind in "fc"


def is_number(x):
    """Whether `x` is a floating number, real or complex, traced or not."""
    if isinstance(x, Traced) and not isinstance(x, TracedArray):
        return x.dtype.kind in "fc"
    return isinstance(x, (float, complex, np.inexact))


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


def parts_of_any(obj):
    """Like `parts`, of functions too, whose steps are several each."""
    if isinstance(obj, types.FunctionType):
        return [(path[1:], part) for path, part in function_parts(obj)]
    return parts(obj)


def walked(obj, seen=None):
    """`obj` and all its parts, however deep; what is reached twice comes again, without its parts."""
    seen = {} if seen is None else seen
    yield obj
    if id(obj) not in seen:
        seen[id(obj)] = obj
        for _, part in parts_of_any(obj):
            yield from walked(part, seen)


def is_differentiable(obj):
    """Whether there are floating numbers in `obj`, functions and what they captured aside."""
    if isinstance(obj, (types.FunctionType, types.MethodType)) or (callable(obj) and not is_user_object(obj)):
        return False
    return any(is_array(x) or is_number(x) for x in walked(obj))


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
                if not is_shadow_of_number(shadow, obj):
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


def is_shadow_of_number(shadow, number):
    """Whether `shadow` is a number, and complex only if `number` is."""
    if isinstance(shadow, bool) or not isinstance(shadow, (float, int, complex, np.inexact, np.integer, Traced)):
        return False
    return not is_complex(shadow) or is_complex(number)


def is_complex(x):
    """Whether an array or a number is complex, traced or not."""
    x = concrete_of(x)
    return isinstance(x, complex) or (isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "c")


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
    if isinstance(value, np.ndarray) and value.dtype.kind in "fc":
        for shadow in shadows:
            _check_array(value, shadow, (("argument", f"the value of {name}"),))
    else:
        Pairs().enter(value, tuple(shadows), (("argument", f"the value of {name}"),))


# ---- memory ----------------------------------------------------------------------------------------------------------


def overlap(a, b):
    """Whether two arrays have an element in common."""
    (low, high), (begin, end) = bounds(a), bounds(b)
    return low < end and begin < high and np.shares_memory(a, b)


def set_part(owner, step, value):
    """Exchange a part of a list, dict or object."""
    kind, name = step
    if kind == "attribute":
        setattr(owner, name, value)
    else:
        owner[name] = value
