"""Products that sum: each is one ``einsum`` with explicit subscripts. Values agree with BLAS to rounding.

What sums nothing is a product of views.
"""

import string
from functools import reduce
from operator import mul

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from . import _primitives as prim
from ._registry import composite, method, unsupported
from ._shared import as_dtype, c_ordered, conjugate, deliver

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"  # one character for the three dots of subscripts

# -- einsum with labels of axes


def _contract(labels, arrays, out_labels):
    """Einsum over axes labelled by numbers. An axis of length one that meets a longer one is squeezed away."""
    lengths = {}
    for names, a in zip(labels, arrays, strict=True):
        for name, n in zip(names, a.shape, strict=True):
            if lengths.setdefault(name, n) == 1:
                lengths[name] = n
            elif n not in (1, lengths[name]):
                raise ValueError(f"einsum(): an axis of length {n} meets one of length {lengths[name]}")
    if len(arrays) > 1 and all(set(names) <= set(out_labels) for names in labels):
        return reduce(mul, (_aligned(a, names, out_labels) for names, a in zip(labels, arrays, strict=True)))
    terms, operands = [], []
    for names, a in zip(labels, arrays, strict=True):
        short = [d for d, name in enumerate(names) if a.shape[d] == 1 != lengths[name]]
        operands.append(a.squeeze(tuple(short)) if short else a)
        terms.append([name for d, name in enumerate(names) if d not in short])
    letters = dict(zip(lengths, string.ascii_letters, strict=False))
    if len(lengths) > len(letters):
        raise ValueError(f"einsum(): more than {len(letters)} different axes")
    *terms, result = ("".join(letters[name] for name in names) for names in (*terms, out_labels))
    return prim.einsum(f"{','.join(terms)}->{result}", *operands)


def _aligned(a, labels, out_labels):
    """View of an operand with all axes of the output, of length one where it has none."""
    view = _rearranged(a, labels, [label for label in out_labels if label in labels])
    return view[tuple(slice(None) if label in labels else None for label in out_labels)]


@composite()
def einsum(*operands, out=None, optimize=False, **kwargs):
    """Sums of products by Einstein's convention, in all of NumPy's forms.

    The order of summation is the engine's: `optimize` makes no difference. One operand that is neither multiplied nor
    summed is returned as NumPy does, as a view.
    """
    dtype = kwargs.pop("dtype", None)
    for keyword in kwargs:
        raise unsupported("einsum", keyword, "convert the operands")
    labels, arrays, out_labels = _parse(*operands)
    if len(arrays) == 1 and set(labels[0]) == set(out_labels):
        return deliver("einsum", _rearranged(arrays[0], labels[0], out_labels), out)
    return deliver("einsum", _contract(labels, _as_dtype("einsum", arrays, dtype, "safe"), out_labels), out)


def _as_dtype(function, arrays, dtype, casting):
    """Operands in the dtype of a keyword, if there is one."""
    if dtype is None:
        return arrays
    for a in arrays:
        if not np.can_cast(a.dtype, dtype, casting):
            raise TypeError(f"{function}(): cannot cast {a.dtype} to {np.dtype(dtype)} by casting={casting!r}")
    return [as_dtype(a, np.dtype(dtype)) for a in arrays]


def _rearranged(a, labels, out_labels):
    """View of the diagonals of axes with the same label, in the order of the output."""
    labels = list(labels)
    for label in sorted(set(labels), key=labels.index):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if a.shape[first] != a.shape[second]:
                raise ValueError(f"einsum(): axes of lengths {a.shape[first]} and {a.shape[second]} have one label")
            a = prim.diagonal(a, 0, first, second, writeable=True)  # its axis comes last
            labels = [*labels[:first], *labels[first + 1 : second], *labels[second + 1 :], label]
    return a.transpose(*(labels.index(label) for label in out_labels))


