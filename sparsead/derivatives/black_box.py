"""Functions that cannot be traced (Numba, Cython, f2py, ctypes), with derivatives by differences or by the user's Jacobian."""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.sparse import coo_array, csr_array, issparse

from sparsead.sparsity.colouring import color_columns
from sparsead.tracing._traced import CURRENT, Traced, concrete_of
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
        result = call.value(concrete)
        values = [trace.c_order(trace.operand(args[k])) for k in moving]
        call.patterns = call.patterns_for(result)
        return trace.result(result, trace.op("black_box", values, np.asarray(result).dtype, np.shape(result), call))

    def _untraced(self, trace, args):
        if any(contains_traced(a) for a in args):
            raise TypeError(
                f"sparsead.black_box({self.name}): an argument is a list or tuple with traced values{trace.at()}; pass arrays "
                "and numbers as arguments of their own (np.stack or np.array make one array of a list)"
            )
        result = outside_of_traces(self.function, args)
        return trace.constant_array(np.array(result)) if trace is not None and _is_floating_array(result) else result

    def __repr__(self):
        return f"sparsead.black_box({self.name}, jac={self.jac!r})"

    def __reduce__(self):
        return BlackBox, (self.function, self.jac, self.given_pattern)


def _is_floating_array(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


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
        """The function's result for these operands, an array in C order or a number, never the function's own memory."""
        return self._checked(outside_of_traces(self.box.function, self._arguments(operands)))

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
        if not isinstance(result, (np.ndarray, np.generic, float, int, complex)):
            raise TypeError(f"{name} a {type(result).__name__}; it has to return one array or one number")
        if np.asarray(result).dtype.kind not in kinds:
            raise TypeError(f"{name} dtype {np.asarray(result).dtype}; it has to be float64 or float32")
        return np.array(result, order="C") if isinstance(result, np.ndarray) else result

    # ---- patterns ------------------------------------------------------------------------------------------------

    def pattern(self, i):
        """(rows, columns) of operand i's Jacobian in row order, or None."""
        return self.patterns[i]

    def patterns_for(self, result):
        """What the user's ``pattern=`` says of each operand."""
        given = self.box.given_pattern
        if given is None:
            return [None] * len(self.moving)
        given = given if isinstance(given, tuple) else (given,)
        if len(given) != len(self.floating):
            raise ValueError(
                f"sparsead.black_box({self.name}): {len(given)} patterns for {len(self.floating)} floating arguments; give one for "
                "each, None where it is dense"
            )
        patterns = dict(zip(self.floating, given, strict=True))
        return [self._entries(i, patterns.get(i), np.size(result)) for i in range(len(self.moving))]

    def _entries(self, i, given, m):
        if given is None:
            return None
        matrix = csr_array(given, copy=True)
        if matrix.shape[0] != m:
            raise ValueError(f"sparsead.black_box({self.name}): the pattern by argument {self.moving[i]} has {matrix.shape[0]} "
                             f"rows, the result {m} elements")  # fmt: skip
        matrix.sum_duplicates()
        rows = np.repeat(np.arange(m), np.diff(matrix.indptr))
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
        moved = list(operands)
        x = np.asarray(operands[i])
        flat = x.ravel().astype(np.result_type(x, steps.dtype) if steps.dtype.kind == "c" else x.dtype)
        flat[which] += steps[which]
        moved[i] = flat.reshape(x.shape)
        kinds = list(self.kinds)
        try:
            if steps.dtype.kind == "c":
                self.kinds = [complex if j == i and k is not np.ndarray else k for j, k in enumerate(kinds)]
            result = outside_of_traces(self.box.function, self._arguments(moved))
        finally:
            self.kinds = kinds
        return np.asarray(self._checked(result, "fc")).ravel()
