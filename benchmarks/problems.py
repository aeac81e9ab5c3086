"""What the benchmarks differentiate: functions in plain NumPy, as users write them, at any size.

Each function here returns ``(f, args)``, such that ``f(*args)`` runs. No module but NumPy and the standard library appears in an
``f``, and none is written with derivatives in mind. Two shapes occur:

* right-hand sides and residuals write into their last argument and return nothing;
  differentiate them by ``sparsead.jacobian(f, wrt=..., of=...)``;
* losses return a scalar and leave their arguments alone; differentiate them by ``sparsead.value_and_grad(f)``.

==================  =================  ==========  ================================================================
problem             wrt                of          what it stresses
==================  =================  ==========  ================================================================
brusselator         ``y``              ``dy``      stencils in slices, captured scratch; pattern and colouring
driven              ``y``              ``dy``      the same, with the sine of the time by ``math.sin``
pollu               ``y``              ``dy``      100 scalar operations, tiny calls
triangles           ``u``              ``r``       gather and scatter through index arrays; irregular pattern
bundle              ``cameras``,       ``r``       gathers of rows, a hundred elementwise operations in place; two inputs
                    ``points``
bundle_by_...       the same           ``r``       the same, with a name for each component: one space
burgers             ``u0``             return      many in-place steps of an array
heat                ``u0``, ``kappa``  return      many in-place steps in two dimensions, two inputs
rosenbrock          ``x``              return      a tridiagonal Hessian
arrowhead           ``x``              return      a Hessian with a full row and column: many colours
pointwise           ``x``              return      a chain of elementwise functions, memory traffic
recurrence          ``x``              return      a sequential loop over array elements
irregular           ``p``              return      a long scalar program without structure; tracing and transforms
==================  =================  ==========  ================================================================
"""

import math
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np


def _example(name):
    """Import an example from its file: what is an example too is measured as it stands there."""
    path = Path(__file__).resolve().parents[1] / "examples" / f"{name}.py"
    spec = spec_from_file_location(f"example_{name}", path)
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def brusselator(n=32):
    """2-D periodic Brusselator on an n x n grid: ``rhs(t, y, dy)``, 2 n^2 unknowns and 12 n^2 entries (n > 2)."""
    rhs, y0 = _example("brusselator").brusselator(n)
    return rhs, (0.0, y0, np.empty_like(y0))


def driven(n=32):
    """The Brusselator with a force that needs the time as a Python number: ``rhs(t, y, dy)``."""
    brusselator_rhs, args = brusselator(n)

    def rhs(t, y, dy):
        brusselator_rhs(t, y, dy)
        dy += 0.1 * math.sin(t)

    return rhs, args


def pollu():
    """Air-pollution kinetics: ``rhs(t, y, dy)``, 20 unknowns, 82 entries, about 100 scalar operations."""
    module = _example("pollution")
    return module.pollu, (0.0, module.Y0.copy(), np.empty(20))


def triangle_mesh(count=200_000, seed=0):
    """Unstructured triangulation of the unit square.

    A grid of squares, each cut along a random diagonal, with its points moved by up to a fifth of a cell, and
    points and triangles numbered at random, as a mesh generator without a renumbering would leave them.

    Returns
    -------
    points : ndarray, shape (p, 2), float64
    triangles : ndarray, shape (m, 3), int64
        Corners of each triangle, counter-clockwise; m is `count` rounded to twice a square.
    """
    rng = np.random.default_rng(seed)
    cells = max(1, round((count / 2) ** 0.5))
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    south_west, south_east = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
    north_west, north_east = index[1:, :-1].ravel(), index[1:, 1:].ravel()
    rising = rng.random(cells**2) < 0.5
    first = np.stack([south_west, south_east, np.where(rising, north_east, north_west)], axis=1)
    second = np.stack([np.where(rising, south_west, south_east), north_east, north_west], axis=1)

    points = np.stack(np.meshgrid(np.arange(cells + 1.0), np.arange(cells + 1.0)), axis=-1)
    points[1:-1, 1:-1] += rng.uniform(-0.2, 0.2, (cells - 1, cells - 1, 2))
    number = rng.permutation(index.size)
    shuffled = np.empty((index.size, 2))
    shuffled[number] = points.reshape(-1, 2) / cells
    return shuffled, number[rng.permutation(np.concatenate([first, second]))]


