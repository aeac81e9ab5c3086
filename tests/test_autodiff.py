"""The face with activities: what a call does to structures, functions with state, loops, tapes and recordings.

Numbers are derived by hand from the one formula: with J the Jacobian of the state after a call, and of the return, by the state
before it, tangents become J v and adjoints J^T w.
"""

import doctest
import importlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import sparsead
from sparsead import (
    Active,
    ActivityError,
    BatchDuplicated,
    BatchMixedDuplicated,
    Const,
    Duplicated,
    Forward,
    ForwardWithPrimal,
    MixedDuplicated,
    Ref,
    Reverse,
    ReverseSplitNoPrimal,
    ReverseSplitWithPrimal,
    ReverseWithPrimal,
    WriteOnly,
    autodiff,
    autodiff_thunk,
    make_zero,
    set_strong_zero,
)
from sparsead.activities import autodiff as face

ENGINES = pytest.mark.parametrize("engine", ["reference", "auto"])


def a(*numbers):
    return np.array(numbers, dtype=float)


def same(value, expected):
    np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-14)


# ---- modes


def test_modes_are_values():
    assert sparsead.WithPrimal(Reverse) == ReverseWithPrimal and sparsead.NoPrimal(ReverseWithPrimal) == Reverse
    assert sparsead.Split(ReverseWithPrimal) == ReverseSplitWithPrimal
    assert sparsead.Combined(sparsead.ReverseSplitWidth(ReverseSplitNoPrimal, 3)) == Reverse
    assert sparsead.needs_primal(ForwardWithPrimal) and not sparsead.needs_primal(Forward)
    strong = set_strong_zero(Forward)
    assert sparsead.strong_zero(strong) and sparsead.clear_strong_zero(strong) == Forward
    assert set_strong_zero(Reverse, strong) is set_strong_zero(Reverse)
    names = [repr(getattr(sparsead, m)) for m in ("Forward", "ReverseWithPrimal", "ReverseSplitNoPrimal", "ReverseHolomorphic")]
    assert names == ["Forward", "ReverseWithPrimal", "ReverseSplitNoPrimal", "ReverseHolomorphic"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sparsead.Split(Forward),
        lambda: sparsead.ReverseSplitWidth(Reverse, 2),
        lambda: sparsead.ReverseSplitModified(ReverseSplitNoPrimal, 3),
        lambda: autodiff("reverse", np.sum, Active(1.0)),
        lambda: autodiff(ReverseSplitNoPrimal, lambda x: x, Active(1.0)),
        lambda: autodiff(Reverse, lambda x: x, Active, a(1)),
        lambda: autodiff(Forward, lambda x: x, Duplicated, 2.0),
        lambda: autodiff(Reverse, lambda x: x, Active, Duplicated),
        lambda: autodiff(Reverse, Active(np.sin), Active, Active(1.0)),
        lambda: autodiff(Forward, lambda x: x[0], Duplicated, MixedDuplicated((1.0, [1.0]), Ref((0.0, [0.0])))),
        lambda: autodiff(Reverse, lambda x: x[0], Active, Duplicated((1.0, a(1)), (0.0, a(0)))),
        lambda: autodiff_thunk(Reverse, lambda x: x, Active),
        lambda: autodiff_thunk(ReverseSplitNoPrimal, lambda x: x[0], Duplicated)[0](Duplicated(a(1), a(0))),
        lambda: autodiff_thunk(ReverseSplitNoPrimal, lambda x: (x[0], x), Duplicated)[0](Duplicated(a(1), a(0))),
        lambda: Duplicated(3, 1),
        lambda: BatchDuplicated(3, (1, 2)),
        lambda: autodiff_thunk(ReverseSplitNoPrimal, lambda x: x, 1.0),
    ],
    ids=map(str, range(17)),
)
def test_what_no_mode_has_is_a_type_error(wrong):
    with pytest.raises(TypeError):
        wrong()


# ---- numbers in structures


@dataclass
class State:
    u: np.ndarray
    t: float
    steps: int = 0


def advance(s, dt):
    s.u = s.u + dt * s.t * s.u  # a new array, bound to the same name
    s.t = s.t + dt
    s.steps += 1


