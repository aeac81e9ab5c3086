"""Patterns of tapes, built by hand and at random, against Jacobians computed number by number."""

import doctest

import numpy as np
import pytest
from scipy.sparse import csr_array

import sparsead
from sparsead.sparsity import pattern as sparsity_pattern
from sparsead.sparsity.pattern import jacobian_pattern, shaping_inputs
from sparsead.tape.spec import BY_NAME, OPS, Op, View, register
from sparsead.transform._batch import batch
from tapes import ANY, F8, GROWING, I8, Builder, RandomTape, brusselator, jacobian


def dense(pattern, n_columns):
    """The pattern as a boolean matrix, after a look at its form."""
    indptr, indices, _ = pattern
    assert indptr.dtype == indices.dtype == np.int32
    assert indptr[0] == 0 and indptr[-1] == len(indices)
    for i in range(len(indptr) - 1):
        assert np.all(np.diff(indices[indptr[i] : indptr[i + 1]]) > 0)
    shape = (len(indptr) - 1, n_columns)
    return csr_array((np.ones(len(indices), bool), indices, indptr), shape=shape).toarray()


def sizes(tape, wrt):
    return sum(tape.type(tape.inputs[w]).size for w in wrt)


# ---- random tapes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(150))
def test_random_tapes_without_cancellation_have_exactly_the_nonzeros(seed):
    b = RandomTape(seed, GROWING)
    of, point = range(len(b.tape.outputs)), b.point()
    pattern = jacobian_pattern(b.tape, [0, 1, 2], of, known={4: point[4]})
    expected = jacobian(b.tape, [0, 1, 2], of, point)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(dense(pattern, expected.shape[1]), expected != 0)


@pytest.mark.parametrize("seed", range(100))
def test_random_tapes_have_all_nonzeros_in_their_pattern(seed):
    b = RandomTape(seed, ANY)
    pattern = jacobian_pattern(b.tape, [1, 0, 2], [3, 0, 1], known={4: np.array([1, 0, 1])})
    for _ in range(3):
        found = jacobian(b.tape, [1, 0, 2], [3, 0, 1], b.point())
        missed = (found != 0) & ~dense(pattern, found.shape[1])
        assert not missed.any()


def test_random_tapes_have_ops_of_all_kinds():
    seen = {op.op.name for seed in range(150) for op in RandomTape(seed, GROWING).tape}
    seen |= {op.op.name for seed in range(100) for op in RandomTape(seed, ANY).tape}
    families = {"load", "store", "accumulate", "gather", "scatter", "scatter_add", "copy", "cast", "sum", "reduce", "scan"}
    assert families | {"linrec", "einsum", "select", *ANY["unary"], *ANY["binary"], *GROWING["binary"]} <= seen


@pytest.mark.parametrize("seed", range(30))
def test_dropping_dead_rows_changes_nothing(seed, monkeypatch):
    b = RandomTape(seed, ANY)
    wanted = dense(jacobian_pattern(b.tape, [0, 1, 2], [0, 1, 2, 3]), sizes(b.tape, [0, 1, 2]))
    monkeypatch.setattr(sparsity_pattern, "SQUEEZE_AT", 1)
    found = dense(jacobian_pattern(b.tape, [0, 1, 2], [0, 1, 2, 3]), sizes(b.tape, [0, 1, 2]))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("seed", range(30))
def test_a_batch_is_block_diagonal(seed):
    b = RandomTape(seed, GROWING)
    wrt, of = [0, 1, 2], [o for o, v in enumerate(b.tape.outputs) if moves(b.tape, v)]
    lanes = batch(b.tape, wrt, 3)
    for i in wrt:
        for o in of:
            one, all_lanes = (dense(jacobian_pattern(t, [i], [o], {4: [1, 0, 1]}), sizes(t, [i])) for t in (b.tape, lanes))
            np.testing.assert_array_equal(all_lanes, np.kron(np.eye(3, dtype=bool), one))


def moves(tape, v):
    """Whether `v` is computed from any of the first three inputs."""
    reached = set(tape.inputs[:3])
    for op in tape:
        if reached & set(op.operands):
            reached |= set(op.results)
    return v in reached


# ---- small cases -------------------------------------------------------------------------------------------------------


def matrix(tape, wrt=(0,), of=(0,), known=None):
    pattern = jacobian_pattern(tape, wrt, of, known)
    assert pattern.assumed_dense == []
    return dense(pattern, sizes(tape, wrt)).astype(int)


