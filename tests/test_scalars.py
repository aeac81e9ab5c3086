"""Runs of ops on single numbers: random scalar programs against the reference interpreter, to the bit."""

import functools
import signal
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import sparsead
from engines import assert_bits, assert_ulps, both, interrupted_after, numbers
from loop_tapes import LoopBuilder
from sparsead.engine import reference, vm
from sparsead.schedule.form import Scalars, inside
from sparsead.schedule.listing import listing
from sparsead.tape.spec import BY_NAME, GuardFailed
from sparsead.transform._adjoint import adjoint
from tapes import F8, I8, Builder

BOOL, F4, C16, LONG, I2 = map(np.dtype, ["?", "f", "D", "g", "h"])
UNARY = {
    "f": ["sin", "exp", "sqrt", "negative", "square", "reciprocal", "absolute", "tanh", "positive", "stop_gradient", "floor",
          "log", "sign", "cos"],
    "c": ["sin", "exp", "sqrt", "negative", "square", "conjugate"], "i": ["negative", "absolute", "invert", "square"],
    "b": ["logical_not"],
}  # fmt: skip
BINARY = {
    "f": ["add", "subtract", "multiply", "divide", "maximum", "power", "hypot", "copysign", "fmin", "strong_multiply",
          "remainder", "add", "multiply"],
    "c": ["add", "subtract", "divide"],  # NumPy rounds products by the strides of their operands, also where there is one element
    "i": ["add", "subtract", "multiply", "floor_divide", "bitwise_xor", "minimum"],
    "b": ["logical_and", "logical_or", "logical_xor"],
}  # fmt: skip
COMPARISONS = ["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"]
PAIRS = ["divmod", "modf", "frexp"]  # of results


