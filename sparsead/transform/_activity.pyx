"""Which values depend on which.

Law: a result depends on what its op reads; a floating result depends by a derivative on what its op has partials by. For
loops and branches see `sparsead.transform.loops.activity` and `sparsead.transform.branches.activity`.
"""
import numpy as np
from numpy import asarray, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.ops.table import CODE_OF_NAME
from sparsead.tape.spec import OPS

from sparsead.tape._tape cimport (ACCUMULATE_AT, CONST, ELEMENTWISE, EMPTY, GUARD, INPUT, LOAD_AT, LOOP, STORE_AT, SUM, ZEROS,
                                  Tape, has_bodies)
from sparsead.transform._emit cimport compiled

cdef int SELECT = CODE_OF_NAME["select"]


cdef bint inactive(Tape tape, int k) except -1:
    """Whether no result of op `k`, which a derivative meets, has one."""
    cdef int code = tape.code[k]
    if code >= ELEMENTWISE:
        return compiled(code) is None and code != SELECT
    if code <= SUM:
        return code == INPUT or code == CONST or code == ZEROS or code == EMPTY or code == GUARD
    if code == LOAD_AT or code == STORE_AT or code == ACCUMULATE_AT or has_bodies(code):
        return False
    if OPS[code].adjoint is None and not OPS[code].inactive:
        refuse(tape, k)
    return OPS[code].inactive


cdef int refuse(Tape tape, int k) except -1:
    """Nobody knows whether op `k` has a derivative."""
    line = tape.op(k).line
    where = "" if line is None else f" at {line[0]}:{line[1]}"
    raise TypeError(f"op {OPS[tape.code[k]].name}{where} has no rule for derivatives")


cdef object laws_of(int code):
    """The module with the laws of activity for loops, or for branches."""
    from sparsead.transform.branches import activity as of_branches
    from sparsead.transform.loops import activity as of_loops
    return of_loops if code == LOOP else of_branches


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
    cdef signed char[::1] flags = zeros(tape.n_vals + 1, np.int8)
    cdef int k, j, z
    cdef bint hit
    for v, flag in zip(tape.inputs, inputs, strict=True):
        flags[v] = flag
    for k in range(tape.n_ops):
        hit = False
        for j in range(tape.start[k], tape.start[k + 1]):
            hit = hit or flags[tape.operand[j]]
        if not hit or by_derivative and inactive(tape, k):
            continue
        if has_bodies(tape.code[k]):
            laws = laws_of(tape.code[k])
            law = laws.varied_carries if by_derivative else laws.reached_carries
            for j, hit in enumerate(law(tape.pool.attrs[tape.attr[k]], flags_of(tape, k, flags))):
                z = tape.out[k] + j
                flags[z] = hit and (not by_derivative or tape.type_of(z).inexact)
        else:
            for z in range(tape.out[k], tape.out[k + 1]):
                flags[z] = not by_derivative or tape.type_of(z).inexact
    return asarray(flags)


def useful(Tape tape, const signed char[::1] varying, outputs):
    """Flags of the values by which a flagged output has a derivative; `varying` are the flags of `varied`."""
    cdef signed char[::1] flags = zeros(tape.n_vals + 1, np.int8)
    cdef int k, j, z
    cdef bint hit
    for v, flag in zip(tape.outputs, outputs, strict=True):
        flags[v] |= flag
    for k in range(tape.n_ops - 1, -1, -1):
        hit = False
        for z in range(tape.out[k], tape.out[k + 1]):
            hit = hit or flags[z] and varying[z]
        if not hit or inactive(tape, k):
            continue
        if has_bodies(tape.code[k]):
            results = tuple([bool(flags[z] and varying[z]) for z in range(tape.out[k], tape.out[k + 1])])
            found = laws_of(tape.code[k]).useful_operands(tape.pool.attrs[tape.attr[k]], flags_of(tape, k, varying), results)
            for j in range(len(found)):
                flags[tape.operand[tape.start[k] + j]] |= <bint> found[j]
        else:
            for j in range(tape.start[k], tape.start[k + 1]):
                flags[tape.operand[j]] = 1
    return asarray(flags)
