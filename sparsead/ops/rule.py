"""Functions with rules of the user: an op for what they give and write, one for tangents, one for adjoints.

Law: ``rule(x_1, .., x_n)`` is all that a call gives and writes, one part after the other in one vector; ``rule_tangent`` is its
tangent, from operands and tangents, ``rule_adjoint`` are the adjoints of the operands, from operands and the adjoint of the
vector. The attribute of the first is a `sparsead.activities.rules.RuledCall`, those of the others are `Derived` from it. What a
rule computes has no derivative itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsead.tape.spec import Op, View, register


class Derived(NamedTuple):
    """A tangent or an adjoint of a call.

    Attributes
    ----------
    call : RuledCall
    moving : tuple of int
        Operands that have a tangent, or whose adjoints are wanted.
    lanes : int
        How many seeds there are; 0: one, without an axis.
    flags : tuple of bool
        Which of the tangents have an axis of lanes.
    """

    call: Any
    moving: tuple
    lanes: int = 0
    flags: tuple = ()


def _value(arrays, op, types):
    return (op.attr.value(arrays),)


def _tangent_value(arrays, op, types):
    call, moving, lanes, flags = op.attr
    n = len(arrays) - len(moving)
    return (call.tangents(arrays[:n], dict(zip(moving, arrays[n:], strict=True)), lanes, flags),)


def _adjoint_value(arrays, op, types):
    call, moving, lanes, _ = op.attr
    return (call.adjoints(arrays[:-1], moving, arrays[-1], lanes),)


def _tangent(e, op, dots):
    moving = tuple(k for k, dot in enumerate(dots) if dot is not None)
    operands = (*op.operands, *(e.dense(dots[k]) for k in moving))
    return [e.op("rule_tangent", operands, e.type(op.results[0]), Derived(op.attr, moving))]


def _adjoint(e, op, bars):
    moving = tuple(k for k, v in enumerate(op.operands) if e.wanted(v))
    operands = [e.dense(e.primal(v)) for v in op.operands]
    types = {k: e.type(op.operands[k]) for k in moving}
    t = e.array_type(np.result_type(*(x.dtype for x in types.values())), (sum(x.size for x in types.values()),))
    found = e.op("rule_adjoint", (*operands, e.dense(bars[0])), t, Derived(op.attr, moving))
    parts, at = {}, 0
    for k, x in types.items():
        part = e.load(found, View((x.size,), (t.dtype.itemsize,), t.dtype), at * t.dtype.itemsize)
        parts[k] = e.cast(e.reshape(part, x.shape), x.dtype)
        at += x.size
    return parts


def _batch(e, op, flags, lanes, types):
    n = len(op.operands) - (len(op.attr.moving) if op.op.name == "rule_tangent" else 1)
    if any(flags[:n]):
        raise TypeError(f"{op.attr.call.name}: its arguments may not depend on a seed")
    return [e.op(op.op.name, op.operands, types[0], op.attr._replace(lanes=lanes, flags=tuple(flags[n:])))]


def _no_second(e, op, seeds):
    raise NotImplementedError(f"{op.attr.call.name} has no second derivatives: its rule computes outside of the tape")


def _all_operands(op):
    return tuple(range(len(op.operands))), ()


register(Op("rule", 39, _value, tangent=_tangent, adjoint=_adjoint, needs=_all_operands, user=True))
for _name, _code, _evaluate in (("rule_tangent", 40, _tangent_value), ("rule_adjoint", 41, _adjoint_value)):
    register(Op(_name, _code, _evaluate, tangent=_no_second, adjoint=_no_second, needs=_all_operands, batch=_batch, user=True))
