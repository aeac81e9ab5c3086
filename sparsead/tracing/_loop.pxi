# Folding the traced steps of a loop into one op. Included by _traced.pyx.
#
# A step is a segment of the tape. Two segments are the same if they have the same ops on the same operands, where an operand
# is made in the segment itself (the r-th value of it), or by an earlier step (the r-th value of the step d before this
# one: a register), or before the loop (the very same value: an invariant). Then names and buffers do not matter: buffers
# that are swapped are registers that hand on.

cdef enum:
    FURTHEST = 8                            # steps that a value may be carried before it is read
    OUTSIDE = -1


class Head(NamedTuple):
    """Where a step begins on the tape."""

    op: int
    value: int


class Mismatch(NamedTuple):
    """Why two steps are not the same: the line of the first op that differs, and what differs in it."""

    line: object
    what: str


def counter(Trace trace, k):
    """The head of a step and its counter: a constant on the tape that every step has anew."""
    head = Head(trace.tape.n_ops, trace.tape.n_vals)
    cdef int value = trace._const_value(np.int64(k))
    trace.facts[value] = COUNTS
    return head, make_scalar(k, value, trace)


def alive(Trace trace):
    """Storages and numbers of the trace that somebody holds."""
    return members(&trace.storages), members(&trace.scalars)


def held(Trace trace):
    """{serial number: the tape's value} of the storages and of the numbers that somebody holds."""
    cdef Storage s
    cdef TracedScalar x
    storages, scalars = alive(trace)
    return {s.link.serial: s.version for s in storages}, {x.link.serial: x.value for x in scalars}


def window_of(TracedArray a):
    """(value of the storage, place of the window) of a traced array, apart from what its indices move."""
    cdef Moves m = a.moving
    offset = <Py_ssize_t> cnp.PyArray_DATA(a.concrete) - a.storage.lo - (0 if m is None else m.shift)
    return a.storage.version, (offset, a.concrete.shape, a.concrete.strides, None if m is None else m.steps)


def end_of(Trace trace):
    """The `Head` of a step that would begin now."""
    return Head(trace.tape.n_ops, trace.tape.n_vals)


def vary(Trace trace, values):
    """From here on these values are no constants: a loop changes them."""
    cdef int v
    for v in values:
        if not trace.facts[v] & COUNTS:
            trace.facts[v] |= VARIES


cdef tuple role(list heads, int step, int period, int value):
    """(d, r) of a value as seen from the head of `step`: the r-th value of the segment d before it; (OUTSIDE, value) else."""
    cdef int d, start
    for d in range(1, FURTHEST + 1):
        start = step - d * period
        if start < 0:
            break
        if value >= heads[start].value:
            return d, value - <int> heads[start].value
    return OUTSIDE, value


def same_steps(Trace trace, list heads, int a, int b, int period):
    """What the operands of steps a..a+period are, if steps b..b+period are the same; else a `Mismatch`.

    `heads` has an entry for the end of the last step too. The description: (d, r) for every operand, with d = 0 for the segment
    itself.
    """
    cdef Tape tape = trace.tape
    cdef int ops_a = heads[a].op, ops_b = heads[b].op, n = heads[a + period].op - ops_a, i, j, k, m, va, vb
    cdef int first_a = heads[a].value, first_b = heads[b].value
    cdef set counters = {heads[a + q].op - ops_a for q in range(period)}
    cdef list found = []
    if heads[b + period].op - ops_b != n:
        shorter = ops_a + n if heads[b + period].op - ops_b > n else heads[b + period].op
        return Mismatch(tape.op(min(shorter, tape.n_ops - 1)).line, "ops")
    for i in range(n):
        k, m = ops_a + i, ops_b + i
        if tape.code[k] != tape.code[m] or tape.imm[k] != tape.imm[m] or tape.code[k] == INPUT \
                or tape.start[k + 1] - tape.start[k] != tape.start[m + 1] - tape.start[m] \
                or tape.out[k + 1] - tape.out[k] != tape.out[m + 1] - tape.out[m]:
            return Mismatch(tape.op(m).line, "ops")
        if tape.attr[k] != tape.attr[m] and i not in counters:
            return Mismatch(tape.op(m).line, "guard" if tape.code[k] == GUARD else
                            "constant" if tape.code[k] == CONST else "window")
        for j in range(tape.out[k + 1] - tape.out[k]):
            if tape.vtype[tape.out[k] + j] != tape.vtype[tape.out[m] + j]:
                return Mismatch(tape.op(m).line, "shape")
        for j in range(tape.start[k + 1] - tape.start[k]):
            va, vb = tape.operand[tape.start[k] + j], tape.operand[tape.start[m] + j]
            if va >= first_a:
                if vb - first_b != va - first_a:
                    return Mismatch(tape.op(m).line, "operands")
                found.append((0, va - first_a))
            elif va == vb:
                found.append((OUTSIDE, va))
            else:
                known = role(heads, a, period, va)
                if known[0] == OUTSIDE or role(heads, b, period, vb) != known:
                    return Mismatch(tape.op(m).line, "operands")
                found.append(known)
    return found


def roles(list heads, int step, int period, values):
    """The role of each value at the head of `step`."""
    return [role(heads, step, period, v) for v in values]


