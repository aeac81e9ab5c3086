"""What other tools, and code written by hand, make of the problems of bench_sparse.py.

Functions that are named after a tool and a problem take the arguments of that problem and prepare its derivative there: they
return ``(call, matrix)``, where ``call()`` evaluates it, and ``matrix()`` does too and gives it as a ``scipy.sparse`` array. All
but NumPy is optional: ``pip install "sparsead[bench]"``. A tool is imported where it is used, so that one that is missing ends in
an ImportError there.

CasADi evaluates into memory that stays (``Function.buffer``), without the conversions of a call, by its virtual machine unless it
is said to be compiled. JAX is held to one thread.
"""

import importlib
import os
import tempfile
import time

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")  # read at JAX's import

import numpy as np
import scipy.sparse as sp

import problems

ALPHA = 0.1  # of the Brusselator


def first_seconds(tool, problem, *size):
    """CPU seconds of a first evaluation with its preparation; the import of the tool is not counted."""
    importlib.import_module(tool)
    _, args = getattr(problems, problem)(*size)
    start = time.process_time()
    call, _ = globals()[f"{tool}_{problem}"](*args)
    call()
    return time.process_time() - start


def csr(data, indptr, indices):
    """The array of entries in the order of a CSR structure."""
    return sp.csr_array((data, indices, indptr), shape=(len(indptr) - 1,) * 2)


# ---- CasADi ------------------------------------------------------------------------------------------------------


def casadi_evaluation(function, *arrays):
    """Evaluation of a CasADi function of dense arguments."""
    data, pattern = np.empty(function.nnz_out(0)), function.sparsity_out(0)
    buffer, evaluate = function.buffer()
    for k, array in enumerate(arrays):
        buffer.set_arg(k, memoryview(array))
    buffer.set_res(0, memoryview(data))

    def call(_kept=(buffer, arrays, data)):  # `evaluate` knows their addresses alone
        evaluate()

    def matrix():
        call()
        return sp.csc_array((data, pattern.row(), pattern.colind()), shape=pattern.shape)

    return call, matrix


def casadi_brusselator_function(n, kind):
    """(y, dy) as expressions of ``casadi.SX`` or ``casadi.MX``."""
    import casadi as ca

    y = getattr(ca, kind).sym("y", 2 * n * n)
    u, v = (ca.reshape(part, n, n) for part in ca.vertsplit(y, n * n))

    def diffused(w):
        along = ca.vertcat(w[1:, :], w[0, :]) + ca.vertcat(w[-1, :], w[:-1, :])
        across = ca.horzcat(w[:, 1:], w[:, 0]) + ca.horzcat(w[:, -1], w[:, :-1])
        return ALPHA * n**2 * (along + across - 4 * w)

    reaction = u * u * v
    du, dv = diffused(u) + 1 + reaction - 4.4 * u, diffused(v) + 3.4 * u - reaction
    return y, ca.vertcat(ca.vec(du), ca.vec(dv))


def casadi_brusselator(t, y, dy):
    import casadi as ca

    x, dx = casadi_brusselator_function(grid(y), "SX")
    return casadi_evaluation(ca.Function("J", [x], [ca.jacobian(dx, x)]), y)


def casadi_brusselator_pattern(t, y, dy):
    """(find, colour, matrix): find the pattern of an MX expression's Jacobian; number of colours of its columns; an array."""
    import casadi as ca

    x, dx = casadi_brusselator_function(grid(y), "MX")
    found = ca.jacobian_sparsity(dx, x)
    matrix = lambda: sp.csc_array((np.ones(found.nnz()), found.row(), found.colind()), shape=found.shape)
    return lambda: ca.jacobian_sparsity(dx, x), lambda: found.uni_coloring().size2(), matrix


def casadi_hessian(loss, x):
    """Of a loss that takes SX."""
    import casadi as ca

    y = ca.SX.sym("x", len(x))
    return casadi_evaluation(ca.Function("H", [y], [ca.hessian(loss(y), y)[0]]), x)


def casadi_rosenbrock(x):
    return casadi_hessian(lambda y: rosenbrock(y, sum1), x)


def casadi_arrowhead(x):
    return casadi_hessian(lambda y: arrowhead(y, sum1), x)


def sum1(x):
    import casadi as ca

    return ca.sum1(x)


