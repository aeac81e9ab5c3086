"""Bundle adjustment: cameras and points in space from what the cameras saw, by SciPy's `least_squares`.

Each camera has nine unknowns, a rotation vector, a translation, a focal length and two coefficients of radial distortion, and
each point three. An observation depends on one camera and one point only: a row of the Jacobian has twelve entries, however
many unknowns there are. All is made up here: cameras on a ring look at a cloud of points, observations have noise of half
a pixel, and the start is wrong by some percent.

The residuals are written for all observations at once: they gather cameras and points by index arrays, rotate by Rodrigues'
formula, and write in place. `sparsead.jacobian` takes the function as it is. The same solver then runs with SciPy's own
two-point differences on the same pattern. The cost at the end must be what the noise makes it, and points must be where
they are, once the seven degrees of freedom that no picture shows (place, orientation and size of the whole) are taken out.

Reference: B. Triggs, P. McLauchlan, R. Hartley and A. Fitzgibbon, "Bundle adjustment - a modern synthesis", Vision Algorithms:
Theory and Practice, LNCS 1883, 2000; the camera is that of S. Agarwal, N. Snavely, S. Seitz and R. Szeliski, "Bundle adjustment
in the large", ECCV 2010.
"""

import argparse
import os
from dataclasses import dataclass
from time import perf_counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # arrays are small here

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

import sparsead

OURS, THEIRS = "sparsead", "differences"
NOISE = 0.5  # pixels


@dataclass
class Scene:
    """True parameters, and observations: observation i is of point ``point[i]`` by camera ``camera[i]``, at ``seen[i]``."""

    cameras: np.ndarray
    points: np.ndarray
    camera: np.ndarray
    point: np.ndarray
    seen: np.ndarray

    @property
    def truth(self):
        return np.concatenate([self.cameras.ravel(), self.points.ravel()])


def rotate(vectors, rotations, out):
    """Write vectors turned by rotation vectors into ``out``, all of shape (n, 3), by Rodrigues' formula."""
    angle = np.sqrt(np.sum(rotations * rotations, axis=1))[:, None]
    axis = rotations / angle
    dot = np.sum(axis * vectors, axis=1)[:, None]
    np.multiply(np.cos(angle), vectors, out=out)
    out += np.sin(angle) * np.cross(axis, vectors)
    out += (1 - np.cos(angle)) * dot * axis


def project(points, cameras, out):
    """Write the pixels, shape (n, 2), where cameras, shape (n, 9), see points, shape (n, 3), into ``out``."""
    local = np.empty_like(points)
    rotate(points, cameras[:, :3], local)
    local += cameras[:, 3:6]
    np.divide(local[:, :2], -local[:, 2:], out=out)
    square = np.sum(out * out, axis=1)
    distortion = 1 + square * (cameras[:, 7] + square * cameras[:, 8])
    out *= (cameras[:, 6] * distortion)[:, None]


def misfit(scene):
    """The function ``residuals(x)`` of all unknowns: pixels between what is seen and what should be."""
    n_cameras, camera, point, seen = len(scene.cameras), scene.camera, scene.point, scene.seen

    def residuals(x):
        cameras = x[: 9 * n_cameras].reshape(-1, 9)
        points = x[9 * n_cameras :].reshape(-1, 3)
        r = np.empty((len(camera), 2))
        project(points[point], cameras[camera], r)
        r -= seen
        return r.ravel()

    return residuals


def ring_of_cameras(n, rng):
    """Cameras at a distance of 6 that look at the origin, shape (n, 9)."""
    turn = 2 * np.pi * (np.arange(n) + 0.5) / n
    place = np.column_stack([6 * np.cos(turn), rng.uniform(-2, 2, n), 6 * np.sin(turn)])
    backwards = place / np.linalg.norm(place, axis=1)[:, None]
    right = np.cross([0.0, 1.0, 0.0], backwards)
    right /= np.linalg.norm(right, axis=1)[:, None]
    matrices = np.stack([right, np.cross(backwards, right), backwards], axis=1)
    cameras = np.empty((n, 9))
    cameras[:, :3] = Rotation.from_matrix(matrices).as_rotvec()
    cameras[:, 3:6] = -np.einsum("nij,nj->ni", matrices, place)
    cameras[:, 6] = rng.uniform(900, 1100, n)
    cameras[:, 7:] = rng.normal(0, 0.02, (n, 2))
    return cameras


def made_up(n_cameras, n_points, n_views, rng):
    """A `Scene` in which each of the points is seen by `n_views` of the cameras."""
    cameras, points = ring_of_cameras(n_cameras, rng), rng.normal(0, 0.7, (n_points, 3))
    camera = np.concatenate([np.sort(rng.permutation(n_cameras)[:n_views]) for _ in range(n_points)])
    point = np.repeat(np.arange(n_points), n_views)
    seen = np.empty((camera.size, 2))
    project(points[point], cameras[camera], seen)
    seen += rng.normal(0, NOISE, seen.shape)
    return Scene(cameras, points, camera, point, seen)


def wrong_start(scene, rng):
    """Parameters that are wrong by some percent."""
    cameras, points = scene.cameras.copy(), scene.points + rng.normal(0, 0.05, scene.points.shape)
    cameras[:, :6] += rng.normal(0, 0.02, (len(cameras), 6))
    cameras[:, 6] *= rng.uniform(0.98, 1.02, len(cameras))
    cameras[:, 7:] = 0
    return np.concatenate([cameras.ravel(), points.ravel()])


