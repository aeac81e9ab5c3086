"""What surrounds a call of `autodiff`: scratch memory, tapes, guessed activities, structures, strong zeros, complex numbers."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse

import worked_functions as w
from sparsead import (
    Active,
    ActivityError,
    BatchDuplicated,
    Const,
    Duplicated,
    Forward,
    ForwardWithPrimal,
    Reverse,
    ReverseHolomorphic,
    ReverseHolomorphicWithPrimal,
    ReverseSplitNoPrimal,
    ReverseSplitWithPrimal,
    ReverseWithPrimal,
    autodiff,
    autodiff_thunk,
    chunked_onehot,
    make_zero,
    make_zero_inplace,
    onehot,
    remake_zero,
    set_strong_zero,
)
from worked_functions import a, same

# ---- active values in memory without derivatives


def of_scratch(x, scratch):
    scratch[0] = x * x
    return x * scratch[0]


@pytest.mark.parametrize("hidden, derivative", [("shadow", 10.368), ("detach", 0.0)])
def test_power_through_scratch_without_derivatives(hidden, derivative):
    """Enzyme's example: detached, the derivative is silently zero."""
    tmp = a(np.nan)
    args = Active(1.2), Const(tmp), Const(0), Const(5)
    result = autodiff(ReverseWithPrimal, w.power_through_scratch, Active, *args, hidden=hidden)
    same(result, ((derivative, None, None, None), 2.48832))
    same(tmp, a(2.48832))


@pytest.mark.parametrize("hidden, derivative", [("shadow", 27.0), ("detach", 9.0)])
def test_reads_of_scratch_without_derivatives(hidden, derivative):
    same(autodiff(Reverse, of_scratch, Active, Active(3.0), Const(a(0)), hidden=hidden), ((derivative, None),))
    same(autodiff(Forward, of_scratch, Duplicated, Duplicated(3.0, 1.0), Const(a(0)), hidden=hidden), (derivative,))
    args = Active(3.0), Const(a(0))
    forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, of_scratch, Active, *args, hidden=hidden)
    same(reverse(*args, 1.0, forward(*args)[0]), ((derivative, None),))


def test_active_values_in_const_memory_raise_by_default():
    with pytest.raises(ActivityError, match=rf"(?s)\bscratch\b.*\b{of_scratch.__code__.co_firstlineno + 1}\b"):
        autodiff(Reverse, of_scratch, Active, Active(3.0), Const(a(0)))


def test_captured_scratch_has_a_hidden_shadow():
    scratch = a(7)
    f = lambda x: of_scratch(x, scratch)
    for _ in range(2):
        same(autodiff(Reverse, f, Active, Active(3.0)), ((27.0,),))
        same(scratch, a(9))
    same(autodiff(Forward, f, Duplicated, Duplicated(3.0, 1.0)), (27.0,))
    same(autodiff(Reverse, f, Active, Active(3.0), hidden="detach"), ((9.0,),))


def test_const_memory_is_what_the_primal_leaves():
    def f(x, table, log):
        log[:] = table * 3
        table[1] = 0.1
        return (x * log).sum() * table[1]

    memory = [np.array([0.1, 0.2, 0.7]), np.array([9.0, 9.0, 9.0])]
    expected = [m.copy() for m in memory]
    f(a(1, 2, 3), *expected)
    args = Duplicated(a(1, 2, 3), dx := a(0, 0, 0)), *map(Const, memory)
    autodiff(Reverse, f, Active, *args)
    assert [m.tobytes() for m in memory] == [m.tobytes() for m in expected]
    same(dx, expected[1] * expected[0][1])


# ---- tapes, and the halves of a reverse mode


def test_a_tape_is_used_once():
    args = (Duplicated(a(1, 2), dx := a(0, 0)),)
    forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, lambda x: (x * x).sum(), Active, *args)
    tape, _, _ = forward(*args)
    reverse(*args, 1.0, tape)
    with pytest.raises((RuntimeError, ValueError, TypeError), match="tape"):
        reverse(*args, 1.0, tape)
    same(dx, a(2, 4))