def columns_of(pattern):
    """The rows as lists."""
    return [pattern.indices[a:b].tolist() for a, b in zip(pattern.indptr, pattern.indptr[1:], strict=False)]


@pytest.mark.parametrize("n", [3, 5])
def test_brusselator(n):
    tape = brusselator(n)
    found = matrix(tape)
    point = [np.linspace(1, 2, 2 * n * n) ** 2, np.zeros(2 * n * n)]
    np.testing.assert_array_equal(found, jacobian(tape, [0], [0], point) != 0)
    assert found.sum() == 12 * n * n


def test_elements_count_in_the_order_of_memory():
    b = Builder()
    x = b.input((2, 3), strides=(8, 16))  # F order: element (i, j) is at i + 2 j
    b.done(b.load(x, lambda a: a[1]), b.ew("negative", x, strides=(24, 8)))
    assert columns_of(jacobian_pattern(b.tape, [0], [0])) == [[1], [3], [5]]
    assert columns_of(jacobian_pattern(b.tape, [0], [1])) == [[0], [2], [4], [1], [3], [5]]


def test_a_store_replaces_and_the_old_version_can_still_be_read():
    b = Builder()
    x = b.input((4,))
    sin = b.ew("sin", x)
    after = b.store(sin, lambda a: a[::2], b.load(x, lambda a: a[3:1:-1]))
    cleared = b.store(after, lambda a: a[1:3], b.const(np.zeros(2)))
    b.done(after, sin, cleared)
    assert columns_of(jacobian_pattern(b.tape, [0], [0, 1, 2])) == [[3], [1], [2], [3], [0], [1], [2], [3], [3], [], [], [3]]


def test_accumulation_into_a_window_that_overlaps_itself():
    b = Builder()
    x, y = b.input((4,)), b.input((3, 2))
    slide = lambda a: np.lib.stride_tricks.sliding_window_view(a, 2)
    b.done(b.accumulate(x, slide, y))
    assert columns_of(jacobian_pattern(b.tape, [1], [0])) == [[0], [1, 2], [3, 4], [5]]
    assert columns_of(jacobian_pattern(b.tape, [0, 1], [0])) == [[0, 4], [1, 5, 6], [2, 7, 8], [3, 9]]


@pytest.mark.parametrize(
    "name, expected", [("copysign", [0]), ("heaviside", [1]), ("floor_divide", []), ("nextafter", [0]), ("fmod", [0, 1])]
)
def test_partials_that_are_zero_by_definition_do_not_count(name, expected):
    b = Builder()
    x = b.input((2,))
    scalars = [b.load(x, lambda a, i=i: a[i, ...]) for i in (0, 1)]
    b.done(b.ew(name, *scalars))
    assert columns_of(jacobian_pattern(b.tape, [0], [0])) == [expected]


def test_each_result_of_an_op_has_its_own_rows():
    b = Builder()
    x, y = b.input((2,)), b.input((2,))
    t = b.tape.type(x)
    fraction, whole = b.tape.add(BY_NAME["modf"], (x,), [t, t])
    quotient, rest = b.tape.add(BY_NAME["divmod"], (x, y), [t, t])
    b.done(fraction, whole, quotient, rest)
    assert columns_of(jacobian_pattern(b.tape, [0, 1], [0, 1, 2, 3])) == [[0], [1], [], [], [], [], [0, 2], [1, 3]]


def test_integers_and_truth_values_depend_on_nothing():
    b = Builder()
    x = b.input((2,))
    whole = b.cast(x, I8)
    b.done(b.ew("less", x, b.const(0.5)), whole, b.cast(whole, F8))
    assert columns_of(jacobian_pattern(b.tape, [0], [0, 1, 2])) == [[]] * 6


def test_an_integer_input_has_columns_that_stay_empty():
    b = Builder()
    b.input((3,), I8)
    b.done(b.ew("sin", b.input((2,))))
    assert columns_of(jacobian_pattern(b.tape, [0, 1], [0])) == [[3], [4]]


def test_both_sides_of_a_select_count_unless_its_condition_is_constant():
    b = Builder()
    x, y = b.input((3,)), b.input((3,))
    condition = b.ew("less", x, b.const(0.5))
    constant = b.const(np.array([True, False, True]))
    b.done(b.ew("select", condition, x, y), b.ew("select", constant, x, y))
    assert columns_of(jacobian_pattern(b.tape, [0, 1], [0, 1])) == [[0, 3], [1, 4], [2, 5], [0], [4], [2]]


