"""What of its carries a loop overwrites.

Law: where the body hands a carry on as a later version of the same storage, the bytes that its stores can reach; else all.
"""

from __future__ import annotations

from sparsead.ops.loop import LOOP
from sparsead.transform._adjoint import extent_of
from sparsead.transform.loops import remembered


@remembered
def written_by(loop):
    """(first byte, end) for each carry; equal if the loop leaves it alone."""
    body = loop.body
    spans = {v: (v, None) for v in body.inputs[1 : 1 + loop.carries]}  # value -> (carry that it is a version of, bytes)
    for op in body:
        if op.op is LOOP:
            written = written_by(op.attr)
        elif op.op.consumes:
            written = [_span(body, op)]
        else:
            continue
        for v, result, span in zip(op.operands, op.results, written, strict=False):
            if v in spans:
                spans[result] = spans[v][0], _joined(spans[v][1], span)
    return [_of_carry(body, loop, spans, c) for c in range(loop.carries)]


def _span(body, op):
    if op.attr is None:  # by positions
        return 0, body.type(op.results[0]).nbytes
    lo, hi, _ = extent_of(op.attr)
    return lo + op.imm, hi + op.imm


def _joined(a, b):
    if a is None or a[0] == a[1]:
        return b
    return a if b[0] == b[1] else (min(a[0], b[0]), max(a[1], b[1]))


def _of_carry(body, loop, spans, c):
    origin, span = spans.get(body.outputs[c], (None, None))
    if origin != body.inputs[1 + c]:
        return 0, body.type(body.outputs[c]).nbytes
    return span or (0, 0)
