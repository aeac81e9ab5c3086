"""Sparse Jacobians and Hessians: a pattern, and the entries, by colours or directly, as a ``scipy.sparse`` array.

By colours: columns (rows) that share no row (column) of the pattern get one colour and one seed; so a batch of as many
tangents (adjoints) as there are colours holds every entry once, and a gather picks them (Curtis, Powell and Reid, IMA J.
Appl. Math. 13 (1974); Gebremedhin, Manne and Pothen, SIAM Review 47 (2005)). Directly: entry by entry, where each is a
product and sum of few partial derivatives (`sparsead.sparsity.direct`). What counts as cheaper is taken.
"""

from __future__ import annotations

from copy import copy
from functools import cached_property

import numpy as np
from scipy.sparse import csc_array, csr_array

from sparsead.decisions import LOG
from sparsead.derivatives.gradients import _check_scalar
from sparsead.derivatives.prepared import Derivative
from sparsead.ops.effect import begin_sweep
from sparsead.sparsity.colouring import color_columns, color_rows
from sparsead.sparsity.direct.assembly import assembly
from sparsead.sparsity.direct.cost import cost_of, cost_of_sweeps
from sparsead.sparsity.direct.pieces import Structure
from sparsead.sparsity.pattern import jacobian_pattern
from sparsead.tracing.errors import TraceError
from sparsead.transform._adjoint import adjoint
from sparsead.transform._batch import batch
from sparsead.transform._simplify import simplify
from sparsead.transform._split import bind
from sparsead.transform._tangent import tangent
from sparsead.transform.fixed import precomputed
from sparsead.transform.partials.terms import GiveUp

LANES_BYTES = 1 << 28  # a batch of seeds is split where one array of it would take more
REVERSE_COST = 2.0  # of a reverse sweep with its forward sweep, in forward sweeps
FORMATS = {"csr": csr_array, "csc": csc_array, "dense": np.ndarray}
METHODS = ("auto", "direct", "column", "row")


class Axis:
    """Rows or columns of a Jacobian: C-order elements of leaves, and where they are in the memory of tape values.

    Attributes
    ----------
    values : list of int
        Positions among the tape's inputs or outputs.
    sizes : list of int
        Elements of the memory of each.
    where : ndarray or None
        For each row (column) its position in the concatenated memory; None for the identity.
    """

    def __init__(self, values, sizes, where):
        self.values, self.sizes, self.total = values, sizes, sum(sizes)
        identity = len(where) == self.total and np.array_equal(where, np.arange(self.total))
        self.where, self.length = (None if identity else where), len(where)

    @classmethod
    def of_leaves(cls, leaves, tape, values):
        """The axis of differentiated leaves; `values` are the inputs that hold them."""
        sizes = [tape.type(tape.inputs[v]).size for v in values]
        start = dict(zip(values, np.concatenate([[0], np.cumsum(sizes)])[:-1], strict=True))
        where = [start[leaf.input] + leaf.element_positions() for leaf in leaves]
        return cls(values, sizes, np.concatenate(where) if where else np.zeros(0, np.int64))

    @classmethod
    def of_outputs(cls, tape, values):
        """The axis of C-order outputs."""
        sizes = [tape.type(tape.outputs[v]).size for v in values]
        return cls(values, sizes, np.arange(sum(sizes)))

    def numbers(self):
        """By position in the concatenated memory the row (column), -1 for none; None for the identity."""
        if self.where is None:
            return None
        numbers = np.full(self.total, -1, np.int64)
        numbers[self.where] = np.arange(self.length)
        return numbers


