"""Windows on the memory of dense arrays, as the tape's loads and stores see it."""
cimport cython
cimport numpy as cnp
from cpython.ref cimport Py_INCREF

import numpy as np

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_NewFromDescr(type subtype, cnp.dtype descr, int nd, cnp.npy_intp *dims,
                                cnp.npy_intp *strides, void *data, int flags, object obj)


@cython.final
cdef class Layout:
    """Shape, strides and dtype of arrays, to compare with and to make arrays of."""

    cdef bint fits(self, cnp.ndarray array) except -1:
        """Whether `array` has this layout, in memory that is aligned or not."""
        return (
            cnp.PyArray_NDIM(array) == self.nd
            and same_bytes(cnp.PyArray_DIMS(array), self.shape, self.nd * sizeof(cnp.npy_intp))
            and same_bytes(cnp.PyArray_STRIDES(array), self.strides, self.nd * sizeof(cnp.npy_intp))
            and (<void *> cnp.PyArray_DESCR(array) == <void *> self.dtype or array.dtype == self.dtype)
        )

    cdef object blank(self):
        """An uninitialised array; its memory is as large as its elements, so the strides have to be dense."""
        Py_INCREF(self.dtype)                  # PyArray_NewFromDescr steals it
        return PyArray_NewFromDescr(cnp.ndarray, self.dtype, self.nd, self.shape, self.strides, NULL, 0, None)

    cdef object at(self, char *data):
        """An array on memory that the caller keeps alive."""
        Py_INCREF(self.dtype)                  # PyArray_NewFromDescr steals it
        return PyArray_NewFromDescr(cnp.ndarray, self.dtype, self.nd, self.shape, self.strides, data,
                                    cnp.NPY_ARRAY_WRITEABLE, None)


cdef Layout layout_of(tuple shape, tuple strides, cnp.dtype dtype):
    cdef Layout layout = Layout.__new__(Layout)
    cdef int k
    layout.nd, layout.dtype = len(shape), dtype
    if layout.nd > AXES:
        raise ValueError(f"an array of {layout.nd} axes: NumPy's have at most {AXES}")
    for k in range(layout.nd):
        layout.shape[k], layout.strides[k] = shape[k], strides[k]
    return layout


def window(cnp.ndarray base, Py_ssize_t offset, tuple shape, tuple strides, cnp.dtype dtype):
    """The window (shape, strides and offset in bytes) on the memory of `base`, as a writeable view.

    Like ``np.lib.stride_tricks.as_strided``, for any dense `base` and 30 times cheaper. Bounds are the tape's
    concern: it records only windows that NumPy itself made.
    """
    cdef object view = layout_of(shape, strides, dtype).at(<char *> cnp.PyArray_DATA(base) + offset)
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


def blank(tuple shape, tuple strides, cnp.dtype dtype):
    """An uninitialised dense array with the given strides."""
    return layout_of(shape, strides, dtype).blank()
