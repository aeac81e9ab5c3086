"""Kernels of published benchmark suites, as losses in plain NumPy.

Each function here returns ``(f, args)`` like those of problems.py: ``f(*args)`` is the sum of squares of what a kernel computes,
and leaves its arguments alone. Kernels update arrays in place as their sources do; time loops, and sweeps along an axis, are
``sparsead.steps``. Sizes are those of the sources.

Sources
-------
NPBench, A. Ziogas et al., ICS 2021, doi:10.1145/3447818.3460360, https://github.com/spcl/npbench: jacobi_2d, seidel_2d and adi,
which are from PolyBench/C 4.2 (L.-N. Pouchet, T. Yuki), hdiff and vadv, which are from the COSMO weather model by way of GT4Py.
ADBench, F. Srajer, Z. Kukelova and A. Fitzgibbon, Optim. Methods Softw. 33 (2018), doi:10.1080/10556788.2018.1435651,
https://github.com/microsoft/ADBench: the log-likelihood of a Gaussian mixture.
"""

import math

import numpy as np

from sparsead import steps


def jacobi_2d(size="M"):
    """Five-point averages from one array into the other and back: ``loss(a, b)``."""
    trips, n = {"S": (50, 150), "M": (80, 350)}[size]

    def average(a, b):
        b[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1])

    def loss(a, b):
        a, b = a.copy(), b.copy()
        for _ in steps(trips - 1):
            average(a, b)
            average(b, a)
        return np.sum(a**2) + np.sum(b**2)

    i, j = np.arange(n)[:, None], np.arange(n)
    return loss, (i * (j + 2) / n, i * (j + 3) / n)


def seidel_2d(size="M"):
    """Nine-point averages, each of the newest values: ``loss(a)``; the sweep along a row is a loop over its elements."""
    trips, n = {"S": (8, 50), "M": (15, 100)}[size]

    def loss(a):
        a = a.copy()
        for _ in steps(trips - 1):
            for i in steps(n - 2):
                above, row, below = a[i], a[i + 1], a[i + 2]
                row[1:-1] += above[:-2] + above[1:-1] + above[2:] + row[2:] + below[:-2] + below[1:-1] + below[2:]
                for j in steps(n - 2):
                    a[i + 1, j + 1] += a[i + 1, j]
                    a[i + 1, j + 1] /= 9.0
        return np.sum(a**2)

    return loss, ((np.arange(n)[:, None] * (np.arange(n) + 2) + 2) / n,)


def adi(size="M"):
    """Alternating direction implicit steps of the heat equation, Thomas' algorithm by columns: ``loss(u)``."""
    trips, n = {"S": (5, 100), "M": (20, 200)}[size]
    along, across = 2.0 * n * n / trips, 1.0 * n * n / trips
    a, b, d, e = -along / 2, 1 + across, -across / 2, 1 + across
    inner = slice(1, n - 1)

    def sweep(known, out, p, q, off, diagonal, other):
        """Solve along the first axis of `out` with `known` on the right, which is taken along its rows."""
        out[0, inner] = 1.0
        p[inner, 0] = 0.0
        q[inner, 0] = out[0, inner]
        for j in steps(n - 2):
            pivot = off * p[inner, j] + diagonal
            right = -other * known[:-2, j + 1] + (1 + 2 * other) * known[inner, j + 1] - other * known[2:, j + 1]
            p[inner, j + 1] = -off / pivot
            q[inner, j + 1] = (right - off * q[inner, j]) / pivot
        out[n - 1, inner] = 1.0
        for j in reversed(steps(n - 2)):
            out[j + 1, inner] = p[inner, j + 1] * out[j + 2, inner] + q[inner, j + 1]

    def loss(u):
        u = u.copy()
        v, p, q = np.empty_like(u), np.empty_like(u), np.empty_like(u)
        for _ in steps(trips):
            sweep(u.T, v, p, q, a, b, d)
            sweep(v, u.T, p, q, d, e, a)
        return np.sum(u**2)

    return loss, ((np.arange(n)[:, None] + n - np.arange(n)) / n,)


def hdiff(size="M"):
    """Horizontal diffusion with a flux limiter: ``loss(field, coefficient)``, one pass over three-dimensional arrays."""
    shape = {"S": (64, 64, 60), "M": (128, 128, 160)}[size]
    out = np.empty(shape)

    def limited(flux, slope):
        return np.where(flux * slope > 0, 0, flux)

    def loss(x, coefficient):
        laplacian = 4 * x[1:-1, 1:-1] - (x[2:, 1:-1] + x[:-2, 1:-1] + x[1:-1, 2:] + x[1:-1, :-2])
        east = limited(laplacian[1:, 1:-1] - laplacian[:-1, 1:-1], x[2:-1, 2:-2] - x[1:-2, 2:-2])
        north = limited(laplacian[1:-1, 1:] - laplacian[1:-1, :-1], x[2:-2, 2:-1] - x[2:-2, 1:-2])
        out[:] = x[2:-2, 2:-2] - coefficient * (east[1:] - east[:-1] + north[:, 1:] - north[:, :-1])
        return np.sum(out**2)

    rng = np.random.default_rng(42)
    return loss, (rng.random((shape[0] + 4, shape[1] + 4, shape[2])), rng.random(shape))


