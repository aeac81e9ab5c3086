"""What an op is: the record that every pass reads, and the registry that gives it a number.

A tape stores op codes; this registry turns a code into its record. The records themselves, with their
meaning and their derivatives, are registered by `sparsead.ops`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

ELEMENTWISE = 64  # codes from here on belong to elementwise records
MAX_OPS = 1024

OPS: list[Op | None] = [None] * MAX_OPS
BY_NAME: dict[str, Op] = {}


@dataclass(frozen=True, eq=False)
class Op:
    """One op of the tape.

    Parameters
    ----------
    name : str
        Unique name, shown in listings.
    code : int
        Its number on a tape.
    evaluate : callable
        ``evaluate(arrays, op, types) -> tuple of results``: the meaning, in plain NumPy. `op` is an `OpView`, `types`
        are the results' `ValueType`s. Ops that consume their first operand may work in place on it.
    consumes : bool
        The first operand is a storage version that this op ends (`store`, `accumulate`, ...).
    keep : bool
        Never removed as dead code (guards).
    tangent, adjoint, needs : callable or None
        The derivative law, for ops that are not handled by the drivers of the transforms themselves.
    elementwise : object or None
        The record of `sparsead.ops.elementwise`, for elementwise ops.
    batch : callable or None
        How the op acts on operands with a leading axis of lanes.
    inactive : bool
        No result has a derivative. An op without a law that is not marked so is refused where a derivative meets it.
    user : bool
        It runs functions of the user, which may keep the arrays that they are given, and need not do the same twice.
    of_complex : bool
        The derivative law holds for complex operands too; without it, they are refused.
    into : callable or None
        ``into(arrays, op, types, out)``: what `evaluate` gives, of one result, is written to `out`, which has its shape and
        dtype and shares no memory with the operands.
    """

    name: str
    code: int
    evaluate: Callable[..., tuple]
    consumes: bool = False
    keep: bool = False
    tangent: Callable | None = None
    adjoint: Callable | None = None
    needs: Callable | None = None
    elementwise: Any = None
    batch: Callable | None = None
    inactive: bool = False
    user: bool = False
    of_complex: bool = False
    into: Callable | None = None


class OpView(NamedTuple):
    """One op of one tape, unpacked."""

    index: int  # type: ignore[assignment]  # a tuple's own method of this name is of no use here
    op: Op
    operands: tuple[int, ...]
    results: tuple[int, ...]
    attr: Any
    imm: int
    line: tuple[str, int] | None


class View(NamedTuple):
    """A window on the memory of a value: shape and strides in bytes; the byte offset is the op's `imm`."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: Any


def register(op: Op) -> Op:
    """Enter `op` into the registry; its code and name must be free."""
    if OPS[op.code] is not None or op.name in BY_NAME:
        raise ValueError(f"op {op.name!r} or code {op.code} is registered already")
    OPS[op.code] = op
    BY_NAME[op.name] = op
    return op


class GuardFailed(Exception):
    """A replay left the path of its trace: a branch, a captured number or a data-dependent shape changed."""


def raised_by(error, op):
    """`error`, raised by `op` of a tape, with a mark whether it is a fault: raised by other than a function of the user."""
    if not hasattr(error, "is_fault"):
        error.is_fault = not op.user and op.name != "effect"
    return error


def left_path(error):
    """Whether an error says that the function itself fails for these inputs, or goes another way: only a trace can tell."""
    return isinstance(error, GuardFailed) or getattr(error, "is_fault", False)
