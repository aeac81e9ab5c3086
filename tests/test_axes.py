"""Axes of kernels: sorted by strides where the order of points does not matter, and the same results."""

import numpy as np
import pytest

from engines import assert_bits, assert_close, both, on_threads
from sparsead.engine import vm
from sparsead.schedule.form import Kernel
from sparsead.transform._adjoint import adjoint
from sparsead.transform._simplify import simplify
from tapes import Builder, random_window

SHAPE = (40, 30, 20)
FORTRAN = (8, 320, 9600)


def kernels(tape):
    return [step for step in vm.Program(tape).schedule.block.steps if isinstance(step, Kernel)]


def test_fortran_order_is_gone_through_in_its_order():
    b = Builder()
    x = b.input(SHAPE, strides=FORTRAN)
    (kernel,) = kernels(b.done(b.ew("sin", x)))
    assert kernel.space == SHAPE[::-1]
    assert {access.strides for _, access in kernel.accesses()} == {FORTRAN[::-1]}


def test_two_orders_follow_the_majority():
    b = Builder()
    x, y = b.input(SHAPE, strides=FORTRAN), b.input(SHAPE)
    (kernel,) = kernels(b.done(b.ew("multiply", x, y, strides=FORTRAN)))
    assert kernel.space[-1] == SHAPE[0]
    b = Builder()
    x, y = b.input(SHAPE, strides=FORTRAN), b.input(SHAPE)
    (kernel,) = kernels(b.done(b.ew("multiply", x, y, strides=(4800, 160, 8))))
    assert kernel.space[-1] == SHAPE[-1]


@pytest.mark.parametrize("joined", [False, True])
def test_a_short_axis_is_the_last_only_if_it_is_joined_with_others(joined):
    """Points with three coordinates each; a row of three is no longer than its start."""
    b = Builder()
    x, w = b.input((3, 5000), strides=(8, 24)), b.input((5000,))
    y = b.ew("sin", x, strides=(8, 24)) if joined else b.ew("multiply", x, w, strides=(8, 24))
    (kernel,) = kernels(b.done(y))
    assert kernel.space == ((5000, 3) if joined else (3, 5000))


class Layouts(Builder):
    """Elementwise ops, stores and additions on arrays whose axes are in any order in memory."""

    def __init__(self, seed):
        super().__init__()
        rng = self.rng = np.random.default_rng(seed)
        values = [self.input((9, 7, 5), strides=self.layout((9, 7, 5))) for _ in range(3)]
        for _ in range(rng.integers(2, 9)):
            x, y = (values[k] for k in rng.choice(len(values), 2))
            z = self.ew(rng.choice(["multiply", "add", "subtract"]), x, y, strides=self.layout((9, 7, 5)))
            if rng.random() < 0.5:
                z = self.written(rng.choice(["store", "accumulate"]), z, x)
            values.append(z)
        self.done(values[-1], values[-2])

    def layout(self, shape):
        order = self.rng.permutation(len(shape))
        return np.empty([shape[k] for k in order]).transpose(np.argsort(order)).strides

    def written(self, name, x, y):
        state = self.rng.bit_generator.state
        pick = lambda a: random_window(self.rng, a, True)
        shape = self.view(x, pick)[0].shape
        self.rng.bit_generator.state = state
        v = self.load(y, lambda a: np.broadcast_to(a[(*(0,) * a.ndim, ...)], shape))
        return self.write(name, x, pick, v)


@pytest.mark.parametrize("seed", range(60))
def test_random_layouts(seed):
    """Elementwise programs keep their bits; adjoints, in which sums are added up in another order, to rounding."""
    tape = Layouts(seed).tape
    point = [np.random.default_rng(seed).normal(size=(9, 7, 5)) for _ in tape.inputs]
    results, expected = both(tape, point)
    assert_bits(results, expected)
    tape = simplify(adjoint(tape, [0, 1, 2], [0, 1])[0])
    point += [np.ones((9, 7, 5))] * 2
    results, expected = both(tape, point)
    assert_close(results, expected, 1e-12)
    for n in (2, 3):
        assert_bits(on_threads(n, vm.Program(tape).run, point), results)


def test_random_layouts_are_sorted():
    assert sum(any(k.planned is not None for k in kernels(Layouts(seed).tape)) for seed in range(60)) > 10
