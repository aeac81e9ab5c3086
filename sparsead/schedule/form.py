"""What a schedule consists of: steps over slots.

A slot is memory: that of an input, a constant, an output, or of the workspace. A step is a kernel, a run of ops on single
numbers, a call of an op's own function, a guard, a loop or a branch. Everything is engine-neutral.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sparsead.tape.spec import OpView


class Index(NamedTuple):
    """A number in memory that moves a window, by `step` bytes for each unit; valid from `low` up to `high`, exclusive."""

    slot: int
    offset: int
    dtype: np.dtype
    step: int
    low: int
    high: int


class Indexed(NamedTuple):
    """Whole numbers, one for each point, that move a window from point to point, by `step` bytes for each unit.

    They are from ``-extent`` up to `extent`, exclusive; a negative one counts from the end, as in NumPy. They are `distinct` if
    it is known that no two points of the window share memory.
    """

    window: Access  # where the numbers are
    step: int
    extent: int
    distinct: bool = False


class Access(NamedTuple):
    """A window on a slot: byte offset, and the stride in bytes along each axis of the space it is seen from."""

    slot: int
    offset: int
    strides: tuple[int, ...]
    dtype: np.dtype
    moving: tuple[Index, ...] = ()
    line: Any = None  # of the user, for an index that is out of bounds
    by: Indexed | None = None  # what moves it from point to point

    def changed(self, change):
        """``change(self)``, with what is done to the window of its index numbers as well."""
        new = change(self)
        return new if new.by is None else new._replace(by=new.by._replace(window=change(new.by.window)))

    def windows(self):
        """Itself, and the window of its index numbers if there is one."""
        return (self,) if self.by is None else (self.by.window, self)


class Instr(NamedTuple):
    """One instruction of a kernel, run for all points of the space.

    `kind` is "load", "store", "accumulate" or "apply". Registers: operands, then results. What is applied is `op`: an elementwise
    record's name, "cast" or "copy". The first operand of an `Indexed` access are its numbers.
    """

    kind: str
    op: str
    registers: tuple[int, ...]
    access: Access | None = None
    n_operands: int = 0  # of the registers that are read


class Apart(NamedTuple):
    """Why an op did not join the kernel before its own: noted when it was decided.

    `kernel` is that one, and `step` what is in the way, if it is another; `slot` the memory that it is about, or -1.
    """

    why: str
    kernel: Any
    step: Any
    slot: int


class Origin(NamedTuple):
    """What a slot holds, and what for: names of ops, and lines of the user.

    `op` made the value, `reader` is the op that wanted it in memory: "" if it is memory by nature, "output" at the end of a tape.
    """

    op: str
    line: Any
    reader: str = ""
    reader_line: Any = None


class Kernel:
    """One space, and instructions on registers that hold a number for each of its points.

    Law: instruction by instruction over all points gives the same as tile by tile in C order, all instructions on each tile.

    Attributes
    ----------
    space : tuple of int
        Extents, without those of one point.
    instrs : list of Instr
    dtypes : list of dtype
        Of the registers, each of which is set once.
    constants : dict
        Registers that hold a number.
    lines : dict
        Lines of the user that it comes from, as keys, in their order.
    apart : Apart or None
        Why its first op did not join the kernel before it.
    planned : Kernel or None
        The kernel that this one was made from, if it is not as it was planned.
    """

    def __init__(self, space):
        self.space, self.instrs, self.dtypes, self.constants = space, [], [], {}
        self.lines: dict = {}
        self.apart: Apart | None = None
        self.planned: Kernel | None = None
        self.windows: dict[int, list[tuple[str, Access]]] = {}  # slot -> what is done to it
        self.known: dict = {}  # what is in registers

    def with_instrs(self, instrs):
        """A kernel on the same registers with other instructions."""
        kernel = Kernel(self.space)
        kernel.instrs, kernel.dtypes, kernel.constants = list(instrs), list(self.dtypes), dict(self.constants)
        kernel.lines, kernel.apart, kernel.planned = self.lines, self.apart, self.planned or self
        return kernel

    def changed(self, space, change):
        """A kernel over another space, with the access ``change(access)`` for each."""
        kernel = self.with_instrs(i if i.access is None else i._replace(access=i.access.changed(change)) for i in self.instrs)
        kernel.space = space
        for instr in kernel.instrs:
            if instr.access is not None:
                kernel.windows.setdefault(instr.access.slot, []).append((instr.kind, instr.access))
        return kernel

    def accesses(self):
        """(kind, access) of all that is done to memory, slot by slot."""
        return (done for windows in self.windows.values() for done in windows)

    def register(self, dtype):
        """A new register."""
        self.dtypes.append(dtype)
        return len(self.dtypes) - 1

    def constant(self, number):
        """A register that holds a number."""
        number = np.asarray(number)[()]
        key = (number.dtype, number.tobytes())
        if key not in self.known:
            self.known[key] = self.register(number.dtype)
            self.constants[self.known[key]] = number
        return self.known[key]

    def load(self, access):
        """A register with what is in a window."""
        numbers = self._numbers(access)
        register = self.register(access.dtype)
        self._touch("load", (*numbers, register), access, len(numbers))
        return register

    def write(self, kind, register, access):
        """Store or accumulate a register into a window."""
        registers = *self._numbers(access), register
        self._touch(kind, registers, access, len(registers))

    def _numbers(self, access):
        """The register with the index numbers of a window, if it has any."""
        if access.by is None:
            return ()
        window = access.by.window
        found = self.loaded(window)
        return (min(found),) if found else (self.load(window),)

    def loaded(self, access):
        """The registers that hold what is in a window now, as far as this kernel knows."""
        found = set()
        for instr in self.instrs:
            if instr.kind == "load" and instr.access == access:
                found.add(instr.registers[-1])
            elif instr.access is not None and instr.access.slot == access.slot and instr.kind != "load":
                found = set()
        return found

    def undo(self, *instrs):
        """Take back instructions; nothing can be computed here any more that would look for what they have made."""
        gone = set(map(id, instrs))
        self.instrs = [instr for instr in self.instrs if id(instr) not in gone]
        for instr in instrs:
            if instr.access is not None:
                self.windows[instr.access.slot].remove((instr.kind, instr.access))
        self.windows = {slot: windows for slot, windows in self.windows.items() if windows}

    def _touch(self, kind, registers, access, n_operands):
        self.instrs.append(Instr(kind, "", registers, access, n_operands))
        self.windows.setdefault(access.slot, []).append((kind, access))

    def apply(self, op, operands, dtypes):
        """Registers with the results of an elementwise op; the same ones if it has been computed here before."""
        key = "apply", op, *operands, *dtypes
        if key not in self.known:
            results = self.known[key] = [self.register(dtype) for dtype in dtypes]
            self.instrs.append(Instr("apply", op, (*operands, *results), None, len(operands)))
        return self.known[key]

    def __repr__(self):
        return f"Kernel({list(self.space)}, {len(self.instrs)} instructions)"


class Member(NamedTuple):
    """A kernel of several that are run together, see `sparsead.schedule.strips`.

    Row 0 of its first axis is row `first` of the group; it stays `lag` rows behind the strip that is run; so many rows `before`
    and `behind`, at the two ends of a band, wait until all bands are through.
    """

    kernel: Kernel
    first: int
    lag: int
    before: int
    behind: int


class Ring(NamedTuple):
    """A slot of which only some rows are kept, in a memory that is used over and over.

    A strip of `height` rows from row r on touches the bytes from ``r * pitch + low`` to ``(r + height - 1) * pitch + high`` of
    the slot; what a bound b of bands leaves for later touches those from ``b * pitch + gap_low`` to ``b * pitch + gap_high``.
    """

    slot: int
    pitch: int
    low: int
    high: int
    gap_low: int
    gap_high: int


@dataclass
class Strips:
    """Kernels that are run together, strip of rows by strip of rows.

    Attributes
    ----------
    members : list of Member
    rings : list of Ring
    height : int
        Rows of a strip.
    bounds : list of int
        Rows at which bands begin, and the end of the last.
    plain : list
        The steps that this one stands for.
    """

    members: list[Member]
    rings: list[Ring]
    height: int
    bounds: list[int]
    plain: list


@dataclass
class Place:
    """Where a value is in memory: its type's layout from `offset` of a slot on."""

    slot: int
    offset: int = 0


