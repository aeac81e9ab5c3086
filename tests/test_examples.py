"""The examples run, small, and what they show is true: against closed forms, published values and differences."""

import shutil
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.spatial.transform import Rotation

import sparsead

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TESTED = (
    "brusselator", "brusselator_in_c", "bundle_adjustment", "burgers_inverse", "finite_elements", "optimal_control", "pollution",
    "shallow_water", "turing_3d",
)  # fmt: skip


@cache
def load(name):
    spec = spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def in_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def is_picture(path):
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


def test_every_example_is_tested_and_described():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(TESTED)
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"examples/{name}.py" in text for name in TESTED)


@pytest.mark.parametrize("name", TESTED)
def test_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        load(name).main(["--help"])
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out


def brusselator_jacobian(y, n, alpha):
    """Closed form: diffusion blocks by Kronecker products, reaction blocks diagonal."""
    ring = sparse.diags_array([1.0, 1.0, -2.0, 1.0, 1.0], offsets=[1 - n, -1, 0, 1, n - 1], shape=(n, n))
    eye = sparse.eye_array(n)
    diffusion = (alpha * n**2 * (sparse.kron(ring, eye) + sparse.kron(eye, ring))).toarray()
    u, v = y.reshape(2, n * n)
    return np.block(
        [
            [diffusion + np.diag(2 * u * v - 4.4), np.diag(u * u)],
            [np.diag(3.4 - 2 * u * v), diffusion - np.diag(u * u)],
        ]
    )


@pytest.mark.parametrize("t", [0.0, 2.0])  # before and after the forcing sets in
def test_brusselator_jacobian_is_the_closed_form(t):
    n, alpha = 5, 0.07
    rhs, y0 = load("brusselator").brusselator(n, alpha)
    y = y0 + np.random.default_rng(0).uniform(0.5, 1.5, y0.size)
    jac = sparsead.jacobian(rhs, wrt="y", of="dy", format="csc")(t, y, np.empty_like(y))
    assert jac.nnz == 12 * n**2
    assert_allclose(jac.toarray(), brusselator_jacobian(y, n, alpha), rtol=1e-13, atol=1e-13)


def test_brusselator(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    shown = load("brusselator").main(["--n", "6", "--t-end", "2", "--output", "picture.png"])
    runs = {(run.method, run.source): run for run in shown["runs"]}
    assert sorted(runs) == [(m, s) for m in ("BDF", "Radau") for s in ("differences", "sparsead")]
    assert shown["nnz"] == 12 * 6**2
    assert 6 <= shown["colors"] <= 20  # a row has six entries; any greedy colouring of this stencil needs fewer than 21
    for (_, source), run in runs.items():
        assert 0 < run.error < 3e-3
        assert run.jacobians > 0
        assert source == "differences" or run.rhs_calls < runs[run.method, "differences"].rhs_calls
    assert is_picture(tmp_path / "picture.png")
    table = capsys.readouterr().out
    assert table.count("sparsead ") == 2
    assert table.count("differences ") == 2


def test_brusselator_without_picture(tmp_path):
    load("brusselator").main(["--n", "4", "--t-end", "0.1", "--no-plot"])
    assert not list(tmp_path.iterdir())


def test_brusselator_in_c(tmp_path, capsys):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    shown = load("brusselator_in_c").main(["--n", "8", "--steps", "10", "--directory", str(tmp_path / "sources")])
    assert shown["difference"] < 1e-10
    assert {path.name for path in (tmp_path / "sources").glob("*.h")} == {"brusselator.h", "brusselator_jac.h"}
    assert "128 unknowns, 768 entries" in capsys.readouterr().out


def complex_step(write, y, n_results):
    """The Jacobian of ``write(y, result)``, exact to rounding (Squire and Trapp, SIAM Review 40, 1998)."""
    jacobian = np.empty((n_results, y.size))
    for j in range(y.size):
        result = np.zeros(n_results, complex)
        write(y + 1e-100j * (np.arange(y.size) == j), result)
        jacobian[:, j] = result.imag / 1e-100
    return jacobian


def test_pollution_jacobian_is_the_complex_step():
    pollution = load("pollution")
    y = np.random.default_rng(0).uniform(0.1, 1, 20)
    expected = complex_step(lambda y, dy: pollution.pollu(0.0, y, dy), y, 20)
    jac = sparsead.jacobian(pollution.pollu, wrt="y", of="dy")(0.0, y, np.empty(20))
    assert_allclose(jac.toarray(), expected, rtol=1e-13)
    assert jac.nnz == np.count_nonzero(expected)


def test_pollution(capsys):
    shown = load("pollution").main(["--rtol", "1e-8"])
    assert shown["nnz"] == 82  # the 86 of the literature include four zeros on the diagonal
    assert len(shown["worst"]) == 4
    assert all(difference < 1e-6 for difference in shown["worst"].values())
    text = capsys.readouterr().out
    assert text.count("all 20 species agree to 6 digits") == 4
    assert "it is 86 entries" in text
    assert text.count("  x") == 82


def test_pollution_says_when_digits_are_missing(capsys):
    shown = load("pollution").main(["--rtol", "1e-4"])
    assert max(shown["worst"].values()) > 1e-6
    assert "NO agreement to 6 digits" in capsys.readouterr().out


def test_burgers_gradient_entry_by_entry():
    burgers = load("burgers_inverse")
    n, steps, h = 24, 12, 1e-5
    advance = burgers.burgers(n, steps)
    truth = burgers.true_initial(np.linspace(0, 1, n))
    _, data = burgers.observe(advance, steps, truth, np.random.default_rng(0))
    loss = burgers.loss_function(advance, steps, data)
    u0 = 0.9 * truth
    value, gradient = sparsead.value_and_grad(loss, wrt="u0")(u0)
    expected = [(loss(u0 + h * e) - loss(u0 - h * e)) / (2 * h) for e in np.eye(n)]
    assert_allclose(value, loss(u0), rtol=1e-14)
    assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())


