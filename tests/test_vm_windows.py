"""Windows of kernels: rows that do not follow each other, counters of loops that move them, and which of them meet."""

import itertools

import numpy as np
import pytest

from engines import assert_bits, assert_close, both, numbers, on_threads
from loop_tapes import LoopBuilder
from sparsead.engine import vm
from sparsead.schedule.form import Access, Index, Kernel, Repeat
from sparsead.schedule.lower import ROW
from sparsead.schedule.peephole import shortened
from sparsead.schedule.planner import schedule_of
from sparsead.schedule.windows import meeting
from tapes import F8, I8, Builder


def kernels(block):
    """All kernels of a block, those of loops included."""
    for step in block.steps:
        yield from [step] if isinstance(step, Kernel) else kernels(step.block) if isinstance(step, Repeat) else []


@pytest.mark.parametrize("columns", [1, 2, 5, ROW - 1, ROW, ROW + 1, 40, 700, 3000])
@pytest.mark.parametrize("rows", [1, 2, 50])
def test_rows_that_do_not_follow_each_other(rows, columns):
    """Inner parts, rows and columns that are spread, steps, two dtypes: read, written, added and summed up."""
    rng, b = np.random.default_rng(1), Builder()
    x, y = b.input((rows + 2, columns + 2)), b.input((rows + 2, columns + 2))
    row, column, f = b.input((columns,)), b.input((rows, 1)), b.input((rows, 2 * columns), np.dtype(np.float32))
    middle = lambda a: a[1:-1, 1:-1]
    t = b.ew("multiply", b.ew("add", b.load(x, middle), b.load(x, lambda a: a[2:, :-2])), row)
    t = b.ew("subtract", t, column)
    t = b.ew("add", t, b.cast(b.ew("add", b.load(f, lambda a: a[:, ::2]), b.load(f, lambda a: a[:, 1::2])), F8))
    written = b.store(b.ew("add", y, y), middle, t)
    added = b.accumulate(b.ew("negative", x), lambda a: a[:-2, 2:], t)
    tape = b.done(written, added, b.load(x, middle), b.op("sum", (b.load(x, middle),), (), (0, 1)))
    inputs = [np.rint(4 * rng.normal(size=t.shape)).astype(t.dtype) for t in map(tape.type, tape.inputs)]
    found, expected = both(tape, inputs)
    assert_bits(found, expected, signs=False)
    for n in (2, 3):
        assert_bits(on_threads(n, vm.Program(tape).run, inputs), found)


COUNTS = {
    "k + 1": lambda b, j: b.integer("add", j, 1),
    "3 + k - 1": lambda b, j: b.integer("subtract", b.ew("add", b.const(np.int64(3)), j), 1),
    "6 - k": lambda b, j: b.ew("subtract", b.const(np.int64(6)), j),
    "k * -1 + 7": lambda b, j: b.integer("add", b.integer("multiply", j, -1), 7),
    "k * 0 + 4": lambda b, j: b.integer("add", b.integer("multiply", j, 0), 4),
}


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("count", COUNTS.values(), ids=COUNTS)
def test_counters_move_windows(count, backward):
    """Rows and columns at places that go with the trips, read and written, and the numbers themselves."""
    rng, b = np.random.default_rng(2), LoopBuilder()
    x, y, n = b.input((9, 9)), b.input((9, 40)), b.input((), I8)

    def step(b, j, x, n, y):
        k = count(b, j)
        row = b.load_at(y, lambda a, i: a[i], [k], [(0, 9)])
        column = b.load_at(x, lambda a, i: a[:, i], [k], [(0, 9)])
        column = b.ew("add", column, b.load_at(row, lambda a, i: a[i : i + 9], [j], [(0, 6)]))
        x = b.store_at(x, lambda a, i: a[:, i], column, [k], [(0, 9)])
        x = b.accumulate_at(x, lambda a, i: a[i], column, [j], [(0, 6)])
        return [x, b.ew("add", n, b.ew("multiply", k, j))]

    tape = b.done(*b.loop(6, [x, n], [y], step, backward))
    assert_bits(*both(tape, [np.rint(9 * rng.normal(size=s)) for s in ((9, 9), (9, 40))] + [np.array(5)]), signs=False)


def test_counters_of_loops_inside_of_loops():
    """A recurrence over the rows of an array; what moves with both counters needs no kernel of its own."""
    b, row, limits = LoopBuilder(), lambda a, i, j: a[i, j, :], [(0, 7), (0, 5)]
    x = b.input((7, 5, 6))

    def step(b, j, x, i):
        left, j = b.load_at(x, row, [i, j], limits), b.integer("add", j, 1)
        return [b.store_at(x, row, b.ew("add", left, b.load_at(x, row, [i, j], limits)), [i, j], limits)]

    tape = b.done(*b.loop(6, [x], [], lambda b, i, x: b.loop(4, [x], [b.integer("add", i, 1)], step)))
    assert_bits(*both(tape, [np.arange(210.0).reshape(7, 5, 6)]))
    assert all(F8 in kernel.dtypes for kernel in kernels(schedule_of(tape).block))


