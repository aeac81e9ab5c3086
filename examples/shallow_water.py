"""A jet in shallow water on a staggered grid: implicit steps by Newton's method, with the exact sparse Jacobian of a step.

Thickness h and velocity (u, v) of a rotating layer of water in a channel, periodic in x, with walls at both y::

    h_t + (h u)_x + (h v)_y = 0
    u_t - q h v + (g h + (u^2 + v^2) / 2)_x = 0        with q = (f + v_x - u_y) / h
    v_t + q h u + (g h + (u^2 + v^2) / 2)_y = 0

On the C grid h is in the middle of cells, and velocities are on their edges; the scheme conserves mass and energy. The implicit
midpoint rule takes steps that are many times longer than gravity waves allow to explicit ones.

The code is written as ocean models are: it copies the fields into arrays with a halo, updates halo and walls in place, and
writes into views of the caller's array. `sparsead.jacobian` takes the residual of a step as it is; periodic edges and walls
show in its pattern. Mass must stay to rounding, energy nearly, and the jet must roll up into vortices.

References: A. Arakawa and V. R. Lamb, "Computational design of the basic dynamical processes of the UCLA general circulation
model", Methods in Computational Physics 17 (1977), the C grid; R. Sadourny, "The dynamics of finite-difference models of the
shallow-water equations", Journal of the Atmospheric Sciences 32 (1975), the scheme that conserves energy.
"""

import argparse
import os
from dataclasses import dataclass
from time import perf_counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # SciPy's sparse LU calls BLAS on small blocks, where threads only cost

import numpy as np
from scipy.sparse.linalg import splu

import sparsead

GRAVITY, ROTATION, LENGTH = 25.0, 5.0, 2.0  # g, f, and the period in x; the channel is 1 wide and 1 deep
JET, WIDTH = 1.0, 0.12


class Channel:
    """The grid, with nx x ny cells: u is on the left edges, v on the lower ones and on the upper wall.

    A state is one array with h, u and v, of shapes (nx, ny), (nx, ny) and (nx, ny + 1).
    """

    def __init__(self, nx, ny):
        self.nx, self.ny, self.dx, self.dy = nx, ny, LENGTH / nx, 1 / ny
        self.size = nx * (3 * ny + 1)
        self.h = np.zeros((nx + 2, ny + 2))  # with a halo
        self.u = np.zeros((nx + 2, ny + 2))
        self.v = np.zeros((nx + 2, ny + 1))

    def fields(self, state):
        """Views of h, u and v."""
        cells = self.nx * self.ny
        h, u, v = state[:cells], state[cells : 2 * cells], state[2 * cells :]
        return h.reshape(self.nx, self.ny), u.reshape(self.nx, self.ny), v.reshape(self.nx, self.ny + 1)

    def fill(self, state):
        """Copy the fields, then update walls and halo in place."""
        self.h[1:-1, 1:-1], self.u[1:-1, 1:-1], self.v[1:-1] = self.fields(state)
        self.v[:, 0] = self.v[:, -1] = 0  # nothing passes the walls
        for field in (self.h, self.u):  # nothing changes across them
            field[:, 0] = field[:, 1]
            field[:, -1] = field[:, -2]
        for field in (self.h, self.u, self.v):
            field[0] = field[-2]
            field[-1] = field[1]

    def fluxes(self):
        """h u on left edges, the last one that of the next period, and h v on lower edges, with halo."""
        u = self.u[1:] * (self.h[1:] + self.h[:-1])
        v = self.v * (self.h[:, 1:] + self.h[:, :-1])
        u *= 0.5
        v *= 0.5
        return u, v

    def vorticity(self):
        """v_x - u_y at the lower left corners."""
        return (self.v[1:] - self.v[:-1]) / self.dx - (self.u[1:, 1:] - self.u[1:, :-1]) / self.dy

    def tendency(self, state, rate):
        """Write the rate of change of a state into ``rate``."""
        self.fill(state)
        dh, du, dv = self.fields(rate)
        h, u, v = self.h, self.u, self.v
        flux_u, flux_v = self.fluxes()
        q = self.vorticity()
        q += ROTATION
        q /= 0.25 * (h[1:, 1:] + h[:-1, 1:] + h[1:, :-1] + h[:-1, :-1])
        head = GRAVITY * h[:-1, 1:-1]
        head += 0.25 * (u[:-1, 1:-1] ** 2 + u[1:, 1:-1] ** 2)
        head += 0.25 * (v[:-1, :-1] ** 2 + v[:-1, 1:] ** 2)

        np.subtract(flux_u[:-1, 1:-1], flux_u[1:, 1:-1], out=dh)
        dh /= self.dx
        dh -= (flux_v[1:-1, 1:] - flux_v[1:-1, :-1]) / self.dy

        across = 0.5 * q * (flux_v[1:] + flux_v[:-1])
        du[...] = 0.5 * (across[:-1, :-1] + across[:-1, 1:])
        du -= (head[1:] - head[:-1]) / self.dx

        across = 0.5 * q * (flux_u[:, 1:] + flux_u[:, :-1])
        dv[:, 1:-1] = -0.5 * (across[:-1, 1:-1] + across[1:, 1:-1])
        dv[:, 1:-1] -= (head[1:, 1:] - head[1:, :-1]) / self.dy
        dv[:, 0] = dv[:, -1] = 0

    def mass(self, state):
        return float(np.sum(self.fields(state)[0]) * self.dx * self.dy)

    def energy(self, state):
        self.fill(state)
        flux_u, flux_v = self.fluxes()
        kinetic = np.sum(flux_u[:-1, 1:-1] * self.u[1:-1, 1:-1]) + np.sum(flux_v[1:-1] * self.v[1:-1])
        return float(0.5 * (kinetic + GRAVITY * np.sum(self.h[1:-1, 1:-1] ** 2)) * self.dx * self.dy)


