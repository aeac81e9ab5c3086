"""Every door into an array is differentiated rightly or closed by an error that names it; nothing is lost silently.

Oracle: central differences of the function run by plain NumPy, since some doors leave the arithmetic (bytes, lists).
"""

import ctypes
import operator

import numpy as np
import pytest

import cases
import sparsead

oracle, sample = cases.oracle, cases.sample
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # setting shape, strides: NumPy 2.4 and later

REFUSALS = (TypeError, ValueError, NotImplementedError, AttributeError)


def check(f, args, of, word):
    """Right to the last entry, or an error that names the door or its line; the arguments untouched either way."""
    expected = oracle.jacobian(f, args, 0, of, "fd")
    before = oracle.fingerprint(args)
    try:
        value, forward, reverse = cases.tangents_and_adjoints(f, args, 0, of)
    except REFUSALS as error:
        assert "test_doors.py:" in str(error)
    else:
        oracle.same_bits(value, oracle.values(f, args, of))
        oracle.close(forward, expected, 1e-7)
        oracle.close(reverse, expected, 1e-7)
    assert oracle.fingerprint(args) == before


# ---- methods and attributes: all that dir(np.ndarray) lists, now and in later NumPy

HALF = np.array([1, 0])  # indices for the rows of a 2 by 3 array
METADATA = "device dtype itemsize nbytes ndim shape size strides base".split()


def uses(name):
    """An attribute that says something about an array and has no derivative."""

    def f(x):
        found = getattr(x, name)
        return x * (2.0 if found is None else len(str(found)))

    return f


RECIPES = {name: uses(name) for name in METADATA} | {
    "T": lambda x: x.T * x[0, 1],
    "all": lambda x: x * x.all(),
    "any": lambda x: x * x.any(axis=0),
    "argmax": lambda x: x[:, x.argmax(axis=1)] * x[:, :2],
    "argmin": lambda x: x.ravel()[x.argmin()] * x,
    "argpartition": lambda x: x.ravel()[x.argpartition(2, axis=None)],
    "argsort": lambda x: x.ravel()[x.argsort(axis=None)] * x.ravel(),
    "astype": lambda x: x.astype(np.float64) * x,
    "byteswap": lambda x: x.byteswap().byteswap() * x,
    "choose": lambda x: HALF.choose(x[:, :2]) * x[:, 0],
    "clip": lambda x: x.clip(0.8, 1.5) * x,
    "compress": lambda x: x.compress([True, False, True], axis=1),
    "conj": lambda x: x.conj() * x,
    "conjugate": lambda x: x.conjugate() * x,
    "copy": lambda x: x.copy() * x,
    "ctypes": lambda x: x * x.ctypes.data_as(ctypes.POINTER(ctypes.c_double))[0],
    "cumprod": lambda x: x.cumprod(axis=1),
    "cumsum": lambda x: x.cumsum() * x.ravel(),
    "data": lambda x: x * np.frombuffer(x.data).sum(),
    "diagonal": lambda x: x.diagonal() * x[0, 0],
    "dot": lambda x: x.dot(x.T),
    "dump": lambda x: x.dump("/dev/null") or x,
    "dumps": lambda x: x * (len(x.dumps()) > 0),
    "fill": lambda x: x.fill(x[0, 1]),
    "flat": lambda x: operator.setitem(x.flat, slice(1, 3), x[1, :2] * x[0, 0]),
    "flags": lambda x: x * (1 + x.flags.writeable + 2 * x.flags.c_contiguous + 4 * x.flags["F_CONTIGUOUS"]),
    "flatten": lambda x: x.flatten() * x[0, 0],
    "getfield": lambda x: x.getfield(np.float64) * x,
    "imag": lambda x: x.imag + x * x,
    "item": lambda x: x * x.item(2),
    "mT": lambda x: x.mT * x[0, 0],
    "max": lambda x: x * x.max(axis=0),
    "mean": lambda x: x * x.mean(),
    "min": lambda x: x * x.min(),
    "nonzero": lambda x: x[(x > 1).nonzero()].sum() * x,
    "partition": lambda x: x.ravel().partition(2),
    "prod": lambda x: x * x.prod(axis=1, keepdims=True),
    "put": lambda x: x.put([0, 4, 0], x[1] * x[0, 0]),
    "ravel": lambda x: operator.imul(x.ravel(), 2) * x[0, 0],
    "real": lambda x: operator.imul(x.real, x[0, 0]) * x,
    "repeat": lambda x: x.repeat([1, 2], axis=0) * x[0],
    "reshape": lambda x: operator.imul(x.reshape(3, 2), x[1, 1]) * x[0, 0],
    "resize": lambda x: x.resize((3, 2), refcheck=False),
    "round": lambda x: x.round() + x,
    "searchsorted": lambda x: x[0][:: [1, -1][x[0, :1].searchsorted(1.0)]] * x,
    "setfield": lambda x: x.setfield(x[0, 0] * 2, np.float64),
    "setflags": lambda x: x.setflags(write=True) or x * x,
    "sort": lambda x: x.sort(axis=1),
    "squeeze": lambda x: x[:, None].squeeze() * x,
    "std": lambda x: x.std(axis=1) * x[:, 0],
    "sum": lambda x: x.sum(axis=0) * x,
    "swapaxes": lambda x: x.swapaxes(0, 1) * x[0, 0],
    "take": lambda x: x.take([0, 0, 5]) * x[0],
    "to_device": lambda x: x.to_device("cpu") * x,
    "tobytes": lambda x: x * np.frombuffer(x.tobytes()).sum(),
    "tofile": lambda x: x.tofile("/dev/null") or x,
    "tolist": lambda x: x * x.tolist()[0][1],
    "trace": lambda x: x * x.trace(),
    "transpose": lambda x: x.transpose(1, 0) * x[0, 0],
    "var": lambda x: x.var() * x,
    "view": lambda x: operator.imul(x.view(), x[0, 0]),
    "__array_interface__": lambda x: x * ctypes.c_double.from_address(x.__array_interface__["data"][0]).value,
    "__array_struct__": lambda x: x * (x.__array_struct__ is not None),
}


