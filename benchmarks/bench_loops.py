"""What loops cost: preparation and tape against the number of steps, and a gradient against the function run by NumPy.

    python benchmarks/bench_loops.py

Prints a Markdown table.
"""

import time
from functools import partial

import numpy as np

import sparsead
from measuring import cpu

N = 10_000


def burgers(u, steps, unroll=False):
    """Burgers' equation by central differences, with two buffers that are swapped."""
    new = np.empty_like(u)
    for _ in sparsead.steps(steps, unroll=unroll):
        u[0] = u[-1] = new[0] = new[-1] = 0.0
        new[1:-1] = u[1:-1] + 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2]) - 0.1 * u[1:-1] * (u[2:] - u[:-2])
        u, new = new, u
    return u @ u


def trajectory(u, steps):
    """All states are kept by the function itself, as rows of an array."""
    states = np.empty((steps + 1, u.size))
    states[0] = u
    for k in sparsead.steps(steps):
        states[k + 1] = states[k] - 0.1 * np.sin(states[k])
    return states[::100].sum()


def start():
    return np.sin(np.linspace(0, np.pi, N))


def preparation():
    prepared = {}
    sparsead.value_and_grad(partial(burgers, steps=10)).prepare(start())  # imports what it needs
    for steps in (10, 1000, 10**6):
        derivative = sparsead.value_and_grad(partial(burgers, steps=steps))
        begin = time.process_time()
        derivative.prepare(start())
        prepared[steps] = time.process_time() - begin, len(derivative.tape), len(derivative.prepared.adjoint_tape)
    for steps, (seconds, ops, reverse) in prepared.items():
        yield f"Burgers, {steps} steps: trace and preparation", f"{seconds * 1e3:.0f} ms, {ops} and {reverse} ops", "the same"


def gradients():
    for name, f in {"Burgers n = 1e4, 1000 steps": burgers, "trajectory of 1000 rows of 1e4": trajectory}.items():
        f = partial(f, steps=1000)
        derivative = sparsead.value_and_grad(f, engine="reference")
        derivative(start())
        ratio = cpu(lambda: derivative(start()), 5) / cpu(lambda: f(start()), 5)  # noqa: B023
        yield f"{name}: value and gradient / function", f"{ratio:.1f}", "<= 6, reference interpreter"
        loops = [op for op in derivative.prepared.adjoint_tape if op.op.name == "loop"]
        logs = [t for t in map(derivative.prepared.adjoint_tape.type, loops[0].results) if t.size > 2 * 1001 * N or t.ndim == 2]
        kept = sum(t.nbytes for t in logs) / 1000 / (8 * N)
        yield f"{name}: arrays of n in memory per step", f"{kept:.2f}", "the window, not all rows"


def agreement():
    rolled, unrolled = (sparsead.value_and_grad(partial(burgers, steps=200, unroll=u))(start()) for u in (False, True))
    difference = np.abs(rolled[1] - unrolled[1]).max() / np.abs(unrolled[1]).max()
    same = "the same bits" if rolled[0] == unrolled[0] else "other bits"
    yield "Burgers, 200 steps, rolled against unrolled", f"value {same}, gradient {difference:.0e}", "bitwise; 1e-13"


if __name__ == "__main__":
    print("| work | measured | asked |\n|---|---|---|")
    for rows in (preparation, gradients, agreement):
        for row in rows():
            print("| " + " | ".join(row) + " |", flush=True)
