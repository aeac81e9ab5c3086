"""Which values depend on which.

Law: a result depends on what its op reads; a floating result depends by a derivative on what its op has partials by. The
flags of a loop's results and operands are fixed points, see `sparsead.transform.loops.activity`.
"""
import numpy as np
from numpy import asarray, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.ops.table import CODE_OF_NAME
from sparsead.tape.spec import OPS

from sparsead.tape._tape cimport (ACCUMULATE_AT, CONST, ELEMENTWISE, EMPTY, GUARD, INPUT, LOAD_AT, LOOP, STORE_AT, SUM, ZEROS,
                                  Tape)
from sparsead.transform._emit cimport compiled

cdef int SELECT = CODE_OF_NAME["select"]


cdef bint inactive(int code):
    """Whether no result of such an op has a derivative."""
    if code >= ELEMENTWISE:
        return compiled(code) is None and code != SELECT
    if code <= SUM:
        return code == INPUT or code == CONST or code == ZEROS or code == EMPTY or code == GUARD
    if code == LOAD_AT or code == STORE_AT or code == ACCUMULATE_AT or code == LOOP:
        return False
    return OPS[code].adjoint is None


cdef tuple flags_of(Tape tape, int k, const signed char[::1] flags):
    """The flags of the operands of op `k`."""
    cdef int j
    return tuple([bool(flags[tape.operand[j]]) for j in range(tape.start[k], tape.start[k + 1])])


def reached(Tape tape, inputs):
    """Flags of the values that are made from flagged inputs."""
    return spread(tape, inputs, False)


def varied(Tape tape, inputs):
    """Flags of the values that have a derivative by flagged inputs."""
    return spread(tape, inputs, True)


cdef object spread(Tape tape, inputs, bint by_derivative):
    from sparsead.transform.loops.activity import reached_carries, varied_carries
    cdef signed char[::1] flags = zeros(tape.n_vals + 1, np.int8)
    cdef int k, j, z
    cdef bint hit
    for v, flag in zip(tape.inputs, inputs, strict=True):
        flags[v] = flag
    for k in range(tape.n_ops):
        hit = False
        for j in range(tape.start[k], tape.start[k + 1]):
            hit = hit or flags[tape.operand[j]]
        if not hit or by_derivative and inactive(tape.code[k]):
            continue
        if tape.code[k] == LOOP:
            law = varied_carries if by_derivative else reached_carries
            for j, hit in enumerate(law(tape.pool.attrs[tape.attr[k]], flags_of(tape, k, flags))):
                z = tape.out[k] + j
                flags[z] = hit and (not by_derivative or tape.type_of(z).inexact)
        else:
            for z in range(tape.out[k], tape.out[k + 1]):
                flags[z] = not by_derivative or tape.type_of(z).inexact
    return asarray(flags)


def useful(Tape tape, const signed char[::1] varying, outputs):
    """Flags of the values by which a flagged output has a derivative; `varying` are the flags of `varied`."""
    from sparsead.transform.loops.activity import useful_operands
    cdef signed char[::1] flags = zeros(tape.n_vals + 1, np.int8)
    cdef int k, j, z
    cdef bint hit
    for v, flag in zip(tape.outputs, outputs, strict=True):
        flags[v] |= flag
    for k in range(tape.n_ops - 1, -1, -1):
        if inactive(tape.code[k]):
            continue
        hit = False
        for z in range(tape.out[k], tape.out[k + 1]):
            hit = hit or flags[z] and varying[z]
        if not hit:
            continue
        if tape.code[k] == LOOP:
            results = tuple([bool(flags[z] and varying[z]) for z in range(tape.out[k], tape.out[k + 1])])
            found = useful_operands(tape.pool.attrs[tape.attr[k]], flags_of(tape, k, varying), results)
            for j in range(len(found)):
                flags[tape.operand[tape.start[k] + j]] |= <bint> found[j]
        else:
            for j in range(tape.start[k], tape.start[k + 1]):
                flags[tape.operand[j]] = 1
    return asarray(flags)
