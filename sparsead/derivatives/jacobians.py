"""Sparse Jacobians and Hessians: a pattern, and the entries, by colours or directly, as a ``scipy.sparse`` array."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
from scipy.sparse import csr_array

from sparsead.decisions import LOG
from sparsead.derivatives.axes import Axis
from sparsead.derivatives.compressed import Compressed
from sparsead.derivatives.gradients import _check_scalar
from sparsead.derivatives.layouts import FORMATS, GivenPattern
from sparsead.derivatives.outputs import slots
from sparsead.derivatives.prepared import Derivative
from sparsead.derivatives.stacks import stacked
from sparsead.derivatives.verifying import verify
from sparsead.ops.effect import begin_sweep
from sparsead.sparsity.colouring import ORDERS, Coloring
from sparsead.sparsity.drawing import _shown
from sparsead.tape.spec import BY_NAME
from sparsead.tracing.errors import TraceError
from sparsead.tracing.mismatch import same_kind
from sparsead.tracing.record import name_of
from sparsead.tracing.substitution import path_text
from sparsead.transform._simplify import simplify
from sparsead.transform._split import bind

PROBES = 3  # random vectors of a check
UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Jacobian(Derivative):
    """Callable that gives the Jacobian as a sparse array; made by `jacobian`."""

    kind = "jacobian"
    methods: tuple[str, ...] = ("auto", "direct", "column", "row", "bidirectional")
    symmetric = False
    of_complex = False

    def __init__(self, function, wrt=0, of="return", has_aux=False, engine="auto", fast=False, format="csr", order="natural",
                 method="auto", pattern=None, coloring=None, memory=None, check=False, triangle=None):  # fmt: skip
        if triangle is not None and pattern is not None:
            raise ValueError("triangle= and pattern= exclude each other: a pattern says which entries there are")
        triangles = (None, "lower", "upper") if self.symmetric else (None,)
        choices = ("format", format, FORMATS), ("method", method, self.methods), ("triangle", triangle, triangles)
        for name, value, known in choices:
            if value not in known:
                raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(map(repr, known))}")
        if pattern is not None and not isinstance(pattern, GivenPattern):
            pattern = GivenPattern(pattern)
        if coloring is not None and not isinstance(coloring, Coloring):
            raise TypeError(f"coloring has to be a Coloring, got {type(coloring).__name__}")
        options = {"format": format, "order": _order(order), "method": method, "pattern": pattern, "coloring": coloring,
                   "memory": _bytes(memory)}  # fmt: skip
        super().__init__(function, wrt, of, has_aux, engine, fast, **options, check=bool(check), triangle=triangle)

    def __call__(self, *args, out=None, **kwargs):
        """The Jacobian at the arguments; ``(jacobian, aux)`` with ``has_aux``."""
        return self._run(args, kwargs, lambda p, inputs, arguments: self._work(p, inputs, out))

    def _work(self, prepared, inputs, out):
        if any(not isinstance(x, np.ndarray) for x in inputs):
            raise TraceError(f"sparsead.{self.kind} inside a differentiated function is not supported; use grad or vjp there")
        compressed = self._compressed(prepared)
        jacobian, values = compressed.assemble_with_values(inputs, out)
        if self.options.get("check"):
            prepared.once("verified", lambda: verify(compressed, inputs, jacobian, PROBES, 0, self._named()))
        return self._result(prepared, jacobian, values)

    def _result(self, prepared, jacobian, values):
        """What a call gives, of the values that `_kept` names."""
        return (jacobian, prepared.values([None] * prepared.outputs.n_targets + values)[1]) if self.has_aux else jacobian

    def _kept(self, prepared):
        """Positions of outputs of the differentiated tape that a call gives along with the Jacobian."""
        return range(prepared.outputs.n_targets, len(prepared.tape.outputs)) if self.has_aux else ()

    def _ready(self, prepared):
        self._compressed(prepared).make_ready()

    # ---- preparation -----------------------------------------------------------------------------------------------

    def _compressed(self, prepared):
        return prepared.once("compressed", lambda: self._compress(prepared))

    def _compress(self, prepared):
        columns = Axis.of_leaves(prepared.leaves, prepared.tape, prepared.active)
        rows = Axis.of_outputs(prepared.tape, list(range(prepared.outputs.n_targets)))
        return self._finish(prepared, prepared.tape, rows, columns)

    def _finish(self, prepared, tape, rows, columns):
        options = {name: value for name, value in self.options.items() if name != "check"}
        return Compressed(
            tape, rows, columns, program=prepared.program, symmetric=self.symmetric, kept=self._kept(prepared),
            settle=partial(self._in_line, prepared.recording), **options
        )  # fmt: skip

    def _in_line(self, recording, compressed):
        """Give what has been recorded for other calls of this kind, and this, one structure: that of all of their entries.

        So a branch that is taken the other way changes the structure once, and not to and fro. Others with the same structure
        share its index arrays: their results are interchangeable.
        """
        own = compressed.layout
        with self._state.lock:
            for known, other in list(self._state.made.items()):
                if known.shape != compressed.shape:
                    continue
                if known.layout.given:
                    compressed.adopt(known.layout)
                elif same_kind(other, recording):
                    self._unite(known, compressed)
                elif known.layout.same_as(compressed.layout.indptr, compressed.layout.indices):
                    compressed.adopt(known.layout)
            self._number(compressed.layout, compressed.layout is own)
            self._state.made[compressed] = recording

    def _number(self, layout, is_new):
        """Give a structure that is new a number of its own if recordings have been dropped: it may follow one of theirs."""
        latest = self._state.versions.get(layout.shape, 0)
        if is_new and self._state.dropped and not layout.given:
            layout.version = latest + 1
        self._state.versions[layout.shape] = max(latest, layout.version)

    def _unite(self, known, compressed):
        old, new = known.layout, compressed.layout
        layout = old.united_with(new.indptr, new.indices)
        if layout is not old:
            LOG.info("another path has other entries: the structure grows from %d to %d", old.nnz, layout.nnz)
        for other in [compressed, *self._state.made]:
            if other.layout is old or other is compressed:
                other.adopt(layout)

    # ---- more than one matrix --------------------------------------------------------------------------------------

    def at_points(self, points):
        """The matrices at several points, with one structure: that of all their entries.

        Parameters
        ----------
        points : iterable of tuple
            For each point the positional arguments.

        Returns
        -------
        Stack
            With the data of all points as one array.

        Raises
        ------
        ValueError
            The points give matrices of different shapes, or the format is "dense".

        Examples
        --------
        >>> import numpy as np, sparsead
        >>> jac = sparsead.jacobian(lambda x: x[1:] * x[:-1])
        >>> stack = jac.at_points([(np.full(3, k),) for k in (1.0, 2.0)])
        >>> stack.data
        array([[1., 1., 1., 1.],
               [2., 2., 2., 2.]])
        >>> stack[1].toarray()
        array([[2., 2., 0.],
               [0., 2., 2.]])
        """
        if self.options.get("format") == "dense":
            raise ValueError("at_points gives the entries of one structure; take format='csr' or 'csc'")
        return stacked([self._matrix(*point) for point in points])

    def _matrix(self, *args, **kwargs):
        """The matrix, without what comes along."""
        return self._run(args, kwargs, lambda p, inputs, arguments: self._compressed(p).assemble(inputs))

    def stream(self, *args, **kwargs):
        """The entries colour by colour: no more than the results of one seed, and where entries are, in memory.

        Parameters
        ----------
        *args, **kwargs
            The point, as in a call.

        Returns
        -------
        iterator of (rows, columns, values)
            The entries that are read from the sweep for each colour; the point is that of the call, whatever becomes of it.

        Raises
        ------
        ValueError
            The entries are not read, but computed from others: an acyclic colouring.

        Notes
        -----
        By the colours of ``.coloring`` also where a call computes entries directly.

        Examples
        --------
        >>> import numpy as np, sparsead
        >>> jac = sparsead.jacobian(lambda x: x[1:] * x[:-1])
        >>> for rows, columns, values in jac.stream(np.array([1.0, 2.0, 3.0])):
        ...     print(rows, columns, values)
        [0 1] [0 2] [2. 2.]
        [0 1] [1 1] [1. 3.]
        """
        def work(prepared, inputs, arguments):
            primal = prepared.once("primal", lambda: prepared.program(prepared.tape, "primal"))
            begin_sweep()
            primal.run(inputs)  # whether it is on the path that was recorded
            return prepared, [np.array(x, order="K") for x in inputs]

        prepared, inputs = self._run(args, kwargs, work)
        return self._compressed(prepared).entries.sweeps.stream(inputs)

    # ---- looking inside --------------------------------------------------------------------------------------------

    def check(self, *args, probes=PROBES, seed=0, **kwargs):
        """Hold the matrix at a point against products that know nothing of patterns, colours or engines.

        Parameters
        ----------
        *args, **kwargs
            The point, as in a call.
        probes : int
            How many random vectors it is multiplied with.
        seed : int
            Of their generator.

        Returns
        -------
        float
            The largest difference, relative to what rounding may do.

        Raises
        ------
        sparsead.testing.DerivativeError
            A row differs by more; the message has its numbers.

        Examples
        --------
        >>> import numpy as np, sparsead
        >>> jac = sparsead.jacobian(lambda x: x[1:] * x[:-1])
        >>> jac.check(np.arange(4.0)) < 1e-14
        True
        """
        def work(prepared, inputs, arguments):
            compressed = self._compressed(prepared)
            return verify(compressed, inputs, compressed.assemble(inputs), probes, seed, self._named())

        return self._run(args, kwargs, work)

    def _named(self):
        return f"sparsead.{self.kind} of {name_of(self.function)}"

    def local_pattern(self, *args, **kwargs):
        """The structure at one point: the entries that are not zero there.

        `pattern` is valid for all points on a path through the code; this is a part of it, and says nothing about other points.

        Parameters
        ----------
        *args, **kwargs
            The point, as in a call.

        Returns
        -------
        csr_array of ones
            NaN counts as an entry.

        Examples
        --------
        >>> import numpy as np, sparsead
        >>> jac = sparsead.jacobian(lambda x: np.where(x > 0, x, x[::-1]))
        >>> jac(np.array([1.0, -1.0])).nnz, jac.local_pattern(np.array([1.0, -1.0])).nnz
        (4, 2)
        """
        found = self._matrix(*args, **kwargs)
        rows, columns = found.nonzero()
        return csr_array((np.ones(len(rows)), (rows, columns)), shape=found.shape)

    @property
    def column_blocks(self):
        """For each argument of `wrt` its columns, as a slice: ``{"u": slice(0, 4), "v": slice(4, 9)}``."""
        return _blocks(map(path_text, self.wrt), [sum(leaf.size for leaf in leaves) for leaves in self.prepared.wrt])

    @property
    def row_blocks(self):
        """For each entry of `of` its rows, as a slice."""
        prepared = self.prepared
        sizes = [sum(prepared.tape.type(prepared.tape.outputs[slot.index]).size for slot in slots(target))
                 for target in prepared.outputs.targets]  # fmt: skip
        return _blocks(["return" if place == "return" else path_text(place) for place in self.of], sizes)

    @property
    def pattern(self):
        """Structure of the most recent recording: a ``csr_array`` of ones."""
        return self._compressed(self.prepared).pattern

    @property
    def version(self):
        """How often the structure has changed, from 1: it grows when a branch is taken another way and needs other entries."""
        return self._compressed(self.prepared).layout.version

    @property
    def method(self):
        """How the most recent recording's entries are computed: "direct", or by sweeps for colours of "column", "row", ..."""
        return self._compressed(self.prepared).method

    @property
    def coloring(self):
        """The `Coloring` of the most recent recording; entries that are computed directly do not need it."""
        return self._compressed(self.prepared).coloring

    @property
    def cost(self):
        """What was counted for each method, in additions of numbers; empty if the method was given."""
        return dict(self._compressed(self.prepared).costs)

    def _report_on(self, prepared):
        compressed = self._compressed(prepared)
        layout = compressed.layout
        more = f", {layout.nnz} with those of {'the given pattern' if layout.given else 'other paths'}"
        lines = [f"  pattern: {compressed.shape[0]} x {compressed.shape[1]}, {len(compressed.indices)} entries"
                 f"{more if layout.nnz > len(compressed.indices) else ''}",
                 f"  {compressed.described()}"]  # fmt: skip
        if compressed.assumed_dense:
            lines.append(f"  pattern assumed dense for: {', '.join(sorted(set(compressed.assumed_dense)))}")
        return lines

    # ---- pictures ------------------------------------------------------------------------------------------------

    @property
    def _has_structure(self):
        """Whether that of the most recent recording is there already: a representation neither waits nor fails."""
        known = self._state.known
        return bool(known) and "compressed" in known[0].cache

    def __repr__(self):
        return _shown.as_line(self, name_of(self.function)) if self._has_structure else super().__repr__()

    def __str__(self):
        return _shown.as_text(self) if self._has_structure else repr(self)

    def _repr_html_(self):
        return _shown.as_html(self) if self._has_structure else None

    def plot(self, kind="pattern", *, ax=None):
        """Draw by matplotlib what was found at the most recent recording.

        Parameters
        ----------
        kind : {"pattern", "coloring", "compressed"}
            The pattern; the pattern with each entry in the colour that it is read from; or that and beside it the compressed
            matrix, which sweeps for the colours give.
        ax : matplotlib.axes.Axes, optional
            Where to draw; else in a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes
            Of the pattern. Nothing is shown: call ``matplotlib.pyplot.show()``, or ``.figure.savefig(path)`` of it.

        Raises
        ------
        ImportError
            Without matplotlib.
        RuntimeError
            Before the first call.
        ValueError
            `kind` is unknown.

        See Also
        --------
        sparsead.sparsity.drawing : the same for any pattern and colours.

        Examples
        --------
        >>> import numpy as np, sparsead
        >>> jac = sparsead.jacobian(lambda x: x[1:] * x[:-1]).prepare(np.ones(9))
        >>> jac.plot().get_title()
        '8 × 9, 16 entries'
        """
        return _shown.plot(self, kind, ax)


