"""Views, copies, memory layouts, shared memory and captured arrays: against plain NumPy, entry by entry."""

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

import cases

sample, table = cases.sample, cases.Table()
case = table.case


# ---- who is a copy and who is a view: results of ufuncs keep the order of their operands


@case((2, 3))
def reshape_of_a_transposed_result_is_a_copy(a):
    b = a.T * 2
    c = b.reshape(-1)
    c[0] = a[0, 1] * 5
    return np.concatenate([b.ravel(), c])


@case((2, 3))
def reshape_of_a_transposed_result_is_a_view(a):
    b = a.T * 2
    c = b.T.reshape(-1)
    c[1] = a[0, 1] * 5
    return b * b


@case((2, 3))
def reshape_in_fortran_order(a):
    b = a.T * 2
    b.reshape(-1, order="F")[2:4] *= a[1, 1]
    b.reshape((2, 3), order="F")[0] = a[0]
    b.reshape(2, 3)[0] = 9.0
    return b * b


@case((2, 3, 2))
def reshape_of_a_permuted_result(a):
    b = np.sin(a.transpose(2, 0, 1))
    b.reshape(2, 6)[0] *= 3
    np.moveaxis(b, 0, -1).reshape(-1)[4] = a[0, 0, 0]
    return b


@case((2, 3), (3, 2))
def sum_of_mixed_orders(a, b):
    s = a + b.T
    s.ravel(order="K")[1] = 5 * a[0, 0]
    return s * s


@case((3, 2))
def ravel_orders(b):
    t = b.T * 2
    t.ravel()[1] = 3 * b[0, 0]
    t.ravel("K")[2] *= b[2, 0]
    t.ravel("F")[3] += b[1, 1]
    t.ravel("A")[4] = b[1, 0]
    return t


@case((2, 3))
def ravel_and_flatten(a):
    a.ravel()[1] = a[0, 0] * a[1, 2]
    a.flatten()[2] = 9.0
    a.T.ravel()[0] = 9.0
    np.ravel(a[:, ::-1])[0] = 9.0
    return a * a


@case((2, 3))
def axes_of_length_one(a):
    a[None].squeeze()[1, 1] *= 2
    np.expand_dims(a, 0)[0, 0, 2] += a[1, 0]
    np.atleast_3d(a)[1, 0, 0] *= a[0, 0]
    a.reshape(1, 2, 1, 3)[0, 1, 0] *= a[0]
    return a * a


@case((2, 3))
def copies_in_c_order(a):
    t = a.T * 1.5
    u, v = t.copy(), np.array(t, order="C")
    u.reshape(-1)[0] = 3 * a[0, 1]
    v.reshape(-1)[1] = 3 * a[0, 2]
    return t * u * v


@case((2, 3))
def copies_in_the_order_of_the_source(a):
    t = a.T * 1.5
    v, w, e = np.copy(t), t.copy(order="K"), np.empty_like(t)
    e[...] = t
    for k, c in enumerate((v, w, e)):
        c.reshape(-1)[k] = 3 * a[0, k]
    return t * v + w * e


@case((2, 3))
def astype_may_be_a_view(a):
    b = a.astype(a.dtype, copy=False)
    b[0, 0] *= 3
    c = a.astype(a.dtype)
    c[0, 1] = 9.0
    return a * a * c


@case((2, 3))
def conversions_that_may_be_views(a):
    np.asarray(a)[1, 1] = a[0, 2] * 2
    np.ascontiguousarray(a)[1, 0] *= a[0, 0]
    np.asfortranarray(a)[0, 2] = 9.0
    np.array(a)[1, 2] = 9.0
    np.array(a, copy=False)[0, 1] *= a[1, 2]
    return a * a


@case((3, 4), of="a")
def swapped_axes(a):
    b = a.swapaxes(0, 1)
    b[1] *= b[0]
    np.transpose(a)[2, 1:] = b[3, :2]
    np.rollaxis(a, 1)[0] += 1
    a.T[3] = a[:, 0] * a[:, 1]


@case((2, 2, 3), 3)
def views_of_views(a, y):
    v = a[:, ::-1]
    w = v[1].T
    w[1:] *= y[:2, None]
    w[::2, ::-1] += y[0] * w[:2]
    v[0, 1] = w[0, 0]
    return a * a


@case((2, 8), of="y")
def unpacked_halves(y):
    u, v = y.reshape(2, 2, 4)
    u *= v
    v[0] += np.roll(u, 1, 0)[1] - 2 * u[1]
    y[0, ::3] *= 2


