"""Functions from text: compiled, or found where an earlier process has left them, and loaded.

Law: within a process a text is loaded once, and stays: its functions may be called at any time. What failed once is not tried
again.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import NamedTuple

from sparsead import config
from sparsead.decisions import LOG
from sparsead.engine.native import cache
from sparsead.engine.native.compiler import BuildError, compiler

_loaded: dict[str, Library] = {}
_failed: dict[str, str] = {}


class Library(NamedTuple):
    """What was made of a text.

    Attributes
    ----------
    handle : ctypes.CDLL
    compiler : str
        What it calls itself.
    seconds : float
        That it took to build, or to find.
    found : bool
        Whether it was in the cache.
    """

    handle: ctypes.CDLL
    compiler: str
    seconds: float
    found: bool

    def __str__(self):
        if self.found:
            return f"found in the cache in {1e3 * self.seconds:.3g} ms"
        return f"built in {self.seconds:.2f} s by {self.compiler}"

    def functions(self, names):
        """The addresses of functions, by name; BuildError if one is missing."""
        try:
            return {name: ctypes.cast(getattr(self.handle, name), ctypes.c_void_p).value for name in names}
        except AttributeError as error:
            raise BuildError(f"{self.compiler} wrote something else: {error}") from error


def library(text, fast=False):
    """The `Library` of a text in C.

    Raises
    ------
    BuildError
        There is no compiler, or it failed, or what it wrote cannot be loaded.
    """
    using = compiler()
    key = cache.key_of(text, using, fast)
    if key in _failed:
        raise BuildError(_failed[key])
    if key not in _loaded:
        try:
            made = _made(key, text, using, fast)
        except BuildError as error:
            _failed[key] = str(error)
            raise
        _loaded.setdefault(key, made)  # another thread may have been faster
    return _loaded[key]


def functions(text, names, fast=False):
    """The addresses of the functions `names` of a text, by name; raises what `library` does."""
    return library(text, fast).functions(names)


def _made(key, text, using, fast):
    begin = time.perf_counter()
    handle = _found(key)
    found = handle is not None
    if not found:
        with cache.locked(key, config.build_seconds):
            handle = _found(key)
            found = handle is not None
            handle = handle or _load(key, using.build(text, fast))
    made = Library(handle, using.name, time.perf_counter() - begin, found)
    LOG.info("%d characters of C %s: %s", len(text), made, key[:16])
    return made


def _found(key):
    try:
        return cache.used(key, _open)
    except OSError as error:
        LOG.info("what the cache has is not loaded: %s", error)
        return None


def _load(key, content):
    try:
        return cache.kept(key, content, _open)
    except OSError as error:
        raise BuildError(f"what was built cannot be loaded: {error}") from error


def _open(path):
    """Load a shared object, names resolved now: a missing one is an error here, and not a crash in a call."""
    return ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL)


__all__ = ["Library", "functions", "library"]
