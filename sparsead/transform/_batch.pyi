from collections.abc import Iterable

from sparsead.tape._tape import Tape

def batch(tape: Tape, positions: Iterable[int], lanes: int, outputs: Iterable[int] = ()) -> Tape: ...
