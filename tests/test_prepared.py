"""Prepared callables: when they trace again, what they show, and that they can be shared, copied and pickled."""

import copy
import itertools
import math
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

import oracle
import sparsead
from sparsead.transform._split import guards_first

X = np.array([0.5, 1.5, 2.5])
Y = np.array([2.0, -1.0, 0.25])


class Traces:
    """Counts how often a function really runs; opaque, so that counting is nothing a tape could depend on."""

    def __init__(self):
        self._counter = itertools.count()

    def __call__(self):
        next(self._counter)

    @property
    def count(self):
        return int(repr(self._counter)[len("count(") : -1])


def cubes(x):
    y = np.zeros(len(x))
    y[:] = x * x
    y *= x
    return y


# ---- when a function is traced


def test_later_calls_do_not_run_the_function():
    traced = Traces()

    def f(x):
        traced()
        x *= x
        return x.sum()

    slope = sparsead.grad(f)
    assert traced.count == 0
    slope(X)
    first = traced.count
    assert first > 0
    for x in (Y, X[::1], -X):
        assert np.array_equal(slope(x), 2 * x)
    assert traced.count == first


def test_appending_to_a_captured_list_happens_only_when_traced():
    log = []

    def f(x):
        log.append("traced")
        return (x * x).sum()

    slope = sparsead.grad(f)
    slope(X)
    first = len(log)
    slope(Y), slope(-X)
    assert first > 0 and len(log) == first


def test_lambdas_made_anew_reuse_their_tape():
    traced = Traces()
    for k in range(5):
        x = X + k
        assert np.array_equal(sparsead.grad(lambda x: traced() or (x * x).sum())(x), 2 * x)
        if k == 0:
            first = traced.count
    assert traced.count == first


def test_lambdas_that_capture_other_things_are_not_confused():
    point = np.ones(3)
    for scale in (2.0, 3.0):
        for weights in (X, Y):
            f = lambda x, s=scale, w=weights: (s * w * x).sum()
            assert np.array_equal(sparsead.grad(f)(point), scale * weights)
    slopes = [sparsead.grad(lambda x: k * x.sum()) for k in (1.0, 2.0)]  # noqa: B023
    assert [s(X)[0] for s in slopes] == [2.0, 2.0]


def test_shapes_layouts_and_dtypes_retrace_once_each():
    traced = Traces()
    slope = sparsead.grad(lambda x: traced() or (x * x).sum())
    for x in (X, X[:2], np.ones((2, 3)), np.ones((3, 2)).T, X.astype(np.float32)):
        before = traced.count
        assert np.array_equal(slope(x), 2 * x)
        after = traced.count
        assert after > before
        slope(x)
        assert traced.count == after


def test_static_integers_and_live_floats():
    traced = Traces()

    def f(x, n, dt, name="a"):
        traced()
        for _ in range(n):
            x = x + dt * x
        return x.sum() if name == "a" else -x.sum()

    slope = sparsead.grad(f)
    for n, dt in itertools.product((1, 2, 3), (0.5, 0.25)):
        np.testing.assert_allclose(slope(X, n, dt), (1 + dt) ** n * np.ones(3), rtol=1e-14)
    per_trace = traced.count // 3
    assert traced.count == 3 * per_trace  # one trace for each n, none for another dt
    assert slope(X, 1, 0.125, name="b")[0] == -1.125
    assert slope(X, 1, 0.0625)[0] == 1.0625
    assert traced.count == 4 * per_trace


def test_guards_flip_and_flip_back():
    traced = Traces()

    def f(x):
        traced()
        if x[0] > 0:
            x[1:] *= x[0]
        else:
            x[1] = 0
        return (x * x).sum()

    up, down = X, -X
    by_hand = {0: [2 * 0.5 + 2 * 0.5 * (1.5**2 + 2.5**2), 2 * 1.5 * 0.25, 2 * 2.5 * 0.25], 1: [-1.0, 0.0, -5.0]}
    slope = sparsead.grad(f)
    counts = []
    for k in (0, 1, 0, 1, 1, 0):
        np.testing.assert_allclose(slope((up, down)[k]), by_hand[k], rtol=1e-14)
        counts.append(traced.count)
    assert counts[0] < counts[1] == counts[-1]


