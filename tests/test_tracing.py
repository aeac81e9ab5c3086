"""What NumPy's protocols cannot catch, and that a trace leaves nothing behind: not in NumPy, not in other threads."""

import inspect
import math
import numbers
import subprocess
import sys
import threading
from math import sin

import numpy
import numpy as np
import numpy as numerical
import pytest
from numpy import array, empty, tile, zeros
from numpy import sum as sum_of

import sparsead

ERRORS = (TypeError, ValueError, NotImplementedError)
X = np.array([0.5, 1.5, 2.5])


def dense(f, x=X, **options):
    return sparsead.jacobian(f, format="dense", **options)(x)


def line_of(f, mark="# here"):
    lines, first = inspect.getsourcelines(f)
    return first + next(k for k, line in enumerate(lines) if mark in line)


# ---- creation functions: arrays born inside hold derivatives as soon as they are assigned to

BORN = {
    "np.zeros": lambda: np.zeros(3),
    "np.ones": lambda: np.ones(3),
    "np.empty": lambda: np.empty(3),
    "np.full": lambda: np.full(3, 7.0),
    "np.arange": lambda: np.arange(3.0),
    "np.linspace": lambda: np.linspace(0, 1, 3),
    "np.array": lambda: np.array([1.0, 2.0, 3.0]),
    "np.asarray": lambda: np.asarray([1.0, 2.0, 3.0]),
    "np.zeros with dtype": lambda: np.zeros(3, dtype=float),
    "np.zeros with shape=": lambda: np.zeros(shape=(3,)),
    "rows of np.eye": lambda: np.eye(3)[1],
    "rows of np.identity": lambda: np.identity(3)[0],
    "np.zeros in F order": lambda: np.zeros((3, 3), order="F")[0],
    "np.zeros_like of a plain array": lambda: np.zeros_like(np.ones(3)),
    "reshaped": lambda: np.zeros((3, 1)).reshape(3),
    "from numpy import zeros": lambda: zeros(3),
    "from numpy import empty": lambda: empty(3),
    "from numpy import array": lambda: array([1.0, 2.0, 3.0]),
    "another name of numpy": lambda: numerical.zeros(3),
    "numpy itself": lambda: numpy.zeros(3),
    "sparsead.numpy": lambda: sparsead.numpy.zeros(3),
    "np.copy": lambda: np.copy(np.ones(3)),
    "np.tile": lambda: np.tile(1.0, 3),
    "np.repeat": lambda: np.repeat(0.5, 3),
    "np.pad of a list": lambda: np.pad([1.0], 1),
    "np.diag of a list": lambda: np.diag([1.0, 2.0, 3.0])[1],
    "np.outer of lists": lambda: np.outer([1.0, 2.0], [1.0, 2.0, 3.0])[0],
    "np.meshgrid of lists": lambda: np.meshgrid([1.0, 2.0, 3.0], [4.0])[1][0],
    "np.concatenate of lists": lambda: np.concatenate([[1.0], [2.0, 3.0]]),
    "from numpy import tile": lambda: tile([1.0, 2.0, 3.0], 1),
    "np.concatenate": lambda: np.concatenate([np.ones(1), np.zeros(2)]),
    "computed": lambda: np.sin(np.arange(3.0)) * 2,
}


@pytest.mark.parametrize("name", BORN)
def test_arrays_born_inside(name):
    born = BORN[name]

    def f(x):
        y = born()
        y[0] = x[1] * x[1]
        y[1:] = x[:2] * x[2]
        y[1] += x[0]
        return y

    np.testing.assert_allclose(dense(f), [[0, 3, 0], [3.5, 0, 0.5], [0, 2.5, 1.5]])


class Filler:
    def of(self, values):
        y = zeros(3)
        y[:] = values
        return y


def test_arrays_born_in_a_method_by_a_name_of_its_module():
    filler = Filler()
    np.testing.assert_allclose(dense(lambda x: filler.of(x * x)), np.diag(2 * X))


class Counter:
    seen: tuple = ()

    def count(self, x):
        self.seen = (*self.seen, sin(len(self.seen)), sum_of([1.0, 2.0]))
        return x * sin(self.seen[0])


