"""How much memory there is for a call: what is read off the system, and what becomes of a call that needs more."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import sparsead
from sparsead.engine import room
from sparsead.tape.spec import GuardFailed

MB = 10**6
SYSTEM = "MemTotal:  9000 kB\nMemFree: 10 kB\nMemAvailable:    2000 kB\nSwapFree: 100 kB\nHugePages_Total:  0\n"


def system(tmp_path, files):
    """The root of a system with these files."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def left(tmp_path, files):
    return [amount for amount, _ in room.known(system(tmp_path, files))]


def test_the_system_tells_what_is_available(tmp_path):
    assert left(tmp_path, {"proc/meminfo": SYSTEM}) == [2100 * 1024]


def test_nothing_is_known_where_nothing_is_told(tmp_path):
    assert left(tmp_path, {}) == []
    room.require(2**60, "it", tmp_path)


GROUP = "sys/fs/cgroup/a/b/"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({GROUP + "memory.max": "max\n", GROUP + "memory.current": "5\n"}, []),
        ({GROUP + "memory.max": "5000000\n"}, []),
        ({GROUP + "memory.max": "5000000\n", GROUP + "memory.current": "1000000\n"}, [4000000 + 102400]),
        (
            {
                GROUP + "memory.max": "5000000\n",
                GROUP + "memory.current": "1000000\n",
                GROUP + "memory.stat": "anon 7\nfile 600\nactive_file 200\ninactive_file 100\nslab_reclaimable 3\n",
                GROUP + "memory.swap.max": "1000\n",
                GROUP + "memory.swap.current": "400\n",
            },
            [4000000 + 303 + 600],
        ),
        (
            {
                GROUP + "memory.max": "5000000\n",
                GROUP + "memory.current": "1000000\n",
                "sys/fs/cgroup/a/memory.max": "900000\n",
                "sys/fs/cgroup/a/memory.current": "850000\n",
            },
            [4000000 + 102400, 50000 + 102400],
        ),
        ({"sys/fs/cgroup/memory.max": "8\n", "sys/fs/cgroup/memory.current": "9\n"}, [102400 - 1]),
    ],
    ids=["no limit", "half told", "a limit", "files and swap", "a group around it", "in a namespace"],
)
def test_control_groups(tmp_path, files, expected):
    assert left(tmp_path, {"proc/meminfo": SYSTEM, "proc/self/cgroup": "0::/a/b\n", **files}) == [2100 * 1024, *expected]


def test_control_groups_of_the_first_version(tmp_path):
    top = "sys/fs/cgroup/memory/"
    files = {
        "proc/self/cgroup": "11:cpu,cpuacct:/a\n4:memory:/a\n0::/\n",
        top + "memory.limit_in_bytes": "9223372036854771712\n",
        top + "memory.usage_in_bytes": "70000\n",
        top + "a/memory.limit_in_bytes": "60000\n",
        top + "a/memory.usage_in_bytes": "50000\n",
        top + "a/memory.stat": "active_file 1\ninactive_file 1\ntotal_active_file 20\ntotal_inactive_file 30\n",
    }
    assert left(tmp_path, files) == [10050]


def test_the_least_limit_is_named(tmp_path):
    group = {GROUP + "memory.max": "1000000\n", GROUP + "memory.current": "400000\n"}
    root = system(tmp_path, {"proc/meminfo": "MemAvailable: 2000000 kB\n", "proc/self/cgroup": "0::/a/b\n", **group})
    with pytest.raises(MemoryError, match=r"^it needs 123 MB, available are 600 kB \(limit of the control group\)$"):
        room.require(123 * MB, "it", root)
    room.require(room.WORTH_ASKING - 1, "it", root)  # too little to be worth the question


def test_this_system_can_be_asked():
    assert all(amount > 0 and name for amount, name in room.known())
    with pytest.raises(MemoryError):
        room.require(2**63, "it") if room.known() else np.empty(2**62)


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (123456, "123 kB"), (999_600, "1 MB"), (2**44, "17.6 TB")],
)
def test_amounts_have_three_digits(nbytes, text):
    assert room.amount(nbytes) == text


# ---- calls -----------------------------------------------------------------------------------------------------------

N = 500_000


@pytest.fixture
def little(monkeypatch):
    """Let the system have a megabyte left, or more if told so."""
    known = [(MB, "memory of a test")]
    monkeypatch.setattr(room, "WORTH_ASKING", MB)
    monkeypatch.setattr(room, "known", lambda root="/": known)
    return known


FACES = {
    "grad": (lambda f, x: sparsead.grad(f)(x), "grad"),
    "value_and_grad": (lambda f, x: sparsead.value_and_grad(f)(x), "value_and_grad"),
    "jvp": (lambda f, x: sparsead.jvp(f)(x, x), "jvp"),
    "vjp": (lambda f, x: sparsead.vjp(f)(x), "vjp"),
    "hvp": (lambda f, x: sparsead.hvp(f)(x, x), "hvp"),
    "linearize": (lambda f, x: sparsead.linearize(f)(x), "linearize"),
}