def distance(found, true):
    """Root of the mean square distance of points, shape (n, 3), at the best place, orientation and size (Umeyama 1991)."""
    found, true = found - found.mean(axis=0), true - true.mean(axis=0)
    left, sizes, right = np.linalg.svd(found.T @ true)
    aligned = (sizes.sum() / np.sum(found**2)) * found @ (left @ right)
    return float(np.sqrt(np.mean(np.sum((aligned - true) ** 2, axis=1))))


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args):
        self.calls += 1
        return self.function(*args)


@dataclass
class Run:
    """What `least_squares` did with one kind of Jacobian, and what it found."""

    source: str
    jacobians: int
    calls: int
    seconds: float
    cost: float
    distance: float
    x: np.ndarray


def adjust(source, scene, x0, **how):
    """Minimize by the trust region method, and say what it took."""
    residuals = Counted(misfit(scene))
    start = perf_counter()
    found = least_squares(residuals, x0, method="trf", x_scale="jac", ftol=1e-9, xtol=1e-12, gtol=1e-12, **how)
    seconds = perf_counter() - start
    if not found.success:
        raise RuntimeError(f"least_squares with {source}: {found.message}")
    away = distance(points_of(found.x, scene), scene.points)
    return Run(source, found.njev, residuals.calls, seconds, float(found.cost), away, found.x)


def points_of(x, scene):
    return x[scene.cameras.size :].reshape(-1, 3)


def expected_cost(scene):
    """Half the sum of squares that noise leaves when parameters are fitted to it; seven of them cannot be seen."""
    return 0.5 * NOISE**2 * (scene.seen.size - (scene.truth.size - 7))


def milliseconds(function, *args, repeat=20):
    """Of the quickest call."""
    times = []
    for _ in range(repeat):
        start = perf_counter()
        function(*args)
        times.append(perf_counter() - start)
    return 1e3 * min(times)


def print_table(runs, scene):
    print(f"\n{'Jacobian by':12} {'Jacobians':>10} {'residual calls':>15} {'total s':>8} {'cost':>10} {'points off by':>14}")
    for r in runs:
        print(f"{r.source:12} {r.jacobians:10d} {r.calls:15d} {r.seconds:8.2f} {r.cost:10.4f} {r.distance:14.5f}")
    print(f"{'noise alone':12} {'':36}{expected_cost(scene):9.1f}")


def draw_scene(axes, scene, x):
    """From above: true points and cameras, and the points that were found, as they come."""
    found, place = points_of(x, scene), np.empty((len(scene.cameras), 3))
    rotate(-scene.cameras[:, 3:6], -scene.cameras[:, :3], place)
    axes.scatter(scene.points[:, 0], scene.points[:, 2], s=26, facecolors="none", edgecolors="tab:blue", label="points, true")
    axes.scatter(found[:, 0], found[:, 2], s=5, color="tab:red", label="points, found")
    axes.scatter(place[:, 0], place[:, 2], marker="^", s=60, color="black", label="cameras")
    axes.set(title="The scene from above", aspect="equal", xlabel="x", ylabel="z")
    axes.legend(frameon=False, loc="upper right", fontsize="small")


def draw_residuals(axes, residuals, x0, x):
    edges = np.linspace(-60, 60, 61)
    axes.hist(np.clip(residuals(x0), -60, 60), edges, color="tab:orange", alpha=0.7, label="at the start")
    axes.hist(residuals(x), edges, color="tab:blue", label="at the end")
    axes.set(title="Residuals", xlabel="pixels", yscale="log")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def draw(path, scene, x0, run, jac):
    """Save the scene, the residuals and the pattern as one picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 6), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(5, 4, 4))
    draw_scene(axes[0], scene, run.x)
    draw_residuals(axes[1], misfit(scene), x0, run.x)
    jac.plot(ax=axes[2])
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


def parse(argv):
    parser = argparse.ArgumentParser(description="bundle adjustment with sparsead's sparse Jacobian")
    parser.add_argument("--cameras", type=int, default=10, help="cameras (10)")
    parser.add_argument("--points", type=int, default=250, help="points (250)")
    parser.add_argument("--views", type=int, default=4, help="cameras that see a point (4)")
    parser.add_argument("--output", default="bundle_adjustment.png", help="file for the picture")
    parser.add_argument("--no-plot", action="store_true", help="make no picture")
    args = parser.parse_args(argv)
    if not 2 <= args.views <= args.cameras:
        parser.error("--views has to be at least 2, and at most --cameras")
    if 2 * args.points * args.views < 9 * args.cameras + 3 * args.points:
        parser.error("there are more unknowns than residuals: take more --points or --views")
    return args


def main(argv=None):
    """Adjust with both Jacobians; return the runs, the cost that is expected, and the Jacobian."""
    args = parse(argv)
    if not args.no_plot:
        import matplotlib  # noqa: F401  (if it is missing, say so before the work and not after it)
    rng = np.random.default_rng(0)
    scene = made_up(args.cameras, args.points, args.views, rng)
    residuals, x0 = misfit(scene), wrong_start(scene, rng)
    start = perf_counter()
    jac = sparsead.jacobian(residuals).prepare(x0)
    prepared = perf_counter() - start
    print(f"{args.cameras} cameras, {args.points} points, {scene.camera.size} observations; {jac!r}")
    ours, plain = milliseconds(jac, x0), milliseconds(residuals, x0)
    print(f"Traced and prepared in {prepared:.2f} s; a Jacobian takes {ours:.2f} ms, the residuals alone {plain:.2f} ms")
    runs = [adjust(OURS, scene, x0, jac=lambda x: jac(x)), adjust(THEIRS, scene, x0, jac="2-point", jac_sparsity=jac.pattern)]
    print_table(runs, scene)
    if not args.no_plot:
        draw(args.output, scene, x0, runs[0], jac)
    return {"runs": runs, "expected": expected_cost(scene), "jacobian": jac}


if __name__ == "__main__":
    main()
