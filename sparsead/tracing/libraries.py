"""Which code is the user's and which is a library's."""

import sys

LIBRARIES = frozenset(sys.stdlib_module_names) | {
    "numpy", "scipy", "sparsead", "matplotlib", "pytest", "_pytest", "hypothesis", "mpi4py", "numba", "cython", "pandas",
}  # fmt: skip


def is_library(frame):
    """Whether a frame runs code of a library, or code that a library made: of named tuples, of ``__array_function__``."""
    name = frame.f_globals.get("__name__", "")
    root = name.partition(".")[0] if isinstance(name, str) else ""
    made = root.startswith("namedtuple_") or frame.f_code.co_filename.startswith("<__array_function__")
    return made or (root in LIBRARIES and root != "__main__")
