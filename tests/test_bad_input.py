"""What is asked wrongly gets an error that helps: it names the argument, the operation, the user's line."""

import copy
import datetime as dt
import inspect
import logging
import math
import pickle
import random
import re
import signal
import time
import traceback
from datetime import date, datetime
from math import sin

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.ndimage
import scipy.special

import sparsead

ERRORS = (TypeError, ValueError, NotImplementedError)
FACES = {
    "grad": lambda f, *args, **kw: sparsead.grad(f, **kw)(*args),
    "value_and_grad": lambda f, *args, **kw: sparsead.value_and_grad(f, **kw)(*args),
    "jvp": lambda f, *args, **kw: sparsead.jvp(f, **kw)(*args, args[0]),
    "vjp": lambda f, *args, **kw: sparsead.vjp(f, **kw)(*args),
    "linearize": lambda f, *args, **kw: sparsead.linearize(f, **kw)(*args),
    "jacobian": lambda f, *args, **kw: sparsead.jacobian(f, **kw)(*args),
    "hvp": lambda f, *args, **kw: sparsead.hvp(f, **kw)(*args, args[0]),
    "hessian": lambda f, *args, **kw: sparsead.hessian(f, **kw)(*args),
}


def faces(*names):
    return pytest.mark.parametrize("face", [FACES[n] for n in names], ids=names)


every_face = faces(*FACES)
X = np.array([0.5, 1.5, 2.5])


def message(call, *args, error=ERRORS, **kwargs):
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def line_of(f, mark="# here"):
    """Number of the line of f that carries the mark."""
    lines, first = inspect.getsourcelines(f)
    return first + next(k for k, line in enumerate(lines) if mark in line)


def says(text, *words):
    return all(re.search(rf"\b{re.escape(word)}\b", text) for word in words)


def names_line(text, f):
    return re.search(rf"test_bad_input\.py:{line_of(f)}\b", text)


# ---- what f returns


@every_face
def test_returns_nothing(face):
    def f(x):
        x *= 2

    text = message(face, f, X)
    assert says(text, "of") and "return" in text


@every_face
@pytest.mark.parametrize("junk", ["text", b"bytes", object(), np.array([None]), {1, 2}], ids=lambda v: type(v).__name__)
def test_returns_what_has_no_derivative(face, junk):
    assert "return" in message(face, lambda x: junk, X)


def test_returns_a_ragged_object_array():
    assert message(sparsead.jacobian(lambda x: np.array([x, x[:1]], dtype=object)), X)


@faces("grad", "value_and_grad", "hvp", "hessian")
def test_loss_that_is_no_scalar(face):
    text = message(face, lambda x: x * x, X)
    assert re.search("scalar|one number", text) and "(3,)" in text


def test_loss_of_one_element_is_a_number_and_larger_ones_are_told_of_jacobian():
    assert np.array_equal(sparsead.grad(lambda x: np.square(x[1]).reshape(()))(X), [0, 3, 0])
    assert says(message(sparsead.grad(lambda x: x), X), "jacobian")


# ---- wrt and of


@every_face
@pytest.mark.parametrize("wrt", ["z", 2, -3, "X", 1.5, (0, "z")], ids=repr)
def test_unknown_wrt(face, wrt):
    assert says(message(face, lambda x, y: (x * y).sum(), X, X.copy(), wrt=wrt), "wrt")


@faces("grad", "value_and_grad", "jvp", "vjp", "linearize", "jacobian")
@pytest.mark.parametrize("of", ["z", 5, "Return", 0.5, ("return", "z")], ids=repr)
def test_unknown_of(face, of):
    assert says(message(face, lambda x, y: (x * y).sum(), X, X.copy(), of=of), "of")


@faces("grad", "jvp", "vjp", "jacobian")
@pytest.mark.parametrize("keyword", ["wrt", "of"])
@pytest.mark.parametrize("given", [(), ("x", "x"), (0, "x")], ids=repr)
def test_nothing_and_things_named_twice(face, keyword, given):
    assert keyword in message(face, lambda x: (x * x).sum(), X, error=ValueError, **{keyword: given})


def test_numbers_cannot_be_written():
    def f(x, out):
        out = x.sum()  # noqa: F841

    assert says(message(sparsead.jacobian(f, of="out"), X, 0.0, error=TypeError), "out", "number")


def test_the_names_that_exist_are_listed():
    def f(state, rate):
        return state.sum() * rate

    text = message(lambda: sparsead.grad(f, wrt="sate")(X, 1.0))
    assert says(text, "sate", "state", "rate")