class Compressed:
    """Everything about one recording's Jacobian that does not depend on the point.

    Parameters
    ----------
    tape : Tape
    rows, columns : Axis
        Over outputs and inputs of `tape`.
    format, order, method : str
        See `jacobian`.
    program : callable
        Makes a tape ready to run.

    Attributes
    ----------
    method : {"direct", "column", "row"}
        How entries are computed.
    costs : dict
        By method, what was counted for it; see `sparsead.sparsity.direct.cost`.
    obstacle : str or None
        Why entries cannot be computed directly.
    """

    def __init__(self, tape, rows, columns, format, order, program, method="auto"):
        self.tape, self.rows, self.columns, self.format, self.program = tape, rows, columns, format, program
        self.order, self.asked = order, method
        indptr, indices, self.assumed_dense = jacobian_pattern(tape, columns.values, rows.values)
        self.shape = (rows.length, columns.length)
        self.indptr, self.indices = _selected(indptr, indices, (rows.total, columns.total), rows.where, columns.where)
        self.out_indptr, self.out_indices, _ = self._result()
        for array in (self.indptr, self.indices, self.out_indptr, self.out_indices):
            array.flags.writeable = False
        self.programs, self.costs, self.obstacle = {}, {}, None
        self.method = self._choice()
        LOG.info("pattern of %d x %d with %d entries: %s", *self.shape, len(self.indices), self.described())

    def _result(self):
        """Index arrays of the result, and its entries as positions among compressed rows; None if these are the same."""
        if self.format != "csc":
            return self.indptr, self.indices, None
        index = csr_array((np.arange(len(self.indices)), self.indices, self.indptr), self.shape).tocsc()
        index.sort_indices()
        return index.indptr, index.indices, index.data

    # ---- the method ----------------------------------------------------------------------------------------------

    def _choice(self):
        """The method that was asked for, or the cheaper one."""
        if self.asked in ("column", "row"):
            return self.asked
        self._direct_tape = self._tape_of_entries()
        if self.asked == "direct":
            if self._direct_tape is None:
                raise ValueError(f"method='direct' is not possible here: {self.obstacle}; leave it to method='auto'")
            return "direct"
        if self._direct_tape is None or not len(self.indices):
            return self.coloring.partition
        direct, least = cost_of(self._direct_tape), self._cost_of_sweeps(self._least_lanes())
        self.costs = {"direct": direct, "sweeps, at least": least}
        if direct > least:  # count colours only where they matter
            lanes = self.coloring.count * (1 if self.coloring.partition == "column" else REVERSE_COST)
            self.costs = {"direct": direct, self.coloring.partition: self._cost_of_sweeps(lanes)}
        best = min(self.costs, key=self.costs.__getitem__)
        return best if best == "direct" else self.coloring.partition

    def _least_lanes(self):
        """Forward sweeps that any colouring costs: no two entries of a row (column) share a colour."""
        return min(int(np.diff(self.indptr).max()), REVERSE_COST * int(np.bincount(self.indices).max()))

    def _cost_of_sweeps(self, lanes):
        return cost_of_sweeps(self.tape, self._forward_tape, lanes, len(self.indices))

    def _tape_of_entries(self):
        """The tape from inputs to data, or None."""
        structure = Structure(
            self.out_indptr, self.out_indices, self.format == "csc", self.rows.numbers(), self.columns.numbers()
        )  # fmt: skip
        try:
            return assembly(self.tape, self.columns.values, self.rows.values, structure)
        except GiveUp as error:
            self.obstacle = str(error)
            return None

    @cached_property
    def coloring(self):
        """The `Coloring`, of columns unless rows were asked for or are cheaper."""
        if self.asked == "row":
            return color_rows(self.indptr, self.indices, self.shape, order=self.order)
        if self.asked == "column":
            return color_columns(self.indptr, self.indices, self.shape, order=self.order)
        return _cheaper_coloring(self.indptr, self.indices, self.shape, self.order)

    # ---- entry by entry ------------------------------------------------------------------------------------------

    @cached_property
    def _direct_program(self):
        return self.program(self._direct_tape, "entries")

    def _direct(self, inputs, out):
        (v,) = self._direct_tape.outputs
        mine = (
            out is not None and out.dtype == self._direct_tape.type(v).dtype and out.flags.carray
            and not any(np.may_share_memory(out, x) for x in inputs)
        )  # fmt: skip
        begin_sweep()
        (data,) = self._direct_program.run([np.asarray(x) for x in inputs], [out] if mine else None)
        return data

    # ---- sweeps --------------------------------------------------------------------------------------------------

    @cached_property
    def gather(self):
        """For each stored entry of the result its place in the compressed matrix (colour, element)."""
        row_of = self._row_of_entries()
        colors = self.coloring.colors
        if self.coloring.partition == "column":
            element = row_of if self.rows.where is None else self.rows.where[row_of]
            lane, width = colors[self.indices], self.rows.total
        else:
            element = self.indices if self.columns.where is None else self.columns.where[self.indices]
            lane, width = colors[row_of], self.columns.total
        gather = lane.astype(np.int64) * width + element
        entries = self._result()[2]
        return gather if entries is None else gather[entries]

    def _row_of_entries(self):
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def _dense_rows(self):
        """`_row_of_entries`, kept where each call needs it."""
        return self._row_of_entries()

    @cached_property
    def _chunks(self):
        """Ranges of colours that one sweep takes."""
        widest = max([1, *self.rows.sizes, *self.columns.sizes]) * 8
        lanes = max(1, min(self.coloring.count, LANES_BYTES // widest))
        return [(first, min(first + lanes, self.coloring.count)) for first in range(0, self.coloring.count, lanes)]

    def _seeds(self, first, last):
        """Seeds of colours first..last-1, one array of lanes for each seeded value."""
        axis = self.columns if self.coloring.partition == "column" else self.rows
        colors = self.coloring.colors
        chosen = np.flatnonzero((colors >= first) & (colors < last))
        where = chosen if axis.where is None else axis.where[chosen]
        flat = np.zeros((last - first, axis.total))
        flat[colors[chosen] - first, where] = 1.0
        parts = np.split(flat, np.cumsum(axis.sizes)[:-1], axis=1)
        tape = self.tape
        ids = [tape.inputs[v] if self.coloring.partition == "column" else tape.outputs[v] for v in axis.values]
        return [_in_lanes(part, tape.type(v)) for part, v in zip(parts, ids, strict=True)]

    def _program(self, first, last):
        """What runs the batched sweep of these colours."""
        if (first, last) not in self.programs:
            self.programs[first, last] = self.program(self._sweep(first, last), f"colours {first} to {last - 1}")
        return self.programs[first, last]

    def _sweep(self, first, last):
        """The batched sweep of these colours, with its seeds folded in: what depends on them alone is computed here."""
        n = len(self.tape.inputs)
        sweep = self._forward_tape if self.coloring.partition == "column" else self._reverse_tape
        seeds = self._seeds(first, last)
        places = range(n, n + len(seeds))
        bound = bind(batch(sweep, places, last - first), dict(zip(places, seeds, strict=True)))
        return precomputed(simplify(bound))

    @cached_property
    def _forward_tape(self):
        tape = tangent(self.tape, self.columns.values)
        n = len(self.tape.outputs)
        tape.outputs = [tape.outputs[n + v] for v in self.rows.values]
        return simplify(tape)

    @cached_property
    def _reverse_tape(self):
        tape, _ = adjoint(self.tape, self.columns.values, self.rows.values)
        tape.outputs = tape.outputs[len(self.tape.outputs) :]
        return simplify(tape)

    @cached_property
    def _ndims(self):
        """Of each result the number of its axes before lanes were added to it."""
        sweep = self._forward_tape if self.coloring.partition == "column" else self._reverse_tape
        return [sweep.type(v).ndim for v in sweep.outputs]

    def data(self, inputs, out=None):
        """Values of the stored entries, in the order of the result's index arrays; in `out` if given."""
        if not len(self.indices):
            return np.zeros(0)
        if self.method == "direct":
            return self._direct(inputs, out)
        parts = []
        for first, last in self._chunks:
            begin_sweep()
            results = zip(self._program(first, last).run(inputs), self._ndims, strict=True)
            parts.append(_joined([_flat_lanes(r, last - first, ndim) for r, ndim in results], 1))
        compressed = _joined(parts, 0).reshape(-1)
        if out is None or out.dtype != compressed.dtype or not out.flags.c_contiguous:
            return np.take(compressed, self.gather)
        return np.take(compressed, self.gather, out=out, mode="clip")  # the default mode writes by way of another array

    def make_ready(self):
        """Make what a call runs."""
        if not len(self.indices):
            return
        if self.format == "dense":
            self._dense_rows  # noqa: B018  (made where it is looked at)
        if self.method == "direct":
            self._direct_program  # noqa: B018  (made where it is looked at)
            return
        self.gather  # noqa: B018
        for first, last in self._chunks:
            self._program(first, last)

    # ---- results -----------------------------------------------------------------------------------------------

    def assemble(self, inputs, out=None):
        """The Jacobian as an array of the format asked for; into `out` if given."""
        if out is not None and self.format != "dense":
            self._check_structure(out)
            data = self.data(inputs, out.data)
            if data is not out.data:
                out.data[...] = data
            return out
        data = self.data(inputs)
        if self.format == "dense":
            dense = np.zeros(self.shape, data.dtype) if out is None else _checked_dense(out, self.shape, data.dtype)
            dense[...] = 0
            dense[self._dense_rows, self.indices] = data
            return dense
        result = copy(self._empty)
        result.data = data
        return result

    @cached_property
    def _empty(self):
        """A result without data: a copy of it costs a tenth of making one."""
        return _sparse(FORMATS[self.format], np.zeros(0), self.out_indices, self.out_indptr, self.shape)

    def _check_structure(self, out):
        if type(out) is not FORMATS[self.format] or out.shape != self.shape:
            raise ValueError(f"out has to be a {self.format}_array of shape {self.shape}, got {type(out).__name__} of shape "
                             f"{getattr(out, 'shape', None)}")  # fmt: skip
        same = out.indices is self.out_indices or (
            np.array_equal(out.indices, self.out_indices) and np.array_equal(out.indptr, self.out_indptr)
        )
        if not same:
            raise ValueError("out has another structure than this Jacobian; pass one of its own results")

    def described(self):
        """In words: the method, and why."""
        if self.method == "direct":
            text = "entry by entry, without colours"
        else:
            text = f"{self.coloring!r}, {len(self._chunks)} sweep(s)"
        if self.costs:
            text += "; counted: " + ", ".join(f"{name} {cost:.3g}" for name, cost in sorted(self.costs.items()))
        return text if self.obstacle is None else f"{text}; not entry by entry: {self.obstacle}"

    @cached_property
    def pattern(self):
        """The structure as a ``csr_array`` of ones."""
        return _sparse(csr_array, np.ones(len(self.indices)), self.indices, self.indptr, self.shape)


def _joined(arrays, axis):
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=axis)


def _flat_lanes(array, lanes, ndim):
    """Lanes of an output in the order of the value's memory: C order, or that of an input's layout."""
    if array.ndim == ndim:  # the same for all seeds
        return np.tile(_flat_lanes(array[None], 1, ndim), (lanes, 1))
    if array.flags.c_contiguous:
        return array.reshape(lanes, -1)
    order = sorted(range(1, array.ndim), key=lambda k: -abs(array.strides[k]))
    return array.transpose(0, *order).reshape(lanes, -1)


def _in_lanes(flat, vtype):
    """Flat seeds as lanes of arrays in the memory layout of `vtype`."""
    lanes = np.array(flat, dtype=vtype.dtype, order="C")
    return np.lib.stride_tricks.as_strided(
        lanes, (len(lanes), *vtype.shape), (vtype.nbytes, *vtype.strides), writeable=True
    )  # fmt: skip


def _selected(indptr, indices, shape, rows, columns):
    """The pattern's rows and columns at the given positions."""
    if rows is None and columns is None:
        return indptr, indices
    full = _sparse(csr_array, np.ones(len(indices), np.int8), indices, indptr, shape)
    part = full if rows is None else full[rows]
    part = (part if columns is None else part.tocsc()[:, columns].tocsr()).sorted_indices()
    return part.indptr.astype(np.int32, copy=False), part.indices.astype(np.int32, copy=False)


def _cheaper_coloring(indptr, indices, shape, order):
    """Column colouring, unless rows need so many fewer colours that reverse sweeps are cheaper."""
    columns = color_columns(indptr, indices, shape, order=order)
    longest_column = int(np.bincount(indices, minlength=1).max()) if len(indices) else 0
    if REVERSE_COST * max(longest_column, 1) >= columns.count:
        return columns
    rows = color_rows(indptr, indices, shape, order=order)
    LOG.info("columns have %d colours, rows %d; a reverse sweep counts %g times", columns.count, rows.count, REVERSE_COST)
    return rows if REVERSE_COST * rows.count < columns.count else columns


def _sparse(cls, data, indices, indptr, shape):
    """A sparse array over shared index arrays, without SciPy's copies and checks."""
    array = cls(shape, dtype=data.dtype)
    array.data, array.indices, array.indptr = data, indices, indptr
    array.has_canonical_format = array.has_sorted_indices = True
    return array


def _checked_dense(out, shape, dtype):
    if not isinstance(out, np.ndarray) or out.shape != shape:
        raise ValueError(f"out has to be an array of shape {shape}, got shape {getattr(out, 'shape', None)}")
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise ValueError(f"out has to be of a dtype that holds {dtype}, got {out.dtype}")
    return out


class Jacobian(Derivative):
    """Callable that gives the Jacobian as a sparse array; made by `jacobian`."""

    kind = "jacobian"

    def __init__(self, function, wrt=0, of="return", has_aux=False, engine="auto", fast=False, format="csr", order="natural",
                 method="auto"):  # fmt: skip
        for name, value, known in (("format", format, FORMATS), ("method", method, METHODS)):
            if value not in known:
                raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(map(repr, known))}")
        super().__init__(function, wrt, of, has_aux, engine, fast, format=format, order=order, method=method)

    def __call__(self, *args, out=None, **kwargs):
        """The Jacobian at the arguments; ``(jacobian, aux)`` with ``has_aux``."""
        return self._run(args, kwargs, lambda p, inputs, arguments: self._work(p, inputs, out))

    def _work(self, prepared, inputs, out):
        if any(not isinstance(x, np.ndarray) for x in inputs):
            raise TraceError(f"sparsead.{self.kind} inside a differentiated function is not supported; use grad or vjp there")
        jacobian = self._compressed(prepared).assemble(inputs, out)
        if not self.has_aux:
            return jacobian
        primal = prepared.once("primal", lambda: prepared.program(prepared.tape, "primal"))
        begin_sweep()
        return jacobian, prepared.values(primal.run(inputs))[1]

    def _ready(self, prepared):
        self._compressed(prepared).make_ready()

    def _compressed(self, prepared):
        return prepared.once("compressed", lambda: self._compress(prepared))

    def _compress(self, prepared):
        columns = Axis.of_leaves(prepared.leaves, prepared.tape, prepared.active)
        rows = Axis.of_outputs(prepared.tape, list(range(prepared.outputs.n_targets)))
        return self._finish(prepared, prepared.tape, rows, columns)

    def _finish(self, prepared, tape, rows, columns):
        compressed = Compressed(tape, rows, columns, program=prepared.program, **self.options)
        return self._like_another(compressed)

    def _like_another(self, compressed):
        """Share the index arrays of an earlier recording with the same structure: results stay interchangeable."""
        for other in list(self._state.known):
            known = other.cache.get("compressed")
            if known is not None and known.shape == compressed.shape and np.array_equal(
                known.out_indptr, compressed.out_indptr
            ) and np.array_equal(known.out_indices, compressed.out_indices):
                compressed.out_indptr, compressed.out_indices = known.out_indptr, known.out_indices
        return compressed

    @property
    def pattern(self):
        """Structure of the most recent recording: a ``csr_array`` of ones."""
        return self._compressed(self.prepared).pattern

    @property
    def method(self):
        """How the most recent recording's entries are computed: "direct", or by sweeps for colours of "column" or "row"."""
        return self._compressed(self.prepared).method

    @property
    def coloring(self):
        """The `Coloring` of the most recent recording; entries that are computed directly do not need it."""
        return self._compressed(self.prepared).coloring

    def _report_on(self, prepared):
        compressed = self._compressed(prepared)
        lines = [f"  pattern: {compressed.shape[0]} x {compressed.shape[1]}, {len(compressed.indices)} entries",
                 f"  {compressed.described()}"]  # fmt: skip
        if compressed.assumed_dense:
            lines.append(f"  pattern assumed dense for: {', '.join(sorted(set(compressed.assumed_dense)))}")
        return lines