def test_the_halves_are_used_many_times():
    """With other arguments, and with tapes that are open at the same time."""
    forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, lambda x, c: c * (x * x).sum(), Active, Duplicated, Active)
    first, second = ((Duplicated(a(*x), a(0, 0)), Active(c)) for x, c in (((1, 2), 1.0), ((3, 4), 10.0)))
    tapes = [forward(*args) for args in (first, second)]
    same([value for _, value, _ in tapes], [5.0, 250.0])
    same(reverse(*second, 1.0, tapes[1][0]), ((None, 25.0),))
    same(reverse(*first, 0.5, tapes[0][0]), ((None, 2.5),))


def test_shadows_of_the_reverse_half_may_be_others():
    """The forward half leaves the numbers in shadows alone: the seed may come after it, and in other memory."""
    x, dx = a(1, 2), a(0, 0)
    forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, w.shift, Const, Duplicated)
    tape, _, _ = forward(Duplicated(x, dx))
    dx[:] = 5, 7
    reverse(Duplicated(x, dx), tape)
    same((x, dx), (a(1, 1), a(12, 0)))


def test_what_calls_gave_stays_as_it_is():
    """Calls of one function share memory inside; what they return and store is the caller's."""

    def store(box, x):
        box["y"] = x * x
        return 3 * box["y"]

    given = []
    for v in (1.0, 2.0, 3.0):
        box, shadow = {"y": None}, {"y": None}
        args = Duplicated(box, shadow), Duplicated(a(v, v), a(1, 2))
        given.append((*autodiff(ForwardWithPrimal, store, Duplicated, *args), box["y"], shadow["y"]))
    for v, results in zip((1.0, 2.0, 3.0), given, strict=True):
        same(results, (a(6 * v, 12 * v), a(3 * v * v, 3 * v * v), a(v * v, v * v), a(2 * v, 4 * v)))


def test_tapes_may_be_open_at_the_same_time():
    forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, lambda x: x * x, Duplicated, Duplicated)
    states = []
    for v in (1.0, 2.0, 3.0):
        args = (Duplicated(a(v, 1), dx := a(0, 0)),)
        tape, value, shadow = forward(*args)
        shadow += v
        states.append((args, tape, value, dx))
    for args, tape, _, _ in states[::-1]:
        reverse(*args, tape)
    for v, (_, _, value, dx) in zip((1.0, 2.0, 3.0), states, strict=True):
        same((value, dx), (a(v * v, 1), a(2 * v * v, 2 * v)))


# ---- activities that nobody names


def test_the_activity_of_the_return_is_guessed():
    same(autodiff(ReverseWithPrimal, lambda x: x * x, Active(3.0)), ((6.0,), 9.0))
    same(autodiff(ForwardWithPrimal, lambda x: x * x, Duplicated(3.0, 1.0)), (6.0, 9.0))
    same(autodiff(ForwardWithPrimal, w.double, Duplicated(a(1, 2), a(3, 4))), (a(6, 8), a(2, 4)))
    same(autodiff(ForwardWithPrimal, w.axpy, Duplicated(a(1), a(2)), Const(2.0), Const(a(3))), (None,))
    same(autodiff(ReverseWithPrimal, w.by_reference, Duplicated(a(0), a(1)), Active(3.0)), ((None, 6.0), None))
    same(autodiff(ForwardWithPrimal, lambda x: "text", Duplicated(3.0, 1.0))[-1:], ("text",))


# ---- structures


@dataclass
class Body:
    position: np.ndarray
    mass: float
    name: str
    next: object = None


def bodies():
    one = Body(a(1, 2), 3.0, "one")
    one.next = Body(one.position, 4.0, "two", one)  # a cycle, and an array reached twice
    return one


def test_make_zero_keeps_the_topology():
    one = bodies()
    zero = make_zero(one)
    assert type(zero) is Body and (zero.name, zero.next.name) == ("one", "two")
    assert zero.next.next is zero and zero.next.position is zero.position
    same((zero.position, zero.mass, zero.next.mass), (a(0, 0), 0.0, 0.0))
    same((one.position, one.mass), (a(1, 2), 3.0))
    assert not np.shares_memory(zero.position, one.position)


