"""Gathers and scatters in kernels: what index arrays name, when it is checked, in which order it is added, and what fuses."""

import itertools
import re
import traceback

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsead
from engines import ARRANGED, assert_bits, both, needs_compiler, on_threads
from loop_tapes import LoopBuilder
from sized_tapes import LENGTHS, SizedTape
from sparsead import engine
from sparsead.engine import reference, vm
from sparsead.engine.report import report
from sparsead.ops.positions import TRACED, Fixed, Positions
from sparsead.schedule.check import ScheduleError, check
from sparsead.schedule.form import Bounds, Call, Kernel, inside
from sparsead.schedule.listing import listing
from sparsead.schedule.planner import schedule_of
from sparsead.tape.spec import View
from tapes import F8, I8, Builder

I4 = np.dtype(np.int32)
seeds = st.integers(0, 10**9)


def contents(tape):
    """(kernels, checks of index numbers, names of ops that are called) of a tape's schedule."""
    steps = list(inside(*schedule_of(tape).block.steps))
    kinds = [[step for step in steps if isinstance(step, kind)] for kind in (Kernel, Bounds, Call)]
    return len(kinds[0]), len(kinds[1]), [step.op.op.name for step in kinds[2]]


def same_on_all_threads(tape, inputs):
    """The results of the tiled engine, which have the bits of the reference interpreter on 1, 2 and 3 threads."""
    results, expected = both(tape, inputs)
    made = vm.Program(tape)
    for threads in (1, 2, 3):
        assert_bits(on_threads(threads, made.run, inputs), expected)
    return results


# ---- what an index names -------------------------------------------------------------------------------------------------

INDICES = [
    lambda i: i, lambda i: (i,), lambda i: (slice(None), i), lambda i: (..., i), lambda i: (i, ...), lambda i: (1, i),
    lambda i: (i, -1), lambda i: (slice(None), slice(1, None), i), lambda i: (slice(None), i, slice(None, None, -2)),
    lambda i: (0, slice(None), i), lambda i: (i, slice(1, 2), 1), lambda i: (None, i), lambda i: (1, None, i),
    lambda i: (slice(3, 0, -1), i, None), lambda i: (slice(None), 1, i), lambda i: (1, i, -2), lambda i: (-1, ..., i),
    lambda i: (np.int32(1), i, slice(0, 0)),
]  # fmt: skip


@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (4, 3), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("k", range(len(INDICES)))
def test_positions_by_one_array_lie_on_a_line(k, shape):
    """For each form of index the positions are those that NumPy finds."""
    rng = np.random.default_rng(k)
    for array in (np.zeros((5, 4, 3)), np.zeros((3, 4, 5)).T, np.zeros((9, 4, 5))[::-2, :, ::2]):
        view = View(array.shape, array.strides, array.dtype)
        parts = INDICES[k](TRACED)
        parts = parts if isinstance(parts, tuple) else (parts,)
        traced = tuple(at for at, part in enumerate(parts) if part is TRACED)
        made = Positions(view, 8 * 500, tuple(None if part is TRACED else Fixed(part) for part in parts), traced)
        line = made.line()
        i = rng.integers(-line.extent, line.extent, shape)
        axes = [*line.before, *((n, 0) for n in shape), *line.behind]
        found = np.full([n for n, _ in axes], line.first)
        for axis, (n, stride) in enumerate(axes):
            found += (np.arange(n) * stride).reshape((n,) + (1,) * (len(axes) - axis - 1))
        wrapped = np.where(i < 0, i + line.extent, i) * line.step
        found += wrapped.reshape(shape + (1,) * len(line.behind))
        np.testing.assert_array_equal(found, made(i))


def test_positions_by_other_indices_are_no_line():
    view = View((4, 3), (24, 8), F8)
    for parts in [(None, None), (None, Fixed(np.array([0, 1]))), (Fixed(True), None)]:
        traced = tuple(at for at, part in enumerate(parts) if part is None)
        assert Positions(view, 0, parts, traced).line() is None


