"""Kernels on tiles in C (``simd/``): arithmetic bit for bit as NumPy's, and vector functions, for the CPU at hand.

Compiled modules take `find_loop` from the ``.pxd`` and call what it gives them without the GIL. What is here for Python
serves tests and benchmarks. The environment variable ``SPARSEAD_SIMD`` names an instruction set to use instead of the
fastest one.
"""
from libc.stdint cimport intptr_t

import os

from numpy import broadcast_shapes, ndarray


cdef extern from "simd.h" nogil:
    ctypedef struct simd_kernel:
        const char *name
        char type
        int operands
        simd_loop loop

    const char *simd_isa_name(int)
    const char *simd_isa()
    int simd_choose_isa(const char *)
    const simd_kernel *simd_find(const char *, char)
    const simd_kernel *simd_kernel_at(int)


COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")


cdef simd_loop find_loop(const char *name, char type) noexcept nogil:
    cdef const simd_kernel *kernel = simd_find(name, type)
    return kernel.loop if kernel != NULL else NULL


def isas():
    """Names of the instruction sets that this build has and this CPU runs, the slowest first."""
    cdef int i = 0
    names = []
    while simd_isa_name(i) != NULL:
        names.append(simd_isa_name(i).decode())
        i += 1
    return tuple(names)


def isa():
    """Name of the instruction set in use."""
    return simd_isa().decode()


def choose_isa(name):
    """Use another instruction set for all kernels that are looked up from now on.

    Parameters
    ----------
    name : str
        One of `isas`.

    Raises
    ------
    ValueError
        If this build or this CPU has no such set; nothing changes then.

    Examples
    --------
    >>> choose_isa("baseline")
    """
    if simd_choose_isa(name.encode()):
        raise ValueError(f"no instruction set {name!r} here, only {', '.join(isas())}")


def kernels():
    """Name, type and number of operands of each kernel, as in ``("muladd", "d", 3)``; types as in ``dtype.char``."""
    cdef int i = 0
    rows = []
    while simd_kernel_at(i) != NULL:
        rows.append((simd_kernel_at(i).name.decode(), chr(simd_kernel_at(i).type), simd_kernel_at(i).operands))
        i += 1
    return rows


cdef const simd_kernel *kernel_of(bytes name, str type) except NULL:
    cdef const simd_kernel *kernel = simd_find(name, <char> ord(type))
    if kernel == NULL:
        raise KeyError(f"no kernel {name.decode()!r} for {type!r}")
    return kernel


def types_of(name, type, operands):
    """`dtype.char` of each operand and of the result of a kernel."""
    first = "?" if name == "select" else type
    result = "?" if name in COMPARISONS else type
    return first + type * (operands - 1) + result


def lookup(bytes name, str type="d"):
    """Address of a kernel, a C function with the signature of NumPy's inner loops.

    Parameters
    ----------
    name : bytes
    type : str
        `dtype.char` of the operands: ``"d"``, ``"f"`` or ``"?"``.

    Raises
    ------
    KeyError
        If there is none.

    Examples
    --------
    >>> address = lookup(b"exp")
    """
    return <intptr_t> kernel_of(name, type).loop


def call(bytes name, *arrays, str type="d", int repeats=1):
    """Run a kernel on arrays of one dimension, through any strides.

    Parameters
    ----------
    name : bytes
    *arrays : ndarray
        Operands of length n, or 1 for one value for all; last the result, of length n (1 for a sum). Operands are of the
        kernel's type, but for the mask of a selection; nothing is cast. Unaligned arrays are welcome.
    type : str
        As in `lookup`.
    repeats : int
        Number of times; for benchmarks, which want no Python between two calls.

    Raises
    ------
    KeyError
        If there is no such kernel.
    ValueError
        If there are too few or too many arrays, or one has another type, length, dimension or byte order.

    Examples
    --------
    >>> import numpy as np
    >>> out = np.empty(3)
    >>> call(b"muladd", np.arange(3.0), np.array([2.0]), np.ones(3), out)
    >>> out
    array([1., 3., 5.])
    """
    cdef const simd_kernel *kernel = kernel_of(name, type)
    cdef char *args[4]
    cdef intptr_t steps[4]
    cdef intptr_t n, address
    cdef simd_loop loop = kernel.loop
    cdef int i, _repeat
    if len(arrays) != kernel.operands + 1:
        raise ValueError(f"{name.decode()} takes {kernel.operands} operands and a result, not {len(arrays)} arrays")
    for array, char in zip(arrays, types_of(name.decode(), type, kernel.operands)):
        if not isinstance(array, ndarray) or array.ndim != 1 or array.dtype.char != char or not array.dtype.isnative:
            raise ValueError(f"{name.decode()} takes arrays of one dimension of dtype {char!r} here, in native byte order")
    reduces = name in (b"sum", b"dot")
    n = broadcast_shapes(*[array.shape for array in arrays[:kernel.operands]])[0]
    result = arrays[kernel.operands]
    if len(result) != (1 if reduces else n):
        raise ValueError(f"the result has {len(result)} elements, not {1 if reduces else n}")
    if not result.flags.writeable:
        raise ValueError("the result is read-only")
    for i, array in enumerate(arrays):
        address = array.ctypes.data
        args[i] = <char *> address
        steps[i] = array.strides[0] if len(array) == n else 0
    with nogil:
        for _repeat in range(repeats):
            loop(args, &n, steps, NULL)


if "SPARSEAD_SIMD" in os.environ:
    choose_isa(os.environ["SPARSEAD_SIMD"])
