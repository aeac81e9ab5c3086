"""Functions that write into arrays: every derivative entry by entry, against plain NumPy under complex steps."""

import numpy as np

import cases

sample, table = cases.sample, cases.Table()
case = table.case


# ---- slices, and writes that overlap what they read


@case(6, 2, of="x")
def add_into_a_slice(x, y):
    x[1:3] += y


@case(6, of="x")
def slice_onto_itself(x):
    x[1:3] = x[1:3]
    x[::2] /= x[1::2]
    x -= 1.5


@case(6, of="x")
def multiply_by_itself(x):
    x *= x
    x /= np.sin(x) + x


@case(6, of="x")
def shift_right_and_left(x):
    x[1:] = x[:-1] * x[1:]
    x[1:] = x[:-1]
    x[:-2] = x[2:]


@case(6, of="x")
def add_a_shift(x):
    x[1:] += x[:-1]
    x[:-1] *= x[1:]


@case(6, of="x")
def backwards_onto_itself(x):
    x *= np.sin(x)
    x[:] = x[::-1]
    x += x[::-1]
    x[::-2] *= x[:3]


@case((3, 3), of="a")
def transpose_onto_itself(a):
    a *= a.T
    a[:] = a.T
    a[0, 1] *= 3
    a += a.T


@case((3, 3), of="a")
def blocks_onto_each_other(a):
    a[1:, 1:] = a[:-1, :-1] * a[1:, :-1]
    a[:2] *= a[1:]


@case(5, 5, of="x")
def out_is_an_input(x, y):
    np.multiply(x, y, out=x)
    np.sin(x, x)
    np.subtract(y, x, out=(x,))


@case(5, of="x")
def out_overlaps_an_input(x):
    np.multiply(x[:-1], x[1:], out=x[1:])
    np.add(x[1:], x[:-1], x[:-1])
    np.multiply(x[::-1], x, out=x)


@case((3, 3), (3, 3), of=("a", "b"))
def matrix_products_onto_their_operands(a, b):
    a @= b
    np.matmul(a, b, out=b)
    np.dot(b, a.copy(), out=a)


@case((3, 3), 3, of=("a", "row"))
def reductions_into_slices(a, row):
    np.sum(a, axis=0, out=row)
    a.sum(axis=1, out=a[:, 1])
    np.add.reduce(a, axis=1, out=a[0])
    np.cumsum(a[1], out=a[1])
    np.multiply.accumulate(a[:, 2], out=a[:, 2])


@case((2, 3), 3, 2, of="a")
def broadcast_stores(a, row, column):
    a += row
    a *= column[:, None]
    a[0] = row * row
    a[:, 1] = column


@case((2, 3), of="a")
def numbers_spread_over_slices(a):
    a[1, 1:] = a[0, 0] * a[1, 2]
    a[:, 0] += a[0, 1]
    a[...] *= a[1, 0]


@case(6, 3, of="x")
def steps_signs_and_ellipsis(x, y):
    x[::-2] = y * y
    x[-1] = y[-2]
    x[..., :2] *= y[0]
    x[None, 3:] += y
    x[4:1:-1] -= x[1:4]


@case(6)
def writes_of_nothing(x):
    x[2:2] = x[3:3]
    x[:0] += 1.0
    x[9:] = 0
    x += 0
    x[5:100] *= 2
    return x * x


@case(7, of="x")
def recurrence(x):
    for i in range(1, 7):
        x[i] = np.sin(x[i - 1]) * x[i]


@case(5, of="u")
def gauss_seidel(u):
    for _ in range(2):
        for i in range(1, 4):
            u[i] += 0.3 * (u[i - 1] * u[i + 1] - u[i])


@case(5, of="x")
def write_once_history(x):
    for k in range(4):
        x[k + 1] = np.sin(3 * x[k])


# ---- renames, constants, forks, swaps


@case(4, 3, of="x")
def whole_stores_rename(x, y):
    x[:] = np.sin(x)
    x[1:] = y
    x[...] = x * 2
    x[:] = x[::-1]


