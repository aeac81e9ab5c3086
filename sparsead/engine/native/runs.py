"""Runs of ops on single numbers as statements in C: straight on, or in the loops that they were made by.

Law: the numbers in memory are those of the tiled engine wherever somebody else may look for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sparsead.engine.native.data import literal
from sparsead.engine.native.kernels import TYPES, expression, indented
from sparsead.engine.native.rolled import MOVES, Op
from sparsead.schedule.form import BYTES, Scalars
from sparsead.schedule.work import NUMBER

MANY = 4000  # instructions of a run of which it is not asked which registers it reads


def left_of(block, step):
    """Registers in which runs of a block find what others of them, or their own trip before, have left."""
    found = set()
    for other in block.steps:
        if not isinstance(other, Scalars) or other.registers != step.registers:
            continue
        if other.count > MANY:
            found.update(range(other.nbytes // 8))
        else:
            made = set(range(-(-len(other.numbers) // 8)))
            for form, words in other.instructions():
                read, set_ = form.registers(words)
                found.update(r for r, _ in read if r not in made)
                made.update(r for r, _ in set_)
    return found


def looked(work):
    """The user may interrupt once in a while; so many point instructions more have been done."""
    return [f"if ((left -= {work}) < 0) {{", "    if (LOOK(LOOK_EVERY)) return RAISED;", "    left = LOOK_EVERY;", "}"]


class Run:
    """The statements of one run on single numbers."""

    def __init__(self, writer, step, left):
        self.writer, self.step, self.left, self.number = writer, step, left, writer.number[id(step)]
        self.n = writer.fresh()
        self.declared, self.known, self.done = {}, set(), []

    def lines(self):
        for form, words in self.step.instructions():
            if form.name in MOVES:
                words = *words[:2], (words[2] & 0xFFFFFFFF) + (words[3] << 32), *words[4:]
            if form.name not in ("pause", "end"):
                self._instruction(form, words)
        return self._whole()

    def _whole(self):
        head = [f"{t} {', '.join(names)};" for t, names in self._by_type().items()]
        return ["{", *indented([*head, *self._numbers(), *self.done]), "}"]

    def _numbers(self):
        """Numbers that other runs want are left in memory too."""
        n = len(self.step.numbers)
        if not any(8 * r < n for r in self.left):
            return []
        self.writer.numbers.append((self.number, -1))
        return [f"memcpy({self._memory(0)}, frame->numbers[{len(self.writer.numbers) - 1}], {n});"]

    def _by_type(self):
        types: dict[str, list] = {}
        for name, t in self.declared.items():
            types.setdefault(t, []).append(name)
        return types

    def _memory(self, r):
        return f"({self.writer.slot(self.step.registers)} + {scaled(r, 8)})"

    def _is_left(self, r):
        return r in self.left

    def _name(self, r, dtype):
        name = f"r{self.n}_{self._label(r)}{dtype.kind}{dtype.itemsize}"
        self.declared[name] = TYPES[dtype.char]
        return name

    def _label(self, r):
        return str(r)

    def _value(self, r, dtype):
        if isinstance(r, int) and 8 * r < len(self.step.numbers):
            return self.writer.constant(self.number, -1, dtype, 8 * r)
        name = self._name(r, dtype)
        if (r, dtype) not in self.known:
            self.done.append(f"{name} = *({TYPES[dtype.char]} *){self._memory(r)};")
            self.known.add((r, dtype))
        return name

    def _set(self, r, dtype, value):
        self.done.append(f"{self._name(r, dtype)} = {value};")
        self._known(r, dtype)

    def _known(self, r, dtype):
        self.known = {k for k in self.known if not meet(k[0], r)} | {(r, dtype)}
        if self._is_left(r):
            self.done.append(f"*({TYPES[dtype.char]} *){self._memory(r)} = {self._name(r, dtype)};")

    def _instruction(self, form, words):
        kind = form.name.removesuffix("_at")
        if kind in ("load", "store", "accumulate"):
            self._move(kind, form.dtypes[0], words)
        elif kind == "index":
            self._index(form, words)
        elif kind == "guard":
            self._guard(form, words)
        else:
            self._apply(form, *form.registers(words))

    def _move(self, kind, dtype, words):
        r, slot, offset, *by = words
        moved = "".join(f" + {self._value(k, BYTES)}" for k in by)
        if kind == "load" and slot in self.writer.counters and not offset and not by:
            self._set(r, dtype, self.writer.counters[slot][0])
            return
        where = f"*({TYPES[dtype.char]} *)({self.writer.slot(slot)} + {offset}{moved})"
        if kind == "load":
            self._set(r, dtype, where)
        else:
            self.done.append(f"{where} {'=' if kind == 'store' else '+='} {self._value(r, dtype)};")

    def _index(self, form, words):
        r, before, made, which = words
        step, low, high, _ = self.step.indices[first(which)]
        value = f"(intptr_t){self._value(r, form.dtypes[0])}"
        number = self.writer.size(self.number)
        self.done.append(f"if ({value} < {low} || {value} >= {high}) return FAIL({number}, 0, {which}, {value});")
        self._set(made, BYTES, f"{value} * {step}" + (f" + {self._value(before, BYTES)}" if before != -1 else ""))

    def _guard(self, form, words):
        r, which = words
        dtype, x = form.dtypes[0], self._value(words[0], form.dtypes[0])
        expected = float(self.step.guards[first(which)][0].attr)
        same = f"{x} != {x}" if math.isnan(expected) else f"(double){x} == {literal(expected, 'd')}"
        number = self.writer.size(self.number)
        self.done += [
            f"if (!({same})) {{",
            f"    *({TYPES[dtype.char]} *){self._memory(r)} = {x};",
            f"    if (GUARD({number}, {which}, {scaled(r, 8)})) return RAISED;",
            "}",
        ]

    def _apply(self, form, read, made):
        text = expression(form.name, form.dtypes, form.n_operands)
        operands = [self._value(r, dtype) for r, dtype in read]
        if text is not None:
            r, dtype = made[0]
            self._set(r, dtype, text.format(*operands))
            return
        results = [self._name(r, dtype) for r, dtype in made]
        pointers = ", ".join(f"(char *)&{x}" for x in operands + results)
        steps = ", ".join(str(dtype.itemsize) for dtype in form.dtypes)
        call = self.writer.call(self.number, self.step.forms.index(form))
        self.done.append(f"APPLY({call}, 1, ARGS({pointers}), STEPS({steps}));")
        for r, dtype in made:
            self._known(r, dtype)


# ---- loops ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moving:
    """A register, or an offset, that is `first` on the first trips, and grows with them: `terms` are (trip, step, trips)."""

    first: int
    terms: tuple

    def __str__(self):
        return f"({' + '.join([str(self.first), *(f'{trip} * {step}' for trip, step, _ in self.terms)])})"


def moving(number, terms):
    """A number that grows by those of `terms` whose steps are not 0."""
    terms = tuple((trip, step, trips) for trip, step, trips in terms if step)
    return Moving(number, terms) if terms else number


def first(x):
    """On the first trips."""
    return x.first if isinstance(x, Moving) else x


def scaled(x, factor):
    """x times `factor`."""
    if isinstance(x, Moving):
        return Moving(x.first * factor, tuple((trip, step * factor, trips) for trip, step, trips in x.terms))
    return x * factor


def meet(a, b):
    """Whether two registers may be the same on some trip."""
    steps: dict = {}
    for x, sign in ((a, 1), (b, -1)):
        for trip, step, trips in x.terms if isinstance(x, Moving) else ():
            steps[trip, trips] = steps.get((trip, trips), 0) + sign * step
    apart, ends = first(a) - first(b), [(trips - 1) * step for (_, trips), step in steps.items()]
    if apart % math.gcd(*steps.values()) if any(steps.values()) else apart:
        return False
    return sum(min(end, 0) for end in ends) <= -apart <= sum(max(end, 0) for end in ends)


class RolledRun(Run):
    """The statements of a run with loops, which keeps its registers in memory."""

    def __init__(self, writer, step, plan):
        super().__init__(writer, step, range(step.nbytes // 8))
        self.plan, self.labels = plan, {}

    def lines(self):
        self._nodes(self.plan.nodes, [])
        return self._whole()

    def _is_left(self, r):
        return True

    def _label(self, r):
        return str(r) if isinstance(r, int) else self.labels.setdefault(r, f"m{len(self.labels)}_")

    def _nodes(self, nodes, outer):
        """`outer`: (trip, trips, steps) of the loops around, with steps for all values of the nodes."""
        at = 0
        for node in nodes:
            end = at + len(node.values)
            here = [(trip, trips, steps[at:end].tolist()) for trip, trips, steps in outer]
            at = end
            if isinstance(node, Op):
                self._op(node, here)
            else:
                self._loop(node, [(trip, trips, np.array(steps)) for trip, trips, steps in here])

    def _op(self, node, outer):
        form, words = self.plan.kinds[node.kind]
        grown = [[(trip, step, trips) for step in steps] for trip, trips, steps in outer]
        values = [moving(x, [terms[k] for terms in grown]) for k, x in enumerate(node.values.tolist())]
        if form.name in MOVES:
            self._instruction(form, [values[0], words[1], *values[1 : form.length - 3]])
        else:
            self._instruction(form, values[: form.length - 1])

    def _loop(self, node, outer):
        trip, before = f"j{self.writer.fresh()}", self.done
        self.done, self.known = [], set()
        self._nodes(node.body, [*outer, (trip, node.count, node.steps)])
        work = NUMBER * sum(isinstance(inner, Op) for inner in node.body)
        body, self.done, self.known = [*self.done, *looked(work)], before, set()
        self.done += [f"for (intptr_t {trip} = 0; {trip} < {node.count}; {trip}++) {{", *indented(body), "}"]
