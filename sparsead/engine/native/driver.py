"""A program as C that stands alone: kernels, loops, and what walks its steps.

Law: the functions do what the tiled engine does on one thread, with the same chunks, strips and tiles, so that what is added
up is added in the same order. What needs Python is refused, with the user's line.
"""

from __future__ import annotations

import os
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from sparsead.engine.native.calls import call_lines
from sparsead.engine.native.data import Data, literal
from sparsead.engine.native.functions import Functions
from sparsead.engine.native.kernels import TYPES, indented, obstacle, source_of
from sparsead.engine.native.loops import MOST, units_of, written
from sparsead.engine.native.module import PARAMETERS, comment
from sparsead.engine.vm._vm import SUM
from sparsead.schedule.form import Bounds, Call, Choose, Fill, Guard, Kernel, Repeat, Scalars, Strips, blocks_of, inside, lines_of
from sparsead.schedule.lower import lowered
from sparsead.schedule.memory import slots_of
from sparsead.schedule.planner import schedule_of
from sparsead.schedule.windows import coalesced

NOTHING = ["(void)work;", "return DONE;"]


class Unsupported(NotImplementedError):
    """Something of a program that C cannot do alone."""


def unsupported(what, line):
    """The error for `what`, with the user's line."""
    at = "" if line is None else f" ({os.path.basename(line[0])}:{line[1]})"
    return Unsupported(f"{what}{at}")


class Planned(NamedTuple):
    """A program of a `Driver`.

    Attributes
    ----------
    function : str
        What runs it: ``int function(work_t *work)``.
    schedule : Schedule
    used : set of int
        Slots that are read or written.
    staged : bool
        Whether something may fail after outputs have been written to.
    """

    function: str
    schedule: object
    used: set
    staged: bool