def test_burgers_inverse(tmp_path):
    pytest.importorskip("matplotlib")
    shown = load("burgers_inverse").main(["--n", "60", "--steps", "40", "--iterations", "25"])
    assert shown["gradient_accuracy"] < 1e-6
    assert shown["history"][-1] < 1e-2 * shown["history"][0]
    assert np.all(np.diff(shown["history"]) <= 0)
    assert shown["error"] < 0.2
    assert is_picture(tmp_path / "burgers_inverse.png")


@pytest.mark.parametrize(("arguments", "message"), [("--steps 41", "multiple of 4"), ("--steps 40", "at least 119")])
def test_burgers_inverse_refuses_steps(arguments, message, capsys):
    with pytest.raises(SystemExit):
        load("burgers_inverse").main(arguments.split())
    assert message in capsys.readouterr().err


def test_finite_element_jacobian_is_the_complex_step():
    elements = load("finite_elements")
    mesh = elements.scattered_mesh(5)
    residual = elements.finite_elements(mesh)
    u = np.random.default_rng(0).uniform(-1, 1, mesh.x.size)
    expected = complex_step(residual, u, u.size)
    jac = sparsead.jacobian(residual, wrt="u", of="r")(u, np.empty(u.size))
    assert_allclose(jac.toarray(), expected, rtol=1e-12, atol=1e-14)
    assert jac.nnz == np.count_nonzero(expected)