def _parse(*operands):
    """Labels of each operand, the operands, and the labels of the output; "..." becomes labels (..., -k)."""
    if isinstance(operands[0], str):
        terms, explicit, out = operands[0].replace(" ", "").replace("...", _ELLIPSIS).partition("->")
        terms = [_tokens(term) for term in terms.split(",")]
        arrays, out = operands[1:], _tokens(out) if explicit else None
    else:
        count = len(operands) // 2
        terms, arrays = [list(term) for term in operands[1 : 2 * count : 2]], operands[: 2 * count : 2]
        out = list(operands[-1]) if len(operands) % 2 else None
    arrays = [prim.as_array(a) for a in arrays]
    if len(terms) != len(arrays):
        raise ValueError(f"einsum(): got subscripts for {len(terms)} operands, and {len(arrays)} operands")
    labels = [_expanded(term, a.ndim) for term, a in zip(terms, arrays, strict=True)]
    return labels, arrays, _output(labels, out)


def _tokens(term):
    if term.count(_ELLIPSIS) > 1 or not set(term) <= {*string.ascii_letters, _ELLIPSIS}:
        raise ValueError(f"einsum(): subscripts {term!r} are not letters and at most one ellipsis")
    return [Ellipsis if letter == _ELLIPSIS else letter for letter in term]


def _expanded(term, ndim):
    """One label for each axis of an operand."""
    extra = ndim - len(term) + (Ellipsis in term)
    if extra < 0 or (extra and Ellipsis not in term):
        raise ValueError(f"einsum(): {len(term)} subscripts for an operand with {ndim} axes")
    if Ellipsis not in term:
        return term
    at = term.index(Ellipsis)
    return [*term[:at], *((Ellipsis, k) for k in range(-extra, 0)), *term[at + 1 :]]


def _output(labels, out):
    """Labels of the output; by default those of broadcast axes, then in order those that occur once."""
    used = [label for names in labels for label in names]
    broadcast = sorted({label for label in used if isinstance(label, tuple)}, key=lambda label: label[1])
    if out is None:
        return broadcast + sorted(x for x in set(used) if not isinstance(x, tuple) and used.count(x) == 1)
    if broadcast and Ellipsis not in out:
        raise ValueError("einsum(): operands have an ellipsis, the output has none")
    out = [x for label in out for x in (broadcast if label is Ellipsis else [label])]
    if len(set(out)) < len(out) or not set(out) <= set(used):
        raise ValueError("einsum(): labels of the output must occur in an operand, and once in the output")
    return out


# -- products of two arrays


@composite()
@method()
def dot(a, b, out=None):
    """Sum over the last axis of `a` and the last but one of `b`."""
    a, b = prim.as_array(a), prim.as_array(b)
    if a.ndim == 0 or b.ndim == 0:
        return _exactly("dot", c_ordered(np.multiply(a, b)), out)
    over = max(b.ndim - 2, 0)
    _check_aligned("dot", a, -1, b, over)
    return _exactly("dot", _sum_over(a, [a.ndim - 1], b, [over]), out)


def _check_aligned(function, a, axis_a, b, axis_b):
    if a.shape[axis_a] != b.shape[axis_b]:
        raise ValueError(
            f"{function}(): shapes {a.shape} and {b.shape} not aligned: "
            f"{a.shape[axis_a]} (axis {axis_a % a.ndim}) != {b.shape[axis_b]} (axis {axis_b % b.ndim})"
        )


def _sum_over(a, axes_a, b, axes_b):
    """Sum of products over pairs of axes; the free axes of `a`, then those of `b`."""
    labels_a = list(range(a.ndim))
    labels_b = [a.ndim + d for d in range(b.ndim)]
    for d, e in zip(axes_a, axes_b, strict=True):
        labels_b[e] = labels_a[d]
    free = [x for x in labels_a + labels_b if (x in labels_a) != (x in labels_b)]
    return c_ordered(_contract([labels_a, labels_b], [a, b], free))


def _exactly(function, value, out):
    """`value` into an `out` of just its shape and dtype, as ``dot`` and ``outer`` want it."""
    if out is not None and (out.shape != prim.shape(value) or out.dtype != prim.dtype(value)):
        raise ValueError(
            f"{function}(): out has shape {out.shape} and dtype {out.dtype}, "
            f"the result {prim.shape(value)} and {prim.dtype(value)}"
        )
    return deliver(function, value, out)


