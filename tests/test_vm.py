"""The tiled engine against the reference interpreter: op by op, dtype by dtype, and on random tapes of all sizes."""

import functools
import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engines import ARRANGED, assert_bits, assert_close, assert_ulps, both, numbers, one_op
from loop_tapes import LoopBuilder, RandomBranches, RandomLoop
from sized_tapes import SHAPES, SizedTape
from sparsead.engine import reference, vm
from sparsead.ops.elementwise import RECORDS
from sparsead.schedule import planner
from sparsead.tape._memory import laid_out
from sparsead.tape.spec import BY_NAME, GuardFailed
from sparsead.transform._adjoint import adjoint
from sparsead.transform._batch import batch
from sparsead.transform._simplify import simplify
from sparsead.transform._tangent import tangent
from tapes import ANY, F8, GROWING, I8, Builder, RandomTape
from test_loops import FAMILIES as LOOPS
from test_ops import EINSUM

# ---- elementwise ops: all loops of all ufuncs ------------------------------------------------------------------------

REALS = "?bhilBHILefdg"
OPERANDS = [
    [(), (), ()], [(1,), (1,), (1,)], [(0,), (0,), (0,)], [(0, 3), (3,), ()], [(8,), (8,), (8,)], [(9,), (), (9,)],
    [(257,), (257,), (1,)], [(2049,), (2049,), (2049,)], [(300, 3), (3,), (300, 1)], [(3, 300), (3, 1), (300,)],
    [(37, 41), (37, 41), (41,)], [(2, 3, 5, 7), (3, 1, 7), (2, 1, 1, 1)], [(1, 600), (4, 1), (4, 600)],
]  # fmt: skip
LAYOUTS = list(ARRANGED)


def signatures(record):
    """Dtypes of operands and results, one tuple for each loop."""
    function = record.ufunc
    if not isinstance(function, np.ufunc):
        flags = [np.dtype(bool)] if record.name == "select" else []
        chars = "efdgFDG" if record.name == "strong_multiply" else "?bilQefdgFDG"
        return [(*flags, *[np.dtype(c)] * (record.nin - len(flags) + 1)) for c in chars]
    chars = [loop.replace("->", "") for loop in function.types if "O" not in loop]
    found = [tuple(np.dtype({"M": "M8[s]", "m": "m8[s]"}.get(c, c)) for c in loop) for loop in chars]
    return list(dict.fromkeys(dtypes for dtypes in found if lawful(function, dtypes)))


def lawful(function, dtypes):
    """Whether NumPy picks this loop for operands of these dtypes, as a tape wants it."""
    try:
        return function.resolve_dtypes(dtypes[: function.nin] + (None,) * function.nout) == dtypes
    except TypeError:
        return False


def operands_of(record, rng, shapes, dtypes):
    """Numbers in the domain, and any others."""
    if record.name == "power" and dtypes[0].kind in "iu":
        return numbers(rng, shapes[0], dtypes[0]), np.abs(numbers(rng, shapes[1], dtypes[1], special=False))
    values = [numbers(rng, shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=False)]
    if dtypes[0].kind == "f":
        inside = record.sample(rng, *shapes[: record.nin])
        either = lambda v, x: np.where(rng.random(v.shape) < 0.6, np.asarray(x).astype(v.dtype), v)
        values = [either(v, x) for v, x in zip(values, inside, strict=True)]
    return [np.asarray(v) for v in values]


def elementwise_cases(record):
    """Tapes of one op, and operands; what they are."""
    rng = np.random.default_rng(1)
    for dtypes in signatures(record):
        for shapes in (case[: record.nin] for case in OPERANDS):
            shape = np.broadcast_shapes(*shapes)
            declared = [np.empty(s, d, "F" if rng.random() < 0.3 else "C").strides for s, d in zip(shapes, dtypes, strict=False)]
            tape = one_op(record.name, zip(shapes, dtypes, declared, strict=False), [shape] * record.nout, dtypes[record.nin :])
            yield tape, operands_of(record, rng, shapes, dtypes), f"{dtypes} {shapes}"


over_records = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)


@over_records
def test_elementwise(record):
    for tape, operands, says in elementwise_cases(record):
        inputs = [laid_out(x, t.shape, t.strides, t.dtype) for x, t in zip(operands, map(tape.type, tape.inputs), strict=True)]
        assert_bits(*both(tape, inputs), says=says)


@over_records
def test_elementwise_in_other_layouts(record):
    """Of numbers that are not in a row NumPy takes other loops for some functions, which round otherwise."""
    layouts = itertools.cycle(LAYOUTS)
    for tape, operands, says in elementwise_cases(record):
        assert_ulps(*both(tape, [ARRANGED[next(layouts)](x) for x in operands]), 4, says)


