"""Values of a tape on a box of their indices only.

Law: elementwise ops of boxes of their operands; what is kept in memory anyway, because a window looks at it, is loaded from
there.
"""

from __future__ import annotations

from sparsead.tape.spec import ELEMENTWISE, View

DEEPEST = 200


class Restricted:
    """Values on boxes, appended to the tape that they are on.

    Parameters
    ----------
    emitter : Emitter
    wanted : iterable of int
        All values that will be asked for.
    """

    def __init__(self, emitter, wanted):
        self.e, self.tape = emitter, emitter.tape
        self.in_memory = _looked_at(self.tape, wanted)
        self.made: dict = {}

    def value(self, v, box, depth=0):
        """Value `v` on `box`, a tuple of slices, one for each of its axes."""
        t = self.e.type(v)
        if all(s.stop - s.start == n for s, n in zip(box, t.shape, strict=True)):
            return v
        key = v, tuple((s.start, s.stop) for s in box)
        if key not in self.made:
            self.made[key] = self._new(v, t, box, depth)
        return self.made[key]

    def _new(self, v, t, box, depth):
        op = self.tape.op(self.tape.maker(v))
        if op.op.name == "load":
            return self._window(op.operands[0], op.attr, op.imm, box)
        if op.op.code >= ELEMENTWISE and len(op.results) == 1 and v not in self.in_memory and depth < DEEPEST:
            operands = [self.value(x, self._for_operand(x, box), depth + 1) for x in op.operands]
            result = self.e.ew(op.op.name, *operands)
            return self.e.cast(result, t.dtype)
        return self._window(v, View(t.shape, t.strides, t.dtype), 0, box)

    def _for_operand(self, x, box):
        """The box of an operand that is broadcast."""
        shape = self.e.type(x).shape
        return tuple(slice(0, 1) if n == 1 else s for s, n in zip(box[len(box) - len(shape) :], shape, strict=True))

    def _window(self, base, view, offset, box):
        shape = tuple(s.stop - s.start for s in box)
        offset += sum(s.start * stride for s, stride in zip(box, view.strides, strict=True))
        return self.e.load(base, View(shape, view.strides, view.dtype), offset)


def _looked_at(tape, wanted):
    """Values that live ops read in memory, not element by element."""
    live, found = set(wanted), set()
    for op in reversed(list(tape)):
        if op.op.keep or any(v in live for v in op.results):
            live.update(op.operands)
            if op.op.code < ELEMENTWISE:
                found.update(op.operands)
    return found