class ScalarTape(LoopBuilder):
    """A random tape of ops on single elements, with some on arrays among them; ``inputs`` are numbers for it."""

    PLAIN = ("unary", "unary", "binary", "binary", "binary", "mixed", "compared", "selected", "pair", "converted", "loaded",
             "loaded", "loaded", "stored", "stored", "accumulated", "moved", "own", "constant", "viewed")  # fmt: skip
    ARRAYS = ("copied", "mapped", "spread")
    NESTED = ("looped", "branched")

    def __init__(self, seed, count=60, arrays=0.1):
        super().__init__()
        self.rng, self.arrays = np.random.default_rng(seed), arrays
        types = [((), F8), ((), F8), ((1,), F8), ((1, 1), F8), ((), F4), ((), C16), ((), I8), ((), BOOL), ((1,), I2), ((), LONG)]
        memories = [((5,), F8), ((5,), F8), ((2, 3), F8), ((4,), F4), ((3,), C16), ((4,), I8)]
        self.inputs = [numbers(self.rng, shape, dtype, special=self.rng.random() < 0.3) for shape, dtype in types + memories]
        ones = [self.input(shape, dtype) for shape, dtype in types]
        many = [self.input(shape, dtype) for shape, dtype in memories]
        ones, many = self.statements(self, ones, many, count, 2)
        self.done(*(self.pick(ones) for _ in range(5)), *many)

    def pick(self, items):
        return items[self.rng.integers(len(items))]

    def late(self, items):
        return items[-1 - int(len(items) * self.rng.random() ** 2)]

    def dtype(self, b, v):
        return b.tape.type(v).dtype

    def statements(self, b, ones, many, count, depth):
        """(numbers, memories) after some statements; memories are replaced in their places."""
        ones, many = list(ones), list(many)
        for _ in range(count):
            chance = self.rng.random()
            kinds = self.ARRAYS if chance < self.arrays else self.NESTED if depth and chance > 0.97 else self.PLAIN
            kinds = (*kinds, "guarded") if b is self else kinds
            getattr(self, self.pick(kinds))(b, ones, many, depth)
        return ones, many

    def number(self, b, ones, dtype=None, kinds="fcib"):
        """A number of this dtype, or of one of these kinds; made from another one if there is none."""
        found = [v for v in ones if (self.dtype(b, v) == dtype if dtype else self.dtype(b, v).kind in kinds)]
        if found:
            return self.late(found)
        return b.const(dtype.type(1)) if dtype else b.const(1.5)

    def put(self, b, ones, name, operands, dtype=None):
        types = [self.dtype(b, v) for v in operands]
        record = BY_NAME[name].elementwise.ufunc
        if dtype is None:
            known = isinstance(record, np.ufunc)
            dtype = record.resolve_dtypes((*types, *[None] * record.nout))[len(types)] if known else types[-1]
        shape = np.broadcast_shapes(*(b.tape.type(v).shape for v in operands))
        ones.append(b.op(name, operands, shape, dtype=dtype))

    # ---- numbers

    def unary(self, b, ones, many, depth):
        x = self.number(b, ones)
        self.put(b, ones, self.pick(UNARY[self.dtype(b, x).kind]), (x,))

    def binary(self, b, ones, many, depth):
        x = self.number(b, ones)
        kind = self.dtype(b, x).kind
        names = [n for n in BINARY[kind] if self.dtype(b, x).char in "fd" or n != "strong_multiply"]
        self.put(b, ones, self.pick(names), (x, self.number(b, ones, self.dtype(b, x))))

    def mixed(self, b, ones, many, depth):
        """Operands of two dtypes, which are cast."""
        x, y = self.number(b, ones, kinds="fi"), self.number(b, ones, kinds="fi")
        common = np.result_type(self.dtype(b, x), self.dtype(b, y))
        if LONG not in (self.dtype(b, x), self.dtype(b, y)):
            x, y = (v if self.dtype(b, v) == common else b.cast(v, common) for v in (x, y))
            self.put(b, ones, self.pick(["add", "multiply", "maximum"]), (x, y))

    def compared(self, b, ones, many, depth):
        x = self.number(b, ones, kinds="fi")
        self.put(b, ones, self.pick(COMPARISONS), (x, self.number(b, ones, self.dtype(b, x))), BOOL)

    def selected(self, b, ones, many, depth):
        x = self.number(b, ones)
        y = self.number(b, ones, self.dtype(b, x))
        self.put(b, ones, "select", (self.number(b, ones, BOOL), x, y), self.dtype(b, x))

    def pair(self, b, ones, many, depth):
        name = self.pick(PAIRS)
        x = self.number(b, ones, kinds="f")
        operands = (x, self.number(b, ones, self.dtype(b, x))) if name == "divmod" else (x,)
        shape = np.broadcast_shapes(*(b.tape.type(v).shape for v in operands))
        types = BY_NAME[name].elementwise.ufunc.resolve_dtypes((*[self.dtype(b, v) for v in operands], None, None))
        ones += b.tape.add(BY_NAME[name], operands, [b.tape.pool.type(t, shape) for t in types[len(operands) :]])

    def converted(self, b, ones, many, depth):
        x = self.number(b, ones, kinds="fib")
        if self.dtype(b, x) != LONG:
            to = self.pick([F8, F4, BOOL, C16] if self.dtype(b, x).kind == "f" else [F8, F4, BOOL, I8, I2])
            ones.append(b.cast(x, to) if to != self.dtype(b, x) else b.op("copy", (x,), b.tape.type(x).shape, dtype=to))

    def constant(self, b, ones, many, depth):
        ones.append(b.const(self.pick([0.5, -0.0, np.float32(2), np.int64(-3), True, 1j, np.array([0.25]), np.longdouble(2)])))

    # ---- elements

    def element(self, b, x, shape=None):
        """A window on one element of `x`, of this shape."""
        index = tuple(slice(i, i + 1) for i in self.rng.integers(b.tape.type(x).shape))
        shape = self.pick([(), (), (1,), (1, 1)]) if shape is None else shape
        return lambda a: a[index].reshape(shape)

    def target(self, b, ones, x):
        """A window on one element of `x` and a number that is written there."""
        t = b.tape.type(x).dtype
        if self.rng.random() < 0.2 and t in (F8, I8):
            other = self.number(b, ones, self.pick([F4, I8, BOOL]))
            v = other if self.dtype(b, other) == t else b.cast(other, t)
        else:
            v = self.number(b, ones, t)
        return self.element(b, x, b.tape.type(v).shape), v

    def loaded(self, b, ones, many, depth):
        x = self.pick(many)
        ones.append(b.load(x, self.element(b, x)))

    def stored(self, b, ones, many, depth):
        k = self.rng.integers(len(many))
        many[k] = b.store(many[k], *self.target(b, ones, many[k]))

    def accumulated(self, b, ones, many, depth):
        k = self.rng.integers(len(many))
        many[k] = b.accumulate(many[k], *self.target(b, ones, many[k]))

    def moved(self, b, ones, many, depth):
        """An element whose place is computed."""
        k = self.rng.integers(len(many))
        x = many[k]
        shape = b.tape.type(x).shape
        plain = [v for v in ones if b.tape.type(v).shape == ()]
        index = [b.integer("remainder", self.number(b, plain, I8), n) for n in shape]
        arguments = (lambda a, *at: a[(*at, ...)]), index, [(0, n) for n in shape]
        name = self.pick(["load_at", "store_at", "accumulate_at"])
        if name == "load_at":
            ones.append(b.load_at(x, *arguments))
        else:
            many[k] = b.write_at(name, x, arguments[0], self.number(b, plain, self.dtype(b, x)), *arguments[1:])

    def viewed(self, b, ones, many, depth):
        """A part of a complex number, and a window on several elements of which one is read later."""
        x = self.pick([v for v in many if self.dtype(b, v).kind == "c"])
        part = self.pick([lambda a: a[1, ...].real, lambda a: a[2:].imag])
        ones.append(b.load(x, part))
        k = self.rng.integers(3)
        some = b.load(many[k], lambda a: a[1:])
        many[k] = b.store(many[k], *self.target(b, ones, many[k]))
        ones.append(b.load(some, self.element(b, some)))

    def own(self, b, ones, many, depth):
        """Memory of one element."""
        shape = self.pick([(), (1,)])
        plain = [v for v in ones if b.tape.type(v).shape == shape]
        x = b.zeros(shape) if self.rng.random() < 0.5 or shape else b.op("copy", (self.number(b, plain, F8),), shape)
        for _ in range(self.rng.integers(4)):
            way = self.pick([b.store, b.accumulate])
            x = way(x, lambda a: a[...], self.number(b, plain, F8)) if self.number(b, plain, F8) in plain else x
            if self.rng.random() < 0.5:
                ones.append(b.load(x, lambda a: a[...]))
        ones.append(x)

    # ---- arrays among them

    def copied(self, b, ones, many, depth):
        k = self.rng.integers(len(many))
        t = b.tape.type(many[k])
        many[k] = b.op("copy", (many[k],), t.shape, dtype=t.dtype)

    def mapped(self, b, ones, many, depth):
        k = self.rng.integers(3)
        many[k] = b.ew(self.pick(["sin", "negative", "tanh"]), many[k])

    def spread(self, b, ones, many, depth):
        k = self.rng.integers(3)
        many[k] = b.ew("multiply", many[k], self.number(b, [v for v in ones if b.tape.type(v).ndim < 2], F8))

    def guarded(self, b, ones, many, depth):
        """A guard that sees what it did when it was traced."""
        v = self.number(b, ones, self.pick([BOOL, BOOL, I8, F8]))
        made, outputs = b.tape, b.tape.outputs
        made.outputs = [v]
        value = reference.Program(made).run(self.inputs)[0].reshape(-1)[0]
        made.outputs = outputs
        b.guard(v, value)

    def looped(self, b, ones, many, depth):
        carried = [self.number(b, ones, F8), self.number(b, ones, I8)]
        m, n = len(carried), len(many)

        def step(b, j, *values):
            env = [*values[m + n :], j, *values[:m]]
            inner, memories = self.statements(b, env, values[m : m + n], self.rng.integers(2, 15), depth - 1)
            types = [b.tape.type(v) for v in values[:m]]
            fits = lambda t: self.pick([v for v in inner if b.tape.type(v) is t])
            return [*(fits(t) for t in types), *memories]

        results = b.loop(int(self.rng.integers(1, 5)), [*carried, *many], ones[-3:], step, self.rng.random() < 0.3)
        ones += results[:m]
        many[:] = results[m:]

    def branched(self, b, ones, many, depth):
        x = self.number(b, ones, F8)
        which = b.integer("remainder", self.number(b, [v for v in ones if b.tape.type(v).shape == ()], I8), 2)

        def way(b, x, *values):
            memories, invariants = values[: len(many)], values[len(many) :]
            inner, memories = self.statements(b, [*invariants, x], memories, self.rng.integers(2, 12), depth - 1)
            return [self.pick([v for v in inner if b.tape.type(v) is b.tape.type(x)]), *memories]

        result, *many[:] = b.branch(which, [x, *many], ones[-3:], way, way)
        ones.append(result)


