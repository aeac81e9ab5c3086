"""What a reverse sweep keeps of the forward one, seen from outside: by the memory that a gradient takes."""

import tracemalloc

import numpy as np
import pytest

import sparsead

N = 2000


def burgers(u, steps):
    u = u.copy()
    for _ in range(steps):
        u[1:-1] += 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2]) - 0.1 * u[1:-1] * (u[2:] - u[:-2])
    return np.sum(u**2)


def scratch(u, steps):
    u, work = u.copy(), np.zeros(N)
    for _ in range(steps):
        np.multiply(u, u, out=work)
        u[1:-1] -= 0.1 * (work[2:] - work[:-2])
    return np.sum(u**2)


def decay(u, steps):
    u = u.copy()
    for _ in range(steps):
        u /= 1 + 0.1 * u * u
    return np.sum(u**2)


def heat(u, steps):
    u = u.copy()
    for _ in range(steps):
        u[1:-1] += 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
    return np.sum(u**2)


def peak(derivative, *args):
    """Bytes that a prepared derivative takes at most."""
    derivative(*args)
    tracemalloc.start()
    try:
        derivative(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def arrays_per_step(derivative, *more):
    u = np.sin(np.linspace(0, 6, N))
    few, many = 10, 30
    return (peak(derivative, u, many, *more) - peak(derivative, u, few, *more)) / (many - few) / u.nbytes


@pytest.mark.parametrize("function, arrays", [(burgers, 1), (scratch, 1), (decay, 1), (heat, 0)])
def test_a_step_in_place_keeps_what_it_overwrites_and_no_more(function, arrays):
    assert arrays_per_step(sparsead.grad(function)) < arrays + 0.1


def test_products_with_the_hessian_keep_no_more_than_values_and_tangents():
    v = np.cos(np.linspace(0, 6, N))
    product = sparsead.hvp(burgers)
    assert arrays_per_step(lambda u, steps: product(u, steps, v)) < 2.2


def test_dear_functions_of_arguments_are_computed_once():
    primal = sparsead.grad(lambda x: np.sum(np.exp(-x) * np.sqrt(1 + np.tanh(x))))
    primal.prepare(np.ones(3))
    names = [op.op.name for op in primal.prepared.adjoint_tape]
    assert names.count("exp") == names.count("tanh") == 1


def test_a_scalar_recurrence_keeps_a_few_numbers_a_store():
    def f(x):
        for i in range(1, len(x)):
            x[i] = np.sin(x[i - 1]) * x[i]
        return x[-1]

    slope = sparsead.grad(f)
    sizes = 500, 2000
    few, many = (peak(slope, np.linspace(1, 1.5, n)) for n in sizes)
    assert (many - few) / (sizes[1] - sizes[0]) < 500  # bytes: Python's objects for a few numbers
