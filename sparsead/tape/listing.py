"""Print a tape, one op a line, with the user's lines: the first debugging tool."""

from __future__ import annotations

import linecache
import os

import numpy as np

from sparsead.tape.spec import View


def listing(tape, source=True):
    """The tape as text: results, types, op, operands, view and the user's source line; bodies are indented.

    Parameters
    ----------
    tape : Tape
    source : bool
        Show the user's line behind the op where it changes.
    """
    rows, last = [], None
    for op in tape:
        text = op_text(tape, op)
        if source and op.line is not None and op.line != last:
            text = f"{text:<72} # {source_text(op.line)}"
            last = op.line
        rows.append(text)
        for k, body in enumerate(getattr(op.attr, "bodies", ())):
            rows += [f"  {k}:"] * (len(op.attr.bodies) > 1) + [_body_text(body, source)]
    rows.append("return " + ", ".join(f"%{v}" for v in tape.outputs))
    return "\n".join(rows)


def _body_text(body, source):
    return "\n".join("    " + row for row in listing(body, source).splitlines())


def op_text(tape, op):
    """The line of the listing for one op, an `OpView` of `tape`."""
    results = ", ".join(f"%{v}: {tape.type(v)!r}" for v in op.results)
    operands = ", ".join(f"%{v}" for v in op.operands)
    name = tape.names.get(op.results[0]) if op.results else None
    return f"{results} = {op.op.name}({operands})" + _attr_text(op) + (f"  '{name}'" if name else "")


def _attr_text(op):
    attr = op.attr
    if attr is None:
        return ""
    if isinstance(attr, View):
        steps = ",".join(map(str, attr.strides))
        return f" @{op.imm} [{','.join(map(str, attr.shape))}; {steps}]"
    if hasattr(attr, "limits"):
        strides, steps = (",".join(map(str, numbers)) for numbers in (attr.view.strides, attr.steps))
        limits = ", ".join(f"{low}..{high - 1}" for low, high in attr.limits)
        return f" @{op.imm} + ({steps}) * ({limits}) [{','.join(map(str, attr.view.shape))}; {strides}]"
    if isinstance(attr, np.ndarray) and attr.size > 4:
        return f" {{array {attr.dtype}{list(attr.shape)}}}"
    return f" {{{getattr(attr, '__name__', attr)}}}"


def source_text(line):
    """The user's line: file, number and text."""
    file, number = line
    return f"{os.path.basename(file)}:{number}: {linecache.getline(file, number).strip()}"
