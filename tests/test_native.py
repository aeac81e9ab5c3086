"""Compiled kernels, loops and runs of numbers do what the tiled engine does, to the bit.

What the tiled engine computes is tested elsewhere against the reference interpreter; here a program is run before and after its
kernels are compiled.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsead
from engines import SPECIAL, assert_bits, both, interrupted_after, needs_compiler, numbers, on_threads
from loop_tapes import LoopBuilder, RandomBranches, RandomLoop
from sized_tapes import SizedTape
from sparsead.engine import reference, vm
from sparsead.engine.native.building import build_now
from sparsead.engine.native.kernels import COMPARISONS, FLOATS
from sparsead.engine.native.loops import FEW
from sparsead.engine.native.module import module_of
from sparsead.ops.elementwise import BY_NAME as RECORDS
from sparsead.schedule.form import Repeat, inside
from tapes import Builder
from test_loops import FAMILIES as LOOPS
from test_scalars import ScalarTape, lorenz, recurrence
from test_strips import SIMULATIONS, put_together, simulation
from test_vm import batched, forward, reverse
from test_vm_indices import IndexedTape

pytestmark = needs_compiler
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=max(settings().max_examples // 6, 4))  # each is compiled


def compiled(tape):
    """A program all of whose kernels are compiled, but for those of numbers that C does not know."""
    program = vm.Program(tape)
    build_now(program)
    assert program.build.state in ("done", "nothing"), program.build.message
    return program


def same(tape, inputs):
    """Run as it is and compiled, on one thread and more; returns the compiled program."""
    expected = vm.Program(tape).run(inputs)
    program = compiled(tape)
    for threads in (1, 2, 3):
        assert_bits(on_threads(threads, program.run, inputs), expected)
    return program


def uniform(tape, seed, low=0.3, high=0.9):
    rng = np.random.default_rng(seed)
    return [rng.uniform(low, high, tape.type(v).shape) for v in tape.inputs]


# ---- random programs -------------------------------------------------------------------------------------------------


@few
@given(seeds)
def test_rough_numbers(seed):
    made = SizedTape(seed, "rough")
    same(made.tape, made.point())


@pytest.mark.parametrize("law", [forward, reverse, lambda tape: batched(tape, 3)], ids=["tangent", "adjoint", "batch"])
@few
@given(seeds)
def test_derivatives(law, seed):
    made = SizedTape(seed, "smooth")
    tape = law(made.tape)
    same(tape, made.point(tape))


@few
@given(seeds)
def test_gathers_and_scatters(seed):
    made = IndexedTape(seed, "smooth")
    same(made.tape, made.point())
    tape = reverse(made.tape)
    same(tape, made.point(tape))


@few
@given(seeds, st.sampled_from([10, 60, 200]), st.sampled_from([0.0, 0.05, 0.3]))
def test_runs_of_numbers(seed, count, arrays):
    made = ScalarTape(seed, count, arrays)
    same(made.tape, made.inputs)


@pytest.mark.parametrize("kind", [RandomLoop, RandomBranches])
@few
@given(seeds)
def test_random_loops_and_branches(kind, seed):
    tape = kind(seed).tape
    for law in (lambda tape: tape, forward, reverse):
        made = law(tape)
        same(made, uniform(made, seed, -1, 1))


@pytest.mark.parametrize("family", LOOPS.values(), ids=LOOPS)
def test_loops_made_by_hand(family):
    b = LoopBuilder()
    b.done(*family(b))
    for law in (lambda tape: tape, reverse):
        tape = law(b.tape)
        same(tape, uniform(tape, 16))


@pytest.mark.parametrize("name", SIMULATIONS)
@pytest.mark.parametrize("rows", [(1, 1 << 40, 1), (64, 1, 1)], ids=["row by row", "narrow bands"])
def test_kernels_in_strips(rows, name):
    with put_together(rows):
        u, prepared = simulation(name)
        same(prepared.adjoint_tape, [u, np.array(1.0)])


# ---- ops -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("char", "df")
@pytest.mark.parametrize("n", [3, 1000])
def test_ops_that_are_written_out(char, n):
    """For all pairs of rough numbers: zeros of both signs, infinities, NaN, subnormals."""
    b, rng = Builder(), np.random.default_rng(3)
    x, y, mask = b.input((n,), char), b.input((n,), char), b.input((n,), "?")
    results = [b.op("select", (mask, x, y), (n,), dtype=char)]
    for name in [*FLOATS, *COMPARISONS]:
        if name in RECORDS:
            operands = (x, y)[: RECORDS[name].nin]
            results.append(b.op(name, operands, (n,), dtype="?" if name in COMPARISONS else char))
    masks = results[-len(COMPARISONS) :]
    results += [b.op(name, masks[:2], (n,), dtype="?") for name in ("logical_and", "logical_or", "logical_xor")]
    results.append(b.op("logical_not", masks[:1], (n,), dtype="?"))
    results += [b.op("cast", (mask,), (n,), dtype=char), b.op("cast", (x,), (n,), dtype="?")]
    tape = b.done(*results)
    for _ in range(4):
        a, c = numbers(rng, (n,), char), numbers(rng, (n,), char)
        a[: len(SPECIAL)], c[: len(SPECIAL)] = SPECIAL[:n], rng.permutation(SPECIAL)[:n]
        same(tape, [a, c, rng.random(n) < 0.5])
    assert "calls[" not in module_of(vm.Program(tape)).text.partition("kernel_0")[2], "an op is not written out"


@pytest.mark.parametrize("shifts", [(0, 1, 2), (2, 0, 1, 1), (16, 0, 3), (0, 17, 1)])
@pytest.mark.parametrize("char", "df")
def test_additions_to_shifted_places(shifts, char):
    """Each element gets them in one order, at the ends of tiles and of arrays too; tiles of 300 to 400 points."""
    dtype = np.dtype(char)
    for n in (1, 2, 3, 17, 350, 1500):
        b = Builder()
        x, z = b.input((n,), dtype), b.op("copy", (b.input((n + 17,), dtype),), (n + 17,), dtype=dtype)
        for k, shift in enumerate(shifts):
            v = b.ew("multiply", x, b.const(dtype.type(1.1 + k)))
            z = b.accumulate(z, lambda a, s=shift: a[s : s + n], v)  # noqa: B023
        rng = np.random.default_rng(n)
        program = same(b.done(z), [rng.normal(size=m).astype(char) for m in (n, n + 17)])
        assert n < 350 or "sum = at[j]" in module_of(program).text


def test_numbers_that_c_does_not_know_stay_with_the_tiled_engine():
    b = Builder()
    x, y = b.input((50,), "D"), b.input((50,))
    tape = b.done(b.op("multiply", (x, x), (50,), dtype="D"), b.ew("sin", y))
    rng = np.random.default_rng(0)
    program = compiled(tape)
    inputs = [rng.normal(size=50) + 1j, rng.normal(size=50)]
    assert_bits(program.run(inputs), vm.Program(tape).run(inputs))
    assert module_of(program).sources.count(None) == len(program.build.left) > 0


def test_kernels_that_are_written_out_in_loops_have_no_functions_of_their_own():
    def f(x):
        for _ in sparsead.steps(20, unroll=False):
            x[1:] += 0.1 * np.tanh(x[:-1])
        return x

    program = vm.Program(sparsead.jvp(f).prepare(np.linspace(0.1, 1, FEW)).prepared.tape)
    build_now(program)
    assert program.build.kernels == len(program.lowered) and len(program.build.steps) == 1
    within = {id(step) for loop in program.schedule.block.steps if isinstance(loop, Repeat) for step in inside(loop)}
    alone = [id(program.steps[number]) not in within for number in program.kernel_of]
    assert [name is not None for name in module_of(program).names] == alone and True in alone and False in alone


# ---- loops -----------------------------------------------------------------------------------------------------------


def prepared_adjoint(function, *args, wrt=0):
    return sparsead.value_and_grad(function, wrt=wrt).prepare(*args).prepared.adjoint_tape


@pytest.mark.parametrize("function, args", [(recurrence, (np.linspace(0.5, 1.5, 40),)), (lorenz, (np.ones(3), 0.01))])
def test_scalar_codes(function, args):
    tape = prepared_adjoint(function, *args)
    program = same(tape, [*map(np.asarray, args), np.array(1.0)])
    assert program.build.steps


@pytest.mark.parametrize("n", [FEW // 2, 4 * FEW])
def test_kernels_inside_of_loops(n):
    """Written out where they stand, and called; sums, branches and black boxes among them."""

    def f(x):
        total = 0.0
        for k in sparsead.steps(20, unroll=False):
            x[1:] += 0.1 * np.tanh(x[:-1])
            if k % 3 == 0:
                x *= 0.99
            total = total + np.sum(x * x) + x[k % n]
        return total

    x = np.linspace(0.1, 1, n)
    program = same(prepared_adjoint(f, x), [x, np.array(1.0)])
    assert program.build.steps


def test_steps_inside_of_loops_that_are_not_compiled():
    def f(a, x):
        for _ in sparsead.steps(12, unroll=False):
            x[:] = np.linalg.solve(a, x) + x[0]
        return x @ x

    rng = np.random.default_rng(1)
    a, x = rng.normal(size=(5, 5)) + 5 * np.eye(5), rng.normal(size=5)
    tape = prepared_adjoint(f, a, x, wrt=(0, 1))
    same(tape, [a, x, np.array(1.0)])
    assert "RUN(" in module_of(vm.Program(tape)).text


def test_errors_are_those_of_the_tiled_engine():
    b = LoopBuilder()
    x, k = b.input((6,)), b.input((), np.dtype(np.int64))

    def step(b, j, u, k):
        at, element = b.op("add", (j, k), (), dtype=np.int64), lambda a, i: a[i, ...]
        return [b.store_at(u, element, b.ew("sin", b.load_at(u, element, [at], [(0, 6)])), [at], [(0, 6)])]

    tape = b.done(*b.loop(4, [x], [k], step))
    program, x = compiled(tape), np.linspace(0, 1, 6)
    assert program.build.steps
    for k in (0, 2):
        assert_bits(program.run([x, np.array(k)]), reference.Program(tape).run([x, np.array(k)]))
    for k in (3, -1, 10**9):
        messages = []
        for engine in (program, vm.Program(tape)):
            with pytest.raises(IndexError) as error:
                engine.run([x, np.array(k)])
            messages.append(str(error.value))
        assert messages[0] == messages[1]


def test_guards():
    def f(x):
        for _ in range(30):
            x = x * x if x > 0.5 else x + 0.3
        return x

    derivative = sparsead.value_and_grad(f, engine="native")
    plain = sparsead.value_and_grad(f, engine="vm")
    for x in (0.9, 0.2, 0.55, 0.9):
        assert derivative(x) == plain(x)


@pytest.mark.parametrize("n", [None, 3, 5000])
def test_interrupts(n):
    b = LoopBuilder()

    def step(b, j, x):
        return [b.ew("cos", b.ew("sin", x))]

    tape = b.done(*b.loop(10**9, [b.input(() if n is None else (n,))], [], step))
    program = compiled(tape)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), interrupted_after(0.2):
            program.run([np.full(() if n is None else (n,), 0.5)])


# ---- functions -------------------------------------------------------------------------------------------------------


def test_one_function_for_kernels_that_differ_in_sizes():
    """Extents, strides, numbers and slots are what it is given."""

    def text(n, c):
        tape = prepared_adjoint(lambda x: np.sum((c * x[1:] - x[:-1]) ** 2), np.linspace(0, 1, n))
        return module_of(vm.Program(tape)).text

    assert text(5000, 0.1) == text(7001, 0.3)


def test_all_that_is_compiled_agrees_with_the_reference_interpreter(monkeypatch):
    monkeypatch.setattr(vm, "Program", lambda tape, program=vm.Program: _built(program(tape)))
    for seed in range(8):
        made = SizedTape(seed, "rough")
        assert_bits(*both(made.tape, made.point()))


def _built(program):
    build_now(program)
    return program
