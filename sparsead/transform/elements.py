"""A scalar taken apart into the elements that are summed to it.

Law: the sum of the outputs of the new tape, or half of the sum of their squares, is the scalar, but for what depends on none of
the differentiated inputs. The way back from the scalar goes through what is linear: sums, differences, factors that do not depend
on these inputs; an element is what is left at the ends of this way. Ways that meet in one value with the
same weights go on as one.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import sqrt
from typing import NamedTuple

import numpy as np

from sparsead.ops.structural import positions
from sparsead.transform._emit import Emitter
from sparsead.transform._simplify import simplify


class Term(NamedTuple):
    """``number * product(weights) * product(values)``, summed over all elements.

    Parameters
    ----------
    values : tuple of int
        One or two values of the tape, of one shape.
    number : float
    above, below : tuple of int
        Weights and divisors: values that do not depend on the inputs, of shape () or one that is broadcast to that of `values`.
    """

    values: tuple
    number: float = 1.0
    above: tuple = ()
    below: tuple = ()

    def of_one(self):
        """The same for all terms that differ in their numbers, and in the order of their factors, only."""
        return self._replace(number=1.0, above=tuple(sorted(self.above)), below=tuple(sorted(self.below)))


class NoSquareError(ValueError):
    """The scalar is no sum of squares."""


def elements(tape, output, wrt):
    """A tape on the inputs of `tape` that gives the elements whose sum is an output of it.

    Parameters
    ----------
    tape : Tape
    output : int
        Position in ``tape.outputs`` of a value of one element.
    wrt : sequence of int
        Positions in ``tape.inputs``.

    Returns
    -------
    Tape
        With C-order outputs, in the order of the sums.
    """
    walk = _Walk(tape, wrt, divided=False)
    return _made(tape, walk.terms(tape.outputs[output]))


def residuals(tape, output, wrt):
    """Like `elements`, but half of the sum of the squares of the new tape's outputs is the scalar.

    Raises
    ------
    NoSquareError
        Something that is summed is no square, or is subtracted.
    """
    walk = _Walk(tape, wrt, divided=True)
    return _made(tape, [walk.root(term) for term in walk.terms(tape.outputs[output])], root=True)


class _Walk:
    """The way back over one tape; `depends` are the values that depend on the inputs.

    Arrays are `divided` into what depends on the inputs, and constants that are left out; numbers always are.
    """

    def __init__(self, tape, wrt, divided):
        self.divided = divided
        self.tape, self.depends = tape, {tape.inputs[position] for position in wrt}
        for op in tape:
            if not op.op.inactive and op.op.name != "stop_gradient" and any(v in self.depends for v in op.operands):
                self.depends.update(op.results)

    def maker(self, v):
        return self.tape.op(self.tape.maker(v))

    def shape(self, v):
        return self.tape.type(v).shape

    def terms(self, v):
        """The terms of a scalar, in their order; terms that differ in nothing but their numbers are one."""
        whole = Term((v,))
        numbers, parts, following = {whole: 1.0}, {}, [(-self.tape.maker(v), whole)]
        while following:  # from the last maker to the first: no term is taken apart before its number is complete
            _, term = heappop(following)
            parts[term] = self._parts(term)
            for part in parts[term] or ():
                alike = part.of_one()
                if alike not in numbers:
                    numbers[alike] = 0.0
                    heappush(following, (-self.tape.maker(alike.values[0]), alike))
                numbers[alike] += numbers[term] * part.number
        return [term._replace(number=numbers[term]) for term in _ends(whole, parts)]

    def _parts(self, term):
        """The terms that a term, of number 1, is the sum of; None if it is taken as one."""
        if len(term.values) > 1:
            return None
        (v,) = term.values
        if v not in self.depends:
            return []
        op = self.maker(v)
        name, operands = op.op.name, op.operands
        if name in ("add", "subtract"):
            if any(x in self.depends and self.shape(x) != self.shape(v) for x in operands):
                return None  # what is broadcast counts more than once
            if self.shape(v) and not self.divided and not all(x in self.depends for x in operands):
                return None
            sign = 1.0 if name == "add" else -1.0
            return [term._replace(values=operands[:1]), term._replace(values=operands[1:], number=sign * term.number)]
        if name in ("sum", "load", "einsum") and any(self.shape(w) for w in (*term.above, *term.below)):
            return None
        if name == "sum" or (name == "load" and self._is_permutation(op)):
            return [term._replace(values=operands[:1])]
        if name == "einsum":
            return self._product(term, op)
        factored = self._factored(v)
        return None if factored is None else [_times(term._replace(values=factored.values), factored)]

    def _is_permutation(self, op):
        """Whether a load has all elements of what it looks at, each once."""
        base, part = self.tape.type(op.operands[0]), self.tape.type(op.results[0])
        if (base.size, base.dtype) != (part.size, part.dtype):
            return False
        return np.array_equal(np.sort(positions(op.attr, op.imm), axis=None), np.arange(base.size))

    def _product(self, term, op):
        """The inner product of two arrays as the term of its products."""
        given, result = str(op.attr).split("->")
        letters = given.split(",")
        if result or len(letters) != 2 or letters[0] != letters[1] or len(set(letters[0])) < len(letters[0]):
            return None
        p, q = op.operands
        if p in self.depends and q in self.depends:
            return [term._replace(values=(p, q))]
        weight, value = (q, p) if p in self.depends else (p, q)
        return [term._replace(values=(value,), above=(*term.above, weight))]

    def _factored(self, v):
        """Value `v` as another one with factors, or None."""
        op = self.maker(v)
        name, operands = op.op.name, op.operands
        if name in ("negative", "copy", "positive"):
            return Term(operands[:1], -1.0 if name == "negative" else 1.0)
        if name not in ("multiply", "divide"):
            return None
        a, b = operands
        if b in self.depends and (a in self.depends or name == "divide"):
            return None
        value, weight = (b, a) if b in self.depends else (a, b)
        if self.shape(value) != self.shape(v):
            return None
        number = self._number(weight)
        if number is None or (name == "divide" and number == 0):
            return Term((value,), 1.0, (weight,), ()) if name == "multiply" else Term((value,), 1.0, (), (weight,))
        return Term((value,), number if name == "multiply" else 1 / number)

    def _number(self, v):
        op = self.maker(v)
        return float(op.attr) if op.op.name == "const" and not self.shape(v) else None

    def _stripped(self, v):
        """`v` without all of its factors, as a term."""
        term = Term((v,))
        while (factored := self._factored(term.values[0])) is not None:
            term = _times(term._replace(values=factored.values), factored)
        return term

    def root(self, term):
        """The term whose values are the ones that are squared."""
        op = self.maker(term.values[0])
        if len(term.values) == 2:
            pair = term.values
        elif op.op.name == "square":
            pair = op.operands * 2
        elif op.op.name == "multiply" and all(self.shape(x) == self.shape(term.values[0]) for x in op.operands):
            pair = op.operands
        elif op.op.name == "power" and self._number(op.operands[1]) == 2:
            pair = op.operands[:1] * 2
        else:
            raise NoSquareError(f"{op.op.name}{_line(op)} is no square")
        p, q = map(self._stripped, pair)
        if p.values != q.values:
            raise NoSquareError(f"{op.op.name}{_line(op)} is no square: its factors differ")
        whole = _times(_times(term._replace(values=p.values), p), q)
        if whole.number < 0:
            raise NoSquareError(f"a square{_line(op)} is subtracted")
        return whole


def _ends(whole, parts):
    """The terms that have no parts, each once, in the order in which they are met from left to right."""
    open_terms, seen, found = [whole], set(), []
    while open_terms:
        term = open_terms.pop()
        if term in seen:
            continue
        seen.add(term)
        if parts[term] is None:
            found.append(term)
        else:
            open_terms += [part.of_one() for part in reversed(parts[term])]
    return found


def _times(term, factors):
    """`term` with the factors of another one."""
    return term._replace(number=term.number * factors.number, above=(*term.above, *factors.above),
                         below=(*term.below, *factors.below))  # fmt: skip


def _line(op):
    return "" if op.line is None else f" at {op.line[0]}:{op.line[1]}"


def _made(tape, terms, root=False):
    """The tape that gives terms, or the square roots of twice their factors times their values."""
    new, value = tape.fresh(), np.full(tape.n_values + 1, -1, np.intc)
    e, kept = Emitter(new), {}
    wanted = {v for term in terms for v in (*term.values, *term.above, *term.below)}
    ended = _ended(tape)
    for op in tape:
        new.append(tape, value, op.index, op.index + 1)
        for v in op.results:
            if v in wanted:  # now, as memory may be written later
                made = int(value[v])
                t = e.array_type(e.type(made).dtype, e.type(made).shape)
                kept[v] = e.op("copy", (made,), t) if v in ended else e.dense(made)
    new.inputs = [int(value[v]) for v in tape.inputs]
    new.names = {int(value[v]): name for v, name in tape.names.items()}
    new.outputs = [_output(e, term, kept, root) for term in terms]
    return simplify(new)


def _ended(tape):
    """Values whose memory a later op may write to."""
    ops = [op for op in tape if op.op.consumes or hasattr(op.attr, "bodies")]
    return {v for op in ops for v in (op.operands if hasattr(op.attr, "bodies") else op.operands[:1])}


def _output(e, term, kept, root):
    result, *more = (kept[v] for v in term.values)
    for other in more:
        result = e.ew("multiply", result, other)
    weight = 2 * term.number if root else term.number
    for name, weights in (("multiply", term.above), ("divide", term.below)):
        for w in weights:
            weight = e.ew(name, weight, kept[w])
    if isinstance(weight, float):
        weight = sqrt(weight) if root else weight
        return e.dense(result if weight == 1 else e.ew("multiply", weight, result))
    return e.dense(e.ew("multiply", e.ew("sqrt", weight) if root else weight, result))


__all__ = ["NoSquareError", "elements", "residuals"]
