"""Systems of equations, inverses and determinants of stacks of square matrices."""

import numpy as np
from numpy.linalg import slogdet as _slogdet

from sparsead.ops.structural import broadcast_shape

from . import _primitives as prim
from ._registry import composite
from ._shared import as_dtype, is_inexact, result_type

SlogdetResult = type(_slogdet(np.ones((1, 1))))


def _as_floats(*arrays):
    """Operands as arrays of the one dtype in which NumPy's linalg computes: integers are double."""
    arrays = [prim.as_array(a) for a in arrays]
    dtype = result_type(*(a.dtype if is_inexact(a) else np.dtype(np.float64) for a in arrays))
    return [as_dtype(a, dtype) for a in arrays]


@composite("linalg.solve")
def solve(a, b):
    """Solution x of ``a @ x = b``; a vector `b` is one right-hand side for all matrices."""
    a, b = _as_floats(a, b)
    if b.ndim == 1:
        return solve(a, b[:, None])[..., 0]
    if a.ndim >= 2 <= b.ndim and a.shape[:-2] != b.shape[:-2]:
        stack = broadcast_shape(a.shape[:-2], b.shape[:-2])
        a, b = (prim.broadcast_to(x, stack + x.shape[-2:]) for x in (a, b))
    return prim.solve(a, b)


@composite("linalg.inv")
def inv(a):
    """Inverse matrices."""
    return prim.inv(*_as_floats(a))


@composite("linalg.det")
def det(a):
    """Determinants; their first derivatives hold at singular matrices too."""
    return prim.det(*_as_floats(a))


@composite("linalg.slogdet")
def slogdet(a):
    """Signs, without derivative, and logarithms of the absolute values of determinants."""
    (a,) = _as_floats(a)
    return SlogdetResult(prim.sign_of_det(a), prim.logabsdet(a))
