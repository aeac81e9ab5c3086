"""Whether a call is of the kind that was recorded, and the inputs of the tape for it.

Law: a call fits a recording if numbers and strings that it depends on are equal, functions and modules the same, containers as
long, integer arrays equal in all elements, live floats of the same type, and floating arrays of the same layout, with the same
memory in common: arrays that overlap do so at the same distances, and those that did not still do not.

What can be known of a path is worked out before: it is a list of steps, begun where another path has come already.
"""
cimport cython
cimport numpy as cnp
from libc.stdint cimport intptr_t
from libc.stdlib cimport qsort
from cpython.mem cimport PyMem_Free, PyMem_Malloc

from sparsead.tape._memory cimport Layout, layout_of, same_bytes

from types import FunctionType

from numpy import array_equal, asarray  # NumPy's own: a trace wraps the names in its namespace

from sparsead.tape._memory import address, window
from sparsead.tracing.memory import PLAIN, bounds

cnp.import_array()

cdef enum:
    ATTRIBUTE, ITEM, CELL                                              # lead from one place to another
    NUMBER, SIMPLE, STATIC, IDENTITY, LENGTH, CONTENTS, ARRAY, FLOAT   # look at a place

cdef dict LEADS = {"attribute": ATTRIBUTE, "item": ITEM, "cell": CELL}
cdef dict LOOKS = {"identity": IDENTITY, "length": LENGTH, "contents": CONTENTS, "array": ARRAY, "float": FLOAT}
cdef tuple OF_VALUES = (int, bool, str, bytes, type(None))  # equal to themselves

cdef struct span:
    intptr_t low, high


@cython.final
cdef class Step:
    """From place number `place` to number `to`, by `name`; or a look at `place`, where `value` is expected."""

    cdef int kind, place, to
    cdef object name, value
    cdef double number


@cython.final
cdef class Group:
    """Arrays that overlap: the first, the distances of the others from it, and the memory of all, counted from there."""

    cdef int first
    cdef list others, distances
    cdef intptr_t low, high

    def __init__(self, members, arrays):
        spans = [bounds(arrays[k]) for k in members]
        begin = spans[0][0]
        self.first, self.others = members[0], members[1:]
        self.distances = [low - begin for low, _ in spans[1:]]
        self.low, self.high = min(low for low, _ in spans) - begin, max(high for _, high in spans) - begin


