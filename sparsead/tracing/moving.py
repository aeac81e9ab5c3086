"""Basic indices with traced integers in them: which window they name, and how it moves with them."""

from __future__ import annotations

from typing import Any

from sparsead.tape.spec import BY_NAME
from sparsead.tracing._traced import Traced, follows, moving

ADD, SUBTRACT, MULTIPLY, CONST = (BY_NAME[name] for name in ("add", "subtract", "multiply", "const"))


def window(array, index):
    """(index with the trace's numbers, moves) for a basic index; None where the tape cannot follow it.

    It cannot where a traced number decides the length of a slice, or stands beside index arrays.
    """
    parts = index if isinstance(index, tuple) else (index,)
    taken = sum(part is not None and part is not Ellipsis for part in parts)
    axis = 0
    plain: list[Any] = []
    found: list[Any] = []
    for part in parts:
        if part is Ellipsis:
            axis += array.ndim - taken
            plain.append(part)
        elif part is None:
            plain.append(part)
        else:
            if axis >= array.ndim:
                return None  # too many indices: NumPy says so
            known = _on_axis(array, part, array.shape[axis], array.strides[axis], found)
            if known is None:
                return None
            plain.append(known)
            axis += 1
    return tuple(plain), moving(array, *zip(*found, strict=True))


def _on_axis(array, part, n, stride, found):
    """The part with numbers in it; what moves is appended to `found` as (index, step, limits)."""
    if isinstance(part, slice) and (follows(part.start) or follows(part.stop)):
        return _slice_on_axis(array.home, part, n, stride, found)
    if isinstance(part, (int, slice)) and not isinstance(part, Traced):
        return part
    if not follows(part) or not -n <= part.concrete < n:
        return None  # out of bounds: NumPy says so
    found.append((part, stride, (0, n) if part.concrete >= 0 else (-n, 0)))
    return int(part.concrete)


def _slice_on_axis(trace, part, n, stride, found):
    step = 1 if part.step is None else part.step
    if not (follows(part.start) and follows(part.stop)) or isinstance(step, Traced) or not isinstance(step, int) or step == 0:
        return None
    start, stop = int(part.start.concrete), int(part.stop.concrete)
    if _affine(trace, part.start.value)[0] != _affine(trace, part.stop.value)[0]:
        return None  # the length is not always the same
    lowest, highest = min(start, stop), max(start, stop)
    if lowest < 0 or highest > n or (step < 0 and start >= n):
        return None  # cut off at an end, or counted from it
    limits = (0, n - (stop - start) + 1) if step > 0 else (start - stop, n)
    found.append((part.start, stride, limits))
    return slice(start, stop, step)


def _affine(trace, value):
    """A scalar integer as ({value: factor}, constant), in values that are no sums or multiples themselves."""
    op = trace.tape.op(trace.tape.maker(value))
    if op.op is CONST and not trace.is_counter(value):
        return {}, int(op.attr)
    if op.op in (ADD, SUBTRACT):
        (a, constant), (b, other) = (_affine(trace, v) for v in op.operands)
        sign = 1 if op.op is ADD else -1
        terms = {v: a.get(v, 0) + sign * b.get(v, 0) for v in {**a, **b}}
        return {v: factor for v, factor in terms.items() if factor}, constant + sign * other
    if op.op is MULTIPLY:
        (a, constant), (b, other) = (_affine(trace, v) for v in op.operands)
        if not a:
            a, b, constant, other = b, a, other, constant
        if not b:
            return {v: factor * other for v, factor in a.items() if other}, constant * other
    return {value: 1}, 0
