"""Nonlinear diffusion on an unstructured mesh: linear finite elements, and Newton's method with the exact sparse Jacobian.

On the unit square, with a diffusion that grows with the solution::

    - div((1 + u^2) grad u) = f,    u given on the boundary

The right-hand side f is chosen so that u = sin(pi x) exp(y) solves the equation. The mesh is the Delaunay triangulation
of points that were moved at random, so that nodes have different numbers of neighbours.

The residual is written as finite element codes are: it gathers the values at the corners of all triangles, computes what each
triangle contributes, and adds that into the caller's array by `np.add.at`; then it overwrites the rows of boundary nodes.
`sparsead.jacobian` takes it as it is. Newton's method must converge quadratically, and the error must fall with the square
of the mesh size: a table shows both, and what the Jacobian costs.

Reference: C. Johnson, "Numerical Solution of Partial Differential Equations by the Finite Element Method", 1987, chapters 1
to 4 and 13.
"""

import argparse
import os
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # SciPy's sparse LU calls BLAS on small blocks, where threads only cost

import numpy as np
from scipy.sparse.linalg import splu
from scipy.spatial import Delaunay

import sparsead


@dataclass
class Mesh:
    """Nodes ``x``, ``y``, corners of triangles, and what is computed from them once."""

    x: np.ndarray
    y: np.ndarray
    triangles: np.ndarray

    def __post_init__(self):
        x, y = self.x[self.triangles], self.y[self.triangles]
        after, before = [1, 2, 0], [2, 0, 1]
        twice = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
        self.area = twice / 2
        # Gradient of the hat function of each corner.
        self.dx = (y[:, after] - y[:, before]) / twice[:, None]
        self.dy = (x[:, before] - x[:, after]) / twice[:, None]
        self.boundary = np.flatnonzero((self.x == 0) | (self.x == 1) | (self.y == 0) | (self.y == 1))


def scattered_mesh(n, seed=0):
    """About n x n nodes: a grid whose inner points are moved at random by up to a third of its spacing."""
    x, y = (axis.ravel() for axis in np.meshgrid(*[np.linspace(0, 1, n + 1)] * 2))
    inner = (x > 0) & (x < 1) & (y > 0) & (y < 1)
    move = np.random.default_rng(seed).uniform(-1, 1, (2, x.size)) * inner / (3 * n)
    x, y = x + move[0], y + move[1]
    triangles = Delaunay(np.column_stack([x, y])).simplices.astype(np.int64)
    return Mesh(x, y, triangles)


def solution(x, y):
    return np.sin(np.pi * x) * np.exp(y)


def source(x, y):
    """The f that belongs to `solution`: - (1 + u^2) laplace(u) - 2 u |grad u|^2."""
    u = solution(x, y)
    ux, uy = np.pi * np.cos(np.pi * x) * np.exp(y), u
    return -(1 + u**2) * (1 - np.pi**2) * u - 2 * u * (ux**2 + uy**2)


def finite_elements(mesh):
    """The function ``residual(u, r)``, which writes the residual of the nodal values u into r."""
    triangles, boundary, area, dx, dy = mesh.triangles, mesh.boundary, mesh.area, mesh.dx, mesh.dy
    given = solution(mesh.x[boundary], mesh.y[boundary])
    load = np.zeros((len(triangles), 3))
    for i, j in ((0, 1), (1, 2), (2, 0)):  # the midpoints of edges integrate quadratic functions exactly
        x, y = (axis[triangles[:, [i, j]]].mean(axis=1) for axis in (mesh.x, mesh.y))
        load[:, [i, j]] += (area / 6 * source(x, y))[:, None]

    def residual(u, r):
        corners = u[triangles]
        ux = np.sum(corners * dx, axis=1)
        uy = np.sum(corners * dy, axis=1)
        flux = np.mean(corners, axis=1)
        flux *= flux
        flux += 1
        flux *= area
        element = (flux * ux)[:, None] * dx
        element += (flux * uy)[:, None] * dy
        element -= load
        r[:] = 0
        np.add.at(r, triangles, element)
        r[boundary] = u[boundary] - given

    return residual


@dataclass
class Run:
    """What Newton's method did on one mesh."""

    mesh: Mesh
    jacobian: object
    u: np.ndarray
    residuals: list
    error: float
    prepare_seconds: float
    jacobian_seconds: float
    residual_seconds: float

    @property
    def spacing(self):
        return 1 / np.sqrt(self.mesh.x.size)


def timed(function, *args):
    start = perf_counter()
    result = function(*args)
    return result, perf_counter() - start


def newton(mesh, tolerance=1e-11, most=20):
    """Solve on one mesh, from zero."""
    residual, u, r = finite_elements(mesh), np.zeros(mesh.x.size), np.zeros(mesh.x.size)
    jacobian = sparsead.jacobian(residual, wrt="u", of="r", format="csc")
    _, prepare_seconds = timed(jacobian.prepare, u, r)
    norms, jacobian_seconds, residual_seconds = [], [], []
    for _ in range(most):
        residual_seconds.append(timed(residual, u, r)[1])
        norms.append(np.abs(r).max())
        if norms[-1] < tolerance:
            break
        matrix, seconds = timed(jacobian, u, r)
        jacobian_seconds.append(seconds)
        u -= splu(matrix).solve(r)
    else:
        raise RuntimeError(f"no convergence in {most} steps: residuals {norms}")
    error = l2_error(mesh, u)
    return Run(mesh, jacobian, u, norms, error, prepare_seconds, min(jacobian_seconds), min(residual_seconds))


