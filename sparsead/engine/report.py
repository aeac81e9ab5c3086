"""What a program does, what it took, and what memory it keeps, as text.

Everything was noted when it was decided or measured: here it is only counted and written down.
"""

from __future__ import annotations

import os
from collections import Counter
from math import prod

from sparsead.engine import reference
from sparsead.engine.native.kernels import obstacle
from sparsead.engine.room import amount
from sparsead.schedule.form import Bounds, Call, Choose, Fill, Guard, Kernel, Member, Repeat, Scalars, Strips, blocks_of, lines_of
from sparsead.schedule.lower import lowered
from sparsead.schedule.memory import slots_of
from sparsead.schedule.windows import reach
from sparsead.tape.listing import source_text

HOTTEST = 3  # steps of a short report
SLOTS = 20  # of a long one
LINES = 3  # of the user, for one step
SAID = 20  # lines of the compiler
WIDTH = 118  # of a line about a step; what the compiler says, with paths, is never cut
# By type of a step: its kind, and its title.
KINDS: dict = {
    Kernel: ("kernel", lambda s: f"kernel of {_plural(prod(s.space), 'point')}"),
    Member: ("kernel", lambda s: _title(s.kernel)),
    Strips: ("group of kernels", lambda s: f"{_plural(len(s.members), 'kernel')} in strips of {_plural(s.height, 'row')}"),
    Scalars: ("run of numbers", lambda s: f"{_plural(s.count, 'instruction')} on numbers"),
    Fill: ("fill", lambda s: f"zeros, {amount(s.nbytes)}"),
    Call: ("call", lambda s: f"call of {s.op.op.name}"),
    Guard: ("guard", lambda s: f"guard: {s.op.attr!r}"),
    Bounds: ("check of indices", lambda s: f"check of {_plural(prod(s.operand[0]), 'index number')}"),
    Repeat: ("loop", lambda s: f"loop of {_plural(s.trips, 'trip')}"),
    Choose: ("branch", lambda s: f"branch of {len(s.blocks)} ways"),
}
BY_INDEX = {"load": "gather", "store": "scatter", "accumulate": "scatter-add"}
WORDS = ("load", "gather", "store", "scatter", "accumulate", "scatter-add")
ORDERS = {"any": "on any thread", "alternating": "even ones before odd ones", "in order": "one after the other, on one thread",
          "deferred": "on any thread, but for what they write by index"}  # fmt: skip


def report(name, program, long=False):
    """Lines of text about a program.

    Parameters
    ----------
    name : str
    program : Program
        Of either engine.
    long : bool
        A table of all steps, and the memory, instead of the steps that take longest.
    """
    ops = f"{name}: {len(program.tape)} ops"
    if isinstance(program, reference.Program):
        return [f"  {ops}, run by NumPy one by one (engine 'reference'): no kernels, no times"]
    view = _View(program)
    lines = [f"  {ops} in {view.contents()}", f"    workspace {amount(program.schedule.nbytes)}; {view.took()}"]
    steps = view.table() + view.slots() if long else view.hottest()
    return [*lines, *_built(program), *(line if len(line) <= WIDTH else line[: WIDTH - 3] + "..." for line in steps)]


def summary(program):
    """A program of the tiled engine in half a line."""
    return f"{len(program.tape)} ops in {_View(program).contents()}; workspace {amount(program.schedule.nbytes)}"


def apart(program):
    """For each kernel a line that says why it is not in the one before it."""
    view = _View(program)
    kernels = [(k, kernel) for k, kernel in enumerate(map(_kernel, program.steps)) if kernel is not None and kernel.apart]
    return [f"step {k}, {_title(kernel)}: {view.apart(kernel.apart)}" for k, kernel in kernels]


