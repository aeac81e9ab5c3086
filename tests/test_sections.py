"""Parts of arrays: boxes, stores of what is read and of nothing else, zeros that begin with what is added to them."""

from itertools import product

import numpy as np
import pytest

import sparsead
from engines import assert_bits, assert_close, on_threads
from sparsead.engine import reference, vm
from sparsead.ops.moving import Moving
from sparsead.schedule.form import Kernel, Strips
from sparsead.schedule.planner import schedule_of
from sparsead.tape.spec import View
from sparsead.transform import boxes
from sparsead.transform._adjoint import adjoint
from sparsead.transform._begin import begun
from sparsead.transform._linear import linearize
from sparsead.transform._narrow import narrowed
from sparsead.transform._simplify import simplify
from sparsead.transform._tangent import tangent
from tapes import ANY, Builder, RandomTape, random_window

SHAPE = (6, 5)


# ---- boxes ---------------------------------------------------------------------------------------------------------------


def places(window, t):
    """Where in a storage the elements of a window of its numbered elements are, by axes of the storage, longest stride first."""
    order = sorted((k for k in range(t.ndim) if t.shape[k] > 1), key=lambda k: -t.strides[k])
    index = np.array(np.unravel_index(window.ravel(), t.shape))[order]
    return {tuple(place) for place in index.T}


def points(box):
    return set(product(*(range(low, high) for low, high in box)))


@pytest.mark.parametrize("seed", range(150))
def test_boxes_of_windows(seed):
    """An exact window covers its box, a cover contains the window; both from the elements themselves."""
    rng, b = np.random.default_rng(seed), Builder()
    axes = rng.permutation(3)
    memory = np.empty([(4, 3, 5)[k] for k in axes]).transpose(np.argsort(axes))
    x = b.input(memory.shape, strides=memory.strides)
    t, state = b.tape.type(x), rng.bit_generator.state
    pick = lambda a: random_window(rng, sliced(rng, a), rng.random() < 0.7)
    view, offset = b.view(x, pick)
    rng.bit_generator.state = state
    numbers = np.empty_like(memory, dtype=int)
    numbers[...] = np.arange(t.size).reshape(t.shape)
    window = pick(numbers)
    found = places(window, t)
    assert found <= points(boxes.cover(view, offset, t))
    place = boxes.exact(view, offset, t)
    if place is not None:
        assert found == points(place.box)
        assert window.size == len(found)


def sliced(rng, a):
    """A part of an array between two indices on each axis."""
    ends = [sorted(rng.choice(n + 1, 2, replace=False)) for n in a.shape]
    return a[tuple(slice(*end) for end in ends)]


def test_whole_rows_are_a_box():
    b = Builder()
    x = b.input((4, 3, 5))
    place = boxes.exact(*b.view(x, lambda a: a.reshape(-1)[15:45]), b.tape.type(x))
    assert place.box == ((1, 3), (0, 3), (0, 5))
    assert place.along == 0


def test_a_window_that_moves_is_covered_everywhere():
    b = Builder()
    t = b.tape.type(b.input((4, 3, 5)))
    plane = View((4, 3), (120, 40), np.dtype(float))
    assert boxes.cover(Moving(plane, (8,), ((1, 4),)), 0, t) == ((0, 4), (0, 3), (1, 4))
    assert boxes.cover(Moving(plane, (-8,), ((0, 3),)), 32, t) == ((0, 4), (0, 3), (2, 5))
    assert boxes.size(boxes.cover(Moving(plane, (8,), ((2, 2),)), 0, t)) == 0


@pytest.mark.parametrize("seed", range(100))
def test_lists_of_boxes(seed):
    rng = np.random.default_rng(seed)
    box = lambda: tuple(tuple(sorted(rng.choice(7, 2, replace=False).tolist())) for _ in range(2))
    some, other = [], box()
    for _ in range(rng.integers(1, 12)):
        new = box()
        before, some = set().union(*map(points, some)), boxes.including(some, new)
        assert before | points(new) <= set().union(*map(points, some))
        assert len(some) <= boxes.MOST
    covered = set().union(*map(points, some))
    assert set().union(*map(points, boxes.without(some, other))) == covered - points(other)
    parts = boxes.pieces(some, other)
    assert set().union(*map(points, parts)) == covered & points(other)
    assert sum(map(boxes.size, parts)) == len(covered & points(other))


