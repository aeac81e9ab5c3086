"""What a call leaves behind: memory that was written, parts of structures that were exchanged, and what was returned.

A traced call works on copies. What it did is described by nodes, each of which can be built again for any call of the kind: once
from the arguments and the numbers of the call, and once from their shadows and the derivatives. So what was one object before, or
returned as it was, is one object among the shadows too.
"""

from __future__ import annotations

import functools
import types
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from sparsead.activities.structures import is_differentiable, is_frozen, parts, set_part
from sparsead.tape._memory import laid_out, window
from sparsead.tracing._traced import CURRENT, Traced, TracedArray
from sparsead.tracing.libraries import attributes, bare
from sparsead.tracing.sparse import TracedSparse
from sparsead.tracing.substitution import is_user_object, resolve


class At(NamedTuple):
    """What stood at `path` before the call."""

    path: tuple


class View(NamedTuple):
    """A view of the array at `path`: `offset` bytes from its first element."""

    path: tuple
    offset: int
    shape: tuple
    strides: tuple
    dtype: Any


class Fresh(NamedTuple):
    """A view of a new array: output number `output`, laid out as `base`, which is (shape, strides)."""

    output: int
    base: tuple
    offset: int
    shape: tuple
    strides: tuple
    dtype: Any


class Number(NamedTuple):
    """Output number `output`, as a number of this type."""

    output: int
    kind: Any
    dtype: Any


class Plain(NamedTuple):
    """What depends on no input; arrays are copied."""

    value: Any


class Made(NamedTuple):
    """A new list, tuple, dict or object: like `pattern`, with these parts."""

    pattern: Any
    steps: tuple
    parts: tuple


class Change(NamedTuple):
    """The part `step` of what stands at `path` became `node`; None: it is gone."""

    path: tuple
    step: tuple
    node: Any


class PostState:
    """What a traced call left behind.

    Attributes
    ----------
    leaves : list
        Values of the trace: outputs of the tape.
    written : dict
        Input of the tape -> output that has the contents of its memory after the call.
    changes : list of Change
    contents : list
        (path, contents) of integer arrays that were written.
    returned
        Node of what was returned.
    active : int or None
        Output that an Active return is seeded at.
    carrying : list of bool
        Of each output whether it has a derivative.
    """

    def __init__(self):
        self.leaves, self.written, self.changes, self.contents = [], {}, [], []
        self.returned, self.active, self.n_targets, self.carrying = None, None, 0, []

    @functools.cached_property
    def signature(self):
        """What programs depend on: post states that differ in plain values alone have equal ones."""
        changes = tuple((_kept(c.path), c.step, _signature(c.node)) for c in self.changes)
        return tuple(self.written.items()), changes, _signature(self.returned), self.active


def _kept(path):
    """A path that may be a key: arrays cannot."""
    return (path[0][0], id(path[0][1]), *path[1:]) if path[0][0] == "captured" else path


def _signature(node):
    if node is None or isinstance(node, (Number, Fresh)):
        return node
    if isinstance(node, Plain):
        return is_differentiable(node.value)
    if isinstance(node, Made):
        return type(node.pattern), node.steps, tuple(map(_signature, node.parts))
    return (type(node), _kept(node.path), *node[1:])


class Reached:
    """Structures and arrays that the arguments of a call lead to, each with the path by which it is found first.

    The order is that of the walk over the arguments when they are traced.
    """

    def __init__(self, names):
        self.structures, self.arrays, self.seen = [], [], {}
        for name, value in names.items():
            self._enter(value, (("argument", name),))

    def _enter(self, obj, path):
        if isinstance(obj, (np.ndarray, TracedArray)):
            self.arrays.append((path, obj))
        elif id(obj) not in self.seen and (found := parts(obj)) is not None and _is_structure(obj):
            self.seen[id(obj)] = obj
            self.structures.append((path, obj))
            for step, part in found:
                self._enter(part, (*path, step))


def _is_structure(obj):
    return isinstance(obj, (list, tuple, dict, types.MethodType)) or is_user_object(obj) or issparse(obj)