@ENGINES
def test_new_arrays_and_numbers_in_attributes_forward(engine):
    u, du = a(1, 2), a(0.5, 0)
    s, ds = State(u, 3.0), State(du, 1.0)
    assert autodiff(Forward, advance, Const, Duplicated(s, ds), Duplicated(0.1, 10.0), engine=engine) == ()
    same(s.u, u * 1.3)
    same(ds.u, du * 1.3 + u * (10 * 3 + 0.1))
    same((s.t, ds.t, s.steps, ds.steps), (3.1, 11.0, 1, 1))
    same((u, du), (a(1, 2), a(0.5, 0)))


@ENGINES
def test_new_arrays_and_numbers_in_attributes_reverse(engine):
    u, du = a(1, 2), a(0.5, 0)
    s, ds = State(u, 3.0), State(du, 7.0)
    ((_, by_dt),) = autodiff(Reverse, advance, Const, Duplicated(s, ds), Active(0.1), engine=engine)
    same((s.t, ds.t, by_dt), (3.1, 7.0, 7.0))
    same(du, a(0.5, 0))  # nobody could seed the new array: only the old one had a shadow
    same((s.u, ds.u), (u * 1.3, a(0, 0)))


@ENGINES
def test_new_arrays_in_attributes_are_seeded_between_the_halves(engine):
    u, du = a(1, 2), a(0.5, 0)
    s, ds = State(u, 3.0), State(du, 7.0)
    forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, advance, Const, engine=engine)
    tape, value, shadow = forward(Duplicated(s, ds), Active(0.1))
    assert value is None and shadow is None and ds.u is not du
    ds.u += a(1, 10)
    ((_, by_dt),) = reverse(Duplicated(s, ds), Active(0.1), tape)
    same(du, a(0.5, 0) + 1.3 * a(1, 10))
    same((ds.t, by_dt), (7.0 + 0.1 * 21, 7.0 + 3 * 21))
    same(ds.u, a(0, 0))


def test_numbers_change_places():
    def turn(x):
        x[0], x[1], x[2] = x[1], 2 * x[0], 5.0

    x, dx = [1.0, 2.0, 3.0], [10.0, 100.0, 1000.0]
    autodiff(Forward, turn, Const, Duplicated(x, dx))
    assert (x, dx) == ([2.0, 2.0, 5.0], [100.0, 20.0, 0.0])
    x, dx = [1.0, 2.0, 3.0], [10.0, 100.0, 1000.0]
    autodiff(Reverse, turn, Const, Duplicated(x, dx))
    assert (x, dx) == ([2.0, 2.0, 5.0], [200.0, 10.0, 0.0])
    assert [type(number) for number in x] == [float] * 3


def test_containers_that_grow_and_shrink():
    def work(x, log, stack):
        log.append(x[0] * x[0])
        log.append(3 * x)
        return stack.pop() * x[1]

    x, dx, log, dlog, stack, dstack = a(2, 5), a(0, 0), [], [], [1.0, 4.0], [0.0, 0.5]
    args = Duplicated(x, dx), Duplicated(log, dlog), Duplicated(stack, dstack)
    ((*_,), value) = autodiff(ReverseWithPrimal, work, Active, *args)
    assert (value, log[0], stack, dlog, dstack) == (20.0, 4.0, [1.0], [], [0.0, 5.0])
    same((log[1], dx), (a(6, 15), a(0, 4)))
    x, dx, log, dlog, stack, dstack = a(2, 5), a(1, 10), [], [], [1.0, 4.0], [0.0, 0.5]
    args = Duplicated(x, dx), Duplicated(log, dlog), Duplicated(stack, dstack)
    assert autodiff(Forward, work, Duplicated, *args) == (0.5 * 5 + 4 * 10,)
    assert (dlog[0], dstack) == (4.0, [0.0])
    same(dlog[1], a(3, 30))