def test_an_object_whose_methods_need_no_stand_ins_is_the_users_own():
    counter = Counter()
    np.testing.assert_allclose(dense(lambda x: counter.count(x) + x * x), np.diag(2 * X))
    assert counter.seen == (0.0, 3.0)


def test_views_of_plain_arrays_stay_views():
    def f(x):
        p = np.frombuffer(bytearray(24))
        q = np.reshape(p, (3, 1))
        p[1] = 5.0
        return q[1, 0] * x

    np.testing.assert_allclose(dense(f), 5 * np.eye(3))


def test_creation_functions_as_defaults_and_partials():
    def f(x, make=np.zeros, like=np.empty_like):
        y, z = make(3), like(x)
        y[:] = x * x
        z[:] = y
        return z

    np.testing.assert_allclose(dense(f), np.diag(2 * X))


def test_arrays_from_elsewhere_take_no_active_values():
    """An array that no wrapper has seen: right all the same, or an error with the line; never a lost derivative."""

    def store(x):
        p = np.frombuffer(bytearray(24))
        p[0] = x[0] * x[0]  # here
        return p * x[1]

    def fill(x):
        p = np.frombuffer(bytearray(24))
        p.fill(x[0] * x[0])  # here
        return p * x[1]

    for f, expected in ((store, [[1.5, 0.25, 0], [0, 0, 0], [0, 0, 0]]), (fill, [[1.5, 0.25, 0]] * 3)):
        try:
            np.testing.assert_allclose(dense(f), expected)
        except ERRORS as error:
            assert f"test_tracing.py:{line_of(f)}" in str(error)
            assert any(word in str(error) for word in ("np.zeros", "sparsead.numpy", "assign"))


# ---- arrays made of traced numbers

JOINED = {
    "array of numbers": lambda x: np.array([x[0] * x[1], x[2], 1.0]),
    "array of arrays": lambda x: np.array([x, x * x])[1],
    "nested lists": lambda x: np.array([[x[0], x[1]], [x[1], x[2]]])[:, 1] * x[:2],
    "array is a copy": lambda x: np.array(x) * x,
    "array with dtype": lambda x: np.array([x[0], x[1]], dtype=np.float64) * x[2],
    "asarray": lambda x: np.asarray(x) * x,
    "asarray of a list": lambda x: np.asarray([x[1], x[0] * 3]),
    "asarray of a tuple of arrays": lambda x: np.asarray((x, x * x)).sum(axis=0),
    "asarray of numbers": lambda x: np.asarray(x[1]) * x,
    "asanyarray": lambda x: np.asanyarray([x, x])[1] * x,
    "stack": lambda x: np.stack([x, 2 * x])[1] * x,
    "vstack": lambda x: np.vstack([x, np.ones(3)]).T @ np.ones(2) * x,
    "hstack": lambda x: np.hstack([x[:1], x[1], 2.0]) * x,
    "concatenate with plain arrays": lambda x: np.concatenate([[1.0], x[1:] * x[0]]),
    "block": lambda x: np.block([[x[:2], x[1:]], [x[1:], x[:2]]])[0, :3] * x,
    "column_stack": lambda x: np.column_stack([x, x * x])[:, 1],
    "atleast_1d": lambda x: np.atleast_1d(x[0] * x[1]) * x,
    "meshgrid": lambda x: np.meshgrid(x, x)[0][0] * x,
    "list comprehension": lambda x: np.array([v * v for v in x]),
    "sum of generator": lambda x: sum(v * v for v in x) * x,
    "tuple of numbers": lambda x: np.array(tuple(x)) * x,
    "unpacked": lambda x: (lambda a, b, c: np.array([a * b, b * c, c * a]))(*x),
    "zip": lambda x: np.array([a * b for a, b in zip(x, x[::-1], strict=True)]),
    "map": lambda x: np.array(list(map(lambda v: v * v, x))),
    "ascontiguousarray": lambda x: np.ascontiguousarray(x[::-1]) * x,
    "assigned list": lambda x: assigned(x, [x[0], x[1] * x[1], 3.0]),
    "assigned nested": lambda x: assigned(x, [x[2]] * 3),
    "tile": lambda x: np.tile([x[0], x[1] * x[2]], 2),
    "concatenate of lists": lambda x: np.concatenate([[x[0] * x[1]], [x[2], 1.0]]),
    "sum of a list": lambda x: np.sum([x[0], x[1] * x[0]]) * x,
    "dot of lists": lambda x: np.dot([x[0], x[1]], [[1, x[0]], (2, 3)]),
    "einsum of lists": lambda x: np.einsum("i,ij", [x[0], x[1]], [[1, x[0]], [2.0, 3.0]]),
    "einsum of lists, by labels": lambda x: np.einsum([x[0], x[1]], [0], x[:2], [0]) * x,
    "where of lists": lambda x: np.where([True, False], [x[0], 1], (x[1], x[2] * x[2])),
    "norm of a list": lambda x: np.linalg.norm([x[0], x[1]]) * x,
    "copy of a list": lambda x: np.copy([x[0], x[1]]) * x[2],
    "interp at a list": lambda x: np.interp([x[0], x[1]], [0, 1, 4], [1, 3, x[2]]),
    "list times array": lambda x: [1, x[0], 3] * x,
    "ufunc of array and list": lambda x: np.hypot(x, [x[0], 1, x[1]]),
    "ufunc with out=": lambda x: np.add(x, (x[0], 1, x[1]), out=np.zeros(3)),
    "outer with a list": lambda x: np.multiply.outer(x, [x[0], 1.0])[1],
    "at with a list": lambda x: added_at(x * 1, [x[0] * x[1], 1.0]),
    "isclose of lists": lambda x: x * x * np.isclose([x[0], 1], [x[0], 2]).any(),
    "nonzero of a list": lambda x: x[np.nonzero([x[0], x[1], 0.0])] * x[2],
    "shapes of lists": lambda x: x * x * np.shape([x[0], x[1]])[0] * np.ndim([[x[0]]]) * np.size([x[0], x[1]]),
}


