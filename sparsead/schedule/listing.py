"""Print a schedule: one line for each step, and below a kernel one for each instruction."""

from __future__ import annotations

from sparsead.schedule.form import Block, Bounds, Call, Choose, Fill, Guard, Kernel, Repeat, Scalars, Strips


def listing(schedule):
    """The schedule as text.

    Slots are written ``%k``, registers ``rk``, a window as its slot, byte offset and strides.
    """
    rows = [f"%{k}: {slot.kind}, {slot.nbytes} bytes" for k, slot in enumerate(schedule.slots)]
    rows.append(f"workspace: {schedule.nbytes} bytes")
    return "\n".join(rows + _block(schedule.block))


def _block(block: Block, indent=""):
    rows = []
    for k, step in enumerate(block.steps):
        head, *rest = _step(step)
        rows += [f"{indent}{k}: {head}"] + [f"{indent}    {row}" for row in rest]
    return rows


def _step(step):
    if isinstance(step, Kernel):
        return [f"kernel over {list(step.space)}", *(_instr(step, i) for i in step.instrs)]
    if isinstance(step, Strips):
        rows = [f"{len(step.members)} kernels in strips of {step.height} rows, {len(step.bounds) - 1} bands"]
        rows += [f"some rows of %{ring.slot}" for ring in step.rings]
        for k, member in enumerate(step.members):
            head, *rest = _step(member.kernel)
            rows += [f"{k}: {head}, from row {member.first}, {member.lag} behind", *(f"    {row}" for row in rest)]
        return rows
    if isinstance(step, Scalars):
        head = f"scalars, registers %{step.registers}, {step.nbytes} bytes"
        return [head, *(_scalar(step, form, words) for form, words in step.instructions())]
    if isinstance(step, Fill):
        return [f"zeros in %{step.slot}"]
    if isinstance(step, Guard):
        return [f"guard {_argument(step.operand)} is {step.op.attr!r}"]
    if isinstance(step, Bounds):
        return [f"check {_argument(step.operand)} is from {-step.extent} to {step.extent - 1}"]
    if isinstance(step, Call):
        results = ", ".join(f"%{place.slot}" for place in step.results)
        return [f"{results} = {step.op.op.name}({', '.join(map(_argument, step.operands))})"]
    if isinstance(step, Repeat):
        way = f", from {step.first} by {step.by}" if (step.first, step.by) != (0, 1) else ""
        way += f", for {step.height} rows at a time" if step.height else ""
        return [f"loop of {step.trips} trips{way}, counter %{step.counter}, then {_pairs(step.turning)}", *_block(step.block)]
    assert isinstance(step, Choose)
    rows = [f"branch on {_argument(step.which)}"]
    for k, (block, pairs) in enumerate(zip(step.blocks, step.turning, strict=True)):
        rows += [f"  {k}: then {_pairs(pairs)}", *_block(block, "    ")]
    return rows


def _pairs(turning):
    return ", ".join(f"%{a} = %{b}" for a, b in turning)


def _instr(kernel, instr):
    names = [repr(kernel.constants[r].item()) if r in kernel.constants else f"r{r}" for r in instr.registers]
    if instr.kind == "apply":
        results, operands = ", ".join(names[instr.n_operands :]), ", ".join(names[: instr.n_operands])
        return f"{results} = {instr.op}({operands})"
    where = _access(instr.access, names[0])
    if instr.kind == "load":
        return f"{names[-1]} = {where}"
    return f"{where} {'=' if instr.kind == 'store' else '+='} {names[-1]}"


def _scalar(step, form, words):
    if form.name in ("pause", "end"):
        return form.name
    if form.name == "guard":
        return f"guard r{words[0]} is {step.guards[words[1]][0].attr!r}"
    if form.name == "index":
        register, before, made, which = words
        return f"r{made} = " + (f"r{before} + " if before >= 0 else "") + f"{step.indices[which][0]} * r{register}"
    if form.name in ("load", "store", "accumulate", "load_at", "store_at", "accumulate_at"):
        register, slot, low, high, *by = words
        where = f"%{slot}[{(low & 0xFFFFFFFF) + (high << 32)}{''.join(f' + r{r}' for r in by)}]"
        sign = "+=" if form.name.startswith("accumulate") else "="
        return f"r{register} = {where}" if form.name.startswith("load") else f"{where} {sign} r{register}"
    (read, made) = form.registers(words)
    names = [", ".join(f"r{r}" for r, _ in registers) for registers in (made, read)]
    return f"{names[0]} = {form.name}({names[1]})"


def _argument(argument):
    return _access(argument[1]) if isinstance(argument, tuple) else repr(argument)


def _access(access, numbers=""):
    moving = "".join(f" + {index.step} * %{index.slot}" for index in access.moving)
    if access.by is not None:
        moving += f" + {access.by.step} * {numbers}"
    return f"%{access.slot}[{access.offset}{moving}; {', '.join(map(str, access.strides))}]"
