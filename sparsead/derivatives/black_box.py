"""Functions that cannot be traced (Numba, Cython, f2py, ctypes), with derivatives by differences or by the user's "
"Jacobian."""

from __future__ import annotations

import functools

import numpy as np
from scipy.sparse import csr_array, issparse

from sparsead.sparsity.colouring import color_columns
from sparsead.sparsity.rules import RULES
from sparsead.tracing._traced import CURRENT, Traced, concrete_of
from sparsead.tracing.errors import LeakError, TraceError
from sparsead.tracing.functions import contains_traced
from sparsead.tracing.record import name_of

METHODS = ("fd", "cs")


class BlackBox:
    """A function that is run, not traced; made by `black_box`."""

    def __init__(self, function, jac="fd", pattern=None):
        if not callable(function):
            raise TypeError(f"sparsead.black_box takes a function, got {type(function).__name__}")
        self.function, self.jac, self.given_pattern, self.name = function, jac, pattern, name_of(function)
        if not callable(jac) and jac not in METHODS:
            raise ValueError(f'sparsead.black_box({self.name}): jac={jac!r} is unknown; it has to be "fd", "cs" or a function')
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args):
        """``f(*args)``; inside a traced function also a note of it on the tape."""
        trace = CURRENT.get()
        if trace is None or not any(isinstance(a, Traced) for a in args):
            return self._untraced(trace, args)
        moving = [k for k, a in enumerate(args) if isinstance(a, (Traced, np.ndarray))]
        concrete = [concrete_of(args[k]) for k in moving]
        call = Call(self, args, moving, concrete)
        result = call.first_value(trace, concrete)
        values = [trace.c_order(trace.operand(args[k])) for k in moving]
        call.patterns = call.patterns_for(result, concrete)
        return trace.result(result, trace.op("black_box", values, np.asarray(result).dtype, np.shape(result), call))

    def _untraced(self, trace, args):
        if any(contains_traced(a) for a in args):
            raise TypeError(
                f"sparsead.black_box({self.name}): an argument is a list or tuple with traced values{trace.at()}; "
                "pass arrays "
                "and numbers as arguments of their own (np.stack or np.array make one array of a list)"
            )
        result = outside_of_traces(self.function, args)
        return trace.constant_array(np.array(result)) if trace is not None and _is_floating_array(result) else result

    def __repr__(self):
        return f"sparsead.black_box({self.name}, jac={self.jac!r})"

    def __reduce__(self):
        return BlackBox, (self.function, self.jac, self.given_pattern)


def _is_floating_array(x):
    return type(x) is np.ndarray and x.dtype.kind == "f"


def outside_of_traces(function, args):
    """``function(*args)`` on plain values: nothing that it does is recorded."""
    token = CURRENT.set(None)
    try:
        return function(*args)
    finally:
        CURRENT.reset(token)


