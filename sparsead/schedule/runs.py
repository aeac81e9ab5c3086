"""Where the runs of ops on single elements stand among the steps.

Law: a run is one step. What it reads from memory is there before it, at the version that it reads; loads of memory that it
overwrites are read before it where they are wanted later; and what others than runs read of it is in memory of its own.
"""

from __future__ import annotations

from sparsead.schedule.form import Origin, Place
from sparsead.schedule.values import Constant


def plan(planner, runs, first, last):
    """Plan ops `first` up to `last` of a planner's tape, one of the runs that `runs` has found, as one step."""
    planner.doing, planner.line = "numbers", planner.tape.op(first).line
    constants, read, overwritten, made, changed = runs.around(first, last)
    for v in constants:
        planner.values[v] = Constant(planner.tape.op(planner.tape.maker(v)).attr)
    places = _overwritten(planner, overwritten)
    written = {place.slot for place in places.values()}
    for v in read:
        places.setdefault(v, _in_memory(planner, v))
    own = {v: planner.work(planner.type(v).nbytes, planner.origin(v)) for v in made}
    for v, place in (*places.items(), *own.items()):
        runs.place(v, place.slot, place.offset)
    step = runs.program(first, last)
    step.registers = _registers(planner, step.nbytes)
    step.lines = [line for line in dict.fromkeys(planner.tape.op(k).line for k in (first, last - 1)) if line is not None]
    step.slots = [step.registers, *dict.fromkeys(place.slot for place in (*places.values(), *own.values()))]
    planner.steps.append(step)
    k = len(planner.steps) - 1
    for place in places.values():
        planner.reads_slot(place.slot, k)
    for slot in written:
        planner.overwritten(slot, k)
    for v, place in own.items():
        planner.values[v] = place
        planner.overwritten(place.slot, k)
    planner.values.update({v: Place(*runs.where(v)) for v in changed})
    if step.guards:
        planner.barrier = k


def _registers(planner, nbytes):
    """The slot of the registers, which all runs of a block share."""
    if planner.registers is None:
        planner.registers = planner.work(nbytes, Origin("registers", None)).slot
    planner.slots[planner.registers].nbytes = nbytes
    return planner.registers


def _overwritten(planner, overwritten):
    """The places of memory that a run overwrites, with the loads read that are wanted after that."""
    places = {}
    for v, _ in overwritten:
        places[v] = planner.own_memory(v)
    for v, at in overwritten:
        planner.at = at
        planner.ends(places[v].slot)
    return places


def _in_memory(planner, v):
    """The place of a value; a number that is known stays one for kernels."""
    home, known = planner.values[v], planner.is_number(v)
    place = planner.in_memory(v)
    if known:
        planner.values[v] = home
    return place
