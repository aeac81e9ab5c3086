"""Rules of the user: functions that run outside of the tape, with tangents and adjoints that the user gives."""

import numpy as np
import pytest

import sparsead
from sparsead import Active, BatchDuplicated, Const, Duplicated, Forward, Reverse, autodiff, rule

ENGINES = pytest.mark.parametrize("engine", ["reference", "auto"])


def a(*numbers):
    return np.array(numbers, dtype=float)


def same(value, expected):
    np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-14)


def library(y, x, factor):
    """y = factor * x * y and the sum of x, as a compiled routine would have it: element by element, on plain memory."""
    total = 0.0
    for k in range(len(y)):
        total += float(x[k])
        y[k] = factor * float(x[k]) * float(y[k])
    return total


def with_rules(function=library, lanes=False):
    made = rule(lambda y, x, factor: function(y, x, factor), writes="y", lanes=lanes)

    @made.forward
    def _(config, y, x, factor):
        assert config.overwritten == (True, False, False) and config.needs_shadow
        old, c, n = y.value.copy(), factor.value, max(config.width, 1)
        total = library(y.value, x.value, c)
        tangents = []
        for lane in range(n):
            dy, dx, dc = (shadow(arg, lane) for arg in (y, x, factor))
            dy[...] = c * x.value * dy + c * dx * old + dc * x.value * old
            tangents.append(np.sum(dx * np.ones(len(old))))
        assert total == x.value.sum()
        return tuple(tangents) if lanes and n > 1 else tangents[0]

    @made.augmented_primal
    def _(config, y, x, factor):
        tape = y.value.copy()
        return library(y.value, x.value, factor.value), tape

    @made.reverse
    def _(config, seed, tape, y, x, factor):
        c, by_factor = factor.value, []
        for lane in range(config.width):
            dy, s = shadow(y, lane), seed[lane] if config.width > 1 else seed
            by_factor.append(np.sum(dy * x.value * tape))
            if not isinstance(x, Const):
                shadow(x, lane)[...] += c * tape * dy + s
            dy[...] = c * x.value * dy
        by_factor = tuple(by_factor) if config.width > 1 else by_factor[0]
        return None, None, by_factor if isinstance(factor, Active) else None

    return made


def shadow(arg, lane):
    if isinstance(arg, Const):
        return 0.0
    return arg.shadows[lane] if isinstance(arg, BatchDuplicated) else arg.shadow


def plain(y, x, factor):
    total = x.sum()
    y *= factor * x
    return total


@ENGINES
@pytest.mark.parametrize("lanes", [False, True])
def test_rules_of_a_function_that_writes(engine, lanes):
    ruled = with_rules(lanes=lanes)

    def calls(inner):
        def f(y, x, factor):
            first = inner(y, 2 * x, factor)
            inner(y[1:], x[1:], first)  # of a view
            return (y * x).sum() * first

        return f

    results = []
    for inner in (plain, ruled):
        rng = np.random.default_rng(3)
        y, x, dy, dx = rng.normal(size=(4, 3))
        reverse = autodiff(sparsead.ReverseWithPrimal, calls(inner), Active, Duplicated(y, dy), Duplicated(x, dx), Active(1.5),
                           engine=engine)  # fmt: skip
        lanes_of = [(rng.normal(size=3), rng.normal(size=3)) for _ in range(2)]
        by_y, by_x = ([pair[k] for pair in lanes_of] for k in range(2))
        forward = autodiff(Forward, calls(inner), Duplicated, BatchDuplicated(y, by_y), BatchDuplicated(x, by_x),
                           BatchDuplicated(1.5, (1.0, 0.0)), engine=engine)  # fmt: skip
        adjoint = [rng.normal(size=(2, 3)), np.zeros((2, 3))]
        backward = autodiff(Reverse, calls(inner), Active, BatchDuplicated(y, tuple(adjoint[0])),
                            BatchDuplicated(x, tuple(adjoint[1])), Active(0.5), engine=engine)  # fmt: skip
        results.append([reverse[1], reverse[0][2], y, dy, dx, *forward[0], *lanes_of[0], *lanes_of[1], *backward[0][2], *adjoint])
    for value, expected in zip(*results, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-12)


@ENGINES
def test_the_functional_face_has_them_too(engine):
    ruled = with_rules()

    def f(x, factor):
        y = np.sin(x)
        return ruled(y, x, factor) * (y @ y)

    def expected(x, factor):
        y = np.sin(x)
        return plain(y, x, factor) * (y @ y)

    x, v = a(1, 2, 3), (a(1, 0, -1), 0.5)
    for given, wanted in zip(*(sparsead.grad(g, wrt=(0, 1), engine=engine)(x, 2.0) for g in (f, expected)), strict=True):
        np.testing.assert_allclose(given, wanted, rtol=1e-12)
    for given, wanted in zip(*(sparsead.jvp(g, wrt=(0, 1), engine=engine)(x, 2.0, v) for g in (f, expected)), strict=True):
        np.testing.assert_allclose(given, wanted, rtol=1e-12)
    with pytest.raises(NotImplementedError, match="second"):
        sparsead.hvp(f, engine=engine)(x, 2.0, x)


def test_outside_of_traces_it_is_the_function():
    ruled, y = with_rules(), a(1, 2)
    assert ruled(y, a(3, 4), 2.0) == 7.0
    same(y, a(6, 16))


