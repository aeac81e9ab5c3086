"""What the pages and docstrings of sparse derivatives promise, held against numbers that know nothing of sparsity."""

import copy
import itertools
import pickle
import runpy
import signal
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sparsead
from sparsead.sparsity.colouring import Coloring, color_bidirectional, color_columns, color_rows, color_symmetric

programs = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("programs.py"))))
oracle = programs.oracle

BY_COLOURS = ("column", "row", "bidirectional")
SYMMETRIC = ("star", "acyclic", "column")
FORMATS = ("csr", "csc", "dense")


def sample(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape)


def dense(matrix):
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def data_of(matrix):
    return matrix if isinstance(matrix, np.ndarray) else matrix.data


def held(derivative, args, expected, tol=1e-10):
    """One call agrees with `expected`, has its nonzeros in the pattern, and fills memory full of NaN with the same bits."""
    result = derivative(*args)
    oracle.close(dense(result), expected, tol)
    assert not np.any(expected[derivative.pattern.toarray() == 0])
    values = data_of(result).copy()
    data_of(result)[...] = np.nan
    assert derivative(*args, out=result) is result
    oracle.same_bits(data_of(result), values)
    if isinstance(result, np.ndarray):
        return values
    assert not result.indices.flags.writeable and not result.indptr.flags.writeable
    again = derivative(*args)
    assert again.indices is result.indices and again.indptr is result.indptr
    assert result.has_sorted_indices and result.has_canonical_format
    assert result.nnz == derivative.pattern.nnz
    return values


def possible(derivative, args, how):
    """Whether entries can be computed one by one; a refusal has to say that it is one."""
    try:
        derivative.prepare(*args)
    except ValueError as error:
        assert "method='direct' is not possible" in str(error)
        how["not possible"] += 1
        return False
    how[derivative.method] += 1
    return True


QUIET = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}


# ---- random programs


def test_jacobians_of_random_programs():
    how = Counter()

    @settings(max_examples=settings().max_examples, **QUIET)
    @given(programs.programs(size=8), st.sampled_from(FORMATS), st.sampled_from([0, 1, (0, 2), ("b", "a")]))
    def run(program, format, wrt):
        f, of = program.function(), program.of
        tol = 3e-5 if "float32" in program.source else 1e-10
        points = [program.args, oracle.moved(program.args)]
        expected = [oracle.jacobian(f, args, wrt, of) for args in points]
        for method in ("direct", *BY_COLOURS, "auto"):
            jac = sparsead.jacobian(f, wrt=wrt, of=of, method=method, format=format)
            if method != "direct" or possible(jac, points[0], how):
                try:
                    for args, e in zip(points, expected, strict=True):
                        held(jac, args, e, tol)
                except ValueError as error:
                    assert method == "direct" and "method='direct' is not possible" in str(error)

    run()
    assert how["direct"] > how["not possible"] // 2 > 0


# ---- arguments that share memory


def shared(kind):
    a = sample(6)
    return {"same": (a, a), "reversed": (a, a[::-1]), "overlapping": (a, a[1:]), "apart": (a, sample(6, seed=1))}[kind]


@pytest.mark.parametrize("wrt", [(0, 1), (1, 0), 0, 1])
@pytest.mark.parametrize("kind", ["same", "reversed", "overlapping", "apart"])
def test_a_derivative_by_two_arrays_is_by_all_of_the_memory_of_each(kind, wrt):
    f = lambda a, b: np.concatenate([a[:5] * b[:5] ** 2, a[:2], np.sin(b[1:3])])
    args = shared(kind)
    expected = oracle.jacobian(f, args, wrt)
    for method in ("auto", *BY_COLOURS):
        jac = sparsead.jacobian(f, wrt=wrt, method=method)
        held(jac, args, expected)
        assert jac.check(*args) < 1e-13
    operator, v = sparsead.jacobian_operator(f, wrt=wrt)(*args), sample(expected.shape[1], seed=3)
    oracle.close(operator @ v, expected @ v)
    oracle.close(operator.T @ np.ones(9), expected.T @ np.ones(9))
    if kind == "apart" or isinstance(wrt, int):
        held(sparsead.jacobian(f, wrt=wrt, method="direct"), args, expected)
    else:
        with pytest.raises(ValueError, match="share memory"):
            sparsead.jacobian(f, wrt=wrt, method="direct")(*args)


@pytest.mark.parametrize("kind", ["same", "reversed", "overlapping", "apart"])
def test_hessians_by_two_arrays_that_share_memory(kind):
    f = lambda a, b, c: 1.5 * np.sum(a[1:] * a[:-1]) + np.sum(b[:5] ** 2 * c) + np.sum(a[:5] * c)
    args = (*shared(kind), sample(5, seed=2))
    for wrt in ((0, 1, 2), (1, 2, 0)):
        gradient = lambda a, b, c, wrt=wrt: np.concatenate(sparsead.grad(f, wrt=wrt)(a, b, c))
        expected = oracle.jacobian(gradient, args, wrt, method="fd")
        for method in ("auto", *SYMMETRIC):
            held(sparsead.hessian(f, wrt=wrt, method=method), args, expected, 1e-8)
        oracle.close(sparsead.hessian_operator(f, wrt=wrt)(*args) @ np.eye(len(expected)), expected, 1e-8)
        oracle.close(np.concatenate(sparsead.hessian_diagonal(f, wrt=wrt)(*args)), np.diag(expected), 1e-8)


def test_one_array_at_two_places_of_a_structure():
    a = sample(4)
    expected = np.hstack([np.diag(2 * a), np.diag(2 * a)])
    for structure in ([a, a], (a, a), {"u": a, "v": a}):
        get = (lambda s: s.values()) if isinstance(structure, dict) else iter
        f = lambda s, get=get: np.multiply(*get(s))
        for method in ("auto", *BY_COLOURS):
            oracle.close(dense(sparsead.jacobian(f, method=method)(structure)), expected)


# ---- `out`


@pytest.mark.parametrize("method", ["direct", *BY_COLOURS])
@pytest.mark.parametrize("dtype", [int, bool, np.uint8])
def test_out_that_cannot_hold_the_numbers_is_refused(method, dtype):
    jac, x = sparsead.jacobian(lambda x: 0.3 * x[::-1] ** 2, method=method), np.arange(1.0, 5.0)
    out = jac(x)
    out.data = np.ones(4, dtype)
    with pytest.raises(ValueError, match=f"out has to be of a dtype that holds float64, got {np.dtype(dtype)}"):
        jac(x, out=out)
    assert out.data.all() and out.data.dtype == dtype