@pytest.mark.parametrize(
    "value", [3, True, "text", None, np.arange(3), X > 1, X.astype(object), np.array(["a"])], ids=lambda v: repr(v)[:20]
)
def test_wrt_that_is_no_float(value):
    text = message(sparsead.jacobian(lambda x, gain: x * 2, wrt="gain"), X, value)
    assert says(text, "gain")


def test_integer_wrt_says_what_to_write():
    text = message(sparsead.grad(lambda n: n.sum() * 1.0), np.arange(3))
    assert says(text, "int64", "n") and "float" in text


def test_arguments_that_do_not_fit_the_signature():
    f = lambda x, y: (x * y).sum()
    assert says(message(sparsead.grad(f), X, error=TypeError), "y")
    assert says(message(sparsead.grad(f), X, X, z=1, error=TypeError), "z")


@pytest.mark.parametrize("tangent", [np.ones(2), np.ones((3, 1)), 1.0, (X, X), 1j * X], ids=repr)
def test_tangents_of_the_wrong_structure(tangent):
    assert "tangent" in message(sparsead.jvp(lambda x: x * x), X, tangent)


@pytest.mark.parametrize("seed", [np.ones(2), np.ones((3, 1)), (X, X)], ids=repr)
def test_seeds_of_the_wrong_structure(seed):
    assert "seed" in message(sparsead.vjp(lambda x: x * x)(X)[1], seed)


@pytest.mark.parametrize("options", [{"format": "coo"}, {"engine": "warp"}, {"method": "colours"}, {"formt": "csr"}], ids=repr)
def test_unknown_options(options):
    text = message(lambda: sparsead.jacobian(lambda x: x * x, **options)(X))
    assert any(word in text for word in (*options, *options.values()))


def test_something_that_is_no_function():
    assert message(sparsead.grad, 3.0, error=TypeError)


class Field(np.ndarray):
    """A subclass that could compute in any way."""


@pytest.mark.parametrize("make", [np.matrix, np.ma.array, lambda x: x.view(Field)], ids=["matrix", "masked", "subclass"])
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_subclasses_of_arrays_are_named(make):
    strange = make(X)
    assert says(message(sparsead.grad(lambda x: (x * x).sum()), strange, error=TypeError), "x", type(strange).__name__)
    assert says(message(sparsead.grad(lambda x, weight: (x * weight).sum()), X, strange, error=TypeError), "weight")
    assert says(message(sparsead.grad(lambda x: (x * strange).sum()), X, error=TypeError), type(strange).__name__)


def test_complex_numbers_inside_are_named():
    for f in (lambda x: (x * 1j).sum(), lambda x: (1j + x).sum()):
        assert says(message(sparsead.grad(f), X, error=TypeError), "complex", "sparsead.vjp")
    for f in (lambda x: np.maximum(x * 1j, x).real.sum(), lambda x: np.sign(x[0] * 1j).imag):
        assert says(message(sparsead.grad(f), X, error=NotImplementedError), "complex", "test_bad_input.py")


def test_results_are_not_squeezed_into_integers():
    jac = sparsead.jacobian(lambda x: x / 3, format="dense")
    assert says(message(jac, X, out=np.zeros((3, 3), int)), "out", "int64")


# ---- shapes and dtypes that change, arrays that are empty or tiny


def test_new_shapes_and_dtypes_are_new_traces():
    jac = sparsead.jacobian(lambda x: x * x, format="dense")
    for x in (X, X[:2], X.reshape(3, 1), X.astype(np.float32), X[::-1], np.float64(2.0), 2.0, X):
        result = jac(x)
        assert np.array_equal(result, np.diag(2 * np.ravel(x)))
        assert result.dtype == (np.float32 if np.asarray(x).dtype == np.float32 else np.float64)


@pytest.mark.parametrize("shape", [(0,), (1,), (), (0, 3), (3, 0), (1, 1), (2, 0, 3)], ids=repr)
def test_empty_and_tiny_arrays(shape):
    def f(x):
        y = np.zeros(x.shape)
        y[...] = np.sin(x)
        y *= x
        return y

    x = np.full(shape, 0.5)
    slope = np.cos(x) * x + np.sin(x)
    jac = sparsead.jacobian(f)(x)
    assert jac.shape == (x.size, x.size) and jac.nnz == x.size
    np.testing.assert_allclose(jac.toarray(), np.diag(slope.ravel()), rtol=1e-15)
    value, gradient = sparsead.value_and_grad(lambda x: f(x).sum())(x)
    assert value == f(x).sum() and gradient.shape == shape
    np.testing.assert_allclose(gradient, slope, rtol=1e-15)
    assert sparsead.hessian(lambda x: f(x).sum())(x).shape == (x.size, x.size)


