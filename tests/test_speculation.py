"""A replay runs ahead of nothing: what can fail waits for its guards, and what fails all the same is the user's to see.

Each function here is traced where its condition holds, and called again where it does not and the guarded line would fail.
"""

import logging
import traceback

import numpy as np
import pytest

import sparsead
from engines import both
from loop_tapes import LoopBuilder, row
from sparsead.engine import reference, vm
from sparsead.tape.spec import BY_NAME, GuardFailed, left_path
from tapes import I8

ENGINES = ["vm", "reference"]


def by_an_index_array(x):
    i = np.floor(x).astype(int)
    if x.max() < 3:
        return np.sum(np.sin(x[i]))
    return np.sum(np.cos(x))


def by_an_index(x):
    if x[0] < 3:
        return x[np.floor(x[0]).astype(int)] * np.sum(x)
    return np.sum(np.cos(x))


def by_indices_in_a_loop(x):
    y = np.zeros(40)
    if x.max() < 3:
        for k in sparsead.steps(30):
            y[k] = np.sin(x[np.floor(x[0]).astype(int)] * x[1])
        return np.sum(y)
    return np.sum(np.cos(x))


def by_a_scatter(x):
    i, y = np.floor(x).astype(int), np.zeros(3)
    if x.max() < 3:
        np.add.at(y, i, x * x)
        return np.sum(np.sin(y))
    return np.sum(np.cos(x))


def behind_a_late_guard(x):
    y = np.empty(3)
    y[:] = np.sin(x)
    y[1:] += y[:-1]
    if y.max() > 1.4:
        return np.sum(x[np.floor(x).astype(int)] * y)
    return np.sum(np.cos(x))


