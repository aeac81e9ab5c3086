"""Whether a schedule keeps within its memory; run on every schedule under test.

Law: a window stays in its slot, wherever its indices move it; what is in use at the same time shares no byte of the workspace.
"""

from __future__ import annotations

from bisect import bisect, insort

import numpy as np

from sparsead.schedule.form import Access, Bounds, Call, Choose, Fill, Guard, Index, Scalars, blocks_of, kernels_of
from sparsead.schedule.memory import joined, slots_of, slots_of_itself, turning_of
from sparsead.schedule.windows import covered, reach

NUMBERS = np.dtype(np.int32), np.dtype(np.int64)  # of index arrays


class ScheduleError(RuntimeError):
    """A schedule broke its law: a defect of sparsead."""


def check(schedule):
    """Raise `ScheduleError` at the first step that leaves its memory, or finds something else there."""
    _check_block(schedule, schedule.block)
    _check_places(schedule, schedule.block, set(), joined(_turning(schedule.block)))


def _check_block(schedule, block):
    known = set()  # byte offsets of registers that are set
    for k, step in enumerate(block.steps):
        for shape, access in _windows(step):
            slot = schedule.slots[access.slot]
            low, high = reach(covered(access, shape))
            if low == high or 0 in shape or any(i.high <= i.low for i in access.moving):
                continue  # it never is anywhere
            low += sum(min(i.step * i.low, i.step * (i.high - 1)) for i in access.moving)
            high += sum(max(i.step * i.low, i.step * (i.high - 1)) for i in access.moving)
            if low < 0 or high > slot.nbytes:
                raise ScheduleError(f"step {k}, {step!r}: bytes {low} to {high} of a slot of {slot.nbytes}: {access}")
        if isinstance(step, Scalars):
            _check_registers(k, step, known)
        for kernel in kernels_of(step):
            _check_numbers(k, kernel)
        for a, b in turning_of(step):
            if schedule.slots[a].nbytes != schedule.slots[b].nbytes:
                raise ScheduleError(f"step {k}, {step!r}: slots {a} and {b} change hands, and are of different sizes")
        for child in blocks_of(step):
            _check_block(schedule, child)


def _windows(step):
    """(shape, access) of all windows of a step itself."""
    if kernels_of(step):
        return [(kernel.space, access) for kernel in kernels_of(step) for _, access in kernel.accesses()]
    if isinstance(step, Scalars):
        return list(_elements(step))
    return [argument for argument in _arguments(step) if isinstance(argument, tuple)]


def _arguments(step):
    """What a step is given, and where it leaves its results."""
    if isinstance(step, Call):
        places = zip(step.results, step.types, strict=True)
        return [*step.operands, *((t.shape, Access(place.slot, place.offset, t.strides, t.dtype)) for place, t in places)]
    if isinstance(step, (Guard, Bounds)):
        return [step.operand]
    if isinstance(step, Choose):
        return [step.which]
    return [((step.nbytes,), Access(step.slot, 0, (1,), np.dtype(np.uint8)))] if isinstance(step, Fill) else []


def _check_numbers(k, kernel):
    """Raise unless what is done by index begins with a register of such numbers as it is set."""
    whole = set()
    for instr in kernel.instrs:
        if instr.access is not None and instr.access.by is not None and instr.registers[0] not in whole:
            raise ScheduleError(f"step {k}, {kernel!r}: register {instr.registers[0]} holds no index numbers")
        whole.update(r for r in instr.registers[instr.n_operands :] if kernel.dtypes[r] in NUMBERS)


def _elements(step):
    """The windows of one element each of a `Scalars`."""
    indices = {}  # register of bytes -> the indices that they are from
    for form, words in step.instructions():
        if form.name == "index":
            _, before, made, which = words
            indices[made] = (*(indices[before] if before >= 0 else ()), Index(-1, 0, form.dtypes[0], *step.indices[which][:3]))
        elif form.name in ("load", "store", "accumulate", "load_at", "store_at", "accumulate_at"):
            _, slot, low, high, *by = words
            offset = (low & 0xFFFFFFFF) + (high << 32)
            yield (), Access(slot, offset, (), form.dtypes[0], indices[by[0]] if by else ())


def _check_registers(k, step, known):
    """Raise unless registers are set before they are read, and are memory of the step's own; note those which it sets."""
    known.update(range(0, len(step.numbers), 8))
    for form, words in step.instructions():
        read, made = form.registers(words)
        for register, dtype in (*read, *made):
            if not 0 <= 8 * register <= step.nbytes - dtype.itemsize:
                raise ScheduleError(f"step {k}: register {register} of {step.nbytes // 8}")
        if not {8 * register for register, _ in read} <= known:
            raise ScheduleError(f"step {k}: {form.name}{words} reads a register that nothing has set")
        known.update(8 * register for register, _ in made)


# ---- what shares memory ------------------------------------------------------------------------------------------------


def _check_places(schedule, block, around, groups):
    """Raise unless the block's own slots have their bytes for themselves as long as they are in use.

    What belongs to blocks inside is in use with the step that they are in; what belongs to those `around` was compared there.
    """
    own, used, begins = set(block.own), _in_use(schedule.slots, block, groups), {}
    for slot, (first, _) in used.items():
        begins.setdefault(first, []).append(slot)
    live: list[tuple[int, int, int]] = []  # (first byte, one past the last, slot) of the block's own
    for k, step in enumerate(block.steps):
        live = [place for place in live if used[place[2]][1] >= k]
        for slot in sorted(set(begins.get(k, ())) - around, key=lambda slot: slot not in own):
            place = _place(schedule, slot)
            at = bisect(live, place)
            for low, high, other in live[max(at - 1, 0) : at + 1]:
                if low < place[1] and place[0] < high:
                    raise ScheduleError(f"step {k}, {step!r}: slots {slot} and {other} share memory")
            if slot in own:
                insort(live, place)
            elif used[slot] != (k, k) or slot in slots_of_itself(step):
                raise ScheduleError(f"step {k}, {step!r}: slot {slot} is in use outside of its block")
        for child in blocks_of(step):
            _check_places(schedule, child, around | own, groups)


def _place(schedule, slot):
    low, high = schedule.slots[slot].offset, schedule.slots[slot].offset + schedule.slots[slot].nbytes
    if low < 0 or high > schedule.nbytes:
        raise ScheduleError(f"slot {slot}: bytes {low} to {high} of a workspace of {schedule.nbytes}")
    return low, high, slot


def _in_use(slots, block, groups):
    """slot of the workspace -> (first step, last step) that touches it, or one that it changes hands with."""
    used: dict[int, tuple[int, int]] = {}
    for k, step in enumerate(block.steps):
        for slot in {same for touched in slots_of(step) for same in groups.get(touched, (touched,))}:
            if slots[slot].kind == "work" and slots[slot].nbytes:
                used[slot] = used.get(slot, (k, k))[0], k
    return used


def _turning(block):
    """All pairs of slots that change hands."""
    for step in block.steps:
        yield from turning_of(step)
        for child in blocks_of(step):
            yield from _turning(child)
