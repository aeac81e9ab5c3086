# Windows that move with a traced index. Included by _traced.pyx.

cdef class Moves:
    """How a window on a storage moves: for each traced index its step in bytes, and the limits that it has to keep to."""
    cdef readonly tuple indices             # TracedScalars
    cdef readonly tuple steps, limits
    cdef Py_ssize_t shift                   # bytes that the indices have moved it where NumPy made it

    def __init__(self, indices, steps, limits):
        self.indices, self.steps, self.limits = tuple(indices), tuple(steps), tuple(limits)
        self.shift = self.shift_now()

    cdef Py_ssize_t shift_now(self):
        return sum([step * int((<TracedScalar> index).concrete) for step, index in zip(self.steps, self.indices)])

    cdef bint same(self, Moves other):
        return self.steps == other.steps and [(<TracedScalar> i).value for i in self.indices] == \
            [(<TracedScalar> i).value for i in other.indices]


cdef bint has_traced_number(object index):
    """Whether an index has a traced number as a part, or as the end of a slice."""
    if type(index) is tuple:
        return any([has_traced_number(part) for part in <tuple> index])
    if type(index) is slice:
        return isinstance(index.start, TracedScalar) or isinstance(index.stop, TracedScalar)
    return isinstance(index, TracedScalar)


cdef bint counts(TracedScalar x):
    """Whether the tape can follow `x` as an index: outside of loops only what depends on a counter."""
    return isinstance(x.concrete, (int, np.integer)) and not isinstance(x.concrete, bool) and \
        (x.home.depth > 0 or x.home.facts[x.value] & COUNTS)


def follows(x):
    """Whether `x` is a traced integer that windows can move with."""
    return isinstance(x, TracedScalar) and counts(x)


def moving(TracedArray a, indices, steps, limits):
    """The moves of a window on `a`: those of `a` itself, and these."""
    cdef Moves m = a.moving
    if m is not None:
        indices, steps, limits = m.indices + tuple(indices), m.steps + tuple(steps), m.limits + tuple(limits)
    return Moves(indices, steps, limits)