class Call:
    """One call of a black box on a tape: what is fixed about it.

    Attributes
    ----------
    moving : list of int
        Positions of the arguments that are operands of the op.
    patterns : list
        For each operand the pattern ``(rows, columns)`` of its Jacobian, or None where it is dense.
    """

    def __init__(self, box, args, moving, concrete):
        self.box, self.name, self.args, self.moving = box, box.name, list(args), moving
        self.kinds = [type(c) for c in concrete]
        self.floating = [i for i, c in enumerate(concrete) if np.asarray(c).dtype.kind == "f"]
        for k in moving:
            self.args[k] = None
        self.patterns = [None] * len(moving)

    def __repr__(self):
        return self.name

    # ---- the value -----------------------------------------------------------------------------------------------

    def value(self, operands):
        """The function's result for these operands, an array in C order or a number, never the function's own "
        "memory."""
        return self._checked(outside_of_traces(self.box.function, self._arguments(operands)))

    def first_value(self, trace, operands):
        """`value` in the trace, where the function may still hold traced values."""
        try:
            return self.value(operands)
        except LeakError:
            raise TraceError(
                f"sparsead.black_box({self.name}) captures a traced value{trace.at()}: make the black box outside of "
                "the traced "
                "function, and pass the value as an argument"
            ) from None

    def _arguments(self, operands):
        """What the function is called with: C-order copies of arrays, and numbers of the type they had in the trace."""
        args = list(self.args)
        for k, kind, x in zip(self.moving, self.kinds, operands, strict=True):
            if kind is np.ndarray:
                args[k] = np.array(x, order="C")
            else:
                args[k] = np.asarray(x).item() if kind in (float, int, bool) else np.asarray(x)[()]
        return args

    def _checked(self, result, kinds="f"):
        name = f"sparsead.black_box: {self.name} returned"
        if result is None:
            raise TypeError(f"{name} None; it has to return an array or a number, not to write into its arguments")
        if isinstance(result, Traced) or not isinstance(result, (np.ndarray, np.generic, float, int, complex)):
            raise TypeError(f"{name} a {type(result).__name__}; it has to return one array or one number")
        if np.asarray(result).dtype.kind not in kinds:
            raise TypeError(f"{name} dtype {np.asarray(result).dtype}; it has to be float64 or float32")
        return np.array(result, order="C") if isinstance(result, np.ndarray) else result

    # ---- patterns ------------------------------------------------------------------------------------------------

    def pattern(self, i):
        """(rows, columns) of operand i's Jacobian in row order, or None."""
        return self.patterns[i]

    def patterns_for(self, result, operands):
        """What the user's ``pattern=`` says of each operand."""
        given = self.box.given_pattern
        if given is None:
            return [None] * len(self.moving)
        given = given if isinstance(given, tuple) else (given,)
        if len(given) != len(self.floating):
            raise ValueError(
                f"sparsead.black_box({self.name}): {len(given)} patterns for {len(self.floating)} floating "
                "arguments; give one for "
                "each, None where it is dense"
            )
        patterns = dict(zip(self.floating, given, strict=True))
        return [self._entries(i, patterns.get(i), (np.size(result), np.size(x))) for i, x in enumerate(operands)]

    def _entries(self, i, given, shape):
        if given is None:
            return None
        matrix = csr_array(given, copy=True)
        if matrix.shape != shape:
            raise ValueError(
                f"sparsead.black_box({self.name}): the pattern by argument {self.moving[i]} has shape {matrix.shape}; it has "
                f"to be (result.size, argument.size) = {shape}"
            )
        matrix.sum_duplicates()
        rows = np.repeat(np.arange(shape[0]), np.diff(matrix.indptr))
        return rows.astype(np.int64), matrix.indices.astype(np.int64)

    # ---- Jacobians -------------------------------------------------------------------------------------------------

    def jacobian(self, operands, i):
        """By operand i, in the dtype of the result: an (m, n_i) matrix, or its entries where there is a pattern."""
        jac, pattern = self.box.jac, self.patterns[i]
        if callable(jac):
            return self._by_user(operands, i, pattern)
        value = np.asarray(self.value(operands))
        n = np.size(operands[i])
        if pattern is None:
            J = np.empty((value.size, n), value.dtype)
            for j in range(n):
                J[:, j] = self._difference(operands, i, value, [j])
            return J
        return self._compressed(operands, i, value, pattern, n)

    def _compressed(self, operands, i, value, pattern, n):
        """Columns without a common row are differenced together (Curtis, Powell and Reid 1974)."""
        rows, columns = pattern
        indptr = np.searchsorted(rows, np.arange(value.size + 1))
        colors = color_columns(indptr, columns, (value.size, n)).colors
        entries = np.empty(len(rows), value.dtype)
        for color in range(colors.max(initial=-1) + 1):
            mine = colors[columns] == color
            entries[mine] = self._difference(operands, i, value, np.flatnonzero(colors == color), rows[mine], columns[mine])
        return entries

    def _difference(self, operands, i, value, which, rows=slice(None), columns=None):
        """Entries (rows, columns) by moving the elements `which` of operand i, each by its own step."""
        x = np.asarray(operands[i]).ravel()
        if self.box.jac == "cs":
            # No subtraction, so no cancellation: Squire and Trapp, SIAM Review 40 (1998).
            h = np.full(x.size, 1e-30 if x.dtype == np.float64 else 1e-15)
            return self._moved(operands, i, which, 1j * h).imag[rows] / h[0]
        # Central differences: truncation h^2 and rounding eps / h balance at eps^(1/3).
        h = np.finfo(x.dtype).eps ** (1 / 3) * np.maximum(np.abs(x), 1).astype(x.dtype)
        ahead, back = (self._moved(operands, i, which, s * h)[rows] for s in (1, -1))
        width = (x + h) - (x - h)  # what the steps came to in floating point
        return (ahead - back) / (width[which[0]] if columns is None else width[columns])

    def _moved(self, operands, i, which, steps):
        """The flat result with some elements of operand i moved."""
        moved, x = list(operands), np.asarray(operands[i])
        flat = x.ravel().astype(np.result_type(x, np.complex64) if np.iscomplexobj(steps) else x.dtype)
        flat[which] += steps[which]
        moved[i] = flat.reshape(x.shape)
        return np.asarray(self._checked(outside_of_traces(self.box.function, self._arguments(moved)), "fc")).ravel()

    def _by_user(self, operands, i, pattern):
        given = outside_of_traces(self.box.jac, self._arguments(operands))
        given = given if isinstance(given, tuple) else (given,)
        if len(given) != len(self.floating):
            raise self._wrong_jac(TypeError, f"{len(given)} Jacobians for {len(self.floating)} floating arguments")
        value = np.asarray(self.value(operands))
        J, k = given[self.floating.index(i)], self.moving[i]
        shape, full = (value.size, np.size(operands[i])), value.shape + np.shape(operands[i])
        kind = J.dtype.kind if issparse(J) else np.asarray(J).dtype.kind
        if kind not in "fiub":
            raise self._wrong_jac(TypeError, f"{_described(J)} by argument {k}; it has to be a real array or sparse array")
        if np.shape(J) not in (shape, full):
            raise self._wrong_jac(ValueError, f"shape {np.shape(J)} by argument {k}; it has to be {shape}"
                                  + (f" or {full}" if full != shape else ""))  # fmt: skip
        J = J.astype(value.dtype) if issparse(J) else np.array(J, value.dtype).reshape(shape)
        if pattern is None:
            return J.toarray() if issparse(J) else J  # type: ignore[union-attr]
        return self._entries_of(csr_array(J), pattern, k)

    def _entries_of(self, J, pattern, k):
        J.sum_duplicates()
        J.eliminate_zeros()
        rows, columns = pattern
        place = rows * J.shape[1] + columns  # ascending
        where = np.repeat(np.arange(J.shape[0]), np.diff(J.indptr)) * J.shape[1] + J.indices
        at = np.searchsorted(place, where)
        outside = np.append(place, -1)[at] != where
        if outside.any():
            row, column = divmod(int(where[outside][0]), J.shape[1])
            raise self._wrong_jac(ValueError, f"an entry at ({row}, {column}) by argument {k} that pattern= does not have")
        entries = np.zeros(len(rows), J.dtype)
        entries[at] = J.data
        return entries

    def _wrong_jac(self, kind, what):
        return kind(f"sparsead.black_box({self.name}): jac returned {what}")