class Plan(NamedTuple):
    """How a loop is folded: steps from `start` on are trips of the loop op, of `period` steps each; `operands` describe the last
    traced ones, up to `end`; `held` are the roles of what lives at the end."""

    heads: list
    start: int
    end: int
    period: int
    operands: list
    held: list


def fold(Trace trace, plan, registers, invariants, loop, line):
    """Replace the traced steps from ``plan.start`` on by a loop op; returns {role: value after the loop}."""
    cdef Tape tape = trace.tape
    heads, period = plan.heads, plan.period
    starts = [heads[plan.start - d * period].value + r for d, r in registers]
    lasts = [heads[plan.end - d * period].value + r for d, r in registers]
    types = [tape.type_of(v).id for v in starts]
    facts = [(VARIES if not trace.facts[v] & COUNTS else COUNTS) | trace.facts[v] for v in lasts]
    trace.cut(heads[plan.start].op)
    cdef int[::1] args = array(starts + invariants + [0], np.intc), vtypes = array(types + [0], np.intc)
    cdef int line_id = -1 if line is None else tape.pool.line_id(line), k
    cdef int first = tape.emit_many(LOOP, &args[0], len(starts) + len(invariants), tape.pool.attr_id(loop), 0, line_id,
                                    &vtypes[0], len(types))
    for k in range(len(types)):
        trace._set_fact(first + k, facts[k])
    return {register: first + k for k, register in enumerate(registers)}


def invariants_of(plan):
    """Values from before the loop that its steps read."""
    return sorted({r for d, r in plan.operands if d == OUTSIDE})


def registers_of(plan):
    """All registers: what a step reads of earlier ones or leaves behind, and what stands between in a row of hand-overs."""
    furthest = {}
    for d, r in [*plan.operands, *plan.held]:
        if d > 0:
            furthest[r] = max(d, furthest.get(r, 0))
    return [(d, r) for r in sorted(furthest) for d in range(1, furthest[r] + 1)]


def body_of(Trace trace, plan, registers, invariants, int first_step):
    """The body: the last traced steps with inputs for the trip, the registers and the invariants."""
    cdef Tape tape = trace.tape, body = tape.fresh()
    heads, period, begin, end = plan.heads, plan.period, plan.end - plan.period, plan.end
    cdef int first = heads[begin].value, base = heads[begin].op, k, v, integer = tape.pool.dense_type_id(np.dtype(np.int64), ())
    cdef int[::1] value = np_full(tape.n_vals + 1, -1, np.intc)
    cdef int trip = body.emit0(INPUT, -1, 0, -1, integer), place
    inputs, at = [trip], {}
    for d, r in registers:
        place = body.emit0(INPUT, -1, 0, -1, tape.vtype[first + <int> r])
        inputs.append(place)
        at[d, r] = place
    for v in invariants:
        place = body.emit0(INPUT, -1, 0, -1, tape.vtype[v])
        inputs.append(place)
        at[OUTSIDE, v] = place
    for v, known in zip(_operands(tape, base, heads[end].op), plan.operands):
        if known[0] != 0:
            value[v] = at[known]
    counters = {heads[begin + q].op: first_step + plan.start + q for q in range(period)}
    for k in range(base, heads[end].op):
        if k in counters:
            value[tape.out[k]] = _step_number(body, trip, period, counters[k])
        else:
            body.take(tape, k, &value[0])
    body.inputs = inputs
    body.outputs = [value[first + <int> r] if d == 1 else at[d - 1, r] for d, r in registers]
    return body


cdef list _operands(Tape tape, int begin, int end):
    cdef int j
    return [tape.operand[j] for j in range(tape.start[begin], tape.start[end])]


cdef int _step_number(Tape body, int trip, int period, int first) except -1:
    """first + period * trip."""
    cdef int v = trip, integer = body.vtype[trip]
    if period != 1:
        v = body.emit2(CODE_OF_NAME["multiply"], v, body.constant(np.int64(period), -1), -1, 0, -1, integer)
    if first:
        v = body.emit2(CODE_OF_NAME["add"], v, body.constant(np.int64(first), -1), -1, 0, -1, integer)
    return v


def hand_over(Trace trace, roles, results, counted):
    """Give what lives after the loop its values after the loop: `roles` by serial number, `results` and known numbers by role."""
    cdef Storage s
    cdef TracedScalar x
    storages, scalars = alive(trace)
    for s in storages:
        s.version = results.get(roles[s.link.serial], s.version)
    for x in scalars:
        known = roles[x.link.serial]
        x.value = results.get(known, x.value)
        if known in counted:
            x.concrete = type(x.concrete)(counted[known])
    trace.stale = True


def is_count(TracedScalar x):
    """Whether a number depends on counters and constants only."""
    return bool(x.trace.facts[x.value] & COUNTS) and not x.trace.facts[x.value] & VARIES


def settle_all(Trace trace, run):
    """Let all that lives have the numbers that the tape gives it; ``run(tape, outputs)`` computes them."""
    cdef Storage s
    cdef TracedScalar x
    storages, scalars = alive(trace)
    scalars = [x for x in scalars if not is_count(x)]
    trace.stale = False
    numbers = run(trace.tape, [s.version for s in storages] + [x.value for x in scalars])
    for s, number in zip(storages, numbers):
        s.base[...] = number
    for x, number in zip(scalars, numbers[len(storages):]):
        x.concrete = number[()].item() if type(x.concrete) in (float, int, bool) else number[()]
