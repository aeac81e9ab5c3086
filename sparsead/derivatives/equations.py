"""Equations r(x, p_1, .., p_n) = 0 as tapes, and the linear systems that their derivatives lead to.

What `sparsead.ops.implicit` asks of its attributes is here: the tapes that are inlined into tangents and adjoints, and the
solution of A y = b and A^T y = b with A = dr/dx.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, splu

from sparsead.derivatives.axes import Axis
from sparsead.derivatives.black_box import outside_of_traces
from sparsead.derivatives.compressed import Compressed
from sparsead.engine import program
from sparsead.ops.effect import once
from sparsead.sparsity.pattern import jacobian_pattern
from sparsead.sparsity.rules import RULES, flat_memory
from sparsead.tape.spec import BY_NAME
from sparsead.transform._adjoint import adjoint
from sparsead.transform._linear import linearize
from sparsead.transform._simplify import simplify
from sparsead.transform._tangent import tangent
from sparsead.transform.loops.rewrite import without_guards

MAX_DENSE = 64  # unknowns up to which a dense factorisation is quicker than the overhead of a sparse one


class Piece:
    """A tape with one output that is inlined into others, and its derivatives by some of its inputs.

    Attributes
    ----------
    tape : Tape
        It consumes none of its inputs.
    """

    def __init__(self, tape):
        self.tape = linearize(simplify(tape))
        self._derivatives = {}

    def tangent(self, moving):
        """The tape of the tangent of the output: inputs are those of the tape, then the tangents of the inputs `moving`."""
        if ("tangent", moving) not in self._derivatives:
            tape = tangent(self.tape, moving)
            tape.outputs = tape.outputs[1:]
            self._derivatives["tangent", moving] = linearize(simplify(tape))
        return self._derivatives["tangent", moving]

    def adjoint(self, wanted):
        """The tape of the adjoints of the inputs `wanted`: inputs are those of the tape, then the adjoint of the output."""
        if ("adjoint", wanted) not in self._derivatives:
            tape, _ = adjoint(self.tape, wanted, [0])
            tape.outputs = tape.outputs[1:]
            self._derivatives["adjoint", wanted] = linearize(simplify(tape))
        return self._derivatives["adjoint", wanted]

    @cached_property
    def program(self):
        """The tape made ready to run."""
        return program(self.tape)


def _ready(tape, name):
    return program(tape, name=f"the Jacobian of an equation ({name})")


class Equation:
    """r(x, p) = 0 for x, or x = f(x, p), with r = x - f.

    Parameters
    ----------
    tape : Tape
        Inputs: x, dense in C order, then the parameters. Output: r, or f, of the type of x.
    fixed : bool
        The tape is that of f.
    label : str
        What the user called, for messages: "sparsead.root(residual)".

    Notes
    -----
    Equal are equations with equal tapes on one pool.
    """

    def __init__(self, tape, fixed, label):
        self.tape, self.fixed, self.label = tape, fixed, label

    def onto(self, pool):
        """The same on another pool."""
        return self if pool is self.tape.pool else Equation(self.tape.onto(pool), self.fixed, self.label)

    @cached_property
    def _key(self):
        return self.tape.key(), self.fixed, self.label

    def __eq__(self, other):
        return type(other) is Equation and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def __repr__(self):
        return f"Equation({self.label}, {len(self.tape)} ops)"

    # ---- tapes -------------------------------------------------------------------------------------------------------

    @cached_property
    def residual(self):
        """The `Piece` of r. It has no guards: the primal op has checked that the solution is on this path."""
        tape = without_guards(self.tape)
        if self.fixed:
            x, f = tape.inputs[0], tape.outputs[0]
            tape.outputs = list(tape.add(BY_NAME["subtract"], (x, f), [tape.type(x)]))
        return Piece(tape)

    @cached_property
    def guarded(self):
        """Whether it holds on one path through the function only."""
        return any(op.op.name == "guard" or getattr(op.attr, "guarded", False) for op in self.tape)

    @cached_property
    def _products(self):
        """By ``transposed``: the `Piece` of A y or A^T y; inputs are x, the parameters, y."""
        r = self.residual
        return {False: Piece(r.tangent((0,))), True: Piece(r.adjoint((0,)))}

    def product(self, transposed):
        """The `Piece` of A y, or of A^T y."""
        return self._products[transposed]

    # ---- numbers -----------------------------------------------------------------------------------------------------

    @cached_property
    def _program(self):
        return program(self.tape)

    @cached_property
    def blocks(self):
        """For each element of x the number of its block: A, and so its inverse, has nothing that joins two of them."""
        n = self.tape.type(self.tape.inputs[0]).size
        indptr, indices, _ = jacobian_pattern(self.residual.tape, [0], [0])
        A = csr_array((np.ones(len(indices), np.int8), indices, indptr), shape=(n, n))
        return connected_components(A, directed=False)[1]

    def value(self, point):
        """r, or f; GuardFailed if the point is on another path through the function."""
        return np.asarray(self._program.run(point)[0])

    @cached_property
    def _compressed(self):
        x = self.tape.type(self.tape.inputs[0])
        tape = self.residual.tape
        return Compressed(tape, Axis.of_outputs(tape, [0]), Axis([0], [x.size], np.arange(x.size)), "csc", "natural", _ready)

    @once  # its sweeps are not those of the call that the equation is solved in
    def jacobian(self, point):
        """A as a ``csc_array``."""
        A = self._compressed.assemble(point)
        if not np.isfinite(A.data).all():
            raise FloatingPointError(f"{self.label}: the Jacobian by {self.unknown()} has entries that are NaN or infinite")
        return A

    def unknown(self):
        """In words, what is solved for."""
        x = self.tape.type(self.tape.inputs[0])
        return f"{self.tape.names.get(self.tape.inputs[0], 'x')} (shape {x.shape}, {x.dtype})"

    def solve(self, b, point, transposed, linear_solver):
        """y of A y = b, or of A^T y = b.

        Parameters
        ----------
        b : ndarray
            One or more right sides one after the other, each with as many elements as x.
        point : list of ndarray
            x, then the parameters.
        transposed : bool
        linear_solver : callable or None

        Returns
        -------
        ndarray, of the shape of `b`

        Raises
        ------
        numpy.linalg.LinAlgError
            A is singular.
        """
        if not np.size(b):
            return np.array(b)
        columns = np.reshape(b, (-1, np.size(point[0]))).T
        if linear_solver is not None:
            y = self._by_user(columns, point, transposed, linear_solver)
        else:
            y = self._direct(columns, point, transposed)
        return np.ascontiguousarray(y.T).reshape(np.shape(b))

    def _direct(self, columns, point, transposed):
        A = self.jacobian(point)
        try:
            if len(columns) <= MAX_DENSE:
                dense = A.toarray()
                return np.linalg.solve(dense.T if transposed else dense, columns)
            return splu(A).solve(np.ascontiguousarray(columns), trans="T" if transposed else "N")
        except (np.linalg.LinAlgError, RuntimeError):  # the latter is what splu raises
            text = f"{self.label}: the Jacobian by {self.unknown()}, of shape {A.shape}, is singular"
            raise np.linalg.LinAlgError(text) from None

    def _by_user(self, columns, point, transposed, linear_solver):
        n = len(columns)
        shape, dtype = np.shape(point[0]), np.asarray(point[0]).dtype
        ways = {way: self.product(way).program for way in (transposed, not transposed)}

        def times(way):
            def product(y):
                return np.ravel(ways[way].run([*point, np.asarray(y, dtype).reshape(shape)])[0])

            return product

        A = LinearOperator((n, n), matvec=times(transposed), rmatvec=times(not transposed), dtype=dtype)
        solutions = [np.asarray(linear_solver(A, b)) for b in np.array(columns.T)]
        for y in solutions:
            if y.shape != (n,) or y.dtype.kind != "f":
                raise ValueError(f"{self.label}: linear_solver gave shape {y.shape} and dtype {y.dtype}; it has to give a "
                                 f"floating array of shape {(n,)}, y of A @ y = b")  # fmt: skip
            if not np.isfinite(y).all():
                raise FloatingPointError(f"{self.label}: linear_solver gave NaN or infinity")
        return np.array(solutions, dtype).T


class System:
    """The attribute of ``implicit_solve(b, x, p..)``: which equation, A or A^T, and the user's linear solver or None."""

    def __init__(self, equation, is_transposed, linear_solver):
        self.equation, self.is_transposed, self.linear_solver = equation, is_transposed, linear_solver

    @property
    def label(self):
        """What the user called."""
        return self.equation.label

    @property
    def product(self):
        """The `Piece` of the matrix times y; inputs are x, the parameters, y."""
        return self.equation.product(self.is_transposed)

    def transposed(self):
        """The system with the other matrix."""
        return System(self.equation, not self.is_transposed, self.linear_solver)

    def solution(self, b, point):
        """y, of the shape of `b`, which may have lanes."""
        return outside_of_traces(self.equation.solve, (b, point, self.is_transposed, self.linear_solver))

    def onto(self, pool):
        """The same on another pool."""
        return System(self.equation.onto(pool), self.is_transposed, self.linear_solver)

    @property
    def _key(self):
        return self.equation, self.is_transposed, identity_of(self.linear_solver)

    def __eq__(self, other):
        return type(other) is System and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def __repr__(self):
        return f"{self.label}, A{'^T' * self.is_transposed}"