def test_all_loops_are_tried():
    tried = {dtype.char for record in RECORDS for dtypes in signatures(record) for dtype in dtypes}
    assert tried >= set("?bhilBHILefdgFDGmM")
    assert all(signatures(record) for record in RECORDS)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2049,), (37, 41), (2, 3, 5, 70), (1000, 3), (3, 1000)], ids=str)
def test_inputs_in_any_layout(shape, layout):
    """Elementwise, windows, sums and outputs of inputs that do not lie as their types declare."""
    rng = np.random.default_rng(2)
    for declared in ("C", "F"):
        b = LoopBuilder()
        x, y = (b.input(shape, dtype, np.empty(shape, dtype, declared).strides) for dtype in (F8, np.float32))
        window = lambda a: a[(*(slice(None, None, -1) for _ in shape), ...)]
        z = b.ew("multiply", x, b.cast(y, F8))
        (w,) = b.loop(2, [x], [z], lambda b, j, x, z: [b.ew("add", x, z)])
        total = b.op("sum", (y,), (), tuple(range(len(shape))), dtype=F8)
        tape = b.done(z, b.load(x, window), b.store(x, window, z), x, y, w, total)
        inputs = [ARRANGED[layout](numbers(rng, shape, t, special=False)) for t in (F8, np.float32)]
        results, expected = both(tape, inputs)
        assert_bits(results[:-1], expected[:-1])
        assert_close(results[-1:], expected[-1:], 1e-14)


@pytest.mark.parametrize("kind", [np.array, np.float64, float])
def test_inputs_that_are_numbers(kind):
    b = LoopBuilder()
    x, y = b.input(()), b.input((5,))
    (z,) = b.loop(3, [x], [], lambda b, j, x: [b.ew("sin", x)])
    tape = b.done(x, b.ew("multiply", x, y), b.store(y, lambda a: a[1, ...], x), z, b.op("gather", (x, b.const(0)), ()))
    assert_bits(*both(tape, [kind(0.3), np.arange(5.0)]))


def test_mixed_dtypes():
    """An array of integers and one of floats, through the casts that a trace makes; every pair that NumPy has."""
    rng = np.random.default_rng(3)
    chars = REALS + "FD"
    for one, other in itertools.product(chars, chars):
        for name in ("add", "multiply", "less"):
            try:
                dtypes = getattr(np, name).resolve_dtypes((np.dtype(one), np.dtype(other), None))
            except TypeError:
                continue
            b = Builder()
            x, y = b.input((5, 700), np.dtype(one)), b.input((700,), np.dtype(other))
            x, y = (v if b.tape.type(v).dtype == d else b.cast(v, d) for v, d in zip((x, y), dtypes, strict=False))
            tape = b.done(b.op(name, (x, y), (5, 700), dtype=dtypes[-1]))
            inputs = [numbers(rng, (5, 700), one), numbers(rng, (700,), other)]
            assert_bits(*both(tape, inputs), says=f"{name} {one} {other}")


@pytest.mark.parametrize("shape", [(), (0,), (1,), (300,), (2100,), (41, 37)], ids=str)
def test_casts(shape):
    """Every dtype to every other; not complex ones to others than floating, nor numbers that do not fit into integers."""
    rng = np.random.default_rng(4)
    chars = REALS + "FDG"
    for one, other in itertools.product(chars, chars):
        if one in "FDG" and other not in "fdgFDG":
            continue
        fits = np.dtype(one).kind in "fc" and np.dtype(other).kind in "iu"
        x = np.abs(numbers(rng, shape, one, special=False)) if fits else numbers(rng, shape, one)
        tape = one_op("cast", [(shape, np.dtype(one))], [shape], [np.dtype(other)])
        assert_bits(*both(tape, [x]), says=f"{one} to {other}")


def test_constants():
    """Of every kind, as operands, storages, positions and outputs; none is ever changed."""
    rng = np.random.default_rng(5)
    for char, shape in itertools.product("?ilefdgFDG", [(), (0,), (1,), (2050,), (37, 60), (1, 3), (37, 1)]):
        for order in "CF":
            value = np.asarray(numbers(rng, shape, char), order=order)
            kept = value.copy()
            b = Builder()
            x, c = b.input(np.broadcast_shapes((37, 1), shape), value.dtype), b.const(value)
            name = "logical_or" if char == "?" else "add"
            outputs = [c, b.ew(name, x, c), b.ew(name, c, c), c]
            if value.size:
                first, last = (lambda a, part=part: a[part] if a.ndim else a for part in (np.s_[..., :1], np.s_[..., -1:]))
                outputs.append(b.store(c, first, b.load(c, last)))
                outputs.append(b.load(c, lambda a: np.broadcast_to(a, (2, *a.shape))))
            tape = b.done(*outputs)
            inputs = [numbers(rng, tape.type(v).shape, char) for v in tape.inputs]
            for _ in range(2):
                assert_bits(*both(tape, inputs), says=f"{char} {shape}")
                assert value.tobytes() == kept.tobytes()


