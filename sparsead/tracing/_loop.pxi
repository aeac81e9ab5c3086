# Folding the traced steps of a loop into one op. Included by _traced.pyx.
#
# A step is a segment of the tape. Two segments are the same if they have the same ops on the same operands, where an operand
# is made in the segment itself (the r-th value of it), or by an earlier step (the r-th value of the step d before this
# one: a register), or before the loop (the very same value: an invariant). Then names and buffers do not matter: buffers
# that are swapped are registers that hand on.

cdef enum:
    FURTHEST = 8                            # steps that a value may be carried before it is read
    OUTSIDE = -1
    AGAIN = -2


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
    """(value, serial number of the storage, place of the window) of a traced array, apart from what its indices move."""
    cdef Moves m = a.moving
    offset = <Py_ssize_t> cnp.PyArray_DATA(a.concrete) - a.storage.lo - (0 if m is None else m.shift)
    place = offset, a.concrete.shape, a.concrete.strides, None if m is None else m.steps
    return a.storage.version, a.storage.link.serial, place


def number_of(TracedScalar x):
    """(value, serial number) of a traced number."""
    return x.value, x.link.serial


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
        if tape.attr[k] != tape.attr[m] and i not in counters and not _same_constant(tape, k, m):
            return Mismatch(tape.op(m).line, "guard" if tape.code[k] == GUARD else "constant" if tape.code[k] == CONST else
                            "callback" if tape.code[k] == EFFECT else "window")
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


cdef bint _same_constant(Tape tape, int k, int m):
    """Whether two ops are constants of the same bits; those of the list in ``u[[0, 2]]`` are made anew in every step."""
    return tape.code[k] == CONST and identical(tape.pool.consts[tape.attr[k]], tape.pool.consts[tape.attr[m]])


def roles(list heads, int step, int period, values):
    """The role of each value at the head of `step`."""
    return [role(heads, step, period, v) for v in values]


class Plan(NamedTuple):
    """How a loop is folded: steps from `start` on are trips of the loop op, of `period` steps each."""

    heads: list
    start: int
    end: int                                # number of the steps traced
    period: int
    operands: list                          # descriptions of the operands of the last steps, up to `end`
    held: dict                              # roles of what lives at the end, by serial number


class Segment(NamedTuple):
    """Ops that become a body: those of the tape from `begin` to `end`, with values from `first` on."""

    begin: int
    end: int
    first: int
    counters: dict                          # op -> number of the step that it begins, in the first trip
    operands: list                          # a description for each operand
    outputs: dict                           # role -> description of its value after the trip


def last_steps(plan, int first_step):
    """The last traced steps of a plan, as a `Segment`."""
    heads, begin = plan.heads, plan.end - plan.period
    counters = {heads[begin + q].op: first_step + plan.start + q for q in range(plan.period)}
    outputs = {(d, r): (d - 1, r) for d, r in registers_of(plan)}
    return Segment(heads[begin].op, heads[plan.end].op, heads[begin].value, counters, plan.operands, outputs)


def registers_of(plan):
    """All registers: what a step reads of earlier ones or leaves behind, and what stands between in a row of hand-overs."""
    furthest = {}
    for d, r in [*plan.operands, *plan.held.values()]:
        if d > 0:
            furthest[r] = max(d, furthest.get(r, 0))
    return [(d, r) for r in sorted(furthest) for d in range(1, furthest[r] + 1)]


