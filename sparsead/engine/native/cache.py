"""Shared objects on disk, from one process to the next.

Law: what is loaded is what was written. The cache is a folder that nobody else may write to, and the name of a file holds the
hash of what is in it: a file that was cut off, or changed, is another one, and is not loaded.

A file is named by what it was made of (`key_of`), then by what it holds. It is written beside its place and renamed. Processes
that want the same one at the same time take a lock of the file system, so that one of them builds; where there are no such
locks, or one is held for too long, they all do, and the last one's file stays. What cannot be written to the folder, or may
not be believed there, is kept in a private one that ends with the process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import os
import platform
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path

from sparsead import config
from sparsead.decisions import LOG, warn_once

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

LAYOUT = 1  # of what is hashed, and of the folder
OTHERS = stat.S_IWGRP | stat.S_IWOTH
SUFFIX = ".so"
LOOKS = 0.02  # seconds between two looks at a lock
STALE = 3600.0  # seconds after which a file that was to be renamed is nobody's

_private: list[Path] = []  # the folder of this process, if it needs one


# ---- for users ---------------------------------------------------------------------------------------------------------


def directory():
    """The folder in which compiled kernels are kept from one process to the next.

    It is what the environment variable ``SPARSEAD_CACHE_DIR`` says, else the folder ``sparsead`` of the user's cache directory
    (``XDG_CACHE_HOME``, or ``~/.cache``). It is made when it is needed, for its owner alone. If it belongs to somebody else, or
    others may write to it, or it cannot be written to, a warning says so, and each process keeps what it builds to itself.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    RuntimeError
        The user has no home directory, and no variable says more.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.cache.directory().name
    'sparsead'
    """
    named = os.environ.get("SPARSEAD_CACHE_DIR")
    if named:
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "sparsead"


def clear():
    """Remove all compiled kernels from the cache.

    What is loaded stays in use, in this process and in others; what is wanted next is built anew.

    Returns
    -------
    int
        How many bytes are free now.

    Examples
    --------
    >>> import sparsead
    >>> freed = sparsead.cache.clear()
    """
    with contextlib.suppress(OSError, RuntimeError):
        with _opened(directory()) as folder:
            return sum(_removed(folder, name, info) for name, info in _files(folder))
    return 0


# ---- keys --------------------------------------------------------------------------------------------------------------


def key_of(text, compiler, fast):
    """A name for what `compiler` makes of `text`: 64 digits."""
    machine = (sys.platform, platform.machine(), sys.maxsize, _cpu())
    whole = [LAYOUT, text, compiler.command, compiler.version, compiler.flags(fast), compiler.target, machine]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


@functools.lru_cache(maxsize=1)
def _cpu():
    """The CPU's model and features, as far as the system tells."""
    told = ("model name", "flags", "Features", "CPU implementer", "CPU part", "cpu", "isa")
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = file.read().partition("\n\n")[0].splitlines()
    except OSError:
        return [platform.processor(), platform.platform()]
    return [line for line in lines if line.partition(":")[0].strip() in told]


# ---- files -------------------------------------------------------------------------------------------------------------


def used(key, load):
    """``load(path)`` of the file of `key` in the user's folder, or in that of the process; None if neither has it.

    Raises
    ------
    OSError
        It cannot be loaded.
    """
    for place in _places():
        with contextlib.suppress(FileNotFoundError), _opened(place) as folder:
            name = _checked(folder, key)
            if name is not None:
                return load(_path(place, folder, name))
    return None


def kept(key, content, load):
    """Keep `content` as the file of `key`, and ``load(path)`` it.

    Raises
    ------
    OSError
        It can be kept nowhere, or not be loaded from where it is.
    """
    name, place = f"{key}-{_digest(content)}{SUFFIX}", _usual()
    if place is not None:
        try:
            return _kept(place, name, content, load)
        except OSError as error:
            warn_once(f"compiled kernels are not kept in {place}: {error}")
    return _kept(_own(), name, content, load)


def _kept(place, name, content, load):
    with _opened(place) as folder:
        _write(folder, name, content)
        loaded = load(_path(place, folder, name))
        _bound(folder, name)
    return loaded


def _places():
    return [place for place in (_usual(), *_private) if place is not None]


def _usual():
    """The user's folder, made if need be; None if it cannot be used, which is said once."""
    try:
        place = Path(os.path.realpath(directory()))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=0o700, exist_ok=True)
        with _opened(place):
            return place
    except (OSError, RuntimeError) as error:
        warn_once(f"the cache of compiled kernels is not used: {error}")
        return None