# ---- the other ops ---------------------------------------------------------------------------------------------------

SUMMED = [((5,), (0,)), ((2049,), (0,)), ((4097,), (0,)), ((0,), (0,)), ((3, 0), (0,)), ((0, 3), (0,)), ((1000, 3), (0,)),
          ((1000, 3), (1,)), ((3, 1000), (0,)), ((3, 1000), (1,)), ((37, 41), (0, 1)), ((2, 3, 5, 70), (1, 3)), ((), ()),
          ((2, 3, 5, 70), (0, 2)), ((2, 3, 5, 70), ()), ((1, 1), (0, 1)), ((70, 5, 3, 2), (0, 1, 2, 3))]  # fmt: skip


@pytest.mark.parametrize(("shape", "axes"), SUMMED, ids=str)
def test_sums(shape, axes):
    rng = np.random.default_rng(6)
    kept = tuple(n for k, n in enumerate(shape) if k not in axes)
    for char, order in itertools.product("?bilBefdgFDG", "CF"):
        dtype = np.dtype(char)
        strides = np.empty(shape, dtype, order).strides
        x = numbers(rng, shape, dtype, special=False)
        for into in {np.add.reduce(np.ones(1, dtype)).dtype, np.dtype("d") if dtype.kind != "c" else dtype, dtype}:
            tape = one_op("sum", [(shape, dtype, strides)], [kept], [into], axes)
            results, expected = both(tape, [x])
            if dtype.kind in "fc":
                eps = max(np.finfo(dtype).eps, np.finfo(into).eps)
                assert_close(results, expected, float(eps) * max(1, x.size) ** 0.5 * max(1, np.abs(x).max(initial=0.0) * 4))
            else:
                assert_bits(results, expected)


REDUCERS = ["maximum", "minimum", "fmax", "fmin", "multiply", "logaddexp", "hypot", "subtract", "divide", "logical_or"]


@pytest.mark.parametrize("name", REDUCERS)
def test_reductions(name):
    rng = np.random.default_rng(7)
    exact = name in ("maximum", "minimum", "fmax", "fmin", "logical_or")
    for (shape, axes), char in itertools.product(SUMMED, "?ifdD"):
        axes = axes if name in ("maximum", "minimum", "fmax", "fmin", "multiply", "logical_or") else axes[:1]
        dtype, ufunc = np.dtype(char), getattr(np, name)
        if not lawful(ufunc, (dtype,) * 3) or 0 in shape or not axes:
            continue
        kept = tuple(n for k, n in enumerate(shape) if k not in axes)
        x = rng.uniform(0.5, 1.5, shape).astype(dtype) if not exact else numbers(rng, shape, dtype)
        results, expected = both(one_op("reduce", [(shape, dtype)], [kept], [dtype], (name, axes)), [x])
        if exact or dtype.kind not in "fc":
            assert_bits(results, expected)
        else:
            assert_close(results, expected, 3000 * np.finfo(dtype).eps)


@pytest.mark.parametrize("columns", [1, 2, 3, 10, 24, 25])
@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_extrema_of_many_short_rows(name, columns):
    """NaN among the numbers; rows one after the other, and a window with gaps."""
    rng = np.random.default_rng(7)
    for char, window in itertools.product("dfi", (lambda a: a, lambda a: a[:, 1:])):
        b = Builder()
        x = b.load(b.input((2600, columns + 1), np.dtype(char)), window)
        rows = b.op("reduce", (x,), (2600,), (name, (1,)), dtype=np.dtype(char))
        tape = b.done(rows, b.op("reduce", (b.load(x, lambda a: a[:7]),), (7,), (name, (1,)), dtype=np.dtype(char)))
        assert_bits(*both(tape, [numbers(rng, (2600, columns + 1), char)]), signs=False, says=f"{name} {columns} {char}")


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "logaddexp", "subtract", "fmin"])
def test_scans(name):
    rng = np.random.default_rng(8)
    for (shape, axes), char in itertools.product(SUMMED, "ifdD"):
        dtype = np.dtype(char)
        if not shape or not lawful(getattr(np, name), (dtype,) * 3):
            continue
        axis = axes[-1] if axes else 1
        x = rng.uniform(0.9, 1.1, shape).astype(dtype)
        assert_bits(*both(one_op("scan", [(shape, dtype)], [shape], [dtype], (name, axis)), [x]))