def runs_of(block):
    """The runs of a block and those inside."""
    return (step for step in inside(*block.steps) if isinstance(step, Scalars))


random = functools.partial(settings, phases=(Phase.generate,))  # there is nothing to be shrunk about a seed


def test_random_programs():
    forms, inside = Counter(), Counter()

    @random(max_examples=4 * settings().max_examples)
    @given(st.integers(0, 2**32 - 1), st.sampled_from([10, 60, 200]), st.sampled_from([0.0, 0.05, 0.3]))
    def run(seed, count, arrays):
        made = ScalarTape(seed, count, arrays)
        assert_bits(*both(made.tape, made.inputs))
        block = vm.Program(made.tape).schedule.block
        found = list(runs_of(block))
        forms.update((form.name, form.dtypes[:1]) for step in found for form, _ in step.instructions())
        inside["inside"] += len(found) - sum(isinstance(step, Scalars) for step in block.steps)
        inside["runs"] += len(found)

    run()
    names = {name for name, _ in forms}
    wanted = {"load", "store", "accumulate", "load_at", "store_at", "accumulate_at", "index", "guard", "select", "cast", "divmod",
              "frexp", "copy", *COMPARISONS, *UNARY["f"], *BINARY["f"]}  # fmt: skip
    assert not wanted - names
    assert {char for _, dtypes in forms for char in (d.char for d in dtypes)} >= set("?dfDlhg")
    assert inside["inside"] > 10 and inside["runs"] > 100


