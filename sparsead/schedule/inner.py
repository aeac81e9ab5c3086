"""Which inner loop an elementwise op runs: the dtypes that operands are cast to, and those of the results."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

KINDS = "?bBhHiIlLqQefdgFDG"  # of NumPy's inner loops that need no Python
FAULTY = {"power", "float_power"}  # raise errors on integers
NAMES = {np.dtype(c): c for c in KINDS}
CASTS = "?bBhHiIlLqQfd"
CHOICES = {"select", "strong_multiply", "stop_gradient"}  # ops that are no ufuncs, with loops of our own


def signature(record, operands, results):
    """Dtypes of the inner loop, operands then results; None if there is none that could be run."""
    return _signature(record, tuple(operands), tuple(results))


@lru_cache(maxsize=1 << 14)
def _signature(record, operands, results):
    if any(not d.isnative or d.char not in KINDS for d in (*operands, *results)):
        return None
    found = _choice(record.name, operands, results) if record.name in CHOICES else _resolved(record.ufunc, operands, results)
    if found is None or found[len(operands) :] != results:
        return None
    pairs = zip(operands, found, strict=False)
    return found if all(a == b or castable(a, b) for a, b in pairs) else None


def _resolved(ufunc, operands, results):
    if not isinstance(ufunc, np.ufunc) or ufunc.signature is not None:
        return None
    try:
        dtypes = ufunc.resolve_dtypes((*operands, *[None] * len(results)))
    except TypeError:
        return None
    if ufunc.__name__ in FAULTY and dtypes[0].kind not in "fc":
        return None
    return tuple(dtypes) if loop_index(ufunc, dtypes) is not None else None


def _choice(name, operands, results):
    (t,) = results
    if name == "select":
        return (np.dtype(bool), t, t, t) if t.itemsize in (1, 2, 4, 8, 16) else None
    if name == "stop_gradient":
        return (t, t)
    return (t, t, t) if t.char in "fd" else None


def loop_index(ufunc, dtypes):
    """Number of the inner loop of a ufunc for these dtypes, or None."""
    return _loops(ufunc).get(_names(dtypes))


@lru_cache(maxsize=1 << 10)
def _loops(ufunc):
    """Numbers of the inner loops, by the names of their dtypes."""
    return {_names(loop.replace("->", "")): k for k, loop in reversed(list(enumerate(ufunc.types)))}


def _names(dtypes):
    """One name for dtypes that are equal: int64 is "l" and "q"."""
    return "".join(NAMES.get(np.dtype(d), d if isinstance(d, str) else d.char) for d in dtypes)


def castable(a, b):
    """Whether there is a loop that casts from `a` to `b`."""
    return a == b or (a.char in CASTS and b.char in CASTS + "FD") or (a.char in "FD" and b.char in "fdFD")
