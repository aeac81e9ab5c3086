"""The diagonal, or the diagonal blocks, of a Hessian, and nothing else of it.

Law: only wanted entries have to be told apart. Directly: the structure of the result has no others. By sweeps: columns may share
a colour unless their entries meet in a row in which one of the two is wanted; for the diagonal this is a colouring of the graph
of the Hessian in which neighbours differ, which takes fewer colours than one for all entries.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from sparsead.derivatives.compressed import Compressed
from sparsead.derivatives.inputs import rebuilt
from sparsead.derivatives.jacobians import Hessian, _order
from sparsead.derivatives.layouts import index_pointers
from sparsead.derivatives.prepared import Derivative
from sparsead.sparsity.colouring import Coloring, color_columns
from sparsead.tracing.record import name_of
from sparsead.tracing.substitution import resolve

METHODS = ("auto", "direct", "column")


class Blocks(Compressed):
    """What `Compressed` is for a Hessian, for entries of diagonal blocks of `block` rows each."""

    def __init__(self, tape, rows, columns, program, block, order, method, settle):
        self.block = block
        super().__init__(tape, rows, columns, "csr", order, program, method, settle=settle)

    def _stored(self, indptr, indices):
        row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        wanted = row // self.block == indices // self.block
        self._conflicts = indptr, indices, wanted
        counts = np.bincount(row[wanted], minlength=len(indptr) - 1)
        return index_pointers(np.concatenate([[0], np.cumsum(counts)])), indices[wanted]

    def _colored(self, kind):
        """The `Coloring` of the columns: all wanted entries can be told from the others."""
        pairs = conflicts(*self._conflicts)
        found = color_columns(np.arange(0, pairs.size + 1, 2), pairs.ravel(), (len(pairs), self.shape[1]), order=self.order)
        return Coloring("column", found.colors, found.lower_bound, found.order, pattern=(self.indptr, self.indices, self.shape))

    def _counted(self):
        return {"column": self._count("column")}

    def _least(self):
        return self._cost(1)

    def blocks(self, matrix):
        """The entries with zeros between them, of shape (n,) or (n / block, block, block)."""
        n, b = self.shape[0], self.block
        full = np.zeros(n * b, matrix.dtype)
        full[np.repeat(np.arange(n) * b, np.diff(matrix.indptr)) + matrix.indices % b] = matrix.data
        return full if b == 1 else full.reshape(n // b, b, b)


def conflicts(indptr, indices, wanted):
    """Pairs of columns that meet in a row where one of the two is wanted.

    Parameters
    ----------
    indptr, indices : ndarray of int
        Compressed rows.
    wanted : ndarray of bool
        Of each entry.

    Returns
    -------
    ndarray of int32, shape (pairs, 2)
        The smaller column first, each pair once.

    Examples
    --------
    >>> import numpy as np
    >>> conflicts(np.array([0, 2, 5]), np.array([0, 1, 0, 1, 2]), np.array([True, False, False, True, False]))
    array([[0, 1],
           [1, 2]], dtype=int32)
    """
    counts = np.diff(indptr)
    row = np.repeat(np.arange(len(counts)), counts)[wanted]
    lengths = counts[row]  # each wanted entry meets all of its row
    first = np.repeat(indptr[row] - np.cumsum(lengths) + lengths, lengths)
    others = indices[first + np.arange(lengths.sum())].astype(np.int64)
    mine = np.repeat(indices[wanted], lengths)
    low, high = np.minimum(mine, others), np.maximum(mine, others)
    n = int(indices.max(initial=0)) + 1
    keys = np.unique((low * n + high)[low < high])
    return np.stack([keys // n, keys % n], axis=1).astype(np.int32)


class HessianDiagonal(Hessian):
    """Callable that gives the diagonal, or the diagonal blocks, of the Hessian; made by `hessian_diagonal`."""

    kind = "hessian_diagonal"

    def __init__(self, function, wrt=0, of="return", has_aux=False, engine="auto", fast=False, block=None, order="natural",
                 method="auto"):  # fmt: skip
        if method not in METHODS:
            raise ValueError(f"method={method!r} is unknown; choose one of {', '.join(map(repr, METHODS))}")
        if block is not None and (isinstance(block, bool) or not isinstance(block, (int, np.integer)) or block < 1):
            raise ValueError(f"block={block!r} has to be a number of rows, at least 1, or None for the diagonal")
        Derivative.__init__(self, function, wrt, of, has_aux, engine, fast, block=block, order=_order(order), method=method)

    def __call__(self, *args, **kwargs):
        """The diagonal in the structure of the arguments, or an array of blocks."""
        return self._run(args, kwargs, lambda p, inputs, arguments: self._arranged(p, self._work(p, inputs, None), arguments))

    def check(self, *args, **kwargs):
        """A part of a matrix has no products: check `sparsead.hessian` of the function."""
        raise NotImplementedError(f"sparsead.{self.kind} has no check: sparsead.hessian(f).check(..) checks the whole Hessian")

    def _finish(self, prepared, tape, rows, columns):
        options = {**self.options, "block": self.options["block"] or 1}
        if rows.length % options["block"]:
            raise ValueError(f"sparsead.{self.kind}: block={options['block']} does not divide the {rows.length} inputs of "
                             f"{name_of(self.function)}")  # fmt: skip
        return Blocks(tape, rows, columns, prepared.program, settle=partial(self._in_line, prepared.recording), **options)

    def _arranged(self, prepared, matrix, arguments):
        full = self._compressed(prepared).blocks(matrix)
        if self.options["block"] is not None:
            return full if full.ndim == 3 else full.reshape(-1, 1, 1)
        parts = np.split(full, np.cumsum([leaf.size for leaf in prepared.leaves])[:-1])
        results = {leaf.path: _shaped(part, leaf) for part, leaf in zip(parts, prepared.leaves, strict=True)}
        diagonals = [rebuilt(resolve(place, arguments), place, results) for place in prepared.places]
        return diagonals[0] if self._single_wrt else tuple(diagonals)


def _shaped(part, leaf):
    part = np.array(part.reshape(leaf.shape), leaf.dtype)
    return part[()] if leaf.scalar else part


def hessian_diagonal(f, wrt=0, of="return", *, block=None, order="natural", method="auto", engine="auto", fast=False):
    """The diagonal of the Hessian of a scalar function, or its diagonal blocks, as a function: other entries are not computed.

    Parameters
    ----------
    f, wrt, of, order, engine, fast
        See `jacobian`; `f` gives one number.
    block : int, optional
        Rows of a block. Blocks are of consecutive C-order raveled inputs, of all arguments of `wrt` one after the other.
    method : {"auto", "direct", "column"}
        How entries are computed: "direct", one by one; by Hessian-vector products for colours of "column"; or by what counts as
        cheaper, which ``.report()`` tells.

    Returns
    -------
    HessianDiagonal
        Takes the arguments of `f`. Gives the diagonal in the structure of the argument, as `grad` gives the gradient (a tuple if
        `wrt` is one); with `block` an array of shape (n / block, block, block). Inspect it by ``.method``, ``.coloring``,
        ``.pattern`` (what is computed) and ``.report()``; ``.prepare(*args)`` traces, and plans the work ahead.

    Raises
    ------
    TypeError
        `f` gives more than one number, or an argument of `wrt` holds no floating numbers.
    ValueError
        An option is unknown; `block` does not divide the number of inputs; or `method` is "direct" and the entries cannot be
        computed so.

    Notes
    -----
    Preconditioners want no more. A product with the sum of the unit vectors of one colour has in row i the sum of the entries of
    that colour, which is the one wanted if its column is the only one of the colour there: columns differ where they share a row
    in which one of them is wanted. For the diagonal these are neighbours in the graph of the Hessian, so a chain takes 2 colours,
    where the Hessian takes 3.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> def energy(x):
    ...     return np.sum((x[1:] - x[:-1] ** 2) ** 2)
    >>> sparsead.hessian_diagonal(energy)(np.array([1.0, 2.0, 3.0]))
    array([ 4., 38.,  2.])
    >>> sparsead.hessian_diagonal(energy, block=2)(np.array([1.0, 2.0, 3.0, 4.0]))
    array([[[  4.,  -4.],
            [ -4.,  38.]],
    <BLANKLINE>
           [[ 94., -12.],
            [-12.,   2.]]])

    """
    return HessianDiagonal(f, wrt, of, False, engine, fast, block, order, method)


__all__ = ["HessianDiagonal", "hessian_diagonal"]
