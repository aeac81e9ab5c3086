"""Kernels in C against NumPy, on every instruction set of this CPU: the same bits in arithmetic, whatever the operands' kinds."""

import itertools

import numpy as np
import pytest

from sparsead.engine import _simd as simd

LENGTHS = [*range(41), 64, 127, 129, 1000]
REFERENCES = {
    "copy": np.array,
    "select": np.where,
    "muladd": lambda a, b, c: a * b + c,
    "mulsub": lambda a, b, c: a * b - c,
    "negmuladd": lambda a, b, c: c - a * b,
    "add3": lambda a, b, c: a + b + c,
}
SUMS = ("sum", "dot")
FUNCTIONS = ()
ARITHMETIC = [kernel for kernel in simd.kernels() if kernel[0] not in SUMS + FUNCTIONS]


@pytest.fixture(autouse=True)
def fastest_again():
    yield
    simd.choose_isa(simd.isas()[-1])


each_isa = pytest.mark.parametrize("isa", simd.isas())


def reference(name):
    return REFERENCES.get(name) or getattr(np, name)


def numbers(rng, char, n):
    """Numbers of all sizes, some of them special; bools for "?"."""
    if char == "?":
        return rng.random(n) < 0.5
    dtype = np.dtype(char)
    info = np.finfo(dtype)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, info.smallest_subnormal, -info.tiny, info.max], dtype)
    with np.errstate(over="ignore"):
        ordinary = (rng.standard_normal(n) * 10.0 ** rng.integers(-3, 4, n)).astype(dtype)
    return np.where(rng.random(n) < 0.2, rng.choice(special, n), ordinary)


def unaligned(array):
    """The same numbers, one byte off."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    moved = memory[1:].view(array.dtype)
    moved[:] = array
    return moved


def strided(array):
    """The same numbers, backwards in memory and with gaps."""
    memory = np.zeros(3 * len(array) + 1, array.dtype)
    memory[1::3] = array[::-1]
    return memory[1::3][::-1]


LAYOUTS = {"plain": lambda a: a, "unaligned": unaligned, "strided": strided}


def assert_same_bits(ours, theirs):
    """Bits are equal, but for those of a NaN, where IEEE 754 leaves sign and payload open."""
    theirs = np.asarray(theirs)
    assert ours.dtype == theirs.dtype
    if ours.dtype == bool:
        np.testing.assert_array_equal(ours, theirs)
        return
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    bits = [np.where(np.isnan(a), 0, a).view(f"u{a.itemsize}") for a in (ours, theirs)]
    np.testing.assert_array_equal(*bits)


@np.errstate(all="ignore")
def expected(name, operands, n):
    """What NumPy says, of `n` elements also where all operands are single values."""
    return np.array(np.broadcast_to(reference(name)(*operands), n))


def signs_of_zeros_aside(name, array):
    """NumPy's own loops differ in which of two zeros is the larger one."""
    return array + 0.0 if name in ("maximum", "minimum") else array


def run(name, operands, char, n, layout=np.array):
    out = layout(np.zeros(n, simd.types_of(name, char, len(operands))[-1]))
    simd.call(name.encode(), *operands, out, type=char)
    return out


@each_isa
@pytest.mark.parametrize(("name", "char", "count"), ARITHMETIC)
def test_arithmetic_has_the_bits_of_numpy(isa, name, char, count):
    simd.choose_isa(isa)
    rng = np.random.default_rng(0)
    chars = simd.types_of(name, char, count)
    for n, layout in itertools.product(LENGTHS, LAYOUTS.values()):
        for singles in itertools.product([False, True], repeat=count):
            if all(singles) and n != 1:
                continue
            operands = [layout(numbers(rng, c, 1 if single else n)) for c, single in zip(chars[:-1], singles, strict=True)]
            ours = signs_of_zeros_aside(name, run(name, operands, char, n, layout))
            assert_same_bits(ours, signs_of_zeros_aside(name, expected(name, operands, n)))


