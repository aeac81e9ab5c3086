"""Two recordings of one path that differ in numbers only, and the tape that serves both.

Law: a floating constant, or the floating number that a guard demands, becomes an input where the recordings disagree. So a
new time in a right-hand side costs a trace, and pattern, colouring and sweeps are kept.
"""
from libc.string cimport memcmp

from numpy import asarray, dtype, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.ops.table import CODE_OF_NAME
from sparsead.tape._tape import checked

from sparsead.tape._tape cimport CONST, GUARD, INPUT, Tape, ValueType, has_bodies

cdef int EQUAL = CODE_OF_NAME["equal"]
cdef object BOOL = dtype(bool)


def differing(Tape tape, Tape other):
    """Where the numbers of `tape` differ from those of `other`; None if the tapes differ in more than numbers.

    A place is a tuple: the index of an op, behind those of the loops and branches in whose bodies it is, each with the number
    of the body.
    """
    cdef int k
    cdef size_t n = tape.n_ops, word = sizeof(int)
    if tape.n_ops != other.n_ops or tape.n_vals != other.n_vals or tape.n_operands != other.n_operands:
        return None
    if (memcmp(tape.code, other.code, n * word) or memcmp(tape.start, other.start, (n + 1) * word)
            or memcmp(tape.out, other.out, (n + 1) * word) or memcmp(tape.imm, other.imm, n * sizeof(tape.imm[0]))
            or memcmp(tape.operand, other.operand, tape.n_operands * word)
            or tape.inputs != other.inputs or tape.outputs != other.outputs):
        return None
    if not same_types(tape, other):
        return None
    cdef dict consts = {}, attrs = {}                   # verdicts by the pair of ids
    cdef int verdict
    found = []
    for k in range(tape.n_ops):
        if has_bodies(tape.code[k]):
            inner = differing_inside(tape.pool.attrs[tape.attr[k]], other.pool.attrs[other.attr[k]])
            if inner is None:
                return None
            found += [(k, *place) for place in inner]
            continue
        if tape.code[k] == CONST:
            verdict = judged(consts, tape.attr[k], other.attr[k], tape.pool.consts, other.pool.consts, compared_numbers)
        elif tape.attr[k] < 0 or other.attr[k] < 0:
            verdict = SAME if tape.attr[k] == other.attr[k] else DIFFERENT
        else:
            verdict = judged(attrs, tape.attr[k], other.attr[k], tape.pool.attrs, other.pool.attrs, compared_attributes)
            if verdict == NUMBERS and tape.code[k] != GUARD:
                verdict = DIFFERENT
        if verdict == DIFFERENT:
            return None
        if verdict == NUMBERS:
            found.append((k,))
    return found


def differing_inside(one, other):
    """The same for two loops or branches."""
    if not one.resembles(other):
        return None
    found = []
    for b, (body, other_body) in enumerate(zip(one.bodies, other.bodies)):
        inner = differing(body, other_body)
        if inner is None:
            return None
        found += [(b, *place) for place in inner]
    return found


cdef enum:
    SAME, NUMBERS, DIFFERENT


cdef int judged(dict verdicts, int a, int b, list of_one, list of_other, compared) except -1:
    found = verdicts.get((a, b))
    if found is None:
        found = verdicts[a, b] = compared(of_one[a], of_other[b])
    return found


def compared_numbers(a, b):
    a, b = asarray(a), asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape or a.strides != b.strides:
        return DIFFERENT
    if a.tobytes("K") == b.tobytes("K"):
        return SAME
    return NUMBERS if a.dtype.kind in "fc" else DIFFERENT


def compared_attributes(a, b):
    if type(a) is not type(b):
        return DIFFERENT
    if isinstance(a, float):
        return SAME if a == b else NUMBERS if a == a and b == b else DIFFERENT
    return SAME if a == b else DIFFERENT


