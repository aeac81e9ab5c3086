"""Clocks and reckonings that the benchmarks share."""

import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from sparsead.derivatives.inputs import is_under
from sparsead.derivatives.outputs import collect
from sparsead.derivatives.prepared import Derivative, Prepared
from sparsead.engine.reference import VIEWS, _lifetimes
from sparsead.tape.spec import BY_NAME
from sparsead.tracing.record import bind, name_of, record
from sparsead.transform._linear import linearize

CONST = BY_NAME["const"]


def cpu(work, repeats=5):
    """Median CPU seconds of ``work()`` in this process."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def in_turns(works, samples, calls=1, clock=time.process_time):
    """Median seconds of a call of each: a sample is so many calls, and the works take turns, so that all see the same machine."""
    times = [[] for _ in works]
    for _ in range(samples):
        for work, taken in zip(works, times, strict=True):
            start = clock()
            for _ in range(calls):
                work()
            taken.append((clock() - start) / calls)
    return [statistics.median(taken) for taken in times]


def median_ms(function, repeats):
    """Median time of a call in milliseconds, and what it returns; one call beforehand warms the caches."""
    result, times = function(), []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times), result


def fresh(script, repeats, timeout=None):
    """(median, smallest) of the numbers that `script` prints, each time in a new Python process with so many seconds at most."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", script]
    run = partial(subprocess.run, command, env=environment, capture_output=True, text=True, check=True, timeout=timeout)
    numbers = [float(run().stdout) for _ in range(repeats)]
    return statistics.median(numbers), min(numbers)


def traced(problem, wrt, of):
    """The recording of one call of a problem."""
    f, args = problem
    derivative = Derivative(f, wrt=wrt, of=of)
    is_active = lambda path: any(is_under(path, place) for place in derivative.wrt)
    return record(f, bind(f, args, {}), is_active, collect(name_of(f), derivative.of, False))


def prepared(problem, wrt, of):
    """The simplified tape of a problem, with what is made of it."""
    return Prepared(traced(problem, wrt, of), Derivative(problem[0], wrt=wrt, of=of).wrt)


def kept_bytes(tape, n_seeds):
    """Bytes that the forward half of a tape hands to its reverse half, inputs and constants not counted.

    Parameters
    ----------
    tape : Tape
        Inputs end with `n_seeds` seeds; what comes after the first of them is the reverse half.

    Notes
    -----
    Memory is counted, not values: a load that the interpreter runs as a view is memory of its base, and versions of one
    storage are one piece of memory, as stores run in place.
    """
    begin = tape.maker(tape.inputs[-n_seeds])
    ops = list(tape)
    assert linearize(tape) is tape, "stores of this tape copy whole arrays"
    last, copied = _lifetimes(tape, ops)
    memory, size = list(range(tape.n_values)), {}
    for op in ops[:begin]:
        if op.op.consumes or (op.op in VIEWS and op.results[0] not in copied):
            memory[op.results[0]] = memory[op.operands[0]]
        for v in op.results:
            if last[v] >= begin and op.op is not CONST and memory[v] not in tape.inputs:
                size[memory[v]] = tape.type(memory[v]).nbytes
    return sum(size.values())
