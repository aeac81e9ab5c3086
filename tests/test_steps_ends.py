"""The ends of the steps of a loop: what is shown, when the loop is over, what goes along with the steps, what is unrolled."""

# What `watch` and `until` read is looked up at the end of a step on purpose, and `zip` is tested as people write it.
# ruff: noqa: B020, B023, B905

import sys
import threading

import numpy as np
import pytest

import sparsead
from cases import Functions
from sparsead import steps
from sparsead.engine.reference import Program
from sparsead.ops.effect import Effect
from sparsead.tape._tape import Tape, TapeError
from sparsead.tape.spec import BY_NAME
from sparsead.transform.loops.rewrite import has_effects, without_effects


def loops(tape):
    return [op.attr for op in tape if op.op.name == "loop"]


def rolled(f, *args):
    pullback = sparsead.vjp(f)
    pullback.prepare(*args)
    return pullback.tape


class Log:
    """A callback that keeps what it is shown."""

    def __init__(self):
        self.rows = []

    def __call__(self, k, *values):
        self.rows.append((k, *values))

    def taken(self):
        rows, self.rows = self.rows, []
        return rows


def assert_same(rows, expected):
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        assert type(row[0]) is int and len(row) == len(other)
        for x, y in zip(row, other, strict=True):
            np.testing.assert_array_equal(x, y)


# ---- on_step: loops of all kinds, each a function of (u, log) that gives one number

SHOWN = shown = Functions()


@shown
def rebinding(u, log):
    for k in steps(30, on_step=log, watch=lambda: (u, u.sum())):
        u = np.sin(u) * 1.1 + 0.01 * k
    return u @ u


@shown
def in_place(u, log):
    for k in steps(30, on_step=log, watch=lambda: u[1:]):
        u[1:] += 0.1 * np.sin(u[:-1])
    return u @ u


@shown
def swapped(u, log):
    new = np.zeros_like(u)
    for k in steps(31, on_step=log, watch=lambda: (u, new)):
        new[:] = np.sin(u) + 0.1 * new
        u, new = new, u
    return u @ new


@shown
def pieces(u, log):
    for k in steps(40, on_step=log, watch=lambda: u):
        u = u * 0.9 if k < 20 else np.sin(u)
    return u @ u


@shown
def branches(u, log):
    for k in steps(40, on_step=log, watch=lambda: (u, k)):
        if u[0] > 0.9:
            u = np.sin(u) * 0.4
        u = u * 1.1
    return u @ u


@shown
def nested(u, log):
    for i in steps(12, on_step=log, watch=lambda: u):
        for j in steps(10, on_step=lambda j, i, u: log(j, -i, u), watch=lambda: (i, u)):
            u = np.sin(u) + 0.01 * i * j
    return u @ u


@shown
def two_loops(u, log):
    for k in steps(20, on_step=log, watch=lambda: u):
        u = u * 0.95
    for k in steps(20, on_step=log, watch=lambda: u[0]):
        u = np.cos(u)
    return u @ u


@shown
def left_by_break(u, log):
    for k in steps(50, on_step=log, watch=lambda: u):
        u = u * 0.9
        if u[0] < 0.1:
            break
    return u @ u


@shown
def until_it_holds(u, log):
    for k in steps(None, on_step=log, watch=lambda: u, until=lambda: u[0] < 0.1):
        u = u * 0.9
    return u @ u


@shown
def over_rows(u, log):
    F = np.outer(np.arange(1.0, 21.0), u)
    for row in steps(F, on_step=log, watch=lambda: u):
        u = np.sin(u + 0.1 * row)
    return u @ u


@shown
def short(u, log):
    for k in steps(3, on_step=log, watch=lambda: u):
        u = np.sin(u)
    return u @ u


@shown
def nothing_that_matters(u, log):
    v = u * 2.0
    for k in steps(20, on_step=log, watch=lambda: v):
        v = v * 0.9
    return u @ u


@shown
def the_same_twice(u, log):
    for often in range(2):
        for k in steps(20, on_step=log):
            pass
    return u @ u


@shown
def nothing_at_all(u, log):
    for k in steps(20, on_step=log):
        pass
    return u @ u


@shown
def zipped_and_enumerated(u, log):
    for (i, k), x in zip(enumerate(steps(20, on_step=log, watch=lambda: u), 1), np.linspace(0, 1, 20)):
        u = u * 0.9 + x * i * k
    return u @ u


