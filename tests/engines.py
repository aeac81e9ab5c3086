"""What the tests of engines share: tapes run by both, results compared, arrays in all layouts and of all dtypes, interrupts."""

import contextlib
import signal

import numpy as np
import pytest

import sparsead
from sparsead.engine import reference, vm
from sparsead.engine.native import compiler
from sparsead.tape.spec import BY_NAME
from tapes import Builder

SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, 2.0, -2.5, 1e-5, 3.0, 708.0, -745.0]

try:
    COMPILER = compiler.compiler()
except compiler.BuildError:
    COMPILER = None
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="this machine has no compiler for C")


def both(tape, inputs):
    """Outputs of the tiled engine and of the reference interpreter; what is checked of any run is checked here."""
    before = [np.array(x) for x in inputs]
    results = vm.Program(tape).run(inputs)
    for x, kept in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(x, kept)
    assert_own_memory(results, inputs)
    expected = reference.Program(tape).run(inputs)
    for result, want, v in zip(results, expected, tape.outputs, strict=True):
        t = tape.type(v)
        assert (type(result), result.shape, result.dtype) == (np.ndarray, want.shape, want.dtype)
        assert result.size < 2 or [s for s, n in zip(result.strides, t.shape, strict=True) if n > 1] == [
            s for s, n in zip(t.strides, t.shape, strict=True) if n > 1
        ]
        assert result.flags.writeable
    return results, expected


def assert_own_memory(results, inputs):
    """No output shares memory with an input or with another output."""
    for k, result in enumerate(results):
        for other in [*inputs, *results[:k]]:
            assert not (isinstance(other, np.ndarray) and np.may_share_memory(result, other))


def parts(a):
    """Complex numbers as pairs of real ones, dates as integers."""
    a = np.ascontiguousarray(a).reshape(-1)  # copies what is not aligned
    return a.view(a.real.dtype) if a.dtype.kind == "c" else a.view(np.int64) if a.dtype.kind in "mM" else a


def assert_bits(results, expected, signs=True, says=""):
    """Equal bits, but for the bits of NaN; without `signs` a zero may have any."""
    for result, want in zip(results, expected, strict=True):
        assert (result.shape, result.dtype) == (want.shape, want.dtype)
        a, b = parts(result), parts(want)
        np.testing.assert_array_equal(a, b, says)
        if signs and a.dtype.kind == "f":
            number = ~np.isnan(b)
            np.testing.assert_array_equal(np.signbit(a[number]), np.signbit(b[number]), says)


def assert_close(results, expected, tol):
    """Equal to `tol` times the largest element; NaN and infinities at the same places."""
    for result, want in zip(results, expected, strict=True):
        a, b = parts(result), parts(want)
        finite = np.isfinite(b) if b.dtype.kind == "f" else np.ones(b.shape, bool)
        np.testing.assert_array_equal(a[~finite], b[~finite])
        largest = max(1.0, np.abs(b[finite].astype(float)).max(initial=0.0))
        np.testing.assert_allclose(a[finite].astype(float), b[finite].astype(float), rtol=0, atol=tol * largest)


def assert_ulps(results, expected, n, says=""):
    """Equal to `n` units in the last place; those of complex numbers are the units of their moduli."""
    for result, want in zip(results, expected, strict=True):
        if want.dtype.kind not in "fc":
            assert_bits([result], [want], says=says)
            continue
        same = (result == want) | (np.isnan(result) & np.isnan(want))
        with np.errstate(all="ignore"):
            number = np.finfo(want.dtype)
            off = np.abs(result - want) > n * number.eps * np.abs(want) + 4 * number.smallest_subnormal
            off |= ~np.isfinite(result)
        assert not np.any(off & ~same), f"{says}: {result[off & ~same][:5]} for {want[off & ~same][:5]}"


# ---- arrays ----------------------------------------------------------------------------------------------------------


def unaligned(a):
    memory = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    memory[...] = a
    return memory


def readonly(a):
    a = np.array(a)
    a.flags.writeable = False
    return a


ARRANGED = {
    "C": lambda a: a.copy("C"),
    "F": lambda a: a.copy("F"),
    "backwards": lambda a: np.flip(np.flip(a).copy()),
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a.copy(),
    "every third backwards": lambda a: np.flip(np.repeat(np.flip(a), 3, axis=0)[::3]) if a.ndim else a.copy(),
    "transposed": lambda a: np.moveaxis(np.moveaxis(a, 0, -1).copy(), -1, 0) if a.ndim else a.copy(),
    "spread": lambda a: np.broadcast_to(a[:1], a.shape) if a.ndim and len(a) else a.copy(),
    "unaligned": unaligned,
    "read-only": readonly,
}


def numbers(rng, shape, dtype, special=True):
    """Numbers of all sizes, with zeros, infinities and NaN among them if `special`."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iumM":
        info = np.iinfo(dtype if dtype.kind in "iu" else np.int64)
        low = 0 if dtype.kind == "u" else -9
        values = np.asarray(rng.integers(low, 10, shape)).astype(info.dtype)
        if special:
            ends = np.array([info.min + 1, info.max], info.dtype)
            values = np.where(rng.random(shape) < 0.1, ends[rng.integers(0, 2, shape)], values)
        return values.astype(dtype)
    if dtype.kind == "c":
        real = dtype.type(0).real.dtype
        z = np.empty(shape, dtype)
        z.real, z.imag = numbers(rng, shape, real, special), numbers(rng, shape, real, special)
        return z
    values = rng.normal(size=shape) * 2.0 ** rng.integers(-4, 4, shape)
    if special:
        values = np.where(rng.random(shape) < 0.15, rng.choice(SPECIAL, shape), values)
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(dtype)


def one_op(name, operands, shapes, dtypes, attr=None, imm=0):
    """A tape of one op; `operands` are (shape, dtype) or (shape, dtype, strides), `shapes` and `dtypes` those of the results."""
    b = Builder()
    inputs = [b.input(*operand) for operand in operands]
    types = [b.tape.pool.type(dtype, shape) for dtype, shape in zip(dtypes, shapes, strict=True)]
    return b.done(*b.tape.add(BY_NAME[name], inputs, types, attr, imm))


def on_threads(n, f, *args):
    """What ``f(*args)`` gives on `n` threads."""
    before = sparsead.get_num_threads()
    sparsead.set_num_threads(n)
    try:
        return f(*args)
    finally:
        sparsead.set_num_threads(before)


@contextlib.contextmanager
def interrupted_after(seconds):
    """A KeyboardInterrupt so many seconds from now, if the block is not left by then."""

    def handler(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
