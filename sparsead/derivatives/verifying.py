"""A sparse Jacobian held against products that know nothing of patterns, colours or engines."""

from __future__ import annotations

import numpy as np

from sparsead.derivatives.sweeps import flat_lanes
from sparsead.engine.reference import Program
from sparsead.ops.effect import begin_sweep

SHOWN = 3  # rows that a message names


class DerivativeError(AssertionError):
    """A derivative does not pass a test; the message says which, and by how much."""


def verify(compressed, inputs, matrix, probes, seed, what):
    """The largest difference of products with random vectors, relative to what rounding may do to a row.

    Parameters
    ----------
    compressed : Compressed
    inputs : list of ndarray
        The point.
    matrix : ndarray or sparse array
        The Jacobian there.
    probes : int
        How many vectors.
    seed : int
    what : str
        For messages.

    Returns
    -------
    float

    Raises
    ------
    DerivativeError
        A row of a product differs by more than rounding.

    Notes
    -----
    The product is the tangent of the tape, run op by op by the reference interpreter. A wrong or missing entry goes unnoticed
    with probability zero.
    """
    matrix = compressed.whole(matrix)
    dtype = matrix.dtype if matrix.dtype.kind in "fc" else np.dtype(float)
    rng, worst = np.random.default_rng(seed), 0.0
    program, tolerance = Program(compressed.directions.forward), _tolerance(compressed.directions.forward)
    for _ in range(probes):
        v = rng.uniform(0.5, 1.5, compressed.shape[1]) * rng.choice([-1.0, 1.0], compressed.shape[1])
        v = v.astype(dtype)
        begin_sweep()
        expected = _flat(program.run([*inputs, *_seeds(compressed, v)]), compressed)
        found, scale = matrix @ v, abs(matrix) @ abs(v)
        off = _differences(found, expected, scale + abs(expected))
        worst = max(worst, float(off.max(initial=0.0)))
        bad = np.flatnonzero(off > tolerance)
        if bad.size:
            rows = "; ".join(f"row {i}: {found[i]:.6g}, the product is {expected[i]:.6g}" for i in bad[:SHOWN])
            raise DerivativeError(f"{what}: {bad.size} of {len(found)} rows differ from products with random vectors: {rows}")
    return worst


def _differences(found, expected, scale):
    """Relative differences; NaN and infinities must be in the same rows."""
    finite = np.isfinite(found) & np.isfinite(expected)
    off = np.zeros(len(found))
    off[finite] = abs(found[finite] - expected[finite]) / np.maximum(scale[finite], np.finfo(found.dtype).tiny)
    off[np.isfinite(found) != np.isfinite(expected)] = np.inf
    return off


def _tolerance(tape):
    """What rounding may do, in the coarsest numbers on a tape."""
    return 1e4 * max(float(np.finfo(t.dtype).eps) for t in tape.pool.types if t.inexact)


def _seeds(compressed, v):
    """A vector over the columns as tangents of the inputs, in their layouts."""
    axis, tape = compressed.columns, compressed.tape
    flat = np.zeros(axis.total)
    axis.scatter(flat, ..., slice(None), v)
    parts = np.split(flat, np.cumsum(axis.sizes)[:-1])
    return [_laid(part, tape.type(tape.inputs[k])) for part, k in zip(parts, axis.values, strict=True)]


def _laid(flat, vtype):
    memory = np.array(flat, vtype.dtype)
    return np.lib.stride_tricks.as_strided(memory, vtype.shape, vtype.strides)


def _flat(results, compressed):
    """The rows, from outputs in any layout."""
    parts = [flat_lanes(np.asarray(r)[None], 1, np.ndim(r))[0] for r in results[: len(compressed.rows.values)]]
    flat = np.concatenate(parts) if parts else np.zeros(0)
    return flat if compressed.rows.where is None else flat[compressed.rows.where]


__all__ = ["DerivativeError", "verify"]