# ---- tapes -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """Arrays of few elements are worth looking at."""
    monkeypatch.setattr(boxes, "LEAST", 2)


def names(tape):
    return [op.op.name for op in tape]


def stored(tape):
    """Elements that the stores of a tape write."""
    return sum(int(np.prod(op.attr.shape)) for op in tape if op.op.name == "store")


def test_overlapping_updates_are_undone_where_they_are_read(small):
    """The heat equation's two updates in place: of the second log only two columns are read."""
    b = Builder()
    u = b.input(SHAPE)
    v = b.op("copy", (u,), SHAPE)
    for window in (lambda a: a[:, 1:-1], lambda a: a[1:-1]):
        old = b.load(v, window)
        v = b.store(v, window, b.ew("multiply", old, old))
    tape, _ = adjoint(simplify(b.done(v)), [0], [0])
    before = linearize(simplify(adjoint(tape, [0], [1])[0]))
    after = narrowed(before)
    assert stored(after) < stored(before)
    inputs = [np.random.default_rng(0).normal(size=SHAPE) for _ in before.inputs]
    assert_bits(reference.Program(after).run(inputs), reference.Program(before).run(inputs))


def test_what_is_overwritten_is_not_stored(small):
    b = Builder()
    x, y = b.input(SHAPE), b.input((4, 5))
    first = b.store(b.op("copy", (x,), SHAPE), lambda a: a[1:-1], b.ew("sin", y))
    tape = b.done(b.store(first, lambda a: a[:-1], b.load(x, lambda a: a[1:])))
    after = narrowed(tape)
    assert "sin" not in names(after) and "copy" not in names(after)
    assert [op.attr.shape for op in after if op.op.name == "store"] == [(1, 5), (5, 5)]
    inputs = [np.random.default_rng(0).normal(size=shape) for shape in (SHAPE, (4, 5))]
    assert_bits(reference.Program(after).run(inputs), reference.Program(tape).run(inputs))


def test_a_copy_begins_with_what_stays_of_it(small):
    """What is copied is stored behind a store that leaves it alone, and before anybody reads it; the source is not written."""
    for read in (False, True):
        b = Builder()
        x = b.input(SHAPE)
        v = b.op("copy", (x,), SHAPE)
        corner = b.load(v, lambda a: a[:1, :1]) if read else b.load(x, lambda a: a[:1, :1])
        z = b.store(v, lambda a: a[1:-1], b.ew("sin", b.load(x, lambda a: a[1:-1])))
        z = b.store(z, lambda a: a[2:3, 2:3], corner)
        tape = b.done(z)
        after = narrowed(tape)
        shapes = [(1, 5), (1, 5), (4, 5)] if read else [(4, 5), (1, 5), (1, 5)]
        assert [op.attr.shape for op in after if op.op.name == "store"] == [*shapes, (1, 1)]
        inputs = [np.random.default_rng(0).normal(size=SHAPE)]
        assert_bits(reference.Program(after).run(inputs), reference.Program(tape).run(inputs))


def test_a_copy_comes_before_a_store_among_what_is_copied(small):
    b = Builder()
    x, y = b.input(SHAPE), b.input((3,))
    z = b.store(b.op("copy", (x,), SHAPE), lambda a: a[0, ::2], y)
    tape = b.done(b.store(z, lambda a: a[1:-1], b.ew("sin", b.load(x, lambda a: a[1:-1]))))
    after = narrowed(tape)
    assert "copy" not in names(after)
    inputs = [np.random.default_rng(0).normal(size=shape) for shape in (SHAPE, (3,))]
    assert_bits(reference.Program(after).run(inputs), reference.Program(tape).run(inputs))


