"""Windows on the memory of dense arrays, as the tape's loads and stores see it."""
cimport numpy as cnp
from cpython.ref cimport Py_INCREF

import numpy as np
from numpy import empty  # NumPy's own: a trace wraps the names in its namespace

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_NewFromDescr(type subtype, cnp.dtype descr, int nd, cnp.npy_intp *dims,
                                cnp.npy_intp *strides, void *data, int flags, object obj)


def window(cnp.ndarray base, Py_ssize_t offset, tuple shape, tuple strides, cnp.dtype dtype):
    """The window (shape, strides and offset in bytes) on the memory of `base`, as a writeable view.

    Like ``np.lib.stride_tricks.as_strided``, for any dense `base` and 30 times cheaper. Bounds are the tape's
    concern: it records only windows that NumPy itself made.
    """
    cdef cnp.npy_intp[32] dims, steps
    cdef int k, nd = len(shape)
    for k in range(nd):
        dims[k], steps[k] = shape[k], strides[k]
    Py_INCREF(dtype)                       # PyArray_NewFromDescr steals it
    cdef object view = PyArray_NewFromDescr(cnp.ndarray, dtype, nd, dims, steps,
                                            <char *> cnp.PyArray_DATA(base) + offset, cnp.NPY_ARRAY_WRITEABLE, None)
    Py_INCREF(base)
    cnp.PyArray_SetBaseObject(view, base)
    return view


def address(cnp.ndarray array):
    """Address of the first element, as an integer (``array.ctypes.data`` without the ctypes object)."""
    return <Py_ssize_t> cnp.PyArray_DATA(array)


def laid_out(object value, tuple shape, tuple strides, object dtype):
    """`value` as an array whose memory is laid out densely as (shape, strides) say; copied if it is not."""
    if isinstance(value, np.ndarray) and value.shape == shape and (value.strides == strides or value.size == 0):
        return value
    cdef cnp.ndarray fresh = blank(shape, strides, dtype)
    fresh[...] = value
    return fresh


def blank(tuple shape, tuple strides, object dtype):
    """An uninitialised dense array with the given strides."""
    cdef Py_ssize_t size = 1
    for n in shape:
        size *= n
    return window(empty(size, dtype), 0, shape, strides, dtype)
