"""Steps that are functions of NumPy, as plain loops in C.

Law: what is moved, reduced and scanned is what NumPy gives; products of matrices are summed in an order of their own, which is
fixed, so that they differ from a BLAS in the last bits.
"""

from __future__ import annotations

import numpy as np

from sparsead.engine.native.data import literal
from sparsead.engine.native.functions import value_of
from sparsead.engine.native.kernels import TYPES, indented

BLOCK = 64  # rows of a matrix that are added to all rows of a product before the next ones


def call_lines(step, functions, unsupported):
    """The statements of a `Call` on the operands ``x0``.. and results ``z0``..; `unsupported` makes the error for others."""
    name, line = step.op.op.name, step.op.line
    writer = WRITERS.get(name)
    if writer is None:
        raise unsupported(f"{name!r}, which needs Python or a library", line)
    dtypes = [x[1].dtype if isinstance(x, tuple) else None for x in step.operands] + [t.dtype for t in step.types]
    odd = [d for d in dtypes if d is not None and (d.char not in TYPES or not d.isnative)]
    if odd:
        raise unsupported(f"{name!r} of {odd[0]}", line)
    lines = writer(_Call(step, functions))
    if lines is None:
        raise unsupported(f"{name!r} of this kind", line)
    return lines


class _Call:
    def __init__(self, step, functions):
        self.step, self.op, self.functions, self.types = step, step.op, functions, step.types

    def shape(self, k):
        """Of operand `k`."""
        return self.step.operands[k][0] if isinstance(self.step.operands[k], tuple) else ()

    def dtype(self, k):
        return self.step.operands[k][1].dtype

    def element(self, k, index):
        """Operand `k` at these indices."""
        operand = self.step.operands[k]
        if not isinstance(operand, tuple):
            return literal(operand, np.asarray(operand).dtype.char)
        return _element(f"x{k}", operand[1].dtype, operand[1].strides, index)

    def result(self, index, k=0):
        return _element(f"z{k}", self.types[k].dtype, self.types[k].strides, index)

    def combined(self, name, a, b, dtype):
        """``name(a, b)``; None if it has no expression."""
        text = value_of(name, [dtype] * 3)
        return None if text is None else text.format(a, b)


def _element(pointer, dtype, strides, index):
    terms = [f"{i} * (intptr_t){s}" for i, s in zip(index, strides, strict=True) if s]
    return f"*({TYPES[dtype.char]} *)({' + '.join([pointer, *terms])})"


def _nest(index, shape, lines):
    """`lines` for all values of the indices."""
    for i, n in reversed(list(zip(index, shape, strict=True))):
        lines = [f"for (intptr_t {i} = 0; {i} < {n}; {i}++) {{", *indented(lines), "}"]
    return lines


def _index(ndim, letter="i"):
    return [f"{letter}{k}" for k in range(ndim)]


def _flat(index, shape):
    """The number of an element in C order."""
    text = "0"
    for i, n in zip(index, shape, strict=True):
        text = i if text == "0" else f"({text}) * {n} + {i}"
    return text


# ---- index arrays ------------------------------------------------------------------------------------------------------------


def _lanes(call):
    """(lanes, elements of a lane) of the memory that index numbers count in."""
    lanes = call.op.imm or 1
    whole = 1
    for n in call.shape(0) if call.op.op.name == "gather" else call.types[0].shape:
        whole *= n
    return lanes, whole // max(lanes, 1)


def _position(call, index, size):
    """Lines that let `at` be a position in a lane."""
    return [
        f"intptr_t at = (intptr_t){call.element(1, index)};",
        f"if (at < -(intptr_t){size} || at >= {size}) return OUT_OF_BOUNDS;", f"if (at < 0) at += {size};",
    ]  # fmt: skip


def _gather(call):
    (lanes, size), shape = _lanes(call), call.shape(1)
    index, item = _index(len(shape)), call.dtype(0).itemsize
    t = TYPES[call.dtype(0).char]
    to = _flat([*(["lane"] if call.op.imm else []), *index], [*([lanes] if call.op.imm else []), *shape])
    move = f"(({t} *)z0)[{to}] = *(const {t} *)(x0 + (lane * {size} + at) * (intptr_t){item});"
    if not _in_c_order(call.types[0]):
        return None
    return _nest(["lane", *index], [lanes, *shape], [*_position(call, index, size), move])


def _scatter(call):
    (lanes, size), shape = _lanes(call), call.shape(1)
    index = _index(len(shape))
    operand = call.step.operands[2]
    own = [*(["lane"] if len(call.shape(2)) > len(shape) else []), *index]
    if isinstance(operand, tuple) and len(call.shape(2)) != len(own):
        return None
    sign = "=" if call.op.op.name == "scatter" else "+="
    t = TYPES[call.types[0].dtype.char]
    move = f"(({t} *)z0)[lane * {size} + at] {sign} {call.element(2, own)};"
    return _nest(["lane", *index], [lanes, *shape], [*_position(call, index, size), move])


def _in_c_order(t):
    step = t.dtype.itemsize
    for n, stride in zip(reversed(t.shape), reversed(t.strides), strict=True):
        if n > 1 and stride != step:
            return False
        step *= n
    return True


# ---- reductions and scans ----------------------------------------------------------------------------------------------------


