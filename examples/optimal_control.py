"""Swinging a pendulum up with the least effort: collocation, and SciPy's `trust-constr` with exact sparse derivatives.

A pendulum that hangs at rest is to stand at rest after a given time; the torque u that does it shall have the smallest integral::

    minimize  1/2 integral of u^2    with    theta'' = u - sin(theta) - c theta',
    theta = theta' = 0 at the start,    theta = pi, theta' = 0 at the end

Hermite-Simpson collocation makes that a problem in finitely many unknowns: angles and velocities at the nodes, torques at nodes
and midpoints. `sparsead` differentiates what is written for it: the gradient and the Hessian of the cost, the sparse Jacobian of
the constraints c(x), and the Hessian of v . c(x), whatever the multipliers v. The same solver then runs with quasi-Newton
updates in place of the Hessians.

The reference comes from elsewhere: Pontryagin's principle turns the problem into a boundary value problem for the state and the
costate, which SciPy's `solve_bvp` solves to ten digits. Costs must converge to that one, with the fourth power of the step.

References: C. R. Hargraves and S. W. Paris, "Direct trajectory optimization using nonlinear programming and collocation", Journal
of Guidance, Control, and Dynamics 10 (1987); J. T. Betts, "Practical Methods for Optimal Control Using Nonlinear Programming",
2nd edition, SIAM 2010, chapter 4.
"""

import argparse
import os
import warnings
from dataclasses import dataclass
from time import perf_counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # arrays are small here

import numpy as np
from scipy.integrate import solve_bvp
from scipy.optimize import BFGS, NonlinearConstraint, minimize

import sparsead

OURS, THEIRS = "sparsead", "quasi-Newton"
FRICTION = 0.1


class Swing:
    """The problem on n intervals of a time T; x holds n + 1 angles, n + 1 velocities, and 2 n + 1 torques."""

    def __init__(self, n, duration):
        self.n, self.step, self.size = n, duration / n, 4 * n + 3

    def parts(self, x):
        """Views of angles, velocities, and torques."""
        n = self.n
        return x[: n + 1], x[n + 1 : 2 * n + 2], x[2 * n + 2 :]

    def cost(self, x):
        """Half the integral of the square of the torque, by Simpson's rule."""
        effort = self.parts(x)[2] ** 2
        total = np.sum(effort[:-1:2] + 4 * effort[1::2] + effort[2::2])
        return 0.5 * self.step / 6 * total

    def constraints(self, x):
        """What must be zero: defects of angles and velocities in each interval, and of the four conditions at the ends."""
        n, h, (angle, velocity, torque) = self.n, self.step, self.parts(x)
        force = torque[::2] - FRICTION * velocity
        force -= np.sin(angle)
        middle = np.empty((2, n))
        for half, y, slope in zip(middle, (angle, velocity), (velocity, force), strict=True):
            half[:] = slope[:-1] - slope[1:]
            half *= h / 8
            half += 0.5 * (y[:-1] + y[1:])
        slope = torque[1::2] - np.sin(middle[0]) - FRICTION * middle[1]

        c = np.empty(2 * n + 4)
        for defect, y, left, inner, right in (
            (c[:n], angle, velocity[:-1], middle[1], velocity[1:]),
            (c[n : 2 * n], velocity, force[:-1], slope, force[1:]),
        ):
            defect[:] = left + 4 * inner + right
            defect *= -h / 6
            defect += y[1:] - y[:-1]
        c[-4:-2] = angle[0], velocity[0]
        c[-2:] = angle[-1] - np.pi, velocity[-1]
        return c

    def start(self):
        """A straight line from one end to the other, without torque."""
        x = np.zeros(self.size)
        angle, velocity, _ = self.parts(x)
        angle[:] = np.linspace(0, np.pi, self.n + 1)
        velocity[:] = np.pi / (self.n * self.step)
        return x


@dataclass
class Run:
    """What `trust-constr` did with one kind of Hessian, and what it found."""

    swing: Swing
    source: str
    x: np.ndarray
    cost: float
    violation: float
    iterations: int
    seconds: float
    jacobian: object
    hessian: object


def optimize(n, duration, source):
    """Solve on n intervals."""
    swing = Swing(n, duration)

    def along(x, v):
        return v @ swing.constraints(x)

    gradient, curvature = sparsead.grad(swing.cost), sparsead.hessian(swing.cost)
    jacobian, hessian = sparsead.jacobian(swing.constraints), sparsead.hessian(along, wrt="x")
    x0, v0 = swing.start(), np.ones(2 * n + 4)
    for derivative, arguments in ((gradient, (x0,)), (curvature, (x0,)), (jacobian, (x0,)), (hessian, (x0, v0))):
        derivative.prepare(*arguments)
    second = BFGS() if source == THEIRS else lambda x, v: hessian(x, v)
    constraint = NonlinearConstraint(swing.constraints, 0, 0, jac=lambda x: jacobian(x), hess=second)
    options = {"gtol": 1e-9, "xtol": 1e-13, "maxiter": 1000}
    start = perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="delta_grad == 0.0")  # quasi-Newton updates that learn nothing
        found = minimize(
            swing.cost, x0, method="trust-constr", jac=lambda x: gradient(x), hess=lambda x: curvature(x),
            constraints=[constraint], options=options,
        )  # fmt: skip
    seconds = perf_counter() - start
    if not found.success:
        raise RuntimeError(f"trust-constr with Hessians by {source}: {found.message}")
    violation = float(found.constr_violation)
    return Run(swing, source, found.x, float(found.fun), violation, found.nit, seconds, jacobian, hessian)


