"""Whatever happens in a derivative, every byte of the caller's memory stays, and the next call is right.

The program writes into all that it is given and all that it captures, before and after something goes wrong.
"""

import sys

import numpy as np
import pytest

import sparsead
from sparsead.derivatives import prepared
from sparsead.engine import reference


class Broken(Exception):
    pass


class Model:
    def __init__(self):
        self.total = np.ones(4)


# ---- what happens in the middle of the program, where x[0] is large


def a_branch(x):
    if x[0] > 2:
        x[0] = np.sin(x[0])


def an_exception(x):
    if x[0] > 2:
        raise Broken


def an_index_out_of_bounds(x):
    x[np.floor(x[:1]).astype(int)] *= 2.0


def broken(x):
    if x[0] > 2:
        raise Broken
    return x * x


def interrupted(x):
    if x[0] > 2:
        raise KeyboardInterrupt
    return x * x


def a_black_box_that_fails(x):
    x[:] = sparsead.black_box(broken, jac=lambda x: np.diag(2 * x))(x)


def a_black_box_that_is_interrupted(x):
    x[:] = sparsead.black_box(interrupted, jac=lambda x: np.diag(2 * x))(x)


EVENTS = {
    a_branch: None,
    an_exception: Broken,
    an_index_out_of_bounds: IndexError,
    a_black_box_that_fails: Broken,
    a_black_box_that_is_interrupted: KeyboardInterrupt,
}


class Caller:
    """The caller's memory: arguments that overlap, scratch, a parameter, an object's state; and a program that writes it."""

    def __init__(self, event):
        self.work, self.table, self.model = np.full(4, 7.0), np.linspace(1.0, 2.0, 4), Model()
        self.calm, self.wild = self.arguments(1.25), self.arguments(9.5)
        work, table, model = self.work, self.table, self.model

        def program(x, y, options):
            x[1:] *= x[:-1]
            y += x
            options["w"][:] = x * y
            np.multiply(y, table, out=work)
            model.total += work
            event(x)
            y[:2] *= work[:2]
            table[1] = x[2]
            x -= 0.25 * y
            work[...] = options["w"]
            options["w"] += 1
            return (x * x * model.total * table).sum() + (work * y).sum()

        self.program = program

    def arguments(self, first):
        buffer, shared = np.linspace(0.5, 1.5, 8), np.linspace(2.0, 3.0, 8)
        buffer[7] = first
        self.__dict__.setdefault("buffers", []).extend([buffer, shared])
        return buffer[::-2], shared[1:5], {"w": shared[3:7]}

    def bytes(self):
        return [a.tobytes() for a in (*self.buffers, self.work, self.table, self.model.total)]


V = np.arange(1.0, 5.0)
FIRST_ORDER = {
    "grad": lambda f, args: sparsead.grad(f)(*args),
    "value_and_grad": lambda f, args: np.append(*sparsead.value_and_grad(f)(*args)),
    "jvp": lambda f, args: np.stack(sparsead.jvp(f)(*args, V)),
    "vjp": lambda f, args: sparsead.vjp(f)(*args)[1](1.0),
    "linearize": lambda f, args: sparsead.linearize(f)(*args)[1](V),
    "jacobian": lambda f, args: sparsead.jacobian(f)(*args).toarray(),
    "jacobian of an argument": lambda f, args: sparsead.jacobian(f, of="x")(*args).toarray(),
}
SECOND_ORDER = {
    "hvp": lambda f, args: sparsead.hvp(f)(*args, V),
    "hessian": lambda f, args: sparsead.hessian(f)(*args).toarray(),
    "nested": lambda f, args: sparsead.grad(lambda x, y, options: (sparsead.grad(f)(x, y, options) * V).sum())(*args),
}
FACES = FIRST_ORDER | SECOND_ORDER
CASES = [
    pytest.param(FACES[face], event, id=f"{face}, {event.__name__}")
    for event in EVENTS
    for face in (FIRST_ORDER if "black_box" in event.__name__ else FACES)
]


@pytest.mark.parametrize(("face", "event"), CASES)
def test_something_happens_in_a_trace_or_in_a_replay(face, event):
    expected = face(Caller(event).program, Caller(event).calm)
    for order in ("cw", "wc"):
        caller = Caller(event)
        before = caller.bytes()
        for which in order * 2:
            if which == "c":
                assert np.array_equal(face(caller.program, caller.calm), expected)
            elif EVENTS[event] is None:
                assert not np.array_equal(face(caller.program, caller.wild), expected)
            else:
                with pytest.raises(EVENTS[event]):
                    face(caller.program, caller.wild)
            assert caller.bytes() == before


# ---- interrupted between any two lines


def interrupted_at(line, wanted, call):
    """Run `call`, with a KeyboardInterrupt before the given line of the code `wanted`; whether it came so far."""
    left = [line]

    def trace_line(frame, kind, argument):
        if kind == "line":
            left[0] -= 1
            if left[0] < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace_line

    before = sys.gettrace()
    sys.settrace(lambda frame, kind, argument: trace_line if frame.f_code is wanted else None)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def through_all_lines(face, caller, wanted, disturb):
    """Interrupt ever later, until it is finished first; how often that was."""
    before, line = caller.bytes(), 0
    while interrupted_at(line, wanted, disturb):
        assert caller.bytes() == before
        line += 1 + line // 20
    return line


@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_interrupted_at_every_line_of_the_program(face):
    expected, zeros = face(Caller(a_branch).program, Caller(a_branch).calm), np.zeros
    caller = Caller(a_branch)
    code = caller.program.__code__
    assert through_all_lines(face, caller, code, lambda: face(caller.program, caller.calm)) > 10
    assert np.zeros is zeros
    assert np.array_equal(face(caller.program, caller.calm), expected)


@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_interrupted_at_every_op_of_a_sweep(face, monkeypatch):
    monkeypatch.setattr(prepared, "program", lambda tape, *about: reference.Program(tape))
    caller = Caller(a_branch)
    expected = face(caller.program, caller.calm)
    code = reference.Program.run.__code__
    assert through_all_lines(face, caller, code, lambda: face(caller.program, caller.calm)) > 100
    assert np.array_equal(face(caller.program, caller.calm), expected)


# ---- results


def test_out_is_left_alone_when_a_call_fails():
    caller = Caller(an_exception)
    jac = sparsead.jacobian(caller.program, of="x")
    out = jac(*caller.calm)
    data = out.data.copy()
    with pytest.raises(Broken):
        jac(*caller.wild, out=out)
    assert np.array_equal(out.data, data)


def test_results_are_the_callers_own():
    """Writing into a result changes nothing else, and later calls see nothing of it."""

    def f(x, w):
        x[0] *= 2.0
        return x, w, x[1:], np.broadcast_to(w[0], (2,))

    x, w = np.arange(3.0), np.arange(3.0)
    value, pullback = sparsead.vjp(f, wrt=(0, 1))(x, w)
    results = [*value, *sparsead.jvp(f, wrt=(0, 1))(x, w, (x, w))[1], *pullback(value), *sparsead.linearize(f)(x, w)[0]]
    kept = [r.copy() for r in results]
    for k, r in enumerate(results):
        r[...] = 99.0
        assert all(np.array_equal(other, same) for other, same in zip(results[k + 1 :], kept[k + 1 :], strict=True))
    assert np.array_equal(x, np.arange(3.0)) and np.array_equal(w, np.arange(3.0))
    again, _ = sparsead.vjp(f, wrt=(0, 1))(x, w)
    assert all(np.array_equal(a, b) for a, b in zip(again, kept, strict=False))