@random()
@given(st.integers(0, 2**32 - 1))
def test_with_vector_functions(seed):
    """Within their units in the last place, for programs that do not magnify them."""
    b, rng = Builder(), np.random.default_rng(seed)
    values = [b.input(()) for _ in range(3)]
    for name in rng.choice(["exp", "sin", "cos", "tanh", "log1p", "power", "arctan", "log"], 20):
        x, y = (values[rng.integers(3)] for _ in range(2))
        values.append(b.ew("power", x, y) if name == "power" else b.ew(name, x))
    tape, inputs = b.done(*values), rng.uniform(0.5, 1.5, 3)
    before = sparsead.config.vector_functions
    sparsead.config.vector_functions = True
    try:
        assert_ulps(*both(tape, inputs), 4)
    finally:
        sparsead.config.vector_functions = before


# ---- programs made by hand -------------------------------------------------------------------------------------------


def recurrence(x):
    x = x.copy()
    for i in range(1, len(x)):
        x[i] = np.sin(x[i - 1]) * x[i]
    return x.sum()


def lorenz(y, dt):
    """The classical Runge-Kutta method, number by number, in memory."""
    k = np.empty((4, 3))
    for _ in sparsead.steps(50):
        for s in range(4):
            h = dt * (0.0, 0.5, 0.5, 1.0)[s]
            a, b, c = (y[i] + h * k[s - 1, i] if s else y[i] for i in range(3))
            k[s, 0], k[s, 1], k[s, 2] = 10.0 * (b - a), a * (28.0 - c) - b, a * b - 8.0 / 3.0 * c
        for i in range(3):
            y[i] += dt / 6.0 * (k[0, i] + 2.0 * k[1, i] + 2.0 * k[2, i] + k[3, i])
    return y[0] * y[1] + y[2]