@composite()
def vdot(a, b, /):
    """Sum of products of all elements, those of `a` conjugated."""
    a, b = prim.as_array(a).ravel(), prim.as_array(b).ravel()
    _check_aligned("vdot", a, 0, b, 0)
    return _sum_over(conjugate(a), [0], b, [0])


@composite()
def inner(a, b, /):
    """Sum over the last axes of both."""
    a, b = prim.as_array(a), prim.as_array(b)
    if a.ndim == 0 or b.ndim == 0:
        return c_ordered(np.multiply(a, b))
    _check_aligned("inner", a, -1, b, -1)
    return _sum_over(a, [a.ndim - 1], b, [b.ndim - 1])


@composite()
def outer(a, b, out=None):
    """Products of all pairs of elements."""
    a, b = prim.as_array(a).ravel(), prim.as_array(b).ravel()
    return np.multiply(a[:, None], b[None, :], out=out)


@composite("linalg.outer")
def linalg_outer(x1, x2, /):
    """Products of all pairs of elements of two vectors."""
    x1, x2 = prim.as_array(x1), prim.as_array(x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"outer(): x1 and x2 must be vectors, got shapes {x1.shape} and {x2.shape}")
    return outer(x1, x2)


@composite()
def tensordot(a, b, axes=2):
    """Sum over pairs of axes: the last of `a` with the first of `b`, or as listed."""
    a, b = prim.as_array(a), prim.as_array(b)
    axes_a, axes_b = axes if hasattr(axes, "__len__") else (range(-axes, 0), range(axes))
    axes_a, axes_b = (list(d) if hasattr(d, "__len__") else [d] for d in (axes_a, axes_b))
    if len(axes_a) != len(axes_b):
        raise ValueError(f"tensordot(): {len(axes_a)} axes of a for {len(axes_b)} axes of b")
    for d, e in zip(axes_a, axes_b, strict=True):
        _check_aligned("tensordot", a, d, b, e)
    axes_a, axes_b = [d % a.ndim for d in axes_a], [d % b.ndim for d in axes_b]
    if len(set(axes_a)) < len(axes_a) or len(set(axes_b)) < len(axes_b):
        raise ValueError("tensordot(): duplicate axes are not allowed")
    return prim.as_array(_sum_over(a, axes_a, b, axes_b))


@composite("linalg.tensordot")
def linalg_tensordot(x1, x2, /, *, axes=2):
    """Sum over pairs of axes."""
    return tensordot(x1, x2, axes)


# -- products of stacks of matrices and vectors

_GUFUNC_DEFAULTS = {"casting": "same_kind", "order": "K", "subok": True, "signature": None, "axes": None, "axis": None}


def _stacked(function, x1, core1, x2, core2, core_out, out, dtype, options):
    """Einsum over core axes, labelled by letters, with all axes in front of them broadcast."""
    for keyword, value in options.items():
        if keyword not in _GUFUNC_DEFAULTS:
            raise TypeError(f"{function}() got an unexpected keyword argument {keyword!r}")
        if value != _GUFUNC_DEFAULTS[keyword]:
            raise unsupported(function, keyword, "move axes with np.moveaxis")
    for name, x, core in (("x1", x1, core1), ("x2", x2, core2)):
        if x.ndim < len(core):
            raise ValueError(f"{function}(): {name} of shape {x.shape} needs at least {len(core)} axes")
    _check_aligned(function, x1, x1.ndim - len(core1) + core1.index("k"), x2, x2.ndim - len(core2) + core2.index("k"))
    x1, x2 = _as_dtype(function, (x1, x2), dtype, "same_kind")
    labels = [[*range(len(core) - x.ndim, 0), *core] for x, core in ((x1, core1), (x2, core2))]
    stack = range(-max(x1.ndim - len(core1), x2.ndim - len(core2)), 0)
    result = c_ordered(_contract(labels, [x1, x2], [*stack, *core_out]))
    return deliver(function, result, out[0] if isinstance(out, tuple) else out)


