"""What the operands, the attribute and the results of an op have to be to one another: one law per op.

Law: ``faults(op, operands, results)`` yields what is wrong with `op`, an `OpView`, given the `ValueType`s of its operands and
results; passes and engines take for granted what it lets through. The numbers of operands and results it may rely on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sparsead.ops.branch import Branch
from sparsead.ops.effect import Effect
from sparsead.ops.loop import Loop
from sparsead.ops.moving import Moving
from sparsead.ops.structural import broadcast_shape, injective, positions
from sparsead.tape._tape import TapeError
from sparsead.tape.spec import View

BOOL = np.dtype(bool)


class Law(NamedTuple):
    """Numbers of operands and results (None: any number), and what else has to hold."""

    nin: int | None
    nout: int | None
    faults: Callable[..., Iterator[str]]


def law_of(op):
    """The `Law` of an `Op`; None if there is none."""
    record = op.elementwise
    return LAWS.get(op.name) if record is None else Law(record.nin, record.nout, _elementwise)


def _nothing(op, operands, results):
    return iter(())


def _is(what, t, shape, dtype):
    if t.shape != tuple(shape) or t.dtype != dtype:
        yield f"the {what} has shape {t.shape} and dtype {t.dtype}; it has to have {tuple(shape)} and {dtype}"


def _same(what, t, other):
    if t is not other:
        yield f"the {what} is {t!r} with strides {t.strides}; it has to be {other!r} with strides {other.strides}"


def _axes(axes, ndim):
    if list(axes) != sorted(set(axes)) or any(not 0 <= axis < ndim for axis in axes):
        yield f"{axes} are not ascending axes of an array with {ndim} axes"


# ---- memory ---------------------------------------------------------------------------------------------------------


def _const(op, operands, results):
    (z,), value = results, op.attr
    yield from _is("constant", value, z.shape, z.dtype)
    if value.strides != z.strides:
        yield f"the constant has strides {value.strides}, its type {z.strides}"


def span(view, offset):
    """First and one past last byte that the elements of a view lie in."""
    reach = [stride * (n - 1) for n, stride in zip(view.shape, view.strides, strict=True)]
    return offset + sum(min(0, r) for r in reach), offset + sum(max(0, r) for r in reach) + view.dtype.itemsize


def _window(op, base):
    """The view of `op` lies on elements of the memory of `base`."""
    view = op.attr
    if not isinstance(view, View) or len(view.shape) != len(view.strides):
        yield f"{view!r} is not a view"
        return
    if view.dtype not in (base.dtype, np.zeros(0, base.dtype).real.dtype):  # real and imaginary parts are views
        yield f"a view of dtype {view.dtype} on memory of dtype {base.dtype}"
    if 0 in view.shape:
        return
    lo, hi = span(view, op.imm)
    if lo < 0 or hi > base.nbytes:
        yield f"the view spans bytes {lo} to {hi} of a memory of {base.nbytes} bytes"
    if any(step % view.dtype.itemsize for step in (op.imm, *view.strides)):
        yield f"the view does not lie on elements of dtype {view.dtype}"


def _load(op, operands, results):
    (base,), (z,) = operands, results
    faults = list(_window(op, base))
    yield from faults or _is("result", z, op.attr.shape, op.attr.dtype)


def _accumulate(op, operands, results):
    (x, v), (z,) = operands, results
    faults = list(_window(op, x))
    yield from faults or _is("operand that is written", v, op.attr.shape, op.attr.dtype)
    yield from _same("result", z, x)


def _store(op, operands, results):
    faults = list(_accumulate(op, operands, results))
    if not faults and _overlaps(op.attr):
        faults = ["elements of the view share memory: which of them is written last is not defined"]
    yield from faults


@lru_cache(maxsize=4096)
def _overlaps(view):
    return not injective(view) and np.unique(positions(view, 0)).size < np.prod(view.shape)


def _indexed(op, x, pos, v, what):
    """Elements `v` of `x` at the positions `pos`, in each of ``op.imm`` lanes (0: there are no lanes)."""
    lanes = op.imm or 1
    if pos.dtype.kind not in "iu":
        yield f"positions of dtype {pos.dtype}"
    if op.imm < 0 or x.size % lanes:
        yield f"{x.size} elements in {op.imm} lanes"
    shape = v.shape[v.ndim - pos.ndim :] if op.imm else v.shape
    if shape != pos.shape or v.size != lanes * pos.size or v.dtype != x.dtype:
        yield f"the {what} is {v!r} for positions of shape {pos.shape} in {lanes} lanes of {x!r}"


def _gather(op, operands, results):
    (x, pos), (z,) = operands, results
    yield from _indexed(op, x, pos, z, "result")


def _scatter(op, operands, results):
    (x, pos, v), (z,) = operands, results
    yield from _indexed(op, x, pos, v, "operand that is written")
    yield from _same("result", z, x)


def _copy(op, operands, results):
    (x,), (z,) = operands, results
    yield from _is("result", z, x.shape, x.dtype)


def _cast(op, operands, results):
    (x,), (z,) = operands, results
    yield from _is("result", z, x.shape, z.dtype)


def _guard(op, operands, results):
    if operands[0].size != 1:
        yield f"a guard compares one number, not {operands[0]!r}"


# ---- windows that move ------------------------------------------------------------------------------------------------


def _ends_of(op, base, indices):
    """The op with its window where it is nearest to the begin of the memory, and to the end; or what is wrong with it."""
    moving = op.attr
    if not isinstance(moving, Moving) or not len(indices) == len(moving.steps) == len(moving.limits):
        return (), f"{moving!r} is not a view that moves with {len(indices)} indices"
    if any(t.shape != () or t.dtype.kind not in "iu" for t in indices):
        return (), f"an index is not an integer: {indices}"
    if any(step % base.dtype.itemsize for step in moving.steps):
        return (), f"the view moves by parts of elements: {moving.steps}"
    if any(high <= low for low, high in moving.limits):
        return (), None  # it never is anywhere
    reach = [sorted((step * low, step * (high - 1))) for step, (low, high) in zip(moving.steps, moving.limits, strict=True)]
    offsets = op.imm + sum(low for low, _ in reach), op.imm + sum(high for _, high in reach)
    return [op._replace(attr=moving.view, imm=offset) for offset in offsets], None


def _moving(n, law):
    """The law of an op with a moving window: that of the op with a still one, `law`, at both ends of its way."""

    def faults(op, operands, results):
        ends, fault = _ends_of(op, operands[0], operands[n:]) if len(operands) >= n else ((), f"it has {len(operands)} operands")
        if fault is not None:
            yield fault
        for end in ends:
            yield from law(end, operands[:n], results)

    return faults


# ---- bodies -------------------------------------------------------------------------------------------------------------


def _body(body, given, results):
    """A body takes the operands, and gives values of the types of its carries, which are those of the results."""
    for what, types, values in (("inputs", given, body.inputs), ("outputs", results, body.outputs)):
        found = [body.type(v) for v in values]
        if len(found) != len(types) or any(a is not b for a, b in zip(found, types, strict=True)):
            yield f"the {what} of its body are {found}, it has {types}"
    try:
        body.check()
    except TapeError as error:
        yield f"in its body, {error}"


def _carries(op, operands, results):
    carries = op.attr.carries
    if [*operands[:carries]] != results:
        yield f"it carries {operands[:carries]}, its results are {results}"


def _loop(op, operands, results):
    if not isinstance(op.attr, Loop) or op.attr.trips < 0:
        yield f"{op.attr!r} is no loop"
        return
    yield from _carries(op, operands, results)
    yield from _body(op.attr.body, [op.attr.body.pool.type(np.int64, ()), *operands], results)


def _effect(op, operands, results):
    if not isinstance(op.attr, Effect) or not operands or operands[0].shape != () or operands[0].dtype.kind not in "iu":
        yield f"{op.attr!r} is no effect of a counter"


def _branch(op, operands, results):
    if not isinstance(op.attr, Branch) or not operands or operands[-1].dtype.kind not in "iu":
        yield f"{op.attr!r} is no branch by an integer"
        return
    yield from _carries(op, operands, results)
    for body in op.attr.bodies:
        yield from _body(body, operands[:-1], results)


# ---- elementwise ----------------------------------------------------------------------------------------------------


def _elementwise(op, operands, results):
    given = tuple(t.dtype for t in operands)
    loop = _dtypes(op.op.elementwise.ufunc, given)
    if loop[: len(given)] != given:
        yield f"operands of dtypes {_names(given)}; the op computes with {_names(loop[: len(given)])}"
    shape = _broadcast(*[t.shape for t in operands])
    for z, dtype in zip(results, loop[len(given) :], strict=True):
        yield from _is("result", z, shape, dtype)


@lru_cache(maxsize=4096)
def _dtypes(function, dtypes):
    """Dtypes of operands and results of the loop that these operands get."""
    if not isinstance(function, np.ufunc):  # select, and others of ours that compute with the dtype they are given
        condition = (BOOL,) * (len(dtypes) == 3)
        return condition + (dtypes[-1],) * (len(dtypes) - len(condition) + 1)
    return function.resolve_dtypes(dtypes + (None,) * function.nout)


_broadcast = lru_cache(maxsize=4096)(broadcast_shape)


def _names(dtypes):
    return ", ".join(map(str, dtypes))


# ---- reductions, scans, contractions ----------------------------------------------------------------------------------


def _without(axes, t):
    return tuple(n for k, n in enumerate(t.shape) if k not in axes)


def _sum(op, operands, results):
    (x,), (z,) = operands, results
    faults = list(_axes(op.attr, x.ndim))
    yield from faults or _is("result", z, _without(op.attr, x), z.dtype)


def _reduce(op, operands, results):
    (x,), (z,), (_, axes) = operands, results, op.attr
    faults = list(_axes(axes, x.ndim))
    yield from faults or _is("result", z, _without(axes, x), x.dtype)


def _scan(op, operands, results):
    (x,), (z,), (_, axis) = operands, results, op.attr
    yield from _axes((axis,), x.ndim)
    yield from _is("result", z, x.shape, x.dtype)


def _linrec(op, operands, results):
    (a, c), (z,), (axis, _) = operands, results, op.attr
    yield from _axes((axis,), c.ndim)
    yield from _is("factor", a, c.shape, c.dtype)
    yield from _is("result", z, c.shape, c.dtype)


def _einsum(op, operands, results):
    (z,), (inputs, out) = results, op.attr.split("->")
    terms, sizes = inputs.split(","), {}
    if [len(term) for term in terms] != [t.ndim for t in operands] or not set(out) <= set(inputs):
        yield f"{op.attr} does not fit operands with {[t.ndim for t in operands]} axes"
        return
    for term, t in zip(terms, operands, strict=True):
        for letter, n in zip(term, t.shape, strict=True):
            if sizes.setdefault(letter, n) != n:
                yield f"axis {letter} of {op.attr} is {n} long in {t!r}, and {sizes[letter]} in another operand"
        if t.dtype != z.dtype:
            yield f"an operand of dtype {t.dtype} makes a result of dtype {z.dtype}"
    yield from _is("result", z, [sizes[letter] for letter in out], z.dtype)


# ---- linear algebra ---------------------------------------------------------------------------------------------------


def _square(a):
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        yield f"{a!r} is no stack of square matrices"


def _solve(op, operands, results):
    (a, b), (z,) = operands, results
    faults = list(_square(a))
    yield from faults or _is("right side", b, (*a.shape[:-1], *b.shape[-1:]), a.dtype)
    yield from _is("result", z, b.shape, a.dtype)


def _implicit(op, operands, results):
    yield from _point(op, (results[0], *operands[1:]))
    yield from _is("start", operands[0], results[0].shape, results[0].dtype)


def _system(op, operands, results):
    yield from _point(op, operands[1:])
    for what, t in (("right side", operands[0]), ("result", results[0])):
        yield from _is(what, t, results[0].shape[: t.ndim - operands[1].ndim] + operands[1].shape, operands[1].dtype)


def _point(op, point):
    """Solution and parameters are those of the equation."""
    tape = op.attr.equation.tape
    if len(point) != len(tape.inputs):
        yield f"it has {len(point) - 1} parameters, its equation {len(tape.inputs) - 1}"
        return
    for k, (t, v) in enumerate(zip(point, tape.inputs, strict=True)):
        yield from _same(f"parameter {k}" if k else "solution", t, tape.type(v))


def _determinant(op, operands, results):
    (a,), (z,) = operands, results
    faults = list(_square(a))
    yield from faults or _is("result", z, a.shape[:-2], a.dtype)


def _cofactors(op, operands, results):
    (a,), (z,) = operands, results
    faults = list(_square(a))
    yield from faults or _is("result", z, a.shape, a.dtype)


# ---- functions that are called ----------------------------------------------------------------------------------------


def _inactive(op, operands, results):
    if not callable(op.attr):
        yield f"{op.attr!r} is not a function"


def _winners(op, operands, results):
    (pos,), (z,) = operands, results
    yield from _is("result", z, pos.shape, BOOL)


LAWS = {
    "input": Law(0, 1, _nothing),
    "const": Law(0, 1, _const),
    "zeros": Law(0, 1, _nothing),
    "empty": Law(0, 1, _nothing),
    "load": Law(1, 1, _load),
    "store": Law(2, 1, _store),
    "accumulate": Law(2, 1, _accumulate),
    "gather": Law(2, 1, _gather),
    "scatter": Law(3, 1, _scatter),
    "scatter_add": Law(3, 1, _scatter),
    "load_at": Law(None, 1, _moving(1, _load)),
    "store_at": Law(None, 1, _moving(2, _store)),
    "accumulate_at": Law(None, 1, _moving(2, _accumulate)),
    "copy": Law(1, 1, _copy),
    "cast": Law(1, 1, _cast),
    "guard": Law(1, 0, _guard),
    "sum": Law(1, 1, _sum),
    "reduce": Law(1, 1, _reduce),
    "scan": Law(1, 1, _scan),
    "linrec": Law(2, 1, _linrec),
    "einsum": Law(None, 1, _einsum),
    "inactive": Law(None, None, _inactive),
    "winners": Law(1, 1, _winners),
    "solve": Law(2, 1, _solve),
    "det": Law(1, 1, _determinant),
    "logabsdet": Law(1, 1, _determinant),
    "cofactors": Law(1, 1, _cofactors),
    "loop": Law(None, None, _loop),
    "branch": Law(None, None, _branch),
    "effect": Law(None, 0, _effect),
    "black_box": Law(None, 1, _nothing),
    "black_box_jacobian": Law(None, 1, _nothing),
    "rule": Law(None, 1, _nothing),
    "rule_tangent": Law(None, 1, _nothing),
    "rule_adjoint": Law(None, 1, _nothing),
    "implicit": Law(None, 1, _implicit),
    "implicit_solve": Law(None, 1, _system),
}
