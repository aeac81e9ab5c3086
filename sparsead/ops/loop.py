"""The loop: a body that is run again and again on what it made itself.

Law: ``loop(c_1, .., c_m, i_1, .., i_n)`` sets (c_1, .., c_m) to ``body(j, c_1, .., c_m, i_1, .., i_n)`` for each trip j, and
gives the last ones. The carries c change from trip to trip and are consumed; the invariants i are only read.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from sparsead.ops.nested import Nested
from sparsead.tape.spec import Op, register


class Loop(Nested):
    """What the attribute of a loop op holds; equal if it does the same.

    Attributes
    ----------
    body : Tape
        Inputs: the trip j (int64), the carries, the invariants. Outputs: the carries after the trip, of the same types.
    trips : int
        j runs from 0 to trips - 1.
    carries : int
        How many of the operands are carries; as many results has the op.
    backward : bool
        j runs from trips - 1 to 0.
    policy : str
        What the reverse sweep has of the trips: "all" for a log that the forward loop writes trip by trip.
    """

    lead = 1

    def __init__(self, body, trips, carries, backward=False, policy="all"):
        super().__init__([body], carries)
        self.body, self.trips, self.backward, self.policy = body, trips, backward, policy

    def replaced(self, body, carries):
        """The same trips with another body."""
        return Loop(body, self.trips, carries, self.backward, self.policy)

    def resembles(self, other):
        """Whether the two differ in their bodies only."""
        return super().resembles(other) and self._way == other._way

    def with_bodies(self, bodies, carries):
        """The same trips with another body."""
        (body,) = bodies
        return self.replaced(body, carries)

    @property
    def _way(self):
        return self.trips, self.backward, self.policy

    @cached_property
    def _key(self):
        return self.carries, *self._way, self.body.key()

    def __eq__(self, other):
        return type(other) is Loop and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def __repr__(self):
        way = " backward" if self.backward else ""
        return f"Loop({self.trips} trips{way}, {self.carries} carries, body of {len(self.body)} ops)"

    @cached_property
    def program(self):
        """The body made ready for the reference interpreter, which may work in place on the carries."""
        from sparsead.engine.reference import Program

        return Program(self.body, consumed=range(1, 1 + self.carries))

    def order(self):
        """The trips in the order in which they are run."""
        return range(self.trips - 1, -1, -1) if self.backward else range(self.trips)


def _loop(arrays, op, types):
    loop = op.attr
    carried, invariants = list(arrays[: loop.carries]), arrays[loop.carries :]
    for j in loop.order():
        carried = loop.program.run([np.int64(j), *carried, *invariants])
    return tuple(carried)


LOOP = register(Op("loop", 33, _loop))