class Hessian(Jacobian):
    """Callable that gives the Hessian as a sparse array; made by `hessian`."""

    kind = "hessian"

    def _compress(self, prepared):
        _check_scalar(self, prepared)
        n = len(prepared.tape.outputs)
        seeded = bind(prepared.adjoint_tape, {len(prepared.tape.inputs): _one(prepared.tape.type(prepared.tape.outputs[0]))})
        seeded.outputs = seeded.outputs[n:]
        gradient = simplify(seeded)
        columns = Axis.of_leaves(prepared.leaves, gradient, prepared.active)
        rows = Axis(list(range(len(gradient.outputs))), columns.sizes,
                    np.arange(columns.total) if columns.where is None else columns.where)  # fmt: skip
        gradient.outputs = _in_layout(gradient, prepared)
        return self._finish(prepared, gradient, rows, columns)


def _in_layout(gradient, prepared):
    """Adjoints in the memory layout of their inputs, whatever layout the sweep gave them."""
    from sparsead.tape.spec import BY_NAME

    outputs = []
    for v, position in zip(gradient.outputs, prepared.active, strict=True):
        wanted = gradient.type(gradient.inputs[position])
        if gradient.type(v).strides != wanted.strides:
            (v,) = gradient.add(BY_NAME["copy"], (v,), [wanted])
        outputs.append(v)
    return outputs


