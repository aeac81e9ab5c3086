"""Linear storage: every version of a storage is ended by one op, and that is its last use.

Law: where a consumed value is still wanted afterwards, a copy of it is consumed instead. The values of a tape stay what
they were; after this pass an engine may run every `store` in place.
"""
import numpy as np
from numpy import array, full, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.tape.spec import OPS

from sparsead.tape._tape cimport CONST, COPY, INPUT, Tape

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


cdef bint _must_copy(Tape tape, int k, int[::1] last):
    cdef int x = tape.operand[tape.start[k]]
    cdef int maker = tape.code[tape.vop[x]]
    return last[x] > k or maker == INPUT or maker == CONST


def copies_needed(Tape tape):
    """Indices of the ops that consume a value which is read later (or is not the tape's own)."""
    cdef signed char[::1] consumes = consuming()
    cdef int[::1] last = last_uses(tape)
    cdef int k
    return [k for k in range(tape.n_ops) if consumes[tape.code[k]] and _must_copy(tape, k, last)]


def linearize(Tape tape):
    """`tape` with the copies that make its storages linear; the same object when none is needed."""
    violations = copies_needed(tape)
    if not violations:
        return tape
    cdef Tape new = tape.fresh()
    cdef int[::1] value = zeros(tape.n_vals + 1, np.intc)
    cdef int k, j, n, first, x, next_copy = 0
    cdef int[64] mapped
    for k in range(tape.n_ops):
        n = tape.start[k + 1] - tape.start[k]
        if n > 64:
            raise ValueError(f"an op has {n} operands; at most 64 are supported")
        for j in range(n):
            mapped[j] = value[tape.operand[tape.start[k] + j]]
        if next_copy < len(violations) and violations[next_copy] == k:
            next_copy += 1
            x = tape.operand[tape.start[k]]
            mapped[0] = new.emit1(COPY, mapped[0], -1, 0, tape.line[k], tape.vtype[x])
        first = new.emit_many(tape.code[k], mapped, n, tape.attr[k], tape.imm[k], tape.line[k],
                              tape.vtype + tape.out[k], tape.out[k + 1] - tape.out[k])
        for j in range(tape.out[k + 1] - tape.out[k]):
            value[tape.out[k] + j] = first + j
    new.inputs = [value[v] for v in tape.inputs]
    new.outputs = [value[v] for v in tape.outputs]
    new.names = {value[v]: name for v, name in tape.names.items()}
    return new
