"""Reports: what was traced, what runs, what it took, why it is in pieces, and what memory is kept for."""

import doctest
import re

import numpy as np

import sparsead
from engines import both
from loop_tapes import LoopBuilder, row
from sparsead.derivatives import prepared
from sparsead.engine import vm
from sparsead.engine.report import WIDTH, report
from sparsead.schedule import fusion
from sparsead.schedule.form import Kernel, Member
from sparsead.schedule.lower import lowered
from sparsead.tape.spec import BY_NAME
from tapes import I8

N = 300_000


def kernels(program):
    """Those in groups as well."""
    found = [step.kernel if isinstance(step, Member) else step for step in program.steps]
    return [step for step in found if isinstance(step, Kernel)]


def reasons(b, *outputs):
    """Why the kernels of a tape are not one, kernel by kernel."""
    return [kernel.apart and kernel.apart.why for kernel in kernels(vm.Program(b.done(*outputs)))]


# ---- why kernels are apart -------------------------------------------------------------------------------------------


def test_another_space():
    b = LoopBuilder()
    x, y = b.input((N,)), b.input((3,))
    assert reasons(b, b.ew("sin", x), b.ew("cos", y)) == [None, fusion.OTHER_SPACE]


def test_reads_what_is_written_elsewhere():
    b = LoopBuilder()
    x = b.store(b.zeros((2 * N,)), lambda a: a[1:N], b.ew("sin", b.input((N - 1,))))
    assert fusion.READS_WRITTEN in reasons(b, b.ew("cos", b.load(x, lambda a: a[: N - 1])))


def test_writes_what_is_read_elsewhere():
    b = LoopBuilder()
    x, y = b.op("copy", (b.input((N,)),), (N,)), b.input((N - 1,))
    z = b.ew("sin", b.load(x, lambda a: a[:-1]))
    found = reasons(b, b.store(x, lambda a: a[1:], b.ew("cos", y)), z)
    assert fusion.WRITES_READ in found or fusion.OTHER_SPACE in found
    assert len(found) > 1


def test_larger_than_the_largest():
    b = LoopBuilder()
    x = b.input((N,))
    for _ in range(fusion.LARGEST + 50):
        x = b.ew("sin", x)
    assert reasons(b, x) == [None, fusion.TOO_LARGE]


def test_a_call_in_between():
    b = LoopBuilder()
    x = b.input((100,))
    y = b.ew("sin", x)
    z = b.op("einsum", (b.input((100, 100)), y), (100,), "ab,b->a")
    program = vm.Program(b.done(b.ew("multiply", y, z)))
    first, second = kernels(program)
    assert second.apart.why == fusion.BEHIND_WRITE and second.apart.kernel is first
    assert second.apart.step is program.steps[1]
    assert ", step 1: call of einsum)" in "\n".join(report("primal", program, True))


def test_the_barrier_of_a_guard():
    b = LoopBuilder()
    x, k = b.input((3, N)), b.input((), I8)
    y = b.ew("sin", b.load(x, lambda a: a[0]))
    b.tape.add(BY_NAME["guard"], (b.op("less", (b.load(y, lambda a: a[0, ...]), b.const(2.0)), (), dtype=bool),), (), True)
    z = b.ew("cos", b.load_at(x, row, [k], [(0, 3)]))
    both(b.done(y, z), [np.ones((3, N)), np.array(1)])
    assert fusion.BEHIND_GUARD in [kernel.apart and kernel.apart.why for kernel in kernels(vm.Program(b.tape))]


# ---- times -----------------------------------------------------------------------------------------------------------


def test_the_clock_is_taken_in_runs_1_2_4_8():
    b = LoopBuilder()
    x = b.input((N,))
    (y,) = b.loop(7, [x], [], lambda b, j, u: [b.ew("sin", u)])
    program, x = vm.Program(b.done(b.ew("exp", y))), np.linspace(0, 1, N)
    assert program.measured is None
    seen = []
    for _ in range(9):
        program.run([x])
        seen.append(program.measured.run)
    assert seen == [1, 2, 2, 4, 4, 4, 4, 8, 8]
    times = program.measured.times
    assert times.shape == (len(program.steps), 2) and np.all(times[:, 0] > 0)
    inner = [program.steps.index(step) for loop in program.steps if hasattr(loop, "trips") for step in loop.block.steps]
    assert inner and np.all(times[inner, 1] % 7 == 0) and np.sum(times[:, 1] == 1) == len(times) - len(inner)
    loop = next(k for k, step in enumerate(program.steps) if hasattr(step, "trips"))
    assert np.sum(times[inner, 0]) <= times[loop, 0]


# ---- the text --------------------------------------------------------------------------------------------------------


def step_of(text, kind):
    """The row of the table for the first step of a kind, and the lines below it."""
    rows = text.split("\n")
    begin = next(k for k, row in enumerate(rows) if re.match(rf" {{2,5}}\d+ +{kind}", row))
    end = next(k for k in range(begin + 1, len(rows)) if re.match(r" {2,5}\d+ |$", rows[k]))
    return "\n".join(rows[begin:end])