class Collector:
    """Makes the `PostState` of a traced call; `names` are its arguments as they were before it.

    Parameters
    ----------
    names : dict
    active : bool
        Whether the return is seeded as one number.
    """

    def __init__(self, names, active):
        self.names, self.active = names, active

    def __call__(self, returned, arguments):
        self.trace, self.post, self.storages, self.made = CURRENT.get(), PostState(), {}, {}
        self.given, self.captured = self.trace.original.replacements
        self.reached = Reached(self.names)
        self.copies = {id(obj): new for obj, new in self.given.replaced()}
        self.floats = {v: leaf.path for v, leaf in zip(self._float_inputs(), self.given.floats, strict=True)}
        self._memory()
        self._places()
        for path, obj in self.reached.structures:
            self._compare(path, obj)
        for path, array in self.reached.arrays:
            self._compare_contents(path, array)
        self.post.returned = self.node(returned)
        if self.active:
            self.post.active = self._seeded(returned)
        return self.post

    def _float_inputs(self):
        inputs = self.trace.tape.inputs
        imported = len(self.trace.imports)
        return inputs[len(inputs) - imported - len(self.given.floats) : len(inputs) - imported]

    # ---- memory ------------------------------------------------------------------------------------------------------

    def _memory(self):
        """Which input each storage began as, and which of them have been written."""
        inputs = {v: k for k, v in enumerate(self.trace.tape.inputs)}
        known = [t for r in (self.given, self.captured) for t in r.values.values()]
        self.input_of = {id(t.storage): inputs[t.storage.first] for t in known}
        for t in sorted(known, key=lambda t: self.input_of[id(t.storage)]):
            k, s = self.input_of[id(t.storage)], t.storage
            s.write_only = False  # what is left to do is not the function's reading
            if s.version != s.first and k not in self.post.written:
                self.trace.check_swapped(t)
                self.post.written[k] = self._leaf(self.trace.array(s.base, s))

    def _places(self):
        """Path of each traced array and of each copy of a structure."""
        self.path_of, self.windows = {}, {}
        found = [(path, self.given.values.get(id(a))) for path, a in self.reached.arrays]
        found += [((("captured", obj),), new) for obj, new in self.captured.replaced() if isinstance(obj, np.ndarray)]
        for path, traced in found:
            if isinstance(traced, TracedArray) and traced.home is self.trace:
                self.path_of.setdefault(id(traced), path)
                self.windows.setdefault(id(traced.storage), (path, traced))
        for path, obj in self.reached.structures:
            self.path_of.setdefault(id(self.copies.get(id(obj), obj)), path)

    def _leaf(self, value):
        found = value.storage.version if isinstance(value, TracedArray) else value.value if isinstance(value, Traced) else None
        self.post.carrying.append(found is not None and self.trace.fact(found)[0])
        self.post.leaves.append(value)
        return len(self.post.leaves) - 1

    # ---- structures --------------------------------------------------------------------------------------------------

    def _compare(self, path, obj):
        if is_frozen(obj) or issparse(obj):
            return
        before, after = dict(parts(obj)), dict(parts(self.copies.get(id(obj), obj)))
        for step, now in after.items():
            if step not in before or not self._same(before[step], now, (*path, step)):
                self.post.changes.append(Change(path, step, self.node(now)))
        self.post.changes += [Change(path, step, None) for step in reversed(before) if step not in after]

    def _same(self, before, now, path):
        if isinstance(now, Traced) and not isinstance(now, TracedArray):
            return self.floats.get(now.value) == path
        if isinstance(now, TracedArray):
            return now is before or now is self.given.values.get(id(before))
        if id(before) in self.copies:
            return now is self.copies[id(before)]
        return now is before or (type(now) is type(before) and bool(np.all(now == before) or (now != now and before != before)))

    def _compare_contents(self, path, array):
        copy = self.copies.get(id(array))
        if type(copy) is np.ndarray and copy.dtype.kind in "iub" and copy.tobytes() != array.tobytes():
            self.post.contents.append((path, copy.copy()))

    # ---- nodes -------------------------------------------------------------------------------------------------------

    def node(self, x):
        """What `x` is made of."""
        if isinstance(x, TracedArray):
            return self._array(x)
        if isinstance(x, Traced):
            return Number(self._leaf(x), type(x.concrete), x.dtype)
        if isinstance(x, (float, complex, np.inexact)):
            return Number(self._leaf(x), type(x), np.asarray(x).dtype)
        if id(x) in self.path_of:
            return At(self.path_of[id(x)])
        if isinstance(x, TracedSparse):
            raise NotImplementedError(
                "the function returns or stores a new sparse array; let it write into the entries of one it has"
            )
        if _is_structure(x) and not isinstance(x, types.MethodType) and not issparse(x):
            return self._structure(x)
        return Plain(x)

    def _array(self, x):
        if id(x) in self.path_of:
            return At(self.path_of[id(x)])
        offset, concrete = self.trace.offset_of(x), x.concrete
        if id(x.storage) in self.windows:
            path, first = self.windows[id(x.storage)]
            return View(path, offset - self.trace.offset_of(first), concrete.shape, concrete.strides, concrete.dtype)
        if id(x.storage) not in self.storages:
            self.storages[id(x.storage)] = self._leaf(self.trace.array(x.storage.base, x.storage))
        base = (x.storage.shape, x.storage.strides)
        return Fresh(self.storages[id(x.storage)], base, offset, concrete.shape, concrete.strides, concrete.dtype)

    def _structure(self, x):
        if id(x) in self.made:
            if self.made[id(x)] is None:
                raise NotImplementedError(f"the function makes a {type(x).__name__} that holds itself; let the caller make it")
            return self.made[id(x)]
        self.made[id(x)] = None
        steps, nodes = tuple(step for step, _ in parts(x)), tuple(self.node(part) for _, part in parts(x))
        plain = is_user_object(x) and all(isinstance(node, Plain) for node in nodes)
        self.made[id(x)] = Plain(x) if plain else Made(x, steps, nodes)
        return self.made[id(x)]

    def _seeded(self, returned):
        """The output that an Active return is seeded at; None if it is no number."""
        node = self.post.returned
        if isinstance(node, Number) and node.dtype.kind in "fc":
            return node.output
        if isinstance(returned, TracedArray) and returned.ndim == 0:
            return self._leaf(returned)
        return None