SUBSCRIPTS = {
    "along one axis": lambda x, i: x[i],
    "of two axes": lambda x, i: x.reshape(-1, 4)[i],
    "along the last axis": lambda x, i: x.reshape(4, -1)[:, i],
    "of columns": lambda x, i: x.reshape(-1, 4)[i, 1:3],
    "of a row": lambda x, i: x.reshape(4, -1)[2, i],
    "in between": lambda x, i: x.reshape(2, -1, 2)[:, i, ::-1],
    "of every second": lambda x, i: x[::2][i],
    "backwards": lambda x, i: x[::-1][i],
    "by half of the indices": lambda x, i: x[i[..., :1]],
    "by transposed indices": lambda x, i: x[i.T],
    "by every second index": lambda x, i: x[i[::2]],
    "by take": lambda x, i: np.take(x, i),
    "in Fortran's order": lambda x, i: x.reshape(-1, 4, order="F")[i],
    "by computed indices": lambda x, i: x[i * 2 % 20],
}
ARRAYS = {
    "numbers": np.array([3, -1, 0, 3, 3, 7, -20]), "narrow": np.array([[0, 1, 2], [2, 1, 0], [-1, 5, 5]], np.int32),
    "small": np.array([[7], [7], [-8]], np.int8), "none": np.zeros((0, 3), int), "many": np.arange(6000).reshape(-1, 3) % 19,
    "unsigned": np.array([1, 2, 3, 19], np.uint32),
}  # fmt: skip


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("name", SUBSCRIPTS)
def test_subscripts(name, array):
    """Read and added to by index arrays that are arguments or captured: nothing is called, and all is right."""
    index, subscript = ARRAYS[array], SUBSCRIPTS[name]

    def by_argument(x, i):
        y = np.sin(x)
        part = np.cos(subscript(y, i))
        np.add.at(y, i[..., 0] if i.ndim > 1 else i, 0.5)
        return np.sum(part * part) + np.sum(y * y)

    def captured(x):
        return by_argument(x, index)

    x = np.linspace(0.1, 1.0, 80)
    for f, args in ((by_argument, (x, index)), (captured, (x,))):
        found = sparsead.grad(f, wrt="x")
        for _ in range(2):
            expected = sparsead.grad(f, wrt="x", engine="reference")(*args)
            np.testing.assert_allclose(found(*args), expected, rtol=0, atol=1e-13)
            args = (x[::-1].copy(), *args[1:])
        assert not re.search(r"\d calls?\b", found.report()), found.report(kernels=True)


# ---- by random programs --------------------------------------------------------------------------------------------------


class IndexedTape(SizedTape):
    """A random tape of gathers and scatters, of views on what is gathered, and of what is computed with it and stored."""

    PLAIN = ("gather", "gather", "gather", "scatter", "scatter", "window", "window", "binary", "unary", "stored", "accumulated",
             "moved", "copy", "filled", "spread")  # fmt: skip

    def positions(self, b, env, x, shape):
        """Besides those of any tape: lines with a few numbers among them, permutations, one number everywhere."""
        n, size = b.tape.type(x).size, int(np.prod(shape))
        if self.chance(0.5) or not size:
            return super().positions(b, env, x, shape)
        line = sum(int(self.rng.integers(-3, 4)) * k for k in np.indices(shape)) + self.rng.integers(n)
        part = self.rng.integers(0, n, tuple(k if self.chance(0.5) else 1 for k in shape))
        kinds = [line % n, (line + part) % n, (self.rng.permutation(max(n, size))[:size] % n).reshape(shape), 0 * line + n - 1]
        return b.const((self.pick(kinds) - (n if self.chance(0.2) else 0)).astype(self.pick([np.int64, np.int32, np.int16])))


@settings(max_examples=4 * settings().max_examples)
@given(seeds)
def test_random_programs(seed):
    """Whole numbers, whose sums are the same in any order, on any number of threads."""
    made = IndexedTape(seed, "whole")
    inputs = made.point()
    _, expected = both(made.tape, inputs)
    program = vm.Program(made.tape)
    for threads in (1, 2, 3):
        assert_bits(on_threads(threads, program.run, inputs), expected, signs=False)


