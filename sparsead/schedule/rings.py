"""Memory for some rows of a slot instead of all of them, where only one group of kernels needs it.

Law: what a strip reads of a slot is in its ring (`sparsead.schedule.form.Ring`), or in the slot itself near the bounds of bands.
"""

from __future__ import annotations

from collections import Counter

from sparsead.schedule.form import Ring, Strips
from sparsead.schedule.memory import slots_of
from sparsead.schedule.windows import reach


def with_rings(steps, own):
    """Steps, with rings for those of the block's `own` slots that one group alone touches: nobody else wants what is in them."""
    touched = [set(slots_of(step)) for step in steps]
    times = Counter(slot for slots in touched for slot in slots)
    for step, slots in zip(steps, touched, strict=True):
        if isinstance(step, Strips):
            rings = [_ring(step, slot) for slot in sorted(slots & own) if times[slot] == 1]
            step.rings = [ring for ring in rings if ring is not None]
    return steps


def _ring(group, slot):
    """The `Ring` of a slot, or None where not all windows move with the rows or it would not be small."""
    windows = [(m, access) for m in group.members for _, access in m.kernel.windows.get(slot, ())]
    pitch = max(access.strides[0] for _, access in windows)
    if pitch <= 0 or any(access.strides[0] != pitch or access.moving for _, access in windows):
        return None
    spans = []
    for m, access in windows:
        low, high = reach((access.offset - m.first * pitch, m.kernel.space[1:], access.strides[1:], access.dtype.itemsize))
        spans.append((m, low, high))
    low, high = min(a - m.lag * pitch for m, a, _ in spans), max(b - m.lag * pitch for m, _, b in spans)
    gap = min(a - m.behind * pitch for m, a, _ in spans), max(b + (m.before - 1) * pitch for m, _, b in spans)
    rows = max(m.kernel.space[0] for m, _ in windows)
    ring = Ring(slot, pitch, low, high, *gap)
    return ring if 4 * ring_bytes(ring, group.height) < rows * pitch else None


def ring_bytes(ring, height):
    """Bytes of a ring for strips of `height` rows."""
    live = max(ring.high - ring.low - ring.pitch, 0)
    strips = 4 if live else 1  # now and then what is live is moved to the front
    return live + strips * height * ring.pitch