@composite()
def matmul(x1, x2, /, out=None, *, keepdims=False, dtype=None, **options):
    """Product of matrices in the last two axes; a vector is a row on the left and a column on the right."""
    x1, x2 = prim.as_array(x1), prim.as_array(x2)
    if keepdims:
        raise TypeError("matmul() does not support keepdims=: it has two core axes")
    core1, core2 = ("k" if x1.ndim == 1 else "ik"), ("k" if x2.ndim == 1 else "kj")
    return _stacked("matmul", x1, core1, x2, core2, core1[:-1] + core2[1:], out, dtype, options)


@composite("linalg.matmul")
def linalg_matmul(x1, x2, /):
    """Product of matrices in the last two axes."""
    return matmul(x1, x2)


@composite()
def vecdot(x1, x2, /, out=None, *, axis=-1, keepdims=False, dtype=None, **options):
    """Sum of products along one axis, `x1` conjugated."""
    x1, x2 = _axis_last(x1, axis), _axis_last(x2, axis)
    result = _stacked("vecdot", conjugate(x1), "k", x2, "k", "", None if keepdims else out, dtype, options)
    if not keepdims:
        return result
    shape = list(prim.shape(result))
    shape.insert(axis % (len(shape) + 1), 1)
    return deliver("vecdot", prim.as_array(result).reshape(tuple(shape)), out[0] if isinstance(out, tuple) else out)


def _axis_last(x, axis):
    x = prim.as_array(x)
    if x.ndim == 0:
        return x
    axis = normalize_axis_index(axis, x.ndim)
    return x.transpose(*(d for d in range(x.ndim) if d != axis), axis)


@composite("linalg.vecdot")
def linalg_vecdot(x1, x2, /, *, axis=-1):
    """Sum of products along one axis, `x1` conjugated."""
    return vecdot(x1, x2, axis=axis)


@composite("matvec")
def matvec(x1, x2, /, out=None, *, dtype=None, **options):
    """Matrices times vectors."""
    return _stacked("matvec", prim.as_array(x1), "ik", prim.as_array(x2), "k", "i", out, dtype, options)


@composite("vecmat")
def vecmat(x1, x2, /, out=None, *, dtype=None, **options):
    """Vectors, conjugated, times matrices."""
    return _stacked("vecmat", conjugate(prim.as_array(x1)), "k", prim.as_array(x2), "kj", "j", out, dtype, options)


# -- products of several matrices


@composite("linalg.multi_dot")
def multi_dot(arrays, *, out=None):
    """Product of matrices in the cheapest order; the first and the last may be vectors."""
    arrays = [prim.as_array(a) for a in arrays]
    if len(arrays) < 2:
        raise ValueError("multi_dot(): needs at least two arrays")
    for k, a in enumerate(arrays):
        if a.ndim != 2 and not (a.ndim == 1 and k in (0, len(arrays) - 1)):
            raise np.linalg.LinAlgError(f"multi_dot(): array {k} of shape {a.shape} is no matrix")
    first, last = arrays[0], arrays[-1]
    sizes = [1 if first.ndim == 1 else first.shape[0], *(a.shape[0] for a in arrays[1:])]
    sizes += [1 if last.ndim == 1 else last.shape[1]]
    return _exactly("multi_dot", _chain(arrays, _cheapest_splits(sizes), 0, len(arrays) - 1), out)


def _cheapest_splits(sizes):
    """Where to split each sub-chain, by dynamic programming (Cormen et al., Introduction to Algorithms, 15.2)."""
    n = len(sizes) - 1
    cost, split = {(i, i): 0 for i in range(n)}, {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )
    return split


def _chain(arrays, split, i, j):
    if i == j:
        return arrays[i]
    k = split[i, j]
    return dot(_chain(arrays, split, i, k), _chain(arrays, split, k + 1, j))
