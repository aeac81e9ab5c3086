"""What of a tape is the same at every call: index arrays, masks and constant matrices that shape a pattern.

Law: a value is known if it is made of constants and of inputs that are given. Known values are computed by the reference
interpreter, from the piece of the tape that makes them.
"""
import numpy as np

from sparsead.engine.reference import Program
from sparsead.ops.table import CODE_OF_NAME
from sparsead.tape.spec import BY_NAME
from sparsead.transform.loops.rewrite import without_effects

from sparsead.tape._tape cimport (ACCUMULATE_AT, CONST, EMPTY, GATHER, LOAD_AT, SCATTER, SCATTER_ADD, STORE_AT, Tape,
                                  has_bodies)

cdef int MULTIPLY = CODE_OF_NAME["multiply"]
cdef int STRONG_MULTIPLY = CODE_OF_NAME["strong_multiply"]
cdef int SELECT = CODE_OF_NAME["select"]
cdef int EINSUM = BY_NAME["einsum"].code


def known_values(Tape tape, dict given):
    """Contents of the values that shape a pattern, as far as they are known.

    Parameters
    ----------
    tape : Tape
    given : dict of int to array_like
        Contents of inputs, by value.

    Returns
    -------
    dict of int to ndarray
        By value: positions of gathers and scatters, conditions of selects, factors of products.
    """
    cdef signed char[::1] varies = reached_from(tape, [v for v in tape.inputs if v not in given])
    cdef signed char[::1] wanted = shaping(tape)
    cdef int v
    known, computed = {}, []
    for v in range(tape.n_vals):
        if not wanted[v] or varies[v]:
            continue
        if tape.code[tape.vop[v]] == CONST:
            known[v] = np.asarray(tape.pool.consts[tape.attr[tape.vop[v]]])
        elif v in given:
            known[v] = np.asarray(given[v])
        else:
            computed.append(v)
    if computed:
        piece, inputs = excerpt(tape, computed)
        results = Program(without_effects(piece)).run([np.asarray(given[v]) for v in inputs])
        known.update(zip(computed, results))
    return known


def index_inputs(Tape tape, wrt):
    """Inputs (values) that index arrays are computed from; those that depend on `wrt` (values) as well are left out."""
    cdef signed char[::1] varies = reached_from(tape, wrt)
    cdef signed char[::1] needed = np.zeros(tape.n_vals + 1, np.int8)
    cdef int k, v
    for k in range(tape.n_ops):
        for v in indices(tape, k):
            needed[v] = not varies[v]
    mark_makers(tape, needed)
    return [v for v in tape.inputs if needed[v]]


cdef tuple indices(Tape tape, int k):
    """Operands of op `k` that say where something is; for a loop or a branch all integer invariants, one of which may."""
    cdef int code = tape.code[k], first = tape.start[k], last = tape.start[k + 1], j
    if code == GATHER or code == SCATTER or code == SCATTER_ADD:
        return (tape.operand[first + 1],)
    if code == LOAD_AT or code == STORE_AT or code == ACCUMULATE_AT:
        return tuple([tape.operand[j] for j in range(first + 1 + (code != LOAD_AT), last)])
    if has_bodies(code):
        return tuple([tape.operand[j] for j in range(first + tape.out[k + 1] - tape.out[k], last)
                      if not tape.type_of(tape.operand[j]).inexact])
    return ()


cdef signed char[::1] reached_from(Tape tape, values):
    """Flags of the values that depend on any of `values`, or on undefined memory."""
    cdef signed char[::1] reached = np.zeros(tape.n_vals + 1, np.int8)
    cdef int k, j, v
    cdef signed char hit
    for v in values:
        reached[v] = 1
    for k in range(tape.n_ops):
        hit = tape.code[k] == EMPTY
        for j in range(tape.start[k], tape.start[k + 1]):
            hit |= reached[tape.operand[j]]
        if hit:
            for v in range(tape.out[k], tape.out[k + 1]):
                reached[v] = 1
    return reached


cdef signed char[::1] shaping(Tape tape):
    """Flags of the operands whose contents make a pattern sparser. Scalar factors are left to the sweep itself."""
    cdef signed char[::1] flags = np.zeros(tape.n_vals + 1, np.int8)
    cdef int k, j, code
    cdef int *operand
    for k in range(tape.n_ops):
        code, operand = tape.code[k], tape.operand + tape.start[k]
        for j in indices(tape, k):
            flags[j] = 1
        if code == EINSUM or ((code == MULTIPLY or code == STRONG_MULTIPLY) and tape.type_of(tape.out[k]).size > 1):
            for j in range(tape.start[k + 1] - tape.start[k]):
                flags[operand[j]] = 1
        elif code == SELECT and tape.type_of(tape.out[k]).size > 1:
            flags[operand[0]] = 1
    return flags


cdef int mark_makers(Tape tape, signed char[::1] needed) except -1:
    """Flag all that the flagged values are made of."""
    cdef int k, j, v
    cdef bint hit
    for k in range(tape.n_ops - 1, -1, -1):
        hit = False
        for v in range(tape.out[k], tape.out[k + 1]):
            hit = hit or needed[v]
        if hit:
            for j in range(tape.start[k], tape.start[k + 1]):
                needed[tape.operand[j]] = 1
            for v in range(tape.out[k], tape.out[k + 1]):
                needed[v] = 1
    return 0


cdef tuple excerpt(Tape tape, list outputs):
    """The piece of `tape` that makes `outputs`, and the values of `tape` that are its inputs. Guards are left out."""
    cdef Tape piece = tape.fresh()
    cdef signed char[::1] needed = np.zeros(tape.n_vals + 1, np.int8)
    cdef int[::1] value = np.zeros(tape.n_vals + 1, np.intc)
    cdef int[:] operands
    cdef int k, j, n, first, n_out
    for v in outputs:
        needed[v] = 1
    mark_makers(tape, needed)
    for k in range(tape.n_ops):
        n, n_out = tape.start[k + 1] - tape.start[k], tape.out[k + 1] - tape.out[k]
        if n_out == 0 or not needed[tape.out[k]]:
            continue
        operands = np.zeros(n + 1, np.intc)
        for j in range(n):
            operands[j] = value[tape.operand[tape.start[k] + j]]
        first = piece.emit_many(tape.code[k], &operands[0], n, tape.attr[k], tape.imm[k], tape.line[k],
                                tape.vtype + tape.out[k], n_out)
        for j in range(n_out):
            value[tape.out[k] + j] = first + j
    inputs = [v for v in tape.inputs if needed[v]]
    piece.inputs = [value[v] for v in inputs]
    piece.outputs = [value[v] for v in outputs]
    return piece, inputs
