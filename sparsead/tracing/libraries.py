"""Which code is the user's and which is a library's, and what code and objects name."""

import functools
import sys
import types

import numpy as np

LIBRARIES = frozenset(sys.stdlib_module_names) | {
    "numpy", "scipy", "sparsead", "matplotlib", "pytest", "_pytest", "hypothesis", "mpi4py", "numba", "cython", "pandas",
}  # fmt: skip
USER_MODULES = {"__main__", "__mp_main__"}


def is_library(frame):
    """Whether a frame runs code of a library, or code that a library made: of named tuples, of ``__array_function__``."""
    name = frame.f_globals.get("__name__", "")
    root = name.partition(".")[0] if isinstance(name, str) else ""
    made = root.startswith("namedtuple_") or frame.f_code.co_filename.startswith("<__array_function__")
    return made or (root in LIBRARIES and root != "__main__")


def is_user_module(name):
    """Whether a module of this name is the user's."""
    root = (name or "__main__").partition(".")[0]
    return root in USER_MODULES or root not in LIBRARIES


def is_user_function(f):
    """Whether `f` is Python code of the user, not of a library."""
    return isinstance(f, types.FunctionType) and is_user_module(f.__module__)


@functools.lru_cache(maxsize=4096)
def global_names(code):
    """Names that `code`, or code nested in it, may look up in its globals."""
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names |= global_names(const)
    return frozenset(names)


def attributes(obj):
    """The attributes of an object itself, by name, those in slots included."""
    found = dict(getattr(obj, "__dict__", {}))
    found.update((name, getattr(obj, name)) for name in slots(type(obj)) if hasattr(obj, name))
    return found


def bare(cls):
    """A new object of a class, without attributes: its ``__init__`` is not called."""
    return cls() if cls is types.SimpleNamespace else object.__new__(cls)


def slots(cls):
    """The names of the slots of a class, but for private ones."""
    names = [name for base in cls.__mro__ for name in np.atleast_1d(base.__dict__.get("__slots__", ())).tolist()]
    return [name for name in names if not name.startswith("__")]
