"""The tape: array values in static single assignment, kept as a compact struct of arrays.

An op of the tape is five integers and its operands; a value is its type and the op that makes it. What is
bulky (types, views, source lines, constants) is interned in a `Pool` that a tape shares with the tapes made
from it, so that a transform copies integers only. A scalar op with two operands takes 44 bytes.
"""
cimport numpy as cnp
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

import numpy as np
from numpy import array, asarray, full, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead import config
from sparsead.tape.spec import OPS, OpView

cnp.import_array()


class TapeError(RuntimeError):
    """The tape broke one of its laws: a defect of sparsead, or of a program that computes with memory it never wrote."""


cdef tuple dense_strides(tuple shape, Py_ssize_t itemsize):
    cdef list strides = [0] * len(shape)
    cdef Py_ssize_t step = itemsize
    cdef int k
    for k in range(len(shape) - 1, -1, -1):
        strides[k] = step
        step *= max(shape[k], 1)
    return tuple(strides)


cdef class ValueType:
    """Shape, dtype and dense memory layout of a value (strides in bytes; any order of axes, no gaps)."""

    def __init__(self, int id, object dtype, tuple shape, tuple strides):
        self.id = id
        self.dtype = dtype
        self.shape = shape
        self.strides = strides
        self.ndim = len(shape)
        self.size = 1
        for n in shape:
            self.size *= n
        self.nbytes = self.size * dtype.itemsize
        self.inexact = dtype.kind in "fc"
        self.is_complex = dtype.kind == "c"

    def __repr__(self):
        short = {"float64": "f64", "float32": "f32", "int64": "i64", "bool": "bool"}
        name = short.get(self.dtype.name, self.dtype.name)
        return name + "[" + ",".join(map(str, self.shape)) + "]" if self.shape else name


cdef class Pool:
    """Interned types, attributes, source lines and constants, shared by a tape and those made from it."""

    def __init__(self):
        self.types, self._type_ids = [], {}
        self.attrs, self._attr_ids = [], {}
        self.lines, self._line_ids = [], {}
        self.consts, self._const_ids = [], {}
        self.lawful = set()

    cdef int type_id(self, object dtype, tuple shape, tuple strides):
        cdef tuple key = (dtype, shape, strides)
        found = self._type_ids.get(key)
        if found is not None:
            return found
        cdef int id = len(self.types)
        self.types.append(ValueType(id, dtype, shape, strides))
        self._type_ids[key] = id
        return id

    cdef int dense_type_id(self, object dtype, tuple shape):
        cdef tuple key = (dtype, shape)
        found = self._type_ids.get(key)
        if found is None:
            found = self.type_id(dtype, shape, dense_strides(shape, dtype.itemsize))
            self._type_ids[key] = found
        return found

    cdef int attr_id(self, object attr):
        # (0, True) equals (0, 1): the types of a plain tuple's items are part of the key.
        key = (attr, tuple([type(x) for x in attr])) if type(attr) is tuple else attr
        found = self._attr_ids.get(key)
        if found is not None:
            return found
        cdef int id = len(self.attrs)
        self.attrs.append(attr)
        self._attr_ids[key] = id
        return id

    cdef int line_id(self, object key):
        found = self._line_ids.get(key)
        if found is not None:
            return found
        cdef int id = len(self.lines)
        self.lines.append(key)
        self._line_ids[key] = id
        return id

    cdef int const_id(self, object value):
        # Numbers are interned by type and bits (0.0 is not -0.0), arrays by identity.
        if isinstance(value, np.ndarray) and value.ndim:
            key = id(value)
        else:
            value = asarray(value)[()]
            key = (value.dtype, value.tobytes())
        found = self._const_ids.get(key)
        if found is not None:
            return found
        cdef int index = len(self.consts)
        self.consts.append(value)
        self._const_ids[key] = index
        return index

    def type(self, dtype, shape, strides=None):
        """The interned `ValueType` of a dense array; C order without `strides`."""
        dtype, shape = np.dtype(dtype), tuple(shape)
        if strides is None:
            return self.types[self.dense_type_id(dtype, shape)]
        return self.types[self.type_id(dtype, shape, tuple(strides))]


cdef int grown(int capacity, int needed):
    capacity = capacity if capacity > 16 else 16
    while capacity < needed:
        capacity = capacity + capacity // 2
    return capacity


cdef void *resized(void *block, size_t nbytes) except NULL:
    cdef void *moved = realloc(block, nbytes)
    if moved is NULL:
        raise MemoryError(f"no room for a tape of {nbytes} more bytes")
    return moved


