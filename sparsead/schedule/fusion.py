"""Which kernel does what, and where values are kept: the part of planning that knows no ops.

Law: the steps compute what the ops of the tape, run one after the other, compute. What is computed joins a kernel over its own
space that is not before the last step it has to wait for: the makers of its operands, the last writing of what it reads, the last
reading and writing of what it writes. A load is read where it is used; or, if its memory is overwritten before that, at once.
What costs no more than a load, or a store and a load, is computed again where it is used.
"""

from __future__ import annotations

import numpy as np

from sparsead.schedule._scalars import Runs
from sparsead.schedule.form import Access, Apart, Block, Fill, Indexed, Kernel, Origin, Place, Slot
from sparsead.schedule.inner import signature
from sparsead.schedule.peephole import unread
from sparsead.schedule.values import Again, Cleared, Constant, Counted, Held, Window
from sparsead.schedule.windows import apart, covered, meeting, spread, squeezed
from sparsead.tape._memory import blank
from sparsead.transform._linear import ended

NEAR = 24  # steps back that an op looks for a kernel to join
LARGEST = 400  # instructions of a kernel
COUNTER = np.dtype(np.int64)
SMALL = 64  # bytes of a cache line
# Ops that are computed again rather than stored, so many on each other, of so many arrays.
CHEAP = ("add", "subtract", "multiply", "negative")
DEEPEST = 2
SOURCES = 2

# Why an op does not join a kernel.
NO_KERNEL = "it is no kernel"
TOO_FAR = f"more than {NEAR} steps back"
OTHER_SPACE = "another space"
TOO_LARGE = f"it would have more than {LARGEST} instructions"
READS_WRITTEN = "it reads what the other writes, at other points"
WRITES_READ = "it writes what the other reads, at other points"
WRITES_WRITTEN = "it writes what the other writes, at other points"
BEHIND_WRITE = "it touches what is written in between"
BEHIND_READ = "it writes what is read in between"
BEHIND_GUARD = "an index of its own has to wait for a guard"
BEHIND_INDEX = "an index of its own is computed before it"
BEHIND_CHECK = "its index numbers are checked before it"
BEHIND_VALUE = "an operand is computed in between"


def every_window(accesses):
    """Accesses, and those of their index numbers."""
    return [window for access in accesses for window in access.windows()]


