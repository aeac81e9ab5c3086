"""Unrolled loops over numbers become loops in C again: which of them do, and that it makes no difference."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsead
from engines import assert_bits, interrupted_after, needs_compiler
from sparsead.engine import vm
from sparsead.engine.native import loops
from sparsead.engine.native import rolled as native_rolled
from sparsead.engine.native.building import build_now
from sparsead.engine.native.module import module_of
from sparsead.engine.native.rolled import Loop, rolled
from sparsead.engine.native.runs import meet, moving
from sparsead.schedule.form import Scalars, inside
from sparsead.tape.spec import GuardFailed

MOST = 4000


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Short runs are rolled up too, and short loops."""
    monkeypatch.setattr(loops, "STRAIGHT", 10)
    monkeypatch.setattr(native_rolled, "SAME", 6)


def recurrence(x):
    """One step after the other, with another one at the begin."""
    y = np.zeros_like(x)
    y[0] = x[0]
    for i in range(1, len(x)):
        y[i] = 0.5 * y[i - 1] * x[i] + np.sin(x[i - 1])
    return np.sum(y)


def seidel(a):
    """Sweeps over rows and columns, in place."""
    a = a.copy()
    for _, i, j in itertools.product(range(3), range(1, a.shape[0] - 1), range(1, a.shape[1] - 1)):
        a[i, j] = (a[i - 1, j] + a[i, j - 1] + a[i, j] + a[i, j + 1] + a[i + 1, j]) / 5.0
    return np.sum(a * a)


