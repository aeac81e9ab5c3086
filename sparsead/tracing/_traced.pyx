"""Traced arrays and scalars: they compute with NumPy and write down what they do.

A traced array is a NumPy array over memory that the trace owns; its `Storage` knows which version of that memory the
tape holds now. So aliasing, views and overlapping writes are NumPy's own: nothing is guessed. A traced scalar is a
value without memory, as NumPy's scalars are.
"""
cimport numpy as cnp
from libc.stdlib cimport free, realloc

import sys
import time
from contextvars import ContextVar
from functools import partial

import numpy as np
from numpy import array, asarray, zeros                # NumPy's own: the names in its namespace are wrapped in a trace

from sparsead.ops.registry import table as op_table
from sparsead.ops.table import CODE_OF_NAME, CODE_OF_UFUNC
from sparsead.tape.spec import OPS, View
from sparsead.tracing.libraries import LIBRARIES
from sparsead.tracing.errors import LeakError, TraceError, TraceLimit

from sparsead.tape._memory import blank, window

from sparsead.tape._tape cimport (CAST, CONST, COPY, EMPTY, GUARD, INPUT, LOAD, SCATTER, SCATTER_ADD, STORE, ZEROS, Tape,
                                  ValueType, offset_t)
from sparsead.tape._tape import Tape as PyTape, is_dense

cnp.import_array()

CURRENT = ContextVar("sparsead_trace", default=None)

cdef object F8 = np.dtype(np.float64)
cdef object BOOL = np.dtype(bool)
cdef int SELECT = CODE_OF_NAME["select"]
cdef int CHECK_EVERY = 1 << 12

cdef enum:
    ACTIVE = 1                      # depends on an input that is differentiated
    VARIES = 2                      # depends on an input or parameter: not known before the call

_INACTIVE_CODES = array(
    [op is not None and (op.code in (INPUT, CONST, ZEROS, EMPTY, GUARD)
     or (op.elementwise is not None and op.elementwise.partials is None and op.name != "select")
     or op.name in ("inactive", "winners", "stop_gradient")) for op in OPS], np.int8)
cdef signed char[::1] inactive_codes = _INACTIVE_CODES
cdef dict code_of_ufunc = op_table.CODE_OF_UFUNC


cdef class Storage:
    """Memory of the traced function, and the tape's value that it holds now."""
    cdef readonly cnp.ndarray base          # an array that spans the memory
    cdef readonly int version               # current value
    cdef readonly int first                 # the value it was made with
    cdef readonly int vtype
    cdef Py_ssize_t lo, nbytes
    cdef readonly object dtype
    cdef readonly tuple shape, strides      # of the storage's own type
    cdef public object label                # what to call it in errors

    def __init__(self, cnp.ndarray base, ValueType vtype, int version):
        self.base, self.version, self.first, self.vtype = base, version, version, vtype.id
        self.lo = <Py_ssize_t> cnp.PyArray_DATA(base)
        self.nbytes = vtype.nbytes
        self.dtype, self.shape, self.strides = vtype.dtype, vtype.shape, vtype.strides


