"""Traced arrays and scalars: they compute with NumPy and write down what they do.

A traced array is a NumPy array over memory that the trace owns; its `Storage` knows which version of that memory the
tape holds now. So aliasing, views and overlapping writes are NumPy's own: nothing is guessed. A traced scalar is a
value without memory, as NumPy's scalars are.

The classes know one another, so they are one module, in several included files.
"""
cimport numpy as cnp
from libc.stdlib cimport free, realloc

import sys
import time
from contextvars import ContextVar
from functools import partial
from sys import _getframe
from typing import NamedTuple

import numpy as np
from numpy import array, asarray, full as np_full, zeros     # NumPy's own: its namespace is wrapped in a trace

from sparsead.ops.registry import table as op_table
from sparsead.ops.moving import Moving
from sparsead.ops.table import CODE_OF_NAME, CODE_OF_UFUNC
from sparsead.ops.templates import template_of
from sparsead.tape.spec import OPS, View
from sparsead.tracing.clock import Reading, refuse
from sparsead.tracing.errors import ActivityError, LeakError, MemoryDoor, TraceError, TraceLimit
from sparsead.tracing.libraries import is_library
from sparsead.tracing.markers import SameBytes

from sparsead.tape._memory import blank, window

from sparsead.tape._tape cimport (CAST, CONST, COPY, EFFECT, EMPTY, GUARD, INPUT, LOAD, LOAD_AT, LOOP, SCATTER, SCATTER_ADD,
                                  STORE, STORE_AT, ZEROS, Tape, ValueType, offset_t)
from sparsead.tape._tape import Tape as PyTape, is_dense

cnp.import_array()

CURRENT = ContextVar("sparsead_trace", default=None)

cdef object FLOAT64 = np.float64            # its scalars are so many that they get short cuts
cdef object F8 = np.dtype(np.float64)
cdef object BOOL = np.dtype(bool)
cdef int SELECT = CODE_OF_NAME["select"]
cdef int CHECK_EVERY = 1 << 6              # ops between looks at the clock, which then cost 1 ns per op

cdef enum:
    ACTIVE = 1                      # depends on an input that is differentiated
    VARIES = 2                      # depends on an input or parameter: not known before the call
    COUNTS = 4                      # depends on the counter of a loop
    LOST = 8                        # was rebound somewhere in a loop, nobody knows when


cdef str LOST_TEXT = ("an array is read whose name went to another array on a path that a loop takes seldom, so nobody knows "
                      "what it holds; write into the array instead (u[:] = ...), or unroll the loop: steps(n, unroll=True)")


def _is_flat(op):
    """Whether no result of `op` carries a derivative."""
    if op is None or op.elementwise is None:
        return op is not None and (op.code in (INPUT, CONST, ZEROS, EMPTY, GUARD) or op.name in ("inactive", "winners"))
    template = template_of(op.elementwise)
    if template is None:
        return op.name != "select"
    return all([template.vanishes(r, i) for r in range(template.nout) for i in range(template.nin)])


cdef signed char[::1] inactive_codes = array([_is_flat(op) for op in OPS], np.int8)
cdef dict code_of_ufunc = op_table.CODE_OF_UFUNC


cdef struct Link:
    # A member of the list of what is alive: entered when it is made, taken out when it dies; it owns nothing.
    Link *before
    Link *after
    void *owner
    long serial                             # never used twice, as an address is


cdef long last_serial = 0


cdef void join(Link *link, Link *head, void *owner) noexcept:
    global last_serial
    last_serial += 1
    link.before, link.after, link.owner, link.serial = head, head.after, owner, last_serial
    if head.after is not NULL:
        head.after.before = link
    head.after = link


cdef void leave(Link *link) noexcept:
    if link.before is not NULL:
        link.before.after = link.after
    if link.after is not NULL:
        link.after.before = link.before


cdef list members(Link *head):
    cdef list found = []
    cdef Link *link = head.after
    while link is not NULL:
        found.append(<object> link.owner)
        link = link.after
    return found


cdef class Storage:
    """Memory of the traced function, and the tape's value that it holds now."""
    cdef Link link
    cdef readonly cnp.ndarray base          # an array that spans the memory
    cdef readonly int version               # current value
    cdef readonly int first                 # the value it was made with
    cdef readonly int vtype
    cdef Py_ssize_t lo, nbytes
    cdef Py_ssize_t item                    # bytes of an element; views of real and imaginary parts have half of it
    cdef readonly object dtype
    cdef readonly tuple shape, strides      # of the storage's own type
    cdef public object label                # what to call it in errors
    cdef public object barrier              # what keeps derivatives out of it: None, "raise" or "detach"
    cdef public bint write_only             # reading it is an error

    def __dealloc__(self):
        leave(&self.link)

    def __init__(self, Trace trace, cnp.ndarray base, ValueType vtype, int version):
        join(&self.link, &trace.storages, <void *> self)
        self.base, self.version, self.first, self.vtype = base, version, version, vtype.id
        self.lo = <Py_ssize_t> cnp.PyArray_DATA(base)
        self.nbytes, self.item = vtype.nbytes, vtype.dtype.itemsize
        self.dtype, self.shape, self.strides = vtype.dtype, vtype.shape, vtype.strides


include "_moves.pxi"
include "_trace.pxi"
include "_loop.pxi"
include "_operators.pxi"
include "_scalar.pxi"
include "_array.pxi"