def casadi_bundle(cameras, points, r, **options):
    """The kernel alone: blocks of 2 x 12 in the order of observations, from cameras and points gathered before."""
    import casadi as ca

    camera, point = ca.SX.sym("camera", 9), ca.SX.sym("point", 3)
    block = ca.densify(ca.jacobian(ca.vertcat(*problems.projected(camera, point, ca)), ca.vertcat(camera, point)))
    scene = problems.bundle_scene()
    kernel = ca.Function("block", [camera, point], [block], options).map(len(scene.point))
    call, dense = casadi_evaluation(kernel, cameras[scene.camera], points[scene.point])
    return call, lambda: bundle_matrix(dense().toarray().reshape(2, -1, 12).transpose(1, 0, 2), scene)


def casadi_bundle_compiled(cameras, points, r):
    """The same, with the Jacobian of an observation compiled from C."""
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # CasADi leaves its files in the working directory
        try:
            how = {"flags": ["-O3", "-march=native"], "cleanup": False}
            return casadi_bundle(cameras, points, r, jit=True, compiler="shell", jit_options=how, jit_cleanup=False)
        finally:
            os.chdir(here)


# ---- JAX ---------------------------------------------------------------------------------------------------------


def jax_evaluation(function, *args, matrix):
    """Evaluation of a function that is compiled here; `matrix` makes a sparse array of what it gives."""
    import jax

    jax.config.update("jax_enable_x64", True)
    args = [jax.numpy.asarray(arg) for arg in args]
    compiled = jax.jit(function)
    call = lambda: jax.block_until_ready(compiled(*args))
    call()
    return call, lambda: matrix(call())


def jax_brusselator_function(n):
    import jax.numpy as jnp

    def rhs(y):
        u, v = y.reshape(2, n, n)

        def diffused(w):
            return ALPHA * n**2 * (jnp.roll(w, 1, 0) + jnp.roll(w, -1, 0) + jnp.roll(w, 1, 1) + jnp.roll(w, -1, 1) - 4 * w)

        reaction = u * u * v
        return jnp.stack([diffused(u) + 1 + reaction - 4.4 * u, diffused(v) + 3.4 * u - reaction]).ravel()

    return rhs


def jax_rosenbrock(x):
    """Hessian-vector products with the seeds of three known colours, and a gather into the data of a CSR array."""
    import jax
    import jax.numpy as jnp

    n = len(x)
    indptr, indices = tridiagonal(n)
    colour = np.arange(n) % 3
    seeds = np.zeros((3, n))
    seeds[colour, np.arange(n)] = 1
    gather = colour[indices] * n + np.repeat(np.arange(n), np.diff(indptr))
    gradient = jax.grad(lambda x: rosenbrock(x, jnp.sum))

    def data(x):
        products = jax.vmap(lambda seed: jax.jvp(gradient, (x,), (seed,))[1])(seeds)
        return products.ravel()[gather]

    return jax_evaluation(data, x, matrix=lambda data: csr(np.asarray(data), indptr, indices))


def jax_bundle(cameras, points, r):
    import jax
    import jax.numpy as jnp

    scene = problems.bundle_scene()

    def error(both):
        return jnp.stack(problems.projected(both[:9], both[9:], jnp))

    def blocks(cameras, points):
        return jax.vmap(jax.jacfwd(error))(jnp.concatenate([cameras[scene.camera], points[scene.point]], axis=1))

    return jax_evaluation(blocks, cameras, points, matrix=lambda blocks: bundle_matrix(np.asarray(blocks), scene))


# ---- asdex -------------------------------------------------------------------------------------------------------


def coordinates(matrix):
    """The SciPy array of a BCOO array."""
    i, j = np.asarray(matrix.indices).T
    return sp.coo_array((np.asarray(matrix.data), (i, j)), shape=matrix.shape)


def asdex_brusselator(t, y, dy):
    import asdex

    return jax_evaluation(asdex.jacobian(jax_brusselator_function(grid(y)), y), y, matrix=coordinates)


def asdex_brusselator_pattern(t, y, dy):
    """(find, colour, matrix) as for CasADi."""
    import asdex

    find = lambda: asdex.jacobian_sparsity(jax_brusselator_function(grid(y)), y)
    found = find()
    matrix = lambda: sp.coo_array((np.ones(found.nnz), (found.rows, found.cols)), shape=found.shape)
    return find, lambda: int(np.max(asdex.color_cols(found)[0])) + 1, matrix


