"""The machine's compiler: found, asked what it is, and run.

Law: what is started here ends in time, with all that it has started itself, and leaves no file behind.

The compiler is the one that the environment variable ``CC`` names (a command, with options if need be), else the one that Python
was built with, else ``cc``, ``gcc`` or ``clang`` on the path: the first that answers ``--version``. It is given `FLAGS` and,
behind them, what the environment variable ``SPARSEAD_CFLAGS`` says, which may take any of them back: results have IEEE's bits by
these flags alone. With ``fast=True`` `FAST` come between the two: products and sums may be contracted to one rounding, sums may
be taken in another order, and quotients by one divisor become products with its inverse; NaN and infinities stay what they are.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import shutil
import signal
import struct
import subprocess
import sysconfig
import tempfile
import threading
import time
from concurrent.futures import Future, wait
from pathlib import Path
from typing import NamedTuple

from sparsead import config

FLAGS = ("-std=c11", "-O3", "-fPIC", "-shared", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
         "-fno-strict-aliasing", "-w")  # fmt: skip
FAST = ("-ffp-contract=fast", "-fassociative-math", "-fno-signed-zeros", "-freciprocal-math")
NATIVE = (("-march=native",), ("-mcpu=native",), ())  # for the CPU at hand: the first that the compiler takes
NAMES = ("cc", "gcc", "clang")
ANSWER = 10.0  # seconds in which a compiler says what it is
SCRATCH = "sparsead-build-"  # what folders for temporary files are called
STALE = 3600.0  # seconds after which such a folder is nobody's
MESSAGE = 4000  # characters that are kept of what it says of a source


class BuildError(RuntimeError):
    """There is no compiler, or it failed; the message is its own."""


class Compiler(NamedTuple):
    """A compiler that answers.

    Attributes
    ----------
    command : tuple of str
    version : str
        Its answer to ``--version``.
    native : tuple of str
        How it is told to compile for the CPU at hand; empty if it cannot be told.
    target : str
        What it says that this CPU is, as macros: instructions, sizes of types, calling conventions.
    """

    command: tuple[str, ...]
    version: str
    native: tuple[str, ...]
    target: str

    @property
    def name(self):
        """What it calls itself, in one line."""
        return self.version.partition("\n")[0].strip()

    def flags(self, fast=False):
        """All that it is told, but for the names of files."""
        return (*FLAGS, *self.native, *(FAST if fast else ()), *shlex.split(os.environ.get("SPARSEAD_CFLAGS", "")))

    def build(self, text, fast=False):
        """The bytes of the shared object that `text` is compiled to.

        Raises
        ------
        BuildError
            With what the compiler said, if it failed, took more than ``config.build_seconds``, or wrote no whole shared object.
        """
        with _scratch() as folder:
            source, target = folder / "kernels.c", folder / "kernels.so"
            try:
                source.write_text(text, encoding="utf-8")
                command = (*self.command, *self.flags(fast), source.name, "-o", target.name, "-lm")
                said = _run(command, config.build_seconds, folder)
                content = target.read_bytes() if target.is_file() else b""
            except OSError as error:
                raise BuildError(f"the source cannot be compiled: {error}") from error
        if not is_whole(content):
            raise BuildError(f"{self.name} wrote no whole shared object\n{said}".strip())
        return content


def compiler():
    """The `Compiler` to use; BuildError if there is none."""
    found = _found(os.environ.get("CC", ""), os.environ.get("PATH", ""), os.environ.get("SPARSEAD_CFLAGS", ""))
    if isinstance(found, str):
        raise BuildError(found)
    return found


@functools.lru_cache(maxsize=16)
def _found(cc, path, options):
    """The first compiler that answers, or why there is none; what counts of the environment are the arguments."""
    tried = []
    for command in _candidates(cc):
        if shutil.which(command[0]) is None:
            tried.append(f"{shlex.join(command)}: not found")
            continue
        try:
            return _asked(command, shlex.split(options))
        except (OSError, ValueError, BuildError) as error:
            tried.append(f"{shlex.join(command)}: {error}")
    return "\n".join(["no compiler for C answers", *tried])


def _candidates(cc):
    """Commands, without doubles."""
    texts = (cc, sysconfig.get_config_var("CC") or "", *NAMES)
    return list(dict.fromkeys(command for command in map(_split, texts) if command))


def _split(text):
    try:
        return tuple(shlex.split(text))
    except ValueError:  # an open quotation mark
        return (text,)


def _asked(command, options):
    """What a compiler says of itself, and of the CPU."""
    with _scratch() as folder:
        version = _run((*command, "--version"), ANSWER, folder)
        for native in NATIVE:
            with contextlib.suppress(BuildError):
                macros = _run((*command, *native, *options, "-dM", "-E", "-x", "c", os.devnull), ANSWER, folder)
                return Compiler(command, version, native, macros)
    return Compiler(command, version, (), "")


# ---- processes ---------------------------------------------------------------------------------------------------------


_running: set[subprocess.Popen] = set()
_stopped = threading.Event()


def _run(command, seconds, folder):
    """What a command says, in a group of processes of its own: a signal to this process is none to it."""
    work = _Work(command, seconds, folder)
    if threading.current_thread() is not threading.main_thread():
        work.run()
        return work.answer.result()
    try:
        try:
            work.start()
        except RuntimeError:  # there is no room for a thread
            work.run()
        return work.answer.result()
    finally:
        work.end()


class _Work(threading.Thread):
    """A command, started and waited for apart from the main thread.

    What a signal raises there may come at any moment, even when a process has been started that nobody knows of yet.

    Attributes
    ----------
    answer : Future
        What the command says.
    """

    def __init__(self, command, seconds, folder):
        super().__init__(name="sparsead compiler", daemon=True)
        self.command, self.seconds, self.folder = command, seconds, folder
        self.answer, self.process, self.begun, self.ended = Future(), None, False, False

    def run(self):
        self.begun = True
        try:
            self.answer.set_result(self._said())
        except BaseException as error:
            self.answer.set_exception(error)

    def end(self):
        """Nobody waits for it any longer. Either the process is seen here, or the end where it is started.

        ``join`` would not do: when a signal interrupts one, the next one takes the thread for ended (CPython issue 90882).
        """
        self.ended = True
        if self.process is not None and self.process.returncode is None:
            _signal(self.process)
        if self.begun:
            wait([self.answer])

    def _said(self):
        self._go_on()
        environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(self.folder)}
        process = self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        _running.add(process)
        try:
            self._go_on()
            said, _ = process.communicate(timeout=self.seconds)
        except subprocess.TimeoutExpired:
            raise BuildError(f"{self.command[0]} did not end within {self.seconds:g} seconds") from None
        finally:
            _kill(process)
            _running.discard(process)
        said, status = said.strip(), process.returncode
        if status:
            ended = f"died of signal {-status}" if status < 0 else f"failed with status {status}"
            raise BuildError(f"{self.command[0]} {ended}\n{said[:MESSAGE]}".strip())
        return said

    def _go_on(self):
        if self.ended or _stopped.is_set():
            raise BuildError("the process ends")


def _kill(process):
    """End a process and all that it has started; nothing, if it has ended by itself: others may have its number by now."""
    if process.returncode is None:
        _signal(process)
    process.wait()
    process.stdout.close()


def _signal(process):
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def is_stopped():
    """Whether the process ends."""
    return _stopped.is_set()


def stop():
    """End what is running, for good: the process ends."""
    _stopped.set()
    for process in list(_running):
        if process.returncode is None:
            _signal(process)


os.register_at_fork(after_in_child=_running.clear)  # they are the parent's


@contextlib.contextmanager
def _scratch():
    """A folder for temporary files, of compilers as well.

    No TemporaryDirectory: if the process forks meanwhile, the child would remove it when it ends.
    """
    try:
        _sweep()
        folder = tempfile.mkdtemp(prefix=SCRATCH)
    except OSError as error:
        raise BuildError(f"no room for temporary files: {error}") from error
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.lru_cache(maxsize=1)
def _sweep():
    """Remove what processes have left that were killed."""
    old = time.time() - max(STALE, 2 * config.build_seconds)
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            info = folder.lstat()
            if info.st_uid == os.geteuid() and info.st_mtime < old:
                shutil.rmtree(folder, ignore_errors=True)


# ---- files -------------------------------------------------------------------------------------------------------------


def is_whole(content):
    """Whether the bytes are a shared object with nothing cut off: the loader of Linux maps what is not there, and crashes.

    Of other systems' formats only the begin is looked at: their loaders check the rest.
    """
    if content[:4] == b"\x7fELF":
        return _is_whole_elf(content)
    return content[:4] in (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")  # Mach-O, for one architecture or several


def _is_whole_elf(content):
    """Whether all segments and all headers of sections, which stand at the end of a file, are within it."""
    wide, order = content[4:5] == b"\x02", ">" if content[5:6] == b"\x02" else "<"
    header = struct.Struct(order + ("16xHHIQQQIHHHHHH" if wide else "16xHHIIIIIHHHHHH"))
    if len(content) < header.size:
        return False
    kind, _, _, _, segments, sections, _, _, width, n, section, m, _ = header.unpack_from(content)
    if kind != 3 or max(segments + n * width, sections + m * section) > len(content):
        return False
    segment = struct.Struct(order + ("8xQ16xQ" if wide else "4xI8xI"))  # where it is in the file, and how long
    return all(sum(segment.unpack_from(content, segments + k * width)) <= len(content) for k in range(n))


__all__ = ["BuildError", "Compiler", "compiler", "is_stopped", "is_whole", "stop"]
