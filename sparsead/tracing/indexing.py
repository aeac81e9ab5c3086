"""Advanced indexing: index arrays and masks become element positions, and a gather or a scatter.

NumPy itself works out which elements an index names, by indexing an array of positions; so every form of index that
NumPy has is right by construction. Positions that depend on inputs are computed again at every replay.
"""

from __future__ import annotations

import numpy as np

from sparsead.ops.positions import Fixed, Positions
from sparsead.ops.structural import positions
from sparsead.tape.spec import View
from sparsead.tracing._traced import Traced, TracedArray, as_array, concrete_of, select


def take(a, index):
    """``a[index]`` with arrays in the index: a copy."""
    if is_part(a):
        return a.copy()[index]
    trace = a.home
    concrete = _found(a, index)
    pos, _, _ = store_positions(trace, a, index)
    value = trace.op("gather", (a.storage.version, pos), a.dtype, np.shape(concrete))
    return trace.result(np.array(concrete, order="C") if isinstance(concrete, np.ndarray) else concrete, value)


def _found(a, index):
    """What NumPy finds at an index. The user may catch its error: then the path hangs on the numbers in the index."""
    try:
        return a.concrete[plain_index(index)]
    except IndexError:
        for part in index if isinstance(index, tuple) else (index,):
            if isinstance(part, TracedArray):
                bool((part == part.concrete.copy()).all())
        raise


def put(a, index, value):
    """``a[index] = value`` with arrays in the index: the last of repeated writes wins."""
    trace = a.home
    _found(a, index)
    if isinstance(value, (list, tuple)):
        value = np.array(value)
    if not a.concrete.flags.writeable:
        raise ValueError("assignment destination is read-only")
    if is_part(a):
        whole = a.copy()
        whole[index] = value
        a[...] = whole
        return
    if _is_traced_mask(trace, a, index) and np.ndim(concrete_of(value)) == 0:
        old, mask = a[...], index
        a.concrete[concrete_of(index)] = concrete_of(value)
        kept = a.concrete.copy()
        a.assign(a.concrete[...], select(trace, mask, value, old))
        a.concrete[...] = kept
        return
    pos, _, _ = store_positions(trace, a, index)
    v = trace.operand(value) if isinstance(value, (Traced, np.ndarray)) else trace.operand(value, a.dtype)
    a.concrete[plain_index(index)] = concrete_of(value)
    a.scatter(pos, v, False)


def is_part(a):
    """Whether `a` sees the real or imaginary parts of its storage: positions are those of whole elements."""
    return a.dtype.itemsize != a.storage.dtype.itemsize


def _is_traced_mask(trace, a, index):
    return isinstance(index, TracedArray) and index.dtype == bool and index.shape == a.shape


def store_positions(trace, a, index):
    """Positions in the storage's memory that `index` names: (value, concrete positions, whether they are fixed)."""
    parts = index if isinstance(index, tuple) else (index,)
    parts = tuple(_tidy(trace, p) for p in parts)
    concrete = a.concrete
    view = View(concrete.shape, concrete.strides, concrete.dtype)
    offset = trace.offset_of(a)
    known = positions(view, offset)[plain_index(parts)]
    traced = tuple(k for k, p in enumerate(parts) if isinstance(p, Traced) and trace.fact(trace.operand(p))[1])
    if not traced:
        fixed = np.ascontiguousarray(known) if np.ndim(known) else np.asarray(known)
        return trace.constant_value(fixed), fixed, True
    template = tuple(None if k in traced else Fixed(concrete_of(p)) for k, p in enumerate(parts))
    attr = Positions(view, offset, template, traced)
    value = trace.op("inactive", [trace.operand(parts[k]) for k in traced], np.int64, np.shape(known), attr)
    return value, np.asarray(known), False


def _tidy(trace, part):
    if isinstance(part, list) and any(isinstance(p, Traced) for p in part):
        from sparsead.tracing.functions import array_of

        return array_of(trace, part)
    if isinstance(part, list):
        return np.asarray(part, dtype=None if part else np.intp)
    return part


def plain_index(index):
    """The index with the trace's numbers in it."""
    if isinstance(index, tuple):
        return tuple(concrete_of(k) for k in index)
    return concrete_of(index)


class Flat:
    """``a.flat``: the elements in C order."""

    def __init__(self, array):
        self.array = array

    def _vector(self):
        """The array as a vector that shares its memory, or None."""
        flat = self.array.concrete.reshape(-1)
        return self.array.view_as(flat) if self.array.same_memory(flat) else None

    def _index(self, index):
        return np.unravel_index(np.arange(self.array.size)[plain_index(index)], self.array.shape)

    def __getitem__(self, index):
        item = self.array[self._index(index)]
        return item

    def __setitem__(self, index, value):
        places = self._index(index)
        n = np.size(places[0]) if places else 1
        value = as_array(self.array.home, value) if isinstance(value, Traced) else np.asarray(value)
        if value.ndim and value.size not in (1, n):  # NumPy repeats the values, or drops what is too much
            value = value.reshape(-1)[np.arange(n) % value.size]
        self.array[places] = value.reshape(np.shape(places[0])) if value.size == n and places else value

    def __iter__(self):
        return iter([self[k] for k in range(self.array.size)])

    def __len__(self):
        return self.array.size

    def copy(self):
        """A vector of the elements."""
        return self.array.flatten()
