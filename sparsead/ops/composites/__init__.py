"""NumPy's functions that are no ops of the tape, each expressed in a few primitives.

``COMPOSITES`` maps a function object of NumPy to ours, which has the same signature; ``METHODS`` maps the name of a
method of ndarray to ours, which takes the array first. They run alike on plain and on traced arrays: what they need
besides ufuncs, operators, indexing and the methods that make views stands in ``_primitives``. One function is added by
writing it, under a decorator that names it.
"""

from . import (  # noqa: F401 - the decorators of these fill the tables
    contractions,
    differences,
    elementwise,
    indexing,
    joining,
    linalg,
    nan_reductions,
    norms,
    padding,
    products,
    reductions,
    sorting,
    views,
)
from ._registry import COMPOSITES, METHODS

__all__ = ["COMPOSITES", "METHODS"]