def test_a_part_is_stored_from_where_it_was_loaded(small):
    b = Builder()
    x = b.input(SHAPE)
    z = b.store(b.op("empty", (), SHAPE), lambda a: a, b.load(x, lambda a: a[::-1]))
    z = b.store(z, lambda a: a[:, 1:], b.ew("sin", b.load(x, lambda a: a[:, 1:])))
    after = narrowed(b.done(z))
    (column,) = [op for op in after if op.op.name == "store" and op.attr.shape == (6, 1)]
    (load,) = [op for op in after if column.operands[1] in op.results]
    assert (load.op.name, load.attr.shape, load.attr.strides[0]) == ("load", (6, 1), -40)
    inputs = [np.random.default_rng(0).normal(size=SHAPE)]
    assert_bits(reference.Program(after).run(inputs), reference.Program(b.tape).run(inputs))


def test_whole_memory_is_stored_where_it_is_read(small):
    """A flat copy of all memory, of which a column is read."""
    b = Builder()
    x = b.input(SHAPE)
    z = b.store(b.op("empty", (), SHAPE), lambda a: a.reshape(-1), b.load(x, lambda a: a.reshape(-1)))
    after = narrowed(b.done(b.load(z, lambda a: a[1:4, 2])))
    assert stored(after) == 3
    inputs = [np.random.default_rng(0).normal(size=SHAPE)]
    assert_bits(reference.Program(after).run(inputs), reference.Program(b.tape).run(inputs))


def test_what_is_read_in_between_is_stored(small):
    b = Builder()
    x, y = b.input(SHAPE), b.input(SHAPE)
    first = b.store(b.op("copy", (x,), SHAPE), lambda a: a, y)
    tape = b.done(b.load(first, lambda a: a[2:4]), b.store(first, lambda a: a, x))
    after = narrowed(tape)
    assert stored(after) == 10 + 30


def test_first_additions_are_stores(small):
    b = Builder()
    x = b.input((5, 5))
    z = b.accumulate(b.op("zeros", (), SHAPE), lambda a: a[:-1], x)
    tape = linearize(b.done(b.accumulate(z, lambda a: a[1:], x)))
    after = begun(tape)
    assert names(after).count("accumulate") == 1
    assert "zeros" not in names(after)
    assert stored(after) == 25 + 5
    x = np.where(np.arange(25).reshape(5, 5) % 2, -0.0, 1.0)
    assert_bits(reference.Program(after).run([x]), reference.Program(tape).run([x]))
    assert_bits(vm.Program(tape).run([x]), reference.Program(tape).run([x]))


@pytest.mark.parametrize("rows", [slice(2), slice(None, None, 2), slice(None, None, -1)], ids=str)
def test_zeros_stay_where_little_is_added_in_one_box(small, rows):
    b, window = Builder(), lambda a: a[rows]
    z = b.op("zeros", (), SHAPE)
    view, _ = b.view(z, window)
    tape = linearize(b.done(b.accumulate(z, window, b.input(view.shape))))
    assert begun(tape) is tape


def test_zeros_that_are_read_first_stay(small):
    b = Builder()
    z = b.op("zeros", (), SHAPE)
    seen = b.load(z, lambda a: a[0])
    tape = linearize(b.done(seen, b.accumulate(z, lambda a: a, b.input(SHAPE))))
    assert begun(tape) is tape


class Windows(Builder):
    """A tape of random reads, stores and additions of boxes of a few arrays."""

    def __init__(self, seed):
        super().__init__()
        rng = self.rng = np.random.default_rng(seed)
        x, y = self.input((5, 4, 3)), self.input((5, 4, 3), strides=(8, 40, 160))
        values = [x, y, self.op("copy", (x,), (5, 4, 3)), self.op("zeros", (), (5, 4, 3))]
        for _ in range(rng.integers(3, 14)):
            k = rng.integers(2, len(values))
            state, window = rng.bit_generator.state, lambda a: sliced(rng, a)
            shape = self.view(values[k], window)[0].shape
            value = self.filled(values[rng.integers(len(values))], shape)
            rng.bit_generator.state, after = state, rng.bit_generator.state
            name = "store" if after["state"]["state"] % 3 else "accumulate"
            values[k] = self.write(name, values[k], window, value)
            rng.bit_generator.state = after
        self.done(*(self.load(values[k], lambda a: sliced(rng, a)) for k in rng.choice(len(values), 2)), values[2])

    def filled(self, x, shape):
        """A value of this shape that was read from `x`, or computed from that."""
        whole = self.tape.type(x).shape
        first = [self.rng.integers(n - m + 1) for n, m in zip(whole, shape, strict=True)]
        v = self.load(x, lambda a: a[tuple(slice(i, i + m) for i, m in zip(first, shape, strict=True))])
        return self.ew("multiply", v, v) if self.rng.random() < 0.3 else v