@pytest.mark.parametrize("reverse", [0, 1])
def test_linear_recurrences(reverse):
    rng = np.random.default_rng(9)
    for (shape, axes), char in itertools.product(SUMMED, "fd"):
        if shape and axes:
            a, c = (rng.uniform(-1, 1, shape).astype(char) for _ in range(2))
            tape = one_op("linrec", [(shape, c.dtype)] * 2, [shape], [c.dtype], (axes[0], reverse))
            assert_bits(*both(tape, [a, c]))


def sizes_of(text, shapes):
    """The length of the axis of each letter; None if a letter has several, as in a broadcast."""
    sizes = {}
    for term, shape in zip(text.split("->")[0].split(","), shapes, strict=True):
        for letter, n in zip(term, shape, strict=True):
            if sizes.setdefault(letter, n) != n:
                return None
    return sizes


@pytest.mark.parametrize("char", "dfDi")
def test_contractions(char):
    rng = np.random.default_rng(10)
    cases = [row for row in EINSUM if "->" in row[0] and "..." not in row[0] and sizes_of(*row) is not None]
    assert len(cases) > 20
    cases += [("ij,jk->ik", [(65, 130), (130, 33)]), ("i,i->", [(4097,), (4097,)]), ("ij,j->i", [(1000, 3), (3,)])]
    for text, shapes in cases:
        shape = tuple(sizes_of(text, shapes)[c] for c in text.split("->")[1])
        tape = one_op("einsum", [(s, np.dtype(char)) for s in shapes], [shape], [np.dtype(char)], text)
        inputs = [np.asarray(rng.integers(-3, 4, s)).astype(char) for s in shapes]
        assert_bits(*both(tape, inputs), signs=False, says=text)


POSITIONS = "bhilBHIL"


WRITTEN_IN_PLACE = {
    "matrix product": ("einsum", [(300, 5), (5, 300)], "ij,jk->ik", (300, 300)),
    "matrices": ("einsum", [(90, 30, 5), (90, 5, 30)], "bij,bjk->bik", (90, 30, 30)),
    "letters joined": ("einsum", [(300, 5), (5, 30, 10)], "ij,jkl->ikl", (300, 30, 10)),
    "outer product": ("einsum", [(300,), (300,)], "i,j->ij", (300, 300)),
    "sum": ("sum", [(3, 300, 300)], (0,), (300, 300)),
    "maximum": ("reduce", [(3, 300, 300)], ("maximum", (0,)), (300, 300)),
    "scan": ("scan", [(300, 300)], ("add", 1), (300, 300)),
}