def test_what_grew_is_seeded_between_the_halves():
    def work(x, log):
        log.append(x[0] * x[0])
        log.append(3 * x)

    x, dx, log, dlog = a(2, 5), a(0, 0), [7.0], [0.5]
    forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, work, Const)
    args = Duplicated(x, dx), Duplicated(log, dlog)
    tape, _, _ = forward(*args)
    dlog[1] = 1.0
    dlog[2] += a(10, 100)
    assert reverse(*args, tape) == ((None, None),)
    same(dx, a(4 + 30, 300))
    assert dlog == [0.5] and len(log) == 3


def test_cycles_and_shared_parts():
    one = SimpleNamespace(w=a(2), peers=[])
    two = SimpleNamespace(w=a(3), peers=[one])
    one.peers.append(two)
    ring = [one, two]
    ring.append(ring)
    zero = make_zero(ring)
    assert zero[2] is zero and zero[0].peers[0] is zero[1]

    def product(ring):
        return (ring[2][0].w * ring[0].peers[0].w).sum()

    autodiff(Reverse, product, Active, Duplicated(ring, zero))
    same((zero[0].w, zero[1].w), (a(3), a(2)))


def test_one_structure_in_two_places_has_one_shadow():
    part = {"w": 2.0}
    f = lambda both: both[0]["w"] * both[1]["w"]
    shadow = make_zero([part, part])
    autodiff(Reverse, f, Active, Duplicated([part, part], shadow))
    assert shadow == [{"w": 4.0}, {"w": 4.0}] and shadow[0] is shadow[1]
    with pytest.raises(ValueError, match="two"):
        autodiff(Reverse, f, Active, Duplicated([part, part], [{"w": 0.0}, {"w": 0.0}]))
    with pytest.raises(ValueError, match="Const"):
        autodiff(Reverse, lambda p, q: p["w"] * q["w"], Active, Const(part), Duplicated(part, {"w": 0.0}))


@ENGINES
def test_new_parts_of_structures_that_are_exchanged(engine):
    """Objects change places, and each gets something new."""

    def work(pair, x):
        pair[0], pair[1] = pair[1], pair[0]
        pair[0].t = x * pair[0].t
        pair[1].log = [x]

    one, two = SimpleNamespace(t=2.0), SimpleNamespace(t=3.0)
    done, dtwo = SimpleNamespace(t=10.0), SimpleNamespace(t=100.0)
    pair, shadow = [one, two], [done, dtwo]
    forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, work, Const, engine=engine)
    args = Duplicated(pair, shadow), Active(5.0)
    tape, _, _ = forward(*args)
    assert pair == [two, one] and shadow == [dtwo, done] and (two.t, one.log, done.log) == (15.0, [5.0], [0.0])
    dtwo.t, done.log[0] = 1000.0, 7.0
    assert reverse(*args, tape) == ((None, 3 * 1000.0 + 7.0),)
    assert (done, dtwo.t) == (SimpleNamespace(t=10.0), 5000.0)


def test_integer_arrays_are_left_as_the_function_leaves_them():
    def count(x, hits):
        hits[1] += 2
        return x * 3

    for expected in (2, 4):
        hits = np.array([0, expected - 2])
        assert autodiff(Reverse, count, Active, Active(1.0), Const(hits)) == ((3.0, None),)
        assert hits.tolist() == [0, expected]


# ---- mixed activities


@ENGINES
def test_mixed(engine):
    value, place = (2.0, a(3, 4)), Ref((10.0, shadow := a(1, 1)))
    f = lambda pair: pair[0] * pair[1].sum()
    assert autodiff(Reverse, f, Active, MixedDuplicated(value, place), engine=engine) == ((None,),)
    assert place.value[1] is shadow
    same(place.value[0], 17.0)
    same(shadow, a(3, 3))


def test_mixed_lanes_and_returns():
    value, places = (2.0, a(3)), tuple(Ref((0.0, a(0))) for _ in range(2))
    forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, lambda p: (p[0] * p[1][0], p[0] * p[1]), MixedDuplicated)
    tape, _, shadows = forward(BatchMixedDuplicated(value, places))
    assert [s.value[0] for s in shadows] == [0.0, 0.0]
    seeds = tuple((k, shadow.value[1] + k) for k, shadow in ((1.0, shadows[0]), (10.0, shadows[1])))
    assert reverse(BatchMixedDuplicated(value, places), seeds, tape) == ((None,),)
    same([place.value[0] for place in places], (6.0, 60.0))
    same([place.value[1] for place in places], (a(4), a(40)))


