"""Finding the pattern of a Jacobian on a tape that has been traced already; one thread.

    python benchmarks/bench_pattern.py [--repeats 7]

Prints a Markdown table of medians: milliseconds of `jacobian_pattern`, and the same per op of the tape and per entry of
the pattern. The losses have one row that is full; what is measured there is that the sets on the way to it do not grow
with the number of steps: the recurrence stores 10^4 and 10^5 scalars one by one, and has to take ten times as long, not
a hundred times.
"""

import argparse

import numpy as np

import problems
from measuring import median_ms
from sparsead.derivatives.prepared import Derivative
from sparsead.sparsity.pattern import jacobian_pattern, shaping_inputs


def cases():
    """Name, problem, and what is differentiated by what."""
    for n in (32, 200, 512):
        yield f"Brusselator {n} x {n} x 2", problems.brusselator(n), "y", "dy"
    yield "POLLU", problems.pollu(), "y", "dy"
    yield "200 000 triangles", problems.triangles(), "u", "r"
    yield "Burgers, n=10 000, 40 steps", problems.burgers(), "u0", "return"
    yield "15 pointwise ops, n=100 000", problems.pointwise(), "x", "return"
    yield "recurrence, n=10 000", problems.recurrence(10_000), "x", "return"
    yield "recurrence, n=100 000", problems.recurrence(100_000), "x", "return"
    yield "1 000 000 scalar ops", problems.irregular(), "p", "return"


def traced(problem, wrt, of):
    """Arguments of `jacobian_pattern` for a problem."""
    function, arguments = problem
    prepared = Derivative(function, wrt=wrt, of=of).prepare(*arguments).prepared
    return prepared.tape, prepared.active, range(prepared.outputs.n_targets)


def measure(problem, wrt, of, repeats):
    """Cells of one row of the table."""
    tape, inputs, outputs = traced(problem, wrt, of)
    assert not shaping_inputs(tape, inputs)  # index arrays are constants of these tapes
    ms, pattern = median_ms(lambda: jacobian_pattern(tape, inputs, outputs), repeats)
    assert not pattern.assumed_dense
    entries, columns = len(pattern.indices), sum(tape.type(tape.inputs[i]).size for i in inputs)
    assert np.all(np.diff(pattern.indptr) >= 0) and pattern.indices.max() < columns
    sizes = [columns, len(pattern.indptr) - 1, entries, len(tape)]
    return [*map(str, sizes), f"{ms:.2f}", f"{1e3 * ms / len(tape):.2f}", f"{1e6 * ms / entries:.0f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="calls per median")
    repeats = parser.parse_args().repeats
    print("| problem | columns | rows | entries | ops | ms | us/op | ns/entry |")
    print("|---|---|---|---|---|---|---|---|")
    for name, problem, wrt, of in cases():
        print(f"| {name} | {' | '.join(measure(problem, wrt, of, repeats))} |", flush=True)


if __name__ == "__main__":
    main()