def fold(Trace trace, plan, registers, invariants, loop, counted, line):
    """Replace the traced steps from ``plan.start`` on by a loop op; returns {role: value after the loop}."""
    cdef Tape tape = trace.tape
    heads, period = plan.heads, plan.period
    starts = [r if d == OUTSIDE else heads[plan.start - d * period].value + r for d, r in registers]
    lasts = [r if d == OUTSIDE else heads[plan.end - d * period].value + r for d, r in registers]
    types = [tape.type_of(v).id for v in starts]
    facts = [COUNTS if known in counted else VARIES | (trace.facts[v] & (ACTIVE | LOST)) for known, v in zip(registers, lasts)]
    trace.cut(heads[plan.start].op)
    cdef int[::1] args = array(starts + invariants + [0], np.intc), vtypes = array(types + [0], np.intc)
    cdef int line_id = -1 if line is None else tape.pool.line_id(line), k
    cdef int first = tape.emit_many(LOOP, &args[0], len(starts) + len(invariants), tape.pool.attr_id(loop), 0, line_id,
                                    &vtypes[0], len(types))
    for k in range(len(types)):
        trace._set_fact(first + k, facts[k])
    return {register: first + k for k, register in enumerate(registers)}


def body_of(Trace trace, segment, plan, registers, invariants, wanted=None):
    """The body that a `Segment` is: inputs are the trip, the registers and the invariants; outputs the registers, or what the
    `wanted` descriptions say."""
    cdef Tape tape = trace.tape, body = tape.fresh()
    cdef int last = plan.heads[plan.end - plan.period].value, k, v, place
    cdef int[::1] value = np_full(tape.n_vals + 1, -1, np.intc)
    cdef int trip = body.emit0(INPUT, -1, 0, -1, tape.pool.dense_type_id(np.dtype(np.int64), ()))
    inputs, at = [trip], {}
    for d, r in [*registers, *[(OUTSIDE, v) for v in invariants]]:
        place = body.emit0(INPUT, -1, 0, -1, tape.vtype[r if d == OUTSIDE else last + <int> r])
        inputs.append(place)
        at[d, r] = place
    for v, known in zip(_operands(tape, segment.begin, segment.end), segment.operands):
        if known[0] == AGAIN and value[v] < 0:
            value[v] = body.emit0(CONST, tape.attr[tape.vop[v]], 0, -1, tape.vtype[v])
        elif known[0] != 0 and known[0] != AGAIN:
            value[v] = at[known]
    for k in range(segment.begin, segment.end):
        if k in segment.counters:
            value[tape.out[k]] = _step_number(body, trip, plan.period, segment.counters[k])
        else:
            body.take(tape, k, &value[0])
    body.inputs = inputs
    body.outputs = []
    for d, r in [segment.outputs.get(register, register) for register in registers] if wanted is None else wanted:
        body.outputs.append(value[segment.first + <int> r] if d == 0 else at[d, r])
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


def hide(Trace trace, roles):
    """Put a placeholder in the place of every value that lives, for a step that shall be a body of its own.

    Their numbers are not known from then on, until somebody asks.

    Parameters
    ----------
    roles : dict
        By serial number. What has none is left alone.

    Returns
    -------
    dict
        The role by placeholder.
    """
    cdef Storage s
    cdef TracedScalar x
    storages, scalars = alive(trace)
    found = {}
    for s in storages:
        if s.link.serial in roles:
            s.version = _placeholder(trace, s.version)
            found[s.version] = roles[s.link.serial]
    for x in scalars:
        if x.link.serial in roles:
            x.value = _placeholder(trace, x.value)
            found[x.value] = roles[x.link.serial]
    trace.stale = True
    return found


cdef int _placeholder(Trace trace, int v) except -1:
    cdef int made = trace.tape.emit0(EMPTY, -1, 0, -1, trace.tape.vtype[v])
    trace._set_fact(made, trace.facts[v] | VARIES)
    return made


def described(Trace trace, head, end, roles, int cut):
    """Descriptions of the operands of the step from `head` to `end`, with placeholders in it; None if it reads something else."""
    cdef Tape tape = trace.tape
    cdef int v
    found = []
    for v in _operands(tape, head.op, end.op):
        found.append(description(trace, head, roles, cut, v))
    return None if None in found else found


