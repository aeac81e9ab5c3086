"""What the engines cost: derivatives against the function run by NumPy, in one process.

    python benchmarks/bench_engine.py [name ...]

CPU time of the process, medians; with OMP_NUM_THREADS=1 that of one thread. Prints a Markdown table: the tiled engine, and the
native one, which has its kernels compiled before the clock starts, if there is a compiler. Before a row is measured, the tiled
engine and the reference interpreter run the same derivative, at a size that the latter can bear; it ends here if they differ.
Gradients of published kernels are held against differences as well, and against JAX if that is installed, whose ratio is shown
then.
"""

import sys
import time
import tracemalloc
from functools import partial
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp

import problems
import published
import sparsead
from bench_loops import burgers
from measuring import cpu
from sparsead.engine import vm

TOLERANCE = 1e-10  # of the largest entry


def compare(what, make, f, args):
    """End the program if the tiled engine and the reference interpreter give different derivatives."""
    ours, theirs = (arrays(make(f, engine=engine)(*args)) for engine in ("vm", "reference"))
    for mine, right in zip(ours, theirs, strict=True):
        error, size = np.max(np.abs(mine - right)), np.max(np.abs(right))
        if not error <= TOLERANCE * size < np.inf:
            raise SystemExit(f"{what}: the engines differ by {error:.1e}, where the largest entry is {size:.1e}")


def arrays(result):
    """The arrays of a derivative, one after the other."""
    if isinstance(result, tuple):
        return [array for part in result for array in arrays(part)]
    return [result.toarray() if sp.issparse(result) else np.asarray(result)]


def ratio(function, make, repeats, unit=1e3, digits=1):
    """Milliseconds of the function, and of ``make(engine)`` for both engines, with their quotients."""
    calls = [make(engine) for engine in ("vm", "native")]
    for call in calls:
        call()
    primal, *ours = (cpu(call, repeats) for call in (function, *calls))
    return " | ".join([f"{primal * unit:.{digits}f}", *(f"{t * unit:.{digits}f} | {t / primal:.2f}" for t in ours)])


def brusselator():
    compare("Brusselator", partial(sparsead.jacobian, wrt="y", of="dy"), *problems.brusselator(16))
    f, args = problems.brusselator(512)
    row = ratio(lambda: f(*args), partial(assembled, f, args), 7)
    yield "Brusselator N=512, sparse Jacobian with out=", row, "<= 3.0", "<= 0.9"
    f, args = problems.brusselator(32)
    row = ratio(lambda: repeat(f, args, 200), partial(assembled, f, args, calls=200), 7, 5.0, 3)
    yield "Brusselator N=32, sparse Jacobian with out=", row, "", "<= 0.6"
    f, args = problems.brusselator(128)
    row = ratio(lambda: repeat(f, args, 50), partial(pulled_back, f, args, calls=50), 7, 20.0, 3)
    yield "Brusselator N=128, value and product with the transposed Jacobian", row, "", ""


def assembled(f, args, engine, calls=1):
    """A call that writes a Jacobian into the same memory again, `calls` times."""
    jac = sparsead.jacobian(f, wrt="y", of="dy", engine=engine)
    return partial(repeat, partial(jac, out=jac(*args)), args, calls)


def pulled_back(f, args, engine, calls):
    product, seed = sparsead.vjp(f, wrt="y", of="dy", engine=engine), np.ones_like(args[1])
    return partial(repeat, lambda *args: product(*args)[1](seed), args, calls)


def gradients(name, f, args, wrt, asked, native, repeats):
    def make(engine):
        derivative = sparsead.value_and_grad(f, wrt=wrt, engine=engine)
        return lambda: derivative(*args)

    yield name, ratio(lambda: f(*args), make, repeats), asked, native


def loops():
    compare("Burgers", sparsead.value_and_grad, partial(burgers, steps=50), [np.sin(np.linspace(0, np.pi, 10_000))])
    for n, steps, *asked in ((10_000, 1000, "<= 1.5", "<= 0.60"), (1_000_000, 100, "<= 0.65", "<= 0.40")):
        f, u = partial(burgers, steps=steps), np.sin(np.linspace(0, np.pi, n))
        yield from gradients(f"Burgers n={n}, {steps} steps", lambda u: f(u.copy()), (u,), 0, *asked, 3)  # noqa: B023


def heat():
    compare("heat", partial(sparsead.value_and_grad, wrt=(0, 1)), *problems.heat(100, 10))
    yield from gradients("heat 1024 x 1024, 50 steps", *problems.heat(1024, 50), (0, 1), "<= 0.65", "<= 0.35", 2)


