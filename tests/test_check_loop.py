"""Loops that are not what their first steps were: what `check_loop`, the names, and the check of the fold find of them."""

# What `watch` and `until` read is looked up at the end of a step on purpose.
# ruff: noqa: B023

import collections
import doctest
import itertools
import types

import numpy as np
import pytest

import sparsead
import sparsead.testing.loops
from sparsead import steps
from sparsead.testing import LoopError, check_loop
from sparsead.tracing import _traced
from sparsead.tracing.errors import TraceError

HIDDEN = types.ModuleType("hidden")  # nobody looks into modules
N = 60
U = np.array([1.0, 2.0, 3.0])


def heat(u, nu, history):
    new = np.empty_like(u)
    for k in steps(N):
        u[0] = u[-1] = new[0] = new[-1] = 0.0
        new[1:-1] = u[1:-1] + nu * (u[2:] - 2 * u[1:-1] + u[:-2])
        if k % 10 == 0:
            history[k // 10] = u
        u, new = new, u
    return u @ u


def turning(u, scale=1.0):
    """What it does depends on a count that no trace can see."""
    HIDDEN.count = 0
    for _ in steps(N):
        HIDDEN.count += 1
        u[0] *= 0.9 if HIDDEN.count < 37 else 0.5
        u[1] = u[1] + 0.01 * scale


# ---- check_loop ---------------------------------------------------------------------------------------------------------


def test_loops_that_are_right():
    report = check_loop(heat, np.sin(np.arange(8.0)), 0.25, np.zeros((6, 8)))
    assert (report.function, report.loops, report.steps) == ("heat", 1, N)
    assert report.values == 0.0
    assert report.gradient < 1e-13
    assert repr(report).startswith("<heat: 1 loop(s), 60 steps, values agree to 0.0e+00")


def test_fewer_steps():
    report = check_loop(heat, np.sin(np.arange(8.0)), 0.25, np.zeros((6, 8)), steps=25)
    assert report.steps == 25


@pytest.mark.parametrize("rows", [np.cos(np.arange(60.0)).reshape(20, 3)])
def test_rows_nests_and_loops_in_sequence(rows):
    def f(u, rows):
        for row in steps(rows):
            u = np.sin(u) + row
        for i in steps(10):
            for j in steps(12):
                u[1] = 0.9 * u[1] + 0.1 * u[0] * rows[j, 2]
            u[0] += 0.01 * i
        return {"u": u, "half": [0.5 * u[0], rows[0]]}

    report = check_loop(f, U, rows)
    assert report.loops >= 2
    assert report.steps == 20
    assert check_loop(f, U, rows, steps=7).steps == 7


def test_implicit_steps():
    def f(u, dt):
        for _ in steps(20):
            u = sparsead.root(lambda x, old: x - old + dt * x**3, u, u)
        return u

    assert check_loop(f, U, 0.1).loops == 1


def converging(u, most, tol):
    """A loop that ends by itself, in which a count that nobody sees changes the step after 20 of them."""
    HIDDEN.count = 0
    for _ in steps(most, until=lambda: u[0] < tol):
        HIDDEN.count += 1
        u = u * (0.9 if HIDDEN.count <= 20 else 0.5)
    return u


@pytest.mark.parametrize("most", [None, 50])
def test_loops_until_a_condition_holds(most):
    report = check_loop(converging, U, most, 0.2 * U[0])
    assert (report.loops, report.steps) == (1, 16)
    assert check_loop(converging, U, most, 1e-9, steps=20).steps == 20
    with pytest.raises(LoopError, match="with 21 steps or more"):
        check_loop(converging, U, most, 1e-9, steps=30)


def test_what_a_loop_shows_is_shown_in_each_way():
    shown = []

    def f(u):
        for k in steps(N, on_step=lambda k, u: shown.append((k, u.sum())), watch=lambda: u):
            u = np.sin(u)
        return u

    assert check_loop(f, U).loops == 1
    assert shown == shown[:N] * 4


def test_a_count_that_nobody_sees():
    with pytest.raises(LoopError) as caught:
        check_loop(turning, U.copy())
    text = str(caught.value)
    assert "check_loop(turning): argument u, element (0,), is" in text
    right, wrong = 0.9**36 * 0.5 ** (N - 36), 0.9**N
    assert f"{right:.10g} by the function and {wrong:.10g} by its loop" in text
    assert "1 of 3 elements differ, with 37 steps or more" in text


def test_fewer_steps_than_it_takes_to_see_it():
    assert check_loop(turning, U.copy(), steps=36).loops == 1
    with pytest.raises(LoopError, match="with 37 steps or more"):
        check_loop(turning, U.copy(), steps=40)


def test_a_gradient_that_differs():
    def f(u):
        HIDDEN.count = 0
        for _ in steps(N):
            HIDDEN.count += 1
            u = (u if HIDDEN.count < 50 else sparsead.stop_gradient(u)) * 0.99
        return u

    with pytest.raises(LoopError, match=r"the gradient by u, element \(\d,\), is .* by the unrolled loop .* with 50 steps"):
        check_loop(f, U)


def test_a_function_that_is_not_the_same_twice():
    HIDDEN.calls = 0

    def f(u):
        HIDDEN.calls += 1
        for _ in steps(N):
            u = u * 0.9
        return u * HIDDEN.calls

    with pytest.raises(LoopError, match=r"check_loop\(f\): the value returned, element .* at the first call and .* remembers"):
        check_loop(f, U)


def test_the_tolerance():
    def f(u):
        HIDDEN.count = 0
        for _ in steps(N):
            HIDDEN.count += 1
            u = u * 0.9 + (0.0 if HIDDEN.count < 50 else 1e-7)
        return u

    with pytest.raises(LoopError):
        check_loop(f, U)
    assert 1e-7 < check_loop(f, U, rtol=1e-2).values < 1e-2


def test_nothing_of_the_caller_changes():
    scratch = np.zeros(3)

    def f(u, history):
        for k in steps(N):
            scratch[:] = u
            u *= 0.9
            history[k] = scratch
        return None

    u, history = U.copy(), np.zeros((N, 3))
    check_loop(f, u, history)
    np.testing.assert_array_equal(u, U)
    assert not history.any()
    assert not scratch.any()


def test_the_two_ways_are_two_ways():
    check = sparsead.testing.loops._LoopCheck(heat, (np.ones(8), 0.25, np.zeros((6, 8))), {}, 1e-9, 0)
    plain, longest = check._plain(None)
    assert longest == N
    assert check._derived(None, False, plain)[2] == 1
    assert check._derived(None, True, plain)[2] == 0


@pytest.mark.parametrize("number", [0, -3, 2.5, True, "many"])
def test_senseless_numbers_of_steps(number):
    with pytest.raises(ValueError, match="check_loop: steps="):
        check_loop(heat, np.ones(8), 0.25, np.zeros((6, 8)), steps=number)


def test_nothing_to_differentiate():
    with pytest.raises(TypeError, match="holds no floating numbers"):
        check_loop(lambda n: n + 1, 3)


def test_errors_of_the_trace_come_through():
    def f(u):
        t = 0.0
        for _ in steps(N):
            t += 0.1
            u = u + t
        return u

    with pytest.raises(TraceError, match="t changes from step to step"):
        check_loop(f, U)


def test_the_examples_of_the_docstrings():
    result = doctest.testmod(sparsead.testing.loops)
    assert result.attempted > 3
    assert result.failed == 0


# ---- what Python remembers ------------------------------------------------------------------------------------------------

STALE = []
COUNT = 0
SHARED = types.SimpleNamespace(n=0)


def stale(text):
    def mark(f):
        STALE.append(pytest.param(f, text, id=f.__name__))
        return f

    return mark


@stale("global COUNT changes from step to step")
def a_global(u):
    global COUNT
    COUNT = 0
    for _ in steps(N):
        COUNT += 1
        u = u * (0.9 if COUNT < 40 else 0.5)
    return u


@stale("global SHARED.n changes from step to step")
def an_attribute_of_a_global(u):
    SHARED.n = 0
    for _ in steps(N):
        SHARED.n += 1
        u = u * (0.9 if SHARED.n < 40 else 0.5)
    return u


@stale(r"count \(captured by advance\) changes from step to step")
def a_closure(u):
    count = 0

    def advance(u):
        nonlocal count
        count += 1
        return u * (0.9 if count < 40 else 0.5)

    def step(u):
        return advance(u)

    for _ in steps(N):
        u = step(u)
    return u


@stale("advance.count changes from step to step")
def an_attribute_of_a_function(u):
    def advance(u):
        advance.count += 1
        return u * (0.9 if advance.count < 40 else 0.5)

    advance.count = 0
    for _ in steps(N):
        u = advance(u)
    return u


class Slotted:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0

    def advance(self, u):
        self.n += 1
        return u * (0.9 if self.n < 40 else 0.5)


@stale("s.n changes from step to step")
def a_slot(u):
    s = Slotted()
    for _ in steps(N):
        u = s.advance(u)
    return u


@stale("advance.__self__.n changes from step to step")
def a_bound_method(u):
    advance = Slotted().advance
    for _ in steps(N):
        u = advance(u)
    return u


class Counted:
    total = 0


@stale("Counted.total changes from step to step")
def a_class(u):
    Counted.total = 0
    for _ in steps(N):
        Counted.total += 1
        u = u * (0.9 if Counted.total < 40 else 0.5)
    return u


@stale("numbers is an iterator that the body takes a step of")
def a_counting_iterator(u):
    numbers = itertools.count()
    for _ in steps(N):
        u = u * (0.9 if next(numbers) < 40 else 0.5)
    return u


@stale("factors is an iterator")
def an_iterator_of_a_list(u):
    factors = iter([0.9] * 40 + [0.5] * N)
    for _ in steps(N):
        u = u * next(factors)
    return u


@stale("an iterator|changes from step to step")
def a_generator(u):
    def made():
        k = 0
        while True:
            k += 1
            yield 0.9 if k < 40 else 0.5

    factors = made()
    for _ in steps(N):
        u = u * next(factors)
    return u


@stale("queue grows or shrinks")
def a_deque(u):
    queue = collections.deque()
    for _ in steps(N):
        queue.append(0)
        u = u * (0.9 if len(queue) < 40 else 0.5)
    return u


@stale("seen grows or shrinks")
def a_set(u):
    seen = set()
    for _ in steps(N):
        seen.add(len(seen))
        u = u * (0.9 if len(seen) < 40 else 0.5)
    return u


@pytest.mark.parametrize(("f", "text"), STALE)
def test_what_python_remembers_is_refused_by_name(f, text):
    with pytest.raises(TraceError, match=text):
        sparsead.vjp(f)(U)


TABLE = {"rate": [0.9, 0.8]}
LOG = []


def test_what_stays_as_it_is_does_not_matter():
    factors, once = iter([0.9, 0.8]), functools_like_cache()

    def advance(u, numbers=(0.9, 0.1)):
        return u * numbers[0] * TABLE["rate"][1] + Slotted.__slots__.index("n") + once("shift")

    def f(u):
        LOG.clear()
        LOG.append("begin")
        first = next(factors, 0.9)
        for _ in steps(N):
            u = advance(u) * first
        return u

    assert [op.op.name for op in sparsead.vjp(f).prepare(U).tape].count("loop") == 1


def functools_like_cache():
    known = {}

    def once(key):
        if key not in known:
            known[key] = len(key)
        return known[key]

    return once


# ---- the check of the fold --------------------------------------------------------------------------------------------------


def two_buffers(u, v, on_step=None):
    for k in steps(N, on_step=on_step):
        u, v = np.sin(v) + 0.01 * k, u * 0.9
    return u, v


@pytest.mark.parametrize("on_step", [None, lambda k: None], ids=["silent", "shown"])
def test_a_faulty_fold_is_noticed(on_step, monkeypatch):
    check_loop(two_buffers, U, 2 * U, on_step)
    right = _traced.body_of

    def wrong(*args):
        body = right(*args)
        body.outputs = body.outputs[::-1]
        return body

    monkeypatch.setattr(_traced, "body_of", wrong)
    with pytest.raises(TraceError, match="the loop gives other numbers than the steps that were traced"):
        sparsead.vjp(lambda u, v: two_buffers(u, v, on_step))(U, 2 * U)


def test_memory_that_nobody_has_written_is_not_compared():
    def f(u):
        new = np.empty(1000)
        new[:] = np.nan  # what the memory may be next
        new = np.empty(1000)
        rest = np.empty(1000)
        for _ in steps(N):
            new[1:3] = u[:2] * 0.9
            rest[3] = u[0]
            u[:2] = new[1:3] + 0.1 * rest[3]
        return u

    for _ in range(3):
        check_loop(f, U)


def test_the_check_calls_nothing_of_the_user(capsys, monkeypatch):
    def f(u):
        for _ in steps(10**6, on_step=lambda k: print("shown")):
            print("step")
            u = u * 0.5 + 1
        return u

    sparsead.vjp(f).prepare(U)
    out = capsys.readouterr().out
    with_check = out.count("step")
    assert "shown" not in out
    monkeypatch.setattr(sparsead.tracing.steps, "verify", lambda folding, where: None)
    sparsead.vjp(lambda u: f(u)).prepare(U)
    assert capsys.readouterr().out.count("step") == with_check < 10


def test_paths_that_a_step_opens_are_left_to_the_trace():
    def f(u):
        for k in steps(N):
            u *= 0.9
            if k == 40:
                u[1] += 0.5
            if u[0] < 0.5:
                u += 0.5

    check_loop(f, U)