@given(seeds)
def test_random_programs_on_any_threads(seed):
    """Rough numbers: whatever the order of sums is, it is the same for any number of threads."""
    made = IndexedTape(seed, "smooth")
    inputs, program = made.point(), vm.Program(made.tape)
    first = on_threads(1, program.run, inputs)
    for threads in (2, 3):
        assert_bits(on_threads(threads, program.run, inputs), first)
    for found, expected in zip(first, reference.Program(made.tape).run(inputs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * max(1, np.max(np.abs(expected), initial=0)))


@needs_compiler
@pytest.mark.parametrize("seed", range(8, 16))
def test_compiled_kernels(seed):
    made = IndexedTape(seed, "whole")
    inputs, program = made.point(), engine.program(made.tape, "native")
    expected = reference.Program(made.tape).run(inputs)
    for threads in (1, 2, 5):
        assert_bits(on_threads(threads, program.run, inputs), expected, signs=False)


# ---- in which order ------------------------------------------------------------------------------------------------------


def rough(rng, shape):
    """Numbers whose sums depend on the order."""
    return rng.normal(size=shape) * 10.0 ** rng.integers(-8, 9, shape)


@pytest.mark.parametrize("n", [n for n in LENGTHS if n] + [70_000])
@pytest.mark.parametrize("dtype", [I4, I8], ids=str)
def test_sums_have_the_bits_of_numpy(n, dtype):
    """Computed in the kernel or in memory, by known or given indices: added in the order of the indices."""
    rng = np.random.default_rng(n)
    pos = rng.integers(-37, 37, n).astype(dtype)
    for known, computed in itertools.product([True, False], repeat=2):
        b = Builder()
        x, v = b.input((37,)), b.input((n,))
        at = b.const(pos) if known else b.input((n,), dtype)
        tape = b.done(b.op("scatter_add", (x, at, b.ew("multiply", v, v) if computed else v), (37,)))
        x, v = rough(rng, 37), rough(rng, n)
        (found,) = same_on_all_threads(tape, [x, v] if known else [x, v, pos])
        np.add.at(x, pos, v * v if computed else v)
        assert_bits([found], [x])


@pytest.mark.parametrize("known", [True, False])
def test_the_last_of_equal_indices_is_what_is_stored(known):
    rng = np.random.default_rng(5)
    pos = rng.integers(0, 50, 9000)
    b = Builder()
    x, v = b.input((50,)), b.input((9000,))
    at = b.const(pos) if known else b.input((9000,), I8)
    tape = b.done(b.op("scatter", (x, at, b.ew("sin", v)), (50,)))
    same_on_all_threads(tape, [rough(rng, 50), rough(rng, 9000)] + ([] if known else [pos]))


@pytest.mark.parametrize("repeated", [False, True])
def test_read_changed_and_stored_by_one_index_array(repeated):
    """As in ``x[i] += v``: all is read before anything is stored, in one kernel where no index comes twice."""
    rng = np.random.default_rng(6)
    pos = rng.integers(0, 3000, 4100) if repeated else rng.permutation(5000)[:4100]
    b = Builder()
    x, v = b.input((5000,)), b.input((4100,))
    i, y = b.const(pos), b.op("copy", (x,), (5000,))
    tape = b.done(b.op("scatter", (y, i, b.ew("add", b.op("gather", (y, i), (4100,)), v)), (5000,)))
    same_on_all_threads(tape, [rough(rng, 5000), rough(rng, 4100)])
    kernels, checks, calls = contents(tape)
    assert (kernels, checks, calls) == ((3 if repeated else 2), 0, [])


def test_distinct_indices_are_stored_on_all_threads():
    """Of those that are known, in any order."""
    n = 300_000
    b = Builder()
    x, v = b.input((n,)), b.input((n,))
    tape = b.done(b.op("scatter_add", (x, b.const(np.random.default_rng(7).permutation(n)), b.ew("sin", v)), (n,)))
    made = vm.Program(tape)
    assert "on any thread" in "".join(report_of(made))
    assert "one after the other" in "".join(report_of(vm.Program(repeated_sums(n))))


def repeated_sums(n):
    b = Builder()
    x, v = b.input((n,)), b.input((n,))
    return b.done(b.op("scatter_add", (x, b.const(np.arange(n) // 2), b.ew("sin", v)), (n,)))


def report_of(program):
    return report("a tape", program, long=True)


def busy(b, v, n):
    """A value that takes many instructions."""
    for k in range(n):
        v = b.ew("multiply", b.ew("add", v, b.const(0.5 + k)), b.const(0.25))
    return v


@pytest.mark.parametrize("name", ["scatter_add", "scatter"])
@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("n", [1000, 8191, 50_000, 200_003])
def test_what_is_put_off_comes_in_order(n, lanes, name):
    """Computed by all threads, written by index in the order of one."""
    rng = np.random.default_rng(n)
    b = LoopBuilder()
    x, v = b.zeros((lanes * 37,)), b.input((lanes, n))
    pos = rng.integers(0, 37, n).astype(I4)
    tape = b.done(b.op(name, (x, b.const(pos), busy(b, v, 8)), (lanes * 37,), imm=lanes), b.ew("sin", v))
    made = vm.Program(tape)
    if n > 40_000:
        assert "on any thread, but for what they write by index" in "".join(report_of(made))
    inputs = [rough(rng, (lanes, n))]
    expected = reference.Program(tape).run(inputs)
    for threads in (1, 2, 3, 2, 3, 7):  # again and again: who is through first is chance
        assert_bits(on_threads(threads, made.run, inputs)[:1], expected[:1])


@pytest.mark.parametrize("n", [50_000, 200_003])
def test_several_sums_that_are_put_off(n):
    """By columns of one index array, to one array and to another: the same bits on any threads, NumPy's but for the order."""
    rng = np.random.default_rng(n)
    b = LoopBuilder()
    x, z, y, v, i = b.zeros((99,)), b.zeros((4000,)), b.input((4000,)), b.input((n,)), b.input((n, 3), I8)
    u = busy(b, b.op("gather", (y, b.load(i, lambda a: a[:, 0])), (n,)), 30)
    for k in range(3):
        term = b.ew("multiply", u, b.ew("add", v, b.const(float(k))))
        x = b.op("scatter_add", (x, b.load(i, lambda a, k=k: a[:, k]), term), (99,))
    z = b.op("scatter_add", (z, b.load(i, lambda a: a[:, 2]), u), (4000,))
    tape = b.done(x, z, b.op("sum", (u,), (), (0,)))
    made = vm.Program(tape)
    assert "on any thread, but for what they write by index" in "".join(report_of(made))
    assert contents(tape) == (1, 5, [])  # each column for each extent that it names elements of
    inputs = [rng.normal(size=4000), rng.normal(size=n), rng.integers(-99, 99, (n, 3))]
    first = on_threads(1, made.run, inputs)
    for found, expected in zip(first, reference.Program(tape).run(inputs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))
    for threads in (2, 3, 2, 3, 7):
        assert_bits(on_threads(threads, made.run, inputs), first)


# ---- what is overwritten -------------------------------------------------------------------------------------------------


def test_what_was_gathered_is_not_what_is_there_later():
    """The source, the index array, and both at once are overwritten between a gather and its use."""
    rng = np.random.default_rng(8)
    for n in (5, 3000):
        b = LoopBuilder()
        x, i = b.input((n,)), b.input((n,), I8)
        y, j = b.op("copy", (x,), (n,)), b.op("copy", (i,), (n,), dtype=I8)
        first = b.op("gather", (y, j), (n,))
        part = b.load(first, lambda a: a[::-2])
        half = b.load(y, lambda a: a[: len(a) // 2])
        y = b.store(y, lambda a: a[: len(a) // 2], b.ew("negative", half))
        second = b.op("gather", (y, j), (n,))
        j = b.store(j, lambda a: a[1:], b.load(j, lambda a: a[:-1]))
        third = b.op("gather", (y, j), (n,))
        y = b.op("scatter_add", (y, j, first), (n,))
        tape = b.done(b.ew("add", first, second), b.ew("sin", part), b.ew("multiply", third, first), y, j)
        whole = np.rint(rng.normal(size=n) * 9)
        for index in (rng.integers(-n, n, n), np.arange(n)):
            results, expected = both(tape, [whole, index])
            assert_bits(results, expected, signs=False)


def test_integers_that_index_themselves():
    """An array that is its own index array, read, stored to and added to."""
    for n in (1, 9, 4000):
        i = np.random.default_rng(n).permutation(n)
        b = Builder()
        x = b.input((n,), I8)
        y = b.op("copy", (x,), (n,), dtype=I8)
        z = b.op("gather", (y, y), (n,), dtype=I8)
        by = b.load(y, lambda a: a[::-1])
        added = b.op("scatter_add", (y, by, z), (n,), dtype=I8)
        tape = b.done(added, z, b.op("scatter", (x, x, x), (n,), dtype=I8))
        same_on_all_threads(tape, [i])


def test_a_gather_does_not_join_what_writes_its_source():
    n = 5000
    b = Builder()
    x, v = b.input((n,)), b.input((n,))
    y = b.store(b.op("empty", (), (n,)), lambda a: a[:], b.ew("sin", x))
    by = b.const(np.random.default_rng(9).integers(0, n, n))
    tape = b.done(b.ew("multiply", b.op("gather", (y, by), (n,)), v))
    assert contents(tape) == (2, 0, [])
    b = Builder()
    x, v = b.input((n,)), b.input((n,))
    by = b.const(np.random.default_rng(9).integers(0, n, n))
    apart = b.done(b.ew("multiply", b.op("gather", (x, by), (n,)), b.ew("cos", v)))
    assert contents(apart) == (1, 0, [])
    for each in (tape, apart):
        same_on_all_threads(each, [np.linspace(0, 1, n), np.linspace(1, 2, n)])


# ---- checks --------------------------------------------------------------------------------------------------------------


def test_known_indices_are_checked_once_and_given_ones_at_every_run():
    b = Builder()
    assert contents(b.done(b.op("gather", (b.input((9,)), b.const([1, 8, -9])), (3,)))) == (1, 0, [])
    b = Builder()
    x, i = b.input((9,)), b.input((4,), I8)
    tape = b.done(b.op("gather", (x, i), (4,)), b.op("gather", (b.ew("sin", x), i), (4,)))
    assert contents(tape)[1:] == (1, [])
    assert "check %1[0; 8] is from -9 to 8" in listing(schedule_of(tape))


@pytest.mark.parametrize("shape", [(), (1,), (7,), (70_000,), (300, 50), (3, 5, 7)], ids=str)
@pytest.mark.parametrize("dtype", "bhilBHI")
def test_indices_out_of_bounds(shape, dtype):
    """Wherever one number is too large or too small, and only then; it is the one that the message names."""
    rng, n = np.random.default_rng(10), 40
    for arrange in ARRANGED.values():
        b = Builder()
        x, i = b.input((n,)), b.input(shape, np.dtype(dtype))
        z = b.load(b.op("gather", (x, i), shape), lambda a: a.T)
        made = vm.Program(b.done(b.ew("sin", z)))
        good = rng.integers(-n if np.dtype(dtype).kind == "i" else 0, n, shape).astype(dtype)
        x = rng.normal(size=n)
        assert_bits(made.run([x, arrange(good)]), [np.sin(x[arrange(good)]).T])
        for wrong in (n, -n - 1)[: 2 if np.dtype(dtype).kind == "i" else 1]:
            bad = np.array(arrange(good))
            bad[tuple(rng.integers(0, k) for k in shape)] = wrong
            for threads in (1, 3):
                with pytest.raises(IndexError, match=rf"index {wrong} is out of bounds for axis 0 with size {n}"):
                    on_threads(threads, made.run, [x, bad])


def test_what_does_not_change_in_a_loop_is_checked_before_it():
    def step(b, j, y, i, v):
        return [b.op("scatter_add", (y, i, b.ew("multiply", v, b.op("gather", (y, i), (3,)))), (9,))]

    def tape_of(trips, changing):
        b = LoopBuilder()
        x, i, v = b.input((9,)), b.input((3,), I8), b.input((3,))
        if changing:
            turn = lambda b, j, y, i, v: [*step(b, j, y, i, v), b.ew("remainder", b.ew("add", i, i), b.const(np.int64(9)))]
            return b.done(*b.loop(trips, [x, i], [v], lambda b, j, y, i, v: turn(b, j, y, i, v)))
        return b.done(*b.loop(trips, [x], [i, v], step))

    for trips, changing in ((4, False), (4, True), (0, False)):
        tape = tape_of(trips, changing)
        outside = [type(step) for step in schedule_of(tape).block.steps]
        assert (Bounds in outside) == (trips > 0 and not changing)
        inputs = [np.arange(9.0), np.array([1, -8, 4]), np.ones(3)]
        same_on_all_threads(tape, inputs)
        bad = [np.arange(9.0), np.array([1, 9, 4]), np.ones(3)]
        made = vm.Program(tape)
        if trips:
            with pytest.raises(IndexError):
                made.run(bad)
        else:
            assert_bits(made.run(bad), [np.arange(9.0)])
        same_on_all_threads(tape, inputs)


def test_index_arrays_that_move_with_the_trips_of_a_loop():
    """Another row of them on each trip: checked when it is there."""

    def step(b, j, y, i):
        row = b.load_at(i, lambda a, k: a[k], [j], [(0, 4)])
        part = b.ew("negative", b.op("gather", (y, row), (3,)))
        return [b.op("scatter_add", (y, row, b.ew("multiply", part, b.load(part, lambda a: a[::-1]))), (9,))]

    b = LoopBuilder()
    x, i = b.input((9,)), b.input((4, 3), I8)
    tape = b.done(*b.loop(4, [x], [i], step))
    index = np.random.default_rng(3).integers(-9, 9, (4, 3))
    same_on_all_threads(tape, [np.arange(9.0), index])
    index[3, 1] = -10
    with pytest.raises(IndexError, match="index -10 is out of bounds"):
        vm.Program(tape).run([np.arange(9.0), index])


def test_indices_out_of_bounds_are_the_users_to_see():
    """A replay by indices that are out of bounds ends in NumPy's own error, at the user's line."""

    def f(x, i):
        y = np.sin(x)
        return np.sum(y[i] * y[i])  # here

    derivative = sparsead.grad(f, wrt="x")
    x = np.arange(5.0)
    for good in (np.array([0, 1]), np.array([3, -5])):
        derivative(x, good)
        with pytest.raises(IndexError, match="index 5 is out of bounds for axis 0 with size 5") as caught:
            derivative(x, np.array([0, 5]))
        last = traceback.extract_tb(caught.value.__traceback__)
        assert any(frame.filename == __file__ and frame.line.endswith("# here") for frame in last)
        np.testing.assert_allclose(derivative(x, good), sparsead.grad(f, wrt="x", engine="reference")(x, good))


def test_a_schedule_that_leaves_its_memory_by_index_is_refused():
    b = Builder()
    x, i = b.input((9,)), b.input((4,), I8)
    schedule = schedule_of(b.done(b.ew("sin", b.op("gather", (x, i), (4,)))))
    check(schedule)
    kernel = next(step for step in schedule.block.steps if isinstance(step, Kernel))
    wide = lambda access: access if access.by is None else access._replace(by=access.by._replace(extent=10))
    at = schedule.block.steps.index(kernel)
    schedule.block.steps[at] = kernel.changed(kernel.space, wide)
    with pytest.raises(ScheduleError, match="bytes 0 to 80 of a slot of 72"):
        check(schedule)
    schedule.block.steps[at] = kernel.with_instrs(kernel.instrs[1:])
    with pytest.raises(ScheduleError, match="holds no index numbers"):
        check(schedule)


# ---- meshes and graphs ---------------------------------------------------------------------------------------------------


def mesh(m):
    """Nodes and triangles of a square that is cut into ``2 * m * m``."""
    i, j = np.meshgrid(np.arange(m), np.arange(m), indexing="ij")
    a = (i * (m + 1) + j).ravel()
    triangles = np.concatenate([np.stack([a, a + 1, a + m + 2], 1), np.stack([a, a + m + 2, a + m + 1], 1)])
    x = np.stack(np.meshgrid(*2 * [np.linspace(0, 1, m + 1)], indexing="ij"), -1).reshape(-1, 2)
    return x, np.random.default_rng(0).permutation(triangles)


def elasticity(x, triangles):
    """Energy of a net of springs along the sides of triangles, with vectors at its nodes, and the forces by it."""

    def energy(u):
        p = (x + u)[triangles]
        sides = p - p[:, [1, 2, 0]]
        squares = np.sum(sides * sides, axis=2)
        return np.sum((squares - 0.1) ** 2)

    return energy


def test_nodes_with_vectors():
    x, triangles = mesh(30)
    energy = elasticity(x, triangles)
    u = 0.1 * np.random.default_rng(1).normal(size=x.shape)
    found = sparsead.grad(energy)
    for _ in range(2):
        np.testing.assert_allclose(found(u), sparsead.grad(energy, engine="reference")(u), rtol=0, atol=1e-12)
    assert not re.search(r"\d calls?\b", found.report()), found.report(kernels=True)


def test_steps_on_a_graph():
    """A loop of gathers and sums by index, along edges that are arguments or captured."""
    rng = np.random.default_rng(2)
    ends = rng.integers(-40, 40, (2, 300))

    def diffuse(u, edges):
        old = u.copy()
        for k in sparsead.steps(25):
            flow = 0.01 * np.tanh(old[edges[0]] - old[edges[1]])
            np.add.at(u, edges[1], flow)
            u[edges[0]] -= flow
            old[:] = u
        return np.sum(u * u)

    def captured(u):
        return diffuse(u, ends)

    u = rng.normal(size=40)
    for f, args in ((diffuse, (u, ends)), (captured, (u,))):
        found = sparsead.grad(f, wrt="u")
        for _ in range(2):
            np.testing.assert_allclose(found(*args), sparsead.grad(f, wrt="u", engine="reference")(*args), rtol=0, atol=1e-12)
    with pytest.raises(IndexError, match="out of bounds"):
        sparsead.grad(diffuse, wrt="u")(u, ends + 40)