# ---- functions with state


class Model:
    def __init__(self, rate, memory):
        self.rate, self.memory = rate, memory

    def __call__(self, x):
        return self.rate * (self.memory * x).sum()

    def remember(self, x):
        self.memory[:] = x * x
        return self.rate * self.memory.sum()


def test_objects_that_are_called():
    model, shadow = Model(2.0, a(3, 4)), Model(0.0, a(0, 0))
    autodiff(Reverse, Duplicated(model, shadow), Active, Const(a(1, 10)))
    same(shadow.rate, 43.0)
    same(shadow.memory, a(2, 20))
    dx = a(0, 0)
    assert autodiff(Reverse, model, Active, Duplicated(a(1, 10), dx)) == ((None,),)
    same(dx, a(6, 8))


def test_methods_have_scratch_that_is_hidden():
    model, dx = Model(2.0, a(3, 4)), a(0, 0)
    autodiff(Reverse, model.remember, Active, Duplicated(a(1, 10), dx))
    same((dx, model.memory), (a(4, 40), a(1, 100)))
    shadow, dx = make_zero(model), a(0, 0)
    shadow.memory += a(1, 0)
    autodiff(Reverse, Duplicated(model.remember, shadow.remember), Active, Duplicated(a(1, 10), dx))
    same((dx, shadow.memory), (a(6, 40), a(0, 0)))
    same(shadow.rate, 101.0)


def with_scratch():
    scratch = np.zeros(2)

    def f(x):
        scratch[:] = x * x
        return scratch @ x

    return f, scratch


def test_captured_scratch():
    f, scratch = with_scratch()
    dx = a(0, 0)
    autodiff(Reverse, f, Active, Duplicated(a(1, 2), dx))
    same((dx, scratch), (a(3, 12), a(1, 4)))
    with pytest.raises(ActivityError, match=r"scratch.*test_autodiff\.py"):
        autodiff(Reverse, Const(f), Active, Duplicated(a(1, 2), dx))
    for given, expected in (("shadow", a(3, 12)), ("detach", a(1, 4))):
        dx = a(0, 0)
        autodiff(Reverse, Const(f), Active, Duplicated(a(1, 2), dx), hidden=given)
        same(dx, expected)
    with pytest.raises(ValueError, match="hidden"):
        autodiff(Reverse, f, Active, Duplicated(a(1, 2), dx), hidden="both")


@pytest.mark.parametrize("store", [
    lambda c, x: c.__setitem__(slice(None), x),
    lambda c, x: c.__setitem__(np.array([1, 0]), x),
    lambda c, x: np.add.at(c, np.array([1, 1]), x),
    lambda c, x: np.multiply(x, 2, out=c),
    lambda c, x: [c.__setitem__(k, x[k]) for k in sparsead.steps(2, unroll=False)],
], ids=["slice", "index", "add.at", "out", "loop"])  # fmt: skip
def test_what_is_stored_into_const_memory(store):
    def f(x, c):
        store(c, x)
        return c @ x

    dx, c = a(0, 0), a(5, 7)
    with pytest.raises(ActivityError, match="c, which is Const"):
        autodiff(Reverse, f, Active, Duplicated(a(1, 2), dx), Const(c))
    same((dx, c), (a(0, 0), a(5, 7)))
    after = a(5, 7)
    store(after, a(1, 2))
    autodiff(Reverse, f, Active, Duplicated(a(1, 2), dx), Const(c), hidden="detach")
    same((dx, c), (after, after))


def test_what_is_put_into_const_structures():
    def log(x, numbers):
        numbers.append(float(len(numbers)))
        numbers.append(x)
        return numbers[-1] * 2

    numbers = []
    with pytest.raises(ActivityError, match=r"numbers\[1\]"):
        autodiff(Reverse, log, Active, Active(3.0), Const(numbers))
    assert numbers == []
    assert autodiff(Reverse, log, Active, Active(3.0), Const(numbers), hidden="shadow") == ((2.0, None),)
    assert numbers == [0.0, 3.0]


