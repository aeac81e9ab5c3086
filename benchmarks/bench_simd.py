"""Kernels on tiles in cache against NumPy's loops; one thread.

    python benchmarks/bench_simd.py [--repeats 25] [--isa avx512]

Prints a Markdown table of medians: nanoseconds per element of the kernel and of NumPy's inner loop, and how often the
first goes into the second. NumPy's loop is called by its address, and a call on one element is subtracted, so that the
cost of coming from Python is not in it; a fused kernel is set against the two loops it stands for. Selection, sum and dot
product, which are no ufunc's inner loop, are set against `np.where`, `np.sum` and `np.dot`, less a call on one element.
"""

import argparse
import ctypes
import statistics
import time

import numpy as np

from sparsead.engine import _simd as simd

TILES = (256, 1024)
ELEMENTS = 200_000  # in one measurement
FUSED = {
    "muladd": (np.multiply, np.add),
    "mulsub": (np.multiply, np.subtract),
    "negmuladd": (np.multiply, np.subtract),
    "add3": (np.add, np.add),
}
FUNCTIONS = {"sum": np.add.reduce, "dot": np.dot, "select": np.where}
LOOP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class UFunc(ctypes.Structure):
    """The head of NumPy's PyUFuncObject."""

    _fields_ = [
        ("object", ctypes.c_byte * object.__basicsize__),
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
    ]


def seconds(work, repeats, overhead=lambda: None):
    """Median seconds of ``work()`` less ``overhead()`` right after it; the first calls warm the caches."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        middle = time.perf_counter()
        overhead()
        times.append(2 * middle - start - time.perf_counter())
    return statistics.median(times[1:])


def operands_of(name, type, count, n):
    """Numbers in the domain of every function, and a result; 64-byte aligned, as registers are."""
    rng = np.random.default_rng(0)
    arrays = []
    for char in simd.types_of(name, type, count):
        array = np.zeros(n + 64, char)
        first = -array.ctypes.data % 64 // array.itemsize
        array = array[first : first + n]
        array[:] = rng.random(n) < 0.5 if char == "?" else rng.uniform(0.1, 0.9, n)
        arrays.append(array)
    return arrays


def inner_loop(ufunc, arrays):
    """NumPy's inner loop for these operands and results, as a function of the number of elements."""
    head = UFunc.from_address(id(ufunc))
    which = ufunc.types.index("->".join(["".join(a.dtype.char for a in arrays[: ufunc.nin]), arrays[-1].dtype.char]))
    loop, data = LOOP(head.functions[which]), head.data[which]
    pointers = (ctypes.c_void_p * len(arrays))(*[a.ctypes.data for a in arrays])
    steps = (ctypes.c_ssize_t * len(arrays))(*[a.itemsize for a in arrays])
    sizes = {n: (ctypes.c_ssize_t * 1)(n) for n in (1, len(arrays[0]))}
    return lambda n: loop(pointers, sizes[n], steps, data)


def numpy_work(name, operands, out):
    """What NumPy does for the kernel, as functions of the number of elements, to be called one after the other."""
    if name in FUNCTIONS:
        return [lambda n: FUNCTIONS[name](*[a[:n] for a in operands])]
    if name in FUSED:
        first, second = FUSED[name]
        a, b, c = operands
        return [inner_loop(first, [a, b, out]), inner_loop(second, [out, c, out])]
    ufunc = np.positive if name == "copy" else getattr(np, name)
    return [inner_loop(ufunc, [*operands, out])]


def measure(name, type, count, n, repeats):
    """Nanoseconds per element: ours, NumPy's."""
    *operands, out = operands_of(name, type, count, n)
    result = out[:1] if name in ("sum", "dot") else out
    calls = range(ELEMENTS // n)
    ours = seconds(lambda: simd.call(name.encode(), *operands, result, type=type, repeats=len(calls)), repeats)
    theirs = 0.0
    for work in numpy_work(name, operands, out):
        whole, empty = (lambda m=m, work=work: [work(m) for _ in calls] for m in (n, 1))
        theirs += seconds(whole, repeats, empty)
    return 1e9 * ours / len(calls) / n, 1e9 * theirs / len(calls) / n


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=25, help="measurements per median")
    parser.add_argument("--isa", default=simd.isa(), choices=simd.isas())
    parser.add_argument("--only", nargs="*", help="names of kernels")
    arguments = parser.parse_args()
    simd.choose_isa(arguments.isa)
    print(f"{simd.isa()}, NumPy {np.__version__}; ns per element\n")
    print("| kernel | type |" + "".join(f" ours, {n} | NumPy, {n} | ratio |" for n in TILES))
    print("|---|---|" + "---|---|---|" * len(TILES))
    for name, type, count in simd.kernels():
        if (arguments.only and name not in arguments.only) or (name, type) == ("copy", "?"):  # NumPy has no such loop
            continue
        cells = [measure(name, type, count, n, arguments.repeats) for n in TILES]
        print(f"| {name} | {type} |" + "".join(f" {a:.2f} | {b:.2f} | {b / a:.1f} |" for a, b in cells), flush=True)


if __name__ == "__main__":
    main()