@shown
def equations(u, log):
    for k in steps(20, on_step=log, watch=lambda: u):
        u = sparsead.root(lambda x, old: x - old + 0.1 * x**3, u, u)
    return u @ u


DERIVATIVES = {
    "value_and_grad": lambda f, engine: sparsead.value_and_grad(f, engine=engine),
    "jvp": lambda f, engine: lambda u, log, call=sparsead.jvp(f, engine=engine): call(u, log, np.cos(u)),
    "vjp": lambda f, engine: sparsead.vjp(f, engine=engine),
    "linearize": lambda f, engine: lambda u, log, call=sparsead.linearize(f, engine=engine): call(u, log)[1](np.cos(u)),
    "operator": lambda f, engine: lambda u, log, call=sparsead.jacobian_operator(f, engine=engine): call(u, log) @ u,
    "hessian operator": lambda f, engine: lambda u, log, call=sparsead.hessian_operator(f, engine=engine): call(u, log) @ u,
    "hvp": lambda f, engine: lambda u, log, call=sparsead.hvp(f, engine=engine): call(u, log, np.cos(u)),
    "jacobian": lambda f, engine: sparsead.jacobian(f, engine=engine),
    "jacobian with aux": lambda f, engine: sparsead.jacobian(
        lambda u, log: (f(u, log), np.arange(3.0)), has_aux=True, engine=engine
    ),
    "hessian": lambda f, engine: sparsead.hessian(f, engine=engine),
    "nested": lambda f, engine: sparsead.grad(lambda u, log: (sparsead.grad(f, engine=engine)(u, log) ** 2).sum(), engine=engine),
    "nested vjp": lambda f, engine: sparsead.grad(
        lambda u, log: (sparsead.vjp(f, engine=engine)(u, log)[1](1.0) ** 2).sum(), engine=engine
    ),
    "nested value": lambda f, engine: sparsead.grad(
        lambda u, log: sparsead.value_and_grad(f, engine=engine)(u, log)[0] ** 2, engine=engine
    ),
}