def test_structure_grows_when_a_guard_flips():
    f = lambda x: np.array([x[0] * x[1], x[2]]) if x[0] > 0 else np.array([x[0], x[1] * x[2]])
    jac = sparsead.jacobian(f)
    assert np.array_equal(jac(X).toarray(), [[1.5, 0.5, 0], [0, 0, 1]])
    assert np.array_equal(jac(-X).toarray(), [[1, 0, 0], [0, -2.5, -1.5]])
    assert np.array_equal(jac(X).toarray(), [[1.5, 0.5, 0], [0, 0, 1]])
    assert np.array_equal(jac(2 * X).indices, jac(-X).indices)  # the union, from now on


def test_masks_need_no_new_trace():
    traced = Traces()

    def f(x):
        traced()
        x[x < 0] = 0
        np.multiply(x, 3, out=x, where=x > 2)
        return (x * x).sum()

    slope = sparsead.grad(f)
    slope(X)
    first = traced.count
    for x in (Y, -X, 10 * X):
        assert np.array_equal(slope(x), np.where(x < 0, 0, np.where(x > 2, 18 * x, 2 * x)))
    assert traced.count == first


def test_a_recording_whose_guard_fails_is_tried_once():
    boxed = []

    def box(u):
        boxed.append(1)
        return u * u

    def f(x):
        y = sparsead.black_box(box, jac=lambda u: np.diag(2 * u))(x)
        return y.sum() if y[0] < 1 else 2 * y.sum()

    slope = sparsead.grad(f)
    slope(X)
    first = len(boxed)
    boxed.clear()
    assert np.array_equal(slope(2 * X), 8 * X)
    assert len(boxed) == 1 + first  # up to the guard, and as at the first call


def test_branches_are_decided_before_the_work():
    def f(x, t):
        y = np.exp(x)
        return y.sum() if t < 1 else 2 * y.sum()

    names = [op.op.name for op in guards_first(sparsead.grad(f).prepare(X, 0.5).tape)]
    assert names.index("guard") < names.index("exp")


def test_branches_on_what_was_written_are_decided_after_the_writing():
    def f(x):
        y = np.sin(x)
        y[1:] *= x[:-1]
        return y.sum() if y[1] > 0 else 2 * y.sum()

    slope = sparsead.grad(f).prepare(X)
    names = [op.op.name for op in guards_first(slope.tape)]
    assert names.index("store") < names.index("guard")
    for x in (X, -X, X):
        expected = np.cos(x) * [1, *x[:-1]] + [*np.sin(x[1:]), 0]
        np.testing.assert_allclose(slope(x), expected * (1 if np.sin(x[1]) * x[0] > 0 else 2), rtol=1e-14)


# ---- captured data: live parameters, compared numbers, snapshots

TABLE = X.copy()
GAIN = 2.0


def gained(x):
    return GAIN * x


def test_captured_arrays_are_live():
    table, traced = X.copy(), Traces()
    slope = sparsead.grad(lambda x: traced() or (x * table * TABLE).sum())
    np.testing.assert_allclose(slope(Y), X * X)
    first = traced.count
    table[:] = 10
    TABLE[0] = 7
    try:
        np.testing.assert_allclose(slope(Y), 10 * TABLE)
        assert traced.count == first
    finally:
        TABLE[:] = X


def test_what_is_computed_from_captured_arrays_is_live():
    table = X.copy()

    def f(x):
        q = 2 * table
        return (x * q).sum() + (q[0] > 5) * x[0]

    slope = sparsead.grad(f)
    assert np.array_equal(slope(Y), 2 * X)
    table[:] = 10
    assert np.array_equal(slope(Y), [21, 20, 20])


