"""What a guard compares where a whole array was baked in."""

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