LAWS = {"itself": lambda tape: tape, "adjoint": lambda tape: adjoint(tape, [0, 1], range(len(tape.outputs)))[0],
        "forward over reverse": lambda tape: tangent(adjoint(tape, [0, 1], range(len(tape.outputs)))[0], [0])}  # fmt: skip


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("law", LAWS)
def test_random_windows(small, law, seed):
    """The reference interpreter gives the same bits; so does the tiled engine where no sums are involved."""
    tape = linearize(simplify(LAWS[law](Windows(seed).tape)))
    check_laws(tape, seed)


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("law", ["itself", "adjoint"])
def test_random_tapes(small, law, seed):
    tape = linearize(simplify(LAWS[law](RandomTape(seed, ANY).tape)))
    check_laws(tape, seed)


def check_laws(tape, seed):
    rng = np.random.default_rng(seed)
    types = [tape.type(v) for v in tape.inputs]
    inputs = [np.array([1, 0, 1]) if t.dtype.kind == "i" else rng.uniform(0.3, 0.9, t.shape).astype(t.dtype) for t in types]
    expected = reference.Program(tape).run(inputs)
    for made in (begun(tape), narrowed(tape), narrowed(begun(tape))):
        assert_bits(reference.Program(made).run(inputs), expected)
    results = [on_threads(n, vm.Program(tape).run, inputs) for n in (1, 2, 3)]
    assert_close(results[0], expected, 1e-9)
    for other in results[1:]:
        assert_bits(other, results[0])


def test_what_the_random_programs_contain(small):
    """They are cut into boxes, begun by stores, and left alone."""
    before = [linearize(simplify(LAWS["adjoint"](Windows(seed).tape))) for seed in range(150)]
    assert sum(begun(tape) is not tape for tape in before) > 10
    assert sum(narrowed(tape) is not tape for tape in before) > 10
    assert sum(narrowed(tape) is tape for tape in before) > 10


# ---- what comes of it ------------------------------------------------------------------------------------------------------


def test_logs_of_the_heat_equation():
    """A version of the field is kept for each step, so that nothing is logged or restored; no array is filled with zeros."""
    n = 40

    def loss(u0, kappa):
        u = u0.copy()
        for _ in range(3):
            flux_x, flux_y = kappa[:, 1:] * (u[:, 1:] - u[:, :-1]), kappa[1:] * (u[1:] - u[:-1])
            u[:, 1:-1] += flux_x[:, 1:] - flux_x[:, :-1]
            u[1:-1] += flux_y[1:] - flux_y[:-1]
        return np.sum(u**2)

    derivative = sparsead.value_and_grad(loss, wrt=(0, 1))
    args = np.random.default_rng(0).random((2, n, n))
    value, (by_u, by_kappa) = derivative(*args)
    expected = sparsead.value_and_grad(loss, wrt=(0, 1), engine="reference")(*args)
    assert_close([value, by_u, by_kappa], [expected[0], *expected[1]], 1e-12)
    schedule = schedule_of(derivative.prepared.adjoint_tape)
    kernels = [k for s in schedule.block.steps for k in (s.plain if isinstance(s, Strips) else [s]) if isinstance(k, Kernel)]
    assert not any(type(step).__name__ == "Fill" and step.nbytes > 64 for step in schedule.block.steps)
    copied = [k for k in kernels if [i.kind for i in k.instrs] == ["load", "store"] and len(k.space) == 2]
    assert not copied
