"""Recovery of an initial condition of Burgers' equation through hundreds of in-place time steps.

The viscous Burgers equation on the unit interval, u = 0 at both ends::

    u_t + (u^2 / 2)_x = nu u_xx

is stepped by central differences and forward Euler, as a user would write it: one array that is updated in place and
a scratch array for the flux. From noisy values of u at every eighth grid point and at four times, the initial
condition is recovered: `sparsead.value_and_grad` differentiates the loss through all the steps, and SciPy's L-BFGS-B
minimizes it. Steep fronts have formed by the final time, and what they swallowed is known only through the earlier
observations and the smoothness asked for.

The work is proportional to the steps and the iterations: `--steps 1000` takes about three times as long as the 300
of the default, for the same picture. Forward Euler wants steps >= 0.6 nu (n - 1)^2; this is checked.

Reference for adjoint-based recovery of initial conditions: F.-X. Le Dimet and O. Talagrand, "Variational algorithms
for analysis and assimilation of meteorological observations", Tellus 38A, 1986, 97-110.
"""

import argparse
from time import perf_counter

import numpy as np
from scipy.optimize import minimize

import sparsead

NU = 0.005
T_END = 0.3
OBSERVATIONS = 4  # times, equally spaced, the last is T_END
SPACING = 8  # grid points from one sensor to the next
NOISE = 0.01
SMOOTHNESS = 0.05  # weight of the integral of (du0/dx)^2


def true_initial(x):
    """A broad hump, a narrow one that will steepen into it, and a trough moving the other way."""
    humps = np.exp(-(((x - 0.35) / 0.12) ** 2)) + 0.5 * np.exp(-(((x - 0.15) / 0.04) ** 2))
    return humps - 0.7 * np.exp(-(((x - 0.75) / 0.08) ** 2))


def burgers(n, steps):
    """Function ``advance(u, count)`` that takes ``count`` time steps of the n values ``u``, in place."""
    dx, dt = 1 / (n - 1), T_END / steps
    flux = np.zeros(n)

    def advance(u, count):
        for _ in range(count):
            np.multiply(u, u, out=flux)
            u[1:-1] += dt * (NU / dx**2 * (u[2:] - 2 * u[1:-1] + u[:-2]) - (flux[2:] - flux[:-2]) / (4 * dx))

    return advance


