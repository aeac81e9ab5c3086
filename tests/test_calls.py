"""What a prepared call does before and after the sweep: its plans against the slow ways that say what they mean."""

import functools
import inspect
import itertools
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sparsead
from sparsead.tape._memory import address
from sparsead.tracing._binding import Binder
from sparsead.tracing.memory import PLAIN, groups, same_layout
from sparsead.tracing.record import bind, record
from sparsead.tracing.substitution import resolve

X = np.array([0.5, 1.5, 2.5])

# ---- binding ---------------------------------------------------------------------------------------------------------


class Model:
    def method(self, x, y=1.0, *, z=2.0):
        return x

    def of_any(*args, **kwargs):
        return args

    @classmethod
    def of_class(cls, x, y=1.0):
        return x

    def __call__(self, x, y=1.0):
        return x


def plain(x, y):
    return x


def with_defaults(x, y=1.0, z=None):
    return x


def unnamed(x, y=1.0, /, z=2.0):
    return x


def starred(x, *args, y=1.0, z):
    return x


def with_everything(x, y=1.0, *args, z=2.0, **kwargs):
    return x


def unnamed_and_stars(x, y=1.0, /, *args, **kwargs):
    return x


def of_nothing():
    return 1.0


@functools.wraps(plain)
def wrapped(*args, **kwargs):
    return plain(*args, **kwargs)


COMMON = [plain, with_defaults, unnamed, starred, with_everything, unnamed_and_stars, of_nothing, Model().method, Model.of_class]
UNUSUAL = [wrapped, Model().of_any, Model(), Model, functools.partial(plain, 1.0), np.sin, len]


@given(
    st.sampled_from(COMMON + UNUSUAL),
    st.lists(st.integers(), max_size=4).map(tuple),
    st.dictionaries(st.sampled_from(["x", "y", "z", "self", "args", "kwargs", "other"]), st.integers(), max_size=3),
)
def test_arguments_are_bound_as_by_the_signature(function, args, kwargs):
    found = Binder(function).bind(args, kwargs)
    try:
        bound = bind(function, args, kwargs)
    except TypeError:
        assert found is None
        return
    assert found is None or (found == bound.arguments and list(found) == list(bound.arguments))