def test_captured_arrays_inside_containers():
    box = {"w": X.copy(), "list": [Y.copy()]}
    slope = sparsead.grad(lambda x: (x * box["w"] + box["list"][0] * x).sum())
    np.testing.assert_allclose(slope(X), X + Y)
    box["w"][0] = 100.0
    box["list"][0][1] = 50.0
    np.testing.assert_allclose(slope(X), [102.0, 51.5, 2.75])
    box["w"] = Y
    np.testing.assert_allclose(slope(X), [4.0, 49.0, 0.5])


def test_captured_numbers_are_compared(monkeypatch):
    params, scale = SimpleNamespace(dt=0.5, n=2), 3.0
    slope = sparsead.grad(lambda x: (gained(x) * scale * params.dt**params.n).sum())
    assert slope(X)[0] == 1.5
    params.dt = 0.25
    assert slope(X)[0] == 0.375
    params.n = 1
    assert slope(X)[0] == 1.5
    scale = 4.0
    assert slope(X)[0] == 2.0
    monkeypatch.setitem(globals(), "GAIN", 1.0)
    assert slope(X)[0] == 1.0


def test_attributes_of_self_are_live_or_compared():
    class Model:
        def __init__(self):
            self.w, self.dt = X.copy(), 0.5

        def loss(self, x):
            return self.dt * (self.w * x).sum()

    model = Model()
    slope = sparsead.grad(model.loss)
    assert np.array_equal(slope(Y), 0.5 * X)
    model.w[:] = 4
    model.dt = 0.25
    assert np.array_equal(slope(Y), np.ones(3))
    model.w = Y
    assert np.array_equal(slope(X), 0.25 * Y)


def test_captured_scratch_keeps_the_users_numbers():
    work = np.arange(3.0)

    def f(x):
        work[0] += x[1]
        return work * x

    jac = sparsead.jacobian(f)
    for _ in range(3):
        assert np.array_equal(jac(X).toarray(), [[1.5, 0.5, 0], [0, 1, 0], [0, 0, 2]])
        assert np.array_equal(work, [0, 1, 2])


def test_a_captured_array_that_is_only_read_is_a_parameter_even_if_it_is_passed():
    prior = X.copy()
    misfit = lambda x: ((x - prior) ** 2).sum()
    assert np.array_equal(sparsead.grad(misfit)(prior), np.zeros(3))
    assert np.array_equal(sparsead.hessian(misfit, format="dense")(prior), 2 * np.eye(3))


def test_a_captured_array_that_is_written_and_is_also_an_argument():
    buffer = X.copy()

    def f(x):
        buffer[0] *= 3
        return x * x

    assert np.array_equal(sparsead.jacobian(f)(buffer).diagonal(), [9 * 2 * 0.5, 3.0, 5.0])
    assert np.array_equal(sparsead.jacobian(f)(Y).diagonal(), 2 * Y)


def test_aliasing_belongs_to_the_key():
    def f(x, y):
        x *= 2
        return (x * y).sum()

    slope = sparsead.grad(f)
    x, y = X.copy(), X.copy()
    for _ in range(2):
        assert np.array_equal(slope(x, y), 2 * X)
        assert np.array_equal(slope(x, x), 8 * X)
        assert np.array_equal(slope(x[:2], x[1:]), [4 * 1.5, 4 * 0.5 + 2 * 2.5])


# ---- looking inside


def test_prepare_and_look_inside():
    jac = sparsead.jacobian(cubes)
    jac.prepare(X)
    assert jac.pattern.shape == (3, 3) and jac.pattern.nnz == 3
    assert jac.coloring is not None
    assert "test_prepared.py" in str(jac.tape)
    assert isinstance(jac.report(), str) and jac.report()


@pytest.mark.parametrize("face", [sparsead.grad, sparsead.value_and_grad, sparsead.hessian], ids=lambda f: f.__name__)
def test_every_callable_prepares_and_reports(face):
    traced = Traces()
    prepared = face(lambda x: traced() or (x**3).sum())
    prepared.prepare(X)
    first = traced.count
    assert first > 0 and prepared.report() and str(prepared.tape)
    prepared(Y)
    assert traced.count == first