@each_isa
@pytest.mark.parametrize(("name", "char", "count"), ARITHMETIC)
def test_a_result_may_be_an_operand(isa, name, char, count):
    simd.choose_isa(isa)
    rng = np.random.default_rng(1)
    chars = simd.types_of(name, char, count)
    for n, place in itertools.product((1, 7, 64, 203), range(count)):
        if chars[place] != chars[-1]:
            continue
        operands = [numbers(rng, c, n) for c in chars[:-1]]
        wanted = run(name, operands, char, n)
        simd.call(name.encode(), *operands, operands[place], type=char)
        assert_same_bits(operands[place], wanted)


@each_isa
@pytest.mark.parametrize(("name", "char", "count"), [k for k in simd.kernels() if k[0] not in SUMS])
def test_nothing_beside_the_result_is_written(isa, name, char, count):
    simd.choose_isa(isa)
    chars = simd.types_of(name, char, count)
    for n in range(40):
        operands = [np.ones(n, c) for c in chars[:-1]]
        memory = np.full(n + 32, 1, chars[-1])
        before = memory.copy()
        simd.call(name.encode(), *operands, memory[16 : 16 + n], type=char)
        np.testing.assert_array_equal(memory[:16], before[:16])
        np.testing.assert_array_equal(memory[16 + n :], before[16 + n :])


def summed(a):
    """The sum in the order that the kernels promise."""
    a = np.concatenate([a, np.full(-len(a) % 16, -0.0, a.dtype)]).reshape(-1, 16)
    lanes = np.full(16, -0.0, a.dtype)
    for row in a:
        lanes = lanes + row
    t = lanes[:8] + lanes[8:]
    return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]))


@each_isa
@pytest.mark.parametrize("char", "df")
def test_sums_have_one_order(isa, char):
    simd.choose_isa(isa)
    rng = np.random.default_rng(2)
    for n, layout in itertools.product(LENGTHS[1:], LAYOUTS.values()):
        a, b = (layout(rng.standard_normal(n).astype(char)) for _ in range(2))
        for name, operands, terms in (("sum", [a], a), ("dot", [a, b], a * b)):
            out = np.empty(1, char)
            simd.call(name.encode(), *operands, out, type=char)
            assert_same_bits(out, np.array([summed(terms)]))


@pytest.mark.parametrize("char", "df")
def test_sums_of_nothing_and_of_negative_zeros(char):
    out = np.empty(1, char)
    simd.call(b"sum", np.empty(0, char), out, type=char)
    assert_same_bits(out, np.array([0.0], char))
    simd.call(b"sum", np.full(20, -0.0, char), out, type=char)
    assert_same_bits(out, np.array([-0.0], char))


def test_any_byte_but_zero_is_true():
    mask = np.array([0, 1, 2, 255] * 8, np.uint8).view(bool)
    truth = mask.view(np.uint8) != 0
    out = np.empty(32, bool)
    for name in ("logical_and", "logical_or", "logical_xor"):
        simd.call(name.encode(), mask, ~truth, out, type="?")
        np.testing.assert_array_equal(out.view(np.uint8), getattr(np, name)(truth, ~truth))
    simd.call(b"select", mask, np.ones(1), np.zeros(1), values := np.empty(32))
    np.testing.assert_array_equal(values, truth)


def test_a_loop_that_was_looked_up_keeps_its_set():
    addresses = set()
    for isa in simd.isas():
        simd.choose_isa(isa)
        assert simd.isa() == isa
        addresses.add(simd.lookup(b"add"))
    assert len(addresses) == len(simd.isas())


def test_what_is_unknown_or_unfit_is_refused():
    x = np.ones(4)
    with pytest.raises(ValueError, match="no instruction set 'mmx'"):
        simd.choose_isa("mmx")
    with pytest.raises(KeyError, match="no kernel 'gamma'"):
        simd.lookup(b"gamma")
    with pytest.raises(ValueError, match="takes 2 operands"):
        simd.call(b"add", x, x)
    with pytest.raises(ValueError, match="dtype 'd'"):
        simd.call(b"add", x, x.astype("f"), x.copy())
    with pytest.raises(ValueError, match="native"):
        simd.call(b"add", x, x.astype(">f8"), x.copy())
    with pytest.raises(ValueError, match="3 elements"):
        simd.call(b"add", x, x, np.empty(3))
    with pytest.raises(ValueError, match="read-only"):
        simd.call(b"negative", x, np.broadcast_to(x, 4))
