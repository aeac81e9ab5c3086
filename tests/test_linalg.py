"""Systems of equations and determinants: all orders, layouts, stacks, singular matrices, patterns, batches of seeds."""

import numpy as np
import pytest

import cases
import oracle
import sparsead
from sparsead.engine.reference import Program
from sparsead.transform._batch import batch

sample, table = cases.sample, cases.Table()
case = table.case


def regular(*shape, seed=0):
    """Matrices with determinants of both signs, away from zero."""
    a = sample(shape, seed) + 2 * np.eye(shape[-1])
    return a[..., ::-1, :] if seed % 2 else a


def matrices(*makers):
    return lambda: tuple(maker() for maker in makers)


# ---- systems of equations


@case(make=lambda: (regular(3, 3), sample(3, 1)))
def solve_for_a_vector(a, b):
    return np.linalg.solve(a, b)


@case(make=lambda: (regular(3, 3), sample((3, 2), 1)))
def solve_for_a_matrix(a, b):
    return np.linalg.solve(a, b) * b


@case(make=lambda: (regular(2, 3, 3), sample((2, 3, 2), 1)))
def solve_a_stack(a, b):
    return np.linalg.solve(a, b)


@case(make=lambda: (regular(2, 2, 2), sample(2, 1)))
def solve_a_stack_for_one_vector(a, b):
    return np.linalg.solve(a, b)


@case(make=lambda: (regular(3, 1, 2, 2), sample((2, 2, 2), 1)))
def solve_stacks_that_broadcast(a, b):
    return np.linalg.solve(a, b)


@case(make=lambda: (regular(2, 2), sample((3, 2, 1), 1)))
def solve_one_matrix_for_a_stack(a, b):
    return np.linalg.solve(a.T, b[::-1])


@case(make=lambda: (np.asfortranarray(regular(3, 3)), sample((2, 6), 1)))
def solve_in_other_layouts(a, b):
    return np.linalg.solve(a[::-1], b[:, ::2].T)


@case(make=lambda: (regular(3, 3), sample(3, 1)), of="b")
def solve_in_place(a, b):
    b[:] = np.linalg.solve(a, b)
    a[0] = b * b
    b[1:] = np.linalg.solve(a[1:, 1:], b[1:])


@case(make=lambda: (sample(4),))
def solve_with_a_matrix_of_the_unknowns(x):
    a = np.diag(x * x) + 0.1
    a[0, 1:] -= x[:-1] * x[1:]
    return np.linalg.solve(a, np.ones(4)) @ np.linalg.solve(a.T, x)


@case(make=lambda: (sample(3),))
def solve_with_a_constant_matrix(x):
    return np.linalg.solve(np.array([[4.0, 1, 0], [1, 4, 1], [0, 1, 4]]), x * x)


@case(make=lambda: (regular(2, 2),))
def solve_for_constants(a):
    return np.linalg.solve(a, [[1, 2, 3], [4, 5, 6]])


@case(make=lambda: (regular(2, 2), sample(2, 1)))
def newton_steps(a, x):
    for _ in range(2):
        x = x - np.linalg.solve(a + 3 * np.diag(x * x), a @ x + x**3 - 1)
    return x


@case(make=lambda: (regular(3, 3).astype(np.float32), sample(3, 1).astype(np.float32)), tol=2e-5)
def solve_in_single_precision(a, b):
    return np.linalg.solve(a, b)


# ---- inverses and determinants


@case(make=lambda: (regular(3, 3),))
def inverse(a):
    return np.linalg.inv(a)


@case(make=lambda: (regular(2, 2, 2, seed=1),))
def inverses(a):
    return np.linalg.inv(a.swapaxes(1, 2)) @ a


@case(make=lambda: (regular(1, 1),))
def inverse_of_a_number(a):
    return np.linalg.inv(a)


@case(make=lambda: (regular(3, 3, seed=1),))
def determinant(a):
    return np.linalg.det(a)


@case(make=lambda: (regular(2, 2, 3, 3),))
def determinants(a):
    return np.linalg.det(a[:, ::-1]) * np.linalg.det(a)[0, 0]


@case(make=lambda: (regular(1, 1),))
def determinant_of_a_number(a):
    return np.linalg.det(a * a)


@case(make=lambda: (regular(2, 2), regular(2, 2, seed=3)))
def determinant_of_a_product(a, b):
    return np.linalg.det(a @ b) * np.linalg.inv(b)


