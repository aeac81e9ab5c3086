"""Loops over ``sparsead.steps``: rolled against the plain function, and against the same loop unrolled."""

from functools import partial

import numpy as np
import pytest

import sparsead
from cases import Functions

steps = partial(sparsead.steps, unroll=False)  # what is short would be unrolled else

CASES = case = Functions()


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
def lists_as_indices(u, v, F):
    for k in steps(20):
        u[[0, 2]] = 0.5 * v[[1, 3]] + np.array([0.1, 0.2])
        v[[1, 1]] += 0.1 * u[0]
    return u, v


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


# ---- branches in the body, and ways out of it


@case
def history(u, v, F):
    H = np.zeros((100, 6))
    for k in steps(1000):
        u = u * 0.99 + 0.01 * v
        if k % 10 == 0:
            H[k // 10] = u
    return H, u


@case
def three(u, v, F):
    for k in steps(1000):
        if k % 3 == 0:
            u = u * 0.99
        elif k % 3 == 1:
            v = v + 0.01 * u
        else:
            u, v = v * 0.5, u
    return u, v


@case
def swap_history(u, v, F):
    H = np.zeros((100, 6))
    for k in steps(1000):
        v[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
        if k % 10 == 3:
            H[k // 10] = v
        u, v = v, u
    return H, u, v


@case
def seldom_number(u, v, F):
    t = u[0]
    for k in steps(500):
        if k % 7 == 2:
            t = u.sum() * 0.1
        u = u * 0.9 + t
    return u, t


@case
def both(u, v, F):
    c = np.zeros(1)
    for k in steps(500):
        if k % 5 == 0:
            c += 1
        if k % 7 == 0:
            u[0] = np.sin(u[0])
        u = u * 0.99
    return u, c


@case
def data_branch(u, v, F):
    for k in steps(100):
        if u[0] > 0.5:
            u = u * 0.9
        else:
            u = u + 0.1 * v
    return u


@case
def limiter(u, v, F):
    c = np.zeros(1)
    for k in steps(200):
        if u.max() > 1.0:
            u *= 0.5
            c += 1
        if k % 10 == 0:
            F[k // 20] += u
        u += 0.03 * v
    return u, c, F


@case
def truth_of_the_counter(u, v, F):
    for k in steps(120):
        if not k:
            u = u + 1
        if k % 3:
            v = v * 0.9
    return u, v


@case
def invariant_used_after(u, v, F):
    w = v * 2.0
    for k in steps(40):
        if u[0] < 0.5:
            u = u + 0.01
        else:
            u = u * 0.9
    v[k % 3] = 1.0
    return u, v, w * v


def halved_where_large(u):
    for k in steps(40):
        if u[0] > 0.5:
            u = u * 0.5
        u = u * 1.1
    return u


@case
def callers_own_name(u, v, F):
    w = halved_where_large(u)
    return w, u * v


@case
def breaks(u, v, F):
    for k in steps(1000):
        u = u * 0.99
        if u.sum() < 0.5:
            break
    return u


@case
def breaks_behind_other_paths(u, v, F):
    for k in steps(40):
        if k > 35:
            break
        if F[k // 4, 0] > 0.5:
            u = u + 1
    return u


@case
def breaks_if_not_by_then(u, v, F):
    for k in steps(60):
        u = u * 0.9
        if k == 20:
            if u.sum() > 100.0:
                break
        if k == 40:
            if u.sum() < 100.0:
                break
    return u, k * v


@case
def paths_in_paths(u, v, F):
    for i in steps(12):
        for j in steps(12):
            if u[1] > 0.6:
                u = u * 0.8
            else:
                u = u + 0.05 * v
        if i % 5 == 3:
            v = v * 0.9
    return u, v


@case
def outer_counter_asked_inside(u, v, F):
    a = u * 0.0
    for k in steps(13):
        for j in steps(13):
            if k == 12:
                u = u * 0.9
            else:
                a = u * 0.5 + 0.01 * k
    return u, a


@case
def newton(u, v, F):
    x = np.ones(1)
    for k in steps(100):
        d = (x * x - u[:1]) / (2 * x)
        x -= d
        if np.abs(d).max() < 1e-12:
            break
    return x * k


@case
def jacobi(u, v, F):
    x = np.zeros(6)
    y = np.zeros(6)
    for k in steps(10000):
        y[1:-1] = 0.5 * (x[2:] + x[:-2]) + v[1:-1]
        r = np.abs(y - x).max()
        x, y = y, x
        if r < 1e-6:
            break
    return x, r, k * u


@case
def returns(u, v, F):
    for k in steps(1000):
        u = u * 0.99
        if u.sum() < 0.5:
            return u * k
    return u


# ---- rolled against the function


def arguments():
    rng = np.random.default_rng(1)
    return rng.random(6), rng.random(6), rng.random((10, 6))


def plain(f, args):
    return f(*[a.copy() for a in args])


UNROLLED = {"fancy", "newton"}  # a gather at computed places is no window; the other ends before two steps are alike


@pytest.mark.parametrize("name", CASES)
def test_primal_is_that_of_the_function_to_the_bit(name):
    f, args = CASES[name], arguments()
    expected, value = plain(f, args), sparsead.vjp(f)(*args)[0]
    if not isinstance(expected, tuple):
        expected, value = (expected,), (value,)
    for v, e in zip(value, expected, strict=True):
        np.testing.assert_array_equal(v, e)
    assert bool(loops(rolled(f, *args))) == (name not in UNROLLED)


def loss_of(f):
    """Every element of every result with a weight of its own, under a curve: second derivatives see all pairs."""

    def loss(u, v, F):
        results = f(u, v, F)
        total = 0.0
        for r in results if isinstance(results, tuple) else (results,):
            total = total + np.sin(np.asarray(r) * (1.0 + np.arange(np.size(r)).reshape(np.shape(r)))).sum()
        return total

    return loss


def derivatives(f, args):
    """Gradient, Hessian-vector product, gradient of a function of the gradient, Jacobian."""
    loss = loss_of(f)
    gradient = sparsead.grad(loss, wrt=("u", "v", "F"))(*args)
    product = sparsead.hvp(loss)(*args, np.cos(np.arange(6.0)))
    twice = sparsead.grad(lambda u, v, F: (sparsead.grad(loss)(u, v, F) ** 2).sum(), wrt=("u", "F"))(*args)
    return [*gradient, product, *twice, sparsead.jacobian(f)(*args).toarray()]


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_the_unrolled_loop(name, monkeypatch):
    f, args = CASES[name], arguments()
    rolled_up = derivatives(f, args)
    monkeypatch.setitem(f.__globals__, "steps", lambda n: sparsead.steps(n, unroll=True))
    for r, e in zip(rolled_up, derivatives(f, args), strict=True):
        np.testing.assert_allclose(r, e, rtol=1e-12, atol=1e-13 * max(1.0, np.abs(e).max()))


def test_trace_and_tape_do_not_grow_with_the_number_of_steps():
    def simulate(n):
        def f(u, nu):
            new = np.empty_like(u)
            for k in steps(n):
                u[0] = u[-1] = 0.01 * k
                new[1:-1] = u[1:-1] + nu * (u[2:] - 2 * u[1:-1] + u[:-2])
                new[0] = new[-1] = 0.0
                u, new = new, u
            return u @ u

        return f

    u = np.linspace(0, 1, 7) ** 2
    tapes = {n: rolled(simulate(n), u, 0.25) for n in (20, 10**6)}
    assert len(tapes[20]) == len(tapes[10**6])
    assert simulate(20)(u.copy(), 0.25) == sparsead.vjp(simulate(20))(u, 0.25)[0]


def test_other_data_take_other_paths():
    """A path that was not met at the trace is traced when it is met."""

    def f(u):
        for k in steps(60):
            if u[0] > 1.0:
                u = u * 0.5
            elif u[1] < 0.2:
                u = u + 0.3
            else:
                u = u * 1.1
        return u

    value = sparsead.vjp(f)
    for start in ([0.9, 0.9], [0.01, 3.0], [5.0, 0.1], [0.9, 0.9]):
        np.testing.assert_array_equal(value(np.array(start))[0], f(np.array(start)))


def test_numbers_are_there_when_somebody_asks():
    seen = []

    def f(u):
        for k in steps(50):
            u *= 0.9
        seen.append(float(sparsead.value(u.sum())))
        if u[0] > 1.0:
            return u
        return f"{u[0]:.3f}" and u * 2

    u = np.array([2.0, 3.0])
    np.testing.assert_array_equal(sparsead.vjp(f)(u)[0], f(u.copy()))
    assert seen[0] == seen[-1]


def test_arguments_that_are_swapped():
    """Which of two arrays holds the result depends on the number of steps being even or odd."""

    def f(u, new, n):
        for k in steps(n):
            new[:] = 0.5 * u + k
            u, new = new, u

    for n in (30, 31, 32, 33):
        u, new = np.array([1.0, 2.0]), np.array([3.0, 4.0])
        got = sparsead.vjp(f, of=("u", "new"))(u, new, n)[0]
        f(u, new, n)
        np.testing.assert_array_equal(got, [u, new])


# ---- what is refused, and how


def number(u):
    t = 0.0
    for k in steps(100):
        u = u + t
        t += 0.1
    return u


def counted(u):
    count = 0
    for k in steps(100):
        u = u * 0.9
        count += 1
    return u * count


def attribute(u):
    class Solver:
        n = 0

    solver = Solver()
    for k in steps(100):
        u = u * 0.9
        solver.n += 1
        if solver.n > 50:
            u = u + 1
    return u


def grown(u):
    history = []
    for k in steps(100):
        u = u * 0.9
        history.append(u)
    return sum(history)


def shape(u):
    for k in steps(100):
        u = np.concatenate([u, u[:1]])
    return u


def listed(u):
    factors = [1.0 - 0.001 * k for k in range(100)]
    for k in steps(100):
        u = u * factors[k]
    return u


def shrinking(u):
    x = np.zeros(100)
    for k in steps(100):
        x[k:] += u[0]
    return x


def drawn(u):
    for k in steps(100):
        u = u * np.random.rand()
    return u


TOTAL = 0


def global_number(u):
    global TOTAL
    for k in steps(100):
        u = u * 0.9
        TOTAL += 1
    return u * TOTAL


def callers_number(u):
    def times():
        for k in steps(100):
            yield 0.1 * k

    count = 0
    for t in times():
        u = u * 0.9 + t
        count += 1
    return u * count


def picked(u):
    for k in steps(100):
        u[u > 0.2] = u[u > 0.2] * 0.9
    return u


def asked_inside(u):
    for k in steps(40):
        for j in steps(20):
            if u[1] > 0.1:
                u = u * 0.999
            else:
                u = u + 0.001
    return u


REFUSED = {
    global_number: "TOTAL changes from step to step",
    callers_number: r"count \(of the caller\) changes from step to step",
    picked: "a mask of traced values names elements in a loop",
    asked_inside: "a branch inside an inner loop goes other ways in step",
    number: r"t changes from step to step \(.*t = k \* dt",
    counted: "count changes from step to step",
    attribute: r"solver\.n changes from step to step",
    grown: r"history grows .*history\[k\] = u",
    shape: "the shape or dtype of an array changes",
    listed: "a number that is taken from a traced one",
    shrinking: "a number that is taken from a traced one",
    drawn: "numpy.random.rand is called inside the traced function",
}


@pytest.mark.parametrize("f", REFUSED, ids=lambda f: f.__name__)
def test_steps_that_are_not_alike_are_refused_by_name(f):
    u = np.array([0.3, 0.2])
    with pytest.raises(sparsead.TraceError, match=REFUSED[f]) as caught:
        sparsead.vjp(f)(u)
    assert "test_steps.py" in str(caught.value)
    np.testing.assert_array_equal(sparsead.vjp(lambda u: u * 2)(u)[0], u * 2)  # nothing is left behind


@pytest.mark.parametrize("f", [number, counted, attribute], ids=lambda f: f.__name__)
def test_what_is_refused_can_be_unrolled(f, monkeypatch):
    monkeypatch.setitem(f.__globals__, "steps", lambda n: sparsead.steps(n, unroll=True))
    u = np.array([0.3, 0.2])
    np.testing.assert_array_equal(sparsead.vjp(f)(u)[0], f(u.copy()))


SENSELESS = [(-1, ValueError), (3.0, TypeError), ("3", TypeError), (True, TypeError), (None, TypeError)]


@pytest.mark.parametrize(("n", "error"), SENSELESS)
def test_senseless_numbers_of_steps(n, error):
    with pytest.raises(error, match="steps"):
        steps(n)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4])
def test_few_steps(n):
    def f(u):
        for k in steps(n):
            u = u * 2 + k
        return u

    np.testing.assert_array_equal(sparsead.vjp(f)(np.ones(2))[0], f(np.ones(2)))


def test_outside_of_derivatives_it_is_range():
    assert list(steps(3)) == [0, 1, 2] and len(steps(5)) == 5
    assert [row.sum() for row in steps(np.ones((2, 3)))] == [3.0, 3.0]


def test_an_index_that_leaves_the_array():
    def f(u):
        x = np.zeros(50)
        for k in steps(100):
            x[k] = u[0]
        return x

    with pytest.raises(IndexError, match="index 50 is out of bounds"):
        sparsead.vjp(f)(np.ones(2))


def test_arrays_that_are_swapped_on_some_paths():
    """The names hold what they should; which of the caller's arrays they are depends on the data."""

    def f(u, v):
        for k in steps(30):
            u += 0.1 * v
            if u[0] > 1.5:
                u, v = v, u
        return u - v

    args = np.array([1.0, 2.0]), np.array([0.3, 0.9])
    np.testing.assert_array_equal(sparsead.vjp(f)(*args)[0], plain(f, args))
    with pytest.raises(sparsead.TraceError, match="swapped on some paths"):
        sparsead.vjp(f, of="u")(*args)
    with pytest.raises(sparsead.TraceError, match=r"swapped on some paths only, and [ab] is one of them in caller"):

        def caller(a, b):
            f(a, b)
            return a

        sparsead.vjp(caller)(*args)


def test_pieces_of_loops_that_swap():
    """A loop that is cut where the counter takes another branch is cut where the names stand as they do now."""

    def f(u, v):
        for k in steps(31):
            u, v = v, u
            v *= 0.9
            if k == 29:
                u += 1.0
        return u * 2

    args = np.array([1.0, 2.0]), np.array([-0.3, 0.9])
    for of in ("return", "u", "v"):
        expected = [x.copy() for x in args]
        returned = f(*expected)
        got = sparsead.vjp(f, of=of)(*args)[0]
        np.testing.assert_array_equal(got, {"return": returned, "u": expected[0], "v": expected[1]}[of])


def test_an_argument_whose_name_a_loop_with_paths_rebinds():
    u = np.array([0.7, 0.4])
    (value, own), pullback = sparsead.vjp(halved_where_large, of=("return", "u"))(u)
    np.testing.assert_array_equal(value, halved_where_large(u.copy()))
    np.testing.assert_array_equal(own, u)
    gradient = pullback((np.zeros(2), np.array([1.0, 2.0])))
    np.testing.assert_array_equal(gradient, [1.0, 2.0])


def test_an_array_that_loses_its_name_on_a_seldom_path():
    """Nobody can say at which step the loop let go of it."""

    def f(u, w):
        for k in steps(40):
            u *= 0.9
            if u[0] < 0.3:
                u = u + w
        return w * 1

    with pytest.raises(sparsead.TraceError, match="whose name went to another array on a path"):
        sparsead.vjp(f, of="u")(np.ones(2), np.ones(2))
    np.testing.assert_array_equal(sparsead.vjp(f)(np.ones(2), np.ones(2))[0], np.ones(2))


def test_the_users_own_exception():
    def f(u, at):
        for k in steps(100):
            u = u * 1.5
            if k == at:
                raise KeyError("mine")
        return u

    for at in (0, 1, 50):
        with pytest.raises(KeyError, match="mine"):
            sparsead.vjp(f)(np.ones(2), at)
    np.testing.assert_array_equal(sparsead.vjp(f)(np.ones(2), -1)[0], f(np.ones(2), -1))


# ---- loops as functions


def heat(u, v):
    return sparsead.fori_loop(2, 40, lambda k, s: (s[0] + 0.01 * k * s[1], 0.9 * s[1]), (u, v))[0]


def square_root(u, v):
    return sparsead.while_loop(lambda x: np.abs(x * x - u).max() > 1e-10, lambda x: 0.5 * (x + u / x), v + 1.0)


def recurrence(u, v):
    state, outs = sparsead.scan(lambda s, row: (0.9 * s + row, np.sin(s) * row), v, u[:, None] * np.ones((1, 6)))
    return outs * state


@pytest.mark.parametrize("f", [heat, square_root, recurrence])
def test_loops_as_functions(f, monkeypatch):
    u, v, _ = arguments()
    np.testing.assert_array_equal(sparsead.vjp(f)(u, v)[0], f(u, v))
    rolled_up = sparsead.jacobian(f, wrt=("u", "v"))(u, v).toarray()
    monkeypatch.setitem(sparsead.fori_loop.__globals__, "steps", lambda n: sparsead.steps(n, unroll=True))
    unrolled = sparsead.jacobian(f, wrt=("u", "v"))(u, v).toarray()
    np.testing.assert_allclose(rolled_up, unrolled, rtol=1e-12, atol=1e-13)


def test_a_while_loop_that_does_not_end():
    with pytest.raises(RuntimeError, match="after 20 steps"):
        sparsead.grad(lambda x: sparsead.while_loop(lambda y: y > 0, lambda y: y * 0.5, x, max_steps=20))(1.0)
    with pytest.raises(ValueError, match="no rows"):
        sparsead.scan(lambda s, x: (s, x), 0.0, np.zeros((0, 2)))