@dataclass
class Call:
    """The op's own function is run on arrays.

    Operands are windows (shape, access) or numbers; each result is written to its place. An op that consumes its first operand
    works on it in place.
    """

    op: OpView
    operands: list
    results: list[Place]
    types: tuple


@dataclass
class Fill:
    """A slot is filled with zeros."""

    slot: int
    nbytes: int


@dataclass
class Guard:
    """GuardFailed unless a number in memory is what the trace saw."""

    op: OpView
    operand: Any


@dataclass
class Bounds:
    """IndexError unless all index numbers in a window (shape, access) are from ``-extent`` up to `extent`, exclusive."""

    operand: tuple
    extent: int
    line: Any


class Form(NamedTuple):
    """What instructions of `Scalars` do, and the words that each of them takes.

    Operands and results of a computation are registers, words count bytes from the beginning of their memory in eights.

    ============================  ====================================================================================
    name                          words behind the number of the form
    ============================  ====================================================================================
    an elementwise op             its operands, its results
    copy, cast                    operand, result
    load, store, accumulate       register, slot, byte offset (its lower half, its upper half)
    load_at, store_at,            the same, and the register of the bytes that are added to the offset
    accumulate_at
    index                         register of an integer, of the bytes so far or -1, of the bytes with those of this index;
                                  which of `Scalars.indices` says how many
    guard                         register, which of `Scalars.guards`
    pause, end                    none
    ============================  ====================================================================================
    """

    name: str
    dtypes: tuple[np.dtype, ...]  # of operands and results, or of the number that is moved or looked at
    n_operands: int = 0  # of the dtypes

    @property
    def length(self):
        """Words of an instruction."""
        return LENGTHS[self.name] if self.name in LENGTHS else 1 + len(self.dtypes)

    def registers(self, words):
        """Those that are read and those that are set by an instruction, as (register, dtype)."""
        if self.name not in LENGTHS:
            pairs = list(zip(words, self.dtypes, strict=True))
            return pairs[: self.n_operands], pairs[self.n_operands :]
        numbers = list(zip(words[:1], self.dtypes, strict=True))
        by = [(register, BYTES) for register in words[4:]]
        if self.name == "index":
            before = [(words[1], BYTES)] if words[1] >= 0 else []
            return numbers + before, [(words[2], BYTES)]
        return (by, numbers) if self.name in ("load", "load_at") else (numbers + by, [])


