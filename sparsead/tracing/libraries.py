"""Which code is the user's and which is a library's."""

import sys

LIBRARIES = frozenset(sys.stdlib_module_names) | {
    "numpy", "scipy", "sparsead", "matplotlib", "pytest", "_pytest", "hypothesis", "mpi4py", "numba", "cython", "pandas",
}  # fmt: skip