@case((3, 4))
def rows_by_iteration(a):
    for k, row in enumerate(a):
        row *= k + a[0, 1]
    for x in a[:, 2]:
        x *= 5
    return a * a


@case((3, 4))
def rows_by_unpacking(a):
    top, middle, _ = a
    top[1:] = middle[:3] * top[1:]
    first, *rest = a[:, 2]
    rest[0] += first
    return a * rest[0] + rest[1]


# ---- views that overlap themselves, and read-only ones


@case((4, 4))
def diagonals(a):
    d, e = np.diagonal(a), a.diagonal(1)
    a *= 2
    a[0] = e[1] * d[2]
    return d.sum() * a + np.trace(a)


@case((4, 4))
def writable_diagonal(a):
    np.einsum("ii->i", a)[:] *= a[0]
    a.ravel()[::5] += a[:, 1]
    return a * a


@case(5, 5)
def broadcast_to_a_live_view(x, y):
    rows = np.broadcast_to(x, (3, 5))
    x *= y
    return rows * y + rows.sum()


@case(3, 4)
def broadcast_arrays_together(x, y):
    a, b = np.broadcast_arrays(x[:, None], y)
    x[0] = 3 * y[1]
    return a * b


@case(6)
def sliding_windows(x):
    w = sliding_window_view(x, 3)
    x[2] *= x[0]
    x[3:] += w[0]
    return (w * w).sum(axis=1) * w[:, 1]


@case(5)
def hankel_by_strides(x):
    h = as_strided(x, (3, 3), x.strides * 2)
    x[1] *= x[4]
    return h * h[::-1]


@case(5)
def negative_strides_by_hand(x):
    b = as_strided(x[::-1], (2,), (-2 * x.strides[0],))
    b *= x[1]
    return x * b[0]


# ---- arguments that share memory, and other layouts


def overlapping():
    buffer = sample(6)
    return buffer[:4], buffer[2:]


def twice():
    x = sample(4)
    return x, x


@case(make=overlapping, wrt=0)
def overlapping_arguments(x, y):
    x *= 2
    y += x[0] * y[::-1]
    x[3] = y[2] * x[0]
    return x.sum() * y


@case(make=overlapping, wrt=1, of=("y", "x"))
def overlapping_results(x, y):
    x[:] = y * x
    y[1:] = x[:3]


@case(make=lambda: (lambda b: (b[::-1][:4], b[::2], b))(sample(8)), wrt=2, of=("base", "x"))
def overlapping_backwards_and_strided(x, y, base):
    x *= y
    base[4:] += x
    y[1] = base[0]


@case(make=lambda: (lambda a: (a, a.T))(sample((3, 3))), wrt=0, of=("a", "b"))
def array_and_its_transpose(a, b):
    b[0] *= 2
    a += b * a


@case(make=lambda: (lambda b: (b[:3], b[3:]))(sample(6)), of=("x", "y"))
def neighbours_in_one_buffer(x, y):
    x *= y
    y[1:] = x[:-1]


@case(make=twice, wrt=0)
def same_array_twice_read(x, y):
    return x * y + np.sin(y)


@case(make=twice, wrt=0, of="y")
def same_array_twice_written(x, y):
    x *= y
    y[1:] = x[:-1] * y[1:]


@case(make=lambda: (np.asfortranarray(sample((3, 4))),))
def fortran_argument(a):
    c = a * 2
    c.reshape(-1)[0] = 5.0
    c.ravel("K")[1] = a[1, 1]
    a[:, 1] *= a[:, 0]
    return a * c


@case(make=lambda: (sample((4, 3)).T,), of="b")
def transposed_argument(b):
    b.reshape(-1)[0] = 5.0
    b.T.reshape(-1)[1] = b[0, 0] * b[2, 1]
    b[1] = b[:, 1].sum()


@case(make=lambda: (sample(9)[::-2],), of="x")
def backwards_argument(x):
    x[1:] *= x[:-1]
    x[::-1][0] = x[1]
    x.reshape(-1)[2] += x[0]


@case(make=lambda: (sample((6, 4))[1::2, ::-2], sample(3)), of="a")
def strided_argument(a, y):
    a += a[::-1]
    a.T[0] = y
    a.reshape(-1)[0] = 9.0


