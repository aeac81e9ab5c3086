# One recording. Included by _traced.pyx: its classes know one another.

cdef class Trace:
    """One recording: the tape, the facts of its values, and what it depends on besides the inputs."""
    cdef readonly Tape tape
    cdef signed char *facts
    cdef int cap_facts
    cdef dict _places, _consts, _guarded, _foreign, _outer
    cdef readonly list snapshots            # (array, copy): contents that were baked in
    cdef readonly list imports              # (traced value of an enclosing trace, our input value)
    cdef public object composites, methods  # tables set by the tracer
    cdef public object where_am_i
    cdef readonly long max_ops
    cdef double started, note_after         # seconds; infinity once the note is given
    cdef public bint ended
    cdef Link storages, scalars             # heads of the lists of what is alive
    cdef readonly int epoch                 # grows when values that arrays remember are taken off the tape
    cdef public int depth                   # loops that are being traced
    cdef readonly bint stale                # numbers are those of a traced step, not yet those after a loop
    cdef public str broken                  # what is wrong with a loop that was left
    cdef readonly list hiding               # loops of whose values a placeholder stands in the trace, the innermost last
    cdef public set swapped                 # serial numbers of storages that a loop swaps on some of its paths
    cdef public object supply               # gives the numbers of the inputs
    cdef public object original             # the user's own object for one that the traced function sees
    cdef readonly object refusal            # (text, place) of the last refusal to give a value away

    def __init__(self, composites, methods, max_ops=20_000_000, note_after=float("inf")):
        self.tape = PyTape()
        self._places, self._consts = {}, {}
        self._guarded, self._foreign, self._outer = {}, {}, {}
        self.snapshots, self.imports, self.hiding, self.swapped = [], [], [], set()
        self.composites, self.methods = composites, methods
        self.max_ops = max_ops
        self.started, self.note_after = time.monotonic(), note_after

    def __dealloc__(self):
        free(self.facts)
        leave(&self.storages)
        leave(&self.scalars)

    # ---- emitting ----------------------------------------------------------------------------------------------

    cdef int emit_many(self, int code, const int *args, int n, int attr, offset_t imm, const int *vtypes,
                       int n_results) except -1:
        """One op; returns the first of its results."""
        cdef int k, fact = 0, first
        cdef Tape tape = self.tape
        if self.ended:
            raise LeakError(f"a traced value was used after its trace had ended{self.at()}; return it instead, or take "
                            "its number with sparsead.value(x) while tracing")
        if tape.n_ops % CHECK_EVERY == CHECK_EVERY - 1:
            self._check_length()
        for k in range(n):
            fact |= self.facts[args[k]]
        if fact & LOST:
            raise TraceError(LOST_TEXT + self.at())
        if inactive_codes[code]:
            fact &= ~ACTIVE
        first = tape.emit_many(code, args, n, attr, imm, self.line(), vtypes, n_results)
        for k in range(n_results):
            self._set_fact(first + k, fact if (<ValueType> tape.pool.types[vtypes[k]]).inexact else fact & ~ACTIVE)
        return first

    def check_lost(self, int value):
        """TraceError for a value that stands for one that no longer can be known."""
        if self.facts[value] & LOST:
            raise TraceError(LOST_TEXT + self.at())

    def check_swapped(self, x):
        """TraceError for an argument of which only the names in the function tell what it holds in the end."""
        if isinstance(x, TracedArray) and (<TracedArray> x).storage.link.serial in self.swapped:
            raise TraceError("the arguments are swapped on some paths of a loop, so which of them holds what depends on the data"
                             f"{self.at()}; return the result, or write into the array (u[:] = ...)")

    cdef int emit(self, int code, const int *args, int n, int attr, offset_t imm, int vtype) except -1:
        return self.emit_many(code, args, n, attr, imm, &vtype, 1)

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
        if self.tape.n_ops > self.max_ops:
            raise TraceLimit(f"the trace has {self.tape.n_ops} ops and goes on{self.at()}: an endless loop, or a long one "
                             "that is unrolled op by op; write it as `for k in sparsead.steps(n)`, or raise the limit "
                             "with sparsead.config.max_ops")
        cdef double elapsed = time.monotonic() - self.started
        if elapsed > self.note_after:
            self.note_after = float("inf")
            print(f"sparsead: tracing has taken {elapsed:.3g} s and {self.tape.n_ops} ops so far{self.at()}", file=sys.stderr)
        return 0

    # ---- the user's line ---------------------------------------------------------------------------------------

    cdef int line(self) except -2:
        cdef list lines
        frame = self.user_frame()
        if frame is None:
            return -1
        lines = self._lines(frame)
        return lines[frame.f_lasti >> 1]

    cdef object user_frame(self):
        """The innermost Python frame that is the user's, not a library's."""
        frame = _getframe()
        while frame is not None and self._lines(frame) is None:
            frame = frame.f_back
        return frame

    cdef object _lines(self, frame):
        """Line ids by instruction of the code that runs in `frame`; None for a library's."""
        # By identity: Python hashes all constants of a code object at each look-up. And once for all instructions, as
        # frame.f_lineno reads the function's table from the start: code of 10^5 lines would take quadratic time.
        code = frame.f_code
        found = self._places.get(id(code))
        if found is None:
            found = self._places[id(code)] = (code, None if is_library(frame) else self._line_ids(code))
        return found[1]

    cdef list _line_ids(self, code):
        cdef list ids = [-1] * (len(code.co_code) >> 1)
        for begin, end, number in code.co_lines():
            if number is not None:
                ids[begin >> 1:end >> 1] = [self.tape.pool.line_id((code.co_filename, number))] * (end - begin >> 1)
        return ids

    def at(self):
        """`` at file:line``, for messages."""
        frame = self.user_frame()
        return "" if frame is None else f" at {frame.f_code.co_filename}:{frame.f_lineno}"

    def refusal_of(self, text):
        """`text`, remembered: whoever asked may put an error of its own in the place of ours."""
        self.refusal = (text, self.at())
        return text

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
        return Storage(self, base, self.tape.type_of(value), value)

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
        # Zeros of either sign are equal; those in complex numbers, NaN and zeros themselves are told apart by their text.
        cdef bint by_value = value == value and value != 0 and type(value) is not complex
        cdef tuple key = (dtype, type(value), value if by_value else repr(value))
        found = self._consts.get(key)
        if found is None:
            if isinstance(value, Reading):
                refuse("an operand")
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
            (id(traced.home), traced.value)
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

    def memory_value(self, Storage storage, offset, shape, strides, dtype):
        """What a dense window of a storage's memory holds now, in the window's own layout."""
        cdef int laid = self.tape.pool.type_id(dtype, shape, strides)
        if offset == 0 and laid == storage.vtype:
            return storage.version
        cdef int vtype = self.tape.pool.dense_type_id(dtype, shape)
        cdef int v = self.emit1(LOAD, storage.version, self.tape.pool.attr_id(View(shape, strides, dtype)), offset,
                                vtype)
        return v if vtype == laid else self.emit1(COPY, v, -1, 0, laid)

    def inline(self, Tape tape, values):
        """Append all ops of `tape` with `values` for its inputs; returns the values of its outputs."""
        cdef int k, j, n, code
        cdef int[::1] args = zeros(tape.widest() + 1, np.intc)
        cdef dict given = dict(zip(tape.inputs, values))
        cdef list value = [-1] * tape.n_vals
        for k in range(tape.n_ops):
            code, n = tape.code[k], tape.start[k + 1] - tape.start[k]
            for j in range(n):
                args[j] = value[tape.operand[tape.start[k] + j]]
            op = tape.op(k)
            if code == INPUT:
                value[tape.out[k]] = given[tape.out[k]]
            elif code == CONST:
                value[tape.out[k]] = self._const_value(op.attr)
            elif code == GUARD:
                self._inlined_guard(args[0], op)
            else:
                made = self._inlined(tape, op, &args[0])       # none by a loop that is kept for its guards
                value[tape.out[k]:tape.out[k + 1]] = made
        return [value[v] for v in tape.outputs]

    cdef int _inlined_guard(self, int value, object op) except -1:
        if self.facts[value] & ACTIVE:
            where = "" if op.line is None else " at {}:{}".format(*op.line)
            raise TraceError(f"a nested derivative takes the number of a value with a derivative{where}, which would lose it: "
                             "use NumPy's functions (np.sin for math.sin), or sparsead.value(x)")
        return self.guard(value, op.attr)

    cdef list _inlined(self, Tape tape, object op, const int *args):
        """The results of `op`, an op of `tape`, on values of this trace."""
        types = [tape.type_of(z) for z in op.results]
        cdef int[:] vtypes = array([self.tape.pool.type_id(t.dtype, t.shape, t.strides) for t in types] + [0], np.intc)
        attr = op.attr.onto(self.tape.pool) if hasattr(op.attr, "onto") else op.attr
        attr = -1 if attr is None else self.tape.pool.attr_id(attr)
        first = self.emit_many(op.op.code, args, len(op.operands), attr, op.imm, &vtypes[0], len(types))
        return list(range(first, first + len(types)))

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
            v = (<TracedArray> x).current() if (<TracedArray> x).home is self else self.outer(x)
        elif isinstance(x, TracedScalar):
            v = (<TracedScalar> x).value if (<TracedScalar> x).home is self else self.outer(x)
        elif isinstance(x, np.ndarray):
            v = self.foreign(x if x.ndim else x.reshape(()))
        elif isinstance(x, (float, int, np.generic, complex)):
            if dtype is None:
                dtype = asarray(x).dtype
            return self.const(x.item() if isinstance(x, np.generic) and x.dtype.kind in "fiubc" else x, dtype)
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
            return make_array(concrete, Storage(self, concrete, self.tape.type_of(value), value), self)
        return make_scalar(concrete, value, self)

    def fresh(self, cnp.ndarray concrete, bint zeroed=False):
        """A new array of the traced function: zeros, or undefined, or the constant contents of `concrete`."""
        cdef int vtype, value
        if not is_dense(concrete):
            concrete = array(concrete, order="C")
        vtype = self.tape.pool.type_id(concrete.dtype, (<object> concrete).shape, (<object> concrete).strides)
        value = self.emit(ZEROS if zeroed else EMPTY, NULL, 0, -1, 0, vtype)
        return make_array(concrete, Storage(self, concrete, <ValueType> self.tape.pool.types[vtype], value), self)

    def constant_array(self, concrete):
        """A new array of the traced function with known contents."""
        concrete = concrete if is_dense(concrete) else array(concrete, order="C")
        return self.wrap(concrete, self._const_value(array(concrete, order="K")))

    # ---- loops -----------------------------------------------------------------------------------------------------

    def is_counter(self, int value):
        """Whether a value depends on the counter of a loop."""
        return bool(self.facts[value] & COUNTS)

    cdef int cut(self, int n_ops) except -1:
        """Take the ops from `n_ops` on off the tape, and forget their values."""
        self.tape.truncate(n_ops)
        cdef int n = self.tape.n_vals
        self._consts = {key: v for key, v in self._consts.items() if v < n}
        self._guarded = {v: expected for v, expected in self._guarded.items() if v < n}
        self._foreign = {key: known for key, known in self._foreign.items() if known[2] < n}
        self.epoch += 1
        return 0

    def settle(self):
        """After a loop: compute the numbers that the trace goes on with. Until somebody asks for one, only shapes matter."""
        if self.stale:
            from sparsead.tracing.loops.folding import run_so_far
            settle_all(self, partial(run_so_far, self))

    # ---- guards --------------------------------------------------------------------------------------------------

    cdef int guard(self, int value, object expected) except -1:
        """From here on the tape is right only while `value` is `expected`."""
        if not self.facts[value] & (VARIES | COUNTS) or value in self._guarded:
            return 0
        self._guarded[value] = expected
        self.tape.emit_many(GUARD, &value, 1, self.tape.pool.attr_id(expected), 0, self.line(), NULL, 0)
        return 0

    def expect(self, int value, expected):
        """`guard` for callers in Python."""
        self.guard(value, expected)

    def effect(self, attr, operands):
        """Call a function of the user on these values whenever the tape is run."""
        cdef int[::1] args = array(operands, np.intc)
        self.emit_many(EFFECT, &args[0], args.shape[0], self.tape.pool.attr_id(attr), 0, NULL, 0)

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
        inputs = self.unlisted(inputs)
        found = code_of_ufunc.get(ufunc)
        if found is None:
            return self.other_ufunc(ufunc, inputs, {})
        cdef int code = found
        cdef list concrete = [plain(x) for x in inputs]
        results = ufunc(*concrete)
        loop = self.loop_of(ufunc, inputs, concrete, results, None)
        return self.record(code, inputs, loop, results)

    cpdef tuple unlisted(self, tuple inputs):
        """Operands, with lists and tuples among them as the arrays that they make."""
        for x in inputs:
            if type(x) is list or type(x) is tuple:
                from sparsead.tracing.functions import unlisted
                return tuple([unlisted(self, x) for x in inputs])
        return inputs

    cdef tuple loop_of(self, object ufunc, tuple inputs, list concrete, object results, object dtype):
        """Dtypes that the operands are cast to. Fast where all arrays have the dtype of the result."""
        cdef object common = None
        cdef bint mixed = dtype is not None or ufunc is np.ldexp        # its second operand stays an integer
        for x in concrete:
            kind = type(x)
            if kind is float or kind is int:
                continue
            d = F8 if kind is FLOAT64 else x.dtype if hasattr(x, "dtype") else asarray(x).dtype
            if common is None:
                common = d
            elif d is not common and d != common:
                mixed = True
        result = results[0] if type(results) is tuple else results
        out = F8 if type(result) is FLOAT64 else result.dtype if hasattr(result, "dtype") else None
        if not mixed and common is not None and common.kind == "f" and (out is common or out is BOOL):
            return (common,) * len(inputs)
        if not isinstance(ufunc, np.ufunc):                    # select
            if len(inputs) == 3:
                return (BOOL, out, out)
            return (out,) * len(inputs)
        given = [type(x) if type(x) in (int, float, complex) else asarray(x).dtype for x in concrete]
        if all([type(x) is type for x in given]):               # Python numbers among themselves
            given = [asarray(x).dtype for x in concrete]
        extra = {} if dtype is None else {"signature": (None,) * ufunc.nin + (dtype,) * ufunc.nout}
        try:
            loop = ufunc.resolve_dtypes(tuple(given) + (None,) * ufunc.nout, **extra)
        except TypeError:
            given = [asarray(x).dtype for x in concrete]
            loop = ufunc.resolve_dtypes(tuple(given) + (None,) * ufunc.nout, **extra)
        if any([d.kind == "c" for d in loop[:ufunc.nin]]):
            self.check_complex(ufunc, inputs)
        return loop[:ufunc.nin]

    cdef int check_complex(self, object ufunc, tuple inputs) except -1:
        """NotImplementedError where the derivative of a ufunc is known for real operands alone."""
        record = OPS[<int> code_of_ufunc[ufunc]].elementwise
        if record.partials is None or record.of_complex is not None:
            return 0
        if any([isinstance(x, Traced) and x.active for x in inputs]):
            raise NotImplementedError(f"np.{ufunc.__name__} of complex numbers has no derivative rule{self.at()}; express it by "
                                      "the real and imaginary parts, x.real and x.imag")
        return 0

    cdef object record(self, int code, tuple inputs, tuple loop, object results):
        cdef int[8] args
        cdef int[2] vtypes
        cdef int k, first, n = len(inputs)
        for k in range(n):
            args[k] = self.value_of(inputs[k], loop[k])
        if type(results) is not tuple:
            return self.wrap(results, self.emit(code, args, n, -1, 0, self.type_of_concrete(results)))
        for k in range(2):
            vtypes[k] = self.type_of_concrete(results[k])
        first = self.emit_many(code, args, n, -1, 0, vtypes, 2)
        return tuple([self.wrap(r, first + j) for j, r in enumerate(results)])

    cdef int type_of_concrete(self, object x) except -1:
        if type(x) is FLOAT64:
            return self.tape.pool.dense_type_id(F8, ())
        if isinstance(x, (np.ndarray, np.generic)):
            if x.dtype.kind not in "fiubc":
                raise TraceError(f"results of dtype {x.dtype} are not supported yet{self.at()}")
            return self.tape.pool.type_id(x.dtype, x.shape, x.strides)
        if type(x) not in (float, int, bool, complex):
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
        if target.home is not self:
            raise TraceError(f"an array of an enclosing differentiated function is written inside another{self.at()}; "
                             "pass it to the inner function as an argument")
        if self.facts[v] & ACTIVE and dtype.kind not in "fc":
            raise TraceError(f"a value with a derivative is stored into an array of dtype {dtype}{self.at()}; "
                             "make the array floating, or store sparsead.stop_gradient(value)")
        if s.barrier is not None and self.facts[v] & ACTIVE:
            v = self.barred(s, v)
        v = self.fit(v, dtype, shape)
        cdef Py_ssize_t offset = <Py_ssize_t> cnp.PyArray_DATA(view) - s.lo
        cdef tuple strides = (<object> view).strides
        if target.moving is not None:
            return self.store_moving(target, view, v)
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

    cdef int barred(self, Storage s, int v) except -1:
        """What is stored in place of a value with a derivative into memory that was declared to carry none."""
        if s.barrier == "detach":
            return self.emit1(CODE_OF_NAME["stop_gradient"], v, -1, 0, self.tape.vtype[v])
        raise ActivityError(f"a value with a derivative is stored into {s.label}, which is Const{self.at()}: the derivative "
                            "would be lost. Make it Duplicated with a shadow; or say what is meant: hidden=\"shadow\" carries "
                            "derivatives through it, hidden=\"detach\" drops them")

    cdef int store_moving(self, TracedArray target, cnp.ndarray view, int v) except -1:
        cdef Storage s = target.storage
        cdef Moves m = target.moving
        if view.size:
            attr = Moving(View((<object> view).shape, (<object> view).strides, view.dtype), m.steps, m.limits)
            s.version = self.emit_with(STORE_AT, [s.version, v], m, self.tape.pool.attr_id(attr),
                                       <Py_ssize_t> cnp.PyArray_DATA(view) - s.lo - m.shift, s.vtype)
        return 0

    cdef int load(self, Storage s, offset_t offset, tuple shape, tuple strides, object dtype, Moves m) except -1:
        """What a window of a storage holds now, in C order."""
        if s.write_only:
            raise ActivityError(f"{s.label} is read{self.at()}, but was declared as only written: make it Duplicated")
        cdef int vtype = self.tape.pool.dense_type_id(dtype, shape)
        view = View(shape, strides, dtype)
        if m is None:
            return self.emit1(LOAD, s.version, self.tape.pool.attr_id(view), offset, vtype)
        return self.emit_with(LOAD_AT, [s.version], m, self.tape.pool.attr_id(Moving(view, m.steps, m.limits)),
                              offset - m.shift, vtype)

    cdef int emit_with(self, int code, list operands, Moves m, int attr, offset_t imm, int vtype) except -1:
        """An op on a moving window."""
        cdef int[::1] args = array(operands + [(<TracedScalar> index).value for index in m.indices], np.intc)
        cdef int value = self.emit(code, &args[0], args.shape[0], attr, imm, vtype)
        self.facts[value] |= VARIES
        return value

    cdef int scatter(self, TracedArray target, int pos, int v, bint add) except -1:
        cdef Storage s = target.storage
        if target.home is not self:
            raise TraceError(f"an array of an enclosing differentiated function is written inside another{self.at()}")
        if self.facts[v] & ACTIVE and s.dtype.kind not in "fc":
            raise TraceError(f"a value with a derivative is stored into an array of dtype {s.dtype}{self.at()}")
        if s.barrier is not None and self.facts[v] & ACTIVE:
            v = self.barred(s, v)
        v = self.fit(v, s.dtype, self.tape.type_of(pos).shape)
        s.version = self.emit3(SCATTER_ADD if add else SCATTER, s.version, pos, v, -1, 0, s.vtype)
        return 0
