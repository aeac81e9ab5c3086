"""Kernels in C on every instruction set of this CPU: NumPy's bits in arithmetic, small errors in functions."""

import functools
import itertools

import mpmath
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
    "strong_multiply": lambda a, b: np.where(a == 0, a.dtype.type(0), a * b),
}
SUMS = ("sum", "dot")
EXACT = {  # of the functions, in arithmetic of any precision
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "log2": lambda x: mpmath.log(x, 2),
    "log10": mpmath.log10,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "arctan": mpmath.atan,
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "power": mpmath.power,
}
FUNCTIONS = tuple(EXACT)
UNARY = FUNCTIONS[:-1]
BOUND = 1.5  # units in the last place
ARITHMETIC = [kernel for kernel in simd.kernels() if kernel[0] not in (*SUMS, *FUNCTIONS)]


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


POINTS = 250
# The doubles below 2^20 that are nearest to multiples of pi / 2, found by trying all.
with mpmath.workprec(120):
    NEAREST_TO_QUADRANTS = [float(n * mpmath.pi / 2) for n in (29, 58, 116, 232, 464, 928, 1856, 204551)]


def both_signs(x):
    return np.concatenate([x, -x])


def powers_of_ten(rng, low, high):
    return 10 ** rng.uniform(low, high, POINTS)


def arguments(name):
    """Finite arguments all over the domain, and more where errors are largest."""
    rng = np.random.default_rng(3)
    dense, near_1 = rng.uniform(-3, 3, POINTS), 1 + rng.standard_normal(POINTS) * 10 ** rng.uniform(-8, -1, POINTS)
    tiny = both_signs(np.append(powers_of_ten(rng, -300, -1), [5e-324, 2.0**-1022]))
    quadrants = np.append(np.round(10 ** rng.uniform(0, 5.8, POINTS)) * np.pi / 2, NEAREST_TO_QUADRANTS)
    angles = [dense, tiny, quadrants, rng.uniform(-1e6, 1e6, POINTS), both_signs(powers_of_ten(rng, 6, 308))]
    unit = [rng.uniform(-1, 1, POINTS), tiny, both_signs(1 - powers_of_ten(rng, -15, -1))]
    positive = [powers_of_ten(rng, -307, 308), near_1, powers_of_ten(rng, -323, -308), rng.uniform(0.5, 2, POINTS)]
    domains = {
        "exp": [dense, tiny, rng.uniform(-745, 709, POINTS), rng.uniform(708, 709.7, POINTS)],
        "expm1": [dense, tiny, rng.uniform(-50, 709, POINTS), rng.uniform(708, 709.7, POINTS)],
        "sinh": [dense, tiny, rng.uniform(-710, 710, POINTS), rng.uniform(709, 710.4, POINTS)],
        "cosh": [dense, tiny, rng.uniform(-710, 710, POINTS), rng.uniform(709, 710.4, POINTS)],
        "tanh": [dense, tiny, rng.uniform(-25, 25, POINTS)],
        "log1p": [dense[dense > -1], tiny, near_1 - 1, near_1 - 2, powers_of_ten(rng, -1, 308)],
        "arctan": [dense, tiny, both_signs(powers_of_ten(rng, 0, 308)), near_1, near_1 - 0.5625, near_1 + 1.4375],
    }
    chosen = domains.get(name) or {"log": positive, "sin": angles, "cos": angles, "tan": angles}.get(name[:3]) or unit
    x = np.concatenate(chosen)
    return x[x >= -1] if name == "log1p" else x


def exponents():
    """Bases and exponents whose power is a finite number, and no zero."""
    rng = np.random.default_rng(4)
    x = np.concatenate(
        [
            powers_of_ten(rng, -300, 300),
            powers_of_ten(rng, -2, 2),
            1 + powers_of_ten(rng, -12, -2),
            powers_of_ten(rng, -320, -308),
        ]
    )
    y = rng.uniform(-700, 700, len(x)) / np.abs(np.log(x))
    negative = -rng.uniform(0.1, 20, POINTS)
    return np.append(x, negative), np.append(y, rng.integers(-30, 30, POINTS).astype(float))


@functools.cache
def with_exact_values(name):
    """Operands of a function, and its values to 120 bits."""
    operands = exponents() if name == "power" else (arguments(name),)
    with mpmath.workprec(120):
        values = [EXACT[name](*[mpmath.mpf(float(v)) for v in point]) for point in zip(*operands, strict=True)]
    return operands, values