@pytest.mark.parametrize("swap", [False, True])
def test_zeros_of_a_constant_factor(swap):
    b = Builder()
    x, mask = b.input((3,)), b.const(np.array([[1.0, 0, 0], [0, 2, 0]]))
    spread = b.load(x, lambda a: np.broadcast_to(a, (2, 3)))
    s = b.load(x, lambda a: a[0, ...])
    b.done(b.ew("multiply", *((mask, spread) if swap else (spread, mask))), b.ew("multiply", s, b.const(0.0)))
    assert columns_of(jacobian_pattern(b.tape, [0], [0, 1])) == [[0], [], [], [], [1], [], []]


def test_recurrence_is_a_triangle():
    n = 60
    b = Builder()
    x = b.input((n,))
    for i in range(1, n):
        term = b.ew("sin", b.load(x, lambda a, i=i: a[i - 1, ...]))
        x = b.store(x, lambda a, i=i: a[i, ...], b.ew("multiply", term, b.load(x, lambda a, i=i: a[i, ...])))
    b.done(x)
    np.testing.assert_array_equal(matrix(b.tape), np.tri(n))


def test_product_with_a_constant_banded_matrix():
    n = 8
    band = np.tri(n, k=1) * np.tri(n, k=1).T
    b = Builder()
    x, X = b.input((n,)), b.input((n, 2))
    A = b.const(band)
    transposed = b.load(b.const(np.tri(n)), lambda a: a.T)
    b.done(
        b.op("einsum", (A, x), (n,), "ij,j->i"),
        b.op("einsum", (x, transposed), (n,), "j,ij->i"),
        b.op("einsum", (A, X), (2, n), "ij,jk->ki"),
        b.op("einsum", (b.const(np.ones((n, n))), x), (n,), "ij,j->i"),
    )
    np.testing.assert_array_equal(matrix(b.tape, [0], [0]), band)
    np.testing.assert_array_equal(matrix(b.tape, [0], [1]), np.tri(n).T)
    np.testing.assert_array_equal(matrix(b.tape, [1], [2]), np.einsum("ij,kl->kijl", band, np.eye(2)).reshape(2 * n, 2 * n))
    np.testing.assert_array_equal(matrix(b.tape, [0], [3]), np.ones((n, n)))


def test_product_of_active_matrices():
    b = Builder()
    A, B = b.input((2, 3)), b.input((3, 2))
    b.done(b.op("einsum", (A, B), (2, 2), "ij,jk->ik"))
    row, column = np.kron(np.eye(2), np.ones((1, 3))), np.kron(np.ones((1, 3)), np.eye(2))
    expected = [np.concatenate([row[i], column[k]]) for i in (0, 1) for k in (0, 1)]
    np.testing.assert_array_equal(matrix(b.tape, [0, 1]), expected)


def test_a_contraction_over_no_elements_depends_on_nothing():
    b = Builder()
    x, y = b.input((2,)), b.input((2, 0))
    b.done(b.op("einsum", (x, y), (2,), "i,ij->i"))
    assert columns_of(jacobian_pattern(b.tape, [0, 1], [0])) == [[], []]


# ---- what is known, what is assumed -----------------------------------------------------------------------------------


def test_an_index_array_that_is_an_input():
    b = Builder()
    x, y, index = b.input((4,)), b.input((2,)), b.input((2,), I8)
    shifted = b.ew("add", index, b.const(np.int64(-1)))
    b.done(b.op("gather", (x, shifted), (2,)), b.op("scatter", (x, shifted, y), (4,)), b.op("scatter_add", (x, index, y), (4,)))
    assert shaping_inputs(b.tape, [0, 1]) == [2]
    known = {2: np.array([3, 0])}
    assert columns_of(jacobian_pattern(b.tape, [0, 1], [0], known)) == [[2], [3]]
    assert columns_of(jacobian_pattern(b.tape, [0, 1], [1], known)) == [[0], [1], [4], [5]]
    assert columns_of(jacobian_pattern(b.tape, [0, 1], [2], known)) == [[0, 5], [1], [2], [3, 4]]
    unknown = jacobian_pattern(b.tape, [0, 1], [0])
    assert columns_of(unknown) == [[0, 1, 2, 3]] * 2
    assert unknown.assumed_dense == ["gather"]
    unknown = jacobian_pattern(b.tape, [0, 1], [2, 1])
    assert columns_of(unknown) == [[0, 4, 5], [1, 4, 5], [2, 4, 5], [3, 4, 5]] * 2
    assert sorted(unknown.assumed_dense) == ["scatter", "scatter_add"]


