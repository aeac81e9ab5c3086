"""Worked cases of Enzyme's semantics in the face with activities and shadows, and what that face refuses.

A shadow holds a tangent, or an adjoint; with the state before a call x, the state after it x', the return r, and the one
Jacobian J = d(x', r) / dx, a call turns the shadows v into J v, or the shadows w and the seed of r into J^T w.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import worked_functions as w
from sparsead import (
    Active,
    ActivityError,
    BatchDuplicated,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    Forward,
    ForwardWithPrimal,
    Reverse,
    ReverseSplitNoPrimal,
    ReverseSplitWithPrimal,
    ReverseWithPrimal,
    autodiff,
    autodiff_thunk,
    hvp,
    hvp_and_gradient,
    hvp_inplace,
    jacobian,
    make_zero_inplace,
    remake_zero,
)
from worked_functions import Link, Tree, a, same

ENGINES = ["reference", "vm"]
ANY = ...  # a value that the list of cases does not give


def over(name, values):
    return pytest.mark.parametrize(name, values, ids=[getattr(v, "id", None) or str(v) for v in values])


# ---- the table of cases


@dataclass
class Slot:
    """An argument: its activity, its value, and its shadow, or the tuple of its shadows."""

    activity: type
    primal: object
    shadow: object = ANY

    def annotated(self):
        return self.activity(self.primal) if self.shadow is ANY else self.activity(self.primal, self.shadow)


def const(x):
    return Slot(Const, x)


def active(x):
    return Slot(Active, x)


def dup(x, dx):
    return Slot(Duplicated, x, dx)


def batch(x, *lanes):
    return Slot(BatchDuplicated, x, lanes)


def twice(slot, *rest):
    """The same array with the same shadow as first and second argument."""
    return (slot, slot, *rest)


@dataclass
class Case:
    """A call and what it leaves; `facts` are lists of pairs of objects that have to be one, given the call's `Outcome`."""

    id: str
    f: Callable
    returns: type
    slots: Callable
    value: object = ANY
    derivative: object = ANY  # forward: tangent of the return; reverse: what is returned for the arguments
    shadows: tuple = ()
    post: tuple = ()
    facts: Callable = lambda _: []
    seed: object = ANY  # split: passed to the reverse half if the return is active, else added to its shadow
    between: Callable = lambda slots: None  # split: what the caller does between the halves


@dataclass
class Outcome:
    slots: list
    value: object
    derivative: object
    shadow_of_return: object = None


def agrees(outcome, case, with_primal):
    if with_primal and case.value is not ANY:
        same(outcome.value, case.value)
    if case.derivative is not ANY:
        same(outcome.derivative, case.derivative)
    for slot, expected in zip(outcome.slots, case.shadows, strict=bool(case.shadows)):
        if expected is not ANY:
            same(slot.shadow, expected)
    for slot, expected in zip(outcome.slots, case.post, strict=bool(case.post)):
        if expected is not ANY:
            same(slot.primal, expected)
    for one, other in case.facts(outcome):
        assert one is other or (one is None and not with_primal)


TREE = Tree(a(1), Tree(a(2)), Tree(a(3), Tree(a(4))))
TREE_SHADOW = Tree(a(0), Tree(a(0)), Tree(a(0), Tree(a(1))))


def indptr():
    return const(np.array([0, 2, 3]))


def indices():
    return const(np.array([0, 2, 1]))


def reverse_sweep(x, bx, y, by):
    """Reverse through y[0] = x[0]**2 + x[1]*x[0], by hand."""
    y[0] = x[0] ** 2 + x[1] * x[0]
    bx[0] += by[0] * (2 * x[0] + x[1])
    bx[1] += by[0] * x[0]
    by[0] = 0


def quadratic(x, y):
    y[0] = x[0] ** 2 + x[1] * x[0]


def nested_sweep(x, bx, y, by):
    """The same, nested."""
    autodiff(Reverse, quadratic, Const, Duplicated(x, bx), Duplicated(y, by))