def test_the_report_lists_what_is_frozen():
    hidden = {"w": Y}.get  # a method of a dict: nothing shows that it holds an array
    slope = sparsead.grad(lambda x: (x * hidden("w")).sum())
    assert np.array_equal(slope(X), Y)
    assert "snapshot" in slope.report() or "frozen" in slope.report()


def test_representations_are_short():
    jac = sparsead.jacobian(cubes)
    assert "cubes" in repr(jac)
    jac(X)
    assert "cubes" in repr(jac) and "\n" not in repr(jac)


# ---- sharing


def test_pickled_and_copied_objects_work():
    jac = sparsead.jacobian(cubes)
    jac(X)
    for twin in (pickle.loads(pickle.dumps(jac)), copy.copy(jac), copy.deepcopy(jac)):
        for x in (X, Y, np.ones(5)):
            assert np.array_equal(twin(x).toarray(), jac(x).toarray())
            assert np.array_equal(twin(x).toarray(), np.diag(3 * x**2))


class Scaled:
    def __init__(self, scale):
        self.scale = scale

    def cubes(self, x):
        return self.scale * x**3


class Doubled(Scaled):
    scale = 2.0
    cubes_of_class = classmethod(Scaled.cubes)


class Tripled(Doubled):
    scale = 3.0


@pytest.mark.parametrize("first, second", [(1.0, 2.0), (1, 2), (np.ones(3), np.full(3, 2.0))], ids=["floats", "ints", "arrays"])
def test_methods_of_two_objects_are_two_functions(first, second):
    one, two = (sparsead.jacobian(Scaled(scale).cubes) for scale in (first, second))
    for _ in range(2):
        assert np.array_equal(one(X).diagonal(), 3 * X**2)
        assert np.array_equal(two(X).diagonal(), 6 * X**2)


def test_class_methods_of_two_classes_are_two_functions():
    two, three = sparsead.jacobian(Doubled.cubes_of_class), sparsead.jacobian(Tripled.cubes_of_class)
    assert np.array_equal(two(X).diagonal(), 2 * 3 * X**2)
    assert np.array_equal(three(X).diagonal(), 3 * 3 * X**2)


def test_a_method_sees_what_its_object_has_become():
    scaled = Scaled(1.0)
    jac = sparsead.jacobian(scaled.cubes)
    assert np.array_equal(jac(X).diagonal(), 3 * X**2)
    scaled.scale = 2.0
    assert np.array_equal(jac(X).diagonal(), 6 * X**2)
    assert np.array_equal(sparsead.jacobian(scaled.cubes)(X).diagonal(), 6 * X**2)


