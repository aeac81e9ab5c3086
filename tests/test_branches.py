"""Branches in every transform: against the bodies that are run, one after the other; and loops traced with several paths."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsead
from cases import Functions
from loop_tapes import LoopBuilder, RandomBranches, row
from sparsead.engine.reference import Program
from sparsead.ops.branch import BRANCH
from sparsead.sparsity import pattern
from sparsead.tape.spec import OPS, GuardFailed, Op
from sparsead.transform._adjoint import adjoint
from sparsead.transform._batch import batch
from sparsead.transform._linear import linearize
from sparsead.transform._numbers import differing, numbers_of, with_numbers
from sparsead.transform._simplify import prune, simplify
from sparsead.transform._split import sift, split
from sparsead.transform._tangent import tangent
from sparsead.transform.loops.rewrite import add_nested, nested_of, rewritten
from sparsead.transform.loops.unroll import unrolled
from tapes import I8
from test_loops import CHAINS, assert_close, assert_same, derived, everything, forward, point, reverse

N, TRIPS = 4, 6


def taken(tape, inputs):
    """`tape` with the bodies that are run at `inputs` in place of its loops and branches."""
    tape = unrolled(tape)
    while nested_of(tape):
        first = tape.op(nested_of(tape)[0])
        (which,) = Program(prune(tape, [first.operands[-1]])).run(inputs)

        def law(new, op, operands, first=first, which=int(which)):
            if op.index == first.index:
                return new.inline(op.attr.bodies[which], operands[:-1])
            return add_nested(new, op.op, op.attr, operands, op.line)

        tape = rewritten(tape, law)
    return tape


# ---- tapes made by hand ----------------------------------------------------------------------------------------------


def remainder(b, j, n):
    return b.integer("remainder", j, n)


def by_sign(b, x):
    """0 if the sum of `x` is negative, else 1."""
    negative = b.op("less", (b.op("sum", (x,), (), (0,)), b.const(0.0)), (), dtype=bool)
    return b.op("select", (negative, b.const(np.int64(0)), b.const(np.int64(1))), (), dtype=I8)


def seldom_stored(b):
    """A history of every second state."""

    def step(b, j, u, h):
        u = b.ew("sin", b.ew("square", u))
        store = lambda b, h, u, j: [b.store_at(h, row, u, [b.integer("floor_divide", j, 2)], [(0, TRIPS)])]
        return u, *b.branch(remainder(b, j, 2), [h], [u, j], store, lambda b, h, u, j: [h])

    return b.loop(TRIPS, [b.input((N,)), b.zeros((TRIPS, N))], [], step)


def three_ways(b):
    def step(b, j, u, v):
        return b.branch(
            remainder(b, j, 3), [u, v], [],
            lambda b, u, v: (b.ew("multiply", u, b.const(0.75)), v),
            lambda b, u, v: (u, b.ew("sin", b.ew("multiply", u, v))),
            lambda b, u, v: (b.ew("multiply", v, v), u),
        )  # fmt: skip

    return b.loop(TRIPS, [b.input((N,)), b.input((N,))], [], step)


def in_place(b):
    """Elements of a carry and a row of an invariant."""
    first = lambda a: a[:1]

    def step(b, j, u, f):
        return b.branch(
            remainder(b, j, 2), [u], [f, j],
            lambda b, u, f, j: [b.store(u, first, b.ew("sin", b.load(u, first)))],
            lambda b, u, f, j: [b.accumulate(u, lambda a: a[1:], b.ew("square", b.load_at(f, row, [j], [(0, TRIPS)])))],
        )  # fmt: skip

    return b.loop(TRIPS, [b.input((N,))], [b.input((TRIPS, N - 1))], step)


def read_around(b):
    """Memory that a branch overwrites, read and needed before it and after it, outside of loops."""
    x, y = b.input((N,)), b.input((N,))
    x = b.store(x, lambda a: a[:1], b.const(np.array([0.5])))
    before = b.ew("sin", b.ew("square", x))
    (x,) = b.branch(
        by_sign(b, y), [x], [y],
        lambda b, x, y: [b.store(x, lambda a: a[1:3], b.ew("exp", b.load(y, lambda a: a[:2])))],
        lambda b, x, y: [b.ew("multiply", x, b.ew("sin", x))],
    )  # fmt: skip
    return [b.ew("multiply", before, b.ew("square", x))]


def made_anew(b):
    """A carry that no body reads, and one that gets a derivative in one of them only."""
    u, a, constant = b.input((N,)), b.input((N,)), b.const(np.full(N, 0.5))
    u, v = b.branch(
        by_sign(b, a), [u, constant], [a],
        lambda b, u, v, a: (b.ew("exp", a), b.ew("multiply", a, v)),
        lambda b, u, v, a: (b.ew("square", a), b.ew("sin", v)),
    )  # fmt: skip
    return u, v


def twice_given(b):
    u = b.input((N,))
    return b.branch(
        by_sign(b, u), [u, u], [u, u],
        lambda b, u, v, f, g: (b.ew("multiply", v, f), b.ew("sin", b.ew("multiply", u, g))),
        lambda b, u, v, f, g: (b.ew("multiply", f, g), b.ew("sin", v)),
    )  # fmt: skip


def inside_each_other(b):
    """A loop in a branch in a branch in a loop."""

    def inner(b, u, a):
        decay = lambda b, i, u, a: [b.ew("sin", b.ew("multiply", u, a))]
        return b.branch(by_sign(b, u), [u], [a], lambda b, u, a: b.loop(3, [u], [a], decay), lambda b, u, a: [b.ew("tanh", u)])

    def step(b, j, u, a):
        return b.branch(remainder(b, j, 2), [u], [a], inner, lambda b, u, a: [b.ew("subtract", u, b.ew("square", a))])

    return b.loop(TRIPS, [b.input((N,))], [b.input((N,))], step)


def way_not_taken(b):
    """What a body does not read may have infinite derivatives."""
    u, a = b.input((N,)), b.input((N,))
    root = b.ew("sqrt", b.ew("subtract", a, a))

    def step(b, j, u, root):
        return b.branch(remainder(b, b.integer("multiply", j, 2), 2), [u], [root],
                        lambda b, u, r: [b.ew("sin", u)], lambda b, u, r: [b.ew("add", u, r)])  # fmt: skip

    return b.loop(TRIPS, [u], [root], step)


def decided_by_an_input(b):
    which, u, v = b.input((), I8), b.input((N,)), b.input((N,))
    u, v = b.branch(
        which, [u, v], [],
        lambda b, u, v: (v, u),
        lambda b, u, v: (b.ew("multiply", u, v), v),
    )  # fmt: skip
    return b.ew("sin", u), b.ew("square", v)


FAMILIES = {
    f.__name__: f
    for f in (seldom_stored, three_ways, in_place, read_around, made_anew, twice_given, inside_each_other, way_not_taken,
              decided_by_an_input)
}  # fmt: skip
over_families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def built(family):
    b = LoopBuilder()
    return b.done(*family(b))


def inputs_of(tape, seed=0):
    """A point; integers are 0 or 1."""
    return [x if tape.type(v).inexact else np.int64(seed % 2) for x, v in zip(point(tape, seed), tape.inputs, strict=True)]


def branches(tape):
    return [op.attr for op in tape if op.op is BRANCH]


# ---- the branch equals the body that is run ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
@over_families
def test_primal_keeps_its_bits(family, seed):
    tape = built(family)
    x = inputs_of(tape, seed)
    assert_same(tape, taken(tape, x), 0, x)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@over_families
def test_derivatives(family, chain, seed, request):
    if family is way_not_taken and chain == CHAINS["reverse over forward"]:
        reason = "zero times the infinite tangent that was not read is not a number, as behind a store"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    tape = built(family)
    flat = derived(taken(tape, inputs_of(tape, seed)), chain)
    x = [*inputs_of(tape, seed), *inputs_of(flat, seed)[len(tape.inputs) :]]
    assert_same(derived(tape, chain), flat, 1e-13, x)
    assert_same(derived(tape, chain, simplify), flat, 1e-13, x)


@pytest.mark.parametrize("family", [f for f in FAMILIES.values() if f is not way_not_taken], ids=lambda f: f.__name__)
def test_tangents_are_differences(family):
    tape = built(family)
    floats, _ = everything(tape)
    x, h = inputs_of(tape), 1e-5
    v = dict(zip(floats, point(forward(tape), 1)[len(x) :], strict=True))
    moved = [Program(tape).run([a + s * h * v[p] if p in v else a for p, a in enumerate(x)]) for s in (-1, 1)]
    dots = Program(forward(tape)).run([*x, *v.values()])[len(tape.outputs) :]
    assert any(np.any(dot) for dot in dots)
    for dot, minus, plus in zip(dots, *moved, strict=True):
        np.testing.assert_allclose(dot, (plus - minus) / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("law", [forward, reverse], ids=["tangent", "adjoint"])
@over_families
def test_batches(family, law):
    tape = law(built(family))
    n, lanes = len(built(family).inputs), 3
    seeds = range(n, len(tape.inputs))
    x = inputs_of(tape)
    several = [[inputs_of(tape, seed)[p] for p in seeds] for seed in range(lanes)]
    results = Program(simplify(batch(tape, seeds, lanes))).run([*x[:n], *map(np.stack, zip(*several, strict=True))])
    for lane, one in enumerate(several):
        expected = Program(tape).run([*x[:n], *one])
        assert_close([r[lane] if np.ndim(r) > np.ndim(e) else r for r, e in zip(results, expected, strict=True)], expected, 1e-14)


def test_lanes_reach_other_carries_by_way_of_one_body():
    b = LoopBuilder()
    which, u, v, w = b.input((), I8), *(b.input((N,)) for _ in range(3))
    b.done(*b.branch(which, [u, v, w], [], lambda b, u, v, w: (u, u, w), lambda b, u, v, w: (v, b.ew("sin", v), w)))
    tape = batch(b.tape, [1], 2)
    x = inputs_of(b.tape)
    for which in (0, 1):
        results = Program(tape).run([which, np.stack([x[1], -x[1]]), *x[2:]])
        assert [r.shape for r in results] == [(2, N), (2, N), (N,)]
        for lane, sign in enumerate((1, -1)):
            expected = Program(b.tape).run([which, sign * x[1], *x[2:]])
            assert_close([results[0][lane], results[1][lane], results[2]], expected, 0)
    with pytest.raises(TypeError, match="choice among bodies may not depend on a seed"):
        batch(b.tape, [0], 2)


@over_families
def test_split_and_sift(family):
    n = len(built(family).inputs)
    for tape in (simplify(reverse(built(family))), simplify(forward(built(family)))):
        x = inputs_of(tape)
        expected = Program(tape).run(x)
        first, second = split(sift(tape, len(x) - n), len(x) - n)
        assert_close(Program(second).run([*Program(first).run(x[:n]), *x[n:]]), expected, 0)


seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_random_branches(seed):
    tape = RandomBranches(seed).tape
    x = point(tape, seed)
    flat = taken(tape, x)
    assert_same(tape, flat, 0, x)
    for chain in (CHAINS["tangent"], CHAINS["adjoint"]):
        made = derived(flat, chain)
        assert_same(derived(tape, chain), made, 1e-11, [*x, *point(made, seed)[len(x) :]])


@settings(max_examples=max(settings().max_examples // 5, 5))
@given(seeds)
def test_second_derivatives_of_random_branches(seed):
    tape = RandomBranches(seed).tape
    x = point(tape, seed)
    flat = taken(tape, x)
    for chain in (CHAINS["forward over reverse"], CHAINS["reverse over reverse"]):
        made = simplify(derived(flat, chain))
        assert_same(simplify(derived(tape, chain, simplify)), made, 1e-10, [*x, *point(made, seed)[len(x) :]])


def test_random_tapes_have_branches():
    counts = [sum(str(RandomBranches(seed).tape).count(f" {name}(") for seed in range(20)) for name in ("branch", "loop")]
    assert min(counts) > 20


# ---- simplification --------------------------------------------------------------------------------------------------


def branched(which, carries, invariants, *ways, used=None):
    """(the simplified tape of a branch of vectors by a value or number, its inputs)."""
    b = LoopBuilder()
    number = b.input((), I8) if which is None else b.const(np.int64(which))
    results = b.branch(number, [b.input((N,)) for _ in range(carries)], [b.input((N,)) for _ in range(invariants)], *ways)
    return simplify(b.done(*(results if used is None else [results[k] for k in used])))


def sine(b, u, *others):
    return [b.ew("sin", u), *others]


def same(b, u, *others):
    return [u, *others]


def test_a_constant_chooses_the_body():
    assert [op.op.name for op in branched(1, 1, 0, same, sine)] == ["input", "sin"]
    assert branches(branched(None, 1, 0, same, sine))
    assert branches(branched(-1, 1, 0, same, sine))  # no body: for the interpreter to say


def test_carries_that_no_body_changes_are_invariants():
    double = lambda b, u, v: (b.ew("multiply", u, v), v)
    tape = branched(None, 2, 0, double, sine)
    assert [branch.carries for branch in branches(tape)] == [1] and tape.outputs[1] == tape.inputs[2]


def test_results_that_nobody_reads_are_dropped():
    both = lambda b, u, v: (b.ew("sin", v), b.ew("cos", u))
    tape = branched(None, 2, 0, both, sine, used=[0])
    assert [(branch.carries, len(branch.bodies[0].inputs)) for branch in branches(tape)] == [(1, 2)]
    assert "cos" not in str(tape)
    assert not branches(branched(None, 1, 0, sine, same, used=[]))


def test_equal_bodies_are_one():
    assert [op.op.name for op in branched(None, 1, 0, sine, sine)] == ["input", "input", "sin"]
    tape = branched(None, 1, 0, sine, same, sine)
    assert [len(branch.bodies) for branch in branches(tape)] == [2]
    x = np.full(N, 0.5)
    assert_close([Program(tape).run([which, x])[0] for which in range(3)], [np.sin(x), x, np.sin(x)], 0)


def test_invariants_are_given_once_and_constants_not_at_all():
    b = LoopBuilder()
    which, u, a = b.input((), I8), b.input((N,)), b.input((N,))
    ways = [lambda b, u, a, c, k: [b.ew("multiply", u, b.ew("multiply", a, b.ew("multiply", c, k)))], lambda b, u, *_: [u]]
    b.done(*b.branch(which, [u], [a, a, b.const(2.0)], *ways))
    tape = simplify(b.tape)
    assert [len(body.inputs) for branch in branches(tape) for body in branch.bodies] == [2, 2]
    assert_same(tape, b.tape, 0, [0, *point(b.tape)[1:]])


@over_families
def test_simplification_ends(family):
    tape = simplify(built(family))
    assert simplify(tape).key() == tape.key()


def test_unrolled_loops_run_one_body_each():
    assert not nested_of(unrolled(built(three_ways)))
    assert len(branches(unrolled(built(inside_each_other)))) == TRIPS // 2


# ---- guards ------------------------------------------------------------------------------------------------------------


def guarded(b):
    """A guard in one body; its result is read by nobody."""

    def check(b, u, k):
        b.guard(k, 3)
        return [b.ew("sin", u)]

    which, k, u = b.input((), I8), b.input((), I8), b.input((N,))
    (v,) = b.branch(which, [u], [k], check, lambda b, u, k: [b.ew("cos", u)])
    return v, b.ew("sin", u)


@pytest.mark.parametrize("chain", [[], *CHAINS.values()], ids=["primal", *CHAINS])
def test_guards_are_checked_where_their_body_is_run(chain):
    tape = simplify(derived(built(guarded), chain))
    for made in (tape, simplify(prune(tape, tape.outputs[1:]))):
        x = point(made)[2:]
        Program(made).run([0, 3, *x])
        Program(made).run([1, 4, *x])
        with pytest.raises(GuardFailed):
            Program(made).run([0, 4, *x])


def test_the_reverse_sweep_has_no_guards():
    tape = simplify(reverse(built(guarded)))
    assert [branch.guarded for branch in branches(tape)] == [True, False]


# ---- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", [["tangent"], ["adjoint"]], ids=["tangent", "adjoint"])
def test_a_trip_touches_no_more_of_a_history_than_a_row(chain):
    tape = linearize(simplify(derived(built(seldom_stored), CHAINS[chain[0]])))
    bodies = [op.attr.body for op in tape if op.op.name == "loop"]
    bodies += [body for outer in bodies for branch in branches(outer) for body in branch.bodies]
    assert len(bodies) >= 3
    for body in bodies:
        for op in linearize(body, body.inputs):
            if op.op.name in ("zeros", "copy") or op.op.elementwise:
                assert all(body.type(v).size <= N for v in op.results if v < body.n_values)


# ---- patterns ----------------------------------------------------------------------------------------------------------


def dense_pattern(tape, x):
    wrt, of = everything(tape)
    known = {p: v for p, v in enumerate(x) if p not in wrt}
    indptr, indices, _ = pattern.jacobian_pattern(tape, wrt, of, known)
    dense = np.zeros((len(indptr) - 1, sum(tape.type(tape.inputs[p]).size for p in wrt)), bool)
    for i in range(len(dense)):
        dense[i, indices[indptr[i] : indptr[i + 1]]] = True
    return dense


@pytest.mark.parametrize("limit", [0, 10**6], ids=["rolled", "unrolled"])
@over_families
def test_patterns(family, limit, monkeypatch):
    monkeypatch.setattr(pattern, "MAX_UNROLLED", limit)
    tape = built(family)
    for seed in range(3):
        x = inputs_of(tape, seed)
        dense, flat = dense_pattern(tape, x), dense_pattern(taken(tape, x), x)
        assert np.all(dense >= flat)
        if limit and family in (seldom_stored, three_ways, in_place, decided_by_an_input):  # nothing unknown decides
            assert np.array_equal(dense, flat)


def test_the_pattern_of_an_unknown_body_is_the_union(monkeypatch):
    tape = built(decided_by_an_input)
    wrt, of = everything(tape)
    _, indices, assumed = pattern.jacobian_pattern(tape, wrt, of)
    assert indices.tolist() == [k + s for k in range(N) for s in (0, N)] * 2 and not assumed


# ---- numbers, listing, ops without a law -------------------------------------------------------------------------------


def numbered(a, c):
    b = LoopBuilder()
    which, u = b.input((), I8), b.input(())
    first = lambda b, u: [b.ew("add", b.ew("multiply", u, b.const(a)), b.const(c))]
    return b.done(*b.branch(which, [u], [], first, lambda b, u: [b.ew("multiply", u, b.const(c))]), b.const(a))


def test_recordings_that_differ_in_numbers_in_bodies():
    one, other = numbered(0.25, 0.5), numbered(0.75, 1.5)
    places = differing(one, other)
    assert sorted(map(len, places)) == [1, 3, 3, 3]
    assert differing(one, numbered(0.25, 0.5)) == [] and differing(one, built(decided_by_an_input)) is None
    shared = with_numbers(one, places)
    for tape in (one, other):
        for which in (0, 1):
            expected = Program(tape).run([which, 2.0])
            for made in (shared, simplify(shared)):
                assert_close(Program(made).run([which, 2.0, *numbers_of(tape, places)]), expected, 0)


def test_the_listing_shows_the_bodies():
    text = str(built(decided_by_an_input))
    assert (
        "Branch(2 carries, bodies of 2, 3 ops)" in text and "  0:\n    %0" in text and "    %2: f64[4] = multiply(%0, %1)" in text
    )


@pytest.fixture
def lawless():
    free = OPS.index(None)
    OPS[free] = Op("lawless", free, lambda arrays, op, types: (arrays[0] * 2,))
    yield OPS[free]
    OPS[free] = None


@pytest.mark.parametrize(
    "law", [lambda tape: tangent(tape, [0]), lambda tape: adjoint(tape, [0], [0])], ids=["tangent", "adjoint"]
)
def test_an_op_without_a_law_is_refused(law, lawless):
    b = LoopBuilder()
    u = b.input((N,))
    (v,) = b.tape.add(lawless, (u,), [b.tape.type(u)])
    tape = b.done(v)
    with pytest.raises(TypeError, match="lawless has no rule for derivatives"):
        law(tape)


# ---- traced loops ------------------------------------------------------------------------------------------------------

CASES = case = Functions()


@case
def history_of_some(u, v, steps):
    H = np.zeros((30, 6))
    for k in steps(300):
        u = u * 0.99 + 0.01 * np.sin(v)
        if k % 10 == 0:
            H[k // 10] = u
    return H, u


@case
def history_and_swap(u, v, steps):
    H = np.zeros((30, 6))
    for k in steps(300):
        v[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2]) - 0.01 * u[1:-1] ** 3
        if k % 10 == 3:
            H[k // 10] = v
        u, v = v, u
    return H, u, v


@case
def number_made_seldom(u, v, steps):
    t = u[0]
    for k in steps(200):
        if k % 7 == 2:
            t = np.sin(u * v).sum() * 0.1
        u = u * 0.9 + t
    return u, t


@case
def two_conditions(u, v, steps):
    c = np.zeros(1)
    for k in steps(200):
        if k % 5 == 0:
            c += np.sin(u[1])
        if k % 7 == 0:
            u[0] = np.sin(u[0] * v[0])
        u = u * 0.99
    return u, c


def loss(f, steps):
    def total(u, v):
        weighted = [np.sin(x * (1 + np.arange(np.size(x)).reshape(np.shape(x)))).sum() for x in f(u, v, steps)]
        return sum(weighted[1:], weighted[0])

    return total


WAYS = (sparsead.steps, functools.partial(sparsead.steps, unroll=True))


@pytest.mark.parametrize("f", CASES.values(), ids=CASES.keys())
def test_traced_loops_with_several_paths(f):
    rng = np.random.default_rng(1)
    u, v, w = rng.random((3, 6))
    pullback = sparsead.vjp(lambda u, v: f(u, v, sparsead.steps)[0])
    pullback.prepare(u, v)
    assert any(branches(op.attr.body) for op in pullback.tape if op.op.name == "loop")
    found = []
    for steps in WAYS:
        g, whole = loss(f, steps), lambda u, v, steps=steps: f(u, v, steps)
        gradient = sparsead.grad(g, wrt=("u", "v"))
        norm = sparsead.grad(lambda u, v, g=g: (sparsead.grad(g)(u, v) ** 2).sum())
        found.append([*gradient(u, v), sparsead.hvp(g)(u, v, w), norm(u, v), sparsead.jacobian(whole)(u, v)])
    *rolled, jacobian = found[0]
    *expected, other = found[1]
    assert_close(rolled, expected, 1e-12)
    assert np.array_equal(jacobian.indptr, other.indptr) and np.array_equal(jacobian.indices, other.indices)
    assert_close([jacobian.data], [other.data], 1e-12)


def test_a_replay_on_a_path_that_was_not_traced_fails_its_guard():
    b = LoopBuilder()

    def step(b, j, u):
        which = b.integer("subtract", remainder(b, j, 3), 1)
        known = b.op("greater_equal", (which, b.const(np.int64(0))), (), dtype=bool)
        b.guard(known, True)
        return b.branch(which, [u], [], sine, same)

    b.done(*b.loop(TRIPS, [b.input((N,))], [], step))
    for tape in (b.tape, simplify(b.tape), reverse(b.tape), simplify(forward(b.tape))):
        with pytest.raises(GuardFailed):
            Program(tape).run(point(tape))
