"""Linear storage: every version of a storage is ended by one op, and that is its last use.

Law: where a consumed value is still wanted afterwards, a copy of it is consumed instead. The values of a tape stay what
they were; after this pass an engine may run every `store` in place.
"""
import numpy as np
from numpy import array, full, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.tape._tape import checked
from sparsead.tape.spec import OPS

from sparsead.tape._tape cimport CONST, COPY, INPUT, Tape, has_bodies

consuming_codes = None


cdef signed char[::1] consuming():
    """Flags by op code: ops that end their first operand."""
    global consuming_codes
    if consuming_codes is None:
        consuming_codes = array([op is not None and op.consumes for op in OPS], np.int8)
    return consuming_codes


cdef int[::1] last_uses(Tape tape):
    """Index of the last op that reads each value; ``len(tape)`` for outputs; -1 for unread values."""
    last = full(tape.n_vals + 1, -1, np.intc)
    cdef int[::1] view = last
    cdef int k, j
    for k in range(tape.n_ops):
        for j in range(tape.start[k], tape.start[k + 1]):
            view[tape.operand[j]] = k
    for v in tape.outputs:
        view[v] = tape.n_ops
    return last


cdef int consumed(Tape tape, int k, signed char[::1] consumes) except -1:
    """How many of its first operands op `k` ends."""
    if has_bodies(tape.code[k]):
        return tape.pool.attrs[tape.attr[k]].carries
    return consumes[tape.code[k]]


def ended(Tape tape):
    """Flags: values whose memory an op overwrites."""
    flags = zeros(tape.n_vals + 1, np.int8)
    cdef signed char[::1] view = flags, consumes = consuming()
    cdef int k, j
    for k in range(tape.n_ops):
        for j in range(consumed(tape, k, consumes)):
            view[tape.operand[tape.start[k] + j]] = 1
    return memoryview(flags)


def copies_needed(Tape tape, owned=()):
    """(op, position of the operand) wherever an op consumes a value that is read again, or is not the tape's own.

    `owned` are inputs (values) that the tape may overwrite.
    """
    cdef signed char[::1] consumes = consuming()
    cdef int[::1] last = last_uses(tape)
    cdef int k, j, x
    own = set(owned)
    found = []
    for k in range(tape.n_ops):
        for j in range(consumed(tape, k, consumes)):
            x = tape.operand[tape.start[k] + j]
            maker = tape.code[tape.vop[x]]
            if last[x] > k or (maker == INPUT and x not in own) or maker == CONST or _again(tape, k, j):
                found.append((k, j))
    return found


cdef bint _again(Tape tape, int k, int position):
    """Whether op `k` reads the same value by a later operand too."""
    cdef int j, x = tape.operand[tape.start[k] + position]
    for j in range(tape.start[k] + position + 1, tape.start[k + 1]):
        if tape.operand[j] == x:
            return True
    return False


def linearize(Tape tape, owned=()):
    """`tape` with the copies that make its storages linear; the same object when none is needed."""
    places = copies_needed(tape, owned)
    if not places:
        return checked(tape, linear=True, owned=owned)
    cdef Tape new = tape.fresh()
    cdef int[::1] value = zeros(tape.n_vals + 1, np.intc)
    cdef int k, j, x, at = 0
    for k in range(tape.n_ops):
        copies = []
        while at < len(places) and places[at][0] == k:
            j = places[at][1]
            x = tape.operand[tape.start[k] + j]
            copies.append((j, new.emit1(COPY, value[x], -1, 0, tape.line[k], tape.vtype[x])))
            at += 1
        new.take(tape, k, &value[0])
        for j, x in copies:
            new.operand[new.start[new.n_ops - 1] + j] = x
    new.inputs = [value[v] for v in tape.inputs]
    new.outputs = [value[v] for v in tape.outputs]
    new.names = {value[v]: name for v, name in tape.names.items()}
    return checked(new, linear=True, owned=[value[v] for v in owned])
