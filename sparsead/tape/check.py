"""Whether a tape keeps the laws that passes and engines rely on; run after every pass under test.

Law: what `check` lets through can be printed, transformed and run.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from sparsead.ops.branch import BRANCH
from sparsead.ops.loop import LOOP
from sparsead.ops.structural import CONST, GUARD, INPUT
from sparsead.ops.templates import template_of
from sparsead.tape._tape import TapeError, is_dense
from sparsead.tape.laws import law_of
from sparsead.tape.listing import op_text, source_text
from sparsead.tape.spec import OPS
from sparsead.tape.undefined import undefined_reads

# Memory ops have no derivative rule of their own: the drivers of the transforms know it.
DRIVEN = {"load", "store", "accumulate", "load_at", "store_at", "accumulate_at", "gather", "scatter", "scatter_add", "copy",
          "cast", "branch"}  # fmt: skip


def check(tape, linear=False, active=(), owned=()):
    """Raise `TapeError` at the first op that breaks a law.

    Parameters
    ----------
    tape : Tape
    linear : bool
        Storages have to be linear: nothing is read after the op that ends it, and only the tape's own values are ended.
    active : sequence of int
        Positions of inputs that are differentiated: no guard may look at what carries a derivative by them.
    owned : sequence of int
        Inputs (values) that a linear tape may overwrite.

    Raises
    ------
    TapeError
        With the number of the op, its line in the listing, and the user's line.
    """
    skeleton = _skeleton(tape)
    for k, fault in _numbers(tape, skeleton):
        raise TapeError(f"op {k}: {fault}")  # such an op cannot be printed
    faults = chain(
        *(rule(tape, skeleton) for rule in (_operands, _ends, _laws, undefined_reads)),
        _guards(tape, skeleton, active), _linear(tape, skeleton, owned) if linear else (),
    )  # fmt: skip
    for k, fault in faults:
        raise TapeError(_message(tape, k, fault))


def _message(tape, k, fault):
    if k is None:
        return f"the tape: {fault}"
    op = tape.op(k)
    line = "" if op.line is None else f", at {source_text(op.line)}"
    return f"op {k}, {op_text(tape, op)}{line}: {fault}"


class Skeleton(NamedTuple):
    """The columns of a tape as lists: much quicker to walk than `OpView`s."""

    code: list[int]
    attr: list[int]
    imm: list[int]
    line: list[int]
    start: list[int]
    out: list[int]
    operand: list[int]
    vtype: list[int]
    maker: list[int]

    def operands(self, k):
        """The values that op `k` reads."""
        return self.operand[self.start[k] : self.start[k + 1]]

    def results(self, k):
        """The values that op `k` makes."""
        return range(self.out[k], self.out[k + 1])


def _skeleton(tape):
    return Skeleton(**{name: column.tolist() for name, column in tape.columns().items()})


# Each rule is a generator of (number of an op, what is wrong with it); None is the tape as a whole.


def _numbers(tape, s):
    """Codes, attributes, lines and types exist; ops follow one another without gaps."""
    pool = tape.pool
    for k, (code, attr, line) in enumerate(zip(s.code, s.attr, s.line, strict=True)):
        if not 0 <= code < len(OPS) or OPS[code] is None:
            yield k, f"no op has the code {code}"
        if not (0 <= attr < len(pool.consts) if code == CONST.code else -1 <= attr < len(pool.attrs)):
            yield k, f"its attribute {attr} is out of range"
        if not -1 <= line < len(pool.lines):
            yield k, f"its line {line} is out of range"
    for what, first, n in (("operand", s.start, len(s.operand)), ("result", s.out, len(s.maker))):
        if (first[0], first[-1]) != (0, n) or first != sorted(first):
            k = next((k for k in range(len(tape)) if first[k] > first[k + 1]), len(tape) - 1)
            yield k, f"its first {what} is number {first[k]}, that of the next op {first[k + 1]}"
    for v, (maker, vtype) in enumerate(zip(s.maker, s.vtype, strict=True)):
        if not 0 <= maker < len(tape) or v not in s.results(maker):
            yield maker, f"it does not make %{v}"
        if not 0 <= vtype < len(pool.types):
            yield maker, f"the type {vtype} of %{v} is out of range"


def _operands(tape, s):
    """Single assignment: an operand is a result of an earlier op."""
    for k, first in enumerate(s.out[:-1]):
        for v in s.operands(k):
            if not 0 <= v < first:
                yield k, f"it reads %{v}, which no op before it makes"


def _ends(tape, s):
    """Inputs are the results of the input ops, each once; outputs and names belong to values."""
    made = [s.out[k] for k, code in enumerate(s.code) if code == INPUT.code]
    if sorted(tape.inputs) != made:
        yield None, f"its inputs are {tape.inputs}, the input ops make {made}"
    for what, values in (("output", tape.outputs), ("name", tape.names)):
        for v in values:
            if not 0 <= v < tape.n_values:
                yield None, f"the {what} %{v} does not exist"


def _laws(tape, s):
    """Each op keeps its own law; the pool remembers by their numbers which ones did."""
    lawful = tape.pool.lawful
    for k, numbers in enumerate(zip(s.code, s.attr, s.imm, strict=True)):
        types = [s.vtype[v] for v in (*s.operands(k), *s.results(k))]
        signature = (*numbers, s.out[k + 1] - s.out[k], *types)
        if signature not in lawful:
            for fault in _faults(tape, tape.op(k)):
                yield k, fault
            lawful.add(signature)


def _faults(tape, op):
    operands, results = [tape.type(v) for v in op.operands], [tape.type(v) for v in op.results]
    for t in results:
        if not is_dense(t):
            yield f"a value of shape {t.shape} with strides {t.strides} is not dense"
    law = law_of(op.op)
    if law is None:
        return
    for what, found, n in (("operands", len(operands), law.nin), ("results", len(results), law.nout)):
        if n is not None and found != n:
            yield f"it has {found} {what}; {op.op.name} has {n}"
    yield from law.faults(op, operands, results)


def _guards(tape, s, active):
    """A guard compares a number that carries no derivative; else a branch on it would lose the derivative silently."""
    if GUARD.code in s.code or LOOP.code in s.code:
        yield from _guards_on(tape, {tape.inputs[position] for position in active})


def _guards_on(tape, active):
    carries = _carrying(tape, active)
    for op in tape:
        read = [v in carries for v in op.operands]
        if op.op is GUARD and any(read):
            yield op.index, f"%{op.operands[0]} carries a derivative"
        if op.op is LOOP and op.attr.guarded:
            body = op.attr.body
            for k, fault in _guards_on(body, _carrying_inputs(op.attr, read)):
                yield op.index, f"in its body, {_message(body, k, fault)}"


def _carrying(tape, active):
    """The values that carry a derivative by the inputs `active`."""
    carries = set(active)
    for op in tape:
        read = [v in carries for v in op.operands]
        if any(read):
            found = _carrying_results(op, read)
            carries.update(z for z, flag in zip(op.results, found, strict=True) if flag and tape.type(z).inexact)
    return carries


def _carrying_results(op, read):
    """Flags of the results of `op` whose derivative by one of the flagged operands may differ from zero."""
    if op.op is LOOP:
        body, carries = op.attr.body, _carrying_inputs(op.attr, read)
        return [v in carries for v in body.inputs[1 : 1 + op.attr.carries]]
    record = op.op.elementwise
    if record is None or record.kind == "select":
        return [record is not None or op.op.tangent is not None or op.op.name in DRIVEN] * len(op.results)
    template = _template(record)
    flags = [i for i, flag in enumerate(read) if flag]
    return [template is not None and not all(template.vanishes(r, i) for i in flags) for r in range(record.nout)]


_template = lru_cache(maxsize=None)(template_of)


def _carrying_inputs(loop, read):
    """The inputs of a loop's body that carry a derivative in some trip, if the flagged operands do before the loop."""
    body, carries = loop.body, set()
    found = {v for v, flag in zip(loop.body.inputs[1:], read, strict=True) if flag}
    while found != carries:
        carries = found
        inside = _carrying(body, carries)
        found = carries | {v for v, out in zip(body.inputs[1:], body.outputs, strict=False) if out in inside}
    return carries


def _linear(tape, s, owned):
    """Linear storage: nothing is read after the op that ends it, and only the tape's own values are ended."""
    ended = {}
    for k in range(len(tape)):
        operands = s.operands(k)
        for v in operands:
            if v in ended:
                yield k, f"it reads %{v}, which op {ended[v]} has ended"
        for j, x in enumerate(operands[: _ended(tape, s, k)]):
            maker = s.code[s.maker[x]]
            if maker == CONST.code or (maker == INPUT.code and x not in owned):
                yield k, f"it ends %{x}, which is not the tape's own"
            if x in operands[j + 1 :]:
                yield k, f"it ends %{x}, which it reads besides"
            ended[x] = k
    for v in tape.outputs:
        if v in ended:
            yield ended[v], f"it ends %{v}, which is an output"


def _ended(tape, s, k):
    """How many of its first operands op `k` ends."""
    if s.code[k] in (LOOP.code, BRANCH.code):
        return tape.pool.attrs[s.attr[k]].carries
    return OPS[s.code[k]].consumes
