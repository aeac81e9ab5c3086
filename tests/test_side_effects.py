"""What a function does besides returning: counters, logs and caches, in its own objects and in those it reaches."""

import functools
import sys
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest

import sparsead

X = np.array([1.0, 2.0])


class Model:
    def __init__(self):
        self.calls, self.t, self.matrix, self.last = 0, 0.0, None, None
        self.scale = np.array([2.0, 3.0])

    def counting(self, x):
        self.calls += 1
        return np.sum(self.scale * x**2)

    def stepping(self, x):
        self.t += 0.5
        return np.sum(x * self.t)

    def caching(self, x):
        if self.matrix is None:
            self.matrix = np.diag([2.0, 3.0])
        return np.sum(self.matrix @ x)

    @functools.lru_cache  # noqa: B019
    def built(self, n):
        return np.eye(n) * self.scale

    def with_lru_cache(self, x):
        return np.sum(self.built(len(x)) @ x)

    @functools.cached_property
    def doubled(self):
        return 2 * self.scale

    def with_cached_property(self, x):
        return np.sum(self.doubled * x)


def test_a_counter_of_calls():
    model = Model()
    slope = sparsead.grad(model.counting)
    for k in (1, 2, 3):
        np.testing.assert_array_equal(slope(k * X), 2 * model.scale * k * X)
    assert model.calls == 3  # what changes a number that it reads is traced at each call


def test_a_clock_of_its_own():
    model = Model()
    slope = sparsead.grad(model.stepping)
    assert [slope(X)[0] for _ in range(3)] == [0.5, 1.0, 1.5]
    assert model.t == 1.5


@pytest.mark.parametrize("name", ["caching", "with_lru_cache", "with_cached_property"])
def test_a_cache_that_fills_at_the_first_call(name):
    model = Model()
    function = getattr(model, name)
    slope = sparsead.grad(function)
    expected = {"caching": [2, 3], "with_lru_cache": [2, 3], "with_cached_property": [4, 6]}[name]
    for _ in range(3):
        np.testing.assert_array_equal(slope(X), expected)
    assert function(X) == expected @ X  # plain numbers all the way, whatever the trace left behind
    np.testing.assert_array_equal(slope(X), expected)


@functools.cache
def ramp(n):
    return np.linspace(0, 1, n)


def test_caches_of_functions_hold_plain_arrays():
    ramp.cache_clear()
    np.testing.assert_array_equal(sparsead.grad(lambda x: np.sum(ramp(len(x)) * x))(np.ones(3)), [0, 0.5, 1])
    assert type(ramp(3)) is np.ndarray


def test_logs_hold_plain_numbers():
    log, book, pair = [], {"first": None}, [()]

    def f(x):
        log.append(x * 2)
        book["first"], book["deep"] = x[0], {"sum": [x.sum()]}
        pair[0] = x[0], x * 3
        return np.sum(x**2)

    np.testing.assert_array_equal(sparsead.grad(f)(X), 2 * X)
    (entry,) = log
    assert type(entry) is np.ndarray
    np.testing.assert_array_equal(entry, 2 * X)
    assert book == {"first": 1.0, "deep": {"sum": [3.0]}}
    assert isinstance(book["first"], float)
    assert pair[0][0] == 1.0
    assert type(pair[0][1]) is np.ndarray


def test_logs_hold_plain_numbers_when_the_function_raises():
    log = []

    def f(x):
        log.append(x * 2)
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        sparsead.grad(f)(X)
    assert type(log[0]) is np.ndarray


def test_arrays_in_logs_are_copies():
    log = []

    def f(x):
        y = x.copy()
        log.append(y)
        y *= 2
        return y.sum()

    sparsead.grad(f)(X)
    np.testing.assert_array_equal(log[0], 2 * X)
    assert log[0].base is None


@pytest.mark.parametrize("how", ["import {0}", "import importlib; {0} = importlib.import_module('{0}')"])
def test_modules_that_are_loaded_on_the_way_hold_plain_arrays(how, tmp_path, monkeypatch):
    name = "loaded_by_a_statement" if how.startswith("import {") else "loaded_by_a_call"
    (tmp_path / f"{name}.py").write_text("import numpy as np\nTABLE = np.linspace(0, 1, 2)\nPHASES = np.exp(1j * np.zeros(2))\n")
    monkeypatch.syspath_prepend(tmp_path)
    names = {"np": np}
    exec(f"def f(x):\n    {how.format(name)}\n    return np.sum(x * {name}.TABLE)", names)
    for _ in range(2):
        np.testing.assert_array_equal(sparsead.grad(names["f"])(X), [0, 1])
    assert type(sys.modules.pop(name).TABLE) is np.ndarray


@dataclass(frozen=True, slots=True)
class Frozen:
    a: float
    b: np.ndarray


class Slotted:
    __slots__ = ("a", "unset")

    def __init__(self, a):
        self.a = a

    def square(self, x):
        return np.sum(self.a * x**2)


def test_objects_with_slots():
    gradient = sparsead.grad(lambda p: p.a**2 + np.sum(p.b**2))(Frozen(3.0, X))
    assert gradient.a == 6.0
    np.testing.assert_array_equal(gradient.b, 2 * X)
    thing = Slotted(np.array([1.0, 10.0]))
    slope = sparsead.grad(thing.square)
    np.testing.assert_array_equal(slope(X), 2 * thing.a * X)
    thing.a[0] = 5
    np.testing.assert_array_equal(slope(X), 2 * thing.a * X)


def test_dicts_keep_their_kind():
    given = defaultdict(float, a=2.0)
    gradient = sparsead.grad(lambda p: p["a"] ** 2 + p["missing"])(given)
    assert gradient["a"] == 4.0
    assert type(gradient) is defaultdict
    assert dict(given) == {"a": 2.0}
