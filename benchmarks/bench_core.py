"""What it costs to trace, transform and prepare: the figures of the core, each as the median of several repeats.

Run ``python benchmarks/bench_core.py``; prints a markdown table. Times are process CPU seconds on one thread.
"""

import statistics
import time

import numpy as np

import problems
import sparsead
from sparsead.derivatives.outputs import collect
from sparsead.tracing.record import bind, record
from sparsead.transform._adjoint import adjoint
from sparsead.transform._linear import copies_needed
from sparsead.transform._simplify import simplify


def cpu(work, repeats=5):
    """Median CPU seconds of ``work()``."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def traced(f, args, wrt):
    """The recording of one call."""
    return record(f, bind(f, args, {}), lambda path: path[0] == ("argument", wrt), collect("f", ("return",), False))


def tracing_per_array_op():
    def chain(x):
        for _ in range(2000):
            x = x * 1.0001 + 0.5
        return x.sum()

    x = np.ones(8)
    return cpu(lambda: traced(chain, (x,), "x")) / 4001 * 1e6


def scalar_code(n):
    """(ops, microseconds an op to trace, to simplify and to transform, bytes an op) of the recurrence."""

    def f(x):
        for i in range(1, n):
            x[i] = np.sin(x[i - 1]) * x[i]
        return x[n - 1]

    x = np.linspace(0.5, 1.5, n)
    recording = traced(f, (x,), "x")
    ops = len(recording.tape)
    trace = cpu(lambda: traced(f, (x,), "x"), 3)
    tape = simplify(recording.tape)
    transform = cpu(lambda: simplify(recording.tape), 3) + cpu(lambda: adjoint(tape, [0], [0]), 3)
    reverse, _ = adjoint(tape, [0], [0])
    return ops, trace / ops * 1e6, transform / ops * 1e6, recording.tape.nbytes / ops, len(copies_needed(reverse))


def prepared(f, args, wrt, of):
    """Seconds to trace, find the pattern and colour."""
    start = time.process_time()
    jac = sparsead.jacobian(f, wrt=wrt, of=of)
    jac.prepare(*args)
    report = jac.coloring, jac.pattern.nnz
    return time.process_time() - start, report


def main():
    print("| work | measured |\n|---|---|")
    print(f"| tracing, per array op | {tracing_per_array_op():.1f} us |", flush=True)
    for n in (10_000, 100_000):
        ops, trace, transform, size, copies = scalar_code(n)
        print(f"| recurrence n={n}: {ops} ops | trace {trace:.1f} us, simplify and adjoint {transform:.1f} us an op; "
              f"{size:.0f} bytes an op; {copies} copies in the reverse sweep |", flush=True)  # fmt: skip
    for n in (32, 512):
        f, args = problems.brusselator(n)
        seconds, (coloring, nnz) = prepared(f, args, "y", "dy")
        print(f"| Brusselator N={n}: prepare ({nnz} entries, {coloring.count} colours) | {seconds:.3f} s |", flush=True)


if __name__ == "__main__":
    main()
