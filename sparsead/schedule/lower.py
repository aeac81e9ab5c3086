"""Kernels made ready to be run in tiles: which axes are joined, how large a tile is, where registers are.

Law: a tile is a range of one axis, with all of the axes behind it, so that the points of a tile follow each other in C order.
A register has memory for one tile, reused when it is dead, or it is the window itself that it is read from or written to.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import prod
from typing import NamedTuple

import numpy as np

from sparsead.ops.structural import nested
from sparsead.schedule.form import Access, Kernel
from sparsead.schedule.peephole import interferes, parts, shortened
from sparsead.schedule.windows import coalesced, meeting, reach

CACHE = 24 * 1024  # bytes of registers of a tile: most of a first-level cache of 32 KB
LEAST, MOST = 256, 2048  # points of a tile
PUT_OFF = 6  # instructions that compute, for each that is put off: what is kept takes as long as about so many
KEPT = 1 << 26  # bytes of that, at most
ROW = 16  # points of a row for which a window is used row by row, and not copied
WORK = 100_000  # points times instructions of a chunk, at least: some 15 us
CHUNKS = 64  # of a kernel, at most
CONTIGUOUS = {"isfinite", "isinf", "isnan", "signbit"}  # NumPy 2.4.6 writes other bits through a stride


class Window(NamedTuple):
    """An access over the joined axes.

    `step` is the stride from point to point of a row, `hop` the one to the next row of a tile; `uniform` says that the rows
    follow each other.
    """

    access: Access
    strides: tuple[int, ...]
    step: int
    hop: int
    uniform: bool


class Lowered(NamedTuple):
    """A kernel ready to be run.

    Attributes
    ----------
    kernel : Kernel
        With its instructions shortened.
    extents : tuple of int
        Of the joined axes.
    axis, rows, inner : int
        A tile has `rows` of axis `axis`, each of `inner` points.
    chunk : int
        Rows of the first axis that a thread takes at a time.
    order : {"any", "alternating", "in order", "deferred"}
        Of the chunks: any, if no two write to the same place; even ones before odd ones, if only neighbours do. Deferred: any,
        but what they write by index numbers that are not distinct is put off, and done in order.
    why : str
        Why not in any order.
    windows : list of Window or None
        For each instruction.
    direct : list of bool
        For each instruction, whether the register is the window itself.
    bent : list of bool
        For each instruction, whether it is run row by row, because rows of a window do not follow each other.
    homes : list of int
        For each register, the byte offset of its memory among those of a tile; -1 where it has none.
    scratch : int
        Bytes of registers of a tile.
    """

    kernel: Kernel
    extents: tuple[int, ...]
    axis: int
    rows: int
    inner: int
    chunk: int
    order: str
    why: str
    windows: list[Window | None]
    direct: list[bool]
    bent: list[bool]
    homes: list[int]
    scratch: int


def lowered(kernel, by_rows=False):
    """The `Lowered` form of a `Kernel`; with `by_rows` its first axis stays what it is.

    Kernels that differ in their slots and numbers only are lowered once: in a long tape most are copies of a few.
    """
    slots: dict[int, int] = {}
    for access in (window for i in kernel.instrs if i.access is not None for window in i.access.windows()):
        for slot in (access.slot, *(index.slot for index in access.moving)):
            slots.setdefault(slot, len(slots))
    number = _elsewhere(slots.__getitem__)
    instrs = tuple(i if i.access is None else i._replace(access=i.access.changed(number)) for i in kernel.instrs)
    low = _lowered(kernel.space, instrs, tuple(kernel.dtypes), tuple(kernel.constants), by_rows)
    back = _elsewhere(list(slots).__getitem__)
    own = low.kernel.with_instrs(i if i.access is None else i._replace(access=i.access.changed(back)) for i in low.kernel.instrs)
    own.constants = kernel.constants
    windows = [None if w is None else w._replace(access=i.access) for i, w in zip(own.instrs, low.windows, strict=True)]
    return low._replace(kernel=own, windows=windows)


def _elsewhere(slot):
    """A change of windows to the same on slot ``slot(number)``, moved by numbers in such slots."""

    def change(access):
        moving = tuple(i._replace(slot=slot(i.slot)) for i in access.moving) if access.moving else ()
        return access._replace(slot=slot(access.slot), moving=moving)

    return change


@lru_cache(maxsize=1 << 10)
def _lowered(space, instrs, dtypes, constants, by_rows):
    kernel = Kernel(space)
    kernel.instrs, kernel.dtypes, kernel.constants = list(instrs), list(dtypes), dict.fromkeys(constants)
    kernel = shortened(kernel)
    instrs = kernel.instrs
    extents, strides = coalesced(kernel.space, [i.access.strides for i in instrs if i.access is not None], int(by_rows))
    wished = _direct(kernel)
    axis, rows, inner = _tile(extents, max(sum(_allocated(kernel, wished)[0]), 8))
    found = iter(strides)
    windows = [None if i.access is None else _window(i.access, next(found), extents, axis) for i in instrs]
    rowwise = axis == len(extents) - 2 and inner >= ROW
    direct = [d and w is not None and (rowwise or w.uniform) for d, w in zip(wished, windows, strict=True)]
    pieces, homes = _allocated(kernel, direct)
    starts = np.cumsum([0, *pieces]) * (-(-rows * inner // 8) * 8)
    done = [(i.kind, w) for i, w in zip(instrs, windows, strict=True) if w]
    bent = _bent(instrs, windows, direct)
    chunk, order, why = _chunks(extents, axis, rows, done)
    if order == "deferred" and not _worth_it(kernel, bent):
        order = "in order"
    return Lowered(kernel, extents, axis, rows, inner, chunk, order, why, windows, direct, bent,
                   [int(starts[h]) if h >= 0 else -1 for h in homes], int(starts[-1]))  # fmt: skip


def _tile(extents, item):
    """(axis that is cut, rows of it in a tile, points of a row)."""
    most = min(max(CACHE // item, LEAST), MOST)
    axis, inner = len(extents) - 1, 1
    while axis > 0 and 2 * extents[axis] * inner <= most:
        inner *= extents[axis]
        axis -= 1
    if not extents:
        return 0, 1, 1
    extent = extents[axis]
    rows = max(most // max(inner, 1), 1)
    if rows < extent:
        rows = -(-extent // -(-extent // rows))  # tiles of equal size
        rows = min(-(-rows // 8) * 8 if inner == 1 else rows, extent)
    return axis, min(rows, max(extent, 1)), inner


def _window(access, strides, extents, axis):
    if not strides:
        return Window(access, strides, 0, 0, True)
    uniform = all(strides[k] == strides[k + 1] * extents[k + 1] for k in range(axis, len(extents) - 1))
    return Window(access, strides, strides[-1], strides[-1] * extents[-1] if uniform else strides[axis], uniform)


def _bent(instrs, windows, direct):
    bent = {i.registers[0] for i, w, d in zip(instrs, windows, direct, strict=True) if d and not w.uniform}
    return [(w is not None and not w.uniform) or not bent.isdisjoint(i.registers) for i, w in zip(instrs, windows, strict=True)]


# ---- threads -----------------------------------------------------------------------------------------------------------


def _chunks(extents, axis, rows, windows):
    """(rows of the first axis in a chunk, order of the chunks, why)."""
    if not extents or 0 in extents:
        return 1, "in order", "no points to share"
    chunk = max(-(-WORK // max(prod(extents[1:]) * len(windows), 1)), -(-extents[0] // CHUNKS), 1)
    if axis == 0:
        chunk = -(-chunk // rows) * rows  # whole tiles
    return chunk, *_order(extents, chunk, windows)


def put_off(instr):
    """Whether it writes by index numbers of which some may be equal."""
    return instr.kind in ("store", "accumulate") and instr.access.by is not None and not instr.access.by.distinct


def _worth_it(kernel, bent):
    """Whether a kernel computes enough for threads to share that, with what it writes by index numbers put off."""
    late = [k for k, instr in enumerate(kernel.instrs) if put_off(instr)]
    kept = prod(kernel.space) * sum(kernel.dtypes[r].itemsize for k in late for r in kernel.instrs[k].registers)
    computes = sum(instr.kind == "apply" for instr in kernel.instrs)
    return computes >= PUT_OFF * len(late) and kept <= KEPT and not any(bent[k] for k in late)


def _order(extents, width, windows):
    indexed = {w for kind, w in windows if kind != "load" and w.access.by is not None}
    ordered = {w for w in indexed if not w.access.by.distinct}
    if ordered:
        rest, slots = [(kind, w) for kind, w in windows if w not in ordered], {w.access.slot for w in ordered}
        alone = all(w.access.slot not in slots for _, w in rest) and _order(extents, width, rest)[0] == "any"
        return "deferred" if alone else "in order", "several points may write to one place, as index numbers say"
    windows = [(kind, w) for kind, w in windows if w not in indexed]
    added = [w for kind, w in windows if kind == "accumulate" and any(w.strides)]
    written = [w for kind, w in windows if kind == "store"] + added
    slots = [w.access.slot for w in indexed]
    if len(set(slots)) < len(slots) or any(w.access.slot in slots for w in written):
        return "in order", "it writes to one array in several ways, one of them by index numbers"
    if any(not nested(extents, w.strides, w.access.dtype.itemsize) for w in written):
        return "in order", "several points write to one place"
    order = "any", ""
    for slot in {w.access.slot for w in added}:
        here = {w.access._replace(strides=w.strides) for w in added if w.access.slot == slot}
        if any(meeting(a, b, extents) == "meet" for a, b in combinations(here, 2)):
            order = "alternating", "neighbours add to the same places"
            if not _apart(extents, width, here):
                return "in order", "chunks that are no neighbours add to the same places"
    return order


def _apart(extents, width, accesses):
    """Whether chunks that are no neighbours write to different places."""
    if len({a.moving for a in accesses}) > 1:
        return False
    reaches = [reach((a.offset, (min(width, extents[0]), *extents[1:]), a.strides, a.dtype.itemsize)) for a in accesses]
    step = min(a.strides[0] for a in accesses)
    low, high = min(low for low, _ in reaches), max(high for _, high in reaches)
    return step == max(a.strides[0] for a in accesses) and 2 * width * abs(step) >= high - low


# ---- registers ---------------------------------------------------------------------------------------------------------


def _direct(kernel):
    """For each load and store, whether the register can be the window itself.

    A load: if nobody writes there while it is read. A store: if the register is computed, has no other such store, and nobody
    reads or writes there from the instruction that computes it until it is read for the last time.
    """
    instrs, made, last, loaded = kernel.instrs, {}, {}, {}
    for k, instr in enumerate(instrs):
        operands, results = parts(instr)
        last.update(dict.fromkeys(operands, k))
        made.update({r: (k, instr.kind) for r in results})
    direct, taken = [False] * len(instrs), set()
    for k, instr in enumerate(instrs):
        if instr.kind == "load" and instr.access.by is None:
            (r,) = instr.registers
            direct[k] = not interferes(kernel, instr.access, k + 1, last.get(r, k), k)
            if direct[k]:
                loaded[r] = instr.access
    for k, instr in enumerate(instrs):
        if instr.kind != "store" or instr.access.by is not None or not kernel.space:
            continue
        (r,) = instr.registers
        begin, how = made.get(r, (k, "constant"))
        if how != "apply" or r in taken or instrs[begin].op in CONTIGUOUS:
            continue
        end = max(last[r], k)
        others = any(
            a.slot == instr.access.slot and begin < last.get(x, -1) and meeting(a, instr.access, kernel.space) != "apart"
            for x, a in loaded.items()
        )
        if not others and not interferes(kernel, instr.access, begin, end, k, loads=True):
            direct[k] = True
            taken.add(r)
    return direct


def _allocated(kernel, direct):
    """(bytes per point of each piece of memory, the piece of each register or -1): linear scan by liveness."""
    instrs, last = kernel.instrs, {}
    for k, instr in enumerate(instrs):
        last.update(dict.fromkeys(parts(instr)[0], k))
    without = {i.registers[0] for i, d in zip(instrs, direct, strict=True) if d} | set(kernel.constants)
    homes, sizes, free = [-1] * len(kernel.dtypes), [], {}
    for k, instr in enumerate(instrs):
        operands, results = parts(instr)
        for r in results:
            if r not in without:
                item = max(kernel.dtypes[r].itemsize, 8)
                if free.get(item):
                    homes[r] = free[item].pop()
                else:
                    sizes.append(item)
                    homes[r] = len(sizes) - 1
        for r in {*operands, *results}:
            if homes[r] >= 0 and last.get(r, k) <= k:
                free.setdefault(max(kernel.dtypes[r].itemsize, 8), []).append(homes[r])
    return sizes, homes
