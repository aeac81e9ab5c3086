"""Worked cases of Enzyme's semantics, said in the functional face: numbers, not another implementation, are the oracle.

With the state before a call x, the state after it x', and the return r, a tangent is J v and an adjoint is J^T w of the
one Jacobian J = d(x', r) / d x. So an adjoint that Enzyme finds in a shadow on entry is the seed of a mutated argument.
"""

import numpy as np
import pytest

import sparsead
from worked_functions import (
    Link,
    Tree,
    a,
    add_onto,
    axpy,
    by_reference,
    chain_sum,
    copy_then_overwrite,
    csr_product,
    dot_of_slots,
    double,
    double_and_return,
    forget_first,
    gauss_seidel,
    matrix_product,
    mixed,
    out_and_return,
    power_through_scratch,
    powers,
    product_pair,
    reference_store,
    rosenbrock,
    rosenbrock_of_array,
    same,
    scale_state,
    shift,
    square_beside,
    square_of_sum_of_squares,
    squares_into_y,
    squares_of_both,
    sum_onto_an_operand,
    take_and_clear,
    through_a_fortran_view,
    times,
    tree_sum,
    triple,
)

# name in the list of cases, f, arguments, wrt, of, tangents -> value, tangent

FORWARD = [
    ("F01", lambda x: x * x, lambda: (3.0,), 0, "return", 1.0, 9.0, 6.0),
    ("F02", rosenbrock, lambda: (1.0, 3.0), 1, "return", 1.0, 400.0, 400.0),
    ("F05a", rosenbrock_of_array, lambda: (a(1, 3),), 0, "return", a(1, 0), 400.0, -800.0),
    ("F05b", rosenbrock_of_array, lambda: (a(1, 3),), 0, "return", a(0, 1), 400.0, 400.0),
    ("F06", squares_into_y, lambda: (a(0, 0), a(3, 1)), (0, 1), ("return", "y"), (a(7, 7), a(1, 0)),
     (10.0, a(9, 1)), (6.0, a(6, 0))),
    ("F07", forget_first, lambda: (a(2, 3),), 0, ("return", 0), a(5, 7), (3.0, a(0, 3)), (7.0, a(0, 7))),
    ("F08", axpy, lambda: (a(3, 4), 2.0, a(1, -1)), (0, 1, 2), "y", (a(100, 200), 0.5, a(10, 20)),
     a(5, 2), a(120.5, 239.5)),
    ("F09", triple, lambda: (2.1,), 0, "return", 1.0, a(2.1, 2.1, 2.1), a(1, 1, 1)),
    ("F10", double_and_return, lambda: (a(1, -2),), 0, ("return", "x"), a(1.2, 0.5),
     (a(2, -4), a(2, -4)), (a(2.4, 1), a(2.4, 1))),
    ("F12", times, lambda: (lambda x: (x, x))(a(2, 3)), 0, ("u", "v"), a(1, 10),
     (a(4, 9), a(4, 9)), (a(4, 60), a(4, 60))),
    ("F13", through_a_fortran_view, lambda: (a(1, 2, 3, 4),), 0, "x", a(1, 1, 1, 1), a(3, 2, 3, 8), a(4, 1, 1, 6)),
    ("F15", chain_sum, lambda: (Link(1.0, Link(2.0, Link(3.0))),), 0, "return", Link(5.0, Link(0.0, Link(100.0))),
     6.0, 105.0),
    ("F18", csr_product, lambda: (a(9, 9), np.array([0, 2, 3]), np.array([0, 2, 1]), a(1, 2, 3), a(4, 5, 6)),
     ("y", "data", "x"), "y", (a(9, 9), a(0.1, 0.2, 0.3), a(1, 10, 100)), a(16, 15), a(202.6, 31.5)),
]  # fmt: skip

# name, f, arguments, wrt, of, seeds -> value, adjoints

