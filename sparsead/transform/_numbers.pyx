"""Two recordings of one path that differ in numbers only, and the tape that serves both.

Law: a floating constant, or the floating number that a guard demands, becomes an input where the recordings disagree. So a
new time in a right-hand side costs a trace, and pattern, colouring and sweeps are kept.
"""
from libc.string cimport memcmp

from numpy import asarray, dtype, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.ops.table import CODE_OF_NAME

from sparsead.tape._tape cimport CONST, GUARD, INPUT, Tape, ValueType

cdef int EQUAL = CODE_OF_NAME["equal"]
cdef object BOOL = dtype(bool)


def differing(Tape tape, Tape other):
    """Ops of `tape` whose numbers differ from those of `other`; None if the tapes differ in more than numbers."""
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
            found.append(k)
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


def numbers_of(Tape tape, ops):
    """The numbers of these ops, in the order and of the types of the inputs that `with_numbers` makes of them."""
    cdef int k
    numbers = []
    for k in ops:
        if tape.code[k] == CONST:
            numbers.append(asarray(tape.pool.consts[tape.attr[k]]))
        else:
            numbers.append(asarray(tape.pool.attrs[tape.attr[k]], tape.type_of(tape.operand[tape.start[k]]).dtype))
    return numbers


def with_numbers(Tape tape, ops):
    """`tape` with one more input for the number of each of `ops`; a guard then compares with its input."""
    cdef Tape new = tape.fresh()
    cdef int k, first, same, compared, truth = tape.pool.attr_id(True)
    cdef int yes = tape.pool.dense_type_id(BOOL, ())
    cdef int[::1] value = zeros(tape.n_vals + 1, "i")
    chosen, made = set(ops), []
    for k in range(tape.n_ops):
        if k not in chosen:
            new.take(tape, k, &value[0])
            continue
        compared = tape.operand[tape.start[k]] if tape.code[k] == GUARD else tape.out[k]
        first = new.emit0(INPUT, -1, 0, tape.line[k], tape.vtype[compared])
        made.append(first)
        if tape.code[k] == CONST:
            value[tape.out[k]] = first
        else:
            same = new.emit2(EQUAL, value[compared], first, -1, 0, tape.line[k], yes)
            new.emit_many(GUARD, &same, 1, truth, 0, tape.line[k], NULL, 0)
    new.inputs = [value[v] for v in tape.inputs] + made
    new.outputs = [value[v] for v in tape.outputs]
    new.names = {value[v]: name for v, name in tape.names.items()}
    return new
