"""Views: the same memory under another shape. They add nothing to the tape but a view."""

import itertools
import math
import operator

from numpy.exceptions import AxisError
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from sparsead.ops.structural import broadcast_shape

from . import _primitives as prim
from ._registry import composite, method
from ._shared import at_axis, conjugate, layout_order, zeros_like

# -- what an array is


@composite()
def shape(a):
    """Shape of an array-like."""
    return prim.shape(a)


@composite()
def ndim(a):
    """Number of axes of an array-like."""
    return len(prim.shape(a))


@composite()
def size(a, axis=None):
    """Number of elements, of all or of some axes."""
    a = prim.as_array(a)
    axes = range(a.ndim) if axis is None else normalize_axis_tuple(axis, a.ndim)
    return math.prod(a.shape[d] for d in axes)


@composite()
def iscomplexobj(x):
    """Whether the dtype is complex."""
    return bool(prim.dtype(x).kind == "c")


@composite()
def isrealobj(x):
    """Whether the dtype is not complex."""
    return not iscomplexobj(x)


@composite()
def real(val):
    """Real part, a view."""
    a = val if hasattr(val, "real") else prim.as_array(val)
    return a.real if prim.dtype(a).kind == "c" else prim.as_array(a)


@composite()
def imag(val):
    """Imaginary part, a view; of real arrays new zeros."""
    a = val if hasattr(val, "imag") else prim.as_array(val)
    return a.imag if prim.dtype(a).kind == "c" else zeros_like(prim.as_array(a))


# -- axes


@composite("transpose", "permute_dims")
def transpose(a, axes=None):
    """Axes in reverse or in the given order."""
    a = prim.as_array(a)
    return a.transpose() if axes is None else a.transpose(axes)


@composite("matrix_transpose", "linalg.matrix_transpose")
def matrix_transpose(x, /):
    """The last two axes swapped."""
    x = prim.as_array(x)
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose(): x has {x.ndim} axes, needs at least 2")
    return x.swapaxes(-1, -2)


@composite()
def swapaxes(a, axis1, axis2):
    """Two axes interchanged."""
    return prim.as_array(a).swapaxes(axis1, axis2)


@composite()
def moveaxis(a, source, destination):
    """Some axes at new places, the others in their order."""
    a = prim.as_array(a)
    source = normalize_axis_tuple(source, a.ndim, "source")
    destination = normalize_axis_tuple(destination, a.ndim, "destination")
    if len(source) != len(destination):
        raise ValueError("moveaxis(): source and destination must have the same number of elements")
    order = [d for d in range(a.ndim) if d not in source]
    for place, d in sorted(zip(destination, source, strict=True)):
        order.insert(place, d)
    return a.transpose(*order)