cdef bint same_types(Tape tape, Tape other) except -1:
    cdef dict twins = {}
    cdef int v
    cdef ValueType a, b
    for v in range(tape.n_vals):
        twin = twins.get(tape.vtype[v])
        if twin is None:
            a, b = tape.type_of(v), other.type_of(v)
            if a.dtype != b.dtype or a.shape != b.shape or a.strides != b.strides:
                return False
            twins[tape.vtype[v]] = other.vtype[v]
        elif <int> twin != other.vtype[v]:
            return False
    return True


def numbers_of(Tape tape, places):
    """The numbers at these places, in the order and of the types of the inputs that `with_numbers` makes of them."""
    cdef int k
    numbers = []
    for k, *inner in places:
        if inner:
            numbers += numbers_of(tape.pool.attrs[tape.attr[k]].bodies[inner[0]], [inner[1:]])
        elif tape.code[k] == CONST:
            numbers.append(asarray(tape.pool.consts[tape.attr[k]]))
        else:
            numbers.append(asarray(tape.pool.attrs[tape.attr[k]], tape.type_of(tape.operand[tape.start[k]]).dtype))
    return numbers


def with_numbers(Tape tape, places):
    """`tape` with one more input for the number at each of `places`; a guard then compares with its input."""
    cdef Tape new = tape.fresh()
    cdef int k
    cdef int[::1] value = zeros(tape.n_vals + 1, "i")
    chosen, made = {}, []
    for k, *inner in places:
        chosen.setdefault(k, []).append(inner)
    for k in range(tape.n_ops):
        if k not in chosen:
            new.take(tape, k, &value[0])
        elif has_bodies(tape.code[k]):
            made += nested_with_numbers(tape, k, chosen[k], new, value)
        else:
            made.append(op_with_number(tape, k, new, value))
    new.inputs = [value[v] for v in tape.inputs] + made
    new.outputs = [value[v] for v in tape.outputs]
    new.names = {value[v]: name for v, name in tape.names.items()}
    return checked(new)


cdef int op_with_number(Tape tape, int k, Tape new, int[::1] value) except -1:
    """Append op `k` with an input for its number; returns the input."""
    cdef int compared = tape.operand[tape.start[k]] if tape.code[k] == GUARD else tape.out[k], same
    cdef int number = new.emit0(INPUT, -1, 0, tape.line[k], tape.vtype[compared])
    if tape.code[k] == CONST:
        value[tape.out[k]] = number
    else:
        same = new.emit2(EQUAL, value[compared], number, -1, 0, tape.line[k], tape.pool.dense_type_id(BOOL, ()))
        new.emit_many(GUARD, &same, 1, tape.pool.attr_id(True), 0, tape.line[k], NULL, 0)
    return number


cdef list nested_with_numbers(Tape tape, int k, list places, Tape new, int[::1] value):
    """Append loop or branch `k` with inputs for the numbers at `places` in its bodies, as invariants; returns the inputs."""
    op = tape.op(k)
    cdef int v
    cdef Tape body
    chosen = [[place for b, *place in places if b == which] for which in range(len(op.attr.bodies))]
    bodies = [with_numbers(body, some) for body, some in zip(op.attr.bodies, chosen)]
    types = [[body.vtype[v] for v in body.inputs[len(body.inputs) - len(some):]] for body, some in zip(bodies, chosen)]
    for which, body in enumerate(bodies):               # each has the numbers of all, in the order of `places`
        first = body.inputs[:len(body.inputs) - len(types[which])]
        own = body.inputs[len(first):]
        body.inputs = first
        for b, some in enumerate(types):
            body.inputs += own if b == which else [body.emit0(INPUT, -1, 0, -1, v) for v in some]
    numbers = [new.emit0(INPUT, -1, 0, tape.line[k], v) for some in types for v in some]
    operands = [value[v] for v in op.operands]
    at = len(bodies[0].inputs) - len(numbers) - op.attr.lead
    operands[at:at] = numbers
    results = new.add(op.op, operands, [tape.type_of(v) for v in op.results], op.attr.with_bodies(bodies, op.attr.carries),
                      0, op.line)
    for v, result in zip(op.results, results):
        value[v] = result
    return numbers