def test_finite_elements(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    shown = load("finite_elements").main(["--n", "8", "--meshes", "3"])
    assert all(1.8 < order < 2.3 for order in shown["orders"])
    for run in shown["runs"]:
        assert_allclose(run.mesh.area.sum(), 1, rtol=1e-13)
        before, after = run.residuals[-3:-1]
        assert run.residuals[-1] < 1e-11
        assert after < 10 * before**2  # quadratic
        assert run.jacobian.method == "direct"
    assert is_picture(tmp_path / "finite_elements.png")
    assert "81 x 81" in capsys.readouterr().out


def central_differences(function, x, h=1e-6):
    """The Jacobian, to about nine digits."""
    return np.transpose([(function(x + h * e) - function(x - h * e)) / (2 * h) for e in np.eye(x.size)])


def test_bundle_adjustment_jacobian_is_that_of_differences():
    bundle = load("bundle_adjustment")
    scene = bundle.made_up(4, 10, 3, np.random.default_rng(0))
    residuals = bundle.misfit(scene)
    jac = sparsead.jacobian(residuals)(scene.truth)
    expected = central_differences(residuals, scene.truth)
    assert_allclose(jac.toarray(), expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    assert np.all(np.diff(jac.indptr) == 12)
    cameras, points = scene.camera.repeat(2), scene.point.repeat(2)
    columns = np.hstack([9 * cameras[:, None] + np.arange(9), scene.cameras.size + 3 * points[:, None] + np.arange(3)])
    assert np.array_equal(jac.indices.reshape(-1, 12), columns)


def test_bundle_adjustment_turns_by_rotation_vectors():
    bundle, rng = load("bundle_adjustment"), np.random.default_rng(0)
    vectors, rotations, turned = rng.normal(size=(3, 20, 3))
    bundle.rotate(vectors, rotations, turned)
    assert_allclose(turned, Rotation.from_rotvec(rotations).apply(vectors), rtol=1e-12, atol=1e-14)


def test_bundle_adjustment_distance_does_not_see_what_pictures_cannot_show():
    distance, rng = load("bundle_adjustment").distance, np.random.default_rng(0)
    points = rng.normal(size=(30, 3))
    moved = 1.7 * Rotation.from_rotvec([0.3, -1, 2]).apply(points) + [1, 2, 3]
    assert distance(moved, points) < 1e-14
    assert_allclose(distance(points + rng.normal(0, 1e-3, points.shape), points), np.sqrt(3) * 1e-3, rtol=0.3)


def test_bundle_adjustment(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    shown = load("bundle_adjustment").main(["--cameras", "5", "--points", "60", "--views", "4"])
    ours, theirs = shown["runs"]
    for run in (ours, theirs):
        assert 0.75 < run.cost / shown["expected"] < 1.25  # 262 degrees of freedom: a standard deviation is 0.09
        assert run.distance < 0.02
    assert_allclose(ours.cost, theirs.cost, rtol=1e-5)
    assert theirs.calls >= 12 * theirs.jacobians > ours.calls  # no two of the twelve columns of a row share a difference
    assert is_picture(tmp_path / "bundle_adjustment.png")
    assert "240 observations" in capsys.readouterr().out


def test_bundle_adjustment_refuses_what_cannot_be_found(capsys):
    with pytest.raises(SystemExit):
        load("bundle_adjustment").main("--points 10 --views 2".split())
    assert "more unknowns than residuals" in capsys.readouterr().err


def test_turing_jacobian_is_the_closed_form():
    turing, n, dt = load("turing_3d"), 3, 0.2
    y, old = np.random.default_rng(0).uniform(1, 3, (2, 2 * n**3))
    line = sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(n, n)).tolil()
    line[0, 0] = line[-1, -1] = -1  # nothing passes the walls
    eye = sparse.eye_array(n)
    laplacian = sum(
        sparse.kron(sparse.kron(a, b), c) for a, b, c in ((line, eye, eye), (eye, line, eye), (eye, eye, line))
    ).toarray() * n**2  # fmt: skip
    u, v = y[::2], y[1::2]
    expected = np.zeros((n**3, 2, n**3, 2))
    expected[:, 0, :, 0] = np.diag(2 * u * v - turing.B - 1) + turing.SLOW * laplacian
    expected[:, 0, :, 1] = np.diag(u * u)
    expected[:, 1, :, 0] = np.diag(turing.B - 2 * u * v)
    expected[:, 1, :, 1] = np.diag(-u * u) + turing.FAST * laplacian
    expected = np.eye(2 * n**3) - dt * expected.reshape(2 * n**3, 2 * n**3)
    residual = turing.implicit_euler(turing.brusselator(n))
    jac = sparsead.jacobian(residual, wrt="y", of="r")(y, old, dt, np.empty_like(y))
    assert_allclose(jac.toarray(), expected, rtol=1e-12, atol=1e-12)
    assert jac.nnz == np.count_nonzero(expected)


def test_turing_3d(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    shown = load("turing_3d").main(["--n", "8", "--steps", "10"])
    for growth in shown["growths"]:
        assert_allclose(growth.measured, growth.theory, rtol=1e-5)
    assert {growth.theory > 1 for growth in shown["growths"]} == {True, False}
    assert shown["imbalance"] < 1e-9
    assert np.all(shown["states"][-1] > 0)
    assert shown["stepper"].work.gmres > shown["stepper"].work.newton > 10
    assert is_picture(tmp_path / "turing_3d.png")
    assert "Jacobian(residual, 1024 x 1024, 7424 entries" in capsys.readouterr().out


def perturbed(channel, seed=0):
    """A state without symmetries, at rest at the walls."""
    state = load("shallow_water").jet(channel) + np.random.default_rng(seed).normal(0, 0.05, channel.size)
    channel.fields(state)[2][:, [0, -1]] = 0
    return state


def test_shallow_water_jacobian_is_that_of_differences():
    water = load("shallow_water")
    channel, dt = water.Channel(5, 4), 0.1
    new, old = perturbed(channel, 0), perturbed(channel, 1)
    residual = water.midpoint_rule(channel)

    def returned(new):
        r = np.empty(channel.size)
        residual(new, old, dt, r)
        return r

    jac = sparsead.jacobian(residual, wrt="new", of="r")(new, old, dt, np.empty(channel.size))
    assert_allclose(jac.toarray(), central_differences(returned, new), rtol=1e-7, atol=1e-8)
    cells = 5 * 4
    walls = 2 * cells + np.arange(25).reshape(5, 5)[:, [0, -1]].ravel()
    assert np.array_equal(jac[walls].toarray(), np.eye(channel.size)[walls])
    assert np.array_equal(jac.tocsc()[:, walls].toarray(), np.eye(channel.size)[:, walls])
    periodic = jac[:4, cells - 4 : cells]  # thickness in the first cells along the channel, by that in the last ones
    assert np.all(periodic.diagonal() != 0)


def test_shallow_water_scheme_conserves():
    channel = load("shallow_water").Channel(8, 6)
    state, rate = perturbed(channel), np.empty(channel.size)
    channel.tendency(state, rate)
    assert np.abs(rate).max() > 0.1
    assert abs(channel.mass(rate)) < 1e-15
    h = 1e-4
    slope = (channel.energy(state + h * rate) - channel.energy(state - h * rate)) / (2 * h)
    only_h = np.where(np.arange(rate.size) < 8 * 6, rate, 0)
    partly = (channel.energy(state + h * only_h) - channel.energy(state - h * only_h)) / (2 * h)
    assert abs(slope) < 1e-6 * abs(partly)


def test_shallow_water(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    shown = load("shallow_water").main(["--n", "6", "--steps", "8"])
    run = shown["run"]
    assert np.abs(run.mass).max() < 1e-14
    assert 0 < np.abs(run.energy).max() < 1e-6
    assert len(run.states) == 9
    assert 1 <= run.jacobians < 8
    first, second, third, *_ = shown["newton"]
    assert second < 0.1 * first
    assert third < second**2  # quadratic
    assert shown["newton"][-1] < 1e-12
    assert is_picture(tmp_path / "shallow_water.png")
    assert "Jacobian(residual, 96 x 96, 996 entries" in capsys.readouterr().out


def test_optimal_control_constraints_are_exact_for_cubic_motion(monkeypatch):
    control = load("optimal_control")
    monkeypatch.setattr(control, "FRICTION", 0.0)
    swing = control.Swing(6, 3.0)
    t = np.linspace(0, 3.0, 13)
    angle, velocity, force = t**3 / 20 - t / 7, 3 * t**2 / 20 - 1 / 7, 6 * t / 20
    x = np.concatenate([angle[::2], velocity[::2], force + np.sin(angle)])
    assert_allclose(swing.constraints(x)[:-4], 0, atol=1e-14)
    assert_allclose(swing.constraints(x)[-4:], [0, -1 / 7, angle[-1] - np.pi, velocity[-1]], atol=1e-14)
    x[-1] += 0.1
    assert np.abs(swing.constraints(x)[:-4]).max() > 1e-3


def test_optimal_control_derivatives_are_those_of_differences():
    swing, rng = load("optimal_control").Swing(4, 2.0), np.random.default_rng(0)
    x, v = rng.normal(size=swing.size), rng.normal(size=2 * 4 + 4)
    jacobian = sparsead.jacobian(swing.constraints)
    assert_allclose(jacobian(x).toarray(), central_differences(swing.constraints, x), rtol=1e-7, atol=1e-9)
    hessian = sparsead.hessian(lambda x, v: v @ swing.constraints(x), wrt="x")
    expected = central_differences(lambda x: v @ jacobian(x), x)
    assert_allclose(hessian(x, v).toarray(), expected, rtol=1e-7, atol=1e-9)


def test_optimal_control(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    shown = load("optimal_control").main(["--n", "10", "--grids", "2"])
    ours, theirs = shown["runs"][::2], shown["runs"][1::2]
    errors = [abs(run.cost - shown["reference"]) for run in ours]
    assert_allclose(shown["reference"], 1.06163580, rtol=1e-8)  # the same from grids of 20 and of 160 intervals
    assert 3.5 < np.log2(errors[0] / errors[1]) < 4.5
    for one, other in zip(ours, theirs, strict=True):
        assert max(one.violation, other.violation) < 1e-10
        assert_allclose(one.cost, other.cost, rtol=1e-9)
        assert one.iterations < other.iterations
    assert is_picture(tmp_path / "optimal_control.png")
    assert "Jacobian(constraints, 24 x 43, 134 entries" in capsys.readouterr().out
