"""The branch: one of several bodies is run, as a number says.

Law: ``branch(c_1, .., c_m, i_1, .., i_n, which)`` gives ``bodies[which](c_1, .., c_m, i_1, .., i_n)``. The carries c are
consumed; the invariants i are only read.
"""

from __future__ import annotations

from functools import cached_property

from sparsead.ops.nested import Nested
from sparsead.tape.spec import Op, register


class Branch(Nested):
    """What the attribute of a branch op holds; equal if it does the same.

    Attributes
    ----------
    bodies : tuple of Tape
        Inputs: the carries, the invariants. Outputs: the carries afterwards, of the same types.
    carries : int
        How many of the operands are carries; as many results has the op.
    """

    def with_bodies(self, bodies, carries):
        """A branch with other bodies."""
        return Branch(bodies, carries)

    @cached_property
    def _key(self):
        return self.carries, tuple(body.key() for body in self.bodies)

    def __eq__(self, other):
        return type(other) is Branch and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def __repr__(self):
        return f"Branch({self.carries} carries, bodies of {', '.join(str(len(body)) for body in self.bodies)} ops)"

    @cached_property
    def programs(self):
        """The bodies made ready for the reference interpreter, which may work in place on the carries."""
        from sparsead.engine.reference import Program

        return [Program(body, consumed=range(self.carries)) for body in self.bodies]


def _branch(arrays, op, types):
    *operands, which = arrays
    return tuple(op.attr.programs[int(which)].run(operands))


BRANCH = register(Op("branch", 34, _branch))