H03 = {
    "slots": lambda: [dup(a(2, 2), a(1, 0)), dup(a(0, 0), a(0, 0)), dup(a(0), a(0)), dup(a(1), a(0))],
    "derivative": (),
    "shadows": (a(1, 0), a(2, 1), a(6), a(0)),
    "post": (ANY, a(6, 2), a(8), a(0)),
}

FORWARD = [
    Case("F01", lambda x: x * x, Duplicated, lambda: [dup(3.0, 1.0)], 9.0, 6.0),
    Case("F02", w.rosenbrock, Duplicated, lambda: [const(1.0), dup(3.0, 1.0)], 400.0, 400.0),
    Case("F05", w.rosenbrock_of_array, Duplicated, lambda: [batch(a(1, 3), a(1, 0), a(0, 1))], 400.0, (-800.0, 400.0),
         ((a(1, 0), a(0, 1)),)),
    Case("F06", w.squares_into_y, Duplicated, lambda: [dup(a(0, 0), a(7, 7)), dup(a(3, 1), a(1, 0))], 10.0, 6.0,
         (a(6, 0), a(1, 0)), (a(9, 1), a(3, 1))),
    Case("F07", w.forget_first, Duplicated, lambda: [dup(a(2, 3), a(5, 7))], 3.0, 7.0, (a(0, 7),), (a(0, 3),)),
    Case("F08", w.axpy, Const, lambda: [dup(a(3, 4), a(100, 200)), dup(2.0, 0.5), dup(a(1, -1), a(10, 20))], None, (),
         (a(120.5, 239.5), 0.5, a(10, 20)), (a(5, 2), 2.0, a(1, -1))),
    Case("F09", w.triple, Duplicated, lambda: [dup(2.1, 1.0)], a(2.1, 2.1, 2.1), a(1, 1, 1)),
    Case("F10", w.double_and_return, Duplicated, lambda: [dup(a(1, -2), a(1.2, 0.5))], a(2, -4), a(2.4, 1), (a(2.4, 1),),
         facts=lambda o: [(o.derivative, o.slots[0].shadow), (o.value, o.slots[0].primal)]),
    Case("F12", w.times, Const, lambda: twice(dup(a(2, 3), a(1, 10))), None, (), (a(4, 60), a(4, 60)), (a(4, 9), a(4, 9))),
    Case("F13", w.through_a_fortran_view, Const, lambda: [dup(a(1, 2, 3, 4), a(1, 1, 1, 1))], None, (),
         (a(4, 1, 1, 6),), (a(3, 2, 3, 8),)),
    Case("F15", w.chain_sum, Duplicated, lambda: [dup(Link(1.0, Link(2.0, Link(3.0))), Link(5.0, Link(0.0, Link(100.0))))],
         6.0, 105.0, (Link(5.0, Link(0.0, Link(100.0))),), (Link(1.0, Link(2.0, Link(3.0))),)),
    Case("F18", w.csr_product, Const,
         lambda: [dup(a(9, 9), a(9, 9)), indptr(), indices(), dup(a(1, 2, 3), a(0.1, 0.2, 0.3)), dup(a(4, 5, 6), a(1, 10, 100))],
         None, (), (a(202.6, 31.5), ANY, ANY, a(0.1, 0.2, 0.3), a(1, 10, 100)), (a(16, 15), ANY, ANY, ANY, ANY)),
    Case("H03", reverse_sweep, Const, **H03),
    Case("H03 nested", nested_sweep, Const, **H03),
]  # fmt: skip