def test_positions_computed_from_what_is_differentiated_are_never_known():
    b = Builder()
    x, shift = b.input((3,)), b.input((), I8)
    order = b.op("inactive", (x,), (3,), np.argsort, dtype=I8)
    order = b.ew("add", order, shift)
    b.done(b.op("gather", (x, order), (3,)))
    assert shaping_inputs(b.tape, [0]) == []
    pattern = jacobian_pattern(b.tape, [0], [0], {1: 0})
    assert columns_of(pattern) == [[0, 1, 2]] * 3
    assert pattern.assumed_dense == ["gather"]


@pytest.mark.parametrize("position", [3, -4])
def test_positions_out_of_bounds(position):
    b = Builder()
    x, y = b.input((3,)), b.input((1,))
    for name in ("scatter", "scatter_add"):
        b.done(b.op(name, (x, b.const(np.array([position])), y), (3,)))
        with pytest.raises(IndexError, match=name):
            jacobian_pattern(b.tape, [0, 1], [0])


@pytest.fixture
def mystery():
    """Ops that the pattern knows nothing of: one with a tangent rule, one without."""
    ops = [Op("mystery", 62, None, tangent=lambda e, op, dots: dots), Op("opaque", 63, None)]
    for op in ops:
        register(op)
    yield
    for op in ops:
        OPS[op.code] = None
        del BY_NAME[op.name]


def test_an_op_without_a_rule_is_assumed_dense_if_it_has_a_derivative(mystery):
    b = Builder()
    x, y, z = b.input((2,)), b.input((2,)), b.input((2,))
    b.done(b.op("mystery", (b.ew("sin", x), y), (3,)), b.op("opaque", (z,), (2,)))
    pattern = jacobian_pattern(b.tape, [2, 0], [0, 1])
    assert columns_of(pattern) == [[2, 3]] * 3 + [[]] * 2
    assert pattern.assumed_dense == ["mystery"]
    assert jacobian_pattern(b.tape, [2], [0, 1]).assumed_dense == []
    assert jacobian_pattern(b.tape, [0], [1]).assumed_dense == []


def test_parts_depend_on_what_their_numbers_depend_on():
    b = Builder()
    x, y = b.input((2,)), b.input((1,))
    real = View((1,), (16,), F8)
    pair = b.op("cast", (x,), (2,), dtype=np.dtype(complex))
    b.done(b.op("load", (pair,), (1,), real, 16), b.op("store", (pair, y), (2,), real, 0, np.dtype(complex)))
    pattern = jacobian_pattern(b.tape, [0, 1], [0, 1])
    assert columns_of(pattern) == [[1], [0, 2], [1]]
    assert not pattern.assumed_dense


def test_the_pattern_of_a_black_box_is_the_users():
    box = lambda x: np.array([x[0] * x[2], x[1]])
    given = np.array([[1, 0, 1], [0, 1, 0]])
    for pattern, expected in ((given, given), (None, np.ones((2, 3)))):
        wrapped = sparsead.black_box(box, pattern=pattern)
        jac = sparsead.jacobian(lambda x, wrapped=wrapped: wrapped(x[::-1]))
        np.testing.assert_allclose(jac(np.array([2.0, 3.0, 5.0])).toarray(), [[5, 0, 2], [0, 1, 0]], atol=1e-8)
        np.testing.assert_array_equal(jac.pattern.toarray(), expected[:, ::-1])


# ---- large sets ------------------------------------------------------------------------------------------------------------


def sparse(pattern, n_columns):
    return csr_array((np.ones(len(pattern.indices)), pattern.indices, pattern.indptr), (len(pattern.indptr) - 1, n_columns))


