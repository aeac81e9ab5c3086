"""The 2-D Brusselator, integrated by SciPy's BDF and Radau with an exact sparse Jacobian.

Two species react and diffuse on the unit square with periodic boundaries::

    du/dt = 1 + u^2 v - 4.4 u + alpha (u_xx + u_yy) + f(x, y, t)
    dv/dt = 3.4 u - u^2 v     + alpha (v_xx + v_yy)

    u(x, y, 0) = 22 y (1 - y)^(3/2),    v(x, y, 0) = 27 x (1 - x)^(3/2)

The forcing f is included: it is 5 in the disc (x - 0.3)^2 + (y - 0.6)^2 <= 0.1^2 from t = 1.1 on, and 0 elsewhere.

The right-hand side is written as solvers are: it writes into an array of the caller, uses a scratch array that it
captured, updates slices in place and branches on the time. `sparsead.jacobian` takes it as it is. The same solvers
then run with SciPy's own finite differences, which are given the same sparsity. The errors are those against a tight
run of the explicit DOP853, which needs no Jacobian; its cost grows as n^4, so go beyond n = 100 with patience.

Reference: E. Hairer and G. Wanner, "Solving Ordinary Differential Equations II", 2nd edition, 1996, section IV.10,
problem BRUSS-2D (alpha = 0.1, n = 128, output at t = 1.5 and 11.5).
"""

import argparse
import os
from dataclasses import dataclass
from time import perf_counter

# SciPy's sparse LU calls BLAS on small blocks, where threads cost far more than they give: on a busy machine up to a hundred
# times more. NumPy reads this when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.integrate import BDF, Radau, solve_ivp

import sparsead

OURS, THEIRS = "sparsead", "differences"


def laplacian(u, out):
    """Write the periodic five-point sum ``u_left + u_right + u_below + u_above - 4 u`` into ``out``."""
    np.multiply(u, -4.0, out=out)
    out[1:] += u[:-1]
    out[0] += u[-1]
    out[:-1] += u[1:]
    out[-1] += u[0]
    out[:, 1:] += u[:, :-1]
    out[:, 0] += u[:, -1]
    out[:, :-1] += u[:, 1:]
    out[:, -1] += u[:, 0]


def brusselator(n, alpha=0.1):
    """Right-hand side ``rhs(t, y, dy)`` on an n x n grid, and the initial values, of shape (2 n^2,)."""
    gx = np.arange(n) / n
    gy = gx[:, None]
    disc = (gx - 0.3) ** 2 + (gy - 0.6) ** 2 <= 0.1**2
    diffusion = alpha * n**2
    work = np.zeros((n, n))

    def rhs(t, y, dy):
        u, v = y.reshape(2, n, n)
        du, dv = dy.reshape(2, n, n)
        laplacian(u, du)
        laplacian(v, dv)
        du *= diffusion
        dv *= diffusion
        np.multiply(u, u, out=work)
        np.multiply(work, v, out=work)
        du += 1 + work - 4.4 * u
        dv += 3.4 * u - work
        if t >= 1.1:
            du[disc] += 5

    y0 = np.empty((2, n, n))
    y0[0] = 22 * gy * (1 - gy) ** 1.5
    y0[1] = 27 * gx * (1 - gx) ** 1.5
    return rhs, y0.ravel()


class Timed:
    """A function that counts its calls and adds up their time."""

    def __init__(self, function):
        self.function, self.calls, self.seconds = function, 0, 0.0

    def __call__(self, *args):
        start = perf_counter()
        result = self.function(*args)
        self.seconds += perf_counter() - start
        self.calls += 1
        return result


@dataclass
class Run:
    """What one integration did, and where it ended."""

    method: str
    source: str
    steps: int
    rhs_calls: int
    jacobians: int
    jacobian_seconds: float
    seconds: float
    y: np.ndarray
    error: float = np.nan


def returning(rhs):
    """Turn ``rhs(t, y, dy)``, which writes its result, into the ``fun(t, y)`` that SciPy wants."""

    def fun(t, y):
        dy = np.empty_like(y)
        rhs(t, y, dy)
        return dy

    return fun


def integrate(solver_class, source, rhs, y0, t_end, tol, **how):
    """Step one of SciPy's solvers by hand, so that its Jacobians can be timed whoever makes them."""
    fun = Timed(returning(rhs))
    start = perf_counter()
    solver = solver_class(fun, 0.0, y0, t_end, rtol=tol, atol=tol, **how)
    jac = solver.jac = Timed(solver.jac)
    jac.seconds = perf_counter() - start  # the constructor of the solver groups columns and makes the first Jacobian
    steps = 0
    while solver.status == "running":
        message = solver.step()
        steps += 1
    seconds = perf_counter() - start
    if solver.status == "failed":
        raise RuntimeError(f"{solver_class.__name__} stopped at t = {solver.t:.3g}: {message}")
    return Run(solver_class.__name__, source, steps, fun.calls, solver.njev, jac.seconds, seconds, solver.y)