def assigned(x, values):
    y = np.zeros(3)
    y[:] = values
    return y * x


def added_at(y, values):
    np.add.at(y, [0, 0], values)
    return y


@pytest.mark.parametrize("name", JOINED)
def test_arrays_made_of_traced_values(name):
    f = JOINED[name]
    steps = [f(X + h) for h in 1e-6 * np.eye(3)], [f(X - h) for h in 1e-6 * np.eye(3)]
    value, pullback = sparsead.vjp(f)(X)
    assert value.tobytes() == f(X).tobytes()
    np.testing.assert_allclose(dense(f), (np.array(steps[0]) - np.array(steps[1])).T / 2e-6, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(pullback(np.ones(len(value))), dense(f).sum(axis=0), rtol=1e-14)


SELDOM = {
    "r_": lambda x: np.r_[x[0], x[1:] * x[0]],
    "c_": lambda x: np.c_[x, x * x][:, 1],
    "require": lambda x: np.require(x * x, requirements="C"),
    "fromiter": lambda x: np.fromiter((v * v for v in x), float),
    "int": lambda x: x[int(x[0])] * x,
    "math.floor": lambda x: x[math.floor(x[0])] * x,
    "round": lambda x: x[round(x[0] * 1.5)] * x,
    "item": lambda x: x[1].item() * x,
    "piecewise": lambda x: np.piecewise(x, x > 1, [lambda v: v * v, 0.0]),
    "interp": lambda x: np.interp(x, [0, 1, 4], [1, 3, 2]) * x,
}


@pytest.mark.parametrize("name", SELDOM)
def test_what_is_seldom_written_is_right_or_says_where_it_stands(name):
    f = SELDOM[name]
    slopes = [(f(X + h) - f(X - h)) / 2e-6 for h in 1e-6 * np.eye(3)]
    try:
        result = dense(f)
    except ERRORS as error:
        assert f"test_tracing.py:{f.__code__.co_firstlineno}" in str(error)
    else:
        np.testing.assert_allclose(result, np.array(slopes).T, rtol=1e-8, atol=1e-8)


def test_dtypes_of_lists_are_those_of_numpy():
    for f in (lambda x: np.array([x[0], 1]), lambda x: np.array([x[0], 1.0]), lambda x: np.array([x[0], True]),
              lambda x: np.array([x[0], x[1]]), lambda x: np.tile([x[0], 1], 2)):  # fmt: skip
        x = X.astype(np.float32)
        assert sparsead.vjp(f)(x)[0].dtype == f(x).dtype


def test_asarray_is_the_same_memory_and_array_is_not():
    def f(x):
        same, copied = np.asarray(x), np.array(x)
        same[0] = x[1] * x[2]
        copied[1] = 9.0
        return x * copied

    # x is (m1 m2, m1, m2) and its copy (m0, 9, m2)
    np.testing.assert_allclose(dense(f), [[3.75, 1.25, 0.75], [0, 9, 0], [0, 0, 5]])


def test_conversion_to_float32():
    f = lambda x: np.asarray(x, dtype=np.float32) * np.float32(2)
    assert sparsead.vjp(f)(X)[0].dtype == np.float32
    np.testing.assert_allclose(dense(f), 2 * np.eye(3))


# ---- numbers that leave the trace


def advice(f, *args, wrt=0):
    with pytest.raises(ERRORS) as caught:
        sparsead.grad(f, wrt=wrt)(*args)
    assert f"test_tracing.py:{f.__code__.co_firstlineno}" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["sin", "exp", "sqrt", "atan2", "hypot", "pow"])
