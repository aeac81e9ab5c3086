"""Which slots are written long before they are read, such as logs of a reverse sweep: copies to them need not go by the caches.

Law: a matter of speed only.
"""

from __future__ import annotations

from sparsead.schedule.form import blocks_of, kernels_of

CACHES = 1 << 25  # bytes of workspace that no last-level cache holds until they are read
LARGE = 1 << 20  # bytes of a slot


def for_later(schedule):
    """The work slots that no two neighbours among the steps touch, in a workspace larger than caches are."""
    if schedule.nbytes < CACHES:
        return set()
    soon: set[int] = set()
    seen: set[int] = set()
    _look(schedule.block, seen, soon)
    return {s for s in seen - soon if schedule.slots[s].kind == "work" and schedule.slots[s].nbytes >= LARGE}


def _look(block, seen, soon):
    """Add the slots that kernels of a block touch, and those that are touched twice in a step, or by neighbours."""
    before: set[int] = set()
    for step in block.steps:
        here: set[int] = set()
        for kernel in kernels_of(step):
            for slot, windows in kernel.windows.items():
                if len(windows) > 1 or slot in here or slot in before:
                    soon.add(slot)
                here.add(slot)
        seen |= here
        before = here
        for child in blocks_of(step):
            _look(child, seen, soon)
