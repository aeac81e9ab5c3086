"""From a tape to a schedule, op by op."""

from __future__ import annotations

import numpy as np

from sparsead import config
from sparsead.ops import registry  # noqa: F401  (fills the table of ops)
from sparsead.schedule import indices, runs
from sparsead.schedule.axes import sort_axes
from sparsead.schedule.check import check
from sparsead.schedule.form import Access, Call, Choose, Guard, Index, Origin, Place, Repeat, Schedule, Slot
from sparsead.schedule.fusion import COUNTER, Fusion
from sparsead.schedule.inner import castable, signature
from sparsead.schedule.interchange import interchange
from sparsead.schedule.memory import place_work
from sparsead.schedule.reuse import reuse
from sparsead.schedule.strips import strip
from sparsead.schedule.values import Cleared, Constant, Counted, Held, Window
from sparsead.schedule.windows import meeting, spread, squeezed
from sparsead.tape.spec import ELEMENTWISE
from sparsead.transform._begin import begun
from sparsead.transform._linear import linearize
from sparsead.transform._narrow import narrowed
from sparsead.transform._split import guards_first

LARGE = 2**40  # numbers that count trips are smaller, far from where int64 wraps around


def schedule_of(tape):
    """The `Schedule` of a tape, of which inputs are never written."""
    tape = narrowed(begun(linearize(guards_first(tape))))
    inputs, outputs = ([tape.type(v) for v in values] for values in (tape.inputs, tape.outputs))
    slots = [Slot("input", t.nbytes, position) for position, t in enumerate(inputs)]
    planner = Planner(tape, slots, [])
    planner.values = {v: Place(position) for position, v in enumerate(tape.inputs)}
    planner.run()
    schedule = Schedule(slots, planner.block, inputs, outputs, planner.results())
    planner.finish()
    turning = set().union(*planner.together)
    reuse(planner.block, slots, turning)
    sort_axes(planner.block)
    interchange(planner.block)
    strip(planner.block, turning)
    place_work(schedule, planner.together)
    if config.check_tapes:
        check(schedule)
    return schedule