def _blocks(names, sizes):
    ends = np.cumsum(sizes).tolist()
    return {name: slice(end - size, end) for name, size, end in zip(names, sizes, ends, strict=True)}


class Hessian(Jacobian):
    """Callable that gives the Hessian as a sparse array; made by `hessian`."""

    kind = "hessian"
    methods = ("auto", "direct", "star", "acyclic", "column", "row")
    symmetric = True

    def _compress(self, prepared):
        return self._finish(prepared, *gradient_with_axes(self, prepared, bool(self._kept(prepared))))

    @property
    def row_blocks(self):
        """The same as the columns."""
        return self.column_blocks


def gradient_with_axes(derivative, prepared, with_value=False):
    """(tape of the gradient of a scalar function, rows, columns): the Hessian is its Jacobian.

    `with_value`: the tape gives the value of the function behind the adjoints of its active inputs.
    """
    _check_scalar(derivative, prepared)
    n = len(prepared.tape.outputs)
    seeded = bind(prepared.adjoint_tape, {len(prepared.tape.inputs): _one(prepared.tape.type(prepared.tape.outputs[0]))})
    seeded.outputs = seeded.outputs[n:] + (seeded.outputs[:n] if with_value else [])
    gradient = simplify(seeded)
    columns = Axis.of_leaves(prepared.leaves, gradient, prepared.active)
    rows = Axis(list(range(len(prepared.active))), columns.sizes,
                np.arange(columns.total) if columns.where is None else columns.where)  # fmt: skip
    gradient.outputs = _in_layout(gradient, prepared) + gradient.outputs[len(prepared.active) :]
    return gradient, rows, columns