@pytest.mark.parametrize("engine", ["vm", "reference"])
@pytest.mark.parametrize("kind", DERIVATIVES)
@pytest.mark.parametrize("name", SHOWN)
def test_every_step_of_the_primal_is_shown_once(name, kind, engine):
    f, u, log = SHOWN[name], np.array([0.8, 0.4, 0.3]), Log()
    f(u.copy(), log)
    expected = log.taken()
    assert expected
    derivative = DERIVATIVES[kind](f, engine)
    for _ in range(3):  # the first traces, the others replay
        derivative(u, log)
        assert_same(log.taken(), expected)


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_shown_changes_no_derivative(name, monkeypatch):
    f, u = SHOWN[name], np.array([0.8, 0.4, 0.3])
    value, gradient = sparsead.value_and_grad(f)(u, Log())
    product = sparsead.hvp(f)(u, Log(), np.cos(u))
    assert value == f(u.copy(), Log())
    for unroll in (True, False):
        monkeypatch.setitem(
            f.__globals__, "steps",
            lambda n, on_step=None, watch=None, until=None: sparsead.steps(n, unroll=unroll, until=until),
        )  # fmt: skip
        np.testing.assert_allclose(sparsead.grad(f)(u, Log()), gradient, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(sparsead.hvp(f)(u, Log(), np.cos(u)), product, rtol=1e-12, atol=1e-13)


def test_neither_a_trace_nor_a_reverse_sweep_shows_anything():
    log, u = Log(), np.array([0.8, 0.4, 0.3])
    derivative = sparsead.value_and_grad(rebinding).prepare(u, log)
    pullback = sparsead.vjp(rebinding).prepare(u, log)
    assert not log.taken()
    _, reverse = pullback(u, log)
    assert len(log.taken()) == 30
    reverse(1.0)
    reverse(2.0)
    assert not log.taken()
    derivative(u, log)
    assert len(log.taken()) == 30


def test_another_path_shows_the_steps_that_were_shown_no_second_time():
    """A replay that meets a path that it does not know is traced again, in the middle of the loop."""

    def limited(u, log):
        for k in steps(40, on_step=log, watch=lambda: u):
            if u[0] > 2.0:
                u = u * 0.5
            u = u * 1.1
        return u @ u

    for f in (limited, until_it_holds, left_by_break):
        log, known = Log(), sparsead.value_and_grad(f)
        for start in (0.2, 1.0, 0.15, 0.5, 5.0, 0.2):
            u = np.array([start, 1.0])
            f(u, log)
            expected = log.taken()
            value, _ = known(u, log)
            assert value == f(u, Log())
            assert_same(log.taken(), expected)


def test_guards_come_before_what_is_shown_where_they_can():
    def f(u, log):
        for k in steps(20, on_step=log):
            u = u * 0.9
        return u @ u if u[0] > 0.01 else u.sum()

    log, known = Log(), sparsead.grad(f)
    for start in (1.0, 0.01, 2.0, 0.02):
        known(np.array([start, 1.0]), log)
        assert [k for k, *_ in log.taken()] == list(range(20))


def test_loops_whose_results_are_guarded_do_not_overtake_others():
    """What a guard looks at is computed first; what was shown before it still comes before it."""

    def f(u, log):
        v = u * 2.0
        for k in steps(12, on_step=log, watch=lambda: v):
            v = v * 0.9
        for k in steps(12, on_step=log, watch=lambda: u):
            u = np.sin(u)
        return (u * v).sum() if u[0] > 0.2 else (u - v).sum()

    log, known = Log(), sparsead.value_and_grad(f)
    for start in (1.0, 0.1, 0.9, 0.15):
        u = np.array([start, 1.0])
        value, expected = f(u, log), log.taken()
        assert known(u, log)[0] == value
        assert_same(log.taken(), expected)


def test_what_is_shown_may_be_kept_and_is_read_only():
    kept = []

    def f(u):
        for k in steps(20, on_step=lambda k, u: kept.append(u), watch=lambda: u):
            u *= 0.5
        return u.sum()

    def spoiled(u):
        for k in steps(20, on_step=lambda k, u: u.fill(0.0), watch=lambda: u):
            u *= 0.5
        return u.sum()

    for call in (f, sparsead.grad(f)):
        kept.clear()
        call(np.ones(2))
        np.testing.assert_array_equal(kept, [[0.5 ** (k + 1)] * 2 for k in range(20)])
    for call in (spoiled, sparsead.grad(spoiled)):
        with pytest.raises(ValueError, match="read-only"):
            call(np.ones(2))


def test_the_steps_of_a_residual_are_the_solvers():
    """A derivative runs the residual as often as its solver asks: it shows none of that, the function itself does."""

    def f(u, log):
        def residual(x, a):
            for k in steps(12, on_step=log, watch=lambda: x):
                x = x + 0.01 * x**2
            return x - a

        return (sparsead.root(residual, u, u) ** 2).sum()

    log, u = Log(), np.array([0.8, 0.4, 0.3])
    value = f(u, log)
    assert log.taken()
    for _ in range(2):
        assert sparsead.value_and_grad(f)(u, log)[0] == value
        assert not log.taken()


@pytest.mark.parametrize("engine", ["vm", "reference"])
@pytest.mark.parametrize("name", ["in_place", "swapped", "branches", "two_loops"])
def test_what_is_shown_stays_when_an_engine_uses_its_memory_again(name, engine):
    """Arrays of many tiles: what was shown is what the step had, also after all later steps and after another call."""
    f, u, log = SHOWN[name], np.linspace(0.3, 0.8, 3001), Log()
    f(u.copy(), log)
    expected = log.taken()
    derivative = sparsead.value_and_grad(f, engine=engine)
    derivative(u, log)
    rows = log.taken()
    derivative(0.5 * u, log)
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        for x, y in zip(row, other, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-13)


def test_exceptions_of_the_callback_reach_the_caller():
    class Stop(Exception):
        pass

    armed = []

    def report(k):
        if armed and k == armed[0]:
            raise Stop("enough")

    def f(u):
        for k in steps(30, on_step=report):
            u = np.sin(u)
        return u.sum()

    u, known = np.array([0.4, 0.5]), sparsead.grad(f)
    expected = sparsead.grad(lambda u: f(u))(u)
    for at in (0, 2, 29):
        armed[:] = [at]
        for derivative in (known, sparsead.grad(lambda u: f(u))):
            with pytest.raises(Stop, match="enough") as caught:
                derivative(u)
            assert caught.value.__cause__ is None
        armed.clear()
        np.testing.assert_array_equal(known(u), expected)


def test_callbacks_see_the_callers_treatment_of_floating_point_errors():
    def f(u):
        for k in steps(20, on_step=lambda k, x: np.log(x * 0), watch=lambda: u):
            u = np.sin(u)
        return u.sum()

    for call in (f, sparsead.grad(f)):
        with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
            call(np.ones(2))
        with np.errstate(divide="ignore"):
            call(np.ones(2))


def test_a_log_that_grows_does_not_trace_again():
    log = []

    def f(u):
        for k in steps(20, on_step=lambda k, s: log.append(s), watch=lambda: u[0]):
            u = np.sin(u)
        return u.sum()

    known = sparsead.grad(f)
    for _ in range(5):
        known(np.array([0.4, 0.5]))
    assert len(log) == 100 and "traces: 1" in known.report()


class Solver:
    """As solvers are: arrays, a log and a monitor in one object."""

    def __init__(self):
        self.work, self.history, self.last, self.calls = np.zeros(2), [], np.zeros(2), 0

    def monitor(self, k, u):
        self.history.append(float(u[0]))
        self.last[:] = u
        self.calls += 1

    def run(self, u):
        for k in steps(20, on_step=self.monitor, watch=lambda: u):
            self.work[:] = np.sin(u)
            u = u * 0.9 + 0.1 * self.work
        return u @ u


def test_a_method_of_a_solver_writes_to_the_solver():
    u = np.array([0.4, 0.5])
    plain, traced = Solver(), Solver()
    plain.run(u)
    derivative = sparsead.grad(traced.run)
    for calls in (1, 2):
        derivative(u)
        assert traced.history == plain.history * calls
        np.testing.assert_array_equal(traced.last, plain.last)
        assert traced.calls == 20 * calls


OUT, SCRATCH = np.zeros((20, 2)), np.zeros(2)
COUNT = 0


def test_callbacks_write_to_captured_arrays_and_globals():
    local = np.zeros((20, 2))

    def f(u):
        def report(k, u):
            global COUNT
            COUNT += 1
            OUT[k] = u
            local[k] = 2 * u

        for k in steps(20, on_step=report, watch=lambda: u):
            u = np.sin(u)
        return u.sum()

    u = np.array([0.4, 0.5])
    f(u)
    expected, before = OUT.copy(), COUNT
    OUT[:] = local[:] = 0
    sparsead.grad(f)(u)
    np.testing.assert_array_equal(OUT, expected)
    np.testing.assert_array_equal(local, 2 * expected)
    assert COUNT == before + 20


def test_threads_have_journals_of_their_own():
    logs = [Log() for _ in range(4)]
    u = np.array([0.8, 0.4, 0.3])
    workers = [threading.Thread(target=lambda log=log: [sparsead.grad(rebinding)(u, log) for _ in range(5)]) for log in logs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for log in logs:
        assert [k for k, *_ in log.rows] == list(range(30)) * 5


def test_a_derivative_inside_of_a_callback():
    inner, outer = Log(), Log()
    u = np.array([0.8, 0.4, 0.3])

    def report(k, u):
        outer(k)
        sparsead.grad(short)(u.copy(), inner)

    def f(u):
        for k in steps(10, on_step=report, watch=lambda: u):
            u = np.sin(u)
        return u.sum()

    sparsead.grad(f)(u)
    assert [k for k, *_ in outer.rows] == list(range(10)) and [k for k, *_ in inner.rows] == [0, 1, 2] * 10


# ---- the op itself


def test_effects_are_kept_by_simplification_and_taken_off_on_demand():
    log = Log()
    tape = rolled(lambda u: nothing_that_matters(u, log), np.ones(3))
    assert has_effects(tape) and loops(tape)
    Program(tape).run([np.ones(3)])
    assert len(log.taken()) == 20
    silent = without_effects(tape)
    assert not has_effects(silent) and without_effects(silent) is silent
    Program(silent).run([np.ones(3)])
    assert not log.taken()


def test_the_law_of_effects():
    tape = Tape()
    number, array = tape.pool.type(np.dtype(float), ()), tape.pool.type(np.dtype(float), (2,))
    tape.inputs = [tape.add(BY_NAME["input"], (), [t])[0] for t in (number, array)]
    tape.outputs = tape.inputs[1:]
    k = tape.const(np.int64(3))
    tape.add(BY_NAME["effect"], (k, *tape.inputs), (), Effect(print))
    tape.check()
    for operands, attr in (((tape.inputs[0],), Effect(print)), ((), Effect(print)), ((k,), print)):
        wrong = tape.copy()
        wrong.add(BY_NAME["effect"], operands, (), attr)
        with pytest.raises(TapeError, match="is no effect of a counter"):
            wrong.check()


def test_effects_are_equal_if_they_call_the_same_function():
    def make(x):
        return lambda k: x

    log = Log()
    x, y = object(), object()
    assert Effect(make(x)) == Effect(make(x)) != Effect(make(y)) and hash(Effect(make(x))) == hash(Effect(make(x)))
    assert Effect(log.taken) == Effect(log.taken) != Effect(Log().taken)
    assert Effect(log) == Effect(log) != Effect(Log())
    assert repr(Effect(test_threads_have_journals_of_their_own)) == "test_threads_have_journals_of_their_own"


# ---- until


def newton(u):
    x = u * 1.0
    for k in steps(None, until=lambda: np.abs(x * x - u).max() < 1e-13):
        x = 0.5 * (x + u / x)
    return x


def decay(u):
    for k in steps(None, until=lambda: u.sum() < 0.1):
        u = u * 0.99 + 0.0 * k
    return u * (k + 1)


def bounded(u):
    for k in steps(60, until=lambda: u.sum() < 1.0):
        u = u * 0.98
    return u * k


def residual_of_the_body(u):
    x = np.zeros_like(u)
    for k in steps(500, until=lambda: residual < 1e-10):
        new = np.cos(x) * u
        residual = np.abs(new - x).max()
        x = new
    return x * k


@pytest.mark.parametrize("f", [newton, decay, bounded, residual_of_the_body], ids=lambda f: f.__name__)
def test_until(f, monkeypatch):
    derivative = sparsead.vjp(f)
    for u in ([0.3, 0.4], [0.6, 0.1], [0.9, 0.8], [0.3, 0.4]):  # other numbers of steps
        u = np.array(u)
        np.testing.assert_array_equal(derivative(u)[0], f(u))
    found = sparsead.jacobian(f)(u).toarray()
    curvature = sparsead.hvp(lambda u: (f(u) ** 2).sum())(u, np.array([1.0, -2.0]))
    monkeypatch.setitem(f.__globals__, "steps", lambda n, until: sparsead.steps(n, unroll=True, until=until))
    np.testing.assert_allclose(found, sparsead.jacobian(f)(u).toarray(), rtol=1e-12)
    unrolled = sparsead.hvp(lambda u: (f(u) ** 2).sum())(u, np.array([1.0, -2.0]))
    np.testing.assert_allclose(curvature, unrolled, rtol=1e-11)


def test_a_loop_until_a_condition_holds_stays_a_loop():
    tape = rolled(decay, np.array([0.9, 0.8]))
    assert loops(tape) and len(tape) < 60


def test_there_is_one_step_at_least():
    def f(u):
        for k in steps(10, until=lambda: True):
            u = u * 2
        return u

    np.testing.assert_array_equal(f(np.ones(2)), [2.0, 2.0])
    np.testing.assert_array_equal(sparsead.vjp(f)(np.ones(2))[0], [2.0, 2.0])
    assert list(steps(0, until=lambda: True)) == []


def test_endless_loops_are_stopped(monkeypatch):
    monkeypatch.setattr(sparsead.config, "max_steps", 50)

    def f(u):
        for k in steps(None, until=lambda: u[0] > 1.0):
            u = u * 0.5
        return u

    for call in (f, sparsead.vjp(f), sparsead.grad(lambda u: f(u).sum())):
        with pytest.raises(RuntimeError, match=r"test_steps_ends.py:\d+: the condition of until= does not hold after 50 steps"):
            call(np.ones(2))
    np.testing.assert_array_equal(sparsead.vjp(bounded)(np.ones(2))[0], bounded(np.ones(2)))


# ---- enumerate, zip, reversed, comprehensions

ALONG = along = Functions()


@along
def enumerated(u, F):
    for i, k in enumerate(steps(20), 2):
        u = u * 0.9 + i * k
    return u * i


@along
def enumerated_rows(u, F):
    for i, row in enumerate(steps(F)):
        u = u * 0.5 + row * i
    return u


@along
def with_rows(u, F):
    for k, row in zip(steps(20), F):
        u = u * 0.5 + row * k
    return u + row


@along
def with_numbers(u, F):
    for row, x, j, y in zip(steps(F), [0.1 * j for j in range(12)], range(3, 50, 2), np.arange(12.0)):
        u = u * 0.5 + row * j * x + y
    return u


@along
def with_another(u, F):
    for k, j in zip(steps(12), steps(F.shape[0])):
        u = u * 0.5 + F[k] * j
    return u


@along
def backwards(u, F):
    for k in reversed(steps(12)):
        u = u * 0.5 + F[k]
    return u


@along
def rows_backwards(u, F):
    for row in reversed(steps(F)):
        u = u * 0.5 + row
    return u


@along
def strict(u, F):
    for k, row in zip(steps(12), F, strict=True):
        u = u * 0.5 + row
    return u


@along
def through_a_generator(u, F):
    def rows():
        for k in steps(12):
            yield 0.1 * k, F[k]

    for t, row in rows():
        u = u * 0.5 + t * row
    return u * t


UNROLLED = unrolled = Functions()


@unrolled
def comprehension(u, F):
    return sum([np.sin(u) * k for k in steps(12)])


@unrolled
def nested_comprehension(u, F):
    return np.array([[u[0] * j + k for k in steps(3)] for j in steps(12)]).sum() * u


@unrolled
def generator(u, F):
    return sum(u[k % 2] * k for k in steps(12)) * u


@unrolled
def as_list(u, F):
    for k in list(steps(12)):
        u = u * 0.9 + F[k]
    return u * len(steps(30))


@unrolled
def unpacked(u, F):
    a, b = steps(F[:2])
    return u * a + b


def arguments():
    rng = np.random.default_rng(3)
    return rng.uniform(0.2, 0.9, 2), rng.uniform(0.2, 0.9, (12, 2))


@pytest.mark.parametrize("name", [*ALONG, *UNROLLED])
def test_what_goes_along_with_steps(name):
    f, (u, F) = {**ALONG, **UNROLLED}[name], arguments()
    derivative = sparsead.vjp(f, wrt=("u", "F"))
    np.testing.assert_array_equal(derivative(u, F)[0], f(u.copy(), F))
    assert bool(loops(derivative.tape)) == (name in ALONG)
    sparsead.testing.check_derivatives(lambda u: f(u, F), u)


def test_builtins_are_pythons_own_outside_of_a_trace():
    def f(u):
        assert isinstance(zip([1], [2]), zip) and list(enumerate("ab", 1)) == [(1, "a"), (2, "b")]
        assert list(zip("ab", [1, 2], strict=True)) == [("a", 1), ("b", 2)] and list(zip(range(2), range(3))) == [(0, 0), (1, 1)]
        for k, x in zip(range(3), [1.0, 2.0, 3.0]):
            u = u * x
        return u

    np.testing.assert_array_equal(sparsead.vjp(f)(np.ones(2))[0], [6.0, 6.0])
    assert type(zip) is type and type(enumerate) is type and sys.modules["builtins"].zip is zip
    assert list(zip(steps(2), reversed(steps(2)))) == [(0, 1), (1, 0)] and len(steps(7)) == 7
    assert list(enumerate(steps(2, until=lambda: False))) == [(0, 0), (1, 1)]
    assert list(reversed(steps(3, on_step=lambda k: None))) == [2, 1, 0]


# ---- unroll


@pytest.mark.parametrize(("n", "unroll", "folds"), [
    (0, None, False), (1, None, False), (2, None, False), (8, None, False), (9, None, True), (8, False, True), (100, True, False),
    (100, None, True), (100, False, True), (10**9, None, True), (3, False, False),
])  # fmt: skip
def test_short_loops_are_unrolled(n, unroll, folds):
    def f(u):
        for k in steps(n, unroll=unroll):
            u = u * 0.5 + k
        return u

    tape = rolled(f, np.ones(2))
    assert bool(loops(tape)) == folds
    if n <= 100:
        np.testing.assert_array_equal(sparsead.vjp(f)(np.ones(2))[0], f(np.ones(2)))


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 10, 17])
def test_rolled_is_unrolled(n):
    def loss(unroll):
        def f(u):
            new = np.zeros_like(u)
            for k in steps(n, unroll=unroll):
                new[:] = np.sin(u) + 0.1 * k * new
                u, new = new, u
            return (u * u).sum() + 3 * new[0]

        return f

    u, v = np.array([0.3, 0.4]), np.array([1.0, -2.0])
    for kind in (lambda f: sparsead.value_and_grad(f)(u), lambda f: (sparsead.hvp(f)(u, v),)):
        for other in (None, False):
            for x, y in zip(kind(loss(True)), kind(loss(other)), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-14)