def test_make_zero_copies_what_is_inactive():
    index, matrix = np.array([2, 0]), sparse.csr_array(np.array([[1.0, 0], [0, 2]]))
    zero = make_zero({"index": index, "matrix": matrix, "text": "text", "pair": (1.0, [2.0]), "n": 3})
    same({k: zero[k] for k in ("index", "text", "pair", "n")}, {"index": index, "text": "text", "pair": (0.0, [0.0]), "n": 3})
    assert zero["index"] is not index
    assert zero["matrix"].nnz == 2 and not np.shares_memory(zero["matrix"].indices, matrix.indices)
    same(zero["matrix"].data, a(0, 0))


def test_zeros_in_place():
    one = bodies()
    position, two = one.position, one.next
    make_zero_inplace(one)
    assert one.position is position and one.next is two
    same((position, one.mass, two.mass), (a(0, 0), 0.0, 0.0))
    remake_zero({"pair": (0.0, numbers := [1.0]), "array": (x := a(1, 2))})
    same((numbers, x), ([0.0], a(0, 0)))


def energy(one):
    return one.mass * (one.position**2).sum() + one.next.mass * one.next.position[0]


def test_derivatives_in_objects_that_are_reached_twice():
    one = bodies()
    zero = make_zero(one)
    autodiff(Reverse, energy, Active, Duplicated(one, zero))
    same((zero.position, zero.mass, zero.next.mass), (a(2 * 3 * 1 + 4, 2 * 3 * 2), 5.0, 1.0))
    autodiff(Reverse, energy, Active, Duplicated(one, zero))
    same((zero.position, zero.mass), (2 * a(10, 12), 10.0))


def sparse_product(y, matrix, x):
    w.csr_product(y, matrix.indptr, matrix.indices, matrix.data, x)


def sparse_matrix():
    """With a zero among its stored entries."""
    return sparse.csr_array((a(1, 2, 0), np.array([0, 2, 1]), np.array([0, 2, 3])), shape=(2, 3))


def test_sparse_arrays_have_derivatives_on_stored_entries():
    matrix = sparse_matrix()
    dmatrix, y, dy, x, dx = make_zero(matrix), a(0, 0), a(10, 100), a(4, 5, 6), a(0, 0, 0)
    autodiff(Reverse, sparse_product, Const, Duplicated(y, dy), Duplicated(matrix, dmatrix), Duplicated(x, dx))
    same((y, dmatrix.data, dx), (a(16, 0), a(40, 60, 500), a(10, 0, 20)))
    same((dmatrix.indices, dmatrix.indptr), (matrix.indices, matrix.indptr))
    dmatrix.data[:], dx[:] = a(0.1, 0.2, 0.3), a(1, 10, 100)
    autodiff(Forward, sparse_product, Const, Duplicated(y, dy), Duplicated(matrix, dmatrix), Duplicated(x, dx))
    same(dy, a(0.1 * 4 + 0.2 * 6 + 1 + 200, 0.3 * 5))


def test_shadows_of_sparse_arrays_have_all_stored_entries():
    matrix = sparse_matrix()
    dropped = make_zero(matrix)
    dropped.eliminate_zeros()
    with pytest.raises(ValueError, match="stored"):
        autodiff(Reverse, sparse_product, Const, Const(a(0, 0)), Duplicated(matrix, dropped), Const(a(4, 5, 6)))


def test_products_with_sparse_arrays():
    matrix = sparse_matrix()
    dmatrix, x, dx = make_zero(matrix), a(4, 5, 6), a(0, 0, 0)
    autodiff(Reverse, lambda A, x: (A @ x).sum(), Active, Duplicated(matrix, dmatrix), Duplicated(x, dx))
    same((dmatrix.data, dx), (a(4, 6, 5), a(1, 0, 2)))


class Node:
    def __init__(self, v, next=None):
        self.v, self.next = v, next