cdef bint identical(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and (a.tobytes() == b.tobytes())


cdef object plain(object x):
    """The concrete value of an operand."""
    if isinstance(x, TracedArray):
        return (<TracedArray> x).concrete
    if isinstance(x, TracedScalar):
        return (<TracedScalar> x).concrete
    if type(x) is list or type(x) is tuple:
        return asarray(x)
    return x


def concrete_of(x):
    """The concrete value of a traced array or scalar; anything else as it is."""
    return plain(x)


cdef Trace innermost(object a):
    """The trace that records now; what the traced value `a` belongs to is an enclosing one, or the same."""
    trace = CURRENT.get()
    if trace is None:
        raise LeakError("a traced value was used after its trace had ended; return it from the function instead of "
                        "storing it elsewhere, or take its number with sparsead.value(x)")
    return trace


cdef TracedArray make_array(object concrete, Storage storage, Trace trace, Moves moving=None):
    cdef TracedArray a = TracedArray.__new__(TracedArray)
    a.concrete, a.storage, a.home = concrete, storage, trace
    a._version = -1
    a.moving = moving
    return a


cdef TracedScalar make_scalar(object concrete, int value, Trace trace):
    cdef TracedScalar s = TracedScalar.__new__(TracedScalar)
    s.concrete, s.value, s.home = concrete, value, trace
    join(&s.link, &trace.scalars, <void *> s)
    return s


cdef object binary(object ufunc, object a, object b):
    if not operand_like(a) or not operand_like(b):
        return NotImplemented
    return softened(innermost(a).call(ufunc, (a, b)), weak(a) and weak(b))


cdef bint weak(object x):
    """Whether `x` is a Python number, which takes the dtype of what it meets (NEP 50)."""
    return type((<TracedScalar> x).concrete if isinstance(x, TracedScalar) else x) in (float, int, bool, complex)


cdef object softened(object result, bint is_weak):
    """What Python's operators make of Python numbers is a Python number again; NumPy's functions make NumPy's of them."""
    if is_weak and isinstance(result, TracedScalar):
        (<TracedScalar> result).concrete = (<TracedScalar> result).concrete.item()
    return result


cdef bint operand_like(object x):
    return isinstance(x, (Traced, float, int, np.ndarray, np.generic, list, tuple, complex))


cdef int raise_active(Trace trace, str what) except -1:
    raise TraceError(trace.refusal_of(
        f"a number with a derivative is wanted as a plain one{trace.at()}, which would lose the derivative. By {what}() or a "
        "function of math: use NumPy's functions (np.sin for math.sin), and x + 1j * y for complex(x, y). By an assignment into "
        "an array made outside the traced function: make the array inside (np.zeros there is traced), or pass it as an argument. "
        "By compiled code: wrap it in sparsead.black_box. sparsead.value(x) is the number at the trace"))


cdef frozenset MEMORY = frozenset(("ctypes", "data", "__array_interface__", "__array_struct__", "__dlpack__"))


cdef object method_of(object self, str name):
    if name in MEMORY and CURRENT.get() is not None:
        raise MemoryDoor(outside(CURRENT.get(), f"its attribute {name}"))
    if name.startswith("__"):
        raise AttributeError(name)
    cdef Trace trace = innermost(self)
    function = trace.methods.get(name)
    if function is not None:
        return partial(function, self)
    getattr(plain(self), name)                             # NumPy's own AttributeError
    raise NotImplementedError(f"{name} of a traced {'array' if isinstance(self, TracedArray) else 'number'} is not supported"
                              f"{trace.at()}; express it by supported functions, or wrap the code that needs it in "
                              "sparsead.black_box")


cdef str outside(Trace trace, str door):
    """Why the memory of a traced array is given to nobody."""
    return (f"the memory of a traced array is wanted{trace.at()}, by {door}: reads and writes there would be unknown to the "
            "tape. Wrap the code that needs it in sparsead.black_box")


cdef object raise_array(Trace trace, object self):
    raise TraceError(trace.refusal_of(
        f"a traced value of shape {self.shape} is wanted as a plain array{trace.at()}. By an assignment into an array made "
        "outside the traced function: make the array inside (np.zeros there is traced), or pass it as an argument. By a "
        "ufunc that was given a list: make it np.array(list). By a compiled function or np.nditer: wrap the code in "
        "sparsead.black_box"))


def as_array(Trace trace, x):
    """A traced or plain scalar as a traced 0-d array; arrays as they are."""
    if isinstance(x, TracedArray):
        return x
    v = trace.value_of(x, None)
    if isinstance(x, np.ndarray):
        concrete = array(x)
    else:
        concrete = array(plain(x))
    return make_array(concrete, Storage(trace, concrete, trace.tape.type_of(v), v), trace)


def select(Trace trace, c, a, b):
    """``np.where(c, a, b)``."""
    concrete = [plain(x) for x in (c, a, b)]
    result = np.where(*concrete)
    result = result if result.ndim else result[()]
    dtype = result.dtype
    cdef int[3] args
    c = c if plain_dtype(c) == BOOL else trace.call(np.not_equal, (c, 0))
    args[0], args[1], args[2] = trace.value_of(c, BOOL), trace.value_of(a, dtype), trace.value_of(b, dtype)
    strides = result.strides
    return trace.wrap(result, trace.emit(SELECT, args, 3, -1, 0, trace.tape.pool.type_id(dtype, result.shape, strides)))


cdef object plain_dtype(object x):
    return asarray(plain(x)).dtype
