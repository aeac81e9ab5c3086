"""`sparsead.numpy` is NumPy, and traces without NumPy's names being patched."""

import subprocess
import sys
from contextlib import nullcontext

import numpy
import pytest

import sparsead
import sparsead.numpy as np


def test_all_of_numpy_is_there():
    for name in numpy.__all__:
        assert hasattr(np, name)
    assert np.sin is numpy.sin
    assert np.linalg is numpy.linalg
    assert set(dir(np)) == set(dir(numpy))
    with pytest.raises(AttributeError, match="no_such_function"):
        _ = np.no_such_function


def test_outside_of_a_trace_it_is_numpy():
    made = np.zeros((2, 3), dtype=np.float32)
    assert type(made) is numpy.ndarray
    assert made.dtype == numpy.float32
    a = numpy.arange(3.0)
    assert np.asarray(a) is a


PROGRAMS = {
    "zeros": lambda x: fill(np.zeros(3), x),
    "empty": lambda x: fill(np.empty(3), x),
    "ones": lambda x: fill(np.ones(3), x),
    "full": lambda x: fill(np.full(3, 2.0), x),
    "full_of_traced": lambda x: np.full(3, x[0]) * x,
    "zeros_like": lambda x: fill(np.zeros_like(x), x),
    "array": lambda x: np.array([x[0], x[1] * x[2], 1.0]),
    "asarray": lambda x: np.asarray(x) ** 2,
    "ascontiguousarray": lambda x: np.ascontiguousarray(x) ** 2,
    "linspace": lambda x: np.linspace(x[0], x[1], 3),
}


def fill(a, x):
    a[0] = x[0]
    a[1:] = x[1:] ** 2
    return a


@pytest.mark.parametrize("name", PROGRAMS)
def test_creation_functions_trace_without_patching(name, monkeypatch):
    from sparsead.tracing import record

    f, x = PROGRAMS[name], numpy.array([1.0, 2.0, 3.0])
    patched = sparsead.jacobian(lambda x: f(x), format="dense")(x)
    monkeypatch.setattr(record, "installed", nullcontext)
    np.__dict__.pop("zeros", None)  # looked up while nothing is patched
    unpatched = sparsead.jacobian(lambda x: f(x) * 1.0, format="dense")(x)
    numpy.testing.assert_array_equal(unpatched, patched)
    assert patched.any()


def test_without_patching_plain_numpy_would_not_do(monkeypatch):
    from sparsead.tracing import record

    monkeypatch.setattr(record, "installed", nullcontext)

    def plain(x):
        a = numpy.zeros(3)
        a[1:] = x[1:]
        return a

    with pytest.raises(sparsead.TraceError):
        sparsead.jacobian(plain)(numpy.ones(3))


def test_star_import(tmp_path):
    code = "import sparsead\nfrom sparsead.numpy import *\nprint(float(sparsead.grad(lambda x: sum(zeros(2) + x))(1.0)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert not done.returncode, done.stderr
    assert done.stdout.strip() == "2.0"
