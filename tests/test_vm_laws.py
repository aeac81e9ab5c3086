"""The tiled engine among other things: the caller's memory, threads, errors, forks, interrupts, and the memory it takes."""

import contextlib
import ctypes
import gc
import os
import resource
import signal
import threading
import time
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import sparsead
from engines import assert_bits, assert_close, assert_own_memory, both, interrupted_after
from loop_tapes import LoopBuilder, row
from sized_tapes import SizedTape
from sparsead.engine import reference, vm
from sparsead.tape.spec import BY_NAME, GuardFailed
from sparsead.transform._adjoint import adjoint
from sparsead.transform._simplify import simplify
from tapes import I8, Builder

N = 3000


class Call:
    """A function for the op that calls black boxes."""

    name = "f"

    def __init__(self, f):
        self.f = f

    def value(self, arrays):
        return self.f(*arrays)


def calling(f, shape=(N,), b=None, x=None):
    """A tape that computes ``sin(f(x + 1))``."""
    b = b or Builder()
    x = b.input(shape) if x is None else x
    return b.done(b.ew("sin", b.op("black_box", (b.ew("add", x, b.const(1.0)),), shape, Call(f))))


def right(program, inputs):
    """Whether a program gives what the reference interpreter gives."""
    assert_bits(program.run(inputs), reference.Program(program.tape).run(inputs))


# ---- the caller's memory ---------------------------------------------------------------------------------------------


def passed_on(b):
    """Inputs, constants, windows on them, and one value several times."""
    x, y, c = b.input((N,)), b.input((2, N)), b.const(np.arange(5.0))
    s = b.ew("sin", x)
    return x, x, y, c, c, b.load(x, lambda a: a[::-1]), b.load(x, lambda a: a[...]), b.load(y, row_of_two), s, s, b.load(s, half)


def row_of_two(a):
    return a[1]


