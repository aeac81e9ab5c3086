"""`Tape.check`: every law is broken once, by hand, and the break is found at its op; sound tapes of all kinds pass."""

import re

import numpy as np
import pytest

import sparsead
from loop_tapes import LoopBuilder
from sparsead.engine.reference import Program
from sparsead.tape._tape import Pool, TapeError
from sparsead.tape.laws import law_of
from sparsead.tape.spec import BY_NAME, OPS, View
from sparsead.transform._adjoint import adjoint
from sparsead.transform._batch import batch
from sparsead.transform._linear import linearize
from sparsead.transform._simplify import simplify
from sparsead.transform._split import bind, sift, split
from sparsead.transform._tangent import tangent
from tapes import ANY, F8, GROWING, I8, Builder, RandomTape, jacobian

F4 = np.dtype(np.float32)


def rows(table):
    """Parameters (key, row) for all rows of lists by key."""
    return [pytest.param(said, row, id=f"{said} {k}") for said, listed in table.items() for k, row in enumerate(listed)]


def complaint(tape, **how):
    with pytest.raises(TapeError) as caught:
        tape.check(**how)
    return str(caught.value)


# ---- sound tapes


@pytest.mark.parametrize("names", [GROWING, ANY], ids=["growing", "any"])
@pytest.mark.parametrize("seed", range(40))
def test_random_tapes_and_what_the_passes_make_of_them(seed, names):
    tape = RandomTape(seed, names).tape
    tape.check(active=[0, 1, 2])
    reverse, _ = adjoint(tape, [0, 1], range(len(tape.outputs)))
    seeds = range(len(tape.inputs), len(reverse.inputs))
    for made in (tangent(tape, [0, 2]), reverse, tangent(reverse, [0]), batch(reverse, seeds, 3), simplify(reverse)):
        made.check()
        linearize(made).check(linear=True)


@pytest.mark.parametrize("moving", [False, True], ids=["still", "moving"])
@pytest.mark.parametrize(
    "window",
    [
        lambda a: np.broadcast_to(a, (2, *a.shape)),
        lambda a: np.broadcast_to(a[::-2, None], (2, 3)),
        lambda a: np.lib.stride_tricks.sliding_window_view(a, 2),
        lambda a: np.lib.stride_tricks.sliding_window_view(a[::-1], 2),
    ],
    ids=["broadcast", "columns", "sliding", "sliding backwards"],
)
def test_what_is_added_to_more_than_once_is_restored_once(window, moving):
    """The reverse sweep stores back each element that an accumulation through an overlapping window has changed."""
    b = LoopBuilder()
    rows, k = b.input((2, 4)), b.const(np.int64(1))
    x = b.ew("tanh", rows)  # whose derivative is made of its value
    place = (lambda a, k: window(a[k])) if moving else lambda a: window(a[1])
    more = [k], [(0, 2)]
    read = b.load_at(rows, place, *more) if moving else b.load(rows, place)
    x = b.accumulate_at(x, place, read, *more) if moving else b.accumulate(x, place, read)
    tape = b.done(x)
    point, seed = np.linspace(0.2, 1, 8).reshape(2, 4), np.linspace(1, 2, 8).reshape(2, 4)
    (_, bar) = Program(adjoint(tape, [0], [0])[0]).run([point, seed])
    np.testing.assert_allclose(bar.ravel(), seed.ravel() @ jacobian(tape, [0], [0], [point]), rtol=1e-13)


def test_every_op_has_a_law():
    assert [op.name for op in OPS if op is not None and law_of(op) is None] == []


# ---- numbers out of range, ops out of order: written into the columns of a sound tape


def sound():
    """0: x, 1: c, 2: y = x * c, 3: z = y[1:], 4: (f, w) = modf(z)."""
    b = Builder()
    x, c = b.input((3,)), b.const(2.0)
    z = b.load(b.ew("multiply", x, c), lambda a: a[1:])
    t = b.tape.pool.type(F8, (2,))
    b.done(*b.tape.add(BY_NAME["modf"], (z,), [t, t], line=(__file__, 1)))
    return b.tape