@case(4, 3)
def a_rename_is_a_copy(x, y):
    t = x * y[0]
    x[:] = t
    t[0] = y[1]
    x[1] *= y[2]
    return x * t


@case(4, (), of=("x", "z"))
def renames_between_shapes(x, z):
    z[...] = x[0] * z
    z += x[3]
    x[3:] = z
    x[:1] = z.reshape(1)
    z[()] = np.exp(x[:1])[0]


@case(1, (), (1, 1), of=("x", "z", "a"))
def renames_of_single_elements(x, z, a):
    a[:] = x * z
    x[:] = a[0] * z
    z[...] = x[0]
    a[0] = z * z


@case(5, 5)
def constants_overwrite(x, y):
    x[:2] = 0.0
    x[4] = 7
    y[:] = x * y
    x[:] = 1
    return x + y


@case(6)
def forks_of_one_version(x):
    a = x.copy()
    b = x.copy()
    a[0] = x[1] * x[2]
    b[1] = a[0] * b[0]
    x *= a
    return a * b + x


@case(4)
def copies_of_copies(x):
    a = x.copy()
    b = a.copy()
    a *= b
    b[1:] = a[:-1]
    c = b.copy()
    c[0] *= c[1]
    return a * b * c


@case(6)
def shift_register(x):
    a, b, c = x[:2].copy(), x[2:4].copy(), x[4:].copy()
    for _ in range(4):
        c *= a
        a, b, c = b * c, a, b
    return a + 2 * b + 3 * c


@case(4, 4, of=("u", "v"))
def swapped_buffers(u, v):
    for _ in range(3):
        np.sin(u, out=v)
        v[1:] += u[:-1]
        u, v = v, u
    u *= 2


@case(3, 3, of=("x", "y"))
def rebinding_is_no_writing(x, y):
    x = x * y
    x += 1
    y *= x
    y = x


# ---- scalars are snapshots, arrays of one element are not


@case(4)
def a_number_rebinds(x):
    s = x[0]
    t = s
    s += 1
    s *= x[1]
    return x * s * t


@case(4)
def a_number_is_a_snapshot(x):
    first, last, total = x[0], x[-1], x.sum()
    x[0] = 5 * x[3]
    x *= last
    return x * first + total


@case(4)
def slices_of_one_write(x):
    v = x[0:1]
    v += x[2]
    u = x[3:]
    u *= v
    return x * x


@case(4)
def zero_d_views_write(x):
    w = x[..., 1]
    w *= x[0]
    w[...] = w * w
    z = x[2, ...]
    x[2] = x[3] * 2
    z += x[0]
    return x * z


@case(())
def zero_d_argument(z):
    y = np.ascontiguousarray(z)
    s = z[()]
    z *= z
    z.reshape(1)[0] += 2 * s
    return z * s + y


@case(make=lambda: (1.3, sample(3)), of=("x", "return"))
def a_python_float_is_a_number(c, x):
    x *= c
    c = c * 2
    c += x[0]
    x[0] = c
    return c * c


# ---- index arrays: the last writer wins, += adds once, ufunc.at adds every time


@case(5, 3, of="x")
def repeated_set(x, v):
    x[[1, 3, 1]] = v


@case(5, 3, of="x")
def repeated_set_with_negative_indices(x, v):
    x[np.array([0, 4, -5])] = v * x[2]


@case(5, 3, of="x")
def repeated_add(x, v):
    x[[1, 3, 1]] += v
    x[[4, 4, 4]] -= x[[1, 1, 0]]


@case(5, 3, of="x")
def repeated_multiply(x, v):
    x[[2, 2, 0]] *= v


@case(5, 3, of="x")
def add_at(x, v):
    np.add.at(x, [1, 3, 1], v)
    np.subtract.at(x, [0, 0, 0], v * x[4])
    np.add.at(x, 2, 3 * v[0])


@case(5, 3, of="x")
def add_at_from_the_same_array(x, v):
    np.add.at(x, [1, 3, 1], x[[3, 1, 0]] * v)


@case(5, 3, of="x")
def multiply_at(x, v):
    np.multiply.at(x, [1, 3, 1], v)


