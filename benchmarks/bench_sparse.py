"""Sparse Jacobians and Hessians beside other tools, and beside code written by hand.

    python benchmarks/bench_sparse.py [name ...]

One thread; CPU time of the process, medians of samples that take turns; evaluations are prepared before the clock starts.
Every derivative is compared with those of its peers first, and the program ends if two differ. The peers are in peers_sparse.py;
one that is not installed is named as missing. Prints a Markdown table. Times are milliseconds unless it says otherwise; behind
that of a peer stands in brackets ours, by the native engine, divided by it.
"""

import os
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.optimize._numdiff import group_columns

import peers_sparse as peers
import problems
import sparsead
from bench_pattern import traced
from bench_threads import medians, pairs, same
from measuring import cpu, fresh, in_turns
from sparsead.sparsity.colouring import color_columns
from sparsead.sparsity.pattern import jacobian_pattern

TOLERANCE = 1e-10  # of the largest entry
ENGINES = ("native", "vm")
LIMIT = 60  # seconds for a peer


def check(what, mine, theirs):
    """End the program if two sparse arrays differ."""
    error, size = abs(mine - theirs).max(), abs(mine).max()
    if not error <= TOLERANCE * size < np.inf:
        raise SystemExit(f"{what}: differs by {error:.1e} from ours, where the largest entry is {size:.1e}")


def installed(tools, args):
    """By name what each of ``{name: make}`` prepares, and the names of those that are missing."""
    made, missing = {}, []
    for name, make in tools.items():
        try:
            made[name] = make(*args)
        except ImportError:
            missing.append(name)
    return made, missing


def told(times, ours, missing):
    """Peers in a cell of the table: milliseconds, and our own as a part of them."""
    cells = [f"{name} {1e3 * t:.3g} ({ours / t:.2g})" for name, t in times.items()]
    return "; ".join(cells + [f"{name}: not installed" for name in missing])


def evaluation(what, primal, make, args, tools, samples=9, calls=1):
    """The cells "measured" and "peers beside" of a prepared derivative, which is written into memory that stays."""
    derivatives = [make(engine=engine) for engine in ENGINES]
    results = [derivative(*args) for derivative in derivatives]
    ours = [partial(derivative, *args, out=out) for derivative, out in zip(derivatives, results, strict=True)]
    made, missing = installed(tools, args)
    works = [lambda: primal(*args), *ours, *(call for call, _ in made.values())]
    for result in results:
        result.data[:] = np.nan  # every entry is to be written again
    for work in works:
        work()
    for name, matrix in [(ENGINES[1], lambda: results[1]), *((name, matrix) for name, (_, matrix) in made.items())]:
        check(f"{what}, {name}", results[0], matrix())
    base, *times = in_turns(works, samples, calls)
    engines = [f"{name} {1e3 * t:.3g} = {t / base:.2f}" for name, t in zip(ENGINES, times, strict=False)]
    measured = f"{', '.join(engines)} of the function's {1e3 * base:.3g}"
    return measured, told(dict(zip(made, times[len(ENGINES) :], strict=True)), times[0], missing)


def brusselator():
    for n, calls, asked, also in (
        (512, 2, "native <= 0.9, aim 0.6", {}),
        (32, 100, "<= 1.0 of CasADi, <= 0.7 of asdex", {"asdex": peers.asdex_brusselator}),
    ):
        f, args = problems.brusselator(n)
        tools = {"CasADi SX": peers.casadi_brusselator, **also, "Numba by hand": peers.numba_brusselator}
        make = partial(sparsead.jacobian, f, wrt="y", of="dy")
        measured, beside = evaluation(f"Brusselator N={n}", f, make, args, tools, calls=calls)
        yield f"Brusselator N={n}: Jacobian with `out=`", measured, asked, beside


def rosenbrock():
    f, args = problems.rosenbrock()
    tools = {
        "JAX, colours known": peers.jax_rosenbrock,
        "CasADi SX": peers.casadi_rosenbrock,
        "asdex": peers.asdex_rosenbrock,
        "NumPy by hand": peers.numpy_rosenbrock,
    }
    measured, beside = evaluation("Rosenbrock", f, partial(sparsead.hessian, f), args, tools, calls=4)
    asked = "<= 0.5 of each tool, <= 2 of NumPy by hand"
    yield "chained Rosenbrock n=1e5: Hessian with `out=`", measured, asked, beside


