"""Building: compilers of all kinds, the cache on disk, and when kernels are compiled. What they compute is tested elsewhere."""

import contextlib
import errno
import itertools
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
import weakref

import numpy as np
import pytest

import sparsead
from engines import COMPILER, needs_compiler
from sparsead import config, decisions
from sparsead.derivatives import prepared
from sparsead.engine import native, program
from sparsead.engine.native import background, building, cache, library
from sparsead.engine.native import compiler as compilers
from sparsead.engine.report import report
from tapes import Builder

ANSWER = 'case "$*" in *--version*) echo "fake 1.0"; exit 0;; *-dM*) exit 0;; esac\n'
TEXT = "int answer(void) { return %d; }\n"
X = np.linspace(0.1, 1, 1000)

COMMAND = COMPILER and shlex.join([shutil.which(COMPILER.command[0]), *COMPILER.command[1:]])


def loss(x):
    for k in range(2):
        x[1:-1] = np.sin(x[2:]) + x[:-2] * x[1:-1]
    return np.sum(x * x)


def other_loss(x):
    return np.sum(np.sqrt(x) * x[::-1])


EXPECTED = sparsead.grad(loss, engine="vm")(X)


@pytest.fixture(autouse=True)
def new_process(tmp_path, monkeypatch):
    """As in a process that has built nothing yet, with folders of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("SPARSEAD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SPARSEAD_CFLAGS", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(library, "_loaded", {})
    monkeypatch.setattr(library, "_failed", {})
    monkeypatch.setattr(decisions, "_warned", set())
    monkeypatch.setattr(cache, "_private", [])
    monkeypatch.setattr(prepared, "_shared", {})
    compilers._found.cache_clear()
    yield
    assert background.wait(60)
    compilers._found.cache_clear()


def forgotten():
    """Nothing is loaded any more, as in another process."""
    library._loaded.clear()
    library._failed.clear()


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """``fake(script)`` is the compiler from now on; it counts its calls in the file `calls`."""

    def become(script):
        path = tmp_path / "fake-cc"
        path.write_text(f"#!/bin/sh\n{ANSWER}echo x >> {tmp_path / 'calls'}\n{textwrap.dedent(script)}\n")
        path.chmod(0o755)
        monkeypatch.setenv("CC", str(path))
        compilers._found.cache_clear()
        return path

    return become


def calls(tmp_path):
    file = tmp_path / "calls"
    return len(file.read_text().split()) if file.exists() else 0


def native_grad(f=loss):
    return sparsead.grad(f, engine="native")


def answer(number=42):
    """What the function of a text gives."""
    import ctypes

    address = library.functions(TEXT % number, ["answer"])["answer"]
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()


def files(tmp_path, folder="cache"):
    return sorted(name for name in os.listdir(tmp_path / folder) if not name.startswith("lock-"))


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def eventually(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


# ---- compilers ---------------------------------------------------------------------------------------------------------


def assert_tiled(gradient, says):
    """The tiled engine has done the work, one warning was given, and the report has what the compiler said."""
    with pytest.warns(RuntimeWarning, match="kernels are not compiled") as given:
        results = gradient(X)
    assert len(given) == 1
    np.testing.assert_array_equal(results, EXPECTED)
    assert "not compiled: " in gradient.report() and says in gradient.report()


def test_no_compiler(monkeypatch, tmp_path):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_tiled(native_grad(), "cc: not found")
    again = native_grad(other_loss)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again(X)
    assert "no compiler for C answers" in again.report()


@pytest.mark.parametrize("named", ["/no/such/compiler -m64", 'cc "unfinished', "false", " "])
def test_compilers_that_do_not_answer_are_passed_over(named, monkeypatch):
    monkeypatch.setenv("CC", named)
    if COMPILER is None:
        with pytest.raises(compilers.BuildError, match="no compiler"):
            compilers.compiler()
    else:
        assert answer() == 42


def test_a_compiler_that_does_not_say_what_it_is_in_time(monkeypatch, tmp_path):
    monkeypatch.setattr(compilers, "ANSWER", 0.2)
    path = tmp_path / "sleeper"
    path.write_text(f"#!/bin/sh\nexec {shutil.which('sleep')} 60\n")
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(compilers.BuildError, match=r"sleeper did not end within 0\.2 seconds"):
        compilers.compiler()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo no licence; exit 7", "failed with status 7"),
        ("kill -SEGV $$", "died of signal 11"),
        ("exit 0", "wrote no whole shared object"),
        ("echo garbage > kernels.so; echo garbage is out", "garbage is out"),
        ("printf '\\177ELF\\002\\001\\001' > kernels.so; head -c 40 /dev/zero >> kernels.so", "wrote no whole shared object"),
        ("mkdir kernels.so", "wrote no whole shared object"),
    ],
    ids=["message", "crash", "nothing", "garbage", "headless", "folder"],
)
def test_a_compiler_that_fails(script, says, fake, tmp_path):
    fake(script)
    assert_tiled(native_grad(), says)
    assert not (tmp_path / "cache").exists() or files(tmp_path) == []
    assert files(tmp_path, "tmp") == []


@needs_compiler
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_compiler_that_writes_a_part(part, fake):
    fake(f'''
    {COMMAND} "$@" || exit 1
    head -c $(python3 -c "import os; print(int({part} * os.path.getsize('kernels.so')))") kernels.so > part
    mv part kernels.so
    ''')
    assert_tiled(native_grad(), "wrote no whole shared object")


@needs_compiler
def test_parts_of_shared_objects_are_not_whole():
    content = COMPILER.build(TEXT % 1)
    assert compilers.is_whole(content)
    assert not any(compilers.is_whole(content[:size]) for size in range(len(content)))
    assert not compilers.is_whole(b"") and not compilers.is_whole(b"#!/bin/sh\n" + bytes(9000))


@needs_compiler
def test_functions_that_are_not_there(fake):
    fake(f"echo 'int x;' > kernels.c; exec {COMMAND} \"$@\"")
    assert_tiled(native_grad(), "wrote something else")


def test_a_compiler_that_hangs(fake, monkeypatch, tmp_path):
    monkeypatch.setattr(config, "build_seconds", 0.5)
    fake(f"sleep 60 & echo $! > {tmp_path / 'pid'}; wait")
    begin = time.monotonic()
    assert_tiled(native_grad(), "did not end within 0.5 seconds")
    assert time.monotonic() - begin < 20
    pid = int((tmp_path / "pid").read_text())
    assert eventually(lambda: not is_alive(pid))  # what it had started has ended as well
    assert files(tmp_path, "tmp") == []


def test_what_failed_is_not_tried_again(fake, tmp_path):
    fake("exit 1")
    with pytest.warns(RuntimeWarning, match="kernels are not compiled"):
        native_grad()(X)
    prepared._shared.clear()
    again = native_grad()
    again(X)  # where warnings are errors
    assert calls(tmp_path) == 1 and "failed with status 1" in again.report()


@needs_compiler
@pytest.mark.parametrize("refused", ["-march=native", "native"])
def test_a_compiler_that_knows_no_native(refused, monkeypatch, tmp_path):
    path = tmp_path / "old-cc"
    path.write_text(f'#!/bin/sh\ncase "$*" in *{refused}*) echo unknown; exit 1;; esac\nexec {COMMAND} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    assert compilers.compiler().command == (str(path),)
    assert refused not in " ".join(compilers.compiler().flags())
    assert answer() == 42


@needs_compiler
def test_options_of_the_user(monkeypatch, tmp_path):
    assert answer() == 42
    monkeypatch.setenv("SPARSEAD_CFLAGS", "-O0 -DNOTE='two words'")
    assert compilers.compiler().flags()[-2:] == ("-O0", "-DNOTE=two words")
    assert answer() == 42
    assert len(files(tmp_path)) == 2  # built again
    monkeypatch.setenv("SPARSEAD_CFLAGS", "-fno-such-option")
    with pytest.raises(compilers.BuildError, match="fno-such-option"):
        answer()


def test_flags_keep_to_ieee_unless_told():
    flags = compilers.Compiler(("cc",), "cc 1", ("-march=native",), "")
    assert "-ffp-contract=off" in flags.flags() and not set(compilers.FAST) & set(flags.flags())
    assert set(compilers.FAST) <= set(flags.flags(fast=True))
    assert not any("finite" in flag or flag == "-ffast-math" for flag in flags.flags(fast=True))


def test_what_killed_processes_left_is_removed(tmp_path):
    old, new = tmp_path / "tmp" / "sparsead-build-old", tmp_path / "tmp" / "sparsead-build-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "kernels.c").write_text("")
    os.utime(old, (0, 0))
    compilers._sweep.cache_clear()
    with contextlib.suppress(compilers.BuildError):
        compilers.compiler()
    assert files(tmp_path, "tmp") == ["sparsead-build-new"]


# ---- the cache ---------------------------------------------------------------------------------------------------------


@needs_compiler
def test_what_is_in_the_cache_is_not_built(fake, tmp_path):
    fake(f'exec {COMMAND} "$@"')
    assert not library.library(TEXT % 1).found and answer(1) == 1
    assert library.library(TEXT % 1) is library.library(TEXT % 1)
    forgotten()
    assert library.library(TEXT % 1).found and answer(1) == 1 and calls(tmp_path) == 1
    assert answer(2) == 2 and calls(tmp_path) == 2
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert all(stat.S_IMODE((tmp_path / "cache" / name).stat().st_mode) == 0o600 for name in os.listdir(tmp_path / "cache"))
    assert files(tmp_path, "tmp") == []


def test_what_a_key_depends_on(monkeypatch):
    compiler = compilers.Compiler(("cc",), "cc 1", ("-march=native",), "#define __AVX2__ 1")
    keys = [
        cache.key_of("text", compiler, False),
        cache.key_of("text ", compiler, False),
        cache.key_of("text", compiler, True),
        cache.key_of("text", compiler._replace(command=("gcc",)), False),
        cache.key_of("text", compiler._replace(version="cc 2"), False),
        cache.key_of("text", compiler._replace(native=()), False),
        cache.key_of("text", compiler._replace(target=""), False),
    ]
    monkeypatch.setenv("SPARSEAD_CFLAGS", "-O2")
    keys.append(cache.key_of("text", compiler, False))
    monkeypatch.setattr(cache, "_cpu", lambda: ["model name: another one"])
    keys.append(cache.key_of("text", compiler, False))
    assert len(set(keys)) == len(keys) and all(len(key) == 64 for key in keys)


def stored(tmp_path):
    (name,) = files(tmp_path)
    return tmp_path / "cache" / name


def rewrite(path, content):
    """Another file of that name: the old one is in use."""
    path.unlink()
    path.write_bytes(content)


def truncate(path):
    rewrite(path, path.read_bytes()[:-100])


def change(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    rewrite(path, bytes(content))


def empty(path):
    rewrite(path, b"")


def let_others_write(path):
    path.chmod(0o666)


def link(path):
    elsewhere = path.parent.parent / "elsewhere.so"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


def replace_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


@needs_compiler
@pytest.mark.parametrize("harm", [truncate, change, empty, let_others_write, link, replace_by_folder, replace_by_pipe])
def test_files_that_are_not_what_was_written_are_not_loaded(harm, fake, tmp_path, monkeypatch):
    fake(f'exec {COMMAND} "$@"')
    assert answer() == 42
    harm(stored(tmp_path))
    forgotten()
    loaded = []
    monkeypatch.setattr(library, "_open", lambda path, open_=library._open: loaded.append(path) or open_(path))
    if harm is replace_by_folder:  # it is in the way of the new one
        with pytest.warns(RuntimeWarning, match="are not kept in"):
            assert answer() == 42
    else:
        assert answer() == 42
    assert calls(tmp_path) == 2 and len(loaded) == 1


@needs_compiler
def test_a_foreign_file_under_the_right_key(fake, tmp_path):
    """A file that somebody puts there with a matching name is the user's own doing; what cannot be loaded is built."""
    fake(f'exec {COMMAND} "$@"')
    assert answer() == 42
    path = stored(tmp_path)
    key = path.name.partition("-")[0]
    path.unlink()
    garbage = b"garbage" * 1000
    (path.parent / f"{key}-{cache._digest(garbage)}.so").write_bytes(garbage)
    forgotten()
    assert answer() == 42 and calls(tmp_path) == 2


