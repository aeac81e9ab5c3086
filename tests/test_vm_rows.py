"""Short rows of a tile, gone through in blocks: what spreads over others, is cut out of others, or is summed up."""

import itertools

import numpy as np
import pytest

from engines import assert_bits, both, numbers, on_threads
from sparsead.engine import vm
from tapes import Builder

LENGTHS = [2, 3, 4, 7, 8, 9, 10, 16, 31, 63, 64, 65, 130]  # NumPy adds up eight at a time, and rows of up to 64 are short
CHARS = "?fdD"


@pytest.mark.parametrize("char", CHARS)
@pytest.mark.parametrize("n", LENGTHS)
def test_rows_that_are_spread_over_others(n, char):
    """Operands that lack any of the axes, and what is written of the whole."""
    rng, dtype, shape = np.random.default_rng(1), np.dtype(char), (23, 5, n)
    name = "logical_xor" if char == "?" else "add"
    for order in "CF":
        b = Builder()
        t = b.input(shape, dtype)
        for kept in itertools.product([0, 1], repeat=3):
            part = tuple(extent if keep else 1 for extent, keep in zip(shape, kept, strict=True))
            t = b.ew(name, t, b.input(part, dtype, np.empty(part, dtype, order).strides))
        tape = b.done(t)
        inputs = [np.asarray(numbers(rng, tape.type(v).shape, char), order=order) for v in tape.inputs]
        found, expected = both(tape, inputs)
        assert_bits(found, expected)
        assert_bits(on_threads(2, vm.Program(tape).run, inputs), found)


@pytest.mark.parametrize("char", CHARS)
@pytest.mark.parametrize("n", LENGTHS)
def test_rows_that_are_cut_out_of_others(n, char):
    """Rows with gaps between them, points with gaps between them, and rows from the last point to the first: read and written."""
    rng, dtype = np.random.default_rng(2), np.dtype(char)
    for piece in (lambda a: a[1:-1, 1:-1, 1 : n + 1], lambda a: a[:-2, 2:, ::2], lambda a: a[2:, :-2, n - 1 :: -1]):
        b = Builder()
        x, y = b.input((25, 7, 2 * n), dtype), b.input((25, 7, 2 * n), dtype)
        t = b.ew("logical_xor" if char == "?" else "multiply", b.load(x, piece), b.load(y, piece))
        tape = b.done(b.store(y, piece, t), t)
        assert_bits(*both(tape, [numbers(rng, (25, 7, 2 * n), char) for _ in range(2)]))


@pytest.mark.parametrize("char", "fdD")
@pytest.mark.parametrize("n", LENGTHS)
def test_sums_of_rows(n, char):
    """Over any of the axes, of whole numbers; and added to what is there."""
    rng, dtype, shape = np.random.default_rng(3), np.dtype(char), (23, 5, n)
    for order in "CF":
        b = Builder()
        x, y = b.input(shape, dtype, np.empty(shape, dtype, order).strides), b.input((1, 5, 1), dtype)
        t, found = b.ew("multiply", x, y), []
        for axes in itertools.chain.from_iterable(itertools.combinations(range(3), k) for k in (1, 2, 3)):
            found.append(b.op("sum", (t,), tuple(s for k, s in enumerate(shape) if k not in axes), axes, dtype=dtype))
        z = b.input((23, n), dtype)
        tape = b.done(*found, b.accumulate(z, lambda a: np.broadcast_to(a[:, None], shape), t))
        inputs = [np.asarray(np.rint(4 * rng.normal(size=tape.type(v).shape)), dtype, order=order) for v in tape.inputs]
        found, expected = both(tape, inputs)
        assert_bits(found, expected, signs=False)
        assert_bits(on_threads(3, vm.Program(tape).run, inputs), found)


@pytest.mark.parametrize("char", "fd")
@pytest.mark.parametrize("n", LENGTHS)
def test_sums_of_short_rows_have_the_bits_of_numpy(n, char):
    rng, dtype, b = np.random.default_rng(4), np.dtype(char), Builder()
    x, y = b.input((300, n), dtype), b.input((n,), dtype)
    tape = b.done(b.op("sum", (b.ew("multiply", x, y),), (300,), (1,), dtype=dtype))
    x, y = (rng.normal(size=tape.type(v).shape).astype(dtype) for v in tape.inputs)
    assert_bits(vm.Program(tape).run([x, y]), [np.add.reduce(x * y, axis=1)])