def test_math_functions_of_active_numbers_say_what_to_write(name):
    function = getattr(math, name)
    arguments = (lambda t: (t, t)) if name in ("atan2", "hypot", "pow") else (lambda t: (t,))
    text = advice(lambda x: function(*arguments(x[0])) * x[1], X)
    assert "np." in text and "sparsead.value" in text


def test_float_of_an_active_number():
    text = advice(lambda x: float(x[0]) * x[1], X)
    assert "float" in text and "sparsead.value" in text
    assert "sparsead.value" in advice(lambda x: complex(x[0]).real * x[1], X)
    assert "sparsead.value" in advice(lambda t: math.sin(t), 0.5)


def test_float_of_an_active_number_inside_a_nested_derivative():
    for number in (float, int, math.sin):
        text = advice(lambda c, number=number: sparsead.grad(lambda y, c: number(c) * y * y)(1.0, c), 3.0)
        assert "sparsead.value" in text
    twice = sparsead.grad(lambda c: c * sparsead.grad(lambda y, c: round(c) * y * y)(1.0, c))
    assert [twice(c) for c in (3.0, 4.25, 3.0)] == [6.0, 8.0, 6.0]


def test_math_functions_of_live_inactive_numbers():
    f = lambda t, x: (math.sin(t) * x + math.exp(float(t)) * x * x).sum()
    slope, jac = sparsead.grad(f, wrt="x"), sparsead.jacobian(lambda t, x: math.sin(t) * x, wrt="x", format="dense")
    for t in (0.5, 0.75, 0.5, 2.0):
        np.testing.assert_allclose(slope(t, X), math.sin(t) + 2 * math.exp(t) * X, rtol=1e-15)
        np.testing.assert_allclose(jac(t, X), math.sin(t) * np.eye(3), rtol=1e-15)


def test_math_functions_of_captured_numbers():
    table = X.copy()
    slope = sparsead.grad(lambda x: math.cos(table[1]) * x.sum())
    assert slope(X)[0] == math.cos(1.5)
    table[1] = 0.25
    assert slope(X)[0] == math.cos(0.25)


def test_traced_values_pass_for_what_they_stand_for():
    def f(x, t):
        assert isinstance(x, np.ndarray) and isinstance(x[0], float) and isinstance(x[0], np.floating) and isinstance(t, float)
        assert isinstance(x.sum(), numbers.Real) and np.isscalar(x[0]) and not np.isscalar(x)
        assert not isinstance(t, np.ndarray) and not isinstance(x[0], np.ndarray) and not isinstance(x, float)
        match t:
            case float():
                return np.sum(x) * t
        return 0.0

    np.testing.assert_array_equal(sparsead.grad(f)(np.ones(3), 2.0), [2, 2, 2])
    twice = sparsead.grad(lambda x: sparsead.grad(f, wrt="t")(x, 2.0) * x[0])
    np.testing.assert_array_equal(twice(np.ones(2)), [3, 1])