COLUMNS = {
    "code": [("code", 2, 63, 2), ("code", 2, -1, 2), ("code", 2, len(OPS), 2)],
    "attribute": [("attr", 3, 10**6, 3), ("attr", 3, -2, 3), ("attr", 1, -1, 1), ("attr", 1, 1, 1)],
    "line": [("line", 4, 1, 4), ("line", 0, -2, 0)],
    "first operand": [("start", 0, 1, 0), ("start", 5, 3, 4), ("start", 2, 3, 2)],
    "first result": [("out", 0, -1, 4), ("out", 5, 5, 4), ("out", 2, 4, 2)],
    "does not make": [("maker", 3, 2, 2), ("maker", 3, 9, 9)],
    "type": [("vtype", 4, 10**6, 4), ("vtype", 4, -1, 4)],
    "no op before it makes": [("operand", 0, 2, 2), ("operand", 2, 4, 3), ("operand", 0, -1, 2), ("operand", 3, 99, 4)],
}


@pytest.mark.parametrize(("said", "change"), rows(COLUMNS))
def test_numbers_that_name_nothing(said, change):
    column, at, number, op = change
    tape = sound()
    tape.check()
    tape.columns()[column][at] = number
    text = complaint(tape)
    assert said in text and re.match(rf"op {op}\b", text)


def test_inputs_outputs_and_names():
    for change in (
        lambda tape: tape.inputs.clear(),
        lambda tape: tape.inputs.append(0),
        lambda tape: tape.inputs.append(2),
    ):
        tape = sound()
        change(tape)
        assert "its inputs are" in complaint(tape)
    for v in (-1, 6):
        tape = sound()
        tape.outputs.append(v)
        assert f"the output %{v}" in complaint(tape)
        tape = sound()
        tape.names[v] = "y"
        assert f"the name %{v}" in complaint(tape)


# ---- each op by its own law: the last op of a tape is wrong


def windowed(name, shape, strides, imm=0, dtype=F8, base=(4,), result=None):
    """One op with a view on an array, zeros written into it."""

    def build(b):
        x = b.op("zeros", (), base)
        operands = (x,) if name == "load" else (x, b.op("zeros", (), shape))
        return b.op(name, operands, result or (shape if name == "load" else base), View(shape, strides, np.dtype(dtype)), imm)

    return build


def on(name, *operands, shape=(3,), dtype=F8, attr=None, imm=0, strides=None):
    """One op on zeros of the shapes and dtypes given."""

    def build(b):
        made = [b.op("zeros", (), *((o,) if isinstance(o, tuple) else ((3,),)), dtype=F8 if isinstance(o, tuple) else np.dtype(o))
                for o in operands]  # fmt: skip
        return b.op(name, made, shape, attr, imm, np.dtype(dtype), strides)

    return build


def constant_of_another_type(b):
    v = b.const(np.ones((2, 3)))
    b.tape.columns()["vtype"][v] = b.tape.pool.type(F8, (3, 2)).id


def constant_of_another_layout(b):
    v = b.const(np.ones((2, 3)))
    b.tape.columns()["vtype"][v] = b.tape.pool.type(F8, (2, 3), (8, 16)).id


def two_results(b):
    t = b.tape.pool.type(F8, (3,))
    b.tape.add(BY_NAME["sin"], (b.op("zeros", (), (3,)),), [t, t])


def guard_with_a_result(b):
    b.op("guard", (b.op("zeros", (), ()),), (), True)