def vadv(size="M"):
    """Vertical advection, Thomas' algorithm along the last axis: ``loss(stage_tendency, stage, wind, position, tendency)``."""
    shape = {"S": (60, 60, 40), "M": (112, 112, 80)}[size]
    levels, rate = shape[2], 3 / 20

    def loss(stage_tendency, stage, wind, position, tendency):
        result = stage_tendency.copy()
        upper, right = np.empty(shape), np.empty(shape)
        last = np.empty(shape[:2])

        def known(k, correction):
            return rate * position[:, :, k] + tendency[:, :, k] + result[:, :, k] + correction

        down = 0.25 * (wind[1:, :, 1] + wind[:-1, :, 1])
        upper[:, :, 0] = 0.5 * down
        pivot = 1 / (rate - upper[:, :, 0])
        right[:, :, 0] = known(0, -0.5 * down * (stage[:, :, 1] - stage[:, :, 0])) * pivot
        upper[:, :, 0] *= pivot
        for k in steps(levels - 2):
            up = -0.25 * (wind[1:, :, k + 1] + wind[:-1, :, k + 1])
            down = 0.25 * (wind[1:, :, k + 2] + wind[:-1, :, k + 2])
            lower = 0.5 * up
            upper[:, :, k + 1] = 0.5 * down
            diagonal = rate - lower - upper[:, :, k + 1]
            change_up, change_down = stage[:, :, k] - stage[:, :, k + 1], stage[:, :, k + 2] - stage[:, :, k + 1]
            right[:, :, k + 1] = known(k + 1, -0.5 * up * change_up - 0.5 * down * change_down)
            pivot = 1 / (diagonal - upper[:, :, k] * lower)
            upper[:, :, k + 1] *= pivot
            right[:, :, k + 1] = (right[:, :, k + 1] - right[:, :, k] * lower) * pivot
        k = levels - 1
        up = -0.25 * (wind[1:, :, k] + wind[:-1, :, k])
        lower = 0.5 * up
        right[:, :, k] = known(k, -0.5 * up * (stage[:, :, k - 1] - stage[:, :, k]))
        pivot = 1 / (rate - lower - upper[:, :, k - 1] * lower)
        right[:, :, k] = (right[:, :, k] - right[:, :, k - 1] * lower) * pivot
        last[:] = right[:, :, k]
        result[:, :, k] = rate * (last - position[:, :, k])
        for k in reversed(steps(levels - 1)):
            last[:] = right[:, :, k] - upper[:, :, k] * last
            result[:, :, k] = rate * (last - position[:, :, k])
        return np.sum(result**2)

    rng = np.random.default_rng(42)
    rows, columns, _ = shape
    shapes = shape, shape, (rows + 1, columns, levels), shape, shape
    return loss, tuple(rng.random(s) for s in shapes)


def gmm_constant(points, dimension, components):
    """What does not depend on the parameters of `gmm`: of the normal densities, and of the prior."""
    order = dimension + 1
    gammas = sum(math.lgamma(0.5 * (order - j)) + 0.5 * j * math.log(math.pi) for j in range(dimension))
    prior = components * (order * dimension * math.log(1 / math.sqrt(2)) - gammas)
    return -0.5 * points * dimension * math.log(2 * math.pi) - prior


def gmm(points=1000, dimension=10, components=25):
    """Log-likelihood of a Gaussian mixture under a Wishart prior (gamma 1, m 0): ``loss(alphas, means, factors)``.

    A row of `factors` holds the logarithms of the diagonal of a lower triangular matrix, then what is below, by columns.
    """
    rng = np.random.default_rng(0)
    data = rng.normal(size=(points, dimension))
    columns, rows = np.triu_indices(dimension, 1)
    constant = gmm_constant(points, dimension, components)

    def logsumexp(t):
        top = np.max(t, axis=-1, keepdims=True)
        return np.log(np.sum(np.exp(t - top), axis=-1)) + top[..., 0]

    def loss(alphas, means, factors):
        logs, below = factors[:, :dimension], factors[:, dimension:]
        diagonal, sums = np.exp(logs), np.sum(logs, axis=1)
        lower = np.zeros((components, dimension, dimension))
        lower[:, rows, columns] = below
        centred = data[:, None] - means
        scaled = diagonal * centred + np.einsum("kij,nkj->nki", lower, centred)
        terms = alphas + sums - 0.5 * np.sum(scaled**2, axis=2)
        penalty = 0.5 * (np.sum(diagonal**2) + np.sum(below**2))
        return constant + np.sum(logsumexp(terms)) - points * logsumexp(alphas) + penalty

    below = dimension * (dimension - 1) // 2
    shapes = (components,), (components, dimension), (components, dimension + below)
    return loss, tuple(rng.normal(size=shape) for shape in shapes)