@pytest.mark.parametrize("prepare", [True, False], ids=["prepared", "not prepared"])
def test_eight_threads_on_one_object(prepare):
    work = np.zeros(50)

    def f(x):
        np.sin(x, out=work)
        work[1:] *= x[:-1]
        if x[0] > 1:
            work[0] = 5 * x[1]
        return work * work

    jac = sparsead.jacobian(f)
    points = [np.linspace(0.5 + k / 8, 3, 50) for k in range(8)]
    expected = [sparsead.jacobian(lambda x: f(x))(x).toarray() for x in points]
    if prepare:
        jac.prepare(points[0])
    barrier = threading.Barrier(8)

    def run(k):
        barrier.wait()
        return [jac(points[k]).toarray() for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        for k, results in enumerate(pool.map(run, range(8))):
            for r in results:
                assert np.array_equal(r, expected[k])


def test_eight_threads_on_gradients_and_pullbacks():
    f = lambda x: (np.exp(x) * x[::-1]).sum()
    slope, (_, pullback) = sparsead.grad(f), sparsead.vjp(cubes)(X)

    def run(k):
        x = X + k
        return x, slope(x), pullback(np.ones(3) * k)

    with ThreadPoolExecutor(8) as pool:
        for k, (x, gradient, pulled) in enumerate(pool.map(run, range(8))):
            np.testing.assert_allclose(gradient, np.exp(x) * x[::-1] + np.exp(x[::-1]), rtol=1e-14)
            np.testing.assert_allclose(pulled, 3 * k * X**2, rtol=1e-14)


# ---- with SciPy


def test_solve_ivp_takes_the_jacobian():
    n = 6
    work = np.zeros((n, n))

    def lap(w, out):
        out[:] = np.roll(w, 1, 0) + np.roll(w, -1, 0) + np.roll(w, 1, 1) + np.roll(w, -1, 1) - 4 * w

    def rhs(t, y, dy):
        u, v = y.reshape(2, n, n)
        du, dv = dy.reshape(2, n, n)
        lap(u, du)
        lap(v, dv)
        dy *= 0.1 * n**2
        np.multiply(u, u, out=work)
        np.multiply(work, v, out=work)
        du += 1 + work - 4.4 * u
        dv += 3.4 * u - work

    def fun(t, y):
        dy = np.empty_like(y)
        rhs(t, y, dy)
        return dy

    y0 = 1 + np.random.default_rng(0).uniform(size=2 * n * n)
    jac, dy = sparsead.jacobian(rhs, wrt="y", of="dy"), np.empty(2 * n * n)
    j, h = jac(0.0, y0, dy), 1e-6
    v = np.cos(np.arange(2 * n * n))
    np.testing.assert_allclose(j @ v, (fun(0, y0 + h * v) - fun(0, y0 - h * v)) / (2 * h), rtol=1e-6, atol=1e-7)
    assert j.nnz == 2 * n * n * 6  # five of the stencil, one of the other species
    with_jac = solve_ivp(fun, (0, 0.5), y0, method="BDF", jac=lambda t, y: jac(t, y, dy), rtol=1e-8, atol=1e-8)
    without = solve_ivp(fun, (0, 0.5), y0, method="BDF", rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(with_jac.y[:, -1], without.y[:, -1], rtol=1e-6)
    assert with_jac.njev > 0


def test_minimize_takes_value_and_grad():
    rosenbrock = lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    found = minimize(sparsead.value_and_grad(rosenbrock), np.zeros(6), jac=True, method="L-BFGS-B")
    np.testing.assert_allclose(found.x, np.ones(6), atol=1e-3)
    newton = minimize(
        rosenbrock, np.zeros(6), jac=sparsead.grad(rosenbrock), hess=sparsead.hessian(rosenbrock), method="trust-constr"
    )
    np.testing.assert_allclose(newton.x, np.ones(6), atol=1e-3)


# ---- checks for users


def test_check_derivatives_passes_what_is_right():
    def f(x, y):
        y[1:] *= np.sin(x[:-1])
        return (x * y).sum()

    sparsead.testing.check_derivatives(f, X, Y)
    sparsead.testing.check_derivatives(f, X, Y, wrt="y", order=1)
    sparsead.testing.check_derivatives(lambda x: np.exp(x) * x[0], X, wrt=0)


@pytest.mark.parametrize("order", [1, 2])
def test_check_derivatives_catches_a_rule_wrong_by_a_thousandth(order):
    wrong = sparsead.black_box(np.sin, jac=lambda x: np.diag(1.001 * np.cos(x)))
    right = sparsead.black_box(np.sin, jac=lambda x: np.diag(np.cos(x)))
    sparsead.testing.check_derivatives(lambda x: (right(x) * x).sum(), X, order=1)
    with pytest.raises(AssertionError):
        sparsead.testing.check_derivatives(lambda x: (wrong(x) * x).sum(), X, order=order)


# ---- recordings that differ in numbers only


def decay(t, y, dy):
    dy[:] = -y * math.sin(t)
    dy[1:] += math.cos(2 * t) * y[:-1] ** 2


def decay_matrix(t, y):
    return np.diag(np.full(y.size, -math.sin(t))) + np.diag(2 * math.cos(2 * t) * y[:-1], -1)


@pytest.mark.parametrize("derivative", [sparsead.jacobian, sparsead.hessian], ids=["jacobian", "hessian"])
def test_a_new_time_keeps_pattern_and_colouring(derivative):
    """What has changed twice is an input of the sweeps: nothing is prepared again."""
    if derivative is sparsead.hessian:
        prepared = sparsead.hessian(lambda t, y: np.sum(math.sin(t) * y**3), wrt=1)
        call, expected = prepared, lambda t, y: np.diag(6 * math.sin(t) * y)
    else:
        prepared = sparsead.jacobian(decay, wrt="y", of="dy")
        call, expected = lambda t, y: prepared(t, y, np.empty(3)), decay_matrix
    y, results = np.array([0.5, 1.0, 2.0]), []
    for t in (0.3, 0.7, 0.7, 1.1, 0.3, 1.1):
        results.append(call(t, y))
        oracle.close(results[-1].toarray(), expected(t, y))
        if t == 0.7:
            coloring = prepared.coloring
    assert prepared.coloring is coloring
    assert all(result.indices is results[0].indices for result in results)
    assert prepared.report().count("recording") == 1


def test_a_new_captured_number_keeps_the_sweeps():
    def solver(rate):
        return sparsead.grad(lambda y: np.sum(np.exp(rate.value * y)))

    rate, y = SimpleNamespace(value=0.5), np.array([0.1, 0.2])
    gradient = solver(rate)
    for rate.value in (0.5, 0.7, 0.9, 1.1):
        oracle.close(gradient(y), rate.value * np.exp(rate.value * y))
    assert gradient.report().count("recording") == 1


def test_numbers_with_a_meaning_of_their_own_are_right():
    """0 and 1 are simplified away where they are constants, and NaN and infinity spread; as numbers that change they must not."""
    jac = sparsead.jacobian(decay, wrt="y", of="dy")
    y = np.array([0.5, 1.0, 2.0])
    for t in (0.0, np.pi / 2, 0.0, 1.0, 2.0, 0.0, np.pi / 4):
        oracle.close(jac(t, y, np.empty(3)).toarray(), decay_matrix(t, y))
    scaled = sparsead.grad(lambda t, y: np.sum(float(t) * y * y), wrt="y")
    for t in (1.0, 2.0, 0.0, -0.0, np.inf, np.nan, 3.0):
        np.testing.assert_array_equal(scaled(t, y), 2 * t * y)


def test_numbers_that_choose_a_path_are_recorded_anew():
    def f(t, y):
        return y * math.sin(t) if math.sin(t) > 0.5 else y * y + math.cos(t)

    jac, y = sparsead.jacobian(f, wrt="y"), np.array([2.0, 3.0])
    for t in (0.1, 1.0, 0.2, 1.1, 0.3, 1.2):
        expected = np.diag(np.full(2, math.sin(t)) if math.sin(t) > 0.5 else 2 * y)
        oracle.close(jac(t, y).toarray(), expected)
    assert jac.report().count("recording") == 2


def test_arrays_from_elsewhere_that_change():
    """A plain array made anew at each call is frozen in its recording; its successor takes the new contents."""
    level = [1.0]
    gradient = sparsead.grad(lambda y: np.sum(np.array([math.sqrt(level[0]), level[0]]) * y * y))
    y = np.array([2.0, 3.0])
    for level[0] in (1.0, 4.0, 9.0, 16.0):
        oracle.close(gradient(y), 2 * y * [math.sqrt(level[0]), level[0]])
    assert gradient.report().count("recording") == 1


def test_threads_with_times_of_their_own():
    jac, y = sparsead.jacobian(decay, wrt="y", of="dy"), np.array([0.5, 1.0, 2.0])

    def work(k):
        for t in np.linspace(k, k + 1, 25).tolist():
            oracle.close(jac(t, y, np.empty(3)).toarray(), decay_matrix(t, y))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