BROKEN = {
    "operands": [on("add", F8), on("load"), on("store", F8), on("zeros", F8), on("select", bool, F8), on("linrec", F8)],
    "results": [two_results, guard_with_a_result],
    "not dense": [on("zeros", strides=(16,)), on("sin", F8, strides=(0,)), on("zeros", shape=(2, 3), strides=(8, 8))],
    "the constant has": [constant_of_another_type, constant_of_another_layout],
    "is not a view": [on("load", F8), on("load", F8, attr=(3,)), on("load", F8, attr=View((3,), (), F8))],
    "spans bytes": [
        *(windowed(name, (2,), (8,), 24) for name in ("load", "store", "accumulate")),
        *(windowed(name, (2,), (8,), -8) for name in ("load", "store", "accumulate")),
        windowed("load", (3,), (-8,), 8), windowed("load", (2, 2), (24, 8)), windowed("load", (), (), 32),
    ],
    "on elements": [windowed("load", (2,), (8,), 4), windowed("store", (2,), (12,))],
    "on memory of": [windowed("load", (2,), (4,), dtype=F4), windowed("accumulate", (2,), (4,), dtype=F4)],
    "share memory": [windowed("store", (2,), (0,)), windowed("store", (2, 2), (8, 8)), windowed("store", (2, 2), (-8, 8), 8)],
    "the result": [
        windowed("load", (2,), (8,), result=(3,)), windowed("store", (2,), (8,), result=(2,)),
        windowed("accumulate", (2,), (8,), result=(2, 2)), on("copy", F8, shape=(2,)), on("copy", F8, dtype=F4),
        on("cast", F8, dtype=F4, shape=(2,)), on("sin", F8, shape=(2,)), on("sin", F8, dtype=F4), on("less", F8, F8),
        on("add", (3,), (2, 1), shape=(2, 1)), on("select", bool, F8, F8, dtype=F4), on("isnan", F8, dtype=I8),
        on("sum", (2, 3), attr=(1,)), on("sum", (2, 3), attr=()), on("reduce", (2, 3), attr=("maximum", (1,))),
        on("reduce", (2, 3), attr=("maximum", (0,)), dtype=F4), on("scan", (2, 3), attr=("add", 1)),
        on("linrec", (2, 3), (2, 3), attr=(0, 0)), on("einsum", (2, 3), (3,), attr="ij,j->i"), on("winners", I8, dtype=I8),
        on("gather", F8, I8, shape=(2,)), on("gather", F8, I8, dtype=F4), on("gather", (2, 3), I8, imm=2, shape=(3,)),
        on("scatter", F8, I8, F8, shape=(2,)), on("scatter_add", F8, I8, F8, dtype=F4),
    ],
    "that is written": [
        on("store", F8, (2,), attr=View((3,), (8,), F8)), on("accumulate", F8, (1,), attr=View((3,), (8,), F8)),
        on("store", F8, F4, attr=View((3,), (8,), F8)), on("scatter", F8, I8, (2,)), on("scatter_add", F8, I8, (3, 1)),
        on("scatter", (2, 3), I8, F8, imm=2, shape=(2, 3)),
    ],
    "positions of": [on("gather", F8, F8), on("scatter", F8, bool, F8)],
    "lanes": [on("gather", F8, I8, shape=(2, 3), imm=2), on("scatter", F8, I8, F8, imm=-1)],
    "compares one number": [lambda b: b.tape.add(BY_NAME["guard"], (b.op("zeros", (), (3,)),), [], True)],
    "computes with": [on("add", F8, F4), on("select", F8, F8, F8), on("strong_multiply", F4, F8), on("logical_and", I8, bool)],
    "ascending axes": [
        on("sum", (2, 3), attr=(1, 0)), on("sum", F8, attr=(1,)), on("sum", F8, attr=(-1,)), on("scan", F8, attr=("add", 1)),
        on("reduce", F8, attr=("maximum", (2,))), on("linrec", F8, F8, attr=(1, 0)),
    ],
    "the factor": [on("linrec", (2,), F8, attr=(0, 0)), on("linrec", F4, F8, attr=(0, 0))],
    "does not fit": [on("einsum", (2, 3), F8, attr="ij->i"), on("einsum", F8, attr="ij->i"), on("einsum", F8, attr="i->k")],
    "long in": [on("einsum", (2, 3), (2,), attr="ij,j->i", shape=(2,))],
    "of dtype float64 makes": [on("einsum", F8, F8, attr="i,i->i", dtype=F4)],
    "is not a function": [on("inactive", F8, attr="argsort")],
}


