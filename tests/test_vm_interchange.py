"""Loops that are run strip by strip: which of them are, and that it makes no difference."""

import numpy as np
import pytest

import sparsead
from engines import assert_bits, assert_close, both, needs_compiler, on_threads
from loop_tapes import LoopBuilder
from sparsead import engine
from sparsead.engine import vm
from sparsead.schedule import interchange
from sparsead.schedule.form import Repeat
from sparsead.schedule.planner import schedule_of
from sparsead.transform._adjoint import adjoint

N, K = 30, 12


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Strips of arrays that are small enough for tests."""
    monkeypatch.setattr(interchange, "BIG", 1 << 10)
    monkeypatch.setattr(interchange, "STRIP", 1 << 13)
    monkeypatch.setattr(interchange, "LEAST", 7)


def level(shift=0):
    """A window on the plane at the trip plus `shift`."""
    return lambda a, k: a[:, :, k + shift]


def whole(b, j, x, y, c):
    """Along the last axis, each plane from the one before it; a second array that changes hands."""
    before = b.load_at(x, level(), [j], [(0, K - 1)])
    here = b.load_at(y, level(1), [j], [(0, K - 1)])
    x = b.store_at(x, level(1), b.ew("add", b.ew("multiply", before, c), here), [j], [(0, K - 1)])
    return [x, b.accumulate_at(y, level(), before, [j], [(0, K - 1)]), b.ew("add", c, b.ew("multiply", here, here))]


def reading_neighbours(b, j, x, y, c):
    """A row that reads what the trip before it wrote in the next row."""
    beside = b.load(c, lambda a: a[::-1])
    x = b.store_at(x, level(), beside, [j], [(0, K)])
    return [x, y, b.ew("add", beside, b.load_at(y, level(), [j], [(0, K)]))]


def planes(b, j, x, y, c):
    """Planes along the first axis: the trip is the row."""
    before = b.load_at(x, lambda a, k: a[k, :, :], [j], [(0, N - 1)])
    return [b.store_at(x, lambda a, k: a[k + 1, :, :], b.ew("negative", before), [j], [(0, N - 1)]), y, c]


def added_over_rows(b, j, x, y, c):
    """Rows add to what is beside them as well, where nobody reads."""
    plane = b.load_at(x, lambda a, k: a[1:, :, k], [j], [(0, K)])
    y = b.accumulate_at(y, lambda a, k: a[1:, :, k], plane, [j], [(0, K)])
    return [x, b.accumulate_at(y, lambda a, k: a[:-1, :, k], plane, [j], [(0, K)]), c]


def swapped(b, j, x, y, c):
    """Memory changes hands at each trip."""
    return [y, b.ew("subtract", x, y), c]


STEPS = {"whole": whole, "planes": planes, "added": added_over_rows, "neighbours": reading_neighbours, "swapped": swapped}
STRIPS = {"whole": True, "planes": False, "added": True, "neighbours": False, "swapped": True}


def loops(block):
    for step in block.steps:
        if isinstance(step, Repeat):
            yield step
            yield from loops(step.block)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", STEPS)
def test_strips(name, backward):
    """Loops and their adjoints; bitwise where sums are exact, and the same on any number of threads."""
    b = LoopBuilder()
    x, y, c = b.input((N, N, K)), b.input((N, N, K)), b.input((N, N))
    trips = 3 if name == "whole" else 4
    tape = b.done(*b.loop(trips, [x, y, c], [], STEPS[name], backward))
    assert any(loop.height for loop in loops(schedule_of(tape).block)) == STRIPS[name]
    rng = np.random.default_rng(1)
    for law in (tape, adjoint(tape, range(3), range(3))[0]):
        inputs = [np.rint(2 * rng.normal(size=law.type(v).shape)) for v in law.inputs]
        results, expected = both(law, inputs)
        assert_bits(results, expected, signs=False)
        for n in (2, 3):
            assert_bits(on_threads(n, vm.Program(law).run, inputs), results)


@needs_compiler
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", [name for name in STEPS if STRIPS[name]])
def test_compiled_strips(name, backward):
    """Whole loops, rows in the order of the tiled engine."""
    b = LoopBuilder()
    x, y, c = b.input((N, N, K)), b.input((N, N, K)), b.input((N, N))
    tape = b.done(*b.loop(3, [x, y, c], [], STEPS[name], backward))
    rng = np.random.default_rng(1)
    for law in (tape, adjoint(tape, range(3), range(3))[0]):
        inputs = [rng.normal(size=law.type(v).shape) for v in law.inputs]
        program = engine.program(law, "native")
        assert [k for k, step in enumerate(program.steps) if isinstance(step, Repeat)] == program.build.steps
        assert_bits(program.run(inputs), vm.Program(law).run(inputs))


def test_a_sweep_of_a_function():
    """Thomas' algorithm along the last axis, as in the vertical advection of weather models."""

    def solve(lower, upper, right):
        upper, x = upper.copy(), right.copy()
        for k in sparsead.steps(K - 1):
            pivot = 1 / (4 - lower[:, :, k + 1] * upper[:, :, k])
            upper[:, :, k + 1] *= pivot
            x[:, :, k + 1] = (x[:, :, k + 1] - lower[:, :, k + 1] * x[:, :, k]) * pivot
        for k in reversed(sparsead.steps(K - 1)):
            x[:, :, k] -= upper[:, :, k] * x[:, :, k + 1]
        return np.sum(x**2)

    rng = np.random.default_rng(2)
    args = [rng.random((N, N, K)) for _ in range(3)]
    derivatives = [sparsead.value_and_grad(solve, wrt=(0, 1, 2), engine=engine) for engine in ("vm", "reference")]
    (value, found), (right, expected) = (derivative(*args) for derivative in derivatives)
    assert_close([np.array(value), *found], [np.array(right), *expected], 1e-12)


@pytest.mark.parametrize("name", ["vm", pytest.param("native", marks=needs_compiler)])
def test_an_index_that_leaves_its_limits(name):
    """The engine works on after the error."""
    b = LoopBuilder()
    x, y, c, n = b.input((N, N, K)), b.input((N, N, K)), b.input((N, N)), b.input((), np.dtype(np.int64))
    step = lambda b, j, x, y, c, n: [b.store_at(x, level(), c, [n], [(0, K)]), y, b.ew("add", c, c)]
    tape = b.done(*b.loop(3, [x, y, c], [n], step))
    assert any(loop.height for loop in loops(schedule_of(tape).block))
    program, arrays = engine.program(tape, name), [np.ones((N, N, K)), np.ones((N, N, K)), np.ones((N, N))]
    with pytest.raises(IndexError, match=f"index {K} is out of bounds"):
        program.run([*arrays, np.array(K)])
    results, expected = both(tape, [*arrays, np.array(3)])
    assert_bits(results, expected)
    assert_bits(program.run([*arrays, np.array(3)]), expected)