@pytest.mark.parametrize("case", WRITTEN_IN_PLACE.values(), ids=WRITTEN_IN_PLACE)
def test_calls_write_where_results_belong(case):
    """No array of the result's size is made on the way."""
    name, shapes, attr, shape = case
    dtype = np.dtype(np.int64) if name == "sum" else F8  # a sum of floats is a kernel
    tape = one_op(name, [(s, dtype) for s in shapes], [shape], [dtype], attr)
    inputs = [np.random.default_rng(8).integers(-9, 9, s).astype(dtype) for s in shapes]
    found, expected = both(tape, inputs)
    assert_bits(found, expected, signs=False)
    program, out = vm.Program(tape), found
    program.run(inputs, out=out)
    tracemalloc.start()
    program.run(inputs, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < out[0].nbytes / 2


@pytest.mark.parametrize("lanes", [0, 1, 3])
@pytest.mark.parametrize("name", ["gather", "scatter", "scatter_add"])
def test_positions(name, lanes):
    """Positions of every dtype, repeated and negative ones; all dtypes of elements."""
    rng = np.random.default_rng(11)
    lead = (lanes,) if lanes else ()
    for n, shape in itertools.product([1, 100, 2049], [(), (0,), (1,), (3,), (700,), (41, 60), (2, 3, 4)]):
        for char, kind in ["dl", "d" + POSITIONS[n % 8], "fi", "Dl", "lh", "?l", "el", "gb"]:
            dtype = np.dtype(char)
            top = min(n, np.iinfo(kind).max)
            pos = np.asarray(rng.integers(-top if np.dtype(kind).kind == "i" else 0, top, shape)).astype(kind)
            full = (lanes or 1) * n
            x, v = numbers(rng, (full,), dtype, special=False), numbers(rng, (*lead, *shape), dtype, special=False)
            if char in "dfDeg":
                x, v = np.rint(x), np.rint(v)  # sums of these are exact
            if name == "gather":
                tape = one_op(name, [((full,), dtype), (shape, pos.dtype)], [(*lead, *shape)], [dtype], imm=lanes)
                assert_bits(*both(tape, [x, pos]))
            elif char != "?" or name == "scatter":
                operands = [((full,), dtype), (shape, pos.dtype), ((*lead, *shape), dtype)]
                tape = one_op(name, operands, [(full,)], [dtype], imm=lanes)
                assert_bits(*both(tape, [x, pos, v]), says=f"{n} {shape} {char}{kind}")


def test_positions_in_memory_that_is_not_in_c_order():
    rng = np.random.default_rng(12)
    b = Builder()
    x, v = b.input((37, 41), strides=(8, 37 * 8)), b.input((37, 41), strides=(8, 37 * 8))
    pos = b.const(rng.permutation(37 * 41).reshape(41, 37).T)
    more = b.op("scatter", (b.op("copy", (x,), (37, 41)), pos, b.op("copy", (v,), (37, 41))), (37, 41))
    tape = b.done(b.op("gather", (x, pos), (37, 41)), b.op("gather", (v, pos), (37, 41), strides=(8, 37 * 8)), more)
    for layout in LAYOUTS:
        assert_bits(*both(tape, [ARRANGED[layout](rng.normal(size=(37, 41))) for _ in range(2)]))


@pytest.mark.parametrize("position", [5, 10**6, -6, -(10**12), np.iinfo(np.int64).max, np.iinfo(np.int64).min])
@pytest.mark.parametrize("name", ["gather", "scatter", "scatter_add"])
def test_positions_out_of_bounds(name, position):
    operands = [((5,), F8), ((3,), I8), ((3,), F8)][: 2 if name == "gather" else 3]
    tape = one_op(name, operands, [(3,) if name == "gather" else (5,)], [F8])
    program, inputs = vm.Program(tape), [np.arange(5.0), np.array([0, position, 1]), np.ones(3)][: len(operands)]
    with pytest.raises(IndexError):
        reference.Program(tape).run(inputs)
    with pytest.raises(IndexError):
        program.run(inputs)
    inputs[1] = np.array([0, 4, 1])
    assert_bits(program.run(inputs), reference.Program(tape).run(inputs))


def test_winners():
    rng = np.random.default_rng(13)
    for shape in [(), (0,), (1,), (9,), (2049,), (41, 50)]:
        tape = one_op("winners", [(shape, I8)], [shape], [np.dtype(bool)])
        assert_bits(*both(tape, [rng.integers(-5, 40, shape)]))


def test_inactive_functions():
    tape = one_op("inactive", [((3000,), F8)], [(3000,)], [I8], np.argsort)
    assert_bits(*both(tape, [np.random.default_rng(14).normal(size=3000)]))
    tape = one_op("inactive", [((3000,), F8)], [(2,), (2,)], [F8, I8], lambda x: (x[:2], x[:2].astype(np.int64)))
    assert_bits(*both(tape, [np.arange(3000.0)]))
    tape = one_op("inactive", [((30,), F8)], [(2,)], [I8], lambda x: np.flatnonzero(x > 0))
    assert_bits(*both(tape, [np.arange(-27, 3.0)]))
    for engine in (reference, vm):
        with pytest.raises(GuardFailed):
            engine.Program(tape).run([np.ones(30)])


@pytest.mark.parametrize("char", "df")
def test_linear_algebra(char):
    rng, dtype = np.random.default_rng(15), np.dtype(char)
    for lead in [(), (3,), (2, 3), (0,)]:
        a, v = rng.normal(size=(*lead, 6, 6)).astype(char), rng.normal(size=(*lead, 6, 2)).astype(char)
        assert_bits(*both(one_op("solve", [(a.shape, dtype), (v.shape, dtype)], [v.shape], [dtype]), [a, v]))
        for name, shape in (("det", lead), ("logabsdet", lead), ("cofactors", a.shape)):
            if lead != (0,) or name != "cofactors":
                assert_bits(*both(one_op(name, [(a.shape, dtype)], [shape], [dtype]), [a]))
    tape = one_op("solve", [((3, 3), dtype), ((3, 1), dtype)], [(3, 1)], [dtype])
    program = vm.Program(tape)
    with pytest.raises(np.linalg.LinAlgError):
        program.run([np.zeros((3, 3), char), np.ones((3, 1), char)])
    assert_bits(program.run([np.eye(3, dtype=char), np.ones((3, 1), char)]), [np.ones((3, 1), char)])


def test_powers_that_integers_do_not_have():
    """NumPy's inner loop raises: the engine says so, and works again."""
    tape = one_op("power", [((3000,), I8), ((), I8)], [(3000,)], [I8])
    program = vm.Program(tape)
    for engine_program in (reference.Program(tape), program):
        with pytest.raises(ValueError, match="negative integer powers"):
            engine_program.run([np.full(3000, 2), np.array(-1)])
    assert_bits(program.run([np.full(3000, 2), np.array(3)]), [np.full(3000, 8)])


def test_floating_point_errors_are_silent():
    """Neither warnings nor errors, whatever the caller asks of NumPy; and none is left for what NumPy does next."""
    b = Builder()
    x, n = b.input((3000,)), b.input((3000,), I8)
    outputs = [b.ew("divide", b.const(1.0), x), b.ew("log", x), b.ew("exp", b.ew("multiply", x, b.const(1e9)))]
    tape = b.done(*outputs, b.ew("floor_divide", n, n), b.op("sum", (outputs[0],), (), (0,)))
    inputs = [np.linspace(-1, 1, 3001)[1:] * 0, np.zeros(3000, int)]
    with np.errstate(all="raise"):
        results = vm.Program(tape).run(inputs)
        assert (np.ones(2) + np.ones(2)).sum() == 4
    assert_bits(results, reference.Program(tape).run(inputs))


def test_guards():
    for value, dtype in ((True, bool), (3, np.int64), (0.5, np.float64), (np.nan, np.float64)):
        b = Builder()
        x, y = b.input((), np.dtype(dtype)), b.input((3000,))
        b.tape.add(BY_NAME["guard"], (x,), (), value)
        program = vm.Program(b.done(b.ew("sin", y)))
        y = np.linspace(0, 1, 3000)
        for _ in range(2):
            assert_bits(program.run([np.array(value, dtype), y]), [np.sin(y)])
            with pytest.raises(GuardFailed):
                program.run([np.array(0, dtype), y])
            with pytest.raises(GuardFailed):
                program.run([dtype(0), y])


# ---- random tapes ----------------------------------------------------------------------------------------------------

seeds = st.integers(0, 2**32 - 1)
random = functools.partial(settings, phases=(Phase.generate,))  # there is nothing to be shrunk about a seed


def everything(tape):
    """Positions of the real inputs and outputs."""
    real = lambda values: [p for p, v in enumerate(values) if tape.type(v).dtype.kind == "f"]
    return real(tape.inputs), real(tape.outputs)


def forward(tape):
    return tangent(tape, everything(tape)[0])


def reverse(tape):
    return adjoint(tape, *everything(tape))[0]


def batched(tape, lanes):
    """The tangent in several lanes."""
    n, made = len(tape.inputs), forward(tape)
    return batch(made, range(n, len(made.inputs)), lanes)


def exact(results):
    """Whether sums of such numbers have no rounding errors, and had none that they come from, as far as can be seen."""
    whole = (r.astype(float) * 2**12 for r in results)
    return all(np.all(np.abs(r) < 2**45) and np.all(r == np.rint(r)) for r in whole)


@random(max_examples=4 * settings().max_examples)
@given(seeds)
def test_rough_numbers(seed):
    made = SizedTape(seed, "rough")
    assert_bits(*both(made.tape, made.point()))


@random(max_examples=4 * settings().max_examples)
@given(seeds)
def test_whole_numbers(seed):
    made = SizedTape(seed, "whole")
    assert_bits(*both(made.tape, made.point()), signs=False)


DERIVED = {
    "tangent": forward, "adjoint": reverse, "batch": lambda tape: batched(tape, 3),
    "forward over reverse": lambda tape: forward(reverse(tape)), "simplified": lambda tape: simplify(reverse(simplify(tape))),
}  # fmt: skip


@pytest.mark.parametrize("law", DERIVED.values(), ids=DERIVED)
@random()
@given(seeds)
def test_derivatives_of_whole_numbers(law, seed):
    made = SizedTape(seed, "whole")
    tape = law(made.tape)
    results, expected = both(tape, made.point(tape))
    if exact(expected):
        assert_bits(results, expected, signs=False)


@pytest.mark.parametrize("law", DERIVED.values(), ids=DERIVED)
@random()
@given(seeds)
def test_derivatives_to_rounding(law, seed):
    made = SizedTape(seed, "smooth")
    tape = law(made.tape)
    assert_close(*both(tape, made.point(tape)), 1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape(shape):
    for seed in range(6):
        made = SizedTape(seed, "rough", shape)
        assert_bits(*both(made.tape, made.point()))
        made = SizedTape(seed, "whole", shape)
        assert_bits(*both(made.tape, made.point()), signs=False)
        tape = reverse(made.tape)
        results, expected = both(tape, made.point(tape))
        assert_bits(results, expected, signs=False) if exact(expected) else assert_close(results, expected, 1e-9)


@random()
@given(seeds)
def test_random_tapes(seed):
    for names, law in ((GROWING, lambda tape: tape), (GROWING, forward), (GROWING, reverse), (ANY, lambda tape: tape)):
        made = RandomTape(seed, names)
        tape = law(made.tape)
        tol = 1e-5 if any(tape.type(v).dtype == np.float32 for v in range(tape.n_values)) else 1e-9
        rng = np.random.default_rng(seed)
        types = map(tape.type, tape.inputs)
        inputs = [rng.integers(0, 3, t.shape) if t.dtype == I8 else rng.uniform(0.3, 0.9, t.shape) for t in types]
        assert_close(*both(tape, inputs), tol)


class LongLoop(RandomLoop):
    n = 2050


class LongBranches(RandomBranches):
    n = 1025


@pytest.mark.parametrize("kind", [RandomLoop, RandomBranches, LongLoop, LongBranches])
@random()
@given(seeds)
def test_random_loops_and_branches(kind, seed):
    tape = kind(seed).tape
    rng = np.random.default_rng(seed)
    for law in (lambda tape: tape, forward, reverse):
        made = law(tape)
        inputs = [rng.uniform(-1, 1, made.type(v).shape) for v in made.inputs]
        assert_close(*both(made, inputs), 1e-9)


@pytest.mark.parametrize("family", LOOPS.values(), ids=LOOPS)
def test_loops_made_by_hand(family):
    b = LoopBuilder()
    b.done(*family(b))
    rng = np.random.default_rng(16)
    for law in (lambda tape: tape, forward, reverse, lambda tape: reverse(reverse(tape)), lambda tape: batched(tape, 2)):
        tape = law(b.tape)
        inputs = [rng.uniform(0.3, 0.9, tape.type(v).shape) * rng.choice([-1, 1], tape.type(v).shape) for v in tape.inputs]
        assert_close(*both(tape, inputs), 1e-11)


# ---- what random tapes have found --------------------------------------------------------------------------------------


def test_memory_changes_hands_between_slots_of_one_size():
    """A number takes the place of another, so that the order of those which are freed is not that of those which are made."""
    b = LoopBuilder()
    s, u, t = b.input(()), b.input((2048,)), b.input(())
    step = lambda b, j, s, u, t: [t, b.ew("sin", u), b.ew("tanh", t)]
    b.done(*b.loop(3, [s, u, t], [], step))
    assert_bits(*both(b.tape, [np.array(0.5), np.linspace(0, 1, 2048), np.array(0.25)]))


@pytest.mark.parametrize("shape", [(), (2049,)])
def test_what_is_cleared_is_restored_once(shape):
    """A store of zeros, and two sums of what was there: the first undoes the store, the second counts."""
    b = Builder()
    x, y = b.input(shape), b.input(shape)
    x = b.ew("add", x, y)
    before, all_of_it = b.load(x, lambda a: a[...]), lambda a: a[...]
    x = b.store(x, all_of_it, b.load(b.const(0.0), lambda a: np.broadcast_to(a, shape)))
    b.done(b.accumulate(b.accumulate(x, all_of_it, before), all_of_it, before))
    assert_bits(*both(b.tape, [np.ones(shape), np.full(shape, 2.0)]))


def test_elements_of_a_size_that_no_loop_copies():
    b = Builder()
    x = b.input((3,), dtype=np.dtype("S3"))
    b.done(b.op("copy", (x,), (3,), dtype=np.dtype("S3")))
    with pytest.raises(NotImplementedError, match=r"no inner loop for load of \[dtype\('S3'\)\]"):
        vm.Program(b.tape)


# ---- results that are computed where they are stored -------------------------------------------------------------------


def in_memory(b, shape):
    """A value that has memory of its own, and no register."""
    x = b.input(shape)
    return b.tape.add(BY_NAME["scan"], [x], [b.tape.type(x)], ("add", 0))[0]


def read_again(b, x, y):
    """What is overwritten was loaded before the result is computed, and is used afterwards."""
    s = b.ew("sin", b.ew("add", x, y))
    return b.ew("multiply", x, s), b.store(x, lambda a: a[...], s)


def read_late(b, x, y):
    """What is overwritten is loaded after the result is computed, and used after it is stored."""
    s, before = b.ew("sin", y), b.load(x, lambda a: a[...])
    x = b.store(x, lambda a: a[...], s)
    return b.ew("multiply", before, s), x


def stored_and_added_to(b, x, y):
    """What is stored is used after something is added in its place."""
    s, t = b.ew("sin", y), b.ew("cos", y)
    x = b.accumulate(b.store(x, lambda a: a[...], s), lambda a: a[...], t)
    return b.ew("multiply", s, t), x


def cleared_and_added_to(b, x, y):
    """What was there before a number is used after something is added to the number."""
    before, s = b.load(x, lambda a: a[...]), b.ew("sin", y)
    x = b.accumulate(filled(b, x), lambda a: a[...], s)
    return b.ew("multiply", before, s), x


def cleared_and_read(b, x, y):
    """What was there before a number is used together with the number."""
    before = b.load(x, lambda a: a[...])
    x = filled(b, x)
    now = b.load(x, lambda a: a[...])
    return b.ew("multiply", b.ew("add", before, y), now), x


def filled(b, x):
    number = b.load(b.const(0.5), lambda a: np.broadcast_to(a, b.tape.type(x).shape))
    return b.store(x, lambda a: a[...], number)


PROGRAMS = [read_again, read_late, stored_and_added_to, cleared_and_added_to, cleared_and_read]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shape", [(1,), (3000,)])
def test_results_wait_for_what_is_read_where_they_are_stored(program, shape):
    b = Builder()
    b.done(*program(b, in_memory(b, shape), b.input(shape)))
    assert_bits(*both(b.tape, [np.linspace(0, 1, *shape), np.linspace(1, 2, *shape)]))


# ---- many axes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [40, 64])
def test_as_many_axes_as_numpy_has(n):
    """In kernels, and in what is handed to an op's own function."""
    shape = (2, 3) + (1,) * (n - 2)
    b = Builder()
    x, y = b.input(shape), b.input(shape[::-1])
    turned = b.load(b.op("sin", (y,), shape[::-1]), lambda a: a.T)
    x = b.accumulate(b.op("multiply", (x, x), shape), lambda a: a[::-1], turned)
    x = b.store(x, lambda a: a[0], b.load(x, lambda a: a[1]))
    (scanned,) = b.tape.add(BY_NAME["scan"], [x], [b.tape.type(x)], ("add", 1))
    b.done(x, scanned, b.op("sum", (x,), shape[1:], (0,)))
    rng = np.random.default_rng(0)
    assert_bits(*both(b.tape, [rng.normal(size=shape), rng.normal(size=shape[::-1])]))


def test_axes_of_no_points():
    """More of them than a kernel has, which cannot be joined."""
    shape = (2,) * 39 + (0,)
    b = Builder()
    x, y = b.input(shape), b.input(shape[::-1])
    b.done(b.op("add", (x, b.load(y, lambda a: a.T)), shape))
    assert_bits(*both(b.tape, [np.zeros(shape), np.zeros(shape[::-1])]))


def test_a_kernel_of_too_many_axes(monkeypatch):
    """In the order of their strides these would be joined."""
    monkeypatch.setattr(planner, "sort_axes", lambda block: None)
    b = Builder()
    x, shape = b.input((2,) * 17), (2,) * 34
    spread = b.load(x, lambda a: np.broadcast_to(a.reshape((2, 1) * 17), shape))
    b.done(b.op("sum", (spread,), (), tuple(range(34))))
    with pytest.raises(NotImplementedError, match="34 axes that cannot be joined"):
        vm.Program(b.tape)


@pytest.mark.parametrize("name", ["isfinite", "isinf", "isnan", "signbit"])
def test_masks_that_numpy_gets_wrong_through_a_stride(name):
    """NumPy 2.4.6: ``np.isnan(x, out=mask[::2])``."""
    b = Builder()
    x, mask = b.input((300,)), b.op("zeros", (), (600,), dtype="?")
    tape = b.done(b.store(mask, lambda a: a[::2], b.op(name, (x,), (300,), dtype="?")))
    x = np.where(np.arange(300) % 7, np.linspace(-1, 1, 300), np.nan)
    x[::11] = np.inf
    (result,) = vm.Program(tape).run([x])
    assert np.array_equal(result[::2], getattr(np, name)(x)) and not result[1::2].any()


def test_stores_of_what_overlaps_with_other_strides():
    """NumPy's own assignment gets this wrong: the law of a store is that it is of the value."""
    b = Builder()
    x = b.input((2049,))
    every_other = b.load(x, lambda a: a[2::2])
    b.done(b.store(x, lambda a: a[185:1209], every_other))
    u = np.random.default_rng(6).uniform(0, 1, 2049)
    expected = u.copy()
    expected[185:1209] = u[2::2]
    for results in both(b.tape, [u]):
        assert_bits(results, [expected])