REVERSE = [
    Case("R01", lambda x: x * x, Active, lambda: [active(3.0)], 9.0, (6.0,)),
    Case("R02", w.rosenbrock, Active, lambda: [active(1.0), active(2.0)], 100.0, (-400.0, 200.0)),
    Case("R03", w.rosenbrock_of_array, Active, lambda: [dup(a(1, 2), a(10, 20))], 100.0, (None,), (a(-390, 220),), (a(1, 2),)),
    Case("R05", w.mixed, Active, lambda: [active(4.2), dup(a(2.2, 3.3), a(0, 0)), const(55), active(9.0)], ANY,
         (np.hypot(2.2, 3.3), None, None, 54450.0), (ANY, a(2.3297408241459623, 3.4946112362189434), ANY, ANY)),
    Case("R06", w.matrix_product, Const,
         lambda: [dup(np.zeros((2, 2)), np.array([[1.0, 0], [2, -1]])), dup(np.array([[1.0, 2], [3, 4]]), np.zeros((2, 2))),
                  dup(np.array([[5.0, 6], [7, 8]]), np.zeros((2, 2)))],
         None, (None, None, None), (np.zeros((2, 2)), np.array([[5.0, 7], [4, 6]]), np.array([[7.0, -3], [10, -4]])),
         (np.array([[19.0, 22], [43, 50]]), ANY, ANY)),
    Case("R08", w.take_and_clear, Active, lambda: [dup(a(2.2), a(100)), active(3.3)], 7.26, (None, 2.2), (a(3.3), ANY),
         (a(0), ANY)),
    Case("R11", w.out_and_return, Active, lambda: [dup(a(0), a(10)), active(5.0)], 15.0, (None, 103.0), (a(0), ANY),
         (a(25), ANY)),
    Case("R13", w.square_of_sum_of_squares, Active, lambda: [dup(a(0, 0), a(1, 2)), dup(a(3, 1), a(0, 0))], 100.0,
         (None, None), (a(0, 0), a(126, 44)), (a(9, 1), a(3, 1))),
    Case("R14", w.squares_of_both, Active, lambda: [dup(a(0, 0), a(0, 0)), dup(a(3, 1), a(1, 1))], 100.0, (None, None),
         (a(0, 0), a(126, 42)), (a(9, 1), a(9, 1))),
    Case("R15", w.copy_then_overwrite, Active, lambda: [dup(a(2, 3), a(9, 9))], 6.0, (None,), (a(3, 2),), (a(1.234, 5.678),)),
    Case("R16", w.power_through_scratch, Active, lambda: [active(1.2), dup(a(np.nan), a(0)), const(0), const(5)], 2.48832,
         (10.368, None, None, None), (ANY, a(0), ANY, ANY)),
    Case("R18", w.by_reference, Const, lambda: [dup(a(0), a(1)), active(1.0)], None, (None, 2.0), (a(0), ANY), (a(1), ANY)),
    Case("R20", w.add_onto, Const, lambda: twice(dup(a(1, 5), a(1, 2)), dup(a(3, 4), a(0, 0))), None, (None, None, None),
         (a(1, 2), a(1, 2), a(1, 2)), (a(4, 9), a(4, 9), a(3, 4))),
    Case("R23", w.dot_of_slots, Active, lambda: [dup(*(dict.fromkeys("ab", x) for x in (a(1, 2, 3), a(0, 0, 0))))], 14.0,
         (None,), ({"a": a(2, 4, 6), "b": a(2, 4, 6)},)),
    Case("R28", w.tree_sum, Active, lambda: [dup(copied(TREE), copied(TREE_SHADOW))], 298.0, (None,),
         (Tree(a(2), Tree(a(12)), Tree(a(30), Tree(a(121)))),)),
    Case("R30", w.gauss_seidel, Const, lambda: [dup(a(1, 2, 4, 8, 16), a(1, 1, 1, 1, 1))], None, (None,),
         (a(1.875, 0, 0.875, 0.75, 1.5),), (a(1, 2.5, 5.25, 10.625, 16),)),
    Case("R32", w.powers, Const, lambda: [batch(a(0, 0, 0), a(1, 0, 0), a(0, 1, 0), a(0, 0, 1)), active(2.0)], None,
         (None, (1.0, 4.0, 12.0)), ((a(0, 0, 0), a(0, 0, 0), a(0, 0, 0)), ANY), (a(2, 4, 8), ANY)),
    Case("R37", w.scale_state, Active, lambda: [dup({"x": a(4)}, {"x": a(2.7)}), active(3.0)], 3.0, (None, 11.8),
         ({"x": a(8.1)}, ANY), ({"x": a(12)}, ANY)),
    Case("R39", w.csr_product, Const,
         lambda: [dup(a(0, 0), a(10, 100)), indptr(), indices(), dup(a(1, 2, 3), a(0, 0, 0)), dup(a(4, 5, 6), a(0, 0, 0))],
         None, (None,) * 5, (a(0, 0), ANY, ANY, a(40, 60, 500), a(10, 300, 20))),
    Case("R45", w.shift, Const, lambda: [dup(a(10, 20, 30), a(1, 2, 3))], None, (None,), (a(3, 3, 0),), (a(10, 10, 20),)),
]  # fmt: skip


