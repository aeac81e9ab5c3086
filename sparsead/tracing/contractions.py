"""The op ``einsum`` of a trace, in the one form that the tape has: explicit output, no ellipsis, equal extents of a letter."""

from __future__ import annotations

import numpy as np

from sparsead.ops.contraction import evaluate
from sparsead.tracing._traced import concrete_of


def contraction(trace, terms, arrays, out):
    """The op ``einsum``: `terms` are strings of letters, one per array."""
    concrete = [np.asarray(concrete_of(a)) for a in arrays]
    dtype = np.result_type(*concrete)
    subscripts = ",".join(terms) + "->" + out
    result = evaluate(subscripts, [c.astype(dtype, copy=False) for c in concrete])
    result = np.array(result, order="C") if isinstance(result, np.ndarray) and result.ndim else np.asarray(result)[()]
    value = trace.op("einsum", [trace.operand(a, dtype) for a in arrays], dtype, np.shape(result), subscripts)
    return trace.result(result, value)