@pytest.mark.parametrize("face", FACES)
def test_a_call_that_needs_more_says_so_before_it_begins(face, little):
    begun = []

    def loss(x):
        for _ in sparsead.steps(9, on_step=lambda k: begun.append(k)):
            x = np.sin(x) + x[::-1]
        return x.sum()

    x = np.ones(N)
    call, kind = FACES[face]
    for _ in range(2):
        with pytest.raises(MemoryError, match=rf"^sparsead\.{kind} of loss needs .* MB, available are 1 MB \(memory"):
            call(loss, x)
        assert begun == []
    little[0] = (10**12, "memory of a test")
    call(loss, x)
    assert begun == list(range(9))


@pytest.mark.parametrize(("method", "needed"), [("direct", "8 MB"), ("column", "12 MB")])
def test_jacobians_need_memory_too(little, method, needed):
    def shifted(x):
        return np.sin(x) + x[::-1]

    jac, x = sparsead.jacobian(shifted, method=method), np.ones(N)
    with pytest.raises(MemoryError, match=rf"^sparsead\.jacobian of shifted needs {needed}, available are 1 MB"):
        jac(x)


def test_small_calls_are_not_asked_for(little):
    little[0] = (0, "memory of a test")
    assert sparsead.grad(lambda x: x @ x)(np.ones(3))[0] == 2.0


LIMITED = """
import resource, numpy as np, sparsead
def loss(x):
    return (np.sin(x[::-1]) * np.cumsum(x)).sum()
slope, x = sparsead.grad(loss), np.ones(20_000_000)
slope(x)
slope.release()
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 100_000_000, resource.RLIM_INFINITY))
{known}
try:
    slope(x)
except MemoryError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(slope(x).shape)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux keeps this limit")
@pytest.mark.parametrize("known", [True, False], ids=["known", "found out"])
def test_a_limit_of_the_address_space(known):
    hide = "" if known else "sparsead.engine.room.known = lambda root='/': []"
    done = subprocess.run([sys.executable, "-P", "-c", LIMITED.format(known=hide)], capture_output=True, text=True)
    said, shape = done.stdout.splitlines()
    assert said.startswith("sparsead.grad of loss needs ") and shape == "(20000000,)"
    assert said.endswith("(limit of the address space)" if known else ", which the system does not give")


# ---- workspaces after calls that failed ------------------------------------------------------------------------------


def failing(error):
    """A function with wide workspaces that raises `error` in the middle of a sweep, when it is told to."""
    told = [False]

    def helper(x):
        if told[0]:
            raise error
        return 2 * x

    middle = sparsead.black_box(helper, jac=lambda x: 2.0)

    def f(x):
        y = np.cumsum(np.sin(x))
        return (y * middle(y[-1]) * x[::-1]).sum()

    return f, told


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("its own"), MemoryError("its own"), SystemExit(1)], ids=repr)
def test_a_workspace_is_built_anew_after_an_interrupt(error):
    """And the caller sees the error itself, once, with results right before and after."""
    f, told = failing(error)
    x = np.linspace(0, 1, 200_000)
    slope = sparsead.grad(f)
    expected = slope(x)
    tracemalloc.start()
    try:
        for _ in range(3):
            slope.release()
            before = tracemalloc.get_traced_memory()[0]
            assert np.array_equal(slope(x), expected)
            assert tracemalloc.get_traced_memory()[0] - before > x.nbytes
            told[0] = True
            with pytest.raises(type(error)) as seen:
                slope(x)
            assert seen.value is error
            told[0] = False
            del seen
            error.__traceback__ = None  # its frames hold the sweep's memory
            assert tracemalloc.get_traced_memory()[0] - before < x.nbytes
            assert np.array_equal(slope(x), expected)
    finally:
        tracemalloc.stop()


def test_a_workspace_outlives_a_failed_guard():
    """Calls that go from path to path take no memory anew."""
    f = lambda x: (np.cumsum(np.sin(x)) * x[::-1]).sum() if x[0] > 0 else np.cumsum(x * x).sum()
    x = np.linspace(1, 2, 200_000)
    slope = sparsead.grad(f)
    expected = [slope(x), slope(-x)]
    slope(x)
    (first, second) = slope._state.known
    for prepared, other in ((first, second), (second, first)):
        with pytest.raises(GuardFailed):
            next(iter(prepared.programs.values())).run([*other.own_inputs(), np.ones(())])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(4):
            found = slope(x), slope(-x)
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
            del found
            assert tracemalloc.get_traced_memory()[0] - before < x.nbytes / 10
    finally:
        tracemalloc.stop()
