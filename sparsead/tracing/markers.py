"""Two small things a trace leaves behind: a test of contents that were baked in, and a mark on readings of the clock."""
from numpy import asarray, bool_


class SameBytes:
    """Whether an array's contents are those of the trace."""

    def __init__(self, contents):
        self.contents = contents

    def __call__(self, values):
        return bool_(asarray(values).tobytes() == self.contents)

    def __eq__(self, other):
        return type(other) is SameBytes and self.contents == other.contents

    def __hash__(self):
        return hash(self.contents)


class Tainted(float):
    """A reading of the clock: it may be printed and compared, not computed with in a trace."""


def _tainted(plain_operator):
    """The float's own operator, whose result is a reading of the clock again."""
    def operate(*operands):
        result = plain_operator(*operands)
        return result if result is NotImplemented else Tainted(result)
    return operate


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    for _side in ("", "r"):
        setattr(Tainted, f"__{_side}{_name}__", _tainted(getattr(float, f"__{_side}{_name}__")))
for _name in ("neg", "pos", "abs"):
    setattr(Tainted, f"__{_name}__", _tainted(getattr(float, f"__{_name}__")))