@case(make=lambda: (np.broadcast_to(sample(3), (2, 3)), sample(3, 1)), wrt=1, of="x")
def broadcast_argument(rows, x):
    x *= rows[1]
    x += rows.sum(axis=0)


@case(make=lambda: (sample(3), sample(3, 1)), of=("return", "x"))
def returns_an_argument(x, y):
    x *= y
    return x


@case(4, of=("return", "x"))
def returns_a_view_of_an_argument(x):
    v = x[1:3]
    x *= v[0]
    return v


# ---- captured data and nested functions

TABLE = sample(4, 9)
SCALE = 1.75
SCRATCH = np.zeros(4)


def with_scratch(n=4):
    work, weights = np.full(n, np.nan), sample(n, 7)

    def captured_scratch(x, y):
        np.sin(x, out=work)
        work[1:] *= x[:-1]
        y += work * weights
        return work.sum() * y

    return captured_scratch


def with_views_of_scratch():
    work = np.ones(6)
    head, tail = work[:4], work[2:]

    def captured_overlapping_views(x):
        head[:] = x
        tail[:] *= 3
        work[0] += head[2]
        return head * tail

    return captured_overlapping_views


case(4, 4, of=("return", "y"))(with_scratch())
case(4)(with_views_of_scratch())


def helper(x, out):
    np.multiply(x, TABLE[: len(x)] * SCALE, out=out)


@case(4)
def helpers_with_global_scratch(x):
    helper(x, SCRATCH)
    SCRATCH[1:] *= SCRATCH[:-1]
    helper(SCRATCH, x)
    return x + SCRATCH


@case(4)
def state_kept_in_captured_memory(x):
    SCRATCH[:] += x
    return SCRATCH * x


@case(3, 3)
def scratch_as_a_default(x, y, work=np.zeros(3)):
    np.multiply(x, y, out=work)
    work += x
    return work * work


@case(4, 2, of=("x", "return"))
def nested_functions(x, y):
    total = y * 0

    def step(u, *, factor=SCALE):
        nonlocal total
        u *= factor
        total = total + u[:2] * y
        return lambda: u[0] * y

    late = step(x[1:3])
    x[1] = 3 * y[0]
    step(x[2:])
    return total * late()


@case(4, of="x")
def recursion(x):
    def halve(v):
        if len(v) > 1:
            v[1:] *= np.sin(v[:-1])
            halve(v[::2])
            halve(v[len(v) // 2 :])

    halve(x)


@case(3)
def plain_arrays_rewritten_between_reads(x):
    w = np.zeros(3)
    a = x * w
    w[:] = [1.0, 2.0, 3.0]
    b = x * w
    w += 1
    return a + b * w


@case(3)
def containers_of_arrays(x):
    parts = {"a": x[:2], "b": [x[1:], x * 2]}
    parts["a"] *= 3
    parts["b"][0][1] = parts["a"][0]
    parts["b"].append(parts["b"][1] * x)
    return parts["b"][2]


# ---- functions that only move elements: empty arrays and stores


@case((3, 4), 4)
def concatenate_and_split(a, y):
    c = np.concatenate([a, y[None]])
    c[0] = y * c[1]
    p, q = np.split(c, 2)
    q[1] *= p[0]
    return c


@case((3, 4))
def rolls(a):
    d = np.roll(a, 1, axis=1)
    d[0] *= a[0]
    return np.roll(d, 2) + np.roll(a, (1, -1), axis=(0, 1))


@case(4)
def pads(x):
    e = np.pad(x, 2, mode="wrap")
    e[0] = x[1] * x[2]
    return e * np.pad(x, (1, 3)) * np.pad(x, 2, mode="edge") + np.pad(x, (3, 1), mode="reflect")


@case(3, 3)
def stacks(x, y):
    s = np.stack([x, y], axis=-1)
    s[:, 0] *= y
    return np.vstack([s.T, x]) * np.hstack([x[:1], y[1:]]) + np.column_stack([x, y, x])


@case((2, 3))
def tiles_repeats_and_differences(a):
    t = np.tile(a, (1, 2))
    t[0] *= np.repeat(a[1], 2)
    return np.diff(t) * np.diff(a, axis=0)[0, 1] + np.flip(t, 1)[:, 1:]


@table.parametrize
def test_first_order(case):
    cases.check_first_order(case)


@table.parametrize
def test_sparse_jacobian(case):
    cases.check_sparse_jacobian(case)


@table.parametrize
def test_second_order(case):
    cases.check_second_order(case)