BYTES = np.dtype(np.int64)  # what counts them
LENGTHS = {
    "load": 5, "store": 5, "accumulate": 5, "load_at": 6, "store_at": 6, "accumulate_at": 6, "index": 5, "guard": 3,
    "pause": 1, "end": 1,
}  # fmt: skip


@dataclass
class Scalars:
    """A straight-line program on single numbers, run in order.

    Those of one block share their registers: what one has left there the next ones read.

    Attributes
    ----------
    code : ndarray, shape (words,), int32
        The instructions: the number of a form, and its words.
    forms : list of Form
    numbers : ndarray, shape (nbytes,), uint8
        What the first registers are set to at the beginning.
    nbytes : int
        Of the registers that are in use so far.
    count : int
        Of the instructions.
    indices : list of (step, low, high, line)
        Bytes for each unit of an index, its limits as in `Index`, and the user's line.
    guards : list of (OpView, dtype)
    registers : int
        The slot that they are in.
    slots : list of int
        Which it reads or writes, the one of its registers among them.
    lines : list
        The user's lines of its first and its last op.
    """

    code: np.ndarray
    forms: list[Form]
    numbers: np.ndarray
    nbytes: int
    count: int
    indices: list
    guards: list[tuple[OpView, np.dtype]]
    registers: int = -1
    slots: list[int] = field(default_factory=list)
    lines: list = field(default_factory=list)

    def instructions(self):
        """(form, words) of each instruction."""
        k = 0
        while k < len(self.code):
            form = self.forms[self.code[k]]
            yield form, self.code[k + 1 : k + form.length].tolist()
            k += form.length

    def __repr__(self):
        return f"Scalars({self.count} instructions)"