class _View:
    """A program of the tiled engine, with what was measured of it."""

    def __init__(self, program):
        self.program, self.schedule, self.measured = program, program.schedule, program.measured
        self.number = {id(step): k for k, step in enumerate(program.steps)}
        for k, kernel in enumerate(map(_kernel, program.steps)):
            if kernel is not None:
                self.number.setdefault(id(kernel.planned or kernel), k)
        self.top = [self.number[id(step)] for step in self.schedule.block.steps]
        kernels = [k for k, step in enumerate(program.steps) if _kernel(step) is not None]
        built = program.build is not None and program.build.state in ("done", "nothing")
        self.left = {kernels[k]: obstacle(program.lowered[k]) for k in program.build.left} if built else {}
        self.names = {k: program.tape.names.get(v, f"input {k}") for k, v in enumerate(program.tape.inputs)}

    # ---- summary -----------------------------------------------------------------------------------------------------

    def contents(self):
        counts = Counter(KINDS[type(step)][0] for step in self.program.steps)
        kinds = dict.fromkeys(kind for kind, _ in KINDS.values())
        return ", ".join(_plural(counts[kind], kind) for kind in kinds if counts[kind]) or "no steps"

    def took(self):
        if self.measured is None:
            return "not run yet"
        threads = _plural(self.measured.threads, "thread")
        cold = ", with fresh memory" if self.measured.run == 1 else ""
        return f"run {self.measured.run}{cold}: {_seconds(self.total())} on up to {threads}"

    def total(self):
        return sum(self.measured.times[k][0] for k in self.top)

    def seconds(self, k):
        return self.measured.times[k][0] if self.measured is not None else 0.0

    def share(self, k):
        return self.seconds(k) / max(self.total(), 1e-12)

    def hottest(self):
        """The steps that take longest; what is in loops is taken for itself."""
        if self.measured is None:
            return []
        leaves = [k for k, step in enumerate(self.program.steps) if not blocks_of(step) and not isinstance(step, Strips)]
        hottest = sorted(leaves, key=lambda k: -self.seconds(k))[:HOTTEST]
        return [
            f"    {self.share(k):4.0%}  {_seconds(self.seconds(k)):>8}  step {k}: {_title(self.program.steps[k])}"
            + "".join(f", {source_text(line)}" for line in lines_of(self.program.steps[k])[:1])
            for k in hottest if self.seconds(k)
        ]  # fmt: skip

    # ---- steps -------------------------------------------------------------------------------------------------------

    def table(self):
        """All steps in their order, those of loops and branches indented."""
        head = f"  {'step':>4} {'what':<32} {'time':>9} {'%':>4} {'runs':>7} {'each':>9} {'moved':>9} {'GB/s':>6}"
        return ["", head, *self._block(self.schedule.block, "")]

    def _block(self, block, indent):
        return [row for step in block.steps for row in self._rows(step, indent)]

    def _rows(self, step, indent):
        """The row of a step, what there is to say of it, and the steps inside."""
        low = lowered(_kernel(step), isinstance(step, Member)) if _kernel(step) is not None else None
        rows = [self._row(step, low, indent)]
        rows += [f"{'':7}{indent}  {text}" for text in self._details(step, low)]
        for member in step.members if isinstance(step, Strips) else ():
            rows += self._rows(member, indent + "    ")
        for way, child in enumerate(blocks_of(step)):
            rows += [f"{'':7}{indent}  way {way}:"] if isinstance(step, Choose) else []
            rows += self._block(child, indent + "    ")
        return rows

    def _row(self, step, low, indent):
        k, moved = self.number[id(step)], 0 if low is None else _moved(low)
        text = f"  {k:>4} {indent + _title(step):<32}"
        if self.measured is None or not self.measured.times[k][1]:
            blank = f" {'-':>9} {'-':>4} {'-':>7} {'-':>9}"
            return f"{text}{blank} {amount(moved) if moved else '':>9}".rstrip()
        seconds, runs = self.measured.times[k]
        rate = moved * runs / max(seconds, 1e-9) / 1e9
        memory = f"{amount(moved):>9}" + (f" {rate:6.1f}" if isinstance(step, Kernel) else "") if moved else ""
        share = f"{100 * self.share(k):4.0f} {int(runs):>7}"
        return f"{text} {_seconds(seconds):>9} {share} {_seconds(seconds / runs):>9} {memory}".rstrip()

    def _details(self, step, low):
        rows = []
        if isinstance(step, Strips):
            rows.append(f"{_plural(len(step.bounds) - 1, 'band')} on any thread; of its kernels, the times of one thread")
            kept = ", ".join(self.slot_name(ring.slot) for ring in step.rings)
            rows += [f"only some rows are kept of {kept}"] * bool(kept)
        if low is not None:
            rows += [_inside(low), *(_shared(low) if isinstance(step, Kernel) else ())]
            rows += [self.apart(apart) for apart in (_kernel(step).apart,) if apart is not None]
            rows += [f"not compiled: {self.left[k]}" for k in (self.number[id(step)],) if k in self.left]
        lines = [] if isinstance(step, Strips) else lines_of(step)  # its members have their own
        rows += [source_text(line) for line in lines[:LINES]]
        return rows + [f"and {len(lines) - LINES} more lines"] * (len(lines) > LINES)

    def apart(self, apart):
        other = self.number.get(id(apart.kernel))
        about = [self.slot_name(apart.slot)] * (apart.slot >= 0)
        if apart.step is not None:
            between = self.number.get(id(apart.step))
            about.append(("" if between is None else f"step {between}: ") + _title(apart.step))
        where = "the kernel before" if other is None else f"step {other}"
        return f"not in {where}: {apart.why}" + (f" ({', '.join(about)})" if about else "")

    # ---- memory ------------------------------------------------------------------------------------------------------

    def slot_name(self, slot):
        return repr(self.names[slot]) if self.schedule.slots[slot].kind == "input" else f"%{slot}"

    def slots(self):
        """The slots of the workspace, largest first: what they hold, and from which step to which they are touched."""
        used: dict[int, tuple[int, int]] = {}
        for k, step in enumerate(self.program.steps):
            for slot in () if blocks_of(step) or isinstance(step, Member) else slots_of(step):
                used[slot] = used.get(slot, (k, k))[0], k
        loops = {op.line for op in self.program.tape if op.op.name == "loop"}
        work = [k for k, slot in enumerate(self.schedule.slots) if slot.kind == "work" and slot.offset >= 0]
        work.sort(key=lambda k: -self.schedule.slots[k].nbytes)
        whole = sum(self.schedule.slots[k].nbytes for k in work)
        rows = ["", f"  workspace: {amount(self.schedule.nbytes)} for {_plural(len(work), 'slot')} of {amount(whole)} together, "
                    f"which share memory where they can; {_plural(len(self.program.idle), 'workspace')} kept"]  # fmt: skip
        if work:
            rows.append(f"  {'slot':>6} {'bytes':>9} {'steps':>12}  holds")
        for k in work[:SLOTS]:
            slot, (first, last) = self.schedule.slots[k], used.get(k, (-1, -1))
            rows.append(f"  {f'%{k}':>6} {amount(slot.nbytes):>9} {f'{first} to {last}':>12}  {_held(slot.origin, loops)}")
        rest = sum(self.schedule.slots[k].nbytes for k in work[SLOTS:])
        rows += [f"  and {len(work) - SLOTS} more, {amount(rest)} together"] * (len(work) > SLOTS)
        return [*rows, f"  besides: {self._others()}"]

    def _others(self):
        total: Counter = Counter()
        for slot in self.schedule.slots:
            total[slot.kind] += slot.nbytes
        return ", ".join(f"{kind}s {amount(total[kind])}" for kind in ("input", "constant", "output") if kind in total)


