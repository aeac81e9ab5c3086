from collections.abc import Sequence

from sparsead.tape._tape import Tape

def begun(tape: Tape, owned: Sequence[int] = ()) -> Tape: ...