REVERSE = [
    ("R01", lambda x: x * x, lambda: (3.0,), 0, "return", 1.0, 9.0, 6.0),
    ("R02", rosenbrock, lambda: (1.0, 2.0), (0, 1), "return", 1.0, 100.0, (-400.0, 200.0)),
    ("R03", rosenbrock_of_array, lambda: (a(1, 2),), 0, ("return", 0), (1.0, a(10, 20)),
     (100.0, a(1, 2)), a(-390, 220)),
    ("R05", mixed, lambda: (4.2, a(2.2, 3.3), 55, 9.0), (0, 1, 3), "return", 1.0, 4.2 * np.hypot(2.2, 3.3) + 55**2 * 81,
     (np.hypot(2.2, 3.3), a(2.3297408241459623, 3.4946112362189434), 54450.0)),
    ("R06", matrix_product, lambda: (np.zeros((2, 2)), np.array([[1.0, 2], [3, 4]]), np.array([[5.0, 6], [7, 8]])),
     (0, 1, 2), "r", np.array([[1.0, 0], [2, -1]]), np.array([[19.0, 22], [43, 50]]),
     (np.zeros((2, 2)), np.array([[5.0, 7], [4, 6]]), np.array([[7.0, -3], [10, -4]]))),
    ("R08", take_and_clear, lambda: (a(2.2), 3.3), (0, 1), ("return", "x"), (1.0, a(100)),
     (7.26, a(0)), (a(3.3), 2.2)),
    ("R11", out_and_return, lambda: (a(0), 5.0), (0, 1), ("return", "out"), (1.0, a(10)), (15.0, a(25)), (a(0), 103.0)),
    ("R13", square_of_sum_of_squares, lambda: (a(0, 0), a(3, 1)), (0, 1), ("return", "y"), (1.0, a(1, 2)),
     (100.0, a(9, 1)), (a(0, 0), a(126, 44))),
    ("R14", squares_of_both, lambda: (a(0, 0), a(3, 1)), (0, 1), ("return", "x"), (1.0, a(1, 1)),
     (100.0, a(9, 1)), (a(0, 0), a(126, 42))),
    ("R15", copy_then_overwrite, lambda: (a(2, 3),), 0, ("return", 0), (1.0, a(9, 9)),
     (6.0, a(1.234, 5.678)), a(3, 2)),
    ("R16", power_through_scratch, lambda: (1.2, a(np.nan), 0, 5), (0, 1), "return", 1.0, 2.48832, (10.368, a(0))),
    ("R18", by_reference, lambda: (a(0), 1.0), (0, 1), "out", a(1), a(1), (a(0), 2.0)),
    ("R20", add_onto, sum_onto_an_operand, (0, 2), "r", a(1, 2), a(4, 9), (a(1, 2), a(1, 2))),
    ("R23", dot_of_slots, lambda: (lambda x: ({"a": x, "b": x},))(a(1, 2, 3)), 0, "return", 1.0, 14.0,
     {"a": a(2, 4, 6), "b": a(2, 4, 6)}),
    ("R25", reference_store, lambda: ([a(7, 8)], [a(1, 3)]), (0, 1), "return", 1.0, 10.0, ([a(0, 0)], [a(2, 6)])),
    ("R28", tree_sum, lambda: (Tree(a(1), Tree(a(2)), Tree(a(3), Tree(a(4)))),), 0, "return", 1.0, 298.0,
     Tree(a(2), Tree(a(12)), Tree(a(30), Tree(a(120))))),
    ("R30", gauss_seidel, lambda: (a(1, 2, 4, 8, 16),), 0, "u", a(1, 1, 1, 1, 1), a(1, 2.5, 5.25, 10.625, 16),
     a(1.875, 0, 0.875, 0.75, 1.5)),
    ("R32a", powers, lambda: (a(0, 0, 0), 2.0), (0, 1), "out", a(1, 0, 0), a(2, 4, 8), (a(0, 0, 0), 1.0)),
    ("R32b", powers, lambda: (a(0, 0, 0), 2.0), (0, 1), "out", a(0, 1, 0), a(2, 4, 8), (a(0, 0, 0), 4.0)),
    ("R32c", powers, lambda: (a(0, 0, 0), 2.0), (0, 1), "out", a(0, 0, 1), a(2, 4, 8), (a(0, 0, 0), 12.0)),
    ("R37", scale_state, lambda: ({"x": a(4)}, 3.0), (0, 1), ("return", "state"), (1.0, {"x": a(2.7)}),
     (3.0, {"x": a(12)}), ({"x": a(8.1)}, 11.8)),
    ("R39", csr_product, lambda: (a(0, 0), np.array([0, 2, 3]), np.array([0, 2, 1]), a(1, 2, 3), a(4, 5, 6)),
     ("y", "data", "x"), "y", a(10, 100), a(16, 15), (a(0, 0), a(40, 60, 500), a(10, 300, 20))),
    ("R45", shift, lambda: (a(10, 20, 30),), 0, "x", a(1, 2, 3), a(10, 10, 20), a(3, 3, 0)),
    ("S01", take_and_clear, lambda: (a(2.2), 3.3), (0, 1), "return", 1.0, 7.26, (a(3.3), 2.2)),
    ("S03", double, lambda: (a(1, 2, 3),), 0, ("return", "x"), (a(0.07, 0.011, 0.013), a(0.5, 0.5, 0.5)),
     (a(2, 4, 6), a(1, 2, 3)), a(0.64, 0.522, 0.526)),
    ("S05", square_beside, lambda: (a(3.14, 0),), 0, "return", a(0, 2.7), a(3.14, 9.8596), a(16.956, 0)),
    ("J01a", product_pair, lambda: (a(2, 3, 4),), 0, "return", a(1, 0), a(6, 7), a(3, 2, 0)),
    ("J01b", product_pair, lambda: (a(2, 3, 4),), 0, "return", a(0, 1), a(6, 7), a(0, 1, 1)),
]  # fmt: skip


