"""Laws of schedules that a run need not break to show that they are broken: threads that write to one place, memory in use."""

import itertools
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines import assert_bits, both
from loop_tapes import LoopBuilder
from sparsead.schedule.check import ScheduleError, check
from sparsead.schedule.form import Access, Fill, Kernel, Strips, inside
from sparsead.schedule.lower import lowered
from sparsead.schedule.planner import schedule_of
from sparsead.schedule.windows import meeting
from sparsead.tape.spec import BY_NAME
from tapes import I8, Builder

# ---- windows -----------------------------------------------------------------------------------------------------------


def random_access(rng, shape):
    """A window on memory of a few bytes: strides that nest, or any."""
    dtype = np.dtype(rng.choice(["f8", "f4", "c16"]))
    nest = np.cumprod([1, *rng.integers(1, 5, len(shape) - 1)]) * rng.choice([4, 8, 16, 24])
    strides = nest[rng.permutation(len(shape))] if rng.random() < 0.8 else 4 * rng.integers(-6, 7, len(shape))
    return Access(0, 4 * int(rng.integers(0, 30)), tuple(int(s) for s in strides * rng.choice([-1, 1, 1], len(shape))), dtype)


def elements(access, shape):
    """The bytes of each element, in C order."""
    axes = zip(np.indices(shape, sparse=True), access.strides, strict=True)
    first = np.broadcast_to(access.offset + sum(axis * stride for axis, stride in axes), shape).ravel()
    return first[:, None] + np.arange(access.dtype.itemsize)


@settings(max_examples=10 * settings().max_examples)
@given(st.integers(0, 2**32 - 1))
def test_windows_meet_as_their_elements_do(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(2, 5, rng.integers(1, 4)))
    a = random_access(rng, shape)
    b = a._replace(offset=a.offset + 4 * int(rng.integers(-9, 9))) if rng.random() < 0.7 else random_access(rng, shape)
    here, there = elements(a, shape), elements(b, shape)
    if meeting(a, b, shape) == "apart":
        assert not np.intersect1d(here, there).size
    if meeting(a, b, shape) == "same":
        assert np.array_equal(here, there) and np.unique(here).size == here.size


# ---- chunks ------------------------------------------------------------------------------------------------------------

WIDE = [(200_000,), (300, 400), (3, 40_000), (40_000, 3), (20, 30, 200), (2, 2, 20_000), (100_000, 1)]
APART = {"any": 0, "alternating": 1}  # chunks further apart than that may be run at the same time


def kernels(block):
    """All kernels of a block, lowered as they are where they are run one by one."""
    for step in itertools.chain.from_iterable(s.plain if isinstance(s, Strips) else [s] for s in inside(*block.steps)):
        if isinstance(step, Kernel):
            yield lowered(step)


def chunk_of(low):
    """For each point of a kernel, in C order, the chunk that it belongs to: some rows of the first axis."""
    return np.arange(prod(low.extents)) // prod(low.extents[1:]) // low.chunk


def places(low, window, at):
    """Bytes at which the elements of a window begin, in C order, where its indices have the values ``at(index)``."""
    axes = zip(np.indices(low.extents, sparse=True), window.strides, strict=True)
    return window.access.offset + sum(i.step * at(i) for i in window.access.moving) + sum(axis * stride for axis, stride in axes)


def assert_apart(low, at=None):
    """No element that one chunk writes is read or written by a chunk that may be run at the same time."""
    chunk, least, most, written = chunk_of(low), {}, {}, {}
    for instr, window in zip(low.kernel.instrs, low.windows, strict=True):
        if window is None or (instr.kind == "accumulate" and not any(window.strides)):  # a sum: each chunk has its own
            continue
        slot = window.access.slot
        size = 1 + max(places(low, w, at).max() for w in low.windows if w is not None and w.access.slot == slot)
        here = np.broadcast_to(places(low, window, at), low.extents).ravel()
        np.minimum.at(least.setdefault(slot, np.full(size, len(chunk))), here, chunk)
        np.maximum.at(most.setdefault(slot, np.full(size, -1)), here, chunk)
        written.setdefault(slot, np.zeros(size, bool))[here] |= instr.kind != "load"
    for slot, flags in written.items():
        assert (most[slot] - least[slot])[flags].max(initial=0) <= APART[low.order]


def shifted(shape, axis, begins, length):
    """A tape that adds parts of an array to parts of another, `length` of an axis each."""
    b = LoopBuilder()
    y, z = b.ew("sin", b.input(shape)), b.zeros(shape)
    for one, other in itertools.pairwise(begins):
        part, to = ((slice(None),) * axis + (np.s_[k : k + length],) for k in (one, other))
        z = b.accumulate(z, lambda a, to=to: a[to], b.load(y, lambda a, part=part: a[part]))
    return b.done(z)


