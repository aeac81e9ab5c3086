from sparsead.tape._tape cimport Tape

cdef bint inactive(Tape tape, int k) except -1
cdef int refuse(Tape tape, int k) except -1
cdef tuple flags_of(Tape tape, int k, const signed char[::1] flags)
