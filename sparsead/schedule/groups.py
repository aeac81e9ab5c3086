"""Kernels that can be run together, strip of rows by strip of rows.

Law: a row of a kernel is run after all rows of earlier kernels that touch what it touches (if one of the two writes), and before
all such rows of later kernels; so memory is read and written in the order in which whole kernels would do it.

A row is a point of the first axis of a kernel's space. Where windows move from row to row by the same number of bytes, row r of
a kernel can meet the rows r + low to r + high of another one, and no others. So the strips of a kernel stay `lag` rows behind
those of the first one. Bands of rows are independent of each other if each kernel leaves some rows at the ends of its bands until
all bands are through: those that meet rows which earlier kernels left out, or rows of its own that the next band may be running
at the same time.

This is time skewing with split tiles: Wonnacott, Int. J. Parallel Program. 30 (2002); Grosser, Cohen, Kelly, Ramanujam,
Sadayappan, Verdoolaege, "Split tiling for GPUs", GPGPU-6 (2013).
"""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import NamedTuple

import numpy as np

from sparsead.schedule.form import Access, Fill, Kernel, Member, Strips
from sparsead.schedule.windows import meeting, reach

BIG = 1 << 20  # bytes that kernels touch: less is in a second-level cache all the time
STRIP = 1 << 19  # bytes of a strip, in all slots; measured on second-level caches of 1 MB
LAGGING = 1 << 22  # bytes that the last kernel may be behind the first: in a second-level cache, or at least in a third one
ROW = 1 << 23  # bytes of a row: what is in a third-level cache
MOST = 128  # kernels of a group
UNLIKE = 8  # this part of the rows more, or less, and they are not the same rows
BANDS = 16  # at most
FAR = 8  # times the rows that are left out between two bands: what a band has at least, as near its ends no ring is in use
BAND_WORK = 2_000_000  # points times instructions of a band, at least


def grouped(steps):
    """Steps, with kernels that follow each other in groups."""
    if _bytes(steps) <= BIG // 2:  # no group of them pays; finding them takes as long as the rest of planning
        return list(steps)
    pitch = _pitches(steps)
    grouped, group, plain = [], _Group(pitch), []
    for step in steps:
        larger = group.with_step(step)
        if larger is None:
            grouped += group.steps(plain)
            group, plain = _Group(pitch).with_step(step) or _Group(pitch), []
        else:
            group = larger
        plain.append(step)
        if not group.members:
            grouped += plain
            plain = []
    return grouped + group.steps(plain)


def _pitches(steps):
    """Bytes from row to row, by slot: those of the largest kernel that moves through it."""
    pitch: dict[int, tuple[int, int]] = {}
    for kernel in steps:
        if isinstance(kernel, Kernel) and prod(kernel.space) > 1:
            for _, access in kernel.accesses():
                if access.strides[0] > 0:
                    pitch[access.slot] = max(pitch.get(access.slot, (0, 0)), (prod(kernel.space), access.strides[0]))
    return {slot: stride for slot, (_, stride) in pitch.items()}


def _bytes(steps):
    """Bytes between the first and the last one that kernels touch, over all slots."""
    spans: dict[int, tuple[int, int]] = {}
    for kernel in steps:
        for _, access in kernel.accesses() if isinstance(kernel, Kernel) else ():
            low, high = reach((access.offset, kernel.space, access.strides, access.dtype.itemsize))
            first, last = spans.get(access.slot, (low, high))
            spans[access.slot] = min(first, low), max(last, high)
    return sum(high - low for low, high in spans.values())


class _Seen(NamedTuple):
    """What members do to a slot: the bytes of a window in row 0 of the group, or in all rows if it does not move with them."""

    low: int
    high: int
    writes: bool
    swept: bool
    moving: tuple
    first: int  # the rows of the group in which it is, to the last one
    last: int