def test_unions_of_many_scattered_rows():
    rng = np.random.default_rng(0)
    n = 200_000
    b = Builder()
    x = b.input((n,))
    neighbours = b.ew("add", b.load(x, lambda a: a[:-1]), b.load(x, lambda a: a[1:]))
    shuffled = b.op("gather", (neighbours, b.const(rng.permutation(n - 1))), (n - 1,))
    some = np.sort(rng.permutation(n)[: n // 3])
    b.done(
        b.op("sum", (shuffled,), (), (0,)),
        b.op("sum", (b.op("gather", (x, b.const(rng.permutation(some))), some.shape),), (), (0,)),
    )
    pattern = jacobian_pattern(b.tape, [0], [0, 1])
    np.testing.assert_array_equal(pattern.indices, np.concatenate([np.arange(n), some]))
    assert pattern.indptr.tolist() == [0, n, n + len(some)]


def test_an_assembly_and_its_sums_are_products_of_incidence_matrices():
    rng = np.random.default_rng(1)
    n, cells = 300, 700
    corners = rng.integers(0, n, (cells, 3))
    b = Builder()
    u = b.input((n,))
    local = b.op("gather", (u, b.const(corners)), (cells, 3))
    energy = b.op("reduce", (local,), (cells,), ("maximum", (1,)))
    spread = b.load(b.ew("square", energy), lambda a: np.broadcast_to(a[:, None], (cells, 3)))
    b.done(b.op("scatter_add", (b.op("zeros", (), (n,)), b.const(corners), spread), (n,)))
    incidence = csr_array((np.ones(3 * cells), (np.repeat(np.arange(cells), 3), corners.ravel())), (cells, n))
    found = sparse(jacobian_pattern(b.tape, [0], [0]), n)
    np.testing.assert_array_equal(found.toarray(), (incidence.T @ incidence).toarray() != 0)


# ---- edges and errors --------------------------------------------------------------------------------------------------------


def test_outputs_may_be_inputs_and_come_in_any_order_and_number():
    b = Builder()
    x, y = b.input((2,)), b.input((1,))
    b.done(x, b.ew("add", x, y))
    assert columns_of(jacobian_pattern(b.tape, [1, 0], [1, 0, 1])) == [[0, 1], [0, 2], [1], [2], [0, 1], [0, 2]]
    assert columns_of(jacobian_pattern(b.tape, [], [0, 1])) == [[]] * 4
    empty = jacobian_pattern(b.tape, [0, 1], [])
    assert empty.indptr.tolist() == [0] and empty.indices.tolist() == []


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_arrays_without_elements(shape):
    b = Builder()
    x, y = b.input(shape), b.input((2,))
    total = b.op("sum", (x,), (), tuple(range(len(shape))))
    nothing = b.op("gather", (y, b.const(np.zeros(shape, int))), shape)
    kept = b.store(y, lambda a: a[:0], b.load(nothing, lambda a: a.reshape(-1)))
    b.done(b.ew("sin", x), b.ew("add", y, total), nothing, kept)
    assert columns_of(jacobian_pattern(b.tape, [0, 1], [0, 1, 2, 3])) == [[0], [1], [0], [1]]


def test_one_element_in_every_shape():
    b = Builder()
    x = b.input(())
    cube = b.load(x, lambda a: a.reshape(1, 1, 1))
    wide = b.load(cube, lambda a: np.broadcast_to(a[0], (4, 1)))
    flat = b.op("sum", (wide,), (1,), (0,))
    b.done(b.store(b.op("empty", (), ()), lambda a: a, b.load(flat, lambda a: a[0, ...])), wide, b.ew("add", cube, wide))
    assert columns_of(jacobian_pattern(b.tape, [0], [0, 1, 2])) == [[0]] * 9


def test_what_is_asked_of_a_tape_has_to_exist():
    b = Builder()
    x = b.input((2,))
    b.input((3,))
    b.done(x)
    for arguments, message in [
        (([2], [0]), "wrt"), (([0], [1]), "of"), (([0], [-1]), "of"), (([0, 0], [0]), "twice"), (([0], [0], {7: 1}), "known"),
        (([0], [0], {0: np.ones(2)}), "both"), (([0], [0], {1: np.ones(2)}), r"shape \(2,\)"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            jacobian_pattern(b.tape, *arguments)


def test_too_many_columns():
    b = Builder()
    b.done(b.input((2**30,)), b.input((2**30,)))
    with pytest.raises(OverflowError, match="columns"):
        jacobian_pattern(b.tape, [0, 1], [])


def test_examples_in_docstrings():
    assert doctest.testmod(sparsity_pattern).attempted > 5
    assert doctest.testmod(sparsity_pattern).failed == 0
