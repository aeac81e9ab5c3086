"""Ops whose results carry no derivative: positions, sort orders, winners of repeated writes.

Law: their results are computed again at every replay; a result whose shape is another than in the trace fails its guard.
"""

from __future__ import annotations

import numpy as np

from sparsead.tape.spec import GuardFailed, Op, register


def _inactive(arrays, op, types):
    result = op.attr(*arrays)
    results = result if len(types) > 1 else (result,)
    for r, t in zip(results, types, strict=True):
        if np.shape(r) != t.shape:
            raise GuardFailed(f"{op.attr!r} at {op.line} gave shape {np.shape(r)}, the trace had {t.shape}")
    return tuple(results)


def _winners(arrays, op, types):
    """Flags: elements of an index array that no later equal element follows (the last write wins)."""
    flat = np.ravel(arrays[0])
    _, first = np.unique(flat[::-1], return_index=True)
    wins = np.zeros(flat.size, bool)
    wins[flat.size - 1 - first] = True
    return (wins.reshape(np.shape(arrays[0])),)


register(Op("inactive", 18, _inactive, inactive=True))
register(Op("winners", 19, _winners, inactive=True))
