"""Batches of seeds: what each lane computes, what is shared and in which order, and how an engine may run it."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given

import sparsead
from engines import assert_bits, assert_close, both, on_threads
from sized_tapes import SizedTape
from sparsead.engine import reference, vm
from sparsead.schedule.form import Kernel, Strips
from sparsead.schedule.planner import schedule_of
from sparsead.transform._batch import batch
from sparsead.transform._simplify import simplify
from sparsead.transform._tangent import tangent
from tapes import F8, Builder
from test_vm import exact, forward, random, reverse, seeds


def by_lanes(tape, rows):
    """Outputs of a tape by the reference interpreter, lane by lane: `rows` has the inputs of each lane."""
    return [np.stack(lanes) for lanes in zip(*(reference.Program(tape).run(row) for row in rows), strict=True)]


def lanes_of(tape, positions, rows):
    """Inputs of the batch: those at `positions` lane by lane, the others of the first row."""
    return [np.stack([row[k] for row in rows]) if k in positions else rows[0][k] for k in range(len(tape.inputs))]


def spread(results, expected):
    """Results that have no lanes, as they depend on none, repeated."""
    return [r if r.shape == e.shape else np.broadcast_to(r, e.shape) for r, e in zip(results, expected, strict=True)]


@pytest.mark.parametrize("law", [lambda tape: tape, forward, reverse], ids=["tape", "tangent", "adjoint"])
@random()
@given(seeds)
def test_every_lane_is_computed_as_if_it_were_alone(law, seed):
    """Some inputs are shared: any of them may be those that memory is made of."""
    made = SizedTape(seed, "whole")
    tape, rng = law(made.tape), np.random.default_rng(seed)
    positions = {k for k, v in enumerate(tape.inputs) if tape.type(v).dtype == F8 and rng.random() < 0.6}
    first = made.point(tape)
    rows = [[rng.permutation(x.reshape(-1)).reshape(x.shape) if k in positions else x for k, x in enumerate(first)]
            for _ in range(3)]  # fmt: skip
    try:
        several = batch(tape, positions, 3)
    except TypeError:
        return  # an index may not have lanes
    expected = by_lanes(tape, rows)
    if exact(expected):
        for program in (several, simplify(several)):
            results = reference.Program(program).run(lanes_of(tape, positions, rows))
            assert_bits(spread(results, expected), expected, signs=False)


def has_lanes(tape, lanes):
    """For each op whether what it makes has lanes."""
    return [any(tape.type(v).shape[:1] == (lanes,) for v in op.results) for op in tape if op.op.name != "input"]


def test_shared_work_comes_first():
    """Up to where it writes to memory that what has lanes may look at."""
    b = Builder()
    x, s = b.input((50,)), b.input((50,))
    t = b.ew("multiply", s, b.ew("cos", x))
    x = b.ew("sin", x)
    t = b.ew("multiply", t, b.ew("cos", x))
    tape = b.done(b.store(s, lambda a: a[:5], b.load(t, lambda a: a[5:10])), b.ew("add", t, b.ew("exp", x)))
    flags = has_lanes(batch(tape, [1], 3), 3)
    assert flags == sorted(flags)
    assert sum(flags) == 5


def test_what_has_lanes_sees_shared_memory_as_it_was():
    b = Builder()
    x, s = b.input((50,)), b.input((50,))
    t = b.ew("multiply", s, b.load(x, lambda a: a[::-1]))
    x = b.store(x, lambda a: a[:20], b.ew("add", b.load(x, lambda a: a[20:40]), b.load(x, lambda a: a[30:50])))
    t = b.ew("add", t, x)
    x = b.store(x, lambda a: a[10:], b.load(x, lambda a: a[:40]))
    tape = b.done(b.ew("multiply", t, x), x)
    rng = np.random.default_rng(3)
    shared, rows = rng.integers(-9, 9, 50).astype(float), rng.integers(-9, 9, (4, 50)).astype(float)
    expected = by_lanes(tape, [[shared, row] for row in rows])
    for program in (reference.Program, vm.Program):
        results = program(batch(tape, [1], 4)).run([shared, rows])
        assert_bits(spread(results, expected), expected)


def test_zeros_get_lanes_without_a_copy():
    b = Builder()
    s, zeros = b.input((50,)), b.op("zeros", (), (60,))
    tape = batch(b.done(b.store(zeros, lambda a: a[5:55], s)), [0], 3)
    assert "copy" not in [op.op.name for op in tape]
    rows = np.arange(150.0).reshape(3, 50)
    assert_bits(*both(tape, [rows]))


# ---- how an engine runs it -------------------------------------------------------------------------------------------


def diffused(u, steps=3):
    for _ in range(steps):
        new = np.zeros_like(u)
        new[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2]) * np.sin(u[1:-1])
        u = new
    return u


def sweeps(f, x, lanes):
    """(the tangent of a function of one array, the same in lanes)."""
    prepared = sparsead.jvp(f).prepare(x).prepared
    tape = tangent(prepared.tape, prepared.active)
    tape.outputs = tape.outputs[1:]
    return simplify(tape), simplify(batch(tape, [1], lanes))


@pytest.mark.parametrize("lanes", [5, 8, 33])
def test_lanes_are_rows_of_groups(lanes):
    """Not points of shared kernels, of which there are more; and one lane after the other gives the same bits."""
    n = 40_000
    x = np.linspace(0, 3, n)
    one, several = sweeps(diffused, x, lanes)
    groups = [step for step in schedule_of(several).block.steps if isinstance(step, Strips)]
    over_lanes = [rows for group in groups if lanes in (rows := {member.kernel.space[0] for member in group.members})]
    assert over_lanes
    assert all(rows <= {1, lanes} for rows in over_lanes)
    seed = np.random.default_rng(5).normal(size=(lanes, n))
    (found,) = vm.Program(several).run([x, seed])
    program = vm.Program(one)
    assert_bits([found], [np.stack([program.run([x, row])[0] for row in seed])])
    for k in (2, 3):
        assert_bits(on_threads(k, vm.Program(several).run, [x, seed]), [found])


def test_lanes_need_no_kernels_of_their_own():
    """A batch has as many kernels over lanes as one seed has kernels."""
    x = np.linspace(0, 3, 500)
    one, several = sweeps(partial(diffused, steps=1), x, 4)
    count = lambda tape: [step.space for step in schedule_of(tape).block.steps if isinstance(step, Kernel)]
    with_lanes = [space for space in count(several) if space[:1] == (4,)]
    assert len(with_lanes) == len(count(one))


def test_small_systems():
    """Ops on single numbers become ops on lanes."""

    def pendulum(y):
        angle, speed = y
        for _ in range(40):
            angle, speed = angle + 0.05 * speed, speed - 0.05 * np.sin(angle)
        return np.stack([angle, speed])

    x, seed = np.array([1.0, 0.5]), np.random.default_rng(6).normal(size=(9, 2))
    one, several = sweeps(pendulum, x, 9)
    (found,) = vm.Program(several).run([x, seed])
    assert_close([found], [np.stack([vm.Program(one).run([x, row])[0] for row in seed])], 1e-13)