def triangles(count=200_000, seed=0):
    """Linear finite elements for -div((1 + u^2) grad u) = 1: ``residual(u, r)`` gathers, and scatters by np.add.at."""
    points, corners = triangle_mesh(count, seed)
    a, b, c = (points[corners[:, k]] for k in range(3))
    area = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    opposite = np.stack([c - b, a - c, b - a])
    slope_x, slope_y = -opposite[..., 1] / (2 * area), opposite[..., 0] / (2 * area)  # of the three hat functions

    def residual(u, r):
        local = u[corners.T]
        gradient_x = np.sum(slope_x * local, axis=0)
        gradient_y = np.sum(slope_y * local, axis=0)
        conductivity = 1 + np.mean(local, axis=0) ** 2
        r[:] = 0
        for k in range(3):
            flow = conductivity * (gradient_x * slope_x[k] + gradient_y * slope_y[k])
            np.add.at(r, corners[:, k], area * (flow - 1 / 3))

    u = np.sin(3 * points[:, 0]) * np.cos(2 * points[:, 1])
    return residual, (u, np.empty_like(u))


def bundle_scene(cameras=20, points=200, views=5):
    """Cameras, points, and which camera sees which point, as an object with these attributes."""
    return _example("bundle_adjustment").made_up(cameras, points, views, np.random.default_rng(0))


def bundle(cameras=20, points=200, views=5):
    """Bundle adjustment: ``residual(cameras, points, r)``, in pixels; r has shape (points * views, 2).

    A camera has nine unknowns and a point three: a row of the Jacobian has twelve entries.
    """
    scene, project = bundle_scene(cameras, points, views), _example("bundle_adjustment").project

    def residual(cameras, points, r):
        project(points[scene.point], cameras[scene.camera], r)
        r -= scene.seen

    return residual, (scene.cameras, scene.points, np.empty_like(scene.seen))


def bundle_by_components(cameras=20, points=200, views=5):
    """The same residual as `bundle`, from a formula for one camera and one point instead of arrays of vectors."""
    scene = bundle_scene(cameras, points, views)

    def residual(cameras, points, r):
        x, y = projected(cameras[scene.camera].T, points[scene.point].T)
        r[:, 0] = x - scene.seen[:, 0]
        r[:, 1] = y - scene.seen[:, 1]

    return residual, (scene.cameras, scene.points, np.empty_like(scene.seen))


def projected(camera, point, lib=np):
    """The two coordinates in which a camera of nine numbers sees a point of three; `lib` has sqrt, sin and cos."""
    angle = lib.sqrt(camera[0] ** 2 + camera[1] ** 2 + camera[2] ** 2)
    a, b, c = (camera[k] / angle for k in range(3))
    x, y, z = (point[k] for k in range(3))
    cosine, sine = lib.cos(angle), lib.sin(angle)
    along = (1 - cosine) * (a * x + b * y + c * z)
    seen_x = x * cosine + (b * z - c * y) * sine + a * along + camera[3]
    seen_y = y * cosine + (c * x - a * z) * sine + b * along + camera[4]
    seen_z = z * cosine + (a * y - b * x) * sine + c * along + camera[5]
    u, v = -seen_x / seen_z, -seen_y / seen_z
    square = u * u + v * v
    scale = camera[6] * (1 + camera[7] * square + camera[8] * square**2)
    return scale * u, scale * v


def burgers(n=10_000, steps=40):
    """Viscous Burgers by central differences and forward Euler: ``loss(u0)``, ``steps`` updates of one array of n."""
    courant, diffusion = 0.2, 0.1  # dt / dx, and nu dt / dx^2: stable for |u| <= 1 at every n

    def loss(u0):
        u = u0.copy()
        for _ in range(steps):
            u[1:-1] += diffusion * (u[2:] - 2 * u[1:-1] + u[:-2]) - courant / 2 * u[1:-1] * (u[2:] - u[:-2])
        return 0.5 * np.sum(u**2)

    return loss, (np.sin(2 * np.pi * np.linspace(0, 1, n)),)