def _in_layout(gradient, prepared):
    """Adjoints in the memory layout of their inputs, whatever layout the sweep gave them."""
    outputs = []
    for v, position in zip(gradient.outputs, prepared.active, strict=False):  # a value may follow
        wanted = gradient.type(gradient.inputs[position])
        if gradient.type(v).strides != wanted.strides:
            (v,) = gradient.add(BY_NAME["copy"], (v,), [wanted])
        outputs.append(v)
    return outputs


def _one(vtype):
    return np.ones(vtype.shape, vtype.dtype) if vtype.shape else vtype.dtype.type(1)


def _order(order):
    """The order, as something that can be compared: names, a permutation as a tuple, or a tuple of these."""
    if isinstance(order, str):
        if order not in ORDERS:
            known = ", ".join(map(repr, ORDERS))
            raise ValueError(f"order={order!r} is unknown; choose one of {known}, a permutation, or a tuple of these")
        return order
    if not isinstance(order, Iterable):
        raise TypeError(f"order has to be a name, a permutation, or a tuple of these, got {type(order).__name__}")
    items = tuple(order)
    several = any(isinstance(x, (str, tuple, list, np.ndarray)) for x in items)
    return tuple(map(_order if several else int, items))


def _bytes(memory):
    """A number of bytes; "2 GiB" is one."""
    if memory is None or (isinstance(memory, (int, np.integer)) and not isinstance(memory, bool) and memory > 0):
        return memory
    number, _, unit = memory.strip().partition(" ") if isinstance(memory, str) else ("", "", "")
    try:
        found = int(float(number) * UNITS[unit.strip() or "B"])
    except (KeyError, ValueError):
        found = 0
    if found <= 0:
        raise ValueError(f"memory={memory!r} is no number of bytes; give an int, or a text like '500 MB' or '2 GiB'")
    return found


