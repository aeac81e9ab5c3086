"""Loops over ``sparsead.steps``: rolled against the plain function, and against the same loop unrolled."""

import numpy as np
import pytest

import sparsead
from sparsead import steps

CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


def rolled(f, *args):
    """The prepared derivative's tape, and how many steps it has as ops: few, whatever the number of steps."""
    pullback = sparsead.vjp(f)
    pullback.prepare(*args)
    return pullback.tape


def loops(tape):
    return [op.attr for op in tape if op.op.name == "loop"]


# ---- bodies of all kinds: u and v are vectors of six, F a matrix of ten rows


@case
def swap(u, v, F):
    for k in steps(50):
        v[1:-1] = np.sin(u[1:-1]) + 0.1 * u[:-2]
        u, v = v, u
    return u * 1.0, v * 2.0


@case
def shift_register(u, v, F):
    a, b, c = u * 1.0, u * 2.0, u * 3.0
    for k in steps(50):
        a, b, c = np.sin(a + c) * 0.9, a, b
    return a + 2 * b + 3 * c


@case
def rebinding(u, v, F):
    for k in steps(41):
        u = u + 0.1 * np.sin(v)
        v = v * 0.9
    return u, v


@case
def scalar_carry(u, v, F):
    s = u[0]
    for k in steps(30):
        s = np.sin(s) + u.sum() * 0.01
        u *= 0.9
    return s, u


@case
def counter(u, v, F):
    for k in steps(20):
        t = 0.1 * k
        u += np.sin(t) * v
    return u * k


@case
def rows(u, v, F):
    for k in steps(10):
        u += F[k]
    return u


@case
def rows_shifted(u, v, F):
    for k in steps(9):
        u += F[k + 1] - F[k] * 0.5
        F[k, 1:3] *= u[1:3]
    return u, F


@case
def trajectory(u, v, F):
    F[0] = u
    for k in steps(9):
        F[k + 1] = np.sin(F[k]) + v
    return F


@case
def windows(u, v, F):
    f = F.ravel()
    for k in steps(40):
        f[k + 3] = f[k : k + 3].sum() * 0.3
        w = f[k : k + 2]
    return f, w


@case
def reverse(u, v, F):
    for k in steps(10):
        u = u * 0.5 + F[9 - k]
    return u


@case
def nested(u, v, F):
    for i in steps(10):
        for j in steps(5):
            u[j + 1] = u[j] * 0.9 + F[i, j]
        v = v + u
    return u, v


@case
def sequence(u, v, F):
    for i in steps(20):
        u = u * 0.9
    for i in steps(10):
        v = v + u * F[i]
    return u, v, i * v


@case
def last_branch(u, v, F):
    n = 30
    for k in steps(n):
        u = u * 0.9
        if k == n - 1:
            v = v + u
        if k == 0:
            v = v * 2
    return u, v


@case
def middle(u, v, F):
    for k in steps(40):
        if k < 20:
            u = u * 0.9
        else:
            u = u + 0.1 * v
    return u


@case
def over_rows(u, v, F):
    for row in steps(F):
        u = u + row * v
    return u


@case
def value_after(u, v, F):
    for k in steps(30):
        u *= 0.9
        s = u.sum()
    if s > 0:
        u = u + 1
    return u * s


@case
def attributes(u, v, F):
    class S:
        pass

    s = S()
    s.u = u
    s.hist = {"v": v}
    for k in steps(30):
        s.u = s.u * 0.9 + s.hist["v"]
        s.hist["v"] = s.hist["v"] * 0.5
    return s.u, s.hist["v"]


@case
def element(u, v, F):
    for k in steps(5):
        u[k + 1] += u[k] * v[k]
        x = u[k]
    return u * x


@case
def ints(u, v, F):
    for k in steps(12):
        i = k // 2
        u = u + F[i % 10]
    return u, i


@case
def outer_views(u, v, F):
    ul = u[:-1]
    ur = u[1:]
    for k in steps(20):
        ur += 0.1 * ul
        np.multiply(ul, 0.99, out=ul)
    return u


@case
def mask(u, v, F):
    for k in steps(20):
        u[u < 0] = 0.0
        u -= 0.05 * v
        u = np.where(u > 0.5, u * 0.9, u)
    return u


@case
def fancy(u, v, F):
    idx = np.array([0, 2, 4])
    for k in steps(10):
        F[k][idx] += u[idx]
        u[idx] *= 0.9
        F[k][F[k] < 0] = 0
    return u, F


@case
def carried_k(u, v, F):
    last = 0
    for k in steps(15):
        u = u + 0.01 * last
        last = k
    return u * last


@case
def both_counters(u, v, F):
    for i in steps(10):
        for j in steps(6):
            F[i, j] = np.sin(F[i, j - 1]) + i * 0.1 + j
    return F


def arguments():
    rng = np.random.default_rng(1)
    return rng.random(6), rng.random(6), rng.random((10, 6))


def plain(f, args):
    return f(*[a.copy() for a in args])


UNROLLED = {"fancy"}  # a gather at computed places is no window: ten steps are traced one by one


@pytest.mark.parametrize("name", CASES)
def test_primal_is_that_of_the_function_to_the_bit(name):
    f, args = CASES[name], arguments()
    expected, value = plain(f, args), sparsead.vjp(f)(*args)[0]
    if not isinstance(expected, tuple):
        expected, value = (expected,), (value,)
    for v, e in zip(value, expected, strict=True):
        np.testing.assert_array_equal(v, e)
    assert bool(loops(rolled(f, *args))) == (name not in UNROLLED)