@case(5, 3, of="x")
def divide_and_unary_at(x, v):
    np.divide.at(x, [0, 0, 2], v)
    np.sin.at(x, [4, 4])


@case((3, 4), (2, 2), of="a")
def repeated_grid(a, v):
    a[np.ix_([0, 2], [1, 1])] = v


@case((3, 4), (2, 2), of="a")
def pairs_of_indices(a, v):
    a[[0, 1], [3, 3]] += v[0]
    a[[2, 2], 0] = v[:, 1]
    a[[1, 1], [1, 1]] *= v[1]


@case((3, 4), (2, 2), of="a")
def indices_with_slices(a, v):
    a[1:, [0, 0]] = v
    a[[[1], [0]], :2] *= v[:, None]
    a[:, None, [3, 2]] += v[1]


@case((3, 4))
def gathers_are_copies(a):
    i = np.array([2, 0, 2])
    g = a[i]
    a[0] = 1.0
    h = a[i, [0, 1, 0]]
    g[0] *= 2
    a[i] = g
    return g.sum() * h * a[:, 1]


@case((3, 4), 2)
def takes(a, y):
    t = a.take([0, 5, 5]) + np.take(a, [2, 0, 2], axis=1)[0]
    a[0] *= y[0]
    return t * y[np.array([[1, 0, 1]])] + a[[-1], [[0, 1, 1]]]


@case(5, make=lambda: (sample(5), np.array([3, 0, 3])), of="x")
def indices_from_an_argument(x, i):
    x[i] += x[i - 1]
    i[0] = 1
    x[i] *= x[i[::-1]]


# ---- masks


@case(6, of="x")
def masked_constant(x):
    x[x < 1.2] = 0


@case(6, of="x")
def masked_in_place(x):
    x[x > 1.4] *= 3
    x[x < 1.0] += x[0]


@case(6, 6, of="x")
def masked_elementwise(x, y):
    m = x > y
    x[m] = y[m] * x[m]
    y[:] = 0
    x[~m] -= 1


@case(6, 6)
def masked_reads(x, y):
    m = x > 1.2
    b = x[m]
    y[m] = b * b
    b *= 2
    return np.array([b.sum(), y[~m].sum() * b.max(), (x[m] * y[m]).sum()])


@case((3, 3), 3, of="a")
def masks_of_rows_and_columns(a, v):
    a[v > 1.0] *= v
    a[:, v < 1] = v[0]
    a[np.array([True, False, True]), 1] = v[1:]


@case((3, 3), of="a")
def masks_of_matrices(a):
    a[a > 1.3] = a[0, 0]
    a[np.eye(3, dtype=bool)] += a[1]
    a[~np.isfinite(a) | (a < 0.8)] = 2.0


@case(6, of="x")
def mask_made_of_overwritten_values(x):
    m = x > 1.2
    x -= 3
    x[m] *= x[5]
    x[x > -1.5] *= x[0]


@case(5, 4, of="flux")
def limiter(flux, u):
    d = np.diff(u)
    r = np.zeros(2)
    np.divide(d[1:], d[:-1], out=r, where=d[:-1] != 0)
    flux[2:4] = np.where(r > 0, r * r, 0.5 * r) * d[:-1]
    flux[[0, -1]] = flux[[-2, 1]]


# ---- where=, branches not taken, and memory that was never written


@case(make=lambda: (np.array([0.0, 2.0, -3.0, 0.5]), sample(4)), of="out")
def divide_where_nonzero(x, out):
    np.divide(1, x, out=out, where=x != 0)


@case(make=lambda: (np.array([0.0, 4.0, 0.25, 0.0]),), of="x")
def roots_where_positive(x):
    np.sqrt(x, out=x, where=x > 0)
    np.log(x, out=x[::-1], where=(x > 0)[::-1])


@case(make=lambda: (np.array([0.0, 4.0, 0.25, 0.0]),))
def powers_where_positive(x):
    p = np.ones(4)
    np.power(x, -1.5, out=p, where=x > 0)
    return p * p


@case(5)
def reductions_where(x):
    return np.sum(x, where=x > 1) * x + np.add.reduce(x * x, where=x < 1, initial=2.0)