@case(make=lambda: (regular(3, 2, 2).astype(np.float32),), tol=2e-5)
def determinants_in_single_precision(a):
    return np.linalg.det(a)


@table.parametrize
def test_first_order(case):
    cases.check_first_order(case)


@table.parametrize
def test_sparse_jacobian(case):
    cases.check_sparse_jacobian(case)


@table.parametrize
def test_second_order(case):
    cases.check_second_order(case)


def test_matrices_without_elements():
    a, b = np.zeros((2, 0, 0)), np.zeros((2, 0, 3))
    for f in (lambda a, b: np.linalg.solve(a, b), lambda a, b: np.linalg.inv(a)):
        assert sparsead.jacobian(f, wrt=(0, 1))(a, b).shape == (0, 0)
    for f in (lambda a: np.linalg.det(a), lambda a: np.linalg.slogdet(a)[1]):
        value, pullback = sparsead.vjp(f)(a)
        oracle.same_bits(value, f(a))
        oracle.same_bits(pullback(np.ones(2)), a)


def test_third_order():
    a, v = regular(3, 3), np.cos(np.arange(9.0)).reshape(3, 3)
    for f in (lambda a: np.linalg.inv(a).sum(), lambda a: np.linalg.det(a), lambda a: np.linalg.slogdet(a)[1]):
        product = lambda a, f=f: (sparsead.hvp(f)(a, v) * v).sum()
        sparsead.testing.check_derivatives(product, a, order=1)


# ---- logarithms of determinants: the absolute value has no complex step