@dataclass
class Reference:
    """The solution of the boundary value problem: the state and the costate as functions of time, and the cost."""

    solution: object
    cost: float


def reference(run, duration):
    """By Pontryagin's principle: u = - q, where p and q are the costate of angle and velocity; it begins near `run`.

    A fifth equation integrates the cost.
    """

    def slope(t, z):
        angle, velocity, p, q, _ = z
        force = -q - np.sin(angle) - FRICTION * velocity
        return np.stack([velocity, force, q * np.cos(angle), FRICTION * q - p, 0.5 * q * q])

    def ends(left, right):
        return np.array([left[0], left[1], right[0] - np.pi, right[1], left[4]])

    t = np.linspace(0, duration, run.swing.n + 1)
    angle, velocity, torque = run.swing.parts(run.x)
    q = -torque[::2]
    guess = np.stack([angle, velocity, FRICTION * q - np.gradient(q, t), q, run.cost * t / duration])
    found = solve_bvp(slope, ends, t, guess, tol=1e-10, max_nodes=100_000)
    if not found.success:
        raise RuntimeError(f"solve_bvp: {found.message}")
    return Reference(found.sol, float(found.y[4, -1]))


def print_table(runs, truth):
    print(
        f"{'intervals':>9} {'unknowns':>9} {'constraints':>12} {'Hessians by':>13} {'iterations':>11} {'total s':>8} "
        f"{'cost':>13} {'error':>9} {'order':>6}"
    )
    before = {}
    for r in runs:
        error = abs(r.cost - truth.cost)
        order = f"{np.log2(before[r.source] / error):.2f}" if r.source in before else ""
        before[r.source] = error
        print(
            f"{r.swing.n:9d} {r.swing.size:9d} {2 * r.swing.n + 4:12d} {r.source:>13} {r.iterations:11d} {r.seconds:8.2f} "
            f"{r.cost:13.10f} {error:9.1e} {order:>6}"
        )
    print(f"{'Boundary value problem':<67}{truth.cost:13.10f}")


def draw_swing(axes, run, duration, truth):
    t = np.linspace(0, duration, 400)
    nodes, all_nodes = np.linspace(0, duration, run.swing.n + 1), np.linspace(0, duration, 2 * run.swing.n + 1)
    angle, velocity, torque = run.swing.parts(run.x)
    state = truth.solution(t)
    for label, color, at, found, exact in (
        ("angle", "tab:blue", nodes, angle, state[0]),
        ("velocity", "tab:orange", nodes, velocity, state[1]),
        ("torque", "tab:green", all_nodes, torque, -state[3]),
    ):
        axes.plot(t, exact, color=color, label=label)
        axes.plot(at, found, "o", color=color, markersize=3)
    axes.axhline(np.pi, color="grey", linewidth=0.6, linestyle="--")
    axes.set(title=f"Collocation on {run.swing.n} intervals, and the reference", xlabel="t")
    axes.legend(frameon=False)


def draw_errors(axes, runs, duration, truth):
    steps = np.array([duration / r.swing.n for r in runs])
    errors = np.array([abs(r.cost - truth.cost) for r in runs])
    axes.loglog(steps, errors, "o-", label="error of the cost")
    axes.loglog(steps, errors[0] * (steps / steps[0]) ** 4, "--", color="grey", label="fourth power of the step")
    axes.xaxis.set_minor_formatter("")
    axes.set(title="Convergence", xlabel="step")
    axes.legend(frameon=False)


def draw(path, runs, duration, truth):
    """Save the solution, its convergence, and the patterns of the constraints and of their Hessian as one picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 10), layout="constrained")
    top, bottom = figure.subplots(2, 2)
    ours = [r for r in runs if r.source == OURS]
    draw_swing(top[0], ours[0], duration, truth)
    draw_errors(top[1], ours, duration, truth)
    ours[0].jacobian.plot("compressed", ax=bottom[0])
    ours[0].hessian.plot("coloring", ax=bottom[1])
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


def parse(argv):
    parser = argparse.ArgumentParser(description="a pendulum swung up by trust-constr with sparsead's sparse derivatives")
    parser.add_argument("--n", type=int, default=20, help="intervals of the first grid (20)")
    parser.add_argument("--grids", type=int, default=4, help="grids, each twice as fine as the one before (4)")
    parser.add_argument("--duration", type=float, default=7.0, help="time until the pendulum stands (7)")
    parser.add_argument("--output", default="optimal_control.png", help="file for the picture")
    parser.add_argument("--no-plot", action="store_true", help="make no picture")
    args = parser.parse_args(argv)
    if args.n < 4 or args.grids < 1 or args.duration <= 0:
        parser.error("--n has to be at least 4, --grids at least 1, and --duration positive")
    return args


def main(argv=None):
    """Solve on all grids with both kinds of Hessians; return the runs and the cost of the reference."""
    args = parse(argv)
    if not args.no_plot:
        import matplotlib  # noqa: F401  (if it is missing, say so before the work and not after it)
    grids = [args.n * 2**level for level in range(args.grids)]
    runs = [optimize(n, args.duration, source) for n in grids for source in (OURS, THEIRS)]
    truth = reference(runs[-2], args.duration)
    print(f"A pendulum is swung up in a time of {args.duration:g} with the least effort\n")
    print_table(runs, truth)
    print(f"\nThe constraints on the first grid:\n{runs[0].jacobian}")
    print(f"The Hessian of v . c(x):\n{runs[0].hessian}")
    if not args.no_plot:
        draw(args.output, runs, args.duration, truth)
    return {"runs": runs, "reference": truth.cost}


if __name__ == "__main__":
    main()