def _reduced(call, name, axes, begin):
    """Sums and extrema along axes; `begin`: what a sum begins with, or None: the first element."""
    shape, index = call.shape(0), _index(len(call.shape(0)))
    axes = tuple(range(len(shape))) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    axes = tuple(a % len(shape) for a in axes)
    kept = [a for a in range(len(shape)) if a not in axes]
    t, dtype = TYPES[call.types[0].dtype.char], call.types[0].dtype
    value = call.combined(name, "z", "x", dtype)
    if value is None or (begin is None and 0 in shape):
        return None
    x = call.element(0, index)
    lines = _nest([index[a] for a in axes], [shape[a] for a in axes], [
        f"const {t} x = ({t}){x};", f"z = {value};" if begin is not None else f"z = started ? {value} : x;",
        *([] if begin is not None else ["started = 1;"]),
    ])  # fmt: skip
    head = [f"{t} z = {begin or 0};", *([] if begin is not None else ["int started = 0;"])]
    lines = [*head, *lines, f"{call.result([index[a] for a in kept])} = z;"]
    return ["{", *indented(_nest([index[a] for a in kept], [shape[a] for a in kept], lines)), "}"]


def _sum(call):
    return _reduced(call, "add", call.op.attr, "0")


def _reduce(call):
    name, axes = call.op.attr
    return _reduced(call, name, axes, None)


def _scan(call):
    name, axis = call.op.attr
    shape, index = call.shape(0), _index(len(call.shape(0)))
    t = TYPES[call.types[0].dtype.char]
    before = [f"{i} - 1" if a == axis else i for a, i in enumerate(index)]
    before[axis] = f"({before[axis]})"
    value = call.combined(name, "z", "x", call.types[0].dtype)
    if value is None:
        return None
    return _nest(index, shape, [
        f"const {t} x = ({t}){call.element(0, index)};",
        f"if ({index[axis]} == 0) {{ {call.result(index)} = x; continue; }}",
        f"const {t} z = {call.result(before)};", f"{call.result(index)} = {value};",
    ])  # fmt: skip


def _linrec(call):
    axis, reverse = call.op.attr
    shape, index = call.types[0].shape, _index(len(call.types[0].shape))
    t, n = TYPES[call.types[0].dtype.char], shape[axis]
    place = [f"({n - 1} - {i})" if a == axis and reverse else i for a, i in enumerate(index)]
    before = [f"({n} - {i})" if a == axis and reverse else f"({i} - 1)" if a == axis else i for a, i in enumerate(index)]
    return _nest(index, shape, [
        f"const {t} z = {index[axis]} == 0 ? 0 : {call.result(before)};",
        f"{call.result(place)} = {call.element(0, place)} * z + {call.element(1, place)};",
    ])  # fmt: skip


# ---- contractions ------------------------------------------------------------------------------------------------------------


def _einsum(call):
    """Axes of the result that the last operand has alone come last, so that the innermost loop adds rows; else it is a sum."""
    inputs, out = call.op.attr.split("->")
    terms = inputs.split(",")
    sizes: dict[str, int] = {}
    for k, term in enumerate(terms):
        sizes.update(zip(term, call.shape(k), strict=True))
    summed = [c for c in sizes if c not in out]
    last = [c for c in out if c in terms[-1] and all(c not in term for term in terms[:-1])]

    def product(index):
        return " * ".join(call.element(k, [index[c] for c in term]) for k, term in enumerate(terms))

    index = {c: f"i_{c}" for c in sizes}
    target = call.result([index[c] for c in out])
    if last and summed:
        return _rows_added(sizes, index, out, summed, last, target, product(index))
    return _over(out, index, sizes, [*_sum_of(call, sizes, index, summed, product), f"{target} = sum;"])


def _over(letters, index, sizes, lines):
    return _nest([index[c] for c in letters], [sizes[c] for c in letters], lines)


def _rows_added(sizes, index, out, summed, last, target, product):
    """Rows of the last operand, added up; so many of them at a time that they stay in the cache."""
    first, *others = summed
    outer = [c for c in out if c not in last]
    added = _over([*others, *last], index, sizes, [f"{target} += {product};"])
    i, n = index[first], sizes[first]
    rows = [f"for (intptr_t {i} = begin; {i} < begin + {BLOCK} && {i} < {n}; {i}++) {{", *indented(added), "}"]
    blocks = [f"for (intptr_t begin = 0; begin < {n}; begin += {BLOCK}) {{", *indented(_over(outer, index, sizes, rows)), "}"]
    return [*_over(out, index, sizes, [f"{target} = 0;"]), *blocks]


def _sum_of(call, sizes, index, summed, product):
    """`sum`, in eight parts along the last letter."""
    t = TYPES[call.types[0].dtype.char]
    if not summed:
        return [f"const {t} sum = {product(index)};"]
    *others, c = summed
    i, n = index[c], sizes[c]
    eight = f"for (intptr_t part = 0; part < 8; part++) parts[part] += {product({**index, c: f'({i} + part)'})};"
    whole = [f"for (intptr_t {i} = 0; {i} < {n - n % 8}; {i} += 8)", f"    {eight}"] if n >= 8 else []
    rest = [f"for (intptr_t {i} = {n - n % 8}; {i} < {n}; {i}++)", f"    parts[{i} % 8] += {product(index)};"] if n % 8 else []
    total = " + ".join(f"(parts[{k}] + parts[{k + 4}])" for k in range(4))
    return [f"{t} parts[8] = {{0}};", *_over(others, index, sizes, [*whole, *rest]), f"const {t} sum = {total};"]


def _moved(call):
    """A copy, or numbers of another type."""
    shape, index, t = call.types[0].shape, _index(len(call.types[0].shape)), TYPES[call.types[0].dtype.char]
    value = call.element(0, index)
    value = f"{value} != 0" if call.types[0].dtype.char == "?" else f"({t}){value}"
    return _nest(index, shape, [f"{call.result(index)} = {value};"])


WRITERS = {
    "gather": _gather, "scatter": _scatter, "scatter_add": _scatter, "sum": _sum, "reduce": _reduce, "scan": _scan,
    "linrec": _linrec, "einsum": _einsum, "copy": _moved, "cast": _moved,
}  # fmt: skip