def by_a_division_of_integers(x):
    i = np.floor(x).astype(int)
    if i.max() < 3:
        return np.sum(x * (6 // (i - 7))) + np.sum(x * (5 % (i - 7)))
    return np.sum(np.cos(x))


def by_a_singular_matrix(x):
    if x.max() < 3:
        return np.sum(np.linalg.solve(np.diag(7 - x), x))
    return np.sum(np.cos(x))


def by_a_function_of_the_user(x):
    def box(u):
        assert u.max() < 3
        return u * u

    if x.max() < 3:
        return np.sum(sparsead.black_box(box, jac=lambda u: np.diag(2 * u))(x))
    return np.sum(np.cos(x))


GUARDED = [by_an_index_array, by_an_index, by_indices_in_a_loop, by_a_scatter, behind_a_late_guard, by_a_division_of_integers,
           by_a_singular_matrix, by_a_function_of_the_user]  # fmt: skip
INSIDE, OUTSIDE = np.array([0.25, 1.5, 0.75]), np.array([7.0, 0.5, 7.0])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("f", GUARDED, ids=lambda f: f.__name__)
def test_what_can_fail_waits_for_its_guards(f, engine, caplog):
    """By the log: a replay that failed in another way would be traced anew as well."""
    caplog.set_level(logging.INFO, logger="sparsead")
    with np.errstate(all="raise"):
        for make in (sparsead.grad, sparsead.jvp, sparsead.vjp, sparsead.linearize):
            derivative = make(f, engine=engine)
            before = int(derivative.report().split("\n")[1].removeprefix("traces: "))
            seed = (np.ones(3),) if make is sparsead.jvp else ()
            caplog.clear()
            for x in (INSIDE, OUTSIDE, INSIDE, OUTSIDE):
                result = derivative(x, *seed)
                if make is sparsead.grad and x is OUTSIDE:
                    np.testing.assert_allclose(result, -np.sin(OUTSIDE), rtol=1e-13)
                if make is not sparsead.grad:
                    np.testing.assert_allclose(result[0], f(x), rtol=1e-13)
            assert derivative.report().split("\n")[1] == f"traces: {before + 2}"
            said = [record.getMessage().partition(f" of {f.__name__}: ")[2] for record in caplog.records]
            left = [m for m in said if m and not m.startswith(("trace ", "planned ")) and " for NumPy" not in m]
            assert left and all("where the trace saw" in m for m in left)


def test_a_window_that_moves_is_not_read_by_a_kernel_before_the_guard():
    b = LoopBuilder()
    x, k = b.input((3, 1000)), b.input((), I8)
    y = b.ew("sin", b.load(x, lambda a: a[0]))
    b.tape.add(BY_NAME["guard"], (b.op("less", (b.load(y, lambda a: a[0, ...]), b.const(0.5)), (), dtype=bool),), (), True)
    b.done(y, b.ew("cos", b.load_at(x, row, [k], [(0, 3)])))
    both(b.tape, [np.full((3, 1000), 0.25), np.array(1)])
    for engine in (vm, reference):
        with pytest.raises(GuardFailed):
            engine.Program(b.tape).run([np.ones((3, 1000)), np.array(9)])


# ---- faults ----------------------------------------------------------------------------------------------------------


def picks(x):
    return np.sum(x[np.floor(x).astype(int)] ** 2)  # the line of the user


def follows(x):
    y = x[0]
    for _ in sparsead.steps(20):
        y = np.sin(y * x[np.floor(x[1]).astype(int)])  # the line of the user
    return y


def solves(x):
    return np.sum(np.linalg.solve(np.diag(x), np.ones(3)))  # the line of the user


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("f", "bad"),
    [(picks, [0.0, 9.0, 1.0]), (follows, [0.0, 9.0, 1.0]), (solves, [1.0, 0.0, 1.0])],
    ids=["picks", "follows", "solves"],
)
def test_the_user_sees_the_exception_of_the_function(f, bad, engine):
    bad = np.array(bad)
    with pytest.raises(Exception) as own:
        f(bad)
    derivative = sparsead.grad(f, engine=engine)
    good = derivative(np.array([1.0, 2.0, 1.5]))
    for _ in range(2):
        with pytest.raises(type(own.value)) as caught:
            derivative(bad)
        assert str(caught.value) == str(own.value)
        assert any("the line of the user" in (frame.line or "") for frame in traceback.extract_tb(caught.value.__traceback__))
    np.testing.assert_array_equal(derivative(np.array([1.0, 2.0, 1.5])), good)


@pytest.mark.parametrize("engine", ENGINES)
def test_exceptions_of_functions_of_the_user_are_no_faults(engine):
    """Nothing is traced anew for them, and they are raised as they are."""
    error, calls = IndexError("mine"), []

    def box(u):
        calls.append(1)
        if u[0] > 1:
            raise error
        return u * u

    def show(k, u):
        if u[0] > 1:
            raise error

    def f(x):
        return np.sum(sparsead.black_box(box, jac=lambda u: np.diag(2 * u))(x))

    def g(x):
        for k in sparsead.steps(20, on_step=show, watch=lambda: x):  # noqa: B023
            x = x * 1.0
        return np.sum(x)

    for function in (f, g):
        derivative = sparsead.grad(function, engine=engine)
        derivative(np.zeros(2))
        calls.clear()
        with pytest.raises(IndexError) as caught:
            derivative(np.full(2, 2.0))
        assert caught.value is error and len(calls) == (function is f)
        assert derivative.report().split("\n")[1] == "traces: 1"
        assert not left_path(error) and left_path(GuardFailed())


# ---- the caller's memory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("format", ["csr", "csc", "dense"])
def test_out_is_written_when_all_guards_have_passed(format, engine):
    def f(x):
        y = np.sin(x)
        y[1:] *= x[:-1]
        if np.sum(y) > 100:  # known when all is computed
            raise OverflowError
        return y * y[np.floor(x).astype(int)]

    jacobian = sparsead.jacobian(f, format=format, engine=engine)
    out = jacobian(np.array([0.5, 1.5, 0.25]))
    kept = (out if format == "dense" else out.data).copy()
    for bad, error in (([500.0, 1.5, 0.25], OverflowError), ([0.5, 1.5, 3.25], IndexError), ([0.5, -9.5, 1.0], IndexError)):
        with pytest.raises(error):
            jacobian(np.array(bad), out=out)
        np.testing.assert_array_equal(out if format == "dense" else out.data, kept)
    again = jacobian(np.array([0.5, 1.5, 0.25]), out=out)
    np.testing.assert_array_equal(again if format == "dense" else again.data, kept)
