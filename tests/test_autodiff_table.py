"""What becomes of a shadow: mode by activity by what the function does to the argument, all numbers written out.

The argument is u = (2, 7), next to x = (3, 5). Forward the shadows enter as (100, 1000) and (1, 10). In reverse they enter as
(100, 1000) and (0.5, 0.25), adjoints of what u and x hold after the call.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from sparsead import (
    Active,
    ActivityError,
    BatchDuplicated,
    BatchDuplicatedNoNeed,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    Forward,
    ForwardWithPrimal,
    Reverse,
    ReverseSplitNoPrimal,
    ReverseSplitWithPrimal,
    ReverseWithPrimal,
    WriteOnly,
    autodiff,
    autodiff_thunk,
)
from worked_functions import a, same


def read(u, x):
    return (u * x).sum()


def update(u, x):
    u += 3 * x


def scale(u, x):
    u *= 2


def multiply(u, x):
    u *= x


def overwrite(u, x):
    u[:] = 3 * x


def clear(u, x):
    u[:] = 0


def write_partly(u, x):
    u[0] = 3 * x[0]


def read_then_clear(u, x):
    x += u
    u[:] = 1


def write_then_read(u, x):
    u[:] = 3 * x
    return (u * u).sum()


def return_it(u, x):
    u[1] = x[1]
    return u


def return_a_view(u, x):
    return u[::-1]


@dataclass
class Use:
    """What one use of u leaves: post-state, tangents, and adjoints without and with a seed of one for the return."""

    f: Callable
    post: tuple
    forward: tuple  # u, x
    reverse: tuple  # u, x
    of_seed: tuple = (a(0, 0), a(0, 0))
    dret: object = None
    dret_of_x: object = None  # with u without derivatives
    stores_active: bool = True
    reads: bool = False

    @property
    def id(self):
        return self.f.__name__


X, VX, WX = a(3, 5), a(1, 10), a(0.5, 0.25)
SAME = a(100, 1000)

USES = [
    Use(read, (a(2, 7), X), (SAME, VX), (SAME, WX), (a(3, 5), a(2, 7)), 72 + 5300.0, 72.0, False, True),
    Use(update, (a(11, 22), X), (a(103, 1030), VX), (SAME, a(300.5, 3000.25)), reads=True),
    Use(scale, (a(4, 14), X), (a(200, 2000), VX), (a(200, 2000), WX), stores_active=False, reads=True),
    Use(multiply, (a(6, 35), X), (a(302, 5070), VX), (a(300, 5000), a(200.5, 7000.25)), reads=True),
    Use(overwrite, (a(9, 15), X), (a(3, 30), VX), (a(0, 0), a(300.5, 3000.25))),
    Use(clear, (a(0, 0), X), (a(0, 0), VX), (a(0, 0), WX), stores_active=False),
    Use(write_partly, (a(9, 7), X), (a(3, 1000), VX), (a(0, 1000), a(300.5, 0.25))),
    Use(read_then_clear, (a(1, 1), a(5, 12)), (a(0, 0), a(101, 1010)), (WX, WX), stores_active=False, reads=True),
    Use(write_then_read, (a(9, 15), X), (a(3, 30), VX), (a(0, 0), a(300.5, 3000.25)), (a(0, 0), a(54, 90)), 954.0, reads=True),
    Use(return_it, (a(2, 5), X), (a(100, 10), VX), (a(100, 0), a(0.5, 1000.25))),
    Use(return_a_view, (a(2, 7), X), (SAME, VX), (SAME, WX), stores_active=False),
]  # fmt: skip

RETURNS_MEMORY = {return_it: lambda u: u, return_a_view: lambda u: u[::-1]}


def uses(condition=lambda use: True):
    found = [use for use in USES if condition(use)]
    return pytest.mark.parametrize("use", found, ids=[use.id for use in found])


def engines(test):
    return pytest.mark.parametrize("engine", ["reference", "vm"])(test)


def return_activity(use, mode):
    if use.f in RETURNS_MEMORY:
        return Const if mode == "reverse" else Duplicated
    if use.f not in (read, write_then_read):
        return Const
    return Duplicated if mode == "forward" else Active


def call(mode, f, returns, *args, engine, seeds=1.0):
    """What a call gives, and the value: of a whole mode, or of both halves one after the other."""
    if mode == "forward":
        *derivative, value = autodiff(ForwardWithPrimal, f, returns, *args, engine=engine)
        return derivative, value
    if mode == "reverse":
        derivative, value = autodiff(ReverseWithPrimal, f, returns, *args, engine=engine)
        return derivative, value
    forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, f, returns, *args, engine=engine)
    tape, value, shadow = forward(*args)
    (derivative,) = reverse(*args, *([seeds] if returns is Active else []), tape)
    return (derivative if shadow is None else (derivative, shadow)), value


MODES = pytest.mark.parametrize("mode", ["forward", "reverse", "split"])


# ---- u and its shadow


@MODES
@engines
@uses()
def test_duplicated(use, mode, engine):
    u, x, du = a(2, 7), X.copy(), SAME.copy()
    dx = (VX if mode == "forward" else WX).copy()
    returns = return_activity(use, mode)
    derivative, value = call(mode, use.f, returns, Duplicated(u, du), Duplicated(x, dx), engine=engine)
    same((u, x), use.post)
    if mode == "forward":
        same((du, dx), use.forward)
        same(derivative, [] if returns is Const else [RETURNS_MEMORY[use.f](use.forward[0]) if use.dret is None else use.dret])
    else:
        same((du, dx), tuple(w + s for w, s in zip(use.reverse, use.of_seed, strict=True)))
    if use.f is return_it:
        assert value is u
        assert mode == "reverse" or derivative[-1] is du
    if use.f is return_a_view:
        assert np.shares_memory(value, u)
        assert mode == "reverse" or np.shares_memory(derivative[-1], du)


@MODES
@engines
@uses()
def test_batches(use, mode, engine):
    """The second lane is minus two times the first; a seed of one is the same in both."""
    u, x, lanes = a(2, 7), X.copy(), (1, -2)
    du = tuple(k * SAME for k in lanes)
    dx = tuple(k * (VX if mode == "forward" else WX) for k in lanes)
    returns = return_activity(use, mode)
    args = BatchDuplicated(u, du), BatchDuplicated(x, dx)
    derivative, _ = call(mode, use.f, returns, *args, engine=engine, seeds=(1.0, 1.0))
    same((u, x), use.post)
    for k, in_u, in_x in zip(lanes, du, dx, strict=True):
        if mode == "forward":
            same((in_u, in_x), tuple(k * v for v in use.forward))
        else:
            same((in_u, in_x), tuple(k * w + s for w, s in zip(use.reverse, use.of_seed, strict=True)))
    if mode == "forward" and use.dret is not None:
        same(derivative, [tuple(k * use.dret for k in lanes)])
    if mode != "reverse" and use.f is return_it:
        assert all(d is own for d, own in zip(derivative[-1], du, strict=True))


@MODES
@engines
@uses(lambda use: not use.stores_active and use.f is not return_a_view)
def test_const_takes_no_derivatives(use, mode, engine):
    u, x = a(2, 7), X.copy()
    dx = (VX if mode == "forward" else WX).copy()
    derivative, _ = call(mode, use.f, return_activity(use, mode), Const(u), Duplicated(x, dx), engine=engine)
    same((u, x), use.post)
    if mode == "forward":
        same(dx, VX)
        same(derivative, [] if use.dret is None else [use.dret_of_x])
    else:
        same(dx, use.reverse[1] + use.of_seed[1])


@MODES
@engines
@uses(lambda use: use.stores_active and use.f is not return_it)
def test_const_refuses_active_values(use, mode, engine):
    """The message names the argument and the line of the store."""
    u, x = a(2, 7), X.copy()
    dx = (VX if mode == "forward" else WX).copy()
    entered = dx.copy()
    with pytest.raises(ActivityError, match=rf"(?s)\bu\b.*\b{use.f.__code__.co_firstlineno + 1}\b"):
        call(mode, use.f, return_activity(use, mode), Const(u), Duplicated(x, dx), engine=engine)
    same(dx, entered)


@MODES
@engines
@uses(lambda use: use.f in (overwrite, clear))
def test_write_only(use, mode, engine):
    assert WriteOnly is DuplicatedNoNeed
    u, x, du = a(np.nan, np.nan), X.copy(), SAME.copy()
    dx = (VX if mode == "forward" else WX).copy()
    call(mode, use.f, Const, WriteOnly(u, du), Duplicated(x, dx), engine=engine)
    same((du, dx), use.forward if mode == "forward" else use.reverse)
    du, dx = (SAME.copy(), -SAME), tuple(k * (VX if mode == "forward" else WX) for k in (1, -1))
    call(mode, use.f, Const, BatchDuplicatedNoNeed(u, du), BatchDuplicated(x.copy(), dx), engine=engine)
    for k, lanes in zip((1, -1), zip(du, dx, strict=True), strict=True):
        same(lanes, tuple(k * v for v in (use.forward if mode == "forward" else use.reverse)))


@MODES
@uses(lambda use: use.reads)
def test_what_is_write_only_is_not_read(use, mode):
    args = WriteOnly(a(2, 7), SAME.copy()), Duplicated(X.copy(), VX.copy())
    with pytest.raises(ActivityError, match=r"\bu\b"):
        call(mode, use.f, return_activity(use, mode), *args, engine="vm")


class Holder:
    """A callable whose state is u."""

    def __init__(self, use, u):
        self.use, self.u = use, u

    def __call__(self, x):
        return self.use(self.u, x)


@MODES
@engines
@uses(lambda use: use.f not in RETURNS_MEMORY)
def test_the_state_of_a_callable_is_an_argument(use, mode, engine):
    u, x, du = a(2, 7), X.copy(), SAME.copy()
    dx = (VX if mode == "forward" else WX).copy()
    f, df = Holder(use.f, u), Holder(use.f, du)
    derivative, _ = call(mode, Duplicated(f, df), return_activity(use, mode), Duplicated(x, dx), engine=engine)
    same((u, x), use.post)
    assert mode == "forward" or derivative == (None,)
    if mode == "forward":
        same((du, dx), use.forward)
    else:
        same((du, dx), tuple(w + s for w, s in zip(use.reverse, use.of_seed, strict=True)))


# ---- numbers


def cubed(s):
    s *= s * s  # binds the name anew; the caller's number stays
    return s


@engines
def test_a_number(engine):
    same(autodiff(ForwardWithPrimal, cubed, Duplicated, Duplicated(2.0, 10.0), engine=engine), (120.0, 8.0))
    same(autodiff(Forward, cubed, Duplicated, BatchDuplicated(2.0, (10.0, 1.0)), engine=engine), ((120.0, 12.0),))
    same(autodiff(Forward, cubed, Const, Duplicated(2.0, 10.0), engine=engine), ())
    same(autodiff(ReverseWithPrimal, cubed, Active, Active(2.0), engine=engine), ((12.0,), 8.0))
    same(autodiff(Reverse, cubed, Const, Active(2.0), engine=engine), ((0.0,),))
    args = (Active(2.0),)
    forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, cubed, Active, *args, engine=engine)
    tape, value, shadow = forward(*args)
    assert value is None and shadow is None
    same(reverse(*args, 0.5, tape), ((6.0,),))


@engines
def test_a_number_and_a_batch(engine):
    """A number's derivative is not added to anything; one lane, one derivative."""
    x, dx = a(3, 5), (a(0, 0), a(1, 1))
    f = lambda s, x: s * x.sum()
    same(autodiff(Reverse, f, Active, Active(2.0), BatchDuplicated(x, dx), engine=engine), (((8.0, 8.0), None),))
    same(dx, (a(2, 2), a(3, 3)))
    args = Active(2.0), BatchDuplicated(x, dx)
    forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, f, Active, *args, engine=engine)
    same(reverse(*args, (1.0, 10.0), forward(*args)[0]), (((8.0, 80.0), None),))
    same(dx, (a(4, 4), a(23, 23)))
