"""Integer arrays as affine boxes.

Law: along each axis the cuts are the same for all arrays of a group, so that what is computed for one box serves all of them.
"""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np

from sparsead.transform.partials.geometry import affine

MAX_BOXES = 256


def boxes(arrays):
    """A partition of the indices of some integer arrays of one shape, such that most of them are affine in each box.

    Parameters
    ----------
    arrays : list of ndarray
        Of one shape, with at least one axis.

    Returns
    -------
    list of tuple of slice
        In C order; a single box of all indices where cuts would be too many.

    Examples
    --------
    >>> import numpy as np
    >>> boxes([np.array([5, 0, 2, 4, 6, 1])])
    [(slice(0, 1, None),), (slice(1, 5, None),), (slice(5, 6, None),)]
    """
    shape = arrays[0].shape
    cuts = [_cuts(arrays, axis) for axis in range(len(shape))]
    if np.prod([len(c) - 1.0 for c in cuts]) > MAX_BOXES:
        return [tuple(slice(0, n) for n in shape)]
    return list(product(*([slice(a, b) for a, b in pairwise(c)] for c in cuts)))


def _cuts(arrays, axis):
    """Where the differences along an axis change: between two elements with a difference that neither neighbour has."""
    n = arrays[0].shape[axis]
    cut = np.zeros(max(n - 1, 0), bool)
    for array in arrays:
        cut |= _lonely(np.moveaxis(array, axis, 0))
    return [0, *(int(k) + 1 for k in np.flatnonzero(cut)), n]


def _lonely(array):
    """Of the steps from element to element: those that are like neither neighbour, and the first of a run that follows a run."""
    rows = array.reshape(len(array), -1)
    steps = np.diff(rows, axis=0)
    steps[(rows[1:] < 0) != (rows[:-1] < 0)] = np.iinfo(steps.dtype).min
    if len(steps) < 2:
        return (steps == np.iinfo(steps.dtype).min).any(axis=1)
    change = (steps[1:] != steps[:-1]).any(axis=1)
    before, after = np.concatenate([[True], change]), np.concatenate([change, [True]])
    lonely = before & after
    follows = before & ~after
    follows[0] = False
    follows[1:] &= ~lonely[:-1]
    return lonely | follows


def is_affine(array):
    """(start, strides) of positions that are affine in their indices and at least 0; None if they are not."""
    start, strides = affine(array)
    if strides is None or array.min() < 0:
        return None
    return start, strides
