"""Loops and moving windows in every transform: the rolled tape against the unrolled one, and the laws of what is logged."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsead
from loop_tapes import LoopBuilder, RandomLoop, row
from sparsead.engine.reference import Program
from sparsead.sparsity import pattern
from sparsead.tape._tape import Tape
from sparsead.tape.spec import BY_NAME, GuardFailed
from sparsead.transform._adjoint import adjoint
from sparsead.transform._batch import batch
from sparsead.transform._linear import linearize
from sparsead.transform._numbers import differing, numbers_of, with_numbers
from sparsead.transform._simplify import simplify
from sparsead.transform._split import bind, sift, split
from sparsead.transform._tangent import tangent
from sparsead.transform.loops.extent import written_by
from sparsead.transform.loops.unroll import unrolled, unrolled_ops
from tapes import I8, jacobian

TRIPS = 4
N = 3


# ---- tapes made by hand ----------------------------------------------------------------------------------------------


def linear_recurrence(b, trips=TRIPS, **options):
    u, a = b.input((N,)), b.input((N,))
    return b.loop(trips, [u], [a], lambda b, j, u, a: [b.ew("add", u, b.ew("multiply", b.const(0.5), a))], **options)


def scaled(b, trips=TRIPS, **options):
    u, a = b.input((N,)), b.input(())
    return b.loop(trips, [u], [a], lambda b, j, u, a: [b.ew("sin", b.ew("multiply", u, a))], **options)


def permuted_buffers(b, trips=TRIPS, **options):
    def step(b, j, u, un):
        un = b.store(un, lambda a: a[1:-1], b.ew("multiply", b.load(u, lambda a: a[2:]), b.load(u, lambda a: a[:-2])))
        un = b.store(un, lambda a: a[0, ...], b.load(un, lambda a: a[-2, ...]))
        return un, b.store(u, lambda a: a[-1, ...], b.const(0.25))

    return b.loop(trips, [b.input((N + 2,)), b.input((N + 2,))], [], step, **options)


def shift_register(b, trips=TRIPS, **options):
    def step(b, j, u, v, w):
        return b.ew("sin", b.ew("add", u, b.ew("multiply", v, w))), u, v

    return b.loop(trips, [b.input((N,)) for _ in range(3)], [], step, **options)


def scalars_and_vectors(b, trips=TRIPS, **options):
    def step(b, j, s, u, a):
        u = b.ew("tanh", b.ew("add", b.ew("multiply", u, a), s))
        return b.ew("sin", b.ew("add", s, b.op("sum", (u,), (), (0,)))), u

    return b.loop(trips, [b.input(()), b.input((N,))], [b.input((N,))], step, **options)


def driven(b, trips=TRIPS, rows=TRIPS, **options):
    """A vector that a row of an invariant drives at each trip."""

    def step(b, j, u, f):
        return [b.ew("sin", b.ew("multiply", u, b.load_at(f, row, [j], [(0, rows)])))]

    return b.loop(trips, [b.input((N,))], [b.input((rows, N))], step, **options)


def trajectory(b, trips=TRIPS, rows=TRIPS + 1, **options):
    """u[k + 1] = f(u[k])"""

    def step(b, j, u):
        v = b.ew("sin", b.ew("square", b.load_at(u, row, [j], [(0, rows)])))
        return [b.store_at(u, row, v, [b.integer("add", j, 1)], [(0, rows)])]

    return b.loop(trips, [b.input((rows, N))], [], step, **options)


def history(b, trips=TRIPS, rows=TRIPS, **options):
    def step(b, j, u, h):
        u = b.ew("sin", b.ew("square", u))
        return u, b.store_at(h, row, u, [j], [(0, rows)])

    return b.loop(trips, [b.input((N,)), b.zeros((rows, N))], [], step, **options)


def accumulated(b, trips=TRIPS, rows=TRIPS + 2, **options):
    """Windows that overlap from trip to trip, added to and read."""

    def step(b, j, u, f):
        pair = lambda a, k: a[k : k + 2]
        u = b.accumulate_at(u, pair, b.load_at(f, pair, [j], [(0, rows - 1)]), [j], [(0, rows - 1)])
        return [b.accumulate(u, lambda a: a[1:3], b.ew("square", b.load_at(u, pair, [j], [(0, rows - 1)])))]

    return b.loop(trips, [b.input((rows, N))], [b.input((rows, N))], step, **options)


def overwritten(b, trips=TRIPS, **options):
    """Values of a storage that is read, and needed, before a loop, in it and after it."""
    x = b.input((N + 1,))
    before = b.ew("sin", b.load(x, lambda a: a[1:]))
    x = b.store(x, lambda a: a[:-1], b.ew("multiply", before, before))
    y = b.ew("exp", x)

    def step(b, j, x, y):
        next_one, limits = b.integer("remainder", b.integer("add", j, 1), N), [(0, N + 1)]
        x = b.store_at(x, row, b.load_at(y, row, [j], limits), [next_one], limits)
        return [b.accumulate(x, lambda a: a[::2], b.ew("square", b.load(x, lambda a: a[::2])))]

    (z,) = b.loop(trips, [x], [y], step, **options)
    return [z, b.ew("multiply", z, y)]


def same_operand(b, trips=TRIPS, **options):
    u = b.input((N,))

    def step(b, j, u, v, f, g):
        return b.ew("multiply", v, f), b.ew("sin", b.ew("add", b.ew("multiply", u, g), f))

    return b.loop(trips, [u, u], [u, u], step, **options)


def counted(b, trips=TRIPS, **options):
    """An integer that is carried and says where to read; numbers made of the trip."""

    def step(b, j, k, u, f):
        t = b.ew("multiply", b.op("cast", (j,), ()), b.const(0.1))
        u = b.ew("sin", b.ew("add", b.ew("multiply", u, b.load_at(f, row, [k], [(0, 5)])), t))
        k = b.integer("remainder", b.integer("add", b.integer("multiply", k, 3), 1), 5)
        return k, u

    return b.loop(trips, [b.const(np.int64(2)), b.input((N,))], [b.input((5, N))], step, **options)[1:]


def chosen(b, trips=TRIPS, **options):
    """The side that is not taken has infinite derivatives."""

    def step(b, j, u, a):
        safe = b.ew("greater", u, b.const(0.0))
        root = b.ew("sqrt", u)
        return [b.ew("subtract", b.op("select", (safe, root, b.ew("multiply", u, a)), (N,)), b.const(0.6))]

    return b.loop(trips, [b.input((N,))], [b.input((N,))], step, **options)


def overwritten_singularity(b, trips=TRIPS, **options):
    """0 * inf in the adjoint of what the next trip overwrites."""

    def step(b, j, u):
        v = b.ew("log", b.ew("square", u))
        return [b.store(b.store(v, lambda a: a[0, ...], b.const(0.0)), lambda a: a[1:], b.ew("sin", b.load(v, lambda a: a[1:])))]

    return b.loop(trips, [b.input((N,))], [], step, **options)


def nested(b, trips=TRIPS, **options):
    """Windows that move with both counters, read and written; a vector that goes through both loops."""

    def inner(b, j, u, h, f, i):
        k = b.op("add", (i, j), (), dtype=I8)
        u = b.ew("sin", b.ew("multiply", u, b.load_at(f, lambda a, i, j: a[i, j, ...], [i, j], [(0, trips), (0, 2)])))
        return u, b.store_at(h, row, b.ew("multiply", u, b.load_at(h, row, [j], [(0, trips + 2)])), [k], [(0, trips + 2)])

    def outer(b, j, u, h, f):
        u, h = b.loop(2, [u, h], [f, j], inner, **options)
        return b.ew("multiply", u, u), h

    return b.loop(trips, [b.input((N,)), b.input((trips + 2, N))], [b.input((trips + 1, 2, N))], outer)


def in_sequence(b, trips=TRIPS, **options):
    """The log of one loop is the stream of another; the memory of a third is read in between."""
    (u,) = scaled(b, trips, **options)
    h = b.zeros((trips + 1, N))

    def write(b, j, u, h):
        u = b.ew("sin", b.ew("square", u))
        return u, b.store_at(h, row, u, [j], [(0, trips)])

    def read(b, j, s, h):
        return [b.ew("tanh", b.ew("multiply", b.ew("add", s, b.const(1.0)), b.load_at(h, row, [j], [(0, trips)])))]

    u, h = b.loop(trips, [u, h], [], write, **options)
    (s,) = b.loop(trips, [u], [h], read, backward=True)
    return [s, u]


FAMILIES = {
    f.__name__: f
    for f in (linear_recurrence, scaled, permuted_buffers, shift_register, scalars_and_vectors, driven, trajectory, history,
              accumulated, overwritten, same_operand, counted, chosen, overwritten_singularity, nested, in_sequence)
}  # fmt: skip


def built(family, *args, **options):
    b = LoopBuilder()
    return b.done(*family(b, *args, **options))


over_families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


# ---- rolled equals unrolled ------------------------------------------------------------------------------------------


def everything(tape):
    """Positions of all floating inputs, and of all floating outputs."""
    inputs, outputs = ([p for p, v in enumerate(values) if tape.type(v).inexact] for values in (tape.inputs, tape.outputs))
    return inputs, outputs


def forward(tape):
    return tangent(tape, everything(tape)[0])


def reverse(tape):
    return adjoint(tape, *everything(tape))[0]


def point(tape, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.3, 0.9, tape.type(v).shape) * rng.choice([-1, 1], tape.type(v).shape) for v in tape.inputs]


def assert_close(results, expected, tol):
    for a, b in zip(results, expected, strict=True):
        if tol == 0:
            np.testing.assert_array_equal(a, b)
        else:
            assert np.array_equal(np.isnan(a), np.isnan(b))
            np.testing.assert_allclose(a, b, rtol=0, atol=tol * np.nanmax(np.abs(b), initial=1.0))


def assert_same(rolled, flat, tol, inputs=None):
    inputs = point(flat) if inputs is None else inputs
    results = Program(rolled).run(inputs)
    assert_close(results, Program(flat).run(inputs), tol)
    assert_close(Program(simplify(rolled)).run(inputs), results, 0 if tol == 0 else tol)


CHAINS = {
    "tangent": [forward], "adjoint": [reverse], "forward over reverse": [reverse, forward],
    "reverse over reverse": [reverse, reverse], "reverse over forward": [forward, reverse],
    "third order": [reverse, forward, forward],
}  # fmt: skip


def derived(tape, chain, between=lambda tape: tape):
    for law in chain:
        tape = law(between(tape))
    return tape


@pytest.mark.parametrize("options", [{}, {"backward": True}, {"trips": 0}, {"trips": 1}, {"trips": 2}],
                         ids=["forward", "backward", "0", "1", "2"])  # fmt: skip
@over_families
def test_primal_keeps_its_bits(family, options):
    tape = built(family, **options)
    assert_same(tape, unrolled(tape), 0)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@over_families
def test_derivatives(family, chain):
    tape = built(family)
    assert_same(derived(tape, chain), derived(unrolled(tape), chain), 1e-13)
    assert_same(derived(tape, chain, simplify), derived(unrolled(tape), chain), 1e-13)


@pytest.mark.parametrize("options", [{"backward": True}, {"trips": 0}, {"trips": 1}, {"trips": 2}],
                         ids=["backward", "0", "1", "2"])  # fmt: skip
@over_families
def test_adjoints_of_other_trips(family, options):
    tape = built(family, **options)
    assert_same(reverse(tape), reverse(unrolled(tape)), 1e-13)


@pytest.mark.parametrize("family", [f for f in FAMILIES.values() if f not in (chosen, overwritten_singularity)],
                         ids=lambda family: family.__name__)  # fmt: skip
def test_tangents_are_differences(family):
    tape = built(family)
    x, v, h = point(tape), point(tape, 1), 1e-5
    moved = [Program(tape).run([a + s * h * b for a, b in zip(x, v, strict=True)]) for s in (-1, 1)]
    dots = Program(forward(tape)).run([*x, *v])[len(tape.outputs) :]
    for dot, minus, plus in zip(dots, *moved, strict=True):
        np.testing.assert_allclose(dot, (plus - minus) / (2 * h), rtol=1e-6, atol=1e-8)


def assert_transposed(forward, reverse, n, x, seed):
    """The adjoint is the transpose of the tangent; the first `n` results of both are the primal ones."""
    rng = np.random.default_rng(seed)
    v, w = ([rng.uniform(-1, 1, np.shape(a)) for a in some] for some in (x, Program(forward).run([*x, *x])[n:]))
    dots, bars = Program(forward).run([*x, *v])[n:], Program(reverse).run([*x, *w])[n:]
    one, other = (sum(np.sum(a * b) for a, b in zip(*pair, strict=True)) for pair in ((dots, w), (bars, v)))
    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("family", [f for f in FAMILIES.values() if f is not overwritten_singularity], ids=lambda f: f.__name__)
def test_adjoints_are_transposed_tangents(family):
    tape = built(family)
    first = simplify(reverse(tape))
    x = point(first)
    assert_transposed(simplify(forward(tape)), first, len(tape.outputs), x[: len(tape.inputs)], 0)
    assert_transposed(simplify(forward(first)), simplify(reverse(first)), len(first.outputs), x, 1)


@over_families
def test_batches(family):
    tape = forward(built(family))
    n, lanes = len(tape.inputs) // 2, 3
    x, seeds = point(tape)[:n], [point(tape, seed)[n:] for seed in range(lanes)]
    results = Program(simplify(batch(tape, range(n, 2 * n), lanes))).run([*x, *map(np.stack, zip(*seeds, strict=True))])
    for lane, one in enumerate(seeds):
        expected = Program(tape).run([*x, *one])
        assert_close([r[lane] if np.ndim(r) > np.ndim(e) else r for r, e in zip(results, expected, strict=True)], expected, 1e-14)


@over_families
def test_batches_of_batches_of_adjoints(family):
    tape = simplify(reverse(built(family)))
    seeds = range(len(built(family).inputs), len(tape.inputs))
    x = point(tape)
    lanes = [np.stack([np.stack([a, 2 * a]), np.stack([0 * a, -a])]) if p in seeds else a for p, a in enumerate(x)]
    results = Program(batch(batch(tape, seeds, 2), seeds, 2)).run(lanes)
    expected = Program(tape).run(x)
    for r, e in zip(results, expected, strict=True):
        if np.ndim(r) > np.ndim(e):
            assert_close([r[0, 0], r[0, 1], r[1, 0], r[1, 1]], [e, 2 * e, 0 * e, -e], 1e-13)


def test_lanes_reach_carries_by_way_of_the_body():
    """A carry without lanes that is made of one that has them; one that takes the place of another; one that never gets them."""
    b = LoopBuilder()
    u, v, w, a = b.input((N,)), b.input((N,)), b.input((N,)), b.input((N,))
    b.done(*b.loop(3, [u, v, w], [a], lambda b, j, u, v, w, a: [b.ew("multiply", v, a), b.ew("sin", u), b.ew("sin", w)]))
    tape = batch(b.tape, [1], 2)
    x = point(b.tape)
    results = Program(tape).run([x[0], np.stack([x[1], -x[1]]), *x[2:]])
    assert [r.shape for r in results] == [(2, N), (2, N), (N,)]
    for lane, sign in enumerate((1, -1)):
        expected = Program(b.tape).run([x[0], sign * x[1], *x[2:]])
        assert_close([results[0][lane], results[1][lane], results[2]], expected, 0)


@pytest.mark.parametrize("name", ["load_at", "store_at"])
def test_lanes_of_an_index_are_refused(name):
    b = LoopBuilder()
    k, x = b.input((), I8), b.input((N,))
    window = row, [k], [(0, N)]
    b.done(b.load_at(x, *window) if name == "load_at" else b.store_at(x, row, b.const(0.0), *window[1:]))
    with pytest.raises(TypeError, match="index may not depend on a seed"):
        batch(b.tape, [0], 2)


@over_families
def test_split(family):
    tape = simplify(reverse(built(family)))
    n = len(built(family).inputs)
    x = point(tape)
    first, second = split(tape, len(x) - n)
    assert_close(Program(second).run([*Program(first).run(x[:n]), *x[n:]]), Program(tape).run(x), 0)


@over_families
def test_sift_and_bind(family):
    tape = simplify(forward(built(family)))
    n = len(tape.inputs) // 2
    x = point(tape)
    expected = Program(tape).run(x)
    late = sift(tape, n)
    assert_close(Program(late).run(x), expected, 0)
    first, second = split(late, n)
    assert_close(Program(second).run([*Program(first).run(x[:n]), *x[n:]]), expected, 0)
    assert_close(Program(simplify(bind(tape, dict(enumerate(x[n:], n))))).run(x[:n]), expected, 1e-14)


# ---- random tapes ----------------------------------------------------------------------------------------------------

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_random_loops(seed):
    tape = RandomLoop(seed).tape
    flat = unrolled(tape)
    x = point(tape, seed)
    assert_same(tape, flat, 0, x)
    for chain in (CHAINS["tangent"], CHAINS["adjoint"]):
        made = derived(flat, chain)
        assert_same(derived(tape, chain), made, 1e-11, point(made, seed))


@settings(max_examples=max(settings().max_examples // 5, 5))
@given(seeds)
def test_second_derivatives_of_random_loops(seed):
    tape = RandomLoop(seed).tape
    flat = unrolled(tape)
    for chain in (CHAINS["forward over reverse"], CHAINS["reverse over reverse"]):
        made = simplify(derived(flat, chain))
        assert_same(simplify(derived(tape, chain, simplify)), made, 1e-10, point(made, seed))


# ---- what is logged, and what a trip of the reverse sweep touches -----------------------------------------------------


def loops(tape):
    return [op.attr for op in tape if op.op.name == "loop"]


def logged(family, *args, **options):
    """Bytes that the forward loops of the adjoint log in each trip."""
    tape = simplify(built(family, *args, **options))
    made = simplify(reverse(tape))
    found = []
    for op, before in zip([op for op in made if op.op.name == "loop"], loops(tape), strict=False):
        logs = [made.type(v) for v in op.results[before.carries :]]
        assert all(t.shape[0] == before.trips for t in logs)
        found.append(sum(t.nbytes for t in logs) // before.trips)
    return found


def test_a_linear_recurrence_logs_nothing():
    assert logged(linear_recurrence) == [0]


def test_a_carry_is_logged_once_however_often_it_is_read():
    assert logged(scaled) == [8 * N]  # u, for u and for a
    assert logged(permuted_buffers) == [8 * (N + 2)]  # u, of which windows of three lengths are read
    assert logged(history) == [8 * N]  # and nothing of the history


def test_of_a_trajectory_the_window_is_logged():
    assert logged(trajectory, TRIPS, TRIPS + 1) == logged(trajectory, TRIPS, 1000) == [8 * N]


def test_where_a_sum_is_read_the_sum_is_logged():
    def family(b):
        def step(b, j, u):
            s = b.op("sum", (u,), (), (0,))
            return [b.ew("add", u, b.ew("sin", s))]

        return b.loop(TRIPS, [b.input((100,))], [], step)

    assert logged(family) == [8]


def test_what_trip_and_invariants_make_is_computed_again():
    def family(b):
        def step(b, j, u, f):
            g = b.ew("exp", b.ew("sin", b.load_at(f, row, [j], [(0, TRIPS)])))
            return [b.ew("multiply", u, g)]

        return b.loop(TRIPS, [b.input((N,))], [b.const(np.ones((TRIPS, N)))], step)

    assert logged(family) == [0]


def test_the_log_of_an_inner_loop_stays_inside():
    outer, inner = loops(simplify(reverse(simplify(built(nested)))))[0], loops(simplify(built(nested)))[0]
    assert inner.body.codes().tolist().count(BY_NAME["loop"].code) == 1
    (forward_inside,) = loops(outer.body)
    assert forward_inside.carries == loops(inner.body)[0].carries  # it logs nothing in the forward sweep


def test_a_log_is_not_logged():
    """What second derivatives log beside the first ones is at most what the reverse trip carries and what it reads."""
    first = simplify(reverse(simplify(built(scaled))))
    second = simplify(reverse(first))
    sizes = [sum(second.type(v).nbytes for v in op.results[: op.attr.carries] if second.type(v).ndim == 2) // TRIPS
             for op in second if op.op.name == "loop"]  # fmt: skip
    assert max(sizes) <= 3 * 8 * N


def touched(tape, owned):
    """Bytes that the ops of a tape read and write, of windows and positions only what is in them."""
    total = 0
    for op in linearize(tape, owned):
        types = [tape.type(v) for v in op.results]
        if op.op.name in ("load", "store", "accumulate", "load_at", "store_at", "accumulate_at"):
            view = getattr(op.attr, "view", op.attr)
            total += view.dtype.itemsize * int(np.prod(view.shape))
        elif op.op.name == "loop":
            total += op.attr.trips * touched(op.attr.body, op.attr.body.inputs[1 : 1 + op.attr.carries])
        elif op.op.name not in ("input", "const"):
            total += sum(t.nbytes for t in types)
    return total


@pytest.mark.parametrize("chain", ["tangent", "adjoint", "forward over reverse", "reverse over reverse"])
@pytest.mark.parametrize("family", [driven, trajectory, history], ids=lambda family: family.__name__)
def test_a_trip_touches_no_more_of_a_stream_than_a_window(family, chain):
    per_trip = []
    for rows in (TRIPS + 1, 1000):
        tape = simplify(derived(simplify(built(family, TRIPS, rows)), CHAINS[chain], simplify))
        per_trip.append([touched(loop.body, loop.body.inputs[1 : 1 + loop.carries]) for loop in loops(tape)])
    assert per_trip[0] == per_trip[1]


def test_the_size_of_a_tape_does_not_depend_on_the_trips():
    sizes = [[len(derived(built(f, trips), chain, simplify)) for chain in CHAINS.values() for f in (scaled, history)]
             for trips in (10, 10**6)]  # fmt: skip
    assert sizes[0] == sizes[1]


def test_the_policy_stays_with_the_loop():
    tape = built(scaled)
    loop = loops(tape)[0]
    loop.policy = "some schedule"
    assert {made.policy for chain in CHAINS.values() for made in loops(simplify(derived(tape, chain)))} == {"some schedule"}


def test_what_a_loop_overwrites():
    """Two windows with a gap, the later one first; nothing; all, of what is swapped; the same from inside another loop."""
    b = LoopBuilder()
    x, y, z, w = (b.input((8,)) for _ in range(4))

    def step(b, j, x, y, z, w):
        x = b.store(x, lambda a: a[5:6], b.load(y, lambda a: a[:1]))
        return b.store_at(x, row, b.const(0.5), [j], [(1, 3)]), y, w, z

    inner = lambda b, i, *carries: b.loop(2, carries, [], step)
    for results in (b.loop(2, [x, y, z, w], [], step), b.loop(2, [x, y, z, w], [], inner)):
        assert list(written_by(b.tape.op(b.tape.maker(results[0])).attr)) == [(8, 48), (0, 0), (0, 64), (0, 64)]


# ---- simplification --------------------------------------------------------------------------------------------------


def only_loop(tape):
    (loop,) = loops(tape)
    return loop


def names(tape):
    return [op.op.name for op in tape]


def test_carries_that_nobody_reads_are_dropped():
    b = LoopBuilder()
    u, v, w = (b.input((N,)) for _ in range(3))
    step = lambda b, j, u, v, w: [b.ew("sin", u), b.ew("add", v, w), b.ew("sin", v)]
    b.done(b.loop(3, [u, v, w], [], step)[0])
    assert only_loop(simplify(b.tape)).carries == 1
    assert_same(b.tape, unrolled(b.tape), 0)


def test_a_chain_of_loops_is_dropped_from_its_end():
    b = LoopBuilder()
    u, v = b.loop(3, [b.input((N,)), b.input((N,))], [], lambda b, j, u, v: [b.ew("sin", u), b.ew("cos", v)])
    b.done(b.loop(3, [u, v], [], lambda b, j, u, v: [b.ew("cos", u), b.ew("sin", v)])[1])
    assert [loop.carries for loop in loops(simplify(b.tape))] == [1, 1]
    assert "cos" in names(loops(simplify(b.tape))[0].body)


def test_carries_that_stay_are_invariants():
    b = LoopBuilder()
    u, v = b.input((N,)), b.input((N,))
    b.done(*b.loop(3, [u, v], [], lambda b, j, u, v: [b.ew("multiply", u, v), v]))
    tape = simplify(b.tape)
    assert only_loop(tape).carries == 1 and tape.outputs[1] == tape.inputs[1]
    assert_same(b.tape, unrolled(b.tape), 0)


def test_invariants_are_given_once_and_constants_not_at_all():
    b = LoopBuilder()
    u, v, unread = b.input((N,)), b.input((N,)), b.input((N,))
    step = lambda b, j, u, v, w, c, x: [b.ew("add", b.ew("multiply", b.ew("multiply", u, v), c), w)]
    b.done(*b.loop(3, [u], [v, v, b.const(2.0), unread], step))
    assert len(only_loop(simplify(b.tape)).body.inputs) == 3
    assert_same(b.tape, unrolled(b.tape), 0)


@pytest.mark.parametrize("trips", [0, 1])
def test_short_loops_vanish(trips):
    assert "loop" not in names(simplify(built(scaled, trips)))


def test_what_is_the_same_in_all_trips_is_computed_before():
    b = LoopBuilder()
    u, v = b.input((N,)), b.input((N,))
    b.done(*b.loop(3, [u], [v], lambda b, j, u, v: [b.ew("multiply", u, b.ew("exp", b.ew("square", v)))]))
    tape = simplify(b.tape)
    assert [name for name in names(tape) if name != "input"] == ["square", "exp", "loop"]
    assert [name for name in names(only_loop(tape).body) if name != "input"] == ["multiply"]


def test_memory_that_the_body_writes_to_stays_inside():
    b = LoopBuilder()
    v = b.input((N,))

    def step(b, j, u, v):
        w = b.store(b.zeros((N,)), lambda a: a[1:], b.load(v, lambda a: a[1:]))
        return [b.ew("add", u, b.store_at(w, row, b.load_at(u, row, [j], [(0, N)]), [j], [(0, N)]))]

    b.done(*b.loop(3, [b.input((N,))], [v], step))
    assert "zeros" in names(only_loop(simplify(b.tape)).body)
    assert_same(b.tape, unrolled(b.tape), 0)


def test_nothing_that_may_fail_passes_a_guard():
    b = LoopBuilder()
    x, k, u = b.input(()), b.input((), I8), b.input((N,))

    def step(b, j, u, x, k):
        b.guard(b.ew("greater", x, b.const(0.0)), True)
        return [b.ew("multiply", u, b.load_at(u, row, [k], [(0, N)]))]

    b.done(*b.loop(2, [u], [x, k], step))
    with pytest.raises(GuardFailed):
        Program(simplify(b.tape)).run([np.array(-1.0), np.array(99), np.ones(N)])
    with pytest.raises(IndexError):
        Program(simplify(b.tape)).run([np.array(1.0), np.array(99), np.ones(N)])


def test_windows_at_constant_places_stand_still():
    b = LoopBuilder()
    x, k = b.input((N,)), b.const(np.int64(1))
    x = b.store_at(x, row, b.const(0.5), [k], [(0, N)])
    b.done(x, b.load_at(x, row, [k], [(0, N)]), b.load_at(x, row, [b.const(np.int64(2))], [(0, N)]))
    assert not [name for name in names(simplify(b.tape)) if name.endswith("_at")]
    assert_close(Program(simplify(b.tape)).run([np.arange(3.0)]), [[0.0, 0.5, 2.0], 0.5, 2.0], 0)


def test_a_window_that_was_just_stored_is_not_loaded():
    b = LoopBuilder()
    x, k = b.input((5,)), b.input((), I8)
    y = b.store_at(x, row, b.ew("sin", b.load_at(x, row, [k], [(0, 5)])), [k], [(0, 5)])
    b.done(y, b.load_at(y, row, [k], [(0, 5)]))
    assert names(simplify(b.tape)).count("load_at") == 1


def test_equal_loops_are_run_once():
    b = LoopBuilder()
    u = b.input((N,))
    step = lambda b, j, u: [b.ew("sin", u)]
    b.done(*b.loop(3, [u], [], step), *b.loop(3, [u], [], step), *b.loop(3, [u], [], step, backward=True))
    assert len(loops(simplify(b.tape))) == 2


@over_families
def test_simplification_ends(family):
    tape = simplify(reverse(built(family)))
    again = simplify(simplify(tape))
    assert again.key() == simplify(again).key()


# ---- guards, limits --------------------------------------------------------------------------------------------------


def guarded():
    """Fails at the trip where u passes 2."""
    b = LoopBuilder()

    def step(b, j, u):
        b.guard(b.ew("greater", u, b.const(2.0)), False)
        return [b.ew("multiply", u, b.ew("add", u, b.const(1.0)))]

    return b.done(*b.loop(3, [b.input(())], [], step))


def test_guards_in_the_body():
    for tape in (guarded(), simplify(guarded())):
        assert Program(tape).run([np.array(0.1)])[0] < 1
        with pytest.raises(GuardFailed):
            Program(tape).run([np.array(1.0)])


def test_a_loop_is_kept_for_its_guards():
    b = LoopBuilder()
    x = b.input(())
    b.loop(3, [x], [], lambda b, j, u: (b.guard(b.ew("greater", u, b.const(2.0)), False), [b.ew("add", u, u)])[1])
    b.done(x)
    Program(simplify(b.tape)).run([np.array(0.1)])
    with pytest.raises(GuardFailed):
        Program(simplify(b.tape)).run([np.array(1.0)])


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_guards_are_checked_in_the_forward_sweep_only(chain):
    made = simplify(derived(guarded(), chain))
    with pytest.raises(GuardFailed):
        Program(made).run([np.array(1.0)] * len(made.inputs))
    assert [loop.guarded for loop in loops(made)].count(True) == 1
    flat = derived(unrolled(guarded()), chain)
    assert_same(made, flat, 1e-13, [np.array(0.1)] * len(flat.inputs))


@pytest.mark.parametrize("start", [0, 1, -1])
@pytest.mark.parametrize("law", [lambda tape: tape, simplify, forward, reverse], ids=["tape", "simplified", "tangent", "adjoint"])
def test_an_index_out_of_limits(law, start):
    b = LoopBuilder()
    step = lambda b, j, u, f, k: [b.ew("multiply", u, b.load_at(f, row, [b.op("add", (j, k), (), dtype=I8)], [(0, 3)]))]
    b.done(*b.loop(3, [b.input((N,))], [b.input((3, N)), b.input((), I8)], step))
    tape = law(b.tape)
    x = [np.ones(tape.type(v).shape) if p != 2 else np.array(start) for p, v in enumerate(tape.inputs)]
    if start == 0:
        Program(tape).run(x)
    else:
        with pytest.raises(IndexError, match=r"out of bounds: it has to be from 0 to 2"):
            Program(tape).run(x)


# ---- patterns --------------------------------------------------------------------------------------------------------


def dense_pattern(tape, wrt, of):
    found = pattern.jacobian_pattern(tape, wrt, of)
    assert found.assumed_dense == []
    dense = np.zeros((len(found.indptr) - 1, sum(tape.type(tape.inputs[w]).size for w in wrt)), bool)
    dense[np.repeat(np.arange(len(dense)), np.diff(found.indptr)), found.indices] = True
    return dense


@over_families
def test_patterns(family, monkeypatch):
    tape = built(family)
    wrt, of = everything(tape)
    exact = dense_pattern(tape, wrt, of)
    numbers = jacobian(tape, wrt, of, point(tape))
    assert not (numbers[~exact] != 0).any()
    monkeypatch.setattr(pattern, "MAX_UNROLLED", 0)
    assert not (exact & ~dense_pattern(tape, wrt, of)).any()


def diffusion(b, trips):
    """Each trip reaches one neighbour further."""

    def step(b, j, u):
        inner = b.ew("add", b.load(u, lambda a: a[2:]), b.load(u, lambda a: a[:-2]))
        return [b.accumulate(u, lambda a: a[1:-1], inner)]

    return b.loop(trips, [b.input((12,))], [], step)


@pytest.mark.parametrize("trips", [0, 1, 2, 3, 5, 10**6])
def test_patterns_by_powers_of_the_body(trips, monkeypatch):
    reach = min(trips, 12)
    distance = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    expected = distance <= reach
    expected[[0, -1]] = distance[[0, -1]] == 0
    for limit in (pattern.MAX_UNROLLED, 0):
        monkeypatch.setattr(pattern, "MAX_UNROLLED", limit)
        assert np.array_equal(dense_pattern(built(diffusion, trips), [0], [0]), expected)


def test_patterns_of_moving_windows_that_are_known(monkeypatch):
    """An index that is given, outside of a loop and as an invariant of one; one that is not given may be any."""
    monkeypatch.setattr(pattern, "MAX_UNROLLED", 0)
    b = LoopBuilder()
    x, k = b.input((5,)), b.input((), I8)
    step = lambda b, j, u, x, k: [b.ew("add", u, b.load_at(x, row, [k], [(1, 5)]))]
    (z,) = b.loop(2, [b.const(0.0)], [x, k], step)
    b.done(b.load_at(x, row, [k], [(1, 5)]), z, b.store_at(x, row, b.const(0.0), [k], [(1, 5)]))
    known = pattern.jacobian_pattern(b.tape, [0], [0, 1, 2], {1: np.int64(2)})
    assert known.indices.tolist() == [2, 2, 0, 1, 3, 4]
    assert pattern.shaping_inputs(b.tape, [0]) == [1]
    unknown = pattern.jacobian_pattern(b.tape, [0], [0, 1, 2])
    assert unknown.indices.tolist() == [1, 2, 3, 4] * 2 + [0, 1, 2, 3, 4]


@settings(max_examples=max(settings().max_examples // 2, 5))
@given(seeds)
def test_patterns_of_random_loops(seed):
    tape = RandomLoop(seed).tape
    wrt, of = everything(tape)
    exact = dense_pattern(tape, wrt, of)
    numbers = jacobian(tape, wrt, of, point(tape, seed))
    assert not ((numbers != 0) & np.isfinite(numbers) & ~exact).any()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pattern, "MAX_UNROLLED", 0)
        assert not (exact & ~dense_pattern(tape, wrt, of)).any()


def test_unrolled_ops():
    tape = built(nested)
    (outer,) = loops(tape)
    (inner,) = loops(outer.body)
    assert unrolled_ops(tape) == len(tape) + TRIPS * (len(outer.body) + 2 * len(inner.body))
    assert unrolled(unrolled(tape)).key() == unrolled(tape).key()


# ---- numbers in bodies -----------------------------------------------------------------------------------------------


def numbered(a, c, trips=3):
    """A guard and a constant in the body of a loop, and a constant in a loop inside."""
    b = LoopBuilder()

    def inner(b, j, u):
        return [b.ew("multiply", u, b.const(c))]

    def step(b, j, u, v):
        b.guard(v, a)
        return b.loop(2, [b.ew("add", u, b.const(a))], [], inner)

    return b.done(*b.loop(trips, [b.input(())], [b.const(a)], step), b.const(7.0))


def test_recordings_that_differ_in_numbers_in_bodies():
    one, other = numbered(0.25, 0.5), numbered(0.75, 1.5)
    places = differing(one, other)
    assert sorted(map(len, places)) == [1, 3, 3, 5]
    assert differing(one, numbered(0.25, 0.5)) == [] and differing(one, numbered(0.25, 0.5, trips=4)) is None
    shared = with_numbers(one, places)
    for tape in (one, other):
        numbers = numbers_of(tape, places)
        expected = Program(tape).run([np.array(1.0)])
        for made in (shared, simplify(shared)):
            assert_close(Program(made).run([np.array(1.0), *numbers]), expected, 0)
    wrong = [0.25, *numbers_of(other, places)[1:]]
    with pytest.raises(GuardFailed):
        Program(shared).run([np.array(1.0), *wrong])


# ---- the interpreter -------------------------------------------------------------------------------------------------


def test_a_view_of_a_carry_as_an_invariant():
    """The loop overwrites the carry while it reads the invariant."""
    b = LoopBuilder()
    x = b.ew("sin", b.input((N,)))
    head = b.load(x, lambda a: a[:1])
    first = lambda a: a[:1]
    b.done(*b.loop(3, [x], [head], lambda b, j, x, head: [b.store(x, first, b.ew("add", b.load(x, first), head))]))
    x = np.sin(np.full(N, 0.5))
    assert Program(b.tape).run([np.full(N, 0.5)])[0][0] == x[0] + x[0] + x[0] + x[0]


def test_a_gather_at_one_position_copies():
    b = LoopBuilder()
    x = b.ew("sin", b.input((N,)))
    first = b.op("gather", (x, b.const(np.int64(0))), ())
    b.done(b.store(x, lambda a: a[0, ...], b.const(9.0)), first)
    assert Program(b.tape).run([np.full(N, 0.5)])[1] == np.sin(0.5)


def test_programs_leave_their_inputs_alone():
    for family in FAMILIES.values():
        tape = built(family)
        x = point(tape)
        before = [a.copy() for a in x]
        results = Program(tape).run(x)
        assert_close(x, before, 0)
        assert not any(np.shares_memory(r, a) for r in results for a in x)


# ---- listings --------------------------------------------------------------------------------------------------------


def test_the_listing_shows_the_body():
    text = str(built(driven))
    assert "loop(%0, %1) {Loop(4 trips, 1 carries, body of 6 ops)}" in text
    assert "    %3: f64[3] = load_at(%2, %0) @0 + (24) * (0..3) [3; 8]" in text
    assert text.index("    return %5") < text.index("return %2")


def test_loops_on_one_pool_are_equal_if_they_do_the_same():
    b = LoopBuilder()
    u = b.input((N,))
    for k in range(3):
        b.loop(3, [u], [], lambda b, j, u, k=k: [b.ew("sin" if k < 2 else "cos", u)])
    one, two, three = loops(b.tape)
    assert one == two != three and hash(one) == hash(two)


def test_tapes_append_ops_of_others():
    b = LoopBuilder()
    x = b.input((N,))
    b.done(b.ew("sin", x), b.ew("cos", x))
    new = Tape(b.tape.pool)
    new.inputs = list(new.add(BY_NAME["input"], (), [b.tape.type(x)]))
    new.outputs = new.inline(b.tape, new.inputs) + new.inline(b.tape, new.inputs)
    x = np.ones(N)
    assert_close(Program(new).run([x]), [np.sin(x), np.cos(x)] * 2, 0)


# ---- the functional face ---------------------------------------------------------------------------------------------


def burgers(steps, u, nu):
    un = np.empty_like(u)
    for _ in steps:
        u[0], u[-1] = u[-2], u[1]
        un[1:-1] = u[1:-1] + 0.01 * (nu * (u[2:] - 2 * u[1:-1] + u[:-2]) - u[1:-1] * (u[2:] - u[:-2]))
        un[0], un[-1] = u[0], u[-1]
        u, un = un, u
    return u @ u


@pytest.mark.parametrize("count", [12, 13])
def test_traced_loops(count):
    rolled = lambda u, nu: burgers(sparsead.steps(count), u, nu)
    flat = lambda u, nu: burgers(range(count), u, nu)
    u, nu, v = np.sin(np.arange(8.0)), 0.3, np.cos(np.arange(8.0))
    derivatives = [
        lambda f: sparsead.value_and_grad(f)(u, nu)[0], lambda f: sparsead.grad(f)(u, nu), lambda f: sparsead.hvp(f)(u, nu, v),
        lambda f: sparsead.grad(f, wrt="nu")(u, nu), lambda f: sparsead.jvp(f)(u, nu, v)[1],
        lambda f: sparsead.hessian(f)(u, nu).toarray(), lambda f: sparsead.vjp(f)(u, nu)[1](2.0),
        lambda f: sparsead.linearize(f)(u, nu)[1](v),
    ]  # fmt: skip
    for derivative in derivatives:
        np.testing.assert_allclose(derivative(rolled), derivative(flat), rtol=1e-13, atol=1e-13)
    assert "loop" in functools.reduce(lambda text, op: text + op.op.name, sparsead.grad(rolled).prepare(u, nu).tape, "")