@case(make=lambda: (np.array([-1.0, 4.0, 0.0, 0.25]),))
def square_root_not_taken(x):
    with np.errstate(all="ignore"):
        return np.where(x > 0, np.sqrt(x), 0)


@case(make=lambda: (np.array([-1.0, 4.0, 0.0, 0.25]),))
def zero_by_zero_not_taken(x):
    with np.errstate(all="ignore"):
        return np.where(x == 0, 1.0, np.sin(x) / x) * x


@case(make=lambda: (np.array([-1.0, 4.0, 0.0, 0.25]),))
def infinity_not_taken(x):
    with np.errstate(all="ignore"):
        return np.where(x != 0, 1 / x, x) + np.where(x > 5, np.exp(1000 * x), 2 * x)


@case(make=lambda: (np.array([-1.0, 4.0, 0.0, 0.25]), sample(4)), of="x")
def infinity_overwritten(x, y):
    with np.errstate(all="ignore"):
        q = y / x
        q[x <= 0] = y[x <= 0]
        r = np.log(x)
        r[~(x > 0)] = 0
        x[:] = q * r + x


@case(4, (2, 3))
def empty_memory_filled_later(x, a):
    e = np.empty(4)
    e[1:] = x[:3]
    e[0] = e[1] * 2
    f = np.empty_like(a)
    f[0] = a[1]
    f[1] = np.sin(f[0])
    return e[0] * f * e[1:]


@case((2, 3))
def empty_fortran_memory(a):
    g = np.empty((2, 3), order="F")
    g[:, 0] = a[:, 1]
    g[:, 1:] = a[:, :2] * g[:, :1]
    return g


@case(make=lambda: (np.array([0.0, 2.0, 3.0]), sample(3)))
def undefined_where_masked_out(x, y):
    q = np.empty(3)
    np.divide(y, x, where=x > 0, out=q)
    return np.where(x > 0, q, 7 * y) * y


@case(make=lambda: (np.full(4, np.nan), sample(4)), wrt=1)
def scratch_argument_full_of_nan(tmp, x):
    np.sin(x, out=tmp)
    tmp[1:] *= tmp[:-1]
    return tmp * x


# ---- dtypes: a store casts, and its adjoint casts back


@case(make=lambda: (sample(4), sample(4, 1).astype(np.float32)), of=("x", "s"), tol=2e-6)
def stores_cast(x, s):
    s[1:] = x[:3] * x[1:]
    x *= s
    s += 2 * s[::-1]
    s[0] = x[1]


@case(make=lambda: (sample(4), sample(4, 1).astype(np.float32)), of=("x", "s"), tol=2e-6)
def ufuncs_cast_into_out(x, s):
    np.multiply(x, s, out=s, casting="same_kind")
    np.multiply(s, 3, out=x)
    s[...] = x


@case(make=lambda: (sample(4).astype(np.float32), 0.7), tol=2e-6)
def python_numbers_are_weak(s, c):
    return (s * 2.5 + np.pi) * c / 3 + np.float32(1.5) * s


@case(make=lambda: (sample(4).astype(np.float32),), tol=2e-6)
def numpy_numbers_are_strong(s):
    return s * np.float64(2.5) + s.sum() + s.sum(dtype=np.float64)


@case(make=lambda: (sample(4).astype(np.float32), np.float64(0.7)), tol=2e-6)
def numpy_arguments_are_strong(s, c):
    return s * c


@case(make=lambda: (sample(4).astype(np.float32), np.array(0.7)), wrt=(0, 1), tol=2e-6)
def zero_d_arrays_are_strong(s, z):
    s *= z
    return s * z


@case(make=lambda: (sample(3), np.arange(3)), of="x")
def integers_stay_integers(x, k):
    k += 2
    x *= k
    k[1:] -= 1
    k[0] = 3
    x[k - 3] += x * (k // 2)


@table.parametrize
def test_first_order(case):
    cases.check_first_order(case)


@table.parametrize
def test_sparse_jacobian(case):
    cases.check_sparse_jacobian(case)


@table.parametrize
def test_second_order(case):
    cases.check_second_order(case)