@cython.final
cdef class Matcher:
    """Compares calls with one recording.

    Parameters
    ----------
    recording : Recording
    """

    cdef list steps, template   # of each place what is known before the call
    cdef list arguments         # (place, name) of arguments
    cdef list layouts, parts, blocks, snapshots
    cdef list lows              # of each array where its memory begins, counted from its first element
    cdef dict _numbers          # of places
    cdef bint alone             # one array, or none: nothing can overlap

    def __init__(self, recording):
        self.steps, self.template, self.arguments, self._numbers = [], [], [], {}
        for leaf in (*recording.checks, *recording.arrays, *recording.floats):
            self._look(leaf)
        self._numbers = None
        arrays = [leaf.value for leaf in recording.arrays]
        self.layouts = [layout_of(array.shape, array.strides, array.dtype) for array in arrays]
        self.lows = [bounds(array)[0] - address(array) for array in arrays]
        self.parts = self._parts(recording, arrays)
        self.alone = all(len(part) == 1 and not (<Group> part[0]).others for part in self.parts)
        self.blocks = [self._block(block, arrays) for block in recording.blocks]
        self.snapshots = list(recording.snapshots)

    def _parts(self, recording, arrays):
        """Groups of arrays that share memory, arguments apart from captured arrays, which may lie where they like."""
        captured = [leaf.path[0][0] != "argument" and not recording.joint for leaf in recording.arrays]
        parts = [[Group(g, arrays) for g in recording.grouping if captured[g[0]] is which] for which in (False, True)]
        return [part for part in parts if part]

    def _block(self, block, arrays):
        """The block if it makes its memory itself, else (array,) that is its memory, or the arguments of `window`."""
        if block.spread:
            return block
        first = block.members[0]
        if block.whole:
            return (first,)
        (group,) = [g for part in self.parts for g in part if (<Group> g).first == first]
        low = self.lows[first] + (<Group> group).low
        return first, low, block.shape, block.strides, block.dtype

    # ---- paths -------------------------------------------------------------------------------------------------------

    cdef _look(self, leaf):
        cdef Step step = Step()
        step.value = leaf.value
        step.place = self._place(leaf.path[:len(leaf.path) - 1] if leaf.kind == "length" else leaf.path)
        if leaf.kind != "static":
            step.kind = LOOKS[leaf.kind]
        elif type(leaf.value) is float:
            step.kind, step.number = NUMBER, leaf.value
        else:
            step.kind = SIMPLE if type(leaf.value) in OF_VALUES else STATIC
        self.steps.append(step)

    cdef int _place(self, tuple path) except -1:
        """The number of the place that `path` leads to, with the steps to it."""
        kind, where = path[0]
        if kind == "function" and type(where) is FunctionType and len(path) > 3 and path[1][1] == "__closure__":
            cell = where.__closure__[path[2][1]]  # these cannot be bound anew
            return self._led((("cell", id(cell)), *path[3:]), cell)
        return self._led(((kind, where if kind == "argument" else id(where)), *path[1:]), where)

    cdef int _led(self, tuple path, where) except -1:
        if path in self._numbers:
            return self._numbers[path]
        cdef int number
        cdef Step step
        if len(path) == 1:
            number = self._new(path)
            if path[0][0] == "argument":
                self.arguments.append((number, where))
            else:
                self.template[number] = where
            return number
        step = Step()
        step.place = self._led(path[:len(path) - 1], where)
        step.kind, step.name = LEADS[path[len(path) - 1][0]], path[len(path) - 1][1]
        step.to = number = self._new(path)
        self.steps.append(step)
        return number

    cdef int _new(self, path) except -1:
        self._numbers[path] = len(self.template)
        self.template.append(None)
        return self._numbers[path]

    # ---- calls -------------------------------------------------------------------------------------------------------

    def inputs(self, dict arguments):
        """Inputs of the tape for a call with these arguments, by name; None if it is of another kind."""
        try:
            return self._inputs(arguments)
        except (LookupError, AttributeError, ValueError, TypeError):
            return None

    cdef list _inputs(self, dict arguments):
        cdef list places = self.template.copy(), arrays = [], numbers = []
        cdef Step step
        for number, name in self.arguments:
            places[<int> number] = arguments[name]
        for step in self.steps:
            place = places[step.place]
            if step.kind <= CELL:
                places[step.to] = _next(step, place)
            elif step.kind == ARRAY:
                if not (isinstance(place, cnp.ndarray) and (<Layout> self.layouts[len(arrays)]).fits(place)
                        and (type(place) is cnp.ndarray or type(place) in PLAIN)):
                    return None
                arrays.append(place)
            elif step.kind == FLOAT:
                if type(place) is not type(step.value):
                    return None
                numbers.append(_zero_dimensional(place) if type(place) is float else asarray(place))
            elif not _as_it_was(step, place):
                return None
        if not (self.alone or self._share_memory_as_before(arrays)):
            return None
        for array, copy in self.snapshots:
            if not (_same_bytes(array, copy) or array.tobytes() == copy.tobytes()):
                return None
        return self._memory(arrays) + numbers

    cdef list _memory(self, list arrays):
        cdef list found = []
        for block in self.blocks:
            if type(block) is not tuple:
                found.append(block.memory(arrays))
            elif len(<tuple> block) == 1:
                found.append(arrays[<int> (<tuple> block)[0]])
            else:
                first, low, shape, strides, dtype = <tuple> block
                found.append(window(arrays[<int> first], low, shape, strides, dtype))
        return found

    cdef bint _share_memory_as_before(self, list arrays) except -1:
        cdef Group group
        cdef span *spans = <span *> PyMem_Malloc(len(arrays) * sizeof(span))
        cdef Py_ssize_t n, k
        cdef intptr_t begin
        if spans is NULL:
            raise MemoryError
        try:
            for part in self.parts:
                n = 0
                for group in part:
                    begin = self._begin(arrays, group.first)
                    for k in range(len(group.others)):
                        if self._begin(arrays, group.others[k]) - begin != group.distances[k]:
                            return False
                    spans[n].low, spans[n].high = begin + group.low, begin + group.high
                    n += 1
                if n > 1 and _overlap(spans, n):
                    return False
        finally:
            PyMem_Free(spans)
        return True

    cdef intptr_t _begin(self, list arrays, int k):
        return <intptr_t> cnp.PyArray_DATA(<cnp.ndarray> arrays[k]) + <intptr_t> self.lows[k]