# ---- bad input


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (dict(n=3, on_step=3), TypeError, "on_step has to be a function, got int; write on_step=lambda k, u"),
    (dict(n=3, on_step=print, watch=np.ones(2)), TypeError, r"watch has to be a function, got ndarray; write watch=lambda: \(u"),
    (dict(n=3, watch=lambda: 0), TypeError, "there is no on_step"),
    (dict(n=3, until=False), TypeError, "until has to be a function, got bool; write until=lambda: residual"),
    (dict(n=None), TypeError, "or None with until="),
    (dict(n=-1, until=lambda: True), ValueError, "not negative"),
    (dict(n=2.5, until=lambda: True), TypeError, "got float"),
])  # fmt: skip
def test_senseless_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        steps(**arguments)


def refused(watch):
    def f(u):
        for k in steps(20, on_step=lambda k, *values: None, watch=watch(u)):
            u = u * 0.5
        return u.sum()

    return f


def test_values_that_cannot_be_shown():
    for watch in (lambda u: lambda: "u", lambda u: lambda: [u, u], lambda u: lambda: {"u": u}, lambda u: lambda: None):
        for call in (refused(watch), sparsead.grad(refused(watch))):
            with pytest.raises(TypeError, match=r"watch gives arrays and numbers, .*; got (str|list|dict|NoneType)"):
                call(np.ones(2))