def test_loops_over_nothing():
    f = lambda x: sum((x[i] * x[i] for i in range(len(x))), start=0.0)
    for n in (0, 1, 2):
        assert np.array_equal(sparsead.grad(f)(X[:n]), 2 * X[:n])


# ---- NaN, infinity, and branches not taken


def test_nan_and_infinity_propagate_as_in_numpy():
    x = np.array([np.nan, np.inf, -np.inf, 2.0])
    f = lambda x: x * x + 1
    value, pullback = sparsead.vjp(f)(x)
    np.testing.assert_array_equal(value, f(x))
    np.testing.assert_array_equal(pullback(np.ones(4)), 2 * x)
    np.testing.assert_array_equal(sparsead.jacobian(f)(x).diagonal(), 2 * x)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_check_derivatives_reports_what_is_not_finite(bad):
    f = lambda x: (x * x).sum() * np.where(x[0] > 1, bad, 1.0)
    sparsead.testing.check_derivatives(f, X)
    with pytest.raises((AssertionError, ValueError), match=r"(?i)nan|inf|finite"):
        sparsead.testing.check_derivatives(f, 3 * X)


NOT_TAKEN = {
    "sqrt": lambda x: np.where(x > 0, np.sqrt(x), 0).sum(),
    "log": lambda x: np.where(x > 0, x * np.log(x), 0).sum(),
    "reciprocal": lambda x: np.where(x != 0, 1 / x, 0).sum(),
    "power": lambda x: np.where(x > 0, x**-0.5, np.exp(-x)).sum(),
    "nan": lambda x: np.where(x > 0, 0.0, np.nan * x)[:1].sum() + x[0],
    "where=": lambda x: np.divide(1, x, out=np.zeros(3), where=x != 0).sum(),
    "select": lambda x: np.select([x > 0, x == 0], [np.log(x), 0 * x], 1.0).sum(),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("f", NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_branches_not_taken_contribute_exactly_zero(f):
    x = np.array([4.0, 0.0, 9.0])
    gradient, product = sparsead.grad(f)(x), sparsead.hvp(f)(x, np.ones(3))
    assert np.isfinite(gradient).all() and np.isfinite(product).all()
    h = 1e-4 * np.array([1.0, 0.0, 1.0])
    np.testing.assert_allclose(gradient @ h, (f(x + h) - f(x - h)) / 2, rtol=1e-6)
    assert gradient[1] in (0.0, -1.0) and product[1] in (0.0, 1.0)  # the taken side of x = 0: constant, or exp(-x)


# ---- memory that must not be written


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize("frozen", [read_only(X), np.broadcast_to(1.5, 3)], ids=["flag", "broadcast"])
def test_writing_a_read_only_argument_fails_as_in_numpy(frozen):
    def f(x, y):
        y[1] = x[0]  # here
        return y.sum()

    text = message(sparsead.grad(f), X, frozen, error=ValueError)
    assert "read-only" in text


def test_reading_a_read_only_argument_is_fine():
    assert np.array_equal(sparsead.grad(lambda x: (x * x).sum())(read_only(X)), 2 * X)


def test_writing_a_captured_read_only_array_or_a_broadcast_view():
    table = read_only(X)

    def f(x):
        table[:] = x

    def g(x):
        np.broadcast_to(x, (2, 3))[0] = 1.0

    assert "read-only" in message(sparsead.jacobian(f, of="x"), X, error=ValueError)
    assert "read-only" in message(sparsead.jacobian(g, of="x"), X, error=ValueError)


def test_active_values_do_not_fit_into_integers():
    def f(x, k):
        k[:] = x  # here
        return k * 1.0

    text = message(sparsead.jacobian(f), X, np.zeros(3, int))
    assert "int" in text and names_line(text, f)


# ---- functions that raise, now or at a replay


class Broken(Exception):
    pass


def test_an_exception_is_the_users_own_and_keeps_its_line():
    def f(x, fails):
        x *= 2
        if fails:
            raise Broken("the pump is dry")  # here
        return (x * x).sum()

    slope = sparsead.grad(f)
    with pytest.raises(Broken, match="the pump is dry") as caught:
        slope(X, True)
    assert line_of(f) in [frame.lineno for frame in traceback.extract_tb(caught.tb)]
    assert np.array_equal(slope(X, False), 8 * X)
    with pytest.raises(Broken):
        slope(X, True)
    assert np.array_equal(slope(X, False), 8 * X)


def test_an_exception_on_a_path_that_a_guard_opens():
    def f(x):
        x *= 2
        if x[0] < 0:
            raise Broken
        return (x * x).sum()

    slope = sparsead.grad(f)
    x = -X
    assert np.array_equal(slope(X), 8 * X)
    with pytest.raises(Broken):
        slope(x)
    assert np.array_equal(x, -X) and np.array_equal(slope(X), 8 * X)


def test_numpys_own_errors_are_raised():
    f = lambda x, y: (x + y).sum()
    assert "broadcast" in message(sparsead.grad(f), X, X[:2], error=ValueError)
    assert "out of bounds" in message(sparsead.grad(lambda x: x[7]), X, error=IndexError)
    assert message(sparsead.grad(lambda x: x.no_such_thing), X, error=AttributeError)


def test_a_replay_out_of_bounds():
    def f(x, i):
        x[i] *= 2
        return x[i].sum()

    slope = sparsead.grad(f)
    x = X.copy()
    assert np.array_equal(slope(x, np.array([0, 2])), [2, 0, 2])
    assert "out of bounds" in message(slope, x, np.array([0, 3]), error=IndexError)
    assert "out of bounds" in message(slope, x, np.array([-4, 0]), error=IndexError)
    assert np.array_equal(x, X)
    assert np.array_equal(slope(x, np.array([1, 1])), [0, 4, 0])


def test_a_replay_out_of_bounds_by_a_computed_index():
    def f(x, step):
        i = np.floor(x / step).astype(int)
        return (x[i] * x).sum()

    slope = sparsead.grad(f)
    x = np.array([0.5, 1.5, 2.5])
    expected = x[[0, 1, 2]] * 2
    assert np.array_equal(slope(x, 1.0), expected)
    assert "out of bounds" in message(slope, x, 0.5, error=IndexError)
    assert np.array_equal(slope(x, 1.0), expected)


def test_out_of_bounds_by_an_index_computed_in_a_loop():
    """A trace says what NumPy says."""

    def reads(x):
        y = x[0]
        for _ in sparsead.steps(20):
            y = np.sin(y * x[np.floor(x[1]).astype(int)])
        return y

    def writes(x):
        y = x * 1
        for _ in sparsead.steps(20):
            y[np.floor(x[1]).astype(int)] += 1
        return np.sum(y * y)

    for f in (reads, writes):
        for bad in (3.0, -4.0):
            x = np.array([1.0, bad, 1.0])
            assert message(sparsead.grad(f), x, error=IndexError) == message(f, x, error=IndexError)


def test_a_replay_that_meets_a_singular_matrix():
    f = lambda a, b: np.linalg.solve(a, b).sum()
    slope = sparsead.grad(f, wrt="b")
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(slope(a, X[:2]), np.linalg.solve(a.T, np.ones(2)), rtol=1e-14)
    message(slope, np.ones((2, 2)), X[:2], error=np.linalg.LinAlgError)
    np.testing.assert_allclose(slope(a, X[:2]), np.linalg.solve(a.T, np.ones(2)), rtol=1e-14)


# ---- KeyboardInterrupt


def interrupting(when):
    """A helper that raises SIGINT, as Ctrl-C does, while `when[0]`."""

    def helper(x):
        if when[0]:
            signal.raise_signal(signal.SIGINT)
            time.sleep(10)  # the handler runs between bytecodes
        return x * x

    return helper


def test_interrupted_during_a_trace():
    when, x, zeros = [True], X.copy(), np.zeros
    helper = sparsead.black_box(interrupting(when), jac=lambda x: np.diag(2 * x))

    def f(x):
        y = np.zeros(3)
        x *= 2
        y[:] = helper(x)
        return y.sum()

    slope = sparsead.grad(f)
    with pytest.raises(KeyboardInterrupt):
        slope(x)
    assert np.zeros is zeros and type(np.zeros(2)) is np.ndarray and np.array_equal(x, X)
    when[0] = False
    np.testing.assert_allclose(slope(x), 8 * X, rtol=1e-15)


def test_interrupted_during_a_sweep():
    when, x = [False], X.copy()
    helper = sparsead.black_box(interrupting(when), jac=lambda x: np.diag(2 * x))

    def f(x):
        x *= 2
        return helper(x).sum()

    slope = sparsead.value_and_grad(f)
    np.testing.assert_allclose(slope(x)[1], 8 * X, rtol=1e-15)
    when[0] = True
    with pytest.raises(KeyboardInterrupt):
        slope(x)
    when[0] = False
    assert np.array_equal(x, X)
    np.testing.assert_allclose(slope(x)[1], 8 * X, rtol=1e-15)


# ---- traces without end


def test_an_endless_trace_stops_and_names_the_line(monkeypatch):
    monkeypatch.setattr(sparsead.config, "max_ops", 2000)

    def f(x):
        while True:
            x[0] = np.sin(x[0])  # here

    text = message(sparsead.grad(f), X, error=(RuntimeError, *ERRORS))
    assert names_line(text, f) and "steps" in text


def test_a_long_trace_says_so_once_with_its_line(monkeypatch, capfd):
    assert sparsead.config.note_after == 2.0
    monkeypatch.setattr(sparsead.config, "note_after", 0.0)

    def f(x):
        for _ in range(100):
            x *= 1.5  # here
        return x.sum()

    sparsead.grad(f)(X)
    said = capfd.readouterr().err
    assert "trac" in said and names_line(said, f) and said.count("\n") == 1


def test_a_short_trace_says_nothing(capfd, caplog):
    sparsead.grad(lambda x: (x * x).sum())(X)
    assert "".join([*capfd.readouterr(), caplog.text]) == ""


# ---- random numbers and the clock

GENERATOR = np.random.default_rng(7)
CLOCKS = {
    "np.random.normal": lambda: np.random.normal(),
    "np.random.rand": lambda: np.random.rand(3),
    "np.random.default_rng": lambda: np.random.default_rng().uniform(size=3),
    "captured generator": lambda: GENERATOR.standard_normal(3),
    "generator in a method": lambda: watch.noise(),
    "random.random": lambda: random.random(),
    "random.gauss": lambda: random.gauss(0, 1),
    "time.time": lambda: time.time() % 1.0,
    "time.perf_counter": lambda: time.perf_counter(),
    "time.monotonic": lambda: time.monotonic(),
    "time.time_ns": lambda: time.time_ns() % 7,
    "time.localtime": lambda: time.localtime().tm_sec,
    "time.gmtime": lambda: time.gmtime()[5],
    "time.gmtime of now": lambda: time.gmtime(time.time()).tm_sec,
    "int": lambda: int(time.time()) % 7,
    "float": lambda: float(time.time()) % 7,
    "math.sin": lambda: math.sin(time.time()),
    "sin by name": lambda: sin(time.time()),
    "np.sin": lambda: np.sin(time.time()),
    "np.array": lambda: np.array([time.time(), 1.0, 2.0]),
    "np.full": lambda: np.full(3, time.time()),
    "datetime.now": lambda: dt.datetime.now().timestamp() % 1.0,
    "datetime.utcnow": lambda: (dt.datetime.utcnow() - dt.datetime(2020, 1, 1)).total_seconds(),
    "datetime.today": lambda: (dt.datetime.today() - dt.datetime(2020, 1, 1)) / dt.timedelta(seconds=1),
    "datetime with a zone": lambda: dt.datetime.now(dt.UTC).timestamp(),
    "datetime by name": lambda: datetime.now().microsecond,
    "now by name": lambda: now().second,
    "date.today": lambda: dt.date.today().toordinal(),
    "date by name": lambda: date.today().day,
    "a span": lambda: (dt.datetime.now() - dt.datetime(2020, 1, 1)) // dt.timedelta(seconds=1),
    "a time of day": lambda: dt.datetime.now().time().hour,
    "imported inside": lambda: inside().timestamp(),
    "a method": lambda: watch.seconds(),
}


def inside():
    from datetime import datetime

    return datetime.now()


class Watch:
    def seconds(self):
        return datetime.now().timestamp()

    def noise(self):
        return GENERATOR.standard_normal(3)  # here


watch, now = Watch(), datetime.now


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
@pytest.mark.parametrize("name", CLOCKS)
def test_random_numbers_and_clocks_are_never_baked_in(name):
    draw = CLOCKS[name]

    def f(x):
        return (x * draw()).sum()  # here

    text = message(sparsead.grad(f), X, error=sparsead.TraceError)
    lines = line_of(f), draw.__code__.co_firstlineno, line_of(Watch.noise)  # where it is used, or already where it is read
    assert any(f"test_bad_input.py:{line}" in text for line in lines)
    assert re.search("random|clock", text) and says(text, "argument")


def test_readings_of_the_clock_may_be_shown_and_compared():
    said = []
    say = said.append

    def f(x):
        begin, seconds = dt.datetime.now(), time.time()
        say(f"{begin} {begin:%H:%M} {dt.datetime.now() - begin} {begin.isoformat()} {date.today()}")
        say(f"{time.time() - seconds:.1f} {round(time.time() - seconds, 1)} {abs(seconds - seconds)!r}")
        say(time.strftime("%H:%M", time.localtime()) + time.ctime(seconds) + time.asctime(time.gmtime()))
        assert time.gmtime(0).tm_year == 1970 and time.localtime() is not None
        logging.getLogger(__name__).info("at %s", time.time())  # reads the clock for itself
        if dt.datetime.now() - begin > dt.timedelta(days=1) or time.time() < seconds - 86400:
            return x.sum()
        assert isinstance(begin, dt.datetime) and isinstance(begin, datetime) and isinstance(date.today(), date)
        assert not isinstance(date.today(), datetime) and issubclass(datetime, date)
        assert dt.datetime(2020, 2, 3, 4).hour == 4 and date.fromisoformat("2020-02-03").day == 3
        return (x * x).sum()

    assert np.array_equal(sparsead.grad(f)(X), 2 * X)
    shown = said[0].split()
    assert dt.datetime.fromisoformat(" ".join(shown[:2])) == dt.datetime.fromisoformat(shown[4])
    assert said[1].startswith("0.") and said[1].endswith(" 0.0")


def test_readings_that_outlive_the_trace_are_numbers():
    kept = []
    keep = kept.append

    def f(x):
        keep((time.time(), dt.datetime.now()))
        return x.sum()

    sparsead.grad(f)(X)
    seconds, moment = kept[0]
    assert float(seconds) == seconds and int(seconds) > 0 and np.sin(seconds) == math.sin(seconds)
    assert np.array([seconds, 1.0])[0] == seconds and (np.ones(2) * seconds)[1] == seconds
    assert moment.year > 2000 and (moment - dt.datetime(2000, 1, 1)).days > 0
    assert pickle.loads(pickle.dumps(moment)) == moment == copy.deepcopy(moment)


# ---- operations without a rule


def mystery(a):
    return a * a


UNKNOWN = {
    "mystery": lambda x: np.frompyfunc(mystery, 1, 1)(x),
    "obl_cv": lambda x: scipy.special.obl_cv(1, 2, x),
    "f2py": lambda x: scipy.linalg.blas.dscal(2.0, x),
    "ctypes": lambda x: np.ctypeslib.as_ctypes(x)[0] * x,
    "buffer": lambda x: memoryview(x)[0] * x,
    "in Python code of SciPy": lambda x: scipy.linalg.solve(np.eye(3), x),
    "in compiled code of SciPy": lambda x: scipy.ndimage.gaussian_filter(x, 1.0),
    "in a callback from SciPy": lambda x: scipy.integrate.quad(lambda t: t * x[0], 0, 1)[0] * x,
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_operations_without_a_rule(name):
    compute = UNKNOWN[name]

    def f(x):
        y = x * 2
        return compute(y).sum()

    text = message(sparsead.grad(f), X)
    assert f"test_bad_input.py:{compute.__code__.co_firstlineno}" in text and "black_box" in text
    assert name in text or name not in ("mystery", "obl_cv")


def test_trace_errors_are_type_errors():
    assert issubclass(sparsead.TraceError, TypeError)
    assert issubclass(sparsead.TraceError, Exception)


def test_black_box_is_the_way_round():
    def f(x):
        y = x * 2
        return solver(y).sum()

    for jac in ("fd", lambda x: np.diag(2 * x)):
        solver = sparsead.black_box(lambda x: np.array([a * a for a in x.tolist()]), jac=jac)
        np.testing.assert_allclose(sparsead.grad(f)(X), 8 * X, rtol=1e-6)
    solver = sparsead.black_box(lambda x: x * x, jac="cs")
    np.testing.assert_allclose(sparsead.grad(f)(X), 8 * X, rtol=1e-14)


def test_black_box_with_a_wrong_jacobian_shape():
    solver = sparsead.black_box(lambda x: x * x, jac=lambda x: np.ones((2, 2)))
    assert "(2, 2)" in message(sparsead.grad(lambda x: solver(x).sum()), X)