def _title(step):
    """A step in a few words."""
    return KINDS[type(step)][1](step)


def _kernel(step):
    """The kernel that a step is, or None."""
    return step.kernel if isinstance(step, Member) else step if isinstance(step, Kernel) else None


# ---- the compiler ------------------------------------------------------------------------------------------------------


def _built(program):
    """Whether kernels are compiled, and what the compiler had to say."""
    build = program.build
    if build is None:
        return []
    first, *rest = (f"not compiled: {build.message}" if build.state == "failed" else str(build)).split("\n")
    if build.state == "waiting" and program.work:
        first += f": {max(program.left, 0) / program.work:,.0f} more runs pay for it"
    return [f"    {first}", *(f"      {line}" for line in rest[:SAID])]


# ---- what is in a kernel -----------------------------------------------------------------------------------------------


def _inside(low):
    """Its instructions."""
    ops = Counter(i.op for i in low.kernel.instrs if i.kind == "apply")
    memory = Counter(i.kind if i.access.by is None else BY_INDEX[i.kind] for i in low.kernel.instrs if i.kind != "apply")
    parts = [", ".join(f"{n} {op}" if n > 1 else op for op, n in ops.most_common())]
    parts.append(", ".join(_plural(memory[kind], kind) for kind in WORDS if memory[kind]))
    return f"{len(low.kernel.instrs)} instructions: " + "; ".join(p for p in parts if p)