def turned(node):
    """The list, turned round; the sum of squares with weights 1, 2, 4... from its new head."""
    before = None
    while node is not None:
        node.next, before, node = before, node, node.next
    total, weight = 0.0, 1.0
    while before is not None:
        total, weight, before = total + weight * before.v**2, 2 * weight, before.next
    return total


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_linked_list_is_turned_round(n):
    nodes, shadows = [Node(k + 1.0) for k in range(n)], [Node(0.0) for _ in range(n)]
    for chain in (nodes, shadows):
        for one, other in pairwise(chain):
            one.next = other
    value = sum(2.0 ** (n - 1 - k) * (k + 1) ** 2 for k in range(n))
    same(autodiff(ReverseWithPrimal, turned, Active, Duplicated(nodes[0], shadows[0])), ((None,), value))
    same([s.v for s in shadows], [2.0 ** (n - k) * (k + 1) for k in range(n)])
    for chain in (nodes, shadows):
        assert chain[0].next is None and all(chain[k].next is chain[k - 1] for k in range(1, n))


def test_buffers_change_places():
    """With the shadows; an odd number of times, so that the names end up the other way round."""

    def advance(state, n):
        for _ in range(n):
            state["new"][:] = state["old"] ** 2
            state["new"], state["old"] = state["old"], state["new"]
        return state["old"].sum()

    state, shadow = ({"old": x, "new": a(0, 0)} for x in (a(1.1, 0.9), a(0, 0)))
    old, new = shadow["old"], shadow["new"]
    autodiff(Reverse, advance, Active, Duplicated(state, shadow), Const(3))
    assert shadow["old"] is new and shadow["new"] is old
    same((old, new), (8 * a(1.1, 0.9) ** 7, a(0, 0)))


def test_numbers_without_a_place_are_no_duplicated_arguments_in_reverse():
    with pytest.raises(TypeError, match="Active"):
        autodiff(Reverse, lambda x: x * x, Active, Duplicated(2.0, 0.0))
    dx = a(0, 0)
    with pytest.raises(TypeError, match="MixedDuplicated"):
        autodiff(Reverse, lambda p: p[0] * p[1].sum(), Active, Duplicated((2.0, a(1, 2)), (0.0, dx)))
    same(dx, a(0, 0))


def test_integer_arrays_have_no_shadow_of_floats():
    with pytest.raises(ValueError, match="int64"):
        autodiff(Reverse, lambda x: (x * 1.0).sum(), Active, Duplicated(np.array([1, 2]), a(0, 0)))


FACTORS = a(2, 3)


def test_arrays_among_the_globals_are_read_as_they_are():
    f = lambda x: (FACTORS * x).sum()
    same(autodiff(Reverse, f, Active, Active(2.0)), ((5.0,),))
    FACTORS[:] = 5, 6
    same(autodiff(Reverse, f, Active, Active(2.0)), ((11.0,),))
    FACTORS[:] = 2, 3


# ---- many lanes


def test_unit_seeds():
    same(onehot(a(5, 6)), (a(1, 0), a(0, 1)))
    same(chunked_onehot(a(5, 6, 7), 2), ((a(1, 0, 0), a(0, 1, 0)), (a(0, 0, 1),)))
    x = a(1, 3)
    same(autodiff(Forward, w.rosenbrock_of_array, Duplicated, BatchDuplicated(x, onehot(x))), ((-800.0, 400.0),))
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert [seed.shape for seed in onehot(matrix)] == [(2, 2)] * 4
    same(sum(k * seed for k, seed in enumerate(onehot(matrix))), np.array([[0.0, 1.0], [2.0, 3.0]]))


# ---- strong zeros, complex numbers


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_strong_zeros():
    f = lambda x: x[0] * np.sqrt(x[1])
    dx = a(0, 0)
    assert set_strong_zero(Reverse) is not Reverse
    autodiff(set_strong_zero(Reverse), f, Active, Duplicated(a(0, 0), dx))
    same(dx, a(0, 0))
    same(autodiff(set_strong_zero(Forward), f, Duplicated, Duplicated(a(2, 0), a(1, 0))), (0.0,))


def test_holomorphic_functions():
    z = 3.1 + 2.7j
    same(autodiff(ReverseHolomorphic, lambda z: z * z, Active, Active(z)), ((2 * z,),))
    same(autodiff(ReverseHolomorphicWithPrimal, lambda z: z * z, Active, Active(z)), ((2 * z,), z * z))
    with pytest.raises(TypeError):
        autodiff(ReverseHolomorphic, lambda z: z[0], Active, BatchDuplicated(np.array([z]), (np.zeros(1, complex),) * 2))
