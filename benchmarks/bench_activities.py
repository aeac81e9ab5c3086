"""What a call with activities costs beside the functional face, both prepared.

    OMP_NUM_THREADS=1 python benchmarks/bench_activities.py

Wall time of one call in microseconds; medians of samples that take turns.
"""

import time

import numpy as np

import problems
import sparsead
from measuring import in_turns
from sparsead import Active, Const, Duplicated, Reverse, ReverseWithPrimal, autodiff

CALLS, SAMPLES = 500, 15


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def gradient():
    x = np.linspace(0.5, 1.5, 10)
    dx, derivative = np.zeros_like(x), sparsead.value_and_grad(rosenbrock)
    both = lambda: autodiff(ReverseWithPrimal, rosenbrock, Active, Duplicated(x, dx))
    return "Rosenbrock n=10, value and gradient", lambda: derivative(x), both


def number():
    f = lambda x: x * np.sin(x)
    derivative = sparsead.value_and_grad(f)
    return "x sin(x) of a number", lambda: derivative(0.3), lambda: autodiff(ReverseWithPrimal, f, Active, Active(0.3))


def pulled_back():
    rhs, (t, y, dy) = problems.brusselator(8)
    product, seed, bar = sparsead.vjp(rhs, wrt="y", of="dy"), np.ones_like(y), np.zeros_like(y)

    def both():
        seed[:] = 1.0
        autodiff(Reverse, rhs, Const, Const(t), Duplicated(y, bar), Duplicated(dy, seed))

    return "Brusselator N=8, right-hand side and its adjoint, in place", lambda: product(t, y, dy)[1](seed), both


if __name__ == "__main__":
    print("| work | functional face, us | with activities, us | more (<= 15) |")
    print("|---|---|---|---|")
    for make in (gradient, number, pulled_back):
        what, *works = make()
        for work in works:
            work()
        functional, activities = (1e6 * seconds for seconds in in_turns(works, SAMPLES, CALLS, time.perf_counter))
        print(f"| {what} | {functional:.1f} | {activities:.1f} | {activities - functional:.1f} |", flush=True)