@pytest.mark.parametrize(("said", "build"), rows(BROKEN))
def test_an_op_that_breaks_its_law(said, build):
    b = Builder()
    build(b)
    text = complaint(b.tape)
    assert said in text and text.startswith(f"op {len(b.tape) - 1}, ")


def test_a_law_is_applied_to_every_tape_of_a_pool():
    """What the pool remembers to be right is one op with its types, not one that looks like it."""
    b = Builder()
    x = b.input((3,))
    b.ew("sin", x)
    b.tape.check()
    again = b.tape.fresh()
    again.inputs = list(again.add(BY_NAME["input"], (), [b.tape.pool.type(F4, (3,))]))
    again.add(BY_NAME["sin"], again.inputs, [b.tape.pool.type(F8, (3,))])
    for _ in range(2):
        assert "the result has" in complaint(again)


def test_types_of_another_pool():
    b, other = Builder(), Pool()
    for n in range(9):
        other.type(F8, (n,))
    b.tape.add(BY_NAME["zeros"], (), [other.type(F8, (9,))])
    assert "type" in complaint(b.tape)


# ---- guards


def guarded(make):
    b = Builder()
    x, c = b.input((3,)), b.input((3,))
    b.tape.add(BY_NAME["guard"], (b.load(make(b, x, c), lambda a: a[0, ...]),), [], 1.0)
    return b.tape


ACTIVE = {
    "the input": lambda b, x, c: x,
    "product": lambda b, x, c: b.ew("multiply", x, c),
    "second factor": lambda b, x, c: b.ew("multiply", c, x),
    "choice": lambda b, x, c: b.ew("select", b.ew("less", c, c), c, x),
    "stored": lambda b, x, c: b.store(c, lambda a: a[1:], b.load(x, lambda a: a[1:])),
    "scanned": lambda b, x, c: b.op("scan", (x,), (3,), ("add", 0)),
    "cast": lambda b, x, c: b.cast(x, np.float32),
    "remainder": lambda b, x, c: b.tape.add(BY_NAME["divmod"], (x, c), [b.tape.type(x)] * 2)[1],
}
FLAT = {
    "another input": lambda b, x, c: c,
    "comparison": lambda b, x, c: b.ew("greater", x, c),
    "step": lambda b, x, c: b.ew("floor", x),
    "stopped": lambda b, x, c: b.ew("stop_gradient", x),
    "integer": lambda b, x, c: b.cast(x, np.int64),
    "sign": lambda b, x, c: b.ew("copysign", c, x),
    "called": lambda b, x, c: b.op("inactive", (x,), (3,), np.sort),
    "quotient": lambda b, x, c: b.tape.add(BY_NAME["divmod"], (x, c), [b.tape.type(x)] * 2)[0],
}


@pytest.mark.parametrize("make", ACTIVE.values(), ids=ACTIVE)
def test_guards_on_what_carries_a_derivative(make):
    tape = guarded(make)
    tape.check()
    assert re.match(rf"op {len(tape) - 1}, .*guard.*carries a derivative", complaint(tape, active=[0]))


@pytest.mark.parametrize("make", FLAT.values(), ids=FLAT)
def test_guards_on_what_carries_none(make):
    guarded(make).check(active=[0])


# ---- memory that was never written


def first(a):
    return a[:1]


def rest(a):
    return a[1:]


def some(b):
    """A storage of which only the first element is written, and three numbers."""
    return b.store(b.op("empty", (), (3,)), first, b.const(np.ones(1))), b.input((3,))


def at(b, *positions):
    return b.const(np.array(positions))