@pytest.mark.parametrize("shape", [(3, 3), (1, 1), (2, 3, 2, 2)], ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_slogdet(shape, seed):
    a = regular(*shape, seed=seed)
    f = lambda a: np.linalg.slogdet(a)[1]
    both = sparsead.vjp(np.linalg.slogdet)(a)[0]
    oracle.same_bits(tuple(both), tuple(np.linalg.slogdet(a)))
    assert type(both) is type(np.linalg.slogdet(a))
    oracle.close(sparsead.jacobian(f, format="dense")(a), oracle.jacobian(f, (a,), method="fd"), 1e-9)
    sparsead.testing.check_derivatives(lambda a: np.sum(np.linalg.slogdet(a)[1] ** 2), a, order=2)


def test_the_sign_of_a_determinant_follows_a_replay():
    slope = sparsead.grad(lambda a: np.linalg.slogdet(a)[0] * np.linalg.slogdet(a).logabsdet)
    for seed in (0, 1, 0):
        a = regular(3, 3, seed=seed)
        oracle.close(slope(a), np.linalg.slogdet(a)[0] * np.linalg.inv(a).T, 1e-12)


def test_a_large_matrix_whose_determinant_overflows():
    a = 1e3 * regular(150, 150)
    assert np.linalg.slogdet(a)[1] > np.log(np.finfo(float).max)
    oracle.close(sparsead.grad(lambda a: np.linalg.slogdet(a)[1])(a), np.linalg.inv(a).T, 1e-14)


# ---- singular matrices


SINGULAR = {
    "rank 1 of 2": ([[1.0, 2.0], [2.0, 4.0]], [[4.0, -2.0], [-2.0, 1.0]]),
    "rank 2 of 3": ([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]], [[-3.0, 6, -3], [6, -12, 6], [-3, 6, -3]]),
    "rank 1 of 3": (np.outer([1.0, 2, 3], [1.0, -1, 2]), np.zeros((3, 3))),
    "zero": (np.zeros((2, 2)), np.zeros((2, 2))),
    "zero number": ([[0.0]], [[1.0]]),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_determinants_of_singular_matrices_have_cofactors(name):
    a, cofactors = map(np.array, SINGULAR[name])
    stack = np.stack([a, np.eye(len(a)), a])
    oracle.close(sparsead.grad(lambda a: np.linalg.det(a))(a), cofactors, 1e-14)
    jac = sparsead.jacobian(lambda a: np.linalg.det(a), format="dense")(stack)
    oracle.close(jac[0], np.concatenate([cofactors.ravel(), np.zeros(2 * a.size)]), 1e-14)
    oracle.close(sparsead.jvp(lambda a: np.linalg.det(a))(stack, np.ones_like(stack))[1][::2], [cofactors.sum()] * 2, 1e-14)


@pytest.mark.parametrize("f", [lambda a: np.linalg.inv(a), lambda a: np.linalg.solve(a, np.ones(2))], ids=["inv", "solve"])
def test_singular_matrices_raise_numpys_exception_at_the_trace_and_at_a_replay(f):
    a, singular = regular(3, 2, 2), np.array([np.eye(2), np.ones((2, 2)), np.eye(2)])
    for first, second in ((singular, a), (a, singular)):
        jac = sparsead.jacobian(lambda a: f(a))
        for point in (first, second, first):
            if point is a:
                oracle.close(jac(point).toarray(), oracle.jacobian(f, (point,)), 1e-10)
            else:
                with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
                    jac(point)


# ---- the tape


def test_patterns_are_dense_within_each_system_and_empty_between_them():
    a, b = regular(2, 3, 3), sample((2, 3, 2), 1)
    f = lambda a, b: np.linalg.solve(a, b)
    systems, columns = np.kron(np.eye(2), np.ones((6, 1))), np.kron(np.ones((3, 3)), np.eye(2))
    by_a, by_b = (sparsead.jacobian(f, wrt=k).prepare(a, b) for k in (0, 1))
    np.testing.assert_array_equal(by_a.pattern.toarray() != 0, np.kron(systems, np.ones((1, 9))) != 0)
    np.testing.assert_array_equal(by_b.pattern.toarray() != 0, np.kron(np.eye(2), columns) != 0)
    assert by_a.coloring.counts == (0, 6) and by_b.coloring.counts == (3, 0)
    by_both = sparsead.jacobian(lambda x: np.linalg.solve(x[:, :, :3], x[:, :, 3:])).prepare(np.concatenate([a, b], axis=2))
    one = np.concatenate([np.ones((3, 2, 3, 3)), np.tile(np.eye(2)[:, None], (3, 1, 3, 1))], axis=3).reshape(6, 15)
    rows = np.kron(np.eye(2), one)
    np.testing.assert_array_equal(by_both.pattern.toarray() != 0, rows != 0)
    for g in (lambda a: np.linalg.det(a), lambda a: np.linalg.slogdet(a)[1], lambda a: np.linalg.inv(a)):
        jac = sparsead.jacobian(g).prepare(a)
        assert jac.pattern.nnz == 9 * jac.pattern.shape[0] and "assumed dense" not in jac.report()
    assert sparsead.hessian(lambda a: np.linalg.det(a).sum()).prepare(a).pattern.nnz == 2 * 81


@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)])
def test_a_batch_is_one_run_for_each_lane(which):
    f = lambda a, b: (np.linalg.solve(a, b), np.linalg.det(a), np.linalg.slogdet(a)[1], np.linalg.inv(a))
    points = [(regular(2, 3, 3, seed=2 * k), sample((2, 3, 2), k)) for k in range(4)]
    tape = sparsead.vjp(f, wrt=(0, 1)).prepare(*points[0]).prepared.adjoint_tape  # has the op of cofactors, too
    seeds = [sample(np.shape(z), 9 + k) for k, z in enumerate(f(*points[0]))]
    given = [[points[k][i] if i in which else points[0][i] for i in (0, 1)] for k in range(4)]
    lanes = [np.stack([g[i] for g in given]) if i in which else points[0][i] for i in (0, 1)]
    found = Program(batch(tape, which, 4)).run([*lanes, *seeds])
    for k in range(4):
        for lane, expected in zip(found, Program(tape).run([*given[k], *seeds]), strict=True):
            oracle.close(lane[k] if lane.ndim > np.ndim(expected) else lane, expected, 1e-13)


def test_a_matrix_is_factorised_once_for_all_seeds(monkeypatch):
    from sparsead.ops import linalg

    sizes = []

    def counting(a, b, solve=linalg.solve_systems):
        sizes.append(b.shape)
        return solve(a, b)

    a, b = regular(40, 40), sample(40, 1)
    jac = sparsead.jacobian(lambda a, b: np.linalg.solve(a, b), wrt="b").prepare(a, b)
    monkeypatch.setattr(linalg, "solve_systems", counting)
    oracle.close(jac(a, b).toarray(), np.linalg.inv(a), 1e-13)
    assert (40, 40) in sizes and max(len(shape) for shape in sizes) == 2
