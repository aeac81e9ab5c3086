"""The code of README.md runs as it stands there, and gives what it says."""

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest

import sparsead

# SciPy's BDF and trust-krylov compute with memory that nobody has written (`D = np.empty(..)`), and warn of what is in there.
pytestmark = pytest.mark.filterwarnings(r"ignore:invalid value encountered:RuntimeWarning:scipy\..*")

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    found = {"folder": tmp_path_factory.mktemp("readme")}
    with contextlib.chdir(found["folder"]):
        for block in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL):
            exec(compile(block, str(README), "exec"), found)
    return found


def test_the_first_example(names):
    assert names["sol"].success
    assert names["sol"].t[-1] == 1
    n = names["n"]
    assert names["jac"].pattern.shape == (2 * n**2, 2 * n**2)
    assert names["jac"].pattern.nnz == 12 * n**2
    y = names["sol"].y[:, -1]
    direction = np.cos(np.arange(y.size))
    difference = (names["fun"](1.0, y + 1e-6 * direction) - names["fun"](1.0, y - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(names["jac"](1.0, y, names["dy"]) @ direction, difference, rtol=1e-6, atol=1e-4)


def test_long_loops(names):
    u = np.sin(np.linspace(0, np.pi, 50))
    assert names["gradient"].shape == u.shape
    sparsead.testing.check_derivatives(names["simulate"], u, 0.25, np.zeros((10, 50)))


def test_solvers_of_scipy(names):
    fitted, minimized = names["fitted"], names["minimized"]
    assert fitted.success and minimized.success
    np.testing.assert_allclose(fitted.x, minimized.x, atol=1e-6)
    np.testing.assert_allclose(names["loss"](fitted.x, names["data"]), fitted.cost, rtol=1e-12)


def test_equations(names):
    u = np.linspace(0, 1, 20)
    assert names["by_start"].shape == u.shape
    sparsead.testing.check_derivatives(names["react"], u, 0.1, wrt=(0, 1), order=1)
    assert sparsead.testing.check_loop(names["react"], u, 0.1).loops == 1


def test_on_your_own_memory(names):
    np.testing.assert_allclose(names["du"], [0.1, 0.9, 1, 0.9, 0.1], rtol=1e-14)
    np.testing.assert_array_equal(names["dnew"], [1, 0, 0, 0, 1])
    np.testing.assert_allclose(names["by_dt"], 3 * 0.125, rtol=1e-14)


def test_without_python(names):
    header = (names["folder"] / "exported" / "brusselator_jac.h").read_text()
    for line in ("int brusselator_jac(double t, const double *y, double *values, void *workspace);",
                 "extern const int32_t brusselator_jac_indptr[1153], brusselator_jac_indices[6912];"):  # fmt: skip
        assert line in header
        assert line in README.read_text(encoding="utf-8")
    assert len(list((names["folder"] / "exported").iterdir())) == 4
