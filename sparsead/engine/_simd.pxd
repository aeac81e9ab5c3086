from libc.stdint cimport intptr_t

ctypedef void (*simd_loop)(char **args, const intptr_t *dimensions, const intptr_t *steps, void *data) noexcept nogil

# NULL where there is no such kernel; the signature is that of NumPy's inner loops, see simd/simd.h.
cdef simd_loop find_loop(const char *name, char type) noexcept nogil