def errors_in_ulp(ours, exact):
    """Distance of doubles from exact values, in units in the last place of these."""
    units = np.spacing(np.abs(np.array([float(v) for v in exact])))
    with mpmath.workprec(120):
        return np.array([float(abs(mpmath.mpf(float(a)) - b) / float(u)) for a, b, u in zip(ours, exact, units, strict=True)])


@each_isa
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_err_by_little(isa, name):
    simd.choose_isa(isa)
    operands, exact = with_exact_values(name)
    ours = run(name, operands, "d", len(exact))
    assert np.isfinite(ours).all()
    errors = errors_in_ulp(ours, exact)
    worst = np.argmax(errors)
    assert errors[worst] <= BOUND, [a[worst] for a in operands]


# The last row is where functions change their ways, and just beyond.
SPECIAL = [
    *(0.0, 1.0, 2.0, 0.5, 3.0, 1e17, 2.0**53 - 1, 1e300, 1.7976931348623157e308, np.inf, 5e-324, 2.0**-1023, 2.0**-1022),
    *(2.0**-28, 2.0**-54, 0.6875, 0.4375, 1.1875, 2.4375, 2.0**20, 2.0**20 + 1, 708.0, 708.5, 709.5, 710.5, 745.2, 1480.0),
]
SPECIAL = np.append(both_signs(np.array(SPECIAL)), np.nan)


@np.errstate(all="ignore")
def assert_special_values(name, operands):
    """Zeros, infinities and NaN where the C library has them, signs of zeros included; elsewhere nearly its numbers."""
    ours, theirs = run(name, operands, "d", len(operands[0])), getattr(np, name)(*operands)
    sharp = ~np.isfinite(theirs) | (theirs == 0)
    assert_same_bits(ours[sharp], theirs[sharp])
    np.testing.assert_array_max_ulp(ours[~sharp], theirs[~sharp], maxulp=5)


@each_isa
@pytest.mark.parametrize("name", UNARY)
def test_special_values(isa, name):
    simd.choose_isa(isa)
    assert_special_values(name, [SPECIAL])


@each_isa
def test_special_values_of_powers(isa):
    simd.choose_isa(isa)
    assert_special_values("power", [a.ravel() for a in np.meshgrid(SPECIAL, SPECIAL)])


@each_isa
@pytest.mark.parametrize(
    ("exponent", "elementary"), [(2.0, np.square), (0.5, np.sqrt), (-1.0, np.reciprocal), (1.0, np.positive)]
)
def test_powers_that_are_elementary_are_rounded_once(isa, exponent, elementary):
    simd.choose_isa(isa)
    x = np.random.default_rng(5).uniform(0, 10, 500)
    for y in (np.full(1, exponent), np.full(500, exponent), np.where(np.arange(500) % 2, exponent, 0.7)):
        np.testing.assert_array_equal(run("power", [x, y], "d", 500)[1::2], elementary(x)[1::2])


@each_isa
@pytest.mark.parametrize("name", FUNCTIONS)
def test_bits_of_an_element_depend_on_nothing_else(isa, name):
    """Not on the length, the place, the layout, nor on neighbours that need special care."""
    simd.choose_isa(isa)
    rng = np.random.default_rng(6)
    count = 2 if name == "power" else 1
    low = 0.01 if name == "power" else -0.99
    plain = [rng.uniform(low, 0.99, 300) for _ in range(count)]
    mixed = [rng.permutation(np.append(SPECIAL, a[len(SPECIAL) :])) for a in plain]
    for operands in (plain, mixed):
        whole = run(name, operands, "d", 300)
        alone = [run(name, [a[i : i + 1] for a in operands], "d", 1)[0] for i in range(300)]
        assert_same_bits(np.array(alone), whole)
        for n, layout in itertools.product([*range(41), 127, 128, 129, 257], LAYOUTS.values()):
            i = rng.integers(300 - n)
            part = run(name, [layout(a[i : i + n]) for a in operands], "d", n, layout)
            assert_same_bits(part, whole[i : i + n])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_result_of_a_function_may_be_an_operand(name):
    x = np.append(np.random.default_rng(7).uniform(0.1, 0.9, 150), SPECIAL)
    operands = [x] * (2 if name == "power" else 1)
    wanted = run(name, operands, "d", len(x))
    simd.call(name.encode(), *operands, x)
    assert_same_bits(x, wanted)