@pytest.mark.parametrize("trips", [3, 4])
def test_counters_that_leave_their_limits(trips):
    """They raise what the function raises, with its numbers."""
    b = LoopBuilder()
    x = b.input((4,))

    def step(b, j, x):
        return [b.store_at(x, lambda a, i: a[i, ...], b.const(1.0), [b.integer("add", j, 1)], [(0, 4)])]

    program = vm.Program(b.done(*b.loop(trips, [x], [], step)))
    if trips == 4:
        with pytest.raises(IndexError, match="index 4 is out of bounds: it has to be from 0 to 3"):
            program.run([np.zeros(4)])
    else:
        assert_bits(program.run([np.zeros(4)]), [np.array([0.0, 1, 1, 1])])


def test_which_windows_meet():
    """Against the bytes that they lie on, at one place; they keep their distance where the same number moves them."""
    shape, rng = (3, 4), np.random.default_rng(3)
    point = np.indices(shape).reshape(2, -1)
    strides = [(40, 8), (8, 40), (-40, 8), (80, 16), (48, 8), (40, 0), (160, 40)]
    found = set()
    for one, other in itertools.product(strides, strides):
        for offset in rng.integers(-12, 13, 12) * 4:
            places = [400 + at + s[0] * point[0] + s[1] * point[1] for at, s in ((0, one), (offset, other))]
            lie = [{int(p) + k for p in place for k in range(8)} for place in places]
            index = (Index(5, 0, I8, 8, 0, 9),)
            for moving in ((), index):
                how = meeting(Access(0, 400, one, F8, moving), Access(0, 400 + offset, other, F8, moving), shape)
                found.add(how)
                assert how != "apart" or lie[0].isdisjoint(lie[1])
                assert how != "same" or (np.array_equal(*places) and np.unique(places[0]).size == 12)
            assert meeting(Access(0, 400, one, F8, index), Access(0, 400 + offset, other, F8), shape) == "meet"
    assert found == {"apart", "same", "meet"}
    columns = [Access(0, at, (400, 40), F8, (Index(5, 0, I8, 8, 0, 3),)) for at in (0, 8)]
    assert meeting(*columns, (6, 10)) == "apart"


def test_nothing_is_computed_twice_in_a_kernel():
    b = Builder()
    x, y = b.input((20,)), b.input((20,))
    tape = b.done(b.ew("sin", b.ew("add", x, y)), b.ew("cos", b.ew("add", x, y)), b.cast(x, np.dtype(np.float32)), b.cast(x, I8))
    (kernel,) = kernels(schedule_of(tape).block)
    assert sorted(i.op for i in kernel.instrs if i.kind == "apply") == ["add", "cast", "cast", "cos", "sin"]
    assert_close(*both(tape, [np.arange(20.0), np.ones(20)]), 1e-15)


@pytest.mark.parametrize("shape", [(20,), (6, 30)])
def test_stores_that_are_overwritten_are_left_out(shape):
    """Unless somebody reads there in between."""
    for read in (False, True):
        b, part = Builder(), lambda a: a[..., 1:]
        x, y = b.input(shape), b.input(shape)
        once = b.store(b.ew("add", x, x), part, b.ew("multiply", b.load(y, part), b.const(3.0)))
        seen = b.ew("negative", b.load(once, lambda a: a[..., :-1])) if read else y
        tape = b.done(b.store(once, part, b.ew("square", b.load(y, part))), seen)
        assert_bits(*both(tape, [np.full(shape, 2.0), np.full(shape, 5.0)]))
        stores = [i for kernel in kernels(schedule_of(tape).block) for i in shortened(kernel).instrs if i.kind == "store"]
        assert len(stores) == (5 if read else 3)


OVER = {
    "all of it": lambda a: a[1:9, 1:9],
    "a corner": lambda a: a[:8, :8],
    "rows": lambda a: a[2:, 1:9],
    "turned": lambda a: a[1:9, 8:0:-1],
}