def test_integers_of_inactive_numbers_are_guards():
    steps = np.array([1.5, 0.5, 2.5])
    slope = sparsead.grad(lambda t, x: x[int(t)] * x[2], wrt="x")
    for t in steps.tolist() * 2:
        expected = np.zeros(3)
        expected[int(t)] += 3.0
        expected[2] += [1.0, 2.0, 3.0][int(t)]
        assert np.array_equal(slope(t, np.array([1.0, 2.0, 3.0])), expected)


def test_ranges_and_shapes_of_floats_fail_as_in_python():
    for f in (
        lambda x: sum(x[0] for _ in range(x[0])),
        lambda x: np.zeros(x[0]).sum() + x[0],
        lambda x: x[x[0]],
        lambda x: [1.0, 2.0][x[0]] * x[1],
        lambda x: x.reshape(x[0]),
    ):
        with pytest.raises((TypeError, IndexError)) as caught:
            sparsead.grad(f)(np.array([2.0, 1.0, 1.0]))
        assert "setting an array element" not in str(caught.value)


def test_formatting_gives_the_number():
    said = []
    say = said.append

    def f(x):
        say(f"{x[0]:.3f} {x.sum():6.2e} {x[1]!s} {x[2]!r} {format(x[0], 'g')}")
        say("{:.1f}".format(x[1]))  # noqa: UP032
        say(str(x * 2))
        return x[0] * x[0]

    assert np.array_equal(sparsead.grad(f)(X), [1, 0, 0])
    assert said[0].startswith("0.500 4.50e+00 1.5 ") and said[0].endswith(" 0.5") and "2.5" in said[0]
    assert said[1] == "1.5"
    assert all(number in said[2] for number in ("1.", "3.", "5."))


def halved(x):
    y = x[2] * x[2]
    while y > 1:
        y = y * 0.5 * np.sin(x[1])
        if y < -0.5:
            break
    return y


def by_sorting(numbers):
    numbers.sort(key=lambda v: v)
    return numbers[0] * numbers[2]


GUARDED = {
    "max": lambda x: max(x[0], x[1]) * x[2],
    "min": lambda x: min(x) * x[2],
    "max by key": lambda x: max(x, key=lambda v: -v) * x[1],
    "sorted": lambda x: sorted(x)[1] * x[0],
    "list.sort": lambda x: by_sorting(list(x)),
    "any": lambda x: x[0] * x[0] if any(x > 2) else x[1] * x[1],
    "all": lambda x: x[0] * x[0] if all(v > 0 for v in x) else x[1] * x[1],
    "in": lambda x: x[0] * x[0] if -1.0 in np.sign(x) else x[1] * x[1],
    "chained": lambda x: x[0] * x[0] if 0 < x[0] < x[1] else x[1] * x[1],
    "and or not": lambda x: x[0] * x[0] if (x[0] > 0 and not x[1] < 0) or x[2] == 0 else x[1] * x[1],
    "truth": lambda x: x[0] * x[0] if x[0] else x[1] * x[1],
    "while": halved,
    "argmax": lambda x: x[np.argmax(x)] * x[int(np.argmin(x))],
    "abs": lambda x: abs(x[0]) * x[1] + abs(x).sum(),
    "divmod": lambda x: divmod(x[2], x[1] + 0.1)[1] * x[0],
    "pow": lambda x: pow(x[1], 2) * x[0] + x[1] ** x[0] if x[1] > 0 else x[0] * 3,
    "int of floor": lambda x: int(np.floor(x[2] + 0.1)) * x[0] * x[1],
    "round": lambda x: round(x[2] + 0.1) * x[0] * x[1],
}