def bundle():
    tools = {
        "CasADi map, kernel alone": peers.casadi_bundle,
        "the same, compiled": peers.casadi_bundle_compiled,
        "JAX vmap of jacfwd": peers.jax_bundle,
    }
    for what, problem in (("arrays of vectors", problems.bundle), ("by components", problems.bundle_by_components)):
        f, args = problem()
        what = f"bundle adjustment, 1000 observations, {what}"
        make = partial(sparsead.jacobian, f, wrt=("cameras", "points"), of="r")
        measured, beside = evaluation(what, f, make, args, tools, calls=20)
        yield f"{what}: Jacobian with `out=`", measured, "<= 1.5 of CasADi", beside


# ---- preparation -------------------------------------------------------------------------------------------------

PREPARED = {
    "Brusselator N=512": (partial(problems.brusselator, 512), partial(sparsead.jacobian, wrt="y", of="dy")),
    "200 000 triangles": (problems.triangles, partial(sparsead.jacobian, wrt="u", of="r")),
    "arrowhead n=1e5": (problems.arrowhead, sparsead.hessian),
}


def seconds_of_all():
    """CPU seconds of this process, and of those that it has waited for: a compiler."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def preparation_seconds(name, engine, evaluate=False):
    """Of a process's first preparation, and of an evaluation if asked for, with nothing in the cache of compiled kernels."""
    problem, derivative = PREPARED[name]
    f, args = problem()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPARSEAD_CACHE_DIR"] = folder
        start = seconds_of_all()
        prepared = derivative(f, engine=engine).prepare(*args)
        if evaluate:
            prepared(*args)
        return seconds_of_all() - start


def in_fresh(expression, repeats=3, **limits):
    return fresh(f"import bench_sparse, peers_sparse; print({expression})", repeats, **limits)[0]


def prepare():
    for name in ("Brusselator N=512", "200 000 triangles"):
        times = {engine: in_fresh(f"bench_sparse.preparation_seconds({name!r}, {engine!r})") for engine in ENGINES}
        measured = ", ".join(f"{engine} {t:.2f} s" for engine, t in times.items())
        beside = f"CasADi SX {limited('casadi', 'brusselator', 512)}" if "Brusselator" in name else ""
        yield f"{name}: all of prepare, in a new process", measured, "<= 1 s", beside


def check_arrowhead():
    """The Hessian by products along directions, and for few unknowns against the peers."""
    loss, (x,) = problems.arrowhead()
    direction = np.cos(np.arange(len(x)))
    mine, product = sparsead.hessian(loss)(x) @ direction, sparsead.hvp(loss)(x, direction)
    if not np.allclose(mine, product, rtol=TOLERANCE, atol=0):
        raise SystemExit("arrowhead: the Hessian and its products differ")
    loss, (x,) = problems.arrowhead(100)
    made, _ = installed({"CasADi": peers.casadi_arrowhead, "asdex": peers.asdex_arrowhead}, (x,))
    for name, (_, matrix) in made.items():
        check(f"arrowhead, {name}", sparsead.hessian(loss)(x), matrix())


def arrowhead():
    check_arrowhead()
    what = "arrowhead n=1e5"
    times = {engine: in_fresh(f"bench_sparse.preparation_seconds({what!r}, {engine!r}, True)") for engine in ENGINES}
    beside = [f"{name} {limited(tool, 'arrowhead', 100_000)}" for name, tool in (("CasADi SX", "casadi"), ("asdex", "asdex"))]
    measured = ", ".join(f"{engine} {t:.2f} s" for engine, t in times.items())
    yield f"{what}: Hessian with its preparation, in a new process", measured, "<= 1 s", "; ".join(beside)


def limited(tool, problem, size):
    """The seconds that a tool takes for a first derivative in a new process, in words."""
    try:
        return f"{in_fresh(f'peers_sparse.first_seconds({tool!r}, {problem!r}, {size})', 1, timeout=LIMIT):.1f} s"
    except subprocess.TimeoutExpired:
        return f"none in {LIMIT} s"
    except subprocess.CalledProcessError as error:
        if "ModuleNotFoundError" in error.stderr:
            return "not installed"
        raise