def test_traced_values_that_a_callback_reads_by_itself():
    def closure(u):
        for k in steps(20, on_step=lambda k: print(k, u[0])):
            u = u * 0.5
        return u.sum()

    def scratch(u):
        def report(k):
            print(k, SCRATCH[0])

        for k in steps(20, on_step=report):
            SCRATCH[:] = u * 0.5
            u = SCRATCH + 0.1
        return u.sum()

    class Model:
        def __init__(self):
            self.state, self.rate = np.zeros(2), np.ones(2)

        def report(self, k):
            print(self.rate, self.state)

        __call__ = report

        def by_method(self, u):
            self.state[:] = u
            for k in steps(20, on_step=self.report):
                self.state *= self.rate * 0.5
            return self.state.sum()

        def by_call(self, u):
            for k in steps(20, on_step=self):
                self.state = u * 0.5
            return self.state.sum()

    cases = [(closure, "u"), (scratch, "SCRATCH"), (Model().by_method, "self.state"), (Model().by_call, "self.state")]
    for f, name in cases:
        with pytest.raises(sparsead.TraceError, match=rf"on_step reads {name} by itself.*test_steps_ends.py.*lambda: {name}"):
            sparsead.grad(f)(np.ones(2))


def test_callbacks_that_change_from_step_to_step():
    def f(u):
        for i in steps(30):
            for j in steps(10, on_step=Log()):
                u = u * 0.5
        return u.sum()

    with pytest.raises(sparsead.TraceError, match="on_step is another function in each of them: make it before the outer loop"):
        sparsead.grad(f)(np.ones(2))