def heat(n=1024, steps=50):
    """Heat on an n x n grid with diffusivity given at the grid points: ``loss(u0, kappa)``, in-place steps."""
    ratio = 0.1  # dt / h^2: stable for kappa <= 2

    def loss(u0, kappa):
        u = u0.copy()
        across = 0.5 * ratio * (kappa[:, 1:] + kappa[:, :-1])
        along = 0.5 * ratio * (kappa[1:] + kappa[:-1])
        for _ in range(steps):
            flux_x = across * (u[:, 1:] - u[:, :-1])
            flux_y = along * (u[1:] - u[:-1])
            u[:, 1:-1] += flux_x[:, 1:] - flux_x[:, :-1]
            u[1:-1] += flux_y[1:] - flux_y[:-1]
        return 0.5 * np.sum(u**2)

    x = np.linspace(0, 1, n)
    y = x[:, None]
    return loss, (np.sin(np.pi * x) * np.sin(2 * np.pi * y), 1 + 0.5 * np.cos(3 * x + 2 * y))


def rosenbrock(n=100_000):
    """Rosenbrock's function as a chain: ``loss(x)``, with a tridiagonal Hessian."""

    def loss(x):
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    return loss, (np.linspace(0.5, 1.5, n),)


def arrowhead(n=100_000):
    """ARWHEAD of the CUTE collection: ``loss(x)``; the last element meets all others, and the Hessian has 3 n - 2 entries."""

    def loss(x):
        return np.sum((x[:-1] ** 2 + x[-1] ** 2) ** 2 - 4 * x[:-1] + 3)

    return loss, (np.linspace(0.5, 1.5, n),)


def pointwise(n=100_000):
    """A chain of fifteen elementwise operations and the sum of its result: ``loss(x)``."""

    def loss(x):
        a = np.exp(-x)  # 2
        b = np.sin(x) * a  # 2
        c = np.sqrt(1 + x * x)  # 3
        d = np.tanh(b + c)  # 2
        e = np.log(c + d)  # 2
        return np.sum(e * d / (c + a) - b)  # 4

    return loss, (np.linspace(0.1, 3, n),)


def recurrence(n=10_000):
    """Each element from the one before it: ``loss(x)``, n - 1 sequential steps of a sine and a product."""

    def loss(x):
        x = x.copy()
        for i in range(1, len(x)):
            x[i] = np.sin(x[i - 1]) * x[i]
        return x.sum()

    return loss, (np.linspace(1, 1.5, n),)


def _horner(x):
    """Polynomial of degree six: 12 operations."""
    value = 0.05
    for c in (0.1, -0.3, 0.2, 0.5, -0.4, 0.3):
        value = value * x + c
    return value


def _newton_root(square):
    """Square root by four Newton steps: 12 operations."""
    root = square
    for _ in range(4):
        root = 0.5 * (root + square / root)
    return root


def irregular(ops=1_000_000, size=1000):
    """A scalar program of about ``ops`` arithmetic operations on arrays of ``size`` numbers: ``loss(p)``.

    A Collatz sequence picks what comes next and on which elements: a polynomial by Horner's rule, a square root by
    Newton's iteration, or a short mixture, between two arrays of states and two of parameters (one of them captured),
    with factors that are Python floats and differ from step to step. Nothing is computed twice. Every update reads a
    parameter afresh and at least halves what it keeps, so that derivatives neither overflow nor vanish however long
    the program is.
    """
    weights = np.cos(np.arange(size))

    def loss(p):
        s, q = p.copy(), np.zeros(size)
        done, start, state, carried = 0, 27, 27, 1.0
        while done < ops:
            i, j, k = state % size, state // 3 % size, state // 7 % size
            factor = (done % 8191) / 8191
            if state % 2:
                s[j] = 0.2 * _horner(s[i]) + 0.3 * np.sin(factor * q[k] + p[i])
                done, state = done + 17, 3 * state + 1
            else:
                if state % 4:
                    q[i] = 0.5 * s[k] / _newton_root(1 + s[j] * s[j]) - factor * p[j]
                    done += 18
                elif state % 8:
                    s[j] = 0.25 * s[k] + 0.5 * np.tanh(weights[i] * q[k]) - 0.1 * p[j]
                    done += 7
                else:
                    carried = 0.5 * carried * np.exp(-s[i] * s[i]) + factor * q[j]
                    q[k] = 0.5 * abs(q[k]) - 0.1 * carried
                    done += 10
                state //= 2
            if state == 1:
                start += 2
                state = start
        return s.sum() + q.sum()

    return loss, (np.linspace(-1, 1, size),)