@pytest.mark.parametrize("second", OVER.values(), ids=OVER)
def test_what_has_been_stored_is_read_where_it_is(second):
    """And not copied; unless it is overwritten by what reads it."""
    first, b = lambda a: a[1:9, 1:9], Builder()
    x, y = b.input((10, 10)), b.input((10, 10))
    v = b.ew("multiply", b.load(y, first), b.const(3.0))
    once = b.store(b.ew("negative", x), first, v)
    beside = b.ew("add", b.load(once, lambda a: a[1:9, :8]), v)
    tape = b.done(b.store(once, second, b.ew("add", beside, v)), b.ew("square", v))
    inputs = [np.arange(100.0).reshape(10, 10), np.arange(100.0).reshape(10, 10) % 7]
    assert_bits(*both(tape, inputs))

    b = Builder()
    x, y = b.input((10, 10)), b.input((10, 10))
    v = b.ew("multiply", b.load(y, first), b.const(3.0))
    once = b.store(b.ew("negative", x), first, v)
    tape = b.done(b.store(once, second, v), b.ew("square", v))
    assert_bits(*both(tape, inputs))


def test_stores_that_are_read_again_are_no_copies():
    b, inner = Builder(), lambda a: a[1:-1]
    x, y = b.input((50,)), b.input((50,))
    y = b.ew("add", y, y)
    v = b.ew("negative", b.load(x, inner))
    once = b.store(y, inner, v)
    tape = b.done(b.ew("add", b.load(once, lambda a: a[:-2]), v), once)
    assert_bits(*both(tape, [np.arange(50.0), np.ones(50)]))
    assert [slot.kind for slot in schedule_of(tape).slots] == ["input", "input", "output", "output"]


@pytest.mark.parametrize("char", "fdDl")
def test_chains_of_sums(char):
    """Two sums in one instruction, each rounded as before; not those that are wanted besides."""
    b, dtype, rng = Builder(), np.dtype(char), np.random.default_rng(4)
    x = [b.input((37,), dtype) for _ in range(7)]
    add = lambda u, v: b.op("add", (u, v), (37,), dtype=dtype)
    chain = x[0]
    for v in x[1:5]:
        chain = add(chain, v)
    wanted = add(x[5], x[6])
    tape = b.done(chain, add(x[5], chain), wanted, add(x[0], wanted), add(wanted, wanted))
    for special in (False, True):
        inputs = [numbers(rng, (37,), dtype, special=special) for _ in x]
        assert_bits(*both(tape, inputs), signs=False)
    (kernel,) = kernels(schedule_of(tape).block)
    ops = sorted(i.op for i in shortened(kernel).instrs if i.kind == "apply")
    assert ops == (["add"] * 4 + ["add3"] * 2 if char in "fd" else ["add"] * 8)


def test_indices_that_are_known_move_no_window():
    """Unless they are out of bounds, which is an error when the tape is run."""
    b, limits = LoopBuilder(), [(0, 4), (0, 3)]
    x, row = b.input((4, 3, 6)), lambda a, i, j: a[i, j, :]
    two = b.const(np.int64(2))
    here = b.load_at(x, row, [b.const(np.int64(3)), two], limits)
    tape = b.done(b.store_at(b.ew("negative", x), row, b.ew("square", here), [two, two], limits))
    assert_bits(*both(tape, [np.arange(72.0).reshape(4, 3, 6)]))
    accesses = [instr.access for kernel in kernels(schedule_of(tape).block) for instr in kernel.instrs if instr.access]
    assert accesses and not any(access.moving for access in accesses)

    b = LoopBuilder()
    x = b.input((4,))
    program = vm.Program(b.done(b.load_at(x, lambda a, i: a[i : i + 1], [b.const(np.int64(4))], [(0, 4)])))
    with pytest.raises(IndexError, match="index 4 is out of bounds: it has to be from 0 to 3"):
        program.run([np.zeros(4)])


def test_numbers_of_outer_loops_are_ready_before_inner_ones():
    """An inner loop over elements does not compute the number of its row again."""
    b, limits = LoopBuilder(), [(0, 7), (0, 5)]
    x, element = b.input((7, 5)), lambda a, i, j: a[i, j, ...]

    def step(b, j, x, i):
        left, j = b.load_at(x, element, [i, j], limits), b.integer("add", j, 1)
        value = b.ew("sin", b.ew("add", left, b.load_at(x, element, [i, j], limits)))
        return [b.store_at(x, element, value, [i, j], limits)]

    tape = b.done(*b.loop(6, [x], [], lambda b, i, x: b.loop(4, [x], [b.integer("add", i, 1)], step)))
    assert_close(*both(tape, [np.linspace(0, 1, 35).reshape(7, 5)]), 1e-15)
    (outer,) = (step for step in schedule_of(tape).block.steps if isinstance(step, Repeat))
    (inner,) = (step for step in outer.block.steps if isinstance(step, Repeat))
    assert len(inner.block.steps) == 1
