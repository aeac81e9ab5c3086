from sparsead.tape._tape cimport Tape

cdef bint inactive(int code)
cdef tuple flags_of(Tape tape, int k, const signed char[::1] flags)
