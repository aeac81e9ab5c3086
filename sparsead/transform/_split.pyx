"""Split a tape with a reverse sweep into a forward tape and a reverse tape.

Law: what the forward half makes and the reverse half reads becomes an output of the one and an input of the other.
"""
import numpy as np
from numpy import full, ones, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.tape._tape import checked

from sparsead.tape._tape cimport CONST, GUARD, INPUT, Tape
from sparsead.transform._linear cimport consumed, consuming


def split(Tape tape, int n_seeds):
    """(forward, reverse) of a tape whose last `n_seeds` inputs begin the reverse sweep.

    Parameters
    ----------
    tape : Tape
        Outputs: those of the forward sweep, then the adjoints.
    n_seeds : int

    Returns
    -------
    forward : Tape
        Outputs: all values that the reverse tape reads, in the order of its first inputs.
    reverse : Tape
        Inputs: the residuals, then the seeds. Outputs: those of `tape` that need the seeds or are read by nobody else.
    """
    first_seed = tape.inputs[len(tape.inputs) - n_seeds]
    cdef int begin = tape.vop[first_seed], k, v
    forward, reverse = tape.fresh(), tape.fresh()
    cdef Tape half
    cdef int[::1] a = full(tape.n_vals + 1, -1, np.intc), b = full(tape.n_vals + 1, -1, np.intc)
    residuals = _crossing(tape, begin)
    for v in residuals:
        if tape.code[tape.vop[v]] == CONST:
            k = tape.vop[v]
            b[v] = (<Tape> reverse).emit0(CONST, tape.attr[k], 0, tape.line[k], tape.vtype[v])
        else:
            b[v] = (<Tape> reverse).emit0(INPUT, -1, 0, -1, tape.vtype[v])
            reverse.inputs.append(b[v])
    for k in range(tape.n_ops):
        half = forward if k < begin else reverse
        half.take(tape, k, &a[0] if k < begin else &b[0])
        if tape.code[k] == INPUT:
            half.inputs.append(half.n_vals - 1)
    forward.outputs = [a[v] for v in residuals if tape.code[tape.vop[v]] != CONST]
    reverse.outputs = [b[v] for v in tape.outputs]
    return checked(forward), checked(reverse)


def _crossing(Tape tape, int begin):
    """Values made before op `begin` and read from it on, or given out."""
    cdef int k, j, v
    crossing = {}
    for k in range(begin, tape.n_ops):
        for j in range(tape.start[k], tape.start[k + 1]):
            v = tape.operand[j]
            if tape.vop[v] < begin:
                crossing[v] = True
    for v in tape.outputs:
        if tape.vop[v] < begin:
            crossing[v] = True
    return list(crossing)


def bind(Tape tape, values):
    """`tape` with inputs replaced by constants.

    Parameters
    ----------
    values : dict
        Position in ``tape.inputs`` -> array, dense and of the input's layout.
    """
    cdef Tape new = tape.fresh()
    cdef int k, first
    cdef int[::1] value = zeros(tape.n_vals + 1, np.intc)
    constants = {tape.inputs[p]: array for p, array in values.items()}
    for k in range(tape.n_ops):
        first = tape.out[k]
        if tape.code[k] == INPUT and first in constants:
            value[first] = new.constant(constants[first], -1)
        else:
            new.take(tape, k, &value[0])
    new.inputs = [value[v] for p, v in enumerate(tape.inputs) if p not in values]
    new.outputs = [value[v] for v in tape.outputs]
    new.names = {value[v]: name for v, name in tape.names.items()}
    return checked(new)


def sift(Tape tape, int n_seeds):
    """`tape` in another order: what the last `n_seeds` inputs do not reach comes before them.

    The order of stores to one storage changes only between storages that seeds reach and those they do not.
    """
    cdef int k, j
    seeds = set(tape.inputs[len(tape.inputs) - n_seeds:])
    cdef signed char[::1] reached = zeros(tape.n_vals + 1, np.int8)
    cdef signed char[::1] is_late = zeros(tape.n_ops + 1, np.int8)
    for k in range(tape.n_ops):
        for j in range(tape.start[k], tape.start[k + 1]):
            is_late[k] |= reached[tape.operand[j]]
        if tape.code[k] == INPUT and tape.out[k] in seeds:
            is_late[k] = True
        for j in range(tape.out[k], tape.out[k + 1]):
            reached[j] = is_late[k]
    return _reordered(tape, is_late)


def guards_first(Tape tape):
    """`tape` in another order: guards, and what they are computed from, come first, so that a wrong path ends early.

    Guards that look at memory which is written on the way stay behind the writing. So loops stay where they are, as they write to
    what they carry, and effects keep their order and come after the guards that came before them.
    """
    cdef int k, j
    cdef signed char[::1] written = zeros(tape.n_vals + 1, np.int8)
    cdef signed char[::1] asked = zeros(tape.n_vals + 1, np.int8)
    cdef signed char[::1] is_late = ones(tape.n_ops + 1, np.int8)
    cdef signed char[::1] consumes = consuming()
    for k in range(tape.n_ops):
        for j in range(tape.out[k], tape.out[k + 1]):
            written[j] = consumed(tape, k, consumes) > 0
        for j in range(tape.start[k], tape.start[k + 1]):
            if written[tape.operand[j]] and tape.out[k] < tape.out[k + 1]:
                written[tape.out[k]:tape.out[k + 1]] = 1
    for k in range(tape.n_ops - 1, -1, -1):
        if tape.code[k] == GUARD and not written[tape.operand[tape.start[k]]]:
            is_late[k] = False
        for j in range(tape.out[k], tape.out[k + 1]):
            if asked[j]:
                is_late[k] = False
        if not is_late[k]:
            for j in range(tape.start[k], tape.start[k + 1]):
                asked[tape.operand[j]] = True
    return _reordered(tape, is_late)


cdef Tape _reordered(Tape tape, signed char[::1] is_late):
    """`tape` with its late ops behind the others."""
    cdef int k, late
    cdef Tape new = tape.fresh()
    cdef int[::1] value = zeros(tape.n_vals + 1, np.intc)
    for late in range(2):
        for k in range(tape.n_ops):
            if is_late[k] == late:
                new.take(tape, k, &value[0])
    new.inputs = [value[v] for v in tape.inputs]
    new.outputs = [value[v] for v in tape.outputs]
    new.names = {value[v]: name for v, name in tape.names.items()}
    return checked(new)