def rows(table):
    return pytest.mark.parametrize("row", table, ids=[row[0] for row in table])


@rows(FORWARD)
def test_tangents(row):
    _, f, arguments, wrt, of, tangents, value, tangent = row
    got, got_tangent = sparsead.jvp(f, wrt=wrt, of=of)(*arguments(), tangents)
    same(got, value)
    same(got_tangent, tangent)


@rows(REVERSE)
def test_adjoints(row):
    _, f, arguments, wrt, of, seeds, value, adjoints = row
    got, pullback = sparsead.vjp(f, wrt=wrt, of=of)(*arguments())
    same(got, value)
    for _ in range(2):
        same(pullback(seeds), adjoints)


@rows([row for row in FORWARD + REVERSE if row[0] not in {"F15", "R25"}])
def test_the_callers_memory_is_left_alone(row):
    _, f, arguments, wrt, of, *_ = row
    args, untouched = arguments(), arguments()
    sparsead.vjp(f, wrt=wrt, of=of)(*args)
    same(args, untouched)


def test_reference_stores_are_not_seen_by_the_caller():
    b, x = [a(7, 8)], [a(1, 3)]
    slot = b[0]
    sparsead.vjp(reference_store, wrt=(0, 1))(b, x)
    assert b[0] is slot


def test_reverse_through_arguments_overwritten_between_the_sweeps():  # S08
    x = a(1, 2)
    value, pullback = sparsead.vjp(lambda x: (x * x).sum())(x)
    x[:] = 99
    assert value == 5.0
    same(pullback(1.0), a(2, 4))


def test_hessian_vector_products():  # H01, H03
    f = lambda x: np.sin(x[0] * x[1])
    same(sparsead.grad(f)(a(2, 3)), a(2.880510859951098, 1.920340573300732))
    same(sparsead.hvp(f)(a(2, 3), a(5, 2.7)), a(19.69268826373025, 16.201003759768003))
    same(sparsead.hvp(lambda x: x[0] ** 2 + x[1] * x[0])(a(2, 2), a(1, 0)), a(2, 1))


def test_forward_over_a_reverse_sweep_written_by_hand():  # H03 as in the list: x, its adjoint, y, and the adjoint of y
    def reverse_sweep(x, bx, y, by):
        y[0] = x[0] ** 2 + x[1] * x[0]
        bx[0] += by[0] * (2 * x[0] + x[1])
        bx[1] += by[0] * x[0]
        by[0] = 0

    every = (0, 1, 2, 3)
    tangents = (a(1, 0), a(0, 0), a(0), a(0))
    value, tangent = sparsead.jvp(reverse_sweep, wrt=every, of=every)(a(2, 2), a(0, 0), a(0), a(1), tangents)
    same(value, (a(2, 2), a(6, 2), a(8), a(0)))
    same(tangent, (a(1, 0), a(2, 1), a(6), a(0)))