def midpoint_rule(channel):
    """The function ``residual(new, old, dt, r)``, which writes what is left of a step's equations into r."""

    def residual(new, old, dt, r):
        channel.tendency(0.5 * (new + old), r)
        r *= -dt
        r += new
        r -= old

    return residual


def jet(channel):
    """A jet in balance with the slope of the surface, and a small wave across it."""
    state = np.zeros(channel.size)
    h, u, v = channel.fields(state)
    x = np.arange(channel.nx) * channel.dx
    middle, edge = ((np.arange(n) + shift) * channel.dy for n, shift in ((channel.ny, 0.5), (channel.ny + 1, 0.0)))
    u[...] = JET / np.cosh((middle - 0.5) / WIDTH) ** 2
    h[...] = 1 - ROTATION * JET * WIDTH / GRAVITY * np.tanh((middle - 0.5) / WIDTH)
    wave = np.cos(2 * np.pi * x) + 0.4 * np.cos(np.pi * x + 1)
    v[...] = 0.05 * wave[:, None] * np.exp(-(((edge - 0.5) / WIDTH) ** 2))
    v[:, [0, -1]] = 0
    return state


def newton(channel, jac, old, dt, tolerance=1e-13, most=8):
    """Residuals of Newton's method in one step, with a new Jacobian each time; it ends where rounding ends it."""
    residual, r, new, norms = midpoint_rule(channel), np.zeros(channel.size), old.copy(), []
    while len(norms) < most:
        residual(new, old, dt, r)
        norms.append(float(np.abs(r).max()))
        if norms[-1] < tolerance:
            break
        new -= splu(jac(new, old, dt, r)).solve(r)
    return norms


@dataclass
class Run:
    """States after each step, what became of mass and energy, relative to the start, and what it took."""

    states: list
    mass: np.ndarray
    energy: np.ndarray
    iterations: int
    jacobians: int
    seconds: float


def integrate(channel, jac, state, dt, steps, tolerance=1e-12):
    """Solve each step by simplified Newton iterations, with a new Jacobian where the one before took more than eight."""
    residual, r, factors = midpoint_rule(channel), np.zeros(channel.size), None
    states, iterations, jacobians, start = [state], 0, 0, perf_counter()
    for _ in range(steps):
        old = states[-1]
        new = old.copy()
        if factors is None:
            factors = splu(jac(new, old, dt, r))
            jacobians += 1
        for count in range(30):
            residual(new, old, dt, r)
            if np.abs(r).max() < tolerance:
                break
            new -= factors.solve(r)
        else:
            raise RuntimeError(f"Newton's method does not converge: residual {np.abs(r).max():.1e}")
        iterations += count
        factors = None if count > 8 else factors
        states.append(new)
    seconds = perf_counter() - start
    mass, energy = (np.array([measure(s) for s in states]) for measure in (channel.mass, channel.energy))
    return Run(states, mass / mass[0] - 1, energy / energy[0] - 1, iterations, jacobians, seconds)


def milliseconds(function, *args, repeat=10):
    """Of the quickest call."""
    times = []
    for _ in range(repeat):
        start = perf_counter()
        function(*args)
        times.append(perf_counter() - start)
    return 1e3 * min(times)