def copied(tree):
    return tree and Tree(tree.w.copy(), copied(tree.left), copied(tree.right))


def arrays(*structures):
    """The arrays that are reached, each once."""
    found = {}

    def walk(part):
        if isinstance(part, np.ndarray):
            found[id(part)] = part
        elif isinstance(part, (dict, list, tuple)) or hasattr(part, "__dict__"):
            inner = part if isinstance(part, (list, tuple)) else (part if isinstance(part, dict) else vars(part)).values()
            for p in inner:
                walk(p)

    walk(structures)
    return list(found.values())


def overwrite(slots):
    for x in arrays(*(s.primal for s in slots)):
        x[...] = 99


SPLIT = [
    Case("S01", w.take_and_clear, Active, lambda: [dup(a(2.2), a(0)), active(3.3)], 7.26, (None, 2.2), (a(3.3), ANY), seed=1.0),
    Case("S03", w.double, Duplicated, lambda: [dup(a(1, 2, 3), a(0.5, 0.5, 0.5))], a(2, 4, 6), (None,),
         (a(0.64, 0.522, 0.526),), seed=a(0.07, 0.011, 0.013)),
    Case("S05", w.square_beside, Duplicated, lambda: [dup(a(3.14, 0), a(0, 2.7))], a(3.14, 9.8596), (None,), (a(16.956, 0),),
         facts=lambda o: [(o.shadow_of_return, o.slots[0].shadow), (o.value, o.slots[0].primal)]),
    Case("S08", lambda x: (x * x).sum(), Active, lambda: [dup(a(1, 2), a(0, 0))], 5.0, (None,), (a(2, 4),), seed=1.0,
         between=overwrite),
]  # fmt: skip


# ---- the cases, run


def run_forward(case, with_primal, engine, slots):
    mode = ForwardWithPrimal if with_primal else Forward
    result = autodiff(mode, case.f, case.returns, *(s.annotated() for s in slots), engine=engine)
    assert type(result) is tuple and len(result) == (case.returns is Duplicated) + with_primal
    derivative = result[0] if case.returns is Duplicated else ()
    return Outcome(slots, result[-1] if with_primal else None, derivative)


def run_reverse(case, with_primal, engine, slots):
    mode = ReverseWithPrimal if with_primal else Reverse
    result = autodiff(mode, case.f, case.returns, *(s.annotated() for s in slots), engine=engine)
    assert type(result) is tuple and len(result) == 1 + with_primal
    return Outcome(slots, result[1] if with_primal else None, result[0])


def run_split(case, with_primal, engine, slots):
    mode = ReverseSplitWithPrimal if with_primal else ReverseSplitNoPrimal
    args = [s.annotated() for s in slots]
    forward, reverse = autodiff_thunk(mode, case.f, case.returns, *args, engine=engine)
    tape, value, shadow = forward(*args)
    assert with_primal or value is None
    assert (shadow is None) == (case.returns is not Duplicated)
    if case.returns is Duplicated and case.seed is not ANY:
        same(shadow, np.zeros_like(case.seed))
        shadow += case.seed
    case.between(slots)
    (derivative,) = reverse(*args, *([case.seed] if case.returns is Active else []), tape)
    return Outcome(slots, value, derivative, shadow)


@over("engine", ENGINES)
@over("with_primal", [False, True])
@over("case", FORWARD)
def test_forward(case, with_primal, engine):
    agrees(run_forward(case, with_primal, engine, list(case.slots())), case, with_primal)


@over("engine", ENGINES)
@over("with_primal", [False, True])
@over("case", REVERSE)
def test_combined_reverse(case, with_primal, engine):
    agrees(run_reverse(case, with_primal, engine, list(case.slots())), case, with_primal)