cdef class Tape:
    """A straight line of ops over values; see `sparsead.tape.spec` for the ops and their meaning."""

    def __cinit__(self, Pool pool=None):
        self.pool = Pool() if pool is None else pool
        self.inputs, self.outputs, self.names = [], [], {}
        self._reserve(16, 16, 16)
        self.start[0] = 0
        self.out[0] = 0

    def __dealloc__(self):
        free(self.code)
        free(self.start)
        free(self.attr)
        free(self.line)
        free(self.out)
        free(self.imm)
        free(self.operand)
        free(self.vtype)
        free(self.vop)

    cdef int _reserve(self, int ops, int vals, int operands) except -1:
        if ops + 1 > self.cap_ops:
            self.cap_ops = grown(self.cap_ops, ops + 1)
            self.code = <int *> resized(self.code, self.cap_ops * sizeof(int))
            self.start = <int *> resized(self.start, self.cap_ops * sizeof(int))
            self.attr = <int *> resized(self.attr, self.cap_ops * sizeof(int))
            self.line = <int *> resized(self.line, self.cap_ops * sizeof(int))
            self.out = <int *> resized(self.out, self.cap_ops * sizeof(int))
            self.imm = <offset_t *> resized(self.imm, self.cap_ops * sizeof(offset_t))
        if vals > self.cap_vals:
            self.cap_vals = grown(self.cap_vals, vals)
            self.vtype = <int *> resized(self.vtype, self.cap_vals * sizeof(int))
            self.vop = <int *> resized(self.vop, self.cap_vals * sizeof(int))
        if operands > self.cap_operands:
            self.cap_operands = grown(self.cap_operands, operands)
            self.operand = <int *> resized(self.operand, self.cap_operands * sizeof(int))
        return 0

    cdef int emit_many(self, int code, const int *operands, int n, int attr, offset_t imm, int line,
                       const int *vtypes, int n_results) except -2:
        self._reserve(self.n_ops + 1, self.n_vals + n_results, self.n_operands + n)
        cdef int k = self.n_ops, j, first = self.n_vals
        self.code[k] = code
        self.attr[k] = attr
        self.imm[k] = imm
        self.line[k] = line
        for j in range(n):
            self.operand[self.n_operands + j] = operands[j]
        for j in range(n_results):
            self.vtype[first + j] = vtypes[j]
            self.vop[first + j] = k
        self.n_ops += 1
        self.n_operands += n
        self.n_vals += n_results
        self.start[self.n_ops] = self.n_operands
        self.out[self.n_ops] = self.n_vals
        return first

    cdef int emit(self, int code, const int *operands, int n, int attr, offset_t imm, int line,
                  int vtype) except -1:
        return self.emit_many(code, operands, n, attr, imm, line, &vtype, 1)

    cdef int emit0(self, int code, int attr, offset_t imm, int line, int vtype) except -1:
        return self.emit_many(code, NULL, 0, attr, imm, line, &vtype, 1)

    cdef int emit1(self, int code, int a, int attr, offset_t imm, int line, int vtype) except -1:
        return self.emit_many(code, &a, 1, attr, imm, line, &vtype, 1)

    cdef int emit2(self, int code, int a, int b, int attr, offset_t imm, int line, int vtype) except -1:
        cdef int[2] ab
        ab[0], ab[1] = a, b
        return self.emit_many(code, ab, 2, attr, imm, line, &vtype, 1)

    cdef int emit3(self, int code, int a, int b, int c, int attr, offset_t imm, int line, int vtype) except -1:
        cdef int[3] abc
        abc[0], abc[1], abc[2] = a, b, c
        return self.emit_many(code, abc, 3, attr, imm, line, &vtype, 1)

    cdef int take(self, Tape other, int k, int *value) except -1:
        """Append op `k` of `other`, a tape on the same pool; `value` gives the operands here, and takes the results."""
        cdef int j, first, n = other.start[k + 1] - other.start[k]
        self._reserve(self.n_ops, self.n_vals, self.n_operands + n)
        for j in range(n):
            self.operand[self.n_operands + j] = value[other.operand[other.start[k] + j]]
        first = self.emit_many(other.code[k], self.operand + self.n_operands, n, other.attr[k], other.imm[k], other.line[k],
                               other.vtype + other.out[k], other.out[k + 1] - other.out[k])
        for j in range(other.out[k + 1] - other.out[k]):
            value[other.out[k] + j] = first + j
        return 0

    cdef int truncate(self, int n_ops) except -1:
        """Forget the ops from `n_ops` on; nothing may refer to their values any more."""
        self.n_ops, self.n_vals, self.n_operands = n_ops, self.out[n_ops], self.start[n_ops]
        return 0

    cdef int widest(self) noexcept:
        """Most operands of an op."""
        cdef int k, most = 0
        for k in range(self.n_ops):
            most = max(most, self.start[k + 1] - self.start[k])
        return most

    cdef ValueType type_of(self, int value):
        return <ValueType> self.pool.types[self.vtype[value]]

    cdef int constant(self, object value, int line) except -1:
        cdef int index = self.pool.const_id(value)
        value = self.pool.consts[index]
        return self.emit0(CONST, index, 0, line, self._array_type(value))

    cdef int _array_type(self, object value) except -1:
        strides = value.strides
        if strides != dense_strides(value.shape, value.dtype.itemsize) and not is_dense(value):
            raise TapeError(f"a constant must be dense, got strides {strides} for shape {value.shape}")
        return self.pool.type_id(value.dtype, value.shape, strides)

    # ---- the Python view of a tape: for tests, printing, slow passes -------------------------------------

    def __len__(self):
        return self.n_ops

    @property
    def n_values(self):
        """Number of values."""
        return self.n_vals

    @property
    def nbytes(self):
        """Bytes that ops and values take (values' contents and the pool not counted)."""
        return (4 * 5 + 8) * self.n_ops + 4 * self.n_operands + 8 * self.n_vals

    def op(self, int k):
        """Op `k` as an `OpView`."""
        if not 0 <= k < self.n_ops:
            raise IndexError(f"op {k} of a tape of {self.n_ops}")
        cdef int j
        operands = tuple([self.operand[j] for j in range(self.start[k], self.start[k + 1])])
        results = tuple(range(self.out[k], self.out[k + 1]))
        attr = self.attr[k]
        if self.code[k] == CONST:
            attr = self.pool.consts[attr]
        else:
            attr = None if attr < 0 else self.pool.attrs[attr]
        line = None if self.line[k] < 0 else self.pool.lines[self.line[k]]
        return OpView(k, OPS[self.code[k]], operands, results, attr, self.imm[k], line)

    def __iter__(self):
        cdef int k
        for k in range(self.n_ops):
            yield self.op(k)

    def type(self, int value):
        """The `ValueType` of a value."""
        if not 0 <= value < self.n_vals:
            raise IndexError(f"value {value} of a tape of {self.n_vals} values")
        return self.type_of(value)

    def maker(self, int value):
        """Index of the op that makes `value`."""
        return self.vop[value]

    def add(self, op, operands=(), types=(), attr=None, imm=0, line=None):
        """Append one op; returns the tuple of its result values."""
        cdef int attr_id = -1, j, first
        if op.code == CONST:
            attr_id = self.pool.const_id(attr)
        elif attr is not None:
            attr_id = self.pool.attr_id(attr)
        cdef int line_id = -1 if line is None else self.pool.line_id(line)
        cdef int[:] args = array(list(operands) + [0], dtype=np.intc)
        cdef int[:] vtypes = array([t.id for t in types] + [0], dtype=np.intc)
        for j in range(len(operands)):
            if not 0 <= args[j] < self.n_vals:
                raise TapeError(f"op {op.name} reads value {args[j]}, which does not exist yet")
        first = self.emit_many(op.code, &args[0], len(operands), attr_id, imm, line_id, &vtypes[0], len(types))
        return tuple(range(first, first + len(types)))

    def const(self, value):
        """Append a constant; arrays are kept by reference and must not be changed afterwards."""
        return self.constant(value, -1)

    def fresh(self):
        """An empty tape on the same pool."""
        return Tape(self.pool)

    def copy(self):
        """The same ops on the same pool; the copy can be appended to."""
        cdef Tape new = Tape(self.pool)
        new._reserve(self.n_ops, self.n_vals, self.n_operands)
        memcpy(new.code, self.code, self.n_ops * sizeof(int))
        memcpy(new.attr, self.attr, self.n_ops * sizeof(int))
        memcpy(new.line, self.line, self.n_ops * sizeof(int))
        memcpy(new.imm, self.imm, self.n_ops * sizeof(offset_t))
        memcpy(new.start, self.start, (self.n_ops + 1) * sizeof(int))
        memcpy(new.out, self.out, (self.n_ops + 1) * sizeof(int))
        memcpy(new.operand, self.operand, self.n_operands * sizeof(int))
        memcpy(new.vtype, self.vtype, self.n_vals * sizeof(int))
        memcpy(new.vop, self.vop, self.n_vals * sizeof(int))
        new.n_ops, new.n_vals, new.n_operands = self.n_ops, self.n_vals, self.n_operands
        new.inputs, new.outputs, new.names = list(self.inputs), list(self.outputs), dict(self.names)
        return new

    def append(self, Tape other, int[::1] value, int first=0, last=None, chosen=None):
        """Append ops of `other`, a tape on the same pool.

        Parameters
        ----------
        other : Tape
        value : int32 array, longer than ``other.n_values``
            For each value of `other` the one here, -1 for none; what is appended is entered. An input that has one is left out.
        first, last : int
            Ops from `first` up to `last`.
        chosen : bool array, optional
            By op of `other`, whether it is appended.
        """
        cdef int k, end = other.n_ops if last is None else last
        cdef const unsigned char[::1] flags = None if chosen is None else chosen.view("u1")
        for k in range(first, end):
            if (flags is None or flags[k]) and not (other.code[k] == INPUT and value[other.out[k]] >= 0):
                self.take(other, k, &value[0])

    def inline(self, Tape other, operands):
        """Append all of `other`, a tape on the same pool, with `operands` for its inputs; returns its outputs, here."""
        value = full(other.n_vals + 1, -1, np.intc)
        for v, operand in zip(other.inputs, operands, strict=True):
            value[v] = operand
        self.append(other, value)
        return [int(value[v]) for v in other.outputs]

    def onto(self, Pool pool):
        """The same ops on another pool."""
        if pool is self.pool:
            return self
        cdef Tape new = Tape(pool)
        for op in self:                                     # its values get the same numbers
            attr = op.attr.onto(pool) if hasattr(op.attr, "onto") else op.attr
            types = [self.type_of(v) for v in op.results]
            new.add(op.op, op.operands, [pool.type(t.dtype, t.shape, t.strides) for t in types], attr, op.imm, op.line)
        new.inputs, new.outputs, new.names = list(self.inputs), list(self.outputs), dict(self.names)
        return new

    def key(self):
        """Equal for tapes on one pool that are the same op by op; the user's lines do not count."""
        cdef object words = (<char *> self.code)[:self.n_ops * sizeof(int)] + (<char *> self.attr)[:self.n_ops * sizeof(int)]
        words += (<char *> self.imm)[:self.n_ops * sizeof(offset_t)] + (<char *> self.operand)[:self.n_operands * sizeof(int)]
        words += (<char *> self.start)[:(self.n_ops + 1) * sizeof(int)] + (<char *> self.out)[:(self.n_ops + 1) * sizeof(int)]
        return id(self.pool), words, (<char *> self.vtype)[:self.n_vals * sizeof(int)], tuple(self.inputs), tuple(self.outputs)

    def codes(self):
        """Op codes, shape (n_ops,), as a fresh array."""
        return asarray(<int[:self.n_ops]> self.code).copy() if self.n_ops else zeros(0, np.intc)

    def columns(self):
        """The arrays that the tape consists of, by name, as views of its own memory: good until the tape grows.

        One entry per op: code, attr (index into ``pool.consts`` for constants, else into ``pool.attrs``, -1: none), imm and line
        (-1: none). One entry more: start and out, the op's first operand and first result. Then operand; and one entry per value:
        vtype (index into ``pool.types``) and maker.
        """
        n = self.n_ops
        return {
            "code": self._column(self.code, n, cnp.NPY_INT), "attr": self._column(self.attr, n, cnp.NPY_INT),
            "imm": self._column(self.imm, n, cnp.NPY_LONGLONG), "line": self._column(self.line, n, cnp.NPY_INT),
            "start": self._column(self.start, n + 1, cnp.NPY_INT), "out": self._column(self.out, n + 1, cnp.NPY_INT),
            "operand": self._column(self.operand, self.n_operands, cnp.NPY_INT),
            "vtype": self._column(self.vtype, self.n_vals, cnp.NPY_INT),
            "maker": self._column(self.vop, self.n_vals, cnp.NPY_INT),
        }

    cdef object _column(self, void *memory, Py_ssize_t n, int type_number):
        cdef cnp.ndarray column = cnp.PyArray_SimpleNewFromData(1, <cnp.npy_intp *> &n, type_number, memory)
        cnp.set_array_base(column, self)
        return column

    def check(self, linear=False, active=(), owned=()):
        """Raise `TapeError` if the tape breaks a law of `sparsead.tape.check`.

        Parameters
        ----------
        linear : bool
            The tape has to be in the form that ``transform.linearize`` gives.
        active : sequence of int
            Positions of inputs that are differentiated: no guard may look at what carries a derivative by them.
        owned : sequence of int
            Inputs (values) that a linear tape may overwrite.
        """
        from sparsead.tape.check import check
        check(self, linear, active, owned)

    def __str__(self):
        from sparsead.tape.listing import listing
        return listing(self)

    def __repr__(self):
        return f"Tape({self.n_ops} ops, {len(self.inputs)} inputs, {len(self.outputs)} outputs)"


def checked(Tape tape, linear=False, active=(), owned=()):
    """`tape`, after `Tape.check` if ``sparsead.config.check_tapes`` asks for it: what every pass returns."""
    if config.check_tapes:
        tape.check(linear, active, owned)
    return tape


def is_dense(elements):
    """Whether the elements of `elements` fill its memory without gaps or repeats, in any order of axes."""
    step = elements.dtype.itemsize
    for n, stride in sorted(((n, s) for n, s in zip(elements.shape, elements.strides) if n != 1), key=lambda p: p[1]):
        if stride != step and elements.size > 0:
            return False
        step *= n
    return True
