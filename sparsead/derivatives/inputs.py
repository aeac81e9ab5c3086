"""The inputs that are differentiated: from ``wrt=`` to places in the arguments and in the inputs of a tape, and back.

A place is a path (see `sparsead.tracing.substitution`) that begins at an argument: the argument itself, or an item of
``*args`` or ``**kwargs``.
"""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass

import numpy as np

from sparsead.ops.structural import positions
from sparsead.tape.spec import View
from sparsead.tracing._traced import Traced
from sparsead.tracing.libraries import attributes, bare
from sparsead.tracing.substitution import path_text, resolve, same_kind_of_dict


def places_of(given, keyword, name, parameters):
    """The places that ``wrt=`` or ``of=`` (`keyword`) names, for a function called `name`; "return" stands for itself."""
    items = given if isinstance(given, tuple) else (given,)
    places = tuple(w if keyword == "of" and w == "return" else _place_of(w, keyword, name, parameters) for w in items)
    if not places:
        raise ValueError(f"{keyword}=() names nothing")
    if len(set(places)) < len(places):
        raise ValueError(f"{keyword}={given!r} names something twice")
    return places


def _place_of(item, keyword, name, parameters):
    if isinstance(item, str):
        return _place_of_name(item, keyword, name, parameters)
    if isinstance(item, bool) or not isinstance(item, (int, np.integer)):
        raise TypeError(f"{keyword}= takes names or positions of arguments, got {item!r}")
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    star = _of_kind(parameters, inspect.Parameter.VAR_POSITIONAL)
    if star is not None and item >= len(positional):
        return (("argument", star), ("item", int(item) - len(positional)))
    if not (0 if star is not None else -len(positional)) <= item < len(positional):
        listed = ", ".join(positional) + (f", *{star}" if star is not None else "")
        raise ValueError(f"{keyword}={item}: {name} has the positional arguments {listed or '(none)'}")
    return (("argument", positional[item]),)


def _place_of_name(item, keyword, name, parameters):
    names, stars = [p.name for p in parameters], _of_kind(parameters, inspect.Parameter.VAR_KEYWORD)
    if item in names:
        return (("argument", item),)
    if stars is None:
        raise ValueError(f"{keyword}={item!r}: {name} has no such argument, only {', '.join(names)}")
    return (("argument", stars), ("item", item))


def _of_kind(parameters, kind):
    return next((p.name for p in parameters if p.kind is kind), None)


def is_under(path, place):
    """Whether `path` leads to `place` or into it."""
    return path[: len(place)] == place


def at_place(place, keyword, arguments):
    """What stands at `place` among the arguments of a call."""
    try:
        return resolve(place, arguments)
    except LookupError:
        raise TypeError(f"{keyword}={path_text(place)}: the call has no such argument") from None


class WrtLeaf:
    """One floating array or number under a differentiated argument, and where it stands in the tape's inputs.

    Attributes
    ----------
    path : tuple
    shape : tuple
    dtype : dtype
    input : int
        Position in ``tape.inputs``.
    block, place
        The `Block` and the member that hold it; None for a number.
    """

    def __init__(self, leaf, input, block=None, place=None):
        value = np.asarray(leaf.value)
        self.path, self.shape, self.dtype, self.size = leaf.path, value.shape, value.dtype, value.size
        self.scalar = not isinstance(leaf.value, np.ndarray)
        self.input, self.block, self.place = input, block, place

    def extract(self, memory):
        """This leaf's part of an adjoint of the input, a fresh C-order array (lanes stay in front)."""
        if self.block is None:
            return memory
        if isinstance(memory, Traced):
            return memory if self.block.whole else memory[self.element_positions()].reshape(self.shape)
        if memory.ndim > len(self.block.shape):
            return np.stack([self.extract(lane) for lane in memory])
        return np.array(self.block.member(_laid(memory, self.block), self.place), order="C")

    def element_positions(self):
        """Positions of the leaf's elements, in C order, in the memory of its input."""
        if self.block is None:
            return np.zeros(1, np.int64)
        if self.block.whole:
            return positions(View(self.block.shape, self.block.strides, self.dtype), 0).ravel()
        shape, strides = self.block.windows[self.place]
        return positions(View(shape, strides, self.dtype), self.block.offsets[self.place]).ravel()


