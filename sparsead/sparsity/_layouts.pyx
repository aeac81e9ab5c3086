"""Shapes and steps of values and views, where C can read them."""
from libc.stdlib cimport calloc, free, malloc

from sparsead.tape.spec import View

from sparsead.tape._tape cimport ValueType


cdef class Layouts:
    """The layouts of a pool's types or attributes, by id; attributes that are no views are left blank."""

    def __cinit__(self, list objects):
        cdef Py_ssize_t k
        self.items = <Layout *> calloc(len(objects) + 1, sizeof(Layout))
        if self.items is NULL:
            raise MemoryError("layouts of a tape")
        self.n = len(objects)
        for k in range(self.n):
            if isinstance(objects[k], (View, ValueType)):
                read_layout(self.items + k, objects[k])

    def __dealloc__(self):
        cdef Py_ssize_t k
        for k in range(self.n):
            free(self.items[k].shape)
        free(self.items)


cdef int read_layout(Layout *t, object described) except -1:
    cdef int k
    t.ndim, t.itemsize = len(described.shape), described.dtype.itemsize
    if t.ndim > MAX_NDIM:
        raise ValueError(f"an array of {t.ndim} axes; at most {MAX_NDIM} are supported")
    t.inexact = described.dtype.kind in "fc"
    t.shape = <Py_ssize_t *> malloc((2 * t.ndim + 1) * sizeof(Py_ssize_t))
    if t.shape is NULL:
        raise MemoryError("layouts of a tape")
    t.step, t.size = t.shape + t.ndim, 1
    for k in range(t.ndim):
        t.shape[k], t.step[k] = described.shape[k], described.strides[k] // t.itemsize
        t.size *= t.shape[k]
    return 0


cdef bint same_memory(const Layout *a, const Layout *b) noexcept:
    """Whether elements of equal index sit at equal positions."""
    cdef int k
    if a == b:
        return True
    if a.ndim != b.ndim:
        return False
    for k in range(a.ndim):
        if a.shape[k] != b.shape[k] or (a.step[k] != b.step[k] and a.shape[k] != 1):
            return False
    return True