def print_run(run, dt):
    print(f"\n{'t':>6} {'mass':>10} {'energy':>10}    (change, relative)")
    for k in range(0, len(run.states), max(1, (len(run.states) - 1) // 4)):
        print(f"{k * dt:6.2f} {run.mass[k]:10.1e} {run.energy[k]:10.1e}")
    print(f"{len(run.states) - 1} steps in {run.seconds:.1f} s: {run.iterations} Newton iterations, {run.jacobians} Jacobians")


def draw_vorticity(axes, channel, run, dt):
    """The vorticity at three times, to one scale."""
    last = len(run.states) - 1
    for ax, k in zip(axes, (0, last // 2, last), strict=True):
        channel.fill(run.states[k])
        style = {"cmap": "RdBu_r", "vmin": -8, "vmax": 8, "interpolation": "bicubic"}
        image = ax.imshow(channel.vorticity().T, origin="lower", extent=(0, LENGTH, 0, 1), **style)
        ax.set(title=f"Vorticity at t = {k * dt:.2g}", xlabel="x", ylabel="y")
    axes[-1].figure.colorbar(image, ax=axes, shrink=0.9)


def draw_conservation(axes, run, dt):
    t = dt * np.arange(1, len(run.states))
    for name, change in (("mass", run.mass), ("energy", run.energy)):
        axes.semilogy(t, np.maximum(np.abs(change[1:]), 1e-17), label=name)
    axes.set(title="Relative change", xlabel="t", ylim=(5e-18, 1))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def draw(path, channel, run, dt, jac, small):
    """Save the vorticity, the conservation, and the patterns on this grid and on a small one, as one picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8.5), layout="constrained")
    top, bottom = figure.subplots(2, 3, height_ratios=(2, 3))
    draw_vorticity(top, channel, run, dt)
    jac.plot(ax=bottom[0])
    small.plot("coloring", ax=bottom[1])
    draw_conservation(bottom[2], run, dt)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


def prepared(channel, dt):
    """The Jacobian of a step."""
    state = jet(channel)
    jac = sparsead.jacobian(midpoint_rule(channel), wrt="new", of="r", format="csc")
    return jac.prepare(state, state.copy(), dt, np.zeros(channel.size))


def parse(argv):
    parser = argparse.ArgumentParser(description="shallow water on a C grid, implicit, with sparsead's sparse Jacobian")
    parser.add_argument("--n", type=int, default=32, help="cells across the channel; twice as many along it (32)")
    parser.add_argument("--steps", type=int, default=64, help="time steps (64)")
    parser.add_argument("--dt", type=float, default=0.05, help="size of a step (0.05)")
    parser.add_argument("--output", default="shallow_water.png", help="file for the picture")
    parser.add_argument("--no-plot", action="store_true", help="make no picture")
    args = parser.parse_args(argv)
    if args.n < 4 or args.steps < 1 or args.dt <= 0:
        parser.error("--n has to be at least 4, --steps at least 1, and --dt positive")
    return args


def main(argv=None):
    """Integrate the jet; return the run, the residuals of Newton's method in the first step, and the Jacobian."""
    args = parse(argv)
    if not args.no_plot:
        import matplotlib  # noqa: F401  (if it is missing, say so before the work and not after it)
    channel, start = Channel(2 * args.n, args.n), perf_counter()
    state, jac = jet(channel), prepared(channel, args.dt)
    print(f"{2 * args.n} x {args.n} cells; traced and prepared in {perf_counter() - start:.2f} s: {jac!r}")
    last = state, state.copy(), args.dt, np.zeros(channel.size)
    print(f"A Jacobian takes {milliseconds(jac, *last):.2f} ms, a residual {milliseconds(midpoint_rule(channel), *last):.2f} ms")
    courant = args.dt * np.sqrt(GRAVITY) * (1 / channel.dx + 1 / channel.dy)
    print(f"Gravity waves pass {courant:.1f} cells in a step; explicit steps may not let them pass one")
    norms = newton(channel, jac, state, args.dt)
    print("Residuals of Newton's method in the first step: " + ", ".join(f"{norm:.1e}" for norm in norms))
    run = integrate(channel, jac, state, args.dt, args.steps)
    print_run(run, args.dt)
    small = prepared(Channel(6, 5), args.dt)
    print(f"\nThe pattern on 6 x 5 cells: h, u, v\n{small}")
    if not args.no_plot:
        draw(args.output, channel, run, args.dt, jac, small)
    return {"run": run, "newton": norms, "jacobian": jac}


if __name__ == "__main__":
    main()