@over("engine", ENGINES)
@over("with_primal", [False, True])
@over("case", SPLIT)
def test_split_reverse(case, with_primal, engine):
    agrees(run_split(case, with_primal, engine, list(case.slots())), case, with_primal)


@over("engine", ENGINES)
@over("case", REVERSE)
def test_halves_do_what_the_whole_does(case, engine):
    """With a seed of one, and arguments that the caller overwrites in between."""
    halves = Case(**{**vars(case), "seed": 1.0, "post": (), "between": overwrite})
    agrees(run_split(halves, True, engine, list(case.slots())), halves, True)


@over("case", FORWARD + REVERSE)
def test_a_second_call_is_like_the_first(case):
    run = run_forward if case in FORWARD else run_reverse
    for _ in range(2):
        agrees(run(case, True, "vm", list(case.slots())), case, True)


def tangents_out(case, k):
    """Tangents of everything after the call and of the return, of a unit tangent at the k-th place before it."""
    slots = [dup(s.primal, 0.0) if s.activity is Active else s for s in case.slots()]
    memory = arrays(*(s.shadow for s in slots))
    for x in memory:
        x[...] = 0
    places = [(x, i) for x in memory for i in range(x.size)]
    if k < len(places):
        places[k][0].flat[places[k][1]] = 1
    else:
        [s for s in slots if isinstance(s.shadow, float)][k - len(places)].shadow = 1.0
    returns = Duplicated if case.returns is Active else Const
    derivative = autodiff(Forward, case.f, returns, *(s.annotated() for s in slots))
    return np.concatenate([*(np.ravel(x) for x in memory), derivative if case.returns is Active else []])


@over("case", [c for c in REVERSE if c.id != "R32"])
def test_reverse_is_the_transpose_of_forward(case):
    slots = list(case.slots())
    seeds = np.concatenate([*(np.ravel(x) for x in arrays(*(s.shadow for s in slots))), [1.0] if case.returns is Active else []])
    actives = [i for i, s in enumerate(slots) if s.activity is Active]
    outcome = run_reverse(case, False, "vm", slots)
    adjoints = [*(np.ravel(x) for x in arrays(*(s.shadow for s in slots))), [outcome.derivative[i] for i in actives]]
    adjoints = np.concatenate(adjoints)
    columns = [tangents_out(case, k) for k in range(len(adjoints))]
    np.testing.assert_allclose(adjoints, np.array(columns) @ seeds, rtol=1e-12, atol=1e-13)


@over("engine", ENGINES)
def test_references_stored_during_the_call_are_mirrored(engine):  # R25
    b, x, db, dx = [a(7, 8)], [a(1, 3)], [a(0.25, 0.5)], [a(10, 20)]
    displaced = db[0]
    args = Duplicated(b, db), Duplicated(x, dx)
    derivative, value = autodiff(ReverseWithPrimal, w.reference_store, Active, *args, engine=engine)
    assert (derivative, value) == ((None, None), 10.0)
    assert b[0] is x[0] and db[0] is dx[0]
    same(displaced, a(0.25, 0.5))
    same(dx[0], a(12, 26))


class Scaling:
    """A callable with state."""

    def __init__(self, x):
        self.x = x

    def __call__(self, y):
        self.x[0] *= y
        return y


@over("engine", ENGINES)
def test_callables_with_a_shadow(engine):  # R37 as a user says it
    f, df = Scaling(a(4)), Scaling(a(2.7))
    result = autodiff(ReverseWithPrimal, Duplicated(f, df), Active, Active(3.0), engine=engine)
    same(result, ((11.8,), 3.0))
    same((f.x, df.x), (a(12), a(8.1)))
    f, df = Scaling(a(4)), Scaling(a(2.5))
    same(autodiff(Forward, Duplicated(f, df), Duplicated, Duplicated(3.0, 10.0), engine=engine), (10.0,))
    same((f.x, df.x), (a(12), a(2.5 * 3 + 4 * 10)))


def test_closures_with_a_shadow():
    x, dx = a(4), a(2.7)

    def closed_over(x):
        def scale(y):
            x[0] *= y
            return y

        return scale

    same(autodiff(Reverse, Duplicated(closed_over(x), closed_over(dx)), Active, Active(3.0)), ((11.8,),))
    same((x, dx), (a(12), a(8.1)))