def test_no_length_before_the_end():
    with pytest.raises(TypeError, match="has no length"):
        len(steps(None, until=lambda: True))
    with pytest.raises(TypeError, match="has no length"):
        reversed(steps(None, until=lambda: True))


def test_what_cannot_go_along():
    def texts(u):
        for k, x in zip(steps(20), "a" * 20):
            u = u * 0.5
        return u.sum()

    def lazy(u):
        for k, x in zip(steps(20), (0.1 * j for j in range(20))):
            u = u * x
        return u.sum()

    def uneven(u):
        for k, x in zip(steps(20), [1.0, 2.0], strict=True):
            u = u * x
        return u.sum()

    def two(u):
        for k, j in zip(steps(20, until=lambda: False), steps(20, on_step=lambda k: None)):
            u = u * k
        return u.sum()

    cases = [
        (texts, sparsead.TraceError, r"zip\(\) of sparsead.steps and a str at .*test_steps_ends.py.*compute the item from k"),
        (lazy, sparsead.TraceError, r"zip\(\) of sparsead.steps and a generator"),
        (uneven, ValueError, "different lengths.*: 20, 2"),
        (two, sparsead.TraceError, "several sparsead.steps with on_step or until"),
    ]
    for f, error, message in cases:
        with pytest.raises(error, match=message):
            sparsead.grad(f)(np.ones(2))
    assert type(zip) is type