def _own():
    """The folder of this process."""
    if not _private:
        _private.append(Path(tempfile.mkdtemp(prefix="sparsead-")))
    return _private[0]


def _forget():
    """In the child of a fork: the private folder is the parent's, who holds its locks on."""
    _private.clear()
    for lock in _locks:
        os.close(lock)
    _locks.clear()


@atexit.register
def _remove_own():
    while _private:
        shutil.rmtree(_private.pop(), ignore_errors=True)


@contextlib.contextmanager
def _opened(place):
    """A descriptor of a folder that nobody else may write to; all that is done there goes through it.

    Who may rename the folders above cannot put another one into its place meanwhile.
    """
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _ours(os.fstat(folder), place)
        yield folder
    finally:
        os.close(folder)


def _ours(info, what):
    if info.st_uid != os.geteuid():
        raise PermissionError(f"{what} belongs to another user")
    if info.st_mode & OTHERS:
        raise PermissionError(f"other users may write to {what}")


def _path(place, folder, name):
    """A path to a file in the folder that was opened."""
    through = f"/proc/self/fd/{folder}"
    return f"{through}/{name}" if os.path.isdir(through) else os.path.join(place, name)


def _checked(folder, key):
    """The name of the file of `key` if it is what it is called; it counts as used now. Others of that key are removed."""
    for name in os.listdir(folder):
        if name.startswith(f"{key}-") and name.endswith(SUFFIX):
            try:
                if _digest(_content(folder, name)) == name[len(key) + 1 : -len(SUFFIX)]:
                    with contextlib.suppress(OSError):
                        os.utime(name, dir_fd=folder)
                    return name
                LOG.info("%s of the cache is damaged", name)
            except FileNotFoundError:  # another process has removed it
                continue
            except OSError as error:
                LOG.info("%s of the cache is not loaded: %s", name, error)
            _remove(folder, name)
    return None


def _content(folder, name):
    """All bytes of a file that nobody else may write to."""
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise PermissionError(f"{name} is no file")
        _ours(info, name)
        return file.read()


def _digest(content):
    return hashlib.sha256(content).hexdigest()


def _write(folder, name, content):
    """Write a file beside its place, and rename it."""
    beside = f"new-{os.getpid()}-{time.monotonic_ns()}"
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        with os.fdopen(file, "wb") as writing:
            writing.write(content)
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _remove(folder, beside)
        raise


def _remove(folder, name):
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _removed(folder, name, info):
    """Remove a file; gives its size."""
    _remove(folder, name)
    return info.st_size


def _files(folder, prefix=""):
    """(name, what the system knows of it) of compiled kernels, and of what was to become one."""
    for name in os.listdir(folder):
        if name.endswith(SUFFIX) or name.startswith("new-"):
            with contextlib.suppress(FileNotFoundError):
                yield name, os.stat(name, dir_fd=folder, follow_symlinks=False)


def _bound(folder, newest):
    """Remove what has not been used for longest until all fits into ``config.cache_bytes``, and what was never finished."""
    files = sorted(_files(folder), key=lambda file: (file[0] == newest, file[1].st_mtime_ns))
    total = sum(info.st_size for _, info in files)
    for name, info in files:
        unfinished = not name.endswith(SUFFIX)
        if name != newest and (time.time() - info.st_mtime > STALE if unfinished else total > config.cache_bytes):
            total -= _removed(folder, name, info)


# ---- locks -------------------------------------------------------------------------------------------------------------


_locks: set[int] = set()  # descriptors that are held


@contextlib.contextmanager
def locked(key, seconds):
    """Keep others on this machine, or on the same file system, from building `key`; for so long one waits for them."""
    lock = _lock(key)
    if lock is None:
        yield
        return
    _locks.add(lock)
    try:
        _take(lock, seconds)
        yield
    finally:
        _locks.discard(lock)
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough: children of a fork have it open as well
        os.close(lock)


def _lock(key):
    """A descriptor of one of 256 files that are never removed; None if there are no locks."""
    place = _usual()
    if fcntl is None or place is None:
        return None
    with contextlib.suppress(OSError), _opened(place) as folder:
        return os.open(f"lock-{key[:2]}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    return None


def _take(lock, seconds):
    until = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                LOG.info("another process has been building for %g seconds: not waited for any longer", seconds)
                return None
        except OSError:  # the file system has no locks
            return None
        time.sleep(LOOKS)


os.register_at_fork(after_in_child=_forget)

__all__ = ["clear", "directory", "kept", "key_of", "locked", "used"]
