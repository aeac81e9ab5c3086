"""From adjoints of a tape's inputs to derivatives by the arguments, in the structure that these have."""

from __future__ import annotations

from collections import Counter
from math import prod

import numpy as np

from sparsead.derivatives.inputs import rebuilt
from sparsead.tracing.substitution import resolve


class Arrangement:
    """What is made of the adjoints that a sweep gives for one recording.

    Parameters
    ----------
    prepared : Prepared
    types : list of ValueType
        Of the adjoints of its active inputs, in their order.
    """

    def __init__(self, prepared, types):
        self._places, leaves = prepared.places, prepared.leaves
        count = Counter(leaf.input for leaf in leaves)
        found = [(prepared.active.index(leaf.input), leaf) for leaf in leaves]
        self._parts = [(k, leaf, count[leaf.input] == 1 and _is_whole(leaf, types[k])) for k, leaf in found]
        self._flat = [leaf.path for leaf in leaves] == list(self._places)

    def __call__(self, adjoints, arguments):
        """For each differentiated argument its derivative; `adjoints` are the sweep's own results, which may be passed on."""
        per_leaf = [adjoints[k] if whole else _of_leaf(leaf, adjoints[k]) for k, leaf, whole in self._parts]
        if self._flat:
            return per_leaf
        results = {leaf.path: result for (_, leaf, _), result in zip(self._parts, per_leaf, strict=True)}
        return [rebuilt(resolve(place, arguments), place, results) for place in self._places]


def _is_whole(leaf, vtype):
    """Whether an adjoint of this type is the leaf's own: an array of its shape, in C order."""
    in_c_order = tuple(vtype.dtype.itemsize * prod(vtype.shape[axis + 1 :]) for axis in range(vtype.ndim))
    return leaf.block is not None and leaf.block.whole and vtype.shape == leaf.shape and vtype.strides == in_c_order


def _of_leaf(leaf, adjoint):
    part = leaf.extract(adjoint)
    return part[()] if leaf.scalar and isinstance(part, np.ndarray) else part
