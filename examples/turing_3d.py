"""Turing patterns in three dimensions: implicit time steps by Newton's method and GMRES, preconditioned by the exact Jacobian.

Two species react and diffuse in the unit cube, and nothing passes its walls::

    du/dt = a - (b + 1) u + u^2 v + d (u_xx + u_yy + u_zz)
    dv/dt = b u - u^2 v       + D (v_xx + v_yy + v_zz)

With D = 8 d the steady state u = a, v = b / a is stable where all is mixed, and unstable where diffusion acts: noise grows into a
pattern. In three dimensions a direct factorization fills up, so each linear system is solved by GMRES, preconditioned by
an incomplete one, and both take the sparse Jacobian of the residual of a time step.

The residual is written as solvers are: it copies into a scratch array with ghost cells, mirrors its six walls in place, and
writes into an array of the caller. `sparsead.jacobian` takes it as it is. While the perturbation is small, the theory says by
how much implicit Euler multiplies a cosine at each step: the example starts from one, and must do that.

References: A. M. Turing, "The chemical basis of morphogenesis", Philosophical Transactions of the Royal Society B 237 (1952);
I. Prigogine and R. Lefever, "Symmetry breaking instabilities in dissipative systems II", Journal of Chemical Physics 48
(1968), the Brusselator.
"""

import argparse
import os
from dataclasses import dataclass, field
from time import perf_counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # SciPy's sparse LU calls BLAS on small blocks, where threads only cost

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres, spilu

import sparsead

A, B, SLOW, FAST = 3.0, 6.0, 0.0067, 0.0536  # a, b, d and D


def brusselator(n):
    """Right-hand side ``rhs(y, dy)`` on n x n x n cells; y holds u and v cell by cell."""
    ghosts = np.zeros((n + 2, n + 2, n + 2))
    inner = ghosts[1:-1, 1:-1, 1:-1]

    def laplacian(w, out):
        inner[...] = w
        for axis in range(3):
            layers = np.moveaxis(ghosts, axis, 0)
            layers[0] = layers[1]
            layers[-1] = layers[-2]
        np.multiply(w, -6.0, out=out)
        out += ghosts[2:, 1:-1, 1:-1]
        out += ghosts[:-2, 1:-1, 1:-1]
        out += ghosts[1:-1, 2:, 1:-1]
        out += ghosts[1:-1, :-2, 1:-1]
        out += ghosts[1:-1, 1:-1, 2:]
        out += ghosts[1:-1, 1:-1, :-2]

    def rhs(y, dy):
        u, v = np.moveaxis(y.reshape(n, n, n, 2), -1, 0)
        du, dv = np.moveaxis(dy.reshape(n, n, n, 2), -1, 0)
        laplacian(u, du)
        laplacian(v, dv)
        du *= SLOW * n**2
        dv *= FAST * n**2
        reaction = u * u
        reaction *= v
        reaction -= B * u
        du += A - u
        du += reaction
        dv -= reaction

    return rhs


def implicit_euler(rhs):
    """The function ``residual(y, old, dt, r)``, which writes ``y - old - dt * rhs(y)`` into r."""

    def residual(y, old, dt, r):
        rhs(y, r)
        r *= -dt
        r += y
        r -= old

    return residual


def cosine(n, waves):
    """A function on the cells that the discrete diffusion only multiplies, and by how much, times the square of n."""
    x = (np.arange(n) + 0.5) / n
    shape = np.ones((n, n, n))
    for axis, count in enumerate(waves):
        shape *= np.cos(np.pi * count * x).reshape([-1 if k == axis else 1 for k in range(3)])
    return shape, -4 * n**2 * sum(np.sin(np.pi * count / (2 * n)) ** 2 for count in waves)


def growth(factor):
    """The larger growth rate of a small perturbation with that factor, and its share of u and v."""
    matrix = np.array([[B - 1 + SLOW * factor, A**2], [-B, -(A**2) + FAST * factor]])
    rates, shares = np.linalg.eig(matrix)
    fastest = np.argmax(rates.real)
    return rates[fastest].real, (shares[:, fastest] / shares[0, fastest]).real


def near_steady(n, du, dv):
    """The steady state with a perturbation, as one array."""
    y = np.empty((n, n, n, 2))
    y[..., 0] = A + du
    y[..., 1] = B / A + dv
    return y.ravel()