def jacobian(f, wrt=0, of="return", *, has_aux=False, format="csr", order="natural", method="auto", pattern=None, coloring=None,
             memory=None, check=False, engine="auto", fast=False):  # fmt: skip
    """The Jacobian of a function as a sparse array, as a function.

    Parameters
    ----------
    f : callable
        Gives numbers or arrays by its return value or through arguments that it writes. It may update arrays in place; the
        caller's arrays are never changed.
    wrt : int, str, or tuple of these
        Arguments to differentiate by; several give columns side by side, and those that share memory all of what it does.
    of : "return", int, str, or tuple of these
        What is differentiated: the return value, or arguments that `f` writes, by name or position.
    has_aux : bool
        `f` returns ``(value, aux)``.
    format : {"csr", "csc", "dense"}
        ``csr_array``, ``csc_array`` or ``ndarray``.
    order : str, sequence of int, or tuple of these
        Order of the greedy colouring: "natural", "largest_first", "smallest_last", "incidence_degree", "dynamic_largest_first",
        "random", or a permutation; of several the one that gives the fewest colours.
    method : {"auto", "direct", "column", "row", "bidirectional"}
        How entries are computed: "direct", one by one, as sums of products of few partial derivatives; by sweeps for colours of
        "column", of "row", or of some columns and some rows; or by what counts as cheapest, which ``.report()`` tells.
    pattern : sparse array, or array_like of shape (m, n), optional
        The structure of the results, if it is to have more entries than those that may be other than zero: those of the diagonal,
        for a solver that adds a multiple of the identity. It is checked to have all that are needed.
    coloring : sparsead.sparsity.colouring.Coloring, optional
        Of the pattern, from elsewhere; it decides the method.
    memory : int or str, optional
        Bytes that the arrays of sweeps for several colours may take, as in "500 MB" or "2 GiB": so many colours are done at once.
        One at least; a single array of a batch has no more than 256 MiB in any case.
    check : bool
        Hold the first matrix of each recording against products with random vectors, see ``.check()``.
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
        raveled outputs and inputs. Its structure is the same at every call, with sorted read-only index arrays that the
        results share; entries that happen to be zero stay stored. Where a branch is taken another way for the first time and
        needs other entries, it grows to the union, ``.version`` goes up by one, and an `out` of before is refused. Inspect it by
        ``.pattern``, ``.method``, ``.coloring``, ``.cost``, ``.column_blocks``, ``.row_blocks``, ``.tape`` and ``.report()``;
        ``.check(*args)`` tests it, ``.at_points(points)`` gives the matrices at several points, ``.stream(*args)`` the entries
        colour by colour, ``.local_pattern(*args)`` those that are not zero at a point; ``.prepare(*args)`` traces, finds the
        pattern and plans the work ahead, ``.release()`` gives the memory of calls back.

    Raises
    ------
    TypeError
        Nothing to differentiate: `f` returned None and `of` was not given, or an argument holds no floating numbers.
    ValueError
        `out` has another structure; an option is unknown; `pattern` lacks entries, has some twice or out of range, or has another
        shape; `coloring` is that of another pattern; or `method` is "direct" and the entries cannot be computed so.
    sparsead.testing.DerivativeError
        With ``check=True``: the matrix is wrong.
    NotImplementedError
        Arguments of `wrt` or outputs are complex.
    MemoryError
        At a call that would need more memory than there is, before it begins.

    Notes
    -----
    Where an entry is infinite or NaN, sweeps meet its factors with zeros of other seeds, and 0 * inf is NaN: those of columns may
    give NaN in its row, those of rows in its column, and products with a Hessian in both; where entries follow from one another
    ("acyclic", and "bidirectional" by such a colouring) also in these. "direct" computes each entry from its own factors.

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
    return Jacobian(f, wrt, of, has_aux, engine, fast, format, order, method, pattern, coloring, memory, check)


def hessian(f, wrt=0, of="return", *, format="csr", order="natural", method="auto", pattern=None, coloring=None, memory=None,
            check=False, triangle=None, engine="auto", fast=False):  # fmt: skip
    """The Hessian of a scalar function as a sparse array, as a function.

    Parameters are those of `jacobian`; `f` gives one number. A `method` by colours is "star", where each entry is read from one
    product of the Hessian with a vector, "acyclic", where fewer products are enough and entries follow one from another, or
    "column", which knows nothing of symmetry. ``triangle="lower"`` or "upper" leaves the entries above or below the diagonal
    out; without a `pattern`.

    Returns
    -------
    Hessian
        Like the result of `jacobian`; the array has shape (n, n) over the C-order raveled inputs.

    Notes
    -----
    The Jacobian of the tape of the gradient: forward over reverse, or directly, which does what edge pushing does (Gower and
    Mello, Optimization Methods and Software 27 (2012)): second partial derivatives meet products of first ones, entry by
    entry. Colours: Gebremedhin, Tarafdar, Pothen and Walther, INFORMS J. Computing 21 (2009).

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> H = sparsead.hessian(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2))
    >>> H(np.array([1.0, 2.0, 3.0])).toarray()
    array([[ 4., -4.,  0.],
           [-4., 38., -8.],
           [ 0., -8.,  2.]])

    """
    return Hessian(f, wrt, of, False, engine, fast, format, order, method, pattern, coloring, memory, check, triangle)


__all__ = ["Hessian", "Jacobian", "hessian", "jacobian"]