def tridiagonal(a):
    """Thomas' algorithm, forward and back, for each row; what is at the ends is another."""
    total = 0.0
    for row in range(a.shape[0]):
        c, d = np.zeros(a.shape[1]), np.zeros(a.shape[1])
        c[0], d[0] = -0.25, a[row, 0]
        for k in range(1, a.shape[1]):
            pivot = 1.0 / (2.0 + 0.25 * c[k - 1])
            c[k], d[k] = -0.25 * pivot, (a[row, k] + 0.25 * d[k - 1]) * pivot
        for k in range(a.shape[1] - 2, -1, -1):
            d[k] -= c[k] * d[k + 1]
        total = total + d[0] * d[a.shape[1] // 2] + np.tanh(d[-1])
    return total


def jumping(x):
    """Steps of three kinds in turn, a number of each step's own, and casts."""
    y = np.zeros(len(x), np.float32)
    for i in range(3, len(x)):
        if i % 3 == 0:
            y[i] = y[i - 3] + x[i]
        elif i % 3 == 1:
            y[i] = np.maximum(y[i - 1], x[i - 2]) * (0.5 + i)
        else:
            y[i] = np.where(x[i] > y[i - 2], x[i], y[i - 1])
    return np.sum(y) * x[0]


def branching(x):
    """A guard on each step."""
    y = x[0]
    for i in range(1, len(x)):
        y = 0.5 * y + x[i] if x[i] > 0.25 else y - x[i]
    return y


def numbers(*shape):
    return np.random.default_rng(7).uniform(0.3, 0.9, shape)


CODES = {
    "recurrence": (recurrence, numbers(40)), "seidel": (seidel, numbers(9, 11)), "tridiagonal": (tridiagonal, numbers(7, 19)),
    "jumping": (jumping, numbers(60)), "branching": (branching, numbers(50)),
}  # fmt: skip


def tapes(name):
    """The adjoint of a code, and a point."""
    f, x = CODES[name]
    prepared = sparsead.value_and_grad(f).prepare(x).prepared
    return prepared.adjoint_tape, [x, np.array(1.0)]


def taken_out(nodes, outer=()):
    """(kind, values) of the instructions that nodes stand for, one after the other."""
    for node in nodes:
        if isinstance(node, Loop):
            for trip in range(node.count):
                yield from taken_out(grown(node.body, trip * node.steps))
        else:
            yield node.kind, tuple(node.values.tolist())


def grown(nodes, by):
    """Nodes whose values are greater."""
    made, at = [], 0
    for node in nodes:
        here = by[at : at + len(node.values)]
        at += len(node.values)
        made.append(Loop(node.count, node.steps, grown(node.body, here)) if isinstance(node, Loop) else
                    node._replace(values=node.values + here))  # fmt: skip
    return made


@pytest.mark.parametrize("name", CODES)
def test_loops_stand_for_the_instructions_of_the_run(name):
    tape, _ = tapes(name)
    sizes = []
    for step in inside(*vm.Program(tape).schedule.block.steps):
        plan = rolled(step, MOST) if isinstance(step, Scalars) and step.count > 10 else None
        if plan is None:
            continue
        sizes.append((plan.size, step.count))
        given = [(form.name, words) for form, words in step.instructions() if form.name not in ("pause", "end")]
        made = list(taken_out(plan.nodes))
        assert len(made) == len(given)
        for (kind, values), (name, words) in zip(made, given, strict=True):
            form, example = plan.kinds[kind]
            assert form.name == name
            if "load" in name or "store" in name or "accumulate" in name:
                low, high = words[2:4]
                assert words[1] == example[1] and values[: len(words) - 2] == (words[0], low + (high << 32), *words[4:])
            else:
                assert values[: len(words)] == tuple(words)
    written, whole = map(sum, zip(*sizes, strict=True))
    assert written < 0.6 * whole


@needs_compiler
@pytest.mark.parametrize("name", CODES)
def test_the_bits_of_the_tiled_engine(name):
    tape, inputs = tapes(name)
    program = vm.Program(tape)
    expected = program.run(inputs)
    build_now(program)
    assert program.build.state == "done" and program.build.steps
    assert re.search(r"for \(intptr_t j\d+ = 0", module_of(program).text)
    for x in (inputs[0], inputs[0][::-1].copy()) if name != "branching" else inputs[:1]:
        expected = vm.Program(tape).run([x, inputs[1]])
        assert_bits(program.run([x, inputs[1]]), expected)


def nests(seed):
    """Nests of loops at random places, which wrap around."""
    rng = np.random.default_rng(seed)
    drawn = [(int(rng.integers(3)), rng.integers(0, 9, (3, 3)).tolist(), rng.integers(2, 9, 2).tolist()) for _ in range(3)]

    def f(x):
        x = x.copy()
        for kind, places, (rows, columns) in drawn:
            for i, j in itertools.product(range(rows), range(columns)):
                a, b, c = ((at + by_row * i + by_column * j) % len(x) for at, by_row, by_column in places)
                x[c] = (x[a] * x[b], 0.5 * x[a] + np.cos(x[b]), np.where(x[a] > x[b], x[a], 0.25))[kind]
        return np.sum(x * x)

    return f


@needs_compiler
@settings(max_examples=max(settings().max_examples // 6, 4))
@given(st.integers(0, 2**32 - 1))
def test_random_nests(seed):
    x = numbers(50)
    tape = sparsead.value_and_grad(nests(seed)).prepare(x).prepared.adjoint_tape
    program, inputs = vm.Program(tape), [x, np.array(1.0)]
    expected = program.run(inputs)
    build_now(program)
    assert program.build.state == "done", program.build.message
    assert_bits(program.run(inputs), expected)


@needs_compiler
@pytest.mark.parametrize("at", [1, 20, 49])
def test_guards_in_loops(at):
    """The one that does not hold is named."""
    tape, (x, seed) = tapes("branching")
    program, messages = vm.Program(tape), []
    build_now(program)
    x = x.copy()
    x[at] = 0.1
    for made in (program, vm.Program(tape)):
        with pytest.raises(GuardFailed) as error:
            made.run([x, seed])
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@needs_compiler
def test_loops_in_loops_of_the_tape_can_be_interrupted():
    def f(x):
        for _ in sparsead.steps(10**9, unroll=False):
            for i in range(1, len(x)):
                x[i] = 0.5 * x[i - 1] + 0.4 * x[i]
        return x[-1]

    program = vm.Program(sparsead.jvp(f).prepare(numbers(40)).prepared.tape)
    build_now(program)
    assert program.build.steps
    with pytest.raises(KeyboardInterrupt), interrupted_after(0.3):
        program.run([numbers(40)])


@given(st.data())
def test_registers_that_may_meet(data):
    """As found by going through all trips."""
    trips = data.draw(st.lists(st.integers(2, 5), min_size=1, max_size=2))
    small = st.integers(-6, 6)
    ends = [(data.draw(st.integers(0, 40)), [data.draw(small) for _ in trips]) for _ in range(2)]
    a, b = (moving(first, [(f"j{k}", step, n) for k, (step, n) in enumerate(zip(steps, trips, strict=True))])
            for first, steps in ends)  # fmt: skip
    places = [[first + sum(s * t for s, t in zip(steps, trip, strict=True)) for trip in itertools.product(*map(range, trips))]
              for first, steps in ends]  # fmt: skip
    if any(x == y for x, y in zip(*places, strict=True)):
        assert meet(a, b)
    if len(trips) == 1 and not meet(a, b):
        assert all(x != y for x, y in zip(*places, strict=True))