class Fusion:
    """Steps of one block, and where the values of its tape are."""

    def __init__(self, tape, slots, together):
        self.tape, self.slots, self.together = tape, slots, together
        self.block = Block()
        self.steps = self.block.steps
        self.at, self.doing, self.line = 0, "", None  # the op that is planned, its name and the user's line
        self.values: dict = {}
        self.runs = Runs(tape)
        self.last_use = self.runs.last_use
        self.ended = ended(tape)
        self.mine: set[int] = set()  # the slots of the block's own
        self.registers = None  # the slot of those of runs
        # By slot: how often it was overwritten, the last steps that write and read it, the loads of what is there now.
        self.version: dict[int, int] = {}
        self.written: dict[int, int] = {}
        self.read: dict[int, int] = {}
        self.pending: dict[int, list] = {}
        self.zeroed: set[int] = set()  # slots that are to be filled with zeros before somebody touches them
        self.fills: dict[int, list[int]] = {}  # step -> slots that are filled before it
        self.outer, self.repeated = None, False  # of a body: who plans the block around it; whether it is run at least once
        self.carried: set[int] = set()  # of a body: slots from outside that it may write
        self.outside: dict[int, tuple] = {}  # of a body: numbers that go with trips around it, as (planner, value) there
        self.stored: dict[int, Window] = {}  # by value: a window that it was stored in
        self.storing: dict[int, list] = {}  # by slot: those windows, as far as they were not overwritten
        self.above: dict[int, int] = {}  # by value: ops on each other that compute others from it again
        self.left: set[int] = set()  # steps that compute what perhaps nobody reads there
        self.cleared: dict[int, Cleared] = {}  # by slot: the zeros that were stored last
        # Of index arrays, see `sparsead.schedule.indices`: known positions, those that no op makes, numbers of another dtype;
        # what is checked, the checks by the step that they come before, and by slot the last such step.
        self.spots: dict = {}
        self.lifted: dict = {}
        self.converted: dict = {}
        self.vets: set[tuple] = set()
        self.checks: dict[int, list] = {}
        self.vetted: dict[int, int] = {}
        self.barrier = -1  # the last guard: what may fault comes after it, and what is written, perhaps to the caller's memory

    def type(self, v):
        """The type of a value of the tape."""
        return self.tape.type(v)

    # ---- memory ------------------------------------------------------------------------------------------------------

    def work(self, nbytes, origin):
        """The place of new memory of the block's own."""
        self.slots.append(Slot("work", nbytes, origin=origin))
        self.block.own.append(len(self.slots) - 1)
        self.mine.add(len(self.slots) - 1)
        return Place(len(self.slots) - 1)

    def origin(self, v):
        """The `Origin` of a value that the op which is planned now wants in memory."""
        maker = self.tape.op(self.tape.maker(v))
        return Origin(maker.op.name, maker.line, self.doing, self.line)

    def seen(self, v, shape):
        """The `Access` of a value spread over `shape`; what is in a register is stored first."""
        home, t = self.values[v], self.type(v)
        if isinstance(home, Window):
            return self.through(home, shape)
        place = self.in_memory(v)
        return Access(place.slot, place.offset, spread(t.shape, t.strides, shape), t.dtype)

    def through(self, window, shape):
        """The `Access` of a window spread over `shape`."""
        place, view, by = window.place, window.view, window.by
        assert window.version == self.version.get(place.slot, 0), "a load was not read in time"
        index = by and Indexed(self.through(by.window, shape), by.step, by.extent, by.distinct)
        strides = spread(view.shape, view.strides, shape)
        return Access(place.slot, place.offset + window.imm, strides, view.dtype, window.moving, window.line, index)

    def in_memory(self, v):
        """The place of a value in its own layout; it is stored, or copied, if it has none."""
        if isinstance(self.values[v], Again):
            k, (register,) = self.settled([v], self.type(v).shape)
            self.values[v] = Held(k, register)
        home, t = self.values[v], self.type(v)
        if isinstance(home, Window):
            if home.view.strides == t.strides and home.view.dtype == t.dtype and not home.moving and home.by is None:
                return Place(home.place.slot, home.place.offset + home.imm)
            self.hold(v)
        if isinstance(home, Constant):
            self.values[v] = self._constant(home.value, t)
        if isinstance(home, Counted):
            outer, x = self.outside.get(v, (None, v))
            self.values[v] = outer.in_memory(x) if outer else self._computed(home)
        if isinstance(self.values[v], Held):
            self.store_held(v)
        return self.values[v]

    def own_memory(self, v):
        """The place of a value that is going to be overwritten."""
        if self.is_number(v):  # the memory of a constant is the same at every run
            self.values[v] = self.copy_of(v)
        if isinstance(self.values[v], Window):
            self.hold(v)
        return self.in_memory(v)

    def copy_of(self, v):
        """The place of a new copy of a value."""
        t = self.type(v)
        place = self.work(t.nbytes, self.origin(v))
        target = Access(place.slot, 0, spread(t.shape, t.strides, t.shape), t.dtype)
        k, (register,) = self.settled([v], t.shape, ("store", target))
        self.steps[k].write("store", self.cast(k, register, t.dtype), target)
        self.written[place.slot] = k
        return place

    def _constant(self, value, t):
        array = blank(t.shape, t.strides, t.dtype)
        array[...] = value
        self.slots.append(Slot("constant", t.nbytes, array=array, origin=Origin("const", self.line)))
        return Place(len(self.slots) - 1)

    def _computed(self, number):
        """Where the number is, of which only a counter is in memory."""
        if (number.scale, number.shift) == (1, 0):
            return Place(number.slot)
        access = Access(number.slot, 0, (), COUNTER)
        k = self.kernel((), [access])
        register = self.load(k, ("counter", number.slot), access)
        for op, by, neutral in (("multiply", number.scale, 1), ("add", number.shift, 0)):
            if by != neutral:
                (register,) = self.steps[k].apply(op, [register, self.steps[k].constant(np.int64(by))], [COUNTER])
        return Held(k, register)

    def look(self, v, window):
        """A value is what is seen through a window, until it is overwritten there."""
        self.values[v] = window
        for slot in window.slots():
            self.pending.setdefault(slot, []).append(v)

    def store_in(self, v, window):
        """A value is stored in a window."""
        self.stored[v] = window
        self.storing.setdefault(window.place.slot, []).append(window)

    def leave(self, v, write):
        """A value in a register is wanted in another kernel, for `write`: it is computed there too, seen where it was stored, or
        gets a place."""
        window = self.stored.get(v)
        if window is None or window.version != self.version.get(window.place.slot, 0):
            again = self._again(v, write)
            if again is None:
                self.store_held(v)
            else:
                self.left.add(self.values[v].step)
                self.values[v] = again
        elif write is not None and write[1].slot == window.place.slot:
            self.store_held(v)
        else:
            self.look(v, window)

    def _again(self, v, write):
        """The `Again` of a value in a register; None if it is not cheap, or what it is made of may be gone when it is wanted, or
        is where `write` writes."""
        op, t = self.tape.op(self.tape.maker(v)), self.type(v)
        arrays = [x for x in op.operands if not self.is_number(x)]
        if op.op.name not in CHEAP or not arrays or not squeezed(t.shape) or self.ended[v]:
            return None
        if any((self.type(x).shape, self.type(x).dtype) != (t.shape, t.dtype) or self.ended[x] for x in arrays):
            return None
        sources = [self.values[x] for x in self.sources(v, op)]
        if len(arrays) > 1 and any(isinstance(home, Held) for home in sources):
            return None
        if any(self._gone(home) for home in sources):
            return None
        if write is not None and any(isinstance(home, Window) and home.place.slot == write[1].slot for home in sources):
            return None
        depth = 1 + max(home.depth if isinstance(home, Again) else 0 for home in (self.values[x] for x in arrays))
        if depth + self.above.get(v, 0) > DEEPEST or len(sources) > SOURCES:
            return None
        for x in arrays:
            self.last_use[x] = max(self.last_use[x], self.last_use[v])
            self.above[x] = max(self.above.get(x, 0), self.above.get(v, 0) + 1)
        return Again(op, signature(op.op.elementwise, [self.type(y).dtype for y in op.operands], [t.dtype]), depth)

    def _gone(self, home):
        """Whether what was seen through a window may be overwritten by now, or has to be looked for at every point."""
        return isinstance(home, Window) and (
            len(home.slots()) > 1 or home.by is not None or home.version != self.version.get(home.place.slot, 0)
        )

    def store_held(self, v):
        """Give a value that is in a register a place in memory."""
        home, t = self.values[v], self.type(v)
        place, kernel = self.work(t.nbytes, self.origin(v)), self.steps[home.step]
        access = Access(place.slot, 0, spread(t.shape, t.strides, t.shape), t.dtype)
        kernel.write("store", home.register, access)
        kernel.known[v, access.strides] = home.register
        self.written[place.slot] = home.step
        self.values[v] = place

    def hold(self, v, beside=None):
        """Read a load now, into a register, of the kernel of step `beside` if that is possible."""
        home = self.values[v]
        shape = home.view.shape
        access = self.seen(v, shape)
        fits = beside is not None and beside >= self._after([access])
        fits = fits and self._against(beside, squeezed(shape), [access], None) is None
        k = beside if fits else self.kernel(shape, [access])
        self.values[v] = Held(k, self.load(k, v, access))
        for loads in self.pending.values():
            if v in loads:
                loads.remove(v)

    def load(self, k, v, access):
        """The register of kernel `k` with what value `v` is through a window."""
        kernel = self.steps[k]
        key = (v, access.strides) if access.by is None else (v, access)
        if key not in kernel.known:
            kernel.known[key] = kernel.load(access)
        self.reads(access, k)
        return kernel.known[key]

    def reads(self, access, k):
        """Step `k` reads through a window."""
        for window in access.windows():
            for slot in (window.slot, *(index.slot for index in window.moving)):
                self.reads_slot(slot, k)

    def reads_slot(self, slot, k):
        """Step `k` reads the memory."""
        self.uses(slot, k)
        self.read[slot] = max(self.read.get(slot, -1), k)

    def uses(self, slot, k):
        """Step `k` reads or writes the memory: zeros that are still to be filled in come before it."""
        self.cleared.pop(slot, None)
        if slot in self.zeroed:
            self.zeroed.remove(slot)
            self.fills.setdefault(k, []).append(slot)
            self.written[slot] = k

    def finish(self):
        """Put the fills and checks between the steps, which compute what is read; nothing can be planned any more."""
        for k in self.left:
            self.steps[k].undo(*unread(self.steps[k]))
        steps = [Fill(slot, self.slots[slot].nbytes) for slots in self.fills.values() for slot in slots if self._is_small(slot)]
        for k in range(len(self.steps) + 1):
            steps += [Fill(slot, self.slots[slot].nbytes) for slot in self.fills.get(k, ()) if not self._is_small(slot)]
            steps += self.checks.get(k, ())
            steps += [step for step in self.steps[k : k + 1] if not isinstance(step, Kernel) or step.instrs]
        self.steps[:] = steps

    def _is_small(self, slot):
        """Whether a slot is filled at the beginning: between two kernels the fill would keep them out of one group."""
        return self.slots[slot].nbytes <= SMALL

    def ends(self, slot, beside=None, target=None, space=()):
        """The memory, or what a `target` over `space` covers of it, is about to be overwritten: loads of it that are wanted
        afterwards are read."""
        spared = []
        for v in self.pending.pop(slot, ()):
            if self.last_use[v] > self.at and isinstance(self.values[v], Window):
                if target is not None and _spares(self.values[v], target, space):
                    spared.append(v)
                else:
                    self.hold(v, beside)
        if spared:
            self.pending.setdefault(slot, []).extend(spared)

    def overwritten(self, slot, k, target=None, space=()):
        """Step `k` has written the memory, or what a `target` over `space` covers of it."""
        self.uses(slot, k)
        self.version[slot] = self.version.get(slot, 0) + 1
        self.written[slot] = k
        self.storing[slot] = [w for w in self.storing.get(slot, ()) if target is not None and _spares(w, target, space)]
        for window in (*self.storing[slot], *(self.values[v] for v in self.pending.get(slot, ()))):
            window.version = self.version[slot]

    def check(self, step, access):
        """Have a step that reads a window run as soon as it can, behind guards."""
        k = max(self._after([access]), self.written.get(access.slot, -1) + 1, self.barrier + 1)
        self.checks.setdefault(k, []).append(step)
        self.reads(access, k)
        self.vetted[access.slot] = max(self.vetted.get(access.slot, -1), k)

    # ---- kernels -----------------------------------------------------------------------------------------------------

    def _after(self, accesses, write=None):
        """The first step at which these windows may be read, and this one be written."""
        first = 0
        for access in every_window(accesses):
            first = max(first, self.written.get(access.slot, -1), self.vetted.get(access.slot, -1))
            for index in access.moving:
                first = max(first, self.written.get(index.slot, -1) + 1, self.barrier + 1)
        return first if write is None else max(first, self._after([write]), self.read.get(write.slot, -1))

    def _against(self, k, space, accesses, write):
        """Why step `k` may not read `accesses` and then do `write`, a pair (kind, access): (why, slot), or None if it may."""
        step = self.steps[k]
        if not isinstance(step, Kernel):
            return NO_KERNEL, -1
        if step.space != space:
            return OTHER_SPACE, -1
        if len(step.instrs) > LARGEST:
            return TOO_LARGE, -1
        if not space:  # one point: instruction by instruction is the only order
            return None
        accesses = every_window(accesses)
        if write is not None:
            accesses += write[1].windows()[:-1]
        for access in accesses:
            for kind, other in step.windows.get(access.slot, ()):
                if kind != "load" and meeting(access, other, space) == "meet":
                    return READS_WRITTEN, access.slot
        if write is None:
            return None
        slot, own = write[1].slot, [("load", access) for access in accesses if access.slot == write[1].slot]
        for kind, other in (*step.windows.get(slot, ()), *own):
            if not kind == write[0] == "accumulate" and meeting(write[1], other, space) == "meet":
                return WRITES_READ if kind == "load" else WRITES_WRITTEN, slot
        return None

    def kernel(self, shape, accesses, write=None, first=0, beside=-1):
        """A step whose kernel may read `accesses` and then do `write`: step `beside` if it may, one of the last, or a new one."""
        space = squeezed(shape)
        first = max(first, self._after(accesses, write and write[1]), -1 if write is None else self.barrier + 1)
        near = range(len(self.steps) - 1, max(first, len(self.steps) - NEAR) - 1, -1)
        for k in [beside, *near] if beside in near else near:
            if self._against(k, space, accesses, write) is None:
                break
        else:
            k = len(self.steps)
            self.steps.append(Kernel(space))
            self.steps[k].apart = self._apart(space, accesses, write, first)
        if self.line is not None:
            self.steps[k].lines[self.line] = None
        return k

    def _apart(self, space, accesses, write, first):
        """The `Apart` of a kernel that is new: from the last one over its space, or the last one."""
        near = [step for step in self.steps[-NEAR - 1 : -1] if isinstance(step, Kernel)]
        alike = [kernel for kernel in near if kernel.space == space]
        if not alike:
            return Apart(OTHER_SPACE, near[-1], None, -1) if near else None
        k = next(k for k in reversed(range(len(self.steps))) if self.steps[k] is alike[-1])
        if k >= first:
            why, slot = self._against(k, space, accesses, write) or (TOO_FAR, -1)
            return Apart(why, alike[-1], None, slot)
        why, step, slot = self._behind(accesses, write, first)
        return Apart(why, alike[-1], step, slot)

    def _behind(self, accesses, write, first):
        """(why, the step in the way, slot): what `first`, the first step that may do this, comes from."""
        if write is not None and self.read.get(write[1].slot) == first:
            return BEHIND_READ, self.steps[first], write[1].slot
        for access in every_window((*accesses, *([write[1]] if write else ()))):
            if self.written.get(access.slot) == first:
                return BEHIND_WRITE, self.steps[first], access.slot
            if self.vetted.get(access.slot) == first:
                return BEHIND_CHECK, None, access.slot
            if access.moving and self.barrier + 1 == first:
                return BEHIND_GUARD, self.steps[self.barrier], -1
            for index in access.moving:
                if self.written.get(index.slot, -1) + 1 == first:
                    return BEHIND_INDEX, self.steps[first - 1], index.slot
        return BEHIND_VALUE, self.steps[first], -1

    def is_number(self, v):
        """Whether a value is one known number, for all its elements."""
        return isinstance(self.values[v], Constant) and not np.ndim(self.values[v].value)

    def _here(self, v, shape):
        """Whether a value is in a register over the space of `shape`."""
        return isinstance(self.values[v], Held) and squeezed(self.type(v).shape) == squeezed(shape)

    def sources(self, v, op=None):
        """What is to be read for a value: itself, or what `op`, or the one that computes it again, makes it of."""
        home = self.values[v]
        if op is None and not isinstance(home, Again):
            return [] if self.is_number(v) else [v]
        return [y for x in (op or home.op).operands for y in self.sources(x)]

    def settled(self, operands, shape, write=None):
        """(step, registers of the operands): a kernel over `shape` that may compute with them, and then do `write`."""
        while True:
            sources = [x for v in operands for x in self.sources(v)]
            accesses = [self.seen(v, shape) for v in sources if not self._here(v, shape)]
            first = max([self.values[v].step for v in sources if isinstance(self.values[v], Held)], default=-1)
            k = self.kernel(shape, accesses, write, max(first, 0), beside=first)
            elsewhere = {v for v in sources if isinstance(self.values[v], Held) and self.values[v].step != k}
            if not elsewhere:
                return k, [self._register(k, v, shape) for v in operands]
            for v in elsewhere:
                self.leave(v, write)
            if not self.steps[k].instrs:
                self.steps.pop()  # it was made for this, and may not be where it goes in the end

    def _register(self, k, v, shape):
        home = self.values[v]
        if self.is_number(v):
            return self.steps[k].constant(home.value)
        if isinstance(home, Held):
            return home.register
        if isinstance(home, Again):
            return self._computed_again(k, v, shape)
        return self.load(k, v, self.seen(v, shape))

    def _computed_again(self, k, v, shape):
        home, kernel = self.values[v], self.steps[k]
        key = "again", v
        if key not in kernel.known:
            *dtypes, made = home.dtypes
            registers = [self.cast(k, self._register(k, x, shape), d) for x, d in zip(home.op.operands, dtypes, strict=True)]
            (kernel.known[key],) = kernel.apply(home.op.op.name, registers, [made])
        return kernel.known[key]

    def cast(self, k, register, dtype):
        """The register of kernel `k` with the same numbers in another dtype."""
        kernel = self.steps[k]
        if kernel.dtypes[register] == dtype:
            return register
        if register in kernel.constants:
            number = kernel.constants[register]
            with np.errstate(all="ignore"):
                return kernel.constant((number.real if dtype.kind != "c" else number).astype(dtype))
        key = "cast", register, dtype
        if key not in kernel.known:
            (kernel.known[key],) = kernel.apply("cast", [register], [dtype])
        return kernel.known[key]


def _spares(window, target, space):
    """Whether an `Access` over `space` overwrites nothing of a `Window`."""
    if window.by is not None or window.moving or target.moving:
        return False
    shape, strides, dtype = window.view.shape, window.view.strides, window.view.dtype
    own = window.place.offset + window.imm, squeezed(shape), spread(shape, strides, shape), dtype.itemsize
    return apart(own, covered(target, space))