def assert_private(tmp_path, match):
    """Kernels are built, but kept for the process alone; one warning says so."""
    with pytest.warns(RuntimeWarning, match=match) as given:
        assert answer(1) == 1
        assert answer(2) == 2
    assert len(given) == 1
    (folder,) = cache._private
    assert len(os.listdir(folder)) == 2 and stat.S_IMODE(folder.stat().st_mode) == 0o700
    forgotten()
    assert library.library(TEXT % 1).found


@needs_compiler
@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702, 0o1777])
def test_a_folder_that_others_may_write_to(mode, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    assert_private(tmp_path, "other users may write to")
    assert os.listdir(folder) == []


@needs_compiler
def test_a_folder_of_another_user(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir()
    look = os.fstat

    def foreign(descriptor):
        info = look(descriptor)
        mine = (info.st_ino, info.st_dev) != (folder.stat().st_ino, folder.stat().st_dev)
        return info if mine else os.stat_result([*info[:4], info.st_uid + 1, *info[5:]])

    monkeypatch.setattr(os, "fstat", foreign)
    assert_private(tmp_path, "belongs to another user")
    assert os.listdir(folder) == []


@needs_compiler
def test_links_to_folders(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to(elsewhere)
    assert answer(1) == 1 and len(files(tmp_path, "elsewhere")) == 1
    elsewhere.chmod(0o777)
    forgotten()
    assert_private(tmp_path, "other users may write to")


@needs_compiler
@pytest.mark.parametrize("where", ["/dev/null/cache", "/proc/cache"])
def test_a_folder_that_cannot_be_made(where, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSEAD_CACHE_DIR", where)
    assert_private(tmp_path, "is not used")


@needs_compiler
@pytest.mark.parametrize("what", ["open", "rename"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_folder_that_cannot_be_written_to(what, code, tmp_path, monkeypatch):
    """Full, read-only, or beyond a quota."""
    folder, real = tmp_path / "cache", getattr(os, what)

    def fails(path, *args, **options):
        inside = options.get("dir_fd", options.get("src_dir_fd"))
        if str(path).startswith("new-") and os.path.samestat(os.fstat(inside), folder.stat()):
            raise OSError(code, os.strerror(code))
        return real(path, *args, **options)

    monkeypatch.setattr(os, what, fails)
    assert_private(tmp_path, "are not kept in")
    assert files(tmp_path) == []  # nor is half of a file


@needs_compiler
def test_disks_that_are_full_everywhere(monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache, "_write", full)
    gradient = native_grad()
    with pytest.warns(RuntimeWarning) as given:
        np.testing.assert_array_equal(gradient(X), EXPECTED)
    assert sorted(str(w.message).split(":")[1].split(" in ")[0] for w in given) == [
        " compiled kernels are not kept",
        " kernels are not compiled, the tiled engine runs them (.report() has all of this)",
    ]
    assert "No space left on device" in gradient.report()
    forgotten()
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(compilers.BuildError, match="no room for temporary files"):
        COMPILER.build(TEXT % 1)


@needs_compiler
def test_folders_from_which_nothing_is_loaded(tmp_path, monkeypatch):
    """As on file systems that are mounted without leave to execute."""
    real = library._open

    def refuses(path):
        if os.path.samestat(os.stat(os.path.dirname(path)), (tmp_path / "cache").stat()):
            raise OSError("failed to map segment from shared object")
        return real(path)

    monkeypatch.setattr(library, "_open", refuses)
    with pytest.warns(RuntimeWarning, match="failed to map segment"):
        assert answer() == 42
    forgotten()
    assert answer() == 42


@needs_compiler
def test_the_cache_is_bounded(monkeypatch, tmp_path):
    assert answer(0) == 0
    size = stored(tmp_path).stat().st_size
    monkeypatch.setattr(config, "cache_bytes", 3 * size)
    half = tmp_path / "cache" / "new-1-1"
    half.write_bytes(bytes(10))
    os.utime(half, (0, 0))
    for k in (1, 2):
        answer(k)
    assert len(files(tmp_path)) == 3  # and what was never finished is gone
    forgotten()
    assert library.library(TEXT % 0).found  # so that 1 is the one that has not been used for longest
    answer(3)
    assert len(files(tmp_path)) == 3
    forgotten()
    assert [library.library(TEXT % k).found for k in (0, 2, 3, 1)] == [True, True, True, False]
    monkeypatch.setattr(config, "cache_bytes", 0)
    assert answer(4) == 4 and len(files(tmp_path)) == 1  # the newest stays


@needs_compiler
def test_clear(tmp_path):
    assert sparsead.cache.clear() == 0
    assert answer(1) == 1
    size = stored(tmp_path).stat().st_size
    assert sparsead.cache.clear() == size and files(tmp_path) == []
    assert answer(1) == 1 and files(tmp_path) == []  # it is loaded
    forgotten()
    assert answer(1) == 1 and len(files(tmp_path)) == 1


def test_where_the_cache_is(monkeypatch, tmp_path):
    assert sparsead.cache.directory() == tmp_path / "cache"
    monkeypatch.delenv("SPARSEAD_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert sparsead.cache.directory() == tmp_path / "sparsead"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification has it that this is ignored
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sparsead.cache.directory() == tmp_path / ".cache" / "sparsead"


# ---- many processes ----------------------------------------------------------------------------------------------------

PREPARE = """
import sys, numpy as np, sparsead
sparsead.config.vector_functions = False
gradient = sparsead.grad(lambda x: np.sum(np.sqrt(x) * x[::-1]), engine="native")
print(gradient(np.linspace(0.1, 1, 1000)).tobytes().hex()[:64])
assert "compiled functions" in gradient.report(), gradient.report()
"""


def start(script, tmp_path, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), **environment},
    )  # fmt: skip


def finished(process, seconds=240):
    """(what it wrote, what it wrote to stderr) of a process that ended well."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return out, err


@needs_compiler
def test_processes_that_start_at_once_build_once(fake, tmp_path):
    fake(f'sleep 1; exec {COMMAND} "$@"')
    processes = [start(PREPARE, tmp_path) for _ in range(8)]
    said = [finished(process) for process in processes]
    assert calls(tmp_path) == 1 and len(files(tmp_path)) == 1 and files(tmp_path, "tmp") == []
    assert len({out for out, _ in said}) == 1 and {err for _, err in said} == {""}


@needs_compiler
def test_a_process_that_is_killed_while_it_builds(fake, tmp_path):
    """Its lock is free at once, and nothing of it is in the cache."""
    fake(f'[ -e {tmp_path / "again"} ] || sleep 5\nexec {COMMAND} "$@"')
    killed = start(PREPARE, tmp_path)
    assert eventually(lambda: calls(tmp_path) == 1, 100)
    killed.kill()
    killed.communicate()
    (tmp_path / "again").write_text("")
    assert files(tmp_path) == []
    finished(start(PREPARE, tmp_path))
    assert calls(tmp_path) == 2 and len(files(tmp_path)) == 1


@needs_compiler
def test_file_systems_without_locks(monkeypatch, tmp_path):
    def refuses(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(cache.fcntl, "flock", refuses)
    assert answer() == 42 and len(files(tmp_path)) == 1
    monkeypatch.setattr(cache, "fcntl", None)
    assert answer(43) == 43 and len(files(tmp_path)) == 2


@needs_compiler
def test_a_lock_that_is_never_given_back(monkeypatch):
    key = cache.key_of(TEXT % 42, compilers.compiler(), False)
    with cache.locked(key, 1.0):
        begin = time.monotonic()
        with cache.locked(key, 0.2):
            assert 0.2 <= time.monotonic() - begin < 20
        monkeypatch.setattr(config, "build_seconds", 2.0)
        assert answer() == 42


def test_a_lock_is_free_again_when_a_child_of_a_fork_lives_on():
    with cache.locked("k" * 64, 1.0):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        begin = time.monotonic()
        with cache.locked("k" * 64, 30.0):
            assert time.monotonic() - begin < 10
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@needs_compiler
def test_a_fork_during_a_build(fake, tmp_path):
    fake(f'sleep 1; exec {COMMAND} "$@"')
    script = """
    import os, sys, time, numpy as np, sparsead
    from sparsead.engine.native import background
    sparsead.config.build_after = 1.0
    x = np.linspace(0.1, 1, 1000)
    gradient = sparsead.grad(lambda x: np.sum(np.sqrt(x) * x[::-1]))
    first = gradient(x)
    time.sleep(0.3)
    assert "being compiled" in gradient.report(), gradient.report()
    child = os.fork()
    assert background._tasks.maxlen is None and np.array_equal(gradient(x), first)
    if child == 0:
        assert "being compiled" in gradient.report(), gradient.report()  # by the child itself: it has forgotten the parent's
    assert background.wait(100) and np.array_equal(gradient(x), first)
    assert "compiled functions" in gradient.report(), gradient.report()
    if child:
        assert os.waitpid(child, 0)[1] == 0
    """
    assert finished(start(script, tmp_path)) == ("", "")
    assert calls(tmp_path) == 1 and len(files(tmp_path)) == 1 and files(tmp_path, "tmp") == []


@needs_compiler
def test_a_child_that_ends_leaves_what_is_its_parents(fake, tmp_path):
    """A folder for temporary files while one builds, and the private one."""
    fake(f'sleep 1; exec {COMMAND} "$@"')
    script = """
    import os, sys, time, warnings, numpy as np, sparsead
    from sparsead.engine.native import background, cache
    warnings.simplefilter("ignore")
    sparsead.config.build_after = 1.0
    x = np.linspace(0.1, 1, 1000)
    gradient = sparsead.grad(lambda x: np.sum(x[1:] * x[::-1][1:]))
    gradient(x)
    time.sleep(0.3)
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    assert background.wait(100) and "compiled functions" in gradient.report(), gradient.report()
    (folder,) = cache._private
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    assert folder.is_dir()
    """
    finished(start(script, tmp_path, SPARSEAD_CACHE_DIR="/dev/null/cache"))
    assert calls(tmp_path) == 1 and files(tmp_path, "tmp") == []


# ---- interrupts, and the end -------------------------------------------------------------------------------------------

HANGS = "echo $$ > {}; exec sleep 60"


def test_an_interrupt_while_one_waits(fake, tmp_path):
    fake(HANGS.format(tmp_path / "pid"))
    script = """
    import os, signal, threading, time, numpy as np, sparsead
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let their background jobs ignore it
    gradient = sparsead.grad(lambda x: np.sum(x * x), engine="native")
    def interrupt():
        while not os.path.exists("pid"):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt).start()
    try:
        gradient(np.ones(1000))
    except KeyboardInterrupt:
        print("interrupted")
    """
    assert finished(start(script, tmp_path), 100) == ("interrupted\n", "")
    assert files(tmp_path) == [] and files(tmp_path, "tmp") == []
    assert eventually(lambda: not is_alive(int((tmp_path / "pid").read_text())))


@pytest.mark.parametrize("ending", ["pass", "sys.exit(0)", "raise SystemExit"])
def test_the_process_ends_while_something_is_built(ending, fake, tmp_path):
    fake(HANGS.format(tmp_path / "pid"))
    script = f"""
    import os, sys, time, numpy as np, sparsead
    sparsead.config.build_after = 1.0
    for k in range(3):
        sparsead.grad(lambda x: np.sum(x * (x + k)))(np.ones(1000))
    while not os.path.exists("pid"):
        time.sleep(0.01)
    print(time.time())
    {ending}
    """
    out, err = finished(start(script, tmp_path), 100)
    assert time.time() - float(out) < 20 and err == ""
    assert files(tmp_path, "tmp") == [] and (not (tmp_path / "cache").exists() or files(tmp_path) == [])
    assert eventually(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_an_interrupt_in_the_moment_in_which_a_compiler_is_started(fake, tmp_path):
    """Before anybody knows of the process."""
    fake(HANGS.format(tmp_path / "pid"))
    script = """
    import os, signal, subprocess, time
    from sparsead.engine.native import library
    signal.signal(signal.SIGINT, signal.default_int_handler)
    class Popen(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__(command, **options)
            if "kernels.c" in command:
                while not os.path.exists("pid"):
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.5)
    subprocess.Popen = Popen
    try:
        library.library("int answer;")
    except KeyboardInterrupt:
        print(open("pid").read())
    """
    out, err = finished(start(script, tmp_path), 100)
    assert err == "" and files(tmp_path, "tmp") == []
    assert eventually(lambda: not is_alive(int(out)), 5)


def test_a_terminals_interrupt_is_none_to_the_compiler(fake, tmp_path):
    fake(f"ps -o pgid= -p $$ > {tmp_path / 'group'}; exit 1")
    with pytest.warns(RuntimeWarning):
        native_grad()(X)
    assert int((tmp_path / "group").read_text()) != os.getpgrp()


# ---- when kernels are compiled -----------------------------------------------------------------------------------------


@needs_compiler
def test_compiled_kernels_take_over_between_calls(fake, monkeypatch, tmp_path):
    monkeypatch.setattr(config, "build_after", 3e5)
    monkeypatch.setattr(building, "TEXT", 1e6)
    fake(f'sleep 1; exec {COMMAND} "$@"')
    gradient = sparsead.grad(loss)
    states, results = [], []
    for _ in range(200):
        results.append(gradient(X))
        states.append(gradient.prepared.programs["adjoint"].build.state)
    assert background.wait(60)
    results.append(gradient(X))
    states.append(gradient.prepared.programs["adjoint"].build.state)
    assert [state for state, _ in itertools.groupby(states)] == ["waiting", "under way", "done"]
    for result in results:
        np.testing.assert_array_equal(result, EXPECTED)
    assert calls(tmp_path) == 1 and "built in" in gradient.report()


@needs_compiler
def test_work_counts_from_call_to_call(monkeypatch):
    gradient = sparsead.grad(loss)
    monkeypatch.setattr(config, "build_after", 1e9)
    gradient.prepare(X)
    made = gradient.prepared.programs["adjoint"]
    assert made.work > 1e4 and made.left == 1e9
    gradient(X)
    gradient(X)
    assert made.left == 1e9 - 2 * made.work and f"{made.left / made.work:,.0f} more runs pay for it" in gradient.report()
    assert made.build.state == "waiting"


def test_the_tiled_engine_never_builds(monkeypatch):
    monkeypatch.setattr(config, "build_after", 1.0)
    monkeypatch.setattr(building, "Build", None)
    for engine in ("vm", "reference"):
        jacobian = sparsead.jacobian(lambda x: np.sin(x) * x[::-1], engine=engine)
        for _ in range(3):
            jacobian(X[:20])
        assert "compiled" not in jacobian.report()
    monkeypatch.setattr(config, "build_after", float("inf"))
    assert "compiled" not in sparsead.grad(loss).prepare(X).report()


def test_derivatives_inside_of_traces_are_not_built(monkeypatch):
    """They run once."""
    monkeypatch.setattr(building, "Build", None)
    outer = sparsead.grad(lambda x: np.sum(sparsead.grad(loss, engine="native", fast=True)(x) ** 2), engine="vm")
    expected = sparsead.grad(lambda x: np.sum(sparsead.grad(loss, engine="reference")(x) ** 2), engine="reference")(X[:20])
    np.testing.assert_allclose(outer(X[:20]), expected, rtol=1e-12)


def test_a_program_that_is_gone_is_not_built(monkeypatch):
    monkeypatch.setattr(config, "build_after", 1.0)
    monkeypatch.setattr(background, "submit", tasks := [].append)
    b = Builder()
    x = b.input((100,))
    made = program(b.done(b.ew("square", x)))
    made.run([np.ones(100)])
    (task,) = tasks.__self__
    seen = weakref.ref(made)
    del made
    assert seen() is None  # without a garbage collection
    task()
    assert task.build.state == "under way"


def test_what_fails_in_the_background_is_a_warning(fake, monkeypatch, tmp_path):
    fake("echo no licence; exit 7")
    script = """
    import numpy as np, sparsead
    from sparsead.engine.native import background
    sparsead.config.build_after = 1.0
    for k in range(3):
        gradient = sparsead.grad(lambda x: np.sum(x * (x + k)))
        gradient(np.ones(1000))
    assert background.wait(60) and gradient(np.ones(2))[1] == 4
    print(gradient.report())
    """
    out, err = finished(start(script, tmp_path))
    assert "no licence" in out and err.count("Warning") == 1
    out, err = finished(start(script, tmp_path, PYTHONWARNINGS="error::RuntimeWarning"))
    assert "no licence" in out and err == ""


def test_no_thread_can_be_started(monkeypatch):
    def refuses(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(config, "build_after", 1.0)
    monkeypatch.setattr(background.threading.Thread, "start", refuses)
    gradient = sparsead.grad(loss)
    np.testing.assert_array_equal(gradient(X), EXPECTED)
    assert "not compiled: can't start new thread" in gradient.report()
    np.testing.assert_array_equal(gradient(X), EXPECTED)


@needs_compiler
def test_long_sources_have_to_pay_more(monkeypatch):
    monkeypatch.setattr(config, "build_after", 1e4)
    monkeypatch.setattr(building, "TEXT", 100)
    gradient = sparsead.grad(loss)
    for _ in range(2):
        gradient(X)
        assert background.wait(60)
    made = gradient.prepared.programs["adjoint"]
    price = 1e4 * len(building.module_of(made).text) / 100
    assert made.build.state == "waiting" and made.build.paid == price and 0 < made.left < price - 1e4
    while made.build.state == "waiting":
        gradient(X)
    assert background.wait(60) and made.build.state == "done" and made.left <= 0


def test_a_fault_in_the_background_is_not_hidden(monkeypatch, caplog):
    def faulty(program):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(building, "module_of", faulty)
    monkeypatch.setattr(config, "build_after", 1.0)
    gradient = sparsead.grad(loss)
    np.testing.assert_array_equal(gradient(X), EXPECTED)
    assert background.wait(60) and "ZeroDivisionError: a fault" in gradient.report()
    assert any(record.levelname == "ERROR" and record.exc_info for record in caplog.records)
    with pytest.raises(ZeroDivisionError):
        native_grad()(X)


@needs_compiler
def test_python_keeps_answering(fake, monkeypatch):
    """While a compiler takes its time, Python does as much as it pleases."""
    monkeypatch.setattr(config, "build_after", 1.0)
    fake(f'sleep 1; exec {COMMAND} "$@"')
    gradient = sparsead.grad(loss)
    gradient(X)
    turns = 0
    while gradient.prepared.programs["adjoint"].build.state == "under way":
        turns += 1
        time.sleep(0.001)
    assert turns > 50


# ---- results -----------------------------------------------------------------------------------------------------------


def vector(x):
    y = np.empty_like(x)
    y[1:-1] = np.exp(-x[2:]) * x[:-2] + np.tanh(x[1:-1]) / (1 + x[1:-1] ** 2)
    y[0], y[-1] = x[0] ** 2, np.log(x[-1])
    return y


def scalar(x):
    return np.sum(vector(x) ** 2 * np.sqrt(x))


def pulled(x, **options):
    derivative = sparsead.vjp(lambda x: vector(x), **options).prepare(x)
    value, pullback = derivative(x)
    return derivative, [value, pullback(np.cos(value))]


def linearized(x, **options):
    derivative = sparsead.linearize(lambda x: vector(x), **options).prepare(x)
    value, tangents = derivative(x)
    return derivative, [value, tangents(x), tangents(np.cos(x))]


def kind(make, f, *more, **given):
    def results(x, **options):
        derivative = make(lambda x: f(x), **given, **options).prepare(x)
        result = derivative(x, *more)
        return derivative, list(result) if isinstance(result, tuple) else [getattr(result, "data", result)]

    return results


SEED = np.cos(X[:200])
KINDS = {
    "grad": kind(sparsead.grad, scalar),
    "value_and_grad": kind(sparsead.value_and_grad, scalar),
    "jvp": kind(sparsead.jvp, vector, SEED),
    "vjp": pulled,
    "linearize": linearized,
    "hvp": kind(sparsead.hvp, scalar, SEED),
    "jacobian, columns": kind(sparsead.jacobian, vector, method="column"),
    "jacobian, rows": kind(sparsead.jacobian, vector, method="row"),
    "jacobian, direct": kind(sparsead.jacobian, vector, method="direct"),
    "hessian": kind(sparsead.hessian, scalar),
}


@needs_compiler
@pytest.mark.parametrize("ours", [False, True], ids=["numpy", "ours"])
@pytest.mark.parametrize("name", KINDS)
def test_native_is_vm_to_the_bit(name, ours, monkeypatch):
    monkeypatch.setattr(config, "vector_functions", ours)
    tiled, expected = KINDS[name](X[:200], engine="vm")
    derivative, results = KINDS[name](X[:200], engine="native")
    for result, want in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, want)
    built = [made.build for made in derivative.prepared.programs.values()]
    assert any(build.state == "done" for build in built) and {build.state for build in built} <= {"done", "nothing"}
    assert "compiled functions (IEEE)" in derivative.report() and "compiled" not in tiled.report()


@needs_compiler
@pytest.mark.parametrize("name", KINDS)
def test_fast_is_right_to_rounding(name):
    _, expected = KINDS[name](X[:200], engine="vm")
    derivative, results = KINDS[name](X[:200], engine="native", fast=True)
    for result, want in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, want, rtol=1e-12, atol=1e-12)
    assert "compiled functions (fast)" in derivative.report()


@needs_compiler
def test_fast_respects_what_is_no_number():
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0] * 50)
    f = lambda x: np.sum(np.where(x == x, x * 0.5, 1.0) * (x - x + 2))
    with np.errstate(all="ignore"):
        slow, fast = (sparsead.grad(f, engine="native", fast=fast)(x) for fast in (False, True))
    np.testing.assert_array_equal(np.isfinite(slow), np.isfinite(fast))
    np.testing.assert_array_equal(np.isnan(slow), np.isnan(fast))


@pytest.mark.parametrize("make", [sparsead.grad, sparsead.value_and_grad, sparsead.jvp, sparsead.vjp, sparsead.linearize,
                                  sparsead.hvp, sparsead.jacobian, sparsead.hessian])  # fmt: skip
def test_engines_that_know_no_fast(make):
    for engine in ("vm", "reference"):
        with pytest.raises(ValueError, match=rf"fast=True .* engine '{engine}'"):
            make(loss, engine=engine, fast=True)
    with pytest.raises(ValueError, match="engine 'gpu' is unknown; choose one of auto, native, vm, reference"):
        make(loss, engine="gpu")
    assert make(loss, fast=True)._state is not make(loss)._state
    assert make(loss, fast=True).__copy__().fast


# ---- looking inside ----------------------------------------------------------------------------------------------------


def test_the_source_needs_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    gradient = sparsead.grad(loss, engine="vm")
    assert gradient.source() == ""
    text = gradient.prepare(X).source()
    assert text.startswith("/* grad of loss, recording 0: adjoint */") and "void kernel_0(" in text
    assert "test_native_building.py:" in text and "x[1:-1] = np.sin(x[2:])" in text and "compiled" not in gradient.report()
    reference = sparsead.grad(loss, engine="reference").prepare(X)
    assert "run by NumPy" in reference.source()


def test_the_source_of_kernels_in_strips_and_of_loops():
    def smooth(u):
        for k in sparsead.steps(100):
            u[1:-1] = 0.5 * u[1:-1] + 0.25 * (u[2:] + u[:-2])
        for k in range(3):
            u = np.sin(u) + np.roll(u, 1, 0)
        return np.sum(u)

    text = sparsead.grad(smooth).prepare(np.ones((2000, 1000))).source()
    assert "0.25 * (u[2:] + u[:-2])" in text and "np.roll(u, 1, 0)" in text


def test_the_text_does_not_depend_on_where_a_function_stands(tmp_path):
    code = "def f(x):\n    for k in range(3):\n        x[1:] = np.sqrt(x[:-1])\n    return np.sum(x)\n"
    texts = []
    for k in range(2):
        file = tmp_path / f"model{k}.py"
        file.write_text("import numpy as np\n" + "\n" * k + code)
        names = {}
        exec(compile(file.read_text(), file, "exec"), names)
        made = sparsead.grad(names["f"], engine="vm").prepare(X).prepared.programs["adjoint"]
        texts.append(building.module_of(made).text)
    assert texts[0] == texts[1]


@needs_compiler
def test_the_source_is_what_is_compiled(tmp_path):
    gradient = native_grad().prepare(X)
    file = tmp_path / "source.c"
    file.write_text(gradient.source())
    subprocess.run([*shlex.split(COMMAND), *compilers.FLAGS, str(file), "-o", str(tmp_path / "source.so")], check=True)
    assert compilers.is_whole((tmp_path / "source.so").read_bytes())


@needs_compiler
def test_reports_tell_of_kernels_that_are_not_compiled():
    b = Builder()
    z, x = b.input((1000,), np.complex128), b.input((500,))
    made = program(b.done(b.ew("negative", z), b.ew("sqrt", x)), "native")
    made.run([np.ones(1000, complex), np.ones(500)])
    text = "\n".join(report("a tape", made, long=True))
    assert "1 of 2 kernels are 1 compiled functions" in text and text.count("not compiled:") == 1
    assert "not compiled: numbers of dtype complex128" in text


@needs_compiler
def test_reports_tell_what_comes_from_the_cache():
    assert "built in" in native_grad().prepare(X).report()
    forgotten()
    prepared._shared.clear()
    assert "found in the cache in" in native_grad().prepare(X).report()


def test_nothing_to_compile():
    b = Builder()
    made = program(b.done(b.ew("negative", b.input((1000,), np.complex128))), "native")
    assert made.build.state == "nothing" and "there is nothing to compile" in "\n".join(report("a tape", made))


@needs_compiler
def test_builds_are_told(caplog):
    with caplog.at_level("INFO", logger="sparsead"):
        native_grad().prepare(X)
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "characters of C built in" in text and "compiled functions (IEEE)" in text


def test_the_headers_are_installed():
    assert {"abi.h", "prelude.h", "export.h", "functions.h"} <= set(os.listdir(os.path.dirname(native.__file__)))