@pytest.mark.parametrize("f", GUARDED.values(), ids=GUARDED)
def test_comparing_numbers_are_guards(f):
    slope, h = sparsead.grad(f), 1e-6
    for x in (X, X[::-1].copy(), X - 1, 0.25 - X, X * [1, 3, -1], X):
        expected = [(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(3)]
        np.testing.assert_allclose(slope(x), expected, rtol=1e-6, atol=1e-8)


def test_augmented_assignment_to_plain_arrays_and_numbers():
    plain = np.array([1.0, 2.0, 3.0])

    def f(x):
        y = plain.copy()
        y += x * x
        z = y[1:]
        z *= x[0]
        total = 0.0
        total += y.sum()
        return total

    np.testing.assert_allclose(sparsead.grad(f)(X), [1 + (2 + 2.25 + 3 + 6.25), 2 * 1.5 * 0.5, 2 * 2.5 * 0.5])
    assert np.array_equal(plain, [1, 2, 3])


def test_python_numbers_stay_weak():
    """NEP 50: what Python's operators make of a Python float is one again, and leaves single precision alone."""

    def f(t, x):
        return (t * 2) * x, abs(1 - t) ** 3 / 2 * x, -t // 0.25 * x, np.sin(t) * x, np.power(t, 3) * x, (t < 1) * x

    x = np.ones(3, np.float32)
    values, expected = sparsead.vjp(f, wrt="x")(0.5, x)[0], f(0.5, x)
    assert [v.dtype for v in values] == [e.dtype for e in expected]
    for value, e in zip(values, expected, strict=True):
        assert np.array_equal(value, e)


def test_mixed_operations_keep_the_traced_side():
    def f(x):
        y = np.float64(2.0) * x + np.ones(3) * x[0] + np.array([1, 2, 3]) * x
        return y + 2.0**x - (1 - x) / 2 + np.float32(0.5) * x

    x = X.copy()
    steps = [(f(x + h) - f(x - h)) / 2e-6 for h in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(dense(f, x), np.array(steps).T, rtol=1e-8, atol=1e-8)


def test_hashing_and_identity():
    def f(x):
        y = x
        assert y is x and isinstance(len(x), int) and x.shape == (3,) and x.dtype == np.float64 and np.ndim(x) == 1
        assert np.size(x) == 3 and np.shape(x[0]) == () and x.ndim == 1 and np.isscalar(sparsead.value(x[0]))
        return (y * x).sum()

    assert np.array_equal(sparsead.grad(f)(X), 2 * X)


def test_isinstance_checks_that_users_write():
    def f(x):
        if not isinstance(x, np.ndarray):
            x = np.asarray(x, dtype=float)
        return (x * x).sum()

    assert np.array_equal(sparsead.grad(f)(X), 2 * X)


def test_errstate_and_context_managers_inside():
    def f(x):
        with np.errstate(divide="ignore"):
            return (1 / (x * (x != 0)))[x != 0].sum()

    np.testing.assert_allclose(sparsead.grad(f)(X), -1 / X**2)


def test_generators_exceptions_and_finally_inside():
    def parts(x):
        try:
            yield x[:2]
            yield x[1:]
        finally:
            x *= 2

    def f(x):
        total = sum((p * p).sum() for p in parts(x))
        try:
            total += x[17]
        except IndexError:
            total += x[0]
        return total

    np.testing.assert_allclose(sparsead.grad(f)(X), [2 * 0.5 + 2, 4 * 1.5, 2 * 2.5])


def read_there(x, at):
    try:
        return (x[at] * 3.0).sum()
    except IndexError:
        return x[0] * 5.0


def written_there(x, at):
    try:
        x[at] = 2.0
    except IndexError:
        x[0] = 0.5
    return (x * x).sum()


@pytest.mark.parametrize("places", [lambda n, x: n, lambda n, x: np.argsort(-x)[:2] + n], ids=["number", "array"])
@pytest.mark.parametrize("function", [read_there, written_there])
def test_errors_that_are_caught_hang_on_the_numbers_of_the_index(function, places):
    f = lambda x: function(x, places((x > 0).sum(), x))
    slope = sparsead.grad(f)
    for x in (np.array([1.0, 2, 3, 4]), np.array([1.0, 2, -3, -4]), np.array([-1.0, 2, -3, -4]), np.array([4.0, 3, 2, 1])):
        differences = [(f(x + step) - f(x - step)) / 2e-6 for step in 1e-6 * np.eye(4)]
        np.testing.assert_allclose(slope(x.copy()), differences, atol=1e-8)


# ---- nothing is left behind

WATCHED = ["zeros", "ones", "empty", "full", "array", "asarray", "arange", "linspace", "eye", "concatenate", "where"]


def originals():
    return {name: getattr(np, name) for name in WATCHED}


class Stop(BaseException):
    pass


@pytest.mark.parametrize("raised", [None, ValueError, KeyboardInterrupt, SystemExit, Stop], ids=str)
def test_numpy_is_restored(raised):
    before, hooks = originals(), (sys.getprofile(), sys.gettrace())

    def f(x):
        y = np.zeros(3)
        y[:] = x
        if raised:
            raise raised
        return y.sum()

    if raised:
        with pytest.raises(raised):
            sparsead.grad(f)(X)
    else:
        sparsead.grad(f)(X)
    assert all(getattr(np, name) is before[name] for name in WATCHED)
    assert (sys.getprofile(), sys.gettrace()) == hooks
    assert all(type(made) is np.ndarray for made in (np.zeros(3), zeros(3), np.array([1.0]), np.full(2, 1.0)))


def test_numpy_is_restored_after_nested_derivatives():
    before = originals()
    f = lambda x: (sparsead.grad(lambda y: (np.zeros(3) + y * y * x).sum())(x) * np.ones(3)).sum()
    assert np.array_equal(sparsead.grad(f)(X), 4 * X)
    assert all(getattr(np, name) is before[name] for name in WATCHED)


def test_the_functions_own_names_are_untouched():
    scratch = np.zeros(3)

    def f(x, work=scratch):
        work[:] = x
        f.calls = getattr(f, "calls", 0)
        return (work * x).sum()

    cell, defaults, code, space = f.__closure__[0].cell_contents, f.__defaults__, f.__code__, f.__globals__
    sparsead.grad(f)(X)
    assert f.__closure__[0].cell_contents is cell and f.__defaults__ is defaults and f.__code__ is code
    assert f.__globals__ is space is globals() and space["zeros"] is np.zeros and not scratch.any()
    assert type(f(X)) is np.float64


def in_another_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(10)
    return found[0]


def test_other_threads_see_numpy_itself():
    def work():
        y = np.zeros(3)
        y[:] = np.array([1.0, 2.0, 3.0])
        return type(y), type(zeros(2)), type(np.concatenate([y, y])), math.sin(y[1])

    def f(x):
        see(in_another_thread(work))
        y = np.zeros(3)
        y[:] = x * x
        return y.sum()

    seen = []
    see = seen.append
    assert np.array_equal(sparsead.grad(f)(X), 2 * X)
    assert seen[0] == (np.ndarray, np.ndarray, np.ndarray, math.sin(2.0))


ENGINE_IN_A_TRACE = """
import numpy as np
import sparsead

own = np.asarray, np.empty, np.zeros
cubes = sparsead.black_box(sparsead.grad(lambda u: np.sum(u**4) / 4), jac=lambda u: np.diag(3 * u * u))
print(sparsead.grad(lambda x: np.sum(cubes(x)))(np.ones(2)))
from sparsead.engine.vm import _vm
print((_vm.asarray, _vm.empty, _vm.zeros) == own)
"""


def test_an_engine_that_is_first_used_in_a_trace_has_numpys_own_functions():
    done = subprocess.run([sys.executable, "-P", "-c", ENGINE_IN_A_TRACE], capture_output=True, text=True, check=True)
    assert done.stdout == "[3. 3.]\nTrue\n"


def test_two_traces_at_once():
    barrier = threading.Barrier(2, timeout=20)
    results = {}

    def run(k):
        def f(x):
            y = np.zeros(3)
            barrier.wait()
            y[:] = x * (k + 1)
            barrier.wait()
            return (y * y).sum()

        results[k] = sparsead.grad(f)(X)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert np.array_equal(results[0], 2 * X) and np.array_equal(results[1], 8 * X)
    assert np.zeros is numpy.zeros and type(np.zeros(2)) is np.ndarray


def test_traced_arrays_that_escape_say_so():
    kept = []
    keep = kept.append  # a method of a list: no walk over what f captures sees the list

    def f(x):
        keep(x * 2)
        return x.sum()

    sparsead.grad(f)(X)
    with pytest.raises((*ERRORS, RuntimeError), match=r"(?i)trac"):
        kept[0] * X + 1
    with pytest.raises((*ERRORS, RuntimeError)):
        kept[0][0] = 1.0