def test_shadows_that_begin_as_zeros():
    def f(x, y, s):
        y *= x
        return (x @ y) * s["t"]

    for left in (0.0, 7.0):
        dx, dy, ds = a(left, left), a(1, 0), {"t": left}
        args = Duplicated(a(1, 2), dx), Duplicated(a(3, 4), dy), Duplicated({"t": 2.0}, ds)
        autodiff(Reverse, f, Active, *args, zero_shadows=True)
        same((dx, dy), (a(15, 32), a(3, 8)))  # y is written: its shadow is a seed
        assert ds == {"t": 19.0}


# ---- loops, strong zeros, nesting


@ENGINES
def test_loops(engine):
    def f(x, y):
        for _ in sparsead.steps(20, unroll=False):
            y += x * y
        return y.sum()

    x, dx, y, dy = a(0.1, 0.2), a(0, 0), a(1, 3), a(0.5, 0)
    autodiff(Reverse, f, Active, Duplicated(x, dx), Duplicated(y, dy), engine=engine)
    growth = 1 + a(0.1, 0.2)
    same((y, dy), (a(1, 3) * growth**20, a(1.5, 1) * growth**20))
    same(dx, a(1.5, 1) * a(1, 3) * 20 * growth**19)


@pytest.mark.filterwarnings("ignore:divide by zero")
@ENGINES
def test_strong_zeros_in_loops(engine):
    def f(x):
        for _ in sparsead.steps(12, unroll=False):
            x[0] = x[1] * np.sqrt(x[0])
        return x[0]

    args = lambda: Duplicated(a(0, 0), a(0, 1))
    same(autodiff(set_strong_zero(Forward), f, Duplicated, args(), engine=engine), (0.0,))
    assert np.isnan(autodiff(Forward, f, Duplicated, args(), engine=engine)[0])
    shadow = a(0, 0)
    autodiff(set_strong_zero(Reverse), f, Active, Duplicated(a(0, 0), shadow), engine=engine)
    same(shadow, a(0, 0))


def test_views_of_one_memory_in_nested_calls():
    def energy(left, right):
        right *= left
        return right.sum()

    def gradient(u, du):
        autodiff(Reverse, energy, Active, Duplicated(u[:-1], du[:-1]), Duplicated(u[1:], du[1:]))

    u, v, du, dv = a(1, 2, 3), a(1, 10, 100), a(0, 0, 0), a(0, 0, 0)
    autodiff(Forward, gradient, Const, Duplicated(u, v), Duplicated(du, dv))
    # right_0 = u0 u1, right_1 = u1 u2: the energy is u0 u1 + u1 u2; nothing seeds what is left in u
    same((u, du), (a(1, 2, 6), a(2, 4, 2)))
    same(dv, a(10, 101, 10))
    same(v, a(1, 1 * 2 + 1 * 10, 10 * 3 + 2 * 100))


def test_nested_halves_and_structures():
    def cubes(x):
        dx = np.zeros_like(x)
        forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, lambda x: x * x * x, Duplicated)
        tape, _, shadow = forward(Duplicated(x, dx))
        shadow += x
        reverse(Duplicated(x, dx), tape)
        return dx.sum()  # 3 x^3

    same(sparsead.grad(cubes)(a(1, 2)), a(9, 36))

    def by_state(x):
        model = Model(3.0, x * 2)
        shadow = make_zero(model)
        autodiff(Reverse, Duplicated(model, shadow), Active, Const(a(1, 2)))
        return shadow.memory @ x + shadow.rate * x[0]  # 3 (x0 + 2 x1) + 2 (x0 + 2 x1) x0

    same(sparsead.grad(by_state)(a(1, 5)), a(3 + 4 + 20, 6 + 4))

    def with_a_number(x):
        state, shadow = {"y": x * 1.0, "t": 3.0}, {"y": x * 1.0, "t": 0.0}
        autodiff(Reverse, scale, Const, Duplicated(state, shadow))
        return shadow["t"] + state["t"] * x[0]  # x.x + 6 x0

    def scale(state):
        state["y"] *= state["t"]
        state["t"] = state["t"] * 2

    same(sparsead.grad(with_a_number)(a(1, 5)), a(8, 10))