UNDEFINED = {
    "sum of all": lambda b, e, x: b.ew("add", e, x),
    "sum of the rest": lambda b, e, x: b.ew("sin", b.load(e, rest)),
    "one number": lambda b, e, x: b.ew("add", b.load(e, lambda a: a[2, ...]), b.const(1.0)),
    "backwards": lambda b, e, x: b.ew("sin", b.load(b.load(e, lambda a: a[::-1]), first)),
    "copied": lambda b, e, x: b.ew("sin", b.op("copy", (e,), (3,))),
    "cast": lambda b, e, x: b.ew("sin", b.cast(e, F4)),
    "stored": lambda b, e, x: b.ew("sin", b.store(x, rest, b.load(e, rest))),
    "gathered": lambda b, e, x: b.ew("sin", b.op("gather", (e, at(b, 0, 2)), (2,))),
    "scattered": lambda b, e, x: b.ew("sin", b.op("scatter", (e, at(b, 1, 1), b.const(np.ones(2))), (3,))),
    "added to": lambda b, e, x: b.accumulate(e, rest, b.load(x, rest)),
    "added": lambda b, e, x: b.accumulate(x, rest, b.load(e, rest)),
    "added to by index": lambda b, e, x: b.op("scatter_add", (e, at(b, 0, 1), b.const(np.ones(2))), (3,)),
    "both sides": lambda b, e, x: b.ew("sin", b.ew("select", b.ew("less", x, x), e, e)),
    "summed": lambda b, e, x: b.op("sum", (e,), (), (0,)),
    "called": lambda b, e, x: b.op("inactive", (e,), (3,), np.sort),
    "before it is written": lambda b, e, x: (b.ew("sin", e), b.store(e, rest, b.load(x, rest)))[0],
    "an older version": lambda b, e, x: (b.store(e, rest, b.load(x, rest)), b.ew("sin", e))[1],
}
DEFINED = {
    "the written part": lambda b, e, x: b.ew("sin", b.load(e, first)),
    "all is written": lambda b, e, x: b.ew("sin", b.store(e, rest, b.load(x, rest))),
    "moved": lambda b, e, x: b.op("copy", (b.load(e, rest),), (2,)),
    "another side": lambda b, e, x: b.ew("sin", b.ew("select", b.ew("less", x, x), e, x)),
    "gathered": lambda b, e, x: b.ew("sin", b.op("gather", (e, at(b, 0, 0)), (2,))),
    "filled by index": lambda b, e, x: b.ew("sin", b.op("scatter", (e, at(b, 2, 1), b.const(np.ones(2))), (3,))),
    "computed positions": lambda b, e, x: b.ew("sin", b.op("gather", (e, b.cast(x, I8)), (3,))),
    "added to what is there": lambda b, e, x: b.accumulate(e, first, b.const(np.ones(1))),
    "added by index": lambda b, e, x: b.op("scatter_add", (e, at(b, 0, 0), b.const(np.ones(2))), (3,)),
    "nothing": lambda b, e, x: b.ew("add", b.load(e, lambda a: a[1:2]), b.const(np.ones(0))),
    "an older version": lambda b, e, x: (b.store(e, first, b.load(x, first)), b.ew("sin", b.store(e, rest, b.load(x, rest))))[1],
}


@pytest.mark.parametrize("make", UNDEFINED.values(), ids=UNDEFINED)
def test_reads_of_undefined_memory(make):
    b = Builder()
    v = make(b, *some(b))
    assert re.match(rf"op {b.tape.maker(v)}, .*never written", complaint(b.tape))


@pytest.mark.parametrize("make", DEFINED.values(), ids=DEFINED)
def test_memory_that_may_be_defined(make):
    b = Builder()
    make(b, *some(b))
    b.tape.check()


def test_layouts_of_undefined_memory():
    b = Builder()
    e = b.op("empty", (), (2, 3), strides=(8, 16))
    e = b.store(e, lambda a: a[:, :2], b.const(np.ones((2, 2))))
    b.ew("sin", b.load(e, lambda a: a[::-1, 1]))
    b.tape.check()
    v = b.ew("sin", b.load(e, lambda a: a[1, 1:]))
    assert re.match(rf"op {b.tape.maker(v)}, .*reads 1 elements", complaint(b.tape))