cdef class Trace:
    """One recording: the tape, the facts of its values, and what it depends on besides the inputs."""
    cdef readonly Tape tape
    cdef signed char *facts
    cdef int cap_facts
    cdef dict _line_ids, _internal, _consts, _guarded, _foreign, _outer
    cdef readonly list snapshots            # (array, copy): contents that were baked in
    cdef readonly list imports              # (traced value of an enclosing trace, our input value)
    cdef public object composites, methods  # tables set by the tracer
    cdef public object where_am_i
    cdef readonly long max_ops
    cdef double started, warned
    cdef public bint ended
    cdef public object notes

    def __init__(self, composites, methods, max_ops=20_000_000):
        self.tape = PyTape()
        self._line_ids, self._internal, self._consts = {}, {}, {}
        self._guarded, self._foreign, self._outer = {}, {}, {}
        self.snapshots, self.imports = [], []
        self.composites, self.methods = composites, methods
        self.max_ops = max_ops
        self.started = time.monotonic()
        self.notes = []

    def __dealloc__(self):
        free(self.facts)

    # ---- emitting ----------------------------------------------------------------------------------------------

    cdef int emit(self, int code, const int *args, int n, int attr, offset_t imm, int vtype) except -1:
        cdef int k, fact = 0, value
        cdef Tape tape = self.tape
        if self.ended:
            raise LeakError(f"a traced value was used after its trace had ended{self.at()}; return it instead, or take "
                            "its number with sparsead.value(x) while tracing")
        if tape.n_ops % CHECK_EVERY == CHECK_EVERY - 1:
            self._check_length()
        for k in range(n):
            fact |= self.facts[args[k]]
        if inactive_codes[code] or not (<ValueType> tape.pool.types[vtype]).inexact:
            fact &= ~ACTIVE
        value = tape.emit(code, args, n, attr, imm, self.line(), vtype)
        self._set_fact(value, fact)
        return value

    cdef int _set_fact(self, int value, int fact) except -1:
        cdef void *moved
        if value >= self.cap_facts:
            self.cap_facts = max(64, 2 * value)
            moved = realloc(self.facts, self.cap_facts)
            if moved is NULL:
                raise MemoryError("facts of a trace")
            self.facts = <signed char *> moved
        self.facts[value] = fact
        return 0

    cdef int emit1(self, int code, int a, int attr, offset_t imm, int vtype) except -1:
        return self.emit(code, &a, 1, attr, imm, vtype)

    cdef int emit2(self, int code, int a, int b, int attr, offset_t imm, int vtype) except -1:
        cdef int[2] ab
        ab[0], ab[1] = a, b
        return self.emit(code, ab, 2, attr, imm, vtype)

    cdef int emit3(self, int code, int a, int b, int c, int attr, offset_t imm, int vtype) except -1:
        cdef int[3] abc
        abc[0], abc[1], abc[2] = a, b, c
        return self.emit(code, abc, 3, attr, imm, vtype)

    cdef int _check_length(self) except -1:
        cdef double elapsed = time.monotonic() - self.started
        if self.tape.n_ops > self.max_ops:
            raise TraceLimit(f"the trace has {self.tape.n_ops} ops and goes on{self.at()}: an endless loop, or a long one "
                             "that is unrolled op by op; write it as `for k in sparsead.steps(n)`, or raise the limit "
                             "with sparsead.config.max_ops")
        if elapsed > 2 and not self.warned:
            self.warned = elapsed
            print(f"sparsead: tracing has taken 2 s and {self.tape.n_ops} ops so far{self.at()}", file=sys.stderr)
        return 0

    # ---- the user's line ---------------------------------------------------------------------------------------

    cdef int line(self) except -2:
        frame = self.user_frame()
        if frame is None:
            return -1
        code, number = frame.f_code, frame.f_lineno
        known = self._line_ids.get(code)
        if known is None:
            known = self._line_ids[code] = {}
        id = known.get(number)
        if id is None:
            id = known[number] = self.tape.pool.line_id((code.co_filename, number))
        return id

    def user_frame(self):
        """The innermost Python frame that is the user's, not a library's."""
        frame = sys._getframe()
        while frame is not None:
            code = frame.f_code
            internal = self._internal.get(code)
            if internal is None:
                name = frame.f_globals.get("__name__", "")
                root = name.partition(".")[0] if isinstance(name, str) else ""
                internal = root in LIBRARIES and root != "__main__" or code.co_filename.startswith("<__array_function__")
                self._internal[code] = internal
            if not internal:
                return frame
            frame = frame.f_back
        return None

    def at(self):
        """`` at file:line``, for messages."""
        frame = self.user_frame()
        return "" if frame is None else f" at {frame.f_code.co_filename}:{frame.f_lineno}"

    # ---- values ------------------------------------------------------------------------------------------------

    def input(self, dtype, shape, strides, bint active, name):
        """A new input of the tape; returns its value."""
        cdef int vtype = self.tape.pool.type_id(dtype, shape, strides)
        cdef int value = self.tape.emit0(INPUT, -1, 0, -1, vtype)
        self._set_fact(value, VARIES | (ACTIVE if active else 0))
        self.tape.inputs.append(value)
        self.tape.names[value] = name
        return value

    def storage(self, base, int value):
        """A `Storage` over the memory of `base` that holds `value`."""
        return Storage(base, self.tape.type_of(value), value)

    def array(self, concrete, Storage storage):
        """A traced array: `concrete` is a view of the storage's memory."""
        return make_array(concrete, storage, self)

    def scalar(self, concrete, int value):
        """A traced scalar."""
        return make_scalar(concrete, value, self)

    def fact(self, int value):
        """(active, varies) of a value."""
        return bool(self.facts[value] & ACTIVE), bool(self.facts[value] & VARIES)

    cdef int const(self, object value, object dtype) except -1:
        """A number as a constant of the dtype of the op that uses it (NEP 50: Python numbers are weak)."""
        cdef tuple key = (dtype, type(value), value if value == value and value != 0 else repr(value))
        found = self._consts.get(key)
        if found is None:
            if type(value) is Tainted:
                raise TraceError(f"a reading of the clock enters the computation{self.at()}: it would be frozen in the tape; "
                                 "pass the time as an argument")
            found = self._const_value(dtype.type(value))
            self._consts[key] = found
        return found

    cdef int _const_value(self, object value) except -1:
        cdef int made = self.tape.constant(value, self.line())
        self._set_fact(made, 0)
        return made

    cdef int foreign(self, cnp.ndarray given) except -1:
        """A plain array that enters an op: its contents are frozen, and compared at each call while it lives."""
        if given.dtype == object:
            raise TraceError(f"an array of dtype object cannot be traced{self.at()}; use a floating dtype")
        known = self._foreign.get(id(given))
        if known is not None and known[0] is given and identical(known[1], given):
            return known[2]
        copy = array(given, order="K")
        if not is_dense(copy):
            copy = array(given, order="C")
        cdef int value = self._const_value(copy)
        self._foreign[id(given)] = (given, copy, value)
        self.snapshots.append((given, copy))
        return value

    cdef int outer(self, object traced) except -1:
        """A value of an enclosing trace: an input of ours, tied to it."""
        key = (id(traced.storage), traced.storage.version) if isinstance(traced, TracedArray) else \
            (id(traced.trace), traced.value)
        found = self._outer.get(key)
        if found is None:
            concrete = array(traced.concrete, order="C") if isinstance(traced, TracedArray) \
                else asarray(traced.concrete)
            t = self.tape.pool.type(concrete.dtype, concrete.shape)
            value = self.input(t.dtype, t.shape, t.strides, False, "value of the enclosing function")
            self.imports.append((value, traced))
            found = self._outer[key] = (value, traced)
        return found[0]

    def hold(self, traced):
        """The value of `traced` now, dense in C order."""
        if isinstance(traced, TracedScalar):
            return traced.value
        cdef int v = (<TracedArray> traced).current()
        return self.dense(v)

    def c_order(self, int v):
        """Value `v` in C order."""
        return self.dense(v)

    def memory_value(self, Storage storage, offset, shape, strides):
        """What a dense window of a storage's memory holds now, in the window's own layout."""
        cdef int laid = self.tape.pool.type_id(storage.dtype, shape, strides)
        if offset == 0 and laid == storage.vtype:
            return storage.version
        cdef int vtype = self.tape.pool.dense_type_id(storage.dtype, shape)
        cdef int v = self.emit1(LOAD, storage.version, self.tape.pool.attr_id(View(shape, strides, storage.dtype)), offset,
                                vtype)
        return v if vtype == laid else self.emit1(COPY, v, -1, 0, laid)

    def inline(self, Tape tape, values):
        """Append all ops of `tape` with `values` for its inputs; returns the values of its outputs."""
        cdef int k, j, n
        cdef int[64] args
        cdef dict given = dict(zip(tape.inputs, values))
        cdef list value = [-1] * tape.n_vals
        for k in range(tape.n_ops):
            n = tape.start[k + 1] - tape.start[k]
            for j in range(n):
                args[j] = value[tape.operand[tape.start[k] + j]]
            op = tape.op(k)
            attr = -1
            if tape.code[k] == INPUT:
                value[tape.out[k]] = given[tape.out[k]]
                continue
            if tape.code[k] == CONST:
                value[tape.out[k]] = self._const_value(op.attr)
                continue
            if tape.code[k] == GUARD:
                self.guard(args[0], op.attr)
                continue
            attr = -1 if op.attr is None else self.tape.pool.attr_id(op.attr)
            types = [tape.type_of(z) for z in op.results]
            if len(types) != 1:
                raise NotImplementedError(f"op {op.op.name} with {len(types)} results inside a nested derivative")
            value[tape.out[k]] = self.emit(tape.code[k], args, n, attr, op.imm,
                                           self.tape.pool.type_id(types[0].dtype, types[0].shape, types[0].strides))
        return [value[v] for v in tape.outputs]

    cdef int dense(self, int v) except -1:
        cdef ValueType t = self.tape.type_of(v)
        cdef int vtype = self.tape.pool.dense_type_id(t.dtype, t.shape)
        if self.tape.vtype[v] == vtype:
            return v
        return self.emit1(LOAD, v, self.tape.pool.attr_id(View(t.shape, t.strides, t.dtype)), 0, vtype)

    cdef int value_of(self, object x, object dtype) except -1:
        """The value of an operand, cast to the dtype of the op's loop."""
        cdef int v
        cdef ValueType t
        if isinstance(x, TracedArray):
            v = (<TracedArray> x).current() if (<TracedArray> x).trace is self else self.outer(x)
        elif isinstance(x, TracedScalar):
            v = (<TracedScalar> x).value if (<TracedScalar> x).trace is self else self.outer(x)
        elif isinstance(x, np.ndarray):
            v = self.foreign(x if x.ndim else x.reshape(()))
        elif isinstance(x, (float, int, np.generic)):
            if dtype is None:
                dtype = asarray(x).dtype
            return self.const(x.item() if isinstance(x, np.generic) and x.dtype.kind in "fiub" else x, dtype)
        else:
            raise TraceError(f"an operand of type {type(x).__name__} cannot be traced{self.at()}")
        if dtype is not None:
            t = self.tape.type_of(v)
            if t.dtype is not dtype and t.dtype != dtype:
                v = self.cast(v, dtype)
        return v

    def operand(self, x, dtype=None):
        """`value_of` for callers in Python."""
        return self.value_of(x, dtype)

    cdef int cast(self, int v, object dtype) except -1:
        cdef ValueType t = self.tape.type_of(v)
        cdef Py_ssize_t a = t.dtype.itemsize, b = dtype.itemsize
        strides = t.strides if a == b else tuple([s // a * b for s in t.strides])
        return self.emit1(CAST, v, -1, 0, self.tape.pool.type_id(dtype, t.shape, strides))

    cdef int fit(self, int v, object dtype, tuple shape) except -1:
        """Cast and broadcast a value for a store."""
        cdef ValueType t = self.tape.type_of(v)
        if t.dtype != dtype:
            v = self.cast(v, dtype)
            t = self.tape.type_of(v)
        if t.shape == shape:
            return v
        cdef int extra = t.ndim - len(shape)
        have, steps = t.shape, t.strides
        if extra > 0:                        # NumPy lets a store drop leading axes of length one
            have, steps = have[extra:], steps[extra:]
            extra = 0
        strides = (0,) * -extra + tuple([0 if n == 1 else s for n, s in zip(have, steps)])
        return self.emit1(LOAD, v, self.tape.pool.attr_id(View(shape, strides, dtype)), 0,
                          self.tape.pool.dense_type_id(dtype, shape))

    def op(self, str name, operands, dtype, shape, attr=None, imm=0):
        """Any op with one C-order result; returns its value."""
        from sparsead.tape.spec import BY_NAME
        cdef int[:] args = array(list(operands) + [0], np.intc)
        cdef int attr_id = -1 if attr is None else self.tape.pool.attr_id(attr)
        return self.emit(BY_NAME[name].code, &args[0], len(operands), attr_id, imm,
                         self.tape.pool.dense_type_id(np.dtype(dtype), tuple(shape)))

    def result(self, concrete, int value):
        """Wrap a fresh result: a scalar, or an array with memory of its own."""
        return self.wrap(concrete, value)

    cdef object wrap(self, object concrete, int value):
        if type(concrete) is np.ndarray:
            return make_array(concrete, Storage(concrete, self.tape.type_of(value), value), self)
        return make_scalar(concrete, value, self)

    def fresh(self, cnp.ndarray concrete, bint zeroed=False):
        """A new array of the traced function: zeros, or undefined, or the constant contents of `concrete`."""
        cdef int vtype, value
        if not is_dense(concrete):
            concrete = array(concrete, order="C")
        vtype = self.tape.pool.type_id(concrete.dtype, (<object> concrete).shape, (<object> concrete).strides)
        value = self.emit(ZEROS if zeroed else EMPTY, NULL, 0, -1, 0, vtype)
        return make_array(concrete, Storage(concrete, <ValueType> self.tape.pool.types[vtype], value), self)

    def constant_array(self, concrete):
        """A new array of the traced function with known contents."""
        concrete = concrete if is_dense(concrete) else array(concrete, order="C")
        return self.wrap(concrete, self._const_value(array(concrete, order="K")))

    # ---- guards --------------------------------------------------------------------------------------------------

    cdef int guard(self, int value, object expected) except -1:
        """From here on the tape is right only while `value` is `expected`."""
        if not self.facts[value] & VARIES or value in self._guarded:
            return 0
        self._guarded[value] = expected
        self.tape.emit_many(GUARD, &value, 1, self.tape.pool.attr_id(expected), 0, self.line(), NULL, 0)
        return 0

    def call_as(self, ufunc, inputs, dtype, casting):
        """``ufunc(*inputs, dtype=dtype)``."""
        concrete = [plain(x) for x in inputs]
        results = ufunc(*concrete, dtype=dtype, casting=casting)
        return self.record(CODE_OF_UFUNC[ufunc], tuple(inputs), self.loop_of(ufunc, inputs, concrete, results, dtype),
                           results)

    def offset_of(self, TracedArray a):
        """Byte offset of the first element of `a` in its storage."""
        return <Py_ssize_t> cnp.PyArray_DATA(a.concrete) - a.storage.lo

    def constant_value(self, contents):
        """A constant array as a value; it must not be changed afterwards."""
        return self._const_value(contents)

    def stop(self, x):
        """The value of `x`, without derivative."""
        concrete = plain(x)
        cdef int v = self.value_of(x, None)
        cdef int z = self.emit1(CODE_OF_NAME["stop_gradient"], v, -1, 0, self.tape.vtype[v])
        if not isinstance(concrete, np.ndarray):
            return make_scalar(concrete, z, self)
        copy = blank(concrete.shape, self.tape.type_of(v).strides, concrete.dtype)
        copy[...] = concrete
        return self.wrap(copy, z)

    def guard_contents(self, int value, concrete):
        """Guard all elements of an inactive array."""
        same = self.op("inactive", (value,), bool, (), SameBytes(concrete.tobytes()))
        self.guard(same, True)

    # ---- ufuncs ----------------------------------------------------------------------------------------------------

    cpdef object call(self, object ufunc, tuple inputs):
        """``ufunc(*inputs)`` on concrete values and on the tape."""
        found = code_of_ufunc.get(ufunc)
        if found is None:
            return self.other_ufunc(ufunc, inputs, {})
        cdef int code = found
        cdef list concrete = [plain(x) for x in inputs]
        results = ufunc(*concrete)
        loop = self.loop_of(ufunc, inputs, concrete, results, None)
        return self.record(code, inputs, loop, results)

    cdef tuple loop_of(self, object ufunc, tuple inputs, list concrete, object results, object dtype):
        """Dtypes that the operands are cast to. Fast where all arrays have the dtype of the result."""
        cdef object common = None
        cdef bint mixed = dtype is not None or ufunc is np.ldexp        # its second operand stays an integer
        for x in concrete:
            kind = type(x)
            if kind is float or kind is int:
                continue
            d = x.dtype if hasattr(x, "dtype") else asarray(x).dtype
            if common is None:
                common = d
            elif d is not common and d != common:
                mixed = True
        result = results[0] if type(results) is tuple else results
        out = result.dtype if hasattr(result, "dtype") else None
        if not mixed and common is not None and common.kind == "f" and (out is common or out is BOOL):
            return (common,) * len(inputs)
        if not isinstance(ufunc, np.ufunc):                    # select
            if len(inputs) == 3:
                return (BOOL, out, out)
            return (out,) * len(inputs)
        given = [type(x) if type(x) in (int, float) else asarray(x).dtype for x in concrete]
        extra = {} if dtype is None else {"signature": (None,) * ufunc.nin + (dtype,) * ufunc.nout}
        try:
            loop = ufunc.resolve_dtypes(tuple(given) + (None,) * ufunc.nout, **extra)
        except TypeError:
            given = [asarray(x).dtype for x in concrete]
            loop = ufunc.resolve_dtypes(tuple(given) + (None,) * ufunc.nout, **extra)
        return loop[:ufunc.nin]

    cdef object record(self, int code, tuple inputs, tuple loop, object results):
        cdef int[8] args
        cdef int[2] vtypes
        cdef int k, first, n = len(inputs), fact = 0
        for k in range(n):
            args[k] = self.value_of(inputs[k], loop[k])
        if type(results) is not tuple:
            return self.wrap(results, self.emit(code, args, n, -1, 0, self.type_of_concrete(results)))
        for k in range(n):
            fact |= self.facts[args[k]]
        for k in range(2):
            vtypes[k] = self.type_of_concrete(results[k])
        first = self.tape.emit_many(code, args, n, -1, 0, self.line(), vtypes, 2)
        for k in range(2):
            inexact = (<ValueType> self.tape.pool.types[vtypes[k]]).inexact
            self._set_fact(first + k, fact if inexact and not inactive_codes[code] else fact & ~ACTIVE)
        return tuple([self.wrap(r, first + j) for j, r in enumerate(results)])

    cdef int type_of_concrete(self, object x) except -1:
        if isinstance(x, (np.ndarray, np.generic)):
            if x.dtype.kind not in "fiub":
                raise TraceError(f"results of dtype {x.dtype} are not supported yet{self.at()}")
            return self.tape.pool.type_id(x.dtype, x.shape, x.strides)
        if type(x) not in (float, int, bool):
            raise TraceError(f"a result of type {type(x).__name__} cannot be traced{self.at()}")
        return self.tape.pool.type_id(asarray(x).dtype, (), ())

    def other_ufunc(self, ufunc, inputs, kwargs):
        """Ufuncs that are no elementwise record: contractions, or none of ours."""
        if ufunc in self.composites:
            return self.composites[ufunc](*inputs, **kwargs)
        raise NotImplementedError(f"no derivative rule for the ufunc {ufunc.__name__!r}{self.at()}; wrap the code that "
                                  "uses it in sparsead.black_box, or register a record for it")

    # ---- stores ------------------------------------------------------------------------------------------------------

    cdef int store(self, TracedArray target, cnp.ndarray view, int v) except -1:
        """Record that the memory under `view` (part of the target's) now holds value `v`."""
        cdef Storage s = target.storage
        cdef object dtype = view.dtype
        cdef tuple shape = (<object> view).shape
        if target.trace is not self:
            raise TraceError(f"an array of an enclosing differentiated function is written inside another{self.at()}; "
                             "pass it to the inner function as an argument")
        if self.facts[v] & ACTIVE and dtype.kind not in "fc":
            raise TraceError(f"a value with a derivative is stored into an array of dtype {dtype}{self.at()}; "
                             "make the array floating, or store sparsead.stop_gradient(value)")
        v = self.fit(v, dtype, shape)
        cdef Py_ssize_t offset = <Py_ssize_t> cnp.PyArray_DATA(view) - s.lo
        cdef tuple strides = (<object> view).strides
        if offset == 0 and shape == s.shape and strides == s.strides and self.tape.vtype[v] == s.vtype:
            s.version = v
            return 0
        if view.size == 0:
            return 0
        cdef int base = s.version
        if view.size * dtype.itemsize == s.nbytes:             # all of it: the old contents do not matter
            base = self.emit(EMPTY, NULL, 0, -1, 0, s.vtype)
        s.version = self.emit2(STORE, base, v, self.tape.pool.attr_id(View(shape, strides, dtype)), offset, s.vtype)
        return 0

    cdef int scatter(self, TracedArray target, int pos, int v, bint add) except -1:
        cdef Storage s = target.storage
        if target.trace is not self:
            raise TraceError(f"an array of an enclosing differentiated function is written inside another{self.at()}")
        if self.facts[v] & ACTIVE and s.dtype.kind not in "fc":
            raise TraceError(f"a value with a derivative is stored into an array of dtype {s.dtype}{self.at()}")
        v = self.fit(v, s.dtype, self.tape.type_of(pos).shape)
        s.version = self.emit3(SCATTER_ADD if add else SCATTER, s.version, pos, v, -1, 0, s.vtype)
        return 0


class SameBytes:
    """Whether an array's contents are those of the trace."""

    def __init__(self, contents):
        self.contents = contents

    def __call__(self, values):
        return np.bool_(asarray(values).tobytes() == self.contents)

    def __eq__(self, other):
        return type(other) is SameBytes and self.contents == other.contents

    def __hash__(self):
        return hash(self.contents)


class Tainted(float):
    """A reading of the clock: it may be printed and compared, not computed with in a trace."""


def _install_tainted_operators():
    names = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]
    for name in [f"__{side}{n}__" for n in names for side in ("", "r")]:
        def operate(self, other, plain_operator=getattr(float, name)):
            result = plain_operator(self, other)
            return result if result is NotImplemented else Tainted(result)
        setattr(Tainted, name, operate)
    for name in ("__neg__", "__pos__", "__abs__"):
        setattr(Tainted, name, lambda self, plain_operator=getattr(float, name): Tainted(plain_operator(self)))


_install_tainted_operators()


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


cdef TracedArray make_array(object concrete, Storage storage, Trace trace):
    cdef TracedArray a = TracedArray.__new__(TracedArray)
    a.concrete, a.storage, a.trace = concrete, storage, trace
    a._version = -1
    return a


cdef TracedScalar make_scalar(object concrete, int value, Trace trace):
    cdef TracedScalar s = TracedScalar.__new__(TracedScalar)
    s.concrete, s.value, s.trace = concrete, value, trace
    return s


cdef object binary(object ufunc, object a, object b):
    if not operand_like(a) or not operand_like(b):
        return NotImplemented
    return innermost(a).call(ufunc, (a, b))


cdef bint operand_like(object x):
    return isinstance(x, (Traced, float, int, np.ndarray, np.generic, list, tuple))


cdef class Traced:
    """Operators shared by traced arrays and scalars."""

    def __add__(self, o):
        return binary(np.add, self, o)

    def __radd__(self, o):
        return binary(np.add, o, self)

    def __sub__(self, o):
        return binary(np.subtract, self, o)

    def __rsub__(self, o):
        return binary(np.subtract, o, self)

    def __mul__(self, o):
        return binary(np.multiply, self, o)

    def __rmul__(self, o):
        return binary(np.multiply, o, self)

    def __truediv__(self, o):
        return binary(np.true_divide, self, o)

    def __rtruediv__(self, o):
        return binary(np.true_divide, o, self)

    def __floordiv__(self, o):
        return binary(np.floor_divide, self, o)

    def __rfloordiv__(self, o):
        return binary(np.floor_divide, o, self)

    def __mod__(self, o):
        return binary(np.remainder, self, o)

    def __rmod__(self, o):
        return binary(np.remainder, o, self)

    def __divmod__(self, o):
        return binary(np.divmod, self, o)

    def __rdivmod__(self, o):
        return binary(np.divmod, o, self)

    def __pow__(self, o, modulus):
        return power(self, o)

    def __rpow__(self, o):
        return binary(np.power, o, self)

    def __matmul__(self, o):
        return innermost(self).other_ufunc(np.matmul, (self, o), {})

    def __rmatmul__(self, o):
        return innermost(self).other_ufunc(np.matmul, (o, self), {})

    def __and__(self, o):
        return binary(np.bitwise_and, self, o)

    def __rand__(self, o):
        return binary(np.bitwise_and, o, self)

    def __or__(self, o):
        return binary(np.bitwise_or, self, o)

    def __ror__(self, o):
        return binary(np.bitwise_or, o, self)

    def __xor__(self, o):
        return binary(np.bitwise_xor, self, o)

    def __rxor__(self, o):
        return binary(np.bitwise_xor, o, self)

    def __invert__(self):
        return innermost(self).call(np.invert, (self,))

    def __neg__(self):
        return innermost(self).call(np.negative, (self,))

    def __pos__(self):
        return innermost(self).call(np.positive, (self,))

    def __abs__(self):
        return innermost(self).call(np.absolute, (self,))

    def __lt__(self, o):
        return binary(np.less, self, o)

    def __le__(self, o):
        return binary(np.less_equal, self, o)

    def __gt__(self, o):
        return binary(np.greater, self, o)

    def __ge__(self, o):
        return binary(np.greater_equal, self, o)

    def __eq__(self, o):
        return binary(np.equal, self, o)

    def __ne__(self, o):
        return binary(np.not_equal, self, o)

    __hash__ = None

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        cdef Trace trace = innermost(self)
        if method == "__call__" and not kwargs:
            return power(inputs[0], inputs[1]) if ufunc is np.power else trace.call(ufunc, inputs)
        from sparsead.tracing.ufuncs import dispatch
        return dispatch(trace, ufunc, method, inputs, kwargs)

    def __array_function__(self, func, types, args, kwargs):
        from sparsead.tracing.functions import dispatch
        return dispatch(innermost(self), func, args, kwargs)


cdef object power(object x, object y):
    # NumPy itself squares for x ** 2; the tape then knows that there is no derivative by the exponent.
    if not operand_like(x) or not operand_like(y):
        return NotImplemented
    cdef Trace trace = innermost(x if isinstance(x, Traced) else y)
    if isinstance(x, Traced) and type(y) in (int, float) and y == 2 and x.dtype.kind == "f":
        return trace.call(np.square, (x,))
    return trace.call(np.power, (x, y))


cdef class TracedScalar(Traced):
    """A number of the traced function: a value without memory. Formatting shows its number at the trace."""
    cdef readonly object concrete           # python number (weak) or NumPy scalar
    cdef readonly int value
    cdef readonly Trace trace

    @property
    def active(self):
        return bool(self.trace.facts[self.value] & ACTIVE)

    def __bool__(self):
        cdef bint truth = bool(self.concrete)
        cdef Trace trace = innermost(self)
        cdef int v
        if trace is self.trace:
            v = self.value
            if trace.facts[v] & VARIES and not isinstance(self.concrete, (bool, np.bool_)):
                v = (<TracedScalar> trace.call(np.not_equal, (self, 0))).value
            trace.guard(v, truth)
        else:                               # a branch of the inner function is one of the outer function too
            token = CURRENT.set(self.trace)
            try:
                bool(self)
            finally:
                CURRENT.reset(token)
        return truth

    def __int__(self):
        return int(self._number("int"))

    def __index__(self):
        if not isinstance(self.concrete, (int, np.integer)):
            raise TypeError(f"only integers may index: got a traced {type(self.concrete).__name__}{self.trace.at()}")
        return int(self._number("index"))

    def __float__(self):
        if self.trace.facts[self.value] & ACTIVE:
            raise TraceError(f"float() of a value with a derivative{self.trace.at()} would lose it: use NumPy's functions "
                             "(np.sin for math.sin), or sparsead.value(x) for its number")
        return float(self._number("float"))

    def __complex__(self):
        return complex(float(self))

    def __round__(self, digits=0):
        if digits:
            return round(float(self), digits)
        rounded = innermost(self).call(np.rint, (self,))       # piecewise constant: a guard, not a derivative
        (<TracedScalar> rounded).trace.guard((<TracedScalar> rounded).value, float((<TracedScalar> rounded).concrete))
        return int((<TracedScalar> rounded).concrete)

    def __trunc__(self):
        return int(self)

    cdef object _number(self, str what):
        cdef Trace trace = self.trace
        if trace.facts[self.value] & ACTIVE and what != "float":
            raise_active(trace, what)
        trace.guard(self.value, self.concrete if isinstance(self.concrete, (int, float, bool)) else self.concrete.item())
        return self.concrete

    def __repr__(self):
        return f"TracedScalar({self.concrete!r})"

    def __str__(self):
        return str(self.concrete)

    def __format__(self, spec):
        return format(self.concrete, spec)

    @property
    def dtype(self):
        return asarray(self.concrete).dtype

    @property
    def shape(self):
        return ()

    @property
    def ndim(self):
        return 0

    @property
    def size(self):
        return 1

    @property
    def T(self):
        return self

    @property
    def real(self):
        return self

    @property
    def imag(self):
        return 0.0

    def item(self):
        return self

    def copy(self):
        return self

    def conjugate(self):
        return self

    def astype(self, dtype, *args, **kwargs):
        """A scalar of another dtype."""
        cdef Trace trace = innermost(self)
        concrete = asarray(self.concrete).astype(dtype)[()]
        return make_scalar(concrete, trace.value_of(self, np.dtype(dtype)), trace)

    def reshape(self, *shape):
        """An array with this one element."""
        return as_array(innermost(self), self).reshape(*shape)

    def ravel(self):
        return self.reshape(1)

    flatten = ravel

    def __array__(self, *args, **kwargs):
        raise_array(innermost(self), self)

    def __getattr__(self, name):
        return method_of(self, name)


cdef int raise_active(Trace trace, str what) except -1:
    raise TraceError(f"{what}() of a value with a derivative{trace.at()} would lose it: use NumPy's functions, or "
                     "sparsead.value(x) for its number at the trace")


cdef object method_of(object self, str name):
    if name.startswith("__"):
        raise AttributeError(name)
    cdef Trace trace = innermost(self)
    function = trace.methods.get(name)
    if function is None:
        if hasattr(np.ndarray, name):
            raise NotImplementedError(f"ndarray.{name} of a traced array is not supported{trace.at()}")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
    return partial(function, self)


cdef object raise_array(Trace trace, object self):
    raise TraceError(f"a traced value of shape {self.shape} is wanted as a plain array{trace.at()}: by a compiled function, or "
                     "by an assignment into an array that was made outside the traced function. Make the array inside (np.zeros "
                     "there is traced), pass it as an argument, or wrap the compiled function in sparsead.black_box")


def as_array(Trace trace, x):
    """A traced or plain scalar as a traced 0-d array; arrays as they are."""
    if isinstance(x, TracedArray):
        return x
    v = trace.value_of(x, None)
    if isinstance(x, np.ndarray):
        return make_array(array(x), Storage(array(x), trace.tape.type_of(v), v), trace)
    concrete = array(plain(x))
    return make_array(concrete, Storage(concrete, trace.tape.type_of(v), v), trace)


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


cdef class TracedArray(Traced):
    """An array of the traced function: a window on a `Storage`."""
    cdef readonly object concrete
    cdef readonly Storage storage
    cdef readonly Trace trace
    cdef int _version, _value               # the value loaded from this version of the storage

    cdef int current(self) except -1:
        """The tape's value of this array now."""
        cdef Storage s = self.storage
        cdef cnp.ndarray c
        if self._version == s.version:
            return self._value
        c = self.concrete
        shape, strides = (<object> c).shape, (<object> c).strides
        cdef Py_ssize_t offset = <Py_ssize_t> cnp.PyArray_DATA(c) - s.lo
        cdef Tape tape = self.trace.tape
        if offset == 0 and shape == s.shape and strides == s.strides:
            self._value = s.version
        else:
            self._value = self.trace.emit1(LOAD, s.version, tape.pool.attr_id(View(shape, strides, s.dtype)), offset,
                                           tape.pool.dense_type_id(s.dtype, shape))
        self._version = s.version
        return self._value

    def value(self):
        """The tape's value of this array now."""
        return self.current()

    @property
    def active(self):
        return bool(self.trace.facts[self.storage.version] & ACTIVE)

    cdef object view(self, object concrete):
        """A traced array for another window on the same memory; `concrete` is what NumPy made."""
        return make_array(concrete, self.storage, self.trace)

    cdef bint shares(self, object concrete):
        cdef Py_ssize_t at = <Py_ssize_t> cnp.PyArray_DATA(concrete)
        return self.storage.lo <= at < self.storage.lo + max(self.storage.nbytes, 1)

    def same_memory(self, concrete):
        """Whether an array that NumPy made from ours is a view of our memory."""
        return self.shares(concrete)

    def rewrap(self, concrete):
        """View or copy, as NumPy decided: a traced array for what a method of `concrete` returned."""
        return self._derived(concrete)

    cdef object _derived(self, object concrete):
        if concrete.size == 0 or self.shares(concrete):
            return self.view(concrete)
        # A copy: elements in C order, then laid out as NumPy laid them out.
        cdef Trace trace = self.trace
        cdef Tape tape = trace.tape
        cdef int v = trace.dense(self.current())
        cdef int vtype = tape.pool.dense_type_id(concrete.dtype, concrete.shape)
        if tape.vtype[v] != vtype:
            t = <ValueType> tape.pool.types[vtype]
            v = trace.emit1(LOAD, v, tape.pool.attr_id(View(t.shape, t.strides, t.dtype)), 0, vtype)
        cdef int laid = tape.pool.type_id(concrete.dtype, concrete.shape, concrete.strides)
        if laid != vtype:
            v = trace.emit1(COPY, v, -1, 0, laid)
        return make_array(concrete, Storage(concrete, <ValueType> tape.pool.types[laid], v), trace)

    # ---- indexing ------------------------------------------------------------------------------------------------

    def __getitem__(self, index):
        if innermost(self) is not self.trace:
            return self._outer_item(index)
        if type(index) is int and (<cnp.ndarray> self.concrete).ndim == 1:
            return self._element(index)
        if not is_basic(index):
            from sparsead.tracing.indexing import take
            return take(self, index)
        result = self.concrete[index]
        if type(result) is np.ndarray:
            return self.view(result)
        return self._scalar_at(self.concrete[with_ellipsis(index)], result)

    def _outer_item(self, index):
        # Read of an enclosing function's array inside a nested derivative: read there, use here.
        token = CURRENT.set(self.trace)
        try:
            return self[index]
        finally:
            CURRENT.reset(token)

    cdef object _element(self, Py_ssize_t i):
        cdef cnp.ndarray c = self.concrete
        result = (<object> c)[i]                               # NumPy's own IndexError
        if i < 0:
            i += c.shape[0]
        cdef Py_ssize_t offset = <Py_ssize_t> cnp.PyArray_DATA(c) + i * c.strides[0] - self.storage.lo
        return self._load_scalar(offset, result)

    cdef object _scalar_at(self, cnp.ndarray where, object result):
        return self._load_scalar(<Py_ssize_t> cnp.PyArray_DATA(where) - self.storage.lo, result)

    cdef object _load_scalar(self, Py_ssize_t offset, object result):
        cdef Trace trace = self.trace
        cdef Tape tape = trace.tape
        cdef Storage s = self.storage
        if s.shape == ():
            return make_scalar(result, s.version, trace)
        cdef int v = trace.emit1(LOAD, s.version, tape.pool.attr_id(View((), (), s.dtype)), offset,
                                 tape.pool.dense_type_id(s.dtype, ()))
        return make_scalar(result, v, trace)

    def __setitem__(self, index, value):
        cdef Trace trace = innermost(self)
        cdef cnp.ndarray dest
        if not is_basic(index):
            from sparsead.tracing.indexing import put
            put(self, index, value)
            return
        dest = self.concrete[with_ellipsis(index)]
        self._assign(trace, dest, value)

    cdef int _assign(self, Trace trace, cnp.ndarray dest, object value) except -1:
        cdef cnp.ndarray source
        if isinstance(value, TracedArray) and (<TracedArray> value).storage is self.storage:
            source = (<TracedArray> value).concrete
            if cnp.PyArray_DATA(source) == cnp.PyArray_DATA(dest) and (<object> source).shape == (<object> dest).shape \
                    and (<object> source).strides == (<object> dest).strides:
                return 0                                       # x[a] += y ends with a store of x[a] onto itself
        if type(value) in (list, tuple):
            from sparsead.tracing.functions import array_of
            value = array_of(trace, value)
        concrete = plain(value)
        if not dest.flags.writeable:
            raise ValueError("assignment destination is read-only")
        cdef int v
        if isinstance(value, Traced):
            v = trace.value_of(value, None)
        elif isinstance(value, np.ndarray):
            v = trace.value_of(value, None)
        else:
            v = trace.const(value.item() if isinstance(value, np.generic) else value, dest.dtype) \
                if isinstance(value, (int, float, np.generic)) else trace.value_of(asarray(value), None)
        dest[...] = concrete                                   # NumPy's own errors come first
        trace.store(self, dest, v)
        return 0

    def assign(self, dest, value):
        """Store `value` into `dest`, a NumPy view of this array's memory."""
        self._assign(innermost(self), dest, value)

    def scatter(self, int pos, int v, bint add):
        """Record a scatter of value `v` to element positions `pos` of the storage."""
        innermost(self).scatter(self, pos, v, add)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return iter([self[i] for i in range(len(self.concrete))])

    def __len__(self):
        return len(self.concrete)

    def __contains__(self, x):
        return bool((self == x).any())

    def __bool__(self):
        truth = bool(self.concrete)                            # NumPy's ValueError for more than one element
        return bool(self.reshape(-1)[0]) if self.concrete.size == 1 else truth

    def __int__(self):
        return int(self._only("int"))

    def __float__(self):
        return float(self._only("float"))

    def __index__(self):
        return self._only("index").__index__()

    def _only(self, what):
        if self.concrete.ndim:
            raise TypeError(f"{what}() of an array of shape {self.shape}: only 0-d arrays become Python numbers")
        return self[()]

    def __format__(self, spec):
        return format(self.concrete, spec)

    def __repr__(self):
        return "Traced" + repr(self.concrete)

    def __str__(self):
        return str(self.concrete)

    # ---- in place ---------------------------------------------------------------------------------------------------

    cdef object _inplace(self, object ufunc, object other):
        if not operand_like(other):
            return NotImplemented
        cdef Trace trace = innermost(self)
        from sparsead.tracing.ufuncs import call_into
        return call_into(trace, ufunc, (self, other), (self,))

    def __iadd__(self, o):
        return self._inplace(np.add, o)

    def __isub__(self, o):
        return self._inplace(np.subtract, o)

    def __imul__(self, o):
        return self._inplace(np.multiply, o)

    def __itruediv__(self, o):
        return self._inplace(np.true_divide, o)

    def __ifloordiv__(self, o):
        return self._inplace(np.floor_divide, o)

    def __imod__(self, o):
        return self._inplace(np.remainder, o)

    def __ipow__(self, o):
        return self._inplace(np.power, o)

    def __iand__(self, o):
        return self._inplace(np.bitwise_and, o)

    def __ior__(self, o):
        return self._inplace(np.bitwise_or, o)

    def __ixor__(self, o):
        return self._inplace(np.bitwise_xor, o)

    def __imatmul__(self, o):
        product = self @ o
        if product.shape != self.shape:
            raise ValueError(f"@= of shapes {self.shape} and {o.shape} gives {product.shape}, which does not fit in place")
        self[...] = product
        return self

    # ---- attributes and views ----------------------------------------------------------------------------------------

    @property
    def shape(self):
        return self.concrete.shape

    @shape.setter
    def shape(self, new):
        self.concrete = self.concrete.view()
        self.concrete.shape = new                              # NumPy's error where this would need a copy
        self._version = -1

    @property
    def dtype(self):
        return self.concrete.dtype

    @property
    def ndim(self):
        return self.concrete.ndim

    @property
    def size(self):
        return self.concrete.size

    @property
    def strides(self):
        return self.concrete.strides

    @property
    def itemsize(self):
        return self.concrete.itemsize

    @property
    def nbytes(self):
        return self.concrete.nbytes

    @property
    def flags(self):
        return self.concrete.flags

    @property
    def base(self):
        return None if self.concrete is self.storage.base else self.storage.base

    @property
    def T(self):
        return self.view(self.concrete.T)

    @property
    def mT(self):
        return self.view(self.concrete.mT)

    @property
    def real(self):
        return self

    @property
    def imag(self):
        return zeros(self.shape, self.dtype)

    @property
    def flat(self):
        from sparsead.tracing.indexing import Flat
        return Flat(self)

    @flat.setter
    def flat(self, value):
        from sparsead.tracing.indexing import Flat
        Flat(self)[...] = value

    def reshape(self, *shape, **kwargs):
        """View or copy, as NumPy decides."""
        order = kwargs.get("order", "C")
        if order == "A":
            order = "F" if self.concrete.flags.fnc else "C"
        if order == "F":
            new = self.concrete.reshape(*shape, **kwargs).shape
            return self.transpose().reshape(new[::1 - 2]).transpose()
        return self._derived(self.concrete.reshape(*shape, **kwargs))

    def ravel(self, order="C"):
        """View or copy, as NumPy decides."""
        return self._copied_if(self.concrete.ravel(order), order)

    def flatten(self, order="C"):
        """Always a copy."""
        return self._copied_if(self.concrete.flatten(order), order)

    cdef object _copied_if(self, object concrete, order):
        if order == "F" and not self.shares(concrete) and concrete.size:
            return (<TracedArray> self.view(self.concrete.T))._derived(concrete)
        if order == "A" and self.concrete.flags.fnc:
            return self._copied_if(concrete, "F")
        if order == "K" and not self.shares(concrete) and concrete.size:
            # Memory order: axes from the largest step to the smallest (ties as they stand).
            axes = sorted(range(self.concrete.ndim), key=lambda k: -abs(self.concrete.strides[k]))
            return (<TracedArray> self.view(self.concrete.transpose(axes)))._derived(concrete)
        return self._derived(concrete)

    def transpose(self, *axes):
        """View with permuted axes."""
        return self.view(self.concrete.transpose(*axes))

    def swapaxes(self, axis1, axis2):
        """View with two axes swapped."""
        return self.view(self.concrete.swapaxes(axis1, axis2))

    def squeeze(self, axis=None):
        """View without axes of length one."""
        return self.view(self.concrete.squeeze(axis))

    def diagonal(self, offset=0, axis1=0, axis2=1):
        """Read-only view of a diagonal."""
        return self.view(self.concrete.diagonal(offset, axis1, axis2))

    def storage_as_vector(self):
        """All of the storage's memory as a traced vector."""
        cdef Storage s = self.storage
        item = s.dtype.itemsize
        return self.view(window(s.base, 0, (s.nbytes // item,), (item,), s.dtype))

    def view_as(self, concrete):
        """A traced array for `concrete`, a NumPy view of this array's memory."""
        return self.view(concrete)

    def copy(self, order="C"):
        """A copy with memory of its own."""
        return self._copy(self.concrete.copy(order))

    cdef object _copy(self, object concrete):
        return self._derived(concrete) if concrete.size else self.trace.fresh(concrete)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def astype(self, dtype, order="K", casting="unsafe", subok=True, copy=True):
        """Cast; always a copy, unless ``copy=False`` and nothing changes."""
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self if not copy else self._copy(self.concrete.astype(dtype, order=order))
        concrete = self.concrete.astype(dtype, order=order, casting=casting)
        cdef Trace trace = innermost(self)
        cdef int v = trace.cast(trace.dense(trace.value_of(self, None)), dtype)
        cdef int laid = trace.type_of_concrete(concrete)
        if trace.tape.vtype[v] != laid:
            v = trace.emit1(COPY, v, -1, 0, laid)
        return trace.wrap(concrete, v)

    def item(self, *args):
        """One element as a traced scalar."""
        if not args:
            if self.size != 1:
                raise ValueError("can only convert an array of size 1 to a Python scalar")
            return self.reshape(1)[0]
        return self[args] if len(args) > 1 or self.ndim == 1 or isinstance(args[0], tuple) and self[args[0]] is None \
            else self.reshape(-1)[args[0]]

    def tolist(self):
        """Nested lists of traced scalars."""
        return [row.tolist() if isinstance(row, TracedArray) else row for row in self] if self.ndim else self[()]

    def __array__(self, dtype=None, copy=None):
        cdef Trace trace = self.trace
        cdef int v = self.current()
        if not trace.facts[v] & VARIES:
            return array(self.concrete, dtype=dtype)
        if trace.facts[v] & ACTIVE or self.concrete.dtype.kind == "f":
            raise_array(trace, self)
        # Without a derivative (a mask, an index): the tape is right as long as its contents are these.
        trace.guard_contents(v, self.concrete)
        return array(self.concrete, dtype=dtype)

    def __getattr__(self, name):
        return method_of(self, name)

    def __reduce__(self):
        raise TraceError("a traced array cannot be pickled")


cdef object with_ellipsis(object index):
    """The same elements as `index`, always as an array."""
    if type(index) is not tuple:
        return index if index is Ellipsis else (index, ...)
    for part in index:
        if part is Ellipsis:
            return index
    return index + (Ellipsis,)


cdef bint is_basic(object index):
    if type(index) is tuple:
        for part in index:
            if not basic_part(part):
                return False
        return True
    return basic_part(index)


cdef bint basic_part(object part):
    kind = type(part)
    if kind is int or kind is slice or part is None or part is Ellipsis:
        return True
    if isinstance(part, np.integer):
        return True
    return kind is TracedScalar and isinstance((<TracedScalar> part).concrete, (int, np.integer)) \
        and not isinstance((<TracedScalar> part).concrete, bool)