def loss_function(advance, steps, data):
    """Misfit to ``data``, one row for each time of observation, plus a penalty on the slope of ``u0``."""

    def loss(u0):
        u = u0.copy()
        misfit = 0.0
        for k in range(OBSERVATIONS):
            advance(u, steps // OBSERVATIONS)
            misfit += np.mean((u[::SPACING] - data[k]) ** 2)
        return misfit / NOISE**2 + SMOOTHNESS * len(u0) * np.sum(np.diff(u0) ** 2)

    return loss


def observe(advance, steps, u0, rng):
    """States at the times of observation, and what the sensors saw of them."""
    u = u0.copy()
    states = np.empty((OBSERVATIONS, len(u0)))
    for state in states:
        advance(u, steps // OBSERVATIONS)
        state[:] = u
    seen = states[:, ::SPACING]
    return states, seen + NOISE * rng.standard_normal(seen.shape)


def check_gradient(loss, value_and_grad, u0, rng):
    """Relative difference between the derivative along a random direction and its central difference."""
    direction = rng.standard_normal(len(u0))
    h = 1e-5
    difference = (loss(u0 + h * direction) - loss(u0 - h * direction)) / (2 * h)
    return abs(value_and_grad(u0)[1] @ direction / difference - 1)


def recover(value_and_grad, guess, iterations):
    """Minimize by L-BFGS-B with the ends held at zero; return the minimizer and the losses on the way."""
    history = [value_and_grad(guess)[0]]
    bounds = [(0, 0), *[(None, None)] * (len(guess) - 2), (0, 0)]

    def note(intermediate_result):
        history.append(intermediate_result.fun)

    how = {"method": "L-BFGS-B", "bounds": bounds, "callback": note, "options": {"maxiter": iterations}}
    return minimize(value_and_grad, guess, jac=True, **how), np.array(history)


def draw(path, x, truth, recovered, states, fitted, data, history):
    """Save the initial conditions, the states with what was seen of them, and the loss as one picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.5), layout="constrained")
    initial, later, loss = figure.subplots(1, 3)
    initial.plot(x, truth, color="black", linewidth=3, alpha=0.3, label="true")
    initial.plot(x, recovered, color="tab:red", label="recovered")
    initial.plot(x, np.zeros_like(x), ":", color="tab:gray", label="first guess")
    initial.set(title="Initial condition", xlabel="x", ylabel="u")

    for k, shade in enumerate(np.linspace(0.35, 1, len(states))):
        last = k == len(states) - 1
        later.plot(x, states[k], color="black", linewidth=3, alpha=0.3 * shade, label="true" if last else None)
        later.plot(x, fitted[k], color="tab:red", alpha=shade, label="from the recovered" if last else None)
        style = {"color": "tab:blue", "alpha": shade, "label": "observed" if last else None}
        later.plot(x[::SPACING], data[k], "o", markersize=4, **style)
    times = ", ".join(f"{T_END * (k + 1) / len(states):.3g}" for k in range(len(states)))
    later.set(title=f"States at t = {times}", xlabel="x", ylabel="u")

    loss.semilogy(history, color="tab:red")
    loss.axhline(len(states), color="tab:gray", linestyle=":", label="misfit expected from the noise")
    loss.set(title="Loss", xlabel="iteration")
    for axes in (initial, later, loss):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    print(f"Picture: {path}")


def parse(argv):
    parser = argparse.ArgumentParser(description="initial condition of Burgers' equation from noisy observations")
    parser.add_argument("--n", type=int, default=200, help="grid points (200)")
    parser.add_argument("--steps", type=int, default=300, help="time steps, a multiple of four (300)")
    parser.add_argument("--iterations", type=int, default=40, help="at most so many of L-BFGS-B (40)")
    parser.add_argument("--output", default="burgers_inverse.png", help="file for the picture")
    parser.add_argument("--no-plot", action="store_true", help="make no picture")
    args = parser.parse_args(argv)
    if args.n < 3 or args.steps < OBSERVATIONS:
        parser.error(f"--n has to be at least 3, and --steps at least {OBSERVATIONS}")
    if args.steps % OBSERVATIONS:
        parser.error(f"--steps {args.steps} is no multiple of {OBSERVATIONS}, the number of observations")
    if args.steps < 2 * NU * T_END * (args.n - 1) ** 2:
        parser.error(f"--n {args.n} needs --steps of at least {2 * NU * T_END * (args.n - 1) ** 2:.0f} to be stable")
    return args


def main(argv=None):
    """Recover the initial condition; return the losses, the errors and how good the gradient is."""
    args = parse(argv)
    if not args.no_plot:
        import matplotlib  # noqa: F401  (if it is missing, say so before the work and not after it)
    rng = np.random.default_rng(2026)
    x = np.linspace(0, 1, args.n)
    truth, guess = true_initial(x), np.zeros(args.n)
    truth[[0, -1]] = 0
    advance = burgers(args.n, args.steps)
    states, data = observe(advance, args.steps, truth, rng)
    loss = loss_function(advance, args.steps, data)
    value_and_grad = sparsead.value_and_grad(loss, wrt="u0")

    print(f"Burgers, {args.n} unknowns, {args.steps} steps in place, {data.size} noisy observations")
    accuracy = check_gradient(loss, value_and_grad, truth, rng)
    print(f"Gradient against central differences in a random direction: relative difference {accuracy:.1e}")

    start = perf_counter()
    result, history = recover(value_and_grad, guess, args.iterations)
    seconds = perf_counter() - start
    error = np.linalg.norm(result.x - truth) / np.linalg.norm(truth)
    print(f"L-BFGS-B: {result.nit} iterations, {result.nfev} gradients, {seconds:.1f} s")
    for k in sorted({0, 5, 10, 20, len(history) - 1} & set(range(len(history)))):
        print(f"  loss after {k:3d} iterations: {history[k]:10.4g}")
    print(f"Relative error of the initial condition: {error:.1%} (of the first guess: 100 %)")
    if not args.no_plot:
        fitted, _ = observe(advance, args.steps, result.x, rng)
        draw(args.output, x, truth, result.x, states, fitted, data, history)
    return {"history": history, "error": error, "gradient_accuracy": accuracy}


if __name__ == "__main__":
    main()