def compare(rhs, y0, jac, t_end, tol):
    """Integrate by BDF and Radau with both Jacobians; errors are relative to the largest value of a tight run."""
    dy = np.empty_like(y0)
    sources = {OURS: {"jac": lambda t, y: jac(t, y, dy)}, THEIRS: {"jac_sparsity": jac.pattern}}
    runs = []
    for solver_class in (BDF, Radau):
        for source, how in sources.items():
            runs.append(integrate(solver_class, source, rhs, y0, t_end, tol, **how))
    tight = solve_ivp(returning(rhs), (0, t_end), y0, method="DOP853", t_eval=[t_end], rtol=1e-10, atol=1e-10).y[:, -1]
    for run in runs:
        run.error = np.abs(run.y - tight).max() / np.abs(tight).max()
    return runs


def print_table(runs):
    print(
        f"\n{'method':7} {'Jacobian by':12} {'steps':>6} {'rhs calls':>10} {'Jacobians':>10} "
        f"{'Jacobian s':>11} {'total s':>8} {'error':>9}"
    )
    for r in runs:
        print(
            f"{r.method:7} {r.source:12} {r.steps:6d} {r.rhs_calls:10d} {r.jacobians:10d} "
            f"{r.jacobian_seconds:11.3f} {r.seconds:8.2f} {r.error:9.1e}"
        )


def draw_field(figure, axes, field, title):
    image = axes.imshow(field, origin="lower", extent=(0, 1, 0, 1), cmap="viridis", interpolation="bicubic")
    figure.colorbar(image, ax=axes, shrink=0.8)
    axes.set(title=title, xlabel="x", ylabel="y")


def draw_times(axes, runs):
    names = [f"{r.method}\n{r.source}" for r in runs]
    jacobian = [r.jacobian_seconds for r in runs]
    rest = [r.seconds - r.jacobian_seconds for r in runs]
    axes.barh(names, jacobian, color="tab:orange", label="Jacobians")
    axes.barh(names, rest, left=jacobian, color="tab:blue", alpha=0.5, label="steps, linear algebra")
    axes.invert_yaxis()
    axes.set(title="Time to integrate", xlabel="seconds")
    axes.legend(loc="upper right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def draw(path, n, t_end, runs, jac):
    """Save the solution, the times, the pattern and its colouring as one picture."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 9), layout="constrained")
    top, bottom = figure.subplots(2, 3)
    u, v = min(runs, key=lambda run: run.error).y.reshape(2, n, n)
    draw_field(figure, top[0], u, f"u at t = {t_end:g}")
    draw_field(figure, top[1], v, f"v at t = {t_end:g}")
    draw_times(top[2], runs)

    jac.plot(ax=bottom[0])
    jac.plot("coloring", ax=bottom[1])
    coloring, count = jac.coloring, jac.coloring.count
    colors = coloring.row_colors if coloring.column_colors is None else coloring.column_colors
    style = {"cmap": ListedColormap(colormaps["turbo"](np.linspace(0.05, 0.95, count))), "vmin": -0.5, "vmax": count - 0.5}
    image = bottom[2].imshow(colors[: n * n].reshape(n, n), origin="lower", **style)
    figure.colorbar(image, ax=bottom[2], shrink=0.8, ticks=range(count))
    bottom[2].set(title=f"Colour of u at each grid point, of {count}", xlabel="column", ylabel="row")
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


def parse(argv):
    parser = argparse.ArgumentParser(description="2-D Brusselator with sparsead's sparse Jacobian")
    parser.add_argument("--n", type=int, default=32, help="grid points in each direction (32)")
    parser.add_argument("--alpha", type=float, default=0.1, help="diffusion (0.1)")
    parser.add_argument("--t-end", type=float, default=11.5, help="end of the integration (11.5)")
    parser.add_argument("--tol", type=float, default=1e-5, help="relative and absolute tolerance (1e-5)")
    parser.add_argument("--output", default="brusselator.png", help="file for the picture")
    parser.add_argument("--no-plot", action="store_true", help="make no picture")
    args = parser.parse_args(argv)
    if min(args.n, args.t_end, args.tol) <= 0:
        parser.error("--n, --t-end and --tol have to be positive")
    return args


def main(argv=None):
    """Run the comparison; return its runs, the number of entries of the Jacobian and that of its colours."""
    args = parse(argv)
    if not args.no_plot:
        import matplotlib  # noqa: F401  (if it is missing, say so before the work and not after it)
    rhs, y0 = brusselator(args.n, args.alpha)
    jac = sparsead.jacobian(rhs, wrt="y", of="dy", format="csc")
    start = perf_counter()
    jac.prepare(0.0, y0, np.empty_like(y0))
    seconds = perf_counter() - start
    pattern, coloring = jac.pattern, jac.coloring
    print(f"2-D Brusselator, {args.n} x {args.n} grid, alpha = {args.alpha:g}, t <= {args.t_end:g}, tol = {args.tol:g}")
    way = "computed entry by entry" if jac.method == "direct" else "compressed by colours"
    print(f"Jacobian: {y0.size} x {y0.size}, {pattern.nnz} entries, {way}; {coloring.count} colours ({coloring.partition}s)")
    print(f"Traced and prepared in {seconds:.3f} s")

    runs = compare(rhs, y0, jac, args.t_end, args.tol)
    print_table(runs)
    if not args.no_plot:
        draw(args.output, args.n, args.t_end, runs, jac)
    return {"runs": runs, "nnz": pattern.nnz, "colors": coloring.count}


if __name__ == "__main__":
    main()