def description(Trace trace, head, roles, int cut, int v):
    """What a value is in the step that begins at `head`: its own (0, r), a role, OUTSIDE, AGAIN a constant, or None."""
    if v >= <int> head.value:
        return 0, v - <int> head.value
    if v in roles:
        return roles[v]
    if trace.tape.code[trace.tape.vop[v]] == CONST:
        return AGAIN, v
    return (OUTSIDE, v) if v < cut else None


def hand_over(Trace trace, roles, results, counted, int cut):
    """Give what lives after the loop its values after the loop: `roles` by serial number, `results` and known numbers by role.

    What has no role, and a value that is no longer on the tape (from `cut` on), is lost: reading it is an error.
    """
    cdef Storage s
    cdef TracedScalar x
    storages, scalars = alive(trace)
    for s in storages:
        s.version = _after_loop(trace, results, roles.get(s.link.serial), s.version, cut)
    for x in scalars:
        known = roles.get(x.link.serial)
        x.value = _after_loop(trace, results, known, x.value, cut)
        if known in counted:
            x.concrete = type(x.concrete)(counted[known])
    trace.stale = True


cdef int _after_loop(Trace trace, results, known, int value, int cut) except -1:
    """The value of a role after the loop; what no trip changes gets its own back from the placeholder `value`."""
    if known is None:
        return lost(trace, value) if value >= cut else value
    return results.get(known, <int> known[1] if known[0] == OUTSIDE else value)


def lost(Trace trace, int value):
    """A value in the place of one that no longer can be known."""
    cdef int made = trace.tape.emit0(EMPTY, -1, 0, -1, trace.tape.vtype[value])
    trace._set_fact(made, LOST)
    return made


def set_values(Trace trace, values):
    """Give what lives the values of the tape that are listed by serial number."""
    cdef Storage s
    cdef TracedScalar x
    storages, scalars = alive(trace)
    for s in storages:
        s.version = values.get(s.link.serial, s.version)
    for x in scalars:
        x.value = values.get(x.link.serial, x.value)


def making(Tape old, outputs, known=()):
    """What of a tape makes the `outputs`, and no guards; its last inputs are the `known` values."""
    cdef Tape new = old.fresh()
    cdef int k, j, v
    cdef signed char[::1] needed = zeros(old.n_vals + 1, np.int8)
    cdef int[::1] value = np_full(old.n_vals + 1, -1, np.intc)
    for v in outputs:
        needed[v] = 1
    for v in known:
        value[v] = new.emit0(INPUT, -1, 0, -1, old.vtype[v])
    for k in range(old.n_ops - 1, -1, -1):
        if _is_needed(old, k, &needed[0]) and value[old.out[k]] < 0:
            for j in range(old.start[k], old.start[k + 1]):
                needed[old.operand[j]] = 1
    for k in range(old.n_ops):
        if old.code[k] == INPUT or _is_needed(old, k, &needed[0]) and value[old.out[k]] < 0:
            new.take(old, k, &value[0])
    new.inputs = [value[v] for v in [*old.inputs, *known]]
    new.outputs = [value[v] for v in outputs]
    return new


cdef bint _is_needed(Tape tape, int k, signed char *needed) noexcept:
    cdef int j
    for j in range(tape.out[k], tape.out[k + 1]):
        if needed[j]:
            return True
    return False


def is_count(TracedScalar x):
    """Whether a number depends on counters and constants only."""
    return bool(x.home.facts[x.value] & COUNTS) and not x.home.facts[x.value] & VARIES


def settle_all(Trace trace, run):
    """Let all that lives have the numbers that the tape gives it; ``run(values)`` computes them."""
    cdef Storage s
    cdef TracedScalar x
    storages, scalars = alive(trace)
    scalars = [x for x in scalars if not is_count(x)]
    trace.stale = False
    numbers = run([s.version for s in storages] + [x.value for x in scalars])
    for s, number in zip(storages, numbers):
        s.base[...] = number
    for x, number in zip(scalars, numbers[len(storages):]):
        x.concrete = number[()].item() if type(x.concrete) in (float, int, bool) else number[()]