class _Group:
    """Kernels that can be run together."""

    def __init__(self, pitch):
        self.pitch, self.members = pitch, []
        self.seen: dict[int, dict[_Seen, tuple]] = {}  # by slot; the greatest (lag, before, behind) of members that do this
        self.summed: set[int] = set()
        self.least = self.greatest = 0  # lags

    def _copy(self):
        other = _Group(self.pitch)
        other.members, other.summed = list(self.members), set(self.summed)
        other.least, other.greatest = self.least, self.greatest
        other.seen = {slot: dict(seen) for slot, seen in self.seen.items()}
        return other

    def with_step(self, step):
        """The group with one more step, or None."""
        kernels = self._kernels(step)
        if not kernels or len(self.members) + len(kernels) > MOST:
            return None
        larger = self._copy()
        return larger if all(larger._add(kernel) for kernel in kernels) else None

    def _kernels(self, step):
        """Kernels over rows that do what a step does; empty if there are none."""
        if isinstance(step, Fill):
            cleared = self._clearing(step)
            return self._joining(*cleared) if cleared and self.members else cleared
        if not isinstance(step, Kernel) or 0 in step.space or any(a.by is not None for _, a in step.accesses()):
            return []  # what is read and written by index is in any row
        if not self.members:
            return [step] if self._sweeps(step) and _bytes([step]) >= BIG // 64 else []  # small ones begin no group
        return self._joining(step)

    def _joining(self, kernel):
        """Kernels over rows of the group that do what one kernel does; boxes of zeros, and what is copied at the boundaries of an
        array, may be far from each other."""
        small = UNLIKE * prod(kernel.space) <= max(prod(m.kernel.space) for m in self.members)
        found = [self._rows_of(piece) for piece in (_pieces(kernel) if small or _clears(kernel) else [kernel])]
        return [row for rows in found for row in rows] if all(found) else []

    def _rows_of(self, kernel):
        if self._sweeps(kernel):
            if self._has_rows_of(kernel):
                return [kernel]
            if prod(kernel.space) > max(prod(m.kernel.space) for m in self.members):
                return []  # as one row it would be in the way of others over its rows
        return [self._as_row(piece) for piece in _pieces(kernel)]

    def _clearing(self, fill):
        pitch = self.pitch.get(fill.slot)
        if not pitch or pitch % 8 or fill.nbytes % pitch:
            return []
        return [_zeros_in(fill.slot, fill.nbytes, pitch)]

    def _sweeps(self, kernel):
        """Whether the rows of the kernel are those of the group."""
        if not kernel.space:
            return False
        known = [(a.strides[0], self.pitch[a.slot]) for _, a in kernel.accesses() if a.slot in self.pitch]
        return any(stride == pitch for stride, pitch in known) and all(stride in (0, pitch) for stride, pitch in known)

    def _has_rows_of(self, kernel):
        """Whether the rows of the kernel go with those of the members, unlike the points of one array with lanes of it."""
        swept = (a.slot for _, a in kernel.accesses() if a.strides[0] == self.pitch.get(a.slot))
        rows = max(m.kernel.space[0] for m in self.members)
        alike = abs(rows - kernel.space[0]) <= rows // UNLIKE
        return alike or any(w.swept and w.last > w.first for slot in swept for w in self.seen.get(slot, ()))

    def _as_row(self, kernel):
        """A kernel as one row of the group."""
        return kernel.changed((1, *kernel.space), lambda a: a._replace(strides=(self.pitch.get(a.slot, 0), *a.strides)))

    def _add(self, kernel):
        """Add a kernel over rows; False if it can't be, and the group is spoilt."""
        accesses = [access for _, access in kernel.accesses()]
        if any(w.writes for access in accesses for index in access.moving for w in self.seen.get(index.slot, ())):
            return False  # where windows are is found out once, before any kernel is run
        if any(not self._may_touch(kernel, slot) for slot in kernel.windows):
            return False
        first, lag, before, behind = self._first(accesses), 0, 0, 0
        mine = [(access.slot, self._window(first, kernel, kind, access)) for kind, access in kernel.accesses()]
        for slot, window in mine:
            for other, (its_lag, its_before, its_behind) in self.seen.get(slot, {}).items():
                between = self._distances(slot, other, window)
                if between is not None:
                    lag = max(lag, its_lag + between[1])
                    before, behind = max(before, its_before - between[0]), max(behind, its_behind + between[1])
        for slot, window in mine:
            for other_slot, other in mine:
                between = self._distances(slot, other, window) if slot == other_slot and slot not in self.summed else None
                behind = max(behind, between[1]) if between is not None else behind
        self.members.append(Member(kernel, first, lag, before, behind))
        for slot, window in mine:
            seen = self.seen.setdefault(slot, {})
            seen[window] = tuple(map(max, seen.get(window, (0, 0, 0)), (lag, before, behind)))
        self.least, self.greatest = min(self.least, lag), max(self.greatest, lag)
        return (self.greatest - self.least) * self._row_bytes() <= LAGGING and self._row_bytes() <= ROW

    def _may_touch(self, kernel, slot):
        """Sums are put where they belong at the end of a group: nobody else may touch that."""
        sums = [kind == "accumulate" and not any(access.strides) for kind, access in kernel.windows[slot]]
        if slot in self.summed or (any(sums) and not all(sums)):
            return False
        if any(sums):
            self.summed.add(slot)
        return not (any(sums) and slot in self.seen)

    def _first(self, accesses):
        """The row of the group that the kernel's first row is."""
        swept = [access for access in accesses if self.pitch.get(access.slot) == access.strides[0]]
        shared = [access for access in swept if access.slot in self.seen and not access.moving]
        for access in (*shared, *swept):
            return access.offset // access.strides[0]
        return 0

    def _window(self, first, kernel, kind, access):
        swept = self.pitch.get(access.slot) == access.strides[0]
        low, high = reach((access.offset, kernel.space[1:] if swept else kernel.space,
                           access.strides[1:] if swept else access.strides, access.dtype.itemsize))  # fmt: skip
        shift = first * access.strides[0] if swept else 0
        moving = tuple((i.slot, i.offset, i.dtype, i.step) for i in access.moving)
        return _Seen(low - shift, high - shift, kind != "load", swept, moving, first, first + kernel.space[0] - 1)

    def _distances(self, slot, other, window):
        """(least, greatest) r - s for which row r of the earlier window and row s of the later one share memory; or None."""
        if not (other.writes or window.writes):
            return None
        least, greatest = other.first - window.last, other.last - window.first
        if other.moving == window.moving:
            if other.swept and window.swept:
                pitch = self.pitch[slot]
                least = max(least, (window.low - other.high) // pitch + 1)
                greatest = min(greatest, -(-(window.high - other.low) // pitch) - 1)
            elif not other.swept and not window.swept and (other.high <= window.low or window.high <= other.low):
                return None
        return (least, greatest) if least <= greatest else None

    def _row_bytes(self):
        return sum(self.pitch.get(slot, 0) for slot in self.seen)

    # ---- what comes of it ----------------------------------------------------------------------------------------------

    def steps(self, plain):
        """The steps that were put together, as one if that pays; `plain` are they themselves."""
        if len(self.members) < 2 or not self._pays():
            return plain
        height = max(STRIP // self._row_bytes(), 1)
        return [Strips(self.members, [], height, self._bounds(height), plain)]

    def _pays(self):
        """Whether several kernels touch the same large memory."""
        large = Counter(slot for m in self.members if m.kernel.space[0] > 1 for slot in m.kernel.windows if slot in self.pitch)
        rows = {slot: max(w.last - w.first + 1 for w in seen) for slot, seen in self.seen.items()}
        return max(large.values(), default=0) > 1 and sum(n * self.pitch.get(slot, 0) for slot, n in rows.items()) > BIG

    def _bounds(self, height):
        """Where bands begin and end: the same for any number of threads."""
        low, high = min(m.first for m in self.members), max(m.first + m.kernel.space[0] for m in self.members)
        work = sum(prod(m.kernel.space) * len(m.kernel.instrs) for m in self.members)
        apart = FAR * (max(m.before for m in self.members) + max(m.behind for m in self.members)) + height
        count = max(min(BANDS, work // BAND_WORK, (high - low) // apart), 1)
        return [low + (high - low) * k // count for k in range(count + 1)]


def _clears(kernel):
    """Whether a kernel only stores numbers."""
    return all(i.kind == "store" and i.registers[0] in kernel.constants for i in kernel.instrs)


def _zeros_in(slot, nbytes, pitch):
    """A kernel over rows of `pitch` bytes that fills a slot with zeros."""
    kernel = Kernel((nbytes // pitch, pitch // 8) if pitch > 8 else (nbytes // 8,))
    strides = (pitch, 8) if pitch > 8 else (8,)
    kernel.write("store", kernel.constant(0.0), Access(slot, 0, strides, np.dtype(float)))
    return kernel


def _pieces(kernel):
    """Kernels that do together what `kernel` does, apart from each other: they share neither registers nor memory."""
    parent = list(range(len(kernel.instrs)))

    def root(k):
        while parent[k] != k:
            k = parent[k]
        return k

    owner: dict = {}
    for k, instr in enumerate(kernel.instrs):
        for r in instr.registers:
            if r not in kernel.constants:
                parent[root(k)] = root(owner.setdefault(r, k))
        for j in range(k if instr.access is not None else 0):
            if _share(kernel, instr, kernel.instrs[j]):
                parent[root(k)] = root(j)
    parts: dict = {}
    for k, instr in enumerate(kernel.instrs):
        parts.setdefault(root(k), []).append(instr)
    return [kernel.with_instrs(instrs).changed(kernel.space, lambda access: access) for instrs in parts.values()]


def _share(kernel, a, b):
    """Whether two instructions touch the same memory, and one of them writes."""
    if b.access is None or a.access.slot != b.access.slot or a.kind == b.kind == "load":
        return False
    return meeting(a.access, b.access, kernel.space) != "apart"