def half(a):
    return a[: N // 2]


def through_loops(b):
    x, y = b.input((N,)), b.input((2, N))
    still = lambda b, j, *values: values
    none, once = b.loop(0, [x, y], [], still), b.loop(1, [x, x], [y], lambda b, j, u, v, y: (v, u))
    several = b.loop(3, [x, b.const(np.ones(N))], [], lambda b, j, u, v: (v, u))
    which = b.op("cast", (b.op("less", (b.load(x, lambda a: a[0, ...]), b.const(0.0)), (), dtype=bool),), (), dtype=I8)
    ways = b.branch(which, [x, y], [], lambda b, u, v: (u, v), lambda b, u, v: (b.load(v, row_of_two), v))
    return *none, *once, *several, *ways


def stored(b):
    x, y = b.input((N,)), b.input((2, N))
    z = b.store(x, half, b.load(x, lambda a: a[N // 2 :]))
    w = b.store(y, row_of_two, z)
    head = b.load(z, half)
    return z, w, b.load(w, row_of_two), b.accumulate(z, half, head), y, b.store(b.const(np.ones(N)), half, head)


@pytest.mark.parametrize("made", [passed_on, through_loops, stored], ids=lambda made: made.__name__)
def test_outputs_have_memory_of_their_own(made):
    b = LoopBuilder()
    b.done(*made(b))
    for sign in (1, -1):
        inputs = [sign * np.linspace(0.1, 1, N), np.arange(2.0 * N).reshape(2, N)]
        results, expected = both(b.tape, inputs)
        assert_bits(results, expected)
        program = vm.Program(b.tape)
        first = program.run(inputs)
        kept = [r.copy() for r in first]
        second = program.run([x + 1 for x in inputs])  # in the same workspace
        assert_own_memory([*first, *second], inputs)
        assert_bits(first, kept)
        for r in first:
            r[...] = 7
        assert_bits(program.run(inputs), expected)


def test_readonly_inputs_and_inputs_that_are_one_array():
    b = Builder()
    x, y = b.input((N,)), b.input((N,))
    tape = b.done(b.store(x, half, b.load(y, half)), b.accumulate(y, lambda a: a[1:], b.load(x, lambda a: a[:-1])))
    a = np.arange(float(N))
    a.flags.writeable = False
    assert_bits(*both(tape, [a, a]))
    assert_bits(*both(tape, [a, a[::-1]]))


def test_black_boxes_may_keep_and_change_what_they_are_given():
    kept = []

    def f(x):
        kept.append(x)
        result = x * 2
        x[...] = -1
        return result

    program = vm.Program(calling(f))
    first, second = np.linspace(0, 1, N), np.linspace(1, 2, N)
    results = [program.run([x])[0] for x in (first, second, first)]
    assert_bits(results, [np.sin((x + 1) * 2) for x in (first, second, first)])
    assert all(np.all(x == -1) for x in kept)
    kept.clear()
    vm.Program(calling(lambda x: x)).run([first])  # its result is its argument


# ---- again and again -------------------------------------------------------------------------------------------------

seeds = st.integers(0, 2**32 - 1)


@settings(phases=(Phase.generate,))
@given(seeds)
def test_the_same_bits_at_every_run(seed):
    """Other numbers in between, and another program; results of earlier runs stay."""
    made, other = SizedTape(seed, "smooth"), SizedTape(seed + 1, "rough")
    program, between = vm.Program(made.tape), vm.Program(other.tape)
    points = [made.point() for _ in range(3)]
    results = [program.run(x) for x in points]
    kept = [[np.copy(r) for r in one] for one in results]
    for x, first, copy in zip(points, results, kept, strict=True):
        between.run(other.point())
        for _ in range(3):
            assert_bits(program.run(x), copy)
        assert_bits(first, copy)


def test_a_number_that_fills_an_array_is_the_same_at_every_run():
    def f(u):
        r = np.empty_like(u)
        r[:] = 1.0
        r[0] += u[1]
        r[1:] *= u[1:]
        np.add.at(r, [0, 2, 2], u[:3])
        return r

    u = np.arange(1.0, 5.0)
    expected, value = f(u), sparsead.vjp(f, engine="vm")
    for _ in range(3):
        assert np.array_equal(value(u)[0], expected)


def test_a_program_that_runs_itself():
    depth = []

    def f(x):
        if len(depth) > 3:
            return x
        depth.append(0)
        return program.run([x])[0]

    program, other = vm.Program(calling(lambda x: f(x))), vm.Program(calling(np.cos))
    x = np.linspace(0, 1, N)
    expected = x
    for function in (lambda x: x + 1, np.sin):
        for _ in range(5):
            expected = function(expected)
    inner = vm.Program(calling(lambda x: other.run([x])[0]))
    assert_bits(inner.run([x]), [np.sin(np.sin(np.cos(x + 1 + 1)))])
    assert_bits(program.run([x]), [expected])


@settings(max_examples=max(2, settings().max_examples // 10), phases=(Phase.generate,))
@given(seeds)
def test_many_threads_on_one_program(seed):
    made = SizedTape(seed, "smooth")
    program, points = vm.Program(made.tape), [made.point() for _ in range(8)]
    expected = [vm.Program(made.tape).run(x) for x in points]
    found, start = [[] for _ in points], threading.Barrier(8)

    def work(k):
        start.wait()
        for _ in range(10):
            found[k].append(program.run(points[k]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results, want in zip(found, expected, strict=True):
        assert len(results) == 10
        for result in results:
            assert_bits(result, want)


def test_threads_that_fail_beside_threads_that_do_not():
    tape, good, bad = failing()["an index of a window in a loop in a branch"]
    program = vm.Program(tape)
    expected, outcomes = reference.Program(tape).run(good), []

    def work(k):
        for _ in range(50):
            if k % 2:
                with contextlib.suppress(IndexError):
                    program.run(bad)
                    outcomes.append("no error")
            else:
                outcomes.append(program.run(good))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 100
    for results in outcomes:
        assert_bits(results, expected)


# ---- the engine's own threads ----------------------------------------------------------------------------------------

LARGE = [(200_000,), (65_537,), (300, 400), (3, 40_000), (40_000, 3), (20, 30, 50), (2, 2, 20_000), (100_000, 1)]


@pytest.fixture
def with_threads():
    """``with_threads(n, f, *args)``: what ``f(*args)`` gives on n threads."""
    before = sparsead.get_num_threads()

    def run(n, f=lambda: None, *args):
        sparsead.set_num_threads(n)
        return f(*args)

    yield run
    sparsead.set_num_threads(before)


@pytest.mark.parametrize("numbers", ["rough", "whole", "smooth"])
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_the_same_bits_for_any_number_of_threads(shape, numbers, with_threads):
    """More threads, then fewer of those that there are by now; new workspaces and old ones."""
    for seed in range(3):
        made = SizedTape(seed, numbers, shape)
        reverse = adjoint(made.tape, [0, 1, 3], range(len(made.tape.outputs)))[0] if numbers != "rough" else made.tape
        for tape in (made.tape, simplify(reverse)):
            x, program = made.point(tape), vm.Program(tape)
            expected = with_threads(1, program.run, x)
            for n in (3, 8, 2, 1):
                assert_bits(with_threads(n, program.run, x), expected)
                assert_bits(with_threads(n, vm.Program(tape).run, x), expected)


def shifted(b, x):
    """Sums into windows that overlap, and a sum of all."""
    y = b.ew("sin", x)
    z = b.zeros(b.tape.type(x).shape)
    for part, to in ((np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:]), (np.s_[2:], np.s_[:-2]), (np.s_[:-2], np.s_[2:])):
        z = b.accumulate(z, lambda a, to=to: a[to], b.load(y, lambda a, part=part: a[part]))
    axes = tuple(range(b.tape.type(x).ndim))
    return z, b.op("sum", (z,), (), axes), b.op("sum", (b.ew("multiply", z, y),), b.tape.type(x).shape[1:], (0,))


@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_shifted_sums_for_any_number_of_threads(shape, with_threads):
    b = LoopBuilder()
    program = vm.Program(b.done(*shifted(b, b.input(shape))))
    x = np.random.default_rng(0).normal(size=shape)
    expected = with_threads(1, program.run, [x])
    assert_close(expected, reference.Program(b.tape).run([x]), 1e-12)
    for n in (2, 3, 16, 2, 5, 64, 2) * 3:
        assert_bits(with_threads(n, program.run, [x]), expected)


def test_a_few_of_many_threads(with_threads):
    """Threads that a job with more of them has left behind keep to the memory of one with fewer."""
    b = Builder()
    x = b.input((400_000,))
    y = x
    for k in range(12):  # registers in memory of their own
        y = b.ew("add", b.ew("multiply", b.ew("sin", y), x), b.ew("multiply", b.ew("arctan", x), b.const(float(k))))
    program, x = vm.Program(b.done(y)), np.linspace(0, 1, 400_000)
    expected = with_threads(16, program.run, [x])
    for _ in range(20):
        assert_bits(with_threads(2, program.run, [x]), expected)


def test_callers_on_threads_of_their_own_share_the_engines(with_threads):
    b = LoopBuilder()
    program = vm.Program(b.done(*shifted(b, b.input((200_000,)))))
    points = [np.random.default_rng(k).normal(size=200_000) for k in range(4)]
    expected, found = [with_threads(1, program.run, [x]) for x in points], []

    def work(k):
        found.extend((k, program.run([points[k]])) for _ in range(10))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    with_threads(3, lambda: [thread.start() for thread in threads])
    for thread in threads:
        thread.join()
    assert len(found) == 40
    for k, results in found:
        assert_bits(results, expected[k])


# ---- errors ----------------------------------------------------------------------------------------------------------


def at_place(b, k, x):
    return b.load_at(x, row, [k], [(0, 3)])


def picked(f):
    """A function of one array, that fails where the array holds a number above 10."""

    def g(x):
        if np.any(x > 10):
            raise ZeroDivisionError("of the user")
        return f(x)

    return g


def failing():
    """By name: a tape, inputs that are fine, inputs that are not."""
    found = {}
    x, k, y = np.linspace(0, 1, N), np.array(1), np.arange(3.0 * N).reshape(3, N)

    def case(name, make, bad, **attr):
        b = LoopBuilder()
        values = b.input((N,)), b.input((), I8), b.input((3, N))
        b.done(*make(b, *values))
        found[name] = b.tape, [x, k, y], [bad.get(p, a) for p, a in enumerate((x, k, y))]

    def guarded(b, x, k, y):
        z = b.ew("sin", x)
        b.tape.add(BY_NAME["guard"], (k,), (), 1)
        return z, b.store(y, row_of_two, z)

    def window(b, x, k, y):
        return b.ew("sin", at_place(b, k, y)), b.store_at(y, row, x, [k], [(0, 3)])

    def gathered(b, x, k, y):
        return b.ew("sin", b.op("gather", (y, b.load(k, lambda a: np.broadcast_to(a, (5,)))), (5,))), b.ew("sin", x)

    def in_loop(b, x, k, y):
        step = lambda b, j, u, k, y: [b.ew("sin", b.ew("add", u, at_place(b, b.op("subtract", (k, j), (), dtype=I8), y)))]
        return b.loop(2, [x], [k, y], step)

    def nested(b, x, k, y):
        which = b.op("remainder", (k, b.const(np.int64(2))), (), dtype=I8)
        tanh = lambda b, x, k, y: [b.ew("tanh", x)]
        return b.branch(which, [x], [k, y], tanh, lambda b, x, k, y: in_loop(b, x, k, y))

    def choosing(b, x, k, y):
        which = b.load_at(b.const(np.array([0, 1, 0])), row, [k], [(0, 3)])
        return b.branch(which, [x], [], lambda b, x: [b.ew("tanh", x)], lambda b, x: [b.ew("sin", x)])

    def boxed(b, x, k, y):
        step = lambda b, j, u: [b.op("black_box", (b.ew("add", u, b.const(1.0)),), (N,), Call(picked(np.cos)))]
        return b.loop(3, [x], [], step)

    def guard_in_loop(b, x, k, y):
        def step(b, j, u, k):
            b.tape.add(BY_NAME["guard"], (b.op("less", (j, k), (), dtype=bool),), (), False)
            return [b.ew("sin", u)]

        return b.loop(5, [x], [b.op("negative", (k,), (), dtype=I8)], step)

    case("a guard", guarded, {1: np.array(2)})
    case("an index of a window", window, {1: np.array(3)})
    case("a negative index of a window", window, {1: np.array(-1)})
    case("an index of an array", gathered, {1: np.array(3 * N)})
    case("an index of a window in a loop", in_loop, {1: np.array(0)})
    case("an index of a window in a loop in a branch", nested, {1: np.array(5)})
    case("an index of a window that says which way", choosing, {1: np.array(3)})
    case("a black box", boxed, {0: x + 100})
    case("a guard in a loop", guard_in_loop, {1: np.array(-3)})
    return found


@pytest.mark.parametrize("name", failing())
def test_a_program_works_again_after_an_error(name):
    tape, good, bad = failing()[name]
    program, slow = vm.Program(tape), reference.Program(tape)
    for _ in range(3):
        right(program, good)
        with pytest.raises((GuardFailed, IndexError, ZeroDivisionError)) as expected:
            slow.run(bad)
        with pytest.raises(type(expected.value)) as caught:
            program.run(bad)
        assert str(caught.value) == str(expected.value)
    right(program, good)


def test_errors_of_a_black_box_are_the_users_own():
    error = ValueError("mine")

    def f(x):
        raise error

    with pytest.raises(ValueError) as caught:
        vm.Program(calling(f)).run([np.ones(N)])
    assert caught.value is error
    with pytest.raises(GuardFailed, match="shape"):
        vm.Program(calling(lambda x: x[1:])).run([np.ones(N)])
    for stop in (KeyboardInterrupt, SystemExit):

        def g(x, stop=stop):
            raise stop

        with pytest.raises(stop):
            vm.Program(calling(g)).run([np.ones(N)])


def test_the_way_of_a_branch_that_does_not_exist():
    b = LoopBuilder()
    which, x = b.input((), I8), b.input((N,))
    b.done(*b.branch(which, [x], [], lambda b, x: [b.ew("sin", x)], lambda b, x: [b.ew("cos", x)]))
    x = np.linspace(0, 1, N)
    program = vm.Program(b.tape)
    for k in (-2, -1, 0, 1):
        right(program, [np.array(k), x])
    for k in (-3, 2, 10**6, np.iinfo(np.int64).max, np.iinfo(np.int64).min):
        with pytest.raises(IndexError):
            reference.Program(b.tape).run([np.array(k), x])
        with pytest.raises(IndexError):
            program.run([np.array(k), x])
    right(program, [np.array(0), x])


def test_an_error_leaves_nothing_behind():
    """Neither the array that was given nor the program is kept alive."""

    def f(x):
        raise ZeroDivisionError

    x = np.ones(N)
    seen, program = weakref.ref(x), vm.Program(calling(f))
    with pytest.raises(ZeroDivisionError):
        program.run([x])
    del x
    gc.collect()
    assert seen() is None


# ---- large tapes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backward", [False, True])
def test_loops_in_branches_in_loops(backward):
    """Far down; each level changes the numbers, and swaps them."""

    def level(b, u, v, a, depth):
        u = b.ew("sin", b.ew("add", u, a))
        if not depth:
            return b.store(v, half, b.load(u, half)), u
        way = lambda sign: lambda b, u, v, a: level(b, b.ew("add", u, b.const(sign)), v, a, depth - 1)
        step = lambda b, j, u, v, a: b.branch(b.integer("remainder", j, 2), [v, u], [a], way(0.5), lambda b, u, v, a: (u, v))
        return b.loop(2 + depth % 2, [u, v], [a], step, backward)

    b = LoopBuilder()
    u, v, a = b.input((N,)), b.input((N,)), b.input((N,))
    b.done(*level(b, u, v, a, 14))
    assert_bits(*both(b.tape, [np.linspace(k, k + 1, N) for k in range(3)]))


def test_long_tapes():
    """Ten thousand ops, on numbers and on arrays."""
    for shape in [(), (5,), (2049,)]:
        b = Builder()
        x, y = b.input(shape), b.input(shape)
        rng = np.random.default_rng(0)
        for k in range(3000):
            name = ("add", "multiply", "subtract")[k % 3]
            x, y = b.ew("sin", b.ew(name, x, y)), (x if rng.random() < 0.5 else y)
            if shape and k % 7 == 0:
                x = b.store(x, lambda a: a[1:], b.load(x, lambda a: a[:-1]))
        assert_bits(*both(b.done(x, y), [np.full(shape, 0.5), np.full(shape, 0.25)]))


def test_recurrences_element_by_element():
    n = 1500
    b = Builder()
    x = b.input((n,))
    for i in range(1, n):
        at = lambda k: lambda a: a[k, ...]
        x = b.store(x, at(i), b.ew("multiply", b.ew("sin", b.load(x, at(i - 1))), b.load(x, at(i))))
    assert_bits(*both(b.done(x), [np.linspace(0.5, 1, n)]))


# ---- forks -----------------------------------------------------------------------------------------------------------


def in_child(check):
    """Whether ``check()`` passes in a forked process, within a minute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, if other threads run
        pid = os.fork()
    if pid == 0:
        try:
            check()
            os._exit(0)
        except BaseException:
            os._exit(1)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


@forks
def test_forked_processes(with_threads):
    made = SizedTape(5, "smooth", (200_000,))
    program, x = vm.Program(made.tape), made.point()
    with_threads(3)
    expected = program.run(x)
    assert in_child(lambda: assert_bits(program.run(x), expected))
    assert in_child(lambda: assert_bits(vm.Program(made.tape).run(x), expected))
    assert in_child(lambda: in_child(lambda: assert_bits(program.run(x), expected)) or os._exit(2))
    assert_bits(program.run(x), expected)


@forks
def test_forks_while_other_threads_run(with_threads):
    made = SizedTape(5, "rough", (200_000,))  # without products: a BLAS that is forked while it computes may hang
    with_threads(3)
    program, x = vm.Program(made.tape), made.point()
    expected, stop = program.run(x), threading.Event()

    def work():
        while not stop.is_set():
            program.run(x)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            assert in_child(lambda: assert_bits(program.run(x), expected))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


# ---- interrupts ------------------------------------------------------------------------------------------------------


ENDLESS = ["of arrays", "of numbers", "that only swap", "of nothing", "of zeros", "in branches in loops", "of short loops",
           "of branches", "of black boxes"]  # fmt: skip


def endless(b, u, name):
    """What a loop makes of `u` that takes much longer than a test may."""
    long = 10**10
    sine, same = lambda b, j, u: [b.ew("sin", u)], lambda b, *values: values
    way = lambda b, u: b.loop(long, [u], [], sine)
    x, y = b.load(u, lambda a: a[0, ...]), b.load(u, lambda a: a[1, ...])
    odd = lambda b, j: b.integer("remainder", j, 2)
    return {
        "of arrays": lambda: b.loop(long, [u], [], sine),
        "of numbers": lambda: b.loop(long, [x], [], sine),
        "that only swap": lambda: b.loop(long, [x, y], [], lambda b, j, x, y: (y, x)),
        "of nothing": lambda: b.loop(long, [x], [], lambda b, j, x: [x]),
        "of zeros": lambda: b.loop(long, [u], [], lambda b, j, u: [b.zeros((N,))]),
        "in branches in loops": lambda: b.loop(3, [u], [], lambda b, j, u: b.branch(odd(b, j), [u], [], way, way)),
        "of short loops": lambda: b.loop(long, [x], [], lambda b, j, x: b.loop(2, [x], [], lambda b, j, x: [x])),
        "of branches": lambda: b.loop(long, [x], [], lambda b, j, x: b.branch(odd(b, j), [x], [], same, same)),
        "of black boxes": lambda: b.loop(long, [u], [], lambda b, j, u: [b.op("black_box", (u,), (N,), Call(np.sin))]),
    }[name]()[0]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no interval timers on this system")
@pytest.mark.parametrize("name", ENDLESS)
def test_interrupts_arrive_within_a_second(name):
    """A second of this process: what the machine does besides does not count."""
    b = LoopBuilder()
    go, u = b.input((), I8), b.input((N,))
    inner = lambda b, u: [b.store(u, lambda a: a[:1], b.load(endless(b, u, name), lambda a: a.reshape(-1)[:1]))]
    b.done(*b.branch(go, [u], [], lambda b, u: [b.ew("sin", u)], inner))
    program, x = vm.Program(b.tape), np.linspace(0, 1, N)
    for _ in range(2):
        begin = time.process_time()
        with pytest.raises(KeyboardInterrupt), interrupted_after(0.3):
            program.run([np.array(1), x])
        assert time.process_time() - begin < 0.3 + 1
        right(program, [np.array(0), x])


def one_long_kernel(b, x):
    """15 functions over more points than a test has time for, added up: nothing but the registers of tiles."""
    y = b.load(x, lambda a: np.broadcast_to(a, (1000, 1000, N)))
    for k in range(15):
        y = b.ew(("sin", "exp", "tanh")[k % 3], y)
    return b.op("sum", (y,), (), (0, 1, 2))


@pytest.fixture
def sigint():
    """SIGINT as Python treats it in a terminal; processes that a shell starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_arrives_within_a_second_in_the_middle_of_a_kernel(threads, with_threads, sigint):
    """A SIGINT as the terminal sends it; what has been computed of the kernel until then is thrown away."""
    b = LoopBuilder()
    go, u = b.input((), I8), b.input((N,))
    short, long = lambda b, u: [b.op("sum", (b.ew("sin", u),), (), (0,))], lambda b, u: [one_long_kernel(b, u)]
    way = lambda f: lambda b, s, u: f(b, u)
    b.done(*b.branch(go, [b.zeros(())], [u], way(short), way(long)))
    program, x = vm.Program(b.tape), np.linspace(0, 1, N)
    with_threads(threads)
    for _ in range(2):
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        begin = time.process_time()
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            program.run([np.array(1), x])
        assert time.process_time() - begin < threads * (0.3 + 1)
        timer.join()
        right(program, [np.array(0), x])


# ---- memory ----------------------------------------------------------------------------------------------------------


def heavy(b, shape):
    """Many values as large as the input, one number as the result."""
    x = b.input(shape)
    y = b.ew("sin", x)
    z = b.store(b.ew("multiply", x, y), lambda a: a[1:], b.load(y, lambda a: a[:-1]))
    z = b.accumulate(z, lambda a: a[::-2], b.load(y, lambda a: a[::2]))
    step = lambda b, j, z, w, x: (b.ew("tanh", w), b.store(z, lambda a: a[1:], b.load(x, lambda a: a[1:])))
    z, w = b.loop(3, [z, b.zeros(shape)], [x], step)
    t = b.ew("add", z, b.load(w, lambda a: a[::-1]))
    return b.load(t, lambda a: a[(*(-1,) * a.ndim, ...)]), b.load(z, lambda a: a[(*(1,) * a.ndim, ...)])


@pytest.mark.parametrize("shape", [(10**6,), (1000, 1000)], ids=str)
def test_a_repeated_call_takes_no_memory(shape):
    """By Python's and NumPy's own account, and by the pages that the system had to give: less than a tenth of one array."""
    b = LoopBuilder()
    program, x = vm.Program(b.done(*heavy(b, shape))), np.ones(shape)
    program.run([x])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(5):
            program.run([x])
        taken = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert taken < x.nbytes / 10
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        program.run([x])
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) * resource.getpagesize() < x.nbytes / 10


def test_a_call_takes_the_memory_of_its_results():
    b = LoopBuilder()
    x = b.input((10**6,))
    y = b.ew("sin", x)
    program = vm.Program(b.done(y, b.ew("multiply", b.ew("exp", y), b.load(y, lambda a: a[::-1]))))
    x = np.ones(10**6)
    program.run([x])
    tracemalloc.start()
    try:
        results = program.run([x])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.1 * x.nbytes == 2.1 / 2 * sum(r.nbytes for r in results)


class Mallinfo(ctypes.Structure):
    NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES.split()]


def allocated():
    """Bytes in use that malloc gave, whoever asked for them; None if the C library does not tell."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return None
    mallinfo.restype = Mallinfo
    gc.collect()
    info = mallinfo()
    return info.uordblks + info.hblkhd


@pytest.mark.skipif(allocated() is None, reason="the C library has no mallinfo2")
def test_nothing_leaks():
    """Of runs, of failed runs, of programs, and of programs that cannot be made."""
    b = LoopBuilder()
    heavy_tape = b.done(*heavy(b, (2000,)))
    x = np.ones(2000)
    fails, _, bad = failing()["an index of a window in a loop in a branch"]
    program, failed = vm.Program(heavy_tape), vm.Program(fails)

    def run():
        program.run([x])

    def fail():
        with contextlib.suppress(IndexError):
            failed.run(bad)

    def make():
        vm.Program(heavy_tape).run([x])

    for what, least in ((run, 100), (fail, 1000), (make, 5000)):
        for _ in range(20):
            what()
        before, times = allocated(), 200
        for _ in range(times):
            what()
        assert allocated() - before < times * least


def test_memory_that_cannot_be_had():
    """As a result, and as a value in between; before anything is run."""
    huge = (2**44,)

    def run_too_early(x):
        raise AssertionError

    for outside in (True, False):
        b = Builder()
        x = b.input(())
        y = b.op("black_box", (x,), (), Call(run_too_early))
        z = b.op("scan", (b.load(y, lambda a: np.broadcast_to(a, huge)),), huge, ("add", 0))
        program = vm.Program(b.done(z if outside else b.op("gather", (z, b.const(7)), ())))
        for _ in range(2):
            with pytest.raises(MemoryError):
                program.run([np.array(1.0)])


def test_the_pool_holds_a_workspace_for_each_caller_at_a_time():
    """What sixteen callers one after the other take is what one takes."""
    b = LoopBuilder()
    tape = b.done(*heavy(b, (10**6,)))
    x, program = np.ones(10**6), vm.Program(tape)
    tracemalloc.start()
    try:
        program.run([x])
        one = tracemalloc.get_traced_memory()[0]
        for _ in range(16):
            thread = threading.Thread(target=program.run, args=([x],))
            thread.start()
            thread.join()
        assert tracemalloc.get_traced_memory()[0] < 1.1 * one
    finally:
        tracemalloc.stop()