def pointwise():
    compare("15 pointwise ops", sparsead.value_and_grad, *problems.pointwise(10**5))
    yield from gradients("15 pointwise ops, n=1e7", *problems.pointwise(10**7), 0, "<= 0.7", "<= 0.30", 3)


def norm_of(residual):
    """The square of the norm of a residual that is written in place."""

    def loss(u):
        r = np.empty_like(u)
        residual(u, r)
        return r @ r

    return loss


def triangles():
    """Finite elements: nodal values are gathered, and contributions of elements scattered."""
    few, args = problems.triangles(2000)
    compare("triangles", sparsead.value_and_grad, norm_of(few), args[:1])
    residual, (u, r) = problems.triangles(200_000)
    yield from gradients("200 000 triangles, norm of the residual", norm_of(residual), (u,), 0, "", "", 5)

    def make(engine):
        product, direction = sparsead.jvp(residual, wrt="u", of="r", engine=engine), np.cos(u)
        return lambda: product(u, r, direction)

    row = ratio(lambda: residual(u, r), make, 5)
    yield "the same, residual and its derivative along a direction", row, "", ""


def check_along(what, f, args, gradient):
    """End the program if a gradient is not that of central differences along a direction.

    Few elements move: the limiter of hdiff jumps where a slope changes its sign.
    """
    rng = np.random.default_rng(1)
    ways = [np.where(rng.random(x.shape) < 100 / x.size, 1e-6 * np.abs(x).max() * rng.normal(size=x.shape), 0) for x in args]
    ahead, behind = (f(*(x + sign * way for x, way in zip(args, ways, strict=True))) for sign in (1, -1))
    along, difference = sum(np.sum(g * way) for g, way in zip(gradient, ways, strict=True)), (ahead - behind) / 2
    if not abs(along - difference) <= 1e-4 * abs(along):
        raise SystemExit(f"{what}: {along:.6e} along a direction, where differences are {difference:.6e}")


def jax_ratio(name, size, args, ours, primal, tol):
    """The ratio of JAX as a text, nothing if it is not installed; the program ends if its results are not ours."""
    try:
        import jax
    except ImportError:
        return ""
    import published_jax

    derivative = jax.jit(jax.value_and_grad(getattr(published_jax, name)(*size), argnums=tuple(range(len(args)))))
    run = lambda: jax.block_until_ready(derivative(*args))
    for mine, theirs in zip(arrays(ours), arrays(run()), strict=True):
        if not np.max(np.abs(mine - theirs)) <= tol * np.max(np.abs(theirs)):
            raise SystemExit(f"{name} {size}: JAX differs by {np.max(np.abs(mine - theirs)):.1e}")
    return f" (JAX {cpu(run, 5) / primal:.2f})"


def kernels(name, asked, native="", sizes=(("S",), ("M",)), tol=TOLERANCE):
    for size in sizes:
        f, args = getattr(published, name)(*size)
        what, make = " ".join([name, *size]), partial(sparsead.value_and_grad, wrt=tuple(range(len(args))))
        compare(what, make, f, args)
        derivative = make(f)
        ours = derivative(*args)
        check_along(what, f, args, ours[1])
        peer = jax_ratio(name, size, args, ours, cpu(lambda: f(*args), 5), tol)  # noqa: B023
        row = ratio(lambda: f(*args), lambda engine: partial(make(f, engine=engine), *args), 5, digits=2)  # noqa: B023
        yield what + peer, row, asked, native


def repeat(function, args, calls):
    for _ in range(calls):
        function(*args)


def captured():
    """Rosenbrock's function with 16 captured numbers and 4 KB of captured arrays."""
    p = SimpleNamespace(a=100.0, b=1.0, **{f"p{k}": float(k) for k in range(14)})
    table, weights = np.ones((31, 16)), np.ones(10)

    def f(x):
        s = p.p0 + p.p1 + p.p2 + p.p3 + p.p4 + p.p5 + p.p6 + p.p7 + p.p8 + p.p9 + p.p10 + p.p11 + p.p12 + p.p13
        return np.sum(p.a * (x[1:] - x[:-1] ** 2) ** 2 + weights[1:] * (p.b - x[:-1]) ** 2) + s * table[0, 0]

    return f


def rosenbrock():
    plain = lambda x: np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    x, calls = np.linspace(0.5, 1.5, 10), 2000
    for name, f in (("", plain), ("; 16 numbers, 4 KB of arrays captured", captured())):
        compare("Rosenbrock", sparsead.grad, f, [x])
        make = lambda engine: partial(repeat, sparsead.grad(f, engine=engine), (x,), calls)  # noqa: B023
        row = ratio(partial(repeat, f, (x,), calls), make, 3, 1e3 / calls, 4)
        yield f"Rosenbrock n=10, prepared gradient, one call{name}", row, "<= 0.010 ms", ""


