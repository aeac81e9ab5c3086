"""Whether a schedule keeps within its memory; run on every schedule under test.

Law: a window stays in its slot, wherever its indices move it; what is in use at the same time shares no byte of the workspace.
"""

from __future__ import annotations

from sparsead.schedule.form import Call, Guard, Kernel, Strips, blocks_of
from sparsead.schedule.windows import reach


class ScheduleError(RuntimeError):
    """A schedule broke its law: a defect of sparsead."""


def check(schedule):
    """Raise `ScheduleError` at the first step that leaves its memory."""
    _check_block(schedule, schedule.block)


def _check_block(schedule, block):
    for k, step in enumerate(block.steps):
        for shape, access in _windows(step):
            slot = schedule.slots[access.slot]
            low, high = reach((access.offset, shape, access.strides, access.dtype.itemsize))
            if low == high or 0 in shape or any(i.high <= i.low for i in access.moving):
                continue  # it never is anywhere
            low += sum(min(i.step * i.low, i.step * (i.high - 1)) for i in access.moving)
            high += sum(max(i.step * i.low, i.step * (i.high - 1)) for i in access.moving)
            if low < 0 or high > slot.nbytes:
                raise ScheduleError(f"step {k}, {step!r}: bytes {low} to {high} of a slot of {slot.nbytes}: {access}")
            if slot.kind == "work" and slot.offset < 0:
                raise ScheduleError(f"step {k}, {step!r}: slot {access.slot} has no memory")
        for child in blocks_of(step):
            _check_block(schedule, child)


def _windows(step):
    """(shape, access) of all windows of a step itself."""
    if isinstance(step, Kernel):
        return [(step.space, access) for windows in step.windows.values() for _, access in windows]
    if isinstance(step, Strips):
        return [pair for member in step.members for pair in _windows(member.kernel)]
    arguments = step.operands if isinstance(step, Call) else [step.operand] if isinstance(step, Guard) else ()
    return [argument for argument in arguments if isinstance(argument, tuple)]