@dataclass
class Work:
    """What a run took: numbers, and seconds by what they were spent on."""

    newton: int = 0
    gmres: int = 0
    factorizations: int = 0
    seconds: dict = field(default_factory=lambda: dict.fromkeys(("residuals", "Jacobians", "factorizations", "GMRES"), 0.0))

    def timed(self, what, function, *args, **options):
        start = perf_counter()
        result = function(*args, **options)
        self.seconds[what] += perf_counter() - start
        return result


class Stepper:
    """Implicit Euler steps of a fixed size; the preconditioner is kept for as long as it serves."""

    def __init__(self, n, dt, tolerance=1e-8):
        self.residual, self.dt, self.tolerance = implicit_euler(brusselator(n)), dt, tolerance
        self.r, self.work, self.preconditioner = np.zeros(2 * n**3), Work(), None
        self.jac = sparsead.jacobian(self.residual, wrt="y", of="r", format="csc")
        self.jac.prepare(np.ones_like(self.r), np.ones_like(self.r), dt, self.r)
        self.matrix = None

    def step(self, old):
        """The state after one step, by Newton's method."""
        y = old.copy()
        for _ in range(12):
            self.work.timed("residuals", self.residual, y, old, self.dt, self.r)
            if np.abs(self.r).max() < self.tolerance:
                return y
            self.matrix = self.work.timed("Jacobians", self.jac, y, old, self.dt, self.r, out=self.matrix)
            self.work.newton += 1
            y -= self.solution()
        raise RuntimeError(f"Newton's method does not converge: residual {np.abs(self.r).max():.1e}")

    def solution(self):
        """Of the linear system; where it took long, the next one gets a new preconditioner."""
        if self.preconditioner is None:
            self.preconditioner = self.factorized()
        norms = []
        how = {"rtol": 1e-4, "atol": 0.1 * self.tolerance, "restart": 60, "callback": norms.append, "callback_type": "pr_norm"}
        x, failed = self.work.timed("GMRES", gmres, self.matrix, self.r, M=self.preconditioner, **how)
        if failed:
            raise RuntimeError(f"GMRES does not converge in {failed} iterations")
        self.work.gmres += len(norms)
        if len(norms) > 30:
            self.preconditioner = None
        return x

    def factorized(self):
        """An incomplete factorization of the Jacobian."""
        how = {"drop_tol": 1e-2, "fill_factor": 4, "permc_spec": "MMD_AT_PLUS_A"}
        factors = self.work.timed("factorizations", spilu, self.matrix, **how)
        self.work.factorizations += 1
        return LinearOperator(self.matrix.shape, factors.solve)


@dataclass
class Growth:
    """By how much a small cosine grows in a step: measured, and by theory."""

    waves: tuple
    measured: float
    theory: float


def grow(n, dt, waves, steps=3, size=1e-6):
    """Follow a cosine while it is small."""
    shape, factor = cosine(n, waves)
    rate, shares = growth(factor)
    stepper, y = Stepper(n, dt, tolerance=1e-12), near_steady(n, size * shares[0] * shape, size * shares[1] * shape)
    for _ in range(steps):
        y = stepper.step(y)
    found = np.sum((y.reshape(n, n, n, 2)[..., 0] - A) * shape) / (size * np.sum(shape**2))
    return Growth(waves, float(found ** (1 / steps)), float(1 / (1 - dt * rate)))


def form(n, dt, steps, seed=0):
    """From noise to a pattern: the stepper, the states, and the largest violation of the balance of u + v in a step."""
    noise = np.random.default_rng(seed).normal(0, 0.1, (2, n, n, n))
    stepper, states, worst = Stepper(n, dt), [near_steady(n, *noise)], 0.0
    for _ in range(steps):
        y = stepper.step(states[-1])
        inflow = dt * np.sum(A - y[::2])
        worst = max(worst, abs(np.sum(y) - np.sum(states[-1]) - inflow) / np.sum(y))
        states.append(y)
    return stepper, states, worst


def milliseconds(function, *args, repeat=10, **options):
    """Of the quickest call."""
    times = []
    for _ in range(repeat):
        start = perf_counter()
        function(*args, **options)
        times.append(perf_counter() - start)
    return 1e3 * min(times)


