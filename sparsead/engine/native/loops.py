"""Loops, and runs of ops on single numbers, as functions in C.

Law: such a function does what the tiled engine does for the same step, to the bit; steps inside that are not written out are run
by the tiled engine.

Slots are local pointers, which change hands after each trip; small memory that nobody else uses is in local arrays, that is, in
registers of the machine. Kernels of few points are written out where they stand, with all extents in the text.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import chain
from typing import NamedTuple

from sparsead.engine.native.kernels import TYPES, indented, source_of
from sparsead.engine.native.rolled import rolled
from sparsead.engine.native.runs import RolledRun, Run, left_of, looked
from sparsead.schedule.form import Block, Choose, Fill, Kernel, Repeat, Scalars, inside
from sparsead.schedule.memory import slots_of
from sparsead.schedule.work import work_of

FEW = 64  # points of a kernel that is written out where it stands
MOST = 4000  # instructions on single numbers in one function: what compilers take for them grows faster than their number
STRAIGHT = 1000  # instructions on single numbers that are not rolled up
SMALL = 512  # bytes of a slot that may be a local array


class Unit(NamedTuple):
    """A function in C for a step, and for all that differ from it in nothing but what it is given.

    Attributes
    ----------
    number : int
        Of the step in its program.
    body : str
        From its parameters on.
    sizes : tuple of int
        Slots, steps, and sizes of kernels.
    numbers : tuple of (step, int)
        What the numbers in it are: a kernel of the program and a register, or a run on single numbers and -1.
    calls : tuple of (step, int)
        Inner loops: of an instruction of a kernel, or of a form of a run on single numbers.
    steps : tuple of int
        Those that the tiled engine runs.
    inlined : tuple of int
        Kernels that are written out where they stand.
    """

    number: int
    body: str
    sizes: tuple
    numbers: tuple
    calls: tuple
    steps: tuple
    inlined: tuple


def units_of(block, number, kernels, own, later=()):
    """The `Unit`s of a block.

    Parameters
    ----------
    block : Block
    number : dict
        Of each step, those inside of others included, by its id.
    kernels : dict
        For the numbers of kernels: (`Lowered`, `Source` or None, the name of its function or None).
    own : dict
        Bytes of the slots that nobody knows of but the steps of the block, and the tiled engine when it runs them.
    later : set of int
        Slots to which copies go past the caches.
    """
    uses = Counter(slot for step in block.steps for slot in set(slots_of(step)))
    own = {slot: nbytes for slot, nbytes in own.items() if uses[slot] == 1}
    found = []
    for step in block.steps:
        if isinstance(step, (Scalars, Repeat)):
            runs, size = _rolled(step)
            writer = _Writer(block, number, kernels, own, later, runs)
            if size <= MOST and writer.is_written_out(step):
                found.append(writer.unit(step))
    return found


def written(step):
    """Instructions on single numbers that a step is written down as."""
    return _rolled(step)[1]


def _rolled(step):
    """The long runs of a step as loops, by their id; and how many instructions on single numbers are written down."""
    runs = [inner for inner in inside(step) if isinstance(inner, Scalars)]
    found = {id(run): plan for run in runs if run.count > STRAIGHT and (plan := rolled(run, MOST))}
    return found, sum(found[id(run)].size if id(run) in found else run.count for run in runs)


class _Writer:
    def __init__(self, block, number, kernels, own, later, runs):
        self.block, self.number, self.kernels, self.own, self.later, self.rolled = block, number, kernels, own, later, runs
        self.sizes, self.numbers, self.calls, self.steps, self.inlined = [], [], [], [], []
        self.pointers, self.constants, self.counters = {}, {}, {}
        self.count, self.rows = 0, None

    def unit(self, step):
        self.local = self._locals(step)
        body = self._step(step, self.block)
        lines = ["const intptr_t *const sizes = frame->sizes;", "intptr_t left = LOOK_EVERY;", "int status = DONE;"]
        lines += [f"char *s{n} = frame->slots[sizes[{k}]];" for n, k in self.pointers.items()]
        lines += [f"_Alignas(64) char s{n}[{-(-self.own[n] // 8) * 8}];" for n in sorted(self.local)]
        lines += [f"const {t} {name} = *(const {t} *)(frame->numbers[{k}] + {at});" for name, t, k, at in self.constants.values()]
        text = "\n".join(["{", *indented([*lines, *body, "(void)left;", "return status;"]), "}"])
        given = self.sizes, self.numbers, self.calls, self.steps, self.inlined
        return Unit(self.number[id(step)], text, *map(tuple, given))

    def _locals(self, step):
        """Slots that may be local arrays: small, nobody else's, not to be found by the tiled engine."""
        found = {slot for slot in slots_of(step) if self.own.get(slot, SMALL + 1) <= SMALL}
        found -= set(chain.from_iterable(_turning(step)))
        for inner in inside(step):
            if not self.is_written_out(inner):
                found -= set(slots_of(inner))
            elif isinstance(inner, Repeat):
                found.discard(inner.counter)
            elif isinstance(inner, Scalars) and inner.guards:
                found.discard(inner.registers)
        return found

    def is_written_out(self, step):
        if isinstance(step, Kernel):
            return self._kernel_source(step) is not None
        if isinstance(step, Scalars):
            return all(dtype.char in TYPES and dtype.isnative for form in step.forms for dtype in form.dtypes)
        if isinstance(step, Repeat) and step.height:
            return all(self.kernels[self.number[id(kernel)]][1] is not None for kernel in step.block.steps)
        return isinstance(step, (Fill, Choose, Repeat))

    # ---- what the function is given ----------------------------------------------------------------------------------------

    def size(self, value):
        self.sizes.append(value)
        return f"sizes[{len(self.sizes) - 1}]"

    def slot(self, n):
        """The name of the pointer to a slot."""
        if n not in self.local and n not in self.pointers:
            self.pointers[n] = len(self.sizes)
            self.sizes.append(n)
        return f"s{n}"

    def call(self, step, which):
        """The name of an inner loop."""
        self.calls.append((step, which))
        return f"frame->calls[{len(self.calls) - 1}]"

    def constant(self, step, register, dtype, at=0):
        """The name of a number."""
        key = step, register, dtype, at
        if key not in self.constants:
            self.numbers.append((step, register))
            self.constants[key] = f"k{len(self.constants)}", TYPES[dtype.char], len(self.numbers) - 1, at
        return self.constants[key][0]

    def fresh(self):
        self.count += 1
        return self.count

    # ---- steps -------------------------------------------------------------------------------------------------------------

    def _block(self, block):
        return [line for step in block.steps for line in self._step(step, block)]

    def _step(self, step, block):
        if not self.is_written_out(step):
            return self._run(step)
        if isinstance(step, Repeat):
            return self._interchanged(step) if step.height else self._repeat(step)
        if isinstance(step, Choose):
            return self._choose(step)
        if isinstance(step, Fill):
            return [f"memset({self.slot(step.slot)}, 0, {step.nbytes});"]
        if isinstance(step, Kernel):
            return self._kernel(step)
        plan = self.rolled.get(id(step))
        return (Run(self, step, left_of(block, step)) if plan is None else RolledRun(self, step, plan)).lines()

    def _run(self, step):
        """By the tiled engine."""
        self.steps.append(self.number[id(step)])
        lines = [f"if ((status = RUN(frame->steps[{len(self.steps) - 1}]))) return status;"]
        for a, _ in _turning(step):
            lines.append(f"{self.slot(a)} = {self._known(a)};")
        return lines

    def _known(self, slot):
        """Where the tiled engine has the pointer to a slot."""
        self.slot(slot)
        return f"frame->slots[sizes[{self.pointers[slot]}]]"

    def _repeat(self, step, strips=1):
        """All trips, or those of one of so many strips of rows."""
        n = self.fresh()
        self.counters[step.counter] = f"trip{n}", step.first, step.first + step.by * (step.trips - 1)
        trips, first, by = (self.size(x) for x in (step.trips, step.first, step.by))
        outside = Block([inner for inner in step.block.steps if not isinstance(inner, Repeat)])  # loops count their own
        work = self.size(int(work_of(outside)) // strips)
        body = self._block(step.block)
        del self.counters[step.counter]
        return [
            f"int64_t trip{n} = {first};",
            f"for (intptr_t t{n} = 0; t{n} < {trips}; t{n}++, trip{n} += {by}) {{",
            *indented([
                f"memcpy({self.slot(step.counter)}, &trip{n}, sizeof trip{n});", *body, *self._turn(step.turning),
                *looked(f"TRIP + {work}"),
            ]),
            "}",
        ]  # fmt: skip

    def _interchanged(self, step):
        """All trips for some rows, then for the next ones."""
        n, slots, extent = self.fresh(), [a for a, _ in step.turning], step.block.steps[0].space[0]
        rows, height = self.size(extent), self.size(step.height)
        self.rows = f"low{n}", f"high{n}"
        strip = [
            f"const intptr_t high{n} = {rows} - low{n} < {height} ? {rows} : low{n} + {height};",
            *(f"{self.slot(slot)} = before{n}_{k};" for k, slot in enumerate(slots)),
            *self._repeat(step, -(-extent // step.height)),
        ]
        self.rows = None
        return [
            *(f"char *const before{n}_{k} = {self.slot(slot)};" for k, slot in enumerate(slots)),
            f"for (intptr_t low{n} = 0; low{n} < {rows}; low{n} += {height}) {{", *indented(strip), "}",
        ]  # fmt: skip

    def _turn(self, pairs):
        """The first slot of each pair gets the memory of the second, all at once; the tiled engine knows it too."""
        n = self.fresh()
        lines = [f"char *const u{n}_{k} = {self.slot(b)};" for k, (_, b) in enumerate(pairs)]
        return lines + [f"{self._known(a)} = {self.slot(a)} = u{n}_{k};" for k, (a, _) in enumerate(pairs)]

    def _choose(self, step):
        n = self.fresh()
        if isinstance(step.which, tuple):
            lines, which = self._integer(step.which[1], step, 0)
        else:
            lines, which = [], str(int(step.which))
        lines += [f"intptr_t which{n} = {which};", f"if (which{n} < 0) which{n} += {len(step.blocks)};", f"switch (which{n}) {{"]
        for k, (block, pairs) in enumerate(zip(step.blocks, step.turning, strict=True)):
            lines += [f"case {k}: {{", *indented([*self._block(block), *self._turn(pairs), "break;"]), "}"]
        number = self.size(self.number[id(step)])
        return ["{", *indented([*lines, "default:", f"    return FAIL({number}, 0, -1, which{n});", "}"]), "}"]

    # ---- kernels -----------------------------------------------------------------------------------------------------------

    def _kernel_source(self, step):
        low, source, _ = self.kernels[self.number[id(step)]]
        small = self.rows is not None or low.extents == () or -(-low.extents[0] // low.chunk) == 1
        return source if small else None

    def _kernel(self, step):
        number = self.number[id(step)]
        low, source, name = self.kernels[number]
        inline = self.rows is not None or math.prod(step.space) <= FEW
        first, last = self.rows or ("0", str(low.extents[0] if low.extents else 1))
        source = source_of(low, () if self.rows else self.later, literal=True) if inline else source
        n = self.fresh()
        lines = [line for j, w in enumerate(low.windows) if w is not None for line in self._base(w.access, step, j, n)]
        lines.insert(0, f"char *base[{len(low.windows)}];")
        if source.sums:
            lines.append(f"_Alignas(16) char sums[{len(source.sums)} * NUMBER] = {{0}};")
        first_number, first_call = len(self.numbers), len(self.calls)
        self.numbers += [(number, r) for r in source.numbers]
        self.calls += [(number, j) for j in source.calls]
        given = [f"char *const *const numbers = frame->numbers + {first_number};",
                 f"const call_t *const calls = frame->calls + {first_call};"]  # fmt: skip
        if inline:
            self.inlined.append(number)
            lines += [*given, f"const intptr_t first = {first}, last = {last};", *source.body.splitlines()]
        else:
            first_size = len(self.sizes)
            self.sizes += source.sizes
            sums = "sums" if source.sums else "0"
            lines += [*given, f"{name}(base, sizes + {first_size}, numbers, calls, {sums}, {first}, {self.size(int(last))});"]
        for m, j in enumerate(source.sums):
            lines.append(f"add(calls + {source.calls.index(j)}, base[{j}], sums + {m} * NUMBER, 0, 1);")
        return ["{", *indented(lines), "}"]

    def _base(self, access, step, window, n):
        """base[window] = where a window is now."""
        terms, lines = [self.slot(access.slot), str(access.offset)], []
        for k, index in enumerate(access.moving):
            name = f"i{n}_{window}_{k}"
            value, low, high = self._index(index)
            lines.append(f"const intptr_t {name} = {value};")
            if low < index.low or high >= index.high:
                number = self.size(self.number[id(step)])
                lines.append(f"if ({name} < {index.low} || {name} >= {index.high}) return FAIL({number}, {window}, {k}, {name});")
            terms.append(f"{name} * {index.step}")
        return [*lines, f"base[{window}] = {' + '.join(terms)};"]

    def _index(self, index):
        """(C, least, greatest) of a number that moves a window."""
        if index.slot in self.counters and index.offset == 0 and index.dtype.char in "lq":
            name, first, last = self.counters[index.slot]
            return name, min(first, last), max(first, last)
        return f"(intptr_t)*(const {TYPES[index.dtype.char]} *)({self.slot(index.slot)} + {index.offset})", -math.inf, math.inf

    def _integer(self, access, step, window):
        n = self.fresh()
        lines = [f"char *base[{window + 1}];", *self._base(access, step, window, n)]
        return lines, f"(intptr_t)*(const {TYPES[access.dtype.char]} *)base[{window}]"


def _turning(step):
    """The pairs of slots that change hands in a step and inside."""
    for inner in inside(step):
        if isinstance(inner, Repeat):
            yield from inner.turning
        elif isinstance(inner, Choose):
            yield from chain.from_iterable(inner.turning)