# ---- building --------------------------------------------------------------------------------------------------------


class Side:
    """Builds nodes from what there is on one side: arguments and values, or shadows and derivatives.

    Parameters
    ----------
    at : callable
        ``at(path)``: what stood there before the call.
    output : callable
        ``output(k, dtype)``: the number or array that output number k of the tape is on this side.
    plain : callable
        ``plain(value)``: what stands for a value that depends on no input.
    """

    def __init__(self, at, output, plain):
        self.at, self.output, self.plain, self.made = at, output, plain, {}

    def build(self, node):
        """The object."""
        if isinstance(node, At):
            return self.at(node.path)
        if isinstance(node, View):
            return _window(self.at(node.path), node)
        if isinstance(node, Fresh):
            return _window(self._base(node), node)
        if isinstance(node, Number):
            return as_number(self.output(node.output), node.kind)
        if isinstance(node, Plain):
            return self.plain(node.value)
        if id(node) not in self.made:
            self.made[id(node)] = _made_like(node.pattern, node.steps, [self.build(part) for part in node.parts])
        return self.made[id(node)]

    def _base(self, node):
        if node.output not in self.made:
            made, (shape, strides) = self.output(node.output), node.base
            if type(made) is np.ndarray and made.strides != strides:
                made = laid_out(made, shape, strides, made.dtype)
            self.made[node.output] = made
        return self.made[node.output]


def _window(array, node):
    concrete = array.concrete if isinstance(array, Traced) else array
    if node.offset == 0 and (concrete.shape, concrete.strides, concrete.dtype) == (node.shape, node.strides, node.dtype):
        return array
    view = window(concrete, node.offset, node.shape, node.strides, node.dtype)
    return array.home.array(view, array.storage) if isinstance(array, Traced) else view


def as_number(value, kind):
    """A result of the engine as a number of the type that the function computes with."""
    return value if isinstance(value, Traced) else kind(value[()])


def _made_like(pattern, steps, built):
    if isinstance(pattern, tuple):
        return tuple.__new__(type(pattern), built) if hasattr(pattern, "_fields") else type(pattern)(built)
    if isinstance(pattern, list):
        return type(pattern)(built)
    if isinstance(pattern, dict):
        return {name: x for (_, name), x in zip(steps, built, strict=True)}
    new = bare(type(pattern))
    for (_, name), x in zip(steps, built, strict=True):
        object.__setattr__(new, name, x)
    return new


def apply(changes, arguments, values, restored=False, kept=False):
    """Exchange the parts of structures that a call exchanged.

    Parameters
    ----------
    changes : list of Change
    arguments : dict
        By name, of the side that is meant.
    values : list
        What each part becomes there.
    restored : bool
        Only parts that were there before the call and still are: structures keep their length.
    kept : bool
        Numbers that are there already stay.
    """
    owners = [resolve(change.path, arguments) for change in changes]
    for change, owner, value in zip(changes, owners, values, strict=True):
        there = has_part(owner, change.step)
        if (restored and not (there and change.node is not None)) or (kept and there and isinstance(change.node, Number)):
            continue
        if change.node is None:
            remove_part(owner, change.step)
        elif not there and isinstance(owner, list):
            owner.append(value)
        else:
            set_part(owner, change.step, value)


def has_part(owner, step):
    """Whether a list, dict or object has this part."""
    kind, name = step
    if kind == "attribute":
        return name in attributes(owner)
    return name < len(owner) if isinstance(owner, list) else name in owner


def remove_part(owner, step):
    """Take this part out of a list, dict or object."""
    kind, name = step
    if kind == "attribute":
        delattr(owner, name)
    else:
        del owner[name]