cdef object _next(Step step, place):
    if step.kind == ATTRIBUTE:
        return getattr(place, step.name)
    if step.kind == CELL:
        return place.cell_contents
    if type(place) is dict:
        return (<dict> place)[step.name]
    return place[step.name]


cdef bint _as_it_was(Step step, now) except -1:
    """Whether `now` is what the recording found there."""
    cdef double number
    value = step.value
    if step.kind == NUMBER:
        if now is value:
            return True
        if type(now) is not float:
            return False
        number = now
        return number == step.number or (number != number and step.number != step.number)
    if step.kind == IDENTITY:
        return now is value
    if step.kind == SIMPLE and now is value:
        return True
    if step.kind == LENGTH:
        return len(now) == value
    if step.kind == CONTENTS:
        return _same_bytes(now, value) or (
            now.shape == value.shape and now.dtype == value.dtype and bool(array_equal(now, value))
        )
    return type(now) is type(value) and bool(now == value or (now != now and value != value))


cdef bint _same_bytes(now, value) noexcept:
    """Whether two arrays are certain to have the same elements: False is not certain."""
    if type(now) is not cnp.ndarray or type(value) is not cnp.ndarray:
        return False
    cdef cnp.ndarray a = now, b = value
    return (
        cnp.PyArray_NDIM(a) == cnp.PyArray_NDIM(b)
        and same_bytes(cnp.PyArray_DIMS(a), cnp.PyArray_DIMS(b), cnp.PyArray_NDIM(a) * sizeof(cnp.npy_intp))
        and cnp.PyArray_DESCR(a) == cnp.PyArray_DESCR(b)
        and cnp.PyArray_IS_C_CONTIGUOUS(a) and cnp.PyArray_IS_C_CONTIGUOUS(b)
        and same_bytes(cnp.PyArray_DATA(a), cnp.PyArray_DATA(b), cnp.PyArray_NBYTES(a))
    )


cdef object _zero_dimensional(double number):
    cdef cnp.ndarray array = cnp.PyArray_EMPTY(0, NULL, cnp.NPY_DOUBLE, 0)
    (<double *> cnp.PyArray_DATA(array))[0] = number
    return array


cdef bint _overlap(span *spans, Py_ssize_t n) noexcept:
    """Whether any two of `n` spans have memory in common, or an empty one lies inside another."""
    cdef Py_ssize_t k
    qsort(spans, n, sizeof(span), _by_place)
    for k in range(n - 1):
        if spans[k + 1].low < spans[k].high:
            return True
    return False


cdef int _by_place(const void *a, const void *b) noexcept nogil:
    cdef const span *s = <const span *> a
    cdef const span *t = <const span *> b
    if s.low != t.low:
        return -1 if s.low < t.low else 1
    return (s.high > t.high) - (s.high < t.high)
