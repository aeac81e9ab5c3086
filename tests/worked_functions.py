"""Functions of the worked cases of Enzyme's semantics, and how their results are compared."""

from dataclasses import dataclass

import numpy as np


def same(value, expected):
    if isinstance(expected, (tuple, list)):
        assert type(value) is type(expected) and len(value) == len(expected)
        for v, e in zip(value, expected, strict=True):
            same(v, e)
    elif isinstance(expected, dict):
        assert value.keys() == expected.keys()
        same(list(value.values()), list(expected.values()))
    elif hasattr(expected, "__dict__"):
        assert type(value) is type(expected)
        same(vars(value), vars(expected))
    elif expected is None or isinstance(expected, str):
        assert value == expected
    else:
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)
        assert np.shape(value) == np.shape(expected)


def a(*numbers):
    return np.array(numbers, dtype=float)


# ---- the functions


def rosenbrock(x, y):
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def rosenbrock_of_array(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def squares_into_y(y, x):
    y[:] = x**2
    return y.sum()


def square_of_sum_of_squares(y, x):
    y[:] = x**2
    return y.sum() ** 2


def squares_of_both(y, x):
    y[:] = x**2
    x[:] = x**2
    return y.sum() ** 2


def forget_first(x):
    x[0] = 0
    return x[0] * x[1] + x[1]


def axpy(y, factor, x):
    y += factor * x


def triple(x):
    return np.full(3, 1.0) * x


def double_and_return(x):
    x *= 2
    return x


def times(u, v):
    u *= v


def through_a_fortran_view(x):
    y = x.reshape((2, 2), order="F")
    y[0, 0] *= y[0, 1]
    y[1, 1] *= y[1, 0]


def csr_product(y, indptr, indices, data, x):
    for i in range(len(y)):
        y[i] = 0
        for k in range(indptr[i], indptr[i + 1]):
            y[i] += data[k] * x[indices[k]]


def mixed(p, b, c, d):
    return p * np.sqrt(b[0] ** 2 + b[1] ** 2) + c**2 * d**2


def matrix_product(r, x, y):
    for i in range(2):
        for j in range(2):
            r[i, j] = 0
            for k in range(2):
                r[i, j] += x[i, k] * y[k, j]


def take_and_clear(x, v):
    r = x[0] * v
    x[0] = 0
    return r


def out_and_return(out, x):
    out[0] = x * x
    return 3 * x


def copy_then_overwrite(x):
    y = x.copy()
    x[:] = [1.234, 5.678]
    return y[0] * y[1]


def power_through_scratch(x, tmp, start, n):
    tmp[0] = x
    for _ in range(start + 1, n):
        tmp[0] *= x
    return tmp[0]


def by_reference(out, v):
    out[0] = v * v


def add_onto(r, x, b):
    r[:] = x + b


def dot_of_slots(slots):
    return (slots["a"] * slots["b"]).sum()


def reference_store(b, x):
    b[0] = x[0]
    return (b[0] ** 2).sum()


@dataclass
class Tree:
    w: object
    left: object = None
    right: object = None


def tree_sum(t):
    if t is None:
        return 0.0
    return (t.w**2).sum() + 3 * tree_sum(t.left) + 5 * tree_sum(t.right)


@dataclass
class Link:
    x: float
    rest: object = None


def chain_sum(link):
    total = 0.0
    while link is not None:
        total, link = total + link.x, link.rest
    return total


def gauss_seidel(u):
    for i in range(1, len(u) - 1):
        u[i] = (u[i - 1] + u[i + 1]) / 2


def powers(out, v):
    out[0] = v
    out[1] = v * v
    out[2] = v**3


def scale_state(state, y):
    state["x"][0] *= y
    return y


def shift(x):
    x[1:] = x[:-1]


def double(x):
    return 2 * x


def square_beside(x):
    x[1] = x[0] ** 2
    return x


def sum_onto_an_operand():
    r = a(1, 5)
    return r, r, a(3, 4)


def product_pair(x):
    return np.stack([x[0] * x[1], x[1] + x[2]])