@over("engine", ENGINES)
def test_hessian_vector_products(engine):  # H01
    f = lambda x: np.sin(x[0] * x[1])
    x, v = a(2, 3), a(5, 2.7)
    product, gradient = a(19.69268826373025, 16.201003759768003), a(2.880510859951098, 1.920340573300732)
    same(hvp(f, engine=engine)(x, v), product)
    res, grad = a(np.nan, 9), a(-1, np.nan)  # overwritten, whatever they hold
    assert hvp_inplace(res, f, x, v, engine=engine) is None
    same(res, product)
    res[:] = np.nan
    assert hvp_and_gradient(res, grad, f, x, v, engine=engine) is None
    same((res, grad, x, v), (product, gradient, a(2, 3), a(5, 2.7)))


@over("engine", ENGINES)
def test_a_hessian_in_one_sweep(engine):  # H03, all columns
    args = [
        BatchDuplicated(a(2, 2), (a(1, 0), a(0, 1))),
        BatchDuplicated(a(0, 0), (first := a(0, 0), second := a(0, 0))),
        BatchDuplicated(a(0), (a(0), a(0))),
        BatchDuplicated(a(1), (a(0), a(0))),
    ]
    assert autodiff(Forward, nested_sweep, Const, *args, engine=engine) == ()
    same((first, second), (a(2, 1), a(1, 0)))


@over("engine", ENGINES)
def test_jacobian(engine):  # J01
    same(jacobian(w.product_pair, engine=engine)(a(2, 3, 4)).toarray(), np.array([[3.0, 2, 0], [0, 1, 1]]))


# ---- what is refused


@dataclass
class Refusal:
    """A call that raises; the message has all of the words."""

    id: str
    error: type
    words: tuple
    call: Callable


def square(x):
    return x * x


def total(x):
    return x.sum()


def pick(moving, fixed):
    return moving if moving[0] > 0 else fixed


def put(box, moving, fixed):
    box[0] = moving if moving[0] > 0 else fixed
    return box[0].sum()


def without_rule(x):
    return np.linalg.eig(x)[0].sum()


def out_of_range(x):
    x[0] *= 2
    return x[5]


def second_grows(first, second):
    second += first


class Running:
    """A callable that nobody annotates, and that adds to its state."""

    def __init__(self):
        self.total = a(1)

    def __call__(self, y):
        self.total[0] += y
        return self.total[0] * y


def thunk_called(*given):
    """The reverse half for one array, called with these things; "arg", "seed" and "tape" stand for the right ones."""
    args = (Duplicated(a(2), a(0)),)
    forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, lambda x: x[0] * x[0], Active, *args)
    right = {"arg": args[0], "seed": 1.0, "tape": forward(*args)[0]}
    reverse(*(right.get(g, g) if isinstance(g, str) else g for g in given))


def two_shadows(cut):
    x = a(1, 2, 3)
    return autodiff(Reverse, second_grows, Const, Duplicated(x[cut], a(0, 0)), Duplicated(x[1:], a(0, 0)))


def other_overlap():
    """Primals overlap by two elements, their shadows by one."""
    x, dx = a(1, 2, 3), a(0, 0, 0, 0)
    return autodiff(Reverse, second_grows, Const, Duplicated(x[:2], dx[:2]), Duplicated(x[1:], dx[2:]))


def one_primal_in_a_structure():
    x = a(1, 2, 3)
    return autodiff(Reverse, w.dot_of_slots, Active, Duplicated({"a": x, "b": x}, {"a": a(0, 0, 0), "b": a(0, 0, 0)}))


def own_shadow(of):
    x = a(1, 2, 3)
    return autodiff(Reverse, total, Active, Duplicated(x, of(x)))


def shadow_of_another():
    x = a(1, 2, 3)
    return autodiff(Reverse, second_grows, Const, Duplicated(x, y := a(4, 5, 6)), Duplicated(y, a(0, 0, 0)))