@dataclass
class Block:
    """Steps in their order. Slots of its own are laid out in the workspace by `sparsead.schedule.memory`."""

    steps: list = field(default_factory=list)
    own: list[int] = field(default_factory=list)


@dataclass
class Repeat:
    """A block is run trip by trip.

    Attributes
    ----------
    first, by : int
        Number of the first trip, and how much greater that of the next one is.
    counter : int
        Slot of the trip, an int64.
    turning : list of (slot, slot)
        After each trip the first gets the memory of the second, all at once: what the carries were made of changes hands, and
        nothing is copied.
    height : int
        All trips are run for so many rows of its kernels before the next rows begin; 0: each trip for all rows.
    """

    block: Block
    trips: int
    first: int
    by: int
    counter: int
    turning: list
    height: int = 0


@dataclass
class Choose:
    """One of several blocks is run, as a number in memory says; `turning` is that of each block, see `Repeat`."""

    which: Any
    blocks: list[Block]
    turning: list[list]


def kernels_of(step):
    """The kernels that a step consists of, but for those in blocks inside."""
    if isinstance(step, Strips):
        return [member.kernel for member in step.members]
    return [step] if isinstance(step, Kernel) else []


def lines_of(step):
    """The user's lines that a step comes from, without those of blocks inside."""
    if isinstance(step, Member):
        return lines_of(step.kernel)
    if isinstance(step, Scalars):
        return list(step.lines)
    if isinstance(step, Bounds):
        found = [step.line]
    elif isinstance(step, (Call, Guard)):
        found = [step.op.line]
    else:
        found = dict.fromkeys(line for kernel in kernels_of(step) for line in kernel.lines)
    return [line for line in found if line is not None]


def renamed(step, slots):
    """A `Kernel` or `Fill` on other memory: `slots` says which slot stands in the place of which."""
    if isinstance(step, Fill):
        return Fill(slots.get(step.slot, step.slot), step.nbytes)

    def change(access):
        moving = tuple(index._replace(slot=slots.get(index.slot, index.slot)) for index in access.moving)
        return access._replace(slot=slots.get(access.slot, access.slot), moving=moving)

    return step.changed(step.space, change)


def blocks_of(step):
    """The blocks inside a step."""
    if isinstance(step, Repeat):
        return [step.block]
    return step.blocks if isinstance(step, Choose) else []


def inside(*steps):
    """Steps, each with all of the blocks inside it behind it."""
    for step in steps:
        yield step
        for block in blocks_of(step):
            yield from inside(*block.steps)


@dataclass
class Slot:
    """Memory.

    `kind` is "input", "output" (both by position), "constant" or "work"; work memory begins at `offset` of the workspace. What
    it holds first is its `origin`.
    """

    kind: str
    nbytes: int
    position: int = -1
    array: Any = None
    offset: int = -1
    origin: Origin | None = None


@dataclass
class Schedule:
    """What a tape is run by.

    Attributes
    ----------
    slots : list of Slot
    block : Block
    inputs, outputs : list
        Types of the tape's inputs and outputs; input k is slot k.
    results : list of Place
        Of the outputs, each in a slot of its own.
    nbytes : int
        Of the workspace.
    """

    slots: list[Slot]
    block: Block
    inputs: list
    outputs: list
    results: list[Place]
    nbytes: int = 0
