"""What ops with tapes inside have in common: loops and branches."""

from __future__ import annotations

from functools import cached_property


class Nested:
    """The attribute of an op that runs tapes of its own, which have the carries and invariants among its operands as inputs.

    Attributes
    ----------
    bodies : tuple of Tape
    carries : int
        How many of the operands are carries, which come first and are consumed; as many results has the op.
    lead : int
        Inputs of a body before those of the operands: the trip of a loop.
    memo : dict
        What passes have found out about it, see `sparsead.transform.loops`.
    """

    lead = 0

    def __init__(self, bodies, carries):
        self.bodies, self.carries, self.memo = tuple(bodies), carries, {}

    def with_bodies(self, bodies, carries):
        """The same with other bodies."""
        raise NotImplementedError

    def resembles(self, other):
        """Whether the two have equal attributes, apart from what is in their bodies."""
        return type(other) is type(self) and (self.carries, len(self.bodies)) == (other.carries, len(other.bodies))

    def mapped(self, law):
        """The same with what ``law(body)`` makes of each body."""
        return self.with_bodies([law(body) for body in self.bodies], self.carries)

    def onto(self, pool):
        """The same with bodies on another pool."""
        return self.mapped(lambda body: body.onto(pool))

    @cached_property
    def guarded(self):
        """Whether there is a guard in a body, or in a tape inside it."""
        return self._has("guard")

    @cached_property
    def effective(self):
        """Whether there is an effect in a body, or in a tape inside it."""
        return self._has("effect")

    @property
    def kept(self):
        """Whether it is there for more than its results."""
        return self.guarded or self.effective

    def _has(self, name):
        ops = (op for body in self.bodies for op in body)
        return any(op.op.name == name or (isinstance(op.attr, Nested) and op.attr._has(name)) for op in ops)
