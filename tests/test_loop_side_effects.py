"""Loops under threads, interrupts and exceptions: what the user has stays as plain NumPy would have left it."""

import threading
from functools import partial

import numpy as np
import pytest

import sparsead

steps = partial(sparsead.steps, unroll=False)  # what is short would be unrolled else


def simulate(u, nu):
    new = u.copy()
    for k in steps(60):
        new[1:-1] = u[1:-1] + nu * (u[2:] - 2 * u[1:-1] + u[:-2]) + 0.001 * k
        if u[1] > 0.6:
            new *= 0.99
        u, new = new, u
    return u @ u


def start():
    return np.sin(np.linspace(0, 3, 7)), 0.2


def in_threads(work, count=8):
    """What `work` gives in threads that start together."""
    results, barrier = [None] * count, threading.Barrier(count)

    def run(k):
        barrier.wait()
        results[k] = work(k)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def test_threads_share_a_prepared_loop():
    gradient, (u, nu) = sparsead.grad(simulate), start()
    gradient(u, nu)
    expected = [sparsead.grad(simulate)(u * (1 + 0.01 * k), nu) for k in range(8)]
    for got, e in zip(in_threads(lambda k: gradient(u * (1 + 0.01 * k), nu)), expected, strict=True):
        np.testing.assert_array_equal(got, e)


def test_threads_prepare_the_same_loop():
    u, nu = start()

    def again(u, nu):
        return simulate(u, nu) * 1.0

    gradient = sparsead.grad(again)
    results = in_threads(lambda k: gradient(u, nu))
    for got in results:
        np.testing.assert_array_equal(got, sparsead.grad(simulate)(u, nu))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("at", [0, 1, 3, 30, 45])
@pytest.mark.parametrize("inner", [False, True])
def test_an_exception_in_the_body(error, at, inner):
    """At peeled steps, and on a path that is traced later; in a loop or in one inside it."""
    scratch = np.ones(3)

    def f(u, fail):
        for k in steps(50):
            u *= 0.9
            scratch[:] = u
            for j in steps(6 if inner else 1):
                if fail and k == at:
                    raise error("mine")
                u[0] += 0.01 * j
        return (u * scratch).sum()

    u = np.array([1.0, 2.0, 3.0])
    with pytest.raises(error, match="mine"):
        sparsead.grad(f)(u, True)
    np.testing.assert_array_equal(u, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(scratch, np.ones(3))
    expected = sparsead.grad(lambda u, fail: f(u, fail))(u, False)
    np.testing.assert_array_equal(sparsead.grad(f)(u, False), expected)
    value = sparsead.value_and_grad(f)(u, False)[0]
    assert value == f(u.copy(), False)


def test_a_return_from_a_step_and_from_a_nested_one():
    def f(u, limit):
        for k in steps(40):
            u = u * 0.95
            for j in steps(10):
                u = u + 0.001 * j
                if k + j == limit:
                    return u * k + j
        return u

    u = np.array([1.0, 2.0])
    for limit in (0, 1, 9, 1000):
        np.testing.assert_array_equal(sparsead.vjp(f)(u, limit)[0], f(u, limit))


def test_a_range_of_steps_is_used_again():
    def f(u):
        often = steps(30)
        for k in often:
            u = u * 0.9
        for k in often:
            u = u + 0.01 * k
        return u

    np.testing.assert_array_equal(sparsead.vjp(f)(np.ones(2))[0], f(np.ones(2)))


def test_an_iterator_of_steps_goes_on_where_it_was():
    def f(u):
        once = iter(steps(30))
        for k in once:
            u = u * 0.9
        for k in once:
            u = u * 0.0
        return u

    np.testing.assert_array_equal(sparsead.vjp(f)(np.ones(2))[0], f(np.ones(2)))


def test_rows_are_iterated_again():
    def f(u, F):
        rows = steps(F)
        for row in rows:
            u = u + row
        for row in rows:
            u = u * row
        return u

    args = np.ones(2), np.arange(20.0).reshape(10, 2) / 10
    np.testing.assert_array_equal(sparsead.vjp(f)(*args)[0], f(*args))


def test_the_array_of_an_enclosing_loop_is_written():
    def f(u, w):
        for i in steps(12):
            w += 0.1 * u
            for j in steps(8):
                w[j % 3] *= 0.9
                u = u + 0.01 * w
        return u * w

    args = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.1, 0.2])
    np.testing.assert_array_equal(sparsead.vjp(f)(*args)[0], f(*[a.copy() for a in args]))


def test_loops_in_branches():
    def f(u):
        for k in steps(20):
            if u[0] > 0.5:
                for _ in steps(5):
                    u = u * 0.9
            else:
                u = u + 0.3
        if u[0] > 0.1:
            for k in steps(15):
                u = np.sin(u)
        return u

    value = sparsead.vjp(f)
    for scale in (1.0, 0.1, -5.0):
        u = scale * np.array([1.0, 2.0])
        np.testing.assert_array_equal(value(u)[0], f(u))


def test_a_name_that_leaves_the_trace():
    """``u = 0`` in the body: what was an array is a plain number."""

    def f(u):
        w = u * 2.0
        for k in steps(20):
            u = u * 0.9
            if k == 12:
                w = 1.0
        return u * w

    np.testing.assert_array_equal(sparsead.vjp(f)(np.ones(2))[0], f(np.ones(2)))


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_a_carry_that_changes_its_dtype(dtype):
    def f(u):
        w = u.astype(dtype)
        for k in steps(30):
            w = w * 1.0 if k > 20 else w
            u = u * 0.9 + w * 0.01
        return u

    u = np.array([1.0, 2.0])
    np.testing.assert_array_equal(sparsead.vjp(f)(u)[0], f(u))


def test_a_complex_carry():
    def f(u, count=steps):
        z = u + 1j
        for k in count(20):
            z = z * 0.9
        return np.abs(z)

    u, seed = np.array([0.5, 2.0]), np.array([1.0, -3.0])
    (value, pullback), (expected, expected_pullback) = sparsead.vjp(f)(u), sparsead.vjp(lambda u: f(u, range))(u)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(pullback(seed), expected_pullback(seed), rtol=1e-14)
    np.testing.assert_allclose(pullback(seed), seed * 0.9**20 * u / np.hypot(u, 1), rtol=1e-13)


@pytest.mark.parametrize("read", ["np.random.rand()", "time.perf_counter()", "random.random()"])
def test_chance_and_the_clock_in_the_body(read):
    import random
    import time

    def f(u):
        for k in steps(20):
            u = u * eval(read, {"np": np, "time": time, "random": random})
        return u

    with pytest.raises(sparsead.TraceError, match="argument"):
        sparsead.vjp(f)(np.ones(2))