def test_bytes_lines_and_contents_of_a_kernel():
    b = LoopBuilder()
    x, y = b.input((N,)), b.input((N,))
    program = vm.Program(b.done(b.ew("sin", b.ew("add", x, y))))
    assert "not run yet" in "\n".join(report("primal", program))
    program.run([np.ones(N), np.ones(N)])
    text = step_of("\n".join(report("primal", program, True)), "kernel")
    assert "kernel of 300,000 points" in text and "7.2 MB" in text
    assert "add" in text and "sin" in text and "2 loads, 1 store" in text
    assert "on any thread" in text


def test_windows_that_overlap_count_once():
    b = LoopBuilder()
    x = b.input((N,))
    windows = [b.load(x, lambda a, k=k: a[k : N - 2 + k]) for k in range(3)]
    program = vm.Program(b.done(b.ew("add", b.ew("add", windows[0], windows[1]), windows[2])))
    assert "4.8 MB" in step_of("\n".join(report("primal", program, True)), "kernel")


def test_why_threads_may_not_share_a_kernel():
    b = LoopBuilder()
    x = b.input((600, 600))
    program = vm.Program(b.done(b.op("sum", (b.ew("sin", x),), (600,), (0,))))
    assert "on one thread: several points write to one place" in "\n".join(report("primal", program, True))
    b = LoopBuilder()
    x, y = b.input((N,)), b.zeros((3 * N,))
    y = b.accumulate(y, lambda a: a[1:N], b.ew("sin", b.load(x, lambda a: a[1:])))
    y = b.accumulate(y, lambda a: a[: N - 1], b.ew("cos", b.load(x, lambda a: a[1:])))
    orders = [(low.order, low.why) for low in map(lowered, kernels(vm.Program(b.done(y))))]
    assert ("alternating", "neighbours add to the same places") in orders


def simulate(u, a):
    new = np.empty_like(u)
    for k in sparsead.steps(100):
        new[1:-1] = u[1:-1] + 0.1 * np.sin(u[2:] - 2 * u[1:-1] + u[:-2])
        new[0], new[-1] = u[0], u[-1]
        u, new = new, u
    w = a @ u
    if w[0] > 1e9:
        w = w * 2
    return w @ u


def test_a_loop_its_log_a_call_and_a_guard():
    gradient = sparsead.grad(simulate, wrt="u")
    u, a = np.linspace(0, 1, 50), np.eye(50)
    assert "not run yet" in gradient.prepare(u, a).report(kernels=True)
    gradient(u, a)
    short, long = gradient.report(), gradient.report(kernels=True)
    assert "adjoint: " in short and len(short.split("\n")) <= 8
    assert "loop of 9" in long and "log of the loop at test_report.py:" in long and "guard: False" in long
    assert "call of einsum" in long and "w = a @ u" in long and "new[1:-1] = u[1:-1]" in long
    assert "inputs 20.4 kB" in long
    for text in (short, long):
        assert max(map(len, text.split("\n"))) <= WIDTH


def test_runs_of_numbers():
    def f(x):
        for i in range(1, len(x)):
            x[i] = np.sin(x[i - 1]) * x[i]
        return x[-1]

    gradient = sparsead.grad(f, engine="vm")
    gradient(np.linspace(0.5, 1, 100))
    assert "runs of numbers" in gradient.report() and "instructions on numbers" in gradient.report()
    long = gradient.report(kernels=True)
    assert "registers of runs of numbers" in long and "x[i] = np.sin(x[i - 1]) * x[i]" in long


def test_all_derivatives_have_reports():
    f, x = lambda x: np.sin(x[1:] * x[:-1]), np.linspace(0, 1, 20)
    value, pullback = (vjp := sparsead.vjp(f))(x)
    pullback(value)
    assert "  forward: " in vjp.report() and "  reverse: " in vjp.report()
    jacobian = sparsead.jacobian(f, method="column")
    assert "traces: 0" in jacobian.report(kernels=True)
    jacobian(x)
    assert "colours 0 to 1: " in jacobian.report() and "kernel of 19 points" in jacobian.report(kernels=True)
    jacobian = sparsead.jacobian(f, method="direct")
    jacobian(x)
    assert "  entries: " in jacobian.report()
    _, tangent_map = (linearize := sparsead.linearize(f))(x)
    tangent_map(x)
    assert "  tangent map: " in linearize.report()
    (hvp := sparsead.hvp(lambda x: np.sum(x**3)))(x, x)
    assert "  hvp: " in hvp.report()


def test_the_reference_engine_says_that_it_has_no_kernels():
    gradient = sparsead.grad(lambda x: np.sum(x**2), engine="reference")
    gradient(np.ones(3))
    assert "run by NumPy one by one" in gradient.report() and "run by NumPy one by one" in gradient.report(kernels=True)


def test_the_example_of_the_docstring():
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    for test in finder.find(prepared.Derivative.report, globs={}):
        runner.run(test)
    assert runner.summarize().attempted > 4 and runner.failures == 0
