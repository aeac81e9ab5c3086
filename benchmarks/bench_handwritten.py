"""The native engine against derivatives that are written by hand in C (handwritten.c), and against the function run by NumPy.

    OMP_NUM_THREADS=1 python benchmarks/bench_handwritten.py [name ...]

CPU time of the process; medians of samples that take turns. Both derivatives are compared before the clock starts. The C is
compiled by the compiler of the native engine with its flags, and with those of fast math where functions are to be vectors.
"""

import ctypes
import sys
import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np

import problems
import sparsead
from bench_loops import burgers
from measuring import in_turns
from sparsead.engine.native.compiler import compiler

ARRAY = np.ctypeslib.ndpointer(float, flags="C_CONTIGUOUS")
INDICES = np.ctypeslib.ndpointer(np.int32, flags="C_CONTIGUOUS")
SIZE, REAL = ctypes.c_ssize_t, ctypes.c_double
SAMPLES = 7


@cache
def compiled(fast):
    """handwritten.c as a library."""
    source = (Path(__file__).parent / "handwritten.c").read_text()
    if fast:
        source = '#pragma GCC optimize("fast-math")\n#define __FAST_MATH__ 1\n' + source  # what math.h asks for
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "handwritten.so"
        path.write_bytes(compiler().build(source, fast))
        return ctypes.CDLL(str(path))


def function(name, *types, result=REAL, fast=False):
    """A function of handwritten.c."""
    found = compiled(fast)[name]
    found.argtypes, found.restype = types, result
    return found


def close(what, mine, by_hand):
    """End the program if two derivatives differ."""
    for a, b in zip(mine, by_hand, strict=True):
        error = np.max(np.abs(np.asarray(a) - b)) / np.max(np.abs(b))
        if not error < 1e-9:
            raise SystemExit(f"{what}: the engine and the C differ by {error:.1e}")


def burgers_row(n, steps, asked):
    u = np.sin(np.linspace(0, np.pi, n))
    states, bar, work = np.empty((steps + 1, n)), np.empty(n), np.empty((3, n + 2))
    run = function("burgers", SIZE, SIZE, *[ARRAY] * 5)

    def by_hand():
        states[0] = u
        return run(n, steps, states, bar, *work), bar

    primal = lambda u: burgers(u.copy(), steps)
    ours = partial(sparsead.value_and_grad(primal, engine="native"), u)
    return f"Burgers n={n}, {steps} steps", partial(primal, u), ours, by_hand, asked


def heat_row(n, steps, asked):
    primal, (u, kappa) = problems.heat(n, steps)
    states, bar = np.empty((steps + 1, n, n)), np.empty((n, n))
    across, along, across_bar, along_bar, fx, fy = np.zeros((6, n, n))
    run = function("heat", SIZE, SIZE, *[ARRAY] * 8)

    def by_hand():
        states[0] = u
        across[:, :-1] = 0.05 * (kappa[:, 1:] + kappa[:, :-1])
        along[:-1] = 0.05 * (kappa[1:] + kappa[:-1])
        across_bar[:], along_bar[:] = 0, 0
        value = run(n, steps, states, across, along, across_bar, along_bar, bar, fx, fy)
        by_kappa = np.zeros((n, n))
        by_kappa[:, 1:] += 0.05 * across_bar[:, :-1]
        by_kappa[:, :-1] += 0.05 * across_bar[:, :-1]
        by_kappa[1:] += 0.05 * along_bar[:-1]
        by_kappa[:-1] += 0.05 * along_bar[:-1]
        return value, bar, by_kappa

    derivative = sparsead.value_and_grad(primal, wrt=(0, 1), engine="native")

    def ours():
        value, gradients = derivative(u, kappa)
        return value, *gradients

    return f"heat {n} x {n}, {steps} steps", lambda: primal(u, kappa), ours, by_hand, asked


def pointwise_row(n, asked):
    primal, (x,) = problems.pointwise(n)
    bar, run = np.empty(n), function("pointwise", SIZE, ARRAY, ARRAY, fast=True)
    ours = partial(sparsead.value_and_grad(primal, engine="native"), x)
    return f"15 pointwise ops, n={n}", partial(primal, x), ours, lambda: (run(n, x, bar), bar), asked


def brusselator_row(n, calls, asked):
    rhs, (t, y, dy) = problems.brusselator(n)
    jacobian = sparsead.jacobian(rhs, wrt="y", of="dy", engine="native")
    jac, still = jacobian(t, y, dy), jacobian(t, np.zeros_like(y), dy)
    entry = {(i, j): k for i in range(2 * n * n) for k, j in enumerate(jac.indices[slice(*jac.indptr[i : i + 2])], jac.indptr[i])}
    cell, other = np.arange(n * n), np.arange(n * n, 2 * n * n)
    pairs = np.stack([cell, cell, cell, other, other, cell, other, other], axis=1).reshape(-1, 4, 2)
    place = np.array([entry[i, j] for four in pairs.tolist() for i, j in four], np.int32)
    data, run = np.empty_like(jac.data), function("brusselator", SIZE, SIZE, ARRAY, INDICES, ARRAY, ARRAY, result=None)

    def by_hand():
        for _ in range(calls):
            run(n * n, data.size, still.data, place, y, data)
        return (data,)

    def ours():
        for _ in range(calls):
            jacobian(t, y, dy, out=jac)
        return (jac.data,)

    def primal():
        for _ in range(calls):
            rhs(t, y, dy)

    return f"Brusselator N={n}, sparse Jacobian with out=", primal, ours, by_hand, asked


ROWS = {
    "burgers": lambda: [burgers_row(10_000, 1000, "<= 0.60"), burgers_row(1_000_000, 100, "<= 0.40")],
    "heat": lambda: [heat_row(1024, 50, "<= 0.35")],
    "pointwise": lambda: [pointwise_row(10_000_000, "<= 0.30")],
    "brusselator": lambda: [brusselator_row(512, 1, "<= 0.9"), brusselator_row(32, 200, "<= 0.6")],
}


if __name__ == "__main__":
    print("| work | NumPy, ms | native, ms | ratio | C by hand, ms | ratio | asked |")
    print("|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or ROWS:
        for what, primal, ours, by_hand, asked in ROWS[name]():
            close(what, ours(), by_hand())
            base, *times = (1e3 * seconds for seconds in in_turns((primal, ours, by_hand), SAMPLES))
            measured = " | ".join(f"{taken:.2f} | {taken / base:.2f}" for taken in times)
            print(f"| {what} | {base:.1f} | {measured} | {asked} |", flush=True)