def asdex_hessian(loss, x):
    import asdex
    import jax.numpy as jnp

    return jax_evaluation(asdex.hessian(lambda x: loss(x, jnp.sum), x), x, matrix=coordinates)


def asdex_rosenbrock(x):
    return asdex_hessian(rosenbrock, x)


def asdex_arrowhead(x):
    return asdex_hessian(arrowhead, x)


# ---- by hand -----------------------------------------------------------------------------------------------------


def numba_brusselator(t, y, dy):
    """A row holds the diffusion four times, the diagonal, and the other species; where the grid closes, the order changes."""
    import numba

    n = grid(y)

    @numba.njit
    def fill(y, data):
        m, a = n * n, ALPHA * n * n
        for i in range(n):
            above = 0 if i == 0 else 2 if i == n - 1 else 1
            for j in range(n):
                k = i * n + j
                u, v = y[k], y[m + k]
                before = above + (0 if j == 0 else 2 if j == n - 1 else 1)  # neighbours with smaller numbers
                first, second = data[6 * k : 6 * k + 6], data[6 * (m + k) : 6 * (m + k) + 6]
                first[:5] = a
                first[before] = 2 * u * v - 4.4 - 4 * a
                first[5] = u * u
                second[0] = 3.4 - 2 * u * v
                second[1:] = a
                second[1 + before] = -u * u - 4 * a

    data = np.empty(12 * n * n)
    indptr, indices = brusselator_structure(n)
    fill(y, data)

    def matrix():
        fill(y, data)
        return csr(data, indptr, indices)

    return lambda: fill(y, data), matrix


def brusselator_structure(n):
    """Row pointers and sorted column indices."""
    grid = np.arange(n * n).reshape(n, n)
    near = [grid, *(np.roll(grid, shift, axis) for shift in (1, -1) for axis in (0, 1))]
    near = np.stack(near, axis=-1).reshape(n * n, 5)
    rows = np.concatenate([np.c_[near, grid.ravel() + n * n], np.c_[near + n * n, grid.ravel()]])
    return 6 * np.arange(2 * n * n + 1), np.sort(rows, axis=1).ravel()


def numpy_rosenbrock(x):
    """Three vectors into the data of a CSR array, whose inner rows hold three entries each."""
    n = len(x)
    data, work = np.empty(3 * n - 2), np.empty(n - 1)
    diagonal, upper, lower = data[::3], data[1::3], data[2::3]

    def call():
        np.multiply(x[:-1], -400.0, out=work)
        upper[:] = work
        lower[:] = work
        np.multiply(x[:-1], x[:-1], out=work)
        np.multiply(work, 3.0, out=work)
        np.subtract(work, x[1:], out=work)
        np.multiply(work, 400.0, out=work)
        diagonal[:-1] = work
        diagonal[:-1] += 2.0
        diagonal[-1] = 0.0
        diagonal[1:] += 200.0

    def matrix():
        call()
        return csr(data, *tridiagonal(n))

    return call, matrix


def tridiagonal(n):
    """Row pointers and column indices."""
    indptr = np.clip(3 * np.arange(n + 1) - 1, 0, 3 * n - 2)
    entry = np.arange(3 * n - 2)
    return indptr, (entry + 1) // 3 + (entry + 1) % 3 - 1


# ---- functions for any of them -----------------------------------------------------------------------------------


def rosenbrock(x, total):
    return total(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def arrowhead(x, total):
    return total((x[:-1] ** 2 + x[-1] ** 2) ** 2 - 4 * x[:-1] + 3)


def bundle_matrix(blocks, scene):
    """The array of blocks of shape (observations, 2, 12)."""
    before = scene.cameras.size
    columns = np.c_[9 * scene.camera[:, None] + np.arange(9), before + 3 * scene.point[:, None] + np.arange(3)]
    shape = 2 * len(columns), before + scene.points.size
    return sp.csr_array((blocks.ravel(), np.repeat(columns, 2, axis=0).ravel(), 12 * np.arange(shape[0] + 1)), shape=shape)


def grid(y):
    """Points along a side of the Brusselator's grid."""
    return round((len(y) / 2) ** 0.5)