def test_no_method_of_arrays_is_forgotten():
    public = {name for name in dir(np.ndarray) if not name.startswith("_")}
    assert public <= RECIPES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_methods(name):
    def f(x):
        x *= 1.5
        return RECIPES[name](x)

    args = (sample((2, 3)),)
    check(f, args, 0 if oracle.values(f, args) is None else "return", name)


IN_PLACE = {
    "iadd": lambda x: x[0] * 2,
    "isub": lambda x: x[:, :1] * x[0, 0],
    "imul": lambda x: x[1, 2] * x[::-1],
    "itruediv": lambda x: x[::-1] + 1,
    "ipow": lambda x: x[0] * 0.5,
    "imod": lambda x: x[::-1, ::-1] * 0.3,
    "ifloordiv": lambda x: x[0] * 0.3,
    "imatmul": lambda x: np.concatenate([x, x[:1] * x[0, 0]]),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_operators(name):
    def f(x):
        getattr(operator, name)(x[:], IN_PLACE[name](x))

    check(f, (sample((2, 3)),), 0, name[1:].removeprefix("true"))


@pytest.mark.parametrize("name", ["iand", "ior", "ixor", "ilshift", "irshift"])
def test_operators_that_floats_do_not_have(name):
    with pytest.raises(TypeError):
        sparsead.jacobian(lambda x: getattr(operator, name)(x, x))(sample(3))


# ---- functions: the word that an error must contain, and a function of (x, v) that writes into x

V = np.array([3.0, 4.0, 5.0])


def flat_all(x, v):
    x.flat = v * x[0, 0]


def flat_number(x, v):
    x.flat[4] = x[0, 1] * v[0]


def flat_indices(x, v):
    x.flat[[0, 3, 0]] = v * x[1]


def flat_read(x, v):
    x[0] = x.flat[3:] * x.flat[[1, 1, 2]] + sum(x.flat)


def shape_set(x, v):
    x.shape = (3, 2)
    x[2] *= x[0]


def strides_set(x, v):
    x.strides = (8, 8)
    x[0] *= x[1, 2]


def real_set(x, v):
    x.real = x * v


def dtype_set(x, v):
    x.dtype = np.dtype(np.float64)
    x *= x


def iterated_readwrite(x, v):
    with np.nditer(x, op_flags=[["readwrite"]]) as elements:
        for e in elements:
            e[...] = e * e


def through_memoryview(x, v):
    memoryview(x)[0, 1] = x[0, 0]
    x *= x


def through_vectorize(x, v):
    x[0] = np.vectorize(lambda a: a * a if a > 1 else 2 * a)(x[1])


FUNCTIONS = [
    ("flat", flat_all),
    ("flat", flat_number),
    ("flat", flat_indices),
    ("flat", flat_read),
    ("shape", shape_set),
    ("strides", strides_set),
    ("real", real_set),
    ("dtype", dtype_set),
    ("nditer", iterated_readwrite),
    ("memoryview", through_memoryview),
    ("vectorize", through_vectorize),
    ("apply_along_axis", lambda x, v: operator.setitem(x, 0, np.apply_along_axis(lambda c: c[0] * c[1], 0, x))),
    ("ndenumerate", lambda x, v: [operator.setitem(x, k, a * a) for k, a in np.ndenumerate(x)] and None),
    ("put", lambda x, v: np.put(x, [1, 5, 1], v * x[0, 0])),
    ("put", lambda x, v: np.put(x, [1, 7], v[:2] * x[0, 0], mode="wrap")),
    ("put_along_axis", lambda x, v: np.put_along_axis(x, np.array([[0, 2], [1, 1]]), x[:, :2] * x[:, 1:], axis=1)),
    ("copyto", lambda x, v: np.copyto(x, x[0] * v)),
    ("copyto", lambda x, v: np.copyto(x, v * x[::-1], where=x > 1)),
    ("copyto", lambda x, v: np.copyto(x[:, 1:], x[:, :-1])),
    ("place", lambda x, v: np.place(x, x > 1, x[0, :2] * 3)),
    ("putmask", lambda x, v: np.putmask(x, x > 1, x[::-1] * x[0])),
    ("fill_diagonal", lambda x, v: np.fill_diagonal(x, x[0, 1] * v[0])),
    ("fill_diagonal", lambda x, v: np.fill_diagonal(x, x[1, 1:])),
    ("modf", lambda x, v: np.modf(x * 2.3, out=(x, np.zeros((2, 3)))) and None),
    ("divmod", lambda x, v: np.divmod(x * 3, V, out=(np.zeros((2, 3)), x)) and None),
    ("frexp", lambda x, v: np.frexp(x * 3, out=(x, None)) and None),
    ("clip", lambda x, v: np.clip(x, x[0, 0] * 0.9, 1.3, out=x) is None),
    ("clip", lambda x, v: x.clip(0.9, 1.4, out=x[::-1]) is None),
    ("take", lambda x, v: np.take(x, [5, 0, 0], out=x[0]) is None),
    ("compress", lambda x, v: np.compress([True, False], x, axis=0, out=x[1:]) is None),
    ("choose", lambda x, v: np.choose([0, 1, 0], x, out=x[1]) is None),
    ("cumsum", lambda x, v: np.cumsum(x, axis=1, out=x) is None),
    ("mean", lambda x, v: np.mean(x, axis=0, out=x[1]) is None),
    ("round", lambda x, v: np.round(x, out=x[::-1]) is None),
    ("einsum", lambda x, v: np.einsum("i,j->ij", v[:2] * x[0, 0], v * x[1, 1], out=x) is None),
    ("dot", lambda x, v: np.dot(x, v, out=np.zeros(2)).__mul__(x[:, 0]).sum() * x),
    ("concatenate", lambda x, v: np.concatenate([x[1], x[0] * x[0]], out=x.reshape(6)) is None),
    ("stack", lambda x, v: np.stack([x[1] * v, x[0].copy()], out=x) is None),
    ("nan_to_num", lambda x, v: np.nan_to_num(x, copy=False) is None),
    ("accumulate", lambda x, v: np.multiply.accumulate(x, axis=0, out=x) is None),
    ("reduceat", lambda x, v: np.add.reduceat(x[0], [0, 1, 2, 0][:3], out=x[1]) is None),
    ("outer", lambda x, v: np.multiply.outer(x[:, 0], v, out=x) is None),
    ("at", lambda x, v: np.add.at(x, ([0, 1, 0], [2, 2, 2]), v * x[0])),
    ("setitem", lambda x, v: operator.setitem(x, (..., 1), x[:, 2] * v[0])),
    ("piecewise", lambda x, v: operator.setitem(x, 0, np.piecewise(x[1], x[1] > 1, [lambda t: t * t, 3.0]))),
    ("select", lambda x, v: operator.setitem(x, 0, np.select([x[1] > 1.5, x[1] > 1], [x[0] * x[1], 2 * x[1]], 7.0))),
]


@pytest.mark.parametrize(("word", "door"), FUNCTIONS, ids=[f"{w}-{k}" for k, (w, _) in enumerate(FUNCTIONS)])
def test_functions(word, door):
    def f(x):
        x *= 1.25
        door(x, V)

    check(f, (sample((2, 3)),), 0, word)


def test_doors_write_through_views_as_well():
    def f(x):
        np.copyto(x[::-1], x * x)
        x[1:].fill(x[0])
        np.put(x[:2], [1], x[0] * 3)

    args = (sample(4),)
    oracle.close(sparsead.jacobian(f, of="x", format="dense")(*args), oracle.jacobian(f, args, 0, 0))

