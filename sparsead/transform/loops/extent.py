"""What of its carries a loop or a branch overwrites.

Law: where a body hands a carry on as a later version of the same storage, the bytes that its stores can reach; else all.
"""

from __future__ import annotations

import functools

from sparsead.ops.nested import Nested
from sparsead.transform._adjoint import extent_of
from sparsead.transform.loops import remembered


@remembered
def written_by(nested):
    """(first byte, end) for each carry; equal if it is left alone."""
    heads = slice(nested.lead, nested.lead + nested.carries)
    spans = [_written_by_body(body, body.inputs[heads]) for body in nested.bodies]
    return [functools.reduce(_joined, of_carry) for of_carry in zip(*spans, strict=True)]


def _written_by_body(body, heads):
    spans = {v: (v, None) for v in heads}  # value -> (carry that it is a version of, bytes)
    for op in body:
        if isinstance(op.attr, Nested):
            written = written_by(op.attr)
        elif op.op.consumes:
            written = [_span(body, op)]
        else:
            continue
        for v, result, span in zip(op.operands, op.results, written, strict=False):
            if v in spans:
                spans[result] = spans[v][0], _joined(spans[v][1], span)
    return [_of_carry(body, spans, head, v) for head, v in zip(heads, body.outputs, strict=True)]


def _span(body, op):
    if op.attr is None:  # by positions
        return 0, body.type(op.results[0]).nbytes
    lo, hi, _ = extent_of(op.attr)
    return lo + op.imm, hi + op.imm


def _joined(a, b):
    if a is None or a[0] == a[1]:
        return b
    return a if b[0] == b[1] else (min(a[0], b[0]), max(a[1], b[1]))


def _of_carry(body, spans, head, output):
    origin, span = spans.get(output, (None, None))
    if origin != head:
        return 0, body.type(output).nbytes
    return span or (0, 0)