class Planner(Fusion):
    """Plans the ops of one tape, or of one body of a loop or branch."""

    def run(self):
        """Plan all ops."""
        done = 0
        for first, last in (*self.runs.found(), (len(self.tape), None)):
            self._ops(done, first)
            if last is not None:
                runs.plan(self, self.runs, first, last)
                done = last
        self.doing, self.line = "output", None

    def _ops(self, first, last):
        """Plan ops `first` up to `last` one by one."""
        for k in range(first, last):
            op = self.tape.op(k)
            self.at, self.doing, self.line = k, op.op.name, op.line
            if op.op.code >= ELEMENTWISE:
                self._elementwise(op)
            else:
                PLANS.get(op.op.name, Planner._call)(self, op)

    # ---- elementwise -------------------------------------------------------------------------------------------------

    def _elementwise(self, op):
        if self._counted(op):
            return
        types = [self.type(v) for v in op.results]
        dtypes = signature(op.op.elementwise, [self.type(v).dtype for v in op.operands], [t.dtype for t in types])
        if dtypes is None:
            self._call(op)
            return
        k, registers = self.settled(op.operands, types[0].shape)
        registers = [self.cast(k, r, dtype) for r, dtype in zip(registers, dtypes, strict=False)]
        results = self.steps[k].apply(op.op.name, registers, dtypes[len(registers) :])
        self.values.update({v: Held(k, register) for v, register in zip(op.results, results, strict=True)})

    def _counted(self, op):
        """Whether the op makes a number that goes with the trips of a loop; nothing is computed then until it is asked for."""
        if op.op.name not in ("add", "subtract", "multiply") or self.type(op.results[0]).shape:
            return False
        if any(self.type(v).dtype != COUNTER for v in (*op.operands, *op.results)):
            return False
        homes = [self.values[v] for v in op.operands]
        numbers = [k for k, home in enumerate(homes) if isinstance(home, Constant)]
        if len(numbers) != 1 or not isinstance(homes[1 - numbers[0]], Counted) or np.ndim(homes[numbers[0]].value):
            return False
        made = homes[1 - numbers[0]].with_number(op.op.name, int(homes[numbers[0]].value), numbers[0] == 1)
        if max(-made.least, made.most) > LARGE:
            return False
        self.values[op.results[0]] = made
        return True

    def _copied(self, op):
        """A copy, or a cast."""
        (v,), (x,) = op.results, op.operands
        t = self.type(v)
        if not castable(self.type(x).dtype, t.dtype):
            self._call(op)
            return
        k, (register,) = self.settled([x], t.shape)
        register = self.cast(k, register, t.dtype)
        if register in self.steps[k].constants:
            (register,) = self.steps[k].apply("copy", [register], [t.dtype])
        self.values[v] = Held(k, register)

    # ---- memory ------------------------------------------------------------------------------------------------------

    def _input(self, op):
        """It has its place already."""

    def _const(self, op):
        self.values[op.results[0]] = Constant(op.attr)

    def _empty(self, op):
        self.values[op.results[0]] = self.work(self.type(op.results[0]).nbytes, Origin(op.op.name, op.line))

    def _zeros(self, op):
        self._empty(op)
        self.zeroed.add(self.values[op.results[0]].slot)

    def _load(self, op):
        (v,), (base, *places) = op.results, op.operands
        view, imm, moving = self._view(op, places)
        if self.is_number(base) and view.dtype == self.type(base).dtype:
            self.values[v] = self.values[base]  # spread, or read from an array of equal numbers
            return
        home = self.values[base]
        if isinstance(home, Window) and home.by is not None and not moving:
            window = indices.viewed(home, self.type(base), view, imm, op.line)
            if window is not None:
                self.look(v, window)
                return
        place, inner = self._base(base)
        moving += inner
        self.look(v, Window(place, view, imm, moving, self.version.get(place.slot, 0), op.line))

    def _base(self, v):
        """(place of a value, what moves it): a window with the layout of its value is looked through, not read."""
        home, t = self.values[v], self.type(v)
        if isinstance(home, Window) and home.by is None and home.view.strides == t.strides and home.view.dtype == t.dtype:
            return Place(home.place.slot, home.place.offset + home.imm), home.moving
        return self.in_memory(v), ()

    def _view(self, op, indices):
        """(the window, its byte offset, the places of the numbers that move it).

        One that goes with the trips of a loop, and stays within its limits on all of them, is the counter itself; one that is
        known moves nothing.
        """
        if not indices:
            return op.attr, op.imm, ()
        imm, moving = op.imm, []
        for v, step, (low, high) in zip(indices, op.attr.steps, op.attr.limits, strict=True):
            home = self.values[v]
            if self.is_number(v) and low <= home.value < high:
                imm += step * int(home.value)
            elif isinstance(home, Counted) and low <= home.least and home.most < high:
                imm += step * home.shift
                moving.append(Index(home.slot, 0, self.type(v).dtype, step * home.scale, 0, home.trips))
            else:
                place = self.in_memory(v)
                moving.append(Index(place.slot, place.offset, self.type(v).dtype, step, low, high))
        return op.attr.view, imm, tuple(moving)

    def _write(self, op):
        x, value, *indices = op.operands
        view, imm, moving = self._view(op, indices)
        place = self.own_memory(x)
        self.values[op.results[0]] = place
        if 0 in view.shape:
            return
        strides = spread(view.shape, view.strides, view.shape)
        target = Access(place.slot, place.offset + imm, strides, view.dtype, moving, op.line)
        kind = op.op.name.removesuffix("_at")
        if kind == "accumulate" and self._restored(value, target):
            if (self.type(value).shape, self.type(value).dtype) == (view.shape, view.dtype):  # it is to be seen there again
                self.look(value, Window(place, view, imm, moving, self.version[place.slot], op.line))
            return
        self._end_for(value, target, view.shape)
        self._write_to(kind, value, target, view.shape)
        if kind == "store" and isinstance(self.values[value], Held) and self.type(value).dtype == view.dtype:
            self.store_in(value, Window(place, view, imm, moving, self.version[place.slot], op.line))

    def _write_to(self, kind, value, target, shape):
        """Write a value to a window."""
        k, (register,) = self.settled([value], shape, (kind, target))
        clears = kind == "store" and target.by is None and self.is_number(value) and self.values[value].value == 0
        before = self.steps[k].loaded(target) if clears else set()
        self.steps[k].write(kind, self.cast(k, register, target.dtype), target)
        for index in target.moving:
            self.reads_slot(index.slot, k)
        if target.by is not None:
            self.reads(target.by.window, k)
        self.overwritten(target.slot, k, target, squeezed(shape))
        if clears:
            self.cleared[target.slot] = Cleared(k, self.steps[k].instrs[-1], before)

    def _restored(self, value, target):
        """Undo a store of zeros if what was there before is added again; the adjoint of ``x[a] += y`` does that to x."""
        cleared, home = self.cleared.get(target.slot), self.values[value]
        if cleared is None or not isinstance(home, Held) or home.step != cleared.step:
            return False
        if cleared.instr.access != target or home.register not in cleared.loaded:
            return False
        del self.cleared[target.slot]
        self.steps[home.step].undo(cleared.instr)
        return True

    def _end_for(self, value, target, shape):
        """Read the loads of what is overwritten; what is written itself only if it would be overwritten while it is read."""
        for x in self.sources(value):
            home = self.values[x]
            if isinstance(home, Window) and target.slot in home.slots():
                read = [window for window in self.seen(x, shape).windows() if window.slot == target.slot]
                if self.last_use[x] > self.at or any(meeting(a, target, squeezed(shape)) == "meet" for a in read):
                    self.hold(x)
        home = self.values[value]
        self.ends(target.slot, home.step if isinstance(home, Held) else None, target, squeezed(shape))

    # ---- what is not a kernel ------------------------------------------------------------------------------------------

    def argument(self, v):
        """What a step is given for a value: a number, or (shape, access)."""
        if self.is_number(v) and not self.type(v).shape:
            return self.values[v].value
        home, t = self.values[v], self.type(v)
        if isinstance(home, Window) and home.by is not None:
            home = self.in_memory(v)
        access = self.seen(v, t.shape)
        strides = home.view.strides if isinstance(home, Window) else t.strides
        return t.shape, access._replace(strides=strides)

    def _memory_of(self, v):
        """The same for all of a value's memory, in its own layout."""
        place, t = self.in_memory(v), self.type(v)
        return t.shape, Access(place.slot, place.offset, t.strides, t.dtype)

    def append(self, step, arguments):
        """A step that reads arguments; returns its number."""
        self.steps.append(step)
        k = len(self.steps) - 1
        for argument in arguments:
            if isinstance(argument, tuple):
                self.reads(argument[1], k)
        return k

    def _guard(self, op):
        argument = self.argument(op.operands[0])
        self.barrier = self.append(Guard(op, argument), [argument])

    def _call(self, op):
        types = tuple(self.type(v) for v in op.results)
        if op.op.consumes:
            places = [self.own_memory(op.operands[0])]
            self._hold_all(op.operands[1:], {places[0].slot})
            self.ends(places[0].slot)
        else:
            places = [self.work(t.nbytes, Origin(op.op.name, op.line)) for t in types]
        arguments = [self.argument(v) for v in op.operands]
        if op.op.name == "gather":  # its indices count elements in memory
            arguments[0] = self._memory_of(op.operands[0])
        k = self.append(Call(op, arguments, places, types), arguments)
        for v, place in zip(op.results, places, strict=True):
            self.values[v] = place
            self.overwritten(place.slot, k)

    def _hold_all(self, operands, slots):
        """Read the loads of memory that the step itself overwrites."""
        for v in operands:
            if isinstance(self.values[v], Window) and not slots.isdisjoint(self.values[v].slots()):
                self.own_memory(v)

    # ---- loops and branches --------------------------------------------------------------------------------------------

    def _loop(self, op):
        loop, counter = op.attr, self.work(8, Origin("counter", op.line))
        slots = self._carried(op, op.operands)
        child, turning = self._body(loop.body, slots, op.operands, Counted(counter.slot, loop.trips))
        first, by = (loop.trips - 1, -1) if loop.backward else (0, 1)
        k = self.append(Repeat(child.block, loop.trips, first, by, counter.slot, turning), ())
        self._after_bodies(op, k, slots, op.operands)

    def _branch(self, op):
        *operands, which = op.operands
        argument = self.argument(which)
        slots = self._carried(op, operands)
        planned = [self._body(body, slots, operands) for body in op.attr.bodies]
        step = Choose(argument, [child.block for child, _ in planned], [turning for _, turning in planned])
        k = self.append(step, [argument])
        self._after_bodies(op, k, slots, operands)

    def _carried(self, op, operands):
        """Slots of the carries, which the bodies overwrite."""
        m = op.attr.carries
        slots = [self.own_memory(v).slot for v in operands[:m]]
        self._hold_all(operands[m:], set(slots))
        for slot in slots:
            self.ends(slot)
        for v in operands[m:]:
            if not self._passes(v):
                self.in_memory(v)
        return slots

    def _passes(self, v):
        """Whether a value goes into the body of a loop or branch as it is, and not by its memory."""
        return self.is_number(v) or isinstance(self.values[v], Counted)

    def _body(self, body, slots, operands, counter=None):
        """(the planner of a body, what changes hands after it)."""
        lead, m = len(body.inputs) - len(operands), len(slots)
        own = set(range(lead, lead + m))
        for law in (linearize, begun, narrowed):
            body = law(body, [body.inputs[k] for k in own])
        child = Planner(body, self.slots, self.together)
        child.outer, child.carried = self, set(slots)
        if counter is not None:
            child.repeated = counter.trips > 0
            child.carried.add(counter.slot)
        for k, v in enumerate(body.inputs):
            x = operands[k - lead] if k >= lead else None
            if x is None:
                child.values[v] = counter
            elif k in own:
                child.values[v] = Place(slots[k - lead])
            else:
                child.values[v] = self.values[x] if self._passes(x) else self.in_memory(x)
                if isinstance(self.values[x], Counted):
                    child.outside[v] = self, x
        child.run()
        ends = child.ends_of_trip(slots)
        child.finish()
        # Memory changes hands between slots of one size.
        made = sorted((slot for slot in ends if slot not in slots), key=self._size)
        freed = sorted((slot for slot in slots if slot not in ends), key=self._size)
        turning = [(a, b) for a, b in zip(slots + made, ends + freed, strict=True) if a != b]
        if turning:
            self.together.append({slot for pair in turning for slot in pair})
        return child, turning

    def _after_bodies(self, op, k, slots, operands):
        for v in operands[len(slots) :]:
            if isinstance(self.values[v], (Place, Window)):
                self.reads_slot(self.in_memory(v).slot, k)
        for v, slot in zip(op.results, slots, strict=True):
            self.values[v] = Place(slot)
            self.overwritten(slot, k)

    def _size(self, slot):
        return self.slots[slot].nbytes

    def ends_of_trip(self, slots):
        """The slots in which the outputs are, all different: those of carries, or the block's own."""
        found = []
        for v in self.tape.outputs:
            found.append(self._end_place(v, found, slots).slot)
        return found

    def _end_place(self, v, taken, slots=()):
        """The place of a value if it begins a slot of the block's own, or of `slots`, and none of `taken`; else of a copy."""
        if self.is_number(v):
            return self.copy_of(v)
        place = self.own_memory(v)
        mine = place.slot in slots or place.slot in self.mine
        fits = mine and not place.offset and place.slot not in taken and place.slot not in self.zeroed
        return place if fits else self.copy_of(v)

    # ---- sums --------------------------------------------------------------------------------------------------------

    def _sum(self, op):
        (v,), (x,) = op.results, op.operands
        t, whole = self.type(v), self.type(x)
        if not t.inexact or t.dtype != whole.dtype or t.dtype.char not in "fdFD" or 0 in whole.shape or not whole.shape:
            self._call(op)
            return
        kept = iter(t.strides)
        strides = tuple(0 if axis in op.attr else next(kept) for axis in range(len(whole.shape)))
        self._zeros(op)
        target = Access(self.values[v].slot, 0, spread(whole.shape, strides, whole.shape), t.dtype)
        self._write_to("accumulate", x, target, whole.shape)

    # ---- outputs -------------------------------------------------------------------------------------------------------

    def results(self):
        """The places of the outputs, in slots of their own."""
        places = []
        taken = set().union(*self.together)
        for position, v in enumerate(self.tape.outputs):
            place = self._end_place(v, taken)
            slot = self.slots[place.slot]
            slot.kind, slot.position = "output", position
            taken.add(place.slot)
            places.append(place)
        self.block.own = [slot for slot in self.block.own if self.slots[slot].kind == "work"]
        return places


PLANS = {
    "input": Planner._input, "const": Planner._const, "empty": Planner._empty, "zeros": Planner._zeros,
    "load": Planner._load, "load_at": Planner._load, "copy": Planner._copied, "cast": Planner._copied, "guard": Planner._guard,
    "store": Planner._write, "store_at": Planner._write, "accumulate": Planner._write, "accumulate_at": Planner._write,
    "sum": Planner._sum, "loop": Planner._loop, "branch": Planner._branch,
    "inactive": indices.inactive, "gather": indices.gather, "scatter": indices.scatter, "scatter_add": indices.scatter,
}  # fmt: skip
