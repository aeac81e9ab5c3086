"""Arrays of zeros begin with what is added to them first.

Law: the outputs keep their bits. What is added to zeros is stored, as ``0.0 + v`` (which is not ``v`` where that is -0.0), and
zeros are stored only where nothing is: in a few boxes, if any. An array of zeros stays one where that would not be most of it.
"""
from numpy import full, intc, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.tape._tape import checked
from sparsead.transform import boxes as sections
from sparsead.transform.boxes import cover, exact, pieces, section, size, whole, without

from sparsead.ops.table import CODE_OF_NAME

from sparsead.tape._tape cimport ACCUMULATE, EMPTY, STORE, ZEROS, Tape, ValueType
from sparsead.transform._emit cimport Emitter
from sparsead.transform._linear cimport consumed, consuming

cdef int ADD = CODE_OF_NAME["add"]
cdef int STORES = 4      # that take the place of additions
cdef int REST = 6        # boxes of zeros, at most


def begun(Tape tape, owned=()):
    """A tape with stores in the place of first additions to arrays of zeros; the same object if there are none.

    Parameters
    ----------
    tape : Tape
        Linear (`sparsead.transform._linear`).
    owned : sequence of int
        Inputs (values) that it may overwrite.
    """
    cdef int k, least = sections.LEAST
    empty, stores, rests = {}, {}, {}
    cdef int[::1] uses = None, consumer = None
    for k in range(tape.n_ops):
        if tape.code[k] == ZEROS and tape.type_of(tape.out[k]).size >= least and tape.type_of(tape.out[k]).dtype.kind in "fc":
            if uses is None:
                uses, consumer = _uses(tape)
            _begin(tape, k, uses, consumer, empty, stores, rests)
    return _written(tape, owned, empty, stores, rests) if empty else tape


cdef tuple _uses(Tape tape):
    """(how often each value is read, the op that consumes it or -1)."""
    cdef int[::1] uses = zeros(tape.n_vals + 1, intc), consumer = full(tape.n_vals + 1, -1, intc)
    cdef signed char[::1] consumes = consuming()
    cdef int k, j
    for k in range(tape.n_ops):
        for j in range(tape.start[k], tape.start[k + 1]):
            uses[tape.operand[j]] += 1
        for j in range(consumed(tape, k, consumes)):
            consumer[tape.operand[tape.start[k] + j]] = k
    for v in tape.outputs:
        uses[v] += 1
    return uses, consumer


cdef int _begin(Tape tape, int k, int[::1] uses, int[::1] consumer, empty, stores, rests) except -1:
    """Note, for zeros made by op `k`, which additions become stores, and where zeros are stored; nothing where that does not pay.

    They are stored behind the first one of the others if nothing comes before it, so that it need not wait for them.
    """
    cdef ValueType t = tape.type_of(tape.out[k])
    cdef int z = tape.out[k], e
    all_of_it = whole(t)
    if all_of_it is None:
        return 0
    rest, first = [all_of_it], []
    while uses[z] == 1 and consumer[z] >= 0 and len(first) < STORES:
        e = consumer[z]
        if tape.code[e] != ACCUMULATE and tape.code[e] != STORE:
            break
        view = tape.pool.attrs[tape.attr[e]]
        place = exact(view, tape.imm[e], t)
        if place is not None and _fits(tape, e) and (tape.code[e] == STORE or _untouched(rest, place.box)):
            rest = without(rest, place.box)
            first.append(e)
        elif pieces(rest, cover(view, tape.imm[e], t)):
            break
        z = tape.out[e]
    if len(rest) <= REST and 2 * sum([size(box) for box in rest]) <= t.size:
        empty[k] = True
        rests[first[0] if first[0] == consumer[tape.out[k]] else k] = rest
        for e in first:
            if tape.code[e] == ACCUMULATE:
                stores[e] = True
    return 0


cdef bint _fits(Tape tape, int k) except -1:
    """Whether what is stored or added has the shape and the dtype of its window."""
    cdef ValueType t = tape.type_of(tape.operand[tape.start[k] + 1])
    view = tape.pool.attrs[tape.attr[k]]
    return (t.shape, t.dtype) == (view.shape, view.dtype)


cdef bint _untouched(rest, box):
    return sum([size(piece) for piece in pieces(rest, box)]) == size(box)


cdef object _written(Tape tape, owned, empty, stores, rests):
    cdef Tape new = tape.fresh()
    cdef Emitter emit = Emitter(new)
    cdef int[::1] value = zeros(tape.n_vals + 1, intc)
    cdef int k, x, v, zero
    for k in range(tape.n_ops):
        emit.line = tape.line[k]
        if k in empty:
            value[tape.out[k]] = new.emit0(EMPTY, -1, 0, tape.line[k], tape.vtype[tape.out[k]])
        elif k in stores:
            x, v = value[tape.operand[tape.start[k]]], value[tape.operand[tape.start[k] + 1]]
            zero = emit.number(0.0, new.type_of(v).dtype)
            v = new.emit2(ADD, v, zero, -1, 0, tape.line[k], new.vtype[v])
            value[tape.out[k]] = new.emit2(STORE, x, v, tape.attr[k], tape.imm[k], tape.line[k], new.vtype[x])
        else:
            new.take(tape, k, &value[0])
        for box in rests.get(k, ()):
            value[tape.out[k]] = _zeros_in(emit, value[tape.out[k]], box)
    new.inputs = [value[v] for v in tape.inputs]
    new.outputs = [value[v] for v in tape.outputs]
    new.names = {value[v]: name for v, name in tape.names.items()}
    return checked(new, linear=True, owned=[value[v] for v in owned])


cdef int _zeros_in(Emitter emit, int x, box) except -1:
    """`x` with zeros in a box."""
    cdef Tape new = emit.tape
    cdef ValueType t = new.type_of(x)
    view, offset = section(box, t)
    zero = emit.spread(emit.number(0.0, t.dtype), new.pool.dense_type_id(t.dtype, view.shape))
    return new.emit2(STORE, x, zero, new.pool.attr_id(view), offset, emit.line, new.vtype[x])