# ---- linear storage


def read_after_the_store(b, x):
    y = b.store(x, first, b.const(np.ones(1)))
    return len(b.tape), b.ew("add", x, y)


def ended_twice(b, x):
    b.store(x, first, b.const(np.ones(1)))
    v = b.accumulate(x, rest, b.const(np.ones(2)))
    return b.tape.maker(v), v


def ended_twice_by_index(b, x):
    for name in ("scatter", "scatter_add"):
        v = b.op(name, (x, at(b, 1, 2), b.const(np.ones(2))), (3,))
    return b.tape.maker(v), v


def an_input(b, x):
    return len(b.tape) + 1, b.store(b.tape.inputs[0], first, b.const(np.ones(1)))


def a_constant(b, x):
    return len(b.tape) + 2, b.store(b.const(np.zeros(3)), first, b.const(np.ones(1)))


def an_output(b, x):
    b.tape.outputs.append(x)
    return len(b.tape) + 1, b.store(x, first, b.const(np.ones(1)))


@pytest.mark.parametrize(
    "build", [read_after_the_store, ended_twice, ended_twice_by_index, an_input, a_constant, an_output], ids=lambda f: f.__name__
)
def test_storages_that_are_not_linear(build):
    b = Builder()
    k, v = build(b, b.ew("sin", b.input((3,))))
    b.tape.outputs.append(v)
    b.tape.check()
    assert re.match(rf"op {k}, ", complaint(b.tape, linear=True))
    linearize(b.tape).check(linear=True)


# ---- what it says, and when it is run


def test_the_complaint_names_the_op_its_listing_and_the_users_line():
    def f(x):
        y = np.sin(x)  # here
        return (y * y).sum()

    tape = sparsead.grad(f).prepare(np.ones(3)).tape
    (op,) = (op for op in tape if op.op.name == "sin")
    (y,) = op.results
    tape.columns()["vtype"][y] = tape.pool.type(F4, (3,)).id
    line = f.__code__.co_firstlineno + 1
    assert complaint(tape) == (
        f"op {op.index}, %{y}: f32[3] = sin(%{op.operands[0]}), at test_check.py:{line}: y = np.sin(x)  # here: "
        "the result has shape (3,) and dtype float32; it has to have (3,) and float64"
    )


def broken(b):
    """A sine in another precision than its operand."""
    x = b.input((3,))
    return b.done(b.op("sin", (x,), (3,), dtype=F4))


def broken_and_not_linear(b):
    x = b.input((3,))
    return b.done(b.store(x, first, b.const(np.ones(1))), b.op("sin", (x,), (3,), dtype=F4))


def read_before_written(x):
    return (np.empty(3) * x).sum()


PASSES = {
    "record": lambda: sparsead.grad(read_before_written).prepare(np.ones(3)),
    "simplify": lambda: simplify(broken(Builder())),
    "linearize": lambda: linearize(broken(Builder())),
    "linearize, with copies": lambda: linearize(broken_and_not_linear(Builder())),
    "tangent": lambda: tangent(broken(Builder()), [0]),
    "adjoint": lambda: adjoint(broken(Builder()), [0], [0]),
    "batch": lambda: batch(broken(Builder()), [0], 2),
    "split": lambda: split(broken(Builder()), 1),
    "bind": lambda: bind(broken(Builder()), {0: np.ones(3)}),
    "sift": lambda: sift(broken(Builder()), 1),
}


@pytest.mark.parametrize("run", PASSES.values(), ids=PASSES)
def test_every_pass_checks_its_tape_when_asked(run, monkeypatch):
    monkeypatch.setattr(Builder, "done", lambda b, *outputs: b.tape.outputs.extend(outputs) or b.tape)
    with pytest.raises(TapeError):
        run()
    monkeypatch.setattr(sparsead.config, "check_tapes", False)
    run()