def recurrence():
    compare("recurrence", sparsead.value_and_grad, *problems.recurrence(1000))
    for n in (1_000, 10_000, 100_000):
        yield by_op(f"recurrence n={n}", *problems.recurrence(n), "<= 0.05 us")
    yield by_op("irregular, 1e5 operations", *problems.irregular(100_000), "")
    yield by_op("Burgers n=200, 1000 unrolled steps", *problems.burgers(200, 1000), "")


def by_op(name, f, args, asked):
    """A row of a function that is traced op by op: planning and replay, in microseconds for each op of the tape."""
    derivative = sparsead.value_and_grad(f, engine="vm").prepare(*args)
    tape = derivative.prepared.adjoint_tape
    start = time.process_time()
    vm.Program(tape)
    planning = (time.process_time() - start) / len(tape)
    derivative(*args)
    seconds = cpu(lambda: derivative(*args), 5)
    row = f"{cpu(lambda: f(*args), 3) * 1e3:.1f} | {seconds * 1e3:.2f} | {1e6 * seconds / len(tape):.3f} us an op | |"
    return f"{name}, {len(tape)} ops, planned in {1e6 * planning:.2f} us each", row, asked, ""


def lorenz(y, trips):
    """The Lorenz system by the classical Runge-Kutta method, number by number."""
    x, y, z = y
    dt = 0.01
    slope = lambda x, y, z: (10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z)
    for _ in sparsead.steps(trips):
        a = slope(x, y, z)
        b = slope(x + 0.5 * dt * a[0], y + 0.5 * dt * a[1], z + 0.5 * dt * a[2])
        c = slope(x + 0.5 * dt * b[0], y + 0.5 * dt * b[1], z + 0.5 * dt * b[2])
        d = slope(x + dt * c[0], y + dt * c[1], z + dt * c[2])
        x, y, z = (u + dt / 6.0 * (p + 2.0 * q + 2.0 * r + s) for u, p, q, r, s in zip((x, y, z), a, b, c, d, strict=True))
    return x * y + z


def scalar_loop():
    y, trips = np.array([1.0, 2.0, 3.0]), 100_000
    compare("Lorenz", sparsead.value_and_grad, partial(lorenz, trips=100), (y,))
    name = f"Lorenz, {trips} steps of Runge-Kutta on numbers"
    yield from gradients(name, partial(lorenz, trips=trips), (y,), 0, "", "<= 0.3 us a step", 3)


def memory():
    n = 1_000_000
    derivative = sparsead.value_and_grad(partial(burgers, steps=100))
    u = np.sin(np.linspace(0, np.pi, n))
    tracemalloc.start()
    derivative(u)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    yield "Burgers n=1e6, 100 steps: peak memory in arrays of n", f"| | {peak / (8 * n):.0f} | |", "<= 110", ""
    f, args = problems.brusselator(512)
    jac = sparsead.jacobian(f, wrt="y", of="dy")
    tracemalloc.start()
    result = jac(*args)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    csr = sum(array.nbytes for array in (result.data, result.indices, result.indptr))
    yield (
        "Brusselator N=512: peak memory of preparation and Jacobian above the result, in CSR arrays",
        f"| | {peak / csr - 1:.1f} | |",
        "<= 10",
        "",
    )


ROWS = {f.__name__: f for f in (brusselator, loops, heat, pointwise, triangles, rosenbrock, recurrence, scalar_loop, memory)}
ROWS |= {name: partial(kernels, name, "<= 0.8") for name in ("jacobi_2d", "hdiff")}
ROWS["vadv"] = partial(kernels, "vadv", "<= 0.8", tol=1e-5)  # pivots near zero: another order of operations shows
ROWS |= {name: partial(kernels, name, "<= 0.5", "<= 0.06") for name in ("seidel_2d", "adi")}
ROWS["gmm"] = partial(kernels, "gmm", "<= 1.0", "<= 0.5", [()])


if __name__ == "__main__":
    print(f"threads: {sparsead.get_num_threads()}\n")
    print("| work | function, ms | tiled, ms | ratio | native, ms | ratio | asked of the tiled | of the native |")
    print("|---|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or ROWS:
        for work, measured, *asked in ROWS[name]():
            print(f"| {work} | {measured} | {' | '.join(asked)} |", flush=True)