@composite()
def rollaxis(a, axis, start=0):
    """One axis moved in front of another."""
    a = prim.as_array(a)
    axis = normalize_axis_index(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    if not 0 <= start <= a.ndim:
        raise AxisError(f"rollaxis(): start must lie between {-a.ndim} and {a.ndim}")
    start -= axis < start
    return a[...] if start == axis else moveaxis(a, axis, start)


@composite()
def squeeze(a, axis=None):
    """Without axes of length one."""
    return prim.as_array(a).squeeze() if axis is None else prim.as_array(a).squeeze(axis)


@composite()
def expand_dims(a, axis):
    """With new axes of length one."""
    a = prim.as_array(a)
    axis = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    new = normalize_axis_tuple(axis, a.ndim + len(axis))
    lengths = iter(a.shape)
    return a.reshape(tuple(1 if d in new else next(lengths) for d in range(a.ndim + len(new))))


@composite()
def reshape(a, /, shape, order="C", *, copy=None):
    """Another shape; a view where NumPy's strides allow it."""
    a = prim.as_array(a)
    return a.reshape(shape, order=order) if copy is None else a.reshape(shape, order=order, copy=copy)


@composite()
def ravel(a, order="C"):
    """As a vector; a view where NumPy's strides allow it."""
    a = prim.as_array(a)
    if order == "K":
        return a.transpose(*_axes_as_in_memory(a)).ravel()
    return a.ravel(layout_order(a) if order == "A" else order)


def _axes_as_in_memory(a):
    return sorted(range(a.ndim), key=lambda axis: -abs(prim.strides(a)[axis]))


@composite()
def copy(a, order="K", subok=False):
    """A copy in new memory; `subok` makes no difference."""
    return prim.as_array(a).copy(order)


@method("flatten")
def _flatten_method(a, order="C"):
    return a.copy(order).ravel(order)


@method("conj", "conjugate")
def _conjugate_method(a):
    return conjugate(a)


@composite()
def atleast_1d(*arys):
    """Arrays with one axis or more."""
    return _each(arys, lambda a: a.reshape(1) if a.ndim == 0 else a)


@composite()
def atleast_2d(*arys):
    """Arrays with two axes or more, new ones in front."""
    return _each(arys, lambda a: a.reshape(1, 1) if a.ndim == 0 else a[None] if a.ndim == 1 else a)


@composite()
def atleast_3d(*arys):
    """Arrays with three axes or more, a matrix extended at its end."""
    return _each(arys, _with_3_axes)


def _with_3_axes(a):
    if a.ndim == 0:
        return a.reshape(1, 1, 1)
    return a[None, :, None] if a.ndim == 1 else a[:, :, None] if a.ndim == 2 else a


def _each(arrays, view):
    results = tuple(view(prim.as_array(a)) for a in arrays)
    return results[0] if len(results) == 1 else results


# -- order of elements


@composite()
def flip(m, axis=None):
    """Reversed along all or some axes."""
    m = prim.as_array(m)
    axes = range(m.ndim) if axis is None else normalize_axis_tuple(axis, m.ndim)
    return m[tuple(slice(None, None, -1 if d in axes else None) for d in range(m.ndim))]


@composite()
def fliplr(m):
    """Reversed along axis 1."""
    m = prim.as_array(m)
    if m.ndim < 2:
        raise ValueError(f"fliplr(): m has {m.ndim} axes, needs at least 2")
    return m[:, ::-1]


@composite()
def flipud(m):
    """Reversed along axis 0."""
    m = prim.as_array(m)
    if m.ndim < 1:
        raise ValueError("flipud(): m has no axes, needs at least 1")
    return m[::-1, ...]


@composite()
def rot90(m, k=1, axes=(0, 1)):
    """Rotated by `k` quarter turns in the plane of two axes."""
    m = prim.as_array(m)
    if len(tuple(axes)) != 2:
        raise ValueError("rot90(): len(axes) must be 2")
    if not all(-m.ndim <= d < m.ndim for d in axes):
        raise ValueError(f"rot90(): axes {tuple(axes)} out of range for an array with {m.ndim} axes")
    first, second = (d % m.ndim for d in axes)
    if first == second:
        raise ValueError("rot90(): axes must be different")
    turns = k % 4
    if turns == 0:
        return m[:]
    if turns == 2:
        return flip(m, (first, second))
    return flip(m, second).swapaxes(first, second) if turns == 1 else flip(m.swapaxes(first, second), second)


# -- broadcasting


@composite()
def broadcast_to(array, shape, subok=False):
    """A read-only view with repeated elements; `subok` makes no difference, arrays of the tape have no subclasses."""
    return prim.broadcast_to(prim.as_array(array), shape)


@composite()
def broadcast_arrays(*args, subok=False):
    """Arrays as views of their common shape; `subok` makes no difference."""
    arrays = tuple(prim.as_array(a) for a in args)
    common = broadcast_shape(*(a.shape for a in arrays))
    if all(a.shape == common for a in arrays):
        return arrays
    return tuple(prim.broadcast_to(a, common) for a in arrays)


@composite()
def meshgrid(*xi, copy=True, sparse=False, indexing="xy"):
    """Coordinate arrays of the grid spanned by vectors."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid(): indexing must be "xy" or "ij", got {indexing!r}')
    n = len(xi)
    axes = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else range(n)
    grids = [
        prim.as_array(x).reshape((1,) * d + (-1,) + (1,) * (n - d - 1)) for x, d in zip(xi, axes, strict=True)
    ]
    grids = grids if sparse else broadcast_arrays(*grids) if grids else ()
    return tuple(x.copy() for x in grids) if copy else grids


# -- parts


@composite()
def array_split(ary, indices_or_sections, axis=0):
    """List of views, of lengths that differ by at most one or between given indices."""
    ary = prim.as_array(ary)
    axis = normalize_axis_index(axis, ary.ndim)
    bounds = _bounds(ary.shape[axis], indices_or_sections)
    return [ary[at_axis(axis, slice(start, stop))] for start, stop in itertools.pairwise(bounds)]


def _bounds(n, indices_or_sections):
    if prim.shape(indices_or_sections):
        return [0, *(operator.index(i) for i in indices_or_sections), n]
    sections = int(indices_or_sections)
    if sections <= 0:
        raise ValueError(f"array_split(): the number of sections must be positive, got {sections}")
    length, longer = divmod(n, sections)
    return [k * length + min(k, longer) for k in range(sections + 1)]


@composite()
def split(ary, indices_or_sections, axis=0):
    """List of views, of equal lengths or between given indices."""
    ary = prim.as_array(ary)
    axis = normalize_axis_index(axis, ary.ndim)
    if not prim.shape(indices_or_sections) and ary.shape[axis] % indices_or_sections:
        raise ValueError(f"split(): axis {axis} of length {ary.shape[axis]} has no {indices_or_sections} equal parts")
    return array_split(ary, indices_or_sections, axis)


@composite()
def hsplit(ary, indices_or_sections):
    """Split along axis 1, of a vector along axis 0."""
    ary = _with_axes("hsplit", ary, 1)
    return split(ary, indices_or_sections, 1 if ary.ndim > 1 else 0)


@composite()
def vsplit(ary, indices_or_sections):
    """Split along axis 0."""
    return split(_with_axes("vsplit", ary, 2), indices_or_sections, 0)


@composite()
def dsplit(ary, indices_or_sections):
    """Split along axis 2."""
    return split(_with_axes("dsplit", ary, 3), indices_or_sections, 2)


def _with_axes(function, ary, least):
    ary = prim.as_array(ary)
    if ary.ndim < least:
        raise ValueError(f"{function}(): ary has {ary.ndim} axes, needs at least {least}")
    return ary


@composite()
def unstack(x, /, *, axis=0):
    """Tuple of the slices along one axis."""
    x = _with_axes("unstack", x, 1)
    axis = normalize_axis_index(axis, x.ndim)
    return tuple(x[at_axis(axis, k)] for k in range(x.shape[axis]))


@composite()
@method()
def diagonal(a, offset=0, axis1=0, axis2=1):
    """Diagonals of two axes, a read-only view."""
    return prim.diagonal(prim.as_array(a), offset, axis1, axis2)


@composite("linalg.diagonal")
def linalg_diagonal(x, /, *, offset=0):
    """Diagonals of the last two axes, a read-only view."""
    return prim.diagonal(prim.as_array(x), offset, -2, -1)