def _laid(memory, block):
    from sparsead.tape._memory import laid_out

    return laid_out(memory, block.shape, block.strides, block.dtype)


def wrt_leaves(recording, places):
    """For each of `places` the list of its `WrtLeaf`."""
    found = [[] for _ in places]
    for b, block in enumerate(recording.blocks):
        for member, k in enumerate(block.members):
            _enter(found, places, recording.arrays[k], b, block, member)
    for k, leaf in enumerate(recording.floats):
        _enter(found, places, leaf, len(recording.blocks) + k, None, None)
    return found


def _enter(found, places, leaf, input, block, member):
    for leaves, place in zip(found, places, strict=True):
        if is_under(leaf.path, place):
            leaves.append(WrtLeaf(leaf, input, block, member))


def rebuilt(obj, path, results):
    """`obj` with each floating leaf replaced by the result at its path; other leaves stay."""
    if isinstance(obj, (float, complex, np.inexact)) or (isinstance(obj, np.ndarray) and obj.dtype.kind in "fc"):
        return results.get(path, obj)
    if isinstance(obj, dict):
        return same_kind_of_dict(obj, {k: rebuilt(x, (*path, ("item", k)), results) for k, x in obj.items()})
    if isinstance(obj, tuple) and hasattr(obj, "_fields"):
        return type(obj)(*(rebuilt(x, (*path, ("item", k)), results) for k, x in enumerate(obj)))
    if isinstance(obj, (list, tuple)):
        return type(obj)(rebuilt(x, (*path, ("item", k)), results) for k, x in enumerate(obj))
    if is_dataclass(obj) and not isinstance(obj, type):
        return _rebuilt_object(obj, path, results, [f.name for f in fields(obj)])
    if attributes(obj) and not callable(obj):
        return _rebuilt_object(obj, path, results, attributes(obj))
    return obj


def _rebuilt_object(obj, path, results, names):
    new = bare(type(obj))
    for name in names:
        object.__setattr__(new, name, rebuilt(getattr(obj, name), (*path, ("attribute", name)), results))
    return new


def seeds_of(name, obj, tangent, path, given):
    """Collect into `given` (path -> array) the tangents that match the structure of argument `obj`."""
    if isinstance(obj, (float, complex, np.inexact)) or (isinstance(obj, np.ndarray) and obj.dtype.kind in "fc"):
        if np.iscomplexobj(tangent) and not np.iscomplexobj(obj):
            raise TypeError(f"the tangent for {name!r} is complex, the argument is not")
        value = np.asarray(tangent, dtype=np.asarray(obj).dtype)
        if value.shape != np.shape(obj):
            raise ValueError(f"the tangent for {name!r} has shape {value.shape}, the argument {np.shape(obj)}")
        given[path] = value
    elif isinstance(obj, dict):
        _same_keys(name, obj, tangent)
        for k, x in obj.items():
            seeds_of(f"{name}[{k!r}]", x, tangent[k], (*path, ("item", k)), given)
    elif isinstance(obj, (list, tuple)):
        if not isinstance(tangent, (list, tuple)) or len(tangent) != len(obj):
            raise ValueError(f"the tangent for {name!r} has to be a sequence of {len(obj)}, got {type(tangent).__name__}")
        for k, x in enumerate(obj):
            seeds_of(f"{name}[{k}]", x, tangent[k], (*path, ("item", k)), given)
    elif attributes(obj) and not callable(obj):
        for k, x in attributes(obj).items():
            seeds_of(f"{name}.{k}", x, getattr(tangent, k), (*path, ("attribute", k)), given)


def _same_keys(name, obj, tangent):
    if not isinstance(tangent, dict) or tangent.keys() != obj.keys():
        raise ValueError(f"the tangent for {name!r} has to be a dict with the keys {sorted(map(str, obj))}")