@pytest.mark.parametrize("function", COMMON, ids=lambda f: f.__name__)
def test_calls_in_order_are_bound_without_the_signature(function):
    parameters = inspect.signature(function).parameters.values()
    args = tuple(k for k, p in enumerate(parameters) if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    kwargs = {p.name: 7 for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert Binder(function).bind(args, kwargs) == bind(function, args, kwargs).arguments


def test_defaults_and_code_are_those_of_the_moment():
    def f(x, y=1.0, *, z=2.0):
        return x * y * z

    binder, slope = Binder(f), sparsead.grad(f)
    assert binder.bind((3.0,), {}) == {"x": 3.0, "y": 1.0, "z": 2.0} and slope(3.0) == 2.0
    f.__defaults__, f.__kwdefaults__ = (5.0,), {"z": 7.0}
    assert binder.bind((3.0,), {}) == {"x": 3.0, "y": 5.0, "z": 7.0} and slope(3.0) == 35.0
    f.__signature__ = inspect.signature(lambda x, y=11.0, z=1.0: None)
    assert binder.bind((3.0,), {}) is None
    del f.__signature__
    f.__code__ = (lambda x, y: x).__code__
    assert binder.bind((3.0, 4.0), {}) is None


def test_errors_of_calls_name_the_function():
    def loss(x, y=1.0, *, z=2.0):
        return x * y * z

    slope = sparsead.grad(loss)
    slope(3.0)
    for args, kwargs in (((), {}), ((1.0, 2.0, 3.0), {}), ((1.0,), {"x": 1.0}), ((1.0,), {"w": 1.0})):
        with pytest.raises(TypeError, match=r"^loss\(\): "):
            slope(*args, **kwargs)
    with pytest.raises(ValueError):
        sparsead.jvp(loss)()


def test_all_ways_to_pass_an_argument():
    def f(x, y=2.0, *args, z=3.0, **kwargs):
        return x * y * z * sum(args, 1.0) * kwargs.get("w", 1.0)

    slope = sparsead.grad(f)
    for _ in range(2):
        assert slope(1.0) == slope(x=1.0) == slope(1.0, z=3.0) == 6.0
        assert slope(1.0, 5.0) == slope(y=5.0, x=1.0) == 15.0
        assert slope(1.0, 2.0, 1.0, 1.0) == 18.0
        assert slope(1.0, w=4.0) == slope(w=4.0, x=1.0) == 24.0


# ---- comparing -------------------------------------------------------------------------------------------------------


class Subclass(np.ndarray):
    pass


MEMORY = np.arange(40.0)
READONLY = np.arange(4.0)
READONLY.flags.writeable = False


def arrays(of):
    """Arrays on one memory, in many layouts, and the like that is not."""
    m = of["memory"]
    return [
        m[:4], m[1:5], m[2:6], m[4:8], m[8:12], m[:8:2], m[1:9:2], m[3::-1], m[:6].reshape(2, 3), m[:6].reshape(3, 2).T, m[2:2],
        m[30:30], np.broadcast_to(m[:1], (4,)), of["mapped"], of["mapped"][:4], READONLY, m[:4].copy(), m[:4].astype(np.float32),
        m[:8].view(np.float32)[:4], np.ones(()), np.array(2.0), m[:4].view(Subclass),
        np.arange(4), np.arange(4)[::-1], np.arange(8)[::2], np.array([0, 1, 2, 4]), np.arange(4, dtype=np.int32),
        np.arange(4) > 1, np.arange(4).view(Subclass),
    ]  # fmt: skip


NUMBERS = [0.0, -0.0, 1.0, 2.5, float("nan"), float("-nan"), float("inf"), np.float64(1.0), np.float32(1.0), 1, 0, -3, True,
           False, np.int64(1), np.True_, "a", "b", b"a", None, 1j, complex("nan"), len, np, np.sin, int]  # fmt: skip


def leaves(of):
    return st.one_of(st.sampled_from(arrays(of)), st.sampled_from(NUMBERS))


def structures(of):
    short = lambda children: st.lists(children, min_size=1, max_size=3)
    return st.recursive(
        leaves(of),
        lambda children: st.one_of(
            short(children), short(children).map(tuple), st.dictionaries(st.sampled_from("ab"), children, min_size=1),
            children.map(lambda x: SimpleNamespace(a=x)),
        ),
        max_leaves=4,
    )  # fmt: skip


def mutated(obj, draw, of):
    """`obj`, mostly, with other leaves here and there."""
    change = draw(st.integers(0, 15))
    if change == 0:
        return draw(structures(of))
    if change == 1 and isinstance(obj, np.ndarray):
        return draw(st.sampled_from(arrays(of)))
    if change == 2 and isinstance(obj, np.ndarray):
        return obj.copy()
    if change == 3 and type(obj) is float:
        return draw(st.sampled_from([x for x in NUMBERS if isinstance(x, float)]))
    if isinstance(obj, (list, tuple)):
        return type(obj)(mutated(x, draw, of) for x in obj)
    if isinstance(obj, dict):
        return {k: mutated(x, draw, of) for k, x in obj.items()}
    if isinstance(obj, SimpleNamespace):
        return SimpleNamespace(a=mutated(obj.a, draw, of))
    return obj


def fits(recording, arguments):
    """The law of `sparsead.tracing._matching`, word by word."""
    try:
        return all(as_it_was(leaf, arguments) for leaf in recording.checks) and alike(recording, arguments)
    except (LookupError, AttributeError, ValueError, TypeError):
        return False


def as_it_was(leaf, arguments):
    if leaf.kind == "length":
        return len(resolve(leaf.path[:-1], arguments)) == leaf.value
    now, value = resolve(leaf.path, arguments), leaf.value
    if leaf.kind == "identity":
        return now is value
    if leaf.kind == "contents":
        return now.shape == value.shape and now.dtype == value.dtype and np.array_equal(now, value)
    return type(now) is type(value) and (now == value or (now != now and value != value))


def alike(recording, arguments):
    found, were = ([of(leaf) for leaf in recording.arrays] for of in (lambda leaf: resolve(leaf.path, arguments), of_leaf))
    numbers = [(resolve(leaf.path, arguments), leaf.value) for leaf in recording.floats]
    return (
        all(type(a) in PLAIN and same_layout(a, b) for a, b in zip(found, were, strict=True))
        and all(type(a) is type(b) for a, b in numbers)
        and together(recording, found) == together(recording, were)
    )


def of_leaf(leaf):
    return leaf.value


def together(recording, found):
    """Groups of arrays that overlap, arguments and captured arrays by themselves, with the distances in them."""
    captured = [leaf.path[0][0] != "argument" for leaf in recording.arrays]
    parts = [[k for k, c in enumerate(captured) if c is which] for which in (False, True)]
    made = [[[part[k] for k in g] for g in groups([found[k] for k in part])] for part in parts if part]
    return [[(k, address(found[k]) - address(found[g[0]])) for k in g] for part in made for g in part]


@given(data=st.data())
def test_calls_are_compared_as_the_law_says(data, tmp_path_factory):
    mapped = np.memmap(tmp_path_factory.getbasetemp() / "mapped", float, "w+", shape=6)
    of = {"memory": MEMORY, "mapped": mapped}
    captured = SimpleNamespace(p=data.draw(structures(of)), q=data.draw(leaves(of)))
    f = lambda a, b: (captured.p, captured.q, a, b)
    arguments = {"a": data.draw(structures(of)), "b": data.draw(leaves(of))}
    bound = bind(f, (), arguments)
    try:
        recording = record(f, bound, lambda path: False, lambda returned, arguments: SimpleNamespace(leaves=[]))
    except (TypeError, NotImplementedError):  # of what cannot be recorded nothing is compared
        return
    assert recording.match(dict(arguments)) is not None
    for _ in range(3):
        captured.p, captured.q = mutated(captured.p, data.draw, of), mutated(captured.q, data.draw, of)
        now = {name: mutated(x, data.draw, of) for name, x in arguments.items()}
        found = recording.match(now)
        assert (found is not None) == fits(recording, now)
        if found is not None:
            same_memory(recording, now, found)


def same_memory(recording, arguments, found):
    """Whether the inputs are windows on the arrays of the call, with the elements that the blocks themselves give."""
    current = [resolve(leaf.path, arguments) for leaf in recording.arrays]
    expected = [b.memory(current) for b in recording.blocks]
    expected += [np.asarray(resolve(leaf.path, arguments)) for leaf in recording.floats]
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.strides, a.dtype) == (b.shape, b.strides, b.dtype) and a.tobytes() == b.tobytes()
    for a, b in zip(found, recording.blocks, strict=False):
        assert b.spread or address(a) == address(b.memory(current))


SHIFTS = range(3)


@pytest.mark.parametrize("first", list(itertools.product(SHIFTS, SHIFTS)), ids=str)
def test_arrays_overlap_at_the_distances_of_the_call(first):
    def f(x, y):
        x *= 2
        return (x * y).sum()

    m = np.arange(1.0, 7.0)
    slope = sparsead.grad(f)
    slope(*(m[k : k + 3] for k in first))
    for i, j in itertools.product(SHIFTS, SHIFTS):
        assert np.array_equal(slope(m[i : i + 3], m[j : j + 3]), by_hand(m, i, j))


def by_hand(m, i, j):
    """Gradient of ``f`` by its first argument, with x = m[i:i + 3] and y = m[j:j + 3]."""
    doubled = np.array([2.0 if i <= k < i + 3 else 1.0 for k in range(6)])
    slope = np.zeros(6)
    for k in range(3):
        slope[i + k] += doubled[i + k] * doubled[j + k] * m[j + k]
        slope[j + k] += doubled[i + k] * doubled[j + k] * m[i + k]
    return slope[i : i + 3]


@pytest.mark.parametrize("kind", ["whole", "part"])
def test_captured_arrays_may_move_but_not_meet_otherwise(kind):
    m = np.arange(1.0, 9.0)
    of = SimpleNamespace(a=m[:3], b=m[2:5] if kind == "part" else m[4:7])
    slope = sparsead.grad(lambda x: (x * of.a * of.b).sum())
    for a, b in itertools.product(range(5), repeat=2):
        of.a, of.b = m[a : a + 3], m[b : b + 3]
        assert np.array_equal(slope(X), of.a * of.b)


# ---- the sweep, and what is made of its results ----------------------------------------------------------------------


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def results(found):
    """Arrays and numbers of a result, as arrays."""
    if isinstance(found, (tuple, list)):
        return [array for part in found for array in results(part)]
    return [found.toarray() if hasattr(found, "toarray") else np.asarray(found)]


FACES = {
    "grad": (sparsead.grad, lambda d, x: d(x)),
    "value_and_grad": (sparsead.value_and_grad, lambda d, x: d(x)),
    "jvp": (sparsead.jvp, lambda d, x: d(x, x)),
    "vjp": (sparsead.vjp, lambda d, x: d(x)[1](1.0)),
    "linearize": (sparsead.linearize, lambda d, x: d(x)[1](x)),
    "hvp": (sparsead.hvp, lambda d, x: d(x, x)),
    "jacobian": (sparsead.jacobian, lambda d, x: d(x)),
    "hessian": (sparsead.hessian, lambda d, x: d(x)),
}


@pytest.mark.parametrize("face", FACES)
def test_results_of_later_calls_are_those_of_first_calls(face):
    """And nobody writes into them, or into arguments, afterwards."""
    m = np.linspace(0.5, 1.5, 24)
    like = [m[:6], m[6:12], m[::4], m[23::-4], m[:6].astype(np.float32), np.broadcast_to(m[:1], (6,)), m[:1]]
    face, call = FACES[face]
    derivative = face(lambda x: rosenbrock(x))
    kept = []
    for x in [*like, *like, *reversed(like)]:
        first = results(call(face(rosenbrock), np.array(x)))
        found = results(call(derivative, x))
        kept.append((found, first))
    for found, first in kept:
        for a, b in zip(found, first, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=2e-6 if a.dtype == np.float32 else 1e-14)
    assert np.array_equal(m, np.linspace(0.5, 1.5, 24))


def test_gradients_are_in_c_order_and_memory_of_their_own():
    m = np.linspace(0.5, 1.5, 24)
    shapes = [m[:6].reshape(2, 3), m[:6].reshape(3, 2).T, m.reshape(4, 6)[:2, ::2], m[:6].reshape(1, 6).T, m[:0].reshape(0, 3)]
    f = lambda x, y: (x * y).sum() + (x * x).sum()
    slope, pulled, product = sparsead.grad(f, (0, 1)), sparsead.vjp(f, (0, 1)), sparsead.hvp(f)
    for x in [*shapes, *shapes]:
        found = slope(x, x), pulled(x, x)[1](1.0), (product(x, x, x), product(x, x.copy(), x))
        for g in itertools.chain(*found):
            assert type(g) is np.ndarray and g.flags.c_contiguous and g.flags.writeable and not np.shares_memory(g, m)
        assert all(np.array_equal(g, 4 * x) for g in [*found[0], *found[1], found[2][0]]) and np.array_equal(found[2][1], 2 * x)
        assert not any(np.shares_memory(*pair) for pair in found)


def test_structures_of_arguments_are_those_of_the_call():
    f = lambda p: (p["a"][0] * p["b"]).sum() * p["c"]
    slope = sparsead.grad(f)
    for kind in (tuple, list, tuple):
        found = slope({"a": kind([X, 2.0]), "b": X + 1, "c": 3.0})
        assert type(found["a"]) is kind and found["a"][1] == 0.0
        assert np.array_equal(found["a"][0], 3 * X + 3) and np.array_equal(found["b"], 3 * X)
        assert found["c"] == (X * (X + 1)).sum()


def test_tangents_are_converted_where_they_have_to_be():
    product = sparsead.jvp(lambda x: x * x)
    for t in (X, X.astype(np.float32), X.astype(int), list(X), tuple(X), X[::-1][::-1], np.broadcast_to(1.0, 3)):
        assert np.array_equal(product(X, t)[1], 2 * X * np.asarray(t, float))
    with pytest.raises(ValueError, match="the tangent for 'x' has shape"):
        product(X, X[:2])
    with pytest.raises(TypeError, match="the tangent for 'x' is complex"):
        product(X, X * 1j)
    assert sparsead.jvp(lambda x: x * x)(2.0, 3)[1] == 12.0


def test_a_derivative_called_by_another_one_or_by_an_effect():
    inner = sparsead.grad(lambda x: (x**3).sum())
    assert np.array_equal(inner(X), 3 * X * X)
    outer = sparsead.grad(lambda x: (inner(x) * x).sum())
    seen = []

    def f(x):
        for _ in sparsead.steps(9, on_step=lambda k, x: seen.append((k, inner(x)[0])), watch=lambda: x):  # noqa: B023
            x = x * 0.5
        return x.sum()

    shown = sparsead.grad(f)
    for _ in range(3):
        assert np.allclose(outer(X), 9 * X * X, rtol=1e-15)
        seen.clear()
        shown(X)
        assert seen == [(k, 3 * (0.5 * 0.5 ** (k + 1)) ** 2) for k in range(9)]


# ---- memory ----------------------------------------------------------------------------------------------------------


def wide(x):
    """Its workspaces are as large as many of its arguments."""
    y = np.sin(x)
    for _ in range(3):
        y[1:] = np.cumsum(y)[:-1] * x[1:]
    return y.sum()


def held():
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.parametrize("face", FACES)
def test_release_gives_workspaces_back(face):
    n = 300 if face in ("jacobian", "hessian") else 100_000
    x, (face, call) = np.linspace(0, 1e-3, n), FACES[face]
    derivative = face(wide)
    expected = results(call(derivative, x))
    derivative.release()
    tracemalloc.start()
    try:
        before = held()
        for _ in range(3):
            found = results(call(derivative, x))
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
            del found
            assert held() - before > 8 * n
            derivative.release()
            assert held() - before < 8 * n
    finally:
        tracemalloc.stop()