class Driver:
    """Programs as one text.

    Attributes
    ----------
    guards : list of (line, value)
        Of the guards, from number 1 on: the user's line, and what the trace saw.
    sums : int
        Bytes of sums.
    """

    def __init__(self):
        self.data, self.functions = Data(), Functions()
        self.steps, self.kernel_of, self.lowered, self.number = [], {}, [], {}
        self.sources, self.names, self.bodies, self.loops = [], [], {}, {}
        self.texts, self.guards, self.known_guards, self.guard_of, self.sums = [], [], {}, {}, 0
        self.programs = []

    def program(self, tape):
        """Print a tape; returns a `Planned`."""
        schedule = schedule_of(tape)
        self._split(schedule.block)
        self._enter(schedule.block)
        self.sources += [source_of(low) for low in self.lowered[len(self.sources) :]]
        self.names += [self._kernel_name(low, source) for low, source in
                       zip(self.lowered[len(self.names) :], self.sources[len(self.names) :], strict=True)]  # fmt: skip
        own = {n: slot.nbytes for n, slot in enumerate(schedule.slots) if slot.kind == "work"}
        names = self._block(schedule.block, own)
        function = f"run_{len(self.programs)}"
        self._define(function, _sequence(names))
        used = {slot for step in schedule.block.steps for slot in slots_of(step)}
        self.programs.append(Planned(function, schedule, used, _fails_late(schedule)))
        return self.programs[-1]

    def text(self):
        """(what stands on nothing, all functions and tables)."""
        rows = [f"{{{step}, {which}, {k}}}" for (step, which), k in self.guard_of.items()] or ["{-1, -1, 0}"]
        table = self.data.table("const int", [x.strip("{}") for x in rows])
        search = [
            "(void)at;", f"for (int k = 0; k < {3 * len(rows)}; k += 3)",
            f"    if ({table}[k] == step && {table}[k + 1] == which)", f"        work->failed = {table}[k + 2];",
            "return RAISED;",
        ]  # fmt: skip
        guard = _function("static int guard(work_t *work, int step, int which, intptr_t at)", search)
        ours, library = self.functions.text()
        tools = "static const tools_t TOOLS = {run_step, look, guard, fail};"
        return ours, "\n\n".join([library, *self.data.texts, guard, tools, *self.texts, ""])

    # ---- steps and their numbers -----------------------------------------------------------------------------------------

    def _split(self, block):
        """Cut runs of single numbers that are too long for a compiler."""
        steps = []
        for step in block.steps:
            for child in blocks_of(step):
                self._split(child)
            steps += _pieces(step) if isinstance(step, Scalars) and written(step) > MOST else [step]
        block.steps[:] = steps

    def _enter(self, block, by_rows=False):
        for step in block.steps:
            number = self.number[id(step)] = len(self.steps)
            self.steps.append(step)
            if isinstance(step, Kernel):
                self.kernel_of[number] = len(self.lowered)
                self.lowered.append(lowered(step, by_rows))
            for child in blocks_of(step):
                self._enter(child, isinstance(step, Repeat) and step.height > 0)

    # ---- kernels ---------------------------------------------------------------------------------------------------------

    def _kernel_name(self, low, source):
        """The function of a kernel; None if it has no points, or is no fused loop."""
        return None if source is None else self._shared(source, low.kernel)

    def _shared(self, source, kernel):
        if source.body not in self.bodies:
            name = self.bodies[source.body] = f"kernel_{len(self.bodies)}"
            self.texts.append(f"{comment(kernel.lines)}static void {name}{PARAMETERS}\n{source.body}")
        return self.bodies[source.body]

    def _kernel_table(self, low, source):
        """The name of the ``kernel_step_t`` of a kernel."""
        if source is None:
            raise unsupported(f"a kernel on {obstacle(low)}", next(iter(low.kernel.lines), None))
        windows = [self._window(None if w is None else w.access) for w in low.windows]
        n_chunks = -(-low.extents[0] // low.chunk) if low.extents else 1
        self.sums = max(self.sums, n_chunks * len(source.sums) * SUM)
        numbers = [self.data.number(low.kernel.constants[r]) for r in source.numbers]
        calls = [self._callee(low.kernel, k) for k in source.calls]
        sums = [f"{{{k}, {source.calls.index(k)}}}" for k in source.sums]
        row = [
            self._shared(source, low.kernel), self.data.table("const intptr_t", source.sizes),
            self.data.table("char *const", numbers), self.data.table("const call_t", calls), len(windows),
            self.data.table("const window_t", windows), len(sums), self.data.table("const sum_t", sums),
            low.extents[0] if low.extents else 1, low.chunk, int(low.order == "alternating"),
        ]  # fmt: skip
        name = f"kernel_step_{len(self.texts)}"
        self.texts.append(f"static const kernel_step_t {name} = {{{', '.join(map(str, row))}}};")
        return name

    def _callee(self, kernel, k):
        instr = kernel.instrs[k]
        line = next(iter(kernel.lines), None)
        if instr.kind == "apply":
            return self._loop(instr.op, [kernel.dtypes[r] for r in instr.registers], line)
        dtype = kernel.dtypes[instr.registers[-1]]
        return self._loop("copy", [dtype] * 2, line) if instr.kind == "store" else self._loop("add", [dtype] * 3, line, dtype)

    def _loop(self, op, dtypes, line, summed=None):
        """A ``call_t``."""
        name = self.functions.loop(op, dtypes)
        if name is None:
            raise unsupported(f"{op} of {', '.join(map(str, dict.fromkeys(dtypes)))}, which has no function in C", line)
        total = "0" if summed is None else self.functions.sum(summed) or name
        return f"{{{name}, 0, {total}, 0}}"

    def _window(self, access):
        if access is None:
            return "{-1, 0, 0, 0}"
        rows = [f"{{{i.slot}, '{i.dtype.char}', {i.offset}, {i.step}, {i.low}, {i.high}}}" for i in access.moving]
        return f"{{{access.slot}, {access.offset}, {len(rows)}, {self.data.table('const index_t', rows)}}}"

    # ---- blocks ----------------------------------------------------------------------------------------------------------

    def _block(self, block, own=MappingProxyType({})):
        """Print the steps of a block; returns the names of their functions. Slots that only it uses may be its `own`."""
        kernels = {number: (self.lowered[k], self.sources[k], self.names[k]) for number, k in self.kernel_of.items()}
        units = {unit.number: unit for unit in units_of(block, self.number, kernels, own)}
        names = []
        for step in block.steps:
            number = self.number[id(step)]
            lines = self._unit(units[number]) if number in units else self._step(step, number)
            names.append(self._define(f"step_{number}", lines, lines_of(step)))
        return names

    def _define(self, name, lines, above=()):
        self.texts.append(f"{comment(above)}{_function(f'static int {name}(work_t *work)', lines)}")
        return name

    def _unit(self, unit):
        """A loop, or a run of single numbers, that is one function."""
        rows = []
        for number in unit.steps:
            step = self.steps[number]
            name = self._define(f"step_{number}", self._step(step, number), lines_of(step))
            self.texts.append(f"static const step_t at_{number} = {{{name}}};")
            rows.append(f"&at_{number}")
        numbers = [self._unit_number(number, r) for number, r in unit.numbers]
        calls = [self._unit_call(number, which) for number, which in unit.calls]
        for step in inside(self.steps[unit.number]):
            if isinstance(step, Scalars):
                for which, (guard, _) in enumerate(step.guards):
                    self.guard_of[self.number[id(step)], which] = self._guard_number(guard)
        if unit.body not in self.loops:
            name = self.loops[unit.body] = f"loop_{len(self.loops)}"
            self.texts.append(f"static int {name}(const frame_t *frame)\n{unit.body}")
        tables = [
            self.data.table("const intptr_t", unit.sizes), self.data.table("char *const", numbers),
            self.data.table("const call_t", calls), self.data.table("const void *const", []),
        ]  # fmt: skip
        steps = [f"static const void *const steps[] = {{{', '.join(rows)}}};"] if rows else []
        tables[3] = "steps" if rows else "0"
        return [
            *steps, f"const frame_t frame = {{work->slots, work, &TOOLS, {', '.join(tables)}}};",
            f"return {self.loops[unit.body]}(&frame);",
        ]  # fmt: skip

    def _unit_number(self, number, r):
        if r < 0:
            return self.data.bytes(self.steps[number].numbers)
        return self.data.number(self.lowered[self.kernel_of[number]].kernel.constants[r])

    def _unit_call(self, number, which):
        if number in self.kernel_of:
            return self._callee(self.lowered[self.kernel_of[number]].kernel, which)
        step = self.steps[number]
        form = step.forms[which]
        return self._loop(form.name, list(form.dtypes), next(iter(step.lines), None))

    # ---- steps -----------------------------------------------------------------------------------------------------------

    def _step(self, step, number):
        """The body of the function of a step."""
        if isinstance(step, Kernel):
            low = self.lowered[self.kernel_of[number]]
            if 0 in low.extents:
                return NOTHING
            return [f"return run_kernel(&{self._kernel_table(low, self.sources[self.kernel_of[number]])}, work);"]
        return STEPS[type(step)](self, step)

    def _scalars(self, step):
        odd = [d for form in step.forms for d in form.dtypes if d.char not in TYPES]
        raise unsupported(f"numbers of type {odd[0] if odd else 'unknown'}", next(iter(step.lines), None))

    def _strips(self, step):
        rows, low, high, lag, n_sums, n_windows = [], [], [], 0, 0, 0
        for member in step.members:
            kernel = lowered(member.kernel, True)
            source = source_of(kernel)
            table = self._kernel_table(kernel, source)
            rows.append(f"{{&{table}, {member.first}, {member.lag}, {member.before}, {member.behind}}}")
            low.append(member.first + member.lag)
            high.append(member.first + member.lag + kernel.extents[0])
            lag, n_windows = max(lag, member.lag), n_windows + len(kernel.windows)
            n_sums += len(source.sums)
        self.sums = max(self.sums, (2 * len(step.bounds) - 3) * n_sums * SUM)
        row = [len(rows), len(step.bounds) - 1, n_sums, n_windows, self.data.table("const intptr_t", step.bounds), step.height,
               min(low), max(high), lag]  # fmt: skip
        members = f"static const member_t members[] = {{{', '.join(rows)}}};"
        row.insert(4, "members")
        return [members, f"static const strips_t strips = {{{', '.join(map(str, row))}}};", "return run_strips(&strips, work);"]

    def _fill(self, step):
        return [f"memset(work->slots[{step.slot}], 0, {step.nbytes});", "return DONE;"]

    def _repeat(self, step):
        names = self._block(step.block)
        trips = [
            "int status = DONE;", f"int64_t trip = {step.first};",
            f"for (intptr_t k = 0; k < {step.trips}; k++, trip += {step.by}) {{",
            f"    memcpy(work->slots[{step.counter}], &trip, sizeof trip);", *indented(_checked(names)),
            *indented(self._turn(step.turning)), "}", "return status;",
        ]  # fmt: skip
        if not step.height:
            return trips
        inner = self._define(f"trips_{len(self.texts)}", trips)
        slots_turned = [a for a, _ in step.turning]
        saved = [f"char *const before_{a} = work->slots[{a}];" for a in slots_turned]
        rows = step.block.steps[0].space[0]
        return [
            *saved, "int status = DONE;", f"for (work->low = 0; !status && work->low < {rows}; work->low = work->high) {{",
            f"    work->high = work->low + {step.height} < {rows} ? work->low + {step.height} : {rows};",
            *(f"    work->slots[{a}] = before_{a};" for a in slots_turned), f"    status = {inner}(work);", "}",
            "work->high = 0;", "return status;",
        ]  # fmt: skip

    def _turn(self, turning):
        if not turning:
            return []
        table = self.data.table("const int", [slot for pair in turning for slot in pair])
        return [f"turn({table}, {len(turning)}, work);"]

    def _choose(self, step):
        bodies = [self._block(block) for block in step.blocks]
        if isinstance(step.which, tuple):
            access = step.which[1]
            lines = [*self._placed(access, "at"), f"intptr_t which = integer(at, '{access.dtype.char}');"]
        else:
            lines = [f"intptr_t which = {int(step.which)};"]
        lines = ["int status = DONE;", *lines, f"if (which < 0) which += {len(bodies)};", "switch (which) {"]
        for k, (names, turning) in enumerate(zip(bodies, step.turning, strict=True)):
            lines += [f"case {k}:", *indented([*_checked(names), *self._turn(turning), "return status;"])]
        return [*lines, "default: return OUT_OF_BOUNDS;", "}"]

    def _placed(self, access, name):
        """Lines that let `name` be the address of a window."""
        window = self.data.table("const window_t", [self._window(access)])
        return [f"char *{name};", f"if (place({window}, work, &{name})) return OUT_OF_BOUNDS;"]

    def _guard(self, step):
        number = self._guard_number(step.op)
        if not isinstance(step.operand, tuple):
            same = step.operand == step.op.attr or (step.operand != step.operand and step.op.attr != step.op.attr)
            return NOTHING if same else [f"work->failed = {number};", "return RAISED;"]
        access, expected = step.operand[1], step.op.attr
        if access.dtype.char not in TYPES:
            raise unsupported(f"a branch on a number of type {access.dtype}", step.op.line)
        same = "x != x" if expected != expected else f"x == {literal(expected, 'd' if access.dtype.kind == 'f' else 'l')}"
        return [
            *self._placed(access, "at"), f"const {TYPES[access.dtype.char]} x = *(const {TYPES[access.dtype.char]} *)at;",
            f"if ({same}) return DONE;", f"work->failed = {number};", "return RAISED;",
        ]  # fmt: skip

    def _guard_number(self, op):
        key = op.line, repr(op.attr)
        if key not in self.known_guards:
            self.guards.append((op.line, op.attr))
            self.known_guards[key] = len(self.guards)
        return self.known_guards[key]

    def _bounds(self, step):
        shape, access = step.operand
        extents, (strides,) = coalesced(shape, [access.strides])
        dtype = TYPES[access.dtype.char]
        at = " + ".join(["at", *(f"k{a} * (intptr_t){s}" for a, s in enumerate(strides) if s)])
        lines = [f"const {dtype} i = *(const {dtype} *)({at});",
                 f"if (i < -{step.extent} || i >= {step.extent}) return OUT_OF_BOUNDS;"]  # fmt: skip
        for a in range(len(extents) - 1, -1, -1):
            lines = [f"for (intptr_t k{a} = 0; k{a} < {extents[a]}; k{a}++) {{", *indented(lines), "}"]
        return [*self._placed(access, "at"), *lines, "return DONE;"]

    def _call(self, step):
        lines = []
        for k, operand in enumerate(step.operands):
            if isinstance(operand, tuple):
                lines += self._placed(operand[1], f"x{k}")
        for k, result in enumerate(step.results):
            lines.append(f"char *const z{k} = work->slots[{result.slot}] + {result.offset};")
        return [*lines, *call_lines(step, self.functions, unsupported), "return DONE;"]


STEPS = {
    Scalars: Driver._scalars, Strips: Driver._strips, Fill: Driver._fill, Repeat: Driver._repeat, Choose: Driver._choose,
    Guard: Driver._guard, Bounds: Driver._bounds, Call: Driver._call,
}  # fmt: skip


def _pieces(step):
    """A run of single numbers in pieces; what one leaves in the registers the next ones read."""
    pieces, k, begin, count = [], 0, 0, 0
    while k < len(step.code):
        k += step.forms[step.code[k]].length
        count += 1
        if count == MOST or k == len(step.code):
            pieces.append(replace(step, code=step.code[begin:k], count=count))
            begin, count = k, 0
    return pieces


def _fails(step):
    """Whether a step, or one inside, may fail."""
    for inner in inside(step):
        if isinstance(inner, (Guard, Bounds, Choose)):
            return True
        if isinstance(inner, Scalars) and (inner.guards or inner.indices):
            return True
        kernels = [member.kernel for member in inner.members] if isinstance(inner, Strips) else [inner]
        if any(access.moving for k in kernels if isinstance(k, Kernel) for _, access in k.accesses()):
            return True
        if isinstance(inner, Call) and any(isinstance(x, tuple) and x[1].moving for x in inner.operands):
            return True
        if isinstance(inner, Call) and inner.op.op.name in ("gather", "scatter", "scatter_add"):
            return True
    return False


def _fails_late(schedule):
    """Whether a step may fail after an output has been written to."""
    outputs, written = {place.slot for place in schedule.results}, False
    for step in schedule.block.steps:
        written = written or not outputs.isdisjoint(slots_of(step))
        if written and _fails(step):
            return True
    return False


def _function(head, lines):
    return "\n".join([head, "{", *indented(lines), "}"])


def _checked(names):
    """Calls of steps, which return when one fails."""
    return [line for name in names for line in (f"if ((status = {name}(work)))", "    return status;")]


def _sequence(names):
    return ["int status = DONE;", *_checked(names), "(void)work;", "return status;"]
