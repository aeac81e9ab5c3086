from sparsead.tape._tape cimport Tape

cdef signed char[::1] consuming()
cdef int[::1] last_uses(Tape tape)
cdef int consumed(Tape tape, int k, signed char[::1] consumes) except -1