REFUSED = [
    Refusal("E01", TypeError, ("split", "vjp"),
            lambda: autodiff(Reverse, w.double, Duplicated, Duplicated(a(1, 2), a(0, 0)))),
    Refusal("E02", TypeError, ("jacobian", "split", "(2,)"),
            lambda: autodiff(Reverse, w.double, Active, Duplicated(a(1, 2), a(0, 0)))),
    Refusal("E03", TypeError, ("Active", "Duplicated"), lambda: autodiff(Forward, square, Duplicated, Active(3.0))),
    Refusal("E04", TypeError, ("Active", "Duplicated"), lambda: autodiff(Forward, square, Active, Duplicated(3.0, 1.0))),
    Refusal("E05", TypeError, ("DuplicatedNoNeed",),
            lambda: autodiff(Forward, square, DuplicatedNoNeed, Duplicated(3.0, 1.0))),
    Refusal("E06", TypeError, ("Active", "(2,)", "Duplicated"), lambda: Active(a(1, 2))),
    Refusal("E07 type", ValueError, ("list",), lambda: autodiff(Reverse, total, Active, Duplicated(a(1, 2), [0.0, 0.0]))),
    Refusal("E07 shape", ValueError, ("(2,)", "(3,)"),
            lambda: autodiff(Reverse, total, Active, Duplicated(a(1, 2), a(0, 0, 0)))),
    Refusal("E07 axes", ValueError, ("(2,)", "(1, 2)"),
            lambda: autodiff(Reverse, total, Active, Duplicated(a(1, 2), np.zeros((1, 2))))),
    Refusal("E07 dtype", ValueError, ("float64", "float32"),
            lambda: autodiff(Reverse, total, Active, Duplicated(a(1, 2), np.zeros(2, np.float32)))),
    Refusal("E07 keys", ValueError, ("b",),
            lambda: autodiff(Reverse, w.dot_of_slots, Active, Duplicated({"a": a(1), "b": a(1)}, {"a": a(0)}))),
    Refusal("E07 length", ValueError, (), lambda: autodiff(Reverse, w.reference_store, Active, Duplicated([a(1)], [a(0)]),
                                                          Duplicated([a(1), a(2)], [a(0)]))),
    Refusal("E07 lane", ValueError, ("(2,)", "(3,)"),
            lambda: autodiff(Forward, total, Duplicated, BatchDuplicated(a(1, 2), (a(0, 0), a(0, 0, 0))))),
    Refusal("E08 widths", ValueError, ("2", "3"),
            lambda: autodiff(Forward, w.times, Const, BatchDuplicated(a(1), (a(0),) * 2), BatchDuplicated(a(1), (a(0),) * 3))),
    Refusal("E08 none", ValueError, (), lambda: autodiff(Forward, total, Duplicated, BatchDuplicated(a(1), ()))),
    Refusal("E09 int", TypeError, ("Const", "int"),
            lambda: autodiff(Reverse, lambda x: len(x), Active, Duplicated(a(1, 2), a(0, 0)))),
    Refusal("E09 str", TypeError, ("Const", "str"),
            lambda: autodiff(Forward, lambda x: "text", Duplicated, Duplicated(3.0, 1.0))),
    Refusal("E09 None", TypeError, ("Const", "None"),
            lambda: autodiff(Reverse, w.shift, Active, Duplicated(a(1, 2), a(0, 0)))),
    Refusal("E09 split", TypeError, ("Const", "None"),
            lambda: autodiff_thunk(ReverseSplitNoPrimal, w.shift, Active, *(args := (Duplicated(a(1, 2), a(0, 0)),)))[0](*args)),
    Refusal("E10", TypeError, ("ReverseHolomorphic",), lambda: autodiff(Reverse, square, Active, Active(3.1 + 2.7j))),
    Refusal("E11 return", ActivityError, ("moving", "fixed"),
            lambda: autodiff(Forward, pick, Duplicated, Duplicated(a(-1, 1), a(1, 1)), Const(a(2, 3)))),
    Refusal("E11 store", ActivityError, ("box", "fixed"),
            lambda: autodiff(Reverse, put, Active, Duplicated([a(0)], [a(0)]), Duplicated(a(-1), a(0)), Const(a(2)))),
    Refusal("E12", ActivityError, ("total",), lambda: autodiff(Reverse, Running(), Active, Active(3.0))),
    Refusal("E13 no arguments", TypeError, (), lambda: thunk_called("tape")),
    Refusal("E13 no seed", TypeError, ("seed",), lambda: thunk_called("arg", "tape")),
    Refusal("E13 no tape", TypeError, ("tape",), lambda: thunk_called("arg", "seed")),
    Refusal("E13 two seeds", TypeError, (), lambda: thunk_called("arg", "seed", "seed", "tape")),
    Refusal("E13 another activity", TypeError, ("Const",), lambda: thunk_called(Const(a(2)), "seed", "tape")),
    Refusal("E14", ValueError, ("tuple",), lambda: make_zero_inplace((1.0, [1.0]))),
    Refusal("E15", NotImplementedError, ("linalg.eig",),
            lambda: autodiff(Reverse, without_rule, Active, Duplicated(np.eye(2), np.eye(2)))),
    Refusal("E16 forward", IndexError, (), lambda: autodiff(Forward, out_of_range, Duplicated, Duplicated(a(1, 2), a(1, 1)))),
    Refusal("E16 reverse", IndexError, (), lambda: autodiff(Reverse, out_of_range, Active, Duplicated(a(1, 2), a(1, 1)))),
    Refusal("E17 same array", ValueError, (), lambda: two_shadows(slice(1, None))),
    Refusal("E17 overlap", ValueError, (), lambda: two_shadows(slice(None, 2))),
    Refusal("E17 other overlap", ValueError, (), other_overlap),
    Refusal("E17 structure", ValueError, (), one_primal_in_a_structure),
    Refusal("E18 same array", ValueError, ("memory",), lambda: own_shadow(lambda x: x)),
    Refusal("E18 a view", ValueError, ("memory",), lambda: own_shadow(lambda x: x[:])),
    Refusal("E18 across arguments", ValueError, ("memory",), shadow_of_another),
]  # fmt: skip


