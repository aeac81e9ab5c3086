# Codes of the structural ops. Elementwise records are registered from `ELEMENTWISE` upwards.
cdef enum:
    INPUT = 0
    CONST = 1
    ZEROS = 2
    EMPTY = 3
    LOAD = 4
    STORE = 5
    ACCUMULATE = 6
    GATHER = 7
    SCATTER = 8
    SCATTER_ADD = 9
    COPY = 10
    CAST = 11
    GUARD = 12
    SUM = 13
    LOAD_AT = 30
    STORE_AT = 31
    ACCUMULATE_AT = 32
    LOOP = 33
    BRANCH = 34
    EFFECT = 35
    ELEMENTWISE = 64

ctypedef long long offset_t


cdef inline bint has_bodies(int code) noexcept nogil:
    """Whether such an op runs tapes of its own."""
    return code == LOOP or code == BRANCH


# `imm` of an input that begins a reverse sweep: the adjoint of an output.
cdef enum:
    SEED = 1


cdef class ValueType:
    cdef readonly int id
    cdef readonly object dtype
    cdef readonly tuple shape
    cdef readonly tuple strides
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t nbytes
    cdef readonly int ndim
    cdef readonly bint inexact, is_complex


cdef class Pool:
    cdef readonly list types
    cdef readonly list attrs
    cdef readonly list lines
    cdef readonly list consts
    cdef readonly set lawful            # numbers of ops that keep their law: see sparsead/tape/check.py
    cdef dict _type_ids
    cdef dict _attr_ids
    cdef dict _line_ids
    cdef dict _const_ids
    cdef int type_id(self, object dtype, tuple shape, tuple strides)
    cdef int dense_type_id(self, object dtype, tuple shape)
    cdef int attr_id(self, object attr)
    cdef int line_id(self, object key)
    cdef int const_id(self, object value)


cdef class Tape:
    cdef readonly Pool pool
    cdef public list inputs
    cdef public list outputs
    cdef public object names            # value id -> name, for inputs (printing only)
    cdef int n_ops, n_vals, n_operands
    cdef int cap_ops, cap_vals, cap_operands
    cdef int *code
    cdef int *start                     # first operand of op k; the next op's start ends it
    cdef int *attr
    cdef int *line
    cdef int *out                       # first result of op k; the next op's out ends it
    cdef offset_t *imm
    cdef int *operand
    cdef int *vtype
    cdef int *vop
    cdef int emit(self, int code, const int *operands, int n, int attr, offset_t imm, int line,
                  int vtype) except -1
    cdef int emit_many(self, int code, const int *operands, int n, int attr, offset_t imm, int line,
                       const int *vtypes, int n_results) except -2
    cdef int emit0(self, int code, int attr, offset_t imm, int line, int vtype) except -1
    cdef int emit1(self, int code, int a, int attr, offset_t imm, int line, int vtype) except -1
    cdef int emit2(self, int code, int a, int b, int attr, offset_t imm, int line, int vtype) except -1
    cdef int emit3(self, int code, int a, int b, int c, int attr, offset_t imm, int line, int vtype) except -1
    cdef int _reserve(self, int ops, int vals, int operands) except -1
    cdef int _array_type(self, object value) except -1
    cdef int truncate(self, int n_ops) except -1
    cdef int widest(self) noexcept
    cdef int take(self, Tape other, int k, int *value) except -1
    cdef ValueType type_of(self, int value)
    cdef int constant(self, object value, int line) except -1
    cdef object _column(self, void *memory, Py_ssize_t n, int type_number)