def print_work(work, steps, seconds):
    print(f"{steps} steps in {seconds:.1f} s: {work.newton} Newton steps, each with a Jacobian, "
          f"{work.gmres / max(work.newton, 1):.0f} GMRES iterations for each, {work.factorizations} factorizations")  # fmt: skip
    print("Seconds: " + ", ".join(f"{what} {spent:.2f}" for what, spent in work.seconds.items()))


def draw_slices(axes, states, n, dt):
    """u in the middle of the cube, at three times, to one scale."""
    chosen = [1, len(states) // 2, len(states) - 1]
    slices = [states[k].reshape(n, n, n, 2)[:, :, n // 2, 0] for k in chosen]
    scale = {"vmin": min(s.min() for s in slices), "vmax": max(s.max() for s in slices), "cmap": "magma"}
    for ax, k, field_ in zip(axes, chosen, slices, strict=True):
        image = ax.imshow(field_, origin="lower", extent=(0, 1, 0, 1), interpolation="bicubic", **scale)
        ax.set(title=f"u in the middle, t = {k * dt:g}", xlabel="y", ylabel="x")
    axes[-1].figure.colorbar(image, ax=axes, shrink=0.7)


def draw_spread(axes, states, dt):
    """How uneven u is, against time."""
    spread = [np.std(y[::2]) for y in states]
    axes.semilogy(dt * np.arange(len(states)), spread)
    axes.set(title="Standard deviation of u", xlabel="t")
    axes.spines[["top", "right"]].set_visible(False)


def draw_seconds(axes, work):
    axes.barh(list(work.seconds), list(work.seconds.values()), color="tab:orange")
    axes.invert_yaxis()
    axes.set(title="Time", xlabel="seconds")
    axes.spines[["top", "right"]].set_visible(False)


def draw(path, n, dt, stepper, states):
    """Save slices of the solution, its growth, where the time went, and the pattern as one picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 9.5), layout="constrained")
    top, bottom = figure.subplots(2, 3)
    draw_slices(top, states, n, dt)
    stepper.jac.plot(ax=bottom[0])
    draw_spread(bottom[1], states, dt)
    draw_seconds(bottom[2], stepper.work)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


def parse(argv):
    parser = argparse.ArgumentParser(description="Turing patterns in 3-D by Newton and GMRES with sparsead's sparse Jacobian")
    parser.add_argument("--n", type=int, default=16, help="cells in each direction (16)")
    parser.add_argument("--steps", type=int, default=40, help="time steps (40)")
    parser.add_argument("--dt", type=float, default=0.25, help="size of a step (0.25)")
    parser.add_argument("--output", default="turing_3d.png", help="file for the picture")
    parser.add_argument("--no-plot", action="store_true", help="make no picture")
    args = parser.parse_args(argv)
    if args.n < 4 or args.steps < 1 or args.dt <= 0:
        parser.error("--n has to be at least 4, --steps at least 1, and --dt positive")
    return args


def main(argv=None):
    """Measure the growth of cosines, then let a pattern form; return both, and how well u + v is balanced."""
    args = parse(argv)
    if not args.no_plot:
        import matplotlib  # noqa: F401  (if it is missing, say so before the work and not after it)
    growths = [grow(args.n, args.dt, waves) for waves in ((1, 1, 1), (2, 2, 1), (3, 2, 1))]
    print("Half waves    growth in a step    theory")
    for g in growths:
        print(f"{g.waves!s:12} {g.measured:17.6f} {g.theory:11.6f}")
    start = perf_counter()
    stepper, states, worst = form(args.n, args.dt, args.steps)
    seconds = perf_counter() - start
    last = states[-2], states[-1], args.dt, stepper.r
    print(f"\n{stepper.jac!r}")
    print(f"A Jacobian takes {milliseconds(stepper.jac, *last, out=stepper.matrix):.2f} ms, "
          f"a residual {milliseconds(stepper.residual, *last):.2f} ms")  # fmt: skip
    print_work(stepper.work, args.steps, seconds)
    print(f"u + v is balanced to {worst:.1e} in each step")
    if not args.no_plot:
        draw(args.output, args.n, args.dt, stepper, states)
    return {"growths": growths, "stepper": stepper, "states": states, "imbalance": worst}


if __name__ == "__main__":
    main()