def _rows(p, op):
    """The rule of the pattern pass: by the given patterns, dense where there is none."""
    t = p.tape.type(op.results[0])
    memory = np.zeros(t.size, np.int32)
    for i, v in enumerate(op.operands):
        if p.active(v) and op.attr.pattern(i) is None:
            p.note_dense(op)
            memory = p.unite(memory, p.unite_groups(np.ravel(p.rows(v))[None]))
        elif p.active(v):
            rows, columns = op.attr.pattern(i)
            p.scatter_unite(memory, rows, np.ravel(p.rows(v))[columns])
    p.put(op.results[0], memory.reshape(t.shape))


RULES["black_box"] = _rows


def _described(x):
    return f"a {type(x).__name__} of dtype {np.asarray(x).dtype}"


def black_box(f, jac="fd", pattern=None):
    """A function that is run but not traced, for code that needs real arrays: Numba, Cython, f2py, ctypes.

    Parameters
    ----------
    f : callable
        ``f(*args) -> array or number``, of dtype float64 or float32. Arguments are positional; arrays arrive as
        C-order copies, so what `f` writes into them is lost: it has to return its result. It must give the same
        result for the same arguments. Arguments that are neither arrays nor numbers (and arrays of integers) are
        passed on as they are. No derivative goes through what `f` captures.
    jac : {"fd", "cs"} or callable
        "fd": central differences with steps ``eps**(1/3) * max(abs(x), 1)``, good for about 9 digits in float64.
        "cs": complex steps, exact to rounding, for an `f` that is analytic and takes complex arrays. A callable
        ``jac(*args)`` gives for each floating argument an array or `scipy.sparse` array of shape ``(result.size,
        arg.size)``, or an array of shape ``result.shape + arg.shape``: a tuple of them if there are several such
        arguments.
    pattern : array_like of bool, scipy.sparse array, or tuple of these, optional
        Where the Jacobian, of shape ``(result.size, arg.size)``, may be other than zero, one for each floating
        argument (None: everywhere). Then `jacobian` knows it, "fd" and "cs" need one sweep per colour, and no dense
        Jacobian is made.

    Returns
    -------
    BlackBox
        Outside of traced functions it is `f`. Inside, its result is traced, with first derivatives only.

    Raises
    ------
    TypeError, ValueError
        `jac` is unknown; or, when it is called, `f` returns None, several values or no floating numbers, or `jac` or
        `pattern` is of the wrong shape or number. The message names `f`.
    NotImplementedError
        A second derivative is asked for.

    Notes
    -----
    Complex step: Squire and Trapp, SIAM Review 40 (1998). Compressed differences: Curtis, Powell and Reid, J. Inst.
    Math. Appl. 13 (1974).

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> fft_power = sparsead.black_box(lambda x: np.abs(np.fft.fft(x)) ** 2)
    >>> gradient = sparsead.grad(lambda x: np.sum(fft_power(x)))(np.array([1.0, 2.0]))
    >>> gradient.round(6)
    array([4., 8.])

    """
    return BlackBox(f, jac, pattern)