@over("refusal", REFUSED)
def test_refusals(refusal):
    with pytest.raises(refusal.error) as raised:
        refusal.call()
    missing = [word for word in refusal.words if word not in str(raised.value)]
    assert not missing, f"{missing} not in: {raised.value}"


@over("engine", ENGINES)
@over("mode", ["forward", "reverse", "split"])
def test_shadows_stay_where_the_function_raises(mode, engine):  # E16
    dx = a(0.25, 0.5)
    args = (Duplicated(a(1, 2), dx),)
    for _ in range(2):
        with pytest.raises(IndexError):
            if mode == "forward":
                autodiff(Forward, out_of_range, Duplicated, *args, engine=engine)
            elif mode == "reverse":
                autodiff(Reverse, out_of_range, Active, *args, engine=engine)
            else:
                autodiff_thunk(ReverseSplitWithPrimal, out_of_range, Active, *args, engine=engine)[0](*args)
        same(dx, a(0.25, 0.5))


def test_what_is_next_to_the_refusals_is_taken():
    dx = a(0, 0)
    autodiff(Reverse, lambda x: np.array(x.sum()), Active, Duplicated(a(1, 2), dx))  # E02: no axes
    same(dx, a(1, 1))
    same(autodiff(Forward, pick, Duplicated, Duplicated(a(1, 1), a(3, 4)), Const(a(2, 3))), (a(3, 4),))  # E11
    remake_zero((0.0, numbers := [1.0]))  # E14
    same(numbers, [0.0])
    x, dx = a(1, 2, 3), a(1, 10, 100)  # E17: views that overlap as their shadows do
    autodiff(Forward, second_grows, Const, Duplicated(x[:2], dx[:2]), Duplicated(x[1:], dx[1:]))
    same((x, dx), (a(1, 3, 5), a(1, 11, 110)))
    one, other, shadow = a(1, 2), a(3, 4), a(0, 0)  # two primals may share a shadow: it takes both adjoints
    autodiff(Reverse, lambda x, y: (x * y).sum(), Active, Duplicated(one, shadow), Duplicated(other, shadow))
    same(shadow, a(4, 6))