def _shared(low):
    """How threads share it; nothing if there is too little work."""
    chunks = -(-low.extents[0] // low.chunk) if low.extents else 1
    if not low.extents or chunks < 2:
        return []
    tiles = prod(low.extents[: low.axis]) * -(-low.extents[low.axis] // low.rows)
    text = f"{tiles:,} tiles of {low.rows * low.inner:,} points in {chunks} chunks, {ORDERS[low.order]}"
    return [text + (f": {low.why}" if low.why else "")]


def _moved(low):
    """Bytes that a run of a kernel reads and writes at least, each counted once where windows overlap."""
    windows: dict = {}
    for instr, window in zip(low.kernel.instrs, low.windows, strict=True):
        if window is not None:
            for way in {"load": "r", "store": "w", "accumulate": "rw"}[instr.kind]:
                windows.setdefault((way, window.access.slot), set()).add(window)
    return sum(_covered(found, low.extents) for found in windows.values())


def _covered(windows, extents):
    ends = [reach((w.access.offset, extents, w.strides, w.access.dtype.itemsize)) for w in windows]
    if any(w.access.by is not None for w in windows):
        return sum(w.access.dtype.itemsize * prod(extents) for w in windows)
    single = [w.access.dtype.itemsize * prod(n for n, s in zip(extents, w.strides, strict=True) if s) for w in windows]
    return min(sum(single), max(high for _, high in ends) - min(low for low, _ in ends))


# ---- words and numbers -------------------------------------------------------------------------------------------------


def _held(origin, loops):
    """What a slot holds first."""
    if origin is None:
        return ""
    at = _place(origin.line)
    if origin.op == "counter":
        return f"counter of the loop{at}"
    if origin.op == "empty" and origin.line in loops:
        return f"log of the loop{at}, for the reverse sweep: a row for each trip"
    if origin.op == "registers":
        return "registers of runs of numbers"
    if not origin.reader:
        return f"{'memory of an array' if origin.op in ('zeros', 'empty') else f'result of {origin.op}'}{at}"
    what = f"copy of what is read{at}" if origin.op in ("load", "load_at") else f"{origin.op}{at}"
    return what + (", given out" if origin.reader == "output" else f", for {origin.reader}{_place(origin.reader_line)}")


def _place(line):
    return "" if line is None else f" at {os.path.basename(line[0])}:{line[1]}"


def _plural(n, noun):
    first, of, rest = noun.partition(" of ")
    return f"{n:,} {first}" + ("" if n == 1 else "es" if first.endswith("ch") else "s") + of + rest


def _seconds(t):
    for unit in ("s", "ms"):
        if t >= 1:
            return f"{t:.3g} {unit}"
        t *= 1000
    return f"{t:.3g} us"


__all__ = ["apart", "report", "summary"]