def test_partials():
    hypot = rule(lambda x, y: np.hypot(np.asarray(x), np.asarray(y)), partials=(
        lambda value, x, y: np.diag(x / value), lambda value, x, y: np.diag(y / value)))  # fmt: skip
    x, y = a(3, 5), a(4, 12)
    gradient = sparsead.grad(lambda x, y: hypot(x, y) @ a(1, 10), wrt=(0, 1))(x, y)
    same(gradient[0], a(3 / 5, 50 / 13))
    same(gradient[1], a(4 / 5, 120 / 13))
    same(sparsead.jvp(lambda x: hypot(x, y))(x, a(1, 2))[1], a(3 / 5, 10 / 13))
    power = rule(lambda x, n: float(x) ** n, partials=(lambda value, x, n: n * x ** (n - 1), None))
    assert autodiff(Reverse, lambda x: power(2 * x, 3), Active, Active(1.0)) == ((24.0,),)
    same(sparsead.jacobian(lambda x: hypot(x, y))(x).toarray(), np.diag(x / np.hypot(x, y)))


def test_several_results():
    both = rule(lambda x: (x.sum(), x * x))

    @both.forward
    def _(config, x):
        return x.shadow.sum(), 2 * x.value * x.shadow

    @both.reverse
    def _(config, seed, tape, x):
        x.shadow += seed[0] + 2 * x.value * seed[1]
        return (None,)

    def f(x):
        total, squares = both(x)
        return total * squares[0]

    x = a(2, 3)
    same(sparsead.grad(f)(x), a(4 + 5 * 4, 4))
    same(sparsead.jvp(f)(x, a(1, 10))[1], 11 * 4 + 5 * 4)


def test_inactive():
    noise = rule(lambda x: np.round(x), inactive=True)
    same(sparsead.grad(lambda x: (x * noise(x)).sum())(a(1.2, 2.7)), a(1, 3))


def routine(x):
    return np.array([float(v) ** 2 for v in x])


def test_a_function_that_was_registered_is_found_by_its_name():
    with pytest.raises(sparsead.TraceError):
        sparsead.grad(lambda x: routine(x).sum())(a(1, 2))
    made = rule(routine, partials=(lambda value, x: np.diag(2 * x),))
    same(sparsead.grad(lambda x: routine(x).sum())(a(1, 3)), a(2, 6))
    assert made.function is routine


def test_loops():
    double = rule(lambda x: 2 * x, partials=(lambda value, x: 2 * np.eye(len(x)),))

    def f(x):
        for _ in sparsead.steps(12, unroll=False):
            x = np.sin(double(x))
        return x.sum()

    def expected(x):
        for _ in range(12):
            x = np.sin(2 * x)
        return x.sum()

    np.testing.assert_allclose(sparsead.grad(f)(a(0.1, 0.7)), sparsead.grad(expected)(a(0.1, 0.7)), rtol=1e-12)


def wrong(forward=None, reverse=None, function=lambda x: x * 2.0, writes=()):
    made = rule(function, writes=writes)
    made.__name__ = "wrong"
    if forward:
        made.forward(forward)
    if reverse:
        made.reverse(reverse)
    return made


@pytest.mark.parametrize("error, made", [
    (ValueError, lambda: wrong(forward=lambda config, x: np.zeros(3))),
    (TypeError, lambda: wrong(forward=lambda config, x: None)),
    (TypeError, lambda: wrong(forward=lambda config, x: np.zeros(2, complex))),
    (TypeError, lambda: wrong(forward=lambda config, x: np.zeros(2, np.float32))),
    (NotImplementedError, lambda: wrong(reverse=lambda config, seed, tape, x: (None,))),
], ids=map(str, range(5)))  # fmt: skip
def test_wrong_forward_rules_are_named(error, made):
    ruled = made()
    with pytest.raises(error, match=r"sparsead\.rule\(<lambda>\)"):
        sparsead.jvp(lambda x: ruled(x))(a(1, 2), a(1, 0))


@pytest.mark.parametrize("error, made", [
    (TypeError, lambda: wrong(reverse=lambda config, seed, tape, x: None)),
    (TypeError, lambda: wrong(reverse=lambda config, seed, tape, x: (None, None))),
    (NotImplementedError, lambda: wrong(forward=lambda config, x: 2 * x.shadow)),
], ids=map(str, range(3)))  # fmt: skip
def test_wrong_reverse_rules_are_named(error, made):
    ruled = made()
    with pytest.raises(error, match=r"sparsead\.rule\(<lambda>\)"):
        sparsead.grad(lambda x: ruled(x).sum())(a(1, 2))


def test_wrong_derivatives_of_numbers_are_named():
    ruled = wrong(reverse=lambda config, seed, tape, x: (a(1, 2),), function=lambda x: 2.0 * x)
    with pytest.raises(ValueError, match="argument 0"):
        sparsead.grad(lambda x: ruled(x))(2.0)


def test_other_mistakes():
    with pytest.raises(ValueError, match="writes='z'"):
        rule(lambda y: None, writes="z")
    with pytest.raises(ValueError, match="partials"):
        rule(lambda y: None, writes="y", partials=(None,))
    with pytest.raises(TypeError, match="function"):
        rule(3)
    with pytest.raises(TypeError, match="text"):
        sparsead.grad(lambda x: rule(lambda x: "text")(x))(a(1))
    with pytest.raises(ValueError, match="read-only"):
        sparsead.grad(lambda x: rule(lambda x: x.__setitem__(0, 1.0))(x))(a(1))
    with pytest.raises(TypeError, match="written"):
        sparsead.grad(lambda x: rule(lambda x: None, writes=0)(x))(1.0)
    with pytest.raises(TypeError, match="partials"):
        sparsead.grad(rule(lambda x: x.sum(), partials=(None, None)))(a(1))