def l2_error(mesh, u):
    """Mean square difference from the solution, by the values at the midpoints of edges."""
    total = 0.0
    for i, j in ((0, 1), (1, 2), (2, 0)):
        edge = mesh.triangles[:, [i, j]]
        x, y, value = (values[edge].mean(axis=1) for values in (mesh.x, mesh.y, u))
        total += np.sum(mesh.area / 3 * (value - solution(x, y)) ** 2)
    return float(np.sqrt(total))


def orders(runs):
    """By how much the error falls from mesh to mesh: the power of the spacing."""
    return [float(np.log(a.error / b.error) / np.log(a.spacing / b.spacing)) for a, b in pairwise(runs)]


def print_table(runs):
    print(
        f"{'nodes':>8} {'triangles':>10} {'entries':>9} {'steps':>6} {'error':>9} {'order':>6} "
        f"{'prepare ms':>11} {'Jacobian ms':>12} {'residual ms':>12}"
    )
    for run, order in zip(runs, [None, *orders(runs)], strict=True):
        print(
            f"{run.u.size:8d} {len(run.mesh.triangles):10d} {run.jacobian.pattern.nnz:9d} {len(run.residuals) - 1:6d} "
            f"{run.error:9.2e} {'' if order is None else format(order, '.2f'):>6} {1e3 * run.prepare_seconds:11.1f} "
            f"{1e3 * run.jacobian_seconds:12.2f} {1e3 * run.residual_seconds:12.2f}"
        )
    print("\nResiduals of Newton's method on the last mesh: " + ", ".join(f"{norm:.1e}" for norm in runs[-1].residuals))


def draw_convergence(axes, runs):
    spacing, errors = np.array([(run.spacing, run.error) for run in runs]).T
    axes.loglog(spacing, errors, "o-", label="error")
    axes.loglog(spacing, errors[-1] * (spacing / spacing[-1]) ** 2, "--", color="grey", label="square of the mesh size")
    axes.xaxis.set_minor_formatter("")
    axes.set(title="Mean square error", xlabel="mesh size")
    axes.legend(frameon=False)


def draw_newton(axes, runs):
    for run in runs:
        axes.semilogy(run.residuals, "o-", label=f"{run.u.size} nodes")
    axes.set(title="Residuals of Newton's method", xlabel="step")
    axes.legend(frameon=False)


def draw(path, runs):
    """Save the mesh, the solution, both convergences and two patterns as one picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 9), layout="constrained")
    top, bottom = figure.subplots(2, 3)
    first, last = runs[0], runs[-1]
    top[0].triplot(first.mesh.x, first.mesh.y, first.mesh.triangles, linewidth=0.6, color="tab:blue")
    top[0].set(title=f"The first mesh: {first.u.size} nodes", aspect="equal", xlabel="x", ylabel="y")
    field = top[1].tripcolor(last.mesh.x, last.mesh.y, last.mesh.triangles, last.u, shading="gouraud")
    figure.colorbar(field, ax=top[1], shrink=0.8)
    top[1].set(title=f"u on the last: {last.u.size} nodes", aspect="equal", xlabel="x", ylabel="y")
    draw_convergence(top[2], runs)
    last.jacobian.plot(ax=bottom[0])
    first.jacobian.plot("compressed", ax=bottom[1])
    draw_newton(bottom[2], runs)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


def parse(argv):
    parser = argparse.ArgumentParser(description="nonlinear diffusion by finite elements, with sparsead's sparse Jacobian")
    parser.add_argument("--n", type=int, default=16, help="nodes in each direction of the first mesh (16)")
    parser.add_argument("--meshes", type=int, default=4, help="meshes, each twice as fine as the one before (4)")
    parser.add_argument("--output", default="finite_elements.png", help="file for the picture")
    parser.add_argument("--no-plot", action="store_true", help="make no picture")
    args = parser.parse_args(argv)
    if args.n < 2 or args.meshes < 1:
        parser.error("--n has to be at least 2, and --meshes at least 1")
    return args


def main(argv=None):
    """Solve on a sequence of meshes; return what was found on each, and the orders of convergence."""
    args = parse(argv)
    if not args.no_plot:
        import matplotlib  # noqa: F401  (if it is missing, say so before the work and not after it)
    print("- div((1 + u^2) grad u) = f on triangles, by Newton's method with sparsead's Jacobian\n")
    runs = [newton(scattered_mesh(args.n * 2**level)) for level in range(args.meshes)]
    print_table(runs)
    print(f"\nThe Jacobian on the first mesh:\n{runs[0].jacobian}")
    if not args.no_plot:
        draw(args.output, runs)
    return {"runs": runs, "orders": orders(runs)}


if __name__ == "__main__":
    main()