@pytest.mark.parametrize("shape", WIDE, ids=str)
def test_chunks_that_are_run_at_once_write_to_different_places(shape):
    rng, orders = np.random.default_rng(0), set()
    for axis, far in itertools.product(range(len(shape)), (1, 3, 1000, 50_000)):
        most = min(far, shape[axis] // 2)
        tape = shifted(shape, axis, rng.integers(0, most + 1, 5), shape[axis] - most)
        for low in kernels(schedule_of(tape).block):
            orders.add(low.order)
            if low.order in APART:
                assert_apart(low)
    assert "alternating" in orders


@pytest.mark.parametrize("shape", [s for s in WIDE if len(s) > 1], ids=str)
def test_sums_along_axes_have_one_writer(shape):
    for axis in range(len(shape)):
        b = Builder()
        b.done(b.op("sum", (b.ew("sin", b.input(shape)),), shape[:axis] + shape[axis + 1 :], (axis,)))
        for low in kernels(schedule_of(b.tape).block):
            if low.order in APART:
                assert_apart(low)


def test_windows_that_move_on_their_own_are_written_in_order():
    """Nobody knows how far apart they are: at any places, chunks that are no neighbours may write to the same elements."""
    n, width, rng = 100_000, 5000, np.random.default_rng(0)
    b = LoopBuilder()

    def step(b, j, z, y):
        k = b.integer("remainder", b.op("multiply", (j, j), (), dtype=I8), 10)
        for index in (j, k):
            z = b.accumulate_at(z, lambda a, i: a[i * width : i * width + n], y, [index], [(0, 10)])
        return [z]

    b.done(*b.loop(10, [b.zeros((n + 20 * width,))], [b.input((n,))], step))
    found = [low for low in kernels(schedule_of(b.tape).block) if sum(i.kind == "accumulate" for i in low.kernel.instrs) == 2]
    assert found
    for low, _ in itertools.product(found, range(8)):
        values = {}
        if low.order in APART:
            assert_apart(
                low, lambda index, values=values: values.setdefault(index.slot, int(rng.integers(index.low, index.high)))
            )


# ---- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trips", [2, 3])
def test_memory_that_changed_hands_lasts_as_long_as_the_value(trips):
    """What a loop leaves behind may be in memory of its body's; the steps after the loop have to leave it alone."""
    b = LoopBuilder()
    x = b.input((100,))
    (u,) = b.loop(trips, [b.ew("sin", x)], [], lambda b, j, u: [b.ew("tanh", u)])
    (scanned,) = b.tape.add(BY_NAME["scan"], [x], [b.tape.type(x)], ("add", 0))
    b.done(b.ew("multiply", u, scanned))
    assert_bits(*both(b.tape, [np.linspace(0.5, 1, 100)]))


def scans():
    """(a schedule, its slots by what they hold): of scans, which need memory, before, in and after a loop."""
    b = LoopBuilder()
    scan = lambda b, x: b.tape.add(BY_NAME["scan"], [x], [b.tape.type(x)], ("add", 0))[0]
    x = b.input((100,))
    y = scan(b, x)
    (u,) = b.loop(2, [b.ew("sin", x)], [], lambda b, j, u: [scan(b, b.ew("tanh", scan(b, u)))])
    b.done(b.ew("add", b.ew("multiply", u, scan(b, x)), y))
    schedule = schedule_of(b.tape)
    before, _, loop, after, _ = schedule.block.steps
    inner, kernel, last = loop.block.steps
    (held,) = {access.slot for kind, access in kernel.accesses() if kind == "store"}
    slots = {"before": before, "after": after, "inner": inner, "carried": last}
    slots = {name: step.results[0].slot for name, step in slots.items()}
    return schedule, {**slots, "held": held, "counter": loop.counter}


IN_USE_AT_ONCE = {
    ("before", "after"): True, ("before", "inner"): True, ("before", "counter"): True, ("inner", "held"): True,
    ("carried", "held"): True, ("carried", "counter"): True, ("inner", "counter"): True,
    ("carried", "after"): True,  # what the loop leaves behind may be in either memory
    ("after", "inner"): False, ("after", "held"): False, ("after", "counter"): False,
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), IN_USE_AT_ONCE)
def test_what_is_in_use_at_once_shares_no_byte(one, other):
    for at in (-8, 0, 8):
        schedule, slots = scans()
        schedule.nbytes += 2000
        for name, slot in slots.items():  # nothing else is in the way
            schedule.slots[slot].offset = schedule.nbytes
            schedule.nbytes += 1000
        check(schedule)
        schedule.slots[slots[one]].offset = schedule.slots[slots[other]].offset + at
        if IN_USE_AT_ONCE[one, other] and (at < 8 or other != "counter"):
            with pytest.raises(ScheduleError, match="share memory"):
                check(schedule)
        else:
            check(schedule)


def test_memory_belongs_to_the_block_that_it_is_in_use_in():
    schedule, slots = scans()
    body = schedule.block.steps[2].block
    for name in ("carried", "before", "counter"):
        schedule.block.own.remove(slots[name])
        with pytest.raises(ScheduleError, match="outside of its block"):
            check(schedule)
        body.own.append(slots[name])
        with pytest.raises(ScheduleError, match="outside of its block"):
            check(schedule)
        body.own.remove(slots[name])
        schedule.block.own.append(slots[name])
    check(schedule)


@pytest.mark.parametrize("offset", [-8, 1 << 20])
def test_memory_is_in_the_workspace(offset):
    schedule, slots = scans()
    schedule.slots[slots["after"]].offset = offset
    with pytest.raises(ScheduleError, match="workspace"):
        check(schedule)


def test_calls_and_fills_stay_in_their_slots():
    schedule, _ = scans()
    schedule.block.steps[0].results[0].offset += 8
    with pytest.raises(ScheduleError, match="of a slot of 800"):
        check(schedule)
    b = Builder()
    schedule = schedule_of(b.done(b.op("sum", (b.ew("sin", b.input((10, 3))),), (10,), (1,))))
    (fill,) = (step for step in schedule.block.steps if isinstance(step, Fill))
    fill.nbytes += 8
    with pytest.raises(ScheduleError, match="of a slot of 80"):
        check(schedule)


def test_what_changes_hands_has_one_size():
    schedule, slots = scans()
    schedule.slots[slots["carried"]].nbytes -= 8
    with pytest.raises(ScheduleError, match="sizes"):
        check(schedule)
