"""What a second thread brings, and what it costs where its core is busy.

    python benchmarks/bench_threads.py [work ...]

with the native engine; ``SPARSEAD_ENGINE=vm`` in the environment asks for the tiled one.

Wall time. Calls on one thread and on two alternate, so that both see the same machine; the medians of their quotients are shown,
as a Markdown table. For the last columns another process keeps a core busy all the time: two threads are then asked to take at
most 1.5 times as long as one. The first row copies arrays: what the memory of the machine gives to one core, and to two. Figures
mean something on a machine with nothing else to do; its load is printed.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import time
from functools import partial

import numpy as np

import problems
import sparsead
from bench_loops import burgers

LEAST = 0.1  # seconds of a sample
SAMPLES = 11
ENGINE = os.environ.get("SPARSEAD_ENGINE", "native")
BUSY = "import os\nwhile os.getppid() == {}: pass"  # it ends with this process


def brusselator():
    f, args = problems.brusselator(512)

    def prepared():
        jacobian = sparsead.jacobian(partial(f), wrt="y", of="dy", engine=ENGINE)
        return partial(jacobian, *args, out=jacobian(*args))

    return "Brusselator N=512, sparse Jacobian with out=", prepared


def gradient(name, f, args, wrt=0):
    return name, lambda: partial(sparsead.value_and_grad(partial(f), wrt=wrt, engine=ENGINE), *args)


def copying(x):
    y = np.empty_like(x)
    y[:] = x
    return y


def copy():
    x = np.ones(10**7)
    return "two copies of 80 MB", lambda: partial(sparsead.jvp(partial(copying), engine=ENGINE), x, x)


def loop(n, steps):
    u = np.sin(np.linspace(0, np.pi, n))
    return gradient(f"Burgers n={n}, {steps} steps", partial(burgers, steps=steps), (u,))


WORKS = {
    "copy": copy,
    "brusselator": brusselator,
    "long": lambda: loop(1_000_000, 100),
    "short": lambda: loop(10_000, 1000),
    "heat": lambda: gradient("heat 1024 x 1024, 50 steps", *problems.heat(1024, 50), (0, 1)),
    "pointwise": lambda: gradient("15 pointwise ops, n=1e7", *problems.pointwise(10**7)),
}


def seconds(call, threads, times):
    """Of one call on so many threads, the mean of `times`."""
    sparsead.set_num_threads(threads)
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def pairs(calls):
    """For each sample the seconds on one thread and on two; each way has a program of its own, and so its memory."""
    times = [max(1, round(LEAST / seconds(call, k + 1, 1))) for k, call in enumerate(calls)]
    return [[seconds(call, k + 1, times[k]) for k, call in enumerate(calls)] for _ in range(SAMPLES)]


def medians(samples):
    """(milliseconds on one thread, on two, the quotient of the first by the second)."""
    one, two = (1e3 * statistics.median(column) for column in zip(*samples, strict=True))
    return one, two, statistics.median(a / b for a, b in samples)


@contextlib.contextmanager
def busy_core():
    """Another process at work all the time, on the last of the cores that this one may use."""
    process = subprocess.Popen([sys.executable, "-c", BUSY.format(os.getpid())])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def same(a, b):
    """Whether two results have the same bits."""
    if isinstance(a, tuple):
        return all(map(same, a, b))
    return np.array_equal(getattr(a, "data", a), getattr(b, "data", b))


def row(work):
    name, prepared = work()
    calls = [prepared() for _ in range(2)]
    results = []
    for k, call in enumerate(calls):
        sparsead.set_num_threads(k + 1)
        for _ in range(2):  # the second one in memory that is there
            result = call()
        results.append(result)
    if not same(*results):
        raise SystemExit(f"{name}: two threads give other bits than one")
    one, two, speed_up = medians(pairs(calls))
    with busy_core():
        alone, shared, quotient = medians(pairs(calls))
    return f"| {name} | {one:.1f} | {two:.1f} | {speed_up:.2f} | {alone:.1f} | {shared:.1f} | {1 / quotient:.2f} |"


if __name__ == "__main__":
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{cores} cores, load {os.getloadavg()[0]:.1f} before the start; medians of {SAMPLES} samples of {LEAST} s or more\n")
    print("| work | 1 thread, ms | 2 threads, ms | speed-up (>= 1.6) | a core busy: 1 | 2 threads | times as long (<= 1.5) |")
    print("|---|---|---|---|---|---|---|")
    for which in sys.argv[1:] or WORKS:
        print(row(WORKS[which]), flush=True)
