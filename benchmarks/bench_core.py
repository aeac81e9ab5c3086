"""What it costs to trace, transform and prepare: the figures of the core beside what is asked of them.

    python benchmarks/bench_core.py [--only tracing scalar kept prepare first time import]

Prints a Markdown table. Times are medians of process CPU seconds, or, where it says so, of wall clock in new processes.
"""

import argparse
import itertools
import sys
from functools import partial

import numpy as np

import problems
import sparsead
from measuring import cpu, fresh, kept_bytes, prepared, traced
from sparsead.transform._adjoint import adjoint
from sparsead.transform._simplify import simplify
from sparsead.transform._tangent import tangent


def tracing():
    def chain(x):
        for _ in range(2000):
            x = x * 1.0001 + 0.5
        return x.sum()

    seconds = cpu(lambda: traced((chain, (np.ones(8),)), "x", "return"))
    yield "tracing, per array op", f"{seconds / 4001 * 1e6:.1f} us", "<= 10 us, aim 3"


def scalar():
    yield from scalar_code("recurrence n = 1e4", problems.recurrence(10_000), "x", "return", 2 * 9_999, 5)
    yield from scalar_code("recurrence n = 1e5", problems.recurrence(100_000), "x", "return", 2 * 99_999, 3)
    yield from scalar_code("POLLU", problems.pollu(), "y", "dy", 103, 201)
    yield from scalar_code("irregular code, 1e5 operations", problems.irregular(100_000), "p", "return", 1e5, 3)
    yield from scalar_code("irregular code, 1e6 operations", problems.irregular(1_000_000), "p", "return", 1e6, 3)


def scalar_code(name, problem, wrt, of, operations, repeats):
    """Rows of a scalar code; loads and stores come on top of its arithmetic `operations`."""
    made = prepared(problem, wrt, of)
    recording, tape, active, targets = made.recording, made.tape, made.active, range(made.outputs.n_targets)
    assert active
    ops = len(recording.tape)
    parts = {
        "trace": lambda: traced(problem, wrt, of),
        "simplify": lambda: simplify(recording.tape),
        "tangent": lambda: simplify(tangent(tape, active)),
        "adjoint": lambda: simplify(adjoint(tape, active, targets)[0]),
    }
    seconds = {part: cpu(work, repeats) for part, work in parts.items()}
    total = sum(seconds.values())
    split = ", ".join(f"{part} {s / ops * 1e6:.1f}" for part, s in seconds.items())
    yield (
        f"{name} ({ops} ops, {operations:.0f} of them arithmetic): {split} us an op",
        f"{total / ops * 1e6:.1f} us an op, {total / operations * 1e6:.1f} us an arithmetic one",
        "linear, <= 10 us per scalar op in all",
    )
    yield f"{name}: memory of the tape", f"{recording.tape.nbytes / ops:.0f} bytes an op", "<= 64 bytes"


def kept():
    n, few, many = 10_000, 10, 40
    arrays = {steps: reverse_bytes(problems.burgers(n, steps), "u0") / 8 / n for steps in (few, many)}
    slope = (arrays[many] - arrays[few]) / (many - few)
    yield "Burgers n = 1e4: kept for the reverse sweep, from 10 to 40 steps", f"{slope:.2f} arrays of n a step", "<= 1.3"
    for n in (10_000, 100_000):
        size = reverse_bytes(problems.recurrence(n), "x") / (n - 1)
        yield f"recurrence n = {n}: kept for the reverse sweep", f"{size:.1f} bytes a store", "O(1)"


def reverse_bytes(problem, wrt):
    return kept_bytes(prepared(problem, wrt, "return").adjoint_tape, 1)


def prepare():
    yield from preparation("Brusselator N = 512", lambda: problems.brusselator(512), "y", "dy")
    yield from preparation("200 000 triangles", problems.triangles, "u", "r")


def preparation(name, make, wrt, of, repeats=5):
    """The row of one problem, which is made anew for each repeat: a function that is known keeps its recording."""
    made = [make() for _ in range(repeats)]
    jacobians = [(sparsead.jacobian(f, wrt=wrt, of=of), args) for f, args in made]
    todo = iter(jacobians)

    def prepare_next():
        jac, args = next(todo)
        jac.prepare(*args)

    seconds, (jac, _) = cpu(prepare_next, repeats), jacobians[0]
    rows, columns = jac.pattern.shape
    size = f"{rows} x {columns}, {jac.pattern.nnz} entries, {jac.coloring.count} colours"
    yield f"{name} ({size}): trace, pattern, colouring", f"{seconds:.2f} s", "<= 3 s, aim 1 s"


FIRST_CALL = """
import time, scipy.sparse, sparsead, problems
f, args = problems.brusselator(32)
start = time.perf_counter()
sparsead.jacobian(f, wrt="y", of="dy")(*args)
print(1e3 * (time.perf_counter() - start))
"""


def first():
    median, smallest = fresh(FIRST_CALL, 11)
    yield "first call on the Brusselator N = 32, new processes", f"{median:.0f} ms (smallest {smallest:.0f})", "<= 50 ms"


def new_time():
    for n in (32, 128):
        f, (_, y, dy) = problems.driven(n)
        jac, times = sparsead.jacobian(f, wrt="y", of="dy"), itertools.count(2, 0.01)  # all behind the branch at 1.1
        for _ in range(2 * sparsead.config.max_recordings):
            jac(next(times), y, dy)
        coloring, t = jac.coloring, next(times)
        trace = 1e3 * cpu(partial(traced, (f, (t, y, dy)), "y", "dy"), 51)
        again = 1e3 * cpu(partial(jac, t, y, dy), 51)
        anew = 1e3 * cpu(lambda jac=jac, y=y, dy=dy, times=times: jac(next(times), y, dy), 51)
        yield (
            f"math.sin(t) in the Brusselator N = {n}: a trace {trace:.2f} ms, the same t {again:.2f} ms, a new t {anew:.2f} ms",
            f"{(anew - again) / trace:.1f} traces more, {anew / again:.1f} times the same t; "
            + ("colouring kept" if jac.coloring is coloring else "coloured anew"),
            "<= 2 traces more; pattern, colouring and plan kept",
        )


# Looking sparsead up lets an editable install rebuild itself before the clock starts.
IMPORT = """
import importlib.util, time, numpy, scipy.sparse
importlib.util.find_spec("sparsead")
start = time.perf_counter()
import sparsead
print(1e3 * (time.perf_counter() - start))
"""


def importing():
    median, smallest = fresh(IMPORT, 41)
    work = "import sparsead on top of numpy and scipy.sparse, new processes"
    if any("editable" in type(finder).__module__ for finder in sys.meta_path):
        work += "; editable install, whose finder takes most of it: install it regularly to measure this"
    yield work, f"{median:.0f} ms (smallest {smallest:.0f})", "<= 100 ms"


PARTS = {
    "tracing": tracing,
    "scalar": scalar,
    "kept": kept,
    "prepare": prepare,
    "first": first,
    "time": new_time,
    "import": importing,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts of the table")
    print("| work | measured | asked for |\n|---|---|---|")
    for part in parser.parse_args().only:
        for work, measured, asked in PARTS[part]():
            print(f"| {work} | {measured} | {asked} |", flush=True)


if __name__ == "__main__":
    main()