@pytest.mark.parametrize("f, args", [(recurrence, (np.linspace(1, 1.5, 300),)), (lorenz, (np.array([1.0, 2.0, 3.0]), 0.01))])
def test_gradients_have_the_bits_of_the_reference_interpreter(f, args):
    ours, theirs = (sparsead.value_and_grad(f, engine=engine) for engine in ("vm", "reference"))
    for scale in (1.0, 0.9):
        moved = (scale * args[0].copy(), *args[1:])
        (a, da), (b, db) = ours(moved[0].copy(), *moved[1:]), theirs(moved[0].copy(), *moved[1:])
        assert a == b or abs(a - b) <= 1e-13 * abs(b)  # sums of arrays may be taken in another order
        assert_bits([da], [db])


def test_a_scalar_code_is_one_step_between_arrays():
    derivative = sparsead.value_and_grad(recurrence)
    derivative.prepare(np.linspace(1, 1.5, 100))
    schedule = vm.Program(derivative.prepared.adjoint_tape).schedule
    assert sum(isinstance(step, Scalars) for step in schedule.block.steps) <= 3
    text = listing(schedule)
    assert "scalars, registers" in text and "= sin(r" in text and "+= r" in text


def test_numbers_that_others_read():
    """Numbers of a run that an array op, a later run, a loop, a branch and the caller read."""
    b = LoopBuilder()
    x, u, which = b.input(()), b.input((2000,)), b.input((), I8)
    a = b.ew("sin", b.ew("add", x, x))
    c = b.ew("multiply", a, x)
    u = b.ew("multiply", u, a)
    d = b.ew("cos", b.ew("add", a, c))
    (e,) = b.loop(3, [d], [a], lambda b, j, d, a: [b.ew("sin", b.ew("multiply", d, a))])
    (g,) = b.branch(which, [c], [a], lambda b, c, a: [b.ew("exp", b.ew("add", c, a))], lambda b, c, a: [c])
    tape = b.done(a, c, d, e, g, u, b.ew("subtract", b.ew("add", a, d), e))
    for k in (0, 1):
        assert_bits(*both(tape, [np.array(0.7), np.linspace(0, 1, 2000), np.array(k)]))


def test_loads_of_memory_that_a_run_overwrites():
    """A window on several elements, and one element, that are read after the run has written there."""
    b = Builder()
    u = b.input((6,))
    u = b.ew("sin", u)
    some, one = b.load(u, lambda a: a[1:4]), b.load(u, lambda a: a[2, ...])
    for k in range(40):
        u = b.store(u, lambda a, k=k: a[k % 6, ...], b.ew("cos", b.load(u, lambda a, k=k: a[(k + 2) % 6, ...])))
    tape = b.done(u, b.ew("exp", some), b.ew("add", one, b.load(some, lambda a: a[0, ...])), b.ew("sin", one))
    assert_bits(*both(tape, [np.linspace(0, 1, 6)]))


def test_guards_between():
    """A guard on what was written before: the error of the reference interpreter, and the program works again."""
    b = LoopBuilder()
    x = b.input((3,))
    u = b.op("copy", (x,), (3,))
    for k in range(20):
        u = b.store(u, lambda a, k=k: a[k % 3, ...], b.ew("multiply", b.load(u, lambda a, k=k: a[k % 3, ...]), b.const(0.5)))
        if k % 5 == 4:
            b.guard(b.op("less", (b.load(u, lambda a: a[0, ...]), b.const(1.0)), (), dtype=BOOL), True)
    tape = b.done(u)
    program = vm.Program(tape)
    assert sum(len(step.guards) for step in runs_of(program.schedule.block)) == 4
    for _ in range(2):
        assert_bits(program.run([np.ones(3)]), reference.Program(tape).run([np.ones(3)]))
        messages = []
        for engine in (program, reference.Program(tape)):
            with pytest.raises(GuardFailed) as error:
                engine.run([np.full(3, 100.0)])
            messages.append(str(error.value))
        assert messages[0] == messages[1]


