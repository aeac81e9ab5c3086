"""Which slots are written long before they are read, such as logs of a reverse sweep: copies to them need not go by the caches.

Law: a matter of speed only.
"""

from __future__ import annotations

from sparsead.schedule.form import blocks_of, kernels_of

CACHES = 1 << 25  # bytes of workspace that no last-level cache holds until they are read
LARGE = 1 << 20  # bytes of a slot


def for_later(schedule):
    """The work slots that neither the step that writes them reads, nor its neighbours, in a workspace larger than caches are."""
    if schedule.nbytes < CACHES:
        return set()
    written: set[int] = set()
    soon: set[int] = set()
    _look(schedule.block, written, soon)
    return {s for s in written - soon if schedule.slots[s].kind == "work" and schedule.slots[s].nbytes >= LARGE}


def _look(block, written, soon):
    """Add the slots that kernels of a block write, and those that the step which writes them, or a neighbour, touches again."""
    before: dict[int, bool] = {}  # slot -> whether the step before writes it
    for step in block.steps:
        here: dict[int, bool] = {}
        for kernel in kernels_of(step):
            for slot, windows in kernel.windows.items():
                writes = any(kind != "load" for kind, _ in windows)
                if (writes and (len(windows) > 1 or slot in here or slot in before)) or here.get(slot) or before.get(slot):
                    soon.add(slot)
                here[slot] = writes or here.get(slot, False)
        written |= {slot for slot, writes in here.items() if writes}
        before = here
        for child in blocks_of(step):
            _look(child, written, soon)