def test_annotations_nest():
    def f(x, y):
        y[0] = x[0] ** 2 + x[1] * x[0]

    x = Duplicated(Duplicated(a(2, 2), a(0, 0)), Duplicated(a(1, 0), second := a(0, 0)))
    y = Duplicated(Duplicated(a(0), a(1)), Duplicated(a(0), a(0)))
    autodiff(Forward, lambda x, y: autodiff(Reverse, f, Const, x, y), Const, x, y)
    same(second, a(2, 1))


# ---- tapes and recordings


def test_a_function_is_traced_once():
    traced = []

    def f(x, y):
        traced.append(1)
        y[:] = x * x

    for k in range(3):
        x, dx, y, dy = a(k, 2), a(0, 0), a(0, 0), a(1, 1)
        autodiff(Reverse, f, Const, Duplicated(x, dx), Duplicated(y, dy))
        same((y, dx), (x * x, 2 * x))
    assert len(traced) == 1


def test_threads_share_recordings():
    def work(x, y):
        y[:] = np.sin(x) * y

    def call(k):
        for _ in range(30):
            x, dx, y, dy = a(k, 2), a(0, 0), a(1, k), a(1, 1)
            autodiff(Reverse, work, Const, Duplicated(x, dx), Duplicated(y, dy))
            same((y, dx, dy), (np.sin(x) * a(1, k), np.cos(x) * a(1, k), np.sin(x)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(8)))


def test_branches_are_traced_as_they_come():
    f = lambda x: x[0] * x[1] if x[0] > 0 else x[1]
    for first, expected in ((1.0, a(2, 1)), (-1.0, a(0, 1)), (3.0, a(2, 3))):
        dx = a(0, 0)
        autodiff(Reverse, f, Active, Duplicated(a(first, 2), dx))
        same(dx, expected)


def test_functions_made_anew_are_forgotten():
    for k in range(face.KEPT + 10):
        assert autodiff(Reverse, eval("lambda x: 2 * x"), Active, Active(float(k))) == ((2.0,),)
    assert len(face._derivatives) <= face.KEPT


def test_tapes_of_others_are_refused():
    args = (Duplicated(a(1), a(0)),)
    first, _ = autodiff_thunk(ReverseSplitNoPrimal, lambda x: x.sum(), Active)
    _, second = autodiff_thunk(ReverseSplitNoPrimal, lambda x: x.prod(), Active)
    with pytest.raises(TypeError, match="tape"):
        second(*args, 1.0, first(*args)[0])


def test_lanes_of_a_split_mode():
    mode = sparsead.ReverseSplitWidth(ReverseSplitNoPrimal, 2)
    forward, reverse = autodiff_thunk(mode, lambda x: x * x, Active)
    tape, _, _ = forward(Active(3.0))
    assert reverse(Active(3.0), (1.0, 10.0), tape) == (((6.0, 60.0),),)
    with pytest.raises(ValueError, match="lanes"):
        forward(BatchDuplicated(a(1), (a(0),) * 3))


def test_one_lane_is_none():
    shadow = a(1, 0)
    (dret,) = autodiff(Forward, lambda x: x * x, Duplicated, BatchDuplicated(a(3, 4), (shadow,)))
    same(dret, a(6, 0))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("cut", [np.s_[:, :], np.s_[::2], np.s_[:, 1:3], np.s_[::-1, ::-1], np.s_[1]], ids=map(str, range(5)))
def test_layouts(order, cut):
    x = np.arange(12.0).reshape(4, 3, order=order)[cut]
    dx, dy, y = make_zero(x), make_zero(x), make_zero(x)
    assert dx.strides == x.strides
    dy += 1
    autodiff(Reverse, lambda x, y: y.__setitem__(..., x * x), Const, Duplicated(x, dx), WriteOnly(y, dy))
    same((y, dx, dy), (x * x, 2 * x, 0 * x))