def identity_of(function):
    """Equal for functions that are made anew from one piece of code with the same objects in its closure."""
    code = getattr(function, "__code__", None)
    if code is None:
        return id(function)
    cells = tuple(id(_contents(cell)) for cell in function.__closure__ or ())
    return code, id(getattr(function, "__self__", None)), function.__defaults__, cells


def _contents(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return None


# ---- patterns ------------------------------------------------------------------------------------------------------


def _implicit_rows(p, op):
    """Rule of the pattern pass: an element of x depends on what the residuals of its block depend on."""
    equation = op.attr.equation
    _put_blocks(p, op, equation, _rows_of(p, equation.residual, op.operands[1:], 1, 0))


def _system_rows(p, op):
    """The same for a system, with its right side and what moves its matrix."""
    n, first = p.tape.type(op.operands[1]).size, 0
    if p.active(op.operands[0]):
        first = np.ravel(p.rows(op.operands[0]))
    _put_blocks(p, op, op.attr.equation, _rows_of(p, op.attr.product, op.operands[1:], 0, np.broadcast_to(first, (n,))))


def _rows_of(p, piece, values, position, memory):
    """Rows of the output of `piece` whose inputs from `position` on are `values`, united with `memory`."""
    t = piece.tape.type(piece.tape.outputs[0])
    memory = np.array(np.broadcast_to(memory, (t.size,)), np.int32)
    for k, v in enumerate(values, position):
        if p.active(v):
            indptr, indices, _ = jacobian_pattern(piece.tape, [k], [0])
            rows = np.repeat(np.arange(t.size), np.diff(indptr))
            p.scatter_unite(memory, rows.astype(np.int64), flat_memory(p, v)[indices])
    return memory


def _put_blocks(p, op, equation, memory):
    t, blocks = p.tape.type(op.results[0]), equation.blocks
    united = np.zeros(blocks.max(initial=-1) + 1, np.int32)
    p.scatter_unite(united, blocks.astype(np.int64), memory)
    p.put(op.results[0], united[blocks].reshape(t.shape))


RULES["implicit"] = _implicit_rows
RULES["implicit_solve"] = _system_rows
