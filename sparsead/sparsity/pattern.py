"""Structural sparsity of a tape's Jacobian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsead.sparsity._known import index_inputs, known_values
from sparsead.sparsity._pattern import propagate
from sparsead.tape._tape import Tape
from sparsead.transform.loops.unroll import unrolled, unrolled_ops

# Rows and runs held before dead ones are looked for: about 100 MB.
SQUEEZE_AT = 1 << 23
# Loops are unrolled up to this many ops: a few seconds. Beyond, a pattern of a loop may be larger than it has to be.
MAX_UNROLLED = 2_000_000


class Pattern(NamedTuple):
    """Compressed rows, as in a `scipy.sparse.csr_array` without its data.

    Parameters
    ----------
    indptr : ndarray, shape (rows + 1,), int32
        Row i has the columns ``indices[indptr[i]:indptr[i + 1]]``; int64 for 2**31 entries or more.
    indices : ndarray, shape (entries,), int32
        Columns, ascending within a row.
    assumed_dense : list of str
        Ops of which every result was taken to depend on every operand, because they have no rule or because their
        positions are not known; empty if all of the pattern was derived.
    """

    indptr: NDArray
    indices: NDArray[np.int32]
    assumed_dense: list[str]


def jacobian_pattern(tape: Tape, wrt: Sequence[int], of: Sequence[int], known: Mapping[int, ArrayLike] | None = None) -> Pattern:
    """Which elements of outputs depend on which elements of inputs.

    Parameters
    ----------
    tape : Tape
        Any tape; it need not be linear.
    wrt : sequence of int
        Positions in ``tape.inputs``, each once. The columns are the elements of these inputs in the order of their memory,
        one input after the other.
    of : sequence of int
        Positions in ``tape.outputs``; the rows are their elements in the order of their memory.
    known : mapping of int to array_like, optional
        Contents of other inputs by position, for index arrays, masks and constant factors that are inputs. The pattern is
        then good for these contents only; `shaping_inputs` names those that matter most.

    Returns
    -------
    Pattern
        ``(indptr, indices, assumed_dense)``.

    Raises
    ------
    ValueError
        A position is out of range or occurs twice in `wrt`, or `known` has contents for an input of `wrt`, or contents of
        the wrong shape.
    MemoryError, OverflowError
        The pattern does not fit in memory, or has 2**31 - 1 columns or more.

    Notes
    -----
    Good for all values of the inputs on this path: both sides of a select count, and a partial derivative that happens to
    be zero counts as well. Not counted are partials that are zero by definition, and constants: zeros of a constant
    factor, and the side that a constant condition never takes.

    Loops are unrolled where the tape then has at most two million ops. Else the pattern is that of a fixed point: what may
    depend on what after any number of trips up to the loop's, with windows that move taken to be at all of their places.

    The method is forward propagation of index sets (Griewank and Walther, Evaluating Derivatives, 2nd edition, 2008,
    section 7.1, "index domains"), with sets kept as runs of columns, shared by all elements that have the same one.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsead.ops import registry  # fills the table of ops
    >>> from sparsead.tape._tape import Tape
    >>> from sparsead.tape.spec import BY_NAME, View
    >>> tape, f8 = Tape(), np.dtype(float)
    >>> three, two = tape.pool.type(f8, (3,)), tape.pool.type(f8, (2,))
    >>> (x,) = tape.inputs = list(tape.add(BY_NAME["input"], (), [three]))
    >>> (left,) = tape.add(BY_NAME["load"], (x,), [two], View((2,), (8,), f8), 0)
    >>> (right,) = tape.add(BY_NAME["load"], (x,), [two], View((2,), (8,), f8), 8)
    >>> tape.outputs = list(tape.add(BY_NAME["multiply"], (left, right), [two]))
    >>> jacobian_pattern(tape, [0], [0])
    Pattern(indptr=array([0, 2, 4], dtype=int32), indices=array([0, 1, 1, 2], dtype=int32), assumed_dense=[])
    """
    tape = _flat(tape)
    wrt = _values("wrt", wrt, tape.inputs)
    of = _values("of", of, tape.outputs)
    if len(set(wrt)) < len(wrt):
        raise ValueError(f"jacobian_pattern: wrt names an input twice: {wrt}")
    given = dict(_given(tape, position, contents, wrt) for position, contents in (known or {}).items())
    return Pattern(*propagate(tape, wrt, of, known_values(tape, given), SQUEEZE_AT))


def shaping_inputs(tape: Tape, wrt: Sequence[int]) -> list[int]:
    """Inputs whose contents should be `known` to `jacobian_pattern`.

    Parameters
    ----------
    tape : Tape
    wrt : sequence of int
        Positions in ``tape.inputs``.

    Returns
    -------
    list of int
        Positions in ``tape.inputs`` of what the index arrays of gathers and scatters are computed from. An index array
        that is computed from `wrt` too (a sort order, say) cannot be known.
    """
    tape = _flat(tape)
    found = index_inputs(tape, _values("wrt", wrt, tape.inputs))
    return [position for position, v in enumerate(tape.inputs) if v in found]


def _flat(tape):
    """`tape` with its loops unrolled, if it is not too long then."""
    return unrolled(tape) if unrolled_ops(tape) <= MAX_UNROLLED else tape


def _values(argument, positions, values):
    for position in positions:
        if not 0 <= position < len(values):
            raise ValueError(f"jacobian_pattern: {argument} has {position}, but the tape has {len(values)} of them")
    return [values[position] for position in positions]


def _given(tape, position, contents, wrt):
    (v,) = _values("known", [position], tape.inputs)
    if v in wrt:
        raise ValueError(f"jacobian_pattern: input {position} is in wrt and in known; it cannot be both")
    if np.shape(contents) != tape.type(v).shape:
        raise ValueError(
            f"jacobian_pattern: known[{position}] has shape {np.shape(contents)}, the input has {tape.type(v).shape}"
        )
    return v, contents