def test_indices_out_of_bounds():
    b = LoopBuilder()
    x, k = b.input((4, 5)), b.input((), I8)
    two = b.integer("add", b.integer("multiply", k, 2), 1)
    at = lambda a, i, j: a[i, j, ...]
    u = b.op("copy", (x,), (4, 5))
    u = b.store_at(u, at, b.ew("sin", b.load_at(u, at, [k, two], [(0, 4), (0, 5)])), [two, k], [(0, 4), (0, 5)])
    tape = b.done(b.accumulate_at(u, at, b.const(1.0), [k, k], [(0, 4), (0, 4)]))
    program, x = vm.Program(tape), np.linspace(0, 1, 20).reshape(4, 5)
    for k in (0, 1):
        assert_bits(program.run([x, np.array(k)]), reference.Program(tape).run([x, np.array(k)]))
    for k in (2, -1, 10**9, np.iinfo(np.int64).min // 2):
        messages = []
        for engine in (program, reference.Program(tape)):
            with pytest.raises(IndexError) as error:
                engine.run([x, np.array(k)])
            messages.append(str(error.value))
        assert messages[0] == messages[1]


def test_derivatives_of_derivatives():
    f = lambda x: recurrence(np.tanh(x))
    x = np.linspace(0.5, 1.5, 12)
    v = np.cos(np.arange(12.0))
    ours, theirs = (sparsead.hvp(f, engine=engine)(x, v) for engine in ("vm", "reference"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no interval timers on this system")
@pytest.mark.parametrize("trips, ops", [(10**10, 3), (10**6, 20_000)])
def test_interrupts(trips, ops):
    """In short runs of a long loop, and in long runs."""
    b = LoopBuilder()

    def step(b, j, x):
        for _ in range(ops):
            x = b.ew("cos", x)
        return [x]

    b.done(*b.loop(trips, [b.input(())], [], step))
    program = vm.Program(b.tape)
    (run,) = runs_of(program.schedule.block)
    assert run.count >= ops
    for _ in range(2):
        begin = time.process_time()
        with pytest.raises(KeyboardInterrupt), interrupted_after(0.2):
            program.run([np.array(0.5)])
        assert time.process_time() - begin < 1.2


def test_memory_of_a_long_run():
    """At most 32 bytes for each op of the tape."""
    b = Builder()
    x = b.input((10,))
    u = b.op("copy", (x,), (10,))
    for k in range(5000):
        read = b.load(u, lambda a, k=k: a[k % 10, ...])
        u = b.store(u, lambda a, k=k: a[(k + 3) % 10, ...], b.ew("multiply", b.ew("sin", read), read))
    program = vm.Program(b.done(u))
    (run,) = runs_of(program.schedule.block)
    assert run.code.nbytes + run.numbers.nbytes <= 32 * len(program.tape)
    assert program.schedule.nbytes < 1000


def test_the_adjoint_of_a_scalar_code_keeps_its_values_in_registers():
    b = Builder()
    x = b.input(())
    y = x
    for _ in range(100):
        y = b.ew("multiply", b.ew("sin", y), x)
    tape, _ = adjoint(b.done(y), [0], [0])
    program = vm.Program(tape)
    (run,) = runs_of(program.schedule.block)
    assert Counter(form.name for form, _ in run.instructions())["store"] <= 2
    assert_bits(*both(tape, [np.array(0.7), np.array(1.0)]))


def test_complex_products():
    """To rounding only: see the names of complex ops above."""
    b, rng = LoopBuilder(), np.random.default_rng(23)
    values = [b.input((), dtype=C16) for _ in range(8)]
    b.done(*[b.ew("multiply", x, y) for x in values for y in values])
    assert list(runs_of(vm.Program(b.tape).schedule.block))
    assert_ulps(*both(b.tape, [np.array(complex(*rng.normal(size=2))) for _ in values]), 2)
