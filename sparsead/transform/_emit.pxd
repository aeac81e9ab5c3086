from sparsead.tape._tape cimport Tape, ValueType, offset_t


cdef class CompiledTemplate:
    cdef readonly int nin, nout
    cdef bint strong
    cdef int[::1] codes, counts, refs           # instructions; three references each
    cdef int[::1] root_refs, masks              # by (result, operand)
    cdef double[::1] root_consts
    cdef signed char[::1] root_is_const
    cdef signed char[::1] singular              # by (result, operand): may be infinite at finite points
    cdef list orders                            # by (result, operand): int[::1] of instructions needed
    cdef double[::1] consts


cdef CompiledTemplate compiled(int code)
cdef CompiledTemplate compiled_for(Tape tape, int k)
cdef bint is_complex(Tape tape, int k) except -1
cdef bint has_complex(Tape tape) except -1


cdef class Emitter:
    cdef readonly Tape tape
    cdef public int line
    cdef dict _types, _consts, _zeros, _views
    cdef int elementwise(self, int code, const int *args, int n) except -1
    cdef int _of_mixed(self, int code, const int *args, int n) except -1
    cdef int ew1(self, int code, int a) except -1
    cdef int ew2(self, int code, int a, int b) except -1
    cdef int number(self, double c, object dtype) except -1
    cdef int conjugated(self, int v) except -1
    cdef int factor(self, int p) except -1
    cdef int partial(self, CompiledTemplate t, int root, const int *refs, int *temps) except -1
    cdef int product(self, int g, CompiledTemplate t, int root, const int *refs, int *temps,
                     bint strong) except -1
    cdef object _dtype_among(self, CompiledTemplate t, int k, const int *refs, int *temps)
    cdef int add2(self, int a, int b) except -1
    cdef int fit(self, int g, int vtype) except -1
    cdef int spread(self, int v, int vtype) except -1
    cdef int laid(self, int v, int vtype) except -1
    cdef int zeros_of(self, int vtype) except -1
    cdef int view_type(self, int attr) except -1
    cdef int load_attr(self, int v, int attr, offset_t imm) except -1
    cdef list many(self, int code, operands, object attr, vtypes)
    cdef int window(self, int code, operands, int attr, offset_t imm, int vtype) except -1
    cdef int whole_view(self, int vtype) except -1
