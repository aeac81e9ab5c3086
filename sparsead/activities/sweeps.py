"""Sweeps: the tapes that are run for calls with activities, and how shadows go in and come out.

Nothing of the caller's is written before all has been computed.
"""

from __future__ import annotations

import copy

import numpy as np

from sparsead.activities import annotations as said
from sparsead.activities.memory import extracted, pooled
from sparsead.activities.states import Fresh, Made, Number, Side, apply
from sparsead.activities.structures import part_of
from sparsead.activities.zeros import make_zero
from sparsead.derivatives.nested import execute, is_nested
from sparsead.tracing._traced import Traced, concrete_of
from sparsead.tracing.errors import ActivityError
from sparsead.tracing.substitution import path_text
from sparsead.transform._batch import batch

MISSING = object()
KEPT_BYTES = 1 << 26  # of results: new memory costs as much as what is computed in it


class Sweep:
    """What all sweeps of one recording have in common.

    Parameters
    ----------
    derivative : Activities
    prepared : Prepared
    width : int
        Lanes; 0: shadows come alone.
    """

    def __init__(self, derivative, prepared, width):
        self.derivative, self.prepared, self.width = derivative, prepared, width
        self.post, recording = prepared.outputs, prepared.recording
        self.kind = derivative.return_kind(prepared)
        self.blocks, self.n_blocks = recording.blocks, len(recording.blocks)
        self.members = [[(place, recording.arrays[k].path) for place, k in enumerate(b.members)] for b in recording.blocks]
        self.floats = recording.floats
        self.changes = [c for c in self.post.changes if derivative.has_shadow(c.path)]
        self.active = [b for b, members in enumerate(self.members) if derivative.is_active(members[0][1])]
        self.active_blocks = list(self.active)
        self.single = not width and all(len(self.members[b]) == 1 for b in self.active_blocks)
        self.paths = [self.members[b][0][1] for b in self.active_blocks]
        paths = [path for members in self.members for _, path in members] + [leaf.path for leaf in self.floats]
        self.flat = not self.changes and all(path in derivative.index for path in paths if derivative.is_active(path))
        self.forward = derivative.mode.forward
        self.active += [self.n_blocks + k for k, leaf in enumerate(self.floats) if derivative.is_active(leaf.path)]
        self.wanted = sorted({*self.post.written.values(), *(k for c in self.post.changes for k in outputs_of(c.node))}
                             | set(outputs_of(self.post.returned) if derivative.mode.primal else ()))  # fmt: skip

    def bound_to(self, prepared):
        """The same for another recording, which differs from this one's in plain values alone."""
        other = copy.copy(self)
        other.prepared, other.post = prepared, prepared.outputs
        other.changes = [c for c in other.post.changes if self.derivative.has_shadow(c.path)]
        return other

    # ---- running -----------------------------------------------------------------------------------------------------

    def _ready(self, tape, name):
        """The program for `tape`, and whether the memory of its results may serve the next call: nobody else gets hold of it."""
        self.program, self.rooms = self.prepared.program(tape, f"{name} {self.width}" if self.width else name), []
        nodes = [self.post.returned, *(change.node for change in self.post.changes)]
        nbytes = sum(tape.type(v).nbytes for v in tape.outputs)
        self.keeps = nbytes <= KEPT_BYTES and not any(makes_arrays(node) for node in nodes)

    def _executed(self, inputs):
        """Results of the program."""
        if not self.keeps or is_nested():
            return execute(self.program, inputs)
        try:
            room = self.rooms.pop()
        except IndexError:
            room = None
        return self.program.run(inputs, room)

    def _done_with(self, results):
        """All has been copied to where it belongs."""
        if self.keeps and not is_nested():
            self.rooms.append(results)

    def check_writeable(self, call):
        """ValueError if an array that the function writes is read-only: a replay does not come to the line that would say so."""
        for b in self.post.written:
            for _, path in self.members[b]:
                if not concrete_of(call.argument(path)).flags.writeable:
                    raise ValueError(f"{path_text(path)} is written, but read-only")

    def check_places(self, call):
        """TypeError if a number has a shadow that cannot be exchanged."""

    def _laned(self, tape, inputs, outputs):
        return batch(tape, inputs, self.width, outputs) if self.width else tape

    def _type(self, output):
        return self.prepared.tape.type(self.prepared.tape.outputs[output])

    # ---- what goes in ------------------------------------------------------------------------------------------------

    def _gathered(self, call, one):
        """``one(lane)`` for each lane, as one array."""
        if not self.width:
            return one(0)
        return np.stack([one(lane) for lane in range(self.width)])

    def _shadow_of_input(self, call, position):
        """The shadow of an input of the tape."""
        if position >= self.n_blocks:
            leaf = self.floats[position - self.n_blocks]
            dtype = np.asarray(leaf.value).dtype
            return self._gathered(call, lambda lane: as_array(call.number(leaf.path, lane), dtype))
        block, members = self.blocks[position], self.members[position]
        if block.whole and not self.width:
            return call.shadow(members[0][1], 0)
        return self._gathered(
            call, lambda lane: pooled(block, {place: call.shadow(path, lane) for place, path in members})
        )  # fmt: skip

    # ---- what comes out ----------------------------------------------------------------------------------------------

    def _primal_side(self, call, values):
        return Side(call.argument, values.__getitem__, lambda value: value)

    def _primal(self, call, values):
        """(what exchanged parts become, the value or None)."""
        if not self.post.changes and not self.derivative.mode.primal:
            return (), None
        side = self._primal_side(call, values)
        changed = self._built(side, self.post.changes)
        return changed, side.build(self.post.returned) if self.derivative.mode.primal else None

    def _write(self, call, values, changed):
        """Give the caller's memory the contents that it has after the call."""
        for b, k in self.post.written.items():
            for place, path in self.members[b]:
                call.argument(path)[...] = extracted(self.blocks[b], values[k], place)
        for path, contents in self.post.contents:
            call.argument(path)[...] = contents
        if changed:
            apply(self.post.changes, call.given, changed)

    def _built(self, side, changes):
        return [None if c.node is None else side.build(c.node) for c in changes]

    def _shadow_side(self, call, lane, output):
        def at(path):
            found = call.shadow_at(path, lane)
            if found is not MISSING:
                return found
            if self.derivative.returned not in (None, said.Const) or self.changes:
                raise ActivityError(self._const_text(path))
            return make_zero(call.argument(path))

        return Side(at, output, make_zero)

    def _const_text(self, path):
        shadows = ", ".join(path_text(place) for place in self.derivative.wrt)
        return (
            f"{self.derivative.name} returns or stores {path_text(path)}, which is Const, where a shadow is wanted, such as that "
            f"of {shadows}; make {path_text(path)} Duplicated, or return a copy"
        )

    def _write_shadows(self, call, results):
        """`results`: for each active block its new shadow, with lanes in front in a batch."""
        for b, result in results:
            if self.single and self.blocks[b].whole and not call.added:
                call.shadow(self.members[b][0][1], 0)[...] = result
                continue
            for lane in range(self.width or 1):
                memory = result[lane] if self.width else result
                for place, path in self.members[b]:
                    shadow = call.shadow(path, lane)
                    new = extracted(self.blocks[b], memory, place)
                    if b in call.added:
                        shadow += new
                    else:
                        shadow[...] = new


def as_array(value, dtype):
    """A number as the tape takes it."""
    return value if isinstance(value, Traced) else np.asarray(value, dtype)


def makes_arrays(node):
    """Whether a node makes new arrays."""
    return isinstance(node, Fresh) or (isinstance(node, Made) and any(makes_arrays(part) for part in node.parts))


def outputs_of(node):
    """Outputs of the tape that a node is made of."""
    if isinstance(node, (Number, Fresh)):
        return [node.output]
    if isinstance(node, Made):
        return [k for part in node.parts for k in outputs_of(part)]
    return []


def numbers_in(node, shadow):
    """(output, shadow) of the numbers that a node is made of."""
    if isinstance(node, Number):
        return [(node.output, shadow)] if node.dtype.kind in "fc" else []
    if not isinstance(node, Made):
        return []
    found = []
    for step, part in zip(node.steps, node.parts, strict=True):
        found += numbers_in(part, None if shadow is None else part_of(shadow, step))
    return found