def test_a_view_may_have_a_plain_shadow():
    x, dx = np.arange(6.0)[::2], np.zeros(3)
    autodiff(Reverse, lambda x: x @ x, Active, Duplicated(x, dx))
    same(dx, 2 * x)
    with pytest.raises(ValueError, match="strides"):
        Duplicated(np.zeros((2, 3)), np.zeros((2, 3), order="F"))
    with pytest.raises(ValueError, match="strides"):
        Duplicated(np.zeros(3), np.zeros(6)[::2])


def test_shadows_share_no_memory_with_others():
    x, memory = a(1, 2), np.zeros(5)
    with pytest.raises(ValueError, match="memory"):
        autodiff(Reverse, lambda x, c: x @ c, Active, Duplicated(x, memory[:2]), Const(memory[1:3]))
    with pytest.raises(ValueError, match="lanes"):
        autodiff(Reverse, lambda x: x @ x, Active, BatchDuplicated(x, (memory[:2], memory[1:3])))
    with pytest.raises(ValueError, match="memory"):
        autodiff(Reverse, lambda x, y: x @ y, Active, Duplicated(x, memory[:2]), Duplicated(a(3, 4), memory[1:3]))
    autodiff(Reverse, lambda x, y: x @ y, Active, Duplicated(x, memory[3:]), Duplicated(a(3, 4), memory[:2]))
    same(memory, a(1, 2, 0, 3, 4))
    both = np.arange(4.0)
    shadow = np.zeros(4)
    autodiff(Reverse, lambda x, y: x @ y, Active, Duplicated(both[::2], shadow[::2]), Duplicated(both[1::2], shadow[1::2]))
    same(shadow, a(1, 0, 3, 2))


def test_memory_that_is_read_only():
    f = lambda x, y: y.__setitem__(slice(None), x * x)

    def fixed(x):
        x.flags.writeable = False
        return x

    for _ in range(2):  # traced, and from the recording
        x, dx, y, dy = fixed(a(1, 2)), a(0, 0), a(0, 0), a(1, 1)
        autodiff(Reverse, f, Const, Duplicated(x, dx), Duplicated(y, dy))
        same((dx, y, dy), (a(2, 4), a(1, 4), a(0, 0)))
    for dx, y, dy in ((fixed(a(0, 0)), a(0, 0), a(1, 1)), (a(0, 0), a(0, 0), fixed(a(1, 1))), (a(0, 0), fixed(a(0, 0)), a(1, 1))):
        with pytest.raises(ValueError, match="read-only"):
            autodiff(Reverse, f, Const, Duplicated(x, dx), Duplicated(y, dy))
        same((dx, y, dy), (a(0, 0), a(0, 0), a(1, 1)))
    y, dy = a(0, 0), a(1, 1)
    autodiff(Forward, f, Const, Duplicated(x, fixed(a(1, 0))), Duplicated(y, dy))
    same(dy, a(2, 0))
    spread, shadow = np.broadcast_to(2.0, (3,)), np.zeros(3)
    autodiff(Reverse, lambda x: x @ x, Active, Duplicated(spread, shadow))
    same(shadow, a(4, 4, 4))


def test_views_that_are_returned_have_views_of_the_shadow():
    x, dx = a(1, 2, 3), a(10, 20, 30)
    shadow, value = autodiff(ForwardWithPrimal, lambda x: {"tail": x[1:], "x": x}, Duplicated, Duplicated(x, dx))
    assert value["x"] is x and shadow["x"] is dx
    assert np.shares_memory(value["tail"], x) and np.shares_memory(shadow["tail"], dx)
    same((value["tail"], shadow["tail"]), (a(2, 3), a(20, 30)))


@pytest.mark.parametrize("module", ["annotations", "autodiff", "modes", "rules", "second", "zeros"])
def test_examples(module):
    result = doctest.testmod(importlib.import_module(f"sparsead.activities.{module}"))
    assert result.attempted > 2 and result.failed == 0


def test_the_page():
    page = Path(__file__).resolve().parents[1] / "docs" / "activities.md"
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    test = doctest.DocTestParser().get_doctest(blocks, {"__name__": "page"}, page.name, str(page), 0)
    result = doctest.DocTestRunner().run(test)
    assert result.attempted >= 30 and result.failed == 0