def pattern():
    """Of the pattern alone, and of the colouring alone."""
    n = 200
    problem = problems.brusselator(n)
    tape, inputs, outputs = traced(problem, "y", "dy")
    find = partial(jacobian_pattern, tape, inputs, outputs)
    indptr, indices, _ = find()
    mine = sp.csr_array((np.ones(len(indices)), indices, indptr), shape=(2 * n * n, 2 * n * n))
    colour = partial(color_columns, indptr, indices, mine.shape)
    tools = {"CasADi MX": peers.casadi_brusselator_pattern, "asdex": peers.asdex_brusselator_pattern}
    made, missing = installed(tools, problem[1])
    for name, (_, _, matrix) in made.items():
        check(name, mine, matrix())
    finding, colouring = in_turns([find, colour], 15)
    found = {name: cpu(theirs, 1) for name, (theirs, _, _) in made.items()}
    coloured = {f"{name}, {theirs()} colours": cpu(theirs, 3) for name, (_, theirs, _) in made.items()}
    groups = group_columns(mine)
    coloured[f"SciPy's group_columns, {groups.max() + 1} colours"] = cpu(partial(group_columns, mine), 3)
    yield "Brusselator n=80 000: pattern alone", f"{1e3 * finding:.2f}", "<= 10", told(found, finding, missing)
    measured = f"{1e3 * colouring:.2f}, {colour().count} colours"
    yield "Brusselator n=80 000: colouring alone", measured, "<= 2", told(coloured, colouring, missing)


# ---- memory and threads ------------------------------------------------------------------------------------------


def preparation_memory(engine):
    """The largest memory of a process during a preparation and a call, above what the result takes, in CSR arrays of it."""
    f, args = problems.brusselator(512)
    f(*args)
    status = lambda name: 1024 * int(Path("/proc/self/status").read_text().split(name)[1].split()[0])
    Path("/proc/self/clear_refs").write_text("5")  # the largest begins anew
    before = status("VmRSS:")
    result = sparsead.jacobian(f, wrt="y", of="dy", engine=engine)(*args)
    csr = sum(array.nbytes for array in (result.data, result.indices, result.indptr))
    return (status("VmHWM:") - before) / csr - 1


def memory():
    what = "Brusselator N=512: peak of preparation and Jacobian above the result, in CSR arrays"
    if not Path("/proc/self/clear_refs").exists():
        return [(what, "not on this system", "<= 10", "")]
    peaks = [f"{engine} {in_fresh(f'bench_sparse.preparation_memory({engine!r})', 1):.1f}" for engine in ENGINES]
    return [(what, ", ".join(peaks), "<= 10", "")]


def threads():
    """Wall time."""
    for name in ("Brusselator N=512", "200 000 triangles"):
        problem, derivative = PREPARED[name]
        f, args = problem()
        calls = []
        for _ in range(2):
            jacobian = derivative(partial(f), engine="native")
            calls.append(partial(jacobian, *args, out=jacobian(*args)))
        yield f"{name}: Jacobian on two threads, wall time", on_two(calls), "report", ""
    n = 512
    indptr, indices = peers.brusselator_structure(n)
    colour = partial(color_columns, indptr.astype(np.int32), indices.astype(np.int32), (2 * n * n, 2 * n * n))
    yield "Brusselator N=512: colouring on two threads, wall time", on_two([colour] * 2), "report", ""


def on_two(calls):
    results = []
    for k, call in enumerate(calls):
        sparsead.set_num_threads(k + 1)
        results.append(call())
    if not same(*(getattr(result, "colors", result) for result in results)):
        raise SystemExit("two threads give other bits than one")
    one, two, speed_up = medians(pairs(calls))
    sparsead.set_num_threads(1)
    return f"1 thread {one:.3g}, 2 threads {two:.3g}: {speed_up:.2f} times as fast"


ROWS = {f.__name__: f for f in (brusselator, prepare, pattern, rosenbrock, arrowhead, bundle, memory, threads)}


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that are started from here
    sparsead.set_num_threads(1)
    print(f"load {os.getloadavg()[0]:.1f} before the start\n")
    print("| work | measured | asked for | peers beside |")
    print("|---|---|---|---|")
    for name in sys.argv[1:] or ROWS:
        for cells in ROWS[name]():
            print(f"| {' | '.join(cells)} |", flush=True)