def _one(vtype):
    return np.ones(vtype.shape, vtype.dtype) if vtype.shape else vtype.dtype.type(1)


def jacobian(f, wrt=0, of="return", *, has_aux=False, format="csr", order="natural", method="auto", engine="auto", fast=False):
    """The Jacobian of a function as a sparse array, as a function.

    Parameters
    ----------
    f : callable
        Gives numbers or arrays by its return value or through arguments that it writes. It may update arrays in place; the
        caller's arrays are never changed.
    wrt : int, str, or tuple of these
        Arguments to differentiate by; several give columns side by side.
    of : "return", int, str, or tuple of these
        What is differentiated: the return value, or arguments that `f` writes, by name or position.
    has_aux : bool
        `f` returns ``(value, aux)``.
    format : {"csr", "csc", "dense"}
        ``csr_array``, ``csc_array`` or ``ndarray``.
    order : {"natural", "largest_first", "random"}
        Order of the greedy colouring.
    method : {"auto", "direct", "column", "row"}
        How entries are computed: "direct", one by one, as sums of products of few partial derivatives; by sweeps for colours of
        "column" or of "row"; or by what counts as cheapest, which ``.report()`` tells.
    engine : {"auto", "native", "vm", "reference"}
        What runs the sweeps: kernels that the machine's compiler makes ("native"), the tiled engine ("vm"), or NumPy, op by
        op. "auto" is "vm" until the work pays for the compiler, which nobody waits for. "vm" and "native" give the same bits.
    fast : bool
        Compiled kernels may contract products and sums, and take sums in another order: results are right to rounding, but
        not those of "vm" to the bit; with "auto" they change when compiled kernels take over. For these two only.

    Returns
    -------
    Jacobian
        Takes the arguments of `f`, and ``out=`` to refill an earlier result. Gives an array of shape (m, n) over the C-order
        raveled outputs and inputs. Its structure is the same at every call on the same path, with sorted read-only index
        arrays that the results share; entries that happen to be zero stay stored. Inspect it by ``.pattern``, ``.method``,
        ``.coloring``, ``.tape`` and ``.report()``; ``.prepare(*args)`` traces, finds the pattern and plans the work ahead,
        ``.release()`` gives the memory of calls back.

    Raises
    ------
    TypeError
        Nothing to differentiate: `f` returned None and `of` was not given, or an argument holds no floating numbers.
    ValueError
        `out` has another structure; an option is unknown; or `method` is "direct" and the entries cannot be computed so.
    MemoryError
        At a call that would need more memory than there is, before it begins.

    Notes
    -----
    Where a factor is infinite, sweeps for colours may give NaN for 0 * inf in entries of other columns (rows) of that colour;
    "direct" computes each entry from its own factors.

    The pattern is structural and global: valid for all inputs on the same path through the code, both sides of a ``np.where``
    included. Colouring: greedy distance-2, Gebremedhin, Manne and Pothen, SIAM Review 47 (2005), algorithm 3.2.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> def rhs(t, y, dy):
    ...     dy[:] = -2 * y
    ...     dy[1:] += y[:-1]
    >>> jac = sparsead.jacobian(rhs, wrt="y", of="dy")
    >>> jac(0.0, np.ones(3), np.empty(3)).toarray()
    array([[-2.,  0.,  0.],
           [ 1., -2.,  0.],
           [ 0.,  1., -2.]])

    """
    return Jacobian(f, wrt, of, has_aux, engine, fast, format, order, method)


def hessian(f, wrt=0, of="return", *, format="csr", order="natural", method="auto", engine="auto", fast=False):
    """The Hessian of a scalar function as a sparse array, as a function.

    Parameters are those of `jacobian`; `f` gives one number.

    Returns
    -------
    Hessian
        Like the result of `jacobian`; the array has shape (n, n) over the C-order raveled inputs.

    Notes
    -----
    The Jacobian of the gradient's tape: forward over reverse, or directly.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> H = sparsead.hessian(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2))
    >>> H(np.array([1.0, 2.0, 3.0])).toarray()
    array([[  4.,  -4.,   0.],
           [ -4.,  38.,  -8.],
           [  0.,  -8.,   2.]])

    """
    return Hessian(f, wrt, of, False, engine, fast, format, order, method)


__all__ = ["Hessian", "Jacobian", "hessian", "jacobian"]
